"""Runs that are interrupted or killed: the evidence is kept, the verdict is right, nothing is left running."""

import os
import re
import runpy
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tools.scaling.base.errors import BadInput, Killed
from tools.scaling.base.interruption import SIGNALS, interruptible
from tools.scaling.base.repo import ROOT
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.procedure import phase
from tools.scaling.procedure.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (signal.SIG_IGN, signal.default_int_handler),  # a suite in the background
        (signal.SIG_DFL, signal.SIG_DFL),  # the worker, that runs the mapped tests in its own process
    ],
)
def test_the_mapped_tests_do_not_make_the_worker_survive_a_sigint(found, left):
    before = signal.signal(signal.SIGINT, found)
    try:
        runpy.run_path(str(ROOT / "tests/conftest.py"))
        assert signal.getsignal(signal.SIGINT) is left
    finally:
        signal.signal(signal.SIGINT, before)


class Started:
    """A phase-m1 under way in a checkout."""

    def __init__(self, checkout, *arguments, through=()):
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NOX_CURRENT_SESSION")}
        env |= {"PYTHONPATH": str(checkout.root / "src"), "OMP_NUM_THREADS": "1"}
        argv = [*through, sys.executable, "-m", "tools.scaling", "phase-m1", *arguments]
        self.checkout = checkout
        self.process = subprocess.Popen(
            argv, cwd=checkout.root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def until(self, line):
        """Read on until the run prints `line`."""
        for printed in self.process.stdout:
            if line in printed:
                return
        raise AssertionError(f"the run ended before it printed {line!r}")

    def descendants(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def worker(self):
        """The torch child, once it is there."""
        for _ in range(500):
            for process in self.descendants():
                command = process.cmdline()
                if command[-1:] == ["worker"] and "leash.py" not in " ".join(command):
                    return process
            time.sleep(0.01)
        raise AssertionError("no worker started")

    def end(self):
        rest = self.process.communicate(timeout=60)[0]
        return self.process.returncode, rest.strip().splitlines()[-1] if rest.strip() else ""


def raising(number):
    """A stand-in that is interrupted."""
    return lambda *_: signal.raise_signal(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_blocked_evidence_is_written_whole_whoever_interrupts_it(monkeypatch, tmp_path, number):
    def fail(*_):
        raise BadInput("no reference")

    monkeypatch.setattr(phase, "new_bundle", fail)
    monkeypatch.setattr(phase, "_block", raising(number))
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(phase.Blocked, match=r"^BLOCKED provenance: no reference \(exit 2\)$"):
        phase.phase_m1(Settings(), tmp_path, print)
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_a_run_that_is_over_cannot_be_interrupted(monkeypatch, tmp_path):
    """All is staged: a signal then must not make it look as if something was missing."""
    bundle = Bundle(tmp_path)
    monkeypatch.setattr(phase, "new_bundle", lambda run, *_: setattr(run, "bundle", bundle))
    monkeypatch.setattr(phase, "STEPS", phase.STEPS[:1])
    monkeypatch.setattr(phase, "run_step", lambda *_: None)
    monkeypatch.setattr(phase.ProcedureRun, "stop_worker", raising(signal.SIGTERM))
    assert phase.phase_m1(Settings(), tmp_path, lambda _: None) == bundle


def test_a_signal_that_was_ignored_stays_so():
    """nohup nox -s phase_m1 & - and the terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(Killed, match=r"^interrupted by SIGINT$"):
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def gone(processes, seconds=10.0):
    return not psutil.wait_procs(processes, timeout=seconds)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_seals_what_it_has(checkout, number):
    run = Started(checkout)
    run.until("harness_traces")
    run.worker()
    left = run.descendants()
    run.process.send_signal(number)
    run.process.send_signal(number)  # an impatient user
    code, last = run.end()
    assert code == 5
    assert last.startswith(f"BLOCKED harness_traces: interrupted by {number.name} (exit 5); evidence: reports/")
    (bundle,) = checkout.bundles()
    assert checkout.tool("verify", str(bundle)).code == 0
    assert f"interrupted by {number.name}" in (bundle / "instrumentation_audit.md").read_text()
    assert re.search(r"step harness_traces  exit 5 .*\n\$ .*harness", (bundle / "commands.txt").read_text())
    assert gone(left)


def test_a_worker_killed_from_outside_is_not_called_out_of_memory(checkout):
    run = Started(checkout, "--on-blocked", "echo paged")
    run.until("harness_traces")
    run.worker().kill()
    code, last = run.end()
    assert code == 5
    assert "killed from outside by SIGKILL (no OOM counter of the kernel rose)" in last
    (bundle,) = checkout.bundles()
    assert checkout.tool("verify", str(bundle)).code == 0


def test_a_worker_interrupted_while_it_starts_is_killed_not_failed(checkout):
    """Python itself would end with exit code 1, which is no kill."""
    run = Started(checkout)
    run.until("harness_traces")
    run.worker().send_signal(signal.SIGINT)
    code, last = run.end()
    assert (code, "killed from outside by SIGINT" in last) == (5, True), last


def test_a_run_that_outgrows_its_limit_is_stopped_and_says_what_grew(checkout):
    done = checkout.tool("phase-m1", "--memory-limit", "100", "--on-blocked", "echo paged")
    assert done.code == 4
    assert re.search(r"stopped by the memory guard: python\S* \(pid \d+\) grew to \d+ MiB, \d+ % of 100 MiB", done.last)
    (bundle,) = checkout.bundles()
    assert f"paged {bundle.relative_to(checkout.root)}" in done.out
    assert "exit 4" in (bundle / "commands.txt").read_text()
    assert checkout.tool("verify", str(bundle)).code == 0


def test_nothing_outlives_a_run_that_is_killed(checkout):
    run = Started(checkout)
    run.until("harness_traces")
    run.worker()
    left = run.descendants()
    assert left
    run.process.kill()
    assert gone(left)


def test_a_run_whose_nox_is_killed_blocks_itself(checkout):
    """nox, killed, leaves its children running: the run notices by itself."""
    fake_nox = "import os, subprocess, sys;os.environ['NOX_CURRENT_SESSION'] = 'phase_m1';subprocess.run(sys.argv[1:])"
    run = Started(checkout, through=[sys.executable, "-c", fake_nox])
    run.until("harness_traces")
    run.worker()
    left = run.descendants()
    run.process.kill()
    assert gone(left)
    (bundle,) = checkout.bundles()
    assert "interrupted by SIGTERM" in (bundle / "instrumentation_audit.md").read_text()
    assert checkout.tool("verify", str(bundle)).code == 0
