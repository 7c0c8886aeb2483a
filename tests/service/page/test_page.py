"""The page in a real browser: Debian's Chromium, which `.ci/run` installs."""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from pydantic import SecretStr

from inference.ensemble import Ensemble
from service.page.kept import UNREADABLE
from tests.conftest import ANSWER_DEADLINE_S, Server, as_base64, file_bytes, plain_settings
from tests.service.in_process import serving, wait_for
from training.phantoms import Phantom
from utils import decode_image

CHROMIUM = shutil.which("chromium")
KEY = "a-key-that-a-browser-asks-for"
DEADLINE_MS = 1000 * ANSWER_DEADLINE_S
PHONE_PX = 375

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def visit(context: BrowserContext, url: str) -> Iterator[Visit]:
    """Give a visit, and see to it that nothing was asked of anybody else, and nothing went wrong."""
    visiting = Visit(context.new_page())
    with context:
        yield visiting
    assert visiting.hosts - {""} == {urlsplit(url).netloc}  # a data URL has no host
    assert visiting.complaints == []


@pytest.fixture
def desk(browser: Browser, server: Server) -> Iterator[Visit]:
    with visit(browser.new_context(), server.url) as visiting:
        yield visiting


@pytest.fixture
def phone(browser: Browser, server: Server) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": PHONE_PX, "height": 800}, color_scheme="dark")
    with visit(context, server.url) as visiting:
        yield visiting


@needs_chromium
def test_a_scan_is_dropped_seen_cut_again_and_its_mask_taken_home(
    desk: Visit, server: Server, phantom: Phantom
) -> None:
    scan = file_bytes(phantom.grey)
    analysis = server.post("/analyze", json={"img": as_base64(scan)}).json()
    desk.page.goto(server.url + "/")
    assert urlsplit(desk.page.url).path == "/ui"

    desk.upload("own scan.png", scan)
    desk.wait_for_result()
    assert desk.areas() == [lesion["area_px"] for lesion in analysis["lesions"]]
    name, mask = desk.download("Mask")
    assert name == "own scan_mask.png"
    assert base64.b64encode(mask).decode() == analysis["img"]
    outline = desk.page.locator("#layer-outline")
    first = outline.get_attribute("href")
    assert first is not None
    assert decode_image(base64.b64decode(first.partition(",")[2])).shape[1] >= 800

    desk.page.locator("#threshold").fill("0.9")
    desk.wait_for_threshold("0.90")
    narrower = decode_image(desk.download("Mask")[1])
    assert sum(desk.areas()) == np.count_nonzero(narrower[..., 0]) < analysis["tumor_area_px"]
    expect(outline).not_to_have_attribute("href", first)
    findings = json.loads(desk.download("Findings")[1])
    assert findings["threshold"] == 0.9
    assert findings["tumor_probability"] == analysis["tumor_probability"]
    assert [lesion["area_px"] for lesion in findings["lesions"]] == desk.areas()

    desk.page.get_by_role("button", name="Back to").click()
    desk.wait_for_threshold(f"{analysis['model']['threshold']:.2f}")
    assert desk.download("Mask")[1] == mask
    expect(outline).to_have_attribute("href", first)


@needs_chromium
def test_a_wrong_file_shows_the_sentence_of_the_api_and_an_odd_one_a_warning(
    desk: Visit, server: Server, phantom: Phantom
) -> None:
    desk.page.goto(server.url + "/ui")
    wrong = {"notes.txt": b"no picture at all", "tiny.png": file_bytes(np.zeros((8, 8), np.uint8))}
    for name, data in wrong.items():
        said = server.post("/predict", files={"file": (name, data)}).json()["detail"]
        desk.upload(name, data)
        sentence = f"{said[0].upper()}{said[1:]}."
        expect(desk.page.get_by_role("alert")).to_have_text(sentence, timeout=DEADLINE_MS)
    assert desk.page.locator("#findings").count() == 0
    desk.upload("inverted.png", file_bytes(255 - phantom.grey))
    desk.wait_for_result()
    assert "black background" in desk.page.get_by_label("Warnings").inner_text()
    assert not desk.page.get_by_role("alert").is_visible()


@needs_chromium
def test_it_works_by_keyboard_on_a_phone_in_the_dark_and_for_screen_readers(
    phone: Visit, server: Server
) -> None:
    page = phone.page
    page.goto(server.url + "/")
    assert_accessible(page)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.name") == "phantom_1":
            break
    page.keyboard.press("Enter")
    phone.wait_for_result()
    assert page.evaluate("document.activeElement.id") == "result-title"
    expect(page.get_by_role("status")).to_contain_text("px marked", timeout=DEADLINE_MS)
    before = phone.areas()
    while page.evaluate("document.activeElement.id") != "threshold":
        page.keyboard.press("Tab")
    page.keyboard.press("End")
    phone.wait_for_threshold("0.99")
    assert sum(phone.areas()) < sum(before)

    assert page.evaluate("document.documentElement.scrollWidth") == PHONE_PX
    assert_accessible(page)
    page.get_by_label("Appearance").select_option("light")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert_accessible(page)


def assert_accessible(page: Page) -> None:
    report = Axe().run(page)
    assert report.violations_count == 0, report.generate_report()


@needs_chromium
def test_a_browser_that_has_logged_in_may_do_everything_within_the_limits(
    browser: Browser, ensemble: Ensemble
) -> None:
    settings = plain_settings(api_key=(SecretStr(KEY),), max_body_mb=0.5)
    with serving(settings, ensemble) as client:
        wait_for(client, "ready")
        url = str(client.base_url)
        context = browser.new_context(http_credentials={"username": "anybody", "password": KEY})
        with visit(context, url) as visiting:
            visiting.page.goto(url)
            visiting.page.get_by_role("button", name="Phantom with lesions").click()
            visiting.wait_for_result()
            visiting.page.locator("#threshold").fill("0.8")
            visiting.wait_for_threshold("0.80")
            visiting.page.get_by_role("button", name="Phantom without tumour").click()
            expect(visiting.page.locator("#summary")).to_contain_text("Nothing", timeout=DEADLINE_MS)
            visiting.upload("large.png", bytes(600_000))
            expect(visiting.page.get_by_role("alert")).to_contain_text(
                "larger than 0.5 MB", timeout=DEADLINE_MS
            )


def test_what_no_page_of_this_service_sends_is_refused(server: Server) -> None:
    for form in ({}, {"kept": "{}", "threshold": "0.5"}, {"kept": "no JSON", "threshold": "2"}):
        answer = server.post("/ui/cut", files={name: (None, value) for name, value in form.items()} or None)
        assert (answer.status_code, answer.json()["detail"]) == (422, UNREADABLE)
    filed = server.post("/ui/cut", files={"kept": ("file.png", b"spooled to a disk?")})
    assert (filed.status_code, filed.headers["content-type"]) == (400, "application/problem+json")
    for path in ("/ui/assets/nothing.js", "/ui/samples/nothing", "/ui/assets/..%2Frender.py"):
        assert server.get(path).status_code == 404


def test_a_browser_is_sent_to_the_page_and_a_machine_is_not(server: Server) -> None:
    sent = httpx.get(server.url, headers={"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"})
    assert (sent.status_code, sent.headers["location"]) == (307, "ui")
    assert server.get("/ui/").headers["location"] == "../ui"
    for accept in ("*/*", "application/json"):
        answer = httpx.get(server.url, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["vary"]) == (200, "Accept")
        assert "running" in answer.json()["message"]
    policy = server.get("/ui").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
