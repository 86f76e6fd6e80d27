"""The page of a recording: what it says follows from the arrays, and what comes from outside stays text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from toolkit.config import FeatureSettings, to_json
from toolkit.features.spectrogram import axes
from toolkit.reporting import recording
from toolkit.store import write

CLASSES = ("hum", "whistle", "<b>clicks</b>")
HOSTILE = 'a<script>alert("1")</script>&.wav'
GROUP = "explanations/mel/lrp.epsilon"


def text(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def clips_of(n_windows: int, *, cut: bool) -> dict[str, np.ndarray]:
    start_s = np.arange(n_windows) * 4.0 if cut else np.full(n_windows, np.nan)
    return {
        "clip": text(*(f"window {number}" for number in range(n_windows))),
        "path": text(*[HOSTILE] * n_windows),
        "start_s": start_s,
        "end_s": start_s + 4,
        "status": text(*["ok"] * n_windows),
        "error": text(*[""] * n_windows),
        "valid_duration_s": np.full(n_windows, 4.0),
        "native_rate_hz": np.full(n_windows, 22_050),
        "clipped_share": np.zeros(n_windows, np.float32),
    }


def explanations_of(n_windows: int, n_networks: int) -> dict[str, np.ndarray]:
    """All networks are sure that everything is a whistle; relevance lies in one band."""
    logits = np.zeros((n_networks, n_windows, 3), np.float32)
    logits[..., 1] = 3
    probability = np.exp(logits[0].astype(float))
    known = axes("mel", FeatureSettings())
    rng = np.random.default_rng(0)
    return {
        "frequency": known.frequency,
        "frequency_low": known.frequency_low,
        "frequency_high": known.frequency_high,
        "time": known.time,
        "fold": np.arange(1, n_networks + 1),
        "band": text("1-2 kHz", "2-4 kHz"),
        "band_low": np.array([1000.0, 2000.0]),
        "band_high": np.array([2000.0, 4000.0]),
        "class_name": text(*CLASSES),
        "has_say": np.ones((n_networks, n_windows), bool),
        "logits": logits,
        "probability": probability / probability.sum(axis=1, keepdims=True),
        "prediction": np.ones(n_windows, np.int64),
        "target": np.ones(n_windows, np.int64),
        "votes": np.full(n_windows, n_networks),
        "n_networks": np.full(n_windows, n_networks),
        "corpus_clip": text(*[""] * n_windows),
        "relevance": np.zeros((n_networks, n_windows, 64, 64), np.float32),
        "mean_relevance": rng.standard_normal((n_windows, 64, 64)) * 1e-3,
        "agreement": np.full(n_windows, 0.875),
        "relevance_in_padding": np.zeros(n_windows),
        "band_share": np.tile([0.3, 0.7], (n_windows, 1)),
        "band_input_share": np.tile([0.8, 0.2], (n_windows, 1)),
    }


class Recording:
    """A recording's arrays, to be changed and then written and shown."""

    def __init__(self, folder: Path, n_windows: int = 1, n_networks: int = 3) -> None:
        self.store = folder / "some-01234567.zarr"
        cut = n_windows > 1
        self.about = {
            "class_names": list(CLASSES),
            "source": "urbansound8k",
            "features": to_json(FeatureSettings()),
            "nominal": [],
            "file": HOSTILE,
            "content": "0123456789abcdef",
            "length_s": 4.0 * n_windows,
            "windows": cut,
        }
        self.clips = clips_of(n_windows, cut=cut)
        self.explanations = explanations_of(n_windows, n_networks)

    def page(self) -> str:
        self.write()
        return recording.render(self.store, None)

    def view(self) -> recording.RecordingView:
        self.write()
        return recording.read_recording(self.store)

    def write(self) -> None:
        marks = {
            "explanation": {"target": "predicted", "composites": ["lrp.epsilon"]},
            "engine": "test",
            "networks": {"1": "abc"},
        }
        level_db = np.full((len(self.clips["clip"]), 64, 64), -40, np.float32)
        with write.new_store(self.store, self.about) as store:
            write.write_group(store, "clips", self.clips)
            write.write_group(store, "features/mel", {"level_db": level_db})
            write.write_group(store, GROUP, self.explanations, attributes=marks)


@pytest.fixture
def make(tmp_path):
    return lambda **sizes: Recording(tmp_path, **sizes)


class Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.scripts: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "script":
            self.scripts.append(dict(attrs))

    def handle_data(self, data) -> None:
        if self.cdata_elem is None:  # nobody reads styles and scripts
            self.words.append(data)

    @property
    def flat(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def test_page__says_the_verdict_and_its_ground(make):
    shown = Text(make().page())
    # e^3 / (e^3 + 2) = 0.909
    assert (
        "mel spectrogram: whistle, mean probability 0.91, named by 3 of 3 networks; next: hum 0.05."
        in shown.flat
    )
    (figure,) = shown.images
    assert figure["alt"] == (
        "LRP-epsilon, mel spectrogram, 0–4 s: the largest share of positive relevance for whistle, 70 %, lies "
        "in 2-4 kHz, which holds 20 % of the networks' input."
    )
    assert "disagree" not in shown.flat
    assert "not sure" not in shown.flat
    assert "agreement 0.88" in shown.flat


def test_page__is_the_same_for_the_same_arrays(make):
    assert make().page() == make().page()


def test_page__keeps_names_from_outside_text_and_needs_nothing_from_outside(make):
    page = make().page()
    shown = Text(page)
    assert HOSTILE in shown.flat
    assert "<b>clicks</b>" in shown.flat
    assert [script.get("type") for script in shown.scripts] == ["application/json", None]
    assert "b" not in shown.tags
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "default-src 'none'" in page


def test_page__says_that_networks_disagree_and_are_not_sure(make):
    disputed = make()
    disputed.explanations["logits"][2, 0] = [2, 0, 1]
    disputed.explanations["votes"][:] = 2
    disputed.explanations["probability"][0] = [0.4, 0.45, 0.15]
    shown = Text(disputed.page())
    assert "named by 2 of 3 networks" in shown.flat
    # e^2 / (e^2 + 1 + e) = 0.665
    says = "fold 1 whistle (0.91), fold 2 whistle (0.91), fold 3 hum (0.67)"
    assert f"The networks of the mel spectrogram disagree: {says}" in shown.flat
    assert "no class reaches a mean probability of one half" in shown.flat


def test_page__says_that_a_sound_is_in_the_corpus(make):
    known = make()
    known.explanations["has_say"][:] = [[False], [False], [True]]
    known.explanations["logits"][:2] = np.nan
    known.explanations["votes"][:] = 1
    known.explanations["corpus_clip"][:] = "12-3-4-5.wav"
    known.explanations["agreement"][:] = np.nan
    shown = Text(known.page())
    assert (
        "This is a clip of the corpus (12-3-4-5.wav). Only the network of fold 3, which held it out, has a say"
        in shown.flat
    )
    assert "named by 1 of 1 network;" in shown.flat
    assert "agreement" not in shown.images[0]["alt"]


def test_page__draws_twelve_windows_and_lists_all(make):
    shown = Text(make(n_windows=14).page())
    assert len(shown.images) == 12
    assert "Figures show the first 12 of 14 windows" in shown.flat
    assert "whistle in 14 of 14 windows" in shown.flat
    assert "52–56 s" in shown.flat


def test_page__names_windows_that_could_not_be_read(make):
    broken = make(n_windows=3)
    broken.clips["status"][1] = "left out"
    broken.clips["error"][1] = f"{HOSTILE}: holds only silence"
    broken.clips["valid_duration_s"][1] = np.nan
    broken.clips["native_rate_hz"][1] = -1
    broken.explanations["has_say"][:, 1] = False
    broken.explanations["logits"][:, 1] = np.nan
    broken.explanations["probability"][1] = np.nan
    broken.explanations["prediction"][1] = broken.explanations["target"][1] = -1
    shown = Text(broken.page())
    assert len(shown.images) == 2
    assert "from 4 s: could not be read (holds only silence)." in shown.flat
    assert "whistle in 2 of 3 windows" in shown.flat


def test_drawing__has_no_level_in_padding(make):
    short = make(n_windows=2)
    short.explanations["mean_relevance"][0, :, 16:] = np.nan
    short.explanations["mean_relevance"][1] = np.nan
    found = recording.read_drawings(short.store, short.view(), "mel", "lrp.epsilon")
    np.testing.assert_array_equal(np.isfinite(found[0].mean_level_db).all(axis=0), np.arange(64) < 16)
    assert np.isfinite(found[1].mean_level_db).all()


def test_left_out__says_what_the_sound_does_not_hold(make):
    poor = make()
    poor.about["length_s"] = 1.5
    poor.clips["valid_duration_s"][:] = 1.5
    poor.clips["native_rate_hz"][:] = 8000
    poor.clips["clipped_share"][:] = 0.25
    low, short, clipped = poor.view().left_out
    assert (
        low == "Recorded at 8,000 Hz: nothing above 4 kHz was recorded; the analysis reaches up to 11.025 kHz."
    )
    assert short.startswith("0–1.5 s: 1.5 s of sound; the rest of the 4 s that networks take is padding")
    assert clipped.startswith("0–1.5 s: 25.0 % of the samples are at full scale")


def test_left_out__says_what_of_the_file_was_not_used(make):
    long = make()
    long.about["length_s"] = 9.5
    assert long.view().left_out == (
        "Of the 9.5 s in the file, only the first 4 s were used. --windows takes all of it.",
    )
    rest = make(n_windows=2)
    rest.about["length_s"] = 8.5
    assert rest.view().left_out == (
        "The last 0.5 s of the file are in no window: they would fill less than a quarter.",
    )
    assert make().view().left_out == ()


def test_page__says_that_frequencies_of_pictures_are_nominal(make):
    picture = make()
    picture.about |= {"nominal": ["frequency"], "length_s": None, "source": "pictures"}
    picture.clips["native_rate_hz"][:] = -1
    picture.clips["clipped_share"][:] = np.nan
    shown = Text(picture.page())
    assert "Frequencies are nominal." in shown.flat
    assert "lies in 2-4 kHz (nominal)" in shown.images[0]["alt"]
