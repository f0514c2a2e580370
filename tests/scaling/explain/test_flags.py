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


@pytest.mark.parametrize(
    ("name", "which"),
    [("adxv_convention", -1), ("triclinic_misset", 0), ("custom_beam_pivot_behind", 1), ("tricubic_interpolation", 0)],
)
def test_a_float32_run_without_the_case_is_rounding(name, which):
    case = find_case(name)
    config = parse(case.flags, folders=case.folders)
    traces = [
        parse_trace(render(trace_pixel(config, *case.pixels[which], device="cpu", dtype=dtype)).encode("ascii"), "log")
        for dtype in (torch.float64, torch.float32)
    ]
    assert explain(*traces).causes == ()


def changed(part, **values):
    return lambda config: replace(config, **{part: replace(getattr(config, part), **values)})


@pytest.mark.parametrize(
    ("name", "change", "quantity", "variant"),
    [
        ("xds_convention", changed("detector", orgx_pixels=31.5), "Fclose_m", "as of -ORGX 31.5, not 30.5 pixels"),
        ("adxv_convention", changed("detector", x_beam_m=0.155), "Fbeam_m", "as of -Xbeam 155, not 15.5 mm"),
        (
            "phi_crosses_zero",
            changed("scan", phi_start_rad=-1.0),
            "PHI.phi_deg",
            "of a scan from -57.29578 in steps of 0.5, not from -1 in steps of 0.5 degrees",
        ),
    ],
)
def test_a_number_that_a_flag_gives_is_told(name, change, quantity, variant):
    """Of several numbers that show it, one cause."""
    (cause,) = told(name, change).causes
    assert (cause.quantity, cause.variant) == (quantity, variant)


def test_sensor_layers_that_lie_elsewhere_are_one_cause():
    def thicker(config):
        sensor = replace(config.detector.sensor, thickness_m=10.0 * config.detector.sensor.thickness_m)
        return changed("detector", sensor=sensor)(config)

    (cause,) = told("thick_detector", thicker).causes
    assert cause.variant == "as of sensor layers 1125, not 112.5 um apart"
    assert cause.members == ("pixel_pos_meters", "capture_fraction")


def test_without_the_case_the_first_number_that_differs_is_told(tmp_path):
    """The third source's wavelength is traced, but not what is made of it."""

    def other(config):
        sources = tmp_path / "sources.txt"
        rows = [row.split() for row in config.beam.source_file.read_text().splitlines() if row and row[0] != "#"]
        rows[2][4] = "1.5e-10"
        sources.write_text("".join(" ".join(row) + "\n" for row in rows))
        return changed("beam", source_file=sources)(config)

    assert "is SOURCE2.lambda_angstroms, and" in told("source_file", other, cased=False).sentence
