"""Profiles of relevance against slow re-writings, and what must not change them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from toolkit.statistics.bootstrap import interval, recording_weights, weighted_means
from toolkit.statistics.profiles import (
    Bootstrap,
    ClipMaps,
    by_fold,
    clip_profiles,
    mean,
    recording_means,
    share_by_bin,
    signed_share,
    summarise,
)

N_BINS, N_FRAMES = 6, 5
BANDS = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], bool)
FOLDS = np.array([1, 1, 1, 2, 2, 3, 3])
"""Fold of each of the seven recordings."""
PROFILES = ("mean_level_db", "mean_relevance", "frequency_share", "energy_share", "relevance_in_padding")


def bootstrap(n_replicates: int = 200, seed: int = 5) -> Bootstrap:
    return Bootstrap(n_replicates, 0.95, np.random.default_rng(seed))


@pytest.fixture
def clips() -> ClipMaps:
    """Return 20 clips of seven recordings; many end early, one map is empty, one has nothing positive."""
    rng = np.random.default_rng(1)
    recording = np.array([0, 0, 0, 0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 5, 5, 5, 6, 6, 6, 6])
    relevance = rng.normal(size=(20, N_BINS, N_FRAMES)).astype(np.float32)
    relevance[8] = 0
    relevance[14] = -np.abs(relevance[14])
    lengths = rng.integers(1, N_FRAMES + 1, size=20)
    return ClipMaps(
        recording=recording,
        level_db=rng.uniform(-80, 0, size=relevance.shape).astype(np.float32),
        relevance=relevance,
        valid=np.arange(N_FRAMES) < lengths[:, None],
        in_padding=rng.random(20).astype(np.float32),
    )


def part_of(clips: ClipMaps, rows: np.ndarray | slice) -> ClipMaps:
    return ClipMaps(
        clips.recording[rows],
        clips.level_db[rows],
        clips.relevance[rows],
        clips.valid[rows],
        clips.in_padding[rows],
    )


def in_parts(clips: ClipMaps, size: int) -> Iterator[ClipMaps]:
    for start in range(0, max(1, len(clips.recording)), size):
        yield part_of(clips, slice(start, start + size))


def means_of(clips: ClipMaps, n_recordings: int = len(FOLDS)) -> dict[str, np.ndarray]:
    return recording_means([clips], n_recordings)[0]


def figures_of(clips: ClipMaps, folds: np.ndarray = FOLDS) -> dict[str, np.ndarray]:
    return summarise(means_of(clips, len(folds)), folds, BANDS, bootstrap())


def cells(valid: np.ndarray) -> Iterator[tuple[int, int]]:
    return ((b, t) for b in range(N_BINS) for t in range(N_FRAMES) if valid[t])


def slow_profiles(level_db: np.ndarray, relevance: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    """Rewrite the profiles of one clip cell by cell."""
    level, signed = np.full((2, N_BINS, N_FRAMES), np.nan)
    total = sum(abs(float(relevance[cell])) for cell in cells(valid))
    positive, energy = [0.0] * N_BINS, [0.0] * N_BINS
    for b, t in cells(valid):
        level[b, t] = level_db[b, t]
        if total > 0:
            signed[b, t] = float(relevance[b, t]) / total
        positive[b] += max(0.0, float(relevance[b, t]))
        energy[b] += 10 ** (float(level_db[b, t]) / 10)
    return {
        "mean_level_db": level,
        "mean_relevance": signed,
        "frequency_share": np.array([v / sum(positive) if sum(positive) > 0 else np.nan for v in positive]),
        "energy_share": np.array([v / sum(energy) for v in energy]),
    }


def slow_mean(values: list[np.ndarray]) -> np.ndarray:
    """Rewrite the mean of what is there, cell by cell."""
    found = np.full(np.shape(values[0]), np.nan)
    for cell in np.ndindex(found.shape):
        there = [value[cell] for value in values if not np.isnan(value[cell])]
        if there:
            found[cell] = sum(there) / len(there)
    return found


def slow_recordings(clips: ClipMaps, n_recordings: int) -> list[dict[str, np.ndarray]]:
    found = []
    for number in range(n_recordings):
        rows = [row for row in range(len(clips.recording)) if clips.recording[row] == number]
        of_clips = [
            slow_profiles(clips.level_db[row], clips.relevance[row], clips.valid[row])
            | {"relevance_in_padding": np.array(float(clips.in_padding[row]))}
            for row in rows
        ]
        found.append({name: slow_mean([profile[name] for profile in of_clips]) for name in PROFILES})
    return found


def test_clip_profiles__equal_a_slow_loop(clips: ClipMaps):
    found = clip_profiles(clips)
    assert set(found) == set(PROFILES)
    for row in range(len(clips.recording)):
        expected = slow_profiles(clips.level_db[row], clips.relevance[row], clips.valid[row])
        for name, values in expected.items():
            np.testing.assert_allclose(found[name][row], values, rtol=1e-12, err_msg=f"{name} of clip {row}")
    np.testing.assert_array_equal(found["relevance_in_padding"], clips.in_padding.astype(np.float64))


def test_signed_share__adds_up_to_one_in_size(clips: ClipMaps):
    shares = signed_share(clips.relevance, clips.valid)
    sizes = np.nansum(np.abs(shares), axis=(1, 2))
    np.testing.assert_allclose(np.delete(sizes, 8), 1)
    assert np.isnan(shares[8]).all(), "an empty map has no shares"
    padded = np.broadcast_to(~clips.valid[:, None, :], shares.shape)
    assert np.isnan(shares[padded]).all()


def test_shares__do_not_depend_on_the_size_of_the_logit(clips: ClipMaps):
    louder = replace(clips, relevance=clips.relevance * np.float32(1024))
    for name in ("mean_relevance", "frequency_share"):
        np.testing.assert_allclose(clip_profiles(louder)[name], clip_profiles(clips)[name], rtol=1e-12)


def test_share_by_bin__adds_up_to_one(clips: ClipMaps):
    shares = share_by_bin(np.maximum(clips.relevance, 0), clips.valid)
    empty = ~((clips.relevance > 0) & clips.valid[:, None, :]).any(axis=(1, 2))
    assert empty[[8, 14]].all()
    assert empty.sum() < 5
    np.testing.assert_allclose(shares[~empty].sum(axis=1), 1)
    assert np.isnan(shares[empty]).all()


def test_profiles__do_not_see_padding(clips: ClipMaps):
    rng = np.random.default_rng(2)
    padded = np.broadcast_to(~clips.valid[:, None, :], clips.relevance.shape)
    assert padded.sum() > 50
    noise = rng.normal(scale=1000, size=clips.relevance.shape).astype(np.float32)
    changed = replace(
        clips,
        relevance=np.where(padded, noise, clips.relevance),
        level_db=np.where(padded, -np.abs(noise), clips.level_db),
    )
    before, after = figures_of(clips), figures_of(changed)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_profiles__see_every_frame_that_is_not_padding(clips: ClipMaps):
    """The test above would pass if nothing were seen at all."""
    row = int(np.argmax(clips.valid.all(axis=1)))
    relevance = clips.relevance.copy()
    relevance[row, 0, N_FRAMES - 1] += 10
    assert not np.array_equal(
        figures_of(replace(clips, relevance=relevance))["frequency_share"], figures_of(clips)["frequency_share"]
    )


def test_recording_means__equal_a_slow_loop(clips: ClipMaps):
    means, n_clips = recording_means([clips], len(FOLDS))
    np.testing.assert_array_equal(n_clips, [6, 1, 2, 3, 1, 3, 4])
    for number, expected in enumerate(slow_recordings(clips, len(FOLDS))):
        for name in PROFILES:
            np.testing.assert_allclose(means[name][number], expected[name], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("size", [1, 3, 7, 19])
def test_recording_means__in_parts_equal_those_at_once(clips: ClipMaps, size: int):
    whole, n_whole = recording_means([clips], len(FOLDS))
    parts, n_parts = recording_means(in_parts(clips, size), len(FOLDS))
    np.testing.assert_array_equal(n_parts, n_whole)
    for name in PROFILES:
        np.testing.assert_array_equal(parts[name], whole[name], err_msg=name)


def test_recording_means__do_not_depend_on_the_order_of_clips(clips: ClipMaps):
    order = np.random.default_rng(3).permutation(20)
    means, n_clips = recording_means([part_of(clips, order)], len(FOLDS))
    np.testing.assert_array_equal(n_clips, recording_means([clips], len(FOLDS))[1])
    for name, values in means_of(clips).items():
        np.testing.assert_allclose(means[name], values, rtol=1e-12, err_msg=name)


def test_summarise__equals_a_slow_loop(clips: ClipMaps):
    recordings = slow_recordings(clips, len(FOLDS))
    figures = figures_of(clips)
    for name in ("mean_level_db", "mean_relevance", "relevance_in_padding", "frequency_share"):
        expected = slow_mean([recording[name] for recording in recordings])
        np.testing.assert_allclose(figures[name], expected, rtol=1e-12, err_msg=name)
    for name, source in (("band_share", "frequency_share"), ("band_energy_share", "energy_share")):
        by_band = [
            np.array([sum(recording[source][b] for b in np.flatnonzero(band)) for band in BANDS])
            for recording in recordings
        ]
        np.testing.assert_allclose(figures[name], slow_mean(by_band), rtol=1e-12, err_msg=name)


def test_summarise__draws_recordings_within_folds(clips: ClipMaps):
    """Intervals are those of the weights that the same random stream gives."""
    shares = means_of(clips)["frequency_share"]
    weights = recording_weights(FOLDS, 200, np.random.default_rng(5))
    figures = figures_of(clips)
    for name, values in (("frequency_share", shares), ("band_share", shares @ BANDS.T)):
        low, high = interval(weighted_means(values, weights), 0.95)
        np.testing.assert_allclose(figures[f"{name}_low"], low, rtol=1e-12)
        np.testing.assert_allclose(figures[f"{name}_high"], high, rtol=1e-12)
        assert (low < figures[name]).all()
        assert (figures[name] < high).all()


def test_summarise__weighs_recordings_equally_however_many_clips_they_have(clips: ClipMaps):
    again = np.concatenate([np.arange(20), *[np.flatnonzero(clips.recording == 2)] * 40])
    more = part_of(clips, again)
    assert len(more.recording) == 100
    before, after = figures_of(clips), figures_of(more)
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, rtol=1e-9, err_msg=name)


def test_summarise__finds_relevance_planted_in_one_band(clips: ClipMaps):
    relevance = np.zeros_like(clips.relevance)
    relevance[:, 3:6] = np.abs(clips.relevance[:, 3:6]) + 0.1
    figures = figures_of(replace(clips, relevance=relevance))
    for name in ("band_share", "band_share_low", "band_share_high"):
        np.testing.assert_allclose(figures[name], [0, 0, 1], err_msg=name)
    np.testing.assert_array_equal(figures["frequency_share"][:3], 0)
    assert figures["frequency_share"][3:].sum() == pytest.approx(1)


def test_summarise__counts_only_what_speaks_for_the_target(clips: ClipMaps):
    relevance = -np.abs(clips.relevance)
    relevance[:, 2] = 0.001
    np.testing.assert_allclose(figures_of(replace(clips, relevance=relevance))["band_share"], [0, 1, 0])


def test_summarise__gives_bands_the_sum_of_their_bins(clips: ClipMaps):
    figures = figures_of(clips)
    expected = [figures["frequency_share"][band].sum() for band in BANDS]
    np.testing.assert_allclose(figures["band_share"], expected, rtol=1e-12)
    assert figures["band_share"].sum() == pytest.approx(1)
    assert figures["band_energy_share"].sum() == pytest.approx(1)


def test_summarise__of_a_class_without_recordings_is_nan(clips: ClipMaps):
    nothing = part_of(clips, slice(0, 0))
    means, n_clips = recording_means([nothing], 0)
    assert n_clips.shape == (0,)
    figures = summarise(means, np.empty(0, np.int64), BANDS, bootstrap())
    assert figures.keys() == figures_of(clips).keys()
    for name, values in figures.items():
        assert np.shape(values) == np.shape(figures_of(clips)[name]), name
        assert np.isnan(values).all(), name


def test_summarise__of_a_single_recording_has_no_interval(clips: ClipMaps):
    figures = figures_of(part_of(clips, clips.recording == 0), np.array([4]))
    for name in ("frequency_share", "band_share"):
        assert np.isfinite(figures[name]).all()
        assert np.isnan(figures[f"{name}_low"]).all()
        assert np.isnan(figures[f"{name}_high"]).all()


def test_summarise__of_one_recording_in_each_fold_has_no_interval(clips: ClipMaps):
    """Nothing can be drawn anew within any fold: an interval without width would claim certainty."""
    figures = figures_of(part_of(clips, clips.recording < 3), np.array([1, 2, 3]))
    for name in ("frequency_share", "band_share"):
        assert np.isfinite(figures[name]).all()
        assert np.isnan(figures[f"{name}_low"]).all()
        assert np.isnan(figures[f"{name}_high"]).all()


def test_by_fold__equals_a_slow_loop(clips: ClipMaps):
    means = means_of(clips)
    figures = by_fold(means, FOLDS, BANDS, [1, 2, 3, 9])
    np.testing.assert_array_equal(figures["fold_n_recordings"], [3, 2, 2, 0])
    shares = [means["frequency_share"][number] for number in range(len(FOLDS))]
    for place, fold in enumerate((1, 2, 3)):
        inside = [shares[number] for number in range(len(FOLDS)) if FOLDS[number] == fold]
        expected = [slow_mean(inside)[band].sum() for band in BANDS]
        np.testing.assert_allclose(figures["fold_band_share"][place], expected, rtol=1e-12)
    assert np.isnan(figures["fold_band_share"][3]).all()
    assert np.isfinite(figures["fold_agreement"][:3]).all()
    assert np.isnan(figures["fold_agreement"][3])


def test_by_fold__of_a_class_without_recordings_is_nan(clips: ClipMaps):
    means, _ = recording_means([part_of(clips, slice(0, 0))], 0)
    figures = by_fold(means, np.empty(0, np.int64), BANDS, [1, 2])
    np.testing.assert_array_equal(figures["fold_n_recordings"], [0, 0])
    assert figures["fold_band_share"].shape == (2, len(BANDS))
    assert np.isnan(figures["fold_band_share"]).all()
    assert np.isnan(figures["fold_agreement"]).all()


def test_mean__leaves_out_what_is_absent():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]])
    np.testing.assert_array_equal(mean(values), [2, 5, np.nan])
