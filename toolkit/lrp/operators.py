"""Operators of ONNX that relevance can be taken through, and the layers that they are.

Each function takes a node and the layers before it and returns the layers with it: one more, or the last one
changed, or just those before where nothing is to be done. ``OPERATORS`` names them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeGuard

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
    opset: int = 0
    constants: tuple[np.ndarray | None, ...] = ()
    """Its inputs in order; None where one is absent or depends on the network's input."""
    data: int = 0
    """Which input depends on the network's input."""
    shape: Shape = ()
    """Of that input, without the batch axis."""
    dtype: type[np.floating] = np.float32
    """Of all real numbers in the network."""
    clips: tuple[int | None, ...] = ()
    """What may stand for the number of clips in its constants, beside what ONNX has for it."""

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

    def flag(self, name: str, *, otherwise: bool = False) -> bool:
        """Return an attribute that is 0 or 1."""
        value = self.attribute(name, int(otherwise))
        if value not in {0, 1}:
            self.refuse(f"its {name} is {value}", "only 0 and 1 have a meaning: export the network again")
        return bool(value)

    def counts(self, name: str, n: int, *, least: int) -> Shape:
        """Return an attribute of ``n`` whole numbers, none below ``least``; that number where it is absent."""
        values = tuple(self.attribute(name, (least,) * n))
        if len(values) != n or min(values) < least:
            self.refuse(f"its {name} are {values}", f"{n} numbers of {least} or more are needed")
        return values

    def constant(self, place: int, what: str) -> np.ndarray:
        """Return an input that must be constant and of the network's type."""
        values = self.optional(place, what)
        if values is None:
            self.refuse(f"its {what} is not a constant", "export the network with constant weights and shapes")
        return values

    def optional(self, place: int, what: str) -> np.ndarray | None:
        """Return an input as ``constant`` does, or None where it is absent."""
        values = self._input(place)
        if values is not None and values.dtype != self.dtype:
            self.refuse(
                f"its {what} is of type {values.dtype} and the network of {self.dtype.__name__}",
                "export the network in one precision throughout",
            )
        return values

    def is_set(self, place: int) -> bool:
        """Tell whether an input that switches something is there and on."""
        values = self._input(place)
        return values is not None and bool(values.any())

    def integers(self, place: int, what: str) -> list[int] | None:
        """Return whole numbers that are an input, or None where it is absent."""
        values = self._input(place)
        if values is None:
            return None
        if values.dtype != np.int64 or values.ndim > 1:
            self.refuse(f"its {what} is no list of whole numbers (int64)", "export the network again")
        return np.atleast_1d(values).tolist()

    def axes(self, place: int, since_opset: int) -> Shape | None:
        """Return axes, an input since opset ``since_opset`` and an attribute before; None: not given.

        They count from zero, the batch axis first, in the order given, and never hold it.
        """
        given = self.integers(place, "axes") if self.opset >= since_opset else self.attributes.get("axes")
        if given is None:
            return None
        n_axes = len(self.shape) + 1 + (len(given) if self.operator == "Unsqueeze" else 0)
        axes = tuple(axis + n_axes if axis < 0 else axis for axis in given)
        if len(set(axes)) < len(axes) or not set(axes) <= set(range(n_axes)):
            self.refuse(f"its axes are {list(given)}", f"each must be another of the {n_axes} that there are")
        if 0 in axes:
            self.refuse("it changes the batch axis", "relevance needs the clips of a batch kept apart")
        return axes

    def _input(self, place: int) -> np.ndarray | None:
        return self.constants[place] if place < len(self.constants) else None


Reader = Callable[[Node, Layers], Layers]


