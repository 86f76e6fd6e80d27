"""The judge of relevance judged: cases by hand, laws that must hold, the same networks in other runtimes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from scipy.signal import correlate2d

from tests.lrp import algebra
from tests.lrp.algebra import (
    COMPOSITIONS,
    AlphaBeta,
    AveragePool,
    Conv,
    Dense,
    Epsilon,
    Family,
    Flat,
    Flatten,
    Gamma,
    GlobalAveragePool,
    Gradient,
    MaxPool,
    Pad,
    Pass,
    Relu,
    Rule,
    Scale,
    Transpose,
    WSquare,
    Z,
    ZBox,
    batch_relevance,
    judged,
    relevance,
    rules_of,
    traced,
)
from tests.lrp.evaluate import evaluate
from tests.lrp.graphs import INPUT_KINDS, STYLES, Network, draw_inputs, random_network

OWN_FAMILIES = {
    "gamma": Family(Gamma(), Gamma(0.5, 1e-3), None, Epsilon(1e-3)),
    "z_box": Family(Epsilon(1e-6), Z(), ZBox(-1.5, 2)),
    "alpha_beta_split": Family(AlphaBeta(2, 1, "split", 1e-6), AlphaBeta(2, 1, "split"), Gamma(1)),
    "alpha_beta_none": Family(AlphaBeta(3, 2, "none"), AlphaBeta(2, 1, "none", 0.1), WSquare()),
    "without_bias": Family(Epsilon(0.01, bias=False), Epsilon(0.01, bias=False)),
    "pool_flat": Family(Z(), Z(), None, Flat()),
    "pool_squares": Family(Z(), Z(), None, WSquare()),
}
FAMILIES = {**COMPOSITIONS, **OWN_FAMILIES}


def dense(weights: list[float], bias: float | None = None) -> Dense:
    """One output."""
    return Dense("dense", np.array(weights, float)[:, None], None if bias is None else np.array([bias]))


def map_of(layer: Dense | Conv, x: list[float], rule: Rule) -> np.ndarray:
    flat = [] if isinstance(layer, Dense) else [Flatten()]
    return relevance([layer, *flat], np.array(x, float), 0, lambda _: rule)[1]


def onnxruntime_outputs(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


# --- by hand ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (AlphaBeta(1, 0, "full"), [-1e7, 0]),
        (AlphaBeta(2, 1, "full"), [-2e7, 0.5]),
        (AlphaBeta(1, 0, "split"), [-1, 0]),
        (AlphaBeta(2, 1, "split"), [-2, 0.5]),
        (AlphaBeta(1, 0, "none"), [-1, 0]),
        (AlphaBeta(2, 1, "none"), [-2, 1]),
        (Z(), [1, -1]),
    ],
)
def test_alpha_beta__innvestigate_issue_273(rule: Rule, expected: list[float]):
    """With the whole bias in its denominator, positive parts of 1 and a bias of -1 make an exact zero."""
    np.testing.assert_allclose(map_of(dense([1, -1], -1), [1, 1], rule), expected)


@pytest.mark.parametrize(
    ("weights", "bias", "x", "expected"),
    [
        ([2, -1], None, [1, 1], [2.5 / 1.5, -1 / 1.5]),
        ([1, -3], None, [1, 1], [-2 / -2.75, 7.5 / -2.75]),
        ([1, 1], None, [-1, 2], [-1 / 1.5, 2.5 / 1.5]),
        ([1, 1], None, [-2, 1], [-2 * -1.25 / -1.5, -1 / -1.5]),
        ([2, -1], 2, [1, 1], [3 * 2.5 / 4, 3 * -1 / 4]),
        ([2, -1], -2, [1, 1], [-1 * 2 / -1.75, -1 * -1.25 / -1.75]),
    ],
)
def test_gamma__favours_the_sign_of_the_output(weights: list, bias: float | None, x: list, expected: list):
    np.testing.assert_allclose(map_of(dense(weights, bias), x, Gamma(0.25, 1e-12)), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Z(), [2, -2, 3]),
        (Epsilon(0.5), [2 * 3 / 3.5, -2 * 3 / 3.5, 3 * 3 / 3.5]),
        (Epsilon(0.5, bias=False), [2 * 3 / 3.5, -2 * 3 / 3.5, 3 * 3 / 3.5]),
        (WSquare(), [3 * 4 / 9, 3 * 4 / 9, 3 * 1 / 9]),
        (Flat(), [1, 1, 1]),
        (ZBox(-1, 4), [3 * 4 / 14, 3 * 6 / 14, 3 * 4 / 14]),
        (Gradient(), [2, -2, 1]),
        (Gradient(times_input=True), [2, -2, 3]),
    ],
)
def test_rules__one_neuron_by_hand(rule: Rule, expected: list[float]):
    """Weights 2, -2, 1 on inputs 1, 1, 3 make 3; in the box, 2 + 2, -2 + 8 and 3 + 1."""
    np.testing.assert_allclose(map_of(dense([2, -2, 1]), [1, 1, 3], rule), expected)


def test_epsilon__an_exact_zero_counts_as_positive():
    """1 - 1 is zero, and so is its relevance, unless a flat layer behind it sends some."""
    layers = [dense([1, -1]), Dense("behind", np.ones((1, 1)), np.array([3.0]))]
    rules = {0: Epsilon(0.1), 1: Flat()}
    np.testing.assert_allclose(relevance(layers, np.array([1.0, 1.0]), 0, rules)[1], [30, -30])


def test_flat__knows_the_border_of_zero_padding():
    """Three outputs of relevance -1, 0, 2: those at the ends have two inputs to share it, the middle three."""
    layers = [Conv("conv", np.full((1, 1, 3), 5.0), None, pads=(1, 1)), Flatten(), dense([1, 0, 2])]
    rules = {0: Flat(), 2: WSquare()}
    _, heat = relevance(layers, np.array([[1.0, 1.0, 1.0]]), 0, rules)
    logit = 10 + 20
    first, last = logit / 5, logit * 4 / 5
    np.testing.assert_allclose(heat, [[first / 2, first / 2 + last / 2, last / 2]])


def test_max_pool__the_first_of_equals_takes_all_and_windows_add_up():
    pool = MaxPool((3,))
    np.testing.assert_array_equal(algebra.winners(pool, np.ones((2, 4))), [[0, 1], [4, 5]])
    shared = np.array([[1.0, 5.0, 1.0, 5.0]])
    np.testing.assert_array_equal(algebra.returned(pool, shared, np.array([[2.0, 3.0]])), [[0, 5, 0, 0]])
    square = np.array([[[1.0, 2.0], [2.0, 2.0]]])
    np.testing.assert_array_equal(algebra.winners(MaxPool((2, 2)), square), [[[1]]])


def test_max_pool__padding_never_wins():
    pool = MaxPool((2,), (2,), (1, 1))
    np.testing.assert_array_equal(algebra.winners(pool, np.array([[-3.0, -2.0, -1.0, -4.0]])), [[0, 2, 3]])


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (AveragePool((2,), (2,), (1, 1)), [2, 5, 8]),
        (AveragePool((2,), (2,), (1, 1), count_include_pad=True), [1, 5, 4]),
        (AveragePool((3,), (2,), (0, 0), ceil_mode=True), [4, 7]),
        (AveragePool((3,), (2,), (0, 0), ceil_mode=True, count_include_pad=True), [4, 7]),
        (AveragePool((3,), (3,), (1, 1), ceil_mode=True, count_include_pad=True), [2, 14 / 3]),
        (AveragePool((3,), (2,)), [4]),
    ],
)
def test_average_pool__divides_by_the_cells_it_counts(pool: AveragePool, expected: list[float]):
    """On 2, 4, 6, 8; a last window that reaches beyond all padding counts what is left of it."""
    linear = algebra.linear_of(pool, (1, 4))
    np.testing.assert_allclose(linear.matrix @ [2.0, 4.0, 6.0, 8.0], expected)


def test_average_pool__relevance_follows_the_share_of_the_mean():
    layers = [AveragePool((2,)), Flatten(), dense([1, 1])]
    _, heat = relevance(layers, np.array([[1.0, 3.0, 5.0]]), 0, {2: Z()})
    np.testing.assert_allclose(heat, [[0.5, 1.5 + 1.5, 2.5]])


def test_convolution__equals_scipy():
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(2, 6, 5)), rng.normal(size=(3, 2, 3, 2))
    linear = algebra.linear_of(Conv("conv", kernel, strides=(2, 1)), x.shape)
    expected = [sum(correlate2d(x[c], kernel[o, c], "valid") for c in range(2))[::2] for o in range(3)]
    np.testing.assert_allclose((linear.matrix @ x.ravel()).reshape(3, 2, 4), expected)


def test_relu__passes_relevance_and_masks_gradients():
    """Relevance that a flat layer sends to a dead neuron goes on; a gradient ends there."""
    layers = [Dense("first", np.eye(2)), Relu(), dense([1, 1], 4)]
    x = np.array([1.0, -1.0])
    np.testing.assert_allclose(relevance(layers, x, 0, {0: Flat(), 2: Flat()})[1], [2.5, 2.5])
    np.testing.assert_allclose(relevance(layers, x, 0, lambda _: Gradient())[1], [1, 0])


def test_layers_without_weights__give_back_what_they_took():
    x = np.arange(6.0).reshape(1, 2, 3) - 2
    sent = np.arange(20.0).reshape(1, 4, 5)
    np.testing.assert_array_equal(algebra.returned(Pad((1, 0, 1, 2), 7.0), x, sent), sent[:, 1:3, :3])
    turned = Transpose((2, 0, 1))
    np.testing.assert_array_equal(algebra.returned(turned, x, algebra.moved(turned, x)), x)
    scale = Scale(np.array(3.0), np.array(1.0))
    np.testing.assert_array_equal(algebra.returned(scale, x, x), x)
    np.testing.assert_array_equal(algebra.returned(scale, x, x, is_gradient=True), 3 * x)


def test_pass__needs_equal_shapes():
    square = Dense("square", np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(relevance([square], np.ones(2), 1, {0: Pass()})[1], [0, 6])
    with pytest.raises(ValueError, match="cannot pass"):
        map_of(dense([1, 1]), [1, 1], Pass())


def test_rules__a_gradient_is_mixed_with_nothing():
    layers = [Dense("first", np.eye(2)), dense([1, 1])]
    with pytest.raises(ValueError, match="cannot be mixed"):
        relevance(layers, np.ones(2), 0, {0: Gradient(), 1: Z()})


def test_compositions__who_gets_what():
    one, two = Conv("one", np.ones((1, 1, 1))), Conv("two", np.ones((1, 1, 1)))
    layers = [AveragePool((1,)), one, Relu(), two, Flatten(), dense([1, 1])]
    chosen = algebra.composition("lrp.sequential_preset_b_flat", layers)
    assert chosen == {0: Z(), 1: Flat(), 3: AlphaBeta(2, 1, "full"), 5: Epsilon(0.1)}
    chosen = algebra.composition("epsilon_plus_flat", layers)
    assert chosen == {0: Epsilon(1e-6), 1: Flat(), 3: AlphaBeta(1, 0, "split", 1e-6), 5: Epsilon(1e-6)}
    assert algebra.composition("lrp.sequential_preset_a", layers)[1] == AlphaBeta(1, 0, "full")


# --- laws ---------------------------------------------------------------------------------------------------


def drawn(seed: int) -> tuple[Network, np.ndarray]:
    """One random network and one input of a kind that the seed decides."""
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    return network, draw_inputs(rng, network, 1, INPUT_KINDS[seed % len(INPUT_KINDS)])[0]


@pytest.mark.parametrize("n_networks", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_two_paths__explicit_matrices_and_taps_agree(n_networks: int):
    """Wherever rounding decides nothing: to 1e-12 of the map's maximum, and to the judge's own bound."""
    n_bound = 0
    for seed in range(n_networks):
        network, x = drawn(seed)
        trace = traced(network.layers, x)
        for family in FAMILIES.values():
            rules = rules_of(family, network.layers)
            judgement = judged(trace, -1, rules)
            if judgement.is_decided:
                logits, maps = batch_relevance(network.layers, x[None], [-1], rules)
                difference = np.abs(maps[0] - judgement.map)
                assert (np.abs(logits[0] - judgement.logits) <= judgement.logits_error).all()
                assert (difference <= judgement.map_error).all()
                is_bound = judgement.binds(3e-11)
                n_bound += is_bound
                assert not is_bound or difference.max() <= 1e-12 * np.abs(judgement.map).max()
    assert n_bound > 0.9 * n_networks * len(FAMILIES)


def test_judged__is_relevance():
    for seed in range(12):
        network, x = drawn(seed)
        for family in FAMILIES.values():
            rules = rules_of(family, network.layers)
            judgement = judged(traced(network.layers, x), 0, rules)
            logits, heat = relevance(network.layers, x, 0, rules)
            np.testing.assert_array_equal(judgement.logits, logits)
            np.testing.assert_array_equal(judgement.map, heat)


def test_z__without_bias_keeps_all_relevance():
    for seed in range(60):
        network, x = drawn(seed)
        judgement = judged(traced(network.without_bias().layers, x), -1, lambda _: Z())
        if judgement.is_decided:
            doubt = judgement.map_error.sum() + judgement.logits_error.max()
            assert abs(judgement.map.sum() - judgement.logits.max()) <= doubt


@pytest.mark.parametrize("rule", [Flat(), WSquare(), ZBox(-2, 2), AlphaBeta(2, 1, "none")], ids=repr)
def test_rules_without_bias__keep_all_relevance(rule: Rule):
    """Two layers, every window with weights of both signs."""
    rng = np.random.default_rng(2)
    layers = [Conv("conv", rng.normal(size=(3, 2, 3)), None, (1,), (1, 1)), Flatten()]
    layers.append(Dense("dense", rng.normal(size=(15, 2)), np.array([0.5, -3.0])))
    logits, heat = relevance(layers, rng.normal(size=(2, 5)), 0, lambda _: rule)
    np.testing.assert_allclose(heat.sum(), logits[0])


def test_z__equals_input_times_gradient():
    """Without a scaling, and with generic numbers: no neuron may be exactly zero."""
    n_compared = 0
    for seed in range(80):
        network, _ = drawn(seed)
        layers = [layer for layer in network.layers if not isinstance(layer, Scale)]
        x = np.random.default_rng(seed).normal(size=network.input_shape)
        trace = traced(layers, x)
        ours = judged(trace, -1, lambda _: Z())
        others = judged(trace, -1, lambda _: Gradient(times_input=True))
        if ours.is_decided and others.is_decided and not network.on_grid:
            doubt = 1e-9 * np.abs(others.map).max() + ours.map_error
            assert (np.abs(ours.map - others.map) <= doubt).all()
            n_compared += 1
    assert n_compared > 20


def test_gradient__equals_finite_differences():
    """The logit is linear between two kinks, so that a central difference is its slope."""
    step, n_compared = 1e-4, 0
    for seed in range(40):
        network, _ = drawn(seed)
        x = np.random.default_rng(seed).normal(size=network.input_shape)
        logits, slope = relevance(network.layers, x, 0, lambda _: Gradient())
        moves = step * np.eye(x.size).reshape(-1, *x.shape)
        states = np.concatenate([x + moves, x - moves])
        for layer in network.layers:
            states = algebra.batch_applied(layer, states)
        above, below = np.split(states[:, 0], 2)
        is_straight = np.abs(above + below - 2 * logits[0]) < 1e-11
        difference = ((above - below) / (2 * step)).reshape(x.shape) - slope
        assert np.abs(difference[is_straight.reshape(x.shape)]).max(initial=0) < 1e-7 * max(
            1, np.abs(slope).max()
        )
        n_compared += is_straight.mean()
    assert n_compared > 0.9 * 40


def test_judged__an_exact_tie_is_decided_and_a_rounded_one_is_not():
    pool = [MaxPool((2,)), Flatten(), dense([1.0])]
    rules = {0: Z(), 1: Z(), 2: Z(), 3: Z()}
    ones = Conv("sums", np.ones((1, 1, 2)))
    assert judged(traced([ones, *pool], np.array([[0.25, 0.5, 0.25]])), 0, rules).is_decided
    assert not judged(traced([ones, *pool], np.array([[0.1, 0.2, 0.1]])), 0, rules).is_decided


def test_judged__an_exact_zero_is_decided_and_a_rounded_one_is_not():
    layers = [Dense("sum", np.ones((3, 1))), Dense("behind", np.ones((1, 1)), np.ones(1))]
    rules = {0: Z(), 1: Flat()}
    exact = judged(traced(layers, np.array([0.25, 0.5, -0.75])), 0, rules)
    assert exact.is_decided
    np.testing.assert_allclose(exact.map, [2.5e6, 5e6, -7.5e6])
    assert not judged(traced(layers, np.array([0.1, 0.2, -0.3])), 0, rules).is_decided


# --- other runtimes -----------------------------------------------------------------------------------------


def test_onnx_model__means_the_same_everywhere():
    """150 networks: onnxruntime in float32 and the evaluator in float64 give the algebra's logits."""
    for seed in range(150):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        x = draw_inputs(rng, network, 2, INPUT_KINDS[seed % len(INPUT_KINDS)])
        batch = "batch" if seed % 4 else 2
        options = {
            "opset": 11 + seed % 8,
            "style": STYLES[seed % len(STYLES)],
            "softmax": False,
            "batch": batch,
        }
        doubles, singles = (network.model(dtype=dtype, **options) for dtype in (np.float64, np.float32))
        onnx.checker.check_model(singles, full_check=True)
        (found,) = onnxruntime_outputs(singles, {"input": x.astype(np.float32)})
        exact = evaluate(doubles, {"input": x})["logits"]
        assert exact.dtype == np.float64
        for sample, *logits in zip(x, exact, found, strict=True):
            for precision, values in zip((algebra.DOUBLE, algebra.SINGLE), logits, strict=True):
                trace = traced(network.layers, sample, precision=precision)
                assert (np.abs(values - trace.logits) <= trace.logits_error).all()


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18])
def test_onnx_model__ends_in_probabilities(opset: int):
    rng = np.random.default_rng(0)
    network = random_network(rng)
    x = draw_inputs(rng, network, 3)
    (logits,) = onnxruntime_outputs(network.model(softmax=False), {"input": x.astype(np.float32)})
    (probabilities,) = onnxruntime_outputs(network.model(opset=opset), {"input": x.astype(np.float32)})
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "pool", [MaxPool((1,), (3,), (0, 0), True), AveragePool((1,), (3,), (0, 0), True, True)]
)
def test_ceil_mode__no_window_starts_beyond_the_input(pool: MaxPool | AveragePool):
    """Random networks leave this out: onnx infers one window more than onnxruntime makes."""
    layers = [pool, GlobalAveragePool(), Flatten(), Dense("dense", np.array([[1.0, -2.0]]))]
    network = Network(tuple(layers), (1, 5), on_grid=True)
    x = np.array([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
    expected = [[2.5, -5.0]]
    for dtype in (np.float32, np.float64):
        model = network.model(dtype=dtype, softmax=False)
        run = onnxruntime_outputs(model, {"input": x.astype(dtype)})[0] if dtype is np.float32 else None
        found = evaluate(model, {"input": x.astype(dtype)})["logits"] if run is None else run
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(relevance(layers, x[0], 0, lambda _: Z())[0], expected[0])


def one_node(
    op: str, feeds: dict[str, np.ndarray], n_outputs: int, opset: int, **attributes
) -> onnx.ModelProto:
    types = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}
    outputs = [f"out_{number}" for number in range(n_outputs)]
    kinds = [TensorProto.FLOAT, TensorProto.INT64]
    graph = helper.make_graph(
        [helper.make_node(op, list(feeds), outputs, **attributes)],
        "node",
        [helper.make_tensor_value_info(name, types[x.dtype], x.shape) for name, x in feeds.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(outputs, kinds, strict=False)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def sliding(rng: np.random.Generator, n_axes: int) -> dict[str, list[int]]:
    """Attributes of a window whose taps all lie closer to the input than its padding is wide."""
    shape = [int(size) for size in rng.integers(1, 4, n_axes)]
    pads = [int(rng.integers(0, shape[place % n_axes])) for place in range(2 * n_axes)]
    strides = [int(stride) for stride in rng.integers(1, 4, n_axes)]
    return {"kernel_shape": shape, "pads": pads, "strides": strides}


def convolved(rng: np.random.Generator, n_axes: int, op: str) -> tuple[dict, dict, int]:
    attributes, groups = sliding(rng, n_axes), int(rng.integers(1, 4))
    attributes |= {"dilations": [int(step) for step in rng.integers(1, 3, n_axes)], "group": groups}
    n_in, n_out = groups * int(rng.integers(1, 3)), groups * int(rng.integers(1, 3))
    outer = (n_in, n_out // groups) if op == "ConvTranspose" else (n_out, n_in // groups)
    if op == "ConvTranspose":
        attributes["output_padding"] = [int(rng.integers(0, stride)) for stride in attributes["strides"]]
    shapes = {
        "x": (2, n_in, *rng.integers(5, 8, n_axes)),
        "w": (*outer, *attributes["kernel_shape"]),
        "b": (n_out,),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}, attributes, 1


def pooled(rng: np.random.Generator, n_axes: int, op: str) -> tuple[dict, dict, int]:
    attributes = sliding(rng, n_axes) | {"ceil_mode": int(rng.integers(0, 2))}
    x = rng.integers(-3, 4, (2, 3, *rng.integers(5, 8, n_axes))).astype(np.float32)
    if op == "AveragePool":
        return {"x": x}, attributes | {"count_include_pad": int(rng.integers(0, 2))}, 1
    if rng.random() < 0.5:
        attributes |= {"dilations": [2] * n_axes, "pads": [0] * 2 * n_axes}
    return {"x": x}, attributes, 2


def element_wise(rng: np.random.Generator, n_axes: int, op: str) -> tuple[dict, dict, int]:
    shape, axis = rng.integers(2, 5, n_axes + 1), int(rng.integers(0, n_axes + 1))
    data = rng.normal(size=shape).astype(np.float32)
    n_indices = np.where(np.arange(n_axes + 1) == axis, rng.integers(1, 8), shape)
    indices = rng.integers(-shape[axis], shape[axis], n_indices)
    if op == "GatherElements":
        return {"data": data, "indices": indices}, {"axis": axis}, 1
    updates = rng.normal(size=indices.shape).astype(np.float32)
    reduction = ["add", "mul"][int(rng.integers(0, 2))]
    return {"data": data, "indices": indices, "updates": updates}, {"axis": axis, "reduction": reduction}, 1


def one_hot(rng: np.random.Generator, n_axes: int, op: str) -> tuple[dict, dict, int]:
    """Indices on both sides of what is allowed: beyond it nothing is hot."""
    feeds = {
        "indices": rng.integers(-6, 6, (7,) * n_axes),
        "depth": np.array([4]),
        "values": np.float32([0, 1]),
    }
    return feeds, {"axis": int(rng.integers(-1, n_axes + 1))}, 1


@pytest.mark.parametrize(
    ("op", "draw"),
    [
        ("Conv", convolved),
        ("ConvTranspose", convolved),
        ("MaxPool", pooled),
        ("AveragePool", pooled),
        ("ScatterElements", element_wise),
        ("GatherElements", element_wise),
        ("OneHot", one_hot),
    ],
)
def test_evaluate__operators_equal_onnxruntime(op: str, draw):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        feeds, attributes, n_outputs = draw(rng, 1 + seed % 2, op)
        model = one_node(op, feeds, n_outputs, 16 + 2 * (seed % 2), **attributes)
        found = evaluate(model, feeds)
        for values, expected in zip(found.values(), onnxruntime_outputs(model, feeds), strict=True):
            assert values.dtype == expected.dtype
            np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", ["GatherElements", "ScatterElements"])
def test_evaluate__refuses_indices_beyond_the_axis(op: str):
    feeds = {"data": np.zeros(3, np.float32), "indices": np.array([3])}
    feeds |= {"updates": np.ones(1, np.float32)} if op == "ScatterElements" else {}
    with pytest.raises(IndexError, match="axis of 3"):
        evaluate(one_node(op, feeds, 1, 18), feeds)
