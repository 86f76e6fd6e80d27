"""Markers: what is finished, and from what it was made.

A unit is what is written as one (a partition, a network, a page); it may hold blocks that are made apart
(the folds of a partition). Its marker is one JSON file, removed before the unit is touched
and written after it is whole. For every block it keeps the ingredients: code version, settings and digests of
inputs. A block whose ingredients differ from today's is made again, and the difference is the reason shown.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from toolkit.pipeline.files import write_json

_LONGEST_REASON = 200
Ingredients = Mapping[str, object]
Blocks = Mapping[str, Ingredients]


@dataclass(frozen=True)
class Unit:
    """One thing to be written whole, and what each of its blocks should be made from."""

    name: str
    blocks: Blocks
    others: Blocks | None = None
    """Blocks outside the scope of the command. Those that are not made from this any more are dropped."""


@dataclass(frozen=True)
class Marker:
    """What a unit was made from, and what later stages need to know of the result."""

    blocks: Blocks = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Files of the result, relative to the folder of the run: without them the unit is not finished."""

    @property
    def rows(self) -> Mapping[str, list[str]]:
        """Digests of the rows of a partition, by block, where the unit is one."""
        rows: Mapping[str, list[str]] = self.result.get("rows", {})
        return rows


@dataclass(frozen=True)
class Todo:
    """A unit of which some blocks must be made, and why."""

    unit: Unit
    blocks: tuple[str, ...]
    dropped: tuple[str, ...]
    reason: str

    @property
    def wanted(self) -> Blocks:
        """What the blocks to be made should be made from."""
        return {name: self.unit.blocks[name] for name in self.blocks}


class Markers:
    """The markers of one stage of one run: JSON files in ``folder`` on results in the run's folder ``root``."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.root = root

    def read(self, name: str) -> Marker | None:
        """Return the marker of a unit, or nothing where there is none or it cannot be read."""
        try:
            content = json.loads(self._path(name).read_text(encoding="utf-8"))
            return Marker(content["blocks"], content["result"], tuple(content["files"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, name: str, marker: Marker) -> None:
        """Declare a unit finished."""
        write_json(self._path(name), asdict(marker))

    def remove(self, name: str) -> None:
        """Declare a unit unfinished, just before it is touched."""
        self._path(name).unlink(missing_ok=True)

    def forget(self, below: str = "") -> None:
        """Declare every unit unfinished whose name begins with the folder ``below``."""
        for path in (self.folder / below).rglob("*.json"):
            path.unlink()

    def todo(self, units: Iterable[Unit], *, force: bool | str = False) -> list[Todo]:
        """Return the units that hold blocks to be made, in the order given; ``force`` may say why."""
        found = ((unit, self.outstanding(unit, force=force), self._stale(unit)) for unit in units)
        return [
            Todo(unit, tuple(reasons), tuple(stale), _summary({**stale, **reasons}))
            for unit, reasons, stale in found
            if reasons or stale
        ]

    def outstanding(self, unit: Unit, *, force: bool | str = False) -> dict[str, str]:
        """Return the blocks of a unit that must be made, each with the reason."""
        if force:
            return dict.fromkeys(unit.blocks, force if isinstance(force, str) else "forced")
        marker = self.read(unit.name)
        made = marker.blocks if marker else {}
        gone = [file for file in (marker.files if marker else ()) if not (self.root / file).exists()]
        if gone:
            return dict.fromkeys(unit.blocks, f"{gone[0]} is gone")
        reasons = {name: _difference(made.get(name), wanted) for name, wanted in unit.blocks.items()}
        return {name: reason for name, reason in reasons.items() if reason}

    def _stale(self, unit: Unit) -> dict[str, str]:
        marker = self.read(unit.name)
        if unit.others is None or marker is None:
            return {}
        others = {name: unit.others.get(name) for name in marker.blocks if name not in unit.blocks}
        return {
            name: "out of date, dropped"
            for name, wanted in others.items()
            if wanted is None or _difference(marker.blocks[name], wanted)
        }

    def is_current(self, unit: Unit) -> bool:
        """Tell whether every block of a unit is made, from what it should be made from."""
        return not self.outstanding(unit)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _difference(made: Ingredients | None, wanted: Ingredients) -> str:
    """Say what changed between what a block was made from and what it should be made from."""
    if made is None:
        return "missing"
    plain = json.loads(json.dumps(wanted))
    if made == plain:
        return ""
    return "; ".join(_changes(made, plain)) or "ingredients changed"


def _changes(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    lines: list[str] = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += [f"{name}.{change}" for change in _changes(before, after)]
        elif before != after:
            lines.append(f"{name} changed" if _is_digest(after) else f"{name} {before} -> {after}")
    return lines


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 32


def _summary(reasons: Mapping[str, str]) -> str:
    text = " / ".join(dict.fromkeys(reasons.values()))
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."
