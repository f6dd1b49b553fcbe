"""Every path that a document names is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "tests/data/planner_heldout.md"])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SCRIPT = re.compile(r"(?<![\w/.-])((?:examples|tests|tools|docs|proto|agent|bridge|twin|twin_app)/[\w/.-]*\w)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document: Path) -> Iterator[str]:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    yield from (target for target in LINK.findall(text) if not target.startswith(("https://", "http://", "mailto:")))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path):
    broken = []
    for target in links(document):
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.relative_to(ROOT).as_posix())
def test_every_file_that_is_named_exists(document: Path):
    named = SCRIPT.findall(document.read_text(encoding="utf-8"))
    assert sorted({name for name in named if not (ROOT / name).exists()}) == []


def test_decisions_are_listed_and_complete():
    folder = ROOT / "docs/adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(folder.glob("0*.md"))
    assert [page.name for page in pages if page.name not in index] == []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Measured"], (
            page
        )
        assert re.search(r"^\d{4}-\d{2}-\d{2} · (accepted|replaced by)", text, re.MULTILINE), page


def test_the_glossary_has_one_row_per_word():
    words = re.findall(r"^\| \*\*(.+?)\*\*", (ROOT / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted({word for word in words if words.count(word) > 1}) == []


def test_changelog_has_an_unreleased_part():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
