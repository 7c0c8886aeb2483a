"""What mkdocs calls while it builds the site: links as they stand in the repository lead somewhere in both.

The README, the model card and their like are pages of the site too, from where they are. A link to any
other file of the repository becomes its text: the site is there for readers who may not have the files.
"""

import logging
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ELSEWHERE = {
    "index.md": ROOT / "README.md",
    "model-card.md": ROOT / "models" / "README.md",
    "security.md": ROOT / "SECURITY.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    "changelog.md": ROOT / "CHANGELOG.md",
}
"""Pages that are kept outside of docs/, by their names in the site."""

LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s:#]+)(?P<anchor>#[^)\s]*)?\)")

log = logging.getLogger("mkdocs.hooks.docs")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are kept elsewhere."""
    for name, path in ELSEWHERE.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page with its links as the site has them; a link to nothing is a warning."""
    source = ELSEWHERE.get(page.file.src_uri, DOCS / page.file.src_uri)

    def linked(link: re.Match[str]) -> str:
        path = (source.parent / link["path"]).resolve()
        if not path.exists():
            log.warning("%s links to %s, which does not exist", source.relative_to(ROOT), link["path"])
        name = _name_in_site(path)
        if name is None:
            return link["text"]
        return f"{link['image']}[{link['text']}]({name}{link['anchor'] or ''})"

    return LINK.sub(linked, markdown)


def _name_in_site(path: Path) -> str | None:
    """Return what a file of the repository is called in the site, or None where it is not in it."""
    for name, elsewhere in ELSEWHERE.items():
        if path == elsewhere:
            return name
    is_shown = path.is_relative_to(DOCS) and path.is_file() and path.suffix != ".py"
    return path.relative_to(DOCS).as_posix() if is_shown else None
