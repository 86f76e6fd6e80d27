"""Files outside the corpus, explained by a finished run, as a user does it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import toolkit as library
from tests.conftest import SAMPLE_RATE_HZ, sound_of
from toolkit.config import resolve
from toolkit.errors import ConfigError
from toolkit.features.channels import network_input
from toolkit.pipeline import chain, recordings
from toolkit.pipeline.run import Run
from toolkit.pipeline.stages import features

COMPOSITES = ("lrp.epsilon", "lrp.sequential_preset_a_flat")
WHISTLE = "a <b>whistle & more.wav"
KNOWN = "2010-1-0-1.wav"
"""A whistle of fold 1."""
ONE = ("--representation", "mel", "--composite", "lrp.epsilon")


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    return Path(shutil.copytree(finished, folder / "run", copy_function=shutil.copy2))


@pytest.fixture(scope="module")
def sounds(tiny_corpus, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(7)
    time_s = np.arange(4 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    whistle = 0.3 * np.sin(2 * np.pi * 3000 * time_s) + 0.01 * rng.standard_normal(len(time_s))
    soundfile.write(folder / WHISTLE, whistle, SAMPLE_RATE_HZ)
    (folder / "empty.wav").touch()
    known, rate_hz = soundfile.read(tiny_corpus / "audio" / "fold1" / KNOWN, dtype="int16")
    # Without loss in another format, under another name: the same sound in another file.
    soundfile.write(folder / "renamed.flac", known, rate_hz)
    parts = [sound_of(1, rng, 4.0), sound_of(0, rng, 4.0), sound_of(1, rng, 2.0)]
    soundfile.write(folder / "long.wav", np.concatenate(parts), SAMPLE_RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def explained(run, sounds, toolkit):
    """One call on a new sound, an empty file, a clip of the corpus, and the new sound again."""
    names = (WHISTLE, "empty.wav", "renamed.flac", f"../{sounds.name}/{WHISTLE}")
    before = contents(run)
    left_by_a_kill = run / "recordings" / "some-01234567.zarr.89ab.wip"
    left_by_a_kill.mkdir(parents=True)
    done = toolkit("explain", *(sounds / name for name in names), "--out", run)
    assert not left_by_a_kill.exists()
    after = contents(run)
    return done, before, after


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder but logs and the lock."""
    return {
        name: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (name := path.relative_to(folder).as_posix()).startswith(("logs/", ".lock"))
    }


def results(run: Path, stem: str) -> tuple[Path, Path]:
    """Return the page and the arrays of a recording."""
    (page,) = (run / "recordings").glob(f"{stem}-????????.html")
    return page, page.with_suffix(".zarr")


def group(store: Path, representation: str, composite: str):
    tree = library.open_store(store).tree
    return tree[f"explanations/{representation}/{composite}"].to_dataset().load()


def test_explain__one_bad_file_costs_only_itself(explained, run, sounds):
    done, _, _ = explained
    last = done.stderr.rstrip().splitlines()[-1]
    assert last == "exit 3: finished with 1 of 3 files left out; 2 files explained"
    assert done.returncode == 3
    assert f"problem: {sounds / 'empty.wav'}: file is empty (0 bytes)" in done.stderr
    pages = [results(run, "a__b_whistle___more")[0], results(run, "renamed")[0]]
    assert done.stdout.split("\n")[:-1] == [str(page) for page in pages]


def test_explain__leaves_the_run_as_it_was(explained, run):
    _, before, after = explained
    assert {name: content for name, content in after.items() if not name.startswith("recordings/")} == before
    assert len([*(run / "recordings").iterdir()]) == 4


@pytest.mark.parametrize("representation", ["mel", "cqt"])
def test_explain__probabilities_are_the_mean_of_the_exported_networks(explained, run, representation):
    """Independent of what explains: the ONNX networks, on what the store says that they were shown."""
    onnxruntime = pytest.importorskip("onnxruntime")
    _, arrays = results(run, "a__b_whistle___more")
    level_db = library.open_store(arrays).tree[f"features/{representation}"]["level_db"].values
    inputs = network_input(level_db, "level_contrast_change", 80.0)
    outputs = []
    for fold in (1, 2, 3):
        path = run / "models" / representation / f"fold-{fold:02d}" / "network.onnx"
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        outputs.append(session.run(None, {"spectrogram": inputs})[0])
    found = group(arrays, representation, "lrp.epsilon")
    np.testing.assert_allclose(found["probability"], np.mean(outputs, axis=0), atol=1e-5)
    prediction = int(np.mean(outputs, axis=0).argmax())
    assert int(found["prediction"][0]) == int(found["target"][0]) == prediction
    assert int(found["votes"][0]) == sum(int(output.argmax()) == prediction for output in outputs)
    assert int(found["n_networks"][0]) == 3


