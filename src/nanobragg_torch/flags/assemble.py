"""From the values that flags gave to a Config: defaults, derived numbers, and what must be present."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

from nanobragg_torch.config import (
    Beam,
    Cell,
    Config,
    Crystal,
    Detector,
    Output,
    Roi,
    Sampling,
    Scan,
    Spread,
    StructureFactors,
)
from nanobragg_torch.errors import FlagError, InputError
from nanobragg_torch.flags import sampling
from nanobragg_torch.flags.advice import of_flags
from nanobragg_torch.flags.checks import check
from nanobragg_torch.flags.header import header_lines, settle
from nanobragg_torch.flags.table import Given
from nanobragg_torch.io.fdump import NAME
from nanobragg_torch.io.inputs import kind_at
from nanobragg_torch.io.mosflm_matrix import read_matrix
from nanobragg_torch.units import radians


def assemble(given: Given) -> Config:
    """The Config of what was given. Raises FlagError, InputError."""
    dump = _dump(given)
    if given.hkl is None and dump is None and given.default_F == 0.0:
        raise FlagError("expected -hkl FILE or -default_F VALUE, got neither")
    if given.mat is None and given.cell[0] <= 0.0:
        raise FlagError("expected -mat FILE or -cell A B C ALPHA BETA GAMMA, got neither")
    check(given)
    settle(given)
    detector = _detector(given)
    config = Config(
        crystal=_crystal(given),
        detector=detector,
        beam=_beam(given),
        scan=_scan(given),
        structure=_structure(given, dump),
        sampling=_sampling(given, detector.sensor.present),
        quirks=given.quirks,
        water_m=given.water,
        dmin_m=given.dmin,
        output=_output(given),
        inputs=_inputs(given, dump),
    )
    lines = (*header_lines(given), *given.warnings, *of_flags(given, config))
    return replace(config, warnings=tuple(dict.fromkeys(lines)))


def _dump(given: Given) -> Path | None:
    """The grid of an earlier run, read where there is no -hkl (semantics 2.7)."""
    if given.hkl is not None:
        return None
    if given.fdump is not None:
        return given.fdump
    if given.dump_file is not None:
        return _cache(given, given.dump_file)
    stray = given.dump
    if stray is None or kind_at(stray) != "" or not given.on("Q57"):
        return None
    default = given.default_F
    instead = f": in the box of its indices they replace -default_F {default:g}" if default != 0.0 else ""
    given.warnings.append(
        f"{stray}: structure factors are read from it, there is no -hkl (Q57){instead}; remove it, or give"
        " --quirk Q57=off"
    )
    return stray


def _cache(given: Given, named: Path) -> Path | None:
    """The file of -dump (Q61): where there is none yet, the reference goes on with -default_F."""
    if kind_at(named) == "":
        return named
    if not given.on("Q57") or given.default_F == 0.0:
        raise InputError(f"-dump {named}: expected a file, or -hkl to make it of, found neither")
    given.warnings.append(f"-dump {named}: there is no such file, nor -hkl to make it of: -default_F is used")
    return None


def _inputs(given: Given, dump: Path | None) -> tuple[tuple[str, Path], ...]:
    """What is read, by the flags that name it."""
    read = [(flag, path) for flag, path in given.named if flag != "--fdump"]
    return (*read, ("a run without -hkl", dump)) if dump is not None else tuple(read)


def _sampling(given: Given, sensor: bool) -> Sampling:
    thick, polar = given.oversample_thick, given.oversample_polar
    if not given.on("Q28"):
        thick = thick and sensor
    if not given.on("Q23"):
        polar = polar and given.polarized
    return Sampling(max(given.oversample, 0), thick, polar, given.oversample_omega)


def _output(given: Given) -> Output:
    pgm, noise = Path(given.pgm_file), Path(given.noise_file)
    return Output(
        float_file=Path(given.float_file),
        trace_pixel=given.trace_pixel,
        int_file=Path(given.int_file),
        pgm_file=pgm if given.pgm else None,
        noise_file=noise if given.noise else None,
        scale=given.scale,
        pgm_scale=given.pgm_scale,
        adc=given.adc,
        seed=_noise_seed(given),
        dump_file=given.dump_file or Path(NAME),
        printout=given.printout,
        printout_pixel=_printout_pixel(given),
        progress=given.progress,
        show_config=given.show_config,
    )


def _printout_pixel(given: Given) -> tuple[int, int] | None:
    """(slow, fast); the flag has the fast one first (Q52), and one below 0 means every pixel."""
    fast, slow = given.printout_pixel
    return None if fast < 0 else (slow, fast)


def _seed(given: Given, number: int) -> int:
    """The generator's state: a seed counts as its negative, so that it restarts the generator (Q55)."""
    return -number if given.on("Q55") else -abs(number)


