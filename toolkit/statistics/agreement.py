"""Do two views of a class agree: networks of different folds or seeds, representations, composites."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolkit.statistics.bootstrap import CORRELATION, Bootstrap, interval, replicates, weighted_means
from toolkit.statistics.contrasts import single_bins
from toolkit.statistics.profiles import divided_cells


@dataclass(frozen=True)
class View:
    """Recordings as one representation and composite of one run sees them."""

    label: np.ndarray
    """Number of the class, shape (recording,)."""
    recording: np.ndarray
    """Names; one that holds clips of two classes, or in two folds, stands here twice."""
    fold: np.ndarray
    share: np.ndarray
    """Shape (recording, bin)."""
    input_share: np.ndarray
    low_hz: np.ndarray
    """Lower edges of the bins, shape (bin,)."""
    high_hz: np.ndarray

    @property
    def keys(self) -> list[tuple[int, int, str]]:
        """What tells recordings apart: class, fold and name."""
        return list(zip(self.label.tolist(), self.fold.tolist(), self.recording.tolist(), strict=True))

    def rows(self, rows: np.ndarray) -> "View":
        """Return some of the recordings, in the order of their numbers."""
        of_rows = ("label", "recording", "fold", "share", "input_share")
        return replace(self, **{name: getattr(self, name)[rows] for name in of_rows})


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


def paired(views: Sequence[View]) -> list[View]:
    """Return views of the recordings that all of them have shares of, in one order."""
    known = [np.isfinite(view.share).all(axis=1) for view in views]
    places = [
        {key: row for row, key in enumerate(view.keys) if is_known[row]}
        for view, is_known in zip(views, known, strict=True)
    ]
    common = sorted(set.intersection(*map(set, places)))
    return [
        view.rows(np.array([place[key] for key in common], np.int64))
        for view, place in zip(views, places, strict=True)
    ]


def profile(view: View, chosen: np.ndarray, floor: float, weights: np.ndarray) -> np.ndarray:
    """Return log ratios of mean shares of relevance and input in every replicate, shape (replicate, bin).

    Parameters
    ----------
    view
        Recordings.
    chosen
        Which of them, booleans, shape (recording,).
    floor
        Added to shares before ratios: see ``contrasts.Groups``.
    weights
        Of the chosen, shape (replicate, chosen).
    """
    share, reference = (weighted_means(values[chosen], weights) for values in (view.share, view.input_share))
    return single_bins(share.shape[1], floor).log_ratio(share, reference)


def correlated(
    views: Sequence[View], n_classes: int, floor: float, bootstrap: Bootstrap
) -> dict[str, np.ndarray]:
    """Return the correlation of two profiles of every class, with its interval, shape (class,) each.

    Parameters
    ----------
    views
        Two, of the same recordings and bins, as ``paired`` returns them.
    n_classes
        Classes, numbered from 0.
    floor
        As ``profile`` takes it.
    bootstrap
        How intervals are made; recordings are drawn within the folds of the first view.
    """
    found = []
    for label in range(n_classes):
        chosen = views[0].label == label
        folds = views[0].fold[chosen]

        def of_replicates(weights: np.ndarray, of: np.ndarray = chosen) -> np.ndarray:
            return correlation(*(profile(view, of, floor, weights) for view in views))

        middle = of_replicates(np.ones((1, len(folds))))[0]
        drawn = replicates(of_replicates, folds, bootstrap)
        low, high = interval(middle, drawn, folds, bootstrap.confidence, CORRELATION)
        found.append((middle, low, high))
    limits = np.array(found, np.float64).reshape(n_classes, 3).T
    return dict(zip(("correlation", "correlation_low", "correlation_high"), limits, strict=True))


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
