"""Where a difference is made: the defect of every traced quantity against its own rule, and the noise floor.

defect = traced - what the rule makes of the same side's own traced inputs. The difference of the two
sides' defects is what a quantity adds to a divergence; what it merely hands on is not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import torch
from torch import Tensor

from tools.scaling.engine.tolerances import LEAST_SUM
from tools.scaling.explain.graph import Values, bounds, evaluate, wide
from tools.scaling.explain.sides import PY, C, Sides

TRIPLES = tuple(
    tuple(form.format(axis) for axis in "abc") for form in ("rot_{}_star_A_inv", "rot_{}_angstroms", "F_latt_{}")
)

# The complete hidden quantities whose other elements (phi steps, sources, domains) share the rule of a traced part,
# and which of their components.
SIBLINGS: dict[str, tuple[tuple[str, int | None], ...]] = {
    **{f"rot_{axis}_angstroms": (("axes_all", i),) for i, axis in enumerate("abc")},
    "hkl_frac": (("hkl_all", None),),
    "PHI.k_frac": (("hkl_all", None),),
    "hkl_rounded": (("nearest_all", None),),
    **{f"F_latt_{axis}": (("factors_all", i),) for i, axis in enumerate("abc")},
    "F_latt": (("lattice_all", None),),
    "PHI.F_latt": (("lattice_all", None),),
    "F_cell": (("structure_all", None),),
    "scattering_vec_A_inv": (("q_all", None),),
    "incident_vec": (("incident_all", None),),
    "lambda_meters": (("wavelength_all", None),),
    "polar": (("polar_all", None),),
    "capture_fraction": (("capture_all", None),),
    "omega_pixel_sr": (("omega_all", None),),
    # shown of sources of which nothing else is: direction, wavelength and all that is made of them may be at fault
    "SOURCE2.lambda_angstroms": (("wavelength_all", None),),
    "SOURCE2.F_latt": (("incident_all", None), ("wavelength_all", None), ("lattice_all", None)),
    "SOURCE2.F_cell": (("incident_all", None), ("wavelength_all", None), ("structure_all", None)),
    "SOURCE2.cos2theta": (("incident_all", None),),
    "cos_2theta": (("incident_all", None),),
}
_MUCH_MORE = 1e4  # times what is traced: a sibling that is off by more is off for another reason
_INDICES = ("hkl_frac", "PHI.k_frac")


class Finding(StrEnum):
    """What can be said of one quantity."""

    AGREES = "agrees"
    INHERITED = "inherited"
    ORIGINATES = "originates here"
    ROUNDING = "rounding"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Measured:
    """Per traced quantity, element by element (*dims): sizes are lengths over the event.

    net: (*dims, *event), the port's defect minus the reference's. floor: how far rounding can move delta;
    own_floor: how far it can move net. over: net beyond own_floor. broken: finite on the reference's side, not on
    the port's, while the port's own inputs are.
    """

    net: Values
    own: Values
    delta: Values
    floor: Values
    own_floor: Values
    over: Values
    broken: Values


@dataclass
class Group:
    """Defects with one cause: `members` name -> which elements (*dims). `label` names the cause.

    net: the members' defects (*dims, *event). offsets: what the cause adds to rules and roots, of a settled one;
    else its defects are added. side: who breaks the rule. printed: in print only. alike: other variants that would look
    the same on this pixel.
    """

    name: str
    label: str
    members: dict[str, Tensor]
    variant: str | None = None
    net: Values = field(default_factory=dict)
    offsets: Values = field(default_factory=dict)
    side: int = PY
    printed: bool = False
    alike: tuple[str, ...] = ()


def measure(sides: Sides, read_off: Mapping[str, float]) -> Measured:
    """Defects, differences and floors of everything that both sides traced; `read_off` as of `bounds`."""
    limits = bounds(sides.graph, sides.values, sides.present, sides.roundoff, sides.half_unit, read_off)
    measured = Measured({}, {}, {}, {}, {}, {}, {})
    for name in sides.graph.traced:
        values, results, both = sides.values[name], sides.results[name], sides.shown_by_both(name)
        own = values - results
        net = torch.where(wide(both, values[C]), own[PY] - own[C], torch.zeros_like(own[C]))
        delta = torch.where(wide(both, values[C]), values[PY] - values[C], torch.zeros_like(own[C]))
        floor, own_floor = (length(of[name][C] + of[name][PY], both) for of in (limits.whole, limits.rule))
        if sides.graph.quantities[name].sums and sides.graph.sizes["s"] > 1:
            # the terms of all sub-pixels are made at once, and not the very bits that the trace shows one by one
            own_floor = torch.maximum(own_floor, floor)
        if sides.graph.quantities[name].sums and "float32" in sides.precision:
            floor, own_floor = floor + LEAST_SUM, own_floor + LEAST_SUM
        sound = values[C].reshape(*both.shape, -1).isfinite().all(-1)
        lost = sound & ~values[PY].reshape(*both.shape, -1).isfinite().all(-1)
        measured.broken[name] = both & lost & (not _poisoned(sides, name))
        measured.net[name], measured.own[name] = net, own
        measured.delta[name], measured.floor[name], measured.own_floor[name] = length(delta, both), floor, own_floor
        measured.over[name] = (length(net, both) > own_floor) & both
    return measured


def length(x: Tensor, like: Tensor) -> Tensor:
    """Length over the event dimensions; like: (*dims)."""
    flat = x.reshape(*like.shape, -1)
    largest = flat.abs().amax(-1)
    safe = torch.where((largest > 0) & largest.isfinite(), largest, torch.ones_like(largest))
    return torch.linalg.vector_norm(flat / safe.unsqueeze(-1), dim=-1) * safe


def _poisoned(sides: Sides, name: str) -> bool:
    """Return whether the port's inputs of `name` hold a NaN or an infinity already."""
    return any(not bool(sides.values[each][PY].isfinite().all()) for each in sides.graph.traced_parents(name))


