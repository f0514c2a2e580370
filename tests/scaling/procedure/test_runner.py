"""The runner: what a command did is recorded and said, whatever it did."""

import re
import sys

import pytest

from tools.scaling.bundle.bundle import create
from tools.scaling.procedure.runner import ProcedureRun, StepFailed
from tools.scaling.procedure.settings import Settings

# A child that holds this many bytes for a while; the interpreter itself takes some 8 MiB.
HOLD = "import time; held = bytearray({}); held[::4096] = bytes(len(held[::4096])) ; time.sleep(0.5)"


@pytest.fixture
def bundle(tmp_path):
    return create(tmp_path / "reports")


def test_a_command_near_its_memory_limit_is_warned_of_once_and_goes_on(bundle):
    said = []
    with ProcedureRun(Settings(memory_limit=200 * 2**20), said.append, bundle, "env_snapshot") as run:
        record = run.external([sys.executable, "-c", HOLD.format(140 * 2**20)])
    assert record.exit_code == 0
    (warning,) = said
    assert re.search(r"memory warning: python\S* \(pid \d+\) grew to 1\d\d MiB, 7\d % of 200 MiB", warning)
    assert warning.strip() in bundle.path("commands.txt").read_text()


def test_a_command_that_fails_halts_with_its_last_words(bundle):
    program = "import sys; print('half done'); sys.exit('expected a matrix, got soup')"
    with (
        ProcedureRun(Settings(), print, bundle, "ledger") as run,
        pytest.raises(StepFailed, match="got soup") as failed,
    ):
        run.external([sys.executable, "-c", program], shown="soup")
    assert failed.value.exit_code == 1
    text = bundle.path("commands.txt").read_text()
    assert "step ledger  exit 1" in text
    assert "$ soup\n    stdout| half done\n    stderr| expected a matrix, got soup\n" in text


def test_a_command_that_may_fail_is_recorded_and_passed_over(bundle):
    with ProcedureRun(Settings(), print, bundle, "provenance") as run:
        assert run.external([sys.executable, "-c", "raise SystemExit(3)"], may_fail=True).exit_code == 3
    assert "step provenance  exit 3" in bundle.path("commands.txt").read_text()


def test_a_defect_in_a_subcommand_fails_it_and_leaves_the_worker_alive(bundle):
    with ProcedureRun(Settings(), print, bundle, "comparison") as run:
        with pytest.raises(StepFailed, match="no-such-command"):
            run.scaling("no-such-command")
        assert run.scaling("compare", "--help").exit_code == 0


def test_the_pipes_of_a_worker_that_died_are_closed(bundle):
    """An open one with a request in it would be flushed when it is forgotten: Python 3.13 prints that this failed."""
    with ProcedureRun(Settings(), print, bundle, "comparison") as run:
        run.scaling("compare", "--help")
        worker = run._worker
        worker.stop()
        worker.stdin.write(b"a request that nobody will read\n")
        with pytest.raises(StepFailed):
            run.scaling("compare", "--help")
        assert worker.stdin.closed and worker.stdout.closed
        assert run.scaling("compare", "--help").exit_code == 0  # another worker
