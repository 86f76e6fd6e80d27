"""Stage ``train``: one network per representation and fold, trained on the other folds.

The validation fold is the next one after the held-out fold; with fewer than three folds, whole recordings of
the training folds take its place. A clip of the held-out fold never has a say in its network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from toolkit.config import FeatureSettings, Representation, TrainingSettings, to_json
from toolkit.errors import CorpusError
from toolkit.network import runtime, training
from toolkit.network.architecture import VERSION as ARCHITECTURE_VERSION
from toolkit.network.training import split_validation
from toolkit.network.weights import weights_to_bytes
from toolkit.pipeline.files import digest_bytes, digest_of, write_bytes, write_json
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.markers import Marker, Markers, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages.features import row_digests
from toolkit.store.read import attributes, read_whole
from toolkit.store.schema import OK

NAME = "train"
VERSION = 1
WEIGHTS_NAME, HISTORY_NAME = "weights.npz", "training.json"
_FOLDS_FOR_VALIDATION_FOLD = 3


@dataclass(frozen=True)
class Split:
    """Rows of the store that one network learns from, and rows that choose its epoch."""

    training: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True)
class TrainingJob:
    """One network to be trained. Picklable."""

    name: str
    markers: Markers
    folder: Path
    store: Path
    representation: Representation
    split: Split
    labels: np.ndarray
    seed: int
    training: TrainingSettings
    features: FeatureSettings


def unit_name(representation: str, fold: int) -> str:
    """Return the name of one network's unit."""
    return f"{representation}/fold-{fold:02d}"


def parse_unit_name(name: str) -> tuple[str, int]:
    """Return the representation and fold of a network's unit."""
    representation, fold = name.split("/fold-")
    return representation, int(fold)


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every network with the clips and settings that it was made from."""
    if not run.store.exists():
        return Plan((), (), waits_for="features")
    known = _units(run)
    if set(scope.representations_of(run.settings)) - {representation for representation, _ in known}:
        return Plan((), (), waits_for="features")
    units = [
        unit
        for (representation, fold), unit in known.items()
        if scope.has_fold(fold) and representation in scope.representations_of(run.settings)
    ]
    return Plan(units, run.markers(NAME).todo(units, force=force))


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Train the networks of the plan."""
    runtime.require()
    markers = run.markers(NAME)
    todo = {item.unit.name: item for item in plan.todo}
    clips = read_whole(run.store, "clips")
    jobs = [_job(run, name, clips) for name in todo]
    for job, digest in tools.workers.run(train_network, jobs):
        files = tuple(str((job.folder / name).relative_to(run.folder)) for name in (WEIGHTS_NAME, HISTORY_NAME))
        markers.write(job.name, Marker(todo[job.name].unit.blocks, {"weights": digest}, files))
        done(job.name)


def train_network(job: TrainingJob) -> str:
    """Train one network, write its weights and history; return the digest of the weights."""
    runtime.prepare(n_threads=job.training.n_threads, seed=job.seed)
    trained = training.train(
        partial(_read, job),
        job.labels,
        training_rows=job.split.training,
        validation_rows=job.split.validation,
        settings=job.training,
        seed=job.seed,
    )
    content = weights_to_bytes(trained.weights)
    job.markers.remove(job.name)
    write_bytes(job.folder / WEIGHTS_NAME, content)
    record = {"history": trained.history, "best_epoch": trained.best_epoch}
    sizes = {"n_training_clips": len(job.split.training), "n_validation_clips": len(job.split.validation)}
    write_json(job.folder / HISTORY_NAME, {**record, **sizes})
    return digest_bytes(content)


def _read(job: TrainingJob, rows: np.ndarray) -> np.ndarray:
    return read_inputs(
        job.store,
        job.representation,
        rows,
        channels=job.training.channels,
        dynamic_range_db=job.features.dynamic_range_db,
    )


def current(run: Run) -> dict[tuple[Representation, int], str]:
    """Return the digest of the weights of every network that is made from today's clips and settings."""
    found = {}
    markers = run.markers(NAME)
    for (representation, fold), unit in _units(run).items():
        marker = markers.read(unit.name)
        if marker is not None and markers.is_current(unit):
            found[representation, fold] = str(marker.result["weights"])
    return found


def folds_of(clips: dict[str, np.ndarray]) -> list[int]:
    """Return the folds of a catalogue, ascending."""
    return sorted({int(fold) for fold in clips["fold"]})


def split_of(clips: dict[str, np.ndarray], fold: int, settings: TrainingSettings, seed: int) -> Split:
    """Return which rows the network of a fold is trained and validated on.

    Raises
    ------
    CorpusError
        Nothing is left to train or validate on outside the fold.
    """
    folds = folds_of(clips)
    usable = clips["status"] == OK
    rows = np.flatnonzero(usable & (clips["fold"] != fold))
    next_fold = folds[(folds.index(fold) + 1) % len(folds)]
    held_back = clips["fold"][rows] == next_fold
    if len(rows) and (len(folds) < _FOLDS_FOR_VALIDATION_FOLD or not held_back.any()):
        rng = np.random.default_rng([seed, fold])
        held_back = split_validation(clips["recording"][rows], settings.validation_share, rng)
    split = Split(rows[~held_back], rows[held_back])
    if not len(split.training) or not len(split.validation):
        raise CorpusError(
            f"fold {fold}: {len(split.training)} clips to train on and {len(split.validation)} to validate on "
            "outside the fold; a network needs at least two folds, and two recordings outside its own"
        )
    return split


def _units(run: Run) -> dict[tuple[Representation, int], Unit]:
    """Return the unit of every network whose representation has its features complete."""
    if attributes(run.store)["features"] != to_json(run.settings.features):
        return {}
    clips = read_whole(run.store, "clips")
    found = {}
    for representation in run.settings.representations:
        digests = row_digests(run, representation)
        if digests is not None:
            for fold in folds_of(clips):
                found[representation, fold] = _unit(run, representation, fold, clips, digests)
    return found


def _unit(run: Run, representation: str, fold: int, clips: dict[str, np.ndarray], digests: np.ndarray) -> Unit:
    split = split_of(clips, fold, run.settings.training, run.settings.seed)
    ingredients = {
        "code": [VERSION, ARCHITECTURE_VERSION],
        "settings": to_json(run.settings.training),
        "seed": run.settings.seed,
        "training clips": _digest_rows(split.training, clips, digests),
        "validation clips": _digest_rows(split.validation, clips, digests),
    }
    return Unit(unit_name(representation, fold), {"all": ingredients})


def _digest_rows(rows: np.ndarray, clips: dict[str, np.ndarray], digests: np.ndarray) -> str:
    return digest_of([[digests[row], int(clips["label"][row])] for row in rows])


def _job(run: Run, name: str, clips: dict[str, np.ndarray]) -> TrainingJob:
    representation, fold = parse_unit_name(name)
    settings = run.settings
    return TrainingJob(
        name=name,
        markers=run.markers(NAME),
        folder=run.model(representation, fold),
        store=run.store,
        representation=next(rep for rep in settings.representations if rep == representation),
        split=split_of(clips, fold, settings.training, settings.seed),
        labels=clips["label"],
        seed=_seed(settings.seed, representation, fold),
        training=settings.training,
        features=settings.features,
    )


def _seed(seed: int, representation: str, fold: int) -> int:
    """Return a seed of the network's own."""
    words = [seed, fold, *representation.encode()]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


STAGE = Stage(NAME, plan, execute)
