"""How well networks classify clips that they were not trained on, and with what certainty.

Conventions. Confusion tables have shape (..., class, class), true classes in rows. Figures without "fold" are
over the held-out clips of all folds, every clip counting once. Limits are over recordings, drawn within class
and fold. Shares of exactly 0 and 1 have the limits of as many independent trials as recordings bear on them;
limits are NaN where recordings show no spread, or where some replicate has no value.

References
----------
Mean over folds: Nadeau & Bengio, "Inference for the generalization error", Machine Learning 52 (2003), which is
a heuristic there, since that variance has no unbiased estimate: Bengio & Grandvalet, JMLR 5 (2004). MCC:
Gorodkin, Computational Biology and Chemistry 28 (2004).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from toolkit.statistics import calibration
from toolkit.statistics.bootstrap import CORRELATION, SHARE, Bootstrap, Scale, interval
from toolkit.statistics.dependence import Sample, design_effect, draw, intraclass_correlation


@dataclass(frozen=True)
class Classified:
    """True and predicted class of every clip, its fold and its recording, each of shape (clip,)."""

    label: np.ndarray
    prediction: np.ndarray
    fold: np.ndarray
    recording: np.ndarray
    probability: np.ndarray
    """Softmax of the logits, float64, shape (clip, class)."""


def confusion(clips: Classified, n_classes: int) -> np.ndarray:
    """Return the number of clips by true class (rows) and predicted class, shape (class, class)."""
    table = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(table, (clips.label, clips.prediction), 1)
    return table


def accuracy(table: np.ndarray) -> np.ndarray:
    """Return the share of clips on the diagonal of confusion tables of shape (..., class, class)."""
    return _ratio(np.trace(table, axis1=-2, axis2=-1), table.sum(axis=(-2, -1)))


def chance(table: np.ndarray) -> np.ndarray:
    """Return the accuracy of always naming the class with the most clips, shape (...)."""
    return _ratio(table.sum(axis=-1).max(axis=-1), table.sum(axis=(-2, -1)))


def recall(table: np.ndarray) -> np.ndarray:
    """Return the share of each true class's clips that were found, shape (..., class)."""
    return _ratio(np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-1))


def precision(table: np.ndarray) -> np.ndarray:
    """Return the share of the clips called each class that are of it, shape (..., class)."""
    return _ratio(np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-2))


def jaccard(table: np.ndarray) -> np.ndarray:
    """Return the share of right clips among those of a class or called it, shape (..., class).

    NaN for a class without clips, whatever is called it.
    """
    right, of_class = np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-1)
    return _ratio(right, np.where(of_class > 0, of_class + table.sum(axis=-2) - right, 0))


def f1(table: np.ndarray) -> np.ndarray:
    """Return the harmonic mean of precision and recall, shape (..., class).

    0 for a class that is never named, NaN for a class without clips.
    """
    return _f1_from_jaccard(jaccard(table))


def macro_f1(table: np.ndarray) -> np.ndarray:
    """Return the mean of F1 over the classes that have clips, shape (...)."""
    by_class = f1(table)
    known = np.isfinite(by_class)
    return _ratio(np.where(known, by_class, 0).sum(axis=-1), known.sum(axis=-1))


def mcc(table: np.ndarray) -> np.ndarray:
    """Return Gorodkin's correlation of true and predicted classes, shape (...), in [-1, 1].

    0 where there is one true class or one predicted class, by convention, as in scikit-learn.
    """
    total = table.sum(axis=(-2, -1))
    by_true, by_predicted = table.sum(axis=-1), table.sum(axis=-2)
    covariance = np.trace(table, axis1=-2, axis2=-1) * total - (by_true * by_predicted).sum(axis=-1)
    of_true, of_predicted = (total**2 - (each**2).sum(axis=-1) for each in (by_true, by_predicted))
    defined = np.minimum(of_true, of_predicted) > _ROUNDING * total**2
    norm = np.sqrt(np.where(defined, of_true, 1)) * np.sqrt(np.where(defined, of_predicted, 1))
    return np.where(total > 0, np.where(defined, covariance / norm, 0), np.nan)


