"""Do folds agree: each has a network of its own, trained on other recordings."""

from collections.abc import Sequence

import numpy as np


def leave_one_fold_out(maps: np.ndarray, members: Sequence[np.ndarray]) -> np.ndarray:
    """Return the correlation of each fold's mean map with the mean map of all other folds.

    Parameters
    ----------
    maps
        One map per recording, shape (recording, bin, frame); NaN where there is no value.
    members
        For every fold, which recordings it holds, each of shape (recording,).

    Returns
    -------
    Shape (fold,), in [-1, 1]; NaN for a fold without recordings or without others to compare with.
    """
    present = np.isfinite(maps)
    sums = [np.where(present[inside], maps[inside], 0).sum(axis=0) for inside in members]
    counts = [present[inside].sum(axis=0) for inside in members]
    return np.array([_correlation_with_rest(sums, counts, number) for number in range(len(members))])


def _correlation_with_rest(sums: Sequence[np.ndarray], counts: Sequence[np.ndarray], number: int) -> float:
    """Correlate one fold with the others, added up anew: taking it off the total would leave rounding noise."""
    rest = [other for other in range(len(sums)) if other != number]
    if not rest:
        return float("nan")
    total = np.sum([sums[other] for other in rest], axis=0)
    count = np.sum([counts[other] for other in rest], axis=0)
    return _correlation(sums[number], counts[number], total, count)


def _correlation(one: np.ndarray, n_one: np.ndarray, rest: np.ndarray, n_rest: np.ndarray) -> float:
    shared = (n_one > 0) & (n_rest > 0)
    if shared.sum() < 2:
        return float("nan")
    x, y = one[shared] / n_one[shared], rest[shared] / n_rest[shared]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