def read(node: Node, layers: Layers) -> Layers:
    """Return the layers with a node behind them.

    Raises
    ------
    ModelError
        Relevance cannot be taken through it.
    """
    if node.operator not in OPERATORS:
        node.refuse(
            "relevance cannot be taken through it",
            ADVICE.get(node.operator, f"known are {', '.join(OPERATORS)}, and Softmax at the end"),
        )
    if node.data != 0 and node.operator not in _COMMUTING:
        node.refuse(
            "a constant stands where the network's data belong", "export the network with them in their places"
        )
    try:
        with np.errstate(all="ignore"):
            found = OPERATORS[node.operator](node, layers)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        node.refuse(f"its attributes and constants do not fit together ({error})", "export the network again")
    _check(node, layers, found)
    return found


def _check(node: Node, before: Layers, found: Layers) -> None:
    """Check what holds for layers of all kinds: something comes out, and is made with numbers.

    Raises
    ------
    ModelError
        It does not.
    """
    for layer in found[-1:]:
        if min(layer.output_shape, default=1) < 1:
            node.refuse(
                f"it turns {node.shape} of one clip into {layer.output_shape}", "no size may be below 1"
            )
        held = [values for values in vars(layer).values() if isinstance(values, np.ndarray)]
        if not all(np.isfinite(values).all() for values in held):
            node.refuse("not all of its weights are finite numbers", "train the network again")
    if len(found) > len(before) > 0 and _is_endless(before[-1]) and not isinstance(found[-1], kinds.MaxPool):
        node.refuse("what it uses is padded by minus infinity", "only a max pool may stand behind such a Pad")


def _is_endless(layer: Layer) -> TypeGuard[kinds.Pad]:
    return isinstance(layer, kinds.Pad) and not math.isfinite(layer.value)


def _shaped(node: Node, shape: Shape) -> dict[str, Any]:
    return {"name": node.name, "input_shape": node.shape, "output_shape": shape}


def _identity(_node: Node, layers: Layers) -> Layers:
    return layers


def _dropout(node: Node, layers: Layers) -> Layers:
    if node.is_set(2):
        node.refuse("it is exported for training", "export the network for inference")
    return layers


def _cast(node: Node, layers: Layers) -> Layers:
    node.refuse("it changes the type of numbers on the way", "export the network in one precision throughout")


def _relu(node: Node, layers: Layers) -> Layers:
    return (*layers, kinds.Relu(**_shaped(node, node.shape)))


def _clip(node: Node, layers: Layers) -> Layers:
    low, high = node.optional(1, "minimum"), node.optional(2, "maximum")
    from_zero = low is not None and low.shape == () and low == 0
    without_end = high is None or (high.shape == () and high == np.inf)
    if not (from_zero and without_end):
        node.refuse(
            f"it keeps values between {low} and {high}", "only ReLU (from 0, without an upper end) is known"
        )
    return _relu(node, layers)


# Convolutions and dense layers


def _convolution(node: Node, layers: Layers) -> Layers:
    kernel, bias = node.constant(1, "kernel"), node.optional(2, "bias")
    groups = int(node.attribute("group", 1))
    _check_convolution(node, kernel, bias, groups)
    window, space = _window(node, kernel.shape[2:])
    made = kinds.Convolution(
        **_shaped(node, (kernel.shape[0], *space)), kernel=kernel, bias=bias, window=window, groups=groups
    )
    return (*layers, made)


def _check_convolution(node: Node, kernel: np.ndarray, bias: np.ndarray | None, groups: int) -> None:
    """Check that the shapes fit.

    Raises
    ------
    ModelError
        They do not.
    """
    n_out, n_in, *size = kernel.shape
    if groups < 1 or n_out % groups or n_in * groups != node.shape[0]:
        node.refuse(
            f"its kernel of shape {kernel.shape} in {groups} groups does not fit {node.shape[0]} channels",
            "export the network again",
        )
    if bias is not None and bias.shape != (n_out,):
        node.refuse(f"its bias has shape {bias.shape}", f"one number for each of {n_out} channels is needed")
    if list(node.attribute("kernel_shape", size)) != size:
        node.refuse(f"its kernel_shape is not that of its kernel, {kernel.shape}", "export the network again")


