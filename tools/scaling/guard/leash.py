"""The leash: what a guarded command runs under, so that nothing of it outlives its guard.

`python -I -S leash.py FD GUARD GROUP PROGRAM ARG...` forks. The child, the leash, starts the program in a session
of its own and in the cgroup GROUP (empty: none), adopts what its descendants orphan, and talks with the guard
(process GUARD) over the socket FD. Everything below it is ended when the guard asks, when the guard is gone, and
when the program itself has exited. The parent, the keeper, does nothing until the leash is killed: then it ends
what the leash held. Left open: where no cgroup can be made, guard, keeper and leash killed within some 5 ms leave what
the program has started (the program itself dies with its leash: PR_SET_PDEATHSIG, which its children do not inherit).
As a script this imports only light parts of the standard library: it costs some 30 ms.
"""

import ctypes
import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress

LINUX = sys.platform == "linux"
GRACE = 2.0  # seconds between SIGTERM and SIGKILL
LINGER = 0.5  # seconds that helpers of an exited program (resource trackers) get to finish
UNKILLABLE = 10.0  # seconds after which a process that survives SIGKILL (in the kernel) is given up
LOOK = 0.5  # seconds between two looks of the keeper at the guard
INSIDE = b"+"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def tree(*roots: int) -> list[int]:
    """Return the pids that live below the processes `roots`: their descendants, and orphans in sessions of these."""
    table = processes()
    below = set(roots)
    while new := {pid for pid, above in table.items() if pid not in below and not below.isdisjoint(above)}:
        below |= new
    return sorted(below.difference(roots))


def processes() -> dict[int, tuple[int, int]]:
    """Return pid -> (parent, session) of every living process; without /proc, its process group for its session."""
    table = {}
    if not LINUX:
        import subprocess

        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, check=False)
        for line in listing.stdout.splitlines():
            pid, parent, group, state = line.split()[:4]
            if not state.startswith(b"Z"):
                table[int(pid)] = int(parent), int(group)
        return table
    for name in os.listdir("/proc"):  # noqa: PTH208 - 50 times a second
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb", 0) as stat:  # noqa: PTH123
                # pid (command, which may hold anything) state ppid pgrp session ... num_threads
                state, parent, _, session, *more = stat.read().rpartition(b")")[2].split(None, 18)
                if state not in b"ZX" or int(more[13]) > 1:  # a first thread may end before the others
                    table[int(name)] = int(parent), int(session)
    return table


