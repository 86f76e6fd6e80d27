"""The UrbanSound8K layout: ``audio/fold<N>/<slice>`` and ``metadata/UrbanSound8K.csv``.

A slice is named ``<fsID>-<classID>-<occurrenceID>-<sliceID>.wav``, so a column that is missing can often be
made good from the name or the folder; each such case is a ``Problem``. Optional stems
(``stems/fold<N>/<slice without .wav>.object.wav`` and ``.background.wav``) say where the object is.

Source: Salamon, Jacoby & Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM Multimedia 2014.
"""

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from toolkit.corpus.catalogue import Catalogue, Clip, Problem, sort_clips
from toolkit.errors import CorpusError

METADATA = Path("metadata/UrbanSound8K.csv")
CLASS_NAMES = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)
_WITHOUT_COLUMN = {
    "fsID": "the recording is taken from the file name",
    "start": "the start within the recording is unknown",
    "end": "the recorded duration is taken from the file",
    "salience": "foreground and background cannot be told apart",
    "fold": "the fold is taken from the folder of the file",
    "classID": "the number of the class is taken from its name or the file name",
    "class": "the class is taken from classID or the file name",
}
_SLICE = re.compile(r"(?P<fsID>[^-]+)-(?P<classID>\d+)-\d+-\d+\.\w+")
_LONGEST_NAME = 240
"""Bytes that leave room, below the usual limit of 255, for what is appended to the names of stems."""
_FOLDER = re.compile(r"fold(\d+)")

Row = Mapping[str, str]


def read_catalogue(root: Path) -> Catalogue:
    """Return the catalogue of a corpus in the UrbanSound8K layout.

    A row that cannot be understood becomes a problem, and the other rows stand.

    Raises
    ------
    CorpusError
        There is no table, it names no slices, or none of the slices it names exists.
    """
    header, rows = _read_table(root / METADATA)
    folders = _files_by_name(root)
    problems = [
        Problem(str(METADATA), f"column {name!r} is missing: {instead}")
        for name, instead in _WITHOUT_COLUMN.items()
        if name not in header
    ]
    clips: dict[str, Clip] = {}
    for line, row in rows:
        try:
            clip = _clip(row, root, folders)
        except ValueError as error:
            problems.append(Problem(f"{METADATA} line {line}", f"{error}; the row is left out"))
            continue
        if clip.name in clips:
            reason = f"slice_file_name={clip.name!r} stands twice; the row is left out, the first one counts"
            problems.append(Problem(f"{METADATA} line {line}", reason))
        else:
            clips[clip.name] = clip
    return _catalogue(root, clips.values(), problems)


def _catalogue(root: Path, clips: Iterable[Clip], problems: list[Problem]) -> Catalogue:
    clips, odd = _consistent(list(clips))
    if not any((root / clip.path).is_file() for clip in clips):
        reasons = "; ".join(f"{problem.subject}: {problem.reason}" for problem in problems[:3])
        raise CorpusError(
            f"{root / METADATA}: none of its {len(clips)} clips exists under {root / 'audio'}; "
            f"nothing to process{f' ({reasons})' if reasons else ''}"
        )
    names = {clip.label: clip.class_name for clip in clips}
    ranks = {label: rank for rank, label in enumerate(sorted(names))}
    ranked = (_with_label(clip, ranks[clip.label]) for clip in clips)
    return Catalogue(
        root, tuple(names[label] for label in sorted(names)), sort_clips(ranked), tuple(problems + odd)
    )


def _with_label(clip: Clip, label: int) -> Clip:
    """Return a clip with its class numbered anew: the network's outputs have no gaps."""
    return Clip(**{**clip.__dict__, "label": label})


