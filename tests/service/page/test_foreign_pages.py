"""A page of somebody else's in a real browser: it may link to the service, and have nothing of it."""

from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import Server
from tests.service.page.visiting import CHROMIUM, DEADLINE_MS, needs_chromium

EVIL, REBOUND = "evil.example", "rebound.example"
"""Names that the browser is told to find on the loopback, as a hostile name server would."""

ATTACKS = """
async (service) => {
    const scan = await new Promise((made) => {
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 64;
        canvas.toBlob(made);
    });
    const form = new FormData();
    form.append("file", scan, "scan.png");
    const tried = async (path, options) => {
        try { return (await fetch(service + path, options)).status } catch (fault) { return fault.name }
    };
    const loaded = (kind, path) => new Promise((tell) => {
        const element = document.createElement(kind);
        element.onload = () => tell("loaded");
        element.onerror = () => tell("refused");
        element.src = service + path;
        document.body.append(element);
    });
    return {
        form: await tried("/predict", {method: "POST", mode: "no-cors", body: form}),
        text: await tried("/analyze", {method: "POST", mode: "no-cors", body: '{"img": ""}'}),
        read: await tried("/predict", {method: "POST", body: form}),
        json: await tried("/predict", {method: "POST", body: "{}", headers: {"X-API-Key": "guessed"}}),
        get: await tried("/metrics", {mode: "no-cors", credentials: "include"}),
        image: await loaded("img", "/ui/samples/phantom_1"),
        script: await loaded("script", "/ui/assets/page.js"),
    };
}
"""

POSTED = """
(service) => {
    document.body.innerHTML = `<form method="post" enctype="multipart/form-data" action="${service}/predict">
        <input name="img" value="x"></form>`;
    document.forms[0].submit();
}
"""


class _BlankPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer a page without anything."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Kittens</title><body>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def foreign() -> Iterator[str]:
    """Serve a page of somebody else's on the loopback; give its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_BlankPage))
    Thread(target=server.serve_forever, daemon=True).start()
    yield str(server.server_address[1])
    server.shutdown()


@pytest.fixture(scope="module")
def led_astray() -> Iterator[Browser]:
    """A browser that finds names of others on the loopback."""
    rules = f"MAP {EVIL} 127.0.0.1, MAP {REBOUND} 127.0.0.1"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM,
            # not every browser asks its user before a page of the internet calls the loopback
            args=[
                "--no-sandbox",
                f"--host-resolver-rules={rules}",
                "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
            ],
        )
        yield running
        running.close()


@pytest.fixture
def page(led_astray: Browser) -> Iterator[Page]:
    with led_astray.new_context() as context:
        opened = context.new_page()
        opened.set_default_timeout(DEADLINE_MS)
        yield opened


@needs_chromium
@pytest.mark.parametrize("host", [EVIL, "localhost", "127.0.0.1"])
def test_a_page_of_others_has_no_scan_segmented_and_nothing_of_the_service(
    page: Page, server: Server, foreign: str, host: str
) -> None:
    """Be it of another site, of another name of this machine, or of another port."""
    page.goto(f"http://{host}:{foreign}/")
    answers: dict[str, int] = {}
    page.on("response", lambda answer: answers.update({urlsplit(answer.url).path: answer.status}))
    seen = page.evaluate(ATTACKS, server.url)
    assert seen["image"] == seen["script"] == "refused"
    assert seen["read"] == seen["json"] == "TypeError"
    assert seen["form"] == seen["text"] == seen["get"] == 0  # opaque: what came of it is in the answers
    refused = {path: status for path, status in answers.items() if path not in ("/", "/favicon.ico")}
    assert refused.keys() >= {"/predict", "/analyze", "/metrics"}
    assert set(refused.values()) == {403}
    page.evaluate(POSTED, server.url)
    page.wait_for_url("**/predict")
    assert "CORS_ORIGINS" in page.locator("body").inner_text()


@needs_chromium
def test_a_page_of_others_may_link_here(page: Page, server: Server, foreign: str) -> None:
    page.goto(f"http://{EVIL}:{foreign}/")
    page.evaluate("(url) => { document.body.innerHTML = `<a href='${url}/ui'>here</a>` }", server.url)
    page.get_by_role("link").click()
    page.wait_for_url("**/ui")
    assert page.locator("#file").count() == 1


@needs_chromium
def test_a_name_that_leads_to_the_loopback_opens_nothing(page: Page, server: Server) -> None:
    """DNS rebinding: to the browser, the page and the service are one origin."""
    rebound = server.url.replace("127.0.0.1", REBOUND)
    for path in ("/ui", "/metrics"):
        answer = page.goto(rebound + path)
        assert answer is not None
        assert (answer.status, "ALLOWED_HOSTS" in answer.text()) == (403, True)
    # as it was served before its name led here
    page.route("**/kittens", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto(f"{rebound}/kittens")
    for options in ("{}", "{method: 'POST', body: '{}'}"):
        status = page.evaluate(f"() => fetch('/predict', {options}).then((answer) => answer.status)")
        assert status == 403
