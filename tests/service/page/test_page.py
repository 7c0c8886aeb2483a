"""The page in a real browser: Debian's Chromium, which `.ci/run` installs."""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from pydantic import SecretStr

from inference.ensemble import Ensemble
from tests.conftest import ANSWER_DEADLINE_S, Server, as_base64, file_bytes, plain_settings
from tests.service.in_process import Held, serving, wait_for, wait_until
from training.phantoms import Phantom
from utils import decode_image

CHROMIUM = shutil.which("chromium")
KEY = "a-key-that-a-browser-asks-for"
DEADLINE_MS = 1000 * ANSWER_DEADLINE_S
PHONE_PX = 320

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
    desk.upload("notes.txt", b"no picture at all")
    expect(desk.page.get_by_role("alert")).to_be_visible(timeout=DEADLINE_MS)
    assert desk.download("Mask")[0] == "inverted_mask.png"
    desk.page.locator("#threshold").fill("0.9")
    desk.wait_for_threshold("0.90")
    assert desk.download("Mask")[0] == "inverted_mask.png"
    assert desk.page.locator("#result-name").inner_text() == " for inverted.png"
    assert "black background" in desk.page.get_by_label("Warnings").inner_text()
    assert not desk.page.get_by_role("alert").is_visible()


@needs_chromium
def test_of_two_scans_chosen_one_after_the_other_the_second_is_shown(
    browser: Browser, ensemble: Ensemble, phantom: Phantom
) -> None:
    held = Held(ensemble)
    held.go.set()
    with serving(plain_settings(), ensemble) as client:
        wait_for(client, "ready")
        url = str(client.base_url)
        with visit(browser.new_context(), url) as visiting:
            visiting.page.goto(url + "/ui")
            held.go.clear()
            begun = held.began
            visiting.upload("first.png", file_bytes(phantom.grey))
            wait_until(lambda: held.began == begun + 1)
            visiting.upload("second.png", file_bytes(phantom.grey))
            wait_until(lambda: held.began == begun + 2)
            held.go.set()
            visiting.wait_for_result()
            assert visiting.download("Mask")[0] == "second_mask.png"
            said = {complaint.partition(",")[0] for complaint in visiting.complaints}
            assert said == {"htmx:afterRequest", "htmx:sendAbort"}  # of the first, which was given up
            visiting.complaints.clear()
            assert not visiting.page.get_by_role("alert").is_visible()


@needs_chromium
def test_layers_are_laid_over_the_scan_and_lesions_shown_to_mouse_and_keyboard(
    desk: Visit, server: Server
) -> None:
    page = desk.page
    page.goto(server.url + "/ui")
    page.get_by_role("button", name="Phantom with lesions").click()
    desk.wait_for_result()
    layers = (("outline", "visible"), ("heat", "hidden"), ("spread", "hidden"))
    for layer, first in layers:
        box = page.locator(f"[data-layer={layer}]")
        for visibility in ("hidden", "visible") if first == "visible" else ("visible", "hidden"):
            box.click()
            expect(page.locator(f"#layer-{layer}")).to_have_attribute("visibility", visibility)
    for layer in ("heat", "spread"):
        page.locator(f"[data-opacity={layer}]").fill("0.4")
        expect(page.locator(f"#layer-{layer}")).to_have_attribute("opacity", "0.4")
        expect(page.locator(f"#layer-{layer}")).to_have_attribute("visibility", "visible")

    highlight, rows = page.locator("#highlight"), page.locator("tr[data-box]")
    for row, point in ((0, rows.nth(0).hover), (1, rows.nth(1).get_by_role("button").focus)):
        point()
        expect(highlight).to_have_attribute("visibility", "visible")
        x = int((rows.nth(row).get_attribute("data-box") or "").split()[0])
        expect(highlight).to_have_attribute("x", str(x - 4))
        page.locator("#theme").focus()
        page.locator("h1").hover()
        expect(highlight).to_have_attribute("visibility", "hidden")


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
    highest = page.locator("#threshold").get_attribute("max")
    page.keyboard.press("End")
    phone.wait_for_threshold(f"{float(highest or 0):.2f}")
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
    browser: Browser, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "blank_below", 1.0)
    settings = plain_settings(api_key=(SecretStr(KEY),), max_body_mb=0.5)
    with serving(settings, ensemble) as client:
        wait_for(client, "ready")
        url = str(client.base_url)
        context = browser.new_context(http_credentials={"username": "anybody", "password": KEY})
        with visit(context, url) as visiting:
            visiting.page.goto(url)
            visiting.page.get_by_role("button", name="Phantom with lesions").click()
            expect(visiting.page.locator("#summary")).to_contain_text("Nothing", timeout=DEADLINE_MS)
            visiting.page.get_by_label("Show what the threshold alone would mark").check()
            expect(visiting.page.locator("#summary")).to_contain_text("px marked", timeout=DEADLINE_MS)
            visiting.page.locator("#threshold").fill("0.8")
            visiting.wait_for_threshold("0.80")
            visiting.page.get_by_role("button", name="Phantom without tumour").click()
            expect(visiting.page.locator("#summary")).to_contain_text("Nothing", timeout=DEADLINE_MS)
            visiting.upload("large.png", bytes(600_000))
            expect(visiting.page.get_by_role("alert")).to_contain_text(
                "larger than 0.5 MB", timeout=DEADLINE_MS
            )
