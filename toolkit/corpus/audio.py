"""Sound files as arrays: mono, one sampling rate, one duration, without DC.

Formats are WAV (also RF64 and Wave64), AIFF, AU, CAF, NIST, FLAC, OGG and MP3, told by their first bytes and
never by their name. Times are in seconds, full scale is 1. The rules:

- **Channels**, at most 64, are averaged. **Rates** from 1 to 768 kHz are resampled (soxr, HQ).
- **Memory**: only what a clip needs is decoded, 2**18 samples at once, whatever a header says: its duration,
  0.1 s after it, and 0.1 s (up to 1 s where the two rates have no divisor) before it.
- **Place**: ``start_s`` and ``end_s`` say where a clip lies within its recording. If the file is the recording,
  the clip is cut out of it. If the file is an excerpt, it is the clip, and ``end_s - start_s`` only says how
  much of it was recorded: pre-processed copies of UrbanSound8K are filled up, some with zeros, some by
  repeating them, and neither is sound of that recording. A file that is more than 1 s longer than both
  ``end_s - start_s`` and the duration wanted, and reaches ``end_s`` (but for 0.1 s), cannot be an excerpt: it
  is cut like a recording.
- **DC**: the mean of the recorded part is subtracted before resampling, so that its ends do not ring, and again
  after it. Padding stays exactly 0.
- **Silence**: a clip that then nowhere exceeds 2**-17, a quarter of a 16-bit step, is refused. Mono of 16 bits
  lies below only if all its samples are equal (of two that differ, one is half a step from the mean), or if so
  few differ that resampling to a lower rate evens them out.
- **Clipping** stays as it is, also beyond full scale in float files; ``clipped_share`` tells how much there is.
  The limit is the largest number of the format up to 16 bits (127/128 for 8), and 32767/32768 above.
- **Odd numbers**, not finite or beyond 2**32, are refused; float files may hold whole numbers of 32 bits.
- **Truncated** files are refused even if the wanted seconds are there: WAV, RF64 and AIFF by their count of
  bytes, MP3 by its own if it has one (less 1 %, which editors of tags are off by), OGG if its last page is not
  whole or not marked as the last, FLAC if its last sample cannot be decoded. Without a count an MP3 gives only
  an estimate of its length, so that a missing end cannot be told. Other formats count as whole.
"""

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.corpus import containers
from toolkit.errors import ClipError, SilentClipError, printable

if TYPE_CHECKING:
    from soundfile import SoundFile

_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 1_000, 768_000
_MOST_CHANNELS = 64
_BLOCK = 2**18
"""Samples, over all channels, that are decoded at once."""
_MOST_COUNTED = 2**31
"""Frames after which a file that does not announce its length is no longer counted."""
_MARGIN_S = 0.1
_LOUDEST = 2.0**32
_SILENCE = 2.0**-17
_FULL_SCALE = {"PCM_U8": 127 / 128, "PCM_S8": 127 / 128, "ULAW": 32_124 / 32_768, "ALAW": 32_256 / 32_768}
_FULL_SCALE_16 = 32_767 / 32_768
_NO_FRAME = 7


@dataclass(frozen=True)
class Sound:
    """One clip as it is analysed, and what its file tells about it."""

    samples: np.ndarray
    """Shape (sample,), float32, mono, nominally in [-1, 1]; silence after the recorded part."""
    recorded_s: float
    """Seconds of it that were really recorded."""
    native_rate_hz: int
    """Sampling rate of the file: nothing above half of it was recorded."""
    clipped_share: float
    """Share of the recorded frames, in [0, 1], that reach full scale in any channel of the file."""


@dataclass(frozen=True)
class _Source:
    """An open file and what its header says."""

    descriptor: int
    rate_hz: int
    n_frames: float
    """Infinite where the header does not say."""
    is_exact: bool
    """Whether it says it, and not as an estimate."""
    full_scale: float

    @property
    def length_s(self) -> float:
        return self.n_frames / self.rate_hz


@dataclass(frozen=True)
class _Take:
    """What is decoded for a clip: its recorded part, and around it some sound for the resampler to run in."""

    samples: np.ndarray
    """Mean of the channels, shape (frame,), float32."""
    peaks: np.ndarray
    """Largest magnitude of any channel, shape (frame,), float32."""
    recorded: slice


