"""One run: a folder, its settings, and where everything in it lies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.config import Representation, Settings
from toolkit.errors import ConfigError
from toolkit.pipeline.events import Emit
from toolkit.pipeline.executors import Executor
from toolkit.pipeline.markers import Markers, Todo
from toolkit.pipeline.rows import RowsTodo, summary
from toolkit.store.read import STORE_NAME, check_version

SETTINGS_NAME, PROVENANCE_NAME = "settings.json", "run.json"


@dataclass(frozen=True)
class Run:
    """The folder of a run and its settings."""

    folder: Path
    settings: Settings

    @property
    def store(self) -> Path:
        """The store: everything numeric."""
        return self.folder / STORE_NAME

    @property
    def reports(self) -> Path:
        """The pages."""
        return self.folder / "reports"

    def check_exists(self) -> None:
        """Refuse a folder without a store that this toolkit reads.

        Raises
        ------
        ConfigError
            There is no store.
        StoreError
            It is of another version.
        """
        if not self.store.exists():
            raise ConfigError(
                f"{self.folder}: holds no run; make one with `toolkit run-all --out {self.folder}`"
            )
        check_version(self.store)

    def model(self, representation: str, fold: int) -> Path:
        """Return the folder of one network."""
        return self.folder / "models" / representation / f"fold-{fold:02d}"

    def markers(self, stage: str) -> Markers:
        """Return the markers of a stage."""
        return Markers(self.folder / "markers" / stage, self.folder)


@dataclass(frozen=True)
class Scope:
    """What one command is limited to; nothing means everything."""

    folds: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    representations: tuple[Representation, ...] = ()
    composites: tuple[str, ...] = ()

    def has_fold(self, fold: int) -> bool:
        """Tell whether a fold is in the scope."""
        return not self.folds or fold in self.folds

    def has_class(self, name: str) -> bool:
        """Tell whether a class is in the scope."""
        return not self.classes or name in self.classes

    def representations_of(self, settings: Settings) -> tuple[Representation, ...]:
        """Return the representations of the run that are in the scope."""
        return tuple(
            name
            for name in settings.representations
            if not self.representations or name in self.representations
        )

    def composites_of(self, settings: Settings) -> tuple[str, ...]:
        """Return the composites of the run that are in the scope."""
        return tuple(
            name for name in settings.explanation.composites if not self.composites or name in self.composites
        )


@dataclass(frozen=True)
class Plan:
    """What a stage would do: its units in scope by name, and those that hold something to be made."""

    units: Sequence[str]
    todo: Sequence[Todo | RowsTodo]
    waits_for: str = ""
    """What must exist before the stage can tell its units."""

    @property
    def whole(self) -> Mapping[str, Todo]:
        """Units to be made as a whole, by name."""
        return {item.name: item for item in self.todo if isinstance(item, Todo)}

    @property
    def partitions(self) -> Mapping[str, RowsTodo]:
        """Partitions of which rows are to be made, by name."""
        return {item.name: item for item in self.todo if isinstance(item, RowsTodo)}

    @property
    def reasons(self) -> tuple[str, ...]:
        """The different reasons, each once; for clips, with their number."""
        of_clips = summary(self.partitions.values())
        return tuple(dict.fromkeys([*(item.reason for item in self.whole.values()), *filter(None, [of_clips])]))


@dataclass(frozen=True)
class Tools:
    """How a stage does its work: here, in other processes, and whom it tells."""

    emit: Emit
    workers: Executor


def _no_preparation(_run: Run, _tools: Tools) -> None:
    """Need nothing before planning."""


def _no_check(_run: Run) -> None:
    """Accept every result."""


@dataclass(frozen=True)
class Stage:
    """A step of the chain."""

    name: str
    plan: Callable[[Run, Scope, bool], Plan]
    """Say what would be done, changing nothing; the last argument asks for everything afresh."""
    execute: Callable[[Run, Plan, Tools, Callable[[str], None]], None]
    """Do what the plan says, telling the name of every finished step."""
    prepare: Callable[[Run, Tools], None] = _no_preparation
    """Make what must stand before the stage can be planned."""
    check: Callable[[Run], None] = _no_check
    """Raise QualityError where the results, new or old, fail a gate."""
