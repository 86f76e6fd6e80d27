"""The page of one clip of the corpus: why its networks called it what they did.

What of a map is summed up is handed over as ``Map``; the rest is read from the clip's own row, and from what
statistics say of the class that the map explains. Probabilities and shares are in [0, 1]; NaN where there is no
value. ``ClipView`` is plain data.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.reporting import figures
from toolkit.reporting.drawing import Drawing, own_style
from toolkit.reporting.explorer import data_block, of_one, payload
from toolkit.reporting.listening import read_cuts
from toolkit.reporting.remarks import (
    Analysis,
    Arrays,
    Fact,
    analysis_of,
    of_rate,
    of_sound,
    parameters,
    recorded_at,
    seconds,
)
from toolkit.reporting.render import image, shared, template
from toolkit.reporting.view import groups_in, read_overview, statistics_groups
from toolkit.reporting.wording import Estimate, maps_name, marked
from toolkit.store.read import attributes, class_names, holds, read_rows, read_whole, section
from toolkit.store.schema import CORRECT, MAPS, OUTCOMES

_LONGEST_STEM = 80
_DIGITS = 8
_UNSURE = 0.5
"""Probability below which an answer is called unsure."""
_RARE = 0.05
"""Share of other recordings at most beyond which a clip's share of relevance is called unusual."""
_NOTEWORTHY_EDGE = 0.1
"""Share of relevance at the edge of padding from which it is told."""
_FEWEST = 20
"""Other recordings at least; of fewer, none is as rare as that."""
_OF_CLIP = (
    "clip",
    "class_name",
    "label",
    "fold",
    "recording",
    "start_s",
    "end_s",
    "salience",
    "valid_duration_s",
    "native_rate_hz",
    "clipped_share",
)
_OF_CLASS_BAND = ("band_share", "band_share_low", "band_share_high", "band_input_share")
_OF_CLASS = (*_OF_CLASS_BAND, "n_recordings")
_SALIENCE = {1: "foreground", 2: "background"}


@dataclass(frozen=True)
class Map:
    """One clip's map by one composite, and what was summed up of it; padding counts for nothing."""

    drawing: Drawing
    """The clip's level, and its relevance as a share of the map's absolute relevance; NaN in padding."""
    composite: str
    logits: np.ndarray
    """Shape (class,)."""
    probability: np.ndarray
    """Shape (class,)."""
    prediction: int
    target: int
    """Number of the class that the map explains."""
    relevance_sum: float
    in_padding: float
    at_edge: float
    """Share of absolute relevance in the last recorded frames before padding; NaN where there is no padding."""
    input_at_edge: float
    """Share of the input there."""
    bands: tuple[str, ...]
    """Names of the bands."""
    share: np.ndarray
    """Of positive relevance, shape (band,)."""
    input_share: np.ndarray
    """Of what the network sees, shape (band,)."""
    floor: np.ndarray
    """What is added to shares before a ratio is told, as in the statistics, shape (band,)."""
    by_target: np.ndarray
    """Share of positive relevance for every class, shape (class, band); no row where only one was explained."""
    others: np.ndarray
    """Mean share of correct clips in every other recording of the explained class, shape (recording, band)."""

    @property
    def key(self) -> tuple[str, str]:
        """What made it."""
        return self.drawing.representation, self.composite

    @property
    def group(self) -> str:
        """Where it stands below each kind of groups."""
        return "/".join(self.key)

    @property
    def band_names(self) -> list[str]:
        """Names of the bands as pages show them."""
        return marked(self.bands, is_nominal=self.drawing.is_nominal)


@dataclass(frozen=True)
class BandFinding:
    """What of the clip's relevance lies in a band, and how usual that is in the class that the map explains."""

    band: str
    share: float
    input_share: float
    class_share: Estimate
    class_input_share: float
    floor: float
    """Added to shares before a ratio is told."""
    n_below: int
    """Other recordings of the class with a smaller share."""
    n_others: int

    @property
    def ratio(self) -> float:
        """Share of relevance divided by share of input."""
        return (self.share + self.floor) / (self.input_share + self.floor)

    @property
    def class_ratio(self) -> float:
        """The same of the class."""
        return (self.class_share.value + self.floor) / (self.class_input_share + self.floor)

    @property
    def is_unusual(self) -> bool:
        """Whether hardly any other recording has as small, or as large, a share."""
        return (
            self.n_others >= _FEWEST
            and min(self.n_below, self.n_others - self.n_below) <= _RARE * self.n_others
        )


