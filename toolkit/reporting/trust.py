"""Can the maps of a run be trusted: four questions, answered from its figures for each representation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolkit.reporting.view import ClassView, Overview, Region, Score
from toolkit.reporting.wording import interval, listed, number, percent, words

State = Literal["yes", "partly", "no", "unknown"]
_MOST_OFF, _MOST_OFF_PARTLY = 0.1, 0.5
"""How far from 1 the sum of relevance over the logit may lie, median over classes, for maps to add up."""
_MOST_IN_PADDING, _MOST_IN_PADDING_PARTLY = 0.05, 0.25
_AGREE, _AGREE_PARTLY = 0.5, 0.2
"""Median correlation of one fold's map with that of the others."""


@dataclass(frozen=True)
class Check:
    """One question about one representation."""

    short: str
    question: str
    representation: str
    state: State
    answer: str


def checks(overview: Overview, classes: Sequence[ClassView], composite: str) -> tuple[Check, ...]:
    """Return all questions for every representation, by maps of one composite of correctly classified clips."""
    found = []
    for score in overview.scores:
        name = score.representation
        regions = {
            page.name: region
            for page in classes
            for region in page.correct
            if (region.representation, region.composite) == (name, composite)
        }
        found += [
            Check("classify", "Do the networks classify?", name, *_classify(score)),
            Check(
                "maps add up", "Do maps add up to what they explain?", name, *_conserved([*regions.values()])
            ),
            Check("off padding", "Does relevance stay off padding?", name, *_padding(regions)),
            Check(
                "folds agree",
                "Do networks of other folds look at the same?",
                name,
                *_stable([*regions.values()]),
            ),
        ]
    return tuple(found)


def by_question(found: Sequence[Check]) -> dict[str, list[Check]]:
    """Return checks by their question, in order."""
    questions = dict.fromkeys(check.question for check in found)
    return {question: [check for check in found if check.question == question] for question in questions}


def _classify(score: Score) -> tuple[State, str]:
    if np.isnan(score.accuracy.value):
        return "unknown", "no fold has all its clips explained"
    limits = f" ({interval(score.accuracy)})" if interval(score.accuracy) else ""
    reached = f"accuracy {percent(score.accuracy.value)}{limits}, chance {percent(score.chance)}"
    if score.is_chance:
        return "no", f"{reached}: not known to be better than chance, so maps mean nothing"
    if score.chance_folds:
        folds = listed([str(fold) for fold in score.chance_folds])
        return "partly", f"{reached}; not known to be better than chance in fold {folds}"
    return "yes", reached


def _conserved(regions: Sequence[Region]) -> tuple[State, str]:
    ratios = np.array([region.conservation for region in regions])
    ratios = ratios[np.isfinite(ratios)]
    if not ratios.size:
        return "unknown", "no class has a map"
    off = np.abs(ratios - 1)
    typical, worst = float(np.median(off)), float(off.max())
    told = (
        f"sum of relevance over logit, where 1 is all: {number(ratios.min())} to {number(ratios.max())}; "
        f"off by {number(typical)} in the median of classes"
    )
    state = _state(typical, _MOST_OFF, _MOST_OFF_PARTLY)
    return ("partly" if state == "yes" and worst > _MOST_OFF_PARTLY else state), told


def _padding(regions: dict[str, Region]) -> tuple[State, str]:
    shares = {name: region.in_padding for name, region in regions.items() if np.isfinite(region.in_padding)}
    if not shares:
        return "unknown", "no class has a map"
    most = max(shares, key=lambda name: shares[name])
    told = f"at most {percent(shares[most])} of it lies there ({words(most)})"
    return _state(shares[most], _MOST_IN_PADDING, _MOST_IN_PADDING_PARTLY), told


def _stable(regions: Sequence[Region]) -> tuple[State, str]:
    found = np.array([fold.agreement for region in regions for fold in region.folds if fold.n_recordings])
    found = found[np.isfinite(found)]
    if not found.size:
        return "unknown", "only one fold has maps"
    middle = float(np.median(found))
    return _state(
        -middle, -_AGREE, -_AGREE_PARTLY
    ), f"correlation of one fold's mean map with the others': median {number(middle)}"


def _state(value: float, most: float, most_partly: float) -> State:
    return "yes" if value <= most else "partly" if value <= most_partly else "no"
