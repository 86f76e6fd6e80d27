"""How fast relevance maps are: ours against innvestigate, zennit, captum and the network's forward pass.

    python -m benchmarks.lrp [--run RUN]      (or ``make bench-lrp RUN=FOLDER``)

RUN is the folder of a finished run and may stand in TOOLKIT_BENCHMARK_RUN: its first network, and its clips,
those that the network never saw first; without one, weights and clips are random. Every tool has a process of
its own and computes when its turn comes, on the same two cores: the same weights, clips and targets. Ratios are
taken round by round, as other work on the machine slows all of them: medians, quartiles in brackets. Processor
time hardly knows of other work: where its ratio differs, the machine is busy or a tool leaves a core idle.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.lrp_contestants import TASKS
from benchmarks.lrp_profile import profile
from benchmarks.lrp_worker import INPUTS, N_THREADS, NETWORK, TARGETS, WEIGHTS, Worker
from toolkit.config import resolve
from toolkit.network.architecture import INPUT_SHAPE
from toolkit.network.export import probabilities
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.run import SETTINGS_NAME
from toolkit.store.read import STORE_NAME, read_whole
from toolkit.store.schema import OK

PEERS = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
OURS, FORWARD, PUBLISHED = "ours", "forward", "as published"
MODULES = {
    OURS: "benchmarks.lrp_contestants",
    FORWARD: "benchmarks.lrp_contestants",
    "innvestigate": "benchmarks.lrp_contestants",
    PUBLISHED: "benchmarks.lrp_contestants",
    "zennit": "benchmarks.lrp_peers",
    "captum": "benchmarks.lrp_peers",
}
N_CLIPS = 256
"""Clips of a turn."""
N_COMPARED = 64
"""Clips on which maps are compared before the clock runs."""
N_ROUNDS = 7
"""The first warms up and is dropped."""
LEAST_CORRELATION = 0.99
"""Below it, in the median of the clips, the other tool does not hold the same network or rule."""
SHARES = (0.1, 0.5, 1.0)
"""Of all maps of the memory test: when peak memory is looked at."""


@dataclass(frozen=True)
class Entry:
    """One contestant in one task."""

    contestant: str
    task: str
    label: str
    n_clips: int = N_CLIPS
    rounds: tuple[int, int] = (0, 1_000_000)
    """First round, and the one after the last."""


ENTRIES = (
    Entry(FORWARD, "one call", f"forward pass, {N_THREADS} threads in a call"),
    Entry(FORWARD, "threads", f"forward pass, {N_THREADS} calls at once"),
    Entry(OURS, "epsilon", "ours"),
    Entry("innvestigate", "epsilon", "innvestigate"),
    Entry("zennit", "epsilon", "zennit, Epsilon throughout"),
    Entry("captum", "epsilon", "captum, EpsilonRule"),
    Entry(OURS, "flat", "ours"),
    Entry("innvestigate", "flat", "innvestigate"),
    Entry("zennit", "flat", "zennit, EpsilonPlusFlat"),
    Entry(OURS, "both", "ours, in one pass"),
    # Slow, and slower with every analyzer: two turns of two batches say enough, and speak for it.
    Entry(PUBLISHED, "both", "innvestigate, analyzers built per batch", 64, (1, 3)),
)
SUMS = (
    Entry("innvestigate", "both", "innvestigate, the sum"),
    Entry("zennit", "both", "zennit, the sum"),
)
"""What takes one pass per composite."""
COMPARED = (
    ("innvestigate", "epsilon"),
    ("innvestigate", "flat"),
    ("zennit", "epsilon"),
    ("captum", "epsilon"),
)
TITLES = {"forward": "", "epsilon": "lrp.epsilon", "flat": "lrp.sequential_preset_a_flat", "both": "both"}
Seconds = Mapping[Entry, np.ndarray]
"""Seconds per clip by the clock and of the processor, shape (2, round), NaN where the entry had no turn."""


def main() -> None:
    """Print the comparison, or what else is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default=os.environ.get("TOOLKIT_BENCHMARK_RUN", ""))
    parser.add_argument("--rounds", type=int, default=N_ROUNDS, help="at least 2: the first is dropped")
    parser.add_argument("--memory", type=int, metavar="N", help="watch memory over N of our maps instead")
    parser.add_argument("--profile", choices=TASKS, help="show where time goes in our graph instead")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:N_THREADS])
    with TemporaryDirectory() as name:
        folder = Path(name)
        _say(_prepare(arguments.run, folder))
        if arguments.memory:
            _watch_memory(folder, arguments.memory)
        elif arguments.profile:
            _say(profile(folder, arguments.profile))
        else:
            _compare(folder, arguments.rounds)


def _prepare(run: str, folder: Path) -> str:
    """Put network, weights, inputs and targets into ``folder``; return what they are."""
    what = _take_from(Path(run), folder) if run else _draw(folder)
    inputs = np.load(folder / INPUTS)
    np.save(folder / TARGETS, probabilities(folder / NETWORK, inputs).argmax(axis=1))
    return f"{len(inputs)} clips a turn, {what}"


def _take_from(run: Path, folder: Path) -> str:
    settings = resolve({str(run): json.loads((run / SETTINGS_NAME).read_text(encoding="utf-8"))})
    network = min((run / "models").glob(f"*/*/{NETWORK}")).parent
    for name in (NETWORK, WEIGHTS):
        (folder / name).write_bytes((network / name).read_bytes())
    clips = read_whole(run / STORE_NAME, "clips", ("fold", "status"))
    fold = int(network.name.removeprefix("fold-"))
    rows = np.flatnonzero(clips["status"] == OK)
    rows = rows[np.argsort(clips["fold"][rows] != fold, kind="stable")]
    inputs = read_inputs(
        run / STORE_NAME,
        network.parent.name,
        np.resize(rows, N_CLIPS),
        channels=settings.training.channels,
        dynamic_range_db=settings.features.dynamic_range_db,
    )
    np.save(folder / INPUTS, inputs)
    return f"network {network.parent.name}/{network.name} of {run}"


