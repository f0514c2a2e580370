"""What a campaign is made of: a drawn case, the verdicts on it, and the result that a store keeps of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """How a check ended.

    unasked: the check says nothing of this case, and why. error: what was asked could not be made at all.
    """

    ok = "ok"
    differs = "differs"
    unasked = "unasked"
    error = "error"


@dataclass(frozen=True)
class Drawn:
    """A case of the generator.

    flags: words of the port's command line. files: bare name -> content of the input files that the flags name.
    """

    seed: int
    flags: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What one check says of one case.

    says: the sentence for a person: why it is unasked, what differs or what failed; empty where all is well.
    pixel: the (slow, fast) pixel that deviates the most, or None. label: the first quantity upstream that differs, by
    its name in a trace, the field of the Config or the file; empty where it is unknown. worst: the largest relative
    deviation, also of a check that is ok. ulps: the same in units in the last place of float64, or None.
    """

    check: str
    status: Status
    says: str = ""
    pixel: tuple[int, int] | None = None
    label: str = ""
    worst: float = 0.0
    ulps: int | None = None


@dataclass(frozen=True)
class Result:
    """All verdicts on one case, in the order of the checks, and the seconds that they took.

    flags: the flags that the case has, without their values, each once.
    """

    seed: int
    flags: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """The verdicts that are neither ok nor unasked."""
        return tuple(each for each in self.verdicts if each.status in (Status.differs, Status.error))
