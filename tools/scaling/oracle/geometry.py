"""The detector: conventions, pivots, and where a sub-pixel is (semantics 4.1 to 4.5)."""

from __future__ import annotations

from nanobragg_torch.config import Config, Detector, Number
from tools.scaling.oracle.arithmetic import quotient
from tools.scaling.oracle.vectors import V, add, cross, dot, length, over, rot, rot_xyz, scale, unit, vector

TINY = 2.2250738585072014e-308
EDGE_ON = 1e-9  # cosine of beam and normal below which the port, without a quirk, takes the detector as edge-on

_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
FRAMES: dict[str, tuple[V, ...]] = {  # beam fdet sdet odet twotheta polar spindle (4.1)
    "ADXV": (_Z, _X, (0.0, -1.0, 0.0), _Z, (-1.0, 0.0, 0.0), _X, _X),
    "MOSFLM": (_X, _Z, (0.0, -1.0, 0.0), _X, (0.0, 0.0, -1.0), _Z, _Z),
    "DENZO": (_X, _Z, (0.0, -1.0, 0.0), _X, (0.0, 0.0, -1.0), _Z, _Z),
    "XDS": (_Z, _X, _Y, _Z, _X, _X, _X),
    "DIALS": (_Z, _X, _Y, _Z, _Y, _Y, _Y),
    "CUSTOM": (_X, _Z, (0.0, -1.0, 0.0), _X, _Y, _Z, _Z),
}


def _given(value: Number | None, default: float) -> float:
    return default if value is None else float(value)


