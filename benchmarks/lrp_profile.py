"""Where time goes in the compiled graph, by onnxruntime's own profile."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.lrp_contestants import TASKS, session_of
from benchmarks.lrp_worker import INPUTS, NETWORK, TARGETS, batches

N_NODES = 15
_TIMED = "_kernel_time"


def profile(folder: Path, task: str) -> str:
    """Return the shares of time of operators and of nodes, on one thread, in passes as the engine's."""
    from toolkit.lrp.compiler import compile_relevance
    from toolkit.lrp.engines.onnxruntime import CLIPS_AT_ONCE, CPU

    model = compile_relevance(folder / NETWORK, TASKS[task]).SerializeToString()
    session = session_of(
        model, 1, enable_profiling=True, profile_file_prefix=str(folder / "profile"), log_severity_level=3
    )
    wanted = {value.name: value.type for value in session.get_inputs()}
    for inputs, targets in batches(np.load(folder / INPUTS), np.load(folder / TARGETS), CLIPS_AT_ONCE[CPU]):
        fed = {"tensor(float)": inputs, "tensor(int64)": targets}
        session.run(None, {name: fed[kind] for name, kind in wanted.items()})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times = {
        (event["args"]["op_name"], event["name"].removesuffix(_TIMED), place): event["dur"]
        for place, event in enumerate(events)
        if event.get("cat") == "Node" and event["name"].endswith(_TIMED)
    }
    by_operator = _shares((operator, time) for (operator, _, _), time in times.items())
    by_node = _shares((f"{operator:20} {node}", time) for (operator, node, _), time in times.items())
    titles = f"\noperators of {task!r}", f"\nthe {N_NODES} longest nodes"
    return "\n".join([titles[0], *by_operator, titles[1], *by_node[:N_NODES]])


def _shares(times: Iterable[tuple[str, int]]) -> list[str]:
    """Return one line per name, the longest time first, in percent of all."""
    total: Counter[str] = Counter()
    for name, duration in times:
        total[name] += duration
    return [f"{100 * time / total.total():6.1f} %  {name}" for name, time in total.most_common()]
