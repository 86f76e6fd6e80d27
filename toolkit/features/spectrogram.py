"""Mel and constant-Q spectrograms of one clip, and the axes that they lie on.

A spectrogram has 64 frequency bins (bin 0 is the lowest) by 64 time bins of equal length. Both
representations share the time bins: the power of all analysis frames whose centre lies in a bin is
averaged, so that a click counts the same wherever it falls. Level is in dB relative to the loudest
cell of the clip, cut off at the dynamic range; a silent clip lies at the cut-off everywhere.
"""

import math
from dataclasses import dataclass

import numpy as np

from toolkit.config import N_BINS, N_FRAMES, FeatureSettings, Representation
from toolkit.errors import ConfigError

_POWER_FLOOR = 1e-20
"""Power below which a clip counts as silent; 16-bit quantisation noise lies eight orders above."""


@dataclass(frozen=True)
class Axes:
    """Centres and edges of the bins: frequencies in Hz, ascending; times in s from the start of the clip."""

    frequency: np.ndarray
    frequency_low: np.ndarray
    frequency_high: np.ndarray
    time: np.ndarray


def axes(representation: Representation, settings: FeatureSettings) -> Axes:
    """Return the axes of a representation.

    A mel bin reaches from the centre of the bin below to that of the bin above, halved so that bins do
    not overlap: edges lie midway on the mel scale. A constant-Q bin's edges lie midway on the octave scale.

    Raises
    ------
    ConfigError
        The highest bin reaches above half the sampling rate, or the mel range does not rise.
    """
    if representation == "mel" and settings.mel_fmin_hz >= _mel_fmax_hz(settings):
        raise ConfigError(
            f"features.mel_fmin_hz={settings.mel_fmin_hz:g} is not below the upper edge of the highest mel "
            f"band ({_mel_fmax_hz(settings):g} Hz): lower it, or raise mel_fmax_hz or sample_rate_hz"
        )
    centre, low, high = (_mel_bins if representation == "mel" else _cqt_bins)(settings)
    nyquist_hz = settings.sample_rate_hz / 2
    if high[-1] > nyquist_hz * (1 + 1e-9):
        raise ConfigError(
            f"features: the highest {representation} bin reaches {high[-1]:.0f} Hz, above half the sampling "
            f"rate ({nyquist_hz:.0f} Hz): lower mel_fmax_hz or cqt_fmin_hz, or raise sample_rate_hz"
        )
    step_s = settings.duration_s / N_FRAMES
    return Axes(centre, low, high, (np.arange(N_FRAMES) + 0.5) * step_s)


def check(representation: Representation, settings: FeatureSettings) -> None:
    """Refuse settings that no spectrogram can be made with, before any is made.

    Raises
    ------
    ConfigError
        The bins do not fit below half the sampling rate, or the hop is longer than a time bin.
    """
    axes(representation, settings)
    power(np.zeros(round(settings.duration_s * settings.sample_rate_hz), np.float32), representation, settings)


def valid_frames(valid_duration_s: np.ndarray, duration_s: float) -> np.ndarray:
    """Return which time bins hold recorded sound: those that begin before it ends.

    Parameters
    ----------
    valid_duration_s
        Recorded seconds, any shape; NaN counts as nothing recorded.
    duration_s
        Length of a clip with its padding.

    Returns
    -------
    Booleans, shape (..., 64).
    """
    starts = np.arange(N_FRAMES) * (duration_s / N_FRAMES)
    return starts < np.asarray(valid_duration_s)[..., None]


def power(samples: np.ndarray, representation: Representation, settings: FeatureSettings) -> np.ndarray:
    """Return the power of one clip in every cell, shape (bin, frame), float64.

    Parameters
    ----------
    samples
        Mono audio, shape (sample,), as long as ``settings.duration_s``.
    representation
        Which frequency axis.
    settings
        How to analyse.

    Raises
    ------
    ConfigError
        The hop is longer than a time bin.
    """
    return (_mel_power if representation == "mel" else _cqt_power)(samples, settings)


