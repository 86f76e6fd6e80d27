"""Spectrograms equal librosa's within 0.01 dB in every cell over 80 dB."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.features.librosa_reference import reference_power
from toolkit.config import REPRESENTATIONS, FeatureSettings, Representation
from toolkit.errors import ConfigError
from toolkit.features.spectrogram import check, level_db, power

TOLERANCE_DB = 0.01
REAL_CLIPS = Path(__file__).parents[3] / "shared" / "data" / "urbansound8k-mini" / "audio"
DEFAULTS = FeatureSettings()
NARROW = FeatureSettings(duration_s=1.0, mel_fmin_hz=100, mel_fmax_hz=9000)
SOUNDS = (
    "swelling noise",
    "one quantisation step",
    "chirp",
    "short and padded",
    "loud, then 90 dB less",
    "step at the start",
    *(f"tone of {frequency_hz} Hz" for frequency_hz in (33, 55, 440, 1000, 2500, 5000, 7900)),
    *(f"click at {time_s} s" for time_s in (0, 0.001, 1.7, 3.9999)),
)
"""The clip's start matters: there librosa's resampling has no past to look at."""
OTHER_SETTINGS = {
    "16 kHz": FeatureSettings(sample_rate_hz=16_000, mel_fmin_hz=50, mel_fmax_hz=7000, cqt_fmin_hz=30),
    "44.1 kHz": FeatureSettings(sample_rate_hz=44_100, n_fft=4096, hop_length=512, cqt_bins_per_octave=7),
    "one second": FeatureSettings(duration_s=1.0, hop_length=128, cqt_fmin_hz=220, cqt_bins_per_octave=12),
    "odd hop": FeatureSettings(hop_length=221, n_fft=1023, duration_s=1.7),
    "192 kHz": FeatureSettings(sample_rate_hz=192_000, duration_s=0.9, hop_length=2048, n_fft=16_384),
}

every_representation = pytest.mark.parametrize("representation", REPRESENTATIONS)


def sound(name: str, settings: FeatureSettings = DEFAULTS) -> np.ndarray:
    """Return samples, float32; the number in a name, if any, is the frequency or time."""
    rng = np.random.default_rng(0)
    n_samples = round(settings.duration_s * settings.sample_rate_hz)
    time_s = np.arange(n_samples) / settings.sample_rate_hz
    noise = rng.standard_normal(n_samples)
    number = next((float(word) for word in name.split() if word[0].isdigit()), 0.0)
    if name.startswith("tone"):
        return (0.3 * np.sin(2 * np.pi * number * time_s + 0.4)).astype(np.float32)
    if name.startswith("click"):
        return (np.arange(n_samples) == round(number * settings.sample_rate_hz)).astype(np.float32)
    samples = {
        "swelling noise": noise * np.linspace(0.01, 1, n_samples),
        "one quantisation step": rng.choice([-1, 0, 1], n_samples) / 32_768,
        "chirp": np.sin(2 * np.pi * (40 * time_s + 1250 * time_s**2)),
        "short and padded": np.where(time_s < 0.3, noise, 0),
        "loud, then 90 dB less": np.where(time_s < 1, noise, noise * 10**-4.5),
        "step at the start": np.ones(n_samples) + 1e-3 * noise,
    }[name]
    return samples.astype(np.float32)


def assert_equal_levels(
    samples: np.ndarray, representation: Representation, settings: FeatureSettings, dtype: type = np.float32
) -> None:
    expected = reference_power(samples.astype(dtype), representation, settings)
    found = power(samples, representation, settings)
    levels = [level_db(cells, settings.dynamic_range_db) for cells in (found, expected)]
    np.testing.assert_allclose(*levels, rtol=0, atol=TOLERANCE_DB)
    # A constant factor would not show in levels.
    assert found.max() == pytest.approx(expected.max(), rel=1e-3)


@pytest.mark.parametrize("name", SOUNDS)
@every_representation
def test_levels__equal_librosas_for_synthetic_sounds(representation: Representation, name: str):
    assert_equal_levels(sound(name), representation, DEFAULTS)


@pytest.mark.parametrize("frequency_hz", [0, 3, 5, 20, 9300, 10_000, 11_020])
@every_representation
def test_levels__equal_librosas_where_a_tone_lies_outside_all_bins(
    representation: Representation, frequency_hz: int
):
    """Cells then lie 100 dB and more below the tone: there librosa's 32 bits miss its own 64 by 0.015 dB."""
    assert_equal_levels(sound(f"tone of {frequency_hz} Hz", NARROW), representation, NARROW, np.float64)


