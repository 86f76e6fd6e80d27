"""Mel and constant-Q spectrograms of one clip, and the axes that they lie on.

A spectrogram has 64 frequency bins (bin 0 is the lowest) by 64 time bins of equal length. Both
representations share the time bins: the power of all analysis frames whose centre lies in a bin is
averaged, so that a click counts the same wherever it falls. Level is in dB relative to the loudest
cell of the clip, cut off at the dynamic range; a silent clip lies at the cut-off everywhere.
"""

from dataclasses import dataclass

import numpy as np

from toolkit.config import N_BINS, N_FRAMES, FeatureSettings, Representation
from toolkit.errors import ConfigError
from toolkit.features import constant_q, mel
from toolkit.features.constant_q import cqt_hop_length as cqt_hop_length
from toolkit.features.pooling import clip_length

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
    if representation == "mel" and settings.mel_fmin_hz >= mel.fmax_hz(settings):
        raise ConfigError(
            f"features.mel_fmin_hz={settings.mel_fmin_hz:g} is not below the upper edge of the highest mel "
            f"band ({mel.fmax_hz(settings):g} Hz): lower it, or raise mel_fmax_hz or sample_rate_hz"
        )
    centre, low, high = (mel if representation == "mel" else constant_q).bins(settings)
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
    (mel if representation == "mel" else constant_q).analysis(settings, "float32")


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
    """Return the power of one clip in every cell, shape (bin, frame), float64; see ``powers``."""
    return powers(samples[None], representation, settings)[0]


def powers(samples: np.ndarray, representation: Representation, settings: FeatureSettings) -> np.ndarray:
    """Return the power of every clip in every cell, shape (clip, bin, frame), float64.

    Clips are analysed one after the other, so that none depends on its neighbours and memory does not
    grow with their number; what they have in common is made once per process.

    Parameters
    ----------
    samples
        Mono audio, shape (clip, sample), float32, finite, as long as ``settings.duration_s``.
    representation
        Which frequency axis.
    settings
        How to analyse.

    Raises
    ------
    ConfigError
        The hop is longer than a time bin.
    ValueError
        The clips are not as long as the settings say.
    """
    n_samples = clip_length(settings)
    if samples.shape[1:] != (n_samples,):
        raise ValueError(f"samples of shape {samples.shape}: should be (clip, {n_samples})")
    found = np.empty((len(samples), N_BINS, N_FRAMES))
    for clip, cells in zip(samples, found, strict=True):
        cells[:] = _power(clip, representation, settings)
    return found


def level_db(cell_power: np.ndarray, dynamic_range_db: float) -> np.ndarray:
    """Return power as level in [-dynamic_range_db, 0] dB below the loudest cell of each clip, float32.

    Parameters
    ----------
    cell_power
        Power, shape (..., bin, frame).
    dynamic_range_db
        Depth at which levels are cut off; a silent clip lies there everywhere.
    """
    loudest = cell_power.max(axis=(-2, -1), keepdims=True)
    relative = cell_power / np.where(loudest <= _POWER_FLOOR, np.inf, loudest)
    return (10 * np.log10(np.maximum(relative, 10 ** (-dynamic_range_db / 10)))).astype(np.float32)


def _power(samples: np.ndarray, representation: Representation, settings: FeatureSettings) -> np.ndarray:
    """Analyse one clip in 32 bits, and again in 64 if its quietest cells need it.

    32 bits leave errors some 150 dB below the sound. They do for cells 80 dB below a loudest one holding what
    white noise of the sound's power would put there; a tone outside all bins may leave far less.
    """
    analyser = mel if representation == "mel" else constant_q
    cells = analyser.power(samples, settings, "float32")
    step = len(samples) // N_FRAMES
    loudest = np.square(samples[: N_FRAMES * step]).reshape(N_FRAMES, step).mean(axis=1).max()
    needed = loudest * analyser.noise_power(settings) * 10 ** (settings.dynamic_range_db / 10 - 8)
    return cells if cells.max() >= needed else analyser.power(samples, settings, "float64")
