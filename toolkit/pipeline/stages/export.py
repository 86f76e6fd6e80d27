"""Stage ``export``: every trained network as ONNX, checked against Keras on real clips of its held-out fold.

When it has worked it also writes down how training went (group ``training/<representation>``).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.config import to_json
from toolkit.errors import QualityError
from toolkit.network import architecture, export, runtime
from toolkit.network.training import HISTORY
from toolkit.network.weights import read_weights
from toolkit.pipeline.files import digest_bytes, digest_of, write_bytes
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.markers import Marker, Markers, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages import features, train
from toolkit.store import write
from toolkit.store.read import read_whole
from toolkit.store.schema import OK

NAME = "export"
VERSION = 2
NETWORK_NAME, RELEVANCE_NAME = "network.onnx", "relevance.onnx"
"""A network, and the same with its relevance maps compiled in, which stage explain writes."""
SUMMARY = "summary"
N_CHECKED_CLIPS = 64


@dataclass(frozen=True)
class ExportJob:
    """One network to be exported. Picklable."""

    name: str
    markers: Markers
    folder: Path
    n_classes: int
    inputs: np.ndarray
    tolerance: float


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every exported network with the weights that it was made from."""
    trained = train.plan(run, scope, False)
    if trained.waits_for or trained.todo:
        return Plan((), (), waits_for=trained.waits_for or train.NAME)
    units = [
        _unit(run, representation, fold, digest)
        for (representation, fold), digest in train.current(run).items()
        if scope.has_fold(fold) and representation in scope.representations_of(run.settings)
    ]
    exported = {**current(run), **{unit.name: unit for unit in units}}
    summaries = [_summary_unit(run, name, exported) for name in scope.representations_of(run.settings)]
    markers = run.markers(NAME)
    todo = markers.todo(units, force=force)
    names = [unit.name for unit in (*units, *summaries)]
    return Plan(names, [*todo, *markers.todo(summaries, force="networks are new" if todo else force)])


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Export and check the networks of the plan.

    Raises
    ------
    QualityError
        An exported network computes something else than the network it was made from.
    """
    runtime.require()
    markers = run.markers(NAME)
    todo = {name: item.unit for name, item in plan.whole.items()}
    networks = [name for name in todo if not name.endswith(SUMMARY)]
    for job, result in tools.workers.run(export_network, [_job(run, name) for name in networks]):
        file = str((job.folder / NETWORK_NAME).relative_to(run.folder))
        markers.write(job.name, Marker(todo[job.name].made_from, result, (file,)))
        done(job.name)
    for name in sorted(set(todo) - set(networks)):
        markers.remove(name)
        _write_summary(run, name.removesuffix(f"/{SUMMARY}"), digest_of(todo[name].made_from))
        file = f"{run.store.name}/training/{name.removesuffix(f'/{SUMMARY}')}/zarr.json"
        markers.write(name, Marker(todo[name].made_from, files=(file,)))
        done(name)


def current(run: Run) -> dict[str, Unit]:
    """Return the unit of every network that is trained, exported and up to date."""
    markers = run.markers(NAME)
    units = (_unit(run, rep, fold, digest) for (rep, fold), digest in train.current(run).items())
    return {unit.name: unit for unit in units if not markers.outstanding(unit)}


def digests(run: Run) -> dict[str, str]:
    """Return the digest of the file of every network that is up to date, by the name of its unit."""
    markers = run.markers(NAME)
    found = {name: markers.read(name) for name in current(run)}
    return {name: str(marker.result["network"]) for name, marker in found.items() if marker is not None}


def export_network(job: ExportJob) -> dict[str, object]:
    """Export one network and compare it with Keras; return the digest of the file and what they differ by.

    Raises
    ------
    QualityError
        They differ by more than is allowed.
    """
    runtime.prepare(n_threads=1)
    model = architecture.build(job.n_classes)
    architecture.load_weights(model, read_weights(job.folder / train.WEIGHTS_NAME))
    content = export.to_onnx(model)
    ours = export.probabilities(content, job.inputs)
    difference = float(np.abs(ours - np.asarray(model(job.inputs, training=False))).max())
    if not difference <= job.tolerance:
        raise QualityError(
            f"{job.name}: ONNX and Keras differ by {difference:.2g} in a probability on {len(job.inputs)} real "
            f"clips, allowed are {job.tolerance:.2g} (quality.export_tolerance); the network was not exported"
        )
    job.markers.remove(job.name)
    (job.folder / RELEVANCE_NAME).unlink(missing_ok=True)
    write_bytes(job.folder / NETWORK_NAME, content)
    return {"network": digest_bytes(content), "difference": difference}


def _unit(run: Run, representation: str, fold: int, weights: str) -> Unit:
    ingredients = {"code": VERSION, "weights": weights, "tolerance": run.settings.quality.export_tolerance}
    return Unit(train.unit_name(representation, fold), ingredients)


def _summary_unit(run: Run, representation: str, exported: dict[str, Unit]) -> Unit:
    mine = [unit for name, unit in exported.items() if name.startswith(f"{representation}/")]
    networks = {unit.name: digest_of(unit.made_from) for unit in mine}
    catalogue = run.markers(features.NAME).read(features.CATALOGUE)
    known = digest_of(catalogue.made_from if catalogue else None)
    later = _later_clips(run, representation, [train.parse_unit_name(name)[1] for name in sorted(networks)])
    ingredients = {"code": VERSION, "networks": networks, "catalogue": known, "later clips": later}
    return Unit(f"{representation}/{SUMMARY}", ingredients)


def _job(run: Run, name: str) -> ExportJob:
    representation, fold = train.parse_unit_name(name)
    clips = read_whole(run.store, "clips")
    held_out = np.flatnonzero((clips["fold"] == fold) & (clips["status"] == OK))
    others = np.flatnonzero(clips["status"] == OK)
    rows = _spread(held_out if len(held_out) else others)
    settings = run.settings
    inputs = read_inputs(
        run.store,
        representation,
        rows,
        channels=settings.training.channels,
        dynamic_range_db=settings.features.dynamic_range_db,
    )
    n_classes = int(clips["label"].max()) + 1
    return ExportJob(
        name=name,
        markers=run.markers(NAME),
        folder=run.model(representation, fold),
        n_classes=n_classes,
        inputs=inputs,
        tolerance=settings.quality.export_tolerance,
    )


def _spread(rows: np.ndarray) -> np.ndarray:
    """Return clips from all over the fold, so that every class has some."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, N_CHECKED_CLIPS).round().astype(int))]


