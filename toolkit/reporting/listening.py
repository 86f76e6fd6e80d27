"""Example clips of a class: what is drawn of them, what can be heard, and what the networks make of it."""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.reporting.drawing import Drawing
from toolkit.reporting.view import groups_in
from toolkit.reporting.wording import plural
from toolkit.store.read import attributes, class_names, read_rows, read_whole, section
from toolkit.store.schema import LISTENING, MAPS

_MIME = "audio/mpeg"


@dataclass(frozen=True)
class Heard:
    """One version of an example: the original, what is kept of it, or what is removed."""

    version: str
    probability: float
    """Of the class that the map explains; NaN where the sound could not be scored."""
    called: str
    """Class that the network names; '' where the sound could not be scored."""
    gain_db: float
    sound: str
    """An address that holds it, or nothing where it is not kept."""


@dataclass(frozen=True)
class Cut:
    """A clip cut in two by one of its maps, and what the network makes of both parts."""

    representation: str
    composite: str
    clip: str
    fold: int
    target: str
    """The class that the map explains, whose probability is told."""
    kept_relevance: float
    """Share of positive relevance that the cells hold that are kept whole, as the settings ask."""
    attribution: str
    error: str
    """Why it could not be cut and scored; '' otherwise."""
    kept_share_of_cells: float
    kept_share_of_relevance: float
    versions: tuple[Heard, ...]

    @property
    def can_be_heard(self) -> bool:
        """Whether its sounds are in the store."""
        return any(heard.sound for heard in self.versions)


@dataclass(frozen=True)
class Example:
    """A clip that stands for recordings of its class."""

    key: str
    """Names the figure on its page."""
    n_alike: int
    """Recordings of the class that this one stands for."""
    cut: Cut
    drawing: Drawing
    """NaN where nothing was recorded."""

    @property
    def title(self) -> str:
        """What a figure says of it; names from outside may break fonts and formulas, and stand in captions."""
        return f"example for {plural(self.n_alike, 'recording')}, network of fold {self.cut.fold}"


def read_examples(store: Path, class_name: str) -> tuple[Example, ...]:
    """Return the examples of a class, those of mel first; none where there was no evaluation."""
    label = class_names(store).index(class_name)
    return tuple(example for key in groups_in(store, LISTENING) for example in _examples(store, key, label))


def read_cuts(store: Path, clip: str) -> dict[tuple[str, str], Cut]:
    """Return how a clip was cut, by representation and composite; none where it was not."""
    found = {}
    for key in groups_in(store, LISTENING):
        known = _Group.read(store, key)
        rows = np.flatnonzero(known.table["clip"] == clip)
        if rows.size:
            (found[key],) = known.cuts(rows[:1])
    return found


def heard_groups(store: Path, clip: str) -> set[str]:
    """Return by whose maps a clip was cut of which the store keeps sounds, such as 'mel/lrp.epsilon'."""
    found = set()
    for name in map("/".join, groups_in(store, LISTENING)):
        if (store / LISTENING / name / "sound").exists():
            known = read_whole(store, f"{LISTENING}/{name}", ("clip", "error"))
            if ((known["clip"] == clip) & (known["error"] == "")).any():
                found.add(name)
    return found


