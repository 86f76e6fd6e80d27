"""How long the stage ``report`` takes on a corpus as large as UrbanSound8K, and how much memory.

    python -m benchmarks.reports [--jobs 2] [--data]      (or ``make bench-reports``)

The store is made up (``benchmarks.made_up``), with figures and examples but without sounds, as for a corpus of
real recordings. What is timed is the stage as a run has it: the index and ten pages of classes, two composites.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.made_up import make_store, whole_corpus
from toolkit.config import resolve
from toolkit.pipeline.executors import Processes
from toolkit.pipeline.markers import Todo, Unit
from toolkit.pipeline.run import Plan, Run, Tools
from toolkit.pipeline.stages import evaluate, report, statistics
from toolkit.reporting import render


def main() -> None:
    """Make the store and its figures, render its pages, print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="processes that work side by side")
    parser.add_argument("--data", action="store_true", help="write tables and figures as files, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = resolve({
            "made up": {
                "source": {"kind": "urbansound8k", "path": str(Path(folder) / "gone")},
                "statistics": {"n_permutations": 400, "n_bootstrap": 200},
                "report": {"data": given.data},
            }
        })
        run, tools = Run(Path(folder), settings), Tools(lambda _event: None, Processes(given.jobs))
        make_store(run, whole_corpus())
        for stage in (statistics, evaluate):
            stage.execute(run, _plan(stage.plan_units(run)), tools, lambda _name: None)
        _say("store, figures and examples made")
        before = _peak_mb(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        plan = _plan([Unit(file, {}) for file in render.pages(run.store)])
        report.execute(run, plan, tools, lambda name: _say(f"  {time.perf_counter() - started:6.1f} s {name}"))
        _say(f"{len(plan.units)} pages: {time.perf_counter() - started:.1f} s with {given.jobs} processes")
        sizes = sorted(path.stat().st_size for path in run.reports.glob("*.html"))
        _say(f"pages of {sizes[0] / 1e6:.1f} to {sizes[-1] / 1e6:.1f} MB")
    for name, mb in (("before", before), ("with pages", _peak_mb(resource.RUSAGE_CHILDREN))):
        _say(f"peak memory of the largest worker {name}: {mb:.0f} MB")
    _say(f"peak memory of the run's process: {_peak_mb(resource.RUSAGE_SELF):.0f} MB")


def _plan(units: Sequence[Unit]) -> Plan:
    return Plan([unit.name for unit in units], [Todo(unit, "missing") for unit in units])


def _peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a benchmark prints)


if __name__ == "__main__":
    main()
