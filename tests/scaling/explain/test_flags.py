"""Mistakes in a flag that show in many numbers, in numbers that underflow, or in another number of sub-pixels."""

from dataclasses import replace

import pytest
import torch

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling.cases.case import find_case
from tools.scaling.explain.answer import explain
from tools.scaling.traces.read import parse_trace


def told(name, change, *, cased=True):
    """The explanation of a run of the case's first pixel with other settings."""
    case = find_case(name)
    config = parse(case.flags, folders=case.folders)
    traces = [
        parse_trace(render(trace_pixel(each, *case.pixels[0], device="cpu", dtype=torch.float64)).encode("ascii"), name)
        for each in (config, change(config))
    ]
    return explain(*traces, config if cased else None)


def smaller_pixel(config):
    detector, f = config.detector, 0.1
    sizes = {key: f * getattr(detector, key) for key in ("pixel_m", "size_fast_m", "size_slow_m")}
    return replace(config, detector=replace(detector, **sizes))


@pytest.mark.parametrize("cased", [True, False])
def test_another_pixel_is_one_cause(cased):
    (cause,) = told("gauss_crystal", smaller_pixel, cased=cased).causes
    assert (cause.quantity, cause.variant) == (
        "beam_center_m.pixel_mm",
        "in another unit, 10^-1 times what it should be",
    )


def test_another_cell_edge_is_one_cause():
    def longer(config):
        return replace(config, crystal=replace(config.crystal, cell=replace(config.crystal.cell, b_angstrom=66.0)))

    (cause,) = told("gauss_crystal", longer).causes
    assert cause.quantity == "rot_b_star_A_inv"
    assert cause.variant == "of another -cell: b = 66, not 60 A"


def test_gauss_without_the_case_is_not_called_rounding():
    def larger(config):
        return replace(config, crystal=replace(config.crystal, fudge=1.1))

    (cause,) = told("gauss_crystal", larger, cased=False).causes
    assert (cause.quantity, cause.variant) == (
        "I_before_scaling",
        "not what the reference makes of the same numbers",
    )


def test_cells_are_named_although_their_number_changes_the_sub_pixels():
    def smaller(config):
        return replace(config, crystal=replace(config.crystal, size_m=tuple(0.9 * x for x in config.crystal.size_m)))

    found = told("xtalsize_auto_oversample", smaller)
    assert {cause.quantity for cause in found.causes} <= {"F_latt_a", "F_latt_b", "F_latt_c"} and found.causes
    assert any("sub-pixels in" in note for note in found.notes)


def test_a_float32_run_without_the_case_is_rounding():
    case = find_case("adxv_convention")
    config = parse(case.flags, folders=case.folders)
    traces = [
        parse_trace(render(trace_pixel(config, *case.pixels[-1], device="cpu", dtype=dtype)).encode("ascii"), "log")
        for dtype in (torch.float64, torch.float32)
    ]
    assert explain(*traces).causes == ()
