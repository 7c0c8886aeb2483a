"""A visit to the page in a real browser: Debian's Chromium, which `.ci/run` installs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

from tests.conftest import ANSWER_DEADLINE_S

CHROMIUM = shutil.which("chromium")
DEADLINE_MS = 1000 * ANSWER_DEADLINE_S

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="install Debian's chromium to run it")


@dataclass
class Visit:
    """A page, what it asked of which hosts, and what it complained of."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(DEADLINE_MS)
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        # that a request was refused is said there too, and shown on the page
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            self.complaints.append(message.text)

    def upload(self, name: str, data: bytes, media_type: str = "image/png") -> None:
        self.page.set_input_files("#file", {"name": name, "mimeType": media_type, "buffer": data})

    def drop(self, path: Path) -> None:
        """Drop a file or a folder in the middle of the page, as a file manager does."""
        devtools = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 100, "y": 300, "data": data})

    def wait_for_result(self) -> None:
        expect(self.page.locator("#summary")).to_contain_text("threshold", timeout=DEADLINE_MS)

    def wait_for_threshold(self, threshold: str) -> None:
        expect(self.page.locator("#summary")).to_contain_text(f"threshold {threshold}", timeout=DEADLINE_MS)

    def download(self, label: str) -> tuple[str, bytes]:
        with self.page.expect_download() as started:
            self.page.get_by_role("link", name=label).click()
        return started.value.suggested_filename, Path(started.value.path()).read_bytes()

    def areas(self) -> list[int]:
        return [int(text) for text in self.page.locator("tbody td:nth-child(2)").all_inner_texts()]


@contextmanager
def visit(context: BrowserContext, url: str) -> Iterator[Visit]:
    """Give a visit, and see to it that nothing was asked of anybody else, and nothing went wrong."""
    visiting = Visit(context.new_page())
    with context:
        yield visiting
    assert visiting.hosts - {""} == {urlsplit(url).netloc}  # a data URL has no host
    assert visiting.complaints == []


def assert_accessible(page: Page) -> None:
    report = Axe().run(page)
    assert report.violations_count == 0, report.generate_report()
