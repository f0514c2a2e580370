"""What a user should know about the flags that he typed: one line for each that does not do what it says.

A quirk of the reference that is switched off gives no line. `given` is as in `checks`; the Config is what came of
it. Lines that need what was read or computed are those of `nanobragg_torch.scan.advice`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nanobragg_torch.config import Config
from nanobragg_torch.flags.checks import VECTORS, origin
from nanobragg_torch.io.mosflm_cell import disagreement
from nanobragg_torch.units import RTD

Given = dict[str, Any]

# what is typed below 0 and counts as not given, apart from angles of the scan (Q59)
_NOT_BELOW_0 = (
    *("hdivrange", "vdivrange", "divergence", "hdivstep", "vdivstep", "hdivsteps", "vdivsteps", "divsteps"),
    *("dispersion", "dispsteps", "mosaic", "mosaic_domains", "thick", "thicksteps", "oversample", "phisteps"),
    *("size", "size_x", "size_y", "size_z", "dmin", "scale", "pgm_scale"),
)
# what an experiment has, in the unit of the flag: key, unit, metres of it, from, to
_COMMON = (
    ("wavelength", "A", 1e-10, 0.01, 200.0),
    ("distance", "mm", 1e-3, 1.0, 1e5),
    ("close_distance", "mm", 1e-3, 1.0, 1e5),
    ("pixel", "mm", 1e-3, 1e-3, 10.0),
    ("size", "mm", 1e-3, 0.0, 10.0),
    ("beamsize", "mm", 1e-3, 0.0, 100.0),
    ("thick", "um", 1e-6, 1.0, 1e5),
    ("water", "um", 1e-6, 0.0, 1e5),
    ("dmin", "A", 1e-10, 0.0, 1e4),
)


@dataclass(frozen=True)
class _Asked:
    given: Given
    config: Config

    def typed(self, *keys: str) -> str:
        """The flags of these keys, as they were typed; empty where none was."""
        found = dict.fromkeys(self.given["typed"][key] for key in keys if key in self.given["typed"])
        return " ".join(found)

    def on(self, quirk: str) -> bool:
        return self.config.quirks.on(quirk)


def of_flags(given: Given, config: Config) -> tuple[str, ...]:
    """Lines about what was typed, in the order: detector, its centre, sensor, scan, beam, crystal, output."""
    asked = _Asked(given, config)
    parts = (_units, _vectors, _centre, _swing, _sensor, _factors, _scan, _beam, _dose, _crystal, _interpolation,
             _files, _unset)  # fmt: skip
    return tuple(line for part in parts for line in part(asked))


def _units(asked: _Asked) -> Iterator[str]:
    for key, unit, metres, least, most in _COMMON:
        stored = "size_x" if key == "size" else key
        value = abs(asked.given.get(stored, 0.0)) / metres
        flag, _ = origin(asked.given, key, "")
        if flag and value != 0.0 and not least * (1 - 1e-9) <= value <= most * (1 + 1e-9):
            shown = f"a wavelength of {value:g}" if flag == "-energy" else f"{value:g}"
            yield f"{flag}: {shown} {unit} is beyond {least:g} to {most:g} {unit}: is it in another unit?"


def _vectors(asked: _Asked) -> Iterator[str]:
    given, detector = asked.given, asked.config.detector
    pix0, vectors = asked.typed("pix0"), asked.typed(*VECTORS, "pix0")
    if vectors and asked.on("Q54") and detector.convention == "CUSTOM":
        yield f"{vectors}: CUSTOM is selected, with its own beam centre, pivot and vectors that are not given (Q54)"
    elif vectors and asked.on("Q54"):
        yield f"{vectors}: no effect, {detector.convention} is selected after it (Q54)"
    if pix0 and asked.on("Q02"):
        yield f"{pix0}: its value has no effect, pix0 is computed (Q02)"
    inert = asked.typed("distance", "close_distance", "x_beam", "y_beam", "x_close", "y_close", "orgx", "orgy")
    if pix0 and inert and not asked.on("Q02"):
        yield f"{inert}: no effect on the detector, which {pix0} places"
    odet, axis = given.get("odet"), given.get("twotheta_axis")
    if odet is not None and math.hypot(*odet) != 1.0 and asked.on("Q03"):
        yield "-odet_vector: auto-generated as unit(fdet x sdet), its length is not exactly 1 (Q03)"
    if axis is not None and abs(math.hypot(*axis) - 1.0) > 1e-6 and detector.twotheta_rad != 0 and asked.on("Q04"):
        yield f"-twotheta_axis: stretches the detector, its length is {math.hypot(*axis):g}, not 1 (Q04)"


def _centre(asked: _Asked) -> Iterator[str]:
    detector = asked.config.detector
    convention, at_beam = detector.convention, detector.pivot == "BEAM"
    where, why = f"{convention} with the pivot {detector.pivot}", ""
    if convention in ("XDS", "DIALS"):
        inert: tuple[str, ...] = () if at_beam else ("x_beam", "y_beam", "x_close", "y_close")
        why = " (Q05)"
        if not asked.on("Q05"):
            inert, why = (), ""
    elif convention == "CUSTOM":
        inert = ()
    else:
        inert = ("x_close", "y_close", "orgx", "orgy") if at_beam else ("x_beam", "y_beam", "x_close", "y_close")
    flags = asked.typed(*inert)
    if flags:
        yield f"{flags}: no effect on where the detector is in {where}{why}"
    if asked.typed("distance") and asked.typed("close_distance"):
        yield "-distance: no effect beside -close_distance"
    sizes = asked.typed("detsize", "detsize_f", "detsize_s")
    counted = [axis for axis in "fs" if asked.given.get(f"detpixels_{axis}", 0) != 0]
    if sizes and counted and asked.typed("detpixels", "detpixels_f", "detpixels_s"):
        yield f"{sizes}: no effect along axes with -detpixels"
    roi = asked.config.detector.rendered
    if asked.typed("roi") and (roi.fast_max < roi.fast_min or roi.slow_max < roi.slow_min):
        yield f"-roi: no pixel of {detector.pixels_fast} x {detector.pixels_slow} lies in it, the image is 0"


def _swing(asked: _Asked) -> Iterator[str]:
    detector, asked_for = asked.config.detector, asked.given.get("pivot_asked")
    if asked_for is not None and asked_for != detector.pivot:
        yield f"-pivot: no effect in {detector.convention}, the pivot is {detector.pivot} (Q06)"
    if detector.twotheta_rad != 0 and asked.on("Q08"):
        yield "-twotheta: the reported distance and beam centre, and the advised oversampling, leave it out (Q08)"
    if detector.curved and asked.on("Q17"):
        yield "-curved_det: arcs are lab y and z, the solid angle that of a flat detector (Q17)"
    if detector.point_pixel and asked.on("Q16"):
        yield "-point_pixel: the solid angle is 1/R^2, without the area of the pixel (Q16)"


def _sensor(asked: _Asked) -> Iterator[str]:
    given, sensor = asked.given, asked.config.detector.sensor
    thick, steps = given.get("thick", 0.0), asked.typed("thicksteps")
    if not sensor.present:
        flags = asked.typed("mu", "thicksteps")
        if flags and "thick" not in asked.given["typed"]:
            yield f"{flags}: no effect without -detector_thick"
        elif flags and given.get("mu") == 0.0:
            yield f"{asked.typed('mu')}: the sensor has no thickness then, and captures everything"
        return
    if given.get("mu", -1.0) < 0.0:
        yield f"-detector_thick: the attenuation depth is the thickness, {1e6 * thick:g} um, as none is given"
    elif given["mu"] == 0.0:
        yield "-detector_thick: captures nothing with an infinite attenuation depth, the image is 0"
    if steps and asked.on("Q14"):
        yield f"{steps}: {sensor.layers} layers thickness/{sensor.layers - 1} apart, the last beyond the sensor (Q14)"
    if not asked.config.sampling.thick and asked.on("Q15"):
        yield "-detector_thick: all layers get the capture fraction of the last one (Q15)"


def _factors(asked: _Asked) -> Iterator[str]:
    config, sampling = asked.config, asked.config.sampling
    flags = asked.typed("oversample_thick", "oversample_polar", "oversample_omega")
    if flags and asked.on("Q27"):
        yield f"{flags}: multiplies the sum so far at each further term, not the term (Q27)"
    if sampling.thick and not config.detector.sensor.present and asked.on("Q28"):
        yield "-oversample_thick: the image is 0 without -detector_thick (Q28)"
    if sampling.polar and not config.beam.polarized and asked.on("Q23"):
        yield "-nopolar: no effect beside -oversample_polar (Q23)"
    if asked.typed("kahn") and not config.beam.polarized:
        yield "-polar: no effect, -nopolar follows it"
    elif asked.typed("kahn") and abs(asked.given["kahn"]) > 1.0:
        yield f"{asked.typed('kahn')}: {asked.given['kahn']:g} is beyond -1 to 1: factors can be below 0"
    if asked.typed("water") and asked.on("Q26"):
        yield "-water: the background is scaled by the fluence twice, and depends on the number of steps (Q26)"
    if asked.typed("adc") and config.detector.roi is not None and asked.on("Q43"):
        yield "-adc: pixels outside -roi are 0 in the integer and noise image (Q43)"
    if asked.typed("seed", "mosaic_seed", "misset_seed") and asked.on("Q55"):
        for key in ("seed", "mosaic_seed", "misset_seed"):
            if key in asked.given["typed"] and asked.given[key] < 0:
                yield f"{asked.typed(key)}: a negative seed does not restart the generator (Q55)"


def _scan(asked: _Asked) -> Iterator[str]:
    given, scan = asked.given, asked.config.scan
    osc, step, steps = given.get("osc", -1.0), given.get("phistep", -1.0), given.get("phisteps", -1)
    if asked.on("Q59"):
        for key, keyword in (("osc", "OSC_RANGE"), ("phistep", "")):
            if given.get(key, 0.0) < 0.0:
                name = asked.typed(key) or f"a header's {keyword}"
                yield f"{name}: counts as not given below 0, the crystal is not turned backwards (Q59)"
    if steps >= 0 and osc < 0 and asked.on("Q32"):
        yield (
            f"-phisteps: without -osc 2 steps of -phistep, not {steps} (Q32)"
            if step > 0
            else f"-phisteps: without -osc and -phistep {scan.osc_rad * RTD:g} degree is swept (Q32)"
            if scan.phi_steps > 1
            else "-phisteps: one step is a still, of which the header says OSC_RANGE=1 (Q32)"
        )
    if asked.typed("osc") and osc >= 0 and step >= 0 and steps >= 0 and abs(scan.phi_steps * step - osc) > 1e-9:
        yield f"-osc: no effect on the image, {scan.phi_steps} steps of {step * RTD:g} degrees are taken"
    start, size = float(scan.phi_start_rad), float(scan.phi_step_rad)
    if scan.phi_steps > 1 and size != 0.0 and asked.on("Q29"):
        at = round(-start / size)
        if 0 <= at < scan.phi_steps and start + size * at == 0.0:
            yield "phi 0: this step keeps the orientation of the one before, at the start that of the last (Q29)"


def _beam(asked: _Asked) -> Iterator[str]:
    given, beam = asked.given, asked.config.beam
    spread = asked.typed("divergence", "hdivrange", "vdivrange", "hdivstep", "vdivstep", "hdivsteps", "vdivsteps",
                         "divsteps", "dispersion", "dispsteps")  # fmt: skip
    if beam.source_file is not None:
        if spread:
            yield f"{spread}: no effect beside -sourcefile"
        return
    for axis in "hv":
        range_, step = given.get(f"{axis}divrange", -1.0), given.get(f"{axis}divstep", -1.0)
        steps = given.get(f"{axis}divsteps", -1)
        if steps > 0 and range_ < 0 and step <= 0 and asked.on("Q41"):
            yield f"-{axis}divsteps {steps}: without a range it spans 1 radian, 57.3 degrees (Q41)"
    steps, width = given.get("dispsteps", -1), given.get("dispersion", 0.0)
    if steps > 0 and steps != beam.dispersion.count and asked.on("Q42"):
        yield f"-dispsteps {steps}: {beam.dispersion.count} with a dispersion of {100 * width:g} % (Q42)"


def _dose(asked: _Asked) -> Iterator[str]:
    given = asked.given
    if given.get("flux", 0.0) != 0.0 and given.get("beamsize", 1e-4) < 0.0:
        yield f"-flux: no effect with a -beamsize below 0, the fluence is {_fluence(asked)}"
        return
    if given.get("flux", 0.0) != 0.0 and given.get("exposure", 1.0) > 0.0:
        if asked.typed("fluence"):
            yield "-fluence: no effect beside -flux"
        return
    if given.get("flux", 0.0) != 0.0:
        yield f"-flux: no effect with -exposure {given['exposure']:g}, the fluence is {_fluence(asked)}"
        return
    if asked.typed("exposure"):
        yield "-exposure: no effect without -flux"
    if asked.typed("beamsize") and not any(asked.config.crystal.size_m):
        yield "-beamsize: no effect without -flux and without a crystal size"


def _fluence(asked: _Asked) -> str:
    return f"{float(asked.config.beam.fluence_per_m2):g} photons/m^2"


def _crystal(asked: _Asked) -> Iterator[str]:
    crystal = asked.config.crystal
    if crystal.matrix is not None:
        wavelength = 1e10 * float(asked.config.beam.wavelength_m)
        wrong = disagreement(asked.given["mat"], [float(x) for x in crystal.matrix], wavelength)
        if wrong:
            yield wrong
    if crystal.misset_seed is not None and asked.on("Q19"):
        yield "-misset random: orientations are not uniformly distributed (Q19)"
    if crystal.misset_seed is None and asked.typed("misset_seed"):
        yield "-misset_seed: no effect without -misset random"
    if crystal.shape in ("GAUSS", "TOPHAT") and asked.on("Q24"):
        flag = "-gauss_xtal" if crystal.shape == "GAUSS" else "-tophat_spots"
        yield f"{flag}: the width of spots goes by Na Nb Nc and the cell, not by each N (Q24)"
    if crystal.shape == "SQUARE" and asked.typed("fudge"):
        yield "-fudge: no effect on a -square_xtal"
    sized = [name for axis, name in zip("xyz", ("Na", "Nb", "Nc")) if asked.given.get(f"size_{axis}", 0.0) > 0.0]
    counts = asked.typed(*sized, *(["N"] if len(sized) == 3 else []))
    if counts:
        yield f"{counts}: no effect beside {asked.typed('size', 'size_x', 'size_y', 'size_z')}"
    if asked.typed("mosaic_domains") and not bool(crystal.mosaic_spread_rad > 0):
        yield f"{asked.typed('mosaic_domains')}: no effect without a mosaic spread, there is one domain"


def _interpolation(asked: _Asked) -> Iterator[str]:
    given, structure = asked.given, asked.config.structure
    listed = structure.hkl_file is not None or structure.dump_file is not None
    if not listed and given.get("interpolate") == 1:
        yield "-interpolate: no effect without a reflection list"
    size = asked.typed("size", "size_x", "size_y", "size_z")
    if listed and size and "interpolate" not in given and asked.on("Q51"):
        chosen = "tricubic" if structure.interpolate else "nearest"
        yield f"{size}: structure factors are {chosen} by -N as it is typed, not by this size (Q51)"


def _files(asked: _Asked) -> Iterator[str]:
    if not 0.0 <= asked.config.output.adc <= 65535.0:
        yield f"-adc: {asked.config.output.adc:g} is beyond the 16 bits of a pixel, 0 to 65535"


def _unset(asked: _Asked) -> Iterator[str]:
    for key in _NOT_BELOW_0:
        stored = {"size": "size_x", "divergence": "hdivrange", "divsteps": "hdivsteps"}.get(key, key)
        if asked.typed(key) and asked.given[stored] < 0:
            yield f"{asked.typed(key)}: counts as not given below 0"
    for key, stored in (("N", "Na"), ("Na", "Na"), ("Nb", "Nb"), ("Nc", "Nc")):
        if asked.typed(key) and asked.given[stored] < 1:
            yield f"{asked.typed(key)}: counts as 1 below 1"
