"""Tests by permutation: against MNE, scipy and every permutation there is, and what they may not see."""

import math
from dataclasses import dataclass, field
from itertools import combinations, product

import mne
import numpy as np
import pytest
from scipy import ndimage, stats

from toolkit.statistics.permutation import (
    AgainstRest,
    Design,
    OneSample,
    Recipe,
    Resampled,
    ResampledAgainstRest,
    centred,
    clusters,
    enhanced,
    holm,
    inclusion,
    largest_mass,
    largest_t,
    p_values,
    threshold_of,
)
from toolkit.statistics.permutation import test as permuted

STEP = 0.2
N_PERMUTATIONS = 300


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Noise of recordings that is smooth along cells, of unit spread."""
    noise = ndimage.gaussian_filter(rng(seed).normal(size=shape), (0, *(2.0 for _ in shape[1:])))
    return noise / noise.std()


def planted(shape: tuple[int, ...], height: float) -> np.ndarray:
    """A blob in the first half of each axis and a pit in the second."""
    axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    blob, pit = (sum((axis - centre) ** 2 for axis in axes) < 0.15**2 for centre in (0.25, 0.75))
    return height * (blob.astype(float) - pit)


def one_sample(shape: tuple[int, ...]) -> OneSample:
    return OneSample(smooth(shape) + planted(shape[1:], 0.5))


def two_samples(shape: tuple[int, ...], n_members: int, strata: int = 1) -> AgainstRest:
    values = smooth(shape)
    members = np.isin(np.arange(len(values)), rng(1).choice(len(values), n_members, replace=False))
    values[members] = 1.5 * values[members] + planted(shape[1:], 1.2)
    return AgainstRest(values, members, np.arange(len(values)) % strata)


DESIGNS: dict[str, Design] = {
    "one sample, 64": one_sample((40, 64)),
    "two samples, 64": two_samples((90, 64), 25),
    "one sample, 64 x 64": one_sample((20, 64, 64)),
    "two samples, 64 x 64": two_samples((50, 64, 64), 16),
}


def welch(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return stats.ttest_ind(one, other, equal_var=False).statistic


def by_mne(design: Design, threshold: float | dict[str, float], n_permutations: int = 1, adjacency=None):
    """Return t, or enhanced t, clusters, their p, and the largest of every permutation."""
    options = {
        "threshold": threshold,
        "n_permutations": n_permutations,
        "tail": 0,
        "out_type": "mask",
        "seed": 0,
        "verbose": "ERROR",
        "buffer_size": None,
        "adjacency": adjacency,
    }
    if isinstance(design, AgainstRest):
        groups = [design.values[design.members], design.values[~design.members]]
        return mne.stats.permutation_cluster_test(groups, stat_fun=welch, **options)
    return mne.stats.permutation_cluster_1samp_test(design.values, **options)


def masks_of(found: list, shape: tuple[int, ...]) -> list[np.ndarray]:
    masks = []
    for cluster in found:
        mask = np.zeros(shape, bool)
        mask[cluster] = True
        masks.append(mask)
    return masks


@pytest.mark.parametrize("cluster_p", [0.05, 0.01, 0.001])
@pytest.mark.parametrize("name", DESIGNS)
def test_clusters__are_those_of_mne(name: str, cluster_p: float):
    design = DESIGNS[name]
    threshold = threshold_of(design, cluster_p)
    their_t, found, _, _ = by_mne(design, threshold)
    t = design.t(design.observed[None])
    labels, sums, draw = clusters(t, threshold)
    np.testing.assert_allclose(t[0], their_t, rtol=1e-6, atol=1e-9)
    theirs = sorted((mask.tobytes(), their_t[mask].sum()) for mask in masks_of(found, their_t.shape))
    ours = sorted(((labels[0] == number).tobytes(), sums[number - 1]) for number in range(1, len(sums) + 1))
    assert [mask for mask, _ in ours] == [mask for mask, _ in theirs]
    np.testing.assert_allclose([mass for _, mass in ours], [mass for _, mass in theirs], rtol=1e-6)
    assert min(sums) < 0 < max(sums)
    assert (draw == 0).all()


@pytest.mark.parametrize("name", ["one sample, 64", "one sample, 64 x 64"])
def test_p_of_clusters__is_that_of_mne(name: str):
    design, cluster_p = DESIGNS[name], 0.05
    their_t, found, their_p, _ = by_mne(design, threshold_of(design, cluster_p), N_PERMUTATIONS)
    tested = permuted(design, Recipe(2000, cluster_p, 0.05), rng())
    assert len(tested.cluster_p) == len(found)
    for mask, p in zip(masks_of(found, their_t.shape), their_p, strict=True):
        (ours,) = np.unique(tested.p_by_cell[mask])
        assert abs(ours - p) < 4 * math.sqrt(max(p * (1 - p), 0.01) / N_PERMUTATIONS)


@pytest.mark.parametrize("name", DESIGNS)
def test_masses_of_draws__are_spread_as_those_of_mne(name: str):
    # Of two samples, MNE keeps the largest sum of a draw, as suits an F test: beside a positive cluster,
    # negative ones never count. So its sums are compared with ours, and not masses.
    design, threshold = DESIGNS[name], threshold_of(DESIGNS[name], 0.05)
    null = by_mne(design, threshold, N_PERMUTATIONS)[3][1:]
    t = design.t(design.draws(N_PERMUTATIONS, rng()))
    if isinstance(design, AgainstRest):
        _, sums, draw = clusters(t, threshold)
        of_draws = [sums[draw == number] for number in range(len(t))]
        ours = np.array([of_draw.max() if len(of_draw) else 0 for of_draw in of_draws])
    else:
        null, ours = np.abs(null), largest_mass(t, threshold)
    assert stats.ks_2samp(null, ours).pvalue > 1e-3


@pytest.mark.parametrize("design", [one_sample((40, 64)), two_samples((60, 20, 24), 16)])
def test_enhanced__sums_what_mne_gives_at_every_height(design: Design):
    # Smith and Nichols weight a height by its square. MNE, asked for all heights at once, squares the step
    # between heights, so that all weigh alike; asked for one, it squares that height. Neighbours are named
    # because MNE counts any cluster along a single axis as one cell if it is told none.
    t = design.t(design.observed[None])
    neighbours = mne.stats.combine_adjacency(*t.shape[1:])
    heights = STEP * np.arange(1, math.ceil(np.abs(t).max() / STEP))
    terms = [by_mne(design, {"start": height, "step": 1e6}, adjacency=neighbours)[0] for height in heights]
    np.testing.assert_allclose(enhanced(t)[0], STEP * np.sum(terms, axis=0), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DESIGNS)
def test_enhanced__with_all_heights_alike_is_that_of_mne(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolkit.statistics.permutation._HEIGHT_POWER", 0)
    design = DESIGNS[name]
    t = design.t(design.observed[None])
    theirs = by_mne(design, {"start": 0, "step": STEP}, adjacency=mne.stats.combine_adjacency(*t.shape[1:]))[0]
    np.testing.assert_allclose(STEP * enhanced(t)[0], theirs, rtol=1e-6, atol=1e-9)


def test_t__of_one_sample_is_that_of_scipy():
    design = one_sample((23, 17))
    expected = stats.ttest_1samp(design.values, 0).statistic
    np.testing.assert_allclose(design.t(design.observed[None])[0], expected, rtol=1e-10)
    signs = design.draws(5, rng())
    for drawn, t in zip(signs, design.t(signs), strict=True):
        np.testing.assert_allclose(t, stats.ttest_1samp(design.values * drawn[:, None], 0).statistic, rtol=1e-9)


def fitted(values: np.ndarray, members: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Fit a constant for every stratum and one for members by explicit matrices; return t with HC2 errors."""
    x = np.column_stack([*(strata == stratum for stratum in np.unique(strata)), members]).astype(float)
    inverse = np.linalg.inv(x.T @ x)
    leverage = np.diag(x @ inverse @ x.T)
    fit = inverse @ x.T @ values
    squared = (values - x @ fit) ** 2 / (1 - leverage)[:, None]
    variance = np.array([(inverse @ x.T @ np.diag(cell) @ x @ inverse)[-1, -1] for cell in squared.T])
    return fit[-1] / np.sqrt(variance)


