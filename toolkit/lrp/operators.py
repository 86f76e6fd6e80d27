"""Operators of ONNX that relevance can be taken through, and the layers that they are.

Each function takes a node and the layers before it and returns the layers with it: one more, or the last one
changed, or just those before where nothing is to be done. ``OPERATORS`` names them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from toolkit.errors import ModelError
from toolkit.lrp import layers as kinds
from toolkit.lrp.layers import Layer
from toolkit.lrp.window import Shape, Window

Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Node:
    """A node of a network, with what is known of its inputs."""

    name: str
    operator: str
    attributes: Mapping[str, Any]
    probe: int
    """What stands for the number of clips in numbers that were worked out from shapes."""
    opset: int = 0
    constants: tuple[np.ndarray | None, ...] = ()
    """Its inputs in order; None where one is absent or depends on the network's input."""
    data: int = 0
    """Which input depends on the network's input."""
    shape: Shape = ()
    """Of that input, without the batch axis."""
    batch: int | None = None
    """How many clips a network takes at once, where it was exported for one number alone."""

    def refuse(self, what: str, todo: str) -> NoReturn:
        """Say that relevance cannot be taken through this node.

        Raises
        ------
        ModelError
            Always.
        """
        raise ModelError(f"node {self.name!r} ({self.operator}): {what}; {todo}")

    def attribute(self, name: str, otherwise: Any) -> Any:  # noqa: ANN401 (attributes are of many types)
        """Return an attribute, or what the operator takes without it."""
        return self.attributes.get(name, otherwise)

    def constant(self, place: int, what: str) -> np.ndarray:
        """Return an input that must be constant.

        Raises
        ------
        ModelError
            It is absent, or computed from the network's input.
        """
        values = self.optional(place)
        if values is None:
            self.refuse(f"its {what} is not a constant", "export the network with constant weights and shapes")
        return values

    def optional(self, place: int) -> np.ndarray | None:
        """Return a constant input, or None where it is absent."""
        return self.constants[place] if place < len(self.constants) else None

    def axes(self, place: int, since_opset: int) -> tuple[int, ...] | None:
        """Return axes, an input since opset ``since_opset`` and an attribute before; None: not given.

        They count from zero, the batch axis first, and never hold it.
        """
        given = self.optional(place) if self.opset >= since_opset else self.attributes.get("axes")
        if given is None:
            return None
        n_axes = len(self.shape) + 1 + (len(given) if self.operator == "Unsqueeze" else 0)
        axes = tuple(sorted(int(axis) % n_axes for axis in given))
        if 0 in axes:
            self.refuse("it changes the batch axis", "relevance needs the clips of a batch kept apart")
        return axes


Reader = Callable[[Node, Layers], Layers]


def _shaped(node: Node, shape: Shape) -> dict[str, Any]:
    return {"name": node.name, "input_shape": node.shape, "output_shape": shape}


def _identity(_node: Node, layers: Layers) -> Layers:
    return layers


def _dropout(node: Node, layers: Layers) -> Layers:
    training = node.optional(2)
    if training is not None and bool(training.all()):
        node.refuse("it is exported for training", "export the network for inference")
    return layers


def _cast(node: Node, layers: Layers) -> Layers:
    node.refuse("it changes the type of numbers on the way", "export the network in one precision throughout")


def _relu(node: Node, layers: Layers) -> Layers:
    return (*layers, kinds.Relu(**_shaped(node, node.shape)))


def _clip(node: Node, layers: Layers) -> Layers:
    low, high = (
        (node.attribute("min", None), node.attribute("max", None))
        if node.opset < 11
        else (node.optional(1), node.optional(2))
    )
    if low is None or float(low) != 0 or (high is not None and np.isfinite(float(high))):
        node.refuse(
            f"it keeps values between {low} and {high}", "only ReLU (from 0, without an upper end) is known"
        )
    return _relu(node, layers)


# Convolutions and dense layers


def _convolution(node: Node, layers: Layers) -> Layers:
    kernel = node.constant(1, "kernel")
    bias = node.optional(2)
    if node.data != 0:
        node.refuse("its weights depend on the network's input", "export the network with constant weights")
    window, space = _window(node, tuple(kernel.shape[2:]))
    groups = int(node.attribute("group", 1))
    shape = (kernel.shape[0], *space)
    made = kinds.Convolution(
        **_shaped(node, shape),
        kernel=_real(node, kernel),
        bias=_optional_real(node, bias),
        window=window,
        groups=groups,
    )
    return (*layers, made)


