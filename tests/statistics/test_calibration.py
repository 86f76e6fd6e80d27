"""Calibration against scikit-learn, slow loops, and networks whose calibration is known."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from toolkit.statistics.bootstrap import PLAIN, SHARE, Bootstrap, interval
from toolkit.statistics.calibration import (
    N_BINS,
    bins_of,
    brier,
    calibration_error,
    classwise_error,
    evaluate,
    expected_error,
    log_loss,
)
from toolkit.statistics.dependence import Sample, draw

N_CLASSES = 3


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def bootstrap(n_replicates: int = 60) -> Bootstrap:
    return Bootstrap(n_replicates, 0.9, rng(8))


def stated(n_clips: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, and labels that come about with exactly these."""
    probability = rng(seed).dirichlet(np.full(N_CLASSES, 0.7), n_clips)
    label = (rng(seed + 1).random((n_clips, 1)) > probability.cumsum(axis=1)).sum(axis=1)
    return probability, np.minimum(label, N_CLASSES - 1)


def sample_of(label: np.ndarray, n_recordings: int = 40) -> Sample:
    """Return clips in three folds, each recording in one of them."""
    recording = rng(3).integers(0, n_recordings, len(label))
    return draw(label, recording % 3, recording, bootstrap())


def slow_error(probability: np.ndarray, happened: np.ndarray) -> float:
    """Rewrite the calibration error by going through bins and clips."""
    edges, members = np.quantile(probability, np.arange(1, N_BINS) / N_BINS).tolist(), {}
    for stated_share, event in zip(probability.tolist(), happened.tolist(), strict=True):
        members.setdefault(sum(stated_share > edge for edge in edges), []).append((stated_share, event))
    means = [(len(inside), *np.mean(inside, axis=0)) for inside in members.values()]
    return sum(n / len(probability) * abs(share - observed) for n, share, observed in means)


def test_bins_of__are_of_equal_mass_and_ascending():
    probability = rng().random(200)
    bins = bins_of(probability)
    np.testing.assert_array_equal(np.bincount(bins), np.full(N_BINS, 200 / N_BINS))
    assert (np.diff(bins[np.argsort(probability)]) >= 0).all()


def test_bins_of__keep_equal_probabilities_together():
    probability = np.concatenate([rng().random(30), np.full(70, 1.0)])
    bins = bins_of(probability)
    assert len(set(bins[30:].tolist())) == 1
    assert len(set(bins.tolist())) < N_BINS
    assert set(bins_of(np.full(50, 0.3)).tolist()) == {0}


def test_evaluate__has_the_reliability_curve_of_scikit_learn():
    probability, label = stated(500)
    figures = evaluate(probability, label, sample_of(label), bootstrap())
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == label
    accuracy, mean = calibration_curve(right, confidence, n_bins=N_BINS, strategy="quantile")
    np.testing.assert_allclose(figures["reliability_accuracy"], accuracy)
    np.testing.assert_allclose(figures["reliability_confidence"], mean)
    np.testing.assert_array_equal(figures["reliability_n_clips"], np.full(N_BINS, 50))
    np.testing.assert_array_equal(figures["bin"], np.arange(N_BINS))


def test_evaluate__leaves_bins_empty_that_ties_have_emptied():
    """scikit-learn drops such bins; here they stay, without a value."""
    probability, label = stated(200)
    probability[::2] = np.eye(N_CLASSES)[probability[::2].argmax(axis=1)]
    figures = evaluate(probability, label, sample_of(label), bootstrap())
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == label
    accuracy, mean = calibration_curve(right, confidence, n_bins=N_BINS, strategy="quantile")
    there = figures["reliability_n_clips"] > 0
    assert 0 < there.sum() < N_BINS
    np.testing.assert_allclose(figures["reliability_accuracy"][there], accuracy)
    np.testing.assert_allclose(figures["reliability_confidence"][there], mean)
    for name in ("accuracy", "accuracy_low", "accuracy_high", "confidence"):
        assert np.isnan(figures[f"reliability_{name}"][~there]).all(), name