def level_db(cell_power: np.ndarray, dynamic_range_db: float) -> np.ndarray:
    """Return power as level in [-dynamic_range_db, 0] dB below the loudest cell, float32."""
    loudest = cell_power.max()
    if loudest <= _POWER_FLOOR:
        return np.full(cell_power.shape, -dynamic_range_db, np.float32)
    relative = np.maximum(cell_power / loudest, 10 ** (-dynamic_range_db / 10))
    return (10 * np.log10(relative)).astype(np.float32)


def _mel_bins(settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import librosa

    mels = librosa.hz_to_mel([settings.mel_fmin_hz, _mel_fmax_hz(settings)])
    points = np.linspace(mels[0], mels[1], N_BINS + 2)
    half = (points[1] - points[0]) / 2
    centre, low, high = (librosa.mel_to_hz(points[1:-1] + shift) for shift in (0, -half, half))
    return centre, low, high


def _cqt_bins(settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    octave = np.arange(N_BINS) / settings.cqt_bins_per_octave
    half = 0.5 / settings.cqt_bins_per_octave
    low, centre, high = (settings.cqt_fmin_hz * 2 ** (octave + shift) for shift in (-half, 0, half))
    return centre, low, high


def _mel_fmax_hz(settings: FeatureSettings) -> float:
    return settings.mel_fmax_hz or settings.sample_rate_hz / 2


def _mel_power(samples: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    import librosa

    fine = librosa.feature.melspectrogram(
        y=samples,
        sr=settings.sample_rate_hz,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        n_mels=N_BINS,
        fmin=settings.mel_fmin_hz,
        fmax=_mel_fmax_hz(settings),
    )
    return _pool(fine, settings.hop_length, settings)


def _cqt_power(samples: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """Analyse octave by octave, each with a hop that its shortest filter spans three times.

    Constant-Q filters shrink as frequency rises, to 32 samples at 8 kHz: with one hop of 256 samples a
    click would fall between the frames of all but the lowest octaves.
    """
    import librosa

    octaves = []
    for first in range(0, N_BINS, settings.cqt_bins_per_octave):
        n_bins = min(settings.cqt_bins_per_octave, N_BINS - first)
        hop_length = cqt_hop_length(first + n_bins - 1, settings)
        amplitude = librosa.cqt(
            y=samples,
            sr=settings.sample_rate_hz,
            hop_length=hop_length,
            fmin=settings.cqt_fmin_hz * 2 ** (first / settings.cqt_bins_per_octave),
            n_bins=n_bins,
            bins_per_octave=settings.cqt_bins_per_octave,
        )
        octaves.append(_pool(np.abs(amplitude) ** 2, hop_length, settings))
    return np.concatenate(octaves)


def cqt_hop_length(highest_bin: int, settings: FeatureSettings) -> int:
    """Return the samples between frames of an octave: a power of two, at most a third of its shortest filter.

    The squares of Hann windows that overlap by two thirds or more add up to a constant.

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


def _pool(fine: np.ndarray, hop_length: int, settings: FeatureSettings) -> np.ndarray:
    """Average analysis frames into the time bins that hold their centres.

    Raises
    ------
    ConfigError
        A time bin holds none.
    """
    step_s = settings.duration_s / N_FRAMES
    centre_s = np.arange(fine.shape[1]) * hop_length / settings.sample_rate_hz
    bin_of = np.minimum((centre_s / step_s).astype(int), N_FRAMES - 1)
    first = np.searchsorted(bin_of, np.arange(N_FRAMES))
    counts = np.bincount(bin_of, minlength=N_FRAMES)
    if (counts == 0).any():
        raise ConfigError(
            f"features.hop_length={settings.hop_length}: longer than a time bin "
            f"({step_s * settings.sample_rate_hz:.0f} samples): lower it"
        )
    sums = np.add.reduceat(fine.astype(np.float64), first, axis=1)
    return np.asarray(sums / counts)
