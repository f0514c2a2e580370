"""The engine: every case has exactly one result, whoever dies, and who cannot help is told in one line."""

import os
import signal
from collections import deque
from concurrent.futures import CancelledError
from functools import partial
from queue import Queue
from threading import Thread
from types import SimpleNamespace

import pytest

from tests.scaling.campaign import cheap, synthetic
from tests.scaling.cli.calls import one_line, run
from tools.scaling.base.errors import BadInput, Killed, MemoryStopped
from tools.scaling.campaign.engine import key, shard, store, workers
from tools.scaling.campaign.engine import run as engine
from tools.scaling.campaign.engine.key import Asked
from tools.scaling.campaign.record import Status
from tools.scaling.cli import campaign as cli

ASKED = Asked(work=cheap.WORK)


class Dead(Exception):
    """What the pool below raises of a shard whose workers died."""


class Pool:
    """Two workers that compute when they are asked for a result; a seed of `killers` kills all that is in flight."""

    def __init__(self, *killers):
        self.killers, self.flight, self.widest, self.alone = set(killers), deque(), 0, []

    def most(self):
        return 2

    def submit(self, piece):
        return SimpleNamespace(key=object(), piece=piece, dead=False, result=None)

    def add(self, future):
        self.flight.append(future)
        self.widest = max(self.widest, len(self.flight))
        if self.killers.intersection(seed for span in future.piece for seed in span):
            for each in self.flight:
                each.dead = True

    def completed(self):
        return self

    def __iter__(self):
        while self.flight:
            future = self.flight.popleft()
            seeds = [seed for span in future.piece for seed in span]
            if len(seeds) == 1 and not self.flight:
                self.alone.append(seeds[0])
            future.result = partial(self._result, future, seeds)
            yield future

    def _result(self, future, seeds):
        if future.dead:
            raise Dead
        return shard.done([cheap.work(seed, ASKED) for seed in seeds], synthetic.KEY, "w", 0.1)

    def death(self, error):
        assert isinstance(error, Dead)
        return "crash"


def verdicts(made):
    """Seed -> status, of every result in the shards `made`; a seed twice fails."""
    results = [each for one in made for each in store.unpack(one.content).results()]
    assert len({each.seed for each in results}) == len(results)
    return {each.seed: each.verdicts[0].status for each in results}


def test_seeds_are_cut_into_shards():
    pieces = list(engine.shards([range(0, 5), range(10, 12), range(20, 29)], 4))
    assert [store.seeds_text(piece) for piece in pieces] == ["0:4", "4,10:12,20", "21:25", "25:29"]
    assert list(engine.shards([], 4)) == []


def test_a_bounded_number_is_in_flight():
    pool, made = Pool(), []
    engine.complete(pool, engine.shards([range(20, 1000)], 10), synthetic.KEY, made.append)
    assert set(verdicts(made)) == set(range(20, 1000))
    assert pool.widest == 2 * engine.AHEAD


def test_a_case_that_kills_its_workers_is_a_result():
    """Its neighbours, which died with it, have their own; it is blamed for what it does when nothing else runs."""
    pool, made = Pool(37, 38, 85), []
    engine.complete(pool, engine.shards([range(20, 120)], 10), synthetic.KEY, made.append)
    found = verdicts(made)
    assert sorted(found) == list(range(20, 120))
    assert [seed for seed, status in found.items() if status is Status.error] == [37, 38, 85]
    assert {37, 38, 85} <= set(pool.alone)
    (blamed,) = [
        each for one in made for each in store.unpack(one.content).results() if each.seed == 37
    ]  # fmt: skip
    assert (blamed.verdicts[0].check, blamed.verdicts[0].says) == ("worker", "killed its worker twice: crash")


def test_what_else_ends_a_shard_is_told():
    dask = workers.Dask(SimpleNamespace(status="running"), ASKED, {})
    gone = CancelledError("x")
    with pytest.raises(CancelledError):
        dask.death(gone)
    assert workers._lost(dask.client, gone) and not workers._lost(dask.client, ValueError("x"))
    with pytest.raises(shard.Foreign, match="other commit"):
        dask.death(shard.Foreign("other commit"))
    with pytest.raises(BadInput, match=r"expected one that runs tools.scaling .*, got ModuleNotFoundError: No module"):
        dask.death(ModuleNotFoundError("No module named 'tools'"))
    dask.client.status = "closed"
    assert workers._lost(dask.client, ValueError("x"))


