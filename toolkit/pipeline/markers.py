"""Markers: what is finished, and from what it was made.

A unit is what is written as one: a network, a group of figures, a page. Its marker is one JSON file, removed
before the unit is touched and written after it is whole. It keeps the ingredients: code version, settings and
digests of inputs. A unit whose ingredients differ from today's is made again, and the difference is the
reason shown. (Rows of the store carry what they were made from themselves: see ``toolkit.pipeline.rows``.)
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from toolkit.pipeline.files import write_json

_LONGEST_REASON = 200
Ingredients = Mapping[str, object]


@dataclass(frozen=True)
class Unit:
    """One thing to be written whole, and what it should be made from."""

    name: str
    made_from: Ingredients


@dataclass(frozen=True)
class Marker:
    """What a unit was made from, and what later stages need to know of the result."""

    made_from: Ingredients = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Files of the result, relative to the folder of the run: without them the unit is not finished."""


@dataclass(frozen=True)
class Todo:
    """A unit that must be made, and why."""

    unit: Unit
    reason: str

    @property
    def name(self) -> str:
        """Name of the unit."""
        return self.unit.name


class Markers:
    """The markers of one stage of one run: JSON files in ``folder`` on results in the run's folder ``root``."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.root = root

    def read(self, name: str) -> Marker | None:
        """Return the marker of a unit, or nothing where there is none or it cannot be read."""
        try:
            content = json.loads(self._path(name).read_text(encoding="utf-8"))
            return Marker(content["made_from"], content["result"], tuple(content["files"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, name: str, marker: Marker) -> None:
        """Declare a unit finished."""
        write_json(self._path(name), asdict(marker))

    def remove(self, name: str) -> None:
        """Declare a unit unfinished, just before it is touched."""
        self._path(name).unlink(missing_ok=True)

    def forget(self) -> None:
        """Declare every unit unfinished."""
        for path in self.folder.rglob("*.json"):
            path.unlink()

    def todo(self, units: Iterable[Unit], *, force: bool | str = False) -> list[Todo]:
        """Return the units that must be made, in the order given; ``force`` may say why."""
        found = ((unit, self.outstanding(unit, force=force)) for unit in units)
        return [Todo(unit, reason) for unit, reason in found if reason]

    def outstanding(self, unit: Unit, *, force: bool | str = False) -> str:
        """Return why a unit must be made; nothing if it is finished and from what it should be."""
        if force:
            return force if isinstance(force, str) else "forced"
        marker = self.read(unit.name)
        if marker is None:
            return "missing"
        gone = [file for file in marker.files if not (self.root / file).exists()]
        return f"{gone[0]} is gone" if gone else difference(marker.made_from, unit.made_from)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def difference(made: Ingredients, wanted: Ingredients) -> str:
    """Say what changed between what something was made from and what it should be made from."""
    plain = json.loads(json.dumps(wanted))
    if made == plain:
        return ""
    text = "; ".join(_changes(made, plain)) or "ingredients changed"
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."


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
