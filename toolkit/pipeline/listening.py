"""From a file that is not of the corpus to what networks see of it: windows and their spectrograms.

Both are kept in a store of the recording's own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from toolkit.config import Representation, Settings, to_json
from toolkit.corpus.audio import length_s
from toolkit.corpus.catalogue import Clip
from toolkit.corpus.windows import in_windows
from toolkit.errors import ClipError, printable
from toolkit.features import spectrogram
from toolkit.pipeline import reading
from toolkit.pipeline.files import digest_file
from toolkit.pipeline.stages import features
from toolkit.store import write
from toolkit.store.schema import CLIP_STATES, OK

MOST_WINDOWS = 2000
"""Of one file: with ten networks, the maps of so many take 0.3 GB a composite."""
_UNLABELLED = -1


@dataclass(frozen=True)
class ListeningJob:
    """A file to be read. Picklable."""

    path: Path
    settings: Settings
    representations: tuple[Representation, ...]
    windows: bool


@dataclass(frozen=True)
class Recording:
    """A file that holds at least one window that can be judged."""

    path: Path
    title: str
    """Name of the file, with what cannot be shown escaped."""
    content: str
    """Digest of the file."""
    length_s: float
    """Seconds of sound in the file; NaN for pictures."""
    windows: bool
    """Whether all of it was asked for, or its first seconds."""
    clips: tuple[Clip, ...]
    """Its windows, in order."""
    states: Mapping[str, np.ndarray]
    """How reading each window went, by the names of the schema."""
    level_db: Mapping[Representation, np.ndarray]
    """Shape (clip, bin, frame), float32, NaN where a window cannot be used."""


def listen(job: ListeningJob) -> Recording | str:
    """Read a file; return why where it cannot be used."""
    title = printable(Path(job.path.name))
    try:
        whole_s = math.nan if job.settings.source.kind == "pictures" else length_s(job.path)
        clips = _clips(job, title, whole_s)
        states, level_db = _read(job, clips)
        if not (states["status"] == OK).any():
            return str(states["error"][0]).removeprefix(f"{title}: ")
        content = digest_file(job.path)
    except ClipError as error:
        return str(error).removeprefix(f"{printable(job.path)}: ")
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    named = tuple(replace(clip, path=title, recording=title) for clip in clips)
    return Recording(job.path, title, content, whole_s, job.windows, named, states, level_db)


def _clips(job: ListeningJob, title: str, whole_s: float) -> tuple[Clip, ...]:
    """Return the windows of a file.

    Raises
    ------
    ClipError
        There are too many of them.
    """
    whole = Clip(
        name=title,
        path=job.path.name,
        class_name="",
        label=_UNLABELLED,
        fold=_UNLABELLED,
        recording=title,
        start_s=math.nan,
        end_s=math.nan,
        salience=0,
        is_excerpt=False,
    )
    if not job.windows:
        return (whole,)
    duration_s = job.settings.features.duration_s
    if whole_s > MOST_WINDOWS * duration_s:
        raise ClipError(
            f"lasts {whole_s:.0f} s, more than {MOST_WINDOWS} windows of {duration_s:g} s: cut it into several"
        )
    clips, _ = in_windows((whole,), duration_s, lambda _path: whole_s)
    return tuple(clips)


def _read(
    job: ListeningJob, clips: Sequence[Clip]
) -> tuple[dict[str, np.ndarray], dict[Representation, np.ndarray]]:
    """Return the states and the levels of windows; sound is held for some of them at a time."""
    root = job.path.absolute().parent
    n_at_once = reading.clips_at_once(job.settings)
    states: dict[str, list[object]] = {}
    levels: dict[Representation, list[np.ndarray]] = {name: [] for name in job.representations}
    for first in range(0, len(clips), n_at_once):
        found = [reading.read(clip, root, job.settings) for clip in clips[first : first + n_at_once]]
        for name, values in features.states_of(found).items():
            states.setdefault(name, []).extend(values)
        for representation, parts in levels.items():
            parts.append(reading.levels(found, representation, job.settings))
    kinds = {variable.name: variable.kind for variable in CLIP_STATES}
    columns = {
        name: np.array(values, dtype=object if kinds[name] == "text" else kinds[name])
        for name, values in states.items()
    }
    return columns, {name: np.concatenate(parts) for name, parts in levels.items()}


def about_of(recording: Recording, settings: Settings) -> dict[str, object]:
    """Return what the store of a recording says of itself: nothing that depends on where the file lies."""
    return {
        "source": settings.source.kind,
        "features": to_json(reading.analysis(settings)),
        "nominal": list(reading.nominal(settings)),
        "file": recording.title,
        "content": recording.content,
        "length_s": None if math.isnan(recording.length_s) else recording.length_s,
        "windows": recording.windows,
    }


def fill_store(store: Path, recording: Recording, settings: Settings) -> None:
    """Write the windows of a recording and their spectrograms."""
    write.write_group(store, "clips", {**features.columns_of(recording.clips), **recording.states})
    seconds = recording.states["valid_duration_s"]
    marks = {"nominal": list(reading.nominal(settings))}
    for representation, level_db in recording.level_db.items():
        axes = asdict(spectrogram.axes(representation, reading.analysis(settings)))
        digests = [
            features.features_digest(level, recorded_s) if status == OK else ""
            for level, recorded_s, status in zip(level_db, seconds, recording.states["status"], strict=True)
        ]
        cells = {"level_db": level_db, "digest": np.array(digests, dtype=object)}
        write.write_group(store, f"features/{representation}", {**axes, **cells}, attributes=marks)
