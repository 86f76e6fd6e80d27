"""The chain of stages, and one pass over some of them: plan, work, record."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from toolkit.config import to_json
from toolkit.corpus.catalogue import FAULT
from toolkit.errors import ConfigError
from toolkit.pipeline import explainers, lock
from toolkit.pipeline.events import Emit, StageDone, StageStarted, StepDone
from toolkit.pipeline.executors import Processes
from toolkit.pipeline.files import sweep, write_json
from toolkit.pipeline.provenance import write_provenance
from toolkit.pipeline.run import PROVENANCE_NAME, SETTINGS_NAME, Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages import evaluate, explain, export, features, report, statistics, train
from toolkit.store import write
from toolkit.store.read import check_version, read_whole
from toolkit.store.schema import LEFT_OUT

STAGES: Mapping[str, Stage] = {
    module.NAME: module.STAGE for module in (features, train, export, explain, statistics, evaluate, report)
}


@dataclass(frozen=True)
class Request:
    """What one command asks for."""

    run: Run
    stages: tuple[str, ...]
    scope: Scope = field(default_factory=Scope)
    force: bool = False
    n_jobs: int = 1
    command: str = "toolkit"


@dataclass(frozen=True)
class Outcome:
    """What one command came to, and the pages to open."""

    pages: tuple[Path, ...]
    n_done: int
    n_left_out: int
    n_clips: int
    n_problems: int


def remembered(folder: Path) -> dict[str, object]:
    """Return the settings that a run recorded, or nothing for a run that is new.

    Raises
    ------
    ConfigError
        The record cannot be read.
    """
    path = folder / SETTINGS_NAME
    if not path.exists():
        return {}
    try:
        found: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}; remove it to begin anew with the defaults") from error
    return found


def plan_all(request: Request) -> dict[str, Plan]:
    """Return what each stage asked for would do, changing nothing."""
    check_scope(request)
    if request.run.store.exists() and features.NAME not in request.stages:
        check_version(request.run.store)
    plans: dict[str, Plan] = {}
    waits_for = ""
    for name in request.stages:
        if waits_for:
            plans[name] = Plan((), (), waits_for=waits_for)
            continue
        plans[name] = STAGES[name].plan(request.run, request.scope, request.force)
        if plans[name].todo or plans[name].waits_for:
            waits_for = name
    return plans


def carry_out(request: Request, emit: Emit) -> Outcome:
    """Do what is asked for, with the run's lock held.

    Raises
    ------
    ToolkitError
        There is no run, the lock is held, an input cannot be used, or a result fails its check. What was
        finished is kept.
    """
    run = request.run
    if not run.folder.exists() and features.NAME not in request.stages:
        run.check_exists()
    run_id = lock.new_run_id()
    started = _now()
    records: list[dict[str, object]] = []
    with lock.hold(run.folder, run_id=run_id, command=request.command) as descriptor:
        _sweep(run)
        tools = Tools(emit, Processes(request.n_jobs, descriptor))
        try:
            for name in request.stages:
                records.append(_carry_out_stage(STAGES[name], request, tools))
        finally:
            # A run that was stopped has computed something too.
            if any(record["done"] for record in records if record["stage"] != report.NAME):
                path = run.folder / PROVENANCE_NAME
                write_provenance(
                    path, run.settings, run_id=run_id, started=started, ended=_now(), stages=records
                )
        n_done = sum(int(str(record["done"])) for record in records)
        for name in request.stages:
            STAGES[name].check(run)
    return Outcome(_pages(request), n_done, *_left_out(run))


def _sweep(run: Run) -> None:
    """Remove what a run that was killed left half written, and nothing that is not ours."""
    write.sweep(run.store)
    sweep(run.folder / name for name in ("markers", "models", "reports", "corpus"))


def _carry_out_stage(stage: Stage, request: Request, tools: Tools) -> dict[str, object]:
    began = time.monotonic()
    if stage.name != features.NAME and request.run.store.exists():
        check_version(request.run.store)
    stage.prepare(request.run, tools)
    check_scope(request)
    if stage.name != report.NAME:
        _remember(request.run)
    plan = stage.plan(request.run, request.scope, request.force)
    if plan.waits_for:
        raise ConfigError(
            f"{stage.name}: needs {plan.waits_for} first; run `toolkit run-all --out {request.run.folder}`, "
            f"or `toolkit {plan.waits_for.split()[0]} --out {request.run.folder}`"
        )
    tools.emit(StageStarted(stage.name, len(plan.todo), len(plan.units), plan.reasons))
    if plan.todo:
        stage.execute(request.run, plan, tools, lambda step: tools.emit(StepDone(stage.name, step)))
    seconds = time.monotonic() - began
    tools.emit(StageDone(stage.name, len(plan.todo), seconds))
    return {"stage": stage.name, "done": len(plan.todo), "reasons": plan.reasons, "seconds": round(seconds, 3)}


def check_scope(request: Request) -> None:
    """Refuse folds, classes, representations, composites and targets that the run does not have.

    Raises
    ------
    ConfigError
        One of them is asked for.
    """
    run = request.run
    for option, asked, allowed_names in (
        ("--representation", request.scope.representations, run.settings.representations),
        ("--composite", request.scope.composites, run.settings.explanation.composites),
    ):
        for value in set(asked) - set(allowed_names):
            raise ConfigError(f"{option} {value}: not in the settings of this run: {', '.join(allowed_names)}")
    explainers.check_names(run.settings.explanation)
    evaluate.check_composite(run.settings)
    store = run.store
    if not store.exists():
        return
    explain.check_target(run)
    clips = read_whole(store, "clips", ("fold", "class_name"))
    for option, wanted, column in (
        ("--fold", request.scope.folds, "fold"),
        ("--class", request.scope.classes, "class_name"),
    ):
        known = np.unique(clips[column]).tolist()
        unknown = [value for value in wanted if value not in known]
        if unknown:
            allowed = ", ".join(str(value) for value in known)
            raise ConfigError(f"{option} {unknown[0]}: the corpus has no such {option[2:]}; it has: {allowed}")


def _remember(run: Run) -> None:
    path = run.folder / SETTINGS_NAME
    settings = to_json(run.settings)
    if not path.exists() or json.loads(path.read_text(encoding="utf-8")) != settings:
        write_json(path, settings)


def _pages(request: Request) -> tuple[Path, ...]:
    """Return the pages that the command was about."""
    if report.NAME not in request.stages:
        return ()
    asked = report.STAGE.plan(request.run, request.scope, False).units
    names = asked if request.scope.classes else ["index.html"]
    return tuple(request.run.reports / name for name in names)


def _left_out(run: Run) -> tuple[int, int, int]:
    status = read_whole(run.store, "clips", ("status",))["status"]
    severity = read_whole(run.store, "problems", ("severity",))["severity"]
    return int((status == LEFT_OUT).sum()), len(status), int((severity == FAULT).sum())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
