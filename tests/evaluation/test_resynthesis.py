"""Sounds cut in two, by physics: tones, noises and clicks where they were put."""

import numpy as np
import pytest

from toolkit.evaluation import resynthesis
from toolkit.evaluation.masks import Axes
from toolkit.evaluation.resynthesis import equally_loud, rms, split, to_pcm, without_traces

RATE_HZ, N_FFT = 22_050, 2048
EDGES_HZ = np.linspace(0, RATE_HZ / 2, 64 + 1)
AXES = Axes((EDGES_HZ[1:] + EDGES_HZ[:-1]) / 2, EDGES_HZ[:-1], EDGES_HZ[1:], (np.arange(64) + 0.5) * 2 / 64)
TIME_S = np.arange(2 * RATE_HZ) / RATE_HZ


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


def cut(samples: np.ndarray, mask: np.ndarray, n_fft: int = N_FFT) -> tuple[np.ndarray, np.ndarray]:
    return split(samples, mask, AXES, sample_rate_hz=RATE_HZ, n_fft=n_fft)


def around(frequency_hz: float) -> np.ndarray:
    """Return a mask that keeps the bins within 200 Hz of a frequency."""
    return np.repeat((np.abs(AXES.frequency - frequency_hz) <= 200).astype(float)[:, None], 64, axis=1)


