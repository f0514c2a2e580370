"""Guarded children in a memory cgroup of their own, and who ends what when guard, leash and keeper are killed."""

import os
import signal
import subprocess
import time

import psutil
import pytest

from nanobragg_torch.memory import Limit
from tests.scaling.guard.children import FAMILY, MIB, ROOMY, entering, gone, linux, memory_group, python, started
from tools.scaling.base.errors import Killed
from tools.scaling.guard import cgroup
from tools.scaling.guard import child as memory_guard
from tools.scaling.guard.child import Guarded, run
from tools.scaling.guard.outcome import GuardVerdict

TIGHT = Limit(100 * MIB, "host", 100 * MIB)  # a group of its own gets just these
HUNGRY = {
    "fast growth": "blocks = []\nwhile True: blocks.append(bytearray(b'x') * (1 << 20))",
    "one huge allocation": "block = bytearray(1 << 30)",
    "many forked children": """
import os
for _ in range(12):
    if os.fork() == 0:
        block = bytearray(30 << 20)
        __import__("time").sleep(600)
print(sum(os.waitstatus_to_exitcode(os.wait()[1]) == -9 for _ in range(12)))
""",
    "a grandchild": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        block = bytearray(400 << 20)
    time.sleep(2)  # its memory comes free some time after its end: who asks for a page meanwhile is killed, too
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]) & 15)
time.sleep(2)
print("survived", os.waitstatus_to_exitcode(os.wait()[1]))
""",
}


@pytest.fixture
def own_group():
    """The folder where groups of our own are made; skips where none can be. Leaves none behind."""
    group = cgroup.make_group(TIGHT.bytes)
    if group is None:
        pytest.skip("needs a memory cgroup that can be written: none can be made below ours")
    parent = group.folder.parent
    assert group.remove()
    yield parent
    deadline = time.monotonic() + 5
    while of_this_process(parent.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert of_this_process(parent.iterdir()) == []


def of_this_process(folders):
    """The groups that guards in this process made: other runs, beside the tests, have theirs in the same place."""
    return [folder for folder in folders if folder.match(f"scaling-guard-*-{os.getpid()}-*-*")]


@pytest.mark.cgroup
@pytest.mark.parametrize("kind", ["fast growth", "one huge allocation"])
def test_what_the_guard_misses_is_told_by_its_own_group(own_group, monkeypatch, kind):
    monkeypatch.setattr(memory_guard, "decide", lambda *_: memory_guard.Action.OK)
    outcome = run(python("print('kept', flush=True)\n" + HUNGRY[kind]), limit=TIGHT)
    assert outcome.verdict is GuardVerdict.OOM_KILLED
    assert outcome.stdout == b"kept\n"
    assert "for want of memory: oom_kill of its own cgroup v" in outcome.message
    assert isinstance(outcome.error, Killed)


@pytest.mark.cgroup
def test_a_grandchild_that_its_own_group_kills_is_noted(own_group, monkeypatch):
    monkeypatch.setattr(memory_guard, "decide", lambda *_: memory_guard.Action.OK)
    outcome = run(python(HUNGRY["a grandchild"]), limit=TIGHT)
    assert (outcome.verdict, outcome.stdout) == (GuardVerdict.OK, b"survived 7\n")  # -9 & 15
    assert "the kernel killed one of its processes for want of memory: oom_kill of its own" in outcome.message


@pytest.mark.cgroup
@pytest.mark.parametrize("kind", HUNGRY)
def test_whoever_is_faster_the_verdict_says_who(own_group, kind):
    outcome = run(python("print('kept', flush=True)\n" + HUNGRY[kind]), limit=TIGHT)
    assert outcome.stdout.startswith(b"kept\n")
    if outcome.verdict is GuardVerdict.STOPPED_BY_GUARD:
        assert f" % of {TIGHT}; the guard stops at 80 %" in outcome.message
    else:  # only a kill that the kernel counted can end it otherwise
        assert "oom_kill of its own cgroup v" in outcome.message
        assert outcome.verdict in (GuardVerdict.OOM_KILLED, GuardVerdict.OK)


@pytest.mark.cgroup
def test_somebody_elses_oom_kill_is_not_ours(own_group):
    """The cgroup that holds both of us counts it; our own group does not."""
    with memory_group(60 * MIB) as folder, Guarded(["sleep", "600"], limit=ROOMY) as child:
        with started(entering(folder, "block = bytearray(400 << 20)")) as other:
            assert other.wait(20) == -signal.SIGKILL
        os.kill(child.pid, signal.SIGKILL)
        outcome = child.wait(10)
    assert outcome.verdict is GuardVerdict.KILLED
    assert "killed from outside by SIGKILL (no OOM counter of the kernel rose)" in outcome.message


def holders(program: int) -> tuple[int, int]:
    """The leash of `program` and its keeper."""
    leash = psutil.Process(program).parent()
    return leash.pid, leash.ppid()


GUARD = f"""
import subprocess, sys
from tools.scaling.guard.child import Guarded
child = Guarded([sys.executable, "-c", {FAMILY + "time.sleep(600)"!r}], stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline().decode(), end="", flush=True)
child.wait()
"""


@linux
@pytest.mark.parametrize("who", ["guard", "leash", "keeper", "guard leash", "guard keeper"])
def test_nothing_is_left_whoever_of_the_three_is_killed(who):
    with started(python(GUARD), stderr=subprocess.DEVNULL) as guard:
        program, child, grandchild = map(int, guard.stdout.readline().split())
        leash, keeper = holders(program)
        pids = {"guard": guard.pid, "leash": leash, "keeper": keeper}
        for name in who.split():
            os.kill(pids[name], signal.SIGKILL)
        assert gone(program, child, grandchild, leash, keeper)


@linux
def test_a_killed_keeper_is_named():
    with Guarded(["sleep", "600"], limit=ROOMY) as child:
        os.kill(holders(child.pid)[1], signal.SIGKILL)
        outcome = child.wait(10)
    assert outcome.verdict is GuardVerdict.KILLED
    assert "its leash was killed from outside" in outcome.message


@pytest.mark.cgroup
@pytest.mark.parametrize("who", ["guard", "guard leash keeper"])
def test_the_group_of_a_dead_run_is_emptied_and_removed(own_group, who):
    """By the keeper; and where that is dead, too, by the next run."""
    with started(python(GUARD), stderr=subprocess.DEVNULL) as guard:
        program, child, grandchild = map(int, guard.stdout.readline().split())
        (folder,) = own_group.glob(f"scaling-guard-*-{guard.pid}-*")
        inner = folder / folder.name  # what a run within this one left
        inner.mkdir()
        pids = cgroup.Cgroup("", folder).pids()
        assert {program, child, grandchild} <= {*pids}
        leash, keeper = holders(program)
        for pid in [guard.pid] if who == "guard" else [guard.pid, keeper, leash]:
            os.kill(pid, signal.SIGKILL)
        guard.wait()
        if who != "guard":  # a run beside the tests may be the next one before we are
            cgroup.sweep(own_group)
        assert gone(program, child, grandchild)
        deadline = time.monotonic() + 5
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not folder.exists()


@pytest.mark.cgroup
def test_the_group_of_a_living_run_is_left_alone(own_group):
    with Guarded(["sleep", "600"], limit=ROOMY) as child:
        (folder,) = of_this_process(own_group.iterdir())
        assert folder not in cgroup.sweep(own_group)
        assert child.pid in cgroup.Cgroup("", folder).pids()
        assert not gone(child.pid, within=0)


@linux
def test_a_group_that_cannot_be_entered_is_done_without(monkeypatch, tmp_path):
    monkeypatch.setattr(memory_guard, "make_group", lambda _: cgroup.Cgroup("cgroup v1", tmp_path / "none"))
    outcome = run(["true"], limit=ROOMY)
    assert (outcome.verdict, outcome.exit_code) == (GuardVerdict.OK, 0)
