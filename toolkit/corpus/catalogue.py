"""What a corpus is to the rest of the toolkit: a list of clips in a fixed order, and what was wrong with it.

A clip is one excerpt; a recording is the source that it was cut from. Reading a catalogue opens no
sound: a file that turns out to be unusable later keeps its row and is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One row of the catalogue. Paths are relative to the folder of the corpus; unknown times are NaN."""

    name: str
    path: str
    class_name: str
    label: int
    fold: int
    recording: str
    start_s: float
    end_s: float
    salience: int
    object_path: str | None = None
    """Stem of the labelled object alone, where the corpus has it."""
    background_path: str | None = None


@dataclass(frozen=True)
class Problem:
    """Something wrong with a corpus, to be shown wherever results are shown."""

    subject: str
    reason: str


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
