"""The study of bad inputs: attempts are repeatable, and each way to end badly is told from a good end."""

from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from nanobragg_torch.memory import Limit
from tools.scaling.guard.outcome import GuardOutcome
from tools.scaling.studies.inputs.attempt import Attempt
from tools.scaling.studies.inputs.run import KINDS, PATIENCE, attempts, fault_of, run_attempt
from tools.scaling.studies.inputs.text import study_lines, study_markdown

REFUSAL = "nanobragg_torch: -N: expected a whole number, got 'x'\n"


def _outcome(exit_code: int | None = 2, signal: str | None = None, grown: str = "") -> GuardOutcome:
    return GuardOutcome(("python",), datetime.now(UTC), 1.0, exit_code, signal, 0, Limit(1, "host", 1), grown=grown)


def _fault(outcome: GuardOutcome, out: str = "", err: str = REFUSAL, *, late: bool = False, left: str = "") -> str:
    return fault_of(Attempt(("-N", "x")), outcome, late, out, err, {left} if left else set())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (_fault(_outcome()), ""),
        (_fault(_outcome(), err="nanobragg_torch: warning: odd\n" + REFUSAL), ""),
        (_fault(_outcome(1), err="Traceback (most recent call last):\n  x\nValueError"), "a traceback"),
        (_fault(_outcome(0)), "accepted"),
        (_fault(_outcome(), err=""), "refused without a word"),
        (_fault(_outcome(), err=REFUSAL * 2), "refused in 2 lines"),
        (_fault(_outcome(), left="floatimage.bin"), "left behind: floatimage.bin"),
        (_fault(_outcome(7)), "exit code 7 is not in the table"),
        (_fault(_outcome(None, "SIGSEGV")), "crashed with SIGSEGV"),
        (_fault(_outcome(None, "SIGKILL"), late=True), f"still running after {PATIENCE:g} s"),
        (_fault(_outcome(), err=REFUSAL + "\x1b[31m"), "refused in 2 lines"),
        (_fault(_outcome(3), err="\x1b[31m"), "control characters of the input on the terminal"),
    ],
)
def test_each_bad_end_has_its_name(fault: str, expected: str) -> None:
    assert fault == expected


def test_a_child_stopped_by_the_guard_is_a_fault() -> None:
    assert "stopped by the memory guard: grew" in _fault(_outcome(None, "SIGKILL", grown="grew"))


def test_an_answer_is_good_where_no_refusal_is_asked_for() -> None:
    assert fault_of(Attempt(("-N", "0"), refused=False), _outcome(0), False, "done", "", {"floatimage.bin"}) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_makes_the_same_attempt(kind: str, tmp_path: Path) -> None:
    made = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        attempt = KINDS[kind](Random("7 1"), folder)
        files = {p.name: p.read_bytes() if p.is_file() and p.stat().st_size < 10**7 else b"" for p in folder.iterdir()}
        made.append((tuple(word.replace(str(folder), "") for word in attempt.words), attempt.refused, files))
    assert made[0] == made[1]


def test_every_kind_has_its_turn() -> None:
    assert {kind for _, kind, _ in attempts(len(KINDS), 0)} == set(KINDS)


def test_one_attempt_is_run_in_a_clean_folder_and_told_in_one_line() -> None:
    ending = run_attempt(0, "an unknown flag", Random("0 0"))
    assert (ending.exit_code, ending.fault) == (2, "")
    assert ending.said.startswith("nanobragg_torch: ")
    assert study_lines([ending]) == ["PASS: 1 of 1 bad inputs ended as they should"]
    assert "| an unknown flag | 1 | 1 | 0 |" in study_markdown([ending], 0)
