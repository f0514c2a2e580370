"""The reference's trace of a pixel: its names, units and order of lines (semantics 8).

Left out are the taps of environment variables (8.3) and the lines that begin with "TRACE:". A line that another text
tears (8) is whole here, and the arrows of convention_mapping are of ASCII.
"""

import math

from tools.scaling.oracle.arithmetic import cosine, fl32, quotient, sine
from tools.scaling.oracle.beam import R_E_SQR
from tools.scaling.oracle.geometry import Mount
from tools.scaling.oracle.vectors import V, dot, scale
from tools.scaling.oracle.walk import Setup, Walk

RTD = 180.0 * 0.318309886183790671538
_MAPPING = "Fbeam<-Ybeam_mm(+0.5px),Sbeam<-Xbeam_mm(+0.5px),beam_vec=[1 0 0]"
_BEAM_TERMS = ("term_fast", "term_slow", "term_beam")
_SAMPLE_TERMS = ("term_fast_before_rot", "term_slow_before_rot", "term_close_before_rot")
_STAGES = ("pix0_before_rotation", "pix0_after_rotz", "pix0_after_twotheta")


def _text(*values: float) -> str:
    return " ".join(f"{value:.15g}" for value in values)


def _fixed(name: str, *values: float) -> str:
    return f"TRACE_C:{name}={_text(*values)}"


def _line(name: str, *values: float) -> str:
    return f"TRACE_C: {name} {_text(*values)}"


def geometry_lines(setup: Setup) -> list[str]:
    """What the reference prints while it orients the detector (8.1)."""
    mount, true_values = setup.mount, not setup.quirks.on("Q37")
    sample = mount.detector.pivot == "SAMPLE"
    lines = _sample_pivot(mount, true_values) if sample else []
    lines += _axes(mount, (mount.fdet_tilted, mount.sdet_tilted, mount.odet_tilted))
    for name, axis in (("FAST", mount.fdet), ("SLOW", mount.sdet), ("NORMAL", mount.odet)):
        lines.append(f"DETECTOR_{name}_AXIS {_text(*axis)}")
    if not sample:
        lines += _beam_pivot(mount, true_values)
    return [*lines, f"DETECTOR_PIX0_VECTOR {_text(*mount.pix0)}"]


def _axes(mount: Mount, tilted: tuple[V, V, V]) -> list[str]:
    names, final = ("fdet", "sdet", "odet"), (mount.fdet, mount.sdet, mount.odet)
    return [
        *(_fixed(f"{name}_after_rotz", *v) for name, v in zip(names, tilted)),
        _fixed("twotheta_axis", *mount.twotheta_axis),
        *(_fixed(f"{name}_after_twotheta", *v) for name, v in zip(names, final)),
    ]


def _angles(mount: Mount) -> str:
    named = zip(("rotx", "roty", "rotz", "twotheta"), (*mount.tilts, mount.twotheta))
    return "TRACE_C:angles_rad=" + " ".join(f"{name}:{_text(angle)}" for name, angle in named)


def _centre(mount: Mount, names: tuple[str, str], x: float, y: float, true_values: bool) -> str:
    per = 1.0 if true_values else 1000.0
    values = zip((*names, "pixel_mm"), (x / per, y / per, mount.pixel * 1000.0))
    return "TRACE_C:beam_center_m=" + " ".join(f"{name}:{_text(value)}" for name, value in values)


def _initial(mount: Mount) -> list[str]:
    return [
        _fixed("initial_fdet", *mount.initial_fdet),
        _fixed("initial_sdet", *mount.initial_sdet),
        _fixed("initial_odet", *mount.initial_odet),
    ]


def _sample_pivot(mount: Mount, true_values: bool) -> list[str]:
    return [
        f"TRACE_C:detector_convention={mount.detector.convention}",
        _angles(mount),
        _centre(mount, ("Xclose", "Yclose"), mount.xclose, mount.yclose, true_values),
        *_initial(mount),
        _fixed("Fclose_m", mount.fclose),
        _fixed("Sclose_m", mount.sclose),
        _fixed("close_distance_m", mount.close_in),
        _fixed("ratio", mount.ratio),
        _fixed("distance_m", mount.distance_in),
        *(_fixed(name, *term) for name, term in zip(_SAMPLE_TERMS, mount.terms)),
        *(_fixed(name, *stage) for name, stage in zip(_STAGES, mount.stages)),
    ]


def _matrix(name: str, rows: list[V]) -> str:
    return f"TRACE_C:{name}=[" + "; ".join(_text(*row) for row in rows) + "]"


def _tilts(mount: Mount) -> list[str]:
    """The matrices of the three tilts, and Rz (Ry Rx)."""
    (cx, cy, cz), (sx, sy, sz) = map(cosine, mount.tilts), map(sine, mount.tilts)
    x = [(1.0, 0.0, 0.0), (0.0, cx, -sx), (0.0, sx, cx)]
    y = [(cy, 0.0, sy), (0.0, 1.0, 0.0), (-sy, 0.0, cy)]
    z = [(cz, -sz, 0.0), (sz, cz, 0.0), (0.0, 0.0, 1.0)]

    def times(left: list[V], right: list[V]) -> list[V]:
        columns = list(zip(*right))
        return [(dot(row, columns[0]), dot(row, columns[1]), dot(row, columns[2])) for row in left]

    named = {"Rx": x, "Ry": y, "Rz": z, "R_total": times(z, times(y, x))}
    return [_matrix(name, rows) for name, rows in named.items()]