def evaluate(
    clips: Classified, folds: np.ndarray, n_classes: int, n_training: np.ndarray, bootstrap: Bootstrap
) -> dict[str, np.ndarray]:
    """Return every figure of performance, by name of the store's variable.

    Parameters
    ----------
    clips
        All clips that were classified.
    folds
        Folds to report, ascending, shape (fold,).
    n_classes
        Classes that the networks know.
    n_training
        Clips that each fold's network was trained on, shape (fold,); -1 where that is not known.
    bootstrap
        How intervals are made.
    """
    tables = np.zeros((len(folds), n_classes, n_classes), np.int64)
    for place, fold in enumerate(folds):
        tables[place] = confusion(_of_fold(clips, fold), n_classes)
    sample = draw(clips.label, clips.fold, clips.recording, bootstrap)
    figures = {
        "fold": folds.astype(np.int64),
        "confusion": tables,
        "n_recordings": _n_recordings(clips, folds, n_classes),
        **_pooled(clips, tables.sum(axis=0), sample, bootstrap.confidence),
        **_by_fold(clips, folds, tables, bootstrap),
        **_mean_over_folds(tables, n_training, bootstrap.confidence),
        **_dependence(clips, n_classes),
        **calibration.evaluate(clips.probability, clips.label, sample, bootstrap),
    }
    return {name: np.asarray(values) for name, values in figures.items()}


def _pooled(clips: Classified, table: np.ndarray, sample: Sample, confidence: float) -> dict[str, np.ndarray]:
    """Return the figures over the clips of all folds."""
    replicates = _replicates(clips, sample, len(table))
    figures = {"chance": chance(table)}
    for name, (measure, scale) in _OVER_CLASSES.items():
        low, high = interval(measure(table), measure(replicates), sample.strata, confidence, scale)
        figures |= {name: measure(table), f"{name}_low": low, f"{name}_high": high}
    classes = np.arange(len(table))
    of, called = clips.label[:, np.newaxis] == classes, clips.prediction[:, np.newaxis] == classes
    for name, measure, bearing in (
        ("recall", recall, of),
        ("precision", precision, called),
        ("jaccard", jaccard, of | called),
    ):
        strata = [sample.strata_with(each) for each in bearing.T]
        low, high = _limits(measure(table), measure(replicates), strata, confidence)
        figures |= {name: measure(table), f"{name}_low": low, f"{name}_high": high}
    # F1 has the log-odds of Jaccard's share and a constant, but only the latter is a share of trials at 0.
    for end in ("", "_low", "_high"):
        figures[f"f1{end}"] = _f1_from_jaccard(figures.pop(f"jaccard{end}"))
    return {**figures, "is_chance": _is_chance(table, figures["accuracy_low"])}


def _by_fold(
    clips: Classified, folds: np.ndarray, tables: np.ndarray, bootstrap: Bootstrap
) -> dict[str, np.ndarray]:
    """Return the figures of each fold.

    Folds hold few recordings of a class, often one. Within a fold a lone one is drawn with those of another
    class: accuracy, unlike recall, can do without a class in a replicate, and this errs on the wide side.
    """
    sample = draw(clips.fold, clips.label, clips.recording, bootstrap)
    inside = clips.fold[:, np.newaxis] == folds
    right = (clips.prediction == clips.label)[:, np.newaxis]
    replicates = sample.replicate_means(np.where(inside, right, np.nan))
    strata = [sample.strata[sample.block == fold] for fold in folds]
    low, high = _limits(accuracy(tables), replicates, strata, bootstrap.confidence)
    return {
        "fold_accuracy": accuracy(tables),
        "fold_accuracy_low": low,
        "fold_accuracy_high": high,
        "fold_chance": chance(tables),
        "fold_is_chance": (tables.sum(axis=(1, 2)) > 0) & _is_chance(tables, low),
        "fold_recall": recall(tables),
        "fold_precision": precision(tables),
    }


