"""One browser for all tests here, and pages to open. A new kind of page: a line in ``pages.write_pages``."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from tests.browser.pages import write_pages
from tests.browser.visits import PROGRAMS, Look, Visit, find_chromium, visit
from tests.conftest import made_once


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium; gone after these tests, for Playwright's event loop would be in the way of others."""
    program = find_chromium()
    if program is None:
        _do_without(f"none of {', '.join(PROGRAMS)} is on the path; TOOLKIT_CHROMIUM may name one")
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=program)
        except Error as error:
            _do_without(f"{program} does not start: {error.message}")
        yield started
        started.close()


def _do_without(reason: str) -> NoReturn:
    is_needed = os.environ.get("TOOLKIT_NEEDS_CHROMIUM") == "1"
    (pytest.fail if is_needed else pytest.skip)(f"needs Chromium: {reason}")


@pytest.fixture(scope="session")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Files of the made-up pages, by kind: 'index', 'class', 'recording'."""
    known = "pages.json"

    def make(folder: Path) -> None:
        made = {kind: str(path) for kind, path in write_pages(folder).items()}
        (folder / known).write_text(json.dumps(made), encoding="utf-8")

    folder = made_once(tmp_path_factory, "pages", make)
    return {kind: Path(path) for kind, path in json.loads((folder / known).read_text(encoding="utf-8")).items()}


@pytest.fixture
def open_page(browser, pages) -> Iterator[Callable[..., Visit]]:
    """Open a page by its kind or path: ``open_page("class", width_px=390, scheme="dark", script=False)``."""
    with ExitStack() as opened:

        def open_one(page: str | Path, **look: object) -> Visit:
            path = page if isinstance(page, Path) else pages[page]
            return opened.enter_context(visit(browser, path, Look(**look)))

        yield open_one
