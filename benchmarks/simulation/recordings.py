"""Recordings of UrbanSound8K as they are, with values and shares as the simulation wants them.

Bins are a ring, the last beside the first, so that all are alike and none is an edge.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special

COUNTS = Path(__file__).parent / "urbansound8k.txt"
SMALL = (10, 14, 21)
"""Recordings of classes that are added, of one clip each: as few as are tested, and a little more."""
N_BINS = 64
OCTAVE = slice(24, 33)
"""Of 64 mel bins up to 11,025 Hz, an octave in the middle has nine."""
LOG_SPREAD_INPUT = 0.3
"""Of the logarithm of a recording's share of input in a bin; that of the noise of clips' relevance is 1."""
WIDTH_BINS = 6
"""Full width at half maximum of what smooths values along bins."""
_SHAPES = (0.15, 20.0)
"""Of the gamma distributions of a bin's share of relevance, which is mostly near zero, and of input."""
_FLOOR = 0.1
"""Added to both before their ratio is taken, in units of an even spread."""


@dataclass(frozen=True)
class Layout:
    """Recordings, by class and fold, and how many clips each has."""

    names: tuple[str, ...]
    """Of classes."""
    of_class: np.ndarray
    """Number of its class, shape (recording,), ascending."""
    fold: np.ndarray
    size: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """First clip of each recording, where clips stand recording by recording."""
        return np.concatenate([[0], np.cumsum(self.size)[:-1]])

    @property
    def is_small(self) -> np.ndarray:
        """Which classes are none of UrbanSound8K's, booleans, shape (class,)."""
        return np.array([name in _SMALL_NAMES for name in self.names])

    def of(self, number: int) -> "Layout":
        """Return the recordings of one class."""
        inside = self.of_class == number
        return Layout((self.names[number],), np.zeros(inside.sum(), int), self.fold[inside], self.size[inside])


def read_layout(names: tuple[str, ...] = ()) -> Layout:
    """Return the recordings of all classes, or of those named."""
    lines = [line.split() for line in COUNTS.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    lines = [line for line in lines if not names or line[0] in names]
    known = tuple(dict.fromkeys(line[0] for line in lines))
    counts = [len(line) - 2 for line in lines]
    return Layout(
        known,
        np.repeat([known.index(line[0]) for line in lines], counts),
        np.repeat([int(line[1].rstrip(":")) for line in lines], counts),
        np.array([int(count) for line in lines for count in line[2:]]),
    )


def with_small(layout: Layout) -> Layout:
    """Return the recordings with small classes added, spread over the same folds."""
    folds = np.unique(layout.fold)
    return Layout(
        layout.names + _SMALL_NAMES,
        np.concatenate([layout.of_class, len(layout.names) + np.repeat(np.arange(len(SMALL)), SMALL)]),
        np.concatenate([layout.fold, *(folds[np.arange(n) % len(folds)] for n in SMALL)]),
        np.concatenate([layout.size, np.ones(sum(SMALL), int)]),
    )


def correlated(layout: Layout, icc: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return values of clips, each normal with mean 0 and spread 1, shape (corpus, clip, cell).

    What clips of one recording share makes ``icc`` of the variance; ``shape`` is (corpora, cells).
    """
    shared = rng.standard_normal((shape[0], len(layout.size), shape[1]), np.float32)
    values = np.repeat(shared, layout.size, axis=1) * np.float32(np.sqrt(icc))
    return values + rng.standard_normal(values.shape, np.float32) * np.float32(np.sqrt(1 - icc))


def clip_values(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return values of clips that are smooth along bins, of spread 1, shape (corpus, clip, bin)."""
    return correlated(layout, icc, (n, N_BINS), rng) @ _SMOOTHING


def means(clips: np.ndarray, layout: Layout) -> np.ndarray:
    """Return means of recordings, shape (recording, corpus, ...), of clips' values (corpus, clip, ...)."""
    size = layout.size.reshape(-1, *(1 for _ in clips.shape[2:]))
    return np.moveaxis(np.add.reduceat(clips, layout.starts, axis=1) / size, 1, 0).astype(np.float64)


def input_shares(layout: Layout, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return shares of input by recording, even in the mean, shape (corpus, recording, bin)."""
    logarithms = rng.standard_normal((n, len(layout.size), N_BINS), np.float32) @ _SMOOTHING
    return normalised(np.exp(np.float32(LOG_SPREAD_INPUT) * logarithms))


def relevance_shares(inputs: np.ndarray, noise: np.ndarray, layout: Layout) -> np.ndarray:
    """Return shares of relevance by clip: those of input times lognormal noise, shape (corpus, clip, bin).

    Noise is alike in all bins, and bins are a ring: in the mean, relevance is as even as input.

    Parameters
    ----------
    inputs
        Of recordings, shape (corpus, recording, bin).
    noise
        Its logarithm, shape (corpus, clip, bin).
    layout
        Which clips are of which recording.
    """
    return normalised(np.exp(noise) * np.repeat(inputs, layout.size, axis=1))


def normalised(values: np.ndarray) -> np.ndarray:
    """Return values that add up to one over bins, same shape."""
    return values / values.sum(axis=-1, keepdims=True)


def fold_effects(layout: Layout, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return what recordings of a fold share, of spread 1, shape (recording, corpus, bin)."""
    folds, of_recording = np.unique(layout.fold, return_inverse=True)
    return (rng.standard_normal((len(folds), n, N_BINS), np.float32) @ _SMOOTHING)[of_recording]


def skewed(values: np.ndarray) -> np.ndarray:
    """Return log ratios of gamma shares (skewness 1.1) for normal values, with mean 0 and spread 1 as well."""
    return np.interp(values, _GRID, _LOG_RATIOS).astype(values.dtype)


def _smoothing() -> np.ndarray:
    distance = np.abs(np.arange(N_BINS)[:, None] - np.arange(N_BINS))
    distance = np.minimum(distance, N_BINS - distance)
    # Noise so smoothed has a correlation that is sqrt(2) times as wide as the kernel.
    kernel = np.exp(-4 * np.log(2) * (distance / WIDTH_BINS) ** 2)
    return (kernel / np.sqrt((kernel**2).sum(axis=0))).astype(np.float32)


def _log_ratios() -> tuple[np.ndarray, np.ndarray]:
    """Return a grid of normal values, and the log ratio that stands for each."""
    rng, n = np.random.default_rng(0), 200_000
    share, even = (rng.gamma(shape, 1 / shape, n) for shape in _SHAPES)
    grid = np.linspace(-5, 5, 401)
    ratios = np.quantile(np.log((share + _FLOOR) / (even + _FLOOR)), special.ndtr(grid))
    of_normal = np.interp(special.ndtri((np.arange(n) + 0.5) / n), grid, ratios)
    return grid, (ratios - of_normal.mean()) / of_normal.std()


_SMALL_NAMES = tuple(f"small, {n}" for n in SMALL)
_SMOOTHING = _smoothing()
_GRID, _LOG_RATIOS = _log_ratios()
