"""The crystal: cell or matrix, misset, size, and its orientations through spindle and mosaic (semantics 2, 3)."""

import math

from nanobragg_torch.config import Cell, Config
from tools.scaling.oracle.arithmetic import ceiling, integer, quotient
from tools.scaling.oracle.deviates import Random, rotation, uniform_rotation
from tools.scaling.oracle.geometry import TINY, Mount
from tools.scaling.oracle.vectors import V, cross, dot, length, over, rot, rot_xyz, rows, scale, unit, vector

Turned = tuple[float, float, float, float, float, float, float, float, float]  # a, b, c, component by component


class Sample:
    """The crystal of a Config.

    direct: a, b, c in metres before the spindle turns; stars: a*, b*, c* in 1/A. cells: Na, Nb, Nc. usual, initial: the
    axes of every phi step and domain, domain fastest, as an evaluation finds them that another has gone before, and as
    the first one of the run does (3.5).
    """

    def __init__(self, config: Config, mount: Mount) -> None:
        self.config, self.quirks = config, config.quirks
        self._draw()
        self._axes()
        self._size(mount)
        self.initial = self._orientations(mount.spindle, None)
        latest = next((phi for phi in reversed(self.phi) if phi != 0.0), 0.0)
        self.usual = self.initial
        if latest != 0.0 and 0.0 in self.phi and self.quirks.on("Q29"):
            self.usual = self._orientations(mount.spindle, latest)

    def _draw(self) -> None:
        """All random numbers that a run takes before its noise, which goes on with what is left of `random`.

        seed: the state that a random misset leaves."""
        crystal = self.config.crystal
        self.random, self.seed = Random(), 0
        if crystal.misset_seed is not None:
            self.misset, self.seed = self.random.three(crystal.misset_seed)
        self.domains: list[tuple[V, V, V]] = []
        spread, state = float(crystal.mosaic_spread_rad), crystal.mosaic_seed
        for domain in range(crystal.mosaic_domains):
            drawn, state = self.random.three(state)
            identity = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
            self.domains.append(rotation(spread, drawn) if domain else identity)
        self.mosaic = spread > 0

    def _axes(self) -> None:
        crystal = self.config.crystal
        a = b = c = volume = 0.0
        if crystal.cell is not None:
            volume, stars = _of_cell(crystal.cell, exact=not self.quirks.on("Q58"))
            a, b, c = vector((crystal.cell.a_angstrom, crystal.cell.b_angstrom, crystal.cell.c_angstrom))
        if crystal.matrix is not None:
            m, per = [float(x) for x in crystal.matrix], quotient(1e-10, float(self.config.beam.wavelength_m))
            stars = [(per * m[i], per * m[3 + i], per * m[6 + i]) for i in range(3)]
        if (angles := self._misset()) is not None:
            stars = [rot_xyz(star, angles) for star in stars]
        p, q, r = cross(stars[0], stars[1]), cross(stars[1], stars[2]), cross(stars[2], stars[0])
        vstar = dot(stars[0], q)
        if crystal.cell is not None:
            q, r, p = (scale(quotient(x / volume, length(v)), v) for x, v in ((a, q), (b, r), (c, p)))
            vstar = 1.0 / volume
        self.volume = quotient(1.0, vstar)
        direct = [scale(self.volume, v) for v in (q, r, p)]
        self.stars = [scale(vstar, cross(direct[i - 2], direct[i - 1])) for i in range(3)]
        self.direct = [scale(1e-10, v) for v in direct]
        self.lengths = vector(length(v) for v in self.direct)

    def _misset(self) -> V | None:
        crystal = self.config.crystal
        if crystal.misset_seed is None:
            return None if crystal.misset_rad is None else vector(crystal.misset_rad)
        u = rotation(90.0, self.misset) if self.quirks.on("Q19") else uniform_rotation(self.misset)
        x, y, z = (unit(unit(row)) for row in u)
        if z[0] * z[0] < 1.0:
            ry = math.atan2(-z[0], math.sqrt(z[1] * z[1] + z[2] * z[2]))
            return math.atan2(z[1], z[2]), ry, math.atan2(y[0], x[0])
        return 4.0 * math.atan2(1.0, 1.0), 2.0 * math.atan2(1.0, 1.0), math.atan2(x[1], -y[1])

    def _size(self, mount: Mount) -> None:
        """Numbers of cells, and sub-pixels per edge (3.2)."""
        crystal, asked = self.config.crystal, self.config.sampling.oversample
        counts = [float(n) for n in crystal.cells]
        for i, size in enumerate(crystal.size_m):
            if size > 0:
                counts[i] = ceiling(quotient(size, self.lengths[i]))
        na, nb, nc = (1.0 if n <= 1.0 else n for n in counts)
        self.cells: V = (na, nb, nc)
        distance = mount.distance if self.quirks.on("Q08") else abs(mount.distance)
        recip = float(self.config.beam.wavelength_m) * distance / mount.pixel
        largest = max(size * n for size, n in zip(self.lengths, self.cells))
        self.recommended = max(integer(ceiling(quotient(3.0 * largest, recip))), 1)
        self.oversample = asked if asked > 0 else self.recommended

    @property
    def turned_by(self) -> float:
        """All angles that the crystal is turned by, at the most, in radians."""
        crystal = self.config.crystal
        misset = 90.0 if crystal.misset_seed is not None else sum(map(abs, self._misset() or ()))
        return misset + max(map(abs, self.phi)) + abs(float(crystal.mosaic_spread_rad))

    @property
    def nearly_zero(self) -> bool:
        start = abs(float(self.config.scan.phi_start_rad))
        return self.quirks.on("Q29") and any(abs(phi) < 1e-6 * start for phi in self.phi)

    def _orientations(self, spindle: V, carried: float | None) -> list[Turned]:
        """Every phi step in every domain; `carried`: the phi that the evaluation before has left, None for none."""
        scan = self.config.scan
        start, step = float(scan.phi_start_rad), float(scan.phi_step_rad)
        self.phi = [start + step * t for t in range(scan.phi_steps)]
        found: list[Turned] = []
        axes = self.direct if carried is None else [rot(v, spindle, carried) for v in self.direct]
        for phi in self.phi:
            if phi != 0.0:
                axes = [rot(v, spindle, phi) for v in self.direct]
            elif not self.quirks.on("Q29"):
                axes = self.direct
            for domain in self.domains:
                a, b, c = [rows(domain, v) for v in axes] if self.mosaic else axes
                found.append((*a, *b, *c))
        return found

    def reciprocal(self, turned: Turned) -> list[V]:
        """a*, b*, c* in 1/A of the axes of one orientation."""
        a, b, c = turned[:3], turned[3:6], turned[6:]
        volume = 1e10 * dot(a, cross(b, c))
        return [over(v, volume) for v in (cross(b, c), cross(c, a), cross(a, b))]


