"""Every trap is judged rightly, and the page says so."""

import importlib.metadata
import re
from pathlib import Path

import pytest

from tools.scaling.base.repo import ROOT
from tools.scaling.studies.traps.others import Tool, find_tools, verdict_of
from tools.scaling.studies.traps.ours import our_verdict
from tools.scaling.studies.traps.record import Trap, TrapVerdict
from tools.scaling.studies.traps.run import OURS, TrapRow, TrapStudy, all_traps
from tools.scaling.studies.traps.text import traps_lines, traps_markdown

TRAPS = all_traps()
PAGE = ROOT / "docs" / "results" / "traps.md"


def title(trap: Trap) -> str:
    return f"{'trace' if trap.is_trace else 'image'}: {trap.name}"


@pytest.fixture(scope="module")
def page() -> dict[str, dict[str, str]]:
    """title of a trap -> column -> verdict, as docs/results/traps.md has them."""
    found: dict[str, dict[str, str]] = {}
    head: list[str] = []
    kind = ""
    for line in PAGE.read_text("ascii").splitlines():
        kind = {"## Traces": "trace", "## Images": "image"}.get(line, kind)
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| pair "):
            head = cells
        elif kind and line.startswith("|") and not line.startswith("| ---"):
            found[f"{kind}: {cells[0]}"] = dict(zip(head[1:], (cell.strip("*") for cell in cells[1:])))
    return found


@pytest.mark.parametrize("trap", TRAPS, ids=title)
def test_ours_is_right(trap, tmp_path, page):
    verdict, line = our_verdict(trap, tmp_path)
    assert trap.judges(verdict), f"expected {trap.right}, got {verdict}: {line}"
    assert (verdict is TrapVerdict.PASS) is (line == "")
    assert "\n" not in line and line.isascii()
    assert (page[title(trap)]["right"], page[title(trap)][OURS]) == (trap.right, verdict)


def test_there_are_enough_and_the_page_has_them_all(page):
    traces = [trap for trap in TRAPS if trap.is_trace]
    assert len(TRAPS) >= 60 and min(len(traces), len(TRAPS) - len(traces)) >= 30
    assert len({title(trap) for trap in TRAPS}) == len(TRAPS)
    assert sum(trap.right is TrapVerdict.PASS for trap in TRAPS) >= 15
    assert set(page) == {title(trap) for trap in TRAPS}


def test_wrong_pairs_differ_and_harmless_ones_are_told_apart_by_their_bytes():
    """A trap whose two sides are equal by mistake would test nothing."""
    both_sides = re.compile(r"both|two (empty|images)|same constant")
    for trap in TRAPS:
        if trap.reference == trap.candidate:
            assert "identical" in trap.name or both_sides.search(trap.name), title(trap)


@pytest.mark.parametrize("name", ["numpy.allclose", "torch.testing"])
def test_the_page_holds_what_the_installed_tools_say(name, page, tmp_path):
    """Those that every installation has, where it is the version of the page."""
    tool = next(tool for tool in find_tools() if tool.name == name)
    version = re.search(rf"^\| {re.escape(name)} \| (\S+) \|", PAGE.read_text(), re.MULTILINE)
    if version is None or version[1] != tool.version:
        pytest.skip(f"the page was made with another version than {tool.version}")
    said = {title(trap): str(verdict_of(tool, trap, tmp_path)) for trap in TRAPS}
    assert said == {trap: cells[name] for trap, cells in page.items()}
    assert said["image: 7.94e-30 against 9e-30"] == "pass" and said["image: transposed"] == "fail"


def test_a_tool_that_is_not_installed_is_said_so(monkeypatch):
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setattr("shutil.which", lambda name: None)
    tools = find_tools()
    assert [tool.judge for tool in tools] == [None] * 5
    trap = Trap("a pair", TrapVerdict.FAIL, b"", b"")
    text = traps_markdown(TrapStudy((TrapRow(trap, {OURS: TrapVerdict.ERROR}, "refused"),), tuple(tools)))
    assert "- Polygraphy was not run: polygraphy is not installed" in text
    assert "- h5diff was not run: h5diff is not installed (Debian: hdf5-tools)" in text
    assert "| a pair | fail | error |" in text


def test_a_wrong_verdict_of_ours_is_counted_shown_and_fails():
    trap = Trap("a pair", TrapVerdict.FAIL, b"", b"")
    harmless = Trap("another", TrapVerdict.PASS, b"", b"")
    tool = Tool("other", "1.0", lambda reference, candidate, folder: True)
    rows = (
        TrapRow(trap, {OURS: TrapVerdict.PASS, "other": TrapVerdict.ERROR}, ""),
        TrapRow(harmless, {OURS: TrapVerdict.PASS, "other": TrapVerdict.FAIL}, ""),
    )
    result = TrapStudy(rows, (tool,))
    assert [row.trap.name for row in result.wrong] == ["a pair"]
    assert traps_lines(result)[-1] == "FAIL: 1 of 2 traps judged rightly"
    assert "WRONG: a pair: expected fail, got pass" in "\n".join(traps_lines(result))
    text = traps_markdown(result)
    assert "| a pair | fail | **pass** | error |" in text and "| another | pass | pass | **fail** |" in text
    assert "| ours | - | 1 | 0 |" in text and "| other | 1.0 | 0 | 1 |" in text


def test_whatever_a_tool_raises_is_a_verdict(tmp_path: Path):
    def judge(error: BaseException) -> TrapVerdict:
        def raising(reference: object, candidate: object, folder: Path) -> bool:
            raise error

        return verdict_of(Tool("x", "", raising), TRAPS[0], tmp_path)

    assert judge(AssertionError("differs")) is TrapVerdict.FAIL
    assert judge(ValueError("shapes")) is TrapVerdict.ERROR and judge(SystemExit(2)) is TrapVerdict.ERROR
