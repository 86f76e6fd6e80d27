"""Figures of one class against loops over recordings, and effects that were planted."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from toolkit.statistics import regions
from toolkit.statistics.alignment import AFTER, BEFORE
from toolkit.statistics.bootstrap import (
    PLAIN,
    SHARE,
    Bootstrap,
    collapsed_within,
    interval,
    recording_weights,
    weighted_means,
)
from toolkit.statistics.contrasts import Groups
from toolkit.statistics.permutation import OneSample, Recipe
from toolkit.statistics.permutation import test as permuted
from toolkit.statistics.profiles import MapMeans
from toolkit.statistics.regions import Bands, ClassClips

N_BINS = 6
BANDS = Bands(
    bins=np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], bool),
    width_hz=np.array([200.0, 100.0, 900.0]),
    width_erb=np.array([4.0, 2.0, 6.0]),
)
GROUPS = Groups(BANDS.bins, 0.1)
FOLDS = np.array([1, 2, 3])
OF_BINS = ("share", "share_against", "input_share", "power_share", "object_share")
RECIPE = Recipe(n_permutations=200, cluster_p=0.01, alpha=0.05)


def bootstrap(n_replicates: int = 200, seed: int = 5) -> Bootstrap:
    return Bootstrap(n_replicates, 0.95, np.random.default_rng(seed))


def class_of(recording: np.ndarray, fold: np.ndarray, seed: int = 1) -> ClassClips:
    """Return clips with profiles by chance."""
    rng = np.random.default_rng(seed)
    n = len(recording)
    return ClassClips(
        recording=recording,
        fold=fold,
        correct=rng.random(n) < 0.7,
        salience=rng.integers(0, 3, size=n),
        profiles={
            **{name: rng.dirichlet(np.full(N_BINS, 5), size=n) for name in OF_BINS},
            "object_density": rng.random((n, N_BINS)),
            "in_padding": rng.random(n),
            "at_edge": rng.random(n),
            "input_at_edge": rng.random(n),
        },
    )


@pytest.fixture
def clips() -> ClassClips:
    """Return 40 clips of 12 recordings of 1 to 8 clips in 3 folds; two clips have no positive relevance."""
    rng = np.random.default_rng(2)
    recording = np.sort(np.concatenate([np.arange(12), rng.integers(0, 12, size=28)]))
    clips = class_of(recording, np.arange(12) % 3 + 1)
    clips.profiles["share"][[0, 7]] = np.nan
    clips.profiles["at_edge"][3:20] = np.nan
    clips.profiles["input_at_edge"][3:20] = np.nan
    return clips


def by_recording(clips: ClassClips, name: str, chosen: np.ndarray) -> dict[int, np.ndarray]:
    """Rewrite means over chosen clips of each recording that has any with a value."""
    found = {}
    for number in range(len(clips.fold)):
        rows = [
            clips.profiles[name][clip]
            for clip in range(len(clips.recording))
            if clips.recording[clip] == number and chosen[clip]
        ]
        rows = [row for row in rows if np.isfinite(row).all()]
        if rows:
            found[number] = sum(rows) / len(rows)
    return found


def slow_mean(clips: ClassClips, name: str, chosen: np.ndarray) -> np.ndarray:
    rows = [*by_recording(clips, name, chosen).values()]
    return sum(rows) / len(rows)


def in_bands(by_bin: np.ndarray) -> np.ndarray:
    return np.array([sum(by_bin[..., b] for b in np.flatnonzero(band)) for band in BANDS.bins]).T


def test_describe__equals_a_loop_over_recordings(clips):
    chosen = clips.correct
    found = regions.describe(clips, chosen, BANDS, bootstrap())
    assert found["n_clips"] == chosen.sum()
    assert found["n_recordings"] == len(set(clips.recording[chosen].tolist()))
    share = slow_mean(clips, "share", chosen)
    np.testing.assert_allclose(found["frequency_share"], share)
    np.testing.assert_allclose(found["band_share"], in_bands(share))
    for name, of in (
        ("band_share_against", "share_against"),
        ("band_input_share", "input_share"),
        ("band_power_share", "power_share"),
    ):
        np.testing.assert_allclose(found[name], in_bands(slow_mean(clips, of, chosen)), err_msg=name)
    np.testing.assert_allclose(found["band_share_per_hz"], in_bands(share) / BANDS.width_hz)
    np.testing.assert_allclose(found["band_share_per_erb"], in_bands(share) / BANDS.width_erb)
    np.testing.assert_allclose(found["relevance_in_padding"], slow_mean(clips, "in_padding", chosen))
    expected = slow_mean(clips, "at_edge", chosen) / slow_mean(clips, "input_at_edge", chosen)
    np.testing.assert_allclose(found["relevance_at_edge"], expected)


def test_describe__draws_recordings_within_folds(clips):
    """Intervals are those of the weights that the same random stream gives to recordings with a share."""
    of = by_recording(clips, "share", clips.correct)
    folds, shares = clips.fold[[*of]], np.array([*of.values()])
    weights = recording_weights(folds, 200, np.random.default_rng(5))
    found = regions.describe(clips, clips.correct, BANDS, bootstrap())
    for name, values in (("frequency_share", shares), ("band_share", in_bands(shares))):
        low, high = interval(values.mean(axis=0), weighted_means(values, weights), folds, 0.95, SHARE)
        np.testing.assert_allclose(found[f"{name}_low"], low, rtol=1e-9)
        np.testing.assert_allclose(found[f"{name}_high"], high, rtol=1e-9)
        assert (low < found[name]).all()
        assert (found[name] < high).all()


def test_describe__weighs_recordings_equally_however_many_clips_they_have(clips):
    again = np.concatenate([np.arange(40), *[np.flatnonzero(clips.recording == 2)] * 20])
    more = ClassClips(
        clips.recording[again],
        clips.fold,
        clips.correct[again],
        clips.salience[again],
        {name: values[again] for name, values in clips.profiles.items()},
    )
    before = regions.describe(clips, clips.correct, BANDS, bootstrap())
    after = regions.describe(more, more.correct, BANDS, bootstrap())
    assert after["n_clips"] > before["n_clips"]
    for name in before.keys() - {"n_clips"}:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, err_msg=name)


def test_describe__of_no_clips_is_nan(clips):
    before = regions.describe(clips, clips.correct, BANDS, bootstrap(100))
    nothing = class_of(np.empty(0, np.int64), np.empty(0, np.int64))
    for each, chosen in ((clips, np.zeros(40, bool)), (nothing, np.empty(0, bool))):
        found = regions.describe(each, chosen, BANDS, bootstrap(100))
        assert found.keys() == before.keys()
        for name, values in found.items():
            assert values.shape == before[name].shape, name
            assert (values == 0).all() if name.startswith("n_") else np.isnan(values).all(), name


def test_describe__of_one_recording_has_no_interval(clips):
    found = regions.describe(clips, clips.recording == 4, BANDS, bootstrap(100))
    assert found["n_recordings"] == 1
    assert np.isfinite(found["band_share"]).all()
    assert np.isnan(found["band_share_low"]).all()


def maps_by_fold(clips: ClassClips, chosen: np.ndarray, maps: np.ndarray) -> MapMeans:
    means = MapMeans(clips.fold - 1, len(FOLDS), maps.shape[1:])
    means.add(clips.recording[chosen], maps[chosen])
    means.close()
    return means


def test_by_fold__equals_a_loop_over_folds(clips):
    chosen = clips.correct
    maps = np.random.default_rng(3).normal(size=(40, N_BINS, 4))
    found = regions.by_fold(clips, chosen, BANDS, maps_by_fold(clips, chosen, maps), np.arange(3), FOLDS)
    of = by_recording(clips, "share", chosen)
    of_maps = by_recording(replace(clips, profiles={"map": maps}), "map", chosen)
    for place, fold in enumerate(FOLDS):
        inside = [share for number, share in of.items() if clips.fold[number] == fold]
        np.testing.assert_allclose(found["fold_band_share"][place], in_bands(np.mean(inside, axis=0)))
        own = [each for number, each in of_maps.items() if clips.fold[number] == fold]
        others = [each for number, each in of_maps.items() if clips.fold[number] != fold]
        assert found["fold_n_recordings"][place] == len(own)
        expected = np.corrcoef(np.mean(own, axis=0).ravel(), np.mean(others, axis=0).ravel())[0, 1]
        assert found["fold_agreement"][place] == pytest.approx(expected)
    np.testing.assert_allclose(found["mean_relevance"], np.mean([*of_maps.values()], axis=0))


def test_by_fold__of_a_fold_without_recordings_is_nan(clips):
    chosen = clips.correct & (clips.fold[clips.recording] != 2)
    maps = np.random.default_rng(3).normal(size=(40, N_BINS, 4))
    found = regions.by_fold(clips, chosen, BANDS, maps_by_fold(clips, chosen, maps), np.arange(3), FOLDS)
    assert found["fold_n_recordings"][1] == 0
    assert np.isnan(found["fold_band_share"][1]).all()
    assert np.isnan(found["fold_agreement"]).tolist() == [False, True, False]


def test_object_in_bands__is_known_of_all_clips_and_equals_a_loop(clips):
    found = regions.object_in_bands(clips, BANDS)
    every = np.ones(40, bool)
    np.testing.assert_allclose(found["band_object_share"], in_bands(slow_mean(clips, "object_share", every)))
    density = slow_mean(clips, "object_density", every)
    expected = [np.mean(density[band]) for band in BANDS.bins]
    np.testing.assert_allclose(found["band_object_density"], expected)


def test_object_in_bands__is_absent_where_no_object_is_known(clips):
    unknown = {name: values for name, values in clips.profiles.items() if "object" not in name}
    assert regions.object_in_bands(replace(clips, profiles=unknown), BANDS) == {}


def test_dependence__of_copies_is_whole_and_of_independent_clips_nothing():
    recording = np.repeat(np.arange(60), 3)
    clips = replace(class_of(recording, np.arange(60) % 3 + 1), correct=np.ones(180, bool))
    independent = regions.dependence(clips, BANDS)
    assert (np.abs(independent["icc"]) < 0.3).all()
    copies = replace(clips, profiles={"share": clips.profiles["share"][3 * recording]})
    found = regions.dependence(copies, BANDS)
    np.testing.assert_allclose(found["icc"], 1)
    np.testing.assert_allclose(found["design_effect"], 3)


def test_dependence__looks_at_correct_clips_with_relevance(clips):
    changed = {**clips.profiles, "share": clips.profiles["share"].copy()}
    changed["share"][~clips.correct] = 1 / N_BINS
    before, after = (regions.dependence(each, BANDS) for each in (clips, replace(clips, profiles=changed)))
    np.testing.assert_array_equal(before["icc"], after["icc"])
    assert np.isfinite(before["icc"]).all()


def kinds_of(n_recordings: int, ratio: float, seed: int = 4) -> ClassClips:
    """Return a correct and a misclassified clip of every recording; the first has so much more in band 0."""
    rng = np.random.default_rng(seed)
    recording = np.repeat(np.arange(n_recordings), 2)
    own = rng.dirichlet(np.full(N_BINS, 8), size=n_recordings)
    share = own[recording]
    first = np.arange(2 * n_recordings) % 2 == 0
    more = np.where(BANDS.bins[0], ratio, 1.0) * share[first]
    share[first] = more / more.sum(axis=1, keepdims=True)
    return ClassClips(recording, np.arange(n_recordings) % 3 + 1, first, np.zeros(len(first)), {"share": share})


def kinds_in(clips: ClassClips) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return which clips are of either kind, of every comparison."""
    foreground, background = (clips.correct & (clips.salience == salience) for salience in (1, 2))
    return (clips.correct, ~clips.correct), (foreground, background)


