"""Every operator that can be read, in every form that it has from opset 11 to 18.

Logits must be those of the network itself in onnxruntime; the gradient must be what moving the input shows, in
double precision; relevance by the rule epsilon must be input times gradient, which it is for such networks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.lrp.evaluate import evaluate
from tests.lrp.nodes import (
    FORMS,
    Chain,
    Step,
    chain,
    dense,
    explain,
    inputs,
    model_of,
    numbers,
    run,
    slopes,
    step,
    without_end,
)
from toolkit.errors import ModelError
from toolkit.lrp.compiler import compile_relevance

TARGETS = (0, 2)
GRADIENTS = ("gradient", "input_t_gradient")
IMAGE = (2, 6, 5)
FLATTEN = step("Flatten")
OPSETS = range(11, 19)
CHANGES = (11, 13, 18)
"""Opsets where most operators change their form."""
AXES_ARE_INPUTS = 13
REDUCTION_AXES_ARE_INPUTS = 18


# --- what must hold -----------------------------------------------------------------------------------------


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def assert_explained(net: Chain, *, by_epsilon: bool = True, ends_in: int = 0):
    """`by_epsilon`: that rule gives input times gradient; `ends_in`: how many nodes stand behind the logits."""
    x = inputs(2, *net.shape)
    found = explain(net.model(), x, TARGETS, [*GRADIENTS, "lrp.epsilon"])
    for _ in range(ends_in):
        net = without_end(net)
    clips = [x] if isinstance(net.batch, str) else np.split(x, len(x) // net.batch)
    model = net.model()
    logits = np.concatenate([run(model, {net.input_name: each})[net.output_name] for each in clips])
    assert_close(found["logits"], logits)
    gradient = slopes(net, x, TARGETS)
    assert_close(found["relevance.gradient"], gradient, 2e-5)
    assert_close(found["relevance.input_t_gradient"], gradient * x, 2e-5)
    if by_epsilon:
        assert_close(found["relevance.lrp.epsilon"], gradient * x, 1e-3)


def case(name: str, net: Chain, opsets: Sequence[int] = CHANGES) -> Iterator:
    """One parameter for each opset."""
    for opset in opsets:
        yield pytest.param(replace(net, opset=opset), id=f"{name}-{opset}")


def classified(*steps: Step, shape: tuple[int, ...] = IMAGE, n: int) -> Chain:
    """The steps, then a dense layer of the `n` numbers that they leave of each clip."""
    return chain(*steps, FLATTEN, dense(n), shape=shape)


# --- convolutions -------------------------------------------------------------------------------------------


def conv(*kernel: int, bias: bool = True, **attributes) -> Step:
    weights = [numbers(*kernel), numbers(kernel[0])] if bias else [numbers(*kernel)]
    return step("Conv", *weights, **attributes)


CONVOLUTIONS = {
    "plain": classified(conv(3, 2, 3, 2, bias=False), n=48),
    "bias": classified(conv(3, 2, 3, 2), n=48),
    "bias absent": classified(step("Conv", numbers(3, 2, 3, 2), None), n=48),
    "kernel shape": classified(conv(3, 2, 3, 2, kernel_shape=[3, 2]), n=48),
    "one filter": classified(conv(1, 2, 3, 2), n=16),
    "strides": classified(conv(3, 2, 3, 2, strides=[2, 3]), n=12),
    "a rest that no window reaches": classified(conv(3, 2, 2, 2, strides=[3, 3]), n=12),
    "a stride beyond the kernel": classified(conv(3, 2, 1, 2, strides=[2, 4]), n=9),
    "pads": classified(conv(3, 2, 3, 2, pads=[1, 1, 1, 1]), n=108),
    "asymmetric pads": classified(conv(3, 2, 3, 2, pads=[2, 0, 0, 1]), n=90),
    "pads beyond the kernel": classified(conv(3, 2, 2, 1, pads=[3, 2, 0, 1]), n=192),
    "pads and strides": classified(conv(3, 2, 3, 3, pads=[0, 1, 2, 2], strides=[2, 2]), n=27),
    "dilations": classified(conv(3, 2, 2, 3, dilations=[3, 2]), n=9),
    "dilations, pads, strides": classified(
        conv(3, 2, 2, 3, dilations=[3, 2], pads=[1, 2, 2, 0], strides=[2, 1]), n=27
    ),
    "same upper": classified(conv(3, 2, 2, 4, auto_pad="SAME_UPPER"), n=90),
    "same lower": classified(conv(3, 2, 2, 4, auto_pad="SAME_LOWER"), n=90),
    "same upper, strides": classified(conv(3, 2, 4, 2, auto_pad="SAME_UPPER", strides=[3, 2]), n=18),
    "same lower, strides": classified(conv(3, 2, 4, 2, auto_pad="SAME_LOWER", strides=[3, 2]), n=18),
    "valid": classified(conv(3, 2, 3, 2, auto_pad="VALID", strides=[2, 2]), n=12),
    "not set": classified(conv(3, 2, 3, 2, auto_pad="NOTSET", pads=[1, 0, 0, 0]), n=60),
    "groups": classified(conv(4, 2, 3, 2, group=2), shape=(4, 6, 5), n=64),
    "groups, strides, dilations": classified(
        conv(6, 1, 2, 2, group=2, strides=[2, 1], dilations=[1, 3], pads=[0, 1, 0, 2]), n=90
    ),
    "depthwise": classified(conv(2, 1, 3, 3, group=2, pads=[1, 1, 1, 1]), n=60),
    "many channels": classified(conv(9, 10, 3, 3, pads=[1, 2, 0, 1]), shape=(10, 4, 4), n=9 * 3 * 5),
    "many channels in groups": classified(conv(8, 5, 2, 3, group=2), shape=(10, 4, 4), n=8 * 3 * 2),
    "one axis": classified(conv(3, 2, 4, strides=[2], pads=[1, 2]), shape=(2, 9), n=15),
    "one axis, dilation, groups": classified(
        conv(4, 1, 3, dilations=[2], group=2, auto_pad="VALID"), shape=(2, 9), n=20
    ),
    "three axes": classified(
        conv(2, 2, 2, 3, 2, strides=[1, 2, 1], pads=[0, 1, 0, 1, 0, 0], dilations=[2, 1, 1]),
        shape=(2, 3, 5, 3),
        n=2 * 2 * 2 * 2,
    ),
    "two in a row": classified(conv(3, 2, 2, 2), conv(2, 3, 3, 3), n=12),
    "bias added, channel first": classified(conv(3, 2, 3, 2, bias=False), step("Add", numbers(3, 1, 1)), n=48),
    "bias added, four axes": classified(conv(3, 2, 3, 2, bias=False), step("Add", numbers(1, 3, 1, 1)), n=48),
    "bias added before": classified(conv(3, 2, 3, 2, bias=False), step("Add", numbers(3, 1, 1), place=1), n=48),
    "bias taken off": classified(conv(3, 2, 3, 2), step("Sub", numbers(3, 1, 1)), n=48),
    "bias twice": classified(
        conv(3, 2, 3, 2), step("Add", numbers(3, 1, 1)), step("Add", numbers(3, 1, 1)), n=48
    ),
    "one bias for all": classified(conv(3, 2, 3, 2), step("Add", np.asarray(0.5)), n=48),
}


@pytest.mark.parametrize(
    "net", [each for name, net in CONVOLUTIONS.items() for each in case(name, net, (11, 18))]
)
def test_convolution__in_every_form(net: Chain):
    assert_explained(net)


# --- dense layers -------------------------------------------------------------------------------------------


def gemm(*others, n: int = 4, transposed: bool = False, **attributes) -> Chain:
    kernel = numbers(3, n) if transposed else numbers(n, 3)
    return chain(step("Gemm", kernel, *others, **attributes), shape=(n,))


def matmul(*steps: Step, shape: tuple[int, ...] = (4,)) -> Chain:
    return chain(step("MatMul", numbers(shape[-1], 3)), *steps, shape=shape)


DENSE = {
    "gemm": gemm(numbers(3)),
    "gemm without bias": gemm(),
    "gemm, bias absent": gemm(None),
    "gemm transposed": gemm(numbers(3), transposed=True, transB=1),
    "gemm, transA of 0": gemm(numbers(3), transA=0, transB=0),
    "gemm alpha": gemm(numbers(3), alpha=-0.5),
    "gemm beta": gemm(numbers(3), beta=2.0),
    "gemm beta of zero": gemm(numbers(3), beta=0.0),
    "gemm alpha and beta, transposed": gemm(numbers(3), transposed=True, transB=1, alpha=2.0, beta=-1.0),
    "gemm, bias a row": gemm(numbers(1, 3)),
    "gemm, bias a number": gemm(np.asarray(0.75)),
    "gemm, bias one number": gemm(numbers(1)),
    "gemm, bias one by one": gemm(numbers(1, 1)),
    "matmul": matmul(),
    "matmul, add": matmul(step("Add", numbers(3))),
    "matmul, add before": matmul(step("Add", numbers(3), place=1)),
    "matmul, add a row": matmul(step("Add", numbers(1, 3))),
    "matmul, add a number": matmul(step("Add", np.asarray(-1.5))),
    "matmul, add one number": matmul(step("Add", numbers(1))),
    "matmul, sub": matmul(step("Sub", numbers(3))),
    "along the last axis": chain(
        step("MatMul", numbers(4, 5)),
        step("Add", numbers(5)),
        step("Relu"),
        FLATTEN,
        dense(15),
        shape=(3, 4),
    ),
    "along the last of three axes": chain(
        step("MatMul", numbers(5, 4)), step("Add", numbers(1, 1, 1, 4)), FLATTEN, dense(48), shape=IMAGE
    ),
    "two and relu": chain(dense(4, 6), step("Relu"), dense(6), shape=(4,)),
    "two without relu": chain(dense(4, 6), dense(6), shape=(4,)),
    "one class more": chain(dense(4, 7), step("Relu"), shape=(4,)),
}


@pytest.mark.parametrize("net", [each for name, net in DENSE.items() for each in case(name, net)])
def test_dense__in_every_form(net: Chain):
    assert_explained(net)


# --- relu ---------------------------------------------------------------------------------------------------

RELUS = {
    "relu": [step("Relu")],
    "relu twice": [step("Relu"), step("Relu")],
    "clip from zero": [step("Clip", np.asarray(0.0))],
    "clip from zero, no maximum": [step("Clip", np.asarray(0.0), None)],
    "clip from zero to infinity": [step("Clip", np.asarray(0.0), np.asarray(np.inf))],
}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("steps", RELUS.values(), ids=RELUS)
def test_relu__in_every_form(steps: list[Step], opset: int):
    assert_explained(chain(dense(5, 6), *steps, dense(6), shape=(5,), opset=opset))


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(chain(step("Relu"), dense(5), shape=(5,)), id="first"),
        pytest.param(chain(dense(5), step("Relu"), shape=(5,)), id="last"),
        pytest.param(chain(step("Relu"), shape=(3,)), id="alone"),
        pytest.param(chain(conv(3, 2, 6, 5), FLATTEN, shape=IMAGE), id="none at all"),
    ],
)
def test_relu__anywhere(net: Chain):
    assert_explained(net)


# --- pools --------------------------------------------------------------------------------------------------


def max_pool(*kernel: int, **attributes) -> Step:
    return step("MaxPool", kernel_shape=kernel, **attributes)


def average_pool(*kernel: int, **attributes) -> Step:
    return step("AveragePool", kernel_shape=kernel, **attributes)


SLIDING = {
    "plain": ((2, 3), {}, 30),
    "strides": ((2, 2), {"strides": [2, 2]}, 12),
    "overlap": ((3, 3), {"strides": [2, 1]}, 12),
    "pads": ((3, 2), {"pads": [1, 1, 1, 1]}, 72),
    "asymmetric pads": ((3, 3), {"pads": [2, 0, 0, 1], "strides": [2, 2]}, 12),
    "a rest that no window reaches": ((2, 2), {"strides": [3, 3]}, 8),
    "ceil": ((3, 2), {"strides": [2, 2], "ceil_mode": 1}, 18),
    "ceil without a rest": ((2, 3), {"strides": [2, 2], "ceil_mode": 1}, 12),
    "ceil and pads": ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}, 24),
    "ceil and pads that it passes": ((3, 3), {"strides": [3, 3], "pads": [1, 2, 1, 2], "ceil_mode": 1}, 18),
    "ceil off": ((2, 2), {"strides": [3, 2], "ceil_mode": 0}, 8),
    "same upper": ((3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 18),
    "same lower": ((3, 2), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, 18),
    "same upper, even windows": ((4, 2), {"auto_pad": "SAME_UPPER"}, 60),
    "same lower, even windows": ((4, 2), {"auto_pad": "SAME_LOWER"}, 60),
    "valid": ((3, 2), {"auto_pad": "VALID", "strides": [2, 2]}, 8),
    "not set": ((3, 2), {"auto_pad": "NOTSET", "pads": [0, 1, 0, 0]}, 40),
    "one by one": ((1, 1), {}, 60),
    "the whole of space": (IMAGE[1:], {}, 2),
}
MAX_ALONE = {
    "dilations": ((2, 2), {"dilations": [3, 2]}, 18),
    "dilations and ceil": ((2, 2), {"dilations": [2, 3], "strides": [2, 2], "ceil_mode": 1}, 12),
    "dilations, ceil, far beyond the end": (
        (2, 2),
        {"dilations": [3, 1], "strides": [4, 2], "ceil_mode": 1},
        12,
    ),
    "dilations and pads": ((2, 3), {"dilations": [2, 2], "pads": [1, 2, 1, 1]}, 2 * 6 * 4),
    "rows before columns": ((3, 3), {"storage_order": 0}, 24),
}
AVERAGE_ALONE = {
    f"{name}, padding counts": (kernel, {**given, "count_include_pad": 1}, n)
    for name, (kernel, given, n) in SLIDING.items()
}
OTHER_AXES = {
    "one axis": (max_pool(3, strides=[2], pads=[1, 1]), (2, 8), 8),
    "one axis, ceil": (max_pool(3, strides=[2], ceil_mode=1), (2, 8), 8),
    "three axes": (max_pool(2, 3, 2, strides=[1, 2, 2], pads=[1, 0, 0, 0, 1, 1]), (2, 3, 4, 3), 2 * 3 * 2 * 2),
    "one axis, mean": (average_pool(3, strides=[2], pads=[1, 1]), (2, 8), 8),
    "one axis, mean, ceil": (average_pool(3, strides=[3], pads=[1, 0], ceil_mode=1), (2, 8), 6),
    "three axes, mean": (average_pool(2, 3, 2, strides=[1, 2, 2], pads=[1, 0, 0, 0, 1, 1]), (2, 3, 4, 3), 24),
}


@pytest.mark.parametrize("opset", [11, 12, 18])
@pytest.mark.parametrize(("kernel", "given", "n"), (SLIDING | MAX_ALONE).values(), ids=SLIDING | MAX_ALONE)
def test_max_pool__in_every_form(kernel: tuple, given: dict, n: int, opset: int):
    assert_explained(replace(classified(max_pool(*kernel, **given), n=n), opset=opset))


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("kernel", "given", "n"), (SLIDING | MAX_ALONE).values(), ids=SLIDING | MAX_ALONE)
def test_max_pool__of_many_channels_that_are_not_negative(kernel: tuple, given: dict, n: int, factor: float):
    """Where a network is like this, its maxima may be found in another way."""
    channels = step("Conv", factor * numbers(16, 2, 1, 1))
    assert_explained(
        classified(channels, step("Relu"), max_pool(*kernel, **given), n=8 * n), by_epsilon=factor == 1
    )


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize(
    ("kernel", "given", "n"), (SLIDING | AVERAGE_ALONE).values(), ids=SLIDING | AVERAGE_ALONE
)
def test_average_pool__in_every_form(kernel: tuple, given: dict, n: int, opset: int):
    assert_explained(replace(classified(average_pool(*kernel, **given), n=n), opset=opset))


@pytest.mark.parametrize(("pool", "shape", "n"), OTHER_AXES.values(), ids=OTHER_AXES)
def test_pool__on_one_and_three_axes(pool: Step, shape: tuple[int, ...], n: int):
    assert_explained(classified(pool, shape=shape, n=n))


POOLS_AMONG_OTHERS = {
    "before the first convolution": ([max_pool(2, 2), conv(3, 2, 2, 2)], 36),
    "two in a row": ([conv(3, 2, 1, 1), max_pool(2, 2), average_pool(2, 1)], 48),
    "an overlapping one twice": ([conv(3, 2, 1, 1), max_pool(3, 2), max_pool(2, 2)], 27),
    "behind relu": ([conv(3, 2, 2, 2), step("Relu"), max_pool(2, 2)], 36),
    "before relu": ([conv(3, 2, 2, 2), max_pool(2, 2), step("Relu")], 36),
    "mean before relu": ([conv(3, 2, 2, 2), average_pool(2, 2), step("Relu")], 36),
    "ceil, a window that would begin beyond": (
        [max_pool(2, 2, strides=[3, 3], ceil_mode=1), step("GlobalAveragePool")],
        2,
    ),
    "ceil, a mean that would begin beyond": (
        [average_pool(1, 2, strides=[4, 3], pads=[0, 0, 0, 1], ceil_mode=1), step("GlobalMaxPool")],
        2,
    ),
}


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize(("steps", "n"), POOLS_AMONG_OTHERS.values(), ids=POOLS_AMONG_OTHERS)
def test_pool__among_others(steps: list[Step], n: int, opset: int):
    assert_explained(replace(classified(*steps, n=n), opset=opset))


@pytest.mark.parametrize(
    ("pool", "whole"),
    [
        (max_pool(7, 6, strides=[2, 2], ceil_mode=1), "GlobalMaxPool"),
        (average_pool(7, 6, strides=[2, 2], ceil_mode=1), "GlobalAveragePool"),
        (average_pool(7, 6, strides=[2, 2], ceil_mode=1, count_include_pad=1), "GlobalAveragePool"),
    ],
)
def test_pool__of_a_window_larger_than_the_input(pool: Step, whole: str):
    """In ceil mode one window may reach over all that there is."""
    composites = [*GRADIENTS, "lrp.epsilon"]
    nets = (classified(conv(3, 2, 1, 1), each, n=3) for each in (pool, step(whole)))
    found, expected = (explain(net.model(), inputs(2, *IMAGE), TARGETS, composites) for net in nets)
    for name, values in expected.items():
        assert_close(found[name], values)


@pytest.mark.parametrize("shape", [(3, 7), (3, 4, 3), (3, 2, 3, 2)])
@pytest.mark.parametrize("operator", ["GlobalMaxPool", "GlobalAveragePool"])
def test_global_pool__in_every_form(operator: str, shape: tuple[int, ...]):
    for opset in (11, 18):
        assert_explained(replace(classified(step(operator), shape=shape, n=3), opset=opset))


def reduced(operator: str, axes: Sequence[int], opset: int, **attributes) -> Step:
    """A mean or maximum, with its axes as the opset has them."""
    if opset >= REDUCTION_AXES_ARE_INPUTS:
        return step(operator, np.array(axes), **attributes)
    return step(operator, axes=axes, **attributes)


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18])
@pytest.mark.parametrize(
    ("axes", "attributes", "n"),
    [
        ([2, 3], {}, 2),
        ([2, 3], {"keepdims": 0}, 2),
        ([-1, -2], {"keepdims": 0}, 2),
        ([3, 2], {"keepdims": 1}, 2),
        ([2], {"keepdims": 0}, 10),
        ([-1], {}, 12),
        ([1], {"keepdims": 0}, 30),
        ([1, 3], {"keepdims": 0}, 6),
    ],
)
@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
def test_reduction__in_every_form(operator: str, axes: list[int], attributes: dict, n: int, opset: int):
    net = classified(conv(2, 2, 1, 1), reduced(operator, axes, opset, **attributes), n=n)
    assert_explained(replace(net, opset=opset))


# --- shapes -------------------------------------------------------------------------------------------------


def reshaped(*shape: int, **attributes) -> Step:
    return step("Reshape", np.array(shape), **attributes)


RESHAPES = {
    "rest": [reshaped(0, -1)],
    "batch the rest": [reshaped(-1, 60)],
    "both named": [reshaped(0, 60)],
    "some kept": [reshaped(0, 0, -1), FLATTEN],
    "all kept": [reshaped(0, 0, 0, 0), FLATTEN],
    "another shape": [reshaped(-1, 5, 4, 3), conv(3, 5, 2, 1), reshaped(-1, 27), dense(27, 60)],
    "an axis of one": [reshaped(0, 1, -1), FLATTEN],
    "batch the rest, others kept": [reshaped(-1, 0, 0, 0), FLATTEN],
    "batch the rest, some kept": [reshaped(-1, 0, 5, 6), FLATTEN],
    "flatten": [step("Flatten", axis=1)],
    "flatten by default": [step("Flatten")],
    "flatten, counted from the end": [step("Flatten", axis=-3)],
    "transpose": [step("Transpose", perm=[0, 2, 3, 1]), FLATTEN],
    "transpose there and back": [
        step("Transpose", perm=[0, 2, 3, 1]),
        step("Transpose", perm=[0, 3, 1, 2]),
        FLATTEN,
    ],
    "transpose two axes": [step("Transpose", perm=[0, 1, 3, 2]), FLATTEN],
    "identity": [step("Identity"), FLATTEN, step("Identity")],
}


@pytest.mark.parametrize(
    "net",
    [
        each
        for name, steps in RESHAPES.items()
        for each in case(name, chain(step("Relu"), *steps, dense(60), shape=IMAGE), (11, 13, 14, 18))
    ],
)
def test_shapes__in_every_form(net: Chain):
    assert_explained(net)


@pytest.mark.parametrize("allowzero", [0, 1])
def test_reshape__allowing_zero(allowzero: int):
    """With it a 0 would mean no element; without a 0 nothing changes."""
    assert_explained(chain(reshaped(-1, 60, allowzero=allowzero), dense(60), shape=IMAGE, opset=14))


def with_axes(operator: str, axes: Sequence[int], opset: int) -> Step:
    if opset >= AXES_ARE_INPUTS:
        return step(operator, np.array(axes))
    return step(operator, axes=axes)


@pytest.mark.parametrize("opset", [11, 12, 13, 18])
@pytest.mark.parametrize(
    ("unsqueezed", "squeezed"),
    [([2], [2]), ([-1], [3]), ([1, 3], [-2, 1]), ([3, -4], [1, 3]), ([4, 3], [-2, -1])],
)
def test_squeeze__undoes_unsqueeze(unsqueezed: list[int], squeezed: list[int], opset: int):
    steps = [with_axes("Unsqueeze", unsqueezed, opset), with_axes("Squeeze", squeezed, opset)]
    net = chain(step("Relu"), *steps, FLATTEN, dense(12), shape=(3, 4), opset=opset)
    found = assert_same_logits(net.model(), inputs(3, 3, 4))
    plain = chain(step("Relu"), FLATTEN, dense(12), shape=(3, 4))
    assert_close(
        found["relevance.gradient"],
        explain(plain.model(), inputs(3, 3, 4), [-1] * 3, ["gradient"])["relevance.gradient"],
    )


@pytest.mark.parametrize("opset", [11, 12, 13, 18])
def test_squeeze__gives_what_a_network_ends_in(opset: int):
    steps = [conv(3, 2, 6, 5), with_axes("Squeeze", [2, -1], opset)]
    assert_explained(chain(*steps, shape=IMAGE, opset=opset))


@pytest.mark.parametrize("opset", [11, 12, 13, 18])
def test_unsqueeze__makes_an_axis_of_channels(opset: int):
    steps = [with_axes("Unsqueeze", [1], opset), conv(3, 1, 2, 3, strides=[1, 2])]
    assert_explained(replace(classified(*steps, shape=(5, 7), n=36), opset=opset))


# --- padding, dropout ---------------------------------------------------------------------------------------

PADS = {
    "value absent": ([np.array([0, 0, 1, 2, 0, 0, 0, 1])], 112),
    "value of zero": ([np.array([0, 0, 1, 2, 0, 0, 0, 1]), np.asarray(0.0)], 112),
    "a value": ([np.array([0, 0, 1, 2, 0, 0, 0, 1]), np.asarray(-0.5)], 112),
    "channels too": ([np.array([0, 1, 0, 0, 0, 0, 1, 3]), np.asarray(0.25)], 168),
    "none": ([np.array([0] * 8)], 60),
}


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("mode", [{}, {"mode": "constant"}])
@pytest.mark.parametrize(("others", "n"), PADS.values(), ids=PADS)
def test_pad__in_every_form(others: list, n: int, mode: dict, opset: int):
    assert_explained(replace(classified(step("Pad", *others, **mode), n=n), opset=opset))


@pytest.mark.parametrize(
    "others",
    [
        [np.array([1, 2, 0, 1]), None, np.array([2, 3])],
        [np.array([2, 1, 1, 0]), np.asarray(0.0), np.array([-1, -2])],
        [np.array([1, 2, 0, 1]), np.asarray(0.5), np.array([2, -1])],
    ],
)
def test_pad__of_named_axes(others: list):
    assert_explained(replace(classified(step("Pad", *others), n=112), opset=18))


def test_pad__before_a_max_pool_may_be_the_least_of_all_numbers():
    """So exporters write a padded max pool: what is padded never wins, and no map may come out as NaN."""
    pad = step("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.asarray(-np.inf))
    padded = classified(conv(3, 2, 1, 1), pad, max_pool(3, 3, strides=[2, 2]), n=27)
    plain = classified(conv(3, 2, 1, 1), max_pool(3, 3, strides=[2, 2], pads=[1, 1, 1, 1]), n=27)
    composites = [*GRADIENTS, "lrp.epsilon", "lrp.sequential_preset_a_flat"]
    found, expected = (explain(net.model(), inputs(2, *IMAGE), TARGETS, composites) for net in (padded, plain))
    for name, values in expected.items():
        assert_close(found[name], values)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_dropout__is_nothing_outside_training(n_outputs: int, opset: int):
    written = {"attributes": {"ratio": 0.3}} if opset < 12 else {"constants": (np.asarray(0.3),)}
    dropout = Step("Dropout", n_outputs=n_outputs, **written)
    assert_explained(chain(dense(5, 6), step("Relu"), dropout, dense(6), shape=(5,), opset=opset))


@pytest.mark.parametrize("opset", [12, 13, 18])
@pytest.mark.parametrize("others", [[], [None, np.asarray(False)], [np.asarray(0.5), np.asarray(False)]])
def test_dropout__switched_off_by_an_input(others: list, opset: int):
    assert_explained(chain(dense(5, 6), step("Dropout", *others), dense(6), shape=(5,), opset=opset))


# --- scaling of the input -----------------------------------------------------------------------------------

CONSTANTS = {
    "a number": np.asarray(2.5),
    "one number": np.array([-0.5]),
    "by channel": np.array([2.0, -3.0]).reshape(2, 1, 1),
    "by channel, four axes": np.array([2.0, -3.0]).reshape(1, 2, 1, 1),
    "by column": np.array([1.0, 2.0, -4.0, 0.5, 3.0]),
    "by row": np.array([1.0, 2.0, -4.0, 0.5, 3.0, 1.5]).reshape(6, 1),
    "by element": numbers(2, 6, 5),
    "by element, four axes": numbers(1, 2, 6, 5),
}


@pytest.mark.parametrize("constant", CONSTANTS.values(), ids=CONSTANTS)
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
def test_scaling__by_a_constant_behind(operator: str, constant: np.ndarray):
    for opset in (11, 13, 18):
        net = classified(step(operator, constant), conv(3, 2, 3, 2), step("Relu"), n=48)
        assert_explained(replace(net, opset=opset), by_epsilon=False)


@pytest.mark.parametrize("constant", CONSTANTS.values(), ids=CONSTANTS)
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul"])
def test_scaling__by_a_constant_before(operator: str, constant: np.ndarray):
    net = classified(step(operator, constant, place=1), conv(3, 2, 3, 2), step("Relu"), n=48)
    assert_explained(net, by_epsilon=False)


def test_scaling__several_in_a_row():
    steps = [step("Div", np.asarray(4.0)), step("Sub", numbers(2, 1, 1)), step("Mul", numbers(2, 1, 1))]
    transposed = step("Transpose", perm=[0, 3, 1, 2])
    net = chain(*steps[:1], transposed, *steps[1:], conv(3, 2, 3, 2), FLATTEN, dense(48), shape=(6, 5, 2))
    assert_explained(net, by_epsilon=False)


# --- the end ------------------------------------------------------------------------------------------------

ENDS = [
    *((opset, {}) for opset in OPSETS),
    *((opset, {"axis": axis}) for opset in (11, 12, 13, 18) for axis in (1, -1)),
]


@pytest.mark.parametrize(("opset", "attributes"), ENDS)
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_softmax__at_the_end_is_left_out(operator: str, attributes: dict, opset: int):
    net = chain(dense(5, 6), step("Relu"), dense(6), step(operator, **attributes), shape=(5,), opset=opset)
    assert_explained(net, ends_in=1)


def test_softmax__at_the_end_may_be_followed_by_identity():
    assert_explained(chain(dense(5), step("Softmax"), step("Identity"), shape=(5,)), ends_in=2)


# --- how constants are written ------------------------------------------------------------------------------


def mixed(opset: int) -> Chain:
    """Constants of all kinds: numbers, lists, weights."""
    pad = step("Pad", np.array([0, 0, 1, 0, 0, 0, 0, 1]), np.asarray(0.5))
    steps = [pad, conv(3, 2, 3, 2), step("Clip", np.asarray(0.0)), with_axes("Unsqueeze", [1], opset)]
    return chain(*steps, reshaped(0, -1), dense(75), shape=IMAGE, opset=opset)


@pytest.mark.parametrize("opset", [11, 12, 13, 16, 18])
@pytest.mark.parametrize("form", FORMS)
def test_constants__however_they_are_written(form: str, opset: int):
    assert_explained(replace(mixed(opset), form=form))


def assert_same_logits(model: onnx.ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    name = model.graph.input[0].name
    found = explain(model, x, np.full(len(x), -1), ["gradient"])
    assert_close(found["logits"], run(model, {name: x})[model.graph.output[0].name])
    return found


VIEWED = {"w": numbers(60, 3).astype(np.float32), "axes": np.array([0]), "ends": np.array([1])}
CONSTANT_ATTRIBUTES = [
    ({"value_ints": [0, -1]}, "Identity"),
    ({"value": numpy_helper.from_array(np.array([0, -1]))}, "Identity"),
    ({"value_floats": [0.0, -1.0]}, "Cast"),
]


@pytest.mark.parametrize("opset", [12, 13, 18])
@pytest.mark.parametrize(("attributes", "then"), CONSTANT_ATTRIBUTES)
def test_constants__in_every_form_of_the_node(attributes: dict, then: str, opset: int):
    cast = {"to": TensorProto.INT64} if then == "Cast" else {}
    nodes = [
        helper.make_node("Constant", [], ["given"], **attributes),
        helper.make_node(then, ["given"], ["shape"], **cast),
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    assert_same_logits(model_of(nodes, VIEWED, ["batch", *IMAGE], opset), inputs(3, *IMAGE))


def test_constants__that_are_worked_out():
    """A kernel that is transposed and scaled before it is used."""
    nodes = [
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("Mul", ["turned", "gain"], ["kernel"]),
        helper.make_node("Gemm", ["x", "kernel"], ["y"]),
    ]
    constants = {"w": numbers(3, 4).astype(np.float32), "gain": np.float32([1, 2, -3])}
    assert_same_logits(model_of(nodes, constants, ["batch", 4]), inputs(3, 4))


def test_constants__behind_the_last_node_do_not_count():
    """What the output does not rest on is not read, whatever it is."""
    net = chain(step("Relu"), dense(4), shape=(4,))
    model = net.model()
    model.graph.node.append(helper.make_node("Sigmoid", ["t0"], ["unused"]))
    assert_same_logits(model, inputs(3, 4))


# --- shapes that are worked out from the batch --------------------------------------------------------------


def viewed(opset: int, source: str, n_rest: int = -1) -> list[onnx.NodeProto]:
    """`x.view(x.size(0), -1)` of "h" as torch writes it, with the batch read off `source`."""
    axes = {"axes": [0]} if opset < AXES_ARE_INPUTS else {}
    return [
        helper.make_node("Shape", [source], ["sizes"]),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0))),
        helper.make_node("Gather", ["sizes", "zero"], ["clips"], axis=0),
        helper.make_node("Unsqueeze", ["clips", "axes"] if not axes else ["clips"], ["clips_1"], **axes),
        helper.make_node("Constant", [], ["rest"], value=numpy_helper.from_array(np.array([n_rest]))),
        helper.make_node("Concat", ["clips_1", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["h", "shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["y"]),
    ]


@pytest.mark.parametrize("opset", [11, 12, 13, 18])
@pytest.mark.parametrize("n_rest", [-1, 60])
@pytest.mark.parametrize("source", ["x", "h"])
@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_view__with_the_batch_read_off_a_shape(opset: int, n_rest: int, source: str, batch: int | str):
    nodes = [helper.make_node("Relu", ["x"], ["h"]), *viewed(opset, source, n_rest)]
    n_clips = batch if isinstance(batch, int) else 3
    assert_same_logits(model_of(nodes, VIEWED, [batch, *IMAGE], opset), inputs(n_clips, *IMAGE))


def test_view__with_the_batch_read_off_a_tensor_that_goes_nowhere_else():
    """Only its shape is used: what it holds must not come into the logits."""
    nodes = [
        helper.make_node("Identity", ["x"], ["h"]),
        helper.make_node("Relu", ["x"], ["elsewhere"]),
        *viewed(17, "elsewhere"),
    ]
    assert_same_logits(model_of(nodes, VIEWED, ["batch", *IMAGE]), inputs(3, *IMAGE))


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Slice", ["sizes", "starts", "ends"], ["clips_1"])],
        [helper.make_node("Gather", ["sizes", "axes"], ["clips_1"])],
        [helper.make_node("Split", ["sizes", "split"], ["clips_1", "others"])],
    ],
)
def test_view__with_the_batch_taken_from_the_shape_in_other_ways(nodes: list[onnx.NodeProto]):
    first = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Shape", ["h"], ["sizes"])]
    constants = {**VIEWED, "starts": np.array([0]), "split": np.array([1, 3])}
    model = model_of([*first, *nodes, *viewed(17, "h")[4:]], constants, ["batch", *IMAGE])
    assert_same_logits(model, inputs(3, *IMAGE))


@pytest.mark.parametrize("opset", [15, 17, 18])
@pytest.mark.parametrize("given", [{"start": 0, "end": 1}, {"end": 1}, {"start": -4, "end": -3}])
def test_view__with_a_part_of_the_shape(given: dict, opset: int):
    """As torch's newer exporter writes x.size(0)."""
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Shape", ["h"], ["clips_1"], **given),
        *viewed(opset, "h")[4:],
    ]
    assert_same_logits(model_of(nodes, VIEWED, ["batch", *IMAGE], opset), inputs(3, *IMAGE))


