"""Two runs side by side: what is shown of either, what became of it, and the page that says so.

The first run is A, the second B. Figures of either run alone are its own; whatever compares them is over the
clips and recordings that both hold: see ``toolkit.reporting.paired``.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal

from toolkit.reporting import figures, paired
from toolkit.reporting.drawing import own_style
from toolkit.reporting.evidence import Evidence, read_evidence
from toolkit.reporting.paired import Overlap, Paired, PairedMaps, Pairing, overlap
from toolkit.reporting.render import image, shared, template
from toolkit.reporting.verdicts import COMPARED_WITH, headline, status
from toolkit.reporting.view import ClassView, Overview, Region, Score, read_class, read_overview
from toolkit.reporting.wording import NOMINAL, listed, maps_name, marked, plural, representation_name, words
from toolkit.store.schema import CORRECT

Kind = Literal["same", "changed", "new", "gone", "none"]
KINDS: Mapping[Kind, str] = {
    "same": "the same",
    "changed": "changed",
    "new": "new in B",
    "gone": "only in A",
    "none": "none in either",
}
"""What becomes of a verdict, in words."""


@dataclass(frozen=True)
class Side:
    """What is shown of one run."""

    name: str
    overview: Overview
    classes: Mapping[str, ClassView]
    evidence: Mapping[tuple[str, str, str], Evidence]
    """By class, representation and composite."""

    @property
    def representations(self) -> tuple[str, ...]:
        """Those that the run has figures of."""
        return tuple(score.representation for score in self.overview.scores)

    @property
    def groups(self) -> tuple[str, ...]:
        """Representations and composites that it has figures of, such as 'mel/lrp.epsilon'."""
        return tuple(
            dict.fromkeys(f"{representation}/{composite}" for _, representation, composite in self.evidence)
        )

    def score(self, representation: str) -> Score | None:
        """Return how the networks of a representation classify, if there are any."""
        found = (score for score in self.overview.scores if score.representation == representation)
        return next(found, None)


Claim = tuple[str, str]
"""What a verdict says of a band, such as 'more than input', and the band."""


@dataclass(frozen=True)
class VerdictPair:
    """What either run says of a class."""

    class_name: str
    representation: str
    composite: str
    first: Evidence | None
    """None where the run has no such maps."""
    second: Evidence | None

    @property
    def kind(self) -> Kind:
        """What became of the verdict: of one that names bands, whether these are the same ones."""
        is_said = [each is not None and status(each) in {"named", "nothing"} for each in self.both]
        if not all(is_said):
            return "gone" if is_said[0] else "new" if is_said[1] else "none"
        one, other = (set(claims(each)) or {("", headline(each))} for each in self.both if each)
        return "same" if one == other else "changed"

    @property
    def both(self) -> tuple[Evidence | None, Evidence | None]:
        """Of A and of B."""
        return self.first, self.second

    @property
    def shown(self) -> list[tuple[str, list[tuple[str, list[tuple[str, bool]]]]]]:
        """Of A and B, why no band is named; or claims with their bands, and whether only this run names it."""
        known = [claims(each) for each in self.both]
        return [
            (_unnamed(each), _grouped(mine, other))
            for each, mine, other in zip(self.both, known, reversed(known), strict=True)
        ]


@dataclass(frozen=True)
class Comparison:
    """The page."""

    first: Side
    second: Side
    pairing: Pairing

    @property
    def names(self) -> tuple[str, str]:
        """What the runs are called."""
        return self.first.name, self.second.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that both have."""
        return self.pairing.corpus.classes.both

    @property
    def is_nominal(self) -> bool:
        """Whether frequencies of either run are supposed, not measured."""
        return any(side.overview.is_nominal for _, side in self.sides)

    @property
    def representations(self) -> tuple[str, ...]:
        """Those that either run has."""
        return tuple(dict.fromkeys((*self.first.representations, *self.second.representations)))

    @property
    def sides(self) -> tuple[tuple[str, Side], ...]:
        """Both runs with their letters."""
        return (("A", self.first), ("B", self.second))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What changed, in a few sentences: never more than the intervals support."""
        found = [
            self._on_settings(),
            *(paired.of_accuracy(score, self.pairing) for score in self.pairing.scores),
            paired.of_shares(self.pairing.maps, self.pairing),
            paired.of_correlations(self.pairing.maps, self.pairing),
            self._on_verdicts(),
        ]
        return tuple(sentence for sentence in found if sentence)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before anything else."""
        corpus = self.pairing.corpus
        groups = overlap(*(map(_group_name, side.groups) for _, side in self.sides))
        found = [
            *([] if corpus.n("clips") else ["The runs have no clip in common: nothing can be paired."]),
            *paired.only_in_one("class", "classes", _in_words(corpus.classes)),
            *paired.only_in_one("maps of", "maps of", groups),
            *chain.from_iterable(_on_chance(letter, side) for letter, side in self.sides),
            *self._on_targets(),
        ]
        if not corpus.classes.is_whole:
            found.append(
                "Networks that know other classes answer another question: accuracy is over clips of the "
                "classes in common, but these can be mistaken for a class that only one run knows."
            )
        if corpus.n_other_sound:
            found.append(
                f"{corpus.n_other_sound:,} of the {plural(corpus.n('clips'), 'clip')} in both have another "
                "spectrogram, although these are made alike: another sound of the same name, or another "
                "version of the toolkit."
            )
        return tuple(found)

    @cached_property
    def settings(self) -> tuple[tuple[str, str, str], ...]:
        """Settings that differ: name, A and B; a dash where a run does not have it."""
        return tuple(each for each in self._settings if each[1] != each[2])

    @cached_property
    def common_settings(self) -> tuple[tuple[str, str], ...]:
        """Settings that are the same in both."""
        return tuple((name, one) for name, one, other in self._settings if one == other)

    @cached_property
    def verdicts(self) -> tuple[VerdictPair, ...]:
        """Verdicts on classes that both have, by maps that either has."""
        groups = dict.fromkeys((*self.first.groups, *self.second.groups))
        keys = [(name, *_parts(group)) for group in groups for name in self.classes]
        return tuple(
            VerdictPair(*key, self.first.evidence.get(key), self.second.evidence.get(key)) for key in keys
        )

    def regions(self, maps: PairedMaps) -> dict[str, tuple[Region | None, ...]]:
        """Return the mean maps of A and B, by class; none where a run has no correctly classified clip."""
        key = (maps.representation, maps.composite, CORRECT)
        found = {
            name: tuple(side.classes[name].region(*key) for _, side in self.sides) for name in self.classes
        }
        return {
            name: tuple(region if region and region.n_clips else None for region in pair)
            for name, pair in found.items()
        }

    def band(self, name: str) -> str:
        """Return the name of a band, marked where its frequencies are supposed."""
        return marked([name], is_nominal=self.is_nominal)[0]

    @property
    def _settings(self) -> list[tuple[str, str, str]]:
        one, other = (dict(_settings(side.overview)) for _, side in self.sides)
        return [(name, one.get(name, "–"), other.get(name, "–")) for name in sorted(one | other)]

    def _on_settings(self) -> str:
        if not self.settings:
            return "No setting differs."
        named = [f"{name} ({one} in A, {other} in B)" for name, one, other in self.settings[:_MOST_NAMED]]
        n = len(self.settings)
        more = [*named, f"{n - _MOST_NAMED} more"] if n > _MOST_NAMED else named
        return f"{plural(n, 'setting')} {'differs' if n == 1 else 'differ'}: {listed(more)}."

    def _on_verdicts(self) -> str:
        said = [found for found in self.verdicts if found.kind != "none"]
        if not said:
            return "Neither run has a verdict on any class."
        counts = Counter(found.kind for found in said)
        n_same = counts.pop("same", 0)
        rest = "".join(f"; {counts[kind]} {KINDS[kind]}" for kind in KINDS if kind in counts)
        sentence = (
            f"{n_same} of {plural(len(said), 'verdict')} {'is' if n_same == 1 else 'are'} the same{rest}."
        )
        named = [[set(claims(each)) for each in found.both] for found in said]
        n_either, n_both = (sum(len(of(*pair)) for pair in named) for of in (set.union, set.intersection))
        if not n_either:
            return f"{sentence} Neither run names a band."
        return (
            f"{sentence} Of the bands named for a class by either run ({n_either}), {n_both} are named by both."
        )

    def _on_targets(self) -> list[str]:
        """Return in what the maps of the runs are of another kind."""
        found = []
        one, other = (side.overview.target for _, side in self.sides)
        if one != other:
            found.append(f"Maps explain another output: {words(one)} in A, {words(other)} in B.")
        kept = {
            letter: any(each.rest.is_kept for each in side.evidence.values()) for letter, side in self.sides
        }
        if len(set(kept.values())) > 1:
            (only,) = (letter for letter, is_kept in kept.items() if is_kept)
            found.append(
                f"Only {only} kept relevance for every class (`--target all`): the other run has no verdicts "
                "against other classes."
            )
        return found


