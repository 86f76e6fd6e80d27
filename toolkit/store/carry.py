"""Taking rows from an old store over to a new one, so that a corpus that grew is not computed again."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import zarr

from toolkit.store import write
from toolkit.store.read import attributes, read_rows, read_whole
from toolkit.store.schema import FORMAT_VERSION, MADE_FROM, partitions, variables_of

NEW = -1
"""In place of an old row: the clip was not in the old store."""


def rows_before(store: Path, clips: list[str]) -> np.ndarray:
    """Return the row that each clip has in a store, shape (clip,); ``NEW`` where it has none.

    A store that is absent or of another format has no rows.
    """
    if not store.exists() or attributes(store).get("format_version") != FORMAT_VERSION:
        return np.full(len(clips), NEW)
    before = {name: row for row, name in enumerate(read_whole(store, "clips", ("clip",))["clip"].tolist())}
    return np.array([before.get(name, NEW) for name in clips], np.int64)


def groups_below(store: Path, kind: str) -> list[str]:
    """Return the groups of a kind that hold variables, such as 'relevance/mel/lrp.epsilon'; ascending."""
    if not (store / kind).is_dir():
        return []
    found = {path.parent.parent for path in (store / kind).rglob(f"{MADE_FROM.name}/zarr.json")}
    return sorted(path.relative_to(store).as_posix() for path in found)


def carry_group(old: Path, new: Path, group: str, source: np.ndarray) -> None:
    """Make a group of the old store anew in the new one, and take its rows over.

    Parameters
    ----------
    old, new
        Stores.
    group
        Name of the group, such as 'relevance/mel/lrp.epsilon'.
    source
        Row in the old store of every row of the new one, or ``NEW``; shape (clip,).
    """
    by_clip, others = _variables(old, group)
    root = zarr.open_group(old / group, mode="r", zarr_format=3)
    known = variables_of(group)
    sizes = {"clip": len(source)}
    for name in by_clip:
        sizes |= dict(zip(known[name].dims[1:], root[name].shape[1:], strict=True))  # type: ignore[union-attr]
    write.write_group(
        new,
        group,
        read_whole(old, group, others),
        attributes=attributes(old / group),
        empty=by_clip,
        sizes=sizes,
    )
    carry_rows(old, new, group, source)


def carry_rows(
    old: Path, new: Path, group: str, source: np.ndarray, names: Iterable[str] | None = None
) -> None:
    """Copy rows of per-clip variables into a group of the new store, a partition at a time.

    Parameters
    ----------
    old, new
        Stores that both hold the group.
    group
        Name of the group.
    source
        As in ``carry_group``.
    names
        Variables to copy; if left out, all that both groups have.
    """
    shared = sorted({*_variables(old, group)[0]} & {*_variables(new, group)[0]})
    chosen = shared if names is None else [*names]
    for part in partitions(len(source)):
        known = np.flatnonzero(source[part] != NEW)
        if len(known):
            ascending = known[np.argsort(source[part][known])]
            found = read_rows(old, group, chosen, source[part][ascending])
            data = read_rows(new, group, chosen, part)
            for name in chosen:
                data[name][ascending] = found[name]
            write.write_rows(new, group, part, data)


def _variables(store: Path, group: str) -> tuple[list[str], list[str]]:
    """Return the names of a group's variables: those of clips, and the others."""
    known = variables_of(group)
    held = sorted(set(zarr.open_group(store / group, mode="r", zarr_format=3).array_keys()) & set(known))
    by_clip = [name for name in held if known[name].dims[0] == "clip"]
    return by_clip, [name for name in held if name not in by_clip]
