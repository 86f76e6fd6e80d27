"""Rules of layer-wise relevance propagation: how a layer hands the relevance of its output to its input.

A rule is one small object, called with a layer, its input and output and the relevance of the output, that
writes into the graph what the relevance of the input is. ``RULES`` names them; a rule in it can be used in
settings and is tested.

Sources: Bach et al. 2015 (z, epsilon, alpha-beta); Montavon et al. 2017 (w-square, z-box, z-plus); Lapuschkin
et al. 2019 (flat); Montavon et al. 2019 (gamma). Where papers leave a choice, the defaults are innvestigate
2.1.2's where it has the rule, and zennit's otherwise; each docstring says which.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from toolkit.errors import ConfigError
from toolkit.lrp.layers import Convolution, Layer, Weighted
from toolkit.lrp.relevance import Relevance
from toolkit.lrp.tensors import Tensor
from toolkit.lrp.window import Shape

ZERO_STAND_IN = 1e-7
"""What innvestigate divides by in place of an exact zero."""
TINY = 1e-30
"""Nothing beside any activation that counts, and not zero."""

Bias = Literal["full", "split", "none"]


class Rule(ABC):
    """How a layer hands relevance from its output to its input."""

    @abstractmethod
    def __call__(self, layer: Layer, x: Tensor, y: Tensor, relevance: Relevance) -> Relevance:
        """Return the relevance of the layer's input ``x``, given that of its output ``y``."""


class WeightRule(Rule):
    """A rule that applies weights of its own making."""

    def __call__(self, layer: Layer, x: Tensor, y: Tensor, relevance: Relevance) -> Relevance:
        if not isinstance(layer, Weighted):
            raise ConfigError(
                f"rule {name_of(self)} needs a layer with weights, and {layer.name} ({layer.kind}) has "
                "none: give it the rule z or epsilon"
            )
        return self.distribute(layer, x, relevance)

    @abstractmethod
    def distribute(self, layer: Weighted, x: Tensor, relevance: Relevance) -> Relevance:
        """Return the relevance of the layer's input ``x``, given that of its output."""


def safe(z: Tensor) -> Tensor:
    """Return ``z`` with exact zeros replaced, as innvestigate does before it divides."""
    return z.where("Equal", ZERO_STAND_IN, z)


def stabilised(z: Tensor, epsilon: float) -> Tensor:
    """Return ``z`` moved away from zero by ``epsilon``; zero counts as positive."""
    if z.nonnegative:
        return z + epsilon
    return z + z.where("GreaterOrEqual", epsilon, -epsilon)


@dataclass(frozen=True)
class Z(Rule):
    """Relevance in proportion to each input's part of the output. The bias keeps its own part."""

    def __call__(self, layer: Layer, x: Tensor, y: Tensor, relevance: Relevance) -> Relevance:
        return Relevance(layer.adjoint(relevance.over(y, safe), x, y), x)


@dataclass(frozen=True)
class Epsilon(Rule):
    """The rule z with a denominator that is kept away from zero, which takes relevance from small outputs."""

    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        _check(self.epsilon > 0, "epsilon", self.epsilon, "above 0")

    def __call__(self, layer: Layer, x: Tensor, y: Tensor, relevance: Relevance) -> Relevance:
        return Relevance(layer.adjoint(relevance.over(y, lambda z: stabilised(z, self.epsilon)), x, y), x)


@dataclass(frozen=True)
class AlphaBeta(WeightRule):
    """Positive parts of the output get ``alpha`` of the relevance, negative parts minus ``beta`` of it.

    ``bias`` says where the bias counts: 'full' adds the whole of it to both denominators, as innvestigate 2.1.2
    does (its issue 273: more than the relevance may come back, or of the other sign); 'split' adds its positive
    part to the positive one and its negative part to the negative, as published; 'none' leaves it out.
    ``epsilon`` moves denominators away from zero; 0 replaces exact zeros alone.
    """

    alpha: float = 1.0
    beta: float = 0.0
    bias: Bias = "full"
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        _check(np.isclose(self.alpha - self.beta, 1), "alpha - beta", self.alpha - self.beta, "1")
        _check(self.alpha >= 1, "alpha", self.alpha, "1 or more")
        _check(self.bias in {"full", "split", "none"}, "bias", self.bias, "'full', 'split' or 'none'")
        _check(self.epsilon >= 0, "epsilon", self.epsilon, "0 or more")

    def distribute(self, layer: Weighted, x: Tensor, relevance: Relevance) -> Relevance:
        up, down = np.maximum(layer.kernel, 0), np.minimum(layer.kernel, 0)
        gain = _share(x, layer, relevance.value() / self._excitation(layer, x, relevance), (up, down))
        if not self.beta:
            return gain
        z = _sum_of_parts(x, layer, (down, up), self._bias(layer, np.minimum))
        loss = _share(x, layer, relevance.value() / self._guarded(z), (down, up))
        return Relevance(gain.factor * self.alpha - loss.factor * self.beta, gain.activation)

    def _excitation(self, layer: Weighted, x: Tensor, relevance: Relevance) -> Tensor:
        """Return the denominator of the positive parts."""
        up, down = np.maximum(layer.kernel, 0), np.minimum(layer.kernel, 0)
        if x.nonnegative and relevance.rectified is not None and self.bias == "full" and not self.epsilon:
            # W+ x + b = (W x + b) - W- x: a sum of nothing negative, so that no rounding can bring it near zero
            # where there is relevance. Elsewhere the numerator is zero and any number but zero will do.
            return layer.apply(x, -down, np.full(_n_units(layer), TINY)) + relevance.rectified
        return self._guarded(_sum_of_parts(x, layer, (up, down), self._bias(layer, np.maximum)))

    def _guarded(self, z: Tensor) -> Tensor:
        return stabilised(z, self.epsilon) if self.epsilon else safe(z)

    def _bias(self, layer: Weighted, part: np.ufunc) -> np.ndarray | None:
        if layer.bias is None or self.bias == "none":
            return None
        return layer.bias if self.bias == "full" else np.asarray(part(layer.bias, 0))


