"""The checks of this folder see what they are there to see: each page here has one fault."""

from contextlib import ExitStack

import pytest

from tests.browser.visits import PHONE_PX, Look, find_chromium, visit

WELL = """<!DOCTYPE html><html lang="en"><head><title>A page</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">{}</head>
<body><main><h1>A page</h1>{}</main></body></html>"""


@pytest.fixture
def open_with(browser, tmp_path):
    with ExitStack() as opened:

        def open_one(content: str, head: str = "", **look: object):
            path = tmp_path / "page.html"
            path.write_text(WELL.format(head, content), encoding="utf-8")
            return opened.enter_context(visit(browser, path, Look(**look)))

        yield open_one


@pytest.mark.parametrize("script", [True, False])
def test_visit__finds_no_fault_where_there_is_none(open_with, script):
    opened = open_with("<p>All is well.</p>", script=script)
    assert (opened.messages, opened.dialogs, opened.overhang_px(), opened.violations()) == ([], [], 0, [])
    assert [address.partition(":")[0] for address in opened.requests] == ["file"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<script>console.log('here')</script>", "log: here"),
        ("<script>throw Error('so')</script>", "uncaught: so"),
    ],
)
def test_visit__hears_the_console(open_with, content, message):
    assert open_with(content).messages == [message]
    assert open_with(content, script=False).messages == []


def test_visit__hears_dialogs(open_with):
    opened = open_with("<img src=x onerror=alert(1)>")
    opened.page.wait_for_function("document.images[0].complete")
    assert opened.dialogs == ["1"]


@pytest.mark.parametrize("script", [True, False])
def test_visit__sees_requests_that_leave(open_with, script):
    opened = open_with('<img src="https://example.org/x.png" alt="">', script=script)
    assert opened.requests[1:] == ["https://example.org/x.png"]
    assert "ERR_INTERNET_DISCONNECTED" in opened.messages[0]


@pytest.mark.parametrize("script", [True, False])
def test_visit__hears_that_the_policy_forbids(open_with, script):
    policy = """<meta http-equiv="Content-Security-Policy" content="img-src 'none'">"""
    image = '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="">'
    (message,) = open_with(image, policy, script=script).messages
    assert "violates the following Content Security Policy" in message
    assert open_with(image, policy, script=script, policy=False).messages == []


@pytest.mark.parametrize("width_px", [1280, PHONE_PX])
def test_visit__sees_a_page_that_is_too_wide(open_with, width_px):
    content = '<div style="width: 1500px">wide</div>'
    assert open_with(content, width_px=width_px).overhang_px() >= 1500 - width_px
    assert open_with(f'<div style="overflow-x: auto">{content}</div>', width_px=width_px).overhang_px() == 0


@pytest.mark.parametrize("script", [True, False])
def test_visit__sees_what_axe_finds_and_what_is_folded(open_with, script):
    opened = open_with(
        '<details><summary>More</summary><p style="color: #ddd">pale</p></details>', script=script
    )
    assert opened.violations() == []
    opened.unfold()
    (violation,) = opened.violations()
    assert violation.startswith("color-contrast: ['p']: ")


def test_chromium__is_the_one_named_or_the_first_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TOOLKIT_CHROMIUM", raising=False)
    assert find_chromium() is None
    for name in ("google-chrome", "chromium"):
        (tmp_path / name).touch(mode=0o755)
    assert find_chromium() == tmp_path / "chromium"
    monkeypatch.setenv("TOOLKIT_CHROMIUM", "/elsewhere/browser")
    assert str(find_chromium()) == "/elsewhere/browser"
