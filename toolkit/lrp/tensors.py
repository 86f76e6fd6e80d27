"""Arithmetic that writes an ONNX graph: what is done with tensors here becomes nodes there.

The same operation on the same inputs is written once, so that whoever needs a forward pass just asks for it.
Shapes hold a symbolic batch axis first. Only standard operators are used.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

OPSET = 17
"""The lowest with everything that is needed; ScatterElements adds up since 16."""
IR_VERSION = 8
BATCH = "batch"

Attribute = int | float | str | tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value in a graph, and what is known of it before anything is computed."""

    graph: "Graph" = field(repr=False)
    name: str
    nonnegative: bool = False
    """Whether no element can be negative, whatever the input of the graph."""

    def __add__(self, other: "Tensor | float") -> "Tensor":
        return self._with("Add", other)

    def __sub__(self, other: "Tensor | float") -> "Tensor":
        return self._with("Sub", other)

    def __mul__(self, other: "Tensor | float") -> "Tensor":
        return self._with("Mul", other)

    def __truediv__(self, other: "Tensor | float") -> "Tensor":
        return self._with("Div", other)

    def _with(self, operator: str, other: "Tensor | float") -> "Tensor":
        second = other if isinstance(other, Tensor) else self.graph.constant(np.asarray(float(other)))
        known = operator != "Sub" and self.nonnegative and second.nonnegative
        return self.graph.node(operator, self, second).noted(nonnegative=known)

    def noted(self, *, nonnegative: bool) -> "Tensor":
        """Return the tensor with the note that no element can be negative, if that holds."""
        return Tensor(self.graph, self.name, nonnegative)

    def positive_part(self) -> "Tensor":
        """Return max(x, 0); the tensor itself where it cannot be negative."""
        return self if self.nonnegative else self.graph.node("Relu", self).noted(nonnegative=True)

    def negative_part(self) -> "Tensor | None":
        """Return min(x, 0), or None where that is zero everywhere."""
        return None if self.nonnegative else self.graph.node("Min", self, self.graph.constant(np.asarray(0.0)))

    def where(self, condition: str, value: "float | Tensor", otherwise: "float | Tensor") -> "Tensor":
        """Return ``value`` where the elements compare with zero as ``condition`` says, such as 'Equal'."""
        constant = self.graph.constant
        test = self.graph.node(condition, self, constant(np.asarray(0.0)))
        both = (
            each if isinstance(each, Tensor) else constant(np.asarray(float(each)))
            for each in (value, otherwise)
        )
        return self.graph.node("Where", test, *both)

    def as_integers(self) -> "Tensor":
        """Return whole numbers as int64."""
        from onnx import TensorProto

        return self.graph.node("Cast", self, to=int(TensorProto.INT64))

    def reshaped(self, shape: Sequence[int]) -> "Tensor":
        """Return the elements in the given shape; the batch axis comes first and is not named in it."""
        target = self.graph.integers(0, *shape)
        return self.graph.node("Reshape", self, target)


@dataclass(frozen=True)
class _Node:
    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[tuple[str, Attribute], ...]

    def as_proto(self) -> "onnx.NodeProto":
        from onnx import helper

        node = helper.make_node(self.operator, self.inputs, self.outputs, self.name)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in self.attributes)
        return node


