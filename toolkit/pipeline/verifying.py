"""Whether the compiled graphs say what innvestigate says, on real clips of a run."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.config import QualitySettings, Representation, Settings
from toolkit.errors import ConfigError
from toolkit.lrp import maps
from toolkit.lrp.comparison import QUANTILES, Distances, distances, joined
from toolkit.lrp.engines.innvestigate import ANALYZERS
from toolkit.lrp.explainer import PREDICTED
from toolkit.pipeline import explainers
from toolkit.pipeline.events import Emit, StageDone, StageStarted, StepDone
from toolkit.pipeline.executors import Processes
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.run import Run, Scope
from toolkit.pipeline.stages import explain, export, train
from toolkit.store.read import check_version, read_rows
from toolkit.store.schema import OK

NAME = "verify"


@dataclass(frozen=True)
class VerifyingJob:
    """One network, and clips that it explains by both engines. Picklable."""

    name: str
    run: Run
    representation: Representation
    fold: int
    digest: str
    rows: np.ndarray
    composites: tuple[str, ...]
    target: int | str


@dataclass(frozen=True)
class Verified:
    """How far maps of one representation and composite lie apart."""

    representation: Representation
    composite: str
    distances: Distances

    @property
    def n_clips(self) -> int:
        """How many clips were compared."""
        return len(self.distances.error)

    def is_near_enough(self, quality: QualitySettings) -> bool:
        """Tell whether the maps agree as well as the settings ask for."""
        median, least = np.median(self.distances.error), self.distances.correlation.min()
        return bool(median <= quality.verify_tolerance and least >= quality.verify_correlation)


def verify(run: Run, scope: Scope, n_clips: int, n_jobs: int, emit: Emit) -> list[Verified]:
    """Explain clips of every network in the scope by both engines; return how far the maps lie apart.

    Clips are taken at even steps from the store, which holds them by class, fold and recording; each is
    explained by the network that held it out.

    Raises
    ------
    ConfigError
        There is no run, no finished network in the scope, or no composite that innvestigate has.
    DependencyError
        innvestigate is not installed here.
    """
    if not run.store.exists():
        raise ConfigError(f"{run.folder}: holds no run; make one with `toolkit run-all --out {run.folder}`")
    check_version(run.store)
    explainers.check(_with_engine(run.settings, explainers.INNVESTIGATE, compared(run, scope)).explanation)
    jobs = _jobs(run, scope, n_clips)
    began = time.monotonic()
    emit(StageStarted(NAME, len(jobs), len(jobs), ("networks",)))
    found: dict[tuple[Representation, str], list[Distances]] = {}
    workers = Processes(n_jobs)
    for job, result in workers.run(compare, jobs, lane=lambda job: job.representation):
        for composite, each in result.items():
            found.setdefault((job.representation, composite), []).append(each)
        emit(StepDone(NAME, job.name))
    emit(StageDone(NAME, len(jobs), time.monotonic() - began))
    return [Verified(kind, composite, joined(parts)) for (kind, composite), parts in sorted(found.items())]


def compared(run: Run, scope: Scope) -> tuple[str, ...]:
    """Return the composites in the scope that innvestigate has too.

    Raises
    ------
    ConfigError
        There are none.
    """
    asked = scope.composites_of(run.settings)
    known = tuple(name for name in asked if name in ANALYZERS)
    if not known:
        raise ConfigError(
            f"none of the composites {', '.join(asked)} is one of innvestigate's: {', '.join(ANALYZERS)}"
        )
    return known


def compare(job: VerifyingJob) -> Mapping[str, Distances]:
    """Explain the clips of a job by both engines; return how far their maps lie apart, by composite."""
    settings = job.run.settings
    inputs = read_inputs(
        job.run.store,
        job.representation,
        job.rows,
        channels=settings.training.channels,
        dynamic_range_db=settings.features.dynamic_range_db,
    )
    folder = job.run.model(job.representation, job.fold)
    ours, theirs = (
        explainers.explainer_of(folder, job.digest, _with_engine(settings, engine, job.composites).explanation)
        for engine in (explainers.ONNXRUNTIME, explainers.INNVESTIGATE)
    )
    labels = read_rows(job.run.store, "clips", ("label",), job.rows)["label"]
    # Both explain the class that the reference predicts, even where two logits are all but equal.
    asked = maps.targets_of(labels, job.target)
    prediction = theirs.explain(inputs, asked, ()).logits.argmax(axis=1)
    targets = np.where(asked == PREDICTED, prediction, asked)
    parts: dict[str, list[Distances]] = {name: [] for name in job.composites}
    n_batches = math.ceil(len(inputs) / settings.explanation.batch_size)
    for rows in np.array_split(np.arange(len(inputs)), n_batches):
        found, reference = (
            each.explain(inputs[rows], targets[rows], job.composites) for each in (ours, theirs)
        )
        for name in job.composites:
            parts[name].append(distances(found.relevance[name], reference.relevance[name]))
    return {name: joined(each) for name, each in parts.items()}


def lines(found: Sequence[Verified]) -> list[str]:
    """Return a table of what was found, line by line.

    Errors are largest differences of two cells as shares of the map's largest relevance.
    """
    head = ("", "clips", "median", "90 %", "99 %", "most", "> 1e-4", "correlation", "sums differ")
    rows = [head, *(_cells(each) for each in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  ".join([
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ])
        for row in rows
    ]


def _cells(each: Verified) -> tuple[str, ...]:
    far = each.distances
    ours, theirs = far.sums.T
    apart = np.abs(ours - theirs) / np.maximum(np.abs(theirs), np.finfo(np.float32).tiny)
    return (
        f"{each.representation} {each.composite}",
        str(each.n_clips),
        *(f"{value:.1e}" for value in np.quantile(far.error, QUANTILES)),
        f"{np.mean(far.error > 1e-4):.1%}",
        f"{far.correlation.min():.6f}",
        f"{np.median(apart):.1e}",
    )


def _jobs(run: Run, scope: Scope, n_clips: int) -> list[VerifyingJob]:
    """Return a job for every finished network in the scope that held out clips.

    Raises
    ------
    ConfigError
        There is none.
    """
    jobs = []
    finished = export.current(run)
    for representation in scope.representations_of(run.settings):
        clips = train.clips_of(run, representation)
        usable = (clips["status"] == OK) & (clips["key"] != "")
        digests = {
            fold: digest for (kind, fold), digest in train.current(run).items() if kind == representation
        }
        folds = [
            fold
            for fold in digests
            if scope.has_fold(fold) and train.unit_name(representation, fold) in finished
        ]
        rows = np.flatnonzero(usable & np.isin(clips["fold"], folds))
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(n_clips, len(rows))).round().astype(int))]
        for fold in folds:
            mine = chosen[clips["fold"][chosen] == fold]
            if len(mine):
                jobs.append(_job(run, scope, representation, fold, digests[fold], mine))
    if not jobs:
        raise ConfigError(
            f"{run.folder}: none of the networks asked for is finished and up to date: "
            f"`toolkit status --out {run.folder}` says why"
        )
    return jobs


def _job(
    run: Run, scope: Scope, representation: Representation, fold: int, digest: str, rows: np.ndarray
) -> VerifyingJob:
    return VerifyingJob(
        name=train.unit_name(representation, fold),
        run=run,
        representation=representation,
        fold=fold,
        digest=digest,
        rows=rows,
        composites=compared(run, scope),
        target=explain.check_target(run),
    )


def _with_engine(settings: Settings, engine: str, composites: tuple[str, ...]) -> Settings:
    chosen = settings.explanation.model_copy(update={"engine": engine, "composites": composites})
    return settings.model_copy(update={"explanation": chosen})