def test_a_worker_of_another_commit_is_refused(monkeypatch):
    monkeypatch.setattr(shard, "key_of", lambda asked: synthetic.KEY | {"commit": "f" * 40})
    with pytest.raises(shard.Foreign, match=r"worker tcp on .*: has commit ffffffffffff, expected 000000000000"):
        shard.run_shard([range(3)], ASKED, synthetic.KEY, "tcp")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"torch": "2.14"}, "worker b: has torch 2.14, expected 2.13.0 as the caller has"),
        ({"cpu": "AVX512"}, "worker b: has cpu AVX512, expected AVX2 as worker a has"),
        ({"patch": "1" * 64}, "worker b: has patch 111111111111, expected none as the caller has"),
        (None, "worker b: expected one that runs tools.scaling"),
    ],
)
def test_workers_of_a_scheduler_have_one_key(monkeypatch, changed, told):
    """The caller itself may have other instructions: it computes nothing."""
    monkeypatch.setattr(workers, "key_of", lambda asked: synthetic.KEY | {"cpu": "NONE"})
    other = ModuleNotFoundError("tools") if changed is None else synthetic.KEY | changed
    client = SimpleNamespace(run=lambda *arguments, on_error: {"a": synthetic.KEY, "b": other})
    with pytest.raises(BadInput, match=told):
        workers.key_of_workers(client, ASKED)
    client.run = lambda *arguments, on_error: {"a": synthetic.KEY, "b": synthetic.KEY}
    assert workers.key_of_workers(client, ASKED) == synthetic.KEY


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_one_line(number, capsys, tmp_path, monkeypatch):
    before = signal.getsignal(number)
    monkeypatch.setattr(engine, "own_workers", lambda *_: signal.raise_signal(number))
    code, out, err = run(capsys, "campaign", "--seeds", "2:6", "--store", tmp_path, "--work", cheap.WORK)
    said = f"error: interrupted by {number.name}; finished shards are kept, the same call goes on\n"
    assert (code, out, err) == (5, "", said)
    assert signal.getsignal(number) is before


def test_a_torn_file_is_put_aside_and_done_again(tmp_path):
    folder = synthetic.write(tmp_path, 30, 10)
    first, second, _ = store.shard_files(folder)
    second.write_bytes(second.read_bytes()[:-40])
    told = []
    assert store.seeds_text(engine.finished(folder, told.append)) == "0:10,20:30"
    assert told == [f"{second}: torn: expected a last line with the sha256 of all before it; left out"]
    assert second.with_name(second.name + ".torn").exists() and not second.exists()
    assert first.exists()


def test_a_store_of_another_generator_is_left_alone(tmp_path):
    old = synthetic.write(tmp_path, 10, generator=0)
    assert list(engine.foreign(tmp_path, synthetic.KEY)) == [f"{old}: of generator 0: left alone"]
    assert list(engine.foreign(tmp_path, synthetic.KEY | {"generator": 0})) == []


def test_a_log_gets_a_line_a_minute(monkeypatch):
    lines = Queue()
    monkeypatch.setattr(cli, "MINUTE", 0.001)
    monkeypatch.setattr(cli, "tell", lines.put)
    standing = engine.Standing(1000)
    standing.add(shard.Done(b"", 100, 2, 9.0), 4)
    standing.elapsed = 10.0
    log = cli._Log()
    log.begun(standing, "http://here")
    assert lines.get(timeout=60) == "1,000 cases to do; dashboard: http://here"
    for _ in range(2):
        assert lines.get(timeout=60) == "100 of 1,000 cases, 10.0/s, 2 failures, 4 workers, 0:01:30 left"
    log.over.set()


