"""Agreement between folds against a slow re-writing, and the cases without an answer."""

import numpy as np
import pytest

from toolkit.statistics.agreement import leave_one_fold_out

SHAPE = (4, 5)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def members(folds: list[int], known: tuple[int, ...]) -> list[np.ndarray]:
    return [np.array(folds) == fold for fold in known]


def slow_agreement(maps: np.ndarray, inside: np.ndarray) -> float:
    """Rewrite the correlation of the two mean maps, over the cells that both have."""
    x, y = [], []
    for cell in np.ndindex(maps.shape[1:]):
        values = maps[(slice(None), *cell)]
        own = [value for value, here in zip(values, inside, strict=True) if here and not np.isnan(value)]
        others = [value for value, here in zip(values, inside, strict=True) if not here and not np.isnan(value)]
        if own and others:
            x.append(sum(own) / len(own))
            y.append(sum(others) / len(others))
    dx = [value - sum(x) / len(x) for value in x]
    dy = [value - sum(y) / len(y) for value in y]
    product = sum(a * b for a, b in zip(dx, dy, strict=True))
    return float(product / np.sqrt(sum(a * a for a in dx) * sum(b * b for b in dy)))


def test_leave_one_fold_out__equals_a_slow_loop(rng: np.random.Generator):
    folds = [1, 1, 1, 2, 3, 3, 3, 3]
    maps = rng.normal(size=(8, *SHAPE)) + rng.normal(size=SHAPE)
    maps[rng.random(maps.shape) < 0.3] = np.nan
    maps[3, 2:] = np.nan
    inside = members(folds, (1, 2, 3))
    expected = [slow_agreement(maps, of_fold) for of_fold in inside]
    np.testing.assert_allclose(leave_one_fold_out(maps, inside), expected, rtol=1e-9)


def test_leave_one_fold_out__of_equal_maps_is_one(rng: np.random.Generator):
    one = rng.normal(size=SHAPE)
    maps = np.stack([one, 3 * one, one + 1, 0.5 * one - 2])
    np.testing.assert_allclose(leave_one_fold_out(maps, members([1, 2, 2, 3], (1, 2, 3))), 1)


def test_leave_one_fold_out__of_opposite_maps_is_minus_one(rng: np.random.Generator):
    one = rng.normal(size=SHAPE)
    agreement = leave_one_fold_out(np.stack([one, -one]), members([1, 2], (1, 2)))
    np.testing.assert_allclose(agreement, -1)


def test_leave_one_fold_out__finds_the_fold_that_differs(rng: np.random.Generator):
    shared = rng.normal(size=SHAPE)
    maps = np.stack([shared + 0.1 * rng.normal(size=SHAPE) for _ in range(4)])
    maps[2] = rng.normal(size=SHAPE)
    agreement = leave_one_fold_out(maps, members([1, 2, 3, 4], (1, 2, 3, 4)))
    assert np.argmin(agreement) == 2
    assert agreement[2] < 0.5
    assert np.delete(agreement, 2).min() > 0.8


def test_leave_one_fold_out__averages_recordings_within_a_fold(rng: np.random.Generator):
    """A fold with many recordings counts for the others' mean as often as it has recordings."""
    a, b, c = rng.normal(size=(3, *SHAPE))
    agreement = leave_one_fold_out(np.stack([a, b, b, b, c]), members([1, 2, 2, 2, 3], (1, 2, 3)))
    expected = np.corrcoef(a.ravel(), ((3 * b + c) / 4).ravel())[0, 1]
    assert agreement[0] == pytest.approx(expected)


def test_leave_one_fold_out__is_nan_for_a_fold_without_recordings(rng: np.random.Generator):
    agreement = leave_one_fold_out(rng.normal(size=(3, *SHAPE)), members([1, 1, 3], (1, 2, 3)))
    np.testing.assert_array_equal(np.isnan(agreement), [False, True, False])


def test_leave_one_fold_out__is_nan_for_a_fold_without_others(rng: np.random.Generator):
    agreement = leave_one_fold_out(rng.normal(size=(3, *SHAPE)), members([1, 1, 1], (1, 2)))
    assert np.isnan(agreement).all()


def test_leave_one_fold_out__is_nan_without_recordings():
    agreement = leave_one_fold_out(np.empty((0, *SHAPE)), [np.zeros(0, bool)] * 2)
    assert np.isnan(agreement).all()


def test_leave_one_fold_out__is_nan_without_two_cells_in_common(rng: np.random.Generator):
    maps = rng.normal(size=(2, *SHAPE))
    maps[0, :2], maps[1, 2:] = np.nan, np.nan
    assert np.isnan(leave_one_fold_out(maps, members([1, 2], (1, 2)))).all()
    maps[1, 2, 0] = 1.0
    assert np.isnan(leave_one_fold_out(maps, members([1, 2], (1, 2)))).all()


def test_leave_one_fold_out__is_nan_where_a_map_is_flat(rng: np.random.Generator):
    """Nothing can be said of a flat map, nor of what rounding makes of one."""
    maps = np.stack([rng.normal(size=SHAPE), np.full(SHAPE, 0.1), np.full(SHAPE, 0.1)])
    agreement = leave_one_fold_out(maps, members([1, 2, 3], (1, 2, 3)))
    assert np.isnan(agreement).all()
