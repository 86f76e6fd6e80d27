"""Manifests and labelled folders: which clips they name, and that no path leaves their folder."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.corpus.catalogue import FAULT, NOTE, Catalogue, Clip
from toolkit.corpus.manifest import read_catalogue
from toolkit.errors import CorpusError

NAME = "clips.csv"
Write = Callable[[str], Path]


def clip_named(catalogue: Catalogue, name: str) -> Clip:
    return next(clip for clip in catalogue.clips if clip.name == name)


def names_of(catalogue: Catalogue) -> set[str]:
    return {clip.name for clip in catalogue.clips}


def faults_of(catalogue: Catalogue) -> dict[str, str]:
    return {problem.subject: problem.reason for problem in catalogue.problems if problem.severity == FAULT}


def notes_of(catalogue: Catalogue) -> dict[str, str]:
    return {problem.subject: problem.reason for problem in catalogue.problems if problem.severity == NOTE}


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a manifest beside a.wav to d.wav and sub/e.wav."""

    def write_text(text: str) -> Path:
        touch(tmp_path, "a.wav", "b.wav", "c.wav", "d.wav", "sub/e.wav")
        (tmp_path / NAME).write_text(text, encoding="utf-8")
        return tmp_path / NAME

    return write_text


def test_catalogue__holds_what_the_manifest_says(write: Write):
    path = write(
        "path,class,fold,recording,start,end,salience\n"
        "sub/e.wav,owl,2,night 7,3,7.5,2\n"
        "a.wav,dog,1,yard,0,4,1\n"
    )
    catalogue = read_catalogue(path, seed=0)
    assert catalogue.root == path.parent
    assert catalogue.class_names == ("dog", "owl")
    assert catalogue.problems == ()
    assert catalogue.clips == (
        Clip("a.wav", "a.wav", "dog", 0, 1, "yard", 0.0, 4.0, 1),
        Clip("sub/e.wav", "sub/e.wav", "owl", 1, 2, "night 7", 3.0, 7.5, 2),
    )


def test_row_with_path_and_class_alone__is_a_recording_of_its_own(write: Write):
    catalogue = read_catalogue(write("path,class\na.wav,dog\nb.wav,owl\n"), seed=0)
    clip = clip_named(catalogue, "a.wav")
    assert (clip.recording, clip.salience, clip.is_excerpt) == ("a.wav", 0, True)
    assert math.isnan(clip.start_s)
    assert math.isnan(clip.end_s)


@pytest.mark.parametrize(
    ("row", "is_excerpt", "recording"),
    [
        ("a.wav,dog,,,", True, "a.wav"),
        ("a.wav,dog,,2,", False, "a.wav"),
        ("a.wav,dog,,,2", False, "a.wav"),
        ("a.wav,dog,,2,4", False, "a.wav"),
        ("a.wav,dog,yard,2,4", True, "yard"),
        ("a.wav,dog,yard,,", True, "yard"),
    ],
)
def test_file__is_the_recording_where_the_row_has_times_and_names_none(
    write: Write, row: str, is_excerpt: bool, recording: str
):
    catalogue = read_catalogue(write(f"path,class,recording,start,end\n{row}\nb.wav,owl,,,\n"), seed=0)
    clip = clip_named(catalogue, "a.wav")
    assert (clip.is_excerpt, clip.recording) == (is_excerpt, recording)


def test_end_alone__means_from_the_beginning_of_the_file(write: Write):
    catalogue = read_catalogue(write("path,class,end\na.wav,dog,2\nb.wav,owl,\n"), seed=0)
    assert (clip_named(catalogue, "a.wav").start_s, clip_named(catalogue, "a.wav").end_s) == (0.0, 2.0)


def test_end_alone_of_an_excerpt__says_nothing_of_where_it_starts(write: Write):
    catalogue = read_catalogue(write("path,class,recording,end\na.wav,dog,yard,62\nb.wav,owl,,\n"), seed=0)
    assert math.isnan(clip_named(catalogue, "a.wav").start_s)


