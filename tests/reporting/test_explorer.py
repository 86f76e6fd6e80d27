"""What the script is told: every value comes back as it was, and no text can leave its place."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest
from matplotlib import colormaps

from tests.reporting.stores import MadeUp, leave_figures_empty
from toolkit.reporting import render
from toolkit.reporting.explorer import ALL_FOLDS, Explorable, Panel, Profile, data_block, payload

N_BINS, N_FRAMES = 5, 8


def shown(rng: np.random.Generator, **changes) -> Explorable:
    profile = Profile(*np.exp2(rng.normal(size=(3, N_BINS))), np.array([0.2, 0.05, 0.0004, np.nan, 0.05001]))
    fields = {
        "representation": "mel",
        "composite": "lrp.epsilon",
        "frequency": np.array([51.19, 512.0, 999.7, 1254.0, 10_974.0]),
        "time": (np.arange(N_FRAMES) + 0.5) / 2,
        "panels": [Panel((0.1, 0.2, 0.3, 0.4), "relevance", np.linspace(1, 0, N_BINS), limit=2e-3)],
        "folds": {ALL_FOLDS: rng.normal(0, 1e-3, (N_BINS, N_FRAMES))},
        "n_recordings": {ALL_FOLDS: 12},
        "level": rng.uniform(-80, 0, (N_BINS, N_FRAMES)),
        "profile": {"input": profile},
    }
    return Explorable(**{**fields, **changes})


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(6)


def figure_of(explorable: Explorable) -> dict:
    return json.loads(data_block(payload({"key": explorable})))["figures"]["key"]


def decoded(coded: dict) -> np.ndarray:
    """Read a map as the script does."""
    steps = np.frombuffer(base64.b64decode(coded["cells"]), dtype=np.uint8).astype(float)
    steps[steps == 255] = np.nan
    return (coded["low"] + (coded["high"] - coded["low"]) * steps / 254).reshape(N_BINS, N_FRAMES)


def test_payload__gives_maps_back_to_half_a_step(rng):
    explorable = shown(rng)
    figure = figure_of(explorable)
    relevance = explorable.folds[ALL_FOLDS]
    # Half a step of 254, and ends of four digits.
    within = 0.5 / 254 + 1e-3
    largest = np.abs(relevance).max()
    np.testing.assert_allclose(decoded(figure["folds"][ALL_FOLDS]), relevance, atol=2 * largest * within)
    np.testing.assert_allclose(decoded(figure["level"]), explorable.level, atol=80 * within)


def test_payload__keeps_zero_zero_and_cuts_nothing_off(rng):
    relevance = np.zeros((N_BINS, N_FRAMES))
    relevance[3, 4], relevance[0, 0] = 50e-3, np.nan
    back = decoded(figure_of(shown(rng, folds={ALL_FOLDS: relevance}))["folds"][ALL_FOLDS])
    np.testing.assert_array_equal(back, relevance)
    assert back[3, 4] > shown(rng).panels[0].limit


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_payload__takes_maps_that_hold_one_value(rng, value):
    cells = np.full((N_BINS, N_FRAMES), value)
    figure = figure_of(shown(rng, folds={ALL_FOLDS: cells}, level=cells - 20))
    np.testing.assert_array_equal(decoded(figure["folds"][ALL_FOLDS]), cells)
    np.testing.assert_array_equal(decoded(figure["level"]), cells - 20)


def test_payload__names_bins_as_readers_do(rng):
    assert figure_of(shown(rng))["bin_names"] == ["51.2 Hz", "512 Hz", "1 kHz", "1.25 kHz", "11 kHz"]
    assert figure_of(shown(rng, is_nominal=True))["bin_names"][3] == "1.25 kHz (nominal)"


def test_payload__says_ratios_with_interval_and_p(rng):
    ratio = np.array([2.41, 0.5, 12.0, 1.0, np.nan])
    p = np.array([0.004, 0.0004, 0.2, np.nan, 0.01])
    low = np.array([1.72, 0.4, 10.0, np.nan, 1.0])
    profile = Profile(ratio, low, ratio * 1.5, p)
    figure = figure_of(shown(rng, profile={"rest": profile}))
    assert figure["profile"]["rest"] == {
        "ratio": [2.41, 0.5, 12.0, 1.0, None],
        "certain": [True, True, False, False, True],
        "text": [
            "2.4 x other classes (1.7 to 3.6, p = 0.004)",
            "0.50 x other classes (0.40 to 0.75, p < 0.001)",
            "12 x other classes (10 to 18, p = 0.20)",
            "1.00 x other classes (in no certain cluster)",
            "",
        ],
    }


def test_payload__tells_where_recording_ends(rng):
    assert figure_of(shown(rng))["recorded_until_s"] == figure_of(shown(rng))["end_s"] == 4
    assert figure_of(shown(rng, recorded_until_s=1.25))["recorded_until_s"] == 1.25


def test_payload__has_the_colours_of_the_figures(rng):
    digits = payload({"key": shown(rng)})["colours"]
    drawn = colormaps["RdBu_r"](np.array([0.0, 0.3, 0.5, 1.0]), bytes=True)[:, :3]
    places = [0, int(0.3 * 256), 128, 255]
    assert [digits[6 * place : 6 * place + 6] for place in places] == [bytes(rgb).hex() for rgb in drawn]


def test_data_block__is_ended_by_no_text(rng):
    name = "</script><img src=x onerror=alert(1)>&'"
    block = data_block(payload({name: shown(rng, composite=name)}))
    assert not re.search("[<>&']", block)
    assert json.loads(block)["figures"][name]["composite"] == name


def test_data_block__is_the_same_for_the_same_values(rng):
    explorable = shown(rng)
    forward = data_block(payload({"a": explorable, "b": explorable}))
    backward = data_block(payload({"b": explorable, "a": explorable}))
    assert forward == backward


def test_pages__name_the_one_script_and_the_one_style_sheet_in_their_policy(tmp_path, monkeypatch):
    leave_figures_empty(monkeypatch)
    store = MadeUp(tmp_path).write()
    pages = [render.render(store, file).html for file in ("index.html", "hum.html")]
    for kind, source in (("script", "script-src"), ("style", "style-src")):
        found = [re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL) for page in pages]
        assert found[0] == found[1]
        (text,) = found[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert all(f"{source} 'sha256-{digest}'" in page for page in pages)


def test_assets__reach_for_nothing_outside():
    for name in ("script.js", "style.css", "explorer.css"):
        text = (render.templates_folder() / "assets" / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|url\(|@import|\bimport\b|fetch\(|XMLHttp|eval\(|innerHTML", text)
        assert "</" not in text
