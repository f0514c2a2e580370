"""The processes of a run of phase-m1: which part each of them plays, and how one of them is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tools.scaling.guard.leash import processes, tree

# Fills a cgroup until the process that is the kernel's first choice there is dead.
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
"""


@dataclass(frozen=True)
class Kill:
    """One way to end a run: a signal to some of its processes, or too little memory.

    who: whom the signal is sent to: a role of `Victim` (of several processes that have it, one is drawn), `worker` or
    `tool` (the program of that name), `any` or `all` of the run's processes, or `terminal`: nox and the parent, as a
    terminal does. `limit` and `oom` end the run by memory, without the signal: `limit` gives it --memory-limit, `oom`
    fills its cgroup. moment: when, as a share (0 to 1) of the time that a run takes. share: the memory at which
    `limit` stops the run, as a share of a run's peak.
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
    """The part that one process plays in a run, and what it does with a signal.

    role: `nox`; `parent`, the run itself, which is also the memory guard; `git`, started by the parent without a guard;
    and of each guarded command the `keeper`, the `leash`, the `program` and each `child` that the program started.
    of: which guarded command a keeper, leash, program or child belongs to: `worker`, or `tool` for git and pip; empty
    for the other roles. hears: what the process does with the signal: `dies`, `ignores` it, `answers` (by a handler of
    its own) or `holds` (it blocks the signal: a worker until it has started, a worker's keeper and leash for ever).
    """

    role: str
    of: str = ""
    hears: str = "dies"

    @property
    def name(self) -> str:
        return self.of if self.role == "program" else f"{self.role} of the {self.of}" if self.of else self.role


def cast(top: int, through_nox: bool) -> list[tuple[int, Victim]]:
    """Return (pid, part) of every process of a run that lives now, outermost first.

    top: the pid of what was started: nox where `through_nox`, else the run itself. A process that has been forked for
    a program and does not run it yet plays no part, and is left out.
    """
    below: dict[int, list[int]] = {}
    for pid, (above, _) in processes().items():
        below.setdefault(above, []).append(pid)
    parts: list[tuple[int, Victim]] = []
    if through_nox:
        parts.append((top, Victim("nox")))
        runs = [pid for pid in below.get(top, []) if "phase-m1" in _words(pid) and "nox" not in _words(pid)]
        if not runs:
            return parts
        top = runs[0]
    parts.append((top, Victim("parent")))
    for first in below.get(top, []):
        words = _words(first)
        if _leashed(words):
            parts += _held(first, "worker" if words[-1] == "worker" else "tool", below)
        elif words[:1] == ["git"]:
            parts.append((first, Victim("git")))
    return parts


def _held(keeper: int, of: str, below: Mapping[int, list[int]]) -> Iterator[tuple[int, Victim]]:
    yield keeper, Victim("keeper", of)
    for leash in below.get(keeper, []):
        yield leash, Victim("leash", of)
        for program in below.get(leash, []):
            if not _leashed(_words(program)):
                yield program, Victim("program", of)
                yield from ((pid, Victim("child", of)) for pid in tree(program))


def _words(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    return []


def _leashed(words: list[str]) -> bool:
    return any(word.endswith("leash.py") for word in words)


def hears(pid: int, number: int) -> str:
    """Return what the process does with signal `number`, a word of `Victim.hears`, read off its masks in /proc."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, mask = line.partition(":\t")
            if name in ("SigIgn", "SigCgt") and int(mask, 16) >> (number - 1) & 1:
                return "answers" if name == "SigCgt" else "ignores"
            if name == "SigBlk" and int(mask, 16) >> (number - 1) & 1:
                return "holds"
    return "dies"


def strike(
    process: "subprocess.Popen[bytes]", kill: Kill, group: Path | None, look: Callable[[], None]
) -> list[Victim]:
    """Carry out `kill` on the run of `process` as soon as one of those whom it is meant for lives.

    group: the memory cgroup to fill for an `oom` kill, else None. look: called right before each try. Returns the
    processes that were hit: none if the run was over first.
    """
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        look()
        present = cast(process.pid, kill.through_nox)
        if hit := _starve(present, kill, group) if group is not None else _signal(present, kill):
            return hit
        time.sleep(0.001)
    return []


def _signal(present: list[tuple[int, Victim]], kill: Kill) -> list[Victim]:
    """Send the signal of `kill` to those of `present` whom it is meant for; return those who got it."""
    if kill.who == "terminal":
        wanted = [pair for pair in present if pair[1].role in ("nox", "parent")]
        wanted = wanted if len(wanted) == 2 else []
    elif kill.who == "all":
        wanted = present
    else:
        fitting = [pair for pair in present if kill.who in ("any", pair[1].role) or _is(pair[1], kill.who)]
        wanted = [random.Random(kill.number).choice(fitting)] if fitting else []
    hit = []
    for each, victim in wanted:
        how = hears(each, kill.signal)
        if each in processes():  # which leaves out who is dead and waits to be reaped
            with suppress(ProcessLookupError):
                os.kill(each, kill.signal)
                hit.append(Victim(victim.role, victim.of, how))
    return hit


def _is(victim: Victim, name: str) -> bool:
    """Return whether `victim` is the program of the guarded command `name`: worker or tool."""
    return victim.role == "program" and victim.of == name


def _starve(present: list[tuple[int, Victim]], kill: Kill, group: Path) -> list[Victim]:
    """Let the memory of `group` run out, with the parent or the worker as the kernel's first choice.

    Returns that process if the kernel has killed it; nothing if it lives, or was not there.
    """
    wanted = random.Random(kill.number).choice((Victim("parent"), Victim("program", "worker")))
    for each, victim in present:
        if victim == wanted:
            with suppress(OSError), _stopped(each):
                Path(f"/proc/{each}/oom_score_adj").write_text("1000")
                argv = [sys.executable, "-c", HOG, str(group), str(each)]
                subprocess.run(argv, check=False, timeout=60, stderr=subprocess.DEVNULL)
                return [] if each in processes() else [victim]  # the kernel may choose the hog first
    return []


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """Keep the process stopped within, so that no child inherits its oom_score_adj and is chosen beside it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TtZX":
            time.sleep(0.001)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
