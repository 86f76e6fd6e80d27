"""Small classifiers written node by node, and what other programs make of them.

`logits_by_onnxruntime` runs the classifier itself; `slopes` asks it for its gradient by moving every input a
little, in double precision. Neither knows anything of relevance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tests.lrp.evaluate import evaluate
from toolkit.lrp.compiler import compile_relevance

IR_VERSION = 8
FORMS = ("initializer", "node", "identity", "input")
"""How constants are written; 'input': as an initializer that is also an input, as in IR version 3."""
STEP = 1e-5


@dataclass(frozen=True, eq=False)
class Step:
    """A node in a chain: its data comes from the node before, everything else is constant."""

    operator: str
    constants: tuple[Any, ...] = ()
    """Real numbers take the precision of the network; whole ones are int64; None stands for an absent input."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0
    """Of the data among the inputs."""
    name: str = ""
    n_outputs: int = 1


def step(operator: str, *constants: Any, place: int = 0, name: str = "", **attributes: Any) -> Step:
    return Step(operator, constants, attributes, place, name)


@dataclass(frozen=True, eq=False)
class Chain:
    """Nodes one after another, from `input_name` to `output_name`, and how they are written down."""

    steps: tuple[Step, ...]
    shape: tuple[int | str, ...]
    """Of the input, without the batch axis."""
    opset: int = 17
    batch: int | str = "batch"
    form: str = "initializer"
    input_name: str = "x"
    output_name: str = "y"
    element: int = TensorProto.FLOAT

    def model(self, dtype: type = np.float32) -> onnx.ModelProto:
        written = _Written(self, dtype)
        tensor = self.input_name
        for number, each in enumerate(self.steps):
            is_last = number == len(self.steps) - 1
            tensor = written.add(each, tensor, self.output_name if is_last else f"t{number}")
        return written.model()


def chain(*steps: Step, shape: Sequence[int | str], **options: Any) -> Chain:
    return Chain(steps, tuple(shape), **options)


class _Written:
    """Nodes and constants, as they are added."""

    def __init__(self, net: Chain, dtype: type) -> None:
        self.net, self.dtype = net, dtype
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, each: Step, tensor: str, output: str) -> str:
        names = [self.constant(value, f"{output}_c{place}") for place, value in enumerate(each.constants)]
        names.insert(each.place, tensor)
        more = [f"{output}_{number}" for number in range(1, each.n_outputs)]
        node = helper.make_node(each.operator, names, [output, *more], each.name, **each.attributes)
        self.nodes.append(node)
        return output

    def constant(self, value: Any, name: str) -> str:
        if value is None:
            return ""
        array = np.asarray(value)
        kept = array.astype(self.dtype) if array.dtype.kind == "f" else array
        if self.net.form == "node":
            node = helper.make_node("Constant", [], [name], value=numpy_helper.from_array(kept, name))
            self.nodes.append(node)
            return name
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(kept).reshape(kept.shape), name))
        if self.net.form != "identity":
            return name
        self.nodes.append(helper.make_node("Identity", [name], [f"{name}_same"]))
        return f"{name}_same"

    def model(self) -> onnx.ModelProto:
        net = self.net
        element = TensorProto.DOUBLE if self.dtype is np.float64 else net.element
        inputs = [helper.make_tensor_value_info(net.input_name, element, [net.batch, *net.shape])]
        if net.form == "input":
            inputs += [helper.make_tensor_value_info(c.name, c.data_type, c.dims) for c in self.initializers]
        output = helper.make_tensor_value_info(net.output_name, element, [net.batch, "class"])
        graph = helper.make_graph(self.nodes, "classifier", inputs, [output], self.initializers)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", net.opset)], ir_version=IR_VERSION
        )


def model_of(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
    shape: Sequence[int | str],
    opset: int = 17,
) -> onnx.ModelProto:
    """Any nodes, from `x` to `y`."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], "class"])
    held = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "classifier", [given], [made], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers that the seed and the shape decide, exact in float32."""
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def dense(n_in: int, n_out: int = 3, *, seed: int = 0) -> Step:
    """The last layer of most networks here."""
    return step("Gemm", numbers(n_in, n_out, seed=seed) / n_in**0.5, numbers(n_out, seed=seed))


def session(model: onnx.ModelProto, **given: Any) -> onnxruntime.InferenceSession:
    """A session of onnxruntime on one thread; `given` are attributes of its options."""
    options = onnxruntime.SessionOptions()
    quiet = {"intra_op_num_threads": 1, "inter_op_num_threads": 1, "log_severity_level": 4}
    for name, value in (quiet | given).items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs by name, by onnxruntime."""
    runner = session(model)
    names = [output.name for output in runner.get_outputs()]
    return dict(zip(names, runner.run(names, dict(feeds)), strict=True))


def explain(
    model: onnx.ModelProto, x: np.ndarray, targets: Sequence[int], composites: Sequence[str]
) -> dict[str, np.ndarray]:
    """Outputs of the compiled model by name, by onnxruntime."""
    compiled = compile_relevance(model, composites)
    name = next(each.name for each in compiled.graph.input if each.name != "target")
    return run(compiled, {name: x.astype(np.float32), "target": np.array(targets, np.int64)})


def slopes(net: Chain, x: np.ndarray, targets: Sequence[int]) -> np.ndarray:
    """The gradient of each clip's own logit by central differences, in double precision."""
    model = net.model(np.float64)
    size = x[0].size
    moves = STEP * np.eye(size).reshape(size, *x.shape[1:])
    return np.stack([
        _difference(model, net, sample + moves, sample - moves, target).reshape(sample.shape)
        for sample, target in zip(x, targets, strict=True)
    ])


def _difference(
    model: onnx.ModelProto, net: Chain, above: np.ndarray, below: np.ndarray, target: int
) -> np.ndarray:
    points = np.concatenate([above, below])
    whole = isinstance(net.batch, str)
    parts = [points] if whole else np.split(points, len(points) // net.batch)
    values = [evaluate(model, {net.input_name: part})[net.output_name] for part in parts]
    first, second = np.split(np.concatenate(values)[:, target], 2)
    return (first - second) / (2 * STEP)


@cache
def inputs(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers without ties and not near zero, in a random order, exact in float32."""
    size = int(np.prod(shape))
    levels = (np.arange(size) + 1) / size * np.where(np.arange(size) % 2, 2.0, -2.0)
    return np.random.default_rng([seed, *shape]).permutation(levels).astype(np.float32).reshape(shape)


def without_end(net: Chain) -> Chain:
    """The network without its last node."""
    return replace(net, steps=net.steps[:-1])