def test_view__with_the_size_of_space_multiplied():
    """x.view(x.size(0), x.size(1) * x.size(2) * x.size(3))."""
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Shape", ["h"], ["sizes"], start=1),
        helper.make_node("ReduceProd", ["sizes"], ["rest"], keepdims=1),
        helper.make_node("Concat", ["minus", "rest"], ["shape"], axis=0),
        *viewed(17, "h")[6:],
    ]
    constants = {**VIEWED, "minus": np.array([-1])}
    assert_same_logits(model_of(nodes, constants, ["batch", *IMAGE]), inputs(3, *IMAGE))


@pytest.mark.parametrize("source", ["x", "h"])
def test_flatten__by_the_shape_of_both_halves(source: str):
    """Reshape to [N, C * H * W] with N from Shape, as tf2onnx writes Keras's Flatten."""
    nodes = [
        helper.make_node("Relu", ["x"], ["h"]),
        helper.make_node("Shape", [source], ["sizes"]),
        helper.make_node("Cast", ["sizes"], ["sizes_32"], to=TensorProto.INT32),
        helper.make_node("Slice", ["sizes_32", "axes", "ends", "axes"], ["clips"]),
        helper.make_node("Concat", ["clips", "rest_32"], ["shape_32"], axis=0),
        helper.make_node("Cast", ["shape_32"], ["shape"], to=TensorProto.INT64),
        *viewed(17, "h")[6:],
    ]
    constants = {**VIEWED, "rest_32": np.array([60], np.int32)}
    assert_same_logits(model_of(nodes, constants, ["batch", *IMAGE]), inputs(3, *IMAGE))


