"""Pages of single clips, as a user asks for them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.comparison import contents

CLIP = "2010-1-0-1.wav"
"""A whistle of fold 1."""
LOST = "1010-0-0-0.wav"


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    return Path(shutil.copytree(finished, folder / "run", copy_function=shutil.copy2))


@pytest.fixture(scope="module")
def written(run, toolkit):
    """The state of a run, and what one call on two clips, one of them twice, says and leaves."""
    before = contents(run)
    done = toolkit("report", "--clip", CLIP, "--clip", LOST, "--clip", CLIP.removesuffix(".wav"), "--out", run)
    return before, done


def test_report__writes_the_page_of_every_clip_asked_for(written, run):
    _, done = written
    pages = [run / "reports" / "clips" / name for name in ("2010-1-0-1_wav.html", "1010-0-0-0_wav.html")]
    assert done.stdout.splitlines() == [str(page) for page in pages]
    assert done.stderr.splitlines()[-1] == "exit 0: done; 2 pages"
    assert f"<h1>{CLIP}</h1>" in pages[0].read_text(encoding="utf-8")


def test_report__of_clips_changes_nothing_else(written, run, toolkit):
    before, _ = written
    after = contents(run)
    assert after.keys() - before.keys() == {
        "reports/clips/2010-1-0-1_wav.html",
        "reports/clips/1010-0-0-0_wav.html",
    }
    assert {name: after[name] for name in before} == before
    assert "report     up to date" in toolkit("status", "--out", run).stdout


def test_report__of_the_run_keeps_pages_of_clips(written, run, toolkit):
    page = run / "reports" / "clips" / "2010-1-0-1_wav.html"
    before = page.read_bytes()
    toolkit("report", "--out", run, "--force")
    assert page.read_bytes() == before
    toolkit("report", "--out", run, "--clip", CLIP)
    assert page.read_bytes() == before


def test_report__of_a_clip_needs_no_tensorflow(run, tmp_path):
    program = (
        "import sys\n"
        "from toolkit.cli import perform\n"
        "from pathlib import Path\n"
        f"perform.report_clips([{CLIP!r}], Path({str(run)!r}), config=None, dry_run=False)\n"
        "assert not {'tensorflow', 'onnxruntime'} & sys.modules.keys()\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_report__dry_run_names_the_page_and_writes_nothing(run, toolkit):
    done = toolkit("report", "--clip", "2011-1-0-0", "--out", run, "--dry-run")
    page = run / "reports" / "clips" / "2011-1-0-0_wav.html"
    assert done.stdout.strip() == str(page)
    assert not page.exists()


def test_report__names_the_nearest_clips_and_writes_none(run, toolkit):
    done = toolkit("report", "--clip", "2010-1-0-9.wav", "--clip", "2011-1-0-0", "--out", run)
    assert done.returncode == 4
    assert "--clip 2010-1-0-9.wav: none of the 36 clips of this run; there are, for instance: 2" in done.stderr
    assert not (run / "reports" / "clips" / "2011-1-0-0_wav.html").exists()


def test_report__refuses_clips_and_classes_at_once(run, toolkit):
    done = toolkit("report", "--clip", CLIP, "--class", "hum", "--out", run)
    assert done.returncode == 2
    assert "--class and --clip ask for different pages" in done.stderr


def test_report__of_a_clip_makes_no_folder_where_there_is_no_run(toolkit, tmp_path):
    done = toolkit("report", "--clip", CLIP, "--out", tmp_path / "nothing")
    assert done.returncode == 4
    assert "holds no run; make one with" in done.stderr
    assert not (tmp_path / "nothing").exists()
