"""explain on the reference's own traces: the known figures, no false alarm, and input that is not what it should be."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nanobragg_torch.config import Config
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling.base.errors import BadInput
from tools.scaling.cases.case import Case, find_case
from tools.scaling.explain import defects as explain_defects
from tools.scaling.explain import sides as explain_sides
from tools.scaling.explain.answer import explain
from tools.scaling.explain.defects import Finding
from tools.scaling.explain.explanation import Explanation
from tools.scaling.explain.files import explain_command, explain_logs
from tools.scaling.explain.pixel import prepared_pixel
from tools.scaling.explain.rules import table as explain_rules
from tools.scaling.explain.text import explanation_lines, explanation_markdown
from tools.scaling.traces.read import Trace, parse_trace, read_trace

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
PIXEL = (685, 1039)
# docs/architecture/attribution.md: one vector at a time taken as given
ONE_AT_A_TIME = {"odet": -2.156660e-03, "sdet": 8.087804e-05, "fdet": -4.825212e-06, "beam": -5.207923e-06}
LEGACY, SPEC = -2.086116e-03, -1.446133e-01


@pytest.fixture(scope="module")
def reference(case: Case) -> Trace:
    assert case.c_trace is not None
    return read_trace(case.c_trace, source="c.log")


def port_text(config: Config, dtype: torch.dtype = torch.float64, pixel: tuple[int, int] = PIXEL) -> str:
    return render(trace_pixel(config, *pixel, device="cpu", dtype=dtype))


def port(config: Config, dtype: torch.dtype = torch.float64, pixel: tuple[int, int] = PIXEL) -> Trace:
    return parse_trace(port_text(config, dtype, pixel).encode("ascii"), "py.log")


def edited(config: Config, pattern: str, by: str) -> Trace:
    text, count = re.subn(pattern, by, port_text(config))
    assert count
    return parse_trace(text.encode("ascii"), "py.log")


def as_given(config: Config, *vectors: str) -> Config:
    return replace(config, quirks=replace(config.quirks, as_given=frozenset(vectors)))


def originates(found: Explanation) -> list[str]:
    return [row.name for row in found.quantities if row.verdict is Finding.ORIGINATES]


@pytest.mark.parametrize("with_case", [True, False])
def test_the_legacy_gap(config, reference, with_case):
    found = explain(reference, port(as_given(config, *ONE_AT_A_TIME)), config if with_case else None)
    assert found.target == "I_before_scaling"
    assert found.delta_rel == pytest.approx(LEGACY, abs=1e-9)
    assert found.explained_rel / found.delta_rel == pytest.approx(1.0, abs=1e-6)
    assert [cause.quantity for cause in found.causes] == ["odet", "sdet", "beam", "fdet"]
    for cause in found.causes:
        assert cause.effect_rel == pytest.approx(ONE_AT_A_TIME[cause.quantity], rel=1e-5)
        assert cause.first_order_rel == pytest.approx(cause.effect_rel, rel=2e-3)
    assert sum(cause.share for cause in found.causes) == pytest.approx(1.0, abs=1e-6)
    assert originates(found) == ["initial_fdet", "initial_sdet", "initial_odet", "incident_vec"]
    row = next(row for row in found.quantities if row.name == "I_before_scaling")
    assert row.verdict is Finding.INHERITED
    if with_case:
        assert found.causes[0].variant == "taken as given, not regenerated as unit(fdet x sdet) (Q03)"
        assert found.sentence.startswith(
            "odet is taken as given, not regenerated as unit(fdet x sdet) (Q03): this makes 103.4 % of the "
            "-2.086116e-03 in I_before_scaling"
        )


@pytest.mark.parametrize("vector", ONE_AT_A_TIME)
def test_one_vector_as_given_is_named_by_its_flag(config, reference, vector):
    found = explain(reference, port(as_given(config, vector)), config)
    assert [cause.quantity for cause in found.causes] == [vector]
    assert found.causes[0].effect_rel == pytest.approx(ONE_AT_A_TIME[vector], rel=1e-5)
    assert found.causes[0].variant.startswith("taken as given")


@pytest.mark.parametrize("with_case", [True, False])
def test_phi_zero_is_named(config, reference, with_case):
    spec = replace(config, quirks=config.quirks.switched("Q29", False))
    found = explain(reference, port(spec), config if with_case else None)
    (cause,) = found.causes
    assert (cause.quantity, cause.members) == (
        "rot_a_angstroms",
        ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms"),
    )
    assert "phi = 0 (Q29 off)" in cause.variant and "Q29" in found.sentence
    assert found.delta_rel == pytest.approx(SPEC, abs=1e-7)
    assert found.explained_rel / found.delta_rel == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in GOLDEN.glob("*/case.json")))
def test_no_false_alarm_on_golden_traces(folder):
    """The rules hold for every number of the reference, and the port's trace departs from none."""
    case = find_case(folder)
    config = parse(case.flags, folders=case.folders)
    pixel = case.pixels[-1]
    path = case.reference(pixel)
    assert path is not None
    graph = explain_rules.build(prepared_pixel(config, *pixel))
    sides = explain_sides.lay(graph, read_trace(path), port(config, pixel=pixel))
    found = explain_defects.measure(sides, {})
    for name in graph.traced:
        own = explain_defects.length(found.own[name][0], found.own_floor[name])
        assert not bool((own > found.own_floor[name] / 2)[sides.present[name][0]].any()), name
    assert explain_defects.group(sides, found) == []


