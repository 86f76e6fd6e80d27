"""Folds that are drawn: whole recordings, every class spread evenly, and nothing moves when a corpus grows."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.corpus.folds import draw
from toolkit.errors import CorpusError

quick = settings(derandomize=True, deadline=None, max_examples=150)
ROWS = st.lists(st.tuples(st.integers(0, 60).map(str), st.sampled_from("abc")), min_size=2, max_size=120)
SEEDS = st.integers(0, 2**32 - 1)


def has_at_least(rows: list[tuple[str, str]], n_recordings: int) -> bool:
    return len({recording for recording, _ in rows}) >= n_recordings


def first_classes(rows: list[tuple[str, str]]) -> dict[str, str]:
    return dict(reversed(rows))


@quick
@given(ROWS.filter(lambda rows: has_at_least(rows, 5)), ROWS, SEEDS)
def test_appended_rows__move_no_recording_that_was_there(before, appended, seed: int):
    old, new = draw(before, seed), draw([*before, *appended], seed)
    assert {recording: new[recording] for recording in old} == old


@quick
@given(ROWS.filter(lambda rows: has_at_least(rows, 2)), SEEDS)
def test_recordings__of_every_class_are_spread_evenly(rows, seed: int):
    fold_of = draw(rows, seed)
    n_folds = min(5, len(fold_of))
    assert set(fold_of) == {recording for recording, _ in rows}
    assert set(fold_of.values()) <= set(range(1, n_folds + 1))
    classes = first_classes(rows)
    for name in set(classes.values()):
        sizes = Counter(fold_of[recording] for recording, of in classes.items() if of == name)
        counts = [sizes[fold] for fold in range(1, n_folds + 1)]
        assert max(counts) - min(counts) <= 1


@quick
@given(ROWS.filter(lambda rows: has_at_least(rows, 2)), SEEDS)
def test_every_fold__has_a_recording(rows, seed: int):
    """Else there would be a network that is tested on nothing."""
    fold_of = draw(rows, seed)
    assert set(fold_of.values()) == set(range(1, min(5, len(fold_of)) + 1))


@quick
@given(ROWS.filter(lambda rows: has_at_least(rows, 2)), SEEDS)
def test_further_rows_of_known_recordings__change_nothing(rows, seed: int):
    assert draw([*rows, *rows[::-1]], seed) == draw(rows, seed)


def test_seed__gives_other_folds():
    rows = [(str(number), "ab"[number % 2]) for number in range(40)]
    assert len({tuple(draw(rows, seed).items()) for seed in range(10)}) == 10


def test_folds__are_the_same_in_every_process():
    """Python's own hash of a text is not."""
    code = "from toolkit.corpus.folds import draw; print(draw([(str(n), 'x') for n in range(30)], 7))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{draw([(str(n), 'x') for n in range(30)], 7)}\n"}


@pytest.mark.parametrize("n_recordings", [2, 3, 4, 5, 6])
def test_few_recordings__give_as_many_folds(n_recordings: int):
    fold_of = draw([(str(number), "x") for number in range(n_recordings)], 0)
    assert set(fold_of.values()) == set(range(1, min(5, n_recordings) + 1))


@pytest.mark.parametrize("rows", [[], [("a", "x")], [("a", "x"), ("a", "y")]])
def test_fewer_than_two_recordings__are_an_error_that_says_what_is_needed(rows: list[tuple[str, str]]):
    with pytest.raises(
        CorpusError, match=r"no folds can be drawn from (1|no) recording:.*two are needed at least, and five"
    ):
        draw(rows, 0)


@pytest.mark.parametrize("seed", range(3))
def test_known_folds__stay_whatever_comes_goes_or_moves(seed: int):
    """Inserted, removed and reordered rows: only recordings that are new get a fold, and classes stay even."""
    rng = np.random.default_rng(seed)
    before = [(f"{name} {number}", name) for name in "abc" for number in range(40)]
    known = draw(before, 0)
    kept = [before[place] for place in rng.permutation(len(before))[:90]]
    now = [*((f"new {name} {number}", name) for name in "abc" for number in range(10)), *kept]
    drawn = draw(now, 0, known)
    assert all(drawn[recording] == known[recording] for recording, _ in kept)
    assert set(drawn) == {recording for recording, _ in now}
    assert draw(now, 0, {**known, "another corpus": 7}) == drawn
    for name in "abc":
        sizes = [
            sum(drawn[recording] == fold for recording, kind in now if kind == name) for fold in range(1, 6)
        ]
        assert max(sizes) - min(sizes) <= 6


def test_known_folds__that_are_none_of_today_are_drawn_anew():
    assert set(draw([("x", "a"), ("y", "a")], 0, {"x": 5}).values()) == {1, 2}