def _cosine(x: float) -> float:
    return 1.0 if x * x > 1.0 else x


def _of_cell(cell: Cell, *, exact: bool) -> tuple[float, list[V]]:
    """Volume in A^3, and a*, b*, c* in the default orientation (2.2); exact: the angles are right (Q58 off)."""
    a, b, c = vector((cell.a_angstrom, cell.b_angstrom, cell.c_angstrom))
    al, be, ga = vector((cell.alpha_rad, cell.beta_rad, cell.gamma_rad))
    s = (al + be + ga) / 2
    volume = 2.0 * a * b * c * math.sqrt(abs(math.sin(s) * math.sin(s - al) * math.sin(s - be) * math.sin(s - ga)))
    volume = volume if volume > 0.0 else TINY
    per = quotient(1.0, volume)
    al_s, bl_s, cl_s = b * c * math.sin(al) * per, c * a * math.sin(be) * per, a * b * math.sin(ga) * per
    sine = max(-1.0, min(1.0, quotient(quotient(c * per, al_s), bl_s)))
    cos_a = _cosine(quotient(math.cos(be) * math.cos(ga) - math.cos(al), math.sin(be) * math.sin(ga)))
    cos_b = _cosine(quotient(math.cos(ga) * math.cos(al) - math.cos(be), math.sin(ga) * math.sin(al)))
    cos_c = _cosine(quotient(math.cos(al) * math.cos(be) - math.cos(ga), math.sin(al) * math.sin(be)))
    upright = quotient(cl_s * volume, a * b * c * (math.sin(ga) if exact else sine))
    return volume, [
        (al_s, 0.0, 0.0),
        (bl_s * cos_c, bl_s * sine, 0.0),
        (cl_s * cos_b, quotient(cl_s * (cos_a - cos_b * cos_c), sine), upright),
    ]