def test_json_is_as_agreed(config, reference):
    data = explain(reference, port(as_given(config, "odet")), config).to_dict()
    assert list(data) == ["target", "delta_rel", "explained_rel", "causes", "quantities"]
    assert list(data["causes"][0]) == [
        "quantity", "variant", "defect_rel", "effect_rel", "share", "amplification", "in_print_only", "side",
        "alternatives", "effects", "members",
    ]  # fmt: skip
    assert data["causes"][0]["members"] == {"initial_odet": "off by +5.283e-07 +3.809e-07 -7.582e-08"}
    row = next(row for row in data["quantities"] if row["name"] == "initial_odet")
    assert list(row) == ["name", "verdict", "c", "py", "rel", "defect_rel", "noise_floor_rel"]
    assert row["verdict"] == "originates here" and row["defect_rel"] == pytest.approx(6.557e-07, rel=1e-3)
    json.dumps(data, allow_nan=False)


@pytest.mark.parametrize("name", ["pixel_pos_meters", "polar", "F_latt_c", "omega_pixel", "steps", "cos_2theta"])
def test_four_floors_are_found_and_a_quarter_is_not(config, reference, name):
    """An error in one printed number, in units of its own noise floor."""
    clean = explain(reference, port(config), config)
    row = next(row for row in clean.quantities if row.name == name)
    values = row.py if isinstance(row.py, tuple) else (row.py,)
    size = math.hypot(*values)
    for floors, alarm in ((4.5, True), (0.25, False)):
        step = floors * row.noise_floor_rel * size or float(alarm)
        shown = " ".join(f"{x:.17g}" for x in (values[0] + step, *values[1:]))
        trace = edited(config, rf"(TRACE_PY: {name}) .*", rf"\g<1> {shown}")
        assert (name in originates(explain(reference, trace, config))) is alarm


