"""Ray is in a dependency group of its own: nobody who stays on one machine needs it."""

from importlib.util import find_spec

from inference.errors import SettingsError


def need_ray(command: str) -> None:
    """Raise `SettingsError` where Ray is not installed."""
    if find_spec("ray") is None:
        raise SettingsError(f"--ray needs Ray: run `uv run --group ray python -m {command}`")
