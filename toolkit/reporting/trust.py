"""Can the maps of a run be trusted: four questions, answered from its figures for each representation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolkit.reporting.view import ClassView, Overview, Region, Score
from toolkit.reporting.wording import interval, listed, number, percent, words

State = Literal["yes", "partly", "no", "unknown"]
_MOST_OFF = 0.1
"""How far from 1 the sum of relevance over the logit may lie for maps to add up."""
_MOST_IN_PADDING = 0.05
_AGREE, _AGREE_PARTLY = 0.5, 0.2
"""Median correlation of one fold's map with that of the others."""


@dataclass(frozen=True)
class Check:
    """One question about one representation."""

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
            Check("Do the networks classify?", name, *_classify(score)),
            Check("Do maps add up to what they explain?", name, *_conserved([*regions.values()])),
            Check("Does relevance stay off padding?", name, *_padding(regions)),
            Check("Do networks of other folds look at the same?", name, *_stable([*regions.values()])),
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
    off = np.abs(ratios - 1).max()
    told = f"sum of relevance over logit {number(ratios.min())} to {number(ratios.max())} (medians of classes)"
    return ("yes" if off <= _MOST_OFF else "partly"), told


def _padding(regions: dict[str, Region]) -> tuple[State, str]:
    shares = {name: region.in_padding for name, region in regions.items() if np.isfinite(region.in_padding)}
    if not shares:
        return "unknown", "no class has a map"
    most = max(shares, key=lambda name: shares[name])
    told = f"at most {percent(shares[most])} of it lies there ({words(most)})"
    return ("yes" if shares[most] <= _MOST_IN_PADDING else "partly"), told


def _stable(regions: Sequence[Region]) -> tuple[State, str]:
    found = np.array([fold.agreement for region in regions for fold in region.folds if fold.n_recordings])
    found = found[np.isfinite(found)]
    if not found.size:
        return "unknown", "only one fold has maps"
    middle = float(np.median(found))
    state: State = "yes" if middle >= _AGREE else "partly" if middle >= _AGREE_PARTLY else "no"
    return state, f"correlation of one fold's mean map with the others': median {number(middle)}"
