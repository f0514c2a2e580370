"""A campaign: the seeds that a store lacks, in shards, given to the workers of dask.distributed.

The caller keeps a few shards a worker in flight and writes each that comes back, so that what is lost by a kill is
what is in flight. A shard that kills its workers is taken apart once the others are done: its cases are run one by
one, and the case that kills its workers when nothing else runs has that for its verdict.
"""

import asyncio
import importlib.util
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Protocol

from nanobragg_torch.memory import STOP_PERCENT, mebibytes
from nanobragg_torch.scan.cores import available_cores
from tools.scaling.base.errors import BadInput, Killed, MemoryStopped, ScalingError, Unavailable
from tools.scaling.base.files import one_line
from tools.scaling.base.text import counted
from tools.scaling.campaign.engine import store
from tools.scaling.campaign.engine.key import Asked, difference, key_of
from tools.scaling.campaign.engine.shard import Done, done, run_shard
from tools.scaling.campaign.record import Result, Status, Verdict
from tools.scaling.engine.diff import open_device
from tools.scaling.guard.limit import current_limit

INSTALL = "pip install 'distributed>=2026.3'"
AHEAD = 2  # shards in flight for each worker: one runs, one waits for it
NEEDED = 768 << 20  # bytes of a worker: torch, numba and a case are half of it
PATIENCE = 10.0  # seconds in which a scheduler has to answer
GRACE = 0.5  # seconds that a worker gets to end by itself
_SETTINGS = {
    "distributed.scheduler.allowed-failures": 1,  # the second death is the last
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,  # a worker that waits for memory would wait for ever
    "distributed.worker.memory.terminate": STOP_PERCENT / 100,
    "distributed.worker.profile.enabled": False,
    "distributed.deploy.lost-worker-timeout": "1h",  # else one that is slow to start again is given up
}
Piece = list[range]


@dataclass(frozen=True)
class Crew:
    """Who computes: workers started elsewhere, known to the scheduler at an address, or our own processes.

    count: of our own; None: as many as this process may use cores and memory allows, one where the device is no CPU.
    memory_limit: bytes for all of them together.
    """

    scheduler: str = ""
    count: int | None = None
    memory_limit: int | None = None


