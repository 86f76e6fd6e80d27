"""Reading a classifier from ONNX: from nodes of opset 11 to 18 to layers that relevance can be taken through.

What is not known here is an error that names the node; nothing is skipped or guessed.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import ModelError
from toolkit.lrp.layers import Layer
from toolkit.lrp.operators import ADVICE, OPERATORS, Node
from toolkit.lrp.window import Shape

if TYPE_CHECKING:
    import onnx

OPSETS = range(11, 19)
_PROBE = 7919
"""Stands for the number of clips where a network works out shapes: a prime, so that it shows."""
_AT_THE_END = {"Softmax", "LogSoftmax"}
_ONNX = {"", "ai.onnx"}


@dataclass(frozen=True)
class Network:
    """A classifier as a chain of layers, from its input to its logits."""

    input_name: str
    input_shape: Shape
    """Without the batch axis."""
    dtype: np.dtype
    layers: tuple[Layer, ...]
    n_classes: int


def read(source: "bytes | Path | onnx.ModelProto") -> Network:
    """Read a classifier; softmax at its end is left out.

    Raises
    ------
    ModelError
        It is no ONNX model, or not one that relevance can be taken through.
    """
    model = _loaded(source)
    constants = _Constants(model.graph, _opset(model))
    name, dtype, shape, batch = _input(model.graph, set(constants.values))
    reading = _Reading(constants, {name: ()}, {name: shape}, batch)
    for node in _needed(model.graph):
        reading.take(node)
    output = model.graph.output[0].name
    layers = _uniquely_named(reading.layers[output])
    return Network(name, shape, dtype, layers, _n_classes(output, reading.shapes[output], layers))


def _loaded(source: "bytes | Path | onnx.ModelProto") -> "onnx.ModelProto":
    """Return the model, checked as far as its format goes.

    Raises
    ------
    ModelError
        It cannot be read, or is none.
    """
    import onnx
    from google.protobuf.message import DecodeError

    where = f"{source}: " if isinstance(source, Path) else ""
    try:
        if isinstance(source, Path):
            model = onnx.load(source, format="protobuf")
        else:
            model = onnx.load_from_string(source) if isinstance(source, bytes) else source
        _check_opset(model)
        onnx.checker.check_model(model)  # full_check divides by a stride of 0 and takes the process with it
    except OSError as error:
        raise ModelError(f"{where}the network cannot be read: {error.strerror or error}") from error
    except (DecodeError, UnicodeDecodeError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{where}not a valid ONNX model ({reason}): export the network again") from error
    return model


def _opset(model: "onnx.ModelProto") -> int:
    return next((int(each.version) for each in model.opset_import if each.domain in _ONNX), 0)


def _check_opset(model: "onnx.ModelProto") -> None:
    if _opset(model) not in OPSETS:
        raise ModelError(
            f"the network is of opset {_opset(model)}, and {OPSETS[0]} to {OPSETS[-1]} are known: export it "
            f"again with opset 17 (tf2onnx: opset=17; torch.onnx.export: opset_version=17)"
        )


def _input(graph: "onnx.GraphProto", constants: set[str]) -> tuple[str, np.dtype, Shape, int | None]:
    """Return the input's name, type, shape without the batch axis, and the number of clips if that is fixed.

    Raises
    ------
    ModelError
        There is not one input of real numbers of a known shape, or not one output.
    """
    from onnx import helper

    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        found = [each.name for each in inputs], [each.name for each in graph.output]
        raise ModelError(
            f"the network has the inputs {found[0]} and the outputs {found[1]}: export one with one of each"
        )
    given = inputs[0].type.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(given.elem_type))
    if dtype not in {np.dtype(np.float32), np.dtype(np.float64)}:
        raise ModelError(
            f"the input {inputs[0].name!r} is of type {dtype}: export the network in float32 or float64"
        )
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in given.shape.dim]
    shape = tuple(size for size in sizes[1:] if size)
    if len(sizes) < 2 or len(shape) < len(sizes) - 1:
        text = ", ".join("?" if size is None else str(size) for size in sizes)
        raise ModelError(
            f"the input {inputs[0].name!r} has shape ({text}): export the network with a batch axis first and "
            "every other size fixed"
        )
    return inputs[0].name, dtype, shape, sizes[0] or None


class _Constants:
    """What does not depend on the network's input, by name."""

    def __init__(self, graph: "onnx.GraphProto", opset: int) -> None:
        from onnx import numpy_helper

        self.values = {each.name: np.asarray(numpy_helper.to_array(each)) for each in graph.initializer}
        self.opset = opset

    def fold(self, node: "onnx.NodeProto") -> None:
        """Compute a node whose inputs are all known.

        Raises
        ------
        ModelError
            It cannot be computed here.
        """
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        known = {name: self.values[name] for name in node.input if name}
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values.dtype), values.shape)
            for name, values in known.items()
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        opsets = [helper.make_opsetid("", self.opset)]
        alone = helper.make_model(helper.make_graph([node], "constant", inputs, outputs), opset_imports=opsets)
        try:
            found = ReferenceEvaluator(alone).run(None, known)
        except Exception as error:
            raise ModelError(
                f"node {node.name!r} ({node.op_type}): its constant result cannot be computed ({error}): "
                "export the network with constants folded"
            ) from error
        self.values.update(zip(node.output, (np.asarray(each) for each in found), strict=True))


