"""limit, read and decide, each alone: on invented /proc and /sys trees, and on this machine."""

import resource
import subprocess
import sys
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from nanobragg_torch.memory import Limit, limit
from tools.scaling.base.errors import BadInput
from tools.scaling.guard.cgroup import OomCounters
from tools.scaling.guard.limit import Action, current_limit, decide, read, read_proportional
from tools.scaling.guard.outcome import GuardVerdict

MIB = 2**20
Memory = namedtuple("Memory", "total available")
V1_NONE = "9223372036854771712"
V1_MOUNT = "35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory"
V2_MOUNT = "41 31 0:38 {root} /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def host(monkeypatch):
    """A host of 1000 MiB, of which others use 100."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(1000 * MIB, 900 * MIB))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def v2(root: Path, levels: dict[str, dict[str, object]], *, name: str, mount_root: str = "/") -> Path:
    files = {"proc/self/cgroup": f"0::{name}", "proc/self/mountinfo": V2_MOUNT.format(root=mount_root)}
    for level, values in levels.items():
        files |= {f"sys/fs/cgroup/{level}/memory.{key}": str(value) for key, value in values.items()}
    return write(root, files)


def v1(root: Path, levels: dict[str, dict[str, object]], *, name: str, mount_root: str = "/") -> Path:
    files = {
        "proc/self/cgroup": f"9:name=systemd:/x\n4:cpu,memory:{name}\n0::/",
        "proc/self/mountinfo": V1_MOUNT.format(root=mount_root),
    }
    for level, values in levels.items():
        files |= {f"sys/fs/cgroup/memory/{level}/memory.{key}": str(value) for key, value in values.items()}
    return write(root, files)


def test_host_less_what_others_use(host, tmp_path):
    found = limit(root=tmp_path)
    assert found == Limit(900 * MIB, "host", 1000 * MIB, 100 * MIB)
    assert str(found) == "900 MiB (host: 1000 MiB less 100 MiB that others use)"


def test_v2_parent_is_the_least_and_its_page_cache_is_nobodys(host, tmp_path):
    stat = f"anon 1\ninactive_file {60 * MIB}\nactive_file {40 * MIB}\nslab 7"
    levels = {
        "job/step": {"max": 800 * MIB, "current": 10 * MIB, "stat": "anon 1"},
        "job": {"max": 500 * MIB, "current": 300 * MIB, "stat": stat},
    }
    found = limit(root=v2(tmp_path, levels, name="/job/step"))
    where = tmp_path / "sys/fs/cgroup/job"
    assert found == Limit(300 * MIB, "cgroup v2", 500 * MIB, 200 * MIB, str(where))
    assert str(found) == f"300 MiB (cgroup v2 {where}: 500 MiB less 200 MiB that others use)"


def test_v2_max_is_no_limit_but_high_is(host, tmp_path):
    levels = {"job": {"max": "max", "high": "max", "current": 300 * MIB}}
    assert limit(root=v2(tmp_path, levels, name="/job")).source == "host"
    write(tmp_path, {"sys/fs/cgroup/job/memory.high": str(400 * MIB)})
    assert limit(root=tmp_path).bytes == 100 * MIB


def test_v2_in_a_container_the_mount_is_the_group(host, tmp_path):
    levels = {".": {"max": 200 * MIB, "current": 20 * MIB}}
    assert limit(root=v2(tmp_path, levels, name="/docker/7f", mount_root="/docker/7f")).bytes == 180 * MIB
    write(tmp_path, {"proc/self/cgroup": "0::/../../elsewhere"})
    assert limit(root=tmp_path).bytes == 180 * MIB


def test_v1_nested_and_hidden_limits(host, tmp_path):
    stat = f"total_inactive_file {30 * MIB}\ninactive_file 1\nhierarchical_memory_limit {V1_NONE}"
    levels = {
        "a/b": {"limit_in_bytes": V1_NONE, "usage_in_bytes": 50 * MIB, "stat": stat},
        "a": {"limit_in_bytes": 600 * MIB, "usage_in_bytes": 130 * MIB, "stat": stat},
        ".": {"limit_in_bytes": V1_NONE, "usage_in_bytes": 900 * MIB},
    }
    found = limit(root=v1(tmp_path, levels, name="/a/b"))
    where = str(tmp_path / "sys/fs/cgroup/memory/a")
    assert found == Limit(500 * MIB, "cgroup v1", 600 * MIB, 100 * MIB, where)
    hidden = f"total_inactive_file {30 * MIB}\nhierarchical_memory_limit {400 * MIB}"
    write(tmp_path, {"sys/fs/cgroup/memory/a/b/memory.stat": hidden})
    assert limit(root=tmp_path).bytes == 380 * MIB


def test_v1_without_limits_leaves_the_host(host, tmp_path):
    levels = {"a": {"limit_in_bytes": V1_NONE, "usage_in_bytes": 50 * MIB}}
    assert limit(root=v1(tmp_path, levels, name="/a")).source == "host"


def test_memory_limit_is_the_trees_own(host, tmp_path):
    found = limit(200 * MIB, root=tmp_path)
    assert found == Limit(200 * MIB, "--memory-limit", 200 * MIB)
    assert str(found) == "200 MiB (--memory-limit)"
    assert limit(950 * MIB, root=tmp_path).source == "host"


@pytest.mark.parametrize("value", [0, -5])
def test_memory_limit_must_be_positive(value):
    with pytest.raises(BadInput, match=f"^--memory-limit: expected a positive number of bytes, got {value}$"):
        current_limit(value)


def test_what_the_tree_holds_already_is_not_others(host, tmp_path):
    assert limit(own=30 * MIB, root=tmp_path).bytes == 930 * MIB
    assert limit(own=300 * MIB, root=tmp_path).bytes == 1000 * MIB


def test_more_used_than_allowed_leaves_nothing(host, tmp_path):
    assert limit(root=v2(tmp_path, {"j": {"max": MIB, "current": 9 * MIB}}, name="/j")).bytes == 0


def test_rlimit(host, tmp_path, monkeypatch):
    monkeypatch.setattr(
        resource, "getrlimit", lambda which: (300 * MIB, -1) if which == resource.RLIMIT_AS else (-1, -1)
    )
    assert limit(root=tmp_path) == Limit(300 * MIB, "RLIMIT_AS", 300 * MIB)


def test_this_machine():
    before = psutil.virtual_memory()
    found = limit()
    assert 0 < found.bytes <= before.total
    assert found.bytes <= before.available + 512 * MIB
    if found.source == "host":
        assert found.bytes == pytest.approx(before.available, abs=512 * MIB)


@pytest.mark.parametrize(
    ("usage", "action"),
    [(0, Action.OK), (699, Action.OK), (700, Action.WARN), (799, Action.WARN), (800, Action.STOP), (5000, Action.STOP)],
)
def test_decide(usage, action):
    assert decide(usage, Limit(1000, "host", 1000)) is action


@pytest.mark.parametrize("status", [Action.OK, Action.STOP, GuardVerdict.OK, GuardVerdict.FAILED])
def test_a_status_is_no_truth_value(status):
    with pytest.raises(TypeError, match="compare it"):
        bool(status)


def test_oom_counter_v2_of_the_nearest_level(tmp_path):
    write(tmp_path, {"proc/vmstat": "oom_kill 5", "proc/12/cgroup": "0::/job/step"})
    v2(tmp_path, {"job": {"events": "oom 4\noom_kill 3"}}, name="/job/step")
    counters = OomCounters(tmp_path)
    counters.watch(12)
    assert counters.moved() == ""
    write(tmp_path, {"proc/vmstat": "oom_kill 6"})
    assert counters.moved() == "", "the machine's count may be about anybody"
    events = tmp_path / "sys/fs/cgroup/job/memory.events"
    events.write_text("oom 5\noom_kill 5\n")
    assert counters.moved() == f"oom_kill of cgroup v2 {events} rose by 2"


def test_oom_counter_v1_of_a_group_entered_later(tmp_path):
    control = {"oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 7"}
    v1(tmp_path, {"a": control, "b": control}, name="/a")
    write(tmp_path, {"proc/12/cgroup": "4:memory:/b"})
    counters = OomCounters(tmp_path)
    counters.watch(12)
    file = tmp_path / "sys/fs/cgroup/memory/b/memory.oom_control"
    file.write_text("oom_kill 8\n")
    assert counters.moved() == f"oom_kill of cgroup v1 {file} rose by 1"


def test_oom_counter_of_the_machine_where_no_group_counts(tmp_path):
    write(tmp_path, {"proc/vmstat": "nr_free_pages 9\noom_kill 5"})
    counters = OomCounters(tmp_path)
    assert counters.moved() == ""
    write(tmp_path, {"proc/vmstat": "nr_free_pages 9\noom_kill 6"})
    assert counters.moved() == f"oom_kill of {tmp_path}/proc/vmstat rose by 1"


@contextmanager
def python(code: str):
    """A child that has run `code` and waits; its pid."""
    code += "\nprint('ready', flush=True)\ninput()\n"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as child:
        try:
            assert child.stdout.readline() == b"ready\n"
            yield child.pid
        finally:
            child.communicate(b"\n")


@linux
def test_read_counts_anonymous_memory():
    with python("block = bytearray(64 << 20)") as pid:
        assert 64 * MIB <= read([pid])[pid] < 90 * MIB
        assert read_proportional([pid])[pid] == pytest.approx(read([pid])[pid], abs=2 * MIB)


@linux
def test_read_counts_no_mapped_file_and_no_page_cache(tmp_path):
    (tmp_path / "file").write_bytes(bytes(64 * MIB))
    code = f"""
import mmap
with open({str(tmp_path / "file")!r}, "rb") as f:
    while f.read(1 << 20): pass
    m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
sum(m[::4096])
"""
    with python(code) as pid:
        assert psutil.Process(pid).memory_info().rss > 64 * MIB
        assert read([pid])[pid] < 30 * MIB


@linux
def test_what_a_fork_shares_counts_once_in_proportion():
    code = """
import mmap, os
shared = mmap.mmap(-1, 64 << 20)
own = bytearray(32 << 20)
shared[::4096] = b"x" * (64 << 8)
reading, writing = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        sum(shared[::4096])
        os.write(writing, b".")
        input()
        os._exit(0)
for _ in range(3):
    os.read(reading, 1)
"""
    with python(code) as pid:
        pids = [pid, *(child.pid for child in psutil.Process(pid).children())]
        assert len(pids) == 4
        assert sum(read(pids).values()) > 4 * 90 * MIB
        assert 96 * MIB <= sum(read_proportional(pids).values()) < 130 * MIB
        for child in pids[1:]:
            psutil.Process(child).kill()


def test_read_leaves_out_who_is_gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert read([child.pid]) == {}
