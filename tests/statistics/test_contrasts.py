"""Ratios of shares, their uncertainty and their tests: constructed data, slow loops, another algebra."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from toolkit.statistics import contrasts
from toolkit.statistics.bootstrap import Bootstrap, recording_weights
from toolkit.statistics.contrasts import Contrast, Groups
from toolkit.statistics.permutation import AgainstRest, OneSample, Recipe, Resampled, ResampledAgainstRest

N_BINS = 12
INSIDE = np.kron(np.eye(4, dtype=bool), np.ones((1, 3), bool)).astype(bool)
BANDS = Groups(INSIDE, 0.1)
BARE = Groups(INSIDE, 0.0)
FOLDS = np.arange(1, 5)
RECIPE = Recipe(n_permutations=200, cluster_p=0.01, alpha=0.05)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def bootstrap(n_replicates: int = 200, seed: int = 5) -> Bootstrap:
    return Bootstrap(n_replicates, 0.95, np.random.default_rng(seed))


def spreads(rng: np.random.Generator, n: int, concentration: float = 40) -> np.ndarray:
    """Return how ``n`` recordings spread something over bins."""
    return rng.dirichlet(np.full(N_BINS, concentration), size=n)


def with_more(shares: np.ndarray, bins: np.ndarray, factor: float) -> np.ndarray:
    """Return shares of which some bins hold so many times as much, and the others less of the rest."""
    inside = factor * shares[:, bins].sum(axis=1, keepdims=True)
    moved = np.empty_like(shares)
    moved[:, bins] = factor * shares[:, bins]
    moved[:, ~bins] = shares[:, ~bins] / shares[:, ~bins].sum(axis=1, keepdims=True) * (1 - inside)
    return moved


def two_groups(rng: np.random.Generator, n: int = 60, n_members: int = 15) -> Contrast:
    """Return noise: a class and others, unevenly over four folds."""
    fold = rng.integers(1, 5, size=n)
    members = rng.permutation(np.arange(n) < n_members)
    return Contrast(spreads(rng, n, 3), fold, BANDS, members=members)


def one_sample(rng: np.random.Generator, n: int = 20) -> Contrast:
    """Return noise: relevance and input of recordings that have nothing in common."""
    return Contrast(spreads(rng, n, 3), rng.integers(1, 5, size=n), BANDS, reference=spreads(rng, n, 3))


def everyone(contrast: Contrast) -> np.ndarray:
    return np.ones((1, len(contrast.fold)))


def in_bands(by_bin: np.ndarray) -> np.ndarray:
    """Add up bins by band, one band after another."""
    return np.stack([sum(by_bin[:, b] for b in np.flatnonzero(band)) for band in INSIDE], axis=1)


def fitted(
    values: np.ndarray, members: np.ndarray, fold: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Fit a constant for every fold and one difference between class and others, by least squares."""
    columns = [members.astype(float), *[(fold == each).astype(float) for each in np.unique(fold)]]
    root = np.sqrt(np.ones(len(fold)) if weights is None else weights)[:, None]
    return np.linalg.lstsq(root * np.stack(columns, axis=1), root * values, rcond=None)[0][0]


def slow_log_ratio(contrast: Contrast, weights: np.ndarray | None = None) -> np.ndarray:
    """Rewrite log ratios by band: of mean shares to mean input, or to the class less what a fit says."""
    weights = np.ones(len(contrast.fold)) if weights is None else weights
    members = np.ones(len(contrast.fold), bool) if contrast.members is None else contrast.members
    share = np.average(in_bands(contrast.share)[members], axis=0, weights=weights[members])
    if contrast.members is None:
        other = np.average(in_bands(contrast.reference), axis=0, weights=weights)
    else:
        other = share - fitted(in_bands(contrast.share), members, contrast.fold, weights)
    even = np.array([contrast.bands.floor * sum(band) / N_BINS for band in INSIDE])
    return np.log((share + even) / (other + even))


def test_groups__add_up_their_bins(rng):
    shares = spreads(rng, 5)
    shares[3] = np.nan
    np.testing.assert_allclose(BANDS.of(shares), in_bands(shares), rtol=1e-12)
    replicates = rng.dirichlet(np.ones(N_BINS), size=(2, 5))
    np.testing.assert_allclose(BANDS.of(replicates)[1], in_bands(replicates[1]), rtol=1e-12)


def test_groups__give_log_ratios_of_a_slow_loop(rng):
    share, other = BANDS.of(spreads(rng, 5, 1)), BANDS.of(spreads(rng, 5, 1))
    found = BANDS.log_ratio(share, other)
    for row, band in np.ndindex(5, 4):
        even = 0.1 * 3 / N_BINS
        expected = np.log(share[row, band] + even) - np.log(other[row, band] + even)
        np.testing.assert_allclose(found[row, band], expected, rtol=1e-9)


def test_groups__of_uneven_width_add_the_floor_by_width():
    uneven = Groups(np.array([np.arange(N_BINS) < 9, np.arange(N_BINS) >= 9]), 0.5)
    found = uneven.log_ratio(np.array([0.9, 0.1]), np.array([0.75, 0.25]))
    np.testing.assert_allclose(np.exp(found), [(0.9 + 0.375) / (0.75 + 0.375), (0.1 + 0.125) / (0.25 + 0.125)])