def test_compare__equals_a_loop_over_recordings(clips):
    found = regions.compare(clips, GROUPS, bootstrap())
    even = GROUPS.floor * BANDS.bins.sum(axis=1) / N_BINS
    for place, pair in enumerate(kinds_in(clips)):
        n = [len(by_recording(clips, "share", chosen)) for chosen in pair]
        means = [slow_mean(clips, "share", chosen) for chosen in pair]
        assert found["comparison_n_first"][place] == n[0]
        assert found["comparison_n_second"][place] == n[1]
        first, second = (in_bands(each) + even for each in means)
        np.testing.assert_allclose(found["comparison_ratio"][place], first / second)
        logs = [np.log(each + GROUPS.floor / N_BINS) for each in means]
        assert found["comparison_correlation"][place] == pytest.approx(np.corrcoef(logs)[0, 1])


def test_compare__has_the_intervals_of_a_slow_loop_over_replicates(clips):
    """Recordings are drawn apart by fold and by the kinds that they hold; each is drawn once for both."""
    found = regions.compare(clips, GROUPS, bootstrap())
    rng, even = np.random.default_rng(5), GROUPS.floor * BANDS.bins.sum(axis=1) / N_BINS
    for place, pair in enumerate(kinds_in(clips)):
        of = [by_recording(clips, "share", chosen) for chosen in pair]
        either = sorted(of[0].keys() | of[1].keys())
        kinds = np.array([(n in of[0]) + 2 * (n in of[1]) for n in either])
        strata = collapsed_within(kinds, clips.fold[either])
        logs = []
        for weights in recording_weights(strata, 200, rng):
            sides = []
            for each in of:
                known = [(weight, each[n]) for weight, n in zip(weights, either, strict=True) if n in each]
                sides.append(sum(w * share for w, share in known) / sum(w for w, _ in known))
            logs.append(np.log((in_bands(sides[0]) + even) / (in_bands(sides[1]) + even)))
        fewer = min(of, key=len)
        low, high = interval(
            np.log(found["comparison_ratio"][place]),
            np.array(logs),
            strata[[n in fewer for n in either]],
            0.95,
            PLAIN,
        )
        np.testing.assert_allclose(found["comparison_ratio_low"][place], np.exp(low), rtol=1e-9)
        np.testing.assert_allclose(found["comparison_ratio_high"][place], np.exp(high), rtol=1e-9)