@dataclass(frozen=True)
class Finding:
    """What one composite finds."""

    representation: str
    composite: str
    target: str
    """The class that the map explains."""
    logit: float
    bands: tuple[BandFinding, ...]
    in_padding: float
    at_edge: float
    input_at_edge: float
    conservation: float
    """Sum of relevance divided by the explained logit; NaN where that is 0."""
    limit: float
    """Where the colours of the figure end, as a share of absolute relevance."""
    n_in_class: int
    """Recordings behind the figures of the class; 0 where there are none."""

    @property
    def name(self) -> str:
        """What made the map, in words."""
        return maps_name(self.representation, self.composite)

    @property
    def is_at_edge(self) -> bool:
        """Whether the network looks at the edge that padding makes, more than at what sounds there."""
        return self.at_edge > _NOTEWORTHY_EDGE and self.at_edge > 2 * self.input_at_edge

    @property
    def top(self) -> BandFinding | None:
        """The band with the largest share; None where nothing is positive."""
        known = [band for band in self.bands if np.isfinite(band.share)]
        return max(known, key=lambda band: band.share) if known else None


@dataclass(frozen=True)
class Candidate:
    """A class that the network could have named."""

    class_name: str
    logit: float
    probability: float
    tops: tuple[tuple[str, float], ...]
    """By composite, the band that holds most of what speaks for the class, with its share; '' if none does."""


@dataclass(frozen=True)
class Answer:
    """What the network of one representation says of the clip."""

    representation: str
    candidates: tuple[Candidate, ...]
    """All classes, the most probable first."""
    is_right: bool
    findings: tuple[Finding, ...]
    """One for each composite."""
    others_called: tuple[tuple[str, int], ...]
    """What other clips of the recording are called, most first; '' for those not explained."""

    @property
    def named(self) -> Candidate:
        """The class that the network names."""
        return self.candidates[0]

    @property
    def is_unsure(self) -> bool:
        """Whether no class reaches one half."""
        return self.named.probability < _UNSURE

    @property
    def target(self) -> str:
        """The class that maps explain."""
        return self.findings[0].target

    @property
    def explains_named(self) -> bool:
        """Whether that is the class that the network names."""
        return self.target == self.named.class_name


@dataclass(frozen=True)
class ClipView:
    """The page of one clip, but for the figures."""

    name: str
    class_name: str
    fold: int
    recording: str
    source: str
    answers: tuple[Answer, ...]
    """One for each representation, mel before constant-Q."""
    missing: tuple[str, ...]
    """Maps of the run that this clip does not have, in words."""
    facts: tuple[Fact, ...]
    remarks: tuple[str, ...]
    """What to know of the sound, in sentences."""
    n_others: int
    """Other clips of the recording that are of the same class."""
    signal: Analysis
    is_nominal: bool
    parameters: tuple[tuple[str, str], ...]


@own_style()
def render(store: Path, row: int, maps: Sequence[Map]) -> str:
    """Return the page of a clip as HTML; it depends on the store and on nothing else.

    Parameters
    ----------
    store
        Store of the run.
    row
        Row of the clip.
    maps
        Its maps, at least one; mel before constant-Q.
    """
    page = read_clip(store, row, maps)
    images, explorable = {}, {}
    for each in maps:
        drawn = _drawn(each, page.fold)
        images[each.group], explorable[each.group] = (
            image(drawn.figure),
            of_one(each.drawing, each.composite, drawn.panels),
        )
    return template("clip.html.j2").render(
        page=page,
        overview=read_overview(store) if statistics_groups(store) else None,
        source=page.source,
        images=images,
        explorer_data=data_block(payload(explorable)),
        cuts={"/".join(key): cut for key, cut in read_cuts(store, page.name).items()},
        **shared(),
    )


