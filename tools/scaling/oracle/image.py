# mypy: ignore-errors
# ruff: noqa: E741 -- l is a Miller index
"""Semantics 2 to 6 once more: one number at a time, plain floats, the reference's own loops and state.

Nothing of the port is used but the Config, loaded. Slow on purpose: a few pixels of small cases.
"""

import math
from dataclasses import dataclass

from nanobragg_torch.config import Config
from tools.scaling.oracle.deviates import Random
from tools.scaling.oracle.uncovered import Uncovered
from tools.scaling.oracle.vectors import V, add, cross, dot, length, rot, rot_xyz, scale, unit

EPS = 2.0**-52
R_E_SQR = 7.94079248018965e-30
TINY = 2.2250738585072014e-308

FRAMES: dict[str, tuple[V, ...]] = {  # beam fdet sdet odet twotheta polar spindle (4.1)
    "ADXV": ((0, 0, 1), (1, 0, 0), (0, -1, 0), (0, 0, 1), (-1, 0, 0), (1, 0, 0), (1, 0, 0)),
    "MOSFLM": ((1, 0, 0), (0, 0, 1), (0, -1, 0), (1, 0, 0), (0, 0, -1), (0, 0, 1), (0, 0, 1)),
    "DENZO": ((1, 0, 0), (0, 0, 1), (0, -1, 0), (1, 0, 0), (0, 0, -1), (0, 0, 1), (0, 0, 1)),
    "XDS": ((0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0), (1, 0, 0), (1, 0, 0)),
    "DIALS": ((0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 0), (0, 1, 0), (0, 1, 0)),
    "CUSTOM": ((1, 0, 0), (0, 0, 1), (0, -1, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1)),
}


@dataclass
class Value:
    """I_pixel_final, and how far rounding of the Miller indices can move it (10.1)."""

    value: float
    bound: float


