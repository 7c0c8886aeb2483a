"""The files that libraries bring to test themselves with, by many hands; and what is answered to each."""

import csv
from pathlib import Path

import nibabel
import pydicom

TABLE = Path(__file__).with_name("real_files.csv")
LIBRARIES = (pydicom, nibabel)
CODE = {".py", ".pyc", ".so", ".pyi", ".typed", ".txt", ".md", ".json", ".icc"}
"""What is no file of data."""

ANSWERED = "a scan"


def real_files() -> dict[str, Path]:
    """Return the files by their path within their library."""
    found = {}
    for library in LIBRARIES:
        root = Path(str(library.__file__)).parent
        for path in sorted(root.rglob("*")):
            below = path.relative_to(root.parent)
            if path.is_file() and path.suffix not in CODE and {"data", "tests"} & set(below.parts):
                found[below.as_posix()] = path
    return found


def answers() -> dict[str, str]:
    """Return what is answered to each file: a scan, or the sentence that refuses it."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {row["file"]: row["answer"] for row in csv.DictReader(file)}