def test_parts_of_one_file__are_named_by_their_times_to_the_last_digit(write: Write):
    path = write(
        "path,class,start,end\na.wav,dog,0,4\na.wav,owl,2.5,4\na.wav,dog,12345.671,12346\n"
        "a.wav,dog,12345.672,12346\na.wav,owl,9,\na.wav,dog,,\nb.wav,owl,1,2\n"
    )
    catalogue = read_catalogue(path, seed=0)
    assert names_of(catalogue) == {
        "a.wav@0-4s",
        "a.wav@2.5-4s",
        "a.wav@12345.671-12346s",
        "a.wav@12345.672-12346s",
        "a.wav@9-s",
        "a.wav",
        "b.wav",
    }
    assert {clip.recording for clip in catalogue.clips} == {"a.wav", "b.wav"}


def test_path_that_looks_like_the_name_of_a_part__is_left_out(write: Write):
    text = "path,class,start,end\na.wav,dog,0,4\na.wav@0-4s,owl,,\na.wav,owl,4,8\nb.wav,owl,,\n"
    catalogue = read_catalogue(write(text), seed=0)
    assert names_of(catalogue) == {"a.wav@0-4s", "a.wav@4-8s", "b.wav"}
    assert "called 'a.wav@0-4s', as another one is" in faults_of(catalogue)[f"{NAME} line 3"]


def test_other_columns_and_order__are_ignored(write: Write):
    plain = read_catalogue(write("path,class,fold\na.wav,dog,1\nb.wav,owl,2\n"), seed=0)
    other = read_catalogue(write("Who, FOLD ,Class,path ,who\nme,1,dog, a.wav ,\nyou,2,owl,./b.wav,\n"), seed=0)
    assert repr(other) == repr(plain), "NaN equals nothing, but is written alike"


@pytest.mark.parametrize(
    ("text", "plain"), [("./a.wav", "a.wav"), ("sub//e.wav", "sub/e.wav"), ("sub/./e.wav", "sub/e.wav")]
)
def test_path__is_written_in_its_plainest_form(write: Write, text: str, plain: str):
    assert plain in names_of(read_catalogue(write(f"path,class\n{text},dog\nb.wav,owl\n"), seed=0))


def test_labels__are_ranks_of_sorted_names_of_any_script(write: Write):
    text = "path,class\na.wav,\u732b\nb.wav,Zug\nc.wav,<b>&amp;\nd.wav,\u05db\u05dc\u05d1\n"
    catalogue = read_catalogue(write(text), seed=0)
    assert catalogue.class_names == ("<b>&amp;", "Zug", "\u05db\u05dc\u05d1", "\u732b")
    assert [clip.label for clip in catalogue.clips] == [0, 1, 2, 3]


def test_absent_file_or_folder__keeps_its_row(write: Write):
    catalogue = read_catalogue(write("path,class\na.wav,dog\nb.wav,owl\nsub,dog\ngone.wav,owl\n"), seed=0)
    assert names_of(catalogue) == {"a.wav", "b.wav", "sub", "gone.wav"}
    assert faults_of(catalogue) == {}


def test_no_file_at_all__is_an_error(write: Write):
    with pytest.raises(CorpusError, match=r"none of its 2 clips exists, such as x\.wav; nothing to process$"):
        read_catalogue(write("path,class\nx.wav,dog\ny.wav,owl\n"), seed=0)


def test_name_too_long_for_the_system__is_an_absent_file(write: Write):
    long = "x" * 300
    assert names_of(read_catalogue(write(f"path,class\n{long},dog\nb.wav,owl\n"), seed=0)) == {long, "b.wav"}
    with pytest.raises(CorpusError, match=r"none of its 2 clips exists"):
        read_catalogue(write(f"path,class\n{long},dog\n{long}{long},owl\n"), seed=0)


def test_manifest_with_a_name_too_long_for_the_system__is_an_error(tmp_path: Path):
    with pytest.raises(CorpusError, match=r"cannot be read \(File name too long\)"):
        read_catalogue(tmp_path / ("x" * 300), seed=0)


def test_one_class__is_an_error_that_says_why(write: Write):
    with pytest.raises(
        CorpusError, match=r"names clips of one class alone, 'dog': a network learns to tell classes"
    ):
        read_catalogue(write("path,class\na.wav,dog\nb.wav,dog\n"), seed=0)


