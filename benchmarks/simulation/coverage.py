"""How often intervals from recordings hold the truth."""

import numpy as np

from benchmarks.simulation.error_rates import FLOOR
from benchmarks.simulation.recordings import (
    N_BINS,
    OCTAVE,
    Layout,
    clip_values,
    input_shares,
    means,
    relevance_shares,
)
from toolkit.statistics.bootstrap import SHARE, Bootstrap, interval, recording_weights, weighted_means
from toolkit.statistics.contrasts import Contrast, against_input, against_rest, estimates, single_bins

CONFIDENCE = 0.95
N_REPLICATES = 1000
AT_ONCE = 50
"""Corpora that share the draws of their bootstrap."""
SHARES = {"share, mean 30 %": (0.3, 3.0), "share, mean 5 %": (0.05, 4.0)}
"""Mean share of a band, and the precision (sum of both parameters) of a beta distribution of such spread."""
AGAINST_INPUT, AGAINST_REST = "ratio to input", "ratio to rest, spread x 2"


def simulate(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return how often intervals hold the truth, by quantity, shape (class,)."""
    counts = [min(AT_ONCE, n - start) for start in range(0, n, AT_ONCE)]
    parts = [_of_corpora(layout, icc, count, rng) for count in counts]
    return {name: np.average([part[name] for part in parts], axis=0, weights=counts) for name in parts[0]}


def shares(layout: Layout, icc: float, n: int, of: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Return recordings' mean shares of a band, shape (recording, corpus).

    A recording's own share is drawn from one beta distribution and its clips' from another around it, so that
    clips have the mean and the variance that ``of`` (mean, precision) says, ``icc`` of it between recordings.
    """
    mean, precision = of
    variance = 1 / (precision + 1)
    between = 1 / (icc * variance) - 1
    within = (1 - icc * variance) / ((1 - icc) * variance) - 1
    of_recording = _beta(np.full((n, len(layout.size)), mean), between, rng)
    return means(_beta(np.repeat(of_recording, layout.size, axis=1), within, rng), layout)


def _beta(mean: np.ndarray, precision: float, rng: np.random.Generator) -> np.ndarray:
    # A mean that has been rounded to 0 or 1 has no beta distribution.
    inside = np.clip(mean, 1e-12, 1 - 1e-12)
    return rng.beta(inside * precision, (1 - inside) * precision)


def _of_corpora(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    of_band = {name: (shares(layout, icc, n, of, rng), of[0]) for name, of in SHARES.items()}
    octave, octave_wide, octave_input = octaves(layout, icc, n, rng)
    bands = single_bins(n, FLOOR * n * (OCTAVE.stop - OCTAVE.start) / N_BINS)
    held = {name: [] for name in (*of_band, AGAINST_INPUT, AGAINST_REST)}
    for number in range(len(layout.names)):
        members = layout.of_class == number
        for name, (values, truth) in of_band.items():
            held[name].append(_held(values[members], layout.fold[members], truth, rng))
        to_input = against_input(octave[members], octave_input[members], layout.fold[members], bands)
        held[AGAINST_INPUT].append(_one_held(to_input, rng))
        widened = np.where(members[:, None], octave_wide, octave)
        held[AGAINST_REST].append(_one_held(against_rest(widened, members, layout.fold, bands), rng))
    return {name: np.array(rates) for name, rates in held.items()}


def octaves(
    layout: Layout, icc: float, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return recordings' shares of an octave, shape (recording, corpus) each.

    Returns
    -------
    Of relevance, of relevance whose noise has twice the spread on the scale of logarithms, and of input; all
    have the same mean, the octave's share of bins.
    """
    noise, inputs = clip_values(layout, icc, n, rng), input_shares(layout, n, rng)
    of_clips = (relevance_shares(inputs, times * noise, layout) for times in (1, 2))
    relevance, wide = (means(x[..., OCTAVE].sum(axis=-1), layout) for x in of_clips)
    return relevance, wide, inputs[..., OCTAVE].sum(axis=-1).T.astype(np.float64)


def _held(values: np.ndarray, fold: np.ndarray, truth: float, rng: np.random.Generator) -> float:
    """Return how often the interval of the mean share over recordings holds the truth."""
    replicates = weighted_means(values, recording_weights(fold, N_REPLICATES, rng))
    low, high = interval(values.mean(axis=0), replicates, fold, CONFIDENCE, SHARE)
    return float(((low <= truth) & (truth <= high)).mean())


def _one_held(contrast: Contrast, rng: np.random.Generator) -> float:
    """Return how often the interval of a ratio holds 1; what is a bin to the contrast is a corpus here."""
    found = estimates(contrast, Bootstrap(N_REPLICATES, CONFIDENCE, rng))
    return float(((found["bin_ratio_low"] <= 1) & (found["bin_ratio_high"] >= 1)).mean())
