"""Reading a classifier from ONNX: from nodes of opset 11 to 18 to layers that relevance can be taken through.

What is not known here is an error that names the node; nothing is skipped or guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
    _check_opset(model)
    constants = _Constants(model.graph, _opset(model))
    name, dtype, shape, batch = _input(model.graph, set(constants.values))
    layers: tuple[Layer, ...] = ()
    shapes = {name: shape}
    ended = ""
    for node in _needed(model.graph):
        data = [place for place, each in enumerate(node.input) if each in shapes]
        if not data:
            constants.fold(node)
            continue
        if node.op_type == "Shape":
            constants.values[node.output[0]] = np.array([_PROBE, *shapes[node.input[0]]], np.int64)
            continue
        view = _view(node, data, constants, shapes, batch)
        if ended and node.op_type != "Identity":
            view.refuse(f"it stands behind {ended}", ADVICE["Softmax"])
        if node.op_type in _AT_THE_END:
            _check_softmax(view)
            ended = node.op_type
        else:
            layers = _read_node(view, layers)
        shapes[node.output[0]] = layers[-1].output_shape if layers else shape
    n_classes = _n_classes(model.graph, shapes[model.graph.output[0].name], layers)
    return Network(name, shape, dtype, _uniquely_named(layers), n_classes)


def _loaded(source: "bytes | Path | onnx.ModelProto") -> "onnx.ModelProto":
    import onnx
    from google.protobuf.message import DecodeError

    try:
        if isinstance(source, Path):
            model = onnx.load(source)
        else:
            model = onnx.load_from_string(source) if isinstance(source, bytes) else source
        onnx.checker.check_model(model)
    except OSError as error:
        raise ModelError(f"cannot read the network {source!r}: {error.strerror or error}") from error
    except (DecodeError, onnx.checker.ValidationError) as error:
        where = f"{source}: " if isinstance(source, Path) else ""
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


def _view(
    node: "onnx.NodeProto",
    data: Sequence[int],
    constants: _Constants,
    shapes: Mapping[str, Shape],
    batch: int | None,
) -> Node:
    from onnx import helper

    return Node(
        name=node.name or node.output[0],
        operator=node.op_type if node.domain in _ONNX else f"{node.domain}.{node.op_type}",
        attributes={each.name: _plain(helper.get_attribute_value(each)) for each in node.attribute},
        opset=constants.opset,
        constants=tuple(constants.values.get(name) for name in node.input),
        data=data[0],
        n_data=len(data),
        shape=shapes[node.input[data[0]]],
        batch=batch,
        probe=_PROBE,
    )


def _plain(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value


def _read_node(node: Node, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    if node.operator not in OPERATORS:
        node.refuse(
            "relevance cannot be taken through it",
            ADVICE.get(node.operator, f"known are {', '.join(OPERATORS)}, and Softmax at the end"),
        )
    if node.n_data > 1:
        node.refuse("it joins branches of the network", ADVICE["Concat"])
    return OPERATORS[node.operator](node, layers)


def _check_softmax(node: Node) -> None:
    axis = int(node.attribute("axis", 1 if node.opset < 13 else -1)) % (len(node.shape) + 1)
    if axis != 1 or len(node.shape) != 1:
        node.refuse(
            f"it runs over axis {axis} of {len(node.shape) + 1}", "classes must be the only axis but the batch"
        )


def _n_classes(graph: "onnx.GraphProto", shape: Shape, layers: tuple[Layer, ...]) -> int:
    if len(shape) != 1 or not layers:
        raise ModelError(
            f"the output {graph.output[0].name!r} has shape {('batch', *shape)}, and (batch, class) is needed: "
            "export a network that classifies"
        )
    return shape[0]


def _uniquely_named(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    seen: dict[str, int] = {}
    named = []
    for layer in layers:
        seen[layer.name] = seen.get(layer.name, 0) + 1
        number = seen[layer.name]
        named.append(layer if number == 1 else replace(layer, name=f"{layer.name}_{number}"))
    return tuple(named)