def _matmul(node: Node, layers: Layers) -> Layers:
    return _dense(node, layers, node.constant(1, "second factor"), None)


def _gemm(node: Node, layers: Layers) -> Layers:
    if node.flag("transA") or len(node.shape) != 1:
        node.refuse("it is not the network's data times weights", "only Gemm(x, constant, constant) is known")
    kernel, bias = node.constant(1, "kernel"), node.optional(2, "bias")
    kernel = (kernel.T if node.flag("transB") else kernel) * node.dtype(node.attribute("alpha", 1.0))
    if bias is not None:
        # As one row: a number for each clip would not fit into it.
        (bias,) = np.broadcast_to(bias * node.dtype(node.attribute("beta", 1.0)), (1, kernel.shape[-1]))
    return _dense(node, layers, kernel, bias)


def _dense(node: Node, layers: Layers, kernel: np.ndarray, bias: np.ndarray | None) -> Layers:
    if kernel.ndim != 2 or kernel.shape[0] != node.shape[-1]:
        node.refuse(
            f"its weights have shape {kernel.shape} and its input {node.shape}",
            "only a matrix of weights with as many rows as the input's last axis is known",
        )
    made = kinds.Dense(
        **_shaped(node, (*node.shape[:-1], kernel.shape[1])),
        kernel=np.ascontiguousarray(kernel),
        bias=None if bias is None else np.ascontiguousarray(bias),
    )
    return (*layers, made)


# Constants added and multiplied: biases, and scaling of the input


def _arithmetic(node: Node, layers: Layers) -> Layers:
    constant = node.constant(1 - node.data, "second operand")
    place = _place_of_weights(layers)
    last = None if place is None else layers[place]
    if node.operator in {"Add", "Sub"} and place is not None and isinstance(last, kinds.Weighted):
        per_unit = _per_unit(last, node.shape, constant)
        if per_unit is not None and not (node.operator == "Sub" and node.data == 1):
            return (*layers[:place], _biased(last, per_unit, node.operator), *layers[place + 1 :])
    if any(isinstance(layer, kinds.Weighted) for layer in layers):
        node.refuse(
            "it adds or multiplies by constants between layers",
            "fold it into the weights beside it; constants are known as biases and before the first layer",
        )
    return (*layers, _scaling(node, constant))


def _place_of_weights(layers: Layers) -> int | None:
    """Return where the layer with weights is that was just passed, or passed but for dropped axes of one.

    tf2onnx writes a convolution over one axis as one over two, and adds the bias when the second is gone.
    """
    if layers and isinstance(layers[-1], kinds.Weighted):
        return len(layers) - 1
    if (
        len(layers) < 2
        or not isinstance(layers[-1], kinds.Reshape)
        or not isinstance(layers[-2], kinds.Convolution)
    ):
        return None
    before, after = layers[-2].output_shape, layers[-1].output_shape
    same = [size for size in before[1:] if size != 1] == [size for size in after[1:] if size != 1]
    return len(layers) - 2 if same and before[0] == after[0] else None


def _biased(layer: kinds.Weighted, per_unit: np.ndarray, operator: str) -> kinds.Weighted:
    added = per_unit if operator == "Add" else -per_unit
    return replace(layer, bias=added if layer.bias is None else layer.bias + added)


def _per_unit(layer: kinds.Weighted, output: Shape, constant: np.ndarray) -> np.ndarray | None:
    """Return the constant as one number per unit of the layer, shape (unit,); None where it is not that."""
    n_axes = len(output)
    axis = 0 if isinstance(layer, kinds.Convolution) else n_axes - 1
    n_units = output[axis]
    shape = (1,) * (n_axes + 1 - constant.ndim) + constant.shape
    others = shape[: axis + 1] + shape[axis + 2 :]
    if len(shape) > n_axes + 1 or set(others) != {1} or shape[axis + 1] not in {1, n_units}:
        return None
    return np.ascontiguousarray(np.broadcast_to(constant.reshape(-1), (n_units,)))


