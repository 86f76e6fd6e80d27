"""The commands of ``toolkit``. Each gathers its options and makes one call into the library."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit import __version__
from toolkit.cli.progress import say
from toolkit.config import REPRESENTATIONS
from toolkit.errors import ExitCode
from toolkit.pipeline.executors import available_processors

EXIT_CODES = """\b
Exit codes: 0 done; 1 unexpected; 2 usage; 3 finished with clips left out or faults in the catalogue;
4 configuration or data; 5 another run holds the folder; 6 a quality gate failed; 130/143 interrupted."""

app = typer.Typer(
    name="toolkit",
    help="Which time-frequency regions make a neural network call a sound a siren, a dog bark or a jackhammer.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

lrp = typer.Typer(help="Layer-wise relevance propagation as ONNX graphs.", no_args_is_help=True)
app.add_typer(lrp, name="lrp")


def _one_of(allowed: Sequence[str]) -> Callable[[list[str] | None], list[str] | None]:
    def check(values: list[str] | None) -> list[str] | None:
        unknown = [value for value in values or () if value not in allowed]
        if unknown:
            raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(allowed)}")
        return values

    return check


Out = Annotated[Path, typer.Option("--out", envvar="TOOLKIT__OUT", help="Folder of the run.")]
Dataset = Annotated[
    Path | None,
    typer.Option(
        "--dataset", help="Corpus in the UrbanSound8K layout (audio/, metadata/). None: a synthetic one."
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        "--images", help="Spectrogram pictures: UrbanSound8K.csv and train/<slice>.png (magma colours)."
    ),
]
ImagesFmax = Annotated[
    float | None,
    typer.Option("--images-fmax", help="Highest frequency in Hz that pictures are taken to show (22050)."),
]
Manifest = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        help="Any labelled clips: a CSV (path, class; fold, recording, start, end optional), "
        "or a folder with one folder per class.",
    ),
]
Pictures = Annotated[
    Path | None,
    typer.Option("--pictures", help="Also write the mel spectrograms there, as --images reads them."),
]
Windows = Annotated[
    bool | None,
    typer.Option("--windows/--no-windows", help="Take all of a long file, a clip's length at a time."),
]
StrictGroups = Annotated[
    bool | None,
    typer.Option(
        "--strict-groups/--no-strict-groups", help="Keep recordings that sit in two folds out of training."
    ),
]
Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE",
        help="Sounds outside the corpus, to be explained by the run's networks.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file. Default: ./toolkit.toml if present.")
]
Fold = Annotated[list[int] | None, typer.Option("--fold", help="Only this fold (repeatable).")]
Class = Annotated[list[str] | None, typer.Option("--class", help="Only this class (repeatable).")]
Clip = Annotated[
    list[str] | None,
    typer.Option("--clip", help="Only the page of this clip, by name or path (repeatable)."),
]
Representation = Annotated[
    list[str] | None,
    typer.Option(
        "--representation", callback=_one_of(REPRESENTATIONS), help="Only 'mel' or 'cqt' (repeatable)."
    ),
]
Composite = Annotated[
    list[str] | None,
    typer.Option("--composite", help="Only maps of this composite of the run (repeatable)."),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Epochs of training at most.")]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Seed of the synthetic corpus, training and bootstrap.")
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="What maps explain: 'predicted', 'label' or a class name. 'all' (default): 'predicted', and "
        "where in frequency relevance for every class lies.",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", help="What computes maps: 'onnxruntime' (default) or 'innvestigate'."),
]
Provider = Annotated[
    str | None,
    typer.Option("--provider", help="What onnxruntime runs on: 'cpu' (default), 'cuda', ..."),
]
Data = Annotated[
    bool | None,
    typer.Option("--data/--no-data", help="Write every table and figure as a file, too. Default: yes."),
]
Audio = Annotated[
    str | None,
    typer.Option(
        "--audio",
        help="Sounds kept in the store and put into pages: 'none', 'examples' or 'all'. Default: examples of "
        "the synthetic corpus, none of real recordings, which have a licence.",
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Processes that work side by side.")]
Force = Annotated[bool, typer.Option("--force", help="Compute again what is up to date.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would run, and why; change nothing.")]

DEFAULT_OUT = Path("runs/default")
N_PROCESSORS = available_processors()

Ended = tuple[ExitCode, str]


def _version(wanted: bool) -> None:
    if wanted:
        say(f"toolkit {__version__}")
        raise typer.Exit


@app.callback()
def _toolkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Take no options of its own but ``--version``."""


