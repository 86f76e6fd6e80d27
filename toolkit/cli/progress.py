"""Shows a run to whoever watches: bars in a terminal, plain lines elsewhere, every line in a log file.

Everything goes to standard error; standard output is for results.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from toolkit.errors import printable
from toolkit.pipeline.events import CorpusChanged, Event, StageDone, StageStarted, StepDone, Trouble

_NAMED = 3
_PLAIN_STEPS = 10
"""How many lines a stage may take at most where there is no terminal."""


class Watcher:
    """Shows events as they come; a context manager, so that bars and files are closed."""

    def __init__(self, logs: Path) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._logs = logs
        self._file: TextIO | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._n_todo = 0
        self._n_done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_bar()
        if self._file:
            self._file.close()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StageStarted():
                self._begin_stage(event)
            case StepDone():
                self._step(event)
            case StageDone(stage, n_done, seconds):
                self._end_bar()
                if n_done:
                    self._say(f"{stage:<10} done in {seconds:.1f} s")
            case Trouble(subject, reason, severity):
                word = "note" if severity == "note" else "problem"
                self._say(f"{word}: {subject}: {reason}".replace(f"{subject}: {subject}: ", f"{subject}: "))
            case CorpusChanged():
                self._tell_change(event)

    def _tell_change(self, event: CorpusChanged) -> None:
        """Say how many clips changed, name some, and all of them in the log."""
        n_named = len(event.clips)
        text = f"corpus     {n_named} of {event.n_clips} clips {event.what}"
        for name in event.clips:
            self._log(f"corpus     {event.what}: {name}")
        more = f" and {n_named - _NAMED} more, see the log" if n_named > _NAMED else ""
        self._say(f"{text}: {', '.join(event.clips[:_NAMED])}{more}")

    def _begin_stage(self, event: StageStarted) -> None:
        self._n_todo, self._n_done = event.n_todo, 0
        if not event.n_todo:
            self._say(f"{event.stage:<10} nothing to do ({event.n_units} up to date)")
            return
        reasons = "; ".join(event.reasons[:3]) + (" ..." if len(event.reasons) > 3 else "")
        self._say(f"{event.stage:<10} {event.n_todo} of {event.n_units} to do ({reasons})")
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._task = self._progress.add_task(event.stage, total=event.n_todo)
            self._progress.start()

    def _step(self, event: StepDone) -> None:
        self._n_done += 1
        self._log(f"{event.stage:<10} {event.step} finished ({self._n_done} of {self._n_todo})")
        if self._progress and self._task is not None:
            self._progress.advance(self._task)
        elif self._n_done * _PLAIN_STEPS // self._n_todo > (self._n_done - 1) * _PLAIN_STEPS // self._n_todo:
            self._print(f"{event.stage:<10} {self._n_done} of {self._n_todo} ({event.step})")

    def _end_bar(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def _say(self, text: str) -> None:
        self._log(text)
        self._print(text)

    def _print(self, text: str) -> None:
        # Names of files come from the outside: no markup, and nothing that moves a terminal's cursor.
        self._console.print(printable(text), markup=False)

    def _log(self, text: str) -> None:
        now = datetime.now(UTC)
        if self._file is None:
            self._logs.mkdir(parents=True, exist_ok=True)
            self._file = (self._logs / f"{now:%Y%m%d-%H%M%S}.log").open("a", encoding="utf-8")
        self._file.write(f"{now.isoformat(timespec='milliseconds')} {printable(text)}\n")
        self._file.flush()


def say(text: str) -> None:
    """Print a line of result."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """Print a line of explanation."""
    sys.stderr.write(text + "\n")
