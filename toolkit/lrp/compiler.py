"""LRP compiled into a plain ONNX model: from a classifier to one that also computes its relevance maps."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import ConfigError, ModelError
from toolkit.lrp import graph as networks
from toolkit.lrp.composites import COMPOSITES, Composite, named
from toolkit.lrp.explainer import PREDICTED
from toolkit.lrp.graph import Network
from toolkit.lrp.layers import Layer, Weighted
from toolkit.lrp.relevance import Relevance
from toolkit.lrp.tensors import Graph, Tensor

if TYPE_CHECKING:
    import onnx

LOGITS, TARGET, RELEVANCE = "logits", "target", "relevance."
"""Names of what goes in and comes out beside the network's own input; composites follow the last."""
_ROUTING = {"max_pool", "reshape", "pad"}
"""Kinds of layers that need no rule: each of their outputs is one of their inputs, or a share of equal ones."""


def compile_relevance(
    model: "bytes | str | Path | onnx.ModelProto", composites: Sequence[str | Composite]
) -> "onnx.ModelProto":
    """Return a model that computes relevance maps, with standard operators alone.

    Inputs are the classifier's own and ``target``, int64, shape (batch,): the class to explain, -1 for the one
    with the highest logit; outside -1 to the number of classes - 1, running it is an error. Outputs are
    ``logits``, shape (batch, class), and ``relevance.<composite>``, shaped as the input. Softmax at the end of
    the classifier is left out. Composites share everything that they have in common.

    Parameters
    ----------
    model
        A classifier with one input, opset 11 to 18: a file of it by name, its bytes, or itself.
    composites
        Names in ``COMPOSITES``, or composites of one's own.

    Raises
    ------
    ModelError
        The classifier holds something that relevance cannot be taken through.
    ConfigError
        A composite is not known, named twice, or has no rule for a layer.
    """
    network = networks.read(Path(model) if isinstance(model, str) else model)
    chosen = _chosen(composites)
    _check_name(network.input_name, chosen)
    graph = Graph(network.dtype)
    x = graph.input(network.input_name, network.dtype, network.input_shape)
    target = graph.input(TARGET, np.dtype(np.int64), ())
    tensors = [x]
    for layer in network.layers:
        with graph.scope(layer.name):
            y = layer.forward(tensors[-1])
        known = y.nonnegative or (layer.keeps_sign and tensors[-1].nonnegative)
        tensors.append(y.noted(nonnegative=known))
    outputs: dict[str, tuple[Tensor, Sequence[int]]] = {LOGITS: (tensors[-1], (network.n_classes,))}
    seeds = _Seeds(graph, tensors[-1], target, network.n_classes)
    for composite in chosen:
        composite.check(network.layers)
        with graph.scope(composite.name):
            relevance = _propagated(network, tensors, seeds.of(composite), composite)
        outputs[RELEVANCE + composite.name] = relevance, network.input_shape
    return graph.model(outputs, "audio-lrp-toolkit")


def restricted(model: "onnx.ModelProto", outputs: Sequence[str]) -> "onnx.ModelProto":
    """Return a compiled model that computes some of its outputs, and nothing that they do not rest on."""
    import onnx

    small = onnx.ModelProto()
    small.CopyFrom(model)
    kept = networks.needed(model.graph, outputs)
    wanted = {name for node in kept for name in node.input}
    for field, elements in (
        ("node", kept),
        ("initializer", [each for each in model.graph.initializer if each.name in wanted]),
        ("output", [each for name in outputs for each in model.graph.output if each.name == name]),
    ):
        del getattr(small.graph, field)[:]
        getattr(small.graph, field).extend(elements)
    return small


def _check_name(name: str, composites: Sequence[Composite]) -> None:
    """Refuse an input that is called what something else must be called.

    Raises
    ------
    ModelError
        It is.
    """
    if name in {TARGET, LOGITS, *(RELEVANCE + composite.name for composite in composites)}:
        raise ModelError(f"the input of the network is called {name!r}, as something else must be: rename it")


def _chosen(composites: Sequence[str | Composite]) -> list[Composite]:
    found: dict[str, Composite] = {}
    for each in composites:
        composite = named(each) if isinstance(each, str) else each
        if composite.name in found:
            raise ConfigError(f"composite {composite.name} is named twice")
        found[composite.name] = composite
    if not found:
        raise ConfigError(f"no composite is named: choose from {', '.join(COMPOSITES)}")
    return list(found.values())


class _Seeds:
    """Where relevance begins: at one logit of each clip."""

    def __init__(self, graph: Graph, logits: Tensor, target: Tensor, n_classes: int) -> None:
        self._logits = logits
        highest = graph.node("ArgMax", logits, axis=1, keepdims=0)
        # One target for each clip: an operator that broadcasts would take one for all.
        given = graph.node("Reshape", target, graph.node("Shape", highest))
        predicted = graph.node("Equal", given, graph.integers(PREDICTED))
        chosen = graph.node("Where", predicted, highest, given)
        # Negative indices count from the end in ONNX: what is below -1 is moved to where nothing is.
        below = graph.node("Less", chosen, graph.integers(0))
        place = graph.node("Where", below, graph.integers(n_classes), chosen)
        column = graph.node("Unsqueeze", place, graph.integers(1))
        # Both operators refuse an index that is out of range; OneHot would give zeros.
        picked = graph.node("GatherElements", logits, column, axis=1)
        nothing = graph.node("Expand", graph.constant(np.zeros((1, 1))), graph.node("Shape", logits))
        one = graph.node("Expand", graph.constant(np.ones((1, 1))), graph.node("Shape", picked))
        one_hot = graph.node("ScatterElements", nothing, column, one, axis=1)
        # Where a runtime does not refuse it, a class that there is not gives no numbers.
        inside = graph.node("Less", column, graph.integers(n_classes))
        weight = graph.node("Where", inside, graph.constant(np.ones(())), graph.constant(np.full((), np.nan)))
        self._one_hot = one_hot * weight

    def of(self, composite: Composite) -> Relevance:
        """Return the relevance of the logits."""
        return Relevance(self._one_hot, self._logits if composite.seed_is_logit else None)


def _propagated(network: Network, tensors: Sequence[Tensor], seed: Relevance, composite: Composite) -> Tensor:
    """Return the relevance of the network's input, ``tensors[0]``, given that of its output."""
    weighted = [layer for layer in network.layers if isinstance(layer, Weighted)]
    relevance = seed
    steps = list(zip(network.layers, pairwise(tensors), strict=True))
    for layer, (x, y) in reversed(steps):
        with x.graph.scope(layer.name):
            if layer.kind in _ROUTING:
                relevance = _routed(layer, x, y, relevance)
            else:
                relevance = composite.rule_for(layer, weighted)(layer, x, y, relevance)
    value = relevance.value()
    return value * tensors[0] if composite.times_input else value


def _routed(layer: Layer, x: Tensor, y: Tensor, relevance: Relevance) -> Relevance:
    if relevance.activation is None:
        return Relevance(layer.adjoint(relevance.value(), x, y))
    before = relevance.route

    def route(product: Tensor) -> Tensor:
        return layer.adjoint(product if before is None else before(product), x, y)

    return Relevance(relevance.factor, relevance.activation, route)
