"""Clips in a batch: a map hangs on its clip and its target alone, and a wrong target never gives a map."""

from functools import cache

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from tests.lrp.nodes import Step, chain, dense, inputs, numbers, session, step
from toolkit.lrp.compiler import compile_relevance
from toolkit.lrp.composites import COMPOSITES

N_CLASSES = 3
IMAGE = (2, 10, 9)
MOST = 1024
RUNTIME_ERRORS = (Fail, InvalidArgument, RuntimeException)
OUT_OF_RANGE = r"(?i)out of (data )?(bounds|range)|index"
RELEVANCE = [f"relevance.{name}" for name in COMPOSITES]


def conv(n_out: int, n_in: int, *size: int, **attributes) -> Step:
    kernel = numbers(n_out, n_in, *size) / (n_in * np.prod(size)) ** 0.5
    return step("Conv", kernel, 0.1 * numbers(n_out), **attributes)


def max_pool(*size: int, **attributes) -> Step:
    return step("MaxPool", kernel_shape=size, **attributes)


RELU, FLATTEN = step("Relu"), step("Flatten")
NETWORKS = {
    "image": chain(
        *(step("Mul", numbers(2, 1, 1)), step("Sub", np.asarray(0.25)), conv(16, 2, 3, 3), RELU),
        *(
            max_pool(3, 3, strides=[2, 2], ceil_mode=1),
            conv(4, 16, 2, 2, strides=[2, 1], pads=[1, 0, 0, 1]),
            RELU,
        ),
        *(step("AveragePool", kernel_shape=[2, 2], pads=[0, 1, 0, 0]), FLATTEN, dense(12, 6), RELU, dense(6)),
        shape=IMAGE,
    ),
    "any pool": chain(
        *(step("Pad", np.array([0, 0, 1, 0, 0, 0, 0, 2]), np.asarray(-1.0)), max_pool(2, 3, pads=[1, 1, 0, 0])),
        *(
            conv(4, 1, 3, 3, group=2),
            step("ReduceMax", axes=[3], keepdims=0),
            step("Transpose", perm=[0, 2, 1]),
        ),
        *(
            step("MatMul", numbers(4, 5)),
            step("Add", numbers(5)),
            RELU,
            step("ReduceMean", axes=[1], keepdims=0),
        ),
        dense(5),
        shape=IMAGE,
    ),
    "waveform": chain(
        *(step("Unsqueeze", np.array([1])), conv(4, 1, 5, strides=[3]), RELU, max_pool(2)),
        *(conv(6, 4, 3, dilations=[2]), RELU, step("GlobalAveragePool"), FLATTEN, dense(6)),
        shape=(60,),
    ),
    "vector": chain(dense(7, 6), RELU, dense(6), shape=(7,)),
}


@cache
def runner(network: str, composites: tuple[str, ...] = tuple(COMPOSITES)) -> onnxruntime.InferenceSession:
    return session(compile_relevance(NETWORKS[network].model(), composites))


