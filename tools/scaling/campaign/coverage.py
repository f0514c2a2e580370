"""Which flags the cases of a campaign had, one by one and in pairs."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from nanobragg_torch.flags.table import TABLE
from tools.scaling.campaign.generator import NOT_DRAWN, flag_of, grouped
from tools.scaling.campaign.record import Drawn

NAMES = tuple(flag.names.split()[0].rstrip("*") for flag in TABLE)
_PLACE = {name: place for place, name in enumerate(NAMES)}
_SHOWN = 10  # of a long list, for a person
_BY_CHANCE = 8  # cases of a pair that are likely: with none of them, something keeps the two apart


def flags_of(drawn: Drawn) -> tuple[str, ...]:
    """Return the flags of a case without their values: each once, under the first name of its row of the table."""
    rows = (flag_of(group[0]) for group in grouped(drawn.flags))
    return tuple(dict.fromkeys(NAMES[TABLE.index(row)] for row in rows if row is not None))


class Coverage:
    """How many cases had each flag and each pair of flags.

    cases: how many were counted. pairs: int64, (flag, flag) in the order of NAMES; each flag itself on the diagonal.
    """

    def __init__(self) -> None:
        self.cases = 0
        self.pairs = np.zeros((len(NAMES), len(NAMES)), dtype=np.int64)

    def add(self, cases: Iterable[Sequence[str]]) -> None:
        """Count cases, each given as its flags (`flags_of`); many at a time are fastest."""
        listed = list(cases)
        lengths = [len(flags) for flags in listed]
        places = [_PLACE[flag] for flags in listed for flag in flags]
        has = np.zeros((len(listed), len(NAMES)), dtype=np.float32)
        has[np.repeat(np.arange(len(listed)), lengths), places] = 1.0
        self.count(has)

    def count(self, has: np.ndarray) -> None:
        """Count cases given as a table (case, flag in the order of NAMES) of 0 and 1, float32."""
        step = 2**20  # float32, for its fast product, counts to 2^24 exactly
        for start in range(0, len(has), step):
            part = has[start : start + step]
            self.pairs += (part.T @ part).astype(np.int64)
        self.cases += len(has)

    @property
    def counts(self) -> dict[str, int]:
        """How many cases had each flag."""
        return dict(zip(NAMES, self.pairs.diagonal().tolist()))

    def never(self) -> tuple[str, ...]:
        """Return the flags that no case had, but for those that the generator leaves out for a reason."""
        return tuple(name for name, count in self.counts.items() if count == 0 and name not in NOT_DRAWN)

    def apart(self, expected: float = 0.0) -> list[tuple[str, str]]:
        """Return the pairs of flags that no case had together, though each came with others: those of which more than
        `expected` cases would have been there by chance."""
        counts = self.pairs.diagonal()
        chance = np.outer(counts, counts) / max(self.cases, 1)
        alone = np.triu((self.pairs == 0) & (chance > expected), 1)
        return [(NAMES[i], NAMES[j]) for i, j in np.argwhere(alone)]

    def lines(self) -> Iterator[str]:
        """Yield what a person should know: flags never drawn, the rarest ones, pairs never seen together."""
        drawn = sorted((count, name) for name, count in self.counts.items() if count)
        yield f"{self.cases} cases, {len(drawn)} of {len(NAMES)} flags"
        for name, why in NOT_DRAWN.items():
            yield f"{name}: not drawn: it {why}"
        if self.never():
            yield f"never drawn: {' '.join(self.never())}"
        yield "rarest: " + ", ".join(f"{name} {count}" for count, name in drawn[:_SHOWN])
        apart, pairs = self.apart(), len(drawn) * (len(drawn) - 1) // 2
        yield f"{pairs - len(apart)} of {pairs} pairs seen together"
        unlikely = [f"{one} with {other}" for one, other in self.apart(_BY_CHANCE)]
        if unlikely:
            yield f"never, though {_BY_CHANCE} or more cases were likely: {', '.join(unlikely[:_SHOWN])}"
