"""Spectrogram pictures as the study published them: PNG, 64 x 64 pixels, in the colours of matplotlib's magma.

In a picture, row 0 at the top is the highest frequency and columns run in time; as an array, bin 0 is the
lowest. Level is the place of a colour in the map, from 0 (darkest) to 1 (brightest) in steps of 1/255: a
picture tells neither dB nor hertz. What lies on the map cannot be noticed: magma turned round, a picture
reduced to fewer of its colours, one in inferno that uses only its darkest eighth, where the two are alike.

A file is looked through before Pillow sees it: its size in pixels and bytes, every checksum, and how much its
pixels unpack to. Left to itself, Pillow shows missing rows as black, which here means silence. Only the chunks
that decide the pixels are handed on, so that no other can do harm. Animated pictures are refused, since nothing
says which of their frames is meant.

Source: Colussi & Ntalampiras, "Interpreting deep urban sound classification using Layer-wise Relevance
Propagation", arXiv 2111.10235.
"""

import io
import math
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from toolkit.config import N_BINS, N_FRAMES
from toolkit.errors import ClipError, printable

N_COLOURS = 256
TOLERANCE = 6.0
"""Largest distance of a pixel from the nearest colour of magma: Euclidean, in units of 8-bit red, green, blue.

Measured on 300 of the study's pictures: with colours cut off instead of rounded they lie up to 1.7 away, with
noise of up to 3 in every channel 5.2, through JPEG at its best (quality 100, no subsampling) 5.0; levels are
then wrong by at most 4 steps of 255. JPEG of quality 98 lies 6.6 to 10.8 away and costs up to 7 steps, with
subsampled colour over 40; drawn in eleven other maps of matplotlib, every picture lies more than 50 away.
"""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_FILE_BYTES = 2**20
"""Unpacked, the pixels take 16 KiB; the rest is room for remarks that programs leave in a file."""
_COLOUR_TYPES = {0: "greyscale", 2: "RGB", 3: "palette", 4: "greyscale with alpha", 6: "RGBA"}
_BITS_PER_PIXEL = {(2, 8): 24, (3, 1): 1, (3, 2): 2, (3, 4): 4, (3, 8): 8, (6, 8): 32}
"""By colour type and depth of a channel, those that are read."""
_DECISIVE = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
"""Chunks that decide what the pixels are, in the order that PNG demands; only pixels may come in parts."""
_PASSES = ((8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2))
"""Of an interlaced picture: each takes every how many-th column and row (PNG specification, section 8)."""

Chunks = Mapping[bytes, bytes]
"""Contents of a PNG file by kind: header, palette, transparency and packed pixels, where it has them."""


def read_picture(path: Path) -> np.ndarray:
    """Return the level in a spectrogram picture, each colour taken for the nearest one of magma.

    Returns
    -------
    Shape (bin, frame), 64 x 64, float32 in [0, 1], a whole number of 255ths; bin 0 is the lowest frequency.

    Raises
    ------
    ClipError
        The file is absent, empty, no regular file, larger than 1 MiB, truncated or damaged; no PNG, an animated
        one, of another size, greyscale, of 16 bits a channel or not opaque; or a pixel is farther than
        ``TOLERANCE`` from every colour of magma.
    """
    try:
        return _level(_pixels(_checked(_contents(path))))
    except ClipError as error:
        raise ClipError(f"{printable(path)}: {error}") from error.__cause__


