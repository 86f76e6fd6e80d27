"""How much faster spectrograms are than by plain librosa, how well two processes share them, and their memory.

    python -m benchmarks.features [FOLDER]      (or ``make bench-features CLIPS=FOLDER``)

FOLDER holds sound files (subfolders too) and may stand in TOOLKIT_BENCHMARK_CLIPS; without one, noise is used.
All contestants run in turn in the same minutes, and ratios are taken turn by turn: other work on the machine
slows all of them. Neither side turns power into level.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import librosa
import numpy as np

from tests.features.librosa_reference import reference_power
from toolkit.config import REPRESENTATIONS, FeatureSettings
from toolkit.features.spectrogram import powers

SETTINGS = FeatureSettings()
JOB_CLIPS = 64
"""Clips of one job of the pipeline."""
TURN_CLIPS = 4
"""Clips that a contestant takes before the next has its turn."""
N_ROUNDS = 9
N_JOBS = 4
"""Jobs of one round of one process against two."""
COUNTS = (480, 2400)
"""Clips after which peak memory is looked at."""


def main() -> None:
    """Print all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("TOOLKIT_BENCHMARK_CLIPS", ""))
    parser.add_argument("--many", type=int, default=COUNTS[1], help="clips of the longer memory test")
    arguments = parser.parse_args()
    clips = _read_clips(arguments.folder, JOB_CLIPS)
    _say(f"{JOB_CLIPS} clips of {SETTINGS.duration_s:g} s from {arguments.folder or 'random numbers'}\n")
    _compare_with_librosa(clips)
    _compare_processes(arguments.folder)
    _watch_memory(arguments.folder, (COUNTS[0], arguments.many))


def _compare_with_librosa(clips: np.ndarray) -> None:
    rate_hz, hop_length = SETTINGS.sample_rate_hz, SETTINGS.hop_length
    one_hop = {"hop_length": hop_length, "fmin": SETTINGS.cqt_fmin_hz, "n_bins": 64, "bins_per_octave": 8}
    windows = {"hop_length": hop_length, "n_fft": SETTINGS.n_fft, "n_mels": 64}
    mel = librosa.feature.melspectrogram
    contestants: dict[str, Callable[[np.ndarray], object]] = {
        "cqt": lambda some: powers(some, "cqt", SETTINGS),
        "cqt by librosa, the same cells": lambda some: [reference_power(one, "cqt", SETTINGS) for one in some],
        "cqt by librosa, one call, one hop": lambda some: [
            librosa.cqt(one, sr=rate_hz, **one_hop) for one in some
        ],
        "mel": lambda some: powers(some, "mel", SETTINGS),
        "mel by librosa": lambda some: [mel(y=one, sr=rate_hz, **windows) for one in some],
    }
    turns = clips.reshape(-1, TURN_CLIPS, clips.shape[1])
    for run in contestants.values():  # builds filters
        run(turns[0])
    seconds = np.array([[_timed(run, some) for run in contestants.values()] for some in turns]) / TURN_CLIPS
    for column, name in enumerate(contestants):
        ours = list(contestants).index(name[:3])
        ratio = "" if column == ours else f"ours: {_quartiles(seconds[:, column] / seconds[:, ours])}"
        _say(f"{name:35}{np.median(seconds[:, column]) * 1e3:6.1f} ms a clip  {ratio}")


def _compare_processes(folder: str) -> None:
    """Run the same jobs in one process and in two, in turn; the processes are there before the clock runs."""
    with _pool_of(1, folder) as one, _pool_of(2, folder) as two:
        seconds = [[_timed(_do_jobs, pool) for pool in (one, two)] for _ in range(1 + N_ROUNDS)]
    ratios = [alone / shared for alone, shared in seconds[1:]]
    _say(f"\ntwo processes against one, jobs of {JOB_CLIPS} clips, both representations: {_quartiles(ratios)}")


def _watch_memory(folder: str, counts: Sequence[int]) -> None:
    """Print the peak of a fresh process after few and after many clips, the same jobs again and again."""
    with _pool_of(1, folder) as pool:
        _say(f"\npeak memory with the clips of a job (23 MB) read: {pool.submit(work, 0).result():.0f} MB")
        for before, count in pairwise((0, *counts)):
            peak = pool.submit(work, math.ceil((count - before) / JOB_CLIPS)).result()
            _say(f"peak memory after {count} clips: {peak:.0f} MB")


def _do_jobs(pool: ProcessPoolExecutor) -> list[float]:
    return list(pool.map(work, [1] * N_JOBS))


def work(n_jobs: int) -> float:
    """Do so many jobs in this process; return its peak memory until now in MB."""
    clips = _job_clips()
    for _ in range(n_jobs):
        for representation in REPRESENTATIONS:
            powers(clips, representation, SETTINGS)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _pool_of(n_processes: int, folder: str) -> ProcessPoolExecutor:
    os.environ["TOOLKIT_BENCHMARK_CLIPS"] = folder
    return ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"))


@cache
def _job_clips() -> np.ndarray:
    return _read_clips(os.environ["TOOLKIT_BENCHMARK_CLIPS"], JOB_CLIPS)


def _read_clips(folder: str, n_clips: int) -> np.ndarray:
    """Return samples, shape (clip, sample): of files spread over the folder, or noises that rise and fall."""
    rate_hz, duration_s = SETTINGS.sample_rate_hz, SETTINGS.duration_s
    paths = sorted(path for path in Path(folder).rglob("*.*") if path.suffix in {".wav", ".flac", ".ogg"})
    clips = np.random.default_rng(0).standard_normal((n_clips, round(rate_hz * duration_s)), np.float32)
    clips *= np.sin(np.linspace(0, 20, clips.shape[1], dtype=np.float32))
    for place, clip in enumerate(clips if folder and paths else ()):
        sound, _ = librosa.load(paths[place * len(paths) // n_clips], sr=rate_hz, duration=duration_s)
        clip[:] = librosa.util.fix_length(sound, size=len(clip))
    return clips


def _timed(run: Callable[..., object], argument: object) -> float:
    start = time.perf_counter()
    run(argument)
    return time.perf_counter() - start


def _quartiles(ratios: Sequence[float] | np.ndarray) -> str:
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return f"{middle:.2f} times as fast (quartiles {low:.2f} to {high:.2f})"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
