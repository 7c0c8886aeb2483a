"""The rules of the house that no other test would notice."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from docs.house import FLOORS, floor_of
from docs.imports import Imports, between_rooms, cycles, read_imports
from inference.settings import Settings
from inference.version import __version__
from tests.conftest import ROOT

MOST_FILES = 16
WEB = {"fastapi", "starlette", "uvicorn", "h11"}
ROOMS = ("inference", "service", "training")
CODE = ("benchmarks", "deploy", "docs", *ROOMS)


@pytest.fixture(scope="module")
def imports() -> Imports:
    return read_imports()


def outside_imports(path: Path) -> set[str]:
    """Return the top-level names of all that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_imports_are_read_wherever_they_stand(tmp_path: Path) -> None:
    written = {
        "first.py": "from pack import second",
        "pack/__init__.py": "",
        "pack/second.py": "def late():\n    import pack.room.third",
        "pack/room/__init__.py": "",
        "pack/room/third.py": "if TYPE_CHECKING:\n    from first import Name",
        "alone.py": "import numpy",
    }
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = read_imports(tmp_path)
    assert found["first"] == {"pack.second"}
    assert found["pack.second"] == {"pack.room.third"}
    assert found["pack.room.third"] == {"first"}
    assert found["alone"] == set()
    assert cycles(found) == [["first", "pack.room.third", "pack.second"]]
    assert between_rooms(found, "pack") == {"pack.second": {"pack.room"}, "pack.room": set()}


def test_no_two_files_import_each_other(imports: Imports) -> None:
    assert len(imports) > 200
    assert cycles(imports) == []


def test_no_two_rooms_of_a_package_import_each_other(imports: Imports) -> None:
    """Be it by what lies deep inside of them, and around whatever corner."""
    packages = {name.rpartition(".")[0] for name in imports}
    assert {"", "inference", "service", "training", "inference.volumes"} <= packages
    entangled = {package: cycles(between_rooms(imports, package)) for package in packages}
    assert {package: groups for package, groups in entangled.items() if groups} == {}


def test_rooms_import_downwards_only(imports: Imports) -> None:
    upwards = [
        f"{module} imports {other}"
        for module, imported in imports.items()
        for other in imported
        if (here := floor_of(module)) and (there := floor_of(other)) and here[1] is not there[1]
        if there[0] <= here[0]
    ]
    assert upwards == []


def test_every_file_has_a_room(imports: Imports) -> None:
    homeless = [name for name in imports if floor_of(name) is None and not name.startswith(("tests", "docs"))]
    assert homeless == ["example"]  # the kit's baseline, which calls nothing and which nothing calls
    empty = [room.name for floor in FLOORS for room in floor if not set(room.modules) & imports.keys()]
    assert empty == []


def test_the_ground_imports_nothing_of_the_project(imports: Imports) -> None:
    assert imports["utils"] == set()


def test_the_pipeline_knows_nothing_of_what_is_above_it(imports: Imports) -> None:
    for name, imported in imports.items():
        if name.partition(".")[0] == "inference":
            assert {other.partition(".")[0] for other in imported} <= {"inference", "utils"}, name
    for path in (ROOT / "inference").rglob("*.py"):
        assert not outside_imports(path) & WEB, path


def test_nothing_that_is_served_or_trained_imports_tests_or_documents(imports: Imports) -> None:
    for name, imported in imports.items():
        if not name.startswith(("tests", "docs")):
            assert not {other.partition(".")[0] for other in imported} & {"tests", "docs", "example"}, name


def test_no_room_is_full() -> None:
    folders = {path.parent for top in (*CODE, "tests") for path in (ROOT / top).rglob("*.py")}
    assert len(folders) > 30
    assert [folder for folder in folders if len(list(folder.glob("*.py"))) > MOST_FILES] == []


def test_every_room_says_what_lives_there() -> None:
    rooms = [path for top in ROOMS for path in (ROOT / top).rglob("__init__.py")]
    said = [(ast.get_docstring(ast.parse(room.read_text())) or "").partition("\n")[0] for room in rooms]
    assert len(rooms) > 15
    assert len(set(said)) == len(said)
    for room, sentence in zip(rooms, said, strict=True):
        assert re.fullmatch(r".{50,}[.,:]", sentence), room


def test_tests_mirror_the_rooms() -> None:
    """A folder of tests stands opposite one of code, whose name it has."""
    folders = {path.parent for top in CODE for path in (ROOT / "tests" / top).rglob("test_*.py")}
    assert len(folders) > 15
    for folder in folders:
        assert (ROOT / folder.relative_to(ROOT / "tests") / "__init__.py").exists(), folder


def test_serving_imports_no_training() -> None:
    loaded = "import sys, api; print([m for m in sys.modules if m.split('.')[0] in sys.argv[1:]])"
    unwanted = ["training", "torch", "wandb", "lightning", "albumentations", "sklearn", "matplotlib"]
    unwanted += ["nibabel", "pydicom", "highdicom"]  # until the first volume
    unwanted += ["requests", "dicomweb_client"]  # which only a PACS needs
    unwanted += ["ray", "pyarrow"]  # of a group of their own
    printed = subprocess.run(
        [sys.executable, "-c", loaded, *unwanted], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_nothing_is_installed_that_tells_others_what_is_converted() -> None:
    assert importlib.util.find_spec("openvino_telemetry") is None


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    example = (ROOT / ".env.example").read_text()
    documented = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, flags=re.MULTILINE))
    assert documented.keys() == {name.upper() for name in Settings.model_fields}
    readme = (ROOT / "README.md").read_text()
    defaults = Settings.model_construct()
    for name, text in documented.items():
        assert f"`{name}`" in readme, name
        value = getattr(defaults, name.lower())
        if isinstance(value, Path):  # an installed command's is another, and a copy is not to change it
            assert re.search(rf"`{name}`.*\| .*`{value}`.* \|", readme), name
            value = None
        spelled = "" if value in (None, ()) else str(value).lower() if isinstance(value, bool) else str(value)
        assert text == spelled.removesuffix(".0"), name
