"""From the files of a clip to what its spectrograms are made of, whatever kind of source it comes from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.config import N_BINS, N_FRAMES, FeatureSettings, Representation, Settings
from toolkit.corpus.audio import Sound, read_clip
from toolkit.corpus.catalogue import Clip
from toolkit.corpus.pictures import read_picture
from toolkit.errors import ClipError, SilentClipError, printable
from toolkit.features import spectrogram
from toolkit.store.variables import FREQUENCY_AXIS

_UNKNOWN_RATE = -1
_BYTES_AT_ONCE = 1 << 25


@dataclass(frozen=True)
class Reading:
    """What the files of a clip hold: sound, with its stems where the corpus has them, or a picture's level."""

    error: str = ""
    """Why the clip is left out; then there is nothing else."""
    is_passing: bool = False
    """Whether the error is of the system and may be gone the next time."""
    recorded_s: float = math.nan
    native_rate_hz: int = _UNKNOWN_RATE
    clipped_share: float = math.nan
    samples: np.ndarray | None = None
    stems: tuple[np.ndarray, np.ndarray] | None = None
    """The labelled object alone and the background alone."""
    level: np.ndarray | None = None
    """Level of a picture, shape (bin, frame), in [0, 1]."""


def analysis(settings: Settings) -> FeatureSettings:
    """Return how spectrograms are made; of pictures, how they are supposed to have been made."""
    if settings.source.kind != "pictures":
        return settings.features
    fmax_hz = settings.source.fmax_hz
    supposed = {"sample_rate_hz": math.ceil(2 * fmax_hz), "mel_fmin_hz": 0.0, "mel_fmax_hz": fmax_hz}
    return settings.features.model_copy(update=supposed)


def nominal(settings: Settings) -> tuple[str, ...]:
    """Return the axes that are supposed, because pictures do not tell them."""
    return tuple(axis.name for axis in FREQUENCY_AXIS) if settings.source.kind == "pictures" else ()


def clips_at_once(settings: Settings) -> int:
    """Return how many clips to hold in memory as sound: the longer they are, the fewer."""
    return max(1, _BYTES_AT_ONCE // (4 * _n_samples(settings)))


def read(clip: Clip, root: Path, settings: Settings) -> Reading:
    """Return what a clip's files hold, or why they cannot be used."""
    try:
        if settings.source.kind == "pictures":
            return _read_picture(clip, root, settings)
        sound = _read_sound(clip, clip.path, root, settings)
        return Reading(
            recorded_s=sound.recorded_s,
            native_rate_hz=sound.native_rate_hz,
            clipped_share=sound.clipped_share,
            samples=sound.samples,
            stems=_read_stems(clip, root, settings),
        )
    except ClipError as error:
        cause = error.__cause__
        is_passing = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
        # The message names the file as it was opened; a store names it within its corpus.
        return Reading(error=str(error).replace(f"{printable(root)}/", ""), is_passing=is_passing)
    except Exception as error:  # noqa: BLE001 (whatever a decoder comes up with costs this clip alone, and is named)
        what = f"{type(error).__name__}: {printable(error)}"
        return Reading(error=f"{printable(clip.path)}: cannot be read for an unexpected reason ({what})")


def levels(readings: Sequence[Reading], representation: Representation, settings: Settings) -> np.ndarray:
    """Return the level of every cell in dB, shape (clip, bin, frame), float32; NaN for clips left out."""
    found = np.full((len(readings), N_BINS, N_FRAMES), np.nan, np.float32)
    depth = np.float32(settings.features.dynamic_range_db)
    for row, reading in enumerate(readings):
        if reading.level is not None:
            recorded = spectrogram.valid_frames(np.array(reading.recorded_s), settings.features.duration_s)
            # What was filled up was never recorded, and is silent here as it is in sound.
            found[row] = np.where(recorded, (reading.level - 1) * depth, -depth)
    with_sound = [row for row, reading in enumerate(readings) if reading.samples is not None]
    if with_sound:
        power = _powers([readings[row].samples for row in with_sound], representation, settings)
        for row, cells in zip(with_sound, power, strict=True):
            found[row] = spectrogram.level_db(cells, settings.features.dynamic_range_db)
    return found


def object_masks(readings: Sequence[Reading], representation: Representation, settings: Settings) -> np.ndarray:
    """Return where the object is louder than the background, booleans, shape (clip, bin, frame)."""
    masks = np.zeros((len(readings), N_BINS, N_FRAMES), bool)
    known = [row for row, reading in enumerate(readings) if reading.stems is not None]
    if known:
        stems = [readings[row].stems for row in known]
        of_object, of_background = (
            _powers([pair[place] for pair in stems if pair], representation, settings) for place in (0, 1)
        )
        masks[known] = of_object > of_background
    return masks


def _powers(
    samples: Sequence[np.ndarray | None], representation: Representation, settings: Settings
) -> np.ndarray:
    known = [each for each in samples if each is not None]
    return spectrogram.powers(np.stack(known), representation, settings.features)


def _read_sound(clip: Clip, path: str, root: Path, settings: Settings) -> Sound:
    return read_clip(
        root / path,
        sample_rate_hz=settings.features.sample_rate_hz,
        duration_s=settings.features.duration_s,
        start_s=clip.start_s,
        end_s=clip.end_s,
        is_excerpt=clip.is_excerpt,
    )


def _read_stems(clip: Clip, root: Path, settings: Settings) -> tuple[np.ndarray, np.ndarray] | None:
    if clip.object_path is None or clip.background_path is None:
        return None
    paths = (clip.object_path, clip.background_path)
    of_object, of_background = (_read_stem(clip, path, root, settings) for path in paths)
    return of_object, of_background


def _read_stem(clip: Clip, path: str, root: Path, settings: Settings) -> np.ndarray:
    try:
        return _read_sound(clip, path, root, settings).samples
    except SilentClipError:
        # A part of a mix may be silent, where a clip may not.
        return np.zeros(_n_samples(settings), np.float32)


def _n_samples(settings: Settings) -> int:
    return round(settings.features.duration_s * settings.features.sample_rate_hz)


def _read_picture(clip: Clip, root: Path, settings: Settings) -> Reading:
    duration_s, lasts_s = settings.features.duration_s, clip.end_s - clip.start_s
    recorded_s = duration_s if math.isnan(lasts_s) else min(duration_s, lasts_s)
    return Reading(recorded_s=recorded_s, level=read_picture(root / clip.path))
