"""How the reference reads its command line: every name that it finds in a word acts (semantics 1.1 and 1.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, TypeAlias

from nanobragg_torch.quirks import Quirks
from tools.scaling.oracle.reading.variables import RTD, Variables, real, whole
from tools.scaling.oracle.uncovered import Uncovered

Act: TypeAlias = Callable[[Variables, Sequence[str]], None]


@dataclass(frozen=True)
class Name:
    """A name that the program looks for in a word.

    words: how many must follow; with fewer the name is passed over. exact: it must be the whole word. stops: nothing
    else is looked for in the word once this has acted. when: whether the program has the name. crashes: it does as the
    last word (Q36).
    """

    name: str
    words: int
    act: Act
    exact: bool = False
    stops: bool = False
    when: Callable[[Quirks], bool] | None = None
    crashes: bool = False


def _set(unit: Callable[[str], Any], *fields: str, **also: Any) -> Act:
    """The first word behind a name, read by `unit`, into the fields; and what comes with it."""

    def act(to: Variables, words: Sequence[str]) -> None:
        value = unit(words[0])
        _put(to, dict.fromkeys(fields, value) | also)

    return act


def _set_all(unit: Callable[[str], Any], count: int, name: str, **also: Any) -> Act:
    def act(to: Variables, words: Sequence[str]) -> None:
        _put(to, {name: tuple(unit(word) for word in words[:count]), **also})

    return act


def _only(**also: Any) -> Act:
    return lambda to, words: _put(to, also)


def _put(to: Variables, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(to, name, value)
    to.typed.update(values)


def _over(divisor: float) -> Callable[[str], float]:
    return lambda text: real(text) / divisor


def _times(factor: float) -> Callable[[str], float]:
    return lambda text: real(text) * factor


_mm, _deg, _double = _over(1000.0), _over(RTD), lambda text: float(whole(text))


def _energy(text: str) -> float:
    volts = real(text)
    if volts == 0.0:
        raise Uncovered("-energy 0")
    return (12398.42 / volts) / 1.0e10


def _seed(text: str) -> int:
    return -whole(text)


def _cell(to: Variables, words: Sequence[str]) -> None:
    """Up to six numbers; those that are not typed stay as they were."""
    to.user_cell = True
    for i, word in enumerate(words[:6]):
        if word.startswith("-"):
            break
        to.cell[i] = real(word)
        if i >= 3:
            to.cell[i] /= RTD


def _absorption(to: Variables, words: Sequence[str]) -> None:
    depth = real(words[0])
    if "inf" in words[0] or depth == 0.0:
        to.thick = to.mu = 0.0
    else:
        to.mu = 1.0 / (depth * 1e-6)


def _explicit(to: Variables, words: Sequence[str]) -> None:
    to.misset, to.misset_angles = "explicit", (_deg(words[0]), _deg(words[1]), _deg(words[2]))


def _pivot(to: Variables, words: Sequence[str]) -> None:
    for text in ("sample", "beam"):
        if text in words[0]:
            to.pivot = to.pivot_asked = text.upper()


def _names(names: str, words: int, act: Act, **how: Any) -> list[Name]:
    """Names that do the same; `=` behind one: it must be the whole word."""
    return [Name(name.rstrip("="), words, act, exact=name.endswith("="), **how) for name in names.split()]


def _on(quirk: str) -> Callable[[Quirks], bool]:
    return lambda quirks: quirks.on(quirk)


def _off(quirk: str) -> Callable[[Quirks], bool]:
    return lambda quirks: not quirks.on(quirk)


def _dump_anyway(quirks: Quirks) -> bool:
    """The port knows -dump where nobody asked for a program without it, and where no flag is ignored."""
    return not quirks.on("Q61") and ("Q61" not in quirks.chosen or not quirks.on("Q35"))


_BEAM, _SAMPLE, _CUSTOM = {"pivot": "BEAM"}, {"pivot": "SAMPLE"}, {"convention": "CUSTOM"}

NAMES = [
    *_names("-Na", 1, _set(_double, "Na"), stops=True),
    *_names("-Nb", 1, _set(_double, "Nb"), stops=True),
    *_names("-Nc", 1, _set(_double, "Nc"), stops=True),
    *_names("-N=", 1, _set(_double, "Na", "Nb", "Nc"), stops=True),
    *_names("-cell", 1, _cell),
    *_names("-mat", 1, _set(str, "mat")),
    *_names("-hkl", 1, _set(str, "hkl")),
    *_names("-default_F", 1, _set(real, "default_F")),
    *_names("-samplesize -sample_size -xtalsize -xtal_size", 1, _set(_mm, "sample_x", "sample_y", "sample_z")),
    *_names("-sample_thick -sample_x -xtal_thick -xtal_x", 1, _set(_mm, "sample_x")),
    *_names("-sample_width -sample_y -xtal_width -xtal_y -width", 1, _set(_mm, "sample_y")),
    *_names("-sample_heigh -sample_z -xtal_heigh -xtal_z -heigh", 1, _set(_mm, "sample_z")),
    *_names("-square_xtal", 0, _only(shape="SQUARE")),
    *_names("-round_xtal", 0, _only(shape="ROUND")),
    *_names("-gauss_xtal", 0, _only(shape="GAUSS")),
    *_names("-binary_spots -tophat_spots", 0, _only(shape="TOPHAT")),
    *_names("-fudge", 1, _set(real, "fudge")),
    *_names("-mosaic= -mosaici -mosaic_spr", 1, _set(_deg, "mosaic_spread")),
    *_names("-mosaic_dom", 1, _set(whole, "mosaic_domains")),
    *_names("-distance", 1, _set(_mm, "distance", **_BEAM)),
    *_names("-close_distance", 1, _set(_mm, "close_distance", **_SAMPLE)),
    *_names("-Xbeam", 1, _set(_mm, "Xbeam", **_BEAM)),
    *_names("-Ybeam", 1, _set(_mm, "Ybeam", **_BEAM)),
    *_names("-Xclose", 1, _set(_mm, "Xclose", **_SAMPLE)),
    *_names("-Yclose", 1, _set(_mm, "Yclose", **_SAMPLE)),
    *_names("-ORGX", 1, _set(real, "ORGX", **_SAMPLE)),
    *_names("-ORGY", 1, _set(real, "ORGY", **_SAMPLE)),
    *_names("-pivot", 1, _pivot),
    *_names("-mosflm", 0, _only(convention="MOSFLM", named="MOSFLM", **_BEAM)),
    *_names("-adxv", 0, _only(convention="ADXV", named="ADXV", **_BEAM)),
    *_names("-denzo", 0, _only(convention="DENZO", named="DENZO", **_BEAM)),
    *_names("-xds", 0, _only(convention="XDS", named="XDS", **_SAMPLE)),
    *_names("-dials", 0, _only(convention="DIALS", named="DIALS", **_BEAM)),
    *(
        each
        for vector in ("fdet_vector", "sdet_vector", "odet_vector", "beam_vector", "polar_vector", "spindle_axis",
                       "twotheta_axis")
        for each in _names(f"-{vector}", 3, _set_all(real, 3, vector, **_CUSTOM))
    ),
    *_names("-pix0_vector=", 3, _set_all(real, 3, "pix0_vector", **_CUSTOM)),
    *_names("-pix0_vector_mm=", 3, _set_all(_mm, 3, "pix0_vector", **_CUSTOM)),
    *_names("-twotheta", 1, _set(_deg, "twotheta", **_SAMPLE), when=_on("Q01")),
    *_names("-twotheta=", 1, _set(_deg, "twotheta", **_SAMPLE), when=_off("Q01")),
    *_names("-detector_rotx", 1, _set(_deg, "rotx")),
    *_names("-detector_roty", 1, _set(_deg, "roty")),
    *_names("-detector_rotz", 1, _set(_deg, "rotz")),
    *_names("-detsize=", 1, _set(_mm, "detsize_f", "detsize_s")),
    *_names("-detsize_f", 1, _set(_mm, "detsize_f")),
    *_names("-detsize_s", 1, _set(_mm, "detsize_s")),
    *_names("-detpixels=", 1, _set(whole, "fpixels", "spixels")),
    *_names("-detpixels_f", 1, _set(whole, "fpixels")),
    *_names("-detpixels_s", 1, _set(whole, "spixels")),
    *_names("-detpixels_x", 1, _set(whole, "fpixels"), when=_off("Q65")),
    *_names("-detpixels_y", 1, _set(whole, "spixels"), when=_off("Q65")),
    *_names("-pixel", 1, _set(_mm, "pixel")),
    *_names("-curved_det", 1, _only(curved=True), when=_on("Q67")),
    *_names("-curved_det", 0, _only(curved=True), when=_off("Q67")),
    *_names("-point_pixel", 0, _only(point_pixel=True)),
    *_names("-detector_abs", 1, _absorption, crashes=True),
    *_names("-detector_thick=", 1, _set(_times(1e-6), "thick"), crashes=True),
    *_names("-detector_thicksteps -thicksteps", 1, _set(whole, "thicksteps"), crashes=True),
    *_names("-roi", 4, _set_all(whole, 4, "roi")),
    *_names("-oversample_thick", 0, _only(oversample_thick=True), stops=True),
    *_names("-oversample_polar", 0, _only(oversample_polar=True), stops=True),
    *_names("-oversample_omega", 0, _only(oversample_omega=True), stops=True),
    *_names("-oversample", 1, _set(whole, "oversample")),
    *_names("-lambda -wave", 1, _set(_over(1.0e10), "lambda0")),
    *_names("-energy", 1, _set(_energy, "lambda0")),
    *_names("-fluence", 1, _set(real, "fluence")),
    *_names("-flux", 1, _set(real, "flux")),
    *_names("-exposure", 1, _set(real, "exposure")),
    *_names("-beamsize", 1, _set(_mm, "beamsize")),
    *_names("-dispersion", 1, _set(_over(100.0), "dispersion")),
    *_names("-dispsteps", 1, _set(whole, "dispsteps")),
    *_names("-divergence", 1, _set(_mm, "hdivrange", "vdivrange")),
    *_names("-hdivrange", 1, _set(_mm, "hdivrange")),
    *_names("-vdivrange", 1, _set(_mm, "vdivrange")),
    *_names("-hdivstep=", 1, _set(_mm, "hdivstep")),
    *_names("-vdivstep=", 1, _set(_mm, "vdivstep")),
    *_names("-hdivsteps", 1, _set(whole, "hdivsteps")),
    *_names("-vdivsteps", 1, _set(whole, "vdivsteps")),
    *_names("-divsteps", 1, _set(whole, "hdivsteps", "vdivsteps")),
    *_names("-round_div", 0, _only(round_div=True)),
    *_names("-square_div", 0, _only(round_div=False)),
    *_names("-sourcefile", 1, _set(str, "sourcefile")),
    *_names("-polar=", 1, _set(real, "kahn", nopolar=False)),
    *_names("-nopolar", 0, _only(nopolar=True)),
    *_names("-water", 1, _set(_over(1e6), "water")),
    *_names("-dmin", 1, _set(_times(1e-10), "dmin")),
    *_names("-phi=", 1, _set(_deg, "phi")),
    *_names("-osc", 1, _set(_deg, "osc")),
    *_names("-phistep=", 1, _set(_deg, "phistep")),
    *_names("-phisteps", 1, _set(whole, "phisteps")),
    *_names("-interpolate", 0, _only(interpolate=1)),
    *_names("-nointerpolate", 0, _only(interpolate=0)),
    *_names("-dump", 1, _set(str, "dump"), when=_on("Q61")),
    *_names("-dump=", 1, _set(str, "dump"), when=_dump_anyway),
    *_names("-misset=", 3, _explicit, when=_off("Q53")),
    *_names("-misset", 3, _explicit, when=_on("Q53")),
    *_names("-misset_seed", 1, _set(_seed, "misset_seed"), when=_off("Q63")),
    *_names("-seed", 1, _set(_seed, "seed")),
    *_names("-mosaic_seed", 1, _set(_seed, "mosaic_seed")),
    *_names("-floatfile -floatimage", 1, _set(str, "floatfile")),
    *_names("-intfile -intimage", 1, _set(str, "intfile")),
    *_names("-pgmfile -pgmimage", 1, _set(str, "pgmfile", pgm=True)),
    *_names("-noisefile -noiseimage", 1, _set(str, "noisefile", noise=True)),
    *_names("-nonoise", 0, _only(noise=False)),
    *_names("-nopgm", 0, _only(pgm=False)),
    *_names("-scale", 1, _set(real, "scale")),
    *_names("-pgmscale", 1, _set(real, "pgmscale", pgm=True)),
    *_names("-adc", 1, _set(real, "adc")),
    *_names("-printout", 0, _only(printout=True)),
    *_names("-printout_pixel", 2, _set_all(whole, 2, "printout_pixel", printout=True)),
    *_names("-progress", 0, _only(progress=True)),
    *_names("-noprogress", 0, _only(progress=False)),
    *_names("-trace_pixel", 2, _set_all(whole, 2, "trace_pixel")),
    *_names("-dump_pixel", 2, _set_all(whole, 2, "trace_pixel"), when=_off("Q61")),
    # the port's own, and what the reference documents and has not built (Q35)
    *_names("-show_config= -echo_config=", 0, _only(show_config=True)),
    *_names("-hdiv=", 1, _set(_mm, "hdivrange"), when=_off("Q35")),
    *_names("-vdiv=", 1, _set(_mm, "vdivrange"), when=_off("Q35")),
    *_names("-detsize_x=", 1, _set(_mm, "detsize_f"), when=_off("Q35")),
    *_names("-detsize_y=", 1, _set(_mm, "detsize_s"), when=_off("Q35")),
    *_names("-xdet_vector=", 3, _set_all(real, 3, "fdet_vector", **_CUSTOM), when=_off("Q35")),
    *_names("-ydet_vector=", 3, _set_all(real, 3, "sdet_vector", **_CUSTOM), when=_off("Q35")),
    *_names("-zdet_vector=", 3, _set_all(real, 3, "odet_vector", **_CUSTOM), when=_off("Q35")),
    *_names("-polarization=", 1, _set(real, "kahn", nopolar=False), when=_off("Q35")),
]  # fmt: skip


@cache
def _found(word: str) -> tuple[Name, ...]:
    """The names that are in a word, in the program's order."""
    return tuple(each for each in NAMES if word == each.name or (not each.exact and each.name in word))


