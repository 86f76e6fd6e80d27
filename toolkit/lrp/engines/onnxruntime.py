"""Relevance maps by onnxruntime from a compiled graph: no TensorFlow, no gradients, any of its providers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import DependencyError, ModelError
from toolkit.lrp.compiler import LOGITS, RELEVANCE, TARGET, restricted
from toolkit.lrp.explainer import Explanation, check_targets

if TYPE_CHECKING:
    import onnxruntime

CPU = "cpu"
CLIPS_AT_ONCE = 2
"""Clips in one pass: few, so that on a processor the layers' outputs stay in its cache."""
MANY_CLIPS = 64
"""Clips in one pass elsewhere."""
_SUFFIX = "ExecutionProvider"
_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}
"""Products of ten bits less would find other winners in max pools."""
_REMOTE = "azure"
"""Calls a service, and computes nothing here."""


class OnnxruntimeExplainer:
    """A graph from ``toolkit.lrp.compiler``, ready to run.

    Passes of a few clips each are spread over threads of one operator each, which on a processor is faster than
    several threads within an operator, and gives the same numbers whatever their count.
    """

    def __init__(self, model: bytes | Path, *, n_threads: int = 1, provider: str = CPU) -> None:
        """Load a graph.

        Raises
        ------
        DependencyError
            onnxruntime has no such provider here.
        """
        import onnx

        self._model = onnx.load(model) if isinstance(model, Path) else onnx.load_from_string(model)
        self._provider = provider_name(provider)
        self._outputs = [output.name for output in self._model.graph.output]
        self._n_classes = self._model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
        self._input = next(each.name for each in self._model.graph.input if each.name != TARGET)
        self._n_clips = CLIPS_AT_ONCE if self._provider == provider_name(CPU) else MANY_CLIPS
        self._threads = ThreadPoolExecutor(n_threads)
        self._sessions: dict[tuple[str, ...], onnxruntime.InferenceSession] = {}

    @property
    def composites(self) -> tuple[str, ...]:
        """What the graph can compute."""
        return tuple(name.removeprefix(RELEVANCE) for name in self._outputs if name != LOGITS)

    def explain(self, inputs: np.ndarray, targets: np.ndarray, composites: Sequence[str]) -> Explanation:
        """Return logits, and a map for each clip and composite; see ``Explainer.explain``.

        Raises
        ------
        ModelError
            A target is no class of the network, or the graph was compiled without one of the composites.
        """
        check_targets(targets, self._n_classes)
        if not len(inputs):
            empty = np.zeros((0, *inputs.shape[1:3]), np.float32)
            return Explanation(np.zeros((0, self._n_classes), np.float32), dict.fromkeys(composites, empty))
        unknown = [name for name in composites if name not in self.composites]
        if unknown:
            raise ModelError(
                f"the graph holds no composite {unknown[0]}, only {', '.join(self.composites)}: compile it anew"
            )
        names = (LOGITS, *(RELEVANCE + name for name in composites))
        session = self._session(names)

        def run(first: int) -> list[np.ndarray]:
            rows = slice(first, first + self._n_clips)
            given = {self._input: inputs[rows], TARGET: targets[rows].astype(np.int64)}
            logits, *maps = session.run(names, given)
            return [logits, *(each.sum(axis=-1) for each in maps)]

        parts = list(self._threads.map(run, range(0, len(inputs), self._n_clips)))
        logits, *maps = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Explanation(logits, dict(zip(composites, maps, strict=True)))

    def _session(self, outputs: tuple[str, ...]) -> "onnxruntime.InferenceSession":
        """Return a session for some outputs: one for all of them would compute all (onnxruntime's issue 16013).

        Raises
        ------
        DependencyError
            The provider cannot be started.
        """
        import onnxruntime

        if outputs not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            content = restricted(self._model, outputs).SerializeToString()
            session = onnxruntime.InferenceSession(
                content, options, providers=[(self._provider, _OPTIONS.get(self._provider, {}))]
            )
            if session.get_providers()[0] != self._provider:
                raise DependencyError(
                    f"onnxruntime has {self._provider} here but cannot start it: see what it needs at "
                    f"onnxruntime.ai, or use --provider {CPU}"
                )
            self._sessions[outputs] = session
        return self._sessions[outputs]


def provider_name(provider: str) -> str:
    """Return onnxruntime's name of a provider such as 'cpu' or 'cuda'.

    Raises
    ------
    DependencyError
        There is none of that name here.
    """
    import onnxruntime

    installed = {name.removesuffix(_SUFFIX).lower(): name for name in onnxruntime.get_available_providers()}
    installed.pop(_REMOTE, None)
    wanted = provider.lower().removesuffix(_SUFFIX.lower())
    if wanted not in installed:
        raise DependencyError(
            f"onnxruntime has no provider {provider} here, only {', '.join(sorted(installed))}: install the "
            "build of onnxruntime for that hardware, or use --provider cpu"
        )
    return installed[wanted]
