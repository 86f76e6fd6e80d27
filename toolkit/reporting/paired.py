"""What a comparison of two runs is told: plain data on what both hold, and on what became of it.

The first run is A, the second B. Differences are B less A, over recordings that both hold; shares and rates are
in [0, 1], differences of them in [-1, 1]; NaN where there is no value. No sentence says more than intervals do.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median

from toolkit.reporting.wording import Estimate, listed, number, percent, plural, representation_name

NOTEWORTHY = 0.01
"""Difference of shares from which on a band is named: what is certain but small is not."""
_SHOWN_AS_ZERO = 5e-4
"""Smaller differences would be 0.0 points."""


@dataclass(frozen=True)
class Paired:
    """One figure in both runs, over the same recordings."""

    first: float
    second: float
    difference: Estimate
    n_recordings: int
    n_differing: int
    """Recordings whose own figure is not the same in both."""
    is_certain: bool
    """Whether the difference is more than chance."""


@dataclass(frozen=True)
class Recognition:
    """How many clips are classified correctly, of all classes or of one."""

    accuracy: Paired
    to_right: int
    """Recordings that went from mostly wrong to mostly right."""
    to_wrong: int


@dataclass(frozen=True)
class PairedScore:
    """How the networks of one representation classify the clips that both runs hold."""

    representation: str
    n_clips: int
    of_all: Recognition
    of_class: Mapping[str, Recognition]


@dataclass(frozen=True)
class PairedClass:
    """Where relevance lies in the correctly classified clips of one class."""

    n_recordings: int
    bands: Mapping[str, Paired]
    """Shares of positive relevance, by band."""
    correlation: Estimate
    """Of the profiles over frequency; NaN where the axes of the runs differ."""
    map_correlation: float

    @property
    def noteworthy(self) -> dict[str, Paired]:
        """Bands whose share differs by more than chance and is large enough to be named; the largest first."""
        found = [
            (band, share)
            for band, share in self.bands.items()
            if share.is_certain and abs(share.difference.value) >= NOTEWORTHY
        ]
        return dict(sorted(found, key=lambda item: -abs(item[1].difference.value)))


@dataclass(frozen=True)
class PairedMaps:
    """The same by one representation and composite, for every class that both runs have."""

    representation: str
    composite: str
    of_class: Mapping[str, PairedClass]

    @property
    def shares(self) -> tuple[Paired, ...]:
        """Of every class and band."""
        return tuple(chain.from_iterable(found.bands.values() for found in self.of_class.values()))


@dataclass(frozen=True)
class Overlap:
    """What both runs hold of one kind of thing, and what only one of them does: names."""

    both: tuple[str, ...]
    first: tuple[str, ...]
    """Only in A."""
    second: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is in one alone."""
        return not self.first and not self.second


def overlap(first: Iterable[str], second: Iterable[str]) -> Overlap:
    """Return what is in both and in each alone, in the order of the first."""
    one, other = list(dict.fromkeys(first)), list(dict.fromkeys(second))
    return Overlap(
        tuple(name for name in one if name in set(other)),
        tuple(name for name in one if name not in set(other)),
        tuple(name for name in other if name not in set(one)),
    )


@dataclass(frozen=True)
class Corpus:
    """Which clips and recordings the runs share."""

    classes: Overlap
    clips: Mapping[str, Overlap]
    """By class of either run."""
    recordings: Mapping[str, Overlap]
    n_other_fold: int
    """Clips in both that sit in another fold."""
    n_other_sound: int
    """Clips in both whose spectrograms differ although they are made alike."""

    @property
    def is_same(self) -> bool:
        """Whether both hold the same clips, of the same recordings, in the same folds."""
        of_each = (*self.clips.values(), *self.recordings.values())
        return not self.n_other_fold and all(each.is_whole for each in of_each)

    def n(self, kind: str) -> int:
        """Return how many 'clips' or 'recordings' are in both."""
        held: Mapping[str, Overlap] = {"clips": self.clips, "recordings": self.recordings}[kind]
        return sum(len(each.both) for each in held.values())


@dataclass(frozen=True)
class Pairing:
    """All that is paired."""

    confidence: float
    """Of intervals."""
    minimum_recordings: int
    """Fewer are too few to say."""
    fewest_differing: int
    """Likewise, of recordings that differ."""
    n_bootstrap: int
    seed: int
    corpus: Corpus
    scores: tuple[PairedScore, ...]
    maps: tuple[PairedMaps, ...]