@pytest.mark.parametrize("outside_hz", [3, 20, 9500, 11_000])
@pytest.mark.parametrize("quieter_db", [20, 50, 80])
@every_representation
def test_levels__equal_librosas_for_a_quiet_tone_beside_a_loud_one_outside_all_bins(
    representation: Representation, outside_hz: int, quieter_db: int
):
    inside = sound("tone of 1510 Hz", NARROW) * 10 ** (-quieter_db / 20)
    samples = (sound(f"tone of {outside_hz} Hz", NARROW) + inside).astype(np.float32)
    assert_equal_levels(samples, representation, NARROW, np.float64)


@pytest.mark.parametrize("name", ["chirp", "tone of 1000 Hz", "loud, then 90 dB less"])
@every_representation
def test_levels__equal_librosas_in_64_bits_over_140_db(representation: Representation, name: str):
    settings = FeatureSettings(dynamic_range_db=140)
    assert_equal_levels(sound(name), representation, settings, np.float64)


@pytest.mark.parametrize("settings", OTHER_SETTINGS.values(), ids=OTHER_SETTINGS)
@every_representation
def test_levels__equal_librosas_in_other_settings(representation: Representation, settings: FeatureSettings):
    assert_equal_levels(sound("swelling noise", settings), representation, settings)


@every_representation
def test_levels__equal_librosas_for_real_clips(representation: Representation):
    for path in real_clips()[::40]:
        samples, _ = soundfile.read(path, dtype="float32")
        assert_equal_levels(samples, representation, DEFAULTS)


@pytest.mark.slow
@every_representation
def test_levels__equal_librosas_for_every_real_clip(representation: Representation):
    for path in real_clips():
        samples, _ = soundfile.read(path, dtype="float32")
        assert_equal_levels(samples, representation, DEFAULTS)


@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 60))]
)
@pytest.mark.filterwarnings("ignore:Empty filters:UserWarning", "ignore:n_fft=:UserWarning")
@every_representation
def test_levels__equal_librosas_in_random_settings_or_are_refused(representation: Representation, seed: int):
    rng = np.random.default_rng(seed)
    settings = random_settings(rng)
    try:
        check(representation, settings)
    except ConfigError:
        with pytest.raises(ConfigError, match="hop_length"):
            power(sound("chirp", settings), representation, settings)
        settings = settings.model_copy(update={"hop_length": 32, "duration_s": 0.3})
    assert_equal_levels(sound("swelling noise", settings), representation, settings)


def random_settings(rng: np.random.Generator) -> FeatureSettings:
    """Return settings whose bins lie below half the sampling rate; the hop may be too long."""
    rate_hz = int(rng.integers(8000, 192_001))
    per_octave = int(rng.integers(4, 25))
    highest_share = 2 ** (-64 / per_octave)
    return FeatureSettings(
        sample_rate_hz=rate_hz,
        duration_s=round(float(rng.uniform(0.2, 1.5)) * 22_050 / rate_hz, 3),
        hop_length=int(np.exp(rng.uniform(np.log(32), np.log(600)))),
        n_fft=int(rng.integers(256, 4097)),
        mel_fmin_hz=float(rng.uniform(0, 0.1)) * rate_hz,
        mel_fmax_hz=float(rng.uniform(0.2, 0.5)) * rate_hz if rng.random() < 0.5 else None,
        cqt_fmin_hz=float(rng.uniform(0.15, 0.4)) * rate_hz * highest_share,
        cqt_bins_per_octave=per_octave,
    )


def real_clips() -> list[Path]:
    paths = sorted(REAL_CLIPS.glob("*/*.wav"))
    if not paths:
        pytest.skip(f"no real clips in {REAL_CLIPS}")
    return paths
