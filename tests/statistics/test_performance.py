"""Figures of performance against scikit-learn, and their intervals over recordings."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from toolkit.statistics.bootstrap import CORRELATION, SHARE, Bootstrap, interval
from toolkit.statistics.dependence import draw
from toolkit.statistics.performance import (
    Classified,
    accuracy,
    chance,
    confusion,
    evaluate,
    f1,
    jaccard,
    macro_f1,
    mcc,
    precision,
    recall,
)
from toolkit.store.scores import PERFORMANCE

N_CLASSES = 4
NEVER_PREDICTED = 3
FOLDS = np.array([1, 2, 3])
N_TRAINING = np.array([190, 200, 210])


def bootstrap(n_replicates: int = 300, seed: int = 5) -> Bootstrap:
    return Bootstrap(n_replicates, 0.95, np.random.default_rng(seed))


def classified(label, prediction, fold, recording, n_classes: int = N_CLASSES) -> Classified:
    """Return clips whose networks are 70 % sure of all they say."""
    named = np.asarray(prediction)[:, np.newaxis] == np.arange(n_classes)
    probability = np.where(named, 0.7, 0.3 / (n_classes - 1))
    return Classified(*(np.asarray(each) for each in (label, prediction, fold, recording)), probability)


def taken(clips: Classified, which: np.ndarray) -> Classified:
    return Classified(*(each[which] for each in vars(clips).values()))


@pytest.fixture
def clips() -> Classified:
    """Return 300 clips of four classes in three folds; about two in three are right, class 3 is never found."""
    rng = np.random.default_rng(2)
    label = rng.integers(0, N_CLASSES, 300)
    fold = rng.integers(1, 4, 300)
    guess = rng.integers(0, NEVER_PREDICTED, 300)
    right = (rng.random(300) < 0.6) & (label != NEVER_PREDICTED)
    recording = 1000 * label + 100 * fold + rng.integers(0, 8, 300)
    return classified(label, np.where(right, label, guess), fold, recording)


@pytest.fixture
def figures(clips: Classified) -> dict[str, np.ndarray]:
    return evaluate(clips, FOLDS, N_CLASSES, N_TRAINING, bootstrap())


def of_fold(clips: Classified, fold: int) -> tuple[np.ndarray, np.ndarray]:
    return clips.label[clips.fold == fold], clips.prediction[clips.fold == fold]


def scores(label: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = metrics.precision_recall_fscore_support(
        label, prediction, labels=range(N_CLASSES), zero_division=np.nan
    )
    return found[0], found[1], found[2]


def in_recordings(seed: int, n_recordings: int, n_classes: int = 2) -> Classified:
    """Return clips of recordings that are more or less difficult: on average, two of three clips are right."""
    rng = np.random.default_rng(seed)
    of_clip = np.repeat(np.arange(n_recordings), rng.integers(4, 13, n_recordings))
    right = rng.random(len(of_clip)) < rng.beta(2, 1, n_recordings)[of_clip]
    label, fold = of_clip % n_classes, of_clip // n_classes % 3
    return classified(label, np.where(right, label, (label + 1) % n_classes), fold, of_clip, n_classes)


def guessed(n_recordings: int, seed: int = 0) -> Classified:
    """Return clips of four classes, five a recording, named at random."""
    rng = np.random.default_rng(seed)
    recording = np.repeat(np.arange(n_recordings), 5)
    prediction = rng.integers(0, N_CLASSES, len(recording))
    return classified(recording % N_CLASSES, prediction, 1 + recording // N_CLASSES % 3, recording)


def test_confusion__is_that_of_scikit_learn(clips: Classified):
    expected = metrics.confusion_matrix(clips.label, clips.prediction, labels=range(N_CLASSES))
    np.testing.assert_array_equal(confusion(clips, N_CLASSES), expected)


def test_confusion__has_true_classes_in_rows():
    clips = classified([0, 0, 1], [1, 1, 1], [1, 1, 1], [0, 1, 2])
    np.testing.assert_array_equal(confusion(clips, 3), [[0, 2, 0], [0, 1, 0], [0, 0, 0]])


def test_evaluate__of_all_folds_is_that_of_scikit_learn(clips: Classified, figures: dict[str, np.ndarray]):
    expected_precision, expected_recall, expected_f1 = scores(clips.label, clips.prediction)
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(clips.label, clips.prediction))
    np.testing.assert_allclose(figures["recall"], expected_recall)
    np.testing.assert_allclose(figures["precision"], expected_precision)
    np.testing.assert_allclose(figures["f1"], expected_f1)
    assert figures["macro_f1"] == pytest.approx(
        metrics.f1_score(clips.label, clips.prediction, average="macro")
    )
    assert figures["mcc"] == pytest.approx(metrics.matthews_corrcoef(clips.label, clips.prediction))
    np.testing.assert_array_equal(
        figures["confusion"].sum(axis=0), metrics.confusion_matrix(clips.label, clips.prediction)
    )


def test_evaluate__of_each_fold_is_that_of_scikit_learn(clips: Classified, figures: dict[str, np.ndarray]):
    np.testing.assert_array_equal(figures["fold"], FOLDS)
    for place, fold in enumerate(FOLDS):
        label, prediction = of_fold(clips, fold)
        expected_precision, expected_recall, _ = scores(label, prediction)
        np.testing.assert_array_equal(
            figures["confusion"][place], metrics.confusion_matrix(label, prediction, labels=range(N_CLASSES))
        )
        assert figures["fold_accuracy"][place] == pytest.approx(metrics.accuracy_score(label, prediction))
        np.testing.assert_allclose(figures["fold_recall"][place], expected_recall)
        np.testing.assert_allclose(figures["fold_precision"][place], expected_precision)


def test_evaluate__has_calibration_of_the_same_clips(clips: Classified, figures: dict[str, np.ndarray]):
    """All clips are said to be 70 % sure, and share a bin."""
    brier = metrics.brier_score_loss(
        clips.label, clips.probability, labels=range(N_CLASSES), scale_by_half=False
    )
    assert figures["brier"] == pytest.approx(brier)
    assert figures["ece"] == pytest.approx(abs(0.7 - figures["accuracy"]))
    np.testing.assert_allclose(figures["reliability_accuracy"][0], figures["accuracy"])
    for end in ("low", "high"):
        np.testing.assert_allclose(figures[f"reliability_accuracy_{end}"][0], figures[f"accuracy_{end}"])


def test_evaluate__returns_what_the_store_describes(figures: dict[str, np.ndarray]):
    described = {variable.name: variable for variable in PERFORMANCE}
    assert set(figures) == set(described) - {"class_name", "predicted_class"}
    sizes = {"fold": 3, "class_name": N_CLASSES, "predicted_class": N_CLASSES, "bin": 10}
    for name, values in figures.items():
        assert values.shape == tuple(sizes[dim] for dim in described[name].dims), name
        assert values.dtype == np.dtype(described[name].kind), name


@pytest.mark.parametrize("seed", range(5))
def test_mcc__is_that_of_scikit_learn(seed: int):
    label, prediction = np.random.default_rng(seed).integers(0, 2 + seed, (2, 60))
    prediction = np.where(np.arange(60) % 2, label, prediction)
    table = metrics.confusion_matrix(label, prediction)
    assert mcc(table) == pytest.approx(metrics.matthews_corrcoef(label, prediction))


def test_mcc__is_zero_where_one_class_is_named_and_nan_without_clips():
    """scikit-learn's convention; weights of replicates add up to such tables but for rounding."""
    tables = np.zeros((100, 3, 3))
    tables[:, :, 1] = np.random.default_rng(0).random((100, 3))
    total = tables.sum(axis=(1, 2))
    assert (total**2 > (tables.sum(axis=1) ** 2).sum(axis=1)).any()
    assert (mcc(tables) == 0).all()
    assert (mcc(tables.swapaxes(1, 2)) == 0).all()
    assert np.isnan(mcc(np.zeros((2, 2))))


