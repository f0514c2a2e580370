"""One causal graph: what the table of the traced quantities states, the rules of explain do."""

from functools import cache

import torch

from nanobragg_torch.flags.parse import parse
from tools.scaling.cases.case import find_case
from tools.scaling.explain.graph import evaluate
from tools.scaling.explain.pixel import prepared_pixel
from tools.scaling.explain.rules.table import build
from tools.scaling.traces.schema import QUANTITIES, descendants, quantity

# Together they have both pivots, every shape with a traced factor, three sources, steps, domains, layers, a list.
CASES = (
    "supervisor", "divergence_dispersion", "oversample_flags", "thick_detector", "curved_detector", "polarization",
    "custom_sample_pivot_front", "phi_zero_carryover_mosaic", "tricubic_interpolation", "water_background",
)  # fmt: skip

# Numbers that a trace shows twice, of phi step 0, or of one reflection: none is made of the other.
SAME = (
    {"PHI.k_frac", "hkl_frac"},
    {"PHI.F_latt_b", "F_latt_b"},
    {"PHI.F_latt", "F_latt"},
    {"SOURCE2.F_cell", "F_cell"},
)


@cache
def graph_of(name):
    case = find_case(name)
    with torch.no_grad():
        return build(prepared_pixel(parse(case.flags, folders=case.folders), *case.pixels[0]))


def name_of(node):
    base, _, again = node.partition("#")
    return quantity(base, 1 if again else 0).name


def made_of(graph):
    """(quantity, input) of each traced number that moves where another one is changed and all others are kept."""
    traced = graph.traced
    count = len(traced)
    with torch.no_grad():
        values, _ = evaluate(graph, 1, lambda _, result: result)

        def kept(name, result):
            if name not in traced:
                return result
            world = values[name].expand(count, *values[name].shape[1:]).clone()
            world[traced.index(name)] = world[traced.index(name)] * 1.37 + 0.61
            return world

        _, results = evaluate(graph, count, kept)
    for name in traced:
        moved = (results[name] != values[name]).reshape(count, -1).any(1).tolist()
        yield from ((name_of(name), name_of(each)) for each, moves in zip(traced, moved) if moves)


def told(name, each):
    """Whether the table says that `name` is made of `each`, or that both are one number."""
    alike = {each}.union(*(same for same in SAME if each in same))
    return name in alike or any(name in descendants(one) for one in alike)


def test_what_a_rule_takes_is_an_input_in_the_table():
    pairs = {pair for case in CASES for pair in made_of(graph_of(case))}
    assert len(pairs) > 150
    untold = {pair for pair in pairs if not told(*pair)}
    assert untold == set(), "the rules take these inputs, the rows of traces/schema.py lack them"


def test_an_input_of_the_table_is_upstream_in_the_rules():
    graphs = [graph_of(case) for case in CASES]
    upstream = {}
    for graph in graphs:
        for node in graph.traced:
            above = {name_of(each) for each in graph.ancestors(node) if each in graph.quantities}
            upstream.setdefault(name_of(node), set()).update(above)
    stated = {(row.name, each) for row in QUANTITIES for each in row.inputs if not row.name.startswith("TAP5")}
    unruled = {(name, each) for name, each in stated if each not in upstream.get(name, ())}
    assert unruled == set(), "the table has these inputs, the rules have not: g.add(...) of explain/rules is missing"
