"""Spectrogram pictures that cannot be used: each is refused with its path and the reason, at no cost."""

import io
import os
import re
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import soundfile
from PIL import Image

from toolkit.corpus.pictures import picture_bytes, read_picture
from toolkit.errors import ClipError

SHAPE = (64, 64)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_BYTES = 2**20
PALETTE = np.rint(mpl.colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8)
PLACES = np.random.default_rng(0).integers(0, 256, SHAPE)
RGB = Image.fromarray(PALETTE[PLACES])
GOOD = picture_bytes(PLACES[::-1] / 255)
ROWS = b"".join(b"\0" + row.tobytes() for row in PLACES.astype(np.uint8))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(
    width: int = 64, height: int = 64, *, depth: int = 8, colour_type: int = 3, tail: bytes = b"\0\0\0"
) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBB", width, height, depth, colour_type) + tail)


def palette_png(*, rows: bytes = ROWS, palette: bytes = PALETTE.tobytes(), extra: bytes = b"") -> bytes:
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return SIGNATURE + header() + chunk(b"PLTE", palette) + extra + pixels + chunk(b"IEND", b"")


def with_chunk(extra: bytes, *, at: int = 33) -> bytes:
    """Return the good picture with a chunk more, behind its header unless told otherwise."""
    return GOOD[:at] + extra + GOOD[at:]


def changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def coloured(name: str, low: int = 0, high: int = 255) -> bytes:
    colours = mpl.colormaps[name](np.linspace(low, high, 256).astype(int), bytes=True)
    return saved(Image.fromarray(colours[PLACES][..., :3]))


def with_alpha(alpha: int) -> bytes:
    image = RGB.convert("RGBA")
    image.putpixel((3, 4), (*image.getpixel((3, 4))[:3], alpha))
    return saved(image)


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1000), 22_050, format="WAV")
    return file.getvalue()


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", [saved(RGB), palette_png()], ids=["colours", "palette"])
def test_picture_that_the_others_are_broken_from__is_read(tmp_path: Path, data: bytes):
    path = tmp_path / "good.png"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_picture(path), (PLACES[::-1] / 255).astype(np.float32))


