"""Spectrogram pictures as level and back: exact where the colours are, and the right way up."""

import struct
import zlib
from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from PIL import Image

from toolkit.corpus.pictures import TOLERANCE, picture_bytes, read_picture
from toolkit.errors import ClipError

STUDY = Path(__file__).parents[3] / "shared" / "data" / "audio-lrp-spectrograms" / "train"
SHAPE = (64, 64)
STEP = 1 / 255


def magma(places: np.ndarray) -> np.ndarray:
    """Return the colours at places 0 to 255 of the map, 8 bits a channel, rounded."""
    return np.rint(mpl.colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8)[places]


def every_place() -> np.ndarray:
    """Return a picture's places in the map, in which each of the 256 occurs 16 times."""
    return np.random.default_rng(0).permutation(np.arange(4096) % 256).reshape(SHAPE)


def write(path: Path, level: np.ndarray) -> Path:
    path.write_bytes(picture_bytes(level))
    return path


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, format="PNG", **options)
    return path


@pytest.fixture
def png(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


def test_colours__are_read_as_their_place_in_the_map(png: Path):
    places = every_place()
    level = read_picture(save(png, Image.fromarray(magma(places))))
    assert (level.shape, level.dtype) == (SHAPE, np.float32)
    np.testing.assert_array_equal(level[::-1], (places / 255).astype(np.float32))


def test_lowest_frequency__is_at_the_bottom_and_time_runs_right(png: Path):
    """A tone that rises through the clip begins bottom left and ends top right."""
    places = np.zeros(SHAPE, int)
    places[63, 0] = places[0, 63] = 255
    level = read_picture(save(png, Image.fromarray(magma(places))))
    assert np.argwhere(level).tolist() == [[0, 0], [63, 63]]


def test_bright_top_row__is_sound_in_the_highest_bin(png: Path):
    places = np.zeros(SHAPE, int)
    places[0] = 255
    level = read_picture(save(png, Image.fromarray(magma(places))))
    assert level.sum(axis=1).tolist() == [0] * 63 + [64]


def test_picture_saved_by_matplotlib__is_read_to_two_steps(png: Path):
    """It cuts off twice, level to 256 places and colours to 8 bits, and each costs up to a step."""
    level = np.random.default_rng(0).random(SHAPE)
    matplotlib.image.imsave(png, level, cmap="magma", vmin=0, vmax=1, origin="lower")
    with Image.open(png) as image:
        assert image.mode == "RGBA"
    np.testing.assert_allclose(read_picture(png), level, rtol=0, atol=2 * STEP)


def test_written_picture__shows_what_matplotlib_would_draw(png: Path):
    """Read by matplotlib, so that reading and writing cannot be wrong alike."""
    places = every_place()
    write(png, places[::-1] / 255)
    shown = np.rint(matplotlib.image.imread(png)[..., :3] * 255)
    np.testing.assert_array_equal(shown, magma(places))


def test_round_trip__is_exact_to_half_a_step(png: Path):
    level = np.random.default_rng(1).random(SHAPE)
    level[0, 0], level[0, 1] = 0, 1
    found = read_picture(write(png, level))
    assert np.abs(found - level).max() <= STEP / 2 + 1e-7
    assert (found[0, 0], found[0, 1]) == (0, 1)
    np.testing.assert_array_equal(read_picture(write(png, found)), found)


def test_written_picture__has_the_same_bytes_every_time():
    level = np.random.default_rng(2).random(SHAPE)
    assert picture_bytes(level) == picture_bytes(level.copy())
    assert picture_bytes(level) == picture_bytes(np.asfortranarray(level))


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_picture_of_one_colour__is_read(png: Path, fill: float):
    assert (read_picture(write(png, np.full(SHAPE, fill))) == fill).all()


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (np.zeros((64, 63)), r"shape \(64, 63\) cannot be drawn: must be \(64, 64\)"),
        (np.zeros((64, 64, 1)), r"shape \(64, 64, 1\) cannot be drawn"),
        (np.full(SHAPE, 1.01), r"from 1\.01 to 1\.01 cannot be drawn: must lie in \[0, 1\]"),
        (np.full(SHAPE, -80.0), r"from -80\.0 to -80\.0 cannot be drawn"),
        (np.where(np.eye(64) > 0, np.nan, 0.5), "from nan to nan cannot be drawn"),
        (np.where(np.eye(64) > 0, np.inf, 0.5), r"from 0\.5 to inf cannot be drawn"),
    ],
)
def test_level_that_is_no_picture__is_not_drawn(level: np.ndarray, message: str):
    with pytest.raises(ClipError, match=message):
        picture_bytes(level)


