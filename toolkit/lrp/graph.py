"""Reading a classifier from ONNX: from nodes of opset 11 to 18 to layers that relevance can be taken through.

What is not known here is an error that names the node; nothing is skipped or guessed.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import ModelError
from toolkit.lrp.layers import Layer
from toolkit.lrp.operators import ADVICE, Node
from toolkit.lrp.operators import read as read_node
from toolkit.lrp.window import Shape

if TYPE_CHECKING:
    import onnx

OPSETS = range(11, 19)
_PROBE = 1_000_003
"""Stands for the number of clips where a network works out shapes: a prime that no other size is made of."""
_AT_THE_END = {"Softmax", "LogSoftmax"}
_AFTER_THE_END = {"Identity", "Dropout"}
_ONNX = {"", "ai.onnx"}
_FOLDED = {
    *(
        "Add",
        "Cast",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Exp",
        "Expand",
        "Gather",
        "Identity",
    ),
    *("MatMul", "Mul", "Neg", "Pow", "Range", "Reciprocal", "ReduceProd", "Reshape", "Shape", "Slice", "Split"),
    *("Sqrt", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where"),
}
"""What may be done with constants; onnx computes some others unlike onnxruntime does, and some at random."""
_MOVING_SIZES = {
    *("Cast", "Gather", "Identity", "ReduceProd", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"),
}
_JOINING_SIZES = {"Concat", "Mul"}
"""What may be done with a shape that holds the number of clips; all else may hang on that number."""


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
    constants = _Constants(model.graph, _opsets(model)[0])
    name, dtype, shape, batch = _input(model.graph, set(constants.values))
    reading = _Reading(constants, dtype, batch, {name: ()}, {name: shape})
    for node in needed(model.graph, [model.graph.output[0].name]):
        reading.take(node)
    layers, n_classes = _classifying(reading, name, model.graph.output[0].name)
    return Network(name, shape, dtype, _uniquely_named(layers), n_classes)


# Files


def _loaded(source: "bytes | Path | onnx.ModelProto") -> "onnx.ModelProto":
    """Return the model, checked as far as its format goes.

    Raises
    ------
    ModelError
        It cannot be read, or is none.
    """
    import onnx

    where = f"{source}: " if isinstance(source, Path) else ""
    try:
        if isinstance(source, Path):
            model = onnx.load(source, format="protobuf")
        else:
            model = onnx.load_from_string(source) if isinstance(source, bytes) else source
        _check_opset(model)
        onnx.checker.check_model(model)  # full_check divides by a stride of 0 and takes the process with it
        _check_text(model.graph)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{where}the network cannot be read: {error.strerror or error}") from error
    except Exception as error:  # what protobuf and the checker raise hangs on their versions
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{where}not a valid ONNX model ({reason}): export the network again") from error
    return model


def _opsets(model: "onnx.ModelProto") -> list[int]:
    return [int(each.version) for each in model.opset_import if each.domain in _ONNX]


def _check_opset(model: "onnx.ModelProto") -> None:
    found = _opsets(model)
    if len(found) != 1 or found[0] not in OPSETS:
        raise ModelError(
            f"the network is of opset {' and '.join(map(str, found)) or 'none'}, and one of {OPSETS[0]} to "
            f"{OPSETS[-1]} is known: export it again with opset 17 (tf2onnx: opset=17; torch.onnx.export: "
            "opset_version=17)"
        )
    taken = [each.name for each in model.functions if each.domain in _ONNX]
    if taken:
        raise ModelError(
            f"the network has its own functions {taken} in place of ONNX's: export it without them"
        )


def _check_text(graph: "onnx.GraphProto") -> None:
    """Refuse what the checker lets pass: names that are no text, and attributes that only a function can have.

    Raises
    ------
    ValueError
        There is one.
    """
    names = [each.name for each in (*graph.input, *graph.output, *graph.node)]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name in it is not UTF-8")
    if any(each.ref_attr_name for node in graph.node for each in node.attribute):
        raise ValueError("an attribute in it refers to that of a function")


def _input(graph: "onnx.GraphProto", constants: set[str]) -> tuple[str, np.dtype, Shape, int | None]:
    """Return the input's name, type, shape without the batch axis, and the number of clips if that is fixed.

    Raises
    ------
    ModelError
        There is not one input of real numbers of a known shape, or not one output.
    """
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        found = [each.name for each in inputs], [each.name for each in graph.output]
        raise ModelError(
            f"the network has the inputs {found[0]} and the outputs {found[1]}: export one with one of each"
        )
    dtype = _real_type(inputs[0])
    dims = inputs[0].type.tensor_type.shape.dim
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    shape = tuple(size for size in sizes[1:] if size and size > 0)
    if len(sizes) < 2 or len(shape) < len(sizes) - 1:
        text = ", ".join("?" if size is None else str(size) for size in sizes)
        raise ModelError(
            f"the input {inputs[0].name!r} has shape ({text}): export the network with a batch axis first and "
            "every other size fixed"
        )
    batch = sizes[0] if sizes[0] and sizes[0] > 0 else None
    return inputs[0].name, dtype, shape, batch


def _real_type(given: "onnx.ValueInfoProto") -> np.dtype:
    """Return the type of the network's numbers.

    Raises
    ------
    ModelError
        It is not float32 or float64, or the input is no tensor.
    """
    from onnx import TensorProto

    number = given.type.tensor_type.elem_type
    known: dict[int, np.dtype] = {
        TensorProto.FLOAT: np.dtype(np.float32),
        TensorProto.DOUBLE: np.dtype(np.float64),
    }
    if number not in known:
        names: dict[int, str] = {value: name for name, value in TensorProto.DataType.items()}
        raise ModelError(
            f"the input {given.name!r} is of type {names.get(number, number)}: export the network with one "
            "tensor of float32 or float64"
        )
    return known[number]


# Constants


class _Constants:
    """What does not depend on the network's input, by name."""

    def __init__(self, graph: "onnx.GraphProto", opset: int) -> None:
        self.values = {each.name: _values(each) for each in graph.initializer}
        self.counted: set[str] = set()
        """Names of what was worked out from the number of clips; only shapes have values, with ``_PROBE``."""
        self.opset = opset

    def count(self, name: str, sizes: np.ndarray) -> None:
        """Learn the shape of a tensor, or a part of it."""
        self.values[name] = sizes
        if _PROBE in sizes:
            self.counted.add(name)

    def fold(self, node: "onnx.NodeProto") -> None:
        """Compute a node whose inputs are all known, unless it makes something else than shapes of shapes.

        Raises
        ------
        ModelError
            It cannot be computed here.
        """
        outputs = [name for name in node.output if name]
        counted = self.counted.intersection(node.input)
        if counted:
            self.counted.update(outputs)
        if counted and not (counted <= set(self.values) and _keeps_sizes(node, counted)):
            return
        _check_constant(node)
        found = self._computed(node, outputs)
        if not counted or all(each.dtype.kind == "i" for each in found):
            self.values.update(zip(outputs, found, strict=True))

    def _computed(self, node: "onnx.NodeProto", outputs: Sequence[str]) -> list[np.ndarray]:
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        known = {name: self.values[name] for name in node.input if name}
        try:
            described = [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
                for name, value in known.items()
            ]
            made = [helper.make_empty_tensor_value_info(name) for name in outputs]
            graph = helper.make_graph([node], "constant", described, made)
            alone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
            with np.errstate(all="ignore"):
                return [np.asarray(each) for each in ReferenceEvaluator(alone).run(None, known)]
        except Exception as error:  # noqa: BLE001 (refuse raises)
            _named(node).refuse(
                f"its constant result cannot be computed ({error})", "export the network with constants folded"
            )


