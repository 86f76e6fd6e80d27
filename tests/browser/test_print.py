"""A printed page leaves nothing out: what is folded or scrolls on the screen lies open on paper."""

import io
import re
import unicodedata

import pypdf
import pytest

from tests.browser.pages import SHOWN

LEAVES = "main :is(h1, h2, h3, p, li, th, td, dt, figcaption, caption, summary, pre)"


def letters(text: str) -> str:
    """Return the Latin letters and digits: where lines break and how other scripts are drawn is up to fonts."""
    return re.sub(r"[^A-Za-z0-9]", "", unicodedata.normalize("NFKC", text))


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("kind", SHOWN)
def test_print__holds_everything(open_page, kind, script):
    opened = open_page(kind, script=script)
    printed = pypdf.PdfReader(io.BytesIO(opened.page.pdf(format="A4")))
    paper = "".join(letters(page.extract_text()) for page in printed.pages)
    texts = opened.page.locator(LEAVES).evaluate_all("all => all.map(each => each.textContent)")
    assert len(texts) > 50
    assert [text for text in texts if letters(text) not in paper] == []
