"""The results of a campaign counted in one pass over its store, however many there are."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tools.scaling.campaign.coverage import NAMES, Coverage
from tools.scaling.campaign.engine.store import MOST, Shard, read, united
from tools.scaling.campaign.record import Status, Verdict

BITS = 64  # of ulps: 0, 1, 2-3, 4-7, ...
_AT_ONCE = 10_000  # cases whose flags are counted together
_PLACE = {name: place for place, name in enumerate(NAMES)}
Failure = tuple[int, Verdict, tuple[str, ...]]


@dataclass
class CheckTally:
    """What is known of one check. agreeing, failing: (relative deviation, seed, ulps), the largest of either.

    most_ulps: (ulps, seed). bits: how many cases have ulps of so many bits.
    """

    status: Counter[Status] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    agreeing: tuple[float, int, int | None] | None = None
    failing: tuple[float, int, int | None] | None = None
    most_ulps: tuple[int, int] | None = None
    bits: list[int] = field(default_factory=lambda: [0] * BITS)

    def measured(self, worst: float, ulps: int | None, seed: int, failed: bool) -> None:
        """Take a deviation into account: one that is no number is larger than any."""
        worst = math.inf if math.isnan(worst) else worst
        held = self.failing if failed else self.agreeing
        if worst > 0.0 and (held is None or worst > held[0]):
            if failed:
                self.failing = worst, seed, ulps
            else:
                self.agreeing = worst, seed, ulps
        if ulps is not None:
            self.bits[min(ulps.bit_length(), BITS - 1)] += 1
            if self.most_ulps is None or ulps > self.most_ulps[0]:
                self.most_ulps = ulps, seed


@dataclass
class WorkerTally:
    """cases: that a worker did; seconds: of the wall, that it took for their shards."""

    cases: int = 0
    seconds: float = 0.0


@dataclass
class Tally:
    """All counts of a campaign. seconds: in cases. failed: cases with a failure. workers: (name, host, cpu) -> counts.

    seeds: the spans of the files. strange: flags that this version has not. notes: what the store left out, and why.
    """

    cases: int = 0
    failed: int = 0
    seconds: float = 0.0
    seeds: list[range] = field(default_factory=list)
    checks: defaultdict[str, CheckTally] = field(default_factory=lambda: defaultdict(CheckTally))
    workers: defaultdict[tuple[str, str, str], WorkerTally] = field(default_factory=lambda: defaultdict(WorkerTally))
    coverage: Coverage = field(default_factory=Coverage)
    strange: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def failures(self, folder: Path, wanted: Sequence[range] = (range(MOST),)) -> Iterator[Failure]:
        """Count what the folder of a key has of `wanted`, and yield its failures (seed, verdict, flags) on the way."""
        tables: list[np.ndarray] = []
        spans: list[range] = []
        for shard in read(folder, self.notes.append, wanted):
            yield from self._shard(shard, tables)
            spans += shard.seeds
            if sum(map(len, tables)) >= _AT_ONCE:
                self.coverage.count(np.concatenate(tables))
                tables.clear()
        if tables:
            self.coverage.count(np.concatenate(tables))
        self.seeds = united(spans)

    def _shard(self, shard: Shard, tables: list[np.ndarray]) -> Iterator[Failure]:
        rows, names, plain = shard.rows(), shard.head["flags"], shard.plain
        checks = [self.checks[each.check] for each in plain]
        asked = [each.status is not Status.unasked for each in plain]
        ended = [0] * len(plain)
        for seed, seconds, places, verdicts in rows:
            self.seconds += seconds
            failed = False
            for packed in verdicts:
                if type(packed) is int:
                    ended[packed] += 1
                elif type(packed) is list:
                    index = packed[0]
                    ended[index] += 1
                    if asked[index]:
                        ulps = packed[2] if len(packed) > 2 else None
                        checks[index].measured(float(packed[1]), ulps, seed, failed=False)
                else:
                    failed = True
                    yield seed, self._failed(shard.verdict(packed), seed), tuple(names[place] for place in places)
            self.failed += failed
        for index, count in enumerate(ended):
            checks[index].status[plain[index].status] += count
            if not asked[index]:
                checks[index].reasons[plain[index].says] += count
        self.cases += len(rows)
        self.strange.update(name for name in names if name not in _PLACE)
        tables.append(_table([row[2] for row in rows], names))
        self._worker(shard.worker, len(rows))

    def _failed(self, verdict: Verdict, seed: int) -> Verdict:
        check = self.checks[verdict.check]
        check.status[verdict.status] += 1
        check.measured(verdict.worst, verdict.ulps, seed, failed=True)
        return verdict

    def _worker(self, worker: Mapping[str, Any], cases: int) -> None:
        who = self.workers[str(worker.get("name", "")), str(worker.get("host", "")), str(worker.get("cpu", ""))]
        who.cases += cases
        who.seconds += float(worker.get("seconds", 0.0))


def _table(flags: Sequence[Sequence[int]], names: Sequence[str]) -> np.ndarray:
    """Which case has which flag: (case, flag of NAMES) float32. flags: of each case, as indices of names."""
    places = np.array([_PLACE.get(name, len(NAMES)) for name in names], dtype=np.intp)
    table = np.zeros((len(flags), len(NAMES) + 1), dtype=np.float32)
    cases = np.repeat(np.arange(len(flags)), [len(each) for each in flags])
    table[cases, places[[flag for each in flags for flag in each]]] = 1.0
    return table[:, :-1]