BAD = {
    "empty": (b"", r"file is empty \(0 bytes\)"),
    "text": (b"this is no picture\n" * 99, r"is not a PNG picture: begins with b'this is '"),
    "sound": (wav(), "is not a PNG picture: begins with b'RIFF"),
    "zeros": (bytes(5000), "is not a PNG picture"),
    "encrypted": (np.random.default_rng(0).bytes(5000), "is not a PNG picture"),
    "jpeg": (saved(RGB, "JPEG", quality=100), r"is not a PNG picture: begins with b'\\xff\\xd8"),
    "gif": (saved(RGB, "GIF"), "is not a PNG picture: begins with b'GIF8"),
    "bmp": (saved(RGB, "BMP"), "is not a PNG picture: begins with b'BM"),
    "webp": (saved(RGB, "WEBP", lossless=True), "is not a PNG picture: begins with b'RIFF"),
    "tiff, cmyk": (saved(RGB.convert("CMYK"), "TIFF"), "is not a PNG picture"),
    "changed by a transfer as text": (
        GOOD.replace(b"\r\n", b"\n"),
        r"is not a PNG picture: begins with b'\\x89PNG\\n",
    ),
    "signature alone": (SIGNATURE, "truncated: the file ends within the chunk at byte 8"),
    "cut within the header": (GOOD[:20], "truncated: the file ends within the chunk at byte 8"),
    "cut within the palette": (GOOD[:100], "truncated: the file ends within the chunk at byte 33"),
    "cut in half": (GOOD[: len(GOOD) // 2], "truncated: the file ends within the chunk at byte 813"),
    "cut before its end": (GOOD[:-12], "truncated: the file ends within the chunk"),
    "cut by a byte": (GOOD[:-1], "truncated: the file ends within the chunk"),
    "chunk that announces 4 GB": (with_chunk(b"\xff\xff\xff\xfftEXt"), "truncated: .* chunk at byte 33"),
    "changed header": (changed(GOOD, 19), "damaged: the checksum of the chunk at byte 8 does not fit"),
    "changed palette": (changed(GOOD, 50), "damaged: the checksum of the chunk at byte 33 does not"),
    "changed pixels": (changed(GOOD, 1500), "damaged: the checksum of the chunk at byte 813 does not"),
    "changed checksum": (changed(GOOD, -14), "damaged: the checksum"),
    "no header": (SIGNATURE + GOOD[33:], "damaged: the file does not begin with a PNG header"),
    "header too long": (SIGNATURE + header(tail=b"\0\0\0\0") + GOOD[33:], "does not begin with a PNG header"),
    "second header": (with_chunk(header(50_000, 50_000)), "damaged: holds 2 IHDR chunks, must be one"),
    "second palette": (with_chunk(GOOD[33:813]), "damaged: holds 2 PLTE chunks, must be one"),
    "no pixels": (SIGNATURE + header() + chunk(b"IEND", b""), "truncated: 0 of 4160 bytes of pixels"),
    "rows missing": (palette_png(rows=ROWS[:-65]), "truncated: 4095 of 4160 bytes of pixels"),
    "rows too many": (palette_png(rows=ROWS + b"\0"), "damaged: its pixels unpack to more than 4160 bytes"),
    "pixels without their own checksum": (
        SIGNATURE + header() + chunk(b"IDAT", zlib.compress(ROWS)[:-4]) + chunk(b"IEND", b""),
        "truncated: 4160 of 4160 bytes of pixels are there, or their end is missing",
    ),
    "pixels never packed": (
        SIGNATURE + header() + chunk(b"IDAT", ROWS) + chunk(b"IEND", b""),
        "damaged: its pixels cannot be unpacked",
    ),
    "unknown filter": (
        palette_png(rows=b"\x09" + ROWS[1:]),
        "damaged: its palette, transparency or pixels cannot be decoded",
    ),
    "unknown method": (SIGNATURE + header(tail=b"\0\1\0") + GOOD[33:], "cannot be decoded"),
    "palette too large": (palette_png(palette=bytes(3 * 257)), "cannot be decoded"),
    "palette missing": (palette_png(palette=b""), "holds colour number 255, but its palette has 0 colours"),
    "palette too small": (palette_png(palette=PALETTE[:100].tobytes()), "number 255, but its palette has 100"),
    "65 wide": (saved(RGB.resize((65, 64))), r"is 65 x 64 pixels \(width x height\), must be 64 x 64"),
    "one pixel": (saved(RGB.resize((1, 1))), "is 1 x 1 pixels"),
    "128 high": (saved(RGB.resize((64, 128))), "is 64 x 128 pixels"),
    "no pixel at all": (SIGNATURE + header(0, 0) + GOOD[33:], "is 0 x 0 pixels"),
    "greyscale": (saved(RGB.convert("L")), "is greyscale with 8 bits, must be RGB or RGBA with 8 bits, or"),
    "greyscale with alpha": (saved(RGB.convert("LA")), "is greyscale with alpha with 8 bits"),
    "black and white": (saved(RGB.convert("1")), "is greyscale with 1 bit"),
    "16 bits": (saved(Image.fromarray(PLACES.astype(np.uint16) * 257)), "is greyscale with 16 bits"),
    "colours of 16 bits": (SIGNATURE + header(depth=16, colour_type=2) + GOOD[33:], "is RGB with 16 bits"),
    "unknown colours": (SIGNATURE + header(colour_type=9) + GOOD[33:], "is of unknown colour type 9"),
    "one pixel half transparent": (with_alpha(128), "1 pixels are not opaque"),
    "one pixel nearly opaque": (with_alpha(254), "1 pixels are not opaque"),
    "transparent colours": (palette_png(extra=chunk(b"tRNS", b"\x80" * 256)), "4096 pixels are not opaque"),
    "transparent colour": (saved(RGB, transparency=tuple(PALETTE[7].tolist())), r"\d+ pixels are not opaque"),
    "transparency beyond the palette": (palette_png(extra=chunk(b"tRNS", b"\x80" * 300)), "cannot be decoded"),
    "animated": (saved(RGB, save_all=True, append_images=[RGB.rotate(90)]), "is an animated picture"),
    "needed chunk of an unknown kind": (with_chunk(chunk(b"NEED", b"")), "chunk of unknown kind b'NEED'"),
    "chunk of no kind": (with_chunk(chunk(b"\xe9\xff\0\n", b"")), r"unknown kind b'\\xe9\\xff\\x00\\n'"),
    "viridis": (coloured("viridis"), r"\d+ pixels are not in the colours of magma: worst #[0-9a-f]{6} in row"),
    "inferno": (coloured("inferno"), "pixels are not in the colours of magma"),
    "dark half of inferno": (coloured("inferno", 0, 127), "pixels are not in the colours of magma"),
    "grey in colour": (coloured("gray"), "pixels are not in the colours of magma"),
    "blue and red changed over": (
        saved(Image.fromarray(PALETTE[PLACES][..., ::-1].copy())),
        "not in the colours",
    ),
    "jpeg within": (saved(Image.open(io.BytesIO(saved(RGB, "JPEG", quality=90)))), "not in the colours"),
    "shrunk from a larger one": (
        saved(RGB.resize((128, 128)).resize((64, 64), Image.Resampling.BILINEAR)),
        "not in the colours",
    ),
    "large remark": (
        with_chunk(chunk(b"tEXt", b"Title\0" + bytes(MAX_BYTES))),
        "file is larger than 1048576 bytes",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_picture__is_refused_with_its_path_and_the_reason(tmp_path: Path, name: str):
    data, reason = BAD[name]
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(ClipError, match=rf"^{re.escape(str(path))}: .*{reason}") as caught:
        read_picture(path)
    assert str(caught.value).isprintable()


def test_one_pixel_of_another_colour__is_found(tmp_path: Path):
    image = RGB.copy()
    image.putpixel((12, 34), (0, 255, 0))
    path = tmp_path / "spot.png"
    path.write_bytes(saved(image))
    with pytest.raises(
        ClipError, match=r": 1 pixels .* worst #00ff00 in row 34 from the top, column 12, \d+\.\d away"
    ):
        read_picture(path)


def test_absent_picture__is_refused(tmp_path: Path):
    with pytest.raises(ClipError, match=r"none\.png: file is absent$"):
        read_picture(tmp_path / "none.png")


def test_dangling_link__is_an_absent_picture(tmp_path: Path):
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ClipError, match=r"link\.png: file is absent$"):
        read_picture(tmp_path / "link.png")


def test_link_in_a_circle__is_refused(tmp_path: Path):
    (tmp_path / "link.png").symlink_to(tmp_path / "link.png")
    with pytest.raises(ClipError, match=r"link\.png: "):
        read_picture(tmp_path / "link.png")


def test_folder_device_and_pipe__are_refused_without_waiting(tmp_path: Path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("folder", "device", "pipe"):
        with pytest.raises(ClipError, match=rf"{name}\.png: is not a regular file$"):
            read_picture(tmp_path / f"{name}.png")


def test_name_that_the_system_does_not_take__is_refused(tmp_path: Path):
    with pytest.raises(ClipError, match=r"cannot be read \(File name too long\)$"):
        read_picture(tmp_path / ("x" * 300 + ".png"))
    for name in ("\0.png", "\ud800.png"):
        with pytest.raises(ClipError, match=r"png'?: file is absent$"):
            read_picture(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_picture_that_may_not_be_read__is_refused(tmp_path: Path):
    path = tmp_path / "secret.png"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(ClipError, match=r"cannot be read \(Permission denied\)$"):
        read_picture(path)


@pytest.mark.parametrize(
    "name",
    [
        b'it\'s "quoted".png',
        b"<script>alert(1)</script>.png",
        b"two\nlines.png",
        b"\xff\xfe\x80.png",
        b"\x1b[31mred.png",
    ],
)
def test_odd_name__gives_a_message_that_can_be_shown(tmp_path: Path, name: bytes):
    path = tmp_path / os.fsdecode(name.replace(b"/", b"\xe2\x88\x95"))
    path.write_bytes(b"no picture")
    with pytest.raises(ClipError, match=r"png'?: is not a PNG picture: begins with b'no pictu'$") as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.encode().decode() == message


@pytest.mark.parametrize("side", [50_000, 2**31, 2**32 - 1])
def test_bomb__is_refused_by_its_size_and_never_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
):
    """Of a file too large, only the first megabyte is read."""
    monkeypatch.setattr(Image, "open", None)
    path = tmp_path / "bomb.png"
    path.write_bytes(SIGNATURE + header(side, side, colour_type=2) + chunk(b"IDAT", bytes(50 * MAX_BYTES)))
    with little_memory(), pytest.raises(ClipError, match=rf"is {side} x {side} pixels \(width"):
        read_picture(path)


def test_bomb_of_the_right_size__is_refused_and_never_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "open", None)
    path = tmp_path / "bomb.png"
    path.write_bytes(palette_png(rows=ROWS + bytes(50 * MAX_BYTES)))
    with little_memory(), pytest.raises(ClipError, match="its pixels unpack to more than 4160"):
        read_picture(path)


@pytest.mark.parametrize(
    ("kind", "start"),
    [(b"zTXt", b"Title\0\0"), (b"iTXt", b"Title\0\1\0\0\0"), (b"iCCP", b"Title\0\0")],
)
def test_bomb_in_a_remark__is_never_unpacked(tmp_path: Path, kind: bytes, start: bytes):
    """It decides no pixel, so that the picture is good."""
    path = tmp_path / "bomb.png"
    path.write_bytes(with_chunk(chunk(kind, start + zlib.compress(bytes(50 * MAX_BYTES)))))
    with little_memory():
        assert read_picture(path).shape == SHAPE


def test_very_many_chunks__cost_little(tmp_path: Path):
    path = tmp_path / "chunks.png"
    path.write_bytes(with_chunk(chunk(b"tEXt", b"") * 80_000))
    assert read_picture(path).shape == SHAPE


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"Title\0\0not packed"),
        chunk(b"iCCP", b""),
        chunk(b"pHYs", b"\0"),
        chunk(b"gAMA", b""),
        chunk(b"eXIf", b"garbage"),
        chunk(b"fcTL", b"\0\0\0\1"),
        chunk(b"fdAT", b""),
    ],
)
def test_damaged_remark__is_passed_over(tmp_path: Path, extra: bytes):
    path = tmp_path / "remark.png"
    path.write_bytes(with_chunk(extra))
    assert read_picture(path).shape == SHAPE
