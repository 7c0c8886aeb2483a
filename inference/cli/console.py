"""What commands have in common: how they speak to people at the terminal, and how they end."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

INTERRUPTED = 130
"""Exit status of a run that Ctrl-C has ended, as shells have it."""

errors = Console(stderr=True)
"""Progress, warnings and faults: standard output stays free for what other programs read."""


def tell(sentence: str) -> None:
    """Print a sentence to standard error as it is, in one line."""
    errors.print(sentence, markup=False, highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    """Return a bar on standard error that shows how many are done, and how long the rest takes."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
    )
