"""`python -m inference info`."""

import platform
import sys
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from inference.engines.cores import usable_cores
from inference.ensemble import load_ensemble
from inference.settings import Settings, read_settings
from inference.version import __version__


def info() -> None:
    """Show what would run here: versions, engine, precision, folds, and the settings in force.

    The folds are loaded to see which engine takes them, so that it says what a start would do.
    """
    settings = read_settings()
    ensemble = load_ensemble(settings)
    engine, *device, precision = ensemble.engine.name.split("-")
    running = _table("what", "is")
    for name, value in {
        "version": __version__,
        "Python": f"{platform.python_version()} ({sys.executable})",
        "machine": f"{platform.machine()}, {usable_cores()} cores usable",
        "engine": engine,
        "precision": precision,
        "device": "".join(device) or "cpu",
        "scans side by side": str(ensemble.engine.parallel_passes),
        "folds": ", ".join(f"{fold.name} ({fold.sha256[:8]})" for fold in ensemble.folds),
        "views": ", ".join(ensemble.tta_ops),
        "threshold": f"{ensemble.threshold:g}",
        "blank below": f"{ensemble.blank_below:g}",
    }.items():
        running.add_row(name, value)
    in_force = _table("setting", "value", "from")
    for row in describe(settings):
        in_force.add_row(*row)
    console = Console()
    console.print(running)
    console.print(in_force)


def describe(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield every setting's name, its value (a key's is hidden), and whether somebody has set it."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
        origin = "environment or .env" if name in settings.model_fields_set else "default"
        yield name.upper(), shown, origin


def _table(*titles: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table