@pytest.mark.parametrize("composite", COMPOSITES)
def test_explain__mean_relevance_is_the_mean_of_shares(explained, run, composite):
    found = group(results(run, "a__b_whistle___more")[1], "mel", composite)
    assert found["relevance"].dims == ("fold", "clip", "frequency", "time")
    maps = found["relevance"].astype(float)
    shares = maps / np.abs(maps).sum(("frequency", "time"))
    np.testing.assert_allclose(found["mean_relevance"], shares.mean("fold"), atol=1e-12)
    positive = np.maximum(maps, 0).sum("time")
    inside = (found["frequency"] >= 2000) & (found["frequency"] < 4000)
    expected = (positive.where(inside).sum("frequency") / positive.sum("frequency")).mean("fold")
    np.testing.assert_allclose(found["band_share"].sel(band="2-4 kHz"), expected, rtol=1e-9)


def test_explain__relevance_for_a_tone_lies_where_the_tone_is(explained, run):
    found = group(results(run, "a__b_whistle___more")[1], "mel", "lrp.epsilon")
    by_bin = np.abs(found["mean_relevance"][0]).sum("time")
    assert abs(float(by_bin.idxmax()) - 3000) < 150
    # Networks see levels in dB: of that, a tone in faint noise takes a little more than its share of bins.
    inside = (found["frequency"] >= 2000) & (found["frequency"] < 4000)
    share = float(found["band_input_share"].sel(band="2-4 kHz")[0])
    assert float(inside.mean()) < share < float(found["band_share"].sel(band="2-4 kHz")[0])


def test_explain__page_says_what_the_arrays_say(explained, run):
    page, arrays = results(run, "a__b_whistle___more")
    text = page.read_text(encoding="utf-8")
    found = group(arrays, "mel", "lrp.epsilon")
    assert (
        f"mean probability {float(found['probability'].max()):.2f}, named by {int(found['votes'][0])} of 3"
        in text
    )
    assert f"agreement {float(found['agreement'][0]):.2f}" in text
    top = found["band_share"][0].idxmax().item()
    assert f"{100 * float(found['band_share'].max()):.0f} %, lies in {top}" in text
    assert text.count("<img ") == 4
    assert "<b>whistle" not in text
    assert "a &lt;b&gt;whistle &amp; more.wav" in text
    assert '<a href="../reports/whistle.html">' in text
    assert str(run) not in text
    # The run's settings say 'all': of a file, the predicted class alone is explained.
    assert found.attrs["explanation"]["target"] == "predicted"


