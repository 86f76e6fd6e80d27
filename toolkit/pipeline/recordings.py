"""Files that are not of the corpus, classified and explained by the networks of a finished run.

Every network has a say, as none of them learned from the file; a file that turns out to be a clip of the corpus
is judged by the network that held it out alone. Each file gives arrays and a page in RUN/recordings, named by
the file and by its content; the run's own store is read and never changed.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.config import Representation, Settings
from toolkit.errors import ConfigError, CorpusError
from toolkit.pipeline import explainers, lock
from toolkit.pipeline.events import Emit, StageDone, StageStarted, StepDone, Trouble
from toolkit.pipeline.executors import Processes, Serial
from toolkit.pipeline.files import sweep, write_bytes
from toolkit.pipeline.judging import JudgingJob, Network, judge
from toolkit.pipeline.listening import ListeningJob, Recording, about_of, fill_store, listen
from toolkit.pipeline.recognition import Corpus, Recognised, corpus_of, recognise
from toolkit.pipeline.run import Run, Scope, Tools
from toolkit.pipeline.stages import explain, export, features, statistics, train
from toolkit.reporting import recording as pages
from toolkit.store import write
from toolkit.store.read import read_whole
from toolkit.store.schema import OK

FOLDER = "recordings"
"""Where the results lie, in the folder of the run."""
_LONGEST_STEM = 80
_DIGITS = 8
Networks = Mapping[Representation, tuple[Network, ...]]


@dataclass(frozen=True)
class Request:
    """Which files to explain, and how."""

    run: Run
    files: tuple[Path, ...]
    scope: Scope = field(default_factory=Scope)
    target: str | None = None
    """What maps explain, 'predicted' ('all' too) or a class's name; None: what the settings of the run say."""
    windows: bool = False
    """Whether to take all of a long file, a clip's length at a time, or its first seconds alone."""
    n_jobs: int = 1
    command: str = "toolkit"

    @property
    def settings(self) -> Settings:
        """The settings of the run, with the target that is asked for: of a file, maps alone are made."""
        asked = {} if self.target is None else {"target": self.target}
        explanation = self.run.settings.explanation.model_copy(update=asked)
        return self.run.settings.model_copy(update={"explanation": explain.of_maps(explanation)})


@dataclass(frozen=True)
class Outcome:
    """The pages written, and how much could not be explained."""

    pages: tuple[Path, ...]
    n_files: int
    n_files_left_out: int
    n_windows: int
    """Windows of the files that have a page."""
    n_windows_left_out: int


@dataclass(frozen=True)
class _Heard:
    """A file that was read, with the clips of the corpus that each of its windows is."""

    recording: Recording
    recognised: tuple[Recognised, ...]

    @property
    def key(self) -> str:
        """Name of its page and arrays: of the file and of what is in it."""
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", self.recording.path.stem)[:_LONGEST_STEM]
        return f"{stem}-{self.recording.content[:_DIGITS]}"

    def has_say(self, networks: Sequence[Network]) -> np.ndarray:
        """Return which networks may judge which windows, booleans, shape (fold, clip)."""
        may = [[known.may_speak(network.fold) for known in self.recognised] for network in networks]
        return np.array(may, bool) & (self.recording.states["status"] == OK)

    def is_judged(self, networks: Networks) -> np.ndarray:
        """Return which windows some network may judge, booleans, shape (clip,)."""
        return np.concatenate([self.has_say(known) for known in networks.values()]).any(axis=0)


