"""Stage ``statistics``: performance, mean maps and band shares per class, from the store alone.

A unit is one group of figures: ``performance/<representation>`` or ``regions/<representation>/<composite>``.
Clips are read a partition at a time, a class after the other.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from toolkit.config import StatisticsSettings, to_json
from toolkit.errors import ConfigError, QualityError
from toolkit.features.bands import Band, bands_from_edges, bins_by_band
from toolkit.features.spectrogram import valid_frames
from toolkit.pipeline import reading
from toolkit.pipeline.files import digest_of
from toolkit.pipeline.markers import Marker, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages import explain
from toolkit.statistics import performance, profiles
from toolkit.store import write
from toolkit.store.read import attributes, read_rows, read_whole
from toolkit.store.schema import (
    CORRECT,
    FREQUENCY_AXIS,
    OK,
    OUTCOMES,
    ROWS_PER_PARTITION,
    TIME_AXIS,
)

NAME = "statistics"
VERSION = 2
_AXES = tuple(axis.name for axis in (*FREQUENCY_AXIS, *TIME_AXIS))


@dataclass(frozen=True)
class Explained:
    """What is known of every clip of one representation and composite, without the maps."""

    group: str
    representation: str
    label: np.ndarray
    fold: np.ndarray
    recording: np.ndarray
    valid_duration_s: np.ndarray
    prediction: np.ndarray
    target_logit: np.ndarray
    relevance_sum: np.ndarray

    @property
    def done(self) -> np.ndarray:
        """Which clips have a map."""
        return np.isfinite(self.relevance_sum)


def prepare(run: Run, _tools: Tools) -> None:
    """Remove figures whose maps are gone."""
    known = {group for groups in _sources(run).values() for group in groups}
    kept = {f"regions/{name}" for name in known} | {f"performance/{name.split('/')[0]}" for name in known}
    for path in (*run.store.glob("statistics/regions/*/*"), *run.store.glob("statistics/performance/*")):
        name = path.relative_to(run.store / "statistics").as_posix()
        if path.is_dir() and name not in kept:
            run.markers(NAME).remove(name)
            write.remove_group(run.store, f"statistics/{name}")


def plan(run: Run, _scope: Scope, force: bool) -> Plan:
    """Compare every group of figures with the maps that it was made from.

    Whatever the scope of a command: all that changed is summed up anew, so that no page shows old figures.
    """
    if not run.store.exists() or explain.out_of_date(run):
        return Plan((), (), waits_for=explain.NAME)
    units = []
    grouping = _grouping(run)
    for representation, maps in _sources(run).items():
        units.append(_unit(run, f"performance/{representation}", [grouping, *maps.values()]))
        units += [_unit(run, f"regions/{name}", [grouping, made_from]) for name, made_from in maps.items()]
    if not units:
        return Plan((), (), waits_for=explain.NAME)
    return Plan([unit.name for unit in units], run.markers(NAME).todo(units, force=force))


def _sources(run: Run) -> dict[str, dict[str, list[object]]]:
    """Return, by representation, the groups that hold maps, such as 'mel/lrp.epsilon', and what made these."""
    found: dict[str, dict[str, list[object]]] = {}
    for path in sorted(run.store.glob("relevance/*/*/zarr.json")):
        representation, composite = path.parent.parts[-2:]
        maps = _made_from(run, representation, composite)
        if maps:
            found.setdefault(representation, {})[f"{representation}/{composite}"] = maps
    return found


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Compute the groups of the plan."""
    markers = run.markers(NAME)
    for name, item in plan.whole.items():
        markers.remove(name)
        kind, representation, *_ = name.split("/")
        data = _performance(run, representation) if kind == "performance" else _regions(run, name)
        key = digest_of(item.unit.made_from)
        made_with = {"statistics": to_json(run.settings.statistics), "seed": run.settings.seed, "key": key}
        write.write_group(run.store, f"statistics/{name}", data, attributes=made_with)
        markers.write(
            name, Marker(item.unit.made_from, files=(f"{run.store.name}/statistics/{name}/zarr.json",))
        )
        done(name)


