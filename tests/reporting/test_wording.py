"""Numbers as they are written: rounded, never 0 where they are not, and nothing where they are not known."""

import math

import pytest

from toolkit.reporting.wording import (
    Estimate,
    interval,
    limits,
    listed,
    number,
    p_number,
    p_value,
    percent,
    plural,
    times,
    words,
)


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (0.655, "66 %"), (1.0, "100 %"), (math.nan, "–")])
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.41, 0.6, "41–60 %"),
        (0.001, 0.004, "0.1–0.4 %"),
        (0.4, 0.4, ""),
        (0.40001, 0.40002, ""),
        (math.nan, 0.6, ""),
        (0.4, math.nan, ""),
    ],
)
def test_interval__is_left_out_where_there_is_none(low, high, text):
    assert interval(Estimate(0.5, low, high)) == text


def test_limits__are_left_out_where_there_are_none():
    assert limits(Estimate(2, 1.5, 2.5)) == "1.50 to 2.50"
    assert limits(Estimate(1, 0.9991, 0.9993)) == ""
    assert limits(Estimate(2, math.nan, math.nan)) == ""


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "< 0.001"),
        (0.0009, "< 0.001"),
        (0.001, "0.001"),
        (0.0432, "0.043"),
        (0.216, "0.22"),
        (1.0, "1.00"),
        (math.nan, "–"),
    ],
)
def test_p__is_never_nought(p, text):
    assert p_number(p) == text


def test_p_value__is_named_with_its_sign():
    assert p_value(0.0002) == "p < 0.001"
    assert p_value(0.0432) == "p = 0.043"


@pytest.mark.parametrize(("ratio", "text"), [(0.083, "0.08"), (1.94, "1.9"), (12.3, "12"), (math.nan, "–")])
def test_times(ratio, text):
    assert times(ratio) == text


def test_number_plural_and_list():
    assert number(1.234) == "1.23"
    assert number(math.nan) == "–"
    assert plural(1, "clip") == "1 clip"
    assert plural(8732, "clip") == "8,732 clips"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize("name", ["צופר", "صفارة 2", "\u202eneris"])
def test_words__isolate_what_runs_right_to_left(name):
    assert words(name) == f"\u2068{name}\u2069"
    assert words("dog_bark é 犬") == "dog bark é 犬"
