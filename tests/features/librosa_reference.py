"""Spectrograms by librosa alone, one clip and one octave after the other: what the toolkit's own must equal."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import librosa
import numpy as np

from toolkit.config import FeatureSettings, Representation


def reference_power(
    samples: np.ndarray, representation: Representation, settings: FeatureSettings
) -> np.ndarray:
    """Return the power of one clip in 64 bins by 64 time bins; in the precision of its samples."""
    if representation == "mel":
        return averaged(mel_frames(samples, settings), settings.hop_length, settings)
    return np.concatenate([averaged(*octave, settings) for octave in constant_q_frames(samples, settings)])


def mel_frames(samples: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    return librosa.feature.melspectrogram(
        y=samples,
        sr=settings.sample_rate_hz,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        n_mels=64,
        fmin=settings.mel_fmin_hz,
        fmax=settings.mel_fmax_hz,
    )


def constant_q_frames(samples: np.ndarray, settings: FeatureSettings) -> Iterator[tuple[np.ndarray, int]]:
    """Yield power, shape (bin, frame), and hop of every octave, each with a hop that suits its filters."""
    per_octave = settings.cqt_bins_per_octave
    for first in range(0, 64, per_octave):
        shortest_filter = filter_length(min(first + per_octave, 64) - 1, settings)
        hop_length = 1
        while 2 * hop_length <= shortest_filter / 3:
            hop_length *= 2
        hop_length = min(hop_length, settings.hop_length)
        amplitude = librosa.cqt(
            y=samples,
            sr=settings.sample_rate_hz,
            hop_length=hop_length,
            fmin=settings.cqt_fmin_hz * 2 ** (first / per_octave),
            n_bins=min(per_octave, 64 - first),
            bins_per_octave=per_octave,
        )
        yield np.abs(amplitude) ** 2, hop_length


def filter_length(bin_number: int, settings: FeatureSettings) -> float:
    """Return the samples that a constant-Q filter spans: so many periods that neighbours part."""
    per_octave = settings.cqt_bins_per_octave
    frequency_hz = settings.cqt_fmin_hz * 2 ** (bin_number / per_octave)
    return settings.sample_rate_hz / (frequency_hz * (2 ** (1 / per_octave) - 1))


def averaged(fine: np.ndarray, hop_length: int, settings: FeatureSettings) -> np.ndarray:
    """Average the frames whose centre lies in a time bin."""
    bin_of = time_bins(fine.shape[1], hop_length, settings)
    first = np.searchsorted(bin_of, np.arange(64))
    return np.add.reduceat(fine.astype(np.float64), first, axis=1) / np.bincount(bin_of)


@cache
def time_bins(n_frames: int, hop_length: int, settings: FeatureSettings) -> np.ndarray:
    """Return the time bin of every frame, by exact arithmetic."""
    bins_per_frame = 64 * hop_length / (settings.sample_rate_hz * Fraction(str(settings.duration_s)))
    return np.array([min(int(index * bins_per_frame), 63) for index in range(n_frames)])
