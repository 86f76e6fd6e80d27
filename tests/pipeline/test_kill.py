"""Killed anywhere, the next run continues and ends with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.comparison import assert_same_bytes
from tests.conftest import QUICK


def start(corpus, out) -> subprocess.Popen[bytes]:
    words = ["run-all", "--dataset", str(corpus), "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, "-m", "toolkit", *words],
        env={**os.environ, **QUICK},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_at_random_moments(corpus, out, *, n_kills: int, span_s: float, seed: int) -> int:
    """Kill runs until so many have been killed or one has ended by itself; return how many were killed."""
    moments = random.Random(seed)
    killed = 0
    while killed < n_kills:
        process = start(corpus, out)
        try:
            process.wait(timeout=moments.uniform(0.5, span_s))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        else:
            break
    return killed


def finish(corpus, out) -> None:
    began = time.monotonic()
    assert start(corpus, out).wait() == 0
    assert time.monotonic() - began < 600


def test_kill__two_random_moments_change_nothing(tiny_corpus, finished, tmp_path):
    out = tmp_path / "killed"
    assert kill_at_random_moments(tiny_corpus, out, n_kills=2, span_s=25, seed=1) >= 1
    finish(tiny_corpus, out)
    assert_same_bytes(out, finished)


@pytest.mark.slow
def test_kill__ten_random_moments_change_nothing(tiny_corpus, finished, tmp_path):
    out = tmp_path / "killed"
    killed = kill_at_random_moments(tiny_corpus, out, n_kills=10, span_s=25, seed=2)
    assert killed >= 3
    finish(tiny_corpus, out)
    assert_same_bytes(out, finished)


def test_terminate__ends_with_143_and_leaves_no_worker(tiny_corpus, tmp_path):
    process = start(tiny_corpus, tmp_path / "out")
    time.sleep(6)
    process.terminate()
    assert process.wait(timeout=20) == 143
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path / "out") not in listed
