"""Shares of relevance against slow loops over cells, clips and recordings, and what must not change them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.statistics import profiles
from toolkit.statistics.profiles import ClipMaps, MapMeans

N_CLIPS, N_BINS, N_FRAMES = 14, 6, 9
LENGTHS = (9, 9, 4, 1, 2, 3, 9, 8, 5, 9, 7, 6, 9, 4)
EMPTY, AGAINST, QUIET = 4, 6, 8
"""A clip without relevance, one that has no positive relevance, one whose input is nothing."""


@pytest.fixture
def clips() -> ClipMaps:
    rng = np.random.default_rng(1)
    shape = (N_CLIPS, N_BINS, N_FRAMES)
    relevance = rng.normal(size=shape).astype(np.float32)
    inputs = rng.random(shape).astype(np.float32)
    relevance[EMPTY] = 0
    relevance[AGAINST] = -np.abs(relevance[AGAINST])
    inputs[QUIET] = 0
    return ClipMaps(
        level_db=rng.uniform(-80, 0, size=shape).astype(np.float32),
        inputs=inputs,
        relevance=relevance,
        valid=np.arange(N_FRAMES) < np.array(LENGTHS)[:, None],
        in_padding=rng.random(N_CLIPS).astype(np.float32),
        is_object=rng.random(shape) < 0.3,
    )


def sounding(clips: ClipMaps, clip: int) -> Iterator[tuple[int, int]]:
    return ((b, t) for b in range(N_BINS) for t in range(N_FRAMES) if clips.valid[clip, t])


def slow_share(cells: np.ndarray, clips: ClipMaps, clip: int) -> np.ndarray:
    by_bin = [0.0] * N_BINS
    for b, t in sounding(clips, clip):
        by_bin[b] += float(cells[clip, b, t])
    return np.array([value / sum(by_bin) if sum(by_bin) > 0 else np.nan for value in by_bin])


def slow_edge(cells: np.ndarray, clips: ClipMaps, clip: int) -> float:
    """Rewrite the share in the last two frames before padding."""
    length = LENGTHS[clip]
    total = sum(float(cells[clip, b, t]) for b, t in sounding(clips, clip))
    last = sum(float(cells[clip, b, t]) for b, t in sounding(clips, clip) if t >= length - 2)
    return last / total if length < N_FRAMES and total > 0 else np.nan


def slow_profiles(clips: ClipMaps, clip: int) -> dict[str, np.ndarray | float]:
    is_object = clips.is_object
    assert is_object is not None
    return {
        "share": slow_share(np.where(clips.relevance > 0, clips.relevance, 0), clips, clip),
        "share_against": slow_share(np.where(clips.relevance < 0, -clips.relevance, 0), clips, clip),
        "input_share": slow_share(clips.inputs, clips, clip),
        "power_share": slow_share(10 ** (clips.level_db.astype(np.float64) / 10), clips, clip),
        "in_padding": float(clips.in_padding[clip]),
        "at_edge": slow_edge(np.abs(clips.relevance), clips, clip),
        "input_at_edge": slow_edge(clips.inputs, clips, clip),
        "object_share": slow_share(is_object, clips, clip),
        "object_density": np.array([
            sum(int(is_object[clip, b, t]) for t in range(LENGTHS[clip])) / LENGTHS[clip] for b in range(N_BINS)
        ]),
    }


def slow_mean(values: list[np.ndarray]) -> np.ndarray:
    """Rewrite the mean of what is there, cell by cell."""
    found = np.full(np.shape(values[0]), np.nan)
    for cell in np.ndindex(found.shape):
        there = [value[cell] for value in values if not np.isnan(value[cell])]
        if there:
            found[cell] = sum(there) / len(there)
    return found


def test_clip_profiles__equal_a_loop_over_cells(clips):
    found = profiles.clip_profiles(clips)
    for clip in range(N_CLIPS):
        expected = slow_profiles(clips, clip)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(found[name][clip], values, rtol=1e-6, err_msg=f"{name} of clip {clip}")


def test_clip_profiles__of_a_map_without_relevance_are_unknown_and_the_input_is_known(clips):
    found = profiles.clip_profiles(clips)
    for name, absent in (("share", {EMPTY, AGAINST}), ("share_against", {EMPTY}), ("input_share", {QUIET})):
        assert set(np.flatnonzero(np.isnan(found[name]).all(axis=1)).tolist()) == absent, name
        np.testing.assert_allclose(np.delete(found[name], [*absent], axis=0).sum(axis=1), 1)


def test_clip_profiles__without_an_object_say_nothing_of_it(clips):
    assert "object_share" not in profiles.clip_profiles(replace(clips, is_object=None))


def test_clip_profiles__of_no_clips_are_empty(clips):
    none = ClipMaps(*(getattr(clips, name)[:0] for name in ClipMaps.__dataclass_fields__))
    for name, values in profiles.clip_profiles(none).items():
        assert len(values) == 0, name


def test_clip_profiles__do_not_see_padding(clips):
    rng = np.random.default_rng(2)
    padded = np.broadcast_to(~clips.valid[:, None, :], clips.relevance.shape)
    noise = rng.normal(size=padded.shape).astype(np.float32)
    changed = replace(
        clips,
        relevance=np.where(padded, noise, clips.relevance),
        inputs=np.where(padded, np.abs(noise), clips.inputs),
        level_db=np.where(padded, -np.abs(noise), clips.level_db),
        is_object=np.where(padded, noise > 0, clips.is_object),
    )
    after = profiles.clip_profiles(changed)
    for name, values in profiles.clip_profiles(clips).items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_clip_profiles__see_the_last_recorded_frame(clips):
    """The test above would pass if nothing were seen at all."""
    relevance = clips.relevance.copy()
    relevance[np.arange(N_CLIPS), 0, np.array(LENGTHS) - 1] += 10
    after = profiles.clip_profiles(replace(clips, relevance=relevance))["share"]
    assert (after[:, 0] > np.nan_to_num(profiles.clip_profiles(clips)["share"][:, 0])).all()


def test_shares__do_not_depend_on_how_loud_the_logit_is(clips):
    louder = replace(clips, relevance=clips.relevance * np.float32(1024))
    after = profiles.clip_profiles(louder)
    for name, values in profiles.clip_profiles(clips).items():
        np.testing.assert_allclose(after[name], values, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(
        profiles.signed_share(louder.relevance, clips.valid),
        profiles.signed_share(clips.relevance, clips.valid),
    )


def test_relevance_of_a_network_that_uses_every_cell_alike__is_spread_as_its_input(clips):
    found = profiles.clip_profiles(replace(clips, relevance=3 * clips.inputs))
    np.testing.assert_allclose(found["share"], found["input_share"], rtol=1e-6)
    np.testing.assert_allclose(found["at_edge"], found["input_at_edge"], rtol=1e-6)


def test_signed_share__adds_up_to_one_in_size_and_keeps_signs(clips):
    shares = profiles.signed_share(clips.relevance, clips.valid)
    np.testing.assert_allclose(np.delete(np.nansum(np.abs(shares), axis=(1, 2)), EMPTY), 1)
    assert np.isnan(shares[EMPTY]).all()
    padded = np.broadcast_to(~clips.valid[:, None, :], shares.shape)
    assert np.isnan(shares[padded]).all()
    known = np.isfinite(shares)
    np.testing.assert_array_equal(np.sign(shares[known]), np.sign(clips.relevance[known]))


def test_level_in_sound__is_the_level_and_nan_in_padding(clips):
    found = profiles.level_in_sound(clips)
    for clip in range(N_CLIPS):
        length = LENGTHS[clip]
        np.testing.assert_array_equal(found[clip, :, :length], clips.level_db[clip, :, :length])
        assert np.isnan(found[clip, :, length:]).all()


def test_share_at_edge__of_an_even_map_is_two_frames_of_those_recorded():
    valid = np.arange(N_FRAMES) < np.array([[9], [8], [4], [2], [1]])
    found = profiles.share_at_edge(np.ones((5, N_BINS, N_FRAMES)), valid)
    np.testing.assert_allclose(found, [np.nan, 2 / 8, 2 / 4, 1, 1])


def test_share_at_edge__is_nan_where_nothing_was_recorded():
    found = profiles.share_at_edge(np.ones((1, N_BINS, N_FRAMES)), np.zeros((1, N_FRAMES), bool))
    assert np.isnan(found).all()


def test_recording_means__equal_a_loop_over_recordings():
    rng = np.random.default_rng(3)
    recording = np.array([4, 0, 0, 2, 2, 2, 4, 5])
    values = rng.normal(size=(8, 3))
    values[2, 1], values[5], values[7] = np.nan, np.nan, np.nan
    found = profiles.recording_means(values, recording, 6)
    for number in range(6):
        rows = [values[row] for row in range(8) if recording[row] == number]
        expected = slow_mean(rows) if rows else np.full(3, np.nan)
        np.testing.assert_allclose(found[number], expected, rtol=1e-12)


def test_recording_means__of_numbers_have_one_number_for_each_recording():
    found = profiles.recording_means(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]), 3)
    np.testing.assert_array_equal(found, [2, 5, np.nan])


def test_recording_means__do_not_depend_on_how_many_clips_come_at_a_time():
    draw = np.random.default_rng(4)
    values, recording = draw.normal(size=(40, 3, 2)), draw.integers(0, 5, size=40)
    values[draw.random(values.shape) < 0.3] = np.nan
    means = profiles.RecordingMeans(6, (3, 2))
    for part in np.array_split(np.arange(40), 7):
        means.add(values[part], recording[part])
    np.testing.assert_allclose(means.means, profiles.recording_means(values, recording, 6), rtol=1e-12)


def test_recording_means__do_not_depend_on_how_many_copies_a_clip_has():
    """Ten copies of all clips of one recording weigh as much as one."""
    values = np.random.default_rng(4).normal(size=(6, 3))
    recording = np.array([0, 0, 1, 1, 2, 2])
    again = np.concatenate([np.arange(6), *[[2, 3]] * 9])
    np.testing.assert_allclose(
        profiles.recording_means(values[again], recording[again], 3),
        profiles.recording_means(values, recording, 3),
    )


SHAPE = (2, 3)


@st.composite
def recordings_in_parts(draw):
    """Recordings of some clips each, in some order, their groups, and where calls cut them."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=0, max_size=6))
    groups = draw(st.lists(st.integers(0, 2), min_size=len(sizes), max_size=len(sizes)))
    order = draw(st.permutations(range(len(sizes))))
    recording = np.array([number for number in order for _ in range(sizes[number])], np.int64)
    cuts = sorted(draw(st.lists(st.integers(0, len(recording)), max_size=5)))
    return recording, np.array(groups, np.int64), cuts, draw(st.integers(0, 1000))


