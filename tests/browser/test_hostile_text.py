"""Names and reasons from outside are text on every page, also where no policy stands behind the templates."""

from collections.abc import Iterator

import pytest

from tests.browser.pages import RIGHT_TO_LEFT, SHOWN
from tests.browser.visits import Look, Visit, visit

NOT_OURS = """() => [...document.querySelectorAll("*")].filter(each =>
    [...each.attributes].some(attribute => attribute.name.startsWith("on"))
    || each.matches("b, iframe, object, embed, img:not([src^='data:image/'])")
).map(each => each.outerHTML.slice(0, 200))"""
# Where the line goes on after the name, the next letter stands to its right.
MISPLACED = """name => {
    const seen = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode;
        if (!node.parentElement.checkVisibility()) continue;
        for (let at = 0; at < node.length; at++) seen.push({ node, at, letter: node.data[at] });
    }
    const place = (first, last) => {
        const range = document.createRange();
        range.setStart(first.node, first.at);
        range.setEnd(last.node, last.at + 1);
        return range.getBoundingClientRect();
    };
    const text = seen.map(each => each.letter).join(""), wrong = [];
    let n_compared = 0;
    for (let start = text.indexOf(name); start >= 0; start = text.indexOf(name, start + 1)) {
        const end = start + name.length, next = end + text.slice(end).search(/[a-z0-9]/i);
        if (next < end) continue;
        const mine = place(seen[start], seen[end - 1]), its = place(seen[next], seen[next]);
        if (Math.abs(mine.top - its.top) > its.height / 2) continue;
        n_compared += 1;
        if (its.left < mine.right - 1) wrong.push(text.slice(Math.max(0, start - 20), next + 20));
    }
    return { wrong, n_compared };
}"""


@pytest.fixture(scope="module", params=SHOWN)
def shown(request, browser, pages) -> Iterator[tuple[str, Visit]]:
    with visit(browser, pages[request.param], Look(policy=False)) as opened:
        opened.unfold()
        yield request.param, opened


def test_page__shows_text_from_outside_as_it_is(shown):
    kind, opened = shown
    seen = opened.page.inner_text("body")
    assert [text for text in SHOWN[kind] if text not in seen] == []


def test_page__makes_no_element_of_text_from_outside(shown):
    _, opened = shown
    assert opened.page.evaluate(NOT_OURS) == []
    assert opened.dialogs == []


def test_page__keeps_right_to_left_names_where_they_belong(shown):
    _, opened = shown
    found = opened.page.evaluate(MISPLACED, RIGHT_TO_LEFT)
    assert found["wrong"] == []
    assert found["n_compared"]