def test_groups__of_nothing_have_finite_ratios_and_less_than_nothing_counts_as_nothing():
    """What the others would have is a difference, which by chance may be below zero."""
    share, nothing, less = np.full(4, 0.25), np.zeros(4), np.full(4, -0.2)
    assert np.isfinite(BANDS.log_ratio(nothing, share)).all()
    np.testing.assert_allclose(np.exp(BANDS.log_ratio(share, nothing)), 0.275 / 0.025)
    np.testing.assert_array_equal(BANDS.log_ratio(share, less), BANDS.log_ratio(share, nothing))
    np.testing.assert_array_equal(BANDS.log_ratio(nothing, nothing), 0)


def test_single_bins__are_every_bin_on_its_own(rng):
    groups, shares = contrasts.single_bins(N_BINS, 0.3), spreads(rng, 3)
    np.testing.assert_array_equal(groups.of(shares), shares)
    even = np.full(N_BINS, 1 / N_BINS)
    np.testing.assert_allclose(np.exp(groups.log_ratio(2 * even, even)), 2.3 / 1.3)
    contrast = Contrast(shares, np.arange(3), BANDS)
    np.testing.assert_array_equal(contrast.bins.bins, np.eye(N_BINS, dtype=bool))
    assert contrast.bins.floor == BANDS.floor


def test_against_input__finds_twice_the_share(rng):
    inputs = spreads(rng, 40)
    contrast = contrasts.against_input(with_more(inputs, INSIDE[1], 2), inputs, np.arange(40) % 4, BARE)
    ratio = contrasts.estimates(contrast, bootstrap())
    np.testing.assert_allclose(ratio["band_ratio"][1], 2, rtol=1e-9)
    np.testing.assert_allclose(ratio["bin_ratio"][3:6], 2, rtol=1e-9)
    assert (ratio["band_ratio"][[0, 2, 3]] < 1).all()


def test_against_input__of_relevance_spread_as_input_is_one(rng):
    inputs = spreads(rng, 20)
    contrast = contrasts.against_input(inputs, inputs.copy(), np.arange(20) % 4, BANDS)
    np.testing.assert_array_equal(contrast.difference(contrast.bins), 0)
    np.testing.assert_allclose(contrasts.estimates(contrast, bootstrap())["band_ratio"], 1, rtol=1e-12)
    found = contrasts.tests(contrast, RECIPE, bootstrap())
    assert found["p"] == 1
    np.testing.assert_array_equal(found["band_p"], 1)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_against_input__ratio_is_mean_share_by_mean_input_share(rng, floor):
    """Of the data as they are, and exactly: whoever divides the two that are written must find it."""
    share, inputs = spreads(rng, 17, 2), spreads(rng, 17, 2)
    contrast = contrasts.against_input(share, inputs, np.arange(17) % 4, Groups(INSIDE, floor))
    found = contrasts.estimates(contrast, bootstrap(100))
    means = [sum(rows) / 17 for rows in (share, inputs)]
    bands = [in_bands(each[None])[0] + floor * 3 / N_BINS for each in means]
    np.testing.assert_allclose(found["band_ratio"], bands[0] / bands[1], rtol=1e-12)
    bins = [each + floor / N_BINS for each in means]
    np.testing.assert_allclose(found["bin_ratio"], bins[0] / bins[1], rtol=1e-12)


def test_against_input__a_floor_pulls_ratios_towards_one(rng):
    inputs = spreads(rng, 30)
    more = with_more(inputs, INSIDE[1], 2)
    ratios = [
        contrasts.estimates(
            contrasts.against_input(more, inputs, np.arange(30) % 4, Groups(INSIDE, floor)), bootstrap(100)
        )["band_ratio"][1]
        for floor in (1e-6, 0.1, 1.0)
    ]
    assert ratios[0] > ratios[1] > ratios[2] > 1
    assert ratios[1] == pytest.approx(2.1 / 1.1, rel=0.05)


def test_against_input__leaves_out_recordings_without_one_of_the_two(rng):
    share, inputs = spreads(rng, 6), spreads(rng, 6)
    share[1], inputs[4] = np.nan, np.nan
    contrast = contrasts.against_input(share, inputs, np.arange(6), BANDS)
    kept = [0, 2, 3, 5]
    assert contrast.fold.tolist() == kept
    assert (contrast.n_recordings, contrast.n_others) == (4, 0)
    np.testing.assert_array_equal(contrast.share, share[kept])
    np.testing.assert_array_equal(contrast.reference, inputs[kept])


def test_against_rest__finds_twice_the_share_of_others_whatever_folds_do(rng):
    fold, members = np.arange(200) % 4, np.arange(200) % 5 == 0
    networks = rng.dirichlet(np.full(N_BINS, 5), size=4)
    shares = np.array([rng.dirichlet(400 * networks[each]) for each in fold])
    shares[members] = with_more(shares[members], INSIDE[2], 2)
    assert (shares > 0).all()
    contrast = contrasts.against_rest(shares, members, fold, BARE)
    assert (contrast.n_recordings, contrast.n_others) == (40, 160)
    np.testing.assert_allclose(contrasts.estimates(contrast, bootstrap())["band_ratio"][2], 2, rtol=0.1)