# --- the batch axis -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clips", "N", "unk__42", "batch", "logits", "target", "x"])
def test_batch__whatever_its_axis_is_called(name: str):
    assert_explained(replace(mixed(17), batch=name))


@pytest.mark.parametrize("batch", [1, 2])
def test_batch__fixed_in_the_network_is_free_in_the_maps(batch: int):
    fixed = replace(mixed(17), batch=batch)
    assert_explained(fixed)
    compiled = compile_relevance(fixed.model(), ["gradient"])
    x = inputs(5, *IMAGE)
    free = explain(mixed(17).model(), x, [0, 1, 2, 1, 0], ["gradient"])
    found = run(compiled, {"x": x, "target": np.array([0, 1, 2, 1, 0])})
    np.testing.assert_array_equal(found["relevance.gradient"], free["relevance.gradient"])


@pytest.mark.parametrize("first", [1, 0, -1])
def test_batch__of_one_written_into_a_reshape(first: int):
    net = chain(step("Relu"), reshaped(first, 60), dense(60), shape=IMAGE, batch=1)
    assert_explained(net)


def test_batch__without_any_size_or_name():
    model = mixed(17).model()
    model.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    assert_same_logits(model, inputs(3, *IMAGE))


# --- names --------------------------------------------------------------------------------------------------