def tone_db(samples: np.ndarray, frequency_hz: float) -> float:
    """Return the level of a tone in dB re full scale, by its product with a tone; ends left out."""
    middle = slice(RATE_HZ // 4, -RATE_HZ // 4)
    turning = np.exp(-2j * np.pi * frequency_hz * TIME_S[middle]) * np.hanning(len(TIME_S[middle]))
    amplitude = 2 * np.abs((samples[middle] * turning).sum()) / np.abs(turning).sum()
    return float(20 * np.log10(amplitude))


def rms_db(samples: np.ndarray) -> float:
    return float(20 * np.log10(rms(samples[None], len(samples))[0]))


def test_split__keeps_the_tone_and_removes_the_noise(rng):
    tone, noise = 0.3 * np.sin(2 * np.pi * 1000 * TIME_S), 0.1 * rng.standard_normal(len(TIME_S))
    mask = around(1000)
    kept, removed = cut(tone + noise, mask)
    assert tone_db(kept, 1000) == pytest.approx(tone_db(tone + noise, 1000), abs=0.05)
    assert tone_db(removed, 1000) < tone_db(tone, 1000) - 50
    # Of white noise, as much as the band is of all frequencies: its power times the mean squared mask.
    noise_kept, noise_removed = cut(noise, mask)
    assert rms_db(noise_kept) - rms_db(noise) == pytest.approx(10 * np.log10((mask[:, 0] ** 2).mean()), abs=2)
    assert rms_db(noise_removed) == pytest.approx(rms_db(noise), abs=0.5)


def test_split__removes_a_tone_that_the_mask_leaves_out():
    low, high = (0.2 * np.sin(2 * np.pi * hz * TIME_S) for hz in (1000, 3000))
    kept, removed = cut(low + high, around(1000))
    assert tone_db(kept, 3000) < tone_db(high, 3000) - 60
    assert tone_db(removed, 3000) == pytest.approx(tone_db(high, 3000), abs=0.05)


def test_split__follows_the_mask_in_time():
    click = np.zeros(len(TIME_S))
    click[[RATE_HZ // 2, 3 * RATE_HZ // 2]] = 1.0
    first_half = np.repeat((AXES.time < 1)[None].astype(float), 64, axis=0)
    kept, removed = cut(click, first_half)
    assert kept[RATE_HZ // 2] == pytest.approx(1, abs=1e-6)
    assert removed[3 * RATE_HZ // 2] == pytest.approx(1, abs=1e-6)
    assert abs(kept[3 * RATE_HZ // 2]) < 1e-6


@pytest.mark.parametrize("n_fft", [256, 2048, 3000])
def test_split__parts_add_up_to_the_original(rng, n_fft):
    samples = rng.uniform(-1, 1, len(TIME_S)).astype(np.float32)
    kept, removed = cut(samples, rng.random((64, 64)), n_fft)
    np.testing.assert_allclose(kept + removed, samples, atol=1e-9)
    assert rms_db(kept) < rms_db(samples) - 3


@pytest.mark.parametrize(("share", "place"), [(1.0, 0), (0.0, 1)])
def test_split__a_mask_of_ones_keeps_all_and_one_of_zeros_nothing(rng, share, place):
    samples = rng.uniform(-1, 1, len(TIME_S))
    parts = cut(samples, np.full((64, 64), share))
    np.testing.assert_allclose(parts[place], samples, atol=1e-9)


def test_split__what_lies_outside_the_map_is_removed():
    narrow = Axes(np.array([1500.0]), np.array([1000.0]), np.array([2000.0]), AXES.time)
    inside, below = (0.2 * np.sin(2 * np.pi * hz * TIME_S) for hz in (1500, 500))
    kept, _ = split(inside + below, np.ones((1, 64)), narrow, sample_rate_hz=RATE_HZ, n_fft=N_FFT)
    assert tone_db(kept, 1500) == pytest.approx(tone_db(inside, 1500), abs=0.05)
    assert tone_db(kept, 500) < tone_db(below, 500) - 60


def test_split__a_sound_shorter_than_the_window_is_cut_too(rng):
    samples = rng.uniform(-1, 1, 700)
    kept, removed = cut(samples, rng.random((64, 64)))
    np.testing.assert_allclose(kept + removed, samples, atol=1e-9)


def test_equally_loud__gives_all_the_loudness_of_the_original(rng):
    versions = rng.uniform(-1, 1, (3, 1000)) * [[0.2], [0.01], [0.1]]
    versions[:, 600:] = 0
    sounds, gain_db = equally_loud(versions, 600)
    level = rms(sounds, 600)
    np.testing.assert_allclose(level, rms(versions, 600)[0])
    np.testing.assert_allclose(sounds, versions * 10 ** (gain_db / 20)[:, None])
    assert gain_db[0] == 0
    assert gain_db[1] == pytest.approx(20 * np.log10(level[0] / rms(versions, 600)[1]))


def test_equally_loud__lowers_all_alike_where_one_would_peak_too_high():
    versions = np.full((2, 1000), 0.5)
    versions[1] = np.where(np.arange(1000) == 500, 0.5, 0.0)
    sounds, gain_db = equally_loud(versions, 1000)
    assert 20 * np.log10(np.abs(sounds).max()) == pytest.approx(-1)
    level = rms(sounds, 1000)
    assert level[0] == pytest.approx(level[1])
    assert gain_db[0] < -20


def test_equally_loud__a_sound_at_full_scale_is_lowered_by_one_decibel():
    _, gain_db = equally_loud(np.sign(np.sin(2 * np.pi * 100 * TIME_S))[None], len(TIME_S))
    assert gain_db[0] == pytest.approx(-1)


@pytest.mark.parametrize("silent", [[1], [0, 1, 2]])
def test_equally_loud__a_silent_version_stays_silent_and_has_no_gain(rng, silent):
    versions = rng.uniform(-1, 1, (3, 500))
    versions[silent] = 0
    sounds, gain_db = equally_loud(versions, 500)
    assert np.flatnonzero(np.isnan(gain_db)).tolist() == silent
    assert (sounds[silent] == 0).all()
    assert np.isfinite(sounds).all()


def test_without_traces__rounding_is_silence_and_padding_is_empty(rng):
    versions = rng.uniform(-1, 1, (3, 1000)) * [[1], [0.9e-4], [1.1e-4]]
    found = without_traces(versions, 800)
    assert (found[1] == 0).all()
    np.testing.assert_array_equal(found[[0, 2], :800], versions[[0, 2], :800])
    assert (found[:, 800:] == 0).all()


def test_to_pcm__full_scale_is_the_largest_number():
    assert to_pcm(np.array([1.0, -1.0, 0.0, resynthesis.HIGHEST_PEAK])).tolist() == [32767, -32767, 0, 29204]