def test_against_rest__finds_it_where_folds_differ_and_some_lack_the_class(rng):
    """The means of all others would not: half of them are in folds that look elsewhere."""
    networks = np.stack([np.full(N_BINS, 1 / N_BINS)] * 4)
    networks[2:] = with_more(networks[2:], INSIDE[2], 0.2)
    fold = np.repeat(np.arange(4), 100)
    members = (fold < 2) & (np.arange(400) % 100 < np.where(fold == 0, 30, 10))
    shares = np.array([rng.dirichlet(400 * networks[each]) for each in fold])
    shares[members] = with_more(shares[members], INSIDE[2], 2)
    contrast = contrasts.against_rest(shares, members, fold, BARE)
    found = np.exp(contrast.log_ratio(BARE, everyone(contrast))[0])
    np.testing.assert_allclose(found[2], 2, rtol=0.03)
    naive = BARE.of(shares[members].mean(axis=0) / shares[~members].mean(axis=0)) / 3
    assert naive[2] > 2.6
    limits = contrasts.estimates(contrast, bootstrap())
    assert limits["band_ratio_low"][2] < 2 < limits["band_ratio_high"][2]
    assert limits["band_ratio_high"][2] / limits["band_ratio_low"][2] < 1.2


def test_against_rest__leaves_out_recordings_without_shares(rng):
    shares, members = spreads(rng, 6), np.arange(6) < 3
    shares[[0, 5]] = np.nan
    contrast = contrasts.against_rest(shares, members, np.zeros(6), BANDS)
    assert (contrast.n_recordings, contrast.n_others) == (2, 2)
    assert contrast.members.tolist() == [True, True, False, False]


def test_designs__are_differences_of_shares_and_against_input_two_must_agree(rng):
    alone, among = one_sample(rng), two_groups(rng)
    flips, drawn = alone.designs(BANDS)
    assert (type(flips), type(drawn)) == (OneSample, Resampled)
    for design in (flips, drawn):
        np.testing.assert_allclose(design.values, in_bands(alone.share) - in_bands(alone.reference))
    of_rest = among.designs(among.bins)
    assert [type(design) for design in of_rest] == [AgainstRest, ResampledAgainstRest]
    for rest in of_rest:
        np.testing.assert_array_equal(rest.values, among.share)
        np.testing.assert_array_equal(rest.members, among.members)
        np.testing.assert_array_equal(rest.strata, among.fold)


def test_effect__of_one_sample_is_the_mean_difference(rng):
    contrast = one_sample(rng)
    weights = recording_weights(contrast.strata, 5, rng)
    values = in_bands(contrast.share) - in_bands(contrast.reference)
    expected = [np.average(values, axis=0, weights=each) for each in weights]
    np.testing.assert_allclose(contrast.effect(BANDS, weights), expected, atol=1e-12)


def test_effect__equals_a_least_squares_fit_with_a_constant_for_every_fold(rng):
    contrast = two_groups(rng)
    expected = fitted(in_bands(contrast.share), contrast.members, contrast.fold)
    np.testing.assert_allclose(contrast.effect(BANDS, everyone(contrast))[0], expected, atol=1e-12)


def test_effect__of_a_replicate_is_the_fit_to_that_replicate(rng):
    """Also where folds hold more or less of the class, or none of it."""
    fold = np.repeat([1, 2, 3, 4], [20, 12, 10, 20])
    members = (np.arange(62) < 12) | ((fold == 2) & (np.arange(62) % 4 == 0)) | (np.arange(62) > 59)
    contrast = Contrast(spreads(rng, 62, 3), fold, BANDS, members=members)
    weights = recording_weights(contrast.strata, 20, rng)
    expected = [fitted(in_bands(contrast.share), members, fold, each) for each in weights]
    np.testing.assert_allclose(contrast.effect(BANDS, weights), expected, atol=1e-12)
    logs = [slow_log_ratio(contrast, each) for each in weights]
    np.testing.assert_allclose(contrast.log_ratio(BANDS, weights), logs, atol=1e-9)


def test_effect__does_not_hang_on_folds_without_the_class(rng):
    fold, members = np.repeat([1, 2], 20), np.arange(40) < 8
    shares = spreads(rng, 40, 3)
    changed = np.where((fold == 2)[:, None], spreads(rng, 40, 0.3), shares)
    found = [
        contrasts.estimates(contrasts.against_rest(each, members, fold, BANDS), bootstrap())
        for each in (shares, changed)
    ]
    for name in ("band_ratio", "band_ratio_low", "band_ratio_high"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-9)


