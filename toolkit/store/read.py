"""Reading a store: the door for users (``open_store``) and plain rows for the stages.

Plain xarray cannot select by two labels of one dimension (class and fold both lie along
``clip``), hence ``Store.sel``. Everything is lazy: a selection reads only the chunks that it overlaps,
and only when its values are asked for.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr
import zarr

from toolkit.errors import StoreError
from toolkit.store.schema import FORMAT_VERSION

T = TypeVar("T", str, int)
STORE_NAME = "store.zarr"
_MAP_GROUP = "relevance"
_CLIP_COORDINATES = (
    "clip",
    "class_name",
    "label",
    "fold",
    "recording",
    "salience",
    "status",
    "error",
    "valid_duration_s",
)


def open_store(run_or_store: str | Path) -> "Store":
    """Open the store of a run, read-only and lazily.

    Raises
    ------
    StoreError
        There is no store, or it is of another format version.
    """
    path = store_path(Path(run_or_store))
    try:
        tree = xr.open_datatree(path, engine="zarr", consolidated=False, chunks={})
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no store; make one with `toolkit run-all --out {path.parent}`") from error
    check_version(path)
    return Store(path, tree)


def check_version(store: Path) -> None:
    """Refuse a store of another format.

    Raises
    ------
    StoreError
        It was written by another version of the toolkit.
    """
    version = attributes(store).get("format_version")
    if version != FORMAT_VERSION:
        raise StoreError(
            f"{store}: format version {version!r}, this toolkit reads {FORMAT_VERSION}; "
            "run `toolkit run-all` again"
        )


def store_path(run_or_store: Path) -> Path:
    """Return the folder of the store, given it or the run that holds it."""
    return run_or_store if run_or_store.suffix == ".zarr" else run_or_store / STORE_NAME


@dataclass(frozen=True)
class Store:
    """A read-only store: ``tree`` for everything, ``sel`` for relevance maps by class, fold and band."""

    path: Path
    tree: xr.DataTree

    @cached_property
    def clips(self) -> xr.Dataset:
        """The catalogue with the state of each clip, in memory."""
        return self.tree["clips"].to_dataset().load()

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of their numbers."""
        return [str(name) for name in self.tree.attrs["class_names"]]

    @property
    def folds(self) -> list[int]:
        """Folds of the corpus, ascending."""
        return sorted({int(fold) for fold in self.clips["fold"].values})

    @property
    def representations(self) -> list[str]:
        """Representations that have relevance maps."""
        return sorted(self.tree[_MAP_GROUP].children) if _MAP_GROUP in self.tree.children else []

    @property
    def composites(self) -> list[str]:
        """Composites that have relevance maps in some representation."""
        found = {name for key in self.representations for name in self.tree[f"{_MAP_GROUP}/{key}"].children}
        return sorted(found)

    def sel(
        self,
        *,
        representation: str | Iterable[str] | None = None,
        composite: str | Iterable[str] | None = None,
        class_name: str | Iterable[str] | None = None,
        fold: int | Iterable[int] | None = None,
        band: str | Iterable[str] | None = None,
    ) -> xr.Dataset:
        """Return relevance and level of the chosen clips, classes, folds and bands, lazily.

        A single name for ``representation`` or ``composite`` leaves that dimension out; a list, or
        nothing, keeps it. Over several representations the frequency axis is the union of
        theirs in Hz, and each holds NaN at the other's frequencies. ``band`` is written as
        '2-4 kHz' or '125-250 Hz' and takes the bins whose centre lies in it.

        Returns
        -------
        ``relevance`` with dimensions ([representation], [composite], clip, frequency, time),
        ``level_db`` ([representation], clip, frequency, time), ``object_mask`` where it is known, and what
        belongs to each clip.

        Raises
        ------
        StoreError
            A name is not in the store; the message lists what is.
        """
        names = _chosen("representation", representation, self.representations)
        composites = _chosen("composite", composite, self.composites)
        rows = self._rows(class_name, fold)
        bands = None if band is None else [parse_band(text) for text in _listed(band)]
        parts = [self._maps(name, composites, rows, bands) for name in names]
        if isinstance(composite, str):
            parts = [part.isel(composite=0) for part in parts]
        if isinstance(representation, str):
            return parts[0].assign_coords(representation=names[0])
        return _along_representations(parts, names)

    def _rows(self, class_name: str | Iterable[str] | None, fold: int | Iterable[int] | None) -> np.ndarray:
        clips = self.clips
        classes = _chosen("class_name", class_name, self.class_names)
        folds = _chosen("fold", fold, self.folds)
        return np.flatnonzero(np.isin(clips["class_name"], classes) & np.isin(clips["fold"], folds))

    def _maps(
        self,
        representation: str,
        composites: Sequence[str],
        rows: np.ndarray,
        bands: Sequence[tuple[float, float]] | None,
    ) -> xr.Dataset:
        groups = self.tree[f"{_MAP_GROUP}/{representation}"]
        missing = [name for name in composites if name not in groups.children]
        if missing:
            raise StoreError(
                f"composite {missing[0]!r} has no {representation} maps; "
                f"there are: {', '.join(groups.children)}"
            )
        parts = [self._map(f"{_MAP_GROUP}/{representation}/{name}") for name in composites]
        joined = xr.concat(
            parts,
            _index("composite", composites),
            data_vars="all",
            coords="minimal",
            compat="override",
            join="override",
        )
        features = self.tree[f"features/{representation}"].to_dataset()
        cells = {name: features[name] for name in ("level_db", "object_mask") if name in features}
        joined = joined.assign(cells).isel(clip=rows, frequency=self._bins(joined, bands))
        clips = self.clips.isel(clip=rows)
        return joined.assign_coords({name: ("clip", clips[name].values) for name in _CLIP_COORDINATES})

    def _map(self, group: str) -> xr.Dataset:
        """Return one group of maps, its axes' edges as coordinates, its classes along a dimension ``class``."""
        maps = self.tree[group].to_dataset()
        maps = maps.assign_coords({"class": ("class_name", maps["class_name"].values)})
        maps = maps.swap_dims(class_name="class").drop_vars(["class_name", "label"])
        return maps.assign_coords({name: ("frequency", maps[name].values) for name in _EDGES})

    def _bins(self, maps: xr.Dataset, bands: Sequence[tuple[float, float]] | None) -> np.ndarray:
        frequency = maps["frequency"].values
        if bands is None:
            return np.arange(len(frequency))
        inside = [(frequency >= low) & (frequency < high) for low, high in bands]
        return np.flatnonzero(np.any(inside, axis=0))


