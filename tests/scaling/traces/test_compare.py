"""Comparisons of golden traces with themselves and with traces changed by known amounts."""

import json
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scaling.conftest import GOLDEN, SUPERVISOR
from tools.scaling.base.errors import BadInput
from tools.scaling.traces.compare import compare
from tools.scaling.traces.markdown import comparison_markdown
from tools.scaling.traces.read import parse_trace, read_trace
from tools.scaling.traces.report import Status, status_of
from tools.scaling.traces.text import comparison_lines


def row(report, name, component=None, tic=None):
    return next(r for r in report.quantities if (r.name, r.component, r.phi_tic) == (name, component, tic))


def as_port(data: bytes) -> bytes:
    return data.replace(b"TRACE_C:", b"TRACE_PY:").replace(b"TRACE_C_", b"TRACE_PY_")


def test_every_golden_trace_equals_itself_to_the_last_bit(golden_logs):
    for path in golden_logs:
        data = path.read_bytes()
        if len(data) > 100_000:
            continue
        c = parse_trace(data, "c")
        report = compare(c, parse_trace(as_port(data), "py"))
        assert (report.first_divergence, report.num_divergent) == (None, 0), path
        assert (report.first_upstream_divergence, report.num_upstream_divergent) == (None, 0), path
        assert {(r.ulp, r.abs, r.rel) for r in report.quantities} == {(0, 0.0, 0.0)}
        numbers = sum(len(r.values) for r in c.records) + sum(len(r.values) for r in c.phi_rows)
        assert len(report.quantities) == numbers
        assert (report.orphans, report.warnings) == ((), ())


def test_the_legacy_gap_and_its_earliest_upstream_difference(supervisor, legacy):
    report = compare(supervisor, legacy)
    assert (report.first_divergence, report.num_divergent) == ("I_before_scaling", 2)
    assert report.factor("I_before_scaling").rel_delta == pytest.approx(-2.086116e-03, abs=1e-9)
    assert report.factor("I_before_scaling").abs_delta == pytest.approx(1968.57326015, abs=1e-6)
    assert report.factor("I_before_scaling").status is Status.DIVERGENT
    assert report.first_upstream_divergence == "initial_fdet"
    # |given fdet| is 0.999999995: the difference is -4.9e-9 along the axis, far below the factors' 1e-6.
    assert report.first_upstream.rel == pytest.approx(-4.873912e-09, rel=1e-6)
    assert report.first_upstream.status is Status.MINOR
    differing = {r.name for r in report.quantities if r.status is not Status.PASS}
    vectors = {"initial_fdet", "initial_sdet", "initial_odet"}
    assert differing == vectors | {"I_before_scaling", "I_pixel_final"}


def test_spec_mode_diverges_first_in_the_sum_and_upstream_in_the_orientation(supervisor, spec):
    report = compare(supervisor, spec)
    assert report.first_divergence == "I_before_scaling"
    assert report.factor("I_before_scaling").rel_delta == pytest.approx(-1.446133e-01, abs=1e-7)
    assert report.factor("I_before_scaling").status is Status.CRITICAL
    assert report.first_upstream_divergence == "rot_b_angstroms"
    assert [r.phi_tic for r in report.per_phi if r.status is not Status.PASS] == [0]
    assert any("The reference repeats at phi_tic 0" in line and "Q29" in line for line in report.hypotheses)
    assert any(line.startswith("Only 1 of 10 phi steps differ (phi_tic 0)") for line in report.hypotheses)


def test_rel_is_signed_and_ulp_counts_float64_steps(supervisor, port):
    y = float(np.nextafter(np.nextafter(0.91463969894451, 0), 0))
    report = compare(supervisor, port(polar=f"{y:.17g}"))
    found = row(report, "polar")
    assert found.ulp == 2
    assert found.abs == 0.91463969894451 - y
    assert found.rel == found.rel_plain == -(0.91463969894451 - y) / 0.91463969894451
    assert found.status is Status.PASS and report.passed


