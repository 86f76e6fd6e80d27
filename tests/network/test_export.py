"""The exported network computes what Keras computes, whatever the batch, in bytes that repeat."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from toolkit.network import architecture, export, runtime

pytest.importorskip("onnx", reason="onnx is not installed here: `pip install 'audio-lrp-toolkit[train]'`")
N_CLASSES = 5


def random_weights(network, seed: int) -> dict[str, np.ndarray]:
    """Return weights with biases other than zero, which a fresh network does not have."""
    rng = np.random.default_rng(seed)
    return {
        name: values + np.float32(0.05) * rng.normal(size=values.shape).astype(np.float32)
        for name, values in architecture.weights_of(network).items()
    }


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    before = dict(os.environ)
    for package in ("tensorflow", "tf2onnx"):
        pytest.importorskip(
            package, reason=f"{package} is not installed here: `pip install 'audio-lrp-toolkit[train]'`"
        )
    runtime.prepare(n_threads=1, seed=1)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def network(environment: None):
    model = architecture.build(N_CLASSES)
    architecture.load_weights(model, random_weights(model, 3))
    return model


@pytest.fixture(scope="module")
def exported(network) -> bytes:
    return export.to_onnx(network)


@pytest.mark.parametrize("n_clips", [1, 2, 7])
def test_to_onnx__computes_what_keras_computes(network, exported: bytes, n_clips: int):
    inputs = np.random.default_rng(n_clips).random((n_clips, 64, 64, 3), np.float32)
    inputs[0, :, 40:] = 0
    expected = network(inputs).numpy()
    assert np.ptp(expected, axis=1).min() > 1e-3, "constant probabilities would prove nothing"
    found = export.probabilities(exported, inputs)
    assert found.shape == (n_clips, N_CLASSES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_to_onnx__gives_each_clip_the_same_whatever_the_batch(exported: bytes):
    inputs = np.random.default_rng(9).random((7, 64, 64, 3), np.float32)
    alone = np.concatenate([export.probabilities(exported, inputs[clip : clip + 1]) for clip in range(7)])
    np.testing.assert_allclose(export.probabilities(exported, inputs), alone, rtol=0, atol=1e-6)


def test_to_onnx__names_its_input_and_output_and_leaves_the_batch_open(exported: bytes):
    import onnx

    model = onnx.load_from_string(exported)
    onnx.checker.check_model(model, full_check=True)
    (given,), (output,) = model.graph.input, model.graph.output
    assert (given.name, output.name) == ("spectrogram", "probabilities")
    shapes = [[axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in (given, output)]
    assert shapes == [[0, 64, 64, 3], [0, N_CLASSES]]
    for value in (given, output):
        assert value.type.tensor_type.shape.dim[0].dim_param
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == export.OPSET


def test_to_onnx__gives_equal_bytes_for_equal_weights(network, exported: bytes):
    """Also when other networks were exported in between, as by a worker that exports several folds."""
    assert export.to_onnx(network) == exported
    same, other = architecture.build(N_CLASSES), architecture.build(N_CLASSES)
    architecture.load_weights(same, architecture.weights_of(network))
    architecture.load_weights(other, random_weights(other, 4))
    assert export.to_onnx(other) != exported
    assert export.to_onnx(same) == exported


def test_probabilities__of_a_file_are_those_of_its_bytes(tmp_path: Path, exported: bytes):
    (tmp_path / "network.onnx").write_bytes(exported)
    inputs = np.random.default_rng(5).random((2, 64, 64, 3), np.float32)
    np.testing.assert_array_equal(
        export.probabilities(tmp_path / "network.onnx", inputs), export.probabilities(exported, inputs)
    )
