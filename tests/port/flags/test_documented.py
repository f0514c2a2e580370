"""Every spelling and every command line that the reference's manual, usage text and header comment have (Q35)."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from golden_cases import INPUTS

from nanobragg_torch.config import Config
from nanobragg_torch.errors import FlagError
from nanobragg_torch.flags.hints import hint
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.flags.table import TABLE
from nanobragg_torch.io.smv import smv_header

BASE = "-cell 74 74 36 90 95 90 -default_F 10 -seed 1"

# spelling and values | what means the same (nothing: the spelling is the only one)
EFFECTIVE = """
-hkl P1.hkl
-matrix A.mat               | -mat A.mat
-mat A.mat
-cell 50 60 70 80 95 105
-misset 10 20 30
-misset random -misset_seed 3
-default_F 5
-Na 5
-Nb 5
-Nc 5
-N 5
-N 0
-samplesize 0.05            | -xtalsize 0.05
-sample_thick 0.05          | -xtal_x 0.05
-sample_x 0.05              | -xtal_x 0.05
-sample_width 0.05          | -xtal_y 0.05
-sample_y 0.05              | -xtal_y 0.05
-sample_height 0.05         | -xtal_z 0.05
-sample_z 0.05              | -xtal_z 0.05
-xtalsize 0.05
-img own.img
-mask own.img
-distance 200
-close_distance 200
-detsize 100
-detsize_f 100
-detsize_s 100
-pixel 0.2
-detpixels 100
-detpixels_x 100            | -detpixels_f 100
-detpixels_y 100            | -detpixels_s 100
-detpixels_f 100
-detpixels_s 100
-Xbeam 30
-Ybeam 30
-Xclose 30
-Yclose 30
-ORGX 300
-ORGY 300
-detector_rotx 3
-detector_roty 3
-detector_rotz 3
-twotheta 3
-pivot sample -beam_vector 1 0 0
-pivot beam
-mosflm
-denzo
-xds
-adxv
-dials
-fdet_vector 0 0 1
-sdet_vector 0 -1 0
-odet_vector 1 0 0
-beam_vector 1 0 0
-polar_vector 0 0 1
-spindle_axis 0 0 1
-twotheta_axis 0 0 1
-pix0_vector 0.1 0 0
-curved_det -phi 0          | -curved_det 1 -phi 0
-detector_absorb 500 -detector_thick 300 | -detector_abs 500 -detector_thick 300
-detector_thick 300 -detector_absorb inf | -detector_thick 300 -detector_abs inf
-detector_thick 300
-detector_thick 300 -detector_thicksteps 3 | -detector_thick 300 -thicksteps 3
-oversample 3
-oversample_thick
-oversample_polar
-oversample_omega
-roi 1 5 2 6
-lambda 1.1
-energy 12000
-fluence 1e24
-flux 1e13
-exposure 2 -flux 1e13
-beamsize 0.2 -flux 1e13
-hdivrange 2
-vdivrange 2
-hdivstep 2
-vdivstep 2
-hdivsteps 2
-vdivsteps 2
-round_div
-square_div
-dispersion 1
-dispsteps 3 -dispersion 1
-sourcefile sources
-mosaic 0.5
-mosaic 0.5 -mosaic_domains 5 | -mosaic_spread 0.5 -mosaic_dom 5
-phi 3
-osc 1
-phistep 0.5
-phisteps 3
-water 4
-polar 0.9
-nopolar
-point_pixel
-floatfile f
-intfile i
-pgmfile p
-noisefile n
-nonoise
-nopgm
-scale 2
-pgmscale 2
-adcoffset 10               | -adc 10
-adc 10
-printout
-printout_pixel 3 4
-noprogress
-nointerpolate -hkl P1.hkl
-interpolate -hkl P1.hkl
-round_xtal
-square_xtal
-gauss_xtal
-binary_spots               | -tophat_spots
-tophat_spots
-seed 5
-mosaic_seed 5
-misset random -misset_seed 5
-trace_pixel 3 4            | -dump_pixel 3 4
-dump F.bin -hkl P1.hkl
"""

DEFAULTS = ("-square_xtal", "-round_div", "-pivot beam", "-mosflm", "-interpolate -hkl P1.hkl")

# without effect in the reference: with Q35 | without it: the same as this, or an error that names this
IGNORED = """
-hdiv 0.28                  | -hdivrange 0.28
-vdiv 0.28                  | -vdivrange 0.28
-detsize_x 90               | -detsize_f 90
-detsize_y 90               | -detsize_s 90
-xdet_vector 0 0 -1         | -fdet_vector 0 0 -1
-ydet_vector 0 1 0          | -sdet_vector 0 1 0
-zdet_vector 1 0 0          | -odet_vector 1 0 0
-polarization 0.9           | -polar 0.9
-dispstep 3                 | error: -dispsteps (how many)
-detector_thickstep 3       | error: -detector_thicksteps (how many)
-source_distance 10000      | error: -sourcefile (where the sources are)
"""

# of the manual and of the header comment; the program's name is left out
COMMANDS = """
-hkl P1.hkl -matrix A.mat -lambda 6.2 -N 10
-hkl P1.hkl -matrix A.mat -lambda 6.2 -N 10 -fluence 2e22 -water 4
-mat bigcell.mat -hkl P1.hkl -lambda 1 -dispersion 0 -distance 1000 -detsize 100 -pixel 0.1 -hdiv 0 -vdiv 0 -fluence 1e32 -N 1
-mat auto.mat -hkl P1.hkl -distance 2500
-mat A.mat -hkl P1.hkl -lambda 1 -dispersion 0.1 -dispstep 3 -distance 100 -detsize 100 -pixel 0.1 -hdiv 0.28 -hdivstep 0.02 -vdiv 0.28 -vdivstep 0.02 -fluence 1e24 -N 0 -water 0
-cell 74 74 36 90 90 90 -misset 10 20 30 -hkl P1.hkl -lambda 1 -dispersion 0.1 -dispstep 3 -distance 100 -detsize 100 -pixel 0.1 -hdiv 0.28 -hdivstep 0.02 -vdiv 0.28 -vdivstep 0.02 -fluence 1e24 -N 0 -water 0
-cell 250 250 250 90 90 90 -misset 10 20 30 -hkl P1.hkl -lambda 1 -distance 1000 -detsize 100 -fluence 1e32 -N 1
-mat auto.mat -hkl Fs.hkl
"""  # noqa: E501


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("documented")
    for name in ("A.mat", "auto.mat", "bigcell.mat"):
        (found / name).write_text((INPUTS / "A.mat").read_text())
    for name in ("P1.hkl", "Fs.hkl"):
        (found / name).write_text("0 0 0 520\n0 0 1 10\n1 2 3 40\n")
    (found / "sources").write_text("-10 0 0.1\n")
    fields = [("SIZE1", "20"), ("SIZE2", "30"), ("PIXEL_SIZE", "0.3"), ("BEAM_CENTER_Y", "2")]
    (found / "own.img").write_bytes(smv_header(fields) + np.ones(600, np.uint16).tobytes())
    return found


def pairs(table: str) -> list[tuple[str, str]]:
    rows = [line.partition("|") for line in table.strip().splitlines()]
    return [(left.strip(), right.strip()) for left, _, right in rows]


def config(flags: str, folder: Path) -> Config:
    """Without what does not enter a result: warnings, and which flag named a file."""
    return replace(parse(f"{BASE} {flags}".split(), [folder]), warnings=(), inputs=())


@pytest.mark.parametrize(("flags", "same"), pairs(EFFECTIVE), ids=[a for a, _ in pairs(EFFECTIVE)])
def test_a_documented_spelling_has_its_effect(flags: str, same: str, folder: Path) -> None:
    found = config(flags, folder)
    assert same == "" or found == config(same, folder)
    without = "-hkl P1.hkl" if "-hkl" in flags and flags != "-hkl P1.hkl" else ""
    assert (found == config(without, folder)) is (flags in DEFAULTS)


@pytest.mark.parametrize(("flags", "meant"), pairs(IGNORED), ids=[a for a, _ in pairs(IGNORED)])
def test_what_the_reference_ignores_warns_or_means_what_it_says(flags: str, meant: str, folder: Path) -> None:
    name = flags.split()[0]
    found = parse(f"{BASE} {flags}".split(), [folder])
    assert replace(found, warnings=()) == parse(BASE.split(), [folder])
    error = meant.removeprefix("error: ")
    instead = error if error != meant else meant.split()[0]
    assert found.warnings == (f"{name}: has no effect, as in the reference (Q35); {instead} has",)
    for switch in ("--quirk Q35=off", "--mode spec"):
        if error == meant:
            assert config(f"{flags} {switch}", folder) == config(f"{meant} {switch}", folder)
            continue
        with pytest.raises(FlagError) as caught:
            config(f"{flags} {switch}", folder)
        assert str(caught.value) == f"{name}: expected {error}, which the reference has"


@pytest.mark.parametrize("command", COMMANDS.strip().splitlines())
def test_a_documented_command_line_is_read(command: str, folder: Path) -> None:
    found = parse(shlex.split(command), [folder])
    assert found.structure.hkl_file is not None
    told = [flag for flag in ("-hdiv", "-vdiv", "-dispstep") if f"{flag} " in command]
    assert [w.partition(":")[0] for w in found.warnings if "(Q35)" in w] == [f for f in command.split() if f in told]


def test_the_lists_have_every_flag_that_has_an_effect() -> None:
    listed = f"{EFFECTIVE} {IGNORED}".split()
    other = {
        "-density",
        "-stol",
        "-stolout",
        "-coherent",
        "-progress",
        "-show_config",
        "-divergence",
        "-divsteps",
        "-fudge",
        "-dmin",
        "-pix0_vector_mm",
    }  # fmt: skip -- in the program, in no document
    for flag in TABLE:
        if not flag.names.startswith("--") and not other & set(flag.names.split()):
            assert any(flag.matches(word) for word in listed), flag.names


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        ("-lambda", "expected a number, got nothing"),
        ("-cell", "expected 1 to 6 numbers, got nothing"),
        ("-roi 1 2", "expected 4 integers, got 1 2"),
        ("-misset 1", "expected 'random' or 3 numbers, got 1"),
        ("-hkl", "expected a file name, got nothing"),
    ],
)  # fmt: skip
def test_a_last_flag_without_its_value_is_passed_over(flags: str, missing: str, folder: Path) -> None:
    """R6 of semantics 1.1; what crashes there is an error (Q36)."""
    words = f"{flags.split()[0]}: has no effect without its value, as in the reference (Q35): {missing}"
    for before in ("", "--mode c-parity "):
        found = parse(f"{BASE} {before}{flags}".split(), [folder])
        assert found.warnings == (words,)
        assert found == replace(parse(f"{BASE} {before}".split(), [folder]), warnings=(words,))
    with pytest.raises(FlagError, match=", got "):
        parse(f"{BASE} {flags} --mode spec".split(), [folder])


def test_two_flags_without_their_values(folder: Path) -> None:
    found = parse(f"{BASE} -fdet_vector 1 -N".split(), [folder])
    assert [warning.partition(":")[0] for warning in found.warnings] == ["-fdet_vector", "-N"]
    assert found.detector == parse(BASE.split(), [folder]).detector


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("-labmda", "-lambda"), ("--lambda", "-lambda"), ("-Lambda", "-lambda"), ("-lambda=1", "-lambda"),
        ("-adcofset", "-adcoffset"), ("-versoin", "--version"), ("-resolution", "-dmin"), ("-d_min", "-dmin"),
        ("-gpu", "--device cuda"), ("-precision", "--dtype"), ("-nproc", "--threads"), ("-verbose", "-show_config"),
        ("-xbeam", "-Xbeam"), ("-beam_center_x", "-Xbeam and -Ybeam"), ("-det_pixels", "-detpixels"),
        ("-unit_cell", "-cell"), ("-mtz", "-hkl"), ("-o", "-floatfile"), ("-background", "-water"),
        ("-bandwidth", "-dispersion"), ("-detector_distance", "-distance"), ("-tilt_x", "-detector_rotx"),
        ("-thickness", "-detector_thick"), ("-no_noise", "-nonoise"), ("-polarize", "-polar"),
        ("-spindle", "-spindle_axis"),
        ("-pix0", "-pix0_vector"), ("-oversampel", "-oversample"), ("-mode", "--mode"), ("-quirk", "--quirk"),
        ("-foo", ""), ("-xyzzy", ""), ("-zzz", ""), ("-K", ""), ("--", ""), ("-", ""), ("-qwertyuiop", ""),
    ],
)  # fmt: skip
def test_hints_are_near_in_meaning_or_not_given(word: str, expected: str) -> None:
    assert hint(word).startswith(expected)
    assert bool(hint(word)) == bool(expected)
