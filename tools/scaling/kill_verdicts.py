"""What a killed run must say, and whether its bundle holds: the judgement of kills.py."""

import json
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.scaling.evidence.bundle import COMMANDS, Bundle
from tools.scaling.evidence.memory import STOP_PERCENT
from tools.scaling.phase import AUDIT

FIRST_OF_WORKER = "] harness_traces:"
LAST_OF_WORKER = "] ledger:"  # from this line on, the worker has nothing to do


@dataclass(frozen=True)
class Kill:
    """What is done to one run: `who` gets `signal`, or memory is what ends it (limit, oom).

    moment: when, as a share of the time that a run takes.
    """

    number: int
    who: str
    signal: int
    moment: float
    limit_mib: int = 0

    @property
    def kind(self) -> str:
        return self.who if self.who in ("limit", "oom") else f"{self.who} {signal.Signals(self.signal).name}"


@dataclass
class Ending:
    """What became of a run. code: its exit code, negative for a signal. printed: before the kill. victim: hit."""

    kill: Kill
    seconds: float = 0.0
    code: int = 0
    last: str = ""
    printed: str = ""
    victim: str = "nobody"
    bundle: str = "none"
    wrong: list[str] = field(default_factory=list)


def judge(ending: Ending, made: Sequence[Path]) -> None:
    """Add to `ending.wrong` what is not as it must be. made: the run's bundles."""
    if len(made) > 1:
        ending.wrong.append(f"{len(made)} bundles")
    if not expected(ending)(ending):
        ending.wrong.append(f"exit {ending.code}, {ending.last!r} after {ending.kill.kind} hit {ending.victim}")
    for folder in made:
        bundle = Bundle(folder)
        ending.bundle = "sealed" if bundle.sealed else "open"
        ending.wrong += [str(problem) for problem in (bundle.problems() if bundle.sealed else [])]
        ending.wrong += _torn(folder)
        if not bundle.sealed and ending.code >= 0:
            ending.wrong.append("the bundle is not sealed")
        if bundle.sealed and ending.code > 0 and not (folder / AUDIT).exists():
            ending.wrong.append(f"no {AUDIT}")


def _torn(folder: Path) -> list[str]:
    """Files of a bundle that are half-written."""
    found = [f"temporary file {path.name}" for path in folder.rglob(".*")]
    for path in folder.rglob("*.json"):
        try:
            json.loads(path.read_text(encoding="ascii"))
        except ValueError as error:
            found.append(f"{path.name}: {error}")
    log = folder / COMMANDS
    if log.exists():
        text = log.read_text(encoding="ascii")
        numbers = [int(n) for n in re.findall(r"^\[(\d{3,})\] ", text, flags=re.MULTILINE)]
        if numbers != [*range(1, len(numbers) + 1)] or not text.endswith("\n\n"):
            found.append(f"{COMMANDS} is not whole")
    return found


def expected(ending: Ending) -> Callable[[Ending], bool]:
    """What a run may say after this kill."""
    kill, name = ending.kill, signal.Signals(ending.kill.signal).name
    worker_done = LAST_OF_WORKER in ending.printed
    brief = worker_done or FIRST_OF_WORKER not in ending.printed  # a git that may end well at that very moment

    def passed(e: Ending) -> bool:
        return e.code == 0 and e.last.startswith("PASS: ")

    def blocked(e: Ending, code: int, *why: str) -> bool:
        return e.code == code and e.last.startswith("BLOCKED ") and any(words in e.last for words in why)

    def interrupted(e: Ending) -> bool:
        # before and after the run itself Python's own answer to the signal is all there is
        outside = not e.printed or "PASS: " in e.printed or "staged " in e.printed
        default = e.code in (-kill.signal, 130, 1) and (outside or kill.signal == signal.SIGKILL)
        return default or blocked(e, 5, f"interrupted by {name}") or (passed(e) and outside)

    def dead(e: Ending) -> bool:
        return e.code == -signal.SIGKILL

    if ending.victim == "nobody" and kill.who != "limit":
        return passed
    if kill.who == "limit":
        stopped = "stopped by the memory guard: "
        return lambda e: passed(e) or (blocked(e, 4, stopped) and f"the guard stops at {STOP_PERCENT} %" in e.last)
    if kill.who == "oom":
        told = "killed by the kernel for want of memory: oom_kill of its own cgroup"
        return dead if ending.victim == "parent" else lambda e: blocked(e, 5, told) or (worker_done and passed(e))
    if kill.who == "parent" or ending.victim == "parent":
        return dead if kill.signal == signal.SIGKILL else interrupted
    if kill.who == "all":
        return dead if kill.signal == signal.SIGKILL else lambda e: interrupted(e) or blocked(e, 5, "killed from")
    lost = "its leash was killed from outside"
    if "keeper" in (kill.who, ending.victim) and kill.signal != signal.SIGKILL:  # once started it hears nothing else
        return lambda e: passed(e) or blocked(e, 5, f"{lost} before it could start")
    told = f"killed from outside by {name}"
    if kill.who in ("leash", "keeper") or ending.victim in ("leash", "keeper"):
        return lambda e: blocked(e, 5, lost, told) or (brief and passed(e))
    if ending.victim == "worker":
        return lambda e: blocked(e, 5, told) or (worker_done and passed(e))
    # another program may answer a signal with an exit code of its own
    return lambda e: blocked(e, 5, told) or (kill.signal != signal.SIGKILL and (passed(e) or e.code in range(1, 6)))