def test_explain__of_a_clip_of_the_corpus_only_its_fold_speaks(explained, run):
    page, arrays = results(run, "renamed")
    row = library.open_store(run).clips["clip"].values.tolist().index(KNOWN)
    for representation in ("mel", "cqt"):
        for composite in COMPOSITES:
            found = group(arrays, representation, composite)
            assert found["has_say"].values.tolist() == [[True], [False], [False]]
            assert found["corpus_clip"].values.tolist() == [KNOWN]
            known = library.open_store(run).sel(representation=representation, composite=composite)
            # The network that held the clip out explains it in the run, too.
            np.testing.assert_allclose(found["relevance"][0, 0], known["relevance"][row], rtol=1e-3, atol=1e-6)
            assert np.isnan(found["relevance"][1:]).all()
    assert "Only the network of fold 1, which held it out, has a say" in page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def windows(run, sounds, toolkit) -> Callable[[], Path]:
    def explain() -> Path:
        done = toolkit(
            "explain", sounds / "long.wav", "--out", run, *ONE, "--windows", "--fold", 2, "--target", "clicks"
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.rstrip().splitlines()[-1] == "exit 0: done; 1 file explained"
        return Path(done.stdout.strip())

    return explain


def test_explain__windows_and_target(windows, tmp_path):
    page = windows()
    clips = library.open_store(page.with_suffix(".zarr")).clips
    assert clips["start_s"].values.tolist() == [0, 4, 8]
    assert clips["valid_duration_s"].values.tolist() == [4, 4, 2]
    found = group(page.with_suffix(".zarr"), "mel", "lrp.epsilon")
    assert found["fold"].values.tolist() == [2]
    assert found["class_name"].values[found["target"]].tolist() == ["clicks"] * 3
    assert np.isnan(found["mean_relevance"][2].sel(time=slice(2, None))).all()
    assert np.isnan(found["agreement"]).all()
    text = page.read_text(encoding="utf-8")
    assert [*re.findall(r"<h3>(.*)</h3>", text)] == ["0–4 s", "4–8 s", "8–10 s"]
    assert "8–10 s: 2 s of sound" in text
    before = shutil.copytree(page.parent, tmp_path / "before")
    assert windows() == page
    assert contents(Path(before)) == contents(page.parent)


def test_explain__refuses_what_a_run_cannot_serve(run, sounds, toolkit, tmp_path):
    file = sounds / "long.wav"
    cases = {
        ("--target", "label"): "a file has no label",
        ("--target", "siren"): "'siren' is not 'all', 'predicted', 'label' or a class",
        ("--fold", "9"): "--fold 9: this run has no such fold; it has: 1, 2, 3",
    }
    for options, message in cases.items():
        done = toolkit("explain", file, "--out", run, *options)
        assert (done.returncode, message in done.stderr) == (4, True), done.stderr
    assert toolkit("explain", file, "--out", run, "--class", "hum").returncode == 2
    assert toolkit("explain", "--windows", "--out", run).returncode == 2
    nowhere = toolkit("explain", file, "--out", tmp_path / "nowhere")
    assert "holds no run" in nowhere.stderr
    assert not (tmp_path / "nowhere").exists()


def test_explain__with_nothing_usable_says_so(run, sounds, toolkit):
    done = toolkit("explain", sounds / "empty.wav", sounds / "absent.wav", "--out", run)
    assert done.returncode == 4
    assert "none of the 2 files can be explained" in done.stderr
    assert "absent.wav: file is absent" in done.stderr


def test_explain__needs_finished_networks(run, sounds, toolkit, tmp_path):
    unfinished = shutil.copytree(run, tmp_path / "run", copy_function=shutil.copy2)
    shutil.rmtree(unfinished / "markers" / "export")
    done = toolkit("explain", sounds / "long.wav", "--out", unfinished)
    assert done.returncode == 4
    assert "none of the networks asked for is finished" in done.stderr
    assert "toolkit run-all --out" in done.stderr


def test_explain__of_a_clip_whose_network_is_not_asked_for(run, sounds, toolkit):
    done = toolkit("explain", sounds / "renamed.flac", "--out", run, "--fold", 2)
    assert done.returncode == 4
    assert f"is in the corpus as {KNOWN}: only the network of fold 1, which held it out" in done.stderr


def test_explain__dry_run_names_the_networks(run, sounds, toolkit):
    before = contents(run)
    done = toolkit("explain", sounds / "long.wav", "--out", run, "--dry-run", "--fold", 3)
    assert done.stdout.splitlines() == [
        "mel        networks of the folds 3",
        "cqt        networks of the folds 3",
    ]
    assert contents(run) == before


def test_networks_of__want_spectrograms_made_as_today(run, monkeypatch):
    """Otherwise networks would be shown something else than what they learned from."""
    settings = resolve({"remembered": chain.remembered(run)})
    request = recordings.Request(Run(run, settings), ())
    found = recordings.networks_of(request)
    assert {name: [network.fold for network in known] for name, known in found.items()} == {
        "mel": [1, 2, 3],
        "cqt": [1, 2, 3],
    }
    monkeypatch.setattr(features, "VERSION", features.VERSION + 1)
    with pytest.raises(ConfigError, match="none of the networks asked for is finished and up to date"):
        recordings.networks_of(request)
