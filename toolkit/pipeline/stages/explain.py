"""Stage ``explain``: the relevance maps of every clip, by the one network that did not train on it.

A unit is a partition of one representation and composite. The clips of one class and fold in it go through the
network together.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.config import N_BINS, N_FRAMES, Representation, to_json
from toolkit.errors import ConfigError
from toolkit.features.spectrogram import valid_frames
from toolkit.lrp import maps
from toolkit.lrp.explainer import PREDICTED
from toolkit.pipeline import explainers
from toolkit.pipeline import rows as rows_of
from toolkit.pipeline.files import digest_of, write_bytes
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.rows import RowsTodo, partition_names
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages import export, train
from toolkit.store import write
from toolkit.store.read import attributes, read_rows, read_whole
from toolkit.store.schema import FILL, FREQUENCY_AXIS, RELEVANCE, TIME_AXIS

NAME = "explain"
VERSION = 3
_WORDS = ("settings or code changed", "network changed", "clip changed")
_PER_CLIP = tuple(variable.name for variable in RELEVANCE if variable.dims[0] == "clip")
_NO_FOLD = (-1,)
_EMPTY = {variable.name: FILL[variable.kind] for variable in RELEVANCE if variable.dims[0] == "clip"}


@dataclass(frozen=True)
class Block:
    """Clips of one class and fold within a partition, the network that explains them, and how."""

    rows: np.ndarray
    folder: Path
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
    empty: Mapping[str, np.ndarray]
    """Rows to be emptied, by composite."""
    made_from: Mapping[str, np.ndarray]
    """What every row should be made from, by composite, shape (clip,)."""
    target: int | str


def prepare(run: Run, _tools: Tools) -> None:
    """Make empty groups for maps that are to come, and remove those that the settings no longer name."""
    settings = run.settings
    explainers.check_names(settings.explanation)
    if not run.store.exists():
        return
    for name in list(export.current(run))[:1] if settings.explanation.own else ():
        # What does not fit the network is found before anything is removed.
        explainers.compiled(run.model(*train.parse_unit_name(name)), settings.explanation)
    wanted = {
        f"{name}/{composite}"
        for name in settings.representations
        for composite in settings.explanation.composites
    }
    for path in sorted(run.store.glob("relevance/*/*")):
        name = "/".join(path.parts[-2:])
        if name not in wanted and path.is_dir():
            write.remove_group(run.store, f"relevance/{name}")
    for name in sorted(wanted):
        if not (run.store / "relevance" / name / "zarr.json").exists():
            _create_group(run, *name.split("/"))


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every block with the network and the clips that its maps were made from."""
    exported = export.plan(run, scope, False)
    if exported.waits_for or exported.todo:
        return Plan((), (), waits_for=exported.waits_for or export.NAME)
    check_target(run)
    todo = _todo(run, scope, force)
    names = [
        f"{representation}/{composite}/{part}"
        for representation in scope.representations_of(run.settings)
        for composite in scope.composites_of(run.settings)
        for part, _ in partition_names(_n_clips(run))
    ]
    return Plan(names, todo)


