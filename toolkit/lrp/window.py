"""How a window moves over space: what convolutions and pools have in common."""

from dataclasses import dataclass, replace

import numpy as np

from toolkit.lrp.tensors import Attribute

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """How a window moves over space; one number per axis, in ``pads`` those at the end after the others."""

    size: Shape
    strides: Shape
    pads: Shape
    dilations: Shape

    @property
    def n_axes(self) -> int:
        """How many axes space has."""
        return len(self.size)

    @property
    def before(self) -> Shape:
        """Padding at the beginning of each axis."""
        return self.pads[: self.n_axes]

    @property
    def after(self) -> Shape:
        """Padding at the end of each axis."""
        return self.pads[self.n_axes :]

    @property
    def reach(self) -> Shape:
        """From the first to the last element under the window, along each axis."""
        return tuple((size - 1) * gap + 1 for size, gap in zip(self.size, self.dilations, strict=True))

    @property
    def attributes(self) -> dict[str, Attribute]:
        """The window as attributes of a node."""
        return {
            "kernel_shape": self.size,
            "strides": self.strides,
            "pads": self.pads,
            "dilations": self.dilations,
        }

    def padded_for(self, space: Shape, out: Shape) -> "Window":
        """Return the window with padding at the end for all that it reaches, as it does in ceil_mode."""
        rest = self.left_over(space, out)
        after = tuple(end + max(0, -past) for end, past in zip(self.after, rest, strict=True))
        return replace(self, pads=(*self.before, *after))

    def counts(self, space: Shape, out: Shape, *, with_padding: bool) -> np.ndarray:
        """Return how many elements, with padding or without, lie under each undilated window, shape ``out``."""
        found = np.ones((), np.int64)
        each = zip(space, out, self.size, self.strides, self.before, self.after, strict=True)
        for n, n_out, size, stride, before, after in each:
            first, last = (-before, n + after) if with_padding else (0, n)
            starts = np.arange(n_out) * stride - before
            found = found[..., None] * (np.minimum(starts + size, last) - np.maximum(starts, first))
        return found

    def meets(self, begin: Shape, space: Shape, out: Shape) -> bool:
        """Tell whether every window holds an element from ``begin`` on, as far as ``space`` says."""
        each = zip(begin, space, out, self.size, self.strides, self.dilations, self.before, strict=True)
        for first, n, n_out, size, stride, gap, before in each:
            places = np.arange(n_out)[:, None] * stride + np.arange(size) * gap - before
            if not ((first <= places) & (places < first + n)).any(axis=1).all():
                return False
        return True

    def left_over(self, space: Shape, out: Shape) -> Shape:
        """Return how many elements at the end of each axis no window reaches; below 0, how far one is past."""
        each = zip(space, out, self.before, self.after, self.strides, self.reach, strict=True)
        return tuple(
            n + begin + end - (n_out - 1) * stride - reach for n, n_out, begin, end, stride, reach in each
        )
