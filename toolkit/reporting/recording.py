"""The page of one recording: every number and word on it, taken from the recording's own store.

Probabilities and shares are in [0, 1]; NaN where there is no value. ``RecordingView`` is plain data.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.reporting import figures
from toolkit.reporting.drawing import Drawing, own_style
from toolkit.reporting.explorer import Explorable, data_block, of_one, payload
from toolkit.reporting.remarks import (
    About,
    Analysis,
    Arrays,
    Fact,
    Tables,
    analysis_of,
    facts,
    left_out,
    parameters,
    when,
)
from toolkit.reporting.render import image, shared, template
from toolkit.reporting.view import groups_in, read_overview
from toolkit.reporting.wording import maps_name, marked, plural
from toolkit.store.read import attributes, class_names, read_rows, read_whole, section

MOST_DRAWN = 12
"""Windows that are drawn; the others are in the tables."""
_UNSURE = 0.5
"""Mean probability below which an answer is called unsure."""


@dataclass(frozen=True)
class Finding:
    """What the networks of one representation find in one window by one composite, in numbers."""

    representation: str
    composite: str
    agreement: float
    in_padding: float
    band: str
    """Band with the largest share of positive relevance; '' where there is none."""
    share: float
    input_share: float

    @property
    def name(self) -> str:
        """What made the map, in words."""
        return maps_name(self.representation, self.composite)


@dataclass(frozen=True)
class Verdict:
    """What the networks of one representation say of one window."""

    representation: str
    class_name: str
    probability: float
    next_class: str
    next_probability: float
    votes: int
    target: str
    """The class that the maps explain."""
    by_network: tuple[tuple[int, str, float], ...]
    """For each network that has a say: its fold, the class it names, and that class's probability."""
    probabilities: tuple[float, ...]
    """Of every class, mean over networks."""
    findings: tuple[Finding, ...]
    """One for each composite."""

    @property
    def n_networks(self) -> int:
        """Networks that have a say."""
        return len(self.by_network)

    @property
    def is_disputed(self) -> bool:
        """Whether a network names another class than they do together."""
        return self.votes < self.n_networks


@dataclass(frozen=True)
class Window:
    """One window of the recording."""

    row: int
    """Place of the window in the arrays."""
    when: str
    """Where its sound lies, such as '4–8 s'."""
    corpus_clip: str
    """Clips of the corpus that it is; '' if it is new."""
    verdicts: tuple[Verdict, ...]
    """One for each representation whose networks have a say."""

    def verdict(self, representation: str) -> Verdict | None:
        """Return what the networks of a representation say."""
        return next((each for each in self.verdicts if each.representation == representation), None)


@dataclass(frozen=True)
class RecordingView:
    """The page of one recording, but for the figures."""

    title: str
    arrays: str
    """Name of the store."""
    class_names: tuple[str, ...]
    representations: tuple[str, ...]
    composites: tuple[str, ...]
    windows: tuple[Window, ...]
    target: str
    """What maps explain: 'predicted', or the name of a class."""
    signal: Analysis
    is_nominal: bool
    facts: tuple[Fact, ...]
    left_out: tuple[str, ...]
    """What is not in the sound or not on the page, in sentences."""
    parameters: tuple[tuple[str, str], ...]

    @property
    def drawn(self) -> tuple[Window, ...]:
        """The windows that figures show."""
        return tuple(window for window in self.windows if window.verdicts)[:MOST_DRAWN]

    def counts(self, representation: str) -> list[tuple[str, int]]:
        """Return how many windows are called what, most first."""
        found = [window.verdict(representation) for window in self.windows]
        return Counter(verdict.class_name for verdict in found if verdict).most_common()

    def disputed(self, representation: str) -> list[tuple[str, Verdict]]:
        """Return the windows on which the networks of a representation do not agree."""
        found = [(window.when, window.verdict(representation)) for window in self.windows]
        return [(when, verdict) for when, verdict in found if verdict and verdict.is_disputed]

    def unsure(self, representation: str) -> list[Verdict]:
        """Return what the networks of a representation say where no class reaches one half."""
        found = [window.verdict(representation) for window in self.windows]
        return [verdict for verdict in found if verdict and verdict.probability < _UNSURE]

    @property
    def contradicted(self) -> list[Window]:
        """The windows that the representations call differently."""
        return [window for window in self.windows if len({each.class_name for each in window.verdicts}) > 1]

    @property
    def recognised(self) -> dict[tuple[str, tuple[int, ...]], list[str]]:
        """Clips of the corpus that windows are, with the folds whose networks have a say: when."""
        found: dict[tuple[str, tuple[int, ...]], list[str]] = {}
        for window in self.windows:
            if window.corpus_clip:
                folds = {fold for verdict in window.verdicts for fold, _, _ in verdict.by_network}
                found.setdefault((window.corpus_clip, tuple(sorted(folds))), []).append(window.when)
        return found


