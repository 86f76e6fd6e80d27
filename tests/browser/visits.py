"""What a real Chromium says and asks for when it opens a page, and what it makes of it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP_PX, PHONE_PX = 1280, 390
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
"""Sets of axe-core's rules."""


def find_chromium() -> Path | None:
    """Return the browser that TOOLKIT_CHROMIUM names, or else the first on the path."""
    named = os.environ.get("TOOLKIT_CHROMIUM")
    found = [named] if named else [shutil.which(program) for program in PROGRAMS]
    return next((Path(path) for path in found if path), None)


@dataclass(frozen=True)
class Look:
    """How a page is looked at."""

    width_px: int = DESKTOP_PX
    scheme: str = "light"
    script: bool = True
    policy: bool = True
    """Whether the browser obeys the page's content security policy."""

    def __str__(self) -> str:
        """Name tests."""
        return f"{self.width_px}px-{self.scheme}-{'script' if self.script else 'no_script'}"


@dataclass
class Visit:
    """An open page, and what happened since it was opened."""

    page: Page
    look: Look
    messages: list[str] = field(default_factory=list)
    """Of the console, and errors of scripts."""
    requests: list[str] = field(default_factory=list)
    """Addresses, but for those that hold their data."""
    dialogs: list[str] = field(default_factory=list)

    def unfold(self) -> None:
        """Open everything that folds."""
        self.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")

    def overhang_px(self) -> int:
        """Return by how much the page is wider than its window."""
        return self.page.evaluate(
            "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
        )

    def violations(self) -> list[str]:
        """Return what axe-core finds: the rule, and each place with what is wrong there."""
        if not self.look.script:
            _allow_scripts(self.page)
        options = {"runOnly": list(RULES), "resultTypes": ["violations"]}
        found = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{rule['id']}: {node['target']}: {node['failureSummary']}"
            for rule in found
            for node in rule["nodes"]
        ]


@contextmanager
def visit(browser: Browser, path: Path, look: Look) -> Iterator[Visit]:
    """Open a file in a window of its own, without a network, and close it again."""
    is_phone = look.width_px < DESKTOP_PX
    context = browser.new_context(
        viewport={"width": look.width_px, "height": 800},
        is_mobile=is_phone,
        has_touch=is_phone,
        color_scheme=look.scheme,
        java_script_enabled=look.script,
        bypass_csp=not look.policy,
        offline=True,
    )
    try:
        opened = Visit(context.new_page(), look)
        _listen(opened)
        opened.page.goto(path.as_uri())
        yield opened
    finally:
        context.close()


def _listen(opened: Visit) -> None:
    def hear(dialog) -> None:
        opened.dialogs.append(dialog.message)
        dialog.dismiss()

    opened.page.on("console", lambda message: opened.messages.append(f"{message.type}: {message.text}"))
    opened.page.on("pageerror", lambda error: opened.messages.append(f"uncaught: {error}"))
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("dialog", hear)


def _allow_scripts(page: Page) -> None:
    """Let axe-core run in a page that was opened without scripts; those of the page stay unrun.

    A session can only take back what it set itself, hence the pair.
    """
    session = page.context.new_cdp_session(page)
    for is_disabled in (True, False):
        session.send("Emulation.setScriptExecutionDisabled", {"value": is_disabled})
    session.detach()