def points(difference: float, digits: int = 1) -> str:
    """Return a difference of shares in percentage points, with its sign; a dash where there is none."""
    text = number(100 * difference, digits)
    is_zero = not text.strip("-0.")
    return text.removeprefix("-") if is_zero or text == "–" else text if text[0] == "-" else f"+{text}"


def point_limits(found: Estimate) -> str:
    """Return the limits of a difference in percentage points, or nothing where there are none."""
    ends = (found.low, found.high)
    digits = 1 if min(map(abs, ends)) >= _SHOWN_AS_ZERO else 2
    return " to ".join(points(end, digits) for end in ends) if found.has_interval else ""


def certainty(found: Paired, pairing: Pairing) -> str:
    """Return in a few words whether a difference is more than chance."""
    if found.is_certain:
        return "more in B" if found.difference.value > 0 else "less in B"
    if not found.n_recordings:
        return "–"
    if not found.n_differing:
        return "the same"
    if found.n_recordings < pairing.minimum_recordings:
        return f"too few recordings: {pairing.minimum_recordings} are needed"
    if found.n_differing < pairing.fewest_differing:
        return f"too few recordings that differ: {found.n_differing}, {pairing.fewest_differing} are needed"
    return "may be chance" if found.difference.has_interval else "no interval"


def of_accuracy(score: PairedScore, pairing: Pairing) -> str:
    """Return what became of the accuracy of one representation, in a sentence."""
    subject, found = f"Accuracy by {representation_name(score.representation)}", score.of_all.accuracy
    if not found.n_recordings:
        return f"{subject} cannot be compared: no clip is classified in both runs."
    n, change = f"{plural(found.n_recordings, 'recording')} in both", found.difference
    if not found.n_differing:
        return f"{subject} is the same in every recording ({n})."
    limits = point_limits(change)
    interval = f"{percent(pairing.confidence)} interval {limits}; " if limits else ""
    if found.is_certain:
        went = "rose" if change.value > 0 else "fell"
        return f"{subject} {went} by {points(abs(change.value)).removeprefix('+')} points ({interval}{n})."
    doubt = certainty(found, pairing)
    if doubt == "may be chance":
        doubt = "which may be chance: the interval holds 0"
    return f"{subject} differs by {points(change.value)} points, {doubt} ({interval}{n})."


def of_shares(maps: Sequence[PairedMaps], pairing: Pairing) -> str:
    """Return how many shares of relevance differ, and how many would by chance, in a sentence."""
    fewest = pairing.minimum_recordings
    shares = [share for found in maps for share in found.shares if share.n_recordings >= fewest]
    if not shares:
        return (
            f"Where relevance lies cannot be compared: no class has {fewest} recordings with correctly "
            "classified clips in both."
        )
    if not any(share.n_differing for share in shares):
        return "Where relevance lies is the same in every recording."
    n_certain, by_chance = sum(share.is_certain for share in shares), (1 - pairing.confidence) * len(shares)
    return (
        f"Where relevance lies: {n_certain} of {plural(len(shares), 'share')} by class and band differ, with "
        f"an interval that leaves out 0; by chance alone about {by_chance:.0f} would."
    )


def of_correlations(maps: Sequence[PairedMaps], pairing: Pairing) -> str:
    """Return how alike mean maps are, in a sentence; nothing where none can be correlated."""
    found = [
        of_class.map_correlation
        for each in maps
        for of_class in each.of_class.values()
        if of_class.n_recordings >= pairing.minimum_recordings and math.isfinite(of_class.map_correlation)
    ]
    if not found:
        return ""
    return (
        f"Mean maps of A and B correlate by {number(median(found))} (median of {len(found)} with at least "
        f"{pairing.minimum_recordings} recordings; the lowest by {number(min(found))})."
    )


def only_in_one(one: str, several: str, found: Overlap) -> list[str]:
    """Return a sentence on each run that alone has some kind of thing, called so if it is one, or several."""
    return [
        f"Only {letter} has the {one if len(names) == 1 else several} {listed(names)}: left out here."
        for letter, names in (("A", found.first), ("B", found.second))
        if names
    ]
