"""What a corpus is to the rest of the toolkit: a list of clips in a fixed order, and what was wrong with it.

A clip is one excerpt; a recording is the source that it was cut from. Reading a catalogue opens no
sound: a file that turns out to be unusable later keeps its row and is left out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from toolkit.errors import CorpusError

Severity = Literal["fault", "note"]
FAULT: Severity = "fault"
NOTE: Severity = "note"


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of the catalogue. Paths are relative to the folder of the corpus.

    ``start_s`` and ``end_s`` say where the clip lies within its recording; NaN where that is unknown.
    """

    name: str
    path: str
    class_name: str
    label: int
    fold: int
    recording: str
    start_s: float
    end_s: float
    salience: int
    is_excerpt: bool = True
    """Whether the file holds the clip alone; if not, it holds the recording, and the clip is cut out of it."""
    object_path: str | None = None
    """Stem of the labelled object alone, where the corpus has it."""
    background_path: str | None = None


@dataclass(frozen=True)
class Problem:
    """Something wrong with a corpus, to be shown wherever results are shown."""

    subject: str
    reason: str
    severity: Severity = FAULT
    """A fault is to be mended; a note is to be known, and a run with notes alone is clean."""


@dataclass(frozen=True)
class Catalogue:
    """Every clip of a corpus, sorted by class, fold, recording and name."""

    root: Path
    class_names: tuple[str, ...]
    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def has_stems(self) -> bool:
        """Whether at least one clip comes with its object and background apart."""
        return any(clip.object_path for clip in self.clips)


def sort_clips(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """Return clips in the one order that every store uses."""
    return tuple(sorted(clips, key=lambda clip: (clip.label, clip.fold, clip.recording, clip.name)))


def assemble(root: Path, clips: Sequence[Clip], problems: Sequence[Problem], where: str) -> Catalogue:
    """Return the catalogue of clips whose labels may have gaps; the network's outputs have none.

    Parameters
    ----------
    root
        The folder that the clips' paths are relative to.
    clips
        In any order; one class name per label.
    problems
        What was wrong with the others.
    where
        What names the clips, for messages.

    Raises
    ------
    CorpusError
        No clip is left, none of their files exists, or all are of one class.
    """
    _refuse_unusable(root, clips, problems, where)
    names = {clip.label: clip.class_name for clip in clips}
    ranks = {label: rank for rank, label in enumerate(sorted(names))}
    ranked = (
        clip if ranks[clip.label] == clip.label else replace(clip, label=ranks[clip.label]) for clip in clips
    )
    return Catalogue(root, tuple(names[label] for label in sorted(names)), sort_clips(ranked), tuple(problems))


def shared_recordings(clips: Iterable[Clip]) -> dict[str, Counter[tuple[int, str]]]:
    """Return the recordings that have clips in more than one fold, whatever the class.

    Returns
    -------
    Clips per (fold, class), by recording, in the order of their names.
    """
    counts: dict[str, Counter[tuple[int, str]]] = {}
    for clip in clips:
        counts.setdefault(clip.recording, Counter())[clip.fold, clip.class_name] += 1
    return {
        recording: counts[recording]
        for recording in sorted(counts)
        if len({fold for fold, _ in counts[recording]}) > 1
    }


def some_reasons(problems: Sequence[Problem]) -> str:
    """Return up to three faults in brackets, to end a message with; '' where there are none.

    They are the last three: what concerns single rows follows what concerns the whole table.
    """
    faults = [problem for problem in problems if problem.severity == FAULT]
    shown = "; ".join(f"{problem.subject}: {problem.reason}" for problem in faults[-3:])
    return f" ({len(faults)} faults, such as {shown})" if shown else ""


def _refuse_unusable(root: Path, clips: Sequence[Clip], problems: Sequence[Problem], where: str) -> None:
    """Do nothing for clips that a network can be trained on.

    Raises
    ------
    CorpusError
        There are none, none of them exists, or all are of one class.
    """
    why = some_reasons(problems)
    if not clips:
        raise CorpusError(f"{where}: names no clip that can be used; nothing to process{why}")
    if not any(is_file(root / clip.path) for clip in clips):
        raise CorpusError(
            f"{where}: none of its {len(clips)} clips exists, such as {clips[0].path}; nothing to process{why}"
        )
    names = {clip.class_name for clip in clips}
    if len(names) == 1:
        raise CorpusError(
            f"{where}: names clips of one class alone, {names.pop()!r}: a network learns to tell classes "
            f"apart, so it needs two at least{why}"
        )


def is_file(path: Path) -> bool:
    """Tell whether a file can be found, whatever the system thinks of its name."""
    try:
        return path.is_file()
    except OSError:
        # A name too long for the system, or a folder that may not be searched.
        return False