def test_macro_f1__is_over_the_classes_that_have_clips():
    label, prediction = [0, 0, 1, 1, 1], [0, 2, 1, 1, 0]
    table = metrics.confusion_matrix(label, prediction, labels=range(4))
    expected = metrics.f1_score(label, prediction, labels=[0, 1], average=None)
    np.testing.assert_allclose(f1(table), [*expected, np.nan, np.nan])
    assert macro_f1(table) == pytest.approx(expected.mean())


def test_evaluate__has_limits_like_a_slow_loop(clips: Classified):
    """Every replicate by scikit-learn, its clips weighted as their recordings were drawn."""
    figures = evaluate(clips, FOLDS, N_CLASSES, N_TRAINING, bootstrap(30))
    sample = draw(clips.label, clips.fold, clips.recording, bootstrap(30))
    measures = {
        "accuracy": (metrics.accuracy_score, {}, SHARE),
        "macro_f1": (metrics.f1_score, {"average": "macro"}, SHARE),
        "mcc": (metrics.matthews_corrcoef, {}, CORRELATION),
    }
    for name, (measure, options, scale) in measures.items():
        replicates = [
            measure(clips.label, clips.prediction, sample_weight=weights[sample.group], **options)
            for weights in sample.weights
        ]
        expected = interval(figures[name], np.array(replicates), sample.strata, 0.95, scale)
        np.testing.assert_allclose((figures[f"{name}_low"], figures[f"{name}_high"]), expected, err_msg=name)