def test_names__nodes_may_have_none():
    assert not any(node.name for node in mixed(17).model().graph.node)
    assert_explained(mixed(17))


def test_names__nodes_may_share_one():
    """Not by onnxruntime's rules, but by those of the format."""
    net = chain(dense(5, 6), step("Relu"), dense(6), shape=(5,))
    same = replace(net, steps=tuple(replace(each, name="dense") for each in net.steps))
    found, expected = (explain(each.model(), inputs(2, 5), TARGETS, ["lrp.z"]) for each in (same, net))
    np.testing.assert_array_equal(found["relevance.lrp.z"], expected["relevance.lrp.z"])


OTHER_NAMES = (
    "batch",
    "class",
    "constant",
    "ArgMax",
    "Gemm",
    "gradient/y/Gemm",
    "y/Gemm",
    "t0/MaxPool:1",
    "x/y z: ä",
)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_names__of_the_input_may_be_any_other(name: str):
    pool = max_pool(2, 2, strides=[2, 2])
    assert_explained(replace(classified(pool, pool, n=2 * 1 * 1), input_name=name))


@pytest.mark.parametrize("name", ["target", "logits", "relevance.gradient"])
def test_names__that_the_maps_need_are_refused(name: str):
    model = chain(dense(5), shape=(5,), input_name=name).model()
    with pytest.raises(ModelError, match=f"input.*{name}"):
        compile_relevance(model, ["gradient"])


