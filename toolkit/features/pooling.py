"""Analysis frames into time bins: each bin gets the mean power of the frames whose centre lies in it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from toolkit.config import N_FRAMES, FeatureSettings
from toolkit.errors import ConfigError

Precision = Literal["float32", "float64"]

_BLOCK_BYTES = 2**18
"""Size of the frames that are analysed together: they stay in a processor's cache, and memory is bounded."""
_FEWEST_TOGETHER = 16
"""Frames below which the filters, not the frames, would be what is read from memory again and again."""


@dataclass(frozen=True, eq=False)
class Block:
    """Neighbouring frames that are analysed together."""

    frames: slice
    bins: slice
    """Time bins that hold the frames."""
    starts: np.ndarray
    """Position within the block of the first frame of each of these bins; the first is 0."""


@dataclass(frozen=True, eq=False)
class Pooling:
    """Where every frame of a clip goes."""

    counts: np.ndarray
    """Frames per time bin, shape (64,), none of them 0."""
    blocks: tuple[Block, ...]


def clip_length(settings: FeatureSettings) -> int:
    """Return the samples of a clip."""
    return round(settings.duration_s * settings.sample_rate_hz)


def plan(n_frames: int, hop_length: int, frame_bytes: int, settings: FeatureSettings) -> Pooling:
    """Return which time bin takes which frames. A frame centred on an edge belongs to the later bin.

    Parameters
    ----------
    n_frames
        Frames of a clip. The first is centred on its start; those centred on its end or past it go
        to the last bin.
    hop_length
        Samples between the centres of frames, at the sampling rate of the settings.
    frame_bytes
        Memory that one frame takes; decides how many are analysed together.
    settings
        How to analyse.

    Raises
    ------
    ConfigError
        A time bin holds no centre of a frame.
    """
    # Exact, and of the decimal number that was written: 0.3 s is no sum of powers of two.
    bin_samples = Fraction(str(settings.duration_s)) * settings.sample_rate_hz / N_FRAMES
    first = np.array([math.ceil(number * bin_samples / hop_length) for number in range(N_FRAMES)])
    counts = np.diff(np.minimum(first, n_frames), append=n_frames)
    if (counts == 0).any():
        raise ConfigError(
            f"features.hop_length={settings.hop_length}: longer than a time bin "
            f"({float(bin_samples):.0f} samples): lower it"
        )
    bin_of = np.repeat(np.arange(N_FRAMES), counts)
    return Pooling(counts, tuple(_blocks(bin_of, frame_bytes)))


def pool(pooling: Pooling, n_bins: int, power_of: Callable[[slice], np.ndarray]) -> np.ndarray:
    """Return the mean power in every time bin, shape (bin, time bin), float64.

    Parameters
    ----------
    pooling
        Where every frame goes.
    n_bins
        Frequency bins.
    power_of
        Takes a range of frames and returns their power, shape (frame, bin).
    """
    sums = np.zeros((N_FRAMES, n_bins))
    for block in pooling.blocks:
        sums[block.bins] += np.add.reduceat(power_of(block.frames), block.starts, axis=0)
    return (sums / pooling.counts[:, None]).T


def _blocks(bin_of: np.ndarray, frame_bytes: int) -> list[Block]:
    n_together = max(_FEWEST_TOGETHER, _BLOCK_BYTES // frame_bytes)
    blocks = []
    for first in range(0, len(bin_of), n_together):
        bins = bin_of[first : first + n_together]
        starts = np.flatnonzero(np.diff(bins, prepend=-1))
        blocks.append(Block(slice(first, first + len(bins)), slice(bins[0], bins[-1] + 1), starts))
    return blocks