@pytest.mark.parametrize("number", range(NEVER_PREDICTED))
def test_evaluate__has_limits_of_classes_like_a_slow_loop(clips: Classified, number: int):
    """Degrees of freedom are those of the recordings that bear on a figure."""
    figures = evaluate(clips, FOLDS, N_CLASSES, N_TRAINING, bootstrap(30))
    sample = draw(clips.label, clips.fold, clips.recording, bootstrap(30))
    of_class, called = clips.label == number, clips.prediction == number
    measures = {
        "recall": (metrics.recall_score, of_class),
        "precision": (metrics.precision_score, called),
        "f1": (metrics.jaccard_score, of_class | called),
    }
    for name, (measure, bearing) in measures.items():
        replicates = [
            measure(of_class, called, sample_weight=weights[sample.group]) for weights in sample.weights
        ]
        strata = sample.strata[np.unique(sample.group[bearing])]
        expected = interval(measure(of_class, called), np.array(replicates), strata, 0.95, SHARE)
        if name == "f1":
            expected = tuple(2 * limit / (1 + limit) for limit in expected)
        found = figures[f"{name}_low"][number], figures[f"{name}_high"][number]
        np.testing.assert_allclose(found, expected, err_msg=name)


def test_evaluate__has_limits_of_f1_by_its_own_replicates_nearly(clips: Classified):
    """They are made by way of Jaccard's share, whose log-odds differ by a constant."""
    figures = evaluate(clips, FOLDS, N_CLASSES, N_TRAINING, bootstrap(150))
    sample = draw(clips.label, clips.fold, clips.recording, bootstrap(150))
    of_class, called = clips.label == 0, clips.prediction == 0
    replicates = [
        metrics.f1_score(of_class, called, sample_weight=each[sample.group]) for each in sample.weights
    ]
    strata = sample.strata_with(of_class | called)
    expected = interval(figures["f1"][0], np.array(replicates), strata, 0.95, SHARE)
    np.testing.assert_allclose((figures["f1_low"][0], figures["f1_high"][0]), expected, atol=0.01)


