"""Relevance maps by onnxruntime from a compiled graph: no TensorFlow, no gradients, any of its providers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from toolkit.errors import DependencyError, ModelError
from toolkit.lrp.compiler import LOGITS, RELEVANCE, TARGET
from toolkit.lrp.explainer import Explanation, check_targets

CPU = "cpu"
CLIPS_AT_ONCE = {CPU: 2}
"""Clips in one pass: few, so that on a processor the layers' outputs stay in its cache."""
MANY_CLIPS = 64
"""Clips in one pass elsewhere."""
_SUFFIX = "ExecutionProvider"


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
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        source = str(model) if isinstance(model, Path) else model
        name = provider_name(provider)
        self._session = onnxruntime.InferenceSession(source, options, providers=[name])
        if self._session.get_providers()[0] != name:
            raise DependencyError(
                f"onnxruntime has provider {provider} here but cannot start it: see what it needs at "
                f"onnxruntime.ai, or use --provider {CPU}"
            )
        self._only_what_is_asked = onnxruntime.RunOptions()
        self._only_what_is_asked.only_execute_path_to_fetches = True
        self._outputs = {output.name: output for output in self._session.get_outputs()}
        self._input = next(each.name for each in self._session.get_inputs() if each.name != TARGET)
        self._n_clips = CLIPS_AT_ONCE.get(provider.lower(), MANY_CLIPS)
        self._threads = ThreadPoolExecutor(n_threads)

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
        check_targets(targets, self._outputs[LOGITS].shape[1])
        for name in composites:
            if RELEVANCE + name not in self._outputs:
                raise ModelError(
                    f"the graph holds no composite {name}, only {', '.join(self.composites)}: compile it anew"
                )
        names = [LOGITS, *(RELEVANCE + name for name in composites)]

        def run(first: int) -> list[np.ndarray]:
            rows = slice(first, first + self._n_clips)
            given = {self._input: inputs[rows], TARGET: targets[rows].astype(np.int64)}
            logits, *maps = self._session.run(names, given, self._only_what_is_asked)
            return [logits, *(each.sum(axis=-1) for each in maps)]

        parts = list(self._threads.map(run, range(0, len(inputs), self._n_clips)))
        logits, *maps = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Explanation(logits, dict(zip(composites, maps, strict=True)))


def provider_name(provider: str) -> str:
    """Return onnxruntime's name of a provider such as 'cpu' or 'cuda'.

    Raises
    ------
    DependencyError
        There is none of that name here.
    """
    import onnxruntime

    installed = {name.removesuffix(_SUFFIX).lower(): name for name in onnxruntime.get_available_providers()}
    wanted = provider.lower().removesuffix(_SUFFIX.lower())
    if wanted not in installed:
        raise DependencyError(
            f"onnxruntime has no provider {provider} here, only {', '.join(sorted(installed))}: install the "
            "build of onnxruntime for that hardware, or use --provider cpu"
        )
    return installed[wanted]
