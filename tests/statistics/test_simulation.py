"""Corpora whose truth is known: a sample of what ``make simulate`` makes, and whether it makes what it says."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.simulation import bands, coverage, error_rates, power
from benchmarks.simulation.error_rates import (
    ALPHA,
    CLIPS,
    CLUSTER_P,
    FLOOR,
    INPUT,
    INPUT_NOISY,
    REST,
    p_of,
    p_of_shares,
)
from benchmarks.simulation.recordings import (
    N_BINS,
    OCTAVE,
    SMALL,
    WIDTH_BINS,
    Layout,
    clip_values,
    correlated,
    fold_effects,
    input_shares,
    means,
    read_layout,
    relevance_shares,
    skewed,
    with_small,
)
from toolkit.statistics.contrasts import against_input, single_bins
from toolkit.statistics.permutation import AgainstRest, Recipe
from toolkit.statistics.permutation import test as permuted

ICC = 0.3
FEW = ("gun_shot", "jackhammer", "siren")
NOMINAL = (
    INPUT,
    REST,
    error_rates.REST_TWICE,
    error_rates.REST_HALF,
    error_rates.REST_SKEWED,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def few() -> Layout:
    return read_layout(FEW)


@pytest.fixture(scope="module")
def found(few: Layout) -> dict[str, np.ndarray]:
    return error_rates.simulate(few, ICC, 50, rng())


def assert_nominal(hits: np.ndarray, rate: float, doubt: float = 1e-3):
    low, high = stats.binom.interval(1 - doubt, hits.size, rate)
    assert low <= hits.sum() <= high, f"{hits.mean():.1%} of {hits.size} instead of {rate:.0%}"


def test_layout__has_the_recordings_of_seven_folds():
    layout = read_layout()
    assert (len(layout.names), len(layout.size), layout.size.sum()) == (10, 927, 6273)
    siren = layout.of(layout.names.index("siren"))
    assert (len(siren.size), siren.size.sum(), siren.size.max()) == (53, 684, 100)
    assert set(layout.fold) == set(range(1, 8))
    assert (np.diff(layout.of_class) >= 0).all()


def test_small_classes__are_added_in_the_same_folds(few: Layout):
    layout = with_small(few)
    assert layout.is_small.tolist() == [False] * 3 + [True] * 3
    for number, n in zip(np.flatnonzero(layout.is_small), SMALL, strict=True):
        small = layout.of(number)
        assert (len(small.size), small.size.sum()) == (n, n)
        assert set(small.fold) == set(few.fold)
    assert (layout.of(0).size == few.of(0).size).all()


def test_clip_values__are_alike_within_recordings_and_smooth_along_bins(few: Layout):
    clips = clip_values(few, ICC, 20, rng())
    first, second = (clips[:, few.starts[few.size > 1] + place].reshape(-1) for place in (0, 1))
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(ICC, abs=0.02)
    assert clips.std() == pytest.approx(1, abs=0.01)
    one, other = clips[..., 20].ravel(), clips[..., 20 + WIDTH_BINS // 2].ravel()
    assert np.corrcoef(one, other)[0, 1] == pytest.approx(0.5**0.5, abs=0.02)


def test_relevance_shares__are_as_even_as_input_in_the_mean_and_noisier(few: Layout):
    inputs = input_shares(few, 40, rng())
    shares = relevance_shares(inputs, clip_values(few, ICC, 40, rng(1)), few)
    assert np.allclose(shares.sum(axis=-1), 1, atol=1e-5)
    assert inputs.mean(axis=(0, 1)) == pytest.approx(1 / N_BINS, rel=0.02)
    assert shares.mean(axis=(0, 1)) == pytest.approx(1 / N_BINS, rel=0.05)
    noise = np.log(shares) - np.repeat(np.log(inputs), few.size, axis=1)
    assert noise.std(axis=(0, 1)) == pytest.approx(np.full(N_BINS, noise.std()), rel=0.02)
    # Why logarithms are not tested: their mean is below that of input in every bin.
    assert (means(noise, few).mean(axis=(0, 1)) < -0.1).all()


def test_skewed__has_the_mean_and_spread_of_what_it_replaces():
    values = skewed(rng().standard_normal(200_000))
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)
    assert stats.skew(values) == pytest.approx(1.07, abs=0.05)


@pytest.mark.parametrize("name", coverage.SHARES)
def test_shares__have_their_mean_and_spread(few: Layout, name: str):
    mean, precision = coverage.SHARES[name]
    drawn = coverage.shares(few, ICC, 300, (mean, precision), rng())
    variance = mean * (1 - mean) / (precision + 1)
    assert drawn.mean() == pytest.approx(mean, rel=0.02)
    for size in (1, 5):
        expected = variance * (ICC + (1 - ICC) / size)
        assert drawn[few.size == size].var() == pytest.approx(expected, rel=0.15)


def test_p_of__is_that_of_a_test_made_alone(few: Layout):
    values = means(clip_values(few, ICC, 1, rng(1)), few) + fold_effects(few, 1, rng(2))
    members = few.of_class == 0
    values[members, :, 10:16] += 0.6
    ((p,),) = p_of([AgainstRest(values, members, few.fold)], 199, rng(3))
    alone = permuted(AgainstRest(values[:, 0], members, few.fold), Recipe(199, CLUSTER_P, ALPHA), rng(3))
    assert alone.p == p < 0.5


def test_p_of_shares__is_that_of_contrasts_made_alone(few: Layout):
    lone = few.of(0)
    inputs = input_shares(lone, 2, rng(1))
    shares = means(relevance_shares(inputs, clip_values(lone, ICC, 2, rng(2)), lone), lone)
    shares[:, 0, 10:16] *= 1.3
    reference = np.moveaxis(inputs, 1, 0)
    recipe = Recipe(199, CLUSTER_P, ALPHA)
    together = p_of_shares(shares, reference, lone, 199, rng(3))[:, :, 0]
    for corpus in range(2):
        contrast = against_input(shares[:, corpus], reference[:, corpus], lone.fold, single_bins(N_BINS, FLOOR))
        by_bin, *also = contrast.designs(contrast.bins)
        assert permuted(by_bin, recipe, rng(3), *also).p == together[:, corpus].max()
    assert together[:, 0].max() < 0.5


@pytest.mark.parametrize("scenario", NOMINAL)
def test_tests_of_recordings__hold_their_level(found: dict[str, np.ndarray], scenario: str):
    assert_nominal(found[scenario] <= ALPHA, ALPHA)


@pytest.mark.parametrize("scenario", [error_rates.INPUT_SKEWED, INPUT_NOISY])
def test_both_ways_of_drawing__hold_their_level_where_values_are_skewed(
    found: dict[str, np.ndarray], scenario: str
):
    assert 0.01 <= (found[scenario] <= ALPHA).mean() <= 0.09


def test_flipped_signs__would_not_hold_alone(found: dict[str, np.ndarray]):
    assert (found[error_rates.FLIPS] <= ALPHA).mean() > 0.07
    assert (found[error_rates.FLIPS] <= found[INPUT_NOISY]).all()


def test_shares_against_the_rest__hold_their_level_where_noise_is_alike_or_less(few: Layout):
    found = error_rates.simulate_noises(few, ICC, 20, rng())
    assert list(found) == ["noise x 1", "noise x 0.67", "noise x 1.5", "noise x 2"]
    for p in list(found.values())[:2]:
        assert_nominal(p <= ALPHA, ALPHA)


@pytest.mark.parametrize("scenario", [INPUT, REST])
def test_tests_of_clips__do_not(found: dict[str, np.ndarray], scenario: str):
    # What the tests above would look like if they could fail.
    assert (found[CLIPS + scenario].mean(axis=0) > 0.15).all()


def test_tests_of_unequal_spreads__would_not_hold_if_spreads_were_pooled(few: Layout):
    # Student's t with one spread for both, its critical value from the same exchange of memberships.
    members = few.of_class == few.names.index("jackhammer")
    values = rng(4).standard_normal((len(members), 1000)) * np.where(members, 2, 1)[:, None]
    design = AgainstRest(values, members, few.fold)
    drawn, size = design.draws(199, rng(5)), members.sum()
    difference = np.abs(drawn @ values / size - (1 - drawn) @ values / (~members).sum())
    observed = np.abs(values[members].mean(axis=0) - values[~members].mean(axis=0))
    assert (((difference >= observed).sum(axis=0) + 1) / 200 <= ALPHA).mean() > 0.15


def test_holm__holds_over_classes_and_contrasts(found: dict[str, np.ndarray]):
    assert error_rates.any_after_holm(found).mean() <= 0.12


def test_intervals__hold_the_truth_as_often_as_they_say(few: Layout):
    held = coverage.simulate(few, ICC, 250, rng())
    assert len(held) == 4
    for name, rates in held.items():
        assert 0.92 <= rates.mean() <= 0.975, name


def test_intervals__of_clips_would_not(few: Layout):
    jackhammer = few.of(few.names.index("jackhammer"))
    clips = correlated(jackhammer, ICC, (300, 1), rng())[..., 0]
    mean, error = clips.mean(axis=1), clips.std(axis=1) / np.sqrt(clips.shape[1])
    assert (np.abs(mean) <= 1.96 * error).mean() < 0.7


def test_gains__give_the_ratios_of_mean_shares(few: Layout):
    inputs = input_shares(few, 40, rng())
    shares = relevance_shares(inputs, clip_values(few, ICC, 40, rng(1)), few)
    for ratio, gain in power.gains(rng(2)).items():
        planted = power.planted(shares, gain)
        found = planted[..., OCTAVE].sum(axis=-1).mean() / inputs[..., OCTAVE].sum(axis=-1).mean()
        assert found == pytest.approx(ratio, rel=0.02)


def test_power__a_doubling_is_found(few: Layout):
    p = power.simulate(few, ICC, 8, rng())
    for contrast in (power.INPUT, power.REST):
        often = [(p[f"{contrast}, {ratio:g}"] <= ALPHA).mean() for ratio in power.RATIOS]
        assert often == sorted(often)
        assert often[-1] > 0.9


@pytest.mark.slow
def test_tests_of_recordings__hold_their_level_in_every_class():
    layout = read_layout()
    found = error_rates.simulate(layout, ICC, 120, rng(6))
    for scenario in NOMINAL:
        for number, name in enumerate(layout.names):
            hits = found[scenario][:, number] <= ALPHA
            low, high = stats.binom.interval(1 - 1e-4, hits.size, ALPHA)
            assert low <= hits.sum() <= high, (scenario, name)
        assert_nominal(found[scenario] <= ALPHA, ALPHA)
    assert error_rates.any_after_holm(found).mean() <= 0.1


@pytest.mark.slow
def test_tests_against_input__hold_their_level_where_recordings_are_few():
    layout = with_small(read_layout(("jackhammer",)))
    found = error_rates.simulate(layout, ICC, 400, rng(8))[INPUT_NOISY] <= ALPHA
    assert (found.mean(axis=0) <= 0.09).all(), found.mean(axis=0)


@pytest.mark.slow
def test_intervals__hold_the_truth_in_every_class():
    layout = read_layout()
    for name, rates in coverage.simulate(layout, ICC, 800, rng(7)).items():
        assert (rates > 0.91).all(), (name, layout.names, rates)
        assert (rates < 0.98).all(), (name, layout.names, rates)


def test_bands__are_called_different_as_rarely_as_is_said(few: Layout):
    for name, p in bands.simulate(few, ICC, 40, rng()).items():
        assert p.shape == (40, len(few.names)), name
        assert_nominal(p <= ALPHA, ALPHA)


def test_uneven__has_the_recordings_that_its_name_says():
    layout = bands.uneven([(25, 5), (5, 25)])
    assert [(layout.fold[layout.of_class == side] == 1).sum() for side in (0, 1)] == [25, 5]
    assert len(layout.size) == 60
    assert (np.diff(layout.of_class) >= 0).all()


def test_uneven_folds__are_nominal_or_strict_and_not_tested_where_others_are_too_few():
    found = bands.simulate_uneven(100, rng())
    (too_few,) = [name for name, p in found.items() if np.isnan(p).all()]
    assert too_few.startswith("1 fold of 18 and 2")
    for name, p in found.items():
        if name != too_few:
            assert (p <= ALPHA).sum() <= stats.binom.isf(1e-3, len(p), ALPHA), name
