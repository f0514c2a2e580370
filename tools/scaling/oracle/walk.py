# ruff: noqa: E741 -- l is a Miller index
"""The reference's loops over one pixel: layers, sub-pixels, sources, phi steps, domains (semantics 4.6 to 6.9)."""

from math import ceil, inf, isfinite
from typing import NamedTuple

from nanobragg_torch.config import Config
from tools.scaling.oracle.arithmetic import exponential, nearest, quotient
from tools.scaling.oracle.beam import R_E_SQR, background, polarization, sources_of, water_term
from tools.scaling.oracle.crystal import Sample, Turned
from tools.scaling.oracle.geometry import Mount
from tools.scaling.oracle.lattice import SINGLE, Spot, Whole
from tools.scaling.oracle.structure import Listed
from tools.scaling.oracle.uncovered import Uncovered
from tools.scaling.oracle.vectors import V, cross, dot, length, over, unit

_INT = 2147483648
_LARGEST, _SMALLEST = 1e36, 1e-36  # of what float32 holds, with room for what is computed on the way

FINAL, RUNNING, TERM = "final", "running", "term"  # what a factor multiplies: the pixel, the sum so far, or each term


class Factor(NamedTuple):
    """A factor of the intensity, and how far rounding can move it."""

    value: float
    reach: float


class Setup:
    """All that no pixel changes.

    capture, polar, omega: what each of the three factors multiplies (6.7, 6.9; Q15, Q27, Q30). start: what a pixel's
    sum starts with; extra: what each term has besides of the water, for I_bg its part of it (Q26, Q66).
    """

    def __init__(self, config: Config) -> None:
        self.config, self.quirks = config, config.quirks
        self.mount = Mount(config)
        self.sample = Sample(config, self.mount)
        self.sources = sources_of(config, self.mount)
        self.listed = Listed(config)
        beam, sensor, self.over = config.beam, config.detector.sensor, self.sample.oversample
        self.pixel, self.sub = self.mount.pixel, self.mount.pixel / self.over
        self.layers, thickness = sensor.layers, float(sensor.thickness_m)
        self.present = self.layers > 1 or thickness != 0.0
        self.layer_step = thickness / (sensor.layers if sensor.parts is None else sensor.parts)
        self.mu, self.kahn = float(sensor.mu_per_m), float(beam.kahn)
        self.fluence, self.water, self.dmin = float(beam.fluence_per_m2), float(config.water_m), float(config.dmin_m)
        self.dry = self.water == 0.0
        self.n_steps = len(self.sources) * len(self.sample.domains) * config.scan.phi_steps * self.over * self.over
        if self.quirks.on("Q44"):  # a 32-bit int, which wraps
            self.n_steps = (self.n_steps + _INT) % (2 * _INT) - _INT
        self.steps = float(self.n_steps)
        if not self.quirks.on("Q13"):
            self.steps *= sum(weight for _, _, weight in self.sources) / len(self.sources)
        self.weighted = any(weight != 1.0 for _, _, weight in self.sources)
        interpolate = config.structure.interpolate
        if interpolate is None:
            interpolate = any(n <= 2.0 for n in self.sample.cells)
        self.tricubic = bool(interpolate) and self.listed.within is not None
        self._applied()
        self._background()

    @property
    def terms(self) -> int:
        """Terms of a pixel."""
        return self.layers * self.over * self.over * len(self.sources) * len(self.sample.usual)

    def _applied(self) -> None:
        on, sampling = self.quirks.on, self.config.sampling
        self.thick = sampling.thick and (self.present or on("Q28"))
        self.repolar = sampling.polar and (self.config.beam.polarized or on("Q23"))
        asked = RUNNING if on("Q27") else TERM
        each = not on("Q30")
        self.capture = asked if self.thick else TERM if self.present and not on("Q15") else FINAL
        self.polar = asked if self.repolar else TERM if each and self.config.beam.polarized else FINAL
        self.omega = asked if sampling.omega else TERM if each else FINAL
        self.applied = (self.capture, self.polar, self.omega)
        self.running = RUNNING in self.applied

    def _background(self) -> None:
        self.start = self.extra = 0.0
        if self.dry:
            return
        if not self.quirks.on("Q26"):
            self.extra = water_term(self.config)
            return
        self.start = background(self.config)
        asked = self.thick or self.repolar or self.config.sampling.omega
        if TERM not in self.applied or (asked and self.quirks.on("Q66") and not self.quirks.on("Q27")):
            return
        self.extra = quotient(quotient(self.start, self.steps), 1.0 if self.capture == TERM else float(self.layers))
        self.start = 0.0


