"""What a side does not trace, and what is unknown for it: where the defect of a cause may lie instead."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tools.scaling.explain.defects import SIBLINGS, Group
from tools.scaling.explain.graph import Graph, evaluate
from tools.scaling.explain.pixel import same
from tools.scaling.explain.sides import Sides, lay_over
from tools.scaling.traces.labels import read_labels

# Of the sum: terms of which no trace shows more than the first.
_TERMS = {"k": "sources", "d": "mosaic domains"}


def in_doubt(sides: Sides, groups: Sequence[Group], each: Group) -> tuple[str, ...]:
    """Return what may be wrong instead of what names the cause, because the accused side does not trace it.

    sides: as they are traced, misprints and all. These are the traced quantities, in causal order, between it and the
    nearest that this side shows, less those of which something else was made that holds its rule; of the sum, the terms
    that are not shown, too.
    """
    graph, side = sides.graph, each.side
    shown = _shown(sides, side)
    until = _known(graph, shown - each.members.keys()) | _covered(graph, shown)
    above = graph.ancestors(each.name, until) - _known(graph, {each.name})
    names = [name for name in graph.traced if name in above and "#" not in name]
    defective = {name for group in groups for name in group.members}
    sound = [name for name in shown - defective if bool(sides.shown_by_both(name).any())]
    told = _moved(sides, side, names, sound)
    reached = _moved(sides, side, names, [each.name])
    return (*(name for name in names if name in reached and name not in told), *_terms(sides, each, side))


def _moved(sides: Sides, side: int, names: list[str], children: list[str]) -> set[str]:
    """Return which of `names` would make one of `children` break its rule, if they were off by a thousandth."""
    if not names or not children:
        return set()
    count = len(names)

    def wide(x: Tensor) -> Tensor:
        return x[side].expand(count, *x[side].shape)

    traced, present = ({k: wide(v) for k, v in each.items()} for each in (sides.traced, sides.present))
    offsets = {name: wide(x).clone() for name, x in sides.offsets.items()}
    for i, name in enumerate(names):
        value = wide(sides.values[name])
        offsets.setdefault(name, torch.zeros_like(value))[i] += 1e-3 * (value[i].abs().max() or 1.0)
    with torch.no_grad():
        fix, roots = lay_over(traced, present, {}), {name: wide(x) for name, x in sides.roots().items()}
        _, results = evaluate(sides.graph, count, fix, roots, offsets)
    moved = set()
    for child in children:
        was = wide(sides.results[child])
        off = (results[child] - was).abs() > 1e-7 * was.abs().max()
        moved |= {name for name, x in zip(names, off.reshape(count, -1).any(1).tolist()) if x}
    return moved


def _shown(sides: Sides, side: int) -> set[str]:
    return {name for name in sides.graph.traced if bool(sides.present[name][side].any())}


def _terms(sides: Sides, each: Group, side: int) -> list[str]:
    graph = sides.graph
    if not graph.quantities[each.name].sums:
        return []
    words = [f"{what} beyond the first" for d, what in _TERMS.items() if graph.sizes[d] > 1]
    count = int(sides.present["pixel_pos_meters"][side].sum())
    if 0 < count < graph.sizes["s"]:
        words.append(f"{graph.sizes['s'] - count} of {graph.sizes['s']} sub-pixels")
    return words


def _known(graph: Graph, shown: set[str]) -> set[str]:
    """Return what is shown, and what is shown under another name: copies of it, and what it is a copy of."""
    known = set(shown)
    copies = [(name, node.inputs[0]) for name, node in graph.quantities.items() if node.rule is same]
    for name, source in (*copies, *reversed(copies)):
        if name in known or (source in known and name in graph.traced):
            known |= {name, source}
    return known


def _covered(graph: Graph, shown: set[str]) -> set[str]:
    """Return the complete hidden quantities of which nothing but the traced parts is left."""
    if graph.sizes["k"] * graph.sizes["p"] * graph.sizes["d"] > 1:
        return set()
    parts: dict[str, list[bool]] = {}
    for name, families in SIBLINGS.items():
        for every, _ in families:
            if name in graph.quantities and not name.startswith(("SOURCE2.", "PHI.")):
                parts.setdefault(every, []).append(name in shown)
    return {every for every, known in parts.items() if all(known)}


def silent(sides: Sides, each: Group) -> bool:
    """Return whether the accused side shows what the cause is named after under no name of it."""
    if each.label.startswith("-"):  # a flag
        return False
    label = read_labels().get(each.label)
    names = {each.label, f"initial_{each.label}", *([label.name] if label else [])}
    return _known(sides.graph, _shown(sides, each.side)).isdisjoint(names)
