"""Which upstream defect caused which share of a divergence: two traces in, an Explanation out."""

import math

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.errors import NanoBraggError
from tools.scaling.errors import BadInput, of_port
from tools.scaling.parity.explain_attribution import TARGETS, Effects, attribute
from tools.scaling.parity.explain_defects import Group, Measured, Verdict, group, measure
from tools.scaling.parity.explain_graph import Graph
from tools.scaling.parity.explain_infer import inferred_config
from tools.scaling.parity.explain_pixel import prepared_pixel
from tools.scaling.parity.explain_records import (
    ONLY_ROUNDING,
    Cause,
    Explanation,
    QuantityRow,
    outside_rows,
    quantity_rows,
)
from tools.scaling.parity.explain_rules import build
from tools.scaling.parity.explain_sides import PY, C, Sides, check_same_run, lay
from tools.scaling.parity.explain_variants import name_variant
from tools.scaling.parity.schema import quantity
from tools.scaling.parity.traces import Trace

# Values further apart than this, in so many flags, are two cases and no defect.
_ANOTHER_CASE = 1e-3
_TOO_MANY_FLAGS = 3


def explain(c: Trace, py: Trace, settings: Config | None = None, device: str = "cpu") -> Explanation:
    """Explain `py`'s differences from `c`, the reference.

    settings: the case of both traces; without it the settings are read off the reference's trace, as far
    as they show there. Raises BadInput for traces of different pixels or cases.
    """
    check_same_run(c, py)
    spot = c.pixel or py.pixel
    if spot is None:
        raise BadInput(f"{c.source}: expected the traced pixel (a TRACE_CONFIG line), got none")
    notes: list[str] = []
    read_off: dict[str, float] = {}
    assumed = settings is None
    if settings is None:
        settings, notes, read_off = inferred_config(c)
    try:
        pixel = prepared_pixel(settings, *spot, device=device)
        graph = build(pixel)
    except NanoBraggError as error:
        raise of_port(error) from error
    sides = lay(graph, c, py)
    found = measure(sides, read_off)
    _check_same_case(sides, found, c, py, assumed)
    unknown = _unknown(sides, found, assumed)
    for name in unknown:
        found.over[name] = torch.zeros_like(found.over[name])
    groups = group(sides, found)
    for each in groups:
        each.variant = each.variant or name_variant(sides, found, each, pixel)
        if each.variant and each.variant.startswith("taken as given"):
            each.label = each.label.removesuffix("_after_rotz")
    effects = attribute(sides, found, groups)
    target = _target(found, effects)
    delta, explained = _delta(sides, target), effects.together[target]
    told = delta is not None and (_beyond(found, target) or abs(delta - explained) < 0.5 * abs(delta))
    causes = _causes(sides, found, groups, effects, target, delta if told else None)
    rows = (*quantity_rows(sides, found, groups, unknown), *outside_rows(graph, c, py))
    notes += _remarks(sides, rows)
    sentence = _sentence(target, delta if told else None, explained, causes, rows)
    return Explanation(
        c.source, py.source, spot, sides.precision, target, delta, explained, causes, rows, tuple(notes), sentence
    )


def _check_same_case(sides: Sides, found: Measured, c: Trace, py: Trace, assumed: bool) -> None:
    """Defects touch one flag or two; where many flags show other values, these are not the same runs."""
    own = [name for name in sides.graph.traced if _gross(sides.results[name][C], sides.values[name][C], sides, name)]
    other = [name for name in sides.graph.traced if _gross(sides.values[name][C], sides.values[name][PY], sides, name)]
    both = [name for name in own if name not in other]
    if not assumed and (both or _independent(sides.graph, own) >= _TOO_MANY_FLAGS):
        raise BadInput(f"{c.source}: expected a trace of the given case, got another one's {', '.join(own)}")
    if _independent(sides.graph, [name for name in other if _broken_rule(sides, name)]) >= _TOO_MANY_FLAGS:
        raise BadInput(
            f"expected two traces of one case, got {c.source} and {py.source} with different {', '.join(other)}"
        )