def networks_of(request: Request) -> Networks:
    """Return the finished networks that a request is about, changing nothing.

    Raises
    ------
    ConfigError
        There are none, or the request asks for what the run does not have.
    """
    run = request.run
    run.check_exists()
    _refuse_unknown(request)
    found: dict[Representation, list[Network]] = {}
    known = [
        representation
        for representation in request.scope.representations_of(run.settings)
        # Networks are to be shown what they learned from: spectrograms made in the same way.
        if features.are_made_as_today(run, representation)
    ]
    for name, unit in export.current(run).items():
        kind, fold = train.parse_unit_name(name)
        for representation in known:
            if kind == representation and request.scope.has_fold(fold):
                network = Network(fold, run.model(representation, fold), str(unit.made_from["weights"]))
                found.setdefault(representation, []).append(network)
    if not found:
        raise ConfigError(
            f"{run.folder}: none of the networks asked for is finished and up to date: "
            f"`toolkit status --out {run.folder}` says why, `toolkit run-all --out {run.folder}` makes them"
        )
    return {name: tuple(sorted(each, key=lambda network: network.fold)) for name, each in found.items()}


def explain_files(request: Request, emit: Emit) -> Outcome:
    """Classify and explain every file that can be read, with the run's lock held.

    Raises
    ------
    ToolkitError
        The lock is held, the request asks for what the run does not have, or no file can be used. What was
        finished is kept.
    """
    run = request.run
    run.check_exists()
    explainers.check(run.settings.explanation)
    with lock.hold(run.folder, run_id=lock.new_run_id(), command=request.command) as descriptor:
        tools = Tools(emit, Processes(request.n_jobs, descriptor))
        networks = networks_of(request)
        files = _each_once(request.files)
        _sweep(run)
        try:
            heard = _hear(request, files, networks, tools)
            written = dict(_explain(request, heard, networks, tools))
        finally:
            _sweep(run)
    judged = np.concatenate([each.is_judged(networks) for each in heard])
    return Outcome(
        # In the order of the command, not in that in which they were finished.
        pages=tuple(dict.fromkeys(written[each.key] for each in heard)),
        n_files=len(files),
        n_files_left_out=len(files) - len(heard),
        n_windows=len(judged),
        n_windows_left_out=int((~judged).sum()),
    )


def _refuse_unknown(request: Request) -> None:
    """Refuse what the run does not have, or what means nothing for files.

    Raises
    ------
    ConfigError
        It is asked for.
    """
    run, scope, settings = request.run, request.scope, request.settings
    folds = np.unique(read_whole(run.store, "clips", ("fold",))["fold"]).tolist()
    for option, asked, allowed in (
        ("--representation", scope.representations, settings.representations),
        ("--composite", scope.composites, settings.explanation.composites),
        ("--fold", scope.folds, folds),
    ):
        unknown = [value for value in asked if value not in allowed]
        if unknown:
            known = ", ".join(str(value) for value in allowed)
            raise ConfigError(f"{option} {unknown[0]}: this run has no such {option[2:]}; it has: {known}")
    if explain.check_target(Run(run.folder, settings)) == "label":
        raise ConfigError("--target label: a file has no label; give 'predicted' or the name of a class")
    if request.windows and settings.source.kind == "pictures":
        raise ConfigError("--windows: a spectrogram picture holds one clip and cannot be cut; leave it out")


def _each_once(files: Sequence[Path]) -> list[Path]:
    """Return every file once, by whatever paths it is named."""
    named: dict[str, Path] = {}
    for path in files:
        named.setdefault(os.path.realpath(path), path)
    return list(named.values())


def _hear(request: Request, files: Sequence[Path], networks: Networks, tools: Tools) -> list[_Heard]:
    """Return the files that can be explained, and tell what is wrong with the others.

    Raises
    ------
    CorpusError
        None can be.
    """
    jobs = [ListeningJob(path, request.settings, tuple(networks), request.windows) for path in files]
    began = time.monotonic()
    tools.emit(StageStarted("read", len(jobs), len(jobs), ("files given",)))
    corpus = corpus_of(request.run, networks)
    # A process of its own would take longer to start than one file takes to read.
    workers = tools.workers if len(jobs) > 1 else Serial()
    found = {}
    for job, result in workers.run(listen, jobs):
        each = result if isinstance(result, str) else _Heard(result, _recognised(corpus, result))
        why = each if isinstance(each, str) else _why_silent(each, networks)
        if why or isinstance(each, str):
            tools.emit(Trouble(str(job.path), why))
        else:
            found[job.path] = each
        tools.emit(StepDone("read", job.path.name))
    tools.emit(StageDone("read", len(jobs), time.monotonic() - began))
    if not found:
        raise CorpusError(f"none of the {len(files)} files can be explained, for the reasons above")
    return [found[path] for path in files if path in found]


