"""The page of one clip: what it says follows from the clip's row, and what comes from outside stays text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.reporting.stores import BANDS, CLASSES, MadeUp, text
from toolkit.config import FeatureSettings, TrainingSettings, resolve, to_json
from toolkit.errors import ConfigError
from toolkit.features.spectrogram import axes
from toolkit.pipeline import clip_page
from toolkit.pipeline.run import Run
from toolkit.pipeline.stages.train import clip_key
from toolkit.reporting import clip as pages
from toolkit.reporting import drawing, figures
from toolkit.store import write

HUM, DOG, CLICKS = range(3)
HOSTILE = '"><img src=x>.wav'
RIGHT_TO_LEFT = "صفارة <b>.wav"
NAMES = ("7-0.wav", "7-1.wav", "7-2.wav", HOSTILE, RIGHT_TO_LEFT, "lost/8-0.wav")
LABELS = (HUM, HUM, HUM, DOG, CLICKS, CLICKS)
N = len(NAMES)
EDGES_HZ = ((1000.0, 2000.0), (2000.0, 4000.0))
KEYS = (("mel", "lrp.epsilon"), ("mel", "lrp.z"), ("cqt", "lrp.epsilon"))
SHOWN = ("statistics/performance/", "statistics/regions/mel/", "statistics/regions/cqt/lrp.epsilon")


TRAINED = {
    "fold": np.array([2]),
    "epoch": np.array([1]),
    **{name: np.array([[0.5]]) for name in ("loss", "accuracy", "validation_loss", "validation_accuracy")},
    **{name: np.array([9]) for name in ("n_training_clips", "n_validation_clips", "n_later_clips")},
    "best_epoch": np.array([1]),
    "export_difference": np.array([0.0]),
}


class Corpus(MadeUp):
    """Six clips with maps, to be changed and then written: three of one recording, three with bad names."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.groups = {name: table for name, table in self.groups.items() if name.startswith(SHOWN)}
        for table in self.groups.values():
            if "band" in table:
                table["band_low"], table["band_high"] = np.array(EDGES_HZ).T
        self.clips = {
            "clip": text(*NAMES),
            "path": text(*(f"audio/{name}" for name in NAMES)),
            "class_name": text(*(CLASSES[label] for label in LABELS)),
            "label": np.array(LABELS),
            "fold": np.full(N, 2),
            "recording": text("7", "7", "7", "r1", "r2", "r3"),
            "start_s": np.full(N, 1.5),
            "end_s": np.full(N, 5.5),
            "salience": np.array([1, 2, 0, 1, 1, 1]),
            "status": text(*["ok"] * N),
            "error": text(*[""] * N),
            "valid_duration_s": np.full(N, 4.0),
            "native_rate_hz": np.full(N, 44_100),
            "clipped_share": np.zeros(N, np.float32),
        }
        rng = np.random.default_rng(3)
        self.level_db = {name: rng.uniform(-80, 0, (N, 64, 64)).astype(np.float32) for name in ("mel", "cqt")}
        self.maps = {key: maps(number) for number, key in enumerate(KEYS)}
        self.by_target = {
            key: {"share": np.random.default_rng(9).dirichlet(np.ones(64), (N, 3)).astype(np.float32)}
            for key in KEYS
        }

    @property
    def run(self) -> Run:
        return Run(self.store.parent, resolve({}))

    def write(self) -> Path:
        super().write()
        lines = [f"network {clip_key(*pair)}" for pair in zip(NAMES, self.clips["class_name"], strict=True)]
        for name in ("mel", "cqt"):
            level = {"level_db": self.level_db[name], "digest": text(*NAMES)}
            write.write_group(self.store, f"features/{name}", {**known_axes(name), **level})
            trained = {"training": to_json(TrainingSettings(channels="level")), "seed": 1}
            write.write_group(self.store, f"training/{name}", TRAINED, attributes=trained)
        for key, table in self.maps.items():
            made = {"made_from": text(*(f"maps {line}" for line in lines)), "label": self.clips["label"]}
            about = {"explanation": {"target": self.target}, "engine": "test"}
            data = {**known_axes(key[0]), **made, **table}
            write.write_group(self.store, f"relevance/{'/'.join(key)}", data, attributes=about)
        for key, table in self.by_target.items():
            made = {"made_from": text(*(f"shares {line}" for line in lines)), "class_name": text(*CLASSES)}
            frequency = {name: values for name, values in known_axes(key[0]).items() if name != "time"}
            write.write_group(
                self.store, f"relevance_by_target/{'/'.join(key)}", {**frequency, **made, **table}
            )
        return self.store

    def page(self, name: str = NAMES[0]) -> str:
        self.write()
        return page_of(self, name)

    def view(self, name: str = NAMES[0]) -> pages.ClipView:
        self.write()
        return view_of(self, name)


