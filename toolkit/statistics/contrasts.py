"""Two questions about where a class's relevance lies, each answered for recordings with its uncertainty.

``input``: does relevance lie elsewhere than the network's own input does? Of each recording, the share of
positive relevance is set against the share of input, bin by bin and band by band.
``rest``: is it spread differently than in other classes explained for the same output? Recordings of the
class are set against all others; memberships are exchanged within folds.

What is tested are differences of shares, and what is told are ratios of mean shares, with intervals on the
logarithmic scale. Not means of log ratios: relevance is noisier than input, and the mean of a logarithm falls
with noise, so that every band would seem to hold less relevance than input. Differences of shares are skewed:
flipped signs, and exchange with classes of another spread, find too much, and a bootstrap of t must agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.statistics.bootstrap import (
    PLAIN,
    Bootstrap,
    blocks_of_weights,
    collapsed_within,
    interval,
    replicates,
    weighted_means,
)
from toolkit.statistics.permutation import (
    AgainstRest,
    Design,
    OneSample,
    Recipe,
    Resampled,
    ResampledAgainstRest,
    centred,
    holm,
    inclusion,
    largest_t,
    test,
    tested_together,
    threshold_of,
)

THRESHOLDS = (0.05, 0.01, 0.001)
"""Cluster-forming p by which the test is repeated, to show how much hangs on the choice."""


@dataclass(frozen=True)
class Groups:
    """Groups of bins: bands, or every bin on its own."""

    bins: np.ndarray
    """Which bins are in each, booleans, shape (group, bin)."""
    floor: float
    """Added to mean shares before ratios, in units of an even spread, so that zero has a logarithm."""

    def of(self, shares: np.ndarray) -> np.ndarray:
        """Return shares by group, shape (..., group), of shares by bin, shape (..., bin)."""
        return np.asarray(shares @ self.bins.T)

    def log_ratio(self, share: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Return the logarithm of the ratio of mean shares by group, floored; same shape."""
        added = self.floor * self.bins.sum(axis=1) / self.bins.shape[1]
        return np.asarray(np.log((share + added) / (np.maximum(reference, 0) + added)))


def single_bins(n_bins: int, floor: float) -> Groups:
    """Return every bin as a group of its own."""
    return Groups(np.eye(n_bins, dtype=bool), floor)


@dataclass(frozen=True)
class Contrast:
    """Shares of recordings by bin, and what they are compared with: their input, or those of other classes."""

    share: np.ndarray
    """Shape (recording, bin)."""
    fold: np.ndarray
    """Shape (recording,)."""
    bands: Groups
    reference: np.ndarray | None = None
    """Shares of input, shape (recording, bin); None where recordings are compared with one another."""
    members: np.ndarray | None = None
    """Which recordings are of the class, booleans, shape (recording,); None where there are no others."""

    @property
    def bins(self) -> Groups:
        """Every bin on its own."""
        return single_bins(self.share.shape[1], self.bands.floor)

    @property
    def bins_and_bands(self) -> Groups:
        """Every bin on its own, then the bands."""
        return Groups(np.concatenate([self.bins.bins, self.bands.bins]), self.bands.floor)

    @property
    def strata(self) -> np.ndarray:
        """Within which recordings are drawn anew: folds, of the class and of the others."""
        return self.fold if self.members is None else collapsed_within(self.members, self.fold)

    @property
    def strata_of_fewer(self) -> np.ndarray:
        """Strata of the recordings of the class or of the others, whichever are fewer.

        How many recordings are behind the spread of a difference is, at the least, how many these are.
        """
        if self.members is None:
            return self.fold
        are_fewer = self.members if 2 * self.members.sum() <= len(self.members) else ~self.members
        return self.strata[are_fewer]

    @property
    def n_recordings(self) -> int:
        """Recordings of the class."""
        return len(self.fold) if self.members is None else int(self.members.sum())

    @property
    def n_others(self) -> int:
        """Recordings that are not of the class."""
        return 0 if self.members is None else int((~self.members).sum())

    def designs(self, groups: Groups) -> tuple[Design, ...]:
        """Return what tests take: the statistic, and the ways of drawing that must agree."""
        if self.members is not None:
            of_rest = groups.of(self.share), self.members, self.fold
            return AgainstRest(*of_rest), ResampledAgainstRest(*of_rest)
        difference = self.difference(groups)
        return OneSample(difference), Resampled(difference)

    def difference(self, groups: Groups) -> np.ndarray:
        """Return what is tested by recording, shape (recording, group): against the input, less its share."""
        shares = groups.of(self.share)
        return shares if self.reference is None else shares - groups.of(self.reference)

    def effect(self, groups: Groups, weights: np.ndarray) -> np.ndarray:
        """Return the difference of mean shares in every replicate, shape (replicate, group); NaN for none.

        Of the class and others, it is the mean of the differences within folds, each with the weight of a least
        squares fit: n p (1 - p) for n recordings of which a share p is of the class. Replicates are of the same
        fit: a fold that holds only one of the two tells nothing of the difference, nor of its spread.
        """
        values = self.difference(groups)
        if self.members is None:
            return weighted_means(values, weights)
        within = centred(self.members, self.fold)
        with np.errstate(divide="ignore", invalid="ignore"):
            fitted = (weights * within) @ centred(values, self.fold) / (weights @ within**2)[:, None]
        return np.asarray(fitted)

    def log_ratio(self, groups: Groups, weights: np.ndarray) -> np.ndarray:
        """Return the logarithm of the ratio of mean shares in every replicate, shape (replicate, group).

        What the others would have in the folds of the class is what the class has, less the difference.
        """
        mine = slice(None) if self.members is None else self.members
        share = weighted_means(groups.of(self.share[mine]), weights[:, mine])
        return groups.log_ratio(share, share - self.effect(groups, weights))

    def part(self, inside: np.ndarray) -> "Contrast":
        """Return the contrast of some of the recordings."""
        reference, members = (None if x is None else x[inside] for x in (self.reference, self.members))
        return Contrast(self.share[inside], self.fold[inside], self.bands, reference, members)


