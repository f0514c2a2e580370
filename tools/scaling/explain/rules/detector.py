"""Rules of the detector: constants of the flags, axes, centre, pivot, pixel position (semantics 4)."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from nanobragg_torch import quirks
from nanobragg_torch.physics import detector, vectors
from nanobragg_torch.scan.experiment import Experiment
from tools.scaling.explain.graph import Graph
from tools.scaling.explain.pixel import PreparedPixel, same

AXES = ("fdet", "sdet", "odet")

_TILTS = "angles_rad.rotx angles_rad.roty angles_rad.rotz"
_SWING = "twotheta_axis angles_rad.twotheta"

# Fields of config.Detector that place the beam centre, and the flag of each.
_CENTRE = {
    "size_fast_m": "-detsize_f",
    "size_slow_m": "-detsize_s",
    "x_beam_m": "-Xbeam",
    "y_beam_m": "-Ybeam",
    "x_close_m": "-Xclose",
    "y_close_m": "-Yclose",
    "orgx_pixels": "-ORGX",
    "orgy_pixels": "-ORGY",
}
_CENTRE_NAMES = ("x_beam", "y_beam", "x_close", "y_close", "fast_beam", "slow_beam", "fast_close", "slow_close")


def add_constants(g: Graph, exp: Experiment) -> None:
    """Numbers that flags fix and that are traced as they are."""
    sampling = exp.config.sampling
    det = exp.config.detector
    for name, flag, value in (
        ("angles_rad.rotx", "-detector_rotx", det.rotx_rad),
        ("angles_rad.roty", "-detector_roty", det.roty_rad),
        ("angles_rad.rotz", "-detector_rotz", det.rotz_rad),
        ("angles_rad.twotheta", "-twotheta", det.twotheta_rad),
    ):
        g.root(flag, vectors.to_tensor(value, exp.cells), flag)
        g.add(name, flag, same, traced=True)
    g.root("-pixel", exp.geometry.pixel, "-pixel")
    g.add("beam_center_m.pixel_mm", "-pixel", lambda x: x * 1000.0, traced=True)
    g.add("pixel", "beam_center_m.pixel_mm", lambda x: x / 1000.0)
    g.root("classical_radius", exp.r_e_sqr)
    g.add("r_e_sqr", "classical_radius", same, traced=True)
    g.add("r_e_meters", "r_e_sqr", torch.sqrt, traced=True)
    g.root("-fluence", exp.fluence, "-fluence, or -flux -exposure -beamsize")
    g.add("fluence_photons_per_m2", "-fluence", same, traced=True)
    for name, on in (("thick", sampling.thick), ("polar", sampling.polar), ("omega", sampling.omega)):
        g.root(f"-oversample_{name}", vectors.to_tensor(float(on), exp.cells), f"-oversample_{name}")
        g.add(f"oversample_{name}", f"-oversample_{name}", same, traced=True, exact=True)
    g.root("steps_of_the_flags", exp.steps, "-phisteps -oversample -hdivsteps -vdivsteps -dispsteps -mosaic_dom")
    g.add("steps", "steps_of_the_flags", same, traced=True, exact=True)


def _thousandth(part: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The trace divides the metres of the beam centre by 1000 (Q37)."""
    return lambda x: part(x) / 1000.0


def add_initial_axes(g: Graph, exp: Experiment) -> None:
    """Semantics 4.1, 4.2. In BEAM pivot the trace shows constants under these names (Q37)."""
    settings, like = exp.config, exp.cells
    as_typed = replace(settings, quirks=replace(settings.quirks, as_given=frozenset(quirks.VECTORS)))
    raw = detector.initial_axes(as_typed, like)
    kept = settings.quirks.as_given
    sample = settings.detector.pivot == "SAMPLE"
    names = {axis: f"initial_{axis}" if sample else axis for axis in AXES}
    for axis in (*AXES, "beam"):
        g.root(f"-{axis}_vector", getattr(raw, axis), f"-{axis}_vector")
    g.root("-polar_vector", raw.polar, "-polar_vector")
    g.root("-spindle_axis", raw.spindle, "-spindle_axis")
    g.root("-twotheta_axis", raw.twotheta_axis, "-twotheta_axis")
    g.add("beam", "-beam_vector", same if "beam" in kept else vectors.unit)
    for axis in ("fdet", "sdet"):
        g.add(names[axis], f"-{axis}_vector", same if axis in kept else vectors.unit, traced=sample)
    if "odet" in kept:
        g.add(names["odet"], "-odet_vector", same, traced=sample)
    else:
        inputs = f"-odet_vector {names['fdet']} {names['sdet']}"
        g.add(names["odet"], inputs, detector.normal, traced=sample, each=True)
    if not sample:
        for axis, value in (("fdet", (0.0, 0.0, 1.0)), ("sdet", (0.0, -1.0, 0.0)), ("odet", (1.0, 0.0, 0.0))):
            g.root(f"constant_{axis}", vectors.to_tensor(value, like))
            g.add(f"initial_{axis}", f"constant_{axis}", same, traced=True)
    g.add("twotheta_axis", "-twotheta_axis", same, traced=True)