# Quantities in which the value of a flag shows at once.
_SHOWS_FLAG = (
    "angles_rad.rotx", "angles_rad.roty", "angles_rad.rotz", "angles_rad.twotheta", "beam_center_m.pixel_mm",
    "Fclose_m", "Sclose_m", "Fbeam_m", "Sbeam_m", "fluence_photons_per_m2", "initial_fdet", "initial_sdet",
    "twotheta_axis", "close_distance_m", "rot_a_star_A_inv", "lambda_meters", "F_latt_a", "PHI.phi_deg",
    "F_cell", "incident_vec", "distance_m", "fdet_after_rotz", "sdet_after_rotz", "steps",
)  # fmt: skip


def _independent(graph: Graph, names: list[str]) -> int:
    """How many flags, at least, it takes for `names` to differ: those that share one count once."""
    lots: list[set[str]] = []
    for name in names:
        if name not in _SHOWS_FLAG:
            continue
        lot = {graph.flags[x] for x in graph.hidden_ancestors(name) if graph.flags.get(x)} or {name}
        touching = [each for each in lots if each & lot]
        lots = [each for each in lots if not each & lot] + [lot.union(*touching)]
    return len(lots)


def _broken_rule(sides: Sides, name: str) -> bool:
    return _gross(sides.results[name][PY], sides.values[name][PY], sides, name)


def _gross(a: Tensor, b: Tensor, sides: Sides, name: str) -> bool:
    mask = sides.shown_by_both(name)
    if name not in _SHOWS_FLAG or not bool(mask.any()):
        return False
    x, y = a[mask], b[mask]
    both = x.isfinite() & y.isfinite()
    scale = torch.maximum(x.abs(), y.abs())[both]
    if not scale.numel() or float(scale.max()) == 0.0:
        return False
    return float((x - y)[both].abs().max()) > _ANOTHER_CASE * float(scale.max())


def _unknown(sides: Sides, found: Measured, assumed: bool) -> dict[str, str]:
    """name -> why its rule cannot be held against it: what the trace does not show has to come from a case."""
    unknown = {}
    for name in sides.graph.traced:
        shown = sides.present[name]
        if bool(shown.any()) and not bool(sides.shown_by_both(name).any()):
            side = "reference" if not bool(shown[C].any()) else "port"
            unknown[name] = f"not in the {side}'s trace"
        elif bool(_not_finite(sides, name).any()):
            unknown[name] = "not finite in the reference's trace"
        elif assumed and bool(found.over[name].any()) and _fails(sides, found, name):
            flags = [sides.graph.flags.get(root, "") for root in sorted(sides.graph.hidden_ancestors(name))]
            inputs = " ".join(dict.fromkeys(flag for flag in flags if flag)) or "its flags"
            unknown[name] = f"untraced input: {inputs}; give the case (--case)"
    if assumed and bool((found.delta["hkl_rounded"] > 0).any()) and bool(found.over["F_cell"].any()):
        unknown["F_cell"] = "untraced input: -hkl -default_F, of another reflection; give the case (--case)"
    return unknown


def _not_finite(sides: Sides, name: str) -> Tensor:
    """(*dims): where the reference's value is a NaN or an infinity and the port's is not."""
    both = sides.shown_by_both(name)
    c, py = (sides.values[name][side].reshape(*both.shape, -1).isfinite().all(-1) for side in (C, PY))
    return both & ~c & py


def _fails(sides: Sides, found: Measured, name: str) -> bool:
    """Whether the rule fails on the reference's side: then what was assumed for it is wrong."""
    own = found.own[name][C].reshape(*found.floor[name].shape, -1).norm(dim=-1)
    return bool((own > found.own_floor[name])[sides.shown_by_both(name)].any())


def _beyond(found: Measured, target: str) -> bool:
    """Whether rounding from the flags down cannot make the difference."""
    return bool((found.delta[target] > found.floor[target]).any())


def _target(found: Measured, effects: Effects) -> str:
    """The sum, unless it differs by no more than rounding and the pixel by more, or is all that a cause moves."""
    summed, final = TARGETS
    if _beyond(found, summed):
        return summed
    alone = any(effects.added[final]) and not any(effects.added[summed])
    return final if alone or _beyond(found, final) else summed


def _delta(sides: Sides, target: str) -> float | None:
    if not bool(sides.shown_by_both(target).all()):
        return None
    return _relative(float(sides.values[target][C]), float(sides.values[target][PY]))


