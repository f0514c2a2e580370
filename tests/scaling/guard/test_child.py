"""Guarded children, for real: stopped, killed, orphaned, and what is said of each."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from nanobragg_torch.memory import Limit
from tests.scaling.guard.children import FAMILY, MIB, ROOMY, ROOT, entering, gone, linux, memory_group, python, started
from tools.scaling.base.errors import BadInput, Killed, MemoryStopped
from tools.scaling.guard import child as memory_guard
from tools.scaling.guard.child import Guarded, run
from tools.scaling.guard.leash import act, tree
from tools.scaling.guard.outcome import GuardVerdict

# Slow from 136 MiB on: between 70 and 80 % of 200 the guard is to look, also on a busy machine.
GROW = """
import time
blocks = []
while True:
    blocks.append(bytearray(b"x") * (8 << 20))
    print(len(blocks), flush=True)
    time.sleep(0.01 if len(blocks) < 17 else 0.2)
"""


def test_success_keeps_output_and_peak():
    outcome = run(python("block = bytearray(50 << 20); print('out'); import time; time.sleep(.1)"), limit=ROOMY)
    assert outcome.verdict is GuardVerdict.OK
    assert (outcome.exit_code, outcome.signal, outcome.error) == (0, None, None)
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"")
    assert 50 * MIB < outcome.peak_bytes < 90 * MIB
    assert outcome.seconds >= 0.1
    assert ": exit code 0; " in outcome.message


def test_exit_code_and_last_line_of_stderr():
    outcome = run(python("import sys; print('kept'); sys.exit('no\\ngood r\\u00e9sum\\u00e9')"), limit=ROOMY)
    assert outcome.verdict is GuardVerdict.FAILED
    assert (outcome.exit_code, outcome.stdout, outcome.error) == (1, b"kept\n", None)
    assert ": exit code 1: good r\\xe9sum\\xe9; " in outcome.message
    assert outcome.message.isascii()


def test_a_crash_is_the_programs_own():
    outcome = run(python("import os; os.abort()"), limit=ROOMY)
    assert outcome.verdict is GuardVerdict.FAILED
    assert (outcome.exit_code, outcome.signal) == (None, "SIGABRT")
    assert "crashed with SIGABRT" in outcome.message


def test_missing_program_and_missing_folder_are_named():
    with pytest.raises(BadInput, match=r"^no-such-program: expected a program that can be run, got: No such file"):
        run(["no-such-program"], limit=ROOMY)
    with pytest.raises(BadInput, match=r"No such file or directory: '/no/folder'"):
        run(["true"], cwd="/no/folder", limit=ROOMY)
    with pytest.raises(BadInput, match=r"^/: expected a program that can be run, got: Permission denied"):
        run(["/"], limit=ROOMY)


def test_a_leash_that_dies_before_its_program_starts_is_a_kill(monkeypatch, tmp_path):
    (tmp_path / "leash.py").write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(memory_guard.leash, "__file__", str(tmp_path / "keeper.py"))
    with pytest.raises(Killed, match=r"^true: its leash was killed from outside before it could start it$"):
        run(["true"], limit=ROOMY)


def test_more_output_than_a_pipe_holds():
    outcome = run(python("import sys; [s.write('x' * 300000) for s in (sys.stdout, sys.stderr)]"), limit=ROOMY)
    assert (len(outcome.stdout), len(outcome.stderr)) == (300000, 300000)


@linux
def test_growth_is_stopped_and_explained():
    outcome = run(python(GROW), memory_limit=200 * MIB)
    assert outcome.verdict is GuardVerdict.STOPPED_BY_GUARD
    assert outcome.signal == "SIGTERM"
    assert 160 * MIB <= outcome.peak_bytes < 230 * MIB
    assert outcome.stdout.startswith(b"1\n2\n3\n")
    assert "stopped by the memory guard: python" in outcome.message
    assert " % of 200 MiB (--memory-limit); the guard stops at 80 %" in outcome.message
    assert " 7" in outcome.warning and " % of 200 MiB" in outcome.warning
    error = outcome.error
    assert isinstance(error, MemoryStopped) and error.exit_code == 4 and str(error) == outcome.message


@linux
def test_growth_that_ignores_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr(memory_guard, "GRACE", 0.2)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    outcome = run(python(f"{deaf}\nblock = bytearray(150 << 20)\nimport time; time.sleep(600)"), memory_limit=150 * MIB)
    assert outcome.verdict is GuardVerdict.STOPPED_BY_GUARD
    assert outcome.signal == "SIGKILL"


@linux
def test_many_forked_children_are_one_tree():
    code = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        block = bytearray(20 << 20)
        time.sleep(600)
print("forked", flush=True)
time.sleep(600)
"""
    with Guarded(
        python(code), stdout=subprocess.PIPE, limit=Limit(160 * MIB, "host", 900 * MIB, 740 * MIB), group=False
    ) as child:
        outcome = child.wait(20)
    assert outcome.verdict is GuardVerdict.STOPPED_BY_GUARD
    # the eight grow side by side: how far the biggest got, the machine decides
    assert re.search(r"grew to \d+ MiB, with its process tree to 1\d\d MiB", outcome.message)
    assert "of 160 MiB (host: 900 MiB less 740 MiB that others use)" in outcome.message