def read_clip(
    path: Path,
    *,
    sample_rate_hz: int,
    duration_s: float,
    start_s: float = math.nan,
    end_s: float = math.nan,
    is_excerpt: bool = True,
) -> Sound:
    """Return the sound of one clip, ``round(duration_s * sample_rate_hz)`` samples long.

    Parameters
    ----------
    path
        File in one of the formats above.
    sample_rate_hz
        Rate of the samples returned.
    duration_s
        Length of the samples returned: a longer clip gives its first seconds, a shorter one is padded.
    start_s, end_s
        Where the clip lies within its recording; NaN where that is unknown.
    is_excerpt
        Whether the file holds the clip alone, or the recording that it is cut out of.

    Raises
    ------
    ClipError
        The file is absent, unreadable, no sound, truncated, corrupt, silent or outside the limits above, or the
        clip begins after its end. The message begins with its path, as ``printable`` gives it.
    """
    with _opened(path) as source:
        if start_s < 0 or end_s <= max(0.0, start_s) or math.isinf(start_s):
            raise ClipError(f"start_s={start_s:g} to end_s={end_s:g} is no stretch of time: correct them")
        known_s = source.length_s
        if is_excerpt and math.isinf(known_s):
            # As far as it matters to the rule of places.
            known_s = _count_s(source, float(np.nanmax([duration_s, end_s])) + 2)
        begin_s, stop_s = place(known_s, duration_s, start_s=start_s, end_s=end_s, is_excerpt=is_excerpt)
        if begin_s * source.rate_hz > source.n_frames - 1:
            raise ClipError(
                f"the clip starts at {begin_s:g} s, but the file ends at {known_s:g} s: "
                "correct the start, or take the file of the whole recording"
            )
        # A little more than the duration, so that the resampler's last samples are real sound.
        stop_s = min(stop_s, begin_s + duration_s + _MARGIN_S)
        take = _take(source, begin_s, stop_s, sample_rate_hz=sample_rate_hz, duration_s=duration_s)
        return _sound(take, source, sample_rate_hz, round(duration_s * sample_rate_hz))


def length_s(path: Path) -> float:
    """Return the seconds of sound that a file holds.

    It is from the header, in an MP3 perhaps an estimate. A FLAC file may not say it (one that was streamed): it
    is then decoded to its end, and infinitely long if that is not within 2**31 samples.

    Raises
    ------
    ClipError
        As for ``read_clip``, as far as the header tells.
    """
    with _opened(path) as source:
        return source.length_s if math.isfinite(source.n_frames) else _count_s(source, math.inf)


def place(
    file_length_s: float, duration_s: float, *, start_s: float, end_s: float, is_excerpt: bool
) -> tuple[float, float]:
    """Return where all of a clip begins and ends within its file, in seconds, by the rule above.

    Parameters
    ----------
    file_length_s
        Seconds that the file holds.
    duration_s
        Seconds that are wanted of a clip.
    start_s, end_s, is_excerpt
        As for ``read_clip``.
    """
    if is_excerpt:
        span_s = end_s - start_s
        if math.isnan(span_s):
            return 0.0, file_length_s
        if file_length_s <= max(span_s, duration_s) + 1 or file_length_s < end_s - _MARGIN_S:
            return 0.0, min(span_s, file_length_s)
    begin_s = 0.0 if math.isnan(start_s) else start_s
    return begin_s, file_length_s if math.isnan(end_s) else min(end_s, file_length_s)


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    """Open a file for as long as the block lasts, and name it in whatever is found wrong with it.

    Raises
    ------
    ClipError
        The file cannot be used.
    """
    import soundfile

    try:
        with FileIO(_descriptor(path)) as file:
            if why := containers.why_foreign(file) or containers.why_truncated(file):
                raise ClipError(why)
            yield _header(file.fileno())
    except FileNotFoundError as error:
        raise ClipError(f"{printable(path)}: file is absent") from error
    except OSError as error:
        raise ClipError(f"{printable(path)}: cannot be read ({error.strerror})") from error
    except soundfile.SoundFileError as error:
        raise ClipError(f"{printable(path)}: cannot be decoded as sound ({_why_undecodable(error)})") from error
    except ClipError as error:
        raise type(error)(f"{printable(path)}: {error}") from error