@pytest.mark.parametrize("strata", [1, 4])
def test_t__of_two_samples_is_a_fit_by_matrices(strata: int):
    design = two_samples((50, 17), 13, strata)
    drawn = np.concatenate([design.observed[None], design.draws(5, rng())])
    for members, t in zip(drawn == 1, design.t(drawn), strict=True):
        np.testing.assert_allclose(t, fitted(design.values, members, design.strata), rtol=1e-9)


def test_t__of_two_samples_of_one_stratum_is_that_of_scipy():
    design = two_samples((50, 17), 13, 1)
    drawn = np.concatenate([design.observed[None], design.draws(5, rng())])
    for members, t in zip(drawn == 1, design.t(drawn), strict=True):
        np.testing.assert_allclose(t, welch(design.values[members], design.values[~members]), rtol=1e-9)


def test_t__of_two_samples_does_not_hang_on_strata_that_hold_one_side_only():
    values, members, strata = smooth((40, 6)), np.arange(40) < 12, np.repeat([0, 1, 2, 3], 10)
    strata[:12], strata[12:20] = np.arange(12) % 2, np.arange(8) % 2
    both = strata < 2
    every, inside = AgainstRest(values, members, strata), AgainstRest(values[both], members[both], strata[both])
    np.testing.assert_allclose(every.t(every.observed[None]), inside.t(inside.observed[None]), rtol=1e-9)
    moved = np.where((strata == 3)[:, None], 9 * values, values)
    np.testing.assert_allclose(
        AgainstRest(moved, members, strata).t(every.observed[None]), every.t(every.observed[None])
    )


