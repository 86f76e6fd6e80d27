"""Writing a store: whole groups at once, or the rows of one partition of a group.

A group appears by one rename, with everything in it. A partition's chunks are put in place
one file at a time, each by rename (Zarr's local store does this). Whoever writes a
partition keeps a marker beside the store and writes it last: see ``toolkit.pipeline.markers``.
"""

import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from toolkit.errors import StoreError
from toolkit.store.schema import CHUNK_LENGTHS, FORMAT_VERSION, MADE_FROM, variables_of
from toolkit.store.variables import FILL, Variable

Attributes = Mapping[str, Any]
WIP_SUFFIX = ".wip"
_PARTIAL_SUFFIX = ".partial"


@contextmanager
def new_store(path: Path, attributes: Attributes) -> Iterator[Path]:
    """Give the folder of an empty store to be filled; put it in the place of whatever store was there."""
    wip = _wip(path)
    zarr.open_group(wip, mode="w", zarr_format=3, attributes={"format_version": FORMAT_VERSION, **attributes})
    yield wip
    _swap(wip, path, _old(path))


def remove_group(store: Path, group: str) -> None:
    """Remove a group at once, and its files thereafter."""
    old = _wip(store)
    (store / group).rename(old)
    shutil.rmtree(old)


def write_group(
    store: Path,
    group: str,
    data: Mapping[str, np.ndarray],
    *,
    attributes: Attributes | None = None,
    empty: Iterable[str] = (),
    sizes: Mapping[str, int] | None = None,
) -> None:
    """Write a group, in the place of whatever group was there.

    Variables of ``data`` are written; those named in ``empty`` are created, as long as ``sizes`` says
    along each dimension, to be filled by ``write_rows``. Variables that the attribute ``nominal`` lists are
    marked so: their values were supposed, not measured.
    """
    known = variables_of(group)
    make_parents(store, group)
    _check_lengths(known, data, sizes or {})
    wip = _wip(store)
    root = zarr.open_group(wip, mode="w", zarr_format=3, attributes=dict(attributes or {}))
    for name, values in data.items():
        variable = _known(known, group, name)
        array = _create(root, variable, _checked(variable, values).shape)
        array[...] = _as_stored(variable, values)
        if name in (attributes or {}).get("nominal", ()):
            array.attrs["nominal"] = True
    for name in empty:
        variable = _known(known, group, name)
        _create(root, variable, tuple((sizes or {})[dim] for dim in variable.dims))
    _swap(wip, store / group, _wip(store))


def write_rows(store: Path, group: str, rows: slice, data: Mapping[str, np.ndarray]) -> None:
    """Write the rows of one partition of a group that ``write_group`` made.

    Where ``data`` says what the rows are made from, this is written last. ``forget_rows`` takes it away before.

    Raises
    ------
    StoreError
        The data are not what the schema and the group expect.
    """
    known = variables_of(group)
    root = zarr.open_group(store / group, mode="r+", zarr_format=3)
    arrays = {name: _target(root, _known(known, group, name), rows, values) for name, values in data.items()}
    for name in sorted(arrays, key=lambda name: name == MADE_FROM.name):
        arrays[name][rows] = _as_stored(known[name], data[name])


def forget_rows(store: Path, group: str, rows: np.ndarray) -> None:
    """Declare rows unmade, before they change: whoever kills the writer leaves rows that say so themselves."""
    array = zarr.open_group(store / group, mode="r+", zarr_format=3)[MADE_FROM.name]
    if isinstance(array, zarr.Array) and len(rows):
        first, stop = int(rows.min()), int(rows.max()) + 1
        held = np.asarray(array[first:stop]).astype(object)
        held[rows - first] = ""
        array[first:stop] = held


def set_attributes(store: Path, group: str, attributes: Attributes) -> None:
    """Set what a group says of itself; what ``attributes`` do not name stays."""
    zarr.open_group(store / group, mode="r+", zarr_format=3).attrs.update(dict(attributes))


