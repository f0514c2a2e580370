"""The mistakes that people make in a port, and inputs that are off by a random amount."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from nanobragg_torch.config import Config
from nanobragg_torch.physics import beam, corrections, crystal, detector, lattice_factor, structure_factor, vectors
from nanobragg_torch.scan import evaluate
from tools.scaling.studies.mutants.port import Mutant

_AXES = ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms")
_F_LATT = ("F_latt_a", "F_latt_b", "F_latt_c")


@dataclass(frozen=True)
class _Draw:
    """What is random in the table. e: relative error of an input; by: unit cells more along crystal axis `axis`."""

    e: float
    axis: int
    by: float

    @property
    def letter(self) -> str:
        return "abc"[self.axis]

    @property
    def more(self) -> int:
        return 3 + self.axis


def _with(part: str, **changes: Callable[[Any], Any]) -> Callable[[Config], Config]:
    """Return what gives a Config whose record `part` has these fields changed."""

    def change(config: Config) -> Config:
        record = getattr(config, part)
        new = replace(record, **{field: f(getattr(record, field)) for field, f in changes.items()})
        return replace(config, **{part: new})

    return change


def _mid_points(config: Config) -> Config:
    start, step = config.scan.phi_start_rad, float(config.scan.phi_step_rad)
    return replace(config, scan=replace(config.scan, phi_start_rad=start + 0.5 * step))


def _instead(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a wrap that calls `function` in place of the original."""
    return lambda original, *args, **kwargs: function(*args, **kwargs)


