"""Masks by loops, and where they are in Hz and seconds."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from toolkit.evaluation import masks

ALL_VALID = np.ones(16, bool)


@pytest.fixture
def relevance() -> np.ndarray:
    return np.random.default_rng(4).standard_normal((12, 16)) ** 3


def axes_of(edges: np.ndarray, duration_s: float, n_frames: int) -> masks.Axes:
    centre = (edges[1:] + edges[:-1]) / 2
    return masks.Axes(centre, edges[:-1], edges[1:], (np.arange(n_frames) + 0.5) * duration_s / n_frames)


@pytest.mark.parametrize("kept_relevance", [0.1, 0.5, 0.9])
def test_soft_mask__equals_a_walk_down_the_cells(relevance, kept_relevance):
    strength = gaussian_filter(np.maximum(relevance, 0), 1.0, mode="constant")
    held = 0.0
    for weakest in sorted(strength.ravel(), reverse=True):
        held += weakest
        if held >= kept_relevance * strength.sum():
            break
    found = masks.soft_mask(relevance, ALL_VALID, kept_relevance)
    for cell, value in zip(strength.ravel(), found.ravel(), strict=True):
        expected = 1 if cell >= weakest else max(0, (cell - weakest / 2) / (weakest / 2))
        assert value == pytest.approx(expected, abs=1e-9)


def test_soft_mask__whole_cells_hold_the_share_asked_for(relevance):
    strength = gaussian_filter(np.maximum(relevance, 0), 1.0, mode="constant")
    whole = masks.soft_mask(relevance, ALL_VALID, 0.5) == 1
    held = strength[whole].sum() / strength.sum()
    assert 0.5 <= held < 0.5 + strength[whole].min() / strength.sum() + 1e-9


def test_soft_mask__has_nothing_in_padding_even_where_relevance_is(relevance):
    valid = np.arange(16) < 9
    found = masks.soft_mask(relevance, valid, 0.9)
    assert (found[:, 9:] == 0).all()
    assert found.max() == 1
    np.testing.assert_array_equal(found, masks.soft_mask(np.where(valid, relevance, 0), valid, 0.9))


@pytest.mark.parametrize("cells", [np.zeros((12, 16)), -np.ones((12, 16))])
def test_soft_mask__nothing_positive_keeps_nothing(cells):
    found = masks.soft_mask(cells, ALL_VALID, 0.5)
    assert (found == 0).all()
    assert np.isnan(masks.kept_share(found, masks.positive(cells, ALL_VALID)))


def test_soft_mask__a_clip_of_padding_alone_keeps_nothing(relevance):
    assert (masks.soft_mask(relevance, ~ALL_VALID, 0.5) == 0).all()


def test_soft_mask__refuses_a_map_that_is_not_there():
    with pytest.raises(ValueError, match="0 of 192 cells of relevance are finite, all must be"):
        masks.soft_mask(np.full((12, 16), np.nan), ALL_VALID, 0.5)


def test_kept_share__is_of_the_cells_given():
    assert masks.kept_share(np.array([[1.0, 0.5, 0.0]]), np.array([[1.0, 2.0, 5.0]])) == pytest.approx(2 / 8)


def test_interpolated__keeps_the_value_at_every_centre(relevance):
    axes = axes_of(np.linspace(100, 2500, 13), 2.0, 16)
    mask = masks.soft_mask(relevance, ALL_VALID, 0.5)
    np.testing.assert_allclose(masks.interpolated(mask, axes, axes.frequency, axes.time), mask, atol=1e-12)


def test_interpolated__is_halfway_between_neighbours_and_nothing_outside_the_bins():
    axes = axes_of(np.array([100.0, 200, 400, 800]), 1.0, 2)
    mask = np.array([[1.0, 0], [0, 0], [1, 1]])
    found = masks.interpolated(mask, axes, np.array([99.0, 100, 225, 450, 800, 801]), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(found[:, 0], [0, 1, 0.5, 0.5, 1, 0])
    np.testing.assert_allclose(found[:, 1], [0, 0.5, 0.25, 0.5, 1, 0])
    np.testing.assert_allclose(found[:, 2], [0, 0, 0, 0.5, 1, 0])
