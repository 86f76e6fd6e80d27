"""Networks broken at random: each is refused in our own words, or explained as what it still is.

A valid network is changed in one to three places. What comes out must be a `ModelError`, or a model whose
logits are the network's own in onnxruntime and whose gradient is its slope; never another exception.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, event, given, settings, strategies
from onnx import TensorProto, helper, numpy_helper

from tests.lrp.nodes import chain, dense, inputs, numbers, run, step
from toolkit.errors import ModelError
from toolkit.lrp.compiler import compile_relevance
from toolkit.lrp.operators import OPERATORS

SOFTMAX = {"Softmax", "LogSoftmax"}
Pick = Callable[[Sequence[Any]], Any]


def conv(n_out: int, n_in: int, *size: int, **attributes):
    return step("Conv", numbers(n_out, n_in, *size), numbers(n_out), **attributes)


RELU = step("Relu")
CHAINS = (
    chain(
        *(step("Sub", numbers(2, 1, 1)), conv(3, 2, 3, 3, pads=[1, 0, 0, 1], strides=[1, 2]), RELU),
        *(
            step("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
            step("Flatten"),
            dense(18, 4),
            RELU,
        ),
        *(dense(4), step("Softmax")),
        shape=(2, 6, 7),
    ),
    chain(
        *(
            step("Transpose", perm=[0, 3, 1, 2]),
            conv(4, 1, 2, 2, group=2, dilations=[2, 1]),
            step("Clip", np.asarray(0.0)),
        ),
        *(
            step("AveragePool", kernel_shape=[2, 3], count_include_pad=1, pads=[0, 1, 1, 0]),
            step("GlobalMaxPool"),
        ),
        *(step("Squeeze", np.array([2, 3])), step("MatMul", numbers(4, 3)), step("Add", numbers(3))),
        shape=(5, 6, 2),
    ),
    chain(
        *(step("Pad", np.array([0, 0, 1, 0, 0, 2]), np.asarray(0.5)), conv(3, 2, 4), RELU, step("Dropout")),
        *(step("Reshape", np.array([0, -1])), dense(3 * 8, 3), step("LogSoftmax", axis=-1)),
        shape=(2, 8),
        batch=2,
    ),
    chain(
        *(step("Unsqueeze", axes=[1]), conv(2, 1, 3, 2), step("ReduceMean", axes=[3], keepdims=0)),
        *(step("Identity"), step("MatMul", numbers(3, 4)), step("Add", numbers(4)), RELU),
        *(
            step("ReduceMax", axes=[-1], keepdims=0),
            step("Gemm", numbers(3, 2), numbers(3), transB=1, alpha=0.5),
        ),
        shape=(5, 4),
        opset=12,
    ),
)
EXPORTS = sorted((Path(__file__).parent / "torch_exports").glob("*.onnx"))
BASES = [*(net.model() for net in CHAINS), *(onnx.load(path) for path in EXPORTS)]


# --- what is changed ----------------------------------------------------------------------------------------

TEXTS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "constant", "reflect", "SAME", "")
ATTRIBUTES: dict[str, Any] = {
    **{"kernel_shape": [2, 2], "strides": [2, 1], "pads": [1, 0, 0, 1], "dilations": [1, 2], "group": 2},
    **{"auto_pad": "SAME_UPPER", "ceil_mode": 1, "count_include_pad": 1, "storage_order": 1, "mode": "edge"},
    **{"axis": 1, "axes": [1], "keepdims": 0, "noop_with_empty_axes": 1, "perm": [0, 2, 1], "allowzero": 1},
    **{"transA": 1, "transB": 1, "alpha": 2.0, "beta": 0.5, "to": 1, "ratio": 0.5, "start": 1, "end": 2},
}
CRASHING = {"kernel_shape", "strides", "dilations", "group"}
"""Zeros in these end onnxruntime's process."""


def node_of(model: onnx.ModelProto, pick: Pick) -> onnx.NodeProto:
    return pick(list(model.graph.node))


