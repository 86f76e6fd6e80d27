"""A small synthetic urban corpus in the UrbanSound8K layout, for trials, tests and demonstrations.

Ten classes, 15 recordings a class (3 per fold), two clips a recording. Every clip comes with its stems, the
object alone and the background alone, whose sum is the mix exactly, so that a claim about frequency bands can
be checked against them.

Random streams are spawned per recording, so that no recording depends on another. The sounds themselves are in
`toolkit.corpus.sounds`.

It does not model rooms, microphones or scenes: an accuracy reached on it says nothing about real recordings.
"""

import csv
import itertools
import json
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from toolkit.corpus.sounds import (
    RENDERERS,
    SAMPLE_RATE_HZ,
    STEP_S,
    Rng,
    normalise,
    render_background,
    seconds_to_samples,
)
from toolkit.errors import ConfigError, CorpusError

GENERATOR_VERSION = 1
FOLDS = (1, 2, 3, 4, 5)
MARKER_NAME = "synthetic.json"
_COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
_N_CLIPS = 2
_MAX_DURATION_S = 4.0
_README = """Synthetic urban sounds in the UrbanSound8K layout: computed, not recorded.
audio/ holds the mixes, stems/ the object and the background of each (object + background = mix).
Dedicated to the public domain (CC0 1.0).
"""


@dataclass(frozen=True)
class Recording:
    """What the clips of one recording share; `seeds`: of the timing, the source, the scene, and each clip."""

    fs_id: int
    class_id: int
    fold: int
    salience: int
    seeds: tuple[np.random.SeedSequence, ...]


@dataclass(frozen=True)
class Clip:
    """One excerpt, quantised; kept apart from its mix so that the stems add up to the mix by construction."""

    name: str
    start_s: float
    object_pcm: npt.NDArray[np.int16]
    background_pcm: npt.NDArray[np.int16]

    @property
    def end_s(self) -> float:
        """Where the excerpt ends within its recording."""
        return self.start_s + self.object_pcm.size / SAMPLE_RATE_HZ


def write_corpus(directory: Path, *, seed: int = 0) -> None:
    """Write the corpus, or leave it alone when `directory` already holds the same one.

    It is written beside `directory` and renamed at the end, so `directory` is never seen half written.

    Parameters
    ----------
    directory
        Absent, empty, or the result of an earlier call with this seed.
    seed
        Non-negative; with the same NumPy build, the same seed gives the same bytes.

    Raises
    ------
    ConfigError
        If `seed` is negative.
    CorpusError
        If `directory` holds anything else.
    """
    if seed < 0:
        raise ConfigError(f"seed={seed}: the synthetic corpus needs a seed of 0 or more")
    marker: dict[str, str | int] = {"format": "synthetic-urban", "version": GENERATOR_VERSION, "seed": seed}
    if _holds(directory, marker):
        return
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise CorpusError(
            f"{directory} holds something other than the synthetic corpus of seed {seed}, version"
            f" {GENERATOR_VERSION}: choose another folder or remove it first"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{directory.name}-", suffix=".wip", dir=directory.parent
    ) as wip_name:
        wip = Path(wip_name) / "corpus"
        _write_files(wip, plan_recordings(seed))
        (wip / MARKER_NAME).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        if directory.exists():
            directory.rmdir()
        wip.rename(directory)


def plan_recordings(seed: int) -> list[Recording]:
    """Return the 150 recordings: in every class and fold two of salience 1 (foreground), one of 2."""
    places = list(itertools.product(range(len(RENDERERS)), FOLDS, (1, 1, 2)))
    roots = np.random.SeedSequence(seed).spawn(len(places))
    return [
        Recording(fs_id, *place, seeds=tuple(root.spawn(3 + _N_CLIPS)))
        for fs_id, (place, root) in enumerate(zip(places, roots, strict=True), start=900_001)
    ]


def render_recording(recording: Recording) -> Iterator[Clip]:
    """Yield the recording's clips in the order of time, none overlapping another."""
    timing = np.random.default_rng(recording.seeds[0])
    start_s = _round_to_step(timing.uniform(0.0, 20.0))
    for slice_id, clip_seed in enumerate(recording.seeds[3:]):
        name = f"{recording.fs_id}-{recording.class_id}-0-{slice_id}"
        clip = Clip(name, start_s, *_render_stems(recording, np.random.default_rng(clip_seed)))
        yield clip
        start_s = _round_to_step(clip.end_s + timing.uniform(0.0, 1.0))


def _render_stems(recording: Recording, events: Rng) -> npt.NDArray[np.int16]:
    """Return object and background at one scale, shape (2, sample); neither they nor their sum clip."""
    class_name = list(RENDERERS)[recording.class_id]
    source, scene = (np.random.default_rng(seed) for seed in recording.seeds[1:3])
    n_samples = seconds_to_samples(_draw_duration_s(events, class_name))
    sound = normalise(RENDERERS[class_name](source, events, n_samples))
    ground = normalise(render_background(scene, events, n_samples))
    ratio_db = scene.uniform(14.0, 26.0) if recording.salience == 1 else scene.uniform(0.0, 6.0)
    stems = np.stack([sound, ground * 10 ** (-ratio_db / 20)])
    peak = max(np.abs(stems).max(), np.abs(stems.sum(axis=0)).max())
    pcm: npt.NDArray[np.int16] = np.rint(stems * (scene.uniform(0.3, 0.95) * 32_767 / peak)).astype(np.int16)
    return pcm


def _holds(directory: Path, marker: dict[str, str | int]) -> bool:
    try:
        return bool(json.loads((directory / MARKER_NAME).read_text(encoding="utf-8")) == marker)
    except (OSError, ValueError):
        return False


def _write_files(directory: Path, recordings: list[Recording]) -> None:
    for folder in ("metadata", *(f"{kind}/fold{fold}" for kind in ("audio", "stems") for fold in FOLDS)):
        (directory / folder).mkdir(parents=True)
    (directory / "README.txt").write_text(_README, encoding="utf-8")
    with (directory / "metadata" / "UrbanSound8K.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_COLUMNS)
        for recording in recordings:
            for clip in render_recording(recording):
                _write_clip(directory, clip, fold=recording.fold)
                table.writerow(_clip_to_row(clip, recording))


def _clip_to_row(clip: Clip, recording: Recording) -> tuple[str | int, ...]:
    class_name = list(RENDERERS)[recording.class_id]
    times = (f"{clip.start_s:.2f}", f"{clip.end_s:.2f}")
    codes = (recording.salience, recording.fold, recording.class_id)
    return (f"{clip.name}.wav", recording.fs_id, *times, *codes, class_name)


def _write_clip(directory: Path, clip: Clip, *, fold: int) -> None:
    audio, stems = (directory / kind / f"fold{fold}" for kind in ("audio", "stems"))
    _write_wav(audio / f"{clip.name}.wav", clip.object_pcm + clip.background_pcm)
    _write_wav(stems / f"{clip.name}.object.wav", clip.object_pcm)
    _write_wav(stems / f"{clip.name}.background.wav", clip.background_pcm)


def _write_wav(path: Path, pcm: npt.NDArray[np.int16]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(pcm.astype("<i2").tobytes())


def _round_to_step(time_s: float) -> float:
    return round(time_s / STEP_S) * STEP_S


def _draw_duration_s(events: Rng, class_name: str) -> float:
    """Return the clip's length; sounds that are events by nature are often shorter than the longest clip."""
    if class_name in {"car_horn", "dog_bark", "gun_shot"} and events.random() < 0.65:
        return events.uniform(0.6, _MAX_DURATION_S)
    return _MAX_DURATION_S
