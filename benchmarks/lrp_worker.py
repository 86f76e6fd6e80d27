"""Both ends of the pipe to a process that holds one contestant and computes only when it is told to.

Lines of JSON go in and come back, one per turn. Needs numpy alone: the peers' environment has no toolkit.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

Task = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Inputs, shape (clip, bin, frame, channel), and targets, shape (clip,), to what is computed of each clip."""
INPUTS, TARGETS, NETWORK, WEIGHTS = "inputs.npy", "targets.npy", "network.onnx", "weights.npz"
"""What lies in the folder that all contestants read from."""
N_THREADS = 2
PAUSE_S = 0.2
"""Time that a worker's threads have, after its turn, to stop waiting for more in a loop."""


@dataclass(frozen=True)
class Turn:
    """What one turn took."""

    seconds: float
    """Of the clock, per clip."""
    processor_seconds: float
    """Of all the worker's threads, per clip: other work on the machine hardly changes it."""
    peak_mb: float
    """Of the worker's memory until now."""


class Worker:
    """A process with a contestant: the parent's end of the pipe."""

    def __init__(self, python: str | Path, module: str, contestant: str, folder: Path) -> None:
        self._name = contestant
        self._process = subprocess.Popen(  # noqa: S603 (fixed arguments)
            [str(python), "-W", "ignore", "-m", module, contestant, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Torch's threads wait for one another: if in a loop, other work slows them fivefold.
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stdin.close()
        self._process.wait()

    def turn(self, task: str, n_clips: int) -> Turn:
        """Let the worker compute ``task`` for the first clips."""
        answer = self._ask({"task": task, "n_clips": n_clips})
        time.sleep(PAUSE_S)
        return Turn(answer["seconds"] / n_clips, answer["processor_seconds"] / n_clips, answer["peak_mb"])

    def computed(self, task: str, n_clips: int, path: Path) -> np.ndarray:
        """Return what the worker computes of the first clips; it goes through a file, ``path``."""
        self._ask({"task": task, "n_clips": n_clips, "path": str(path)})
        return np.load(path)

    def version(self) -> str:
        """Return the name and version of what the worker runs, once it is ready."""
        return str(self._ask({})["version"])

    def _ask(self, question: Mapping[str, object]) -> Mapping[str, Any]:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker {self._name!r} ended: its message stands above")
        return json.loads(answer)


def serve(tasks: Mapping[str, Task], folder: Path, version: str) -> None:
    """Answer until the parent closes the pipe: the worker's end of it."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    inputs, targets = np.load(folder / INPUTS), np.load(folder / TARGETS)
    for line in sys.stdin:
        answer = _answer(tasks, json.loads(line), inputs, targets)
        answers.write(json.dumps({**answer, "version": version}) + "\n")
        answers.flush()


def batches(inputs: np.ndarray, targets: np.ndarray, size: int) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    """Return inputs and targets in batches of ``size`` clips."""
    return [(inputs[at : at + size], targets[at : at + size]) for at in range(0, len(inputs), size)]


def _answer(
    tasks: Mapping[str, Task], question: Mapping[str, Any], inputs: np.ndarray, targets: np.ndarray
) -> dict[str, float]:
    if "task" not in question:
        return {}
    run, n_clips = tasks[question["task"]], question["n_clips"]
    start = time.perf_counter(), time.process_time()
    computed = run(inputs[:n_clips], targets[:n_clips])
    end = time.perf_counter(), time.process_time()
    if "path" in question:
        np.save(question["path"], computed)
    return {"seconds": end[0] - start[0], "processor_seconds": end[1] - start[1], "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
