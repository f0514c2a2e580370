"""Memory: what a process may use here, by the host, every cgroup above it (v1 and v2), its rlimits, and its giver.

Every function takes `root`, the folder under which /proc and /sys are looked for. Where a file is missing,
unreadable or says "max", there is no limit, and nothing is raised.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nanobragg_torch.errors import FlagError

ROOT = Path("/")
STOP_PERCENT = 80  # of a limit: what a plan may take, and what a guard stops at
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


def mebibytes(count: int) -> str:
    """`count` bytes for a reader: 171 MiB, 23.5 GiB."""
    return f"{count / 2**20:.0f} MiB" if count < 10 * 2**30 else f"{count / 2**30:.1f} GiB"


def limit(memory_limit: int | None = None, *, own: int = 0, root: Path = ROOT) -> Limit:
    """The least of host memory, every cgroup above this process, its rlimits and `memory_limit`.

    What others use now counts against the host and the cgroups; rlimits and `memory_limit` (--memory-limit, bytes)
    are the tree's own. Page cache is nobody's.
    own: bytes that the tree to be limited holds already. root: where /proc and /sys are looked for.
    Raises FlagError if `memory_limit` is not positive.
    """
    import psutil  # type: ignore[import-untyped]

    if memory_limit is not None and memory_limit <= 0:
        raise FlagError(f"--memory-limit: expected a positive number of bytes, got {memory_limit}")
    host = psutil.virtual_memory()
    choices = [_less("host", host.total, host.total - host.available - own)]
    for level in limits(root):
        if level.limit < host.total:
            choices.append(_less(level.source, level.limit, level.used - own, str(level.path)))
    choices += [Limit(bound, name, bound) for name, bound in _rlimits() if bound < host.total]
    if memory_limit is not None:
        choices.append(Limit(memory_limit, "--memory-limit", memory_limit))
    return min(choices, key=lambda choice: choice.bytes)


def own_memory() -> int:
    """Bytes that this process holds already."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _less(source: str, total: int, others: int, where: str = "") -> Limit:
    others = max(0, others)
    return Limit(max(0, total - others), source, total, others, where)


def _rlimits() -> list[tuple[str, int]]:
    try:
        import resource
    except ImportError:  # no Unix
        return []

    soft = [(name, resource.getrlimit(getattr(resource, name))[0]) for name in RLIMITS]
    return [(name, bound) for name, bound in soft if 0 <= bound != resource.RLIM_INFINITY]


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
    for line in lines(root / "proc" / str(pid) / "cgroup"):
        number, controllers, name = line.split(":", 2)
        if number == "0" and not controllers:
            names["cgroup v2"] = name
        elif "memory" in controllers.split(","):
            names["cgroup v1"] = name
    by_source: dict[str, list[tuple[str, Path]]] = {}
    for source, mount_root, mount in _mounts(root):
        if source in names and source not in by_source:
            inside = _inside(names[source], mount_root)
            levels = [inside, *inside.parents]
            by_source[source] = [(source, root / str(mount).lstrip("/") / level) for level in levels]
    return [level for levels in by_source.values() for level in levels]


def _mounts(root: Path) -> list[tuple[str, str, str]]:
    """(source, root within the hierarchy, mount point) of each mount that can hold memory cgroups."""
    mounts = []
    for line in lines(root / "proc/self/mountinfo"):
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
            bounds += table(path / "memory.stat", "hierarchical_memory_limit").values()
            used = _number(path / "memory.usage_in_bytes")
            cache = table(path / "memory.stat", "total_inactive_file", "total_active_file")
        else:
            # Over memory.high a process is not killed but slowed down until it stands still.
            bounds = [_number(path / "memory.max"), _number(path / "memory.high")]
            used = _number(path / "memory.current")
            cache = table(path / "memory.stat", "inactive_file", "active_file")
        limit = min((bound for bound in bounds if bound is not None), default=None)
        if limit is not None:
            levels.append(Level(source, path, limit, max(0, (used or 0) - sum(cache.values()))))
    return levels


def lines(file: Path) -> list[str]:
    """The lines of a file of the kernel; none where it cannot be read."""
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _number(file: Path) -> int | None:
    text = "".join(lines(file)).strip()
    return int(text) if text.isdigit() else None


def table(file: Path, *names: str) -> dict[str, int]:
    """The named numbers of a file of `name number` lines, where it has them."""
    pairs = (line.split() for line in lines(file))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] in names}
