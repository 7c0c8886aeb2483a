"""The rehearsal that docs/training.md and docs/judging.md describe: its commands, as they stand there."""

import shlex
import subprocess
from pathlib import Path

import pytest
from snippets import snippets

from tests.training.fitting.test_fit import run_in_process
from training.judging.paired_comparison import read_scores

NOTE = "skip (tests/training/test_rehearsal.py runs it)"
COMMAND = ["uv", "run", "--group", "training", "python", "-m", "training"]
PAGES = ("docs/training.md", "docs/judging.md")
CHAIN = [
    *("phantoms", "split", "fit", "export", "quantize", "calibrate", "evaluate", "report"),
    *("evaluate", "paired"),
]


def rehearsal() -> list[list[str]]:
    """Return the words of every command, in the order of reading."""
    blocks = [block for page in PAGES for block in snippets(page) if block.note == NOTE]
    return [shlex.split(line) for block in blocks for line in block.code.replace("\\\n", " ").splitlines()]


def test_the_documented_rehearsal_goes_from_data_to_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, which has paid for PyTorch's import; its commands are processes in other tests."""
    monkeypatch.chdir(tmp_path)
    done = []
    for words in rehearsal():
        with pytest.MonkeyPatch.context() as patch:
            while "=" in words[0]:
                name, _, value = words.pop(0).partition("=")
                patch.setenv(name, value)
            if words[: len(COMMAND)] == COMMAND:
                assert not run_in_process(patch, *words[len(COMMAND) :]), words
                done.append(words[len(COMMAND)])
            else:
                subprocess.run(words, check=True)
    assert done == CHAIN
    folder = tmp_path / "results" / "rehearsal"
    assert len(read_scores(folder / "scores.csv")) == len(read_scores(folder / "never_blank.csv")) == 6
    assert (folder / "report" / "index.html").stat().st_size > 10_000
