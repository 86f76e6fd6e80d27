"""What is said beside the results of one sound: facts, what was left out, what they depend on."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.reporting.view import NOTEWORTHY_CLIPPING
from toolkit.reporting.wording import plain, plural, representation_name
from toolkit.store.read import section

_SHORTEST_GAP_S = 0.01
Arrays = Mapping[str, np.ndarray]
About = Mapping[str, object]
Tables = Mapping[tuple[str, str], Arrays]
"""Numbers by representation and composite."""
Fact = tuple[str, str, str]
"""Term, value and remark."""


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
        return f"from {seconds(start_s)} s"
    return f"{seconds(start_s)}–{seconds(start_s + recorded_s)} s"


def facts(about: About, clips: Arrays, tables: Tables) -> tuple[Fact, ...]:
    """Return what to know of a recording at a glance."""
    analysis, length_s = analysis_of(about), about["length_s"]
    found = []
    if isinstance(length_s, float):
        windows = f"{plural(len(clips['clip']), 'window')} of {analysis.duration_s:g} s"
        found.append(("Sound in the file", f"{seconds(length_s)} s", windows))
        found.append(recorded_at(int(clips["native_rate_hz"].max()), analysis))
    for representation in dict.fromkeys(representation for representation, _ in tables):
        table = next(table for (kind, _), table in tables.items() if kind == representation)
        folds = ", ".join(str(fold) for fold in table["fold"])
        term = f"Networks, {representation_name(representation)}"
        found.append((term, str(len(table["fold"])), f"held-out folds {folds}"))
    return tuple(found)


def recorded_at(rate_hz: int, analysis: Analysis) -> Fact:
    """Return at which rate a sound was recorded."""
    return "Recorded at", f"{rate_hz:,} Hz", f"analysed up to {analysis.rate_hz // 2:,} Hz"


def left_out(about: About, clips: Arrays) -> tuple[str, ...]:
    """Return sentences on what is not in a recording's sound or not on its page."""
    rate_hz = int(clips["native_rate_hz"].max())
    return (*_of_file(about, clips), *of_rate(rate_hz, analysis_of(about)), *_of_windows(about, clips))


def of_rate(rate_hz: int, analysis: Analysis) -> list[str]:
    """Return what to know of a sound that was recorded at a low rate; nothing where it is not or not known."""
    if not 0 < rate_hz < analysis.rate_hz:
        return []
    return [
        f"Recorded at {rate_hz:,} Hz: nothing above {rate_hz / 2000:g} kHz was recorded; the analysis reaches "
        f"up to {analysis.rate_hz / 2000:g} kHz."
    ]


def of_sound(recorded_s: float, clipped_share: float, analysis: Analysis) -> list[str]:
    """Return what to know of a sound that is short or clipped; nothing where it is neither or not known."""
    sentences = []
    if recorded_s < analysis.duration_s - _SHORTEST_GAP_S:
        sentences.append(
            f"{seconds(recorded_s)} s of sound; the rest of the {analysis.duration_s:g} s that networks take "
            "is padding, and counts for nothing."
        )
    if clipped_share > NOTEWORTHY_CLIPPING:
        sentences.append(
            f"{100 * clipped_share:.1f} % of the samples are at full scale; clipping spreads energy over "
            "frequencies that were not in the sound."
        )
    return sentences


def _of_file(about: About, clips: Arrays) -> list[str]:
    length_s, duration_s = about["length_s"], analysis_of(about).duration_s
    if not isinstance(length_s, float):
        return []
    if not about["windows"]:
        unused = f"Of the {seconds(length_s)} s in the file, only the first {duration_s:g} s were used."
        return [f"{unused} --windows takes all of it."] if length_s > duration_s + _SHORTEST_GAP_S else []
    rest_s = length_s - _start_s(clips, -1) - duration_s
    unused = f"The last {seconds(rest_s)} s of the file are in no window: they would fill less than a quarter."
    return [unused] if rest_s > _SHORTEST_GAP_S else []


def _of_windows(about: About, clips: Arrays) -> list[str]:
    sentences = []
    for row, error in enumerate(clips["error"].tolist()):
        recorded_s, clipped_share = (float(clips[name][row]) for name in ("valid_duration_s", "clipped_share"))
        found = of_sound(recorded_s, clipped_share, analysis_of(about))
        if error:
            why = error.removeprefix(f"{clips['path'][row]}: ")
            found.insert(0, f"could not be read ({why}).")
        sentences += [f"{when(clips, row)}: {sentence}" for sentence in found]
    return sentences


def parameters(about: About, made: Iterable[About], more: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return what results depend on, as names and values.

    Parameters
    ----------
    about
        What the store says of itself.
    made
        What each group of maps says of how it was made.
    more
        What else they depend on.
    """
    found = {f"features.{name}": value for name, value in section(about, "features").items()}
    for group in made:
        found |= {f"explanation.{name}": value for name, value in section(group, "explanation").items()}
        found["engine"] = group["engine"]
    return tuple((name, plain(value)) for name, value in sorted({**found, **more}.items()))


def _start_s(clips: Arrays, row: int) -> float:
    """Return where a window begins; a file that was not cut begins at its beginning."""
    return float(np.nan_to_num(clips["start_s"][row]))


def seconds(value: float) -> str:
    """Return seconds as a page shows them."""
    return f"{round(value, 2):.10g}"
