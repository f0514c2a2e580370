"""Which upstream defect caused which share of a divergence: two traces in, an Explanation out."""

import math

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.errors import NanoBraggError
from tools.scaling.base.errors import BadInput, of_port
from tools.scaling.explain.attribution import TARGETS, Effects, attribute
from tools.scaling.explain.defects import TRIPLES, Group, Measured, group, label_of, length, measure
from tools.scaling.explain.explanation import Explanation
from tools.scaling.explain.graph import Graph
from tools.scaling.explain.guesses.faint import faint_variants
from tools.scaling.explain.guesses.forms import aside, changes, form
from tools.scaling.explain.guesses.settle import settle
from tools.scaling.explain.guesses.variants import name_variant
from tools.scaling.explain.infer import inferred_config
from tools.scaling.explain.pixel import prepared_pixel
from tools.scaling.explain.records import Cause, ExplainedRow, outside_rows, quantity_rows
from tools.scaling.explain.rules.table import build
from tools.scaling.explain.sides import PY, C, Sides, check_same_run, count_apart, lay
from tools.scaling.explain.untraced import in_doubt, silent
from tools.scaling.explain.words import MULTIPLY
from tools.scaling.traces.read import Trace
from tools.scaling.traces.schema import quantity

# Values further apart than this, in so many flags, are two cases and no defect.
_ANOTHER_CASE = 1e-3
_STEEP = 8.0  # of F between two reflections, in F per index
_MATTERS = 0.1  # an effect that counts where causes multiply
_TOO_MANY_FLAGS = 3
_LISTED = 8
_FOLLOWED = "it is named because the numbers follow it"


def explain(
    c: Trace,
    py: Trace,
    settings: Config | None = None,
    device: str = "cpu",
) -> Explanation:
    """Explain `py`'s differences from `c`, the reference.

    settings: the case of both traces; without it the settings are read off the reference's trace, as far
    as they show there. Raises BadInput for traces of different pixels or cases, and for two that share no quantity.
    """
    notes = check_same_run(c, py)
    spot = c.pixel or py.pixel
    if spot is None:
        raise BadInput(f"{c.source}: expected the traced pixel (a TRACE_CONFIG line, or --pixel S F), got none")
    read_off: dict[str, float] = {}
    assumed = settings is None
    if settings is None:
        settings, more, read_off = inferred_config(c)
        notes += more
    try:
        pixel = prepared_pixel(settings, *spot, device=device)
        graph = build(pixel)
    except NanoBraggError as error:
        raise of_port(error) from error
    shown, apart = count_apart(lay(graph, c, py), c, py)
    notes += [apart] if apart else []
    if not any(bool(shown.shown_by_both(name).any()) for name in graph.traced):
        raise BadInput(f"expected two traces that share a quantity, got none in both {c.source} and {py.source}")
    measured, unknown = _measured(shown, read_off, assumed)
    settled = settle(shown, measured, pixel, unknown)
    _check_same_case(settled.sides, c, py, assumed)
    sides, groups, left = settled.sides, settled.groups, measured
    if groups:
        left, _ = _measured(sides, read_off, assumed)
        for name in {name for each in groups if not each.offsets for name in each.members}:
            left.over[name] = torch.zeros_like(left.over[name])
    rest = [*group(sides, left), *_unfed(shown, measured, unknown)]
    for each in rest:
        each.variant = each.variant or name_variant(sides, left, each, pixel)
    faint = [] if assumed else faint_variants(sides, left, pixel)  # without a case no number is made of flags
    notes += [f"{each.label} lies below the noise floor of float32; {_FOLLOWED}" for each in faint]
    order = graph.traced
    groups = sorted([*groups, *rest, *faint], key=lambda each: order.index(each.name))
    effects = attribute(sides, left, groups)
    for each in settled.groups:
        each.variant = each.variant or form(sides, left, each)
    target = _target(measured, effects)
    wholes = _wholes(shown, measured, effects, target)
    causes = _causes(shown, sides, left, groups, effects, wholes[0])
    rows = (*quantity_rows(shown, measured, groups, unknown), *outside_rows(graph, c, py))
    notes += _remarks(sides, rows)
    return Explanation(
        c.source, py.source, spot, target, _delta(shown, target), effects.together[target],
        causes, rows, tuple(notes), wholes,
    )  # fmt: skip