def _unit(run: Run, name: str, made_from: list[object]) -> Unit:
    ingredients = {
        "code": VERSION,
        "settings": to_json(run.settings.statistics),
        "seed": run.settings.seed,
        "maps and clips": digest_of(made_from),
    }
    return Unit(name, ingredients)


def _grouping(run: Run) -> list[object]:
    """Return what the catalogue says of clips that figures group them by."""
    table = read_whole(run.store, "clips", ("label", "fold", "recording", "valid_duration_s", "status"))
    return [sorted((name, values.tolist()) for name, values in table.items())]


def _made_from(run: Run, representation: str, composite: str) -> list[object]:
    """Return what every map was made from; nothing while there is none."""
    group = f"relevance/{representation}/{composite}"
    lines = read_whole(run.store, group, ("made_from",))["made_from"].tolist()
    return lines if any(lines) else []


def _performance(run: Run, representation: str) -> dict[str, np.ndarray]:
    clips = _classified(run, representation)
    names = _class_names(run)
    bootstrap = _bootstrap(run, f"performance/{representation}")
    figures = performance.evaluate(clips, np.unique(clips.fold), len(names), bootstrap)
    return {**figures, "class_name": names, "predicted_class": names}


def _classified(run: Run, representation: str) -> performance.Classified:
    """Return every clip that has a prediction; composites share networks but may have come to other clips."""
    composites = sorted(path.parent.name for path in run.store.glob(f"relevance/{representation}/*/zarr.json"))
    explained = [_explained(run, representation, composite) for composite in composites]
    prediction, clips = np.max([clips.prediction for clips in explained], axis=0), explained[0]
    usable = read_whole(run.store, "clips", ("status",))["status"] == OK
    # A fold of which only some classes are explained would flatter them: nothing could be mistaken for them.
    open_folds = np.unique(clips.fold[usable & (prediction < 0)])
    done = (prediction >= 0) & ~np.isin(clips.fold, open_folds)
    return performance.Classified(clips.label[done], prediction[done], clips.fold[done], clips.recording[done])


def _regions(run: Run, unit: str) -> dict[str, np.ndarray]:
    _, representation, composite = unit.split("/")
    clips = _explained(run, representation, composite)
    names = _class_names(run)
    axes = read_whole(run.store, clips.group, _AXES)
    edges_hz = run.settings.statistics.band_edges_hz
    highest_hz = reading.analysis(run.settings).sample_rate_hz / 2
    bands = bins_by_band(bands_from_edges(edges_hz, highest_hz), axes["frequency"])
    if not bands:
        raise ConfigError(
            f"statistics.band_edges_hz={list(edges_hz)}: no {representation} bin lies in any band"
        )
    folds = np.unique(clips.fold[clips.done])
    figures: dict[str, list[np.ndarray]] = {}
    for label in range(len(names)):
        of_outcomes = [
            _outcome(run, clips, (label, outcome), np.stack([*bands.values()]), folds) for outcome in OUTCOMES
        ]
        for name in of_outcomes[0]:
            figures.setdefault(name, []).append(np.stack([figures_of[name] for figures_of in of_outcomes]))
    return {
        **{name: np.stack(values) for name, values in figures.items()},
        **axes,
        **_band_axis(tuple(bands)),
        "class_name": names,
        "outcome": np.array(OUTCOMES, dtype=object),
        "fold": folds,
    }


