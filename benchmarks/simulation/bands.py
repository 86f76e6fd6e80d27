"""How often bands are called different that are not: recordings as they are, and folds unlike one another.

A verdict names bands, by a p corrected over bands. Bands are eight neighbouring bins each; values are shares of
relevance that are noisier than those of input, and every fold has a shift of its own.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.simulation.error_rates import FLOOR
from benchmarks.simulation.recordings import (
    N_BINS,
    Layout,
    clip_values,
    fold_effects,
    input_shares,
    means,
    relevance_shares,
)
from toolkit.statistics.contrasts import (
    Contrast,
    Groups,
    against_input,
    against_rest,
    band_test,
    can_be_tested,
)

BANDS = Groups(np.repeat(np.eye(N_BINS // 8, dtype=bool), 8, axis=1), FLOOR)
INPUT, REST, REST_NOISY = "input, noisy", "rest", "rest, noise x 2"
UNEVEN = {
    "10 folds of 2 and 18": ([(2, 18)] * 10, 1),
    "2 folds of 25 and 5, and 5 and 25": ([(25, 5), (5, 25)], 1),
    "1 fold of 18 and 2, 9 folds of 0 and 20": ([(18, 2)] + [(0, 20)] * 9, 1),
    "10 folds of 1 and 2, the class twice as noisy": ([(1, 2)] * 10, 2),
    "5 folds of 2 and 2, the class twice as noisy": ([(2, 2)] * 5, 2),
}
"""Recordings of the class and of others in each fold, one clip each, and how noisy the class is."""
_N_DRAWS = 199
_MINIMUM_RECORDINGS = 10
_AT_ONCE = 10


@dataclass(frozen=True)
class Corpus:
    """Shares of recordings in one corpus, shape (recording, bin) each; in the mean, nothing differs."""

    inputs: np.ndarray
    relevance: np.ndarray
    noisier: np.ndarray
    """Relevance with more noise."""
    shift: np.ndarray
    """What recordings of a fold share."""


def simulate(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the smallest p of bands by contrast, shape (corpus, class), where nothing differs."""
    found = defaultdict(list)
    for corpus in _corpora(layout, icc, n, rng):
        by_class = [_p_of_class(layout, number, corpus, rng) for number in range(len(layout.names))]
        for name in by_class[0]:
            found[name].append([p[name] for p in by_class])
    return {name: np.array(p) for name, p in found.items()}


def simulate_uneven(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the smallest p of bands against the rest, by layout, shape (corpus,); NaN where none is tested."""
    return {name: _of_uneven(*known, n, rng) for name, known in UNEVEN.items()}


def uneven(folds: list[tuple[int, int]]) -> Layout:
    """Return recordings of one clip each, the class before the others, from their numbers in each fold."""
    counts = np.array(folds)
    number = np.arange(1, len(folds) + 1)
    n_class, n_rest = counts.sum(axis=0)
    return Layout(
        ("class", "others"),
        np.repeat([0, 1], [n_class, n_rest]),
        np.concatenate([np.repeat(number, side) for side in counts.T]),
        np.ones(n_class + n_rest, int),
    )


def _of_uneven(folds: list[tuple[int, int]], times: float, n: int, rng: np.random.Generator) -> np.ndarray:
    layout = uneven(folds)
    members = layout.of_class == 0
    p = []
    for corpus in _corpora(layout, 0.0, n, rng, times):
        p.append(_least_p(_to_rest(corpus, members, layout.fold, is_noisier=True), rng))
    return np.array(p)


def _corpora(
    layout: Layout, icc: float, n: int, rng: np.random.Generator, times: float = 2
) -> Iterator[Corpus]:
    for start in range(0, n, _AT_ONCE):
        noise = clip_values(layout, icc, min(_AT_ONCE, n - start), rng)
        inputs = input_shares(layout, len(noise), rng)
        shift = fold_effects(layout, len(noise), rng) / N_BINS
        plain, noisier = (
            means(relevance_shares(inputs, np.float32(by) * noise, layout), layout) for by in (1, times)
        )
        for place in range(len(noise)):
            yield Corpus(inputs[place], plain[:, place], noisier[:, place], shift[:, place])


def _p_of_class(layout: Layout, number: int, corpus: Corpus, rng: np.random.Generator) -> dict[str, float]:
    members, fold = layout.of_class == number, layout.fold
    contrasts = {
        INPUT: against_input(corpus.relevance[members], corpus.inputs[members], fold[members], BANDS),
        REST: _to_rest(corpus, members, fold, is_noisier=False),
        REST_NOISY: _to_rest(corpus, members, fold, is_noisier=True),
    }
    return {name: _least_p(contrast, rng) for name, contrast in contrasts.items()}


def _to_rest(corpus: Corpus, members: np.ndarray, fold: np.ndarray, *, is_noisier: bool) -> Contrast:
    of_class = corpus.noisier if is_noisier else corpus.relevance
    values = np.where(members[:, None], of_class, corpus.relevance) + corpus.shift
    return against_rest(values, members, fold, BANDS)


def _least_p(contrast: Contrast, rng: np.random.Generator) -> float:
    if not can_be_tested(contrast, _MINIMUM_RECORDINGS):
        return float("nan")
    return float(band_test(contrast, _N_DRAWS, rng)[1].min())