def test_evaluate__has_limits_of_a_fold_like_a_slow_loop(clips: Classified):
    """Recordings of a fold by class; the draws come after those of the pooled figures."""
    figures = evaluate(clips, FOLDS, N_CLASSES, N_TRAINING, bootstrap(30))
    stream = bootstrap(30)
    draw(clips.label, clips.fold, clips.recording, stream)
    sample = draw(clips.fold, clips.label, clips.recording, stream)
    right = clips.label == clips.prediction
    for place, fold in enumerate(FOLDS):
        inside = clips.fold == fold
        replicates = [np.average(right[inside], weights=each[sample.group[inside]]) for each in sample.weights]
        strata = np.unique(np.stack([clips.label, clips.recording])[:, inside], axis=1)[0]
        expected = interval(right[inside].mean(), np.array(replicates), strata, 0.95, SHARE)
        found = figures["fold_accuracy_low"][place], figures["fold_accuracy_high"][place]
        np.testing.assert_allclose(found, expected)


def test_evaluate__holds_the_truth_as_often_as_it_says():
    """Recordings of four to twelve clips; were clips the sample, intervals would hold it in three of four."""
    n_trials, held, by_clip = 80, 0, 0
    for seed in range(n_trials):
        clips = in_recordings(seed, 24)
        alone = replace(clips, recording=np.arange(len(clips.label)))
        for number, each in enumerate((clips, alone)):
            stream = bootstrap(100, seed)
            found = evaluate(each, np.arange(3), 2, np.full(3, 100), stream)
            holds = bool(found["accuracy_low"] <= 2 / 3 <= found["accuracy_high"])
            held, by_clip = held + (holds and number == 0), by_clip + (holds and number == 1)
    assert 0.90 <= held / n_trials <= 0.99
    assert by_clip / n_trials < 0.85


@pytest.mark.slow
def test_evaluate__holds_the_truth_of_every_figure_as_often_as_it_says():
    """The truth is that of very many recordings drawn in the same way."""
    n_trials, names = 300, ("accuracy", "recall", "precision", "f1", "macro_f1", "mcc", "brier", "log_loss")
    whole = in_recordings(10**6, 60_000, 3)
    truth = evaluate(whole, np.arange(3), 3, np.full(3, -1), bootstrap(2))
    held: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for seed in range(n_trials):
        found = evaluate(in_recordings(seed, 48, 3), np.arange(3), 3, np.full(3, -1), bootstrap(200, seed))
        for name in names:
            held[name].append((found[f"{name}_low"] <= truth[name]) & (truth[name] <= found[f"{name}_high"]))
    for name in names:
        np.testing.assert_allclose(np.mean(held[name], axis=0), 0.95, atol=0.04, err_msg=name)


def test_evaluate__has_the_interval_of_nadeau_and_bengio():
    """By hand: 5 of 10, 14 of 20 and 27 of 30 are right: mean 0.7, s = 0.2; trained on 50, 40 and 30."""
    fold = np.repeat(FOLDS, [10, 20, 30])
    right = np.concatenate([np.arange(n) < n_right for n, n_right in ((10, 5), (20, 14), (30, 27))])
    clips = classified(np.zeros(60, np.int64), np.where(right, 0, 1), fold, np.arange(60))
    half = Bootstrap(20, 0.5, np.random.default_rng(0))
    figures = evaluate(clips, FOLDS, N_CLASSES, np.array([50, 40, 30]), half)
    reach = 0.816497 * 0.2 * np.sqrt(1 / 3 + 1 / 2)
    assert figures["mean_fold_accuracy"] == pytest.approx(0.7)
    assert figures["mean_fold_accuracy_low"] == pytest.approx(0.7 - reach, rel=1e-6)
    assert figures["mean_fold_accuracy_high"] == pytest.approx(0.7 + reach, rel=1e-6)
    cut = evaluate(clips, FOLDS, N_CLASSES, np.array([50, 40, 30]), bootstrap(20))
    assert (cut["mean_fold_accuracy_low"], cut["mean_fold_accuracy_high"]) == (0, 1)


