"""What the script of a page knows of the maps that the page shows, as plain data for one block of JSON.

Frequency in Hz and time in s, bins from the lowest. A map is written in one byte per cell, row by row from
the lowest bin: 0 to 254 stand for equal steps from ``low`` to ``high``, 255 for a cell without a value. A map
of relevance runs from minus its largest absolute value to plus it, so that 0 stays 0 and nothing is cut off.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from toolkit.reporting.drawing import Drawable, clip_end_s, recorded_until_s
from toolkit.reporting.wording import Estimate, composite_name, p_value, representation_name, times
from toolkit.store.schema import INPUT, REST

ALL_FOLDS = "all"
"""Name of the map of all folds together."""
COLOURS = "RdBu_r"
_N_COLOURS = 256
_STEPS = 254
_DIGITS = 4
_COMPARED = {INPUT: "input", REST: "other classes"}

Layer = Literal["level", "relevance", "profile:input", "profile:rest"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Panel:
    """Where in a figure one of its axes lies, and what is drawn in it."""

    box: Box
    """Left, top, width and height as fractions of the figure, from its upper left corner."""
    layer: Layer
    rows: np.ndarray
    """Where the centre of each bin lies, as fractions from the top of the panel, shape (bin,), descending."""
    x: Literal["time"] | tuple[float, float] = "time"
    """Time from 0 to the end of the clip, or the ends of an axis of ratios as logarithms to base 2."""
    limit: float = 0.0
    """Colours of relevance run from -limit to +limit; of no meaning for other layers."""
    bar: Box | None = None
    """Where its colour bar lies, with ticks and label, if it has one of its own; likewise."""


@dataclass(frozen=True)
class Profile:
    """One contrast by frequency bin; each array of shape (bin,)."""

    ratio: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    """Of the cluster that the bin is in; NaN outside of clusters."""


@dataclass(frozen=True)
class Explorable:
    """A figure of maps whose values a reader can ask for."""

    representation: str
    composite: str
    frequency: np.ndarray
    """Centres of the bins in Hz, ascending."""
    time: np.ndarray
    """Centres of the frames in s, evenly spaced from half a step on."""
    panels: Sequence[Panel]
    folds: Mapping[str, np.ndarray]
    """Mean relevance by fold and of ``ALL_FOLDS``, each of shape (bin, frame)."""
    n_recordings: Mapping[str, int]
    """Behind each of these maps."""
    level: np.ndarray
    """In dB, shape (bin, frame)."""
    profile: Mapping[str, Profile]
    """By contrast, 'input' or 'rest'; those that were made."""
    recorded_until_s: float | None = None
    """Where padding begins; None where there is none."""
    alpha: float = 0.05
    """Largest p of a cluster that counts as certain."""
    is_nominal: bool = False
    """Whether frequencies are supposed, not measured."""


def of_one(shown: Drawable, composite: str, panels: Sequence[Panel]) -> Explorable:
    """Return the figure of one clip or window, which has no folds and no contrasts."""
    until_s, end_s = recorded_until_s(shown), clip_end_s(shown.time)
    return Explorable(
        representation=shown.representation,
        composite=composite,
        frequency=shown.frequency,
        time=shown.time,
        panels=panels,
        folds={ALL_FOLDS: shown.mean_relevance},
        n_recordings={ALL_FOLDS: 1},
        level=shown.mean_level_db,
        profile={},
        recorded_until_s=until_s if until_s < end_s else None,
        is_nominal=shown.is_nominal,
    )


def payload(shown: Mapping[str, Explorable]) -> dict[str, object]:
    """Return what the script knows of the figures of one page.

    Parameters
    ----------
    shown
        Figures by the key that their markup carries.
    """
    kinds = {each.representation: representation_name(each.representation) for each in shown.values()}
    rules = {each.composite: composite_name(each.composite) for each in shown.values()}
    return {
        "colours": _colours(),
        "names": {**kinds, **rules, **_COMPARED},
        "figures": {key: _figure(each) for key, each in shown.items()},
    }


def data_block(content: Mapping[str, object]) -> Markup:
    """Return a payload as JSON with sorted keys that no text in it can end: < > & ' are written as escapes."""
    return htmlsafe_json_dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _figure(shown: Explorable) -> dict[str, object]:
    end_s = float(shown.time[-1] + shown.time[0])
    return {
        "representation": shown.representation,
        "composite": shown.composite,
        "frequency": _numbers(shown.frequency),
        "bin_names": [_bin_name(hz, is_nominal=shown.is_nominal) for hz in shown.frequency.tolist()],
        "time": _numbers(shown.time),
        "end_s": _number(end_s),
        "recorded_until_s": _number(end_s if shown.recorded_until_s is None else shown.recorded_until_s),
        "panels": [_panel(panel) for panel in shown.panels],
        "folds": {fold: _relevance(cells) for fold, cells in shown.folds.items()},
        "n_recordings": dict(shown.n_recordings),
        "level": _level(shown.level),
        "profile": {
            name: _profile(profile, _COMPARED[name], shown.alpha) for name, profile in shown.profile.items()
        },
    }


