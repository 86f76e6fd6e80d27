"""The lock of an output folder, with real processes that hold it, are killed, or leave workers behind."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import pytest

from toolkit.errors import LockedError
from toolkit.pipeline import lock

RUN_ID, COMMAND = "20240101-120000-abc123", "toolkit train --fold 3"
HOLDER = """
import sys
from pathlib import Path

from toolkit.pipeline import lock

with lock.hold(Path(sys.argv[1]), run_id=sys.argv[2], command=sys.argv[3]):
    print("held", flush=True)
    sys.stdin.read()
"""
HOLDER_WITH_WORKER = """
import os
import sys
import time
from pathlib import Path

from toolkit.pipeline import lock
from toolkit.pipeline.executors import Processes


def work(folder):
    print(os.getpid(), flush=True)
    time.sleep(120)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with lock.hold(folder, run_id=sys.argv[2], command=sys.argv[3]) as descriptor:
        list(Processes(1, descriptor).run(work, [folder]))
"""
Start = Callable[[str], subprocess.Popen[str]]


def hold(folder: Path, run_id: str = "second", command: str = "toolkit explain"):
    return lock.hold(folder, run_id=run_id, command=command)


def wait_until(condition: Callable[[], object], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def is_running(process: int) -> bool:
    """Tell whether a process lives; one that has ended but was not collected by its parent does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def is_stopped(process: int) -> bool:
    """Tell whether all threads of a process stand still; a signal to stop reaches one, which stops others."""
    states = [path.read_text(encoding="utf-8") for path in Path(f"/proc/{process}/task").glob("*/stat")]
    return bool(states) and all(state.rpartition(")")[2].split()[0] == "T" for state in states)