@pytest.mark.parametrize(
    ("name", "error"), [("F_latt", 1e-11), ("scattering_vec_A_inv", 2e-12), ("I_pixel_final", 1e-12)]
)
def test_a_rule_is_held_to_the_inputs_as_traced(config, reference, name, error):
    """Rounding from the flags down could make more than these errors; rounding of the traced inputs could not."""
    printed = re.search(rf"TRACE_PY: {name} (.*)", port_text(config))
    assert printed is not None
    shown = " ".join(f"{float(x) * (1 + error):.15g}" for x in printed.group(1).split())
    found = explain(reference, edited(config, rf"(TRACE_PY: {name}) .*", rf"\g<1> {shown}"), config)
    assert [cause.quantity for cause in found.causes] == [name]
    assert found.causes[0].defect_rel == pytest.approx(error, rel=1e-2)
    if name == "I_pixel_final":
        assert found.target == name and found.causes[0].effect_rel == pytest.approx(error, rel=1e-2)


def test_a_small_defect_behind_a_larger_one(config, reference):
    """Both lie below what rounding from the flags down could make of the pixel; neither hides the other."""
    text = port_text(config)
    for name, error in (("omega_pixel_sr", 1e-10), ("omega_pixel", 1e-10), ("I_pixel_final", 1.01e-10)):
        (printed,) = re.findall(rf"TRACE_PY: {name} (.*)", text)
        text = text.replace(f"{name} {printed}", f"{name} {float(printed) * (1 + error):.15g}")
    found = explain(reference, parse_trace(text.encode("ascii"), "py.log"), config)
    assert [cause.quantity for cause in found.causes] == ["omega_pixel_sr", "I_pixel_final"]
    assert [cause.defect_rel for cause in found.causes] == pytest.approx([1e-10, 1e-12], rel=1e-2)
    assert [cause.variant for cause in found.causes] == ["multiplied by (1 + 1e-10)", "multiplied by (1 + 1e-12)"]


def test_the_reference_can_be_the_one_that_is_wrong(config, reference):
    """Sides exchanged: the port keeps the rule, and nothing about its value is found fault with."""
    legacy = port(as_given(config, "odet"))
    found = explain(legacy, port(config), config)
    assert found.causes[0].quantity == "odet"
    assert found.sentence.startswith("odet is what its rule makes of its own inputs, and the reference's is not: ")


def test_a_nan_of_the_reference_is_said(config):
    case = find_case("supervisor")
    assert case.c_trace is not None
    text = re.sub(r"(TRACE_C: polar) .*", r"\1 nan", case.c_trace.read_text())
    found = explain(parse_trace(text.encode(), "c.log"), port(as_given(config, "odet")), config)
    rows = {row.name: row for row in found.quantities}
    assert (rows["polar"].verdict, rows["polar"].note) == (
        Finding.UNKNOWN,
        "not finite in the reference's trace",
    )
    assert rows["I_pixel_final"].verdict is Finding.INHERITED
    assert "not finite in the reference's trace: polar" in found.notes
    assert [cause.quantity for cause in found.causes] == ["odet"]


def test_a_sentence_stays_one_that_can_be_read(config, reference):
    """Without its end, a trace has no intensity: what the defect moves is counted, not listed."""
    text = port_text(as_given(config, "odet"))
    torn = text[: text.index("TRACE_PY: I_before_scaling")]
    found = explain(reference, parse_trace(torn.encode("ascii"), "py.log"), config)
    assert found.delta_rel is None and re.search(
        r"which moves (\w+, ){4}\w+ and \d+ more\. I_pixel_final is not", found.sentence
    )


def test_rounding_that_grows_is_inherited(config, reference):
    """An ulp in the distance moves the lattice factor by more than its own rule rounds, and is no defect."""
    moved = replace(config.detector, distance_m=math.nextafter(float(config.detector.distance_m), 1.0))
    found = explain(reference, port(replace(config, detector=moved)), config)
    row = next(row for row in found.quantities if row.name == "F_latt")
    assert found.causes == () and originates(found) == []
    assert found.sentence == (
        "Nothing to explain: what differs, differs by rounding, of 72 quantities that both traces hold."
    )
    assert abs(row.rel) <= row.noise_floor_rel or (row.verdict, row.note) == (
        Finding.INHERITED,
        "amplified rounding",
    )


