"""Relevance maps by innvestigate 2.1.2 itself: the reference for every other engine.

Needs a process in which ``toolkit.network.runtime.prepare`` has turned eager execution off. Building an
analyzer takes seconds, using it milliseconds: keep one explainer per network.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import ModelError
from toolkit.lrp.explainer import PREDICTED, Explanation, check_targets

if TYPE_CHECKING:
    import innvestigate.analyzer
    import keras


VERSION = "2.1.2"
ANALYZERS = (
    "lrp.z",
    "lrp.epsilon",
    "lrp.w_square",
    "lrp.flat",
    "lrp.z_plus",
    "lrp.alpha_1_beta_0",
    "lrp.alpha_2_beta_1",
    "lrp.sequential_preset_a",
    "lrp.sequential_preset_b",
    "lrp.sequential_preset_a_flat",
    "lrp.sequential_preset_b_flat",
    "gradient",
    "input_t_gradient",
)
"""Composites that innvestigate has under the same name."""


class InnvestigateExplainer:
    """One network and its analyzers, each built when first used and then kept, in a graph of their own.

    Without the graph of its own, every analyzer would take longer to build than the one before.
    """

    def __init__(self, network: Callable[[], "keras.Model"]) -> None:
        """Build the network by calling ``network``, which returns it with softmax and trained weights."""
        import innvestigate
        import tensorflow as tf

        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph)
        with self._own_graph():
            # A graph with dropout must have a seed of its own, though inference draws nothing.
            tf.compat.v1.set_random_seed(0)
            self._model = innvestigate.model_wo_softmax(network())
        self._analyzers: dict[str, innvestigate.analyzer.AnalyzerBase] = {}

    def explain(self, inputs: np.ndarray, targets: np.ndarray, composites: Sequence[str]) -> Explanation:
        """Return logits, and a map for each clip and composite; see ``Explainer.explain``.

        Raises
        ------
        ModelError
            A target is no class of the network, or innvestigate has no such composite.
        """
        with self._own_graph():
            logits = np.asarray(self._model.predict_on_batch(inputs), dtype=np.float32)
            check_targets(targets, logits.shape[1])
            chosen = np.where(targets == PREDICTED, logits.argmax(axis=1), targets)
            maps = {name: self._analyzer(name).analyze(inputs, neuron_selection=chosen) for name in composites}
        summed = {name: np.asarray(each, np.float32).sum(axis=-1) for name, each in maps.items()}
        return Explanation(logits, summed)

    def _analyzer(self, composite: str) -> "innvestigate.analyzer.AnalyzerBase":
        import innvestigate

        if composite not in ANALYZERS:
            raise ModelError(f"innvestigate has no composite {composite}, it has {', '.join(ANALYZERS)}")
        if composite not in self._analyzers:
            self._analyzers[composite] = innvestigate.create_analyzer(
                composite, self._model, neuron_selection_mode="index"
            )
        return self._analyzers[composite]

    @contextmanager
    def _own_graph(self) -> Iterator[None]:
        with self._graph.as_default(), self._session.as_default():
            yield
