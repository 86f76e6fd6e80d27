"""The network's input, held against plain loops and against matplotlib."""

from statistics import median
from typing import get_args

import matplotlib as mpl
import numpy as np
import pytest

from toolkit.config import Channels
from toolkit.features.channels import N_CHANNELS, network_input

CHANNELS: tuple[Channels, ...] = get_args(Channels)
RANGE_DB = 80.0
every_way = pytest.mark.parametrize("channels", CHANNELS)


@pytest.fixture
def level() -> np.ndarray:
    """Levels of three clips, shape (clip, bin, frame), some at either limit."""
    values = np.random.default_rng(0).uniform(-100, 0, (3, 64, 64)).astype(np.float32)
    values[:, 5, 7] = 0
    return np.maximum(values, np.float32(-RANGE_DB))


@pytest.fixture
def silence() -> np.ndarray:
    return np.full((2, 64, 64), -RANGE_DB, np.float32)


@every_way
def test_input__has_three_channels_last_in_float32_none_negative(level: np.ndarray, channels: Channels):
    found = network_input(level, channels, RANGE_DB)
    assert found.shape == (3, 64, 64, N_CHANNELS) == (3, 64, 64, 3)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found[..., 0].max() <= 1


@every_way
def test_input__of_no_clips_has_no_clips(channels: Channels):
    assert network_input(np.zeros((0, 64, 64), np.float32), channels, RANGE_DB).shape == (0, 64, 64, 3)


@every_way
def test_input__of_a_clip_does_not_depend_on_the_others(level: np.ndarray, channels: Channels):
    together = network_input(level, channels, RANGE_DB)
    for index in range(len(level)):
        alone = network_input(level[index : index + 1], channels, RANGE_DB)
        np.testing.assert_array_equal(alone[0], together[index])


@every_way
def test_input__leaves_the_level_alone(level: np.ndarray, channels: Channels):
    before = level.copy()
    network_input(level, channels, RANGE_DB)
    np.testing.assert_array_equal(level, before)


@pytest.mark.parametrize("channels", ["level_contrast_change", "level"])
def test_silence__is_zero(silence: np.ndarray, channels: Channels):
    assert not network_input(silence, channels, RANGE_DB).any()


def test_silence__is_the_lowest_colour(silence: np.ndarray):
    lowest = np.broadcast_to(mpl.colormaps["magma"](0)[:3], (2, 64, 64, 3))
    np.testing.assert_allclose(network_input(silence, "colours", RANGE_DB), lowest, atol=1e-7)


def test_default__holds_level_contrast_and_change(level: np.ndarray):
    """Contrast is the excess over the bin's median, change the rise since the frame before, per 20 dB."""
    expected = np.zeros((3, 64, 64, 3))
    for clip in range(3):
        for row in range(64):
            levels_db = [float(value) for value in level[clip, row]]
            middle_db = median(levels_db)
            for frame, value_db in enumerate(levels_db):
                before_db = levels_db[frame - 1] if frame else value_db
                excess, rise = max(value_db - middle_db, 0) / 20, max(value_db - before_db, 0) / 20
                expected[clip, row, frame] = (1 + value_db / RANGE_DB, excess, rise)
    found = network_input(level, "level_contrast_change", RANGE_DB)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (expected[..., 1] > 0).any()
    assert (expected[..., 2] > 0).any()


def test_steady_sound__has_neither_contrast_nor_change():
    steady = np.broadcast_to(np.linspace(-80, 0, 64, dtype=np.float32)[:, None], (1, 64, 64))
    found = network_input(steady, "level_contrast_change", RANGE_DB)
    assert found[..., 0].any()
    assert not found[..., 1:].any()


def test_onset__changes_in_its_frame_and_stands_out_while_it_lasts(silence: np.ndarray):
    silence[0, 10, 20:25] = -20
    found = network_input(silence, "level_contrast_change", RANGE_DB)
    assert [tuple(cell) for cell in np.argwhere(found[..., 2])] == [(0, 10, 20)]
    assert found[0, 10, 20, 2] == pytest.approx(60 / 20)
    assert [frame for _, _, frame in np.argwhere(found[..., 1])] == [20, 21, 22, 23, 24]


def test_level__is_three_times_the_scaled_level(level: np.ndarray):
    found = network_input(level, "level", RANGE_DB)
    for channel in range(3):
        np.testing.assert_allclose(found[..., channel], (level + RANGE_DB) / RANGE_DB, atol=1e-6)


@pytest.mark.parametrize(("level_db", "expected"), [(0, 1.0), (-30, 0.5), (-60, 0.0), (-80, 0.0)])
def test_level__is_scaled_by_the_dynamic_range(level_db: float, expected: float):
    found = network_input(np.full((1, 1, 4), level_db, np.float32), "level", 60.0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_colours__are_magma_of_the_level_image_in_its_256_steps():
    steps = np.arange(256, dtype=np.float32).reshape(1, 16, 16) / 255
    found = network_input((steps - 1) * np.float32(RANGE_DB), "colours", RANGE_DB)
    expected = mpl.colormaps["magma"](np.arange(256).reshape(1, 16, 16))[..., :3]
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_colours__lie_within_one_step_of_magma_between_its_steps(level: np.ndarray):
    magma = mpl.colormaps["magma"]
    largest_step = np.abs(np.diff(magma(np.arange(256))[:, :3], axis=0)).max()
    expected = magma((level.astype(np.float64) + RANGE_DB) / RANGE_DB)[..., :3]
    found = network_input(level, "colours", RANGE_DB)
    assert np.abs(found - expected).max() <= largest_step + 1e-6