def headers_named(words: Sequence[str]) -> tuple[str | None, str | None]:
    """The files behind -mask and -img, the last of each: all that the program looks for at first (R1)."""
    found: dict[str, str | None] = {"-mask": None, "-img": None}
    for word, behind in pairwise(words):
        for name in found:
            if word.startswith("-") and name in word:
                found[name] = behind
    return found["-mask"], found["-img"]


def read_words(words: Sequence[str], quirks: Quirks, into: Variables) -> None:
    """Read the words from left to right into `into`; values are words like others (R4).

    Args:
        words: of the command line, without the port's own flags and their values.
        quirks: decide which names there are.
        into: what the headers gave, or the defaults.

    Raises:
        Uncovered: where the program crashes (Q36), and for a number that does not fit.
    """
    for at, word in enumerate(words):
        if not word.startswith("-"):
            continue
        behind = words[at + 1 :]
        if "-misset" in word and (word == "-misset" or quirks.on("Q53")) and behind and "rand" in behind[0]:
            into.misset = "random"
            continue
        for each in _found(word):
            if each.when is not None and not each.when(quirks):
                continue
            if len(behind) >= each.words:
                each.act(into, behind)
                if each.stops:
                    break
            elif each.crashes and not behind and quirks.on("Q36"):
                raise Uncovered(f"{word} as the last word: the program crashes (Q36)")