@own_style()
def render(store: Path, overview_of: Path | None) -> str:
    """Return the page of a recording as HTML.

    Parameters
    ----------
    store
        Arrays of the recording.
    overview_of
        Store of the run, if it can tell how well the networks classify; then its pages are linked to.
    """
    page = read_recording(store)
    drawings = {
        (representation, composite): read_drawings(store, page, representation, composite)
        for representation in page.representations
        for composite in page.composites
    }
    limits = {key: figures.limit_of([*found.values()]) for key, found in drawings.items()}
    shown = {
        f"window {row}, {', '.join(key)}": _shown(drawing, key[1], limits[key], _title(page, row, key))
        for key, found in drawings.items()
        for row, drawing in found.items()
    }
    overview = None if overview_of is None else read_overview(overview_of)
    return template("recording.html.j2").render(
        page=page,
        overview=overview,
        images={name: picture for name, (picture, _) in shown.items()},
        explorer_data=data_block(payload({name: explorable for name, (_, explorable) in shown.items()})),
        MOST_DRAWN=MOST_DRAWN,
        **shared(),
    )


def _shown(drawing: Drawing, composite: str, limit: float, title: str) -> tuple[str, Explorable]:
    maps = figures.window(drawing, limit, title)
    return image(maps.figure), of_one(drawing, composite, maps.panels)


def read_recording(store: Path) -> RecordingView:
    """Return everything on the page of a recording but the figures."""
    about, clips = attributes(store), read_whole(store, "clips")
    tables = _tables(store, is_nominal=bool(about["nominal"]))
    names = class_names(store)
    windows = tuple(_window(clips, tables, row, names) for row in range(len(clips["clip"])))
    made = {key: attributes(store / _group(*key)) for key in tables}
    return RecordingView(
        title=str(about["file"]),
        arrays=store.name,
        class_names=names,
        representations=tuple(dict.fromkeys(representation for representation, _ in tables)),
        composites=tuple(dict.fromkeys(composite for _, composite in tables)),
        windows=windows,
        target=str(section(next(iter(made.values())), "explanation")["target"]),
        signal=analysis_of(about),
        is_nominal=bool(about["nominal"]),
        facts=facts(about, clips, tables),
        left_out=left_out(about, clips),
        parameters=parameters(
            about, made.values(), {**_made_by(made), "content of the file": about["content"]}
        ),
    )


def read_drawings(store: Path, page: RecordingView, representation: str, composite: str) -> dict[int, Drawing]:
    """Return what the figures of one representation and composite show, by the row of the window."""
    rows = np.array([window.row for window in page.drawn if window.verdict(representation)], np.int64)
    level_db = read_rows(store, f"features/{representation}", ("level_db",), rows)["level_db"]
    group = _group(representation, composite)
    relevance = read_rows(store, group, ("mean_relevance",), rows)["mean_relevance"]
    axes = read_whole(store, group, ("frequency", "time"))
    return {
        row: Drawing(
            representation, axes["frequency"], axes["time"], _recorded(level, share), share, page.is_nominal
        )
        for row, level, share in zip(rows.tolist(), level_db, relevance, strict=True)
    }


