"""`study mutants`: how well `explain` finds a defect whose place is known. The port is broken, a rule at a time.

Every mutant of mutant_rules replaces the result of one function of nanobragg_torch, or one input, while a pixel
is traced; the function is restored before the two traces are explained.
"""

import math
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from nanobragg_torch.config import Config
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling.base.errors import BadInput
from tools.scaling.cases.case import find_case
from tools.scaling.explain.answer import explain
from tools.scaling.explain.records import Explanation
from tools.scaling.studies.mutants.rules import FLOORS, Mutant, Subject, fixed_mutants, sized_mutants
from tools.scaling.traces.read import Trace, parse_trace


@dataclass(frozen=True)
class Outcome:
    """What was found: rank of the right quantity among the causes (1 is first, 0 not named at all)."""

    mutant: Mutant
    subject: str
    rank: int
    found: tuple[str, ...]
    defect_rel: float


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """The port with `mutant` in it, wherever its function was imported to."""
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
    """The port's own trace of a pixel."""
    lines = trace_pixel(config, *pixel, device="cpu", dtype=torch.float64)
    return parse_trace(render(lines).encode("ascii"), source)


@cache
def subject(name: str, which: int = 0) -> Subject:
    """The `which`th traced pixel of a shipped case, its clean trace and noise floors."""
    case = find_case(name)
    config = parse(case.flags, folders=case.folders)
    pixel = case.pixels[which]
    clean = traced(config, pixel, "c.log")
    rows = explain(clean, clean, config).quantities
    floors = {row.name: row.noise_floor_rel or 0.0 for row in rows}
    return Subject(name, config, pixel, clean, floors)