def tensors_of(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    made = [name for each in graph.node for name in each.output]
    return [*made, *(each.name for each in graph.initializer), *(each.name for each in graph.input)]


def reread(model: onnx.ModelProto, old: str, new: str, start: int = 0):
    """Let whoever reads one tensor read another."""
    for each in list(model.graph.node)[start:]:
        each.input[:] = [new if name == old else name for name in each.input]


def drop_node(model: onnx.ModelProto, pick: Pick):
    gone = node_of(model, pick)
    first = gone.input[0] if gone.input else ""
    old = gone.output[0]
    model.graph.node.remove(gone)
    reread(model, old, first)
    if model.graph.output[0].name == old:
        model.graph.output[0].name = first


def repeat_node(model: onnx.ModelProto, pick: Pick):
    nodes = list(model.graph.node)
    place = pick(range(len(nodes)))
    again = onnx.NodeProto()
    again.CopyFrom(nodes[place])
    if not again.input:
        return
    again.input[0], again.output[0] = nodes[place].output[0], "again"
    reread(model, nodes[place].output[0], "again", place + 1)
    replaced = [*nodes[: place + 1], again, *nodes[place + 1 :]]
    del model.graph.node[:]
    model.graph.node.extend(replaced)


def insert_node(model: onnx.ModelProto, pick: Pick):
    nodes = list(model.graph.node)
    place = pick(range(len(nodes)))
    if not nodes[place].input:
        return
    operator = pick(["Relu", "Identity", "Transpose", "Flatten", "Shape", "Sigmoid", "Dropout"])
    new = helper.make_node(operator, nodes[place].input[:1], ["new"])
    nodes[place].input[0] = "new"
    replaced = [*nodes[:place], new, *nodes[place:]]
    del model.graph.node[:]
    model.graph.node.extend(replaced)


def change_operator(model: onnx.ModelProto, pick: Pick):
    node_of(model, pick).op_type = pick([
        *OPERATORS,
        "Softmax",
        "Shape",
        "Concat",
        "LeakyRelu",
        "Max",
        "Expand",
    ])


def drop_attribute(model: onnx.ModelProto, pick: Pick):
    held = node_of(model, pick).attribute
    if held:
        del held[pick(range(len(held)))]


def add_attribute(model: onnx.ModelProto, pick: Pick):
    node, name = node_of(model, pick), pick(list(ATTRIBUTES))
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, ATTRIBUTES[name])])


def change_attribute(model: onnx.ModelProto, pick: Pick):
    holders = [each for each in model.graph.node if each.attribute and each.op_type != "Constant"]
    if not holders:
        return
    changed = pick(list(pick(holders).attribute))
    if changed.type == onnx.AttributeProto.INTS:
        changed.ints[:] = changed_list(list(changed.ints), changed.name, pick)
    elif changed.type == onnx.AttributeProto.INT:
        changed.i = pick([1, 2, 3, -1, -2] if changed.name in CRASHING else [0, 1, 2, 3, -1, -2, 2**40])
    elif changed.type == onnx.AttributeProto.FLOAT:
        changed.f = pick([0.0, -1.0, 2.5, float("nan"), float("inf")])
    elif changed.type == onnx.AttributeProto.STRING:
        changed.s = pick(TEXTS).encode()


def changed_list(values: list[int], name: str, pick: Pick) -> list[int]:
    how = pick(["more", "fewer", "another", "turned"])
    if how == "more":
        return [*values, 1]
    if how == "turned" or not values:
        return values[::-1]
    if how == "fewer":
        return values[:-1]
    others = [1, 2, 3, -1, 7] if name in CRASHING else [0, 1, 2, 3, -1, -3, 7]
    values[pick(range(len(values)))] = pick(others)
    return values


