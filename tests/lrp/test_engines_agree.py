"""The compiled graph against innvestigate itself: small networks of every kind of layer, and that of the study.

innvestigate needs TensorFlow in graph mode, which cannot be left again: it runs in processes of its own, while
this one exports the same networks and runs what is compiled from them. Small networks get weights and clips of
two kinds: "normal", and "grid", multiples of a half, where sums are exact, so that maxima tie and denominators
vanish in both programs alike.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

from tests.lrp.test_innvestigate_engine import correlation, random_weights
from tests.lrp.test_real_clips import CHECKOUT, VARIABLE, networks_of, read_clips
from toolkit.errors import ModelError
from toolkit.lrp.compiler import LOGITS, RELEVANCE, TARGET, compile_relevance
from toolkit.lrp.engines.innvestigate import ANALYZERS, InnvestigateExplainer
from toolkit.lrp.engines.onnxruntime import OnnxruntimeExplainer
from toolkit.network import architecture, export, runtime
from toolkit.network.weights import read_weights
from toolkit.pipeline.stages.train import WEIGHTS_NAME
from toolkit.store.read import STORE_NAME

NEEDS = "{} is not installed here: `pip install 'audio-lrp-toolkit[train]'` on Python 3.11"
RULES = tuple(name for name in ANALYZERS if name.startswith("lrp."))
FLAT_FIRST = tuple(name for name in ANALYZERS if name.endswith("_flat"))
N_CLASSES = 3
Results = dict[str, dict[str, np.ndarray]]
"""Logits and maps by composite, of every network and kind of weights."""

# --- small networks -----------------------------------------------------------------------------------------

Spec = tuple[str, Mapping[str, Any]]
"""Keras's name of a kind of layer, and its options."""


@dataclass(frozen=True)
class Small:
    """A small network, described so that another process can build it too."""

    shape: tuple[int, ...]
    layers: tuple[Spec, ...]


def small(shape: tuple[int, ...], *layers: Spec) -> Small:
    """Return a network that ends in classes unless its last layer is an activation."""
    end = () if layers[-1][0] == "Activation" else (dense(activation="softmax"),)
    return Small(shape, (*layers, *end))


def layer(kind: str, **options: Any) -> Spec:
    return kind, options


def conv(filters: int, size: Any, **options: Any) -> Spec:
    return layer("Conv2D", **{"filters": filters, "kernel_size": size, "activation": "relu", **options})


def conv1d(filters: int, size: int, **options: Any) -> Spec:
    return layer("Conv1D", **{"filters": filters, "kernel_size": size, "activation": "relu", **options})


def depthwise(size: Any, **options: Any) -> Spec:
    return layer("DepthwiseConv2D", **{"kernel_size": size, "activation": "relu", **options})


def dense(units: int = N_CLASSES, **options: Any) -> Spec:
    return layer("Dense", units=units, **options)


def max_pool(size: Any, strides: Any = None, padding: str = "valid") -> Spec:
    return layer("MaxPooling2D", pool_size=size, strides=strides, padding=padding)


def average_pool(size: Any, strides: Any = None, padding: str = "valid") -> Spec:
    return layer("AveragePooling2D", pool_size=size, strides=strides, padding=padding)


