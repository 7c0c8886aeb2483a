"""The page's files, all of them from here: its own, and htmx out of the package that ships it."""

from importlib.util import find_spec
from pathlib import Path

from inference.errors import SettingsError

OWN = Path(__file__).parent / "static"
HTMX_PACKAGE, HTMX = "django_htmx", "static/django_htmx/htmx-2.min.js"


def find_assets() -> dict[str, Path]:
    """Return where each file lies, by its name in the page; the package is found, and not imported.

    Raises `SettingsError` where its file is not there.
    """
    package = find_spec(HTMX_PACKAGE)
    htmx = Path(package.origin).parent / HTMX if package and package.origin else None
    if htmx is None or not htmx.is_file():
        raise SettingsError(
            f"the page's script {Path(HTMX).name} of the package django-htmx is missing: run `uv sync`, "
            "or leave the page out with UI=0"
        )
    return {path.name: path for path in OWN.iterdir()} | {"htmx.js": htmx}
