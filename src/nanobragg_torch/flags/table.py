"""The flags of nanoBragg: one row each (semantics 1.2), in the order of the help; and the record that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nanobragg_torch.config import Beam
from nanobragg_torch.flags.record import Field, FlagRecord, HeaderRead, Rows
from nanobragg_torch.flags.values import (
    ABOVE_0,
    ABSORPTION,
    AS_GIVEN,
    CACHE_FILE,
    CELL,
    INPUT_FILE,
    INTEGER,
    INTEGERS_2,
    INTEGERS_4,
    MAYBE_NUMBER,
    MISSET,
    MODE,
    NUMBER,
    NUMBERS_3,
    PHI_MODE,
    PIVOT,
    QUIRK,
    TEXT,
)
from nanobragg_torch.quirks import Quirks
from nanobragg_torch.units import angstrom, energy, micron, radians, thousandth

_INERT = "has no effect, as in the reference"
_UNUSED = "amorphous scattering is not computed, as in the reference (Q18)"
_NOT_GIVEN = radians(-1.0)  # an angle of the scan: the reference's rules test for what is below 0

_flag = Rows()


# fmt: off
class Given(FlagRecord):
    """What the command line and the headers gave, in the Config's units.

    dump: the Fdump.bin that is read where there is no -hkl. named: (flag, file) that is named. warnings: lines for a
    person. headers: what was read of them; from_header: the fields that they gave.
    """

    def __init__(self, quirks: Quirks, dump: Path | None = None, named: tuple[tuple[str, Path], ...] = ()) -> None:
        super().__init__()
        self.quirks, self.dump, self.named = quirks, dump, named
        self.warnings: list[str] = []
        self.headers: tuple[HeaderRead, ...] = ()
        self.from_header: frozenset[Field[Any]] = frozenset()

    def on(self, quirk: str) -> bool:
        """Whether `quirk` is as in the reference."""
        return self.quirks.on(quirk)

    _flag.group("crystal")
    Na = _flag.value("-Na", INTEGER, "cells along a", "1")
    Nb = _flag.value("-Nb", INTEGER, "cells along b", "1")
    Nc = _flag.value("-Nc", INTEGER, "cells along c", "1")
    N = _flag.unset("-N", INTEGER, "cells along a, b and c", 1, Na, Nb, Nc)
    cell = _flag.unset("-cell", CELL, "a b c (A) alpha beta gamma (deg)", (0.0,))
    misset = _flag.maybe("-misset", MISSET, "rotations about x y z (deg), or 'random'", otherwise="none")
    mat = _flag.maybe("-mat -matrix", INPUT_FILE, "MOSFLM orientation matrix")
    hkl = _flag.maybe("-hkl", INPUT_FILE, "reflection list: h k l F")
    default_F = _flag.value("-default_F", NUMBER, "F of reflections that are not listed", "0")
    size_x, size_y, size_z = Field(0.0), Field(0.0), Field(0.0)
    size = _flag.value("-samplesize -sample_size -xtalsize -xtal_size", NUMBER, "crystal size, all three axes (mm)",
                       "0", size_x, size_y, size_z, unit=thousandth)
    _flag.also("-sample_thick -sample_x -xtal_thick -xtal_x", NUMBER, "crystal size along a (mm)", size_x,
               unit=thousandth)
    _flag.also("-sample_width -sample_y -xtal_width -xtal_y -width", NUMBER, "crystal size along b (mm)", size_y,
               unit=thousandth)
    _flag.also("-sample_heigh* -sample_z -xtal_heigh* -xtal_z -heigh*", NUMBER, "crystal size along c (mm)", size_z,
               unit=thousandth)
    _flag.also("-density -sample_den* -MW -molec*", NUMBER, "no effect on an image")
    shape = Field("SQUARE")
    _flag.also("-square_xtal", None, "parallelepiped crystal", sets={shape: "SQUARE"}, otherwise="the default")
    _flag.also("-round_xtal", None, "ellipsoidal crystal", sets={shape: "ROUND"})
    _flag.also("-gauss_xtal", None, "Gaussian spots", sets={shape: "GAUSS"})
    _flag.also("-binary_spots -tophat_spots", None, "spots of constant intensity", sets={shape: "TOPHAT"})
    fudge = _flag.value("-fudge", NUMBER, "shape parameter", "1")
    mosaic = _flag.value("-mosaic -mosaici* -mosaic_spr*", NUMBER, "mosaic spread (deg)", "0", unit=radians)
    mosaic_domains = _flag.unset("-mosaic_dom*", INTEGER, "mosaic domains", -1, otherwise="10 with -mosaic")

    _flag.group("detector")
    convention, pivot = Field("MOSFLM"), Field("BEAM")
    at_beam, at_sample, custom = {pivot: "BEAM"}, {pivot: "SAMPLE"}, {convention: "CUSTOM"}
    distance = _flag.value("-distance", NUMBER, "along the beam (mm)", "100", unit=thousandth, sets=at_beam)
    close_distance = _flag.maybe("-close_distance", NUMBER, "to the nearest point (mm)", unit=thousandth,
                                 sets=at_sample, otherwise="from -distance")
    x_beam = _flag.maybe("-Xbeam", NUMBER, "beam centre (mm)", unit=thousandth, sets=at_beam, otherwise="the middle")
    y_beam = _flag.maybe("-Ybeam", NUMBER, "beam centre (mm)", unit=thousandth, sets=at_beam, otherwise="the middle")
    x_close = _flag.maybe("-Xclose", NUMBER, "nearest point (mm)", unit=thousandth, sets=at_sample)
    y_close = _flag.maybe("-Yclose", NUMBER, "nearest point (mm)", unit=thousandth, sets=at_sample)
    orgx = _flag.maybe("-ORGX", NUMBER, "nearest point, XDS (pixels)", sets=at_sample)
    orgy = _flag.maybe("-ORGY", NUMBER, "nearest point, XDS (pixels)", sets=at_sample)
    pivot_asked = _flag.maybe("-pivot", PIVOT, "'sample' or 'beam'", pivot, otherwise="by convention")
    _flag.also("-mosflm", None, "convention", sets={convention: "MOSFLM", **at_beam}, otherwise="the default")
    _flag.also("-adxv", None, "convention", sets={convention: "ADXV", **at_beam})
    _flag.also("-denzo", None, "convention", sets={convention: "DENZO", **at_beam})
    _flag.also("-xds", None, "convention", sets={convention: "XDS", **at_sample})
    _flag.also("-dials", None, "convention", sets={convention: "DIALS", **at_beam})
    fdet = _flag.maybe("-fdet_vector", NUMBERS_3, "fast axis", sets=custom)
    sdet = _flag.maybe("-sdet_vector", NUMBERS_3, "slow axis", sets=custom)
    odet = _flag.maybe("-odet_vector", NUMBERS_3, "detector normal", sets=custom)
    _flag.also("-xdet_vector", NUMBERS_3, "-fdet_vector", fdet, sets=custom, ignored="-fdet_vector")
    _flag.also("-ydet_vector", NUMBERS_3, "-sdet_vector", sdet, sets=custom, ignored="-sdet_vector")
    _flag.also("-zdet_vector", NUMBERS_3, "-odet_vector", odet, sets=custom, ignored="-odet_vector")
    beam = _flag.maybe("-beam_vector", NUMBERS_3, "beam direction", sets=custom)
    polar_vector = _flag.maybe("-polar_vector", NUMBERS_3, "polarization axis", sets=custom)
    spindle = _flag.maybe("-spindle_axis", NUMBERS_3, "rotation axis of phi", sets=custom)
    twotheta_axis = _flag.maybe("-twotheta_axis", NUMBERS_3, "twotheta axis; also sets twotheta to its x, in degrees"
                                " (Q01)", sets=custom, needed=True)
    pix0 = _flag.maybe("-pix0_vector", NUMBERS_3, "origin of the detector (m; not used: Q02)", sets=custom)
    _flag.also("-pix0_vector_mm", NUMBERS_3, "origin of the detector (mm; not used: Q02)", pix0, unit=thousandth,
               sets=custom)
    twotheta = _flag.value("-twotheta", NUMBER, "detector swing (deg)", "0", unit=radians, sets=at_sample)
    rotx = _flag.value("-detector_rotx", NUMBER, "detector tilt (deg)", "0", unit=radians)
    roty = _flag.value("-detector_roty", NUMBER, "detector tilt (deg)", "0", unit=radians)
    rotz = _flag.value("-detector_rotz", NUMBER, "detector tilt (deg)", "0", unit=radians)
    detsize_f, detsize_s = Field(thousandth(102.4)), Field(thousandth(102.4))
    detsize = _flag.value("-detsize", NUMBER, "detector size, both axes (mm)", "102.4", detsize_f, detsize_s,
                          unit=thousandth)
    _flag.also("-detsize_f", NUMBER, "detector size, fast (mm)", detsize_f, default="102.4", unit=thousandth)
    _flag.also("-detsize_s", NUMBER, "detector size, slow (mm)", detsize_s, default="102.4", unit=thousandth)
    detpixels_f, detpixels_s = Field(0), Field(0)
    detpixels = _flag.unset("-detpixels", INTEGER, "pixels, both axes", 0, detpixels_f, detpixels_s,
                            otherwise="-detsize / -pixel")
    _flag.also("-detpixels_f -detpixels_x", INTEGER, "pixels, fast", detpixels_f)
    _flag.also("-detpixels_s -detpixels_y", INTEGER, "pixels, slow", detpixels_s)
    _flag.also("-detsize_x", NUMBER, "-detsize_f", detsize_f, unit=thousandth, ignored="-detsize_f")
    _flag.also("-detsize_y", NUMBER, "-detsize_s", detsize_s, unit=thousandth, ignored="-detsize_s")
    pixel = _flag.value("-pixel", NUMBER, "pixel size (mm)", "0.1", unit=thousandth)
    curved = _flag.switch("-curved_det*", "curved detector", MAYBE_NUMBER)
    point_pixel = _flag.switch("-point_pixel", "solid angle 1/R^2")
    mu = _flag.unset("-detector_abs*", ABSORPTION, "attenuation depth (um), or 'inf'", -1.0, otherwise="the thickness",
                     crashes=True)
    thick = _flag.value("-detector_thick", NUMBER, "sensor thickness (um)", "0", unit=micron, crashes=True)
    thicksteps = _flag.unset("-detector_thicksteps -thicksteps", INTEGER, "sensor layers", -1,
                             otherwise="2 with -detector_thick", crashes=True)
    _flag.also("-detector_thickstep", NUMBER, "-detector_thicksteps", ignored="-detector_thicksteps (how many)")
    roi = _flag.maybe("-roi", INTEGERS_4, "fast min, max, slow min, max, inclusive", otherwise="all")
    mask = _flag.maybe("-mask", INPUT_FILE, "SMV mask: 0 skips a pixel; its header is used")
    img = _flag.maybe("-img", INPUT_FILE, "SMV image whose header is used")
    oversample = _flag.unset("-oversample", INTEGER, "sub-pixels per edge", -1, otherwise="as the spots need")
    oversample_thick = _flag.switch("-oversample_thick", "capture per sub-pixel")
    oversample_polar = _flag.switch("-oversample_polar", "polarization per sub-pixel")
    oversample_omega = _flag.switch("-oversample_omega", "solid angle per sub-pixel")

    _flag.group("beam")
    wavelength = _flag.value("-lambda -wave*", NUMBER, "wavelength (A)", "1", unit=angstrom)
    _flag.also("-energy", ABOVE_0, "energy (eV)", wavelength, unit=energy)
    fluence = _flag.value("-fluence", NUMBER, "photons per m^2", f"{Beam.fluence_per_m2:.0f}")
    flux = _flag.value("-flux", NUMBER, "photons per s", "0")
    exposure = _flag.value("-exposure", NUMBER, "exposure time (s)", "1")
    beamsize = _flag.value("-beamsize", NUMBER, "beam size (mm)", "0.1", unit=thousandth)
    dispersion = _flag.value("-dispersion", NUMBER, "bandwidth (percent)", "0", unit=lambda percent: percent / 100.0)
    dispsteps = _flag.unset("-dispsteps", INTEGER, "wavelengths", -1, otherwise="2 with -dispersion")
    _flag.also("-dispstep", NUMBER, "-dispsteps", ignored="-dispsteps (how many)")
    hdivrange, vdivrange = Field(-1.0), Field(-1.0)
    divergence = _flag.unset("-divergence", NUMBER, "divergence, both (mrad)", -1.0, hdivrange, vdivrange,
                             unit=thousandth, otherwise="none")
    _flag.also("-hdivrange", NUMBER, "horizontal divergence (mrad)", hdivrange, unit=thousandth, otherwise="none")
    _flag.also("-vdivrange", NUMBER, "vertical divergence (mrad)", vdivrange, unit=thousandth, otherwise="none")
    _flag.also("-hdiv", NUMBER, "-hdivrange", hdivrange, unit=thousandth, ignored="-hdivrange")
    _flag.also("-vdiv", NUMBER, "-vdivrange", vdivrange, unit=thousandth, ignored="-vdivrange")
    hdivstep = _flag.unset("-hdivstep", NUMBER, "step (mrad), not a number of steps", -1.0, unit=thousandth)
    vdivstep = _flag.unset("-vdivstep", NUMBER, "step (mrad), not a number of steps", -1.0, unit=thousandth)
    hdivsteps = _flag.unset("-hdivsteps", INTEGER, "directions", -1, otherwise="1")
    vdivsteps = _flag.unset("-vdivsteps", INTEGER, "directions", -1, otherwise="1")
    divsteps = _flag.unset("-divsteps", INTEGER, "directions, both", -1, hdivsteps, vdivsteps, otherwise="1")
    round_div = Field(True)
    _flag.also("-round_div", None, "elliptical divergence", sets={round_div: True}, otherwise="the default")
    _flag.also("-square_div", None, "rectangular divergence", sets={round_div: False})
    sourcefile = _flag.maybe("-sourcefile", INPUT_FILE, "X Y Z weight wavelength (m)")
    _flag.also("-source_dist*", NUMBER, "-sourcefile", ignored="-sourcefile (where the sources are)")
    polarized, kahn = Field(True), Field(0.0)
    _flag.also("-polarization", NUMBER, "-polar", kahn, sets={polarized: True}, ignored="-polar")
    _flag.also("-polar", NUMBER, "polarization, Kahn factor", kahn, default="0", sets={polarized: True})
    _flag.also("-nopolar", None, "no polarization factor", sets={polarized: False})
    water = _flag.value("-water", NUMBER, "water thickness (um)", "0", unit=lambda microns: microns / 1e6)
    dmin = _flag.value("-dmin", NUMBER, "resolution limit (A)", "0", unit=lambda angstroms: angstroms * 1e-10)

    _flag.group("rotation")
    phi = _flag.value("-phi", NUMBER, "start (deg)", "0", unit=radians)
    osc = _flag.unset("-osc", NUMBER, "oscillation range (deg)", _NOT_GIVEN, unit=radians, otherwise="a still")
    phistep = _flag.unset("-phistep", NUMBER, "step (deg)", _NOT_GIVEN, unit=radians, otherwise="-osc / -phisteps")
    phisteps = _flag.unset("-phisteps", INTEGER, "steps", -1, otherwise="2 with -osc")

    _flag.group("structure factors")
    interpolate = Field(False)
    _flag.also("-interpolate", None, "tricubic", sets={interpolate: True})
    _flag.also("-nointerpolate", None, "nearest", sets={interpolate: False})
    stol = _flag.maybe("-stol -4stol -Q", INPUT_FILE, "amorphous scattering (no effect)", warning=_UNUSED)
    _flag.also("-stolout", TEXT, "no effect", warning=_INERT)
    _flag.also("-coherent", None, "no effect", warning=_INERT)
    dump_file = _flag.maybe("-dump", CACHE_FILE, "written after -hkl, read without", otherwise="Fdump.bin")
    fdump = _flag.maybe("--fdump", INPUT_FILE, "structure factors of an earlier run, read without -hkl")

    _flag.group("seeds")
    seed = _flag.maybe("-seed", INTEGER, "of the noise image", otherwise="the clock")
    mosaic_seed = _flag.value("-mosaic_seed", INTEGER, "of the mosaic domains", "12345678")
    misset_seed = _flag.maybe("-misset_seed", INTEGER, "of -misset random", otherwise="the clock")

    _flag.group("output")
    pgm, noise, printout, progress = Field(True), Field(True), Field(False), Field(True)
    float_file = _flag.value("-floatfile -floatimage", TEXT, "float image", "floatimage.bin")
    int_file = _flag.value("-intfile -intimage", TEXT, "integer image, SMV", "intimage.img")
    pgm_file = _flag.value("-pgmfile -pgmimage", TEXT, "PGM image", "image.pgm", sets={pgm: True})
    noise_file = _flag.value("-noisefile -noiseimage", TEXT, "noise image, SMV", "noiseimage.img", sets={noise: True})
    _flag.also("-nonoise", None, "no noise image", sets={noise: False})
    _flag.also("-nopgm", None, "no PGM image", sets={pgm: False})
    scale = _flag.unset("-scale", NUMBER, "scale of the integer image", 0.0, otherwise="55000 at the brightest")
    pgm_scale = _flag.unset("-pgmscale", NUMBER, "scale of the PGM image", 0.0, sets={pgm: True},
                            otherwise="250 at five rmsd")
    adc = _flag.value("-adc -adcoffset", NUMBER, "offset of integer and noise image", "40")
    _flag.also("-printout", None, "print what each pixel is made of", sets={printout: True})
    printout_pixel = _flag.unset("-printout_pixel", INTEGERS_2, "that of one pixel: fast slow", (-1, -1),
                                 sets={printout: True}, needed=True)
    _flag.also("-progress", None, "a bar on the terminal", sets={progress: True}, otherwise="the default")
    _flag.also("-noprogress", None, "no bar", sets={progress: False})
    show_config = _flag.switch("-show_config -echo_config", "print the simulation in use")
    trace_pixel = _flag.maybe("-trace_pixel -dump_pixel", INTEGERS_2, "print the trace of one pixel: slow fast")

    _flag.group("ours")
    _flag.also("--mode", MODE, "the program to follow: c-parity (golden), hoidn-main, bl831-main, ...; spec: no quirk;"
               " or a PROFILE.toml of switches", default="c-parity")
    _flag.also("--quirk", QUIRK, "one of them: Q29=off, Q29=on")
    _flag.also("--phi-mode", PHI_MODE, "Q29 alone: c-parity or spec")
    as_given = _flag.value("--vectors", AS_GIVEN,
                           "reference, as-given, or a list of odet,sdet,fdet,beam taken as given", "reference")
# fmt: on


GROUPS = _flag.groups
TABLE = tuple(flag for group in GROUPS.values() for flag in group)
PORT = tuple(flag for flag in TABLE if flag.names.startswith("--"))
REFERENCE = tuple(flag for flag in TABLE if not flag.names.startswith("--"))
# every spelling of a flag that names a file that is read
INPUT_FLAGS = tuple(name for flag in TABLE if flag.kind is not None and flag.kind.file for name in flag.names.split())
