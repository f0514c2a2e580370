"""Who is who in a run of phase-m1, and hitting one of them: the processes of kills.py."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

# Fills a cgroup until the process that is the kernel's first choice there is dead; says whether it is.
HOG = """
import pathlib, sys, time
pathlib.Path(sys.argv[1], "cgroup.procs").write_text("0")
stat, held, until = pathlib.Path("/proc", sys.argv[2], "stat"), [], time.monotonic() + 20
def alive():
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
while alive() and time.monotonic() < until:
    held.append(bytearray(b"x") * (1 << 20))
sys.exit(alive())
"""


@dataclass(frozen=True)
class Kill:
    """What is done to one run: `who` gets `signal`, or memory is what ends it (limit, oom).

    who: a role; `any` or `all` of the run's processes; `terminal`, the process group that a terminal signals.
    moment: when, as a share of the time that a run takes. share: of a run's peak memory, where `limit` stops it.
    """

    number: int
    who: str
    signal: int
    moment: float
    share: float = 0.5

    @property
    def kind(self) -> str:
        return self.who if self.who in ("limit", "oom") else f"{self.who} {self.name}"

    @property
    def name(self) -> str:
        return signal.Signals(self.signal).name

    @property
    def through_nox(self) -> bool:
        return self.who in ("nox", "terminal")


@dataclass(frozen=True)
class Victim:
    """A process that was hit. hears: what it does with the signal: dies, ignores or answers (a handler of its own).

    role: nox, parent (which is the guard), git (the parent's own), keeper, leash, program (worker, git or pip), child
    (of a program). of: whose keeper, leash or child it is: worker or tool; empty for the first three.
    """

    role: str
    of: str = ""
    hears: str = "dies"

    @property
    def name(self) -> str:
        return self.of if self.role == "program" else f"{self.role} of the {self.of}" if self.of else self.role


def cast(top: int, through_nox: bool) -> list[tuple[psutil.Process, Victim]]:
    """Every process of the run below (or at) `top`; what has not become its program yet is left out."""
    found: list[tuple[psutil.Process, Victim]] = []
    with suppress(psutil.Error):
        parent = psutil.Process(top)
        if through_nox:
            found.append((parent, Victim("nox")))
            runs = [each for each in parent.children() if "phase-m1" in _words(each) and "nox" not in _words(each)]
            if not runs:
                return found
            parent = runs[0]
        found.append((parent, Victim("parent")))
        for first in parent.children():
            words = _words(first)
            if _leashed(words):
                found += _held(first, "worker" if words[-1] == "worker" else "tool")
            elif words[:1] == ["git"]:
                found.append((first, Victim("git")))
    return found


def _held(keeper: psutil.Process, of: str) -> Iterator[tuple[psutil.Process, Victim]]:
    yield keeper, Victim("keeper", of)
    for leash in keeper.children():
        yield leash, Victim("leash", of)
        for program in leash.children():
            if not _leashed(_words(program)):
                yield program, Victim("program", of)
                yield from ((each, Victim("child", of)) for each in program.children(recursive=True))


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _leashed(words: list[str]) -> bool:
    return any(word.endswith("leash.py") for word in words)


def hears(pid: int, number: int) -> str:
    """What the process does with the signal, by its masks in /proc."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, mask = line.partition(":\t")
            if name in ("SigBlk", "SigIgn", "SigCgt") and int(mask, 16) >> (number - 1) & 1:
                return "answers" if name == "SigCgt" else "ignores"
    return "dies"


def strike(process: "subprocess.Popen[bytes]", kill: Kill, group: Path | None) -> list[Victim]:
    """Do it as soon as there is somebody to do it to; returns who was hit, nobody where the run was over."""
    deadline = time.monotonic() + 5
    while process.poll() is None and time.monotonic() < deadline:
        present = cast(process.pid, kill.through_nox)
        if hit := _starve(present, kill, group) if group is not None else _signal(present, kill):
            return hit
        time.sleep(0.005)
    return []


def _signal(present: list[tuple[psutil.Process, Victim]], kill: Kill) -> list[Victim]:
    """Send the signal to whom it is meant for."""
    if kill.who == "terminal":
        wanted = [pair for pair in present if pair[1].role in ("nox", "parent")]
        wanted = wanted if len(wanted) == 2 else []
    elif kill.who == "any":
        wanted = [random.Random(kill.number).choice(present)] if present else []
    else:
        names = (kill.who, "all")
        wanted = [pair for pair in present if pair[1].role in names or pair[1].of in names or kill.who == "all"]
        if kill.who in ("worker", "tool"):
            wanted = [pair for pair in wanted if pair[1].role == "program"]
    hit = []
    for each, victim in wanted:
        with suppress(psutil.Error):
            how = hears(each.pid, kill.signal)
            if each.status() != psutil.STATUS_ZOMBIE:
                each.send_signal(kill.signal)
                hit.append(Victim(victim.role, victim.of, how))
    return hit


def _starve(present: list[tuple[psutil.Process, Victim]], kill: Kill, group: Path) -> list[Victim]:
    """Let the memory of `group` run out, with the parent or the worker as the kernel's first choice."""
    wanted = random.Random(kill.number).choice((Victim("parent"), Victim("program", "worker")))
    for each, victim in present:
        if victim == wanted:
            with suppress(OSError):
                Path(f"/proc/{each.pid}/oom_score_adj").write_text("1000")
                argv = [sys.executable, "-c", HOG, str(group), str(each.pid)]
                done = subprocess.run(argv, check=False, timeout=60, stderr=subprocess.DEVNULL)
                return [victim] if done.returncode == 0 else []
    return []
