"""Intervals over recordings: what weights must add up to, and whether intervals hold what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from toolkit.statistics import bootstrap
from toolkit.statistics.bootstrap import (
    CORRELATION,
    PLAIN,
    SHARE,
    Bootstrap,
    Scale,
    collapsed,
    degrees_of_freedom,
    interval,
    recording_weights,
    weighted_means,
)

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


@pytest.mark.parametrize(
    ("strata", "expected"),
    [
        ([7, 7, 2, 2, 2], [1, 1, 0, 0, 0]),
        ([1, 2, 2, 2, 3, 3], [1, 0, 0, 0, 1, 1]),
        ([1, 2, 2, 3, 4], [0, 1, 1, 0, 0]),
        ([1, 2, 3], [0, 0, 0]),
        ([4, 4, 9], [0, 0, 0]),
        ([5], [0]),
        ([], []),
    ],
    ids=[
        "none is lone",
        "with the smallest",
        "lone ones together",
        "all are lone",
        "one other",
        "sole",
        "none",
    ],
)
def test_collapsed__joins_lone_recordings(strata: list[int], expected: list[int]):
    np.testing.assert_array_equal(collapsed(np.array(strata, np.int64)), expected)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=20))
def test_collapsed__leaves_no_recording_alone_and_splits_no_stratum(strata: list[int]):
    of, before = collapsed(np.array(strata)), np.array(strata)
    assert np.bincount(of).min() >= 2
    for stratum in set(strata):
        assert len(set(of[before == stratum].tolist())) == 1


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_recording_weights__add_up_within_every_collapsed_stratum(strata: list[int], seed: int):
    of = collapsed(np.array(strata))
    weights = recording_weights(np.array(strata), 50, rng(seed))
    assert weights.shape == (50, len(strata))
    assert (weights >= 0).all()
    for stratum in range(of.max() + 1):
        inside = of == stratum
        np.testing.assert_allclose(weights[:, inside].sum(axis=1), inside.sum(), rtol=1e-12)


def test_recording_weights__draw_lone_recordings_in_one_stratum():
    """Of two, one is drawn, and counts for both."""
    weights = recording_weights(np.array([7, 2, 7, 5, 7]), 100, rng())
    assert set(map(tuple, weights[:, [1, 3]].tolist())) == {(0, 2), (2, 0)}
    np.testing.assert_allclose(weights[:, [0, 2, 4]].sum(axis=1), 3)


def test_recording_weights__of_the_only_recording_stay_one():
    np.testing.assert_array_equal(recording_weights(np.array([4]), 100, rng()), 1)


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


@pytest.mark.parametrize(
    ("at_once", "sizes"), [(1000, [50]), (70, [10] * 5), (77, [11, 11, 11, 11, 6]), (1, [1] * 50)]
)
def test_replicates__are_drawn_in_blocks_that_hold_so_many_weights(
    at_once: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bootstrap, "_WEIGHTS_AT_ONCE", at_once)
    strata = np.array([1, 1, 1, 1, 2, 2, 2])
    blocks = list(bootstrap.blocks_of_weights(strata, Bootstrap(50, 0.95, rng())))
    assert [len(block) for block in blocks] == sizes
    together = bootstrap.replicates(lambda weights: weights, strata, Bootstrap(50, 0.95, rng()))
    np.testing.assert_array_equal(together, np.concatenate(blocks))
    np.testing.assert_allclose(together[:, :4].sum(axis=1), 4)


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


@pytest.mark.parametrize(
    ("strata", "expected"),
    [
        ([0] * 5, 4),
        ([0, 0, 0, 1, 1], 3),
        ([0, 0, 0, 1], 3),
        ([0, 0, 1, 2], 2),
        ([0, 1, 2], 2),
        ([3], 0),
        ([], 0),
    ],
)
def test_degrees_of_freedom__are_recordings_less_collapsed_strata(strata: list[int], expected: int):
    assert degrees_of_freedom(np.array(strata, np.int64)) == expected


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_interval__of_plain_values_is_that_of_student(confidence: float):
    values = rng(5).normal(10, 3, size=8)
    replicates = weighted_means(values, recording_weights(np.zeros(8), N_REPLICATES, rng()))
    found = interval(values.mean(), replicates, np.zeros(8), confidence, PLAIN)
    expected = stats.t.interval(confidence, 7, values.mean(), stats.sem(values))
    np.testing.assert_allclose(
        np.subtract(found, values.mean()), np.subtract(expected, values.mean()), rtol=0.03
    )


@pytest.mark.parametrize(
    ("scale", "there", "estimate"),
    [
        (SHARE, lambda share: np.log(share / (1 - share)), 0.9),
        (CORRELATION, lambda value: 0.5 * np.log((1 + value) / (1 - value)), -0.7),
        (PLAIN, lambda value: value, 123.0),
    ],
    ids=["share", "correlation", "plain"],
)
def test_interval__is_symmetric_on_its_scale(scale: Scale, there, estimate: float):
    """Its half width there is t times the standard error, times the slope of the scale, here by differences."""
    replicates = estimate + np.array([-0.02, 0.0, 0.01, 0.03])
    low, high = interval(np.array(estimate), replicates, np.array([0, 0, 0, 1, 1]), 0.9, scale)
    slope = (there(estimate + 1e-6) - there(estimate - 1e-6)) / 2e-6
    reach = stats.t.ppf(0.95, 3) * np.std(replicates, ddof=1) * slope
    np.testing.assert_allclose(
        [there(low), there(high)], there(estimate) + np.array([-reach, reach]), rtol=1e-6
    )


@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval__of_none_and_of_all_is_that_of_clopper_and_pearson(n: int, confidence: float):
    estimate = np.array([0.0, 1.0])
    low, high = interval(estimate, np.tile(estimate, (9, 1)), np.zeros(n), confidence, SHARE)
    for at, n_right in enumerate((0, n)):
        expected = stats.binomtest(n_right, n).proportion_ci(confidence, method="exact")
        np.testing.assert_allclose((low[at], high[at]), expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [SHARE, CORRELATION, PLAIN], ids=["share", "correlation", "plain"])
def test_interval__is_nan_without_spread(scale: Scale):
    """40 to 40 % would claim certainty; nor is rounding spread."""
    replicates = np.array([0.1, 0.1, 0.3 - 0.2])
    assert replicates.std() > 0
    assert np.isnan(interval(np.array(0.1), replicates, np.zeros(5), 0.95, scale)).all()


def test_interval__is_nan_from_a_single_recording():
    assert np.isnan(interval(np.array(0.4), np.array([0.3, 0.5, 0.4]), np.zeros(1), 0.95, SHARE)).all()


@pytest.mark.parametrize("scale", [SHARE, PLAIN], ids=["share", "plain"])
def test_interval__is_nan_where_a_replicate_or_the_estimate_has_no_value(scale: Scale):
    replicates = np.array([[0.1, 0.1, np.nan], [np.nan, 0.2, np.nan], [0.3, 0.3, np.nan]])
    limits = interval(np.array([0.2, 0.2, np.nan]), replicates, np.zeros(4), 0.9, scale)
    for limit in limits:
        np.testing.assert_array_equal(np.isnan(limit), [True, False, True])


def coverage(n: int, draw_values, scale: Scale, truth: float) -> float:
    """Return how often intervals from n recordings in strata of at least two hold the truth."""
    n_trials, draw, n_held = 600, rng(11), 0
    strata = np.arange(n) * max(1, n // 4) // n
    for _ in range(n_trials):
        values = draw_values(draw, n)
        replicates = weighted_means(values, recording_weights(strata, 300, draw))
        low, high = interval(values.mean(), replicates, strata, 0.95, scale)
        n_held += int(low <= truth <= high)
    return n_held / n_trials


@pytest.mark.parametrize("n", [3, 5, 8, 30])
def test_interval__holds_the_true_mean_as_often_as_it_says(n: int):
    """Also from three recordings, where 1.96 standard errors would hold it in 81 of 100 samples."""
    assert coverage(n, lambda draw, n: draw.normal(1, 1, n), PLAIN, 1.0) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("n", [8, 30])
def test_interval__holds_a_true_share_as_often_as_it_says(n: int):
    found = coverage(n, lambda draw, n: draw.beta(2, 0.5, n), SHARE, 0.8)
    assert found == pytest.approx(0.95, abs=0.03)


def test_interval__of_few_skewed_shares_needs_their_scale():
    """Eight recordings, most all but perfect: limits symmetric in log-odds hold the mean more often."""
    on_scale, plain = (
        coverage(8, lambda draw, n: draw.beta(3, 0.3, n), scale, 10 / 11) for scale in (SHARE, PLAIN)
    )
    assert on_scale > 0.88
    assert on_scale > plain + 0.04
