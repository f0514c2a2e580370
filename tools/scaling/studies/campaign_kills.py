"""`study campaign-kills`: workers, the scheduler, the caller of a campaign, or all of them, killed again and again.

A campaign of cases that cost nothing is called, somebody is killed, whoever is gone is started again, the campaign is
called once more, and so on; at the end nobody is killed, and the store is judged: each seed has one result, no file is
torn, and nobody is left. Every process has a mark in its environment by which it is found.
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tools.scaling.base.errors import Unavailable
from tools.scaling.base.repo import ROOT, environment
from tools.scaling.base.scratch import scratch
from tools.scaling.base.text import table
from tools.scaling.campaign.engine import store
from tools.scaling.campaign.engine.key import Asked
from tools.scaling.campaign.record import Result, Status, Verdict
from tools.scaling.guard.leash import processes, tree

MARK = "SCALING_CAMPAIGN_KILLS"
WORK = "tools.scaling.studies.campaign_kills:cheap"
SEEDS, SHARD, WORKERS = 2000, 10, 2
EACH = 20  # kills of a campaign
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDINGS = {signal.SIGKILL: {-9}, signal.SIGTERM: {5, -15}, signal.SIGINT: {5, -2}}  # a signal by itself: at the start
PATIENCE = 120.0  # seconds: that a call may take to go on, or to end
LEFT = 90.0  # seconds in which the workers of a dead caller or scheduler end


def cheap(seed: int, asked: Asked) -> Result:
    """A case that takes 40 ms and always passes."""
    time.sleep(0.04)
    return Result(seed, ("-cell",), (Verdict("oracle", Status.ok, worst=seed * 1e-18),), 0.04)


@dataclass(frozen=True)
class CampaignKill:
    """Whom a signal is sent to: worker, scheduler, caller or all. elsewhere: the workers are not the caller's own.

    after: shard files that are new when it is sent; 0: while the call starts. pause: seconds more.
    """

    number: int
    elsewhere: bool
    who: str
    signal: int
    after: int
    pause: float

    def __str__(self) -> str:
        crew = "scheduler" if self.elsewhere else "own"
        return f"{self.number + 1}: {crew} workers, {signal.Signals(self.signal).name} to {self.who}"


@dataclass
class CampaignKills:
    """What came of the kills. wrong: a line for each thing that is not as it must be."""

    kills: list[CampaignKill] = field(default_factory=list)
    cases: int = 0
    blamed: int = 0
    wrong: list[str] = field(default_factory=list)


def kills(count: int, seed: int) -> list[CampaignKill]:
    """Draw `count` kills: EACH in a row with the same kind of workers."""
    draw, made = random.Random(seed), []
    for number in range(count):
        elsewhere = number // EACH % 2 == 0
        who = draw.choice(["worker", "worker", "caller", "all", *(["scheduler"] if elsewhere else [])])
        after = draw.choice([0, 1, 1, 2, 3])
        made.append(CampaignKill(number, elsewhere, who, draw.choice(SIGNALS), after, draw.random()))
    return made


def study(count: int, seed: int, say: Callable[[str], None]) -> CampaignKills:
    """Do `count` kills; `say` gets a line of each."""
    made = CampaignKills(kills(count, seed))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it would be ignored by all
    for start in range(0, count, EACH):
        part = made.kills[start : start + EACH]
        with scratch("kills") as folder:
            stage = Stage(folder, part[0].elsewhere)
            try:
                for kill in part:
                    told = stage.strike(kill)
                    made.wrong += [f"{kill}: {line}" for line in told]
                    say(f"{kill}: {'; '.join(told) or 'ok'}")
                told = stage.complete()
            finally:
                stage.sweep()
            for each in stage.stores:
                cases, blamed, more = judged(each)
                made.cases, made.blamed, told = made.cases + cases, made.blamed + blamed, told + more
        made.wrong += [f"campaign of kills {start + 1} to {start + len(part)}: {line}" for line in told]
        say(f"{made.cases} cases in the stores: {'; '.join(told) or 'ok'}")
    return made


class Stage:
    """One campaign: its store, and the processes that take part in it."""

    def __init__(self, folder: Path, elsewhere: bool) -> None:
        self.folder, self.elsewhere, self.mark = folder, elsewhere, f"{os.getpid()}-{folder.name}"
        self.caller: subprocess.Popen[bytes] | None = None
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.stores = [folder / "store"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def strike(self, kill: CampaignKill) -> list[str]:
        """Carry out `kill`; returns a line for each thing that is not right then. One too late is for a new store."""
        while (told := self._tried(kill)) is None:
            self.stores.append(self.folder / f"store{len(self.stores)}")
        return told

    def _tried(self, kill: CampaignKill) -> list[str] | None:
        """The same; None where all cases were done first."""
        self.call()
        assert self.caller is not None
        if not self._waited(self.files() + kill.after, kill.pause):
            code = self.caller.poll()
            if code == Unavailable.exit_code:  # a busy machine: the scheduler has not answered in time
                return self._tried(kill)
            return None if code == 0 else [f"the call did not go on, or ended by itself: {code}, {self.said()}"]
        victims = self._victims(kill)
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, kill.signal)
        if not victims:
            return ["nobody was there to be hit"]
        if kill.who == "worker":
            return self._goes_on()
        return self._ended(kill)

    def call(self) -> None:
        """Start whoever is not there."""
        if self.elsewhere:
            self._start_cluster()
        if self.caller is None or self.caller.poll() is not None:
            crew = ["--scheduler", f"tcp://127.0.0.1:{self.port}"] if self.elsewhere else ["--workers", str(WORKERS)]
            words = ["campaign", "--seeds", f"0:{SEEDS}", "--shard", str(SHARD), "--store", str(self.stores[-1])]
            self.caller = self._start("caller", "-m", "tools.scaling", *words, "--work", WORK, *crew)

    def complete(self) -> list[str]:
        """Let the campaign come to its end; returns a line for each thing that is not right."""
        self.call()
        assert self.caller is not None
        try:
            code = self.caller.wait(10 * PATIENCE)
        except subprocess.TimeoutExpired:
            return [f"the last call does not end: {self.said()}"]
        told = [] if code in (0, 1) else [f"the last call ended with {code}: {self.said()}"]
        for each in [*self.workers, *filter(None, [self.scheduler])]:
            each.terminate()
        return told + self._left()

    def sweep(self) -> None:
        """End whoever is left."""
        for pid in self.marked():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def files(self) -> int:
        """How many shards are in the store."""
        return len(list(self.stores[-1].glob(f"*/*{store.SUFFIX}")))

    def said(self) -> str:
        """The last line that a call has printed."""
        lines = (self.folder / "caller").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def marked(self) -> Iterator[int]:
        """The processes of this campaign that live."""
        wanted = f"{MARK}={self.mark}".encode()
        for pid in processes():
            with suppress(OSError):
                if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    yield pid

    def _start(self, name: str, *words: str, more: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        with (self.folder / name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment() | {MARK: self.mark} | dict(more or {}),
            )  # fmt: skip

    def _start_cluster(self) -> None:
        address, here = f"tcp://127.0.0.1:{self.port}", {"PYTHONPATH": f"{ROOT}/src:{ROOT}"}
        if self.scheduler is None or self.scheduler.poll() is not None:
            words = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
            twice = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
            self.scheduler = self._start("scheduler", "-m", "distributed.cli.dask_scheduler", *words, more=here | twice)
            self._listening()
        self.workers = [each for each in self.workers if each.poll() is None]
        while len(self.workers) < WORKERS:
            words = [address, "--nthreads", "1", "--no-dashboard", "--death-timeout", "60"]
            self.workers.append(self._start("workers", "-m", "distributed.cli.dask_worker", *words, more=here))

    def _listening(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            time.sleep(0.05)

    def _victims(self, kill: CampaignKill) -> list[int]:
        assert self.caller is not None
        others = [each.pid for each in [*self.workers, *filter(None, [self.scheduler])]]
        if kill.who == "all":
            return [self.caller.pid, *others, *tree(self.caller.pid, *others)]
        if kill.who == "caller":
            return [self.caller.pid]
        if kill.who == "scheduler":
            return [self.scheduler.pid] if self.scheduler else []
        roots = [each.pid for each in self.workers] if self.elsewhere else [self.caller.pid]
        found = [pid for pid in tree(*roots) if b"spawn_main" in _command(pid)]
        return [random.Random(kill.number).choice(found)] if found else []

    def _waited(self, wanted: int, pause: float) -> bool:
        """Whether the store has come to have `wanted` files while the call went on; then some moments have passed."""
        assert self.caller is not None
        until = time.monotonic() + PATIENCE
        while self.files() < wanted or self._no_worker():
            if self.caller.poll() is not None or time.monotonic() > until:
                return False
            time.sleep(0.02)
        time.sleep(pause)
        return self.caller.poll() is None

    def _no_worker(self) -> bool:
        assert self.caller is not None
        roots = [each.pid for each in self.workers] if self.elsewhere else [self.caller.pid]
        return not any(b"spawn_main" in _command(pid) for pid in tree(*roots))

    def _goes_on(self) -> list[str]:
        """The call gets more shards done, or ends rightly: also when its own worker dies before it is there."""
        assert self.caller is not None
        if self._waited(self.files() + 1, 0.0) or self.caller.poll() in (0, 1):
            return []
        if self.caller.poll() == 5 and self.said().startswith("error: a worker ended while it started"):
            return []
        return [f"does not go on: {self.caller.poll()}, {self.said()}"]

    def _ended(self, kill: CampaignKill) -> list[str] | None:
        """The call ends as it must, in a line where it can say one, and nobody of its own is left.

        None where it had nothing left to do.
        """
        assert self.caller is not None
        try:
            code = self.caller.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return [f"does not end: {self.said()}"]
        if code == 0:
            return None
        right = {5, 3} if kill.who == "scheduler" else ENDINGS[signal.Signals(kill.signal)]
        if kill.who == "all" and kill.elsewhere:
            right = right | {5, 3}  # it may hear of the scheduler's end first
        told = [] if code in right else [f"exit {code}, expected one of {sorted(right)}: {self.said()}"]
        if code > 0 and not re.match(
            r"error: (interrupted by|the scheduler is gone|--scheduler |a worker ended)", self.said()
        ):
            told.append(f"last line: {self.said()}")
        if "Traceback" in (self.folder / "caller").read_text(errors="replace"):
            told.append("a traceback")
        alone = kill.who == "caller" and self.elsewhere  # the others stay, and serve the next one
        return told + ([] if alone else self._left())

    def _left(self) -> list[str]:
        until = time.monotonic() + LEFT
        while left := [pid for pid in self.marked() if pid not in self._standing()]:
            if time.monotonic() > until:
                return [f"left: {b' '.join(_command(pid).split(bytes(1)))[-80:]!r}" for pid in left]
            time.sleep(0.1)
        return []

    def _standing(self) -> set[int]:
        """Those who wait to be reaped by us."""
        return {each.pid for each in [*self.workers, self.scheduler, self.caller] if each and each.poll() is not None}


def judged(folder: Path) -> tuple[int, int, list[str]]:
    """How many results the store has, how many say that a case killed its worker, and a line for what is not right."""
    (where,) = store.key_folders(folder)
    told: list[str] = []
    seen: Counter[int] = Counter()
    blamed = 0
    for path in store.shard_files(where):
        try:
            for each in store.read_shard(path).results():
                seen[each.seed] += 1
                blamed += bool(each.failures)
        except store.Unusable as error:
            told.append(str(error))
    told += [f"{path.name}: temporary" for path in where.iterdir() if path.name.startswith(".")]
    told += [f"{path.name}: torn" for path in where.glob(f"*{store.TORN}")]
    missing, twice = [s for s in range(SEEDS) if not seen[s]], [s for s, number in seen.items() if number > 1]
    told += [f"seeds without a result: {missing[:10]}"] if missing else []
    told += [f"seeds with two results: {twice[:10]}"] if twice else []
    return sum(seen.values()), blamed, told


def kills_table(made: CampaignKills) -> str:
    """A Markdown table: how many kills there were of each kind."""
    rows = Counter((kill.elsewhere, kill.who, signal.Signals(kill.signal).name) for kill in made.kills)
    return table(
        ["workers", "killed", "signal", "kills"],
        [
            ("of a scheduler" if where else "own", who, name, count)
            for (where, who, name), count in sorted(rows.items())
        ],
    )


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