def _scaling(node: Node, constant: np.ndarray) -> kinds.Scaling:
    whole = (1, *node.shape)
    if len(constant.shape) == len(whole) and constant.shape[0] != 1:
        node.refuse(
            f"its constant of shape {constant.shape} differs between clips", "use one constant for all clips"
        )
    if np.broadcast_shapes(whole, constant.shape) != whole:
        node.refuse(
            f"its constant of shape {constant.shape} makes the input larger", "use one of the input's shape"
        )
    if node.operator == "Div" and not constant.all():
        node.refuse("it divides by zero", "only division by a constant is known")
    one, zero = np.ones((), node.dtype), np.zeros((), node.dtype)
    factor, offset = {
        "Add": (one, constant),
        "Sub": (one, -constant) if node.data == 0 else (-one, constant),
        "Mul": (constant, zero),
        "Div": (one / constant, zero),
    }[node.operator]
    return kinds.Scaling(**_shaped(node, node.shape), factor=np.asarray(factor), offset=np.asarray(offset))


# Pools


def _max_pool(node: Node, layers: Layers) -> Layers:
    if node.flag("storage_order"):
        node.refuse("its storage_order is 1", "only pools that count by rows (0) are known")
    window, space = _pool_window(node)
    _check_elements(node, layers, window, space)
    padded = window.padded_for(node.shape[1:], space)
    if any(pad >= size for pad, size in zip(padded.after, padded.size, strict=True)):
        return _max_pool_apart(node, layers, padded, space)
    return (*layers, kinds.MaxPool(**_shaped(node, (node.shape[0], *space)), window=padded))


def _check_elements(node: Node, layers: Layers, window: Window, out: Shape) -> None:
    """Check that something can win in every window of a max pool: an element that is not padding.

    Raises
    ------
    ModelError
        There are windows without one.
    """
    begin, space = (0,) * len(node.shape), node.shape
    if layers and _is_endless(layers[-1]):
        begin, space = layers[-1].before, layers[-1].input_shape
    if space[0] < node.shape[0] or not window.meets(begin[1:], space[1:], out):
        node.refuse("some of its windows hold nothing but padding", "pad by less")


def _max_pool_apart(node: Node, layers: Layers, window: Window, space: Shape) -> Layers:
    """Return a max pool with its padding at the end as a layer of its own.

    Dilated windows may reach further beyond the end than onnxruntime lets a pool pad.
    """
    after = (0, *window.after)
    wider = tuple(n + pad for n, pad in zip(node.shape, after, strict=True))
    nothing = (0,) * len(after)
    padding = kinds.Pad(**_shaped(node, wider), before=nothing, after=after, value=-math.inf)
    rest = replace(window, pads=(*window.before, *nothing[1:]))
    pool = kinds.MaxPool(name=node.name, input_shape=wider, output_shape=(node.shape[0], *space), window=rest)
    return (*layers, padding, pool)


def _average_pool(node: Node, layers: Layers) -> Layers:
    window, space = _pool_window(node)
    made = kinds.AveragePool(
        **_shaped(node, (node.shape[0], *space)),
        window=window.padded_for(node.shape[1:], space),
        counts=window.counts(node.shape[1:], space, with_padding=node.flag("count_include_pad")),
    )
    return (*layers, made)


def _global_average_pool(node: Node, layers: Layers) -> Layers:
    space = _space(node)
    axes = tuple(range(1, 1 + len(space)))
    return (*layers, kinds.Mean(**_shaped(node, (node.shape[0], *(1 for _ in space))), axes=axes))


def _global_max_pool(node: Node, layers: Layers) -> Layers:
    space = _space(node)
    ones = (1,) * len(space)
    window = Window(size=space, strides=ones, pads=(0,) * (2 * len(space)), dilations=ones)
    _check_elements(node, layers, window, ones)
    return (*layers, kinds.MaxPool(**_shaped(node, (node.shape[0], *ones)), window=window))