def test_effect__is_whole_where_the_class_is_absent_from_some_folds(rng):
    """What folds do is taken away, and nothing of what the class does."""
    fold = np.repeat([1, 2, 3, 4], [20, 10, 10, 20])
    members = (np.arange(60) < 10) | (np.arange(60) > 54)
    of_fold = rng.normal(size=(5, N_BINS))
    values = of_fold[fold] + 1.0 * members[:, None]
    contrast = Contrast(values, fold, BANDS, members=members)
    np.testing.assert_allclose(contrast.effect(contrast.bins, everyone(contrast))[0], 1, rtol=1e-9)


def test_effect__is_unknown_where_no_fold_holds_both(rng):
    contrast = Contrast(spreads(rng, 8), np.repeat([1, 2], 4), BANDS, members=np.arange(8) < 4)
    assert np.isnan(contrast.effect(BANDS, everyone(contrast))).all()
    for name, values in contrasts.estimates(contrast, bootstrap(100)).items():
        assert np.isnan(values).all(), name


@pytest.mark.parametrize("with_rest", [False, True])
def test_log_ratio__equals_slow_algebra(rng, with_rest):
    contrast = two_groups(rng) if with_rest else one_sample(rng)
    expected = slow_log_ratio(contrast)
    np.testing.assert_allclose(contrast.log_ratio(BANDS, everyone(contrast))[0], expected, atol=1e-9)
    ratios = contrasts.estimates(contrast, bootstrap(100))["band_ratio"]
    np.testing.assert_allclose(ratios, np.exp(expected), rtol=1e-9)


def slow_errors(contrast: Contrast, n_replicates: int) -> np.ndarray:
    """Draw recordings anew, n - 1 of n within folds of the class and of the others; return the spread."""
    rng = np.random.default_rng(77)
    members = np.ones(len(contrast.fold), bool) if contrast.members is None else contrast.members
    found = []
    for _ in range(n_replicates):
        weights = np.zeros(len(contrast.fold))
        for side in (members, ~members):
            for fold in np.unique(contrast.fold):
                inside = np.flatnonzero(side & (contrast.fold == fold))
                if len(inside):
                    drawn = rng.choice(inside, size=len(inside) - 1)
                    np.add.at(weights, drawn, len(inside) / (len(inside) - 1))
        found.append(slow_log_ratio(contrast, weights))
    return np.std(found, axis=0, ddof=1)


def balanced(rng: np.random.Generator, *, with_rest: bool) -> Contrast:
    """Return noise of 6 recordings of a class in each of 4 folds, and 12 others."""
    n = 72 if with_rest else 24
    fold, members = 1 + np.arange(n) % 4, np.arange(n) < 24
    if with_rest:
        return Contrast(spreads(rng, n), fold, BANDS, members=members)
    return Contrast(spreads(rng, n), fold, BANDS, reference=spreads(rng, n))


@pytest.mark.parametrize("with_rest", [False, True])
def test_estimates__have_the_intervals_of_a_slow_bootstrap(rng, with_rest):
    contrast = balanced(rng, with_rest=with_rest)
    found = contrasts.estimates(contrast, bootstrap(4000))
    error = slow_errors(contrast, 2000)
    # 24 recordings of the class (the fewer) in 4 folds leave 20 degrees of freedom.
    reach = stats.t.ppf(0.975, 20) * error
    middle = np.log(found["band_ratio"])
    np.testing.assert_allclose(np.log(found["band_ratio_high"]) - middle, reach, rtol=0.1)
    np.testing.assert_allclose(middle - np.log(found["band_ratio_low"]), reach, rtol=0.1)


def covered(contrast: Contrast, truth: np.ndarray, seed: int) -> np.ndarray:
    found = contrasts.estimates(contrast, bootstrap(100, seed))
    return (found["band_ratio_low"] <= truth) & (truth <= found["band_ratio_high"])


@pytest.mark.parametrize("n", [4, 15, 40])
def test_estimates__cover_the_true_ratio_to_input_as_often_as_they_say(n):
    """Expected shares are known of Dirichlet's: their parameters, divided by the sum."""
    rng = np.random.default_rng(n)
    of_share = np.repeat([1.0, 2.0, 3.0, 4.0], 3)
    truth = in_bands(of_share[None] / of_share.sum())[0] / 0.25
    found = []
    for seed in range(100):
        share, inputs = rng.dirichlet(3 * of_share, size=n), spreads(rng, n, 6)
        found.append(covered(contrasts.against_input(share, inputs, np.arange(n) % 3, BARE), truth, seed))
    assert 0.91 <= np.mean(found) <= 0.995


@pytest.mark.parametrize(("n_members", "n_others"), [(4, 60), (15, 45)])
def test_estimates__cover_the_true_ratio_to_the_rest_as_often_as_they_say(n_members, n_others):
    """Few recordings of a class against many others are few: their spread is known from these alone."""
    rng, n = np.random.default_rng(n_members), n_members + n_others
    fold, members = np.arange(n) % 3, np.arange(n) < n_members
    truth = np.array([2 / 3, 2.0, 2 / 3, 2 / 3])
    found = []
    for seed in range(100):
        shares = rng.dirichlet(np.full(N_BINS, 6), size=n)
        shares[members] = rng.dirichlet(72 * np.repeat(truth, 3) / N_BINS, size=n_members)
        found.append(covered(contrasts.against_rest(shares, members, fold, BARE), truth, seed))
    assert 0.91 <= np.mean(found) <= 0.995


