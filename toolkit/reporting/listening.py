"""Example clips of a class: what is drawn of them, what can be heard, and what the networks make of it."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.reporting.wording import REPRESENTATION_NAMES, plural, words
from toolkit.store.read import attributes, class_names, read_rows, read_whole
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
class Example:
    """A clip that stands for recordings of its class."""

    key: str
    """Names the figure on its page."""
    representation: str
    composite: str
    clip: str
    fold: int
    n_alike: int
    """Recordings of the class that this one stands for."""
    attribution: str
    error: str
    """Why it could not be cut and scored; '' otherwise."""
    kept_share_of_cells: float
    kept_share_of_relevance: float
    versions: tuple[Heard, ...]
    frequency: np.ndarray
    time: np.ndarray
    mean_level_db: np.ndarray
    """Of the clip, shape (bin, frame); NaN where nothing was recorded. Named as figures of maps take it."""
    mean_relevance: np.ndarray
    """Shares of absolute relevance, shape (bin, frame); NaN where nothing was recorded."""
    is_nominal: bool

    @property
    def title(self) -> str:
        """What a figure says of it; names from outside may break fonts and formulas, and stand in captions."""
        return f"example for {plural(self.n_alike, 'recording')}, network of fold {self.fold}"

    @property
    def can_be_heard(self) -> bool:
        """Whether its sounds are in the store."""
        return any(heard.sound for heard in self.versions)


def read_examples(store: Path, class_name: str) -> tuple[Example, ...]:
    """Return the examples of a class, those of mel first; none where there was no evaluation."""
    label = class_names(store).index(class_name)
    order = list(REPRESENTATION_NAMES)
    paths = [path.parent for path in (store / LISTENING).glob("*/*/zarr.json")]
    groups = sorted(
        ("/".join(path.parts[-2:]) for path in paths), key=lambda name: order.index(name.split("/")[0])
    )
    return tuple(example for group in groups for example in _of_group(store, group, label))


def sound_address(samples: np.ndarray, sample_rate_hz: int) -> str:
    """Return samples, int16, as an address that holds them as MP3, which every browser plays."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate_hz, format="MP3", subtype="MPEG_LAYER_III")
    return f"data:{_MIME};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _of_group(store: Path, group: str, label: int) -> list[Example]:
    known = read_whole(store, f"{LISTENING}/{group}", _OF_EXAMPLE)
    rows = np.flatnonzero((known["label"] == label) & (known["rank"] >= 0))
    rows = rows[np.argsort(known["rank"][rows])]
    has_sound = (store / LISTENING / group / "sound").exists()
    sounds = read_rows(store, f"{LISTENING}/{group}", ("sound",), rows)["sound"] if has_sound else None
    place = {name: row for row, name in enumerate(read_whole(store, "clips", ("clip",))["clip"].tolist())}
    found = []
    for number, row in enumerate(rows):
        mine = {name: values[row] for name, values in known.items() if name != "version"}
        drawn = _drawn(store, group, place[mine["clip"]], float(mine["valid_duration_s"]))
        versions = _versions(store, group, mine, known["version"], None if sounds is None else sounds[number])
        representation, composite = group.split("/")
        found.append(
            Example(
                key=f"example, {representation}, {number + 1}",
                representation=representation,
                composite=composite,
                clip=str(mine["clip"]),
                fold=int(mine["fold"]),
                n_alike=int(mine["n_recordings"]),
                attribution=str(mine["attribution"]),
                error=str(mine["error"]),
                kept_share_of_cells=float(mine["kept_share_of_cells"]),
                kept_share_of_relevance=float(mine["kept_share_of_relevance"]),
                versions=versions,
                is_nominal=bool(attributes(store)["nominal"]),
                **drawn,
            )
        )
    return found


def _versions(
    store: Path, group: str, mine: Mapping[str, np.ndarray], versions: np.ndarray, sound: np.ndarray | None
) -> tuple[Heard, ...]:
    names, about = class_names(store), attributes(store / LISTENING / group)
    rate_hz = int(str(about.get("sample_rate_hz", 0)))
    n_samples = round(float(mine["valid_duration_s"]) * rate_hz)
    return tuple(
        Heard(
            version=str(version),
            probability=float(mine["probability"][place]),
            called=words(names[mine["prediction"][place]]) if mine["prediction"][place] >= 0 else "",
            gain_db=float(mine["gain_db"][place]),
            sound=""
            if sound is None or mine["error"] or not n_samples
            else sound_address(sound[place][:n_samples], rate_hz),
        )
        for place, version in enumerate(versions)
    )


def _drawn(store: Path, group: str, row: int, valid_s: float) -> dict[str, np.ndarray]:
    """Return what a figure needs of one clip; NaN where nothing was recorded."""
    one = np.array([row])
    axes = read_whole(store, f"{MAPS}/{group}", ("frequency", "time"))
    relevance = read_rows(store, f"{MAPS}/{group}", ("relevance",), one)["relevance"][0].astype(np.float64)
    level = read_rows(store, f"features/{group.split('/')[0]}", ("level_db",), one)["level_db"][0]
    recorded = axes["time"] - (axes["time"][1] - axes["time"][0]) / 2 < valid_s
    total = np.abs(relevance[:, recorded]).sum()
    return {
        **axes,
        "mean_level_db": np.where(recorded, level.astype(np.float64), np.nan),
        "mean_relevance": np.where(recorded, relevance / total if total > 0 else 0.0, np.nan),
    }


_OF_EXAMPLE = (
    "version",
    "clip",
    "label",
    "fold",
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
