"""How long the stage ``statistics`` takes on a corpus as large as UrbanSound8K, and how much memory.

    python -m benchmarks.statistics [--times 10] [--jobs 2] [--composites 1]      (or ``make bench-statistics``)

The store is made up (``benchmarks.made_up``); ``--times`` makes the corpus so many times as large. What is
timed is the stage as a run has it, with its default settings: reading, averaging, intervals, tests, agreement,
writing.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.made_up import make_store, whole_corpus
from toolkit.config import Settings
from toolkit.pipeline.executors import Processes
from toolkit.pipeline.markers import Todo
from toolkit.pipeline.run import Plan, Run, Tools
from toolkit.pipeline.stages import statistics


def main() -> None:
    """Make the store, run the stage on it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1, metavar="N", help="so many times the clips")
    parser.add_argument("--jobs", type=int, default=2, help="processes that work side by side")
    parser.add_argument("--composites", type=int, default=2, choices=(1, 2), help="1: quicker to make")
    parser.add_argument("--tfce", action="store_true", help="threshold-free clusters")
    parser.add_argument("--folder", type=Path, help="where the store is made (default: a temporary folder)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        run = Run(Path(folder), _settings(given.composites, tfce=given.tfce))
        layout = whole_corpus(given.times)
        started = time.perf_counter()
        make_store(run, layout)
        _say(
            f"store of {layout.size.sum():,} clips of {len(layout.size):,} recordings made in {_since(started)}"
        )
        units = statistics.plan_units(run)
        plan = Plan([unit.name for unit in units], [Todo(unit, "missing") for unit in units])
        started = time.perf_counter()
        tools = Tools(lambda _event: None, Processes(given.jobs))
        statistics.execute(run, plan, tools, lambda name: _say(f"  {_since(started):>8} {name}"))
        _say(f"statistics of {layout.size.sum():,} clips: {_since(started)} with {given.jobs} processes")
    whose = {"the run's process": resource.RUSAGE_SELF, "the largest worker": resource.RUSAGE_CHILDREN}
    for name, who in whose.items():
        _say(f"peak memory of {name}: {resource.getrusage(who).ru_maxrss / 1024:.0f} MB")


def _settings(n_composites: int, *, tfce: bool) -> Settings:
    settings = Settings()
    explanation = settings.explanation.model_copy(
        update={"composites": settings.explanation.composites[:n_composites]}
    )
    of_statistics = settings.statistics.model_copy(update={"cluster_statistic": "tfce" if tfce else "mass"})
    return settings.model_copy(update={"explanation": explanation, "statistics": of_statistics})


def _since(started: float) -> str:
    return f"{time.perf_counter() - started:.1f} s"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a benchmark prints)


if __name__ == "__main__":
    main()
