"""Verdicts of verify, and the history, as lines for a terminal."""

from collections.abc import Iterable, Iterator

from tools.scaling.base.files import one_line
from tools.scaling.base.text import counted
from tools.scaling.bundle.history import BundleRow, History, QuantitySeries, Regression
from tools.scaling.bundle.verify import ChainVerdict, SealVerdict, Signature, Standing

_STANDING = {
    Standing.COMMITTED: "git has it committed",
    Standing.STAGED: "git has it staged",
    Standing.ALONE: "stands alone: git has nothing of it",
    Standing.UNKNOWN: "whether git has it is not known",
    Standing.OPEN: "open: not sealed yet",
}
# One character a level, 0 to 7; ASCII, so that it reads the same in a log.
SPARKS = "_.:-=+*#"
WIDTH = 60  # bundles that a sparkline shows, the newest ones
_COLUMNS = ("time", "commit", "device", "dtype", "verdict", "first divergence", "worst", "cause")


def history_lines(history: History) -> Iterator[str]:
    """Yield a line for each bundle, oldest first, then the sparklines, the regressions last."""
    if not history.rows:
        yield f"{history.root}: no bundles" + (f" since {history.since}" if history.since else "")
        return
    cells = [_cells(row) for row in history.rows]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *cells)]
    for line in (_COLUMNS, *cells):
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
    yield from _sparklines(history.series)
    yield ""
    for regression in history.regressions:
        yield _told(regression)
    yield f"{counted(len(history.rows), 'bundle')}, {counted(len(history.regressions), 'regression')}"


def sparkline(series: QuantitySeries) -> str:
    """Return the newest levels, a blank where there is none."""
    return "".join(" " if level is None else SPARKS[level] for level in series.levels[-WIDTH:])


def _cells(row: BundleRow) -> tuple[str, ...]:
    commit = "-" if row.commit is None else row.commit[:10]
    if row.verdict == "BROKEN":
        return (row.time, "-", "-", "-", row.verdict, one_line(row.problem or "")[:80], "", "")
    worst = "-" if row.worst is None else f"{row.worst:.1e}"
    first = row.first_divergence or "-"
    return tuple(
        one_line(str(cell))
        for cell in (row.time, commit, row.device, row.dtype, row.verdict, first, worst, row.cause or "-")
    )


def _sparklines(series: Iterable[QuantitySeries]) -> Iterator[str]:
    title = None
    for each in series:
        here = one_line(f"{each.case} pixel {each.pixel} {each.device} {each.dtype}")
        if here != title:
            title = here
            yield ""
            yield f"{here}: relative delta, _ none, . to 1e-14, : 1e-12, - 1e-10, = 1e-8, + 1e-6, * 1e-4, # more"
        yield f"  {one_line(each.quantity):<24} {sparkline(each)}"


def _told(each: Regression) -> str:
    good, bad = (str(commit)[:10] for commit in (each.good_commit, each.bad_commit))
    return one_line(f"REGRESSION {each.quantity}: PASS at {good} ({each.good}), {each.status} at {bad} ({each.bad})")


def verdict_lines(verdict: SealVerdict) -> Iterator[str]:
    """Yield the problems, one a line, then what holds."""
    for problem in verdict.problems:
        yield one_line(f"{verdict.bundle}: {problem}")
    signed = "" if verdict.signature is Signature.NONE else f"; {verdict.signature.value}"
    state = f"{verdict.files} files hold" if verdict.ok else f"{len(verdict.problems)} problems"
    yield one_line(f"{verdict.bundle}: {state}; {_STANDING[verdict.standing]}{signed}")


def chain_lines(chain: ChainVerdict) -> Iterator[str]:
    """Yield the lost bundles, the problems of each that is there, those that are open, then the verdict."""
    lost = {f"{chain.root}/{problem.name}" for problem in chain.lost}
    for problem in chain.lost:
        yield one_line(f"{chain.root}/{problem}")
    still_open = 0
    for verdict in chain.verdicts:
        for problem in verdict.problems:
            yield one_line(f"{verdict.bundle}: {problem}")
        if verdict.ok and verdict.standing is Standing.OPEN and verdict.bundle not in lost:
            still_open += 1
            yield f"{verdict.bundle}: {_STANDING[Standing.OPEN]}"
    bad = {verdict.bundle for verdict in chain.verdicts if not verdict.ok} | lost
    closed = len(lost | {verdict.bundle for verdict in chain.verdicts}) - still_open
    bundles, hold = counted(closed, "bundle"), "holds" if closed == 1 else "hold"
    state = f"{bundles} {hold}" if chain.ok else f"{len(bad)} of {bundles} do not hold"
    newest = f"; newest {chain.newest}: {_STANDING[chain.standing]}" if chain.newest else ""
    yield f"{chain.root}: {state}{newest}"