def _needed(graph: "onnx.GraphProto") -> list["onnx.NodeProto"]:
    """Return the nodes that the output rests on, in order."""
    wanted = {graph.output[0].name}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


@dataclass(frozen=True)
class _Reading:
    """What is known of the tensors of a network, by name, after some of its nodes."""

    constants: _Constants
    layers: dict[str, tuple[Layer, ...]]
    """From the network's input to each tensor that depends on it."""
    shapes: dict[str, Shape]
    """Of these tensors, without the batch axis."""
    batch: int | None
    ended: set[str] = field(default_factory=set)
    """Those behind a softmax."""

    def take(self, node: "onnx.NodeProto") -> None:
        """Learn what the outputs of one more node are.

        Raises
        ------
        ModelError
            Relevance cannot be taken through it.
        """
        data = [place for place, each in enumerate(node.input) if each in self.layers]
        for name in node.input:
            if name and name not in self.layers and name not in self.constants.values:
                _named(node).refuse(
                    f"it uses {name!r}, which no node known here gives",
                    "only the first output of an operator can be used",
                )
        if not data:
            self.constants.fold(node)
        elif node.op_type == "Shape":
            self.constants.values[node.output[0]] = self._shape(node)
        else:
            self._take_layer(node, data)

    def _shape(self, node: "onnx.NodeProto") -> np.ndarray:
        """Return the shape of a tensor, with a number of clips that can be told from all others."""
        known = _attributes(node)
        return np.array([_PROBE, *self.shapes[node.input[0]]], np.int64)[
            known.get("start", 0) : known.get("end")
        ]

    def _take_layer(self, node: "onnx.NodeProto", data: Sequence[int]) -> None:
        source, output = node.input[data[0]], node.output[0]
        view = replace(
            _named(node),
            opset=self.constants.opset,
            constants=tuple(self.constants.values.get(name) for name in node.input),
            data=data[0],
            shape=self.shapes[source],
            batch=self.batch,
        )
        if len(data) > 1:
            view.refuse("it joins branches of the network", ADVICE["Concat"])
        if source in self.ended and node.op_type != "Identity":
            view.refuse("it stands behind a softmax", ADVICE["Softmax"])
        if node.op_type in _AT_THE_END:
            _check_softmax(view)
            self.layers[output] = self.layers[source]
        else:
            self.layers[output] = _read(view, self.layers[source])
        if node.op_type in _AT_THE_END or source in self.ended:
            self.ended.add(output)
        last = self.layers[output][-1:]
        self.shapes[output] = last[0].output_shape if last else view.shape


def _named(node: "onnx.NodeProto") -> Node:
    """Return a node of which only itself is known."""
    operator = node.op_type if node.domain in _ONNX else f"{node.domain}.{node.op_type}"
    return Node(node.name or node.output[0], operator, _attributes(node), probe=_PROBE)


def _attributes(node: "onnx.NodeProto") -> dict[str, Any]:
    from onnx import helper

    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def _read(node: Node, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    if node.operator not in OPERATORS:
        node.refuse(
            "relevance cannot be taken through it",
            ADVICE.get(node.operator, f"known are {', '.join(OPERATORS)}, and Softmax at the end"),
        )
    try:
        return OPERATORS[node.operator](node, layers)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        node.refuse(f"its attributes and constants do not fit together ({error})", "export the network again")


def _check_softmax(node: Node) -> None:
    axis = int(node.attribute("axis", 1 if node.opset < 13 else -1)) % (len(node.shape) + 1)
    if axis != 1 or len(node.shape) != 1:
        node.refuse(
            f"it runs over axis {axis} of {len(node.shape) + 1}", "classes must be the only axis but the batch"
        )


def _n_classes(output: str, shape: Shape, layers: Sequence[Layer]) -> int:
    if len(shape) != 1 or not layers:
        raise ModelError(
            f"the output {output!r} has shape {('batch', *shape)}, and (batch, class) is needed: "
            "export a network that classifies"
        )
    return shape[0]


def _uniquely_named(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers with numbers behind names that stand more than once."""
    given = {layer.name for layer in layers}
    taken: set[str] = set()
    named = []
    for layer in layers:
        numbered = (f"{layer.name}_{number}" for number in itertools.count(2))
        free = (each for each in numbered if each not in given | taken)
        name = next(free) if layer.name in taken else layer.name
        taken.add(name)
        named.append(replace(layer, name=name))
    return tuple(named)
