"""Defects of the reference programs that change an image or a trace: one table, one switch each; and which program
has which of them.

A switch that is on does what the programs with the defect do; off does what would be right, or what the programs
without it do. The numbers are those of semantics 9 and variants 3. `where` names lines of nanoBragg.c where they are
known, else the section of the specification.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nanobragg_torch.errors import InputError

VECTORS = ("odet", "sdet", "fdet", "beam")
PHI_MODES = ("c-parity", "spec")


@dataclass(frozen=True)
class Quirk:
    """One defect: what the programs that have it do, what `off` does instead, and where the code is.

    golden: whether the reference of the golden cases has it.
    """

    id: str
    name: str
    reference: str
    right: str
    where: str
    golden: bool = True


_SCAN, _SAMPLING, _GEOMETRY = "nanoBragg.c ~L416-1135", "nanoBragg.c ~L1138-1700", "nanoBragg.c ~L1169-1300"
_HEADER, _LOOP, _FINAL = "nanoBragg.c ~L416-520, ~L4505", "nanoBragg.c ~L2937-3380", "nanoBragg.c ~L3380"
_VARIANTS = "variants 3"
_CELL, _HKL, _SOURCES = "nanoBragg.c ~L1961-2310", "nanoBragg.c ~L2395", "nanoBragg.c ~L2567-2690, ~L4248"

TABLE = tuple(
    Quirk(*row)
    for row in (
        ("Q01", "twotheta axis sets twotheta", "-twotheta_axis X Y Z also sets twotheta to X degrees, and pivot SAMPLE",
         "the flag sets the axis alone", _SCAN),
        ("Q02", "pix0 overwritten", "-pix0_vector and -pix0_vector_mm only select CUSTOM",
         "pix0 is the given vector (metres, or mm with _mm), after all rotations", _GEOMETRY),
        ("Q03", "normal regenerated", "odet not exactly of length 1 becomes unit(fdet x sdet); one of length 1 stays",
         "odet is unitised; one that is no normal of fdet and sdet is an error; not given, it follows from them",
         _GEOMETRY),
        ("Q04", "twotheta axis stretches", "the twotheta axis keeps the length that it was given", "it is unitised",
         _GEOMETRY),
        ("Q05", "centre ignored in XDS and DIALS", "-Xbeam -Ybeam -Xclose -Yclose do not place the detector there",
         "near point from ORGX/ORGY, else Xclose/Yclose, else Xbeam/Ybeam", _GEOMETRY),
        ("Q06", "pivot ignored", "-pivot counts in CUSTOM only", "-pivot counts in every convention", _GEOMETRY),
        ("Q07", "header beats distance", "CLOSE_DISTANCE of an -img or -mask header makes -distance ineffective",
         "a -distance on the command line wins", _HEADER),
        ("Q08", "reported distance omits twotheta", "distance and beam centre after the pivot, hence the advised"
         " oversampling and the curved detector, use the normal before twotheta", "they use the final normal",
         "nanoBragg.c ~L1911"),
        ("Q09", "reciprocal axes unrotated", "rot_a_star and its like are traced without phi and mosaic",
         "they turn with the crystal (trace only)", _CELL),
        ("Q10", "reflection list by tokens", "a fifth column shifts all later reflections; a comment ends the list",
         "line by line: extra columns and # comments are skipped, anything else is an error", _HKL),
        ("Q11", "index not an integer ends the list", "an index written as 1.0 ends the second pass silently",
         "1.0 is 1; an index that is no whole number is an error", _HKL),
        ("Q12", "source file comments are sources", "words of a # line are zeros; a line end that is no bare newline"
         " fills missing columns with 0", "# comments are skipped, any line end ends a line, no number is an error",
         _SOURCES),
        ("Q13", "source weights ignored", "every source counts the same", "terms are weighted, and divided by the sum"
         " of weights", _SOURCES),
        ("Q14", "layers beyond the sensor", "n layers are thickness/(n-1) apart; 1 layer becomes 2",
         "n layers of thickness/n", _SAMPLING),
        ("Q15", "last layer's capture for all", "the sum over layers is multiplied by the last layer's capture",
         "each layer has its own", _FINAL),
        ("Q16", "point pixel without area", "-point_pixel: solid angle 1/R^2", "pixel^2/R^2", _LOOP),
        ("Q17", "curved detector by lab axes", "-curved_det takes lab y and z for arcs, and keeps the flat obliquity",
         "arcs are Fdet - Fclose and Sdet - Sclose; solid angle pixel^2/R^2", _LOOP),
        ("Q19", "random misset not uniform", "-misset random asks for a mosaic spread of 90 and gets radians",
         "a uniform rotation from the same three deviates", _CELL),
        ("Q20", "misset seed from the clock", "-seed does not seed -misset random", "it does, without -misset_seed",
         "semantics 1.2"),
        ("Q22", "dump reader eats white space", "bytes of the first F that look like white space are skipped",
         "exactly two separator bytes are skipped", "semantics 2.7"),
        ("Q23", "nopolar undone", "-oversample_polar overrides -nopolar", "the factor stays 1", _LOOP),
        ("Q24", "spot width by volume", "GAUSS and TOPHAT: D.D (Na Nb Nc)^2 in 1/A^2",
         "N of each axis times its (h - h0), as in ROUND", _LOOP),
        ("Q25", "tricubic off for good", "the first point too near the edge of the list ends interpolation for the run",
         "nearest for that point alone", _LOOP),
        ("Q26", "water scaled twice", "the background enters the sum before r_e^2 fluence / steps",
         "water molecules add 2.57^2 each to every term, so that all factors act on them once", _FINAL),
        ("Q27", "factors on the running sum", "-oversample_thick/_polar/_omega multiply the whole sum at each term",
         "they multiply the term", _LOOP),
        ("Q28", "capture of no sensor", "-oversample_thick without a thickness makes the image 0", "capture is 1",
         _LOOP),
        ("Q29", "phi 0 keeps the orientation", "C-PARITY-001: a phi of exactly 0 is not rotated, the axes stay as the"
         " evaluation before left them", "every step is rotated", "nanoBragg.c ~L3042"),
        ("Q30", "one polarization and solid angle a pixel", "they are those of the first source and sub-pixel",
         "each sub-pixel and source has its own", _LOOP),
        ("Q32", "phi steps alone sweep a degree", "-phisteps alone implies -osc 1; with -phistep the count is lost",
         "n steps of the given size; -phisteps alone is an error", _SAMPLING),
        ("Q34", "residue for a peak", "sin(N pi h)/sin(pi h) with h unreduced: rounding noise at whole h",
         "h is reduced by its nearest index; +-N there", _LOOP),
        ("Q35", "flags ignored in silence", "documented flags that are not built (-hdiv, -detsize_x), and a last flag"
         " without its value, change nothing", "they mean what they say, or are an error", _SCAN),
        ("Q36", "value-less last flag", "-detector_abs, -detector_thick, -detector_thicksteps or -thicksteps as the"
         " last word crashes: an error here", "it is passed over, as other last flags are (Q35)", _SCAN),
        ("Q37", "geometry trace of constants", "with BEAM pivot: constant convention and initial vectors, final vectors"
         " under _after_rotz; beam centres divided by 1000", "true values, in metres", "semantics 8.1"),
        ("Q38", "q traced in 1/m", "scattering_vec_A_inv is in 1/m", "it is in 1/A", _LOOP),
        ("Q39", "solid angle over all steps", "the printed solid angle is divided by sources, domains and phi steps",
         "the mean over sub-pixels and layers (statistics only)", "semantics 6.10"),
        ("Q40", "default beam clips the crystal", "y and z of the crystal are clipped to 0.1 mm without -beamsize",
         "clipped to a beam that was given", _SAMPLING),
        ("Q41", "divergence steps alone", "-hdivsteps n alone spans one radian", "an error", _SAMPLING),
        ("Q42", "dispersion steps", "-dispsteps alone gives one step, -dispersion with -dispsteps 1 gives two",
         "as many as asked; a single one has the mean wavelength", _SAMPLING),
        ("Q43", "offset inside the ROI only", "int and noise images are 0 outside the ROI", "the ADC offset",
         "semantics 7.2, 7.4"),
        ("Q44", "32-bit steps", "sources domains phi oversample^2 wraps at 2^31", "it does not", _SOURCES),
        ("Q46", "twotheta of a header", "TWOTHETA of an -img or -mask header is read and has no effect", "it swings the"
         " detector; with the pivot at the beam DISTANCE places it, else CLOSE_DISTANCE", _HEADER),
        ("Q47", "mask centre mirrored", "BEAM_CENTER_Y of a -mask is measured from the other end", "as of an -img",
         _HEADER),
        ("Q48", "header keywords by substring", "the last match anywhere counts: DISTANCE finds CLOSE_DISTANCE",
         "whole keywords at the start of a line", _HEADER),
        ("Q51", "interpolation chosen too early", "nearest or tricubic is decided before -xtalsize sets N",
         "decided by the final N", "semantics 6.5"),
        ("Q53", "-misset as a substring", "-misset_seed counts as -misset first: 'rand' or the three words behind it"
         " are the misset, one that is no number is 0", "-misset_seed is the seed alone", _VARIANTS, False),
        ("Q54", "one vector makes CUSTOM", "a vector flag selects CUSTOM with its own twotheta axis, centre and pivot",
         "the named convention stays, one vector is replaced", _GEOMETRY),
        ("Q55", "negative seed continues", "a negative seed does not restart the generator", "its absolute value does",
         "nanoBragg.c ~L4154"),
        ("Q57", "stray dump read", "without -hkl an Fdump.bin of the working directory is read",
         "only what --fdump names", "semantics 2.7"),
        ("Q58", "angles of the cell", "z of c* is divided by sin(gamma*), so that the cell's angles come out wrong",
         "by sin(gamma), the exact relation", "nanoBragg.c ~L1961"),
        ("Q59", "no backward rotation", "-osc or -phistep below 0 (OSC_RANGE of a header too) counts as not given",
         "its sign is the sense of rotation", _SAMPLING),
        ("Q61", "dump names the cache", "-dump FILE takes the place of Fdump.bin; so does the first word behind"
         " -dump_pixel", "-dump_pixel is -trace_pixel; -dump is ignored with Q35 in a mode that is asked for",
         _VARIANTS, False),
        ("Q62", "no default attenuation depth", "-detector_thick without -detector_abs: the image is 0",
         "the depth is the thickness", _VARIANTS, False),
        ("Q63", "random misset from -seed", "-misset random draws from -seed, there is no -misset_seed, and the noise"
         " goes on from what it leaves", "it draws from -misset_seed, the noise from -seed", _VARIANTS, False),
        ("Q65", "size by x and y unknown", "-detpixels_x and -detpixels_y are ignored", "they are -detpixels_f and"
         " -detpixels_s", _VARIANTS, False),
        ("Q66", "background escapes", "without Q27, a factor of each term leaves the background alone",
         "the background has every factor once", _VARIANTS, False),
        ("Q67", "curved_det as the last word", "-curved_det at the end of the command line is ignored",
         "the detector is curved", _SCAN),
    )
)  # fmt: skip

IDS = tuple(quirk.id for quirk in TABLE)
_IDS = frozenset(IDS)
_ABSENT = frozenset(quirk.id for quirk in TABLE if not quirk.golden)

_MAIN = {"Q53": True, "Q61": True}
_TERMS = {"Q27": False, "Q66": True}
_LAST_FLAGS = {"Q36": False, "Q67": False}
# the programs of variants 2, by what they have, and have not, unlike the reference of the golden cases
VARIANTS: Mapping[str, Mapping[str, bool]] = MappingProxyType(
    {
        "golden": {},
        "hoidn-main": {},
        "hoidn-ref": {"Q53": True},
        "hoidn-root": {"Q53": True},
        "bl831-2022": {"Q24": False, "Q53": True},
        "bl831-main": _MAIN,
        "bl831-phi0-fix": {**_MAIN, "Q29": False},
        "bl831-subpixel-fix": {**_MAIN, **_TERMS},
        "bl831-flag-guard-fix": {**_MAIN, **_LAST_FLAGS},
        "bl831-all-fixes": {**_MAIN, **_TERMS, **_LAST_FLAGS, "Q29": False},
        "cctbx-standalone": {"Q24": False, "Q53": True, "Q62": True, "Q63": True, "Q65": True},
    }
)
MODES = ("c-parity", "spec", *VARIANTS)


def _known(*quirks: str) -> None:
    unknown = sorted(set(quirks) - _IDS)
    if unknown:
        raise ValueError(f"quirk: expected one of {', '.join(IDS)}, got {unknown[0]!r}")


@dataclass(frozen=True)
class Quirks:
    """Which switches are off; all others are on.

    Attributes:
        off: the numbers, such as "Q29", of the switches that are off; by default those that the reference of the
            golden cases does not have.
        as_given: detector and beam vectors that are used as they were typed: not unitised, and `odet` not
            regenerated (Q03). No mode of the reference does this: it is the defect of an earlier port, kept so
            that its figures stay reproducible.
        chosen: the switches that somebody asked for (--mode: all; --quirk: one). Where nobody asked for those of a
            file's reading (Q10, Q11, Q12), what the reference would misread is an error, not half a list.
    """

    off: frozenset[str] = field(default=_ABSENT)
    as_given: frozenset[str] = frozenset()
    chosen: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _known(*self.off, *self.chosen)
        if not self.as_given <= set(VECTORS):
            raise ValueError(f"as_given: expected some of {', '.join(VECTORS)}, got {', '.join(sorted(self.as_given))}")

    def on(self, quirk: str) -> bool:
        """Whether `quirk` ("Q29") is as in the reference. Raises ValueError for one that is not in the table."""
        _known(quirk)
        return quirk not in self.off

    def strict(self, *quirks: str) -> bool:
        """Whether all of `quirks` are on and nobody asked for any of them. Raises ValueError as `on` does."""
        _known(*quirks)
        return not self.chosen.intersection(quirks) and self.off.isdisjoint(quirks)

    def switched(self, quirk: str, on: bool) -> Quirks:
        """A copy with one switch set. Raises ValueError for one that is not in the table."""
        _known(quirk)
        return replace(self, off=self.off - {quirk} if on else self.off | {quirk})


def of_mode(mode: str) -> Quirks:
    """The switches of a mode.

    mode: a program of VARIANTS; "c-parity", which is golden; "spec", all off; or the name of a profile, a TOML file
    whose table `quirks` says "on" or "off" for each switch that is not as in golden.

    Raises ValueError for another name, InputError for a profile that cannot be read.
    """
    if mode == "spec":
        return Quirks(off=_IDS)
    if mode.endswith(".toml"):
        return _switched(_profile(Path(mode)))
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)} or a file PROFILE.toml, got {mode!r}")
    return _switched(VARIANTS.get(mode, {}))


def _switched(switches: Mapping[str, bool]) -> Quirks:
    on = {quirk for quirk, state in switches.items() if state}
    return Quirks(off=(_ABSENT - on) | (switches.keys() - on))


def _profile(path: Path) -> dict[str, bool]:
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a profile in TOML: {error}") from error
    states = content.get("quirks")
    if not isinstance(states, dict):
        raise InputError(f"{path}: expected a table [quirks], got none")
    for quirk, state in states.items():
        if quirk not in _IDS:
            raise InputError(
                f"{path}: [quirks]: expected a quirk that has a switch ({IDS[0]}..{IDS[-1]}), got {quirk!a}"
            )
        if state not in ("on", "off"):
            raise InputError(f'{path}: [quirks] {quirk}: expected "on" or "off", got {state!a}')
    return {quirk: state == "on" for quirk, state in states.items()}
