"""Mapped test: the canonical pixel, slow 685, fast 1039, phi = 0 ... 0.09 degrees, against the reference."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import TraceLine, trace_pixel

GOLDEN = Path(__file__).parent / "golden"
CASE = GOLDEN / "supervisor_one_reflection"
SLOW, FAST = 685, 1039
REL = 1e-12  # components against their vector's length
REL_INTENSITY = 1e-11  # conditioning bound of this pixel: |k| = 0.6, N = 47, close to no peak


@cache
def traced(device: str) -> list[TraceLine]:
    flags = json.loads((CASE / "case.json").read_text())["flags"].split()
    config = parse(flags, [GOLDEN / "inputs"])
    return trace_pixel(config, SLOW, FAST, device=device, dtype=torch.float64)


def port(device: str, name: str) -> list[float]:
    return next([float(v) for v in line.values] for line in traced(device) if line.name == name)


@cache
def reference() -> dict[str, list[float]]:
    """Names to numbers of the `TRACE_C: name value ...` lines."""
    lines = (CASE / f"trace_{SLOW}_{FAST}.log").read_text(encoding="utf-8").splitlines()
    split = (line.split() for line in lines if line.startswith("TRACE_C: "))
    return {words[1]: [float(word) for word in words[2:]] for words in split}


def reference_phi_rows() -> list[dict[str, float]]:
    lines = (CASE / f"trace_{SLOW}_{FAST}.log").read_text(encoding="utf-8").splitlines()
    rows = [line.split()[1:] for line in lines if line.startswith("TRACE_C_PHI ")]
    return [{key: float(value) for key, value in (cell.split("=") for cell in row)} for row in rows]


def test_rot_b_is_that_of_the_last_phi_step(device: str) -> None:
    expected = reference()["rot_b_angstroms"]
    length = sum(x * x for x in expected) ** 0.5
    assert expected[1] == 0.671588233999813
    for ours, theirs in zip(port(device, "rot_b_angstroms"), expected, strict=True):
        assert abs(ours - theirs) <= REL * length


def test_k_frac_at_phi_zero(device: str) -> None:
    expected = reference()["hkl_frac"]
    assert expected[1] == -0.607255839576692
    length = sum(x * x for x in expected) ** 0.5
    for ours, theirs in zip(port(device, "hkl_frac"), expected, strict=True):
        assert abs(ours - theirs) <= REL * length
    assert port(device, "hkl_rounded") == [-7, -1, -14]


def test_k_frac_and_lattice_factor_of_every_phi_step(device: str) -> None:
    rows = [dict(zip(line.labels, line.values)) for line in traced(device) if line.kind == "phi"]
    expected = reference_phi_rows()
    assert len(rows) == len(expected) == 10
    for ours, theirs in zip(rows, expected, strict=True):
        assert ours["phi_tic"] == theirs["phi_tic"]
        for name in ("phi_deg", "k_frac"):
            assert float(ours[name]) == pytest.approx(theirs[name], rel=REL, abs=0)
        for name in ("F_latt_b", "F_latt"):  # one step lies near a zero of the grating
            assert float(ours[name]) == pytest.approx(theirs[name], rel=REL_INTENSITY, abs=0)


@pytest.mark.parametrize("name", ["F_latt_a", "F_latt_b", "F_latt_c", "F_latt"])
def test_lattice_factor(device: str, name: str) -> None:
    assert port(device, name) == pytest.approx(reference()[name], rel=REL_INTENSITY, abs=0)


def test_intensity_before_scaling(device: str) -> None:
    assert reference()["I_before_scaling"] == [943654.80923755]
    for name in ("I_before_scaling", "I_before_scaling_pre_polar"):
        assert port(device, name) == pytest.approx([943654.80923755], rel=REL_INTENSITY, abs=0)
    polar = reference()["polar"][0]
    after = port(device, "I_before_scaling_post_polar")
    assert after == pytest.approx([943654.80923755 * polar], rel=REL_INTENSITY, abs=0)


@pytest.mark.parametrize(
    "name",
    ["r_e_sqr", "fluence_photons_per_m2", "steps", "capture_fraction", "polar", "omega_pixel", "cos_2theta"],
)
def test_scaling_factors(device: str, name: str) -> None:
    assert port(device, name) == pytest.approx(reference()[name], rel=REL, abs=0)


def test_final_intensity(device: str) -> None:
    expected = reference()["I_pixel_final"]
    assert expected == [2.88139542684698e-07]
    assert port(device, "I_pixel_final") == pytest.approx(expected, rel=REL_INTENSITY, abs=0)
