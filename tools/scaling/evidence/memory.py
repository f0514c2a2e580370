"""Memory in three functions: limit (what a process tree may use), read (what it uses), decide (what follows)."""

import ctypes
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path

from tools.scaling.errors import BadInput
from tools.scaling.evidence import cgroup

WARN_PERCENT, STOP_PERCENT = 70, 80
KCMP, KCMP_VM = {"x86_64": 312, "aarch64": 272}, 1  # the system call's number, linux/kcmp.h
RLIMITS = ("RLIMIT_AS", "RLIMIT_DATA")


@dataclass(frozen=True)
class Limit:
    """What a process tree may use, in bytes: `total` of its source less what `others` use.

    source: host, cgroup v1, cgroup v2, RLIMIT_AS, RLIMIT_DATA or --memory-limit; where: the cgroup's folder.
    """

    bytes: int
    source: str
    total: int
    others: int = 0
    where: str = ""

    def __str__(self) -> str:
        less = f": {mebibytes(self.total)} less {mebibytes(self.others)} that others use" if self.others else ""
        return f"{mebibytes(self.bytes)} ({f'{self.source} {self.where}'.strip()}{less})"


class Action(Enum):
    """What the guard does next."""

    OK = "ok"
    WARN = "warn"
    STOP = "stop"

    def __bool__(self) -> bool:
        raise TypeError(f"an action is no truth value, compare it: {self} is Action.OK")


def mebibytes(count: int) -> str:
    """`count` bytes for a reader: 171 MiB, 23.5 GiB."""
    return f"{count / 2**20:.0f} MiB" if count < 10 * 2**30 else f"{count / 2**30:.1f} GiB"


def limit(memory_limit: int | None = None, *, own: int = 0, root: Path = cgroup.ROOT) -> Limit:
    """The least of host memory, every cgroup above this process, its rlimits and `memory_limit`.

    What others use now counts against the host and the cgroups; rlimits and `memory_limit` (--memory-limit, bytes)
    are the tree's own. Page cache is nobody's.
    own: bytes that the tree to be limited holds already. root: where /proc and /sys are looked for.
    Raises BadInput if `memory_limit` is not positive.
    """
    import psutil  # type: ignore[import-untyped]

    if memory_limit is not None and memory_limit <= 0:
        raise BadInput(f"--memory-limit: expected a positive number of bytes, got {memory_limit}")
    host = psutil.virtual_memory()
    choices = [_less("host", host.total, host.total - host.available - own)]
    for level in cgroup.limits(root):
        if level.limit < host.total:
            choices.append(_less(level.source, level.limit, level.used - own, str(level.path)))
    choices += [Limit(bound, name, bound) for name, bound in _rlimits() if bound < host.total]
    if memory_limit is not None:
        choices.append(Limit(memory_limit, "--memory-limit", memory_limit))
    return min(choices, key=lambda choice: choice.bytes)


def _less(source: str, total: int, others: int, where: str = "") -> Limit:
    others = max(0, others)
    return Limit(max(0, total - others), source, total, others, where)


def _rlimits() -> list[tuple[str, int]]:
    import resource

    soft = [(name, resource.getrlimit(getattr(resource, name))[0]) for name in RLIMITS]
    return [(name, bound) for name, bound in soft if 0 <= bound != resource.RLIM_INFINITY]


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
    """`usage` without those who are in the address space of another: a child of vfork, until it is its program.

    posix_spawn and subprocess start programs so; on a busy machine that state lasts long enough to be seen.
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
    import psutil

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
