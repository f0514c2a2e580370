"""The named intermediates of one pixel, in the reference's names and order (semantics 8)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.io.load import loaded
from nanobragg_torch.physics import corrections
from nanobragg_torch.physics.crystal import phi_angles, reciprocal_of
from nanobragg_torch.physics.detector import Geometry, tilt_matrices
from nanobragg_torch.physics.vectors import multiply_matrices, to_tensor, unit
from nanobragg_torch.scan import evaluate, simulate, summation
from nanobragg_torch.scan.evaluate import Rays, Scatter, Terms
from nanobragg_torch.scan.experiment import Application, Experiment, prepare
from nanobragg_torch.scan.summation import Pixels, PixelSums, Run
from nanobragg_torch.units import RTD

Value = float | int | str

# names of the environment variables that ask the reference for more lines (semantics 8.3)
TAP, TAP_HKL = "TRACE_C_TAP5", "TRACE_C_TAP5_HKL"


@dataclass(frozen=True)
class TraceLine:
    """One line of a trace.

    Attributes:
        kind: "geometry" (PREFIX:name=...), "matrix" (the same, rows in brackets), "bare" (no prefix), "config"
            (the line that opens the pixel loop), "pixel" (PREFIX: name ...), "phi" (PREFIX_PHI key=value ...),
            "source2" (PREFIX_SOURCE2: name ...), "tap" (PREFIX_TAP5: name ...), "tap_hkl" (PREFIX_TAP5_HKL:).
        name: of the quantity, as the reference prints it; its unit stands in semantics 8.
        values: its components, x, y, z for a vector.
        labels: the keys of the values, where the line shows keys.
    """

    kind: str
    name: str
    values: tuple[Value, ...]
    labels: tuple[str, ...] = ()


def trace_pixel(
    config: Config,
    slow: int,
    fast: int,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    taps: Container[str] = (),
) -> list[TraceLine]:
    """Every traced quantity of the pixel (slow, fast), after the geometry. taps: TAP, TAP_HKL or both.

    The pixel inherits what the scan of the image left behind before it: the orientation that a phi of 0
    keeps (Q29), and tricubic interpolation switched off (Q25). Raises InputError for a pixel that the image
    does not render, and from the readers.
    """
    with torch.no_grad():
        exp = prepare(loaded(config), device=device, dtype=dtype)
        order = exp.pixel_order(slow, fast)
        run = simulate.start(exp)
        first = run.first[1] if run.first is not None and run.first[0] == order else None
        detector, true_values = config.detector, not config.quirks.on("Q37")
        return [
            *geometry_lines(exp.geometry, detector.convention, detector.pivot, true_values=true_values),
            TraceLine("config", "tracing pixel", (slow, fast)),
            *pixel_lines(run, Pixels(order, order + 1, first), taps),
            *(_tap_lines(run, Pixels(order, order + 1, first), slow, fast) if TAP in taps else []),
        ]


def render(lines: Iterable[TraceLine], prefix: str = "TRACE_PY") -> str:
    """The lines as text, one a line, reals as %.15g."""
    return "".join(_rendered(line, prefix) + "\n" for line in lines)


def _rendered(line: TraceLine, prefix: str) -> str:
    values = [_shown(value) for value in line.values]
    if line.kind == "config":
        return f"TRACE_CONFIG: {line.name} (spixel={values[0]}, fpixel={values[1]})"
    if line.kind == "phi":
        return f"{prefix}_PHI " + " ".join(f"{k}={v}" for k, v in zip(line.labels, values))
    if line.kind == "tap_hkl":
        form = "subpixel={} {} hkl_frac={} {} {} h0={} k0={} l0={} F_cell={} out_of_bounds={}"
        return f"{prefix}_TAP5_HKL: " + form.format(*values)
    if line.kind == "matrix":
        return f"{prefix}:{line.name}=[" + "; ".join(" ".join(values[i : i + 3]) for i in (0, 3, 6)) + "]"
    body = " ".join(f"{k}:{v}" for k, v in zip(line.labels, values)) if line.labels else " ".join(values)
    return {
        "geometry": f"{prefix}:{line.name}={body}",
        "bare": f"{line.name} {body}",
        "pixel": f"{prefix}: {line.name} {body}",
        "source2": f"{prefix}_SOURCE2: {line.name} {body}",
        "tap": f"{prefix}_TAP5: {line.name} {body}",
    }[line.kind]


def _shown(value: Value) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _values(quantity: Tensor) -> tuple[float, ...]:
    return tuple(quantity.flatten().tolist())


def c_int(quantity: Tensor | float) -> int:
    """As the reference's cast: -2^31 for what no 32-bit integer holds, NaN (wavelength 0, Q12) above all."""
    value = float(quantity)
    return int(value) if abs(value) < 2.0**31 else -(2**31)