def test_an_untraced_source_is_one_cause(tmp_path):
    """The direction of the third source shows in five numbers; the first of them names the cause."""
    case = find_case("source_file")
    config = parse(case.flags, folders=case.folders)
    assert config.beam.source_file is not None
    other = tmp_path / "sources.txt"
    other.write_text(config.beam.source_file.read_text().replace("-9.0 -0.03 0.02", "-9.0 -0.03001 0.02"))
    trace = port(replace(config, beam=replace(config.beam, source_file=other)), pixel=(33, 12))
    path = case.reference((33, 12))
    assert path is not None
    found = explain(read_trace(path), trace, config)
    assert [cause.quantity for cause in found.causes] == ["SOURCE2.cos2theta"]
    assert {"cos_2theta", "SOURCE2.F_latt", "I_before_scaling"} <= set(found.causes[0].members)
    assert found.explained_rel == pytest.approx(found.delta_rel, rel=1e-9) and found.delta_rel != 0


def test_effects_where_the_reference_has_none():
    """A dark pixel of the reference: everything is relative to what the port has."""
    case = find_case("curved_detector")
    config = parse(case.flags, folders=case.folders)
    path = case.reference((4, 44))
    assert path is not None and read_trace(path).numbers("I_before_scaling")[0].values == (0.0,)
    wrong = replace(config, quirks=config.quirks.switched("Q17", False))
    found = explain(read_trace(path), port(wrong, pixel=(4, 44)), config)
    assert found.causes[0].quantity == "pixel_pos_meters" and "Q17" in str(found.causes[0].variant)
    assert found.delta_rel == 1.0 and found.explained_rel == pytest.approx(1.0, rel=1e-9)


def test_other_pixels_and_cases_are_refused(config, reference):
    other = replace(port(config, pixel=(686, 1039)))
    with pytest.raises(BadInput, match=r"expected traces of one pixel, got \(slow, fast\) \(685, 1039\) in c.log and"):
        explain(reference, other, config)
    tilted = find_case("tilted_twotheta")
    settings = parse(tilted.flags, folders=tilted.folders)
    with pytest.raises(BadInput, match="c.log: expected a trace of the given case, got another one's "):
        explain(reference, port(config), settings)
    beam_pivot = replace(port(settings, pixel=(30, 31)), pixel=PIXEL)
    with pytest.raises(BadInput, match="got another pivot: SAMPLE in c.log, BEAM in py.log"):
        explain(reference, beam_pivot, config)
    front = find_case("custom_sample_pivot_front")
    foreign = replace(port(parse(front.flags, folders=front.folders), pixel=(30, 31)), pixel=PIXEL)
    with pytest.raises(BadInput, match=r"expected two traces of one case, got c.log and py.log with different"):
        explain(reference, foreign, config)


def test_a_float32_run_is_rounding(config, reference):
    found = explain(reference, port(config, torch.float32), config)
    assert found.causes == () and abs(found.delta_rel) > 1e-6
    assert "the candidate's trace is one of a float32 run: its noise floor is that of float32" in found.notes


def test_nan_is_named_where_it_begins(config, reference):
    trace = edited(config, r"(F_latt_b|F_latt|I_before_scaling\w*|I_pixel_final) [-\d.e+]+", r"\1 nan")
    found = explain(reference, trace, config)
    assert [cause.quantity for cause in found.causes] == ["F_latt_b"]
    assert found.sentence == ("F_latt_b is not finite, although its inputs are: all that is computed from it is lost.")
    row = next(row for row in found.quantities if row.name == "I_before_scaling")
    assert row.verdict is Finding.INHERITED
    json.dumps(found.to_dict(), allow_nan=False)


def test_what_one_side_lacks_is_said(config, reference):
    trace = edited(config, r"TRACE_PY: (hkl_frac|R_distance_meters) .*\n", "")
    found = explain(reference, trace, config)
    rows = {row.name: row for row in found.quantities}
    assert rows["hkl_frac"].verdict is Finding.UNKNOWN and rows["hkl_frac"].note == "not in the candidate's trace"
    assert "in the trace of the reference only: R_distance_meters, hkl_frac" in found.notes
    assert found.causes == ()


