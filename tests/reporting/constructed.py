"""Evidence put together by hand, to be changed where a test needs it."""

from dataclasses import replace

import numpy as np

from toolkit.reporting.evidence import (
    BandShares,
    BandTest,
    Contrast,
    Evidence,
    InTime,
    Limits,
    Networks,
)
from toolkit.reporting.wording import Estimate

NAN = float("nan")
UNKNOWN = Estimate(NAN, NAN, NAN)
LIMITS = Limits(alpha=0.05, minimum_ratio=1.25, minimum_recordings=10, confidence=0.95)
NETWORKS = Networks(10, Estimate(0.7, 0.65, 0.75), 0.12, False, ())


def band_test(band: str, times: float = 1.0, verdict: int = 0, **changed: object) -> BandTest:
    known = BandTest(
        band=band,
        ratio=Estimate(times, times * 0.9, times * 1.1),
        p=0.004 if verdict else 1.0,
        verdict=verdict,
        effect_size=0.5,
        n_folds=10,
        n_folds_alike=9,
        least_ratio=times * 0.95,
        largest_ratio=times * 1.05,
        is_common=False,
    )
    return replace(known, **changed)


def contrast(name: str, *bands: BandTest, p: float = 0.0002, n: int = 74, is_kept: bool = True) -> Contrast:
    return Contrast(
        name=name,
        n_recordings=n,
        is_kept=is_kept,
        p=p,
        bands=bands or (band_test("1-2 kHz"), band_test("2-4 kHz")),
        bin_ratio=np.tile([[1.0], [0.9], [1.1]], 64),
        bin_cluster_p=np.where(np.arange(64) < 8, 0.01, np.nan),
        bin_inclusion=np.linspace(0, 1, 64),
    )


def absent(name: str, *, is_kept: bool, n: int = 0) -> Contrast:
    """A contrast that no test was made of."""
    bands = tuple(
        replace(band_test(band), ratio=UNKNOWN, p=NAN, n_folds=0, least_ratio=NAN)
        for band in ("1-2 kHz", "2-4 kHz")
    )
    return contrast(name, *bands, p=NAN, n=n, is_kept=is_kept)


def shares(band: str, share: float, input_share: float) -> BandShares:
    return BandShares(
        band=band,
        share=Estimate(share, share - 0.05, share + 0.05),
        input_share=input_share,
        power_share=0.1,
        share_per_hz=1e-4,
        share_per_erb=0.02,
        icc=0.3,
        design_effect=2.0,
        power_ratio=UNKNOWN,
        power_p=NAN,
        object_density=NAN,
    )


def evidence(**changed: object) -> Evidence:
    known = Evidence(
        class_name="dog_bark",
        representation="mel",
        composite="lrp.epsilon",
        target="predicted",
        is_nominal=False,
        limits=LIMITS,
        networks=NETWORKS,
        frequency=np.linspace(0, 11_025, 64),
        bands=(shares("1-2 kHz", 0.5, 0.25), shares("2-4 kHz", 0.2, 0.2)),
        contrasts={"input": contrast("input"), "rest": contrast("rest")},
        in_time=InTime(NAN, NAN, ()),
        in_padding=0.0,
        at_edge=NAN,
        comparisons=(),
        in_both=None,
        composites=(),
        seeds=(),
    )
    return replace(known, **changed)
