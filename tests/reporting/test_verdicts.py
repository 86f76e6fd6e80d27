"""Verdicts say what the numbers say: every sentence is compared, and none says more than its test."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reporting.constructed import (
    LIMITS,
    NAN,
    NETWORKS,
    UNKNOWN,
    absent,
    band_test,
    contrast,
    evidence,
    shares,
)
from toolkit.reporting.evidence import Evidence, InBoth, InTime, OtherComposite, OtherSeed
from toolkit.reporting.verdicts import headline, status, verdict
from toolkit.reporting.wording import Estimate

HOLDS = "This is said of recordings like these, given these 10 networks: others may look elsewhere."
NOT_REST = (
    "All its clips (74 recordings) against those of all other classes, every one explained for dog bark: "
)
NOTHING = {"input": contrast("input", p=0.21), "rest": contrast("rest", p=0.4)}


def sentences(**changed: object) -> tuple[str, ...]:
    return verdict(evidence(**changed)).sentences


def test_verdict__names_bands_with_all_that_they_rest_on():
    found = verdict(
        evidence(
            contrasts={
                "input": contrast(
                    "input", band_test("1-2 kHz", 1.9, 1), band_test("2-4 kHz", 0.5, -1, is_common=True)
                ),
                "rest": contrast("rest", band_test("1-2 kHz"), band_test("2-4 kHz", 2.2, 1), p=0.0123),
            }
        )
    )
    assert found.status == "named"
    assert found.headline == "more in 1-2 kHz (1.9 x input), 2-4 kHz (2.2 x other classes)"
    assert found.sentences == (
        "Among correctly classified clips (74 recordings), relevance is spread over frequency otherwise than "
        "the network's input (corrected p < 0.001).",
        "More than its share of input: 1-2 kHz (50 % of positive relevance, 25 % of input: 1.9 times, "
        "95 % interval 1.7 to 2.1; corrected p = 0.004; 9 of 10 folds on the same side; "
        "1.8 times or more with any one fold left out).",
        "Less than its share of input, as in every class: 2-4 kHz (0.50 times).",
        f"{NOT_REST}relevance is spread over frequency otherwise (corrected p = 0.012).",
        "More than in other classes: 2-4 kHz (2.2 times, 95 % interval 2.0 to 2.4; corrected p = 0.004; 9 of "
        "10 folds on the same side; 2.1 times or more with any one fold left out).",
        HOLDS,
    )


def test_headline__puts_both_ratios_of_a_band_together():
    both = {name: contrast(name, band_test("1-2 kHz", 3.43, 1)) for name in ("input", "rest")}
    assert headline(evidence(contrasts=both)) == "more in 1-2 kHz (3.4 x input, 3.4 x other classes)"


def test_headline__says_how_many_bands_hold_less_where_others_hold_more():
    more, less = band_test("1-2 kHz", 1.9, 1), band_test("2-4 kHz", 0.5, -1)
    for bands, said in (((more, less), "; less in 1 band"), ((more,), "")):
        kinds = {"input": contrast("input", *bands), "rest": contrast("rest", p=0.5)}
        assert headline(evidence(contrasts=kinds)) == f"more in 1-2 kHz (1.9 x input){said}"


def test_headline__says_what_every_class_has_only_where_there_is_nothing_else():
    common, own = band_test("1-2 kHz", 0.08, -1, is_common=True), band_test("2-4 kHz", 0.5, -1)
    for bands, said in (
        ((common, own), "less in 2-4 kHz (0.50 x input)"),
        ((common,), "less in 1-2 kHz (0.08 x input), as in every class"),
    ):
        kinds = {"input": contrast("input", *bands), "rest": contrast("rest", p=0.5)}
        assert headline(evidence(contrasts=kinds)) == said


def test_less__tells_what_every_class_has_from_what_this_one_has():
    bands = (band_test("1-2 kHz", 0.08, -1, is_common=True), band_test("2-4 kHz", 0.5, -1))
    found = sentences(contrasts={"input": contrast("input", *bands), "rest": contrast("rest", p=0.5)})
    assert found[1] == (
        "Less than its share of input: 2-4 kHz (0.50 times); and, as in every class, 1-2 kHz (0.08 times)."
    )


def test_verdict__names_no_band_where_only_clusters_differ():
    found = verdict(evidence())
    assert (found.status, found.headline) == (
        "nothing",
        "differs from input and other classes, but no band is certain",
    )
    assert found.sentences[0].endswith(
        "(corrected p < 0.001); it differs somewhere, but in no band by a factor of 1.25 that is certain."
    )


def test_verdict__cannot_tell_where_p_is_large():
    found = verdict(evidence(contrasts=NOTHING))
    assert (found.status, found.headline) == ("nothing", "not told from input and other classes")
    assert found.sentences == (
        "Among correctly classified clips (74 recordings), relevance cannot be told from the network's input "
        "(corrected p = 0.21).",
        f"{NOT_REST}relevance cannot be told from that in other classes (corrected p = 0.40).",
        HOLDS,
    )


@pytest.mark.parametrize(("n", "counted"), [(0, "0 recordings"), (1, "1 recording"), (9, "9 recordings")])
def test_verdict__gives_no_p_for_too_few(n, counted):
    too_few = {name: absent(name, is_kept=True, n=max(n, name == "rest")) for name in ("input", "rest")}
    found = verdict(evidence(contrasts=too_few))
    assert found.status == "too few"
    assert found.headline == f"too few to say: {counted}"
    assert found.sentences[0] == (
        f"Too few to say whether relevance lies elsewhere than the network's input: {counted} with correctly "
        "classified clips, 10 are needed."
    )
    assert not any(re.search(r"\bp\b", sentence) for sentence in found.sentences)


def test_verdict__says_how_to_get_the_contrast_that_the_run_did_not_keep():
    found = verdict(
        evidence(contrasts={"input": contrast("input", p=0.5), "rest": absent("rest", is_kept=False)})
    )
    assert found.headline == "not told from input"
    assert found.sentences[1] == (
        "What is particular to dog bark among the classes is not known: this run did not keep, of every clip, "
        "the relevance for every class. `toolkit run-all --target all` does."
    )


def test_verdict__is_not_tested_without_clips_or_without_others():
    nothing = {name: absent(name, is_kept=False) for name in ("input", "rest")}
    assert status(evidence(contrasts=nothing)) == "not tested"
    alone = {name: absent(name, is_kept=True, n=20) for name in ("input", "rest")}
    found = verdict(evidence(contrasts=alone))
    assert (found.status, found.headline) == ("not tested", "not tested")
    assert found.sentences[:2] == (
        "Relevance was not tested against the network's input (20 recordings with correctly classified clips).",
        "It was not tested against other classes: these have too few recordings.",
    )


def test_verdict__flags_networks_no_better_than_chance_first():
    chance = replace(NETWORKS, is_chance=True, accuracy=Estimate(0.13, 0.09, 0.18))
    named = {name: contrast(name, band_test("1-2 kHz", 1.9, 1)) for name in ("input", "rest")}
    found = verdict(evidence(networks=chance, contrasts=named))
    assert (found.status, found.headline) == ("chance", "networks not known to be better than chance")
    assert found.sentences[0] == (
        "The mel spectrogram networks are not known to be better than chance (accuracy 13 % (9–18 %), always "
        "naming the largest class 12 %), so their maps mean nothing."
    )


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        (
            (3,),
            "The mel spectrogram network of fold 3 is not known to be better than chance; its maps count here "
            "too.",
        ),
        (
            (3, 7, 9),
            "The mel spectrogram networks of folds 3, 7 and 9 are not known to be better than chance; their "
            "maps count here too.",
        ),
    ],
)
def test_verdict__names_folds_at_chance(folds, said):
    assert sentences(networks=replace(NETWORKS, chance_folds=folds))[0] == said


def test_verdict__says_that_accuracy_is_not_known():
    unknown = replace(NETWORKS, accuracy=UNKNOWN, chance=NAN)
    assert sentences(networks=unknown)[0] == (
        "How well the mel spectrogram networks classify is not known: no fold has all its clips explained."
    )


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("label", "The maps explain the true class, whether the network names it or not."),
        ("dog_bark", "The maps explain the output dog bark, whatever the network names."),
        (
            "siren",
            "The maps explain the output siren: what follows is what in dog bark speaks for siren, not what "
            "makes it dog bark.",
        ),
    ],
)
def test_verdict__says_what_maps_explain(target, said):
    assert sentences(target=target)[0] == said
    assert sentences(target="all") == sentences(target="predicted")


def test_verdict__speaks_of_time_only_where_the_test_does():
    late = InTime(0.0123, 0.25, ("1-2 kHz", "2-4 kHz"))
    said = (
        "Exploratory: counted from the onset of each clip's loudest event, more of the relevance than of the "
        "input of 1-2 kHz and 2-4 kHz comes about 0.2 s after it (corrected p = 0.012 that time makes a "
        "difference in any band)."
    )
    assert sentences(contrasts=NOTHING, in_time=late)[2] == said
    for silent in (replace(late, p=0.06), replace(late, when_s=NAN), replace(late, p=NAN)):
        assert sentences(contrasts=NOTHING, in_time=silent) == sentences(contrasts=NOTHING)


def in_both(**changed: object) -> InBoth:
    named = {(kind, side): () for kind in ("input", "rest") for side in (1, -1)}
    return replace(InBoth(False, 70, Estimate(0.8, 0.7, 0.9), 0.6, "dog_bark", named), **changed)


def test_verdict__says_what_holds_in_both_representations():
    named = {("input", 1): ("1-2 kHz",), ("rest", -1): ("125-250 Hz", "4-8 kHz")}
    assert sentences(contrasts=NOTHING, in_both=in_both(named=named))[2:4] == (
        "In both representations: more than input in 1-2 kHz; less than in other classes in 125-250 Hz and 4-8 "
        "kHz.",
        "Their profiles on one frequency axis correlate by 0.80 (0.70 to 0.90) (70 recordings).",
    )
    assert sentences(contrasts=NOTHING, in_both=in_both(n_recordings=1))[2:4] == (
        "No band is named in both representations.",
        "Their profiles are not compared: 1 recording with correctly classified clips in both, 10 are needed.",
    )
    assert sentences(contrasts=NOTHING, in_both=in_both(is_chance=True))[2] == (
        "The networks of the other representation are not known to be better than chance: agreement says "
        "nothing."
    )


def test_verdict__does_not_take_one_method_for_two_witnesses():
    others = (
        OtherComposite("lrp.z", True, Estimate(0.99, 0.98, 0.995), 0.9),
        OtherComposite("lrp.sequential_preset_a_flat", False, Estimate(0.5, NAN, NAN), 0.4),
    )
    assert sentences(contrasts=NOTHING, composites=others)[2:4] == (
        "lrp.z is the same method on networks of convolutions, ReLU and max pools but for a stabiliser: that "
        "both agree (correlation of profiles 0.99 (0.98 to 0.99)) is no second witness.",
        "As a check, by LRP preset A, flat input: correlation of profiles 0.50.",
    )


def test_verdict__says_what_other_seeds_find():
    seed = OtherSeed(2, Estimate(0.8, 0.7, 0.9), 0.6, 14, 16)
    assert sentences(contrasts=NOTHING, seeds=(seed,))[2] == (
        "By networks trained from seed 2: 14 of 16 verdicts on bands are the same, correlation of profiles "
        "0.80 (0.70 to 0.90)."
    )


def test_verdict__warns_of_padding():
    found = sentences(contrasts=NOTHING, at_edge=2.04, in_padding=0.13)
    assert found[2:4] == (
        "Of padded clips, the last recorded frames hold 2.0 times as much relevance as input: the networks may "
        "look at the edge that padding makes.",
        "13 % of absolute relevance lies in padding, and is left out of all shares.",
    )
    assert sentences(contrasts=NOTHING, at_edge=1.5, in_padding=0.1) == sentences(contrasts=NOTHING)


def test_verdict__takes_limits_from_the_settings():
    limits = replace(LIMITS, alpha=0.3, minimum_ratio=2, minimum_recordings=80, confidence=0.9)
    found = sentences(limits=limits, contrasts={**NOTHING, "rest": contrast("rest", p=0.25, n=90)})
    assert "80 are needed" in found[0]
    assert "in no band by a factor of 2 that is certain" in found[1]


def test_verdict__speaks_of_one_network_and_one_fold_in_the_singular():
    one = {
        name: contrast(name, band_test("1-2 kHz (nominal)", 1.9, 1, n_folds=1, n_folds_alike=1))
        for name in ("input", "rest")
    }
    found = verdict(evidence(networks=replace(NETWORKS, n_networks=1), contrasts=one))
    assert "1 of 1 fold on the same side" in found.sentences[1]
    assert found.headline.startswith("more in 1-2 kHz (nominal) (1.9 x input")
    assert found.sentences[-1].endswith("given this network: others may look elsewhere.")


FIGURES = st.one_of(st.just(NAN), st.floats(0.001, 1))
RATIOS = st.one_of(st.just(NAN), st.floats(0.01, 50))
ESTIMATES = st.builds(Estimate, FIGURES, FIGURES, FIGURES)
RATIO_ESTIMATES = st.builds(Estimate, RATIOS, RATIOS, RATIOS)
COUNTS = st.integers(0, 30)
SEVERAL_BANDS = st.sampled_from([(), ("1-2 kHz",), ("1-2 kHz", "2-4 kHz")])


@st.composite
def any_contrast(draw, name):
    bands = [
        band_test(
            band,
            verdict=draw(st.sampled_from([-1, 0, 1])),
            ratio=draw(RATIO_ESTIMATES),
            p=draw(FIGURES),
            n_folds=draw(COUNTS),
            least_ratio=draw(RATIOS),
            is_common=draw(st.booleans()),
        )
        for band in ("1-2 kHz", "2-4 kHz")
    ]
    return contrast(name, *bands, p=draw(FIGURES), n=draw(COUNTS), is_kept=draw(st.booleans()))


@st.composite
def any_evidence(draw) -> Evidence:
    named = {(kind, side): draw(SEVERAL_BANDS) for kind in ("input", "rest") for side in (1, -1)}
    both = InBoth(draw(st.booleans()), draw(COUNTS), draw(ESTIMATES), draw(FIGURES), "", named)
    accuracy, is_chance = draw(ESTIMATES), draw(st.booleans())
    folds = draw(st.sampled_from([(), (1,), (1, 2)]))
    return evidence(
        target=draw(st.sampled_from(["predicted", "label", "siren"])),
        networks=replace(NETWORKS, accuracy=accuracy, is_chance=is_chance, chance_folds=folds),
        bands=tuple(
            replace(shares(band, NAN, draw(FIGURES)), share=draw(ESTIMATES)) for band in ("1-2 kHz", "2-4 kHz")
        ),
        contrasts={name: draw(any_contrast(name)) for name in ("input", "rest")},
        in_time=InTime(draw(FIGURES), draw(FIGURES), draw(SEVERAL_BANDS)),
        in_padding=draw(FIGURES),
        at_edge=draw(RATIOS),
        in_both=draw(st.one_of(st.none(), st.just(both))),
        composites=(OtherComposite("lrp.z", draw(st.booleans()), draw(ESTIMATES), draw(FIGURES)),),
        seeds=(OtherSeed(1, draw(ESTIMATES), draw(FIGURES), 3, 4),),
    )


@settings(max_examples=150, deadline=None)
@given(any_evidence())
def test_verdict__is_made_of_whole_sentences_whatever_is_not_known(known):
    found = verdict(known)
    assert found.status in {"named", "nothing", "too few", "chance", "not tested"}
    for text in (found.headline, *found.sentences):
        assert not re.search(
            r"nan|–,|– times|\binf\b|p = 0(?![.\d])|p –|  |\(\)|\b1 recordings|, \.|: \.", text
        ), text
    assert found.headline
    assert all(
        sentence[0].isupper() or sentence.startswith("lrp.") or sentence[0].isdigit()
        for sentence in found.sentences
    )
    assert all(sentence.endswith(".") for sentence in found.sentences)
