"""`study traps`: every trap judged by the automation and by every tool."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.scaling.studies.traps.images import image_traps
from tools.scaling.studies.traps.others import Tool, verdict_of
from tools.scaling.studies.traps.ours import our_verdict
from tools.scaling.studies.traps.record import Trap, TrapVerdict
from tools.scaling.studies.traps.traces import trace_traps

OURS = "ours"


@dataclass(frozen=True, slots=True)
class TrapRow:
    """A trap with the verdict of each tool by its name, and the reason of the automation's, empty for a pass."""

    trap: Trap
    verdicts: dict[str, TrapVerdict]
    line: str

    @property
    def right(self) -> bool:
        """Whether the automation's own verdict is right."""
        return self.trap.judges(self.verdicts[OURS])


@dataclass(frozen=True, slots=True)
class Score:
    """How often a tool was wrong: missed, it passed what differs; alarms, it objected to what is harmless."""

    missed: int
    alarms: int


@dataclass(frozen=True, slots=True)
class TrapStudy:
    """What all tools said of all traps."""

    rows: tuple[TrapRow, ...]
    tools: tuple[Tool, ...]

    @property
    def wrong(self) -> tuple[TrapRow, ...]:
        """The rows in which the automation's own verdict is wrong."""
        return tuple(row for row in self.rows if not row.right)

    def count(self, right: TrapVerdict) -> int:
        return sum(row.trap.right is right for row in self.rows)

    def score(self, name: str) -> Score:
        wrong = [row.trap.right for row in self.rows if not row.trap.judges(row.verdicts[name])]
        return Score(wrong.count(TrapVerdict.FAIL), wrong.count(TrapVerdict.PASS))


def all_traps() -> list[Trap]:
    return [*trace_traps(), *image_traps()]


def run_traps(tools: Sequence[Tool]) -> TrapStudy:
    """Judge every trap by the automation and by those of `tools` that are installed."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="traps-") as scratch:
        for trap in all_traps():
            verdict, line = our_verdict(trap, Path(scratch))
            others = {tool.name: verdict_of(tool, trap, Path(scratch)) for tool in tools if tool.judge is not None}
            rows.append(TrapRow(trap, {OURS: verdict} | others, line))
    return TrapStudy(tuple(rows), tuple(tools))