FLATTEN = layer("Flatten")
RELU, SOFTMAX = layer("Activation", activation="relu"), layer("Activation", activation="softmax")
SAMPLE = {
    "dense": small((3,), dense(6), dense(4, use_bias=False, activation="relu")),
    "strides and dilation": small(
        (9, 10, 2), conv(4, 3, strides=2, padding="same"), conv(3, 2, dilation_rate=(1, 3)), FLATTEN
    ),
    "depthwise": small(
        (7, 6, 2), depthwise(3, depth_multiplier=2, padding="same"), depthwise(2, strides=2), FLATTEN
    ),
    "overlapping pools": small(
        (10, 9, 2),
        *(conv(16, (3, 2)), max_pool(3, 2, "same")),
        *(conv(3, 2, padding="same"), max_pool((3, 2), (2, 1)), FLATTEN),
    ),
    "average pools": small(
        (9, 8, 2),
        *(conv(4, 2), average_pool(3, 2, "same")),
        *(conv(N_CLASSES, 2, padding="same", activation=None), layer("GlobalAveragePooling2D"), SOFTMAX),
    ),
    "global maximum": small((7, 6, 2), conv(5, 2, activation=None), layer("GlobalMaxPooling2D")),
    "reshape and permute": small(
        (6, 8),
        *(layer("Reshape", target_shape=(6, 4, 2)), conv(3, 2)),
        *(layer("Permute", dims=(3, 1, 2)), layer("Reshape", target_shape=(5, 3, 3)), conv(2, 2)),
        *(layer("Permute", dims=(2, 1, 3)), FLATTEN),
    ),
    "padding between": small(
        (6, 6, 2),
        *(conv(3, 2, activation=None), layer("ZeroPadding2D", padding=((1, 0), (2, 1))), RELU),
        *(conv(3, 3, activation=None), layer("ZeroPadding2D", padding=1), max_pool(2), FLATTEN),
    ),
    "activation and dropout": small(
        (6, 6, 2),
        *(conv(3, 2, activation=None), RELU, layer("SpatialDropout2D", rate=0.5), max_pool(2, 1)),
        *(conv(3, 2, activation=None), max_pool(2, 1), RELU, FLATTEN),
        *(layer("Dropout", rate=0.5), dense(), SOFTMAX),
    ),
    "one axis": small(
        (15, 2),
        *(
            conv1d(4, 3, strides=2, padding="same", use_bias=False),
            layer("MaxPooling1D", pool_size=3, strides=2),
        ),
        *(conv1d(3, 2, padding="same", use_bias=False), layer("AveragePooling1D", pool_size=2, strides=1)),
        FLATTEN,
    ),
}
MORE = {
    "linear": small((6, 5, 2), conv(3, 2, activation=None), conv(3, 2, activation=None), FLATTEN),
    "even kernels": small(
        (8, 7, 2), conv(3, (4, 2), strides=(3, 2), padding="same"), conv(3, 2, padding="same"), FLATTEN
    ),
    "ends that no window reaches": small((8, 9, 2), conv(3, 2, strides=3), conv(4, 2, use_bias=False), FLATTEN),
    "dilation": small(
        (9, 10, 2), conv(3, 3, dilation_rate=2, padding="same"), conv(3, 2, dilation_rate=(2, 1)), FLATTEN
    ),
    "pointwise": small((7, 6, 2), depthwise(3, activation=None), conv(3, 1), FLATTEN),
    "pools of the input": small((8, 7, 2), max_pool(2, 1, "same"), average_pool(2, 1), conv(3, 2), FLATTEN),
    "pools of many channels": small(
        (10, 8, 2), conv(16, 3), max_pool(3, 2, "same"), conv(16, 2, use_bias=False), max_pool(2, 1), FLATTEN
    ),
    "average pools between": small(
        (9, 8, 2), conv(4, 2), average_pool((3, 2), (2, 1)), conv(3, 2), average_pool(2, 1, "same"), FLATTEN
    ),
    "global average": small((7, 6, 2), conv(4, 3), layer("GlobalAveragePooling2D")),
    "padded input": small((6, 6, 2), layer("ZeroPadding2D", padding=1), RELU, conv(3, 2), FLATTEN),
    "several dense layers": small(
        (6, 5, 1), conv(3, 2), FLATTEN, dense(5, activation="relu"), dense(4, activation=None)
    ),
    "one axis, dilated": small(
        (12, 2), conv1d(4, 3, dilation_rate=2, use_bias=False), layer("GlobalAveragePooling1D")
    ),
    "three axes": small(
        (4, 5, 4, 2),
        layer("Conv3D", filters=3, kernel_size=2, activation="relu"),
        layer("MaxPooling3D", pool_size=2, strides=1),
        FLATTEN,
    ),
}
READ_AS = {
    "rectifier": (
        small((6, 6, 2), conv(3, 2, activation=None), layer("ReLU"), conv(3, 2), FLATTEN),
        small((6, 6, 2), conv(3, 2, activation=None), RELU, conv(3, 2), FLATTEN),
    ),
    "padding before a convolution": (
        small((6, 6, 2), layer("ZeroPadding2D", padding=1), conv(3, 3), FLATTEN),
        small((6, 6, 2), conv(3, 3, padding="same"), FLATTEN),
    ),
    "causal": (
        small((8, 2), conv1d(3, 2, use_bias=False), conv1d(3, 3, padding="causal", use_bias=False), FLATTEN),
        small(
            (8, 2),
            *(
                conv1d(3, 2, use_bias=False),
                layer("ZeroPadding1D", padding=(2, 0)),
                conv1d(3, 3, use_bias=False),
            ),
            FLATTEN,
        ),
    ),
    "separable": (
        small((6, 5, 2), layer("SeparableConv2D", filters=3, kernel_size=2, activation="relu"), FLATTEN),
        small((6, 5, 2), depthwise(2, use_bias=False, activation=None), conv(3, 1), FLATTEN),
    ),
}
"""Networks that the exporter makes something else of, and what: innvestigate explains the first otherwise.

It takes gradients of a rectifier that is a layer of its own, whose zeros then get nothing by the rules flat and
w-square. By those rules padding gets its share where it is a layer and nothing where it is a convolution's: to
it a padding layer is one, and causal padding a convolution's. A separable convolution is one layer to it.
"""
SCALE = 0.5
RESCALED = small((6, 6, 2), layer("Rescaling", scale=SCALE, offset=-1.0), conv(3, 2), FLATTEN)
JOBS = {
    "sample": {**SAMPLE, "rescaled": RESCALED},
    "more": {**MORE, **{name: reference for name, (_, reference) in READ_AS.items()}},
}
"""What innvestigate is given, each in one process."""
TOGETHER = {"sample": "random", "more": "trained"}
"""Jobs for which another is started at the same time."""
EXPORTED = {**JOBS["sample"], **MORE, **{name: exported for name, (exported, _) in READ_AS.items()}}
WEIGHTS = ("normal", "grid")
N_CLIPS = 16
UNTIED, CONSTANT = [0, 11, 12, 13, 14, 15], 6
"""Clips of continuous values of both signs; and one of a single value."""
TARGETS = np.arange(N_CLIPS) % N_CLASSES
PATIENCE_S = 1800
"""For one job of innvestigate, on a machine that does much else."""


