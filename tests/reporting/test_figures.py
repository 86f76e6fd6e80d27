"""Figures: same numbers, same bytes; limits that treat for and against alike; nothing breaks on gaps."""

import io
import math
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from tests.reporting.constructed import absent, contrast, evidence
from toolkit.config import FeatureSettings
from toolkit.features.spectrogram import axes
from toolkit.reporting import drawing, figures
from toolkit.reporting.evidence import Contrast, InTime
from toolkit.reporting.view import BandShare, Region
from toolkit.reporting.wording import Estimate


@pytest.fixture(params=["mel", "cqt"])
def region(request) -> Region:
    known = axes(request.param, FeatureSettings())
    rng = np.random.default_rng(0)
    relevance = rng.standard_normal((64, 64)) * 1e-3
    relevance[:, 50:] = np.nan
    return Region(
        representation=request.param,
        composite="lrp.epsilon",
        outcome="correct",
        n_clips=3,
        n_recordings=2,
        bands=(
            BandShare("1-2 kHz", Estimate(0.6, 0.5, 0.7), 0.2),
            BandShare("2-4 kHz", Estimate(0.4, float("nan"), float("nan")), 0.8),
        ),
        folds=(),
        in_padding=0.0,
        conservation=1.0,
        frequency=known.frequency,
        time=known.time,
        mean_level_db=rng.uniform(-80, 0, (64, 64)),
        mean_relevance=relevance,
    )


def pixels(figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(drawing.png(figure))).convert("RGB")).astype(int)


def draw_all(region: Region) -> list:
    limit, known = figures.limit_of([region]), evidence()
    drawn = [
        figures.maps(region, None, limit).figure,
        figures.maps(region, known, limit).figure,
        figures.window(region, limit, "one window").figure,
        figures.example(region, "one clip").figure,
        figures.bands([region, region]),
        figures.folds([region, region]),
        figures.thumbnail(region, limit),
        figures.confusion({"mel": np.diag([3, 4]), "cqt": np.ones((2, 2), int)}, ["a", "b"]),
        figures.both(known),
    ]
    return [figure for figure in drawn if figure is not None]


def test_figures__are_pictures_and_the_same_every_time(region):
    first, second = ([drawing.png(figure) for figure in draw_all(region)] for _ in range(2))
    assert first == second
    for png in first:
        assert Image.open(io.BytesIO(png)).size > (200, 100)
        assert b"Software" not in png


def test_figures__are_the_same_whatever_is_set_on_a_machine(region):
    with drawing.own_style():
        expected = [drawing.png(figure) for figure in draw_all(region)[:2]]
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "image.cmap": "jet"}):
        with drawing.own_style():
            found = [drawing.png(figure) for figure in draw_all(region)[:2]]
        assert mpl.rcParams["font.size"] == 20
    assert found == expected


@pytest.mark.parametrize("name", ["dog $x_{$", r"a $\frac{1}$ b", "$a$", "日本", "صفارة"])
def test_confusion__takes_any_name_for_text(name):
    figure = figures.confusion({"mel": np.eye(2, dtype=int)}, [name, "hum"])
    drawing.png(figure)
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [name if name.isascii() else "no. 1", "hum"]


def test_in_time__shows_what_was_tested_and_fades_what_is_not_certain():
    time_s, n_bands = np.arange(-2, 6) / 16, 2
    tested = np.zeros((n_bands, 8), bool)
    tested[:, 2:] = True
    certain = tested & (np.arange(8) == 5)
    known = InTime(0.01, 0.2, ("1-2 kHz",), time_s, np.full((n_bands, 8), 4.0), tested, certain)
    of_time = replace(evidence(), in_time=known)
    figure = figures.in_time([of_time, replace(of_time, in_time=InTime(math.nan, math.nan, ()))])
    axes, _bar = figure.axes
    cells = np.reshape(axes.collections[0].get_array(), (n_bands, 8, 4))
    assert (cells[..., 3] > 0).tolist() == tested.tolist()
    faded, whole = cells[0, 3, :3], cells[0, 5, :3]
    np.testing.assert_allclose(1 - faded, 0.3 * (1 - whole), atol=0.01)
    assert figures.in_time([replace(of_time, in_time=InTime(math.nan, math.nan, ()))]) is None