def test_compare__has_an_interval_where_one_kind_is_rare():
    """Lone recordings of both kinds drawn together would leave some replicates without the rare kind."""
    rng, n = np.random.default_rng(3), 24
    profiles = {"share": rng.dirichlet(np.ones(N_BINS), n)}
    clips = ClassClips(np.arange(n), np.arange(n) % 12, np.arange(n) >= 4, np.ones(n, int), profiles)
    found = regions.compare(clips, GROUPS, bootstrap(2000))
    assert found["comparison_n_second"][0] == 4
    assert np.isfinite(found["comparison_ratio_low"][0]).all()


def test_compare__draws_a_recording_that_holds_both_kinds_once():
    """What recordings do to both of their clips alike cancels: the interval is that of paired differences."""
    clips = kinds_of(30, 2.0)
    found = regions.compare(clips, Groups(BANDS.bins, 1e-6), bootstrap(500))
    of = [by_recording(clips, "share", chosen) for chosen in (clips.correct, ~clips.correct)]
    shares = [np.array([in_bands(share) for share in each.values()]) for each in of]
    means = [each.mean(axis=0) for each in shares]
    # To the first order, the log of a ratio of means moves as the difference of both, in units of the means.
    scaled = [each / mean for each, mean in zip(shares, means, strict=True)]
    reach = np.log(found["comparison_ratio_high"][0] / found["comparison_ratio_low"][0]) / 2
    paired = (scaled[0] - scaled[1]).std(axis=0, ddof=1) / np.sqrt(30)
    np.testing.assert_allclose(reach, stats.t.ppf(0.975, 27) * paired, rtol=0.2)
    apart = np.sqrt((scaled[0].var(axis=0, ddof=1) + scaled[1].var(axis=0, ddof=1)) / 30)
    assert (reach < 0.7 * 1.96 * apart).all()
    np.testing.assert_allclose(found["comparison_ratio"][0], means[0] / means[1], rtol=1e-5)
    assert found["comparison_ratio"][0, 0] > 1.2
    assert (found["comparison_ratio"][0, 1:] < 1).all()


