"""What two runs make of the same recordings: by how much they differ, and whether that is more than chance.

Conventions. Both runs stand on the same clips or recordings, in the same order; a difference is the second less
the first. A recording is drawn once for both, so that what makes it hard or easy for either cancels. Limits are
Student's on Fisher's scale, since a difference of shares lies in [-1, 1] as a correlation does.

They hold for recordings like these, given the networks of both runs. Networks trained anew differ as well.
"""

import math
from dataclasses import dataclass

import numpy as np

from toolkit.statistics.bootstrap import CORRELATION, Bootstrap, interval, replicates, weighted_means
from toolkit.statistics.dependence import draw
from toolkit.statistics.profiles import mean, recording_means


@dataclass(frozen=True)
class Judged:
    """Clips that both runs have classified, each of shape (clip,)."""

    label: np.ndarray
    """Number of the class, from 0."""
    fold: np.ndarray
    """Within which recordings are drawn."""
    recording: np.ndarray
    """Number of the recording."""
    right: np.ndarray
    """Whether the first and the second run classify it correctly, booleans, shape (2, clip)."""


@dataclass(frozen=True)
class Difference:
    """A figure of both runs and the second less the first, each of shape (figure,)."""

    first: np.ndarray
    """NaN where there is nothing to compare."""
    second: np.ndarray
    value: np.ndarray
    low: np.ndarray
    """NaN where the recordings show no spread."""
    high: np.ndarray
    n_recordings: np.ndarray
    n_differing: np.ndarray
    """Recordings whose own figure is not the same in both."""
    n_rising: np.ndarray
    """Recordings whose own figure is larger in the second."""


def accuracies(clips: Judged, n_classes: int, bootstrap: Bootstrap) -> Difference:
    """Return the difference in the share of clips classified correctly: of all clips, then of every class.

    Every clip counts once, as in ``performance.accuracy``, and recordings are drawn within class and fold, as
    they are there.

    Parameters
    ----------
    clips
        What both runs have classified.
    n_classes
        How many classes there are figures for.
    bootstrap
        How intervals are made.

    Returns
    -------
    In [-1, 1], 1 + ``n_classes`` figures.
    """
    sample = draw(clips.label, clips.fold, clips.recording, bootstrap)
    of_class = clips.label[:, None] == np.arange(n_classes)
    inside = np.concatenate([np.ones((len(clips.label), 1), bool), of_class], axis=1)
    first, second = (np.where(inside, right[:, None], np.nan) for right in clips.right)
    change = second - first
    estimate, drawn = mean(change), sample.replicate_means(change)
    limits = [
        interval(estimate[at], drawn[:, at], sample.strata_with(members), bootstrap.confidence, _SCALE)
        for at, members in enumerate(inside.T)
    ]
    low, high = np.array(limits).T
    there, moved = (sample.sums(values) for values in (inside.astype(np.int64), np.nan_to_num(change)))
    counts = (counted.sum(axis=0) for counted in (there != 0, moved != 0, moved > 0))
    return Difference(mean(first), mean(second), estimate, low, high, *counts)


def turned(clips: Judged, n_classes: int) -> np.ndarray:
    """Return how many recordings went from mostly wrong to mostly right, and how many back.

    Mostly is more than half of the clips. A recording with clips of two classes or in two folds is two.

    Returns
    -------
    Shape (2, 1 + ``n_classes``): of all classes, then of every one.
    """
    keys = np.stack([clips.label, clips.fold, clips.recording], axis=1)
    recordings, number = np.unique(keys, axis=0, return_inverse=True)
    first, second = recording_means(clips.right.T.astype(np.float64), number.ravel(), len(recordings)).T
    ways = ((first < 0.5) & (second > 0.5), (first > 0.5) & (second < 0.5))
    by_class = [np.bincount(recordings[way, 0], minlength=n_classes) for way in ways]
    return np.array([[counts.sum(), *counts] for counts in by_class])


def shares(first: np.ndarray, second: np.ndarray, fold: np.ndarray, bootstrap: Bootstrap) -> Difference:
    """Return the difference of mean shares, every recording counting once.

    Parameters
    ----------
    first, second
        Of the same recordings, shape (recording, figure).
    fold
        Within which recordings are drawn, shape (recording,).
    bootstrap
        How intervals are made.

    Returns
    -------
    In [-1, 1].
    """
    change = second - first
    estimate = mean(change)
    drawn = replicates(lambda weights: weighted_means(change, weights), fold, bootstrap)
    low, high = interval(estimate, drawn, fold, bootstrap.confidence, _SCALE)
    counted, rising, falling = (
        moved.sum(axis=0) for moved in (np.ones(change.shape, bool), change > _ROUNDING, change < -_ROUNDING)
    )
    return Difference(mean(first), mean(second), estimate, low, high, counted, rising + falling, rising)


def is_certain(found: Difference, confidence: float, minimum_recordings: int) -> np.ndarray:
    """Return which differences are more than chance, booleans, shape (figure,).

    Their interval leaves out 0, there are recordings enough, and enough of them differ: an interval from a few
    that happen to lie on one side is too narrow, and a sign test would not find anything in them. Where
    there is no spread, hence no interval, all must have moved to one side: then that test tells.

    Parameters
    ----------
    found
        Differences.
    confidence
        Of their intervals.
    minimum_recordings
        Fewer are too few to say anything.
    """
    outside = (found.low > 0) | (found.high < 0)
    one_way = (found.n_rising == 0) | (found.n_rising == found.n_recordings)
    outside |= ~(found.low < found.high) & (found.n_differing == found.n_recordings) & one_way
    enough = (found.n_recordings >= minimum_recordings) & (found.n_differing >= fewest_differing(confidence))
    return np.asarray(outside & enough)


def fewest_differing(confidence: float) -> int:
    """Return how few recordings, all on one side, a two-sided sign test could still tell from chance."""
    return math.ceil(1 - math.log2(1 - confidence))


_SCALE = CORRELATION
_ROUNDING = 1e-12
