"""Two stores compared: what is paired with what, what is said of it, and what the page shows."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.reporting.comparable import N_RECORDINGS, Run
from tests.reporting.stores import BANDS, CLASSES
from toolkit.config import FeatureSettings, StatisticsSettings, to_json
from toolkit.errors import StoreError
from toolkit.pipeline.comparing import compare
from toolkit.reporting import comparison, figures
from toolkit.reporting.comparison import Comparison, render
from toolkit.store import write

HUM, DOG, CLICKS = CLASSES
EPSILON = "mel/lrp.epsilon"


@pytest.fixture(autouse=True)
def _figures_are_not_drawn(monkeypatch) -> None:
    """They take seconds each, and have tests of their own."""
    monkeypatch.setattr(figures, "thumbnail", lambda region, _: region)
    monkeypatch.setattr(comparison, "image", lambda _: "data:,")


@pytest.fixture
def pair(tmp_path) -> tuple[Run, Run]:
    """Two runs that are the same, until a test changes one."""
    return Run(tmp_path / "one"), Run(tmp_path / "other")


def compared(pair: tuple[Run, Run]) -> Comparison:
    return compare(*(run.write() for run in pair))


class Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.rows: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag == "tr":
            self.rows.append("")

    def handle_data(self, data) -> None:
        if self.cdata_elem is not None:  # nobody reads styles and scripts
            return
        self.words.append(data)
        if self.rows:
            self.rows[-1] += f" {data}"

    @property
    def flat(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def row(self, *words: str) -> str:
        """Return the first row of a table that holds all of these words."""
        rows = [re.sub(r"\s+", " ", row).strip() for row in self.rows]
        return next(row for row in rows if all(word in row for word in words))


def shown(page: Comparison) -> Text:
    return Text(render(page))


def test_sentences__of_equal_runs_say_so(pair):
    page = compared(pair)
    assert page.sentences == (
        "No setting differs.",
        "Accuracy by mel spectrogram is the same in every recording (36 recordings in both).",
        "Accuracy by constant-Q spectrogram is the same in every recording (36 recordings in both).",
        "Where relevance lies is the same in every recording.",
        "Mean maps of A and B correlate by 1.00 (median of 6 with at least 10 recordings; the lowest by 1.00).",
        "6 of 6 verdicts are the same. Neither run names a band.",
    )
    assert page.warnings == ()
    assert "Both runs hold the same 72 clips of 36 recordings, in the same folds." in shown(page).flat


def test_accuracy__is_of_the_clips_that_both_classify(pair):
    """Eight of twelve dogs go from half right to right, one hum back: 8 - 1 of 72 clips."""
    one, other = pair
    dogs = np.flatnonzero(one.clips["label"] == 1)[::2][:8]
    one.right["mel"][dogs] = False
    other.right["mel"][0] = False
    page = compared(pair)
    mel, cqt = page.pairing.scores
    assert (mel.n_clips, mel.of_all.accuracy.n_recordings, mel.of_all.accuracy.n_differing) == (72, 36, 9)
    assert mel.of_all.accuracy.difference.value == pytest.approx(7 / 72)
    assert mel.of_class[DOG].accuracy.first == pytest.approx(16 / 24)
    assert mel.of_class[DOG].accuracy.is_certain
    assert not mel.of_class[HUM].accuracy.is_certain
    assert cqt.of_all.accuracy.difference.value == 0
    (sentence,) = (each for each in page.sentences if each.startswith("Accuracy by mel"))
    assert re.fullmatch(
        r"Accuracy by mel spectrogram rose by 9\.7 points \(95 % interval \+\d\.\d to \+\d+\.\d; "
        r"36 recordings in both\)\.",
        sentence,
    )
    page = shown(page)
    assert "67 % 100 % +33.3" in page.row("dog bark", "more in B")
    assert "too few recordings that differ: 1, 6 are needed" in page.row("hum", "-4.2")


def test_accuracy__counts_recordings_that_turned(pair):
    one, other = pair
    one.right["mel"][:4] = False
    other.right["mel"][70:] = False
    mel = compared(pair).pairing.scores[0]
    assert (mel.of_all.to_right, mel.of_all.to_wrong) == (2, 1)
    assert (mel.of_class[HUM].to_right, mel.of_class[CLICKS].to_wrong) == (2, 1)


def test_accuracy__of_few_that_differ_is_not_called_more(pair):
    pair[0].right["cqt"][:8:2] = False
    (sentence,) = (each for each in compared(pair).sentences if "constant-Q" in each)
    assert "differs by +5.6 points, too few recordings that differ: 4, 6 are needed (95 % interval" in sentence


def test_accuracy__that_goes_both_ways_may_be_chance(pair):
    one, other = pair
    one.right["mel"][:20:2] = False
    other.right["mel"][40:58:2] = False
    (sentence,) = (each for each in compared(pair).sentences if "by mel" in each)
    assert "differs by +1.4 points, which may be chance: the interval holds 0 (95 % interval -" in sentence


def test_shares__are_paired_by_recording(pair):
    """Of the dogs, about five points more lie in 1-2 kHz, out of what lies in no band."""
    one, other = pair
    bins = one.of_band[BANDS[0]]
    dogs = one.recordings["label"] == 1
    moved = np.random.default_rng(1).uniform(0.04, 0.06, N_RECORDINGS)
    outside = np.ix_(dogs, ~(bins | one.of_band[BANDS[1]]))
    other.share[np.ix_(dogs, bins)] += moved[:, None] / bins.sum()
    other.share[outside] *= 1 - moved[:, None] / other.share[outside].sum(axis=1, keepdims=True)
    page = compared(pair)
    maps = page.pairing.maps[0]
    assert (maps.representation, maps.composite) == tuple(EPSILON.split("/"))
    found = maps.of_class[DOG]
    assert found.n_recordings == N_RECORDINGS
    assert list(found.noteworthy) == [BANDS[0]]
    share = found.bands[BANDS[0]]
    assert share.first == pytest.approx(one.share[dogs][:, bins].sum(axis=1).mean())
    assert share.difference.value == pytest.approx(moved.mean())
    assert share.difference.low < moved.mean() < share.difference.high
    assert found.bands[BANDS[1]].n_differing == 0
    assert not maps.of_class[HUM].noteworthy
    assert found.correlation.value < 1
    # 3 classes and 2 bands in 2 representations; constant-Q bins lie elsewhere.
    (sentence,) = (each for each in page.sentences if each.startswith("Where relevance lies"))
    assert "of 12 shares by class and band differ" in sentence
    assert "by chance alone about 1 would" in sentence
    assert f"{BANDS[0]} +{100 * moved.mean():.1f}" in shown(page).row("dog bark", BANDS[0])


def test_shares__of_recordings_without_correct_clips_count_in_neither(pair):
    pair[0].share[:3] = np.nan
    page = compared(pair)
    assert page.pairing.maps[0].of_class[HUM].n_recordings == N_RECORDINGS - 3
    assert "too few recordings" in shown(page).row("hum", "9")


def test_folds__that_were_dealt_anew_leave_pairs_whole(pair):
    other = pair[1]
    for table in (other.clips, other.recordings):
        table["fold"] = 3 - table["fold"]
    page = compared(pair)
    assert page.pairing.corpus.n_other_fold == 72
    assert {found.n_recordings for maps in page.pairing.maps for found in maps.of_class.values()} == {12}
    assert "72 clips of these lie in another fold in B" in shown(page).flat


def test_classes__are_paired_by_name(pair):
    """The other run numbers them otherwise, and lacks one."""
    one, other = pair
    one.right["mel"][24:30] = False
    other.with_classes([CLICKS, DOG])
    page = compared(pair)
    assert page.classes == (DOG, CLICKS)
    assert page.warnings[0] == "Only A has the class hum: left out here."
    assert page.warnings[1].startswith("Networks that know other classes answer another question")
    mel = page.pairing.scores[0]
    assert mel.n_clips == 48
    assert mel.of_class[DOG].accuracy.difference.value == pytest.approx(6 / 24)
    assert mel.of_class[CLICKS].accuracy.difference.value == 0
    for maps in page.pairing.maps:
        assert [found.n_recordings for found in maps.of_class.values()] == [12, 12]
        assert {share.n_differing for share in maps.shares} == {0}
        assert [found.map_correlation for found in maps.of_class.values()] == pytest.approx([1, 1])
    assert "4 of 4 verdicts are the same." in page.sentences[-1]
    assert "0 24 0" in shown(page).row("hum", "0 12 0")


def test_corpus__names_what_only_one_run_holds(pair):
    pair[1].without_rows("recording 14")
    page = compared(pair)
    corpus = page.pairing.corpus
    assert (corpus.n("clips"), corpus.n("recordings"), corpus.is_same) == (70, 35, False)
    assert corpus.recordings[DOG].first == ("recording 14",)
    text = shown(page)
    assert "22 2 0 11 1 0" in text.row("dog bark")
    assert "Recordings that only A holds" in text.flat
    assert "Recordings that only B holds" not in text.flat


def test_corpora__without_a_clip_in_common_are_paired_in_nothing(pair):
    other = pair[1]
    for table in (other.clips, other.recordings):
        table["recording"] = table["recording"] + " of another"
    other.clips["clip"] = other.clips["clip"] + " of another"
    page = compared(pair)
    assert "The runs have no clip in common: nothing can be paired." in page.warnings
    assert (
        "Accuracy by mel spectrogram cannot be compared: no clip is classified in both runs." in page.sentences
    )
    assert not re.search(r"\bnan\b", shown(page).flat.lower())


def test_corpora__with_other_sound_of_the_same_name_are_told_apart(pair):
    pair[1].digest = pair[1].digest + " of another seed"
    (warning,) = compared(pair).warnings
    assert warning.startswith(
        "72 of the 72 clips in both have another spectrogram, although these are made alike"
    )
    pair[1].about["features"] = to_json(FeatureSettings(dynamic_range_db=60))
    page = compared(pair)
    assert page.warnings == ()
    assert ("features.dynamic_range_db", "80.0", "60.0") in page.settings


def test_settings__that_differ_come_first(pair):
    pair[1].settings = StatisticsSettings(n_bootstrap=300)
    pair[1].seed = 7
    page = compared(pair)
    assert page.settings == (("seed", "1", "7"), ("statistics.n_bootstrap", "200", "300"))
    assert (
        page.sentences[0]
        == "2 settings differ: seed (1 in A, 7 in B) and statistics.n_bootstrap (200 in A, 300 in B)."
    )
    assert ("statistics.alpha", "0.05") in page.common_settings
    assert (page.pairing.seed, page.pairing.n_bootstrap) == (1, 200)


def test_verdicts__are_the_same_if_they_name_the_same_bands(pair):
    one, other = pair
    for run in pair:
        run.regions()["band_verdict"][1, 1] = [1, -1]
    one.regions()["band_ratio"][1, 1] = [2.0, 0.5]
    other.regions()["band_ratio"][1, 1] = [3.0, 0.4]
    page = compared(pair)
    assert page.sentences[-1] == (
        "6 of 6 verdicts are the same. Of the bands named for a class by either run (2), 2 are named by both."
    )


def test_verdicts__tell_what_only_one_run_names(pair):
    one, other = pair
    one.regions()["band_verdict"][1, 1] = [1, 0]
    other.regions()["band_verdict"][1, 1] = [1, 1]
    one.regions()["p_holm"][0] = np.nan
    one.regions()["contrast_n_recordings"][0] = 3
    other.regions()["p_holm"][2] = np.nan
    other.regions()["contrast_n_recordings"][2] = 3
    page = compared(pair)
    kinds = [found.kind for found in page.verdicts if f"{found.representation}/{found.composite}" == EPSILON]
    assert kinds == ["new", "changed", "gone"]
    assert page.sentences[-1] == (
        "3 of 6 verdicts are the same; 1 changed; 1 new in B; 1 only in A. Of the bands named for a class by "
        "either run (2), 1 are named by both."
    )
    html = render(page)
    assert "more than other classes: 1-2 kHz, <strong>2-4 kHz</strong>" in html
    text = Text(html)
    assert text.row("hum", "too few to say").endswith("new in B")
    assert text.row("dog bark", "more than other classes").endswith("changed")


def test_verdicts__that_neither_run_has_are_no_agreement(pair):
    for run in pair:
        for name in (EPSILON, "cqt/lrp.epsilon"):
            run.regions(name)["p_holm"][:] = np.nan
    page = compared(pair)
    assert page.sentences[-1] == "Neither run has a verdict on any class."
    assert "none in either" in shown(page).flat


def test_verdicts__of_maps_that_only_one_run_has_are_shown(pair):
    del pair[1].groups["statistics/regions/cqt/lrp.epsilon"]
    page = compared(pair)
    assert page.warnings == ("Only A has the maps of LRP-epsilon, constant-Q spectrogram: left out here.",)
    assert [found.kind for found in page.verdicts if found.representation == "cqt"] == ["gone"] * 3
    assert [found.representation for found in page.pairing.maps] == ["mel"]
    assert [found.representation for found in page.pairing.scores] == ["mel", "cqt"]
    assert "only in A" in shown(page).flat


def test_warnings__name_networks_at_chance_and_other_targets(pair):
    pair[1].scores()["is_chance"] = np.array(True)
    pair[1].target = "label"
    assert compared(pair).warnings == (
        "The mel spectrogram networks of B are not known to be better than chance: their maps mean nothing.",
        "Maps explain another output: predicted in A, label in B.",
    )


def test_page__keeps_names_text_and_needs_nothing_from_outside(tmp_path):
    pair = [Run(tmp_path / name) for name in ("<i>one", '"&<u>other')]
    page = compared(pair)
    html = render(page)
    found = Text(html)
    assert not {"i", "u", "b"} & set(found.tags)
    assert 'A is <i>one, B is "&<u>other.' in found.flat
    assert "<b>clicks</b>" in found.flat
    assert "style" not in found.attributes
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    assert "default-src 'none'" in html


def test_page__is_the_same_for_the_same_stores(pair):
    one, other = pair
    one.right["mel"][::5] = False
    other.share = np.random.default_rng(5).dirichlet(np.ones(64), len(other.share))
    stores = [run.write() for run in pair]
    assert render(compare(*stores)) == render(compare(*stores))


def test_page__of_runs_that_know_little_holds_no_nan(pair):
    for run in pair:
        run.forget()
        for table in run.groups.values():
            for name in ("band_low", "band_high"):
                if name in table:
                    table[name] = np.array([1000.0, 2000.0]) * (1 + (name == "band_high"))
    assert not re.search(r"\bnan\b", shown(compared(pair)).flat.lower())


def test_names__are_as_long_as_they_must_be(tmp_path):
    for folders, expected in (
        (("a/run", "b/run"), ("a/run", "b/run")),
        (("a/run", "a/other"), ("run", "other")),
    ):
        stores = [Run(tmp_path / folder).write() for folder in folders]
        assert compare(*stores).names == expected
        assert compare(*(store.parent for store in stores)).names == expected
    with pytest.raises(StoreError, match=r"run/store\.zarr and .*run are one run: give two"):
        compare(stores[0], stores[0].parent)


def test_compare__refuses_what_is_no_run(pair, tmp_path):
    store = pair[0].write()
    with pytest.raises(
        StoreError, match=r"nothing: holds no run; give the folder of one, which `toolkit run-all`"
    ):
        compare(store, tmp_path / "nothing")


def test_compare__refuses_another_format(pair):
    stores = [run.write() for run in pair]
    write.set_attributes(stores[1], "", {"format_version": 1})
    with pytest.raises(StoreError, match=r"other/store.zarr: format version 1, this toolkit reads \d"):
        compare(*stores)


def test_compare__refuses_runs_without_figures(pair):
    stores = [run.write() for run in pair]
    shutil.rmtree(stores[0] / "statistics")
    with pytest.raises(
        StoreError, match=r"one/store.zarr: holds no statistics .* run `toolkit statistics` first"
    ):
        compare(*stores)


@pytest.mark.parametrize("lost", ["recordings/mel/lrp.epsilon", "regions/mel/lrp.epsilon/band_verdict"])
def test_compare__refuses_figures_of_another_version(pair, lost):
    stores = [run.write() for run in pair]
    shutil.rmtree(stores[1] / "statistics" / lost)
    with pytest.raises(
        StoreError, match=r"its figures are of another version of the toolkit \(.*\); run `toolkit"
    ):
        compare(*stores)


def test_compare__refuses_figures_that_are_older_than_maps(pair):
    stores = [run.write() for run in pair]
    newer = Run(Path(stores[1]).parent.parent / "newer")
    newer.right["mel"][:5] = False
    shutil.rmtree(stores[1] / "relevance/mel")
    shutil.copytree(newer.write() / "relevance/mel", stores[1] / "relevance/mel")
    with pytest.raises(StoreError, match="its figures of mel are older than its maps; run `toolkit statistics"):
        compare(*stores)


def test_compare__refuses_runs_without_a_class_in_common(pair):
    one, other = pair
    one.with_classes([HUM])
    other.with_classes([DOG, CLICKS])
    with pytest.raises(
        StoreError,
        match=r"no class in common: .*one.* has hum, .*other.* has dog_bark and <b>clicks</b>; compare runs",
    ):
        compared(pair)


def test_compare__refuses_bands_of_which_none_is_common(pair):
    table = pair[1].regions()
    table["band_low"] = table["band_low"] + 1
    with pytest.raises(StoreError, match=r"no band in common: 1-2 kHz, 2-4 kHz and 1-2 kHz, 2-4 kHz; run"):
        compared(pair)