def _relative(c: float, py: float) -> float:
    if c == py:
        return 0.0
    scale = abs(c) or abs(py)
    return (py - c) / scale


def _causes(
    sides: Sides, found: Measured, groups: list[Group], effects: Effects, target: str, delta: float | None
) -> tuple[Cause, ...]:
    causes = []
    for i, each in enumerate(groups):
        defect = _defect_rel(sides, found, each)
        effect = effects.alone[target][i]
        added = effects.added[target][i]
        causes.append(
            Cause(
                quantity=each.label,
                variant=each.variant,
                defect_rel=defect,
                effect_rel=effect,
                share=added / delta if delta else 0.0,
                amplification=abs(effect / defect) if defect else 0.0,
                first_order_rel=effects.first_order[target][i],
                added_rel=added,
                members=tuple(each.members),
                effects={name: effects.alone[name][i] for name in TARGETS},
                rule=quantity(each.name.partition("#")[0]).description,
            )
        )

    def size(cause: Cause) -> tuple[float, ...]:
        largest = [abs(cause.effect_rel), *(abs(cause.effects[name]) for name in reversed(TARGETS))]
        return tuple(-x if math.isfinite(x) else -math.inf for x in largest)

    return tuple(sorted(causes, key=size))


def _defect_rel(sides: Sides, found: Measured, each: Group) -> float:
    """Length of the defect over that of the reference's value, of the named quantity's worst element."""
    mask = each.members[each.name]
    net = found.net[each.name].reshape(*mask.shape, -1)[mask].norm(dim=-1)
    size = sides.values[each.name][C].reshape(*mask.shape, -1)[mask].norm(dim=-1)
    other = sides.values[each.name][PY].reshape(*mask.shape, -1)[mask].norm(dim=-1)
    scale = torch.where(size > 0, size, torch.where(other > 0, other, torch.ones_like(size)))
    return float((net / scale).max())


def _remarks(sides: Sides, rows: tuple[QuantityRow, ...]) -> list[str]:
    lines = []
    for side, word in ((C, "reference"), (PY, "port")):
        if sides.precision[side] == "float32":
            lines.append(f"the {word}'s trace is one of a float32 run: its noise floor is that of float32")
    lost = [row.name for row in rows if row.note.startswith("not finite in")]
    if lost:
        lines.append(f"not finite in the reference's trace: {', '.join(lost)}")
    absent = [row.name for row in rows if row.note.startswith("not in the")]
    if absent:
        lines.append(f"on one side only: {', '.join(absent)}")
    return lines


def _sentence(
    target: str, delta: float | None, explained: float, causes: tuple[Cause, ...], rows: tuple[QuantityRow, ...]
) -> str:
    if not causes:
        doubts = [row.name for row in rows if row.verdict is Verdict.UNKNOWN and row.rel is not None and row.rel]
        if doubts:
            return f"No defect can be told apart: {doubts[0]} differs and its inputs are not traced."
        return "Nothing to explain: what differs, differs by rounding."
    first = causes[0]
    what = first.variant or f"not what its rule ({first.rule}) makes of its own inputs"
    head = f"{first.quantity} is {what}"
    if not math.isfinite(first.defect_rel):
        return f"{head}: all that is computed from it is lost." + _others(causes)
    if not delta or not first.effect_rel:
        moved = [row.name for row in rows if row.verdict is Verdict.INHERITED and row.note != ONLY_ROUNDING]
        more = f" and {len(moved) - 5} more" if len(moved) > 5 else ""
        touched = ", ".join(moved[:5]) + more or "nothing else"
        return f"{head}: an error of {first.defect_rel:.3g}, which moves {touched}." + _others(causes)
    return (
        f"{head}: this makes {100.0 * first.share:.4g} % of the {delta:+.6e} in {target}, "
        f"its relative error of {first.defect_rel:.3g} amplified {first.amplification:.4g} times."
        + _others(causes)
        + f" Explained: {100.0 * explained / delta:.6g} %."
    )


def _others(causes: tuple[Cause, ...]) -> str:
    rest = [f"{each.quantity} {each.effect_rel:+.3e}" for each in causes[1:5]]
    more = len(causes) - 5
    return f" Also: {', '.join(rest)}{f' and {more} more' if more > 0 else ''}." if rest else ""
