"""Sound files as arrays: mono, one sampling rate, one duration.

Channels are averaged. A longer file gives its first seconds, a shorter one is padded with zeros; how
much of it was really recorded is returned beside it. Where a catalogue says that less was recorded than a file
holds, the rest is silenced: pre-processed copies of UrbanSound8K fill short clips up, some with zeros, some by
repeating them, and neither is sound of that recording.
"""

import math
from pathlib import Path

import numpy as np

from toolkit.errors import ClipError

_LENGTH_FIELD = 4
_STREAMED = 0xFFFFFFFF
"""Length written by programs that stream a WAV file and do not know it."""


def read_clip(
    path: Path, *, sample_rate_hz: int, duration_s: float, announced_s: float = math.inf
) -> tuple[np.ndarray, float]:
    """Return the samples of a sound file and the seconds of sound that it holds.

    Parameters
    ----------
    path
        File in any format that libsndfile reads.
    sample_rate_hz
        Rate of the samples returned.
    duration_s
        Length of the samples returned.
    announced_s
        Seconds that were recorded according to the catalogue; what follows becomes silence.

    Returns
    -------
    Samples, shape (sample,), float32, nominally in [-1, 1], exactly ``duration_s`` long; and
    the recorded seconds among them.

    Raises
    ------
    ClipError
        The file is absent, empty, truncated, not a sound file, or holds samples that are not finite.
    """
    try:
        _refuse_unreadable(path)
    except OSError as error:
        raise ClipError(f"{path}: cannot be read ({error.strerror})") from error
    samples, native_rate_hz = _decode(path, duration_s)
    if samples.size == 0:
        raise ClipError(f"{path}: holds no samples")
    if not np.isfinite(samples).all():
        raise ClipError(f"{path}: {int((~np.isfinite(samples)).sum())} samples are not finite")
    samples = _resample(samples, native_rate_hz, sample_rate_hz)
    if samples.size == 0:
        raise ClipError(f"{path}: holds no samples at {sample_rate_hz} Hz, being shorter than one")
    wanted = round(duration_s * sample_rate_hz)
    n_recorded = min(len(samples), wanted, math.ceil(min(announced_s, duration_s) * sample_rate_hz))
    return np.pad(samples[:n_recorded], (0, wanted - n_recorded)), n_recorded / sample_rate_hz


def _decode(path: Path, duration_s: float) -> tuple[np.ndarray, int]:
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate_hz = int(file.samplerate)
            # A little more than needed, so that the resampler's last samples are real sound.
            samples = file.read(round((duration_s + 0.1) * rate_hz), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise ClipError(f"{path}: cannot be decoded as sound ({error})") from error
    return samples.mean(axis=1), rate_hz


def _resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    if from_hz == to_hz:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, from_hz, to_hz, quality="HQ"), dtype=np.float32)


def _refuse_unreadable(path: Path) -> None:
    """Look at a file before a decoder does.

    Raises
    ------
    ClipError
        The file is absent, no regular file, empty or truncated.
    """
    if not path.is_file():
        raise ClipError(f"{path}: {'is not a regular file' if path.exists() else 'file is absent'}")
    if path.stat().st_size == 0:
        raise ClipError(f"{path}: file is empty (0 bytes)")
    _refuse_truncated_wav(path)


def _refuse_truncated_wav(path: Path) -> None:
    """Compare the length that a WAV file announces with what is there; decoders go on silently.

    Raises
    ------
    ClipError
        Less is there.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        while len(header := file.read(8)) == 8:
            announced = int.from_bytes(header[_LENGTH_FIELD:], "little")
            if header[:_LENGTH_FIELD] == b"data":
                present = path.stat().st_size - file.tell()
                if announced != _STREAMED and present < announced:
                    raise ClipError(f"{path}: truncated: announces {announced} bytes of sound, holds {present}")
                return
            file.seek(announced + announced % 2, 1)
    raise ClipError(f"{path}: truncated: the file ends before its sound begins")
