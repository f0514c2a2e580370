"""One trap, and what a tool said of it."""

from dataclasses import dataclass
from enum import StrEnum


class TrapVerdict(StrEnum):
    """What a tool says of a pair. ERROR: it refused the input or broke off, which nobody takes for a pass."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Trap:
    """Two files, `suffix` behind their names, and whether a comparison may pass them.

    shape: (slow, fast) of raw images, None where the files say it; traces have none.
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
        """Is it the right one? An error is as good as a fail."""
        return (verdict is TrapVerdict.PASS) is (self.right is TrapVerdict.PASS)