@linux
def test_shared_pages_and_page_cache_stop_nobody(tmp_path):
    (tmp_path / "file").write_bytes(bytes(150 * MIB))
    code = f"""
import mmap, os, time
block = bytearray(60 << 20)
for _ in range(3):
    if os.fork() == 0:
        time.sleep(0.3)
        os._exit(0)
f = open({str(tmp_path / "file")!r}, "rb")
sum(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[::4096])
for _ in range(3):
    os.wait()
"""
    outcome = run(python(code), memory_limit=130 * MIB)
    assert outcome.verdict is GuardVerdict.OK, outcome.message


@linux
def test_a_program_about_to_start_does_not_count_as_a_second_of_its_parent(tmp_path):
    """A child of vfork is in its parent's memory until it is its own program: here it waits for a pipe before that."""
    os.mkfifo(tmp_path / "pipe")
    code = f"""
import os, subprocess
block = bytearray(b"x") * (120 << 20)
subprocess.Popen(["sh", "-c", "sleep 0.5; echo > {tmp_path / "pipe"}"])
waits = [(os.POSIX_SPAWN_OPEN, 0, {str(tmp_path / "pipe")!r}, os.O_RDONLY, 0)]
os.waitpid(os.posix_spawnp("true", ["true"], os.environ, file_actions=waits), 0)
"""
    outcome = run(python(code), limit=Limit(250 * MIB, "host", 250 * MIB))
    assert outcome.verdict is GuardVerdict.OK, outcome.message
    assert 120 * MIB < outcome.peak_bytes < 160 * MIB


def test_killed_from_outside_is_not_called_oom():
    with Guarded(["sleep", "600"], limit=ROOMY) as child:
        os.kill(child.pid, signal.SIGKILL)
        outcome = child.wait(10)
    assert outcome.verdict is GuardVerdict.KILLED
    assert "killed from outside by SIGKILL (no OOM counter of the kernel rose)" in outcome.message
    error = outcome.error
    assert isinstance(error, Killed) and error.exit_code == 5


def test_terminated_from_outside_is_named():
    with Guarded(["sleep", "600"], limit=ROOMY) as child:
        os.kill(child.pid, signal.SIGTERM)
        assert "killed from outside by SIGTERM;" in child.wait(10).message


