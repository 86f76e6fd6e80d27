"""From a relevance map to what of a sound is kept: a soft mask of its cells, and the same of a transform's.

Conventions. A map has shape (bin, frame), bin 0 the lowest. A mask is 1 where everything is kept, 0 where
nothing is.
"""

from dataclasses import dataclass

import numpy as np

SMOOTHING = 1.0
"""Standard deviation, in cells, of the Gaussian that relevance is smoothed with along both axes."""
FOOT = 0.5
"""Relevance at which a mask reaches 0, as a share of that from which on it is 1."""


@dataclass(frozen=True)
class Axes:
    """What the cells of a map lie at: bins in Hz, ascending; frames in s from the start of the clip."""

    frequency: np.ndarray
    """Centres, shape (bin,)."""
    frequency_low: np.ndarray
    frequency_high: np.ndarray
    time: np.ndarray
    """Centres, shape (frame,)."""


def soft_mask(relevance: np.ndarray, valid: np.ndarray, kept_relevance: float) -> np.ndarray:
    """Return which cells of a clip hold most of what speaks for the target, shape (bin, frame), in [0, 1].

    Positive relevance of the recorded frames is smoothed (``SMOOTHING``). Cells are taken from the strongest on
    until they hold ``kept_relevance`` of it. These are 1; the others fall in a straight line with their
    relevance, to 0 at ``FOOT`` times that of the weakest taken. Padding is 0, and so is everything if nothing
    is positive.

    Parameters
    ----------
    relevance
        Shape (bin, frame).
    valid
        Which frames hold recorded sound, shape (frame,).
    kept_relevance
        In (0, 1).

    Raises
    ------
    ValueError
        Relevance is not finite.
    """
    if not np.isfinite(relevance).all():
        raise ValueError(
            f"{np.isfinite(relevance).sum()} of {relevance.size} cells of relevance are finite, all must be: "
            "the clip has no map"
        )
    strength = _smoothed(positive(relevance, valid)) * valid
    falling = np.sort(strength, axis=None)[::-1]
    held = np.cumsum(falling)
    weakest = falling[np.searchsorted(held, kept_relevance * held[-1])]
    if weakest == 0:
        return np.zeros(relevance.shape)
    return np.asarray(np.clip((strength / weakest - FOOT) / (1 - FOOT), 0, 1))


def kept_share(mask: np.ndarray, cells: np.ndarray) -> float:
    """Return the share of non-negative ``cells`` that a mask keeps; NaN where they are all 0."""
    total = cells.sum()
    return float((mask * cells).sum() / total) if total else float("nan")


def positive(relevance: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the relevance that speaks for the target, shape (bin, frame), float64; 0 in padding."""
    return np.maximum(relevance.astype(np.float64), 0) * valid


def interpolated(mask: np.ndarray, axes: Axes, frequency_hz: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Return a mask at the places of a transform, shape (frequency, time), in [0, 1].

    Between centres of cells it is linear in Hz and s; before the first and past the last centre it stays as it
    is there; below the lowest and above the highest bin's edge it is 0.

    Parameters
    ----------
    mask
        Shape (bin, frame).
    axes
        Where its cells lie.
    frequency_hz, time_s
        Where to know it, ascending.
    """
    in_time = np.stack([np.interp(time_s, axes.time, row) for row in mask])
    cells = np.stack([np.interp(frequency_hz, axes.frequency, column) for column in in_time.T], axis=1)
    inside = (frequency_hz >= axes.frequency_low[0]) & (frequency_hz <= axes.frequency_high[-1])
    return np.asarray(cells * inside[:, None])


def _smoothed(cells: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(cells, SMOOTHING, mode="constant"))