@pytest.mark.parametrize(
    ("polar", "word"),
    [
        ("0.91463969894451", Status.PASS),
        ("0.914638784305", Status.PASS),  # -9.99999789e-07
        ("0.914638784", Status.MINOR),  # -1.0003e-06
        ("0.914548", Status.DIVERGENT),  # -1.00257e-04
        ("0.9054", Status.CRITICAL),  # -1.01020e-02
        ("nan", Status.NONFINITE),
        ("-inf", Status.NONFINITE),
        ("NOT_EXTRACTED", Status.MISSING),
        (None, Status.MISSING),
    ],
)
def test_the_words_of_a_factor(supervisor, port, polar, word):
    report = compare(supervisor, port(polar=polar))
    assert report.factor("polar").status is word
    assert report.num_divergent == (word is not Status.PASS)
    assert report.first_divergence == (None if word is Status.PASS else "polar")
    assert report.passed is (word is Status.PASS)


@pytest.mark.parametrize(
    ("rel", "word"),
    [(0, "PASS"), (-1e-6, "PASS"), (1.1e-6, "MINOR"), (9.9e-5, "MINOR"), (1e-4, "DIVERGENT"), (-9.9e-3, "DIVERGENT"),
     (1e-2, "CRITICAL"), (math.inf, "CRITICAL"), (math.nan, "NONFINITE")],
)  # fmt: skip
def test_the_thresholds(rel, word):
    assert status_of(rel, 1e-6) is Status(word)


def test_nan_on_both_sides_does_not_pass(supervisor_bytes):
    data = supervisor_bytes.replace(b"C: polar 0.91463969894451", b"C: polar nan")
    report = compare(parse_trace(data, "c"), parse_trace(as_port(data), "py"))
    assert report.factor("polar").status is Status.NONFINITE
    assert row(report, "polar").ulp is None


def test_a_vector_component_counts_against_the_length(supervisor, port):
    """5e-13 on a component of size 1.2e-4 is 4.2e-9 of it, and 5e-13 of the unit vector: no difference."""
    report = compare(supervisor, port(fdet_vec="0.999982004873912 -0.00599800002923425 -0.000118000001075132"))
    found = row(report, "fdet_vec", 2)
    assert found.rel == pytest.approx(-5e-13, rel=1e-3)
    assert found.rel_plain == pytest.approx(-5e-13 / 0.000118000000575132, rel=1e-3)
    assert found.status is Status.PASS
    beyond = compare(supervisor, port(fdet_vec="0.999982004873912 -0.00599800002923425 -0.000118000002075132"))
    assert row(beyond, "fdet_vec", 2).status is Status.MINOR
    assert beyond.first_upstream_divergence == "fdet_vec"
    assert beyond.passed


def test_a_lattice_factor_may_move_by_its_conditioning_bound_alone(supervisor, port):
    f = 0.155482072719562  # phi_tic 3, bound 6e-11
    near, far = (compare(supervisor, port(F_latt_3=f"{f * (1 + x):.17g}")) for x in (5e-12, 1e-10))
    assert row(near, "PHI.F_latt", tic=3).status is Status.PASS
    assert row(near, "PHI.F_latt", tic=3).rel == pytest.approx(5e-12, rel=1e-3)
    assert (far.first_upstream_divergence, far.first_upstream.phi_tic) == ("PHI.F_latt", 3)


def test_the_earliest_in_causal_order_is_named_not_the_first_printed(supervisor, port):
    """rot_a_star is printed after the scattering vector but made before it."""
    report = compare(
        supervisor,
        port(scattering_vec_A_inv="-1556230687 3933478972 913944567", rot_a_star_A_inv="-0.02905 -0.029395 0.01074"),
    )
    assert report.first_upstream_divergence == "rot_a_star_A_inv"
    orders = [r.stage for r in report.quantities]
    assert orders.index("16") < orders.index("29") < orders.index("35")


def test_names_of_one_side_are_kept_with_their_counts(supervisor, port, supervisor_bytes):
    report = compare(supervisor, port(ratio=None, F_cell=None))
    assert [(o.name, o.c_count, o.py_count) for o in report.orphans] == [("ratio", 1, 0), ("F_cell", 1, 0)]
    assert report.first_upstream_divergence is None
    twice = as_port(supervisor_bytes) + b"TRACE_PY: polar 0.5\nTRACE_PY: extra 1 2\n"
    report = compare(supervisor, parse_trace(twice, "py"))
    assert [(o.name, o.c_count, o.py_count) for o in report.orphans] == [("polar", 1, 2), ("extra", 0, 1)]
    assert report.factor("polar").status is Status.MISSING