def test_against_rest__refuses_absent_values():
    with pytest.raises(ValueError, match="must all be known"):
        AgainstRest(np.array([[1.0], [np.nan]]), np.array([True, False]), np.zeros(2))


@pytest.mark.parametrize("layout", [(10, 1, 2), (10, 1, 3), (2, 10, 10)])
def test_both__hold_in_small_folds_with_a_class_that_is_spread_wider(layout: tuple[int, int, int]):
    """Folds of three or four recordings are the worst case: their means take the most of every value."""
    n_folds, n_members, n_others = layout
    members = np.tile(np.arange(n_members + n_others) < n_members, n_folds)
    strata, found = np.repeat(np.arange(n_folds), n_members + n_others), []
    for seed in range(300):
        values = rng(seed).normal(size=(len(members), 6)) * np.where(members, 2, 1)[:, None]
        of_rest = values, members, strata
        _, p = largest_t(AgainstRest(*of_rest), 99, rng(seed), ResampledAgainstRest(*of_rest))
        found.append(p.min() <= 0.05)
    assert np.mean(found) < 0.12


def slowly_centred(values: np.ndarray, strata: np.ndarray) -> np.ndarray:
    means = np.array([np.nanmean(values[strata == stratum], axis=0) for stratum in strata])
    return values - means


def test_centred__leaves_nothing_of_a_stratum():
    values, strata = smooth((30, 3, 5)) + 7, np.arange(30) % 4
    np.testing.assert_allclose(centred(values, strata), slowly_centred(values, strata), atol=1e-12)
    shifted = values + np.array([0.0, 100.0, -3.0, 8.0])[strata][:, None, None]
    np.testing.assert_allclose(centred(shifted, strata), centred(values, strata), atol=1e-12)


def test_t__leaves_out_what_is_absent():
    absent = rng(2).random((50, 17)) < 0.2
    design = one_sample((50, 17))
    design.values[absent] = np.nan
    expected = stats.ttest_1samp(design.values, 0, nan_policy="omit").statistic
    np.testing.assert_allclose(design.t(design.observed[None])[0], expected, rtol=1e-9)