def test_a_campaign_of_processes(capsys, tmp_path, monkeypatch):
    """The first call has the cases done, one of which fails; the next finds them and starts nobody."""
    call = ("campaign", "--seeds", "10:14,2:6", "--shard", "4", "--store", tmp_path, "--workers", 1)
    code, out, err = run(capsys, *call, "--work", cheap.WORK)
    assert code == 1
    (folder,) = store.key_folders(tmp_path)
    assert "oracle          7          0          0          0" in out
    assert "1 case: judge ValueError: seed 13\n    ValueError: thirteen" in out
    assert "error: campaign: 1 of 8 cases fails" in err and "dashboard: http://127.0.0.1:" in err
    assert "--seeds: taken as 2:6,10:14" in err
    results = {each.seed: each for one in store.read(folder) for each in one.results()}
    assert sorted(results) == [2, 3, 4, 5, 10, 11, 12, 13]
    assert [shard.worker["name"] for shard in store.read(folder)] == ["0", "0"]
    monkeypatch.setattr(engine, "own_workers", None)
    code, again, err = run(capsys, *call, "--work", cheap.WORK)
    assert code == 1
    assert [line for line in again.splitlines() if "worker" not in line] == [
        line for line in out.splitlines() if "worker" not in line
    ]
    with store.held(folder):
        code, _, err = run(capsys, *call, "--work", cheap.WORK)
    assert code == 2 and f"got one: pid {os.getpid()} on " in err


def test_workers_share_the_cores_and_the_memory(monkeypatch):
    monkeypatch.setattr(workers, "available_cores", lambda: 8)
    gib = 2**30
    for crew, device, pieces, count in [
        (workers.Crew(memory_limit=gib), "cpu", 99, 1),
        (workers.Crew(memory_limit=3 * gib), "cpu", 99, 4),
        (workers.Crew(memory_limit=3 * gib), "cpu", 2, 2),
        (workers.Crew(memory_limit=3 * gib), "cuda", 99, 1),
        (workers.Crew(count=3, memory_limit=3 * gib), "cuda", 99, 3),
    ]:
        assert workers.shared(crew, device, pieces)[0] == count
    assert workers.shared(workers.Crew(count=2, memory_limit=2 * gib), "cpu", 9) == (2, gib)
    with pytest.raises(
        MemoryStopped, match=r"3 workers of 768 MiB each: expected that much, got 1024 MiB \(--memory-limit"
    ):
        workers.shared(workers.Crew(count=3, memory_limit=gib), "cpu", 9)


def test_threads_that_are_begun_unheard_never_hear():
    """What multiprocessing starts on its way would give the signal back to the thread that starts it."""
    masks = []
    workers.resource_tracker.ensure_running()
    with workers._unheard(signal.SIGINT):
        workers.resource_tracker.ensure_running()
        thread = Thread(target=lambda: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
        thread.start()
        thread.join()
    assert signal.SIGINT in masks[0]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_worker_that_ends_while_it_starts_is_told(monkeypatch):
    def failing(**settings):
        raise RuntimeError("Nanny failed to start worker process")

    monkeypatch.setattr("distributed.LocalCluster", failing)
    with pytest.raises(Killed, match="a worker ended while it started: Nanny failed"), workers.own_workers(1, 2**30):
        pytest.fail("it has started")


def test_bad_input(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE", 0.3)
    call = ("campaign", "--store", tmp_path, "--work", cheap.WORK)
    refusals = [
        ((), 2, "expected --seeds FIRST:END, got none"),
        (("--seeds", "7:3"), 2, "--seeds 7:3: expected FIRST:END with FIRST below END, got no seed"),
        (("--seeds", "0:9", "--scheduler", "a", "--workers", "2"), 2, "expected --scheduler or --workers, got both"),
        (("--seeds", "0:9", "--scheduler", "tcp://127.0.0.1:9"), 3, "a scheduler that answers in 0.3 s, got no answer"),
        (("--seeds", "0:9", "--against", "port"), 2, "expected an implementation that is started"),
        (("--seeds", "0:9", "--against", "nobody"), 2, "nobody"),
        (("--seeds", "0:9", "--device", "cuda:99"), 3, "--device cuda:99: not usable"),
        (("--seeds", "0:9", "--device", "nobody"), 2, "--device nobody: expected a device that torch knows"),
    ]  # fmt: skip
    for arguments, wanted, told in refusals:
        code, out, err = run(capsys, *call, *arguments)
        assert (code, out) == (wanted, "") and told in one_line(err), (arguments, err)
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    code, _, err = run(capsys, *call, "--seeds", "0:9")
    assert code == 3 and "pip install 'distributed>=2026.3'" in one_line(err)
    assert key.absolute("x.toml").startswith("/") and key.absolute(None) == ""