def sound_address(samples: np.ndarray, sample_rate_hz: int) -> str:
    """Return samples, int16, as an address that holds them as MP3, which every browser plays."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate_hz, format="MP3", subtype="MPEG_LAYER_III")
    return f"data:{_MIME};base64,{base64.b64encode(buffer.getvalue()).decode()}"


@dataclass(frozen=True)
class _Group:
    """The clips that were cut by the maps of one representation and composite."""

    store: Path
    key: tuple[str, str]
    table: Mapping[str, np.ndarray]
    class_names: tuple[str, ...]
    sample_rate_hz: int
    kept_relevance: float

    @classmethod
    def read(cls, store: Path, key: tuple[str, str]) -> "_Group":
        group = f"{LISTENING}/{'/'.join(key)}"
        about = attributes(store / group)
        return cls(
            store=store,
            key=key,
            table=read_whole(store, group, _OF_EXAMPLE),
            class_names=class_names(store),
            sample_rate_hz=int(str(about["sample_rate_hz"])),
            kept_relevance=float(section(about, "evaluation")["kept_relevance"]),
        )

    def cuts(self, rows: np.ndarray) -> list[Cut]:
        """Return the clips in some rows."""
        group = f"{LISTENING}/{'/'.join(self.key)}"
        has_sound = (self.store / group / "sound").exists()
        sounds = read_rows(self.store, group, ("sound",), rows)["sound"] if has_sound else [None] * len(rows)
        return [self._cut(row, sound) for row, sound in zip(rows.tolist(), sounds, strict=True)]

    def _cut(self, row: int, sound: np.ndarray | None) -> Cut:
        mine = {name: values[row] for name, values in self.table.items() if name != "version"}
        representation, composite = self.key
        return Cut(
            representation=representation,
            composite=composite,
            clip=str(mine["clip"]),
            fold=int(mine["fold"]),
            target=self.class_names[mine["target"]],
            kept_relevance=self.kept_relevance,
            attribution=str(mine["attribution"]),
            error=str(mine["error"]),
            kept_share_of_cells=float(mine["kept_share_of_cells"]),
            kept_share_of_relevance=float(mine["kept_share_of_relevance"]),
            versions=tuple(self._versions(mine, sound)),
        )

    def _versions(self, mine: Mapping[str, np.ndarray], sound: np.ndarray | None) -> Iterator[Heard]:
        n_samples = round(float(mine["valid_duration_s"]) * self.sample_rate_hz)
        for place, version in enumerate(self.table["version"]):
            called = int(mine["prediction"][place])
            samples = None if sound is None or mine["error"] or not n_samples else sound[place][:n_samples]
            yield Heard(
                version=str(version),
                probability=float(mine["probability"][place]),
                called=self.class_names[called] if called >= 0 else "",
                gain_db=float(mine["gain_db"][place]),
                sound="" if samples is None else sound_address(samples, self.sample_rate_hz),
            )


def _examples(store: Path, key: tuple[str, str], label: int) -> list[Example]:
    known = _Group.read(store, key)
    table = known.table
    rows = np.flatnonzero((table["label"] == label) & (table["rank"] >= 0))
    rows = rows[np.argsort(table["rank"][rows])]
    place = {name: row for row, name in enumerate(read_whole(store, "clips", ("clip",))["clip"].tolist())}
    return [
        Example(
            key=f"example, {key[0]}, {number}",
            n_alike=int(table["n_recordings"][row]),
            cut=cut,
            drawing=_drawing(store, key, place[cut.clip], float(table["valid_duration_s"][row])),
        )
        for number, (row, cut) in enumerate(zip(rows, known.cuts(rows), strict=True), start=1)
    ]


def _drawing(store: Path, key: tuple[str, str], row: int, valid_s: float) -> Drawing:
    one, group = np.array([row]), f"{MAPS}/{'/'.join(key)}"
    axes = read_whole(store, group, ("frequency", "time"))
    relevance = read_rows(store, group, ("relevance",), one)["relevance"][0].astype(np.float64)
    level = read_rows(store, f"features/{key[0]}", ("level_db",), one)["level_db"][0]
    recorded = axes["time"] - (axes["time"][1] - axes["time"][0]) / 2 < valid_s
    total = np.abs(relevance[:, recorded]).sum()
    return Drawing(
        representation=key[0],
        frequency=axes["frequency"],
        time=axes["time"],
        mean_level_db=np.where(recorded, level.astype(np.float64), np.nan),
        mean_relevance=np.where(recorded, relevance / total if total > 0 else 0.0, np.nan),
        is_nominal=bool(attributes(store)["nominal"]),
    )


_OF_EXAMPLE = (
    "version",
    "clip",
    "label",
    "fold",
    "target",
    "rank",
    "n_recordings",
    "valid_duration_s",
    "attribution",
    "error",
    "kept_share_of_cells",
    "kept_share_of_relevance",
    "prediction",
    "probability",
    "gain_db",
)
