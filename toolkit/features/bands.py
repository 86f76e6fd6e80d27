"""Frequency bands: fixed in advance, named, and made of whole bins."""

import math
from collections.abc import Iterable, Sequence
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


def band_axis(bands: Iterable[Band]) -> dict[str, np.ndarray]:
    """Return the variables that name bands in a store, shape (band,) each."""
    listed = list(bands)
    return {
        "band": np.array([band.name for band in listed], dtype=object),
        "band_low": np.array([band.low_hz for band in listed], np.float64),
        "band_high": np.array([band.high_hz for band in listed], np.float64),
    }


def third_octaves(low_hz: float, high_hz: float) -> np.ndarray:
    """Return edges of third-octaves from ``low_hz`` that end below or at ``high_hz``, ascending."""
    n = int(np.floor(3 * np.log2(high_hz / low_hz) + 1e-9))
    return low_hz * 2 ** (np.arange(n + 1) / 3)


def erb_rate(frequency_hz: np.ndarray) -> np.ndarray:
    """Return the number of equivalent rectangular bandwidths below a frequency (Glasberg & Moore 1990)."""
    return np.asarray(21.4 * np.log10(1 + 0.00437 * frequency_hz))


def _name(low_hz: float, high_hz: float) -> str:
    if low_hz >= 1000:
        return f"{low_hz / 1000:g}-{high_hz / 1000:g} kHz"
    return f"{low_hz:g}-{high_hz:g} Hz"
