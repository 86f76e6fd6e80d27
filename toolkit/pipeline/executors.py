"""Where jobs run: in this process one after the other, or in processes of their own.

A job is a picklable function and a picklable argument. Results come as they are finished. Worker processes
inherit the run's lock and end at once when the run ends, however it ends, so that the lock of a
killed run is free within moments.
"""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, Protocol, TypeVar

from toolkit.errors import ToolkitError

Job = TypeVar("Job")
Result = TypeVar("Result")


def available_processors(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many processors this process may use, a container's limit included.

    Parameters
    ----------
    limit
        The control group's quota and period in microseconds, where there is one.
    """
    processors = len(os.sched_getaffinity(0))
    try:
        quota, period = limit.read_text(encoding="ascii").split()
        return max(1, min(processors, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or no limit ('max')
        return processors


Lane = Callable[[Job], str] | None


class Executor(Protocol):
    """Anything that can run jobs."""

    def run(
        self, function: Callable[[Job], Result], jobs: Iterable[Job], *, lane: Lane[Job] = None
    ) -> Iterator[tuple[Job, Result]]:
        """Run ``function`` on every job; yield each job with its result as it is finished.

        Parameters
        ----------
        function
            Picklable.
        jobs
            Picklable.
        lane
            Jobs for which it gives the same word share one process, in order, so that what they build is built
            once. None: any job may run anywhere.
        """
        ...


class Serial:
    """Jobs in this process, in order."""

    def run(
        self, function: Callable[[Job], Result], jobs: Iterable[Job], *, lane: Lane[Job] = None
    ) -> Iterator[tuple[Job, Result]]:
        """Run ``function`` on every job; yield each job with its result as it is finished."""
        del lane
        for job in jobs:
            yield job, function(job)


class Processes:
    """Jobs in fresh Python processes, several at a time."""

    def __init__(self, n_workers: int, lock: int | None = None) -> None:
        self._n_workers = n_workers
        self._lock = lock

    def run(
        self, function: Callable[[Job], Result], jobs: Iterable[Job], *, lane: Lane[Job] = None
    ) -> Iterator[tuple[Job, Result]]:
        """Run ``function`` on every job; yield each job with its result as it is finished.

        Raises
        ------
        ToolkitError
            A worker was killed from outside.
        """
        jobs = list(jobs)
        pools = self._pools(len(jobs)) if lane is None else self._lanes(map(lane, jobs))
        finished = False
        try:
            futures = {pools[lane(job) if lane else ""].submit(function, job): job for job in jobs}
            for future in as_completed(futures):
                yield futures[future], future.result()
            finished = True
        except BrokenProcessPool as error:
            raise ToolkitError(
                "a worker process died without an error of its own; the system may have run out of memory: "
                "run again with a lower --jobs (what is finished is kept)"
            ) from error
        finally:
            if not finished:
                # Nothing counts that is not recorded, so what runs need not be waited for.
                for worker in multiprocessing.active_children():
                    worker.terminate()
            for pool in set(pools.values()):
                pool.shutdown(wait=True, cancel_futures=True)

    def _pools(self, n_jobs: int) -> dict[str, ProcessPoolExecutor]:
        return {"": self._pool(max(1, min(self._n_workers, n_jobs)))}

    def _lanes(self, lanes: Iterable[str]) -> dict[str, ProcessPoolExecutor]:
        """Give every lane a process of its own, or, where there are fewer processes, let lanes share."""
        names = list(dict.fromkeys(lanes))
        pools = [self._pool(1) for _ in range(min(self._n_workers, len(names)))]
        return {name: pools[number % len(pools)] for number, name in enumerate(names)}

    def _pool(self, n_workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            n_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin_worker,
            initargs=(_Inherited(self._lock),),
        )


class _Inherited:
    """A file descriptor that a spawned process gets a copy of."""

    def __init__(self, descriptor: int | None) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return _received, (None if self.descriptor is None else DupFd(self.descriptor),)


def _received(copy: Any) -> _Inherited:  # noqa: ANN401 (what stands for a descriptor on its way has no public type)
    return _Inherited(None if copy is None else copy.detach())


def _begin_worker(lock: _Inherited) -> None:
    """Leave interrupts to the run; end when it ends. ``lock`` stays open as long as this process lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, args=(lock,), daemon=True).start()


def _end_with_parent(_lock: _Inherited) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