def _values(tensor: "onnx.TensorProto") -> np.ndarray:
    from onnx import numpy_helper

    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        raise ModelError(
            f"the constant {tensor.name!r} cannot be read ({error}): export the network again"
        ) from error


def _check_constant(node: "onnx.NodeProto") -> None:
    view = _named(node)
    if view.operator not in _FOLDED:
        view.refuse(
            "it is not worked out here, from constants either", "export the network with constants folded"
        )
    if view.operator == "Constant" and len(view.attributes) != 1:
        view.refuse(f"it has the values {', '.join(view.attributes) or 'none'}", "export it with a single one")


def _keeps_sizes(node: "onnx.NodeProto", counted: set[str]) -> bool:
    """Tell whether a node only moves or multiplies the sizes that hang on the number of clips."""
    if node.op_type in _JOINING_SIZES:
        return True
    return node.op_type in _MOVING_SIZES and not counted.intersection(node.input[1:])


# Nodes


def needed(graph: "onnx.GraphProto", outputs: Iterable[str]) -> list["onnx.NodeProto"]:
    """Return the nodes that some outputs rest on, in order."""
    wanted = set(outputs)
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
    dtype: np.dtype
    batch: int | None
    layers: dict[str, tuple[Layer, ...]]
    """From the network's input to each tensor that depends on it."""
    shapes: dict[str, Shape]
    """Of these tensors, without the batch axis."""
    ended: dict[str, str] = field(default_factory=dict)
    """Those behind a softmax, and which operator that is."""

    def take(self, node: "onnx.NodeProto") -> None:
        """Learn what the outputs of one more node are.

        Raises
        ------
        ModelError
            Relevance cannot be taken through it.
        """
        view = _named(node)
        known = self.layers.keys() | self.constants.values.keys() | self.constants.counted
        for name in node.input:
            if name and name not in known:
                view.refuse(
                    f"it uses {name!r}, which no node known here gives",
                    "only the first output of an operator can be used",
                )
        data = [place for place, name in enumerate(node.input) if name in self.layers]
        if not data:
            self.constants.fold(node)
        elif view.operator == "Shape":
            sizes = np.array([_PROBE, *self.shapes[node.input[0]]], np.int64)
            self.constants.count(
                node.output[0], sizes[view.attribute("start", 0) : view.attribute("end", None)]
            )
        else:
            if len(data) > 1:
                view.refuse("it joins branches of the network", ADVICE["Concat"])
            self._take_layer(self._seen(view, node.input, data[0]), node.input[data[0]], node.output[0])

    def _seen(self, view: Node, inputs: Sequence[str], data: int) -> Node:
        """Return a node with what is known of its inputs.

        Raises
        ------
        ModelError
            It may not use what it does.
        """
        counted = self.constants.counted.intersection(inputs)
        if counted and (view.operator != "Reshape" or not counted <= self.constants.values.keys()):
            view.refuse(
                f"its constant {min(counted)!r} is worked out from the number of clips in a batch",
                "only shapes may be: export the network again with weights that are plain constants",
            )
        if inputs[data] in self.ended and view.operator not in _AFTER_THE_END:
            view.refuse(f"it stands behind a {self.ended[inputs[data]]}", ADVICE["Softmax"])
        return replace(
            view,
            opset=self.constants.opset,
            constants=tuple(self.constants.values.get(name) for name in inputs),
            data=data,
            shape=self.shapes[inputs[data]],
            dtype=self.dtype.type,
            clips=(self.batch, _PROBE if counted else None),
        )

    def _take_layer(self, view: Node, source: str, output: str) -> None:
        if view.operator in _AT_THE_END:
            _check_softmax(view)
            self.layers[output] = self.layers[source]
            self.ended[output] = view.operator
        else:
            self.layers[output] = read_node(view, self.layers[source])
        if source in self.ended:
            self.ended[output] = self.ended[source]
        last = self.layers[output][-1:]
        self.shapes[output] = last[0].output_shape if last else view.shape


