"""The specification is in the repository: whatever section or quirk the code and the docs cite stands there."""

import re
from pathlib import Path

import pytest

from nanobragg_torch.quirks import IDS
from tools.scaling.base.repo import ROOT

REFERENCE = ROOT / "docs" / "reference"
SEMANTICS = (REFERENCE / "semantics.md").read_text(encoding="ascii")
VARIANTS = (REFERENCE / "variants.md").read_text(encoding="ascii")
SECTIONS = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\b", SEMANTICS, re.MULTILINE))
STATED = set(re.findall(r"^\| (Q\d\d) \|", SEMANTICS, re.MULTILINE)) | set(
    re.findall(r"^(?:### |)(Q\d\d)\b", VARIANTS, re.MULTILINE)
)
CITED = re.compile(r"semantics\s+(?:section\s+)?(\d+(?:\.\d+)?(?:(?:,\s*|\s+and\s+)\d+(?:\.\d+)?)*)")
CITING = sorted(
    path
    for folder in ("src", "tools", "docs", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".md") and "golden" not in path.parts and path.parent != REFERENCE
)


def _sections(text: str) -> set[str]:
    return {number for found in CITED.findall(text) for number in re.findall(r"\d+(?:\.\d+)?", found)}


def test_a_citation_of_several_sections_is_read_whole() -> None:
    assert _sections("(semantics 2.1, 2.2 and 3), semantics section 8") == {"2.1", "2.2", "3", "8"}


def test_every_cited_section_stands_in_the_specification() -> None:
    cited = {(path.name, number) for path in CITING for number in _sections(path.read_text(encoding="utf-8"))}
    assert len({number for _, number in cited}) > 40
    assert {(name, number) for name, number in cited if number not in SECTIONS} == set()


def test_every_cited_quirk_stands_in_the_specification() -> None:
    numbers = {
        (path.name, number)
        for path in CITING
        if path.name != Path(__file__).name
        for number in re.findall(r"\bQ\d\d\b", path.read_text(encoding="utf-8"))
    }
    unknown = {(name, number) for name, number in numbers if number not in STATED}
    # Q99 is what tests give as a number that is none.
    assert {name for name, number in unknown if number != "Q99"} == set()


@pytest.mark.parametrize("quirk", IDS)
def test_every_switch_stands_in_the_specification(quirk: str) -> None:
    assert quirk in STATED, f"{quirk}: expected a row in semantics 9, or a section in variants.md"


def test_every_test_that_a_page_names_exists() -> None:
    named = {
        (file, name)
        for path in CITING
        if path.suffix == ".md"
        for file, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    missing = [
        (file, name)
        for file, name in sorted(named)
        if not (ROOT / file).is_file() or f"def {name}" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_no_page_is_cited_that_is_not_here() -> None:
    citing = re.compile(r"\(design[ :,]|(?<!_)design\.md|design,? section")
    own = Path(__file__).name
    assert [path.name for path in CITING if citing.search(path.read_text(encoding="utf-8")) and path.name != own] == []
