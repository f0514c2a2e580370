"""nanoBragg's command line: argv -> Config (semantics section 1).

The names and aliases are the reference's; the matching is strict where the reference looks for substrings
and ignores what it does not know (Q35). A trailing * in a name stands for any longer spelling.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanobragg_torch.assemble import assemble
from nanobragg_torch.config import Config
from nanobragg_torch.errors import FlagError, InputError
from nanobragg_torch.flag_values import KINDS, is_number
from nanobragg_torch.header import read_headers
from nanobragg_torch.io.sources import read_columns
from nanobragg_torch.quirks import IDS, MODES, Quirks, of_mode
from nanobragg_torch.sampling import radians

Given = dict[str, Any]


@dataclass(frozen=True)
class Flag:
    """One row of the table.

    values: what follows, by kind (see flag_values). key: where the converted value goes.
    unit: converts one number. sets: what else the flag switches, convention and pivot above all.
    warning: what a user should know who gives it.
    """

    names: str
    values: str = ""
    key: str = ""
    unit: Callable[[float], float] | None = None
    sets: tuple[tuple[str, Any], ...] = ()
    meaning: str = ""
    warning: str = ""

    @property
    def stored(self) -> tuple[str, ...]:
        """Where the flag leaves its mark: its key, or what a flag without a value switches."""
        return (self.key,) if self.key else tuple(dict(self.sets))

    def matches(self, argument: str) -> bool:
        for name in self.names.split():
            if argument == name or (name.endswith("*") and argument.startswith(name[:-1])):
                return True
        return False


def _thousandth(value: float) -> float:
    return value / 1000.0


def _micron(value: float) -> float:
    return value * 1e-6


_BEAM = (("pivot", "BEAM"),)
_SAMPLE = (("pivot", "SAMPLE"),)
_CUSTOM = (("convention", "CUSTOM"),)
_INERT = "has no effect, as in the reference"
_UNUSED = "amorphous scattering is not computed, as in the reference (Q18)"
_NO_TEXT = "pixel values are not printed"


def _named(convention: str, pivot: str) -> tuple[tuple[str, Any], ...]:
    return (("convention", convention), ("pivot", pivot))


def _shape(shape: str) -> tuple[tuple[str, Any], ...]:
    return (("shape", shape),)


TABLE = (
    # crystal
    Flag("-Na", "integer", "Na", meaning="cells along a"),
    Flag("-Nb", "integer", "Nb", meaning="cells along b"),
    Flag("-Nc", "integer", "Nc", meaning="cells along c"),
    Flag("-N", "integer", "N", meaning="cells along a, b and c"),
    Flag("-cell", "cell", "cell", meaning="a b c (A) alpha beta gamma (deg)"),
    Flag("-misset", "misset", "misset", meaning="rotations about x y z (deg), or 'random'"),
    Flag("-mat", "file", "mat", meaning="MOSFLM orientation matrix"),
    Flag("-hkl", "file", "hkl", meaning="reflection list: h k l F"),
    Flag("-default_F", "number", "default_F", meaning="F of reflections that are not listed"),
    Flag("-samplesize -sample_size -xtalsize -xtal_size", "number", "size", _thousandth,
         meaning="crystal size, all three axes (mm)"),
    Flag("-sample_thick -sample_x -xtal_thick -xtal_x", "number", "size_x", _thousandth,
         meaning="crystal size along a (mm)"),
    Flag("-sample_width -sample_y -xtal_width -xtal_y -width", "number", "size_y", _thousandth,
         meaning="crystal size along b (mm)"),
    Flag("-sample_heigh* -sample_z -xtal_heigh* -xtal_z -heigh*", "number", "size_z", _thousandth,
         meaning="crystal size along c (mm)"),
    Flag("-density -sample_den* -MW -molec*", "number", meaning="no effect on an image"),
    Flag("-square_xtal", sets=_shape("SQUARE"), meaning="parallelepiped crystal"),
    Flag("-round_xtal", sets=_shape("ROUND"), meaning="ellipsoidal crystal"),
    Flag("-gauss_xtal", sets=_shape("GAUSS"), meaning="Gaussian spots"),
    Flag("-binary_spots -tophat_spots", sets=_shape("TOPHAT"), meaning="spots of constant intensity"),
    Flag("-fudge", "number", "fudge", meaning="shape parameter"),
    Flag("-mosaic -mosaici* -mosaic_spr*", "number", "mosaic", radians, meaning="mosaic spread (deg)"),
    Flag("-mosaic_dom*", "integer", "mosaic_domains", meaning="mosaic domains"),
    # detector
    Flag("-distance", "number", "distance", _thousandth, _BEAM, "along the beam (mm)"),
    Flag("-close_distance", "number", "close_distance", _thousandth, _SAMPLE, "nearest point (mm)"),
    Flag("-Xbeam", "number", "x_beam", _thousandth, _BEAM, "beam centre (mm)"),
    Flag("-Ybeam", "number", "y_beam", _thousandth, _BEAM, "beam centre (mm)"),
    Flag("-Xclose", "number", "x_close", _thousandth, _SAMPLE, "nearest point (mm)"),
    Flag("-Yclose", "number", "y_close", _thousandth, _SAMPLE, "nearest point (mm)"),
    Flag("-ORGX", "number", "orgx", sets=_SAMPLE, meaning="nearest point, XDS (pixels)"),
    Flag("-ORGY", "number", "orgy", sets=_SAMPLE, meaning="nearest point, XDS (pixels)"),
    Flag("-pivot", "pivot", "pivot", meaning="'sample' or 'beam'"),
    Flag("-mosflm", sets=_named("MOSFLM", "BEAM"), meaning="convention"),
    Flag("-adxv", sets=_named("ADXV", "BEAM"), meaning="convention"),
    Flag("-denzo", sets=_named("DENZO", "BEAM"), meaning="convention"),
    Flag("-xds", sets=_named("XDS", "SAMPLE"), meaning="convention"),
    Flag("-dials", sets=_named("DIALS", "BEAM"), meaning="convention"),
    Flag("-fdet_vector", "3 numbers", "fdet", sets=_CUSTOM, meaning="fast axis"),
    Flag("-sdet_vector", "3 numbers", "sdet", sets=_CUSTOM, meaning="slow axis"),
    Flag("-odet_vector", "3 numbers", "odet", sets=_CUSTOM, meaning="detector normal"),
    Flag("-beam_vector", "3 numbers", "beam", sets=_CUSTOM, meaning="beam direction"),
    Flag("-polar_vector", "3 numbers", "polar_vector", sets=_CUSTOM, meaning="polarization axis"),
    Flag("-spindle_axis", "3 numbers", "spindle", sets=_CUSTOM, meaning="rotation axis of phi"),
    Flag("-twotheta_axis", "3 numbers", "twotheta_axis", sets=_CUSTOM,
         meaning="twotheta axis; also sets twotheta to its x, in degrees (Q01)"),
    Flag("-pix0_vector", "3 numbers", "pix0", sets=_CUSTOM, meaning="origin of the detector (m; Q02)"),
    Flag("-pix0_vector_mm", "3 numbers", "pix0", _thousandth, _CUSTOM, "origin of the detector (mm; Q02)"),
    Flag("-twotheta", "number", "twotheta", radians, _SAMPLE, "detector swing (deg)"),
    Flag("-detector_rotx", "number", "rotx", radians, meaning="detector tilt (deg)"),
    Flag("-detector_roty", "number", "roty", radians, meaning="detector tilt (deg)"),
    Flag("-detector_rotz", "number", "rotz", radians, meaning="detector tilt (deg)"),
    Flag("-detsize", "number", "detsize", _thousandth, meaning="detector size, both axes (mm)"),
    Flag("-detsize_f", "number", "detsize_f", _thousandth, meaning="detector size, fast (mm)"),
    Flag("-detsize_s", "number", "detsize_s", _thousandth, meaning="detector size, slow (mm)"),
    Flag("-detpixels", "integer", "detpixels", meaning="pixels, both axes"),
    Flag("-detpixels_f -detpixels_x", "integer", "detpixels_f", meaning="pixels, fast"),
    Flag("-detpixels_s -detpixels_y", "integer", "detpixels_s", meaning="pixels, slow"),
    Flag("-pixel", "number", "pixel", _thousandth, meaning="pixel size (mm)"),
    Flag("-curved_det*", "maybe number", sets=(("curved", True),), meaning="curved detector"),
    Flag("-point_pixel", sets=(("point_pixel", True),), meaning="solid angle 1/R^2"),
    Flag("-detector_abs*", "absorption", "mu", meaning="attenuation depth (um), or 'inf'"),
    Flag("-detector_thick", "number", "thick", _micron, meaning="sensor thickness (um)"),
    Flag("-detector_thicksteps -thicksteps", "integer", "thicksteps", meaning="sensor layers"),
    Flag("-roi", "4 integers", "roi", meaning="fast min, max, slow min, max, inclusive"),
    Flag("-mask", "file", "mask", meaning="SMV mask: 0 skips a pixel; its header is used"),
    Flag("-img", "file", "img", meaning="SMV image whose header is used"),
    Flag("-oversample", "integer", "oversample", meaning="sub-pixels per edge"),
    Flag("-oversample_thick", sets=(("oversample_thick", True),), meaning="capture per sub-pixel"),
    Flag("-oversample_polar", sets=(("oversample_polar", True),), meaning="polarization per sub-pixel"),
    Flag("-oversample_omega", sets=(("oversample_omega", True),), meaning="solid angle per sub-pixel"),
    # beam
    Flag("-lambda -wave*", "number", "wavelength", lambda x: x / 1.0e10, meaning="wavelength (A)"),
    Flag("-energy", "positive", "wavelength", lambda x: (12398.42 / x) / 1.0e10, meaning="energy (eV)"),
    Flag("-fluence", "number", "fluence", meaning="photons/m^2"),
    Flag("-flux", "number", "flux", meaning="photons/s"),
    Flag("-exposure", "number", "exposure", meaning="s"),
    Flag("-beamsize", "number", "beamsize", _thousandth, meaning="mm"),
    Flag("-dispersion", "number", "dispersion", lambda x: x / 100.0, meaning="percent"),
    Flag("-dispsteps", "integer", "dispsteps", meaning="wavelengths"),
    Flag("-divergence", "number", "divergence", _thousandth, meaning="both directions (mrad)"),
    Flag("-hdivrange", "number", "hdivrange", _thousandth, meaning="mrad"),
    Flag("-vdivrange", "number", "vdivrange", _thousandth, meaning="mrad"),
    Flag("-hdivstep", "number", "hdivstep", _thousandth, meaning="mrad"),
    Flag("-vdivstep", "number", "vdivstep", _thousandth, meaning="mrad"),
    Flag("-hdivsteps", "integer", "hdivsteps", meaning="directions"),
    Flag("-vdivsteps", "integer", "vdivsteps", meaning="directions"),
    Flag("-divsteps", "integer", "divsteps", meaning="directions, both"),
    Flag("-round_div", sets=(("round_div", True),), meaning="elliptical divergence"),
    Flag("-square_div", sets=(("round_div", False),), meaning="rectangular divergence"),
    Flag("-sourcefile", "file", "sourcefile", meaning="X Y Z weight wavelength (m)"),
    Flag("-polar", "number", "kahn", sets=(("polarized", True),), meaning="Kahn factor"),
    Flag("-nopolar", sets=(("polarized", False),), meaning="no polarization factor"),
    Flag("-water", "number", "water", lambda x: x / 1e6, meaning="water thickness (um)"),
    Flag("-dmin", "number", "dmin", lambda x: x * 1e-10, meaning="resolution limit (A)"),
    # rotation
    Flag("-phi", "number", "phi", radians, meaning="start (deg)"),
    Flag("-osc", "number", "osc", radians, meaning="oscillation range (deg)"),
    Flag("-phistep", "number", "phistep", radians, meaning="step (deg)"),
    Flag("-phisteps", "integer", "phisteps", meaning="steps"),
    # structure factors
    Flag("-interpolate", sets=(("interpolate", 1),), meaning="tricubic"),
    Flag("-nointerpolate", sets=(("interpolate", 0),), meaning="nearest"),
    Flag("-stol -4stol -Q", "file", "stol", meaning="amorphous scattering (no effect)", warning=_UNUSED),
    Flag("-stolout", "text", meaning="no effect", warning=_INERT),
    Flag("-coherent", meaning="no effect", warning=_INERT),
    Flag("--fdump", "file", "fdump", meaning="structure factors of an earlier run (Fdump.bin)"),
    # seeds
    Flag("-seed", "integer", "seed", meaning="of the noise image (the clock)"),
    Flag("-mosaic_seed", "integer", "mosaic_seed", meaning="of the mosaic domains (12345678)"),
    Flag("-misset_seed", "integer", "misset_seed", meaning="of -misset random (the clock)"),
    # output
    Flag("-floatfile -floatimage", "text", "float_file", meaning="float image (floatimage.bin)"),
    Flag("-intfile -intimage", "text", "int_file", meaning="integer image, SMV (intimage.img)"),
    Flag("-pgmfile -pgmimage", "text", "pgm_file", sets=(("pgm", True),), meaning="PGM image (image.pgm)"),
    Flag("-noisefile -noiseimage", "text", "noise_file", sets=(("noise", True),),
         meaning="noise image, SMV (noiseimage.img)"),
    Flag("-nonoise", sets=(("noise", False),), meaning="no noise image"),
    Flag("-nopgm", sets=(("pgm", False),), meaning="no PGM image"),
    Flag("-scale", "number", "scale", meaning="scale of the integer image (55000 at the brightest)"),
    Flag("-pgmscale", "number", "pgm_scale", sets=(("pgm", True),), meaning="scale of the PGM image"),
    Flag("-adc", "number", "adc", meaning="offset of integer and noise image (40)"),
    Flag("-printout", meaning="no effect", warning=_NO_TEXT),
    Flag("-printout_pixel", "2 integers", meaning="no effect", warning=_NO_TEXT),
    Flag("-progress", meaning="progress meter"),
    Flag("-noprogress", meaning="no progress meter"),
    Flag("-trace_pixel -dump_pixel", "2 integers", "trace_pixel", meaning="slow fast"),
    # ours
    Flag("--mode", "mode", meaning="c-parity: all quirks as in the reference (default); spec: none"),
    Flag("--quirk", "quirk", meaning="one of them: Q29=off, Q29=on"),
    Flag("--phi-mode", "phi mode", meaning="Q29 alone: c-parity or spec"),
    Flag("--vectors", "vectors", "as_given",
         meaning="reference, as-given, or a list of odet,sdet,fdet,beam taken as given"),
)  # fmt: skip


@dataclass(frozen=True)
class _Word:
    """One flag of the command line with the value that follows it."""

    flag: Flag
    argument: str
    value: Any


def parse(argv: Sequence[str], folders: Sequence[Path] = (Path(),), dump: Path | None = None) -> Config:
    """The simulation that the reference's command line `argv` (without program name) describes.

    Files that flags name are looked for in `folders`, in order. dump: the Fdump.bin that the reference would
    read where there is no -hkl (Q57); None is none. Raises FlagError for an unknown or malformed flag,
    InputError for a file that is missing or cannot be read.
    """
    words = _words(argv, folders)
    quirks = _quirks(words)
    typed = {key: word.argument for word in words for key in word.flag.stored}
    given: Given = {"warnings": [], "quirks": quirks, "dump": dump, "typed": typed}
    # the reference reads the headers first, the mask's before the image's, so that flags override them
    files = {word.flag.key: word.value for word in words if word.flag.key in ("mask", "img")}
    given.update(read_headers(files.get("mask"), files.get("img"), quirks))
    for word in words:
        _store(word, given)
    return assemble(given)


def _words(argv: Sequence[str], folders: Sequence[Path]) -> list[_Word]:
    found, rest = [], list(argv)
    while rest:
        argument = rest.pop(0)
        flag = _find(argument)
        if "=" in argument and argument.startswith("--"):
            argument, _, given = argument.partition("=")
            rest.insert(0, given)
        value, taken = KINDS[flag.values](argument, rest) if flag.values else ("", 0)
        if flag.values == "file":
            value = _existing(argument, value, folders)
        found.append(_Word(flag, argument, value))
        del rest[:taken]
    return found


def _quirks(words: Sequence[_Word]) -> Quirks:
    """The switches: the last --mode first, then --quirk and --phi-mode in order."""
    modes = [word.value for word in words if word.argument == "--mode"]
    quirks = dataclasses.replace(of_mode(modes[-1] if modes else MODES[0]), chosen=frozenset(IDS if modes else ()))
    for word in words:
        if word.flag.values in ("quirk", "phi mode"):
            quirks = dataclasses.replace(quirks.switched(*word.value), chosen=quirks.chosen | {word.value[0]})
        elif word.flag.key == "as_given":
            quirks = dataclasses.replace(quirks, as_given=word.value)
    return quirks


def _find(argument: str) -> Flag:
    name = argument.partition("=")[0] if argument.startswith("--") else argument
    for flag in TABLE:
        if flag.matches(name):
            return flag
    if not argument.startswith("-") or is_number(argument):
        raise FlagError(f"{argument}: expected a flag, got a value that no flag takes")
    names = [name.rstrip("*") for flag in TABLE for name in flag.names.split()]
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
    raise FlagError(f"{argument}: unknown flag, the nearest is {nearest}")


def _store(word: _Word, given: Given) -> None:
    """Put the value of a flag, in the Config's unit, into `given`, and what else the flag sets."""
    flag, value = word.flag, word.value
    if flag.warning:
        given["warnings"].append(f"{word.argument}: {flag.warning}")
    # Q54: any vector flag of the reference leaves the named convention
    if flag.sets != _CUSTOM or given["quirks"].on("Q54"):
        given.update(flag.sets)
    if flag.unit is not None:
        value = tuple(map(flag.unit, value)) if isinstance(value, tuple) else flag.unit(value)
    if flag.key in _SPECIAL:
        _SPECIAL[flag.key](given, value)
    elif flag.key:
        given[flag.key] = value


