"""Who imports whom in this project, read from the files: nothing is imported to find out."""

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent

Imports = Mapping[str, Collection[str]]
"""What each module or room imports, by dotted names."""


def read_imports(root: Path = ROOT) -> dict[str, set[str]]:
    """Return which of the project's modules each of them imports, at its top or later.

    What is imported for its types alone counts too.
    """
    packages = [folder for folder in root.iterdir() if (folder / "__init__.py").exists()]
    paths = [*root.glob("*.py"), *(path for folder in packages for path in folder.rglob("*.py"))]
    names = {_name(path.relative_to(root)): path for path in sorted(paths)}
    return {name: set(_imported(path, names)) - {name} for name, path in names.items()}


def cycles(imports: Imports) -> list[list[str]]:
    """Return the groups of names that import each other, directly or around a corner, each sorted."""
    reachable = {name: _reachable(name, imports) for name in imports}
    groups = {
        tuple(sorted(other for other in reachable[name] if name in reachable.get(other, ())))
        for name in imports
        if name in reachable[name]
    }
    return sorted(map(list, groups))


def between_rooms(imports: Imports, house: str = "") -> dict[str, set[str]]:
    """Return which of a package's own rooms and files import each other, by all that lies in them.

    `house` is the package's dotted name; by default the whole project.
    """
    inside = [name for name in imports if name.startswith(house + ".") or not house]
    of_rooms: dict[str, set[str]] = {_room(name, house): set() for name in inside}
    for name in inside:
        imported = {_room(other, house) for other in imports[name] if other in inside}
        of_rooms[_room(name, house)] |= imported - {_room(name, house)}
    return of_rooms


def without_detours(imports: Imports) -> dict[str, set[str]]:
    """Return the imports that are left where those are dropped that lead by others to the same place."""
    return {
        name: {
            one
            for one in imported
            if not any(one in _reachable(other, imports) for other in imported if other != one)
        }
        for name, imported in imports.items()
    }


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path, names: Collection[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif (
            isinstance(node, ast.ImportFrom) and node.module and not node.level
        ):  # Ruff refuses relative ones
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield from (found for found in [whole if whole in names else node.module] if found in names)


def _reachable(name: str, imports: Imports) -> set[str]:
    found: set[str] = set()
    ahead = list(imports.get(name, ()))
    while ahead:
        if (one := ahead.pop()) not in found:
            found.add(one)
            ahead += imports.get(one, ())
    return found


def _room(name: str, house: str) -> str:
    """Return the part of a package that a module of it is or lies in."""
    below = name.removeprefix(house + ".") if house else name
    return f"{house}.{below.split('.')[0]}" if house else below.split(".")[0]