def _mean_over_folds(tables: np.ndarray, n_training: np.ndarray, confidence: float) -> dict[str, np.ndarray]:
    """Return the mean accuracy over the folds that have clips, with the interval of Nadeau and Bengio.

    Networks of different folds share most of their training clips, so that accuracies scatter less over folds
    than over networks trained anew: the standard error is s * sqrt(1 / k + n_test / n_training), with the means
    over folds of both numbers of clips. Limits, by Student's t with k - 1 degrees of freedom, are cut at 0 and
    1; NaN with fewer than two folds, folds that do not differ, or a number of training clips that is not known.
    """
    n_test = tables.sum(axis=(1, 2))
    there = n_test > 0
    by_fold, n_folds = accuracy(tables)[there], there.sum()
    mean = by_fold.mean() if n_folds else np.nan
    spread = by_fold.std(ddof=1) if n_folds > 1 else 0.0
    reach = np.nan
    if spread > _ROUNDING and (n_training[there] > 0).all():
        ratio = n_test[there].mean() / n_training[there].mean()
        error = spread * np.sqrt(1 / n_folds + ratio)
        reach = stats.t.ppf((1 + confidence) / 2, n_folds - 1) * error
    return {
        "mean_fold_accuracy": mean,
        "mean_fold_accuracy_low": np.clip(mean - reach, 0, 1),
        "mean_fold_accuracy_high": np.clip(mean + reach, 0, 1),
    }


def _dependence(clips: Classified, n_classes: int) -> dict[str, np.ndarray]:
    """Return how alike clips of one recording are in being right, class by class."""
    icc, effect = np.full(n_classes, np.nan), np.full(n_classes, np.nan)
    for label in range(n_classes):
        inside = clips.label == label
        right, recording = clips.prediction[inside] == label, clips.recording[inside]
        icc[label] = intraclass_correlation(right, recording)
        effect[label] = design_effect(recording, icc[label])
    return {"icc": icc, "design_effect": effect}


def _replicates(clips: Classified, sample: Sample, n_classes: int) -> np.ndarray:
    """Return bootstrap replicates of the confusion table, shape (replicate, class, class)."""
    by_group = sample.sums((clips.prediction[:, np.newaxis] == np.arange(n_classes)).astype(np.int64))
    tables = np.zeros((len(sample.weights), n_classes, n_classes))
    for label in range(n_classes):
        inside = sample.block == label
        tables[:, label] = sample.weights[:, inside] @ by_group[inside]
    return tables


def _limits(
    estimate: np.ndarray, replicates: np.ndarray, strata: Sequence[np.ndarray], confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return limits of shares that rest on different recordings, each of shape (share,).

    Parameters
    ----------
    estimate, replicates
        Shape (share,) and (replicate, share).
    strata
        Of the recordings that bear on each share: only these give it degrees of freedom, or trials.
    confidence
        Of the interval.
    """
    limits = [
        interval(estimate[at], replicates[:, at], members, confidence, SHARE)
        for at, members in enumerate(strata)
    ]
    low, high = np.array(limits, np.float64).reshape(-1, 2).T
    return low, high


def _is_chance(table: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return where accuracy is not known to exceed chance, shape (...)."""
    return np.asarray(~(low > chance(table)))


def _n_recordings(clips: Classified, folds: np.ndarray, n_classes: int) -> np.ndarray:
    counts = np.zeros((len(folds), n_classes), np.int64)
    for place, fold in enumerate(folds):
        inside = _of_fold(clips, fold)
        pairs = np.unique(np.stack([inside.label, inside.recording], axis=1), axis=0)
        counts[place] = np.bincount(pairs[:, 0], minlength=n_classes)
    return counts


def _of_fold(clips: Classified, fold: int) -> Classified:
    inside = clips.fold == fold
    return Classified(**{name: values[inside] for name, values in vars(clips).items()})


def _f1_from_jaccard(share: np.ndarray) -> np.ndarray:
    return 2 * share / (1 + share)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


_ROUNDING = 1e-12
_OVER_CLASSES: Mapping[str, tuple[Callable[[np.ndarray], np.ndarray], Scale]] = {
    "accuracy": (accuracy, SHARE),
    "macro_f1": (macro_f1, SHARE),
    "mcc": (mcc, CORRELATION),
}