def _reduction(node: Node, layers: Layers) -> Layers:
    given = node.axes(1, since_opset=18)
    if not given:
        node.refuse("it reduces all axes", "name the axes of space")
    axes = tuple(axis - 1 for axis in given)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(node.shape))
    dropped = tuple(size for axis, size in enumerate(node.shape) if axis not in axes)
    shape = kept if node.flag("keepdims", otherwise=True) else dropped
    kind = kinds.Mean if node.operator == "ReduceMean" else kinds.Maximum
    return (*layers, kind(**_shaped(node, shape), axes=axes))


# Windows


def _space(node: Node) -> Shape:
    if len(node.shape) < 2:
        node.refuse(f"its input of shape {node.shape} has no axes of space", "export the network again")
    return node.shape[1:]


def _pool_window(node: Node) -> tuple[Window, Shape]:
    """Return the window of a pool and the shape of space after it.

    onnxruntime pads for SAME as if the window were not dilated, and by less than nothing where strides pass the
    window, both against the standard; it takes no pads as large as the window.
    """
    size = node.counts("kernel_shape", len(_space(node)), least=1)
    window, out = _window(node, size)
    gaps = max(window.dilations) > 1 or any(step > n for step, n in zip(window.strides, size, strict=True))
    if gaps and node.attribute("auto_pad", "NOTSET").startswith("SAME"):
        node.refuse("it leaves elements out and is padded to the same size", "write its padding as pads")
    if any(pad >= n for pad, n in zip(window.pads, size * 2, strict=True)):
        node.refuse(f"its pads {window.pads} are as large as its window of {size}", "pad by less")
    return window, out