@app.command("run-all", epilog=EXIT_CODES)
def run_all(
    out: Out = DEFAULT_OUT,
    dataset: Dataset = None,
    images: Images = None,
    images_fmax: ImagesFmax = None,
    manifest: Manifest = None,
    windows: Windows = None,
    strict_groups: StrictGroups = None,
    fold: Fold = None,
    class_: Class = None,
    representation: Representation = None,
    composite: Composite = None,
    epochs: Epochs = None,
    seed: Seed = None,
    target: Target = None,
    engine: Engine = None,
    provider: Provider = None,
    audio: Audio = None,
    data: Data = None,
    config: Config = None,
    jobs: Jobs = N_PROCESSORS,
    force: Force = False,
    dry_run: DryRun = False,
) -> Ended:
    """Run every stage that is not up to date, from clips to pages."""
    return _perform(None, locals())


@app.command(epilog=EXIT_CODES)
def features(
    out: Out = DEFAULT_OUT,
    dataset: Dataset = None,
    images: Images = None,
    images_fmax: ImagesFmax = None,
    manifest: Manifest = None,
    windows: Windows = None,
    pictures: Pictures = None,
    representation: Representation = None,
    seed: Seed = None,
    config: Config = None,
    jobs: Jobs = N_PROCESSORS,
    force: Force = False,
    dry_run: DryRun = False,
) -> Ended:
    """Read the corpus and make mel and constant-Q spectrograms of every clip."""
    from toolkit.cli import perform

    if pictures:
        perform.refuse_pictures_without_mel(representation)
    ended = _perform("features", locals())
    if pictures and not dry_run:
        perform.draw(out, config, pictures)
    return ended


@app.command(epilog=EXIT_CODES)
def train(
    out: Out = DEFAULT_OUT,
    strict_groups: StrictGroups = None,
    fold: Fold = None,
    representation: Representation = None,
    epochs: Epochs = None,
    seed: Seed = None,
    config: Config = None,
    jobs: Jobs = N_PROCESSORS,
    force: Force = False,
    dry_run: DryRun = False,
) -> Ended:
    """Train one network per representation and fold, on the other folds."""
    return _perform("train", locals())


@app.command(epilog=EXIT_CODES)
def export(
    out: Out = DEFAULT_OUT,
    fold: Fold = None,
    representation: Representation = None,
    config: Config = None,
    jobs: Jobs = N_PROCESSORS,
    force: Force = False,
    dry_run: DryRun = False,
) -> Ended:
    """Export the networks to ONNX and check each against Keras on real clips."""
    return _perform("export", locals())


@app.command(epilog=EXIT_CODES)
def explain(
    files: Files = None,
    out: Out = DEFAULT_OUT,
    fold: Fold = None,
    class_: Class = None,
    representation: Representation = None,
    composite: Composite = None,
    target: Target = None,
    engine: Engine = None,
    provider: Provider = None,
    windows: Windows = None,
    config: Config = None,
    jobs: Jobs = N_PROCESSORS,
    force: Force = False,
    dry_run: DryRun = False,
) -> Ended:
    """Compute relevance maps of every clip, by the network that did not train on it.

    With FILEs: classify and explain these by all networks of a finished run, a page and arrays for each.
    """
    return _explain_files(files, locals()) if files else _explain_clips(locals())


@app.command(epilog=EXIT_CODES)
def statistics(
    out: Out = DEFAULT_OUT,
    config: Config = None,
    jobs: Jobs = N_PROCESSORS,
    force: Force = False,
    dry_run: DryRun = False,
) -> Ended:
    """Say where relevance lies, what is certain of it, and how well networks classify; print the verdicts."""
    return _perform("statistics", locals())


@app.command(epilog=EXIT_CODES)
def evaluate(
    out: Out = DEFAULT_OUT,
    audio: Audio = None,
    config: Config = None,
    jobs: Jobs = N_PROCESSORS,
    force: Force = False,
    dry_run: DryRun = False,
) -> Ended:
    """Cut example clips in two by their relevance, to be heard, and score what is kept and what is removed."""
    return _perform("evaluate", locals())


@app.command(epilog=EXIT_CODES)
def report(
    out: Out = DEFAULT_OUT,
    class_: Class = None,
    clip: Clip = None,
    data: Data = None,
    config: Config = None,
    jobs: Jobs = N_PROCESSORS,
    force: Force = False,
    dry_run: DryRun = False,
) -> Ended:
    """Render the HTML pages from the store: the index and one page per class, or those of single clips."""
    return _report_clips(clip, locals()) if clip else _perform("report", locals())


