"""What a user is told about flags that do not do what they say: one line for each quirk that a flag triggers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import INPUTS, load
from quirk_checks import BASE, write_smv

from nanobragg_torch.cli.facts import run_warnings
from nanobragg_torch.errors import NanoBraggError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.fdump import fdump_pieces
from nanobragg_torch.io.load import loaded
from nanobragg_torch.quirks import IDS
from nanobragg_torch.scan import simulate
from nanobragg_torch.scan.advice import of_experiment
from nanobragg_torch.scan.experiment import prepare

# a command line that triggers the quirk, behind BASE (and behind the file that it names)
TRIGGERS = {
    "Q01": "-twotheta_axis 3 0 0",
    "Q02": "-pix0_vector_mm 1 2 3",
    "Q03": "-odet_vector 1 0 0.001",
    "Q04": "-twotheta_axis 0 0 2 -twotheta 5 --quirk Q01=off",
    "Q05": "-xds -Ybeam 1",
    "Q06": "-pivot sample",
    "Q07": "-img own.img -distance 500",
    "Q08": "-twotheta 20",
    "Q10": "-hkl comment.hkl --mode c-parity",
    "Q11": "-hkl real.hkl --mode c-parity",
    "Q12": "-sourcefile comment.txt --mode c-parity",
    "Q13": "-sourcefile weights.txt",
    "Q14": "-detector_thick 300 -thicksteps 4",
    "Q15": "-detector_thick 300",
    "Q16": "-point_pixel",
    "Q17": "-curved_det 1",
    "Q19": "-misset random -misset_seed 5",
    "Q20": "-misset random -seed 5",
    "Q22": "--fdump white",
    "Q23": "-nopolar -oversample_polar",
    "Q24": "-gauss_xtal",
    "Q25": " ".join(load("tricubic_falls_out").flags),
    "Q26": "-water 50",
    "Q27": "-oversample_omega",
    "Q28": "-oversample_thick",
    "Q29": "-osc 1 -phisteps 10",
    "Q32": "-phisteps 10",
    "Q35": "-hdiv 0.1",
    "Q40": "-xtalsize 0.2",
    "Q41": "-hdivsteps 3",
    "Q42": "-dispersion 2 -dispsteps 1",
    "Q43": "-adc 7 -roi 1 2 1 2",
    "Q44": "-osc 1 -phi 1 -phisteps 65536 -oversample 512",
    "Q46": "-img own.img",
    "Q47": "-mask own.img",
    "Q48": "-img own.img",
    "Q51": "-hkl p1.hkl -xtalsize 0.05",
    "Q53": "-misset_seed 7 -phi 2",
    "Q54": "-spindle_axis 0 0 1",
    "Q55": "-seed -5",
    "Q57": "",
    "Q58": "",
    "Q59": "-osc -1",
    "Q61": "-dump_pixel 5 6",
    "Q62": "-detector_thick 300",
    "Q63": "-misset random -misset_seed 5 -seed 5",
    "Q65": "-detpixels_x 3",
    "Q66": "-water 50 -oversample_omega --quirk Q27=off",
    "Q67": "-curved_det",
}
PAGE = Path(__file__).parents[3] / "docs" / "bugs" / "quirks.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_smv(tmp_path / "own.img", {"PIXEL_SIZE": 0.1, "DISTANCE": 100, "CLOSE_DISTANCE": 93.9693, "TWOTHETA": 20,
                                     "BEAM_CENTER_X": 0.4, "BEAM_CENTER_Y": 0.5, "XDS_ORGX": 4})  # fmt: skip
    (tmp_path / "comment.hkl").write_text("0 0 1 7\n0 1 0 5\n# h k l\n1 0 0 4\n")
    (tmp_path / "real.hkl").write_text("0 0 1 7\n0 1 0 5\n1.0 0 0 4\n")
    (tmp_path / "comment.txt").write_text("-10 0 0 1 1e-10\n-10 0 0.1")
    (tmp_path / "weights.txt").write_text("-10 0 0 1 1e-10\n-10 0.1 0 2 1e-10\n")
    values = np.zeros((3, 3, 3))
    values[0, 0, 0] = np.frombuffer(b"\x20\x0a\x00\x00\x00\x00\xf0\x3f", "<f8")[0]
    (tmp_path / "white").write_bytes(b"".join(fdump_pieces(values, (0, 0, 0), (2, 2, 2))))
    values[0, 0, 0] = 1.0
    (tmp_path / "Fdump.bin").write_bytes(b"".join(fdump_pieces(values, (0, 0, 0), (2, 2, 2))))
    return tmp_path


def told(folder: Path, flags: str, base: str = BASE, *, stray: bool = False, run: bool = False) -> list[str]:
    """Every line that a person gets before the image is there."""
    dump = folder / "Fdump.bin" if stray else None
    config = parse(f"{base} {flags}".split(), [folder, INPUTS], dump=dump)
    exp = prepare(loaded(config), device="cpu", dtype=torch.float64)
    last = run_warnings(simulate.start(exp)) if run else []
    return [*exp.config.warnings, *of_experiment(exp), *last]


def unlisted() -> dict[str, str]:
    """Quirks that the page lists as those without a line, and why."""
    section = PAGE.read_text(encoding="ascii").partition("## Without a line")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| (Q\d\d) \| (.+) \|$", section, re.MULTILINE))


@pytest.mark.parametrize("identifier", IDS)
def test_each_quirk_is_told_or_the_page_says_why_not(identifier: str, folder: Path) -> None:
    assert (identifier in TRIGGERS) != (identifier in unlisted()), (
        f"{identifier}: expected a command line in TRIGGERS or a row in 'Without a line' of {PAGE.name}, not both"
    )
    if identifier not in TRIGGERS:
        return
    flags, tag = f"--quirk {identifier}=on {TRIGGERS[identifier]}", f"({identifier})"
    stray, run = identifier == "Q57", identifier == "Q25"
    said = told(folder, flags, stray=stray, run=run)
    found = [line for line in said if re.search(rf"[(, ]{identifier}\)|\({identifier},", line)]
    assert len(found) == 1, found
    assert "\n" not in found[0]
    try:
        right = told(folder, f"{flags} --quirk {identifier}=off", stray=stray, run=run)
    except NanoBraggError:
        return  # without the quirk it is an error
    assert not [line for line in right if tag in line], right


def test_the_quirks_of_spec_are_silent(folder: Path) -> None:
    for identifier, flags in TRIGGERS.items():
        if identifier in ("Q10", "Q11", "Q12", "Q32", "Q41", "Q44"):
            continue
        for line in told(folder, f"{flags} --mode spec"):
            assert not re.search(r"\(.*Q\d\d\)", line), (identifier, line)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("-Xclose 1 -ORGY 3", "-Xclose -ORGY: no effect on where the detector is in MOSFLM with the pivot BEAM"),
        ("-xds -Xbeam 1 -Yclose 2",
         "-Xbeam -Yclose: no effect on where the detector is in XDS with the pivot SAMPLE (Q05)"),
        ("-fdet_vector 0 0 1 -adxv", "-fdet_vector: no effect, ADXV is selected after it (Q54)"),
        ("-close_distance 90", "-distance: no effect beside -close_distance"),
        ("-detsize 3", "-detsize: no effect along axes with -detpixels"),
        ("-detector_abs 100", "-detector_abs: no effect without -detector_thick"),
        ("-detector_thick 300",
         "-detector_thick: the attenuation depth is the thickness, 300 um, as none is given"),
        ("-phisteps 10", "-phisteps: without -osc and -phistep 1 degree is swept (Q32)"),
        ("-phisteps 10 -phistep 0.1", "-phisteps: without -osc 2 steps of -phistep, not 10 (Q32)"),
        ("-dispsteps 3", "-dispsteps 3: 1 with a dispersion of 0 % (Q42)"),
        ("-flux 1e12 -fluence 1e20", "-fluence: no effect beside -flux"),
        ("-exposure 2", "-exposure: no effect without -flux"),
        ("-polar 0.9 -nopolar", "-polar: no effect, -nopolar follows it"),
        ("-fudge 2", "-fudge: no effect on a -square_xtal"),
        ("-mosaic_domains 5", "-mosaic_domains: no effect without a mosaic spread, there is one domain"),
        ("-misset_seed 5", "-misset_seed: no effect without -misset random"),
        ("-interpolate", "-interpolate: no effect without a reflection list"),
        ("-hdivrange -1", "-hdivrange: counts as not given below 0"),
        ("-divsteps -3", "-divsteps: counts as not given below 0"),
        ("-Na 0", "-Na: counts as 1 below 1"),
        ("-sourcefile weights.txt -dispersion 1", "-dispersion: no effect beside -sourcefile"),
        ("-beam_vector -1 0 0", "the detector is behind the crystal: its distance along the beam is -100 mm"),
        ("-odet_vector 0.6 0.8 0",
         "the detector's normal 0.6 0.8 0 is kept, though it is none of fdet and sdet (Q03)"),
        ("-N 5000", "-oversample 1: spots are finer than its sub-pixels, 682 would resolve them"),
        ("-distance -100", "-distance: -100 mm: its sign has no effect, as in the reference"),
        ("-flux 1e12 -exposure 0", "-flux: no effect with -exposure 0, the fluence is 1.25932e+29 photons/m^2"),
        ("-flux 1e12 -beamsize -1",
         "-flux: no effect with a -beamsize below 0, the fluence is 1.25932e+29 photons/m^2"),
        ("-xtalsize 0.001", "-N: no effect beside -xtalsize"),
        ("-xtal_x 0.001 -Na 3", "-Na: no effect beside -xtal_x"),
        ("-lambda 1 -energy 12000", "-lambda: no effect, -energy follows it"),
        ("-gauss_xtal -round_xtal", "-gauss_xtal: no effect, -round_xtal follows it"),
        ("-roi 10 5 0 31", "-roi: no pixel of 8 x 8 lies in it, the image is 0"),
        ("-roi 8 9 0 7", "-roi: no pixel of 8 x 8 lies in it, the image is 0"),
        ("-phisteps 1", "-phisteps: one step is a still, of which the header says OSC_RANGE=1 (Q32)"),
        ("-osc 1 -phistep 0.1 -phisteps 4", "-osc: no effect on the image, 4 steps of 0.1 degrees are taken"),
        ("-detector_thick 300 -detector_abs inf",
         "-detector_abs: the sensor has no thickness then, and captures everything"),
        ("-detector_abs -100 -detector_thick 300",
         "-detector_thick: the attenuation depth is the thickness, 300 um, as none is given"),
        ("-polar 2", "-polar: 2 is beyond -1 to 1: factors can be below 0"),
        ("-adc 70000", "-adc: 70000 is beyond the 16 bits of a pixel, 0 to 65535"),
        ("-scale -2", "-scale: counts as not given below 0"),
        ("-lambda 12000", "-lambda: 12000 A is beyond 0.01 to 200 A: is it in another unit?"),
        ("-energy 12", "-energy: a wavelength of 1033.2 A is beyond 0.01 to 200 A: is it in another unit?"),
        ("-pixel 172", "-pixel: 172 mm is beyond 0.001 to 10 mm: is it in another unit?"),
        ("-distance 0.1", "-distance: 0.1 mm is beyond 1 to 100000 mm: is it in another unit?"),
        ("-detector_thick 0.3", "-detector_thick: 0.3 um is beyond 1 to 100000 um: is it in another unit?"),
        ("-cell 30 40 0 90",
         "-cell 30 40 0 90 95 105: c not above 0: an edge becomes a, an angle 90 degrees, as in the reference"),
    ],
)  # fmt: skip
def test_flags_without_the_effect_that_is_expected(flags: str, line: str, folder: Path) -> None:
    assert line in told(folder, flags)


def test_a_size_counts_where_no_number_of_pixels_does(folder: Path) -> None:
    assert not [line for line in told(folder, "-detsize 3 -detpixels 0") if "-detsize" in line]


def test_common_command_lines_are_quiet(folder: Path) -> None:
    plain = BASE.replace("30 40 50 80 95 105", "30 40 50 90 90 90")
    assert (
        told(folder, "-phi 1 -osc 1 -phisteps 10 -polar 0.9 -Xbeam 0.3 -Ybeam 0.4 -flux 1e12 -beamsize 0.1", plain)
        == []
    )
    assert max(len(load(name).config().warnings) for name in ("supervisor_one_reflection", "xds_convention")) <= 4
