"""Stage ``explain``: the relevance maps of every clip, by the one network that did not train on it.

A unit is a partition of one representation and composite; its blocks are the classes and folds in it. A
block's clips go through the network together, so that a map does not depend on what else was asked for.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.config import N_BINS, N_FRAMES, Representation, to_json
from toolkit.errors import ConfigError
from toolkit.features.spectrogram import valid_frames
from toolkit.lrp import maps
from toolkit.lrp.engines.innvestigate import InnvestigateExplainer
from toolkit.network import architecture, runtime
from toolkit.network.weights import read_weights
from toolkit.pipeline.files import digest_of
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.markers import Ingredients, Marker, Todo, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages import export, train
from toolkit.pipeline.stages.features import partition_names, row_digests
from toolkit.store import write
from toolkit.store.read import attributes, read_rows, read_whole
from toolkit.store.schema import FILL, FREQUENCY_AXIS, OK, RELEVANCE, TIME_AXIS

if TYPE_CHECKING:
    import keras

NAME = "explain"
VERSION = 1
ENGINE = "innvestigate 2.1.2"
_PER_CLIP = tuple(variable.name for variable in RELEVANCE if variable.dims[0] == "clip")
_NO_ROWS = np.zeros(0, np.int64)
_NO_FOLD = (-1,)
_EMPTY = {variable.name: FILL[variable.kind] for variable in RELEVANCE if variable.dims[0] == "clip"}


@dataclass(frozen=True)
class Block:
    """Clips of one class and fold within a partition, the network that explains them, and how."""

    rows: np.ndarray
    weights: Path
    digest: str
    composites: tuple[str, ...]


@dataclass(frozen=True)
class ExplanationJob:
    """Blocks of one partition and representation. Picklable."""

    units: tuple[str, ...]
    run: Run
    representation: Representation
    rows: slice
    blocks: tuple[Block, ...]
    kept: Mapping[str, np.ndarray]
    """Rows whose maps stay as they are, by composite; every other row that is not explained anew is emptied."""
    target: int | str
    n_classes: int


def prepare(run: Run, _tools: Tools) -> None:
    """Make empty groups for maps that are to come, and remove those that the settings no longer name."""
    if not run.store.exists():
        return
    settings = run.settings
    wanted = {
        f"{name}/{composite}"
        for name in settings.representations
        for composite in settings.explanation.composites
    }
    for path in sorted(run.store.glob("relevance/*/*")):
        name = "/".join(path.parts[-2:])
        if name not in wanted and path.is_dir():
            run.markers(NAME).forget(name)
            write.remove_group(run.store, f"relevance/{name}")
    for name in sorted(wanted):
        if not (run.store / "relevance" / name / "zarr.json").exists():
            run.markers(NAME).forget(name)
            _create_group(run, *name.split("/"))


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every block with the network and the clips that its maps were made from."""
    exported = export.plan(run, scope, False)
    if exported.waits_for or exported.todo:
        return Plan((), (), waits_for=exported.waits_for or export.NAME)
    check_target(run)
    units = _units(run, scope)
    todo = run.markers(NAME).todo(units, force=force)
    return Plan([unit for unit in units if unit.blocks], todo)