def change_inputs(model: onnx.ModelProto, pick: Pick):
    node = node_of(model, pick)
    names = list(node.input)
    how = pick(["fewer", "turned", "absent", "another", "more"])
    if how == "more" or not names:
        names.append(pick(tensors_of(model)))
    elif how == "fewer":
        names.pop()
    elif how == "turned":
        names.reverse()
    else:
        names[pick(range(len(names)))] = "" if how == "absent" else pick(tensors_of(model))
    node.input[:] = names


def change_constant(model: onnx.ModelProto, pick: Pick):
    if not model.graph.initializer:
        return
    held = pick(list(model.graph.initializer))
    values = np.array(numpy_helper.to_array(held))
    held.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed_array(values, pick)), held.name))


def changed_array(values: np.ndarray, pick: Pick) -> np.ndarray:
    n_axes = values.ndim
    ways: list[Callable[[], np.ndarray]] = [
        lambda: values.T,
        lambda: values.reshape(-1),
        lambda: values[None],
        lambda: values[..., None],
        lambda: values[0] if n_axes and len(values) else values,
        lambda: np.moveaxis(values, -1, 0) if n_axes else values,
        lambda: np.concatenate([values, values]) if n_axes else values,
        lambda: values[:-1] if n_axes and len(values) > 1 else values,
        lambda: values.astype(np.float64 if values.dtype.kind == "f" else np.int32),
        lambda: changed_numbers(values, pick),
    ]
    return pick(ways)()


def changed_numbers(values: np.ndarray, pick: Pick) -> np.ndarray:
    if values.dtype.kind != "f":
        return values + pick([-2, -1, 1, 2])
    changed = values.copy()
    changed.reshape(-1)[:1] = pick([np.nan, np.inf, 0.0, 1e10])
    return changed


def change_input(model: onnx.ModelProto, pick: Pick):
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    if not sizes:
        return
    size = pick(list(sizes))
    how = pick(["number", "name", "none", "fewer", "type"])
    if how == "number":
        size.dim_value = pick([1, 2, 3, 5, 6, 8])
    elif how == "name":
        size.dim_param = "free"
    elif how == "none":
        size.Clear()
    elif how == "fewer":
        sizes.remove(size)
    else:
        model.graph.input[0].type.tensor_type.elem_type = pick([TensorProto.DOUBLE, TensorProto.FLOAT16])


def change_output(model: onnx.ModelProto, pick: Pick):
    model.graph.output[0].name = pick(tensors_of(model))


def change_name(model: onnx.ModelProto, pick: Pick):
    """Of a tensor, to one that others may have."""
    old, new = (
        pick(tensors_of(model)),
        pick(["target", "logits", "x", "relevance.gradient", *tensors_of(model)]),
    )
    graph = model.graph
    for each in graph.node:
        each.input[:] = [new if name == old else name for name in each.input]
        each.output[:] = [new if name == old else name for name in each.output]
    for each in (*graph.initializer, *graph.input, *graph.output):
        each.name = new if each.name == old else each.name


def change_opset(model: onnx.ModelProto, pick: Pick):
    model.opset_import[0].version = pick(range(10, 20))


def swap_nodes(model: onnx.ModelProto, pick: Pick):
    nodes = list(model.graph.node)
    one, other = pick(range(len(nodes))), pick(range(len(nodes)))
    nodes[one], nodes[other] = nodes[other], nodes[one]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


CHANGES = (
    *(drop_node, repeat_node, insert_node, change_operator, drop_attribute, add_attribute, change_attribute),
    *(change_inputs, change_constant, change_input, change_output, change_name, change_opset, swap_nodes),
    *(change_attribute, change_constant, change_inputs),
)


@strategies.composite
def broken(draw: Any) -> tuple[onnx.ModelProto, list[str]]:
    """A network, and what was done to it."""

    def pick(options: Sequence[Any]) -> Any:
        return options[draw(strategies.integers(0, len(options) - 1))]

    model = onnx.ModelProto()
    model.CopyFrom(pick(BASES))
    changes = [pick(CHANGES) for _ in range(pick([1, 1, 2, 3]))]
    for change in changes:
        change(model, pick)
        if not model.graph.node:
            break
    return model, [change.__name__ for change in changes]