def _descriptor(path: Path) -> int:
    """Open a regular file; should a pipe take its place just now, without waiting for who writes into it.

    Raises
    ------
    ClipError
        Something else is there, or nothing can be.
    """
    try:
        is_regular = stat.S_ISREG(path.stat().st_mode)
    except ValueError as error:
        raise ClipError(f"cannot be the name of a file ({error})") from error
    if not is_regular:
        raise ClipError("is not a regular file")
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def _decoder(descriptor: int) -> "SoundFile":
    import soundfile

    # By descriptor: by name, libsndfile also goes by the suffix, and reads the "._name" that macOS puts beside.
    os.lseek(descriptor, 0, os.SEEK_SET)
    decoder = soundfile.SoundFile(descriptor, closefd=False)
    # Or soundfile seeks after every read, which takes twice as long and fails at the end of a FLAC file that
    # does not announce its length.
    decoder.seekable = lambda: False
    return decoder


def _header(descriptor: int) -> _Source:
    """Read what a file announces.

    Raises
    ------
    ClipError
        It is outside the limits, or not true.
    """
    with _decoder(descriptor) as decoder:
        rate_hz, channels, n_frames = decoder.samplerate, decoder.channels, decoder.frames
        if not _LOWEST_RATE_HZ <= rate_hz <= _HIGHEST_RATE_HZ:
            allowed = f"{_LOWEST_RATE_HZ} to {_HIGHEST_RATE_HZ} Hz"
            raise ClipError(f"has a sampling rate of {rate_hz} Hz; {allowed} are allowed")
        if not 1 <= channels <= _MOST_CHANNELS:
            raise ClipError(f"has {channels} channels; 1 to {_MOST_CHANNELS} are allowed")
        is_known = n_frames < 2**62
        if is_known and n_frames > 0 and decoder.format == "FLAC" and not _reaches_end(decoder):
            raise ClipError(f"truncated: announces {n_frames} samples, but the last cannot be decoded")
        is_exact = is_known and decoder.format != "MP3"
        full_scale = _FULL_SCALE.get(decoder.subtype, _FULL_SCALE_16)
    if n_frames <= 0:
        raise ClipError("holds no samples")
    return _Source(descriptor, rate_hz, n_frames if is_known else math.inf, is_exact, full_scale)


def _count_s(source: _Source, up_to_s: float) -> float:
    """Return how many seconds a file holds, by decoding it; infinitely many if it is too long for that.

    Raises
    ------
    ClipError
        It holds none.
    """
    n_most = round(min(_MOST_COUNTED, up_to_s * source.rate_hz))
    with _decoder(source.descriptor) as decoder:
        n_frames = sum(len(block) for block in _blocks(decoder, n_most))
    if n_frames == 0:
        raise ClipError("holds no samples")
    return math.inf if n_frames == _MOST_COUNTED else n_frames / source.rate_hz


def _reaches_end(decoder: "SoundFile") -> bool:
    import soundfile

    try:
        decoder.seek(decoder.frames - 1)
        return len(decoder.read(1)) == 1
    except soundfile.SoundFileError:
        return False


