"""How much of a divergence each cause makes: exactly, by what-if runs, and to first order, by autograd.

The reference's run is recomputed by the port's own rules with defects put in: each cause alone, and all of
them one after the other in causal order. Every world is one element of the graph's first dimension.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from tools.scaling.parity.explain_defects import Group, Measured
from tools.scaling.parity.explain_graph import Values, evaluate
from tools.scaling.parity.explain_sides import C, Sides

TARGETS = ("I_before_scaling", "I_pixel_final")


@dataclass(frozen=True)
class Effects:
    """Relative changes of the targets (by name), one number a cause.

    alone: exact, that cause alone on the reference's run. first_order: the same by the Jacobian.
    added: exact, what the cause adds when put in after its predecessors; they sum to `together`.
    """

    alone: dict[str, list[float]]
    first_order: dict[str, list[float]]
    added: dict[str, list[float]]
    together: dict[str, float]


def attribute(sides: Sides, found: Measured, groups: list[Group]) -> Effects:
    """Effects of `groups`, which are in causal order."""
    count = len(groups)
    if not groups:
        none: dict[str, list[float]] = {target: [] for target in TARGETS}
        return Effects(none, none, none, dict.fromkeys(TARGETS, 0.0))
    masks = _masks(groups)
    offsets = _offsets(sides, found, masks, count)
    with torch.no_grad():
        values, _ = evaluate(sides.graph, 2 * count + 1, lambda name, x: x + offsets[name] if name in offsets else x)
    slopes = _first_order(sides, found, groups)
    alone, added, together = {}, {}, {}
    for target in TARGETS:
        result = values[target]
        change = ((result - result[0]) / _scale(sides, target)).tolist()
        steps = [0.0, *change[count + 1 :]]
        alone[target] = change[1 : count + 1]
        added[target] = [after - before for before, after in pairwise(steps)]
        together[target] = steps[-1]
    return Effects(alone, slopes, added, together)


def _scale(sides: Sides, target: str) -> float:
    """What effects are relative to: the reference's value, or where that is 0 the port's."""
    c, py = (abs(float(x)) for x in sides.values[target])
    return c or py or 1.0


def _masks(groups: list[Group]) -> dict[str, list[tuple[int, Tensor]]]:
    found: dict[str, list[tuple[int, Tensor]]] = {}
    for i, each in enumerate(groups):
        for name, mask in each.members.items():
            found.setdefault(name, []).append((i, mask))
    return found


def _offsets(sides: Sides, found: Measured, masks: dict[str, list[tuple[int, Tensor]]], count: int) -> Values:
    """What is added to a rule's result in every world: the reference's run, each alone, then cumulative."""
    offsets = {}
    for name in sides.graph.traced:
        base = _base(sides, found, name)
        if base is None and name not in masks:
            continue
        net = found.net[name]
        rows = net.new_zeros(2 * count + 1, *net.shape)
        if base is not None:
            rows = rows + base
        for i, mask in masks.get(name, ()):
            part = torch.where(_wide(mask, net), net, torch.zeros_like(net))
            rows[1 + i] += part
            rows[1 + count + i :] += part
        offsets[name] = rows
    return offsets


def _base(sides: Sides, found: Measured, name: str) -> Tensor | None:
    """The reference's own departure from its rule, where there is one beyond rounding."""
    own = found.own[name][C]
    shown = sides.present[name][C]
    size = torch.linalg.vector_norm(own.reshape(*shown.shape, -1), dim=-1)
    keep = shown & (size > found.own_floor[name]) & size.isfinite()
    if not bool(keep.any()):
        return None
    return torch.where(_wide(keep, own), own, torch.zeros_like(own))


def _wide(mask: Tensor, like: Tensor) -> Tensor:
    return mask.reshape((*mask.shape, *(1,) * (like.dim() - mask.dim())))


def _first_order(sides: Sides, found: Measured, groups: list[Group]) -> dict[str, list[float]]:
    """Gradient of the targets with respect to every defect, on the reference's run, times the defect."""
    leaves = {
        name: torch.zeros_like(found.net[name]).unsqueeze(0).requires_grad_()
        for each in groups
        for name in each.members
    }
    bases = {name: base for name in sides.graph.traced if (base := _base(sides, found, name)) is not None}

    def fix(name: str, result: Tensor) -> Tensor:
        if name in bases:
            result = result + bases[name]
        return result + leaves[name] if name in leaves else result

    with torch.enable_grad():
        values, _ = evaluate(sides.graph, 1, fix)
        slopes: dict[str, list[float]] = {}
        for target in TARGETS:
            value = values[target][0]
            if not value.requires_grad:
                slopes[target] = [0.0] * len(groups)
                continue
            gradients = torch.autograd.grad(value, list(leaves.values()), retain_graph=True, allow_unused=True)
            by_name: dict[str, Tensor | None] = dict(zip(leaves, gradients))
            slopes[target] = [_slope(found, each, by_name) / _scale(sides, target) for each in groups]
    return slopes


def _slope(found: Measured, each: Group, gradients: dict[str, Tensor | None]) -> float:
    total = 0.0
    for name, mask in each.members.items():
        gradient = gradients[name]
        if gradient is not None:
            net = found.net[name]
            total += float((gradient[0] * torch.where(_wide(mask, net), net, torch.zeros_like(net))).sum())
    return total
