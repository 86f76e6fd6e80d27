"""Spectrograms and their axes, held against physics; `test_librosa.py` holds them against librosa."""

import tracemalloc
from functools import cache

import librosa
import numpy as np
import numpy.typing as npt
import pytest

from toolkit.config import N_BINS, N_FRAMES, REPRESENTATIONS, FeatureSettings, Representation
from toolkit.errors import ConfigError
from toolkit.features.spectrogram import axes, check, level_db, power, powers, valid_frames

DEFAULTS = FeatureSettings()
RATE_HZ = DEFAULTS.sample_rate_hz
N_SAMPLES = round(DEFAULTS.duration_s * RATE_HZ)
STEP_S = DEFAULTS.duration_s / N_FRAMES
OTHER_SETTINGS = {
    "16 kHz": FeatureSettings(sample_rate_hz=16_000, mel_fmin_hz=50, mel_fmax_hz=7000, cqt_fmin_hz=30),
    "44.1 kHz": FeatureSettings(sample_rate_hz=44_100, n_fft=4096, hop_length=512, cqt_bins_per_octave=7),
    "one second": FeatureSettings(duration_s=1.0, hop_length=128, cqt_fmin_hz=220, cqt_bins_per_octave=12),
}
ALL_SETTINGS = {"defaults": DEFAULTS, **OTHER_SETTINGS}

Signal = npt.NDArray[np.float32]

every_representation = pytest.mark.parametrize("representation", REPRESENTATIONS)
every_setting = pytest.mark.parametrize("settings", ALL_SETTINGS.values(), ids=ALL_SETTINGS)


def tone(frequency_hz: float, settings: FeatureSettings = DEFAULTS) -> Signal:
    n_samples = round(settings.duration_s * settings.sample_rate_hz)
    phase = 2 * np.pi * frequency_hz * np.arange(n_samples) / settings.sample_rate_hz
    return (0.3 * np.sin(phase)).astype(np.float32)


def click(time_s: float) -> Signal:
    samples = np.zeros(N_SAMPLES, np.float32)
    samples[round(time_s * RATE_HZ)] = 1
    return samples


def noise(settings: FeatureSettings = DEFAULTS) -> Signal:
    n_samples = round(settings.duration_s * settings.sample_rate_hz)
    rng = np.random.default_rng(0)
    loudness = np.linspace(0.01, 1, n_samples)
    return (rng.standard_normal(n_samples) * loudness).astype(np.float32)


@cache
def power_of_click(representation: Representation, time_s: float) -> np.ndarray:
    return power(click(time_s), representation, DEFAULTS)


def to_db(ratio: np.ndarray) -> np.ndarray:
    return 10 * np.log10(ratio)


@every_setting
@every_representation
def test_axes__have_64_bins_that_rise_and_touch(representation: Representation, settings: FeatureSettings):
    found = axes(representation, settings)
    for values in (found.frequency, found.frequency_low, found.frequency_high):
        assert values.shape == (N_BINS,)
        assert (np.diff(values) > 0).all()
    np.testing.assert_allclose(found.frequency_high[:-1], found.frequency_low[1:], rtol=1e-12)
    assert (found.frequency_low < found.frequency).all()
    assert (found.frequency < found.frequency_high).all()
    assert found.frequency_low[0] >= 0
    assert found.frequency_high[-1] <= settings.sample_rate_hz / 2


@every_setting
@every_representation
def test_time_axis__holds_the_centres_of_64_equal_bins(
    representation: Representation, settings: FeatureSettings
):
    time_s = axes(representation, settings).time
    step_s = settings.duration_s / 64
    np.testing.assert_allclose(time_s, [(frame + 0.5) * step_s for frame in range(64)], rtol=1e-12)


def test_default_constant_q_edges__lie_on_octaves_of_31_25_hz():
    found = axes("cqt", DEFAULTS)
    octaves_hz = [31.25, 62.5, 125, 250, 500, 1000, 2000, 4000, 8000]
    np.testing.assert_allclose(found.frequency_low[::8], octaves_hz[:-1], rtol=1e-12)
    np.testing.assert_allclose(found.frequency_high[7::8], octaves_hz[1:], rtol=1e-12)


@pytest.mark.parametrize("bins_per_octave", [7, 8, 12])
def test_constant_q_bins__are_equally_spaced_in_octaves(bins_per_octave: int):
    found = axes("cqt", FeatureSettings(cqt_bins_per_octave=bins_per_octave, cqt_fmin_hz=20))
    assert found.frequency[0] == pytest.approx(20)
    assert found.frequency[bins_per_octave] == pytest.approx(40)
    ratios = found.frequency_high / found.frequency_low
    np.testing.assert_allclose(ratios, 2 ** (1 / bins_per_octave), rtol=1e-12)


