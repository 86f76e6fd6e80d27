"""The innvestigate engine against the rules of layer-wise relevance propagation, written again in float64.

innvestigate needs TensorFlow in graph mode, which cannot be left again: it runs in a process of its own and
leaves its maps in a file. The judge is slow and exact; a single near-tie of a pool moves a map in float32, so
medians are measured and correlation is the floor.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from toolkit.network import architecture, runtime

NEEDS = "{} is not installed here: `pip install 'audio-lrp-toolkit[train]'` on Python 3.11"
EPSILON, FLAT = "lrp.epsilon", "lrp.sequential_preset_a_flat"
COMPOSITES = (EPSILON, FLAT)
N_CLASSES = 10
CONVOLUTIONS = {"conv_1": (3, 32), "conv_2": (32, 64), "conv_3": (64, 64)}
CONVOLUTIONS |= {"conv_4": (64, 64), "conv_5": (64, 128), "conv_6": (128, 128)}
DENSE = {"dense_512": (3200, 512), "dense_out": (512, N_CLASSES)}
POOL_AFTER = {"conv_2": (0, 1), "conv_4": (0, 1), "conv_6": (1, 1)}
"""Convolutions that a 3x3 pool of stride 2 follows, and how 'same' pads it: 60 -> 30, 26 -> 13, 9 -> 5."""
CONSTANT, PADDED = 2, 3
"""Which clip ends in a constant level, and which in silence: there, values tie exactly."""
OTHER_TARGETS = np.array([0, 3, 7, 9])
ENGINE = """
import sys

import numpy as np

from toolkit.errors import ModelError
from toolkit.lrp.engines.innvestigate import InnvestigateExplainer
from toolkit.network import architecture, runtime

runtime.prepare(n_threads=1, eager=False)
given = np.load(sys.argv[1])


def explainer(which):
    def network():
        model = architecture.build(10)
        prefix = f"{which}:"
        names = [name for name in given.files if name.startswith(prefix)]
        architecture.load_weights(model, {name.removeprefix(prefix): given[name] for name in names})
        return model

    return InnvestigateExplainer(network)


def explain(name, one, targets, composites=("lrp.epsilon", "lrp.sequential_preset_a_flat")):
    explanation = one.explain(inputs, targets, composites)
    results[f"{name}:logits"] = explanation.logits
    results.update({f"{name}:{composite}": maps for composite, maps in explanation.relevance.items()})


results = {}
inputs = given["inputs"]
first = explainer("first")
predicted = first.explain(inputs, np.zeros(len(inputs), int), ()).logits.argmax(axis=1)
explain("first", first, np.full(len(inputs), -1))
explain("other targets", first, given["other_targets"])
second = explainer("second")
explain("second", second, given["other_targets"], ("lrp.epsilon",))
explain("first again", first, predicted)
results["alone"] = first.explain(inputs[:1], predicted[:1], ["lrp.epsilon"]).relevance["lrp.epsilon"]
refused = []
for targets, composites in ((np.full(4, 10), ()), (np.full(4, -2), ()), (predicted, ["epsilon_plus_flat"])):
    try:
        first.explain(inputs, targets, composites)
    except ModelError as error:
        refused.append(str(error))
np.savez(sys.argv[2], predicted=predicted, refused=refused, **results)
"""

Weights = Mapping[str, np.ndarray]
Winner = Callable[[np.ndarray], np.ndarray]


def random_weights(seed: int) -> dict[str, np.ndarray]:
    """Return weights that keep activations alive through all layers, with biases of both signs."""
    rng = np.random.default_rng(seed)
    shapes = {name: (3, 3, *sizes) for name, sizes in CONVOLUTIONS.items()} | DENSE
    weights = {}
    for name, shape in shapes.items():
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        weights[f"{name}/kernel"] = rng.normal(scale=scale, size=shape).astype(np.float32)
        weights[f"{name}/bias"] = rng.normal(scale=0.05, size=shape[-1]).astype(np.float32)
    return weights


def random_clips() -> np.ndarray:
    inputs = np.random.default_rng(4).random((4, 64, 64, 3), np.float32)
    inputs[CONSTANT, :, 40:] = 0.5
    inputs[PADDED, :, 30:] = 0
    return inputs


def conv(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the valid cross-correlation of one clip, shape (bin, frame, channel), offset by offset."""
    height, width = x.shape[0] - 2, x.shape[1] - 2
    return sum(x[i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))


