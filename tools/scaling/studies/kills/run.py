"""`study kills`: phase-m1 killed again and again at random, and what it said of each kill.

Every run starts in a throw-away clone, with a mark in its environment by which whatever it leaves is found. First
one that nobody kills, the measure; then each kill until it has hit somebody: one that came when the run was over is
drawn again. verdicts.py says which endings are right.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from nanobragg_torch.memory import STOP_PERCENT
from tools.scaling.base.errors import GateFailed
from tools.scaling.base.repo import REPORTS_ROOT, ROOT, git
from tools.scaling.guard import cgroup
from tools.scaling.studies.kills.scene import Kill, strike
from tools.scaling.studies.kills.verdicts import KillEnding, LoggedCommand, Reached, came_too_late, commands, judge

MARK = "SCALING_KILLS_MARK"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ROLES = ("nox", "parent", "leash", "keeper", "worker", "tool", "any", "all")
GROUP_LIMIT = 512 << 20
TRIES = 6  # to hit somebody
HEARD = 0.2  # seconds in which a run hears that its nox is dead
LINE = 0.002  # seconds between two looks at what a run prints


def kills(count: int, seed: int, oom: bool = True) -> list[Kill]:
    """Draw `count` kills with `seed`. oom: whether some are for want of memory, which takes a memory cgroup."""
    draw, made = random.Random(seed), []
    for number in range(count):
        who = draw.choice([*ROLES, "terminal", "limit", *(["oom"] if oom else [])])
        # a terminal interrupts, or hangs up; git and pip run at the beginning, and once more near the end
        sent = draw.choice(SIGNALS[2:] if who == "terminal" else SIGNALS)
        moment = draw.random() * (0.15 if who == "tool" else 1)
        made.append(Kill(number, who, sent, moment, draw.uniform(0.1, 0.95)))
    return made


@dataclass(frozen=True)
class Measure:
    """A run that nobody killed: what it recorded, and (seconds, line) of what it printed, its end included."""

    commands: tuple[LoggedCommand, ...]
    lines: tuple[tuple[float, str], ...]

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return self.lines[-1][0]

    @property
    def peak_mib(self) -> float:
        """The most memory that one of its commands held, in MiB; the run's own process is no command."""
        return max(command.mib for command in self.commands if command.by != "run")

    def at(self, moment: float) -> tuple[str, float]:
        """Return the last line printed by `moment`, a share (0 to 1) of the run's time, and the seconds since then."""
        when = moment * self.seconds
        start, line = max((pair for pair in self.lines if pair[0] <= when), default=(0.0, ""))
        return line, when - start


class Clone:
    """A checkout in which runs are killed, and the folder for what they leave in TMPDIR."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self.scratch = root, scratch
        self.reports, self.out = root / REPORTS_ROOT, scratch / "out"
        self.known: set[Path] = set()

    def reset(self) -> None:
        """Undo what the last run did."""
        with suppress(OSError):
            (self.root / ".git/index.lock").unlink()
        git("reset", "-q", "--hard", cwd=self.root)
        git("clean", "-fdq", cwd=self.root)
        self.known = {*self.reports.glob("2*T*Z")}

    def bundles(self) -> list[Path]:
        """Return the folders of the bundles that were made since the last reset."""
        return sorted({*self.reports.glob("2*T*Z")} - self.known)

    def printed(self) -> list[str]:
        """Return the lines that the run itself has printed, without those of nox."""
        lines = self.out.read_text(errors="replace").strip().splitlines() if self.out.exists() else []
        return [line for line in lines if not line.startswith("nox > ")]

    def reached(self) -> Reached:
        """Return how far the run is."""
        made = self.bundles()
        staged = any(line.strip().startswith("staged ") for line in self.printed())
        return Reached(bool(made), len(commands(made[0])) if made else 0, staged)

    def start(self, mark: str, through_nox: bool, limit_mib: int, group: Path | None) -> subprocess.Popen[bytes]:
        """Start phase-m1 in the clone, with the clone's own tools, and return its process.

        mark: put into its environment, to know its processes by. through_nox: start it by its nox session. limit_mib:
        its --memory-limit, if not 0. group: the memory cgroup to run it in, or None.
        """
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NOX_CURRENT_SESSION")}
        env |= {"PYTHONPATH": "src", "OMP_NUM_THREADS": "1", MARK: mark, "TMPDIR": str(self.scratch)}
        argv = [sys.executable, "-m", "tools.scaling", "phase-m1"]
        if through_nox:
            argv = [sys.executable, "-m", "nox", "--no-venv", "-s", "phase_m1"]
        argv += ["--memory-limit", str(limit_mib)] if limit_mib else []
        if group is not None:
            argv = ["sh", "-c", f'echo $$ > "{group}/cgroup.procs" && exec "$@"', "sh", *argv]
        with self.out.open("wb") as stream:
            return subprocess.Popen(argv, cwd=self.root, env=env, stdout=stream, stderr=stream, start_new_session=True)


def one(clone: Clone, kill: Kill, measure: Measure) -> KillEnding:
    """Start a run, kill it, and return how it ended, judged; `measure` is a run that nobody killed."""
    clone.reset()
    mark, ending = f"{os.getpid()}-{kill.number}", KillEnding(kill)
    if kill.who == "limit":
        ending.limit_mib = round(kill.share * measure.peak_mib * 100 / STOP_PERCENT)
    with _group(kill.who == "oom") as group:
        process, started = clone.start(mark, kill.through_nox, ending.limit_mib, group), time.monotonic()
        try:
            if kill.who not in ("limit", "nobody"):
                _wait(process, clone, *measure.at(kill.moment))
                ending.hit = strike(process, kill, group, lambda: setattr(ending, "before", clone.reached()))
                if kill.who == "nox":
                    time.sleep(HEARD)
                ending.after = clone.reached()
            ending.code = process.wait(90)
            ending.seconds = time.monotonic() - started
        except subprocess.TimeoutExpired:
            ending.wrong.append("did not end within 90 s")
            process.kill()
            process.wait()
        ending.wrong += [f"left running: {name}" for name in _left(mark)]
    ending.last = ([""] + clone.printed())[-1]
    judge(ending, clone.bundles(), measure.commands)
    return ending


def _wait(process: subprocess.Popen[bytes], clone: Clone, line: str, seconds: float) -> None:
    """Wait until the run prints `line`, and then for some seconds, so that the run's pace does not move the kill."""
    while process.poll() is None and line and not any(map(line.__eq__, map(_kind, clone.printed()))):
        time.sleep(LINE)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _kind(line: str) -> str:
    """Return a printed line without what differs between two runs; empty for one that is not waited for."""
    return line if line.startswith("[") else line.split()[0] if line.startswith("RUN_DIR") else ""


