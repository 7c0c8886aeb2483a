"""The page's files, all of them from here: its own, and htmx out of the package that ships it."""

from importlib.util import find_spec
from pathlib import Path

OWN = Path(__file__).parent / "static"
HTMX_PACKAGE, HTMX = "django_htmx", "static/django_htmx/htmx-2.min.js"


def find_assets() -> dict[str, Path]:
    """Return where each file lies, by its name in the page; the package is found, and not imported."""
    package = find_spec(HTMX_PACKAGE)
    assert package is not None
    assert package.origin is not None
    own = {path.name: path for path in OWN.iterdir()}
    return own | {"htmx.js": Path(package.origin).parent / HTMX}