def read_side(store: Path, name: str) -> Side:
    """Return what is shown of one run.

    Raises
    ------
    StoreError
        The store has no statistics yet.
    """
    overview = read_overview(store)
    return Side(
        name=name,
        overview=overview,
        classes={each: read_class(store, each) for each in overview.class_names},
        evidence={
            (each.class_name, each.representation, each.composite): each for each in read_evidence(store)
        },
    )


def claims(evidence: Evidence | None) -> list[Claim]:
    """Return what a verdict says of all bands that it names, without numbers; nothing where it names none."""
    if evidence is None or status(evidence) != "named":
        return []
    return [
        (
            f"{'more' if side > 0 else 'less'} than {COMPARED_WITH[contrast.name]}",
            band.band.removesuffix(NOMINAL),
        )
        for contrast in evidence.contrasts.values()
        for side in (1, -1)
        for band in contrast.named(side)
    ]


def _unnamed(evidence: Evidence | None) -> str:
    """Return why no band is named; nothing where one is."""
    if evidence is None:
        return "–"
    return "" if status(evidence) == "named" else headline(evidence)


def _grouped(mine: list[Claim], other: list[Claim]) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Return claims with their bands, and of each whether ``other`` does not hold it."""
    return [
        (claim, [(band, (said, band) not in other) for said, band in mine if said == claim])
        for claim in dict.fromkeys(said for said, _ in mine)
    ]


@own_style()
def render(page: Comparison) -> str:
    """Return the page as HTML; it depends on the two stores and what they are called."""
    thumbnails = {}
    for maps in page.pairing.maps:
        regions = page.regions(maps)
        limit = figures.limit_of([region for pair in regions.values() for region in pair if region])
        thumbnails[maps.representation, maps.composite] = {
            name: [image(figures.thumbnail(region, limit)) if region else "" for region in pair]
            for name, pair in regions.items()
        }
    sources = [side.overview.source for _, side in page.sides]
    return template("compare.html.j2").render(
        page=page,
        thumbnails=thumbnails,
        # Who is to be credited: what was made here needs none.
        source=next((source for source in sources if source != "synthetic"), "synthetic"),
        points=paired.points,
        point_limits=paired.point_limits,
        certainty=paired.certainty,
        reach=reach,
        KINDS=KINDS,
        MOST_LISTED=_MOST_LISTED,
        **shared(),
    )


def reach(found: list[Paired]) -> float:
    """Return how far an axis must reach to either side of 0 to hold all differences and their intervals."""
    ends = [abs(value) for each in found for value in vars(each.difference).values()]
    return max(filter(math.isfinite, ends), default=0.0) or 1.0


_MOST_NAMED = 3
"""Settings that the first sentence names."""
_MOST_LISTED = 100
"""Names of recordings that are listed."""


def _settings(overview: Overview) -> list[tuple[str, str]]:
    kinds = ", ".join(score.representation for score in overview.scores)
    return [("source", overview.dataset), ("representations", kinds), *overview.parameters]


def _parts(group: str) -> tuple[str, str]:
    representation, _, composite = group.partition("/")
    return representation, composite


def _group_name(group: str) -> str:
    return maps_name(*_parts(group))


def _in_words(found: Overlap) -> Overlap:
    return Overlap(*(tuple(map(words, names)) for names in (found.both, found.first, found.second)))


def _on_chance(letter: str, side: Side) -> list[str]:
    return [
        f"The {representation_name(score.representation)} networks of {letter} are not known to be better than "
        "chance: their maps mean nothing."
        for score in side.overview.scores
        if score.is_chance and score.n_clips
    ]
