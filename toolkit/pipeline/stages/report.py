"""Stage ``report``: the pages, from the store alone. A unit is a page."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from toolkit.corpus.catalogue import NOTE
from toolkit.pipeline import clip_page
from toolkit.pipeline.events import Trouble
from toolkit.pipeline.files import digest_bytes, digest_of, write_bytes
from toolkit.pipeline.markers import Marker, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages import evaluate, statistics
from toolkit.reporting import render, view
from toolkit.store.read import attributes, read_whole

NAME = "report"
LARGE = 8_000_000
"""Bytes of a page from which on a warning is given."""


_ALSO_SHOWN = ("training/*", "relevance/*/*", "evaluation/*/*/*")
"""Groups whose attributes pages show, beside those of figures."""


@dataclass(frozen=True)
class PageJob:
    """One page to be rendered. Picklable."""

    run: Run
    file: str

    @property
    def folder(self) -> Path:
        """Where the tables and figures of the page lie as files."""
        return self.run.reports / render.data_folder(self.file)


@dataclass(frozen=True)
class Written:
    """What came of a page."""

    size: int
    """Of the page in bytes."""
    files: tuple[Path, ...]
    """The page, and tables and figures as files."""


def prepare(run: Run, tools: Tools) -> None:
    """Remove pages of classes that are gone, and what can be heard but should not be any more."""
    evaluate.remove_old(run)
    if run.store.exists():
        for path in clip_page.remove_silenced(run):
            reason = "removed: it held sounds that are no longer kept; `toolkit report --clip` makes it without"
            tools.emit(Trouble(f"{clip_page.FOLDER}/{path.name}", reason, NOTE))
        known, markers = render.pages(run.store), run.markers(NAME)
        # What this stage did not write, it does not remove.
        for file in (path.stem for path in markers.folder.glob("*.json")):
            if file not in known:
                folder = run.reports / render.data_folder(file)
                if folder.exists():
                    shutil.rmtree(folder)
                (run.reports / file).unlink(missing_ok=True)
                markers.remove(file)


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every page with the figures and templates that it was made from."""
    if not run.store.exists() or not view.statistics_groups(run.store) or _figures_are_old(run):
        return Plan((), (), waits_for=statistics.NAME)
    made_from = {
        "templates and code": _code_digest(),
        "store": _store_digest(run.store),
        "with data": run.settings.report.data,
    }
    units = [
        Unit(file, made_from)
        for file, class_name in render.pages(run.store).items()
        if not scope.classes or class_name in scope.classes
    ]
    return Plan([unit.name for unit in units], run.markers(NAME).todo(units, force=force))


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Render the pages of the plan."""
    markers = run.markers(NAME)
    for job, written in tools.workers.run(write_page, [PageJob(run, name) for name in plan.whole]):
        files = tuple(str(path.relative_to(run.folder)) for path in written.files)
        markers.write(job.file, Marker(plan.whole[job.file].unit.made_from, files=files))
        if written.size > LARGE:
            size = f"{written.size / 1e6:.0f} MB; browsers may be slow on it: --audio none leaves sounds out"
            tools.emit(Trouble(job.file, size))
        done(job.file)


def write_page(job: PageJob) -> Written:
    """Render one page and put it in its place, and beside it its tables and figures."""
    page = render.render(job.run.store, job.file, with_data=job.run.settings.report.data)
    job.run.markers(NAME).remove(job.file)
    if job.folder.exists():
        shutil.rmtree(job.folder)
    files = {job.folder / name: content for name, content in page.files.items()}
    files[job.run.reports / job.file] = page.html.encode()
    for path, content in files.items():
        write_bytes(path, content)
    return Written(len(files[job.run.reports / job.file]), tuple(files))


def _figures_are_old(run: Run) -> bool:
    """Tell whether figures are out of date; a store that came without markers cannot tell."""
    if not run.markers(statistics.NAME).folder.exists():
        return False
    planned = statistics.plan(run, Scope(), False)
    return bool(planned.todo or planned.waits_for)


def _store_digest(store: Path) -> str:
    """Return a digest of everything in the store that a page shows."""
    tables = [read_whole(store, name) for name in ("clips", "problems")]
    shown = [[sorted((key, values.tolist()) for key, values in table.items()) for table in tables]]
    groups = [f"statistics/{name}" for name in view.statistics_groups(store)]
    others = (path for kind in _ALSO_SHOWN for path in store.glob(f"{kind}/zarr.json"))
    groups += sorted(path.parent.relative_to(store).as_posix() for path in others)
    keys = [[group, dict(attributes(store / group))] for group in groups]
    return digest_of([dict(attributes(store)), shown, keys])


@cache
def _code_digest() -> str:
    """Return a digest of all that makes a page out of a store: pages are cheap, so any change renews them."""
    files = [*render.templates_folder().rglob("*.*"), *Path(render.__file__).parent.glob("*.py")]
    return digest_bytes(*(path.read_bytes() for path in sorted(files)))


STAGE = Stage(NAME, plan, execute, prepare)
