"""How long the stage ``statistics`` takes on a corpus as large as UrbanSound8K, and how much memory.

    python -m benchmarks.statistics [--times 10] [--jobs 2] [--composites 1]      (or ``make bench-statistics``)

The store is made up: 8,732 clips in recordings of the sizes of UrbanSound8K (folds 8 to 10 repeat those of
1 to 3), with maps of smooth noise. ``--times`` makes the corpus so many times as large. What is timed is the
stage as a run has it, with its default settings: reading, averaging, intervals, tests, agreement, writing.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks.simulation.recordings import Layout, read_layout
from toolkit.config import N_BINS, N_FRAMES, Settings
from toolkit.features.spectrogram import axes
from toolkit.pipeline.executors import Processes
from toolkit.pipeline.markers import Todo
from toolkit.pipeline.run import Plan, Run, Tools
from toolkit.pipeline.stages import statistics
from toolkit.store import write
from toolkit.store.schema import BY_TARGET, MAPS, OK, partitions
from toolkit.store.variables import FREQUENCY_AXIS, TIME_AXIS

N_CLIPS = 8732
N_REPEATED = 8
"""Partitions of noise that are made; the store repeats them."""
FOLDS_REPEATED = {8: 1, 9: 2, 10: 3}
"""Folds of which no sizes are known, and whose they take."""


def main() -> None:
    """Make the store, run the stage on it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1, metavar="N", help="so many times the clips")
    parser.add_argument("--jobs", type=int, default=2, help="processes that work side by side")
    parser.add_argument("--composites", type=int, default=2, choices=(1, 2), help="1: quicker to make")
    parser.add_argument("--tfce", action="store_true", help="threshold-free clusters")
    parser.add_argument("--folder", type=Path, help="where the store is made (default: a temporary folder)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        run = Run(Path(folder), _settings(given.composites, tfce=given.tfce))
        layout = _whole_corpus(read_layout(), given.times)
        started = time.perf_counter()
        _make_store(run, layout)
        _say(
            f"store of {layout.size.sum():,} clips of {len(layout.size):,} recordings made in {_since(started)}"
        )
        units = statistics.plan_units(run)
        plan = Plan([unit.name for unit in units], [Todo(unit, "missing") for unit in units])
        started = time.perf_counter()
        tools = Tools(lambda _event: None, Processes(given.jobs))
        statistics.execute(run, plan, tools, lambda name: _say(f"  {_since(started):>8} {name}"))
        _say(f"statistics of {layout.size.sum():,} clips: {_since(started)} with {given.jobs} processes")
    whose = {"the run's process": resource.RUSAGE_SELF, "the largest worker": resource.RUSAGE_CHILDREN}
    for name, who in whose.items():
        _say(f"peak memory of {name}: {resource.getrusage(who).ru_maxrss / 1024:.0f} MB")


def _settings(n_composites: int, *, tfce: bool) -> Settings:
    settings = Settings()
    explanation = settings.explanation.model_copy(
        update={"composites": settings.explanation.composites[:n_composites]}
    )
    of_statistics = settings.statistics.model_copy(update={"cluster_statistic": "tfce" if tfce else "mass"})
    return settings.model_copy(update={"explanation": explanation, "statistics": of_statistics})


def _whole_corpus(known: Layout, times: int) -> Layout:
    """Return recordings of ten folds and ``N_CLIPS`` clips, each so many times; sorted by class and fold."""
    parts = [(known.of_class, known.fold, known.size)]
    for fold, source in FOLDS_REPEATED.items():
        inside = known.fold == source
        parts.append((known.of_class[inside], np.full(inside.sum(), fold), known.size[inside]))
    of_class, fold, size = (np.concatenate(each) for each in zip(*parts, strict=True))
    # What is too much is taken from the largest recordings of the folds that repeat others.
    order = np.lexsort((-size, fold <= max(FOLDS_REPEATED.values()) + 4))
    for place in order:
        surplus = size.sum() - N_CLIPS
        size[place] -= min(max(0, surplus), size[place] - 1)
    order = np.tile(np.lexsort((fold, of_class)), times)
    order = order[np.argsort(of_class[order], kind="stable")]
    return Layout(known.names, of_class[order], fold[order], size[order])


def _make_store(run: Run, layout: Layout) -> None:
    clips = _clips(layout)
    about = {"class_names": list(layout.names), "source": "urbansound8k", "nominal": []}
    with write.new_store(run.store, about) as store:
        write.write_group(store, "clips", clips)
        rng = np.random.default_rng(0)
        for representation in run.settings.representations:
            networks = {
                "fold": np.unique(layout.fold).astype(np.int64),
                "n_training_clips": np.full(
                    len(np.unique(layout.fold)), int(layout.size.sum() * 0.8), np.int64
                ),
            }
            write.write_group(store, f"training/{representation}", networks)
            known = {
                axis.name: getattr(axes(representation, run.settings.features), axis.name)
                for axis in (*FREQUENCY_AXIS, *TIME_AXIS)
            }
            _fill(store, f"features/{representation}", known, _levels(rng), clips)
            for composite in run.settings.explanation.composites:
                named = {**known, "class_name": np.array(layout.names, dtype=object)}
                _fill(store, f"{MAPS}/{representation}/{composite}", named, _maps(rng, layout), clips)
                without_time = {name: values for name, values in named.items() if name != "time"}
                where = f"{BY_TARGET}/{representation}/{composite}"
                _fill(store, where, without_time, _shares(rng, layout), clips)


def _clips(layout: Layout) -> dict[str, np.ndarray]:
    recording = np.repeat(np.arange(len(layout.size)), layout.size)
    n = len(recording)
    label = np.repeat(layout.of_class, layout.size)
    return {
        "clip": np.array([f"{number:06d}" for number in range(n)], dtype=object),
        "label": label.astype(np.int64),
        "class_name": np.array(layout.names, dtype=object)[label],
        "fold": np.repeat(layout.fold, layout.size).astype(np.int64),
        "recording": np.array([f"{number:06d}" for number in recording], dtype=object),
        "salience": 1 + np.arange(n, dtype=np.int64) % 2,
        "status": np.full(n, OK, dtype=object),
        "valid_duration_s": np.where(np.arange(n) % 5 == 0, 2.0, 4.0),
    }


Rows = dict[str, np.ndarray]


def _levels(rng: np.random.Generator) -> list[Rows]:
    return [{"level_db": -80 + 80 * _noise(rng)} for _ in range(N_REPEATED)]


def _maps(rng: np.random.Generator, layout: Layout) -> list[Rows]:
    """Return rows of maps; two thirds of the clips are classified correctly once labels are put in."""
    found = []
    for _ in range(N_REPEATED):
        logits = rng.standard_normal((64, len(layout.names))).astype(np.float32)
        relevance = (_noise(rng) - np.float32(0.4)) ** 3
        found.append({
            "relevance": relevance,
            "logits": logits,
            "relevance_sum": relevance.sum(axis=(1, 2)),
            "relevance_in_padding": rng.random(64).astype(np.float32),
        })
    return found


def _shares(rng: np.random.Generator, layout: Layout) -> list[Rows]:
    drawn = rng.gamma(0.5, size=(N_REPEATED, 64, len(layout.names), N_BINS)).astype(np.float32)
    return [{"share": share / share.sum(axis=-1, keepdims=True)} for share in drawn]


def _noise(rng: np.random.Generator) -> np.ndarray:
    smooth = ndimage.gaussian_filter(rng.standard_normal((64, N_BINS, N_FRAMES)), (0, 2, 2))
    ranks = smooth.argsort(axis=None).argsort().reshape(smooth.shape)
    return (ranks / ranks.size).astype(np.float32)


def _fill(store: Path, group: str, known: Rows, blocks: list[Rows], clips: Rows) -> None:
    """Write a group of which every partition repeats one of a few; its clips are two thirds right."""
    n = len(clips["clip"])
    sizes = {"clip": n, "frequency": N_BINS, "time": N_FRAMES, "class_name": len(known.get("class_name", ()))}
    is_maps = group.startswith(f"{MAPS}/")
    names = [*blocks[0], "made_from", *(("label", "prediction", "target") if is_maps else ())]
    write.write_group(store, group, known, empty=names, sizes=sizes)
    for number, part in enumerate(partitions(n)):
        block = {
            name: values[: part.stop - part.start] for name, values in blocks[number % len(blocks)].items()
        }
        block["made_from"] = np.full(part.stop - part.start, "noise", dtype=object)
        if is_maps:
            label = clips["label"][part]
            right = np.arange(part.start, part.stop) % 3 > 0
            prediction = np.where(right, label, (label + 1) % sizes["class_name"])
            block |= {"label": label, "prediction": prediction, "target": prediction}
        write.write_rows(store, group, part, block)


def _since(started: float) -> str:
    return f"{time.perf_counter() - started:.1f} s"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a benchmark prints)


if __name__ == "__main__":
    main()