def _window(node: Node, size: Shape) -> tuple[Window, Shape]:
    """Return how a window of the given size moves, and the shape of space after it."""
    space = _space(node)
    n_axes = len(space)
    if len(size) != n_axes:
        node.refuse(f"its window has {len(size)} axes and its input {n_axes}", "export the network again")
    still = Window(
        size=size,
        strides=node.counts("strides", n_axes, least=1),
        pads=node.counts("pads", 2 * n_axes, least=0),
        dilations=node.counts("dilations", n_axes, least=1),
    )
    window = replace(still, pads=_pads(node, still, space))
    extents = zip(space, window.before, window.after, window.reach, window.strides, strict=True)
    ceil = node.flag("ceil_mode")
    out = tuple(
        _n_windows(n, before, after, reach, stride, ceil=ceil) for n, before, after, reach, stride in extents
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
    count = -(-rest // stride) + 1
    return count - 1 if (count - 1) * stride >= n + before else count


def _pads(node: Node, window: Window, space: Shape) -> Shape:
    automatic = node.attribute("auto_pad", "NOTSET")
    if automatic == "NOTSET":
        return window.pads
    if any(window.pads):
        node.refuse(f"it has both pads and the auto_pad {automatic!r}", "export it with one of them")
    if automatic == "VALID":
        return (0,) * len(window.pads)
    if automatic not in {"SAME_UPPER", "SAME_LOWER"}:
        node.refuse(
            f"its auto_pad is {automatic!r}",
            "NOTSET, VALID, SAME_UPPER and SAME_LOWER are known: export it again",
        )
    each = zip(space, window.strides, window.reach, strict=True)
    totals = [max((-(-n // stride) - 1) * stride + reach - n, 0) for n, stride, reach in each]
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
    target = node.integers(1, "shape") or []
    copies = not node.flag("allowzero")
    shape = [
        node.shape[place] if size == 0 and copies and place < len(node.shape) else size
        for place, size in enumerate(target[1:])
    ]
    clips = {*node.clips, 0} if copies else {*node.clips}
    if -1 in shape:
        known = math.prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = math.prod(node.shape) // max(known, 1)
    else:
        clips.add(-1)
    if not target or target[0] not in clips:
        node.refuse(f"its shape {target} does not begin with the batch axis", "keep the clips of a batch apart")
    return _reshaped(node, layers, shape)


def _flatten(node: Node, layers: Layers) -> Layers:
    axis, n_axes = int(node.attribute("axis", 1)), len(node.shape) + 1
    if (axis + n_axes if axis < 0 else axis) != 1:
        node.refuse(f"it flattens from axis {axis}", "only axis 1, behind the batch axis, is known")
    return _reshaped(node, layers, (math.prod(node.shape),))


def _squeeze(node: Node, layers: Layers) -> Layers:
    axes = node.axes(1, since_opset=13)
    if not axes:
        node.refuse("it names no axes", "name the axes that are to go")
    return _reshaped(node, layers, [size for place, size in enumerate(node.shape, 1) if place not in axes])


def _unsqueeze(node: Node, layers: Layers) -> Layers:
    axes = node.axes(1, since_opset=13)
    if not axes:
        node.refuse("it names no axes", "name the axes that are to come")
    sizes = iter(node.shape)
    n_axes = len(node.shape) + len(axes) + 1
    return _reshaped(node, layers, [1 if place in axes else next(sizes) for place in range(1, n_axes)])


def _transpose(node: Node, layers: Layers) -> Layers:
    n_axes = len(node.shape) + 1
    order = tuple(node.attribute("perm", tuple(reversed(range(n_axes)))))
    if sorted(order) != list(range(n_axes)):
        node.refuse(f"its order is {order}", f"each of its {n_axes} axes must come once")
    if order[0] != 0:
        node.refuse(f"its order {order} moves the batch axis", "keep the batch axis first")
    shape = tuple(node.shape[axis - 1] for axis in order[1:])
    return (*layers, kinds.Transpose(**_shaped(node, shape), order=order))


def _pad(node: Node, layers: Layers) -> Layers:
    if node.attribute("mode", "constant") != "constant":
        node.refuse(f"it pads by {node.attribute('mode', '')!r}", "only padding by a constant is known")
    given, axes = node.integers(1, "padding"), node.axes(3, since_opset=18)
    n_axes = len(node.shape) + 1
    pads = np.zeros((2, n_axes), np.int64)
    pads[:, list(range(n_axes) if axes is None else axes)] = np.reshape(given or [], (2, -1))
    if pads.min() < 0 or pads[:, 0].any():
        node.refuse(
            f"its padding is {given}", "only padding of 0 or more, and none of the batch axis, is known"
        )
    before, after = (tuple(row[1:]) for row in pads.tolist())
    shape = tuple(n + first + last for n, first, last in zip(node.shape, before, after, strict=True))
    made = kinds.Pad(**_shaped(node, shape), before=before, after=after, value=_padding(node))
    return (*layers, made)


def _padding(node: Node) -> float:
    """Return by what it pads: a number, or minus infinity, which a max pool leaves out again."""
    values = node.optional(2, "value")
    value = 0.0 if values is None else float(values.item())
    if math.isnan(value) or value == math.inf:
        node.refuse(
            f"it pads by {value}", "only finite numbers, and minus infinity before a max pool, are known"
        )
    return value


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

_COMMUTING = {"Add", "Sub", "Mul"}
"""Those whose first input may be constant: the first two do not mind, and a difference is known both ways."""

ADVICE: dict[str, str] = {
    "BatchNormalization": "fold it into the layer before it: exporters do so for a network in inference mode",
    "Concat": "only chains of layers are known: explain a network without branches",
    "Sum": "only chains of layers are known: explain a network without branches",
    "Sigmoid": "export the network up to its logits, or with ReLU in place of it",
    "Softmax": "it is left out at the end of a network; elsewhere relevance cannot pass",
    "LogSoftmax": "it is left out at the end of a network; elsewhere relevance cannot pass",
}
"""What to do about some that are not."""
