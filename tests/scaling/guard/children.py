"""Children for the tests of the guard: how they are started, grouped, and found to be gone."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from nanobragg_torch.memory import Limit
from tools.scaling.guard import cgroup

ROOT = Path(__file__).resolve().parents[3]
MIB = 2**20
ROOMY = Limit(4096 * MIB, "--memory-limit", 4096 * MIB)
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's processes and memory")
# A child whose grandchild has left its session and lost its parent; prints both pids.
FAMILY = """
import os, sys, time
reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(writing, str(os.getpid()).encode())
        time.sleep(600)
    os._exit(0)
os.wait()
print(os.getpid(), os.read(reading, 32).decode(), flush=True)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@contextmanager
def started(argv: list[str], **streams):
    """A plain child, with its stdout to be read, killed at the end whatever a test finds."""
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, **streams) as child:
        try:
            yield child
        finally:
            child.kill()


def gone(*pids: int, within: float = 10.0) -> bool:
    """Whether every process is gone, or at least dead."""

    def alive(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + within
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(alive, pids))


@contextmanager
def memory_group(limit: int):
    """A memory cgroup below our own, with a limit; skips where it cannot be made."""
    reason = "no memory cgroup here"
    for source, parent in cgroup.folders():
        folder = parent / f"memory-guard-test-{os.getpid()}"
        name = "limit_in_bytes" if source == "cgroup v1" else "max"
        swap, none = ("memsw.limit_in_bytes", limit) if source == "cgroup v1" else ("swap.max", 0)
        try:
            folder.mkdir()
        except OSError as error:
            reason = f"{folder}: {error.strerror}"
            continue
        try:
            if not (folder / f"memory.{name}").exists():
                reason = f"{parent}: gives its children no memory controller"
                continue
            (folder / f"memory.{name}").write_text(str(limit))
            with suppress(OSError):  # no swap accounting
                (folder / f"memory.{swap}").write_text(str(none))
            yield folder
            return
        finally:
            for _ in range(100):  # busy until the last zombie is reaped
                with suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.01)
    pytest.skip(f"needs a memory cgroup that can be written: {reason}")


def entering(folder: Path, code: str) -> list[str]:
    enter = f"open({str(folder / 'cgroup.procs')!r}, 'w').write(str(__import__('os').getpid()))"
    return python(f"{enter}\nimport time; time.sleep(.2)\n{code}")
