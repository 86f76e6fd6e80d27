"""One run at a time per output folder.

The lock is an ``flock`` (from ``fcntl``) on a file in the folder. It belongs to the open file, which the run's
workers inherit: it is free only when the run and all its workers are gone, however they ended. Beside it
stands a note of the owner with a heartbeat, for people and for file systems without such locks, where an
owner that has been silent for ten minutes counts as dead. Host and process number are shown, never
trusted: in containers both repeat.
"""

import errno
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from toolkit.errors import LockedError
from toolkit.pipeline.files import write_json

LOCK_NAME, OWNER_NAME = ".lock", ".owner.json"
HEARTBEAT_S = 15.0
SILENCE_S = 600.0
PATIENCE_S = 5.0
"""How long to wait for workers of a run that was killed a moment ago."""
_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


@dataclass(frozen=True)
class Owner:
    """Who holds the lock."""

    run_id: str
    command: str
    host: str
    process: int
    started: str
    heartbeat: float
    """Seconds since 1970, renewed while the run lives."""


@contextmanager
def hold(folder: Path, *, run_id: str, command: str) -> Iterator[int]:
    """Hold the lock of an output folder; give the file descriptor that workers must inherit.

    Raises
    ------
    LockedError
        Another run holds it; the message names the owner.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _acquire(descriptor, folder)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        owner = Owner(run_id, command, socket.gethostname(), os.getpid(), now, time.time())
        with _heartbeat(folder / OWNER_NAME, owner):
            yield descriptor
    finally:
        os.close(descriptor)


def read_owner(folder: Path) -> Owner | None:
    """Return the note of the last owner that has not said that it ended."""
    try:
        return Owner(**json.loads((folder / OWNER_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_held(folder: Path) -> bool:
    """Tell whether a run holds the lock now, without waiting and without touching anything."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_once(descriptor, folder, claim=False)
    finally:
        os.close(descriptor)


def new_run_id() -> str:
    """Return a name for a run that sorts by time and does not repeat."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"


def _acquire(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not _try_once(descriptor, folder, claim=True):
        if time.monotonic() > deadline:
            raise LockedError(f"{folder} is in use by {describe(read_owner(folder))}")
        time.sleep(0.1)


def _try_once(descriptor: int, folder: Path, *, claim: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        if error.errno in _UNSUPPORTED:
            return _is_free_by_note(folder, claim=claim)
        raise
    return True


def _is_free_by_note(folder: Path, *, claim: bool) -> bool:
    """Go by the owner's note where there are no locks; of two that claim at once, one creates the file."""
    owner = read_owner(folder)
    if owner is not None and time.time() - owner.heartbeat <= SILENCE_S:
        return False
    if claim:
        (folder / OWNER_NAME).unlink(missing_ok=True)
        try:
            os.close(os.open(folder / OWNER_NAME, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            return False
    return True


def describe(owner: Owner | None) -> str:
    """Return a phrase that names an owner."""
    if owner is None:
        return "a run that has not said its name yet"
    silent_s = time.time() - owner.heartbeat
    return (
        f"run {owner.run_id} (`{owner.command}`, host {owner.host}, process {owner.process}, started "
        f"{owner.started}, last heard of {silent_s:.0f} s ago): wait for it, stop it, or choose another --out"
    )


@contextmanager
def _heartbeat(path: Path, owner: Owner) -> Iterator[None]:
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, asdict(owner), ended), daemon=True)
    write_json(path, asdict(owner))
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        now = read_owner(path.parent)
        if now is not None and now.run_id == owner.run_id:
            path.unlink(missing_ok=True)


def _beat(path: Path, owner: Mapping[str, object], ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_S):
        # A disk that is full for a moment must not make a living run look dead.
        with suppress(OSError):
            write_json(path, {**owner, "heartbeat": time.time()})
