"""The command lines of the probe: each shows a few quirks, on a few pixels, with input files of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from tools.scaling.implementations.run import Pixel

SHORT = "-cell 30 40 50 90 90 90 -default_F 1 -lambda 1.1 -distance 100 -N 5 -oversample 1"
BASE = f"{SHORT} -detpixels 8 -pixel 2"
LISTED = BASE.replace("-default_F 1 ", "")
GEOMETRY = "-Xbeam 7 -Ybeam 9 -phi 30 -detector_rotx 2 -twotheta 5 -hdivrange 1 -hdivsteps 5 -square_div"


@dataclass(frozen=True)
class Question:
    """What is read of one run, and which quirks act on it.

    reads: "image"; "integer", the integer image; "solid angle", a printed line; else the name of a traced quantity.
    asks: the quirks that the question is for. also: the others that act on it. No other quirk of the table does, in no
    combination of switches.
    """

    asks: tuple[str, ...]
    also: tuple[str, ...] = ()
    reads: str = "image"

    @property
    def acting(self) -> tuple[str, ...]:
        return self.asks + self.also


@dataclass(frozen=True)
class Probe:
    """One command line. files: by name, laid into the folder of the run. pixel: (slow, fast) that is traced.

    sizes: (slow, fast) that the image may have. last: the last word of `flags` must be the last of the command line.
    rounding: the quirk shows in the last digits of h alone, so that only a program of the reference's own arithmetic
    can be asked. float64: h has more digits here than float32.
    """

    name: str
    flags: str
    questions: tuple[Question, ...]
    files: Mapping[str, Callable[[], bytes]]
    pixel: Pixel | None = None
    sizes: tuple[tuple[int, int], ...] = ((8, 8),)
    last: bool = False
    rounding: bool = False
    float64: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.flags.split())


def _smv(**fields: object) -> Callable[[], bytes]:
    """An SMV file of 8 x 8 pixels that are all 1."""

    def made() -> bytes:
        from nanobragg_torch.io.smv import smv_header

        kind = {"DIM": 2, "BYTE_ORDER": "little_endian", "TYPE": "unsigned_short"}
        keywords = {**kind, "SIZE1": 8, "SIZE2": 8, "PIXEL_SIZE": 2, **fields}
        return smv_header([(name, str(value)) for name, value in keywords.items()]) + b"\1\0" * 64

    return made


def _dump(first: bytes, others: float) -> Callable[[], bytes]:
    """A grid for h k l from -3 to 3: `first` are the 8 bytes of its first F."""

    def made() -> bytes:
        import numpy

        from nanobragg_torch.io.fdump import fdump_pieces

        grid = others * (1 + numpy.arange(512) % 7).reshape(8, 8, 8)
        grid[0, 0, 0] = numpy.frombuffer(first, "<f8")[0]
        return b"".join(fdump_pieces(grid, (-3, -3, -3), (7, 7, 7)))

    return made


def _list(extra: str = "", index: str = "", most: int = 6) -> Callable[[], bytes]:
    """Reflections with h to 4, k to 5, l from -6 to `most`.

    extra: ends each line. index: ends the h of the 641st.
    """

    def made() -> bytes:
        box = product(range(-4, 5), range(-5, 6), range(-6, most + 1))
        lines = [[*map(str, hkl), str(20 + (7 * hkl[0] + 5 * hkl[1] + 3 * hkl[2]) % 13)] for hkl in box]
        if index:
            lines[640][0] += index
        return "".join(f"{' '.join(line)}{extra}\n" for line in lines).encode("ascii")

    return made


def _text(text: str) -> Callable[[], bytes]:
    return lambda: text.encode("ascii")


def _probe(
    name: str,
    flags: str,
    asks: str,
    also: str = "",
    files: Mapping[str, Callable[[], bytes]] | None = None,
    *,
    reads: str = "image",
    **how: Any,
) -> Probe:
    question = Question(tuple(asks.split()), tuple(also.split()), reads)
    return Probe(name, flags, (question,), files or {}, **how)


CELL_HEAD = "-cell 30 40 50 90 90 90 -default_F 1 -lambda 1.1 -N 5 -oversample 1"
SKEWED = {"Fdump.bin": _dump(b"\x20\x0a\x00\x00\x00\x00\xf0\x3f", 40.0)}
BOTH_DUMPS = {"Fdump.bin": _dump(b"\0" * 8, 90.0), "cache.bin": _dump(b"\x20\x0a\x00\x00\x00\x00\xf0\x3f", 30.0)}

PROBES: tuple[Probe, ...] = (
    _probe("axis_of_twotheta", f"{BASE} -twotheta 20 -twotheta_axis 0.6 0 0.8", "Q01", "Q54"),
    _probe("given_origin", f"{BASE} -pix0_vector_mm 100 2 -3", "Q02 Q54"),
    _probe("given_axis", f"{BASE} -fdet_vector 0.6 0 0.8", "Q03", "Q54"),
    _probe("long_axis", f"{BASE} -twotheta_axis 0 0 2 -twotheta 20", "Q04", "Q54"),
    _probe("centre_of_xds", f"{BASE} -xds -Xbeam 5 -Ybeam 6", "Q05"),
    _probe("pivot", f"{BASE} -pivot sample -twotheta 20", "Q06"),
    _probe("curved", f"{BASE} -twotheta 20 -curved_det -xds -distance 30", "Q08 Q17"),
    Probe(
        "trace",
        f"{BASE} {GEOMETRY}",
        (
            Question(("Q09",), reads="rot_b_star_A_inv"),
            Question(("Q38",), reads="scattering_vec_A_inv"),
            Question(("Q39",), reads="solid angle"),
        ),
        {},
        (1, 2),
    ),
    _probe("traced_axis", f"{BASE} -adxv", "Q37", reads="initial_fdet", pixel=(1, 2)),
    _probe(
        "header_distance",
        f"{CELL_HEAD} -img own.img -distance 70",
        "Q07",
        "",
        {"own.img": _smv(DISTANCE=100, CLOSE_DISTANCE=100)},
    ),
    _probe("list_with_sigma", f"{LISTED} -nointerpolate -hkl list.hkl", "Q10", "", {"list.hkl": _list(" 2")}),
    _probe("list_with_decimals", f"{LISTED} -nointerpolate -hkl list.hkl", "Q11", "", {"list.hkl": _list("", ".0")}),
    _probe(
        "source_file", f"{BASE} -sourcefile two.txt", "Q12", "Q30", {"two.txt": _text("-10 0 0 1 1e-10\n-10 0 0.1\r\n")}
    ),
    _probe(
        "source_weights",
        f"{BASE} -nopolar -sourcefile two.txt",
        "Q13",
        "",
        {"two.txt": _text("-10 0 0 1 1.0e-10\n-10 0.3 0 3 1.1e-10\n")},
    ),
    _probe("layers", f"{BASE} -detector_thick 300 -detector_abs 150 -detector_thicksteps 3", "Q14 Q15", "Q30"),
    _probe("point_pixel", f"{BASE} -point_pixel", "Q16"),
    _probe("random_misset", f"{BASE} -misset_seed 5 -misset random", "Q19 Q63"),
    _probe("random_seed", f"{BASE} -misset random -seed 5", "Q20", "Q19 Q63"),
    _probe("stray_dump", BASE, "Q57 Q22", "", SKEWED),
    _probe("dump", f"{BASE} -dump cache.bin -phi 0", "Q61", "Q22 Q35 Q57", BOTH_DUMPS),
    _probe("no_polarization", f"{BASE} -nopolar -oversample_polar", "Q23"),
    _probe("gauss", f"{BASE} -gauss_xtal -N 3 -fudge 0.1", "Q24"),
    _probe(
        "tricubic", f"{LISTED} -pixel 1.5 -interpolate -phi 7 -hkl list.hkl", "Q25", "", {"list.hkl": _list(most=3)}
    ),
    _probe("water", f"{BASE} -default_F 1e-20 -water 50 -oversample 2", "Q26", "Q27 Q30 Q66"),
    _probe("water_omega", f"{BASE} -water 10 -phi 1 -osc 5 -phisteps 3 -oversample_omega", "Q27 Q66", "Q26 Q30"),
    _probe("omega", f"{BASE} -phi 1 -osc 5 -phisteps 3 -oversample_omega", "Q27"),
    _probe("no_sensor", f"{BASE} -oversample_thick", "Q28"),
    _probe("phi_zero", f"{BASE} -phi 0 -osc 9 -phisteps 3", "Q29"),
    _probe("near", f"{BASE} -distance 20 -oversample 2 -polar 0.9", "Q30"),
    _probe("phi_steps", f"{BASE} -phi 5 -phistep 2 -phisteps 5", "Q32"),
    _probe("residue", f"{BASE} -cell 3e8 4e8 5e8 90 90 90 -N 200000", "Q34", rounding=True),
    _probe("divergence_word", f"{BASE} -hdiv 40", "Q35", "Q30"),
    _probe("last_word", f"{BASE} -detector_abs", "Q36", "Q35", last=True),
    _probe("clipped", f"{BASE} -cell 1.0e6 0.7e6 0.6e6 90 90 90 -xtalsize 0.2", "Q40", float64=True),
    _probe("divergence_steps", f"{BASE} -hdivsteps 3", "Q41", "Q30"),
    _probe("dispersion_steps", f"{BASE} -dispersion 9 -dispsteps 1", "Q42"),
    _probe("offset", f"{BASE} -roi 2 3 4 5 -adc 7 -scale 1 -intfile whole.img", "Q43", reads="integer"),
    _probe(
        "many_steps",
        f"{SHORT} -detpixels 2 -pixel 2 -oversample 128 -osc 1 -phisteps 16384 -mosaic 1 -mosaic_dom 16 -dmin 1e15",
        "Q44",
        sizes=((2, 2),),
    ),
    _probe(
        "header_twotheta",
        f"{CELL_HEAD} -img own.img",
        "Q46",
        "Q08",
        {"own.img": _smv(DISTANCE=100, CLOSE_DISTANCE=93.9693, TWOTHETA=20)},
    ),
    _probe("header_mask", f"{BASE} -mask own.img", "Q47", "", {"own.img": _smv(BEAM_CENTER_X=6, BEAM_CENTER_Y=4)}),
    _probe(
        "header_words",
        f"{CELL_HEAD.replace('-lambda 1.1 ', '')} -distance 100 -img own.img",
        "Q48",
        "",
        {"own.img": _smv(WAVELENGTH=1.3, OLD_WAVELENGTH=1.5)},
    ),
    _probe(
        "interpolated",
        f"{LISTED.replace('-N 5 ', '')} -pixel 1 -xtalsize 0.05 -hkl list.hkl",
        "Q51",
        "",
        {"list.hkl": _list()},
        float64=True,
    ),
    _probe("seed_as_misset", f"{BASE} -misset 10 20 30 -misset_seed 7 -phi 3", "Q53"),
    _probe("one_vector", f"{BASE} -twotheta 20 -spindle_axis 0 1 0", "Q54"),
    _probe("negative_seed", f"{BASE} -mosaic 20 -mosaic_dom 3 -mosaic_seed -6", "Q55"),
    _probe("cell_angles", f"{BASE} -cell 30 40 50 80 95 105", "Q58"),
    _probe("backward", f"{BASE} -phi 10 -osc -9 -phisteps 4", "Q59", "Q32"),
    _probe("no_depth", f"{BASE} -detector_thick 300 -detector_thicksteps 2", "Q62", "Q14 Q15 Q30"),
    _probe("size_by_x", f"{SHORT} -detsize 16 -pixel 2 -detpixels_x 6 -detpixels_y 7", "Q65", sizes=((7, 6), (8, 8))),
    _probe("curved_last", f"{BASE} -distance 30 -curved_det", "Q67", "Q17", last=True),
)