def group(sides: Sides, measured: Measured) -> list[Group]:
    """The defects, those with one cause together, in causal order."""
    groups: list[Group] = []
    left = {name: (measured.over[name] | measured.broken[name]) for name in sides.graph.traced}
    left = {name: mask for name, mask in left.items() if bool(mask.any())}
    order = list(sides.graph.traced)
    for name in sorted(left, key=order.index):
        mask = left[name]
        for earlier in groups:
            taken = mask & (
                _left_behind(sides, measured, earlier, name) | _through_siblings(sides, measured, earlier, name)
            )
            if bool(taken.any()):
                _join(earlier, name, taken)
                mask = mask & ~taken
        if bool(mask.any()):
            groups.append(Group(name, label_of(name), {name: mask}))
    groups.sort(key=lambda each: order.index(each.name))
    groups = _triples(sides, groups)
    for each in groups:
        each.net = {name: measured.net[name] for name in each.members}
        each.side = C if _keeps(sides, measured, each, PY) and not _keeps(sides, measured, each, C) else PY
    return groups


def _keeps(sides: Sides, measured: Measured, each: Group, side: int) -> bool:
    """Return whether the side keeps the rule of the quantity that names the group."""
    mask = each.members[each.name]
    return bool((length(sides.own(side, each.name), mask) <= measured.own_floor[each.name])[mask].all())


def _join(target: Group, name: str, mask: Tensor) -> None:
    target.members[name] = target.members[name] | mask if name in target.members else mask


def label_of(name: str) -> str:
    """A flag's own vector is named by its flag."""
    return name.removeprefix("initial_")


def _triples(sides: Sides, groups: list[Group]) -> list[Group]:
    """a, b and c come from one rule: where all of them fail, it is the rule that fails."""
    by_name = {each.name: each for each in groups}
    for triple in TRIPLES:
        able = [name for name in triple if not _is_constant(sides, name)]
        if len(able) > 1 and all(name in by_name for name in able):
            head = by_name[able[0]]
            for other in able[1:]:
                for name, mask in by_name[other].members.items():
                    _join(head, name, mask)
                groups.remove(by_name[other])
    return groups


def _is_constant(sides: Sides, name: str) -> bool:
    """The lattice factor along an axis with one cell is 1 whatever the rule."""
    return name.startswith("F_latt_") and float(sides.graph.roots["-N"]["abc".index(name[-1])]) == 1.0


def other_steps(sides: Sides, measured: Measured, left: dict[str, Tensor]) -> list[Group]:
    """Another number of phi steps, or of untraced sources and domains: the sum over them follows from it.

    What follows is taken out of `left`.
    """
    if "steps" not in left or not bool(sides.own(PY, "steps") != 0):
        return []
    reference, candidate = sides.phi_rows
    c, py = (float(x) for x in sides.values["steps"])
    if reference != candidate and reference and candidate:
        turned = [each for each in left if "phi_in_force" in sides.graph.hidden_ancestors(each)]
        names, what = (
            ["steps", "PHI.phi_deg", *turned, "I_before_scaling"],
            f"counted for {candidate} phi steps, not {reference}",
        )
    elif c > 0.0 and py > c and (py / c).is_integer() and reference > 0:
        names, what = (
            ["steps", "I_before_scaling"],
            f"counted for {py / c:g} times as many sources, domains or sub-pixels",
        )
    else:
        return []
    members = {each: left.pop(each) for each in dict.fromkeys(names) if each in left}
    return [Group("steps", "steps", members, what, {name: measured.net[name] for name in members})]


def _left_behind(sides: Sides, measured: Measured, earlier: Group, name: str) -> Tensor:
    """Return a mask (*dims of `name`) of elements that the defect `earlier` cannot have reached, though it is upstream.

    They agree with the reference, as they could not if they had been made of a wrong value. So the port changed that
    value after these were made of it, or changed only what it prints. That a second defect cancels the first one in
    these elements is not assumed.
    """
    upstream = any(name in sides.graph.descendants(each) for each in earlier.members)
    agrees = measured.delta[name] <= measured.floor[name]
    # what rounding could also have made, but is no smaller than the defect, is the defect's own
    agrees &= measured.delta[name] < 0.5 * length(measured.net[name], agrees)
    return agrees if upstream else torch.zeros_like(agrees)