def _matmul(node: Node, layers: Layers) -> Layers:
    if node.data != 0:
        node.refuse(
            "its second factor depends on the network's input", "only a constant second factor is known"
        )
    return _dense(node, layers, node.constant(1, "second factor"), None)


def _gemm(node: Node, layers: Layers) -> Layers:
    if node.data != 0 or node.attribute("transA", 0):
        node.refuse("it is not the network's data times weights", "only Gemm(x, constant, constant) is known")
    kernel = node.constant(1, "kernel")
    kernel = kernel.T if node.attribute("transB", 0) else kernel
    dtype = kernel.dtype.type
    kernel = kernel * dtype(node.attribute("alpha", 1.0))
    bias = node.optional(2)
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1) * dtype(node.attribute("beta", 1.0)), kernel.shape[1:])
    return _dense(node, layers, kernel, bias)


def _dense(node: Node, layers: Layers, kernel: np.ndarray, bias: np.ndarray | None) -> Layers:
    if kernel.ndim != 2:
        node.refuse(f"its weights have {kernel.ndim} axes", "only a matrix of weights is known")
    shape = (*node.shape[:-1], kernel.shape[1])
    made = kinds.Dense(
        **_shaped(node, shape),
        kernel=np.ascontiguousarray(_real(node, kernel)),
        bias=_optional_real(node, bias),
    )
    return (*layers, made)


