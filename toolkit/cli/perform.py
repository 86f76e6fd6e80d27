"""What stands between the options of a command and the library: settings, progress, the last line."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.cli.progress import Watcher, say
from toolkit.config import (
    Plain,
    Settings,
    SourceSettings,
    from_environment,
    read_toml,
    resolve,
)
from toolkit.errors import ConfigError, CorpusError, ExitCode, QualityError, printable
from toolkit.pipeline import (
    chain,
    clip_page,
    comparing,
    drawing,
    explainers,
    lock,
    reading,
    recordings,
    rows,
    verifying,
)
from toolkit.pipeline.files import write_bytes
from toolkit.pipeline.run import Plan, Run, Scope
from toolkit.pipeline.stages import statistics
from toolkit.reporting import comparison
from toolkit.reporting.summary import verdict_table
from toolkit.store.read import read_whole
from toolkit.store.schema import LEFT_OUT

PROJECT_FILE = Path("toolkit.toml")
_SYNTHETIC: Mapping[str, Plain] = {"no source named": {"source": {"kind": "synthetic"}}}
"""The layer below all others."""


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
        command=_command(),
    )
    if how.dry_run:
        for name, plan in chain.plan_all(request).items():
            _show(name, plan)
        return ExitCode.DONE, "dry run; nothing was changed"
    with Watcher(out / "logs") as watcher:
        outcome = chain.carry_out(request, watcher)
    for page in outcome.pages:
        say(str(page))
    if stage == statistics.NAME and (run.store / "statistics").exists():
        _show_verdicts(run.store)
    return _ended(outcome)


def _show_verdicts(store: Path) -> None:
    """Print what can be said of every class, a line for each representation."""
    table = verdict_table(store)
    for line in table.legend:
        say(line)
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    for row in (table.header, *table.rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def explain_files(
    files: Sequence[Path],
    out: Path,
    *,
    options: Mapping[str, Any],
    scope: Mapping[str, Any],
    config: Path | None,
    how: How,
) -> tuple[ExitCode, str]:
    """Explain files that are not of the corpus, and say how it ended."""
    request = recordings.Request(
        run=Run(out, settings_of(out, config, {name: options[name] for name in ("engine", "provider")})),
        files=tuple(files),
        scope=Scope(**scope),
        target=options["target"],
        windows=bool(options["windows"]),
        n_jobs=how.n_jobs,
        command=_command(),
    )
    if how.dry_run:
        for representation, networks in recordings.networks_of(request).items():
            folds = ", ".join(str(network.fold) for network in networks)
            say(f"{representation:<10} networks of the folds {folds}")
        return ExitCode.DONE, "dry run; nothing was changed"
    with Watcher(out / "logs") as watcher:
        outcome = recordings.explain_files(request, watcher)
    for page in outcome.pages:
        say(str(page))
    return _explained(outcome)


def report_clips(
    names: Sequence[str], out: Path, *, config: Path | None, dry_run: bool
) -> tuple[ExitCode, str]:
    """Write the pages of single clips, and say where they are."""
    run = Run(out, settings_of(out, config, {}))
    if dry_run:
        for page in clip_page.find(run, names).values():
            say(str(page))
        return ExitCode.DONE, "dry run; nothing was changed"
    pages = clip_page.write_pages(run, names, _command())
    for page in pages:
        say(str(page))
    return ExitCode.DONE, f"done; {len(pages)} {'page' if len(pages) == 1 else 'pages'}"


def compile_lrp(model: Path, composites: Sequence[str], output: Path, config: Path | None) -> None:
    """Compile relevance maps into a network, with composites of the toolkit's or of the settings' own.

    Raises
    ------
    ConfigError
        A composite is not known, or ``output`` cannot be written.
    """
    from toolkit.lrp.compiler import compile_relevance

    _refuse_folder(output)
    if output.resolve() == model.resolve():
        raise ConfigError(f"-o {output}: is the network itself; give another name")
    settings = resolve({**_SYNTHETIC, **_asked(config, {})}).explanation
    compiled = compile_relevance(model, explainers.composites_of(settings, composites))
    content = compiled.SerializeToString(deterministic=True)
    _write(output, content)
    say(f"{output}: {len(compiled.graph.node)} nodes, {len(content) / 1e6:.1f} MB; outputs:")
    for each in compiled.graph.output:
        say(f"  {each.name}")


def compare(first: Path, second: Path, output: Path) -> tuple[ExitCode, str]:
    """Write the page on what changed between two runs, and print its first sentences."""
    _refuse_folder(output)
    page = comparing.compare(first, second)
    _write(output, comparison.render(page).encode())
    for sentence in (*page.sentences, *page.warnings):
        say(printable(sentence))
    say(printable(output))
    return ExitCode.DONE, "done; the runs are compared"


def _refuse_folder(output: Path) -> None:
    """Refuse to write what is no file, before any work.

    Raises
    ------
    ConfigError
        It is a folder, or something else that is no file.
    """
    if output.exists() and not output.is_file():
        raise ConfigError(f"-o {output}: is no file; give the name of one")


def _write(output: Path, content: bytes) -> None:
    """Put what was asked for in its place.

    Raises
    ------
    ConfigError
        It cannot be written.
    """
    try:
        write_bytes(output, content)
    except OSError as error:
        raise ConfigError(f"-o {output}: cannot be written ({error.strerror})") from error


def verify(
    out: Path,
    *,
    scope: Mapping[str, Any],
    n_clips: int,
    n_jobs: int,
    options: Mapping[str, object],
    config: Path | None,
) -> tuple[ExitCode, str]:
    """Compare the engines on clips of a run, print how far they lie apart, and say whether that is near enough.

    Raises
    ------
    QualityError
        It is not.
    """
    settings = settings_of(out, config, options)
    run = Run(out, settings)
    chain.check_scope(chain.Request(run, (), Scope(**scope)))
    with Watcher(out / "logs") as watcher:
        found = verifying.verify(run, Scope(**scope), n_clips, n_jobs, watcher)
    for line in verifying.lines(found):
        say(line)
    compared = {each.composite for each in found}
    for name in (each for each in Scope(**scope).composites_of(settings) if each not in compared):
        say(f"not compared: {name}, which innvestigate does not have")
    failed = [each for each in found if not each.is_near_enough(settings.quality)]
    if failed:
        names = ", ".join(f"{each.representation} {each.composite}" for each in failed)
        raise QualityError(
            f"{names}: the engines differ by more than quality.verify_tolerance="
            f"{settings.quality.verify_tolerance:g} or correlate by less than quality.verify_correlation="
            f"{settings.quality.verify_correlation:g}"
        )
    return ExitCode.DONE, f"done; the engines agree on {sum(each.n_clips for each in found)} maps"


def refuse_pictures_without_mel(representations: list[str] | None) -> None:
    """Refuse to draw what will not be made, before any work.

    Raises
    ------
    ConfigError
        Only other representations are asked for.
    """
    if representations and "mel" not in representations:
        raise ConfigError("--pictures: pictures are of mel spectrograms; leave out --representation cqt")


def draw(out: Path, config: Path | None, folder: Path) -> None:
    """Write the mel spectrograms of a run as pictures, and say how to use them."""
    run = Run(out, settings_of(out, config, {}))
    with lock.hold(run.folder, run_id=lock.new_run_id(), command=_command()):
        n_clips = drawing.draw(run, folder)
    features = reading.analysis(run.settings)
    fmax_hz = features.mel_fmax_hz or features.sample_rate_hz / 2
    say(f"{folder}: {n_clips} pictures; use them with `--images {folder} --images-fmax {fmax_hz:g}`")


def status(out: Path, config: Path | None) -> tuple[ExitCode, str]:
    """Show the state of a run.

    Raises
    ------
    ConfigError
        There is no such folder.
    """
    if not out.exists():
        raise ConfigError(f"{out}: holds no run; make one with `toolkit run-all --out {out}`")
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


def _command() -> str:
    """Return the command that runs, as it was given."""
    return printable(shlex.join(["toolkit", *sys.argv[1:]]))


def settings_of(out: Path, config: Path | None, options: Mapping[str, object]) -> Settings:
    """Return the settings of a run, from all layers of configuration.

    Raises
    ------
    ConfigError
        A layer holds something that cannot be used, or ``out`` is no folder.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; give the folder of a run")
    remembered = chain.remembered(out)
    asked = _asked(config, options)
    if any("source" in layer for layer in asked.values()):
        # Another source in the same folder begins anew, with nothing of what was set for the one before.
        now, before = _source_of(asked), _source_of({"remembered": remembered})
        same = (now.kind, now.path) == (before.kind, before.path)
        # Of the same source, what was said once about reading it holds until something else is said.
        asked = {name: _with_details(layer, remembered) if same else layer for name, layer in asked.items()}
        remembered = remembered if same else {}
    settings = resolve({**_SYNTHETIC, f"{out}/settings.json": remembered, **asked})
    return settings.model_copy(update={"source": _absolute(settings.source)})


