"""Sentences on paired figures: what they say, and where they stop."""

from dataclasses import replace

import pytest

from toolkit.reporting.paired import (
    Corpus,
    Paired,
    PairedClass,
    PairedMaps,
    PairedScore,
    Pairing,
    Recognition,
    certainty,
    of_accuracy,
    of_correlations,
    of_shares,
    only_in_one,
    overlap,
    point_limits,
    points,
)
from toolkit.reporting.wording import Estimate

NAN = float("nan")
UNKNOWN = Estimate(NAN, NAN, NAN)
NOTHING = overlap([], [])
PAIRING = Pairing(
    confidence=0.95,
    minimum_recordings=10,
    fewest_differing=6,
    n_bootstrap=2000,
    seed=0,
    corpus=Corpus(NOTHING, {}, {}, 0, 0),
    scores=(),
    maps=(),
)
CERTAIN = Paired(0.6, 0.64, Estimate(0.04, 0.01, 0.07), n_recordings=120, n_differing=30, is_certain=True)
OPEN = replace(CERTAIN, difference=Estimate(0.01, -0.02, 0.04), is_certain=False)
SAME = replace(CERTAIN, difference=Estimate(0.0, NAN, NAN), n_differing=0, is_certain=False)


def score(found: Paired) -> PairedScore:
    return PairedScore("mel", 300, Recognition(found, 3, 1), {})


def maps(*bands: Paired, correlation: float = 0.9) -> PairedMaps:
    named = {f"band {number}": band for number, band in enumerate(bands)}
    of_class = PairedClass(bands[0].n_recordings, named, UNKNOWN, correlation)
    return PairedMaps("mel", "lrp.epsilon", {"siren": of_class})


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (0.041, "+4.1"),
        (-0.123, "-12.3"),
        (0.0, "0.0"),
        (-0.0001, "0.0"),
        (0.0004, "0.0"),
        (NAN, "–"),
        (1.0, "+100.0"),
    ],
)
def test_points__carry_a_sign_unless_they_are_none(difference, expected):
    assert points(difference) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.07, "+1.0 to +7.0"),
        (-0.02, 0.04, "-2.0 to +4.0"),
        (0.0002, 0.004, "+0.02 to +0.40"),
        (NAN, NAN, ""),
        (0.01, 0.01, ""),
    ],
)
def test_point_limits__tell_a_small_limit_from_zero(low, high, expected):
    assert point_limits(Estimate(0.02, low, high)) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (CERTAIN, "more in B"),
        (replace(CERTAIN, difference=Estimate(-0.04, -0.07, -0.01)), "less in B"),
        (OPEN, "may be chance"),
        (SAME, "the same"),
        (replace(OPEN, n_recordings=0, difference=UNKNOWN), "–"),
        (replace(OPEN, n_recordings=9), "too few recordings: 10 are needed"),
        (replace(OPEN, n_differing=5), "too few recordings that differ: 5, 6 are needed"),
        (replace(OPEN, difference=Estimate(0.1, NAN, NAN)), "no interval"),
    ],
)
def test_certainty__is_given_or_refused_with_the_reason(found, expected):
    assert certainty(found, PAIRING) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (CERTAIN, "rose by 4.0 points (95 % interval +1.0 to +7.0; 120 recordings in both)."),
        (
            replace(CERTAIN, difference=Estimate(-0.04, -0.07, -0.01)),
            "fell by 4.0 points (95 % interval -7.0 to -1.0; 120 recordings in both).",
        ),
        (
            OPEN,
            "differs by +1.0 points, which may be chance: the interval holds 0 (95 % interval -2.0 to +4.0; "
            "120 recordings in both).",
        ),
        (SAME, "is the same in every recording (120 recordings in both)."),
        (
            replace(OPEN, difference=Estimate(-0.1, NAN, NAN), n_recordings=3),
            "differs by -10.0 points, too few recordings: 10 are needed (3 recordings in both).",
        ),
        (
            replace(OPEN, n_recordings=0, difference=UNKNOWN),
            "cannot be compared: no clip is classified in both runs.",
        ),
    ],
)
def test_of_accuracy__says_no_more_than_the_interval(found, expected):
    assert of_accuracy(score(found), PAIRING) == f"Accuracy by mel spectrogram {expected}"


def test_of_shares__says_how_many_would_differ_by_chance():
    assert of_shares([maps(*[CERTAIN] * 3, *[OPEN] * 37)], PAIRING) == (
        "Where relevance lies: 3 of 40 shares by class and band differ, with an interval that leaves out 0; by "
        "chance alone about 2 would."
    )


def test_of_shares__leaves_out_classes_with_few_recordings():
    few = replace(CERTAIN, n_recordings=9, is_certain=False)
    assert "of 2 shares" in of_shares([maps(few, few, few), maps(CERTAIN, OPEN)], PAIRING)
    for found in ([maps(few)], []):
        assert of_shares(found, PAIRING) == (
            "Where relevance lies cannot be compared: no class has 10 recordings with correctly classified "
            "clips in both."
        )


def test_of_shares__of_equal_runs_are_the_same():
    assert of_shares([maps(SAME, SAME)], PAIRING) == "Where relevance lies is the same in every recording."


def test_of_correlations__are_of_classes_with_recordings_enough():
    few = replace(OPEN, n_recordings=9)
    found = [maps(OPEN, correlation=value) for value in (0.5, 0.9, 0.8, NAN)]
    assert of_correlations([*found, maps(few, correlation=-1.0)], PAIRING) == (
        "Mean maps of A and B correlate by 0.80 (median of 3 with at least 10 recordings; the lowest by 0.50)."
    )
    assert of_correlations([maps(few)], PAIRING) == ""


def test_noteworthy__are_certain_and_at_least_a_point_largest_first():
    small = replace(CERTAIN, difference=Estimate(0.009, 0.004, 0.014))
    large = replace(CERTAIN, difference=Estimate(-0.05, -0.07, -0.03))
    (found,) = maps(CERTAIN, small, OPEN, large).of_class.values()
    assert list(found.noteworthy) == ["band 3", "band 0"]


def test_overlap__keeps_the_order_and_counts_each_once():
    found = overlap(["c", "a", "b", "a"], ["d", "b", "c", "d"])
    assert (found.both, found.first, found.second) == (("c", "b"), ("a",), ("d",))
    assert not found.is_whole
    assert overlap(["a"], ["a"]).is_whole


def test_only_in_one__names_each_run_that_has_more():
    assert only_in_one("class", "classes", overlap(["a", "b", "c"], ["a", "d"])) == [
        "Only A has the classes b and c: left out here.",
        "Only B has the class d: left out here.",
    ]
    assert only_in_one("class", "classes", overlap(["a"], ["a"])) == []
