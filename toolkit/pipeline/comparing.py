"""Two runs compared: both stores read, their clips and recordings paired, the pairs summed up.

Nothing is written but what the caller asks for. Settings of intervals and the seed are those of the first run.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from toolkit.errors import StoreError, printable
from toolkit.features.bands import Band, bins_by_band
from toolkit.pipeline.agreeing import view_of
from toolkit.pipeline.stages.statistics import PERFORMANCE, predictions
from toolkit.pipeline.summing import AXES, RECORDINGS, REGIONS, stream_from
from toolkit.reporting.comparison import Comparison, Side, read_side
from toolkit.reporting.paired import (
    Corpus,
    Overlap,
    Paired,
    PairedClass,
    PairedMaps,
    PairedScore,
    Pairing,
    Recognition,
    overlap,
)
from toolkit.reporting.wording import Estimate, listed
from toolkit.statistics import agreement, pairing
from toolkit.statistics.agreement import View
from toolkit.statistics.bootstrap import Bootstrap
from toolkit.store.read import STORE_NAME, attributes, check_version, holds, read_whole, section, store_path
from toolkit.store.schema import CORRECT, OUTCOMES
from toolkit.store.variables import BAND_AXIS

_CORRECT = OUTCOMES.index(CORRECT)


@dataclass(frozen=True)
class _How:
    """How intervals are made, as the first run says."""

    seed: int
    confidence: float
    n_bootstrap: int
    minimum_recordings: int
    share_floor: float

    def bootstrap(self, *name: object) -> Bootstrap:
        """Return how intervals of a group of figures are made."""
        return Bootstrap(self.n_bootstrap, self.confidence, stream_from(self.seed, "compare", *name))


@dataclass(frozen=True)
class _Source:
    """What is paired: two stores, and which rows of the one are which rows of the other."""

    stores: tuple[Path, Path]
    classes: tuple[str, ...]
    """In both, in the order of the first."""
    how: _How

    @cached_property
    def clips(self) -> tuple[Mapping[str, np.ndarray], ...]:
        """What catalogues say of clips."""
        return tuple(read_whole(store, "clips", _OF_CLIPS) for store in self.stores)

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows of the clips that have one name and class in both, shape (2, clip)."""
        places = [
            {key: row for row, key in enumerate(zip(clips["class_name"], clips["clip"], strict=True))}
            for clips in self.clips
        ]
        common = [key for key in places[0] if key in places[1]]
        return np.array([[place[key] for key in common] for place in places], np.int64)

    @property
    def label(self) -> np.ndarray:
        """Place of every paired clip's class among ``classes``, shape (clip,)."""
        place = {name: number for number, name in enumerate(self.classes)}
        return np.array([place[name] for name in self.clips[0]["class_name"][self.rows[0]]], np.int64)


_OF_CLIPS = ("clip", "class_name", "fold", "recording")
_OF_REGIONS = ("class_name", *AXES, *(axis.name for axis in BAND_AXIS), "mean_relevance")
Bands = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Bins of every band in the first and the second run, booleans, shape (bin,)."""


def compare(first: Path, second: Path) -> Comparison:
    """Return what changed from one run to another.

    Parameters
    ----------
    first, second
        Folders of runs, or their stores.

    Raises
    ------
    StoreError
        One is no run, has no figures, or has those of another version; or they are one, or have no class in
        common.
    """
    stores = (_store(first), _store(second))
    if stores[0].samefile(stores[1]):
        raise StoreError(f"{printable(first)} and {printable(second)} are one run: give two")
    one, other = (_read(*named) for named in zip(stores, _names(*stores), strict=True))
    classes = overlap(one.overview.class_names, other.overview.class_names)
    if not classes.both:
        raise StoreError(
            f"no class in common: {printable(first)} has {listed(classes.first)}, {printable(second)} has "
            f"{listed(classes.second)}; compare runs on the same kinds of sound"
        )
    source = _Source(stores, classes.both, _how(stores[0], one.representations[0]))
    representations, groups = (
        overlap(getattr(one, kind), getattr(other, kind)).both for kind in ("representations", "groups")
    )
    how = source.how
    found = Pairing(
        confidence=how.confidence,
        minimum_recordings=how.minimum_recordings,
        fewest_differing=pairing.fewest_differing(how.confidence),
        n_bootstrap=how.n_bootstrap,
        seed=how.seed,
        corpus=_corpus(source, classes, representations),
        scores=tuple(_score(source, name) for name in representations),
        maps=tuple(_maps(source, *group.split("/")) for group in groups),
    )
    return Comparison(one, other, found)


def _store(path: Path) -> Path:
    """Return the store of a run.

    Raises
    ------
    StoreError
        There is none, or it is of another format.
    """
    store = store_path(path)
    if not (store / "zarr.json").exists():
        raise StoreError(
            f"{printable(path)}: holds no run; give the folder of one, which `toolkit run-all` makes"
        )
    check_version(store)
    return store


def _names(*stores: Path) -> list[str]:
    """Return what to call the runs: the ends of their paths, as long as they must be to tell them apart."""
    parts = [(store.parent if store.name == STORE_NAME else store).absolute().parts for store in stores]
    depths = range(1, 1 + max(map(len, parts)))
    depth = next((depth for depth in depths if parts[0][-depth:] != parts[1][-depth:]), 1)
    return [printable("/".join(each[-depth:])) for each in parts]


def _read(store: Path, name: str) -> Side:
    """Return all that is shown of one run.

    Raises
    ------
    StoreError
        It has no figures, or those of another version or of maps that it no longer holds.
    """
    try:
        side = read_side(store, name)
    except KeyError as error:
        raise StoreError(_outdated(store, f"no {error.args[0]}")) from error
    for group in side.groups:
        if not holds(store, f"statistics/{RECORDINGS}/{group}"):
            raise StoreError(_outdated(store, f"no statistics/{RECORDINGS}/{group}"))
    for score in side.overview.scores:
        prediction, label = _predicted(store, score.representation)
        right = (prediction == label)[prediction >= 0]
        if len(right) != score.n_clips or (len(right) and not np.isclose(right.mean(), score.accuracy.value)):
            raise StoreError(
                f"{printable(store)}: its figures of {score.representation} are older than its maps; run "
                f"`toolkit statistics --out {printable(store.parent)}`"
            )
    return side


def _predicted(store: Path, representation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the class that every clip was called, -1 for none, and that of its own."""
    return predictions(store, representation), read_whole(store, "clips", ("label",))["label"]


