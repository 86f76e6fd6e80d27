"""The synthetic corpus: its layout, its repeatability, and whether each class sounds like its name."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from toolkit.corpus import synthetic
from toolkit.corpus.sounds import RENDERERS, SAMPLE_RATE_HZ
from toolkit.corpus.synthetic import Recording, plan_recordings, write_corpus
from toolkit.errors import ConfigError, CorpusError

Signal = npt.NDArray[np.float64]
URBANSOUND_CLASSES = {
    "air_conditioner": 0,
    "car_horn": 1,
    "children_playing": 2,
    "dog_bark": 3,
    "drilling": 4,
    "engine_idling": 5,
    "gun_shot": 6,
    "jackhammer": 7,
    "siren": 8,
    "street_music": 9,
}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("synthetic") / "corpus"
    write_corpus(directory, seed=0)
    return directory


@pytest.fixture(scope="session")
def rows(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "metadata" / "UrbanSound8K.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def plan_every(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that has only every n-th recording written, so that a test stays short."""

    def replace_plan(step: int) -> None:
        def plan_few(seed: int) -> list[Recording]:
            return plan_recordings(seed)[::step]

        monkeypatch.setattr(synthetic, "plan_recordings", plan_few)

    return replace_plan


def read_pcm(corpus: Path, row: dict[str, str], stem: str | None = None) -> npt.NDArray[np.int16]:
    name = row["slice_file_name"] if stem is None else f"{Path(row['slice_file_name']).stem}.{stem}.wav"
    samples, _ = soundfile.read(
        corpus / ("audio" if stem is None else "stems") / f"fold{row['fold']}" / name, dtype="int16"
    )
    return np.asarray(samples, dtype=np.int16)


def read_objects(corpus: Path, rows: list[dict[str, str]], class_name: str) -> list[Signal]:
    return [read_pcm(corpus, row, "object") / 32_768.0 for row in rows if row["class"] == class_name]


def measure_power(samples: Signal, rate_hz: float = SAMPLE_RATE_HZ) -> tuple[Signal, Signal]:
    power: Signal = np.square(np.abs(np.fft.rfft(samples)))
    return np.fft.rfftfreq(samples.size, 1 / rate_hz), power


def measure_band_share(samples: Signal, low_hz: float, high_hz: float) -> float:
    frequency_hz, power = measure_power(samples)
    return float(power[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].sum() / power.sum())