def test_phi_rows_pair_by_tic_and_keep_their_orphans(supervisor, supervisor_bytes):
    lines = as_port(supervisor_bytes).splitlines(keepends=True)
    fewer = b"".join(line for line in lines if b"phi_tic=4 " not in line)
    report = compare(supervisor, parse_trace(fewer, "py"))
    assert [r.phi_tic for r in report.per_phi] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert all(r.status is Status.PASS for r in report.per_phi)
    assert [(o.name, o.c_count, o.py_count, o.note) for o in report.orphans] == [
        (f"PHI.{field}", 10, 9, "phi_tic 4") for field in ("phi_deg", "k_frac", "F_latt_b", "F_latt")
    ]


def test_a_vector_that_lost_a_component_is_told(supervisor, port):
    report = compare(supervisor, port(fdet_vec="0.999982004873912 -0.00599800002923425"))
    assert [(o.name, o.note) for o in report.orphans] == [("fdet_vec", "occurrence 1 has 3 and 2 components")]


def test_a_factor_with_a_number_too_many_is_missing(supervisor, port):
    report = compare(supervisor, port(polar="0.914639 69894451"))  # 0.914639 alone would be within the tolerance
    assert report.factor("polar").status is Status.MISSING
    assert report.first_divergence == "polar"


def test_pre_polar_of_the_port_stands_for_the_sum(supervisor, port, supervisor_bytes):
    renamed = as_port(supervisor_bytes).replace(b"PY: I_before_scaling ", b"PY: I_before_scaling_pre_polar ")
    report = compare(supervisor, parse_trace(renamed + b"TRACE_PY: I_before_scaling_post_polar 1\n", "py"))
    assert report.passed and report.factor("I_before_scaling").py_value == 943654.80923755
    assert [(o.name, o.note) for o in report.orphans] == [("I_before_scaling_post_polar", "printed by the port alone")]


@pytest.mark.parametrize("pre", ["943654.80923755", "941686.2359774"])
def test_a_trace_with_both_names_is_held_to_both(supervisor, supervisor_bytes, pre):
    both = as_port(supervisor_bytes) + f"TRACE_PY: I_before_scaling_pre_polar {pre}\n".encode()
    report = compare(supervisor, parse_trace(both, "py"))
    assert report.passed is (pre == "943654.80923755")
    assert report.factor("I_before_scaling").py_value == float(pre)


def test_two_runs_of_one_program_and_swapped_sides_are_noted(supervisor, port):
    assert compare(supervisor, supervisor).warnings == (
        "both traces hold TRACE_C lines: two runs of one program are compared",
    )
    assert compare(port(), supervisor).warnings[0].startswith("the sides are swapped")


def test_skipped_lines_are_in_the_report(supervisor, port):
    report = compare(supervisor, port(polar="NOT_EXTRACTED"))
    assert [reason for _, reason in report.py_trace.skipped] == ["polar: expected numbers, got 'NOT_EXTRACTED'"]
    assert report.warnings == ("py.log: 1 trace lines skipped, listed below",)
    assert [(o.name, o.note) for o in report.orphans] == [("polar", "text: 'NOT_EXTRACTED'")]


def test_traces_of_different_pixels_are_refused(supervisor):
    other = read_trace(GOLDEN / "supervisor_synthetic" / "trace_1160_1180.log", "py.log")
    with pytest.raises(BadInput) as error:
        compare(supervisor, other)
    assert str(error.value) == (
        "expected traces of one pixel, got (slow, fast) (685, 1039) in c.log and (1160, 1180) in py.log"
    )


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(supervisor, tolerance):
    with pytest.raises(BadInput, match=r"^expected a finite tolerance of at least 0, got "):
        compare(supervisor, supervisor, tolerance=tolerance)


def test_a_status_is_no_bool():
    with pytest.raises(TypeError, match="a Status is no bool"):
        bool(Status.PASS)