def write_owner(folder: Path, *, silent_s: float) -> lock.Owner:
    started = "2024-01-01T12:00:00+00:00"
    owner = lock.Owner(RUN_ID, COMMAND, "machine-one", 4321, started, time.time() - silent_s)
    (folder / lock.OWNER_NAME).write_text(json.dumps(asdict(owner)), encoding="utf-8")
    return owner


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.2)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that runs a script which holds the lock of ``tmp_path / "run"``."""
    started: list[subprocess.Popen[str]] = []

    def run_script(script: str) -> subprocess.Popen[str]:
        path = tmp_path / f"holder_{len(started)}.py"
        path.write_text(script, encoding="utf-8")
        command = [sys.executable, str(path), str(tmp_path / "run"), RUN_ID, COMMAND]
        # In a session of its own: the kernel wakes stopped processes of a group that its killed leader orphans.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield run_script
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _operation: int) -> NoReturn:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_hold__writes_who_holds_it_and_takes_the_note_back(tmp_path: Path):
    folder = tmp_path / "new" / "run"
    with lock.hold(folder, run_id=RUN_ID, command=COMMAND):
        owner = lock.read_owner(folder)
        assert owner is not None
        assert (owner.run_id, owner.command, owner.process) == (RUN_ID, COMMAND, os.getpid())
        assert abs(time.time() - owner.heartbeat) < 5
        assert lock.is_held(folder)
    assert lock.read_owner(folder) is None
    assert not (folder / lock.OWNER_NAME).exists()
    assert not lock.is_held(folder)


def test_hold__is_free_again_after_a_run_that_failed(tmp_path: Path):
    with pytest.raises(ZeroDivisionError, match="division by zero"), hold(tmp_path):
        _ = 1 / 0
    assert not (tmp_path / lock.OWNER_NAME).exists()
    with hold(tmp_path):
        assert lock.is_held(tmp_path)


def test_hold__refuses_a_second_holder_and_names_the_first(tmp_path: Path, start: Start):
    folder = tmp_path / "run"
    first = start(HOLDER)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    owner = lock.read_owner(folder)
    assert owner is not None
    pattern = rf"run is in use by run {RUN_ID} \(`{COMMAND}`, host {owner.host}, process {first.pid}, started"
    with pytest.raises(LockedError, match=pattern), hold(folder):
        pass
    assert lock.read_owner(folder) == owner, "whoever is refused leaves the owner's note alone"
    first.communicate()
    assert first.returncode == 0
    with hold(folder):
        assert lock.is_held(folder)


def test_hold__refuses_a_second_holder_within_one_process(tmp_path: Path):
    with hold(tmp_path, RUN_ID), pytest.raises(LockedError, match=f"in use by run {RUN_ID}"), hold(tmp_path):
        pass
    assert not lock.is_held(tmp_path)


def test_hold__waits_a_little_for_a_holder_that_is_about_to_end(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lock, "PATIENCE_S", 20.0)
    first = start(HOLDER)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    assert first.stdin is not None
    first.stdin.close()
    first.stdin = None
    with hold(tmp_path / "run"):
        owner = lock.read_owner(tmp_path / "run")
    assert owner is not None
    assert owner.run_id == "second"


def test_hold__is_free_after_its_holder_was_killed(tmp_path: Path, start: Start):
    folder = tmp_path / "run"
    first = start(HOLDER)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    assert lock.is_held(folder)
    first.send_signal(signal.SIGKILL)
    first.wait()
    left_behind = lock.read_owner(folder)
    assert left_behind is not None
    assert left_behind.run_id == RUN_ID
    assert not lock.is_held(folder)
    with hold(folder):
        owner = lock.read_owner(folder)
        assert owner is not None
        assert owner.run_id == "second"


def test_hold__lasts_as_long_as_a_worker_of_a_killed_run(tmp_path: Path, start: Start):
    """The worker is stopped, so that it cannot end before it was seen to keep the lock."""
    folder = tmp_path / "run"
    run = start(HOLDER_WITH_WORKER)
    assert run.stdout is not None
    worker = int(run.stdout.readline())
    os.kill(worker, signal.SIGSTOP)
    try:
        assert wait_until(lambda: is_stopped(worker), within_s=20)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert lock.is_held(folder)
        with pytest.raises(LockedError, match=f"in use by run {RUN_ID}"), hold(folder):
            pass
        os.kill(worker, signal.SIGCONT)
        assert wait_until(lambda: not is_running(worker), within_s=5), "a worker ends when its run is gone"
    finally:
        if is_running(worker):
            os.kill(worker, signal.SIGKILL)
    assert wait_until(lambda: not lock.is_held(folder), within_s=2)
    with hold(folder):
        assert lock.is_held(folder)


def test_heartbeat__renews_the_note_while_the_run_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.05)
    with hold(tmp_path):
        first = lock.read_owner(tmp_path)
        assert first is not None

        def is_renewed() -> bool:
            owner = lock.read_owner(tmp_path)
            return owner is not None and owner.heartbeat > first.heartbeat

        assert wait_until(is_renewed, within_s=5)
        renewed = lock.read_owner(tmp_path)
        assert renewed is not None
        assert {**asdict(renewed), "heartbeat": 0} == {**asdict(first), "heartbeat": 0}
    assert not (tmp_path / lock.OWNER_NAME).exists()


def test_heartbeat__outlives_a_note_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk that is full for a moment must not make a living run look dead."""
    written: list[Path] = []

    def write_or_fail(path: Path, _value: object) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(lock, "write_json", write_or_fail)
    with hold(tmp_path):
        assert wait_until(lambda: len(written) > 3, within_s=2)


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize("silent_s", [0.0, 14.0, 590.0])
def test_hold__without_flock_respects_an_owner_heard_of_lately(tmp_path: Path, silent_s: float):
    owner = write_owner(tmp_path, silent_s=silent_s)
    assert lock.is_held(tmp_path) is False, "there is no lock file yet"
    pattern = rf"run {RUN_ID} .*host machine-one, process 4321, .*last heard of {silent_s:.0f} s ago"
    with pytest.raises(LockedError, match=pattern), hold(tmp_path):
        pass
    assert lock.read_owner(tmp_path) == owner
    assert lock.is_held(tmp_path)


@pytest.mark.usefixtures("without_flock")
def test_hold__without_flock_takes_over_from_an_owner_silent_for_long(tmp_path: Path):
    write_owner(tmp_path, silent_s=610)
    with hold(tmp_path):
        owner = lock.read_owner(tmp_path)
        assert owner is not None
        assert owner.run_id == "second"
        assert lock.is_held(tmp_path)
    assert not lock.is_held(tmp_path)


@pytest.mark.usefixtures("without_flock")
def test_hold__without_flock_refuses_a_second_holder(tmp_path: Path):
    with hold(tmp_path, RUN_ID), pytest.raises(LockedError, match=f"in use by run {RUN_ID}"), hold(tmp_path):
        pass
    with hold(tmp_path):
        pass


def test_hold__passes_on_errors_that_are_about_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_descriptor: int, _operation: int) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"), hold(tmp_path):
        pass


def test_is_held__of_a_folder_that_no_run_has_touched(tmp_path: Path):
    assert not lock.is_held(tmp_path)
    assert not lock.is_held(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"run_id": "x"}'])
def test_read_owner__of_a_broken_note_is_nobody(tmp_path: Path, content: str):
    (tmp_path / lock.OWNER_NAME).write_text(content, encoding="utf-8")
    assert lock.read_owner(tmp_path) is None
    assert lock.describe(None) == "a run that has not said its name yet"


def test_new_run_id__does_not_repeat():
    assert len({lock.new_run_id() for _ in range(100)}) == 100
