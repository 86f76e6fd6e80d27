"""Intervals over recordings: what weights must add up to, and whether intervals hold what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.statistics.bootstrap import interval, recording_weights, weighted_means

N_REPLICATES = 20_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def slow_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rewrite the weighted mean one number at a time, leaving out what is absent."""
    means = np.full((len(weights), *values.shape[1:]), np.nan)
    for replicate, of_recordings in enumerate(weights):
        for cell in np.ndindex(values.shape[1:]):
            total = weight = 0.0
            for recording, of_recording in enumerate(of_recordings):
                value = values[(recording, *cell)]
                if not np.isnan(value):
                    total += of_recording * value
                    weight += of_recording
            if weight > 0:
                means[(replicate, *cell)] = total / weight
    return means


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_recording_weights__add_up_within_every_stratum(strata: list[int], seed: int):
    strata_of = np.array(strata)
    weights = recording_weights(strata_of, 50, rng(seed))
    assert weights.shape == (50, len(strata))
    assert (weights >= 0).all()
    for stratum in set(strata):
        inside = strata_of == stratum
        np.testing.assert_allclose(weights[:, inside].sum(axis=1), inside.sum(), rtol=1e-12)


def test_recording_weights__of_a_single_recording_stay_one():
    weights = recording_weights(np.array([7, 2, 7, 5, 7]), 100, rng())
    np.testing.assert_array_equal(weights[:, [1, 3]], 1)
    assert np.ptp(weights[:, [0, 2, 4]]) > 0


def test_recording_weights__are_multiples_of_n_over_n_minus_one():
    """One fewer is drawn than there are, and each draw counts n / (n - 1)."""
    drawn = recording_weights(np.zeros(5), 200, rng()) * 4 / 5
    np.testing.assert_allclose(drawn, np.rint(drawn), atol=1e-12)
    np.testing.assert_array_equal(np.rint(drawn).sum(axis=1), 4)


def test_recording_weights__draw_strata_independently():
    weights = recording_weights(np.array([0, 0, 0, 1, 1, 1]), N_REPLICATES, rng())
    between = np.corrcoef(weights.T)[:3, 3:]
    assert np.abs(between).max() < 5 / np.sqrt(N_REPLICATES)


def test_recording_weights__follow_the_generator():
    strata = np.array([0, 0, 1, 1, 1])
    np.testing.assert_array_equal(recording_weights(strata, 9, rng(3)), recording_weights(strata, 9, rng(3)))
    assert not np.array_equal(recording_weights(strata, 9, rng(3)), recording_weights(strata, 9, rng(4)))


@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_recording_weights__give_the_mean_its_variance(n: int):
    """With n - 1 draws and rescaling the bootstrap variance is s^2 / n; n draws would fall short of it."""
    values = rng(n).gamma(2.0, size=n)
    means = weighted_means(values, recording_weights(np.zeros(n), N_REPLICATES, rng()))
    expected = values.var(ddof=1) / n
    assert means.mean() == pytest.approx(values.mean(), abs=5 * np.sqrt(expected / N_REPLICATES))
    assert means.var() == pytest.approx(expected, rel=0.06)


def test_recording_weights__give_a_stratified_mean_its_variance():
    strata = np.repeat([1, 2, 3], [2, 5, 12])
    values = rng(1).normal(loc=10.0 * strata, scale=strata)
    means = weighted_means(values, recording_weights(strata, N_REPLICATES, rng()))
    of_strata = [values[strata == stratum] for stratum in (1, 2, 3)]
    expected = sum(len(inside) * inside.var(ddof=1) for inside in of_strata) / len(values) ** 2
    assert means.mean() == pytest.approx(values.mean(), abs=5 * np.sqrt(expected / N_REPLICATES))
    assert means.var() == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("shape", [(), (4,), (3, 2)])
def test_weighted_means__equal_a_slow_loop(shape: tuple[int, ...]):
    values = rng(2).normal(size=(9, *shape))
    values[rng(3).random(values.shape) < 0.3] = np.nan
    values[0] = np.nan
    weights = recording_weights(np.array([1, 1, 1, 1, 2, 2, 2, 3, 3]), 40, rng(4))
    means = weighted_means(values, weights)
    assert means.shape == (40, *shape)
    np.testing.assert_allclose(means, slow_means(values, weights), rtol=1e-12)


def test_weighted_means__without_any_value_are_nan():
    values = np.array([[1.0, np.nan], [np.nan, np.nan]])
    weights = np.array([[1.0, 1.0], [0.0, 2.0]])
    np.testing.assert_array_equal(weighted_means(values, weights), [[1, np.nan], [np.nan, np.nan]])


def test_weighted_means__of_no_recordings_are_nan():
    means = weighted_means(np.empty((0, 3)), np.empty((5, 0)))
    assert means.shape == (5, 3)
    assert np.isnan(means).all()


def test_weighted_means__leave_their_arguments_alone():
    values, weights = np.array([1.0, np.nan]), np.ones((2, 2))
    weighted_means(values, weights)
    np.testing.assert_array_equal(values, [1, np.nan])
    np.testing.assert_array_equal(weights, 1)


@pytest.mark.parametrize(("confidence", "limits"), [(0.9, (5, 95)), (0.95, (2.5, 97.5)), (0.6, (20, 80))])
def test_interval__leaves_half_of_the_rest_on_either_side(confidence: float, limits: tuple[float, float]):
    replicates = rng().permutation(np.arange(101.0))
    low, high = interval(np.stack([replicates, -replicates], axis=1), confidence)
    np.testing.assert_allclose(low, [limits[0], -limits[1]])
    np.testing.assert_allclose(high, [limits[1], -limits[0]])


def test_interval__is_nan_where_a_replicate_has_no_value():
    replicates = np.array([[1.0, 1.0], [np.nan, 2.0], [3.0, 3.0]])
    low, high = interval(replicates, 0.9)
    np.testing.assert_array_equal(np.isnan(low), [True, False])
    np.testing.assert_array_equal(np.isnan(high), [True, False])


@pytest.mark.parametrize("distribution", ["normal", "exponential"])
def test_interval__holds_the_true_mean_about_as_often_as_it_says(distribution: str):
    """Percentile intervals of 30 recordings fall a little short of 95 %, more so for skewed values."""
    n_trials, draw = 500, rng(11)
    strata = np.repeat(np.arange(3), 10)
    n_held = 0
    for _ in range(n_trials):
        values = draw.normal(1, 1, 30) if distribution == "normal" else draw.exponential(1, 30)
        low, high = interval(weighted_means(values, recording_weights(strata, 400, draw)), 0.95)
        n_held += int(low <= 1 <= high)
    assert 0.88 <= n_held / n_trials <= 0.98