def test_metrics_keep_the_old_keys(supervisor, legacy):
    metrics = json.loads(json.dumps(compare(supervisor, legacy).metrics(), allow_nan=False))
    assert (metrics["tolerance_rel"], metrics["first_divergence"], metrics["num_divergent"]) == (
        1e-6,
        "I_before_scaling",
        2,
    )
    assert list(metrics["factors"]["steps"].items()) == [
        ("description", "Sources x mosaic domains x phi steps x subpixels"),
        ("c_value", 10.0),
        ("py_value", 10.0),
        ("abs_delta", 0.0),
        ("rel_delta", 0.0),
        ("status", "PASS"),
    ]
    assert metrics["first_upstream_divergence"] == "initial_fdet"
    assert len(metrics["per_phi"]) == 40
    assert metrics["tolerance_loosened"] is False


def test_json_keeps_everything_and_holds_no_nan(supervisor, port):
    report = compare(supervisor, port(polar="nan", steps="inf", omega_pixel="text", ratio=None))
    kept = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(kept) == {field.name for field in fields(report)}
    factors = {row["name"]: row["py_value"] for row in kept["factors"]}
    assert (factors["polar"], factors["steps"], factors["omega_pixel"]) == ("nan", "inf", None)
    assert [row["name"] for row in kept["orphans"]] == [orphan.name for orphan in report.orphans]
    assert (kept["warnings"], kept["c_trace"]["pixel"]) == (list(report.warnings), list(report.c_trace.pixel))
    metrics = json.loads(json.dumps(report.metrics(), allow_nan=False))
    assert metrics["factors"]["polar"]["rel_delta"] is None
    assert metrics["factors"]["polar"]["status"] == "NONFINITE"


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_logs_give_a_report_or_bad_input(data):
    log = bytearray(SUPERVISOR.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(log) - 1))
        log[at : at + data.draw(st.integers(0, 20))] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b"\nTRACE_C: ", b" 0 ", b" nan ", b" 1e308 ", b" inf\n", b"e300"])
        )
    original = read_trace(SUPERVISOR)
    try:
        damaged = parse_trace(bytes(log), "damaged")
        reports = [compare(original, damaged), compare(damaged, original), compare(damaged, damaged)]
    except BadInput as error:
        assert "\n" not in str(error)
        return
    for report in reports:
        json.dumps(report.metrics(), allow_nan=False)
        json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ((b"TRACE_PY: polar 0.9", b"TRACE_PY: polar NOT_EXTRACTED 0.9"), "polar: py:71: expected numbers, got 'NOT_"),
        ((b"TRACE_PY: F_latt_a ", b"TRACE_PY: F_latTRACE_PY: "), "F_latt_a: py:47: another trace line begins inside"),
        ((b"phi_tic=3 ", b"phi_tic=x "), "PHI.k_frac: py:55: expected phi_tic=INTEGER and key=number fields"),
    ],
)
def test_what_is_lost_with_a_damaged_line_is_named(supervisor, supervisor_bytes, damage, said):
    data = as_port(supervisor_bytes)
    assert damage[0] in data
    report = compare(supervisor, parse_trace(data.replace(*damage, 1), "py"))
    lost = [line for line in report.lost if line.startswith(said)]
    assert len(lost) == 1, report.lost
    assert f"lost: {lost[0]}" in comparison_lines(report)
    assert "**lost:**" in comparison_markdown(report)
    assert report.metrics()["lost"] == list(report.lost)


def test_a_torn_last_line_loses_its_quantity_and_a_whole_trace_none(supervisor, supervisor_bytes):
    data = as_port(supervisor_bytes)
    torn = compare(supervisor, parse_trace(data[:-5], "py"))
    assert [line.partition(":")[0] for line in torn.lost] == ["floatimage_accumulated"]
    # on the reference's side, too
    assert compare(parse_trace(supervisor_bytes[:-5], "c"), parse_trace(data, "py")).lost[0].startswith("floatimage")
    assert compare(supervisor, parse_trace(data, "py")).lost == ()
    # a line that is not there at all was not lost by damage: it is an orphan alone
    less = data.replace(b"TRACE_PY: F_cell ", b"TRACE: F_cell ")
    report = compare(supervisor, parse_trace(less, "py"))
    assert report.lost == () and [orphan.name for orphan in report.orphans] == ["F_cell"]


