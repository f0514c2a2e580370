"""The settings of a run as far as its trace shows them, for when no case is given.

What a trace cannot tell (other sources and domains, the reflection list, the sensor) is taken at its
simplest; where that does not reproduce the reference's own trace, the quantity is not judged.
"""

import math

import torch
from torch import Tensor

from nanobragg_torch import config
from nanobragg_torch.config import Config
from nanobragg_torch.physics import corrections, crystal
from nanobragg_torch.quirks import Quirks
from nanobragg_torch.units import RTD
from tools.scaling.base.errors import BadInput
from tools.scaling.traces.conditioning import fitted_cells
from tools.scaling.traces.read import Trace

# Relative error of an axis that was read off a rotation by a radian: rounding of the rotated cell axes.
_AXIS_ERROR = 1e-13

_ROOTS = (
    "-detector_rotx", "-detector_roty", "-detector_rotz", "-twotheta", "-pixel", "-fluence", "-fdet_vector",
    "-sdet_vector", "-odet_vector", "-beam_vector", "-twotheta_axis", "-Xbeam", "-Ybeam", "-Xclose", "-Yclose",
    "-distance", "-lambda", "-mat", "-phi", "-osc", "-hkl",
)  # fmt: skip


def inferred_config(trace: Trace) -> tuple[Config, list[str], dict[str, float]]:
    """(settings, notes, relative errors of the roots that were read off the trace).

    Raises BadInput for a trace that lacks what an explanation without a case needs.
    """
    reader = _ReferenceReader(trace)
    sample = bool(trace.numbers("pix0_before_rotation"))
    angles = tuple(reader.one(f"angles_rad.{name}") for name in ("rotx", "roty", "rotz", "twotheta"))
    fdet, sdet, odet = reader.initial(sample, angles[:3])
    layers, oversample, notes = reader.sampling()
    wavelength = reader.one("lambda_meters")
    axes, spindle, spindle_error = reader.crystal(wavelength)
    phi = reader.phi()
    slow, fast = trace.pixel or (0, 0)
    near = [1000.0 * reader.one(f"beam_center_m.{x}close") if sample else None for x in "XY"]
    na, nb, nc = (float(n or 1) for n in fitted_cells(trace))
    detector = config.Detector(
        convention="CUSTOM",
        pivot="SAMPLE" if sample else "BEAM",
        pixels_fast=fast + 2,
        pixels_slow=slow + 2,
        pixel_m=reader.one("beam_center_m.pixel_mm") / 1000.0,
        distance_m=reader.one("distance_m"),
        x_beam_m=reader.one("Fclose_m" if sample else "Fbeam_m"),
        y_beam_m=reader.one("Sclose_m" if sample else "Sbeam_m"),
        beam_vector=reader.three("incident_vec"),
        fdet_vector=fdet,
        sdet_vector=sdet,
        odet_vector=odet,
        spindle_axis=spindle,
        twotheta_axis=reader.three("twotheta_axis"),
        rotx_rad=angles[0],
        roty_rad=angles[1],
        rotz_rad=angles[2],
        twotheta_rad=angles[3],
        sensor=config.Sensor(layers=layers),
        x_close_m=near[0],
        y_close_m=near[1],
    )
    polarized, kahn = reader.polarization()
    switches = [bool(reader.one(f"oversample_{name}")) for name in ("thick", "polar", "omega")]
    settings = Config(
        crystal=config.Crystal(matrix=axes, cells=(na, nb, nc)),
        detector=detector,
        beam=config.Beam(wavelength, reader.one("fluence_photons_per_m2"), kahn=kahn, polarized=polarized),
        scan=phi,
        structure=config.StructureFactors(default_F=reader.first("F_cell", 0.0)),
        sampling=config.Sampling(oversample, *switches),
        quirks=Quirks(),
    )
    read_off = dict.fromkeys(_ROOTS, 0.0) | {"-spindle_axis": spindle_error}
    notes = [
        "no case given: N is fitted to the lattice factors, the spindle axis to the rotated cell, F is that of the "
        "one traced reflection; fluence and steps are as traced. Other reflections, sources, mosaic domains, water "
        "and dmin cannot be recomputed",
        *notes,
    ]
    return settings, notes, read_off