def _named(node: "onnx.NodeProto") -> Node:
    """Return a node of which only itself is known."""
    operator = node.op_type if node.domain in _ONNX else f"{node.domain}.{node.op_type}"
    name = node.name or next(filter(None, node.output), "")
    return Node(name, operator, _attributes(node))


def _attributes(node: "onnx.NodeProto") -> dict[str, Any]:
    from onnx import helper

    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def _check_softmax(node: Node) -> None:
    n_axes = len(node.shape) + 1
    axis = int(node.attribute("axis", 1 if node.opset < 13 else -1))
    if axis not in {1, -1} or n_axes != 2:
        node.refuse(
            f"it runs over axis {axis + n_axes if axis < 0 else axis} of {n_axes}",
            "classes must be the only axis but the batch",
        )


# The end


def _classifying(reading: _Reading, input_name: str, output: str) -> tuple[tuple[Layer, ...], int]:
    """Return the layers before an output, and how many classes it has.

    Raises
    ------
    ModelError
        It does not hang on the input, or is not one number for each class.
    """
    layers, shape = reading.layers.get(output), reading.shapes.get(output, ())
    if layers is None:
        raise ModelError(
            f"the output {output!r} is not computed from the input {input_name!r}, or not as the first output "
            "of an operator: export a network that classifies"
        )
    if len(shape) != 1 or not layers:
        raise ModelError(
            f"the output {output!r} has shape {('batch', *shape)}, and (batch, class) is needed: "
            "export a network that classifies"
        )
    return layers, shape[0]


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
