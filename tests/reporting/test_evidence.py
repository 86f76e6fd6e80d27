"""Evidence is read from where it lies, and says of time and of other classes only what the figures allow."""

import numpy as np
import pytest

from tests.reporting.stores import BANDS, CLASSES, MadeUp
from toolkit.reporting.evidence import Evidence, read_evidence
from toolkit.reporting.wording import Estimate

INPUT, REST = 0, 1
DOG_BARK = 1


@pytest.fixture
def made(tmp_path) -> MadeUp:
    return MadeUp(tmp_path)


def of(made: MadeUp, class_name: str = "dog_bark", representation: str = "mel") -> Evidence:
    wanted = class_name, representation, "lrp.epsilon"
    return next(
        each
        for each in read_evidence(made.write())
        if (each.class_name, each.representation, each.composite) == wanted
    )


def test_evidence__comes_by_class_then_mel_then_composite(made):
    found = [(each.class_name, each.representation, each.composite) for each in read_evidence(made.write())]
    assert found == [
        (name, representation, composite)
        for name in CLASSES
        for representation in ("mel", "cqt")
        for composite in ("lrp.epsilon", "lrp.z")
    ]


def test_evidence__is_that_of_the_class_contrast_and_band(made):
    table = made.regions()
    for end, value in (("", 2.0), ("_low", 1.5), ("_high", 2.5)):
        table[f"band_ratio{end}"][DOG_BARK, REST, 1] = value
        table[f"band_share{end}"][DOG_BARK, 0, 1] = value / 4
    table["band_verdict"][:] = 0
    table["band_verdict"][DOG_BARK, REST, 1] = 1
    table["p_holm"][DOG_BARK] = [np.nan, 0.03]
    found = of(made)
    assert [band.band for band in found.rest.named(1)] == ["2-4 kHz"]
    assert found.rest.named(1)[0].ratio == Estimate(2.0, 1.5, 2.5)
    assert found.bands[1].share == Estimate(0.5, 0.375, 0.625)
    assert (found.input.is_tested, found.rest.is_tested, found.rest.p) == (False, True, 0.03)
    assert not found.input.named(1)


def test_evidence__knows_settings_target_and_networks(made):
    made.target = "label"
    made.scores()["fold_is_chance"] = np.array([False, True])
    found = of(made)
    assert (found.limits.alpha, found.limits.minimum_recordings) == (0.05, 10)
    assert (found.target, found.networks.n_networks, found.networks.chance_folds) == ("label", 2, (2,))
    assert of(made, representation="cqt").networks.chance_folds == ()


def test_evidence__marks_nominal_bands(made):
    made.about["nominal"] = ["frequency"]
    assert [band.band for band in of(made).bands] == [f"{band} (nominal)" for band in BANDS]


def test_band__is_common_where_all_classes_lie_beyond_the_limit_on_one_side(made):
    ratio = made.regions()["band_ratio"]
    ratio[:, INPUT] = [[0.1, 2.0], [0.7, 1.3], [np.nan, 0.7]]
    assert [band.is_common for band in of(made).input.bands] == [True, False]
    ratio[1, INPUT, 0] = 0.81
    assert not of(made).input.bands[0].is_common
    ratio[1:, INPUT, 0] = np.nan
    assert not of(made).input.bands[0].is_common


def test_rest__is_not_kept_where_no_class_has_recordings(made):
    made.regions()["contrast_n_recordings"][:, REST] = 0
    assert not of(made).rest.is_kept
    made.regions()["contrast_n_recordings"][0, REST] = 4
    assert of(made).rest.is_kept


def in_time(made: MadeUp, significant: np.ndarray) -> None:
    table = made.regions()
    table["aligned_t"][DOG_BARK] = 3.0
    table["aligned_cluster_p"][DOG_BARK] = np.where(significant, 0.01, np.nan)


def test_time__is_the_middle_of_cells_that_lie_in_part_of_the_time(made):
    significant = np.zeros((2, 8), bool)
    significant[1, 3:6] = True
    in_time(made, significant)
    found = of(made).in_time
    assert (found.when_s, found.bands) == (2 / 16, ("2-4 kHz",))


def test_time__says_nothing_where_a_band_differs_all_the_time(made):
    significant = np.zeros((2, 8), bool)
    significant[1, :5] = True
    in_time(made, significant)
    assert np.isnan(of(made).in_time.when_s)
    made.regions()["aligned_t"][DOG_BARK] = -3.0
    significant[1, 2:5] = False
    assert np.isnan(of(made).in_time.when_s)


def test_other_composites__are_named_from_both_sides(made):
    found = {each.composite: each.composites[0].composite for each in read_evidence(made.write())}
    assert found == {"lrp.epsilon": "lrp.z", "lrp.z": "lrp.epsilon"}


def test_agreement__is_absent_where_there_is_nothing_to_compare(made):
    made.groups = {name: table for name, table in made.groups.items() if "agreement" not in name}
    found = of(made)
    assert (found.in_both, found.composites, found.seeds) == (None, (), ())


def test_in_both__knows_that_networks_of_one_are_at_chance(made):
    made.scores("cqt")["is_chance"] = np.array(True)
    found = of(made).in_both
    assert found is not None
    assert found.is_chance


def test_in_both__names_the_most_alike_class(made):
    table = made.groups["statistics/agreement/representations/lrp.epsilon"]
    table["class_correlation"][DOG_BARK] = [0.9, 0.1, np.nan]
    found = of(made).in_both
    assert found is not None
    assert found.most_alike == "hum"
