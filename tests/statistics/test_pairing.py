"""Differences between two runs against slow loops and scipy, and how often they are called certain."""

import numpy as np
import pytest
from scipy import stats

from toolkit.statistics.bootstrap import Bootstrap
from toolkit.statistics.pairing import (
    Difference,
    Judged,
    accuracies,
    fewest_differing,
    is_certain,
    shares,
    turned,
)

N_REPLICATES = 20_000


def bootstrap(n_replicates: int = 500, seed: int = 0) -> Bootstrap:
    return Bootstrap(n_replicates, 0.95, np.random.default_rng(seed))


def judged(n: int = 200, seed: int = 1, n_recordings: int = 40) -> Judged:
    """Clips of recordings that each have one class and one fold."""
    rng = np.random.default_rng(seed)
    recording = rng.integers(0, n_recordings, n)
    return Judged(recording % 3, 1 + recording % 4, recording, rng.random((2, n)) < [[0.5], [0.7]])


def one_clip_each(right: np.ndarray) -> Judged:
    """Recordings of one clip, of one class, in one fold."""
    n = right.shape[1]
    return Judged(np.zeros(n, np.int64), np.ones(n, np.int64), np.arange(n), right)


def test_accuracies__equal_a_slow_loop():
    clips = judged()
    found = accuracies(clips, 4, bootstrap())
    for at, chosen in enumerate([range(4), [0], [1], [2]]):
        rows = [row for row, label in enumerate(clips.label) if label in chosen]
        first, second = (sum(bool(right[row]) for row in rows) / len(rows) for right in clips.right)
        gains: dict[int, int] = {}
        for row in rows:
            gain = int(clips.right[1, row]) - int(clips.right[0, row])
            gains[clips.recording[row]] = gains.get(clips.recording[row], 0) + gain
        assert found.first[at] == pytest.approx(first)
        assert found.second[at] == pytest.approx(second)
        assert found.value[at] == pytest.approx(second - first)
        assert found.n_recordings[at] == len(gains)
        assert found.n_differing[at] == sum(gain != 0 for gain in gains.values())


def test_accuracies__of_a_class_without_clips_are_not_known():
    found = accuracies(judged(), 4, bootstrap())
    assert np.isnan([found.first[4], found.second[4], found.value[4], found.low[4], found.high[4]]).all()
    assert found.n_recordings[4] == found.n_differing[4] == 0


def test_accuracies__of_no_clips_are_not_known():
    nothing = np.zeros(0, np.int64)
    found = accuracies(Judged(nothing, nothing, nothing, np.zeros((2, 0), bool)), 2, bootstrap())
    assert np.isnan(found.value).all()
    assert np.isnan(found.low).all()
    assert found.n_recordings.tolist() == [0, 0, 0]


def test_accuracies__have_the_variance_of_a_mean_of_differences():
    """Of independent clips, the standard error is s / sqrt(n); limits are Student's on Fisher's scale."""
    clips = one_clip_each(np.random.default_rng(3).random((2, 60)) < [[0.5], [0.6]])
    found = accuracies(clips, 1, bootstrap(N_REPLICATES))
    change = clips.right[1].astype(float) - clips.right[0]
    reach = stats.t.ppf(0.975, 59) * stats.sem(change) / (1 - change.mean() ** 2)
    expected = np.tanh(np.arctanh(change.mean()) + np.array([-reach, reach]))
    np.testing.assert_allclose([found.low[0], found.high[0]], expected, atol=0.005)


def test_shares__have_the_interval_of_a_paired_t_test():
    """Differences are near zero, where Fisher's scale is straight."""
    rng = np.random.default_rng(4)
    first = rng.normal(0.2, 0.1, (30, 2))
    second = first + rng.normal([0.005, -0.01], 0.02, (30, 2))
    found = shares(first, second, np.ones(30), bootstrap(N_REPLICATES))
    for at in range(2):
        expected = stats.ttest_rel(second[:, at], first[:, at]).confidence_interval(0.95)
        np.testing.assert_allclose((found.low[at], found.high[at]), expected, atol=2e-4)
    np.testing.assert_allclose(found.first, first.mean(axis=0))
    np.testing.assert_allclose(found.second, second.mean(axis=0))
    assert found.n_recordings.tolist() == found.n_differing.tolist() == [30, 30]


def test_shares__of_hard_and_easy_recordings_cancel():
    """What both runs have in common adds nothing: the interval is far narrower than that of either mean."""
    rng = np.random.default_rng(5)
    first = rng.uniform(0, 1, (40, 1))
    found = shares(first, first + rng.normal(0.01, 0.001, (40, 1)), np.ones(40), bootstrap())
    assert 0 < found.low[0] < 0.01 < found.high[0] < 0.02
    assert found.high[0] - found.low[0] < stats.sem(first[:, 0]) / 10


def test_shares__are_compared_within_folds():
    """Networks of one fold differ from those of another: that is no spread of recordings."""
    fold = np.repeat([1, 2, 3, 4], 10)
    rng = np.random.default_rng(6)
    first = np.full((40, 1), 0.3)
    second = first + 0.05 * (fold[:, None] - 2.5) + rng.normal(0, 0.01, (40, 1))
    within, across = (shares(first, second, of, bootstrap()) for of in (fold, np.ones(40)))
    assert within.high[0] - within.low[0] < (across.high[0] - across.low[0]) / 3


def test_shares__of_no_recording_are_not_known():
    found = shares(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), bootstrap())
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.n_recordings.tolist() == [0, 0, 0]