def test_colours_and_palette__say_the_same(tmp_path: Path):
    places = every_place()
    rgb = Image.fromarray(magma(places))
    opaque = rgb.convert("RGBA")
    few = Image.fromarray(magma(places % 13 * 19)).quantize(16)
    for name, image in {"rgb": rgb, "rgba": opaque}.items():
        np.testing.assert_array_equal(
            read_picture(save(tmp_path / name, image)), (places[::-1] / 255).astype(np.float32), name
        )
    packed = read_picture(save(tmp_path / "four bits", few, bits=4))
    np.testing.assert_array_equal(packed, (places[::-1] % 13 * 19 / 255).astype(np.float32))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette__is_read_at_every_depth(png: Path, bits: int):
    colours = np.linspace(0, 255, 2**bits).astype(int)
    index = np.random.default_rng(0).integers(0, 2**bits, SHAPE).astype(np.uint8)
    image = Image.fromarray(index)
    image.putpalette(magma(colours).tobytes())
    save(png, image, bits=bits)
    assert png.read_bytes()[24:26] == bytes([bits, 3])
    np.testing.assert_array_equal(read_picture(png), (colours[index] / 255).astype(np.float32)[::-1])


def test_transparency_that_no_pixel_has__does_no_harm(png: Path):
    """A palette may hold a transparent colour that does not occur, and so may a picture without one name it."""
    level = np.full(SHAPE, np.float32(100 / 255))
    write(png, level)
    with Image.open(png) as image:
        palette, rgb = image.copy(), image.convert("RGB")
    alpha = bytes(0 if place == 3 else 128 if place == 4 else 255 for place in range(256))
    for plain, transparency in [(palette, alpha), (rgb, (1, 2, 3))]:
        save(png, plain, transparency=transparency)
        assert b"tRNS" in png.read_bytes()
        np.testing.assert_array_equal(read_picture(png), level)


def test_remarks_in_a_file__change_nothing(png: Path):
    places = every_place()
    save(png, Image.fromarray(magma(places)), dpi=(72, 72), icc_profile=b"no profile at all" * 100)
    np.testing.assert_array_equal(read_picture(png), (places[::-1] / 255).astype(np.float32))


def test_small_noise__costs_a_few_steps(png: Path):
    """As from another rounding, or JPEG at its best on the way."""
    places = every_place()
    noise = np.random.default_rng(0).integers(-3, 4, (*SHAPE, 3))
    noisy = np.clip(magma(places) + noise, 0, 255).astype(np.uint8)
    assert np.sqrt(27) < TOLERANCE
    level = read_picture(save(png, Image.fromarray(noisy)))
    assert 0 < np.abs(level[::-1] - places / 255).max() <= 5 * STEP


@pytest.mark.parametrize("distance", [6, 7])
def test_tolerance__is_a_distance_from_the_nearest_colour(png: Path, distance: int):
    """The map ends in (252, 253, 191); more blue leads straight away from it."""
    picture = magma(np.full(SHAPE, 255))
    assert picture[5, 6].tolist() == [252, 253, 191]
    picture[5, 6, 2] += distance
    save(png, Image.fromarray(picture))
    if distance <= TOLERANCE:
        assert (read_picture(png) == 1).all()
    else:
        with pytest.raises(ClipError, match=r"#fcfdc6 in row 5 from the top, column 6, 7\.0 away, allowed 6"):
            read_picture(png)


@pytest.mark.skipif(not STUDY.is_dir(), reason=f"needs the study's pictures in {STUDY}")
def test_pictures_of_the_study__are_read_without_a_remainder():
    """Every 30th: each pixel, drawn again in magma, is the colour that it was."""
    paths = sorted(STUDY.glob("*.png"))[::30]
    assert len(paths) > 100
    for path in paths:
        level = read_picture(path)
        places = np.rint(level[::-1] * 255).astype(int)
        with Image.open(path) as image:
            np.testing.assert_array_equal(magma(places), np.asarray(image.convert("RGB")), str(path))


@pytest.mark.skipif(not STUDY.is_dir(), reason=f"needs the study's pictures in {STUDY}")
def test_pictures_of_the_study__lie_the_right_way_up():
    """Street sound falls off towards high frequencies."""
    mean = np.mean([read_picture(path) for path in sorted(STUDY.glob("*.png"))[::60]], axis=0)
    assert mean[:16].mean() > mean[48:].mean() + 0.1


@pytest.mark.skipif(not STUDY.is_dir(), reason=f"needs the study's pictures in {STUDY}")
def test_pictures_of_the_study__survive_being_written(png: Path):
    for path in sorted(STUDY.glob("*.png"))[::200]:
        level = read_picture(path)
        np.testing.assert_array_equal(read_picture(write(png, level)), level)


def test_interlaced_picture__is_read(png: Path):
    """Pillow writes none; this one comes from the seven passes of the PNG specification, written out."""
    places = every_place()
    png.write_bytes(interlaced(magma(places)))
    with Image.open(png) as image:
        assert image.info["interlace"] == 1
    np.testing.assert_array_equal(read_picture(png), (places[::-1] / 255).astype(np.float32))


def interlaced(rgb: np.ndarray) -> bytes:
    rows = []
    for top, left, down, right in [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]:
        rows += [b"\0" + row.tobytes() for row in rgb[top::down, left::right]]
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 1)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
