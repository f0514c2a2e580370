"""What a worker of a campaign does: the cases of a shard one after the other, on one thread."""

import importlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import one_line
from tools.scaling.bundle.environment import cpu_model
from tools.scaling.campaign.engine import store
from tools.scaling.campaign.engine.key import Asked, difference, key_of
from tools.scaling.campaign.record import Result, Status, Verdict
from tools.scaling.engine.diff import open_device

Piece = list[range]  # seeds, in spans that lie apart


class Foreign(BadInput):
    """A worker computes something else than its caller."""


@dataclass(frozen=True)
class Done:
    """What a worker returns of a shard: the file for the store, its cases, how many failed, and their seconds."""

    content: bytes
    cases: int
    failed: int
    seconds: float


def judged(seed: int, asked: Asked) -> Result:
    """The verdicts on the case of a seed."""
    from tools.scaling.campaign.generator import draw
    from tools.scaling.campaign.judge import judge

    return judge(draw(seed), asked.how)


def run_shard(seeds: Piece, asked: Asked, key: Mapping[str, Any], name: str = "") -> Done:
    """Judge the cases of `seeds`. An exception is the verdict on its case, and ends nothing.

    key: the caller's. name: of the worker. Raises Foreign where this process has another key, Unavailable where it has
    no such device.
    """
    import torch

    began = time.perf_counter()
    told = difference(dict(key), key_of(asked))
    if told:
        raise Foreign(f"worker {name} on {socket.gethostname()}: has {told}")
    open_device(asked.device)
    torch.set_num_threads(1)  # of this thread
    work = work_of(asked.work)
    results = [_result(work, seed, asked) for span in seeds for seed in span]
    return done(results, key, name, time.perf_counter() - began)


def done(results: Sequence[Result], key: Mapping[str, Any], name: str, seconds: float) -> Done:
    """The shard of these results, which this process has made as worker `name` in `seconds` of the wall."""
    worker = {"name": name, "host": socket.gethostname(), "cpu": cpu_model(), "pid": os.getpid()}
    content = store.pack(results, key, worker | {"seconds": round(seconds, 3)})
    failed = sum(bool(each.failures) for each in results)
    return Done(content, len(results), failed, sum(each.seconds for each in results))


def _result(work: Callable[[int, Asked], Result], seed: int, asked: Asked) -> Result:
    began = time.perf_counter()
    try:
        return work(seed, asked)
    except (Exception, SystemExit) as error:  # whatever it is, the other cases go on
        said = one_line(f"{type(error).__name__}: {error}")
        verdict = Verdict("judge", Status.error, said, label=type(error).__name__)
        return Result(seed, (), (verdict,), time.perf_counter() - began)


@cache
def work_of(name: str) -> Callable[[int, Asked], Result]:
    """The function that MODULE:FUNCTION names."""
    module, _, function = name.partition(":")
    work: Callable[[int, Asked], Result] = getattr(importlib.import_module(module), function)
    return work