def test_mel_bins__are_centred_where_librosa_puts_its_filters():
    expected = librosa.mel_frequencies(N_BINS + 2, fmin=0, fmax=RATE_HZ / 2)[1:-1]
    np.testing.assert_allclose(axes("mel", DEFAULTS).frequency, expected, rtol=1e-12)


def test_mel_edges__lie_midway_on_the_mel_scale():
    found = axes("mel", DEFAULTS)
    mels = librosa.hz_to_mel(found.frequency)
    np.testing.assert_allclose(librosa.hz_to_mel(found.frequency_low)[1:], (mels[1:] + mels[:-1]) / 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (FeatureSettings(mel_fmax_hz=12_000), r"highest mel bin reaches 11\d{3} Hz.*11025 Hz.*mel_fmax_hz"),
        (FeatureSettings(sample_rate_hz=8000, mel_fmax_hz=6000), r"highest mel bin.*\(4000 Hz\)"),
    ],
)
def test_mel_bin_above_nyquist__is_refused(settings: FeatureSettings, message: str):
    with pytest.raises(ConfigError, match=message):
        axes("mel", settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (FeatureSettings(cqt_fmin_hz=50), r"highest cqt bin reaches 12257 Hz.*11025 Hz.*cqt_fmin_hz"),
        (FeatureSettings(sample_rate_hz=8000), r"highest cqt bin reaches 8000 Hz.*\(4000 Hz\)"),
        (FeatureSettings(cqt_bins_per_octave=6), "highest cqt bin reaches"),
    ],
)
def test_constant_q_bin_above_nyquist__is_refused(settings: FeatureSettings, message: str):
    with pytest.raises(ConfigError, match=message):
        axes("cqt", settings)


def test_constant_q_bin_that_ends_at_nyquist__is_allowed():
    assert axes("cqt", FeatureSettings(sample_rate_hz=16_000)).frequency_high[-1] == pytest.approx(8000)


@pytest.mark.parametrize("fmin_hz", [4000, 5000])
def test_mel_range_that_does_not_rise__is_refused(fmin_hz: float):
    with pytest.raises(ConfigError, match="mel_fm"):
        axes("mel", FeatureSettings(mel_fmin_hz=fmin_hz, mel_fmax_hz=4000))


@pytest.mark.parametrize("frequency_hz", [60, 150, 210, 440, 700, 950, 1050, 1500, 2150, 3000, 5000, 7000])
@every_representation
def test_tone__peaks_in_the_bin_that_holds_it_at_every_time(
    representation: Representation, frequency_hz: float
):
    found = axes(representation, DEFAULTS)
    (expected,) = np.flatnonzero((found.frequency_low <= frequency_hz) & (frequency_hz < found.frequency_high))
    peaks = power(tone(frequency_hz), representation, DEFAULTS)[:, 4:-4].argmax(axis=0)
    np.testing.assert_array_equal(peaks, expected)


@every_representation
def test_tone_of_1_khz__peaks_in_a_bin_that_reaches_to_1_khz(representation: Representation):
    """1 kHz is an edge of the default constant-Q bins, so that either neighbour is right."""
    found = axes(representation, DEFAULTS)
    peak = power(tone(1000), representation, DEFAULTS).sum(axis=1).argmax()
    assert found.frequency_low[peak] <= 1000 * (1 + 1e-9)
    assert found.frequency_high[peak] >= 1000 * (1 - 1e-9)


@pytest.mark.parametrize("settings", OTHER_SETTINGS.values(), ids=OTHER_SETTINGS)
@every_representation
def test_tone_of_1_khz__peaks_there_in_other_settings(
    representation: Representation, settings: FeatureSettings
):
    found = axes(representation, settings)
    (expected,) = np.flatnonzero((found.frequency_low <= 1000) & (found.frequency_high > 1000))
    assert power(tone(1000, settings), representation, settings).sum(axis=1).argmax() == expected


@every_representation
def test_tone_far_from_a_bin__leaves_it_20_db_down(representation: Representation):
    level = level_db(power(tone(1500), representation, DEFAULTS), 80)[:, 8:-8].mean(axis=1)
    peak = level.argmax()
    far = np.abs(np.arange(N_BINS) - peak) > 4
    assert level[far].max() < -20