@pytest.mark.parametrize("path", ["gone.csv", "clips.csv/no"])
def test_no_manifest__is_an_error_that_says_what_is_wanted(write: Write, path: str):
    folder = write("path,class\n").parent
    with pytest.raises(
        CorpusError, match=r"No such file.*--manifest takes a CSV table with the columns path and"
    ):
        read_catalogue(folder / path, seed=0)


def test_repeated_row__is_a_fault_and_the_first_one_counts(write: Write):
    text = "path,class,recording\na.wav,dog,1\nb.wav,owl,2\n./a.wav,dog,3\na.wav,dog,1\n"
    catalogue = read_catalogue(write(text), seed=0)
    assert clip_named(catalogue, "a.wav").recording == "1"
    reason = f"names the same file and times as {NAME} line 2, which counts; the row is left out"
    assert faults_of(catalogue) == {f"{NAME} line 4": reason, f"{NAME} line 5": reason}


def test_same_sound_under_two_classes__is_left_out_wherever_it_stands(write: Write):
    rows = ("a.wav,dog,0,2", "b.wav,owl,,", "c.wav,dog,,", "a.wav,owl,0,2", "a.wav,dog,0,2", "a.wav,owl,1,2")
    text = "\n".join(("path,class,start,end", *rows))
    catalogue = read_catalogue(write(text), seed=0)
    assert names_of(catalogue) == {"a.wav", "b.wav", "c.wav"}
    assert clip_named(catalogue, "a.wav").start_s == 1.0
    faults = faults_of(catalogue)
    assert list(faults) == [f"{NAME} line {line}" for line in (2, 5, 6)]
    assert f"class='owl', but {NAME} line 2 calls the same file and times 'dog'" in faults[f"{NAME} line 5"]
    assert f"class='dog', but {NAME} line 5 calls the same file and times 'owl'" in faults[f"{NAME} line 6"]
    assert faults[f"{NAME} line 2"].endswith("nobody can tell which is right; the row is left out")


def test_link_to_a_file__is_that_file(write: Write):
    path = write("path,class\na.wav,dog\nalias.wav,dog\nb.wav,owl\n")
    (path.parent / "alias.wav").symlink_to("a.wav")
    catalogue = read_catalogue(path, seed=0)
    assert names_of(catalogue) == {"a.wav", "b.wav"}
    assert "names the same file" in faults_of(catalogue)[f"{NAME} line 3"]


def test_parts_taken_through_a_link__belong_to_the_recording_itself(write: Write):
    path = write("path,class,start,end\na.wav,dog,0,2\nalias/a.wav,dog,2,4\nb.wav,owl,,\n")
    (path.parent / "alias").symlink_to(".")
    catalogue = read_catalogue(path, seed=0)
    assert clip_named(catalogue, "alias/a.wav").recording == "a.wav"


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    touch(folder, "x.wav")
    return folder


def test_links_that_lead_out__are_faults(write: Write, outside: Path):
    path = write("path,class\na.wav,dog\nb.wav,owl\nfile.wav,dog\nfolder/x.wav,dog\nfolder/gone.wav,owl\n")
    (path.parent / "file.wav").symlink_to(outside / "x.wav")
    (path.parent / "folder").symlink_to(outside)
    catalogue = read_catalogue(path, seed=0)
    assert names_of(catalogue) == {"a.wav", "b.wav"}
    reason = "a link leads out of the folder of the corpus; the row is left out"
    assert faults_of(catalogue) == {f"{NAME} line {line}": reason for line in (4, 5, 6)}


def test_folder_beside_that_only_begins_with_the_same_name__is_outside(tmp_path: Path):
    inside, beside = tmp_path / "corpus", tmp_path / "corpus-2"
    touch(inside, "a.wav", "b.wav")
    touch(beside, "x.wav")
    (inside / "x.wav").symlink_to(beside / "x.wav")
    (inside / NAME).write_text("path,class\na.wav,dog\nb.wav,owl\nx.wav,owl\n", encoding="utf-8")
    assert names_of(read_catalogue(inside / NAME, seed=0)) == {"a.wav", "b.wav"}


