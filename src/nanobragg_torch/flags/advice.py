"""What a user should know about the flags that he typed: one line for each that does not do what it says.

A quirk of the reference that is switched off gives no line. The Config is what came of what was given. Lines
that need what was computed are those of `nanobragg_torch.scan.advice`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from nanobragg_torch.config import Config
from nanobragg_torch.flags.checks import VECTORS, origin
from nanobragg_torch.flags.record import Field
from nanobragg_torch.flags.table import Given
from nanobragg_torch.io.mosflm_cell import disagreement
from nanobragg_torch.units import RTD

_SPREADS = (
    Given.divergence, Given.hdivrange, Given.vdivrange, Given.hdivstep, Given.vdivstep, Given.hdivsteps,
    Given.vdivsteps, Given.divsteps, Given.dispersion, Given.dispsteps,
)  # fmt: skip
# what is typed below 0 and counts as not given, apart from angles of the scan (Q59)
_NOT_BELOW_0: tuple[Field[Any], ...] = (
    *_SPREADS, Given.mosaic, Given.mosaic_domains,
    Given.thick, Given.thicksteps, Given.oversample, Given.phisteps, Given.size, Given.size_x, Given.size_y,
    Given.size_z, Given.dmin, Given.scale, Given.pgm_scale,
)  # fmt: skip
_BEAM_CENTRE, _NEAR_POINT = (Given.x_beam, Given.y_beam), (Given.x_close, Given.y_close)
_SIZES = (Given.size, Given.size_x, Given.size_y, Given.size_z)
# what an experiment has, in the unit of the flag: field, unit, metres of it, from, to
_COMMON: tuple[tuple[Field[Any], str, float, float, float], ...] = (
    (Given.wavelength, "A", 1e-10, 0.01, 200.0),
    (Given.distance, "mm", 1e-3, 1.0, 1e5),
    (Given.close_distance, "mm", 1e-3, 1.0, 1e5),
    (Given.pixel, "mm", 1e-3, 1e-3, 10.0),
    (Given.size, "mm", 1e-3, 0.0, 10.0),
    (Given.beamsize, "mm", 1e-3, 0.0, 100.0),
    (Given.thick, "um", 1e-6, 1.0, 1e5),
    (Given.water, "um", 1e-6, 0.0, 1e5),
    (Given.dmin, "A", 1e-10, 0.0, 1e4),
)


def of_flags(given: Given, config: Config) -> tuple[str, ...]:
    """Lines about what was typed, in the order: detector, its centre, sensor, scan, beam, crystal, output."""
    parts = (_units, _vectors, _centre, _swing, _sensor, _factors, _scan, _beam, _dose, _crystal, _interpolation,
             _files, _unset)  # fmt: skip
    return tuple(line for part in parts for line in part(given, config))


def _units(given: Given, config: Config) -> Iterator[str]:
    for field, unit, metres, least, most in _COMMON:
        value = abs(given.get(field) or 0.0) / metres
        flag, _ = origin(given, field)
        if flag and value != 0.0 and not least * (1 - 1e-9) <= value <= most * (1 + 1e-9):
            shown = f"a wavelength of {value:g}" if flag == "-energy" else f"{value:g}"
            yield f"{flag}: {shown} {unit} is beyond {least:g} to {most:g} {unit}: is it in another unit?"


def _vectors(given: Given, config: Config) -> Iterator[str]:
    detector = config.detector
    pix0, vectors = given.typed(Given.pix0), given.typed(*VECTORS, Given.pix0)
    if vectors and given.on("Q54") and detector.convention == "CUSTOM":
        yield f"{vectors}: CUSTOM is selected, with its own beam centre, pivot and vectors that are not given (Q54)"
    elif vectors and given.on("Q54"):
        yield f"{vectors}: no effect, {detector.convention} is selected after it (Q54)"
    if pix0 and given.on("Q02"):
        yield f"{pix0}: its value has no effect, pix0 is computed (Q02)"
    placing = (Given.distance, Given.close_distance, *_BEAM_CENTRE, *_NEAR_POINT, Given.orgx, Given.orgy)
    inert = given.typed(*placing)
    if pix0 and inert and not given.on("Q02"):
        yield f"{inert}: no effect on the detector, which {pix0} places"
    odet, axis = given.odet, given.twotheta_axis
    if odet is not None and math.hypot(*odet) != 1.0 and given.on("Q03"):
        yield "-odet_vector: auto-generated as unit(fdet x sdet), its length is not exactly 1 (Q03)"
    if axis is not None and abs(math.hypot(*axis) - 1.0) > 1e-6 and detector.twotheta_rad != 0 and given.on("Q04"):
        yield f"-twotheta_axis: stretches the detector, its length is {math.hypot(*axis):g}, not 1 (Q04)"


def _centre(given: Given, config: Config) -> Iterator[str]:
    detector = config.detector
    convention, at_beam = detector.convention, detector.pivot == "BEAM"
    where, why = f"{convention} with the pivot {detector.pivot}", ""
    if convention in ("XDS", "DIALS"):
        inert: tuple[Field[Any], ...] = () if at_beam else _BEAM_CENTRE + _NEAR_POINT
        why = " (Q05)"
        if not given.on("Q05"):
            inert, why = (), ""
    elif convention == "CUSTOM":
        inert = ()
    else:
        inert = _NEAR_POINT + (Given.orgx, Given.orgy) if at_beam else _BEAM_CENTRE + _NEAR_POINT
    flags = given.typed(*inert)
    if flags:
        yield f"{flags}: no effect on where the detector is in {where}{why}"
    if given.typed(Given.distance) and given.typed(Given.close_distance):
        yield "-distance: no effect beside -close_distance"
    sizes = given.typed(Given.detsize, Given.detsize_f, Given.detsize_s)
    if (
        sizes
        and (given.detpixels_f or given.detpixels_s)
        and given.typed(Given.detpixels, Given.detpixels_f, Given.detpixels_s)
    ):
        yield f"{sizes}: no effect along axes with -detpixels"
    roi = config.detector.rendered
    if given.typed(Given.roi) and (roi.fast_max < roi.fast_min or roi.slow_max < roi.slow_min):
        yield f"-roi: no pixel of {detector.pixels_fast} x {detector.pixels_slow} lies in it, the image is 0"


def _swing(given: Given, config: Config) -> Iterator[str]:
    detector, asked_for = config.detector, given.pivot_asked
    if asked_for is not None and asked_for != detector.pivot:
        yield f"-pivot: no effect in {detector.convention}, the pivot is {detector.pivot} (Q06)"
    if detector.twotheta_rad != 0 and given.on("Q08"):
        yield "-twotheta: the reported distance and beam centre, and the advised oversampling, leave it out (Q08)"
    if detector.curved and given.on("Q17"):
        yield "-curved_det: arcs are lab y and z, the solid angle that of a flat detector (Q17)"
    if detector.point_pixel and given.on("Q16"):
        yield "-point_pixel: the solid angle is 1/R^2, without the area of the pixel (Q16)"


def _sensor(given: Given, config: Config) -> Iterator[str]:
    sensor = config.detector.sensor
    thick, steps = given.thick, given.typed(Given.thicksteps)
    if not sensor.present:
        flags = given.typed(Given.mu, Given.thicksteps)
        if flags and Given.thick not in given.words:
            yield f"{flags}: no effect without -detector_thick"
        elif flags and given.mu == 0.0:
            yield f"{given.typed(Given.mu)}: the sensor has no thickness then, and captures everything"
        return
    if given.on("Q62") and Given.mu not in given:
        yield "-detector_thick: captures nothing without -detector_abs, the image is 0 (Q62)"
    elif given.mu < 0.0 and not given.on("Q62"):
        yield f"-detector_thick: the attenuation depth is the thickness, {1e6 * thick:g} um, as none is given"
    elif given.mu == 0.0:
        yield "-detector_thick: captures nothing with an infinite attenuation depth, the image is 0"
    if steps and given.on("Q14"):
        yield f"{steps}: {sensor.layers} layers thickness/{sensor.layers - 1} apart, the last beyond the sensor (Q14)"
    if not config.sampling.thick and given.on("Q15"):
        yield "-detector_thick: all layers get the capture fraction of the last one (Q15)"


def _factors(given: Given, config: Config) -> Iterator[str]:
    sampling = config.sampling
    flags = given.typed(Given.oversample_thick, Given.oversample_polar, Given.oversample_omega)
    if flags and given.on("Q27"):
        yield f"{flags}: multiplies the sum so far at each further term, not the term (Q27)"
    elif flags and given.typed(Given.water) and given.on("Q26") and given.on("Q66"):
        yield f"{flags}: has no effect on the background of -water (Q66)"
    if sampling.thick and not config.detector.sensor.present and given.on("Q28"):
        yield "-oversample_thick: the image is 0 without -detector_thick (Q28)"
    if sampling.polar and not config.beam.polarized and given.on("Q23"):
        yield "-nopolar: no effect beside -oversample_polar (Q23)"
    if given.typed(Given.kahn) and not config.beam.polarized:
        yield "-polar: no effect, -nopolar follows it"
    elif given.typed(Given.kahn) and abs(given.kahn) > 1.0:
        yield f"{given.typed(Given.kahn)}: {given.kahn:g} is beyond -1 to 1: factors can be below 0"
    if given.typed(Given.water) and given.on("Q26"):
        yield "-water: the background is scaled by the fluence twice, and depends on the number of steps (Q26)"
    if given.typed(Given.adc) and config.detector.roi is not None and given.on("Q43"):
        yield "-adc: pixels outside -roi are 0 in the integer and noise image (Q43)"
    if given.typed(Given.seed, Given.mosaic_seed, Given.misset_seed) and given.on("Q55"):
        for field in (Given.seed, Given.mosaic_seed, Given.misset_seed):
            if field in given.words and given.values[field] < 0:
                yield f"{given.typed(field)}: a negative seed does not restart the generator (Q55)"


def _scan(given: Given, config: Config) -> Iterator[str]:
    scan = config.scan
    osc, step, steps = given.osc, given.phistep, given.phisteps
    if given.on("Q59"):
        for field, keyword in ((Given.osc, "OSC_RANGE"), (Given.phistep, "")):
            if field in given and given.get(field) < 0.0:
                name = given.typed(field) or f"a header's {keyword}"
                yield f"{name}: counts as not given below 0, the crystal is not turned backwards (Q59)"
    if steps >= 0 and osc < 0 and given.on("Q32"):
        yield (
            f"-phisteps: without -osc 2 steps of -phistep, not {steps} (Q32)"
            if step > 0
            else f"-phisteps: without -osc and -phistep {scan.osc_rad * RTD:g} degree is swept (Q32)"
            if scan.phi_steps > 1
            else "-phisteps: one step is a still, of which the header says OSC_RANGE=1 (Q32)"
        )
    if given.typed(Given.osc) and osc >= 0 and step >= 0 and steps >= 0 and abs(scan.phi_steps * step - osc) > 1e-9:
        yield f"-osc: no effect on the image, {scan.phi_steps} steps of {step * RTD:g} degrees are taken"
    start, size = float(scan.phi_start_rad), float(scan.phi_step_rad)
    if scan.phi_steps > 1 and size != 0.0 and given.on("Q29"):
        at = round(-start / size)
        if 0 <= at < scan.phi_steps and start + size * at == 0.0:
            yield "phi 0: this step keeps the orientation of the one before, at the start that of the last (Q29)"


def _beam(given: Given, config: Config) -> Iterator[str]:
    beam = config.beam
    spread = given.typed(*_SPREADS)
    if beam.source_file is not None:
        if spread:
            yield f"{spread}: no effect beside -sourcefile"
        return
    for axis, steps, width, step in (
        ("h", given.hdivsteps, given.hdivrange, given.hdivstep),
        ("v", given.vdivsteps, given.vdivrange, given.vdivstep),
    ):
        if steps > 0 and width < 0 and step <= 0 and given.on("Q41"):
            yield f"-{axis}divsteps {steps}: without a range it spans 1 radian, 57.3 degrees (Q41)"
    steps, width = given.dispsteps, given.dispersion
    if steps > 0 and steps != beam.dispersion.count and given.on("Q42"):
        yield f"-dispsteps {steps}: {beam.dispersion.count} with a dispersion of {100 * width:g} % (Q42)"


def _dose(given: Given, config: Config) -> Iterator[str]:
    if given.flux != 0.0 and given.beamsize < 0.0:
        yield f"-flux: no effect with a -beamsize below 0, the fluence is {_fluence(config)}"
        return
    if given.flux != 0.0 and given.exposure > 0.0:
        if given.typed(Given.fluence):
            yield "-fluence: no effect beside -flux"
        return
    if given.flux != 0.0:
        yield f"-flux: no effect with -exposure {given.exposure:g}, the fluence is {_fluence(config)}"
        return
    if given.typed(Given.exposure):
        yield "-exposure: no effect without -flux"
    if given.typed(Given.beamsize) and not any(config.crystal.size_m):
        yield "-beamsize: no effect without -flux and without a crystal size"


def _fluence(config: Config) -> str:
    return f"{float(config.beam.fluence_per_m2):g} photons/m^2"


def _crystal(given: Given, config: Config) -> Iterator[str]:
    crystal = config.crystal
    if crystal.matrix is not None and given.mat is not None:
        wavelength = 1e10 * float(config.beam.wavelength_m)
        wrong = disagreement(given.mat, [float(x) for x in crystal.matrix], wavelength)
        if wrong:
            yield wrong
    if crystal.misset_seed is not None and given.on("Q19"):
        yield "-misset random: orientations are not uniformly distributed (Q19)"
    if crystal.misset_seed is None and given.typed(Given.misset_seed):
        yield "-misset_seed: no effect without -misset random"
    if crystal.shape in ("GAUSS", "TOPHAT") and given.on("Q24"):
        flag = "-gauss_xtal" if crystal.shape == "GAUSS" else "-tophat_spots"
        yield f"{flag}: the width of spots goes by Na Nb Nc and the cell, not by each N (Q24)"
    if crystal.shape == "SQUARE" and given.typed(Given.fudge):
        yield "-fudge: no effect on a -square_xtal"
    sizes = (given.size_x, given.size_y, given.size_z)
    sized = [field for size, field in zip(sizes, (Given.Na, Given.Nb, Given.Nc)) if size > 0.0]
    counts = given.typed(*sized, *([Given.N] if len(sized) == 3 else []))
    if counts:
        yield f"{counts}: no effect beside {given.typed(*_SIZES)}"
    if given.typed(Given.mosaic_domains) and not bool(crystal.mosaic_spread_rad > 0):
        yield f"{given.typed(Given.mosaic_domains)}: no effect without a mosaic spread, there is one domain"


def _interpolation(given: Given, config: Config) -> Iterator[str]:
    structure = config.structure
    listed = structure.hkl_file is not None or structure.dump_file is not None
    if not listed and given.interpolate:
        yield "-interpolate: no effect without a reflection list"
    size = given.typed(*_SIZES)
    if listed and size and Given.interpolate not in given and given.on("Q51"):
        chosen = "tricubic" if structure.interpolate else "nearest"
        yield f"{size}: structure factors are {chosen} by -N as it is typed, not by this size (Q51)"


def _files(given: Given, config: Config) -> Iterator[str]:
    if not 0.0 <= config.output.adc <= 65535.0:
        yield f"-adc: {config.output.adc:g} is beyond the 16 bits of a pixel, 0 to 65535"


def _unset(given: Given, config: Config) -> Iterator[str]:
    for field in _NOT_BELOW_0:
        if field in given.words and given.get(field) < 0:
            yield f"{given.typed(field)}: counts as not given below 0"
    for cells in (Given.N, Given.Na, Given.Nb, Given.Nc):
        if cells in given.words and given.get(cells) < 1:
            yield f"{given.typed(cells)}: counts as 1 below 1"
