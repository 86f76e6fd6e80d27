"""What stands between the options of a command and the library: settings, progress, the last line."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.cli.progress import Watcher, printable, say
from toolkit.config import SYNTHETIC_DEFAULTS, Plain, Settings, from_environment, read_toml, resolve
from toolkit.errors import ConfigError, CorpusError, ExitCode
from toolkit.pipeline import chain, lock
from toolkit.pipeline.run import Plan, Run, Scope
from toolkit.store.read import read_whole
from toolkit.store.schema import LEFT_OUT

PROJECT_FILE = Path("toolkit.toml")


@dataclass(frozen=True)
class How:
    """In what way a command does its work."""

    n_jobs: int
    force: bool
    dry_run: bool


def perform(
    stage: str | None,
    out: Path,
    *,
    options: Mapping[str, object],
    scope: Mapping[str, Any],
    config: Path | None,
    how: How,
) -> tuple[ExitCode, str]:
    """Run one stage, or all of them, and say how it ended."""
    run = Run(out, settings_of(out, config, options))
    request = chain.Request(
        run=run,
        stages=(stage,) if stage else tuple(chain.STAGES),
        scope=Scope(**scope),
        force=how.force,
        n_jobs=how.n_jobs,
        command=shlex.join(["toolkit", *sys.argv[1:]]),
    )
    if how.dry_run:
        for name, plan in chain.plan_all(request).items():
            _show(name, plan)
        return ExitCode.DONE, "dry run; nothing was changed"
    with Watcher(out / "logs") as watcher:
        outcome = chain.carry_out(request, watcher)
    for page in outcome.pages:
        say(str(page))
    return _ended(outcome)


def status(out: Path, config: Path | None) -> tuple[ExitCode, str]:
    """Show the state of a run."""
    run = Run(out, settings_of(out, config, {}))
    if lock.is_held(out):
        say(f"at work   {lock.describe(lock.read_owner(out))}")
    if run.store.exists():
        _show_clips(run)
    try:
        plans = chain.plan_all(chain.Request(run, tuple(chain.STAGES)))
    except CorpusError as error:
        say(f"{'features':<10} {error}")
        plans = chain.plan_all(chain.Request(run, tuple(chain.STAGES)[1:]))
    for name, plan in plans.items():
        _show(name, plan)
    return ExitCode.DONE, "status shown"


def settings_of(out: Path, config: Path | None, options: Mapping[str, object]) -> Settings:
    """Return the settings of a run, from all layers of configuration.

    Raises
    ------
    ConfigError
        A layer holds something that cannot be used, or ``out`` is no folder.
    """
    file = config or (PROJECT_FILE if PROJECT_FILE.exists() else None)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; give the folder of a run")
    remembered = chain.remembered(out)
    asked: dict[str, Plain] = {
        str(file): read_toml(file) if file else {},
        "the environment": from_environment(os.environ),
        "the options": _from_options(options),
    }
    if any("source" in layer for layer in asked.values()):
        # Another source in the same folder begins anew, with nothing of what was set for the one before.
        same = resolve(asked).source == resolve({"remembered": remembered}).source
        remembered = remembered if same else {}
    layers = {f"{out}/settings.json": remembered, **asked}
    settings = resolve(layers)
    if settings.source.path is None:
        return resolve({"the synthetic corpus": SYNTHETIC_DEFAULTS, **layers})
    source = settings.source.model_copy(update={"path": settings.source.path.absolute()})
    return settings.model_copy(update={"source": source})


def _from_options(options: Mapping[str, object]) -> dict[str, object]:
    """Return the options that were given, as settings."""
    given = {name: value for name, value in options.items() if value is not None}
    settings: dict[str, object] = {}
    if "dataset" in given:
        settings["source"] = {"kind": "urbansound8k", "path": str(Path(str(given["dataset"])).absolute())}
    if "epochs" in given:
        settings["training"] = {"epochs": given["epochs"]}
    if "target" in given:
        settings["explanation"] = {"target": given["target"]}
    if "seed" in given:
        settings["seed"] = given["seed"]
    return settings


def _show(name: str, plan: Plan) -> None:
    if plan.waits_for:
        say(f"{name:<10} waits for {plan.waits_for}")
    elif not plan.todo:
        say(f"{name:<10} up to date ({len(plan.units)})")
    else:
        say(f"{name:<10} {len(plan.todo)} of {len(plan.units)} to do")
        for reason in plan.reasons:
            units = [todo.unit.name for todo in plan.todo if todo.reason == reason]
            more = f" and {len(units) - 3} more" if len(units) > 3 else ""
            say(f"{'':<10}   {', '.join(units[:3])}{more}: {reason}")


def _show_clips(run: Run) -> None:
    clips = read_whole(run.store, "clips", ("path", "status", "error"))
    left_out = clips["status"] == LEFT_OUT
    say(f"clips     {len(left_out)}, of which {int(left_out.sum())} left out")
    for path, error in zip(clips["path"][left_out], clips["error"][left_out], strict=True):
        say(f"{'':<10}{printable(f'{path}: {error}' if path not in error else error)}")


def _ended(outcome: chain.Outcome) -> tuple[ExitCode, str]:
    did = f"{outcome.n_done} steps" if outcome.n_done else "nothing was to do"
    faults = []
    if outcome.n_left_out:
        faults.append(f"{outcome.n_left_out} of {outcome.n_clips} clips left out")
    if outcome.n_problems:
        faults.append(f"{outcome.n_problems} faults in the catalogue")
    if faults:
        return ExitCode.CLIPS_LEFT_OUT, f"finished with {' and '.join(faults)}; {did}"
    return ExitCode.DONE, f"done; {did}"
