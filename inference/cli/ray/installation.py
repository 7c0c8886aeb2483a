"""Ray is in a dependency group of its own: nobody who stays on one machine needs it."""

import os
from importlib.util import find_spec

from inference.errors import SettingsError


def require_ray(command: str) -> None:
    """Make ready to import Ray; raises `SettingsError` where it is not installed."""
    if find_spec("ray") is None:
        raise SettingsError(f"--ray needs Ray: run `uv run --group ray python -m {command}`")
    use_installed_packages()


def use_installed_packages() -> None:
    """Have workers use what their machines have installed; to be called before Ray is imported.

    From a program that `uv run` has started, Ray would otherwise send the project's folder around and
    call `uv run` for each worker, without the groups that the machines were set up with.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
