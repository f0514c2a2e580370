"""The workers of dask.distributed: processes of our own, or those that a scheduler has, and how they die."""

import asyncio
import logging
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from nanobragg_torch.memory import STOP_PERCENT, mebibytes
from nanobragg_torch.scan.cores import available_cores
from tools.scaling.base.errors import BadInput, Killed, MemoryStopped, ScalingError, Unavailable
from tools.scaling.base.files import one_line
from tools.scaling.base.text import counted
from tools.scaling.campaign.engine.key import Asked, difference, key_of
from tools.scaling.campaign.engine.shard import Done, Piece, run_shard
from tools.scaling.campaign.engine.store import Say
from tools.scaling.guard.limit import current_limit

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


@dataclass(frozen=True)
class Crew:
    """Who computes: workers started elsewhere, known to the scheduler at an address, or our own processes.

    count: of our own; None: as many as this process may use cores and memory allows, one where the device is no CPU.
    memory_limit: bytes for all of them together.
    """

    scheduler: str = ""
    count: int | None = None
    memory_limit: int | None = None


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


def key_of_workers(client: Any, asked: Asked) -> dict[str, Any]:
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
def their_workers(address: str, tell: Say) -> Iterator[Any]:
    """A client of the scheduler at `address`, which has a worker.

    Raises Unavailable where it does not answer, Killed where it goes away within.
    """
    from distributed import Client

    _ask(address)
    client = Client(address, timeout=PATIENCE, set_as_default=False)
    with closing(client):
        try:
            if not client.nthreads():
                tell(f"{address}: no worker yet; waiting for the first one")
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
def own_workers(count: int, share: int) -> Iterator[Any]:
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
