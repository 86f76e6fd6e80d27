"""``toolkit compare`` as a user runs it, on a finished run and copies of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.comparison import contents
from toolkit.store import write
from toolkit.store.read import attributes, read_whole

RECORDINGS, SCORES = "statistics/recordings/mel/lrp.epsilon", "statistics/performance/mel"


def last_line(done) -> str:
    return done.stderr.rstrip().splitlines()[-1]


@pytest.fixture
def copy(finished, tmp_path):
    def make(name: str) -> Path:
        return Path(shutil.copytree(finished, tmp_path / name, copy_function=shutil.copy2))

    return make


def set_shares(run: Path, share: np.ndarray) -> None:
    zarr.open_group(run / "store.zarr" / RECORDINGS, mode="r+")["share"][...] = share


def test_compare__of_a_run_with_its_copy_finds_nothing(finished, copy, toolkit, tmp_path):
    before, other = contents(finished), copy("copy")
    (tmp_path / "cwd").mkdir()
    page = tmp_path / "cwd" / "compare.html"
    page.write_text("what was there before")
    done = toolkit("compare", finished, other, cwd=tmp_path / "cwd")
    assert done.returncode == 0, done.stderr
    assert last_line(done) == "exit 0: done; the runs are compared"
    *sentences, path = done.stdout.splitlines()
    assert "No setting differs." in sentences
    assert "Accuracy by mel spectrogram is the same in every recording (18 recordings in both)." in sentences
    assert "Neither run has a verdict on any class." in sentences
    assert path == "compare.html"
    assert "A is <strong>finished</strong>, B is <strong>copy</strong>" in page.read_text()
    assert [each.name for each in page.parent.iterdir()] == ["compare.html"]
    assert contents(finished) == before


def test_compare__finds_what_was_changed(copy, toolkit, tmp_path):
    """Every recording of B has 5 to 15 points more in the band 1-2 kHz, taken from all others alike."""
    runs = [copy("one"), copy("other")]
    for run in runs:
        made = attributes(run / "store.zarr" / SCORES)
        settings = {**made["statistics"], "minimum_recordings": 6}
        write.set_attributes(run / "store.zarr", SCORES, {"statistics": settings})
    table = read_whole(runs[0] / "store.zarr", RECORDINGS)
    frequency = table["frequency"]
    inside = (frequency >= 1000) & (frequency < 2000)
    share = np.full(table["share"].shape, 1 / 64)
    set_shares(runs[0], share)
    moved = np.random.default_rng(0).uniform(0.05, 0.15, len(share))
    changed = np.where(inside, share + moved[:, None] / inside.sum(), share - moved[:, None] / (~inside).sum())
    set_shares(runs[1], changed)
    pages = [tmp_path / name for name in ("page.html", "again.html")]
    for page in pages:
        done = toolkit("compare", *runs, "-o", page)
        assert done.returncode == 0, done.stderr
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert "by class and band differ, with an interval that leaves out 0" in done.stdout
    html = pages[0].read_text()
    for label in range(3):
        expected = 100 * moved[table["label"] == label].mean()
        assert f"1-2 kHz <strong>+{expected:.1f}</strong>" in html


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: holds no run; give the folder of one, which `toolkit run-all` makes"),
        (["{finished}"], "are one run: give two"),
        (["{run}", "-o", "{folder}"], "is no file; give the name of one"),
        (["{run}", "-o", "/proc/nothing/page.html"], "-o /proc/nothing/page.html: cannot be written"),
    ],
)
def test_compare__refuses_what_it_cannot_use(finished, toolkit, tmp_path, words, message):
    other = shutil.copytree(finished, tmp_path / "other")
    given = [word.format(finished=finished, run=other, folder=tmp_path) for word in words]
    done = toolkit("compare", finished, *given)
    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stderr
