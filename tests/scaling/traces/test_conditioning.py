"""The rounding bounds against a direct perturbation of the Miller indices."""

import math
import random

import pytest
import torch

from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling.engine.tolerances import ROUNDINGS
from tools.scaling.studies.mutants.port import subject, traced
from tools.scaling.studies.mutants.rounding import nudged, reordered
from tools.scaling.traces import conditioning as module
from tools.scaling.traces.compare import compare
from tools.scaling.traces.conditioning import conditioning
from tools.scaling.traces.read import parse_trace
from tools.scaling.traces.report import Status


def g(h: float, n: int) -> float:
    return math.sin(math.pi * n * h) / math.sin(math.pi * h)


def test_the_cell_counts_are_found_from_the_trace(supervisor):
    """-Na 36 -Nb 47 -Nc 29; no trace says so."""
    assert module.fitted_cells(supervisor) == (36, 47, 29)


def test_every_bound_of_the_canonical_pixel_stays_under_1e_10(supervisor):
    bounds = conditioning(supervisor).bounds
    assert {key[0] for key in bounds} >= {"hkl_frac", "F_latt_a", "F_latt", "PHI.F_latt", "I_before_scaling"}
    assert 0.0 < min(bounds.values()) < max(bounds.values()) < 1e-10


def test_harmless_runs_are_not_called_different():
    """Every number of the flags nudged by a unit in its last place, sums in another order; and all in float32."""
    rng = random.Random(7)
    for name in ("supervisor", "supervisor_synthetic", "custom_sample_pivot_front") * 4:
        where = subject(name)
        config = nudged(where.config, rng)
        with reordered(rng):
            report = compare(where.clean, traced(config, where.pixel))
        assert report.num_upstream_divergent == 0, (name, report.first_upstream)
    names = ("supervisor", "dials_convention", "source_file", "divergence_dispersion", "triclinic_misset")
    for where in [*map(subject, names), *(subject(each, 1) for each in ("gauss_crystal", "round_crystal"))]:
        lines = trace_pixel(where.config, *where.pixel, device="cpu", dtype=torch.float32)
        single = parse_trace(render(lines).encode(), "py")
        report = compare(where.clean, single, precision="float32")
        assert report.num_upstream_divergent == report.num_divergent == 0, (where.name, report.first_upstream)


def test_what_is_too_small_for_float32_is_rounding_and_what_is_not_is_none():
    where = subject("gauss_crystal")
    lines = trace_pixel(where.config, 30, 30, device="cpu", dtype=torch.float32)
    clean, single = traced(where.config, (30, 30), "c.log"), parse_trace(render(lines).encode(), "py.log")
    found = compare(clean, single, precision="float32").factor("I_before_scaling")
    assert (found.py_value, found.status) == (0.0, Status.PASS)
    assert found.c_value is not None and 0.0 < found.c_value < 1e-180
    report = compare(clean, single)
    assert (report.first_divergence, report.factor("I_before_scaling").status) == ("I_before_scaling", Status.CRITICAL)


@pytest.mark.parametrize("tic", range(10))
def test_a_bound_holds_what_the_shift_of_the_index_does(supervisor, tic):
    """A shift 10^5 times as large, so that float64 resolves it, moves F_latt_b by at most 10^5 bounds."""
    bound = conditioning(supervisor).bounds["PHI.F_latt_b", 0, tic] / ROUNDINGS
    q = math.hypot(*supervisor.occurrences("scattering_vec_A_inv")[0].values)
    hkl = math.hypot(*supervisor.occurrences("hkl_frac")[0].values)
    shift = 1e5 * 2.0**-53 * hkl / (9.768e-11 * q)
    k = supervisor.phi_rows[tic].values["k_frac"]
    moved = max(abs(g(k + d, 47) / g(k, 47) - 1) for d in (shift, -shift))
    assert 0.3 * moved < 1e5 * bound
    assert moved < 1.2 * 1e5 * bound


def test_float32_bounds_are_2_to_the_29_times_wider(supervisor):
    wide, narrow = conditioning(supervisor, "float32").bounds, conditioning(supervisor).bounds
    key = ("F_latt_c", 0, None)
    assert wide[key] == narrow[key] * 2**29


def test_k_of_a_phi_row_is_measured_against_the_length_of_hkl(supervisor):
    norm = conditioning(supervisor).norms["PHI.k_frac", 0, 4]
    assert norm == pytest.approx(math.sqrt(6.8795206024501**2 + 0.607255839576692**2 + 13.766298525469**2), rel=1e-15)


@pytest.mark.parametrize(
    "text",
    [
        "TRACE_C: hkl_frac 1 2\nTRACE_C: F_latt_a 1\nTRACE_C_PHI phi_tic=0 k_frac=inf F_latt=1e300 F_latt_b=nan\n",
        "TRACE_C: hkl_frac nan inf 1e300\nTRACE_C: F_latt_b 1\nTRACE_C_PHI phi_tic=0 k_frac=1e308 F_latt=2\n",
        "TRACE_C: hkl_frac 0 0 0\nTRACE_C: F_latt_a 3\nTRACE_C: scattering_vec_A_inv 0 0 0\nTRACE_C: lambda_meters 0\n",
        "TRACE_C_PHI phi_tic=0 k_frac=0.5 F_latt=0\n",
    ],
)
def test_no_bound_excuses_everything(text):
    found = conditioning(parse_trace(text.encode(), "x"))
    assert all(0.0 <= bound <= 1.0 for bound in found.bounds.values())