def _recognised(corpus: Corpus, recording: Recording) -> tuple[Recognised, ...]:
    seconds = recording.states["valid_duration_s"]
    return tuple(
        recognise(
            corpus,
            [features.features_digest(level[row], seconds[row]) for level in recording.level_db.values()],
            recording.content,
        )
        for row in range(len(recording.clips))
    )


def _why_silent(heard: _Heard, networks: Networks) -> str:
    """Return why no network may judge any window of a file; nothing if one may."""
    if heard.is_judged(networks).any():
        return ""
    known = next(each for each in heard.recognised if each.folds)
    folds = ", ".join(str(fold) for fold in sorted(known.folds))
    if len(known.folds) > 1:
        return f"is in the corpus as {known}, in the folds {folds}: no network held out all copies"
    return (
        f"is in the corpus as {known}: only the network of fold {folds}, which held it out, may judge it, and "
        "that one is not finished, or not among those asked for"
    )


def _explain(
    request: Request, heard: Sequence[_Heard], networks: Networks, tools: Tools
) -> Iterator[tuple[str, Path]]:
    """Have the networks judge every file; write its arrays and its page when they are done with it."""
    run, folder = request.run, request.run.folder / FOLDER
    overview = _overview_store(run)
    left: dict[str, int] = {}
    closing: dict[str, ExitStack] = {}
    jobs: list[JudgingJob] = []
    for each in heard:
        if each.key not in closing:
            closing[each.key] = ExitStack()
            about = {**about_of(each.recording, request.settings), "class_names": explain.class_names(run)}
            new = write.new_store(folder / f"{each.key}.zarr", about)
            store = closing[each.key].enter_context(new)
            fill_store(store, each.recording, request.settings)
            jobs += [_job(request, each, store, *known) for known in networks.items()]
            left[each.key] = len(networks)
    began = time.monotonic()
    tools.emit(StageStarted("explain", len(jobs), len(jobs), ("files given",)))
    for job, _ in tools.workers.run(judge, jobs, lane=lambda job: job.representation):
        left[job.name] -= 1
        if not left[job.name]:
            closing[job.name].close()
            page = folder / f"{job.name}.html"
            write_bytes(page, pages.render(folder / f"{job.name}.zarr", overview).encode())
            yield job.name, page
        tools.emit(StepDone("explain", f"{job.name} {job.representation}"))
    tools.emit(StageDone("explain", len(jobs), time.monotonic() - began))


def _job(
    request: Request, heard: _Heard, store: Path, representation: Representation, networks: tuple[Network, ...]
) -> JudgingJob:
    settings = request.settings
    return JudgingJob(
        name=heard.key,
        store=store,
        representation=representation,
        networks=networks,
        has_say=heard.has_say(networks),
        corpus_clip=np.array([str(known) for known in heard.recognised], dtype=object),
        settings=settings,
        composites=request.scope.composites_of(settings),
        class_names=tuple(explain.class_names(request.run)),
        target=explain.check_target(Run(request.run.folder, settings)),
    )


def _overview_store(run: Run) -> Path | None:
    """Return the store that tells how well the networks classify, if what it tells is of today's networks."""
    if not (run.reports / "index.html").exists():
        return None
    planned = statistics.plan(run, Scope(), False)
    return None if planned.todo or planned.waits_for else run.store


def _sweep(run: Run) -> None:
    """Remove what was left half written."""
    folder = run.folder / FOLDER
    # Keys hold no dot, so what comes before the first one tells whose store it was to be.
    for key in {path.name.split(".")[0] for path in folder.glob("*.zarr.*.wip")}:
        write.sweep(folder / f"{key}.zarr")
    sweep([folder])