def page_of(written: Corpus, name: str = NAMES[0]) -> str:
    (row,) = clip_page.find(written.run, [name])
    return pages.render(written.store, row, clip_page.maps_of(written.run, row))


def view_of(written: Corpus, name: str = NAMES[0]) -> pages.ClipView:
    (row,) = clip_page.find(written.run, [name])
    return pages.read_clip(written.store, row, clip_page.maps_of(written.run, row))


def known_axes(representation: str) -> dict[str, np.ndarray]:
    known = axes(representation, FeatureSettings())
    return {name: getattr(known, name) for name in ("frequency", "frequency_low", "frequency_high", "time")}


def maps(seed: int) -> dict[str, np.ndarray]:
    """All clips are called hum, with logits 2, 1, 0."""
    relevance = np.random.default_rng(seed).standard_normal((N, 64, 64)).astype(np.float32)
    return {
        "relevance": relevance,
        "logits": np.tile(np.array([2, 1, 0], np.float32), (N, 1)),
        "prediction": np.zeros(N, np.int64),
        "target": np.zeros(N, np.int64),
        "relevance_sum": np.full(N, 1.5, np.float32),
        "relevance_in_padding": np.zeros(N, np.float32),
    }


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    return Corpus(tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Corpus:
    """The corpus as it is made, written once; nothing may be changed."""
    made = Corpus(tmp_path_factory.mktemp("plain"))
    made.write()
    return made


@pytest.fixture(autouse=True)
def drawn(monkeypatch) -> list[str]:
    """Titles of the figures, which are not drawn: that takes seconds, and has tests of its own."""
    titles: list[str] = []

    def window(_shown, _limit, title):
        titles.append(title)
        return figures.Maps(drawing.new_figure(0.2, 0.2), ())

    monkeypatch.setattr(figures, "window", window)
    monkeypatch.setattr(pages, "image", lambda _figure: "data:,")
    return titles


class Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, *each) for each in attrs]

    def handle_data(self, data) -> None:
        if self.cdata_elem is None:  # nobody reads styles and scripts
            self.words.append(data)

    @property
    def flat(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def slow_shares(cells: np.ndarray, frequency_hz: np.ndarray, n_frames: int = 64) -> list[float]:
    """Return the share of positive cells by band, cell by cell."""
    total, by_band = 0.0, [0.0, 0.0]
    for place, row in enumerate(cells.tolist()):
        for cell in row[:n_frames]:
            total += max(cell, 0)
            for band, (low, high) in enumerate(EDGES_HZ):
                if low <= frequency_hz[place] < high:
                    by_band[band] += max(cell, 0)
    return [each / total for each in by_band]


@pytest.mark.parametrize("key", KEYS)
def test_bands__are_sums_of_the_cells_of_the_clips_own_row(plain, key):
    for row, name in ((0, "7-0.wav"), (2, "7-2.wav")):
        findings = [found for answer in view_of(plain, name).answers for found in answer.findings]
        finding = next(found for found in findings if (found.representation, found.composite) == key)
        frequency_hz = known_axes(key[0])["frequency"]
        assert [band.band for band in finding.bands] == list(BANDS)
        expected = slow_shares(plain.maps[key]["relevance"][row], frequency_hz)
        assert [band.share for band in finding.bands] == pytest.approx(expected, rel=1e-5)
        seen = np.clip(1 + plain.level_db[key[0]][row] / 80, 0, 1)
        expected = slow_shares(seen, frequency_hz)
        assert [band.input_share for band in finding.bands] == pytest.approx(expected, rel=1e-5)


def test_bands__of_a_padded_clip_leave_padding_out(corpus):
    corpus.clips["valid_duration_s"][0] = 1.0
    finding = corpus.view().answers[0].findings[0]
    expected = slow_shares(corpus.maps[KEYS[0]]["relevance"][0], known_axes("mel")["frequency"], n_frames=16)
    assert [band.share for band in finding.bands] == pytest.approx(expected, rel=1e-5)
    cells = np.abs(corpus.maps[KEYS[0]]["relevance"][0, :, :16].astype(float)).sum(axis=0)
    assert finding.at_edge == pytest.approx(cells[14:].sum() / cells.sum(), rel=1e-5)


def test_bands__stand_beside_those_of_the_explained_class(corpus):
    corpus.maps[KEYS[0]]["target"][0] = CLICKS
    regions = corpus.regions()
    band = corpus.view().answers[0].findings[0].bands[1]
    assert band.class_share.value == regions["band_share"][CLICKS, 0, 1]
    assert band.class_share.low == regions["band_share_low"][CLICKS, 0, 1]
    assert band.class_input_share == regions["band_input_share"][CLICKS, 0, 1]


def with_recordings(corpus: Corpus, n: int) -> None:
    """Give statistics of recordings: the share in 1-2 kHz grows from one to the next; none is in 2-4 kHz."""
    frequency = known_axes("mel")
    place = int(np.flatnonzero(frequency["frequency"] > EDGES_HZ[0][0])[0])
    share = np.zeros((n + 2, 64))
    share[:, place] = np.linspace(0, 0.9, n + 2)
    share[:, 0] = 1 - share[:, place]
    label = np.zeros(n + 2, np.int64)
    label[-1] = DOG
    corpus.groups["statistics/recordings/mel/lrp.epsilon"] = {
        **{name: values for name, values in frequency.items() if name != "time"},
        "recording": text(*(f"r{number}" for number in range(n)), "7", "r9"),
        "label": label,
        "fold": np.ones(n + 2, np.int64),
        "n_clips": np.ones(n + 2, np.int64),
        "n_correct": np.ones(n + 2, np.int64),
        "share": share,
        "input_share": share,
    }


def test_bands__tell_how_many_other_recordings_of_the_class_have_less(corpus):
    with_recordings(corpus, 40)
    low, high = corpus.view().answers[0].findings[0].bands
    shares = np.linspace(0, 0.9, 42)[:40]
    assert (low.n_below, low.n_others) == (int((shares < low.share).sum()), 40)
    assert 0 < low.n_below < 40
    assert not low.is_unusual
    assert (high.n_below, high.n_others) == (40, 40)
    assert high.is_unusual


def test_bands__of_few_recordings_are_not_called_unusual(corpus):
    with_recordings(corpus, 10)
    _, high = corpus.view().answers[0].findings[0].bands
    assert (high.n_below, high.n_others) == (10, 10)
    assert not high.is_unusual


def test_page__begins_with_what_the_clip_is_called(plain, drawn):
    shown = Text(page_of(plain)).flat
    # softmax of 2, 1, 0
    assert (
        "A clip of hum, says the catalogue. By the mel spectrogram it is called hum, which is right, with "
        "probability 0.67; next: dog bark 0.24."
    ) in shown
    assert "By the constant-Q spectrogram it is called hum, which is right" in shown
    assert "is wrong here" not in shown
    assert "Relevance adds up to 0.75 of the logit that it explains (2.00)" in shown
    assert drawn[0] == "LRP-epsilon, mel spectrogram: one clip, by the network of fold 2"
    assert len(drawn) == len(KEYS)


def test_page__of_a_misclassified_clip_says_what_maps_explain(plain):
    shown = Text(page_of(plain, HOSTILE)).flat
    assert "it is called hum, which is wrong, with probability 0.67" in shown
    assert (
        "The mel spectrogram network is wrong here: it calls hum what the catalogue calls dog bark. Maps "
        "explain hum, the class named in error: what they show speaks for that, not for dog bark."
    ) in shown


def test_page__says_that_another_class_was_to_be_explained(corpus):
    for table in corpus.maps.values():
        table["target"][:] = CLICKS
    shown = Text(corpus.page()).flat
    assert "Maps explain <b>clicks</b>, as this run was asked to, not hum." in shown
    assert "named in error" not in shown


def test_page__tells_what_speaks_for_each_class(plain):
    candidates = view_of(plain).answers[0].candidates
    assert [each.class_name for each in candidates] == ["hum", "dog_bark", "<b>clicks</b>"]
    frequency_hz = known_axes("mel")["frequency"]
    for number, each in enumerate(candidates):
        share = plain.by_target[KEYS[0]]["share"][0, number]
        by_band = [share[(frequency_hz >= low) & (frequency_hz < high)].sum() for low, high in EDGES_HZ]
        assert each.tops[0] == (BANDS[int(np.argmax(by_band))], pytest.approx(max(by_band), rel=1e-5))


def test_page__without_maps_for_every_class_has_dashes(corpus):
    corpus.by_target = {}
    assert "dog bark 1.00 0.24 – –" in Text(corpus.page().replace("<td>", "<td> ")).flat
    assert {top for each in view_of(corpus).answers[0].candidates for top, _ in each.tops} == {""}


def test_page__counts_what_other_clips_of_the_recording_are_called(corpus):
    corpus.maps[KEYS[0]]["prediction"][:3] = [HUM, DOG, -1]
    view = corpus.view()
    assert view.n_others == 2
    assert sorted(view.answers[0].others_called) == [("", 1), ("dog_bark", 1)]
    assert view.answers[1].others_called == (("hum", 2),)
    assert "the clip stands alone" in Text(page_of(corpus, HOSTILE)).flat


def test_page__warns_of_what_the_sound_does_not_hold(corpus):
    corpus.clips["valid_duration_s"][0] = 1.0
    corpus.clips["native_rate_hz"][0] = 8000
    corpus.clips["clipped_share"][0] = 0.25
    assert [sentence.split(":")[0].split(";")[0] for sentence in corpus.view().remarks] == [
        "Recorded at 8,000 Hz",
        "1 s of sound",
        "25.0 % of the samples are at full scale",
    ]
    assert view_of(corpus, "7-1.wav").remarks == ()


def test_page__warns_of_a_network_that_looks_at_the_edge_of_padding(corpus):
    corpus.clips["valid_duration_s"][:] = 1.0
    relevance = corpus.maps["mel", "lrp.epsilon"]["relevance"]
    relevance[0] = 0
    # Of ten shares of relevance, five lie in the last two frames of sixteen; of the input, about an eighth.
    relevance[0, :, :5], relevance[0, :, 14:16] = 1, -2.5
    shown = Text(corpus.page()).flat
    assert (
        "The mel spectrogram network looks at the edge that padding makes: 50 % of absolute relevance" in shown
    )
    assert "The constant-Q spectrogram network looks at the edge" not in shown
    assert "looks at the edge" not in Text(page_of(corpus, "7-1.wav")).flat


def test_page__flags_networks_at_chance(corpus):
    corpus.scores()["is_chance"] = np.array(True)
    corpus.scores("cqt")["fold_is_chance"] = np.array([False, True])
    shown = Text(corpus.page()).flat
    assert "The mel spectrogram networks are not known to be better than chance" in shown
    assert "The constant-Q spectrogram network of fold 2, taken alone, is not known to be better" in shown
    corpus.clips["fold"][:] = 1
    assert "taken alone" not in Text(corpus.page()).flat


def test_page__does_without_statistics(corpus):
    corpus.groups = {}
    shown = Text(corpus.page())
    assert "How well these networks classify is not known here" in shown.flat
    assert "Class: relevance" not in shown.flat
    assert not re.search(r"\bnan\b", shown.flat.lower())
    assert "a" not in shown.tags


def test_page__says_that_frequencies_of_pictures_are_nominal(corpus):
    corpus.about["nominal"] = ["frequency"]
    shown = Text(corpus.page()).flat
    assert "Frequencies are nominal." in shown
    assert "2-4 kHz (nominal)" in shown


@pytest.mark.parametrize("name", [HOSTILE, RIGHT_TO_LEFT])
def test_page__keeps_names_text_and_needs_nothing_from_outside(plain, name, drawn):
    page = page_of(plain, name)
    shown = Text(page)
    assert shown.words.count(name) == 1  # the heading; the title holds more
    assert f"{name}: why it is called what it is called" in shown.words
    assert "b" not in shown.tags
    assert all(name not in title for title in drawn)
    addresses = [value for _, name, value in shown.attributes if name in {"src", "href"}]
    assert addresses
    assert all(re.match(r"data:|\.\./[\w.]+\.html$", str(value)) for value in addresses)
    assert not [tag for tag, name, _ in shown.attributes if name == "style" or name.startswith("on")]
    assert "default-src 'none'" in page


def test_page__is_the_same_for_the_same_store(plain, corpus):
    assert corpus.page() == page_of(plain)


def test_file__is_safe_and_of_one_clip_alone():
    assert pages.file_of("100263-2-0-117.wav") == "100263-2-0-117_wav.html"
    names = ["a.wav", "A.wav", "a_wav", "a.wav.wav", "a/b.wav", "a_b.wav", "../../a.wav", ".", "", "x" * 300]
    names += ["x" * 301, HOSTILE, RIGHT_TO_LEFT]
    files = [pages.file_of(name) for name in names]
    assert len({file.lower() for file in files}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,100}\.html", file) for file in files)


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ("7-0.wav", [0]),
        ("7-0", [0]),
        ("audio/7-0.wav", [0]),
        ("lost/8-0.wav", [5]),
        ("lost/8-0", [5]),
        ("8-0.wav", [5]),
        ("8-0", [5]),
        ("7", []),
        ("", []),
    ],
)
def test_rows__of_a_name_in_any_form(asked, rows):
    assert clip_page.rows_of(NAMES, [f"audio/{name}" for name in NAMES], asked) == rows