def test_accuracies__gain_nothing_from_copies_of_clips():
    once = one_clip_each(np.random.default_rng(7).random((2, 30)) < 0.5)
    often = Judged(
        *(np.repeat(values, 10) for values in (once.label, once.fold, once.recording)),
        np.repeat(once.right, 10, axis=1),
    )
    few, many = (accuracies(clips, 1, bootstrap()) for clips in (once, often))
    np.testing.assert_allclose(many.low, few.low)
    np.testing.assert_allclose(many.high, few.high)
    assert many.n_recordings.tolist() == few.n_recordings.tolist()


def test_differences__of_equal_runs_are_nothing():
    clips = judged()
    same = Judged(clips.label, clips.fold, clips.recording, clips.right[[0, 0]])
    found = accuracies(same, 3, bootstrap())
    assert found.value.tolist() == [0] * 4
    assert found.n_differing.tolist() == [0] * 4
    assert np.isnan(found.low).all()
    assert not is_certain(found, 0.95, 1).any()
    assert turned(same, 3).tolist() == [[0] * 4, [0] * 4]


def test_differences__of_runs_the_other_way_round_change_their_sign():
    clips = judged()
    back = Judged(clips.label, clips.fold, clips.recording, clips.right[::-1])
    there, here = (accuracies(each, 3, bootstrap()) for each in (clips, back))
    np.testing.assert_allclose(there.value, -here.value)
    np.testing.assert_allclose(there.low, -here.high)
    np.testing.assert_array_equal(turned(clips, 3), turned(back, 3)[::-1])


def test_accuracies__stay_within_their_range():
    right = np.array([[False] * 20, [True] * 19 + [False]])
    found = accuracies(one_clip_each(right), 1, bootstrap())
    assert found.value[0] == 0.95
    assert 0 < found.low[0] < 0.95 < found.high[0] < 1


def test_turned__counts_recordings_that_went_past_half():
    """Recording 0 of class 0 went from 1/3 to 2/3 right, that of class 1 back, recording 1 only to half."""
    label = np.array([0, 0, 0, 1, 1, 0, 0])
    recording = np.array([0, 0, 0, 0, 0, 1, 1])
    right = np.array([[1, 0, 0, 1, 1, 0, 0], [1, 0, 1, 0, 0, 1, 0]], bool)
    clips = Judged(label, np.ones(7, np.int64), recording, right)
    assert turned(clips, 2).tolist() == [[1, 1, 0], [1, 0, 1]]


NO_SPREAD = {"low": np.nan, "high": np.nan}


def difference(**changed: float) -> Difference:
    known = {
        "first": 0.5,
        "second": 0.6,
        "value": 0.1,
        "low": 0.02,
        "high": 0.18,
        "n_recordings": 20,
        "n_differing": 8,
        "n_rising": 8,
    }
    return Difference(**{name: np.array([value]) for name, value in (known | changed).items()})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"value": -0.1, "low": -0.18, "high": -0.02}, True),
        ({"low": -0.001}, False),
        ({"low": 0.0}, False),
        ({"low": np.nan, "high": np.nan}, False),
        ({"n_recordings": 10}, True),
        ({"n_recordings": 9}, False),
        ({"n_differing": 6}, True),
        ({"n_differing": 5}, False),
        ({**NO_SPREAD, "n_differing": 20, "n_rising": 20}, True),
        ({**NO_SPREAD, "n_differing": 20, "n_rising": 0}, True),
        ({**NO_SPREAD, "n_differing": 20, "n_rising": 12}, False),
        ({**NO_SPREAD, "n_differing": 19, "n_rising": 19}, False),
        ({**NO_SPREAD, "n_recordings": 9, "n_differing": 9, "n_rising": 9}, False),
    ],
)
def test_is_certain__asks_for_an_interval_without_0_and_recordings_enough(changed, expected):
    assert is_certain(difference(**changed), 0.95, 10).tolist() == [expected]


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95, 0.99, 0.999])
def test_fewest_differing__is_what_a_sign_test_needs(confidence):
    n = fewest_differing(confidence)
    assert stats.binomtest(n, n).pvalue <= 1 - confidence
    assert stats.binomtest(n - 1, n - 1).pvalue > 1 - confidence


def clusters(rng: np.random.Generator, lift: float) -> Judged:
    """Eight recordings in each of four folds, of 1 to 6 clips each; either run finds others of them hard."""
    size = rng.integers(1, 7, 32)
    recording = np.repeat(np.arange(32), size)
    chance = np.clip(rng.beta(2, 2, 32) + np.array([[0], [lift]]) + rng.normal(0, 0.15, (2, 32)), 0, 1)
    right = rng.random((2, len(recording))) < chance[:, recording]
    return Judged(np.zeros(len(recording), np.int64), 1 + recording % 4, recording, right)


def test_is_certain__is_wrong_as_seldom_as_it_says():
    """Runs that are alike but for chance: one in twenty is called different, not more."""
    rng = np.random.default_rng(8)
    called = [
        is_certain(accuracies(clusters(rng, 0), 1, bootstrap(200, seed)), 0.95, 10)[0] for seed in range(400)
    ]
    assert 0.02 < np.mean(called) < 0.085


def test_is_certain__finds_what_is_there():
    rng = np.random.default_rng(9)
    called = [
        is_certain(accuracies(clusters(rng, 0.25), 1, bootstrap(200, seed)), 0.95, 10)[0] for seed in range(60)
    ]
    assert np.mean(called) > 0.75
