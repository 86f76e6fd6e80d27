"""Bad sound files: each is refused by its name and for its reason, at a bounded cost, and costs no other."""

import math
import os
import socket
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from toolkit.corpus import audio
from toolkit.corpus.audio import Sound, length_s, read_clip
from toolkit.errors import ClipError

RATE_HZ = 22_050
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE_HZ)
RANDOM_BYTES = np.random.default_rng(1).bytes(20_000)

Make = Callable[[Path], object]
Bad = tuple[Make, str]


def read(path: Path) -> Sound:
    return read_clip(path, sample_rate_hz=RATE_HZ, duration_s=4.0)


def sound(samples: np.ndarray = NOISE, rate_hz: int = RATE_HZ, *, kind: str = "WAV", subtype: str = "") -> Make:
    """Return a function that writes a sound file, piece by piece: the encoder of OGG crashes on long ones."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]

    def make(path: Path) -> None:
        with soundfile.SoundFile(path, "w", rate_hz, channels, format=kind, subtype=subtype or None) as file:
            for start in range(0, len(samples), 4096):
                file.write(samples[start : start + 4096])

    return make


def changed(make: Make, change: Callable[[bytearray], bytes | bytearray]) -> Make:
    """Return a function that writes a file and then changes its bytes."""

    def make_changed(path: Path) -> None:
        make(path)
        path.write_bytes(change(bytearray(path.read_bytes())))

    return make_changed


def cut(make: Make, share: float) -> Make:
    return changed(make, lambda data: data[: round(share * len(data))])


def patched(make: Make, offset: int, layout: str, value: float) -> Make:
    """Return a function that writes a file with one number of its header replaced."""

    def patch(data: bytearray) -> bytearray:
        struct.pack_into(layout, data, offset, value)
        return data

    return changed(make, patch)


def spoilt(make: Make, start: float, stop: float) -> Make:
    """Return a function that writes a file with random bytes from one share of its length to another."""

    def spoil(data: bytearray) -> bytearray:
        first, last = round(start * len(data)), round(stop * len(data))
        data[first:last] = RANDOM_BYTES[: last - first]
        return data

    return changed(make, spoil)


def content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def with_hole(value: float) -> np.ndarray:
    samples = NOISE.copy()
    samples[[10, 500, 9000]] = value
    return samples


def make_zip(path: Path, *, encrypted: bool) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("noise.wav", RANDOM_BYTES)
    if encrypted:
        data = bytearray(path.read_bytes())
        data[6] |= 1
        path.write_bytes(data)


def make_socket(path: Path) -> None:
    # The name of a socket may have no more than about a hundred bytes, which folders of tests exceed.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def make_sparse(path: Path) -> None:
    """Write a gigabyte of nothing behind the beginning of a WAV file: 134 million empty chunks."""
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\x3fWAVE")
        file.truncate(2**30)


def make_bomb(path: Path) -> None:
    """Write a FLAC file of 28 kB that holds 131 million equal samples, and does not announce them."""
    sound(np.zeros(2 * 65_535), kind="FLAC", subtype="PCM_16")(path)
    data = path.read_bytes()
    head = bytearray(data[:42])
    head[4] |= 0x80
    head[5:8] = (34).to_bytes(3, "big")
    head[8:12] = struct.pack(">HH", 65_535, 65_535)
    head[21] &= 0xF0
    head[22:26] = bytes(4)
    frames = b"".join(constant_frame(number) for number in range(2000))
    path.write_bytes(bytes(head) + frames)


def constant_frame(number: int) -> bytes:
    """Return a FLAC frame of 65,535 equal samples, 16 bits, mono (RFC 9639, section 9)."""
    code = bytes([number]) if number < 128 else chr(number).encode("utf-8", "surrogatepass")
    head = b"\xff\xf8\x70\x08" + code + struct.pack(">H", 65_534)
    body = head + bytes([crc(head, 8, 0x07)]) + b"\x00\x00\x00"
    return body + crc(body, 16, 0x8005).to_bytes(2, "big")


def crc(data: bytes, width: int, polynomial: int) -> int:
    value, top = 0, 1 << width - 1
    for byte in data:
        value ^= byte << width - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & (1 << width) - 1
    return value


FLAC, OGG, MP3, AIFF, RF64 = (sound(kind=kind) for kind in ("FLAC", "OGG", "MP3", "AIFF", "RF64"))
FOREIGN = r"cannot be decoded as sound \(it begins with b.+\): make it a WAV, AIFF, FLAC, OGG or MP3 file"
UNDECODABLE = r"cannot be decoded as sound \([A-Z].+\)$"
NO_FRAME = r"cannot be decoded as sound \(there is no frame of sound in it\)$"
SILENT = "holds only silence"

UNREADABLE: dict[str, Bad] = {
    "absent": (lambda path: None, "file is absent"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "file is absent"),
    "link to itself": (
        lambda path: path.symlink_to(path),
        r"cannot be read \(Too many levels of symbolic links\)",
    ),
    "folder": (Path.mkdir, "is not a regular file"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    "empty device": (lambda path: path.symlink_to("/dev/null"), "is not a regular file"),
    "pipe that nobody writes": (os.mkfifo, "is not a regular file"),
    "socket": (make_socket, "is not a regular file"),
    "empty": (Path.touch, r"file is empty \(0 bytes\)"),
    "file of the system without a size": (lambda path: path.symlink_to("/proc/version"), FOREIGN),
}
FOREIGN_FILES: dict[str, Bad] = {
    "one byte": (content(b"R"), FOREIGN),
    "text": (content(b"this is no sound\n" * 100), FOREIGN),
    "text with a byte order mark": (content("no sound\n".encode("utf-16") * 100), UNDECODABLE),
    "page of an error": (content(b"<!DOCTYPE html><title>404 Not Found</title>"), FOREIGN),
    "pointer of Git LFS": (content(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"), FOREIGN),
    "picture": (content(b"\x89PNG\r\n\x1a\n" + RANDOM_BYTES), FOREIGN),
    "archive": (lambda path: make_zip(path, encrypted=False), FOREIGN),
    "encrypted archive": (lambda path: make_zip(path, encrypted=True), FOREIGN),
    "OpenPGP message": (content(b"\x85\x01\x0c\x03" + RANDOM_BYTES), FOREIGN),
    "armoured OpenPGP message": (content(b"-----BEGIN PGP MESSAGE-----\n\nhQEMA" * 50), FOREIGN),
    "random bytes": (content(b"\x93" + RANDOM_BYTES), FOREIGN),
    "random bytes that begin like MP3": (content(b"\xff\xfb\x90\x44" + RANDOM_BYTES), NO_FRAME),
    "zeros": (content(bytes(10_000)), FOREIGN),
    "what macOS leaves beside a file": (content(b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(80)), FOREIGN),
    "AAC in MP4": (content(b"\0\0\0\x20ftypM4A \0\0\0\0" + RANDOM_BYTES), FOREIGN),
    "AAC": (content(b"\xff\xf1\x50\x80\x02\x1f\xfc" + RANDOM_BYTES), UNDECODABLE),
    "video in RIFF": (content(b"RIFF\x20\x4e\0\0AVI LIST" + RANDOM_BYTES), UNDECODABLE),
    "OGG of something else": (changed(OGG, lambda data: data.replace(b"vorbis", b"theora")), UNDECODABLE),
}
CUT: dict[str, Bad] = {
    "WAV less one byte": (
        changed(sound(), lambda data: data[:-1]),
        rf"truncated: announces {6 * RATE_HZ} bytes of sound, holds {6 * RATE_HZ - 1}$",
    ),
    "half a WAV": (cut(sound(), 0.5), "truncated: announces 132300 bytes of sound, holds 66128$"),
    "long WAV cut after the clip": (
        cut(sound(np.tile(NOISE, 3)), 0.9),
        "truncated: announces 396900 bytes of sound, holds 357206$",
    ),
    "WAV cut in its header": (
        changed(sound(), lambda data: data[:30]),
        "truncated: the file ends before its sound begins$",
    ),
    "WAV without sound": (
        changed(sound(), lambda data: data[:36]),
        "truncated: the file ends before its sound",
    ),
    "RF64": (cut(RF64, 0.5), r"truncated: announces 132300 bytes of sound, holds \d+$"),
    "AIFF": (cut(AIFF, 0.5), r"truncated: announces 132308 bytes of sound, holds \d+$"),
    "big-endian WAV": (
        cut(lambda path: soundfile.write(path, NOISE, RATE_HZ, format="WAV", endian="BIG"), 0.5),
        "truncated: announces 132300 bytes of sound",
    ),
    "FLAC": (cut(FLAC, 0.5), r"truncated: announces 66150 samples, but the last cannot be decoded$"),
    "FLAC less two bytes": (changed(FLAC, lambda data: data[:-2]), "truncated: announces 66150 samples"),
    "FLAC in its header": (
        changed(FLAC, lambda data: data[:60]),
        "truncated: announces 66150|cannot be decoded",
    ),
    "streamed FLAC": (
        cut(patched(FLAC, 22, ">I", 0), 0.5),
        r"cannot be decoded as sound \(Error : flac decoder lost sync\.\)$",
    ),
    "OGG": (cut(OGG, 0.5), "truncated: its last page is not whole, or not marked as the last one$"),
    "OGG less one byte": (changed(OGG, lambda data: data[:-1]), "truncated: its last page is not whole"),
    "OGG in its header": (changed(OGG, lambda data: data[:100]), "truncated: its last page is not whole"),
    "Opus": (cut(sound(rate_hz=24_000, kind="OGG", subtype="OPUS"), 0.5), "truncated: its last page"),
    "MP3": (cut(MP3, 0.5), r"truncated: announces \d+ bytes of sound, holds \d+$"),
    "MP3 less 2 %": (cut(MP3, 0.98), "truncated: announces"),
    "MP3 behind a tag": (
        changed(cut(MP3, 0.5), lambda data: b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + data),
        "truncated: announces",
    ),
    "MP3 in its header": (
        changed(MP3, lambda data: data[:30]),
        r"truncated: announces \d+ bytes of sound, holds 30$",
    ),
    "tag without its MP3": (content(b"ID3\3\0\0\0\0\1\x00" + bytes(20)), UNDECODABLE),
    "beginning of a tag": (content(b"ID3\3"), UNDECODABLE),
}
UNTRUE: dict[str, Bad] = {
    "WAV that was never finished": (patched(sound(), 40, "<I", 0), "holds no samples$"),
    "WAV of 4 GB": (patched(sound(), 40, "<I", 0xFFFFF000), "truncated: announces 4294963200 bytes of sound"),
    "RF64 of 2**40 frames": (patched(RF64, 28, "<Q", 2**41), f"truncated: announces {2**41} bytes of sound"),
    "FLAC of 2**36 - 1 samples": (
        changed(FLAC, lambda data: data[:21] + bytes([data[21] | 15]) + b"\xff" * 4 + data[26:]),
        "truncated: announces 68719476735 samples, but the last cannot be decoded$",
    ),
    "WAV without channels": (patched(sound(), 22, "<H", 0), UNDECODABLE),
    "WAV without a rate": (patched(sound(), 24, "<I", 0), UNDECODABLE),
    "WAV of an unknown codec": (patched(sound(), 20, "<H", 0x4243), UNDECODABLE),
    "WAV of 77 bits": (patched(sound(), 34, "<H", 77), UNDECODABLE),
    "gigabyte of empty chunks": (make_sparse, UNDECODABLE),
}
DAMAGED: dict[str, Bad] = {
    "FLAC": (spoilt(FLAC, 0.4, 0.5), UNDECODABLE),
    "header of OGG": (spoilt(OGG, 0.1, 0.3), UNDECODABLE),
    "end of OGG": (spoilt(OGG, 0.8, 0.9), r"damaged: announces 3 s of sound, and breaks off at 2\.\d+ s$"),
    "MP3": (changed(MP3, lambda data: data[:5000] + bytes(5000) + data[10_000:]), UNDECODABLE),
}
BEYOND_LIMITS: dict[str, Bad] = {
    "no samples": (sound(np.zeros(0)), "holds no samples$"),
    "no samples in a streamed FLAC": (
        changed(patched(FLAC, 22, ">I", 0), lambda data: data[: data.index(b"\xff\xf8")]),
        "holds no samples$",
    ),
    "rate too low": (sound(rate_hz=999), "has a sampling rate of 999 Hz; 1000 to 768000 Hz are allowed$"),
    "rate too high": (
        sound(rate_hz=768_001),
        "has a sampling rate of 768001 Hz; 1000 to 768000 Hz are allowed$",
    ),
    "rate beyond all": (patched(sound(), 24, "<I", 2**31 - 1), r"has a sampling rate of 2147483647 Hz"),
    "65 channels": (sound(np.tile(NOISE[:65], (10, 1))), "has 65 channels; 1 to 64 are allowed$"),
    "1024 channels": (sound(np.tile(NOISE[:1024], (10, 1))), "has 1024 channels; 1 to 64 are allowed$"),
}
NO_SOUND: dict[str, Bad] = {
    "not a number": (
        sound(with_hole(np.nan), subtype="FLOAT"),
        r"3 samples are not finite, or beyond 4.29\S* times",
    ),
    "infinite": (sound(with_hole(np.inf), subtype="FLOAT"), "3 samples are not finite"),
    "infinite below": (sound(with_hole(-np.inf), 44_100, subtype="DOUBLE"), "3 samples are not finite"),
    "infinite both ways": (
        sound(np.stack([with_hole(np.inf), with_hole(-np.inf)], axis=1), subtype="FLOAT"),
        "3 samples are not finite",
    ),
    "too large": (sound(with_hole(1e10), subtype="FLOAT"), "3 samples are not finite, or beyond"),
    "too large for 32 bits": (sound(with_hole(1e300), subtype="DOUBLE"), "3 samples are not finite, or beyond"),
    "digital silence": (sound(np.zeros(RATE_HZ)), SILENT),
    "digital silence in MP3": (sound(np.zeros(RATE_HZ), kind="MP3"), SILENT),
    "digital silence in OGG": (sound(np.zeros(RATE_HZ), kind="OGG"), SILENT),
    "direct current": (sound(np.full(RATE_HZ, 0.3)), SILENT),
    "direct current, resampled": (sound(np.full(44_100, -1.0), 44_100), SILENT),
    "direct current in 8 bits": (sound(np.full(8000, 0.5), 8000, subtype="PCM_U8"), SILENT),
    "float noise below 16 bits": (sound(NOISE * 2**-17, subtype="FLOAT"), SILENT),
    "channels that cancel": (sound(np.stack([NOISE, -NOISE], axis=1), subtype="FLOAT"), SILENT),
    "ultrasound alone": (
        sound(np.hanning(192_000) * np.sin(np.pi / 3 * np.arange(192_000)), 192_000, subtype="FLOAT"),
        SILENT,
    ),
    "28 kB that unpack to half a gigabyte": (make_bomb, SILENT),
    "shorter than a sample": (
        sound(np.array([0.5]), 192_000, subtype="FLOAT"),
        "holds no samples at 22050 Hz, being shorter than one$",
    ),
}
HEADER_TELLS = {**UNREADABLE, **FOREIGN_FILES, **CUT, **UNTRUE, **BEYOND_LIMITS}
ALL = [UNREADABLE, FOREIGN_FILES, CUT, UNTRUE, DAMAGED, BEYOND_LIMITS, NO_SOUND]
TABLE = [(kind, *bad) for kinds in ALL for kind, bad in kinds.items()]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_bad_file__is_refused_by_name_and_for_its_reason(tmp_path: Path, make: Make, reason: str):
    make(tmp_path / "bad.wav")
    with pytest.raises(ClipError, match=rf"^{tmp_path}/bad\.wav: {reason}"):
        read(tmp_path / "bad.wav")


@pytest.mark.parametrize(("make", "reason"), HEADER_TELLS.values(), ids=HEADER_TELLS)
def test_length__is_refused_for_what_the_header_tells(tmp_path: Path, make: Make, reason: str):
    make(tmp_path / "bad.wav")
    with pytest.raises(ClipError, match=rf"^{tmp_path}/bad\.wav: {reason}"):
        length_s(tmp_path / "bad.wav")


def test_bad_files__cost_a_good_one_nothing(tmp_path: Path):
    sound()(tmp_path / "good.wav")
    expected = read(tmp_path / "good.wav")
    for number, (_, make, _) in enumerate(TABLE):
        make(tmp_path / f"{number}.wav")
        with pytest.raises(ClipError, match=rf"/{number}\.wav: "):
            read(tmp_path / f"{number}.wav")
    again = read(tmp_path / "good.wav")
    np.testing.assert_array_equal(again.samples, expected.samples)
    assert again.recorded_s == expected.recorded_s


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_permission__is_refused(tmp_path: Path):
    sound()(tmp_path / "bad.wav")
    (tmp_path / "bad.wav").chmod(0)
    with pytest.raises(ClipError, match=r"bad\.wav: cannot be read \(Permission denied\)$"):
        read(tmp_path / "bad.wav")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no\0name.wav", r"no\\x00name\.wav: cannot be the name of a file \(.*embedded null .*\)$"),
        ("\ud800.wav", r"\\ud800\.wav: cannot be the name of a file \(.+surrogates not allowed\)$"),
        ("long" * 100, r"cannot be read \(File name too long\)$"),
        ("good.wav/clip.wav", r"cannot be read \(Not a directory\)$"),
    ],
)
def test_impossible_name__is_refused_in_characters_that_can_be_printed(tmp_path: Path, name: str, reason: str):
    sound()(tmp_path / "good.wav")
    with pytest.raises(ClipError, match=reason) as caught:
        read(tmp_path / name)
    assert str(caught.value).isprintable()


def test_pipe_that_takes_the_place_of_a_file__does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Between the look at a file and its opening."""
    sound()(tmp_path / "good.wav")
    regular = (tmp_path / "good.wav").stat()
    os.mkfifo(tmp_path / "pipe.wav")
    with monkeypatch.context() as patched_path:
        patched_path.setattr(Path, "stat", lambda _path: regular)
        with pytest.raises(ClipError, match=r"pipe\.wav: "):
            read(tmp_path / "pipe.wav")


