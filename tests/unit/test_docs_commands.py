"""What the documents tell people to type exists, and what can be typed and set is in the documents."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tools.gen_docs import PAGES
from twin_app.cli import app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs/user-guide.md", ROOT / "docs/benchmarks.md"]
FENCE = re.compile(r"^```(?:sh|powershell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`(twin [^`\n]+)`")
TWIN = re.compile(r"^(?:\.venv[\w-]*[/\\](?:bin|Scripts)[/\\])?twin ")


def typed(document: Path) -> Iterator[str]:
    """Yield each command line of the document's shell blocks, and each inline one."""
    text = document.read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip())
    yield from INLINE.findall(text)


def twin_lines() -> list[str]:
    return sorted({TWIN.sub("", line) for document in DOCUMENTS for line in typed(document) if TWIN.match(line)})


def parse(line: str) -> None:
    """Let the command line parse the words without running the command."""
    words = shlex.split(line, comments=True)
    command: Any = typer.main.get_command(app)
    path = "twin"
    while hasattr(command, "commands"):
        path = f"{path} {words[0]}"
        assert words[0] in command.commands, f"there is no `{path}`"
        command = command.commands[words.pop(0)]
    command.make_context(path, words)


@pytest.mark.parametrize("line", twin_lines())
def test_the_command_line_understands(line: str):
    parse(line)


def test_the_documents_show_something():
    assert len(twin_lines()) > 20


def test_parsing_refuses_what_does_not_exist():
    with pytest.raises(AssertionError, match="there is no `twin fly`"):
        parse("fly --high")


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert sorted(named - targets) == []


@pytest.mark.parametrize("path", PAGES)
def test_generated_page_is_up_to_date(path: str):
    assert (ROOT / "docs" / path).read_text(encoding="utf-8") == PAGES[path](), "run `python tools/gen_docs.py`"


def test_every_setting_has_a_description():
    rows = [line for line in PAGES["settings.md"]().splitlines() if line.startswith("| `TWIN_")]
    assert rows
    assert [row for row in rows if re.search(r"\| (None)? ?\|$", row)] == []


def test_every_command_has_a_description():
    headings = re.findall(r"^## (twin .+)\n\n(.*)$", PAGES["cli.md"](), re.MULTILINE)
    assert headings
    assert [heading for heading, text in headings if not text] == []


def test_the_user_guide_names_every_route():
    from twin_app.api import routes_act, routes_read  # needs the web parts

    guide = (ROOT / "docs/user-guide.md").read_text(encoding="utf-8").replace(".../", "/v1/changes/{change_id}/")
    routes = [route.path for router in (routes_read.router, routes_act.router) for route in router.routes]
    assert sorted({route for route in routes if route not in guide}) == []
