"""Clips of one's own: a CSV manifest, or a folder whose subfolders are the classes.

A manifest has the columns ``path`` and ``class``, and may have ``fold``, ``recording``, ``start``, ``end``
(both in seconds within the recording) and ``salience`` (1 foreground, 2 background, 0 unknown); other columns
are ignored. Paths are relative to the folder of the manifest and stay inside it. In a labelled folder, the
direct subfolders are the classes, and the sound files anywhere below one are its clips; hidden files are
ignored.

Where a row names no recording, its file is the recording, and a start or an end says which part is the clip.
Where a row names its recording, a file that is clearly longer than end - start and than one clip is cut
likewise; any other is taken to be the excerpt already, which start and end only measure.

A clip is named by its path, and where several rows take parts of one file, by path and times. Folds are either
named by every row or drawn for all of them (``toolkit.corpus.folds``), which is announced.
"""

import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath

from toolkit.corpus import folds
from toolkit.corpus.catalogue import NOTE, Catalogue, Clip, Problem, assemble, some_reasons
from toolkit.corpus.table import (
    Row,
    fold_of,
    parse_rows,
    problems_of,
    read_table,
    refuse_unfit,
    salience_of,
    shown,
    text_of,
    times_of,
)
from toolkit.errors import ClipError, CorpusError, printable

COLUMNS = ("path", "class", "fold", "recording", "start", "end", "salience")
REQUIRED = ("path", "class")
SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".w64", ".caf")
_LONGEST_PATH = 1000
"""Bytes: a quarter of what systems take, as the folder of the corpus comes before it."""

Locate = Callable[[str], str]
"""From a path below the root to where the file really lies, whatever links lead there, below it as well."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A clip by itself: named by its path, of label 0, and of fold 0 where it names none."""

    line: int
    file: str
    """Where the file really lies, below the root."""
    clip: Clip

    @property
    def part(self) -> tuple[str, float | None, float | None]:
        """What sound it is; unknown times are None, as NaN equals nothing."""
        start_s, end_s = self.clip.start_s, self.clip.end_s
        return self.file, None if math.isnan(start_s) else start_s, None if math.isnan(end_s) else end_s


@dataclass(frozen=True)
class _Listing:
    """What a manifest or a folder names, before its entries are compared with one another.

    Faults are reasons by line of the manifest or by number of the file, which ``name_of`` gives a name.
    """

    where: str
    title: str
    root: Path
    thing: str
    name_of: Callable[[int], str]
    entries: Sequence[_Entry]
    faults: dict[int, str]
    notes: tuple[Problem, ...] = ()


def read_catalogue(path: Path, seed: int, known_folds: Mapping[str, int] | None = None) -> Catalogue:
    """Return the catalogue of a CSV manifest, or of a folder whose subfolders are the classes.

    A row or file that cannot be used becomes a problem, and the others stand. Of rows that name the same file
    and times, the first one counts; where they name different classes, none does.

    Parameters
    ----------
    path
        The manifest or the folder.
    seed
        Draws the folds where none are named.
    known_folds
        Folds that were drawn for recordings before.

    Raises
    ------
    CorpusError
        There is neither, nothing in it can be used, or there are fewer than two classes, or fewer than two
        recordings where folds are to be drawn.
    """
    listing = _list_folder(path) if _is_folder(path) else _list_table(path)
    entries, without_fold = _without_foldless(listing.entries)
    entries, repeated = _without_repeated(entries, listing.name_of)
    entries, ambiguous = _with_names(entries)
    faults = {**listing.faults, **without_fold, **repeated, **ambiguous}
    problems = [*problems_of(faults, listing.name_of, listing.thing), *listing.notes]
    clips = [entry.clip for entry in entries]
    ranks = {name: rank for rank, name in enumerate(sorted({clip.class_name for clip in clips}))}
    drawn, announced = _draw_folds(clips, seed, known_folds or {}, listing, problems)
    complete = [
        replace(clip, label=ranks[clip.class_name], fold=drawn.get(clip.recording, clip.fold)) for clip in clips
    ]
    return assemble(listing.root, complete, [*problems, *announced], listing.where)