def _outdated(store: Path, what: str) -> str:
    return (
        f"{printable(store)}: its figures are of another version of the toolkit ({what}); run "
        f"`toolkit statistics --out {printable(store.parent)}` again"
    )


def _how(store: Path, representation: str) -> _How:
    """Return how a store says that its intervals were made."""
    made = attributes(store / f"statistics/{PERFORMANCE}/{representation}")
    settings = section(made, "statistics")
    return _How(
        seed=int(str(made["seed"])),
        confidence=float(str(settings["confidence"])),
        n_bootstrap=int(str(settings["n_bootstrap"])),
        minimum_recordings=int(str(settings["minimum_recordings"])),
        share_floor=float(str(settings["share_floor"])),
    )


def _corpus(source: _Source, classes: Overlap, representations: Sequence[str]) -> Corpus:
    """Return which clips and recordings are in both runs."""
    names = (*classes.both, *classes.first, *classes.second)
    of_kind = {
        kind: {
            name: overlap(*(clips[kind][clips["class_name"] == name].tolist() for clips in source.clips))
            for name in names
        }
        for kind in ("clip", "recording")
    }
    folds = [clips["fold"][rows] for clips, rows in zip(source.clips, source.rows, strict=True)]
    return Corpus(
        classes=classes,
        clips=of_kind["clip"],
        recordings=of_kind["recording"],
        n_other_fold=int((folds[0] != folds[1]).sum()),
        n_other_sound=_n_other_sound(source, representations),
    )


def _n_other_sound(source: _Source, representations: Sequence[str]) -> int:
    """Return how many paired clips have other spectrograms; 0 where these are not made alike."""
    made = [attributes(store)["features"] for store in source.stores]
    if made[0] != made[1]:
        return 0
    is_other = np.zeros(source.rows.shape[1], bool)
    for name in representations:
        one, other = (
            read_whole(store, f"features/{name}", ("digest",))["digest"][rows]
            for store, rows in zip(source.stores, source.rows, strict=True)
        )
        is_other |= (one != other) & (one != "") & (other != "")
    return int(is_other.sum())


def _score(source: _Source, representation: str) -> PairedScore:
    """Return how the networks of both runs classify the clips of both."""
    prediction, label = np.stack([
        np.stack(_predicted(store, representation))[:, rows]
        for store, rows in zip(source.stores, source.rows, strict=True)
    ]).swapaxes(0, 1)
    known = (prediction >= 0).all(axis=0)
    clips, rows = source.clips[0], source.rows[0][known]
    judged = pairing.Judged(
        label=source.label[known],
        fold=clips["fold"][rows],
        recording=np.unique(clips["recording"][rows].astype(str), return_inverse=True)[1],
        right=(prediction == label)[:, known],
    )
    n_classes = len(source.classes)
    found = pairing.accuracies(judged, n_classes, source.how.bootstrap(PERFORMANCE, representation))
    of_all, *of_class = (
        Recognition(paired, int(to_right), int(to_wrong))
        for paired, to_right, to_wrong in zip(
            _figures(found, source.how), *pairing.turned(judged, n_classes), strict=True
        )
    )
    by_name = dict(zip(source.classes, of_class, strict=True))
    return PairedScore(representation, int(known.sum()), of_all, by_name)


