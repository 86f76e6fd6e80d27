"""Every kind of source, and a corpus that changes, as a user meets them."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import zarr

import toolkit as library
from tests.comparison import contents
from tests.conftest import SAMPLE_RATE_HZ, sound_of, write_corpus, write_table
from toolkit.features.spectrogram import valid_frames
from toolkit.store.read import attributes, read_whole

MAPS, SHARES = "relevance/{}/lrp.epsilon", "relevance_by_target/{}/lrp.epsilon"


def rows_of(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "metadata" / "UrbanSound8K.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def grown(finished, tmp_path):
    """A corpus and a finished run on it, both the test's own."""
    write_corpus(tmp_path / "corpus")
    out = Path(shutil.copytree(finished, tmp_path / "run", copy_function=shutil.copy2))
    return tmp_path / "corpus", out


@pytest.fixture(scope="module")
def pictures(finished, toolkit, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "pictures"
    done = toolkit("features", "--out", finished, "--pictures", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (f"{folder}: 36 pictures; use them with `--images {folder} --images-fmax 11025`\n")
    return folder


def test_new_clip__is_explained_and_everything_else_is_kept(grown, toolkit, finished):
    corpus, out = grown
    sound = sound_of(0, np.random.default_rng(5), 4.0)
    soundfile.write(corpus / "audio/fold1/1999-0-0-0.wav", sound, SAMPLE_RATE_HZ)
    row = dict(zip(rows_of(corpus)[0], ("1999-0-0-0.wav", 1999, 0, 4, 1, 1, 0, "hum"), strict=True))
    write_table(corpus, [*rows_of(corpus), row])
    done = toolkit("run-all", "--dataset", corpus, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "1 of 37 clips new: 1999-0-0-0.wav" in done.stderr
    assert "train      nothing to do (6 up to date)" in done.stderr
    assert contents(out / "models") == contents(finished / "models")
    before, after = library.open_store(finished), library.open_store(out)
    for representation in ("mel", "cqt"):
        old, new = (
            store.sel(representation=representation, composite="lrp.epsilon")["relevance"].load()
            for store in (before, after)
        )
        known = np.isin(new["clip"].values, old["clip"].values)
        assert new["clip"].values[~known].tolist() == ["1999-0-0-0.wav"]
        assert np.isfinite(new.values).all()
        np.testing.assert_array_equal(new.values[known], old.values)
        was, now = (
            read_whole(run / "store.zarr", SHARES.format(representation), ("share",))["share"]
            for run in (finished, out)
        )
        np.testing.assert_array_equal(now[known], was)
        np.testing.assert_allclose(now[~known].sum(axis=2), 1, rtol=1e-5)
        later = read_whole(out / "store.zarr", f"training/{representation}", ("n_later_clips",))
        assert later["n_later_clips"].tolist() == [0, 1, 1]
    assert "nothing was to do" in toolkit("run-all", "--out", out).stderr


def test_changed_and_gone_clips__are_named_with_what_they_mean(grown, toolkit):
    corpus, out = grown
    first, second, *others = rows_of(corpus)
    changed, gone = first["slice_file_name"], second["slice_file_name"]
    sound = sound_of(0, np.random.default_rng(6), 4.0)
    soundfile.write(corpus / f"audio/fold1/{changed}", sound, SAMPLE_RATE_HZ)
    write_table(corpus, [first, *others])
    done = toolkit("features", "--dataset", corpus, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"1 of 36 clips gone: {gone}" in done.stderr
    assert f"1 of 35 clips changed: {changed}" in done.stderr
    assert "features   2 of 3 to do (changed: 2)" in done.stderr
    planned = toolkit("train", "--out", out, "--dry-run").stdout
    assert "4 of 6 to do" in planned, "both clips lie in fold 1, whose networks never knew them"
    assert "fold-01" not in planned
    assert "clips changed" in planned


def test_clip_of_another_class__gets_its_map_anew_by_the_network_that_never_knew_it(grown, toolkit):
    """It lies in fold 1: that network stands. The others learned the clip under its old name: their maps go."""
    corpus, out = grown
    first, *others = rows_of(corpus)
    write_table(corpus, [{**first, "class": "whistle", "classID": "1"}, *others])
    scope = ("--fold", 1, "--representation", "mel", "--composite", "lrp.epsilon")
    done = toolkit("run-all", "--dataset", corpus, "--out", out, *scope)
    assert done.returncode == 0, done.stderr
    assert "features   nothing to do" in done.stderr
    assert "train      nothing to do (1 up to date)" in done.stderr
    assert "clip changed: 2" in done.stderr, "a map, and shares for every class"
    clips = read_whole(out / "store.zarr", "clips")
    maps = read_whole(out / "store.zarr", MAPS.format("mel"))
    row = clips["clip"].tolist().index(first["slice_file_name"])
    assert maps["label"][row] == clips["label"][row] == 1
    assert np.isfinite(maps["relevance"][clips["fold"] == 1]).all()
    assert np.isnan(maps["relevance"][clips["fold"] != 1]).all()


def test_new_clip_read_for_one_representation__leaves_the_maps_of_the_other(grown, toolkit):
    corpus, out = grown
    sound = sound_of(0, np.random.default_rng(5), 4.0)
    soundfile.write(corpus / "audio/fold1/1999-0-0-0.wav", sound, SAMPLE_RATE_HZ)
    row = dict(zip(rows_of(corpus)[0], ("1999-0-0-0.wav", 1999, 0, 4, 1, 1, 0, "hum"), strict=True))
    write_table(corpus, [*rows_of(corpus), row])
    assert toolkit("features", "--dataset", corpus, "--out", out, "--representation", "mel").returncode == 0
    assert toolkit("export", "--out", out, "--representation", "mel").returncode == 0
    planned = toolkit("explain", "--out", out, "--representation", "mel", "--dry-run").stdout
    assert "not made yet: 4" in planned, "one clip, two composites, each a map and shares for every class"
    assert "dropped" not in planned
    assert "waits for features" in toolkit("explain", "--out", out, "--dry-run").stdout


def test_other_frequencies__leave_no_map_on_the_old_axis(grown, toolkit):
    corpus, out = grown
    words = ("features", "--dataset", corpus, "--out", out, "--representation", "mel")
    assert toolkit(*words, TOOLKIT__FEATURES__MEL_FMAX_HZ="8000").returncode == 0
    assert not (out / "store.zarr" / "relevance").exists()


def test_source_in_the_settings_file__may_be_relative_and_is_the_same_the_next_time(toolkit, tmp_path):
    write_corpus(tmp_path / "corpus")
    settings = tmp_path / "toolkit.toml"
    settings.write_text('[source]\nkind = "urbansound8k"\npath = "corpus"\n', encoding="utf-8")
    words = ("features", "--out", tmp_path / "run", "--representation", "mel", "--config", settings)
    first = toolkit(*words, "--seed", 3, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "nothing to do" in toolkit(*words, cwd=tmp_path).stderr
    assert '"seed": 3' in (tmp_path / "run" / "settings.json").read_text(encoding="utf-8")


def test_moved_and_reordered_corpus__is_the_same_corpus(grown, toolkit):
    corpus, out = grown
    corpus = corpus.rename(corpus.parent / "moved")
    write_table(corpus, rows_of(corpus)[::-1])
    done = toolkit("run-all", "--dataset", corpus, "--out", out)
    assert "nothing was to do" in done.stderr


def test_store_of_another_format__is_refused_by_stages_and_made_anew_by_features(grown, toolkit):
    corpus, out = grown
    zarr.open_group(out / "store.zarr", mode="r+").attrs["format_version"] = 1
    done = toolkit("explain", "--out", out)
    assert done.returncode == 4
    assert "format version 1, this toolkit reads 2" in done.stderr
    done = toolkit("features", "--dataset", corpus, "--out", out)
    assert "not made yet: 72" in done.stderr
    assert done.returncode == 0


def test_manifest__with_other_names_and_no_folds(tiny_corpus, toolkit, tmp_path):
    """Classes are what the table calls them; recordings stay whole; what is wrong is named."""
    for row in rows_of(tiny_corpus):
        shutil.copy(tiny_corpus / f"audio/fold{row['fold']}/{row['slice_file_name']}", tmp_path)
    names = {"hum": 'der "Brumm" <b>', "whistle": "Pfiff", "clicks": "クリック"}
    lines = [
        [row["slice_file_name"], names[row["class"]], row["fsID"], row["start"], row["end"]]
        for row in rows_of(tiny_corpus)
    ]
    whole = (tmp_path / lines[0][0]).read_bytes()
    (tmp_path / "torn.wav").write_bytes(whole[:1000])
    lines += [["../outside.wav", "Pfiff", "x", "", ""], ["torn.wav", "Pfiff", "y", "", ""]]
    with (tmp_path / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "class", "recording", "start", "end"], *lines])
    done = toolkit("features", "--manifest", tmp_path / "clips.csv", "--out", tmp_path / "run")
    assert done.returncode == 3, done.stderr
    assert "1 of 37 clips left out and 1 fault in the catalogue" in done.stderr
    clips = read_whole(tmp_path / "run/store.zarr", "clips")
    assert set(clips["class_name"].tolist()) == set(names.values())
    assert sorted(set(clips["fold"].tolist())) == [1, 2, 3, 4, 5]
    pairs = set(zip(clips["recording"].tolist(), clips["fold"].tolist(), strict=True))
    assert len(pairs) == len(set(clips["recording"].tolist()))
    short = clips["class_name"] == "クリック"
    np.testing.assert_allclose(clips["valid_duration_s"][short], 1.5, atol=1e-4)
    problems = read_whole(tmp_path / "run/store.zarr", "problems")
    assert problems["severity"].tolist().count("note") == 1
    assert "truncated" in clips["error"][clips["clip"] == "torn.wav"][0]


def test_labelled_folder_in_windows(toolkit, tmp_path):
    rng = np.random.default_rng(0)
    for label, name in enumerate(("hum", "whistle")):
        for number in range(2):
            path = tmp_path / "clips" / name / f"{number}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound_of(label, rng, 9.5), SAMPLE_RATE_HZ)
    words = ("features", "--manifest", tmp_path / "clips", "--representation", "mel", "--out", tmp_path / "run")
    done = toolkit(*words, "--windows")
    assert done.returncode == 0, done.stderr
    clips = read_whole(tmp_path / "run/store.zarr", "clips")
    first = [place for place, name in enumerate(clips["clip"].tolist()) if name.startswith("hum/0.flac")]
    assert clips["clip"][first].tolist() == [f"hum/0.flac@{start}s" for start in (0, 4, 8)]
    assert clips["valid_duration_s"][first].tolist() == [4.0, 4.0, 1.5]
    assert len(clips["clip"]) == 12
    toolkit(*words, "--no-windows")
    assert len(read_whole(tmp_path / "run/store.zarr", "clips", ("clip",))["clip"]) == 4


def test_pictures__give_the_levels_back(pictures, finished, toolkit, tmp_path):
    """Sound to pictures and back: the level differs by no more than half a step of 255.

    Windows that reach over the end of the recorded sound see a little of it; of pictures, padding is silent.
    """
    done = toolkit("features", "--images", pictures, "--images-fmax", "11025", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    sound, picture = (read_whole(run / "store.zarr", "features/mel") for run in (finished, tmp_path / "run"))
    clips, again = (read_whole(run / "store.zarr", "clips") for run in (finished, tmp_path / "run"))
    assert again["clip"].tolist() == clips["clip"].tolist()
    np.testing.assert_allclose(picture["frequency"], sound["frequency"])
    np.testing.assert_allclose(again["valid_duration_s"], clips["valid_duration_s"], atol=1e-5)
    recorded = valid_frames(clips["valid_duration_s"], 4.0)[:, None, :]
    difference = np.abs(picture["level_db"] - sound["level_db"])
    assert np.where(recorded, difference, 0).max() <= 80 / 255 / 2 + 1e-3
    assert (picture["level_db"][~np.broadcast_to(recorded, difference.shape)] == -80).all()
    assert attributes(tmp_path / "run/store.zarr")["nominal"] == [
        "frequency",
        "frequency_low",
        "frequency_high",
    ]


def test_pictures__carry_their_mark_to_maps_and_pages(pictures, toolkit, tmp_path):
    words = ("--fold", 1, "--composite", "lrp.epsilon", "--out", tmp_path / "run")
    done = toolkit("run-all", "--images", pictures, *words)
    assert done.returncode == 0, done.stderr
    maps = library.open_store(tmp_path / "run").sel(representation="mel", composite="lrp.epsilon")
    assert maps["frequency"].attrs["nominal"] is True
    page = (tmp_path / "run/reports/whistle.html").read_text(encoding="utf-8")
    assert "Frequencies are nominal." in page
    page = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    bands = [part for part in page.split(">") if re.search(r"\d kHz", part)]
    assert bands
    assert all("kHz (nominal)" in part for part in bands)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--images", "x", "--dataset", "y"), "give one source of clips"),
        (("--windows",), "say of which source"),
        (("--images-fmax", "8000"), "say of which source"),
        (("--manifest", "x", "--images-fmax", "8000"), "only pictures need it"),
        (("--images", "x", "--images-fmax", "100"), "source.fmax_hz=100"),
        (("--manifest", "absent.csv"), "No such file"),
        (("--images", "absent"), "absent"),
    ],
)
def test_sources__that_make_no_sense_are_refused(toolkit, tmp_path, words, message):
    done = toolkit("run-all", *words, "--out", tmp_path / "run")
    assert done.returncode == 4
    assert message in done.stderr


def test_pictures__are_not_written_into_a_folder_of_something_else(finished, toolkit, tmp_path):
    """Nor into one that looks like its own, such as the study's pictures."""
    (tmp_path / "UrbanSound8K.csv").touch()
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1-2-3-4.png").touch()
    done = toolkit("features", "--out", finished, "--pictures", tmp_path)
    assert done.returncode == 4
    assert "holds something else" in done.stderr
    assert (tmp_path / "train" / "1-2-3-4.png").exists()


def test_pictures__of_clips_that_are_gone_go_too(pictures, finished, toolkit):
    (pictures / "train" / "stale.png").touch()
    done = toolkit("features", "--out", finished, "--pictures", pictures)
    assert done.returncode == 0, done.stderr
    assert len(list((pictures / "train").iterdir())) == 36
