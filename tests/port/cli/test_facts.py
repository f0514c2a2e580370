"""What a run tells of its settings, in the reference's words, and of a matrix file that names another cell."""

import math
from pathlib import Path

import numpy as np
import pytest
from golden_cases import INPUTS, load

from nanobragg_torch.cli.main import main
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.mosflm_cell import matrix_cell, named_cell

QUIET = "-nonoise -nopgm -floatfile /dev/null -intfile /dev/null -lambda 1.1 -distance 100 -detpixels 4 -pixel 0.2"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(flags: str, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    assert main(f"{QUIET} {flags}".split()) == 0
    found = capsys.readouterr()
    return found.out.splitlines(), found.err


def test_settings_are_told_before_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    flags = f"-cell 50 60 70 90 100 90 -Na 20 -Nb 30 -Nc 40 -hkl {INPUTS}/p1.hkl -phi 3 -osc 1 -phisteps 4 -round_xtal"
    out, _ = said(f"{flags} -dispersion 2 -dispsteps 3 -polar 0.9 -oversample_omega", capsys)
    volume = 50 * 60 * 70 * math.sin(math.radians(100))
    sub = math.ceil(3 * 40 * 70 / (1.1 * 0.1 / 2e-4))  # three per reciprocal width of the largest edge
    reflections = len((INPUTS / "p1.hkl").read_text().split()) // 4
    for line in (
        "Unit Cell: 50 60 70 90 100 90",
        f"volume = {volume:g} A^3",
        "crystal is 0.1 x 0.18 x 0.28 microns",
        f"auto-selected {sub}-fold oversampling",
        "  created a total of 3 sources:",
        f"  {reflections} initialized hkls (all others =0)",
        "  ellipsoidal xtal: 20x30x40 cells",
        "  wave=1.1e-10 meters +/- 2% in 3 steps",
        "  Kahn polarization factor: 0.900000",
        "  distance=0.1 detsize=0.0008x0.0008  pixel=0.0002 meters (4x4 pixels)",
        "  4 phi steps from 3 to 4 degrees",
        f"  {sub}x{sub} pixel oversample steps +omega",
    ):
        assert line in out, line
    assert out.index("Unit Cell: 50 60 70 90 100 90") < next(i for i, x in enumerate(out) if x.startswith("max_I"))


def test_what_is_not_chosen_is_not_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said("-cell 50 -default_F 7 -N 3 -oversample 2 -nopolar -phi 10 -osc -1 --mode spec", capsys)
    assert not any("auto-selected" in line for line in out)
    assert "  polarization effect disabled" in out
    assert "  2 phi steps from 10 to 9 degrees" in out
    assert "  0 initialized hkls (all others =7)" in out


def test_tricubic_switched_off_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    case = load("tricubic_falls_out")
    flags = [str(INPUTS / x) if x.endswith(".hkl") else x for x in case.flags]
    assert main([*flags, "-nonoise", "-nopgm"]) == 0
    assert "tricubic interpolation is switched off at term " in capsys.readouterr().err
    assert main([*flags, "-nonoise", "-nopgm", "--quirk", "Q25=off"]) == 0
    assert "switched off" not in capsys.readouterr().err


MATRIX = """ 0.02205692 0.00000000 0.00000000
 0.00000000 0.02205692 0.00000000
 0.00000000 0.00000000 0.03753026
       0.000       0.000       0.000
   1.0000000   0.0000000   0.0000000
   0.0000000   1.0000000   0.0000000
   0.0000000   0.0000000   1.0000000
     {}
       0.000       0.000       0.000
"""
CELL = "281.0910    281.0910    165.2000     90.0000     90.0000     90.0000"


def about_the_matrix(cell: str, wavelength: str, capsys: pytest.CaptureFixture[str]) -> str:
    Path("A.mat").write_text(MATRIX.format(cell))
    _, err = said(f"-mat A.mat -default_F 1 -N 3 -lambda {wavelength}", capsys)
    return "".join(line for line in err.splitlines() if "A.mat" in line)


def test_a_matrix_for_another_wavelength(capsys: pytest.CaptureFixture[str]) -> None:
    assert about_the_matrix(CELL, "6.2", capsys) == ""
    assert about_the_matrix(CELL, "1", capsys) == (
        "nanobragg_torch: warning: A.mat: the matrix gives the cell 45.337 45.337 26.645 90 90 90 at 1 A, the file "
        "says 281.09 281.09 165.2 90 90 90: they agree at 6.2 A"
    )
    odd = CELL.replace("165.2000", "175.2000")
    assert about_the_matrix(odd, "6.2", capsys).endswith("281.09 281.09 175.2 90 90 90: they agree at no wavelength")
    assert about_the_matrix(CELL.replace("90.0000", "91.0000"), "6.2", capsys).endswith("they agree at no wavelength")


def test_the_cell_of_a_matrix() -> None:
    assert named_cell(INPUTS / "A.mat") is None
    matrix = parse(["-mat", "A.mat", "-default_F", "1"], [INPUTS]).crystal.matrix
    assert matrix is not None
    direct = np.linalg.inv(np.array([float(x) for x in matrix]).reshape(3, 3) / 0.9768)
    a, b, c = direct
    angles = [
        math.degrees(math.acos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))) for u, v in ((b, c), (c, a), (a, b))
    ]
    expected = [*(float(np.linalg.norm(v)) for v in direct), *angles]
    assert matrix_cell([float(x) for x in matrix], 0.9768) == pytest.approx(expected, rel=1e-12)