@pytest.mark.parametrize("n_clips", [3, 25, 400])
def test_calibration_error__equals_a_slow_loop(n_clips: int):
    probability = rng(n_clips).random(n_clips).round(2)
    happened = rng(9).random((4, n_clips)) < 0.4
    found = calibration_error(probability, happened)
    np.testing.assert_allclose(found, [slow_error(probability, events) for events in happened])


def test_calibration_error__of_one_confidence_is_its_distance_from_the_share():
    right = np.arange(100) < 60
    assert calibration_error(np.full(100, 0.9), right) == pytest.approx(0.3)
    assert calibration_error(np.full(100, 0.6), right) == pytest.approx(0, abs=1e-12)


def test_calibration_error__is_that_of_the_curve_of_scikit_learn():
    probability, label = stated(300)
    right = label == 1
    observed, mean = calibration_curve(right, probability[:, 1], n_bins=N_BINS, strategy="quantile")
    assert calibration_error(probability[:, 1], right) == pytest.approx(np.abs(observed - mean).mean())


def test_classwise_error__is_the_mean_over_classes():
    probability, label = stated(300)
    expected = [slow_error(probability[:, number], label == number) for number in range(N_CLASSES)]
    assert classwise_error(probability, label) == pytest.approx(np.mean(expected))


def test_expected_error__is_what_perfect_networks_show():
    """300 networks that are right as often as they say, on the same clips; the simulation's noise is 3 %."""
    probability, _ = stated(250)
    confidence = probability.max(axis=1)
    networks = [calibration_error(confidence, rng(seed).random(250) < confidence) for seed in range(300)]
    assert expected_error(confidence, rng(7)) == pytest.approx(np.mean(networks), rel=0.08)


def test_expected_error__halves_with_four_times_the_clips():
    few, many = (expected_error(stated(n)[0].max(axis=1), rng()) for n in (500, 2000))
    assert few / many == pytest.approx(2, rel=0.15)


def test_evaluate__tells_an_overconfident_network_from_a_calibrated_one():
    """Logits three times as large keep the predictions; the ECE then is far from that of chance."""
    probability, label = stated(2000)
    sharper = probability**3 / (probability**3).sum(axis=1, keepdims=True)
    calibrated, overconfident = (
        evaluate(each, label, sample_of(label), bootstrap()) for each in (probability, sharper)
    )
    assert 0.4 < calibrated["ece"] / calibrated["ece_expected"] < 1.8
    assert overconfident["ece"] > 5 * overconfident["ece_expected"]
    for name in ("ece", "classwise_ece", "brier", "log_loss"):
        assert overconfident[name] > calibrated[name], name
    assert (overconfident["reliability_accuracy"] < overconfident["reliability_confidence"]).mean() > 0.7


def test_brier__is_that_of_scikit_learn():
    probability, label = stated(300)
    expected = metrics.brier_score_loss(label, probability, labels=range(N_CLASSES), scale_by_half=False)
    assert brier(probability, label).mean() == pytest.approx(expected)


def test_brier__lies_between_zero_and_two():
    """Certain and right, certain and wrong, and equal probabilities, which score 1 - 1 / K."""
    probability = np.array([[1.0, 0, 0, 0], [1.0, 0, 0, 0], [0.25] * 4])
    np.testing.assert_allclose(brier(probability, np.array([0, 2, 3])), [0, 2, 0.75])


def test_log_loss__is_that_of_scikit_learn():
    """Also where the true class has the probability 0."""
    probability, label = stated(300)
    probability[:2], label[:2] = [[1, 0, 0], [0, 1, 0]], [2, 1]
    expected = metrics.log_loss(label, probability, labels=range(N_CLASSES))
    assert log_loss(probability, label).mean() == pytest.approx(expected)
    assert log_loss(probability, label)[0] == pytest.approx(36.04, abs=0.01)


