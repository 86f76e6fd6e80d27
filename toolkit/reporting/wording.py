"""How numbers and names are written on pages and in verdicts. A number that is absent is a dash or nothing."""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

REPRESENTATION_NAMES = {"mel": "mel spectrogram", "cqt": "constant-Q spectrogram"}
COMPOSITE_NAMES = {
    "lrp.epsilon": "LRP-epsilon",
    "lrp.sequential_preset_a_flat": "LRP preset A, flat input",
}
NOMINAL = " (nominal)"
"""Mark of a band whose frequencies are supposed."""
_TURNING = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI"})
"""Kinds of letters and marks that reorder text."""
_LEAST_P = 0.001
"""Smaller p are given as smaller than this: permutations do not resolve them further."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval over recordings; each NaN where it is not known."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, table: Mapping[str, np.ndarray], name: str, *at: int) -> "Estimate":
        """Return a figure of a store with its limits, at a place of its arrays."""
        return cls(*(float(table[f"{name}{end}"][at]) for end in ("", "_low", "_high")))

    @property
    def has_interval(self) -> bool:
        """Whether both limits are known, and are not one and the same."""
        return math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high


def percent(share: float) -> str:
    """Return a share as a percentage, or a dash where there is none."""
    return "–" if math.isnan(share) else f"{100 * share:.0f} %"


def interval(estimate: Estimate) -> str:
    """Return the limits of a share as percentages, or nothing where there are none or they do not differ."""
    for digits in (0, 1):
        low, high = (f"{100 * limit:.{digits}f}" for limit in (estimate.low, estimate.high))
        if estimate.has_interval and low != high:
            return f"{low}–{high} %"
    return ""


def limits(estimate: Estimate, digits: int = 2) -> str:
    """Return the limits of an estimate with so many decimals, or nothing where there are none to tell apart."""
    low, high = number(estimate.low, digits), number(estimate.high, digits)
    return f"{low} to {high}" if estimate.has_interval and low != high else ""


def number(value: float, digits: int = 2) -> str:
    """Return a number with so many decimals, or a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def times(ratio: float) -> str:
    """Return a ratio: two decimals below 1.5, where limits lie, then one, from 10 on none; or a dash."""
    return number(ratio, 2 if ratio < 1.5 else 1 if ratio < 10 else 0)


def p_number(p: float) -> str:
    """Return a p as a table shows it: never 0; a dash where nothing was tested."""
    if p < _LEAST_P:
        return f"< {_LEAST_P:g}"
    return number(p, 3 if p < 0.1 else 2)


def p_value(p: float) -> str:
    """Return a p as a sentence names it; p must be a number."""
    return f"p {p_number(p)}" if p < _LEAST_P else f"p = {p_number(p)}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def words(name: str) -> str:
    """Return the name of a class as words, isolated."""
    return isolated(name.replace("_", " "))


def isolated(text: str) -> str:
    """Return text from outside so that it does not reorder what stands beside it, if it runs right to left.

    Source: Unicode Standard Annex 9; the marks are FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE.
    """
    turns = any(unicodedata.bidirectional(letter) in _TURNING for letter in text)
    return f"\u2068{text}\u2069" if turns else text


def listed(items: Sequence[str]) -> str:
    """Return items as a list in a sentence: 'a, b and c'."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def representation_name(name: str) -> str:
    """Return a representation's name in words."""
    return REPRESENTATION_NAMES.get(name, name)


def composite_name(name: str) -> str:
    """Return a composite's name in words."""
    return COMPOSITE_NAMES.get(name, name)


def maps_name(representation: str, composite: str) -> str:
    """Return in words what made maps."""
    return f"{composite_name(composite)}, {representation_name(representation)}"


def plain(value: object) -> str:
    """Return a setting as a page shows it."""
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def marked(bands: Iterable[object], *, is_nominal: bool) -> list[str]:
    """Return names of bands, with a mark where frequencies are supposed, not measured."""
    return [f"{band}{NOMINAL}" if is_nominal else str(band) for band in bands]
