"""A campaign: the seeds that a store lacks, in shards, given to the workers of dask.distributed.

The caller keeps a few shards a worker in flight and writes each that comes back, so that what is lost by a kill is
what is in flight. A shard that kills its workers is taken apart once the others are done: its cases are run one by
one, and the case that kills its workers when nothing else runs has that for its verdict.
"""

import importlib.util
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from tools.scaling.base.errors import Unavailable
from tools.scaling.base.interruption import interruptible
from tools.scaling.campaign.engine import store
from tools.scaling.campaign.engine.key import Asked, key_of
from tools.scaling.campaign.engine.shard import Done, Piece, done
from tools.scaling.campaign.engine.workers import Crew, Dask, key_of_workers, own_workers, shared, their_workers
from tools.scaling.campaign.record import Result, Status, Verdict
from tools.scaling.engine.diff import open_device

INSTALL = "pip install 'distributed>=2026.3'"
AHEAD = 2  # shards in flight for each worker: one runs, one waits for it


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


def run(asked: Asked, seeds: Piece, where: Path, crew: Crew, size: int, watcher: Watcher) -> tuple[Path, Standing]:
    """Have all `seeds` in the store `where`; returns the folder of the key, and how it went.

    size: seeds of a shard. What is there already is not done again. Raises BadInput, Unavailable or Killed, with what
    was done until then in the store.
    """
    if importlib.util.find_spec("distributed") is None:
        raise Unavailable(f"{sys.executable} has no distributed: expected the engine of campaigns; {INSTALL}")
    if not crew.scheduler:
        open_device(asked.device)
    with _silence(), interruptible("; finished shards are kept, the same call goes on"), ExitStack() as stack:
        client = stack.enter_context(their_workers(crew.scheduler, watcher.tell)) if crew.scheduler else None
        key = key_of(asked) if client is None else key_of_workers(client, asked)
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
            client = stack.enter_context(own_workers(count, share))
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


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing is logged within: what matters of what dask has to say, we say."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