_Row = tuple[str, str, tuple[str, ...], bool, tuple[Any, str] | None, Callable[..., Any]]
# text, area, right answers, listed, function and its wrap; of an input None and draw -> change of the settings
_TABLE: tuple[_Row, ...] = (
    ("pixel corner instead of centre", "geometry", ("pixel_pos_meters",), True,
     (detector, "detector_coordinate"), _instead(lambda i, s, p, n: (i * n + s) * (p / n))),
    ("fast and slow coordinate exchanged", "geometry", ("pixel_pos_meters",), True,
     (detector, "pixel_position"), lambda f, a, b, *r: f(b, a, *r)),
    ("three quarters of a pixel", "geometry", ("pixel_pos_meters",), False,
     (detector, "detector_coordinate"), lambda f, i, s, p, n: f(i, s, p, n) + 0.25 * p),
    ("as if -odet_vector were kept", "geometry", ("odet", "initial_odet", "odet_after_rotz"), True,
     (detector, "normal"), _instead(lambda o, f, s: o)),
    ("sdet x fdet", "geometry", ("odet", "initial_odet", "odet_after_rotz"), True,
     (detector, "normal"), _instead(lambda o, f, s: vectors.unit(vectors.cross(s, f)))),
    ("-distance {e:+.1e}", "geometry", ("close_distance_m", "distance_m"), False,
     None, lambda d: _with("detector", distance_m=lambda x: x * (1 + d.e))),
    ("-Xbeam {e:+.1e}", "geometry",
     ("beam_center_m.Xclose", "beam_center_m.X", "Fclose_m", "Fbeam_m", "Sbeam_m"), False,
     None, lambda d: _with("detector", x_beam_m=lambda x: None if x is None else x * (1 + d.e))),
    ("-spindle_axis tilted {e:.1e}", "crystal", _AXES, False,
     None, lambda d: _with("detector", spindle_axis=lambda v: v and (v[0], v[1] + d.e * 100, v[2] - d.e))),
    ("-lambda {e:+.1e}", "beam", ("lambda_meters", "rot_a_star_A_inv"), False,
     None, lambda d: _with("beam", wavelength_m=lambda x: x * (1 + d.e))),
    ("wavelength in Angstrom", "beam", ("lambda_meters",), True,
     (beam, "source_wavelength"), lambda f, *a: f(*a) * 1e10),
    ("-fluence {e:+.1e}", "scaling", ("fluence_photons_per_m2",), False,
     None, lambda d: _with("beam", fluence_per_m2=lambda x: x * (1 + d.e))),
    ("no division by steps", "scaling", ("I_pixel_final",), True, (corrections, "scale_pixel"),
     lambda f, i, r, fl, n, x: f(i, r, fl, torch.ones_like(n), x)),
    ("no fluence", "scaling", ("I_pixel_final",), True, (corrections, "scale_pixel"),
     lambda f, i, r, fl, n, x: f(i, r, torch.ones_like(fl), n, x)),
    ("no polarization in the last product", "scaling", ("I_pixel_final",), True,
     (corrections, "scale_pixel"), lambda f, i, r, fl, n, x: f(i, r, fl, n, (x[0], x[2]))),
    ("omega without obliquity", "corrections", ("omega_pixel_sr",), True, (corrections, "solid_angle"),
     _instead(lambda r, c, p: p * p / r / r)),
    ("omega with R^4", "corrections", ("omega_pixel_sr",), True, (corrections, "solid_angle"),
     _instead(lambda r, c, p: p * p * c / r**4)),
    ("omega with R^5/2", "corrections", ("omega_pixel_sr",), False, (corrections, "solid_angle"),
     _instead(lambda r, c, p: p * p * c / r**2.5)),
    ("1 + cos, not 1 + cos^2", "corrections", ("polar",), False, (evaluate, "polarization"),
     _instead(lambda exp, i, d: 0.5 * (1 + vectors.dot(i, d)))),
    ("phi at mid-points, seen in phi_deg", "crystal", ("PHI.phi_deg", *_AXES), True,
     None, lambda _: _mid_points),
    ("-osc {e:+.1e}", "crystal", ("PHI.phi_deg", *_AXES), False,
     None, lambda d: _with("scan", phi_step_rad=lambda x: x * (1 + d.e))),
    ("Q29 off", "crystal", _AXES, True, (crystal, "carried_phi"), _instead(lambda phi, first: phi)),
    ("spindle turned the other way", "crystal", _AXES, True, (vectors, "rotate_spindle"),
     lambda f, v, s, p: f(v, s, -p)),
    ("rotation by 1.01 phi", "crystal", _AXES, False, (vectors, "rotate_spindle"),
     lambda f, v, s, p: f(v, s, 1.01 * p)),
    ("-N{letter} {by:+.0f}", "lattice", ("F_latt_{letter}",), True,
     None, lambda d: _with("crystal", cells=lambda n: tuple(x + d.by * (i == d.axis) for i, x in enumerate(n)))),
    ("-N{letter} +{more}", "lattice", ("F_latt_{letter}",), False,
     None, lambda d: _with("crystal", cells=lambda n: tuple(x + d.more * (i == d.axis) for i, x in enumerate(n)))),
    ("sinc instead of the grating function", "lattice", _F_LATT, True, (lattice_factor, "grating"),
     _instead(lambda h, n: n * torch.sinc(n * h))),
    ("grating of 3.1416", "lattice", _F_LATT, False, (lattice_factor, "grating"),
     _instead(lambda h, n: torch.sin(3.1416 * h * n) / torch.sin(3.1416 * h))),
    ("F_latt without c", "lattice", ("F_latt",), False, (lattice_factor, "square_factor"),
     _instead(lambda a, b, c: a * b)),
    ("h and k exchanged", "lattice", ("F_cell",), False, (structure_factor, "nearest"),
     lambda f, g, h, k, m: f(g, k, h, m)),
    ("F of the next reflection along l", "structure factor", ("F_cell",), True,
     (structure_factor, "nearest"), lambda f, g, h, k, m: f(g, h, k, m + 1)),
    ("floor(h) for the nearest index", "lattice", ("hkl_rounded",), True,
     (lattice_factor, "nearest_index"), _instead(torch.floor)),
    ("F_cell not squared", "scaling", ("I_before_scaling",), False, (evaluate, "intensity_term"),
     _instead(lambda f, x: f * x * x)),
    ("F_latt to the third", "scaling", ("I_before_scaling",), False, (evaluate, "intensity_term"),
     _instead(lambda f, x: f * f * x * x * x.abs())),
    ("incident + diffracted", "beam", ("scattering_vec_A_inv",), True, (beam, "scattering_vector"),
     lambda f, d, i, w: f(d, -i, w)),
    ("q without wavelength", "beam", ("scattering_vec_A_inv",), True, (beam, "scattering_vector"),
     lambda f, d, i, w: f(d, i, torch.ones_like(w))),
    ("y and z of the matrix exchanged", "crystal", ("rot_a_star_A_inv",), False,
     (crystal, "reciprocal_from_matrix"), lambda f, m, w: f(m[[0, 2, 1]], w)),
    ("classical radius of 2003", "scaling", ("r_e_sqr",), False, (beam, "classical_radius_squared"),
     lambda f, like: f(like) * 1.0000066),
)  # fmt: skip


def fixed_mutants(rng: random.Random) -> list[Mutant]:
    """Return the mutants of the table, in its order, the random amounts drawn once for all of them."""
    draw = _Draw(10.0 ** rng.uniform(-9.0, -1.0), rng.randrange(3), rng.choice((-1.0, 1.0)))
    words = {"e": draw.e, "by": draw.by, "letter": draw.letter, "more": draw.more}
    return [
        Mutant(
            text.format(**words), area, tuple(name.format(**words) for name in expected), listed,
            function, change if function else None, None if function else change(draw),
        )
        for text, area, expected, listed, function, change in _TABLE
    ]  # fmt: skip
