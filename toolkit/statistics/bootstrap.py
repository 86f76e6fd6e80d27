"""Uncertainty from recordings: clips of one recording are copies of one another, recordings are the sample.

Recordings are resampled within strata (folds). A stratum holds few of them, so n - 1 of n are
drawn and the weights rescaled; drawing n of n would make intervals too narrow.

References
----------
Rao & Wu, "Resampling inference with complex survey data", JASA 83 (1988).
"""

import math

import numpy as np


def recording_weights(strata: np.ndarray, n_replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Return the weight of every recording in every bootstrap replicate, shape (replicate, recording).

    Parameters
    ----------
    strata
        Stratum of each recording, shape (recording,). A stratum of one recording keeps weight 1.
    n_replicates
        How often to draw.
    rng
        Draws.

    Returns
    -------
    Weights >= 0 that add up, within each stratum, to its number of recordings.
    """
    weights = np.ones((n_replicates, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        n = len(members)
        if n > 1:
            drawn = rng.multinomial(n - 1, np.full(n, 1 / n), size=n_replicates)
            weights[:, members] = drawn * (n / (n - 1))
    return weights


def has_replicates(strata: np.ndarray) -> bool:
    """Tell whether any stratum holds two recordings; without one, every replicate would be the same."""
    return bool((np.unique(strata, return_counts=True)[1] > 1).any())


def weighted_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean over recordings in every replicate, shape (replicate, ...).

    Parameters
    ----------
    values
        Shape (recording, ...); NaN where a recording has no value, which leaves it out of that mean.
    weights
        Shape (replicate, recording).
    """
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    present = np.isfinite(flat)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ np.where(present, flat, 0)) / (weights @ present)
    return means.reshape(len(weights), *values.shape[1:])


def interval(replicates: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper percentile limits over replicates, each of shape (...).

    Parameters
    ----------
    replicates
        Shape (replicate, ...). Where a replicate has no value, the limits are NaN.
    confidence
        Share of the replicates between the limits, in (0, 1).
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return low, high