def _asked(config: Path | None, options: Mapping[str, object]) -> dict[str, Plain]:
    """Return what the user says today, by where it is said: the settings file, the environment, the options."""
    file = config or (PROJECT_FILE if PROJECT_FILE.exists() else None)
    return {
        str(file): read_toml(file) if file else {},
        "the environment": from_environment(os.environ),
        "the options": _from_options(options),
    }


def _source_of(layers: Mapping[str, Plain]) -> SourceSettings:
    """Return the source that layers of settings name, whatever else is in them."""
    sources = {name: {"source": layer["source"]} for name, layer in layers.items() if "source" in layer}
    return _absolute(resolve({**_SYNTHETIC, **sources}).source)


def _with_details(layer: Plain, remembered: Plain) -> Plain:
    source, before = layer.get("source"), remembered.get("source")
    if isinstance(source, Mapping) and isinstance(before, Mapping):
        return {**layer, "source": {**before, **source}}
    return layer


def _absolute(source: SourceSettings) -> SourceSettings:
    return source if source.path is None else source.model_copy(update={"path": source.path.absolute()})


def _from_options(options: Mapping[str, object]) -> dict[str, object]:
    """Return the options that were given, as settings."""
    given = {name: value for name, value in options.items() if value is not None}
    settings: dict[str, object] = {}
    source = _source(given)
    if source:
        settings["source"] = source
    training = {name: given[name] for name in ("epochs", "strict_groups") if name in given}
    if training:
        settings["training"] = training
    explanation = {name: given[name] for name in ("target", "engine", "provider") if name in given}
    if explanation:
        settings["explanation"] = explanation
    if "audio" in given:
        settings["evaluation"] = {"audio": given["audio"]}
    if "data" in given:
        settings["report"] = {"data": given["data"]}
    if "verify_tolerance" in given:
        settings["quality"] = {"verify_tolerance": given["verify_tolerance"]}
    if "seed" in given:
        settings["seed"] = given["seed"]
    return settings