class _ReferenceReader:
    """Numbers of one trace, by name."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def all(self, name: str) -> tuple[float, ...]:
        records = self.trace.numbers(name)
        if not records or not all(math.isfinite(x) for x in records[0].values):
            raise BadInput(f"{self.trace.source}: expected {name}, or the case (--case), got neither")
        return records[0].values

    def one(self, name: str) -> float:
        return self.all(name)[0]

    def three(self, name: str) -> tuple[float, float, float]:
        x, y, z = self.all(name)[:3]
        return x, y, z

    def first(self, name: str, default: float) -> float:
        records = self.trace.numbers(name)
        return records[0].values[0] if records else default

    def tensor(self, name: str) -> Tensor:
        return torch.tensor(self.all(name), dtype=torch.float64)

    def initial(self, sample: bool, tilts: tuple[float, ...]) -> tuple[tuple[float, float, float], ...]:
        """fdet, sdet, odet before any rotation; in BEAM pivot the tilts are undone."""
        axes = ("fdet", "sdet", "odet")
        if sample:
            return tuple(self.three(f"initial_{axis}") for axis in axes)
        turned = [self.tensor(f"{axis}_after_rotz") for axis in axes]
        if any(tilts):
            total = self.tensor("R_total").reshape(3, 3)
            turned = [v @ total for v in turned]
        return tuple((float(v[0]), float(v[1]), float(v[2])) for v in turned)

    def sampling(self) -> tuple[int, int, list[str]]:
        """(sensor layers, sub-pixels per edge, notes)."""
        subpixels = max(len(self.trace.numbers("scattering_vec_A_inv")), 1)
        steps, phis = int(self.one("steps")), self._phi_steps()
        edge = math.isqrt(subpixels)
        for each in range(edge, 0, -1):
            if subpixels % (each * each) == 0 and steps % (each * each * phis) == 0:
                terms = steps // (each * each * phis)
                notes = [f"{terms} sources and mosaic domains: only the first of them is traced"] if terms > 1 else []
                return subpixels // (each * each), each, notes
        return subpixels, 1, []

    def _phi_steps(self) -> int:
        return max((row.phi_tic for row in self.trace.phi_rows), default=0) + 1

    def phi(self) -> config.Scan:
        degrees = {row.phi_tic: row.values["phi_deg"] for row in self.trace.phi_rows if "phi_deg" in row.values}
        count, start = self._phi_steps(), degrees.get(0, 0.0)
        last = degrees.get(count - 1, start)
        step = (last - start) / (count - 1) if count > 1 else 0.0
        return config.Scan(start / RTD, step / RTD, count)

    def crystal(self, wavelength: float) -> tuple[tuple[float, ...], tuple[float, float, float], float]:
        """(matrix, spindle axis, its relative error): how the traced axes are turned from the unturned ones."""
        stars = torch.stack([self.tensor(f"rot_{name}_star_A_inv") for name in "abc"])
        matrix = tuple((stars.T * (wavelength * 1e10)).flatten().tolist())
        idle = (0.0, 0.0, 1.0)
        scan = self.phi()
        angles = scan.phi_start_rad + scan.phi_step_rad * torch.arange(scan.phi_steps, dtype=torch.float64)
        angle = float(crystal.carried_phi(angles, first=False)[0])
        if angle == 0.0 or not self.trace.numbers("rot_a_angstroms"):
            return matrix, idle, 0.0
        made = crystal.finish_axes(stars[0], stars[1], stars[2], None, None)
        rows = torch.stack((made.a, made.b, made.c)) * 1e10
        turned = torch.stack([self.tensor(f"rot_{name}_angstroms") for name in "abc"])
        r = torch.linalg.solve(rows, turned).T
        axis = torch.stack((r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1])) / (2.0 * math.sin(angle))
        if not 0.5 < float(axis.norm()) < 2.0:
            return matrix, idle, 0.0
        x, y, z = (axis / axis.norm()).tolist()
        return matrix, (x, y, z), _AXIS_ERROR / abs(math.sin(angle))

    def polarization(self) -> tuple[bool, float]:
        """(polarized, Kahn factor): a factor of 1 is -nopolar; any but 0 would need the polarization axis."""
        traced = self.one("polar")
        plain = float(corrections.unpolarized(self.tensor("incident_vec"), self.tensor("diffracted_vec")))
        return traced != 1.0 or plain == 1.0, 0.0