SUBJECTS = (
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


def _applies(mutant: Mutant, where: Subject) -> bool:
    """Whether the mutant changes this subject's trace at all: by more than rounding."""
    if not set(mutant.expected) & (where.floors.keys() | {"odet", "sdet", "fdet", "beam"}):
        return False
    try:
        trace = broken_trace((mutant,), where)
    except (ValueError, IndexError, TypeError, RuntimeError):
        return False
    names = [each for each in mutant.expected if trace.numbers(each)] or ["PHI"]
    for name in names:
        if name.startswith("PHI"):
            return [r.values for r in trace.phi_rows] != [r.values for r in where.clean.phi_rows]
        for mine, theirs in zip(where.clean.numbers(name), trace.numbers(name)):
            size = math.hypot(*(a - b for a, b in zip(mine.values, theirs.values)))
            scale = math.hypot(*mine.values) or 1.0
            if size >= FLOORS * where.floors.get(name, 0.0) * scale and size > 0:
                return True
    return False


def broken_trace(mutants: tuple[Mutant, ...], where: Subject) -> Trace:
    """The port's trace with all of `mutants` in it."""
    config = where.config
    for each in mutants:
        config = each.config(config) if each.config is not None else config
    if len(mutants) == 1:
        with applied(mutants[0]):
            return traced(config, where.pixel)
    with applied(mutants[0]), applied(mutants[1]):
        return traced(config, where.pixel)


def judged(mutants: tuple[Mutant, ...], where: Subject) -> list[Outcome]:
    """One outcome for each of `mutants`, all of them in one trace."""
    trace = broken_trace(mutants, where)
    try:
        found: Explanation | None = explain(where.clean, trace, where.config)
    except BadInput as error:
        return [Outcome(each, where.name, 0, (str(error),), 0.0) for each in mutants]
    assert found is not None
    names = tuple(cause.quantity for cause in found.causes)
    outcomes = []
    for each in mutants:
        ranks = [i for i, name in enumerate(names, start=1) if name in each.expected]
        size = next((cause.defect_rel for cause in found.causes if cause.quantity in each.expected), 0.0)
        outcomes.append(Outcome(each, where.name, ranks[0] if ranks else 0, names, size))
    return outcomes


Places = tuple[tuple[str, int], ...]


def singles(count: int, seed: int, where: Places = SUBJECTS) -> list[Outcome]:
    """`count` single mutants, two fifths of them mistakes that people make, the others random rules and sizes."""
    rng = random.Random(seed)
    places = [subject(*each) for each in where]
    outcomes = []
    fixed = [
        (each, place)
        for place in dict.fromkeys(places[::3])
        for each in fixed_mutants(rng, place)
        if _applies(each, place)
    ]
    rng.shuffle(fixed)
    for each, place in fixed[: count * 2 // 5]:
        outcomes += judged((each,), place)
    while len(outcomes) < count:
        place = rng.choice(places)
        mutant = next(m for m in sized_mutants(rng, place) if _applies(m, place))
        outcomes += judged((mutant,), place)
    return outcomes


def pairs(count: int, seed: int, where: Places = SUBJECTS) -> list[tuple[Outcome, Outcome]]:
    """`count` pairs of mutants of different quantities in one trace."""
    rng = random.Random(seed + 1)
    places = [subject(*each) for each in dict.fromkeys(where)]
    found: list[tuple[Outcome, Outcome]] = []
    while len(found) < count:
        place = rng.choice(places)
        first, second = (next(m for m in sized_mutants(rng, place) if _applies(m, place)) for _ in range(2))
        if set(first.expected) & set(second.expected) or first.function == second.function:
            continue
        one, two = judged((first, second), place)
        found.append((one, two))
    return found


def table(
    single: list[Outcome], double: list[tuple[Outcome, Outcome]], rounding: int, alarms: list[str], seed: int
) -> str:
    """The measurement as Markdown."""
    first = sum(each.rank == 1 for each in single)
    three = sum(0 < each.rank <= 3 for each in single)
    seen = sum(bool(each.found) for each in single)
    both = sum(one.rank > 0 and two.rank > 0 for one, two in double)
    unlisted = sum(not each.mutant.listed for each in single)
    lines = [
        "# Mutants",
        "",
        f"`python -m tools.scaling study mutants --singles {len(single)} --pairs {len(double)} "
        f"--rounding {rounding} --seed {seed}` made this page (`nox -s mutants`). "
        "What it means: [attribution.md](../architecture/attribution.md).",
        "",
        f"- single mutants: {len(single)}, {unlisted} of them in no table of `explain`",
        f"- something found: {seen} of {len(single)}",
        f"- right quantity first: {first} of {len(single)}; among the first three: {three} of {len(single)}",
        f"- pairs with both named: {both} of {len(double)}",
        f"- runs that differ by rounding only: {rounding}, defects found in them: {len(alarms)}",
        "",
        "| case | area | mutant | counts as found | relative size | rank | causes named |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in single:
        lines.append(_row(each))
    lines += ["", "## Pairs", "", "| case | mutant | rank | mutant | rank | causes named |",
              "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for one, two in double:
        named = ", ".join(one.found[:5])
        cells = (one.subject, one.mutant.text, str(one.rank), two.mutant.text, str(two.rank), named)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _row(each: Outcome) -> str:
    mutant = each.mutant
    named = ", ".join(each.found[:4])
    cells = (each.subject, mutant.area, mutant.text, ", ".join(mutant.expected[:3]), f"{each.defect_rel:.1e}",
             str(each.rank) if each.rank else "not named", named)  # fmt: skip
    return f"| {' | '.join(cells)} |"


def study(n_singles: int, n_pairs: int, n_rounding: int, seed: int) -> tuple[bool, str, list[str]]:
    """Whether localisation is as good as it must be, the page, and the lines for whoever is watching."""
    from tools.scaling.studies.mutants.rounding import false_alarms

    single, double = singles(n_singles, seed), pairs(n_pairs, seed)
    alarms = false_alarms(n_rounding, seed)
    text = table(single, double, n_rounding, alarms, seed)
    good = sum(each.rank == 1 for each in single) >= 0.97 * len(single)
    near = sum(0 < each.rank <= 3 for each in single) >= 0.99 * len(single)
    both = all(one.rank and two.rank for one, two in double)
    return good and near and both and not alarms, text, [*text.splitlines()[4:9], *alarms]