def file_of(name: str) -> str:
    """Return the file name of the page of the clip with this name.

    Different clips have different files, whichever else there are, also where upper and lower case are one.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_LONGEST_STEM]
    # Of what is left of any other name, the digest tells from which it is.
    is_plain = len(name) <= _LONGEST_STEM and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)?", name)
    return f"{stem}.html" if is_plain else f"{stem}-{sha256(name.encode()).hexdigest()[:_DIGITS]}.html"


def read_clip(store: Path, row: int, maps: Sequence[Map]) -> ClipView:
    """Return everything on the page of a clip but the figures; see ``render``."""
    about = attributes(store)
    clip = {name: values[0] for name, values in read_rows(store, "clips", _OF_CLIP, np.array([row])).items()}
    others = _other_clips(store, row)
    keys = [each.key for each in maps]
    return ClipView(
        name=str(clip["clip"]),
        class_name=str(clip["class_name"]),
        fold=int(clip["fold"]),
        recording=str(clip["recording"]),
        source=str(about["source"]),
        answers=tuple(
            _answer(store, [each for each in maps if each.key[0] == representation], int(clip["label"]), others)
            for representation in dict.fromkeys(representation for representation, _ in keys)
        ),
        missing=tuple(maps_name(*key) for key in groups_in(store, MAPS) if key not in keys),
        facts=_facts(clip, analysis_of(about)),
        remarks=_remarks(clip, analysis_of(about)),
        n_others=len(others),
        signal=analysis_of(about),
        is_nominal=bool(about["nominal"]),
        parameters=_parameters(store, row, maps),
    )


def _made_from(store: Path, group: str, row: int) -> str:
    """Return what a clip's map was made from; nothing if it is not made."""
    return str(read_rows(store, f"{MAPS}/{group}", ("made_from",), np.array([row]))["made_from"][0])


def _other_clips(store: Path, row: int) -> np.ndarray:
    """Return the rows of the other clips of the same class and recording."""
    clips = read_whole(store, "clips", ("label", "recording"))
    is_same = np.all([values == values[row] for values in clips.values()], axis=0)
    return np.setdiff1d(np.flatnonzero(is_same), row)


def _answer(store: Path, maps: Sequence[Map], label: int, others: np.ndarray) -> Answer:
    """Return what one network says of a clip, by all composites."""
    names = class_names(store)
    return Answer(
        representation=maps[0].drawing.representation,
        candidates=_candidates(maps, names),
        is_right=maps[0].prediction == label,
        findings=tuple(_finding(each, names, _of_class(store, each)) for each in maps),
        others_called=_called(store, maps[0], others, names),
    )


