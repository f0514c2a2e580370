"""Matrix, effects of quirks -> Markdown, lines for a pipe, a table and a progress bar for a terminal. No arithmetic.

rich is imported only in the two functions that draw on a terminal.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from tools.scaling.base.files import to_ascii
from tools.scaling.base.text import plain, table
from tools.scaling.implementations.describe import PORT, RECORDED
from tools.scaling.matrix.effects import QuirkEffect
from tools.scaling.matrix.judge import CaseResult, FileResult, Matrix, MatrixOutcome, Tie

if TYPE_CHECKING:
    from rich.table import Table

_HEAD = (
    "case", "outcome", "numbers", "worst relative deviation", "by the bound", "pixels", "not bitwise equal",
    "worst ulp", "worst of maximum", "ties", "images", "s",
)  # fmt: skip
_STYLES = {
    MatrixOutcome.PASS: "green",
    MatrixOutcome.FAIL: "bold red",
    MatrixOutcome.MEASURED: "yellow",
    MatrixOutcome.SKIPPED: "dim",
}
_SIDES = ("outcome", "worst deviation", "pixels off", "s")  # columns of each candidate, where there are several


def verdict_line(matrix: Matrix) -> str:
    """The last line of a run."""
    parts = [f"{matrix.count(outcome)} {outcome.value}" for outcome in MatrixOutcome if matrix.count(outcome)]
    return (
        f"{len(matrix.cases)} cases: {', '.join(parts)}; {matrix.numbers} numbers, {matrix.unequal} of "
        f"{matrix.pixels} pixels not bitwise equal; {matrix.dtype} on {matrix.device}, {matrix.seconds:.1f} s"
    )


def case_lines(case: CaseResult) -> list[str]:
    """A case as plain lines: its row, then each problem, tie, note and image file that was only measured."""
    cells = _cells(case)
    row = (
        f"{cells[1]:<8} {cells[0]:<28} {cells[2]:>6} numbers, worst {cells[3]}; {cells[6]} of {cells[5]} pixels differ"
    )
    return [row, *(f"    {line}" for line in _remarks(case))]


def matrix_lines(matrices: Sequence[Matrix]) -> list[str]:
    """Everything as plain lines, the verdict last; with several candidates, each under its name."""
    lines: list[str] = []
    for matrix in matrices:
        lines += [pair_line(matrix)] if len(matrices) > 1 or is_named(matrix) else []
        lines += [line for case in matrix.cases for line in case_lines(case)] + [verdict_line(matrix)]
    return lines


def is_named(matrix: Matrix) -> bool:
    """Whether the two implementations are others than our port and the golden data."""
    return (matrix.candidate, matrix.reference) != (PORT.name, RECORDED.name)


def pair_line(matrix: Matrix) -> str:
    return f"candidate {matrix.candidate}, reference {matrix.reference}"


def matrix_markdown(matrices: Sequence[Matrix], changed: Sequence[str] | None = None) -> str:
    """The table with its command and machine, and under it every remark.

    Several candidates stand side by side. changed: lines that say what changed since the last run, if one is known.
    """
    first, several = matrices[0], len(matrices) > 1
    machine = ", ".join(f"{name} {_short(value)}" for name, value in first.machine.items() if value)
    lines = ["# Parity matrix", ""]
    for matrix in matrices:
        name = f"{plain(matrix.candidate)}: " if several else ""
        lines += [f"**{name}{verdict_line(matrix)}**", ""]
    lines += [
        f"- command: `{first.command}`" if first.command else "- command: not recorded",
        f"- machine: {plain(machine)}",
        *([f"- {plain(pair_line(matrix))}" for matrix in matrices] if several or is_named(first) else []),
        "",
        _side_by_side(matrices) if several else table(_HEAD, map(_cells, first.cases)),
    ]
    if changed is not None:
        told = [f"- {plain(line)}" for line in changed] or ["Nothing."]
        lines += ["", "## Changed since the last run", "", *told]
    remarks = []
    for matrix in matrices:
        name = f"{plain(matrix.candidate)}: " if several else ""
        remarks += [f"- {name}{plain(case.name)}: {plain(line)}" for case in matrix.cases for line in _remarks(case)]
    return to_ascii("\n".join([*lines, "", "## Remarks", "", *(remarks or ["None."])]) + "\n")


def _side_by_side(matrices: Sequence[Matrix]) -> str:
    head = ["case", *(f"{matrix.candidate}: {name}" for matrix in matrices for name in _SIDES)]
    rows = []
    for cases in zip(*(matrix.cases for matrix in matrices)):
        cells = [_cells(case) for case in cases]
        for case, row in zip(cases, cells):  # without a trace the image alone says how far off it is
            row[3] = row[3] if case.traces else row[8] if row[8] in "-0" else f"{row[8]} of the maximum"
        rows.append([cases[0].name, *(row[i] for row in cells for i in (1, 3, 6, 11))])
    return table(head, rows)


def terminal_table(matrix: Matrix) -> "Table":
    """The rows as a table that rich prints; it fits 80 columns, and says where the worst number is if there is room."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("case", "outcome", "numbers", "bound", "differ", "ulp", "ties", "worst"):
        table.add_column(name, justify="left" if name in ("case", "outcome") else "right", no_wrap=True)
    table.add_column("where", overflow="ellipsis")
    for case in matrix.cases:
        name, outcome, numbers, _, bound, _, differ, ulp, _, ties, *_ = _cells(case)
        worst, where = case.worst
        cells = (numbers, bound, differ, ulp, ties, _small(worst), where.replace(" ", ":"))
        table.add_row(Text(name), Text(outcome, style=_STYLES[case.outcome]), *map(Text, cells))
    return table


