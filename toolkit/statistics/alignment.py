"""Time, where it can mean something: counted from the onset of the loudest event of a clip.

Where a sound lies within its clip is arbitrary, so maps in the time of the clip support no claim about time.
Here every clip begins at the onset of its loudest event: going back from the loudest frame, the first frame
after the level was at least 10 dB lower. Of a sound without events (an air conditioner) that is chance.
"""

import numpy as np

FALL_DB = 10.0
BEFORE, AFTER = 16, 48
"""Frames kept before the onset, and from it on."""


def onsets(level_db: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the frame in which the loudest event of each clip begins, shape (clip,).

    Parameters
    ----------
    level_db
        Shape (clip, bin, frame).
    valid
        Which frames hold recorded sound, shape (clip, frame); at least the first.

    Returns
    -------
    Frame 0 where the level is high from the start.
    """
    power = (10 ** (level_db.astype(np.float64) / 10)).sum(axis=1)
    power = np.where(valid, power, 0)
    loudest = power.argmax(axis=1)
    frame = np.arange(power.shape[1])
    low = power <= power.max(axis=1, keepdims=True) * 10 ** (-FALL_DB / 10)
    before = low & (frame < loudest[:, None])
    return np.asarray(np.where(before, frame + 1, 0).max(axis=1))


def aligned(cells: np.ndarray, valid: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """Return cells by frame from the onset, shape (clip, ..., BEFORE + AFTER); NaN where nothing was recorded.

    Parameters
    ----------
    cells
        Shape (clip, ..., frame).
    valid
        Which frames hold recorded sound, shape (clip, frame).
    onset
        Frame of the onset, shape (clip,).
    """
    n_frames = valid.shape[1]
    source = onset[:, None] + np.arange(-BEFORE, AFTER)
    held = np.clip(source, 0, n_frames - 1)
    there = (source == held) & np.take_along_axis(valid, held, axis=1)
    shape = (len(cells), *(1,) * (cells.ndim - 2), BEFORE + AFTER)
    chosen = np.take_along_axis(cells, held.reshape(shape), axis=-1)
    return np.where(there.reshape(shape), chosen, np.nan)


def frame_times(frame_s: float) -> np.ndarray:
    """Return the start of every aligned frame in seconds from the onset, shape (BEFORE + AFTER,)."""
    return np.arange(-BEFORE, AFTER) * frame_s
