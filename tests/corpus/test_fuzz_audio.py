"""Arbitrary and damaged bytes: a clip of the right form or a ClipError, never anything else."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.corpus.audio import length_s, read_clip
from toolkit.errors import ClipError

RATE_HZ = 8000
DURATION_S = 0.5
N_SAMPLES = 4000
SEEDS = [
    ("WAV", "PCM_16", 1),
    ("WAV", "FLOAT", 2),
    ("WAV", "PCM_U8", 1),
    ("AIFF", "PCM_24", 2),
    ("FLAC", "PCM_16", 1),
    ("FLAC", "PCM_24", 2),
    ("OGG", "VORBIS", 1),
    ("OGG", "OPUS", 2),
    ("MP3", "MPEG_LAYER_III", 1),
    ("MP3", "MPEG_LAYER_III", 2),
]
MAGIC = [
    b"RIFF\xff\0\0\0WAVE",
    b"RF64",
    b"FORM",
    b"fLaC\0\0\0\x22",
    b"OggS\0\2",
    b"ID3\3",
    b"\xff\xfb\x90\x44",
    b"",
]
ODD = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x80\0\0\0"]
FUZZ = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

Change = Callable[[bytes], bytes]


def flip(position: float, value: int) -> Change:
    return lambda data: overwrite(position, bytes([value]))(data)


def overwrite(position: float, new: bytes) -> Change:
    def change(data: bytes) -> bytes:
        start = round(position * len(data))
        return data[:start] + new + data[start + len(new) :]

    return change


def insert(position: float, new: bytes) -> Change:
    def change(data: bytes) -> bytes:
        start = round(position * len(data))
        return data[:start] + new + data[start:]

    return change


def remove(position: float, length: int) -> Change:
    def change(data: bytes) -> bytes:
        start = round(position * len(data))
        return data[:start] + data[start + length :]

    return change


def truncate(position: float) -> Change:
    return lambda data: data[: round(position * len(data))]


def near_the_beginning(position: float) -> float:
    """Headers are short, and most of what can go wrong is in them."""
    return position**4


positions = st.one_of(st.floats(0, 1), st.floats(0, 1).map(near_the_beginning))
changes = st.one_of(
    st.builds(flip, positions, st.integers(0, 255)),
    st.builds(overwrite, positions, st.sampled_from(ODD)),
    st.builds(insert, positions, st.binary(min_size=1, max_size=64)),
    st.builds(remove, positions, st.integers(1, 200)),
    st.builds(truncate, positions),
)
times = st.one_of(
    st.just((math.nan, math.nan)),
    st.tuples(st.floats(0, 2), st.floats(0.001, 2)).map(lambda pair: (pair[0], pair[0] + pair[1])),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def seeds(folder: Path) -> list[bytes]:
    """Small good files, one second long."""
    rng = np.random.default_rng(0)
    files = []
    for kind, subtype, channels in SEEDS:
        path = folder / "seed"
        soundfile.write(path, rng.uniform(-0.5, 0.5, (RATE_HZ, channels)), RATE_HZ, subtype, format=kind)
        files.append(path.read_bytes())
    return files


def check(path: Path, start_s: float, end_s: float, *, is_excerpt: bool) -> bool:
    """Read a file, and return whether it was read; fail for anything but a valid result or a ClipError."""
    message = ""
    try:
        length = length_s(path)
        sound = read_clip(
            path,
            sample_rate_hz=RATE_HZ,
            duration_s=DURATION_S,
            start_s=start_s,
            end_s=end_s,
            is_excerpt=is_excerpt,
        )
    except ClipError as error:
        message = str(error)
    if message:
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        return False
    assert length > 0
    assert sound.samples.shape == (N_SAMPLES,)
    assert sound.samples.dtype == np.float32
    assert np.isfinite(sound.samples).all()
    assert np.abs(sound.samples).max() > 2**-17
    assert 0 < sound.recorded_s <= DURATION_S
    assert not sound.samples[round(sound.recorded_s * RATE_HZ) :].any()
    assert 1000 <= sound.native_rate_hz <= 768_000
    assert 0 <= sound.clipped_share <= 1
    return True


def test_seeds__are_read(folder: Path, seeds: list[bytes]):
    for data in seeds:
        (folder / "seed").write_bytes(data)
        assert check(folder / "seed", math.nan, math.nan, is_excerpt=True)


@settings(FUZZ, max_examples=200)
@given(magic=st.sampled_from(MAGIC), rest=st.binary(max_size=2000))
def test_arbitrary_bytes__are_read_or_refused(folder: Path, magic: bytes, rest: bytes):
    (folder / "arbitrary").write_bytes(magic + rest)
    check(folder / "arbitrary", math.nan, math.nan, is_excerpt=True)


@settings(FUZZ, max_examples=700)
@given(
    number=st.integers(0, len(SEEDS) - 1),
    damage=st.lists(changes, min_size=1, max_size=4),
    span=times,
    is_excerpt=st.booleans(),
)
def test_damaged_files__are_read_or_refused(
    folder: Path,
    seeds: list[bytes],
    number: int,
    damage: list[Change],
    span: tuple[float, float],
    is_excerpt: bool,
):
    data = seeds[number]
    for change in damage:
        data = change(data)
    (folder / "damaged").write_bytes(data)
    check(folder / "damaged", *span, is_excerpt=is_excerpt)


@pytest.mark.parametrize("number", range(len(SEEDS)), ids=[f"{kind} {subtype}" for kind, subtype, _ in SEEDS])
def test_one_odd_byte_in_the_header__is_read_or_refused(folder: Path, seeds: list[bytes], number: int):
    """Every byte of the first hundred takes either of two values; some of it is refused, and some harmless."""
    read = 0
    for position in range(100):
        for value in (0, 255):
            data = bytearray(seeds[number])
            data[position] = value
            (folder / "odd").write_bytes(data)
            read += check(folder / "odd", math.nan, math.nan, is_excerpt=True)
    assert 0 < read < 200