def out_of_date(run: Run) -> bool:
    """Tell whether the store holds maps that today's settings, networks and clips would not make."""
    return bool(run.markers(NAME).todo(_units(run, Scope(folds=_NO_FOLD))))


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Explain the clips of every block to be made."""
    runtime.require()
    markers = run.markers(NAME)
    todo = {item.unit.name: item for item in plan.todo}
    before = {name: markers.read(name) or Marker() for name in todo}
    for group in sorted({f"relevance/{name.rpartition('/')[0]}" for name in todo}):
        write.set_attributes(
            run.store, group, {"explanation": to_json(run.settings.explanation), "engine": ENGINE}
        )
    for job, _ in tools.workers.run(
        explain_partition, _jobs(run, todo, before), lane=lambda job: job.representation
    ):
        for name in job.units:
            kept = {key: before[name].blocks[key] for key in _kept(before[name], todo[name])}
            markers.write(name, Marker({**kept, **todo[name].wanted}))
            done(name)


def explain_partition(job: ExplanationJob) -> None:
    """Explain the blocks of one partition, and write it with everything else that it held."""
    settings = job.run.settings
    runtime.prepare(n_threads=settings.explanation.n_threads, eager=False)
    groups = {name: f"relevance/{job.representation}/{name}" for name in sorted(job.kept)}
    held = {name: read_rows(job.run.store, group, _PER_CLIP, job.rows) for name, group in groups.items()}
    for name, rows in job.kept.items():
        # Whatever is not known to be current goes: maps of before a kill, of clips that are left out now.
        others = np.setdiff1d(np.arange(job.rows.start, job.rows.stop), rows)
        _put(held[name], others - job.rows.start, _EMPTY)
    for block in job.blocks:
        n_batches = math.ceil(len(block.rows) / settings.explanation.batch_size)
        for rows in np.array_split(block.rows, max(1, n_batches)):
            for composite, values in _explain(job, block, rows).items():
                _put(held[composite], rows - job.rows.start, values)
    for name in job.units:
        job.run.markers(NAME).remove(name)
    for name, group in groups.items():
        write.write_rows(job.run.store, group, job.rows, held[name])


def _explain(job: ExplanationJob, block: Block, rows: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Return the per-clip variables of every composite of a block, for some of its rows."""
    store, settings = job.run.store, job.run.settings
    clips = read_rows(store, "clips", ("label", "valid_duration_s"), rows)
    inputs = read_inputs(
        store,
        job.representation,
        rows,
        channels=settings.training.channels,
        dynamic_range_db=settings.features.dynamic_range_db,
    )
    explainer = _explainer(block.weights, block.digest, job.n_classes)
    logits = explainer.logits(inputs)
    targets = maps.targets_of(logits, clips["label"], job.target)
    valid = valid_frames(clips["valid_duration_s"], settings.features.duration_s)
    shared = {"label": clips["label"], "prediction": logits.argmax(axis=1), "target": targets, "logits": logits}
    explained = {}
    for composite in block.composites:
        relevance = explainer.relevance(inputs, targets, composite)
        explained[composite] = {
            **shared,
            "relevance": relevance,
            "relevance_sum": maps.sum_of_relevance(relevance),
            "relevance_in_padding": maps.share_in_padding(relevance, valid),
        }
    return explained


@lru_cache(maxsize=64)
def _explainer(weights: Path, _digest: str, n_classes: int) -> InnvestigateExplainer:
    """Return the explainer of a network, built once per process."""

    def network() -> "keras.Model":
        model = architecture.build(n_classes)
        architecture.load_weights(model, read_weights(weights))
        return model

    return InnvestigateExplainer(network)


