"""Stage ``statistics``: how well networks classify, where relevance lies, what is certain; from the store.

A unit is one group of figures: ``performance/<representation>``, ``regions/<representation>/<composite>`` (with
the means of its recordings beside it), or one below ``agreement/``, which is made from these.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from toolkit.config import to_json
from toolkit.errors import ConfigError, QualityError
from toolkit.pipeline import agreeing, summing
from toolkit.pipeline.files import digest_of
from toolkit.pipeline.markers import Marker, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages import explain
from toolkit.pipeline.summing import SummingJob
from toolkit.statistics import performance
from toolkit.statistics.ensemble import probabilities
from toolkit.store import write
from toolkit.store.read import holds, read_whole
from toolkit.store.schema import BY_TARGET, CONTRASTS, MAPS, OK

NAME = "statistics"
VERSION = 4
PERFORMANCE = "performance"
_OF_PERFORMANCE = ("confidence", "n_bootstrap")
Sources = Mapping[str, Mapping[str, list[object]]]
"""What the maps were made from, by representation and composite; without those that have no map."""


def prepare(run: Run, _tools: Tools) -> None:
    """Remove figures whose maps are gone."""
    if not run.store.exists():
        return
    kept = {group for unit in plan_units(run) for group in _groups(unit.name)}
    base = run.store / "statistics"
    for path in sorted(base.glob("**/zarr.json")):
        name = path.parent.relative_to(base).as_posix()
        holds_figures = any((path.parent / axis / "zarr.json").exists() for axis in ("class_name", "recording"))
        if holds_figures and name not in kept:
            run.markers(NAME).remove(name)
            write.remove_group(run.store, f"statistics/{name}")


def plan(run: Run, _scope: Scope, force: bool) -> Plan:
    """Compare every group of figures with the maps that it was made from.

    Whatever the scope of a command: all that changed is summed up anew, so that no page shows old figures.
    """
    if not run.store.exists() or explain.out_of_date(run):
        return Plan((), (), waits_for=explain.NAME)
    units = plan_units(run)
    if not units:
        return Plan((), (), waits_for=explain.NAME)
    return Plan([unit.name for unit in units], run.markers(NAME).todo(units, force=force))


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Compute the groups of the plan: those from maps side by side, those from other figures thereafter."""
    _refuse_too_few_permutations(run)
    _refuse_bands_without_bins(run, plan)
    for name in plan.whole:
        run.markers(NAME).remove(name)
        for group in _groups(name):
            write.make_parents(run.store, f"statistics/{group}")
    jobs = []
    for name, item in plan.whole.items():
        kind, representation, composite = [*name.split("/"), ""][:3]
        if kind == summing.REGIONS:
            jobs.append(SummingJob(run, representation, composite, _made_with(run, item.unit)))
    for job, _ in tools.workers.run(summing.sum_up, jobs):
        _finish(run, plan.whole[f"{summing.REGIONS}/{job.name}"].unit, done)
    for name, item in plan.whole.items():
        if not name.startswith(f"{summing.REGIONS}/"):
            of_performance = name.startswith(f"{PERFORMANCE}/")
            data = _performance(run, name.split("/")[1]) if of_performance else agreeing.figures(run, name)
            write.write_group(run.store, f"statistics/{name}", data, attributes=_made_with(run, item.unit))
            _finish(run, item.unit, done)


def _refuse_bands_without_bins(run: Run, plan: Plan) -> None:
    """Refuse bands in which no bin lies before any figure is given up for them.

    Raises
    ------
    ConfigError
        None of the bands of a representation holds a bin.
    """
    maps = (name.partition("/")[2] for name in plan.whole if name.startswith(f"{summing.REGIONS}/"))
    for group in maps:
        axes = read_whole(run.store, f"{MAPS}/{group}", ("frequency",))
        summing.bands_of(run, group.split("/")[0], axes)


def _groups(name: str) -> tuple[str, ...]:
    """Return the groups that a unit of this name writes: beside regions stand the means of their recordings."""
    kind, _, rest = name.partition("/")
    return (name, f"{summing.RECORDINGS}/{rest}") if kind == summing.REGIONS else (name,)


def _refuse_too_few_permutations(run: Run) -> None:
    """Refuse settings with which nothing could ever be certain.

    Raises
    ------
    ConfigError
        The least p that permutations can give, times the number of tests, exceeds alpha.
    """
    settings, n_classes = run.settings.statistics, len(summing.class_names(run))
    n_tests = n_classes * len(CONTRASTS)
    fewest = math.ceil(n_tests / settings.alpha) - 1
    if settings.n_permutations < fewest:
        raise ConfigError(
            f"statistics.n_permutations={settings.n_permutations}: corrected for {n_tests} tests ({n_classes} "
            f"classes, {len(CONTRASTS)} contrasts), no p could fall to statistics.alpha={settings.alpha:g}; "
            f"give at least {fewest}"
        )


def _finish(run: Run, unit: Unit, done: Callable[[str], None]) -> None:
    files = tuple(f"{run.store.name}/statistics/{group}/zarr.json" for group in _groups(unit.name))
    run.markers(NAME).write(unit.name, Marker(unit.made_from, files=files))
    done(unit.name)


def _made_with(run: Run, unit: Unit) -> dict[str, object]:
    """Return what figures say of how they were made."""
    return {"statistics": _settings(run), "seed": run.settings.seed, "key": digest_of(unit.made_from)}


