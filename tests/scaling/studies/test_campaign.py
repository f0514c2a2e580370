"""`study campaign`: its table of mistakes, and what it says of them."""

import ast
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.scaling.base.repo import ROOT
from tools.scaling.campaign.failures.shrink import Shrunk
from tools.scaling.campaign.generator import draw
from tools.scaling.campaign.record import Drawn, Result, Status, Verdict
from tools.scaling.cli import main
from tools.scaling.studies.campaign import hunt, run
from tools.scaling.studies.campaign.defects import DEFECTS, PlantedDefect
from tools.scaling.studies.campaign.hunt import packed, unpacked
from tools.scaling.studies.campaign.run import Hunt, Hunted
from tools.scaling.studies.campaign.text import hunt_lines, hunt_markdown, hunted_line

DEFECT = PlantedDefect("a name", "io/x.py", "1 + 1", "1 - 1", ("beam.kahn", "polar"))


def test_each_mistake_can_be_planted_in_one_place() -> None:
    for defect in DEFECTS:
        whole = defect.path(ROOT).read_text("utf-8")
        assert ast.dump(ast.parse(defect.planted(whole))) != ast.dump(ast.parse(whole)), defect.name
        assert defect.right


def test_there_are_fifty_in_all_rooms() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) == 50
    rooms = {"units", "flags", "config", "quirks", "io", "physics", "scan", "kernel", "products"}
    assert {defect.room for defect in DEFECTS} == rooms


def test_a_text_that_is_not_there_once_is_refused() -> None:
    with pytest.raises(ValueError, match="a name: expected its text once in io/x.py, found it 2 times"):
        DEFECT.planted("(1 + 1) * (1 + 1)")
    assert DEFECT.planted("2 * (1 + 1)") == "2 * (1 - 1)"
    assert DEFECT.path(Path("there")) == Path("there/src/nanobragg_torch/io/x.py")


def test_a_name_is_right_as_it_stands_or_with_a_part_of_it() -> None:
    assert all(DEFECT.named_by(cause) for cause in ("polar", "beam.kahn", "beam.kahn[1]", "beam.kahn.real"))
    assert not any(DEFECT.named_by(cause) for cause in ("", "polarized", "beam", "beam.kahn_factor"))


def test_a_case_comes_back_from_json_as_it_was() -> None:
    drawn = next(each for each in map(draw, range(100)) if each.files)
    assert unpacked(packed(drawn)) == drawn


def test_what_is_told() -> None:
    missed = Hunted(DEFECT, "", 2000)
    right = Hunted(DEFECT, "oracle", 3, ("-default_F",), "-cell 1 -default_F 2", "polar", "it differs", 4.2)
    wrong = Hunted(DEFECT, "oracle", 7, ("-a",) * 7, "-a", "F_cell", "it differs", 4.2)
    assert hunted_line(missed) == "NOT FOUND in 2000 cases: a name"
    assert hunted_line(right) == ("a name: oracle, 3 cases, 1 flag left, named polar (4 s): -cell 1 -default_F 2")
    assert "7 flags left, NAMED WRONGLY F_cell" in hunted_line(wrong)
    hunt = Hunt(0, (missed, right, wrong))
    assert hunt_lines(hunt) == [
        "- found within 2000 cases: 2 of 3; half of them within 7, all within 7",
        "- shrunk to 6 flags or fewer: 1 of 3",
        "- named rightly: 1 of 3",
    ]
    page = hunt_markdown(hunt)
    assert "| a name | io/x.py | **not found** | 2000 | - | - | **no** | - |" in page
    assert "| a name | io/x.py | oracle | 3 | 1 | polar | yes | `-cell 1 -default_F 2` |" in page
    assert not hunt.ok
    assert Hunt(0, (right,) * 9 + (Hunted(DEFECT, "oracle", 7, ("-a",) * 7, cause="F_cell"),)).ok
    assert not Hunt(0, (right,) * 9 + (missed,)).ok


CASE = Drawn(3, ("-cell", "10", "-N", "5", "-nopgm"), {"a.hkl": b"1 2 3 4\n"})


def _judged(*checks: str) -> Callable[..., Result]:
    """Seeds from 2 on fail `checks`; 2 fails without the mistake, too."""

    def judge(drawn: Drawn, *_: object) -> Result:
        failed = tuple(Verdict(check, Status.differs, "it differs", label="beam.kahn") for check in checks)
        return Result(drawn.seed, (), failed if drawn.seed > 1 else (), 0.0)

    return judge


def test_a_process_tells_what_fails_and_shrinks_what_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hunt, "draw", lambda seed: replace(CASE, seed=seed))
    monkeypatch.setattr(hunt, "judge", _judged("compiled", "oracle"))
    verdict = Verdict("oracle", Status.differs, label="beam.kahn")
    left = replace(CASE, flags=("-N", "5"))
    monkeypatch.setattr(hunt, "shrink", lambda drawn, _, check: Shrunk(left, verdict, (drawn, verdict), 7))
    record = SimpleNamespace(cause="polar", sentence="polar differs")
    monkeypatch.setattr(hunt, "write_shrunk", lambda *_: record)
    monkeypatch.setattr(sys, "stdin", StringIO("next\nshrink oracle\n"))
    hunt.main(0, 9)
    first, second, shrunk = map(json.loads, capsys.readouterr().out.splitlines())
    assert [told["case"]["seed"] for told in (first, second)] == [2, 3]
    assert first["failures"] == [
        {"check": check, "says": "it differs", "label": "beam.kahn"}
        for check in ("oracle", "compiled")  # what tells most is first
    ]
    assert (shrunk["case"]["flags"], shrunk["cause"]) == (["-N", "5"], "polar")
    hunt.main(0, 2)
    assert capsys.readouterr().out == "null\n"


class _Process:
    """What the process of a search has told, and hears."""

    def __init__(self, *told: object) -> None:
        self.stdin, self.stdout = StringIO(), iter([json.dumps(each) for each in told])


def test_what_fails_without_the_mistake_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(seed: int, *checks: str) -> dict[str, object]:
        verdicts = [{"check": check, "label": "", "says": "it differs"} for check in checks]
        return {"case": packed(replace(CASE, seed=seed)), "failures": verdicts}

    monkeypatch.setattr(run, "judge", lambda drawn, *_: _judged("oracle")(replace(drawn, seed=9 - drawn.seed)))
    left = {"case": packed(CASE), "cause": "beam.kahn", "says": "it differs"}
    process = _Process(failing(2, "oracle"), failing(3, "oracle", "flags", "compiled"), left)
    found = run._led(DEFECT, process, 1)  # type: ignore[arg-type]
    assert process.stdin.getvalue() == "next\nshrink flags\n"
    assert (found.check, found.cases, found.left, found.cause) == ("flags", 3, ("-N", "-nopgm"), "beam.kahn")
    assert found.command == "-cell 10 -N 5 -nopgm"
    assert (found.found, found.few, found.right) == (True, True, True)
    missed = run._led(DEFECT, _Process(failing(2, "oracle"), None), 1)  # type: ignore[arg-type]
    assert (missed.found, missed.cases) == (False, 2000)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ((), "--only nothing: expected a part of a name of the table, got none"),
        (("--out", "page.md"), "--out: expected a page of mistakes in their order, got --only"),
    ],
)
def test_a_name_that_there_is_not_and_a_page_of_a_part_are_refused(
    more: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "campaign", "--only", "nothing", *more]) == 2
    assert capsys.readouterr().err.strip() == f"error: {line}"
