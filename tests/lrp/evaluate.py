"""Run ONNX models in float64: onnx's reference evaluator, with its wrong or missing operators written anew.

Against onnxruntime, onnx 1.18 fails at ConvTranspose with groups, pads or output padding, at MaxPool's indices,
at GlobalMaxPool on one axis, at ScatterElements that multiplies, and at OneHot beyond its depth; Conv and
AveragePool are right but loop over cells. What stands here follows the specification alone, tap by tap.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Shape = tuple[int, ...]


def evaluator(model: onnx.ModelProto | bytes) -> ReferenceEvaluator:
    """A session that runs a model in the precision of its own tensors."""
    return ReferenceEvaluator(model, new_ops=list(OPERATORS))


def evaluate(model: onnx.ModelProto | bytes, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of a model by name."""
    session = evaluator(model)
    return dict(zip(session.output_names, session.run(None, dict(feeds)), strict=True))


class _Grid:
    """Positions of a window on one input: attributes filled in, pads made explicit."""

    def __init__(self, sizes: Shape, kernel_shape: Shape, attributes: Mapping[str, object]) -> None:
        n_axes = len(sizes)
        self.sizes, self.kernel_shape = tuple(sizes), tuple(kernel_shape)
        self.strides = list(attributes.get("strides") or [1] * n_axes)
        self.dilations = list(attributes.get("dilations") or [1] * n_axes)
        self.reaches = [(k - 1) * d + 1 for k, d in zip(self.kernel_shape, self.dilations, strict=True)]
        auto_pad = attributes.get("auto_pad") or "NOTSET"
        pads = list(attributes.get("pads") or [0] * 2 * n_axes)
        if auto_pad != "NOTSET":
            pads = self._automatic(str(auto_pad))
        self.begins, self.ends = pads[:n_axes], pads[n_axes:]
        self.counts = tuple(self._count(axis, bool(attributes.get("ceil_mode"))) for axis in range(n_axes))

    def _automatic(self, auto_pad: str) -> list[int]:
        if auto_pad == "VALID":
            return [0] * 2 * len(self.sizes)
        begins, ends = [], []
        for size, stride, reach in zip(self.sizes, self.strides, self.reaches, strict=True):
            total = max(0, (-(-size // stride) - 1) * stride + reach - size)
            small, large = total // 2, total - total // 2
            begins.append(small if auto_pad == "SAME_UPPER" else large)
            ends.append(large if auto_pad == "SAME_UPPER" else small)
        return begins + ends

    def _count(self, axis: int, ceil_mode: bool) -> int:
        size, begin, stride = self.sizes[axis], self.begins[axis], self.strides[axis]
        room = size + begin + self.ends[axis] - self.reaches[axis]
        if room < 0:
            raise ValueError(
                f"window {self.reaches[axis]} on {size} cells with pads {begin}, {self.ends[axis]}"
            )
        if not ceil_mode:
            return room // stride + 1
        count = -(-room // stride) + 1
        return count - 1 if (count - 1) * stride >= size + begin else count

    def places(self, tap: Shape) -> list[np.ndarray]:
        """Where one tap reads, along each axis: one place for every position, maybe outside."""
        return [
            np.arange(count) * stride - begin + offset * dilation
            for count, stride, begin, offset, dilation in zip(
                self.counts, self.strides, self.begins, tap, self.dilations, strict=True
            )
        ]

    def taps(self) -> Iterator[tuple[Shape, list[np.ndarray], np.ndarray]]:
        """Every tap in row-major order: itself, its places moved inside, and which of them were inside."""
        for tap in product(*map(range, self.kernel_shape)):
            places = self.places(tap)
            is_inside = np.ones((), bool)
            for place, size in zip(places, self.sizes, strict=True):
                is_inside = np.logical_and.outer(is_inside, (place >= 0) & (place < size))
            yield (
                tap,
                [np.clip(place, 0, size - 1) for place, size in zip(places, self.sizes, strict=True)],
                is_inside,
            )


def _read(x: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    """The cells at the grid that these places span, for every sample and channel."""
    return x[(slice(None), slice(None), *np.ix_(*places))]


class Conv(OpRun):
    def _run(self, x, kernel, bias=None, **attributes):
        groups = attributes.get("group") or 1
        grid = _Grid(x.shape[2:], kernel.shape[2:], attributes)
        weights = kernel.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:])
        result = np.zeros((len(x), groups, weights.shape[1], int(np.prod(grid.counts))), x.dtype)
        for tap, places, is_inside in grid.taps():
            cells = np.where(is_inside, _read(x, places), 0).reshape(len(x), groups, x.shape[1] // groups, -1)
            result += weights[:, :, :, *tap] @ cells
        result = result.reshape(len(x), kernel.shape[0], *grid.counts)
        return (result if bias is None else result + bias.reshape(-1, *(1,) * len(grid.sizes)),)


class ConvTranspose(OpRun):
    def _run(self, x, kernel, bias=None, **attributes):
        groups, n_axes = attributes.get("group") or 1, x.ndim - 2
        strides = attributes.get("strides") or [1] * n_axes
        dilations = attributes.get("dilations") or [1] * n_axes
        weights = kernel.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:]).swapaxes(1, 2)
        full, begins, sizes = _transposed_sizes(x.shape[2:], kernel.shape[2:], attributes)
        result = np.zeros((len(x), kernel.shape[1] * groups, *full), x.dtype)
        cells = x.reshape(len(x), groups, x.shape[1] // groups, -1)
        for tap in product(*map(range, kernel.shape[2:])):
            where = tuple(
                slice(offset * dilation, offset * dilation + (size - 1) * stride + 1, stride)
                for offset, dilation, size, stride in zip(tap, dilations, x.shape[2:], strides, strict=True)
            )
            sent = weights[:, :, :, *tap] @ cells
            result[:, :, *where] += sent.reshape(len(x), -1, *x.shape[2:])
        result = result[:, :, *(slice(begin, begin + size) for begin, size in zip(begins, sizes, strict=True))]
        return (result if bias is None else result + bias.reshape(-1, *(1,) * n_axes),)


def _transposed_sizes(
    sizes: Shape, kernel_shape: Shape, attributes: Mapping[str, object]
) -> tuple[list, list, list]:
    """Sizes before pads are cut off, where the result begins in them, and its sizes."""
    n_axes = len(sizes)
    strides = attributes.get("strides") or [1] * n_axes
    dilations = attributes.get("dilations") or [1] * n_axes
    extra = attributes.get("output_padding") or [0] * n_axes
    reaches = [(k - 1) * d + 1 for k, d in zip(kernel_shape, dilations, strict=True)]
    full = [s * (n - 1) + r + e for s, n, r, e in zip(strides, sizes, reaches, extra, strict=True)]
    pads = attributes.get("pads") or [0] * 2 * n_axes
    auto_pad = attributes.get("auto_pad") or "NOTSET"
    wanted = attributes.get("output_shape")
    if wanted is None and auto_pad in {"SAME_UPPER", "SAME_LOWER"}:
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
    if wanted is None:
        begins = pads[:n_axes]
        return full, begins, [f - b - e for f, b, e in zip(full, begins, pads[n_axes:], strict=True)]
    totals = [f - w for f, w in zip(full, wanted, strict=True)]
    if min(totals) < 0:
        raise ValueError(f"output shape {wanted} is larger than {full}")
    begins = [total // 2 if auto_pad == "SAME_UPPER" else total - total // 2 for total in totals]
    return full, begins, list(wanted)


class MaxPool(OpRun):
    def _run(self, x, **attributes):
        if attributes.get("storage_order"):
            raise NotImplementedError("MaxPool with column-major indices")
        grid = _Grid(x.shape[2:], attributes["kernel_shape"], attributes)
        best = np.full((*x.shape[:2], *grid.counts), -np.inf)
        chosen = np.full(best.shape, -1, np.int64)
        indices = np.arange(x.size, dtype=np.int64).reshape(x.shape)
        for _, places, is_inside in grid.taps():
            wins = is_inside & (_read(x, places) > best)
            best = np.where(wins, _read(x, places), best)
            chosen = np.where(wins, _read(indices, places), chosen)
        best = best.astype(x.dtype)
        return (best, chosen) if len(self.onnx_node.output) > 1 else (best,)


class AveragePool(OpRun):
    def _run(self, x, **attributes):
        grid = _Grid(x.shape[2:], attributes["kernel_shape"], attributes)
        sums, divisors = np.zeros((*x.shape[:2], *grid.counts)), np.zeros(grid.counts)
        for tap, places, is_inside in grid.taps():
            sums += np.where(is_inside, _read(x, places), 0)
            divisors += self._counted(grid, tap) if attributes.get("count_include_pad") else is_inside
        return ((sums / divisors).astype(x.dtype),)

    @staticmethod
    def _counted(grid: _Grid, tap: Shape) -> np.ndarray:
        """Places inside the input or its pads, but not those that only ceil mode reaches."""
        counted = np.ones((), bool)
        for place, size, begin, end in zip(grid.places(tap), grid.sizes, grid.begins, grid.ends, strict=True):
            counted = np.logical_and.outer(counted, (place >= -begin) & (place < size + end))
        return counted


class GlobalMaxPool(OpRun):
    def _run(self, x):
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


def _elements(shape: Shape, indices: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """Where in a tensor of this shape the indices of GatherElements and ScatterElements point."""
    if indices.size and (indices.min() < -shape[axis] or indices.max() >= shape[axis]):
        raise IndexError(f"indices from {indices.min()} to {indices.max()} on an axis of {shape[axis]}")
    where = list(np.indices(indices.shape))
    where[axis] = indices
    return tuple(where)


class GatherElements(OpRun):
    def _run(self, data, indices, axis=0):
        return (data[_elements(data.shape, indices, axis)],)


class ScatterElements(OpRun):
    def _run(self, data, indices, updates, axis=0, reduction="none"):
        result, where = data.copy(), _elements(data.shape, indices, axis)
        if reduction in {None, "none"}:
            result[where] = updates
        else:
            add_to = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[reduction]
            add_to.at(result, where, updates)
        return (result,)


class OneHot(OpRun):
    def _run(self, indices, depth, values, axis=-1):
        n_classes = int(np.asarray(depth).reshape(-1)[0])
        wrapped = np.where(indices < 0, indices + n_classes, indices)
        is_hot = np.expand_dims(wrapped, axis) == np.arange(n_classes).reshape([
            -1 if place == axis % (indices.ndim + 1) else 1 for place in range(indices.ndim + 1)
        ])
        return (np.where(is_hot, values[1], values[0]),)


OPERATORS = (Conv, ConvTranspose, MaxPool, AveragePool, GlobalMaxPool, GatherElements, ScatterElements, OneHot)
