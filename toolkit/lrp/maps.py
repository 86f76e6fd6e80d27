"""What is said of a relevance map beside the map itself, and which output it explains."""

import numpy as np

from toolkit.lrp.explainer import PREDICTED


def targets_of(labels: np.ndarray, target: int | str) -> np.ndarray:
    """Return what each clip's map is asked to explain, a class or ``PREDICTED``, shape (clip,).

    Parameters
    ----------
    labels
        True class of each clip, shape (clip,).
    target
        'predicted' (the class with the highest logit), 'label' (the true class), or a class number.
    """
    if target == "predicted":
        return np.full(len(labels), PREDICTED, np.int64)
    if target == "label":
        return labels.astype(np.int64)
    return np.full(len(labels), int(target), np.int64)


def sum_of_relevance(maps: np.ndarray) -> np.ndarray:
    """Return the sum over each map, shape (clip,), float32, added up in double precision."""
    return maps.sum(axis=(1, 2), dtype=np.float64).astype(np.float32)


def share_in_padding(maps: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the share of each map's absolute relevance that lies in padded frames, shape (clip,), in [0, 1].

    Parameters
    ----------
    maps
        Shape (clip, bin, frame).
    valid
        Which frames hold recorded sound, shape (clip, frame).

    Returns
    -------
    NaN for a map that is zero everywhere.
    """
    by_frame = np.abs(maps).sum(axis=1, dtype=np.float64)
    total = by_frame.sum(axis=1)
    padded = np.where(valid, 0, by_frame).sum(axis=1)
    share = np.divide(padded, total, out=np.full_like(total, np.nan), where=total > 0)
    return share.astype(np.float32)
