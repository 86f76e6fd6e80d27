"""Stage ``explain``: the relevance maps of every clip, by the one network that did not train on it.

With target 'all', also where in frequency relevance for every class lies. A unit is a partition of one group:
of maps or of shares, of one representation and composite. The clips of one class and fold in it go
through the network together.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.config import N_BINS, N_FRAMES, ExplanationSettings, Representation, Settings, to_json
from toolkit.errors import ConfigError
from toolkit.features.spectrogram import valid_frames
from toolkit.lrp import maps
from toolkit.lrp.explainer import PREDICTED, Explainer, Explanation
from toolkit.pipeline import explainers
from toolkit.pipeline import rows as rows_of
from toolkit.pipeline.files import digest_of, write_bytes
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.rows import RowsTodo, partition_names
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages import export, train
from toolkit.statistics.profiles import share_by_bin
from toolkit.store import write
from toolkit.store.read import attributes, holds, read_rows, read_whole, section
from toolkit.store.schema import BY_TARGET, GROUPS, MAPS
from toolkit.store.variables import FILL

NAME = "explain"
VERSIONS = {MAPS: 3, BY_TARGET: 1}
"""Raised when the same networks, clips and settings would give other rows; both, if relevance is another."""
ALL = "all"
"""The target of which maps explain the predicted class, and shares every class."""
_WORDS = ("settings or code changed", "network changed", "clip changed")
_NO_FOLD = (-1,)
_EMPTY = {
    kind: {variable.name: FILL[variable.kind] for variable in GROUPS[kind] if variable.dims[0] == "clip"}
    for kind in VERSIONS
}
"""What stands in a row that is not made, by kind of group and variable."""


@dataclass(frozen=True)
class Group:
    """A group of the store that this stage fills."""

    kind: str
    """``MAPS`` or ``BY_TARGET``."""
    representation: Representation
    composite: str

    @property
    def name(self) -> str:
        """Where it stands in the store."""
        return f"{self.kind}/{self.representation}/{self.composite}"


@dataclass(frozen=True)
class Block:
    """Clips of one class and fold within a partition, the network that explains them, and how."""

    rows: np.ndarray
    folder: Path
    digest: str
    groups: tuple[Group, ...]
    """Which groups need rows of these clips."""

    def composites(self, kind: str) -> tuple[str, ...]:
        """Return the composites that the groups of a kind are of."""
        return tuple(group.composite for group in self.groups if group.kind == kind)


@dataclass(frozen=True)
class ExplanationJob:
    """Blocks of one partition and representation. Picklable."""

    units: tuple[str, ...]
    run: Run
    representation: Representation
    rows: slice
    blocks: tuple[Block, ...]
    empty: Mapping[Group, np.ndarray]
    """Rows to be emptied."""
    made_from: Mapping[Group, np.ndarray]
    """What every row should be made from, shape (clip,)."""
    target: int | str
    """What maps explain."""
    n_classes: int


@dataclass(frozen=True)
class _Batch:
    """Clips that go through a network together; arrays of shape (clip, ...)."""

    explainer: Explainer
    inputs: np.ndarray
    label: np.ndarray
    valid: np.ndarray
    """Which frames hold recorded sound, shape (clip, frame)."""


def prepare(run: Run, _tools: Tools) -> None:
    """Make empty groups for rows that are to come, and remove those that the settings no longer name."""
    settings = run.settings
    explainers.check_names(settings.explanation)
    if not run.store.exists():
        return
    for name in list(export.current(run))[:1] if settings.explanation.own else ():
        # What does not fit the network is found before anything is removed.
        explainers.compiled(run.model(*train.parse_unit_name(name)), settings.explanation)
    groups = groups_of(settings)
    _remove_others(run, groups)
    for group in groups:
        if not holds(run.store, group.name):
            _create_group(run, group)
        else:
            _keep_order(run, group)


def _keep_order(run: Run, group: Group) -> None:
    """Have a group say in which order the run names its composites, which its maps do not depend on."""
    known = section(attributes(run.store / group.name), "explanation")
    wanted = list(run.settings.explanation.composites)
    if known and known["composites"] != wanted:
        write.set_attributes(run.store, group.name, {"explanation": {**known, "composites": wanted}})


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every row with the network and the clip that it was made from."""
    exported = export.plan(run, scope, False)
    if exported.waits_for or exported.todo:
        return Plan((), (), waits_for=exported.waits_for or export.NAME)
    check_target(run)
    todo = _todo(run, scope, force)
    parts = partition_names(_n_clips(run))
    groups = [group for group in groups_of(run.settings) if _is_asked_for(group, run, scope)]
    return Plan([f"{group.name}/{part}" for group in groups for part, _ in parts], todo)