def test_t__weights_recordings_as_if_they_came_so_often():
    one, two = one_sample((20, 9)), two_samples((40, 9), 15, 3)
    for design in (one, two):
        often = rng(3).integers(0, 4, len(design.values))
        t = design.t(design.observed[None], often[None].astype(float))[0]
        if isinstance(design, OneSample):
            expected = stats.ttest_1samp(np.repeat(design.values, often, axis=0), 0).statistic
        else:
            again = (np.repeat(each, often, axis=0) for each in (design.values, design.members, design.strata))
            expected = fitted(*again)
        np.testing.assert_allclose(t, expected, rtol=1e-9)


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_constant_cells__differ_nowhere(level: float):
    values = smooth((40, 16))
    values[:, 5:8] = level
    members, strata = np.arange(40) < 13, rng(1).integers(0, 3, 40)
    tested = permuted(AgainstRest(values, members, strata), Recipe(200, 0.05, 0.05), rng())
    assert (tested.t[5:8] == 0).all()
    assert (tested.cell_p[5:8] == 1).all()
    assert (np.delete(tested.t, [5, 6, 7]) != 0).all()


def test_cells__without_any_value_or_with_one_are_never_beyond():
    values = smooth((30, 8))
    values[:, 2], values[1:, 3] = np.nan, np.nan
    values[10:, 4] = np.nan
    tested = permuted(OneSample(values), Recipe(200, 0.05, 0.05), rng())
    assert (tested.t[2:4] == 0).all()
    assert np.isfinite(tested.t).all()
    assert tested.cell_p[2] == 1


def test_test__of_cells_that_are_all_zero_finds_nothing():
    tested = permuted(OneSample(np.zeros((12, 64))), Recipe(100, 0.01, 0.05), rng())
    assert (tested.p, tested.critical, len(tested.cluster_p)) == (1, 0, 0)
    assert np.isnan(tested.p_by_cell).all()


def test_draws__of_one_sample_are_fair_signs():
    signs = OneSample(np.zeros((20, 3))).draws(20_000, rng())
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert np.abs(signs.mean(axis=0)).max() < 4.5 / math.sqrt(20_000)
    assert np.abs(np.corrcoef(signs.T) - np.eye(20)).max() < 4.5 / math.sqrt(20_000)


def test_draws__of_members_keep_their_number_in_every_stratum():
    strata = rng(4).integers(0, 6, 100)
    members = rng(5).random(100) < 0.2
    drawn = AgainstRest(np.zeros((100, 1)), members, strata).draws(500, rng())
    assert set(np.unique(drawn)) == {0.0, 1.0}
    for stratum in range(6):
        inside = strata == stratum
        assert (drawn[:, inside].sum(axis=1) == members[inside].sum()).all()


def test_draws__take_every_subset_of_a_stratum_equally_often():
    members = np.array([True, False, True, False, False, True, False])
    strata = np.array([0, 0, 0, 0, 1, 1, 1])
    drawn = AgainstRest(np.zeros((7, 1)), members, strata).draws(18_000, rng())
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == math.comb(4, 2) * math.comb(3, 1)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_draws__with_replacement_add_up_and_take_every_recording_equally_often():
    drawn = Resampled(np.zeros((9, 3))).draws(20_000, rng())
    assert drawn.shape == (20_000, 9)
    assert (drawn.sum(axis=1) == 9).all()
    assert (drawn == np.round(drawn)).all()
    assert (drawn >= 0).all()
    assert np.abs(drawn.mean(axis=0) - 1).max() < 4.5 * math.sqrt((1 - 1 / 9) / 20_000)
    once = stats.binom(9, 1 / 9).pmf(np.arange(10))
    counts = [(drawn[:, 4] == number).sum() for number in range(10)]
    assert (
        stats.chisquare([*counts[:4], sum(counts[4:])], 20_000 * np.append(once[:4], once[4:].sum())).pvalue
        > 1e-4
    )