def against_input(share: np.ndarray, input_share: np.ndarray, fold: np.ndarray, bands: Groups) -> Contrast:
    """Return the contrast of relevance with input, of the recordings that have both.

    Parameters
    ----------
    share, input_share
        Of recordings by bin, shape (recording, bin); NaN where a recording has none.
    fold
        Shape (recording,).
    bands
        Bands.
    """
    known = np.isfinite(share).all(axis=1) & np.isfinite(input_share).all(axis=1)
    return Contrast(share[known], fold[known], bands, reference=input_share[known])


def against_rest(share: np.ndarray, members: np.ndarray, fold: np.ndarray, bands: Groups) -> Contrast:
    """Return the contrast of a class with all others, all of them explained for that class's output.

    A fold that holds only one of the two tells nothing of their difference, and is left out.

    Parameters
    ----------
    share
        Of recordings by bin, shape (recording, bin); NaN where a recording has none.
    members
        Which recordings are of the class, booleans, shape (recording,).
    fold, bands
        As in ``against_input``.
    """
    known = np.isfinite(share).all(axis=1)
    both = np.intersect1d(fold[known & members], fold[known & ~members])
    known &= np.isin(fold, both)
    return Contrast(share[known], fold[known], bands, members=members[known])


def can_be_tested(contrast: Contrast, minimum_recordings: int) -> bool:
    """Tell whether there are recordings enough, of the class and of the others."""
    groups = [contrast.n_recordings, *([] if contrast.members is None else [contrast.n_others])]
    return min(groups) >= minimum_recordings


