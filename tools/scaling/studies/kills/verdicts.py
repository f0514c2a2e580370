"""What a killed run must say, and what its bundle must hold: the judgement of the study.

What is right follows from who was hit, what that process does with the signal, and what the run had recorded just
before and just after (the commands of a run that nobody killed are the measure):

- The parent dies of SIGKILL and says nothing; its bundle stays open. Any other signal, from the moment when it has a
  bundle, makes it halt with exit 5, "interrupted by" that signal; before that, or once all is staged, it just dies.
- nox, killed, has the parent interrupted by SIGTERM within 0.2 s. nox, interrupted alone, waits for the parent.
- The worker, or whoever holds it, halts the run with exit 5 at the worker's next answer; PASS is right only if its last
  answer was out, and required if that was recorded before the kill. A signal that is ignored changes nothing.
- git, pip, or whoever holds them, halts the run with exit 5 at that very command, unless it was ending at that moment:
  then nobody was hit, and the kill is drawn again. A program with a handler of its own answers for itself.
- A memory limit halts it with exit 4 at the first command that needs more, with the limit's number.

PASS: a sealed and staged bundle, which verify passes, with every command of the measure and its exit code. BLOCKED: a
sealed bundle, which verify passes, with the audit of just that step and exit, and the same commands up to there.
Died: no audit; sealed only if every command is recorded. And always: one bundle, no half-written file.
"""

import json
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nanobragg_torch.memory import STOP_PERCENT
from tools.scaling.base.errors import BadInput, MemoryStopped
from tools.scaling.base.repo import EXPORTED
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.layout import AUDIT, COMMANDS, command_entries
from tools.scaling.bundle.verify import Standing, verify_bundle
from tools.scaling.studies.kills.scene import Kill, Victim

BLOCKED = re.compile(r"BLOCKED (\w+): (.*) \(exit (\d)\)(?:; evidence: (\S+))?")
MARGIN = 0.05  # of a peak, from one run to the next
NO_LIMIT = 10**6


@dataclass(frozen=True)
class LoggedCommand:
    """One entry of commands.txt. by: worker, tool (git, pip) or run (the parent itself). mib: peak memory."""

    step: str
    by: str
    exit: int
    mib: float
    may_fail: bool = False


def commands(folder: Path) -> list[LoggedCommand]:
    """Return the commands that the bundle in `folder` has recorded so far."""
    log = folder / COMMANDS
    recorded = []
    for entry in command_entries(log.read_text(encoding="ascii") if log.exists() else ""):
        by = "tool" if entry.command.startswith(("git ", "python -m pip ")) else "run"
        by = "worker" if entry.command.startswith(f"{EXPORTED} python ") else by
        mib = 0.0 if entry.peak == "-" else float(entry.peak.split()[0])
        may_fail = entry.command.startswith("python -m pip ")
        recorded.append(LoggedCommand(entry.step, by, entry.exit_code, mib, may_fail))
    return recorded


@dataclass(frozen=True)
class Reached:
    """How far a run was: whether it had a bundle, how many commands it had recorded, and whether all was staged."""

    bundle: bool = False
    commands: int = 0
    staged: bool = False


@dataclass
class KillEnding:
    """How one run ended, and what is wrong with that.

    code: exit code of the process that was started, negative for a signal. last: the last line that the run printed.
    before, after: how far it was just before and just after the kill. hit: the processes that were killed. limit_mib:
    its memory limit, or 0. bundle: none, open or sealed. repeats: how often the kill came too late before. wrong: a
    line for each thing that is not as it must be.
    """

    kill: Kill
    seconds: float = 0.0
    code: int = 0
    last: str = ""
    before: Reached = Reached()
    after: Reached = Reached()
    hit: list[Victim] = field(default_factory=list)
    limit_mib: int = 0
    bundle: str = "none"
    repeats: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        """Whether a memory limit ended it."""
        return self.limit_mib > 0 and self.code == MemoryStopped.exit_code

    @property
    def victims(self) -> str:
        if self.stopped:
            return f"by {self.limit_mib} MiB"
        return ", ".join(victim.name for victim in self.hit) or "nobody"


