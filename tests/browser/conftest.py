"""Chromium, a live portal over seeded rows, and what every walk asks of every page.

Chromium is the machine's own; nothing is downloaded. Without it the walks fail, saying what to install.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browser.space import PASSWORD, Space, whole_story

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's loop runs in the thread of the tests
ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LANGUAGES = {"zh": "zh-CN", "en": "en-GB"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, started once a file: its event loop, while it runs, lets no other test of the process have one."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("no Chromium: apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def story(transactional_db: None, settings: Any, tmp_path: Path) -> dict[str, Any]:
    """The seeded space."""
    space = Space(tmp_path, settings)
    return {"space": space, **whole_story(space)}


@dataclass
class Walker:
    """One reader in one language; collects whatever the console says."""

    page: Page
    base: str
    language: str
    said: list[str] = field(default_factory=list)

    def open(self, path: str, status: int = 200) -> Page:
        """Go there; the page must answer with this status, and be well made."""
        answer = self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status == status, f"{path}: {answer.status}"
        self.sound(path)
        return self.page

    def sound(self, where: str) -> None:
        """No violation that axe knows, nothing on the console, the language said, no text left untranslated."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate(
            "() => axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})"
        )
        told = [f"{one['id']}: {[node['html'][:200] for node in one['nodes'][:3]]}" for one in found["violations"]]
        assert not told, f"{where}: {told}"
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{where} is {wide} px too wide"
        assert not self.said, f"{where}: {self.said}"

    def sign_in(self, username: str) -> None:
        """Through the door."""
        self.open("/sign-in")
        self.page.fill("#u", username)
        self.page.fill("#p", PASSWORD)
        self.page.press("#p", "Enter")
        self.page.wait_for_url(self.base + "/")
        self.sound("/")

    def shot(self, name: str) -> None:
        """Keep a picture, when asked to by XINGLIN_SHOTS=folder."""
        folder = os.environ.get("XINGLIN_SHOTS")
        if not folder:
            return
        size = self.page.viewport_size
        assert size is not None
        whole = self.page.evaluate("document.documentElement.scrollHeight")
        self.page.set_viewport_size({"width": size["width"], "height": min(max(whole, size["height"]), 2400)})
        self.page.screenshot(path=Path(folder) / f"{name}.{self.language}.png")
        self.page.set_viewport_size(size)


Walk = Callable[..., Walker]


@pytest.fixture
def walk(chromium: Browser, live_server: Any, story: dict[str, Any]) -> Iterator[Walk]:
    """Makes readers: a language, a width, a colour scheme."""
    opened: list[BrowserContext] = []

    def make(language: str, *, width: int = 1280, height: int = 860, scheme: str = "light") -> Walker:
        context = chromium.new_context(
            locale=LANGUAGES[language],
            timezone_id="Asia/Shanghai",
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
            color_scheme="dark" if scheme == "dark" else "light",
        )
        opened.append(context)
        page = context.new_page()
        walker = Walker(page, live_server.url, language)

        def hear(message: ConsoleMessage) -> None:
            if "Failed to load resource" not in message.text:  # a page that answers 404 or 403 on purpose
                walker.said.append(message.text)

        page.on("console", hear)
        page.on("pageerror", lambda error: walker.said.append(str(error)))
        return walker

    yield make
    for context in opened:
        context.close()
