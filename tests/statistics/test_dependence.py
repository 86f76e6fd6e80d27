"""Intraclass correlation against slow algebra, a textbook and simulation; design effects; draws."""

import numpy as np
import pytest

from toolkit.statistics.bootstrap import Bootstrap
from toolkit.statistics.dependence import Sample, design_effect, draw, intraclass_correlation

JACKHAMMER = [79] * 3 + [55] + [30] * 23 + [1] * 18
"""1000 clips of 45 recordings, at most 79 of one: as in UrbanSound8K."""
DOG_BARK = [1] * 78 + [2] * 38 + [3] * 38 + [4] * 183
"""1000 clips of 337 recordings, at most 4 of one."""


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def recordings(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def slow_correlation(values: np.ndarray, recording: np.ndarray) -> float:
    """Rewrite the analysis of variance of one column, a number at a time."""
    groups: dict[int, list[float]] = {}
    for value, number in zip(values.tolist(), recording.tolist(), strict=True):
        if not np.isnan(value):
            groups.setdefault(number, []).append(value)
    everything = [value for group in groups.values() for value in group]
    n, k = len(everything), len(groups)
    if k < 2 or n == k or min(everything) == max(everything):
        return float("nan")
    mean = sum(everything) / n
    between = within = 0.0
    for group in groups.values():
        own = sum(group) / len(group)
        between += len(group) * (own - mean) ** 2
        within += sum((value - own) ** 2 for value in group)
    between, within = between / (k - 1), within / (n - k)
    n0 = (n - sum(len(group) ** 2 for group in groups.values()) / n) / (k - 1)
    return (between - within) / (between + (n0 - 1) * within)


@pytest.mark.parametrize("shape", [(), (4,), (3, 5)])
def test_intraclass_correlation__equals_slow_algebra(shape: tuple[int, ...]):
    draws = rng(1)
    recording = draws.permutation(recordings([1, 1, 2, 5, 9, 14]))
    values = draws.normal(size=(6, *shape))[recording] + draws.normal(size=(32, *shape))
    values[draws.random(values.shape) < 0.3] = np.nan
    found = intraclass_correlation(values, recording)
    expected = np.empty(shape)
    for cell in np.ndindex(shape):
        expected[cell] = slow_correlation(values[(slice(None), *cell)], recording)
    assert found.shape == shape
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_intraclass_correlation__of_equal_sizes_is_that_of_shrout_and_fleiss():
    """Their table 2, six targets and four judges: ICC(1,1) = .17."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    found = intraclass_correlation(np.ravel(ratings), recordings([4] * 6))
    assert found == pytest.approx(0.17, abs=0.005)


@pytest.mark.parametrize(("truth", "tolerance"), [(0.0, 0.005), (0.3, 0.03), (0.8, 0.03)])
def test_intraclass_correlation__recovers_the_truth(truth: float, tolerance: float):
    """Unequal sizes, 400 samples in the trailing axis; truncated at 0 they would have a mean of 0.012."""
    draws, recording = rng(2), recordings([1] * 10 + [2] * 10 + [10] * 10 + [40] * 5)
    of_recordings = draws.normal(scale=np.sqrt(truth), size=(35, 400))
    values = 50 + of_recordings[recording] + draws.normal(scale=np.sqrt(1 - truth), size=(len(recording), 400))
    found = intraclass_correlation(values, recording)
    assert found.mean() == pytest.approx(truth, abs=tolerance)


def test_intraclass_correlation__of_indicators_is_that_of_a_beta_binomial():
    """Rights and wrongs of recordings whose rates follow Beta(a, b) correlate by 1 / (a + b + 1)."""
    draws, recording = rng(3), recordings([2, 3, 5, 8, 12] * 30)
    right = draws.random((len(recording), 200)) < draws.beta(2, 1, size=(150, 200))[recording]
    assert intraclass_correlation(right, recording).mean() == pytest.approx(1 / 4, abs=0.01)


def test_intraclass_correlation__is_one_where_clips_of_a_recording_are_copies():
    recording = recordings([3, 1, 4])
    assert intraclass_correlation(np.array([0.1, 0.7, 0.4])[recording], recording) == pytest.approx(1)


def test_intraclass_correlation__is_negative_where_clips_of_a_recording_differ_most():
    assert intraclass_correlation(np.array([0, 1, 0, 1]), recordings([2, 2])) == pytest.approx(-1)


def test_intraclass_correlation__does_not_depend_on_origin_scale_and_order():
    draws, recording = rng(4), recordings([2, 5, 3, 1])
    values, order = draws.normal(size=11), draws.permutation(11)
    expected = intraclass_correlation(values, recording)
    found = intraclass_correlation(1e6 - 3 * values[order], 7 * recording[order] + 100)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "sizes"),
    [
        ([1.0, 2.0, 4.0], [3]),
        ([1.0, 2.0, 4.0], [1, 1, 1]),
        ([0.1] * 5, [2, 3]),
        ([0.3 - 0.2, 0.1, 0.1, 0.1], [2, 2]),
        ([np.nan] * 4, [2, 2]),
        ([1.0, np.nan, 3.0, np.nan], [2, 2]),
        ([1.0, 2.0, np.nan, np.nan], [2, 2]),
        ([], []),
    ],
)
def test_intraclass_correlation__is_nan_where_nothing_can_be_told(values: list[float], sizes: list[int]):
    assert np.isnan(intraclass_correlation(np.array(values), recordings(sizes)))


def test_intraclass_correlation__of_one_column_leaves_the_others_alone():
    values = np.array([[1.0, 1.0, np.nan], [1.1, 1.0, 2.0], [4.0, 1.0, np.nan], [4.2, 1.0, 3.0]])
    found = intraclass_correlation(values, recordings([2, 2]))
    np.testing.assert_array_equal(np.isnan(found), [False, True, True])
    assert found[0] > 0.9


@pytest.mark.parametrize(("sizes", "expected"), [(JACKHAMMER, [5.1, 13.4]), (DOG_BARK, [1.2, 1.8])])
def test_design_effect__is_that_of_the_sizes_in_urbansound8k(sizes: list[int], expected: list[float]):
    """The values that were computed from its metadata, for intraclass correlations of 0.1 and 0.3."""
    assert sum(sizes) == 1000
    found = design_effect(recordings(sizes), np.array([0.1, 0.3]))
    np.testing.assert_allclose(found, expected, atol=0.0501)


def test_design_effect__of_copies_is_their_number():
    """Four clips of every recording that are all the same are worth one."""
    assert design_effect(recordings([4] * 10), np.array(1.0)) == pytest.approx(4)


def test_design_effect__is_the_variance_of_a_mean_over_that_of_independent_clips():
    draws, recording = rng(5), recordings([1] * 10 + [6] * 5 + [30])
    values = draws.normal(scale=np.sqrt(0.3), size=(16, 20_000))[recording]
    values += draws.normal(scale=np.sqrt(0.7), size=values.shape)
    found = design_effect(recording, np.array(0.3))
    assert found == pytest.approx(values.mean(axis=0).var() * len(recording), rel=0.04)


def test_design_effect__has_the_shape_of_the_correlation_and_no_gain_below_zero():
    found = design_effect(recordings([2, 3]), np.array([[-0.4, 0.0], [np.nan, 1.0]]))
    np.testing.assert_allclose(found, [[1, 1], [np.nan, 2.6]])


def test_design_effect__of_no_clips_is_nan():
    assert np.isnan(design_effect(np.empty(0, np.int64), np.array(0.5)))


@pytest.fixture
def clips() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return block, stratum and recording of 200 clips; recording 1 is in two blocks, block 5 has one alone."""
    recording = rng(6).integers(0, 30, 200)
    block, stratum = recording // 10, recording % 4
    block[:3], stratum[:3], recording[:3] = 5, 1, 1
    return block, stratum, recording


def drawn(clips: tuple[np.ndarray, np.ndarray, np.ndarray], n_replicates: int = 50, seed: int = 1) -> Sample:
    return draw(*clips, Bootstrap(n_replicates, 0.95, rng(seed)))


def test_draw__groups_the_clips_of_a_recording_in_a_block(clips: tuple[np.ndarray, np.ndarray, np.ndarray]):
    sample, keys = drawn(clips), list(zip(*(each.tolist() for each in clips), strict=True))
    of_key = {key: set() for key in keys}
    for key, group in zip(keys, sample.group.tolist(), strict=True):
        of_key[key].add(group)
        assert sample.block[group] == key[0]
    assert all(len(groups) == 1 for groups in of_key.values())
    assert len(set.union(*of_key.values())) == len(of_key) == len(sample.block) == len(sample.strata)


def test_draw__keeps_strata_within_blocks_and_their_numbers_of_recordings(
    clips: tuple[np.ndarray, np.ndarray, np.ndarray],
):
    sample = drawn(clips)
    for stratum in set(sample.strata.tolist()):
        inside = sample.strata == stratum
        assert len(set(sample.block[inside].tolist())) == 1
        np.testing.assert_allclose(sample.weights[:, inside].sum(axis=1), inside.sum())
    assert len(set(sample.strata.tolist())) > len(set(sample.block.tolist()))


def test_draw__joins_lone_recordings_of_a_block_only():
    """Blocks 0 and 1 have a recording in each of two strata; block 2 has only one, which is always drawn."""
    sample = draw(
        np.array([0, 0, 1, 1, 2]), np.array([3, 4, 3, 4, 3]), np.arange(5), Bootstrap(80, 0.9, rng(2))
    )
    assert sample.strata[0] == sample.strata[1] != sample.strata[2] == sample.strata[3] != sample.strata[4]
    assert set(map(tuple, sample.weights[:, :2].tolist())) == {(0, 2), (2, 0)}
    np.testing.assert_array_equal(sample.weights[:, 4], 1)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_replicate_means__equal_a_slow_loop(
    clips: tuple[np.ndarray, np.ndarray, np.ndarray], shape: tuple[int, ...]
):
    sample, values = drawn(clips), rng(3).normal(size=(200, *shape))
    values[rng(4).random(values.shape) < 0.3] = np.nan
    found = sample.replicate_means(values)
    assert found.shape == (50, *shape)
    for replicate, weights in enumerate(sample.weights):
        for cell in np.ndindex(shape):
            column = values[(slice(None), *cell)]
            there = np.isfinite(column)
            expected = np.average(column[there], weights=weights[sample.group[there]])
            assert found[(replicate, *cell)] == pytest.approx(expected)


def test_replicate_means__are_nan_where_no_clip_with_a_value_is_drawn():
    nought = np.zeros(6, np.int64)
    sample = draw(nought, nought, np.arange(6), Bootstrap(60, 0.9, rng(5)))
    found = sample.replicate_means(np.array([1.0, *[np.nan] * 5]))
    np.testing.assert_array_equal(np.isnan(found), sample.weights[:, 0] == 0)
    assert 0 < np.isnan(found).sum() < 60


def test_strata_with__are_those_of_recordings_that_hold_some_of_the_clips(
    clips: tuple[np.ndarray, np.ndarray, np.ndarray],
):
    sample, some = drawn(clips), np.arange(200) % 17 == 0
    groups = sorted(set(sample.group[some].tolist()))
    np.testing.assert_array_equal(sample.strata_with(some), sample.strata[groups])
    assert 1 < len(groups) < len(sample.strata)


def test_draw__of_no_clips_has_no_groups():
    nothing = np.zeros(0, np.int64)
    sample = draw(nothing, nothing, nothing, Bootstrap(7, 0.9, rng(0)))
    assert sample.weights.shape == (7, 0)
    assert np.isnan(sample.replicate_means(np.zeros(0))).all()
