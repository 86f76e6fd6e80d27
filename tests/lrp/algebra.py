"""Layer-wise relevance propagation as slow float64 algebra, written from the papers: the judge of the compiler.

Every linear layer becomes an explicit matrix, and every rule an explicit matrix of messages R[i <- j] on it
(`relevance`, one sample). A second path does the same tap by tap and in batches (`batch_relevance`), for
networks too large for matrices. `judged` adds a running error analysis: how far another correct computation may
be off, and whether a tie or a denominator hangs on rounding.

Sources: Bach et al. 2015 (z, epsilon, alpha-beta), Montavon et al. 2017 (w-square, z-box), Montavon et al. 2019
and Andeol et al. 2021 (gamma), Lapuschkin 2019 (flat); innvestigate 2.1.2 for its bias, its seed (the logit)
and its denominators (exact zeros become 1e-7); zennit for `epsilon_plus_flat`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, singledispatch
from itertools import product
from typing import Any

import numpy as np

Shape = tuple[int, ...]
SAFE = 1e-7
"""What takes the place of a denominator that is exactly zero."""


# --- layers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """Where a sliding window stands along every spatial axis; pads in ONNX order: all begins, then all ends."""

    kernel_shape: Shape
    strides: Shape
    pads: Shape
    dilations: Shape
    ceil_mode: bool = False

    def counts(self, sizes: Shape) -> Shape:
        """Positions along each axis. In ceil mode too, the last window starts in the input or its left pads."""
        return tuple(self._count(axis, size) for axis, size in enumerate(sizes))

    def _count(self, axis: int, size: int) -> int:
        begin, end = self.pads[axis], self.pads[axis + len(self.kernel_shape)]
        stride = self.strides[axis]
        room = size + begin + end - (self.kernel_shape[axis] - 1) * self.dilations[axis] - 1
        if room < 0:
            raise ValueError(f"A window of {self} does not fit into {size} cells of axis {axis}.")
        count = (-(-room // stride) if self.ceil_mode else room // stride) + 1
        if self.ceil_mode and (count - 1) * stride >= size + begin:
            return count - 1
        return count


def window(
    kernel_shape: Shape, strides: Shape, pads: Shape, dilations: Shape, ceil_mode: bool = False
) -> Window:
    """An empty tuple means ones (strides, dilations) or zeros (pads)."""
    n_axes = len(kernel_shape)
    ones = (1,) * n_axes
    return Window(tuple(kernel_shape), strides or ones, pads or (0,) * 2 * n_axes, dilations or ones, ceil_mode)


@dataclass(frozen=True, eq=False)
class Conv:
    """Cross-correlation; kernel (out, in / groups, *taps)."""

    name: str
    kernel: np.ndarray
    bias: np.ndarray | None = None
    strides: Shape = ()
    pads: Shape = ()
    dilations: Shape = ()
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Dense:
    """Kernel (in, out)."""

    name: str
    kernel: np.ndarray
    bias: np.ndarray | None = None


@dataclass(frozen=True)
class Relu:
    pass


@dataclass(frozen=True)
class MaxPool:
    """The first maximum in row-major order wins; padding never does."""

    kernel_shape: Shape
    strides: Shape = ()
    pads: Shape = ()
    ceil_mode: bool = False
    dilations: Shape = ()


@dataclass(frozen=True)
class AveragePool:
    """The divisor counts real cells, with `count_include_pad` those of the pads too, never cells beyond."""

    kernel_shape: Shape
    strides: Shape = ()
    pads: Shape = ()
    ceil_mode: bool = False
    count_include_pad: bool = False


@dataclass(frozen=True)
class GlobalMaxPool:
    pass


@dataclass(frozen=True)
class GlobalAveragePool:
    pass


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Reshape:
    """To a shape per sample."""

    shape: Shape


@dataclass(frozen=True)
class Transpose:
    """Of the axes of one sample, counted from 0."""

    perm: Shape


@dataclass(frozen=True)
class Pad:
    """A constant around the last axes; pads in ONNX order, over as many axes as there are pairs."""

    pads: Shape
    value: float = 0.0


@dataclass(frozen=True, eq=False)
class Scale:
    """x * factor + offset, both broadcast against one sample."""

    factor: np.ndarray
    offset: np.ndarray


Pool = MaxPool | AveragePool | GlobalMaxPool | GlobalAveragePool
Layer = Conv | Dense | Relu | Pool | Flatten | Reshape | Transpose | Pad | Scale
KERNEL_LAYERS = (Conv, Dense)
LINEAR_LAYERS = (Conv, Dense, AveragePool, GlobalAveragePool)


def window_of(layer: Conv | Pool, sizes: Shape) -> Window:
    """The window of a layer on an input of these spatial sizes; a global pool sees all of it at once."""
    if isinstance(layer, Conv):
        return window(layer.kernel.shape[2:], layer.strides, layer.pads, layer.dilations)
    if isinstance(layer, GlobalMaxPool | GlobalAveragePool):
        return window(sizes, (), (), ())
    dilations = layer.dilations if isinstance(layer, MaxPool) else ()
    return window(layer.kernel_shape, layer.strides, layer.pads, dilations, layer.ceil_mode)


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """The shape per sample behind a layer; a window that does not fit raises ValueError."""
    if isinstance(layer, Conv):
        return (layer.kernel.shape[0], *window_of(layer, shape[1:]).counts(shape[1:]))
    if isinstance(layer, Pool):
        return (shape[0], *window_of(layer, shape[1:]).counts(shape[1:]))
    if isinstance(layer, Dense):
        return (*shape[:-1], layer.kernel.shape[1])
    return moved(layer, np.zeros(shape)).shape


def output_shapes(layers: Sequence[Layer], input_shape: Shape) -> list[Shape]:
    """The input's shape and the one behind every layer."""
    shapes = [tuple(input_shape)]
    for layer in layers:
        shapes.append(output_shape(layer, shapes[-1]))
    return shapes


