"""Stage ``explain``: the relevance maps of every clip, by the one network that did not train on it.

A unit is a partition of one representation and composite; its blocks are the classes and folds in it. A
block's clips go through the network together, so that a map does not depend on what else was asked for.
"""

import math
import shutil
from collections.abc import Callable, Mapping
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
    dropped: Mapping[str, np.ndarray]
    """Rows whose maps are taken back, by composite."""
    target: int | str
    n_classes: int


def prepare(run: Run, _tools: Tools) -> None:
    """Make empty groups for maps that are to come, and remove those that the settings no longer name."""
    if not run.store.exists():
        return
    settings = run.settings
    wanted = {
        (name, composite) for name in settings.representations for composite in settings.explanation.composites
    }
    for path in run.store.glob("relevance/*/*/zarr.json"):
        if path.parent.parts[-2:] not in wanted:
            shutil.rmtree(path.parent)
            run.markers(NAME).forget("/".join(path.parent.parts[-2:]))
    for representation, composite in sorted(wanted):
        if not (run.store / "relevance" / representation / composite).exists():
            _create_group(run, representation, composite)


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every block with the network and the clips that its maps were made from."""
    exported = export.plan(run, scope, False)
    if exported.waits_for or exported.todo:
        return Plan((), (), waits_for=exported.waits_for or export.NAME)
    _target(run)
    clips = read_whole(run.store, "clips")
    representations = scope.representations_of(run.settings)
    units = [unit for name in representations for unit in _units(run, name, scope, clips)]
    return Plan(units, run.markers(NAME).todo(units, force=force))


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
    for job, _ in tools.workers.run(explain_partition, _jobs(run, todo), lane=lambda job: job.representation):
        for name in job.units:
            kept = {key: made for key, made in before[name].blocks.items() if key not in todo[name].dropped}
            markers.write(name, Marker({**kept, **todo[name].wanted}))
            done(name)


def explain_partition(job: ExplanationJob) -> None:
    """Explain the blocks of one partition, and write it with everything else that it held."""
    settings = job.run.settings
    runtime.prepare(n_threads=settings.explanation.n_threads, eager=False)
    composites = {composite for block in job.blocks for composite in block.composites} | job.dropped.keys()
    groups = {name: f"relevance/{job.representation}/{name}" for name in sorted(composites)}
    held = {name: read_rows(job.run.store, group, _PER_CLIP, job.rows) for name, group in groups.items()}
    for composite, rows in job.dropped.items():
        _put(held[composite], rows - job.rows.start, _EMPTY)
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


def _jobs(run: Run, todo: Mapping[str, Todo]) -> list[ExplanationJob]:
    """Group the units to be made by partition and representation: their composites share a forward pass."""
    clips = read_whole(run.store, "clips")
    networks = train.current(run)
    grouped: dict[tuple[str, str], dict[str, Todo]] = {}
    for name, item in todo.items():
        representation, composite, part = name.split("/")
        grouped.setdefault((representation, part), {})[composite] = item
    target = _target(run)
    return [
        _job(run, key, items, clips=clips, networks=networks, target=target) for key, items in grouped.items()
    ]


def _job(
    run: Run,
    key: tuple[str, str],
    items: Mapping[str, Todo],
    *,
    clips: Mapping[str, np.ndarray],
    networks: Mapping[tuple[Representation, int], str],
    target: int | str,
) -> ExplanationJob:
    representation = next(name for name in run.settings.representations if name == key[0])
    part = dict(partition_names(len(clips["clip"])))[key[1]]
    in_part = _blocks_in(part, clips)
    blocks = []
    for name, rows in in_part.items():
        fold = int(clips["fold"][rows[0]])
        composites = tuple(composite for composite, item in items.items() if name in item.blocks)
        if composites:
            usable = rows[clips["status"][rows] == OK]
            path = run.model(representation, fold) / train.WEIGHTS_NAME
            blocks.append(Block(usable, path, networks[representation, fold], composites))
    dropped = {
        composite: np.concatenate([in_part[name] for name in item.dropped])
        for composite, item in items.items()
        if item.dropped
    }
    return ExplanationJob(
        units=tuple(f"{representation}/{composite}/{key[1]}" for composite in items),
        run=run,
        representation=representation,
        rows=part,
        blocks=tuple(block for block in blocks if len(block.rows)),
        dropped=dropped,
        target=target,
        n_classes=int(clips["label"].max()) + 1,
    )


def _blocks_in(part: slice, clips: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the rows of each class and fold within a partition, by block name."""
    found: dict[str, list[int]] = {}
    for row in range(part.start, part.stop):
        found.setdefault(f"fold {clips['fold'][row]}, {clips['class_name'][row]}", []).append(row)
    return {name: np.array(rows) for name, rows in found.items()}


def _units(
    run: Run, representation: Representation, scope: Scope, clips: Mapping[str, np.ndarray]
) -> list[Unit]:
    """Return the units of one representation, with what each of their blocks should be made from."""
    digests = row_digests(run, representation)
    networks = export.current(run)
    explanation = to_json(run.settings.explanation)
    units = []
    for composite in scope.composites_of(run.settings):
        made_with = {"code": VERSION, "engine": ENGINE, **explanation, "composites": composite}
        for part_name, part in partition_names(len(clips["clip"])):
            wanted: dict[str, Ingredients] = {}
            others: dict[str, Ingredients] = {}
            for name, rows in _blocks_in(part, clips).items():
                fold, class_name = int(clips["fold"][rows[0]]), str(clips["class_name"][rows[0]])
                network = networks.get(train.unit_name(representation, fold))
                if network is None or digests is None:
                    continue
                made_from = {**made_with, "network": network.blocks, "clips": digest_of(list(digests[rows]))}
                in_scope = scope.has_fold(fold) and scope.has_class(class_name)
                (wanted if in_scope else others)[name] = made_from
            units.append(Unit(f"{representation}/{composite}/{part_name}", wanted, others))
    return units


def _target(run: Run) -> int | str:
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
