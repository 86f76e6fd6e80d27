"""Frequency bands: fixed in advance, named, and made of whole bins."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Band:
    """Frequencies from ``low_hz`` up to, not including, ``high_hz``."""

    name: str
    low_hz: float
    high_hz: float


def bands_from_edges(edges_hz: Sequence[float], highest_hz: float = math.inf) -> tuple[Band, ...]:
    """Return the bands between neighbouring edges, ascending; the last may end at ``highest_hz``."""
    edges = [edge for edge in edges_hz if edge < highest_hz]
    if len(edges) < len(edges_hz):
        edges.append(highest_hz)
    return tuple(Band(_name(low, high), low, high) for low, high in pairwise(edges))


def bins_by_band(bands: Sequence[Band], frequency_hz: np.ndarray) -> dict[Band, np.ndarray]:
    """Return, for every band that holds the centre of a bin, which bins it holds: booleans, shape (bin,).

    A band without a bin is absent: it was not measured, which is not the same as zero.
    """
    masks = {band: (frequency_hz >= band.low_hz) & (frequency_hz < band.high_hz) for band in bands}
    return {band: mask for band, mask in masks.items() if mask.any()}


def _name(low_hz: float, high_hz: float) -> str:
    if low_hz >= 1000:
        return f"{low_hz / 1000:g}-{high_hz / 1000:g} kHz"
    return f"{low_hz:g}-{high_hz:g} Hz"
