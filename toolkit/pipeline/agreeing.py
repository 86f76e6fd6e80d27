"""Whether views of a class agree, from the figures of each: see ``toolkit.statistics.agreement``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from toolkit.errors import ConfigError
from toolkit.features.bands import third_octaves
from toolkit.pipeline.run import Run
from toolkit.pipeline.summing import RECORDINGS, REGIONS, bands_of, bootstrap_of, class_names
from toolkit.statistics import agreement, profiles
from toolkit.statistics.agreement import View
from toolkit.statistics.bootstrap import Bootstrap
from toolkit.store.read import STORE_NAME, attributes, read_whole
from toolkit.store.schema import MAPS
from toolkit.store.variables import BAND_AXIS, FREQUENCY_AXIS

BETWEEN_REPRESENTATIONS, BETWEEN_COMPOSITES, BETWEEN_SEEDS = (
    f"agreement/{kind}" for kind in ("representations", "composites", "seeds")
)
SAME_METHOD = frozenset({"lrp.epsilon", "lrp.z", "input_t_gradient"})
"""One method on networks of convolutions, ReLU and max pools, but for the stabiliser (Ancona et al. 2018)."""
_LOWEST_HZ = 31.25
Figures = dict[str, np.ndarray]


def wanted(run: Run, sources: Mapping[str, Mapping[str, list[object]]]) -> dict[str, list[object]]:
    """Return the groups of agreement that there should be, with what each is made from."""
    composites = list(dict.fromkeys(name for maps in sources.values() for name in maps))
    found: dict[str, list[object]] = {}
    for composite in composites:
        made = [maps[composite] for maps in sources.values() if composite in maps]
        if len(made) == 2:
            found[f"{BETWEEN_REPRESENTATIONS}/{composite}"] = [made]
    for representation, maps in sources.items():
        if len(maps) > 1:
            found[f"{BETWEEN_COMPOSITES}/{representation}"] = [list(maps.items())]
        for composite, of_maps in maps.items() if run.settings.statistics.other_seeds else ():
            others = [
                attributes(group)["key"] if group.exists() else "missing"
                for group in _groups_of_others(run, f"{representation}/{composite}")
            ]
            found[f"{BETWEEN_SEEDS}/{representation}/{composite}"] = [of_maps, others]
    return found


def figures(run: Run, name: str) -> Figures:
    """Return the figures of one group of agreement, named as ``wanted`` names them."""
    _, kind, *rest = name.split("/")
    bootstrap = bootstrap_of(run, name)
    known = {"class_name": class_names(run)}
    if f"agreement/{kind}" == BETWEEN_REPRESENTATIONS:
        return {**known, **_between_representations(run, rest[0], bootstrap)}
    if f"agreement/{kind}" == BETWEEN_COMPOSITES:
        return {**known, **_between_composites(run, rest[0], bootstrap)}
    return {**known, **_between_seeds(run, "/".join(rest), bootstrap)}


def _between_representations(run: Run, composite: str, bootstrap: Bootstrap) -> Figures:
    names = [
        path.parent.parent.name
        for path in sorted(run.store.glob(f"statistics/{RECORDINGS}/*/{composite}/zarr.json"), reverse=True)
    ]
    views = agreement.paired([view_of(run.store, f"{name}/{composite}") for name in names])
    edges = _common_edges(views)
    views = [_on_common_axis(view, edges) for view in views]
    classes = range(len(class_names(run)))
    floor = run.settings.statistics.share_floor
    members = [views[0].label == label for label in classes]
    shares = np.array([[profiles.mean(view.share[of]) for view in views] for of in members])
    logs = np.array([
        [agreement.profile(view, of, floor, np.ones((1, of.sum())))[0] for view in views] for of in members
    ])
    regions = [read_whole(run.store, f"statistics/{REGIONS}/{name}/{composite}") for name in names]
    return {
        "other_class": class_names(run),
        "representation": np.array(names, dtype=object),
        "frequency": np.sqrt(edges[1:] * edges[:-1]),
        "frequency_low": edges[:-1],
        "frequency_high": edges[1:],
        "n_recordings": np.bincount(views[0].label, minlength=len(classes)).astype(np.int64),
        "share": shares,
        "ratio": np.exp(logs),
        **agreement.correlated(views, len(classes), floor, bootstrap),
        "class_correlation": agreement.correlation(logs[:, None, 0], logs[None, :, 1]),
        "overlap": agreement.overlap(shares[:, 0], shares[:, 1]),
        **_common_verdicts(regions),
    }


def _common_verdicts(regions: Sequence[Mapping[str, np.ndarray]]) -> Figures:
    """Return the verdicts that hold in both representations, for bands that both have."""
    one, other = regions
    bands = [name for name in one["band"].tolist() if name in other["band"].tolist()]
    places = [[table["band"].tolist().index(name) for name in bands] for table in regions]
    verdict = [table["band_verdict"][..., place] for table, place in zip(regions, places, strict=True)]
    p = [table["band_p_corrected"][..., place] for table, place in zip(regions, places, strict=True)]
    return {
        **{axis.name: one[axis.name][places[0]] for axis in BAND_AXIS},
        "contrast": one["contrast"],
        "band_p_corrected": np.maximum(*p),
        "band_verdict": np.where(verdict[0] == verdict[1], verdict[0], 0),
    }


def _between_composites(run: Run, representation: str, bootstrap: Bootstrap) -> Figures:
    names = sorted(
        path.parent.name for path in run.store.glob(f"statistics/{RECORDINGS}/{representation}/*/zarr.json")
    )
    pairs = list(combinations(names, 2))
    found = [
        _compared(
            run.store, run.store, (f"{representation}/{one}", f"{representation}/{other}"), run, bootstrap
        )
        for one, other in pairs
    ]
    return {
        "pair": np.arange(len(pairs), dtype=np.int64),
        "first": np.array([one for one, _ in pairs], dtype=object),
        "second": np.array([other for _, other in pairs], dtype=object),
        "is_same_method": np.array([SAME_METHOD.issuperset(pair) for pair in pairs]),
        **{name: np.stack([each[name] for each in found], axis=1) for name in found[0]},
    }


def _between_seeds(run: Run, name: str, bootstrap: Bootstrap) -> Figures:
    stores = _others(run, name)
    found = [_compared(run.store, store, (name, name), run, bootstrap) for store in stores]
    ours, *theirs = (
        read_whole(store, f"statistics/{REGIONS}/{name}", ("band_verdict",))["band_verdict"]
        for store in (run.store, *stores)
    )
    return {
        "run": np.arange(len(stores), dtype=np.int64),
        "seed": np.array(
            [attributes(store / f"statistics/{REGIONS}/{name}")["seed"] for store in stores], np.int64
        ),
        **{key: np.stack([each[key] for each in found], axis=1) for key in found[0]},
        "n_verdicts": np.stack([_named(ours, verdict).sum(axis=(1, 2)) for verdict in theirs], axis=1),
        "n_verdicts_alike": np.stack(
            [(_named(ours, verdict) & (ours == verdict)).sum(axis=(1, 2)) for verdict in theirs], axis=1
        ),
    }


def _named(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return of which bands either run says anything, same shape."""
    return (one != 0) | (other != 0)