def _noise_seed(given: Given) -> int:
    return _clock() if given.seed is None else _seed(given, given.seed)


def _clock() -> int:
    return -int(time.time())


def _crystal(given: Given) -> Crystal:
    if given.mosaic_domains == 0 and given.mosaic > 0.0:
        raise FlagError("-mosaic_dom: expected at least 1 domain for the mosaic spread, got 0")
    domains, mosaic = sampling.mosaic(given.mosaic_domains, given.mosaic)
    if domains == 10 and Given.mosaic_domains not in given:
        given.warnings.append("mosaic spread without -mosaic_domains: 10 domains are used")
    return Crystal(
        cell=_cell(given.cell) if given.cell[0] > 0.0 else None,
        matrix=None if given.mat is None else read_matrix(given.mat),
        misset_rad=None if isinstance(given.misset, str) else given.misset,
        misset_seed=_misset_seed(given) if isinstance(given.misset, str) else None,
        cells=(float(given.Na), float(given.Nb), float(given.Nc)),
        size_m=_size(given),
        shape=given.shape,
        fudge=given.fudge,
        mosaic_spread_rad=mosaic,
        mosaic_domains=domains,
        mosaic_seed=_seed(given, given.mosaic_seed),
    )


def _misset_seed(given: Given) -> int:
    if given.on("Q63"):
        if given.seed is None:
            given.seed = -_clock()  # of the noise image too
            given.warnings.append(f"-misset random: the clock is the seed; -seed {given.seed} repeats this run (Q63)")
        return _noise_seed(given)
    if given.misset_seed is not None:
        return _seed(given, given.misset_seed)
    if given.seed is not None and not given.on("Q20"):
        return _seed(given, given.seed)
    seed = _clock()
    given.warnings.append(f"-misset random: the clock is the seed; -misset_seed {-seed} repeats this run (Q20)")
    return seed


def _cell(values: tuple[float, ...]) -> Cell:
    """Missing or non-positive lengths are a, angles 90 degrees (semantics 2.2)."""
    padded = values + (0.0,) * (6 - len(values))
    lengths = [x if x > 0.0 else padded[0] for x in padded[:3]]
    angles = [radians(x) if x > 0.0 else math.pi / 2 for x in padded[3:]]
    return Cell(*lengths, *angles)


def _size(given: Given) -> tuple[float, float, float]:
    """Crystal size; y and z cannot exceed the beam, even the default one (Q40)."""
    x, y, z = given.size_x, given.size_y, given.size_z
    beam = given.beamsize if given.on("Q40") or Given.beamsize in given else -1.0
    if beam >= 0 and (y > beam or z > beam):
        given.warnings.append(f"crystal size along b and c is clipped to the beam, {1000 * beam:g} mm (Q40)")
        y, z = min(y, beam), min(z, beam)
    return x, y, z


def _detector(given: Given) -> Detector:
    convention, pivot = given.convention, given.pivot
    if convention != "CUSTOM":  # Q06: only CUSTOM keeps a pivot that was asked for
        pivot = "SAMPLE" if convention in ("XDS", "DIALS") else "BEAM"
        pivot = pivot if given.on("Q06") else given.pivot_asked or pivot
    pixel = given.pixel
    fast, size_fast = _pixels("fast", given.detpixels_f, given.detsize_f, pixel)
    slow, size_slow = _pixels("slow", given.detpixels_s, given.detsize_s, pixel)
    return Detector(
        convention=convention,
        pivot=pivot,
        pixels_fast=fast,
        pixels_slow=slow,
        pixel_m=pixel,
        size_fast_m=size_fast,
        size_slow_m=size_slow,
        distance_m=given.distance,
        close_distance_m=given.close_distance,
        x_beam_m=given.x_beam,
        y_beam_m=given.y_beam,
        x_close_m=given.x_close,
        y_close_m=given.y_close,
        orgx_pixels=given.orgx,
        orgy_pixels=given.orgy,
        beam_vector=given.beam,
        fdet_vector=given.fdet,
        sdet_vector=given.sdet,
        odet_vector=given.odet,
        polar_vector=given.polar_vector,
        spindle_axis=given.spindle,
        twotheta_axis=given.twotheta_axis,
        pix0_vector_m=given.pix0,
        rotx_rad=given.rotx,
        roty_rad=given.roty,
        rotz_rad=given.rotz,
        twotheta_rad=given.twotheta,
        curved=given.curved,
        point_pixel=given.point_pixel,
        sensor=sampling.sensor(
            given.thick,
            0.0 if given.on("Q62") and Given.mu not in given else given.mu,
            given.thicksteps,
            within=not given.on("Q14"),
            opaque=not given.on("Q62"),
        ),
        roi=_roi(given, fast, slow),
        mask_file=given.mask,
    )