def _geometry(name: str, quantity: Tensor, *labels: str) -> TraceLine:
    return TraceLine("geometry", name, _values(quantity), labels)


def _pixel(name: str, quantity: Tensor) -> TraceLine:
    return TraceLine("pixel", name, _values(quantity))


def geometry_lines(geometry: Geometry, convention: str, pivot: str, *, true_values: bool = False) -> list[TraceLine]:
    """What the reference prints while it orients the detector (semantics 8.1); true_values: without Q37."""
    if pivot == "SAMPLE":
        lines = [*_sample_pivot_lines(geometry, convention, true_values), *_axis_lines(geometry, geometry.tilted)]
    else:
        lines = _axis_lines(geometry, geometry.tilted)
    lines += [
        TraceLine("bare", "DETECTOR_FAST_AXIS", _values(geometry.fdet)),
        TraceLine("bare", "DETECTOR_SLOW_AXIS", _values(geometry.sdet)),
        TraceLine("bare", "DETECTOR_NORMAL_AXIS", _values(geometry.odet)),
    ]
    if pivot == "BEAM":
        lines += _true_beam_pivot_lines(geometry, convention) if true_values else _beam_pivot_lines(geometry)
    return [*lines, TraceLine("bare", "DETECTOR_PIX0_VECTOR", _values(geometry.pix0))]


def _axis_lines(geometry: Geometry, tilted: tuple[Tensor, ...]) -> list[TraceLine]:
    swung = (geometry.fdet, geometry.sdet, geometry.odet)
    names = ("fdet", "sdet", "odet")
    return [
        *(_geometry(f"{name}_after_rotz", v) for name, v in zip(names, tilted)),
        _geometry("twotheta_axis", geometry.initial.twotheta_axis),
        *(_geometry(f"{name}_after_twotheta", v) for name, v in zip(names, swung)),
    ]


def _angles(geometry: Geometry) -> TraceLine:
    angles = torch.stack((geometry.rotx, geometry.roty, geometry.rotz, geometry.twotheta))
    return _geometry("angles_rad", angles, "rotx", "roty", "rotz", "twotheta")


def _sample_pivot_lines(geometry: Geometry, convention: str, true_values: bool) -> list[TraceLine]:
    centre, initial = geometry.centre, geometry.initial
    # metres divided by 1000 under a label that says metres (Q37)
    per = 1.0 if true_values else 1000.0
    near = torch.stack((centre.x_close / per, centre.y_close / per, geometry.pixel * 1000.0))
    terms = ("term_fast_before_rot", "term_slow_before_rot", "term_close_before_rot")
    stages = ("pix0_before_rotation", "pix0_after_rotz", "pix0_after_twotheta")
    return [
        TraceLine("geometry", "detector_convention", (convention,)),
        _angles(geometry),
        _geometry("beam_center_m", near, "Xclose", "Yclose", "pixel_mm"),
        _geometry("initial_fdet", initial.fdet),
        _geometry("initial_sdet", initial.sdet),
        _geometry("initial_odet", initial.odet),
        _geometry("Fclose_m", centre.fast_close),
        _geometry("Sclose_m", centre.slow_close),
        _geometry("close_distance_m", geometry.close_distance_in),
        _geometry("ratio", geometry.ratio),
        _geometry("distance_m", geometry.distance_in),
        *(_geometry(name, v) for name, v in zip(terms, geometry.terms)),
        *(_geometry(name, v) for name, v in zip(stages, geometry.pix0_stages)),
    ]