def _settings(run: Run) -> dict[str, object]:
    """Return how figures are made; where other runs lie is no part of it."""
    return to_json(run.settings.statistics.model_copy(update={"other_seeds": ()}))


def plan_units(run: Run) -> list[Unit]:
    """Return every group of figures that there should be, and what it should be made from."""
    sources, clips = _sources(run), _clips(run)
    units = []
    for representation, maps in sources.items():
        networks = _training_clips(run, representation)
        units.append(
            _unit(run, f"{PERFORMANCE}/{representation}", [clips, networks, *maps.values()], _OF_PERFORMANCE)
        )
        units += [
            _unit(run, f"{summing.REGIONS}/{representation}/{name}", [clips, made])
            for name, made in maps.items()
        ]
    units += [_unit(run, name, [clips, *made]) for name, made in agreeing.wanted(run, sources).items()]
    return units


def _unit(run: Run, name: str, made_from: list[object], settings: tuple[str, ...] = ()) -> Unit:
    known = _settings(run)
    ingredients = {
        "code": VERSION,
        "settings": {key: known[key] for key in settings} if settings else known,
        "seed": run.settings.seed,
        "maps and clips": digest_of(made_from),
    }
    return Unit(name, ingredients)


def _sources(run: Run) -> Sources:
    """Return what made the maps, and the shares of other targets beside them, that the store holds."""
    found: dict[str, dict[str, list[object]]] = {}
    for path in sorted(run.store.glob(f"{MAPS}/*/*/zarr.json")):
        representation, composite = path.parent.parts[-2:]
        lines = [_made_from(run, f"{kind}/{representation}/{composite}") for kind in (MAPS, BY_TARGET)]
        if any(lines[0]):
            found.setdefault(representation, {})[composite] = [lines]
    return found


def _made_from(run: Run, group: str) -> list[object]:
    """Return what every row of a group was made from; nothing where there is no such group."""
    if not holds(run.store, group):
        return []
    return read_whole(run.store, group, ("made_from",))["made_from"].tolist()


def _clips(run: Run) -> list[object]:
    """Return what the catalogue says of clips that figures group them by."""
    names = ("label", "fold", "recording", "salience", "valid_duration_s", "status")
    table = read_whole(run.store, "clips", names)
    return [sorted((name, values.tolist()) for name, values in table.items())]


def _performance(run: Run, representation: str) -> dict[str, np.ndarray]:
    clips = _classified(run, representation)
    names, folds = summing.class_names(run), np.unique(clips.fold)
    known = _training_clips(run, representation)
    n_training = np.array([known.get(int(fold), -1) for fold in folds], np.int64)
    bootstrap = summing.bootstrap_of(run, PERFORMANCE, representation)
    figures = performance.evaluate(clips, folds, len(names), n_training, bootstrap)
    return {**figures, "class_name": names, "predicted_class": names}


def _training_clips(run: Run, representation: str) -> dict[int, int]:
    """Return how many clips each fold's network learned from, as far as the store says."""
    group = f"training/{representation}"
    if not holds(run.store, group):
        return {}
    known = read_whole(run.store, group, ("fold", "n_training_clips"))
    return {int(fold): int(n) for fold, n in zip(known["fold"], known["n_training_clips"], strict=True)}


def _classified(run: Run, representation: str) -> performance.Classified:
    """Return every clip whose class is known to the networks that held it out."""
    composites = sorted(path.parent.name for path in run.store.glob(f"{MAPS}/{representation}/*/zarr.json"))
    explained = [summing.explained(run, representation, composite) for composite in composites]
    prediction, clips = predictions(run.store, representation), explained[0]
    logits = np.fmax.reduce([clips.logits for clips in explained])
    done = prediction >= 0
    return performance.Classified(
        label=clips.label[done],
        prediction=prediction[done],
        fold=clips.fold[done],
        recording=clips.recording[done],
        probability=probabilities(logits[done]),
    )


def predictions(store: Path, representation: str) -> np.ndarray:
    """Return the number of the class that each clip was called, shape (clip,); -1 where that does not count.

    Composites share networks but may have come to other clips. A fold of which only some classes are explained
    does not count, which would flatter them: nothing could be mistaken for them.
    """
    groups = sorted(path.parent.name for path in store.glob(f"{MAPS}/{representation}/*/zarr.json"))
    found = [
        read_whole(store, f"{MAPS}/{representation}/{name}", ("prediction",))["prediction"] for name in groups
    ]
    prediction, clips = np.max(found, axis=0), read_whole(store, "clips", ("fold", "status"))
    open_folds = np.unique(clips["fold"][(clips["status"] == OK) & (prediction < 0)])
    return np.where(np.isin(clips["fold"], open_folds), -1, prediction)


def check(run: Run) -> None:
    """Refuse networks that classify worse than ``quality.minimum_accuracy``.

    Raises
    ------
    QualityError
        The networks of a representation do.
    """
    wanted = run.settings.quality.minimum_accuracy
    for path in sorted(run.store.glob(f"statistics/{PERFORMANCE}/*/zarr.json")):
        name = path.parent.name
        found = float(read_whole(run.store, f"statistics/{PERFORMANCE}/{name}", ("accuracy",))["accuracy"])
        if found < wanted:
            raise QualityError(
                f"{name}: accuracy {found:.3f} on clips held out from training is below "
                f"quality.minimum_accuracy={wanted}: maps of a network that does not classify mean nothing"
            )


STAGE = Stage(NAME, plan, execute, prepare, check)
