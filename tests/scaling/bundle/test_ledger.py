"""Ledger entries: once a timestamp, nothing else touched."""

import re
import subprocess
import sys

import pytest

from tools.scaling.base import repo
from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import ROOT
from tools.scaling.bundle import ledger
from tools.scaling.bundle.ledger import ATTEMPTS, LedgerEntry, with_attempt, with_plan_row

ENTRY = LedgerEntry("20261123T120000Z", "reports/x/20261123T120000Z", "PASS", {"Commit": "abc", "Case": "supervisor"})
LATER = LedgerEntry("20261123T130000Z", "reports/x/20261123T130000Z", "DIVERGENT", {"Commit": "def"})
PLAN = "# Plan\n\n| id | task | state | last run | evidence |\n|---|---|---|---|---|\n| M1 | prove it | - | - | - |\n\nEnd\n"  # noqa: E501
FIX = f"# Fix plan\n\n{ATTEMPTS}\n"


def test_the_plan_row_tells_of_the_newest_run_and_keeps_its_task():
    once = with_plan_row(PLAN, ENTRY)
    assert "| M1 | prove it | PASS | 20261123T120000Z | `reports/x/20261123T120000Z` |\n\nEnd\n" in once
    assert with_plan_row(once, ENTRY) == once
    assert with_plan_row(once, LATER).count("| M1 |") == 1
    assert "DIVERGENT | 20261123T130000Z" in with_plan_row(once, LATER)


def test_attempts_are_numbered_and_written_once():
    once = with_attempt(FIX, ENTRY)
    assert once.endswith("\n### Attempt 1 - 20261123T120000Z: PASS\n\n- Commit: abc\n- Case: supervisor\n")
    assert with_attempt(once, ENTRY) == once
    twice = with_attempt(once, LATER)
    assert twice.startswith(once)
    assert "### Attempt 2 - 20261123T130000Z: DIVERGENT" in twice
    assert with_attempt(twice, ENTRY) == twice


@pytest.mark.parametrize(
    ("add", "text", "message"),
    [
        (with_plan_row, "# Plan\n", r"plan.md: expected a table row that begins with '\| M1 \|', got none"),
        (with_attempt, "# Fix plan\n", "fix_plan.md: expected the line '<!-- attempts"),
    ],
)
def test_a_ledger_without_its_place_is_refused(add, text, message):
    with pytest.raises(BadInput, match=message):
        add(text, ENTRY)


def test_an_attempt_goes_where_its_number_belongs():
    later = with_attempt(FIX, LATER, 2)
    assert later.count("### Attempt 2 - 20261123T130000Z: DIVERGENT") == 1
    both = with_attempt(later, ENTRY, 1)
    assert both == with_attempt(with_attempt(FIX, ENTRY), LATER)


WRITE = """
import sys
from pathlib import Path
from tools.scaling.bundle import ledger
from tools.scaling.base import repo
ledger.ROOT = Path(sys.argv[1])
ledger.git = lambda *words, **options: repo.git(*words, cwd=ledger.ROOT, **options)
print("ready", flush=True)
sys.stdin.readline()
entry = ledger.LedgerEntry(sys.argv[2], f"reports/{sys.argv[2]}", "PASS", {"Commit": "abc"})
ledger.write(entry)
repo.with_index(lambda: ledger.stage(entry), lambda line: None)
"""


@pytest.mark.slow
def test_runs_at_the_same_time_lose_no_attempt(tmp_path):
    for name, text in ((ledger.PLAN, PLAN), (ledger.FIX_PLAN, FIX)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    stamps = [f"20261123T12{n:02}00Z" for n in range(24)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path), stamp], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for stamp in stamps
    ]
    for child in started:
        assert child.stdout.readline() == b"ready\n"
    for child in started:
        child.stdin.write(b"\n")
        child.stdin.flush()
    assert [child.wait() for child in started] == [0] * len(stamps)
    text = (tmp_path / ledger.FIX_PLAN).read_text()
    found = re.findall(r"^### Attempt (\d+) - (\S+): PASS$", text, flags=re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(1, 25))
    assert sorted(stamp for _, stamp in found) == stamps
    staged = subprocess.run(["git", "show", f":{ledger.FIX_PLAN}"], cwd=tmp_path, capture_output=True, text=True)
    assert staged.stdout == text


def test_an_index_that_is_held_is_waited_for_and_said(monkeypatch):
    answers = [BadInput("git add: Unable to create '.git/index.lock': File exists."), None]
    said = []

    def work():
        answer = answers.pop(0)
        if answer:
            raise answer

    repo.with_index(work, said.append)
    assert (answers, said) == ([], ["    another process holds git's index: waiting for it, 30 s at most"])
    monkeypatch.setattr(repo, "PATIENCE", 0.0)
    answers[:] = [BadInput("git add: Unable to create '.git/index.lock': File exists.")] * 9
    with pytest.raises(BadInput, match=r"index\.lock.*held after 0 s; if no git is running here, remove that file"):
        repo.with_index(work, said.append)
