"""Linux memory cgroups, v1 and v2: what they leave to a process, whom the kernel killed in them, one of our own.

Every function takes `root`, the folder under which /proc and /sys are looked for. Where a file is missing,
unreadable or says "max", there is no limit, or no counter, and nothing is raised.
"""

import itertools
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tools.scaling.evidence import leash

ROOT = Path("/")
_NAME = re.compile(r"scaling-guard-(\d+)-(\d+)-(\d+)-\d+")
_numbers = itertools.count()


@dataclass(frozen=True)
class Level:
    """One memory cgroup, and what it says, in bytes. used: without the page cache that it could give back."""

    source: str  # "cgroup v1" or "cgroup v2"
    path: Path
    limit: int
    used: int


def folders(pid: int | str = "self", root: Path = ROOT) -> list[tuple[str, Path]]:
    """(source, folder) of each memory cgroup that holds `pid`: the innermost first, then its parents."""
    names = {}
    for line in _lines(root / "proc" / str(pid) / "cgroup"):
        number, controllers, name = line.split(":", 2)
        if number == "0" and not controllers:
            names["cgroup v2"] = name
        elif "memory" in controllers.split(","):
            names["cgroup v1"] = name
    found: dict[str, list[tuple[str, Path]]] = {}
    for source, mount_root, mount in _mounts(root):
        if source in names and source not in found:
            inside = _inside(names[source], mount_root)
            levels = [inside, *inside.parents]
            found[source] = [(source, root / str(mount).lstrip("/") / level) for level in levels]
    return [level for levels in found.values() for level in levels]


def _mounts(root: Path) -> list[tuple[str, str, str]]:
    """(source, root within the hierarchy, mount point) of each mount that can hold memory cgroups."""
    mounts = []
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        mount_root, mount = (field.encode().decode("unicode_escape") for field in before.split()[3:5])
        kind, _, options = after.split(None, 2)
        if kind == "cgroup2":
            mounts.append(("cgroup v2", mount_root, mount))
        elif kind == "cgroup" and "memory" in options.split(","):
            mounts.append(("cgroup v1", mount_root, mount))
    return mounts


def _inside(name: str, mount_root: str) -> PurePosixPath:
    """The cgroup `name` relative to the mount; the mount itself when a container hides where it lies."""
    path = PurePosixPath(name)
    if ".." in path.parts or not path.is_relative_to(mount_root):
        return PurePosixPath(".")
    return path.relative_to(mount_root)


def limits(root: Path = ROOT) -> list[Level]:
    """Every memory limit above this process, hierarchical ones included."""
    levels = []
    for source, path in folders(root=root):
        if source == "cgroup v1":
            # The second holds parents, too, that a container does not show.
            bounds = [_number(path / "memory.limit_in_bytes")]
            bounds += _table(path / "memory.stat", "hierarchical_memory_limit").values()
            used = _number(path / "memory.usage_in_bytes")
            cache = _table(path / "memory.stat", "total_inactive_file", "total_active_file")
        else:
            # Over memory.high a process is not killed but slowed down until it stands still.
            bounds = [_number(path / "memory.max"), _number(path / "memory.high")]
            used = _number(path / "memory.current")
            cache = _table(path / "memory.stat", "inactive_file", "active_file")
        limit = min((bound for bound in bounds if bound is not None), default=None)
        if limit is not None:
            levels.append(Level(source, path, limit, max(0, (used or 0) - sum(cache.values()))))
    return levels


@dataclass(frozen=True)
class Group:
    """A memory cgroup made for one process tree, so that what its counters say is about nobody else."""

    source: str  # "cgroup v1" or "cgroup v2"
    folder: Path

    def pids(self) -> list[int]:
        """Every process in it, whoever its parent is and whatever session it is in."""
        return [int(line) for line in _lines(self.folder / "cgroup.procs") if line.isdigit()]

    def remove(self) -> bool:
        """Remove it, once it is empty; False if it stays busy for a second."""
        return leash.remove(str(self.folder))