@dataclass(frozen=True)
class ZPlus(WeightRule):
    """Positive parts of the output alone, without the bias, as innvestigate's ``lrp.z_plus``."""

    def distribute(self, layer: Weighted, x: Tensor, relevance: Relevance) -> Relevance:
        return AlphaBeta(1, 0, bias="none").distribute(layer, x, relevance)


@dataclass(frozen=True)
class Gamma(WeightRule):
    """Weights that agree with the sign of the output count ``1 + gamma`` times.

    Generalised to inputs and outputs of both signs as in zennit 1.0, whose defaults these are. Departure: an
    output of exactly zero counts as positive.
    """

    gamma: float = 0.25
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _check(self.gamma >= 0, "gamma", self.gamma, "0 or more")
        _check(self.epsilon > 0, "epsilon", self.epsilon, "above 0")

    def distribute(self, layer: Weighted, x: Tensor, relevance: Relevance) -> Relevance:
        kernel, bias, gamma = layer.kernel, layer.bias, self.gamma
        value = relevance.value()
        z = layer.apply(x, kernel, bias)
        more, less = (kernel + gamma * part(kernel, 0) for part in (np.maximum, np.minimum))
        bias_more, bias_less = (
            None if bias is None else bias + gamma * part(bias, 0) for part in (np.maximum, np.minimum)
        )
        upward = stabilised(_sum_of_parts(x, layer, (more, less), bias_more), self.epsilon)
        rising = _share(x, layer, z.where("GreaterOrEqual", value / upward, 0.0), (more, less))
        if relevance.rectified is not None:  # no relevance where the output is not positive
            return rising
        downward = stabilised(_sum_of_parts(x, layer, (less, more), bias_less), self.epsilon)
        falling = _share(x, layer, z.where("Less", value / downward, 0.0), (less, more))
        return Relevance(rising.factor + falling.factor, rising.activation)


@dataclass(frozen=True)
class WSquare(WeightRule):
    """Relevance in proportion to squared weights, whatever the input."""

    def distribute(self, layer: Weighted, x: Tensor, relevance: Relevance) -> Relevance:
        return _by_weights(layer, x, layer.kernel**2, relevance)


@dataclass(frozen=True)
class Flat(WeightRule):
    """Relevance in equal parts to all inputs that an output sees."""

    def distribute(self, layer: Weighted, x: Tensor, relevance: Relevance) -> Relevance:
        if not isinstance(layer, Convolution) or layer.groups > 1:
            return _by_weights(layer, x, np.ones_like(layer.kernel), relevance)
        # All channels see and get the same: their sum is spread by a window alone, and then repeated.
        thin, n_channels = layer.thinned(), layer.input_shape[0]
        total = _sum_of_channels(relevance.value(), layer.output_shape)
        z = safe(thin.apply(_filled(thin, x, 1.0), thin.kernel)) * float(n_channels)
        spread = thin.transpose(total / z, thin.kernel)
        return Relevance(
            x.graph.node("Expand", spread, x.graph.integers(1, n_channels, *layer.input_shape[1:]))
        )


@dataclass(frozen=True)
class ZBox(WeightRule):
    """Relevance by how far each input, known to lie between ``low`` and ``high``, is from its worst end."""

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _check(self.low <= 0 <= self.high, "low to high", f"{self.low} to {self.high}", "around 0")
        _check(self.low < self.high, "low to high", f"{self.low} to {self.high}", "a range")

    def distribute(self, layer: Weighted, x: Tensor, relevance: Relevance) -> Relevance:
        kernel, up, down = layer.kernel, np.maximum(layer.kernel, 0), np.minimum(layer.kernel, 0)
        lowest, highest = (_filled(layer, x, value) for value in (self.low, self.high))
        z = layer.apply(x, kernel) - (layer.apply(lowest, up) + layer.apply(highest, down))
        s = relevance.value() / safe(z)
        ends = layer.transpose(s, up) * self.low + layer.transpose(s, down) * self.high
        return Relevance(x * layer.transpose(s, kernel) - ends)


