"""The lines that the reference prints about a run, in its words, order and digits (%g): settings, then statistics."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from nanobragg_torch.physics.detector import final_centre
from nanobragg_torch.products.statistics import Statistics
from nanobragg_torch.scan.experiment import Experiment
from nanobragg_torch.scan.rows import row_blocks
from nanobragg_torch.scan.summation import Run
from nanobragg_torch.units import RTD

_PIVOTS = {"BEAM": "pivoting detector around direct beam spot", "SAMPLE": "pivoting detector around sample"}
_SHAPES = {"SQUARE": "parallelpiped", "ROUND": "ellipsoidal", "GAUSS": "gaussian", "TOPHAT": "tophat-spot"}


def setting_lines(exp: Experiment) -> list[str]:
    """What is simulated, known before the first pixel is. Metres and degrees, the cell in Angstrom."""
    detector, geometry, config = exp.config.detector, exp.geometry, exp.config
    given, final = geometry.centre, final_centre(geometry)
    return [
        f"{detector.convention.lower()} convention selected.",
        _PIVOTS[detector.pivot],
        *_crystal_lines(exp),
        f"  wave={float(config.beam.wavelength_m):g} meters +/- {100 * float(config.beam.dispersion.width):g}% in "
        f"{config.beam.dispersion.count} steps",
        f"  Kahn polarization factor: {float(exp.kahn):f}"
        if config.beam.polarized
        else "  polarization effect disabled",
        f"  incident fluence: {_shown(exp.fluence)} photons/m^2",
        f"  distance={_shown(geometry.distance)} detsize={float(detector.size_fast_m):g}x"
        f"{float(detector.size_slow_m):g}  pixel={_shown(geometry.pixel)} meters "
        f"({detector.pixels_fast}x{detector.pixels_slow} pixels)",
        f"  sensor is {float(detector.sensor.thickness_m):g} m thick in {detector.sensor.layers} layers with "
        f"mu= {float(detector.sensor.mu_per_m):g}",
        f"  Xbeam={_shown(given.x_beam)} Ybeam={_shown(given.y_beam)}",
        f"  Fbeam={_shown(final.fast_beam)} Sbeam={_shown(final.slow_beam)}",
        f"  Xclose={_shown(given.x_close)} Yclose={_shown(given.y_close)}",
        f"  Fclose={_shown(final.fast_close)} Sclose={_shown(final.slow_close)}",
        f"  DIRECTION_OF_DETECTOR_X-AXIS= {_shown(geometry.fdet)}",
        f"  DIRECTION_OF_DETECTOR_Y-AXIS= {_shown(geometry.sdet)}",
        f"  DIRECTION_OF_DETECTOR_Z-AXIS= {_shown(geometry.odet)}",
        *_step_lines(exp),
    ]


def _crystal_lines(exp: Experiment) -> list[str]:
    crystal, axes = exp.config.crystal, exp.axes
    counts = [int(n) for n in exp.cells.tolist()]
    size = [1e-4 * length * n for length, n in zip(axes.cell, counts)]
    chosen, listed = exp.config.sampling.oversample < 1, exp.config.structure.reflections
    return [
        f"Unit Cell: {' '.join(f'{x:g}' for x in axes.cell)}",
        f"volume = {_shown(axes.volume)} A^3",
        f"crystal is {' x '.join(f'{x:g}' for x in size)} microns",
        *([f"auto-selected {exp.oversample}-fold oversampling"] if chosen else []),
        f"  created a total of {exp.n_sources} sources:",
        f"  created a total of {crystal.mosaic_domains} mosaic domains",
        f"  {listed.count if listed else 0} initialized hkls (all others ={_shown(exp.grid.default)})",
        f"  {_SHAPES[crystal.shape]} xtal: {'x'.join(map(str, counts))} cells",
    ]


def _step_lines(exp: Experiment) -> list[str]:
    crystal, scan, sampling = exp.config.crystal, exp.config.scan, exp.config.sampling
    start, osc = RTD * float(scan.phi_start_rad), RTD * float(scan.osc_rad)
    each = zip((sampling.thick, sampling.polar, sampling.omega), (" +thick", " +polar", " +omega"))
    return [
        f"  {crystal.mosaic_domains} mosaic domains over mosaic spread of "
        f"{float(crystal.mosaic_spread_rad) * RTD:g} degrees",
        f"  {scan.phi_steps} phi steps from {start:g} to {start + osc:g} degrees",
        f"  {exp.oversample}x{exp.oversample} pixel oversample steps{''.join(text for asked, text in each if asked)}",
    ]


def run_warnings(run: Run) -> list[str]:
    """Lines for a person about what the order of evaluations brings about."""
    if run.tricubic_end is None:
        return []
    return [
        f"tricubic interpolation is switched off at term {run.tricubic_end + 1}, which is too near the edge of the "
        "list, and stays off: structure factors are the nearest from there on (Q25)"
    ]


def image_warnings(image: np.ndarray, measured: Statistics) -> list[str]:
    """Lines for a person about an image (slow, fast) that shows nothing."""
    if not math.isfinite(measured.mean):
        most = np.finfo(np.float32).max
        odd = image.size - sum(int((np.abs(image[rows]) <= most).sum()) for rows in row_blocks(*image.shape))
        return [f"{odd} of {image.size} pixels are infinite or no number, as float32 holds them"]
    return [] if measured.max_I > 0.0 else ["no pixel is above 0"]


def result_lines(measured: Statistics) -> list[str]:
    """Solid angle, maximum and where it is (metres), mean and deviations."""
    return [
        f"solid angle subtended by detector = {measured.solid_angle_sr:g} steradian "
        f"( {measured.percent_of_sphere:g}% sphere)",
        f"max_I = {measured.max_I:g}  at {measured.max_fast_m:g} {measured.max_slow_m:g}",
        f"mean= {measured.mean:g} rms= {measured.rms:g} rmsd= {measured.rmsd:g}",
    ]


def _shown(quantity: Tensor) -> str:
    return " ".join(f"{value:g}" for value in quantity.flatten().tolist())