def _beam_pivot_lines(geometry: Geometry) -> list[TraceLine]:
    """Constant texts and final vectors under the names of tilted ones: as the reference prints (Q37)."""
    centre = geometry.centre
    beam = torch.stack((centre.x_beam / 1000.0, centre.y_beam / 1000.0, geometry.pixel * 1000.0))
    rx, ry, rz = tilt_matrices(geometry.rotx, geometry.roty, geometry.rotz)
    matrices = {"Rx": rx, "Ry": ry, "Rz": rz, "R_total": multiply_matrices(rz, multiply_matrices(ry, rx))}
    mapping = "Fbeam<-Ybeam_mm(+0.5px),Sbeam<-Xbeam_mm(+0.5px),beam_vec=[1 0 0]"
    return [
        TraceLine("geometry", "detector_convention", ("MOSFLM",)),
        _angles(geometry),
        _geometry("beam_center_m", beam, "X", "Y", "pixel_mm"),
        TraceLine("geometry", "initial_fdet", (0.0, 0.0, 1.0)),
        TraceLine("geometry", "initial_sdet", (0.0, -1.0, 0.0)),
        TraceLine("geometry", "initial_odet", (1.0, 0.0, 0.0)),
        *(TraceLine("matrix", name, _values(matrix)) for name, matrix in matrices.items()),
        *_axis_lines(geometry, (geometry.fdet, geometry.sdet, geometry.odet)),
        TraceLine("geometry", "convention_mapping", (mapping,)),
        _geometry("Fbeam_m", centre.fast_beam),
        _geometry("Sbeam_m", centre.slow_beam),
        _geometry("distance_m", geometry.distance_in),
        *(_geometry(n, v) for n, v in zip(("term_fast", "term_slow", "term_beam"), geometry.terms)),
        _geometry("pix0_vector", geometry.pix0),
    ]


def _true_beam_pivot_lines(geometry: Geometry, convention: str) -> list[TraceLine]:
    """The same lines with what they say (Q37 off)."""
    centre, initial = geometry.centre, geometry.initial
    true = {
        "detector_convention": TraceLine("geometry", "detector_convention", (convention,)),
        "beam_center_m": _geometry(
            "beam_center_m", torch.stack((centre.x_beam, centre.y_beam, geometry.pixel * 1000.0)), "X", "Y", "pixel_mm"
        ),
        "initial_fdet": _geometry("initial_fdet", initial.fdet),
        "initial_sdet": _geometry("initial_sdet", initial.sdet),
        "initial_odet": _geometry("initial_odet", initial.odet),
        "fdet_after_rotz": _geometry("fdet_after_rotz", geometry.tilted[0]),
        "sdet_after_rotz": _geometry("sdet_after_rotz", geometry.tilted[1]),
        "odet_after_rotz": _geometry("odet_after_rotz", geometry.tilted[2]),
    }
    # the text maps MOSFLM's centre, whatever the convention: left out
    return [true.get(line.name, line) for line in _beam_pivot_lines(geometry) if line.name != "convention_mapping"]


def pixel_lines(run: Run, pixel: Pixels, taps: Container[str] = ()) -> Iterator[TraceLine]:
    """Groups P, H, PHI and SOURCE2 of every sub-pixel, then group Z (semantics 8.2)."""
    exp = run.exp
    fast, slow = exp.pixel_indices(pixel.start, pixel.stop)
    sums = summation.empty_sums(exp, 1)
    omega = None
    for sub in range(exp.n_subpixels):
        rays = evaluate.cast_rays(exp, fast, slow, sub, sub + 1)
        scattered = evaluate.scatter(exp, rays, sums.cached)
        summation.update_polarization(exp, sums, scattered)
        if omega is None or exp.factors.omega is not Application.FINAL:
            omega = evaluate.solid_angle(exp, rays)
        yield from _ray_lines(run, rays, scattered, omega)
        yield from _term_lines(run, pixel, sub * exp.n_sources, scattered, TAP_HKL in taps)
        yield from _third_source_lines(run, pixel, sub * exp.n_sources, scattered, sums)
    yield from _final_lines(run, pixel, fast, slow)