def out_of_date(run: Run) -> bool:
    """Tell whether the store holds maps that today's settings, networks and clips would not make."""
    return any(len(item.empty) for item in _todo(run, Scope(folds=_NO_FOLD), False))


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Explain the clips of every partition to be made."""
    settings = run.settings.explanation
    explainers.check(settings)
    for group in sorted({f"relevance/{name.rpartition('/')[0]}" for name in plan.partitions}):
        about = {"explanation": to_json(settings), "engine": explainers.engine_of(settings)}
        write.set_attributes(run.store, group, about)
    jobs = _jobs(run, plan.partitions)
    _write_graphs(run, {block.folder for job in jobs for block in job.blocks})
    # innvestigate takes seconds to make ready what onnxruntime does in tenths.
    lane = _lane if explainers.needs_tensorflow(settings) else None
    for job, _ in tools.workers.run(explain_partition, jobs, lane=lane):
        for name in job.units:
            done(name)


def _lane(job: ExplanationJob) -> str:
    return job.representation


def _write_graphs(run: Run, folders: Iterable[Path]) -> None:
    """Put the compiled graph beside each network, for whoever wants maps of other clips; if it is not there."""
    for folder in sorted(folders):
        graph = explainers.compiled(folder, run.settings.explanation)
        path = folder / export.RELEVANCE_NAME
        if not path.exists() or path.read_bytes() != graph:
            write_bytes(path, graph)


def explain_partition(job: ExplanationJob) -> None:
    """Explain the blocks of one partition, and write it with everything else that it holds."""
    settings = job.run.settings
    groups = {name: f"relevance/{job.representation}/{name}" for name in sorted(job.made_from)}
    held = {name: read_rows(job.run.store, group, _PER_CLIP, job.rows) for name, group in groups.items()}
    for name, rows in job.empty.items():
        rows_of.put(held[name], rows - job.rows.start, _EMPTY)
    for block in job.blocks:
        n_batches = math.ceil(len(block.rows) / settings.explanation.batch_size)
        for rows in np.array_split(block.rows, max(1, n_batches)):
            for composite, values in _explain(job, block, rows).items():
                places = rows - job.rows.start
                rows_of.put(held[composite], places, {**values, "made_from": job.made_from[composite][places]})
    for name, group in groups.items():
        changed = [block.rows for block in job.blocks if name in block.composites]
        write.forget_rows(job.run.store, group, np.concatenate([job.empty[name], *changed]))
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
    explainer = explainers.explainer_of(block.folder, block.digest, settings.explanation)
    asked = maps.targets_of(clips["label"], job.target)
    found = explainer.explain(inputs, asked, block.composites)
    prediction = found.logits.argmax(axis=1)
    targets = np.where(asked == PREDICTED, prediction, asked)
    valid = valid_frames(clips["valid_duration_s"], settings.features.duration_s)
    shared = {"label": clips["label"], "prediction": prediction, "target": targets, "logits": found.logits}
    return {
        composite: {
            **shared,
            "relevance": relevance,
            "relevance_sum": maps.sum_of_relevance(relevance),
            "relevance_in_padding": maps.share_in_padding(relevance, valid),
        }
        for composite, relevance in found.relevance.items()
    }


def _jobs(run: Run, todo: Mapping[str, RowsTodo]) -> list[ExplanationJob]:
    """Group the units to be made by partition and representation: their composites share a forward pass."""
    clips = read_whole(run.store, "clips")
    networks = train.current(run)
    wanted = _wanted(run)
    grouped: dict[tuple[str, str], list[RowsTodo]] = {}
    for name, item in todo.items():
        representation, _, part = name.split("/")
        grouped.setdefault((representation, part), []).append(item)
    return [_job(run, items, clips, networks, wanted) for items in grouped.values()]


def _job(
    run: Run,
    items: Sequence[RowsTodo],
    clips: Mapping[str, np.ndarray],
    networks: Mapping[tuple[Representation, int], str],
    wanted: Mapping[tuple[str, str], np.ndarray],
) -> ExplanationJob:
    by_composite = {item.name.split("/")[1]: item for item in items}
    representation_name, _, part_name = items[0].name.split("/")
    representation = next(name for name in run.settings.representations if name == representation_name)
    part = dict(partition_names(len(clips["clip"])))[part_name]
    made_from = {name: wanted[representation, name] for name in by_composite}
    usable = np.flatnonzero(next(iter(made_from.values())) != rows_of.NOT_MADE)
    blocks = []
    for rows in _blocks_in(part, clips):
        fold = int(clips["fold"][rows[0]])
        folder = run.model(representation, fold)
        for chosen, composites in _by_rows(by_composite, np.intersect1d(rows, usable)):
            blocks.append(Block(chosen, folder, networks[representation, fold], composites))
    return ExplanationJob(
        units=tuple(item.name for item in items),
        run=run,
        representation=representation,
        rows=part,
        blocks=tuple(blocks),
        empty={
            name: np.concatenate([item.empty, np.setdiff1d(item.make, usable)])
            for name, item in by_composite.items()
        },
        made_from={name: lines[part] for name, lines in made_from.items()},
        target=check_target(run),
    )


def _by_rows(
    by_composite: Mapping[str, RowsTodo], rows: np.ndarray
) -> list[tuple[np.ndarray, tuple[str, ...]]]:
    """Return the rows to be explained with the composites that each of them needs; alike rows together."""
    found: dict[tuple[str, ...], list[int]] = {}
    for row in rows.tolist():
        composites = tuple(name for name, item in by_composite.items() if row in item.make)
        if composites:
            found.setdefault(composites, []).append(row)
    return [(np.array(chosen), composites) for composites, chosen in found.items()]


def _blocks_in(part: slice, clips: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return the rows of each class and fold within a partition."""
    found: dict[tuple[int, str], list[int]] = {}
    for row in range(part.start, part.stop):
        found.setdefault((int(clips["fold"][row]), str(clips["class_name"][row])), []).append(row)
    return [np.array(rows) for rows in found.values()]