@pytest.mark.parametrize("name", ["target", "logits", "relevance.gradient", "ArgMax", "constant"])
def test_names__of_tensors_inside_may_be_any(name: str):
    net = chain(dense(5, 6, seed=1), step("Relu"), dense(6), shape=(5,))
    model = net.model()
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if each == "t0" else each for each in names]
    assert_same_logits(model, inputs(3, 5))
    assert_explained(replace(net, output_name=name))


def test_names__of_layers_are_unique():
    """Conditions of composites go by them, and the numbers that tell copies apart must not meet others."""
    from toolkit.lrp.graph import read

    net = chain(*(replace(dense(4, 4), name=name) for name in ("a", "a", "a_2", "a")), shape=(4,))
    names = [layer.name for layer in read(net.model()).layers]
    assert len(set(names)) == len(names)


# --- precision ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", CHANGES)
def test_double_precision__is_kept(opset: int):
    """onnxruntime has no convolution for it; the reference evaluator has."""
    net = mixed(opset)
    compiled = compile_relevance(net.model(np.float64), [*GRADIENTS, "lrp.epsilon"])
    assert {each.type.tensor_type.elem_type for each in compiled.graph.output} == {TensorProto.DOUBLE}
    x = inputs(2, *IMAGE).astype(np.float64)
    found = evaluate(compiled, {"x": x, "target": np.array(TARGETS)})
    assert_close(found["logits"], evaluate(net.model(np.float64), {"x": x})["y"], 1e-14)
    gradient = slopes(net, x, TARGETS)
    assert_close(found["relevance.gradient"], gradient, 1e-8)
    assert_close(found["relevance.input_t_gradient"], gradient * x, 1e-8)


