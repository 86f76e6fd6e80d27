"""What several networks together say of clips: one class, and one map.

Axis 0 is the network wherever there are several. A network that has no say on a clip holds NaN there and counts
for nothing.
"""

import numpy as np

from toolkit.statistics.agreement import leave_one_out
from toolkit.statistics.profiles import mean

NONE = -1
"""In place of a class: no network has a say."""


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, same shape, float64."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def mean_probability(logits: np.ndarray) -> np.ndarray:
    """Return the mean over networks of their softmax, shape (clip, class); NaN where none has a say.

    Parameters
    ----------
    logits
        Shape (network, clip, class).
    """
    return mean(probabilities(logits))


def named(probability: np.ndarray) -> np.ndarray:
    """Return the class with the highest value along the last axis, the first of equals; ``NONE`` where NaN."""
    known = np.isfinite(probability).all(axis=-1)
    return np.where(known, np.where(known[..., None], probability, 0).argmax(axis=-1), NONE)


def votes(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return how many networks name each clip's class, shape (clip,).

    Parameters
    ----------
    logits
        Shape (network, clip, class).
    classes
        Class number of each clip, or ``NONE``; shape (clip,).
    """
    return np.asarray(((named(logits) == classes) & (classes != NONE)).sum(axis=0))


def agreement(shares: np.ndarray) -> np.ndarray:
    """Return the mean correlation of one network's map with the mean map of the others, shape (clip,).

    Parameters
    ----------
    shares
        Maps, shape (network, clip, bin, frame), NaN in padding.

    Returns
    -------
    In [-1, 1]; NaN where fewer than two networks have a map.
    """
    present = np.isfinite(shares)
    known = np.where(present, shares, 0)
    by_clip = [leave_one_out(known[:, clip], present[:, clip]) for clip in range(shares.shape[1])]
    return mean(np.array(by_clip).reshape(-1, len(shares)).T)
