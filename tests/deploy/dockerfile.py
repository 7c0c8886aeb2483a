"""The parts of deploy/Dockerfile, for the tests to read."""

import re

from tests.conftest import ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def stage(name: str) -> str:
    """Return a stage's lines, without those that it begins with."""
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1].replace("\\\n", " ")


def copied(text: str = DOCKERFILE) -> set[str]:
    """Return what is copied from the repository, in a stage or in all."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    return {name for line in lines for name in line.split()}