def test_evaluate__has_an_interval_over_ten_folds_of_about_one_spread():
    """Ten equal folds, each trained on the other nine: half as wide as 1.04 standard deviations over folds."""
    n_right = np.array([50, 55, 60, 62, 64, 66, 70, 71, 75, 80])
    right = (np.arange(100) < n_right[:, np.newaxis]).ravel()
    clips = classified(
        np.zeros(1000, np.int64), np.where(right, 0, 1), np.repeat(np.arange(10), 100), np.arange(1000)
    )
    figures = evaluate(clips, np.arange(10), N_CLASSES, np.full(10, 900), bootstrap(20))
    half_width = figures["mean_fold_accuracy_high"] - figures["mean_fold_accuracy"]
    assert half_width == pytest.approx(1.04 * (n_right / 100).std(ddof=1), rel=0.005)


def test_evaluate__counts_the_folds_that_have_clips(clips: Classified):
    two = taken(clips, clips.fold != 2)
    half = Bootstrap(20, 0.5, np.random.default_rng(0))
    figures = evaluate(two, FOLDS, N_CLASSES, np.array([200, -1, 220]), half)
    found = figures["fold_accuracy"][[0, 2]]
    ratio = np.bincount(two.fold)[[1, 3]].mean() / 210
    reach = stats.t.ppf(0.75, 1) * found.std(ddof=1) * np.sqrt(1 / 2 + ratio)
    assert figures["mean_fold_accuracy"] == pytest.approx(found.mean())
    assert figures["mean_fold_accuracy_low"] == pytest.approx(found.mean() - reach)
    assert figures["mean_fold_accuracy_high"] == pytest.approx(found.mean() + reach)
    for name in ("fold_accuracy", "fold_accuracy_low", "fold_accuracy_high", "fold_chance"):
        np.testing.assert_array_equal(np.isnan(figures[name]), [False, True, False], err_msg=name)


@pytest.mark.parametrize(
    ("folds", "n_training"),
    [([1], [190]), ([1, 2, 3], [190, -1, 210]), ([1, 2, 3], [-1, -1, -1])],
    ids=["one fold", "one unknown", "all unknown"],
)
def test_evaluate__has_no_interval_over_folds(clips: Classified, folds: list[int], n_training: list[int]):
    there = taken(clips, np.isin(clips.fold, folds))
    figures = evaluate(there, np.array(folds), N_CLASSES, np.array(n_training), bootstrap(20))
    assert figures["mean_fold_accuracy"] == pytest.approx(figures["fold_accuracy"].mean())
    assert np.isnan([figures["mean_fold_accuracy_low"], figures["mean_fold_accuracy_high"]]).all()


def test_evaluate__has_no_interval_over_folds_that_are_alike():
    """Three folds in ten of which three clips are right: 30 to 30 % would claim certainty."""
    clips = classified(
        np.zeros(30, int), np.where(np.arange(30) % 10 < 3, 0, 1), np.repeat(FOLDS, 10), range(30)
    )
    figures = evaluate(clips, FOLDS, N_CLASSES, N_TRAINING, bootstrap(20))
    assert figures["mean_fold_accuracy"] == pytest.approx(0.3)
    assert np.isnan([figures["mean_fold_accuracy_low"], figures["mean_fold_accuracy_high"]]).all()


def test_evaluate__gives_no_precision_to_a_class_never_predicted(figures: dict[str, np.ndarray]):
    for name in ("precision", "precision_low", "precision_high"):
        np.testing.assert_array_equal(np.isnan(figures[name]), [False, False, False, True], err_msg=name)
    assert np.isnan(figures["fold_precision"][:, NEVER_PREDICTED]).all()
    assert (figures["recall"][NEVER_PREDICTED], figures["f1"][NEVER_PREDICTED]) == (0, 0)


