"""What is said of a map beside the map: its target, its sum, and how much of it lies in padding."""

import numpy as np
import pytest

from toolkit.lrp.explainer import PREDICTED
from toolkit.lrp.maps import share_in_padding, sum_of_relevance, targets_of

LABELS = np.array([2, 1, 0, 1], np.int8)


def slow_share(relevance: np.ndarray, valid: np.ndarray) -> float:
    """Rewrite the share of one map cell by cell."""
    inside = outside = 0.0
    for row in relevance:
        for value, is_valid in zip(row, valid, strict=True):
            if is_valid:
                inside += abs(float(value))
            else:
                outside += abs(float(value))
    return outside / (inside + outside)


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 8, 5)).astype(np.float32)


@pytest.fixture
def valid() -> np.ndarray:
    return np.arange(5) < np.array([5, 3, 0, 1, 4, 2])[:, None]


@pytest.mark.parametrize(
    ("target", "expected"),
    [("predicted", [PREDICTED] * 4), ("label", [2, 1, 0, 1]), (2, [2, 2, 2, 2]), (0, [0, 0, 0, 0])],
)
def test_targets_of__a_word_or_a_number(target: int | str, expected: list[int]):
    targets = targets_of(LABELS, target)
    np.testing.assert_array_equal(targets, expected)
    assert targets.dtype == np.int64


def test_targets_of__no_clips_are_none():
    for target in ("predicted", "label", 1):
        assert targets_of(LABELS[:0], target).shape == (0,)


def test_targets_of__refuses_another_word():
    with pytest.raises(ValueError, match="guessed"):
        targets_of(LABELS, "guessed")


def test_share_in_padding__equals_a_slow_loop(maps: np.ndarray, valid: np.ndarray):
    shares = share_in_padding(maps, valid)
    expected = [slow_share(*pair) for pair in zip(maps, valid, strict=True)]
    np.testing.assert_allclose(shares, expected, rtol=1e-6)
    assert shares.dtype == np.float32
    assert shares[0] == 0
    assert shares[2] == 1


def test_share_in_padding__counts_relevance_of_both_signs():
    relevance = np.zeros((1, 2, 2), np.float32)
    relevance[0] = [[3, -1], [-3, 1]]
    np.testing.assert_allclose(share_in_padding(relevance, np.array([[True, False]])), [0.25])


def test_share_in_padding__does_not_depend_on_the_size_of_the_logit(maps: np.ndarray, valid: np.ndarray):
    np.testing.assert_array_equal(share_in_padding(maps * 1024, valid), share_in_padding(maps, valid))
    np.testing.assert_array_equal(share_in_padding(-maps, valid), share_in_padding(maps, valid))


def test_share_in_padding__of_a_map_that_is_zero_is_nan(maps: np.ndarray, valid: np.ndarray):
    maps[[1, 4]] = 0
    shares = share_in_padding(maps, valid)
    np.testing.assert_array_equal(np.isnan(shares), [False, True, False, False, True, False])


def test_share_in_padding__of_a_map_that_is_absent_is_nan(maps: np.ndarray, valid: np.ndarray):
    maps[3] = np.nan
    np.testing.assert_array_equal(
        np.isnan(share_in_padding(maps, valid)), [False, False, False, True, False, False]
    )


def test_sum_of_relevance__equals_a_slow_loop(maps: np.ndarray):
    sums = sum_of_relevance(maps)
    expected = [sum(float(value) for value in relevance.ravel()) for relevance in maps]
    np.testing.assert_allclose(sums, expected, rtol=1e-6)
    assert sums.dtype == np.float32


def test_sum_of_relevance__adds_up_in_double_precision():
    """In single precision the ones would vanish beside the large values."""
    relevance = np.ones((1, 64, 64), np.float32)
    relevance[0, 0, 0], relevance[0, -1, -1] = 1e9, -1e9
    assert sum_of_relevance(relevance)[0] == 64 * 64 - 2


def test_sum_of_relevance__of_a_map_that_is_zero_is_zero():
    np.testing.assert_array_equal(sum_of_relevance(np.zeros((2, 3, 4), np.float32)), [0, 0])