def test_svg__is_the_same_every_time_and_tells_nothing_of_its_making(region):
    first, second = ([drawing.svg(figure) for figure in draw_all(region)[:2]] for _ in range(2))
    assert first == second
    for svg in first:
        assert b"frequency in Hz" in svg
        assert b"<dc:date>" not in svg
        assert len(svg) < 500_000


def test_maps__say_where_their_panels_lie(region):
    """The rows of a panel are where its bins are drawn: a bin made red turns the pixels there red."""
    row = 21
    cells = np.zeros((64, 64))
    cells[row] = 1.0
    drawn = figures.maps(_with(region, cells), None, 1.0)
    panel = next(panel for panel in drawn.panels if panel.layer == "relevance")
    picture = pixels(drawn.figure)
    height, width = picture.shape[:2]
    left, top, wide, high = panel.box
    column = round((left + wide / 2) * width)
    inside = picture[round(top * height) + 3 : round((top + high) * height) - 3, column]
    red = np.flatnonzero(inside[:, 0] - inside[:, 2] > 60) + 3
    assert red.mean() / (high * height) == pytest.approx(panel.rows[row], abs=0.015)
    assert (np.diff(panel.rows) < 0).all()
    assert panel.rows[0] == pytest.approx(1, abs=1e-6)
    assert panel.rows[-1] == pytest.approx(0, abs=1e-6)


def test_maps__hatch_what_was_not_recorded(region):
    level = region.mean_level_db.copy()
    level[:, 40:] = np.nan
    cut = Region(**{**region.__dict__, "mean_level_db": level})
    end_s = drawing.clip_end_s(region.time)
    assert drawing.recorded_until_s(region) == pytest.approx(end_s)
    assert drawing.recorded_until_s(cut) == pytest.approx(end_s * 40 / 64)
    assert (pixels(figures.maps(cut, None, 1.0).figure) != pixels(figures.maps(region, None, 1.0).figure)).any()


def test_maps__show_relevance_at_its_place(region):
    """A region of high relevance turns red where it lies, and nothing else does."""
    quiet = np.zeros((64, 64))
    loud = quiet.copy()
    loud[30:40, 20:30] = 1.0
    drawn = [pixels(figures.thumbnail(_with(region, cells), 1.0)) for cells in (quiet, loud)]
    rows, columns = np.nonzero(np.abs(drawn[1] - drawn[0]).sum(axis=2))
    height, width = drawn[0].shape[:2]
    assert 0.4 < columns.mean() / width < 0.6
    assert rows.size < 0.1 * height * width
    red, _, blue = drawn[1][rows, columns].mean(axis=0)
    assert red > blue + 50


def test_limit__is_one_where_nothing_is_relevant(region):
    assert figures.limit_of([_with(region, np.zeros((64, 64)))]) == 1.0
    assert figures.limit_of([]) == 1.0


def test_maps__fade_bins_that_are_not_certain(region):
    """Nothing red is drawn among ratios where no cluster is certain, or only before correction for classes."""
    quiet = _with(region, np.zeros((64, 64)))
    nothing, corrected = contrast("input"), replace(contrast("input"), p=0.06)
    nothing.bin_cluster_p[:] = 0.06
    found = []
    for first in (nothing, corrected, contrast("input")):
        drawn = figures.maps(quiet, evidence(contrasts={"input": first, "rest": _without_bins()}), 1.0)
        left, _, wide, _ = next(panel for panel in drawn.panels if panel.layer == "profile:input").box
        picture = pixels(drawn.figure)
        part = picture[:, round(left * picture.shape[1]) : round((left + wide) * picture.shape[1])]
        found.append(int(((part[..., 0] - part[..., 2]) > 80).sum()))
    assert found[:2] == [0, 0]
    assert found[2] > 50


def _without_bins() -> Contrast:
    known = absent("rest", is_kept=False)
    known.bin_ratio[:] = np.nan
    return known


def _with(region: Region, relevance: np.ndarray) -> Region:
    return Region(**{**region.__dict__, "mean_relevance": relevance})
