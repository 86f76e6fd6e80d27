"""What is said beside the results of a recording: facts, what was left out, what they depend on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.reporting.view import NOTEWORTHY_CLIPPING
from toolkit.reporting.wording import plural, representation_name
from toolkit.store.read import attributes

_SHORTEST_GAP_S = 0.01
Arrays = Mapping[str, np.ndarray]
About = Mapping[str, object]
Tables = Mapping[tuple[str, str], Arrays]
"""Numbers by representation and composite."""


@dataclass(frozen=True)
class Analysis:
    """What the analysis takes of a sound."""

    rate_hz: int
    duration_s: float


def analysis_of(about: About) -> Analysis:
    """Return how a store says that it was analysed."""
    features = section(about, "features")
    return Analysis(int(str(features["sample_rate_hz"])), float(str(features["duration_s"])))


def when(clips: Arrays, row: int) -> str:
    """Return where the sound of a window lies, in words."""
    start_s, recorded_s = _start_s(clips, row), float(clips["valid_duration_s"][row])
    if math.isnan(recorded_s):
        return f"from {_seconds(start_s)} s"
    return f"{_seconds(start_s)}–{_seconds(start_s + recorded_s)} s"


def facts(about: About, clips: Arrays, tables: Tables) -> tuple[tuple[str, str, str], ...]:
    """Return what to know at a glance: term, value and remark."""
    analysis, length_s = analysis_of(about), about["length_s"]
    found = []
    if isinstance(length_s, float):
        windows = f"{plural(len(clips['clip']), 'window')} of {analysis.duration_s:g} s"
        found.append(("Sound in the file", f"{_seconds(length_s)} s", windows))
        rate_hz = int(clips["native_rate_hz"].max())
        found.append(("Recorded at", f"{rate_hz:,} Hz", f"analysed up to {analysis.rate_hz // 2:,} Hz"))
    for representation in dict.fromkeys(representation for representation, _ in tables):
        table = next(table for (kind, _), table in tables.items() if kind == representation)
        folds = ", ".join(str(fold) for fold in table["fold"])
        term = f"Networks, {representation_name(representation)}"
        found.append((term, str(len(table["fold"])), f"held-out folds {folds}"))
    return tuple(found)


def left_out(about: About, clips: Arrays) -> tuple[str, ...]:
    """Return sentences on what is not in the sound or not on the page."""
    return (*_of_file(about, clips), *_of_signal(about, clips), *_of_windows(about, clips))


def _of_file(about: About, clips: Arrays) -> list[str]:
    length_s, duration_s = about["length_s"], analysis_of(about).duration_s
    if not isinstance(length_s, float):
        return []
    if not about["windows"]:
        unused = f"Of the {_seconds(length_s)} s in the file, only the first {duration_s:g} s were used."
        return [f"{unused} --windows takes all of it."] if length_s > duration_s + _SHORTEST_GAP_S else []
    rest_s = length_s - _start_s(clips, -1) - duration_s
    unused = f"The last {_seconds(rest_s)} s of the file are in no window: they would fill less than a quarter."
    return [unused] if rest_s > _SHORTEST_GAP_S else []


def _of_signal(about: About, clips: Arrays) -> list[str]:
    rate_hz, analysed_hz = int(clips["native_rate_hz"].max()), analysis_of(about).rate_hz
    if not 0 < rate_hz < analysed_hz:
        return []
    return [
        f"Recorded at {rate_hz:,} Hz: nothing above {rate_hz / 2000:g} kHz was recorded; the analysis reaches "
        f"up to {analysed_hz / 2000:g} kHz."
    ]


def _of_windows(about: About, clips: Arrays) -> list[str]:
    sentences = []
    duration_s = analysis_of(about).duration_s
    for row, error in enumerate(clips["error"].tolist()):
        place = when(clips, row)
        recorded_s, clipped = float(clips["valid_duration_s"][row]), float(clips["clipped_share"][row])
        if error:
            why = error.removeprefix(f"{clips['path'][row]}: ")
            sentences.append(f"{place}: could not be read ({why}).")
        if recorded_s < duration_s - _SHORTEST_GAP_S:
            sentences.append(
                f"{place}: {_seconds(recorded_s)} s of sound; the rest of the {duration_s:g} s that networks "
                "take is padding, and counts for nothing."
            )
        if clipped > NOTEWORTHY_CLIPPING:
            sentences.append(
                f"{place}: {100 * clipped:.1f} % of the samples are at full scale; clipping spreads energy "
                "over frequencies that were not in the sound."
            )
    return sentences


def parameters(store: Path, about: About, groups: Mapping[tuple[str, str], str]) -> tuple[tuple[str, str], ...]:
    """Return what the results depend on, as names and values.

    Parameters
    ----------
    store
        Arrays of the recording.
    about
        What the store says of itself.
    groups
        Name of the group of every representation and composite.
    """
    found = {"content of the file": about["content"]}
    found |= {f"features.{name}": value for name, value in section(about, "features").items()}
    for (representation, _), group in groups.items():
        made = attributes(store / group)
        found |= {f"explanation.{name}": value for name, value in section(made, "explanation").items()}
        found |= {"engine": made["engine"]}
        networks = section(made, "networks").items()
        found |= {f"network {representation}, fold {fold}": digest for fold, digest in networks}
    found["explanation.composites"] = list(dict.fromkeys(composite for _, composite in groups))
    return tuple((name, _plain(value)) for name, value in sorted(found.items()))


def section(about: About, name: str) -> Mapping[str, object]:
    """Return a section of what a store says of itself, empty where there is none."""
    found = about.get(name)
    return found if isinstance(found, Mapping) else {}


def _start_s(clips: Arrays, row: int) -> float:
    """Return where a window begins; a file that was not cut begins at its beginning."""
    return float(np.nan_to_num(clips["start_s"][row]))


def _seconds(value: float) -> str:
    return f"{round(value, 2):.10g}"


def _plain(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
