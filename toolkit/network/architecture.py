"""The network of the study, layer by layer, in Keras.

Source: Colussi & Ntalampiras, "Interpreting deep urban sound classification using Layer-wise Relevance
Propagation", arXiv 2111.10235. Departure: every layer has a name, and the last follows the number of classes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from toolkit.config import N_BINS, N_FRAMES
from toolkit.network.runtime import require

if TYPE_CHECKING:
    import keras

VERSION = 1
"""Raised when the same settings would give another network."""
INPUT_SHAPE = (N_BINS, N_FRAMES, 3)
_BLOCKS = ((32, 64, 0.25), (64, 64, 0.5), (128, 128, 0.5))
"""Filters of the two convolutions of a block, and the dropout after its pool."""


def build(n_classes: int) -> "keras.Model":
    """Return the untrained network: spectrogram (clip, 64, 64, 3) to probabilities (clip, class).

    Raises
    ------
    DependencyError
        TensorFlow is not installed here.
    """
    require()
    import keras

    layers = keras.layers
    stack = [layers.Input(INPUT_SHAPE, name="spectrogram")]
    for block, (*filters, dropout) in enumerate(_BLOCKS, start=1):
        for place, n_filters in enumerate(filters, start=2 * block - 1):
            stack.append(layers.Conv2D(n_filters, 3, activation="relu", name=f"conv_{place}"))
        stack.append(layers.MaxPooling2D(3, strides=2, padding="same", name=f"pool_{block}"))
        stack.append(layers.Dropout(dropout, name=f"dropout_{block}"))
    stack += [
        layers.Flatten(name="flatten"),
        layers.Dense(512, activation="relu", name="dense_512"),
        layers.Dropout(0.5, name="dropout_4"),
        layers.Dense(n_classes, activation="softmax", name="dense_out"),
    ]
    output = stack[0]
    for layer in stack[1:]:
        output = layer(output)
    return keras.Model(stack[0], output, name="network")


def weights_of(model: "keras.Model") -> dict[str, np.ndarray]:
    """Return the weights by ``layer/variable``, such as ``conv_1/kernel``."""
    return {
        f"{layer.name}/{variable.name.split('/')[-1].split(':')[0]}": np.asarray(values)
        for layer in model.layers
        for variable, values in zip(layer.weights, layer.get_weights(), strict=True)
    }


def load_weights(model: "keras.Model", weights: Mapping[str, np.ndarray]) -> None:
    """Give ``model`` the weights that ``weights_of`` returned, in place."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}/{name}"] for name in ("kernel", "bias")])
