"""The network of the study to the parameter, and its weights as names, bytes and files."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import DependencyError
from toolkit.network import architecture, runtime
from toolkit.network.weights import read_weights, weights_to_bytes

NEEDS_TENSORFLOW = "TensorFlow is not installed here: `pip install 'audio-lrp-toolkit[train]'` on Python 3.11"
LAYERS = [
    # name, kind, output shape without the batch, parameters
    ("spectrogram", "InputLayer", (64, 64, 3), 0),
    ("conv_1", "Conv2D", (62, 62, 32), 896),
    ("conv_2", "Conv2D", (60, 60, 64), 18_496),
    ("pool_1", "MaxPooling2D", (30, 30, 64), 0),
    ("dropout_1", "Dropout", (30, 30, 64), 0),
    ("conv_3", "Conv2D", (28, 28, 64), 36_928),
    ("conv_4", "Conv2D", (26, 26, 64), 36_928),
    ("pool_2", "MaxPooling2D", (13, 13, 64), 0),
    ("dropout_2", "Dropout", (13, 13, 64), 0),
    ("conv_5", "Conv2D", (11, 11, 128), 73_856),
    ("conv_6", "Conv2D", (9, 9, 128), 147_584),
    ("pool_3", "MaxPooling2D", (5, 5, 128), 0),
    ("dropout_3", "Dropout", (5, 5, 128), 0),
    ("flatten", "Flatten", (3200,), 0),
    ("dense_512", "Dense", (512,), 1_638_912),
    ("dropout_4", "Dropout", (512,), 0),
    ("dense_out", "Dense", (10,), 5_130),
]
N_PARAMETERS = 1_958_730
DROPOUT = {"dropout_1": 0.25, "dropout_2": 0.5, "dropout_3": 0.5, "dropout_4": 0.5}
POOLS = {"pool_1": (60, 30), "pool_2": (26, 13), "pool_3": (9, 5)}
WITH_WEIGHTS = [name for name, _, _, n_parameters in LAYERS if n_parameters]
ROWS = pytest.mark.parametrize(
    ("name", "kind", "shape", "n_parameters"), LAYERS, ids=[row[0] for row in LAYERS]
)


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    """Set up TensorFlow, and take back what that does to the environment of this process."""
    before = dict(os.environ)
    pytest.importorskip("tensorflow", reason=NEEDS_TENSORFLOW)
    runtime.prepare(n_threads=1, seed=1)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def network(environment: None):
    return architecture.build(10)


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"conv_1/kernel": rng.random((3, 3, 3, 32), np.float32), "conv_1/bias": rng.random(32, np.float32)}


def test_table__adds_up_to_the_parameters_of_the_study():
    assert sum(row[3] for row in LAYERS) == N_PARAMETERS


def test_build__has_the_layers_of_the_study_in_order(network):
    assert [layer.name for layer in network.layers] == [row[0] for row in LAYERS]


@ROWS
def test_build__layer_by_layer(network, name: str, kind: str, shape: tuple[int, ...], n_parameters: int):
    layer = network.get_layer(name)
    assert type(layer).__name__ == kind
    found = layer.output_shape[0] if kind == "InputLayer" else layer.output_shape
    assert found == (None, *shape)
    assert layer.count_params() == n_parameters


def test_build__has_as_many_parameters_as_the_network_of_the_study(network):
    assert network.count_params() == N_PARAMETERS
    assert sum(np.prod(variable.shape) for variable in network.trainable_variables) == N_PARAMETERS


@pytest.mark.parametrize(("name", "sizes"), POOLS.items())
def test_build__pools_by_three_with_stride_two(network, name: str, sizes: tuple[int, int]):
    pool = network.get_layer(name)
    assert (pool.pool_size, pool.strides, pool.padding) == ((3, 3), (2, 2), "same")
    assert pool.input_shape[1:3] == (sizes[0], sizes[0])
    assert pool.output_shape[1:3] == (sizes[1], sizes[1])


@pytest.mark.parametrize("number", range(1, 7))
def test_build__convolves_without_padding_and_rectifies(network, number: int):
    layer = network.get_layer(f"conv_{number}")
    assert (layer.kernel_size, layer.strides, layer.padding) == ((3, 3), (1, 1), "valid")
    assert layer.activation.__name__ == "relu"


def test_build__rectifies_the_first_dense_layer_and_ends_in_softmax(network):
    assert network.get_layer("dense_512").activation.__name__ == "relu"
    assert network.get_layer("dense_out").activation.__name__ == "softmax"
    output = network(np.random.default_rng(0).random((3, 64, 64, 3), np.float32)).numpy()
    assert output.shape == (3, 10)
    np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-5)
    assert (output > 0).all()


@pytest.mark.parametrize(("name", "rate"), DROPOUT.items())
def test_build__drops_out_as_in_the_study(network, name: str, rate: float):
    assert network.get_layer(name).rate == rate


@pytest.mark.parametrize("n_classes", [2, 3, 11])
@pytest.mark.usefixtures("environment")
def test_build__ends_in_as_many_classes_as_asked_for(n_classes: int):
    network = architecture.build(n_classes)
    assert network.output_shape == (None, n_classes)
    assert network.get_layer("dense_out").count_params() == 513 * n_classes
    assert network.count_params() == N_PARAMETERS - 5_130 + 513 * n_classes


def test_build__says_what_is_missing_without_tensorflow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(DependencyError, match=r"TensorFlow 2\.14 is not installed here.*\[train\]"):
        architecture.build(10)


def test_prepare__says_what_is_missing_without_tensorflow(monkeypatch: pytest.MonkeyPatch):
    for name in ("TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(DependencyError, match=r"TensorFlow 2\.14 is not installed here.*\[train\]"):
        runtime.prepare(n_threads=1)


def test_weights_of__names_every_kernel_and_bias(network):
    weights = architecture.weights_of(network)
    assert list(weights) == [f"{layer}/{kind}" for layer in WITH_WEIGHTS for kind in ("kernel", "bias")]
    assert weights["conv_1/kernel"].shape == (3, 3, 3, 32)
    assert weights["dense_512/kernel"].shape == (3200, 512)
    assert weights["dense_out/bias"].shape == (10,)
    assert {values.dtype for values in weights.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(weights["conv_4/kernel"], network.get_layer("conv_4").kernel.numpy())


def test_load_weights__gives_another_network_the_same_output(network):
    inputs = np.random.default_rng(1).random((2, 64, 64, 3), np.float32)
    other = architecture.build(10)
    assert not np.array_equal(other(inputs), network(inputs))
    architecture.load_weights(other, architecture.weights_of(network))
    np.testing.assert_array_equal(other(inputs), network(inputs))
    for name, values in architecture.weights_of(network).items():
        np.testing.assert_array_equal(architecture.weights_of(other)[name], values, err_msg=name)


def test_load_weights__puts_each_weight_in_its_place(network):
    """Kernel and bias, and layers of the same shape, cannot be swapped unseen."""
    other = architecture.build(10)
    given = {
        name: np.full_like(values, number)
        for number, (name, values) in enumerate(architecture.weights_of(other).items())
    }
    architecture.load_weights(other, given)
    assert (other.get_layer("conv_3").kernel.numpy() == 4).all()
    assert (other.get_layer("conv_4").kernel.numpy() == 6).all()
    assert (other.get_layer("conv_4").bias.numpy() == 7).all()
    assert (other.get_layer("dense_out").bias.numpy() == 15).all()


@pytest.mark.usefixtures("environment")
def test_load_weights__refuses_weights_of_another_number_of_classes(network):
    with pytest.raises(ValueError, match="not compatible with provided weight shape"):
        architecture.load_weights(architecture.build(4), architecture.weights_of(network))


def test_weights_to_bytes__are_read_back_as_they_were(tmp_path: Path, weights: dict[str, np.ndarray]):
    path = tmp_path / "weights.npz"
    path.write_bytes(weights_to_bytes(weights))
    found = read_weights(path)
    assert sorted(found) == sorted(weights)
    for name, values in weights.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_weights_to_bytes__are_equal_for_equal_weights(weights: dict[str, np.ndarray]):
    content = weights_to_bytes(weights)
    assert weights_to_bytes({name: values.copy() for name, values in weights.items()}) == content
    assert weights_to_bytes(dict(reversed(weights.items()))) == content, "the order of names is no weight"
    weights["conv_1/bias"][3] = np.nextafter(weights["conv_1/bias"][3], np.float32(2))
    assert weights_to_bytes(weights) != content


def test_weights_to_bytes__do_not_tell_the_time(
    weights: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    content = weights_to_bytes(weights)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert weights_to_bytes(weights) == content