@dataclass
class Standing:
    """How far a campaign is, since `began`. total: the cases to do, without those that were in the store.

    crew: how many shards run at a time. seconds: what the cases took together; elapsed: what has passed meanwhile.
    """

    total: int
    began: float = field(default_factory=time.monotonic)
    cases: int = 0
    failed: int = 0
    crew: int = 0
    seconds: float = 0.0
    elapsed: float = 0.0

    def add(self, made: Done, crew: int) -> None:
        """Count a shard that is in the store."""
        self.cases, self.failed, self.crew = self.cases + made.cases, self.failed + made.failed, crew
        self.seconds, self.elapsed = self.seconds + made.seconds, time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """Cases a second, until the last shard that came back."""
        return self.cases / max(self.elapsed, 1e-9)

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at this rate; None before the first shard is back."""
        return (self.total - self.cases) / self.rate if self.cases else None


class Watcher(Protocol):
    """Who is told how a campaign goes."""

    def tell(self, line: str) -> None: ...

    def begun(self, standing: Standing, dashboard: str) -> None: ...

    def advanced(self, standing: Standing) -> None: ...


class Pool(Protocol):
    """Workers, as `drive` needs them. A future has key and result()."""

    def most(self) -> int: ...

    def submit(self, piece: Piece) -> Any: ...

    def completed(self) -> Any: ...

    def death(self, error: BaseException) -> str: ...


def shards(seeds: Iterable[range], size: int) -> Iterator[Piece]:
    """`seeds` in pieces of `size` seeds, the last one smaller."""
    piece: Piece = []
    room = size
    for span in seeds:
        start = span.start
        while start < span.stop:
            part = range(start, min(span.stop, start + room))
            piece.append(part)
            start, room = part.stop, room - len(part)
            if not room:
                yield piece
                piece, room = [], size
    if piece:
        yield piece


def drive(
    pool: Pool, pieces: Iterable[Piece], most: Callable[[], int], take: Callable[[Done], None]
) -> list[tuple[Piece, str]]:
    """Have `pieces` done, `most()` of them in flight; returns those that killed their workers, and how they died."""
    rest, killed = iter(pieces), []
    flight: dict[Any, Piece] = {}
    futures = pool.completed()

    def fill() -> None:
        for piece in islice(rest, max(0, most() - len(flight))):
            future = pool.submit(piece)
            flight[future.key] = piece
            futures.add(future)

    fill()
    for future in futures:
        piece = flight.pop(future.key)
        try:
            made = future.result()
        except (Exception, CancelledError) as error:
            killed.append((piece, pool.death(error)))
        else:
            take(made)
        fill()
    return killed


def complete(pool: Pool, pieces: Iterable[Piece], key: dict[str, Any], take: Callable[[Done], None]) -> None:
    """Have every case of `pieces` done, those that kill their workers included.

    A shard whose workers died twice is done again case by case, and what kills its worker then is done once more,
    alone: a case that ran beside another has only perhaps done it itself.
    """
    for piece, _ in drive(pool, pieces, lambda: AHEAD * pool.most(), take):
        results: list[Result] = []

        def keep(made: Done, results: list[Result] = results) -> None:
            results.extend(store.unpack(made.content).results())

        suspects = drive(pool, shards(piece, 1), pool.most, keep)
        for (span,), how in drive(pool, (one for one, _ in suspects), lambda: 1, keep):
            verdict = Verdict("worker", Status.error, f"killed its worker twice: {how}", label=how)
            results.append(Result(span.start, (), (verdict,), 0.0))
        take(done(sorted(results, key=lambda each: each.seed), key, "several", 0.0))


def on_worker(piece: Piece, asked: Asked, key: dict[str, Any]) -> Done:
    """What a worker does with a shard, under its name."""
    from distributed import get_worker

    return run_shard(piece, asked, key, str(get_worker().name))


class Dask:
    """The workers that a client of dask.distributed knows."""

    def __init__(self, client: Any, asked: Asked, key: dict[str, Any]) -> None:
        self.client, self.asked, self.key = client, asked, key
        self._looked, self._threads = -PATIENCE, 1

    def most(self) -> int:
        """How many shards run at a time now; at least one, as workers may come yet."""
        if time.monotonic() - self._looked > 1:
            self._looked, self._threads = time.monotonic(), max(1, sum(self.client.nthreads().values()))
        return self._threads

    def submit(self, piece: Piece) -> Any:
        """The future of a shard."""
        return self.client.submit(on_worker, piece, self.asked, self.key, pure=False)

    def completed(self) -> Any:
        """The futures that come to be done, in that order; more can be added."""
        from distributed import as_completed

        return as_completed(loop=self.client.loop)

    def death(self, error: BaseException) -> str:
        """How the workers of a shard died. Raises what the user reads where the shard ended otherwise."""
        from distributed.scheduler import KilledWorker

        if isinstance(error, KilledWorker):
            starved = {event["worker"] for _, event in self.client.get_events("worker-restart-memory") or ()}
            return "memory limit" if error.last_worker.address in starved else "crash"
        if isinstance(error, ScalingError | CancelledError) or _lost(self.client, error):
            raise error
        raise _broken("a worker", error) from error


def _lost(client: Any, error: BaseException) -> bool:
    """Whether `error` came of a scheduler that is gone, or has dropped our shards."""
    from distributed.comm.core import CommClosedError

    return isinstance(error, CancelledError | CommClosedError) or client.status != "running"


def _broken(who: str, error: BaseException) -> BadInput:
    told = f"{type(error).__name__}: {error}"
    return BadInput(one_line(f"{who}: expected one that runs tools.scaling with PYTHONPATH=src:., got {told}"))


def run(asked: Asked, seeds: Piece, where: Path, crew: Crew, size: int, watcher: Watcher) -> tuple[Path, Standing]:
    """Have all `seeds` in the store `where`; returns the folder of the key, and how it went.

    size: seeds of a shard. What is there already is not done again. Raises BadInput, Unavailable or Killed, with what
    was done until then in the store.
    """
    if importlib.util.find_spec("distributed") is None:
        raise Unavailable(f"{sys.executable} has no distributed: expected the engine of campaigns; {INSTALL}")
    if not crew.scheduler:
        open_device(asked.device)
    with _silence(), _interruptions(), ExitStack() as stack:
        client = stack.enter_context(_their_workers(crew.scheduler, watcher)) if crew.scheduler else None
        key = key_of(asked) if client is None else _key_of_workers(client, asked)
        folder = store.open_key(where, key)
        stack.enter_context(store.held(folder))
        for line in foreign(where, key):
            watcher.tell(line)
        left = store.without(seeds, finished(folder, watcher.tell))
        standing = Standing(sum(map(len, left)))
        if not left:
            return folder, standing
        if client is None:
            count, share = shared(crew, asked.device, -(-standing.total // size))
            client = stack.enter_context(_own_workers(count, share))
        pool = Dask(client, asked, key)
        watcher.begun(standing, client.dashboard_link)

        def take(made: Done) -> None:
            store.put(folder, made.content)
            standing.add(made, pool.most())
            watcher.advanced(standing)

        standing.began = time.monotonic()
        complete(pool, shards(left, size), key, take)
        return folder, standing


def finished(folder: Path, say: store.Say) -> Piece:
    """The seeds that the folder of a key has. A torn file is renamed, and told: its seeds are done again."""
    there: Piece = []
    for path in store.shard_files(folder):
        try:
            there += store.read_shard(path).seeds
        except store.Unusable as error:
            say(f"{error}; left out")
            if error.torn:
                path.rename(path.with_name(path.name + store.TORN))
    return store.united(there)


def foreign(where: Path, key: dict[str, Any]) -> Iterator[str]:
    """A line for each folder of the store whose generator or format is not that of `key`; they are left alone."""
    for folder in store.key_folders(where):
        with suppress(OSError, ValueError, AttributeError):
            other = json.loads((folder / store.KEY).read_bytes())
            told = [f"{name} {other.get(name)}" for name in ("generator", "format") if other.get(name) != key[name]]
            if told:
                yield f"{folder}: of {', '.join(told)}: left alone"


def _key_of_workers(client: Any, asked: Asked) -> dict[str, Any]:
    """The key that the workers have in common. Raises BadInput where one has another than the caller.

    Which instructions torch uses is theirs: the caller may be a machine that computes nothing.
    """
    keys = client.run(key_of, asked, on_error="return")
    for address, key in keys.items():
        if isinstance(key, ScalingError):
            raise BadInput(f"worker {address}: {key}")
        if isinstance(key, BaseException):
            raise _broken(f"worker {address}", key) from key
    own, (first, key) = key_of(asked), next(iter(keys.items()))
    for address, other in keys.items():
        for name, expected in (("the caller", own | {"cpu": other["cpu"]}), (f"worker {first}", key)):
            if told := difference(expected, other):
                raise BadInput(f"worker {address}: has {told} as {name} has")
    return dict(key)


@contextmanager
def _interruptions() -> Iterator[None]:
    """Raise Killed within for a signal that ends a process; a second one does not disturb the tidying up."""

    def interrupted(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Killed(f"interrupted by {signal.Signals(number).name}; finished shards are kept, the same call goes on")

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.getsignal(each) for each in wanted if signal.getsignal(each) is not signal.SIG_IGN}
    if threading.current_thread() is not threading.main_thread():
        before = {}
    try:
        for each in before:
            signal.signal(each, interrupted)
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing is logged within: what matters of what dask has to say, we say."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _ask(address: str) -> None:
    """Raise Unavailable where no scheduler answers at `address`, BadInput where that is no address."""
    from distributed import rpc
    from distributed.comm import resolve_address

    async def kind() -> str:
        async with rpc(address, timeout=PATIENCE) as peer:
            return str((await peer.identity())["type"])

    try:
        resolve_address(address)
        told = asyncio.run(asyncio.wait_for(kind(), PATIENCE))
    except ValueError as error:
        raise BadInput(f"--scheduler {address}: expected an address as in tcp://HOST:8786, got {error}") from error
    except Exception as error:  # what is no scheduler, as its dashboard, may answer anything
        told = "no answer" if isinstance(error, OSError) else "an answer that is none of dask's"
    if told != "Scheduler":
        raise Unavailable(f"--scheduler {address}: expected a scheduler that answers in {PATIENCE:g} s, got {told}")


@contextmanager
def _their_workers(address: str, watcher: Watcher) -> Iterator[Any]:
    """A client of the scheduler at `address`, which has a worker.

    Raises Unavailable where it does not answer, Killed where it goes away within.
    """
    from distributed import Client

    _ask(address)
    client = Client(address, timeout=PATIENCE, set_as_default=False)
    with closing(client):
        try:
            if not client.nthreads():
                watcher.tell(f"{address}: no worker yet; waiting for the first one")
                client.wait_for_workers(1)
            yield client
        except ScalingError:
            raise
        except (Exception, CancelledError) as error:
            if not _lost(client, error):
                raise
            raise Killed("the scheduler is gone; finished shards are kept, the same call goes on") from error


def shared(crew: Crew, device: str, pieces: int) -> tuple[int, int]:
    """How many processes of our own compute `pieces` shards, and the bytes that each may hold.

    Raises MemoryStopped where they would hold less than NEEDED each.
    """
    limit = current_limit(crew.memory_limit)
    fitting = available_cores() if device == "cpu" else 1
    count = max(1, min(crew.count or min(fitting, limit.bytes // NEEDED), pieces))
    if limit.bytes // count < NEEDED:
        raise MemoryStopped(f"{counted(count, 'worker')} of {mebibytes(NEEDED)} each: expected that much, got {limit}")
    return count, limit.bytes // count


@contextmanager
def _own_workers(count: int, share: int) -> Iterator[Any]:
    """A client of `count` processes on this machine, which may hold `share` bytes each and end with the caller.

    Raises Killed where one ends before it is there.
    """
    import dask
    from distributed import Client, LocalCluster

    resource_tracker.ensure_running()  # which, begun within _unheard, would undo it
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        try:
            with _unheard(signal.SIGINT):
                cluster = LocalCluster(
                    n_workers=count, threads_per_worker=1, processes=True, dashboard_address=":0",
                    memory_limit=share, silence_logs=logging.CRITICAL,
                )  # fmt: skip
        except RuntimeError as error:  # what dask makes of it
            raise Killed(one_line(f"a worker ended while it started: {error}")) from error
        stack.callback(_close, cluster)
        yield stack.enter_context(closing(Client(cluster, set_as_default=False)))


@contextmanager
def _unheard(number: signal.Signals) -> Iterator[None]:
    """Hold a signal back within; threads and processes that are begun then never hear of it.

    A terminal interrupts all its processes: we end our workers, and they need not answer, each with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _close(cluster: Any) -> None:
    """End the workers, whatever they do, and the scheduler: what they have done is written."""

    async def end_workers() -> None:
        await asyncio.gather(*(nanny.close(timeout=GRACE) for nanny in cluster.workers.values()))

    with suppress(Exception):  # they end with this process at the latest
        cluster.sync(end_workers)
        cluster.close(timeout=PATIENCE)
