"""Clips cut in two: which of them a page shows, what it says of them, and what can be heard."""

import base64
import io
import shutil

import numpy as np
import pytest
import soundfile

from tests.reporting.stores import CLASSES, CUTS_ABOUT, SOUND_HZ, cuts
from tests.reporting.test_clip import LABELS, NAMES, Corpus, page_of
from toolkit.pipeline.clip_page import remove_silenced, write_pages
from toolkit.pipeline.executors import Serial
from toolkit.pipeline.markers import Marker
from toolkit.pipeline.run import Tools
from toolkit.pipeline.stages import report
from toolkit.reporting import listening
from toolkit.reporting.listening import Heard, read_cuts, read_examples
from toolkit.store import write

KEY = ("mel", "lrp.epsilon")
GROUP = "evaluation/listening/mel/lrp.epsilon"
HUM, NO_EXAMPLE = 0, -1


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    made = Corpus(tmp_path)
    made.write()
    return made


def listen(corpus: Corpus, *, keeps_sound: bool = True, **changes: np.ndarray) -> None:
    table = cuts(NAMES, LABELS, corpus.clips["fold"]) | changes
    if not keeps_sound:
        del table["sound"]
    write.write_group(corpus.store, GROUP, table, attributes=CUTS_ABOUT)


def samples(heard: Heard) -> tuple[np.ndarray, int]:
    kind, _, content = heard.sound.partition(";base64,")
    assert kind == "data:audio/mpeg"
    return soundfile.read(io.BytesIO(base64.b64decode(content)))


def test_examples__are_those_of_the_class_in_the_order_of_what_they_stand_for(corpus):
    rank = np.array([1, NO_EXAMPLE, 0, 0, 0, 1])
    listen(corpus, rank=rank, n_recordings=np.where(rank == 0, 5, 2))
    found = read_examples(corpus.store, CLASSES[HUM])
    assert [each.cut.clip for each in found] == [NAMES[2], NAMES[0]]
    assert [each.title for each in found] == [
        "example for 5 recordings, network of fold 2",
        "example for 2 recordings, network of fold 2",
    ]
    # What was not recorded is not drawn: half a second of four.
    assert np.isfinite(found[0].drawing.mean_level_db).all(axis=0).tolist() == [True] * 8 + [False] * 56
    assert np.nansum(np.abs(found[0].drawing.mean_relevance)) == pytest.approx(1)


def test_cut__says_whose_probability_it_tells_and_what_each_version_is_called(corpus):
    listen(corpus)
    (cut,) = read_cuts(corpus.store, NAMES[0]).values()
    assert (cut.representation, cut.composite, cut.clip, cut.target) == (*KEY, NAMES[0], "hum")
    assert [(heard.version, heard.probability, heard.called) for heard in cut.versions] == [
        ("original", 0.9, "hum"),
        ("kept", 0.8, "hum"),
        ("removed", 0.25, "dog_bark"),
    ]


def test_cut__holds_the_recorded_sound_of_every_version_and_no_more(corpus):
    listen(corpus)
    cut = read_cuts(corpus.store, NAMES[0])[KEY]
    for heard, level in zip(cut.versions, (655, 1310, 1965), strict=True):
        sound, rate_hz = samples(heard)
        assert rate_hz == SOUND_HZ
        assert len(sound) == pytest.approx(SOUND_HZ / 2, abs=1200)  # MP3 fills whole frames
        assert np.median(sound) == pytest.approx(level / 32768, rel=0.05)


@pytest.mark.parametrize("error", ["", "is gone"])
def test_cut__is_silent_where_no_sound_is_kept_or_it_could_not_be_cut(corpus, error):
    listen(corpus, keeps_sound=bool(error), error=np.array([error] * len(NAMES), dtype=object))
    assert not read_cuts(corpus.store, NAMES[0])[KEY].can_be_heard
    page = page_of(corpus)
    assert "<audio" not in page
    assert ("Not cut: is gone." in page) == bool(error)


def test_page_of_a_clip__has_players_beside_the_map_that_cut_it(corpus):
    listen(corpus)
    page = page_of(corpus)
    assert page.count("<audio") == 3
    assert page.count('data-explorer="mel/lrp.epsilon" data-group') == 3
    assert "called dog bark; hum with probability 0.25" in page
    assert "The mask keeps 7 % of the cells and 53 % of positive relevance. Sound: Sound of 7-0.wav." in page


def test_page_of_a_clip__does_without_what_was_not_evaluated(corpus):
    assert read_cuts(corpus.store, NAMES[0]) == {}
    assert "<audio" not in page_of(corpus)


def test_pages_of_clips__go_when_their_sounds_do_and_only_then(corpus):
    listen(corpus)
    heard, silent = (corpus.run.reports / "clips" / f"{name}.html" for name in ("7-0_wav", "7-1_wav"))
    write_pages(corpus.run, [NAMES[0]], "test")
    silent.write_text("no sound", encoding="utf-8")
    assert remove_silenced(corpus.run) == []
    shutil.rmtree(corpus.store / GROUP)
    listen(corpus, keeps_sound=False)
    assert remove_silenced(corpus.run) == [heard]
    assert [path.exists() for path in (heard, silent)] == [False, True]


def test_page_of_a_clip__goes_when_one_of_its_two_sounds_does(corpus):
    """An example of one representation keeps its sound where only examples are kept; the other has none."""
    other = GROUP.replace("mel", "cqt")
    for group in (GROUP, other):
        write.write_group(corpus.store, group, cuts(NAMES, LABELS, corpus.clips["fold"]), attributes=CUTS_ABOUT)
    write_pages(corpus.run, [NAMES[0]], "test")
    shutil.rmtree(corpus.store / other)
    assert [path.name for path in remove_silenced(corpus.run)] == ["7-0_wav.html"]


def test_report__removes_what_it_wrote_of_old_and_what_must_not_be_heard_and_nothing_else(corpus):
    listen(corpus)
    write_pages(corpus.run, [NAMES[0]], "test")
    shutil.rmtree(corpus.store / GROUP)
    run, markers = corpus.run, corpus.run.markers(report.NAME)
    gone, foreign = run.reports / "gone.html", run.reports / "compare.html"
    for path in (gone, foreign):
        path.write_text("page", encoding="utf-8")
    files = run.reports / "data" / "gone" / "bands.csv"
    files.parent.mkdir(parents=True)
    files.touch()
    markers.write("gone.html", Marker())
    told = []
    report.prepare(run, Tools(told.append, Serial()))
    assert [path.exists() for path in (gone, files.parent, foreign)] == [False, False, True]
    assert markers.read("gone.html") is None
    assert [event.subject for event in told] == ["clips/7-0_wav.html"]
    assert not (run.reports / told[0].subject).exists()


def test_sound_address__is_the_same_for_the_same_samples():
    sound = (1000 * np.sin(np.arange(4000))).astype(np.int16)
    assert listening.sound_address(sound, SOUND_HZ) == listening.sound_address(sound, SOUND_HZ)
