"""Endings of killed runs -> lines for a terminal, and the marked part of a page."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools.scaling.base.text import table, write_marked
from tools.scaling.studies.kills.run import Measure
from tools.scaling.studies.kills.verdicts import KillEnding

PART = "kills"  # of the page


def measure_line(measure: Measure) -> str:
    """Return what a run that nobody kills takes."""
    return f"a run takes {measure.seconds:.1f} s, {len(measure.commands)} commands, {measure.peak_mib:.0f} MiB"


def ending_line(ending: KillEnding) -> str:
    """Return what was done to one run, how it ended, and what is wrong with that."""
    kill = ending.kill
    verdict = "WRONG: " + "; ".join(ending.wrong) if ending.wrong else "right"
    when = f"{100 * kill.moment:2.0f} %, {ending.before.commands}-{ending.after.commands} commands"
    return f"{kill.number + 1:>3} {kill.kind:<16} at {when}, hit {ending.victims}: exit {ending.code}, {verdict}"


def kills_table(endings: Sequence[KillEnding]) -> str:
    """Return a Markdown table with a row for each kind of kill, and one for their sum."""
    head = (
        "killed",
        "runs",
        "hit",
        "verdict right, bundle valid, nothing left",
        "drawn again",
        "exit codes",
        "bundles",
    )
    kinds: dict[str, list[KillEnding]] = {}
    for ending in sorted(endings, key=lambda each: each.kill.kind):
        kinds.setdefault(ending.kill.kind, []).append(ending)
    return table(head, [_row(name, alike) for name, alike in (*kinds.items(), ("sum", [*endings]))])


def _row(name: str, endings: Sequence[KillEnding]) -> tuple[object, ...]:
    hit = sum(bool(each.hit) or each.stopped for each in endings)
    right, again = sum(not each.wrong for each in endings), sum(each.repeats for each in endings)
    codes, bundles = _counts(each.code for each in endings), _counts(each.bundle for each in endings)
    return name, len(endings), hit, right, again, codes, bundles


def _counts(values: Iterable[int] | Iterable[str]) -> str:
    return ", ".join(f"{value}: {count}" for value, count in sorted(Counter(values).items()))


def write_part(page: Path, count: int, seed: int, measure: Measure, endings: Sequence[KillEnding]) -> None:
    """Write the command of the study and its table between the marks of `page`."""
    command = f"`python -m tools.scaling study kills --count {count} --seed {seed}`"
    part = f"{command}, peak of a run {measure.peak_mib:.0f} MiB:\n\n{kills_table(endings)}"
    write_marked(page, PART, part)
