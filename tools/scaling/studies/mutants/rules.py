"""The port's rules, and inputs, each broken in one of many ways: what `mutants` tries `explain` on.

A mutant wraps one function of nanobragg_torch or changes the configuration. Sizes are random, from four times the
noise floor of the quantity up to gross; forms that have no size (a wrong power, an exchanged axis) are as they are.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.physics import beam, corrections, crystal, detector, lattice_factor, structure_factor, vectors
from nanobragg_torch.scan import evaluate
from tools.scaling.traces.read import Trace

Change = Callable[[Any], Any]
FLOORS = 4.0  # the smallest defects, in noise floors
_GROSS = 0.3


@dataclass(frozen=True, eq=False)
class Subject:
    """A case and pixel that mutants are tried on."""

    name: str
    config: Config
    pixel: tuple[int, int]
    clean: Trace
    floors: dict[str, float]


@dataclass(frozen=True)
class Mutant:
    """A broken rule or input. expected: names under which it counts as found. listed: whether the change is
    one that the table of variants knows."""

    text: str
    area: str
    expected: tuple[str, ...]
    listed: bool
    function: tuple[Any, str] | None = None
    wrap: Callable[..., Any] | None = None
    config: Callable[[Config], Config] | None = None


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
    found = [x for name in names for x in (name.removeprefix("initial_"), name, rows.get(name, name))]
    return tuple(dict.fromkeys(found))


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


def _detector(**changes: Callable[[Any], Any]) -> Callable[[Config], Config]:
    def change(c: Config) -> Config:
        new = {key: value(getattr(c.detector, key)) for key, value in changes.items()}
        return replace(c, detector=replace(c.detector, **new))

    return change


def _beam(**changes: Callable[[Any], Any]) -> Callable[[Config], Config]:
    return lambda c: replace(c, beam=replace(c.beam, **{k: f(getattr(c.beam, k)) for k, f in changes.items()}))


def _crystal(**changes: Callable[[Any], Any]) -> Callable[[Config], Config]:
    return lambda c: replace(c, crystal=replace(c.crystal, **{k: f(getattr(c.crystal, k)) for k, f in changes.items()}))


def _scan(**changes: Callable[[Any], Any]) -> Callable[[Config], Config]:
    return lambda c: replace(c, scan=replace(c.scan, **{k: f(getattr(c.scan, k)) for k, f in changes.items()}))


def _instead(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap: another function in place of the original."""
    return lambda original, *args, **kwargs: function(*args, **kwargs)


