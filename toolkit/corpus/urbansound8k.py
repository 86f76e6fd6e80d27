"""The UrbanSound8K table, beside the sounds it came with or beside pictures made of them.

Sounds: ``audio/fold<N>/<slice>`` and ``metadata/UrbanSound8K.csv``, the layout of the data set. Optional stems
(``stems/fold<N>/<slice without .wav>.object.wav`` and ``.background.wav``) say where the object is. Pictures of
spectrograms, as the study published them: ``train/<slice without .wav>.png`` and ``UrbanSound8K.csv``.

A slice is named ``<fsID>-<classID>-<occurrenceID>-<sliceID>.wav``, so a column that is missing can often be
made good from the name or the folder; each such case is a ``Problem``.

Source: Salamon, Jacoby & Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM Multimedia 2014.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from toolkit.corpus.catalogue import Catalogue, Clip, Problem, assemble, is_file
from toolkit.corpus.table import (
    Row,
    fold_of,
    parse_rows,
    problems_of,
    read_table,
    salience_of,
    shown,
    text_of,
    times_of,
    whole_of,
)
from toolkit.errors import ClipError, CorpusError, printable

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
    "end": "the clip counts as recorded to the end of its file",
    "salience": "foreground and background cannot be told apart",
    "fold": "the fold is taken from the folder of the file",
    "classID": "the number of the class is taken from its name or the file name",
    "class": "the class is taken from classID or the file name",
}
_SLICE = re.compile(r"(?P<fsID>[^-]+)-(?P<classID>[0-9]{1,3})-[0-9]+-[0-9]+\.\w+")
_FOLDER = re.compile(r"fold([1-9][0-9]{0,2})")


@dataclass(frozen=True)
class Layout:
    """Where the table lies and where it has its files, below the folder of the corpus."""

    table: Path
    path_of: Callable[[int, str], str]
    """From a fold and the name of a slice to the path of its file."""
    advice: str
    required: tuple[str, ...] = ("slice_file_name",)
    has_stems: bool = False


SOUNDS = Layout(
    METADATA,
    lambda fold, name: f"audio/fold{fold}/{name}",
    "--dataset takes the folder that holds audio/ and metadata/",
    has_stems=True,
)
PICTURES = Layout(
    Path("UrbanSound8K.csv"),
    lambda _, name: f"train/{Path(name).stem}.png",
    "--images takes the folder that holds train/ and UrbanSound8K.csv",
    # No folder tells the fold.
    required=("slice_file_name", "fold"),
)


def read_catalogue(root: Path, layout: Layout = SOUNDS) -> Catalogue:
    """Return the catalogue of a corpus that comes with the table of UrbanSound8K.

    A row that cannot be understood becomes a problem, and the other rows stand. Of rows that name the same
    slice, the first one counts.

    Raises
    ------
    CorpusError
        There is no table, it names no slices, none of the slices it names exists, or all are of one class.
    """
    try:
        table = read_table(root / layout.table, ("slice_file_name", *_WITHOUT_COLUMN), layout.required)
    except CorpusError as error:
        raise CorpusError(f"{error}; {layout.advice}") from error
    clips, faults = parse_rows(table, _parser(root, layout))
    clips, odd = _consistent(clips)
    problems = [
        Problem(str(layout.table), f"column {name!r} is missing: {instead}")
        for name, instead in _WITHOUT_COLUMN.items()
        if name not in table.columns
    ]
    problems += problems_of(faults, lambda line: f"{layout.table} line {line}") + odd
    return assemble(root, clips, problems, printable(root / layout.table))


def _parser(root: Path, layout: Layout) -> Callable[[Row], Clip]:
    """Return what reads one row after the other; it remembers names, as each may stand once."""
    folders = cache(partial(_files_by_name, root))
    has_stems = layout.has_stems and (root / "stems").is_dir()
    names: set[str] = set()
    paths: set[str] = set()

    def parse(row: Row) -> Clip:
        clip = _clip(row, layout, folders)
        if clip.name in names:
            raise ClipError(f"slice_file_name={shown(clip.name)} stands twice; the first one counts")
        if clip.path in paths:
            raise ClipError(f"slice_file_name={shown(clip.name)}: {clip.path} is the file of another slice")
        names.add(clip.name)
        paths.add(clip.path)
        return _with_stems(clip, root) if has_stems else clip

    return parse


def _consistent(clips: Sequence[Clip]) -> tuple[list[Clip], list[Problem]]:
    """Drop rows whose class name and number pair up otherwise in most other rows, or in UrbanSound8K."""
    pairs = Counter((clip.class_name, clip.label) for clip in clips)
    label_of = {name: label for (name, label), _ in reversed(pairs.most_common())}
    name_of = {label: name for (name, label), _ in reversed(pairs.most_common())}
    known = dict(enumerate(CLASS_NAMES)) if _is_mostly_known(pairs) else {}
    kept, problems = [], []
    for clip in clips:
        pair = f"class={clip.class_name!r} with classID={clip.label}"
        name = known.get(clip.label, clip.class_name)
        if name != clip.class_name and clip.class_name not in CLASS_NAMES:
            reason = f"{pair}, which is {name!r} in UrbanSound8K; the row is left out"
            problems.append(Problem(clip.name, reason))
        elif label_of[clip.class_name] == clip.label and name_of[clip.label] == clip.class_name:
            kept.append(clip)
        else:
            problems.append(Problem(clip.name, f"{pair}, unlike other rows; the row is left out"))
    return kept, problems


def _is_mostly_known(pairs: Counter[tuple[str, int]]) -> bool:
    """Tell UrbanSound8K, where another name is a slip, from a corpus of other classes in its layout."""
    return 2 * sum(pairs[pair] for pair in zip(CLASS_NAMES, range(10), strict=True)) > pairs.total()


def _files_by_name(root: Path) -> dict[str, list[int]]:
    """Return the folds in whose folder each sound file lies, to find the fold where the table lacks it."""
    found: dict[str, list[int]] = {}
    for path in root.glob("audio/fold*/*"):
        if match := _FOLDER.fullmatch(path.parent.name):
            found.setdefault(path.name, []).append(int(match[1]))
    return found


def _clip(row: Row, layout: Layout, folders: Callable[[], Mapping[str, list[int]]]) -> Clip:
    name = text_of(row, "slice_file_name")
    if name in {"", ".", ".."} or "/" in name:
        raise ClipError(f"slice_file_name={shown(name)} is not the plain name of a file")
    parts = _SLICE.fullmatch(name)
    from_name = parts.groupdict() if parts else {}
    fold = fold_of(row) or _fold_of_folder(name, layout, folders)
    label, class_name = _class(row, from_name)
    recording = text_of(row, "fsID") or from_name.get("fsID", "")
    if not recording:
        raise ClipError("fsID is empty, and the file name does not tell it")
    start_s, end_s = times_of(row)
    return Clip(
        name=name,
        path=layout.path_of(fold, name),
        class_name=class_name,
        label=label,
        fold=fold,
        recording=recording,
        start_s=start_s,
        end_s=end_s,
        salience=salience_of(row),
    )


def _fold_of_folder(name: str, layout: Layout, folders: Callable[[], Mapping[str, list[int]]]) -> int:
    if "fold" in layout.required:
        raise ClipError("fold is empty")
    found = folders().get(name, [])
    if len(found) != 1:
        raise ClipError(f"fold is empty, and {shown(name)} lies in {len(found)} folders audio/fold<N>")
    return found[0]


def _class(row: Row, from_name: Mapping[str, str]) -> tuple[int, str]:
    class_name = text_of(row, "class")
    if row.fields.get("classID"):
        label = whole_of(row, "classID", range(1000))
    elif class_name in CLASS_NAMES:
        label = CLASS_NAMES.index(class_name)
    elif "classID" in from_name:
        label = int(from_name["classID"])
    else:
        raise ClipError("classID is empty, and neither the class nor the file name tells it")
    if not class_name and label >= len(CLASS_NAMES):
        raise ClipError(f"class is empty, and classID={label} is none of UrbanSound8K's (0 to 9)")
    return label, class_name or CLASS_NAMES[label]


def _with_stems(clip: Clip, root: Path) -> Clip:
    object_path, background_path = _stems(root, clip)
    return replace(clip, object_path=object_path, background_path=background_path)


def _stems(root: Path, clip: Clip) -> Iterator[str | None]:
    for part in ("object", "background"):
        path = f"stems/fold{clip.fold}/{Path(clip.name).stem}.{part}.wav"
        yield path if is_file(root / path) else None
