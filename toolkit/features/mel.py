"""Mel power in time bins: what librosa's ``melspectrogram`` gives, with all frames of a bin averaged."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from toolkit.config import N_BINS, FeatureSettings
from toolkit.features.pooling import Pooling, Precision, clip_length, plan, pool


@dataclass(frozen=True, eq=False)
class Analysis:
    """What the mel analysis of every clip has in common."""

    window: np.ndarray
    """Hann window, shape (n_fft,)."""
    filters: Any
    """Weight of every FFT bin in every mel bin, sparse (scipy CSR), shape (64, 1 + n_fft // 2)."""
    pooling: Pooling


def bins(settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres, lower and upper edges of the mel bins in Hz, shape (64,) each."""
    import librosa

    mels = librosa.hz_to_mel([settings.mel_fmin_hz, fmax_hz(settings)])
    points = np.linspace(mels[0], mels[1], N_BINS + 2)
    half = (points[1] - points[0]) / 2
    centre, low, high = (librosa.mel_to_hz(points[1:-1] + shift) for shift in (0, -half, half))
    return centre, low, high


def fmax_hz(settings: FeatureSettings) -> float:
    """Return the upper edge of the highest mel band in Hz."""
    return settings.mel_fmax_hz or settings.sample_rate_hz / 2


@cache
def analysis(settings: FeatureSettings, precision: Precision) -> Analysis:
    """Return window, filters and pooling, built once per process, settings and precision.

    Raises
    ------
    ConfigError
        The hop is longer than a time bin.
    """
    import librosa
    import scipy.sparse

    n_fft, hop_length = settings.n_fft, settings.hop_length
    n_frames = 1 + (clip_length(settings) + n_fft // 2 * 2 - n_fft) // hop_length
    filters = librosa.filters.mel(
        sr=settings.sample_rate_hz,
        n_fft=n_fft,
        n_mels=N_BINS,
        fmin=settings.mel_fmin_hz,
        fmax=fmax_hz(settings),
    )
    window = librosa.filters.get_window("hann", n_fft).astype(precision)
    return Analysis(
        window=window,
        filters=scipy.sparse.csr_matrix(filters, dtype=precision),
        pooling=plan(n_frames, hop_length, window.nbytes, settings),
    )


def power(samples: np.ndarray, settings: FeatureSettings, precision: Precision) -> np.ndarray:
    """Return the power of one clip, shape (bin, time bin).

    Parameters
    ----------
    samples
        Mono audio, shape (sample,), as long as ``settings.duration_s``.
    settings
        How to analyse.
    precision
        Of the Fourier transform.
    """
    made = analysis(settings, precision)
    padded = np.pad(samples, settings.n_fft // 2)
    frames = sliding_window_view(padded, settings.n_fft)[:: settings.hop_length]
    return pool(made.pooling, N_BINS, lambda some: _frame_power(frames[some], made))


def noise_power(settings: FeatureSettings) -> float:
    """Return the power of white noise of variance 1 in a cell: each filter has area 1 over frequency in Hz."""
    return 3 / 8 * settings.n_fft**2 / settings.sample_rate_hz


def _frame_power(frames: np.ndarray, made: Analysis) -> np.ndarray:
    from scipy.fft import rfft

    spectra = rfft(frames * made.window, overwrite_x=True, workers=1)
    return (made.filters @ (spectra.real**2 + spectra.imag**2).T).T