class Graph:
    """A graph in the making. Constants and nodes are kept in the order in which they were first asked for."""

    def __init__(self, dtype: np.dtype) -> None:
        """``dtype`` is that of every real number in the graph: float32 or float64."""
        self.dtype = dtype
        self._inputs: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._constant_names: dict[tuple[object, ...], str] = {}
        self._nodes: list[_Node] = []
        self._outputs_of: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._names: set[str] = set()
        self._scope = ""

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Let names of what is written meanwhile begin with ``name``."""
        outer = self._scope
        self._scope = f"{outer}{name}/"
        try:
            yield
        finally:
            self._scope = outer

    def input(self, name: str, dtype: np.dtype, shape: Sequence[int]) -> Tensor:
        """Return an input of the graph; ``shape`` is without the batch axis."""
        self._inputs[name] = dtype, tuple(shape)
        self._names.add(name)
        return Tensor(self, name)

    def constant(self, values: np.ndarray) -> Tensor:
        """Return a constant, real numbers in the precision of the graph."""
        values = np.asarray(values, self.dtype if values.dtype.kind == "f" else values.dtype)
        key = str(values.dtype), values.shape, hashlib.sha256(values.tobytes()).digest()
        if key not in self._constant_names:
            name = self._new_name("constant")
            self._constant_names[key] = name
            self._constants[name] = values
        return Tensor(self, self._constant_names[key], nonnegative=bool((values >= 0).all()))

    def integers(self, *values: int) -> Tensor:
        """Return a constant list of whole numbers, such as a shape or axes."""
        return self.constant(np.array(values, np.int64))

    def integer(self, value: int) -> Tensor:
        """Return a constant whole number."""
        return self.constant(np.array(value, np.int64))

    def node(self, operator: str, *inputs: Tensor, **attributes: Attribute) -> Tensor:
        """Return the output of an operator."""
        (name,) = self._written(operator, inputs, attributes, 1)
        return Tensor(self, name)

    def nodes(self, operator: str, *inputs: Tensor, n_outputs: int, **attributes: Attribute) -> list[Tensor]:
        """Return the outputs of an operator that has several."""
        return [Tensor(self, name) for name in self._written(operator, inputs, attributes, n_outputs)]

    def _written(
        self, operator: str, inputs: Sequence[Tensor], attributes: Mapping[str, Attribute], n_outputs: int
    ) -> tuple[str, ...]:
        names = tuple(each.name for each in inputs)
        fixed = tuple(sorted(attributes.items()))
        key = operator, names, fixed, n_outputs
        if key not in self._outputs_of:
            name = self._new_name(operator)
            outputs = (name, *(self._new_name(f"{operator}:{place}") for place in range(1, n_outputs)))
            self._nodes.append(_Node(operator, name, names, outputs, fixed))
            self._outputs_of[key] = outputs
        return self._outputs_of[key]

    def _new_name(self, stem: str) -> str:
        numbered = (f"{self._scope}{stem}_{number}" for number in itertools.count(2))
        name = next(
            each for each in itertools.chain([f"{self._scope}{stem}"], numbered) if each not in self._names
        )
        self._names.add(name)
        return name

    def model(self, outputs: Mapping[str, tuple[Tensor, Sequence[int]]], producer: str) -> "onnx.ModelProto":
        """Return the graph as a model.

        Parameters
        ----------
        outputs
            What to compute, by name, with its shape without the batch axis; nothing else is kept.
        producer
            Name of the program that made it.
        """
        from onnx import helper, numpy_helper

        named = [_Node("Identity", name, (tensor.name,), (name,), ()) for name, (tensor, _) in outputs.items()]
        nodes, constants = self._needed(named)
        graph = helper.make_graph(
            [node.as_proto() for node in nodes],
            "relevance",
            [_described(name, dtype, shape) for name, (dtype, shape) in self._inputs.items()],
            [_described(name, self.dtype, shape) for name, (_, shape) in outputs.items()],
            [numpy_helper.from_array(values, name) for name, values in constants.items()],
        )
        return helper.make_model(
            graph,
            producer_name=producer,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

    def _needed(self, last: Sequence[_Node]) -> tuple[list[_Node], dict[str, np.ndarray]]:
        """Return what ``last`` rests on, and ``last``."""
        wanted = {name for node in last for name in node.inputs}
        kept: list[_Node] = []
        for node in reversed(self._nodes):
            if wanted.intersection(node.outputs):
                kept.append(node)
                wanted.update(node.inputs)
        constants = {name: values for name, values in self._constants.items() if name in wanted}
        return [*reversed(kept), *last], constants


def _described(name: str, dtype: np.dtype, shape: Sequence[int]) -> "onnx.ValueInfoProto":
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), [BATCH, *shape])
