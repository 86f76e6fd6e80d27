"""Several networks on one clip, against their definitions written out."""

import math

import numpy as np
import pytest

from toolkit.statistics import ensemble

LOGITS = np.array(
    [
        [[2.0, 1.0, 0.0], [0.0, 0.0, 5.0], [1.0, 2.0, 3.0]],
        [[0.0, 3.0, 0.0], [0.0, 1.0, 5.0], [np.nan] * 3],
        [[4.0, 0.0, 0.0], [0.0, 9.0, 0.0], [np.nan] * 3],
    ],
    np.float32,
)
"""Three networks, three clips, three classes; on the last clip only the first network has a say."""


def softmax(logits) -> list[float]:
    powers = [math.exp(value) for value in logits]
    return [power / sum(powers) for power in powers]


def test_mean_probability__is_the_mean_of_softmaxes():
    found = ensemble.mean_probability(LOGITS)
    expected = np.mean([softmax(network) for network in LOGITS[:, 0].tolist()], axis=0)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


def test_mean_probability__leaves_out_who_has_no_say():
    np.testing.assert_allclose(ensemble.mean_probability(LOGITS)[2], softmax(LOGITS[0, 2].tolist()), rtol=1e-12)
    assert np.isnan(ensemble.mean_probability(np.full((2, 1, 3), np.nan, np.float32))).all()


def test_probabilities__survive_huge_logits():
    np.testing.assert_array_equal(ensemble.probabilities(np.array([1e4, 0.0], np.float32)), [1, 0])


def test_named__is_the_first_of_equals_and_none_without_a_say():
    found = ensemble.named(np.array([[0.2, 0.4, 0.4], [np.nan] * 3, [0.5, 0.3, 0.2]]))
    assert found.tolist() == [1, ensemble.NONE, 0]


def test_votes__count_networks_that_name_the_class():
    assert ensemble.votes(LOGITS, np.array([0, 2, 2])).tolist() == [2, 2, 1]
    assert ensemble.votes(LOGITS, np.array([1, 0, ensemble.NONE])).tolist() == [1, 0, 0]


def test_agreement__is_the_mean_correlation_of_each_network_with_the_others():
    maps = np.random.default_rng(0).standard_normal((3, 2, 4, 5))
    found = ensemble.agreement(maps)
    for clip in range(2):
        expected = [
            np.corrcoef(maps[one, clip].ravel(), np.delete(maps[:, clip], one, axis=0).mean(axis=0).ravel())[
                0, 1
            ]
            for one in range(3)
        ]
        assert found[clip] == pytest.approx(np.mean(expected), rel=1e-12)


def test_agreement__is_one_for_equal_maps_and_unknown_for_a_single_one():
    one = np.random.default_rng(0).standard_normal((1, 1, 4, 5))
    assert ensemble.agreement(np.repeat(one, 3, axis=0))[0] == pytest.approx(1)
    assert np.isnan(ensemble.agreement(one)[0])
    alone = np.concatenate([one, np.full_like(one, np.nan)])
    assert np.isnan(ensemble.agreement(alone)[0])


def test_agreement__leaves_out_padding_and_networks_without_a_say():
    rng = np.random.default_rng(1)
    maps = rng.standard_normal((4, 2, 5, 6)) + rng.standard_normal((2, 5, 6))
    maps[:, 0, :, 4:] = np.nan
    maps[3, 1] = np.nan
    found = ensemble.agreement(maps)
    for clip, networks in ((0, range(4)), (1, range(3))):
        expected = []
        for one in networks:
            others = np.mean([maps[other, clip] for other in networks if other != one], axis=0)
            known = np.isfinite(others)
            expected.append(np.corrcoef(maps[one, clip][known], others[known])[0, 1])
        assert found[clip] == pytest.approx(np.mean(expected), rel=1e-12)


def test_agreement__of_no_clips_is_empty():
    assert ensemble.agreement(np.empty((3, 0, 4, 5))).shape == (0,)
