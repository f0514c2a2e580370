"""Every variant of the table changes what it says it changes, and mutants of the port are found."""

import random

import pytest
import torch

from nanobragg_torch import quirks
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling.cases.case import find_case
from tools.scaling.explain.answer import explain
from tools.scaling.explain.defects import SIBLINGS, measure
from tools.scaling.explain.graph import evaluate
from tools.scaling.explain.guesses.variants import QUIRKS, VARIANTS
from tools.scaling.explain.pixel import prepared_pixel
from tools.scaling.explain.rules import table as explain_rules
from tools.scaling.explain.sides import lay
from tools.scaling.studies.mutants import port, run
from tools.scaling.studies.mutants.mistakes import fixed_mutants
from tools.scaling.studies.mutants.rounding import false_alarms
from tools.scaling.studies.mutants.text import study_markdown
from tools.scaling.traces.read import parse_trace
from tools.scaling.traces.schema import QUANTITIES, quantity

PLACES = (("supervisor", 0), ("triclinic_misset", 0))
CASES = (
    "supervisor_one_reflection", "tilted_twotheta", "polarization", "thick_detector", "triclinic_misset",
    "tricubic_interpolation", "source_file", "phi_zero_carryover_mosaic",
)  # fmt: skip


@pytest.fixture(scope="module")
def subjects():
    """(pixel, its graph, what its rules make of the flags) of some cases."""
    found = []
    for name in CASES:
        case = find_case(name)
        pixel = prepared_pixel(parse(case.flags, folders=case.folders), *case.pixels[-1 if "cubic" in name else 0])
        graph = explain_rules.build(pixel)
        found.append((pixel, graph, _values(graph)))
    fixed = parse((*case.flags, "--mode", "bl831-phi0-fix"), folders=case.folders)
    pixel = prepared_pixel(fixed, *case.pixels[0])
    graph = explain_rules.build(pixel)
    return [*found, (pixel, graph, _values(graph))]


def _values(graph):
    with torch.no_grad():
        return evaluate(graph, 1, lambda _, result: result)[0]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.text[:40])
def test_variant_changes_its_quantity(variant, subjects):
    if "multiplication" in variant.text:
        pytest.skip("differs from the division by an ulp at most")
    changed = []
    for pixel, graph, mine in subjects:
        try:
            theirs = _values(variant.change(graph, pixel))
        except (KeyError, TypeError, IndexError):
            continue
        if any(changed):
            break
        for label in variant.quantities:
            for name in (label, f"initial_{label}"):
                if name in mine and mine[name].shape == theirs[name].shape:
                    changed.append(not torch.equal(mine[name], theirs[name]))
    assert any(changed)


@pytest.mark.parametrize(
    ("rules", "switch", "case", "cause"),
    [
        ("bl831-phi0-fix", "Q29=on", "supervisor_one_reflection", "of the step before at phi = 0 (Q29 on)"),
        ("bl831-phi0-fix", "Q29=on", "phi_zero_carryover_mosaic", "of the step before at phi = 0 (Q29 on)"),
        ("bl831-phi0-fix", "Q29=on", "phi_crosses_zero", "of the step before at phi = 0 (Q29 on)"),
        ("bl831-subpixel-fix", "Q27=on", "oversample_flags", "as with Q27 on"),
    ],
)
def test_a_quirk_that_the_mode_has_not_is_named(rules, switch, case, cause):
    case = find_case(case)

    def traced(*switches):
        settings = case.config("--mode", rules, *switches)
        lines = trace_pixel(settings, *case.pixels[0], device="cpu", dtype=torch.float64)
        return parse_trace(render(lines).encode("ascii"), "made"), settings

    (c, settings), (py, _) = traced(), traced("--quirk", switch)
    assert cause in explain(c, py, settings).sentence


@pytest.mark.parametrize(
    ("mode", "case"), [("bl831-2022", "gauss_crystal"), ("bl831-2022", "tophat_crystal"),
                       ("bl831-all-fixes", "oversample_flags"), ("bl831-phi0-fix", "phi_crosses_zero")],
)  # fmt: skip
def test_the_rules_are_those_of_the_mode(mode, case):
    case = find_case(case)
    settings = case.config("--mode", mode)
    lines = trace_pixel(settings, *case.pixels[0], device="cpu", dtype=torch.float64)
    trace = parse_trace(render(lines).encode("ascii"), "made")
    graph = explain_rules.build(prepared_pixel(settings, *case.pixels[0]))
    measured = measure(lay(graph, trace, trace), {})
    for name in graph.traced:
        own = measured.own[name][0].reshape(*measured.floor[name].shape, -1).norm(dim=-1)
        assert not (own > measured.own_floor[name]).any(), name


def test_the_tables_name_what_exists(subjects):
    names = set().union(*(graph.quantities for _, graph, _ in subjects))
    labels = {*names, *(name.removeprefix("initial_") for name in names)}
    assert {name for variant in VARIANTS for name in variant.quantities} <= labels
    assert set(SIBLINGS) <= names
    assert {every for families in SIBLINGS.values() for every, _ in families} <= names
    assert set(QUIRKS) <= labels
    assert {each for ids in QUIRKS.values() for each in ids} <= {quirk.id for quirk in quirks.TABLE}


@pytest.fixture(scope="module")
def singles():
    return run.singles(14, seed=11, where=PLACES)


@pytest.fixture(scope="module")
def pairs():
    return run.pairs(4, seed=11, where=PLACES)


def test_single_mutants_are_named_first(singles):
    assert [(each.mutant.text, each.named) for each in singles if each.rank != 1] == []
    assert sum(not each.mutant.listed for each in singles) >= 7


def test_pairs_of_mutants_are_both_named(pairs):
    for one, two in pairs:
        assert one.rank and two.rank, (one.mutant.text, two.mutant.text, one.named)


def test_rounding_is_no_defect():
    assert false_alarms(8, seed=11, places=PLACES) == []


def test_a_mutant_leaves_the_port_as_it_was():
    where = port.subject("supervisor")
    mutant = fixed_mutants(random.Random(3))[0]
    assert port.broken_trace((mutant,), where).records != where.clean.records
    assert port.traced(where.config, where.pixel).records == where.clean.records


def test_the_table_says_what_was_measured(singles, pairs):
    page = study_markdown(run.MutantStudy(singles, pairs, 8, ["supervisor: polar (None, 1.00e-15)"], 11))
    assert page.isascii()
    assert "- right quantity first: 14 of 14; among the first three: 14 of 14\n" in page
    assert "- pairs with both named: 4 of 4\n" in page
    assert "- runs that differ by rounding only: 8, defects found in them: 1\n" in page
    assert len([line for line in page.splitlines() if line.startswith("| ")]) == 14 + 4 + 4


def test_every_traced_quantity_of_the_schema_has_a_rule():
    """What is left out repeats other lines (the taps) or is a label (the index of the third source)."""
    found = set()
    for name in ("supervisor", "tilted_twotheta", "divergence_dispersion"):
        case = find_case(name)
        graph = explain_rules.build(prepared_pixel(parse(case.flags, folders=case.folders), *case.pixels[0]))
        found |= {each.partition("#")[0] for each in graph.traced}
        order = [quantity(each.partition("#")[0]).order for each in graph.traced]
        assert max(order) < len(QUANTITIES)
    missing = {row.name for row in QUANTITIES} - found
    assert {name for name in missing if not name.startswith("TAP5")} == {"SOURCE2.source_index"}
