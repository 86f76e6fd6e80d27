"""Agreement of two views against scipy, slow loops and hand algebra, and the cases without an answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from toolkit.features.bands import third_octaves
from toolkit.statistics.agreement import correlation, leave_one_out, overlap, spread_over

SHAPE = (4, 5)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def summed(maps: np.ndarray, groups: list[int], n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Return maps added up by group, and how many there are, cell by cell."""
    present = np.isfinite(maps)
    inside = [np.array(groups) == group for group in range(n_groups)]
    sums = np.array([np.where(present, maps, 0)[here].sum(axis=0) for here in inside])
    return sums, np.array([present[here].sum(axis=0) for here in inside])


def slow_agreement(maps: np.ndarray, inside: list[bool]) -> float:
    """Rewrite the correlation of the two mean maps, over the cells that both have."""
    x, y = [], []
    for cell in np.ndindex(maps.shape[1:]):
        values = maps[(slice(None), *cell)]
        own = [value for value, here in zip(values, inside, strict=True) if here and not np.isnan(value)]
        others = [value for value, here in zip(values, inside, strict=True) if not here and not np.isnan(value)]
        if own and others:
            x.append(sum(own) / len(own))
            y.append(sum(others) / len(others))
    return float(stats.pearsonr(x, y).statistic)


def test_correlation__equals_scipy_over_places_that_both_have(rng):
    one, other = rng.normal(size=(2, 6, 40))
    other += one
    one[rng.random(one.shape) < 0.2] = np.nan
    other[rng.random(other.shape) < 0.2] = np.nan
    found = correlation(one, other)
    for row in range(6):
        shared = np.isfinite(one[row]) & np.isfinite(other[row])
        expected = stats.pearsonr(one[row, shared], other[row, shared]).statistic
        assert found[row] == pytest.approx(expected, rel=1e-12)


def test_correlation__broadcasts_to_every_pair(rng):
    one, other = rng.normal(size=(3, 20)), rng.normal(size=(4, 20))
    found = correlation(one[:, None], other[None])
    expected = [[stats.pearsonr(a, b).statistic for b in other] for a in one]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_correlation__does_not_depend_on_scale_and_offset(rng):
    one, other = rng.normal(size=(2, 30))
    np.testing.assert_allclose(correlation(5 * one - 3, 0.1 * other + 7), correlation(one, other))
    np.testing.assert_allclose(correlation(-one, other), -correlation(one, other))


def test_correlation__stays_within_one_in_spite_of_rounding(rng):
    values = rng.normal(size=(500, 7)) * 10.0 ** rng.integers(-3, 6, size=(500, 1))
    found = correlation(values, 3 * values)
    assert (found <= 1).all()
    np.testing.assert_allclose(found, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1.0, 2.0], [1.0, 3.0]),
        ([1.0, 2.0, np.nan, 4.0], [1.0, np.nan, 3.0, 5.0]),
        ([0.1, 0.1, 0.1, 0.1], [1.0, 2.0, 3.0, 4.0]),
        ([np.nan] * 4, [1.0, 2.0, 3.0, 4.0]),
        ([], []),
    ],
)
def test_correlation__is_nan_where_there_is_too_little_to_correlate(one, other):
    assert np.isnan(correlation(np.array(one), np.array(other)))


def test_leave_one_out__equals_a_slow_loop(rng):
    groups = [0, 0, 0, 1, 2, 2, 2, 2]
    maps = rng.normal(size=(8, *SHAPE)) + rng.normal(size=SHAPE)
    maps[rng.random(maps.shape) < 0.3] = np.nan
    maps[3, 2:] = np.nan
    expected = [slow_agreement(maps, [number == group for number in groups]) for group in range(3)]
    np.testing.assert_allclose(leave_one_out(*summed(maps, groups, 3)), expected, rtol=1e-9)


def test_leave_one_out__of_equal_and_of_opposite_maps(rng):
    one = rng.normal(size=SHAPE)
    maps = np.stack([one, 3 * one, one + 1, 0.5 * one - 2])
    np.testing.assert_allclose(leave_one_out(*summed(maps, [0, 1, 1, 2], 3)), 1)
    np.testing.assert_allclose(leave_one_out(*summed(np.stack([one, -one]), [0, 1], 2)), -1)


def test_leave_one_out__finds_the_group_that_differs(rng):
    shared = rng.normal(size=SHAPE)
    maps = np.stack([shared + 0.1 * rng.normal(size=SHAPE) for _ in range(4)])
    maps[2] = rng.normal(size=SHAPE)
    found = leave_one_out(maps, np.ones(maps.shape))
    assert np.argmin(found) == 2
    assert found[2] < 0.5
    assert np.delete(found, 2).min() > 0.8