@every_representation
def test_sound_in_the_second_half__leaves_the_first_half_dark(representation: Representation):
    samples = tone(3000)
    samples[: N_SAMPLES // 2] = 0
    level = level_db(power(samples, representation, DEFAULTS), 80)
    assert level[:, : N_FRAMES // 2 - 3].max() < -60
    assert level[:, N_FRAMES // 2 + 1 :].max(axis=0).min() > -3


CLICK_TIMES_S = tuple(0.7 + 0.1013 * position for position in range(24))


@pytest.mark.parametrize("frame", [3, 17, 32, 45, 60])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
@every_representation
def test_click__lands_in_its_time_bin(representation: Representation, frame: int, share: float):
    cells = power_of_click(representation, (frame + share) * STEP_S)
    assert cells.sum(axis=0).argmax() == frame


@every_representation
def test_click__has_the_same_energy_wherever_it_falls(representation: Representation):
    energy = np.array([power_of_click(representation, time_s).sum() for time_s in CLICK_TIMES_S])
    assert np.ptp(to_db(energy)) < 1


@every_representation
def test_click__has_the_same_energy_wherever_it_falls_in_every_part_of_the_spectrum(
    representation: Representation,
):
    """A filter shorter than the hop sees a click only when a frame happens to lie on it."""
    per_bin = np.array([power_of_click(representation, time_s).sum(axis=1) for time_s in CLICK_TIMES_S])
    parts = per_bin.reshape(len(CLICK_TIMES_S), 8, -1).sum(axis=-1)
    spread_db = np.ptp(to_db(np.maximum(parts, 1e-30)), axis=0)
    np.testing.assert_array_less(spread_db, 1)


@pytest.mark.parametrize("dynamic_range_db", [80.0, 40.0])
@pytest.mark.parametrize(
    "make", [noise, lambda: tone(1000), lambda: click(2.03)], ids=["noise", "tone", "click"]
)
@every_representation
def test_level__lies_between_the_cut_off_and_0_and_reaches_0(
    representation: Representation, make, dynamic_range_db: float
):
    level = level_db(power(make(), representation, DEFAULTS), dynamic_range_db)
    assert level.dtype == np.float32
    assert level.shape == (64, 64)
    assert level.max() == 0
    assert level.min() >= -dynamic_range_db


@every_representation
def test_silence__lies_at_the_cut_off_everywhere(representation: Representation):
    cells = power(np.zeros(N_SAMPLES, np.float32), representation, DEFAULTS)
    level = level_db(cells, 80.0)
    assert level.dtype == np.float32
    assert (level == -80).all()


@every_representation
def test_sound_of_one_quantisation_step__is_not_silence(representation: Representation):
    """The quietest sound that a 16-bit file can hold is a sound."""
    samples = np.random.default_rng(2).choice([-1, 0, 1], N_SAMPLES).astype(np.float32) / 32_768
    assert level_db(power(samples, representation, DEFAULTS), 80.0).max() == 0


@pytest.mark.parametrize("gain", [0.001, 0.1, 3.0])
@every_representation
def test_level__does_not_depend_on_gain(representation: Representation, gain: float):
    plain, scaled = (
        level_db(power(samples, representation, DEFAULTS), 80)
        for samples in (noise(), noise() * np.float32(gain))
    )
    np.testing.assert_allclose(scaled, plain, atol=1e-3, rtol=0)


def test_level__is_ten_times_the_logarithm_of_power():
    found = level_db(np.array([[1.0, 0.1], [1e-3, 1e-12]]) * 7, 80.0)
    np.testing.assert_allclose(found, [[0, -10], [-30, -80]], atol=1e-5)


@pytest.mark.parametrize("find", [check, lambda *given: power(noise(), *given)], ids=["check", "power"])
def test_hop_longer_than_a_time_bin__is_refused(find):
    """Mel only: constant-Q shortens the hop itself, down to its filters."""
    settings = FeatureSettings(hop_length=2048)
    with pytest.raises(
        ConfigError, match=r"hop_length=2048: longer than a time bin \(1378 samples\): lower it"
    ):
        find("mel", settings)
    check("cqt", settings)


@every_representation
def test_check__refuses_bins_above_half_the_sampling_rate(representation: Representation):
    with pytest.raises(ConfigError, match=f"highest {representation} bin reaches"):
        check(representation, FeatureSettings(mel_fmax_hz=12_000, cqt_fmin_hz=50))


@every_representation
def test_clip__does_not_depend_on_its_batch(representation: Representation):
    """Bit by bit: alone, in any batch, at any place."""
    clips = np.stack([noise(), tone(440), click(1.7), np.zeros(N_SAMPLES, np.float32), tone(5000)[::-1]])
    together = powers(clips, representation, DEFAULTS)
    assert together.shape == (5, 64, 64)
    assert together.dtype == np.float64
    for order in ([4, 3, 2, 1, 0], [2, 2], [0]):
        np.testing.assert_array_equal(powers(clips[order], representation, DEFAULTS), together[order])
    for clip, cells in zip(clips, together, strict=True):
        np.testing.assert_array_equal(power(clip, representation, DEFAULTS), cells)


@every_representation
def test_no_clips__have_no_power(representation: Representation):
    assert powers(np.zeros((0, N_SAMPLES), np.float32), representation, DEFAULTS).shape == (0, 64, 64)


@every_representation
@pytest.mark.parametrize("shape", [(2, N_SAMPLES - 1), (2, N_SAMPLES + 1), (2, N_SAMPLES, 1)])
def test_clips_of_another_length__are_refused(representation: Representation, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=rf"shape \(2, {shape[1]}.*\(clip, {N_SAMPLES}\)"):
        powers(np.zeros(shape, np.float32), representation, DEFAULTS)


@every_representation
def test_memory__does_not_grow_with_the_batch(representation: Representation):
    """Beyond the clips and their cells: 64 clips take as much as two."""
    check(representation, DEFAULTS)
    few, many = (peak_bytes(np.zeros((n_clips, N_SAMPLES), np.float32), representation) for n_clips in (2, 16))
    assert few < 8e6
    assert many - few < 1.1 * 14 * 64 * 64 * 8


def peak_bytes(clips: np.ndarray, representation: Representation) -> int:
    tracemalloc.start()
    try:
        powers(clips, representation, DEFAULTS)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@every_representation
def test_level_of_a_batch__is_that_of_each_clip(representation: Representation):
    clips = np.stack([noise(), np.zeros(N_SAMPLES, np.float32), 0.01 * tone(440)])
    cells = powers(clips, representation, DEFAULTS)
    expected = [level_db(one, 80.0) for one in cells]
    np.testing.assert_array_equal(level_db(cells, 80.0), expected)
    assert (expected[1] == -80).all()


def test_white_noise__has_the_power_that_theory_gives():
    """A mel filter has area 1 over frequency in Hz; a constant-Q filter, a Hann window, has energy 1.5."""
    samples = np.random.default_rng(3).standard_normal(N_SAMPLES).astype(np.float32)
    mel, constant_q = (
        power(samples, representation, DEFAULTS)[32:].mean() for representation in ("mel", "cqt")
    )
    assert mel == pytest.approx(3 / 8 * DEFAULTS.n_fft**2 / RATE_HZ, rel=0.03)
    assert constant_q == pytest.approx(1.5, rel=0.03)


@pytest.mark.parametrize("frequency_hz", axes("cqt", DEFAULTS).frequency[[20, 40, 63]])
def test_tone__has_the_constant_q_power_that_theory_gives(frequency_hz: float):
    """A quarter of the squared amplitude times the filter's length."""
    ratio = 2 ** (2 / DEFAULTS.cqt_bins_per_octave)
    filter_length = (ratio + 1) / (ratio - 1) * RATE_HZ / frequency_hz
    loudest = power(tone(frequency_hz), "cqt", DEFAULTS)[:, 8:-8].mean(axis=1).max()
    assert loudest == pytest.approx(0.3**2 / 4 * filter_length, rel=0.03)


def test_constant_q_at_16_khz__hears_its_highest_bin():
    """The bin ends exactly at half the sampling rate, where librosa would refuse its filter."""
    settings = FeatureSettings(sample_rate_hz=16_000)
    for frequency_hz, expected in [(7000, 62), (7600, 63), (7900, 63)]:
        cells = power(tone(frequency_hz, settings), "cqt", settings)
        assert cells.mean(axis=1).argmax() == expected


def test_power__leaves_its_samples_alone():
    samples = noise()
    before = samples.copy()
    for representation in REPRESENTATIONS:
        power(samples, representation, DEFAULTS)
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize(
    ("valid_s", "n_valid"),
    [
        (0.0, 0),
        (1e-9, 1),
        (0.0625, 1),
        (0.0625 + 1e-9, 2),
        (1.0, 16),
        (3.9375, 63),
        (3.94, 64),
        (4.0, 64),
        (5.0, 64),
        (np.inf, 64),
        (np.nan, 0),
        (-1.0, 0),
    ],
)
def test_valid_frames__are_those_that_begin_before_the_sound_ends(valid_s: float, n_valid: int):
    found = valid_frames(np.array(valid_s), 4.0)
    np.testing.assert_array_equal(found, np.arange(64) < n_valid)


def test_valid_frames__keep_the_shape_of_the_durations():
    found = valid_frames(np.array([[0.0, 1.0, 2.0], [4.0, np.nan, 0.5]]), 4.0)
    assert found.shape == (2, 3, 64)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found.sum(axis=-1), [[0, 16, 32], [64, 0, 8]])