def test_rows__of_a_path_with_several_windows_are_all_of_them():
    names = ("long.wav@0s", "long.wav@4s", "long.wav@0")
    assert clip_page.rows_of(names, ["long.wav"] * 3, "long.wav") == [0, 1, 2]
    assert clip_page.rows_of(names, ["long.wav"] * 3, "long.wav@0") == [2]


@pytest.mark.parametrize("asked", ["fold1/7-1.wav", "/data/audio/fold1/7-1.wav", "./audio/fold1/7-1.wav"])
def test_rows_of__takes_paths_that_hold_less_or_more_than_the_catalogues(asked):
    paths = [f"audio/fold1/{name}" for name in NAMES]
    assert clip_page.rows_of(["a", "b", "c", "d", "e", "f"], paths, asked) == [1]
    assert clip_page.rows_of(["a", "b", "c", "d", "e", "f"], paths, "1/7-1.wav") == []
    assert clip_page.rows_of(["a", "b", "c", "d", "e", "f"], paths, "") == []


def test_rows_of__takes_no_other_file_of_the_same_name():
    assert clip_page.rows_of(["a", "b"], ["7-1.wav", "7-2.wav"], "/other/place/7-1.wav") == []


def test_find__names_clips_that_begin_so_first(plain):
    with pytest.raises(
        ConfigError, match=r"none of the 6 clips .* for instance: 7-0\.wav, 7-1\.wav, 7-2\.wav$"
    ):
        clip_page.find(plain.run, ["7-"])


