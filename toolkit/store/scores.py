"""Every variable of ``statistics/performance``: how well networks classify what they were not trained on."""

from toolkit.store.variables import CLASS_AXIS, FOLD_AXIS, Kind, Variable, axis, with_interval


def _figure(
    name: str, dims: tuple[str, ...], long_name: str, description: str, kind: Kind = "float64"
) -> Variable:
    return Variable(name, dims, kind, "1", long_name, description)


_FOLDS = (
    _figure("fold_accuracy", ("fold",), "accuracy", "Accuracy on the clips of one fold."),
    _figure("fold_accuracy_low", ("fold",), "accuracy, lower limit", "Bootstrap over recordings of the fold."),
    _figure("fold_accuracy_high", ("fold",), "accuracy, upper limit", "Bootstrap over recordings of the fold."),
    _figure("fold_chance", ("fold",), "chance", "Share of the largest class among the clips of one fold."),
    _figure(
        "fold_is_chance",
        ("fold",),
        "no better than chance",
        "Whether the lower limit of a fold's accuracy does not exceed its chance, or is not known.",
        "bool",
    ),
    _figure("fold_recall", ("fold", "class_name"), "recall", "Recall in one fold."),
    _figure("fold_precision", ("fold", "class_name"), "precision", "Precision in one fold."),
    _figure("mean_fold_accuracy", (), "mean accuracy", "Mean of the accuracies of folds that have clips."),
    _figure(
        "mean_fold_accuracy_low",
        (),
        "mean accuracy, lower limit",
        "Nadeau and Bengio's, with the folds and the numbers of training and held-out clips there are.",
    ),
    _figure(
        "mean_fold_accuracy_high",
        (),
        "mean accuracy, upper limit",
        "Nadeau and Bengio's, with the folds and the numbers of training and held-out clips there are.",
    ),
)
_POOLED = (
    *with_interval("accuracy", (), "accuracy", "Share of clips classified correctly, all folds."),
    _figure("chance", (), "chance", "Share of the largest class among the clips of all folds."),
    _figure(
        "is_chance",
        (),
        "no better than chance",
        "Whether the lower limit of accuracy does not exceed chance, or is not known.",
        "bool",
    ),
    *with_interval("recall", ("class_name",), "recall", "Share of a class's clips found, all folds."),
    *with_interval(
        "precision", ("class_name",), "precision", "Share of clips called this class that are, all folds."
    ),
    *with_interval("f1", ("class_name",), "F1", "Harmonic mean of precision and recall, all folds."),
    *with_interval("macro_f1", (), "macro-F1", "Mean of F1 over the classes that have clips."),
    *with_interval(
        "mcc",
        (),
        "Matthews correlation",
        "Correlation of true and predicted classes (Gorodkin), all folds; 0 is chance, 1 is perfect.",
    ),
    _figure(
        "icc",
        ("class_name",),
        "intraclass correlation",
        "Likeness, in being classified correctly, of a class's clips of one recording; below 0 by chance.",
    ),
    _figure(
        "design_effect",
        ("class_name",),
        "design effect",
        "Clips of a class, divided by this, are as many independent ones for its recall.",
    ),
)
_CALIBRATION = (
    axis("bin", "int64", "1", "Bin of confidence, 0 the lowest; bins hold about as many clips each."),
    _figure("reliability_n_clips", ("bin",), "clips", "Clips of all folds in the bin.", "int64"),
    _figure(
        "reliability_confidence",
        ("bin",),
        "mean confidence",
        "Mean, over the bin's clips, of the probability of the predicted class.",
    ),
    *with_interval(
        "reliability_accuracy", ("bin",), "accuracy", "Share of the bin's clips classified correctly."
    ),
    _figure(
        "ece",
        (),
        "expected calibration error",
        "Mean distance of accuracy from confidence over bins; above 0 even for perfect probabilities.",
    ),
    _figure(
        "ece_expected",
        (),
        "calibration error by chance",
        "Expected calibration error of a perfectly calibrated network on these clips, were they independent.",
    ),
    _figure(
        "classwise_ece",
        (),
        "class-wise calibration error",
        "Mean over classes of the calibration error of the class's probability.",
    ),
    *with_interval(
        "brier",
        (),
        "Brier score",
        "Mean over clips of the squared errors of probabilities, summed over classes: from 0 to 2.",
    ),
    *with_interval(
        "log_loss", (), "log loss", "Mean negative natural logarithm of the true class's probability."
    ),
)
PERFORMANCE = (
    *FOLD_AXIS,
    *CLASS_AXIS,
    axis("predicted_class", "text", "1", "Name of the class with the highest logit."),
    _figure(
        "confusion",
        ("fold", "class_name", "predicted_class"),
        "confusion",
        "Clips of a fold by true and predicted class.",
        "int64",
    ),
    _figure(
        "n_recordings",
        ("fold", "class_name"),
        "recordings",
        "Recordings whose clips the confusion counts.",
        "int64",
    ),
    *_POOLED,
    *_FOLDS,
    *_CALIBRATION,
)
