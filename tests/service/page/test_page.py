"""The page in a real browser: Debian's Chromium, which `.ci/run` installs."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from pydantic import SecretStr

from inference.ensemble import Ensemble
from tests.conftest import Server, as_base64, file_bytes, plain_settings
from tests.service.in_process import Held, serving, wait_for, wait_until
from tests.service.page.visiting import DEADLINE_MS, Visit, assert_accessible, needs_chromium, visit
from training.phantoms.drawing import Phantom
from utils import decode_image

KEY = "a-key-that-a-browser-asks-for"
PHONE_PX = 320


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
    assert "measures" not in findings  # of a picture, there are no units
    assert findings["tumor_probability"] == analysis["tumor_probability"]
    assert [lesion["area_px"] for lesion in findings["lesions"]] == desk.areas()

    desk.page.get_by_role("button", name="Back to").click()
    desk.wait_for_threshold(f"{analysis['model']['threshold']:.2f}")
    assert desk.download("Mask")[1] == mask
    expect(outline).to_have_attribute("href", first)


@needs_chromium
def test_the_reference_needs_no_internet(desk: Visit, server: Server) -> None:
    desk.page.goto(server.url + "/docs")
    for summary in ("Segment a scan", "Segment a scan and say what was found"):
        expect(desk.page.get_by_text(summary, exact=True)).to_be_visible(timeout=DEADLINE_MS)


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