def _consistent(clips: list[Clip]) -> tuple[list[Clip], list[Problem]]:
    """Drop rows whose class name and number pair up otherwise in most other rows."""
    pairs = Counter((clip.class_name, clip.label) for clip in clips)
    label_of = {name: label for (name, label), _ in reversed(pairs.most_common())}
    name_of = {label: name for (name, label), _ in reversed(pairs.most_common())}
    kept, problems = [], []
    for clip in clips:
        if label_of[clip.class_name] == clip.label and name_of[clip.label] == clip.class_name:
            kept.append(clip)
        else:
            reason = (
                f"class={clip.class_name!r} with classID={clip.label}, unlike other rows; the row is left out"
            )
            problems.append(Problem(clip.name, reason))
    return kept, problems


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, Row]]]:
    """Return the columns, and every row with the number of the line that it ends on.

    Raises
    ------
    CorpusError
        There is no table, or it names no slices.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            rows = [(reader.line_num, row) for row in reader]
            header = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(
            f"{path}: {getattr(error, 'strerror', None) or error}; --dataset takes the folder that holds "
            "audio/ and metadata/"
        ) from error
    if "slice_file_name" not in header:
        raise CorpusError(
            f"{path}: column 'slice_file_name' is missing, so no clip can be told; found: {header}"
        )
    return header, [*rows]


def _files_by_name(root: Path) -> dict[str, list[str]]:
    """Return the fold folders in which each sound file lies, to find the fold where the table lacks it."""
    folders: dict[str, list[str]] = {}
    for path in sorted(root.glob("audio/fold*/*")):
        folders.setdefault(path.name, []).append(path.parent.name)
    return folders


def _clip(row: Row, root: Path, folders: Mapping[str, list[str]]) -> Clip:
    name = _field(row, "slice_file_name")
    if (
        name in {"", ".", ".."}
        or not name.isprintable()
        or Path(name).name != name
        or len(os.fsencode(name)) > _LONGEST_NAME
    ):
        raise ValueError(f"slice_file_name={name!r} is not the plain name of a file")
    parts = _SLICE.fullmatch(name)
    from_name = parts.groupdict() if parts else {}
    fold = _fold(row, name, folders)
    label, class_name = _class(row, from_name)
    recording = _field(row, "fsID") or from_name.get("fsID", "")
    if not recording:
        raise ValueError("fsID is empty, and the file name does not tell it")
    start_s, end_s = _times(row)
    object_path, background_path = _stems(root, fold, name)
    return Clip(
        name=name,
        path=f"audio/fold{fold}/{name}",
        class_name=class_name,
        label=label,
        fold=fold,
        recording=recording,
        start_s=start_s,
        end_s=end_s,
        salience=_whole(row, "salience", allowed=range(3)) if _field(row, "salience") else 0,
        object_path=object_path,
        background_path=background_path,
    )


def _fold(row: Row, name: str, folders: Mapping[str, list[str]]) -> int:
    if _field(row, "fold"):
        return _whole(row, "fold", allowed=range(1, 1000))
    found = [match for match in map(_FOLDER.fullmatch, folders.get(name, [])) if match]
    if len(found) != 1:
        raise ValueError(f"fold is empty, and {name!r} lies in {len(found)} folders audio/fold<N>")
    return int(found[0][1])


def _class(row: Row, from_name: Mapping[str, str]) -> tuple[int, str]:
    class_name = _field(row, "class")
    number = _field(row, "classID")
    if number:
        label = _whole(row, "classID", allowed=range(1000))
    elif class_name in CLASS_NAMES:
        label = CLASS_NAMES.index(class_name)
    elif "classID" in from_name:
        label = int(from_name["classID"])
    else:
        raise ValueError("classID is empty, and neither the class nor the file name tells it")
    if not class_name and label >= len(CLASS_NAMES):
        raise ValueError(f"class is empty, and classID={label} is none of UrbanSound8K's (0 to 9)")
    return label, class_name or CLASS_NAMES[label]


def _times(row: Row) -> tuple[float, float]:
    start_s, end_s = _seconds(row, "start"), _seconds(row, "end")
    if end_s <= start_s:
        raise ValueError(f"end={end_s} is not after start={start_s}")
    return start_s, end_s


def _seconds(row: Row, name: str) -> float:
    text = _field(row, name)
    try:
        value = float(text) if text else math.nan
    except ValueError:
        value = -1.0
    if text and not 0 <= value < math.inf:
        raise ValueError(f"{name}={text!r} is not a time in seconds")
    return value


def _whole(row: Row, name: str, *, allowed: range) -> int:
    text = _field(row, name)
    if not text.isdecimal() or int(text) not in allowed:
        raise ValueError(f"{name}={text!r} is not a whole number from {allowed[0]} to {allowed[-1]}")
    return int(text)


def _field(row: Row, name: str) -> str:
    return (row.get(name) or "").strip()


def _stems(root: Path, fold: int, name: str) -> Iterator[str | None]:
    for part in ("object", "background"):
        path = f"stems/fold{fold}/{Path(name).stem}.{part}.wav"
        yield path if (root / path).is_file() else None