def test_estimates__cover_where_folds_hold_the_class_unevenly():
    """And are no wider than they need be: replicates are of the same fit as the estimate."""
    rng, fold = np.random.default_rng(8), np.repeat(np.arange(4), 20)
    members = np.isin(np.arange(80), [*range(10), *range(20, 24), 40, 41])
    found, middle, reach = [], [], []
    for seed in range(150):
        contrast = contrasts.against_rest(spreads(rng, 80, 6), members, fold, BARE)
        estimates = contrasts.estimates(contrast, bootstrap(100, seed))
        found.append((estimates["band_ratio_low"] <= 1) & (estimates["band_ratio_high"] >= 1))
        middle.append(np.log(estimates["band_ratio"]))
        reach.append(np.log(estimates["band_ratio_high"] / estimates["band_ratio_low"]) / 2)
    assert 0.92 <= np.mean(found) <= 0.98
    # 16 recordings in 3 folds leave 13 degrees of freedom.
    assert np.mean(reach) / stats.t.ppf(0.975, 13) == pytest.approx(np.std(middle), rel=0.08)


def test_estimates__of_a_single_recording_are_nan_and_have_the_same_shapes(rng):
    many = contrasts.estimates(two_groups(rng), bootstrap(100))
    alone = two_groups(rng, n_members=1)
    single = one_sample(rng, 1)
    for contrast in (alone, single):
        found = contrasts.estimates(contrast, bootstrap(100))
        assert found.keys() == many.keys()
        for name, values in found.items():
            assert values.shape == many[name].shape
            assert np.isnan(values).all(), name


def test_estimates__of_no_recordings_are_nan():
    nothing = contrasts.against_rest(np.empty((0, N_BINS)), np.empty(0, bool), np.empty(0, np.int64), BANDS)
    for name, values in contrasts.estimates(nothing, bootstrap(100)).items():
        assert np.isnan(values).all(), name
    assert not contrasts.can_be_tested(nothing, 3)


def test_effect_size__of_one_sample_is_hedges_g(rng):
    contrast = one_sample(rng, 9)
    values = in_bands(contrast.share) - in_bands(contrast.reference)
    expected = (1 - 3 / (4 * 8 - 1)) * values.mean(axis=0) / values.std(axis=0, ddof=1)
    np.testing.assert_allclose(contrasts.effect_size(contrast), expected)


def test_effect_size__of_two_is_hedges_g_with_the_mean_of_the_variances(rng):
    members = np.arange(30) < 10
    share = np.where(members[:, None], spreads(rng, 30, 2), spreads(rng, 30, 40))
    values = in_bands(share)
    contrast = Contrast(share, np.ones(30), BANDS, members=members)
    spread = np.sqrt((values[members].var(axis=0, ddof=1) + values[~members].var(axis=0, ddof=1)) / 2)
    difference = values[members].mean(axis=0) - values[~members].mean(axis=0)
    # Corrected as for the fewer alone: the spread is known from the wider ones, which may be these.
    np.testing.assert_allclose(contrasts.effect_size(contrast), (1 - 3 / (4 * 9 - 1)) * difference / spread)


def test_effect_size__does_not_hang_on_what_folds_share(rng):
    contrast = two_groups(rng)
    shift = rng.normal(size=(5, N_BINS))[contrast.fold]
    moved = replace(contrast, share=contrast.share + shift)
    np.testing.assert_allclose(contrasts.effect_size(moved), contrasts.effect_size(contrast), rtol=1e-9)


@pytest.mark.parametrize(("n", "known"), [(1, False), (2, False), (3, True)])
def test_effect_size__is_nan_for_fewer_than_three_recordings(rng, n, known):
    """Of the class or of the others: for two, the correction is zero whatever there is."""
    assert (np.isfinite(contrasts.effect_size(one_sample(rng, n))) == known).all()
    for members in (np.arange(24) < n, np.arange(24) >= n):
        contrast = Contrast(spreads(rng, 24), np.ones(24), BANDS, members=members)
        assert (np.isfinite(contrasts.effect_size(contrast)) == known).all()


def test_effect_size__is_nan_without_spread():
    even = np.full((5, N_BINS), 1 / N_BINS)
    same = Contrast(even, np.arange(5), BANDS, reference=even / 2)
    assert np.isnan(contrasts.effect_size(same)).all()


@pytest.mark.parametrize("with_rest", [False, True])
def test_by_fold__equals_a_slow_loop(rng, with_rest):
    contrast = two_groups(rng) if with_rest else one_sample(rng)
    found = contrasts.by_fold(contrast, [*FOLDS, 9])
    apart = np.array([slow_log_ratio(contrast.part(contrast.fold == fold)) for fold in FOLDS])
    left_out = np.array([slow_log_ratio(contrast.part(contrast.fold != fold)) for fold in FOLDS])
    together = slow_log_ratio(contrast)
    np.testing.assert_allclose(found["fold_ratio"][:4], np.exp(apart), rtol=1e-9)
    assert np.isnan(found["fold_ratio"][4]).all()
    np.testing.assert_array_equal(found["n_folds"], 4)
    alike = [sum(value * together[band] > 0 for value in apart[:, band]) for band in range(4)]
    np.testing.assert_array_equal(found["n_folds_alike"], alike)
    np.testing.assert_allclose(found["ratio_left_out_low"], np.exp(left_out.min(axis=0)), rtol=1e-9)
    np.testing.assert_allclose(found["ratio_left_out_high"], np.exp(left_out.max(axis=0)), rtol=1e-9)


