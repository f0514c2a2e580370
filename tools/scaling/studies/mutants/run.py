"""`study mutants`: how often `explain` names a defect whose place is known.

The port is broken, a rule or an input at a time, while a pixel is traced; its trace is explained by the clean one.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tools.scaling.base.errors import BadInput
from tools.scaling.explain.answer import explain
from tools.scaling.studies.mutants.mistakes import fixed_mutants
from tools.scaling.studies.mutants.port import SUBJECTS, Mutant, Place, Subject, broken_trace, subject
from tools.scaling.studies.mutants.rounding import false_alarms
from tools.scaling.studies.mutants.sized import FLOORS, sized_mutants


@dataclass(frozen=True)
class MutantOutcome:
    """How `explain` answered one mutant of a case.

    rank: place of the right quantity among the causes named: 1 is first, 0 not there. named: the causes, largest first.
    defect_rel: the relative size of the defect, as `explain` gives it.
    """

    mutant: Mutant
    subject: str
    rank: int
    named: tuple[str, ...]
    defect_rel: float


@dataclass(frozen=True)
class MutantStudy:
    """What the study measured.

    rounding: how many runs differed by rounding only. alarms: a line for each defect that was named in them.
    """

    single: list[MutantOutcome]
    double: list[tuple[MutantOutcome, MutantOutcome]]
    rounding: int
    alarms: list[str]
    seed: int

    @property
    def first(self) -> int:
        """The single mutants whose quantity was named first."""
        return sum(outcome.rank == 1 for outcome in self.single)

    @property
    def three(self) -> int:
        """The single mutants whose quantity was among the first three."""
        return sum(0 < outcome.rank <= 3 for outcome in self.single)

    @property
    def both(self) -> int:
        """The pairs of which both quantities were named."""
        return sum(one.rank > 0 and two.rank > 0 for one, two in self.double)

    @property
    def ok(self) -> bool:
        """Whether `explain` is as good as it must be."""
        count = len(self.single)
        ranks = self.first >= 0.97 * count and self.three >= 0.99 * count
        return ranks and self.both == len(self.double) and not self.alarms


def study(n_singles: int, n_pairs: int, n_rounding: int, seed: int) -> MutantStudy:
    """Try so many single mutants, pairs, and runs that differ by rounding only. The same seed tries the same."""
    alarms = false_alarms(n_rounding, seed)
    return MutantStudy(singles(n_singles, seed), pairs(n_pairs, seed), n_rounding, alarms, seed)


def singles(count: int, seed: int, where: Sequence[Place] = SUBJECTS) -> list[MutantOutcome]:
    """Return the outcomes of `count` single mutants: two fifths mistakes of the table, the others random rules."""
    rng = random.Random(seed)
    places = [subject(*each) for each in where]
    outcomes = []
    fixed = [
        (each, place) for place in dict.fromkeys(places[::3]) for each in fixed_mutants(rng) if _applies(each, place)
    ]
    rng.shuffle(fixed)
    for each, place in fixed[: count * 2 // 5]:
        outcomes += judged((each,), place)
    while len(outcomes) < count:
        place = rng.choice(places)
        mutant = next(m for m in sized_mutants(rng, place) if _applies(m, place))
        outcomes += judged((mutant,), place)
    return outcomes


def pairs(count: int, seed: int, where: Sequence[Place] = SUBJECTS) -> list[tuple[MutantOutcome, MutantOutcome]]:
    """Return the outcomes of `count` pairs of mutants, two in one trace, of quantities that do not overlap."""
    rng = random.Random(seed + 1)
    places = [subject(*each) for each in dict.fromkeys(where)]
    outcomes: list[tuple[MutantOutcome, MutantOutcome]] = []
    while len(outcomes) < count:
        place = rng.choice(places)
        first, second = (next(m for m in sized_mutants(rng, place) if _applies(m, place)) for _ in range(2))
        if set(first.expected) & set(second.expected) or first.function == second.function:
            continue
        one, two = judged((first, second), place)
        outcomes.append((one, two))
    return outcomes


def _applies(mutant: Mutant, where: Subject) -> bool:
    """Return whether the mutant changes this subject's trace by more than rounding."""
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
        for clean, broken in zip(where.clean.numbers(name), trace.numbers(name)):
            size = math.hypot(*(a - b for a, b in zip(clean.values, broken.values)))
            scale = math.hypot(*clean.values) or 1.0
            if size >= FLOORS * where.floors.get(name, 0.0) * scale and size > 0:
                return True
    return False


def judged(mutants: tuple[Mutant, ...], where: Subject) -> list[MutantOutcome]:
    """Return an outcome for each of `mutants`, all of which are in one trace of `where`."""
    trace = broken_trace(mutants, where)
    try:
        causes = explain(where.clean, trace, where.config).causes
    except BadInput as error:
        return [MutantOutcome(each, where.name, 0, (str(error),), 0.0) for each in mutants]
    names = tuple(cause.quantity for cause in causes)
    outcomes = []
    for each in mutants:
        ranks = [i for i, name in enumerate(names, start=1) if name in each.expected]
        size = next((cause.defect_rel for cause in causes if cause.quantity in each.expected), 0.0)
        outcomes.append(MutantOutcome(each, where.name, ranks[0] if ranks else 0, names, size))
    return outcomes
