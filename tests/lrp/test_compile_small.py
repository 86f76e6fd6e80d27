"""Compiled relevance of small random networks against explicit matrices, for every rule and composite."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, event, given, settings, strategies
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

from tests.lrp import algebra
from tests.lrp.algebra import (
    COMPOSITIONS,
    DOUBLE,
    SINGLE,
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalAveragePool,
    Judgement,
    MaxPool,
    Relu,
    Scale,
    Transpose,
    batch_relevance,
    judged,
    linears_of,
    traced,
)
from tests.lrp.evaluate import evaluate
from tests.lrp.graphs import INPUT_KINDS, STYLES, Network, draw_inputs, networks, random_network, single
from toolkit.lrp import rules
from toolkit.lrp.compiler import compile_relevance
from toolkit.lrp.composites import COMPOSITES, Composite, Condition

PAIRS = {
    "z": (rules.Z(), algebra.Z()),
    "epsilon": (rules.Epsilon(0.05), algebra.Epsilon(0.05)),
    "epsilon_small": (rules.Epsilon(1e-6), algebra.Epsilon(1e-6)),
    "gamma": (rules.Gamma(), algebra.Gamma()),
    "gamma_large": (rules.Gamma(2.0, 0.01), algebra.Gamma(2.0, 0.01)),
    "alpha_beta": (rules.AlphaBeta(1, 0), algebra.AlphaBeta(1, 0)),
    "alpha_beta_2": (rules.AlphaBeta(2, 1), algebra.AlphaBeta(2, 1)),
    "alpha_beta_none": (rules.AlphaBeta(2, 1, "none"), algebra.AlphaBeta(2, 1, "none")),
    "alpha_beta_split": (rules.AlphaBeta(3, 2, "split"), algebra.AlphaBeta(3, 2, "split")),
    "alpha_beta_stable": (rules.AlphaBeta(2, 1, "split", 1e-4), algebra.AlphaBeta(2, 1, "split", 1e-4)),
    "alpha_beta_full_stable": (
        rules.AlphaBeta(1.5, 0.5, "full", 0.1),
        algebra.AlphaBeta(1.5, 0.5, "full", 0.1),
    ),
    "z_plus": (rules.ZPlus(), algebra.AlphaBeta(1, 0, "none")),
    "w_square": (rules.WSquare(), algebra.WSquare()),
    "flat": (rules.Flat(), algebra.Flat()),
    "z_box": (rules.ZBox(-1.5, 2.0), algebra.ZBox(-1.5, 2.0)),
    "z_box_positive": (rules.ZBox(0.0, 1.0), algebra.ZBox(0.0, 1.0)),
}
"""One rule as the compiler and as the judge know it. `pass` and `gradient` have tests of their own."""
POOL_PAIRS = {name: PAIRS[name] for name in ("z", "epsilon", "epsilon_small")}
CPU = ["CPUExecutionProvider"]
QUICK = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
LONG = settings(QUICK, max_examples=500)


# --- one case, judged ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Case:
    """A network as it is written, its inputs and targets, composites and what the judge takes them for."""

    network: Network
    x: np.ndarray
    targets: np.ndarray
    composites: dict[str, tuple[str | Composite, algebra.Rules]]
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.network!r}\n{self.x!r}\n{self.targets!r}, {self.options}, {list(self.composites)}"

    def compiled(self, dtype: type) -> onnx.ModelProto:
        model = self.network.model(dtype=dtype, **self.options)
        return compile_relevance(model, [composite for composite, _ in self.composites.values()])

    def feeds(self, dtype: type) -> dict[str, np.ndarray]:
        return {"input": self.x.astype(dtype), "target": self.targets}


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray], **attributes: Any) -> dict[str, np.ndarray]:
    """All outputs of onnxruntime by name; attributes are those of its session's options."""
    options = onnxruntime.SessionOptions()
    for name, value in {"intra_op_num_threads": 1, **attributes}.items():
        setattr(options, name, value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=CPU)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def registered(network: Network) -> dict[str, tuple[str, algebra.Rules]]:
    return {name: (name, algebra.composition(name, network.layers)) for name in COMPOSITES}


