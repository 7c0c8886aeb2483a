"""The snippets of the documents: what stands in them as commands or code, and what CI is to do with it.

A block may have a comment before it:
    <!-- ci: skip (why) -->           it cannot run here
    <!-- ci: needs TUMOR_DATA_DIR --> it runs where that variable is set
    <!-- ci: needs TUMOR_DATA_DIR, adds --every 4 --> and its last command gets an option, to take less time
    <!-- ci: service -->              it starts a service, which is waited for and stays up
    <!-- ci: key -->                  it asks a service that has API_KEY set
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
RUN = ("bash", "python", "javascript")
SHOWN = ("text", "json", "http")
"""Languages of blocks that show something, and are nothing to run."""

RUN_BY_TESTS = {"docs/api.md": "tests/docs/test_api_page.py"}
"""Pages whose blocks are run by a test, and not a second time."""

NOTE = r"(?:<!-- ci: (?P<note>[^>]*?) -->\s*\n)?"
BLOCK = re.compile(NOTE + r"(?P<indent> *)```(?P<language>\S*)\n(?P<code>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    note: str
    code: str

    @property
    def place(self) -> str:
        """Return where it stands, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def needs(self) -> str:
        """Return the variable without which it is not run; nothing where there is none."""
        return self.note.partition(",")[0].removeprefix("needs ") if self.note.startswith("needs") else ""

    @property
    def code_to_run(self) -> str:
        """Return its code, with the option that CI adds."""
        return f"{self.code} {self.note.partition(', adds ')[2]}".rstrip()

    def commands(self) -> set[str]:
        """Return its commands, a line each, however it is broken; of other code the whole is one."""
        if self.language != "bash":
            return {self.code}
        lines = self.code.replace("\\\n", " ").splitlines()
        return {" ".join(line.split()) for line in lines if line.strip()}


def pages() -> list[str]:
    """Return the documents with snippets, in the order in which they are to be read."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    in_docs = [f"docs/{name}" for name in _leaves(config["nav"]) if (ROOT / "docs" / name).exists()]
    return ["README.md", *in_docs, "models/README.md", "SECURITY.md", "CONTRIBUTING.md"]


def snippets(page: str) -> list[Snippet]:
    """Return the fenced blocks of a page, those that only show something included."""
    text = (ROOT / page).read_text()
    return [
        Snippet(
            page,
            text.count("\n", 0, block.start("language")) + 1,
            block["language"],
            block["note"] or "",
            block["code"].strip(),
        )
        for block in BLOCK.finditer(text)
    ]


def _leaves(nav: Any) -> list[str]:
    """Return the files of mkdocs' nav, which is lists of names, and of dicts from titles to the like."""
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav
    return [name for item in items for name in _leaves(item)]