def estimates(contrast: Contrast, bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    """Return ratios by bin and band with intervals, and effect sizes; NaN for fewer than two recordings."""
    groups, n_bins = contrast.bins_and_bands, contrast.share.shape[1]
    middle = low = high = np.full(len(groups.bins), np.nan)
    if contrast.n_recordings > 1:
        middle = contrast.log_ratio(groups, np.ones((1, len(contrast.fold))))[0]
        drawn = replicates(lambda weights: contrast.log_ratio(groups, weights), contrast.strata, bootstrap)
        low, high = interval(middle, drawn, contrast.strata_of_fewer, bootstrap.confidence, PLAIN)
    found: dict[str, np.ndarray] = {}
    for name, part in (("bin", slice(n_bins)), ("band", slice(n_bins, None))):
        found |= {
            f"{name}_ratio": np.exp(middle[part]),
            f"{name}_ratio_low": np.exp(low[part]),
            f"{name}_ratio_high": np.exp(high[part]),
        }
    return {**found, "band_effect_size": effect_size(contrast)}


def effect_size(contrast: Contrast) -> np.ndarray:
    """Return Hedges' g by band: the difference in standard deviations, corrected for few recordings.

    Of one sample, its own standard deviation; of two, the root of the mean of their variances, which does not
    suppose that these are equal. NaN for fewer than three recordings of a side: the correction would take all.
    """
    values = contrast.difference(contrast.bands)
    if contrast.members is None:
        groups, n_folds = [values], 1
    else:
        n_folds = len(np.unique(contrast.fold))
        moved = centred(values, contrast.fold)
        groups = [moved[contrast.members], moved[~contrast.members]]
    fewest = min(len(group) for group in groups)
    if fewest < 3:
        return np.full(values.shape[1], np.nan)
    # Every fold's own mean took some of the spread away.
    lost = (len(values) - 1) / (len(values) - n_folds) if len(values) > n_folds else np.nan
    spread = np.sqrt(lost * np.mean([group.var(axis=0, ddof=1) for group in groups], axis=0))
    difference = contrast.effect(contrast.bands, np.ones((1, len(values))))[0]
    correction = 1 - 3 / (4 * (fewest - 1) - 1)
    return np.divide(difference * correction, spread, out=np.full(spread.shape, np.nan), where=spread > 0)


def by_fold(contrast: Contrast, folds: Sequence[int]) -> dict[str, np.ndarray]:
    """Return what every fold alone finds, and all but one: ratios by band.

    Returns
    -------
    ``fold_ratio``: shape (fold, band), NaN for a fold without recordings of the class or of the others;
    ``n_folds``: folds that have a ratio, shape (band,); ``n_folds_alike``: those on the same side of 1 as all
    together; ``ratio_left_out_low`` and ``_high``: least and largest ratio with one fold left out, NaN where
    nothing is left without one of them.
    """
    apart = np.array([_log_ratio_within(contrast, contrast.fold == fold) for fold in folds])
    left_out = np.array([
        _log_ratio_within(contrast, contrast.fold != fold) for fold in np.unique(contrast.fold)
    ])
    together = _log_ratio_within(contrast, np.ones(len(contrast.fold), bool))
    known, nothing = np.isfinite(apart), np.full(len(together), np.nan)
    return {
        "fold_ratio": np.exp(apart),
        "n_folds": known.sum(axis=0),
        "n_folds_alike": (known & (np.sign(apart) == np.sign(together))).sum(axis=0),
        "ratio_left_out_low": np.exp(left_out.min(axis=0)) if len(left_out) else nothing,
        "ratio_left_out_high": np.exp(left_out.max(axis=0)) if len(left_out) else nothing,
    }


def tests(contrast: Contrast, recipe: Recipe, bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    """Return what tests say of bins, clusters of bins, and bands."""
    bins, rng = contrast.bins, bootstrap.rng
    design, *also = contrast.designs(contrast.bins_and_bands)
    found = tested_together(design, len(bins.bins), recipe, THRESHOLDS, rng, *also)
    by_bin, *others = contrast.designs(bins)
    tested = found.touching if recipe.statistic == "mass" else test(by_bin, recipe, rng, *others)
    threshold = threshold_of(by_bin, recipe.cluster_p)
    # How sure edges are is told of clusters by mass alone.
    included = np.full(len(bins.bins), np.nan)
    if recipe.statistic == "mass":
        included = inclusion(by_bin, tested, threshold, blocks_of_weights(contrast.strata, bootstrap))
    return {
        "p": np.array(tested.p),
        "p_by_threshold": found.p_by_threshold,
        "bin_t": tested.t,
        "bin_p": tested.cell_p,
        "bin_cluster": tested.cluster.astype(np.int64),
        "bin_cluster_p": tested.p_by_cell,
        "bin_inclusion": included,
        "band_t": found.apart_t,
        "band_p": found.apart_p,
    }


def band_test(
    contrast: Contrast, n_permutations: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return t and the p corrected over bands by the largest |t|, shape (band,) each."""
    design, *also = contrast.designs(contrast.bands)
    return largest_t(design, n_permutations, rng, *also)


def untested(contrast: Contrast) -> dict[str, np.ndarray]:
    """Return the figures of ``tests`` where no test is made."""
    n_bins, n_bands = contrast.share.shape[1], len(contrast.bands.bins)
    nothing = {name: np.full(n_bins, np.nan) for name in ("bin_t", "bin_p", "bin_cluster_p", "bin_inclusion")}
    return {
        "p": np.array(np.nan),
        "p_by_threshold": np.full(len(THRESHOLDS), np.nan),
        **nothing,
        "bin_cluster": np.zeros(n_bins, np.int64),
        "band_t": np.full(n_bands, np.nan),
        "band_p": np.full(n_bands, np.nan),
    }


def corrected(p: np.ndarray, band_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return p corrected for the classes and contrasts that were tested.

    The p of a class and contrast ("nothing differs anywhere") are corrected after Holm. What Holm saves does
    not hold for parts of a hypothesis, so bands, whose p are corrected within their class and contrast, are
    charged with the number of tests in full.

    Parameters
    ----------
    p
        Shape (class, contrast); NaN where no test was made.
    band_p
        Shape (class, contrast, band).
    """
    n_tests = int(np.isfinite(p).sum())
    return holm(p), np.minimum(1, band_p * max(1, n_tests))


def verdicts(
    ratio: np.ndarray, corrected_p: np.ndarray, corrected_band_p: np.ndarray, limits: tuple[float, float]
) -> np.ndarray:
    """Return 1 for bands with more relevance than what they are compared with, -1 for less, 0 for neither.

    Parameters
    ----------
    ratio, corrected_band_p
        Shape (class, contrast, band).
    corrected_p
        Shape (class, contrast).
    limits
        Largest corrected p, and smallest ratio beyond which a band is named.
    """
    alpha, minimum_ratio = limits
    certain = (corrected_band_p <= alpha) & (corrected_p <= alpha)[..., None]
    more, less = ratio >= minimum_ratio, ratio <= 1 / minimum_ratio
    return np.where(certain & more, 1, np.where(certain & less, -1, 0)).astype(np.int64)


def _log_ratio_within(contrast: Contrast, inside: np.ndarray) -> np.ndarray:
    """Return the log ratio by band among some recordings, shape (band,); NaN where one side is missing."""
    part = contrast.part(inside)
    if not part.n_recordings or (part.members is not None and part.members.all()):
        return np.full(len(contrast.bands.bins), np.nan)
    return part.log_ratio(part.bands, np.ones((1, len(part.fold))))[0]
