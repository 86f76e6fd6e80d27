"""The door to the sources: every kind is read by its reader, cut where asked, and sharing is told."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from toolkit.config import SourceSettings
from toolkit.corpus import sources
from toolkit.corpus.catalogue import FAULT, NOTE, Catalogue, Clip, shared_recordings
from toolkit.errors import CorpusError

HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
ROWS = (
    "100-3-0-0.wav,100,0.0,2.5,1,1,3,dog_bark",
    "200-8-0-0.wav,200,1.0,5.0,2,2,8,siren",
)
STUDY = Path(__file__).parents[3] / "shared" / "data" / "audio-lrp-spectrograms"


def read(kind: str, path: Path, *, windows: bool = False, duration_s: float = 4.0) -> Catalogue:
    source = SourceSettings(kind=kind, path=path, windows=windows)
    return sources.read(source, path, seed=0, duration_s=duration_s)


def write_pictures(root: Path, rows: Iterable[str] = ROWS, header: str = HEADER) -> Path:
    (root / "train").mkdir(exist_ok=True)
    for row in ROWS:
        (root / "train" / row.split(",")[0]).with_suffix(".png").touch()
    (root / "UrbanSound8K.csv").write_text(header + "\n".join(rows), encoding="utf-8")
    return root


def clip(recording: str, fold: int, class_name: str, number: int = 0) -> Clip:
    name = f"{recording}-{fold}-{class_name}-{number}"
    return Clip(name, name, class_name, 0, fold, recording, 0.0, 1.0, 0)


def test_pictures__are_named_as_the_table_names_their_slices(tmp_path: Path):
    catalogue = read("pictures", write_pictures(tmp_path))
    assert catalogue.root == tmp_path
    assert catalogue.problems == ()
    assert catalogue.class_names == ("dog_bark", "siren")
    assert catalogue.clips[1] == Clip("200-8-0-0.wav", "train/200-8-0-0.png", "siren", 1, 2, "200", 1.0, 5.0, 2)


def test_pictures__have_no_stems(tmp_path: Path):
    write_pictures(tmp_path)
    (tmp_path / "stems" / "fold1").mkdir(parents=True)
    (tmp_path / "stems" / "fold1" / "100-3-0-0.object.wav").touch()
    assert not read("pictures", tmp_path).has_stems


def test_two_slices_with_one_picture__are_told(tmp_path: Path):
    catalogue = read("pictures", write_pictures(tmp_path, [*ROWS, "100-3-0-0.ogg,100,0,1,1,1,3,dog_bark"]))
    (problem,) = catalogue.problems
    assert problem.subject == "UrbanSound8K.csv line 4"
    assert "train/100-3-0-0.png is the file of another slice" in problem.reason


def test_pictures_without_folds__are_an_error_as_no_folder_tells_them(tmp_path: Path):
    write_pictures(tmp_path, ["100-3-0-0.wav,dog_bark"], "slice_file_name,class\n")
    with pytest.raises(
        CorpusError, match=r"column 'fold' is missing.*--images takes the folder that holds train/"
    ):
        read("pictures", tmp_path)


def test_picture_without_fold__is_a_fault(tmp_path: Path):
    catalogue = read("pictures", write_pictures(tmp_path, [*ROWS, "300-3-0-0.wav,300,0,1,1,,3,dog_bark"]))
    assert [problem.reason for problem in catalogue.problems] == ["fold is empty; the row is left out"]


def test_pictures__cannot_be_cut_into_windows(tmp_path: Path):
    with pytest.raises(CorpusError, match=r"spectrogram pictures hold one clip each and cannot be cut"):
        read("pictures", write_pictures(tmp_path), windows=True)


def test_manifest__is_read_with_the_seed_of_the_run(tmp_path: Path):
    for number in range(20):
        (tmp_path / f"{number}.wav").touch()
    text = "".join(f"{number}.wav,{'ab'[number % 2]}\n" for number in range(20))
    (tmp_path / "m.csv").write_text(f"path,class\n{text}", encoding="utf-8")
    source = SourceSettings(kind="manifest", path=tmp_path / "m.csv")
    folds = {
        frozenset((clip.name, clip.fold) for clip in sources.read(source, tmp_path, seed, duration_s=4.0).clips)
        for seed in range(5)
    }
    assert len(folds) == 5


def test_clips_of_every_kind__are_sorted_by_class_fold_recording_and_name(tmp_path: Path):
    touch = [f"{number}.wav" for number in range(12)]
    for name in touch:
        (tmp_path / name).touch()
    rows = "".join(f"{name},{'ba'[n % 2]},{3 - n % 3},r{n % 4}\n" for n, name in enumerate(touch))
    (tmp_path / "m.csv").write_text(f"path,class,fold,recording\n{rows}", encoding="utf-8")
    clips = read("manifest", tmp_path / "m.csv").clips
    keys = [(clip.label, clip.fold, clip.recording, clip.name) for clip in clips]
    assert keys == sorted(keys)


def write_sounds(root: Path, **lengths_s: float) -> None:
    for name, length in lengths_s.items():
        soundfile.write(root / f"{name}.wav", np.zeros(round(length * 8000)), 8000)


def test_windows__are_cut_out_of_long_files_and_stay_in_the_fold_of_their_recording(tmp_path: Path):
    write_sounds(tmp_path, long=20.0, short=3.0)
    (tmp_path / "m.csv").write_text("path,class\nlong.wav,dog\nshort.wav,owl\ngone.wav,owl\n", encoding="utf-8")
    whole = read("manifest", tmp_path / "m.csv")
    catalogue = read("manifest", tmp_path / "m.csv", windows=True, duration_s=8.0)
    assert [clip.name for clip in whole.clips if clip.class_name == "dog"] == ["long.wav"]
    windows = [clip for clip in catalogue.clips if clip.recording == "long.wav"]
    assert sorted((clip.start_s, clip.end_s) for clip in windows) == [(0.0, 8.0), (8.0, 16.0), (16.0, 20.0)]
    assert {clip.fold for clip in windows} == {clip.fold for clip in whole.clips if clip.name == "long.wav"}
    assert len(catalogue.clips) == 5
    assert catalogue.class_names == whole.class_names
    assert catalogue.problems == whole.problems


def test_window_called_like_another_file__is_told(tmp_path: Path):
    write_sounds(tmp_path, long=8.0)
    text = "path,class,fold\nlong.wav,dog,1\nlong.wav@4s,owl,1\nshort.wav,owl,2\n"
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    catalogue = read("manifest", tmp_path / "m.csv", windows=True)
    assert [clip.name for clip in catalogue.clips] == ["long.wav@0s", "long.wav@4s", "short.wav"]
    (problem,) = catalogue.problems
    assert problem.reason == "is the name of clips of long.wav and of long.wav@4s; the second is left out"


def test_recording_in_several_folds__is_a_note_with_its_folds_classes_and_the_way_out(tmp_path: Path):
    rows = [*ROWS, "100-8-0-0.wav,100,4,5,1,2,8,siren", "100-8-0-1.wav,100,5,6,1,2,8,siren"]
    catalogue = read("pictures", write_pictures(tmp_path, rows))
    (problem,) = catalogue.problems
    assert problem.severity == NOTE
    assert problem.subject == "recording 100"
    assert problem.reason == (
        "has 1 clip in fold 1 (dog_bark) and 2 in fold 2 (siren): networks learn from sounds that they are "
        "tested on; --strict-groups keeps these clips out of training"
    )


def test_note_on_sharing__lists_every_fold_and_class(tmp_path: Path):
    folds = ((1, "dog"), (1, "cat"), (1, "dog"), (3, "dog"), (20, "owl"))
    rows = "".join(f"{n}.wav,{name},{fold},r\n" for n, (fold, name) in enumerate(folds))
    (tmp_path / "0.wav").touch()
    (tmp_path / "m.csv").write_text(f"path,class,fold,recording\n{rows}", encoding="utf-8")
    (problem,) = read("manifest", tmp_path / "m.csv").problems
    assert problem.reason.startswith(
        "has 3 clips in fold 1 (cat, dog), 1 in fold 3 (dog) and 1 in fold 20 (owl): "
    )


def test_shared_recordings__are_told_by_the_recording_alone():
    clips = [clip("1", 1, "a"), clip("1", 1, "b"), clip("2", 1, "a"), clip("2", 2, "b"), clip("2", 2, "b", 1)]
    assert shared_recordings(clips) == {"2": {(1, "a"): 1, (2, "b"): 2}}


def test_drawn_folds__share_no_recording(tmp_path: Path):
    rows = "".join(f"{n}.wav,{'ab'[n % 2]},r{n % 7}\n" for n in range(60))
    (tmp_path / "0.wav").touch()
    (tmp_path / "m.csv").write_text(f"path,class,recording\n{rows}", encoding="utf-8")
    assert shared_recordings(read("manifest", tmp_path / "m.csv").clips) == {}


def test_synthetic_corpus__shares_nothing_and_has_no_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The corpus is not rendered here: only its table and one file are needed."""

    def write_table(folder: Path, *, seed: int) -> None:
        (folder / "metadata").mkdir(parents=True)
        (folder / "audio" / "fold1").mkdir(parents=True)
        (folder / "audio" / "fold1" / "100-3-0-0.wav").touch()
        (folder / "metadata" / "UrbanSound8K.csv").write_text(HEADER + "\n".join(ROWS), encoding="utf-8")

    monkeypatch.setattr(sources.synthetic, "write_corpus", write_table)
    assert not sources.exists(SourceSettings(), tmp_path, 5)
    catalogue = sources.read(SourceSettings(), tmp_path, 5, duration_s=4.0)
    assert sources.exists(SourceSettings(), tmp_path, 5)
    assert catalogue.root == tmp_path / "corpus" / "seed-5"
    assert catalogue.problems == ()