def _wholes(
    sides: Sides, measured: Measured, effects: Effects, first: str
) -> tuple[tuple[str, float | None, float], ...]:
    """(target, its relative difference where the causes can tell it, what they make of it); `first` leads.

    The other target is told where it does not differ by the same.
    """
    told = {}
    for target in TARGETS:
        delta, explained = _delta(sides, target), effects.together[target]
        able = delta is not None and (_beyond(measured, target) or abs(delta - explained) <= 0.5 * abs(delta))
        told[target] = (target, delta if able else None, explained)
    (second,) = (target for target in TARGETS if target != first)
    one, two = told[first][1], told[second][1]
    differ = one is not None and two is not None and abs(one - two) > 1e-3 * max(abs(one), abs(two))
    return (told[first], told[second]) if differ else (told[first],)


def _measured(sides: Sides, read_off: dict[str, float], assumed: bool) -> tuple[Measured, dict[str, str]]:
    """Defects of what can be judged, and why the rest cannot."""
    measured = measure(sides, read_off)
    unknown = _unknown(sides, measured, assumed)
    for name in unknown:
        measured.over[name] = torch.zeros_like(measured.over[name])
    return measured, unknown


def _check_same_case(sides: Sides, c: Trace, py: Trace, assumed: bool) -> None:
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


# Quantities whose rule says which sub-pixel they are of.
_OF_THE_SUBPIXEL = ("pixel_pos_meters", "omega_pixel_sr")

# Quantities in which the value of a flag shows at once.
_SHOWS_FLAG = (
    "angles_rad.rotx", "angles_rad.roty", "angles_rad.rotz", "angles_rad.twotheta", "beam_center_m.pixel_mm",
    "Fclose_m", "Sclose_m", "Fbeam_m", "Sbeam_m", "fluence_photons_per_m2", "initial_fdet", "initial_sdet",
    "twotheta_axis", "close_distance_m", "rot_a_star_A_inv", "lambda_meters", "F_latt_a", "PHI.phi_deg",
    "F_cell", "incident_vec", "distance_m", "fdet_after_rotz", "sdet_after_rotz", "steps",
)  # fmt: skip


def _independent(graph: Graph, names: list[str]) -> int:
    """Return how many flags, at least, it takes for `names` to differ: those that share one count once."""
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


def _unknown(sides: Sides, measured: Measured, assumed: bool) -> dict[str, str]:
    """name -> why its rule cannot be held against it: what the trace does not show has to come from a case."""
    unknown = {}
    for name in sides.graph.traced:
        shown = sides.present[name]
        if bool(shown.any()) and not bool(sides.shown_by_both(name).any()):
            side = "reference" if not bool(shown[C].any()) else "candidate"
            unknown[name] = f"not in the {side}'s trace"
        elif bool(_not_finite(sides, name).any()):
            unknown[name] = "not finite in the reference's trace"
        elif name in _OF_THE_SUBPIXEL and _other_subpixels(sides):
            unknown[name] = "of sub-pixels that lie elsewhere in the pixel"
        elif assumed and _differs(sides, measured, name) and _fails(sides, measured, name):
            flags = [sides.graph.flags.get(root, "") for root in sorted(sides.graph.hidden_ancestors(name))]
            inputs = " ".join(dict.fromkeys(flag for flag in flags if flag)) or "its flags"
            unknown[name] = f"untraced input: {inputs}; give the case (--case)"
    if assumed and bool((measured.delta["hkl_rounded"] > 0).any()) and bool(measured.over["F_cell"].any()):
        unknown["F_cell"] = "untraced input: -hkl -default_F, of another reflection; give the case (--case)"
    elif assumed and bool(measured.over["F_cell"].any()) and bool(_interpolated(sides, measured).all()):
        unknown["F_cell"] = "no further off than rounding of the indices may move an interpolated F"
    return unknown