def _outcome(
    run: Run, clips: Explained, group: tuple[int, str], bins_of_bands: np.ndarray, folds: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the figures of one class and outcome."""
    label, outcome = group
    right = clips.prediction == clips.label
    rows = np.flatnonzero(clips.done & (clips.label == label) & (right == (outcome == CORRECT)))
    recordings, first, number = np.unique(clips.recording[rows], return_index=True, return_inverse=True)
    means, _ = profiles.recording_means(_parts(run, clips, rows, number), len(recordings))
    fold_of = clips.fold[rows][first]
    bootstrap = _bootstrap(run, f"{clips.group}/{label}/{outcome}")
    ratios = clips.relevance_sum[rows] / clips.target_logit[rows]
    return {
        "n_clips": np.array(len(rows), np.int64),
        "n_recordings": np.array(len(recordings), np.int64),
        "relevance_sum_ratio": np.array(np.median(ratios) if len(rows) else np.nan, np.float64),
        **profiles.summarise(means, fold_of, bins_of_bands, bootstrap),
        **profiles.by_fold(means, fold_of, bins_of_bands, folds.tolist()),
    }


def _explained(run: Run, representation: str, composite: str) -> Explained:
    group = f"relevance/{representation}/{composite}"
    clips = read_whole(run.store, "clips")
    maps = read_whole(run.store, group, ("prediction", "target", "logits", "relevance_sum"))
    target_logit = np.take_along_axis(maps["logits"], np.maximum(maps["target"], 0)[:, None], axis=1)[:, 0]
    # The same recording may hold clips of two classes; as a sample it is then two.
    pairs = [f"{label}/{name}" for label, name in zip(clips["label"], clips["recording"], strict=True)]
    return Explained(
        group=group,
        representation=representation,
        label=clips["label"],
        fold=clips["fold"],
        recording=np.unique(pairs, return_inverse=True)[1],
        valid_duration_s=clips["valid_duration_s"],
        prediction=maps["prediction"],
        target_logit=target_logit,
        relevance_sum=maps["relevance_sum"],
    )


def _parts(run: Run, clips: Explained, rows: np.ndarray, number: np.ndarray) -> Iterator[profiles.ClipMaps]:
    """Read the maps of ``rows`` some at a time; at least one part, which may be empty."""
    for start in range(0, max(1, len(rows)), ROWS_PER_PARTITION):
        chosen = slice(start, start + ROWS_PER_PARTITION)
        part = rows[chosen]
        maps = read_rows(run.store, clips.group, ("relevance", "relevance_in_padding"), part)
        level = read_rows(run.store, f"features/{clips.representation}", ("level_db",), part)
        yield profiles.ClipMaps(
            recording=number[chosen],
            level_db=level["level_db"],
            relevance=maps["relevance"],
            valid=valid_frames(clips.valid_duration_s[part], run.settings.features.duration_s),
            in_padding=maps["relevance_in_padding"],
        )


def _bootstrap(run: Run, name: str) -> profiles.Bootstrap:
    """Give every group of figures a random stream of its own."""
    settings: StatisticsSettings = run.settings.statistics
    rng = np.random.default_rng([run.settings.seed, zlib.crc32(name.encode())])
    return profiles.Bootstrap(settings.n_bootstrap, settings.confidence, rng)


def _band_axis(bands: tuple[Band, ...]) -> dict[str, np.ndarray]:
    return {
        "band": np.array([band.name for band in bands], dtype=object),
        "band_low": np.array([band.low_hz for band in bands], np.float64),
        "band_high": np.array([band.high_hz for band in bands], np.float64),
    }


def _class_names(run: Run) -> np.ndarray:
    return np.array(attributes(run.store)["class_names"], dtype=object)


def check(run: Run) -> None:
    """Refuse networks that classify worse than ``quality.minimum_accuracy``.

    Raises
    ------
    QualityError
        The networks of a representation do.
    """
    wanted = run.settings.quality.minimum_accuracy
    for path in sorted(run.store.glob("statistics/performance/*/zarr.json")):
        name = path.parent.name
        found = float(read_whole(run.store, f"statistics/performance/{name}", ("accuracy",))["accuracy"])
        if found < wanted:
            raise QualityError(
                f"{name}: accuracy {found:.3f} on clips held out from training is below "
                f"quality.minimum_accuracy={wanted}: maps of a network that does not classify mean nothing"
            )


STAGE = Stage(NAME, plan, execute, prepare, check)
