"""How often tests call different what is not, with recordings as the unit and with clips."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from benchmarks.simulation.recordings import (
    N_BINS,
    Layout,
    clip_values,
    fold_effects,
    input_shares,
    means,
    relevance_shares,
    skewed,
)
from toolkit.statistics.contrasts import against_input, against_rest, single_bins
from toolkit.statistics.permutation import (
    Design,
    OneSample,
    Resampled,
    holm,
    largest_mass,
    p_values,
    threshold_of,
)

ALPHA = 0.05
CLUSTER_P = 0.01
AT_ONCE = 10
"""Corpora that are made together and share the draws of their tests."""
N_DRAWS = 399
"""Of a test: (399 + 1) * 5 % is whole, and the smallest p, 1/400, is what the first of 20 needs after Holm."""
N_FEWER_DRAWS = 199
"""Where p are not corrected for the number of tests."""
INPUT, INPUT_SKEWED, INPUT_NOISY = "input", "input, skewed", "input, noisy"
FLIPS = "flips alone: input, noisy"
REST, REST_TWICE, REST_HALF = "rest", "rest, spread x 2", "rest, spread x 1/2"
REST_SKEWED = "rest, skewed, spread x 2"
NOISES = (1, 1 / 1.5, 1.5, 2)
"""How many times as large as in the others the log spread of the noise of a class's shares is."""
FLOOR = 0.1
"""Of ratios, in units of an even spread, as in the settings; tests do without."""
CLIPS = "clips: "
"""Before the name of a scenario: the same by tests of clips."""


