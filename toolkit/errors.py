"""Every error that the toolkit raises on purpose, and the exit code that the command line gives for it.

    ToolkitError                1
    ├── ConfigError             4   a setting that cannot be used
    ├── CorpusError             4   a source with nothing usable in it
    │   └── ClipError           (3) one clip that cannot be used; the others go on
    │       └── SilentClipError (3) one that holds nothing but silence
    ├── StoreError              4   a store that is absent, foreign or of another version
    ├── ModelError              4   a network that relevance cannot be taken through
    ├── DependencyError         4   an optional package that this installation lacks
    ├── LockedError             5   another run holds the output folder
    └── QualityError            6   a result that fails a check of its quality

A message names the thing, its value, what is allowed and the way out.
"""

from enum import IntEnum

_BYTES = range(0xDC80, 0xDD00)
"""Lone surrogates in which Python holds bytes of a name that are not text."""


class ExitCode(IntEnum):
    """What the process returns to whoever started it."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    CLIPS_LEFT_OUT = 3
    BAD_INPUT = 4
    LOCKED = 5
    QUALITY = 6
    INTERRUPTED = 130
    TERMINATED = 143


class ToolkitError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = ExitCode.UNEXPECTED


class ConfigError(ToolkitError):
    """A setting is unknown, of the wrong kind or out of range."""

    exit_code = ExitCode.BAD_INPUT


class CorpusError(ToolkitError):
    """The source of clips is absent or holds nothing that can be processed."""

    exit_code = ExitCode.BAD_INPUT


class ClipError(CorpusError):
    """One clip cannot be used; the batch goes on without it."""

    exit_code = ExitCode.CLIPS_LEFT_OUT


class SilentClipError(ClipError):
    """A clip holds nothing but silence."""


class StoreError(ToolkitError):
    """A store is absent, was not written by this toolkit, or has another format version."""

    exit_code = ExitCode.BAD_INPUT


class ModelError(ToolkitError):
    """A network cannot be read, or holds something that relevance cannot be taken through."""

    exit_code = ExitCode.BAD_INPUT


class DependencyError(ToolkitError):
    """A package that this command needs is not installed here."""

    exit_code = ExitCode.BAD_INPUT


class LockedError(ToolkitError):
    """Another run is writing to the same output folder."""

    exit_code = ExitCode.LOCKED


class QualityError(ToolkitError):
    """A result was computed but fails a check of its quality, and must not be used."""

    exit_code = ExitCode.QUALITY


def printable(text: object) -> str:
    """Return a name or message on one line that every terminal, page and store takes; the rest as escapes."""
    return "".join(char if char.isprintable() else _escaped(char) for char in str(text))


def _escaped(char: str) -> str:
    if ord(char) in _BYTES:
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")
