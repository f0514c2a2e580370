"""What the study of traps measured -> lines for a terminal, and its page."""

from collections.abc import Iterable, Sequence

from tools.scaling.base.files import to_ascii
from tools.scaling.base.text import table
from tools.scaling.studies.traps.others import Tool
from tools.scaling.studies.traps.record import TrapVerdict
from tools.scaling.studies.traps.run import OURS, TrapRow, TrapStudy

_INTRODUCTION = """\
# Traps

Pairs of files whose right verdict is known. `fail` and `error` (the input is refused, or the tool breaks off) are
equally right where the pair must not pass; a verdict in **bold** is wrong. Made by `nox -s traps -- --out
docs/results/traps.md`, as measured.

- ours: traces through `compare` and the judge of the parity matrix, images through `images --gate`
- numpy.allclose, torch.testing.assert_close, Polygraphy (Comparator.compare_accuracy), fieldcompare (its command line)
  and h5diff with their default tolerances, as their documentation says. None of them was made for these files: they get
  what a plain reader makes of them. A trace is arrays by name (torch.testing, Polygraphy: the numbers; fieldcompare:
  CSV; h5diff: HDF5; both with texts) or one array of all its numbers (numpy.allclose); an image is one array
  (fieldcompare: VTK image data).
- h5diff compares exactly unless it is given a tolerance, so that rounding is an alarm. Who pairs by name does not see
  the order of lines, nor lines that are no numbers."""


def verdict_line(result: TrapStudy) -> str:
    word = "FAIL" if result.wrong else "PASS"
    return f"{word}: {len(result.rows) - len(result.wrong)} of {len(result.rows)} traps judged rightly"


def traps_lines(result: TrapStudy) -> list[str]:
    """Return the score of each tool, what the automation got wrong, and the verdict last."""
    lines = [
        f"{name:<16} {missed:>3} wrong pairs passed, {alarms:>3} harmless ones refused"
        for name, missed, alarms in _scores(result)
    ]
    lines += [f"{tool.name:<16} not run: {tool.version}" for tool in result.tools if tool.judge is None]
    lines += [
        f"WRONG: {row.trap.name}: expected {row.trap.right}, got {row.verdicts[OURS]} {row.line}"
        for row in result.wrong
    ]
    return [*lines, verdict_line(result)]


def traps_markdown(result: TrapStudy) -> str:
    """Return the page: the scores, and every verdict on every trap."""
    names = [OURS, *(tool.name for tool in result.tools if tool.judge is not None)]
    parts = [
        _INTRODUCTION,
        "## Scores",
        table(
            (
                "tool",
                "version",
                f"wrong pairs passed, of {result.count(TrapVerdict.FAIL)}",
                f"harmless ones refused, of {result.count(TrapVerdict.PASS)}",
            ),
            [(name, _version(result, name), missed, alarms) for name, missed, alarms in _scores(result)],
        ),
        "\n".join(f"- {tool.name} was not run: {tool.version}" for tool in result.tools if tool.judge is None),
    ]
    for title, rows in (
        ("Traces", [row for row in result.rows if row.trap.is_trace]),
        ("Images", [row for row in result.rows if not row.trap.is_trace]),
    ):
        head = ("pair", "right", *names)
        parts += [
            f"## {title}",
            table(head, [(row.trap.name, row.trap.right, *_verdicts(row, names)) for row in rows], cell=str),
        ]
    return to_ascii("\n\n".join(part for part in parts if part) + "\n")


def lost_columns(tools: Sequence[Tool], page: str) -> list[str]:
    """Return the tools of a page that are not installed here, so that a new page would lack their verdicts."""
    return [tool.name for tool in tools if tool.judge is None and f"\n| {tool.name} | " in page]


def _scores(result: TrapStudy) -> Iterable[tuple[str, int, int]]:
    for name in (OURS, *(tool.name for tool in result.tools if tool.judge is not None)):
        score = result.score(name)
        yield name, score.missed, score.alarms


def _version(result: TrapStudy, name: str) -> str:
    return next((tool.version for tool in result.tools if tool.name == name), "-")


def _verdicts(row: TrapRow, names: list[str]) -> list[str]:
    return [
        row.verdicts[name] if row.trap.judges(row.verdicts[name]) else f"**{row.verdicts[name]}**" for name in names
    ]