def picture_bytes(level: np.ndarray) -> bytes:
    """Return a level as the bytes of a PNG file with a palette of all 256 colours of magma.

    Parameters
    ----------
    level
        Shape (bin, frame), 64 x 64, in [0, 1]; bin 0 is the lowest frequency and becomes the bottom row. It is
        rounded to 255ths.

    Raises
    ------
    ClipError
        The level has another shape, or values that are not finite or beyond [0, 1].
    """
    if level.shape != (N_BINS, N_FRAMES):
        raise ClipError(f"level of shape {level.shape} cannot be drawn: must be {(N_BINS, N_FRAMES)}")
    if not ((level >= 0) & (level <= 1)).all():
        raise ClipError(f"level from {level.min()} to {level.max()} cannot be drawn: must lie in [0, 1]")
    from PIL import Image

    image = Image.fromarray(np.rint(level[::-1] * (N_COLOURS - 1)).astype(np.uint8))
    image.putpalette(_magma().astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _contents(path: Path) -> bytes:
    """Return a file, or as much of it as shows that it is too large.

    Raises
    ------
    ClipError
        It is absent, no regular file, or cannot be read.
    """
    try:
        if not path.is_file():
            raise ClipError("is not a regular file" if path.exists() else "file is absent")
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ClipError(f"cannot be read ({error.strerror})") from error


def _checked(data: bytes) -> Chunks:
    """Return the contents of a PNG file in which everything announced is there.

    Raises
    ------
    ClipError
        It is empty, too large, no PNG, of another kind or size, truncated or damaged.
    """
    if not data:
        raise ClipError("file is empty (0 bytes)")
    if not data.startswith(_SIGNATURE):
        raise ClipError(f"is not a PNG picture: begins with {data[:8]!r}")
    # The header comes first: it tells a bomb from a picture, and says more about a large file than its length.
    n_bytes = _n_bytes_unpacked(*next(_walk(data)))
    if len(data) > _MAX_FILE_BYTES:
        raise ClipError(f"file is larger than {_MAX_FILE_BYTES} bytes, far more than its pixels need")
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for kind, content in _walk(data):
        found[kind].append(content)
    _refuse_odd_chunks({kind: len(contents) for kind, contents in found.items()})
    chunks = {kind: b"".join(found[kind]) for kind in _DECISIVE if kind in found}
    _refuse_missing_pixels(chunks.get(b"IDAT", b""), n_bytes)
    return chunks


def _walk(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of every chunk up to the last, IEND.

    Raises
    ------
    ClipError
        The file ends before, or a checksum does not fit.
    """
    start, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        kind = data[start + 4 : start + 8]
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if end > len(data):
            raise ClipError(f"truncated: the file ends within the chunk at byte {start}")
        content = data[start + 8 : end - 4]
        if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(data[end - 4 : end]):
            raise ClipError(f"damaged: the checksum of the chunk at byte {start} does not fit")
        yield kind, content
        start = end


def _n_bytes_unpacked(kind: bytes, header: bytes) -> int:
    """Return how many bytes the pixels that a header announces unpack to.

    Raises
    ------
    ClipError
        It is no header, or announces a picture of another size or kind.
    """
    if kind != b"IHDR" or len(header) != struct.calcsize(">IIBBBBB"):
        raise ClipError("damaged: the file does not begin with a PNG header")
    width, height, depth, colour_type, _, _, is_interlaced = struct.unpack(">IIBBBBB", header)
    if (width, height) != (N_FRAMES, N_BINS):
        raise ClipError(f"is {width} x {height} pixels (width x height), must be {N_FRAMES} x {N_BINS}")
    n_bits = _BITS_PER_PIXEL.get((colour_type, depth))
    if n_bits is None:
        name = _COLOUR_TYPES.get(colour_type, f"of unknown colour type {colour_type}")
        raise ClipError(f"is {name} with {depth} bits, must be RGB or RGBA with 8 bits, or have a palette")
    passes = _PASSES if is_interlaced else ((1, 1),)
    return sum(height // rows * (1 + (width // columns * n_bits + 7) // 8) for columns, rows in passes)


def _refuse_odd_chunks(counts: Mapping[bytes, int]) -> None:
    for kind, count in counts.items():
        # A capital says that a picture cannot be understood without this chunk.
        if not kind[:1].islower() and kind not in {*_DECISIVE, b"IEND"}:
            raise ClipError(f"holds a chunk of unknown kind {kind!r}, without which it cannot be understood")
        if kind in _DECISIVE and kind != b"IDAT" and count > 1:
            raise ClipError(f"damaged: holds {count} {kind.decode()} chunks, must be one")
    if b"acTL" in counts:
        raise ClipError("is an animated picture: save the frame that is meant as a plain PNG")


def _refuse_missing_pixels(packed: bytes, n_bytes: int) -> None:
    stream = zlib.decompressobj()
    try:
        n_found = len(stream.decompress(packed, n_bytes + 1))
    except zlib.error as error:
        raise ClipError(f"damaged: its pixels cannot be unpacked ({error})") from error
    if n_found > n_bytes:
        raise ClipError(f"damaged: its pixels unpack to more than {n_bytes} bytes")
    if n_found < n_bytes or not stream.eof:
        raise ClipError(f"truncated: {n_found} of {n_bytes} bytes of pixels are there, or their end is missing")


def _pixels(chunks: Chunks) -> np.ndarray:
    """Return the colours in a PNG file, shape (row, column, channel), red, green, blue, uint8.

    Raises
    ------
    ClipError
        They cannot be decoded, lie beyond the palette or are not opaque.
    """
    from PIL import Image

    parts = [_chunk(kind, content) for kind, content in chunks.items()]
    plain = b"".join([_SIGNATURE, *parts, _chunk(b"IEND", b"")])
    try:
        with Image.open(io.BytesIO(plain), formats=("PNG",)) as image:
            highest = int(np.asarray(image).max()) if image.mode == "P" else -1
            rgba = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ClipError("damaged: its palette, transparency or pixels cannot be decoded") from error
    n_colours = len(chunks.get(b"PLTE", b"")) // 3
    # Pillow shows what lies beyond the palette as black.
    if highest >= n_colours:
        raise ClipError(f"damaged: holds colour number {highest}, but its palette has {n_colours} colours")
    n_transparent = int((rgba[..., 3] < 255).sum())
    if n_transparent:
        raise ClipError(f"{n_transparent} pixels are not opaque: save it without transparency")
    return rgba[..., :3]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _level(rgb: np.ndarray) -> np.ndarray:
    """Return the level that colours stand for, lowest frequency first."""
    packed = rgb.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    colours, places = np.unique(packed, return_inverse=True)
    nearest = np.array([_nearest(colour) for colour in colours.tolist()])[places.reshape(packed.shape)]
    _refuse_other_colours(nearest[..., 1], rgb)
    return nearest[::-1, :, 0].astype(np.float32)


@lru_cache(maxsize=2**14)
def _nearest(packed: int) -> tuple[float, float]:
    """Return the level of the nearest colour of magma, the darker one of two, and its distance.

    Few colours occur in many pictures, hence the cache.
    """
    squares = ((_magma() - [packed >> 16, packed >> 8 & 255, packed & 255]) ** 2).sum(axis=1)
    place = int(squares.argmin())
    return place / (N_COLOURS - 1), math.sqrt(squares[place])


def _refuse_other_colours(distance: np.ndarray, rgb: np.ndarray) -> None:
    far = distance > TOLERANCE
    if far.any():
        row, column = np.unravel_index(int(distance.argmax()), distance.shape)
        colour = "#" + bytes(rgb[row, column]).hex()
        raise ClipError(
            f"{int(far.sum())} pixels are not in the colours of magma: worst {colour} in row {row} from the "
            f"top, column {column}, {distance[row, column]:.1f} away, allowed {TOLERANCE:g}; "
            "draw it again with matplotlib's magma and save it as PNG"
        )


@cache
def _magma() -> np.ndarray:
    """Return the map as in the study's files: shape (colour, channel), in [0, 255], rounded, darkest first."""
    import matplotlib

    colours = matplotlib.colormaps["magma"](np.arange(N_COLOURS))[:, :3]
    return np.rint(colours * 255).astype(np.int32)