class Oracle:
    def __init__(self, config: Config) -> None:
        self.c = config
        self.geometry()
        self.random = Random()
        self.crystal()
        self.sources()
        self.grid()
        self.tricubic = config.structure.interpolate is True
        self.axes: list[V] = list(self.direct)  # the state that a phi of 0 keeps

    def geometry(self) -> None:
        d = self.c.detector
        given = (d.beam_vector, d.fdet_vector, d.sdet_vector, d.odet_vector, d.twotheta_axis, d.polar_vector,
                 d.spindle_axis)  # fmt: skip
        chosen = [g if g is not None and d.convention == "CUSTOM" else f for g, f in zip(given, FRAMES[d.convention])]
        beam, fdet, sdet, odet, axis, polar, spindle = (tuple(float(x) for x in v) for v in chosen)  # type: ignore
        beam, fdet, sdet = unit(beam), unit(fdet), unit(sdet)
        if length(odet) != 1.0:
            odet = unit(cross(fdet, sdet))
        polar, spindle = unit(polar), unit(spindle)
        pixel, size_f, size_s = float(d.pixel_m), float(d.size_fast_m), float(d.size_slow_m)
        fclose = size_f / 2.0 if d.orgx_pixels is None else (d.orgx_pixels - 0.5) * pixel
        sclose = size_s / 2.0 if d.orgy_pixels is None else (d.orgy_pixels - 0.5) * pixel
        xclose = fclose if d.x_close_m is None else d.x_close_m
        yclose = sclose if d.y_close_m is None else d.y_close_m
        x, y, conv = d.x_beam_m, d.y_beam_m, d.convention
        if conv == "ADXV":
            x = (size_f + pixel) / 2.0 if x is None else x
            y = (size_s - pixel) / 2.0 if y is None else y
            fbeam, sbeam = x, size_s - y
        elif conv in ("MOSFLM", "DENZO"):
            x = (size_s + pixel) / 2.0 if x is None else x
            y = (size_f + pixel) / 2.0 if y is None else y
            fbeam, sbeam = (y, x) if conv == "DENZO" else (y + 0.5 * pixel, x + 0.5 * pixel)
        else:
            x, y = xclose if x is None else x, yclose if y is None else y
            fbeam, sbeam = x, y
            if conv == "CUSTOM":
                fclose, sclose = x, y
        tilt = (float(d.rotx_rad), float(d.roty_rad), float(d.rotz_rad))
        two = float(d.twotheta_rad)
        ratio = dot(beam, rot_xyz(odet, *tilt)) or TINY
        close = abs(ratio * d.distance_m) if d.close_distance_m is None else d.close_distance_m
        distance = close / ratio
        before = add(scale(-fclose, fdet), scale(-sclose, sdet), scale(close, odet))
        fdet, sdet, odet = (rot(rot_xyz(v, *tilt), axis, two) for v in (fdet, sdet, odet))
        if d.pivot == "SAMPLE":
            pix0 = rot(rot_xyz(before, *tilt), axis, two)
        else:
            pix0 = add(scale(-fbeam, fdet), scale(-sbeam, sdet), scale(distance, beam))
        self.close = dot(pix0, odet)
        self.distance = self.close / ratio
        self.fdet, self.sdet, self.odet, self.pix0 = fdet, sdet, odet, pix0
        self.beam, self.polar_axis, self.spindle, self.pixel = beam, polar, spindle, pixel
        self.x_beam, self.y_beam = float(x), float(y)

    def crystal(self) -> None:
        k, wave = self.c.crystal, float(self.c.beam.wavelength_m)
        cell = k.cell
        if cell is not None:
            a, b, c = cell.a_angstrom, cell.b_angstrom, cell.c_angstrom
            al, be, ga = cell.alpha_rad, cell.beta_rad, cell.gamma_rad
            s = (al + be + ga) / 2
            root = abs(math.sin(s) * math.sin(s - al) * math.sin(s - be) * math.sin(s - ga))
            vol = 2.0 * a * b * c * math.sqrt(root)
            vs = 1 / vol
            als, bls, cls = b * c * math.sin(al) * vs, c * a * math.sin(be) * vs, a * b * math.sin(ga) * vs
            sgs = max(-1.0, min(1.0, c * vs / als / bls))
            cas = (math.cos(be) * math.cos(ga) - math.cos(al)) / (math.sin(be) * math.sin(ga))
            cbs = (math.cos(ga) * math.cos(al) - math.cos(be)) / (math.sin(ga) * math.sin(al))
            cgs = (math.cos(al) * math.cos(be) - math.cos(ga)) / (math.sin(al) * math.sin(be))
            stars = [
                (als, 0.0, 0.0),
                (bls * cgs, bls * sgs, 0.0),
                (cls * cbs, cls * (cas - cbs * cgs) / sgs, cls * vol / (a * b * c * sgs)),
            ]
        if k.matrix is not None:
            m, per = [float(x) for x in k.matrix], 1e-10 / wave
            stars = [(per * m[i], per * m[3 + i], per * m[6 + i]) for i in range(3)]
        angles = k.misset_rad
        if k.misset_seed is not None:
            u, _ = self.random.rotation(90.0, k.misset_seed)
            x, y, z = (unit(unit(row)) for row in u)
            angles = (math.atan2(z[1], z[2]), math.atan2(-z[0], math.sqrt(z[1] ** 2 + z[2] ** 2)),
                      math.atan2(y[0], x[0]))  # fmt: skip
        if angles is not None:
            stars = [rot_xyz(v, *(float(t) for t in angles)) for v in stars]
        p, q, r = cross(stars[0], stars[1]), cross(stars[1], stars[2]), cross(stars[2], stars[0])
        vstar = dot(stars[0], q)
        if cell is not None:
            q, r, p = (scale((x / vol) / length(v), v) for x, v in ((a, q), (b, r), (c, p)))
            vstar = 1.0 / vol
        vcell = 1.0 / vstar
        da, db, dc = scale(vcell, q), scale(vcell, r), scale(vcell, p)
        self.stars = [scale(vstar, cross(db, dc)), scale(vstar, cross(dc, da)), scale(vstar, cross(da, db))]
        self.direct = [scale(1e-10, v) for v in (da, db, dc)]
        counts = [math.ceil(s / length(v)) if s > 0 else float(n) for s, v, n in zip(k.size_m, self.direct, k.cells)]
        self.n = [max(float(n), 1.0) for n in counts]
        recip = wave * self.distance / self.pixel
        largest = max(length(v) * n for v, n in zip(self.direct, self.n))
        self.over = self.c.sampling.oversample or max(math.ceil(3.0 * largest / recip), 1)
        self.domains, seed = [], k.mosaic_seed
        for i in range(k.mosaic_domains):
            u, seed = self.random.rotation(float(k.mosaic_spread_rad), seed)
            self.domains.append([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)] if i == 0 else u)

    def sources(self) -> None:
        b = self.c.beam
        vert = unit(cross(self.beam, self.polar_axis))
        h, v, w = b.horizontal, b.vertical, b.dispersion
        self.source: list[tuple[V, float]] = []
        for i in range(h.count):
            for j in range(v.count):
                hd, vd = h.step * i - h.width / 2.0, v.step * j - v.width / 2.0
                if b.round_divergence and h.width and v.width:
                    eh, ev = 1.0 - h.count % 2, 1.0 - v.count % 2
                    test = (hd * hd - h.step * h.step / 4.0 * eh) / h.width / h.width
                    test += (vd * vd - v.step * v.step / 4.0 * ev) / v.width / v.width
                    if test * 4.0 > 1.1:
                        continue
                p = rot(rot(scale(-10.0, self.beam), self.polar_axis, vd), vert, hd)
                for k in range(w.count):
                    wave = b.wavelength_m * (1.0 + w.step * k - w.width / 2.0)
                    self.source.append((scale(-1.0, unit(p)), wave))

    def grid(self) -> None:
        s = self.c.structure
        self.listed: dict[tuple[int, int, int], float] = {}
        self.low = self.high = (0, 0, 0)
        found = s.reflections
        if found is not None:
            if found.hkl is None:
                raise Uncovered("dump files")
            self.listed = {(int(h), int(k), int(l)): float(f) for (h, k, l), f in zip(found.hkl, found.F)}
            self.low = found.lowest
            self.high = tuple(low + n - 1 for low, n in zip(found.lowest, found.counts))  # type: ignore[assignment]

    def f(self, at: tuple[int, int, int]) -> float:
        return self.listed.get(at, float(self.c.structure.default_F))

    def cubic(self, hkl: V) -> float:
        base = [math.floor(x) - 1 for x in hkl]

        def lagrange(x: float, nodes: list[float], ys: list[float]) -> float:
            total = 0.0
            for i in range(4):
                top = bottom = 1.0
                for j in range(4):
                    if j != i:
                        top, bottom = top * (x - nodes[j]), bottom * (nodes[i] - nodes[j])
                total += top * ys[i] / bottom
            return total

        n = [[float(b + i) for i in range(4)] for b in base]
        along_h = []
        for i in range(4):
            along_k = []
            for j in range(4):
                ys = [self.f((base[0] + i, base[1] + j, base[2] + m)) for m in range(4)]
                along_k.append(lagrange(hkl[2], n[2], ys))
            along_h.append(lagrange(hkl[1], n[1], along_k))
        return lagrange(hkl[0], n[0], along_h)

    def lattice(self, hkl: V, h0: tuple[int, ...], sizes: list[float]) -> tuple[float, float]:
        """(F_latt, relative error that rounding makes of the indices, which are sums of terms of `sizes`)."""
        k, n = self.c.crystal, self.n
        d = [x - x0 for x, x0 in zip(hkl, h0)]
        volume = n[0] * n[1] * n[2]
        fudge = float(k.fudge)
        if k.shape == "SQUARE":
            value, steep = 1.0, 0.0
            for x, dx, cells, size in zip(hkl, d, n, sizes):
                if cells > 1:
                    y = math.pi * x
                    value *= cells if y == 0.0 else math.sin(y * cells) / math.sin(y)
                    if dx:
                        cotangent = cells / abs(math.tan(math.pi * cells * x))
                        steep += 4 * EPS * size * max(1 / abs(dx), cotangent)
            return value, steep
        ulp = sum(4 * EPS * size * abs(dx) * cells**2 for dx, cells, size in zip(d, n, sizes))
        if k.shape == "ROUND":
            rho2 = sum(dx * dx * cells * cells for dx, cells in zip(d, n))
            t = math.pi * math.sqrt(rho2 * fudge)
            sinc3 = 1.0 if t == 0 else 3.0 * (math.sin(t) / t - math.cos(t)) / (t * t)
            return volume * 0.723601254558268 * sinc3, (10 * ulp * fudge + 2 * EPS / t**2) / abs(sinc3) if t else 0.0
        v = add(scale(d[0], self.stars[0]), scale(d[1], self.stars[1]), scale(d[2], self.stars[2]))
        rad2 = dot(v, v) * n[0] * n[0] * n[1] * n[1] * n[2] * n[2]
        if k.shape == "GAUSS":
            steep = sum(8 * EPS * size * length(s) for size, s in zip(sizes, self.stars)) * length(v) * volume**2
            return volume * math.exp(-(rad2 / 0.63 * fudge)), fudge * (steep / 0.63 + 4 * EPS * rad2)
        return (volume if rad2 * fudge < 0.3969 else 0.0), 0.0

    def image(self) -> dict[tuple[int, int], Value]:
        roi = self.c.detector.rendered
        return {
            (s, f): self.one(s, f)
            for s in range(roi.slow_min, roi.slow_max + 1)
            for f in range(roi.fast_min, roi.fast_max + 1)
        }

    def ray(self, layer: int, slow: int, fast: int) -> tuple[float, V]:
        """Distance and direction of a sub-pixel, counted along the axes of the whole detector."""
        sub = self.pixel / self.over
        fd, sd, od = sub * fast + sub / 2.0, sub * slow + sub / 2.0, layer * self.c.detector.sensor.step_m
        pos = add(scale(fd, self.fdet), scale(sd, self.sdet), scale(od, self.odet), self.pix0)
        if self.c.detector.curved:
            start = scale(self.distance, self.beam)
            pos = rot(rot(start, self.sdet, pos[1] / self.distance), self.fdet, pos[2] / self.distance)
        r = length(pos)
        return r, (pos[0] / r, pos[1] / r, pos[2] / r)

    def one(self, s: int, f: int) -> Value:
        c, det, samp, over = self.c, self.c.detector, self.c.sampling, self.over
        fluence, w = float(c.beam.fluence_per_m2), float(c.water_m)
        intensity = 2.57 * 2.57 * R_E_SQR * fluence * w * w * w * 1e6 * 6.02214179e23 / 18.0
        spread = 0.0
        polar, omega = (0.0 if c.beam.polarized else 1.0), 0.0
        sensor = det.sensor
        capture = 1.0
        for layer in range(sensor.layers):
            capture = 0.0 if sensor.present else 1.0
            for ss in range(over):
                for sf in range(over):
                    r, d = self.ray(layer, s * over + ss, f * over + sf)
                    if omega == 0.0 or samp.omega:
                        omega = self.pixel * self.pixel / r / r * self.close / r
                        if det.point_pixel:
                            omega = 1.0 / r / r
                    if capture == 0.0 or samp.thick:
                        g = dot(d, self.odet)
                        capture = math.exp(-layer * sensor.step_m * sensor.mu_per_m / g)
                        capture -= math.exp(-(layer + 1) * sensor.step_m * sensor.mu_per_m / g)
                    for incident, wave in self.source:
                        i = incident
                        q = tuple((x - y) / wave for x, y in zip(d, i))
                        stol = 0.5 * length(q)  # type: ignore[arg-type]
                        if c.dmin_m > 0 and stol > 0 and c.dmin_m > 0.5 / stol:
                            continue
                        if polar == 0.0 or samp.polar:
                            i, d = unit(i), unit(d)
                            polar = self.polarization(i, d)
                        for t in range(c.scan.phi_steps):
                            phi = c.scan.phi_start_rad + c.scan.phi_step_rad * t
                            if phi != 0.0:
                                self.axes = [rot(v, self.spindle, phi) for v in self.direct]
                            for u in self.domains:
                                axes = self.axes
                                if c.crystal.mosaic_spread_rad > 0:
                                    axes = [tuple(dot(row, v) for row in u) for v in self.axes]  # type: ignore
                                h, k, l = (dot(v, q) for v in axes)  # type: ignore[arg-type]
                                at = (math.ceil(h - 0.5), math.ceil(k - 0.5), math.ceil(l - 0.5))
                                sizes = [sum(abs(x * y) for x, y in zip(v, q)) for v in axes]
                                latt, steep = self.lattice((h, k, l), at, sizes)
                                if latt == 0.0 and w == 0.0:
                                    continue
                                term = self.cell((h, k, l), at) ** 2 * latt * latt
                                intensity += term
                                spread += 2 * steep * term
                                for on, factor in ((samp.thick, capture), (samp.polar, polar), (samp.omega, omega)):
                                    if on:
                                        intensity, spread = intensity * factor, abs(spread * factor)
        steps = len(self.source) * len(self.domains) * c.scan.phi_steps * over * over
        value, bound = R_E_SQR * fluence * intensity / steps, R_E_SQR * fluence * spread / steps
        for on, factor in ((samp.thick, capture), (samp.polar, polar), (samp.omega, omega)):
            if not on:
                value, bound = value * factor, abs(bound * factor)
        return Value(value, bound)

    def cell(self, hkl: V, at: tuple[int, int, int]) -> float:
        if self.listed and self.tricubic:
            outside = any((x - lo + 3) > hi - lo + 1 or x - 2 < lo for x, lo, hi in zip(hkl, self.low, self.high))
            if outside:
                self.tricubic = False
            else:
                return self.cubic(hkl)
        return self.f(at)

    def polarization(self, i: V, d: V) -> float:
        k = float(self.c.beam.kahn)
        c2 = dot(i, d) ** 2
        psi = 0.0
        if k != 0.0:
            b = unit(cross(self.polar_axis, i))
            e = unit(cross(i, b))
            psi = -math.atan2(dot(d, b), dot(d, e))
        return 0.5 * (1.0 + c2 - k * math.cos(2 * psi) * (1.0 - c2))
