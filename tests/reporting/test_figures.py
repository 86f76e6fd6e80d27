"""Figures: same numbers, same bytes; limits that treat for and against alike; nothing breaks on gaps."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.reporting.constructed import absent, contrast, evidence
from toolkit.config import FeatureSettings
from toolkit.features.spectrogram import axes
from toolkit.reporting import figures
from toolkit.reporting.evidence import Contrast
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


def draw_all(region: Region) -> list[bytes]:
    limit = figures.limit_of([region])
    return [figures.maps(region, limit), figures.bands([region, region]), figures.thumbnail(region, limit)]


def test_figures__are_pictures_and_the_same_every_time(region):
    first, second = draw_all(region), draw_all(region)
    assert first == second
    for png in first:
        assert Image.open(io.BytesIO(png)).size > (200, 100)
        assert b"Software" not in png


def test_maps__show_relevance_at_its_place(region):
    """A region of high relevance turns red where it lies, and nothing else does."""
    quiet = np.zeros((64, 64))
    loud = quiet.copy()
    loud[30:40, 20:30] = 1.0
    drawn = [
        np.asarray(Image.open(io.BytesIO(figures.thumbnail(_with(region, cells), 1.0))).convert("RGB")).astype(
            int
        )
        for cells in (quiet, loud)
    ]
    rows, columns = np.nonzero(np.abs(drawn[1] - drawn[0]).sum(axis=2))
    height, width = drawn[0].shape[:2]
    assert 0.4 < columns.mean() / width < 0.6
    assert rows.size < 0.1 * height * width
    red, _, blue = drawn[1][rows, columns].mean(axis=0)
    assert red > blue + 50


def test_limit__is_one_where_nothing_is_relevant(region):
    assert figures.limit_of([_with(region, np.zeros((64, 64)))]) == 1.0
    assert figures.limit_of([]) == 1.0


def test_ratios__fade_bins_outside_significant_clusters():
    """Nothing red is drawn where no cluster is significant, and no panel where there is no ratio."""
    nothing = contrast("input")
    nothing.bin_cluster_p[:] = 0.06
    nothing.bin_inclusion[:] = 0
    drawn = [
        np.asarray(Image.open(io.BytesIO(figures.ratios(evidence(contrasts=each)))).convert("RGB")).astype(int)
        for each in (
            {"input": nothing, "rest": nothing},
            {"input": contrast("input"), "rest": contrast("rest")},
            {"input": contrast("input"), "rest": _without_bins()},
        )
    ]
    red = [int(((each[..., 0] - each[..., 2]) > 80).sum()) for each in drawn]
    assert red[0] == 0
    assert red[1] > red[2] > 100
    assert drawn[2].shape[0] < drawn[1].shape[0]


def _without_bins() -> Contrast:
    known = absent("rest", is_kept=False)
    known.bin_ratio[:] = np.nan
    return known


def _with(region: Region, relevance: np.ndarray) -> Region:
    return Region(**{**region.__dict__, "mean_relevance": relevance})
