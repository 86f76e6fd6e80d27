"""Good sound files, whatever their form: what the samples of a clip are, and where in its file they lie."""

import math
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from toolkit.corpus.audio import Sound, length_s, place, read_clip
from toolkit.errors import ClipError, printable

RATE_HZ = 22_050
DURATION_S = 4.0
N_SAMPLES = 88_200
HEADER_LENGTH = 44

Signal = npt.NDArray[np.float64]
nan = math.nan

FORMATS = [
    ("wav", "PCM_U8", 1 / 128),
    ("wav", "PCM_16", 1 / 32_768),
    ("wav", "PCM_24", 1e-6),
    ("wav", "PCM_32", 1e-6),
    ("wav", "FLOAT", 1e-6),
    ("wav", "DOUBLE", 1e-6),
    ("wav", "ULAW", 0.02),
    ("wav", "ALAW", 0.02),
    ("rf64", "PCM_16", 1 / 32_768),
    ("w64", "PCM_16", 1 / 32_768),
    ("aiff", "PCM_16", 1 / 32_768),
    ("aiff", "PCM_S8", 1 / 128),
    ("au", "PCM_16", 1 / 32_768),
    ("caf", "PCM_24", 1e-6),
    ("nist", "PCM_16", 1 / 32_768),
    ("flac", "PCM_S8", 1 / 128),
    ("flac", "PCM_16", 1 / 32_768),
    ("flac", "PCM_24", 1e-6),
]
"""Suffix, subtype, and the largest error of a sample (a step of it, or that of float32)."""
LOSSY = [("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III")]


def read(path: Path, start_s: float = nan, end_s: float = nan, *, is_excerpt: bool = True) -> Sound:
    return read_clip(
        path,
        sample_rate_hz=RATE_HZ,
        duration_s=DURATION_S,
        start_s=start_s,
        end_s=end_s,
        is_excerpt=is_excerpt,
    )


def tone(frequency_hz: float, *, rate_hz: int = RATE_HZ, duration_s: float = 1.0) -> Signal:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * rate_hz)) / rate_hz)