def make_group(limit: int, root: Path = ROOT) -> Group | None:
    """A child of our own memory cgroup, limited to `limit` bytes, or None where the kernel gives us none.

    Needs the right to write there (root, a delegated cgroup), and on v2 the memory controller for children.
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
        return Group(source, folder)
    return None


def sweep(parent: Path) -> list[Path]:
    """End what still lives in the groups of dead runs below `parent`, and remove them. Returns these groups."""
    found = []
    with suppress(OSError):
        for folder in parent.iterdir():
            match = _NAME.fullmatch(folder.name)
            if match is None or match[1] != _namespace() or _start_of(match[2]) == match[3]:
                continue
            sweep(folder)  # a run within that run
            left = Group("", folder)
            leash.act(left.pids, 0.0)
            left.remove()
            found.append(folder)
    return found


def _innermost(root: Path) -> list[tuple[str, Path]]:
    """The cgroup that holds us in each hierarchy."""
    nearest: dict[str, Path] = {}
    for source, folder in folders(root=root):
        nearest.setdefault(source, folder)
    return [*nearest.items()]


def _self_name(root: Path) -> str:
    """This process in words that no other one has: its pid namespace, pid and start (pids are used again)."""
    return f"{_namespace()}-{os.getpid()}-{_start_of(os.getpid())}"


def _namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116 - a link that is no path
    except OSError:
        return "0"


def _start_of(pid: int | str) -> str:
    """When `pid` was started, in the kernel's ticks; empty for one that is gone."""
    stat = "".join(_lines(ROOT / "proc" / str(pid) / "stat")).rpartition(")")[2].split()
    return stat[19] if len(stat) > 19 and stat[0] not in "ZX" else ""


class OomCounters:
    """The kernel's own counts of OOM kills that concern a set of processes, each against its first reading.

    own: the group that the set was put in. Without one, the cgroup of this process is watched, too.
    """

    def __init__(self, root: Path = ROOT, own: Group | None = None) -> None:
        self._root = root
        self._first: dict[tuple[Path, str], int] = {}
        self._seen: set[str] = set()
        # Counts the whole machine: speaks only where no cgroup does.
        self._machine = _table(root / "proc/vmstat", "oom_kill").get("oom_kill")
        if own is None or not self._watch_file(own.source, own.folder, f"its own {own.source}"):
            self.watch("self")

    def _watch_file(self, source: str, folder: Path, shown: str = "") -> bool:
        """Heed the counter of one cgroup; False if it has none."""
        file = folder / ("memory.oom_control" if source == "cgroup v1" else "memory.events")
        count = _table(file, "oom_kill").get("oom_kill")
        if count is not None and all(known != file for known, _ in self._first):
            self._first[(file, shown or f"{source} {file}")] = count
        return count is not None

    def watch(self, pid: int | str) -> None:
        """From now on, heed the cgroup that `pid` is in."""
        text = "\n".join(_lines(self._root / "proc" / str(pid) / "cgroup"))
        if not text or text in self._seen:
            return
        self._seen.add(text)
        nearest = set()
        for source, path in folders(pid, self._root):
            if source not in nearest and self._watch_file(source, path):  # v2 counts for the levels below, too
                nearest.add(source)

    def moved(self) -> str:
        """The counter that has risen, by how much, in words; empty if none has."""
        for (file, shown), first in self._first.items():
            if rise := _table(file, "oom_kill").get("oom_kill", first) - first:
                return f"oom_kill of {shown} rose by {rise}"
        if not self._first and self._machine is not None:
            vmstat = self._root / "proc/vmstat"
            if rise := _table(vmstat, "oom_kill").get("oom_kill", self._machine) - self._machine:
                return f"oom_kill of {vmstat} rose by {rise}"
        return ""


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _number(file: Path) -> int | None:
    text = "".join(_lines(file)).strip()
    return int(text) if text.isdigit() else None


def _table(file: Path, *names: str) -> dict[str, int]:
    """The named numbers of a file of `name number` lines, where it has them."""
    pairs = (line.split() for line in _lines(file))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] in names}
