"""The flags of nanoBragg: one row each (semantics 1.2), in the order of the help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nanobragg_torch.units import angstrom, energy, micron, radians, thousandth


@dataclass(frozen=True)
class Flag:
    """One row of the table.

    names: a trailing * stands for any longer spelling. values: what follows, by kind (see flag_values).
    key: where the converted value goes. unit: converts one number. sets: what else the flag switches,
    convention and pivot above all. default: the words that change nothing, or a text in brackets.
    warning: what a user should know who gives it.
    ignored: the reference's documents have the flag, its program does not (Q35): what to give instead. Without
    Q35 it goes to `key`, or is refused where there is none.
    needed: too few values are an error, with Q35 too (Q36: there the reference crashes, or reads half the flag).
    """

    names: str
    values: str = ""
    key: str = ""
    unit: Callable[[float], float] | None = None
    sets: tuple[tuple[str, Any], ...] = ()
    meaning: str = ""
    default: str = ""
    warning: str = ""
    ignored: str = ""
    needed: bool = False

    @property
    def stored(self) -> tuple[str, ...]:
        """Where the flag leaves its mark: its key, or what a flag without a value switches."""
        return (self.key,) if self.key else tuple(dict(self.sets))

    def matches(self, argument: str) -> bool:
        for name in self.names.split():
            if argument == name or (name.endswith("*") and argument.startswith(name[:-1])):
                return True
        return False


_BEAM = (("pivot", "BEAM"),)
_SAMPLE = (("pivot", "SAMPLE"),)
_CUSTOM = (("convention", "CUSTOM"),)
_INERT = "has no effect, as in the reference"
_UNUSED = "amorphous scattering is not computed, as in the reference (Q18)"
_CACHE = "names the cache in the place of Fdump.bin; the reference of the golden cases ignores it (Q61)"


def _named(convention: str, pivot: str) -> tuple[tuple[str, Any], ...]:
    return (("convention", convention), ("pivot", pivot))


def _shape(shape: str) -> tuple[tuple[str, Any], ...]:
    return (("shape", shape),)


_CRYSTAL = (
    Flag("-Na", "integer", "Na", meaning="cells along a", default="1"),
    Flag("-Nb", "integer", "Nb", meaning="cells along b", default="1"),
    Flag("-Nc", "integer", "Nc", meaning="cells along c", default="1"),
    Flag("-N", "integer", "N", meaning="cells along a, b and c"),
    Flag("-cell", "cell", "cell", meaning="a b c (A) alpha beta gamma (deg)"),
    Flag("-misset", "misset", "misset", meaning="rotations about x y z (deg), or 'random'", default="[none]"),
    Flag("-mat -matrix", "file", "mat", meaning="MOSFLM orientation matrix"),
    Flag("-hkl", "file", "hkl", meaning="reflection list: h k l F"),
    Flag("-default_F", "number", "default_F", meaning="F of reflections that are not listed", default="0"),
    Flag("-samplesize -sample_size -xtalsize -xtal_size", "number", "size", thousandth,
         meaning="crystal size, all three axes (mm)", default="0"),
    Flag("-sample_thick -sample_x -xtal_thick -xtal_x", "number", "size_x", thousandth,
         meaning="crystal size along a (mm)"),
    Flag("-sample_width -sample_y -xtal_width -xtal_y -width", "number", "size_y", thousandth,
         meaning="crystal size along b (mm)"),
    Flag("-sample_heigh* -sample_z -xtal_heigh* -xtal_z -heigh*", "number", "size_z", thousandth,
         meaning="crystal size along c (mm)"),
    Flag("-density -sample_den* -MW -molec*", "number", meaning="no effect on an image"),
    Flag("-square_xtal", sets=_shape("SQUARE"), meaning="parallelepiped crystal", default="[the default]"),
    Flag("-round_xtal", sets=_shape("ROUND"), meaning="ellipsoidal crystal"),
    Flag("-gauss_xtal", sets=_shape("GAUSS"), meaning="Gaussian spots"),
    Flag("-binary_spots -tophat_spots", sets=_shape("TOPHAT"), meaning="spots of constant intensity"),
    Flag("-fudge", "number", "fudge", meaning="shape parameter", default="1"),
    Flag("-mosaic -mosaici* -mosaic_spr*", "number", "mosaic", radians, meaning="mosaic spread (deg)", default="0"),
    Flag("-mosaic_dom*", "integer", "mosaic_domains", meaning="mosaic domains", default="[10 with -mosaic]"),
)  # fmt: skip

_DETECTOR = (
    Flag("-distance", "number", "distance", thousandth, _BEAM, "along the beam (mm)", default="100"),
    Flag("-close_distance", "number", "close_distance", thousandth, _SAMPLE, "to the nearest point (mm)",
         "[from -distance]"),
    Flag("-Xbeam", "number", "x_beam", thousandth, _BEAM, "beam centre (mm)", default="[the middle]"),
    Flag("-Ybeam", "number", "y_beam", thousandth, _BEAM, "beam centre (mm)", default="[the middle]"),
    Flag("-Xclose", "number", "x_close", thousandth, _SAMPLE, "nearest point (mm)"),
    Flag("-Yclose", "number", "y_close", thousandth, _SAMPLE, "nearest point (mm)"),
    Flag("-ORGX", "number", "orgx", sets=_SAMPLE, meaning="nearest point, XDS (pixels)"),
    Flag("-ORGY", "number", "orgy", sets=_SAMPLE, meaning="nearest point, XDS (pixels)"),
    Flag("-pivot", "pivot", "pivot", meaning="'sample' or 'beam'", default="[by convention]"),
    Flag("-mosflm", sets=_named("MOSFLM", "BEAM"), meaning="convention", default="[the default]"),
    Flag("-adxv", sets=_named("ADXV", "BEAM"), meaning="convention"),
    Flag("-denzo", sets=_named("DENZO", "BEAM"), meaning="convention"),
    Flag("-xds", sets=_named("XDS", "SAMPLE"), meaning="convention"),
    Flag("-dials", sets=_named("DIALS", "BEAM"), meaning="convention"),
    Flag("-fdet_vector", "3 numbers", "fdet", sets=_CUSTOM, meaning="fast axis"),
    Flag("-sdet_vector", "3 numbers", "sdet", sets=_CUSTOM, meaning="slow axis"),
    Flag("-odet_vector", "3 numbers", "odet", sets=_CUSTOM, meaning="detector normal"),
    Flag("-xdet_vector", "3 numbers", "fdet", sets=_CUSTOM, meaning="-fdet_vector", ignored="-fdet_vector"),
    Flag("-ydet_vector", "3 numbers", "sdet", sets=_CUSTOM, meaning="-sdet_vector", ignored="-sdet_vector"),
    Flag("-zdet_vector", "3 numbers", "odet", sets=_CUSTOM, meaning="-odet_vector", ignored="-odet_vector"),
    Flag("-beam_vector", "3 numbers", "beam", sets=_CUSTOM, meaning="beam direction"),
    Flag("-polar_vector", "3 numbers", "polar_vector", sets=_CUSTOM, meaning="polarization axis"),
    Flag("-spindle_axis", "3 numbers", "spindle", sets=_CUSTOM, meaning="rotation axis of phi"),
    Flag("-twotheta_axis", "3 numbers", "twotheta_axis", sets=_CUSTOM,
         meaning="twotheta axis; also sets twotheta to its x, in degrees (Q01)", needed=True),
    Flag("-pix0_vector", "3 numbers", "pix0", sets=_CUSTOM, meaning="origin of the detector (m; not used: Q02)"),
    Flag("-pix0_vector_mm", "3 numbers", "pix0", thousandth, _CUSTOM, "origin of the detector (mm; not used: Q02)"),
    Flag("-twotheta", "number", "twotheta", radians, _SAMPLE, "detector swing (deg)", default="0"),
    Flag("-detector_rotx", "number", "rotx", radians, meaning="detector tilt (deg)", default="0"),
    Flag("-detector_roty", "number", "roty", radians, meaning="detector tilt (deg)", default="0"),
    Flag("-detector_rotz", "number", "rotz", radians, meaning="detector tilt (deg)", default="0"),
    Flag("-detsize", "number", "detsize", thousandth, meaning="detector size, both axes (mm)", default="102.4"),
    Flag("-detsize_f", "number", "detsize_f", thousandth, meaning="detector size, fast (mm)", default="102.4"),
    Flag("-detsize_s", "number", "detsize_s", thousandth, meaning="detector size, slow (mm)", default="102.4"),
    Flag("-detpixels", "integer", "detpixels", meaning="pixels, both axes", default="[-detsize / -pixel]"),
    Flag("-detpixels_f -detpixels_x", "integer", "detpixels_f", meaning="pixels, fast"),
    Flag("-detpixels_s -detpixels_y", "integer", "detpixels_s", meaning="pixels, slow"),
    Flag("-detsize_x", "number", "detsize_f", thousandth, meaning="-detsize_f", ignored="-detsize_f"),
    Flag("-detsize_y", "number", "detsize_s", thousandth, meaning="-detsize_s", ignored="-detsize_s"),
    Flag("-pixel", "number", "pixel", thousandth, meaning="pixel size (mm)", default="0.1"),
    Flag("-curved_det*", "maybe number", sets=(("curved", True),), meaning="curved detector"),
    Flag("-point_pixel", sets=(("point_pixel", True),), meaning="solid angle 1/R^2"),
    Flag("-detector_abs*", "absorption", "mu", meaning="attenuation depth (um), or 'inf'",
         default="[the thickness]", needed=True),
    Flag("-detector_thick", "number", "thick", micron, meaning="sensor thickness (um)", default="0", needed=True),
    Flag("-detector_thicksteps -thicksteps", "integer", "thicksteps", meaning="sensor layers",
         default="[2 with -detector_thick]", needed=True),
    Flag("-detector_thickstep", "number", meaning="-detector_thicksteps", ignored="-detector_thicksteps (how many)"),
    Flag("-roi", "4 integers", "roi", meaning="fast min, max, slow min, max, inclusive", default="[all]"),
    Flag("-mask", "file", "mask", meaning="SMV mask: 0 skips a pixel; its header is used"),
    Flag("-img", "file", "img", meaning="SMV image whose header is used"),
    Flag("-oversample", "integer", "oversample", meaning="sub-pixels per edge", default="[as the spots need]"),
    Flag("-oversample_thick", sets=(("oversample_thick", True),), meaning="capture per sub-pixel"),
    Flag("-oversample_polar", sets=(("oversample_polar", True),), meaning="polarization per sub-pixel"),
    Flag("-oversample_omega", sets=(("oversample_omega", True),), meaning="solid angle per sub-pixel"),
)  # fmt: skip

_BEAM_FLAGS = (
    Flag("-lambda -wave*", "number", "wavelength", angstrom, meaning="wavelength (A)", default="1"),
    Flag("-energy", "positive", "wavelength", energy, meaning="energy (eV)"),
    Flag("-fluence", "number", "fluence", meaning="photons per m^2", default="125932015286227086360700780544"),
    Flag("-flux", "number", "flux", meaning="photons per s", default="0"),
    Flag("-exposure", "number", "exposure", meaning="exposure time (s)", default="1"),
    Flag("-beamsize", "number", "beamsize", thousandth, meaning="beam size (mm)", default="0.1"),
    Flag("-dispersion", "number", "dispersion", lambda x: x / 100.0, meaning="bandwidth (percent)", default="0"),
    Flag("-dispsteps", "integer", "dispsteps", meaning="wavelengths", default="[2 with -dispersion]"),
    Flag("-dispstep", "number", meaning="-dispsteps", ignored="-dispsteps (how many)"),
    Flag("-divergence", "number", "divergence", thousandth, meaning="divergence, both (mrad)", default="[none]"),
    Flag("-hdivrange", "number", "hdivrange", thousandth, meaning="horizontal divergence (mrad)", default="[none]"),
    Flag("-vdivrange", "number", "vdivrange", thousandth, meaning="vertical divergence (mrad)", default="[none]"),
    Flag("-hdiv", "number", "hdivrange", thousandth, meaning="-hdivrange", ignored="-hdivrange"),
    Flag("-vdiv", "number", "vdivrange", thousandth, meaning="-vdivrange", ignored="-vdivrange"),
    Flag("-hdivstep", "number", "hdivstep", thousandth, meaning="step (mrad), not a number of steps"),
    Flag("-vdivstep", "number", "vdivstep", thousandth, meaning="step (mrad), not a number of steps"),
    Flag("-hdivsteps", "integer", "hdivsteps", meaning="directions", default="[1]"),
    Flag("-vdivsteps", "integer", "vdivsteps", meaning="directions", default="[1]"),
    Flag("-divsteps", "integer", "divsteps", meaning="directions, both", default="[1]"),
    Flag("-round_div", sets=(("round_div", True),), meaning="elliptical divergence", default="[the default]"),
    Flag("-square_div", sets=(("round_div", False),), meaning="rectangular divergence"),
    Flag("-sourcefile", "file", "sourcefile", meaning="X Y Z weight wavelength (m)"),
    Flag("-source_dist*", "number", meaning="-sourcefile", ignored="-sourcefile (where the sources are)"),
    Flag("-polarization", "number", "kahn", sets=(("polarized", True),), meaning="-polar", ignored="-polar"),
    Flag("-polar", "number", "kahn", sets=(("polarized", True),), meaning="polarization, Kahn factor", default="0"),
    Flag("-nopolar", sets=(("polarized", False),), meaning="no polarization factor"),
    Flag("-water", "number", "water", lambda x: x / 1e6, meaning="water thickness (um)", default="0"),
    Flag("-dmin", "number", "dmin", lambda x: x * 1e-10, meaning="resolution limit (A)", default="0"),
)  # fmt: skip

_ROTATION = (
    Flag("-phi", "number", "phi", radians, meaning="start (deg)", default="0"),
    Flag("-osc", "number", "osc", radians, meaning="oscillation range (deg)", default="[a still]"),
    Flag("-phistep", "number", "phistep", radians, meaning="step (deg)", default="[-osc / -phisteps]"),
    Flag("-phisteps", "integer", "phisteps", meaning="steps", default="[2 with -osc]"),
)  # fmt: skip

_STRUCTURE_FACTORS = (
    Flag("-interpolate", sets=(("interpolate", 1),), meaning="tricubic"),
    Flag("-nointerpolate", sets=(("interpolate", 0),), meaning="nearest"),
    Flag("-stol -4stol -Q", "file", "stol", meaning="amorphous scattering (no effect)", warning=_UNUSED),
    Flag("-stolout", "text", meaning="no effect", warning=_INERT),
    Flag("-coherent", meaning="no effect", warning=_INERT),
    Flag("-dump", "cache", "dump_file", meaning="written after -hkl, read without", default="[Fdump.bin]",
         warning=_CACHE),
    Flag("--fdump", "file", "fdump", meaning="structure factors of an earlier run, read without -hkl"),
)  # fmt: skip

_SEEDS = (
    Flag("-seed", "integer", "seed", meaning="of the noise image", default="[the clock]"),
    Flag("-mosaic_seed", "integer", "mosaic_seed", meaning="of the mosaic domains", default="12345678"),
    Flag("-misset_seed", "integer", "misset_seed", meaning="of -misset random", default="[the clock]"),
)  # fmt: skip

_OUTPUT = (
    Flag("-floatfile -floatimage", "text", "float_file", meaning="float image", default="floatimage.bin"),
    Flag("-intfile -intimage", "text", "int_file", meaning="integer image, SMV", default="intimage.img"),
    Flag("-pgmfile -pgmimage", "text", "pgm_file", sets=(("pgm", True),), meaning="PGM image", default="image.pgm"),
    Flag("-noisefile -noiseimage", "text", "noise_file", sets=(("noise", True),),
         meaning="noise image, SMV", default="noiseimage.img"),
    Flag("-nonoise", sets=(("noise", False),), meaning="no noise image"),
    Flag("-nopgm", sets=(("pgm", False),), meaning="no PGM image"),
    Flag("-scale", "number", "scale", meaning="scale of the integer image", default="[55000 at the brightest]"),
    Flag("-pgmscale", "number", "pgm_scale", sets=(("pgm", True),), meaning="scale of the PGM image",
         default="[250 at five rmsd]"),
    Flag("-adc -adcoffset", "number", "adc", meaning="offset of integer and noise image", default="40"),
    Flag("-printout", sets=(("printout", True),), meaning="print what each pixel is made of"),
    Flag("-printout_pixel", "2 integers", "printout_pixel", sets=(("printout", True),),
         meaning="that of one pixel: fast slow", needed=True),
    Flag("-progress", sets=(("progress", True),), meaning="a bar on the terminal", default="[the default]"),
    Flag("-noprogress", sets=(("progress", False),), meaning="no bar"),
    Flag("-show_config -echo_config", sets=(("show_config", True),), meaning="print the simulation in use"),
    Flag("-trace_pixel -dump_pixel", "2 integers", "trace_pixel", meaning="print the trace of one pixel: slow fast"),
)  # fmt: skip

_OURS = (
    Flag("--mode", "mode", meaning="c-parity: all quirks as in the reference; spec: none", default="c-parity"),
    Flag("--quirk", "quirk", meaning="one of them: Q29=off, Q29=on"),
    Flag("--phi-mode", "phi mode", meaning="Q29 alone: c-parity or spec"),
    Flag("--vectors", "vectors", "as_given",
         meaning="reference, as-given, or a list of odet,sdet,fdet,beam taken as given", default="reference"),
)  # fmt: skip

GROUPS = {
    "crystal": _CRYSTAL,
    "detector": _DETECTOR,
    "beam": _BEAM_FLAGS,
    "rotation": _ROTATION,
    "structure factors": _STRUCTURE_FACTORS,
    "seeds": _SEEDS,
    "output": _OUTPUT,
    "ours": _OURS,
}
TABLE = tuple(flag for group in GROUPS.values() for flag in group)
OURS = tuple(flag for flag in TABLE if flag.names.startswith("--"))
REFERENCE = tuple(flag for flag in TABLE if not flag.names.startswith("--"))
