"""The port as the study tries it: broken by a mutant or whole, on pixels whose clean trace is known."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from nanobragg_torch.config import Config
from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling.cases.case import find_case
from tools.scaling.explain.answer import explain
from tools.scaling.traces.read import Trace, parse_trace

Place = tuple[str, int]  # a shipped case, and which of its traced pixels


@dataclass(frozen=True)
class Mutant:
    """A broken rule or input of the port, described by `text`.

    function: (module, name) of the function whose result `wrap(original, *args, **kwargs)` replaces, or None.
    config: what the mutant makes of the settings, or None. expected: quantities that are right answers of `explain`.
    listed: whether the table of variants of `explain` knows the change.
    """

    text: str
    area: str
    expected: tuple[str, ...]
    listed: bool
    function: tuple[Any, str] | None = None
    wrap: Callable[..., Any] | None = None
    config: Callable[[Config], Config] | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """A pixel (slow, fast) of a case that mutants are tried on, its clean trace and each quantity's noise floor."""

    name: str
    config: Config
    pixel: tuple[int, int]
    clean: Trace
    floors: dict[str, float]


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Have `mutant` in the port within, wherever the broken function was imported to."""
    if mutant.function is None:
        yield
        return
    module, name = mutant.function
    original = getattr(module, name)

    def broken(*args: Any, **kwargs: Any) -> Any:
        assert mutant.wrap is not None
        return mutant.wrap(original, *args, **kwargs)

    places = [
        (each, key)
        for label, each in list(sys.modules.items())
        if label.startswith("nanobragg_torch") and each is not None
        for key, value in list(vars(each).items())
        if value is original
    ]
    for each, key in places:
        setattr(each, key, broken)
    try:
        yield
    finally:
        for each, key in places:
            setattr(each, key, original)


def traced(config: Config, pixel: tuple[int, int], source: str = "py.log") -> Trace:
    """Return the port's own trace of `pixel` (slow, fast); `source` is its name in messages."""
    lines = trace_pixel(config, *pixel, device="cpu", dtype=torch.float64)
    return parse_trace(render(lines).encode("ascii"), source)


@cache
def subject(name: str, which: int = 0) -> Subject:
    """Return the traced pixel number `which`, from 0, of the shipped case `name`."""
    case = find_case(name)
    config = case.config()
    pixel = case.pixels[which]
    clean = traced(config, pixel, "c.log")
    rows = explain(clean, clean, config).quantities
    floors = {row.name: row.noise_floor_rel or 0.0 for row in rows}
    return Subject(name, config, pixel, clean, floors)


SUBJECTS: tuple[Place, ...] = (  # a case that comes twice is drawn twice as often
    ("supervisor", 0),
    ("supervisor", 0),
    ("supervisor_synthetic", 3),
    ("supervisor_synthetic", 0),
    ("supervisor", 0),
    ("custom_sample_pivot_front", 0),
    ("triclinic_misset", 0),
    ("phi_crosses_zero", 1),
    ("polarization", 1),
)


def broken_trace(mutants: tuple[Mutant, ...], where: Subject) -> Trace:
    """Return the port's trace of `where` with all of `mutants` in it."""
    config = where.config
    with ExitStack() as stack:
        for mutant in mutants:
            config = mutant.config(config) if mutant.config is not None else config
            stack.enter_context(applied(mutant))
        return traced(config, where.pixel)