@dataclass(frozen=True)
class Answer:
    """One right way for a run to end.

    word: PASS, BLOCKED or died. codes: possible exit codes of the process that was started (nox, or the run itself).
    why: reasons of which the run names one. least, most: how many commands are recorded. exit: the exit code that a
    blocked run names.
    """

    word: str
    codes: tuple[int, ...]
    why: tuple[str, ...] = ("",)
    least: int = 0
    most: int = NO_LIMIT
    exit: int = 5

    def fits(self, ending: KillEnding) -> bool:
        """Return whether the exit code and the last line of `ending` are those of this answer."""
        if ending.code not in self.codes:
            return False
        if self.word == "died":
            return not ending.last.startswith("BLOCKED ")
        said = BLOCKED.fullmatch(ending.last)
        if self.word == "PASS":
            return ending.last.startswith("PASS: ")
        return said is not None and int(said[3]) == self.exit and any(why in said[2] for why in self.why)

    def __str__(self) -> str:
        return f"{self.word} {'/'.join(map(str, self.codes))} {' or '.join(self.why)}".strip()


def judge(ending: KillEnding, made: Sequence[Path], measure: Sequence[LoggedCommand]) -> None:
    """Add to `ending.wrong` what is not as it must be.

    made: the folders of the run's bundles. measure: the commands that a whole run records.
    """
    if len(made) > 1:
        ending.wrong.append(f"{len(made)} bundles")
    right = allowed(ending, measure)
    fitting = [answer for answer in right if answer.fits(ending)]
    if not fitting:
        expected = " | ".join(map(str, right))
        ending.wrong.append(f"exit {ending.code}, {ending.last!r} after {ending.victims} was hit; expected {expected}")
    for folder in made:
        ending.bundle = "sealed" if Bundle(folder).sealed else "open"
        ending.wrong += torn(folder)
    if fitting:
        ending.wrong += _evidence(ending, fitting[0], made, measure)


def allowed(ending: KillEnding, measure: Sequence[LoggedCommand]) -> list[Answer]:
    """Return the ways in which a run may end after this kill."""
    roles = {victim.role for victim in ending.hit}
    if ending.kill.who == "limit":
        return [_outgrown(ending, measure)]
    if all(_goes_on(victim) for victim in ending.hit):  # or nobody was hit
        return [Answer("PASS", (0,))]
    if "parent" in roles:
        return _parent_hit(ending, "nox" in roles)
    if "nox" in roles:
        return _nox_hit(ending)
    (victim,) = ending.hit
    if victim.of == "worker" and victim.role != "child":
        return _worker_hit(ending, _words(ending.kill, victim), measure)
    return _tool_hit(ending, victim, measure)


def _goes_on(victim: Victim) -> bool:
    return victim.hears == "ignores" or (victim.hears == "holds" and victim.role in ("leash", "keeper"))


def _words(kill: Kill, victim: Victim) -> tuple[str, ...]:
    """Return what the guard may say of this kill of a program, or of the keeper or leash that holds it."""
    if kill.who == "oom":
        return ("killed by the kernel for want of memory: oom_kill of its own cgroup",)
    if victim.role in ("program", "git") or (victim.role, kill.signal, victim.hears) == ("leash", 15, "answers"):
        return (f"killed from outside by {kill.name}",)
    return ("its leash was killed from outside",)


def _outgrown(ending: KillEnding, measure: Sequence[LoggedCommand]) -> Answer:
    stop = ending.limit_mib * STOP_PERCENT / 100
    guarded = [(number, c.mib) for number, c in enumerate(measure, 1) if c.by != "run"]
    first, last = (next(n for n, mib in guarded if mib >= stop * share) for share in (1 - MARGIN, 1 + MARGIN))
    why = f" % of {ending.limit_mib} MiB (--memory-limit); the guard stops at {STOP_PERCENT} %"
    return Answer("BLOCKED", (4,), (why,), first, last, exit=4)


def _interrupted(ending: KillEnding, codes: tuple[int, ...], *names: str) -> Answer:
    why = tuple(f"interrupted by {name}" for name in names)
    return Answer("BLOCKED", codes, why, ending.before.commands, ending.after.commands + 1)