def _source(given: Mapping[str, object]) -> dict[str, object]:
    """Return the source that options name, or nothing.

    Raises
    ------
    ConfigError
        They name two, or details of a source without the source.
    """
    named = {kind: given[option] for option, kind in _SOURCES.items() if option in given}
    details = {key: given[option] for option, key in _DETAILS.items() if option in given}
    if len(named) > 1:
        raise ConfigError("give one source of clips: --dataset, --images or --manifest")
    if "images_fmax" in given and {"dataset", "manifest"} & given.keys():
        raise ConfigError(
            "--images-fmax: only pictures need it, which --images names; sound tells its frequencies"
        )
    for kind, path in named.items():
        return {"kind": kind, "path": str(Path(str(path)).absolute()), **details}
    if details:
        options = ", ".join(f"--{option.replace('_', '-')}" for option in _DETAILS if option in given)
        raise ConfigError(f"{options}: say of which source, with --dataset, --images or --manifest")
    return {}


_SOURCES = {"dataset": "urbansound8k", "images": "pictures", "manifest": "manifest"}
_DETAILS = {"windows": "windows", "images_fmax": "fmax_hz"}


def _show(name: str, plan: Plan) -> None:
    if plan.waits_for:
        say(f"{name:<10} waits for {plan.waits_for}")
    elif not plan.todo:
        say(f"{name:<10} up to date ({len(plan.units)})")
    else:
        say(f"{name:<10} {len(plan.todo)} of {len(plan.units)} to do")
        for reason in dict.fromkeys(item.reason for item in plan.whole.values()):
            _show_reason([name for name, item in plan.whole.items() if item.reason == reason], reason)
        if plan.partitions:
            _show_reason([*plan.partitions], rows.summary(plan.partitions.values()))


def _show_reason(units: list[str], reason: str) -> None:
    more = f" and {len(units) - 3} more" if len(units) > 3 else ""
    say(f"{'':<10}   {', '.join(units[:3])}{more}: {reason}")


def _show_clips(run: Run) -> None:
    clips = read_whole(run.store, "clips", ("path", "status", "error"))
    left_out = clips["status"] == LEFT_OUT
    say(f"clips     {len(left_out)}, of which {int(left_out.sum())} left out")
    for path, error in zip(clips["path"][left_out], clips["error"][left_out], strict=True):
        say(f"{'':<10}{printable(f'{path}: {error}' if path not in error else error)}")


def _explained(outcome: recordings.Outcome) -> tuple[ExitCode, str]:
    n_pages = len(outcome.pages)
    did = f"{n_pages} {'file' if n_pages == 1 else 'files'} explained"
    faults = []
    if outcome.n_files_left_out:
        faults.append(f"{outcome.n_files_left_out} of {outcome.n_files} files left out")
    if outcome.n_windows_left_out:
        faults.append(f"{outcome.n_windows_left_out} of {outcome.n_windows} windows without an explanation")
    if faults:
        return ExitCode.CLIPS_LEFT_OUT, f"finished with {' and '.join(faults)}; {did}"
    return ExitCode.DONE, f"done; {did}"


def _ended(outcome: chain.Outcome) -> tuple[ExitCode, str]:
    did = f"{outcome.n_done} step{'s' * (outcome.n_done != 1)}" if outcome.n_done else "nothing was to do"
    faults = []
    if outcome.n_left_out:
        faults.append(f"{outcome.n_left_out} of {outcome.n_clips} clips left out")
    if outcome.n_problems:
        noun = "fault" if outcome.n_problems == 1 else "faults"
        faults.append(f"{outcome.n_problems} {noun} in the catalogue")
    if faults:
        return ExitCode.CLIPS_LEFT_OUT, f"finished with {' and '.join(faults)}; {did}"
    return ExitCode.DONE, f"done; {did}"
