"""Export of a trained network to ONNX, and the check that both compute the same."""

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.network.architecture import INPUT_SHAPE

if TYPE_CHECKING:
    import keras
    import onnx

OPSET = 17
INPUT_NAME, OUTPUT_NAME = "spectrogram", "probabilities"


def to_onnx(model: "keras.Model") -> bytes:
    """Return the network as an ONNX model: ``spectrogram`` (batch, 64, 64, 3) to ``probabilities``.

    The batch axis is symbolic.
    """
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *INPUT_SHAPE), tf.float32, name=INPUT_NAME)]
    exported, _ = tf2onnx.convert.from_keras(model, input_signature=signature, opset=OPSET)
    _rename(exported.graph)
    serialised: bytes = exported.SerializeToString(deterministic=True)
    return serialised


def _rename(graph: "onnx.GraphProto") -> None:
    """Give nodes and values names that depend on the graph alone, in place.

    tf2onnx numbers them through a counter of the process, so that the same network would come out with other
    names, and so other bytes, after another export. Names of Keras's layers stay readable in them.
    """
    nodes, values = _Names(), _Names({graph.output[0].name: OUTPUT_NAME})
    for value in (*graph.input, *graph.output):
        value.name = values(value.name)
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for node in graph.node:
        node.name = nodes(node.name)
        node.input[:] = [values(name) for name in node.input]
        node.output[:] = [values(name) for name in node.output]
    for initializer in graph.initializer:
        initializer.name = values(initializer.name)
    ordered = sorted(graph.initializer, key=lambda initializer: str(initializer.name))
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(ordered)


class _Names:
    """Names in the order in which they are asked for: without counters, and with a number of ours if taken."""

    def __init__(self, fixed: dict[str, str] | None = None) -> None:
        self._new = {"": "", **(fixed or {})}

    def __call__(self, name: str) -> str:
        if name not in self._new:
            stem = re.sub(r"__\d+", "", name)
            taken = set(self._new.values())
            numbered = (f"{stem}_{number}" for number in itertools.count(2))
            self._new[name] = next(each for each in itertools.chain([stem], numbered) if each not in taken)
        return self._new[name]


def probabilities(onnx_model: bytes | Path, inputs: np.ndarray) -> np.ndarray:
    """Return the output of an exported network, shape (clip, class), by onnxruntime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    source = str(onnx_model) if isinstance(onnx_model, Path) else onnx_model
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    (output,) = session.run([OUTPUT_NAME], {INPUT_NAME: inputs})
    return np.asarray(output)
