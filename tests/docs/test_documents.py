"""What the documents tell a reader to run can be run, and what CI cannot run says why."""

import re

import pytest
import typer
from snippets import ROOT, RUN, SHOWN, Snippet, pages, snippets

import benchmarks.__main__
import inference.cli.app
import training.__main__

COMMANDS = {
    name: typer.main.get_command(app)
    for name, app in (
        ("inference", inference.cli.app.app),
        ("training", training.__main__.app),
        ("benchmarks", benchmarks.__main__.app),
    )
}
NAMED = re.compile(r"python -m (inference|training|benchmarks)((?: [^`|;\n]*)?)")
LOOKS_LIKE_A_COMMAND = re.compile(
    r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:uv|uvx|curl|python3?|ssh|docker|pip) ", re.MULTILINE
)
NOTE = re.compile(r"(?:skip \(.{10,}\)|needs [A-Z_]+(?:, adds --[a-z]+ \d+)?|service|key)?")
EVERY_SNIPPET = [snippet for page in pages() for snippet in snippets(page)]


def test_the_documents_have_snippets_of_every_language() -> None:
    assert {snippet.language for snippet in EVERY_SNIPPET} >= set(RUN)


@pytest.mark.parametrize("snippet", EVERY_SNIPPET, ids=[snippet.place for snippet in EVERY_SNIPPET])
def test_a_block_is_run_or_says_why_not(snippet: Snippet) -> None:
    assert snippet.language in RUN + SHOWN, f"{snippet.place} has no language that CI knows"
    assert NOTE.fullmatch(snippet.note), snippet.place
    if snippet.language in SHOWN:
        assert not LOOKS_LIKE_A_COMMAND.search(snippet.code), f"{snippet.place} shows a command: make it bash"


@pytest.mark.parametrize("page", pages())
def test_every_command_that_is_named_exists_with_its_options(page: str) -> None:
    text = (ROOT / page).read_text().replace("\\\n", " ")
    for module, rest in NAMED.findall(re.sub(r"(`[^`\n]*)\n([^`\n]*`)", r"\1 \2", text)):
        group = COMMANDS[module]
        assert hasattr(group, "commands")
        name, *words = rest.split() or [""]
        if not name[:1].isalpha() or name.isupper():
            continue
        command = group.commands.get(name)
        assert command is not None, f"{page}: python -m {module} {name}"
        if hasattr(command, "commands") and words:
            name = f"{name} {words[0]}"
            command = command.commands.get(words[0])
            assert command is not None, f"{page}: python -m {module} {name}"
        known = {spelling for option in command.params for spelling in option.opts + option.secondary_opts}
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        unknown = options - known - {"--help"}
        assert not unknown, f"{page}: python -m {module} {name} has no {unknown}"