def _ray_lines(run: Run, rays: Rays, scattered: Scatter, omega: Tensor) -> list[TraceLine]:
    geometry, sources = run.exp.geometry, run.exp.sources
    wavelength = sources.wavelength[0]
    return [
        _pixel("pix0_vector_meters", geometry.pix0),
        _pixel("fdet_vec", geometry.fdet),
        _pixel("sdet_vec", geometry.sdet),
        _pixel("pixel_pos_meters", rays.position),
        _pixel("R_distance_meters", rays.distance),
        _pixel("omega_pixel_sr", omega),
        _pixel("close_distance_meters", geometry.close_distance),
        _pixel("obliquity_factor", corrections.obliquity_factor(geometry.close_distance, rays.distance)),
        _pixel("diffracted_vec", rays.diffracted),
        _pixel("incident_vec", sources.incident[0]),
        _pixel("lambda_meters", wavelength),
        _pixel("lambda_angstroms", wavelength * 1e10),
        _pixel("scattering_vec_A_inv", scattered.q[0, 0] * (1.0 if run.exp.config.quirks.on("Q38") else 1e-10)),
    ]


def _is_alive(scattered: Scatter, source: int) -> bool:
    return scattered.alive is None or bool(scattered.alive[0, source, 0])


def _orientation_terms(
    run: Run, pixel: Pixels, evaluation: int, q: Tensor, begin: int, end: int
) -> tuple[tuple[Tensor, Tensor, Tensor], Terms]:
    axes = summation.orientation_block(run, pixel, evaluation, 0, 1, begin, end)
    return axes, evaluate.lattice_terms(run.exp, q.reshape(1, 1, 1, 3), axes)


