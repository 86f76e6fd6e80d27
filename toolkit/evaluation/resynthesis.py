"""A sound cut in two by a mask, and versions of a sound made equally loud.

The cut is in a short-time Fourier transform of the original (Hann window, a quarter of it from frame to
frame); each part keeps the phase of the original, so none has to be guessed. The transform is linear and
inverted exactly: both parts add up to the original.

Sounds have shape (sample,), full scale is 1. Versions of one are rows, the original first.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from toolkit.evaluation.masks import Axes, interpolated

if TYPE_CHECKING:
    from scipy.signal import ShortTimeFFT

HIGHEST_PEAK = 10 ** (-1 / 20)
"""No sample of an equally loud version lies above: 1 dB below full scale."""
TRACE = 10 ** (-80 / 20)
"""Parts that are weaker than this, beside the original, are rounding and leakage: they count as silence."""


def split(
    samples: np.ndarray, mask: np.ndarray, axes: Axes, *, sample_rate_hz: int, n_fft: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a mask keeps of a sound and what it removes, each of shape (sample,), float64.

    Parameters
    ----------
    samples
        Shape (sample,), at least two.
    mask
        Of the cells of a map, shape (bin, frame), in [0, 1].
    axes
        Where these cells lie. Frequencies that they do not reach are removed.
    sample_rate_hz
        Of the sound.
    n_fft
        Samples of a window; of a shorter sound, as many as the largest power of two that it holds.
    """
    transform = _transform(min(n_fft, 2 ** int(math.log2(len(samples)))), sample_rate_hz)
    spectrum = transform.stft(samples.astype(np.float64))
    kept = interpolated(mask, axes, transform.f, transform.t(len(samples)))
    parts = (transform.istft(spectrum * share, k1=len(samples)) for share in (kept, 1 - kept))
    first, second = (np.asarray(part.real) for part in parts)
    return first, second


def without_traces(versions: np.ndarray, n_recorded: int) -> np.ndarray:
    """Return versions of a sound with silence where there is none but traces: in padding, and in empty parts.

    Parameters
    ----------
    versions
        Shape (version, sample), the original first.
    n_recorded
        Samples that were recorded; padding follows.
    """
    level = rms(versions, n_recorded)
    sounds = np.where((level >= TRACE * level[0])[:, None], versions, 0)
    sounds[:, n_recorded:] = 0
    return sounds


def equally_loud(versions: np.ndarray, n_recorded: int) -> tuple[np.ndarray, np.ndarray]:
    """Return versions of a sound at one loudness, and by how much each was raised.

    All get the root mean square of the original over the recorded part; if a peak then lies above
    ``HIGHEST_PEAK``, all are lowered alike.

    Parameters
    ----------
    versions
        Shape (version, sample), the original first.
    n_recorded
        Samples that were recorded; padding follows.

    Returns
    -------
    The versions, same shape, and their gains in dB, shape (version,); NaN for a silent one, which stays so.
    """
    level = rms(versions, n_recorded)
    gain = np.divide(level[0], level, out=np.full(len(versions), np.nan), where=level > 0)
    peak = np.fmax.reduce(np.abs(versions).max(axis=1) * gain, initial=HIGHEST_PEAK)
    gain *= HIGHEST_PEAK / peak
    sounds = versions * np.nan_to_num(gain)[:, None]
    return sounds, 20 * np.log10(gain)


def rms(versions: np.ndarray, n_recorded: int) -> np.ndarray:
    """Return the root mean square of the recorded part, shape (version,)."""
    return np.sqrt(np.square(versions[:, :n_recorded], dtype=np.float64).mean(axis=1))


def to_pcm(sounds: np.ndarray) -> np.ndarray:
    """Return samples in [-1, 1] as whole numbers of 16 bits, same shape."""
    return np.rint(sounds * np.iinfo(np.int16).max).astype(np.int16)


def _transform(n_fft: int, sample_rate_hz: int) -> "ShortTimeFFT":
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    return ShortTimeFFT(hann(n_fft, sym=False), hop=max(1, n_fft // 4), fs=sample_rate_hz)
