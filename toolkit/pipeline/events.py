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
    """Something was left out or made good: which file or row, and why."""

    subject: str
    reason: str


Event = StageStarted | StepDone | StageDone | Trouble
Emit = Callable[[Event], None]