def _write_summary(run: Run, representation: str, key: str) -> None:
    """Write how the training of every exported network went."""
    names = sorted(name for name in current(run) if name.startswith(f"{representation}/"))
    if not names:
        return
    folds = [train.parse_unit_name(name)[1] for name in names]
    records = [_record(run.model(representation, fold) / train.HISTORY_NAME) for fold in folds]
    markers = run.markers(NAME)
    differences = [marker.result["difference"] for name in names if (marker := markers.read(name))]
    n_epochs = max(len(record["history"]["loss"]) for record in records)
    data = {
        name: np.array([_padded(record["history"][name], n_epochs) for record in records])
        for name in HISTORY.values()
    }
    counts = ("best_epoch", "n_training_clips", "n_validation_clips")
    write.write_group(
        run.store,
        f"training/{representation}",
        {
            **data,
            **{name: np.array([record[name] for record in records], np.int64) for name in counts},
            "fold": np.array(folds, np.int64),
            "n_later_clips": np.array(_later_clips(run, representation, folds), np.int64),
            "epoch": np.arange(1, n_epochs + 1, dtype=np.int64),
            "export_difference": np.array(differences, np.float64),
        },
        attributes={"training": to_json(run.settings.training), "seed": run.settings.seed, "key": key},
    )


def _later_clips(run: Run, representation: str, folds: list[int]) -> list[int]:
    clips = train.clips_of(run, representation)
    return [train.n_later_clips(run, representation, fold, clips) for fold in folds]


def _record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def _padded(values: list[float], length: int) -> list[float]:
    return values + [float("nan")] * (length - len(values))


STAGE = Stage(NAME, plan, execute)
