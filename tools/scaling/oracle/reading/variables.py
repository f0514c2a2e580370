"""The program's variables once its command line is read, and how it reads a number (semantics 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tools.scaling.oracle.uncovered import Uncovered

RTD = 180.0 * 0.318309886183790671538

_REAL = re.compile(r"\s*([+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan))", re.IGNORECASE)
_WHOLE = re.compile(r"\s*([+-]?\d+)")


def real(text: str) -> float:
    """Return the number that `text` begins with, 0.0 where it begins with none: Q of the semantics."""
    found = _REAL.match(text)
    return float(found[1]) if found else 0.0


def whole(text: str) -> int:
    """Return the whole number that `text` begins with, else 0: Z of the semantics.

    Raises Uncovered for one that does not fit into 32 bits.
    """
    found = _WHOLE.match(text)
    number = int(found[1]) if found else 0
    if not -(2**31) <= number < 2**31:
        raise Uncovered(f"a whole number beyond 32 bits: {text}")
    return number


@dataclass
class Variables:
    """What the program holds once all words are read, in its own units: m, rad, photons; None is not given.

    typed: names of those fields that a flag has set, whatever a header gave before.
    """

    Na: float = 1.0
    Nb: float = 1.0
    Nc: float = 1.0
    cell: list[float] = field(default_factory=lambda: [0.0] * 6)
    user_cell: bool = False
    misset: str = "none"
    misset_angles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    misset_seed: int | None = None
    mosaic_seed: int = -12345678
    seed: int | None = None
    mat: str | None = None
    hkl: str | None = None
    default_F: float = 0.0
    sample_x: float = 0.0
    sample_y: float = 0.0
    sample_z: float = 0.0
    shape: str = "SQUARE"
    fudge: float = 1.0
    mosaic_spread: float = -1.0
    mosaic_domains: int = -1
    convention: str = "MOSFLM"
    named: str = "MOSFLM"
    pivot: str = "BEAM"
    pivot_asked: str | None = None
    distance: float = 0.1
    close_distance: float | None = None
    Xbeam: float | None = None
    Ybeam: float | None = None
    Xclose: float | None = None
    Yclose: float | None = None
    ORGX: float | None = None
    ORGY: float | None = None
    fdet_vector: tuple[float, ...] | None = None
    sdet_vector: tuple[float, ...] | None = None
    odet_vector: tuple[float, ...] | None = None
    beam_vector: tuple[float, ...] | None = None
    polar_vector: tuple[float, ...] | None = None
    spindle_axis: tuple[float, ...] | None = None
    twotheta_axis: tuple[float, ...] | None = None
    pix0_vector: tuple[float, ...] | None = None
    twotheta: float = 0.0
    rotx: float = 0.0
    roty: float = 0.0
    rotz: float = 0.0
    detsize_f: float = 102.4e-3
    detsize_s: float = 102.4e-3
    fpixels: int = 0
    spixels: int = 0
    pixel: float = 0.1e-3
    curved: bool = False
    point_pixel: bool = False
    mu: float | None = None
    thick: float = 0.0
    thicksteps: int = -1
    roi: tuple[int, ...] | None = None
    oversample: int = -1
    oversample_thick: bool = False
    oversample_polar: bool = False
    oversample_omega: bool = False
    lambda0: float = 1.0e-10
    fluence: float = 125932015286227086360700780544.0
    flux: float = 0.0
    exposure: float = 1.0
    beamsize: float = 1e-4
    dispersion: float = 0.0
    dispsteps: int = -1
    hdivrange: float = -1.0
    vdivrange: float = -1.0
    hdivstep: float = -1.0
    vdivstep: float = -1.0
    hdivsteps: int = -1
    vdivsteps: int = -1
    round_div: bool = True
    sourcefile: str | None = None
    kahn: float = 0.0
    nopolar: bool = False
    water: float = 0.0
    dmin: float = 0.0
    phi: float = 0.0
    osc: float | None = None
    phistep: float | None = None
    phisteps: int = -1
    interpolate: int = 2
    dump: str | None = None
    fdump: str | None = None
    floatfile: str = "floatimage.bin"
    intfile: str = "intimage.img"
    pgmfile: str = "image.pgm"
    noisefile: str = "noiseimage.img"
    pgm: bool = True
    noise: bool = True
    scale: float = 0.0
    pgmscale: float = 0.0
    adc: float = 40.0
    printout: bool = False
    printout_pixel: tuple[int, ...] | None = None
    progress: bool = True
    show_config: bool = False
    trace_pixel: tuple[int, ...] | None = None
    typed: set[str] = field(default_factory=set)
