"""Jobs in this process and in others: results, errors, deaths and early ends.

What runs in workers stands at module level: a spawned process imports it from here.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from toolkit.errors import ClipError, ToolkitError
from toolkit.pipeline.executors import Executor, Processes, Serial

EXECUTORS: dict[str, Callable[[], Executor]] = {"serial": Serial, "processes": lambda: Processes(2)}


@dataclass(frozen=True)
class Wait:
    """A job that ends when ``until`` exists."""

    started: Path
    until: Path


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ClipError(f"clip {number} has no samples")
    return number


def fail_with_key(_number: int) -> int:
    return {"a": 1}["b"]


def die(_number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def process_of(_number: int) -> int:
    return os.getpid()


def wait(job: Wait) -> int:
    job.started.write_text(str(os.getpid()), encoding="utf-8")
    return os.getpid() if appears(job.until, within_s=60) else -1


def appears(path: Path, *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.exists()


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


@pytest.fixture(params=EXECUTORS.values(), ids=EXECUTORS.keys())
def executor(request: pytest.FixtureRequest) -> Executor:
    made: Executor = request.param()
    return made


def test_run__gives_every_result_with_its_job(executor: Executor):
    assert sorted(executor.run(square, range(9))) == [(number, number * number) for number in range(9)]
    assert multiprocessing.active_children() == []


def test_run__of_no_jobs(executor: Executor):
    assert list(executor.run(square, [])) == []


def test_run__takes_jobs_from_an_iterator(executor: Executor):
    assert sorted(executor.run(square, iter([3, 1]))) == [(1, 1), (3, 9)]


def test_run__passes_an_error_on_with_its_type(executor: Executor):
    with pytest.raises(ClipError, match=r"^clip 3 has no samples$"):
        list(executor.run(fail_at_three, [3]))
    with pytest.raises(KeyError, match="'b'"):
        list(executor.run(fail_with_key, [0]))
    assert multiprocessing.active_children() == []


def test_run__gives_what_was_finished_before_an_error():
    done = []
    with pytest.raises(ClipError, match="clip 3"):
        done.extend(result for _, result in Serial().run(fail_at_three, range(9)))
    results = Processes(1).run(fail_at_three, range(9))
    assert [next(results) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(ClipError, match="clip 3"):
        list(results)


def test_serial__does_a_job_only_when_its_result_is_wanted():
    results = Serial().run(fail_at_three, [1, 3])
    assert next(results) == (1, 1)
    with pytest.raises(ClipError, match="clip 3"):
        next(results)


def test_serial__stays_in_this_process():
    assert list(Serial().run(process_of, [0])) == [(0, os.getpid())]


def test_processes__are_others_and_not_more_than_asked_for():
    found = {process for _, process in Processes(2).run(process_of, range(12))}
    assert os.getpid() not in found
    assert 1 <= len(found) <= 2


def test_processes__give_results_as_they_are_finished(tmp_path: Path):
    slow, quick = (Wait(tmp_path / f"{name}.started", tmp_path / f"{name}.end") for name in ("slow", "quick"))
    quick.until.touch()
    results = Processes(2).run(wait, [slow, quick])
    assert next(results)[0] == quick
    slow.until.touch()
    assert next(results)[0] == slow
    assert list(results) == []


def test_processes__explain_a_worker_that_was_killed():
    with pytest.raises(ToolkitError, match=r"out of memory.*lower --jobs") as caught:
        list(Processes(2).run(die, range(3)))
    assert type(caught.value) is ToolkitError
    assert multiprocessing.active_children() == []


def test_processes__end_at_once_when_nobody_wants_more_results(tmp_path: Path):
    endless = Wait(tmp_path / "endless.started", tmp_path / "endless.end")
    quick = Wait(tmp_path / "quick.started", tmp_path / "quick.end")
    quick.until.touch()
    results = Processes(2).run(wait, [endless, quick])
    assert next(results)[0] == quick
    assert appears(endless.started, within_s=20)
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 10
    assert not is_running(int(endless.started.read_text(encoding="utf-8")))
    assert multiprocessing.active_children() == []


def test_processes__leave_interrupts_to_the_run(tmp_path: Path):
    """Control-C reaches the workers too; the run decides what it means."""
    job = Wait(tmp_path / "started", tmp_path / "end")
    other = Wait(tmp_path / "other.started", tmp_path / "other.end")
    other.until.touch()
    results = Processes(2).run(wait, [job, other])
    assert next(results)[0] == other
    assert appears(job.started, within_s=20)
    worker = int(job.started.read_text(encoding="utf-8"))
    os.kill(worker, signal.SIGINT)
    job.until.touch()
    assert list(results) == [(job, worker)]
