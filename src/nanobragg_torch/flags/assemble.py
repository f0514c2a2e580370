"""From the values that flags gave to a Config: defaults, derived numbers, and what must be present."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from nanobragg_torch.io.fdump import NAME
from nanobragg_torch.io.inputs import kind_at
from nanobragg_torch.io.mosflm_matrix import read_matrix
from nanobragg_torch.units import radians

Given = dict[str, Any]


def assemble(given: Given) -> Config:
    """Config of the values in `given` (keys of the flag table). Raises FlagError, InputError."""
    dump = _dump(given)
    if "hkl" not in given and dump is None and given.get("default_F", 0.0) == 0.0:
        raise FlagError("expected -hkl FILE or -default_F VALUE, got neither")
    if "mat" not in given and given.get("cell", (0.0,))[0] <= 0.0:
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
        quirks=given["quirks"],
        water_m=given.get("water", 0.0),
        dmin_m=given.get("dmin", 0.0),
        output=_output(given),
        inputs=_inputs(given, dump),
    )
    lines = (*header_lines(given), *given["warnings"], *of_flags(given, config))
    return replace(config, warnings=tuple(dict.fromkeys(lines)))


def _dump(given: Given) -> Path | None:
    """The grid of an earlier run, read where there is no -hkl (semantics 2.7)."""
    if "hkl" in given:
        return None
    if "fdump" in given:
        return Path(given["fdump"])
    if "dump_file" in given:
        return _cache(given)
    stray: Path | None = given["dump"]
    if stray is None or kind_at(stray) != "" or not given["quirks"].on("Q57"):
        return None
    default = given.get("default_F", 0.0)
    instead = f": in the box of its indices they replace -default_F {default:g}" if default != 0.0 else ""
    given["warnings"].append(
        f"{stray}: structure factors are read from it, there is no -hkl (Q57){instead}; remove it, or give"
        " --quirk Q57=off"
    )
    return stray


def _cache(given: Given) -> Path | None:
    """The file of -dump (Q61): where there is none yet, the reference goes on with -default_F."""
    named: Path = given["dump_file"]
    if kind_at(named) == "":
        return named
    if not given["quirks"].on("Q57") or given.get("default_F", 0.0) == 0.0:
        raise InputError(f"-dump {named}: expected a file, or -hkl to make it of, found neither")
    given["warnings"].append(f"-dump {named}: there is no such file, nor -hkl to make it of: -default_F is used")
    return None


def _inputs(given: Given, dump: Path | None) -> tuple[tuple[str, Path], ...]:
    """What is read, by the flags that name it; a cache that -hkl fills is none."""
    read = [(flag, path) for flag, path in given["named"] if flag not in ("-dump", "--fdump")]
    return (*read, ("a run without -hkl", dump)) if dump is not None else tuple(read)


def _sampling(given: Given, sensor: bool) -> Sampling:
    quirks = given["quirks"]
    thick, polar = given.get("oversample_thick", False), given.get("oversample_polar", False)
    if not quirks.on("Q28"):
        thick = thick and sensor
    if not quirks.on("Q23"):
        polar = polar and given.get("polarized", True)
    return Sampling(max(given.get("oversample", -1), 0), thick, polar, given.get("oversample_omega", False))


def _output(given: Given) -> Output:
    pgm, noise = Path(given.get("pgm_file", "image.pgm")), Path(given.get("noise_file", "noiseimage.img"))
    return Output(
        float_file=Path(given.get("float_file", "floatimage.bin")),
        trace_pixel=given.get("trace_pixel"),
        int_file=Path(given.get("int_file", "intimage.img")),
        pgm_file=pgm if given.get("pgm", True) else None,
        noise_file=noise if given.get("noise", True) else None,
        scale=given.get("scale", 0.0),
        pgm_scale=given.get("pgm_scale", 0.0),
        adc=given.get("adc", 40.0),
        seed=_seed(given, given["seed"]) if "seed" in given else _clock(),
        dump_file=given.get("dump_file", Path(NAME)),
        printout=given.get("printout", False),
        printout_pixel=_printout_pixel(given),
        progress=given.get("progress", True),
        show_config=given.get("show_config", False),
    )


def _printout_pixel(given: Given) -> tuple[int, int] | None:
    """(slow, fast); the flag has the fast one first (Q52), and one below 0 means every pixel."""
    fast, slow = given.get("printout_pixel", (-1, -1))
    return None if fast < 0 else (slow, fast)


def _seed(given: Given, number: int) -> int:
    """The generator's state: a seed counts as its negative, so that it restarts the generator (Q55)."""
    return -number if given["quirks"].on("Q55") else -abs(number)


def _clock() -> int:
    return -int(time.time())