def test_a_worker_is_talked_to_and_its_peak_taken_by_command():
    worker = """
for line in iter(input, "end"):
    block = bytearray(int(line) << 20)
    del block
    print("done", flush=True)
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    peaks = []
    with Guarded(python(worker), limit=ROOMY, **pipes) as child:
        for size in (80, 1):
            # Long enough for the memory to be seen: the same command over and over.
            deadline = time.monotonic() + 0.3
            child.take_peak()
            while time.monotonic() < deadline:
                child.stdin.write(b"%d\n" % size)
                child.stdin.flush()
                assert child.stdout.readline() == b"done\n"
            peaks.append(child.take_peak())
        child.stdin.write(b"end\n")
        child.stdin.flush()
        outcome = child.wait(10)
    assert outcome.verdict is GuardVerdict.OK
    assert peaks[0] > 40 * MIB > peaks[1] > MIB
    assert child.peak() == outcome.peak_bytes >= peaks[0]


def test_closed_stdout_reaches_the_reader_while_the_child_lives():
    with Guarded(python("import os, time; os.close(1); time.sleep(600)"), stdout=subprocess.PIPE, limit=ROOMY) as child:
        assert child.stdout.read() == b""
        with pytest.raises(TimeoutError, match=r"still running after 0.05 s"):
            child.wait(0.05)
        outcome = child.stop()
    assert "ended on request, by SIGTERM" in outcome.message


def test_what_the_program_leaves_behind_is_ended_with_it():
    outcome = run(python(FAMILY), limit=ROOMY)
    child, grandchild = map(int, outcome.stdout.split())
    assert outcome.verdict is GuardVerdict.OK
    assert gone(child, grandchild, within=0)


def family(child: Guarded) -> list[int]:
    return [int(word) for word in child.stdout.readline().split()]


def test_stop_ends_who_left_the_session():
    with Guarded(python(FAMILY + "time.sleep(600)"), stdout=subprocess.PIPE, limit=ROOMY) as child:
        pids = family(child)
        assert child.stop(grace=0).signal == "SIGKILL"
    assert gone(*pids, within=0)


@linux
def test_a_killed_leash_takes_the_tree_along():
    with Guarded(python(FAMILY + "time.sleep(600)"), stdout=subprocess.PIPE, limit=ROOMY) as child:
        pids = family(child)
        deadline = time.monotonic() + 10
        while not {*pids} <= {*child._pids} and time.monotonic() < deadline:
            time.sleep(0.01)  # who left the session before the guard saw it would be lost
        os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)
        outcome = child.wait(10)
    assert outcome.verdict is GuardVerdict.KILLED
    assert "its leash was killed from outside" in outcome.message
    assert gone(*pids, within=0)


def test_a_guard_that_cannot_read_leaves_no_child(monkeypatch):
    with pytest.raises(ZeroDivisionError), Guarded(["sleep", "600"], limit=ROOMY) as child:
        monkeypatch.setattr(memory_guard, "measure", lambda *_: 1 // 0)
        child.wait(10)
    assert gone(child.pid, within=0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_orphan_when_the_guard_dies(number):
    code = f"""
import subprocess, sys
from tools.scaling.guard.child import Guarded
child = Guarded([sys.executable, "-c", {FAMILY + "time.sleep(600)"!r}], stdout=subprocess.PIPE)
print(child.stdout.readline().decode(), end="", flush=True)
child.wait()
"""
    with started(python(code), stderr=subprocess.DEVNULL) as guard:
        pids = [int(word) for word in guard.stdout.readline().split()]
        assert len(pids) == 2 and all(map(psutil.pid_exists, pids))
        guard.send_signal(number)
        assert gone(*pids)


def test_no_orphan_when_the_guard_dies_before_it_has_heard_of_the_start():
    code = f"""
import os, socket, subprocess, sys, time
from tools.scaling.guard import leash
ours, theirs = socket.socketpair()
command = [sys.executable, "-I", "-S", leash.__file__, str(theirs.fileno()), str(os.getpid()), ""]
child = subprocess.Popen(
    command + [sys.executable, "-c", {FAMILY + "time.sleep(600)"!r}],
    stdout=subprocess.PIPE, pass_fds=[theirs.fileno()], start_new_session=True,
)
print(child.stdout.readline().decode(), end="", flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(python(code), cwd=ROOT, stdout=subprocess.PIPE)
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2 and gone(*pids)


def test_no_orphan_when_the_guards_parent_is_killed():
    guard = f"""
import subprocess, sys
from tools.scaling.guard.child import Guarded
from tools.scaling.guard.parent import die_with_parent
die_with_parent()
child = Guarded([sys.executable, "-c", {FAMILY + "time.sleep(600)"!r}], stdout=subprocess.PIPE)
print(__import__("os").getpid(), child.stdout.readline().decode(), end="", flush=True)
child.wait()
"""
    with started(python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {guard!r}])")) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 3 and not gone(pids[0], within=0.3)
        parent.kill()
        assert gone(*pids)