def _list_table(path: Path) -> _Listing:
    """Read a CSV manifest row by row.

    Raises
    ------
    CorpusError
        It cannot be understood as a whole.
    """
    try:
        table = read_table(path, COLUMNS, REQUIRED)
    except CorpusError as error:
        advice = "--manifest takes a CSV table with the columns path and class, or a folder of class folders"
        raise CorpusError(f"{error}; {advice}") from error
    title = printable(path.name)
    entries, faults = parse_rows(table, partial(_entry_of_row, locate=_locator(path.parent)))
    return _Listing(
        where=printable(path),
        title=title,
        root=path.parent,
        thing="row",
        name_of=lambda line: f"{title} line {line}",
        entries=entries,
        faults=faults,
    )


def _entry_of_row(row: Row, locate: Locate) -> _Entry:
    path = _path_of(row)
    class_name = text_of(row, "class")
    if not class_name:
        raise ClipError("class is empty")
    file = locate(path)
    start_s, end_s = times_of(row)
    recording = text_of(row, "recording")
    is_part = not recording and not (math.isnan(start_s) and math.isnan(end_s))
    clip = Clip(
        name=path,
        path=path,
        class_name=class_name,
        label=0,
        fold=fold_of(row),
        recording=recording or printable(file),
        start_s=0.0 if is_part and math.isnan(start_s) else start_s,
        end_s=end_s,
        salience=salience_of(row),
        is_excerpt=not is_part,
    )
    return _Entry(row.line, file, clip)


def _path_of(row: Row) -> str:
    """Return the path of a row in its plainest form.

    Raises
    ------
    ClipError
        It is empty, cannot be shown, is too long, or leads out of the manifest's folder.
    """
    text = row.fields["path"]
    refuse_unfit(text, "path", _LONGEST_PATH)
    if "\\" in text:
        raise ClipError(f"path={shown(text)} holds a backslash; folders are separated by '/'")
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if text.startswith("/") or ".." in parts:
        raise ClipError(f"path={shown(text)} is not relative to the manifest's folder and without '..'")
    if not parts:
        raise ClipError(f"path={shown(text)} names no file")
    return "/".join(parts)


def _locator(root: Path) -> Locate:
    """Return what tells where files really lie; the root itself may be reached through links.

    It looks every folder up once, which makes it quick for many files. A file whose links lead out of the root
    is a ``ClipError``.
    """
    real_root = os.path.realpath(root)

    @cache
    def locate_folder(folder: str) -> str:
        return _below(os.path.realpath(root / folder), real_root)

    def locate(path: str) -> str:
        folder, _, name = path.rpartition("/")
        folder = locate_folder(folder)
        file = name if folder == "." else f"{folder}/{name}"
        return (
            _below(os.path.realpath(f"{real_root}/{file}"), real_root)
            if _is_link(f"{real_root}/{file}")
            else file
        )

    return locate


def _below(real_path: str, real_root: str) -> str:
    try:
        return PurePosixPath(real_path).relative_to(real_root).as_posix()
    except ValueError as error:
        raise ClipError("a link leads out of the folder of the corpus") from error


def _is_link(path: str) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        # A name too long for the system, or a folder that may not be searched: reading the clip will tell.
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _list_folder(root: Path) -> _Listing:
    """Find the sound files below a labelled folder, in the order of their paths."""
    found = dict(_walk(root))
    paths = sorted(found)
    locate = _locator(root)
    entries: list[_Entry] = []
    faults = {number: found[path] for number, path in enumerate(paths) if found[path]}
    for number, path in enumerate(paths):
        try:
            if not found[path]:
                entries.append(_entry_of_file(number, path, locate))
        except ClipError as error:
            faults[number] = str(error)
    return _Listing(
        where=f"{printable(root)}, a folder whose subfolders are the classes",
        title=printable(root.name or str(root)),
        root=root,
        thing="file",
        name_of=lambda number: printable(paths[number]),
        entries=entries,
        faults=faults,
        notes=tuple(_note_empty_folders(root, paths)),
    )


def _walk(root: Path) -> Iterator[tuple[str, str]]:
    """Yield every sound file by its path below the root, and every folder left out, with the reason."""
    unread: list[OSError] = []
    for folder, subfolders, names in os.walk(root, onerror=unread.append):
        below = Path(folder).relative_to(root)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in subfolders:
            if _is_link(f"{folder}/{name}"):
                yield (below / name).as_posix(), "links to folders are not followed"
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SOUND_SUFFIXES:
                yield (below / name).as_posix(), ""
    for error in unread:
        yield Path(str(error.filename)).relative_to(root).as_posix(), f"cannot be read ({error.strerror})"


