"""Analysis frames go to the time bin that holds their centre, exactly, and all of them count."""

from fractions import Fraction

import numpy as np
import pytest

from toolkit.config import FeatureSettings
from toolkit.errors import ConfigError
from toolkit.features.pooling import clip_length, plan, pool

DEFAULTS = FeatureSettings()


def bins_of(hop_length: int, settings: FeatureSettings) -> np.ndarray:
    """Return the time bin of every frame, told by where its power goes."""
    n_frames = 1 + clip_length(settings) // hop_length
    means = pool(plan(n_frames, hop_length, 64, settings), n_frames, lambda some: np.eye(n_frames)[some])
    assert ((means > 0).sum(axis=1) == 1).all()
    return means.argmax(axis=1)


@pytest.mark.parametrize(
    ("rate_hz", "duration_s", "hop_length"),
    [
        (8000, 4.0, 100),
        (16_000, 4.0, 1000),
        (48_000, 0.1, 75),
        (16_000, 12.8, 200),
        (16_000, 1.1, 55),
        (22_050, 0.3, 7),
    ],
)
def test_frame_exactly_on_an_edge__belongs_to_the_later_time_bin(
    rate_hz: int, duration_s: float, hop_length: int
):
    """Such frames exist where the hop divides the time bin; binary fractions like 0.1 s must not move them."""
    settings = FeatureSettings(sample_rate_hz=rate_hz, duration_s=duration_s)
    bins_per_frame = 64 * hop_length / (Fraction(str(duration_s)) * rate_hz)
    found = bins_of(hop_length, settings)
    np.testing.assert_array_equal(found, [min(int(n * bins_per_frame), 63) for n in range(len(found))])


def test_frames_of_the_default_settings__fill_bins_of_1378_samples():
    centres = np.arange(345) * 256
    np.testing.assert_array_equal(bins_of(256, DEFAULTS), centres // 1378.125)


@pytest.mark.parametrize("frame_bytes", [1, 5000, 10**6])
def test_means__do_not_depend_on_how_many_frames_are_analysed_together(frame_bytes: int):
    power = np.random.default_rng(0).random((345, 3))
    means, expected = (
        pool(plan(345, 256, size, DEFAULTS), 3, lambda frames: power[frames]) for size in (frame_bytes, 64)
    )
    np.testing.assert_allclose(means, expected, rtol=1e-12)


def test_mean__is_over_all_frames_of_a_bin():
    power = np.arange(345.0)[:, None] ** 2
    means = pool(plan(345, 256, 2048, DEFAULTS), 1, lambda frames: power[frames])
    bin_of = bins_of(256, DEFAULTS)
    np.testing.assert_allclose(means[0], [power[bin_of == number].mean() for number in range(64)])


@pytest.mark.parametrize("hop_length", [1500, 5000, 88_200])
def test_hop_that_leaves_a_time_bin_without_frames__is_refused(hop_length: int):
    with pytest.raises(ConfigError, match=r"hop_length=\d+: longer than a time bin \(1378 samples\)"):
        plan(1 + 88_200 // hop_length, hop_length, 64, DEFAULTS.model_copy(update={"hop_length": hop_length}))