def moved(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Apply a layer that is neither a pool nor has weights to one sample."""
    if isinstance(layer, Relu):
        return np.maximum(x, 0)
    if isinstance(layer, Scale):
        return x * layer.factor + layer.offset
    if isinstance(layer, Flatten):
        return x.reshape(-1)
    if isinstance(layer, Reshape):
        return x.reshape(layer.shape)
    if isinstance(layer, Transpose):
        return x.transpose(layer.perm)
    if isinstance(layer, Pad):
        return np.pad(x, _pad_width(layer, x.ndim), constant_values=layer.value)
    raise TypeError(f"{type(layer).__name__} moves nothing")


def _pad_width(layer: Pad, n_axes: int) -> list[tuple[int, int]]:
    n_padded = len(layer.pads) // 2
    pairs = list(zip(layer.pads[:n_padded], layer.pads[n_padded:], strict=True))
    return [(0, 0)] * (n_axes - n_padded) + pairs


# --- explicit matrices --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Visit:
    """One tap of one window: where it reads, and whether that lies in the input or at least in its padding."""

    position: Shape
    tap: Shape
    place: Shape
    inside: bool
    inside_padded: bool


@lru_cache(maxsize=256)
def visits(view: Window, sizes: Shape) -> tuple[Visit, ...]:
    """Every tap of every window, both in row-major order."""
    return tuple(_visits(view, sizes))


def _visits(view: Window, sizes: Shape) -> Iterator[Visit]:
    n_axes = len(sizes)
    begins, ends = view.pads[:n_axes], view.pads[n_axes:]
    for position in product(*map(range, view.counts(sizes))):
        for tap in product(*map(range, view.kernel_shape)):
            place = tuple(
                position[axis] * view.strides[axis] - begins[axis] + tap[axis] * view.dilations[axis]
                for axis in range(n_axes)
            )
            inside = all(0 <= place[axis] < sizes[axis] for axis in range(n_axes))
            padded = all(-begins[axis] <= place[axis] < sizes[axis] + ends[axis] for axis in range(n_axes))
            yield Visit(position, tap, place, inside, padded)


def inside(view: Window, sizes: Shape) -> Iterator[Visit]:
    """The visits that read a cell of the input."""
    return (visit for visit in visits(view, sizes) if visit.inside)


def convolve(layer: Conv, units: np.ndarray) -> np.ndarray:
    """Convolve many inputs, without the bias: (in, *sizes, n) to (out, *counts, n)."""
    sizes = units.shape[1:-1]
    view = window_of(layer, sizes)
    result = np.zeros((layer.kernel.shape[0], *view.counts(sizes), units.shape[-1]))
    n_out, n_in = layer.kernel.shape[0] // layer.groups, layer.kernel.shape[1]
    for visit in inside(view, sizes):
        for group in range(layer.groups):
            outputs = slice(group * n_out, (group + 1) * n_out)
            inputs = slice(group * n_in, (group + 1) * n_in)
            result[outputs, *visit.position] += (
                layer.kernel[outputs, :, *visit.tap] @ units[inputs, *visit.place]
            )
    return result


def average(layer: AveragePool | GlobalAveragePool, units: np.ndarray) -> np.ndarray:
    """Average many inputs: (channels, *sizes, n) to (channels, *counts, n)."""
    sizes = units.shape[1:-1]
    view = window_of(layer, sizes)
    sums = np.zeros((units.shape[0], *view.counts(sizes), units.shape[-1]))
    divisors = np.zeros(view.counts(sizes))
    with_pads = isinstance(layer, AveragePool) and layer.count_include_pad
    for visit in visits(view, sizes):
        divisors[visit.position] += visit.inside_padded if with_pads else visit.inside
        if visit.inside:
            sums[:, *visit.position] += units[:, *visit.place]
    return sums / divisors[None, ..., None]


@dataclass(frozen=True, eq=False)
class Linear:
    """A layer as matrix (out, in), the same with every weight one, and its bias (out)."""

    matrix: np.ndarray
    ones: np.ndarray
    bias: np.ndarray


@singledispatch
def linear_of(layer: Layer, shape: Shape) -> Linear | None:
    """The explicit matrix of a linear layer on an input of this shape: the layer applied to unit vectors."""
    return None


@linear_of.register
def _(layer: Conv, shape: Shape) -> Linear:
    units = np.eye(int(np.prod(shape))).reshape(*shape, -1)
    result = convolve(layer, units)
    ones = convolve(replace(layer, kernel=np.ones_like(layer.kernel)), units)
    n_cells = int(np.prod(result.shape[1:-1]))
    bias = np.zeros(layer.kernel.shape[0]) if layer.bias is None else layer.bias
    return Linear(
        result.reshape(-1, units.shape[-1]), ones.reshape(-1, units.shape[-1]), np.repeat(bias, n_cells)
    )


@linear_of.register
def _(layer: Dense, shape: Shape) -> Linear:
    bias = np.zeros(layer.kernel.shape[1]) if layer.bias is None else layer.bias
    matrix = np.zeros((layer.kernel.shape[1], *shape))
    for column in range(shape[0]):
        matrix[:, column] = layer.kernel[column]
    return Linear(matrix, np.ones_like(matrix), np.array(bias, float))


@linear_of.register(AveragePool)
@linear_of.register(GlobalAveragePool)
def _(layer: AveragePool | GlobalAveragePool, shape: Shape) -> Linear:
    units = np.eye(int(np.prod(shape))).reshape(*shape, -1)
    matrix = average(layer, units).reshape(-1, units.shape[-1])
    return Linear(matrix, (matrix > 0).astype(float), np.zeros(len(matrix)))


def linears_of(layers: Sequence[Layer], input_shape: Shape) -> list[Linear | None]:
    """The explicit matrices of a network, None for layers without weights."""
    return [linear_of(*pair) for pair in zip(layers, output_shapes(layers, input_shape), strict=False)]


def winners(layer: MaxPool | GlobalMaxPool, x: np.ndarray) -> np.ndarray:
    """Where in the flattened sample each window has its first maximum: (channels, *counts)."""
    view = window_of(layer, x.shape[1:])
    best = np.full((x.shape[0], *view.counts(x.shape[1:])), -np.inf)
    chosen = np.full(best.shape, -1)
    places = np.arange(x.size).reshape(x.shape)
    for visit in inside(view, x.shape[1:]):
        values, cell = x[:, *visit.place], (slice(None), *visit.position)
        wins = values > best[cell]
        chosen[cell] = np.where(wins, places[:, *visit.place], chosen[cell])
        best[cell] = np.where(wins, values, best[cell])
    if (chosen < 0).any():
        raise ValueError(f"A window of {layer} holds nothing but padding.")
    return chosen


# --- rules --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Z:
    pass


@dataclass(frozen=True)
class Epsilon:
    epsilon: float = 1e-7
    bias: bool = True


@dataclass(frozen=True)
class AlphaBeta:
    """`bias`: "full" in both denominators (innvestigate), "none", or "split" by sign (Bach et al., zennit).

    With an epsilon the denominators are stabilised, without one exact zeros are replaced.
    """

    alpha: float = 1.0
    beta: float = 0.0
    bias: str = "full"
    epsilon: float = 0.0


@dataclass(frozen=True)
class Gamma:
    gamma: float = 0.25
    epsilon: float = 1e-6


@dataclass(frozen=True)
class WSquare:
    pass


@dataclass(frozen=True)
class Flat:
    pass


@dataclass(frozen=True)
class ZBox:
    low: float = -1.0
    high: float = 1.0


@dataclass(frozen=True)
class Pass:
    pass


@dataclass(frozen=True)
class Gradient:
    """Of the logit, not its relevance: the seed is one, a ReLU masks. It cannot be mixed with other rules."""

    times_input: bool = False


Rule = Z | Epsilon | AlphaBeta | Gamma | WSquare | Flat | ZBox | Pass | Gradient
Rules = Mapping[int, Rule] | Callable[[Layer], Rule]
"""A rule for every linear layer, by its index among all layers or by a function of the layer."""


def positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)


def negative(values: np.ndarray) -> np.ndarray:
    return np.minimum(values, 0)


def safe(z: np.ndarray) -> np.ndarray:
    """Replace exact zeros."""
    return np.where(z == 0, SAFE, z)


def stabilised(z: np.ndarray, epsilon: float) -> np.ndarray:
    """Move away from zero by epsilon, zero being positive. Without epsilon only exact zeros are replaced."""
    return z + np.where(z >= 0, epsilon, -epsilon) if epsilon else safe(z)


@dataclass(frozen=True, eq=False)
class Share:
    """Messages R[i <- j] / R[j] = factor_j * parts[j, i] / (sum_i parts[j, i] + bias_j).

    For the error analysis: `sizes` is what the parts are made of before anything cancels, `slopes` how fast
    they change with the input.
    """

    parts: np.ndarray
    bias: np.ndarray
    epsilon: float
    factor: np.ndarray
    sizes: np.ndarray
    slopes: np.ndarray

    @property
    def total(self) -> np.ndarray:
        return self.parts.sum(axis=1) + self.bias

    @property
    def denominator(self) -> np.ndarray:
        return stabilised(self.total, self.epsilon)

    @property
    def messages(self) -> np.ndarray:
        """(in, out): relevance is propagated by this matrix."""
        return ((self.factor / self.denominator)[:, None] * self.parts).T


def share(parts: np.ndarray, bias: np.ndarray | float = 0.0, epsilon: float = 0.0, **others: Any) -> Share:
    ones = np.ones(len(parts))
    sizes, slopes = others.get("sizes", np.abs(parts)), np.abs(others.get("slopes", 0.0 * parts))
    return Share(parts, bias * ones, epsilon, others.get("factor", 1.0) * ones, sizes, slopes)


@singledispatch
def shares(rule: Rule, linear: Linear, x: np.ndarray) -> list[Share]:
    """The messages of a rule on a layer whose input is x (flat); their sum is the rule."""
    raise TypeError(f"{rule} divides nothing")


@shares.register
def _(rule: Z, linear: Linear, x: np.ndarray) -> list[Share]:
    return [share(linear.matrix * x, linear.bias, slopes=linear.matrix)]


@shares.register
def _(rule: Epsilon, linear: Linear, x: np.ndarray) -> list[Share]:
    return [share(linear.matrix * x, linear.bias if rule.bias else 0.0, rule.epsilon, slopes=linear.matrix)]


@shares.register
def _(rule: AlphaBeta, linear: Linear, x: np.ndarray) -> list[Share]:
    parts = linear.matrix * x
    biases = {
        "full": (linear.bias, linear.bias),
        "none": (0.0, 0.0),
        "split": (positive(linear.bias), negative(linear.bias)),
    }
    for_it, against_it = biases[rule.bias]
    activator = share(positive(parts), for_it, rule.epsilon, factor=rule.alpha, slopes=linear.matrix)
    if rule.beta == 0:
        return [activator]
    inhibitor = share(negative(parts), against_it, rule.epsilon, factor=-rule.beta, slopes=linear.matrix)
    return [activator, inhibitor]


@shares.register
def _(rule: Gamma, linear: Linear, x: np.ndarray) -> list[Share]:
    up = linear.matrix + rule.gamma * positive(linear.matrix)
    down = linear.matrix + rule.gamma * negative(linear.matrix)
    is_positive = linear.matrix @ x + linear.bias >= 0
    above = up * positive(x) + down * negative(x)
    below = down * positive(x) + up * negative(x)
    bias_above = linear.bias + rule.gamma * positive(linear.bias)
    bias_below = linear.bias + rule.gamma * negative(linear.bias)
    slopes = (1 + rule.gamma) * linear.matrix
    return [
        share(above, bias_above, rule.epsilon, factor=is_positive, slopes=slopes),
        share(below, bias_below, rule.epsilon, factor=~is_positive, slopes=slopes),
    ]


@shares.register
def _(rule: WSquare, linear: Linear, x: np.ndarray) -> list[Share]:
    return [share(linear.matrix**2)]


@shares.register
def _(rule: Flat, linear: Linear, x: np.ndarray) -> list[Share]:
    return [share(linear.ones)]


@shares.register
def _(rule: ZBox, linear: Linear, x: np.ndarray) -> list[Share]:
    bounds = rule.low * positive(linear.matrix), rule.high * negative(linear.matrix)
    sizes = np.abs(linear.matrix * x) + np.abs(bounds[0]) + np.abs(bounds[1])
    return [share(linear.matrix * x - bounds[0] - bounds[1], sizes=sizes, slopes=linear.matrix)]


def messages(rule: Rule, linear: Linear, x: np.ndarray) -> np.ndarray:
    """R[i <- j] / R[j] as matrix (in, out), for a flat input x."""
    if isinstance(rule, Gradient):
        return linear.matrix.T
    if isinstance(rule, Pass):
        if linear.matrix.shape[0] != linear.matrix.shape[1]:
            raise ValueError(f"Relevance cannot pass through a layer of shape {linear.matrix.shape}.")
        return np.eye(len(x))
    return np.sum([part.messages for part in shares(rule, linear, x)], axis=0)


# --- one sample ---------------------------------------------------------------------------------------------


def rules_by_index(layers: Sequence[Layer], rules: Rules) -> dict[int, Rule]:
    """A rule for every linear layer; an average pool without one has Z, as in innvestigate."""
    linear = [index for index, layer in enumerate(layers) if isinstance(layer, LINEAR_LAYERS)]
    if callable(rules):
        chosen = {index: rules(layers[index]) for index in linear}
    else:
        pools = {index: Z() for index in linear if not isinstance(layers[index], KERNEL_LAYERS)}
        chosen = {index: ({**pools, **rules})[index] for index in linear}
    if len({isinstance(rule, Gradient) for rule in chosen.values()}) > 1:
        raise ValueError("The gradient cannot be mixed with rules of relevance.")
    return chosen


def gradient_of(rules: Mapping[int, Rule]) -> Gradient | None:
    """The gradient that these rules stand for, or None if they are rules of relevance."""
    return next((rule for rule in rules.values() if isinstance(rule, Gradient)), None)


def applied(layer: Layer, linear: Linear | None, x: np.ndarray) -> np.ndarray:
    """One layer on one sample."""
    if linear is not None:
        return (linear.matrix @ x.reshape(-1) + linear.bias).reshape(output_shape(layer, x.shape))
    if isinstance(layer, MaxPool | GlobalMaxPool):
        return x.reshape(-1)[winners(layer, x)]
    return moved(layer, x)


def forward(layers: Sequence[Layer], linears: Sequence[Linear | None], x: np.ndarray) -> list[np.ndarray]:
    """The input and what comes out of every layer, float64."""
    states = [np.asarray(x, float)]
    for layer, linear in zip(layers, linears, strict=True):
        states.append(applied(layer, linear, states[-1]))
    return states


def returned(layer: Layer, x: np.ndarray, relevance: np.ndarray, is_gradient: bool = False) -> np.ndarray:
    """Take relevance (or a gradient) back through a layer without weights whose input is x."""
    if isinstance(layer, MaxPool | GlobalMaxPool):
        result = np.zeros(x.size)
        for place, value in zip(winners(layer, x).flat, relevance.flat, strict=True):
            result[place] += value
        return result.reshape(x.shape)
    if isinstance(layer, Relu):
        return relevance * (x > 0) if is_gradient else relevance
    if isinstance(layer, Scale):
        return relevance * layer.factor if is_gradient else relevance
    if isinstance(layer, Transpose):
        return relevance.transpose(np.argsort(layer.perm))
    if isinstance(layer, Pad):
        inner = zip(_pad_width(layer, x.ndim), x.shape, strict=True)
        return relevance[tuple(slice(begin, begin + size) for (begin, _), size in inner)]
    return relevance.reshape(x.shape)


def seed_of(logits: np.ndarray, target: int, gradient: Gradient | None) -> np.ndarray:
    """The relevance of the logits: the value of one of them (-1: the first largest), for the gradient one."""
    chosen = int(np.argmax(logits)) if target == -1 else target
    seed = np.zeros_like(logits)
    seed[chosen] = logits[chosen] if gradient is None else 1.0
    return seed


def relevance(
    layers: Sequence[Layer],
    x: np.ndarray,
    target: int,
    rules: Rules,
    linears: Sequence[Linear | None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and map of one sample by explicit matrices; `linears` saves making them again."""
    linears = linears_of(layers, np.shape(x)) if linears is None else linears
    states = forward(layers, linears, x)
    chosen = rules_by_index(layers, rules)
    gradient = gradient_of(chosen)
    current = seed_of(states[-1], target, gradient)
    for index in reversed(range(len(layers))):
        linear, before = linears[index], states[index]
        if linear is None:
            current = returned(layers[index], before, current, gradient is not None)
        else:
            matrix = messages(chosen[index], linear, before.reshape(-1))
            current = (matrix @ current.reshape(-1)).reshape(before.shape)
    return states[-1], current * states[0] if gradient is not None and gradient.times_input else current


# --- compositions by name -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """Rules by kind of layer; `first` is for the first layer with a kernel."""

    dense: Rule
    convolution: Rule
    first: Rule | None = None
    average_pool: Rule = Z()


A1B0 = AlphaBeta(1, 0)
A2B1 = AlphaBeta(2, 1)
Z_PLUS = AlphaBeta(1, 0, "none")
COMPOSITIONS = {
    "lrp.z": Family(Z(), Z()),
    "lrp.epsilon": Family(Epsilon(), Epsilon()),
    "lrp.w_square": Family(WSquare(), WSquare()),
    "lrp.flat": Family(Flat(), Flat()),
    "lrp.z_plus": Family(Z_PLUS, Z_PLUS),
    "lrp.alpha_1_beta_0": Family(A1B0, A1B0),
    "lrp.alpha_2_beta_1": Family(A2B1, A2B1),
    "lrp.sequential_preset_a": Family(Epsilon(0.1), A1B0),
    "lrp.sequential_preset_b": Family(Epsilon(0.1), A2B1),
    "lrp.sequential_preset_a_flat": Family(Epsilon(0.1), A1B0, Flat()),
    "lrp.sequential_preset_b_flat": Family(Epsilon(0.1), A2B1, Flat()),
    "epsilon_plus_flat": Family(Epsilon(1e-6), AlphaBeta(1, 0, "split", 1e-6), Flat(), Epsilon(1e-6)),
    "gradient": Family(Gradient(), Gradient(), None, Gradient()),
    "input_t_gradient": Family(Gradient(True), Gradient(True), None, Gradient(True)),
}
"""As in innvestigate 2.1.2 and, `epsilon_plus_flat`, in zennit.

"First" is the first layer with a kernel, whatever stands before it; innvestigate looks past Flatten, Permute
and Reshape only.
"""


def composition(name: str, layers: Sequence[Layer]) -> dict[int, Rule]:
    """The rule that a named composition gives to every linear layer."""
    return rules_of(COMPOSITIONS[name], layers)


def rules_of(family: Family, layers: Sequence[Layer]) -> dict[int, Rule]:
    """The rule that a family gives to every linear layer."""
    first = next((index for index, layer in enumerate(layers) if isinstance(layer, KERNEL_LAYERS)), None)
    chosen = {}
    for index, layer in enumerate(layers):
        if index == first and family.first is not None:
            chosen[index] = family.first
        elif isinstance(layer, Dense):
            chosen[index] = family.dense
        elif isinstance(layer, Conv):
            chosen[index] = family.convolution
        elif isinstance(layer, LINEAR_LAYERS):
            chosen[index] = family.average_pool
    return chosen


# --- how sure the judge is ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Precision:
    """Another computation's rounding unit, and the grid on which its sums are exact in whatever order."""

    unit: float
    grid_bits: int
    span_bits: int
    margin: float = 32.0
    """How many units one sum or product may be off."""

    @property
    def rounding(self) -> float:
        return self.margin * self.unit

    def is_exact(self, terms: np.ndarray) -> np.ndarray:
        """For each row of terms, whether every order of adding them gives the same number."""
        scaled = terms * 2.0**self.grid_bits
        return (scaled == np.rint(scaled)).all(axis=1) & (np.abs(terms).sum(axis=1) < 2.0**self.span_bits)


DOUBLE = Precision(2.0**-53, 30, 21)
SINGLE = Precision(2.0**-24, 9, 13)


@dataclass(frozen=True, eq=False)
class Judgement:
    """Logits and map; bounds of another computation's error in each; whether nothing hangs on rounding.

    What rounding may decide is a tie in a pool, the sign of a denominator, or whether it is exactly zero.
    """

    logits: np.ndarray
    map: np.ndarray
    logits_error: np.ndarray
    map_error: np.ndarray
    is_decided: bool

    def binds(self, tolerance: float) -> bool:
        """Whether a correct computation must come this close, as a share of the map's largest magnitude."""
        return self.is_decided and bool(self.map_error.max() <= tolerance * np.abs(self.map).max())


def sum_error(terms: np.ndarray, inherited: np.ndarray, precision: Precision) -> np.ndarray:
    """Error of a sum of each row of terms: none where all lie on the grid and nothing is inherited."""
    own = precision.rounding * np.abs(terms).sum(axis=1)
    return np.where(precision.is_exact(terms) & (inherited == 0), 0.0, inherited + own)


def linear_error(linear: Linear, x: np.ndarray, error: np.ndarray, precision: Precision) -> np.ndarray:
    """Error of W x + b, all flat."""
    terms = np.column_stack([linear.matrix * x, linear.bias])
    return sum_error(terms, np.abs(linear.matrix) @ error, precision)


def pooled_error(layer: MaxPool | GlobalMaxPool, x: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The largest error among the cells of each window that may be its maximum."""
    view = window_of(layer, x.shape[1:])
    floor = (x - error).reshape(-1)[winners(layer, x - error)]
    result = np.zeros(floor.shape)
    for visit in inside(view, x.shape[1:]):
        cell = (slice(None), *visit.position)
        may_win = (x + error)[:, *visit.place] >= floor[cell]
        result[cell] = np.maximum(result[cell], np.where(may_win, error[:, *visit.place], 0))
    return result


def layer_error(step: "Step", precision: Precision) -> np.ndarray:
    """Error behind a layer, from the error before it."""
    layer, x, error = step.layer, step.x, step.error
    if step.linear is not None:
        result = linear_error(step.linear, x.reshape(-1), error.reshape(-1), precision)
        return result.reshape(output_shape(layer, x.shape))
    if isinstance(layer, MaxPool | GlobalMaxPool):
        return pooled_error(layer, x, error)
    if isinstance(layer, Relu):
        return np.where(x + error < 0, 0.0, error)
    if isinstance(layer, Scale):
        offset = np.broadcast_to(layer.offset, x.shape)
        terms = np.column_stack([(x * layer.factor).ravel(), offset.ravel()])
        return sum_error(terms, (np.abs(layer.factor) * error).ravel(), precision).reshape(x.shape)
    return moved(replace(layer, value=0.0) if isinstance(layer, Pad) else layer, error)


@dataclass(frozen=True, eq=False)
class Step:
    """A layer, its matrix, its input, and the error of that."""

    layer: Layer
    linear: Linear | None
    x: np.ndarray
    error: np.ndarray


def is_pool_decided(step: Step, mass: np.ndarray) -> bool:
    """Whether no rounding can change the winner of a window that has relevance."""
    best = winners(step.layer, step.x)
    flat, error = step.x.reshape(-1), step.error.reshape(-1)
    places = np.arange(flat.size).reshape(step.x.shape)
    for visit in inside(window_of(step.layer, step.x.shape[1:]), step.x.shape[1:]):
        winner, place = best[:, *visit.position], places[:, *visit.place]
        doubt = error[winner] + error[place]
        is_open = (winner != place) & (doubt > 0) & (flat[winner] - flat[place] <= doubt)
        if (is_open & (mass[:, *visit.position] > 0)).any():
            return False
    return True


def shared_error(part: Share, step: Step, mass: np.ndarray, precision: Precision) -> tuple[np.ndarray, bool]:
    """What the messages of one denominator add to the error before a linear layer."""
    x, x_error = step.x.reshape(-1), step.error.reshape(-1)
    slopes = part.slopes * ((part.sizes > 0) | (np.abs(x) <= x_error))
    terms = np.column_stack([part.parts, part.bias, part.sizes - np.abs(part.parts)])
    doubt = sum_error(terms, slopes @ x_error, precision)
    is_open = (doubt > 0) & (np.abs(part.total) <= 2 * doubt) & (mass > 0) & (part.factor != 0)
    weight = mass * np.abs(part.factor / part.denominator)
    by_denominator = np.abs(part.messages) @ (mass * (doubt / np.abs(part.denominator) + precision.unit))
    by_numerator = (precision.rounding * part.sizes + slopes * x_error).T @ weight
    return by_denominator + by_numerator, not is_open.any()


Sent = tuple[np.ndarray, np.ndarray, bool]
"""Relevance before a layer, its error, and whether nothing hangs on rounding there."""


def routed(step: Step, current: np.ndarray, error: np.ndarray, is_gradient: bool) -> Sent:
    """Take relevance and its error back through a layer without weights."""
    is_decided, mass = True, np.abs(current) + error
    if isinstance(step.layer, MaxPool | GlobalMaxPool):
        is_decided = is_pool_decided(step, mass)
    elif isinstance(step.layer, Relu) and is_gradient:
        is_decided = not ((step.error > 0) & (np.abs(step.x) <= step.error) & (mass > 0)).any()
    before = returned(step.layer, step.x, current, is_gradient)
    return before, np.abs(returned(step.layer, step.x, error, is_gradient)), bool(is_decided)


def ruled(step: Step, rule: Rule, current: np.ndarray, error: np.ndarray, precision: Precision) -> Sent:
    """Take relevance and its error, both flat, back through a linear layer."""
    x, is_decided, mass = step.x.reshape(-1), True, np.abs(current) + error
    matrix = messages(rule, step.linear, x)
    result = np.abs(matrix) @ error
    if isinstance(rule, Gradient | Pass):
        return matrix @ current, result + precision.rounding * (np.abs(matrix) @ mass), True
    for part in shares(rule, step.linear, x):
        added, decided = shared_error(part, step, mass, precision)
        result, is_decided = result + added, is_decided and decided
    if isinstance(rule, Gamma):
        doubt = linear_error(step.linear, x, step.error.reshape(-1), precision)
        z = step.linear.matrix @ x + step.linear.bias
        is_decided &= not ((doubt > 0) & (np.abs(z) <= doubt) & (mass > 0)).any()
    return matrix @ current, result, bool(is_decided)


def is_target_decided(logits: np.ndarray, error: np.ndarray) -> bool:
    """Whether rounding cannot make another logit the largest."""
    best = int(np.argmax(logits))
    doubt = error + error[best]
    is_open = (doubt > 0) & (logits[best] - logits <= doubt)
    return not np.delete(is_open, best).any()


@dataclass(frozen=True, eq=False)
class Trace:
    """One sample on its way through a network, and the error of another computation at every layer."""

    steps: list[Step]
    logits: np.ndarray
    logits_error: np.ndarray
    precision: Precision


def traced(
    layers: Sequence[Layer],
    x: np.ndarray,
    linears: Sequence[Linear | None] | None = None,
    precision: Precision = DOUBLE,
) -> Trace:
    """Everything about a sample that no rule changes; `linears` saves making the matrices again."""
    linears = linears_of(layers, np.shape(x)) if linears is None else linears
    states = forward(layers, linears, x)
    steps, error = [], np.zeros(np.shape(x))
    for layer, linear, before in zip(layers, linears, states, strict=False):
        steps.append(Step(layer, linear, before, error))
        error = layer_error(steps[-1], precision)
    return Trace(steps, states[-1], error, precision)


def judged(trace: Trace, target: int, rules: Rules) -> Judgement:
    """The map as `relevance` gives it, with what rounding may do to another correct computation of it."""
    chosen = rules_by_index([step.layer for step in trace.steps], rules)
    gradient = gradient_of(chosen)
    current = seed_of(trace.logits, target, gradient)
    error = np.where((current != 0) & (gradient is None), trace.logits_error, 0.0)
    is_decided = target != -1 or is_target_decided(trace.logits, trace.logits_error)
    for index, step in reversed(list(enumerate(trace.steps))):
        if step.linear is None:
            current, error, decided = routed(step, current, error, gradient is not None)
        else:
            sent = current.reshape(-1), error.reshape(-1)
            current, error, decided = ruled(step, chosen[index], *sent, trace.precision)
        current, error = current.reshape(step.x.shape), error.reshape(step.x.shape)
        is_decided = is_decided and decided
    x = trace.steps[0].x
    times = x if gradient is not None and gradient.times_input else np.ones(x.shape)
    return Judgement(trace.logits, current * times, trace.logits_error, error * np.abs(times), bool(is_decided))


# --- in batches, tap by tap ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Taps:
    """A linear layer as a sum over the taps of its kernel, (out, in / groups, *taps), scaled at each position.

    A dense layer has one tap and no spatial axis; an average pool is depthwise, scaled by one over its divisor.
    """

    kernel: np.ndarray
    view: Window
    groups: int
    sizes: Shape
    bias: np.ndarray | None = None
    scale: np.ndarray | float = 1.0

    @property
    def counts(self) -> Shape:
        return self.view.counts(self.sizes)

    def reads(self) -> Iterator[tuple[Shape, tuple[slice, ...]]]:
        """Every tap, and which cells of the padded input it reads."""
        for tap in product(*map(range, self.kernel.shape[2:])):
            starts = [place * dilation for place, dilation in zip(tap, self.view.dilations, strict=True)]
            yield (
                tap,
                (
                    ...,
                    *(
                        slice(start, start + (count - 1) * stride + 1, stride)
                        for start, count, stride in zip(starts, self.counts, self.view.strides, strict=True)
                    ),
                ),
            )

    def frame(self) -> list[tuple[int, int]]:
        """Zeros on both sides of every spatial axis, so that every read fits."""
        begins, needs = self.view.pads[: len(self.sizes)], []
        for axis, count in enumerate(self.counts):
            reach = (self.kernel.shape[2 + axis] - 1) * self.view.dilations[axis] + 1
            needs.append((count - 1) * self.view.strides[axis] + reach)
        return [
            (begin, max(0, need - begin - size))
            for begin, need, size in zip(begins, needs, self.sizes, strict=True)
        ]

    def by_group(self, tap: Shape) -> np.ndarray:
        """The weights of one tap: (groups, out / groups, in / groups)."""
        weights = self.kernel[:, :, *tap]
        return weights.reshape(self.groups, -1, weights.shape[1])

    def forward(self, x: np.ndarray) -> np.ndarray:
        """W x: (n, in, *sizes) to (n, out, *counts)."""
        padded = np.pad(x, [(0, 0), (0, 0), *self.frame()])
        cells = (len(x), self.groups, x.shape[1] // self.groups, -1)
        result: np.ndarray | float = 0.0
        for tap, where in self.reads():
            result = result + self.by_group(tap) @ padded[where].reshape(cells)
        return np.reshape(result, (len(x), -1, *self.counts)) * self.scale

    def backward(self, s: np.ndarray) -> np.ndarray:
        """W^T s: (n, out, *counts) to (n, in, *sizes)."""
        frame = self.frame()
        n_in = self.kernel.shape[1] * self.groups
        padded = np.zeros((
            len(s),
            n_in,
            *(size + sum(pad) for size, pad in zip(self.sizes, frame, strict=True)),
        ))
        cells = (s * self.scale).reshape(len(s), self.groups, s.shape[1] // self.groups, -1)
        for tap, where in self.reads():
            sent = self.by_group(tap).transpose(0, 2, 1) @ cells
            padded[where] += sent.reshape(len(s), n_in, *self.counts)
        inner = (slice(begin, begin + size) for (begin, _), size in zip(frame, self.sizes, strict=True))
        return padded[:, :, *inner]

    def weighted(self, change: Callable[[np.ndarray], np.ndarray]) -> "Taps":
        """The same layer with other weights."""
        return replace(self, kernel=change(self.kernel))

    def biased(self, z: np.ndarray, change: Callable[[np.ndarray], np.ndarray] = np.asarray) -> np.ndarray:
        """Add the bias, or a part of it, to every position."""
        if self.bias is None:
            return z
        return z + change(self.bias).reshape(-1, *(1,) * len(self.sizes))


def taps_of(layer: Layer, shape: Shape) -> Taps | None:
    """A linear layer on samples of this shape, or None."""
    if isinstance(layer, Dense):
        return Taps(np.transpose(layer.kernel), window((), (), (), ()), 1, (), layer.bias)
    if isinstance(layer, Conv):
        return Taps(layer.kernel, window_of(layer, shape[1:]), layer.groups, shape[1:], layer.bias)
    if not isinstance(layer, LINEAR_LAYERS):
        return None
    view = window_of(layer, shape[1:])
    with_pads = isinstance(layer, AveragePool) and layer.count_include_pad
    scale = 1 / divisors(view, shape[1:], with_pads)
    return Taps(np.ones((shape[0], 1, *view.kernel_shape)), view, shape[0], shape[1:], scale=scale)


def divisors(view: Window, sizes: Shape, with_pads: bool) -> np.ndarray:
    """How many cells each window of an average pool counts: a product over the axes."""
    result = np.ones(())
    for axis, (size, count) in enumerate(zip(sizes, view.counts(sizes), strict=True)):
        begin, end = view.pads[axis], view.pads[axis + len(sizes)]
        first = np.arange(count)[:, None] * view.strides[axis] - begin
        places = first + np.arange(view.kernel_shape[axis]) * view.dilations[axis]
        low, high = (-begin, size + end) if with_pads else (0, size)
        result = np.multiply.outer(result, ((places >= low) & (places < high)).sum(axis=1))
    return result


@singledispatch
def propagated(rule: Rule, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Relevance before a linear layer from relevance behind it, both in batches."""
    raise TypeError(f"Unknown rule {rule}")


@propagated.register
def _(rule: Z, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    return x * taps.backward(relevance / safe(taps.biased(taps.forward(x))))


@propagated.register
def _(rule: Epsilon, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    z = taps.forward(x)
    return x * taps.backward(relevance / stabilised(taps.biased(z) if rule.bias else z, rule.epsilon))


def _half(
    first: Taps, second: Taps, x: np.ndarray, z: np.ndarray, relevance: np.ndarray, epsilon: float
) -> np.ndarray:
    """Weights for positive and for negative inputs, with the bias that comes in z."""
    up, down = positive(x), negative(x)
    s = relevance / stabilised(first.forward(up) + second.forward(down) + z, epsilon)
    return up * first.backward(s) + down * second.backward(s)


@propagated.register
def _(rule: AlphaBeta, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    plus, minus = taps.weighted(positive), taps.weighted(negative)
    zero = np.zeros((1, taps.kernel.shape[0], *taps.counts))
    biases = {
        "full": (taps.biased(zero), taps.biased(zero)),
        "none": (zero, zero),
        "split": (taps.biased(zero, positive), taps.biased(zero, negative)),
    }
    for_it, against_it = biases[rule.bias]
    result = rule.alpha * _half(plus, minus, x, for_it, relevance, rule.epsilon)
    if rule.beta:
        result -= rule.beta * _half(minus, plus, x, against_it, relevance, rule.epsilon)
    return result


@propagated.register
def _(rule: Gamma, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    def raised(values: np.ndarray) -> np.ndarray:
        return values + rule.gamma * positive(values)

    def lowered(values: np.ndarray) -> np.ndarray:
        return values + rule.gamma * negative(values)

    zero = np.zeros((1, taps.kernel.shape[0], *taps.counts))
    above = taps.biased(taps.forward(x)) >= 0
    up, down = taps.weighted(raised), taps.weighted(lowered)
    first = _half(up, down, x, taps.biased(zero, raised), relevance * above, rule.epsilon)
    second = _half(down, up, x, taps.biased(zero, lowered), relevance * ~above, rule.epsilon)
    return first + second


def _by_weights(taps: Taps, relevance: np.ndarray) -> np.ndarray:
    """Shares in proportion to the weights, whatever the input."""
    ones = np.ones((1, taps.kernel.shape[1] * taps.groups, *taps.sizes))
    return taps.backward(relevance / safe(taps.forward(ones)))


@propagated.register
def _(rule: WSquare, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    return _by_weights(replace(taps.weighted(np.square), scale=np.square(taps.scale)), relevance)


@propagated.register
def _(rule: Flat, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    return _by_weights(replace(taps.weighted(np.ones_like), scale=1.0), relevance)


@propagated.register
def _(rule: ZBox, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    plus, minus = taps.weighted(positive), taps.weighted(negative)
    low, high = np.full_like(x, rule.low), np.full_like(x, rule.high)
    s = relevance / safe(taps.forward(x) - plus.forward(low) - minus.forward(high))
    return x * taps.backward(s) - low * plus.backward(s) - high * minus.backward(s)


@propagated.register
def _(rule: Pass, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    if relevance.shape != x.shape:
        raise ValueError(f"Relevance of shape {relevance.shape} cannot pass to {x.shape}.")
    return relevance


@propagated.register
def _(rule: Gradient, taps: Taps, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    return taps.backward(relevance)


def batch_winners(layer: MaxPool | GlobalMaxPool, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every window's maximum, (n, channels, *counts), and where in the flattened batch the first one stands."""
    view = window_of(layer, x.shape[2:])
    taps = Taps(np.ones((1, 1, *view.kernel_shape)), view, 1, x.shape[2:])
    frame = [(0, 0), (0, 0), *taps.frame()]
    padded = np.pad(x, frame, constant_values=-np.inf)
    places = np.pad(np.arange(x.size).reshape(x.shape), frame, constant_values=-1)
    best: np.ndarray = np.full((*x.shape[:2], *taps.counts), -np.inf)
    chosen = np.full(best.shape, -1)
    for _, where in taps.reads():
        wins = padded[where] > best
        best, chosen = np.where(wins, padded[where], best), np.where(wins, places[where], chosen)
    return best, chosen


def batch_applied(layer: Layer, x: np.ndarray) -> np.ndarray:
    """One layer on a batch."""
    taps = taps_of(layer, x.shape[1:])
    if taps is not None:
        return taps.biased(taps.forward(x))
    if isinstance(layer, MaxPool | GlobalMaxPool):
        return batch_winners(layer, x)[0]
    return np.stack([moved(layer, sample) for sample in x])


def batch_returned(layer: Layer, x: np.ndarray, relevance: np.ndarray, is_gradient: bool) -> np.ndarray:
    """Take relevance (or a gradient) of a batch back through a layer without weights."""
    if isinstance(layer, MaxPool | GlobalMaxPool):
        result = np.zeros(x.size)
        np.add.at(result, batch_winners(layer, x)[1].reshape(-1), relevance.reshape(-1))
        return result.reshape(x.shape)
    return np.stack([returned(layer, *pair, is_gradient) for pair in zip(x, relevance, strict=True)])


def batch_relevance(
    layers: Sequence[Layer], x: np.ndarray, targets: Sequence[int], rules: Rules
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and maps of a batch, without any large matrix."""
    states = [np.asarray(x, float)]
    for layer in layers:
        states.append(batch_applied(layer, states[-1]))
    chosen = rules_by_index(layers, rules)
    gradient = gradient_of(chosen)
    current = np.stack([seed_of(*pair, gradient) for pair in zip(states[-1], targets, strict=True)])
    for index in reversed(range(len(layers))):
        taps = taps_of(layers[index], states[index].shape[1:])
        if taps is None:
            current = batch_returned(layers[index], states[index], current, gradient is not None)
        else:
            current = propagated(chosen[index], taps, states[index], current)
    return states[-1], current * states[0] if gradient is not None and gradient.times_input else current
