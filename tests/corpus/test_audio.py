"""Sound files as arrays: what is refused and why, and what the samples of the others are."""

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from toolkit.corpus.audio import read_clip
from toolkit.errors import ClipError

RATE_HZ = 22_050
DURATION_S = 4.0
N_SAMPLES = 88_200
HEADER_LENGTH = 44

Signal = npt.NDArray[np.float64]


def read(path: Path) -> tuple[np.ndarray, float]:
    return read_clip(path, sample_rate_hz=RATE_HZ, duration_s=DURATION_S)


def tone(frequency_hz: float, *, rate_hz: int = RATE_HZ, duration_s: float = 1.0) -> Signal:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * rate_hz)) / rate_hz)


def noise(n_samples: int) -> Signal:
    return np.random.default_rng(0).uniform(-0.5, 0.5, n_samples)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """One second of noise, 16 bits, with the 44-byte header that most programs write."""
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise(RATE_HZ), RATE_HZ, subtype="PCM_16")
    assert path.stat().st_size == HEADER_LENGTH + 2 * RATE_HZ
    return path


def test_absent_file__is_refused(tmp_path: Path):
    with pytest.raises(ClipError, match=r"none\.wav: file is absent$"):
        read(tmp_path / "none.wav")


def test_empty_file__is_refused(tmp_path: Path):
    (tmp_path / "empty.wav").touch()
    with pytest.raises(ClipError, match=r"empty\.wav: file is empty \(0 bytes\)$"):
        read(tmp_path / "empty.wav")


def test_folder__is_refused(tmp_path: Path):
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(ClipError, match=r"folder\.wav: is not a regular file$"):
        read(tmp_path / "folder.wav")


@pytest.mark.parametrize("name", ["text.wav", "text.flac", "text.ogg", "text.mp3", "text"])
def test_text__is_refused_whatever_its_name(tmp_path: Path, name: str):
    (tmp_path / name).write_text("this is no sound\n" * 100, encoding="utf-8")
    with pytest.raises(ClipError, match=rf"{name}: cannot be decoded as sound \(.+\)$"):
        read(tmp_path / name)


@pytest.mark.parametrize("n_bytes", [1, 2, 1000, 2 * RATE_HZ])
def test_truncated_wav__is_refused_with_both_lengths(wav: Path, n_bytes: int):
    wav.write_bytes(wav.read_bytes()[:-n_bytes])
    message = rf"truncated: announces {2 * RATE_HZ} bytes of sound, holds {2 * RATE_HZ - n_bytes}$"
    with pytest.raises(ClipError, match=message):
        read(wav)


@pytest.mark.parametrize("length", [12, 20, 36, 40, 43])
def test_wav_cut_within_its_header__is_refused(wav: Path, length: int):
    wav.write_bytes(wav.read_bytes()[:length])
    with pytest.raises(ClipError, match="truncated: the file ends before its sound begins"):
        read(wav)


def test_truncated_wav__is_found_behind_other_chunks(wav: Path):
    """Chunks of odd length are followed by one byte of padding."""
    data = wav.read_bytes()
    with_note = data[:36] + b"note" + struct.pack("<I", 3) + b"abc\0" + data[36:]
    wav.write_bytes(with_note)
    assert read(wav)[1] == pytest.approx(1.0)
    wav.write_bytes(with_note[:-10])
    with pytest.raises(ClipError, match=rf"truncated: announces {2 * RATE_HZ} bytes"):
        read(wav)


def test_truncated_wav__is_refused_even_if_the_wanted_seconds_are_there(tmp_path: Path):
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(6 * RATE_HZ), RATE_HZ, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[: HEADER_LENGTH + 10 * RATE_HZ])
    with pytest.raises(ClipError, match="truncated"):
        read(path)


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_truncated_compressed_file__is_refused(tmp_path: Path, suffix: str):
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, noise(RATE_HZ), RATE_HZ)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ClipError, match=r"cannot be decoded as sound|holds no samples"):
        read(path)