@given(recordings_in_parts())
@settings(max_examples=80, deadline=None)
def test_map_means__equal_the_mean_of_recording_means_however_calls_cut_them(case):
    recording, groups, cuts, seed = case
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(len(recording), *SHAPE))
    maps[rng.random(maps.shape) < 0.3] = np.nan
    means = MapMeans(groups, 3, SHAPE)
    for first, stop in zip([0, *cuts], [*cuts, len(recording)], strict=True):
        means.add(recording[first:stop], maps[first:stop])
    means.close()
    for group in range(3):
        of_group = [
            slow_mean([*maps[recording == number]]) for number in range(len(groups)) if groups[number] == group
        ]
        there = np.isfinite(of_group).sum(axis=0) if of_group else np.zeros(SHAPE)
        np.testing.assert_array_equal(means.counts[group], there)
        expected = slow_mean(of_group) if of_group else np.full(SHAPE, np.nan)
        found = profiles.divided_cells(means.sums[group], means.counts[group])
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_map_means__of_a_class_without_clips_count_nothing():
    means = MapMeans(np.array([], np.int64), 2, SHAPE)
    means.add(np.array([], np.int64), np.empty((0, *SHAPE)))
    means.close()
    np.testing.assert_array_equal(means.counts, 0)
    np.testing.assert_array_equal(means.sums, 0)


def test_map_means__close_twice_as_well_as_once():
    means = MapMeans(np.array([0]), 1, SHAPE)
    means.add(np.array([0, 0]), np.stack([np.ones(SHAPE), np.full(SHAPE, 3.0)]))
    means.close()
    means.close()
    np.testing.assert_array_equal(means.sums[0], 2)
    np.testing.assert_array_equal(means.counts[0], 1)


def test_mean__leaves_out_what_is_absent():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    np.testing.assert_array_equal(profiles.mean(values), [2, 5, np.nan])
    assert np.isnan(profiles.mean(np.empty((0, 3)))).all()


def test_divided__is_nan_where_there_is_nothing_to_share():
    found = profiles.divided(np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([4.0, 0.0]))
    np.testing.assert_array_equal(found, [[0.25, 0.75], [np.nan, np.nan]])


def test_concatenated__puts_parts_one_after_another():
    parts = ({"a": np.arange(2), "b": np.ones((2, 3))}, {"a": np.arange(1), "b": np.zeros((1, 3))})
    found = profiles.concatenated(iter(parts))
    np.testing.assert_array_equal(found["a"], [0, 1, 0])
    assert found["b"].shape == (3, 3)
