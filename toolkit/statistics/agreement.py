"""Do two views of a class agree: networks of different folds or seeds, representations, composites."""

from collections.abc import Sequence

import numpy as np

from toolkit.statistics.profiles import divided_cells


def leave_one_out(
    sums: Sequence[np.ndarray] | np.ndarray, counts: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """Return the correlation of each group's mean map with the mean map of all other groups together.

    Parameters
    ----------
    sums, counts
        Of every group, its maps added up and how many there are, cell by cell, shape (group, bin, frame) each.

    Returns
    -------
    Shape (group,), in [-1, 1]; NaN for a group without maps or without others to compare with.
    """
    return np.array([_correlation_with_rest(sums, counts, number) for number in range(len(sums))])


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation along the last axis, over places where both have a value.

    Parameters
    ----------
    one, other
        Shapes that broadcast to (..., place).

    Returns
    -------
    Shape (...), in [-1, 1]; NaN where fewer than three places are shared or one of the two does not vary.
    """
    one, other = np.broadcast_arrays(np.asarray(one, np.float64), np.asarray(other, np.float64))
    shared = np.isfinite(one) & np.isfinite(other)
    n = shared.sum(axis=-1, keepdims=True)
    x, y = (_less_mean(np.where(shared, values, 0), shared, n) for values in (one, other))
    spread = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    usable = (n[..., 0] > 2) & (spread > _NO_SPREAD)
    product = (x * y).sum(axis=-1)
    return np.clip(np.divide(product, spread, out=np.full(spread.shape, np.nan), where=usable), -1, 1)


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how much two spreads of shares have in common: the sum of the smaller of each two, shape (...).

    Returns
    -------
    In [0, 1] for shares that add up to one along the last axis.
    """
    return np.asarray(np.minimum(one, other).sum(axis=-1))


def spread_over(low: np.ndarray, high: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return which share of every bin lies in every interval of a common axis, shape (interval, bin).

    What a bin holds is taken to be spread evenly over its width.

    Parameters
    ----------
    low, high
        Edges of the bins in Hz, shape (bin,).
    edges
        Edges of the common intervals in Hz, ascending, shape (interval + 1,).
    """
    inside = np.minimum(high, edges[1:, None]) - np.maximum(low, edges[:-1, None])
    return np.asarray(np.maximum(inside, 0) / (high - low))


_NO_SPREAD = 1e-12


def _less_mean(values: np.ndarray, shared: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.where(shared, values - values.sum(axis=-1, keepdims=True) / np.maximum(n, 1), 0)


def _correlation_with_rest(
    sums: Sequence[np.ndarray] | np.ndarray, counts: Sequence[np.ndarray] | np.ndarray, number: int
) -> float:
    """Correlate one group with the others, added up anew: taking it off the total leaves rounding noise."""
    rest = [other for other in range(len(sums)) if other != number]
    if not rest:
        return float("nan")
    one = divided_cells(sums[number], counts[number])
    others = divided_cells(
        np.sum([sums[other] for other in rest], axis=0), np.sum([counts[other] for other in rest], axis=0)
    )
    return float(correlation(one.ravel(), others.ravel()))
