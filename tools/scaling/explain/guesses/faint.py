"""Known variants below the noise floor of float32, which the numbers of a trace follow all the same.

The floor is what rounding can do at worst. Roundings that are spread at random do far less: where several numbers lie
on what a variant without free parameters makes, and not on what the flags make, the variant is named.
"""

import torch

from tools.scaling.explain.defects import Group, Measured, label_of, length
from tools.scaling.explain.graph import Values, evaluate
from tools.scaling.explain.guesses.variants import VARIANTS, offsets_of
from tools.scaling.explain.pixel import PreparedPixel
from tools.scaling.explain.sides import PY, Sides

_VISIBLE = 0.04  # of the floor: what a variant has to move a number by for the number to count
_CLOSER = 4.0  # how many times nearer than the flags' value the number has to lie to the variant's
_WITNESSES = 2


def faint_variants(sides: Sides, measured: Measured, pixel: PreparedPixel) -> list[Group]:
    """Return the variant that the port's float32 numbers follow best, if there is one; in float64 none is sought."""
    if sides.precision[PY] != "float32":
        return []
    able = [(v, offsets) for v in VARIANTS if (offsets := offsets_of(v.change, sides, pixel))]
    worlds = _from_the_flags(sides, [offsets for _, offsets in able])
    best: Group | None = None
    most = 0
    for i, (variant, offsets) in enumerate(able):
        followed = _followed(sides, measured, worlds, i + 1)
        if len(followed) > max(most, _WITNESSES - 1):
            most = len(followed)
            name = next((x for x in followed if label_of(x) in variant.quantities), followed[0])
            moved = worlds[name][i + 1] - worlds[name][0]
            best = Group(
                name, variant.quantities[0], {name: sides.shown_by_both(name)}, variant.text, {name: moved}, offsets
            )
    return [] if best is None else [best]


def _from_the_flags(sides: Sides, changes: list[Values]) -> Values:
    """Return the port's run without any traced number: as it is settled so far, and with each of the changes."""
    graph, count = sides.graph, len(changes) + 1
    offsets = {name: x[PY].expand(count, *x[PY].shape).clone() for name, x in sides.offsets.items()}
    for i, change in enumerate(changes, start=1):
        for name, part in change.items():
            offsets.setdefault(name, part.new_zeros(count, *part.shape))[i] += part
    roots = {name: graph.worlds(name, count) + offsets[name] for name in offsets.keys() & graph.roots.keys()}
    with torch.no_grad():
        return evaluate(graph, count, lambda _, x: x, roots, offsets)[0]


def _followed(sides: Sides, measured: Measured, worlds: Values, i: int) -> list[str]:
    """Return the numbers that lie on what the variant makes; none where one of those that it moves does not."""
    names = []
    for name in sides.graph.traced:
        both = sides.shown_by_both(name)
        moved = length(worlds[name][i] - worlds[name][0], both)
        seen = both & (moved > _VISIBLE * measured.floor[name])
        if not bool(seen.any()):
            continue
        left = length(sides.traced[name][PY] - worlds[name][i], both)
        if not bool((left <= moved / _CLOSER)[seen].all()):
            return []
        names.append(name)
    return names
