"""What commands have in common: how they speak to people at the terminal, and how they end."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

INTERRUPTED = 130
"""Exit status of a run that Ctrl-C has ended, as shells have it."""

errors = Console(stderr=True)
"""Progress, warnings and faults: standard output stays free for what other programs read."""


def tell(sentence: str) -> None:
    """Print a sentence to standard error as it is, in one line."""
    errors.print(printable(sentence), markup=False, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """Return a text as it may stand on a terminal: what it holds of control characters is escaped.

    A file may be called anything, and a PACS may say anything: a terminal that takes it for a command shows
    something else than there is, or does something. Bytes of a name that are no UTF-8 are escaped too.
    """
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def progress_bar() -> Progress:
    """Return a bar on standard error that shows how many are done, and how long the rest takes."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
    )