def fixed_mutants(rng: random.Random, where: Subject) -> list[Mutant]:
    """The mistakes that people make, and inputs that are off by a random amount."""
    e = 10.0 ** rng.uniform(-9.0, -1.0)
    axis = rng.randrange(3)
    by = rng.choice((-1.0, 1.0))
    rot = ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms")
    f_latt = ("F_latt_a", "F_latt_b", "F_latt_c")
    return [
        Mutant("pixel corner instead of centre", "geometry", ("pixel_pos_meters",), True,
               (detector, "detector_coordinate"), _instead(lambda i, s, p, n: (i * n + s) * (p / n))),
        Mutant("fast and slow coordinate exchanged", "geometry", ("pixel_pos_meters",), True,
               (detector, "pixel_position"), lambda f, a, b, *r: f(b, a, *r)),
        Mutant("three quarters of a pixel", "geometry", ("pixel_pos_meters",), False,
               (detector, "detector_coordinate"), lambda f, i, s, p, n: f(i, s, p, n) + 0.25 * p),
        Mutant("as if -odet_vector were kept", "geometry", ("odet", "initial_odet", "odet_after_rotz"), True,
               (detector, "normal"), _instead(lambda o, f, s: o)),
        Mutant("sdet x fdet", "geometry", ("odet", "initial_odet", "odet_after_rotz"), True,
               (detector, "normal"), _instead(lambda o, f, s: vectors.unit(vectors.cross(s, f)))),
        Mutant(f"-distance {e:+.1e}", "geometry", ("close_distance_m", "distance_m"), False,
               config=_detector(distance_m=lambda x: x * (1 + e))),
        Mutant(f"-Xbeam {e:+.1e}", "geometry",
               ("beam_center_m.Xclose", "beam_center_m.X", "Fclose_m", "Fbeam_m", "Sbeam_m"), False,
               config=_detector(x_beam_m=lambda x: None if x is None else x * (1 + e))),
        Mutant(f"-spindle_axis tilted {e:.1e}", "crystal", rot, False,
               config=_detector(spindle_axis=lambda v: None if v is None else (v[0], v[1] + e * 100, v[2] - e))),
        Mutant(f"-lambda {e:+.1e}", "beam", ("lambda_meters", "rot_a_star_A_inv"), False,
               config=_beam(wavelength_m=lambda x: x * (1 + e))),
        Mutant("wavelength in Angstrom", "beam", ("lambda_meters",), True,
               (beam, "source_wavelength"), lambda f, *a: f(*a) * 1e10),
        Mutant(f"-fluence {e:+.1e}", "scaling", ("fluence_photons_per_m2",), False,
               config=_beam(fluence_per_m2=lambda x: x * (1 + e))),
        Mutant("no division by steps", "scaling", ("I_pixel_final",), True, (corrections, "scale_pixel"),
               lambda f, i, r, fl, n, x: f(i, r, fl, torch.ones_like(n), x)),
        Mutant("no fluence", "scaling", ("I_pixel_final",), True, (corrections, "scale_pixel"),
               lambda f, i, r, fl, n, x: f(i, r, torch.ones_like(fl), n, x)),
        Mutant("no polarization in the last product", "scaling", ("I_pixel_final",), True,
               (corrections, "scale_pixel"), lambda f, i, r, fl, n, x: f(i, r, fl, n, (x[0], x[2]))),
        Mutant("omega without obliquity", "corrections", ("omega_pixel_sr",), True, (corrections, "solid_angle"),
               _instead(lambda r, c, p: p * p / r / r)),
        Mutant("omega with R^4", "corrections", ("omega_pixel_sr",), True, (corrections, "solid_angle"),
               _instead(lambda r, c, p: p * p * c / r**4)),
        Mutant("omega with R^5/2", "corrections", ("omega_pixel_sr",), False, (corrections, "solid_angle"),
               _instead(lambda r, c, p: p * p * c / r**2.5)),
        Mutant("1 + cos, not 1 + cos^2", "corrections", ("polar",), False, (evaluate, "polarization"),
               _instead(lambda exp, i, d: 0.5 * (1 + vectors.dot(i, d)))),
        Mutant("phi at mid-points, seen in phi_deg", "crystal", ("PHI.phi_deg", *rot), True,
               config=_scan(phi_start_rad=lambda x: x + 0.5 * float(where.config.scan.phi_step_rad))),
        Mutant(f"-osc {e:+.1e}", "crystal", ("PHI.phi_deg", *rot), False,
               config=_scan(phi_step_rad=lambda x: x * (1 + e))),
        Mutant("Q29 off", "crystal", rot, True, (crystal, "carried_phi"), _instead(lambda phi, first: phi)),
        Mutant("spindle turned the other way", "crystal", rot, True, (vectors, "rotate_spindle"),
               lambda f, v, s, p: f(v, s, -p)),
        Mutant("rotation by 1.01 phi", "crystal", rot, False, (vectors, "rotate_spindle"),
               lambda f, v, s, p: f(v, s, 1.01 * p)),
        Mutant(f"-N{'abc'[axis]} {by:+.0f}", "lattice", (f_latt[axis],), True,
               config=_crystal(cells=lambda n: tuple(x + by * (i == axis) for i, x in enumerate(n)))),
        Mutant(f"-N{'abc'[axis]} +{3 + axis}", "lattice", (f_latt[axis],), False,
               config=_crystal(cells=lambda n: tuple(x + (3.0 + axis) * (i == axis) for i, x in enumerate(n)))),
        Mutant("sinc instead of the grating function", "lattice", f_latt, True, (lattice_factor, "grating"),
               _instead(lambda h, n: n * torch.sinc(n * h))),
        Mutant("grating of 3.1416", "lattice", f_latt, False, (lattice_factor, "grating"),
               _instead(lambda h, n: torch.sin(3.1416 * h * n) / torch.sin(3.1416 * h))),
        Mutant("F_latt without c", "lattice", ("F_latt",), False, (lattice_factor, "square_factor"),
               _instead(lambda a, b, c: a * b)),
        Mutant("h and k exchanged", "lattice", ("F_cell",), False, (structure_factor, "nearest"),
               lambda f, g, h, k, m: f(g, k, h, m)),
        Mutant("F of the next reflection along l", "structure factor", ("F_cell",), True,
               (structure_factor, "nearest"), lambda f, g, h, k, m: f(g, h, k, m + 1)),
        Mutant("floor(h) for the nearest index", "lattice", ("hkl_rounded",), True,
               (lattice_factor, "nearest_index"), _instead(torch.floor)),
        Mutant("F_cell not squared", "scaling", ("I_before_scaling",), False, (evaluate, "intensity_term"),
               _instead(lambda f, x: f * x * x)),
        Mutant("F_latt to the third", "scaling", ("I_before_scaling",), False, (evaluate, "intensity_term"),
               _instead(lambda f, x: f * f * x * x * x.abs())),
        Mutant("incident + diffracted", "beam", ("scattering_vec_A_inv",), True, (beam, "scattering_vector"),
               lambda f, d, i, w: f(d, -i, w)),
        Mutant("q without wavelength", "beam", ("scattering_vec_A_inv",), True, (beam, "scattering_vector"),
               lambda f, d, i, w: f(d, i, torch.ones_like(w))),
        Mutant("y and z of the matrix exchanged", "crystal", ("rot_a_star_A_inv",), False,
               (crystal, "reciprocal_from_matrix"), lambda f, m, w: f(m[[0, 2, 1]], w)),
        Mutant("classical radius of 2003", "scaling", ("r_e_sqr",), False, (beam, "classical_radius_squared"),
               lambda f, like: f(like) * 1.0000066),
    ]  # fmt: skip