def add_centre(g: Graph, exp: Experiment) -> None:
    """Beam centre and near point (semantics 4.1)."""
    det = exp.config.detector
    given = {field: flag for field, flag in _CENTRE.items() if getattr(det, field) is not None}
    for field, flag in given.items():
        g.root(flag, vectors.to_tensor(getattr(det, field), exp.cells), flag)

    def centre(pixel: Tensor, *values: Tensor) -> Tensor:
        placed: dict[str, Any] = dict(zip(given, values))
        points = detector.centre_points(replace(det, pixel_m=pixel, **placed), pixel)
        return torch.stack([getattr(points, name) for name in _CENTRE_NAMES])

    def part(name: str) -> Callable[[Tensor], Tensor]:
        at = _CENTRE_NAMES.index(name)
        return lambda points: points[..., at]

    g.add("centre", " ".join(("pixel", *given.values())), centre, each=True)
    if det.pivot == "SAMPLE":
        shown = {"Xclose": "x_close", "Yclose": "y_close"}
        placed = {"Fclose_m": "fast_close", "Sclose_m": "slow_close"}
    else:
        shown = {"X": "x_beam", "Y": "y_beam"}
        placed = {"Fbeam_m": "fast_beam", "Sbeam_m": "slow_beam"}
    for label, name in shown.items():
        g.add(f"beam_center_m.{label}", "centre", _thousandth(part(name)), traced=True)
    for label, name in placed.items():
        g.add(label, "centre", part(name), traced=True)


def add_detector(g: Graph, exp: Experiment) -> None:
    """Distances, axes, pix0 (semantics 4.3, 4.4)."""
    det = exp.config.detector
    sample = det.pivot == "SAMPLE"
    fdet, sdet, odet = (f"initial_{axis}" if sample else axis for axis in AXES)
    g.add("ratio", f"beam {odet} {_TILTS}", detector.beam_ratio, traced=sample)
    if det.close_distance_m is None:
        g.root("-distance", vectors.to_tensor(det.distance_m, exp.cells), "-distance")
        g.add("close_distance_m", "ratio -distance", detector.near_distance, traced=sample)
    else:
        g.root("-close_distance", vectors.to_tensor(det.close_distance_m, exp.cells), "-close_distance")
        g.add("close_distance_m", "-close_distance", same, traced=sample)
    g.add("distance_m", "close_distance_m ratio", detector.beam_distance, traced=True)
    if sample:
        _sample_pivot_terms(g)
    _turned_axes(g, (fdet, sdet, odet))
    if not sample:
        _beam_pivot_terms(g)
    pix0 = "pix0_after_twotheta" if sample else "pix0_vector"
    g.add("DETECTOR_PIX0_VECTOR", pix0, same, traced=True)
    g.add("pix0_vector_meters", pix0, same, dims="s", traced=True)
    for axis in ("fdet", "sdet"):
        g.add(f"{axis}_vec", f"{axis}_after_twotheta", same, dims="s", traced=True)
    g.add("close_distance_meters", "pix0_vector_meters odet_after_twotheta", vectors.dot, dims="s", traced=True)
    g.add("distance", "close_distance_meters ratio", detector.beam_distance, dims="s")


def _term(function: Callable[..., tuple[Tensor, ...]], which: int) -> Callable[[Tensor, Tensor], Tensor]:
    """One of the three terms of pix0: a length times a vector."""

    def rule(length: Tensor, axis: Tensor) -> Tensor:
        x = length.unsqueeze(-1)
        centre: Any = SimpleNamespace(fast_close=x, slow_close=x, fast_beam=x, slow_beam=x)
        axes: Any = SimpleNamespace(fdet=axis, sdet=axis, odet=axis)
        if function is detector.sample_pivot_terms:
            return function(centre, axes, x)[which]
        return function(centre, axis, axis, x, axis)[which]

    return rule


