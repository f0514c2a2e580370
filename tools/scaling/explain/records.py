"""What an explanation holds: a frozen record of each cause, and one of each quantity."""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tools.scaling.explain.defects import Finding, Group, Measured
from tools.scaling.explain.graph import Graph
from tools.scaling.explain.sides import PY, C, Sides
from tools.scaling.traces.read import Trace
from tools.scaling.traces.schema import quantity

# An inherited difference that rounding, amplified from the flags down, can make.
ONLY_ROUNDING = "amplified rounding"

Shown = float | tuple[float, ...] | None


@dataclass(frozen=True)
class ExplainedRow:
    """One traced quantity; of several occurrences the one that stands out most against its floor.

    `rel`, `defect_rel` and `noise_floor_rel` are lengths over the length of the reference's value; `rel` of
    a scalar is signed. note: why nothing can be said, or what an inherited difference comes through.
    """

    name: str
    verdict: Finding
    c: Shown
    py: Shown
    rel: float | None
    defect_rel: float | None
    noise_floor_rel: float | None
    stage: str = ""
    note: str = ""


@dataclass(frozen=True)
class Cause:
    """One defect. Effects are relative changes of the target: `effect_rel` that of this defect alone, exact;
    `added_rel` exact, after the causes upstream; `first_order_rel` by the Jacobian. share = added/delta.
    members: the traced quantities in which the defect shows; changes: what changed in each. effects: of every target.
    in_print_only: nothing was made of the printed value. side: who breaks the rule, "port" or "reference".
    alternatives: other variants that would look the same on this pixel. moves: the traced quantities that it changes.
    in_doubt: what that side does not trace, and may be wrong instead. silent: it does not trace `quantity` either.
    """

    quantity: str
    variant: str | None
    defect_rel: float
    effect_rel: float
    share: float
    amplification: float
    first_order_rel: float
    added_rel: float
    members: tuple[str, ...]
    effects: dict[str, float]
    rule: str = ""
    in_print_only: bool = False
    side: str = "port"
    alternatives: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    changes: dict[str, str] = field(default_factory=dict)
    in_doubt: tuple[str, ...] = ()
    silent: bool = False


def quantity_rows(
    sides: Sides, measured: Measured, groups: list[Group], unknown: dict[str, str]
) -> tuple[ExplainedRow, ...]:
    """One row a traced quantity, in causal order; unknown: why nothing can be said of some."""
    rows = []
    heads = {name for each in groups for name in each.members if _is_head(each, name)}
    through = {name: each.label for each in groups for name in each.members}
    printed = {name for each in groups if each.printed for name in each.members}
    for name in sides.graph.traced:
        if bool(sides.present[name].any()):
            row = _row(sides, measured, name, name in heads, through.get(name), unknown.get(name))
            rows.append(replace(row, verdict=Finding.ORIGINATES, note="in print only") if name in printed else row)
    order = {row.name: quantity(row.name.partition("#")[0]).order for row in rows}
    return tuple(sorted(rows, key=lambda row: order[row.name]))


def _is_head(each: Group, name: str) -> bool:
    """Return whether the row of quantity `name`, a member of the cause `each`, says "originates" and not "inherited".

    So do the quantity that names the cause, and its siblings along the other axes (rot_b for rot_a), which one rule
    makes; other members only show the same defect again.
    """
    if name == each.name:
        return True
    alike = {each.name[:-1], each.name.replace("_a_", "_")}
    return len(each.name) == len(name) and bool(alike & {name[:-1], *(name.replace(f"_{x}_", "_") for x in "bc")})


def _row(
    sides: Sides, measured: Measured, name: str, head: bool, through: str | None, unknown: str | None
) -> ExplainedRow:
    both = sides.shown_by_both(name)
    delta = measured.delta[name]
    at = _worst(sides, measured, name, both)
    c, py = (sides.values[name][side][at] for side in (C, PY))
    shown = [_shown(x) if bool(sides.present[name][side][at]) else None for side, x in enumerate((c, py))]
    stage = quantity(name.partition("#")[0]).stage
    label = name.replace("#", " #")
    if unknown is not None and None in shown:
        return ExplainedRow(label, Finding.UNKNOWN, shown[0], shown[1], None, None, None, stage, unknown)
    scale = float(c.norm()) or float(py.norm()) or 1.0
    rel = float(delta[at]) / scale
    if c.dim() == 0 and float(c) > float(py):
        rel = -rel
    verdict, note = _verdict(measured, name, both, head, through, unknown)
    net = float(measured.net[name][at].norm()) / scale
    floor = float(measured.own_floor[name][at]) / scale
    return ExplainedRow(label, verdict, shown[0], shown[1], rel, net, floor, stage, note)


def _verdict(
    measured: Measured, name: str, both: Tensor, head: bool, through: str | None, unknown: str | None
) -> tuple[Finding, str]:
    delta, floor = measured.delta[name], measured.own_floor[name]
    if unknown is not None:
        return Finding.UNKNOWN, unknown
    if bool(measured.broken[name].any()):
        return Finding.ORIGINATES, "not finite, although its inputs are"
    if through is not None and bool((measured.over[name]).any()):
        if head:
            return Finding.ORIGINATES, ""
        return Finding.INHERITED, f"through untraced parts of {through}"
    differs = (delta > 0) | ~delta.isfinite()
    if bool((differs & ~(delta <= floor))[both].any()):  # a floor that is a NaN excuses nothing
        far = differs & ~(delta <= measured.floor[name])
        return Finding.INHERITED, "" if bool(far[both].any()) else ONLY_ROUNDING
    return (Finding.ROUNDING if bool((delta > 0)[both].any()) else Finding.AGREES), ""


def _worst(sides: Sides, measured: Measured, name: str, both: Tensor) -> tuple[int, ...]:
    if both.dim() == 0:
        return ()
    floor = torch.where(
        measured.own_floor[name] > 0, measured.own_floor[name], torch.full_like(measured.floor[name], 1e-300)
    )
    size = measured.net[name].reshape(*both.shape, -1).abs().amax(-1) + 1e-6 * measured.delta[name]
    rank = torch.nan_to_num(size / floor, nan=math.inf)
    rank = torch.where(both, rank, torch.full_like(rank, -1.0))
    if not bool(both.any()):
        rank = sides.present[name].any(0).to(rank)
    return tuple(int(i) for i in (rank == rank.max()).nonzero()[0])


def _shown(x: Tensor) -> Shown:
    return float(x) if x.dim() == 0 else tuple(x.flatten().tolist())


def outside_rows(graph: Graph, c: Trace, py: Trace) -> tuple[ExplainedRow, ...]:
    """Traced names that the graph has no rule for."""
    known = {name.partition("#")[0] for name in graph.traced}
    rows = []
    for name in dict.fromkeys((*c.names, *py.names)):
        if name in known:
            continue
        reference, candidate = ([r.values for r in side.numbers(name)] for side in (c, py))
        if not reference and not candidate:
            continue
        shown = [None if not x else x[0][0] if len(x[0]) == 1 else x[0] for x in (reference, candidate)]
        alike = reference == candidate
        note = "" if alike else "no rule for it in the causal graph"
        verdict = Finding.AGREES if alike else Finding.UNKNOWN
        rows.append(ExplainedRow(name, verdict, shown[0], shown[1], None, None, None, quantity(name).stage, note))
    return tuple(rows)
