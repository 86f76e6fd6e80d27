"""What a network is made of: each kind of layer, what it computes, and how that is turned back.

Axes are ONNX's: batch, channel, then space. Shapes leave out the batch axis. ``adjoint`` is the transpose of a
layer's Jacobian: what the gradient of a sum does on its way back.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from toolkit.lrp import winners
from toolkit.lrp.tensors import Tensor
from toolkit.lrp.window import Shape, Window


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A step from one tensor to another."""

    kind: ClassVar[str]
    name: str
    input_shape: Shape
    output_shape: Shape

    @property
    def keeps_sign(self) -> bool:
        """Whether inputs that are not negative give outputs that are not."""
        return self.kind in {"max_pool", "average_pool", "reshape"}

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for the input ``x``."""
        raise NotImplementedError

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return for ``s``, shaped as the output ``y``, the transposed Jacobian at ``x`` times it."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighted(Layer):
    """A layer with weights: an affine map, which rules apply with weights of their own."""

    kernel: np.ndarray
    bias: np.ndarray | None

    def forward(self, x: Tensor) -> Tensor:
        return self.apply(x, self.kernel, self.bias)

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return self.transpose(s, self.kernel)

    def apply(self, x: Tensor, kernel: np.ndarray, bias: np.ndarray | None = None) -> Tensor:
        """Return the output for other weights, shaped as ``kernel`` and ``bias`` are."""
        raise NotImplementedError

    def transpose(self, s: Tensor, kernel: np.ndarray) -> Tensor:
        """Return the transpose of ``apply`` without a bias: from outputs to inputs."""
        raise NotImplementedError


def _surely_nonnegative(x: Tensor, kernel: np.ndarray, bias: np.ndarray | None) -> bool:
    return x.nonnegative and bool((kernel >= 0).all()) and (bias is None or bool((bias >= 0).all()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution(Weighted):
    """Convolution over one or more axes of space; kernel of shape (output channel, input channel, *size)."""

    kind = "convolution"
    window: Window
    groups: int = 1

    def apply(self, x: Tensor, kernel: np.ndarray, bias: np.ndarray | None = None) -> Tensor:
        graph = x.graph
        weights = [graph.constant(each) for each in (kernel, bias) if each is not None]
        output = graph.node("Conv", x, *weights, group=self.groups, **self.window.attributes)
        return output.noted(nonnegative=_surely_nonnegative(x, kernel, bias))

    def transpose(self, s: Tensor, kernel: np.ndarray) -> Tensor:
        window = self.window
        rest = window.left_over(self.input_shape[1:], self.output_shape[1:])
        far = tuple(reach - 1 for reach in window.reach)
        pads = tuple(edge - pad for edge, pad in zip(far * 2, window.pads, strict=True))
        few = kernel.shape[1] * self.groups < 8
        if few or any(stride > 1 for stride in window.strides) or min(pads) < 0 or any(rest):
            weights = s.graph.constant(kernel)
            return s.graph.node(
                "ConvTranspose", s, weights, group=self.groups, output_padding=rest, **window.attributes
            )
        # The same sums as by ConvTranspose, where onnxruntime is several times faster.
        flipped = s.graph.constant(self._flipped(kernel))
        attributes = {**window.attributes, "pads": pads}
        return s.graph.node("Conv", s, flipped, group=self.groups, **attributes)

    def thinned(self) -> "Convolution":
        """Return the convolution with one input channel, one output channel and weights of one."""
        kernel = np.ones((1, 1, *self.window.size), self.kernel.dtype)
        before, after = (1, *self.input_shape[1:]), (1, *self.output_shape[1:])
        return replace(self, kernel=kernel, bias=None, input_shape=before, output_shape=after)

    def _flipped(self, kernel: np.ndarray) -> np.ndarray:
        n_out, n_in, *size = kernel.shape
        grouped = kernel.reshape(self.groups, n_out // self.groups, n_in, *size).swapaxes(1, 2)
        turned = np.flip(grouped, axis=tuple(range(3, grouped.ndim)))
        return np.ascontiguousarray(turned.reshape(self.groups * n_in, n_out // self.groups, *size))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dense(Weighted):
    """Every output from all inputs along the last axis; kernel of shape (input, output)."""

    kind = "dense"

    def apply(self, x: Tensor, kernel: np.ndarray, bias: np.ndarray | None = None) -> Tensor:
        graph = x.graph
        weights = [graph.constant(each) for each in (kernel, bias) if each is not None]
        if len(self.input_shape) == 1:
            output = graph.node("Gemm", x, *weights)
        else:
            product = graph.node("MatMul", x, weights[0])
            output = product if bias is None else graph.node("Add", product, weights[1])
        return output.noted(nonnegative=_surely_nonnegative(x, kernel, bias))

    def transpose(self, s: Tensor, kernel: np.ndarray) -> Tensor:
        if len(self.input_shape) == 1:
            return s.graph.node("Gemm", s, s.graph.constant(kernel), transB=1)
        return s.graph.node("MatMul", s, s.graph.constant(np.ascontiguousarray(kernel.T)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Relu(Layer):
    """max(x, 0)."""

    kind = "relu"

    def forward(self, x: Tensor) -> Tensor:
        return x.positive_part()

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return x.where("Greater", s, 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling(Layer):
    """A constant times the input plus a constant: what brings recorded values into the range of a network."""

    kind = "scaling"
    factor: np.ndarray
    offset: np.ndarray

    def forward(self, x: Tensor) -> Tensor:
        return x * x.graph.constant(self.factor) + x.graph.constant(self.offset)

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return s * s.graph.constant(self.factor)


@dataclass(frozen=True, kw_only=True, eq=False)
class AveragePool(Layer):
    """Mean over a window."""

    kind = "average_pool"
    window: Window
    counts: np.ndarray
    """How many elements each window counts, shape (*space): a window need not count what is past the edge."""

    def forward(self, x: Tensor) -> Tensor:
        attributes = {name: value for name, value in self.window.attributes.items() if name != "dilations"}
        mean = x.graph.node("AveragePool", x, count_include_pad=1, **attributes)
        size = math.prod(self.window.size)
        if (self.counts == size).all():
            return mean
        return mean * x.graph.constant(size / self.counts[None, None])

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Channels stand in for clips: all of them share one kernel of ones."""
        graph, space, out = s.graph, self.input_shape[1:], self.output_shape[1:]
        shares = s / graph.constant(self.counts[None, None].astype(float))
        single = graph.node("Reshape", shares, graph.integers(-1, 1, *out))
        spread = graph.node(
            "ConvTranspose",
            single,
            graph.constant(np.ones((1, 1, *self.window.size))),
            output_padding=self.window.left_over(space, out),
            **self.window.attributes,
        )
        return graph.node("Reshape", spread, graph.integers(-1, *self.input_shape))