def test_header_without_sound__is_refused(tmp_path: Path):
    path = tmp_path / "header.wav"
    soundfile.write(path, np.zeros(0), RATE_HZ, subtype="PCM_16")
    assert path.stat().st_size == HEADER_LENGTH
    with pytest.raises(ClipError, match="holds no samples"):
        read(path)


def test_sound_shorter_than_one_sample_of_the_wanted_rate__is_refused(tmp_path: Path):
    """Resampled, it has no samples left."""
    path = tmp_path / "one.wav"
    soundfile.write(path, np.array([0.5]), 192_000, subtype="FLOAT")
    with pytest.raises(ClipError, match="holds no samples"):
        read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
def test_samples_that_are_not_finite__are_refused_and_counted(tmp_path: Path, value: float, rate_hz: int):
    samples = noise(rate_hz)
    samples[[10, 500, 9000]] = value
    path = tmp_path / "holes.wav"
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    with pytest.raises(ClipError, match=r"holes\.wav: 3 samples are not finite$"):
        read(path)


def test_samples__come_unchanged_at_the_native_rate(tmp_path: Path):
    path = tmp_path / "same.wav"
    written = noise(N_SAMPLES).astype(np.float32)
    soundfile.write(path, written, RATE_HZ, subtype="FLOAT")
    samples, recorded_s = read(path)
    np.testing.assert_array_equal(samples, written)
    assert samples.dtype == np.float32
    assert recorded_s == DURATION_S


def test_channels__are_averaged(tmp_path: Path):
    left, right = noise(RATE_HZ), tone(300)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, right], axis=1), RATE_HZ, subtype="FLOAT")
    samples, recorded_s = read(path)
    np.testing.assert_allclose(samples[:RATE_HZ], (left + right) / 2, atol=1e-7)
    assert recorded_s == 1.0


def test_opposite_channels__cancel(tmp_path: Path):
    path = tmp_path / "opposite.wav"
    soundfile.write(path, np.stack([tone(300), -tone(300)], axis=1), RATE_HZ, subtype="FLOAT")
    assert np.abs(read(path)[0]).max() == 0


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])
def test_resampling__leaves_a_1_khz_tone_at_1_khz_and_at_its_level(tmp_path: Path, rate_hz: int):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(1000, rate_hz=rate_hz, duration_s=DURATION_S), rate_hz, subtype="FLOAT")
    samples, recorded_s = read(path)
    assert samples.shape == (N_SAMPLES,)
    assert samples.dtype == np.float32
    assert recorded_s == pytest.approx(DURATION_S, abs=1e-4)
    magnitude = np.abs(np.fft.rfft(samples * np.hanning(N_SAMPLES)))
    peak = int(magnitude.argmax())
    assert np.fft.rfftfreq(N_SAMPLES, 1 / RATE_HZ)[peak] == pytest.approx(1000, abs=0.25)
    assert magnitude[np.abs(np.arange(magnitude.size) - peak) > 200].max() < 1e-3 * magnitude[peak]
    middle = samples[N_SAMPLES // 4 : -N_SAMPLES // 4]
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=1e-3)


def test_resampling__does_not_fold_what_lies_above_half_the_rate(tmp_path: Path):
    path = tmp_path / "high.wav"
    soundfile.write(path, tone(15_000, rate_hz=44_100, duration_s=2.0), 44_100, subtype="FLOAT")
    samples, _ = read(path)
    assert np.abs(samples[RATE_HZ // 2 : RATE_HZ]).max() < 1e-3


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100, 16_000])
def test_longer_clip__gives_its_first_seconds(tmp_path: Path, rate_hz: int):
    """Its last samples are real sound, not the end of a resampler that ran dry."""
    path = tmp_path / "long.wav"
    soundfile.write(path, tone(440, rate_hz=rate_hz, duration_s=6.0), rate_hz, subtype="FLOAT")
    samples, recorded_s = read(path)
    assert samples.shape == (N_SAMPLES,)
    assert recorded_s == DURATION_S
    expected = tone(440, duration_s=DURATION_S)
    np.testing.assert_allclose(samples[200:], expected[200:], atol=1e-3)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100, 48_000, 8000])
