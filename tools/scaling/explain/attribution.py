"""How much of a divergence each cause makes: exactly, by what-if runs, and to first order, by autograd.

The reference's run is recomputed by the port's own rules with defects put in: each cause alone, and all of
them one after the other in causal order. Every world is one element of the graph's first dimension.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from tools.scaling.explain.defects import Group, Measured
from tools.scaling.explain.graph import Values, evaluate, wide
from tools.scaling.explain.sides import PY, C, Sides

TARGETS = ("I_before_scaling", "I_pixel_final")


@dataclass(frozen=True)
class Effects:
    """Relative changes of the targets (by name), one number a cause.

    alone: exact, that cause alone on the reference's run. first_order: the same by the Jacobian.
    added: exact, what the cause adds when put in after its predecessors; they sum to `together`. moves: the traced
    quantities that the cause alone changes, in causal order.
    """

    alone: dict[str, list[float]]
    first_order: dict[str, list[float]]
    added: dict[str, list[float]]
    together: dict[str, float]
    moves: list[tuple[str, ...]]


def attribute(sides: Sides, measured: Measured, groups: list[Group]) -> Effects:
    """Effects of `groups`, which are in causal order."""
    count = len(groups)
    if not groups:
        none: dict[str, list[float]] = {target: [] for target in TARGETS}
        return Effects(none, none, none, dict.fromkeys(TARGETS, 0.0), [])
    causes = [_offsets(each) for each in groups]
    rows = _rows(sides, measured, causes)
    graph = sides.graph
    roots = {name: graph.worlds(name, 2 * count + 1) + rows[name] for name in rows.keys() & graph.roots.keys()}
    with torch.no_grad():
        values, _ = evaluate(graph, 2 * count + 1, lambda _, x: x, roots, rows)
    slopes = _first_order(sides, measured, causes)
    alone, added, together = {}, {}, {}
    for target in TARGETS:
        result = values[target]
        change = ((result - result[0]) / _scale(sides, target)).tolist()
        steps = [0.0, *change[count + 1 :]]
        alone[target] = change[1 : count + 1]
        added[target] = [after - before for before, after in pairwise(steps)]
        together[target] = steps[-1]
    effects = Effects(alone, slopes, added, together, [_moves(sides, values, i, each) for i, each in enumerate(groups)])
    _print_on_top(sides, groups, effects)
    return effects


def _offsets(each: Group) -> Values:
    """Return what a cause adds to rules and roots; a misprint adds nothing to what is made."""
    if each.printed:
        return {}
    if each.offsets:
        return each.offsets
    return {name: torch.where(wide(mask, net := each.net[name]), net, 0.0) for name, mask in each.members.items()}


def _moves(sides: Sides, values: Values, i: int, each: Group) -> tuple[str, ...]:
    """Return what a cause changes, besides its own members, by more than the last printed digit."""
    moved = []
    for name in sides.graph.traced:
        before, after = values[name][0], values[name][1 + i]
        size = before.abs().max() if before.numel() else before.sum()
        if name not in each.members and bool(((after - before).abs() > 1e-14 * size).any()):
            moved.append(name)
    return tuple(moved)


def _print_on_top(sides: Sides, groups: list[Group], effects: Effects) -> None:
    """Count a target's own misprint to the effects: the target differs by it too, and nothing made of it does."""
    for i, each in enumerate(groups):
        if each.printed and each.name in TARGETS:
            printed = float(each.net[each.name]) * (1.0 if each.side == PY else -1.0)
            made = float(sides.traced[each.name][each.side]) - float(each.net[each.name])
            effects.alone[each.name][i] = printed / made if made else printed / _scale(sides, each.name)
            effects.first_order[each.name][i] = effects.alone[each.name][i]
            effects.added[each.name][i] = printed / _scale(sides, each.name)
            effects.together[each.name] += effects.added[each.name][i]


def _scale(sides: Sides, target: str) -> float:
    """Return what effects are relative to: the reference's value, or where that is 0 the port's."""
    c, py = (abs(float(x)) for x in sides.values[target])
    return c or py or 1.0


def _rows(sides: Sides, measured: Measured, causes: list[Values]) -> Values:
    """Return what is added to rules and roots in every world: the reference's run, each cause alone, all so far."""
    count, rows = len(causes), {}
    for name in (*sides.graph.roots, *sides.graph.quantities):
        base = _base(sides, measured, name) if name in measured.own else None
        parts = [(i, offsets[name]) for i, offsets in enumerate(causes) if name in offsets]
        if base is None and not parts:
            continue
        like = base if base is not None else parts[0][1]
        row = like.new_zeros(2 * count + 1, *like.shape)
        if base is not None:
            row = row + base
        for i, part in parts:
            row[1 + i] += part
            row[1 + count + i :] += part
        rows[name] = row
    return rows


def _base(sides: Sides, measured: Measured, name: str) -> Tensor | None:
    """Return the reference's own departure from its rule, where there is one beyond rounding."""
    own = measured.own[name][C]
    shown = sides.present[name][C]
    size = torch.linalg.vector_norm(own.reshape(*shown.shape, -1), dim=-1)
    keep = shown & (size > measured.own_floor[name]) & size.isfinite()
    if not bool(keep.any()):
        return None
    return torch.where(wide(keep, own), own, torch.zeros_like(own))


def _first_order(sides: Sides, measured: Measured, causes: list[Values]) -> dict[str, list[float]]:
    """Gradient of the targets with respect to every offset, on the reference's run, times the offset."""
    leaves = {
        name: torch.zeros_like(part).unsqueeze(0).requires_grad_() for each in causes for name, part in each.items()
    }
    bases = {name: base for name in sides.graph.traced if (base := _base(sides, measured, name)) is not None}
    offsets = bases | {name: leaf + bases[name] if name in bases else leaf for name, leaf in leaves.items()}
    with torch.enable_grad():
        roots = {name: sides.graph.worlds(name, 1) + leaves[name] for name in leaves.keys() & sides.graph.roots.keys()}
        values, _ = evaluate(sides.graph, 1, lambda _, x: x, roots, offsets)
        slopes: dict[str, list[float]] = {}
        for target in TARGETS:
            value = values[target][0]
            if not value.requires_grad or not leaves:
                slopes[target] = [0.0] * len(causes)
                continue
            gradients = torch.autograd.grad(value, list(leaves.values()), retain_graph=True, allow_unused=True)
            by_name = dict(zip(leaves, gradients))
            slopes[target] = [_slope(each, by_name) / _scale(sides, target) for each in causes]
    return slopes


def _slope(offsets: Values, gradients: Mapping[str, Tensor | None]) -> float:
    parts = ((gradients[name], offset) for name, offset in offsets.items())
    return sum(float((gradient[0] * offset).sum()) for gradient, offset in parts if gradient is not None)