@pytest.fixture(scope="module")
def study() -> Catalogue:
    if not STUDY.is_dir():
        pytest.skip(f"needs the pictures of the study in {STUDY}")
    return read("pictures", STUDY)


def test_pictures_of_the_study__are_all_there(study: Catalogue):
    assert len(study.clips) == 6273
    assert len(study.class_names) == 10
    assert {clip.fold for clip in study.clips} == {1, 2, 3, 4, 5, 6, 7}
    assert all((study.root / clip.path).is_file() for clip in study.clips)
    assert [problem for problem in study.problems if problem.severity == FAULT] == []


def test_recordings_that_the_study_has_in_two_folds__are_named(study: Catalogue):
    """Counted in the table itself, by other means."""
    with (STUDY / "UrbanSound8K.csv").open(encoding="utf-8", newline="") as file:
        pairs = {(row["fsID"], row["fold"]) for row in csv.DictReader(file)}
    recordings = [recording for recording, _ in pairs]
    twice = {f"recording {recording}" for recording in recordings if recordings.count(recording) > 1}
    assert twice == {"recording 132016", "recording 176638", "recording 77751"}
    assert {problem.subject for problem in study.problems} == twice
    reason = next(problem.reason for problem in study.problems if problem.subject == "recording 132016")
    assert reason.startswith(
        "has 6 clips in fold 1 (street_music) and 9 in fold 4 (jackhammer): networks learn"
    )
