"""Uncertainty from recordings: clips of one recording are copies of one another, recordings are the sample.

Recordings are resampled within strata (folds). A stratum holds few of them, so n - 1 of n are drawn and the
weights rescaled; drawing n of n would make intervals too narrow. A stratum of one recording tells nothing of
its spread, and is joined with another before drawing, which errs on the wide side.

Limits are those of Student's t around the estimate, with the standard error over replicates, on a scale where
sampling is near normal (the log-odds of a share, the log of a ratio), mapped back.

References
----------
Rao & Wu, "Resampling inference with complex survey data", JASA 83 (1988). Collapsed strata: Cochran, "Sampling
Techniques", section 5A.12. No spread at 0 or 1: Clopper & Pearson, Biometrika 26 (1934).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special, stats


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made."""

    n_replicates: int
    confidence: float
    rng: np.random.Generator


@dataclass(frozen=True)
class Scale:
    """A scale on which limits are symmetric: there, back, and the slope there of a value."""

    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


SHARE = Scale(special.logit, special.expit, lambda share: 1 / (share * (1 - share)))
"""Shares and rates in [0, 1]: log-odds."""
CORRELATION = Scale(np.arctanh, np.tanh, lambda value: 1 / (1 - value**2))
"""Correlations in [-1, 1]: Fisher's z."""
PLAIN = Scale(np.asarray, np.asarray, np.ones_like)
"""Anything that is near normal as it is, such as a log ratio."""


def collapsed(strata: np.ndarray) -> np.ndarray:
    """Return strata of at least two recordings where there are two: lone ones together, or with the smallest.

    Parameters
    ----------
    strata
        Stratum of each recording, shape (recording,).

    Returns
    -------
    Numbers of strata, from 0, shape (recording,).
    """
    _, of, counts = np.unique(strata, return_inverse=True, return_counts=True)
    lone = np.flatnonzero(counts == 1)
    if len(lone) and len(counts) > 1:
        others = np.flatnonzero(counts > 1)
        host = lone[0] if len(lone) > 1 or not len(others) else others[np.argmin(counts[others])]
        of = np.where(np.isin(of, lone), host, of)
    return np.unique(of, return_inverse=True)[1]


def collapsed_within(kind: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Return ``collapsed`` strata of recordings of each kind apart, so that none joins recordings of two kinds.

    Parameters
    ----------
    kind, strata
        Of each recording, shape (recording,).

    Returns
    -------
    Numbers of strata, from 0, shape (recording,); kinds ascending.
    """
    numbers = np.zeros(len(strata), np.int64)
    n_strata = 0
    for each in np.unique(kind):
        inside = kind == each
        numbers[inside] = n_strata + collapsed(strata[inside])
        n_strata = int(numbers[inside].max()) + 1
    return numbers


def recording_weights(strata: np.ndarray, n_replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Return the weight of every recording in every bootstrap replicate, shape (replicate, recording).

    Parameters
    ----------
    strata
        Stratum of each recording, shape (recording,); they are ``collapsed`` before drawing.
    n_replicates
        How often to draw.
    rng
        Draws.

    Returns
    -------
    Weights >= 0 that add up, within each collapsed stratum, to its number of recordings.
    """
    weights = np.ones((n_replicates, len(strata)))
    of = collapsed(strata)
    for stratum in range(of.max(initial=-1) + 1):
        members = np.flatnonzero(of == stratum)
        n = len(members)
        if n > 1:
            drawn = rng.multinomial(n - 1, np.full(n, 1 / n), size=n_replicates)
            weights[:, members] = drawn * (n / (n - 1))
    return weights


def blocks_of_weights(strata: np.ndarray, bootstrap: Bootstrap) -> Iterator[np.ndarray]:
    """Yield ``recording_weights`` of some replicates at a time, so that many recordings take no more memory."""
    at_once = max(1, _WEIGHTS_AT_ONCE // max(1, len(strata)))
    for start in range(0, bootstrap.n_replicates, at_once):
        yield recording_weights(strata, min(at_once, bootstrap.n_replicates - start), bootstrap.rng)


def replicates(
    statistic: Callable[[np.ndarray], np.ndarray], strata: np.ndarray, bootstrap: Bootstrap
) -> np.ndarray:
    """Return a statistic in every bootstrap replicate, shape (replicate, ...).

    Parameters
    ----------
    statistic
        Of weights, shape (replicate, recording), its value in each of these replicates, shape (replicate, ...).
    strata
        Stratum of each recording, shape (recording,).
    bootstrap
        How often to draw.
    """
    return np.concatenate([statistic(weights) for weights in blocks_of_weights(strata, bootstrap)])


def degrees_of_freedom(strata: np.ndarray) -> int:
    """Return the number of recordings less the number of collapsed strata; 0 where no spread can be seen."""
    return len(strata) - len(np.unique(collapsed(strata)))


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


def interval(
    estimate: np.ndarray, replicates: np.ndarray, strata: np.ndarray, confidence: float, scale: Scale
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper limit of estimates, each of shape (...).

    Parameters
    ----------
    estimate
        From the recordings as they are, shape (...).
    replicates
        The same from every replicate, shape (replicate, ...).
    strata
        Stratum of each recording behind the estimate, shape (recording,): gives the degrees of freedom.
    confidence
        Of the interval, in (0, 1).
    scale
        Where the limits are symmetric.

    Returns
    -------
    Limits; NaN where the recordings show no spread or a replicate has no value. A share of exactly 0 or 1 gets
    the limits of as many independent trials as there are recordings.
    """
    estimate = np.asarray(estimate, np.float64)
    freedom = degrees_of_freedom(strata)
    error = replicates.std(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        reach = stats.t.ppf((1 + confidence) / 2, max(1, freedom)) * error * scale.slope(estimate)
        middle = scale.there(estimate)
        low, high = scale.back(middle - reach), scale.back(middle + reach)
    unknown = ~(error > _NO_SPREAD) | (freedom == 0)
    low, high = np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)
    if scale is SHARE:
        edge = ((1 - confidence) / 2) ** (1 / max(1, len(strata)))
        low, high = (
            np.where(estimate == 1, edge, np.where(estimate == 0, 0, low)),
            np.where(estimate == 0, 1 - edge, np.where(estimate == 1, 1, high)),
        )
    return low, high


_WEIGHTS_AT_ONCE = 1 << 22
_NO_SPREAD = 1e-12
"""Replicates of equal values differ by rounding."""
