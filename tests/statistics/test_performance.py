"""Figures of performance against scikit-learn, and their intervals over recordings."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from toolkit.statistics.performance import Classified, accuracy, confusion, evaluate, precision, recall
from toolkit.statistics.profiles import Bootstrap

N_CLASSES = 4
NEVER_PREDICTED = 3
FOLDS = np.array([1, 2, 3])


def bootstrap(n_replicates: int = 300, seed: int = 5) -> Bootstrap:
    return Bootstrap(n_replicates, 0.95, np.random.default_rng(seed))


@pytest.fixture
def clips() -> Classified:
    """Return 300 clips of four classes in three folds; about two in three are right, class 3 is never found."""
    rng = np.random.default_rng(2)
    label = rng.integers(0, N_CLASSES, 300)
    fold = rng.integers(1, 4, 300)
    guess = rng.integers(0, NEVER_PREDICTED, 300)
    right = (rng.random(300) < 0.6) & (label != NEVER_PREDICTED)
    recording = 1000 * label + 100 * fold + rng.integers(0, 8, 300)
    return Classified(label, np.where(right, label, guess), fold, recording)


def of_fold(clips: Classified, fold: int) -> tuple[np.ndarray, np.ndarray]:
    return clips.label[clips.fold == fold], clips.prediction[clips.fold == fold]


def scores(label: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = metrics.precision_recall_fscore_support(
        label, prediction, labels=range(N_CLASSES), zero_division=np.nan
    )
    return found[0], found[1]


def test_confusion__is_that_of_scikit_learn(clips: Classified):
    expected = metrics.confusion_matrix(clips.label, clips.prediction, labels=range(N_CLASSES))
    np.testing.assert_array_equal(confusion(clips, N_CLASSES), expected)


def test_confusion__has_true_classes_in_rows():
    clips = Classified(*np.array([[0, 0, 1], [1, 1, 1], [1, 1, 1], [0, 1, 2]]))
    np.testing.assert_array_equal(confusion(clips, 3), [[0, 2, 0], [0, 1, 0], [0, 0, 0]])


def test_evaluate__of_all_folds_is_that_of_scikit_learn(clips: Classified):
    figures = evaluate(clips, FOLDS, N_CLASSES, bootstrap())
    expected_precision, expected_recall = scores(clips.label, clips.prediction)
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(clips.label, clips.prediction))
    np.testing.assert_allclose(figures["recall"], expected_recall)
    np.testing.assert_allclose(figures["precision"], expected_precision)
    np.testing.assert_array_equal(
        figures["confusion"].sum(axis=0), metrics.confusion_matrix(clips.label, clips.prediction)
    )


def test_evaluate__of_each_fold_is_that_of_scikit_learn(clips: Classified):
    figures = evaluate(clips, FOLDS, N_CLASSES, bootstrap())
    np.testing.assert_array_equal(figures["fold"], FOLDS)
    for place, fold in enumerate(FOLDS):
        label, prediction = of_fold(clips, fold)
        expected_precision, expected_recall = scores(label, prediction)
        np.testing.assert_array_equal(
            figures["confusion"][place], metrics.confusion_matrix(label, prediction, labels=range(N_CLASSES))
        )
        assert figures["fold_accuracy"][place] == pytest.approx(metrics.accuracy_score(label, prediction))
        np.testing.assert_allclose(figures["fold_recall"][place], expected_recall)
        np.testing.assert_allclose(figures["fold_precision"][place], expected_precision)


def test_evaluate__gives_no_precision_to_a_class_never_predicted(clips: Classified):
    figures = evaluate(clips, FOLDS, N_CLASSES, bootstrap())
    for name in ("precision", "precision_low", "precision_high"):
        np.testing.assert_array_equal(np.isnan(figures[name]), [False, False, False, True], err_msg=name)
    np.testing.assert_array_equal(figures["recall"][NEVER_PREDICTED], 0)
    assert np.isnan(figures["fold_precision"][:, NEVER_PREDICTED]).all()


def test_evaluate__gives_no_recall_to_a_class_without_clips(clips: Classified):
    figures = evaluate(clips, FOLDS, N_CLASSES + 1, bootstrap())
    for name in ("recall", "recall_low", "recall_high", "precision"):
        assert np.isnan(figures[name][N_CLASSES]), name
    np.testing.assert_array_equal(figures["n_recordings"][:, N_CLASSES], 0)


def test_evaluate__has_intervals_around_the_estimates(clips: Classified):
    figures = evaluate(clips, FOLDS, N_CLASSES, bootstrap())
    for name in ("accuracy", "recall", "precision"):
        known = np.atleast_1d(np.isfinite(figures[name]) & (figures[name] > 0))
        low, value, high = (np.atleast_1d(figures[f"{name}{end}"])[known] for end in ("_low", "", "_high"))
        assert known.sum() >= 1
        assert (low < value).all(), name
        assert (value < high).all(), name
        assert low.min() >= 0
        assert high.max() <= 1


def test_evaluate__has_intervals_as_wide_as_the_sample_asks_for():
    """With one clip a recording the interval is that of a share: 1.96 standard errors to either side."""
    n_clips, n_right = 200, 120
    right = np.arange(n_clips) < n_right
    zeros = np.zeros(n_clips, np.int64)
    clips = Classified(zeros, np.where(right, 0, 1), zeros + 1, np.arange(n_clips))
    figures = evaluate(clips, np.array([1]), 2, bootstrap(n_replicates=8000))
    standard_error = right.std(ddof=1) / np.sqrt(n_clips)
    for name, at in (("accuracy", ()), ("recall", (0,))):
        width = figures[f"{name}_high"][at] - figures[f"{name}_low"][at]
        assert width == pytest.approx(2 * 1.96 * standard_error, rel=0.06)


def test_evaluate__draws_the_clips_of_a_recording_together(clips: Classified):
    """Ten copies of every clip in its recording add no knowledge, so intervals stay as wide as they were."""
    copies = Classified(*(np.repeat(each, 10) for each in vars(clips).values()))
    before = evaluate(clips, FOLDS, N_CLASSES, bootstrap())
    after = evaluate(copies, FOLDS, N_CLASSES, bootstrap())
    for name in ("accuracy", "accuracy_low", "accuracy_high", "recall_low", "recall_high", "precision_high"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-12, err_msg=name)
    alone = evaluate(replace(copies, recording=np.arange(3000)), FOLDS, N_CLASSES, bootstrap())
    assert np.ptp([alone["accuracy_low"], alone["accuracy_high"]]) < 0.6 * np.ptp([
        before["accuracy_low"],
        before["accuracy_high"],
    ])


def test_evaluate__has_no_interval_from_a_single_recording(clips: Classified):
    """As for profiles: an interval without width would claim certainty."""
    alone = replace(
        clips, recording=np.zeros(300, np.int64), label=np.zeros(300, np.int64), fold=np.ones(300, int)
    )
    figures = evaluate(alone, np.array([1]), N_CLASSES, bootstrap())
    assert 0 < figures["accuracy"] < 1
    assert np.isnan(figures["accuracy_low"])
    assert np.isnan(figures["accuracy_high"])


def test_evaluate__counts_recordings_by_fold_and_class(clips: Classified):
    figures = evaluate(clips, FOLDS, N_CLASSES, bootstrap())
    for place, fold in enumerate(FOLDS):
        for label in range(N_CLASSES):
            inside = (clips.fold == fold) & (clips.label == label)
            assert figures["n_recordings"][place, label] == len(set(clips.recording[inside].tolist()))


def test_evaluate__is_the_same_for_the_same_stream(clips: Classified):
    first, second, other = (evaluate(clips, FOLDS, N_CLASSES, bootstrap(seed=seed)) for seed in (1, 1, 2))
    for name, values in first.items():
        np.testing.assert_array_equal(second[name], values, err_msg=name)
    assert first["accuracy_low"] != other["accuracy_low"]


def test_measures__of_many_tables_are_those_of_each():
    tables = np.random.default_rng(0).integers(0, 5, (3, 2, N_CLASSES, N_CLASSES))
    tables[0, 0] = 0
    tables[1, 1, :, 2] = 0
    for measure, shape in ((accuracy, (3, 2)), (recall, (3, 2, N_CLASSES)), (precision, (3, 2, N_CLASSES))):
        found = measure(tables)
        assert found.shape == shape
        for at in np.ndindex(3, 2):
            np.testing.assert_array_equal(found[at], measure(tables[at]))
    assert np.isnan(accuracy(tables)[0, 0])
    assert np.isnan(precision(tables)[1, 1, 2])