def noise(n_samples: int, *, level: float = 0.5) -> Signal:
    signal = np.random.default_rng(0).uniform(-level, level, n_samples)
    return signal - signal.mean()


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, subtype: str | None = None) -> Path:
    """Write a file in pieces: libsndfile's encoder of OGG crashes on long ones."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    kind = path.suffix[1:].upper()
    with soundfile.SoundFile(path, "w", rate_hz, channels, format=kind, subtype=subtype) as file:
        for start in range(0, len(samples), 4096):
            file.write(samples[start : start + 4096])
    return path


def amplitude_at(samples: np.ndarray, frequency_hz: float, rate_hz: int = RATE_HZ) -> float:
    """Return the amplitude of one frequency, by projection on it over a whole number of periods."""
    turn = np.exp(-2j * np.pi * frequency_hz * np.arange(len(samples)) / rate_hz)
    return float(2 * np.abs(np.mean(samples * turn)))


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """One second of noise, 16 bits, with the 44-byte header that most programs write."""
    path = write(tmp_path / "noise.wav", noise(RATE_HZ), subtype="PCM_16")
    assert path.stat().st_size == HEADER_LENGTH + 2 * RATE_HZ
    return path


@pytest.mark.parametrize(("suffix", "subtype", "step"), FORMATS)
def test_every_format__gives_the_same_sound_within_its_resolution(
    tmp_path: Path, suffix: str, subtype: str, step: float
):
    path = write(tmp_path / f"sound.{suffix}", noise(RATE_HZ), subtype=subtype)
    sound = read(path)
    assert sound.recorded_s == 1.0
    assert sound.native_rate_hz == RATE_HZ
    assert length_s(path) == 1.0
    np.testing.assert_allclose(sound.samples[:RATE_HZ], noise(RATE_HZ), atol=1.01 * step)
    assert not sound.samples[RATE_HZ:].any()


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize(("suffix", "subtype"), [(suffix, subtype) for suffix, subtype, _ in FORMATS])
def test_1_khz_tone__stays_at_1_khz_and_at_its_level(tmp_path: Path, suffix: str, subtype: str, rate_hz: int):
    """The level to 0.1 %, and all else (folding, noise) below 1 % of it; at 8 bits 2 % of either."""
    path = write(tmp_path / f"t.{suffix}", tone(1000, rate_hz=rate_hz, duration_s=2.0), rate_hz, subtype)
    sound = read(path)
    assert sound.samples.shape == (N_SAMPLES,)
    assert sound.samples.dtype == np.float32
    assert sound.recorded_s == pytest.approx(2.0, abs=1e-4)
    assert sound.native_rate_hz == rate_hz
    middle = sound.samples[RATE_HZ // 2 : RATE_HZ // 2 + RATE_HZ]
    is_coarse = subtype in {"PCM_U8", "PCM_S8", "ULAW", "ALAW"}
    assert amplitude_at(middle, 1000) == pytest.approx(0.5, rel=0.02 if is_coarse else 1e-3)
    expected = tone(1000, duration_s=2.0)[RATE_HZ // 2 : RATE_HZ // 2 + RATE_HZ]
    assert np.sqrt(np.mean((middle - expected) ** 2)) < (0.02 if is_coarse else 0.01) * 0.5


@pytest.mark.parametrize(
    ("suffix", "subtype", "rate_hz"),
    [
        *(("ogg", "VORBIS", rate_hz) for rate_hz in (8000, 11_025, 44_100, 48_000, 96_000)),
        *(("ogg", "OPUS", rate_hz) for rate_hz in (8000, 24_000, 48_000)),
        *(("mp3", "MPEG_LAYER_III", rate_hz) for rate_hz in (8000, 11_025, 16_000, 44_100, 48_000)),
    ],
)
def test_1_khz_tone__stays_at_1_khz_and_at_its_level_in_lossy_formats(
    tmp_path: Path, suffix: str, subtype: str, rate_hz: int
):
    """The level to 4 %, and the length to a frame of the encoder."""
    path = write(tmp_path / f"t.{suffix}", tone(1000, rate_hz=rate_hz, duration_s=2.0), rate_hz, subtype)
    sound = read(path)
    assert sound.recorded_s == pytest.approx(2.0, abs=0.06)
    assert length_s(path) == pytest.approx(2.0, abs=0.06)
    middle = sound.samples[RATE_HZ // 2 : RATE_HZ // 2 + RATE_HZ]
    assert amplitude_at(middle, 1000) == pytest.approx(0.5, rel=0.04)
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.04)


@pytest.mark.parametrize("rate_hz", [1000, 44_101, 768_000])
def test_odd_rates__are_read(tmp_path: Path, rate_hz: int):
    path = write(tmp_path / "t.wav", tone(300, rate_hz=rate_hz), rate_hz, "FLOAT")
    sound = read(path)
    assert sound.native_rate_hz == rate_hz
    assert amplitude_at(sound.samples[4410:17_640], 300) == pytest.approx(0.5, rel=1e-3)


def test_samples__come_unchanged_at_the_native_rate(tmp_path: Path):
    written = noise(N_SAMPLES).astype(np.float32)
    sound = read(write(tmp_path / "same.wav", written, subtype="FLOAT"))
    np.testing.assert_allclose(sound.samples, written, atol=1e-7)
    assert sound.samples.dtype == np.float32
    assert sound.recorded_s == DURATION_S


@pytest.mark.parametrize("channels", [2, 3, 6, 64])
def test_channels__are_averaged(tmp_path: Path, channels: int):
    written = np.random.default_rng(1).uniform(-0.5, 0.5, (RATE_HZ, channels))
    sound = read(write(tmp_path / "many.wav", written, subtype="FLOAT"))
    mean = written.mean(axis=1)
    np.testing.assert_allclose(sound.samples[:RATE_HZ], mean - mean.mean(), atol=1e-6)


def test_file_of_more_samples_than_are_decoded_at_once__is_read_without_a_seam(tmp_path: Path):
    written = np.repeat(noise(N_SAMPLES)[:, None], 16, axis=1)
    sound = read(write(tmp_path / "many.wav", written, subtype="FLOAT"))
    np.testing.assert_allclose(sound.samples, noise(N_SAMPLES), atol=1e-6)


def test_resampling__does_not_fold_what_lies_above_half_the_rate(tmp_path: Path):
    high = tone(15_000, rate_hz=44_100, duration_s=2.0) + tone(300, rate_hz=44_100, duration_s=2.0)
    sound = read(write(tmp_path / "high.wav", high, 44_100, "FLOAT"))
    middle = sound.samples[RATE_HZ // 2 : RATE_HZ // 2 + RATE_HZ]
    assert amplitude_at(middle, 300) == pytest.approx(0.5, rel=1e-3)
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=1e-3)


def test_streamed_flac__is_read_to_its_end_though_it_does_not_announce_its_length(tmp_path: Path):
    written = noise(3 * RATE_HZ)
    path = write(tmp_path / "streamed.flac", written, subtype="PCM_24")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert length_s(path) == 3.0
    assert read(path).recorded_s == 3.0
    late = read(path, 2.5, 3.0, is_excerpt=False)
    expected = written[round(2.5 * RATE_HZ) :]
    np.testing.assert_allclose(late.samples[: RATE_HZ // 2], expected - expected.mean(), atol=1e-6)


@pytest.mark.parametrize("riff_length", [0xFFFFFFFF, 0])
@pytest.mark.parametrize("data_length", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFEFFC, 0x80000000])
def test_streamed_wav__is_read_though_it_does_not_know_its_length(
    wav: Path, riff_length: int, data_length: int
):
    """As ffmpeg, SoX (with whole frames of 1 and of 6 bytes) and arecord leave it."""
    expected = read(wav)
    data = bytearray(wav.read_bytes())
    assert data[36:40] == b"data"
    struct.pack_into("<I", data, 4, riff_length)
    struct.pack_into("<I", data, 40, data_length)
    wav.write_bytes(data)
    sound = read(wav)
    np.testing.assert_array_equal(sound.samples, expected.samples)
    assert sound.recorded_s == pytest.approx(1.0)
    assert length_s(wav) == pytest.approx(1.0)


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "aiff"])
@pytest.mark.parametrize("name", ["sound.wav", "sound", "sound.txt"])
def test_content__counts_and_not_the_name(tmp_path: Path, suffix: str, name: str):
    path = write(tmp_path / f"sound.{suffix}", tone(1000, duration_s=2.0))
    expected = read(path).samples
    np.testing.assert_array_equal(read(path.rename(tmp_path / name)).samples, expected)


def test_mp3__is_read_though_macos_left_a_file_beside_it(tmp_path: Path):
    """Opened by its name, libsndfile takes "._name" for a resource fork and the file for Sound Designer II."""
    path = write(tmp_path / "sound.mp3", tone(1000, duration_s=2.0))
    (tmp_path / "._sound.mp3").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(100))
    assert read(path).recorded_s == pytest.approx(2.0, abs=0.06)


def test_mp3_behind_a_tag__is_read(tmp_path: Path):
    path = write(tmp_path / "sound.mp3", tone(1000, duration_s=2.0))
    expected = read(path).samples
    path.write_bytes(b"ID3\3\0\0\0\0\2\x58" + bytes(344) + path.read_bytes())
    np.testing.assert_array_equal(read(path).samples, expected)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
@pytest.mark.parametrize("offset", [0.4, -0.25])
def test_dc__is_removed_from_the_recorded_part_alone(tmp_path: Path, rate_hz: int, offset: float):
    """Nor does the step that it made at either end ring on."""
    pure = tone(1000, rate_hz=rate_hz)
    sound = read(write(tmp_path / "dc.wav", offset + pure, rate_hz, "FLOAT"))
    expected = read(write(tmp_path / "pure.wav", pure, rate_hz, "FLOAT"))
    assert sound.recorded_s == 1.0
    assert abs(sound.samples[:RATE_HZ].mean(dtype=np.float64)) < 1e-7
    assert not sound.samples[RATE_HZ:].any()
    np.testing.assert_allclose(sound.samples, expected.samples, atol=1e-6)


def test_dc__is_that_of_the_clip_and_not_of_the_rest_of_its_recording(tmp_path: Path):
    written = np.concatenate([tone(1000) + 0.5, tone(1000) - 0.5])
    path = write(tmp_path / "step.wav", written, subtype="FLOAT")
    for start_s in (0.0, 1.0):
        sound = read(path, start_s, start_s + 1, is_excerpt=False)
        np.testing.assert_allclose(sound.samples[:RATE_HZ], tone(1000), atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100, 192_000])
def test_dither_of_one_step_of_16_bits__is_not_silence(tmp_path: Path, subtype: str, rate_hz: int):
    written = np.random.default_rng(2).integers(-1, 2, 4 * rate_hz) / 32_768
    sound = read(write(tmp_path / "dither.wav", written, rate_hz, subtype))
    assert 2**-17 < np.abs(sound.samples).max() < 3 * 2**-15


def test_one_sample_that_differs_by_one_step__is_not_silence(tmp_path: Path):
    written = np.full(RATE_HZ, 100, np.int16)
    written[500] = 101
    sound = read(write(tmp_path / "blip.wav", written, subtype="PCM_16"))
    assert sound.samples.argmax() == 500


@pytest.mark.parametrize(
    ("subtype", "lowest", "highest"),
    [
        ("PCM_16", -1.0, 32_767 / 32_768),
        ("PCM_24", -1.0, 1 - 2**-23),
        ("PCM_32", -1.0, 1 - 2**-31),
        ("PCM_U8", -1.0, 127 / 128),
        ("FLOAT", -1.0, 1.0),
        ("DOUBLE", -3.0, 1.5),
    ],
)
def test_clipping__is_counted_at_full_scale_of_the_format(
    tmp_path: Path, subtype: str, lowest: float, highest: float
):
    written = 0.9 * tone(50) / 0.5
    written[:100], written[100:150] = lowest, highest
    sound = read(write(tmp_path / "loud.wav", written, subtype=subtype))
    assert sound.clipped_share == pytest.approx(150 / RATE_HZ, rel=1e-6)
    assert read(write(tmp_path / "fine.wav", 0.9 * tone(50), subtype=subtype)).clipped_share == 0.0


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_clipping__is_counted_at_the_largest_number_of_telephone_formats(tmp_path: Path, subtype: str):
    written = tone(50)
    written[:100], written[100:150] = 1.0, -1.0
    path = write(tmp_path / "loud.wav", written, subtype=subtype)
    assert read(path).clipped_share == pytest.approx(150 / RATE_HZ, rel=1e-6)


def test_clipping__is_counted_in_any_channel_before_they_are_mixed(tmp_path: Path):
    written = np.stack([tone(50), -tone(50)], axis=1) * 0.5
    written[:30, 0], written[20:50, 1] = 1.0, -1.0
    sound = read(write(tmp_path / "loud.wav", written, subtype="FLOAT"))
    assert sound.clipped_share == pytest.approx(50 / RATE_HZ, rel=1e-6)


def test_clipping__is_counted_in_the_recorded_part_alone(tmp_path: Path):
    written = tone(50, duration_s=3.0)
    written[RATE_HZ - 10 : RATE_HZ + 10] = 1.0
    path = write(tmp_path / "loud.wav", written, subtype="FLOAT")
    assert read(path, 1.0, 2.0, is_excerpt=False).clipped_share == pytest.approx(10 / RATE_HZ)
    assert read(path, 1.5, 2.0, is_excerpt=False).clipped_share == 0.0


def test_float_samples_beyond_full_scale__are_kept(tmp_path: Path):
    """Some programs write whole numbers of 16 or 32 bits as floats."""
    for scale in (3.0, 2.0**15, 2.0**31):
        path = write(tmp_path / "loud.wav", (scale * noise(RATE_HZ)).astype(np.float32), subtype="FLOAT")
        np.testing.assert_allclose(read(path).samples[:RATE_HZ] / scale, noise(RATE_HZ), atol=1e-6)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100, 16_000])
def test_longer_file__gives_its_first_seconds(tmp_path: Path, rate_hz: int):
    """Its last samples are real sound, not the end of a resampler that ran dry."""
    path = write(tmp_path / "long.wav", tone(440, rate_hz=rate_hz, duration_s=6.0), rate_hz, "FLOAT")
    sound = read(path)
    assert sound.samples.shape == (N_SAMPLES,)
    assert sound.recorded_s == DURATION_S
    np.testing.assert_allclose(sound.samples[200:], tone(440, duration_s=DURATION_S)[200:], atol=1e-3)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100, 48_000, 8000])
@pytest.mark.parametrize("duration_s", [0.05, 1.0, 3.99])
def test_shorter_file__is_padded_with_zeros_and_says_how_much_is_real(
    tmp_path: Path, rate_hz: int, duration_s: float
):
    written = 0.1 + noise(round(duration_s * rate_hz))
    sound = read(write(tmp_path / "short.wav", written, rate_hz, "FLOAT"))
    assert sound.samples.shape == (N_SAMPLES,)
    assert sound.recorded_s == pytest.approx(duration_s, abs=1 / rate_hz + 1 / RATE_HZ)
    end = round(sound.recorded_s * RATE_HZ)
    assert not sound.samples[end:].any()
    assert sound.samples[:end].all()


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "FLOAT"), ("flac", "PCM_24"), ("caf", "PCM_24")])
def test_clip_of_a_recording__is_exactly_those_samples(tmp_path: Path, suffix: str, subtype: str):
    written = noise(20 * RATE_HZ)
    path = write(tmp_path / f"recording.{suffix}", written, subtype=subtype)
    for start_s, end_s in [(0, 4), (0.01, 4.01), (7.3, 9.1), (16, 20), (18.5, 20), (nan, 3), (12, nan)]:
        sound = read(path, start_s, end_s, is_excerpt=False)
        first = 0 if math.isnan(start_s) else round(start_s * RATE_HZ)
        last = len(written) if math.isnan(end_s) else round(end_s * RATE_HZ)
        expected = written[first : min(last, first + N_SAMPLES)]
        assert sound.recorded_s == pytest.approx(len(expected) / RATE_HZ, abs=1e-9)
        np.testing.assert_allclose(sound.samples[: len(expected)], expected - expected.mean(), atol=1e-6)
        assert not sound.samples[len(expected) :].any()


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 8000, 44_101])
def test_clip_of_a_recording__is_what_the_whole_recording_resampled_is_there(tmp_path: Path, rate_hz: int):
    """The resampler runs in before the clip, so that a cut makes no click."""
    path = write(tmp_path / "recording.wav", noise(6 * rate_hz), rate_hz, "FLOAT")
    options = {"sample_rate_hz": RATE_HZ, "is_excerpt": False}
    whole = read_clip(path, duration_s=6.0, **options).samples
    clip = read_clip(path, duration_s=1.0, start_s=3.0, end_s=5.0, **options).samples
    expected = whole[3 * RATE_HZ : 4 * RATE_HZ]
    np.testing.assert_allclose(clip, expected - expected.mean(), atol=1e-4)


@pytest.mark.parametrize(("suffix", "subtype"), LOSSY)
def test_clip_of_a_lossy_recording__is_what_the_whole_recording_is_there(
    tmp_path: Path, suffix: str, subtype: str
):
    """Three tones, so that a decoder that runs in only after the cut, or stands elsewhere, is found out."""
    rate_hz = 48_000
    written = np.concatenate([tone(frequency, rate_hz=rate_hz) for frequency in (500, 1500, 4000)])
    path = write(tmp_path / f"recording.{suffix}", written, rate_hz, subtype)
    whole = read(path).samples
    clip = read(path, 1.2, 2.8, is_excerpt=False)
    assert clip.recorded_s == pytest.approx(1.6, abs=1e-4)
    expected = whole[round(1.2 * RATE_HZ) : round(2.8 * RATE_HZ)]
    # An Opus decoder carries on from what it heard long before.
    tolerance = 0.02 if subtype == "OPUS" else 1e-3
    ends = slice(100, -100)
    np.testing.assert_allclose(clip.samples[: len(expected)][ends], expected[ends], atol=tolerance)


def test_codec_without_a_seek__is_read_through_to_the_clip(tmp_path: Path):
    written = tone(300, rate_hz=8000, duration_s=20.0)
    path = write(tmp_path / "phone.au", written, 8000, "G721_32")
    with soundfile.SoundFile(path) as file, pytest.raises(soundfile.SoundFileError):
        file.seek(1000)
    sound = read(path, 15.0, 18.0, is_excerpt=False)
    assert sound.recorded_s == 3.0
    assert amplitude_at(sound.samples[: 2 * RATE_HZ], 300) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("filling", ["zeros", "repetition", "nothing"])
def test_excerpt__is_recorded_as_long_as_its_times_say(tmp_path: Path, filling: str):
    """Pre-processed copies fill short clips up."""
    clip = noise(RATE_HZ)
    filled = {"zeros": np.zeros(3 * RATE_HZ), "repetition": np.tile(clip, 3), "nothing": np.zeros(0)}[filling]
    path = write(tmp_path / "filled.wav", np.concatenate([clip, filled]), subtype="FLOAT")
    sound = read(path, 100.0, 101.0)
    assert sound.recorded_s == 1.0
    np.testing.assert_allclose(sound.samples[:RATE_HZ], clip, atol=1e-6)
    assert not sound.samples[RATE_HZ:].any()


def test_excerpt_that_cannot_be_one__is_cut_like_a_recording(tmp_path: Path):
    written = noise(20 * RATE_HZ)
    path = write(tmp_path / "recording.wav", written, subtype="FLOAT")
    expected = written[10 * RATE_HZ : 12 * RATE_HZ]
    sound = read(path, 10.0, 12.0)
    assert sound.recorded_s == 2.0
    np.testing.assert_allclose(sound.samples[: 2 * RATE_HZ], expected - expected.mean(), atol=1e-6)


@pytest.mark.parametrize(
    ("file_length_s", "start_s", "end_s", "is_excerpt", "expected"),
    [
        (4.0, 100, 104, True, (0, 4)),
        (4.0, 100, 102, True, (0, 2)),
        (3.0, 100, 104, True, (0, 3)),
        (5.0, 1, 5, True, (0, 4)),  # one second longer than an excerpt may be
        (5.01, 1, 5, True, (1, 5)),
        (5.01, 0.5, 1.5, True, (0.5, 1.5)),
        (7.0, 10, 16, True, (0, 6)),  # an excerpt longer than the clip
        (50.0, 100, 104, True, (0, 4)),  # too short to be the recording
        (103.95, 100, 104, True, (100, 103.95)),  # its length rounded
        (103.5, 100, 104, True, (0, 4)),
        (200.0, 100, 104, True, (100, 104)),
        (200.0, nan, nan, True, (0, 200)),
        (200.0, 100, nan, True, (0, 200)),
        (200.0, nan, 104, True, (0, 200)),
        (200.0, 100, 104, False, (100, 104)),
        (4.0, 1, 2, False, (1, 2)),
        (102.0, 100, 104, False, (100, 102)),
        (200.0, nan, 104, False, (0, 104)),
        (200.0, 100, nan, False, (100, 200)),
        (200.0, nan, nan, False, (0, 200)),
        (2.0, 100, 104, False, (100, 2)),
        (4.0, 0, math.inf, True, (0, 4)),
    ],
)
def test_place__follows_the_rule(
    file_length_s: float, start_s: float, end_s: float, is_excerpt: bool, expected: tuple[float, float]
):
    found = place(file_length_s, DURATION_S, start_s=start_s, end_s=end_s, is_excerpt=is_excerpt)
    assert found == expected


@pytest.mark.parametrize(("start_s", "end_s"), [(6.0, 9.0), (5.0, 6.0), (4.99999, 9.0), (1e300, 2e300)])
def test_clip_past_the_end_of_its_file__is_refused_with_both_times(
    tmp_path: Path, start_s: float, end_s: float
):
    path = write(tmp_path / "short.wav", noise(5 * RATE_HZ), subtype="PCM_16")
    message = rf"short\.wav: the clip starts at {start_s:g} s, but the file ends at 5 s: correct the start"
    with pytest.raises(ClipError, match=message.replace("+", r"\+")):
        read(path, start_s, end_s, is_excerpt=False)


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(-1.0, 2.0), (2.0, 2.0), (3.0, 2.0), (math.inf, nan), (nan, 0.0), (nan, -1.0)]
)
def test_impossible_times__are_refused(wav: Path, start_s: float, end_s: float):
    with pytest.raises(ClipError, match=r"noise\.wav: start_s=.+ to end_s=.+ is no stretch of time"):
        read(wav, start_s, end_s)


def test_last_sample_of_a_recording__is_a_clip_of_one_sample_and_so_silent(tmp_path: Path):
    """The mean of one sample is that sample."""
    path = write(tmp_path / "short.wav", noise(RATE_HZ), subtype="FLOAT")
    with pytest.raises(ClipError, match="holds only silence"):
        read(path, (RATE_HZ - 1) / RATE_HZ, nan, is_excerpt=False)


def test_ten_hours__are_as_cheap_as_ten_seconds(tmp_path: Path):
    """A file of 3.2 GB, all holes but for a tone at its end; only seconds are read."""
    path = write(tmp_path / "day.wav", tone(1000), 44_100, "PCM_16")
    header = bytearray(path.read_bytes()[:HEADER_LENGTH])
    n_bytes = 36_000 * 44_100 * 2
    struct.pack_into("<I", header, 4, n_bytes + 36)
    struct.pack_into("<I", header, 40, n_bytes)
    ending = np.rint(tone(1000, rate_hz=44_100) * 32_767).astype("<i2")
    with path.open("wb") as file:
        file.write(header)
        file.seek(HEADER_LENGTH + n_bytes - 2 * len(ending))
        file.write(ending.tobytes())
    assert length_s(path) == 36_000.0
    sound = read(path, 35_999.0, 36_000.0, is_excerpt=False)
    assert sound.recorded_s == 1.0
    assert amplitude_at(sound.samples[2205:19_845], 1000) == pytest.approx(0.5, rel=1e-3)
    assert path.stat().st_blocks * 512 < 10**7


def test_no_descriptor__stays_open(wav: Path, tmp_path: Path):
    (tmp_path / "bad.wav").write_bytes(wav.read_bytes()[:-10])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        read(wav)
        with pytest.raises(ClipError, match="truncated"):
            read(tmp_path / "bad.wav")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("dog bark.wav", "dog bark.wav"),
        ("Hündin 犬.wav", "Hündin 犬.wav"),
        ("""it's <b>"bold".wav""", """it's <b>"bold".wav"""),
        ("two\nlines\t.wav", r"two\nlines\t.wav"),
        (os.fsdecode(b"caf\xe9.wav"), r"caf\xe9.wav"),
        ("\u202egpj.wav", r"\u202egpj.wav"),
        ("\x1b[31mred.wav", r"\x1b[31mred.wav"),
    ],
)
def test_names__are_shown_so_that_they_can_be_printed(tmp_path: Path, name: str, shown: str):
    assert printable(Path(name)) == shown
    with pytest.raises(ClipError, match="file is absent") as caught:
        read(tmp_path / name)
    assert str(caught.value) == f"{tmp_path}/{shown}: file is absent"
    str(caught.value).encode("utf-8")
    sound = read(write_as(tmp_path / name))
    assert sound.recorded_s == 1.0


def write_as(path: Path) -> Path:
    """Write a good file under a name that soundfile does not take."""
    return write(path.with_name("plain.wav"), noise(RATE_HZ), subtype="PCM_16").rename(path)
