"""Whether the probabilities that networks state are those with which they are right.

Conventions. Probabilities have shape (clip, class) and add up to 1 over classes. Confidence is the highest
probability of a clip, and the clip is right where that is the true class's (top-label calibration). Bins hold
equal numbers of clips, from the lowest probabilities to the highest. Equal probabilities share a bin: where one
occurs often, its bin holds more than its part, and the next may hold none.

References
----------
Guo et al., "On calibration of modern neural networks", ICML (2017): the expected calibration error (ECE). Kull
et al., "Beyond temperature scaling", NeurIPS (2019): class-wise. Brier, Monthly Weather Review 78 (1950). What
chance alone brings: consistency resampling, Broecker & Smith, Weather and Forecasting 22 (2007).
"""

import numpy as np

from toolkit.statistics.bootstrap import PLAIN, SHARE, Bootstrap, interval
from toolkit.statistics.dependence import Sample

N_BINS = 10
"""Bins of equal mass: enough for a curve, and some eighty clips each on one fold of UrbanSound8K."""


def bins_of(probability: np.ndarray) -> np.ndarray:
    """Return the number of each probability's bin of equal mass, from 0 to ``N_BINS`` - 1, shape (clip,)."""
    if not len(probability):
        return np.zeros(0, np.int64)
    edges = np.percentile(probability, np.linspace(0, 100, N_BINS + 1))
    return np.searchsorted(edges[1:-1], probability)


def calibration_error(probability: np.ndarray, happened: np.ndarray) -> np.ndarray:
    """Return the mean distance of stated from observed shares, bins weighted by their clips: in [0, 1].

    Biased upwards: even with perfect probabilities the shares of bins scatter around them, the more the fewer
    clips there are. ``expected_error`` is what to compare it with.

    Parameters
    ----------
    probability
        Stated for an event of each clip, shape (clip,).
    happened
        Whether the event came about, shape (..., clip).

    Returns
    -------
    Shape (...); NaN without clips.
    """
    if not len(probability):
        return np.full(happened.shape[:-1], np.nan)
    inside = bins_of(probability)[:, np.newaxis] == np.arange(N_BINS)
    return np.abs((happened - probability) @ inside).sum(axis=-1) / len(probability)


def expected_error(confidence: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the mean top-label ECE of perfectly calibrated networks with these confidences, shape ().

    Each of ``_N_SIMULATED`` networks is right on a clip with the probability it states, on every clip
    independently; clips of one recording are not, so that a real network's error by chance is somewhat higher.

    Parameters
    ----------
    confidence
        Highest probability of each clip, shape (clip,).
    rng
        Draws.
    """
    right = rng.random((_N_SIMULATED, len(confidence))) < confidence
    return np.asarray(calibration_error(confidence, right).mean())


def classwise_error(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the mean over classes of the calibration error of each class's probability, shape (), in [0, 1].

    Biased upwards like the ECE. It is smaller where there are more classes: most of a class's probabilities are
    near 0, and so are their errors.
    """
    classes = range(probability.shape[1])
    return np.mean([calibration_error(probability[:, number], label == number) for number in classes], axis=0)


def brier(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the Brier score of each clip, shape (clip,), in [0, 2].

    Brier's own convention: squared differences from the truth, summed over classes and not halved. A network
    that gives K classes equal probabilities scores 1 - 1 / K.
    """
    return ((probability - (label[:, np.newaxis] == np.arange(probability.shape[1]))) ** 2).sum(axis=1)


def log_loss(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the negative natural logarithm of the true class's probability, shape (clip,), above 0.

    Probabilities are first brought into [eps, 1 - eps] of float64, as in scikit-learn: at most 36 nats a clip.
    """
    return -np.log(np.clip(probability[np.arange(len(label)), label], _EPS, 1 - _EPS))


def evaluate(
    probability: np.ndarray, label: np.ndarray, sample: Sample, bootstrap: Bootstrap
) -> dict[str, np.ndarray]:
    """Return every figure of calibration, by name of the store's variable.

    Parameters
    ----------
    probability
        Softmax of each clip, shape (clip, class).
    label
        True class, shape (clip,).
    sample
        The clips' recordings as they are drawn.
    bootstrap
        How intervals are made.
    """
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == label
    return {
        **_reliability(confidence, right, sample, bootstrap.confidence),
        "ece": calibration_error(confidence, right),
        "ece_expected": expected_error(confidence, bootstrap.rng),
        "classwise_ece": classwise_error(probability, label),
        **_scores(probability, label, sample, bootstrap.confidence),
    }


def _reliability(
    confidence: np.ndarray, right: np.ndarray, sample: Sample, level: float
) -> dict[str, np.ndarray]:
    """Return the reliability curve. The bins stay where they are while recordings are drawn."""
    inside = bins_of(confidence)[:, np.newaxis] == np.arange(N_BINS)
    n_clips = inside.sum(axis=0)
    accuracy = _means(inside, right)
    replicates = sample.replicate_means(np.where(inside, right[:, np.newaxis], np.nan))
    limits = [
        interval(accuracy[at], replicates[:, at], sample.strata_with(inside[:, at]), level, SHARE)
        for at in range(N_BINS)
    ]
    return {
        "bin": np.arange(N_BINS, dtype=np.int64),
        "reliability_n_clips": n_clips.astype(np.int64),
        "reliability_confidence": _means(inside, confidence),
        "reliability_accuracy": accuracy,
        "reliability_accuracy_low": np.array([low for low, _ in limits]),
        "reliability_accuracy_high": np.array([high for _, high in limits]),
    }


def _scores(probability: np.ndarray, label: np.ndarray, sample: Sample, level: float) -> dict[str, np.ndarray]:
    """Return mean scores and their limits, which lie where scores can.

    Half a Brier score is in [0, 1], and its limits are symmetric in log-odds, like those of a share; a log loss
    is above 0 without bound, and its limits are symmetric in its logarithm.
    """
    halves, losses = brier(probability, label) / 2, log_loss(probability, label)
    half, loss = _mean(halves), _mean(losses)
    low, high = interval(half, sample.replicate_means(halves), sample.strata, level, SHARE)
    log_low, log_high = interval(
        np.log(loss), np.log(sample.replicate_means(losses)), sample.strata, level, PLAIN
    )
    return {
        **{"brier": 2 * half, "brier_low": 2 * low, "brier_high": 2 * high},
        **{"log_loss": loss, "log_loss_low": np.exp(log_low), "log_loss_high": np.exp(log_high)},
    }


def _mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean() if len(values) else np.nan)


def _means(inside: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of values of shape (clip,) in every bin, shape (bin,); NaN in a bin without clips."""
    n_clips = inside.sum(axis=0)
    sums = values.astype(np.float64) @ inside
    return np.divide(sums, n_clips, out=np.full(N_BINS, np.nan), where=n_clips > 0)


_N_SIMULATED = 200
"""Networks to average over: the standard error is then a fourteenth of the spread between them."""
_EPS = float(np.finfo(np.float64).eps)