def _beam_pivot(mount: Mount, true_values: bool) -> list[str]:
    """Constants and final vectors in place of what the names say (Q37)."""
    initial = [_fixed("initial_fdet", 0, 0, 1), _fixed("initial_sdet", 0, -1, 0), _fixed("initial_odet", 1, 0, 0)]
    tilted = (mount.fdet, mount.sdet, mount.odet)
    if true_values:
        initial, tilted = _initial(mount), (mount.fdet_tilted, mount.sdet_tilted, mount.odet_tilted)
    return [
        f"TRACE_C:detector_convention={mount.detector.convention if true_values else 'MOSFLM'}",
        _angles(mount),
        _centre(mount, ("X", "Y"), mount.xbeam, mount.ybeam, true_values),
        *initial,
        *_tilts(mount),
        *_axes(mount, tilted),
        *([] if true_values else [f"TRACE_C:convention_mapping={_MAPPING}"]),
        _fixed("Fbeam_m", mount.fbeam),
        _fixed("Sbeam_m", mount.sbeam),
        _fixed("distance_m", mount.distance_in),
        *(_fixed(name, *term) for name, term in zip(_BEAM_TERMS, mount.terms)),
        _fixed("pix0_vector", *mount.pix0),
    ]


class TracedWalk(Walk):
    """A walk that takes its terms one by one and writes down what the reference prints of them (8.2)."""

    def __init__(self, setup: Setup, carried: bool, eps: float) -> None:
        super().__init__(setup, carried, eps)
        self.lines: list[str] = []

    def scattered(self, index: int) -> None:
        """Group P, of the first source."""
        if index:
            return
        mount, wavelength = self.setup.mount, self.setup.sources[0][1]
        unit = 1.0 if self.setup.quirks.on("Q38") else 1e-10
        self.lines += [
            _line("pix0_vector_meters", *mount.pix0),
            _line("fdet_vec", *mount.fdet),
            _line("sdet_vec", *mount.sdet),
            _line("pixel_pos_meters", *self.position),
            _line("R_distance_meters", self.r),
            _line("omega_pixel_sr", self.omega.value),
            _line("close_distance_meters", mount.close),
            _line("obliquity_factor", quotient(mount.close, self.r)),
            _line("diffracted_vec", *self.diffracted),
            _line("incident_vec", *self.incident),
            _line("lambda_meters", wavelength),
            _line("lambda_angstroms", wavelength * 1e10),
            _line("scattering_vec_A_inv", *scale(unit, self.q)),
        ]

    def orientations(self, index: int) -> None:
        domains = len(self.setup.sample.domains)
        for at in range(len(self.axes)):
            self.terms(at, at + 1)
            if index == 0 and at % domains == 0:
                self._first_source(at // domains)
            elif index == 2 and at == 0:
                self._third_source()

    def _first_source(self, step: int) -> None:
        """Group H of phi step 0, a row of every phi step, and F_cell of step 0."""
        sample, (hkl, whole, latt, f) = self.setup.sample, self.latest
        square = self.spot.shape == "SQUARE"
        if step == 0:
            turned = self.axes[0]
            stars = sample.stars if self.setup.quirks.on("Q09") else sample.reciprocal(turned)
            for name, axis in zip("abc", (turned[:3], turned[3:6], turned[6:])):
                self.lines.append(_line(f"rot_{name}_angstroms", *scale(1e10, axis)))
            self.lines += [_line(f"rot_{name}_star_A_inv", *star) for name, star in zip("abc", stars)]
            self.lines += [_line("hkl_frac", *hkl), "TRACE_C: hkl_rounded {} {} {}".format(*whole)]
            if square:
                self.lines += [_line(f"F_latt_{name}", self.spot.factor(i, hkl[i])) for i, name in enumerate("abc")]
                self.lines.append(_line("F_latt", latt))
        if square:
            values = (sample.phi[step] * RTD, hkl[1], self.spot.factor(1, hkl[1]), latt)
            named = zip(("phi_deg", "k_frac", "F_latt_b", "F_latt"), values)
            self.lines.append(f"TRACE_C_PHI phi_tic={step} " + " ".join(f"{key}={_text(x)}" for key, x in named))
        if step == 0 and f is not None:
            self.lines.append(_line("F_cell", f))

    def _third_source(self) -> None:
        _, _, latt, f = self.latest
        if f is None:
            return
        values = {
            "F_cell": f,
            "F_latt": latt,
            "F_cell_squared": f * f,
            "F_latt_squared": latt * latt,
            "I_contribution": f * f * latt * latt,
            "polar": self.polar.value,
            "cos2theta": dot(self.incident, self.diffracted),
            "lambda_angstroms": self.setup.sources[2][1] * 1e10,
            "source_index": 2,
        }
        self.lines += [f"TRACE_C_SOURCE2: {name} {_text(value)}" for name, value in values.items()]

    def final(self) -> tuple[float, float]:
        """Group Z."""
        setup, sampling = self.setup, self.setup.config.sampling
        value, bound = super().final()
        self.lines += [
            _line("I_before_scaling", self.intensity),
            _line("r_e_meters", math.sqrt(R_E_SQR)),
            _line("r_e_sqr", R_E_SQR),
            _line("fluence_photons_per_m2", setup.fluence),
            f"TRACE_C: steps {setup.n_steps}",
            f"TRACE_C: oversample_thick {int(sampling.thick)}",
            f"TRACE_C: oversample_polar {int(sampling.polar)}",
            f"TRACE_C: oversample_omega {int(sampling.omega)}",
            _line("capture_fraction", self.capture.value),
            _line("polar", self.polar.value),
            _line("omega_pixel", self.omega.value),
            _line("cos_2theta", dot(self.incident, self.diffracted)),
            _line("I_pixel_final", value),
            _line("floatimage_accumulated", fl32(0.0 + value)),
        ]
        return value, bound