def out_of_date(run: Run) -> bool:
    """Tell whether the store holds rows that today's settings, networks and clips would not make."""
    return any(len(item.empty) for item in _todo(run, Scope(folds=_NO_FOLD), False))


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Explain the clips of every partition to be made."""
    settings = run.settings.explanation
    explainers.check(settings)
    for group in {name: _group_of(run, name) for name in plan.partitions}.values():
        mine = to_json(_settings_of(group.kind, settings))
        about = {"explanation": mine, "engine": explainers.engine_of(settings)}
        write.set_attributes(run.store, group.name, about)
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
    store, first = job.run.store, job.rows.start
    held = {group: read_rows(store, group.name, _EMPTY[group.kind], job.rows) for group in job.made_from}
    for group, rows in job.empty.items():
        rows_of.put(held[group], rows - first, _EMPTY[group.kind])
    for block in job.blocks:
        n_batches = math.ceil(len(block.rows) / job.run.settings.explanation.batch_size)
        for rows in np.array_split(block.rows, max(1, n_batches)):
            for group, values in _explain(job, block, rows).items():
                made_from = job.made_from[group][rows - first]
                rows_of.put(held[group], rows - first, {**values, "made_from": made_from})
    for group, data in held.items():
        changed = [block.rows for block in job.blocks if group in block.groups]
        write.forget_rows(store, group.name, np.concatenate([job.empty[group], *changed]))
        write.write_rows(store, group.name, job.rows, data)


def _explain(job: ExplanationJob, block: Block, rows: np.ndarray) -> dict[Group, dict[str, np.ndarray]]:
    """Return the per-clip variables of every group of a block, for some of its rows."""
    batch = _batch(job, block, rows)
    of_maps, of_shares = (block.composites(kind) for kind in (MAPS, BY_TARGET))
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    asked = maps.targets_of(batch.label, job.target)
    if of_shares:
        found[BY_TARGET], predicted = _every_class(batch, job.n_classes, of_shares)
    if of_maps:
        # Where there are shares, maps explain the predicted class, which is among all that were explained.
        is_known = set(of_maps) <= set(of_shares)
        explained = predicted if is_known else batch.explainer.explain(batch.inputs, asked, of_maps)
        found[MAPS] = _of_maps(batch, asked, explained)
    return {group: found[group.kind][group.composite] for group in block.groups}


def _batch(job: ExplanationJob, block: Block, rows: np.ndarray) -> _Batch:
    store, settings = job.run.store, job.run.settings
    clips = read_rows(store, "clips", ("label", "valid_duration_s"), rows)
    inputs = read_inputs(
        store,
        job.representation,
        rows,
        channels=settings.training.channels,
        dynamic_range_db=settings.features.dynamic_range_db,
    )
    return _Batch(
        explainer=explainers.explainer_of(block.folder, block.digest, settings.explanation),
        inputs=inputs,
        label=clips["label"],
        valid=valid_frames(clips["valid_duration_s"], settings.features.duration_s),
    )


def _of_maps(batch: _Batch, asked: np.ndarray, found: Explanation) -> dict[str, dict[str, np.ndarray]]:
    """Return the variables of maps, by composite."""
    prediction = found.logits.argmax(axis=1)
    targets = np.where(asked == PREDICTED, prediction, asked)
    shared = {"label": batch.label, "prediction": prediction, "target": targets, "logits": found.logits}
    return {
        composite: {
            **shared,
            "relevance": relevance,
            "relevance_sum": maps.sum_of_relevance(relevance),
            "relevance_in_padding": maps.share_in_padding(relevance, batch.valid),
        }
        for composite, relevance in found.relevance.items()
    }


def _every_class(
    batch: _Batch, n_classes: int, composites: Sequence[str]
) -> tuple[dict[str, dict[str, np.ndarray]], Explanation]:
    """Explain every class in turn; return variables of shares by composite, and maps of the predicted class.

    The maps are bit by bit what a pass for ``PREDICTED`` gives: what is asked of other clips of the batch does
    not matter to a clip.
    """
    n_clips = len(batch.inputs)
    shares = {name: np.empty((n_clips, n_classes, N_BINS), np.float32) for name in composites}
    predicted = {name: np.empty((n_clips, N_BINS, N_FRAMES), np.float32) for name in composites}
    for number in range(n_classes):
        found = batch.explainer.explain(batch.inputs, np.full(n_clips, number), composites)
        is_predicted = found.logits.argmax(axis=1) == number
        for name, relevance in found.relevance.items():
            shares[name][:, number] = share_by_bin(np.maximum(relevance, 0), batch.valid)
            predicted[name][is_predicted] = relevance[is_predicted]
    return {name: {"share": share} for name, share in shares.items()}, Explanation(found.logits, predicted)


def _jobs(run: Run, todo: Mapping[str, RowsTodo]) -> list[ExplanationJob]:
    """Gather the units to be made by partition and representation: their composites share a forward pass."""
    clips = read_whole(run.store, "clips")
    networks = train.current(run)
    wanted = _wanted(run)
    gathered: dict[tuple[Representation, str], dict[Group, RowsTodo]] = {}
    for name, item in todo.items():
        group = _group_of(run, name)
        key = group.representation, name.rpartition("/")[2]
        gathered.setdefault(key, {})[group] = item
    parts = dict(partition_names(len(clips["clip"])))
    return [_job(run, items, parts[part], clips, networks, wanted) for (_, part), items in gathered.items()]


def _job(
    run: Run,
    items: Mapping[Group, RowsTodo],
    part: slice,
    clips: Mapping[str, np.ndarray],
    networks: Mapping[tuple[Representation, int], str],
    wanted: Mapping[Group, np.ndarray],
) -> ExplanationJob:
    representation = next(iter(items)).representation
    usable = np.flatnonzero(wanted[next(iter(items))] != rows_of.NOT_MADE)
    blocks = []
    for rows in _blocks_in(part, clips):
        fold = int(clips["fold"][rows[0]])
        folder = run.model(representation, fold)
        for chosen, groups in _by_rows(items, np.intersect1d(rows, usable)):
            blocks.append(Block(chosen, folder, networks[representation, fold], groups))
    return ExplanationJob(
        units=tuple(item.name for item in items.values()),
        run=run,
        representation=representation,
        rows=part,
        blocks=tuple(blocks),
        empty={
            group: np.concatenate([item.empty, np.setdiff1d(item.make, usable)])
            for group, item in items.items()
        },
        made_from={group: wanted[group][part] for group in items},
        target=check_target(run),
        n_classes=len(class_names(run)),
    )


def _by_rows(items: Mapping[Group, RowsTodo], rows: np.ndarray) -> list[tuple[np.ndarray, tuple[Group, ...]]]:
    """Return the rows to be explained with the groups that need each of them; alike rows together."""
    found: dict[tuple[Group, ...], list[int]] = {}
    for row in rows.tolist():
        groups = tuple(group for group, item in items.items() if row in item.make)
        if groups:
            found.setdefault(groups, []).append(row)
    return [(np.array(chosen), groups) for groups, chosen in found.items()]


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
    for group, wanted in _wanted(run).items():
        made = _made(run, group)
        make = asked & _is_asked_for(group, run, scope)
        reasons = rows_of.why(made, wanted, _WORDS)
        if force:
            reasons[wanted != rows_of.NOT_MADE] = rows_of.FORCED
        out_of_date = ~make & (made != wanted) & (made != rows_of.NOT_MADE)
        reasons[~make] = ""
        for name, part in partition_names(len(made)):
            todo += rows_of.todo(f"{group.name}/{name}", part, reasons, out_of_date)
    return todo


def _made(run: Run, group: Group) -> np.ndarray:
    """Return what every row of a group was made from."""
    if not (run.store / group.name).exists():
        return np.full(_n_clips(run), rows_of.NOT_MADE, dtype=object)
    return read_whole(run.store, group.name, ("made_from",))["made_from"]


def _wanted(run: Run) -> dict[Group, np.ndarray]:
    """Return what every row of every group should be made from."""
    networks = export.digests(run)
    inputs: dict[Representation, tuple[list[str], list[str]]] = {}
    for representation in run.settings.representations:
        clips = train.clips_of(run, representation)
        names = [train.unit_name(representation, fold) for fold in clips["fold"].tolist()]
        inputs[representation] = [networks.get(name, "") for name in names], clips["key"].tolist()
    return {
        group: rows_of.line(_recipe(group, run.settings.explanation), *inputs[group.representation])
        for group in groups_of(run.settings)
    }


def _recipe(group: Group, settings: ExplanationSettings) -> str:
    """Return a digest of all that rows of a group are made from, but for the network and the clip."""
    mine = _settings_of(group.kind, settings).model_copy(
        update={
            "composites": (group.composite,),
            "own": {name: rules for name, rules in settings.own.items() if name == group.composite},
            # Another machine: the same maps, but for rounding.
            "provider": "",
            "n_threads": settings.n_threads if explainers.needs_tensorflow(settings) else 1,
        }
    )
    return digest_of({"code": VERSIONS[group.kind], "engine": explainers.engine_of(settings), **to_json(mine)})


def groups_of(settings: Settings) -> list[Group]:
    """Return the groups that settings ask for: maps, and with target 'all' shares beside them."""
    kinds = (MAPS, BY_TARGET) if settings.explanation.target == ALL else (MAPS,)
    return [
        Group(kind, representation, composite)
        for representation in settings.representations
        for kind in kinds
        for composite in settings.explanation.composites
    ]


def of_maps(settings: ExplanationSettings) -> ExplanationSettings:
    """Return settings as maps are made by them: with target 'all', they explain the predicted class."""
    return settings.model_copy(update={"target": "predicted"}) if settings.target == ALL else settings


def _settings_of(kind: str, settings: ExplanationSettings) -> ExplanationSettings:
    return of_maps(settings) if kind == MAPS else settings


def _group_of(run: Run, unit: str) -> Group:
    """Return the group that a unit is a partition of."""
    return next(group for group in groups_of(run.settings) if group.name == unit.rpartition("/")[0])


def _is_asked_for(group: Group, run: Run, scope: Scope) -> bool:
    return group.representation in scope.representations_of(
        run.settings
    ) and group.composite in scope.composites_of(run.settings)


def _n_clips(run: Run) -> int:
    return len(read_whole(run.store, "clips", ("clip",))["clip"])


def class_names(run: Run) -> list[str]:
    """Return the names of the classes, in the order of their numbers."""
    names = attributes(run.store)["class_names"]
    return [str(name) for name in names] if isinstance(names, list) else []


def check_target(run: Run) -> int | str:
    """Return what maps explain: a word that ``maps.targets_of`` knows, or the number of a class.

    Raises
    ------
    ConfigError
        The target is neither a known word nor a class.
    """
    target = of_maps(run.settings.explanation).target
    if target in {"predicted", "label"}:
        return target
    names = class_names(run)
    if target not in names:
        raise ConfigError(
            f"explanation.target={target!r} is not 'all', 'predicted', 'label' or a class of this run: {names}"
        )
    return names.index(target)


def _remove_others(run: Run, groups: Sequence[Group]) -> None:
    """Remove what earlier settings asked for and these do not."""
    names = {group.name for group in groups}
    for kind in VERSIONS:
        if (run.store / kind).exists() and kind not in {group.kind for group in groups}:
            write.remove_group(run.store, kind)
        for path in sorted(run.store.glob(f"{kind}/*/*")):
            name = path.relative_to(run.store).as_posix()
            if name not in names and path.is_dir():
                write.remove_group(run.store, name)


def _create_group(run: Run, group: Group) -> None:
    axes = [variable.name for variable in GROUPS[group.kind] if variable.dims[0] in {"frequency", "time"}]
    known = read_whole(run.store, f"features/{group.representation}", axes)
    data = {**known, "class_name": np.array(class_names(run), dtype=object)}
    sizes = {
        "clip": _n_clips(run),
        "frequency": N_BINS,
        "time": N_FRAMES,
        "class_name": len(data["class_name"]),
    }
    marks = {"nominal": attributes(run.store)["nominal"]}
    write.write_group(run.store, group.name, data, attributes=marks, empty=_EMPTY[group.kind], sizes=sizes)


STAGE = Stage(NAME, plan, execute, prepare)