def test_leave_one_out__weighs_groups_by_their_recordings(rng):
    a, b, c = rng.normal(size=(3, *SHAPE))
    found = leave_one_out(*summed(np.stack([a, b, b, b, c]), [0, 1, 1, 1, 2], 3))
    assert found[0] == pytest.approx(np.corrcoef(a.ravel(), ((3 * b + c) / 4).ravel())[0, 1])


def test_leave_one_out__takes_lists(rng):
    maps = rng.normal(size=(3, *SHAPE))
    counts = np.ones(maps.shape, np.int64)
    np.testing.assert_array_equal(leave_one_out([*maps], [*counts]), leave_one_out(maps, counts))


@pytest.mark.parametrize(("groups", "unknown"), [([0, 0, 2], [1]), ([0, 0, 0], [0, 1, 2])])
def test_leave_one_out__is_nan_without_maps_or_without_others(rng, groups, unknown):
    found = leave_one_out(*summed(rng.normal(size=(3, *SHAPE)), groups, 3))
    assert np.flatnonzero(np.isnan(found)).tolist() == unknown


def test_leave_one_out__is_nan_for_a_single_group_and_empty_for_none(rng):
    assert np.isnan(leave_one_out(rng.normal(size=(1, *SHAPE)), np.ones((1, *SHAPE)))).all()
    assert leave_one_out(np.empty((0, *SHAPE)), np.empty((0, *SHAPE))).shape == (0,)


def test_leave_one_out__is_nan_without_three_cells_in_common(rng):
    maps = rng.normal(size=(2, *SHAPE))
    maps[0, :2], maps[1, 2:] = np.nan, np.nan
    maps[1, 2, :2] = 1.0, 2.0
    assert np.isnan(leave_one_out(*summed(maps, [0, 1], 2))).all()
    maps[1, 2, 2] = 7.0
    assert np.isfinite(leave_one_out(*summed(maps, [0, 1], 2))).all()


def test_leave_one_out__is_nan_where_a_map_is_flat(rng):
    """Nothing can be said of a flat map, nor of what rounding makes of one."""
    maps = np.stack([rng.normal(size=SHAPE), np.full(SHAPE, 0.1), np.full(SHAPE, 0.1)])
    assert np.isnan(leave_one_out(maps, np.ones(maps.shape))).all()


def test_overlap__is_one_for_equal_spreads_and_zero_for_disjoint_ones():
    one, other = np.array([0.5, 0.5, 0, 0]), np.array([0, 0, 0.25, 0.75])
    assert overlap(one, one) == pytest.approx(1)
    assert overlap(one, other) == 0
    assert overlap(np.array([0.7, 0.3]), np.array([0.4, 0.6])) == pytest.approx(0.7)


def test_overlap__is_one_less_half_the_absolute_difference(rng):
    one, other = rng.dirichlet(np.ones(6), size=(2, 5))
    np.testing.assert_allclose(overlap(one, other), 1 - np.abs(one - other).sum(axis=-1) / 2)
    np.testing.assert_allclose(overlap(one, other), overlap(other, one))


def test_spread_over__of_a_bin_across_an_edge_is_hand_algebra():
    low, high = np.array([0.0, 100.0, 250.0]), np.array([100.0, 250.0, 450.0])
    expected = [[0.5, 0, 0], [0.5, 2 / 3, 0], [0, 1 / 3, 0.25]]
    np.testing.assert_allclose(spread_over(low, high, np.array([0.0, 50.0, 200.0, 300.0])), expected)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_spread_over__keeps_all_that_lies_within_the_edges(n_bins, n_intervals, seed):
    rng = np.random.default_rng(seed)
    places = np.cumsum(rng.uniform(1, 100, size=n_bins + 1))
    inner = np.sort(rng.uniform(places[0], places[-1], size=n_intervals - 1))
    edges = np.concatenate([[places[0] - 1], inner, [places[-1] + 1]])
    spread = spread_over(places[:-1], places[1:], edges)
    assert spread.shape == (n_intervals, n_bins)
    assert (spread >= 0).all()
    np.testing.assert_allclose(spread.sum(axis=0), 1)
    shares = rng.dirichlet(np.ones(n_bins))
    assert (shares @ spread.T).sum() == pytest.approx(1)


def test_spread_over__keeps_a_density_that_is_even_in_hz_even():
    low = np.linspace(0, 7900, 80)
    edges = third_octaves(31.25, 8000)
    moved = spread_over(low, low + 100, edges) @ np.full(80, 1 / 80)
    np.testing.assert_allclose(moved, np.diff(edges) / 8000)


def test_spread_over__leaves_out_what_lies_outside_the_edges():
    spread = spread_over(np.array([0.0, 10.0]), np.array([10.0, 20.0]), np.array([12.0, 17.0]))
    np.testing.assert_allclose(spread, [[0, 0.5]])