def terminal_rows(matrices: Sequence[Matrix], draw: Callable[["Table"], None]) -> Iterator[str]:
    """Draw the table of each candidate; yield what stands under it: remarks, and the verdict."""
    for matrix in matrices:
        if len(matrices) > 1 or is_named(matrix):
            yield pair_line(matrix)
        draw(terminal_table(matrix))
        for case in matrix.cases:
            yield from (f"{case.name}: {line}" for line in _remarks(case))
        yield verdict_line(matrix)


def quirk_lines(case: str, effects: Sequence[QuirkEffect]) -> list[str]:
    """A line a quirk: number, largest change of a pixel, pixels and traced numbers changed, name."""
    lines = [f"{case}: each quirk switched alone", f"{'id':<5}{'image':>10}{'pixels':>8}{'numbers':>9}  name"]
    for row in effects:
        if row.refused:
            lines.append(f"{row.id:<5}{'refused':>10}{'':>17}  {row.name}: {row.refused}")
        elif row.silent:
            lines.append(f"{row.id:<5}{'-':>10}{'-':>8}{'-':>9}  {row.name}")
        else:
            lines.append(f"{row.id:<5}{row.image:>10.2e}{row.pixels:>8}{row.numbers:>9}  {row.name}")
    return lines


@contextmanager
def progress_bar(total: int, stream: TextIO) -> Iterator[Callable[[CaseResult], None]]:
    """A bar on a terminal while the cases run; gives what is to be called after each."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda case: progress.update(task, advance=1, description=case.name)


def _cells(case: CaseResult) -> list[str]:
    worst, where = case.worst
    image = case.image
    pixels = ["-"] * 5
    if image is not None:
        ulp = "NaN" if image.worst_ulp is None else str(image.worst_ulp)
        pixels = [str(image.pixels), str(image.unequal), ulp, _small(image.worst_share), str(len(image.ties))]
    deviation = f"{_small(worst)} ({where})" if where else "0" if case.traces else "-"
    numbers = [str(case.numbers), deviation, str(case.bounded)]
    return [case.name, case.outcome.value, *numbers, *pixels, _files(case.files), f"{case.seconds:.2f}"]


def _small(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _files(files: Sequence[FileResult]) -> str:
    names = [f"{file.name} {file.outcome.value}" for file in files]
    return ", ".join(names) if len({file.outcome for file in files}) > 1 else _all_alike(files)


def _all_alike(files: Sequence[FileResult]) -> str:
    return f"{len(files)} {files[0].outcome.value}" if files else "-"


def _remarks(case: CaseResult) -> list[str]:
    lines = [f"{case.outcome.value}: {problem}" for problem in [*case.problems, *filter(None, [case.skipped])]]
    if case.image is not None:
        lines += [f"diagnosis: {case.image.diagnosis}"] if case.image.diagnosis else []
        lines += [f"note: {note}" for note in case.image.notes]
        lines += [_tie(tie) for tie in case.image.ties]
    for trace in case.traces:
        lines += [f"trace {trace.pixel[0]} {trace.pixel[1]}: {note}" for note in trace.notes]
    measured = (file for file in case.files if file.outcome is MatrixOutcome.MEASURED)
    lines += [f"{file.name} {file.outcome.value}: {file.note}" for file in measured]
    return lines


def _tie(tie: Tie) -> str:
    off = "not a number" if tie.ulp is None else f"{tie.ulp} ulp off"
    return (
        f"tie at pixel {tie.slow} {tie.fast}: expected {tie.reference:.9g}, got {tie.candidate:.9g} ({off}); "
        f"{tie.edge.margin:.1e} from a {tie.edge.kind} edge, rounding reaches {tie.edge.reach:.1e}"
    )


def _short(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
