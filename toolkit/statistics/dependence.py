"""Clips of one recording are alike: by how much, what that costs, and drawing them together.

Conventions. Recordings differ in size: recording i gives m_i clips, and k recordings give N clips.

References
----------
Donner, "A review of inference procedures for the intraclass correlation coefficient in the one-way random
effects model", International Statistical Review 54 (1986). Equal sizes: ICC(1) of Shrout & Fleiss, "Intraclass
correlations", Psychological Bulletin 86 (1979). Design effect: Kish, "Survey Sampling" (1965), section 5.4.
"""

from dataclasses import dataclass

import numpy as np

from toolkit.statistics.bootstrap import Bootstrap, collapsed_within, recording_weights


def intraclass_correlation(values: np.ndarray, recording: np.ndarray) -> np.ndarray:
    """Return the share of variance that lies between recordings, by one-way analysis of variance: ICC(1).

    It is (B - W) / (B + (n0 - 1) W) with B and W the mean squares between and within recordings and
    n0 = (N - sum(m_i^2) / N) / (k - 1), which is the size of a recording where all are equal.

    Parameters
    ----------
    values
        Shape (clip, ...); a value that is not finite leaves the clip out of that column.
    recording
        Number of each clip's recording, shape (clip,).

    Returns
    -------
    Shape (...), at most 1. Not truncated at 0: where the truth is 0, about half of all estimates are negative,
    and their mean would be wrong without these. NaN with fewer than two recordings, without a recording of two
    clips, and where all values are equal.
    """
    values = np.asarray(values, np.float64)
    present = np.isfinite(values)
    filled = np.where(present, values, 0)
    size = _sums(present.astype(np.int64), recording)
    n_clips, n_recordings = size.sum(axis=0), (size > 0).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Centred first: squares of values far from 0 would drown their differences.
        centred = np.where(present, filled - filled.sum(axis=0) / n_clips, 0)
        between_sum = (_sums(centred, recording) ** 2 / np.where(size > 0, size, 1)).sum(axis=0)
        between = between_sum / (n_recordings - 1)
        within = np.maximum((centred**2).sum(axis=0) - between_sum, 0) / (n_clips - n_recordings)
        n0 = (n_clips - (size**2).sum(axis=0) / n_clips) / (n_recordings - 1)
        estimate = (between - within) / (between + (n0 - 1) * within)
    known = (n_recordings > 1) & (n_clips > n_recordings) & _varies(values, present)
    return np.where(known, estimate, np.nan)


def design_effect(recording: np.ndarray, icc: np.ndarray) -> np.ndarray:
    """Return by how much the variance of a mean over clips grows because recordings give several: Kish's deff.

    It is 1 + (sum(m_i^2) / sum(m_i) - 1) * max(icc, 0): N clips tell as much as N / deff independent ones.

    Parameters
    ----------
    recording
        Number of each clip's recording, shape (clip,).
    icc
        Intraclass correlation, any shape.

    Returns
    -------
    Shape of ``icc``, at least 1; NaN where that is NaN or there are no clips.
    """
    icc = np.asarray(icc, np.float64)
    if not len(recording):
        return np.full(icc.shape, np.nan)
    _, size = np.unique(recording, return_counts=True)
    return 1 + ((size**2).sum() / size.sum() - 1) * np.maximum(icc, 0)


@dataclass(frozen=True)
class Sample:
    """Clips in groups that are drawn whole: what one recording gives to one stratum of one block."""

    group: np.ndarray
    """Number of each clip's group, shape (clip,)."""
    block: np.ndarray
    """Block of each group, shape (group,)."""
    strata: np.ndarray
    """Stratum that each group is drawn in, shape (group,); no two blocks share one."""
    weights: np.ndarray
    """How often each replicate drew each group, shape (replicate, group)."""

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Add up the clips of every group, shape (clip, ...) -> (group, ...)."""
        return _sums(values, self.group)

    def strata_with(self, clips: np.ndarray) -> np.ndarray:
        """Return the strata of groups that hold some of these clips, booleans of shape (clip,)."""
        return self.strata[self.sums(clips.astype(np.int64)) > 0]

    def replicate_means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean over clips in every replicate, shape (replicate,) or (replicate, n).

        From values of shape (clip,) or (clip, n). One that is not finite leaves the clip out; NaN where a
        replicate has drawn none.
        """
        present = np.isfinite(values)
        sums, counts = self.sums(np.where(present, values, 0.0)), self.sums(present.astype(np.int64))
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.weights @ sums) / (self.weights @ counts)


def draw(block: np.ndarray, stratum: np.ndarray, recording: np.ndarray, bootstrap: Bootstrap) -> Sample:
    """Draw recordings within strata of blocks, their clips together.

    A stratum of one recording is joined with another of its block, never with one of another block, so that
    every replicate has clips of every block. A recording that is alone in its block is therefore in every
    replicate, and adds nothing to the spread of figures over several blocks. What a recording gives to several
    blocks is drawn as if it came from as many recordings.

    Parameters
    ----------
    block, stratum, recording
        Of each clip, shape (clip,).
    bootstrap
        How often to draw.
    """
    keys = np.stack([block, stratum, recording], axis=1)
    groups, group = np.unique(keys, axis=0, return_inverse=True)
    strata = collapsed_within(groups[:, 0], groups[:, 1])
    weights = np.ones((bootstrap.n_replicates, len(groups)))
    for each in np.unique(groups[:, 0]):
        inside = groups[:, 0] == each
        weights[:, inside] = recording_weights(strata[inside], bootstrap.n_replicates, bootstrap.rng)
    return Sample(group.ravel(), groups[:, 0], strata, weights)


def _sums(values: np.ndarray, recording: np.ndarray) -> np.ndarray:
    """Add up clips of the same recording, shape (clip, ...) -> (recording, ...)."""
    if not len(recording):
        return values
    order = np.argsort(recording, kind="stable")
    _, starts = np.unique(recording[order], return_index=True)
    return np.add.reduceat(values[order], starts, axis=0)


def _varies(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return where values differ by more than the rounding of their largest, shape (...)."""
    highest = np.where(present, values, -np.inf).max(axis=0, initial=-np.inf)
    lowest = np.where(present, values, np.inf).min(axis=0, initial=np.inf)
    largest = np.abs(np.where(present, values, 0)).max(axis=0, initial=0)
    return highest - lowest > _ROUNDING * largest


_ROUNDING = 1e-12