def test_compare__is_not_moved_by_noise_that_one_kind_has_more_of():
    """Clips of one kind are noisier, and there is no other difference: the mean of log ratios would see one."""
    rng, recording = np.random.default_rng(12), np.repeat(np.arange(1500), 2)
    first = np.arange(3000) % 2 == 0
    share = np.where(first[:, None], *(rng.dirichlet(np.full(N_BINS, each), size=3000) for each in (1, 30)))
    clips = ClassClips(recording, np.arange(1500) % 3, first, np.zeros(3000), {"share": share})
    found = regions.compare(clips, Groups(BANDS.bins, 0.01), bootstrap(100))
    np.testing.assert_allclose(found["comparison_ratio"][0], 1, atol=0.06)
    logs = [
        np.mean([np.log(in_bands(row) + 0.002) for row in share[chosen]], axis=0) for chosen in (first, ~first)
    ]
    assert (np.exp(logs[0] - logs[1]) < 0.95).all()


def test_compare__has_as_many_degrees_of_freedom_as_the_rarer_kind():
    """Four recordings against sixty: what four say of their spread is little."""
    recording = np.repeat(np.arange(64), 2)
    fold = np.arange(64) % 2 + 1
    covered = []
    for seed in range(50):
        clips = replace(class_of(recording, fold, seed), correct=recording >= 4)
        found = regions.compare(clips, GROUPS, bootstrap(100, seed))
        low, high = found["comparison_ratio_low"][0], found["comparison_ratio_high"][0]
        assert np.isfinite(low).all(), "every replicate holds both kinds"
        covered.append((low <= 1) & (high >= 1))
    assert 0.9 < np.mean(covered) <= 1