def sweep(store: Path) -> None:
    """Remove what writers that were killed left in a store and beside it.

    A store that was on its way out goes back to its place if its successor had not come yet.
    """
    for path in store.rglob(f"*{_PARTIAL_SUFFIX}"):
        path.unlink(missing_ok=True)
    if _old(store).exists() and not store.exists():
        _old(store).rename(store)
    for path in (*store.parent.glob(f"{store.name}.*{WIP_SUFFIX}"), _old(store)):
        shutil.rmtree(path, ignore_errors=not path.exists())


def _target(root: zarr.Group, variable: Variable, rows: slice, values: np.ndarray) -> zarr.Array:
    """Return the array that takes the rows of a variable.

    Raises
    ------
    StoreError
        It does not take these.
    """
    name, array = f"{root.name}/{variable.name}".lstrip("/"), root[variable.name]
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{name} is not an array: remove the store and run again")
    expected = (rows.stop - rows.start, *array.shape[1:])
    if rows.stop > array.shape[0]:
        raise StoreError(f"{name}: rows up to {rows.stop} do not fit in {array.shape[0]}")
    if _checked(variable, values).shape != expected:
        raise StoreError(f"{name}: rows have shape {values.shape}, the store expects {expected}")
    return array


def _create(root: zarr.Group, variable: Variable, shape: tuple[int, ...]) -> zarr.Array:
    chunks = tuple(
        max(1, min(length, CHUNK_LENGTHS.get(dim, length)))
        for dim, length in zip(variable.dims, shape, strict=True)
    )
    return root.create_array(
        variable.name,
        shape=shape,
        chunks=chunks or "auto",
        dtype=str if variable.kind == "text" else variable.kind,
        fill_value=FILL[variable.kind],
        dimension_names=variable.dims,
        attributes={
            "long_name": variable.long_name,
            "units": variable.units,
            "description": variable.description,
        },
    )


def _checked(variable: Variable, values: np.ndarray) -> np.ndarray:
    if values.ndim != len(variable.dims):
        raise StoreError(
            f"{variable.name} has dimensions {variable.dims}, got an array of shape {values.shape}"
        )
    fits = values.dtype.kind in "UO" if variable.kind == "text" else values.dtype == np.dtype(variable.kind)
    if not fits:
        raise StoreError(f"{variable.name} is of kind {variable.kind}, got an array of {values.dtype}")
    return values


def _as_stored(variable: Variable, values: np.ndarray) -> np.ndarray:
    return values.astype(object) if variable.kind == "text" else values


def _check_lengths(
    known: Mapping[str, Variable], data: Mapping[str, np.ndarray], sizes: Mapping[str, int]
) -> None:
    """Refuse variables that disagree about the length of a dimension.

    Raises
    ------
    StoreError
        Two do.
    """
    lengths = dict(sizes)
    for name, values in data.items():
        for dim, length in zip(known[name].dims if name in known else (), values.shape, strict=False):
            if lengths.setdefault(dim, length) != length:
                raise StoreError(f"{name} is {length} long along {dim!r}, where {lengths[dim]} are expected")


def _known(known: Mapping[str, Variable], group: str, name: str) -> Variable:
    if name not in known:
        raise StoreError(f"{group} has no variable {name!r} in the schema; it may hold: {', '.join(known)}")
    return known[name]


def make_parents(store: Path, group: str) -> None:
    """Make the groups that a group lies in, where they are not there."""
    parts = group.split("/")[:-1]
    for depth in range(len(parts)):
        zarr.open_group(store.joinpath(*parts[: depth + 1]), mode="a", zarr_format=3)


def _wip(path: Path) -> Path:
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}{WIP_SUFFIX}")


def _old(store: Path) -> Path:
    """Return where a store goes while its successor takes its place."""
    return store.with_name(f"{store.name}.old")


def _swap(new: Path, place: Path, old: Path) -> None:
    """Put ``new`` in the place of a folder that cannot be replaced in one step: it goes by way of ``old``."""
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)
