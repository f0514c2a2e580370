"""One trap, and the verdicts that there are on it."""

from dataclasses import dataclass
from enum import StrEnum


class TrapVerdict(StrEnum):
    """What a tool says of a trap. ERROR: it refused the input or broke off, which nobody takes for a pass."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Trap:
    """A pair of files that look alike or differ in one thing, and the right verdict on them.

    reference, candidate: what the files hold. suffix: of their names. shape: (slow, fast) of raw images; None for other
    images, which say it themselves, and for traces.
    """

    name: str
    right: TrapVerdict
    reference: bytes
    candidate: bytes
    suffix: str = ".log"
    shape: tuple[int, int] | None = None

    @property
    def is_trace(self) -> bool:
        return self.suffix == ".log"

    def judges(self, verdict: TrapVerdict) -> bool:
        """Return whether `verdict` is right; an error is as good as a fail."""
        return (verdict is TrapVerdict.PASS) is (self.right is TrapVerdict.PASS)
