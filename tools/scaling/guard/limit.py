"""Memory in three functions: limit (what a process tree may use), read (what it uses), decide (what follows)."""

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
    """pid -> its anonymous and shared memory in bytes; no mapped files, no page cache. Cheap.

    What processes share after a fork counts in each of them. A process that is gone is left out.
    Where there is no /proc: the resident set, which holds mapped files, too.
    """
    if sys.platform != "linux":
        return _resident(pids)
    return _fields(pids, "status", b"\nRssAnon:", b"\nRssShmem:")


def read_proportional(pids: Iterable[int]) -> dict[int, int]:
    """As `read`, but what n processes share counts 1/n in each: their sum is true.

    It walks the page tables, some milliseconds a GiB; what the kernel does not tell is left out.
    """
    return _fields(pids, "smaps_rollup", b"\nPss_Anon:", b"\nPss_Shmem:")


def measure(pids: Iterable[int], limit: Limit) -> dict[int, int]:
    """`read`; where several processes come near `limit` by it, corrected by `read_proportional`."""
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
    """Whether two processes share their memory as threads do; False where the kernel does not tell."""
    call = KCMP.get(platform.machine()) if sys.platform == "linux" else None
    return call is not None and ctypes.CDLL(None).syscall(call, one, two, KCMP_VM, 0, 0) == 0


def _fields(pids: Iterable[int], file: str, *names: bytes) -> dict[int, int]:
    """pid -> the sum of the named `Name: number kB` fields of /proc/PID/FILE, where it has them all."""
    found = {}
    for pid in pids:
        with suppress(OSError, ValueError):
            with open(f"/proc/{pid}/{file}", "rb", 0) as stream:  # noqa: PTH123 - 50 times a second
                text = stream.read()
            starts = [text.index(name) + len(name) for name in names]
            found[pid] = 1024 * sum(int(text[start : text.index(b"kB", start)]) for start in starts)
    return found


def _resident(pids: Iterable[int]) -> dict[int, int]:
    import psutil  # type: ignore[import-untyped]

    found = {}
    for pid in pids:
        with suppress(psutil.Error):
            found[pid] = int(psutil.Process(pid).memory_info().rss)
    return found


def decide(usage: int, limit: Limit) -> Action:
    """STOP from 80 % of the limit on, WARN from 70 %; both in bytes."""
    if usage * 100 >= limit.bytes * STOP_PERCENT:
        return Action.STOP
    return Action.WARN if usage * 100 >= limit.bytes * WARN_PERCENT else Action.OK