def everywhere(name: str, network: Network) -> tuple[Composite, algebra.Rules]:
    """One rule for all layers with weights; average pools keep theirs."""
    ours, judge = PAIRS[name]
    chosen = {i: judge for i, layer in enumerate(network.layers) if isinstance(layer, algebra.KERNEL_LAYERS)}
    return Composite(f"test.{name}", ((Condition(), ours),)), chosen


def mixed(names: Sequence[str], network: Network, pool: str) -> tuple[Composite, algebra.Rules]:
    """A rule of its own for every layer with weights, found by the layer's name; one for average pools."""
    weighted = [i for i, layer in enumerate(network.layers) if isinstance(layer, algebra.KERNEL_LAYERS)]
    given_to = dict(zip(weighted, names, strict=False))
    choices = [(Condition(name=network.layers[i].name), PAIRS[name][0]) for i, name in given_to.items()]
    choices.append((Condition(kind="average_pool"), POOL_PAIRS[pool][0]))
    pools = {i: POOL_PAIRS[pool][1] for i, layer in enumerate(network.layers) if _is_average(layer)}
    return Composite("test.mixed", tuple(choices)), {**pools, **{i: PAIRS[n][1] for i, n in given_to.items()}}


def _is_average(layer: algebra.Layer) -> bool:
    return isinstance(layer, AveragePool | GlobalAveragePool)


Judged = tuple[str, int, Judgement]
"""Name of the output, number of the sample, and what the judge says of it."""


def judgements(case: Case, precision: algebra.Precision) -> Iterator[Judged]:
    """Every composite and sample, judged."""
    linears = linears_of(case.network.layers, case.network.input_shape)
    for place, (x, target) in enumerate(zip(case.x, case.targets, strict=True)):
        trace = traced(case.network.layers, x, linears, precision)
        for composite, chosen in case.composites.values():
            output = f"relevance.{composite if isinstance(composite, str) else composite.name}"
            yield output, place, judged(trace, int(target), chosen)


def assert_judged(expected: Iterable[Judged], found: dict[str, np.ndarray], tolerance: float) -> int:
    """Compare every map that rounding leaves no doubt of; return how many those were.

    The map must be within `tolerance` of its own largest magnitude, and within the judge's bound of every cell.
    """
    n_bound = 0
    for output, place, judgement in expected:
        logits, heat = found["logits"][place], found[output][place]
        assert (np.abs(logits - judgement.logits) <= judgement.logits_error).all(), output
        if judgement.binds(tolerance):
            difference = np.abs(heat - judgement.map)
            assert difference.max() <= tolerance * np.abs(judgement.map).max(), output
            assert (difference <= judgement.map_error).all(), output
            n_bound += 1
    return n_bound


@strategies.composite
def cases(draw: Any, kind: str) -> Case:
    """Networks written in every way; `kind` says what composites: registered, rules everywhere, or mixed."""
    network = draw(networks())
    rng = np.random.default_rng(draw(strategies.integers(0, 1000)))
    x = draw_inputs(rng, network, 2, draw(strategies.sampled_from(INPUT_KINDS)))
    targets = draw(strategies.lists(strategies.integers(-1, network.n_classes - 1), min_size=2, max_size=2))
    if kind == "registered":
        composites: dict = registered(network)
    elif kind == "everywhere":
        composites = {name: everywhere(name, network) for name in PAIRS}
    else:
        names = draw(strategies.lists(strategies.sampled_from(list(PAIRS)), min_size=6, max_size=6))
        composites = {"mixed": mixed(names, network, draw(strategies.sampled_from(list(POOL_PAIRS))))}
    options = {
        "opset": draw(strategies.integers(11, 18)),
        "style": draw(strategies.sampled_from(STYLES)),
        "softmax": draw(strategies.booleans()),
    }
    return Case(network, x, np.array(targets), composites, options)


def check_doubles(case: Case) -> None:
    model = case.compiled(np.float64)
    onnx.checker.check_model(model, full_check=True)
    found = evaluate(model, case.feeds(np.float64))
    assert all(values.dtype == np.float64 for values in found.values())
    event(f"bound: {assert_judged(judgements(case, DOUBLE), found, 1e-9) > 0}")


def check_singles(case: Case) -> None:
    found = run(case.compiled(np.float32), case.feeds(np.float32))
    assert all(values.dtype == np.float32 for values in found.values())
    event(f"bound: {assert_judged(judgements(case, SINGLE), found, 1e-2) > 0}")