def test_evaluate__limits_a_class_never_found_by_its_recordings(
    clips: Classified, figures: dict[str, np.ndarray]
):
    """None of n recordings: the rule of three and a bit; F1 is then at most twice that, as 2J / (1 + J)."""
    n = len(set(clips.recording[clips.label == NEVER_PREDICTED].tolist()))
    upper = 1 - 0.025 ** (1 / n)
    assert figures["recall_low"][NEVER_PREDICTED] == figures["f1_low"][NEVER_PREDICTED] == 0
    assert figures["recall_high"][NEVER_PREDICTED] == pytest.approx(upper)
    assert figures["f1_high"][NEVER_PREDICTED] == pytest.approx(2 * upper / (1 + upper))


def test_evaluate__limits_the_precision_of_a_class_by_the_recordings_called_it():
    """A class named twice, rightly, in 200 recordings: two trials, not 200."""
    label = np.arange(200) % 2
    prediction = np.where(np.arange(200) < 4, label, 0)
    figures = evaluate(
        classified(label, prediction, np.ones(200, int), np.arange(200)),
        np.array([1]),
        2,
        np.array([9]),
        bootstrap(),
    )
    assert (figures["precision"][1], figures["precision_high"][1]) == (1, 1)
    assert figures["precision_low"][1] == pytest.approx(0.025 ** (1 / 2))


def test_evaluate__gives_no_limits_to_a_precision_that_some_replicates_lack():
    """Class 1 is named in two recordings of forty, once rightly: many replicates draw neither."""
    label = np.arange(40) % 2
    prediction = np.where(np.isin(np.arange(40), [0, 1]), 1, 0)
    clips = classified(label, prediction, np.ones(40, int), np.arange(40))
    figures = evaluate(clips, np.array([1]), 2, np.array([9]), bootstrap())
    assert figures["precision"][1] == 0.5
    assert np.isnan([figures["precision_low"][1], figures["precision_high"][1]]).all()
    assert np.isfinite([figures["precision_low"][0], figures["precision_high"][0]]).all()


def test_evaluate__gives_no_recall_to_a_class_without_clips(clips: Classified):
    wider = replace(clips, probability=np.pad(clips.probability, ((0, 0), (0, 1))))
    figures = evaluate(wider, FOLDS, N_CLASSES + 1, N_TRAINING, bootstrap())
    for name in ("recall", "recall_low", "recall_high", "precision", "f1", "f1_low", "icc", "design_effect"):
        assert np.isnan(figures[name][N_CLASSES]), name
    np.testing.assert_array_equal(figures["n_recordings"][:, N_CLASSES], 0)
    assert figures["macro_f1"] == pytest.approx(
        metrics.f1_score(clips.label, clips.prediction, average="macro")
    )


def test_evaluate__has_intervals_as_wide_as_the_sample_asks_for():
    """With one clip a recording the interval is that of a share: 1.97 standard errors to either side."""
    n_clips, n_right = 200, 120
    right = np.arange(n_clips) < n_right
    zeros = np.zeros(n_clips, np.int64)
    clips = classified(zeros, np.where(right, 0, 1), zeros + 1, np.arange(n_clips))
    figures = evaluate(clips, np.array([1]), N_CLASSES, N_TRAINING[:1], bootstrap(n_replicates=8000))
    standard_error = right.std(ddof=1) / np.sqrt(n_clips)
    for name, at in (("accuracy", ()), ("recall", (0,)), ("fold_accuracy", (0,))):
        width = figures[f"{name}_high"][at] - figures[f"{name}_low"][at]
        assert width == pytest.approx(2 * 1.97 * standard_error, rel=0.04)


def test_evaluate__draws_the_clips_of_a_recording_together(clips: Classified):
    """Ten copies of every clip in its recording add no knowledge, so intervals stay as wide as they were."""
    copies = taken(clips, np.repeat(np.arange(300), 10))
    before = evaluate(clips, FOLDS, N_CLASSES, N_TRAINING, bootstrap())
    after = evaluate(copies, FOLDS, N_CLASSES, N_TRAINING, bootstrap())
    for name in (
        "accuracy_low",
        "recall_high",
        "precision_low",
        "f1_low",
        "mcc_high",
        "fold_accuracy_low",
        "brier_low",
    ):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, err_msg=name)
    alone = evaluate(replace(copies, recording=np.arange(3000)), FOLDS, N_CLASSES, N_TRAINING, bootstrap())
    assert np.ptp([alone["accuracy_low"], alone["accuracy_high"]]) < 0.6 * np.ptp([
        before["accuracy_low"],
        before["accuracy_high"],
    ])