def _real(node: Node, values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        node.refuse("not all of its weights are finite numbers", "train the network again")
    return values


def _optional_real(node: Node, values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else _real(node, np.ascontiguousarray(values))


# Constants added and multiplied: biases, and scaling of the input


def _arithmetic(node: Node, layers: Layers) -> Layers:
    constant = _real(node, node.constant(1 - node.data, "second operand"))
    last = layers[-1] if layers else None
    if node.operator in {"Add", "Sub"} and isinstance(last, kinds.Weighted):
        per_unit = _per_unit(last, constant)
        if per_unit is not None and not (node.operator == "Sub" and node.data == 1):
            added = per_unit if node.operator == "Add" else -per_unit
            return (*layers[:-1], replace(last, bias=added if last.bias is None else last.bias + added))
    if any(isinstance(layer, kinds.Weighted) for layer in layers):
        node.refuse(
            "it adds or multiplies by constants between layers",
            "fold it into the weights beside it; constants are known as biases and before the first layer",
        )
    return (*layers, _scaling(node, constant))


def _per_unit(layer: kinds.Weighted, constant: np.ndarray) -> np.ndarray | None:
    """Return the constant as one number per unit of the layer, shape (unit,); None where it is not that."""
    axis = 0 if isinstance(layer, kinds.Convolution) else len(layer.output_shape) - 1
    n_units = layer.output_shape[axis]
    shape = (1,) * (len(layer.output_shape) + 1 - constant.ndim) + constant.shape
    if any(size != 1 for place, size in enumerate(shape) if place != axis + 1) or shape[axis + 1] not in {
        1,
        n_units,
    }:
        return None
    return np.ascontiguousarray(np.broadcast_to(constant.reshape(-1), (n_units,)))


def _scaling(node: Node, constant: np.ndarray) -> kinds.Scaling:
    if constant.ndim > len(node.shape) + 1 or (constant.ndim == len(node.shape) + 1 and constant.shape[0] != 1):
        node.refuse(
            f"its constant of shape {constant.shape} differs between clips", "use one constant for all clips"
        )
    one, zero = np.ones((), constant.dtype), np.zeros((), constant.dtype)
    first = node.data == 0
    factor, offset = {
        "Add": (one, constant),
        "Sub": (one, -constant) if first else (-one, constant),
        "Mul": (constant, zero),
        "Div": (one / constant, zero) if first and (constant != 0).all() else (None, zero),
    }[node.operator]
    if factor is None:
        node.refuse("it divides by the input or by zero", "only division by a constant is known")
    if np.broadcast_shapes(node.shape, constant.shape[-len(node.shape) :]) != node.shape:
        node.refuse(
            f"its constant of shape {constant.shape} makes the input larger", "use one of the input's shape"
        )
    return kinds.Scaling(**_shaped(node, node.shape), factor=factor, offset=offset)


# Pools


def _max_pool(node: Node, layers: Layers) -> Layers:
    window, space = _window(node, tuple(node.attributes["kernel_shape"]))
    padded = window.padded_for(node.shape[1:], space)
    return (*layers, kinds.MaxPool(**_shaped(node, (node.shape[0], *space)), window=padded))


def _average_pool(node: Node, layers: Layers) -> Layers:
    window, space = _window(node, tuple(node.attributes["kernel_shape"]))
    made = kinds.AveragePool(
        **_shaped(node, (node.shape[0], *space)),
        window=window.padded_for(node.shape[1:], space),
        counts=window.counts(node.shape[1:], space, with_padding=bool(node.attribute("count_include_pad", 0))),
    )
    return (*layers, made)


def _global_average_pool(node: Node, layers: Layers) -> Layers:
    space = tuple(range(1, len(node.shape)))
    shape = (node.shape[0], *(1 for _ in space))
    return (*layers, kinds.Mean(**_shaped(node, shape), axes=space))


def _global_max_pool(node: Node, layers: Layers) -> Layers:
    space = node.shape[1:]
    ones = (1,) * len(space)
    window = Window(size=space, strides=ones, pads=(0,) * (2 * len(space)), dilations=ones)
    return (*layers, kinds.MaxPool(**_shaped(node, (node.shape[0], *ones)), window=window))


def _reduction(node: Node, layers: Layers) -> Layers:
    given = node.axes(1, since_opset=18)
    if not given:
        node.refuse("it reduces all axes", "name the axes of space")
    axes = tuple(axis - 1 for axis in given)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(node.shape))
    dropped = tuple(size for axis, size in enumerate(node.shape) if axis not in axes)
    shape = kept if node.attribute("keepdims", 1) else dropped
    kind = kinds.Mean if node.operator == "ReduceMean" else kinds.Maximum
    return (*layers, kind(**_shaped(node, shape), axes=axes))


def _ceil(node: Node) -> bool:
    return bool(node.attribute("ceil_mode", 0))


def _window(node: Node, size: Shape) -> tuple[Window, Shape]:
    """Return how a window of the given size moves, and the shape of space after it."""
    space = node.shape[1:]
    if len(space) != len(size):
        node.refuse(f"its window has {len(size)} axes and its input {len(space)}", "export the network again")
    ones = (1,) * len(size)
    strides = tuple(node.attribute("strides", ones))
    dilations = tuple(node.attribute("dilations", ones))
    still = Window(size=size, strides=strides, pads=(0,) * (2 * len(size)), dilations=dilations)
    pads = _pads(node, still, space)
    window = replace(still, pads=pads)
    extents = zip(space, window.before, window.after, window.reach, strides, strict=True)
    out = tuple(
        _n_windows(n, before, after, reach, stride, ceil=_ceil(node))
        for n, before, after, reach, stride in extents
    )
    if min(out) < 1:
        node.refuse(
            f"its window of {size} does not fit its input of {space}", "give the network a larger input"
        )
    return window, out


def _n_windows(n: int, before: int, after: int, reach: int, stride: int, *, ceil: bool) -> int:
    """Return how many windows fit along one axis; with ``ceil`` one more where a rest is left.

    The last one begins inside the input or the padding before it, never in the padding after it.
    """
    rest = n + before + after - reach
    if not ceil:
        return rest // stride + 1
    count = math.ceil(rest / stride) + 1
    return count - 1 if (count - 1) * stride >= n + before else count


def _pads(node: Node, window: Window, space: Shape) -> Shape:
    automatic = node.attribute("auto_pad", "NOTSET")
    if automatic == "NOTSET":
        return tuple(node.attribute("pads", window.pads))
    if automatic == "VALID":
        return window.pads
    each = zip(space, window.strides, window.reach, strict=True)
    totals = [max((math.ceil(n / stride) - 1) * stride + reach - n, 0) for n, stride, reach in each]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return tuple((*small, *large) if automatic == "SAME_UPPER" else (*large, *small))


# Shapes


def _reshaped(node: Node, layers: Layers, shape: Sequence[int]) -> Layers:
    if math.prod(shape) != math.prod(node.shape):
        node.refuse(
            f"it turns {node.shape} of one clip into {tuple(shape)}",
            "relevance needs the clips of a batch kept apart",
        )
    return (*layers, kinds.Reshape(**_shaped(node, tuple(shape))))


def _reshape(node: Node, layers: Layers) -> Layers:
    target = [int(size) for size in node.constant(1, "shape")]
    clips = {0, node.probe, node.batch} if not node.attribute("allowzero", 0) else {node.probe, node.batch}
    shape = [
        node.shape[place] if size == 0 and place < len(node.shape) else size
        for place, size in enumerate(target[1:])
    ]
    if -1 in shape:
        known = math.prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = math.prod(node.shape) // max(known, 1)
    elif target[:1] == [-1]:
        clips = {-1}
    if not target or target[0] not in clips:
        node.refuse(f"its shape {target} does not begin with the batch axis", "keep the clips of a batch apart")
    return _reshaped(node, layers, shape)


def _flatten(node: Node, layers: Layers) -> Layers:
    axis = int(node.attribute("axis", 1)) % (len(node.shape) + 1)
    if axis != 1:
        node.refuse(f"it flattens from axis {axis}", "only axis 1, behind the batch axis, is known")
    return _reshaped(node, layers, (math.prod(node.shape),))


def _squeeze(node: Node, layers: Layers) -> Layers:
    axes = node.axes(1, since_opset=13)
    if axes is None:
        node.refuse("it names no axes", "name the axes that are to go")
    return _reshaped(node, layers, [size for place, size in enumerate(node.shape, 1) if place not in axes])


def _unsqueeze(node: Node, layers: Layers) -> Layers:
    axes = node.axes(1, since_opset=13) or ()
    sizes = iter(node.shape)
    n_axes = len(node.shape) + len(axes) + 1
    return _reshaped(node, layers, [1 if place in axes else next(sizes) for place in range(1, n_axes)])


def _transpose(node: Node, layers: Layers) -> Layers:
    order = tuple(node.attribute("perm", tuple(reversed(range(len(node.shape) + 1)))))
    if order[0] != 0:
        node.refuse(f"its order {order} moves the batch axis", "keep the batch axis first")
    shape = tuple(node.shape[axis - 1] for axis in order[1:])
    return (*layers, kinds.Transpose(**_shaped(node, shape), order=order))


def _pad(node: Node, layers: Layers) -> Layers:
    if node.attribute("mode", "constant") != "constant":
        node.refuse(f"it pads by {node.attribute('mode', '')!r}", "only padding by a constant is known")
    given = [int(pad) for pad in node.constant(1, "padding")]
    axes = node.optional(3)
    n_axes = len(node.shape) + 1
    pads = np.zeros((2, n_axes), np.int64)
    chosen = range(n_axes) if axes is None else [int(axis) % n_axes for axis in axes]
    pads[:, list(chosen)] = np.reshape(given, (2, -1))
    if pads.min() < 0 or pads[:, 0].any():
        node.refuse(
            f"its padding is {given}", "only padding of 0 or more, and none of the batch axis, is known"
        )
    before, after = (tuple(int(pad) for pad in row[1:]) for row in pads)
    value = node.optional(2)
    shape = tuple(n + first + last for n, first, last in zip(node.shape, before, after, strict=True))
    made = kinds.Pad(
        **_shaped(node, shape), before=before, after=after, value=0.0 if value is None else float(value)
    )
    return (*layers, made)


OPERATORS: dict[str, Reader] = {
    "Add": _arithmetic,
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Clip": _clip,
    "Conv": _convolution,
    "Div": _arithmetic,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "Identity": _identity,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mul": _arithmetic,
    "Pad": _pad,
    "ReduceMax": _reduction,
    "ReduceMean": _reduction,
    "Relu": _relu,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Sub": _arithmetic,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

ADVICE: dict[str, str] = {
    "BatchNormalization": "fold it into the layer before it: exporters do so for a network in inference mode",
    "Concat": "only chains of layers are known: explain a network without branches",
    "Sum": "only chains of layers are known: explain a network without branches",
    "Sigmoid": "export the network up to its logits, or with ReLU in place of it",
    "Softmax": "it is left out at the end of a network; elsewhere relevance cannot pass",
    "LogSoftmax": "it is left out at the end of a network; elsewhere relevance cannot pass",
}
"""What to do about some that are not."""