def simulate(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the p of tests of corpora in which nothing differs.

    Returns
    -------
    By scenario, shape (corpus, class); after ``CLIPS``, the share of bins that a t-test of clips calls
    different at ``ALPHA``.
    """
    found = defaultdict(list)
    for start in range(0, n, AT_ONCE):
        clips = clip_values(layout, icc, min(AT_ONCE, n - start), rng)
        for name, values in _of_corpora(clips, layout, rng).items():
            found[name].append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def simulate_noises(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the p of tests of shares against the rest, where a class has the same means but another noise.

    Returns
    -------
    By the noise of the class, shape (corpus, class).
    """
    found = defaultdict(list)
    for start in range(0, n, AT_ONCE):
        noise = clip_values(layout, icc, min(AT_ONCE, n - start), rng)
        inputs = input_shares(layout, len(noise), rng)
        of_rest = means(relevance_shares(inputs, noise, layout), layout)
        for times in NOISES:
            of_class = means(relevance_shares(inputs, np.float32(times) * noise, layout), layout)
            p = p_against_rest(of_rest, of_class, layout, N_FEWER_DRAWS, rng)
            found[f"noise x {times:.2g}"].append(p)
    return {name: np.concatenate(values) for name, values in found.items()}


def any_after_holm(p: dict[str, np.ndarray]) -> np.ndarray:
    """Tell in which corpora a class is called different in either contrast, shape (corpus,)."""
    both = np.concatenate([p[INPUT_NOISY], p[REST]], axis=1)
    return np.array([holm(of_corpus).min() <= ALPHA for of_corpus in both])


def p_of_values(values: np.ndarray, layout: Layout, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return p by class, shape (corpus, class), of values of recordings against zero.

    Parameters
    ----------
    values
        Shape (recording, corpus, bin).
    layout
        Their classes.
    n_draws, rng
        Draws of each way of drawing.
    """
    of_classes = (values[layout.of_class == number] for number in range(len(layout.names)))
    p = [p_of((OneSample(x), Resampled(x)), n_draws, rng).max(axis=0) for x in of_classes]
    return np.stack(p, axis=1)


def p_of_shares(
    shares: np.ndarray, inputs: np.ndarray, layout: Layout, n_draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return p of every way of drawing by class, shape (way, corpus, class), of shares against input.

    Parameters
    ----------
    shares, inputs
        Of recordings, shape (recording, corpus, bin).
    layout
        Their classes and folds.
    n_draws, rng
        Draws of each way of drawing.
    """
    p = []
    for number in range(len(layout.names)):
        inside = layout.of_class == number
        # Bins of all corpora in a row: differences are taken bin by bin.
        share, reference = (x[inside].reshape(inside.sum(), -1) for x in (shares, inputs))
        bins = single_bins(share.shape[1], FLOOR)
        designs = against_input(share, reference, layout.fold[inside], bins).designs(bins)
        by_corpus = [replace(each, values=each.values.reshape(len(share), -1, N_BINS)) for each in designs]
        p.append(p_of(by_corpus, n_draws, rng))
    return np.stack(p, axis=2)


def p_against_rest(
    values: np.ndarray, of_class: np.ndarray, layout: Layout, n_draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return p by class, shape (corpus, class), with folds that differ.

    Parameters
    ----------
    values
        Of recordings, shape (recording, corpus, bin).
    of_class
        The same of recordings of the class that is tested, and of it alone.
    layout
        Their classes and folds.
    n_draws, rng
        Permutations of each test.
    """
    shift, bins = fold_effects(layout, values.shape[1], rng), single_bins(N_BINS, FLOOR)
    p = []
    for number in range(len(layout.names)):
        members = layout.of_class == number
        moved = np.where(members[:, None, None], of_class, values) + shift
        # One corpus says which ways of drawing must agree; they are given the values of all.
        of_one = against_rest(moved[:, 0], members, layout.fold, bins).designs(bins)
        p.append(p_of([replace(each, values=moved) for each in of_one], n_draws, rng).max(axis=0))
    return np.stack(p, axis=1)


def p_of(designs: Sequence[Design], n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return the p of ``permutation.test`` for corpora that share their draws, shape (design, corpus).

    Parameters
    ----------
    designs
        Ways of drawing, with the same values of shape (recording, corpus, bin); a test takes the largest p.
    n_draws, rng
        Draws of each.
    """
    threshold = threshold_of(designs[0], CLUSTER_P)
    (observed,) = _masses(designs[0].t(designs[0].observed[None]), threshold)
    nulls = [_masses(design.null(n_draws, rng), threshold) for design in designs]
    return np.array([[p_values(*pair) for pair in zip(observed, null.T, strict=True)] for null in nulls])


def clips_against_input(clips: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the share of bins that Student's t of clips calls different from 0, shape (corpus, class)."""
    n, total, of_squares = _sums(clips, layout)
    mean = total / n
    t = mean / np.sqrt((of_squares / n - mean**2) / (n - 1))
    return (np.abs(t) > stats.t.isf(ALPHA / 2, n - 1)).mean(axis=2)


def clips_against_rest(clips: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the share of bins that Welch's t of clips calls different from others, shape (corpus, class).

    Folds do not differ here, in favour of this test.
    """
    sums = _sums(clips, layout)
    of_mean, errors = [], []
    for n, total, of_squares in (sums, [part.sum(axis=1, keepdims=True) - part for part in sums]):
        of_mean.append(total / n)
        errors.append((of_squares / n - of_mean[-1] ** 2) / (n - 1))
    t = (of_mean[0] - of_mean[1]) / np.sqrt(errors[0] + errors[1])
    return (np.abs(t) > stats.norm.isf(ALPHA / 2)).mean(axis=2)


def _of_corpora(clips: np.ndarray, layout: Layout, rng: np.random.Generator) -> dict[str, np.ndarray]:
    values, ratios = means(clips, layout), means(skewed(clips), layout)
    inputs = input_shares(layout, len(clips), rng)
    shares = means(relevance_shares(inputs, clips, layout), layout)
    noisy = p_of_shares(shares, np.moveaxis(inputs, 1, 0), layout, N_DRAWS, rng)
    against_rest = {
        REST: (values, 1, N_DRAWS),
        REST_TWICE: (values, 2, N_FEWER_DRAWS),
        REST_HALF: (values, 0.5, N_FEWER_DRAWS),
        REST_SKEWED: (ratios, 2, N_FEWER_DRAWS),
    }
    return {
        INPUT: p_of_values(values, layout, N_FEWER_DRAWS, rng),
        INPUT_SKEWED: p_of_values(ratios, layout, N_FEWER_DRAWS, rng),
        INPUT_NOISY: noisy.max(axis=0),
        FLIPS: noisy[0],
        **{
            name: p_against_rest(x, x * spread, layout, n, rng) for name, (x, spread, n) in against_rest.items()
        },
        f"{CLIPS}{INPUT}": clips_against_input(clips, layout),
        f"{CLIPS}{REST}": clips_against_rest(clips, layout),
    }


def _masses(t: np.ndarray, threshold: float) -> np.ndarray:
    """Return the mass of the heaviest cluster, shape (draw, corpus), of t of shape (draw, corpus, bin)."""
    return largest_mass(t.reshape(-1, t.shape[-1]), threshold).reshape(t.shape[:2])


def _sums(clips: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the number of clips of each class, shape (1, class, 1), sums of values and of their squares."""
    of_clip = np.repeat(layout.of_class, layout.size)
    n = np.bincount(of_clip).reshape(1, -1, 1)
    starts = np.searchsorted(of_clip, np.arange(len(layout.names)))
    total, of_squares = (np.add.reduceat(x, starts, axis=1, dtype=np.float64) for x in (clips, clips**2))
    return n, total, of_squares