def test_root_itself__may_be_reached_through_a_link(write: Write, outside: Path):
    path = write("path,class\na.wav,dog\nb.wav,owl\nsub/e.wav,dog\n")
    (path.parent / "link.wav").symlink_to(path.parent / "a.wav")
    (outside / "door").symlink_to(path.parent)
    catalogue = read_catalogue(outside / "door" / NAME, seed=0)
    assert catalogue.root == outside / "door"
    assert names_of(catalogue) == {"a.wav", "b.wav", "sub/e.wav"}
    assert faults_of(catalogue) == {}


def test_link_that_leads_to_itself__is_no_more_than_an_absent_file(write: Write):
    path = write("path,class\na.wav,dog\nb.wav,owl\nloop.wav,dog\nloop.wav/x.wav,dog\n")
    (path.parent / "loop.wav").symlink_to("loop.wav")
    assert names_of(read_catalogue(path, seed=0)) >= {"a.wav", "b.wav"}


def test_folds__are_drawn_whole_by_recording_and_announced(write: Write):
    rows = "".join(f"f{number}.wav,{'dog' if number % 2 else 'owl'},r{number // 3}\n" for number in range(30))
    catalogue = read_catalogue(write(f"path,class,recording\na.wav,dog,a\n{rows}"), seed=7)
    folds: dict[str, set[int]] = {}
    for clip in catalogue.clips:
        folds.setdefault(clip.recording, set()).add(clip.fold)
    assert all(len(found) == 1 for found in folds.values())
    assert set.union(*folds.values()) == {1, 2, 3, 4, 5}
    assert list(notes_of(catalogue)) == [NAME]
    assert notes_of(catalogue)[NAME].startswith(
        "names no folds: 5 were drawn with seed 7, each recording whole"
    )
    assert faults_of(catalogue) == {}


ROWS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), min_size=5, max_size=40)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(ROWS.filter(lambda rows: len({number for number, _ in rows}) >= 5), ROWS)
def test_rows_appended__leave_every_earlier_clip_in_its_fold(tmp_path_factory, before, appended):
    folder = tmp_path_factory.getbasetemp() / "growing"
    touch(folder, "here.wav")
    found = []
    for rows in (before, before + appended):
        lines = [f"{line}.wav,{name},{recording}" for line, (recording, name) in enumerate(rows)]
        text = "\n".join(["path,class,recording", "here.wav,x,here", *lines])
        (folder / NAME).write_text(text, encoding="utf-8")
        found.append({clip.name: clip.fold for clip in read_catalogue(folder / NAME, seed=3).clips})
    assert {name: found[1][name] for name in found[0]} == found[0]


def test_one_recording__is_an_error_that_says_what_is_needed_for_folds(write: Write):
    text = "path,class,recording\na.wav,dog,1\nb.wav,owl,1\n,owl,2\n"
    with pytest.raises(
        CorpusError, match=r"no folds can be drawn from 1 recording:.*line 4: path='' names no file"
    ):
        read_catalogue(write(text), seed=0)


def test_rows_without_fold_among_others__are_faults(write: Write):
    catalogue = read_catalogue(write("path,class,fold\na.wav,dog,1\nb.wav,owl,2\nc.wav,dog,\n"), seed=0)
    assert names_of(catalogue) == {"a.wav", "b.wav"}
    assert faults_of(catalogue) == {
        f"{NAME} line 4": "fold is empty, while other rows name theirs; the row is left out"
    }
    assert notes_of(catalogue) == {}


def test_repeated_row_without_fold__does_not_take_the_one_with_it_away(write: Write):
    catalogue = read_catalogue(write("path,class,fold\na.wav,dog,\na.wav,dog,1\nb.wav,owl,2\n"), seed=0)
    assert {clip.name: clip.fold for clip in catalogue.clips} == {"a.wav": 1, "b.wav": 2}


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    root = tmp_path / "labelled"
    touch(root, "dog/1.wav", "dog/old/deep/2.FLAC", "owl/3.mp3", "owl/4.Aiff", "owl/notes.txt", "README.md")
    return root


