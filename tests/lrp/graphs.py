"""ONNX classifiers from plain layer descriptions, and small random ones with all that makes relevance hard."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies
from onnx import TensorProto, helper, numpy_helper

from tests.lrp.algebra import (
    LINEAR_LAYERS,
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Scale,
    Shape,
    Transpose,
    output_shape,
    output_shapes,
    window,
    window_of,
    winners,
)

IR_VERSION = 8
STYLES = ("gemm", "matmul_add", "gemm_transposed")


# --- layers to nodes ----------------------------------------------------------------------------------------


class _Graph:
    """Nodes and initializers, written one after another; `last` is the tensor that the next node reads."""

    def __init__(self, dtype: type, opset: int, batch: str | int, style: str) -> None:
        self.dtype, self.opset, self.batch, self.style = dtype, opset, batch, style
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.last = "input"

    def constant(self, name: str, values: Any, dtype: type | None = None) -> str:
        array = np.ascontiguousarray(np.asarray(values, dtype or self.dtype))
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, *others: str, name: str | None = None, **attributes: Any) -> None:
        name = name or f"{op.lower()}_{len(self.nodes)}"
        output = f"{name}:0"
        self.nodes.append(helper.make_node(op, [self.last, *others], [output], name=name, **attributes))
        self.last = output


@singledispatch
def _write(layer: Layer, graph: _Graph, shape: Shape) -> None:
    raise TypeError(f"no node for {layer}")


@_write.register
def _(layer: Conv, graph: _Graph, shape: Shape) -> None:
    others = [graph.constant(f"{layer.name}/kernel", layer.kernel)]
    if layer.bias is not None:
        others.append(graph.constant(f"{layer.name}/bias", layer.bias))
    view = window(layer.kernel.shape[2:], layer.strides, layer.pads, layer.dilations)
    graph.node("Conv", *others, name=layer.name, group=layer.groups, **_attributes(view))


def _attributes(view: Any, *, dilations: bool = True) -> dict[str, Shape]:
    result = {"kernel_shape": view.kernel_shape, "strides": view.strides, "pads": view.pads}
    return {**result, "dilations": view.dilations} if dilations else result


@_write.register
def _(layer: Dense, graph: _Graph, shape: Shape) -> None:
    is_transposed = graph.style == "gemm_transposed"
    kernel = graph.constant(f"{layer.name}/kernel", layer.kernel.T if is_transposed else layer.kernel)
    bias = [] if layer.bias is None else [graph.constant(f"{layer.name}/bias", layer.bias)]
    if graph.style == "matmul_add":
        graph.node("MatMul", kernel, name=layer.name)
        if bias:
            graph.node("Add", *bias, name=f"{layer.name}/add")
    else:
        graph.node("Gemm", kernel, *bias, name=layer.name, transB=int(is_transposed))


@_write.register
def _(layer: Relu, graph: _Graph, shape: Shape) -> None:
    graph.node("Relu")


@_write.register
def _(layer: MaxPool, graph: _Graph, shape: Shape) -> None:
    view = window(layer.kernel_shape, layer.strides, layer.pads, layer.dilations)
    graph.node("MaxPool", ceil_mode=int(layer.ceil_mode), **_attributes(view))


@_write.register
def _(layer: AveragePool, graph: _Graph, shape: Shape) -> None:
    view = window(layer.kernel_shape, layer.strides, layer.pads, ())
    options = {"ceil_mode": int(layer.ceil_mode), "count_include_pad": int(layer.count_include_pad)}
    graph.node("AveragePool", **options, **_attributes(view, dilations=False))


@_write.register
def _(layer: GlobalMaxPool, graph: _Graph, shape: Shape) -> None:
    graph.node("GlobalMaxPool")


@_write.register
def _(layer: GlobalAveragePool, graph: _Graph, shape: Shape) -> None:
    graph.node("GlobalAveragePool")


@_write.register
def _(layer: Flatten, graph: _Graph, shape: Shape) -> None:
    graph.node("Flatten", axis=1)


@_write.register
def _(layer: Reshape, graph: _Graph, shape: Shape) -> None:
    batch = graph.batch if isinstance(graph.batch, int) else -1
    graph.node("Reshape", graph.constant(f"shape_{len(graph.nodes)}", [batch, *layer.shape], np.int64))


@_write.register
def _(layer: Transpose, graph: _Graph, shape: Shape) -> None:
    graph.node("Transpose", perm=[0, *(axis + 1 for axis in layer.perm)])


@_write.register
def _(layer: Pad, graph: _Graph, shape: Shape) -> None:
    n_padded = len(layer.pads) // 2
    zeros = [0] * (1 + len(shape) - n_padded)
    pads = [*zeros, *layer.pads[:n_padded], *zeros, *layer.pads[n_padded:]]
    number = len(graph.nodes)
    graph.node(
        "Pad", graph.constant(f"pads_{number}", pads, np.int64), graph.constant(f"fill_{number}", layer.value)
    )


@_write.register
def _(layer: Scale, graph: _Graph, shape: Shape) -> None:
    number = len(graph.nodes)
    graph.node("Mul", graph.constant(f"factor_{number}", layer.factor))
    graph.node("Add", graph.constant(f"offset_{number}", layer.offset))


def onnx_model(
    layers: Sequence[Layer],
    input_shape: Shape,
    *,
    dtype: type = np.float32,
    opset: int = 17,
    softmax: bool = True,
    batch: str | int = "batch",
    style: str = "gemm",
) -> onnx.ModelProto:
    """Write a classifier of samples of `input_shape`, valid in opsets 11 to 18; weights are initializers.

    Its input is "input", its output "probabilities", without softmax "logits". `style` says how dense layers
    are written.
    """
    graph = _Graph(dtype, opset, batch, style)
    shapes = output_shapes(layers, input_shape)
    for layer, shape in zip(layers, shapes, strict=False):
        _write(layer, graph, shape)
    if softmax:
        graph.node("Softmax", axis=1)
    output = "probabilities" if softmax else "logits"
    graph.nodes[-1].output[0] = output
    element = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
    proto = helper.make_graph(
        graph.nodes,
        "classifier",
        [helper.make_tensor_value_info("input", element, [batch, *input_shape])],
        [helper.make_tensor_value_info(output, element, [batch, *shapes[-1]])],
        graph.initializers,
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(proto, opset_imports=imports, ir_version=IR_VERSION)


# --- random networks ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Network:
    """Layers that end in at least two logits. All numbers are exact in float32.

    With `on_grid` weights and biases are multiples of 1/2: on inputs of few levels sums are exact, and with
    them ties and zeros.
    """

    layers: tuple[Layer, ...]
    input_shape: Shape
    on_grid: bool

    def __repr__(self) -> str:
        lines = "".join(f"    {layer!r},\n" for layer in self.layers)
        return f"Network({self.input_shape}, on_grid={self.on_grid}, layers=(\n{lines}))"

    @property
    def n_classes(self) -> int:
        return output_shapes(self.layers, self.input_shape)[-1][0]

    def model(self, **options: Any) -> onnx.ModelProto:
        return onnx_model(self.layers, self.input_shape, **options)

    def without_bias(self) -> "Network":
        """The same network without anything that absorbs relevance."""
        changes = {Conv: {"bias": None}, Dense: {"bias": None}, Pad: {"value": 0.0}}
        layers = tuple(replace(layer, **changes.get(type(layer), {})) for layer in self.layers)
        return replace(self, layers=layers)


Pick = Callable[[Sequence[Any]], Any]
MAX_CELLS = 300
"""Of one sample at any layer, so that explicit matrices stay small."""
MAX_LINEAR = 5


class _Draft:
    """A network while it is drawn: a layer whose output would vanish or grow too large is left out."""

    def __init__(self, pick: Pick, rng: np.random.Generator, shape: Shape) -> None:
        self.pick, self.rng = pick, rng
        self.on_grid = pick((True, False))
        self.shape = self.input_shape = shape
        self.layers: list[Layer] = []

    @property
    def n_linear(self) -> int:
        return sum(isinstance(layer, LINEAR_LAYERS) for layer in self.layers)

    def fits(self, layer: Layer) -> bool:
        if isinstance(layer, LINEAR_LAYERS) and self.n_linear >= MAX_LINEAR - 1:
            return False
        try:
            shape = output_shape(layer, self.shape)
            if isinstance(layer, MaxPool):
                winners(layer, np.zeros(self.shape))
            if is_misjudged(layer, self.shape):
                return False
        except ValueError:
            return False
        return 0 < np.prod(shape) <= MAX_CELLS

    def add(self, layer: Layer) -> None:
        if self.fits(layer):
            self.force(layer)

    def force(self, layer: Layer) -> None:
        self.shape = output_shape(layer, self.shape)
        self.layers.append(layer)

    def numbers(self, shape: Shape, scale: float = 1.0) -> np.ndarray:
        """Weights, one in ten exactly zero."""
        if self.on_grid:
            values = self.rng.choice([-1.0, -0.5, 0.5, 1.0], shape)
        else:
            values = scale * self.rng.standard_normal(shape)
        return single(np.where(self.rng.random(shape) < 0.1, 0.0, values))

    def bias(self, n_out: int) -> np.ndarray | None:
        kind = self.pick(("none", "mixed", "negative", "positive"))
        values = self.numbers((n_out,), 0.5)
        return {"none": None, "mixed": values, "negative": -np.abs(values), "positive": np.abs(values)}[kind]

    def each(self, options: Sequence[int], n_numbers: int) -> Shape:
        return tuple(self.pick(options) for _ in range(n_numbers))

    def conv(self) -> None:
        n_axes, n_in = len(self.shape) - 1, self.shape[0]
        groups = self.pick([number for number in (1, 2, 3, 4) if n_in % number == 0])
        kernel_shape = self.each((2, 3, 1), n_axes)
        n_out = groups * self.pick((1, 2, 3))
        fan_in = n_in // groups * int(np.prod(kernel_shape))
        geometry = (self.each((1, 2, 3), n_axes), self.each((0, 1, 2), 2 * n_axes), self.each((1, 2), n_axes))
        kernel = self.numbers((n_out, n_in // groups, *kernel_shape), fan_in**-0.5)
        self.add(Conv(f"conv_{len(self.layers)}", kernel, self.bias(n_out), *geometry, groups))

    def dense(self, n_out: int) -> Dense:
        kernel = self.numbers((self.shape[0], n_out), self.shape[0] ** -0.5)
        return Dense(f"dense_{len(self.layers)}", kernel, self.bias(n_out))

    def pool(self) -> None:
        kind = self.pick((None, "max", "average"))
        n_axes = len(self.shape) - 1
        kernel_shape = self.each((2, 3, 1), n_axes)
        pads = tuple(self.pick(range(kernel_shape[place % n_axes])) for place in range(2 * n_axes))
        strides, ceil_mode = self.each((1, 2, 3), n_axes), self.pick((False, True))
        if kind == "max":
            self.add(MaxPool(kernel_shape, strides, pads, ceil_mode, self.each((1, 2), n_axes)))
        elif kind == "average":
            self.add(AveragePool(kernel_shape, strides, pads, ceil_mode, self.pick((False, True))))

    def move(self) -> None:
        kind = self.pick((None, "pad", "transpose", "merge", "split"))
        n_axes = len(self.shape) - 1
        if kind == "pad":
            self.add(Pad(self.each((1, 0, 2), 2 * n_axes), self.pick((0.0, -1.0, 0.5))))
        elif kind == "transpose":
            self.add(Transpose(tuple(int(axis) for axis in self.rng.permutation(n_axes + 1))))
        elif kind == "merge" and n_axes == 2:
            self.add(Reshape((self.shape[0], self.shape[1] * self.shape[2])))
        elif kind == "split" and n_axes == 1 and self.shape[1] % 2 == 0:
            self.add(Reshape((self.shape[0], self.shape[1] // 2, 2)))

    def maybe_relu(self) -> None:
        if self.pick((True, False)):
            self.force(Relu())

    def start(self) -> None:
        """What stands before the first layer with weights: channels last, a scaling."""
        if len(self.shape) > 1 and self.pick((False, True)):
            self.force(Transpose((len(self.shape) - 1, *range(len(self.shape) - 1))))
        if self.pick((False, True)):
            shape = (self.shape[0], *(1,) * (len(self.shape) - 1)) if self.pick((False, True)) else ()
            factor, offset = self.rng.choice([0.5, 2.0, -1.0], shape), self.rng.choice([-0.5, 0.0, 1.0], shape)
            self.force(Scale(np.asarray(factor), np.asarray(offset)))

    def end(self) -> None:
        """Spatial cells to logits."""
        if len(self.shape) > 1:
            kind = self.pick(("flatten", "reshape", "channels_last", "global_average", "global_max"))
            if kind == "channels_last":
                self.force(Transpose((*range(1, len(self.shape)), 0)))
            elif kind.startswith("global"):
                self.force(GlobalAveragePool() if kind == "global_average" else GlobalMaxPool())
            self.force(Reshape((int(np.prod(self.shape)),)) if kind == "reshape" else Flatten())
        has_weights = any(isinstance(layer, Conv) for layer in self.layers)
        if has_weights and self.shape[0] in {2, 3, 4} and self.pick((False, True)):
            return
        if self.pick((False, True)):
            self.add(self.dense(self.pick((3, 4, 6))))
            self.maybe_relu()
        self.force(self.dense(self.pick((2, 3))))

    def network(self) -> Network:
        return Network(tuple(self.layers), self.input_shape, self.on_grid)


def is_misjudged(layer: Layer, shape: Shape) -> bool:
    """Whether ceil mode's last window would start beyond the input: onnx infers a wrong shape there.

    onnxruntime computes the right one, but may refuse to load the model for what it inferred.
    """
    if not isinstance(layer, MaxPool | AveragePool) or not layer.ceil_mode:
        return False
    view = window_of(layer, shape[1:])
    for axis, (size, count) in enumerate(zip(shape[1:], view.counts(shape[1:]), strict=True)):
        begin, end = view.pads[axis], view.pads[axis + len(shape) - 1]
        room = size + begin + end - (view.kernel_shape[axis] - 1) * view.dilations[axis] - 1
        if count != -(-room // view.strides[axis]) + 1:
            return True
    return False


def single(values: np.ndarray) -> np.ndarray:
    """Round to float32, as float64."""
    return np.asarray(values, np.float32).astype(np.float64)


def draw_network(pick: Pick, rng: np.random.Generator) -> Network:
    """Draw a chain of one to six linear layers; the first of some options is the simplest."""
    n_axes = pick((0, 1, 2))
    sizes = [pick((4, 5, 6, 7) if n_axes == 2 else (5, 8, 11)) for _ in range(n_axes)]
    shape = (*sizes, pick((1, 2, 3, 4))) if pick((False, True)) else (pick((2, 3, 4)), *sizes)
    draft = _Draft(pick, rng, shape)
    draft.start()
    for _ in range(pick((1, 2, 3)) if n_axes else 0):
        draft.move()
        draft.conv()
        draft.maybe_relu()
        draft.pool()
    draft.end()
    return draft.network()


def random_network(rng: np.random.Generator) -> Network:
    """A network from a generator alone."""
    return draw_network(lambda options: options[int(rng.integers(len(options)))], rng)


@strategies.composite
def networks(draw: Any) -> Network:
    """Networks that hypothesis can make simpler."""
    rng = np.random.default_rng(draw(strategies.integers(0, 1000)))
    return draw_network(lambda options: draw(strategies.sampled_from(list(options))), rng)


INPUT_KINDS = ("levels", "normal", "negative", "sparse", "constant", "zeros")


def draw_inputs(rng: np.random.Generator, network: Network, n_samples: int, kind: str = "levels") -> np.ndarray:
    """A batch whose values are exact in float32; "levels" and "constant" make exact ties."""
    shape = (n_samples, *network.input_shape)
    normal = single(rng.standard_normal(shape))
    return {
        "levels": rng.integers(-2, 3, shape) / 2,
        "normal": normal,
        "negative": -np.abs(normal),
        "sparse": np.where(rng.random(shape) < 0.6, 0.0, normal),
        "constant": np.broadcast_to(
            rng.integers(-2, 3, n_samples).reshape(-1, *(1,) * (len(shape) - 1)) / 2, shape
        ),
        "zeros": np.zeros(shape),
    }[kind]