def maps(network: str, x: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    names = ["logits", *RELEVANCE]
    feeds = {"x": x, "target": targets.astype(np.int64)}
    return dict(zip(names, runner(network).run(names, feeds), strict=True))


def drawn(network: str, n_clips: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clips, and a target for each."""
    x = inputs(n_clips, *NETWORKS[network].shape, seed=seed)
    return x, np.arange(n_clips) % (N_CLASSES + 1) - 1


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float = 1e-5):
    """Clip by clip, to a share of each map's maximum."""
    for name, values in expected.items():
        assert found[name].shape == values.shape
        for one, other in zip(found[name], values, strict=True):
            assert np.abs(one - other).max() <= tolerance * np.abs(other).max(), name


def one_by_one(network: str, x: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    each = [maps(network, x[place : place + 1], targets[place : place + 1]) for place in range(len(x))]
    return {name: np.concatenate([part[name] for part in each]) for name in each[0]}


# --- what else is in the batch ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_clips", [1, 2, 7, MOST])
@pytest.mark.parametrize("network", NETWORKS)
def test_batch__of_any_size(network: str, n_clips: int):
    """The same session takes one after another; each clip has the map that it has alone."""
    x, targets = drawn(network, n_clips)
    found = maps(network, x, targets)
    assert found["logits"].shape == (n_clips, N_CLASSES)
    assert {found[name].shape for name in RELEVANCE} == {x.shape}
    some = np.linspace(0, n_clips - 1, min(n_clips, 9)).astype(int)
    assert_same(
        {name: values[some] for name, values in found.items()}, one_by_one(network, x[some], targets[some])
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_batch__in_another_order(network: str):
    x, targets = drawn(network, 32)
    order = np.random.default_rng(0).permutation(len(x))
    found = maps(network, x[order], targets[order])
    assert_same(found, {name: values[order] for name, values in maps(network, x, targets).items()})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0], ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_batch__beside_clips_of_no_sense(network: str, value: float):
    """What is broken in one clip does not come into the next."""
    x, targets = drawn(network, 5)
    alone = maps(network, x[1::2], targets[1::2])
    beside = x.copy()
    beside[::2] = value
    assert_same({name: values[1::2] for name, values in maps(network, beside, targets).items()}, alone)


@pytest.mark.parametrize("network", NETWORKS)
def test_batch__of_the_same_clip_for_every_class(network: str):
    """Targets differ, logits do not."""
    x, _ = drawn(network, 1)
    classes = np.arange(N_CLASSES)
    repeated = np.repeat(x, N_CLASSES, axis=0)
    assert_same(maps(network, repeated, classes), one_by_one(network, repeated, classes))


def test_batch__of_networks_made_for_one_clip():
    """The fixed batch of an exported network is not that of its maps."""
    net = NETWORKS["image"]
    fixed = chain(*net.steps, shape=net.shape, batch=1)
    x, targets = drawn("image", MOST)
    feeds = {"x": x, "target": targets.astype(np.int64)}
    found = session(compile_relevance(fixed.model(), list(COMPOSITES))).run(["logits", *RELEVANCE], feeds)
    for values, expected in zip(found, maps("image", x, targets).values(), strict=True):
        np.testing.assert_array_equal(values, expected)


# --- targets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_target__of_minus_one_is_the_highest_logit(network: str):
    x, _ = drawn(network, 16)
    predicted = maps(network, x, np.full(len(x), -1))
    explicit = maps(network, x, predicted["logits"].argmax(axis=1))
    for name, values in predicted.items():
        np.testing.assert_array_equal(values, explicit[name])


TIED = {
    "all": np.ones((4, 3)),
    "the last two": np.array([[-1.0, 1, 1]] * 4),
    "the first and the last": np.array([[1.0, -1, 1]] * 4),
    "all at zero": np.zeros((4, 3)),
}


@pytest.mark.parametrize("kernel", TIED.values(), ids=TIED)
def test_target__of_minus_one_is_the_first_of_equals(kernel: np.ndarray):
    net = chain(step("Relu"), step("Gemm", kernel, np.arange(3) * 0.0), shape=(4,))
    runner = session(compile_relevance(net.model(), ["gradient", "lrp.epsilon", "lrp.flat"]))
    x = np.float32([[1, 2, 3, 4], [4, -3, 2, 1]])
    logits, *found = runner.run(None, {"x": x, "target": np.array([-1, -1])})
    first = np.array([int(row.argmax()) for row in logits])
    assert (logits == logits.max(axis=1, keepdims=True)).sum() >= 4
    _, *expected = runner.run(None, {"x": x, "target": first})
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found[0], np.where(x > 0, kernel[:, first].T, 0))


WRONG = [
    -2,
    -3,
    -N_CLASSES,
    -N_CLASSES - 1,
    N_CLASSES,
    N_CLASSES + 1,
    1000,
    2**31,
    2**32,
    2**63 - 1,
    -(2**63),
    2**63 - 3,
]


@pytest.mark.parametrize("target", WRONG)
@pytest.mark.parametrize("composite", COMPOSITES)
def test_target__that_is_no_class_gives_no_map(composite: str, target: int):
    """Nor does it where that map alone is asked for, or where the other clips of the batch have good ones."""
    run = runner("vector", (composite,)).run
    x, _ = drawn("vector", 3)
    for targets in ([target] * 3, [0, target, -1], [1, 2, target]):
        for names in (None, [f"relevance.{composite}"]):
            with pytest.raises(RUNTIME_ERRORS, match=OUT_OF_RANGE):
                run(names, {"x": x, "target": np.array(targets, np.int64)})


@pytest.mark.parametrize("target", [-2, N_CLASSES])
@pytest.mark.parametrize("network", NETWORKS)
def test_target__that_is_no_class_of_any_network(network: str, target: int):
    x, targets = drawn(network, 3)
    targets[1] = target
    with pytest.raises(RUNTIME_ERRORS, match=OUT_OF_RANGE):
        maps(network, x, targets)


LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


@pytest.mark.parametrize("level", LEVELS)
def test_target__that_is_no_class_whatever_the_optimiser_does(level: str):
    model = compile_relevance(NETWORKS["vector"].model(), ["gradient"])
    run = session(model, graph_optimization_level=getattr(onnxruntime.GraphOptimizationLevel, level)).run
    for target in (-2, N_CLASSES):
        with pytest.raises(RUNTIME_ERRORS, match=OUT_OF_RANGE):
            run(["relevance.gradient"], {"x": drawn("vector", 1)[0], "target": np.array([target])})


MISMATCHES = [(3, 1), (3, 2), (3, 4), (3, 0), (2, 1), (1, 0), (1, 2), (1, 3)]


@pytest.mark.parametrize(("n_clips", "n_targets"), MISMATCHES)
@pytest.mark.parametrize("network", NETWORKS)
def test_target__for_another_number_of_clips_gives_no_map(network: str, n_clips: int, n_targets: int):
    """One target for all is not meant either."""
    x = drawn(network, 3)[0][:n_clips]
    for target in (-1, 0, 2):
        with pytest.raises(RUNTIME_ERRORS):
            maps(network, x, np.full(n_targets, target))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("reuse", [False, True])
def test_target__for_another_number_of_clips_whatever_onnxruntime_does(reuse: bool, level: str):
    """It is no luck of how memory is shared out."""
    chosen = getattr(onnxruntime.GraphOptimizationLevel, level)
    model = compile_relevance(NETWORKS["vector"].model(), ["gradient", "lrp.flat"])
    run = session(model, enable_mem_reuse=reuse, enable_mem_pattern=reuse, graph_optimization_level=chosen).run
    for n_clips, n_targets in MISMATCHES:
        for name in ("relevance.gradient", "relevance.lrp.flat"):
            with pytest.raises(RUNTIME_ERRORS):
                run([name], {"x": drawn("vector", 3)[0][:n_clips], "target": np.zeros(n_targets, np.int64)})


@pytest.mark.parametrize("shape", [(), (3, 1), (1, 3), (1, 1)])
def test_target__of_another_shape_gives_no_map(shape: tuple[int, ...]):
    with pytest.raises(RUNTIME_ERRORS, match=r"(?i)rank|dimension"):
        maps("vector", drawn("vector", 3)[0], np.zeros(shape))


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.bool_, np.uint64])
def test_target__of_another_type_gives_no_map(dtype: type):
    feeds = {"x": drawn("vector", 3)[0], "target": np.zeros(3, dtype)}
    with pytest.raises(RUNTIME_ERRORS, match=r"(?i)type"):
        runner("vector").run(None, feeds)


def test_target__must_be_given():
    with pytest.raises(ValueError, match="target"):
        runner("vector").run(None, {"x": drawn("vector", 3)[0]})


@pytest.mark.parametrize("shape", [(3, 2, 10, 8), (3, 1, 10, 9), (3, 180), (2, 10, 9), (3, 2, 10, 9, 1)])
def test_input__of_another_shape_gives_no_map(shape: tuple[int, ...]):
    with pytest.raises(RUNTIME_ERRORS, match=r"(?i)rank|dimension"):
        runner("image").run(None, {"x": np.zeros(shape, np.float32), "target": np.zeros(3, np.int64)})