def _blocks(decoder: "SoundFile", n_frames: int) -> Iterator[np.ndarray]:
    """Give the next frames, as far as there are so many, in pieces of shape (frame, channel)."""
    step = max(1, _BLOCK // decoder.channels)
    while n_frames > 0 and len(block := decoder.read(min(step, n_frames), "float32", always_2d=True)):
        n_frames -= len(block)
        yield block


def _take(source: _Source, begin_s: float, stop_s: float, *, sample_rate_hz: int, duration_s: float) -> _Take:
    """Decode what lies between two times, and before them what the resampler needs.

    Raises
    ------
    ClipError
        Nothing is there, or what is there is no sound.
    """
    rate_hz = source.rate_hz
    first = round(begin_s * rate_hz)
    stop = max(first + 1, round(stop_s * rate_hz))
    # A whole number of samples at both rates, so that what is cut off again leaves the clip where it was.
    unit = rate_hz // math.gcd(rate_hz, sample_rate_hz)
    before = min(math.ceil(_MARGIN_S * rate_hz / unit), first // unit) * unit
    samples, peaks = _decode(source, first - before, stop)
    if len(samples) <= before:
        raise ClipError(f"holds no sound at {begin_s:g} s: it ends before, or is damaged")
    n_odd = int(np.count_nonzero(~(peaks <= _LOUDEST)))
    if n_odd:
        raise ClipError(f"{n_odd} samples are not finite, or beyond {_LOUDEST:g} times full scale")
    return _Take(samples, peaks, slice(before, before + round(duration_s * rate_hz)))


def _decode(source: _Source, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the largest magnitude over the channels, from one frame up to another.

    Raises
    ------
    ClipError
        The file announces these frames and does not hold them.
    """
    with _decoder_at(source.descriptor, first) as decoder:
        mixed = [_mix(block) for block in _blocks(decoder, stop - first)]
    samples, peaks = (np.concatenate([np.zeros(0, np.float32), *(pair[i] for pair in mixed)]) for i in (0, 1))
    end = first + len(samples)
    if source.is_exact and min(stop, source.n_frames) - end > _MARGIN_S * source.rate_hz:
        end_s = end / source.rate_hz
        raise ClipError(f"damaged: announces {source.length_s:g} s of sound, and breaks off at {end_s:g} s")
    return samples, peaks


@contextmanager
def _decoder_at(descriptor: int, frame: int) -> Iterator["SoundFile"]:
    """Stand at a frame: by a seek where that works, or else by reading up to it."""
    import soundfile

    with _decoder(descriptor) as decoder:
        try:
            is_there = frame == 0 or decoder.seek(frame) == frame
        except soundfile.SoundFileError:
            is_there = False
        if is_there:
            yield decoder
            return
    with _decoder(descriptor) as decoder:
        for _ in _blocks(decoder, frame):
            pass
        yield decoder


def _mix(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # One channel after the other, over which NumPy is ten times as fast.
    channels = np.ascontiguousarray(block.T)
    # Infinities of both signs have no mean; their magnitude gives them away.
    with np.errstate(invalid="ignore"):
        return channels.mean(axis=0, dtype=np.float64).astype(np.float32), np.abs(channels).max(axis=0)


def _sound(take: _Take, source: _Source, sample_rate_hz: int, n_samples: int) -> Sound:
    """Resample a clip, subtract its mean and pad it.

    Raises
    ------
    ClipError
        Nothing is left of it.
    SilentClipError
        Nothing in it could be explained.
    """
    rate_hz, recorded = source.rate_hz, take.recorded
    centred = _subtract_mean(take.samples, of=take.samples[recorded])
    resampled = _resample(centred, rate_hz, sample_rate_hz)[recorded.start * sample_rate_hz // rate_hz :]
    n_recorded = min(n_samples, len(resampled), round(len(centred[recorded]) * sample_rate_hz / rate_hz))
    if n_recorded == 0:
        raise ClipError(f"holds no samples at {sample_rate_hz} Hz, being shorter than one")
    clip = _subtract_mean(resampled[:n_recorded], of=resampled[:n_recorded])
    if np.abs(clip).max() <= _SILENCE:
        raise SilentClipError("holds only silence, in which there is nothing to explain")
    return Sound(
        samples=np.pad(clip, (0, n_samples - n_recorded)),
        recorded_s=n_recorded / sample_rate_hz,
        native_rate_hz=rate_hz,
        clipped_share=float(np.mean(take.peaks[recorded] >= source.full_scale)),
    )


def _subtract_mean(samples: np.ndarray, *, of: np.ndarray) -> np.ndarray:
    # In double precision, in which the mean of equal samples is that sample.
    return (samples - of.mean(dtype=np.float64)).astype(np.float32)


def _resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    if from_hz == to_hz:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, from_hz, to_hz, quality="HQ"), dtype=np.float32)


def _why_undecodable(error: Exception) -> str:
    # To libsndfile, an MP3 file without one frame of MP3 "does not exist or is not a regular file".
    is_misnamed = getattr(error, "code", None) == _NO_FRAME
    # The text of the error itself goes on about the number of the descriptor.
    return "there is no frame of sound in it" if is_misnamed else str(getattr(error, "error_string", error))