def _through_siblings(sides: Sides, measured: Measured, earlier: Group, name: str) -> Tensor:
    """(*dims of name): elements that depend on untraced siblings of what is defective in `earlier`."""
    like = measured.over[name]
    nothing = torch.zeros_like(like)
    families = {family for each in earlier.members for family in SIBLINGS.get(each, ())}
    hidden = sides.graph.hidden_ancestors(name)
    families = {(every, at) for every, at in families if every in hidden}
    if not families or _traced_elsewhere(sides, measured, name):
        return nothing
    # F of a reflection has no slope that would show what it depends on
    if name == "SOURCE2.F_cell" or (name == "I_before_scaling" and _other_reflections(sides, measured)):
        return torch.ones_like(like)
    found_mask = nothing
    for every, at in families:
        found_mask = found_mask | _sensitive(sides, name, every, at)
    return found_mask & _large_enough(sides, measured, earlier, name, families)


def _large_enough(
    sides: Sides, measured: Measured, earlier: Group, name: str, families: set[tuple[str, int | None]]
) -> Tensor:
    """(*dims of name): where siblings make the defect of `name` without being off by much more than what is traced.

    Every element of the complete quantities is given the defect that the group shows of them.
    """
    like = measured.over[name]
    spread: Values = {}
    for member, mask in earlier.members.items():
        for every, at in families.intersection(SIBLINGS.get(member, ())):
            net = measured.net[member].reshape(*mask.shape, -1)
            size = torch.where(mask, net.norm(dim=-1), -1.0)
            worst = net.reshape(-1, net.shape[-1])[int(size.argmax())]
            whole = sides.values[every]
            offset = torch.zeros_like(whole)
            axis = len(sides.graph.dims_of(every)) + 1
            part, like_part = (x if at is None else x.select(axis, at) for x in (offset, whole))
            largest = sides.values[member][PY].abs().max()
            part[PY] = worst * (like_part[PY].abs().max() / largest if largest > 0 else 1.0)  # in its own unit
            spread[every] = spread.get(every, 0.0) + offset
    _, results = evaluate(sides.graph, 2, sides.fix(), sides.roots(), sides.offsets | spread)
    made = length(results[name][PY] - sides.results[name][PY], like)
    return ~(length(measured.net[name], like) > _MUCH_MORE * made)


def _traced_elsewhere(sides: Sides, measured: Measured, name: str) -> bool:
    """Return whether the last source is the third, and its traced angle another than `name`, the last one's."""
    if name != "cos_2theta" or sides.graph.sizes["k"] != 3:
        return False
    return bool((sides.traced[name][PY] - sides.traced["SOURCE2.cos2theta"][PY, -1]).abs() > measured.floor[name])


def _other_reflections(sides: Sides, measured: Measured) -> bool:
    """Return whether untraced terms may belong to other reflections than the rules say: then their F is unknown."""
    sizes = sides.graph.sizes
    if sizes["k"] * sizes["p"] * sizes["d"] == 1 or float(sides.graph.roots["F_range"]) == 0.0:
        return False
    far = any(bool((measured.delta[each] > 0.05).any()) for each in _INDICES)
    return far or bool((measured.delta["hkl_rounded"] > 0).any())


def _sensitive(sides: Sides, name: str, every: str, at: int | None) -> Tensor:
    """(*dims of name): does the port's `name` move with untraced elements of `every` (component `at`)?"""
    graph = sides.graph
    leaf = torch.zeros_like(sides.values[every]).requires_grad_()
    fix = sides.fix()

    def nudged(each: str, result: Tensor) -> Tensor:
        return fix(each, result) + leaf if each == every else fix(each, result)

    with torch.enable_grad():
        _, results = evaluate(graph, 2, nudged)
        target = results[name][PY]
        if not target.requires_grad:
            return torch.zeros_like(sides.shown_by_both(name))
        (gradient,) = torch.autograd.grad(torch.nan_to_num(target).abs().sum(), leaf)
    moved = torch.nan_to_num(gradient[PY]) != 0
    dims_every, dims = graph.dims_of(every), graph.dims_of(name)
    event = moved.reshape(*(graph.sizes[d] for d in dims_every), *moved.shape[len(dims_every) :])
    if at is not None:
        event = event.select(len(dims_every), at)
    event = event.reshape(*(graph.sizes[d] for d in dims_every), -1).any(-1)
    for axis in range(len(dims_every) - 1, -1, -1):
        if dims_every[axis] not in dims:
            event = event.any(axis)
    kept = [d for d in dims_every if d in dims]
    for axis, d in enumerate(dims):
        if d not in kept:
            event = event.unsqueeze(axis)
    return event.expand(sides.shown_by_both(name).shape)