def test_folder__has_a_class_per_subfolder_and_a_clip_per_sound_file(labelled: Path):
    touch(labelled, ".git/x.wav", "dog/.cache/x.wav", "owl/._3.wav")
    catalogue = read_catalogue(labelled, seed=0)
    assert catalogue.root == labelled
    assert catalogue.class_names == ("dog", "owl")
    assert {clip.path: clip.class_name for clip in catalogue.clips} == {
        "dog/1.wav": "dog",
        "dog/old/deep/2.FLAC": "dog",
        "owl/3.mp3": "owl",
        "owl/4.Aiff": "owl",
    }
    assert all(clip.is_excerpt and clip.recording == clip.path == clip.name for clip in catalogue.clips)
    assert faults_of(catalogue) == {}
    assert notes_of(catalogue)["labelled"].startswith("names no folds: 4 were drawn with seed 0")


@pytest.mark.parametrize(
    "suffix", ["wav", "flac", "ogg", "mp3", "aif", "aiff", "aifc", "au", "w64", "caf", "CAF"]
)
def test_folder__takes_every_kind_of_sound_file(labelled: Path, suffix: str):
    touch(labelled, f"owl/more.{suffix}")
    assert f"owl/more.{suffix}" in names_of(read_catalogue(labelled, seed=0))


def test_file_in_no_class_folder__is_a_fault(labelled: Path):
    touch(labelled, "stray.wav")
    catalogue = read_catalogue(labelled, seed=0)
    assert faults_of(catalogue) == {"stray.wav": "lies in no class folder; the file is left out"}


def test_folder_without_sounds__is_a_note(labelled: Path):
    touch(labelled, "docs/paper.pdf")
    assert notes_of(read_catalogue(labelled, seed=0))["docs"] == "holds no sound files, so it is no class"


def test_folder_that_cannot_be_read__is_a_fault(labelled: Path, monkeypatch: pytest.MonkeyPatch):
    """A superuser may read any folder, so the system's answer is made up."""
    walk = os.walk

    def walk_with_error(root: Path, onerror: Callable[[OSError], None] = lambda error: None):
        onerror(PermissionError(13, "Permission denied", str(root / "dog" / "locked")))
        return walk(root, onerror=onerror)

    monkeypatch.setattr(os, "walk", walk_with_error)
    catalogue = read_catalogue(labelled, seed=0)
    assert len(catalogue.clips) == 4
    assert faults_of(catalogue) == {"dog/locked": "cannot be read (Permission denied); the file is left out"}


def test_links_in_a_folder__stay_inside(labelled: Path, outside: Path):
    (labelled / "dog" / "away.wav").symlink_to(outside / "x.wav")
    (labelled / "dog" / "twice.wav").symlink_to("1.wav")
    (labelled / "owl" / "round").symlink_to("../owl")
    catalogue = read_catalogue(labelled, seed=0)
    assert len(catalogue.clips) == 4
    assert faults_of(catalogue) == {
        "dog/away.wav": "a link leads out of the folder of the corpus; the file is left out",
        "dog/twice.wav": "names the same file and times as dog/1.wav, which counts; the file is left out",
        "owl/round": "links to folders are not followed; the file is left out",
    }


@pytest.mark.skipif(os.name != "posix", reason="needs a file system that takes any bytes as a name")
def test_file_names_that_cannot_be_shown__are_faults(labelled: Path):
    for name in (b"chou\xe9tte.wav", b"two\nlines.wav", "a\u202eb.wav".encode()):
        try:
            Path(os.fsdecode(bytes(labelled / "owl") + b"/" + name)).touch()
        except OSError:
            pytest.skip("this file system refuses such names")
    catalogue = read_catalogue(labelled, seed=0)
    assert len(catalogue.clips) == 4
    faults = faults_of(catalogue)
    assert set(faults) == {"owl/chou\\xe9tte.wav", "owl/two\\nlines.wav", "owl/a\\u202eb.wav"}
    assert "holds bytes that are not UTF-8" in faults["owl/chou\\xe9tte.wav"]


def test_empty_folder__is_an_error_that_says_what_is_wanted(tmp_path: Path):
    with pytest.raises(
        CorpusError, match=r"a folder whose subfolders are the classes: names no clip that can be used"
    ):
        read_catalogue(tmp_path, seed=0)


def test_folder_of_one_class__is_an_error(tmp_path: Path):
    touch(tmp_path, "audio/1.wav", "audio/2.wav")
    with pytest.raises(CorpusError, match=r"names clips of one class alone, 'audio'"):
        read_catalogue(tmp_path, seed=0)