def test_evaluate__does_not_depend_on_the_order_of_clips(clips: Classified):
    """But for the calibration error by chance, whose simulation follows their order."""
    shuffled = taken(clips, np.random.default_rng(0).permutation(300))
    before, after = (evaluate(each, FOLDS, N_CLASSES, N_TRAINING, bootstrap()) for each in (clips, shuffled))
    for name in set(before) - {"ece_expected"}:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, err_msg=name)


def test_evaluate__has_no_interval_from_a_single_recording(clips: Classified):
    """As for profiles: an interval without width would claim certainty."""
    nought = np.zeros(300, np.int64)
    alone = replace(clips, recording=nought, label=nought, fold=nought + 1)
    figures = evaluate(alone, np.array([1]), N_CLASSES, N_TRAINING[:1], bootstrap())
    assert 0 < figures["accuracy"] < 1
    for name in ("accuracy", "macro_f1", "mcc", "brier", "log_loss"):
        assert np.isnan([figures[f"{name}_low"], figures[f"{name}_high"]]).all(), name
    assert np.isnan(figures["recall_low"][0])
    assert np.isnan(figures["fold_accuracy_low"]).all()
    assert figures["is_chance"]
    assert figures["fold_is_chance"].all()


@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, 12), st.integers(1, 4))
def test_evaluate__has_limits_apart_and_around_the_estimate_or_none(
    seed: int, n_clips: int, n_recordings: int, n_named: int
):
    """However few clips there are, and whatever is named; the smallest samples are the ones that go wrong."""
    rng = np.random.default_rng(seed)
    label, fold = rng.integers(0, N_CLASSES, n_clips), rng.integers(1, 4, n_clips)
    clips = classified(label, rng.integers(0, n_named, n_clips), fold, rng.integers(0, n_recordings, n_clips))
    figures = evaluate(clips, FOLDS, N_CLASSES, N_TRAINING, bootstrap(20))
    for name in (name.removesuffix("_low") for name in figures if name.endswith("_low")):
        value, low, high = (np.atleast_1d(figures[f"{name}{end}"]) for end in ("", "_low", "_high"))
        np.testing.assert_array_equal(np.isnan(low), np.isnan(high), err_msg=name)
        known = np.isfinite(low)
        assert (low < high)[known].all(), name
        assert ((low <= value + 1e-12) & (value <= high + 1e-12))[known].all(), name


def test_evaluate__calls_a_network_that_guesses_one_of_chance():
    figures = evaluate(guessed(120), FOLDS, N_CLASSES, N_TRAINING, bootstrap())
    assert figures["chance"] == pytest.approx(0.25)
    assert figures["is_chance"]
    assert figures["fold_is_chance"].all()
    assert figures["mcc_low"] < 0 < figures["mcc_high"]


def test_evaluate__calls_naming_the_largest_class_chance():
    """Eight in ten are right, and nothing was learnt."""
    label = np.where(np.arange(100) < 80, 0, 1)
    clips = classified(label, np.zeros(100, int), np.ones(100, int), np.arange(100))
    figures = evaluate(clips, np.array([1]), N_CLASSES, N_TRAINING[:1], bootstrap())
    assert figures["accuracy"] == figures["chance"] == 0.8
    assert figures["is_chance"]
    assert figures["mcc"] == 0


def test_evaluate__flags_the_fold_whose_network_guesses():
    clips = guessed(240)
    mixed = replace(clips, prediction=np.where(clips.fold == 2, clips.prediction, clips.label))
    figures = evaluate(mixed, FOLDS, N_CLASSES, N_TRAINING, bootstrap())
    assert not figures["is_chance"]
    np.testing.assert_array_equal(figures["fold_is_chance"], [False, True, False])


