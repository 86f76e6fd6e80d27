"""How many processes a run starts by itself."""

import os

import pytest

from toolkit.pipeline.executors import available_processors

N = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("100000 100000", 1),
        ("50000 100000", 1),
        (f"{N * 100000} 100000", N),
        ("6400000 100000", N),
        ("max 100000", N),
    ],
)
def test_available_processors__follows_the_limit_of_a_container(tmp_path, content, expected):
    limit = tmp_path / "cpu.max"
    limit.write_text(content + "\n")
    assert available_processors(limit) == expected


def test_available_processors__without_control_groups(tmp_path):
    assert available_processors(tmp_path / "absent") == N