@pytest.mark.parametrize("duration_s", [0.05, 1.0, 3.99])
def test_shorter_clip__is_padded_with_zeros_and_says_how_much_is_real(
    tmp_path: Path, rate_hz: int, duration_s: float
):
    path = tmp_path / "short.wav"
    soundfile.write(path, np.full(round(duration_s * rate_hz), 0.5), rate_hz, subtype="FLOAT")
    samples, recorded_s = read(path)
    assert samples.shape == (N_SAMPLES,)
    assert recorded_s == pytest.approx(duration_s, abs=1 / rate_hz + 1 / RATE_HZ)
    end = round(recorded_s * RATE_HZ)
    assert not samples[end:].any()
    assert samples[:end].all()


@pytest.mark.parametrize("riff_length", [0xFFFFFFFF, 0])
def test_streamed_wav__is_read_though_it_does_not_know_its_length(wav: Path, riff_length: int):
    expected, _ = read(wav)
    data = bytearray(wav.read_bytes())
    assert data[36:40] == b"data"
    struct.pack_into("<I", data, 4, riff_length)
    struct.pack_into("<I", data, 40, 0xFFFFFFFF)
    wav.write_bytes(data)
    samples, recorded_s = read(wav)
    np.testing.assert_array_equal(samples, expected)
    assert recorded_s == pytest.approx(1.0)


def test_flac__is_read_exactly(tmp_path: Path):
    written = np.rint(noise(RATE_HZ) * 32_767).astype(np.int16)
    path = tmp_path / "sound.flac"
    soundfile.write(path, written, RATE_HZ)
    samples, recorded_s = read(path)
    np.testing.assert_array_equal(samples[:RATE_HZ], written / np.float32(32_768))
    assert recorded_s == 1.0


def test_ogg__is_read(tmp_path: Path):
    path = tmp_path / "sound.ogg"
    soundfile.write(path, tone(1000, duration_s=2.0), RATE_HZ)
    samples, recorded_s = read(path)
    assert recorded_s == pytest.approx(2.0, abs=0.01)
    spectrum = np.abs(np.fft.rfft(samples[: 2 * RATE_HZ]))
    assert np.fft.rfftfreq(2 * RATE_HZ, 1 / RATE_HZ)[spectrum.argmax()] == pytest.approx(1000, abs=1)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_sample_formats__give_the_same_sound_within_their_resolution(tmp_path: Path, subtype: str):
    path = tmp_path / "sound.wav"
    soundfile.write(path, noise(RATE_HZ), RATE_HZ, subtype=subtype)
    tolerance = 1 / 128 if subtype == "PCM_U8" else 1 / 32_768
    np.testing.assert_allclose(read(path)[0][:RATE_HZ], noise(RATE_HZ), atol=tolerance)


def test_damaged_header__is_refused_or_read_as_finite_sound_but_never_another_error(tmp_path: Path):
    """One byte anywhere in the header takes any of a few values."""
    path = tmp_path / "damaged.wav"
    soundfile.write(path, noise(3000), RATE_HZ, subtype="PCM_16")
    whole = path.read_bytes()
    n_refused = 0
    for position in range(HEADER_LENGTH):
        for value in (0, 1, 127, 255):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            try:
                samples, recorded_s = read(path)
            except ClipError:
                n_refused += 1
            else:
                assert samples.shape == (N_SAMPLES,)
                assert np.isfinite(samples).all()
                assert 0 <= recorded_s <= DURATION_S
    assert 0 < n_refused < 4 * HEADER_LENGTH