def _term_lines(run: Run, pixel: Pixels, evaluation: int, scattered: Scatter, tap: bool) -> Iterator[TraceLine]:
    """Source 0: phi step 0 in full, then one row per phi step; domain 0."""
    if not _is_alive(scattered, 0):
        return
    exp, q = run.exp, scattered.q[0, 0]
    domains = exp.orientations.per_step
    axes, terms = _orientation_terms(run, pixel, evaluation, q, 0, 1)
    stars = (exp.axes.a_star, exp.axes.b_star, exp.axes.c_star)
    if not exp.config.quirks.on("Q09"):
        stars = reciprocal_of(*axes)
    for name, axis in zip("abc", axes):
        yield _pixel(f"rot_{name}_angstroms", axis * 1e10)
    for name, star in zip("abc", stars):
        yield _pixel(f"rot_{name}_star_A_inv", star)
    yield _pixel("hkl_frac", torch.cat([x.flatten() for x in terms.hkl]))
    yield TraceLine("pixel", "hkl_rounded", tuple(map(c_int, terms.nearest)))
    if terms.factors is not None:
        for name, factor in zip("abc", terms.factors):
            yield _pixel(f"F_latt_{name}", factor)
        yield _pixel("F_latt", terms.F_latt)
    scan = exp.config.scan
    phi = phi_angles(to_tensor(scan.phi_start_rad, exp.cells), to_tensor(scan.phi_step_rad, exp.cells), scan.phi_steps)
    for step in range(scan.phi_steps):
        if terms.factors is not None:
            _, turned = _orientation_terms(run, pixel, evaluation, q, step * domains, step * domains + 1)
            yield _phi_row(step, phi[step], turned)
        if step == 0 and bool(summation.counted(exp, terms.F_latt, None)):
            f_cell = _cell_factor(run, pixel, evaluation, terms)
            yield _pixel("F_cell", f_cell)
            if tap:
                yield _tap_indices(exp, evaluation // exp.n_sources, terms, f_cell)


def _cell_factor(run: Run, pixel: Pixels, evaluation: int, terms: Terms) -> Tensor:
    inside = summation.interpolated(run, pixel, evaluation, 0, terms.F_latt)
    return evaluate.structure_terms(run.exp, terms, inside)


def _phi_row(step: int, phi: Tensor, terms: Terms) -> TraceLine:
    assert terms.factors is not None
    values = torch.stack([x.flatten()[0] for x in (phi * RTD, terms.hkl[1], terms.factors[1], terms.F_latt)])
    labels = ("phi_tic", "phi_deg", "k_frac", "F_latt_b", "F_latt")
    return TraceLine("phi", "PHI", (step, *_values(values)), labels)


def _third_source_lines(
    run: Run, pixel: Pixels, first: int, scattered: Scatter, sums: PixelSums
) -> Iterator[TraceLine]:
    """Source index 2, phi step 0, domain 0."""
    exp = run.exp
    if exp.n_sources < 3 or not _is_alive(scattered, 2):
        return
    _, terms = _orientation_terms(run, pixel, first + 2, scattered.q[0, 2], 0, 1)
    if not bool(summation.counted(exp, terms.F_latt, None)):
        return
    f_cell, f_latt = _cell_factor(run, pixel, first + 2, terms), terms.F_latt
    incident, diffracted = exp.sources.incident[2], scattered.diffracted[0, 2, 0]
    polar = sums.polar
    if exp.factors.polar is not Application.FINAL:
        polar = evaluate.polarization(exp, incident, diffracted)
    if bool(scattered.repolarized[0, 2, 0]):
        incident, diffracted = unit(incident), unit(diffracted)
    quantities = {
        "F_cell": f_cell,
        "F_latt": f_latt,
        "F_cell_squared": f_cell * f_cell,
        "F_latt_squared": f_latt * f_latt,
        "I_contribution": evaluate.intensity_term(f_cell, f_latt),
        "polar": polar,
        "cos2theta": corrections.cos_two_theta(incident, diffracted),
        "lambda_angstroms": exp.sources.wavelength[2] * 1e10,
    }
    for name, quantity in quantities.items():
        yield TraceLine("source2", name, _values(quantity))
    yield TraceLine("source2", "source_index", (2,))


def _final_lines(run: Run, pixel: Pixels, fast: Tensor, slow: Tensor) -> list[TraceLine]:
    exp = run.exp
    sums = summation.pixel_sums(run, pixel)
    value = summation.scaled(exp, sums, fast, slow)
    sampling = exp.config.sampling
    return [
        _pixel("I_before_scaling_pre_polar", sums.intensity),
        _pixel("I_before_scaling", sums.intensity),
        _pixel("I_before_scaling_post_polar", sums.intensity * sums.polar),
        _pixel("r_e_meters", torch.sqrt(exp.r_e_sqr)),
        _pixel("r_e_sqr", exp.r_e_sqr),
        _pixel("fluence_photons_per_m2", exp.fluence),
        TraceLine("pixel", "steps", (exp.n_steps,)),
        TraceLine("pixel", "oversample_thick", (int(sampling.thick),)),
        TraceLine("pixel", "oversample_polar", (int(sampling.polar),)),
        TraceLine("pixel", "oversample_omega", (int(sampling.omega),)),
        _pixel("capture_fraction", evaluate.final_capture(exp, fast, slow)),
        _pixel("polar", sums.polar),
        _pixel("omega_pixel", evaluate.final_solid_angle(exp, fast, slow)),
        _pixel("cos_2theta", summation.cos_two_theta(exp, sums)),
        _pixel("I_pixel_final", value),
        _pixel("floatimage_accumulated", (0.0 + value).float()),
    ]


def _tap_indices(exp: Experiment, sub: int, terms: Terms, f_cell: Tensor) -> TraceLine:
    """What the nearest F is looked up by, and whether the list covers it."""
    per_edge = exp.oversample
    h0 = [c_int(x) for x in terms.nearest]
    inside = all(low <= x < low + count for x, low, count in zip(h0, exp.grid.lowest, exp.grid.counts))
    hkl = [float(x) for x in terms.hkl]
    values = (sub // per_edge % per_edge, sub % per_edge, *hkl, *h0, float(f_cell), int(not inside))
    return TraceLine("tap_hkl", "TAP5_HKL", values)


def _tap_lines(run: Run, pixel: Pixels, slow: int, fast: int) -> list[TraceLine]:
    """Some of the final lines once more (semantics 8.3)."""
    exp = run.exp
    names = ("I_before_scaling", "steps", "omega_pixel", "capture_fraction", "polar", "I_pixel_final")
    lines = {line.name: line for line in _final_lines(run, pixel, *exp.pixel_indices(pixel.start, pixel.stop))}
    return [TraceLine("tap", "pixel", (slow, fast)), *(TraceLine("tap", name, lines[name].values) for name in names)]
