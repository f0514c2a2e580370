"""Mapped test: a phi of exactly 0 keeps the orientation left behind (c-parity), or is rotated (spec)."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.physics.crystal import carried_phi
from nanobragg_torch.products.trace import TraceLine, trace_pixel

GOLDEN = Path(__file__).parent / "golden"
REL = 1e-12
REL_INTENSITY = 1e-11


@cache
def traced(case: str, slow: int, fast: int, device: str, *extra: str) -> list[TraceLine]:
    flags = json.loads((GOLDEN / case / "case.json").read_text())["flags"].split()
    config = parse([*flags, *extra], [GOLDEN / "inputs"])
    return trace_pixel(config, slow, fast, device=device, dtype=torch.float64)


def number(lines: list[TraceLine], name: str) -> float:
    return next(float(line.values[-1]) for line in lines if line.name == name)


def lattice_factors(lines: list[TraceLine]) -> list[float]:
    return [float(line.values[-1]) for line in lines if line.kind == "phi"]


def reference(case: str, slow: int, fast: int) -> tuple[list[float], float]:
    """(F_latt of every PHI row, I_before_scaling) in the reference's log."""
    lines = (GOLDEN / case / f"trace_{slow}_{fast}.log").read_text(encoding="utf-8").splitlines()
    rows = [float(x.split("F_latt=")[1]) for x in lines if x.startswith("TRACE_C_PHI ")]
    totals = [float(x.split()[2]) for x in lines if x.startswith("TRACE_C: I_before_scaling ")]
    assert len(totals) == 1
    return rows, totals[0]


PIXELS = [
    ("supervisor_one_reflection", 650, 1000),  # the run's first pixel: unrotated at phi = 0
    ("supervisor_one_reflection", 650, 1001),
    ("supervisor_one_reflection", 729, 1079),
    ("supervisor_one_reflection", 685, 1039),
    ("phi_crosses_zero", 0, 0),
    ("phi_crosses_zero", 20, 21),
    ("phi_zero_carryover_mosaic", 0, 0),
    ("phi_zero_carryover_mosaic", 0, 1),
    ("phi_zero_carryover_mosaic", 20, 21),
]


@pytest.mark.parametrize(("case", "slow", "fast"), PIXELS)
def test_c_parity_follows_the_reference(case: str, slow: int, fast: int, device: str) -> None:
    lines = traced(case, slow, fast, device)
    rows, total = reference(case, slow, fast)
    assert lattice_factors(lines) == pytest.approx(rows, rel=REL_INTENSITY, abs=0)
    assert number(lines, "I_before_scaling") == pytest.approx(total, rel=REL_INTENSITY, abs=0)


def test_the_first_pixel_is_unrotated_and_the_next_one_is_not(device: str) -> None:
    case = "supervisor_one_reflection"
    first, second = (lattice_factors(traced(case, 650, fast, device)) for fast in (1000, 1001))
    assert first[0] != first[-1]
    assert second[0] == second[-1]


def test_spec_rotates_every_step_afresh(device: str) -> None:
    case = "supervisor_one_reflection"
    parity = traced(case, 685, 1039, device)
    spec = traced(case, 685, 1039, device, "--phi-mode", "spec")
    assert number(spec, "I_before_scaling") == pytest.approx(807189.7686762, rel=1e-11, abs=0)
    relative = number(spec, "I_before_scaling") / 943654.80923755 - 1
    assert relative == pytest.approx(-1.446133e-01, rel=0, abs=1e-7)
    assert lattice_factors(spec)[1:] == lattice_factors(parity)[1:]
    assert lattice_factors(spec)[0] != lattice_factors(parity)[0]


def test_at_the_first_pixel_both_modes_agree(device: str) -> None:
    case = "supervisor_one_reflection"
    parity, spec = (traced(case, 650, 1000, device, "--phi-mode", mode) for mode in ("c-parity", "spec"))
    assert number(spec, "I_before_scaling") == number(parity, "I_before_scaling")


def test_a_zero_inside_the_sweep_repeats_the_step_before(device: str) -> None:
    rows = lattice_factors(traced("phi_crosses_zero", 20, 21, device))
    assert len(rows) == 4  # -1, -0.5, 0, +0.5 degrees
    assert rows[2] == rows[1]
    assert rows[3] != rows[2]


@pytest.mark.parametrize(
    ("phi", "later", "first"),
    [
        ([0.0, 1.0, 2.0], [2.0, 1.0, 2.0], [0.0, 1.0, 2.0]),
        ([-1.0, 0.0, 1.0], [-1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]),
        ([0.0, 0.0, 3.0, 0.0], [3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 3.0, 3.0]),
        ([0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
        ([0.5], [0.5], [0.5]),
    ],
)
def test_the_angle_in_force(phi: list[float], later: list[float], first: list[float], device: str) -> None:
    angles = torch.tensor(phi, dtype=torch.float64, device=device)
    assert carried_phi(angles, first=False).tolist() == later
    assert carried_phi(angles, first=True).tolist() == first
