"""Pictures that nobody would think of: a level or a ClipError with its path, and never anything else."""

import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from toolkit.corpus.pictures import picture_bytes, read_picture
from toolkit.errors import ClipError

SHAPE = (64, 64)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVEL = np.random.default_rng(0).integers(0, 256, SHAPE) / 255
GOOD = picture_bytes(LEVEL)
PALETTE = GOOD[41 : 41 + 768]
ROWS = b"".join(b"\0" + row.tobytes() for row in np.rint(LEVEL[::-1] * 255).astype(np.uint8))
KINDS = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"zTXt", b"iCCP", b"gAMA", b"eXIf"]

Chunks = list[tuple[bytes, bytes]]
fuzzing = partial(
    settings, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check(folder: Path, data: bytes) -> bool:
    """Tell whether the bytes are read as a picture; they must be, or be refused with a fit message."""
    path = folder / "any.png"
    path.write_bytes(data)
    try:
        level = read_picture(path)
    except ClipError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < len(str(path)) + 300
        return False
    assert (level.shape, level.dtype) == (SHAPE, np.float32)
    assert np.isin(level, np.arange(256, dtype=np.float32) / np.float32(255)).all()
    return True


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(chunks: Chunks) -> bytes:
    return SIGNATURE + b"".join(chunk(kind, content) for kind, content in chunks)


def whole(header: bytes, palette: bytes, rows: bytes) -> Chunks:
    return [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw the data with up to three pieces replaced by other bytes, by none, or by a piece of the data."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40) | st.integers(0, 5000)))
        other = draw(st.integers(0, len(data)))
        piece = draw(
            st.binary(max_size=8) | st.just(data[other : other + 20]) | st.just(b"\xff" * (end - start))
        )
        data = data[:start] + piece + data[end:]
    return data


headers = st.builds(
    partial(struct.pack, ">IIBBBBB"),
    st.just(64) | st.integers(0, 2**32 - 1),
    st.just(64) | st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 4, 8, 16]) | st.integers(0, 255),
    st.sampled_from([0, 2, 3, 4, 6]) | st.integers(0, 255),
    st.just(0) | st.integers(0, 255),
    st.just(0) | st.integers(0, 255),
    st.integers(0, 1) | st.integers(0, 255),
)
plausible_headers = st.sampled_from([(8, 2), (1, 3), (2, 3), (4, 3), (8, 3), (8, 6)]).flatmap(
    lambda form: st.integers(0, 1).map(lambda lace: struct.pack(">IIBBBBB", 64, 64, *form, 0, 0, lace))
)
rows_of_any_length = st.builds(
    lambda row, n_bytes: (row * n_bytes)[:n_bytes],
    st.binary(min_size=1, max_size=300),
    st.sampled_from([64 * (1 + n_bytes) for n_bytes in (8, 16, 32, 64, 192, 256)]) | st.integers(0, 20_000),
)
odd_chunks = st.tuples(st.sampled_from(KINDS) | st.binary(min_size=4, max_size=4), st.binary(max_size=800))


@fuzzing(max_examples=100)
@given(st.binary(max_size=300))
@example(b"")
@example(SIGNATURE)
def test_any_bytes__are_refused(tmp_path: Path, data: bytes):
    assert not check(tmp_path, data)
    assert not check(tmp_path, SIGNATURE + data)
    assert not check(tmp_path, GOOD[:33] + data)


@fuzzing(max_examples=200)
@given(mutated(GOOD))
def test_changed_bytes__are_noticed(tmp_path: Path, data: bytes):
    """Every byte is under a checksum, so that a changed picture is never read as another."""
    assume(not data.startswith(GOOD))
    assert not check(tmp_path, data)


@fuzzing(max_examples=100)
@given(st.integers(0, len(GOOD) - 1))
def test_picture_cut_anywhere__is_refused(tmp_path: Path, length: int):
    assert not check(tmp_path, GOOD[:length])


@fuzzing(max_examples=200)
@given(
    st.just(GOOD[16:29]) | plausible_headers | headers,
    st.just(PALETTE) | mutated(PALETTE),
    st.just(ROWS) | mutated(ROWS) | rows_of_any_length,
    st.lists(st.tuples(st.integers(0, 4), odd_chunks), max_size=3),
)
def test_any_content_under_right_checksums__is_a_level_or_refused(
    tmp_path: Path, header: bytes, palette: bytes, rows: bytes, extra: list[tuple[int, tuple[bytes, bytes]]]
):
    """Behind the checksums lies what a program writes that is mistaken, or means harm."""
    chunks = whole(header, palette, rows)
    for place, odd in extra:
        chunks.insert(place, odd)
    check(tmp_path, png(chunks))


@fuzzing(max_examples=100)
@given(mutated(zlib.compress(ROWS)))
def test_any_packed_pixels__are_a_level_or_refused(tmp_path: Path, packed: bytes):
    parts = [(b"IHDR", GOOD[16:29]), (b"PLTE", PALETTE), (b"IDAT", packed), (b"IEND", b"")]
    check(tmp_path, png(parts))


@fuzzing(max_examples=100)
@given(st.lists(st.integers(1, 300), max_size=12), st.lists(odd_chunks, max_size=3))
def test_pixels_in_parts__are_the_same_picture(tmp_path: Path, sizes: list[int], extra: Chunks):
    packed = zlib.compress(ROWS)
    ends = np.cumsum([0, *sizes]).tolist()
    parts = [(b"IDAT", packed[low:high]) for low, high in zip(ends, [*ends[1:], len(packed)], strict=True)]
    remarks = [(b"note", content) for _, content in extra]
    data = png([(b"IHDR", GOOD[16:29]), (b"PLTE", PALETTE), *remarks, *parts, (b"IEND", b"")])
    assert check(tmp_path, data)
    np.testing.assert_array_equal(read_picture(tmp_path / "any.png"), LEVEL.astype(np.float32))


@fuzzing(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_any_level__survives_being_drawn(tmp_path: Path, seed: int, dtype: Callable[..., np.ndarray]):
    level = np.random.default_rng(seed).random(SHAPE).astype(dtype)
    path = tmp_path / "drawn.png"
    path.write_bytes(picture_bytes(level))
    assert np.abs(read_picture(path) - level).max() <= 0.5 / 255 + 1e-7


@fuzzing(max_examples=100)
@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=30))
@example("\ud800")
@example("\udcff\n\x1b[31m\u202e")
def test_any_name__gives_a_message_of_one_line_that_can_be_written(tmp_path: Path, name: str):
    assume(name not in {".", ".."})
    with pytest.raises(
        ClipError, match=r"(file is absent|is not a regular file|cannot be read \(.+\))$"
    ) as caught:
        read_picture(tmp_path / name)
    assert str(caught.value).isprintable()