class Mount:
    """The detector as it stands. Metres and radians; names as in semantics 4.

    initial_*: axes before any rotation; *_tilted: after detector_rotx, y, z; fdet, sdet, odet, pix0: final. terms: the
    three parts of pix0; stages: pix0 before the rotations, after the tilts, after twotheta (SAMPLE pivot).
    """

    def __init__(self, config: Config) -> None:
        self.detector, self.quirks = config.detector, config.quirks
        self._vectors()
        self._centre()
        self._distances()
        self._place()

    def _vectors(self) -> None:
        d, quirks = self.detector, self.quirks
        free = d.convention == "CUSTOM" or not quirks.on("Q54")
        given = (d.beam_vector, d.fdet_vector, d.sdet_vector, d.odet_vector, d.twotheta_axis, d.polar_vector,
                 d.spindle_axis)  # fmt: skip
        beam, fdet, sdet, odet, axis, polar, spindle = (
            vector(g) if g is not None and free else default for g, default in zip(given, FRAMES[d.convention])
        )
        typed = {"beam": beam, "fdet": fdet, "sdet": sdet, "odet": odet}
        used = {"beam": unit(beam), "fdet": unit(fdet), "sdet": unit(sdet)}
        used["odet"] = self._normal(used["beam"], used["fdet"], used["sdet"], odet)
        used |= {name: typed[name] for name in quirks.as_given}
        self.beam, self.initial_fdet, self.initial_sdet = used["beam"], used["fdet"], used["sdet"]
        self.initial_odet = used["odet"]
        self.twotheta_axis = axis if quirks.on("Q04") else unit(axis)
        self.polar, self.spindle = unit(polar), unit(spindle)

    def _normal(self, beam: V, fdet: V, sdet: V, odet: V) -> V:
        if self.quirks.on("Q03"):
            return odet if length(odet) == 1.0 else unit(cross(fdet, sdet))
        d = self.detector
        if d.odet_vector is not None or (d.fdet_vector is None and d.sdet_vector is None and d.beam_vector is None):
            return unit(odet)
        across = unit(cross(fdet, sdet))
        along = dot(across, beam)
        side = dot(across, odet) if abs(along) < EDGE_ON else along
        return scale(-1.0, across) if side < 0 else across

    def _centre(self) -> None:
        """Beam centre and near point on the detector's own axes (4.1)."""
        d = self.detector
        self.pixel = pixel = float(d.pixel_m)
        size_f, size_s = float(d.size_fast_m), float(d.size_slow_m)
        self.fclose = size_f / 2.0 if d.orgx_pixels is None else (float(d.orgx_pixels) - 0.5) * pixel
        self.sclose = size_s / 2.0 if d.orgy_pixels is None else (float(d.orgy_pixels) - 0.5) * pixel
        self.xclose, self.yclose = _given(d.x_close_m, self.fclose), _given(d.y_close_m, self.sclose)
        if d.convention == "ADXV":
            self.xbeam = _given(d.x_beam_m, (size_f + pixel) / 2.0)
            self.ybeam = _given(d.y_beam_m, (size_s - pixel) / 2.0)
            self.fbeam, self.sbeam = self.xbeam, size_s - self.ybeam
        elif d.convention in ("MOSFLM", "DENZO"):
            self.xbeam = _given(d.x_beam_m, (size_s + pixel) / 2.0)
            self.ybeam = _given(d.y_beam_m, (size_f + pixel) / 2.0)
            half = 0.5 * pixel if d.convention == "MOSFLM" else 0.0
            self.fbeam, self.sbeam = self.ybeam + half, self.xbeam + half
        else:
            self.xbeam, self.ybeam = _given(d.x_beam_m, self.xclose), _given(d.y_beam_m, self.yclose)
            self.fbeam, self.sbeam = self.xbeam, self.ybeam
            self._near_point(d)

    def _near_point(self, d: Detector) -> None:
        if d.convention == "CUSTOM":
            self.fclose, self.sclose = self.xbeam, self.ybeam
        elif not self.quirks.on("Q05"):
            if d.orgx_pixels is None:
                self.fclose = _given(d.x_close_m, self.xbeam)
            if d.orgy_pixels is None:
                self.sclose = _given(d.y_close_m, self.ybeam)

    def _distances(self) -> None:
        """Final axes, and the distances before the pivot (4.3)."""
        d = self.detector
        self.tilts = vector((d.rotx_rad, d.roty_rad, d.rotz_rad))
        self.twotheta = float(d.twotheta_rad)
        self.fdet_tilted = rot_xyz(self.initial_fdet, self.tilts)
        self.sdet_tilted = rot_xyz(self.initial_sdet, self.tilts)
        self.odet_tilted = rot_xyz(self.initial_odet, self.tilts)
        self.fdet = rot(self.fdet_tilted, self.twotheta_axis, self.twotheta)
        self.sdet = rot(self.sdet_tilted, self.twotheta_axis, self.twotheta)
        self.odet = rot(self.odet_tilted, self.twotheta_axis, self.twotheta)
        self.ratio = dot(self.beam, self.odet_tilted)
        if self.ratio == 0.0:
            self.ratio = TINY
        self.ratio_final = self.ratio
        if not self.quirks.on("Q08"):
            final = dot(self.beam, self.odet)
            self.ratio_final = 1.0 if abs(final) < EDGE_ON else final
        if d.close_distance_m is None:
            self.close_in = abs(self.ratio * float(d.distance_m))
            self.distance_in = self.close_in / self.ratio
        else:
            self.close_in = float(d.close_distance_m)
            self.distance_in = self.close_in / self.ratio_final

    def _place(self) -> None:
        """pix0 by the pivot, and what follows from it (4.4)."""
        d = self.detector
        self.stages: tuple[V, ...] = ()
        if d.pivot == "SAMPLE":
            self.terms = (
                scale(-self.fclose, self.initial_fdet),
                scale(-self.sclose, self.initial_sdet),
                scale(self.close_in, self.initial_odet),
            )
            before = add(*self.terms)
            tilted = rot_xyz(before, self.tilts)
            self.pix0 = rot(tilted, self.twotheta_axis, self.twotheta)
            self.stages = (before, tilted, self.pix0)
        else:
            self.terms = (
                scale(-self.fbeam, self.fdet),
                scale(-self.sbeam, self.sdet),
                scale(self.distance_in, self.beam),
            )
            self.pix0 = add(*self.terms)
        if d.pix0_vector_m is not None and not self.quirks.on("Q02"):
            self.pix0 = vector(d.pix0_vector_m)
        self.close = dot(self.pix0, self.odet)
        self.distance = quotient(self.close, self.ratio_final)

    def near_point(self) -> tuple[float, float]:
        """Fclose and Sclose of the final axes."""
        return -dot(self.pix0, self.fdet), -dot(self.pix0, self.sdet)

    def position(self, fdet: float, sdet: float, odet: float) -> V:
        """Of Fdet, Sdet, Odet in metres (4.5)."""
        flat = add(scale(fdet, self.fdet), scale(sdet, self.sdet), scale(odet, self.odet), self.pix0)
        if not self.detector.curved:
            return flat
        if self.quirks.on("Q17"):
            turned = rot(scale(self.distance, self.beam), self.sdet, quotient(flat[1], self.distance))
            return rot(turned, self.fdet, quotient(flat[2], self.distance))
        fclose, sclose = self.near_point()
        hand = dot(cross(self.fdet, self.sdet), self.odet)
        hand = (hand > 0) - (hand < 0)
        turned = rot(scale(self.close, self.odet), self.sdet, quotient(hand * (fdet - fclose), self.close))
        return rot(turned, self.fdet, quotient(-hand * (sdet - sclose), self.close))

    def solid_angle(self, r: float) -> float:
        """Of a pixel at the distance r (4.6)."""
        point, facing = self.detector.point_pixel, self.detector.curved and not self.quirks.on("Q17")
        if point and self.quirks.on("Q16"):
            return quotient(quotient(1.0, r), r)
        if point or facing:
            return quotient(quotient(self.pixel * self.pixel, r), r)
        return quotient(quotient(quotient(self.pixel * self.pixel, r), r) * self.close, r)

    def direction(self, position: V) -> tuple[float, V]:
        """Distance and direction of a position."""
        r = length(position)
        return r, over(position, r)