def clips_of(shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Return clips of both signs, positive, negative, of few levels, sparse, constant and silent ones."""
    rng = np.random.default_rng(9)
    clips = rng.normal(size=(N_CLIPS, *shape))
    half = shape[0] // 2
    clips[1], clips[2] = np.abs(clips[1]), -np.abs(clips[2])
    clips[3], clips[4] = rng.integers(-2, 3, shape) / 2, rng.integers(0, 3, shape) / 2
    clips[5] *= rng.random(shape) < 0.4
    clips[CONSTANT], clips[7], clips[10] = 0.5, 0, -1
    clips[8, half:], clips[9, half:] = 0, 1
    return (clips if kind == "normal" else np.round(2 * clips) / 2).astype(np.float32)


def weights_of(model: Any, kind: str) -> list[np.ndarray]:
    """Draw weights and biases, of both signs; on the grid some are zero."""
    rng = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...]) -> np.ndarray:
        if kind == "grid":
            return rng.choice([-1, -0.5, 0, 0.5, 1], size=shape)
        scale = 0.3 if len(shape) == 1 else np.sqrt(2 / np.prod(shape[:-1]))
        return rng.normal(scale=scale, size=shape)

    return [drawn(values.shape).astype(np.float32) for values in model.get_weights()]


def build(network: Small) -> Any:
    import keras

    stack = [
        getattr(keras.layers, kind)(name=f"{kind.lower()}_{place}", **options)
        for place, (kind, options) in enumerate(network.layers)
    ]
    given = output = keras.layers.Input(network.shape, name="input")
    for each in stack:
        output = each(output)
    return keras.Model(given, output)


# --- the network of the study -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Study:
    """The network of the study, with weights and clips."""

    weights: dict[str, np.ndarray]
    inputs: np.ndarray

    def network(self) -> Any:
        model = architecture.build(len(self.weights["dense_out/bias"]))
        architecture.load_weights(model, self.weights)
        return model

    def targets(self) -> dict[str, np.ndarray]:
        """Return classes in turn, so that many logits are negative; and what stands for the predicted ones."""
        n_clips, n_classes = len(self.inputs), len(self.weights["dense_out/bias"])
        return {"given": np.arange(n_clips) % n_classes, "predicted": np.full(n_clips, -1)}


def random_study() -> Study:
    """Return random weights, and clips of noise: of every four, one ends in a constant and one in silence."""
    inputs = np.random.default_rng(4).random((24, 64, 64, 3), np.float32)
    inputs[2::4, :, 40:] = 0.5
    inputs[3::4, :, 30:] = 0
    inputs[-1] = 0
    return Study(random_weights(1), inputs)


def trained_study() -> Study | None:
    """Return the first network of a run, with clips that it never saw: the newest run, if none is named."""
    found = [CHECKOUT / os.environ[VARIABLE]] if VARIABLE in os.environ else CHECKOUT.glob("runs/*/")
    runs = [run for run in found if networks_of(run) and (run / STORE_NAME).exists()]
    if not runs:
        return None
    run = max(runs, key=lambda run: (networks_of(run)[0] / WEIGHTS_NAME).stat().st_mtime)
    (known,) = read_clips(run, networks_of(run)[:1], 24)
    return Study(read_weights(known.folder / WEIGHTS_NAME), known.inputs)


UNSTABLE = ("lrp.alpha_2_beta_1", "lrp.sequential_preset_b", "lrp.sequential_preset_b_flat")
"""Composites whose negative halves divide by W- x + b, which crosses zero where a bias is positive.

On 24 real clips innvestigate was off from float64 by 1.0e-4 to 1.3e-4 in the median, the compiled graph by
6.5e-5 to 7.2e-5, and one from the other by 6e-5 to 7e-5. Random weights give no such trouble.
"""


# --- innvestigate, in other processes -----------------------------------------------------------------------


def _prepare() -> None:
    runtime.prepare(n_threads=1, eager=False)
    from keras.src.engine import base_layer_utils

    # Keras would evaluate every constant on the way, to save it with the model. Without, no number is another
    # and analyzers are built up to three times as fast; faster still where dropout is no branch.
    base_layer_utils._UNSAFE_GRAPH_OP_LAYER_CREATION = True


def innvestigated(networks: Mapping[str, Small]) -> Results:
    """Return what innvestigate makes of small networks."""
    _prepare()
    import tensorflow as tf

    options = {"disable_meta_optimizer": True}  # it takes longer than it saves
    tf.config.optimizer.set_experimental_options(options)
    results = {}
    for name, network in networks.items():
        graph = tf.Graph()
        with graph.as_default(), tf.compat.v1.Session(graph=graph).as_default():
            tf.compat.v1.set_random_seed(0)
            tf.keras.backend.set_learning_phase(0)
            results.update(_innvestigated(name, network))
    return results


def _innvestigated(name: str, network: Small) -> Results:
    import innvestigate

    model = innvestigate.model_wo_softmax(build(network))
    analyzers = {composite: _analyzer(composite, model) for composite in ANALYZERS}
    results = {}
    for kind in WEIGHTS:
        model.set_weights(weights_of(model, kind))
        clips = clips_of(network.shape, kind)
        maps = {
            composite: analyzer.analyze(clips, neuron_selection=TARGETS)
            for composite, analyzer in analyzers.items()
        }
        results[f"{name}/{kind}"] = {LOGITS: model.predict_on_batch(clips), **maps}
    return results


def _analyzer(composite: str, model: Any) -> Any:
    """Return an analyzer that counts the first layer with weights as the first, whatever comes before it."""
    import innvestigate
    from innvestigate.analyzer import LRP
    from innvestigate.analyzer.relevance_based import relevance_rule
    from innvestigate.backend import checks

    options = {"neuron_selection_mode": "index", "disable_model_checks": True}
    first = next(each for each in model.layers if checks.contains_kernel(each))
    if composite not in FLAT_FIRST or checks.is_input_layer(first):
        return innvestigate.create_analyzer(composite, model, **options)

    class Epsilon(relevance_rule.EpsilonRule):
        def __init__(self, layer: Any, state: Any) -> None:
            super().__init__(layer, state, epsilon=0.1)

    convolution = "Alpha1Beta0" if "preset_a" in composite else "Alpha2Beta1"
    rules = [(lambda each: each is first, "Flat"), (checks.is_dense_layer, Epsilon)]
    return LRP(model, rule=[*rules, (checks.is_conv_layer, convolution)], **options)


def innvestigated_study(study: Study) -> Results:
    """Return what the innvestigate engine makes of the study, for given and predicted classes."""
    _prepare()
    import tensorflow as tf

    def network() -> Any:
        tf.keras.backend.set_learning_phase(0)
        return study.network()

    results: Results = {"given": {}, "predicted": {}}
    for composite in ANALYZERS:
        explainer = InnvestigateExplainer(network)  # one for all would take ever longer for each
        for which, targets in study.targets().items():
            explanation = explainer.explain(study.inputs, targets, [composite])
            results[which] |= {LOGITS: explanation.logits, **explanation.relevance}
    return results


@pytest.fixture(scope="module")
def elsewhere(studies: Mapping[str, Study]) -> Iterator[Callable[[str], Results]]:
    """Return what innvestigate makes of a job; each has a process of its own, two at a time."""
    for package in ("tensorflow", "innvestigate", "tf2onnx"):
        pytest.importorskip(package, reason=NEEDS.format(package))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:

        @lru_cache
        def started(name: str) -> Future:
            if name in studies:
                return pool.submit(innvestigated_study, studies[name])
            return pool.submit(innvestigated, JOBS[name])

        def result(name: str) -> Results:
            job = started(name)
            if name in TOGETHER and TOGETHER[name] in studies:
                started(TOGETHER[name])
            return job.result(PATIENCE_S)

        yield result


@pytest.fixture(scope="module")
def tensorflow(elsewhere: object) -> Iterator[object]:
    """Give TensorFlow in eager mode, in this process."""
    before = dict(os.environ)
    runtime.prepare(n_threads=1, seed=1)
    yield pytest.importorskip("tensorflow", reason=NEEDS.format("tensorflow"))
    os.environ.clear()
    os.environ.update(before)


# --- ours ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    trained = trained_study()
    return {"random": random_study(), **({} if trained is None else {"trained": trained})}


@pytest.fixture(scope="module")
def ours_of_study(tensorflow: object, studies: Mapping[str, Study]) -> Callable[[str], Results]:
    """Explain the network of the study for given and predicted classes."""

    @lru_cache
    def explain(name: str) -> Results:
        if name not in studies:
            pytest.skip(f"no trained network under runs/: name the folder of a finished run in {VARIABLE}")
        study = studies[name]
        model = compile_relevance(export.to_onnx(study.network()), ANALYZERS)
        explainer = OnnxruntimeExplainer(model.SerializeToString())
        found = {
            which: explainer.explain(study.inputs, targets, ANALYZERS)
            for which, targets in study.targets().items()
        }
        return {which: {LOGITS: each.logits, **each.relevance} for which, each in found.items()}

    return explain


@pytest.fixture(scope="module")
def ours(tensorflow: object) -> Callable[[str, str], dict[str, np.ndarray]]:
    """Explain a small network by name and kind of weights."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    @lru_cache
    def explain(name: str, kind: str) -> dict[str, np.ndarray]:
        compiled = compile_relevance(exported(EXPORTED[name], kind), ANALYZERS)
        session = onnxruntime.InferenceSession(
            compiled.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        found = session.run(names, {"input": clips_of(EXPORTED[name].shape, kind), TARGET: TARGETS})
        return {name.removeprefix(RELEVANCE): maps for name, maps in zip(names, found, strict=True)}

    return explain


def exported(network: Small, kind: str) -> bytes:
    import tensorflow as tf
    import tf2onnx

    model = build(network)
    model.set_weights(weights_of(model, kind))
    signature = [tf.TensorSpec((None, *network.shape), tf.float32, name="input")]
    exported, _ = tf2onnx.convert.from_keras(model, input_signature=signature, opset=export.OPSET)
    return exported.SerializeToString()


# --- agreement ----------------------------------------------------------------------------------------------


def distances(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the largest difference of each clip in units of its largest relevance, shape (clip,)."""
    axes = tuple(range(1, expected.ndim))
    largest = np.abs(expected).max(axes)
    return np.abs(found - expected).max(axes) / np.where(largest > 0, largest, 1)


def assert_agree(found: np.ndarray, expected: np.ndarray, *, median: float = 1e-5) -> None:
    """Compare maps: alike in the median of the clips, and each clip's of the same shape; NaN is never alike."""
    assert found.shape == expected.shape
    apart = distances(found, expected)
    assert np.median(apart) <= median, apart
    for place in np.flatnonzero(~(apart <= median)):
        assert correlation(found[place], expected[place]) >= 0.999, (place, apart[place])


# --- small networks -----------------------------------------------------------------------------------------


def both(name: str, kind: str, elsewhere: Any, ours: Any) -> list[dict[str, np.ndarray]]:
    """Return our logits and maps of a small network, and innvestigate's."""
    job = next(job for job, networks in JOBS.items() if name in networks)
    return [ours(name, kind), elsewhere(job)[f"{name}/{kind}"]]


SMALL = [
    pytest.param(name, kind, marks=[pytest.mark.slow] if name in MORE else [])
    for name in (*SAMPLE, *MORE)
    for kind in WEIGHTS
    if (name, kind) != ("global maximum", "grid")  # all ties: see below
]


@pytest.mark.parametrize(("name", "kind"), SMALL)
def test_small_networks__have_the_same_logits(elsewhere, ours, name: str, kind: str):
    found, expected = both(name, kind, elsewhere, ours)
    np.testing.assert_allclose(found[LOGITS], expected[LOGITS], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("composite", ANALYZERS)
@pytest.mark.parametrize(("name", "kind"), SMALL)
def test_small_networks__have_the_same_maps(elsewhere, ours, name: str, kind: str, composite: str):
    found, expected = both(name, kind, elsewhere, ours)
    clips = UNTIED if name == "global maximum" else slice(None)
    assert_agree(found[composite][clips], expected[composite][clips])


@pytest.mark.slow
@pytest.mark.parametrize("composite", ANALYZERS)
@pytest.mark.parametrize("name", READ_AS)
def test_departures__a_network_counts_as_the_exporter_writes_it(elsewhere, ours, name: str, composite: str):
    found, expected = both(name, "normal", elsewhere, ours)
    assert_agree(found[composite], expected[composite])


@pytest.mark.parametrize("composite", ANALYZERS)
def test_departures__a_scaling_passes_relevance_on(elsewhere, ours, composite: str):
    """innvestigate multiplies relevance by its factor, as a gradient."""
    found, expected = both("rescaled", "normal", elsewhere, ours)
    factor = SCALE if composite in RULES else 1
    assert_agree(found[composite] * factor, expected[composite])


@pytest.mark.parametrize("composite", ["lrp.z", "lrp.epsilon", "input_t_gradient"])
def test_departures__the_first_of_equals_is_the_global_maximum(elsewhere, ours, composite: str):
    """innvestigate shares relevance among equals: in a constant clip, among all places."""
    alone, shared = (maps[composite][CONSTANT] for maps in both("global maximum", "normal", elsewhere, ours))
    np.testing.assert_allclose(alone.sum(), shared.sum(), rtol=1e-3)
    assert np.abs(alone[:2, :2]).min() > 0
    np.testing.assert_array_equal(alone[2:], 0)
    assert np.abs(shared).min() > 0


def test_one_axis__a_bias_is_read(tensorflow):
    network = small((12, 2), conv1d(4, 3), FLATTEN)
    compile_relevance(exported(network, "normal"), ["lrp.z"])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (small((6, 6, 2), conv(3, 2), layer("BatchNormalization"), FLATTEN), "BatchNormalization.*fold it"),
        (small((5, 4), dense(3, activation="relu"), FLATTEN), "clips of a batch kept apart"),
    ],
    ids=["batch normalization behind a rectifier", "dense along one of several axes"],
)
def test_departures__these_are_refused(tensorflow, network: Small, message: str):
    with pytest.raises(ModelError, match=message):
        compile_relevance(exported(network, "normal"), ["lrp.z"])


# --- the network of the study -------------------------------------------------------------------------------


STUDIES = ["random", pytest.param("trained", marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", STUDIES)
def test_study__has_the_same_logits_and_both_signs_among_them(elsewhere, ours_of_study, studies, name: str):
    found, expected = ours_of_study(name)["given"][LOGITS], elsewhere(name)["given"][LOGITS]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    explained = np.take_along_axis(found, studies[name].targets()["given"][:, None], axis=1)
    assert (explained < 0).any()
    assert (explained > 0).any()


@pytest.mark.parametrize("composite", ANALYZERS)
@pytest.mark.parametrize("which", ["given", "predicted"])
@pytest.mark.parametrize("name", STUDIES)
def test_study__has_the_same_maps(elsewhere, ours_of_study, name: str, which: str, composite: str):
    found, expected = ours_of_study(name)[which], elsewhere(name)[which]
    is_unstable = name == "trained" and composite in UNSTABLE
    assert_agree(found[composite], expected[composite], median=3e-4 if is_unstable else 1e-5)
