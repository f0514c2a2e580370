"""Explanation -> Markdown in ASCII, and lines for a terminal. No arithmetic."""

from collections.abc import Iterable, Sequence

from tools.scaling.base.files import to_ascii
from tools.scaling.base.text import bullets, code, plain, table
from tools.scaling.explain.defects import Finding
from tools.scaling.explain.explanation import Explanation
from tools.scaling.explain.records import Cause, ExplainedRow, Shown

_SILENT = (Finding.AGREES, Finding.ROUNDING)


def explanation_markdown(e: Explanation, title: str = "What caused the difference", level: int = 1) -> str:
    """Return the sentence, the causes with their shares, then every quantity; `level` of the first heading."""
    mark = "#" * level
    parts = [
        f"{mark} {title}",
        f"**{plain(e.sentence)}**",
        bullets(
            [
                f"reference: {code(e.c_source)}; candidate: {code(e.py_source)}; "
                f"pixel slow {e.pixel[0]}, fast {e.pixel[1]}",
                f"target: `{e.target}`, delta {_number(e.delta_rel)}, explained {_number(e.explained_rel)}, "
                f"unexplained {_number(e.unexplained_rel)}",
                *(plain(note) for note in e.notes),
            ]
        ),
        f"{mark}# Causes",
        _causes(e),
        f"{mark}# Quantities that differ by more than rounding",
        _quantities(row for row in e.quantities if row.verdict not in _SILENT),
        f"{mark}# All other quantities",
        _quantities(row for row in e.quantities if row.verdict in _SILENT),
    ]
    return to_ascii("\n\n".join(parts) + "\n")


def explanation_section(e: Explanation) -> str:
    """Return what ends a summary: the causes of the difference and, last, the sentence."""
    head = f"## Attribution: {code(e.py_source.rsplit('/', 1)[-1])}"
    causes = [_causes(e)] if e.causes else []
    return to_ascii("\n" + "\n\n".join([head, *causes, plain(e.sentence)]) + "\n")


def explanation_lines(e: Explanation, several: bool = False) -> list[str]:
    """Return the causes, one a line, the notes, and the sentence last; of several pixels, the pixel first."""
    lines = [f"pixel slow {e.pixel[0]}, fast {e.pixel[1]}"] if several else []
    if e.causes:
        lines.append(f"{'cause':<22} {'defect':>10} {'effect alone':>14} {'first order':>14} {'share':>10}  variant")
    for cause in e.causes:
        lines.append(
            f"{cause.quantity:<22} {cause.defect_rel:>10.3e} {cause.effect_rel:>+14.6e} "
            f"{cause.first_order_rel:>+14.6e} {cause.share:>10.3%}  {_variant(cause)}"
        )
    lines.append(
        f"{e.target}: delta {_number(e.delta_rel)}, explained {_number(e.explained_rel)}, "
        f"unexplained {_number(e.unexplained_rel)}"
    )
    lines += [f"note: {note}" for note in e.notes]
    return [to_ascii(line) for line in (*lines, e.sentence)]


def _causes(e: Explanation) -> str:
    if not e.causes:
        return "None: no quantity departs from its rule by more than rounding."
    head = ("quantity", "what it is", "relative defect", "effect alone", "first order", "in the sum", "share",
            "amplification", "shows in")  # fmt: skip
    return table(head, (_cause(cause) for cause in e.causes))


def _cause(cause: Cause) -> Sequence[str]:
    what = _variant(cause) if cause.variant else "breaks its rule"
    effects = (cause.effect_rel, cause.first_order_rel, cause.added_rel)
    rule = f"{what}; rule: {cause.rule}" if cause.rule else what
    return (cause.quantity, rule, f"{cause.defect_rel:.3e}", *(_number(x) for x in effects), f"{cause.share:.4%}",
            f"{cause.amplification:.4g}", ", ".join(cause.members))  # fmt: skip


def _variant(cause: Cause) -> str:
    printed = "in print only: " if cause.in_print_only else ""
    return " / ".join((printed + (cause.variant or "-"), *cause.alternatives))


def _quantities(rows: Iterable[ExplainedRow]) -> str:
    cells = [
        (
            row.stage,
            row.name,
            row.verdict.value + (f" ({row.note})" if row.note else ""),
            _shown(row.c),
            _shown(row.py),
            _size(row.rel),
            _size(row.defect_rel),
            _size(row.noise_floor_rel),
        )
        for row in rows
    ]
    return table(("stage", "quantity", "verdict", "C", "PY", "rel", "defect", "noise floor"), cells)


def _shown(value: Shown) -> str:
    if value is None:
        return "-"
    values = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{x:.15g}" for x in values)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.6e}"


def _size(value: float | None) -> str:
    return "-" if value is None else "0" if value == 0 else f"{value:.2e}"
