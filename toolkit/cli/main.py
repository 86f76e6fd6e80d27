"""The command line: options in, one library call, a last line that says the exit code and why."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

import typer

from toolkit.cli.progress import warn
from toolkit.errors import ExitCode, ToolkitError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Stopped(BaseException):
    """The process was asked to stop."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code.name.lower())
        self.code = code


def main() -> None:
    """Run the command given on the command line and exit with its code."""
    # Sums split over threads differ in their last digits: with one thread, results do not depend on how many
    # processors a machine has. Has to stand before numpy is imported; workers inherit it.
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    from toolkit.cli.commands import app

    sys.exit(conclude(lambda: app(standalone_mode=False)))


def conclude(command: Callable[[], object]) -> int:
    """Run a command; print what ended it, and as the last line the exit code with its reason."""
    with _signals():
        try:
            result = command()
        except Stopped as stop:
            return _last_line(stop.code, "interrupted; run the same command again to continue")
        except typer.TyperException as error:
            warn(error.format_message())
            return _last_line(ExitCode.USAGE, "the command was not understood; see `toolkit --help`")
        except ToolkitError as error:
            warn(f"error: {error}")
            return _last_line(error.exit_code, _REASONS[error.exit_code])
        except Exception:  # noqa: BLE001 (the last resort: every end of a run must say its code)
            traceback.print_exc()
            return _last_line(ExitCode.UNEXPECTED, "unexpected error, see above; finished work is kept")
    if isinstance(result, tuple):
        return _last_line(*result)
    return int(result) if isinstance(result, int) else 0


_REASONS = {
    ExitCode.UNEXPECTED: "failed; finished work is kept",
    ExitCode.CLIPS_LEFT_OUT: "a clip cannot be used",
    ExitCode.BAD_INPUT: "the configuration or the data cannot be used",
    ExitCode.LOCKED: "another run holds the output folder",
    ExitCode.QUALITY: "a quality gate failed",
}


def _last_line(code: ExitCode, reason: str) -> int:
    sys.stdout.flush()
    warn(f"exit {int(code)}: {reason}")
    return int(code)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(ExitCode.TERMINATED if number == signal.SIGTERM else ExitCode.INTERRUPTED)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