def _recorded(level_db: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return a level with NaN in padding, where the map has no share; as it is where there is no map at all."""
    known = np.isfinite(share).any(axis=0)
    return np.where(known, level_db, np.nan) if known.any() else level_db


def _title(page: RecordingView, row: int, key: tuple[str, str]) -> str:
    window = page.windows[row]
    verdict = window.verdict(key[0])
    finding = next(each for each in verdict.findings if each.composite == key[1]) if verdict else None
    if verdict is None or finding is None:
        return ""
    return f"{finding.name}: {window.when}, {plural(verdict.n_networks, 'network')}"


def _group(representation: str, composite: str) -> str:
    return f"explanations/{representation}/{composite}"


_OF_TABLES = (
    "fold",
    "class_name",
    "band",
    "has_say",
    "logits",
    "probability",
    "prediction",
    "target",
    "votes",
    "corpus_clip",
    "agreement",
    "relevance_in_padding",
    "band_share",
    "band_input_share",
)


def _tables(store: Path, *, is_nominal: bool) -> Tables:
    """Return the numbers of every representation and composite; mel before constant-Q."""
    found: dict[tuple[str, str], Arrays] = {}
    for representation, composite in groups_in(store, "explanations"):
        table = read_whole(store, _group(representation, composite), _OF_TABLES)
        table["band"] = np.array(marked(table["band"], is_nominal=is_nominal), dtype=object)
        found[representation, composite] = table
    return found


def _window(clips: Arrays, tables: Tables, row: int, names: Sequence[str]) -> Window:
    verdicts = []
    for representation in dict.fromkeys(representation for representation, _ in tables):
        mine = {composite: table for (kind, composite), table in tables.items() if kind == representation}
        if next(iter(mine.values()))["has_say"][:, row].any():
            verdicts.append(_verdict(representation, mine, row, names))
    return Window(
        row=row,
        when=when(clips, row),
        corpus_clip=str(next(iter(tables.values()))["corpus_clip"][row]),
        verdicts=tuple(verdicts),
    )


def _verdict(representation: str, tables: Mapping[str, Arrays], row: int, names: Sequence[str]) -> Verdict:
    table = next(iter(tables.values()))
    mean = table["probability"][row]
    first, second = np.argsort(-mean, kind="stable")[:2]
    return Verdict(
        representation=representation,
        class_name=names[first],
        probability=float(mean[first]),
        next_class=names[second],
        next_probability=float(mean[second]),
        votes=int(table["votes"][row]),
        target=names[int(table["target"][row])],
        by_network=tuple(
            (int(fold), *_named(table["logits"][place, row], names))
            for place, fold in enumerate(table["fold"])
            if table["has_say"][place, row]
        ),
        probabilities=tuple(mean.tolist()),
        findings=tuple(_finding(representation, composite, known, row) for composite, known in tables.items()),
    )


def _named(logits: np.ndarray, names: Sequence[str]) -> tuple[str, float]:
    """Return the class with the highest logit and its probability."""
    place = int(logits.argmax())
    return names[place], float(1 / np.exp(logits.astype(np.float64) - float(logits[place])).sum())


def _finding(representation: str, composite: str, table: Arrays, row: int) -> Finding:
    shares = table["band_share"][row]
    known = np.isfinite(shares).any()
    top = int(np.nanargmax(shares)) if known else 0
    return Finding(
        representation=representation,
        composite=composite,
        agreement=float(table["agreement"][row]),
        in_padding=float(table["relevance_in_padding"][row]),
        band=str(table["band"][top]) if known else "",
        share=float(shares[top]) if known else math.nan,
        input_share=float(table["band_input_share"][row][top]) if known else math.nan,
    )


def _made_by(made: Mapping[tuple[str, str], About]) -> dict[str, object]:
    """Return which networks and composites the results depend on, by name."""
    found: dict[str, object] = {}
    for (representation, _), about in made.items():
        networks = section(about, "networks").items()
        found |= {f"network {representation}, fold {fold}": digest for fold, digest in networks}
    return {**found, "explanation.composites": list(dict.fromkeys(composite for _, composite in made))}
