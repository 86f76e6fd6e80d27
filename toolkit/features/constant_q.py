"""Constant-Q power in time bins: librosa's ``cqt``, octave by octave, with all frames of a bin averaged.

librosa takes the Fourier transform of every frame and multiplies it with the spectra of a few filters.
Both steps are linear: together they are one product of the frame with the filters as sequences in time.
Filters and resampling are librosa's, so that the cells are too (see the tests), with one departure:
librosa refuses a filter whose -3 dB point lies above half the sampling rate, here the bin's edge counts.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from toolkit.config import N_BINS, FeatureSettings
from toolkit.features.pooling import Pooling, Precision, clip_length, plan, pool

_SPARSITY = 0.01
"""Share of the magnitude of a filter's spectrum that librosa leaves out."""
_LONGEST_OF_32_BITS = 128
"""Samples of a filter, before decimation, above which 64 bits are always taken.

Errors of 32 bits are larger beside a long filter's narrow band, and its few frames cost little.
"""


@dataclass(frozen=True, eq=False)
class Octave:
    """How to analyse neighbouring constant-Q bins that share a rate and a hop."""

    decimation: int
    """Factor by which the sampling rate is lowered first, a power of two."""
    hop_length: int
    """Samples between frames, after decimation."""
    n_padded: int
    """Samples of a clip and the silence around it, after decimation."""
    filters: np.ndarray
    """Shape (2 * bin, sample): real parts of all filters, then imaginary parts; in Fortran order."""
    pooling: Pooling