def test_double_precision__of_dense_layers_runs_in_onnxruntime():
    net = chain(dense(5, 6), step("Relu"), dense(6), shape=(5,))
    compiled = compile_relevance(net.model(np.float64), list(GRADIENTS))
    x = inputs(2, 5).astype(np.float64)
    found = run(compiled, {"x": x, "target": np.array(TARGETS)})
    assert_close(found["logits"], run(net.model(np.float64), {"x": x})["y"], 1e-14)
    assert_close(found["relevance.gradient"], slopes(net, x, TARGETS), 1e-8)


# --- what comes out -----------------------------------------------------------------------------------------


def sizes(described: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in described.type.tensor_type.shape.dim]


@pytest.mark.parametrize("opset", OPSETS)
def test_model__has_two_inputs_and_the_outputs_asked_for(opset: int):
    compiled = compile_relevance(mixed(opset).model(), ["lrp.epsilon", "gradient"])
    onnx.checker.check_model(compiled, full_check=True)
    described = {
        each.name: (each.type.tensor_type.elem_type, sizes(each))
        for each in [*compiled.graph.input, *compiled.graph.output]
    }
    assert described == {
        "x": (TensorProto.FLOAT, ["batch", *IMAGE]),
        "target": (TensorProto.INT64, ["batch"]),
        "logits": (TensorProto.FLOAT, ["batch", 3]),
        "relevance.lrp.epsilon": (TensorProto.FLOAT, ["batch", *IMAGE]),
        "relevance.gradient": (TensorProto.FLOAT, ["batch", *IMAGE]),
    }
    assert [(each.domain, each.version <= 18) for each in compiled.opset_import] == [("", True)]
    assert compiled.ir_version == 8
    assert {node.domain for node in compiled.graph.node} == {""}
    assert not compiled.functions