def _draw(folder: Path) -> str:
    command = [sys.executable, "-W", "ignore", "-m", MODULES[OURS], "network", str(folder)]
    subprocess.run(command, check=True)  # noqa: S603 (fixed arguments)
    np.save(folder / INPUTS, np.random.default_rng(0).random((N_CLIPS, *INPUT_SHAPE), np.float32))
    return "random weights and random inputs"


def _compare(folder: Path, n_rounds: int) -> None:
    if not PEERS.exists():
        _say("zennit and captum are left out: `make peers` installs them, in .venv-peers")
    with ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(name, folder)) for name in MODULES if _is_here(name)}
        _say("; ".join(dict.fromkeys(worker.version() for worker in workers.values())) + "\n")
        _compare_maps(workers, folder)
        entries = [entry for entry in ENTRIES if entry.contestant in workers]
        seconds = {entry: np.full((2, n_rounds), np.nan) for entry in entries}
        for place in range(n_rounds):
            for entry in entries:
                if place in range(*entry.rounds):
                    turn = workers[entry.contestant].turn(entry.task, entry.n_clips)
                    seconds[entry][:, place] = turn.seconds, turn.processor_seconds
    _say(_table({entry: values[:, 1:] for entry, values in {**seconds, **_sums(seconds)}.items()}))


def _worker(name: str, folder: Path) -> Worker:
    module = MODULES[name]
    python = PEERS if module.endswith("peers") else sys.executable
    return Worker(python, module, name, folder)


def _is_here(name: str) -> bool:
    return PEERS.exists() or not MODULES[name].endswith("peers")


def _compare_maps(workers: Mapping[str, Worker], folder: Path) -> None:
    """Print how alike others' maps are to ours.

    Raises
    ------
    SystemExit
        They are of another network or rule.
    """
    ours = {task: _maps_of(workers[OURS], task, folder) for task in ("epsilon", "flat")}
    for name, task in COMPARED:
        if name in workers:
            theirs = _maps_of(workers[name], task, folder)
            pairs = list(zip(theirs, ours[task], strict=True))
            alike = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs]
            apart = [np.abs(one - other).max() / np.abs(one).max() for one, other in pairs]
            _say(
                f"{name} against ours, {TITLES[task]}, {N_COMPARED} clips: correlation {np.median(alike):.6f}, "
                f"least {min(alike):.6f}; median difference {np.median(apart):.1e} of a map's maximum"
            )
            if not np.median(alike) > LEAST_CORRELATION:
                raise SystemExit(f"{name} does not hold the same network: its maps are not to be timed")


def _maps_of(worker: Worker, task: str, folder: Path) -> np.ndarray:
    """Return maps, shape (clip, bin, frame)."""
    return worker.computed(task, N_COMPARED, folder / "maps.npy").reshape(N_COMPARED, *INPUT_SHAPE[:2])


def _sums(seconds: Seconds) -> Seconds:
    parts = {
        total: [values for entry, values in seconds.items() if entry.contestant == total.contestant]
        for total in SUMS
    }
    return {total: np.sum(values, axis=0) for total, values in parts.items() if values}


def _table(seconds: Seconds) -> str:
    """Return lines of all entries by task, each with its ratios to the forward pass and to ours."""
    passes = [values for entry, values in seconds.items() if entry.contestant == FORWARD]
    forward = min(passes, key=lambda values: np.median(values[0]))
    head = f"{'clips/s':>49}{'maps/s':>8}   {'forward passes a clip':27}{'ours is so many times as fast':29}"
    lines = [f"\n{head}  in processor time"]
    for task, title in TITLES.items():
        some = {entry: values for entry, values in seconds.items() if _group(entry) == task}
        ours = next((values for entry, values in some.items() if entry.contestant == OURS), None)
        lines += [title] if title else []
        lines += [_line(entry, values, forward, ours) for entry, values in some.items()]
    return "\n".join(lines)


def _group(entry: Entry) -> str:
    return FORWARD if entry.contestant == FORWARD else entry.task


def _line(entry: Entry, seconds: np.ndarray, forward: np.ndarray, ours: np.ndarray | None) -> str:
    per_s = 1 / np.nanmedian(seconds[0])
    maps_per_s = f"{per_s * len(TASKS[entry.task]):.1f}" if entry.task in TASKS else ""
    columns = f"{per_s:7.1f}{maps_per_s:>8}   {_quartiles(seconds[0] / forward[0]):27}"
    if ours is not None and entry.contestant != OURS:
        columns += f"{_quartiles(seconds[0] / ours[0]):31}{_quartiles(seconds[1] / ours[1])}"
    return f"  {entry.label:40}{columns}".rstrip()


def _watch_memory(folder: Path, n_maps: int) -> None:
    """Print the peak of one process after some and after all of so many maps, on clips that come again."""
    done, per_turn = 0, N_CLIPS * len(TASKS["both"])
    with _worker(OURS, folder) as worker:
        _say(f"{worker.version()}, maps of both composites")
        for share in SHARES:
            n_turns = max(1, math.ceil((n_maps * share - done) / per_turn))
            peaks = [worker.turn("both", N_CLIPS).peak_mb for _ in range(n_turns)]
            done += len(peaks) * per_turn
            _say(f"peak memory after {done} maps: {peaks[-1]:.0f} MB")


def _quartiles(ratios: Sequence[float] | np.ndarray) -> str:
    low, middle, high = np.nanquantile(ratios, [0.25, 0.5, 0.75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