def _pixels(axis: str, pixels: int, length: float, pixel: float) -> tuple[int, float]:
    """Number of pixels along an axis and its length, from a number or a `length` that was given (semantics D1)."""
    size = pixel * pixels if pixels != 0 else length
    if not size / pixel < 2**31:
        raise FlagError(f"detector along {axis}: expected fewer than 2147483648 pixels")
    count = math.ceil(size / pixel - 0.5)
    if count < 1:
        raise FlagError(f"detector along {axis}: expected pixels, got {count}")
    return count, size


def _roi(given: Given, fast: int, slow: int) -> Roi | None:
    if given.roi is None:
        return None
    defaults = (0, fast, 0, slow)
    return Roi(*(bound if bound >= 0 else default for bound, default in zip(given.roi, defaults)))


def _beam(given: Given) -> Beam:
    return Beam(
        wavelength_m=given.wavelength,
        fluence_per_m2=_fluence(given),
        kahn=given.kahn,
        polarized=given.polarized,
        horizontal=_divergence(given, "h", given.hdivsteps, given.hdivrange, given.hdivstep),
        vertical=_divergence(given, "v", given.vdivsteps, given.vdivrange, given.vdivstep),
        dispersion=_dispersion(given),
        round_divergence=given.round_div,
        source_file=given.sourcefile,
    )


def _divergence(given: Given, axis: str, steps: int, width: float, step: float) -> Spread:
    if steps > 0 and width < 0 and step <= 0 and not given.on("Q41"):
        if steps > 1:
            raise FlagError(f"-{axis}divsteps {steps}: expected -{axis}divrange or -{axis}divstep too, got neither")
        return Spread()
    return sampling.spread(steps, width, step)


def _dispersion(given: Given) -> Spread:
    steps, width = given.dispsteps, given.dispersion
    if not given.on("Q42") and (steps == 1 or (steps > 1 and width <= 0)):
        return Spread(0.0, 0.0, steps)
    return sampling.spread(steps, width, -1.0)


def _fluence(given: Given) -> float:
    """Photons/m^2, from flux, exposure and beam size where there is a flux (semantics D2)."""
    flux, exposure, beam = given.flux, given.exposure, given.beamsize
    if flux != 0.0 and exposure > 0.0 and beam > 0.0:
        return flux * exposure / beam / beam
    if flux != 0.0 and exposure > 0.0 and beam == 0.0:
        raise FlagError("-beamsize: expected a size above 0 mm with -flux, got 0")
    return given.fluence


def _scan(given: Given) -> Scan:
    osc, step, steps = given.osc, given.phistep, given.phisteps
    sense = 1.0
    if not given.on("Q59"):  # the sign is the sense of rotation, not a mark of what was not given
        angles = [given.values[field] for field in (Given.osc, Given.phistep) if field in given]
        signs = {math.copysign(1.0, angle) for angle in angles if angle != 0.0}
        if len(signs) == 2:
            raise FlagError("-osc and -phistep: expected one sense of rotation, got one above and one below 0")
        if -1.0 in signs:
            sense = -1.0
            osc, step = (abs(x) if field in given else x for field, x in ((Given.osc, osc), (Given.phistep, step)))
    if steps >= 0 and osc < 0 and not given.on("Q32"):
        if steps > 1 and step <= 0:
            got = "one below 0 (Q59)" if Given.osc in given or Given.phistep in given else "neither"
            raise FlagError(f"-phisteps {steps}: expected -osc or -phistep too, got {got}")
        osc = max(step, 0.0) * steps
    if steps < 0 and osc == 0 and step > 0:
        raise FlagError("-osc 0 with -phistep: expected -phisteps or a range above 0, got no step at all")
    scan = sampling.phi_scan(given.phi, osc, step, steps)
    return scan if sense > 0 else replace(scan, phi_step_rad=-scan.phi_step_rad, osc_rad=-scan.osc_rad)


def _structure(given: Given, dump: Path | None) -> StructureFactors:
    interpolate: bool | None = given.interpolate
    if Given.interpolate not in given:  # automatic: tricubic for very small crystals, as typed (Q51)
        small = min(given.Na, given.Nb, given.Nc) <= 2
        interpolate = small if given.on("Q51") else None
    if given.hkl is None and dump is None:
        interpolate = False
    return StructureFactors(given.hkl, given.default_F, interpolate, dump)
