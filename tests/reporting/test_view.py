"""Names of pages, and numbers as they are written on them."""

import math

import pytest

from toolkit.reporting.render import interval, number, percent, plural
from toolkit.reporting.view import Estimate, page_files


def test_page_files__keep_letters_digits_underscore_and_hyphen():
    assert page_files(["dog_bark", "Gun-Shot 2", "a/b", "été"]) == {
        "dog_bark": "dog_bark.html",
        "Gun-Shot 2": "Gun-Shot_2.html",
        "a/b": "a_b.html",
        "été": "_t_.html",
    }


def test_page_files__never_collide_with_each_other_or_the_index():
    files = page_files(["a b", "a/b", "a_b", "index", "..", ""])
    assert len(set(files.values())) == 6
    assert "index.html" not in files.values()
    assert all(not name.startswith(".") for name in files.values())


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (0.655, "66 %"), (1.0, "100 %"), (math.nan, "–")])
def test_percent(share, text):
    assert percent(share) == text


def test_interval__is_left_out_where_there_is_none():
    assert interval(Estimate(0.5, 0.41, 0.6)) == "41–60 %"
    assert interval(Estimate(0.5, math.nan, math.nan)) == ""


def test_number_and_plural():
    assert number(1.234) == "1.23"
    assert number(math.nan) == "–"
    assert plural(1, "clip") == "1 clip"
    assert plural(8732, "clip") == "8,732 clips"
