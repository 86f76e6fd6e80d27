"""The markup of every page, before any browser reads it: a policy, and nothing that the policy would stop."""

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import takewhile
from urllib.parse import urlsplit

import pytest

from tests.browser.pages import SHOWN

POLICY = {
    "default-src": {"'none'"},
    "img-src": {"data:", "blob:"},
    "media-src": {"data:", "blob:"},
    "base-uri": {"'none'"},
    "form-action": {"'none'"},
}
FETCHED = ("src", "srcset", "poster", "data", "background", "action", "formaction", "xlink:href")
"""Attributes whose address a browser fetches; so it does with ``href`` of a link."""


class Markup(HTMLParser):
    """Elements with their attributes, and the code that runs or paints."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        pieces: dict[str, list[list[str]]] = {"script": [], "style": []}
        self._pieces, self._text = pieces, []
        self.feed(page)
        self.code = {tag: ["".join(text) for text in found] for tag, found in pieces.items()}

    def handle_starttag(self, tag, attrs) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        self._text = []
        if tag in self._pieces and found.get("type") != "application/json":
            self._pieces[tag].append(self._text)

    def handle_endtag(self, tag) -> None:
        self._text = []

    def handle_data(self, data) -> None:
        self._text.append(data)

    @property
    def policy(self) -> dict[str, set[str]]:
        (content,) = (found["content"] for _, found in self.elements if found.get("http-equiv"))
        directives = (directive.split() for directive in content.split(";"))
        return {name: set(values) for name, *values in directives}

    @property
    def ids(self) -> list[str]:
        return [found["id"] for _, found in self.elements if "id" in found]

    def fetched(self) -> list[str]:
        """Return the addresses that a browser would fetch."""
        return [
            value
            for tag, found in self.elements
            for name, value in found.items()
            if name in FETCHED or (tag == "link" and name == "href")
        ]


def sha256(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


@pytest.fixture(scope="module", params=SHOWN)
def markup(request, pages) -> Markup:
    return Markup(pages[request.param].read_text(encoding="utf-8"))


def test_policy__lets_one_script_and_one_style_sheet_in_by_hash(markup):
    hashes = {f"{tag}-src": {sha256(code) for code in found} for tag, found in markup.code.items()}
    assert markup.policy == POLICY | hashes
    assert [len(found) for found in markup.code.values()] == [1, 1]


def test_policy__comes_first(markup):
    before = takewhile(lambda element: "http-equiv" not in element[1], markup.elements)
    assert {tag for tag, _ in before} == {"html", "head", "meta"}


def test_markup__has_no_styles_or_scripts_in_attributes(markup):
    names = {name for _, found in markup.elements for name in found}
    assert [name for name in names if name == "style" or name.startswith("on")] == []


def test_markup__holds_everything_that_it_shows(markup):
    (css,) = markup.code["style"]
    addresses = markup.fetched() + re.findall(r"(?:@import|url\()[\s\"']*([^\s\"')]*)", css)
    assert len(addresses) > 2
    assert [address[:80] for address in addresses if not address.startswith("data:")] == []


def test_links__lead_to_pages_or_to_places_on_this_one(markup):
    links = [urlsplit(found["href"]) for tag, found in markup.elements if tag == "a" and "href" in found]
    assert {link.scheme for link in links} <= {"", "https"}
    assert {link.fragment for link in links if not (link.netloc or link.path)} <= {*markup.ids}


def test_ids__are_used_once(markup):
    assert [name for name, count in Counter(markup.ids).items() if count > 1] == []
