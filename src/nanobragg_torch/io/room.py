"""Whether what is about to be read fits into memory; asked before anything is read."""

import re
from contextlib import suppress
from pathlib import Path

from nanobragg_torch.errors import DoesNotFit

SHARE = 0.8  # of what is free; the rest is for whoever else runs


def require_room(need: int, what: str) -> None:
    """Raise DoesNotFit, with both sizes, where `what` needs more bytes than this process may still take."""
    there = available()
    if there is not None and need > SHARE * there:
        raise DoesNotFit(f"{what}: needs {_shown(need)} of memory, there are {_shown(int(SHARE * there))}")


def available(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: the least of host, memory cgroups and rlimits; None where unknown.

    root: where /proc and /sys are looked for.
    """
    bounds = [*_host(root), *_cgroups(root), *_rlimits(root)]
    return max(0, min(bounds)) if bounds else None


def _host(root: Path) -> list[int]:
    return [1024 * kilobytes for kilobytes in _fields(root / "proc/meminfo", "MemAvailable")]


def _rlimits(root: Path) -> list[int]:
    try:
        import resource
    except ImportError:  # no Unix
        return []
    status = root / "proc/self/status"
    held = {"RLIMIT_AS": _fields(status, "VmSize"), "RLIMIT_DATA": _fields(status, "VmData")}
    soft = {name: resource.getrlimit(getattr(resource, name))[0] for name in held}
    return [soft[name] - 1024 * sum(held[name]) for name in held if soft[name] != resource.RLIM_INFINITY]


def _cgroups(root: Path) -> list[int]:
    """What each memory cgroup above this process leaves; page cache, which can be given back, is nobody's."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, name = line.split(":", 2)
        if number == "0" and not controllers:
            mount, limit, used = root / "sys/fs/cgroup", "memory.max", "memory.current"
            cache = ("inactive_file", "active_file")
        elif "memory" in controllers.split(","):
            mount, limit, used = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = ("total_inactive_file", "total_active_file")
        else:
            continue
        inside = mount / name.lstrip("/")
        # a container may show its own cgroup as the mount alone
        for folder in dict.fromkeys((inside, *(p for p in inside.parents if p.is_relative_to(mount)), mount)):
            bound, taken = _text(folder / limit).strip(), _text(folder / used).strip()
            if bound.isdigit() and taken.isdigit():
                found.append(int(bound) - int(taken) + sum(_fields(folder / "memory.stat", *cache)))
    return found


def _fields(file: Path, *names: str) -> list[int]:
    """The numbers of the lines `NAME number` or `NAME: number` of a file."""
    return [int(value) for name, value in re.findall(r"(?m)^(\w+):?\s+(\d+)", _text(file)) if name in names]


def _text(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(encoding="ascii", errors="replace")
    return ""


def _shown(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 10 * 2**30 else f"{count / 2**20:.0f} MiB"