KINDS = ("registered", "everywhere", "mixed")


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(strategies.data())
def test_compile__float64_equals_explicit_matrices(kind: str, data):
    check_doubles(data.draw(cases(kind)))


@pytest.mark.parametrize("kind", KINDS)
@QUICK
@given(strategies.data())
def test_compile__float32_equals_explicit_matrices(kind: str, data):
    check_singles(data.draw(cases(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@LONG
@given(strategies.data())
def test_compile__float64_equals_explicit_matrices_on_many_networks(kind: str, data):
    check_doubles(data.draw(cases(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@LONG
@given(strategies.data())
def test_compile__float32_equals_explicit_matrices_on_many_networks(kind: str, data):
    check_singles(data.draw(cases(kind)))


# --- what there is ------------------------------------------------------------------------------------------


def test_composites__each_is_judged():
    assert set(COMPOSITES) == set(COMPOSITIONS)


def test_rules__each_is_judged():
    kinds = {type(ours) for ours, _ in PAIRS.values()} | {rules.Pass, rules.Gradient}
    assert set(rules.RULES.values()) == kinds


def test_composites__the_judge_can_tell_them_apart():
    """For any two, networks on which they differ by more than a test would forgive."""
    apart = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        x = draw_inputs(rng, network, 1, "normal")
        maps = {
            name: batch_relevance(network.layers, x, [0], algebra.composition(name, network.layers))[1]
            for name in COMPOSITES
        }
        for one, other in combinations(COMPOSITES, 2):
            if np.abs(maps[one] - maps[other]).max() > 1e-8 * max(np.abs(maps[one]).max(), 1e-300):
                apart.add((one, other))
    assert apart == set(combinations(COMPOSITES, 2))


# --- single rules and conditions ----------------------------------------------------------------------------


def simple(*layers: algebra.Layer, input_shape: algebra.Shape) -> Network:
    return Network(layers, input_shape, on_grid=False)


def convolutional() -> Network:
    """Convolutions that keep the shape, an overlapping pool, two dense layers; biases of both signs."""
    rng = np.random.default_rng(17)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return single(scale * rng.normal(size=shape))

    layers = [
        Conv("block/conv_1", normal(2, 2, 3, 3), normal(2, scale=0.5), pads=(1, 1, 1, 1)),
        Relu(),
        Conv("block/conv_2", normal(2, 2, 3, 3), normal(2, scale=0.5), pads=(1, 1, 1, 1)),
        Relu(),
        MaxPool((3, 3), (2, 2), (0, 0, 1, 1)),
        Flatten(),
        Dense("dense_1", normal(18, 12, scale=0.25), normal(12, scale=0.5)),
        Relu(),
        Dense("dense_2", normal(12, 3), normal(3, scale=0.5)),
    ]
    return simple(*layers, input_shape=(2, 6, 6))


def single_case(network: Network, ours: Composite, judge: algebra.Rules, n_samples: int = 4) -> Case:
    x = draw_inputs(np.random.default_rng(0), network, n_samples, "normal")
    return Case(network, x, np.arange(n_samples) % (network.n_classes + 1) - 1, {"one": (ours, judge)}, {})


def assert_all_judged(case: Case) -> None:
    """In both precisions; in float32 a map in four may be left out, for a denominator near zero."""
    n_maps = len(case.x) * len(case.composites)
    found = evaluate(case.compiled(np.float64), case.feeds(np.float64))
    assert assert_judged(judgements(case, DOUBLE), found, 1e-9) == n_maps
    found = run(case.compiled(np.float32), case.feeds(np.float32))
    assert assert_judged(judgements(case, SINGLE), found, 1e-2) >= 0.75 * n_maps


CONDITIONS = {
    "kind": ((Condition(kind="convolution"), Condition()), (0, 2)),
    "position": ((Condition(position=0), Condition()), (0,)),
    "position_from_the_end": ((Condition(position=-1), Condition()), (8,)),
    "name": ((Condition(name="conv_2"), Condition()), (2,)),
    "glob": ((Condition(name="block/*"), Condition()), (0, 2)),
    "all_at_once": ((Condition("dense", 2, "dense_*"), Condition()), (6,)),
    "never": ((Condition("dense", 0), Condition()), ()),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions__the_first_that_holds_gives_the_rule(name: str):
    """Gamma where it holds, epsilon elsewhere."""
    (first, last), places = CONDITIONS[name]
    ours = Composite("test.own", ((first, PAIRS["gamma"][0]), (last, PAIRS["epsilon"][0])))
    chosen = {place: PAIRS["gamma" if place in places else "epsilon"][1] for place in (0, 2, 6, 8)}
    assert_all_judged(single_case(convolutional(), ours, chosen))


def test_pass__hands_relevance_through_layers_of_equal_shape():
    ours = Composite("test.pass", ((Condition(kind="convolution"), rules.Pass()), (Condition(), rules.Z())))
    chosen = {0: algebra.Pass(), 2: algebra.Pass(), 6: algebra.Z(), 8: algebra.Z()}
    assert_all_judged(single_case(convolutional(), ours, chosen))


def test_z_box__bounds_may_be_whole_numbers():
    ours = Composite("test.box", ((Condition(position=0), rules.ZBox(-2, 1)), (Condition(), rules.Z())))
    chosen = {0: algebra.ZBox(-2, 1), 2: algebra.Z(), 6: algebra.Z(), 8: algebra.Z()}
    assert_all_judged(single_case(convolutional(), ours, chosen))


def test_alpha_beta__innvestigate_issue_273():
    """The compiler divides by the same exact zero, and by the same 1e-7 in its place."""
    network = simple(Dense("dense", np.array([[1.0, 0], [-1, 0]]), np.array([-1.0, 0])), input_shape=(2,))
    names = ["lrp.alpha_1_beta_0", "lrp.alpha_2_beta_1"]
    model = compile_relevance(network.model(), names)
    found = run(model, {"input": np.ones((1, 2), np.float32), "target": np.array([0])})
    np.testing.assert_allclose(found["relevance.lrp.alpha_1_beta_0"], [[-1e7, 0]], rtol=1e-6)
    np.testing.assert_allclose(found["relevance.lrp.alpha_2_beta_1"], [[-2e7, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("behind", ["flat", "w_square"])
@pytest.mark.parametrize("middle", [(), (Relu(),)], ids=["linear", "relu"])
@pytest.mark.parametrize("name", PAIRS)
def test_rules__outputs_that_are_exactly_zero(name: str, middle: tuple, behind: str):
    """A layer behind sends them relevance: zero counts as positive, and 1e-7 stands in for it without epsilon.

    The columns make zeros of opposite numbers, of no weights, and of a bias; others make none.
    """
    kernel = np.array([[1, 1, 2, 0, 0.5, 1], [-1, 1, -1, 0, 0.5, 0], [0, 0, -0.5, 0, -1, 1]])
    first = Dense("first", kernel, np.array([0, 0.5, -0.5, 0, 0, -2]))
    last = Dense("last", np.array([[1, -2], [0.5, 1], [2, 1], [1, 1], [-1, 2], [1, 0.5]]), np.array([1.0, 2.0]))
    network = simple(first, *middle, last, input_shape=(3,))
    x = np.array([[1, 1, 2], [1, 1, 1], [0, 0, 0], [-1, -1, 0], [2, 1, 1.5], [0.5, -0.5, 0]])
    composites = {"mixed": mixed([name, behind], network, "z")}
    case = Case(network, x, np.array([0, 1, 0, 1, 0, 1]), composites, {})
    assert_all_judged(case)


@pytest.mark.parametrize("kind", ["levels", "constant", "zeros"])
@pytest.mark.parametrize("pool", [MaxPool((3, 3), (2, 2), (0, 0, 1, 1)), MaxPool((2, 3), (1, 2), (1, 1, 0, 1))])
def test_max_pool__exact_ties_in_overlapping_windows(kind: str, pool: MaxPool):
    """Few levels and whole weights: sums are exact, and so are ties. No map may be left out."""
    rng = np.random.default_rng(5)
    conv = Conv("conv", rng.integers(-1, 2, (3, 2, 2, 2)).astype(float), np.array([0.5, -0.5, 0.0]))
    shape = algebra.output_shapes([conv, pool], (2, 6, 6))[-1]
    dense = Dense("dense", rng.integers(-2, 3, (int(np.prod(shape)), 3)) / 2, np.array([1.0, -1.0, 0.0]))
    network = simple(conv, Relu(), pool, Flatten(), dense, input_shape=(2, 6, 6))
    case = Case(network, draw_inputs(rng, network, 3, kind), np.arange(3), registered(network), {})
    expected = list(judgements(case, SINGLE))
    levels = onnxruntime.GraphOptimizationLevel
    for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
        found = run(case.compiled(np.float32), case.feeds(np.float32), graph_optimization_level=level)
        assert assert_judged(expected, found, 1e-2) == len(expected)


# --- laws, without the judge --------------------------------------------------------------------------------

HOMOGENEOUS = (
    "lrp.z",
    "lrp.w_square",
    "lrp.flat",
    "lrp.z_plus",
    "lrp.alpha_1_beta_0",
    "lrp.alpha_2_beta_1",
    "gradient",
)


@pytest.mark.parametrize("factor", [2.0, 0.25])
def test_compile__is_linear_in_the_seed(factor: float):
    """With the last layer's weights and bias, its logits and all maps grow; nothing else in them changes."""
    network = convolutional()
    last = network.layers[-1]
    larger = replace(last, kernel=factor * last.kernel, bias=factor * last.bias)
    grown = replace(network, layers=(*network.layers[:-1], larger))
    feeds = {
        "input": draw_inputs(np.random.default_rng(8), network, 3, "normal"),
        "target": np.array([0, 1, 2]),
    }
    one, other = (
        evaluate(compile_relevance(n.model(dtype=np.float64), HOMOGENEOUS), feeds) for n in (network, grown)
    )
    for name, values in one.items():
        np.testing.assert_allclose(other[name], factor * values, rtol=1e-9, atol=1e-12 * np.abs(values).max())


@pytest.mark.parametrize("name", ["lrp.z", "lrp.epsilon", "input_t_gradient"])
def test_compile__without_bias_relevance_is_conserved(name: str):
    """By lrp.epsilon up to its 1e-7; input times gradient of a homogeneous function sums to it."""
    for seed in range(15):
        rng = np.random.default_rng(seed)
        network = random_network(rng).without_bias()
        if name == "input_t_gradient":
            network = replace(network, layers=tuple(x for x in network.layers if not isinstance(x, Scale)))
        model = compile_relevance(network.model(dtype=np.float64), [name])
        feeds = {"input": draw_inputs(rng, network, 3, "normal"), "target": np.array([0, 1, -1])}
        found = evaluate(model, feeds)
        sums = found[f"relevance.{name}"].reshape(3, -1).sum(axis=1)
        expected = [found["logits"][0, 0], found["logits"][1, 1], found["logits"][2].max()]
        np.testing.assert_allclose(sums, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["lrp.flat", "lrp.w_square", "lrp.z_plus"])
def test_compile__rules_without_bias_conserve_in_spite_of_it(name: str):
    """Here every window has some positive part, and weights."""
    network = convolutional()
    model = compile_relevance(network.model(dtype=np.float64), [name])
    feeds = {
        "input": draw_inputs(np.random.default_rng(8), network, 3, "normal"),
        "target": np.array([0, 1, 2]),
    }
    found = evaluate(model, feeds)
    sums = found[f"relevance.{name}"].reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(sums, np.diag(found["logits"]), rtol=1e-9)


def test_compile__a_sample_does_not_depend_on_its_batch():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        network = random_network(rng)
        x, targets = draw_inputs(rng, network, 3, "normal"), np.array([-1, 0, 1])
        model = compile_relevance(network.model(dtype=np.float64), list(COMPOSITES))
        together = evaluate(model, {"input": x, "target": targets})
        for place in range(3):
            alone = evaluate(model, {"input": x[place : place + 1], "target": targets[place : place + 1]})
            for name, values in alone.items():
                np.testing.assert_allclose(values[0], together[name][place], rtol=1e-9, atol=1e-11)


def test_compile__an_empty_batch_has_no_maps():
    network = convolutional()
    model = compile_relevance(network.model(), ["lrp.epsilon", "gradient"])
    found = run(model, {"input": np.zeros((0, 2, 6, 6), np.float32), "target": np.zeros(0, np.int64)})
    assert found["relevance.lrp.epsilon"].shape == (0, 2, 6, 6)
    assert found["logits"].shape == (0, 3)


# --- targets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPOSITES)
def test_targets__minus_one_is_the_largest_logit(name: str):
    network = convolutional()
    x = draw_inputs(np.random.default_rng(8), network, 8, "normal").astype(np.float32)
    model = compile_relevance(network.model(), [name])
    found = run(model, {"input": x, "target": np.full(8, -1)})
    largest = found["logits"].argmax(axis=1)
    assert len(set(largest)) > 1
    named = run(model, {"input": x, "target": largest})
    np.testing.assert_array_equal(named[f"relevance.{name}"], found[f"relevance.{name}"])
    other = run(model, {"input": x, "target": (largest + 1) % 3})
    differs = np.abs(other[f"relevance.{name}"] - found[f"relevance.{name}"]).reshape(8, -1).max(axis=1) > 0
    assert differs.all()


def test_targets__of_equal_logits_the_first_is_the_largest():
    kernel = np.array([[1.0, 2.0, 2.0], [0.5, 1.0, 1.0]])
    network = simple(Dense("dense", kernel, np.array([0.0, 0.0, 0.0])), input_shape=(2,))
    kernel[:, 2] = [1.0, 3.0]
    model = compile_relevance(network.model(), ["lrp.z", "gradient"])
    found = run(model, {"input": np.array([[2.0, 1.0], [1.0, 0.5]], np.float32), "target": np.array([-1, -1])})
    np.testing.assert_array_equal(found["logits"][:, 1], found["logits"][:, 2])
    np.testing.assert_array_equal(found["relevance.gradient"], [[2, 1], [2, 1]])
    np.testing.assert_array_equal(found["relevance.lrp.z"], [[4, 1], [2, 0.5]])


@pytest.mark.parametrize("target", [-2, 3, 4, -100, 2**40])
@pytest.mark.parametrize("name", COMPOSITES)
def test_targets__outside_the_classes_are_an_error(name: str, target: int):
    """Also as one of several."""
    network = convolutional()
    model = compile_relevance(network.model(), [name])
    feeds = {"input": np.ones((3, 2, 6, 6), np.float32), "target": np.array([0, target, -1])}
    with pytest.raises((Fail, InvalidArgument), match=r"Out of range|out of range|bounds"):
        run(model, feeds, log_severity_level=4)


# --- how a classifier may be written ------------------------------------------------------------------------


def test_compile__takes_a_model_its_bytes_or_its_file(tmp_path: Path):
    proto = convolutional().model()
    path = tmp_path / "classifier.onnx"
    path.write_bytes(proto.SerializeToString())
    names = ["lrp.epsilon", "lrp.sequential_preset_a_flat"]
    results = {
        compile_relevance(model, names).SerializeToString() for model in (proto, path, path.read_bytes(), proto)
    }
    assert len(results) == 1


@pytest.mark.parametrize("batch", ["batch", "N", 3])
@pytest.mark.parametrize("opset", range(11, 19))
def test_compile__any_opset_and_batch(opset: int, batch: str | int):
    network = convolutional()
    x = draw_inputs(np.random.default_rng(8), network, 3, "normal")
    case = Case(network, x, np.array([0, -1, 2]), registered(network), {"opset": opset, "batch": batch})
    model = case.compiled(np.float32)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["input", "target"]
    assert [value.name for value in model.graph.output] == [
        "logits",
        *(f"relevance.{name}" for name in COMPOSITES),
    ]
    assert assert_judged(judgements(case, SINGLE), run(model, case.feeds(np.float32)), 1e-2) == 3 * len(
        COMPOSITES
    )


def test_compile__does_not_change_its_argument():
    proto = convolutional().model()
    before = proto.SerializeToString()
    compile_relevance(proto, list(COMPOSITES))
    assert proto.SerializeToString() == before


def test_compile__composites_do_not_depend_on_their_neighbours():
    """Whatever is shared between them, each gives what it gives alone."""
    network = convolutional()
    x = draw_inputs(np.random.default_rng(8), network, 3, "normal")
    feeds = {"input": x, "target": np.array([0, 1, 2])}
    proto = network.model(dtype=np.float64)
    together = evaluate(compile_relevance(proto, list(COMPOSITES)), feeds)
    for name in COMPOSITES:
        alone = evaluate(compile_relevance(proto, [name]), feeds)
        np.testing.assert_array_equal(alone[f"relevance.{name}"], together[f"relevance.{name}"])


@pytest.mark.parametrize("pool", [MaxPool((1,), (3,), (0, 0), True), AveragePool((2,), (5,), (0, 0), True)])
def test_compile__no_window_starts_beyond_the_input(pool: MaxPool | AveragePool):
    """onnx infers one window more than there is; where nothing depends on it, relevance must not either."""
    conv = Conv("conv", np.array([[[1.0, -0.5]], [[0.5, 1.0]]]), np.array([0.25, -0.25]))
    dense = Dense("dense", np.array([[1.0, -2.0], [0.5, 1.0]]))
    network = simple(conv, pool, GlobalAveragePool(), Flatten(), dense, input_shape=(1, 6))
    x = draw_inputs(np.random.default_rng(8), network, 4, "normal")
    assert_all_judged(Case(network, x, np.array([0, 1, -1, 0]), registered(network), {}))


def test_compile__a_dilated_pool_in_ceil_mode():
    """Its last window reaches two cells beyond the input; onnxruntime takes no pads as wide as the kernel."""
    conv = Conv("conv", np.array([[[1.0, -0.5]], [[0.5, 1.0]]]), np.array([0.25, -0.25]))
    dense = Dense("dense", np.arange(12.0).reshape(6, 2) - 5)
    layers = (conv, MaxPool((2,), (3,), (1, 0), True, (2,)), Flatten(), dense)
    network = simple(*layers, input_shape=(1, 7))
    x = draw_inputs(np.random.default_rng(8), network, 4, "normal")
    assert_all_judged(Case(network, x, np.array([0, 1, -1, 0]), registered(network), {}))


# --- a network of real depth --------------------------------------------------------------------------------


def deep(size: int, n_channels: Sequence[int]) -> Network:
    """Three pairs of valid 3x3 convolutions, each before a SAME pool 3x3/2, channels last, two dense layers."""
    rng, layers, shape = np.random.default_rng(9), [], (3, size, size)
    for place, n_out in enumerate(n_channels):
        kernel = rng.normal(size=(n_out, shape[0], 3, 3)) * (2 / (9 * shape[0])) ** 0.5
        step = [Conv(f"conv_{place + 1}", single(kernel), single(0.1 * rng.normal(size=n_out))), Relu()]
        if place % 2:
            sizes = algebra.output_shapes(step, shape)[-1][1:]
            total = [(-(-cells // 2) - 1) * 2 + 3 - cells for cells in sizes]
            step.append(
                MaxPool((3, 3), (2, 2), (total[0] // 2, total[1] // 2, -(-total[0] // 2), -(-total[1] // 2)))
            )
        layers, shape = [*layers, *step], algebra.output_shapes(step, shape)[-1]
    n_cells = int(np.prod(shape))
    hidden = Dense(
        "dense_1", single(rng.normal(size=(n_cells, 32)) * (2 / n_cells) ** 0.5), single(rng.normal(size=32))
    )
    last = Dense("dense_2", single(rng.normal(size=(32, 10)) / 4), single(rng.normal(size=10)))
    return Network((*layers, Transpose((1, 2, 0)), Flatten(), hidden, Relu(), last), (3, size, size), False)


def assert_deep(network: Network, n_samples: int) -> None:
    """Against the judge's second path. Half of the input is constant, as behind the end of a short clip."""
    x = single(np.random.default_rng(10).normal(size=(n_samples, *network.input_shape)))
    x[..., network.input_shape[2] // 2 :] = -1.0
    targets = np.arange(n_samples) % 11 - 1
    model = compile_relevance(network.model(dtype=np.float64), list(COMPOSITES))
    found = evaluate(model, {"input": x, "target": targets})
    for name in COMPOSITES:
        logits, maps = batch_relevance(network.layers, x, targets, algebra.composition(name, network.layers))
        np.testing.assert_allclose(found["logits"], logits, rtol=1e-9, atol=1e-12)
        largest = np.abs(maps).reshape(n_samples, -1).max(axis=1)
        difference = np.abs(found[f"relevance.{name}"] - maps).reshape(n_samples, -1).max(axis=1)
        assert (difference <= 1e-9 * largest).all(), name


def test_compile__a_network_of_real_depth():
    assert_deep(deep(46, (4, 4, 6, 6, 8, 8)), 2)


@pytest.mark.slow
def test_compile__a_network_of_real_size():
    assert_deep(deep(64, (32, 32, 64, 64, 128, 128)), 3)