def _set_mu(given: Given, value: float) -> None:
    given["mu"] = value
    if value == 0.0:
        given["thick"] = 0.0


def _set_twotheta_axis(given: Given, value: tuple[float, float, float]) -> None:
    given["twotheta_axis"] = value
    if given["quirks"].on("Q01"):  # the name also matches -twotheta, which takes the axis's x as an angle
        given.update(twotheta=radians(value[0]), pivot="SAMPLE")
        given["warnings"].append(
            f"-twotheta_axis also sets twotheta to {value[0]:g} degrees and the pivot to SAMPLE (Q01)"
        )


def _set_distance(given: Given, value: float) -> None:
    given["distance"] = value
    if "close_distance" in given["from_header"]:
        if given["quirks"].on("Q07"):
            given["warnings"].append("-distance: has no effect, the header's CLOSE_DISTANCE wins (Q07)")
        else:
            given.pop("close_distance", None)


def _set_pivot(given: Given, value: str) -> None:
    given.update(pivot=value, pivot_asked=value)


def _read_stol(given: Given, path: Path) -> None:
    read_columns(path, "amorphous scattering (stol F)", 2)


def _nothing(given: Given, value: Any) -> None:
    """Read before all other flags."""


def _several(*keys: str) -> Callable[[Given, Any], None]:
    def store(given: Given, value: Any) -> None:
        given.update(dict.fromkeys(keys, value))

    return store


_SPECIAL: dict[str, Callable[[Given, Any], None]] = {
    "N": _several("Na", "Nb", "Nc"),
    "size": _several("size_x", "size_y", "size_z"),
    "detsize": _several("detsize_f", "detsize_s"),
    "detpixels": _several("detpixels_f", "detpixels_s"),
    "divergence": _several("hdivrange", "vdivrange"),
    "divsteps": _several("hdivsteps", "vdivsteps"),
    "mu": _set_mu,
    "twotheta_axis": _set_twotheta_axis,
    "distance": _set_distance,
    "pivot": _set_pivot,
    "stol": _read_stol,
    "mask": _nothing,
    "img": _nothing,
    "as_given": _nothing,
}


def _existing(argument: str, name: str, folders: Sequence[Path]) -> Path:
    for folder in folders:
        path = folder / name
        if path.is_file():
            return path
    places = ", ".join(str(folder) for folder in folders)
    raise InputError(f"{argument} {name}: expected a file, found none in {places}")