# --- what must hold -----------------------------------------------------------------------------------------


def original(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray | None:
    """The network's own output, in as many passes as it needs; None where onnxruntime does not take it."""
    held = {each.name for each in model.graph.initializer}
    described = next(each for each in model.graph.input if each.name not in held)
    batch = described.type.tensor_type.shape.dim[0].dim_value
    clips = np.split(x, len(x) // batch) if batch > 0 and len(x) % batch == 0 else [x]
    try:
        return np.concatenate([
            run(model, {described.name: each})[model.graph.output[0].name] for each in clips
        ])
    except Exception:  # noqa: BLE001 (onnxruntime raises a class of its own for each status)
        return None


def ending(model: onnx.ModelProto) -> str:
    """The softmax that the network ends in, or nothing."""
    made = {name: each for each in model.graph.node for name in each.output}
    name = model.graph.output[0].name
    while name in made and made[name].op_type == "Identity":
        name = made[name].input[0]
    last = made[name].op_type if name in made else ""
    return last if last in SOFTMAX else ""


def ended(logits: np.ndarray, end: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        below = logits - logits.max(axis=1, keepdims=True)
        shares = np.exp(below) / np.exp(below).sum(axis=1, keepdims=True)
        logs = below - np.log(np.exp(below).sum(axis=1, keepdims=True))
        return {"": logits, "Softmax": shares, "LogSoftmax": logs}[end]


def assert_equal(found: np.ndarray, expected: np.ndarray):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max(initial=0)))


def is_slope(model: onnx.ModelProto, x: np.ndarray, gradient: np.ndarray, target: int) -> bool:
    """Whether the gradient says how the logit changes along most of some lines; a kink may lie on one."""
    n_right = 0
    for seed in range(5):
        line = numbers(*x.shape[1:], seed=seed).astype(np.float32)
        move = np.float32(2e-3) * line
        ends = [original(model, clip) for clip in (x + move, x - move)]
        change = (ends[0][0, target] - ends[1][0, target]) / 4e-3
        size = np.abs(gradient[0] * line).sum() + 0.05
        n_right += abs(change - (gradient[0] * line).sum()) < 0.02 * size + 1e-3 * np.abs(ends[0]).max()
    return n_right >= 2


def outcome(model: onnx.ModelProto) -> str:
    """What became of a network; fails where it is explained wrongly."""
    try:
        compiled = compile_relevance(model, ["gradient"])
    except ModelError:
        return "refused"
    described = next(each for each in compiled.graph.input if each.name != "target")
    if described.type.tensor_type.elem_type != TensorProto.FLOAT:
        return "double precision"
    x = inputs(2, *(size.dim_value for size in described.type.tensor_type.shape.dim[1:]))
    expected = original(model, x)
    if expected is None:
        return "refused by onnxruntime"
    found = run(compiled, {described.name: x, "target": np.full(2, -1)})
    end = ending(model)
    assert_equal(ended(found["logits"], end), expected)
    if not end and np.isfinite(expected).all():
        assert is_slope(model, x, found["relevance.gradient"], int(found["logits"][0].argmax()))
    return "explained"


FUZZ = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)


@settings(FUZZ, max_examples=600)
@given(broken())
def test_compile__broken_networks_are_refused_or_explained(case: tuple[onnx.ModelProto, list[str]]):
    event(outcome(case[0]))


@pytest.mark.slow
@settings(FUZZ, max_examples=10_000)
@given(broken())
def test_compile__many_broken_networks_are_refused_or_explained(case: tuple[onnx.ModelProto, list[str]]):
    event(outcome(case[0]))


@pytest.mark.parametrize("model", BASES, ids=range(len(BASES)))
def test_compile__the_networks_themselves_are_explained(model: onnx.ModelProto):
    assert outcome(model) in {"explained", "refused by onnxruntime"}