def _entry_of_file(number: int, path: str, locate: Locate) -> _Entry:
    refuse_unfit(path, "path", _LONGEST_PATH)
    class_name, *inside = path.split("/")
    if not inside:
        raise ClipError("lies in no class folder")
    refuse_unfit(class_name, "class")
    file = locate(path)
    clip = Clip(path, path, class_name, 0, 0, printable(file), math.nan, math.nan, 0)
    return _Entry(number, file, clip)


def _note_empty_folders(root: Path, paths: Sequence[str]) -> list[Problem]:
    """Name the subfolders that were not taken for classes."""
    used = {path.split("/")[0] for path in paths}
    _, subfolders, _ = next(os.walk(root), ("", [], []))
    return [
        Problem(printable(name), "holds no sound files, so it is no class", NOTE)
        for name in sorted(subfolders)
        if not name.startswith(".") and name not in used
    ]


def _without_repeated(
    entries: Sequence[_Entry], name_of: Callable[[int], str]
) -> tuple[list[_Entry], dict[int, str]]:
    """Keep the first of the entries that are the same sound, and none where they contradict one another."""
    same: dict[tuple[str, float | None, float | None], list[_Entry]] = {}
    for entry in entries:
        same.setdefault(entry.part, []).append(entry)
    kept, faults = [], {}
    for first, *others in same.values():
        other = next((item for item in others if item.clip.class_name != first.clip.class_name), None)
        if other is None:
            kept.append(first)
            reason = f"names the same file and times as {name_of(first.line)}, which counts"
            faults.update({item.line: reason for item in others})
            continue
        for item in (first, *others):
            rival = first if item.clip.class_name != first.clip.class_name else other
            faults[item.line] = (
                f"class={item.clip.class_name!r}, but {name_of(rival.line)} calls the same file and times "
                f"{rival.clip.class_name!r}: nobody can tell which is right"
            )
    return kept, faults


def _without_foldless(entries: Sequence[_Entry]) -> tuple[list[_Entry], dict[int, str]]:
    """Leave out entries without a fold where others name theirs: nobody knows what these were kept from."""
    if not any(entry.clip.fold for entry in entries):
        return list(entries), {}
    reason = "fold is empty, while other rows name theirs"
    kept = [entry for entry in entries if entry.clip.fold]
    return kept, {entry.line: reason for entry in entries if not entry.clip.fold}


def _with_names(entries: Sequence[_Entry]) -> tuple[list[_Entry], dict[int, str]]:
    """Name parts of one file by their times; a path that looks like such a name may be taken already."""
    n_parts = Counter(entry.clip.path for entry in entries)
    kept: dict[str, _Entry] = {}
    faults = {}
    for entry in entries:
        name = entry.clip.path + (_times(entry.clip) if n_parts[entry.clip.path] > 1 else "")
        if name in kept:
            faults[entry.line] = f"the clip would be called {shown(name)}, as another one is"
        else:
            kept[name] = (
                entry if name == entry.clip.name else replace(entry, clip=replace(entry.clip, name=name))
            )
    return list(kept.values()), faults


def _times(clip: Clip) -> str:
    """Return the times of a clip in the fewest digits that tell them from all others."""
    start, end = (
        "" if math.isnan(value) else f"{value!r}".removesuffix(".0") for value in (clip.start_s, clip.end_s)
    )
    return f"@{start}-{end}s" if start or end else ""


def _draw_folds(
    clips: Sequence[Clip], seed: int, known: Mapping[str, int], listing: _Listing, problems: Sequence[Problem]
) -> tuple[dict[str, int], list[Problem]]:
    """Return a fold per recording where no clip has one, and a note that says so.

    Raises
    ------
    CorpusError
        There are too few recordings to draw any.
    """
    if not clips or clips[0].fold:
        return {}, []
    try:
        drawn = folds.draw(((clip.recording, clip.class_name) for clip in clips), seed, known)
    except CorpusError as error:
        raise CorpusError(f"{listing.where}: {error}{some_reasons(problems)}") from error
    reason = (
        f"names no folds: {max(drawn.values())} were drawn with seed {seed}, each recording whole in one fold "
        "and every class spread evenly"
    )
    return drawn, [Problem(listing.title, reason, NOTE)]