class Walk:
    """The state of the loops. carried: whether an evaluation of the run has gone before, which a phi of 0 inherits
    (Q29); tricubic: whether interpolation is still on (Q25). doubt: whether rounding with the unit `eps` decides a
    choice that the pixel cannot be bounded across.
    """

    def __init__(self, setup: Setup, carried: bool, eps: float) -> None:
        self.setup, self.carried, self.eps = setup, carried, eps
        self.spot = Spot(setup.config, setup.sample, eps)
        self.tricubic, self.doubt = setup.tricubic, False
        self.every_term_alone = not setup.quirks.on("Q25")
        # angles are the same float64 for everybody; as float32 they are rounded
        self.turn = 4.0 * eps * setup.sample.turned_by if eps > SINGLE else 0.0

    def pixel(self, slow: int, fast: int) -> tuple[float, float]:
        """I_pixel_final, and how far rounding can move it."""
        setup = self.setup
        self.intensity, self.spread = setup.start, 0.0
        self.polar = Factor(0.0 if setup.config.beam.polarized else 1.0, 0.0)
        self.omega = Factor(0.0, 0.0)
        for layer in range(setup.layers):
            self.capture = Factor(0.0 if setup.present else 1.0, 0.0)
            for sub_slow in range(setup.over):
                for sub_fast in range(setup.over):
                    self.ray(layer, slow * setup.over + sub_slow, fast * setup.over + sub_fast)
                    for index in range(len(setup.sources)):
                        self.source(index)
        return self.final()

    def aim(self, layer: int, slow: int, fast: int) -> None:
        """One sub-pixel, counted along the axes of the whole detector: position, distance, direction."""
        setup, mount = self.setup, self.setup.mount
        fdet, sdet = setup.sub * fast + setup.sub / 2.0, setup.sub * slow + setup.sub / 2.0
        odet = layer * setup.layer_step
        self.position = mount.position(fdet, sdet, odet)
        self.r, self.diffracted = mount.direction(self.position)
        if self.r == inf:
            raise Uncovered("a pixel at infinity")
        far = quotient(abs(fdet) + abs(sdet) + abs(odet) + length(mount.pix0), self.r)
        self.blur = 4.0 * self.eps * (far + 1.0)  # of a component of the direction

    def ray(self, layer: int, slow: int, fast: int) -> None:
        """Solid angle and capture of the sub-pixel that is aimed at."""
        setup, mount = self.setup, self.setup.mount
        self.aim(layer, slow, fast)
        if self.omega.value == 0.0 or setup.omega != FINAL:
            omega = mount.solid_angle(self.r)
            tilt = 4.0 * self.eps * quotient(length(mount.pix0), abs(mount.close))
            self.omega = Factor(omega, abs(omega) * (3.0 * self.blur + tilt))
        if self.capture.value == 0.0 or setup.capture != FINAL:
            self.capture = self._absorbed(layer)

    def _absorbed(self, layer: int) -> Factor:
        setup = self.setup
        g = dot(self.diffracted, setup.mount.odet)
        above = quotient(-layer * setup.layer_step * setup.mu, g)
        below = quotient(-(layer + 1) * setup.layer_step * setup.mu, g)
        kept, left = exponential(above), exponential(below)
        tilt = 8.0 * self.eps + quotient(self.blur, abs(g))
        reach = tilt * (abs(above) * kept + abs(below) * left) + 2.0 * self.eps * (kept + left)
        return Factor(kept - left, reach if above != below else 0.0)

    def scatter(self, index: int) -> bool:
        """The scattering vector of a source; whether its resolution is within -dmin."""
        setup, d = self.setup, self.diffracted
        self.incident, wavelength, self.weight = setup.sources[index]
        i = self.incident
        self.q = over((d[0] - i[0], d[1] - i[1], d[2] - i[2]), wavelength)
        move = quotient(self.blur + 4.0 * self.eps, abs(wavelength))
        a, b, c = setup.sample.lengths
        move += self.turn * length(self.q)
        self.moves: V = (move * a, move * b, move * c)
        if not setup.dmin > 0.0:
            return True
        stol = 0.5 * length(self.q)
        self.doubt = self.doubt or abs(setup.dmin * stol - 0.5) <= setup.dmin * move
        return not (stol > 0.0 and setup.dmin > 0.5 / stol)

    def turned(self) -> list[Turned]:
        """The crystal's axes in all orientations, as this evaluation finds them (3.5)."""
        axes = self.setup.sample.usual if self.carried else self.setup.sample.initial
        self.carried = True
        return axes

    def source(self, index: int) -> None:
        """One source: scattering vector, resolution, polarization, and its terms."""
        near = self.scatter(index)
        self.scattered(index)
        if not near:
            return
        if self.polar.value == 0.0 or self.setup.polar != FINAL:
            self.incident, self.diffracted = unit(self.incident), unit(self.diffracted)
            self.polar = self._polarized()
            # an exact 0 is no factor yet: the next source makes another one (5.3)
            self.doubt = self.doubt or (self.polar.value == 0.0 and self.setup.polar == FINAL)
        self.axes = self.turned()
        self._weigh()
        self.orientations(index)

    def scattered(self, index: int) -> None:
        """The scattering vector q of a source is known; nothing has been done with it."""

    def _polarized(self) -> Factor:
        setup = self.setup
        axis = unit(setup.mount.polar)
        value = polarization(self.incident, self.diffracted, axis, setup.kahn)
        reach = 4.0 * self.eps + 2.0 * self.blur
        if setup.kahn != 0.0:
            across = length(cross(axis, self.incident))
            reach *= (1.0 + abs(setup.kahn)) * (1.0 + quotient(1.0, across))
        return Factor(value, reach)

    def _weigh(self) -> None:
        """What multiplies each term of this evaluation, and what the sum after it."""
        setup, factors = self.setup, (self.capture, self.polar, self.omega)
        self.on_term = [Factor(self.weight, 0.0)] if setup.weighted else []
        self.on_term += [f for f, of in zip(factors, setup.applied) if of == TERM]
        self.on_sum = [f for f, of in zip(factors, setup.applied) if of == RUNNING]

    def orientations(self, index: int) -> None:
        """The terms of one evaluation; `index`: of its source."""
        self.terms(0, len(self.axes))

    def terms(self, begin: int, end: int) -> None:
        """Add the terms of the orientations begin .. end-1 to the sum (6.2 to 6.6, 6.9).

        latest: index, nearest index, F_latt and F_cell of the last one; no F_cell where it was skipped."""
        dry, get, lattice = self.setup.dry, self.setup.listed.nearest, self.spot.at
        moves, (x, y, z), (mh, mk, ml) = self.moves, self.q, self.moves
        plain = not (self.on_term or self.on_sum or self.setup.extra)
        f: float | None = None
        hkl, whole, latt, moved = (0.0, 0.0, 0.0), (0, 0, 0), 0.0, 0.0
        for a1, a2, a3, b1, b2, b3, c1, c2, c3 in self.axes[begin:end]:
            h, k, l = hkl = a1 * x + a2 * y + a3 * z, b1 * x + b2 * y + b3 * z, c1 * x + c2 * y + c3 * z
            try:
                h0, k0, l0 = whole = ceil(h - 0.5), ceil(k - 0.5), ceil(l - 0.5)
                fits = -_INT < h0 < _INT and -_INT < k0 < _INT and -_INT < l0 < _INT
            except (ValueError, OverflowError):
                fits = False
            if not fits:
                h0, k0, l0 = whole = nearest(h), nearest(k), nearest(l)
                self.doubt = self.doubt or isfinite(h + k + l)  # an int that is too large is undefined
            latt, reach = lattice(hkl, whole, moves)
            if latt == 0.0 and dry:
                f = None
                self._skipped(reach)
                continue
            if self.tricubic:
                f, moved = self.interpolated(hkl, whole)
            else:
                f, moved = get(h0, k0, l0), 0.0
            term = f * f * latt * latt
            change = f * f * (2.0 * abs(latt) + reach) * reach
            if moved:
                change += (2.0 * abs(f) + moved) * moved * (abs(latt) + reach) * (abs(latt) + reach)
            if abs(h - h0) + mh >= 0.5 or abs(k - k0) + mk >= 0.5 or abs(l - l0) + ml >= 0.5:
                change += self._across(hkl, whole, term)
            if plain:
                self.intensity += term
                self.spread += change
            else:
                self._add(term, change)
        self.latest = hkl, whole, latt, f

    def _skipped(self, reach: float) -> None:
        if reach or (self.setup.running and self.spot.doubtful):
            self.spread = inf

    def _add(self, term: float, change: float) -> None:
        term += self.setup.extra
        for value, reach in self.on_term:
            term, change = term * value, change * (abs(value) + reach) + abs(term) * reach
        total, spread = self.intensity + term, self.spread + change
        for value, reach in self.on_sum:
            total, spread = total * value, spread * (abs(value) + reach) + abs(total) * reach
        self.intensity, self.spread = total, spread
        if self.spot.doubtful and self.on_sum:
            self.spread = inf

    def _across(self, hkl: V, whole: Whole, term: float) -> float:
        """The most that the term changes where rounding takes the index to the other side of a half."""
        if self.tricubic:
            return 0.0 if self.spot.shape == "SQUARE" else inf
        ways = []
        for x, x0, move in zip(hkl, whole, self.moves):
            other = x0 + 1 if x > x0 else x0 - 1
            ways.append((x0, other) if abs(x - x0) + move >= 0.5 else (x0,))
        most = 0.0
        for h0 in ways[0]:
            for k0 in ways[1]:
                for l0 in ways[2]:
                    latt, _ = self.spot.at(hkl, (h0, k0, l0), self.moves)
                    f = self.setup.listed.nearest(h0, k0, l0)
                    most = max(most, abs(f * f * latt * latt - term))
        return most

    def interpolated(self, hkl: V, whole: Whole) -> tuple[float, float]:
        """F_cell where interpolation is on, which one term outside the list's window ends for the run (6.5)."""
        listed = self.setup.listed
        lacks, doubtful = listed.outside(hkl, self.moves)
        self.doubt = self.doubt or doubtful
        if not lacks:
            return listed.cubic(hkl, self.moves, self.eps)
        self.tricubic = self.every_term_alone
        return listed.nearest(*whole), 0.0

    def final(self) -> tuple[float, float]:
        """The sum, scaled (6.7), and its bound."""
        setup = self.setup
        value = quotient(R_E_SQR * setup.fluence * self.intensity, setup.steps)
        bound = quotient(R_E_SQR * setup.fluence * self.spread, abs(setup.steps))
        for factor, of in zip((self.capture, self.polar, self.omega), setup.applied):
            if of == FINAL:
                bound = bound * (abs(factor.value) + factor.reach) + abs(value) * factor.reach
                value *= factor.value
        bound += (32 + setup.terms) * self.eps * abs(value)
        if self.eps > SINGLE:
            small = max(abs(self.intensity), abs(value), setup.fluence, abs(setup.listed.default)) < _LARGEST
            bound = bound + _SMALLEST if small and not setup.sample.nearly_zero else inf
        return value, bound if bound < inf and not self.doubt else inf
