"""The store of campaigns: what is written is read, each seed counts once, and what is torn is known."""

import json
import os
import resource
import subprocess
import sys

import pytest

from tests.scaling.campaign import synthetic
from tools.scaling.base.errors import BadInput
from tools.scaling.campaign.engine import store
from tools.scaling.campaign.record import Result, Status, Verdict

WORKER = {"name": "w", "host": "h", "cpu": "c", "pid": 1, "seconds": 1.0}


def put(folder, seeds, seconds=1.0, key=synthetic.KEY):
    results = [Result(seed, ("-cell",), (Verdict("oracle", Status.ok),), seconds) for seed in seeds]
    return store.put(store.open_key(folder, key), store.pack(results, key, WORKER))


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("0:100", "0:100"), ("7", "7"), ("200:300,0:100", "0:100,200:300"), ("0:60,50:100", "0:100"),
        ("3,1,2,9", "1:4,9"), (" 5 , 5:6 ", "5"),
    ],
)  # fmt: skip
def test_seeds_are_a_set(text, taken):
    assert store.seeds_text(store.parse_seeds(text)) == taken


@pytest.mark.parametrize("text", ["", "5:5", "9:3", "-1", "-5:5", "1:2:3", "a:b", "1.5", ":5", "5:", "1,,2", "0:1e3"])
def test_what_names_no_seed_is_refused(text):
    with pytest.raises(BadInput, match=r"--seeds .*: expected FIRST:END"):
        store.parse_seeds(text)
    for beyond in (str(2**53), f"0:{'9' * 5000}"):
        with pytest.raises(BadInput, match=f"expected FIRST:END with FIRST below END, got seeds beyond {2**53}"):
            store.parse_seeds(beyond)


def test_a_difference_of_seeds():
    wanted = store.parse_seeds("0:10,20:30,40,50:60")
    assert store.seeds_text(store.without(wanted, store.parse_seeds("3,8:22,25:27,40,55:100"))) == (
        "0:3,4:8,22:25,27:30,50:55"
    )
    assert store.without(wanted, []) == wanted
    assert store.without(wanted, wanted) == []
    assert store.without([], wanted) == []
    assert store.without(store.parse_seeds("0:5,6:9"), [range(0, 100)]) == []


def test_what_is_written_is_read(tmp_path):
    """Every kind of verdict, also with numbers that JSON does not have."""
    results = [synthetic.result(seed) for seed in range(300)]
    results[5] = Result(
        5, (), (Verdict("trace", Status.differs, "a\nb", (1, 2), "F_latt", float("inf"), None),
                Verdict("flags", Status.ok, "", None, "x", float("nan")), Verdict("roi", Status.error, "no")), 0.5,
    )  # fmt: skip
    folder = store.open_key(tmp_path, synthetic.KEY)
    path = store.put(folder, store.pack(results, synthetic.KEY, WORKER))
    (shard,) = store.read(folder)
    assert repr(list(shard.results())) == repr(results)  # of nan, == is false
    assert (shard.head["key"], shard.worker, shard.path) == (synthetic.KEY, WORKER, path)
    assert shard.seeds == [range(300)]
    assert json.loads((folder / store.KEY).read_text()) == synthetic.KEY
    assert store.key_folders(tmp_path) == [folder]


def test_merged_stores_count_each_seed_once_and_the_same(tmp_path):
    """Files of two machines in one folder, copied in either order."""
    here, there = tmp_path / "here", tmp_path / "there"
    paths = [put(here, range(0, 100), 1.0), put(there, range(50, 150), 2.0), put(there, range(60, 70), 3.0)]
    made = []
    for order in (paths, paths[::-1]):
        merged = store.open_key(tmp_path / str(len(made)), synthetic.KEY)
        for path in order:
            (merged / path.name).write_bytes(path.read_bytes())
        made.append([(each.seed, each.seconds) for shard in store.read(merged) for each in shard.results()])
    assert made[0] == made[1] == [(seed, 1.0 if seed < 100 else 2.0) for seed in range(150)]


