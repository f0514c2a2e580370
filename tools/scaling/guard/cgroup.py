"""Linux memory cgroups, v1 and v2: making one for a command, and the kernel's counts of what it killed in them.

Every function takes `root`, the folder under which /proc and /sys are looked for. Where a file is missing,
unreadable or says "max", there is no limit, or no counter, and nothing is raised.
"""

import itertools
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nanobragg_torch.memory import ROOT, folders, lines, table
from tools.scaling.guard import leash

_NAME = re.compile(r"scaling-guard-(\d+)-(\d+)-(\d+)-\d+")
_numbers = itertools.count()


@dataclass(frozen=True)
class Cgroup:
    """A memory cgroup made for one process tree, so that what its counters say is about nobody else."""

    source: str  # "cgroup v1" or "cgroup v2"
    folder: Path

    def pids(self) -> list[int]:
        """Return the pids of all processes in it, whoever their parent is and whatever session they are in."""
        return [int(line) for line in lines(self.folder / "cgroup.procs") if line.isdigit()]

    def remove(self) -> bool:
        """Remove it, which must hold no process; return False if the kernel still calls it busy after a second."""
        return leash.remove(str(self.folder))


def make_group(limit: int, root: Path = ROOT) -> Cgroup | None:
    """Make a child of this process's memory cgroup, limited to `limit` bytes; return None where that is refused.

    It takes the right to write there (root, a delegated cgroup), and on v2 the memory controller for children.
    Groups that dead runs have left there are emptied and removed first.
    """
    for source, parent in _innermost(root):
        sweep(parent)
        folder = parent / f"scaling-guard-{_self_name(root)}-{next(_numbers)}"
        names = ("limit_in_bytes", "memsw.limit_in_bytes") if source == "cgroup v1" else ("max", "swap.max")
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if not (folder / "cgroup.procs").exists() or not (folder / f"memory.{names[0]}").exists():
                raise FileNotFoundError
            (folder / f"memory.{names[0]}").write_text(str(limit))
        except OSError:
            with suppress(OSError):
                folder.rmdir()
            continue
        with suppress(OSError):  # no swap accounting
            (folder / f"memory.{names[1]}").write_text(str(limit) if source == "cgroup v1" else "0")
        return Cgroup(source, folder)
    return None


def sweep(parent: Path) -> list[Path]:
    """End what still lives in the groups of dead runs below `parent`, remove the groups, and return them."""
    swept = []
    with suppress(OSError):
        for folder in parent.iterdir():
            match = _NAME.fullmatch(folder.name)
            if match is None or match[1] != _namespace() or _start_of(match[2]) == match[3]:
                continue
            sweep(folder)  # a run within that run
            left = Cgroup("", folder)
            leash.act(left.pids, 0.0)
            left.remove()
            swept.append(folder)
    return swept


def _innermost(root: Path) -> list[tuple[str, Path]]:
    """Return (source, folder) of the memory cgroup that holds this process, in each hierarchy."""
    nearest: dict[str, Path] = {}
    for source, folder in folders(root=root):
        nearest.setdefault(source, folder)
    return [*nearest.items()]


def _self_name(root: Path) -> str:
    """Return a name of this process that no other one has: pid namespace, pid and start, as pids are used again."""
    return f"{_namespace()}-{os.getpid()}-{_start_of(os.getpid())}"


def _namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116 - a link that is no path
    except OSError:
        return "0"


def _start_of(pid: int | str) -> str:
    """Return when the process was started, in the kernel's ticks; empty if it is gone."""
    stat = "".join(lines(ROOT / "proc" / str(pid) / "stat")).rpartition(")")[2].split()
    return stat[19] if len(stat) > 19 and stat[0] not in "ZX" else ""


class OomCounters:
    """The kernel's counts of processes that it killed for want of memory, in the cgroups of a guarded command.

    own: the cgroup that the command was put in; without one, that of this process is watched. `watch` adds others.
    """

    def __init__(self, root: Path = ROOT, own: Cgroup | None = None) -> None:
        self._root = root
        self._first: dict[tuple[Path, str], int] = {}
        self._seen: set[str] = set()
        # Counts the whole machine: speaks only where no cgroup does.
        self._machine = table(root / "proc/vmstat", "oom_kill").get("oom_kill")
        if own is None or not self._watch_file(own.source, own.folder, f"its own {own.source}"):
            self.watch("self")

    def _watch_file(self, source: str, folder: Path, shown: str = "") -> bool:
        """Watch the counter of one cgroup, called `shown` in words; return False if it has none."""
        file = folder / ("memory.oom_control" if source == "cgroup v1" else "memory.events")
        count = table(file, "oom_kill").get("oom_kill")
        if count is not None and all(known != file for known, _ in self._first):
            self._first[(file, shown or f"{source} {file}")] = count
        return count is not None

    def watch(self, pid: int | str) -> None:
        """Watch the memory cgroups that `pid` is in, from now on."""
        text = "\n".join(lines(self._root / "proc" / str(pid) / "cgroup"))
        if not text or text in self._seen:
            return
        self._seen.add(text)
        nearest = set()
        for source, path in folders(pid, self._root):
            if source not in nearest and self._watch_file(source, path):  # v2 counts for the levels below, too
                nearest.add(source)

    def moved(self) -> str:
        """Return in words which counter has risen since it was first read, and by how much; empty if none has."""
        for (file, shown), first in self._first.items():
            if rise := table(file, "oom_kill").get("oom_kill", first) - first:
                return f"oom_kill of {shown} rose by {rise}"
        if not self._first and self._machine is not None:
            vmstat = self._root / "proc/vmstat"
            if rise := table(vmstat, "oom_kill").get("oom_kill", self._machine) - self._machine:
                return f"oom_kill of {vmstat} rose by {rise}"
        return ""