def test_compare__of_kinds_without_two_recordings_has_no_interval(clips):
    only = replace(clips, correct=np.ones(40, bool), salience=np.where(clips.recording == 3, 2, 1))
    found = regions.compare(only, GROUPS, bootstrap(100))
    assert found["comparison_n_second"].tolist() == [0, 1]
    assert np.isnan(found["comparison_ratio"][0]).all()
    assert np.isfinite(found["comparison_ratio"][1]).all()
    assert np.isnan(found["comparison_ratio_low"]).all()
    assert np.isnan(found["comparison_correlation"][0])


def test_compare__of_no_clips_is_nan():
    nothing = class_of(np.empty(0, np.int64), np.empty(0, np.int64))
    found = regions.compare(nothing, GROUPS, bootstrap(100))
    assert found["comparison_ratio"].shape == (2, 3)
    for name, values in found.items():
        assert (values == 0).all() if "_n_" in name else np.isnan(values).all(), name


N_IN_TIME = 24
PLACE = (1, slice(BEFORE, BEFORE + 6))
"""Band, and the frames from the onset on, where relevance is planted."""


def shares_in_time(rng: np.random.Generator, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Return relevance and input by band and time from the onset, every recording with its own noise."""
    shape = (N_IN_TIME, 3, BEFORE + AFTER)
    found = []
    for each in (factor, 1.0):
        cells = rng.gamma(20, size=shape)
        cells[:, *PLACE] *= each
        found.append(cells / cells.sum(axis=(1, 2), keepdims=True))
    return found[0], found[1]


FLOOR = 0.1


def test_in_time__finds_what_was_planted_where_and_when():
    rng = np.random.default_rng(6)
    found = regions.in_time(shares_in_time(rng, 2.0), FLOOR, 10, RECIPE, rng)
    assert found["aligned_p"] == pytest.approx(1 / 201)
    inside = np.zeros((3, BEFORE + AFTER), bool)
    inside[PLACE] = True
    assert (found["aligned_ratio"][inside] > 1.5).all()
    assert (found["aligned_t"][inside] > 5).all()
    np.testing.assert_allclose(found["aligned_cluster_p"][inside], 1 / 201)
    elsewhere = ~inside & (found["aligned_cluster_p"] <= 0.05) & (found["aligned_ratio"] > 1)
    assert not elsewhere.any()


def test_in_time__finds_nothing_where_nothing_is():
    rng = np.random.default_rng(7)
    recipe = Recipe(100, 0.01, 0.05)
    found = [regions.in_time(shares_in_time(rng, 1.0), FLOOR, 10, recipe, rng) for _ in range(20)]
    assert np.mean([each["aligned_p"] <= 0.05 for each in found]) <= 0.2


def test_in_time__is_not_moved_by_a_band_that_holds_more_at_all_times():
    rng = np.random.default_rng(17)
    share, input_share = shares_in_time(rng, 1.0)
    share[:, 1] *= 3
    share /= share.sum(axis=(1, 2), keepdims=True)
    found = regions.in_time((share, input_share), FLOOR, 10, RECIPE, rng)
    assert found["aligned_p"] > 0.05
    np.testing.assert_allclose(found["aligned_ratio"], 1, atol=0.25)


def test_in_time__finds_nothing_in_noise_alone():
    """Relevance is input times noise, alike everywhere: skewed differences, and ratios near one."""
    recipe, wrong, ratios, flips = Recipe(100, 0.01, 0.05), [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        inputs = rng.gamma(5, size=(14, 3, BEFORE + AFTER))
        relevance = inputs * np.exp(rng.normal(size=inputs.shape))
        share, input_share = (each / each.sum(axis=(1, 2), keepdims=True) for each in (relevance, inputs))
        found = regions.in_time((share, input_share), FLOOR, 10, recipe, rng)
        wrong.append(found["aligned_p"] <= 0.05)
        ratios.append(found["aligned_ratio"])
        within = [each / each.sum(axis=2, keepdims=True) for each in (share, input_share)]
        flips.append(permuted(OneSample(within[0] - within[1]), recipe, rng).p <= 0.05)
    assert np.mean(wrong) <= 0.1
    assert np.mean(flips) > 0.3
    assert np.mean(ratios) == pytest.approx(1, abs=0.01)


def test_in_time__equals_loops_over_cells_and_knows_what_too_few_reach():
    rng = np.random.default_rng(8)
    share, input_share = shares_in_time(rng, 1.5)
    reach = rng.integers(BEFORE + 1, BEFORE + AFTER + 1, size=N_IN_TIME)
    reach[:12] = BEFORE + AFTER
    past = np.arange(BEFORE + AFTER) >= reach[:, None]
    for each in (share, input_share):
        each[np.broadcast_to(past[:, None], each.shape)] = np.nan
    share[0] = np.nan
    found = regions.in_time((share, input_share), FLOOR, 14, RECIPE, rng)
    few = 0
    for band, frame in np.ndindex(3, BEFORE + AFTER):
        of = [
            (share[n, band, frame], input_share[n, band, frame])
            for n in range(N_IN_TIME)
            if np.isfinite(share[n, band, frame])
        ]
        cell = band, frame
        assert found["aligned_n_recordings"][cell] == len(of)
        assert found["aligned_share"][cell] == pytest.approx(np.mean([one for one, _ in of]))
        within = [
            (one / np.nansum(share[n, band]), other / np.nansum(input_share[n, band]))
            for n, (one, other) in zip(np.flatnonzero(np.isfinite(share[:, band, frame])), of, strict=True)
        ]
        differences = [one - other for one, other in within]
        if len(of) < 14:
            few += 1
            for name in ("aligned_ratio", "aligned_t", "aligned_cluster_p"):
                assert np.isnan(found[name][cell])
        else:
            t = np.mean(differences) / (np.std(differences, ddof=1) / np.sqrt(len(of)))
            first, second = (np.mean(each) + FLOOR / (BEFORE + AFTER) for each in zip(*within, strict=True))
            assert found["aligned_ratio"][cell] == pytest.approx(first / second)
            assert found["aligned_t"][cell] == pytest.approx(t)
    assert 0 < few < 3 * (BEFORE + AFTER)


@pytest.mark.parametrize("n", [0, 9])
def test_in_time__of_too_few_recordings_makes_no_test(n):
    rng = np.random.default_rng(9)
    share, input_share = shares_in_time(rng, 2.0)
    found = regions.in_time((share[:n], input_share[:n]), FLOOR, 10, RECIPE, rng)
    assert (found["aligned_n_recordings"] == n).all()
    for name in ("aligned_p", "aligned_t", "aligned_cluster_p", "aligned_ratio"):
        assert np.isnan(found[name]).all(), name
    assert np.isfinite(found["aligned_share"]).all() == (n > 0)
    assert found["aligned_t"].shape == (3, BEFORE + AFTER)
