"""Onsets of planted clicks and events, and the cut around them against a loop over indices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.statistics import alignment
from toolkit.statistics.alignment import AFTER, BEFORE, aligned, onsets

N_BINS, N_FRAMES = 3, 64
QUIET_DB = -80.0


def clip_of(frames_db: np.ndarray | list[float]) -> np.ndarray:
    """Return the level of one clip that is alike in all bins, shape (1, bin, frame)."""
    return np.broadcast_to(np.array(frames_db, np.float32), (1, N_BINS, len(frames_db))).copy()


def silence() -> np.ndarray:
    return clip_of(np.full(N_FRAMES, QUIET_DB))


def everything(n_clips: int = 1) -> np.ndarray:
    return np.ones((n_clips, N_FRAMES), bool)


@pytest.mark.parametrize("frame", [0, 1, 17, N_FRAMES - 1])
def test_onset__of_a_click_is_its_frame(frame):
    level_db = silence()
    level_db[0, 1, frame] = 0
    assert onsets(level_db, everything()).tolist() == [frame]


@pytest.mark.parametrize("frame", [1, 30, 50])
def test_onset__of_a_click_that_rings_on_is_where_it_begins(frame):
    level_db = silence()
    level_db[0, :, frame:] = -np.minimum(3.0 * np.arange(N_FRAMES - frame), 80)
    assert onsets(level_db, everything()).tolist() == [frame]


def test_onset__of_a_slow_rise_is_ten_decibels_below_the_loudest():
    rise = np.maximum(-40.0, -3.0 * np.abs(np.arange(N_FRAMES) - 40))
    # 36 dB/12 frames: 4 frames before the peak lies 12 dB lower, the frame after it is the onset.
    assert onsets(clip_of(rise), everything()).tolist() == [37]


def test_onset__of_a_sound_that_is_loud_from_the_start_is_the_start():
    rng = np.random.default_rng(0)
    hum = rng.uniform(-4, 0, size=(5, N_BINS, N_FRAMES))
    assert onsets(hum, everything(5)).tolist() == [0] * 5
    assert onsets(np.zeros((1, N_BINS, N_FRAMES)), everything()).tolist() == [0]


@pytest.mark.parametrize("echo_frame", [5, 45])
def test_onset__is_that_of_the_loudest_event_whether_an_echo_comes_before_or_after(echo_frame):
    level_db = silence()
    level_db[0, :, 25:29] = 0
    level_db[0, :, echo_frame] = -1
    assert onsets(level_db, everything()).tolist() == [25]


def test_onset__bridges_gaps_that_are_less_than_ten_decibels_deep():
    level_db = silence()
    level_db[0, :, 20:30] = [-1, -1, -9, -9, -1, 0, -1, -1, -1, -1]
    assert onsets(level_db, everything()).tolist() == [20]
    level_db[0, :, 22] = -11
    assert onsets(level_db, everything()).tolist() == [23]


def test_onset__adds_up_power_over_bins():
    """Ten bins at -10 dB are as loud as one at 0 dB."""
    level_db = np.full((1, 11, N_FRAMES), QUIET_DB)
    level_db[0, 0, 10] = -1
    level_db[0, 1:, 40] = -10
    assert onsets(level_db, everything()).tolist() == [40]


@given(st.integers(1, N_FRAMES), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_onset__never_comes_from_padding(length, seed):
    rng = np.random.default_rng(seed)
    sound = rng.uniform(-60, 0, size=(1, N_BINS, N_FRAMES))
    valid = np.arange(N_FRAMES)[None] < length
    loud = np.where(valid[:, None], sound, 20)
    quiet = np.where(valid[:, None], sound, QUIET_DB)
    found = onsets(loud, valid)
    assert found[0] < length
    np.testing.assert_array_equal(found, onsets(quiet, valid))
    np.testing.assert_array_equal(found, onsets(sound[:, :, :length], valid[:, :length]))


def test_onset__moves_with_the_sound():
    rng = np.random.default_rng(1)
    event = rng.uniform(-8, 0, size=(N_BINS, 6))
    found = []
    for start in range(1, N_FRAMES - 6):
        level_db = silence()
        level_db[0, :, start : start + 6] = event
        found.append(int(onsets(level_db, everything())[0]) - start)
    assert len(set(found)) == 1


@pytest.mark.parametrize("between", [(), (2,), (2, 3)])
def test_aligned__equals_a_loop_over_indices(between):
    rng = np.random.default_rng(2)
    lengths, onset = np.array([64, 40, 1, 20]), np.array([0, 39, 0, 12])
    cells = rng.normal(size=(4, *between, N_FRAMES))
    valid = np.arange(N_FRAMES) < lengths[:, None]
    found = aligned(cells, valid, onset)
    assert found.shape == (4, *between, BEFORE + AFTER)
    for clip in range(4):
        for place in range(BEFORE + AFTER):
            source = onset[clip] + place - BEFORE
            if 0 <= source < lengths[clip]:
                np.testing.assert_array_equal(found[clip, ..., place], cells[clip, ..., source])
            else:
                assert np.isnan(found[clip, ..., place]).all()


def test_aligned__puts_the_onset_at_time_zero():
    level_db = silence()
    level_db[0, :, 33] = 0
    found = aligned(level_db, everything(), onsets(level_db, everything()))
    times_s = alignment.frame_times(0.0625)
    assert times_s.shape == found.shape[2:]
    assert times_s[np.nanargmax(found[0, 0])] == 0
    np.testing.assert_allclose(np.diff(times_s), 0.0625)
    np.testing.assert_allclose(times_s[[0, -1]], [-BEFORE * 0.0625, (AFTER - 1) * 0.0625])


def test_aligned__takes_no_clips():
    found = aligned(np.empty((0, 2, N_FRAMES)), np.empty((0, N_FRAMES), bool), np.empty(0, np.int64))
    assert found.shape == (0, 2, BEFORE + AFTER)
