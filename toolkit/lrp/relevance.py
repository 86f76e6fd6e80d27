"""Relevance on its way from the output of a network to its input."""

from collections.abc import Callable
from dataclasses import dataclass

from toolkit.lrp.tensors import Tensor

Step = Callable[[Tensor], Tensor]
"""An elementwise function that gives zero for zero."""


@dataclass(frozen=True)
class Relevance:
    """Relevance of one tensor, as a product where that is known.

    Most rules give an input its relevance in proportion to its value, and most rules begin by dividing by the
    value. Kept apart, both meet in ``value / (value + epsilon)``: no quotient of two small numbers, and no
    division where a pool has thrown most elements away.
    """

    factor: Tensor
    activation: Tensor | None = None
    """What ``factor`` is yet to be multiplied by; None: ``factor`` is the relevance."""
    route: Step | None = None
    """Takes the product to its place where a max pool lies between: each element to the one that won."""
    rectified: Tensor | None = None
    """The tensor after its ReLU, where relevance is zero wherever that is."""

    def value(self) -> Tensor:
        """Return the relevance itself."""
        return self.times(lambda activation: activation)

    def times(self, step: Step) -> Tensor:
        """Return the factor times a function of the activation; there must be one, or no factor to speak of."""
        product = self.factor if self.activation is None else self.factor * step(self.activation)
        return product if self.route is None else self.route(product)

    def over(self, z: Tensor, guarded: Step) -> Tensor:
        """Return relevance divided by ``guarded(z)``, where z is the tensor that it is the relevance of.

        An activation is z, or its positive part, at the places that relevance goes to: the function of one is
        the function of the other, and zero divided by its guard is zero.
        """
        if self.activation is None:
            return self.value() / guarded(z)
        return self.times(lambda activation: activation / guarded(activation))
