"""Draws docs/house.svg, the rooms of the project and who calls whom: `uv run python -m docs.house`.

The floors are drawn as they are told here, which `tests/test_layout.py` holds against the imports; arrows,
rooms inside rooms and the number of files are read from the code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from docs.imports import Imports, read_imports, without_detours
from docs.pipeline import BOX_HEIGHT, FAINT, FOLD, FONT_PX, INK, LINE, PAPER, SMALL_PX

WIDTH, GAP, MARGIN = 940, 50, 20
OUTSIDE, WAY = "#ececec", FOLD


@dataclass(frozen=True)
class Room:
    """A part of the project: how it is called, what lives there, and in which columns (of 12) it is drawn.

    `modules` are its modules and packages by dotted name, each with all below it that has no room of its
    own.
    """

    name: str
    what: str
    columns: tuple[int, int]
    modules: tuple[str, ...]
    fill: str = PAPER


FLOORS: tuple[tuple[Room, ...], ...] = (
    (
        Room("deploy/", "containers, Ray Serve", (0, 3), ("deploy",), OUTSIDE),
        Room("benchmarks/", "how fast", (4, 8), ("benchmarks",), OUTSIDE),
    ),
    (Room("api.py", "the routes", (0, 3), ("api",), OUTSIDE),),
    (
        Room("service/", "what routes are made of", (0, 5), ("service",), OUTSIDE),
        Room("training/", "from labels to folds", (7, 12), ("training",), OUTSIDE),
    ),
    (
        Room("client_test.py", "sends a scan", (5, 8), ("client_test",), OUTSIDE),
        Room("inference/cli/", "a command a file", (9, 12), ("inference.cli", "inference.__main__")),
    ),
    (Room("inference/report/", "what is said and drawn of a prediction", (3, 10), ("inference.report",)),),
    (Room("predictor.py", "one ensemble a process", (9, 12), ("inference", "inference.predictor"), WAY),),
    (Room("ensemble.py", "every fold sees every view", (6, 12), ("inference.ensemble",), WAY),),
    (Room("inference/engines/", "what runs the networks", (6, 12), ("inference.engines",), WAY),),
    (
        Room("inference/volumes/", "from a PET volume to a scan", (0, 5), ("inference.volumes",)),
        Room("inference/weights/", "where folds come from", (6, 12), ("inference.weights",)),
    ),
    (
        Room(
            "recognition, preparation, tta, unet, findings, disagreement, deadline, settings, errors",
            "the pipeline's parts, a concept a file, with artifact_names, atomic_write and version",
            (0, 12),
            (
                "inference.artifact_names",
                "inference.atomic_write",
                "inference.deadline",
                "inference.disagreement",
                "inference.errors",
                "inference.findings",
                "inference.preparation",
                "inference.recognition",
                "inference.settings",
                "inference.tta",
                "inference.unet",
                "inference.version",
            ),
            WAY,
        ),
    ),
    (Room("utils.py", "the competition's kit; it imports nothing of the project", (2, 10), ("utils",)),),
)
"""From the top down: a room calls what is below it, and nothing beside it or above."""


def floor_of(module: str) -> tuple[int, Room] | None:
    """Return how far down a module's room is, and the room; None of one that has none, such as a test."""
    found = [
        (len(prefix), number, room)
        for number, floor in enumerate(FLOORS)
        for room in floor
        for prefix in room.modules
        if module == prefix or (prefix != "inference" and module.startswith(prefix + "."))
    ]
    if not found:
        return None
    _, number, room = max(found, key=lambda one: one[0])
    return number, room


def drawing() -> str:
    """Return the drawing as SVG."""
    return "\n".join(_elements(read_imports())) + "\n"


def _elements(imports: Imports) -> Iterator[str]:
    height = len(FLOORS) * (BOX_HEIGHT + GAP) - GAP + 2 * MARGIN
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" text-anchor="middle">'
    )
    yield "<title>The rooms of the project, and which calls which</title>"
    yield (
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 8 4 0 8z" fill="{LINE}"/></marker></defs>'
    )
    rooms = {room.name: (number, room) for number, floor in enumerate(FLOORS) for room in floor}
    for name, called in without_detours(_calls(imports)).items():
        yield from (_arrow(rooms[name], rooms[other]) for other in sorted(called))
    for number, room in rooms.values():
        yield from _box(number, room, imports)
    yield "</svg>"


def _calls(imports: Imports) -> dict[str, set[str]]:
    """Return which rooms import which, by name."""
    calls: dict[str, set[str]] = {room.name: set() for floor in FLOORS for room in floor}
    for module, imported in imports.items():
        for other in imported:
            from_room, to_room = floor_of(module), floor_of(other)
            if from_room and to_room and from_room[1] is not to_room[1]:
                calls[from_room[1].name].add(to_room[1].name)
    return calls


def _box(number: int, room: Room, imports: Imports) -> Iterator[str]:
    left, right, top = *_sides(room), _top(number)
    middle = (left + right) / 2
    yield (
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{BOX_HEIGHT}" rx="8" fill="{room.fill}" '
        f'stroke="{LINE}"/>'
    )
    inside = _rooms_inside(room, imports)
    for down, size, ink, text in (
        (20, FONT_PX, INK, room.name),
        (36, SMALL_PX, FAINT, room.what),
        (51, SMALL_PX, FAINT, inside),
    ):
        yield f'<text x="{middle:g}" y="{top + down}" font-size="{size}" fill="{ink}">{escape(text)}</text>'


def _rooms_inside(room: Room, imports: Imports) -> str:
    """Return the rooms inside a room, or how many files it has."""
    own = [module for module in imports if (found := floor_of(module)) and found[1] is room]
    depth = 1 + room.modules[0].count(".")
    inside = {module.split(".")[depth] for module in own if module.count(".") > depth}
    files = f"{len(own)} files" if len(own) > 1 else ""
    return f"{' '.join(f'{name}/' for name in sorted(inside))}  ·  {files}" if inside else files


def _arrow(start: tuple[int, Room], end: tuple[int, Room]) -> str:
    """Draw straight down where the two rooms have a column in common, and slanted where they have none."""
    (upper, caller), (lower, called) = start, end
    left = max(_sides(caller)[0], _sides(called)[0])
    right = min(_sides(caller)[1], _sides(called)[1])
    x_from = x_to = (left + right) / 2
    if left >= right:
        x_from, x_to = (sum(_sides(room)) / 2 for room in (caller, called))
    return (
        f'<path d="M{x_from:g} {_top(upper) + BOX_HEIGHT}L{x_to:g} {_top(lower)}" stroke="{LINE}" '
        'stroke-width="1.5" marker-end="url(#tip)"/>'
    )


def _sides(room: Room) -> tuple[int, int]:
    column = (WIDTH - 2 * MARGIN) / 12
    return round(MARGIN + room.columns[0] * column), round(MARGIN + room.columns[1] * column)


def _top(number: int) -> int:
    return MARGIN + number * (BOX_HEIGHT + GAP)


def main() -> None:
    """Write the drawing beside this file."""
    Path(__file__).with_suffix(".svg").write_text(drawing())


if __name__ == "__main__":
    main()