@dataclass(frozen=True)
class Pass(Rule):
    """Every input gets the relevance of the output in its place."""

    def __call__(self, layer: Layer, x: Tensor, y: Tensor, relevance: Relevance) -> Relevance:
        if layer.input_shape != layer.output_shape:
            raise ConfigError(
                f"rule pass needs as many outputs as inputs, and {layer.name} ({layer.kind}) has inputs of "
                f"shape {layer.input_shape} and outputs of shape {layer.output_shape}: give it another rule"
            )
        return Relevance(relevance.value()) if layer.kind != "relu" else _through_relu(relevance, y)


@dataclass(frozen=True)
class Gradient(Rule):
    """The derivative, as in backpropagation; not a rule of relevance."""

    def __call__(self, layer: Layer, x: Tensor, y: Tensor, relevance: Relevance) -> Relevance:
        return Relevance(layer.adjoint(relevance.value(), x, y))


RULES: dict[str, type[Rule]] = {
    "z": Z,
    "epsilon": Epsilon,
    "gamma": Gamma,
    "z_plus": ZPlus,
    "alpha_beta": AlphaBeta,
    "w_square": WSquare,
    "flat": Flat,
    "z_box": ZBox,
    "pass": Pass,
    "gradient": Gradient,
}


def name_of(rule: Rule) -> str:
    """Return the name of a rule in ``RULES``."""
    return next(name for name, kind in RULES.items() if kind is type(rule))


def made(name: str, parameters: Mapping[str, float | str]) -> Rule:
    """Return the rule of a name in ``RULES`` with the given parameters.

    Raises
    ------
    ConfigError
        There is no such rule or parameter, or its value is not allowed.
    """
    if name not in RULES:
        raise ConfigError(f"rule {name!r} is not known: choose from {', '.join(RULES)}")
    known = {field.name: field for field in fields(RULES[name])}  # type: ignore[arg-type]
    for parameter, value in parameters.items():
        if parameter not in known:
            allowed = ", ".join(known) or "none"
            raise ConfigError(f"rule {name} has no parameter {parameter!r}: it has {allowed}")
        if isinstance(value, str) != isinstance(known[parameter].default, str):
            raise ConfigError(f"parameter {parameter}={value!r} of rule {name} is of the wrong type")
    return RULES[name](**parameters)


def _sum_of_parts(
    x: Tensor, layer: Weighted, kernels: tuple[np.ndarray, np.ndarray], bias: np.ndarray | None
) -> Tensor:
    """Return the output for the first kernel on positive inputs and the second on negative ones."""
    total = layer.apply(x.positive_part(), kernels[0], bias)
    negative = x.negative_part()
    return total if negative is None else total + layer.apply(negative, kernels[1])


def _share(x: Tensor, layer: Weighted, s: Tensor, kernels: tuple[np.ndarray, np.ndarray]) -> Relevance:
    """Return what comes back to positive inputs by the first kernel and to negative ones by the second."""
    first = layer.transpose(s, kernels[0])
    negative = x.negative_part()
    if negative is None:
        return Relevance(first, x)
    return Relevance(x.positive_part() * first + negative * layer.transpose(s, kernels[1]))


def _by_weights(layer: Weighted, x: Tensor, kernel: np.ndarray, relevance: Relevance) -> Relevance:
    z = safe(layer.apply(_filled(layer, x, 1.0), kernel))
    return Relevance(layer.transpose(relevance.value() / z, kernel))


def _sum_of_channels(value: Tensor, shape: Shape) -> Tensor:
    """Return the sum over channels, as a convolution: onnxruntime keeps it in the layout of its neighbours."""
    ones = value.graph.constant(np.ones((1, shape[0], *(1 for _ in shape[1:]))))
    return value.graph.node("Conv", value, ones)


def _filled(layer: Weighted, x: Tensor, value: float) -> Tensor:
    """Return a constant shaped like one input of the layer."""
    shape = x.graph.integers(1, *layer.input_shape)
    filled = x.graph.node("Expand", x.graph.constant(np.asarray(float(value))), shape)
    return filled.noted(nonnegative=value >= 0)


def _n_units(layer: Weighted) -> int:
    return layer.output_shape[0 if layer.kind == "convolution" else -1]


def _through_relu(relevance: Relevance, y: Tensor) -> Relevance:
    rectified = None if relevance.activation is None else y
    return Relevance(relevance.factor, relevance.activation, relevance.route, rectified)


def _check(holds: bool | np.bool_, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"{name}={value} of a rule is not allowed: it must be {allowed}")