def measure_frame_level(samples: Signal, frame_length: int) -> Signal:
    frames = samples[: samples.size // frame_length * frame_length].reshape(-1, frame_length)
    return np.asarray(np.sqrt((frames**2).mean(axis=1)))


def track_peak_hz(samples: Signal, frame_length: int = 1024) -> Signal:
    frames = samples[: samples.size // frame_length * frame_length].reshape(-1, frame_length)
    power = np.abs(np.fft.rfft(frames * np.hanning(frame_length), 8192)) ** 2
    return np.asarray(power.argmax(axis=1) * SAMPLE_RATE_HZ / 8192)


def read_tree(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def test_corpus__has_the_classes_of_urbansound8k(rows: list[dict[str, str]]) -> None:
    assert {row["class"]: int(row["classID"]) for row in rows} == URBANSOUND_CLASSES
    assert list(rows[0]) == [
        "slice_file_name",
        "fsID",
        "start",
        "end",
        "salience",
        "fold",
        "classID",
        "class",
    ]


def test_corpus__has_two_clips_of_each_of_three_recordings_per_class_and_fold(
    rows: list[dict[str, str]],
) -> None:
    clips_of_recording = Counter((row["class"], row["fold"], row["fsID"]) for row in rows)
    assert set(clips_of_recording.values()) == {2}
    assert len({fs_id for _, _, fs_id in clips_of_recording}) == 150
    recordings_of_fold = Counter(key[:2] for key in clips_of_recording)
    assert set(recordings_of_fold.values()) == {3}
    assert len(recordings_of_fold) == 50


def test_corpus__holds_exactly_the_files_of_its_table(corpus: Path, rows: list[dict[str, str]]) -> None:
    names = {(row["fold"], row["slice_file_name"].removesuffix(".wav")) for row in rows}
    audio = {f"audio/fold{fold}/{name}.wav" for fold, name in names}
    stems = {f"stems/fold{fold}/{name}.{stem}.wav" for fold, name in names for stem in ("object", "background")}
    others = {"README.txt", "synthetic.json", "metadata/UrbanSound8K.csv"}
    assert set(read_tree(corpus)) == audio | stems | others
    assert len(audio) == 300


def test_corpus__names_clips_by_recording_and_class(rows: list[dict[str, str]]) -> None:
    for row in rows:
        fs_id, class_id, occurrence_id, slice_id = row["slice_file_name"].removesuffix(".wav").split("-")
        assert (fs_id, class_id, occurrence_id) == (row["fsID"], row["classID"], "0")
        assert slice_id in {"0", "1"}


def test_corpus__has_a_third_of_each_class_and_fold_in_the_background(rows: list[dict[str, str]]) -> None:
    salience_counts = Counter((row["class"], row["fold"], row["salience"]) for row in rows)
    assert {count for key, count in salience_counts.items() if key[2] == "1"} == {4}
    assert {count for key, count in salience_counts.items() if key[2] == "2"} == {2}


def test_corpus__durations_in_the_table_are_those_of_the_files(
    corpus: Path, rows: list[dict[str, str]]
) -> None:
    for row in rows:
        info = soundfile.info(corpus / "audio" / f"fold{row['fold']}" / row["slice_file_name"])
        assert (info.samplerate, info.channels, info.subtype) == (22_050, 1, "PCM_16")
        assert float(row["end"]) - float(row["start"]) == pytest.approx(info.frames / 22_050, abs=1e-9)
        assert 0.6 <= info.frames / 22_050 <= 4.0


def test_corpus__only_event_classes_have_short_clips(rows: list[dict[str, str]]) -> None:
    short = Counter(row["class"] for row in rows if float(row["end"]) - float(row["start"]) < 3.9)
    assert set(short) == {"car_horn", "dog_bark", "gun_shot"}
    assert min(short.values()) >= 10


def test_corpus__clips_of_a_recording_follow_each_other(rows: list[dict[str, str]]) -> None:
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert first["fsID"] == second["fsID"]
        assert float(second["start"]) >= float(first["end"])


def test_corpus__stems_add_up_to_the_mix(corpus: Path, rows: list[dict[str, str]]) -> None:
    """In 32 bits, so that a sum that wraps around cannot pass."""
    for row in rows:
        total = read_pcm(corpus, row, "object").astype(np.int32) + read_pcm(corpus, row, "background")
        np.testing.assert_array_equal(total, read_pcm(corpus, row))


def test_corpus__never_clips_and_never_whispers(corpus: Path, rows: list[dict[str, str]]) -> None:
    for row in rows:
        peak = np.abs(read_pcm(corpus, row).astype(np.int32)).max()
        assert 3_000 < peak <= 0.951 * 32_767


def test_corpus__salience_is_the_ratio_of_object_to_background(
    corpus: Path, rows: list[dict[str, str]]
) -> None:
    for row in rows:
        levels = [
            np.sqrt(np.mean((read_pcm(corpus, row, stem) / 32_768.0) ** 2)) for stem in ("object", "background")
        ]
        ratio_db = 20 * np.log10(levels[0] / levels[1])
        low_db, high_db = (14, 26) if row["salience"] == "1" else (0, 6)
        assert low_db - 0.5 < ratio_db < high_db + 0.5, row["slice_file_name"]


@pytest.mark.parametrize("class_name", RENDERERS)
def test_renderers__are_finite_and_repeat_for_the_same_streams(class_name: str) -> None:
    first, again, other = (
        RENDERERS[class_name](np.random.default_rng(7), np.random.default_rng(events_seed), 22_050)
        for events_seed in (8, 8, 9)
    )
    assert first.shape == (22_050,)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_air_conditioner__is_a_steady_low_hum(corpus: Path, rows: list[dict[str, str]]) -> None:
    for samples in read_objects(corpus, rows, "air_conditioner"):
        level = measure_frame_level(samples, 4410)
        assert level.std() / level.mean() < 0.25
        assert measure_band_share(samples, 0, 2000) > 0.7


def test_car_horn__has_two_fundamentals_about_a_third_apart(corpus: Path, rows: list[dict[str, str]]) -> None:
    for samples in read_objects(corpus, rows, "car_horn"):
        frequency_hz, power = measure_power(samples)
        power = np.where((frequency_hz > 330) & (frequency_hz < 530), power, 0.0)
        first_hz = frequency_hz[power.argmax()]
        elsewhere = np.where(np.abs(frequency_hz / first_hz - 1) > 0.08, power, 0.0)
        interval = frequency_hz[elsewhere.argmax()] / first_hz
        assert 1.16 < max(interval, 1 / interval) < 1.27
        assert elsewhere.max() > 0.1 * power.max()


def test_children_playing__are_irregular_voices(corpus: Path, rows: list[dict[str, str]]) -> None:
    for samples in read_objects(corpus, rows, "children_playing"):
        level = measure_frame_level(samples, 2205)
        assert measure_band_share(samples, 200, 4000) > 0.9
        assert level.std() / level.mean() > 0.4


def test_dog_bark__is_short_barks_with_silence_between(corpus: Path, rows: list[dict[str, str]]) -> None:
    for samples in read_objects(corpus, rows, "dog_bark"):
        level = measure_frame_level(samples, 220)
        is_loud = np.concatenate([[False], level > 0.01 * level.max(), [False]]).astype(np.int8)
        starts, ends = np.flatnonzero(np.diff(is_loud) == 1), np.flatnonzero(np.diff(is_loud) == -1)
        assert (ends - starts).max() <= 36
        assert starts.size >= 2 or samples.size < 1.1 * SAMPLE_RATE_HZ
        assert (starts[1:] - ends[:-1]).min(initial=99) >= 13


def test_drilling__is_a_high_whine_and_noise(corpus: Path, rows: list[dict[str, str]]) -> None:
    for samples in read_objects(corpus, rows, "drilling"):
        assert measure_band_share(samples, 700, 8000) > 0.8
        assert measure_band_share(samples, 1000, 6000) > 0.5


def test_engine_idling__lies_below_1_khz(corpus: Path, rows: list[dict[str, str]]) -> None:
    for samples in read_objects(corpus, rows, "engine_idling"):
        assert measure_band_share(samples, 0, 1000) > 0.95


def test_gun_shot__is_impulsive_and_early(corpus: Path, rows: list[dict[str, str]]) -> None:
    for samples in read_objects(corpus, rows, "gun_shot"):
        level = measure_frame_level(samples, 220)
        energy = np.sort(level**2)[::-1]
        assert np.abs(samples).max() / np.sqrt(np.mean(samples**2)) > 8
        assert energy[:20].sum() > 0.6 * energy.sum()
        assert np.flatnonzero(level > 0.3 * level.max())[0] < 10
        assert (samples[: int(1.7 * SAMPLE_RATE_HZ)] ** 2).sum() > 0.95 * (samples**2).sum()


def test_jackhammer__strikes_15_to_25_times_a_second(corpus: Path, rows: list[dict[str, str]]) -> None:
    for samples in read_objects(corpus, rows, "jackhammer"):
        envelope = np.convolve(measure_frame_level(samples, 105), np.hanning(9), mode="same")
        frequency_hz, power = measure_power(envelope, rate_hz=SAMPLE_RATE_HZ / 105)
        in_range = (frequency_hz > 4) & (frequency_hz < 60)
        assert 15 <= frequency_hz[in_range][power[in_range].argmax()] <= 25
        assert measure_band_share(samples, 900, 4500) > 0.15


def test_siren__sweeps_within_its_band(corpus: Path, rows: list[dict[str, str]]) -> None:
    for samples in read_objects(corpus, rows, "siren"):
        low_hz, high_hz = np.percentile(track_peak_hz(samples), [2, 98])
        assert measure_band_share(samples, 400, 4000) > 0.9
        assert 480 < low_hz < 1.35 * low_hz < high_hz < 1650


def test_siren__clips_of_a_recording_share_its_range_and_recordings_differ(
    corpus: Path, rows: list[dict[str, str]]
) -> None:
    ranges_hz = [np.percentile(track_peak_hz(x), [2, 98]) for x in read_objects(corpus, rows, "siren")]
    within = np.abs(np.log2(np.divide(ranges_hz[::2], ranges_hz[1::2]))).mean()
    between = np.abs(np.log2(np.divide(ranges_hz[:-2], ranges_hz[2:]))).mean()
    assert within < 0.5 * between


def test_street_music__is_tonal_and_keeps_a_beat(corpus: Path, rows: list[dict[str, str]]) -> None:
    """Above the notes, the strokes of the shaker come at 2.7-4.7 Hz: two to a beat of 80-140 per minute."""
    for samples in read_objects(corpus, rows, "street_music"):
        spectrum = np.fft.rfft(samples)
        spectrum[np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE_HZ) < 10_100] = 0
        frequency_hz, power = measure_power(np.fft.irfft(spectrum, samples.size) ** 2)
        in_range = (frequency_hz > 2) & (frequency_hz < 5)
        assert 2.6 < frequency_hz[in_range][power[in_range].argmax()] < 4.8
        assert measure_band_share(samples, 40, 3000) > 0.85


def test_background__is_pink_to_brown_and_alike_in_all_classes(
    corpus: Path, rows: list[dict[str, str]]
) -> None:
    """Pink noise has the same power in every octave, brown noise 3 dB less in each than in the one below."""
    octaves_hz = 125 * 2.0 ** np.arange(7)
    slopes_db: dict[str, list[float]] = {class_name: [] for class_name in RENDERERS}
    for row in rows:
        samples = read_pcm(corpus, row, "background") / 32_768.0
        frequency_hz, power = measure_power(samples)
        octave_power, _ = np.histogram(frequency_hz, octaves_hz, weights=power)
        slopes_db[row["class"]].append(float(np.polyfit(np.arange(6), 10 * np.log10(octave_power), 1)[0]))
    means_db = [np.mean(slopes) for slopes in slopes_db.values()]
    assert max(max(slopes) for slopes in slopes_db.values()) < 1.0
    assert min(min(slopes) for slopes in slopes_db.values()) > -4.0
    assert max(means_db) - min(means_db) < 1.0


def test_write_corpus__same_seed_same_bytes_other_seed_other_bytes(
    tmp_path: Path, plan_every: Callable[[int], None]
) -> None:
    plan_every(40)
    trees = []
    for name, seed in (("first", 3), ("second", 3), ("other", 4)):
        write_corpus(tmp_path / name, seed=seed)
        trees.append(read_tree(tmp_path / name))
    assert trees[0] == trees[1]
    assert trees[0].keys() == trees[2].keys()
    assert {name for name in trees[0] if trees[0][name] == trees[2][name]} == {"README.txt"}


def test_write_corpus__a_recording_does_not_depend_on_the_others(
    corpus: Path, tmp_path: Path, plan_every: Callable[[int], None]
) -> None:
    """One recording a class, written without the others, has the bytes that it has among them."""
    plan_every(15)
    write_corpus(tmp_path / "few", seed=0)
    whole, few = read_tree(corpus), read_tree(tmp_path / "few")
    sounds = [name for name in few if name.endswith(".wav")]
    assert len(sounds) == 10 * 2 * 3
    assert all(few[name] == whole[name] for name in sounds)
    table = "metadata/UrbanSound8K.csv"
    assert set(few[table].splitlines()) < set(whole[table].splitlines())


def test_write_corpus__leaves_the_same_corpus_alone(corpus: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    write_corpus(corpus, seed=0)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_write_corpus__says_that_it_is_synthetic(corpus: Path) -> None:
    assert json.loads((corpus / "synthetic.json").read_text(encoding="utf-8"))["seed"] == 0
    readme = (corpus / "README.txt").read_text(encoding="utf-8")
    assert "synthetic" in readme.lower()
    assert "CC0" in readme


def test_write_corpus__refuses_another_seed(corpus: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds something other than the synthetic corpus of seed 5"):
        write_corpus(corpus, seed=5)


@pytest.mark.parametrize("name", ["recording.wav", "synthetic.json"])
def test_write_corpus__refuses_a_foreign_folder_and_leaves_it_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"choose another folder or remove it first"):
        write_corpus(tmp_path)
    assert read_tree(tmp_path) == {name: b"mine"}


def test_write_corpus__refuses_a_file(tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"corpus holds something other"):
        write_corpus(path)


def test_write_corpus__refuses_a_negative_seed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"seed=-1: .* 0 or more"):
        write_corpus(tmp_path / "corpus", seed=-1)


def test_write_corpus__fills_an_empty_folder_and_makes_absent_parents(
    tmp_path: Path, plan_every: Callable[[int], None]
) -> None:
    plan_every(150)
    (tmp_path / "empty").mkdir()
    write_corpus(tmp_path / "empty")
    write_corpus(tmp_path / "absent" / "corpus")
    assert read_tree(tmp_path / "empty") == read_tree(tmp_path / "absent" / "corpus")
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "absent"}


def test_write_corpus__an_interrupted_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out_of_space(recording: Recording) -> None:
        raise OSError(28, f"No space left for {recording.fs_id}")

    monkeypatch.setattr(synthetic, "render_recording", run_out_of_space)
    with pytest.raises(OSError, match=r"No space left for 900001"):
        write_corpus(tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []
