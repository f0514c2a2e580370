"""What an explanation holds: frozen records, JSON, and the row of every quantity."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from tools.scaling.base.jsonable import jsonable
from tools.scaling.explain.defects import Group, Measured, Verdict
from tools.scaling.explain.graph import Graph
from tools.scaling.explain.sides import PY, C, Sides
from tools.scaling.explain.words import Whole, sentence
from tools.scaling.traces.read import Trace
from tools.scaling.traces.schema import quantity

# An inherited difference that rounding, amplified from the flags down, can make.
ONLY_ROUNDING = "amplified rounding"

Shown = float | tuple[float, ...] | None


@dataclass(frozen=True)
class QuantityRow:
    """One traced quantity; of several occurrences the one that stands out most against its floor.

    `rel`, `defect_rel` and `noise_floor_rel` are lengths over the length of the reference's value; `rel` of
    a scalar is signed. note: why nothing can be said, or what an inherited difference comes through.
    """

    name: str
    verdict: Verdict
    c: Shown
    py: Shown
    rel: float | None
    defect_rel: float | None
    noise_floor_rel: float | None
    stage: str = ""
    rule: str = ""
    note: str = ""


@dataclass(frozen=True)
class Cause:
    """One defect. Effects are relative changes of the target: `effect_rel` that of this defect alone, exact;
    `added_rel` exact, after the causes upstream; `first_order_rel` by the Jacobian. share = added/delta.
    members: the traced quantities in which the defect shows; changes: what changed in each. effects: of every target.
    in_print_only: nothing was made of the printed value. side: who breaks the rule, "port" or "reference".
    alternatives: other variants that would look the same on this pixel. moves: the traced quantities that it changes.
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


@dataclass(frozen=True)
class Explanation:
    """Why two traces differ. causes: largest effect first. notes: what could not be known, and why."""

    c_source: str
    py_source: str
    pixel: tuple[int, int]
    precision: tuple[str, str]
    target: str
    delta_rel: float | None
    explained_rel: float
    causes: tuple[Cause, ...]
    quantities: tuple[QuantityRow, ...]
    notes: tuple[str, ...]
    wholes: tuple[Whole, ...]

    @property
    def sentence(self) -> str:
        """What caused the difference."""
        return sentence(self.wholes, self.causes, self.quantities)

    def noted(self, line: str | None) -> "Explanation":
        """The same with one more note, before the others, where there is one."""
        return self if line is None else replace(self, notes=(line, *self.notes))

    def with_causes(self, causes: tuple[Cause, ...]) -> "Explanation":
        return replace(self, causes=causes)

    @property
    def unexplained_rel(self) -> float | None:
        return None if self.delta_rel is None else self.delta_rel - self.explained_rel

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready with allow_nan=False: what is not finite is the string "nan", "inf" or "-inf"."""
        rows = ("name", "verdict", "c", "py", "rel", "defect_rel", "noise_floor_rel")
        return {
            "target": self.target,
            "delta_rel": jsonable(self.delta_rel),
            "explained_rel": jsonable(self.explained_rel),
            "causes": [_cause(each) for each in self.causes],
            "quantities": [{key: jsonable(getattr(each, key)) for key in rows} for each in self.quantities],
        }


def _cause(cause: Cause) -> dict[str, Any]:
    numbers = ("quantity", "variant", "defect_rel", "effect_rel", "share", "amplification", "in_print_only", "side")
    return {key: jsonable(getattr(cause, key)) for key in numbers} | {
        "alternatives": list(cause.alternatives),
        "effects": {name: jsonable(x) for name, x in cause.effects.items()},
        "members": dict(cause.changes),
    }


def quantity_rows(
    sides: Sides, found: Measured, groups: list[Group], unknown: dict[str, str]
) -> tuple[QuantityRow, ...]:
    """One row a traced quantity, in causal order; unknown: why nothing can be said of some."""
    rows = []
    heads = {name for each in groups for name in each.members if _is_head(each, name)}
    through = {name: each.label for each in groups for name in each.members}
    printed = {name for each in groups if each.printed for name in each.members}
    for name in sides.graph.traced:
        if bool(sides.present[name].any()):
            row = _row(sides, found, name, name in heads, through.get(name), unknown.get(name))
            rows.append(replace(row, verdict=Verdict.ORIGINATES, note="in print only") if name in printed else row)
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


def _row(sides: Sides, found: Measured, name: str, head: bool, through: str | None, unknown: str | None) -> QuantityRow:
    both = sides.shown_by_both(name)
    delta = found.delta[name]
    at = _worst(sides, found, name, both)
    c, py = (sides.values[name][side][at] for side in (C, PY))
    shown = [_shown(x) if bool(sides.present[name][side][at]) else None for side, x in enumerate((c, py))]
    row = quantity(name.partition("#")[0])
    label = name.replace("#", " #")
    rule, stage = row.description, row.stage
    if unknown is not None and None in shown:
        return QuantityRow(label, Verdict.UNKNOWN, shown[0], shown[1], None, None, None, stage, rule, unknown)
    scale = float(c.norm()) or float(py.norm()) or 1.0
    rel = float(delta[at]) / scale
    if c.dim() == 0 and float(c) > float(py):
        rel = -rel
    verdict, note = _verdict(found, name, both, head, through, unknown)
    net = float(found.net[name][at].norm()) / scale
    floor = float(found.own_floor[name][at]) / scale
    return QuantityRow(label, verdict, shown[0], shown[1], rel, net, floor, stage, rule, note)


def _verdict(
    found: Measured, name: str, both: Tensor, head: bool, through: str | None, unknown: str | None
) -> tuple[Verdict, str]:
    delta, floor = found.delta[name], found.own_floor[name]
    if unknown is not None:
        return Verdict.UNKNOWN, unknown
    if bool(found.broken[name].any()):
        return Verdict.ORIGINATES, "not finite, although its inputs are"
    if through is not None and bool((found.over[name]).any()):
        if head:
            return Verdict.ORIGINATES, ""
        return Verdict.INHERITED, f"through untraced parts of {through}"
    differs = (delta > 0) | ~delta.isfinite()
    if bool((differs & ~(delta <= floor))[both].any()):  # a floor that is a NaN excuses nothing
        far = differs & ~(delta <= found.floor[name])
        return Verdict.INHERITED, "" if bool(far[both].any()) else ONLY_ROUNDING
    return (Verdict.ROUNDING if bool((delta > 0)[both].any()) else Verdict.AGREES), ""


def _worst(sides: Sides, found: Measured, name: str, both: Tensor) -> tuple[int, ...]:
    if both.dim() == 0:
        return ()
    floor = torch.where(found.own_floor[name] > 0, found.own_floor[name], torch.full_like(found.floor[name], 1e-300))
    size = found.net[name].reshape(*both.shape, -1).abs().amax(-1) + 1e-6 * found.delta[name]
    rank = torch.nan_to_num(size / floor, nan=math.inf)
    rank = torch.where(both, rank, torch.full_like(rank, -1.0))
    if not bool(both.any()):
        rank = sides.present[name].any(0).to(rank)
    return tuple(int(i) for i in (rank == rank.max()).nonzero()[0])


def _shown(x: Tensor) -> Shown:
    return float(x) if x.dim() == 0 else tuple(x.flatten().tolist())


def outside_rows(graph: Graph, c: Trace, py: Trace) -> tuple[QuantityRow, ...]:
    """Traced names that the graph has no rule for."""
    known = {name.partition("#")[0] for name in graph.traced}
    rows = []
    for name in dict.fromkeys((*c.names, *py.names)):
        if name in known:
            continue
        mine, theirs = ([r.values for r in side.numbers(name)] for side in (c, py))
        if not mine and not theirs:
            continue
        shown = [None if not x else x[0][0] if len(x[0]) == 1 else x[0] for x in (mine, theirs)]
        alike = mine == theirs
        note = "" if alike else "no rule for it in the causal graph"
        verdict = Verdict.AGREES if alike else Verdict.UNKNOWN
        rows.append(QuantityRow(name, verdict, shown[0], shown[1], None, None, None, quantity(name).stage, "", note))
    return tuple(rows)
