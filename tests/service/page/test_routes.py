"""The page's routes, asked without a browser."""

import re

import httpx
import pytest

from api import create_app
from inference.errors import SettingsError
from service.page import assets
from service.page.assets import find_assets
from service.page.result_token import UNREADABLE
from tests.conftest import Server, plain_settings


def test_what_no_page_of_this_service_sends_is_refused(server: Server) -> None:
    for form in ({"token": "{}"}, {"token": "{}", "signature": "", "threshold": "0.5"}, {"threshold": "2"}):
        answer = server.post("/ui/cut", files={name: (None, value) for name, value in form.items()})
        assert (answer.status_code, answer.json()["detail"]) == (422, UNREADABLE)
    filed = server.post("/ui/cut", files={"token": ("file.png", b"spooled to a disk?")})
    assert (filed.status_code, filed.headers["content-type"]) == (400, "application/problem+json")
    for path in ("/ui/assets/nothing.js", "/ui/samples/nothing", "/ui/assets/..%2Frender.py"):
        assert server.get(path).status_code == 404


def test_all_that_the_page_is_made_of_is_there_and_may_be_asked_for_without_its_body(server: Server) -> None:
    page = server.get("/ui").text
    named = set(re.findall(r'(?:src|href)="(ui/[^"]+)"', page))
    assert {f"ui/assets/{name}" for name in find_assets()} == {
        path for path in named if path.startswith("ui/assets/")
    }
    for path in ("ui", *named):
        whole = server.get(f"/{path}")
        assert (whole.status_code, len(whole.content) > 100) == (200, True), path
        head = httpx.head(f"{server.url}/{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize("package", ["no_such_package", "jinja2"])
def test_without_the_script_that_the_page_needs_there_is_no_start(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr(assets, "HTMX_PACKAGE", package)
    with pytest.raises(SettingsError, match=r"`uv sync`.* UI=0"):
        create_app(plain_settings())
    create_app(plain_settings(ui=False))


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
