"""All traps through all tools."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.scaling.studies.traps.images import image_traps
from tools.scaling.studies.traps.others import Tool, find_tools, verdict_of
from tools.scaling.studies.traps.ours import our_verdict
from tools.scaling.studies.traps.record import Trap, TrapVerdict
from tools.scaling.studies.traps.traces import trace_traps

OURS = "ours"


@dataclass(frozen=True, slots=True)
class TrapRow:
    """A trap with every verdict by the tool's name; `line` is what ours says where it is no pass."""

    trap: Trap
    verdicts: dict[str, TrapVerdict]
    line: str

    @property
    def right(self) -> bool:
        """Ours."""
        return self.trap.judges(self.verdicts[OURS])


@dataclass(frozen=True, slots=True)
class Score:
    """How often a tool passed what is wrong, and objected to what is harmless."""

    missed: int
    alarms: int


@dataclass(frozen=True, slots=True)
class Result:
    rows: tuple[TrapRow, ...]
    tools: tuple[Tool, ...]

    @property
    def wrong(self) -> tuple[TrapRow, ...]:
        """Where ours is wrong."""
        return tuple(row for row in self.rows if not row.right)

    def count(self, right: TrapVerdict) -> int:
        return sum(row.trap.right is right for row in self.rows)

    def score(self, name: str) -> Score:
        wrong = [row.trap.right for row in self.rows if not row.trap.judges(row.verdicts[name])]
        return Score(wrong.count(TrapVerdict.FAIL), wrong.count(TrapVerdict.PASS))


def all_traps() -> list[Trap]:
    return [*trace_traps(), *image_traps()]


def run_traps(
    tools: Sequence[Tool] | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> Result:
    """Every trap through ours and through `tools`, by default all that are known; progress gets (done, total)."""
    found = find_tools() if tools is None else list(tools)
    traps, rows = all_traps(), []
    with tempfile.TemporaryDirectory(prefix="traps-") as scratch:
        for done, trap in enumerate(traps, start=1):
            verdict, line = our_verdict(trap, Path(scratch))
            others = {tool.name: verdict_of(tool, trap, Path(scratch)) for tool in found if tool.judge is not None}
            rows.append(TrapRow(trap, {OURS: verdict} | others, line))
            progress(done, len(traps))
    return Result(tuple(rows), tuple(found))
