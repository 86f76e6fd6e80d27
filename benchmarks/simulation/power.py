"""How often tests find what is there: a larger mean share of relevance in an octave of bins."""

import numpy as np
from scipy import optimize

from benchmarks.simulation.error_rates import ALPHA, AT_ONCE, N_DRAWS, p_against_rest, p_of_shares
from benchmarks.simulation.recordings import (
    N_BINS,
    OCTAVE,
    Layout,
    clip_values,
    input_shares,
    means,
    normalised,
    relevance_shares,
)

RATIOS = (1.25, 1.5, 2.0)
"""Of mean shares in the octave; elsewhere there is less, for shares add up to one."""
INPUT, REST = "input", "rest"
LEVELS = {"alone": ALPHA, "among twenty": ALPHA / 20}
"""Largest p of what counts as found: by a test on its own, and by the first of twenty after Holm."""
_N_CLIPS = 50_000
"""Behind the gains that give such ratios."""


def simulate(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return p, shape (corpus, class), by contrast and planted ratio."""
    found: dict[str, list[np.ndarray]] = {f"{of}, {ratio:g}": [] for of in (INPUT, REST) for ratio in RATIOS}
    by_ratio = gains(rng)
    for start in range(0, n, AT_ONCE):
        noise = clip_values(layout, icc, min(AT_ONCE, n - start), rng)
        inputs = input_shares(layout, len(noise), rng)
        clips, reference = relevance_shares(inputs, noise, layout), np.moveaxis(inputs, 1, 0)
        shares = means(clips, layout)
        for ratio, gain in by_ratio.items():
            more = means(planted(clips, gain), layout)
            of_ways = p_of_shares(more, reference, layout, N_DRAWS, rng)
            found[f"{INPUT}, {ratio:g}"].append(of_ways.max(axis=0))
            found[f"{REST}, {ratio:g}"].append(p_against_rest(shares, more, layout, N_DRAWS, rng))
    return {name: np.concatenate(p) for name, p in found.items()}


def planted(shares: np.ndarray, gain: float) -> np.ndarray:
    """Return shares with relevance in the octave multiplied, adding up to one as before, same shape."""
    gained = shares.copy()
    gained[..., OCTAVE] *= np.float32(gain)
    return normalised(gained)


def gains(rng: np.random.Generator) -> dict[float, float]:
    """Return what relevance is multiplied by for each of ``RATIOS`` of mean shares."""
    lone = Layout(("any",), np.zeros(_N_CLIPS, int), np.ones(_N_CLIPS, int), np.ones(_N_CLIPS, int))
    clips = relevance_shares(input_shares(lone, 1, rng), clip_values(lone, 0, 1, rng), lone)
    of_octave = clips[..., OCTAVE].sum(axis=-1)
    even = (OCTAVE.stop - OCTAVE.start) / N_BINS

    def excess(gain: float, ratio: float) -> float:
        return float((gain * of_octave / (1 + (gain - 1) * of_octave)).mean() / even - ratio)

    return {ratio: float(optimize.brentq(excess, 1, 100, args=(ratio,))) for ratio in RATIOS}
