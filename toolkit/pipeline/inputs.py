"""Network inputs of chosen rows, read from the store when they are needed."""

from pathlib import Path

import numpy as np

from toolkit.config import Channels
from toolkit.features.channels import network_input
from toolkit.store.read import read_rows


def read_inputs(
    store: Path, representation: str, rows: np.ndarray, *, channels: Channels, dynamic_range_db: float
) -> np.ndarray:
    """Return what the network sees of the clips in ``rows``, shape (row, bin, frame, channel), float32."""
    level_db = read_rows(store, f"features/{representation}", ["level_db"], rows)["level_db"]
    return network_input(level_db, channels, dynamic_range_db)