def test_evaluate__calls_little_better_than_chance_chance_while_recordings_are_few():
    """The same share of right clips, from 20 recordings and from 800."""
    recording = np.repeat(np.arange(800), 5)
    right = (recording // N_CLASSES) % 5 < 2
    clips = classified(
        recording % N_CLASSES, (recording + ~right) % N_CLASSES, np.ones(len(recording), int), recording
    )
    few = taken(clips, recording < 20)
    found = [evaluate(each, np.array([1]), N_CLASSES, N_TRAINING[:1], bootstrap()) for each in (few, clips)]
    assert found[0]["accuracy"] == found[1]["accuracy"] == pytest.approx(0.4)
    assert [bool(each["is_chance"]) for each in found] == [True, False]


def test_evaluate__of_no_clips_is_not_known_to_be_better_than_chance(clips: Classified):
    for folds in (FOLDS, FOLDS[:0]):
        figures = evaluate(
            taken(clips, np.zeros(300, bool)), folds, N_CLASSES, N_TRAINING[: len(folds)], bootstrap()
        )
        for name in ("accuracy", "accuracy_low", "macro_f1", "mcc", "mean_fold_accuracy", "chance", "brier"):
            assert np.isnan(figures[name]), name
        assert figures["is_chance"]
        assert figures["fold_is_chance"].shape == (len(folds),)
        assert not figures["fold_is_chance"].any()


def test_evaluate__tells_how_alike_clips_of_a_recording_are():
    """Rates of Beta(2, 1) correlate rights and wrongs by 1 / 4; whole recordings right or wrong, by 1."""
    clips = in_recordings(3, 1200)
    figures = evaluate(clips, np.arange(3), 2, np.full(3, -1), bootstrap(5))
    np.testing.assert_allclose(figures["icc"], 1 / 4, atol=0.05)
    whole = replace(clips, prediction=np.where(clips.recording % 3 == 0, 1 - clips.label, clips.label))
    figures = evaluate(whole, np.arange(3), 2, np.full(3, -1), bootstrap(5))
    np.testing.assert_allclose(figures["icc"], 1)
    for label in range(2):
        sizes = np.unique(clips.recording[clips.label == label], return_counts=True)[1]
        assert figures["design_effect"][label] == pytest.approx((sizes**2).sum() / sizes.sum())


def test_evaluate__counts_recordings_by_fold_and_class(clips: Classified, figures: dict[str, np.ndarray]):
    for place, fold in enumerate(FOLDS):
        for label in range(N_CLASSES):
            inside = (clips.fold == fold) & (clips.label == label)
            assert figures["n_recordings"][place, label] == len(set(clips.recording[inside].tolist()))


def test_evaluate__is_the_same_for_the_same_stream(clips: Classified):
    first, second, other = (
        evaluate(clips, FOLDS, N_CLASSES, N_TRAINING, bootstrap(seed=seed)) for seed in (1, 1, 2)
    )
    for name, values in first.items():
        np.testing.assert_array_equal(second[name], values, err_msg=name)
    for name in ("accuracy_low", "brier_low", "ece_expected"):
        assert first[name] != other[name], name


def test_measures__of_many_tables_are_those_of_each():
    tables = np.random.default_rng(0).integers(0, 5, (3, 2, N_CLASSES, N_CLASSES))
    tables[0, 0] = 0
    tables[1, 1, :, 2] = 0
    for measure, shape in (
        *((measure, (3, 2)) for measure in (accuracy, chance, macro_f1, mcc)),
        *((measure, (3, 2, N_CLASSES)) for measure in (recall, precision, jaccard, f1)),
    ):
        found = measure(tables)
        assert found.shape == shape
        for at in np.ndindex(3, 2):
            np.testing.assert_array_equal(found[at], measure(tables[at]))
        assert np.isnan(found[0, 0]).all()
    assert np.isnan(precision(tables)[1, 1, 2])
