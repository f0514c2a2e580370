"""Headers of -img and -mask: our own image comes back from its header, and a line says what of a header counts."""

from pathlib import Path

import numpy as np
import pytest
from quirk_checks import write_smv

from nanobragg_torch.cli.main import main
from nanobragg_torch.flags.parse import parse

CRYSTAL = "-cell 50 60 70 80 95 105 -default_F 100 -N 5 -oversample 1 -nonoise -nopgm"
SETUP = "-lambda 1.1 -distance 100 -detpixels_x 20 -detpixels_y 16 -pixel 4"
CONVENTIONS = ("-mosflm", "-adxv", "-denzo", "-xds", "-dials")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(flags: str, name: str) -> np.ndarray:
    assert main(f"{CRYSTAL} {flags} -floatfile {name}".split()) == 0
    return np.fromfile(name, "<f4").astype(float)


@pytest.mark.parametrize("convention", [*CONVENTIONS, *(f"{c} -pivot sample" for c in CONVENTIONS), "-xds -pivot beam"])
@pytest.mark.parametrize(
    "placed", ["-twotheta 20", "-twotheta -30 -Xbeam 30 -Ybeam 21", "-twotheta 10 -ORGX 3 -ORGY 7"]
)
def test_an_image_comes_back_from_its_header(convention: str, placed: str) -> None:
    first = run(f"{SETUP} {convention} {placed} -phi 5 -osc -1 -phisteps 3 -intfile own.img --mode spec", "first.bin")
    again = run(f"-img own.img {convention} -phisteps 3 --mode spec", "again.bin")
    assert np.corrcoef(first, again)[0, 1] > 1 - 1e-7  # the header has six digits
    assert again == pytest.approx(first, rel=1e-2, abs=1e-3 * first.max())


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_header_of_the_reference_places_the_detector_too(convention: str) -> None:
    """Its DISTANCE leaves twotheta out (Q08); its CLOSE_DISTANCE is right."""
    flags = f"{SETUP} {convention} -twotheta 20"
    run(f"{flags} -intfile own.img", "first.bin")
    again = run(f"-img own.img {convention} --mode spec", "again.bin")
    assert np.corrcoef(run(f"{flags} --mode spec", "right.bin"), again)[0, 1] > 1 - 1e-7


def lines(flags: str) -> list[str]:
    return [line for line in parse(f"{CRYSTAL} {flags}".split()).warnings if "header" in line]


OWN = {"PIXEL_SIZE": 0.1, "DISTANCE": 100, "WAVELENGTH": 1, "BEAM_CENTER_X": 0.4, "BEAM_CENTER_Y": 0.5, "XDS_ORGX": 4,
       "CLOSE_DISTANCE": 93.9693, "PHI": 0, "TWOTHETA": 20}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "flags", "line"),
    [
        (OWN, "-img x.img",
         "x.img: taken from its header: SIZE1, SIZE2, PIXEL_SIZE, CLOSE_DISTANCE, WAVELENGTH, BEAM_CENTER_X, "
         "BEAM_CENTER_Y, ORGX (of XDS_ORGX, Q48), PHI; TWOTHETA 20 has no effect (Q46)"),
        (OWN, "-img x.img --mode spec",
         "x.img: taken from its header: SIZE1, SIZE2, PIXEL_SIZE, CLOSE_DISTANCE, WAVELENGTH, BEAM_CENTER_X, "
         "BEAM_CENTER_Y, XDS_ORGX, PHI, TWOTHETA"),
        (OWN, "-img x.img -distance 70 -lambda 2 -Xbeam 1 -Ybeam 2 -detpixels 4 -pixel 1 -phi 2 -twotheta 1 -ORGX 1 "
         "--mode spec", "x.img: taken from its header: nothing"),
        (OWN, "-mask x.img",
         "x.img: taken from its header: SIZE1, SIZE2, PIXEL_SIZE, CLOSE_DISTANCE, WAVELENGTH, BEAM_CENTER_X, "
         "BEAM_CENTER_Y (measured from the other end, Q47), ORGX (of XDS_ORGX, Q48), PHI; "
         "TWOTHETA 20 has no effect (Q46)"),
        ({"DISTANCE": 100, "PIXEL_SIZE": 0.1}, "-img x.img -energy 12000",
         "x.img: taken from its header: SIZE1, SIZE2, PIXEL_SIZE, DISTANCE; missing: BEAM_CENTER_X (-Xbeam; the middle "
         "is used), BEAM_CENTER_Y (-Ybeam; the middle is used)"),
        # d*TREK: the first number of SOURCE_WAVELENGTH is how many follow
        ({"SOURCE_WAVELENGTH": "1 0.9795", "DTREK_DETECTOR": "CCD_", "CCD_GONIO_VALUES": "0 0 0 0 0 150"},
         "-img x.img --mode spec",
         "x.img: taken from its header: SIZE1, SIZE2; missing: PIXEL_SIZE (-pixel; 0.1 mm is used), DISTANCE "
         "(-distance; 100 mm is used), WAVELENGTH (-lambda or -energy; 1 A is used), BEAM_CENTER_X (-Xbeam; the middle "
         "is used), BEAM_CENTER_Y (-Ybeam; the middle is used)"),
        ({"SOURCE_WAVELENGTH": "1 0.9795"}, "-img x.img -pixel 0.1 -distance 9 -Xbeam 1 -Ybeam 1",
         "x.img: taken from its header: SIZE1, SIZE2, WAVELENGTH (of SOURCE_WAVELENGTH, Q48)"),
    ],
)  # fmt: skip
def test_one_line_says_what_counts_and_what_is_missing(fields: dict[str, object], flags: str, line: str) -> None:
    write_smv(Path("x.img"), fields)
    assert lines(flags) == [line]


def test_of_two_headers_each_has_its_line() -> None:
    write_smv(Path("mask.img"), {"PIXEL_SIZE": 2, "DISTANCE": 90, "WAVELENGTH": 1.5})
    write_smv(Path("own.img"), {"PIXEL_SIZE": 1, "BEAM_CENTER_X": 3, "BEAM_CENTER_Y": 4})
    assert lines("-mask mask.img -img own.img --mode spec") == [
        "mask.img: taken from its header: DISTANCE, WAVELENGTH",
        "own.img: taken from its header: SIZE1, SIZE2, PIXEL_SIZE, BEAM_CENTER_X, BEAM_CENTER_Y",
    ]
