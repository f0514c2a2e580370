"""index.html: the history of all bundles as a page."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

from tools.scaling.base.files import write_text
from tools.scaling.base.repo import REPORTS_ROOT, ROOT
from tools.scaling.bundle.history import UPSTREAM, BundleRow, History, QuantitySeries, Regression, history
from tools.scaling.bundle.layout import REPORT
from tools.scaling.bundle.seal import irregular
from tools.scaling.page.html import index_page
from tools.scaling.page.reading import LONG, finite, short, when
from tools.scaling.page.view import Index, IndexRow, Number, Trend, Trends

GROUPS, POINTS = 4, 400  # groups of trends, and points of each


def index_path(root: Path) -> Path:
    """Return where the index of `root` lies: reports/index.html for the project's own bundles, else inside `root`."""
    home = ROOT / REPORTS_ROOT
    return (ROOT / "reports" if root.absolute() == home else root) / "index.html"


def write_index(root: Path, out: Path | None = None) -> Path:
    """Write the index of all bundles under `root`. Raises BadInput: no such folder, or cannot be written."""
    path = out or index_path(root)
    write_text(path, index_page(index_of(history(root), root, path.absolute().parent)))
    return path


def index_of(known: History, root: Path, beside: Path) -> Index:
    """Return what the index shows. beside: the folder that it will lie in, which its links start from."""
    prefix = quote(Path(os.path.relpath(root.absolute(), beside)).as_posix())
    worse: dict[str, list[Regression]] = defaultdict(list)
    for each in known.regressions:
        worse[each.bad].append(each)
    rows = tuple(_row(row, root, prefix, worse[row.stamp]) for row in reversed(known.rows))
    groups: dict[str, list[QuantitySeries]] = defaultdict(list)
    for series in known.series:
        groups[f"{series.case}, pixel {series.pixel}, {series.device} {series.dtype}"].append(series)
    latest = sorted(groups, key=lambda name: groups[name][0].stamps[-1], reverse=True)
    counts = Counter(row.verdict for row in rows)
    trends = tuple(_trends(name, groups[name]) for name in latest[:GROUPS])
    return Index(known.root, rows, tuple(sorted(counts.items())), trends, len(latest) - len(trends))


def _row(row: BundleRow, root: Path, prefix: str, worse: Sequence[Regression]) -> IndexRow:
    page = REPORT if irregular(root / row.stamp / REPORT) is None else ""
    pixel = "" if row.pixel is None else f" {row.pixel[0]} {row.pixel[1]}"
    return IndexRow(
        stamp=row.stamp,
        when=when(row.stamp),
        href=f"{prefix}/{row.stamp}/{page}",
        commit=short(str(row.commit or "-")),
        what=short(f"{row.case}{pixel} {row.device} {row.dtype}"),
        verdict=row.verdict,
        first_divergence=short(str(row.first_divergence or row.first_upstream_divergence or "")),
        worst=row.worst,
        cause=short(str(row.cause or ""), LONG),
        regression=_regression(worse),
        problem=short(row.problem or "", LONG),
    )


def _regression(worse: Sequence[Regression]) -> str:
    """Return the sentence on what got worse: a factor before what is upstream of it."""
    if not worse:
        return ""
    first = worse[0]
    more = f" and {len(worse) - 1} more" if len(worse) > 1 else ""
    status = "diverging, upstream of the factors" if first.status == UPSTREAM else first.status
    then, now = (str(commit or "no commit")[:12] for commit in (first.good_commit, first.bad_commit))
    return short(f"Regression: {first.quantity}{more} passed in {first.good} ({then}), now {status} ({now}).", LONG)


def _trends(what: str, series: Sequence[QuantitySeries]) -> Trends:
    exact = tuple(short(each.quantity) for each in series if not any(each.deltas) and None not in each.deltas)
    drawn = tuple(Trend(short(each.quantity), _fewer(each.deltas)) for each in series if any(each.deltas))
    return Trends(short(what), max(len(each.stamps) for each in series), drawn, exact)


def _fewer(values: Sequence[Number]) -> tuple[Number, ...]:
    """Return at most POINTS values: of every stretch the largest in size, and the newest as it is."""
    values = [None if value is None else finite(float(value)) for value in values]
    if len(values) <= POINTS:
        return tuple(values)
    older, stretches = values[:-1], POINTS - 1
    cuts = [nth * len(older) // stretches for nth in range(stretches + 1)]
    pieces = ([v for v in older[a:b] if v is not None] for a, b in pairwise(cuts))
    return (*(max(piece, key=abs, default=None) for piece in pieces), values[-1])