def test_evaluate__has_limits_of_scores_like_a_slow_loop():
    """Weighted by scikit-learn in every replicate; half the Brier score in log-odds, the loss in logarithms."""
    probability, label = stated(120)
    sample = sample_of(label)
    figures = evaluate(probability, label, sample, bootstrap())
    brier_of, loss_of = [], []
    for weights in sample.weights[:, sample.group]:
        inside = {"sample_weight": weights, "labels": range(N_CLASSES)}
        brier_of.append(metrics.brier_score_loss(label, probability, scale_by_half=True, **inside))
        loss_of.append(np.log(metrics.log_loss(label, probability, **inside)))
    of_brier = interval(brier(probability, label).mean() / 2, np.array(brier_of), sample.strata, 0.9, SHARE)
    of_loss = interval(
        np.log(log_loss(probability, label).mean()), np.array(loss_of), sample.strata, 0.9, PLAIN
    )
    np.testing.assert_allclose((figures["brier_low"], figures["brier_high"]), 2 * np.array(of_brier))
    np.testing.assert_allclose((figures["log_loss_low"], figures["log_loss_high"]), np.exp(of_loss))
    assert 0 < figures["brier_low"] < figures["brier"] < figures["brier_high"] < 2
    assert 0 < figures["log_loss_low"] < figures["log_loss"] < figures["log_loss_high"]


def test_evaluate__has_limits_of_the_curve_like_a_slow_loop():
    """In every bin those of the recordings that have clips there, and their strata."""
    probability, label = stated(400)
    sample = sample_of(label)
    figures = evaluate(probability, label, sample, bootstrap())
    bins, right = bins_of(probability.max(axis=1)), probability.argmax(axis=1) == label
    for number in range(N_BINS):
        inside = bins == number
        replicates = [np.average(right[inside], weights=each[sample.group[inside]]) for each in sample.weights]
        strata = sample.strata[np.unique(sample.group[inside])]
        expected = interval(right[inside].mean(), np.array(replicates), strata, 0.9, SHARE)
        found = figures["reliability_accuracy_low"][number], figures["reliability_accuracy_high"][number]
        np.testing.assert_allclose(found, expected)
        assert np.isfinite(found).all()


def test_evaluate__of_a_network_that_is_certain_and_right_has_limits_of_its_brier_score_alone():
    """Half of it is a share of 0 of what was drawn; a loss without spread has no limits."""
    label = rng(2).integers(0, N_CLASSES, 400)
    sample = sample_of(label)
    figures = evaluate(np.eye(N_CLASSES)[label], label, sample, bootstrap())
    assert figures["log_loss"] == pytest.approx(0, abs=1e-15)
    assert np.isnan([figures["log_loss_low"], figures["log_loss_high"]]).all()
    assert (figures["brier"], figures["brier_low"]) == (0, 0)
    assert figures["brier_high"] == pytest.approx(2 * (1 - 0.05 ** (1 / len(sample.strata))))
    assert figures["ece"] == figures["ece_expected"] == 0


def test_evaluate__has_no_limits_from_a_single_recording():
    probability, label = stated(50)
    nought = np.zeros(50, np.int64)
    figures = evaluate(probability, label, draw(nought, nought, nought, bootstrap()), bootstrap())
    for name in ("brier", "log_loss"):
        assert np.isfinite(figures[name])
        assert np.isnan([figures[f"{name}_low"], figures[f"{name}_high"]]).all()


def test_evaluate__of_no_clips_is_nan():
    nothing = np.zeros(0, np.int64)
    figures = evaluate(
        np.zeros((0, N_CLASSES)), nothing, draw(nothing, nothing, nothing, bootstrap()), bootstrap()
    )
    for name in set(figures) - {"bin", "reliability_n_clips"}:
        assert np.isnan(figures[name]).all(), name
    np.testing.assert_array_equal(figures["reliability_n_clips"], np.zeros(N_BINS))