def _crystal(given: Given) -> Crystal:
    if given.get("mosaic_domains") == 0 and given.get("mosaic", -1.0) > 0.0:
        raise FlagError("-mosaic_dom: expected at least 1 domain for the mosaic spread, got 0")
    domains, mosaic = sampling.mosaic(given.get("mosaic_domains", -1), given.get("mosaic", -1.0))
    if domains == 10 and "mosaic_domains" not in given:
        given["warnings"].append("mosaic spread without -mosaic_domains: 10 domains are used")
    misset = given.get("misset")
    random = misset == "random"
    return Crystal(
        cell=_cell(given["cell"]) if given.get("cell", (0.0,))[0] > 0.0 else None,
        matrix=read_matrix(given["mat"]) if "mat" in given else None,
        misset_rad=None if random else misset,
        misset_seed=_misset_seed(given) if random else None,
        cells=(float(given.get("Na", 1)), float(given.get("Nb", 1)), float(given.get("Nc", 1))),
        size_m=_size(given),
        shape=given.get("shape", "SQUARE"),
        fudge=given.get("fudge", 1.0),
        mosaic_spread_rad=mosaic,
        mosaic_domains=domains,
        mosaic_seed=_seed(given, given.get("mosaic_seed", 12345678)),
    )


def _misset_seed(given: Given) -> int:
    if "misset_seed" in given:
        return _seed(given, given["misset_seed"])
    if "seed" in given and not given["quirks"].on("Q20"):
        return _seed(given, given["seed"])
    seed = _clock()
    given["warnings"].append(f"-misset random: the clock is the seed; -misset_seed {-seed} repeats this run (Q20)")
    return seed


def _cell(values: tuple[float, ...]) -> Cell:
    """Missing or non-positive lengths are a, angles 90 degrees (semantics 2.2)."""
    padded = values + (0.0,) * (6 - len(values))
    lengths = [x if x > 0.0 else padded[0] for x in padded[:3]]
    angles = [radians(x) if x > 0.0 else math.pi / 2 for x in padded[3:]]
    return Cell(*lengths, *angles)


def _size(given: Given) -> tuple[float, float, float]:
    """Crystal size; y and z cannot exceed the beam, even the default one (Q40)."""
    x, y, z = (given.get(f"size_{axis}", 0.0) for axis in "xyz")
    beam = given.get("beamsize", 1e-4 if given["quirks"].on("Q40") else -1.0)
    if beam >= 0 and (y > beam or z > beam):
        given["warnings"].append(f"crystal size along b and c is clipped to the beam, {1000 * beam:g} mm (Q40)")
        y, z = min(y, beam), min(z, beam)
    return x, y, z


def _detector(given: Given) -> Detector:
    convention = given.get("convention", "MOSFLM")
    pivot = given.get("pivot", "BEAM")
    if convention != "CUSTOM":  # Q06: only CUSTOM keeps a pivot that was asked for
        pivot = "SAMPLE" if convention in ("XDS", "DIALS") else "BEAM"
        pivot = pivot if given["quirks"].on("Q06") else given.get("pivot_asked", pivot)
    pixel = given.get("pixel", 1.0e-4)
    fast, size_fast = _pixels(given, "f", pixel)
    slow, size_slow = _pixels(given, "s", pixel)
    return Detector(
        convention=convention,
        pivot=pivot,
        pixels_fast=fast,
        pixels_slow=slow,
        pixel_m=pixel,
        size_fast_m=size_fast,
        size_slow_m=size_slow,
        distance_m=given.get("distance", 0.1),
        close_distance_m=given.get("close_distance"),
        x_beam_m=given.get("x_beam"),
        y_beam_m=given.get("y_beam"),
        x_close_m=given.get("x_close"),
        y_close_m=given.get("y_close"),
        orgx_pixels=given.get("orgx"),
        orgy_pixels=given.get("orgy"),
        beam_vector=given.get("beam"),
        fdet_vector=given.get("fdet"),
        sdet_vector=given.get("sdet"),
        odet_vector=given.get("odet"),
        polar_vector=given.get("polar_vector"),
        spindle_axis=given.get("spindle"),
        twotheta_axis=given.get("twotheta_axis"),
        pix0_vector_m=given.get("pix0"),
        rotx_rad=given.get("rotx", 0.0),
        roty_rad=given.get("roty", 0.0),
        rotz_rad=given.get("rotz", 0.0),
        twotheta_rad=given.get("twotheta", 0.0),
        curved=given.get("curved", False),
        point_pixel=given.get("point_pixel", False),
        sensor=sampling.sensor(
            given.get("thick", 0.0),
            given.get("mu", -1.0),
            given.get("thicksteps", -1),
            within=not given["quirks"].on("Q14"),
        ),
        roi=_roi(given, fast, slow),
        mask_file=given.get("mask_file"),
    )


