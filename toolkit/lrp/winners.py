"""Which element won in each window of a max pool, without asking the operator MaxPool for its indices.

With indices as an output, onnxruntime's MaxPool leaves its fast code: on a 3x3 pool of stride 2 over
(64, 60, 60) it then takes longer than the convolution before it. Here every place under the window is compared
with the maximum by operators that stay in the layout of the convolutions around, which takes a third of that.
"""

import math
from itertools import product

import numpy as np

from toolkit.lrp.tensors import Tensor
from toolkit.lrp.window import Shape, Window

_STEEP = 2.0**120
"""Makes any difference of two activations larger than any place, unless they are below 1e-28."""
_BLOCK = 16
"""Channels that onnxruntime's fast layout holds together, on processors with the widest registers."""
_MOST_PLACES = 25
_LARGEST_EXACT = 2**24
"""Of whole numbers in float32."""


def is_known(x: Tensor, window: Window, shape: Shape) -> bool:
    """Tell whether ``first_maxima`` is right and fast for a pool of ``x``, of which one clip has ``shape``.

    Padding must not win before an element does. With none at the beginning and nothing negative, the first
    place is an element, and padding only equals the maximum where that place does too.
    """
    return (
        x.nonnegative
        and len(window.size) == 2
        and not any(window.before)
        and math.prod(window.size) <= _MOST_PLACES
        and shape[0] % _BLOCK == 0
        and 2 * math.prod(shape) < _LARGEST_EXACT
    )


def first_maxima(x: Tensor, y: Tensor, window: Window, shape: Shape, out: Shape) -> Tensor:
    """Return where in its clip the first maximum of each window is, int64, shape (batch, window).

    Parameters
    ----------
    x, y
        Input and output of the pool.
    window
        How it moves.
    shape, out
        Of one clip's input and output.
    """
    graph, n_channels = x.graph, shape[0]
    places = list(product(*(range(size) for size in window.size)))
    offsets = [row * window.dilations[0] * shape[2] + column * window.dilations[1] for row, column in places]
    span = offsets[-1] + 1
    flip = graph.constant(np.full((n_channels, 1, 1, 1), -1.0))
    steep = graph.constant(np.full((n_channels, 1, 1, 1), -_STEEP))
    best: Tensor | None = None  # minus the highest mark so far; the first place has the highest mark
    for place, offset in zip(places, offsets, strict=True):
        short = _picked(x, window, place, n_channels) + y
        mark = graph.constant(np.full(n_channels, float(span - offset)))
        marked = graph.node("Conv", short, steep, mark, group=n_channels, kernel_shape=(1, 1))
        rise = graph.node("Relu", marked if best is None else marked + best)
        lowered = graph.node("Conv", rise, flip, group=n_channels, kernel_shape=(1, 1))
        best = lowered if best is None else lowered + best
    assert best is not None  # noqa: S101 (a window holds at least one place)
    begin = _first_places(window, shape, out) + span
    found = (best + graph.constant(begin[None].astype(float))).as_integers()
    # A clip that holds no numbers gives no places: it may not cost the clips beside it their maps.
    inside = graph.node("Clip", found, graph.integer(0), graph.integer(math.prod(shape) - 1))
    return graph.node("Reshape", inside, graph.integers(0, -1))


def _picked(x: Tensor, window: Window, place: tuple[int, ...], n_channels: int) -> Tensor:
    """Return minus the element at one place under every window; 0 for padding."""
    kernel = np.zeros((n_channels, 1, *window.size))
    kernel[(..., *place)] = -1
    return x.graph.node("Conv", x, x.graph.constant(kernel), group=n_channels, **window.attributes)


def _first_places(window: Window, shape: Shape, out: Shape) -> np.ndarray:
    """Return where in a clip the first element under every window is, shape ``out``."""
    channel, row, column = np.indices(out)
    rows, columns = shape[1:]
    return (channel * rows + row * window.strides[0]) * columns + column * window.strides[1]
