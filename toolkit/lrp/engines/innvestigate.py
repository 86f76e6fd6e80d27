"""Relevance maps by innvestigate 2.1.2 itself: the reference for every other engine.

Needs a process in which ``toolkit.network.runtime.prepare`` has turned eager execution off. Building an
analyzer takes seconds, using it milliseconds: keep one explainer per network.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import innvestigate.analyzer
    import keras


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

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's output before softmax, shape (clip, class), float32."""
        with self._own_graph():
            return np.asarray(self._model.predict_on_batch(inputs), dtype=np.float32)

    def relevance(self, inputs: np.ndarray, targets: np.ndarray, composite: str) -> np.ndarray:
        """Return relevance for the logit of each clip's target, summed over the input channels.

        Parameters
        ----------
        inputs
            Network inputs, shape (clip, bin, frame, channel).
        targets
            Class number to explain, shape (clip,).
        composite
            innvestigate's name of it, such as 'lrp.epsilon'.

        Returns
        -------
        Maps, shape (clip, bin, frame), float32, unnormalised: the seed is the logit itself.
        """
        with self._own_graph():
            maps = self._analyzer(composite).analyze(inputs, neuron_selection=targets)
        return np.asarray(maps, dtype=np.float32).sum(axis=-1)

    def _analyzer(self, composite: str) -> "innvestigate.analyzer.AnalyzerBase":
        import innvestigate

        if composite not in self._analyzers:
            self._analyzers[composite] = innvestigate.create_analyzer(
                composite, self._model, neuron_selection_mode="index"
            )
        return self._analyzers[composite]

    @contextmanager
    def _own_graph(self) -> Iterator[None]:
        with self._graph.as_default(), self._session.as_default():
            yield
