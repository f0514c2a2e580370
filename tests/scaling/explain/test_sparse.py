"""explain on logs that show little: few quantities, few digits, some numbers in float32; what is unknown is said."""

import re
from dataclasses import replace

import pytest
import torch

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling.cases.case import find_case
from tools.scaling.explain.answer import explain
from tools.scaling.explain.records import Cause
from tools.scaling.explain.words import sentence
from tools.scaling.traces.compare import compare
from tools.scaling.traces.printing import Printing, printing_of
from tools.scaling.traces.read import parse_trace

TEN = ("diffracted_vec", "scattering_vec_A_inv", "rot_a_angstroms", "hkl_frac", "F_cell", "F_latt", "omega_pixel",
       "polar", "I_before_scaling", "I_pixel_final")  # fmt: skip


@pytest.fixture(scope="module")
def reference(case):
    return parse_trace(case.c_trace.read_bytes(), "c.log")


def sparse(config, dtype=torch.float32, form="{:g}", keep=TEN):
    """A log of a few quantities in few digits, as a fork in single precision prints it."""
    lines = ["TRACE_CONFIG: (spixel=685, fpixel=1039)"]
    for line in render(trace_pixel(config, 685, 1039, device="cpu", dtype=dtype)).splitlines():
        named = re.fullmatch(r"TRACE_PY: (\w+) (.*)", line)
        if named and named[1] in keep:
            lines.append(f"TRACE_PY: {named[1]} {' '.join(form.format(float(x)) for x in named[2].split())}")
    return parse_trace("".join(f"{line}\n" for line in lines).encode(), "fork.log")


def test_what_agrees_in_six_digits_is_rounding_and_the_rest_unknown(config, reference):
    found = explain(reference, sparse(config), config)
    assert found.causes == ()
    assert found.sentence.startswith("Nothing to explain: what differs, differs by rounding, of 10 quantities")
    unknown = (
        r"and \d+ more are not traced by the candidate, so it is unknown whether they agree; "
        r"I_pixel_final, which is made of all, differs by \S+, no more than rounding makes\.$"
    )
    assert re.search(unknown, found.sentence)
    assert any("prints 6 digits: what is smaller than half a unit of the last one is unknown" in x for x in found.notes)


def test_phi_zero_is_named_from_one_axis(config, reference):
    found = explain(reference, sparse(replace(config, quirks=config.quirks.switched("Q29", False))), config)
    (cause,) = found.causes
    assert cause.quantity == "rot_a_angstroms" and "(Q29 off)" in cause.variant
    assert cause.share == pytest.approx(1.0, abs=2e-3) and "unknown" not in found.sentence


def test_a_factor_that_no_line_shows_is_unknown(config, reference):
    """Half as much fluence again: the pixel alone shows it, as it would show another r_e_sqr, steps or absorption."""
    beam = replace(config.beam, fluence_per_m2=1.5 * config.beam.fluence_per_m2)
    found = explain(reference, sparse(replace(config, beam=beam)), config)
    (cause,) = found.causes
    assert (cause.quantity, cause.variant[:20]) == ("I_pixel_final", "multiplied by 1.4999")
    assert set(cause.in_doubt) == {"r_e_sqr", "fluence_photons_per_m2", "steps", "capture_fraction"}
    assert found.sentence.endswith(
        "capture_fraction, steps, fluence_photons_per_m2 and r_e_sqr are not traced by the candidate, so it is unknown "
        "whether I_pixel_final itself is wrong or one of them."
    )


def test_another_wavelength_is_told_by_what_is_made_of_it(config, reference):
    beam = replace(config.beam, wavelength_m=1.01 * config.beam.wavelength_m)
    found = explain(reference, sparse(replace(config, beam=beam)), config)
    (cause,) = found.causes
    assert (cause.quantity, cause.variant) == ("lambda_meters", "multiplied by 1.01")
    assert "lambda_meters is not traced by the candidate: scattering_vec_A_inv, rot_a_angstroms" in found.sentence