def skewed(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return values whose mean is zero, and whose few large ones are all above it."""
    return np.exp(rng(seed).normal(size=shape)) - math.exp(0.5)


def test_null__with_replacement_equals_a_slow_loop():
    design, n = Resampled(skewed((13, 2, 3), 1) + 2), 6
    often = design.draws(n, rng(2)).astype(int)
    for count, t in zip(often, design.null(n, rng(2)), strict=True):
        rows = [row for row in range(13) for _ in range(count[row])]
        expected = stats.ttest_1samp(design.values[rows], design.values.mean(axis=0)).statistic
        np.testing.assert_allclose(t, expected, rtol=1e-9)


def test_null__with_replacement_leaves_out_what_is_absent():
    values = skewed((20, 5), 3)
    values[rng(4).random(values.shape) < 0.2] = np.nan
    design = Resampled(values)
    often = design.draws(4, rng(5)).astype(int)
    for count, t in zip(often, design.null(4, rng(5)), strict=True):
        drawn = np.repeat(values - np.nanmean(values, axis=0), count, axis=0)
        expected = stats.ttest_1samp(drawn, 0, nan_policy="omit").statistic
        np.testing.assert_allclose(t, expected, rtol=1e-9)


def test_null__does_not_hang_on_the_mean_and_is_that_of_t():
    """Of normal values, whatever their mean: near zero, and beyond the quantiles of t as often as it says."""
    values = rng(6).normal(size=(60, 4))
    values -= values.mean(axis=0)
    centre, moved = (Resampled(values + shift).null(8000, rng(7)) for shift in (0, 30))
    np.testing.assert_allclose(centre, moved, rtol=1e-6, atol=1e-9)
    assert np.abs(centre.mean(axis=0)).max() < 0.25
    for level in (0.05, 0.2):
        beyond = (np.abs(centre) > stats.t.isf(level / 2, 59)).mean()
        assert 0.8 * level < beyond < 1.2 * level


@pytest.mark.parametrize("kind", [OneSample, Resampled])
def test_t__of_one_sample_is_the_same_however_it_is_drawn(kind: type[OneSample]):
    design = kind(skewed((20, 7), 8))
    expected = stats.ttest_1samp(design.values, 0).statistic
    np.testing.assert_allclose(design.t(design.observed[None])[0], expected, rtol=1e-10)
    assert (design.freedom, design.null(11, rng()).shape) == (19, (11, 7))


def test_null__of_flips_and_of_memberships_is_t_of_draws():
    for design in (one_sample((20, 9)), two_samples((40, 9), 15, 3)):
        np.testing.assert_array_equal(design.null(7, rng(1)), design.t(design.draws(7, rng(1))))


def test_null__with_replacement_is_wide_for_three_recordings():
    """One of nine draws holds one recording only: nothing can be certain."""
    values = np.array([[1.0], [1.1], [1.2]])
    _, p = largest_t(OneSample(values), 2000, rng(), Resampled(values))
    assert p[0] > 0.1


def test_enhanced__ends_where_draws_have_no_spread():
    """Of three recordings, one draw of 9 holds a single one: its t is a million, and so are its heights."""
    values = smooth((3, 16)) + 3
    t = Resampled(values).null(100, rng())
    assert np.abs(t).max() > 1e5
    assert np.isfinite(enhanced(t)).all()
    np.testing.assert_array_equal(enhanced(100 * np.sign(t)), enhanced(1e9 * np.sign(t)))
    assert permuted(OneSample(values), Recipe(100, 0.05, 0.05, "tfce"), rng(), Resampled(values)).p > 0.01


def false_alarms(shape: tuple[int, ...], n: int, *, is_skewed: bool) -> np.ndarray:
    """Return how often flips alone, drawing alone, and both together find something in nothing."""
    found = []
    for seed in range(n):
        values = skewed(shape, seed) if is_skewed else rng(seed).normal(size=shape)
        flips, drawn = OneSample(values), Resampled(values)
        each = [largest_t(design, 99, rng(seed))[1].min() for design in (flips, drawn)]
        found.append([*each, largest_t(flips, 99, rng(seed), drawn)[1].min()])
    return (np.array(found) <= 0.05).mean(axis=0)


@pytest.mark.parametrize("n", [14, 40])
def test_both__hold_for_skewed_values_where_flips_alone_do_not(n: int):
    flips, _, both = false_alarms((n, 8), 200, is_skewed=True)
    assert flips > 0.25
    assert both < 0.1


def test_both__and_each_hold_for_normal_values():
    flips, drawn, both = false_alarms((20, 8), 300, is_skewed=False)
    assert 0.02 < flips < 0.09
    assert 0.01 < drawn < 0.09
    assert both <= 0.08


def unlike_sides(
    seed: int, n_members: int = 12, n_others: int = 120
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return skewed values with equal means, those of the few spread twice as widely; members; strata."""
    values = np.exp(rng(seed).normal(size=(n_members + n_others, 8))) - math.exp(0.5)
    values[:n_members] *= 2
    return values, np.arange(len(values)) < n_members, np.arange(len(values)) % 3


def test_null__against_rest_with_replacement_equals_a_slow_loop():
    values, members, strata = unlike_sides(1, 7, 20)
    design = ResampledAgainstRest(values, members, strata)
    by_fold = values - np.array([values[strata == stratum].mean(axis=0) for stratum in range(3)])[strata]
    sides = [by_fold[side] - by_fold[side].mean(axis=0) for side in (members, ~members)]
    often = design.draws(5, rng(2)).astype(int)
    assert (often[:, members].sum(axis=1) == 7).all()
    assert (often[:, ~members].sum(axis=1) == 20).all()
    for count, t in zip(often, design.null(5, rng(2)), strict=True):
        drawn = [
            np.repeat(side, count[of], axis=0) for side, of in zip(sides, (members, ~members), strict=True)
        ]
        np.testing.assert_allclose(t, stats.ttest_ind(*drawn, equal_var=False).statistic, rtol=1e-9)


def test_against_rest__both_hold_for_a_noisier_class_of_few_where_exchange_alone_does_not():
    found = []
    for seed in range(500):
        exchanged, drawn = (kind(*unlike_sides(seed)) for kind in (AgainstRest, ResampledAgainstRest))
        together = largest_t(exchanged, 99, rng(seed), drawn)[1].min()
        found.append([largest_t(exchanged, 99, rng(seed))[1].min(), together])
    alone, both = (np.array(found) <= 0.05).mean(axis=0)
    assert alone > 0.15
    assert both < 0.1


def test_both__find_what_is_there():
    values = rng(9).normal(size=(30, 8))
    values[:, 3] += 1.2
    _, p = largest_t(OneSample(values), 500, rng(), Resampled(values))
    assert p[3] <= 0.01
    assert (np.delete(p, 3) > 0.05).all()


@dataclass(frozen=True)
class Fixed(OneSample):
    """A design whose draws are known beforehand."""

    known: np.ndarray = field(default_factory=lambda: np.empty(0))

    def null(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.known[:n]


def fixed(values: np.ndarray, n: int, scale: float, seed: int) -> Fixed:
    return Fixed(values, scale * smooth((n, *values.shape[1:]), seed))


@pytest.mark.parametrize("statistic", ["mass", "tfce"])
@pytest.mark.parametrize("scales", [(1.0, 2.0), (2.0, 1.0), (1.5, 1.5)])
def test_test__of_several_ways_of_drawing_takes_the_largest_p(statistic: str, scales: tuple[float, float]):
    values, recipe = smooth((30, 40)), Recipe(200, 0.05, 0.05, statistic)
    values[:, 10:16] += 0.6
    designs = [fixed(values, 200, scale, seed) for seed, scale in enumerate(scales)]
    both = permuted(designs[0], recipe, rng(), designs[1])
    apart = [permuted(design, recipe, rng()) for design in designs]
    assert both.critical == max(each.critical for each in apart)
    assert both.p == max(each.p for each in apart)
    np.testing.assert_array_equal(both.cell_p, np.maximum(*(each.cell_p for each in apart)))
    np.testing.assert_array_equal(both.t, apart[0].t)
    if statistic == "mass":
        np.testing.assert_array_equal(both.cluster, apart[0].cluster)
        np.testing.assert_array_equal(both.cluster_p, np.maximum(*(each.cluster_p for each in apart)))
    else:
        # What stands for clusters begins where the stricter of the two is critical.
        strict = max(apart, key=lambda each: each.critical)
        np.testing.assert_array_equal(both.cluster, strict.cluster)
        assert (both.cluster_p >= strict.cluster_p).all()
        assert (both.cluster_p <= 0.05 + 1 / 201).all()


def test_test__may_take_the_largest_p_now_from_one_and_now_from_the_other():
    """By the most |t| of draws one is stricter, by mass the other: no design as a whole is chosen."""
    values, recipe = smooth((30, 40)), Recipe(100, 0.05, 0.05)
    values[:, 10:16] += 0.6
    peaks, broad = np.zeros((2, 100, 40))
    peaks[:, 5], broad[:, 5:25] = 50, 3
    one, other = Fixed(values, peaks), Fixed(values, broad)
    both = permuted(one, recipe, rng(), other)
    apart = [permuted(design, recipe, rng()) for design in (one, other)]
    assert apart[0].cell_p.min() == 1
    assert apart[1].cell_p.min() < 0.05
    assert apart[0].critical < apart[1].critical
    assert (both.cell_p == 1).all()
    assert both.critical == apart[1].critical
    assert both.p == apart[1].p


def test_largest_t__of_several_ways_of_drawing_takes_the_largest_p():
    values = smooth((30, 6)) + np.linspace(0, 1, 6)
    designs = [fixed(values, 300, scale, seed) for seed, scale in enumerate((1.0, 1.1, 3.0))]
    t, p = largest_t(designs[0], 300, rng(), *designs[1:])
    apart = [largest_t(design, 300, rng())[1] for design in designs]
    np.testing.assert_array_equal(p, np.max(apart, axis=0))
    np.testing.assert_allclose(t, stats.ttest_1samp(values, 0).statistic)
    most = np.abs(designs[2].known).max(axis=1)
    np.testing.assert_allclose(p, [(1 + (most >= abs(each)).sum()) / 301 for each in t])
    assert (p > apart[0]).any()


def test_test__of_two_ways_finds_nothing_in_cells_that_are_all_zero():
    values = np.zeros((12, 16))
    for statistic in ("mass", "tfce"):
        tested = permuted(OneSample(values), Recipe(50, 0.01, 0.05, statistic), rng(), Resampled(values))
        assert (tested.p, len(tested.cluster_p)) == (1, 0)
        assert (tested.cell_p == 1).all()


def every_draw(design: Design) -> np.ndarray:
    if isinstance(design, OneSample):
        return np.array(list(product([-1.0, 1.0], repeat=len(design.values))))
    choices = []
    for stratum in np.unique(design.strata):
        inside = np.flatnonzero(design.strata == stratum)
        choices.append(combinations(inside, int(design.members[inside].sum())))
    subsets = [np.concatenate(parts).astype(int) for parts in product(*map(list, choices))]
    return np.array([np.isin(np.arange(len(design.values)), subset) for subset in subsets], float)


def small(n_members: int | None) -> Design:
    values = smooth((11, 12), seed=7)
    members = np.isin(np.arange(11), [0, 1, 5, 6])
    values[members if n_members else slice(None), 2:6] += 1.2
    strata = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    return AgainstRest(values, members, strata) if n_members else OneSample(values[:9])


@pytest.mark.parametrize("n_members", [None, 4])
def test_p__is_that_of_every_draw_there_is(n_members: int | None):
    design, cluster_p, n = small(n_members), 0.2, 20_000
    all_t = design.t(every_draw(design))
    threshold = threshold_of(design, cluster_p)
    tested = permuted(design, Recipe(n, cluster_p, 0.05), rng())
    _, p_of_cells = largest_t(design, n, rng(1))
    assert len(tested.cluster_p)
    masses, most = largest_mass(all_t, threshold), np.abs(all_t).max(axis=1)
    for ours, observed, null in (
        (tested.cluster_p, np.abs(tested.cluster_t), masses),
        (tested.cell_p, np.abs(tested.t), most),
        (p_of_cells, np.abs(tested.t), most),
    ):
        exact = np.array([(null >= value * (1 - 1e-9)).mean() for value in observed.ravel()])
        assert exact.min() < 0.5
        assert np.abs(ours - exact).max() < 4.5 * math.sqrt(0.25 / n)
    assert tested.p == tested.cluster_p.min()


@pytest.mark.parametrize("statistic", ["mass", "tfce"])
def test_test__finds_what_was_planted_and_only_there(statistic: str):
    values = smooth((60, 64))
    values[:, 20:28] += 0.9
    values[:, 44:52] -= 0.9
    tested = permuted(OneSample(values), Recipe(500, 0.01, 0.05, statistic), rng())
    certain = tested.p_by_cell <= 0.05
    assert tested.p <= 0.01
    assert certain[21:27].all()
    assert certain[45:51].all()
    assert not certain[:16].any()
    assert not certain[32:40].any()
    assert len(np.unique(tested.cluster[[24, 48]])) == 2  # of two signs


def test_test__of_one_rng_says_the_same_again():
    design = two_samples((60, 64), 20, 3)
    one, other = (permuted(design, Recipe(200, 0.05, 0.05), rng(8)) for _ in range(2))
    for name in ("t", "cell_p", "cluster", "cluster_t", "cluster_p", "p", "critical"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_test__takes_what_a_stratum_shares_for_nothing():
    design = two_samples((60, 64), 20, 3)
    shift = np.array([0.0, 50.0, -20.0])[design.strata][:, None] * np.linspace(-1, 1, 64)
    moved = AgainstRest(design.values + shift, design.members, design.strata)
    one, other = (permuted(each, Recipe(200, 0.05, 0.05), rng(8)) for each in (design, moved))
    np.testing.assert_allclose(one.t, other.t, rtol=1e-9)
    np.testing.assert_array_equal(one.cluster_p, other.cluster_p)


def test_clusters__are_of_one_sign_and_one_draw():
    t = np.array([[[3.0, 3, -3], [0, 0, -3]], [[0, 0, -3], [3, 0, 3]]])
    labels, sums, draw = clusters(t, 2)
    assert sums.tolist() == [6.0, 3.0, 3.0, -6.0, -3.0]
    assert draw.tolist() == [0, 1, 1, 0, 1]
    assert labels.tolist() == [[[1, 1, 4], [0, 0, 4]], [[0, 0, 5], [2, 0, 3]]]
    assert largest_mass(t, 2).tolist() == [6, 3]
    assert largest_mass(t, 4).tolist() == [0, 0]


def test_p_values__count_the_data_among_the_draws():
    null = np.array([0.0, 1, 2, 2, 5])
    observed = np.array([[6.0, 5], [2, 0]])
    assert p_values(observed, null).tolist() == [[1 / 6, 2 / 6], [4 / 6, 1]]
    assert p_values(np.array([2 * (1 + 1e-14)]), null).tolist() == [4 / 6]


def slow_holm(p: list[float]) -> list[float]:
    return [
        min(1.0, max(p[j] * sum(other >= p[j] for other in p) for j in range(len(p)) if p[j] <= p[i]))
        for i in range(len(p))
    ]


def test_holm__is_its_definition():
    # scipy has no Holm. Without ties, the factor of each is how many are not below it.
    for seed in range(20):
        p = rng(seed).random(12) ** 3
        np.testing.assert_allclose(holm(p), slow_holm(p.tolist()), rtol=1e-12)
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).max() == 1


def test_holm__counts_only_tests_that_were_made():
    p = np.array([[0.01, np.nan], [0.02, 0.5]])
    np.testing.assert_allclose(holm(p), [[0.03, np.nan], [0.04, 0.5]])


def test_inclusion__is_certain_inside_open_at_edges_and_rare_outside():
    values = smooth((60, 64), seed=3)
    values += 1.2 * np.exp(-(((np.arange(64) - 32) / 6) ** 2))
    design = OneSample(values)
    tested = permuted(design, Recipe(1000, 0.01, 0.05), rng())
    weights = rng(1).multinomial(59, np.full(60, 1 / 60), size=1000) * (60 / 59)
    included = inclusion(design, tested, threshold_of(design, 0.01), (weights[:300], weights[300:]))
    assert included[28:37].min() > 0.98
    assert max(included[:12].max(), included[52:].max()) < 0.1
    assert ((included > 0.2) & (included < 0.8)).any()
    assert ((included >= 0) & (included <= 1)).all()