def _died(ending: KillEnding, *codes: int) -> Answer:
    return Answer("died", codes, ("",), ending.before.commands, ending.after.commands + 1)


def _parent_hit(ending: KillEnding, through_nox: bool) -> list[Answer]:
    kill, before, after = ending.kill, ending.before, ending.after
    if kill.who == "oom" or kill.signal == signal.SIGKILL:
        return [_died(ending, -signal.SIGKILL), *([Answer("PASS", (0,))] if after.staged else [])]
    # Python answers an early SIGINT with an exception; nox answers one with 130
    default = (-2, 1, 130) if kill.signal == signal.SIGINT else (-kill.signal,)
    # of a terminal that hangs up the parent also hears through the end of nox
    names = (kill.name, "SIGTERM") if through_nox and kill.signal == signal.SIGHUP else (kill.name,)
    right = []
    if not before.staged:
        codes = (default if kill.signal != signal.SIGINT else (130,)) if through_nox else (5,)
        right.append(_interrupted(ending, codes, *names))
    if not before.bundle or after.staged:
        right.append(_died(ending, *default))
    if after.staged:
        right.append(Answer("PASS", (0, *default)))
    return right


def _nox_hit(ending: KillEnding) -> list[Answer]:
    number, before, after = ending.kill.signal, ending.before, ending.after
    if number == signal.SIGINT:
        return [Answer("PASS", (0,)), *([] if before.bundle else [_died(ending, -2, 1, 130)])]
    right = [] if before.staged else [_interrupted(ending, (-number,), "SIGTERM")]
    if not before.bundle:  # it dies by that very SIGTERM, or has not been started
        right.append(_died(ending, -number))
    if after.staged:
        right.append(Answer("PASS", (-number,)))
    return right


def _worker_hit(ending: KillEnding, why: tuple[str, ...], measure: Sequence[LoggedCommand]) -> list[Answer]:
    answers = [number for number, command in enumerate(measure, 1) if command.by == "worker"]
    n, m = ending.before.commands, ending.after.commands
    following = [number for number in answers if number > m + 1]
    blocked = Answer("BLOCKED", (5,), why, n + 1, following[0] if following else answers[-1])
    if n >= answers[-1]:
        return [Answer("PASS", (0,))]
    return [blocked] if m + 2 < answers[-1] else [blocked, Answer("PASS", (0,))]


def _tool_hit(ending: KillEnding, victim: Victim, measure: Sequence[LoggedCommand]) -> list[Answer]:
    n, m = ending.before.commands, ending.after.commands
    if victim.role == "child" or (victim.role == "program" and victim.hears == "answers"):
        own = [Answer("BLOCKED", (code,), ("",), n + 1, m + 1, exit=code) for code in range(1, 6)]
        return [Answer("PASS", (0,)), *own]
    least = n if victim.role == "git" else n + 1  # the parent's own git is no command of a step
    return [Answer("BLOCKED", (5,), _words(ending.kill, victim), least, m + 1), Answer("PASS", (0,))]


def came_too_late(ending: KillEnding) -> bool:
    """Return whether the kill came when there was nothing left to end, so that another moment has to be drawn.

    So it is where the run passed, and whoever was hit had done its work: nobody was hit, or only a tool (git, pip) that
    was just ending, or nox, the parent or the parent's git at their end. A run that outgrows a limit, one that nobody
    kills, and a nox that is interrupted alone (the run then goes on and passes) have not come too late.
    """
    over = all((v.of == "tool" and not _goes_on(v)) or v.role in ("nox", "parent", "git") for v in ending.hit)
    passed = ending.code == 0 and ending.last.startswith("PASS: ")
    alone = ending.kill.who == "nox" and ending.kill.signal == signal.SIGINT and ending.hit
    return ending.kill.who not in ("limit", "nobody") and over and passed and not alone


