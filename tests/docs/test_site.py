"""The site of the documents: it is built without a warning, and loads nothing from the internet."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

import docs.house
import docs.pipeline
from tests.conftest import ROOT

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}
OUTSIDE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])(?:https?:)?//", re.IGNORECASE)


class Assets(HTMLParser):
    """Collects what a page makes a browser load, and whether it has a drawing for a script from a CDN."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.has_mermaid = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.has_mermaid |= "mermaid" in (values.get("class") or "").split()
        if tag in LOADED and (address := values.get(LOADED[tag])):
            self.found.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "Documentation built" in built.stderr  # told to be quiet, mkdocs would count no warnings
    return folder


def test_the_site_loads_nothing_from_the_internet(site: Path) -> None:
    pages = list(site.glob("*.html"))
    assert len(pages) > 10
    for page in pages:
        assets = Assets()
        assets.feed(page.read_text())
        assert assets.found, page
        assert not [address for address in assets.found if OUTSIDE.match(address)], page
        assert not assets.has_mermaid, page
    styles = list(site.rglob("*.css"))
    assert styles
    assert not [style for style in styles if IN_STYLES.search(style.read_text())]


def test_the_site_has_what_is_kept_elsewhere(site: Path) -> None:
    assert "Not a medical device" in (site / "index.html").read_text()
    assert "Model card" in (site / "model-card.html").read_text()


@pytest.mark.parametrize("script", [docs.pipeline, docs.house])
def test_a_drawing_is_what_its_script_draws(script: ModuleType) -> None:
    assert script.__file__
    assert Path(script.__file__).with_suffix(".svg").read_text() == script.drawing()