def _pixels(given: Given, axis: str, pixel: float) -> tuple[int, float]:
    """Number of pixels along an axis and its length (semantics D1)."""
    pixels = given.get(f"detpixels_{axis}", 0)
    size = pixel * pixels if pixels != 0 else given.get(f"detsize_{axis}", 0.1024)
    if not size / pixel < 2**31:
        raise FlagError(f"detector along {'fast' if axis == 'f' else 'slow'}: expected fewer than 2147483648 pixels")
    count = math.ceil(size / pixel - 0.5)
    if count < 1:
        raise FlagError(f"detector along {'fast' if axis == 'f' else 'slow'}: expected pixels, got {count}")
    return count, size


def _roi(given: Given, fast: int, slow: int) -> Roi | None:
    if "roi" not in given:
        return None
    defaults = (0, fast, 0, slow)
    return Roi(*(bound if bound >= 0 else default for bound, default in zip(given["roi"], defaults)))


def _beam(given: Given) -> Beam:
    wavelength = given.get("wavelength", 1.0e-10)
    return Beam(
        wavelength_m=wavelength,
        fluence_per_m2=_fluence(given),
        kahn=given.get("kahn", 0.0),
        polarized=given.get("polarized", True),
        horizontal=_divergence(given, "h"),
        vertical=_divergence(given, "v"),
        dispersion=_dispersion(given),
        round_divergence=given.get("round_div", True),
        source_file=given.get("sourcefile"),
    )


def _divergence(given: Given, axis: str) -> Spread:
    steps, width = given.get(f"{axis}divsteps", -1), given.get(f"{axis}divrange", -1.0)
    step = given.get(f"{axis}divstep", -1.0)
    if steps > 0 and width < 0 and step <= 0 and not given["quirks"].on("Q41"):
        if steps > 1:
            raise FlagError(f"-{axis}divsteps {steps}: expected -{axis}divrange or -{axis}divstep too, got neither")
        return Spread()
    return sampling.spread(steps, width, step)


def _dispersion(given: Given) -> Spread:
    steps, width = given.get("dispsteps", -1), given.get("dispersion", 0.0)
    if not given["quirks"].on("Q42") and (steps == 1 or (steps > 1 and width <= 0)):
        return Spread(0.0, 0.0, steps)
    return sampling.spread(steps, width, -1.0)


def _fluence(given: Given) -> float:
    """Photons/m^2, from flux, exposure and beam size where there is a flux (semantics D2)."""
    flux, exposure, beam = given.get("flux", 0.0), given.get("exposure", 1.0), given.get("beamsize", 1e-4)
    if flux != 0.0 and exposure > 0.0 and beam > 0.0:
        return flux * exposure / beam / beam
    if flux != 0.0 and exposure > 0.0 and beam == 0.0:
        raise FlagError("-beamsize: expected a size above 0 mm with -flux, got 0")
    return given.get("fluence", Beam.fluence_per_m2)


def _scan(given: Given) -> Scan:
    quirks, not_given = given["quirks"], radians(-1.0)
    osc, step, steps = given.get("osc", not_given), given.get("phistep", not_given), given.get("phisteps", -1)
    sense = 1.0
    if not quirks.on("Q59"):  # the sign is the sense of rotation, not a mark of what was not given
        signs = {math.copysign(1.0, given[key]) for key in ("osc", "phistep") if given.get(key, 0.0) != 0.0}
        if len(signs) == 2:
            raise FlagError("-osc and -phistep: expected one sense of rotation, got one above and one below 0")
        if -1.0 in signs:
            sense = -1.0
            osc, step = (abs(given[key]) if key in given else not_given for key in ("osc", "phistep"))
    if steps >= 0 and osc < 0 and not quirks.on("Q32"):
        if steps > 1 and step <= 0:
            got = "one below 0 (Q59)" if {"osc", "phistep"} & given.keys() else "neither"
            raise FlagError(f"-phisteps {steps}: expected -osc or -phistep too, got {got}")
        osc = max(step, 0.0) * steps
    if steps < 0 and osc == 0 and step > 0:
        raise FlagError("-osc 0 with -phistep: expected -phisteps or a range above 0, got no step at all")
    scan = sampling.phi_scan(given.get("phi", 0.0), osc, step, steps)
    return scan if sense > 0 else replace(scan, phi_step_rad=-scan.phi_step_rad, osc_rad=-scan.osc_rad)


def _structure(given: Given, dump: Path | None) -> StructureFactors:
    interpolate: bool | None = bool(given.get("interpolate", 0))
    if "interpolate" not in given:  # automatic: tricubic for very small crystals, as typed (Q51)
        small = any(given.get(name, 1) <= 2 for name in ("Na", "Nb", "Nc"))
        interpolate = small if given["quirks"].on("Q51") else None
    hkl = given.get("hkl")
    if hkl is None and dump is None:
        interpolate = False
    return StructureFactors(hkl, given.get("default_F", 0.0), interpolate, dump)