def _profile(profile: Profile, compared: str, alpha: float) -> dict[str, object]:
    rows = zip(profile.ratio, profile.low, profile.high, profile.p, strict=True)
    return {
        "ratio": _numbers(profile.ratio),
        "certain": [bool(p <= alpha) for p in profile.p],
        "text": [_ratio_text(Estimate(*interval), p, compared) for *interval, p in rows],
    }


def _ratio_text(ratio: Estimate, p: float, compared: str) -> str:
    """Return a ratio as a reader sees it, or nothing where there is none."""
    if math.isnan(ratio.value):
        return ""
    interval = f"{times(ratio.low)} to {times(ratio.high)}, " if ratio.has_interval else ""
    told = "in no certain cluster" if math.isnan(p) else p_value(p)
    return f"{times(ratio.value)} x {compared} ({interval}{told})"


def _bin_name(hz: float, *, is_nominal: bool) -> str:
    # Three digits would write 999.6 Hz as 1e+03.
    text = f"{hz:.3g} Hz" if hz < 999.5 else f"{hz / 1000:.3g} kHz"
    return f"{text} (nominal)" if is_nominal else text


def _panel(panel: Panel) -> dict[str, object]:
    return {
        "box": _numbers(panel.box),
        "layer": panel.layer,
        "rows": _numbers(panel.rows),
        "x": panel.x if panel.x == "time" else _numbers(panel.x),
        "limit": _number(panel.limit),
        "bar": None if panel.bar is None else _numbers(panel.bar),
    }


def _relevance(cells: np.ndarray) -> dict[str, object]:
    known = np.abs(cells[np.isfinite(cells)])
    largest = float(known.max(initial=0))
    return _map(cells, -largest, largest)


def _level(cells: np.ndarray) -> dict[str, object]:
    known = cells[np.isfinite(cells)]
    return _map(cells, float(known.min()), float(known.max())) if known.size else _map(cells, 0.0, 0.0)


def _map(cells: np.ndarray, low: float, high: float) -> dict[str, object]:
    steps = (cells - low) * (_STEPS / (high - low)) if high > low else np.zeros(cells.shape)
    coded = np.where(np.isfinite(cells), np.round(np.nan_to_num(steps)), _STEPS + 1).astype(np.uint8)
    return {"cells": base64.b64encode(coded.tobytes()).decode(), "low": _number(low), "high": _number(high)}


def _numbers(values: Sequence[float] | np.ndarray) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | None:
    """Return a number to four digits, or nothing where there is none."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _colours() -> str:
    """Return the colours from low to high as one string, six hexadecimal digits each."""
    from matplotlib import colormaps

    table = colormaps[COLOURS](np.arange(_N_COLOURS), bytes=True)[:, :3]
    return table.tobytes().hex()
