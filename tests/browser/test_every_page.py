"""Every kind of page, wide or narrow, light or dark, with or without its script: quiet, whole, accessible."""

import re
from collections.abc import Iterator
from itertools import product

import pytest

from tests.browser.pages import SHOWN
from tests.browser.visits import DESKTOP_PX, PHONE_PX, Look, Visit, visit

LOOKS = [Look(*each) for each in product((DESKTOP_PX, PHONE_PX), ("light", "dark"), (True, False))]


@pytest.fixture(scope="module", params=product(SHOWN, LOOKS), ids=lambda each: f"{each[0]}-{each[1]}")
def opened(request, browser, pages) -> Iterator[Visit]:
    kind, look = request.param
    with visit(browser, pages[kind], look) as found:
        yield found


def test_page__writes_nothing_to_the_console(opened):
    assert opened.messages == []
    assert opened.dialogs == []


def test_page__asks_for_nothing_but_itself(opened):
    assert opened.requests == [opened.page.url]


def test_page__is_no_wider_than_its_window(opened):
    assert opened.overhang_px() == 0
    opened.unfold()
    assert opened.overhang_px() == 0


def test_page__is_light_or_dark_as_asked(opened):
    paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", paper)[:3])) / 3
    assert brightness > 200 if opened.look.scheme == "light" else brightness < 55


def test_page__is_accessible(opened):
    opened.unfold()
    assert opened.violations() == []


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_pages_of_a_run__are_all_of_that(browser, finished, look):
    paths = sorted((finished / "reports").glob("*.html"))
    assert len(paths) == 4
    for path in paths:
        with visit(browser, path, look) as opened:
            opened.unfold()
            assert (opened.messages, opened.requests, opened.overhang_px()) == ([], [opened.page.url], 0)
            assert opened.violations() == [], path.name