def test_act_alone():
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"

    def listing(child):
        return lambda: [child.pid] if child.poll() is None else []

    with started(["sleep", "600"]) as polite, started(python(deaf)) as stubborn, started(["sleep", "600"]) as hurried:
        stubborn.stdout.readline()
        assert act(listing(polite), grace=5) is False
        assert act(listing(stubborn), grace=0.05) is True
        assert act(listing(hurried), grace=0) is True
    assert (polite.returncode, stubborn.returncode, hurried.returncode) == (-15, -9, -9)


def test_act_hurries_when_told():
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    with started(python(deaf)) as child:
        child.stdout.readline()
        assert act(lambda: [child.pid] if child.poll() is None else [], grace=600, hurry=lambda: True) is True


def test_tree_lists_grandchildren():
    with started(["sh", "-c", "sleep 600 & echo $!; wait"]) as parent:
        grandchild = int(parent.stdout.readline())
        assert tree(parent.pid) == [grandchild]
        assert {parent.pid, grandchild} <= {*tree(os.getpid())}
        os.kill(grandchild, signal.SIGKILL)


@pytest.mark.cgroup
@pytest.mark.parametrize("code", [GROW, "block = bytearray(400 << 20)"], ids=["growth", "one allocation"])
def test_oom_kill_is_told_by_the_groups_own_counter(code):
    with memory_group(100 * MIB) as folder:
        outcome = run(entering(folder, "print('kept', flush=True)\n" + code), limit=ROOMY)
    assert outcome.verdict is GuardVerdict.OOM_KILLED
    assert outcome.stdout.startswith(b"kept\n")
    assert f"{folder}/memory." in outcome.message and " rose by 1" in outcome.message
    assert isinstance(outcome.error, Killed)


@pytest.mark.cgroup
def test_sigkill_in_a_group_without_oom_is_from_outside():
    with memory_group(100 * MIB) as folder:
        outcome = run(entering(folder, "import os; os.kill(os.getpid(), 9)"), limit=ROOMY)
    assert outcome.verdict is GuardVerdict.KILLED


@pytest.mark.cgroup
def test_a_killed_grandchild_is_noted():
    code = """
import os, time
if os.fork() == 0:
    block = bytearray(400 << 20)
time.sleep(2)  # its memory comes free some time after its end: who asks for a page meanwhile is killed, too
status = os.wait()[1]
print(os.waitstatus_to_exitcode(status))
"""
    with memory_group(100 * MIB) as folder:
        outcome = run(entering(folder, code), limit=ROOMY)
    assert (outcome.verdict, outcome.stdout) == (GuardVerdict.OK, b"-9\n")
    assert "the kernel killed one of its processes for want of memory: oom_kill of" in outcome.message


@pytest.mark.cgroup
def test_the_guard_is_faster_than_a_group_it_knows():
    code = f"""
from tools.scaling.guard.child import run
outcome = run([{sys.executable!r}, "-c", {GROW!r}])
print(outcome.verdict.name, outcome.limit.source, outcome.limit.total >> 20)
"""
    with memory_group(200 * MIB) as folder:
        enter = f"open({str(folder / 'cgroup.procs')!r}, 'w').write(str(__import__('os').getpid()))\n"
        done = subprocess.run(python(enter + code), cwd=ROOT, capture_output=True, text=True)
    verdict, *source, total = done.stdout.split()
    assert (verdict, total) == ("STOPPED_BY_GUARD", "200"), done.stderr
    assert source[0] == "cgroup"