@dataclass(frozen=True, kw_only=True, eq=False)
class Mean(Layer):
    """Mean over whole axes."""

    kind = "average_pool"
    axes: Shape
    """Without the batch axis: 0 is the first axis of a clip."""

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(axis + 1 for axis in self.axes)
        mean = x.graph.node("ReduceMean", x, axes=axes, keepdims=1)
        return mean.reshaped(self.output_shape)

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        count = math.prod(self.input_shape[axis] for axis in self.axes)
        return _spread(s / float(count), self.input_shape, self.axes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Maximum(Layer):
    """Maximum over whole axes; equal maxima share alike, as in TensorFlow."""

    kind = "max_pool"
    axes: Shape

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(axis + 1 for axis in self.axes)
        found = x.graph.node("ReduceMax", x, axes=axes, keepdims=1)
        return found.reshaped(self.output_shape)

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        graph = s.graph
        won = graph.node("Equal", x, _spread(y, self.input_shape, self.axes))
        winners = graph.node("Where", won, graph.constant(np.ones(())), graph.constant(np.zeros(())))
        axes = graph.integers(*(axis + 1 for axis in self.axes))
        count = graph.node("ReduceSum", winners, axes, keepdims=1)
        return _spread(s, self.input_shape, self.axes) * winners / count


def _spread(s: Tensor, shape: Shape, axes: Shape) -> Tensor:
    """Repeat what was reduced over ``axes``."""
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return s.graph.node("Expand", s.reshaped(kept), s.graph.integers(1, *shape))


@dataclass(frozen=True, kw_only=True, eq=False)
class MaxPool(Layer):
    """Maximum over a window; of equal elements the first in the order of rows wins."""

    kind = "max_pool"
    window: Window

    def forward(self, x: Tensor) -> Tensor:
        if winners.is_known(x, self.window, self.input_shape):
            return x.graph.node("MaxPool", x, **self.window.attributes)
        return x.graph.nodes("MaxPool", x, n_outputs=2, **self.window.attributes)[0]

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        graph, n_inputs = s.graph, math.prod(self.input_shape)
        n_clips = graph.node("Shape", s, end=1)
        shape = graph.node("Concat", n_clips, graph.integers(n_inputs), axis=0)
        nothing = graph.node("Expand", graph.constant(np.zeros((1, 1))), shape)
        given = s.reshaped((math.prod(self.output_shape),))
        # One element may win in several windows: this adds up, where MaxUnpool would keep the last.
        spread = graph.node("ScatterElements", nothing, self._winners(x, y), given, axis=1, reduction="add")
        return spread.reshaped(self.input_shape)

    def _winners(self, x: Tensor, y: Tensor) -> Tensor:
        """Return where in its clip the element is that won in each window, shape (batch, window)."""
        if winners.is_known(x, self.window, self.input_shape):
            return winners.first_maxima(x, y, self.window, self.input_shape, self.output_shape)
        graph = x.graph
        in_batch = graph.nodes("MaxPool", x, n_outputs=2, **self.window.attributes)[1]
        in_clip = graph.node("Mod", in_batch, graph.integers(math.prod(self.input_shape)))
        return in_clip.reshaped((math.prod(self.output_shape),))


@dataclass(frozen=True, kw_only=True, eq=False)
class Reshape(Layer):
    """The same elements in the same order in another shape."""

    kind = "reshape"

    def forward(self, x: Tensor) -> Tensor:
        return x.reshaped(self.output_shape)

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return s.reshaped(self.input_shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Transpose(Layer):
    """Axes in another order; ``order`` holds the batch axis, which stays first."""

    kind = "reshape"
    order: Shape

    def forward(self, x: Tensor) -> Tensor:
        return x.graph.node("Transpose", x, perm=self.order)

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        back = tuple(int(axis) for axis in np.argsort(self.order))
        return s.graph.node("Transpose", s, perm=back)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pad(Layer):
    """A constant around the input; what comes back to it is dropped."""

    kind = "pad"
    before: Shape
    after: Shape
    value: float = 0.0

    @property
    def keeps_sign(self) -> bool:
        return self.value >= 0

    def forward(self, x: Tensor) -> Tensor:
        graph = x.graph
        pads = graph.integers(0, *self.before, 0, *self.after)
        return graph.node("Pad", x, pads, graph.constant(np.asarray(self.value)))

    def adjoint(self, s: Tensor, x: Tensor, y: Tensor) -> Tensor:
        graph = s.graph
        ends = [begin + n for begin, n in zip(self.before, self.input_shape, strict=True)]
        axes = graph.integers(*range(1, len(ends) + 1))
        return graph.node("Slice", s, graph.integers(*self.before), graph.integers(*ends), axes)
