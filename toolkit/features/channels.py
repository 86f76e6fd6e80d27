"""The three input channels of the network, made from the level of a clip when a batch is read.

The network takes 64 x 64 x 3. The study fed it the colours of a picture, which is kept as ``colours``;
see docs/decisions/0002-input-channels.md for what the default holds and why.
"""

from functools import cache

import numpy as np

from toolkit.config import Channels

N_CHANNELS = 3
CONTRAST_UNIT_DB = 20.0
"""Differences of level are small beside the level itself; in this unit the three channels weigh alike."""


def network_input(level_db: np.ndarray, channels: Channels, dynamic_range_db: float) -> np.ndarray:
    """Return what the network sees of each clip.

    Parameters
    ----------
    level_db
        Level, shape (clip, bin, frame), in [-dynamic_range_db, 0].
    channels
        What the channels hold, see below.
    dynamic_range_db
        Depth at which the level was cut off.

    Returns
    -------
    Shape (clip, bin, frame, channel), float32. ``level_contrast_change``: level scaled to [0, 1]; its
    excess over the bin's median in time and its rise since the frame before, both in units of 20 dB and not
    negative. All three are 0 in silence. ``level``: the scaled level three times. ``colours``: red, green and
    blue of matplotlib's magma in 256 steps, as in the study.
    """
    level = np.clip(1 + level_db / np.float32(dynamic_range_db), 0, 1).astype(np.float32)
    if channels == "colours":
        return _magma()[np.rint(level * 255).astype(np.intp)]
    if channels == "level":
        return np.repeat(level[..., None], N_CHANNELS, axis=-1)
    contrast = np.maximum(level - np.median(level, axis=2, keepdims=True), 0)
    change = np.maximum(np.diff(level, axis=2, prepend=level[:, :, :1]), 0)
    steps = np.float32(dynamic_range_db / CONTRAST_UNIT_DB)
    return np.stack([level, steps * contrast, steps * change], axis=-1)


@cache
def _magma() -> np.ndarray:
    import matplotlib

    return np.asarray(matplotlib.colormaps["magma"](np.arange(256))[:, :N_CHANNELS], dtype=np.float32)