def _along_representations(parts: Sequence[xr.Dataset], names: Sequence[str]) -> xr.Dataset:
    """Join maps on different frequency axes: the union of them, NaN where a representation has no bin."""
    axes = xr.concat([part.coords["frequency_low"].coords.to_dataset() for part in parts], "frequency")
    joined = xr.concat(
        [part.drop_vars(_EDGES) for part in parts],
        _index("representation", names),
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
    )
    return joined.assign_coords({name: axes[name].sortby("frequency") for name in _EDGES})


_EDGES = ("frequency_low", "frequency_high")
_BAND = re.compile(r"\s*([\d.]+)\s*-\s*([\d.]+)\s*(k?)Hz\s*", re.IGNORECASE)


def parse_band(text: str) -> tuple[float, float]:
    """Return the lower and upper edge, in Hz, of a band written as '2-4 kHz' or '125-250 Hz'.

    Raises
    ------
    StoreError
        The text is no band, or its edges do not rise.
    """
    match = _BAND.fullmatch(text)
    try:
        low, high = (float(match[1]), float(match[2])) if match else (1.0, 0.0)
    except ValueError:
        low, high = 1.0, 0.0
    if not match or high <= low:
        raise StoreError(f"band={text!r}: write it as '2-4 kHz' or '125-250 Hz', lower edge first")
    factor = 1000.0 if match[3] else 1.0
    return low * factor, high * factor


def read_rows(store: Path, group: str, names: Iterable[str], rows: slice | np.ndarray) -> dict[str, np.ndarray]:
    """Return the given rows of variables of one group, as arrays."""
    root = zarr.open_group(store / group, mode="r", zarr_format=3)
    return {name: _plain(_array(root, name).oindex[rows]) for name in names}


def read_whole(store: Path, group: str, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Return variables of a group as arrays: all of them, or those named."""
    root = zarr.open_group(store / group, mode="r", zarr_format=3)
    chosen = sorted(root.array_keys()) if names is None else names
    return {name: _plain(_array(root, name)[...]) for name in chosen}


def attributes(store: Path) -> Mapping[str, object]:
    """Return what the store says of itself: format version, classes and parameters."""
    return dict(zarr.open_group(store, mode="r", zarr_format=3).attrs)


def class_names(store: Path) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their numbers."""
    names = attributes(store)["class_names"]
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def section(about: Mapping[str, object], name: str) -> Mapping[str, Any]:
    """Return a section of what a store or group says of itself, empty where there is none."""
    found = about.get(name)
    return found if isinstance(found, Mapping) else {}


def holds(store: Path, group: str) -> bool:
    """Tell whether a store has a group."""
    return (store / group / "zarr.json").exists()


def _plain(values: Any) -> np.ndarray:  # noqa: ANN401 (zarr gives arrays or scalars)
    """Return values as an array; text as objects, which numpy 2 would give a type of its own."""
    array = np.asarray(values)
    return array.astype(object) if array.dtype.kind == "T" else array


def _array(root: zarr.Group, name: str) -> zarr.Array:
    array = root[name]
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{root.name}/{name} is not an array: remove the store and run again")
    return array


def _index(name: str, values: Sequence[str]) -> xr.DataArray:
    return xr.DataArray(np.array(values, dtype=object), dims=name, name=name)


def _listed(value: T | Iterable[T]) -> list[T]:
    return [value] if isinstance(value, str | int | np.integer) else list(value)


def _chosen(what: str, value: T | Iterable[T] | None, known: Sequence[T]) -> list[T]:
    chosen = list(known) if value is None else _listed(value)
    unknown = [item for item in chosen if item not in known]
    if unknown or not chosen:
        found = ", ".join(str(item) for item in known) or "none yet"
        raise StoreError(
            f"{what}={unknown[0] if unknown else chosen!r} is not in the store; there are: {found}"
        )
    return chosen