def test_seeds_are_read_alone(tmp_path):
    folder = put(tmp_path, range(10)).parent
    put(tmp_path, range(10, 20))
    put(tmp_path, range(20, 30))
    shards = list(store.read(folder, wanted=store.parse_seeds("7:9,12,90:99")))
    assert [[each.seed for each in shard.results()] for shard in shards] == [[7, 8], [12]]


@pytest.mark.parametrize("cut", [0, 1, 40, -60, -2, -1])
def test_a_torn_file_is_named_and_left_out(tmp_path, cut):
    path = put(tmp_path, range(10))
    put(tmp_path, range(10, 20))
    path.write_bytes(path.read_bytes()[:cut])
    told = []
    assert [shard.seeds for shard in store.read(path.parent, told.append)] == [[range(10, 20)]]
    assert told == [f"{path}: torn: expected a last line with the sha256 of all before it"]


def test_a_changed_digit_is_known(tmp_path):
    path = put(tmp_path, range(10))
    path.write_bytes(path.read_bytes().replace(b"[5,1.0", b"[5,2.0", 1))
    told = []
    assert list(store.read(path.parent, told.append)) == []
    assert "torn" in told[0]


def test_a_file_of_another_key_or_of_a_newer_format(tmp_path):
    path, other = put(tmp_path, range(10)), put(tmp_path, range(20), key=synthetic.KEY | {"torch": "3"})
    assert path.parent != other.parent
    copied = path.parent / other.name
    copied.write_bytes(other.read_bytes())
    told = []
    assert [shard.path for shard in store.read(path.parent, told.append)] == [path]
    assert told == [f"{copied}: expected a shard of key {path.parent.name}, got one of {other.parent.name}"]
    newer = put(tmp_path, range(10, 20))
    content = newer.read_bytes().replace(b'"format":1', b'"format":2', 1).splitlines(keepends=True)[:-1]
    newer.write_bytes(b"".join([*content, _last(content)]))
    with pytest.raises(BadInput, match="expected a store of format 1, got 2: written by a newer version"):
        list(store.read(path.parent))


def _last(content):
    from hashlib import sha256

    return json.dumps({"count": len(content) - 1, "sha256": sha256(b"".join(content)).hexdigest()}).encode() + b"\n"


def test_one_campaign_at_a_time(tmp_path):
    """Who holds the folder is named; the lock of a killed process is nobody's, and what it had begun is removed."""
    folder = store.open_key(tmp_path, synthetic.KEY)
    code = (
        "import os, sys, time; from pathlib import Path; from tools.scaling.campaign.engine import store\n"
        "with store.held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    assert child.stdout.read(4) == b"held"
    with (
        pytest.raises(BadInput, match=rf"expected no other campaign in it, got one: pid {child.pid} on"),
        store.held(folder),
    ):
        pytest.fail("held twice")
    child.kill()
    child.wait()
    child.stdout.close()
    begun = folder / ".000000000-000000100-aaaaaaaa.jsonl.12345678"
    begun.write_text("{")
    with store.held(folder):
        assert not begun.exists()
        assert (folder / store.LOCK).read_text().startswith(f"pid {os.getpid()} on ")


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path):
    """The limit of a file's size stands for the disk: the shard is not there, and the old ones are."""
    path = put(tmp_path, range(10))
    code = (
        "import resource, signal, sys; from pathlib import Path; from tests.scaling.campaign import synthetic as s\n"
        "from tools.scaling.campaign.engine import store; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (2000, {resource.RLIM_INFINITY}))\n"
        "store.put(Path(sys.argv[1]), store.pack([s.result(n) for n in range(100)], s.KEY, {}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path.parent)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr.splitlines()[-1]
    assert [file.name for file in path.parent.iterdir() if file.suffix != ".json"] == [path.name]


def test_reading_needs_neither_torch_nor_dask():
    code = (
        "import sys, tools.scaling.campaign.engine.store; sys.exit(len({'torch', 'dask', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