def _sum(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return detector.sum_terms((x, y, z))


def _sample_pivot_terms(g: Graph) -> None:
    names = ("term_fast_before_rot", "term_slow_before_rot", "term_close_before_rot")
    for i, (name, length, axis) in enumerate(zip(names, ("Fclose_m", "Sclose_m", "close_distance_m"), AXES)):
        g.add(name, f"{length} initial_{axis}", _term(detector.sample_pivot_terms, i), traced=True)
    g.add("pix0_before_rotation", " ".join(names), _sum, traced=True)
    g.add("pix0_after_rotz", f"pix0_before_rotation {_TILTS}", vectors.rotate_xyz, traced=True)
    g.add("pix0_after_twotheta", f"pix0_after_rotz {_SWING}", vectors.rotate_axis, traced=True)


def _beam_pivot_terms(g: Graph) -> None:
    names = ("term_fast", "term_slow", "term_beam")
    inputs = ("Fbeam_m fdet_after_twotheta", "Sbeam_m sdet_after_twotheta", "distance_m beam")
    for i, (name, sources) in enumerate(zip(names, inputs)):
        g.add(name, sources, _term(detector.beam_pivot_terms, i), traced=True)
    g.add("pix0_vector", " ".join(names), _sum, traced=True)


def _turned_axes(g: Graph, initial: tuple[str, ...]) -> None:
    """Add the axes after the tilts and after the swing, and the lines that repeat them."""
    beam_pivot = not initial[0].startswith("initial_")
    for axis, start in zip(AXES, initial):
        g.add(f"{axis}_after_rotz", f"{start} {_TILTS}", vectors.rotate_xyz, traced=True)
    for axis in AXES:
        g.add(f"{axis}_after_twotheta", f"{axis}_after_rotz {_SWING}", vectors.rotate_axis, traced=True)
    for label, axis in (("FAST", "fdet"), ("SLOW", "sdet"), ("NORMAL", "odet")):
        g.add(f"DETECTOR_{label}_AXIS", f"{axis}_after_twotheta", same, traced=True)
    if not beam_pivot:
        return
    for i, name in enumerate(("Rx", "Ry", "Rz")):
        g.add(name, _TILTS, lambda x, y, z, i=i: detector.tilt_matrices(x, y, z)[i].flatten(), traced=True, each=True)
    g.add("R_total", "Rx Ry Rz", _total_rotation, traced=True, each=True)
    for axis in AXES:
        g.add(f"{axis}_after_rotz#2", f"{axis}_after_twotheta", same, traced=True)
        g.add(f"{axis}_after_twotheta#2", f"{axis}_after_twotheta", same, traced=True)
    g.add("twotheta_axis#2", "twotheta_axis", same, traced=True)


def _total_rotation(rx: Tensor, ry: Tensor, rz: Tensor) -> Tensor:
    x, y, z = (matrix.reshape(3, 3) for matrix in (rx, ry, rz))
    return vectors.multiply_matrices(z, vectors.multiply_matrices(y, x)).flatten()


def add_rays(g: Graph, pixel: PreparedPixel) -> None:
    """Add where the sub-pixels are, and how far (semantics 4.5)."""
    exp = pixel.run.exp
    edge, like = exp.oversample, exp.cells
    order = torch.arange(exp.n_subpixels, device=like.device)
    g.root("fast_index", vectors.to_tensor(float(pixel.fast), like))
    g.root("slow_index", vectors.to_tensor(float(pixel.slow), like))
    g.root("sub_fast", (order % edge).to(like), dims="s")
    g.root("sub_slow", (torch.div(order, edge, rounding_mode="floor") % edge).to(like), dims="s")
    g.root("layer", torch.div(order, edge * edge, rounding_mode="floor").to(like), dims="s")
    g.root("layer_step", exp.layer_step, "-detector_thick -detector_thicksteps")
    g.root("mu", exp.mu, "-detector_abs")

    def coordinate(index: Tensor, sub: Tensor, size: Tensor) -> Tensor:
        return detector.detector_coordinate(index, sub, size, edge)

    g.add("Fdet", "fast_index sub_fast pixel", coordinate, dims="s")
    g.add("Sdet", "slow_index sub_slow pixel", coordinate, dims="s")
    g.add("Odet", "layer layer_step", torch.mul, dims="s")
    inputs = "Fdet Sdet Odet fdet_vec sdet_vec odet_after_twotheta pix0_vector_meters"
    if exp.config.detector.curved:
        g.add("flat_position", inputs, detector.pixel_position, dims="s")
        bent = "flat_position beam fdet_vec sdet_vec distance"
        g.add("pixel_pos_meters", bent, detector.curved_position, dims="s", traced=True, each=True)
    else:
        g.add("pixel_pos_meters", inputs, detector.pixel_position, dims="s", traced=True)
    g.add("R_distance_meters", "pixel_pos_meters", detector.pixel_distance, dims="s", traced=True)
    g.add("diffracted_vec", "pixel_pos_meters R_distance_meters", detector.diffracted_direction, dims="s", traced=True)
