"""`python -m inference serve`."""

import os
import runpy
from pathlib import Path
from typing import Annotated

import typer

SERVICE = Path(__file__).parents[2] / "api.py"


def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen, instead of HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port, instead of PORT; 0 takes a free one.")
    ] = None,
) -> None:
    """Start the service and its page; Ctrl-C ends it.

    - `python -m inference serve` answers on this machine alone
    - `python -m inference serve --host 0.0.0.0 --port 80` answers whoever reaches it: set `API_KEY`
    """
    os.environ |= {name: str(value) for name, value in (("HOST", host), ("PORT", port)) if value is not None}
    runpy.run_path(str(SERVICE), run_name="__main__")  # this package knows nothing of the service
