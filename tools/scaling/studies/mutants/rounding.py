"""Runs that differ by rounding only, in which `explain` must find no defect: the other half of the measurement.

Every number that the flags gave is nudged to a neighbour or left, and sums are taken in another order.
"""

import dataclasses
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.physics import detector, vectors
from tools.scaling.explain.defects import group, measure
from tools.scaling.explain.graph import Graph
from tools.scaling.explain.pixel import prepared_pixel
from tools.scaling.explain.rules.table import build
from tools.scaling.explain.sides import lay
from tools.scaling.studies.mutants.port import SUBJECTS, Mutant, Place, Subject, applied, subject, traced

# A neighbour of these is another kind of run: they are compared with 0 or 1, or count things.
_KEPT = frozenset({"polarized", "cells", "size_m", "water_m", "dmin_m", "fudge"})


def nudged(record: Any, rng: random.Random) -> Any:
    """A Config, or a part of one, with every number but 0 moved by one unit in its last place, or not."""
    if isinstance(record, bool | int | str) or record is None:
        return record
    if isinstance(record, float):
        return record if record == 0.0 else math.nextafter(record, rng.choice((-math.inf, record, math.inf)))
    if isinstance(record, tuple):
        return tuple(nudged(each, rng) for each in record)
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.init}
        return dataclasses.replace(record, **{k: v if k in _KEPT else nudged(v, rng) for k, v in fields.items()})
    return record


def _backwards_dot(_: Any, u: Tensor, v: Tensor) -> Tensor:
    products = (u * v).unbind(-1)
    return products[2] + products[1] + products[0]


def _backwards_terms(_: Any, terms: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    first, second, third = terms
    return first + (second + third)


def _backwards_norm(_: Any, v: Tensor) -> Tensor:
    return torch.linalg.vector_norm(v.flip(-1), dim=-1)


_REORDERED = (
    (vectors, "dot", _backwards_dot),
    (detector, "sum_terms", _backwards_terms),
    (vectors, "norm", _backwards_norm),
)


@contextmanager
def reordered(rng: random.Random) -> Iterator[None]:
    """Some of the port's sums taken in another order."""
    chosen = [each for each in _REORDERED if rng.random() < 0.5]
    patches = [applied(Mutant(name, "rounding", (), True, (module, name), wrap)) for module, name, wrap in chosen]
    for patch in patches:
        patch.__enter__()
    try:
        yield
    finally:
        for patch in reversed(patches):
            patch.__exit__(None, None, None)


def false_alarms(count: int, seed: int, places: tuple[Place, ...] = SUBJECTS) -> list[str]:
    """What was called a defect in `count` runs: one line each, none where all is well."""
    rng = random.Random(seed)
    subjects = [subject(*each) for each in dict.fromkeys(places)]
    return [line for _ in range(count) for line in _alarms(rng, rng.choice(subjects))]


@cache
def _graph(where: Subject) -> Graph:
    return build(prepared_pixel(where.config, *where.pixel))


def _alarms(rng: random.Random, where: Subject) -> list[str]:
    config: Config = nudged(where.config, rng)
    with reordered(rng):
        trace = traced(config, where.pixel)
    sides = lay(_graph(where), where.clean, trace)
    return [f"{where.name}: {each.label} in {', '.join(each.members)}" for each in group(sides, measure(sides, {}))]