def _todo(run: Run, scope: Scope, force: bool) -> list[RowsTodo]:
    """Return what must be made in the scope, and what is out of date outside it."""
    clips = read_whole(run.store, "clips", ("fold", "class_name"))
    asked = np.array([scope.has_fold(int(fold)) for fold in clips["fold"]], bool)
    asked &= np.array([scope.has_class(str(name)) for name in clips["class_name"]], bool)
    todo = []
    for (representation, composite), wanted in _wanted(run).items():
        made = _made(run, representation, composite)
        in_scope = representation in scope.representations_of(run.settings)
        make = asked & (in_scope and composite in scope.composites_of(run.settings))
        reasons = rows_of.why(made, wanted, _WORDS)
        if force:
            reasons[wanted != rows_of.NOT_MADE] = rows_of.FORCED
        out_of_date = ~make & (made != wanted) & (made != rows_of.NOT_MADE)
        reasons[~make] = ""
        for name, part in partition_names(len(made)):
            todo += rows_of.todo(f"{representation}/{composite}/{name}", part, reasons, out_of_date)
    return todo


def _made(run: Run, representation: str, composite: str) -> np.ndarray:
    """Return what the map of every row was made from."""
    group = f"relevance/{representation}/{composite}"
    if not (run.store / group).exists():
        return np.full(_n_clips(run), rows_of.NOT_MADE, dtype=object)
    return read_whole(run.store, group, ("made_from",))["made_from"]


def _wanted(run: Run) -> dict[tuple[str, str], np.ndarray]:
    """Return what the map of every row should be made from, by representation and composite."""
    networks = export.digests(run)
    settings = run.settings.explanation
    found: dict[tuple[str, str], np.ndarray] = {}
    for representation in run.settings.representations:
        clips = train.clips_of(run, representation)
        names = [train.unit_name(representation, fold) for fold in clips["fold"].tolist()]
        inputs = [networks.get(name, "") for name in names], clips["key"].tolist()
        for composite in settings.composites:
            mine = settings.model_copy(
                update={
                    "composites": (composite,),
                    "own": {name: rules for name, rules in settings.own.items() if name == composite},
                    # Another machine: the same maps, but for rounding.
                    "provider": "",
                    "n_threads": settings.n_threads if explainers.needs_tensorflow(settings) else 1,
                }
            )
            recipe = digest_of({"code": VERSION, "engine": explainers.engine_of(settings), **to_json(mine)})
            found[representation, composite] = rows_of.line(recipe, *inputs)
    return found


def _n_clips(run: Run) -> int:
    return len(read_whole(run.store, "clips", ("clip",))["clip"])


def class_names(run: Run) -> list[str]:
    """Return the names of the classes, in the order of their numbers."""
    names = attributes(run.store)["class_names"]
    return [str(name) for name in names] if isinstance(names, list) else []


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
    names = class_names(run)
    if target not in names:
        raise ConfigError(
            f"explanation.target={target!r} is not 'predicted', 'label' or a class of this run: {names}"
        )
    return names.index(target)


def _create_group(run: Run, representation: str, composite: str) -> None:
    known = read_whole(
        run.store, f"features/{representation}", names=[axis.name for axis in (*FREQUENCY_AXIS, *TIME_AXIS)]
    )
    data = {**known, "class_name": np.array(class_names(run), dtype=object)}
    sizes = {
        "clip": _n_clips(run),
        "frequency": N_BINS,
        "time": N_FRAMES,
        "class_name": len(data["class_name"]),
    }
    group = f"relevance/{representation}/{composite}"
    marks = {"nominal": attributes(run.store)["nominal"]}
    write.write_group(run.store, group, data, attributes=marks, empty=_PER_CLIP, sizes=sizes)


STAGE = Stage(NAME, plan, execute, prepare)
