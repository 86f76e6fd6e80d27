"""Where the relevance of one class lies: shares, what they rest on, how they differ between kinds of clips."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.statistics.agreement import correlation, leave_one_out
from toolkit.statistics.bootstrap import (
    PLAIN,
    SHARE,
    Bootstrap,
    collapsed_within,
    interval,
    replicates,
    weighted_means,
)
from toolkit.statistics.contrasts import Groups, single_bins
from toolkit.statistics.dependence import design_effect, intraclass_correlation
from toolkit.statistics.permutation import OneSample, Recipe, Resampled, test
from toolkit.statistics.profiles import MapMeans, divided_cells, mean, recording_means

COMPARISONS = ("correct against misclassified", "foreground against background")


@dataclass(frozen=True)
class Bands:
    """Frequency bands made of whole bins."""

    bins: np.ndarray
    """Which bins lie in each band, booleans, shape (band, bin)."""
    width_hz: np.ndarray
    """Of the bins in each band together, shape (band,)."""
    width_erb: np.ndarray
    """The same in equivalent rectangular bandwidths."""


@dataclass(frozen=True)
class ClassClips:
    """All explained clips of a class, recordings numbered from 0."""

    recording: np.ndarray
    """Shape (clip,)."""
    fold: np.ndarray
    """Of each recording, shape (recording,)."""
    correct: np.ndarray
    """Which clips the network classified correctly, booleans, shape (clip,)."""
    salience: np.ndarray
    """1 foreground, 2 background, other numbers unknown, shape (clip,)."""
    profiles: Mapping[str, np.ndarray]
    """What ``profiles.clip_profiles`` returns."""

    @property
    def paired(self) -> np.ndarray:
        """Which clips are compared with their input: correct, with any positive relevance; shape (clip,)."""
        return self.correct & np.isfinite(self.profiles["share"]).all(axis=1)

    def means(self, name: str, chosen: np.ndarray) -> np.ndarray:
        """Return the mean of a profile over chosen clips of each recording, shape (recording, ...), or NaN."""
        return recording_means(self.profiles[name][chosen], self.recording[chosen], len(self.fold))


def describe(
    clips: ClassClips, chosen: np.ndarray, bands: Bands, bootstrap: Bootstrap
) -> dict[str, np.ndarray]:
    """Return shares by bin and band of some clips of a class, with intervals.

    Parameters
    ----------
    clips
        The class.
    chosen
        Which clips, booleans, shape (clip,).
    bands
        Bands.
    bootstrap
        How intervals are made.
    """
    of = {name: clips.means(name, chosen) for name in clips.profiles}
    inside = np.isin(np.arange(len(clips.fold)), clips.recording[chosen])
    known = inside & np.isfinite(of["share"]).all(axis=1)
    folds, by_bin = clips.fold[known], of["share"][known]
    by_band = by_bin @ bands.bins.T
    figures = {
        "n_clips": np.array(chosen.sum(), np.int64),
        "n_recordings": np.array(inside.sum(), np.int64),
        "band_share_against": mean(of["share_against"] @ bands.bins.T),
        "band_input_share": mean(of["input_share"] @ bands.bins.T),
        "band_power_share": mean(of["power_share"] @ bands.bins.T),
        "band_share_per_hz": mean(by_band) / bands.width_hz,
        "band_share_per_erb": mean(by_band) / bands.width_erb,
        "relevance_in_padding": mean(of["in_padding"]),
        "relevance_at_edge": _ratio(mean(of["at_edge"]), mean(of["input_at_edge"])),
    }
    both = np.concatenate([by_bin, by_band], axis=1)
    drawn = replicates(lambda weights: weighted_means(both, weights), folds, bootstrap)
    limits = (mean(both), *interval(mean(both), drawn, folds, bootstrap.confidence, SHARE))
    for end, values in zip(("", "_low", "_high"), limits, strict=True):
        figures[f"frequency_share{end}"], figures[f"band_share{end}"] = np.split(values, [by_bin.shape[1]])
    return figures


def by_fold(
    clips: ClassClips, chosen: np.ndarray, bands: Bands, maps: MapMeans, groups: np.ndarray, folds: np.ndarray
) -> dict[str, np.ndarray]:
    """Return, for every fold, its recordings, band shares and agreement with the others; and the mean map.

    Parameters
    ----------
    clips, chosen, bands
        As in ``describe``.
    maps
        Mean maps of signed shares, added up by group.
    groups
        The group of ``maps`` that holds each fold, shape (fold,).
    folds
        Folds, ascending, shape (fold,).
    """
    shares = clips.means("share", chosen) @ bands.bins.T
    there = np.isin(np.arange(len(clips.fold)), clips.recording[chosen])
    members = [there & (clips.fold == fold) for fold in folds]
    sums, counts = maps.sums[groups], maps.counts[groups]
    return {
        "fold_n_recordings": np.array([inside.sum() for inside in members], np.int64),
        "fold_band_share": np.array([mean(shares[inside]) for inside in members]).reshape(-1, shares.shape[1]),
        "fold_agreement": leave_one_out(sums, counts),
        "fold_mean_relevance": divided_cells(sums, counts).astype(np.float32),
        "mean_relevance": divided_cells(sums.sum(axis=0), counts.sum(axis=0)),
    }


def object_in_bands(clips: ClassClips, bands: Bands) -> dict[str, np.ndarray]:
    """Return where the labelled object is known to be, shape (band,); nothing where it is not known."""
    if "object_share" not in clips.profiles:
        return {}
    every = np.ones(len(clips.recording), bool)
    share, density = (clips.means(name, every) for name in ("object_share", "object_density"))
    return {
        "band_object_share": mean(share @ bands.bins.T),
        "band_object_density": mean(density @ bands.bins.T) / bands.bins.sum(axis=1),
    }


def dependence(clips: ClassClips, bands: Bands) -> dict[str, np.ndarray]:
    """Return how alike clips of one recording are in their share by band, and what it costs, shape (band,)."""
    chosen = clips.paired
    shares = clips.profiles["share"][chosen] @ bands.bins.T
    icc = intraclass_correlation(shares, clips.recording[chosen])
    return {"icc": icc, "design_effect": design_effect(clips.recording[chosen], icc)}


def compare(clips: ClassClips, bands: Groups, bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    """Return ratios by band between two kinds of clips, in the order of ``COMPARISONS``, with intervals.

    A recording may hold clips of both kinds; it is drawn once for both. Few recordings of one kind are few,
    however many there are of the other: the degrees of freedom are those of the rarer kind.
    """
    pairs = (
        (clips.correct, ~clips.correct),
        (clips.correct & (clips.salience == 1), clips.correct & (clips.salience == 2)),
    )
    found = [_compared(clips, pair, bands, bootstrap) for pair in pairs]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def _compared(
    clips: ClassClips, pair: tuple[np.ndarray, np.ndarray], bands: Groups, bootstrap: Bootstrap
) -> dict[str, np.ndarray]:
    shares = [clips.means("share", chosen) for chosen in pair]
    known = [np.isfinite(each).all(axis=1) for each in shares]
    either = known[0] | known[1]
    # Drawn apart by what they hold: where one kind is rare, some replicates would have none of it.
    strata = collapsed_within(known[0] + 2 * known[1], clips.fold)
    means = [bands.of(mean(each)) for each in shares]
    middle = bands.log_ratio(means[0], means[1])
    low = high = np.full(len(middle), np.nan)
    if min(inside.sum() for inside in known) > 1:
        by_band = [bands.of(each[either]) for each in shares]
        drawn = replicates(
            lambda weights: bands.log_ratio(*(weighted_means(each, weights) for each in by_band)),
            strata[either],
            bootstrap,
        )
        fewer = strata[min(known, key=np.sum)]
        low, high = interval(middle, drawn, fewer, bootstrap.confidence, PLAIN)
    bins = single_bins(shares[0].shape[1], bands.floor)
    even = np.full(shares[0].shape[1], 1 / shares[0].shape[1])
    return {
        "comparison_n_first": np.array(known[0].sum(), np.int64),
        "comparison_n_second": np.array(known[1].sum(), np.int64),
        "comparison_ratio": np.exp(middle),
        "comparison_ratio_low": np.exp(low),
        "comparison_ratio_high": np.exp(high),
        "comparison_correlation": correlation(*(bins.log_ratio(mean(each), even) for each in shares)),
    }


def in_time(
    shares: tuple[np.ndarray, np.ndarray],
    floor: float,
    minimum_recordings: int,
    recipe: Recipe,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return how relevance and input are spread over time from the onset, and when they differ.

    Compared is within each band: of the relevance in the band, the share at a time, with the same of the input.
    A band that holds more relevance at all times makes no difference here.

    Parameters
    ----------
    shares
        Of relevance and of input, shape (recording, band, frame), adding up to one; NaN past what was recorded.
    floor
        Added to mean shares before ratios, in units of an even spread over the frames of a band.
    minimum_recordings
        Fewer are no sample: such cells are left out, and without any other there is no test.
    recipe, rng
        How the test is made.
    """
    within = [_within_bands(each) for each in shares]
    known = np.isfinite(within).all(axis=0)
    n = known.sum(axis=0)
    enough = n >= minimum_recordings
    share, input_share = (mean(np.where(known & enough, each, np.nan)) for each in within)
    even = floor / n.shape[1]
    figures = {
        "aligned_n_recordings": n.astype(np.int64),
        "aligned_share": mean(shares[0]),
        "aligned_input_share": mean(shares[1]),
        "aligned_ratio": (share + even) / (input_share + even),
    }
    if not enough.any():
        nothing = np.full(n.shape, np.nan)
        return {**figures, "aligned_t": nothing, "aligned_cluster_p": nothing, "aligned_p": np.array(np.nan)}
    # Cells that few recordings reach have no say, so that chance in them does not set the bar for all.
    difference = np.where(known & enough, within[0] - within[1], np.nan)
    tested = test(OneSample(difference), recipe, rng, Resampled(difference))
    return {
        **figures,
        "aligned_t": np.where(enough, tested.t, np.nan),
        "aligned_cluster_p": tested.p_by_cell,
        "aligned_p": np.array(tested.p),
    }


def _within_bands(shares: np.ndarray) -> np.ndarray:
    """Return shares of what a band holds by frame, of shares shaped (recording, band, frame)."""
    total = np.nansum(shares, axis=2, keepdims=True)
    return np.divide(shares, total, out=np.full(shares.shape, np.nan), where=total > 0)


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.divide(one, other, out=np.full(np.shape(one), np.nan), where=np.asarray(other) > 0)