def measured(clone: Clone) -> Measure:
    """Return what a run does that nobody kills. Raises GateFailed if it does not pass."""
    clone.reset()
    process, started = clone.start("measure", False, 0, None), time.monotonic()
    lines: dict[str, float] = {}
    while process.poll() is None:
        for line in map(_kind, clone.printed()):
            lines.setdefault(line, time.monotonic() - started)
        time.sleep(LINE)
    lines["end"] = time.monotonic() - started
    recorded = tuple(command for folder in clone.bundles() for command in commands(folder))
    made = Measure(recorded, tuple((seconds, line) for line, seconds in lines.items() if line))
    ending = KillEnding(Kill(-1, "nobody", signal.SIGKILL, 1.0), code=process.returncode, last=clone.printed()[-1])
    judge(ending, clone.bundles(), recorded)
    if ending.wrong:
        raise GateFailed(f"a run that nobody kills does not pass: {ending.wrong[0]}")
    return made


def _left(mark: str, within: float = 30.0) -> list[str]:
    """Wait for the end of every process that has `mark`; kill what lives after `within` seconds and return its pids."""
    deadline = time.monotonic() + within
    while (alive := [*_marked(mark)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for each in alive:
        with suppress(psutil.Error):
            each.kill()
    return [f"pid {each.pid}" for each in alive]


def _marked(mark: str) -> Iterator[psutil.Process]:
    for each in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if each.status() != psutil.STATUS_ZOMBIE and each.environ().get(MARK) == mark:
                yield each


@contextmanager
def _group(wanted: bool) -> Iterator[Path | None]:
    """Yield a memory cgroup for a whole run, and remove it; None where it is not wanted or cannot be made."""
    made = cgroup.make_group(GROUP_LIMIT) if wanted else None
    try:
        yield made.folder if made is not None else None
    finally:
        if made is not None:
            for inner in made.folder.glob("scaling-guard-*"):
                cgroup.Cgroup(made.source, inner).remove()
            made.remove()


@contextmanager
def fresh_clone() -> Iterator[Clone]:
    """Yield a clone of HEAD."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        root, scratch = Path(folder) / "repo", Path(folder) / "tmp"
        scratch.mkdir()
        git("clone", "-q", str(ROOT), str(root), cwd=ROOT)
        yield Clone(root, scratch)


def repeated(clone: Clone, kill: Kill, measure: Measure) -> KillEnding:
    """Do the kill; as long as it comes too late, do it again at another moment, as a rule an earlier one."""
    for tries in range(TRIES):
        ending = one(clone, kill, measure)
        ending.repeats = tries
        if ending.wrong or not came_too_late(ending):
            return ending
        kill = replace(kill, moment=random.Random(f"{kill.number} {tries}").random() / (tries + 1.5))
    ending.wrong.append(f"nobody was hit in {TRIES} runs")
    return ending


def study(
    count: int, seed: int, begun: Callable[[Measure, bool], object], ended: Callable[[KillEnding], object]
) -> tuple[Measure, list[KillEnding]]:
    """Kill `count` runs and judge each; return a whole run and the endings.

    begun: told the whole run, and whether there can be kills for want of memory (oom), before the first one.
    ended: told each ending when it is over. Raises GateFailed if a run that nobody kills does not pass.
    """
    for number in SIGNALS[1:]:  # what we were told to ignore (nohup, the background of a shell) the runs must hear
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    endings = []
    with fresh_clone() as clone:
        measure = measured(clone)
        with _group(True) as group:
            oom = group is not None
        begun(measure, oom)
        for kill in kills(count, seed, oom):
            endings.append(repeated(clone, kill, measure))
            ended(endings[-1])
        measured(clone)  # also removes the groups of the dead
    return measure, endings
