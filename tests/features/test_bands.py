"""Frequency bands: their names, their limits, and the bins that they hold."""

import numpy as np
import pytest

from toolkit.config import REPRESENTATIONS, FeatureSettings, Representation, StatisticsSettings
from toolkit.features.bands import Band, bands_from_edges, bins_by_band, erb_rate, third_octaves
from toolkit.features.spectrogram import axes
from toolkit.store.read import parse_band

DEFAULT_EDGES_HZ = StatisticsSettings().band_edges_hz


def test_bands__lie_between_neighbouring_edges():
    assert bands_from_edges((0, 125, 1000, 2500)) == (
        Band("0-125 Hz", 0, 125),
        Band("125-1000 Hz", 125, 1000),
        Band("1-2.5 kHz", 1000, 2500),
    )


@pytest.mark.parametrize("edges_hz", [(), (100,)])
def test_fewer_than_two_edges__bound_no_band(edges_hz: tuple[float, ...]):
    assert bands_from_edges(edges_hz) == ()


def test_default_bands__have_the_names_that_pages_show():
    names = [band.name for band in bands_from_edges(DEFAULT_EDGES_HZ, 11_025)]
    assert names == [
        "0-125 Hz",
        "125-250 Hz",
        "250-500 Hz",
        "500-1000 Hz",
        "1-2 kHz",
        "2-4 kHz",
        "4-8 kHz",
        "8-11.025 kHz",
    ]


@pytest.mark.parametrize(
    ("highest_hz", "last"),
    [
        (4000, Band("2-4 kHz", 2000, 4000)),
        (4001, Band("4-4.001 kHz", 4000, 4001)),
        (22_050, Band("16-22.05 kHz", 16_000, 22_050)),
        (96_000, Band("32-64 kHz", 32_000, 64_000)),
    ],
)
def test_last_band__ends_where_the_analysis_ends(highest_hz: float, last: Band):
    assert bands_from_edges(DEFAULT_EDGES_HZ, highest_hz)[-1] == last


@pytest.mark.parametrize(
    "edges_hz", [DEFAULT_EDGES_HZ, (20, 20.5, 31.25, 999, 1001, 22_050, 96_000), (0.5, 44.1, 11_025.5)]
)
def test_name_of_a_band__is_what_selecting_by_band_understands(edges_hz: tuple[float, ...]):
    for band in bands_from_edges(edges_hz):
        assert parse_band(band.name) == pytest.approx((band.low_hz, band.high_hz))


def test_bins__belong_to_the_band_that_holds_their_centre():
    """A centre on an edge belongs to the band above it."""
    low, high = bands = bands_from_edges((100, 200, 300))
    found = bins_by_band(bands, np.array([50.0, 100.0, 150.0, 200.0, 299.0, 300.0]))
    np.testing.assert_array_equal(found[low], [False, True, True, False, False, False])
    np.testing.assert_array_equal(found[high], [False, False, False, True, True, False])


def test_band_without_a_bin__is_absent_not_empty():
    bands = bands_from_edges((0, 10, 20, 30))
    found = bins_by_band(bands, np.array([5.0, 25.0]))
    assert list(found) == [bands[0], bands[2]]


def test_no_bins__fill_no_band():
    assert bins_by_band(bands_from_edges((0, 10)), np.array([])) == {}


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_default_bands__share_every_bin_exactly_once(representation: Representation):
    frequency_hz = axes(representation, FeatureSettings()).frequency
    found = bins_by_band(bands_from_edges(DEFAULT_EDGES_HZ), frequency_hz)
    np.testing.assert_array_equal(np.sum(list(found.values()), axis=0), np.ones(64))


def test_default_bands__hold_whole_octaves_of_constant_q_bins():
    """Bins do not straddle the edges; above 8 kHz there are none."""
    found = bins_by_band(bands_from_edges(DEFAULT_EDGES_HZ), axes("cqt", FeatureSettings()).frequency)
    counts = {band.name: int(mask.sum()) for band, mask in found.items()}
    assert counts == {
        "0-125 Hz": 16,
        "125-250 Hz": 8,
        "250-500 Hz": 8,
        "500-1000 Hz": 8,
        "1-2 kHz": 8,
        "2-4 kHz": 8,
        "4-8 kHz": 8,
    }


def test_third_octaves__rise_by_a_third_of_an_octave_and_end_in_range():
    edges = third_octaves(31.25, 8000)
    assert len(edges) == 25
    assert edges[0] == 31.25
    np.testing.assert_allclose(edges[-1], 8000)
    np.testing.assert_allclose(edges[3:] / edges[:-3], 2)
    shorter = third_octaves(31.25, 7999)
    assert len(shorter) == 24
    assert shorter[-1] < 7999


@pytest.mark.parametrize(("frequency_hz", "number"), [(0, 0), (100, 3.37), (1000, 15.62)])
def test_erb_rate__has_known_values(frequency_hz, number):
    assert float(erb_rate(np.array(frequency_hz))) == pytest.approx(number, abs=0.02)


def test_erb_rate__counts_bandwidths_below_a_frequency():
    """Glasberg and Moore: one is 24.7 (4.37 f / kHz + 1) Hz wide; in their number constants are rounded."""
    edge_hz, n = 0.0, 0
    while edge_hz < 10_000:
        # The width at the middle of the next one, which is 24.7 (4.37 (edge + width / 2) / kHz + 1).
        edge_hz += 24.7 * (0.00437 * edge_hz + 1) / (1 - 24.7 * 0.00437 / 2)
        n += 1
        assert float(erb_rate(np.array(edge_hz))) == pytest.approx(n, rel=0.006)
    assert n > 30