@app.command(epilog=EXIT_CODES)
def verify(
    out: Out = DEFAULT_OUT,
    clips: Annotated[
        int, typer.Option("--clips", min=1, help="How many clips of each representation, spread evenly.")
    ] = 256,
    fold: Fold = None,
    representation: Representation = None,
    composite: Composite = None,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", help="Largest median difference, in shares of a map's maximum (1e-5)."),
    ] = None,
    config: Config = None,
    jobs: Jobs = N_PROCESSORS,
) -> Ended:
    """Compare relevance maps by compiled graphs with those by innvestigate, on clips of the run."""
    from toolkit.cli import perform

    return perform.verify(
        out,
        scope=_scope(locals()),
        n_clips=clips,
        n_jobs=jobs,
        options={"verify_tolerance": tolerance},
        config=config,
    )


@app.command(epilog=EXIT_CODES)
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of a run, or its store.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="The run to set beside it.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path("compare.html"),
) -> Ended:
    """Say what changed between two runs and whether it is more than chance; write one page on it."""
    from toolkit.cli import perform

    return perform.compare(first, second, output)


@lrp.command("compile", epilog=EXIT_CODES)
def compile_lrp(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="A classifier, opset 11 to 18.")],
    composite: Annotated[
        list[str], typer.Option("--composite", help="Which maps, such as lrp.epsilon (repeatable).")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX model to write.")],
    config: Config = None,
) -> Ended:
    """Compile relevance maps into a network: one ordinary ONNX model with logits and maps as outputs."""
    from toolkit.cli import perform

    perform.compile_lrp(model, composite, output, config)
    return ExitCode.DONE, "done"


@app.command(epilog=EXIT_CODES)
def status(out: Out = DEFAULT_OUT, config: Config = None) -> Ended:
    """Show what is done, what is not, what was left out, and who is at work."""
    from toolkit.cli import perform

    return perform.status(out, config)


@app.command(epilog=EXIT_CODES)
def synth(
    directory: Annotated[Path, typer.Argument(help="Folder to make; it may not hold anything else.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Other seeds give other sounds.")] = 0,
) -> Ended:
    """Write the synthetic urban corpus in the UrbanSound8K layout, ready for --dataset."""
    from toolkit.corpus.synthetic import write_corpus

    write_corpus(directory, seed=seed)
    say(str(directory))
    return ExitCode.DONE, f"done; use it with `toolkit run-all --dataset {directory}`"


def _explain_clips(given: Mapping[str, Any]) -> Ended:
    """Explain the clips of the corpus with the options of a command, by the names of its parameters.

    Raises
    ------
    typer.BadParameter
        An option means nothing for clips.
    """
    if given["windows"] is not None:
        raise typer.BadParameter("--windows is for files here: name them, or see `toolkit features`")
    return _perform("explain", given)


def _explain_files(files: Sequence[Path], given: Mapping[str, Any]) -> Ended:
    """Explain files with the options of a command, by the names of its parameters.

    Raises
    ------
    typer.BadParameter
        An option means nothing for files.
    """
    from toolkit.cli import perform

    if given["class_"]:
        raise typer.BadParameter(
            "--class is for clips of the corpus; of files, --target says what maps explain"
        )
    return perform.explain_files(
        files,
        given["out"],
        options={name: given[name] for name in ("target", "windows", "engine", "provider")},
        scope=_scope(given),
        config=given["config"],
        how=perform.How(given["jobs"], given["force"], given["dry_run"]),
    )


def _report_clips(clips: Sequence[str], given: Mapping[str, Any]) -> Ended:
    """Render the pages of single clips with the options of a command, by the names of its parameters.

    Raises
    ------
    typer.BadParameter
        An option means nothing for them.
    """
    from toolkit.cli import perform

    if given["class_"]:
        raise typer.BadParameter("--class and --clip ask for different pages: give one after the other")
    return perform.report_clips(clips, given["out"], config=given["config"], dry_run=given["dry_run"])


def _perform(stage: str | None, given: Mapping[str, Any]) -> Ended:
    """Carry out a command (no stage: all of them) with its options, by the names of its parameters."""
    from toolkit.cli import perform

    return perform.perform(
        stage,
        given["out"],
        options={name: given.get(name) for name in _OPTIONS},
        scope=_scope(given),
        config=given["config"],
        how=perform.How(given.get("jobs", 1), given["force"], given["dry_run"]),
    )


def _scope(given: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {field: tuple(given.get(name) or ()) for field, name in _SCOPE.items()}


_OPTIONS = (
    "dataset",
    "images",
    "images_fmax",
    "manifest",
    "windows",
    "strict_groups",
    "epochs",
    "seed",
    "target",
    "engine",
    "provider",
    "audio",
    "data",
)
_SCOPE = {
    "folds": "fold",
    "classes": "class_",
    "representations": "representation",
    "composites": "composite",
}
