"""What memory a process tree may use (current_limit), what it uses (read, measure), and what follows (decide)."""

import ctypes
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum
from itertools import pairwise

from nanobragg_torch import memory
from nanobragg_torch.errors import FlagError
from nanobragg_torch.memory import STOP_PERCENT, Limit
from tools.scaling.base.errors import BadInput

WARN_PERCENT = 70
KCMP, KCMP_VM = {"x86_64": 312, "aarch64": 272}, 1  # the system call's number, linux/kcmp.h


class Action(Enum):
    """What the guard does next."""

    OK = "ok"
    WARN = "warn"
    STOP = "stop"

    def __bool__(self) -> bool:
        raise TypeError(f"an action is no truth value, compare it: {self} is Action.OK")


def current_limit(memory_limit: int | None = None) -> Limit:
    """Return what a process tree may use now, as `nanobragg_torch.memory.limit` does.

    Raises BadInput if `memory_limit` is not positive.
    """
    try:
        return memory.limit(memory_limit)
    except FlagError as error:
        raise BadInput(str(error)) from error


def read(pids: Iterable[int]) -> dict[int, int]:
    """Return pid -> bytes of anonymous and shared memory, without mapped files and page cache, at little cost.

    What processes share after a fork counts in each of them. A process that is gone is left out.
    Where there is no /proc it is the resident set, which holds mapped files, too.
    """
    if sys.platform != "linux":
        return _resident(pids)
    return _fields(pids, "status", b"\nRssAnon:", b"\nRssShmem:")


def read_proportional(pids: Iterable[int]) -> dict[int, int]:
    """Return the same as `read`, with memory that n processes share counted 1/n in each, so that the sum is true.

    The kernel walks the page tables for it, some milliseconds a GiB. A process of which it does not tell is left out.
    """
    return _fields(pids, "smaps_rollup", b"\nPss_Anon:", b"\nPss_Shmem:")


def measure(pids: Iterable[int], limit: Limit) -> dict[int, int]:
    """Return pid -> bytes as `read` does; where their sum comes near `limit`, as `read_proportional` does."""
    usage = _each_space_once(read(pids))
    for _ in range(2):  # the second for a fork or an exit in the middle of the first, which then is too high
        if len(usage) > 1 and decide(sum(usage.values()), limit) is not Action.OK:
            shares = read_proportional(usage)
            usage = _each_space_once(read(usage.keys() - shares.keys()) | shares)
    return usage


def _each_space_once(usage: dict[int, int]) -> dict[int, int]:
    """Return `usage` (pid -> bytes) with one process for each address space, so that no memory counts twice.

    posix_spawn and subprocess start a program by vfork: until the child runs the program, it lives in its parent's
    memory. On a busy machine that lasts long enough to be seen.
    """
    ordered = sorted(usage, key=usage.__getitem__)
    twins = {two for one, two in pairwise(ordered) if usage[two] < 1.1 * usage[one] and _same_space(one, two)}
    return {pid: count for pid, count in usage.items() if pid not in twins}


def _same_space(one: int, two: int) -> bool:
    """Return whether two processes share one address space, as threads do; False where the kernel does not tell."""
    call = KCMP.get(platform.machine()) if sys.platform == "linux" else None
    return call is not None and ctypes.CDLL(None).syscall(call, one, two, KCMP_VM, 0, 0) == 0


def _fields(pids: Iterable[int], file: str, *names: bytes) -> dict[int, int]:
    """Return pid -> bytes, the sum of the named fields (`Name: number kB`) of /proc/PID/FILE, where it has them all."""
    usage = {}
    for pid in pids:
        with suppress(OSError, ValueError):
            with open(f"/proc/{pid}/{file}", "rb", 0) as stream:  # noqa: PTH123 - 50 times a second
                text = stream.read()
            starts = [text.index(name) + len(name) for name in names]
            usage[pid] = 1024 * sum(int(text[start : text.index(b"kB", start)]) for start in starts)
    return usage


def _resident(pids: Iterable[int]) -> dict[int, int]:
    import psutil  # type: ignore[import-untyped]

    usage = {}
    for pid in pids:
        with suppress(psutil.Error):
            usage[pid] = int(psutil.Process(pid).memory_info().rss)
    return usage


def decide(usage: int, limit: Limit) -> Action:
    """Return STOP if `usage` (bytes) is 80 % of the limit or more, WARN from 70 % on, else OK."""
    if usage * 100 >= limit.bytes * STOP_PERCENT:
        return Action.STOP
    return Action.WARN if usage * 100 >= limit.bytes * WARN_PERCENT else Action.OK
