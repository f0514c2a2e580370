"""Guarded commands: a command's process tree stays within a memory limit and dies with this process.

It stands on four functions: current_limit, measure and decide (limit.py) and act (leash.py). `Guarded` is a child that
the caller talks to; `run` runs one command to its end.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from nanobragg_torch.memory import RLIMITS, STOP_PERCENT, Limit, mebibytes
from tools.scaling.base.errors import BadInput, Killed
from tools.scaling.guard import leash
from tools.scaling.guard.cgroup import OomCounters, make_group
from tools.scaling.guard.leash import GRACE, act, processes, tree
from tools.scaling.guard.limit import Action, current_limit, decide, measure
from tools.scaling.guard.outcome import GuardOutcome, signal_name

INTERVAL = 0.02  # seconds between two readings
LISTING_SHARE, READING_SHARE = 0.05, 0.2  # of one core, at most, to list the tree and to read it
# What a group holds beyond what the guard counts, where the limit is not the machine's: libraries, page cache.
UNCOUNTED = 256 * 2**20
LEAST_GROUP = 64 * 2**20  # less, and the kernel kills before the guard has looked once
Stream = int | IO[bytes] | None


class Guarded:
    """A child process in a session of its own, under a leash; a thread reads its memory 50 times a second.

    argv, cwd, env, stdin, stdout, stderr: as in subprocess.Popen, whose pipes appear under the same names; the caller
    must read a pipe. limit: what the process tree may use; by default what the machine can give now. group: run it in
    a memory cgroup of its own where one can be made; the kernel then kills no other process for what it takes, and
    counts no other. In a `with`, the child is stopped at the end.
    Raises BadInput if the program or cwd is not there, naming it; Killed if the leash is killed before it starts it.
    """

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        limit: Limit | None = None,
        group: bool = True,
    ) -> None:
        self.argv = tuple(os.fspath(argument) for argument in argv)
        self.limit = current_limit() if limit is None else limit
        self.started, self._clock = datetime.now(UTC), time.monotonic()
        self._group = make_group(_group_limit(self.limit)) if group else None
        self._counters = OomCounters(own=self._group)
        self._lock = threading.Lock()
        self._peak = self._command_peak = self._now = 0
        self._pids: list[int] = []
        self._list_next = 0.0
        self._grown = self._warning = ""
        self._asked = False
        self._broken: Exception | None = None
        self._outcome: GuardOutcome | None = None
        self._done = threading.Event()
        self._socket, leash_end = socket.socketpair()
        with leash_end:
            words = [str(leash_end.fileno()), str(os.getpid()), str(self._group.folder) if self._group else ""]
            try:
                self._leash = subprocess.Popen(  # the keeper, to be exact; the leash is its child
                    [sys.executable, "-I", "-S", leash.__file__, *words, *self.argv],
                    cwd=cwd,
                    env=env,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    pass_fds=[leash_end.fileno()],
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                self._socket.close()
                self._leave_group()
                raise BadInput(f"{self.argv[0]}: cannot be started: {error}") from error
        self.stdin, self.stdout, self.stderr = self._leash.stdin, self._leash.stdout, self._leash.stderr
        self.pid, self._holder = self._first_word()
        self._sample()
        threading.Thread(target=self._watch, name=f"memory-guard-{self.pid}", daemon=True).start()

    def _first_word(self) -> tuple[int, int]:
        """Read the leash's first line; return the pids of the started program and of its leash."""
        said = b""
        while b"\n" not in said and (part := self._socket.recv(64)):
            said += part
        line, _, self._said = said.partition(b"\n")  # a short program may have ended already
        word, *numbers = line.decode().split() or [""]
        if word == "started":
            if self._group is not None and numbers[2] == "0":  # the kernel let us make it, but not use it
                self._leave_group()
                self._counters = OomCounters()
            return int(numbers[0]), int(numbers[1])
        self._leash.wait()
        self._close()
        self._leave_group()
        if word == "failed":
            why = os.strerror(int(numbers[0]))
            raise BadInput(f"{self.argv[0]}: expected a program that can be run, got: {why}")
        raise Killed(f"{self.argv[0]}: its leash was killed from outside before it could start it")

    def _living(self) -> list[int]:
        """Return the pids of what the leash holds; without a subreaper, of orphans in the program's session, too."""
        roots = [self._leash.pid] if leash.LINUX else [self._leash.pid, self.pid]
        return [pid for pid in tree(*roots) if pid != self._holder]

    def _leave_group(self) -> None:
        if self._group is not None:
            self._group.remove()
            self._group = None

    def _sample(self) -> None:
        """Read, decide, and ask the leash to act."""
        with self._lock:
            if time.monotonic() >= self._list_next:
                before = time.thread_time()
                self._pids = self._living()
                for pid in self._pids:
                    self._counters.watch(pid)
                self._list_next = time.monotonic() + (time.thread_time() - before) / LISTING_SHARE
            usage = measure(self._pids, self.limit)
            self._now = sum(usage.values())
            self._peak = max(self._peak, self._now)
            self._command_peak = max(self._command_peak, self._now)
            action = decide(self._now, self.limit)
            if action is Action.WARN and not self._warning:
                self._warning = self._growth(usage)
            elif action is Action.STOP and not self._grown:
                self._grown = f"{self._growth(usage)}; the guard stops at {STOP_PERCENT} %"
                self._ask(GRACE)

    def _growth(self, usage: Mapping[int, int]) -> str:
        """Return in words which process grew, to how much, and against which limit."""
        import psutil  # type: ignore[import-untyped]

        biggest = max(usage, key=usage.__getitem__, default=self.pid)
        name = "a process"
        with suppress(psutil.Error):
            name = psutil.Process(biggest).name()
        text = f"{name} (pid {biggest}) grew to {mebibytes(usage.get(biggest, 0))}"
        if len(usage) > 1:
            text += f", with its process tree to {mebibytes(self._now)}"
        percent = 100 * self._now // max(1, self.limit.bytes)
        return f"{text}, {percent} % of {self.limit}"

    def _ask(self, grace: float) -> None:
        with suppress(OSError):  # the leash may have ended meanwhile
            self._socket.send(f"stop {grace}\n".encode())

    def _watch(self) -> None:
        """The monitor thread: sample until the leash says that the program has ended."""
        said = b""
        try:
            said = self._until_ended()
        except Exception as error:  # never leave a child unwatched: without its socket the leash ends it
            self._broken = error
            self._socket.shutdown(socket.SHUT_RDWR)
        finally:
            self._finish(said.split())

    def _until_ended(self) -> bytes:
        """Sample until the leash says its last line, and return that; empty if the leash died first."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        said, cost = self._said, 0.0
        while not said.endswith(b"\n"):
            pause = min(
                INTERVAL, (time.monotonic() - self._clock) / 10
            )  # denser at first: short commands have a peak, too
            if poller.poll(1000 * max(pause, cost / READING_SHARE)):
                try:
                    part = self._socket.recv(64)
                except ConnectionError:
                    return b""
                if not part:
                    return b""
                said += part
            else:
                before = time.thread_time()  # a busy machine must not slow the guard down
                self._sample()
                cost = time.thread_time() - before
        return said

    def _finish(self, ended: list[bytes]) -> None:
        if not ended and self._broken is None:  # the leash was killed, and its program with it: end the rest
            act(self._left_behind, 0.0)
        self._leash.wait()
        self._socket.close()
        known = ended and ended[1] != b"None" and ended[3] == b"0"  # else it was not the program's own end
        code = os.waitstatus_to_exitcode(int(ended[1])) if known else None
        oom = self._counters.moved()
        self._leave_group()
        # The kernel was faster than whoever asked the leash to end the program.
        oom_first = bool(oom) and code == -signal.SIGKILL and ended[2] == b"0"
        self._outcome = GuardOutcome(
            argv=self.argv,
            started=self.started,
            seconds=time.monotonic() - self._clock,
            exit_code=code if code is not None and code >= 0 else None,
            signal=signal_name(-code) if code is not None and code < 0 else None,
            peak_bytes=self._peak,
            limit=self.limit,
            grown="" if oom_first else self._grown,
            oom=oom,
            warning=self._warning,
            asked=self._asked and not oom_first,
            left=int(ended[4]) if known else 0,
        )
        self._done.set()

    def _left_behind(self) -> list[int]:
        """Return the pids that are alive of a tree whose leash is dead."""
        known = {self.pid, *self._pids} & processes().keys()
        held = self._group.pids() if self._group is not None else []
        return [*known.union(tree(self._leash.pid, self.pid), held)]

    @property
    def warning(self) -> str:
        """In words, the growth past 70 % of the limit; empty while there was none."""
        return self._warning

    def peak(self) -> int:
        """Return the most memory that the tree was seen to hold since its start, in bytes."""
        return self._peak

    def take_peak(self) -> int:
        """Return the most memory, in bytes, since the last call; the next call starts from what the tree holds now."""
        if not self._done.is_set():
            self._sample()
        with self._lock:
            peak, self._command_peak = self._command_peak, 0 if self._done.is_set() else self._now
        return peak

    def wait(self, timeout: float | None = None) -> GuardOutcome:
        """Wait until the tree has ended, and return the outcome. Raises TimeoutError after `timeout` seconds."""
        if not self._done.wait(timeout):
            raise TimeoutError(f"{self.argv[0]}: still running after {timeout} s")
        if self._broken is not None:
            raise self._broken
        assert self._outcome is not None
        return self._outcome

    def stop(self, grace: float = GRACE) -> GuardOutcome:
        """End the whole tree, by SIGTERM and after `grace` seconds by SIGKILL; return the outcome."""
        if not self._done.is_set():
            self._asked = True
            self._ask(grace)
        return self.wait()

    def _close(self) -> None:
        self._socket.close()
        for stream in filter(None, (self.stdin, self.stdout, self.stderr)):
            with suppress(OSError):  # unwritten input of a dead child
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._close()


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Stream = subprocess.DEVNULL,
    limit: Limit | None = None,
    memory_limit: int | None = None,
) -> GuardOutcome:
    """Run one command to its end; return its outcome, with what it wrote, however it ended.

    limit: what the process tree may use; by default what the machine can give now, at most `memory_limit` bytes.
    Raises as `Guarded` does.
    """
    limit = current_limit(memory_limit) if limit is None else limit
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with Guarded(argv, cwd=cwd, env=env, stdin=stdin, stdout=out, stderr=err, limit=limit) as child:
            outcome = child.wait()
        for stream in (out, err):
            stream.seek(0)
        return replace(outcome, stdout=out.read(), stderr=err.read())


def _group_limit(limit: Limit) -> int:
    """Return the limit of a cgroup, in bytes: the last resort if a tree outgrows `limit` between two readings."""
    own = limit.source == "--memory-limit" or limit.source in RLIMITS
    return max(limit.bytes, LEAST_GROUP) + (UNCOUNTED if own else 0)