@pytest.mark.parametrize("count", [9, 11])
def test_another_number_of_phi_steps(case, config, reference, count):
    flags = list(case.flags)
    flags[flags.index("-phisteps") + 1] = str(count)
    found = explain(reference, port(parse(flags, folders=case.folders)), config)
    assert [(cause.quantity, cause.variant) for cause in found.causes] == [
        ("steps", f"counted for {count} phi steps, not 10")
    ]
    assert found.explained_rel == pytest.approx(found.delta_rel, rel=1e-6)


def test_repeated_names_keep_their_subpixel():
    """27 sub-pixels and layers: the one that is off is found, and is the one that is shown."""
    case = find_case("oversample_flags")
    config = parse(case.flags, folders=case.folders)
    pixel = case.pixels[0]
    text = port_text(config, pixel=pixel).splitlines()
    at = [i for i, line in enumerate(text) if line.startswith("TRACE_PY: R_distance_meters")][7]
    value = float(text[at].split()[-1]) * (1 + 1e-9)
    text[at] = f"TRACE_PY: R_distance_meters {value:.15g}"
    path = case.reference(pixel)
    assert path is not None
    found = explain(read_trace(path), parse_trace(("\n".join(text) + "\n").encode(), "py.log"), config)
    row = next(row for row in found.quantities if row.name == "R_distance_meters")
    assert row.verdict is Finding.ORIGINATES and row.py == pytest.approx(value, rel=1e-14)
    assert "R_distance_meters" in {cause.quantity for cause in found.causes}


def test_what_a_trace_cannot_tell_is_unknown_without_the_case():
    case = find_case("thick_detector")
    config = parse(case.flags, folders=case.folders)
    path = case.reference(case.pixels[0])
    assert path is not None
    text = re.sub(r"(capture_fraction) .*", r"\1 0.123", port_text(config, pixel=case.pixels[0]))
    trace = parse_trace(text.encode("ascii"), "py.log")
    row = next(x for x in explain(read_trace(path), trace).quantities if x.name == "capture_fraction")
    assert row.verdict is Finding.UNKNOWN
    assert row.note.startswith("untraced input: ") and "-detector_abs" in row.note and "--case" in row.note
    with_case = explain(read_trace(path), trace, config)
    assert [cause.quantity for cause in with_case.causes] == ["capture_fraction", "I_pixel_final"][:1]


def test_the_renderings(config, reference):
    found = explain(reference, port(as_given(config, "odet", "sdet")), config)
    page = explanation_markdown(found)
    assert page.isascii() and found.sentence.split(":")[0] in page
    assert "| odet | taken as given, not regenerated" in page
    assert "| 2 | initial_odet | originates here |" in page
    lines = explanation_lines(found)
    assert lines[-1] == found.sentence and lines[1].split()[0] == "odet"


def test_the_command(tmp_path, case, config):
    log = tmp_path / "py.log"
    log.write_text(port_text(as_given(config, "odet")), encoding="ascii")
    assert case.c_trace is not None
    data = json.loads("\n".join(explain_command(case.c_trace, log, case="supervisor", out=None, as_json=True)))
    assert data["causes"][0]["quantity"] == "odet"
    page = tmp_path / "e.md"
    lines = explain_command(case.c_trace, log, case=None, out=page, as_json=False)
    assert lines[-1] in page.read_text(encoding="ascii").replace("\\", "")
    with pytest.raises(BadInput, match="expected an existing folder, got none at"):
        explain_command(case.c_trace, log, case=None, out=tmp_path / "no" / "e.md", as_json=False)
    assert explain_logs([case.c_trace], [log], case=case)[0].causes[0].quantity == "odet"
