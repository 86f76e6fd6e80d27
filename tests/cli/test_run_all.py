"""The commands, as a user runs them, on a corpus of 36 clips."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

import toolkit as library
from tests.comparison import assert_same_bytes, contents
from tests.conftest import write_corpus, write_table
from toolkit.pipeline import lock
from toolkit.store.read import read_whole

MAPS = [
    (representation, composite)
    for representation in ("mel", "cqt")
    for composite in ("lrp.epsilon", "lrp.sequential_preset_a_flat")
]


HOSTILE = '<b>"hum" &'
"""A class name that would be markup if a page did not treat it as text."""


def last_line(done) -> str:
    return done.stderr.rstrip().splitlines()[-1]


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2))


def test_run_all__ends_with_the_page_to_open(finished, tiny_corpus, toolkit):
    done = toolkit("run-all", "--dataset", tiny_corpus, "--out", finished)
    assert done.stdout.strip() == str(finished / "reports" / "index.html")
    assert Path(done.stdout.strip()).exists()


def test_run_all__second_time_has_nothing_to_do(finished, toolkit):
    before = contents(finished)
    done = toolkit("run-all", "--out", finished)
    assert last_line(done) == "exit 0: done; nothing was to do"
    assert done.returncode == 0
    assert contents(finished) == before


@pytest.mark.parametrize(("representation", "composite"), MAPS)
def test_store__has_a_map_of_every_clip(finished, representation, composite):
    maps = library.open_store(finished).sel(representation=representation, composite=composite)
    assert maps["relevance"].dims == ("clip", "frequency", "time")
    assert maps["relevance"].shape == (36, 64, 64)
    assert np.isfinite(maps["relevance"].values).all()
    np.testing.assert_allclose(
        maps["relevance_sum"], maps["relevance"].sum(("frequency", "time")), rtol=1e-3, atol=1e-4
    )


def test_store__explains_the_highest_logit(finished):
    maps = library.open_store(finished).sel(representation="mel", composite="lrp.epsilon").load()
    np.testing.assert_array_equal(maps["target"], maps["logits"].argmax("class"))
    np.testing.assert_array_equal(maps["target"], maps["prediction"])
    target_logit = np.take_along_axis(maps["logits"].values, maps["target"].values[:, None], 1)[:, 0]
    # Biases absorb little in a network that was trained for a moment: epsilon conserves.
    np.testing.assert_allclose(maps["relevance_sum"], target_logit, rtol=0.5, atol=0.05)


def test_store__padding_has_no_relevance_under_epsilon(finished):
    clicks = (
        library
        .open_store(finished)
        .sel(representation="mel", composite="lrp.epsilon", class_name="clicks")
        .load()
    )
    assert (clicks["valid_duration_s"] == 1.5).all()
    # The analysis window reaches 46 ms past the end of the sound; after that the input is zero.
    assert (clicks["relevance"].sel(time=slice(1.625, None)) == 0).all()
    assert (clicks["relevance_in_padding"] < 0.3).all()


def test_models__one_onnx_network_per_fold(finished):
    onnxruntime = pytest.importorskip("onnxruntime")
    for representation in ("mel", "cqt"):
        for fold in (1, 2, 3):
            path = finished / "models" / representation / f"fold-{fold:02d}" / "network.onnx"
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            (output,) = session.run(None, {"spectrogram": np.zeros((2, 64, 64, 3), np.float32)})
            np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-5)


def test_statistics__every_variable_says_what_it_is(finished):
    tree = library.open_store(finished).tree
    groups = [
        group
        for group in tree.subtree
        if group.path.startswith(("/statistics/", "/evaluation/", "/training/")) and group.data_vars
    ]
    assert len(groups) == 18  # four of maps: recordings, regions; agreement; listening; two of networks
    for group in groups:
        for name, variable in group.variables.items():
            assert {"long_name", "units", "description"} <= variable.attrs.keys(), (group.path, name)


def test_statistics__counts_add_up(finished):
    store = library.open_store(finished)
    performance = store.tree["statistics/performance/mel"].to_dataset()
    assert int(performance["confusion"].sum()) == 36
    regions = store.tree["statistics/regions/mel/lrp.epsilon"].to_dataset()
    np.testing.assert_array_equal(regions["n_clips"].sum("outcome"), [12, 12, 12])
    shares = regions["band_share"].where(regions["n_clips"] > 0).sum("band")
    np.testing.assert_allclose(shares.values[regions["n_clips"].values > 0], 1, rtol=1e-6)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert "style" not in attributes
        self.found += [value for name in ("src", "href") if (value := attributes.get(name))]
        if attributes.get("id"):
            assert attributes["id"] not in self.ids
            self.ids.add(attributes["id"])
        if tag == "img":
            assert attributes.get("alt")


def test_pages__hold_everything_themselves(finished):
    pages = sorted((finished / "reports").glob("*.html"))
    assert [page.name for page in pages] == ["clicks.html", "hum.html", "index.html", "whistle.html"]
    names = {page.name for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        links = _Links()
        links.feed(text)
        for link in links.found:
            inside = link.startswith(("data:", "#")) or link in names or (page.parent / unquote(link)).is_file()
            assert inside, f"{page.name}: {link[:80]}"
        read = re.sub(r"<script>.*?</script>|data:[^\"]*", "", text, flags=re.DOTALL)
        assert not re.search(r"\bnan\b", read.lower())


def test_report__one_class_writes_the_same_page(copy, toolkit):
    page = copy / "reports" / "whistle.html"
    before = page.read_bytes()
    page.unlink()
    done = toolkit("report", "--class", "whistle", "--out", copy)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(page)
    assert page.read_bytes() == before


def test_report__needs_the_store_alone(finished, toolkit, tmp_path):
    shutil.copytree(finished / "store.zarr", tmp_path / "moved" / "store.zarr")
    done = toolkit("report", "--out", tmp_path / "moved")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "moved" / "run.json").exists()
    for page in (finished / "reports").glob("*.html"):
        assert (tmp_path / "moved" / "reports" / page.name).read_bytes() == page.read_bytes()


def test_status__shows_every_stage_up_to_date(finished, toolkit):
    done = toolkit("status", "--out", finished)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == ["clips", "36,", "of", "which", "0", "left", "out"]
    assert len(re.findall(r"^\w+ +up to date", done.stdout, re.MULTILINE)) == 7


def test_dry_run__says_what_and_why_and_changes_nothing(copy, toolkit):
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    done = toolkit("run-all", "--out", copy, "--epochs", 1, "--dry-run")
    assert "train      6 of 6 to do" in done.stdout
    assert "settings.epochs 2 -> 1" in done.stdout
    assert "export     waits for train" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_run_json__says_what_made_the_run(finished):
    record = json.loads((finished / "run.json").read_text())
    assert [stage["stage"] for stage in record["stages"]] == [
        "features",
        "train",
        "export",
        "explain",
        "statistics",
        "evaluate",
        "report",
    ]
    assert record["settings"]["training"]["epochs"] == 2
    assert record["packages"]["innvestigate"] == "2.1.2"


def test_force__computes_the_named_stage_again_to_the_same_bytes(copy, finished, toolkit):
    done = toolkit("statistics", "--force", "--out", copy)
    assert last_line(done) == "exit 0: done; 10 steps"
    assert_same_bytes(copy, finished)


@pytest.mark.slow
def test_fold__leaves_the_other_folds_empty_and_the_rest_fills_them(tiny_corpus, finished, toolkit, tmp_path):
    out = tmp_path / "one"
    only = ("--representation", "mel", "--composite", "lrp.epsilon")
    done = toolkit("run-all", "--dataset", tiny_corpus, "--out", out, "--fold", 2, *only)
    assert done.returncode == 0, done.stderr
    maps = library.open_store(out).sel(representation="mel", composite="lrp.epsilon").load()
    explained = np.isfinite(maps["relevance"].values).all(axis=(1, 2))
    np.testing.assert_array_equal(explained, maps["fold"].values == 2)
    assert np.isnan(maps["relevance"].values[~explained]).all()
    done = toolkit("run-all", "--out", out)
    assert done.returncode == 0, done.stderr
    assert_same_bytes(out, finished)


def test_explain__target_of_ones_own(copy, toolkit):
    done = toolkit("explain", "--target", "hum", "--class", "clicks", "--representation", "mel", "--out", copy)
    assert done.returncode == 0, done.stderr
    maps = library.open_store(copy).sel(representation="mel", composite="lrp.epsilon").load()
    clicks = maps["class_name"].values == "clicks"
    np.testing.assert_array_equal(maps["target"].values[clicks], 0)
    assert np.isnan(maps["relevance"].values[~clicks]).all(), "maps of another target must not stay"
    assert not (copy / "store.zarr" / "relevance_by_target").exists()


def test_clip_that_breaks_later__loses_its_map_and_its_say(tiny_corpus, finished, toolkit, tmp_path):
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    shutil.copytree(tiny_corpus, corpus)
    shutil.copytree(finished, out)
    broken = next((corpus / "audio" / "fold1").glob("*.wav"))
    broken.write_bytes(b"")
    done = toolkit("run-all", "--dataset", corpus, "--out", out, "--representation", "mel")
    assert done.returncode == 3, done.stderr
    maps = library.open_store(out).sel(representation="mel").load()
    left_out = maps["clip"].values == broken.name
    assert np.isnan(maps["relevance"].values[:, left_out]).all()
    assert np.isfinite(maps["relevance"].values[:, ~left_out]).all()
    confusion = library.open_store(out).tree["statistics/performance/mel"]["confusion"]
    assert int(confusion.sum()) == 35
    cqt = library.open_store(out).sel(representation="cqt").load()
    explained = np.isfinite(cqt["relevance"].sel(composite="lrp.epsilon").values).any(axis=(1, 2))
    # Only the network of fold 1 was not trained on the clip; what else the others explained must not stay.
    assert set(cqt["fold"].values[explained].tolist()) == {1}
    assert not explained[cqt["clip"].values == broken.name].any()
    for representation, are_explained in (("mel", ~left_out), ("cqt", explained)):
        group = f"relevance_by_target/{representation}/lrp.epsilon"
        share = read_whole(out / "store.zarr", group, ("share",))["share"]
        np.testing.assert_array_equal(np.isfinite(share).all(axis=(1, 2)), are_explained)


def test_changed_target_of_one_composite__takes_the_maps_of_the_other_back(copy, toolkit):
    done = toolkit("explain", "--target", "label", "--composite", "lrp.epsilon", "--out", copy)
    assert done.returncode == 0, done.stderr
    store = library.open_store(copy)
    for representation in ("mel", "cqt"):
        made = store.sel(representation=representation, composite="lrp.epsilon").load()
        assert np.isfinite(made["relevance"].values).all()
        np.testing.assert_array_equal(made["target"], made["label"])
        other = store.sel(representation=representation, composite="lrp.sequential_preset_a_flat").load()
        assert np.isnan(other["relevance"].values).all()
        assert (other["target"].values == -1).all()


def test_impossible_setting__costs_nothing_that_was_computed(copy, toolkit):
    before = contents(copy)
    done = toolkit("run-all", "--out", copy, TOOLKIT__FEATURES__SAMPLE_RATE_HZ="11025")
    assert done.returncode == 4
    assert "above half the sampling rate" in done.stderr
    assert contents(copy) == before
    assert toolkit("run-all", "--out", copy).returncode == 0


def test_unknown_target__is_refused_at_once_and_forgotten(copy, toolkit):
    done = toolkit("run-all", "--target", "sirene", "--out", copy)
    assert done.returncode == 4
    assert (
        "explanation.target='sirene' is not 'all', 'predicted', 'label' or a class of this run" in done.stderr
    )
    assert toolkit("status", "--out", copy).returncode == 0


def test_one_class_explained__says_nothing_of_how_well_it_is_told_from_others(copy, toolkit):
    done = toolkit("explain", "--target", "label", "--class", "hum", "--out", copy)
    assert done.returncode == 0, done.stderr
    done = toolkit("statistics", "--out", copy)
    assert done.returncode == 0, done.stderr
    performance = library.open_store(copy).tree["statistics/performance/mel"].to_dataset()
    assert int(performance["confusion"].sum()) == 0
    assert np.isnan(performance["accuracy"])
    done = toolkit("report", "--out", copy)
    assert done.returncode == 0, done.stderr
    assert "is not known: no fold has all its clips explained" in (copy / "reports" / "index.html").read_text()


def test_composite_that_is_no_longer_wanted__leaves_the_store_and_the_pages(copy, toolkit):
    done = toolkit("run-all", "--out", copy, TOOLKIT__EXPLANATION__COMPOSITES='["lrp.epsilon"]')
    assert done.returncode == 0, done.stderr
    store = library.open_store(copy)
    assert store.composites == ["lrp.epsilon"]
    assert list(store.tree["statistics/regions/mel"].children) == ["lrp.epsilon"]
    assert "LRP preset A, flat input" not in (copy / "reports" / "hum.html").read_text()


def test_status__needs_no_dataset(finished, tiny_corpus, toolkit, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    record = json.loads((out / "settings.json").read_text())
    record["source"]["path"] = str(tmp_path / "elsewhere")
    (out / "settings.json").write_text(json.dumps(record))
    done = toolkit("status", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "elsewhere" in done.stdout
    assert "report     up to date" in done.stdout


def test_bad_files__are_named_and_cost_nothing_else(toolkit, tmp_path):
    rows = [
        {**row, "class": HOSTILE if row["class"] == "hum" else row["class"]}
        for row in write_corpus(tmp_path / "corpus")
    ]
    folder = tmp_path / "corpus" / "audio" / "fold1"
    truncated, empty, text, absent = sorted(folder.iterdir())[:4]
    truncated.write_bytes(truncated.read_bytes()[:20_000])
    empty.write_bytes(b"")
    text.write_text("this is no sound")
    absent.unlink()
    write_table(tmp_path / "corpus", rows, [name for name in rows[0] if name != "salience"])
    only = ("--representation", "mel", "--composite", "lrp.epsilon")
    done = toolkit("run-all", "--dataset", tmp_path / "corpus", "--out", tmp_path / "out", "--fold", 2, *only)
    assert done.returncode == 3, done.stderr
    assert re.match(
        r"exit 3: finished with 4 of 36 clips left out and 1 faults? in the catalogue", last_line(done)
    )
    index = (tmp_path / "out" / "reports" / "index.html").read_text()
    for path, reason in (
        (truncated, "truncated"),
        (empty, "empty"),
        (text, "cannot be decoded"),
        (absent, "absent"),
    ):
        name = f"audio/fold1/{path.name}"
        assert re.search(rf"{re.escape(name)}: .*{reason}", done.stderr)
        assert name in index
        assert reason in index
    assert "column 'salience' is missing" in done.stderr
    assert "column &#39;salience&#39; is missing" in index
    assert (tmp_path / "out" / "reports" / "_b__hum___.html").exists()
    for page in (tmp_path / "out" / "reports").glob("*.html"):
        text = page.read_text()
        assert HOSTILE not in text
        assert "&lt;b&gt;&#34;hum&#34; &amp;" in text
    status = library.open_store(tmp_path / "out").clips["status"].values.tolist()
    assert status.count("ok") == 32
    assert str(tmp_path) not in index


def test_nothing_to_process__is_an_error_before_any_work(toolkit, tmp_path):
    rows = write_corpus(tmp_path / "corpus")
    shutil.rmtree(tmp_path / "corpus" / "audio")
    write_table(tmp_path / "corpus", rows)
    done = toolkit("run-all", "--dataset", tmp_path / "corpus", "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "none of its 36 clips exists" in done.stderr
    assert last_line(done) == "exit 4: the configuration or the data cannot be used"
    assert not (tmp_path / "out" / "store.zarr").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train"], 4, "needs features first"),
        (["report"], 4, "needs statistics first"),
        (["run-all", "--dataset", "no-such-folder"], 4, "--dataset takes the folder"),
        (["run-all", "--representation", "bark"], 2, "'bark' is not one of mel, cqt"),
        (["run-all", "--no-such-option"], 2, "no-such-option"),
        (["run-all", "--epochs", "0"], 4, r"training.epochs=0 \(in the options\)"),
    ],
)
def test_refusals__say_what_and_with_which_code(toolkit, tmp_path, words, code, message):
    (tmp_path / "out").mkdir()
    done = toolkit(*words, "--out", tmp_path / "out")
    assert done.returncode == code
    assert re.search(message, done.stderr)
    assert last_line(done).startswith(f"exit {code}: ")


@pytest.mark.parametrize("stage", ["train", "statistics", "report"])
def test_stages__leave_nothing_where_there_is_no_run(toolkit, tmp_path, stage):
    done = toolkit(stage, "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "holds no run; make one with `toolkit run-all --out " in done.stderr
    assert not (tmp_path / "out").exists()


def test_lock__second_run_names_the_first(copy, toolkit):
    with lock.hold(copy, run_id="the-first", command="toolkit run-all"):
        done = toolkit("report", "--out", copy)
    assert done.returncode == 5
    assert "is in use by run the-first (`toolkit run-all`" in done.stderr
    assert last_line(done) == "exit 5: another run holds the output folder"


def test_unknown_fold__lists_the_folds(finished, toolkit):
    done = toolkit("run-all", "--fold", 9, "--out", finished)
    assert done.returncode == 4
    assert "--fold 9: the corpus has no such fold; it has: 1, 2, 3" in done.stderr


def test_quality_gate__fails_every_time_and_after_the_pages(copy, toolkit):
    for _ in range(2):
        done = toolkit("run-all", "--out", copy, TOOLKIT__QUALITY__MINIMUM_ACCURACY="1.0")
        if done.returncode == 0:
            pytest.skip("the tiny networks classify everything, so no gate can fail")
        assert done.returncode == 6
        assert "quality.minimum_accuracy=1.0" in done.stderr
        assert last_line(done) == "exit 6: a quality gate failed"


def test_help__answers_without_heavy_imports(toolkit):
    done = toolkit("--help")
    assert done.returncode == 0
    for command in (
        "run-all",
        "features",
        "train",
        "export",
        "explain",
        "statistics",
        "evaluate",
        "report",
        "status",
        "synth",
    ):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)


def test_help__imports_nothing_heavy():
    heavy = ("numpy", "xarray", "zarr", "librosa", "tensorflow", "matplotlib")
    script = f"import sys, toolkit.cli.commands; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
