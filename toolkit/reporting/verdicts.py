"""Verdicts in plain sentences, made from numbers and never more than the tests support.

Bands are fixed in advance, so a band may be named. That frequency bins differ somewhere is told by clusters,
and a cluster says that something differs, not where it begins or ends (Sassenhagen & Draschkow 2019): no
sentence here tells a boundary. What is named is true of recordings like these, given these networks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from toolkit.reporting.evidence import (
    BandShares,
    BandTest,
    Contrast,
    Evidence,
    OtherComposite,
    OtherSeed,
)
from toolkit.reporting.wording import (
    Estimate,
    composite_name,
    interval,
    limits,
    listed,
    number,
    p_value,
    percent,
    plural,
    representation_name,
    times,
    words,
)
from toolkit.store.schema import INPUT, REST

Status = Literal["named", "nothing", "too few", "chance", "not tested"]
NOTEWORTHY_EDGE = 1.5
"""Relevance per input at the edge of padding, from which on it is worth a warning."""
NOTEWORTHY_PADDING = 0.1
"""Share of absolute relevance in padding, likewise."""
COMPARED_WITH = {INPUT: "input", REST: "other classes"}
"""What the contrasts compare relevance with, in words."""


@dataclass(frozen=True)
class Verdict:
    """What can be said of one class by one representation and composite."""

    class_name: str
    representation: str
    composite: str
    status: Status
    headline: str
    """A few words for a table."""
    sentences: tuple[str, ...]


def verdict(evidence: Evidence) -> Verdict:
    """Return what can be said of a class."""
    return Verdict(
        class_name=evidence.class_name,
        representation=evidence.representation,
        composite=evidence.composite,
        status=status(evidence),
        headline=headline(evidence),
        sentences=(
            *_on_networks(evidence),
            *_on_target(evidence),
            *_against_input(evidence),
            *_against_rest(evidence),
            *_in_time(evidence),
            *_in_both(evidence),
            *_by_composites(evidence.composites),
            *_by_seeds(evidence.seeds),
            *_on_padding(evidence),
            _on_what_it_holds_for(evidence),
        ),
    )


def status(evidence: Evidence) -> Status:
    """Return the verdict in one word."""
    contrasts = evidence.contrasts.values()
    if evidence.networks.is_chance:
        return "chance"
    if any(contrast.named(side) for contrast in contrasts for side in (1, -1)):
        return "named"
    if any(contrast.is_tested for contrast in contrasts):
        return "nothing"
    fewest = evidence.limits.minimum_recordings
    known = [contrast.n_recordings for contrast in contrasts if contrast.is_kept]
    return "too few" if known and min(known) < fewest and max(known) > 0 else "not tested"


def headline(evidence: Evidence) -> str:
    """Return a few words: the bands that are named, or why there are none."""
    kind = status(evidence)
    if kind == "chance":
        return "networks not known to be better than chance"
    if kind == "too few":
        return f"too few to say: {plural(_n_recordings(evidence), 'recording')}"
    if kind == "not tested":
        return "not tested"
    if kind == "nothing":
        return _unnamed(evidence)
    # What is particular to the class comes first; what every class has, only where there is nothing else.
    found = {
        (side, is_common): bands
        for is_common in (False, True)
        for side in (1, -1)
        if (bands := _named_briefly(evidence, side, is_common=is_common))
    }
    (side, is_common), bands = next(iter(found.items()))
    first = (
        f"{'more' if side > 0 else 'less'} in {_with_ratios(bands)}{', as in every class' if is_common else ''}"
    )
    less = found.get((-1, is_common), {})
    return f"{first}; less in {plural(len(less), 'band')}" if side > 0 and less else first


def _unnamed(evidence: Evidence) -> str:
    tested = [contrast for contrast in evidence.contrasts.values() if contrast.is_tested]
    differing = [contrast for contrast in tested if contrast.p <= evidence.limits.alpha]
    with_what = " and ".join(COMPARED_WITH[contrast.name] for contrast in differing or tested)
    if differing:
        return f"differs from {with_what}, but no band is certain"
    return f"not told from {with_what}"


def _named_briefly(evidence: Evidence, side: int, *, is_common: bool) -> dict[str, list[str]]:
    """Return the bands on one side with their ratios: '1.9 x input', '2.2 x other classes'."""
    ratios: dict[str, list[str]] = {band.band: [] for band in evidence.input.bands}
    for contrast in evidence.contrasts.values():
        for band in contrast.named(side):
            if band.is_common == is_common:
                ratios[band.band].append(f"{times(band.ratio.value)} x {COMPARED_WITH[contrast.name]}")
    return {band: found for band, found in ratios.items() if found}


def _with_ratios(bands: Mapping[str, Sequence[str]]) -> str:
    """Return bands in words: '1-2 kHz (1.9 x input, 2.2 x other classes)'."""
    return ", ".join(f"{band} ({', '.join(found)})" for band, found in bands.items())


def _n_recordings(evidence: Evidence) -> int:
    """Return how many recordings the contrast has that has the fewest."""
    return min(contrast.n_recordings for contrast in evidence.contrasts.values() if contrast.is_kept)


def _on_networks(evidence: Evidence) -> list[str]:
    """Return what to know of the networks before anything else."""
    networks, name = evidence.networks, representation_name(evidence.representation)
    if math.isnan(networks.accuracy.value):
        return [f"How well the {name} networks classify is not known: no fold has all its clips explained."]
    if networks.is_chance:
        reached = (
            f"accuracy {_share(networks.accuracy)}, always naming the largest class {percent(networks.chance)}"
        )
        return [
            f"The {name} networks are not known to be better than chance ({reached}), so their maps mean "
            "nothing."
        ]
    folds = [str(fold) for fold in networks.chance_folds]
    if len(folds) == 1:
        return [
            f"The {name} network of fold {folds[0]} is not known to be better than chance; its maps count here "
            "too."
        ]
    if folds:
        return [
            f"The {name} networks of folds {listed(folds)} are not known to be better than chance; their maps "
            "count here too."
        ]
    return []


def _on_target(evidence: Evidence) -> list[str]:
    name, target = words(evidence.class_name), evidence.target
    if target in {"predicted", "all"}:
        return []
    if target == "label":
        return ["The maps explain the true class, whether the network names it or not."]
    if target == evidence.class_name:
        return [f"The maps explain the output {name}, whatever the network names."]
    return [
        f"The maps explain the output {words(target)}: what follows is what in {name} speaks for "
        f"{words(target)}, not what makes it {name}."
    ]


def _against_input(evidence: Evidence) -> list[str]:
    contrast, limit = evidence.input, evidence.limits
    n = plural(contrast.n_recordings, "recording")
    if contrast.n_recordings < limit.minimum_recordings:
        return [
            f"Too few to say whether relevance lies elsewhere than the network's input: {n} with correctly "
            f"classified clips, {limit.minimum_recordings} are needed."
        ]
    if not contrast.is_tested:
        return [f"Relevance was not tested against the network's input ({n} with correctly classified clips)."]
    begins = f"Among correctly classified clips ({n}), "
    if contrast.p > limit.alpha:
        return [f"{begins}relevance cannot be told from the network's input (corrected {p_value(contrast.p)})."]
    shares = {band.band: band for band in evidence.bands}
    first = f"{begins}relevance is spread over frequency otherwise than the network's input"
    return [
        _differs(first, contrast, evidence),
        *_more("More than its share of input", contrast, evidence, shares),
        *_less("Less than its share of input", contrast),
    ]


def _against_rest(evidence: Evidence) -> list[str]:
    contrast, limit, name = evidence.rest, evidence.limits, words(evidence.class_name)
    n = plural(contrast.n_recordings, "recording")
    if not contrast.is_kept:
        return [
            f"What is particular to {name} among the classes is not known: this run did not keep, of every "
            "clip, the relevance for every class. `toolkit run-all --target all` does."
        ]
    if contrast.n_recordings < limit.minimum_recordings:
        return [
            f"Too few to say what sets it apart from other classes: {n}, {limit.minimum_recordings} are needed."
        ]
    if not contrast.is_tested:
        return ["It was not tested against other classes: these have too few recordings."]
    begins = f"All its clips ({n}) against those of all other classes, every one explained for {name}: "
    if contrast.p > limit.alpha:
        return [
            f"{begins}relevance cannot be told from that in other classes (corrected {p_value(contrast.p)})."
        ]
    return [
        _differs(f"{begins}relevance is spread over frequency otherwise", contrast, evidence),
        *_more("More than in other classes", contrast, evidence, {}),
        *_less("Less than in other classes", contrast),
    ]


def _differs(begins: str, contrast: Contrast, evidence: Evidence) -> str:
    """Return that something differs; and that no band does for certain, if so."""
    p = f"(corrected {p_value(contrast.p)})"
    if contrast.named(1) or contrast.named(-1):
        return f"{begins} {p}."
    ratio = f"{evidence.limits.minimum_ratio:g}"
    return f"{begins} {p}; it differs somewhere, but in no band by a factor of {ratio} that is certain."


def _more(begins: str, contrast: Contrast, evidence: Evidence, shares: dict[str, BandShares]) -> list[str]:
    named = contrast.named(1)
    if not named:
        return []
    bands = "; ".join(_in_full(band, evidence, shares.get(band.band)) for band in named)
    return [f"{begins}: {bands}."]


def _in_full(band: BandTest, evidence: Evidence, shares: BandShares | None) -> str:
    """Return a band with all that its verdict rests on."""
    ratio = f"{times(band.ratio.value)} times"
    if shares is not None and not math.isnan(shares.share.value + shares.input_share):
        held = f"{percent(shares.share.value)} of positive relevance, {percent(shares.input_share)} of input"
        ratio = f"{held}: {ratio}"
    if limits(band.ratio, 1):
        ratio += f", {100 * evidence.limits.confidence:g} % interval {limits(band.ratio, 1)}"
    found = [ratio]
    if math.isfinite(band.p):
        found.append(f"corrected {p_value(band.p)}")
    if band.n_folds:
        found.append(f"{band.n_folds_alike} of {plural(band.n_folds, 'fold')} on the same side")
    if math.isfinite(band.least_ratio):
        found.append(f"{times(band.least_ratio)} times or more with any one fold left out")
    if band.is_common:
        found.append("as in every class")
    return f"{band.band} ({'; '.join(found)})"


def _less(begins: str, contrast: Contrast) -> list[str]:
    named = contrast.named(-1)
    if not named:
        return []
    parts = [
        (
            ", ".join(
                f"{band.band} ({times(band.ratio.value)} times)"
                for band in named
                if band.is_common == is_common
            )
        )
        for is_common in (False, True)
    ]
    particular, common = parts
    if not common:
        return [f"{begins}: {particular}."]
    return [
        f"{begins}: {particular}; and, as in every class, {common}."
        if particular
        else f"{begins}, as in every class: {common}."
    ]


def _in_time(evidence: Evidence) -> list[str]:
    time = evidence.in_time
    if not time.p <= evidence.limits.alpha or math.isnan(time.when_s) or not time.bands:
        return []
    side = "before" if time.when_s < 0 else "after"
    return [
        "Exploratory: counted from the onset of each clip's loudest event, more of the relevance than of the "
        f"input of {listed(time.bands)} comes about {abs(time.when_s):.1f} s {side} it (corrected "
        f"{p_value(time.p)} that time makes a difference in any band)."
    ]


def _in_both(evidence: Evidence) -> list[str]:
    both = evidence.in_both
    if both is None or evidence.networks.is_chance:
        return []
    if both.is_chance:
        return [
            "The networks of the other representation are not known to be better than chance: agreement says "
            "nothing."
        ]
    fewest, n = evidence.limits.minimum_recordings, plural(both.n_recordings, "recording")
    than = {INPUT: "than input", REST: "than in other classes"}
    found = [
        f"{'more' if side > 0 else 'less'} {than[kind]} in {listed(bands)}"
        for (kind, side), bands in both.named.items()
        if bands
    ]
    sentence = (
        f"In both representations: {'; '.join(found)}."
        if found
        else "No band is named in both representations."
    )
    if both.n_recordings < fewest:
        return [
            sentence,
            f"Their profiles are not compared: {n} with correctly classified clips in both, {fewest} are "
            "needed.",
        ]
    if math.isnan(both.correlation.value):
        return [sentence]
    return [
        sentence,
        f"Their profiles on one frequency axis correlate by {_correlation(both.correlation)} ({n}).",
    ]


def _by_composites(others: Sequence[OtherComposite]) -> list[str]:
    sentences = []
    for other in others:
        name, known = composite_name(other.composite), not math.isnan(other.correlation.value)
        alike = f"correlation of profiles {_correlation(other.correlation)}" if known else ""
        if other.is_same_method:
            agree = f" ({alike})" if alike else ""
            sentences.append(
                f"{name} is the same method on networks of convolutions, ReLU and max pools but for a "
                f"stabiliser: that both agree{agree} is no second witness."
            )
        elif alike:
            sentences.append(f"As a check, by {name}: {alike}.")
    return sentences


def _by_seeds(others: Sequence[OtherSeed]) -> list[str]:
    sentences = []
    for other in others:
        alike = f"{other.n_alike} of {plural(other.n_verdicts, 'verdict')} on bands are the same"
        if not math.isnan(other.correlation.value):
            alike += f", correlation of profiles {_correlation(other.correlation)}"
        sentences.append(f"By networks trained from seed {other.seed}: {alike}.")
    return sentences


def _on_padding(evidence: Evidence) -> list[str]:
    sentences = []
    if evidence.at_edge > NOTEWORTHY_EDGE:
        sentences.append(
            f"Of padded clips, the last recorded frames hold {times(evidence.at_edge)} times as much relevance "
            "as input: the networks may look at the edge that padding makes."
        )
    if evidence.in_padding > NOTEWORTHY_PADDING:
        sentences.append(
            f"{percent(evidence.in_padding)} of absolute relevance lies in padding, and is left out of all "
            "shares."
        )
    return sentences


def _on_what_it_holds_for(evidence: Evidence) -> str:
    n = evidence.networks.n_networks
    these = "this network" if n == 1 else f"these {n} networks"
    return f"This is said of recordings like these, given {these}: others may look elsewhere."


def _share(estimate: Estimate) -> str:
    found = interval(estimate)
    return f"{percent(estimate.value)} ({found})" if found else percent(estimate.value)


def _correlation(estimate: Estimate) -> str:
    found = limits(estimate)
    return f"{number(estimate.value)} ({found})" if found else number(estimate.value)
