"""Ledger entries: once a timestamp, nothing else touched."""

import pytest

from tools.scaling.errors import BadInput
from tools.scaling.evidence.ledger import ATTEMPTS, Entry, with_attempt, with_plan_row

ENTRY = Entry("20261123T120000Z", "reports/x/20261123T120000Z", "PASS", {"Commit": "abc", "Case": "supervisor"})
LATER = Entry("20261123T130000Z", "reports/x/20261123T130000Z", "DIVERGENT", {"Commit": "def"})
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
