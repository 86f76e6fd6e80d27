"""A clip of the corpus is told by its features or by its file; networks that learned from it have no say."""

import numpy as np
import pytest

from toolkit.pipeline.files import FileDigests, digest_file
from toolkit.pipeline.recognition import Corpus, Recognised, recognise

NAMES = ("a.wav", "b.wav", "long.wav@0s", "long.wav@4s", "twin.wav")
PATHS = ("audio/fold1/a.wav", "audio/fold2/b.wav", "long.wav", "long.wav", "audio/fold3/twin.wav")
FOLDS = (1, 2, 2, 2, 3)
ROWS = {"mel a": (0, 4), "cqt b": (1,), "mel l0": (2,), "mel l4": (3,)}


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    files = FileDigests(tmp_path / "digests.json")
    for path in PATHS:
        file = tmp_path / "corpus" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
        files(file)
    files.remember()
    rows_of_path = {path: tuple(row for row, each in enumerate(PATHS) if each == path) for path in PATHS}
    files = FileDigests(tmp_path / "digests.json")
    return Corpus(np.array(NAMES, dtype=object), rows_of_path, np.array(FOLDS), ROWS, files)


def test_recognise__a_new_sound_is_nothing_and_all_may_speak(corpus):
    found = recognise(corpus, ["mel x", "cqt x"], "other content")
    assert found == Recognised()
    assert str(found) == ""
    assert all(found.may_speak(fold) for fold in (1, 2, 3))


def test_recognise__by_the_features_of_any_representation(corpus):
    found = recognise(corpus, ["mel x", "cqt b"], "other content")
    assert str(found) == "b.wav"
    assert [found.may_speak(fold) for fold in (1, 2, 3)] == [False, True, False]


def test_recognise__by_the_content_of_the_file(corpus, tmp_path):
    """The catalogue may say that less was recorded than the file holds: then features differ."""
    content = digest_file(tmp_path / "corpus" / "audio" / "fold2" / "b.wav")
    assert str(recognise(corpus, ["mel x"], content)) == "b.wav"


def test_recognise__copies_in_two_folds_leave_nobody_to_speak(corpus):
    found = recognise(corpus, ["mel a"], "other content")
    assert found.names == ("a.wav", "twin.wav")
    assert not any(found.may_speak(fold) for fold in (1, 2, 3))


def test_recognise__of_clips_cut_out_of_one_file_the_exact_one_is_named(corpus, tmp_path):
    content = digest_file(tmp_path / "corpus" / "long.wav")
    assert recognise(corpus, ["mel l4"], content).names == ("long.wav@4s",)
    assert recognise(corpus, ["mel x"], content).names == ("long.wav@0s", "long.wav@4s")


def test_recognised__names_a_few():
    assert str(Recognised(tuple("abcde"), frozenset({1}))) == "a, b, c and 2 more"
