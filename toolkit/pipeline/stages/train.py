"""Stage ``train``: one network per representation and fold, trained on the other folds.

The validation fold is the next one after the held-out fold; with fewer than three folds, whole recordings of
the training folds take its place. A clip of the held-out fold never has a say in its network.

What a corpus that changes means for networks: a network stands as long as every clip that it learned from or
was chosen by is still there, unchanged and outside its fold. Clips that come later are explained by the
networks that there are. A clip that is changed or gone, another set of classes, other settings, or
``training.later_clips = "retrain"`` make a new network; so does ``toolkit train --force``, on all clips.
"""

from collections import Counter
from collections.abc import Callable, Mapping
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
from toolkit.pipeline import reading
from toolkit.pipeline.files import digest_bytes, digest_of, write_bytes, write_json
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.markers import Marker, Markers, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages.features import is_complete, row_digests
from toolkit.store.read import attributes, read_whole

NAME = "train"
VERSION = 2
WEIGHTS_NAME, HISTORY_NAME = "weights.npz", "training.json"
_FOLDS_FOR_VALIDATION_FOLD = 3
_ABOUT_CLIPS = ("strict_groups", "later_clips")
"""Settings that show in the clips that a network is made from."""
Clips = dict[str, np.ndarray]


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
    wanted = scope.representations_of(run.settings)
    if not _has_features(run) or not all(is_complete(run, representation) for representation in wanted):
        return Plan((), (), waits_for="features")
    units = [
        _anew(run, representation, fold, clips_of(run, representation)) if force else unit
        for (representation, fold), unit in _units(run).items()
        if scope.has_fold(fold) and representation in wanted
    ]
    return Plan([unit.name for unit in units], run.markers(NAME).todo(units, force=force))


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Train the networks of the plan."""
    runtime.require()
    markers = run.markers(NAME)
    clips: dict[str, Clips] = {name: clips_of(run, name) for name in run.settings.representations}
    jobs = [_job(run, name, clips) for name in plan.whole]
    for job, digest in tools.workers.run(train_network, jobs):
        files = tuple(str((job.folder / name).relative_to(run.folder)) for name in (WEIGHTS_NAME, HISTORY_NAME))
        learned = _split_keys(clips[job.representation], job.split)
        result = {"weights": digest, "training": learned[0], "validation": learned[1]}
        markers.write(job.name, Marker(plan.whole[job.name].unit.made_from, result, files))
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
        if marker is not None and not markers.outstanding(unit):
            found[representation, fold] = str(marker.result["weights"])
    return found


def n_later_clips(run: Run, representation: str, fold: int, clips: Clips) -> int:
    """Return how many clips a network trained today would learn from or be chosen by, and this one was not."""
    today = split_of(clips, fold, run.settings.training, run.settings.seed)
    kept = _split_as_trained(run, representation, fold, clips) or today
    rows = [np.concatenate([split.training, split.validation]) for split in (today, kept)]
    return len(np.setdiff1d(*rows))


def folds_of(clips: Clips) -> list[int]:
    """Return the folds of a catalogue, ascending."""
    return sorted({int(fold) for fold in clips["fold"]})


def split_of(clips: Clips, fold: int, settings: TrainingSettings, seed: int) -> Split:
    """Return which rows the network of a fold is trained and validated on.

    Raises
    ------
    CorpusError
        Nothing is left to train or validate on outside the fold.
    """
    folds = folds_of(clips)
    rows = _allowed(clips, fold, settings)
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


def _allowed(clips: Clips, fold: int, settings: TrainingSettings) -> np.ndarray:
    """Return the rows that may have a say in the network of a fold."""
    allowed = (clips["key"] != "") & (clips["fold"] != fold)
    if settings.strict_groups:
        pairs = set(zip(clips["recording"].tolist(), clips["fold"].tolist(), strict=True))
        counts = Counter(recording for recording, _ in pairs)
        allowed &= np.array([counts[name] == 1 for name in clips["recording"].tolist()])
    return np.flatnonzero(allowed)


def _split_as_trained(run: Run, representation: str, fold: int, clips: Clips) -> Split | None:
    """Return the clips that a network was made from, if all of them are still there and allowed."""
    marker = run.markers(NAME).read(unit_name(representation, fold))
    if marker is None or run.settings.training.later_clips == "retrain":
        return None
    available: dict[str, list[int]] = {}
    for row in _allowed(clips, fold, run.settings.training)[::-1]:
        available.setdefault(clips["key"][row], []).append(int(row))
    try:
        training, validation = (
            [available[key].pop() for key in marker.result[name]] for name in ("training", "validation")
        )
    except (KeyError, IndexError):
        return None
    return Split(np.array(training, np.int64), np.array(validation, np.int64))


def clips_of(run: Run, representation: str) -> Clips:
    """Return the catalogue with a ``key`` of each clip, of its features and its class; '' where it has none."""
    clips = read_whole(run.store, "clips", ("status", "fold", "label", "class_name", "recording"))
    digests = row_digests(run, representation)
    pairs = zip(digests.tolist(), clips["class_name"].tolist(), strict=True)
    keys = [clip_key(*pair) if pair[0] else "" for pair in pairs]
    return {**clips, "key": np.array(keys, dtype=object)}


def clip_key(features_digest: str, class_name: str) -> str:
    """Return what tells a clip, as networks are shown it, from any other."""
    return digest_of((features_digest, class_name))


def _split_keys(clips: Clips, split: Split) -> tuple[list[str], list[str]]:
    return clips["key"][split.training].tolist(), clips["key"][split.validation].tolist()


def _units(run: Run) -> dict[tuple[Representation, int], Unit]:
    """Return the unit of every network that stands, or can be made because its features are complete."""
    if not _has_features(run):
        return {}
    found = {}
    for representation in run.settings.representations:
        clips = clips_of(run, representation)
        complete = is_complete(run, representation)
        for fold in folds_of(clips):
            standing = _standing(run, representation, fold, clips)
            if standing is not None or complete:
                found[representation, fold] = standing or _anew(run, representation, fold, clips)
    return found


def _has_features(run: Run) -> bool:
    return attributes(run.store)["features"] == to_json(reading.analysis(run.settings))


def _standing(run: Run, representation: str, fold: int, clips: Clips) -> Unit | None:
    """Return the unit of a network that may stand, on the clips that it was made from."""
    as_trained = _split_as_trained(run, representation, fold, clips)
    if as_trained is None:
        return None
    unit = _unit_on(as_trained, run, unit_name(representation, fold), clips)
    return None if run.markers(NAME).outstanding(unit) else unit


def _anew(run: Run, representation: str, fold: int, clips: Clips) -> Unit:
    """Return the unit of a network on the clips of today."""
    split = split_of(clips, fold, run.settings.training, run.settings.seed)
    return _unit_on(split, run, unit_name(representation, fold), clips)


def _unit_on(split: Split, run: Run, name: str, clips: Clips) -> Unit:
    training, validation = _split_keys(clips, split)
    settings = to_json(run.settings.training).items()
    ingredients = {
        "code": [VERSION, ARCHITECTURE_VERSION],
        "settings": {key: value for key, value in settings if key not in _ABOUT_CLIPS},
        "seed": run.settings.seed,
        "classes": attributes(run.store)["class_names"],
        "training clips": digest_of(sorted(training)),
        "validation clips": digest_of(sorted(validation)),
    }
    return Unit(name, ingredients)


def _job(run: Run, name: str, clips: Mapping[str, Clips]) -> TrainingJob:
    representation, fold = parse_unit_name(name)
    settings = run.settings
    return TrainingJob(
        name=name,
        markers=run.markers(NAME),
        folder=run.model(representation, fold),
        store=run.store,
        representation=next(rep for rep in settings.representations if rep == representation),
        split=split_of(clips[representation], fold, settings.training, settings.seed),
        labels=clips[representation]["label"],
        seed=_seed(settings.seed, representation, fold),
        training=settings.training,
        features=settings.features,
    )


def _seed(seed: int, representation: str, fold: int) -> int:
    """Return a seed of the network's own."""
    words = [seed, fold, *representation.encode()]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


STAGE = Stage(NAME, plan, execute)