def test_traces_without_a_factor_are_judged_by_what_they_share(supervisor_bytes):
    head = b"\n".join(supervisor_bytes.split(b"\n")[:38]) + b"\n"
    c = parse_trace(head, "c")
    report = compare(c, parse_trace(as_port(head), "py"))
    assert (report.no_factor, report.passed, report.first_divergence, report.num_divergent) == (True, True, None, 0)
    lines = comparison_lines(report)
    assert lines[0] == f"no factor traced: judged by the {len(report.quantities)} numbers that both traces hold"
    assert lines[1] == "first_divergence: none (num_divergent 0)"
    assert report.hypotheses[0].startswith("No factor traced: judged by the ")
    assert "PASS: no factor traced, all numbers that both traces hold agree" in comparison_markdown(report)
    other = as_port(head).replace(b"initial_fdet=0.99", b"initial_fdet=0.98")
    report = compare(c, parse_trace(other, "py"))
    assert (report.first_divergence, report.passed) == ("initial_fdet", False)
    assert report.num_divergent == report.num_upstream_divergent == 1
    with pytest.raises(BadInput, match="expected two traces that share a number, got none in c and py"):
        compare(c, parse_trace(b"TRACE_PY: mine 1\n", "py"))
    # where one side has factors, they are missing on the other
    assert compare(parse_trace(supervisor_bytes, "c"), parse_trace(as_port(head), "py")).num_divergent == 9


def test_a_fault_of_twotheta_has_the_name_of_what_it_makes():
    """In BEAM pivot the second fdet_after_rotz holds the final axes."""
    data = (GOLDEN / "tilted_twotheta" / "trace_30_31.log").read_bytes()
    c = parse_trace(data, "c")
    for axis in ("fdet", "sdet", "odet"):
        lines = data.decode().split("\n")
        final = [i for i, line in enumerate(lines) if f"{axis}_after_twotheta=" in line]
        again = [i for i, line in enumerate(lines) if f"{axis}_after_rotz=" in line][1]
        for i in (*final, again):
            lines[i] = lines[i].replace("=", "=0.5 0 0 ", 1).rsplit(" ", 3)[0]
        report = compare(c, parse_trace(as_port("\n".join(lines).encode()), "py"))
        assert report.first_upstream_divergence == f"{axis}_after_twotheta"
        assert report.first_upstream.label.startswith(f"{axis}_after_twotheta")
        only = "\n".join(line for i, line in enumerate(lines) if i not in final)
        report = compare(c, parse_trace(as_port(only.encode()), "py"))
        assert report.first_upstream_divergence == f"{axis}_after_twotheta"


def test_a_change_of_steps_does_not_hide_what_differs_besides(supervisor, port):
    alone = compare(supervisor, port(steps="40", I_pixel_final="7e-08"))
    assert (alone.first_divergence, alone.first_upstream_divergence) == ("steps", "steps")
    both = compare(supervisor, port(steps="40", rot_a_angstroms="-14.4 -17.4 6.1", I_pixel_final="7e-08"))
    assert both.first_upstream_divergence == "rot_a_angstroms"
    # what comes before them in causal order is named as ever
    assert compare(supervisor, port(steps="40", polar="0.5")).first_upstream_divergence == "polar"
    assert compare(supervisor, port(steps="40", r_e_sqr="8e-30")).first_upstream_divergence == "r_e_sqr"


def test_with_other_subpixels_what_hangs_on_them_follows_steps(supervisor, supervisor_bytes):
    lines = as_port(supervisor_bytes).decode().split("\n")
    extra = next(line for line in lines if "pixel_pos_meters" in line)
    twice = "\n".join([*lines[:-1], extra, ""]).replace("steps 10", "steps 40")
    moved = twice.replace("hkl_frac -6.87", "hkl_frac -6.88")
    assert compare(supervisor, parse_trace(moved.encode(), "py")).first_upstream_divergence == "steps"
    turned = moved.replace("rot_b_star_A_inv -0.0", "rot_b_star_A_inv -0.1")
    assert turned != moved
    assert compare(supervisor, parse_trace(turned.encode(), "py")).first_upstream_divergence == "rot_b_star_A_inv"