def _evidence(ending: KillEnding, answer: Answer, made: Sequence[Path], measure: Sequence[LoggedCommand]) -> list[str]:
    """Return a line for each thing in which the bundles `made` do not fit a run that ended as `answer`."""
    if not made:
        missing = answer.word == "PASS" or ending.before.bundle or "; evidence: " in ending.last
        return ["no bundle"] if missing else []
    folder, wrong = made[0], []
    recorded, sealed, audit = commands(folder), Bundle(folder).sealed, folder / AUDIT
    whole = _differs(recorded, measure) is None and len(recorded) == len(measure)
    if (differs := _differs(recorded, measure, halted=answer.word == "BLOCKED")) is not None:
        wrong.append(f"{COMMANDS}: {differs}")
    if not answer.least <= len(recorded) <= answer.most and not (whole and sealed):
        wrong.append(f"{COMMANDS}: {len(recorded)} commands, expected {answer.least} to {answer.most}")
    if sealed:
        wrong += _unverified(folder, staged=answer.word == "PASS")
    if answer.word == "PASS":
        wrong += [] if whole and sealed and not audit.exists() else ["PASS, but not every step is recorded and sealed"]
        wrong += [] if ending.last.startswith(f"PASS: {_shown(folder)}/") else ["PASS names another bundle"]
    elif answer.word == "died":
        wrong += [f"{AUDIT} of a run that said nothing"] if audit.exists() else []
        wrong += ["sealed before its end"] if sealed and not whole else []
        by_force = ending.kill.who == "oom" or ending.kill.signal == signal.SIGKILL
        if not sealed and not (by_force and any(victim.role == "parent" for victim in ending.hit)):
            wrong.append("an open bundle, though the run could have sealed it")
    elif not sealed:
        wrong.append("the bundle is not sealed")
    elif not whole:  # it halted before the seal
        wrong += _audited(ending, folder)
    return wrong


def _differs(recorded: Sequence[LoggedCommand], measure: Sequence[LoggedCommand], halted: bool = False) -> str | None:
    """Return the first difference between the commands of a bundle and those of a whole run, or None.

    halted: whether the last command may have another exit code, as the run stopped at it.
    """
    for number, (here, there) in enumerate(zip(recorded, measure, strict=False), 1):
        if (here.step, here.by) != (there.step, there.by):
            return f"command {number} is of step {here.step}, expected {there.step}"
        if here.exit != there.exit and not here.may_fail and not (halted and number == len(recorded)):
            return f"command {number} has exit {here.exit}, expected {there.exit}"
    return f"{len(recorded)} commands, expected {len(measure)}" if len(recorded) > len(measure) else None


def _unverified(folder: Path, staged: bool) -> list[str]:
    try:
        verdict = verify_bundle(folder)
    except BadInput as error:
        return [str(error)]
    wrong = [f"verify: {problem}" for problem in verdict.problems]
    return wrong + ([f"{verdict.standing}, expected staged"] if staged and verdict.standing != Standing.STAGED else [])


def _audited(ending: KillEnding, folder: Path) -> list[str]:
    """Return a line for each thing that the audit in `folder` says otherwise than the run's last line."""
    said, audit = BLOCKED.fullmatch(ending.last), folder / AUDIT
    assert said is not None
    if not audit.exists():
        return [f"no {AUDIT}"]
    text = audit.read_text(encoding="ascii")
    told = f"The run halted at step {said[1]} with exit code {said[3]}.\n\nWhy: {said[2]}\n"
    wrong = [] if told in text else [f"{AUDIT} does not say what the last line says"]
    return wrong + ([] if said[4] == _shown(folder) else ["BLOCKED names another bundle"])


def _shown(folder: Path) -> str:
    """Return the bundle's path as its own run gives it: relative to the clone, whose reports lie four folders deep."""
    return folder.relative_to(folder.parents[4]).as_posix()


def torn(folder: Path) -> list[str]:
    """Return a line for each file of a bundle that is half-written."""
    lines = [f"temporary file {path.name}" for path in folder.rglob(".*")]
    for path in folder.rglob("*.json"):
        try:
            json.loads(path.read_text(encoding="ascii"))
        except ValueError as error:
            lines.append(f"{path.name}: {error}")
    log = folder / COMMANDS
    if log.exists():
        text = log.read_text(encoding="ascii")
        numbers = [int(n) for n in re.findall(r"^\[(\d{3,})\] ", text, flags=re.MULTILINE)]
        if numbers != [*range(1, len(numbers) + 1)] or not text.endswith("\n\n"):
            lines.append(f"{COMMANDS} is not whole")
    return lines