def _maps(source: _Source, representation: str, composite: str) -> PairedMaps:
    """Return how far the maps of both runs lie apart, in every class."""
    group, how = f"{representation}/{composite}", source.how
    first, second = (_view(source, store, group) for store in source.stores)
    views = agreement.paired([first, _with_folds_of(first, second)])
    tables = [read_whole(store, f"statistics/{REGIONS}/{group}", _OF_REGIONS) for store in source.stores]
    bands, n_classes = _bands(tables), len(source.classes)
    profiles, maps = np.full((3, n_classes), np.nan), np.full(n_classes, np.nan)
    if all(np.array_equal(tables[0][axis], tables[1][axis]) for axis in AXES):
        found = agreement.correlated(views, n_classes, how.share_floor, how.bootstrap(group, "profiles"))
        profiles = np.stack([*found.values()])
        maps = agreement.correlation(*(_mean_maps(source, table) for table in tables))
    of_class = {
        name: PairedClass(
            n_recordings=int((views[0].label == label).sum()),
            bands=_shares(views, bands, label, how, how.bootstrap(group, label)),
            correlation=Estimate(*profiles[:, label].tolist()),
            map_correlation=float(maps[label]),
        )
        for label, name in enumerate(source.classes)
    }
    return PairedMaps(representation, composite, of_class)


def _shares(
    views: Sequence[View], bands: Bands, label: int, how: _How, bootstrap: Bootstrap
) -> dict[str, Paired]:
    """Return the shares of one class by band."""
    mine = views[0].label == label
    first, second = (
        np.stack([view.share[mine][:, bins].sum(axis=1) for bins in of_run], axis=1)
        for view, of_run in zip(views, zip(*bands.values(), strict=True), strict=True)
    )
    found = pairing.shares(first, second, views[0].fold[mine], bootstrap)
    return dict(zip(bands, _figures(found, how), strict=True))


def _figures(found: pairing.Difference, how: _How) -> list[Paired]:
    """Return differences one by one."""
    certain = pairing.is_certain(found, how.confidence, how.minimum_recordings)
    return [
        Paired(
            first=float(found.first[at]),
            second=float(found.second[at]),
            difference=Estimate(*(float(values[at]) for values in (found.value, found.low, found.high))),
            n_recordings=int(found.n_recordings[at]),
            n_differing=int(found.n_differing[at]),
            is_certain=bool(certain[at]),
        )
        for at in range(len(certain))
    ]


def _view(source: _Source, store: Path, group: str) -> View:
    """Return the recordings of the classes that both runs have, classes numbered as in ``source``."""
    view = view_of(store, group)
    names = read_whole(store, f"statistics/{REGIONS}/{group}", ("class_name",))["class_name"]
    place = {name: number for number, name in enumerate(source.classes)}
    label = np.array([place.get(name, -1) for name in names[view.label]], np.int64)
    return replace(view, label=label).rows(np.flatnonzero(label >= 0))


def _with_folds_of(first: View, second: View) -> View:
    """Return the second with the folds of the first: a corpus may have been dealt into folds anew.

    A recording that lies in two folds keeps its own.
    """
    names = [list(zip(view.label.tolist(), view.recording.tolist(), strict=True)) for view in (first, second)]
    counts = [Counter(each) for each in names]
    folds = dict(zip(names[0], first.fold.tolist(), strict=True))
    moved = [
        folds[name] if counts[0][name] == counts[1][name] == 1 else fold
        for name, fold in zip(names[1], second.fold.tolist(), strict=True)
    ]
    return replace(second, fold=np.array(moved, np.int64))


def _bands(tables: Sequence[Mapping[str, np.ndarray]]) -> Bands:
    """Return the bands that both runs have.

    Raises
    ------
    StoreError
        There is none.
    """
    first, second = (
        [Band(*edges) for edges in zip(*(table[axis.name].tolist() for axis in BAND_AXIS), strict=True)]
        for table in tables
    )
    common = [band for band in first if band in second]
    if not common:
        raise StoreError(
            f"no band in common: {', '.join(band.name for band in first)} and "
            f"{', '.join(band.name for band in second)}; run `toolkit statistics` with one "
            "statistics.band_edges_hz in both"
        )
    one, other = (bins_by_band(common, table["frequency"]) for table in tables)
    return {band.name: (one[band], other[band]) for band in common}


def _mean_maps(source: _Source, table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the mean map of the correctly classified clips of every class, flat, shape (class, cell)."""
    names = table["class_name"].tolist()
    rows = [names.index(name) for name in source.classes]
    return table["mean_relevance"][rows, _CORRECT].reshape(len(rows), -1)