def _compared(one: Path, other: Path, names: tuple[str, str], run: Run, bootstrap: Bootstrap) -> Figures:
    """Return how two views of the same bins correlate, class by class."""
    views = agreement.paired([view_of(store, name) for store, name in zip((one, other), names, strict=True)])
    maps = [
        read_whole(store, f"statistics/{REGIONS}/{name}", ("mean_relevance",))["mean_relevance"][:, 0]
        for store, name in zip((one, other), names, strict=True)
    ]
    flat = [each.reshape(len(each), -1) for each in maps]
    return {
        **agreement.correlated(views, len(maps[0]), run.settings.statistics.share_floor, bootstrap),
        "map_correlation": agreement.correlation(*flat),
    }


def _common_edges(views: Sequence[View]) -> np.ndarray:
    """Return third-octaves in the range that all representations cover."""
    low = max(_LOWEST_HZ, *(float(view.low_hz[0]) for view in views))
    return third_octaves(low, min(float(view.high_hz[-1]) for view in views))


def _on_common_axis(view: View, edges: np.ndarray) -> View:
    """Return a view with shares by third-octave, adding up to one."""
    spread = agreement.spread_over(view.low_hz, view.high_hz, edges)
    share, input_share = (
        profiles.divided(moved, moved.sum(axis=1))
        for moved in (view.share @ spread.T, view.input_share @ spread.T)
    )
    return replace(view, share=share, input_share=input_share, low_hz=edges[:-1], high_hz=edges[1:])


def view_of(store: Path, name: str) -> View:
    """Return the recordings of a store by one representation and composite, such as 'mel/lrp.epsilon'."""
    table = read_whole(store, f"statistics/{RECORDINGS}/{name}")
    edges = (table[axis.name] for axis in FREQUENCY_AXIS[1:])
    return View(*(table[name] for name in ("label", "recording", "fold", "share", "input_share")), *edges)


def _groups_of_others(run: Run, name: str) -> list[Path]:
    """Return where the figures of the runs with other seeds should be."""
    folders = run.settings.statistics.other_seeds
    stores = [folder / STORE_NAME if (folder / STORE_NAME).exists() else folder for folder in folders]
    return [store / f"statistics/{REGIONS}/{name}" for store in stores]


def _others(run: Run, name: str) -> list[Path]:
    """Return the stores of the runs with other seeds.

    Raises
    ------
    ConfigError
        One has no figures, is not on the same corpus, has the same seed, or other bins or bands.
    """
    stores = []
    axes = read_whole(run.store, f"{MAPS}/{name}", ("frequency",))
    bands = [band.name for band in bands_of(run, name.split("/")[0], axes)]
    for folder, group in zip(run.settings.statistics.other_seeds, _groups_of_others(run, name), strict=True):
        if not group.exists():
            raise ConfigError(
                f"statistics.other_seeds: {folder} holds no figures of {name}: run `toolkit statistics` there, "
                "or take it out of the list"
            )
        store = group.parents[3]
        clips = [read_whole(each, "clips", ("clip",))["clip"].tolist() for each in (run.store, store)]
        if clips[0] != clips[1]:
            raise ConfigError(f"statistics.other_seeds: {folder} is not a run on the same clips as this one")
        _refuse_same_seed(run, folder, group)
        theirs = read_whole(store, f"statistics/{REGIONS}/{name}", ("frequency", "band"))
        if not np.array_equal(theirs["frequency"], axes["frequency"]) or theirs["band"].tolist() != bands:
            raise ConfigError(f"statistics.other_seeds: {folder} has other frequency bins or bands than this")
        stores.append(store)
    return stores


def _refuse_same_seed(run: Run, folder: Path, group: Path) -> None:
    """Refuse figures of networks that are this run's own.

    Raises
    ------
    ConfigError
        They are.
    """
    seed = attributes(group)["seed"]
    if seed == run.settings.seed:
        raise ConfigError(
            f"statistics.other_seeds: {folder} has seed {seed}, as this run: the same networks agree with "
            "themselves; train one with another `--seed`"
        )
