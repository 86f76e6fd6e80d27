"""Stage ``report``: the pages, from the store alone. A unit is a page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from toolkit.pipeline.files import digest_bytes, digest_of, write_bytes
from toolkit.pipeline.markers import Marker, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.stages import statistics
from toolkit.reporting import render, view
from toolkit.store.read import attributes, read_whole

NAME = "report"


@dataclass(frozen=True)
class PageJob:
    """One page to be rendered. Picklable."""

    run: Run
    file: str


def prepare(run: Run, _tools: Tools) -> None:
    """Remove pages of classes that are gone."""
    if run.store.exists():
        for path in set(run.reports.glob("*.html")) - {run.reports / file for file in render.pages(run.store)}:
            path.unlink()


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every page with the figures and templates that it was made from."""
    if not run.store.exists() or not view.statistics_groups(run.store) or _figures_are_old(run):
        return Plan((), (), waits_for=statistics.NAME)
    made_from = {"templates and code": _code_digest(), "store": _store_digest(run.store)}
    units = [
        Unit(file, made_from)
        for file, class_name in render.pages(run.store).items()
        if not scope.classes or class_name in scope.classes
    ]
    return Plan([unit.name for unit in units], run.markers(NAME).todo(units, force=force))


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Render the pages of the plan."""
    markers = run.markers(NAME)
    for job, _ in tools.workers.run(write_page, [PageJob(run, name) for name in plan.whole]):
        file = str((run.reports / job.file).relative_to(run.folder))
        markers.write(job.file, Marker(plan.whole[job.file].unit.made_from, files=(file,)))
        done(job.file)


def write_page(job: PageJob) -> None:
    """Render one page and put it in its place."""
    page = render.render(job.run.store, job.file).encode()
    job.run.markers(NAME).remove(job.file)
    write_bytes(job.run.reports / job.file, page)


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
    groups += sorted(path.parent.relative_to(store).as_posix() for path in store.glob("training/*/zarr.json"))
    keys = [[group, dict(attributes(store / group))] for group in groups]
    return digest_of([dict(attributes(store)), shown, keys])


@cache
def _code_digest() -> str:
    """Return a digest of all that makes a page out of a store: pages are cheap, so any change renews them."""
    files = [*render.templates_folder().rglob("*.*"), *Path(render.__file__).parent.glob("*.py")]
    return digest_bytes(*(path.read_bytes() for path in sorted(files)))


STAGE = Stage(NAME, plan, execute, prepare)