def test_a_log_without_the_pixel_does_not_tell_how_much(config, reference):
    port = replace(config, quirks=config.quirks.switched("Q29", False))
    found = explain(reference, sparse(port, keep=TEN[:8]), config)
    assert found.delta_rel is None and "(Q29 off)" in found.sentence
    assert "I_pixel_final is not traced by the candidate, so it is unknown by how much it differs." in found.sentence


def test_single_precision_in_places_hides_no_misprint(config, reference):
    """Axes rounded to float32, and a*, b*, c* printed after phi: in print only, although the axes are not exact."""
    text = render(trace_pixel(config, 685, 1039, device="cpu", dtype=torch.float64))

    def single(match):
        return match[1] + " ".join(f"{float(torch.tensor(float(x))):.15g}" for x in match[2].split())

    def turned(match):
        angle = torch.tensor(-0.09 * torch.pi / 180.0, dtype=torch.float64)
        (x, y, z), c, s = (float(v) for v in match[2].split()), float(angle.cos()), float(angle.sin())
        return f"{match[1]}{x:.15g} {c * y - s * z:.15g} {s * y + c * z:.15g}"

    text = re.sub(r"(TRACE_PY: rot_[abc]_star_A_inv )(.*)", turned, text)
    text = re.sub(r"(TRACE_PY: rot_[abc]_angstroms )(.*)", single, text)
    found = explain(reference, parse_trace(text.encode(), "py.log"), config)
    stars = next(cause for cause in found.causes if cause.quantity == "rot_a_star_A_inv")
    assert stars.in_print_only and stars.members[:3] == tuple(f"rot_{x}_star_A_inv" for x in "abc")
    assert max(abs(cause.effect_rel) for cause in found.causes) < 1e-5


def test_the_sum_over_one_layer_of_five():
    case = find_case("thick_detector")
    config, pixel = parse(case.flags, folders=case.folders), case.pixels[0]
    one = replace(config.detector, sensor=replace(config.detector.sensor, layers=1))
    text = render(trace_pixel(replace(config, detector=one), *pixel, device="cpu", dtype=torch.float64))
    reference = parse_trace(case.reference(pixel).read_bytes(), "c.log")
    found = explain(reference, parse_trace(text.encode(), "py.log"), config)
    first = found.causes[0]
    assert (first.quantity, first.share) == ("I_before_scaling", pytest.approx(1.0, abs=1e-6))
    assert first.variant == "the sum over 1 of 5 sub-pixels, those that it shows"


def test_a_cause_that_makes_next_to_nothing_is_not_said_to_be_the_cause():
    effects = {"I_before_scaling": 1e-8, "I_pixel_final": 1e-8}
    cause = Cause("polar", "multiplied by 2", 1.0, 1e-8, 1e-9, 1e-8, 1e-8, 1e-8, ("polar",), effects)
    told = sentence((("I_before_scaling", 10.0, 1e-8),), (cause,), ())
    assert told.startswith("What makes most of the +1.000000e+01 in I_before_scaling is unknown. polar is multiplied")


@pytest.mark.parametrize(
    ("form", "printing"),
    [("{:.15g}", Printing()), ("{:g}", Printing(6)), ("{:.8e}", Printing(9)), ("{:.6f}", Printing(15, 6))],
)
def test_how_many_digits_a_log_prints(config, reference, form, printing):
    log = sparse(config, torch.float64, form, (*TEN[:4], "pix0_vector_meters", "rot_b_angstroms", "F_latt"))
    assert printing_of(log) == printing


def test_compare_judges_by_the_digits_that_are_printed(config, reference):
    report = compare(reference, sparse(config, torch.float64))
    judged = [row for row in report.factors if row.py_value is not None]
    assert len(judged) == 4 and all(row.status.value == "PASS" for row in judged)
    assert report.first_upstream is None and report.tolerance == pytest.approx(5e-6)
    assert "fork.log prints 6 digits: what is smaller than half a unit of the last one is unknown" in report.warnings