def act(listing: Callable[[], Collection[int]], grace: float, hurry: Callable[[], bool] = bool) -> bool:
    """End every process that `listing()` returns: by SIGTERM, after `grace` seconds by SIGKILL, until none is left.

    hurry: called all the time; True ends the grace. Returns whether SIGKILL was needed.
    """
    if grace > 0:
        _signal(listing(), signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (left := listing()) and time.monotonic() < deadline and not hurry():
        time.sleep(0.01)
    killed = bool(left)
    while left and time.monotonic() < deadline + UNKILLABLE:
        _signal(left, signal.SIGKILL)  # again and again: a process may fork while it is being killed
        time.sleep(0.005)
        left = listing()
    return killed


def _signal(pids: Collection[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class Leash:
    """What the leash's process holds: one program and all that it starts, and a socket `fd` to the guard.

    lifeline: a pipe whose other end the keeper holds. group: the cgroup that the program enters, or empty.
    """

    def __init__(self, fd: int, lifeline: int, group: str) -> None:
        self.fd, self.lifeline, self.group = fd, lifeline, group
        self.program = 0
        self.inside = False  # whether the program is in the group
        self.status: int | None = None  # of the program, as waitpid gives it

    def say(self, line: str) -> None:
        with suppress(OSError):  # the guard may be gone
            os.write(self.fd, line.encode() + b"\n")

    def _hear(self) -> bytes:
        try:
            return os.read(self.fd, 64)
        except ConnectionError:  # the guard died before it had read all that we said
            return b""

    def abandoned(self) -> bool:
        """Return whether the keeper is dead, or has closed its end of the lifeline because the guard is dead."""
        return bool(select.select([self.lifeline], [], [], 0)[0])

    def living(self) -> list[int]:
        """Reap what is dead and return the pids of what lives; empty only when this process has no child left."""
        while self._reap():
            if below := tree(os.getpid()):
                return below
        # Without a subreaper orphans are found by the program's session.
        return [] if LINUX else tree(self.program)

    def _reap(self) -> bool:
        """Reap every dead child, and return whether children are left."""
        try:
            while (dead := os.waitpid(-1, os.WNOHANG))[0]:
                if dead[0] == self.program:
                    self.status = dead[1]
        except ChildProcessError:
            return False
        return True

    def start(self, argv: list[str]) -> int:
        """Start the program of `argv`; return 0, or the errno of its exec."""
        reading, writing = os.pipe()
        leash = os.getpid()
        self.program = os.fork()
        if self.program == 0:
            try:
                os.setsid()
                _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != leash:
                    os._exit(127)
                if self.group and enter(self.group):
                    os.write(writing, INSIDE)
                signal.set_wakeup_fd(-1)
                for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
                    signal.signal(ignored_by_python, signal.SIG_DFL)
                os.execvp(argv[0], argv)
            except OSError as error:
                os.write(writing, str(error.errno or errno.ENOEXEC).encode())
            finally:
                os._exit(127)
        os.close(writing)
        said = b""
        while part := os.read(reading, 16):  # the exec closes the pipe
            said += part
        os.close(reading)
        self.inside = said.startswith(INSIDE)
        return int(said.removeprefix(INSIDE) or 0)

    def hold(self, wake: int) -> None:
        """Wait for the end of the program, a word of the guard or SIGTERM; then end all that is left, and say so."""
        grace, killed, left = self._wait(wake), False, 0
        if grace is None:
            deadline = time.monotonic() + LINGER
            while self.living() and time.monotonic() < deadline and not self.abandoned():
                time.sleep(0.005)
            left = len(self.living())
            act(self.living, GRACE, self.abandoned)
        else:
            killed = act(self.living, grace, self.abandoned)
        self.say(f"ended {self.status} {int(killed)} {int(self.abandoned())} {left}")

    def _wait(self, wake: int) -> float | None:
        """Wait; return the grace (s) with which to end the program, or None when it has exited by itself."""
        poller = select.poll()
        for fd in (self.fd, wake, self.lifeline):
            poller.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poller.poll(500)]
            caught = os.read(wake, 4096) if wake in ready else b""
            asked = self._hear() if self.fd in ready else None
            self.living()
            if self.status is not None:
                return None
            if asked == b"" or self.abandoned():
                return 0.0
            if asked:
                return float(asked.split()[-1])
            if signal.SIGTERM in caught:
                return GRACE


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def enter(group: str) -> bool:
    """Move this process into the cgroup `group`; return False if the kernel refuses."""
    try:
        with open(f"{group}/cgroup.procs", "wb", 0) as procs:  # noqa: PTH123
            procs.write(str(os.getpid()).encode())
    except OSError:
        return False
    return True


def keep(leash: int, guard: int, lifeline: int, group: str) -> None:
    """The keeper's work: wait for the end of the leash, then end what a killed leash left, which this process adopted.

    Meanwhile it looks whether the guard lives, and tells the leash if not; it then also removes the cgroup `group`.
    """
    held = [lifeline]

    def look(*_: object) -> None:
        # A copy of the leash's socket in some fork of the guard would hide from it that the guard is gone.
        if held and os.getppid() != guard:
            os.close(held.pop())

    signal.signal(signal.SIGALRM, look)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, LOOK, LOOK)
    os.waitpid(leash, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)

    def living() -> list[int]:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return tree(os.getpid())

    act(living, 0.0)
    if group and os.getppid() != guard:
        remove(group)


def remove(group: str) -> bool:
    """Remove the empty cgroup `group`, and the empty ones in it that a run within the run may have left.

    A cgroup is busy for a moment after its last process has died. Returns False if it is so for a second.
    """
    for _ in range(200):
        if _removed(group):
            return True
        time.sleep(0.005)
    return False


def _removed(group: str) -> bool:
    try:
        with os.scandir(group) as entries:
            for inner in [entry.path for entry in entries if entry.is_dir()]:
                _removed(inner)
        os.rmdir(group)  # noqa: PTH106
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def hold_on(fd: int, lifeline: int, group: str, argv: list[str]) -> None:
    """The leash's work, from start to end: run the program of `argv` and leave nothing of it behind."""
    leash = Leash(fd, lifeline, group)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    if failure := leash.start(argv):
        leash.say(f"failed {failure}")
        return
    _let_go_of_streams()
    leash.say(f"started {leash.program} {os.getpid()} {int(leash.inside)}")
    leash.hold(wake)


def _let_go_of_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # or a reader of the program's pipes would wait for us
        os.dup2(null, stream)


def main() -> None:
    """Become keeper and leash, by a fork."""
    fd, guard, group = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    os.set_inheritable(fd, False)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # not inherited by a fork
    lifeline, held = os.pipe()
    if leash := os.fork():
        os.close(fd)
        os.close(lifeline)
        _let_go_of_streams()
        keep(leash, guard, held, group)
    else:
        os.close(held)
        hold_on(fd, lifeline, group, sys.argv[4:])
    os._exit(0)  # there is nothing to tidy up, and it would take 10 ms


if __name__ == "__main__":
    main()