def test_read__a_file_and_its_bytes_are_the_same(tmp_path: Path):
    model = mixed(17).model()
    onnx.save(model, tmp_path / "network.onnx")
    expected = compile_relevance(model, ["gradient"]).SerializeToString()
    assert compile_relevance(tmp_path / "network.onnx", ["gradient"]).SerializeToString() == expected
    assert compile_relevance(model.SerializeToString(), ["gradient"]).SerializeToString() == expected


def test_read__weights_beside_the_file(tmp_path: Path):
    """ONNX files may hold their weights in another file."""
    model = mixed(17).model()
    expected = compile_relevance(model, ["gradient"]).SerializeToString()
    path = tmp_path / "network.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert compile_relevance(path, ["gradient"]).SerializeToString() == expected


def test_read__leaves_the_model_as_it_was():
    model = mixed(17).model()
    before = model.SerializeToString()
    compile_relevance(model, ["gradient"])
    assert model.SerializeToString() == before


@pytest.mark.parametrize("ir_version", [4, 7, 8, 10])
def test_read__any_version_of_the_format(ir_version: int):
    model = mixed(13).model()
    model.ir_version = ir_version
    assert_same_logits(model, inputs(3, *IMAGE))
    assert compile_relevance(model, ["gradient"]).ir_version == 8


def test_read__initializers_that_are_inputs_too_in_the_oldest_format():
    model = replace(mixed(11), form="input").model()
    model.ir_version = 3
    assert_same_logits(model, inputs(3, *IMAGE))