def bins(settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres, lower and upper edges of the constant-Q bins in Hz, shape (64,) each."""
    octave = np.arange(N_BINS) / settings.cqt_bins_per_octave
    half = 0.5 / settings.cqt_bins_per_octave
    low, centre, high = (settings.cqt_fmin_hz * 2 ** (octave + shift) for shift in (-half, 0, half))
    return centre, low, high


def cqt_hop_length(highest_bin: int, settings: FeatureSettings) -> int:
    """Return the samples between frames of an octave: a power of two, at most a third of its shortest filter.

    Constant-Q filters shrink as frequency rises, to 32 samples at 8 kHz: with one hop of 256 samples a
    click would fall between the frames of all but the lowest octaves. The squares of Hann windows that
    overlap by two thirds or more add up to a constant.

    Parameters
    ----------
    highest_bin
        Highest constant-Q bin of the octave.
    settings
        How to analyse; ``hop_length`` is the upper limit.
    """
    frequency_hz = settings.cqt_fmin_hz * 2 ** (highest_bin / settings.cqt_bins_per_octave)
    quality = 1 / (2 ** (1 / settings.cqt_bins_per_octave) - 1)
    filter_length = quality * settings.sample_rate_hz / frequency_hz
    return int(min(settings.hop_length, 2 ** math.floor(math.log2(max(1.0, filter_length / 3)))))


@cache
def analysis(settings: FeatureSettings, precision: Precision) -> tuple[Octave, ...]:
    """Return the octaves from the lowest to the highest, built once per process, settings and precision.

    Raises
    ------
    ConfigError
        The hop is longer than a time bin.
    """
    step = settings.cqt_bins_per_octave
    octaves = (range(first, min(first + step, N_BINS)) for first in range(0, N_BINS, step))
    return tuple(_octave(bin_numbers, settings, precision) for bin_numbers in octaves)


def power(samples: np.ndarray, settings: FeatureSettings, precision: Precision) -> np.ndarray:
    """Return the power of one clip, shape (bin, time bin).

    Parameters
    ----------
    samples
        Mono audio, shape (sample,), as long as ``settings.duration_s``.
    settings
        How to analyse.
    precision
        Of the products of samples with short filters; with long ones it is 64 bits always.
    """
    return np.concatenate([_octave_power(samples, octave) for octave in analysis(settings, precision)])


def noise_power(_settings: FeatureSettings) -> float:
    """Return the power of white noise of variance 1 in a cell: the energy of a filter, a Hann window."""
    return 1.5


def _octave(bin_numbers: range, settings: FeatureSettings, precision: Precision) -> Octave:
    import librosa

    per_octave = settings.cqt_bins_per_octave
    hop_length = cqt_hop_length(bin_numbers[-1], settings)
    fmin_hz = settings.cqt_fmin_hz * 2 ** (bin_numbers[0] / per_octave)
    frequencies_hz = librosa.cqt_frequencies(len(bin_numbers), fmin=fmin_hz, bins_per_octave=per_octave)
    decimation = _decimation(frequencies_hz, hop_length, settings)
    filters = _filters(frequencies_hz, settings.sample_rate_hz / decimation, per_octave)
    filters *= math.sqrt(decimation)  # librosa gives a resampled clip its former energy back
    is_long = filters.shape[1] * decimation > _LONGEST_OF_32_BITS
    parts = np.asfortranarray(np.concatenate([filters.real, filters.imag]), "float64" if is_long else precision)
    n_samples = math.ceil(clip_length(settings) / decimation)
    return Octave(
        decimation=decimation,
        hop_length=hop_length // decimation,
        n_padded=n_samples + parts.shape[1],
        filters=parts,
        pooling=plan(1 + n_samples // (hop_length // decimation), hop_length, parts[0].nbytes, settings),
    )


def _decimation(frequencies_hz: np.ndarray, hop_length: int, settings: FeatureSettings) -> int:
    """Return by how much librosa decimates first: the filters keep to the lower half of the new range."""
    import librosa

    bandwidth = _relative_bandwidth(settings.cqt_bins_per_octave)
    _, cutoff_hz = librosa.filters.wavelet_lengths(
        freqs=frequencies_hz, sr=settings.sample_rate_hz, alpha=bandwidth
    )
    n_halvings = math.ceil(math.log2(settings.sample_rate_hz / 2 / cutoff_hz) - 1) - 1
    n_even = (hop_length & -hop_length).bit_length() - 1
    return int(2 ** max(0, min(n_halvings, n_even)))


def _filters(frequencies_hz: np.ndarray, sample_rate_hz: float, bins_per_octave: int) -> np.ndarray:
    """Return librosa's filters as sequences that a frame is multiplied with, shape (bin, sample), complex.

    librosa keeps only the positive frequencies of each filter's spectrum, and of these only the strong
    ones; both change the filter, most of all far from its centre frequency.
    """
    import librosa
    from scipy.fft import fft

    wavelets, lengths = librosa.filters.wavelet(
        freqs=frequencies_hz, sr=sample_rate_hz, alpha=_relative_bandwidth(bins_per_octave)
    )
    n_fft = wavelets.shape[1]
    # In librosa's order and 32-bit precision, so that the same values fall below its threshold.
    wavelets *= lengths[:, None] / float(n_fft)
    spectra = fft(wavelets, axis=1)[:, : n_fft // 2 + 1]
    kept = librosa.util.sparsify_rows(spectra, quantile=_SPARSITY, dtype=spectra.dtype).toarray()
    sequences: np.ndarray = fft(kept.astype(np.complex128), n=n_fft, axis=1)
    return sequences / np.sqrt(lengths)[:, None]


def _relative_bandwidth(bins_per_octave: int) -> float:
    """Return the bandwidth of a filter as a share of its centre frequency, as librosa defines it."""
    ratio = 2 ** (2 / bins_per_octave)
    return (ratio - 1) / (ratio + 1)


def _octave_power(samples: np.ndarray, octave: Octave) -> np.ndarray:
    n_parts, frame_length = octave.filters.shape
    decimated = _decimated(samples, octave.decimation)
    padded = np.zeros(octave.n_padded, np.float32)
    padded[frame_length // 2 :][: len(decimated)] = decimated
    frames = sliding_window_view(padded, frame_length)[:: octave.hop_length]
    power_of_parts = pool(octave.pooling, n_parts, lambda some: _squares(frames[some], octave))
    return power_of_parts[: n_parts // 2] + power_of_parts[n_parts // 2 :]


def _decimated(samples: np.ndarray, factor: int) -> np.ndarray:
    """Return every ``factor``-th sample after a low pass.

    Like librosa by libsoxr and in one step. Halving again and again would be faster, but differs near a clip's
    start and near the highest frequency left, by up to 4 dB in quiet cells. Convolution would differ by 0.1 dB:
    beside a loud tone outside all bins, librosa's cells show the rounding of libsoxr.
    """
    import soxr

    return samples if factor == 1 else np.asarray(soxr.resample(samples, factor, 1, quality="HQ"))


def _squares(frames: np.ndarray, octave: Octave) -> np.ndarray:
    """Return the squared response of every part of a filter to every frame, shape (frame, 2 * bin).

    By the BLAS of scipy: that of numpy 1.26 does not know newer processors and is three times slower there.
    """
    from scipy.linalg.blas import dgemm, sgemm

    multiply = sgemm if octave.filters.dtype == np.float32 else dgemm
    responses = multiply(1.0, octave.filters, np.ascontiguousarray(frames, octave.filters.dtype).T).T
    return np.square(responses, out=responses)