def test_by_fold__of_one_fold_is_the_ratio_of_its_mean_shares(rng):
    contrast = two_groups(rng)
    found = contrasts.by_fold(contrast, FOLDS.tolist())["fold_ratio"]
    for place, fold in enumerate(FOLDS):
        sides = [
            in_bands(contrast.share[side & (contrast.fold == fold)]).mean(axis=0)
            for side in (contrast.members, ~contrast.members)
        ]
        np.testing.assert_allclose(found[place], (sides[0] + 0.025) / (sides[1] + 0.025), rtol=1e-9)


def test_by_fold__counts_only_folds_that_hold_class_and_others(rng):
    contrast = two_groups(rng, 40)
    fold = np.where(contrast.members & (contrast.fold == 2), 1, contrast.fold)
    found = contrasts.by_fold(replace(contrast, fold=fold), FOLDS.tolist())
    np.testing.assert_array_equal(found["n_folds"], 3)
    assert np.isnan(found["fold_ratio"][1]).all()


def test_by_fold__names_the_fold_that_makes_the_effect(rng):
    inputs = spreads(rng, 20, 4000)
    share = inputs.copy()
    share[:5] = with_more(share[:5], INSIDE[2], 3)
    found = contrasts.by_fold(contrasts.against_input(share, inputs, np.repeat(FOLDS, 5), BARE), FOLDS.tolist())
    np.testing.assert_allclose(found["fold_ratio"][:, 2], [3, 1, 1, 1], rtol=1e-9)
    assert found["ratio_left_out_low"][2] == pytest.approx(1)
    assert found["ratio_left_out_high"][2] == pytest.approx(5 / 3, rel=0.02)


def test_by_fold__of_no_recordings_is_nan():
    nothing = Contrast(np.empty((0, N_BINS)), np.empty(0, np.int64), BANDS, reference=np.empty((0, N_BINS)))
    found = contrasts.by_fold(nothing, [1, 2])
    assert found["fold_ratio"].shape == (2, 4)
    np.testing.assert_array_equal(found["n_folds"], 0)
    np.testing.assert_array_equal(found["n_folds_alike"], 0)
    for name in ("fold_ratio", "ratio_left_out_low", "ratio_left_out_high"):
        assert np.isnan(found[name]).all()


def planted(rng: np.random.Generator, *, with_rest: bool) -> Contrast:
    if not with_rest:
        inputs = spreads(rng, 24)
        noisy = spreads(rng, 24)
        return contrasts.against_input(with_more(noisy, INSIDE[1], 2), inputs, np.arange(24) % 4, BANDS)
    shares, members = spreads(rng, 72), np.arange(72) < 24
    shares[members] = with_more(shares[members], INSIDE[1], 2)
    return contrasts.against_rest(shares, members, np.arange(72) % 4, BANDS)


@pytest.mark.parametrize("with_rest", [False, True])
def test_tests__find_the_planted_band(rng, with_rest):
    found = contrasts.tests(planted(rng, with_rest=with_rest), RECIPE, bootstrap())
    assert found["p"] == pytest.approx(1 / 201)
    np.testing.assert_allclose(found["p_by_threshold"], 1 / 201)
    assert found["band_p"][1] == pytest.approx(1 / 201)
    assert found["band_t"][1] > 5
    assert (found["bin_t"][3:6] > 3).all()
    assert len(set(found["bin_cluster"][3:6])) == 1
    assert found["bin_cluster"][3] > 0
    np.testing.assert_allclose(found["bin_cluster_p"][3:6], 1 / 201)
    assert (found["bin_inclusion"][3:6] > 0.9).all()


@pytest.mark.parametrize("with_rest", [False, True])
def test_tests__are_of_differences_of_shares(rng, with_rest):
    contrast = two_groups(rng) if with_rest else one_sample(rng)
    found = contrasts.tests(contrast, RECIPE, bootstrap(100))
    if with_rest:
        for groups, name in ((contrast.bins, "bin_t"), (BANDS, "band_t")):
            of_rest = AgainstRest(groups.of(contrast.share), contrast.members, contrast.fold)
            np.testing.assert_allclose(found[name], of_rest.t(of_rest.observed[None])[0], rtol=1e-9)
            effect = contrast.effect(groups, everyone(contrast))[0]
            assert (np.sign(found[name]) == np.sign(effect)).all()
    else:
        paired = stats.ttest_rel(contrast.share, contrast.reference).statistic
        np.testing.assert_allclose(found["bin_t"], paired, rtol=1e-9)
        paired = stats.ttest_rel(in_bands(contrast.share), in_bands(contrast.reference)).statistic
        np.testing.assert_allclose(found["band_t"], paired, rtol=1e-9)