def _put(held: dict[str, np.ndarray], rows: np.ndarray, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        held[name][rows] = value


def _jobs(run: Run, todo: Mapping[str, Todo], before: Mapping[str, Marker]) -> list[ExplanationJob]:
    """Group the units to be made by partition and representation: their composites share a forward pass."""
    clips = read_whole(run.store, "clips")
    networks = train.current(run)
    grouped: dict[tuple[str, str], list[str]] = {}
    for name in todo:
        representation, _, part = name.split("/")
        grouped.setdefault((representation, part), []).append(name)
    return [_job(run, [todo[name] for name in names], before, clips, networks) for names in grouped.values()]


def _job(
    run: Run,
    items: Sequence[Todo],
    before: Mapping[str, Marker],
    clips: Mapping[str, np.ndarray],
    networks: Mapping[tuple[Representation, int], str],
) -> ExplanationJob:
    by_composite = {item.unit.name.split("/")[1]: item for item in items}
    representation_name, _, part_name = items[0].unit.name.split("/")
    representation = next(name for name in run.settings.representations if name == representation_name)
    part = dict(partition_names(len(clips["clip"])))[part_name]
    in_part = _blocks_in(part, clips)
    blocks = []
    for name, rows in in_part.items():
        composites = tuple(composite for composite, item in by_composite.items() if name in item.blocks)
        usable = rows[clips["status"][rows] == OK]
        if composites and len(usable):
            fold = int(clips["fold"][rows[0]])
            path = run.model(representation, fold) / train.WEIGHTS_NAME
            blocks.append(Block(usable, path, networks[representation, fold], composites))
    kept = {
        composite: np.concatenate([in_part[name] for name in _kept(before[item.unit.name], item)] or [_NO_ROWS])
        for composite, item in by_composite.items()
    }
    return ExplanationJob(
        units=tuple(item.unit.name for item in items),
        run=run,
        representation=representation,
        rows=part,
        blocks=tuple(blocks),
        kept=kept,
        target=check_target(run),
        n_classes=int(clips["label"].max()) + 1,
    )


def _kept(before: Marker, item: Todo) -> list[str]:
    """Return the blocks of a unit that are current and not to be made again."""
    return [name for name in before.blocks if name not in {*item.blocks, *item.dropped}]


def _blocks_in(part: slice, clips: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the rows of each class and fold within a partition, by block name."""
    found: dict[str, list[int]] = {}
    for row in range(part.start, part.stop):
        found.setdefault(f"fold {clips['fold'][row]}, {clips['class_name'][row]}", []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def _units(run: Run, scope: Scope) -> list[Unit]:
    """Return every unit of the settings, with what each of its blocks should be made from.

    Blocks outside the scope are not asked for, but may stay only if they are what would be made today.
    """
    clips = read_whole(run.store, "clips")
    networks = {name: unit.blocks["all"]["weights"] for name, unit in export.current(run).items()}
    explanation = to_json(run.settings.explanation)
    units = []
    for representation in run.settings.representations:
        digests = row_digests(run, representation)
        for composite in run.settings.explanation.composites:
            in_scope = representation in scope.representations_of(
                run.settings
            ) and composite in scope.composites_of(run.settings)
            made_with = {"code": VERSION, "engine": ENGINE, **explanation, "composites": composite}
            for part_name, part in partition_names(len(clips["clip"])):
                wanted: dict[str, Ingredients] = {}
                others: dict[str, Ingredients] = {}
                for name, rows in _blocks_in(part, clips).items():
                    fold, class_name = int(clips["fold"][rows[0]]), str(clips["class_name"][rows[0]])
                    weights = networks.get(train.unit_name(representation, fold))
                    if weights is None or digests is None:
                        continue
                    made_from = {**made_with, "network": weights, "clips": digest_of(list(digests[rows]))}
                    asked = in_scope and scope.has_fold(fold) and scope.has_class(class_name)
                    (wanted if asked else others)[name] = made_from
                units.append(Unit(f"{representation}/{composite}/{part_name}", wanted, others))
    return units


def check_target(run: Run) -> int | str:
    """Return the target as a word or as the number of its class.

    Raises
    ------
    ConfigError
        The target is neither a known word nor a class.
    """
    target = run.settings.explanation.target
    if target in {"predicted", "label"}:
        return target
    names = attributes(run.store)["class_names"]
    if not isinstance(names, list) or target not in names:
        raise ConfigError(
            f"explanation.target={target!r} is not 'predicted', 'label' or a class of this run: {names}"
        )
    return names.index(target)


def _create_group(run: Run, representation: str, composite: str) -> None:
    known = read_whole(
        run.store, f"features/{representation}", names=[axis.name for axis in (*FREQUENCY_AXIS, *TIME_AXIS)]
    )
    names = attributes(run.store)["class_names"]
    n_clips = len(read_whole(run.store, "clips")["clip"])
    data = {**known, "class_name": np.array(names, dtype=object)}
    sizes = {"clip": n_clips, "frequency": N_BINS, "time": N_FRAMES, "class_name": len(data["class_name"])}
    write.write_group(run.store, f"relevance/{representation}/{composite}", data, empty=_PER_CLIP, sizes=sizes)


STAGE = Stage(NAME, plan, execute, prepare)
