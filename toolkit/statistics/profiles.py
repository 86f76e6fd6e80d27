"""Where relevance lies: shares of a clip's relevance, averaged within recordings, then over them.

Conventions. A map has shape (bin, frame), bin 0 the lowest. Padded frames count for nothing. A signed share
is relevance divided by the clip's absolute relevance, so that loud logits do not outvote quiet ones. Shares by
frequency and band are of the positive relevance alone (what speaks for the target) or of the negative alone.
What they are compared with is the share of the network's own input: relevance is input times a factor, so a
network that used every cell alike would spread relevance as its input is spread.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

EDGE_FRAMES = 2
"""Recorded frames before padding in which a network may see the edge instead of the sound."""


@dataclass(frozen=True)
class ClipMaps:
    """Clips of one class, some at a time; cells of shape (clip, bin, frame)."""

    level_db: np.ndarray
    inputs: np.ndarray
    """What the network sees, summed over channels as relevance is; not negative."""
    relevance: np.ndarray
    valid: np.ndarray
    """Which frames hold recorded sound, shape (clip, frame)."""
    in_padding: np.ndarray
    """Share of absolute relevance in padding, shape (clip,)."""
    is_object: np.ndarray | None = None
    """Where the labelled object is louder than the background, booleans; None where it is not known."""


def signed_share(relevance: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return relevance divided by the absolute relevance of the clip; NaN in padding and for empty maps."""
    inside = np.where(valid[:, None, :], relevance.astype(np.float64), np.nan)
    return divided(inside, np.nansum(np.abs(inside), axis=(1, 2)))


def share_by_bin(cells: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the share of a clip's non-negative ``cells`` in each frequency bin, shape (clip, bin)."""
    by_bin = np.where(valid[:, None, :], cells.astype(np.float64), 0).sum(axis=2)
    return divided(by_bin, by_bin.sum(axis=1))


def level_in_sound(clips: ClipMaps) -> np.ndarray:
    """Return the level in dB, shape (clip, bin, frame); NaN in padding."""
    return np.where(clips.valid[:, None, :], clips.level_db.astype(np.float64), np.nan)


def clip_profiles(clips: ClipMaps) -> dict[str, np.ndarray]:
    """Return what is known of every clip by frequency, each of shape (clip, bin), and at its edges, (clip,)."""
    power = 10 ** (clips.level_db.astype(np.float64) / 10)
    known = {} if clips.is_object is None else _object_profiles(clips.is_object, clips.valid)
    return {
        **known,
        "share": share_by_bin(np.maximum(clips.relevance, 0), clips.valid),
        "share_against": share_by_bin(np.maximum(-clips.relevance, 0), clips.valid),
        "input_share": share_by_bin(clips.inputs, clips.valid),
        "power_share": share_by_bin(power, clips.valid),
        "in_padding": clips.in_padding.astype(np.float64),
        "at_edge": share_at_edge(np.abs(clips.relevance), clips.valid),
        "input_at_edge": share_at_edge(clips.inputs, clips.valid),
    }


def _object_profiles(is_object: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    density = divided((is_object & valid[:, None, :]).sum(axis=2).astype(np.float64), valid.sum(axis=1))
    return {"object_share": share_by_bin(is_object, valid), "object_density": density}


def share_at_edge(cells: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the share of a clip's ``cells`` in the last frames before padding, shape (clip,).

    Returns
    -------
    In [0, 1]; NaN for a clip that is not padded, or has nothing in its recorded frames.
    """
    by_frame = np.where(valid, cells.sum(axis=1, dtype=np.float64), 0)
    last = valid.sum(axis=1)[:, None]
    frame = np.arange(valid.shape[1])
    at_edge = np.where((frame >= last - EDGE_FRAMES) & (frame < last), by_frame, 0).sum(axis=1)
    total = np.where(valid.all(axis=1), 0, by_frame.sum(axis=1))
    return divided(at_edge, total)


def recording_means(values: np.ndarray, recording: np.ndarray, n_recordings: int) -> np.ndarray:
    """Return the mean over the clips of every recording, shape (recording, ...); NaN where there is no value.

    Parameters
    ----------
    values
        Of clips, shape (clip, ...); NaN counts for nothing.
    recording
        Number of each clip's recording, shape (clip,).
    n_recordings
        How many there are.
    """
    means = RecordingMeans(n_recordings, values.shape[1:])
    means.add(values, recording)
    return means.means


class RecordingMeans:
    """Means over the clips of every recording, of clips that come some at a time in any order."""

    def __init__(self, n_recordings: int, shape: Sequence[int]) -> None:
        self._sums = np.zeros((n_recordings, *shape))
        self._counts = np.zeros((n_recordings, *shape), np.int32)

    def add(self, values: np.ndarray, recording: np.ndarray) -> None:
        """Add clips, shape (clip, ...), of the recordings with these numbers, shape (clip,)."""
        present = np.isfinite(values)
        np.add.at(self._sums, recording, np.where(present, values, 0))
        np.add.at(self._counts, recording, present)

    @property
    def means(self) -> np.ndarray:
        """The mean over the clips of every recording, shape (recording, ...); NaN where there is no value."""
        return divided_cells(self._sums, self._counts)


class MapMeans:
    """Mean maps of recordings, added up by group (such as folds); only one recording is held at a time.

    The mean over the recordings of a group is ``sums / counts``.
    """

    def __init__(self, group_of_recording: np.ndarray, n_groups: int, shape: Sequence[int]) -> None:
        self._group_of = group_of_recording
        self.sums = np.zeros((n_groups, *shape))
        """Shape (group, bin, frame)."""
        self.counts = np.zeros((n_groups, *shape), np.int64)
        """Recordings that have a value there, shape (group, bin, frame)."""
        self._open = -1
        self._sum = np.zeros(tuple(shape))
        self._count = np.zeros(tuple(shape), np.int64)

    def add(self, recording: np.ndarray, maps: np.ndarray) -> None:
        """Add clips; those of one recording must follow one another, also from call to call.

        Parameters
        ----------
        recording
            Number of each clip's recording, shape (clip,).
        maps
            Shape (clip, bin, frame); NaN counts for nothing.
        """
        starts = np.flatnonzero(np.diff(recording, prepend=-2))
        for first, stop in zip(starts, [*starts, len(recording)][1:], strict=True):
            if recording[first] != self._open:
                self.close()
                self._open = int(recording[first])
            present = np.isfinite(maps[first:stop])
            self._sum += np.where(present, maps[first:stop], 0).sum(axis=0)
            self._count += present.sum(axis=0)

    def close(self) -> None:
        """Count the last recording, too."""
        if self._open >= 0:
            group = self._group_of[self._open]
            self.sums[group] += np.divide(
                self._sum, self._count, out=np.zeros_like(self._sum), where=self._count > 0
            )
            self.counts[group] += self._count > 0
        self._open = -1
        self._sum[...], self._count[...] = 0, 0


def mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is there; NaN where nothing is."""
    present = np.isfinite(values)
    total: np.ndarray = np.where(present, values, 0).sum(axis=0)
    return divided_cells(total, present.sum(axis=0))


def concatenated(parts: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return variables of several parts as one, along their first axis."""
    listed = list(parts)
    return {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}


def divided(values: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Divide every clip's values by its total; NaN where the total is zero."""
    totals = totals.reshape(-1, *[1] * (values.ndim - 1))
    return np.divide(values, totals, out=np.full_like(values, np.nan), where=totals > 0)


def divided_cells(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Divide cell by cell; NaN where nothing was counted."""
    return np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
