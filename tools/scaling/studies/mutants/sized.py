"""Rules of the port, each broken by a random amount: from four times the noise floor of the quantity up to gross."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nanobragg_torch.physics import beam, corrections, crystal, detector, lattice_factor, structure_factor, vectors
from nanobragg_torch.scan import evaluate
from tools.scaling.studies.mutants.port import Mutant, Subject

Change = Callable[[Any], Any]
FLOORS = 4.0  # the smallest defects, in noise floors
_GROSS = 0.3


def _scaled(size: float) -> Change:
    return lambda x: x * (1.0 + size)


def _shifted(size: float, rng: random.Random) -> Change:
    """Moved by `size` of its length in a random direction."""
    direction = [rng.gauss(0.0, 1.0) for _ in range(3)]
    norm = math.hypot(*direction)

    def change(x: Tensor) -> Tensor:
        if x.dim() == 0 or x.shape[-1] != 3:
            return x * (1.0 + size)
        way = torch.tensor(direction, dtype=x.dtype) / norm
        return x + way * size * x.norm(dim=-1, keepdim=True)

    return change


def _float32(x: Tensor) -> Tensor:
    return x.float().to(torch.float64)


def _of_result(change: Change, part: int | None = None) -> Callable[..., Any]:
    """Wrap: change the function's result, or the part of a tuple."""

    def wrap(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if part is None:
            return change(result)
        if isinstance(result, tuple):
            return tuple(change(x) if i == part else x for i, x in enumerate(result))
        return result

    return wrap


def _field(name: str, change: Change) -> Callable[..., Any]:
    def wrap(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        return replace(result, **{name: change(getattr(result, name))})

    return wrap


# area, module, function, part of its result or field, quantity, further names under which it counts
_POINTS: tuple[tuple[str, Any, str, int | str | None, str, tuple[str, ...]], ...] = (
    ("geometry", detector, "initial_axes", "fdet", "initial_fdet", ("fdet", "fdet_after_rotz")),
    ("geometry", detector, "initial_axes", "sdet", "initial_sdet", ("sdet", "sdet_after_rotz")),
    ("geometry", detector, "initial_axes", "odet", "initial_odet", ("odet", "odet_after_rotz")),
    ("geometry", detector, "initial_axes", "beam", "incident_vec", ("beam", "ratio", "distance_m", "term_beam")),
    ("geometry", detector, "beam_ratio", None, "ratio", ("distance_m",)),
    ("geometry", detector, "near_distance", None, "close_distance_m", ("distance_m",)),
    ("geometry", detector, "sample_pivot_terms", 0, "term_fast_before_rot", ()),
    ("geometry", detector, "sample_pivot_terms", 1, "term_slow_before_rot", ()),
    ("geometry", detector, "sample_pivot_terms", 2, "term_close_before_rot", ()),
    ("geometry", detector, "beam_pivot_terms", 0, "term_fast", ()),
    ("geometry", detector, "sum_terms", None, "pix0_before_rotation", ("pix0_vector",)),
    ("geometry", detector, "build_geometry", "close_distance", "close_distance_meters", ()),
    ("geometry", detector, "pixel_position", None, "pixel_pos_meters", ()),
    ("geometry", detector, "pixel_distance", None, "R_distance_meters", ()),
    ("geometry", detector, "diffracted_direction", None, "diffracted_vec", ()),
    ("beam", beam, "incident_direction", None, "incident_vec", ()),
    ("beam", beam, "source_wavelength", None, "lambda_meters", ()),
    ("beam", beam, "scattering_vector", None, "scattering_vec_A_inv", ()),
    ("crystal", crystal, "reciprocal_from_matrix", 0, "rot_a_star_A_inv", ("rot_b_star_A_inv", "rot_c_star_A_inv")),
    ("crystal", crystal, "finish_axes", "a", "rot_a_angstroms", ()),
    ("crystal", crystal, "finish_axes", "b", "rot_b_angstroms", ()),
    ("crystal", crystal, "finish_axes", "c", "rot_c_angstroms", ()),
    ("crystal", crystal, "finish_axes", "a_star", "rot_a_star_A_inv", ()),
    ("crystal", vectors, "rotate_spindle", None, "rot_a_angstroms", ("rot_b_angstroms", "rot_c_angstroms")),
    ("crystal", crystal, "carried_phi", None, "rot_a_angstroms", ("rot_b_angstroms", "rot_c_angstroms")),
    ("crystal", crystal, "phi_angles", None, "PHI.phi_deg", ("rot_a_angstroms",)),
    ("lattice", lattice_factor, "miller_indices", None, "hkl_frac", ()),
    ("lattice", lattice_factor, "grating", None, "F_latt_a", ("F_latt_b", "F_latt_c")),
    ("lattice", lattice_factor, "square_factor", None, "F_latt", ()),
    ("structure factor", structure_factor, "nearest", None, "F_cell", ()),
    ("scaling", evaluate, "intensity_term", None, "I_before_scaling", ()),
    ("scaling", corrections, "scale_pixel", None, "I_pixel_final", ()),
    ("scaling", beam, "classical_radius_squared", None, "r_e_sqr", ()),
    ("corrections", corrections, "obliquity_factor", None, "obliquity_factor", ()),
    ("corrections", corrections, "solid_angle", None, "omega_pixel_sr", ()),
    ("corrections", corrections, "cos_two_theta", None, "cos_2theta", ()),
    ("corrections", evaluate, "polarization", None, "polar", ()),
    ("corrections", evaluate, "final_solid_angle", None, "omega_pixel", ()),
    ("corrections", evaluate, "final_capture", None, "capture_fraction", ()),
)


def _names(*names: str) -> tuple[str, ...]:
    """Names under which a defect counts: the flag's vector, the trace's name, the same of the other phi steps."""
    rows = {"F_latt": "PHI.F_latt", "F_latt_b": "PHI.F_latt_b", "hkl_frac": "PHI.k_frac"}
    counted = [x for name in names for x in (name.removeprefix("initial_"), name, rows.get(name, name))]
    return tuple(dict.fromkeys(counted))


def sized_mutants(rng: random.Random, where: Subject) -> Iterator[Mutant]:
    """Mutants without end: a random rule, a random form, a random size."""
    while True:
        area, module, name, part, quantity, others = rng.choice(_POINTS)
        if quantity not in where.floors and not set(others) & where.floors.keys():
            continue
        floor = next((where.floors[each] for each in (quantity, *others) if where.floors.get(each)), 1e-14)
        low = math.log10(FLOORS * floor)
        size = 10.0 ** rng.uniform(low, math.log10(_GROSS)) * rng.choice((-1.0, 1.0))
        form, change = rng.choice(
            (("scaled", _scaled(size)), ("moved", _shifted(size, rng)), ("moved", _shifted(size, rng)),
             ("float32", _float32))
        )  # fmt: skip
        if form == "float32" and (rng.random() < 0.6 or floor > 1e-9):
            continue
        wrap = _field(part, change) if isinstance(part, str) else _of_result(change, part)
        text = f"{name}{'' if part is None else f'[{part}]'} {form}" + ("" if form == "float32" else f" {size:+.1e}")
        expected = _names(quantity, *others)
        yield Mutant(text, area, expected, form == "float32", (module, name), wrap)