def conv_transposed(r: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return what ``conv`` is the transpose of."""
    height, width = r.shape[:2]
    x = np.zeros((height + 2, width + 2, kernel.shape[2]))
    for i in range(3):
        for j in range(3):
            x[i : i + height, j : j + width] += r @ kernel[i, j].T
    return x


def windows(x: np.ndarray, pad: tuple[int, int]) -> np.ndarray:
    """Return the cells of every window of a pool, row by row, shape (window row, window column, 9, channel)."""
    padded = np.pad(x, (pad, pad, (0, 0)), constant_values=-np.inf)
    height, width = ((size - 3) // 2 + 1 for size in padded.shape[:2])
    rows, columns = slice(0, 2 * height - 1, 2), slice(0, 2 * width - 1, 2)
    cells = [padded[i:, j:][rows, columns] for i in range(3) for j in range(3)]
    return np.stack(cells, axis=2)


def first_maximum(cells: np.ndarray) -> np.ndarray:
    """Return which cell wins each window: the first, also among values that only rounding tells apart."""
    highest = cells.max(axis=2, keepdims=True)
    return (cells >= highest - 1e-9 * np.abs(highest)).argmax(axis=2)


def last_maximum(cells: np.ndarray) -> np.ndarray:
    highest = cells.max(axis=2, keepdims=True)
    return 8 - (cells >= highest - 1e-9 * np.abs(highest))[:, :, ::-1].argmax(axis=2)


def unpool(x: np.ndarray, r: np.ndarray, pad: tuple[int, int], winner: Winner) -> np.ndarray:
    """Send each window's relevance to its winner; windows overlap, so relevance adds up."""
    won = winner(windows(x, pad))
    back = np.zeros((x.shape[0] + sum(pad), x.shape[1] + sum(pad), x.shape[2]))
    row, column, channel = np.indices(won.shape)
    np.add.at(back, (2 * row + won // 3, 2 * column + won % 3, channel), r)
    return back[pad[0] : pad[0] + x.shape[0], pad[0] : pad[0] + x.shape[1]]


@dataclass(frozen=True)
class Passed:
    """What one clip's forward pass leaves for the way back."""

    inputs: Mapping[str, np.ndarray]
    """Input of every layer with weights."""
    outputs: Mapping[str, np.ndarray]
    """Output of every layer with weights, before it is rectified."""


def forward(weights: Weights, clip: np.ndarray) -> Passed:
    inputs, outputs = {}, {}
    x = clip.astype(np.float64)
    for name in (*CONVOLUTIONS, *DENSE):
        inputs[name] = x = x.ravel() if name == "dense_512" else x
        kernel, bias = weights[f"{name}/kernel"].astype(np.float64), weights[f"{name}/bias"]
        outputs[name] = (x @ kernel if name in DENSE else conv(x, kernel)) + bias
        x = np.maximum(outputs[name], 0)
        if name in POOL_AFTER:
            x = windows(x, POOL_AFTER[name]).max(axis=2)
    return Passed(inputs, outputs)


def stabilised(z: np.ndarray, epsilon: float) -> np.ndarray:
    return z + np.where(z >= 0, epsilon, -epsilon)


def through_convolution(
    name: str, x: np.ndarray, r: np.ndarray, kernel: np.ndarray, bias: np.ndarray, *, composite: str
) -> np.ndarray:
    """Rewrite the rule of one convolution: epsilon; or alpha 1, beta 0, and flat for the first."""
    if composite == EPSILON:
        return x * conv_transposed(r / stabilised(conv(x, kernel) + bias, 1e-7), kernel)
    if name == "conv_1":
        ones = np.ones_like(kernel)
        return conv_transposed(r / conv(np.ones_like(x), ones), ones)
    excited = np.maximum(kernel, 0)
    z = conv(x, excited) + bias
    return x * conv_transposed(r / np.where(z == 0, 1e-7, z), excited)


def relevance(
    weights: Weights, clip: np.ndarray, target: int, composite: str, winner: Winner = first_maximum
) -> np.ndarray:
    """Return the map of one clip by the book, summed over channels, shape (bin, frame)."""
    passed = forward(weights, clip)
    logits = passed.outputs["dense_out"]
    r = np.where(np.arange(N_CLASSES) == target, logits, 0)
    for name in reversed((*CONVOLUTIONS, *DENSE)):
        x, z = passed.inputs[name], passed.outputs[name]
        kernel, bias = weights[f"{name}/kernel"].astype(np.float64), weights[f"{name}/bias"]
        if name in DENSE:
            r = x * (kernel @ (r / stabilised(z, 1e-7 if composite == EPSILON else 0.1)))
            continue
        if name in POOL_AFTER:
            size = -(-z.shape[0] // 2)
            r = unpool(np.maximum(z, 0), r.reshape(size, size, -1), POOL_AFTER[name], winner)
        r = through_convolution(name, x, r, kernel, bias, composite=composite)
    return r.sum(axis=-1)


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference in units of the largest relevance."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def correlation(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.corrcoef(found.ravel(), expected.ravel())[0, 1])


def assert_agree(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape == (len(found), 64, 64)
    pairs = list(zip(found, expected, strict=True))
    assert min(correlation(*pair) for pair in pairs) > 0.999
    assert np.median([distance(*pair) for pair in pairs]) < 1e-3


@pytest.fixture(scope="module")
def given() -> dict[str, dict[str, np.ndarray]]:
    return {"first": random_weights(1), "second": random_weights(2)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, given: Mapping[str, Weights]) -> dict[str, np.ndarray]:
    """Return what two explainers say of four clips, called in turn within one process."""
    for package in ("tensorflow", "innvestigate"):
        pytest.importorskip(package, reason=NEEDS.format(package))
    folder: Path = tmp_path_factory.mktemp("innvestigate")
    weights = {f"{which}:{name}": values for which, one in given.items() for name, values in one.items()}
    np.savez(folder / "given.npz", inputs=random_clips(), other_targets=OTHER_TARGETS, **weights)
    (folder / "engine.py").write_text(ENGINE, encoding="utf-8")
    command = [sys.executable, "engine.py", "given.npz", "results.npz"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "results.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def tensorflow() -> Iterator[object]:
    """Give TensorFlow in eager mode, in this process."""
    before = dict(os.environ)
    module = pytest.importorskip("tensorflow", reason=NEEDS.format("tensorflow"))
    runtime.prepare(n_threads=1, seed=1)
    yield module
    os.environ.clear()
    os.environ.update(before)


def test_logits__are_those_of_the_network_before_softmax(results, given):
    for which in given:
        expected = [forward(given[which], clip).outputs["dense_out"] for clip in random_clips()]
        np.testing.assert_allclose(results[f"{which}:logits"], expected, rtol=1e-4, atol=1e-5)
    assert results["first:logits"].dtype == np.float32
    np.testing.assert_array_equal(results["predicted"], results["first:logits"].argmax(axis=1))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_relevance__follows_the_rules(results, given, composite: str):
    found = results[f"first:{composite}"]
    assert found.dtype == np.float32
    expected = [
        relevance(given["first"], *pair, composite)
        for pair in zip(random_clips(), results["predicted"], strict=True)
    ]
    assert_agree(found, np.stack(expected))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_relevance__explains_the_target_it_was_given(results, given, composite: str):
    """A target of its own for every clip, among them some whose logit is negative."""
    logits = np.take_along_axis(results["first:logits"], OTHER_TARGETS[:, None], axis=1)
    assert (logits < 0).any()
    found = results[f"other targets:{composite}"]
    expected = [
        relevance(given["first"], *pair, composite) for pair in zip(random_clips(), OTHER_TARGETS, strict=True)
    ]
    assert_agree(found, np.stack(expected))
    different = results["predicted"] != OTHER_TARGETS
    assert different.sum() >= 3
    for one, other in zip(found[different], results[f"first:{composite}"][different], strict=True):
        assert distance(one, other) > 0.1


@pytest.mark.parametrize(("composite", "place"), [(EPSILON, CONSTANT), (FLAT, CONSTANT), (FLAT, PADDED)])
def test_relevance__of_ties_goes_to_the_first_of_equals(results, given, composite: str, place: int):
    """If the last of equals won, the map would be another one; to silence itself epsilon gives nothing."""
    clip, target = random_clips()[place], results["predicted"][place]
    first, last = (
        relevance(given["first"], clip, target, composite, winner) for winner in (first_maximum, last_maximum)
    )
    found = results[f"first:{composite}"][place]
    assert distance(last, first) > 0.01, "the sample must tell the two apart"
    assert distance(found, first) < 0.1 * distance(found, last)


def test_relevance__by_epsilon_is_gradient_times_input(results, given, tensorflow):
    """For rectifiers and maxima the epsilon rule is the logit's gradient times the input, up to epsilon."""
    network = architecture.build(N_CLASSES)
    architecture.load_weights(network, given["first"])
    network.get_layer("dense_out").activation = None
    inputs = tensorflow.constant(random_clips())
    with tensorflow.GradientTape() as tape:
        tape.watch(inputs)
        logits = tensorflow.gather(network(inputs), OTHER_TARGETS, axis=1, batch_dims=1)
    expected = (tape.gradient(logits, inputs) * inputs).numpy().sum(axis=-1)
    assert_agree(results[f"other targets:{EPSILON}"], expected)


def test_relevance__by_the_flat_rule_is_a_blur(results):
    """Maps of the flat preset are sums over windows of three by three, so neighbours resemble each other."""
    for maps, smooth in ((results[f"first:{FLAT}"], True), (results[f"first:{EPSILON}"], False)):
        neighbours = [correlation(one[:-1], one[1:]) for one in maps]
        assert (min(neighbours) > 0.5) if smooth else (max(neighbours) < 0.5)


def test_relevance__by_epsilon_is_zero_in_silence(results):
    padded = results[f"first:{EPSILON}"][PADDED, :, 30:]
    np.testing.assert_array_equal(padded, 0)
    assert np.abs(results[f"first:{EPSILON}"][PADDED, :, :30]).max() > 0


def test_relevance__of_a_clip_alone_is_that_within_a_batch(results):
    assert distance(results["alone"][0], results[f"first:{EPSILON}"][0]) < 1e-4


def test_explain__refuses_what_is_no_class_and_what_innvestigate_has_not(results):
    unknown, below, missing = results["refused"]
    assert unknown.startswith("target 10 is no class of this network: 0 to 9, or -1")
    assert below.startswith("target -2 is no class of this network")
    assert missing.startswith("innvestigate has no composite epsilon_plus_flat, it has lrp.z, ")


@pytest.mark.parametrize("composite", COMPOSITES)
def test_explainers__leave_each_other_as_they_were(results, composite: str):
    """The first network is explained as before, after a second one was explained in the same process.

    Before, the target was what stands for the predicted class, and now it is that class.
    """
    np.testing.assert_array_equal(results[f"first again:{composite}"], results[f"first:{composite}"])
    np.testing.assert_array_equal(results["first again:logits"], results["first:logits"])


def test_explainers__explain_each_their_own_network(results, given):
    expected = [
        relevance(given["second"], *pair, EPSILON) for pair in zip(random_clips(), OTHER_TARGETS, strict=True)
    ]
    assert_agree(results[f"second:{EPSILON}"], np.stack(expected))
