"""What a run tells whoever watches it. The pipeline prints nothing: it emits these."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StageStarted:
    """A stage begins: how many steps of work it has, out of how many it would have afresh."""

    stage: str
    n_todo: int
    n_units: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class StepDone:
    """One step of a stage is finished and recorded."""

    stage: str
    step: str


@dataclass(frozen=True)
class StageDone:
    """A stage is finished."""

    stage: str
    n_done: int
    seconds: float


@dataclass(frozen=True)
class Trouble:
    """Something was left out or made good, or should be known: which file or row, and why."""

    subject: str
    reason: str
    severity: str = "fault"


@dataclass(frozen=True)
class CorpusChanged:
    """The corpus is not what the run knew: names of clips, and out of how many they are."""

    what: str
    """What became of the clips named, such as 'new'."""
    clips: tuple[str, ...]
    n_clips: int


Event = StageStarted | StepDone | StageDone | Trouble | CorpusChanged
Emit = Callable[[Event], None]