def test_flac_that_unpacks_without_end__is_counted_so_far_and_then_infinitely_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where windows are made of it, that is too many, and it is named."""
    make_bomb(tmp_path / "bomb.flac")
    monkeypatch.setattr(audio, "_MOST_COUNTED", 2**22)
    assert length_s(tmp_path / "bomb.flac") == math.inf


def test_mp3_that_announces_too_much__is_read_as_far_as_it_goes(tmp_path: Path):
    """Unlike the count of bytes, the count of frames may be an estimate."""
    path = tmp_path / "sound.mp3"
    MP3(path)
    data = bytearray(path.read_bytes())
    mark = max(data.find(b"Xing"), data.find(b"Info"))
    data[mark + 8 : mark + 12] = b"\xff" * 4
    path.write_bytes(data)
    assert length_s(path) > 10**7
    assert read(path).recorded_s == pytest.approx(3.0, abs=0.1)
    with pytest.raises(
        ClipError, match=r"sound\.mp3: holds no sound at 1000 s: it ends before, or is damaged$"
    ):
        read_clip(path, sample_rate_hz=RATE_HZ, duration_s=4.0, start_s=1000.0, is_excerpt=False)


def test_many_channels__are_mixed_in_a_bounded_memory(tmp_path: Path):
    """Decoded at once they would take 49 MB."""
    path = tmp_path / "many.wav"
    sound(np.tile(NOISE[:, None], (4, 64)), 48_000)(path)
    tracemalloc.start()
    try:
        read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 15e6


@pytest.mark.parametrize(
    ("kind", "rate_hz"), [("WAV", 44_100), ("FLAC", 96_000), ("OGG", 48_000), ("MP3", 44_100)]
)
def test_long_file__is_decoded_only_where_the_clip_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, rate_hz: int
):
    path = tmp_path / "long.bin"
    sound(np.tile(NOISE, 30), rate_hz, kind=kind)(path)
    decoded = []
    whole_read = soundfile.SoundFile.read

    def count(*arguments: object, **options: object) -> np.ndarray:
        block = whole_read(*arguments, **options)
        decoded.append(block.shape)
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", count)
    read_clip(path, sample_rate_hz=RATE_HZ, duration_s=2.0, start_s=10.0, end_s=15.0, is_excerpt=False)
    assert sum(shape[0] for shape in decoded) <= 2.25 * rate_hz
    assert max(np.prod(shape) for shape in decoded) <= 2**18