def _interpolated(sides: Sides, measured: Measured) -> Tensor:
    """(s,): where F_cell differs by less than `_STEEP` times itself for what rounding does to the indices."""
    able = _STEEP * sides.values["F_cell"][C].abs() * measured.floor["hkl_frac"]
    return measured.delta["F_cell"] <= able


def _other_subpixels(sides: Sides) -> bool:
    """Return whether `count_apart` left out what is summed over the sub-pixels: then they lie elsewhere too."""
    return math.isfinite(float(sides.traced["steps"][PY])) and not bool(sides.present["steps"][PY])


def _not_finite(sides: Sides, name: str) -> Tensor:
    """(*dims): where the reference's value is a NaN or an infinity and the port's is not."""
    both = sides.shown_by_both(name)
    c, py = (sides.values[name][side].reshape(*both.shape, -1).isfinite().all(-1) for side in (C, PY))
    return both & ~c & py


def _unfed(sides: Sides, measured: Measured, unknown: dict[str, str]) -> list[Group]:
    """Return a cause for each quantity that differs although its inputs agree, and whose rule is not known."""
    able = [name for name, why in unknown.items() if why.startswith("untraced")]
    odd = [x for x in able if bool(_apart(sides, measured, x).any()) and not _fed(sides, measured, x)]
    words = "not what the reference makes of the same numbers"
    return [
        Group(name, label_of(name), {name: _apart(sides, measured, name)}, words, {name: measured.net[name]})
        for name in odd
    ]


def _fed(sides: Sides, measured: Measured, name: str) -> bool:
    """Return whether something upstream, or made of the same hidden numbers, differs, as all does in float32, or is
    traced nowhere."""
    sizes = sides.graph.sizes
    if float(sides.values["steps"][C]) > sizes["s"] * sizes["p"] or "float32" in sides.precision:
        return True
    hidden = sides.graph.hidden_ancestors(name)
    before = sides.graph.traced[: sides.graph.traced.index(name)]
    fellows = (each for each in before if not hidden.isdisjoint(sides.graph.quantities[each].inputs))
    above = [each for each in (*sides.graph.ancestors(name), *fellows) if each in measured.delta]
    return any(
        bool((_apart(sides, measured, each) | (measured.delta[each] > measured.floor[each])).any()) for each in above
    )


def _differs(sides: Sides, measured: Measured, name: str) -> bool:
    """Return whether it departs from its rule, or from the reference by more than any rounding could be taken for."""
    return bool((measured.over[name] | _apart(sides, measured, name)).any())


def _apart(sides: Sides, measured: Measured, name: str) -> Tensor:
    """(*dims): where the sides differ by more than any rounding could be taken for."""
    size = length(sides.values[name][C], measured.delta[name])
    return sides.shown_by_both(name) & (measured.delta[name] > 1e-9 * size)


def _fails(sides: Sides, measured: Measured, name: str) -> bool:
    """Return whether the reference's own numbers break the rule of `name`: then an assumption in the rule is wrong."""
    own = measured.own[name][C].reshape(*measured.floor[name].shape, -1).norm(dim=-1)
    return bool((own > measured.own_floor[name])[sides.shown_by_both(name)].any())


def _beyond(measured: Measured, target: str) -> bool:
    """Return whether `target` differs by more than rounding can make between the flags and it."""
    return bool((measured.delta[target] > measured.floor[target]).any())


