"""The weights of a network as a file that any program with numpy can read."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def weights_to_bytes(weights: Mapping[str, np.ndarray]) -> bytes:
    """Return weights as an ``.npz`` archive; equal weights give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(sorted(weights.items())))
    return buffer.getvalue()


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the weights in an ``.npz`` archive by ``layer/variable``."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