class Unsure(OneSample):
    """A way of drawing by which nothing is certain."""

    def null(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.full((n, *self.values.shape[1:]), 100.0)


@pytest.mark.parametrize("statistic", ["mass", "tfce"])
def test_tests__say_of_nothing_what_one_way_of_drawing_does_not_say(rng, monkeypatch, statistic):
    def designs(contrast: Contrast, groups: Groups) -> tuple[OneSample, OneSample]:
        return OneSample(contrast.difference(groups)), Unsure(contrast.difference(groups))

    monkeypatch.setattr(Contrast, "designs", designs)
    recipe = Recipe(50, 0.01, 0.05, statistic)
    found = contrasts.tests(planted(rng, with_rest=False), recipe, bootstrap(50))
    for name in ("p", "p_by_threshold", "bin_p", "band_p"):
        np.testing.assert_array_equal(found[name], 1, err_msg=name)
    # Inclusion is told of clusters by mass.
    np.testing.assert_array_equal(found["bin_inclusion"], 0 if statistic == "mass" else np.nan)


def test_against_rest__leaves_out_folds_that_hold_one_side_only(rng):
    shares, fold = spreads(rng, 12), np.repeat([1, 2, 3], 4)
    members = np.array([1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0], bool)
    contrast = contrasts.against_rest(shares, members, fold, BANDS)
    assert (contrast.n_recordings, contrast.n_others) == (2, 2)
    np.testing.assert_array_equal(contrast.share, shares[:4])
    apart = contrasts.against_rest(shares[4:], members[4:], fold[4:], BANDS)
    assert not contrasts.can_be_tested(apart, 1)


def test_by_fold__does_not_tell_of_leaving_out_the_only_fold(rng):
    shares = spreads(rng, 30)
    alone = contrasts.against_input(shares, spreads(rng, 30), np.ones(30, int), BANDS)
    found = contrasts.by_fold(alone, [1, 2])
    assert np.isnan(found["ratio_left_out_low"]).all()
    assert np.isnan(found["ratio_left_out_high"]).all()
    none = alone.part(np.zeros(30, bool))
    assert np.isnan(contrasts.by_fold(none, [1, 2])["ratio_left_out_low"]).all()


@pytest.mark.parametrize(("n_members", "n_others"), [(1, 1), (1, 3), (2, 2)])
def test_effect_size__holds_in_small_folds(n_members, n_others):
    """One standard deviation apart: the mean over data sets is one, whatever the means of folds take away."""
    rng = np.random.default_rng(8)
    members = np.tile(np.arange(n_members + n_others) < n_members, 10)
    fold = np.repeat(np.arange(10), n_members + n_others)
    bands = Groups(np.eye(4, dtype=bool), 0.1)
    values = [rng.normal(size=(len(members), 4)) + members[:, None] for _ in range(400)]
    found = [contrasts.effect_size(Contrast(each, fold, bands, members=members)) for each in values]
    assert np.mean(found) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("with_rest", [False, True])
def test_tests__find_nothing_where_nothing_is(with_rest):
    """Over many data sets without a difference, p is below 0.05 in about 5 of 100."""
    rng = np.random.default_rng(21)
    least = []
    for _ in range(60):
        contrast = two_groups(rng, 40, 16) if with_rest else one_sample(rng, 16)
        _, p = contrasts.band_test(contrast, 100, rng)
        least.append(p.min())
    assert np.mean(np.array(least) <= 0.05) <= 0.15
    assert np.median(least) > 0.3


def noisy(rng: np.random.Generator, n: int) -> Contrast:
    """Return relevance that is input times noise, alike in all bins."""
    inputs = spreads(rng, n, 5)
    relevance = inputs * np.exp(rng.normal(size=inputs.shape))
    share = relevance / relevance.sum(axis=1, keepdims=True)
    return contrasts.against_input(share, inputs, np.arange(n) % 4, BANDS)


def verdicts_of(made: Sequence[Contrast], rng: np.random.Generator) -> np.ndarray:
    """Return verdicts by band of contrasts that are corrected together, as classes are."""
    found = [contrasts.tests(each, Recipe(100, 0.01, 0.05), Bootstrap(2, 0.95, rng)) for each in made]
    p, band_p = (np.array([[each[name]] for each in found]) for name in ("p", "band_p"))
    ratio = np.exp([each.log_ratio(BANDS, everyone(each)) for each in made])
    return contrasts.verdicts(ratio, *contrasts.corrected(p, band_p), (0.05, 1.25))


@pytest.mark.parametrize("n", [14, 60])
def test_noise_alone__has_ratios_near_one_and_no_verdict(n):
    """Relevance is noisier than input. The mean of log ratios takes that for less relevance everywhere."""
    rng = np.random.default_rng(n)
    made = [noisy(rng, n) for _ in range(100)]
    ratio = np.exp([each.log_ratio(BANDS, everyone(each))[0] for each in made])
    np.testing.assert_allclose(ratio.mean(axis=0), 1, atol=0.02)
    floored = [[in_bands(of) + 0.025 for of in (each.share, each.reference)] for each in made]
    logs = [np.log(share / inputs) for share, inputs in floored]
    assert (np.exp(np.mean(logs, axis=(0, 1))) < 0.93).all()
    wrong = [verdicts_of([each], rng).any() for each in made]
    assert np.mean(wrong) <= (0.09 if n == 14 else 0.02)
    if n == 60:
        biased = [stats.ttest_1samp(each, 0).pvalue.min() <= 0.05 / 4 for each in logs]
        assert np.mean(biased) > 0.5


def test_noise_alone__of_several_classes_is_corrected_for_them():
    rng = np.random.default_rng(3)
    wrong = [verdicts_of([noisy(rng, 14) for _ in range(5)], rng).any() for _ in range(10)]
    assert sum(wrong) <= 2


def test_tests__find_what_is_there_in_spite_of_noise(rng):
    made = noisy(rng, 40)
    more = replace(made, share=with_more(made.share, INSIDE[1], 2))
    assert verdicts_of([more], rng)[0, 0, 1] == 1
    assert np.exp(more.log_ratio(BARE, everyone(more)))[0, 1] == pytest.approx(2, rel=0.1)


def test_tests__judge_by_enhancement_if_asked(rng):
    recipe = Recipe(100, 0.01, 0.05, "tfce")
    found = contrasts.tests(planted(rng, with_rest=False), recipe, bootstrap(100))
    assert found["p"] == pytest.approx(1 / 101)
    assert (found["bin_cluster"][3:6] > 0).all()


@pytest.mark.parametrize("with_rest", [False, True])
def test_untested__has_the_shapes_and_kinds_of_tests(rng, with_rest):
    contrast = two_groups(rng) if with_rest else one_sample(rng)
    tested = contrasts.tests(contrast, Recipe(100, 0.01, 0.05), bootstrap(100))
    untested = contrasts.untested(contrast)
    assert untested.keys() == tested.keys()
    for name, values in untested.items():
        assert values.shape == tested[name].shape, name
        assert values.dtype == tested[name].dtype, name
        assert (values == 0).all() if name == "bin_cluster" else np.isnan(values).all(), name


def test_can_be_tested__needs_recordings_on_both_sides(rng):
    assert contrasts.can_be_tested(one_sample(rng, 10), 10)
    assert not contrasts.can_be_tested(one_sample(rng, 9), 10)
    assert contrasts.can_be_tested(two_groups(rng, 20, 10), 10)
    assert not contrasts.can_be_tested(two_groups(rng, 20, 9), 10)
    assert not contrasts.can_be_tested(two_groups(rng, 20, 11), 10)


def test_corrected__charges_classes_after_holm_and_bands_in_full():
    p = np.array([[0.001, 0.02], [np.nan, 0.04], [0.9, np.nan]])
    band_p = np.stack([p, 2 * p], axis=-1)
    p_holm, band_p_corrected = contrasts.corrected(p, band_p)
    np.testing.assert_allclose(p_holm, [[0.004, 0.06], [np.nan, 0.08], [0.9, np.nan]])
    np.testing.assert_allclose(
        band_p_corrected, [[[0.004, 0.008], [0.08, 0.16]], [[np.nan] * 2, [0.16, 0.32]], [[1, 1], [np.nan] * 2]]
    )


def test_corrected__of_no_tests_is_nan():
    p_holm, band_p = contrasts.corrected(np.full((2, 2), np.nan), np.full((2, 2, 3), np.nan))
    assert np.isnan(p_holm).all()
    assert np.isnan(band_p).all()


def test_corrected__is_wrong_anywhere_in_about_five_of_a_hundred():
    """Family-wise: p of independent tests under the hypothesis, the bands of each with one p for all."""
    rng = np.random.default_rng(4)
    p = rng.random((2000, 5, 2))
    wrong = []
    for each in p:
        p_holm, band_p = contrasts.corrected(each, each[..., None])
        wrong.append((contrasts.verdicts(np.full((5, 2, 1), 2.0), p_holm, band_p, (0.05, 1.25)) != 0).any())
    assert 0.035 < np.mean(wrong) < 0.062


@pytest.mark.parametrize(
    ("ratio", "p", "band_p", "verdict"),
    [
        (1.5, 0.01, 0.01, 1),
        (1.25, 0.05, 0.05, 1),
        (0.5, 0.01, 0.01, -1),
        (0.8, 0.01, 0.01, -1),
        (1.2, 0.01, 0.01, 0),
        (0.9, 0.01, 0.01, 0),
        (1.5, 0.06, 0.01, 0),
        (1.5, 0.01, 0.06, 0),
        (1.5, np.nan, np.nan, 0),
        (np.nan, 0.01, 0.01, 0),
    ],
)
def test_verdicts__need_both_p_and_a_ratio_that_matters(ratio, p, band_p, verdict):
    found = contrasts.verdicts(
        np.full((1, 1, 1), ratio), np.full((1, 1), p), np.full((1, 1, 1), band_p), (0.05, 1.25)
    )
    assert found.tolist() == [[[verdict]]]
    assert found.dtype == np.int64
