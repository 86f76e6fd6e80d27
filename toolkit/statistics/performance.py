"""How well a network classifies clips that it was not trained on, with intervals over recordings."""

from dataclasses import dataclass

import numpy as np

from toolkit.statistics.bootstrap import has_replicates, interval, recording_weights
from toolkit.statistics.profiles import Bootstrap


@dataclass(frozen=True)
class Classified:
    """True and predicted class of every clip, its fold and its recording; each of shape (clip,)."""

    label: np.ndarray
    prediction: np.ndarray
    fold: np.ndarray
    recording: np.ndarray


def confusion(clips: Classified, n_classes: int) -> np.ndarray:
    """Return the number of clips by true class (rows) and predicted class, shape (class, class)."""
    table = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(table, (clips.label, clips.prediction), 1)
    return table


def accuracy(table: np.ndarray) -> np.ndarray:
    """Return the share of clips on the diagonal of confusion tables of shape (..., class, class)."""
    return _ratio(np.trace(table, axis1=-2, axis2=-1), table.sum(axis=(-2, -1)))


def recall(table: np.ndarray) -> np.ndarray:
    """Return the share of each true class's clips that were found, shape (..., class)."""
    return _ratio(np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-1))


def precision(table: np.ndarray) -> np.ndarray:
    """Return the share of the clips called each class that are of it, shape (..., class)."""
    return _ratio(np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-2))


def evaluate(
    clips: Classified, folds: np.ndarray, n_classes: int, bootstrap: Bootstrap
) -> dict[str, np.ndarray]:
    """Return every figure of performance, over all folds with intervals and per fold.

    Parameters
    ----------
    clips
        All clips that were classified.
    folds
        Folds to report, ascending, shape (fold,).
    n_classes
        Classes that the networks know.
    bootstrap
        How intervals are made.
    """
    of_folds = [_of_fold(clips, fold) for fold in folds]
    tables = np.array([confusion(each, n_classes) for each in of_folds], np.int64).reshape(
        -1, n_classes, n_classes
    )
    replicates, known = _replicates(clips, n_classes, bootstrap)
    figures: dict[str, np.ndarray] = {
        "fold": folds.astype(np.int64),
        "confusion": tables,
        "n_recordings": np.array(
            [_recordings_by_class(each, n_classes) for each in of_folds], np.int64
        ).reshape(-1, n_classes),
        "fold_accuracy": accuracy(tables),
        "fold_recall": recall(tables),
        "fold_precision": precision(tables),
    }
    measures = (
        ("accuracy", accuracy, known.any()),
        ("recall", recall, known),
        ("precision", precision, known.any()),
    )
    for name, measure, has_interval in measures:
        limits = interval(measure(replicates), bootstrap.confidence)
        low, high = (np.where(has_interval, limit, np.nan) for limit in limits)
        figures |= {name: measure(tables.sum(axis=0)), f"{name}_low": low, f"{name}_high": high}
    return figures


def _replicates(clips: Classified, n_classes: int, bootstrap: Bootstrap) -> tuple[np.ndarray, np.ndarray]:
    """Return bootstrap replicates of the confusion table, and the classes in which they can differ.

    Recordings are drawn within fold and class; a recording's clips come along together.

    Returns
    -------
    Tables, shape (replicate, class, class); booleans, shape (class,).
    """
    keys = np.stack([clips.label, clips.fold, clips.recording], axis=1)
    groups, group_of = np.unique(keys, axis=0, return_inverse=True)
    by_group = np.zeros((len(groups), n_classes), np.int64)
    np.add.at(by_group, (group_of.ravel(), clips.prediction), 1)
    _, strata = np.unique(groups[:, :2], axis=0, return_inverse=True)
    strata = strata.ravel()
    weights = recording_weights(strata, bootstrap.n_replicates, bootstrap.rng)
    tables = np.zeros((bootstrap.n_replicates, n_classes, n_classes))
    known = np.zeros(n_classes, bool)
    for label in range(n_classes):
        inside = groups[:, 0] == label
        tables[:, label] = weights[:, inside] @ by_group[inside]
        known[label] = has_replicates(strata[inside])
    return tables, known


def _recordings_by_class(clips: Classified, n_classes: int) -> np.ndarray:
    pairs = np.unique(np.stack([clips.label, clips.recording], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=n_classes).astype(np.int64)


def _of_fold(clips: Classified, fold: int) -> Classified:
    inside = clips.fold == fold
    return Classified(
        clips.label[inside], clips.prediction[inside], clips.fold[inside], clips.recording[inside]
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
