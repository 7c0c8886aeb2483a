"""The first volumes of a process may come at once, in a thread each: none finds half a library."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training.phantoms.volume_files import write_nifti, write_series
from training.phantoms.volumes import PhantomVolume

LIBRARIES = {"nibabel", "pydicom", "highdicom"}

AT_ONCE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np

from inference.volumes.dicom.headers import quiet
from inference.volumes.dicom.series import read_series
from inference.volumes.archive import files_of_folder
from inference.volumes.formats.nifti import read_nifti
from inference.volumes.options import VolumeOptions
from inference.volumes.orientation import affine_of_letters, body_axes

folder = Path(sys.argv[1])
work = [
    lambda: quiet(),
    lambda: read_series(files_of_folder(folder / "series")),
    lambda: read_nifti((folder / "suv.nii").open("rb"), VolumeOptions()),
    lambda: body_axes(np.eye(4)),
    lambda: affine_of_letters("RAS", (1.0, 1.0, 1.0), (4, 4, 4)),
]
barrier = Barrier(len(work))
sys.setswitchinterval(1e-6)
with ThreadPoolExecutor(len(work)) as pool:
    for future in [pool.submit(lambda do: (barrier.wait(), do()), do) for do in work]:
        future.result()
"""


@pytest.mark.parametrize("attempt", range(3))
def test_first_volumes_may_come_at_once(attempt: int, small: PhantomVolume, tmp_path: Path) -> None:
    write_series(small, tmp_path / "series")
    write_nifti(small, tmp_path / "suv.nii")
    subprocess.run([sys.executable, "-c", AT_ONCE, str(tmp_path)], cwd=ROOT, check=True, timeout=60)


def test_functions_import_libraries_one_thread_at_a_time() -> None:
    late = 0
    for path in [*(ROOT / "inference").rglob("*.py"), *(ROOT / "service").rglob("*.py"), ROOT / "api.py"]:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        held = [node for node in nodes if isinstance(node, ast.With) and _is_held(node)]
        assert _lines(functions) == _lines(held), path
        late += len(_lines(held))
    assert late > 0


def _is_held(node: ast.With) -> bool:
    return [ast.unparse(item.context_expr) for item in node.items] == ["IMPORT_LOCK"]


def _lines(blocks: Sequence[ast.AST]) -> set[int]:
    """Return the lines on which blocks import one of the libraries."""
    parts = [part for block in blocks for part in ast.walk(block)]
    plain = {part.lineno for part in parts if isinstance(part, ast.Import) and _are_libraries(part)}
    named = {
        part.lineno for part in parts if isinstance(part, ast.ImportFrom) and _is_library(part.module or "")
    }
    return plain | named


def _are_libraries(node: ast.Import) -> bool:
    return any(_is_library(name.name) for name in node.names)


def _is_library(module: str) -> bool:
    return module.partition(".")[0] in LIBRARIES