def _called(store: Path, known: Map, rows: np.ndarray, names: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Return what clips are called, with their number, most first; '' for those not explained."""
    predictions = read_rows(store, f"{MAPS}/{known.group}", ("prediction",), rows)["prediction"]
    return tuple(Counter(names[each] if each >= 0 else "" for each in predictions.tolist()).most_common())


def _candidates(maps: Sequence[Map], names: Sequence[str]) -> tuple[Candidate, ...]:
    """Return every class by the maps of one network, the highest logit first."""
    return tuple(
        Candidate(
            class_name=names[number],
            logit=float(maps[0].logits[number]),
            probability=float(maps[0].probability[number]),
            tops=tuple(_top(each, number) for each in maps),
        )
        for number in np.argsort(-maps[0].logits, kind="stable").tolist()
    )


def _top(known: Map, number: int) -> tuple[str, float]:
    """Return the band that holds most of what speaks for a class, and its share."""
    if number >= len(known.by_target) or not np.isfinite(known.by_target[number]).all():
        return "", math.nan
    place = int(known.by_target[number].argmax())
    return known.band_names[place], float(known.by_target[number, place])


def _of_class(store: Path, known: Map) -> Arrays:
    """Return what correct clips of the explained class show, by band; nothing without statistics."""
    group = f"statistics/regions/{known.group}"
    if not holds(store, group):
        return {}
    found = read_whole(store, group, _OF_CLASS)
    return {name: values[known.target, OUTCOMES.index(CORRECT)] for name, values in found.items()}


def _finding(known: Map, names: Sequence[str], of_class: Arrays) -> Finding:
    logit = float(known.logits[known.target])
    return Finding(
        representation=known.drawing.representation,
        composite=known.composite,
        target=names[known.target],
        logit=logit,
        bands=tuple(_band(known, place, of_class) for place in range(len(known.bands))),
        in_padding=known.in_padding,
        at_edge=known.at_edge,
        input_at_edge=known.input_at_edge,
        conservation=known.relevance_sum / logit if logit else math.nan,
        limit=figures.limit_of([known.drawing]),
        n_in_class=int(of_class["n_recordings"]) if of_class else 0,
    )


def _band(known: Map, place: int, of_class: Arrays) -> BandFinding:
    share = float(known.share[place])
    others = known.others[:, place] if math.isfinite(share) else np.zeros(0)
    value, low, high, input_share = (
        float(of_class[name][place]) if of_class else math.nan for name in _OF_CLASS_BAND
    )
    return BandFinding(
        band=known.band_names[place],
        share=share,
        input_share=float(known.input_share[place]),
        class_share=Estimate(value, low, high),
        class_input_share=input_share,
        floor=float(known.floor[place]),
        n_below=int((others < share).sum()),
        n_others=int(np.isfinite(others).sum()),
    )


def _facts(clip: Mapping[str, Any], analysis: Analysis) -> tuple[Fact, ...]:
    """Return what to know of a clip at a glance, as far as it is known."""
    start_s, end_s, recorded_s = (float(clip[name]) for name in ("start_s", "end_s", "valid_duration_s"))
    found = [
        ("Recording", str(clip["recording"]), ""),
        ("Fold", str(clip["fold"]), "held out from the networks that judge the clip"),
    ]
    if int(clip["salience"]) in _SALIENCE:
        found.append(("The sound is in the", _SALIENCE[int(clip["salience"])], "as the catalogue says"))
    if math.isfinite(start_s) and math.isfinite(end_s):
        found.append(("Place in the recording", f"{seconds(start_s)}–{seconds(end_s)} s", ""))
    if math.isfinite(recorded_s):
        found.append((
            "Recorded",
            f"{seconds(recorded_s)} s",
            f"of {analysis.duration_s:g} s that networks take",
        ))
    if int(clip["native_rate_hz"]) > 0:
        found.append(recorded_at(int(clip["native_rate_hz"]), analysis))
    if math.isfinite(clip["clipped_share"]):
        found.append(("At full scale", f"{100 * float(clip['clipped_share']):.1f} %", "of the samples"))
    return tuple(found)


def _remarks(clip: Mapping[str, Any], analysis: Analysis) -> tuple[str, ...]:
    short_or_clipped = of_sound(float(clip["valid_duration_s"]), float(clip["clipped_share"]), analysis)
    return (*of_rate(int(clip["native_rate_hz"]), analysis), *short_or_clipped)


def _parameters(store: Path, row: int, maps: Sequence[Map]) -> tuple[tuple[str, str], ...]:
    made = [attributes(store / MAPS / each.group) for each in maps]
    found: dict[str, object] = {}
    for each in maps:
        representation, composite = each.key
        trained = attributes(store / "training" / representation)
        found |= {f"training.{name}": value for name, value in section(trained, "training").items()}
        made_from = _made_from(store, each.group, row)
        found |= {"seed": trained["seed"], f"{representation}, {composite}: recipe, network, clip": made_from}
    return parameters(attributes(store), made, found)


def _drawn(known: Map, fold: int) -> figures.Maps:
    """Draw one map. The clip's name is no part of the title: a font or a formula could break it."""
    return figures.window(
        known.drawing,
        figures.limit_of([known.drawing]),
        f"{maps_name(*known.key)}: one clip, by the network of fold {fold}",
    )