def _target(measured: Measured, effects: Effects) -> str:
    """Return the quantity whose divergence is shared out among the causes: I_before_scaling or I_pixel_final.

    It is the sum I_before_scaling, except where the sum agrees to rounding and either the pixel I_pixel_final does not,
    or no cause moves the sum and one moves the pixel.
    """
    summed, final = TARGETS
    if _beyond(measured, summed):
        return summed
    alone = any(effects.added[final]) and not any(effects.added[summed])
    return final if alone or _beyond(measured, final) else summed


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
    shown: Sides,
    sides: Sides,
    measured: Measured,
    groups: list[Group],
    effects: Effects,
    whole: tuple[str, float | None, float],
) -> tuple[Cause, ...]:
    """Return the causes, ranked. shown: the sides as they are traced, sides: as they are believed."""
    target, delta, _ = whole
    causes = []
    for i, each in enumerate(groups):
        defect = _defect_rel(sides, each)
        effect = effects.alone[target][i]
        added = effects.added[target][i]
        changed = changes(sides, measured, each)
        causes.append(
            Cause(
                quantity=each.label,
                variant=_of_all(each, changed),
                defect_rel=defect,
                effect_rel=effect,
                share=added / delta if delta else 0.0,
                amplification=abs(effect / defect) if defect and not aside(sides, each) else 0.0,
                first_order_rel=effects.first_order[target][i],
                added_rel=added,
                members=tuple(each.members),
                effects={name: effects.alone[name][i] for name in TARGETS},
                rule=quantity(each.name.partition("#")[0]).description,
                in_print_only=each.printed,
                side="port" if each.side == PY else "reference",
                alternatives=each.alike,
                moves=effects.moves[i],
                changes=changed,
                in_doubt=() if each.offsets or each.printed else in_doubt(shown, groups, each),
                silent=silent(shown, each),
            )
        )

    return _ranked(causes)


def _of_all(each: Group, changed: dict[str, str]) -> str | None:
    """Return the words of a cause; of a triple whose members changed in different ways, those of every member."""
    triple = next((names for names in TRIPLES if each.name in names), ())
    ways = {name: changed[name] for name in triple if name in changed}
    if each.variant != ways.get(each.name) or len(set(ways.values())) < 2:
        return each.variant
    return "; ".join([f"{each.variant}", *(f"{name} {way}" for name, way in ways.items() if name != each.name)])


def _ranked(causes: list[Cause]) -> tuple[Cause, ...]:
    """Order causes by share of the whole; where causes multiply, so that shares say little, upstream ones lead."""

    def size(cause: Cause) -> tuple[float, ...]:
        largest = [cause.added_rel, cause.effect_rel, *(cause.effects[name] for name in reversed(TARGETS))]
        return tuple(-abs(x) if math.isfinite(x) else -math.inf for x in largest)

    ranked = sorted(causes, key=size)
    if max((abs(each.share) for each in causes), default=0.0) > MULTIPLY:
        large = [each for each in causes if not each.in_print_only and not abs(each.effect_rel) < _MATTERS]
        ranked = large + [each for each in ranked if each not in large]
    return tuple(ranked)


def _defect_rel(sides: Sides, each: Group) -> float:
    """Length of the defect over that of the reference's value, of the named quantity's worst element."""
    mask = each.members[each.name]
    net = each.net[each.name].reshape(*mask.shape, -1)[mask].norm(dim=-1)
    size, other = (sides.traced[each.name][side].reshape(*mask.shape, -1)[mask].norm(dim=-1) for side in (C, PY))
    scale = torch.where(size > 0, size, torch.where(other > 0, other, torch.ones_like(size)))
    return float((net / scale).max())


def _remarks(sides: Sides, rows: tuple[ExplainedRow, ...]) -> list[str]:
    lines = []
    for side, word in ((C, "reference"), (PY, "candidate")):
        if how := sides.printing[side].words:
            lines.append(
                f"the {word}'s trace prints {how}: what is smaller than half a unit of the last one is unknown"
            )
        elif sides.precision[side] == "float32":
            lines.append(f"the {word}'s trace is one of a float32 run: its noise floor is that of float32")
    lost = [row.name for row in rows if row.note.startswith("not finite in")]
    if lost:
        lines.append(f"not finite in the reference's trace: {', '.join(lost)}")
    for side, word in ((C, "the reference"), (PY, "the candidate")):
        alone = [row.name for row in rows if row.note == f"not in the {('candidate', 'reference')[side]}'s trace"]
        more = f" and {len(alone) - _LISTED} more" if len(alone) > _LISTED else ""
        if alone:
            lines.append(f"in the trace of {word} only: {', '.join(alone[:_LISTED])}{more}")
    return lines
