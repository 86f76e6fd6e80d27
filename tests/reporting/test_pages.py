"""Pages of a run and the table of verdicts: what is known stands there, what is not known leaves no trace."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from tests.reporting.stores import CLASSES, COMPOSITES, MadeUp, leave_figures_empty
from toolkit.reporting import drawing, render, tables
from toolkit.reporting.summary import verdict_table
from toolkit.reporting.view import read_overview


@pytest.fixture(autouse=True)
def _figures_are_not_drawn(monkeypatch) -> None:
    leave_figures_empty(monkeypatch)


@pytest.fixture
def made(tmp_path) -> MadeUp:
    return MadeUp(tmp_path)


class Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.words.extend(str(value) for name, value in attrs if name == "alt")

    def handle_data(self, data) -> None:
        if self.cdata_elem is None:  # nobody reads styles and scripts
            self.words.append(data)

    @property
    def flat(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def page(made: MadeUp, file: str = "dog_bark.html") -> str:
    return Text(render.render(made.write(), file).html).flat


def test_class_page__begins_with_the_verdict(made):
    table = made.regions()
    table["band_verdict"][:] = 0
    table["band_verdict"][1, 1, 0] = 1
    table["band_ratio"][1, 1, 0] = 2.2
    shown = page(made)
    assert "LRP-epsilon, mel spectrogram: more in 1-2 kHz (2.2 x other classes)" in shown
    assert shown.index("What drives it") < shown.index("How well it is recognised")
    assert "All its clips (" in shown
    assert "every one explained for dog bark" in shown


def test_index__has_the_verdict_of_every_class(made):
    made.regions()["band_verdict"][:] = 0
    made.regions()["p_holm"][:] = [[0.4, 0.3], [0.01, 0.3], [0.4, np.nan]]
    made.regions("cqt/lrp.epsilon")["p_holm"][:] = np.nan
    shown = page(made, "index.html")
    for verdict in (
        "not told from input and other classes",
        "differs from input, but no band is certain",
        "not told from input ",
    ):
        assert verdict in shown
    for name in CLASSES:
        assert name.replace("_", " ") in shown


def test_index__gives_scores_with_intervals(made):
    scores = made.scores()
    for name, values in (("mean_fold_accuracy", (0.6, 0.4, 0.8)), ("mcc", (0.5, 0.45, 0.55))):
        for end, value in zip(("", "_low", "_high"), values, strict=True):
            scores[f"{name}{end}"] = np.array(value)
    scores["ece"], scores["ece_expected"] = np.array(0.081), np.array(0.048)
    shown = page(made, "index.html")
    assert "60 % (40–80 %)" in shown
    assert "0.50 (0.45 to 0.55)" in shown
    assert "0.081 a calibrated network: about 0.048" in shown


def test_pages__flag_networks_at_chance_everywhere(made):
    made.scores()["is_chance"] = np.array(True)
    made.scores("cqt")["fold_is_chance"] = np.array([False, True])
    for file in ("index.html", "hum.html"):
        shown = page(made, file)
        assert "The mel spectrogram networks are not known to be better than chance" in shown
        assert "networks not known to be better than chance" in shown
        assert "the network of fold 2 is not known to be better than chance" in shown
    assert "2 *" in page(made, "hum.html")


@pytest.mark.parametrize("file", ["index.html", "hum.html", "dog_bark.html"])
def test_pages__hold_no_nan_where_nothing_is_known(made, file):
    made.forget()
    for table in made.groups.values():
        for name in ("n_clips", "n_recordings", "contrast_n_recordings", "confusion"):
            if name in table:
                table[name] = np.zeros_like(table[name])
    shown = page(made, file)
    assert not re.search(r"\bnan\b", shown.lower())
    assert "not tested" in shown
    assert "()" not in shown


def test_pages__keep_names_of_classes_text(made):
    found = Text(render.render(made.write(), "index.html").html)
    assert "<b>clicks</b>" in found.flat
    assert "b" not in found.tags


def test_page__is_the_same_for_the_same_figures(made):
    store = made.write()
    assert render.render(store, "hum.html") == render.render(store, "hum.html")


def test_data__has_every_figure_and_table_and_the_page_links_to_each(made):
    made.groups["statistics/performance/mel"]["accuracy"] = np.array(0.625)
    store = made.write()
    for file, some in (("index.html", "verdicts.csv"), ("hum.html", "bands.json")):
        shown = render.render(store, file, with_data=True)
        assert some in shown.files
        links = re.findall(r'href="data/[^/"]+/([^"]+)"', shown.html)
        assert [unquote(link) for link in links] == sorted(shown.files)
        for name, content in shown.files.items():
            starts = {"png": b"\x89PNG", "svg": b"<?xml", "json": b"[", "csv": b""}[name.rsplit(".", 1)[1]]
            assert content.startswith(starts), name
    found = render.render(store, "index.html", with_data=True).files
    scores = list(csv.DictReader(io.StringIO(found["performance.csv"].decode())))
    assert scores[0]["representation"] == "mel"
    assert float(scores[0]["accuracy"]) == 0.625
    assert json.loads(found["performance.json"])[0]["accuracy"] == 0.625
    assert not render.render(store, "index.html").files


def test_data__keeps_hostile_text_text():
    rows = [{"class": "=1+1", "note": 'quote " comma, line\nbreak', "p": float("nan")}]
    table = tables.Table(tuple(rows[0]), tuple(tuple(row.values()) for row in rows))
    read = next(csv.DictReader(io.StringIO(table.as_csv().decode(), newline="")))
    assert read == {"class": "'=1+1", "note": 'quote " comma, line\nbreak', "p": ""}
    assert json.loads(table.as_json()) == [{**rows[0], "p": None}]


def test_index__answers_whether_maps_can_be_trusted(made):
    regions, scores = made.regions(), made.scores()
    regions["relevance_sum_ratio"][:, 0] = 1.02
    regions["relevance_in_padding"][:, 0] = [0.01, 0.2, 0.02]
    regions["fold_agreement"][:, 0] = 0.1
    scores["is_chance"] = np.array(False)
    scores["fold_is_chance"] = np.array([True, False])
    shown = page(made, "index.html")
    for answer in (
        "Do the networks classify? partly accuracy",
        "Do maps add up to what they explain? yes sum of relevance over logit, where 1 is all: 1.02 to 1.02; "
        "off by 0.02 in the median of classes",
        "Does relevance stay off padding? partly at most 20 % of it lies there (dog bark)",
        "Do networks of other folds look at the same? no correlation",
    ):
        assert answer in shown


@pytest.mark.parametrize(("ratio", "in_padding", "state"), [(0.7, 0.1, "partly"), (-0.2, 0.9, "no")])
def test_index__says_how_badly_maps_fail(made, ratio, in_padding, state):
    regions = made.regions()
    regions["relevance_sum_ratio"][:, 0], regions["relevance_in_padding"][:, 0] = ratio, in_padding
    shown = page(made, "index.html")
    assert f"Do maps add up to what they explain? {state} " in shown
    assert f"Does relevance stay off padding? {state} " in shown


def test_index__says_how_many_clips_are_classified(made):
    for representation in ("mel", "cqt"):
        scores = made.scores(representation)
        scores["confusion"][:] = 0
        scores["confusion"][0] = np.eye(3, dtype=np.int64) * (1 if representation == "mel" else [1, 0, 0])
    shown = page(made, "index.html")
    assert "By the constant-Q spectrogram, 1 of 3 clips are classified so far: held-out fold 1, 2." in shown
    assert "By the mel spectrogram, " not in shown
    assert "Was every clip used? yes all 3 partly 1 of 3" in shown


def test_class_page__claims_nothing_of_clips_that_were_not_classified(made):
    for representation in ("mel", "cqt"):
        made.scores(representation)["confusion"][:] = 0
        for composite in COMPOSITES:
            made.regions(f"{representation}/{composite}")["n_clips"][:] = 0
    shown = page(made, "hum.html")
    assert shown.count("none of its clips has been classified yet") == 2
    assert shown.count("No clip has been classified yet") == 2
    for claim in ("never taken for", "No clip was misclassified", "No clip was classified correctly"):
        assert claim not in shown


def test_pages__begin_with_the_composite_that_the_run_names_first(made):
    made.composites = ["lrp.z", "lrp.epsilon"]
    shown = page(made, "index.html")
    assert "mean relevance of the correctly classified clips by lrp.z" in shown
    assert verdict_table(made.store).legend[0].startswith("maps by lrp.z")


def test_settings__tell_of_every_group_where_groups_differ(made):
    made.seeds["statistics/regions/cqt/lrp.z"] = 7
    parameters = dict(read_overview(made.write()).parameters)
    assert parameters["seed statistics/regions/cqt/lrp.z"] == "7"
    assert parameters["seed statistics/regions/cqt/lrp.epsilon"] == "1"
    assert parameters["statistics.alpha"] == "0.05"


def test_files__are_as_many_as_figures_whatever_their_names():
    names = ("dog bark, mel", "dog_bark, mel", "Dog_bark, mel", "日本, mel", "中国, mel", "bands")
    figure = drawing.new_figure(0.2, 0.2)
    drawn, pictures = dict.fromkeys(names, figure), dict.fromkeys(names, b"")
    table = tables.Table(("band",), (("1-2 kHz",),))
    files = render.files_of(drawn, pictures, {"bands": table, "empty": tables.Table((), ())})
    assert len({name.lower() for name in files}) == 2 * len(names) + 2
    assert not [name for name in files if name.startswith("empty")]
    assert {"bands.png", "bands.svg", "bands.csv", "bands.json"} <= files.keys()


def test_table__has_a_row_of_every_class_and_representation(made):
    made.regions()["p_holm"][:] = [0.0004, np.nan]
    table = verdict_table(made.write())
    assert table.header == ("class", "representation", "recordings", "verdict", "p input", "p other classes")
    assert [row[:2] for row in table.rows[:3]] == [("hum", "mel"), ("hum", "cqt"), ("dog bark", "mel")]
    assert table.rows[0][4:] == ("< 0.001", "–")
    assert verdict_table(made.store, "lrp.z").rows != table.rows


def test_table__tells_how_much_of_the_named_bands_is_the_objects(made):
    for name in ("mel/lrp.epsilon", "cqt/lrp.epsilon"):
        figures = made.regions(name)
        figures["band_object_density"] = np.array([[0.5, 0.26], [0.1, 0.3], [np.nan, np.nan]])
        figures["band_verdict"][:] = 0
        figures["band_verdict"][0] = [[1, 0], [0, 1]]
        figures["band_verdict"][1] = [[0, 1], [-1, 1]]
    table = verdict_table(made.write())
    assert table.header[-1] == "cells of the object there"
    assert [row[-1] for row in table.rows[::2]] == [
        "1-2 kHz: 50 %, 2-4 kHz: 26 % (mean of bands 38 %)",
        "2-4 kHz: 30 % (mean of bands 20 %)",
        "–",
    ]