def test_find__tells_what_is_wrong_with_every_name_at_once(corpus):
    corpus.clips["path"][:3] = "audio/7.wav"
    corpus.clips["status"][5], corpus.clips["error"][5] = "left out", "lost/8-0.wav: is empty"
    for table in corpus.maps.values():
        table["made_from"] = text(*[""] * N)
    corpus.write()
    with pytest.raises(ConfigError) as caught:
        clip_page.find(corpus.run, ["7-3.wav", "audio/7.wav", "8-0", "7-0.wav"])
    assert str(caught.value).splitlines() == [
        "--clip 7-3.wav: none of the 6 clips of this run; there are, for instance: 7-2.wav, 7-1.wav, 7-0.wav",
        "--clip audio/7.wav: may be any of 3 clips: 7-0.wav, 7-1.wav, 7-2.wav; give the whole name of one",
        "--clip 8-0: was left out of this run: lost/8-0.wav: is empty",
        "--clip 7-0.wav: no network has explained it as it is now; `toolkit run-all --out "
        f"{corpus.store.parent}` has them do it",
    ]


def test_find__refuses_a_folder_without_a_run(tmp_path):
    with pytest.raises(ConfigError, match="holds no run; make one with"):
        clip_page.find(Run(tmp_path, resolve({})), ["7-0.wav"])


def test_page__names_maps_that_are_not_of_the_clip_as_it_is_now(corpus):
    corpus.maps["mel", "lrp.z"]["made_from"] = text(*[""] * N)
    old = text(*["maps network another"] * N)
    corpus.maps["cqt", "lrp.epsilon"]["made_from"] = old
    view = corpus.view()
    assert [finding.name for answer in view.answers for finding in answer.findings] == [
        "LRP-epsilon, mel spectrogram"
    ]
    assert view.missing == ("lrp.z, mel spectrogram", "LRP-epsilon, constant-Q spectrogram")
    assert "not yet of this clip as it is now: lrp.z, mel" in Text(page_of(corpus)).flat


def test_write_pages__writes_below_the_reports_whatever_the_name(corpus):
    corpus.write()
    written = clip_page.write_pages(corpus.run, [HOSTILE, "7-0", "7-0.wav"], "toolkit report")
    folder = corpus.store.parent / "reports" / "clips"
    assert sorted(folder.iterdir()) == sorted(written)
    assert len(written) == 2
    assert written[1].name == "7-0_wav.html"
