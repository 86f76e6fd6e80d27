"""Where relevance lies: shares of a clip's relevance, averaged within recordings, then over them.

Conventions. A map has shape (bin, frame), bin 0 the lowest. Padded frames count for nothing. A signed share
is relevance divided by the clip's absolute relevance, so that loud logits do not outvote quiet ones. Shares by
frequency and band are of the positive relevance alone: what speaks for the target.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.statistics.agreement import leave_one_fold_out
from toolkit.statistics.bootstrap import has_replicates, interval, recording_weights, weighted_means


@dataclass(frozen=True)
class ClipMaps:
    """Clips of one class and outcome, some at a time: levels and maps of shape (clip, bin, frame)."""

    recording: np.ndarray
    """Number of each clip's recording, shape (clip,)."""
    level_db: np.ndarray
    relevance: np.ndarray
    valid: np.ndarray
    """Which frames hold recorded sound, shape (clip, frame)."""
    in_padding: np.ndarray
    """Share of absolute relevance in padding, shape (clip,)."""


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made."""

    n_replicates: int
    confidence: float
    rng: np.random.Generator


def signed_share(relevance: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return relevance divided by the absolute relevance of the clip; NaN in padding and for empty maps."""
    inside = np.where(valid[:, None, :], relevance.astype(np.float64), np.nan)
    return _divided(inside, np.nansum(np.abs(inside), axis=(1, 2)))


def share_by_bin(cells: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the share of a clip's non-negative ``cells`` in each frequency bin, shape (clip, bin)."""
    by_bin = np.where(valid[:, None, :], cells.astype(np.float64), 0).sum(axis=2)
    return _divided(by_bin, by_bin.sum(axis=1))


def clip_profiles(clips: ClipMaps) -> dict[str, np.ndarray]:
    """Return what is averaged of every clip, each of shape (clip, ...)."""
    valid = clips.valid
    return {
        "mean_level_db": np.where(valid[:, None, :], clips.level_db.astype(np.float64), np.nan),
        "mean_relevance": signed_share(clips.relevance, valid),
        "frequency_share": share_by_bin(np.maximum(clips.relevance, 0), valid),
        "energy_share": share_by_bin(10 ** (clips.level_db.astype(np.float64) / 10), valid),
        "relevance_in_padding": clips.in_padding.astype(np.float64),
    }


def recording_means(parts: Iterable[ClipMaps], n_recordings: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the mean profiles of every recording and its number of clips, reading some clips at a time.

    Returns
    -------
    Profiles of shape (recording, ...), NaN where a recording has no value; and clips per recording.
    """
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}
    n_clips = np.zeros(n_recordings, np.int64)
    for part in parts:
        np.add.at(n_clips, part.recording, 1)
        for name, values in clip_profiles(part).items():
            shape = (n_recordings, *values.shape[1:])
            present = np.isfinite(values)
            np.add.at(sums.setdefault(name, np.zeros(shape)), part.recording, np.where(present, values, 0))
            np.add.at(counts.setdefault(name, np.zeros(shape, np.int32)), part.recording, present)
    means = {name: _divided_cells(total, counts[name]) for name, total in sums.items()}
    return means, n_clips


def summarise(
    means: Mapping[str, np.ndarray], folds: np.ndarray, bins_of_bands: np.ndarray, bootstrap: Bootstrap
) -> dict[str, np.ndarray]:
    """Return the figures of one class and outcome from the means of its recordings.

    Parameters
    ----------
    means
        As ``recording_means`` returns them, for the recordings that have clips.
    folds
        Fold of each recording, shape (recording,).
    bins_of_bands
        Which bins lie in each band, booleans, shape (band, bin).
    bootstrap
        How intervals are made.
    """
    shares = {
        "frequency_share": means["frequency_share"],
        "band_share": means["frequency_share"] @ bins_of_bands.T,
    }
    weights = recording_weights(folds, bootstrap.n_replicates, bootstrap.rng)
    figures = {name: mean(means[name]) for name in ("mean_level_db", "mean_relevance", "relevance_in_padding")}
    figures["band_energy_share"] = mean(means["energy_share"] @ bins_of_bands.T)
    for name, values in shares.items():
        figures[name] = mean(values)
        low, high = interval(weighted_means(values, weights), bootstrap.confidence)
        known = has_replicates(folds)
        figures[f"{name}_low"] = low if known else np.full_like(low, np.nan)
        figures[f"{name}_high"] = high if known else np.full_like(high, np.nan)
    return figures


def by_fold(
    means: Mapping[str, np.ndarray], folds: np.ndarray, bins_of_bands: np.ndarray, known_folds: Iterable[int]
) -> dict[str, np.ndarray]:
    """Return, for every fold, its band shares, its recordings, and its agreement with the other folds."""
    known = list(known_folds)
    members = [folds == fold for fold in known]
    shares = means["frequency_share"] @ bins_of_bands.T
    return {
        "fold_n_recordings": np.array([inside.sum() for inside in members], np.int64),
        "fold_band_share": np.array([mean(shares[inside]) for inside in members]).reshape(-1, shares.shape[1]),
        "fold_agreement": leave_one_fold_out(means["mean_relevance"], members),
    }


def mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is there; NaN where nothing is."""
    present = np.isfinite(values)
    total: np.ndarray = np.where(present, values, 0).sum(axis=0)
    return _divided_cells(total, present.sum(axis=0))


def _divided(values: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Divide every clip's values by its total; NaN where the total is zero."""
    totals = totals.reshape(-1, *[1] * (values.ndim - 1))
    return np.divide(values, totals, out=np.full_like(values, np.nan), where=totals > 0)


def _divided_cells(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
