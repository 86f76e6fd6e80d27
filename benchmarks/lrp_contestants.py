"""Contestants of the relevance benchmark that run in the project's environment, one per process.

    python -m benchmarks.lrp_contestants CONTESTANT FOLDER      (started by ``benchmarks.lrp``)

TensorFlow's graph mode and onnxruntime have a process each. Maps are summed over the input channels.
"""

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lrp_worker import N_THREADS, NETWORK, WEIGHTS, Task, batches, serve
from toolkit.config import COMPOSITES
from toolkit.network import architecture
from toolkit.network.export import INPUT_NAME, to_onnx
from toolkit.network.runtime import prepare
from toolkit.network.weights import read_weights, weights_to_bytes

if TYPE_CHECKING:
    import keras
    import onnxruntime

TASKS: Mapping[str, tuple[str, ...]] = {"epsilon": COMPOSITES[:1], "flat": COMPOSITES[1:], "both": COMPOSITES}
FORWARD_BATCH = 16
"""Where the forward pass is fastest, in one call and in two; a call with 256 clips takes a quarter longer."""
INNVESTIGATE_BATCH = 32
N_CLASSES = 10


def main() -> None:
    """Serve one contestant, or make the network with random weights."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    if name == "network":
        make_network(folder)
    else:
        package, tasks_of = CONTESTANTS[name]
        serve(tasks_of(folder), folder, f"{package} {version(package)}")


def make_network(folder: Path) -> None:
    """Write the network of the study, untrained, as a run would hold it."""
    prepare(n_threads=N_THREADS)
    model = architecture.build(N_CLASSES)
    (folder / WEIGHTS).write_bytes(weights_to_bytes(architecture.weights_of(model)))
    (folder / NETWORK).write_bytes(to_onnx(model))


def session_of(model: bytes | Path, n_threads: int, **options: object) -> "onnxruntime.InferenceSession":
    """Return a session of onnxruntime on the processor; ``options`` are attributes of its SessionOptions."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    for name, value in {"intra_op_num_threads": n_threads, **options}.items():
        setattr(settings, name, value)
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])


def _ours(folder: Path) -> dict[str, Task]:
    """Compile a graph for each task when it is first asked for."""
    from toolkit.lrp.compiler import compile_relevance
    from toolkit.lrp.engines.onnxruntime import OnnxruntimeExplainer

    @cache
    def explainer(composites: tuple[str, ...]) -> OnnxruntimeExplainer:
        graph = compile_relevance(folder / NETWORK, composites)
        return OnnxruntimeExplainer(graph.SerializeToString(), n_threads=N_THREADS)

    def task(composites: tuple[str, ...]) -> Task:
        return lambda *clips: np.stack([*explainer(composites).explain(*clips, composites).relevance.values()])

    return {name: task(composites) for name, composites in TASKS.items()}


def _forward(folder: Path) -> dict[str, Task]:
    shared, own = session_of(folder / NETWORK, N_THREADS), session_of(folder / NETWORK, 1)
    threads = ThreadPoolExecutor(N_THREADS)

    def one_call(batch: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return shared.run(None, {INPUT_NAME: batch[0]})[0]

    def one_thread(batch: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return own.run(None, {INPUT_NAME: batch[0]})[0]

    return {
        "one call": lambda *clips: np.concatenate([*map(one_call, batches(*clips, FORWARD_BATCH))]),
        "threads": lambda *clips: np.concatenate([*threads.map(one_thread, batches(*clips, FORWARD_BATCH))]),
    }


def _innvestigate(folder: Path) -> dict[str, Task]:
    """Build the analyzers once, and let them compute maps alone: ours come with the logits."""
    model = _without_softmax(folder)
    import innvestigate

    def task(composite: str) -> Task:
        analyzer = innvestigate.create_analyzer(composite, model, neuron_selection_mode="index")
        return lambda *clips: np.concatenate([
            analyzer.analyze(inputs, neuron_selection=targets).sum(axis=-1)
            for inputs, targets in batches(*clips, INNVESTIGATE_BATCH)
        ])

    return {name: task(composites[0]) for name, composites in TASKS.items() if len(composites) == 1}


def _as_published(folder: Path) -> dict[str, Task]:
    """Build both analyzers for every batch, as the published code of the study does (warpcut/Audio-LRP).

    They explain the highest logit, as there. Its pictures are not drawn here.
    """
    model = _without_softmax(folder)
    import innvestigate

    def explain(inputs: np.ndarray, composite: str) -> np.ndarray:
        return innvestigate.create_analyzer(composite, model).analyze(inputs).sum(axis=-1)

    def both(*clips: np.ndarray) -> np.ndarray:
        parts = batches(*clips, INNVESTIGATE_BATCH)
        maps = [[explain(inputs, composite) for composite in COMPOSITES] for inputs, _ in parts]
        return np.concatenate(maps, axis=1)

    return {"both": both}


def _without_softmax(folder: Path) -> "keras.Model":
    """Set TensorFlow up for innvestigate, and return the network as that takes it."""
    prepare(n_threads=N_THREADS, eager=False)
    import innvestigate

    weights = read_weights(folder / WEIGHTS)
    model = architecture.build(len(weights["dense_out/bias"]))
    architecture.load_weights(model, weights)
    return innvestigate.model_wo_softmax(model)


CONTESTANTS: Mapping[str, tuple[str, Callable[[Path], dict[str, Task]]]] = {
    "ours": ("onnxruntime", _ours),
    "forward": ("onnxruntime", _forward),
    "innvestigate": ("innvestigate", _innvestigate),
    "as published": ("innvestigate", _as_published),
}
"""The package whose version is told, and what builds the contestant's tasks."""


if __name__ == "__main__":
    main()
