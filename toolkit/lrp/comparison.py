"""How far the maps of two engines lie apart."""

from dataclasses import dataclass

import numpy as np

QUANTILES = (0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Distances:
    """Distances of maps of the same clips, one number per clip, shape (clip,), float64."""

    error: np.ndarray
    """Largest difference of two cells, as a share of the reference's largest relevance."""
    correlation: np.ndarray
    """Between the cells of both maps."""
    sums: np.ndarray
    """Sum of relevance, shape (clip, 2): ours, the reference's."""


def distances(maps: np.ndarray, reference: np.ndarray) -> Distances:
    """Compare maps with those of a reference, both of shape (clip, bin, frame).

    Where the reference is zero everywhere, an equal map has error 0 and correlation 1, any other inf and 0.
    """
    ours, theirs = (each.reshape(len(each), -1).astype(np.float64) for each in (maps, reference))
    largest, apart = np.abs(theirs).max(axis=1), np.abs(ours - theirs).max(axis=1)
    error = np.where(
        apart == 0, 0, np.divide(apart, largest, out=np.full_like(apart, np.inf), where=largest > 0)
    )
    return Distances(
        error, _correlation(ours, theirs, apart == 0), np.stack([ours.sum(1), theirs.sum(1)], axis=1)
    )


def joined(parts: list[Distances]) -> Distances:
    """Return the distances of the clips of all parts."""
    return Distances(
        np.concatenate([part.error for part in parts]),
        np.concatenate([part.correlation for part in parts]),
        np.concatenate([part.sums for part in parts]),
    )


def _correlation(ours: np.ndarray, theirs: np.ndarray, equal: np.ndarray) -> np.ndarray:
    centred = [each - each.mean(axis=1, keepdims=True) for each in (ours, theirs)]
    product = np.einsum("ij,ij->i", *centred)
    scale = np.prod([np.linalg.norm(each, axis=1) for each in centred], axis=0)
    found = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
    return np.where(equal, 1.0, found)
