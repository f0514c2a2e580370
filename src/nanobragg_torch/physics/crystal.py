"""The crystal's axes: cell or matrix, misset, spindle, mosaic domains (semantics 2.1, 2.2, 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.physics import mosaic
from nanobragg_torch.physics.vectors import (
    apply_matrix,
    cos_sin,
    cross,
    dot,
    norm,
    rescale,
    rotate_spindle,
    rotate_xyz,
    square_root,
    to_tensor,
    unit,
    vector,
)


@dataclass(frozen=True)
class CrystalAxes:
    """Axes before the spindle turns: a, b, c in metres; a_star ... in 1/Angstrom; volume in Angstrom^3.

    The reciprocal axes are never rotated afterwards (Q09).
    """

    a: Tensor
    b: Tensor
    c: Tensor
    a_star: Tensor
    b_star: Tensor
    c_star: Tensor
    volume: Tensor

    @property
    def cell(self) -> tuple[float, ...]:
        """a, b, c in Angstrom, alpha, beta, gamma in degrees; angles of left-handed axes are negative."""
        a, b, c, a_star, b_star, c_star = (
            v.detach() for v in (1e10 * self.a, 1e10 * self.b, 1e10 * self.c, self.a_star, self.b_star, self.c_star)
        )
        angles = (
            torch.atan2(norm(star) * self.volume.detach() / norm(u) / norm(v), dot(u, v) / norm(u) / norm(v))
            for star, u, v in ((a_star, b, c), (b_star, c, a), (c_star, a, b))
        )
        return tuple(float(x) for x in (norm(a), norm(b), norm(c), *map(torch.rad2deg, angles)))


@dataclass(frozen=True)
class Orientations:
    """Direct axes of every (phi, domain), domain varying fastest.

    usual, first: a, b, c of every phi step (steps, 3), metres, before the mosaic rotation; `first` is what
    the first evaluation of a run uses: there is nothing yet to carry over (Q29). domains: (domains, 3, 3),
    None without a mosaic spread. Products of both are made for a block at a time.
    """

    usual: tuple[Tensor, Tensor, Tensor]
    first: tuple[Tensor, Tensor, Tensor]
    domains: Tensor | None

    @property
    def per_step(self) -> int:
        """Domains of each phi step."""
        return 1 if self.domains is None else self.domains.shape[0]

    @property
    def count(self) -> int:
        return self.usual[0].shape[0] * self.per_step

    def block(self, begin: int, end: int, *, first: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """a, b, c (end - begin, 3) of the orientations begin .. end-1."""
        vectors = self.first if first else self.usual
        if self.domains is None:
            a, b, c = (v[begin:end] for v in vectors)
            return a, b, c
        index = torch.arange(begin, end, device=self.domains.device)
        step, domain = torch.div(index, self.per_step, rounding_mode="floor"), index % self.per_step
        a, b, c = (apply_matrix(self.domains[domain], v[step]) for v in vectors)
        return a, b, c


def reciprocal_from_matrix(matrix: Tensor, wavelength_m: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """a*, b*, c* (3,) in 1/A from a MOSFLM matrix (3, 3): its columns times 1e-10 / wavelength."""
    # torch divides a number by a tensor in two roundings: its reciprocal, then the product
    scaled = torch.full_like(wavelength_m, 1e-10) / wavelength_m * matrix
    a_star, b_star, c_star = scaled.unbind(-1)
    return a_star, b_star, c_star


def cell_volume(lengths: Tensor, angles: Tensor) -> Tensor:
    """Volume of a cell in A^3: lengths (3,) in A, angles (3,) in radians (semantics 2.2)."""
    a, b, c = lengths.unbind(-1)
    alpha, beta, gamma = angles.unbind(-1)
    s = (alpha + beta + gamma) / 2
    _, sines = cos_sin(torch.stack((s, s - alpha, s - beta, s - gamma)))
    k = torch.abs(sines[0] * sines[1] * sines[2] * sines[3])
    smallest = torch.finfo(lengths.dtype).tiny
    return torch.clamp(2.0 * a * b * c * square_root(torch.clamp(k, min=smallest)), min=smallest)


def reciprocal_from_cell(
    lengths: Tensor, angles: Tensor, volume: Tensor, *, exact: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """a*, b*, c* (3,) in 1/A, a* along +x and b* in the xy plane (semantics 2.2).

    The z of c* is divided by sin(gamma*) where the `exact` relation has sin(gamma): as in the reference, a
    cell without two right angles keeps its lengths but comes out with slightly other angles (Q58).
    """
    a, b, c = lengths.unbind(-1)
    per_volume = 1 / volume
    (cos_al, cos_be, cos_ga), (sin_al, sin_be, sin_ga) = (x.unbind(-1) for x in cos_sin(angles))
    a_len = b * c * sin_al * per_volume
    b_len = c * a * sin_be * per_volume
    c_len = a * b * sin_ga * per_volume
    sin_ga_star = torch.clamp(c * per_volume / a_len / b_len, -1.0, 1.0)
    cos_al_star = _cosine((cos_be * cos_ga - cos_al) / (sin_be * sin_ga))
    cos_be_star = _cosine((cos_ga * cos_al - cos_be) / (sin_ga * sin_al))
    cos_ga_star = _cosine((cos_al * cos_be - cos_ga) / (sin_al * sin_be))
    zero = torch.zeros_like(a)
    return (
        vector(a_len, zero, zero),
        vector(b_len * cos_ga_star, b_len * sin_ga_star, zero),
        vector(
            c_len * cos_be_star,
            c_len * (cos_al_star - cos_be_star * cos_ga_star) / sin_ga_star,
            c_len * volume / (a * b * c * (sin_ga if exact else sin_ga_star)),
        ),
    )


def _cosine(value: Tensor) -> Tensor:
    """A cosine whose square exceeds 1 becomes +1: the reference loses its sign."""
    return torch.where(value * value > 1.0, torch.ones_like(value), value)


def misset_angles(u: Tensor) -> Tensor:
    """Rotations (3,) about x, y, z of the random orientation matrix `u` (3, 3) (semantics 3.1 C2)."""
    rows = unit(unit(u))
    (uxx, uxy, _), (uyx, uyy, _), (uzx, uzy, uzz) = (row.unbind(-1) for row in rows.unbind(0))
    quarter = torch.atan2(torch.ones_like(uxx), torch.zeros_like(uxx))
    regular = torch.stack(
        (torch.atan2(uzy, uzz), torch.atan2(-uzx, square_root(uzy * uzy + uzz * uzz)), torch.atan2(uyx, uxx))
    )
    singular = torch.stack((2 * quarter, quarter, torch.atan2(uxy, -uyy)))
    return torch.where(uzx * uzx < 1.0, regular, singular)


def finish_axes(
    a_star: Tensor, b_star: Tensor, c_star: Tensor, lengths: Tensor | None, volume: Tensor | None
) -> CrystalAxes:
    """Direct axes and regenerated reciprocal axes (semantics 3.1 C4-C9).

    lengths (3,) in A and volume in A^3 come from -cell and rescale the axes; None without -cell.
    """
    ab, bc, ca = cross(a_star, b_star), cross(b_star, c_star), cross(c_star, a_star)
    v_star = dot(a_star, bc)
    if lengths is not None and volume is not None:
        a_len, b_len, c_len = lengths.unbind(-1)
        bc = rescale(bc, a_len / volume)
        ca = rescale(ca, b_len / volume)
        ab = rescale(ab, c_len / volume)
        v_star = 1.0 / volume
    v_cell = 1.0 / v_star
    a, b, c = v_cell * bc, v_cell * ca, v_cell * ab
    return CrystalAxes(
        a=a * 1e-10,
        b=b * 1e-10,
        c=c * 1e-10,
        a_star=v_star * cross(b, c),
        b_star=v_star * cross(c, a),
        c_star=v_star * cross(a, b),
        volume=v_cell,
    )


def reciprocal_of(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """a*, b*, c* in 1/A of direct axes (..., 3) in metres."""
    v_star = 1e10 * dot(a, cross(b, c)).unsqueeze(-1)
    return cross(b, c) / v_star, cross(c, a) / v_star, cross(a, b) / v_star


def build_axes(config: Config, like: Tensor) -> CrystalAxes:
    """The crystal of `config` before the spindle turns, on the device and in the dtype of `like`."""
    crystal = config.crystal
    lengths = volume = None
    if crystal.cell is not None:
        cell = crystal.cell
        lengths = to_tensor((cell.a_angstrom, cell.b_angstrom, cell.c_angstrom), like)
        angles = to_tensor((cell.alpha_rad, cell.beta_rad, cell.gamma_rad), like)
        volume = cell_volume(lengths, angles)
        exact = not config.quirks.on("Q58")
        a_star, b_star, c_star = reciprocal_from_cell(lengths, angles, volume, exact=exact)
    if crystal.matrix is not None:
        wavelength = to_tensor(config.beam.wavelength_m, like)
        matrix = to_tensor(crystal.matrix, like).reshape(3, 3)
        a_star, b_star, c_star = reciprocal_from_matrix(matrix, wavelength)
    misset = None
    if crystal.misset_seed is not None:
        draws = mosaic.draws(crystal).misset
        if config.quirks.on("Q19"):  # a "mosaic spread" of 90, which is taken as radians
            matrix = mosaic.rotation(to_tensor(90.0, like), draws)[0]
        else:
            matrix = mosaic.uniform_rotation(to_tensor(draws, like))[0]
        misset = misset_angles(matrix)
    elif crystal.misset_rad is not None:
        misset = to_tensor(crystal.misset_rad, like)
    if misset is not None:
        rx, ry, rz = misset.unbind(-1)
        a_star, b_star, c_star = (rotate_xyz(star, rx, ry, rz) for star in (a_star, b_star, c_star))
    return finish_axes(a_star, b_star, c_star, lengths, volume)


def phi_angles(start: Tensor, step: Tensor, steps: int) -> Tensor:
    """start + step * t, t = 0 .. steps-1: left edges of the steps. (steps,), radians."""
    return start + step * torch.arange(steps, device=start.device, dtype=start.dtype)


def carried_phi(phi: Tensor, first: bool) -> Tensor:
    """The angle that is in force at each step when a phi of exactly 0 does not rotate (Q29, ~L3042).

    Such a step keeps the latest non-zero phi: of this sweep, else (cyclically) of the previous evaluation,
    unless this evaluation is the `first` of the run. 0 stands for "not rotated". phi and result (steps,).
    """
    index = torch.arange(phi.shape[0], device=phi.device)
    latest = torch.cummax(torch.where(phi != 0, index, -1), 0).values
    if not first:
        latest = torch.where(latest < 0, latest[-1], latest)
    return torch.where(latest < 0, torch.zeros_like(phi), phi[latest.clamp(min=0)])


def build_orientations(config: Config, axes: CrystalAxes, spindle: Tensor) -> Orientations:
    """Direct axes of every phi step and mosaic domain: phi first, mosaic after (semantics 3.5, 3.6)."""
    scan = config.scan
    phi = phi_angles(to_tensor(scan.phi_start_rad, axes.a), to_tensor(scan.phi_step_rad, axes.a), scan.phi_steps)
    domains = mosaic_domains(config, axes.a)
    in_force, at_first = phi, phi
    if config.quirks.on("Q29"):
        in_force, at_first = carried_phi(phi, first=False), carried_phi(phi, first=True)

    a, b, c = (rotate_spindle(v, spindle, in_force) for v in (axes.a, axes.b, axes.c))
    first_a, first_b, first_c = (rotate_spindle(v, spindle, at_first) for v in (axes.a, axes.b, axes.c))
    return Orientations((a, b, c), (first_a, first_b, first_c), domains)


def mosaic_domains(config: Config, like: Tensor) -> Tensor | None:
    """Rotation matrices (domains, 3, 3), the first one the identity; None without a mosaic spread."""
    crystal = config.crystal
    spread = to_tensor(crystal.mosaic_spread_rad, like)
    if not bool(spread > 0):
        return None
    matrices = mosaic.rotation(spread, mosaic.draws(crystal).domains)
    return torch.cat((torch.eye(3, device=like.device, dtype=like.dtype).unsqueeze(0), matrices[1:]))


def cell_counts(config: Config, axes: CrystalAxes) -> Tensor:
    """Na, Nb, Nc (3,), at least 1; from the crystal's size where one is given (semantics 3.2)."""
    counts = to_tensor(config.crystal.cells, axes.a)
    size = to_tensor(config.crystal.size_m, axes.a)
    lengths = torch.stack((norm(axes.a), norm(axes.b), norm(axes.c)))
    return torch.clamp(torch.where(size > 0, torch.ceil(size / lengths), counts), min=1.0)


def recommended_oversample(
    axes: CrystalAxes, counts: Tensor, wavelength: Tensor, distance: Tensor, pixel: Tensor
) -> int:
    """Sub-pixels per edge that resolve the spots: three per reciprocal width of the crystal (semantics 3.2).

    1 where they are no int of 32 bits, as at a distance of nearly 0: the conversion gives the least int, which
    counts as below 1.
    """
    lengths = torch.stack((norm(axes.a), norm(axes.b), norm(axes.c)))
    largest = (lengths * counts).max()
    recip_pixel = wavelength * distance / pixel
    wanted = float(torch.ceil(3.0 * largest / recip_pixel).detach())
    return max(int(wanted), 1) if wanted < 2**31 else 1
