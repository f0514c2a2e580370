"""The command line: units, defaults, side effects, and what it refuses."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from golden_cases import CASES, INPUTS, load

from nanobragg_torch.config import Cell, Scan, Sensor, Spread
from nanobragg_torch.errors import FlagError, InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.flags.record import Field
from nanobragg_torch.flags.table import INPUT_FLAGS, TABLE, Given
from nanobragg_torch.quirks import IDS, MODES, Quirks
from nanobragg_torch.units import RTD, radians

BASE = ["-cell", "50", "60", "70", "80", "95", "105", "-default_F", "1"]


def with_flags(text: str) -> list[str]:
    return [*BASE, *text.split()]


@pytest.mark.parametrize("name", CASES)
def test_every_golden_command_line_is_read(name: str) -> None:
    config = load(name).config()
    assert config.beam.fluence_per_m2 > 1e20
    assert config.detector.pixels_fast >= 20


def test_the_canonical_command() -> None:
    config = load("supervisor_one_reflection").config()
    detector = config.detector
    assert (detector.convention, detector.pivot) == ("CUSTOM", "SAMPLE")
    assert (detector.pixels_fast, detector.pixels_slow) == (2463, 2527)
    assert detector.distance_m == 231.274660 / 1000.0
    assert detector.odet_vector == (-0.000088, 0.004914, -0.999988)
    assert config.crystal.cells == (36.0, 47.0, 29.0)
    assert config.crystal.matrix is not None
    assert config.crystal.matrix[:3] == (-0.02837711, -0.00305386, 0.02535816)
    assert config.beam.wavelength_m == 0.976800 / 1.0e10
    assert config.beam.fluence_per_m2 == 1e18 * 1 / (1.0 / 1000) / (1.0 / 1000)
    assert config.scan == Scan(0.0, 0.1 / RTD / 10, 10, 0.1 / RTD)
    assert config.quirks.on("Q29")
    assert not config.quirks.as_given


@pytest.mark.parametrize(
    ("flags", "scan"),
    [
        ("", Scan(0.0, 0.0, 1)),
        ("-phistep 0.2", Scan(0.0, 0.2 / RTD, 2, 0.2 / RTD)),
        ("-osc 1", Scan(0.0, 1 / RTD / 2, 2, 1 / RTD)),
        ("-osc 1 -phistep 0.3", Scan(0.0, 0.3 / RTD, 4, 1 / RTD)),
        ("-phisteps 5", Scan(0.0, 1.0 / RTD / 5, 5, 1.0 / RTD)),  # Q32: one degree is implied
        ("-phisteps 5 -phistep 0.2", Scan(0.0, 0.2 / RTD, 2, 0.2 / RTD)),  # Q32: the count is discarded
        ("-phisteps 5 -osc 1", Scan(0.0, 1 / RTD / 5, 5, 1 / RTD)),
        ("-phisteps 0 -osc 1", Scan(0.0, 1 / RTD, 1, 1 / RTD)),
        ("-phi 3 -osc 1 -phistep 0.5 -phisteps 7", Scan(3 / RTD, 0.5 / RTD, 7, 1 / RTD)),
        ("-osc 1 -phistep 0 -phisteps 3", Scan(0.0, 0.0, 3, 1 / RTD)),
    ],
)
def test_phi_steps(flags: str, scan: Scan) -> None:
    assert parse(with_flags(flags)).scan == scan


@pytest.mark.parametrize(
    ("flags", "spread"),
    [
        ("", Spread()),
        ("-hdivrange 2 -hdivsteps 3", Spread(0.002, 0.001, 3)),
        ("-hdivrange 2", Spread(0.002, 0.002, 2)),
        ("-hdivstep 1", Spread(0.001, 0.001, 2)),
        ("-hdivsteps 3", Spread(1.0, 1.0 / 3, 3)),  # Q41: a range of one radian
        ("-hdivrange 2 -hdivstep 0.9", Spread(0.002, 0.0009, 3)),
    ],
)
def test_divergence(flags: str, spread: Spread) -> None:
    assert parse(with_flags(flags)).beam.horizontal == spread


def test_dispersion_thickness_and_mosaic() -> None:
    assert parse(with_flags("-dispersion 1 -dispsteps 3")).beam.dispersion == Spread(0.01, 0.005, 3)
    assert parse(with_flags("-dispsteps 3")).beam.dispersion == Spread()  # Q42
    thick = parse(with_flags("-detector_thick 300 -detector_thicksteps 4")).detector.sensor
    assert thick.layers == 4
    assert thick.step_m == pytest.approx(1e-4)  # Q14
    assert thick.mu_per_m == pytest.approx(1 / 3e-4)
    assert parse(with_flags("-detector_thick 300 -detector_abs inf")).detector.sensor == Sensor()
    below = parse(with_flags("-detector_thick -5 -thicksteps 3")).detector.sensor  # three layers of half a micron
    assert (below.thickness_m, below.layers, below.mu_per_m, below.step_m) == (0.5e-6, 3, 2e6, 0.5e-6 / 3)
    assert parse(with_flags("-detector_thick -5 -detector_abs 100")).detector.sensor == Sensor(mu_per_m=1e4)
    spread = parse(with_flags("-mosaic 0.5"))
    assert (spread.crystal.mosaic_domains, spread.crystal.mosaic_spread_rad) == (10, 0.5 / RTD)
    assert spread.warnings == ("mosaic spread without -mosaic_domains: 10 domains are used",)
    assert parse(with_flags("-mosaic_dom 5")).crystal.mosaic_domains == 1


def test_the_beam_clips_the_crystal() -> None:
    """Q40."""
    config = parse(with_flags("-xtalsize 0.2"))
    assert config.crystal.size_m == (0.2 / 1000, 1e-4, 1e-4)
    assert "clipped to the beam, 0.1 mm" in config.warnings[0]


@pytest.mark.parametrize(
    ("flags", "convention", "pivot"),
    [
        ("", "MOSFLM", "BEAM"),
        ("-Xclose 3", "MOSFLM", "BEAM"),  # Q06
        ("-pivot sample", "MOSFLM", "BEAM"),
        ("-xds -distance 100", "XDS", "SAMPLE"),
        ("-dials", "DIALS", "SAMPLE"),
        ("-spindle_axis 0 0 1", "CUSTOM", "BEAM"),
        ("-spindle_axis 0 0 1 -twotheta 5", "CUSTOM", "SAMPLE"),
        ("-twotheta 5 -spindle_axis 0 0 1 -distance 100", "CUSTOM", "BEAM"),
        ("-pix0_vector_mm 1 2 3 -pivot sample", "CUSTOM", "SAMPLE"),
        ("-fdet_vector 0 0 1 -adxv", "ADXV", "BEAM"),
        ("-adxv -fdet_vector 0 0 1", "CUSTOM", "BEAM"),
    ],
)
def test_convention_and_pivot(flags: str, convention: str, pivot: str) -> None:
    detector = parse(with_flags(flags)).detector
    assert (detector.convention, detector.pivot) == (convention, pivot)


def test_pixels_and_region_of_interest() -> None:
    detector = parse(with_flags("-detsize_f 10 -detpixels_y 7 -pixel 0.3 -roi -1 -1 2 90")).detector
    assert (detector.pixels_fast, detector.pixels_slow) == (33, 7)
    roi = detector.rendered
    assert (roi.fast_min, roi.fast_max, roi.slow_min, roi.slow_max) == (0, 32, 2, 6)


def test_interpolation_is_automatic_for_small_crystals(tmp_path: Path) -> None:
    (tmp_path / "x.hkl").write_text("0 0 0 1\n")
    for flags, expected in (("-N 3", False), ("-N 2", True), ("", True), ("-N 9 -interpolate", True)):
        config = parse([*with_flags(flags), "-hkl", "x.hkl"], [tmp_path])
        assert config.structure.interpolate is expected
    assert parse(with_flags("-interpolate")).structure.interpolate is False  # nothing to interpolate


def test_energy_and_wavelength() -> None:
    assert parse(with_flags("-energy 12398.42")).beam.wavelength_m == pytest.approx(1e-10, rel=1e-15)
    assert parse(with_flags("-wavelength 1.5")).beam.wavelength_m == 1.5e-10
    assert parse(with_flags("-curved_det -distance 80")).detector.curved
    assert parse(with_flags("-curved_det 1 -distance 80")).detector.distance_m == 0.08


def test_files_are_looked_for_in_the_folders_in_order(tmp_path: Path) -> None:
    (tmp_path / "A.mat").write_text("1 0 0 0 1 0 0 0 1")
    config = parse(["-mat", "A.mat", "-default_F", "1"], [tmp_path, INPUTS])
    assert config.crystal.matrix == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    config = parse(["-mat", "A.mat", "-hkl", "one.hkl"], [tmp_path, INPUTS])
    assert config.structure.hkl_file == INPUTS / "one.hkl"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-labmda", "1"], "-labmda: unknown flag, perhaps -lambda is meant"),
        (["-xyzzy", "1"], "-xyzzy: unknown flag; --help lists all"),
        (["-distance", "far"], "-distance: expected a number, got 'far'"),
        (["-distance", "nan"], "-distance: expected a number, got 'nan'"),
        (["-distance", "1_0"], "-distance: expected a number, got '1_0'"),
        (["-distance", "\u0661\u0660"], r"-distance: expected a number, got '\u0661\u0660'"),
        (["-distance", "0x10"], "-distance: expected a number, got '0x10'"),
        (["-distance", "1d2"], "-distance: expected a number, got '1d2'"),
        (["-distance", "1e999"], "-distance: expected a number, got '1e999'"),
        (["-distance", "5mm"], "-distance: expected a number, got '5mm'"),
        (["-distance", " 5"], "-distance: expected a number, got ' 5'"),
        (["-N", "1_0"], "-N: expected an integer, got '1_0'"),
        (["-N", "\u0665"], r"-N: expected an integer, got '\u0665'"),
        (["-N", "9" * 5000], f"-N: expected an integer, got '{'9' * 5000}'"),
        (["-seed", "2147483648"], "-seed: expected an integer, got '2147483648'"),
        (["-cell", "5_0"], "-cell: expected 1 to 6 numbers, got '5_0'"),
        (["-detector_abs", "1_0"], "-detector_abs: expected a depth in um or 'inf', got '1_0'"),
        (["-misset", "1", "2", "\uff13"], r"-misset: expected 'random' or 3 numbers, got '\uff13'"),
        (["-distance", "--mode", "spec"], "-distance: expected a number, got nothing"),
        (["-printout_pixel", "1"], "-printout_pixel: expected 2 integers, got 1"),
        (["-twotheta_axis", "1", "0"], "-twotheta_axis: expected 3 numbers, got 1 0"),
        (["-detector_abs"], "-detector_abs: expected a depth in um or 'inf', got nothing"),
        (["--mode", "spec", "-fdet_vector", "1", "2"], "-fdet_vector: expected 3 numbers, got 1 2"),
        (["-fdet_vector", "1", "2", "-N"], "-fdet_vector: expected 3 numbers, got '-N'"),
        (["-Na", "1e3"], "-Na: expected an integer, got '1e3'"),
        (["-misset", "1", "2", "x"], "-misset: expected 'random' or 3 numbers, got 'x'"),
        (["-pivot", "middle"], "-pivot: expected 'sample' or 'beam', got 'middle'"),
        (["-cell", "-3"], "-cell: expected 1 to 6 numbers, got -3"),
        (["-energy", "0"], "-energy: expected a number above 0, got '0'"),
        (["-pixel", "0"], "-pixel: expected a size above 0 mm, got 0"),
        (["-lambda", "0"], "-lambda: expected a wavelength above 0 A, got 0"),
        (["3.5"], "3.5: expected a flag, got a value that no flag takes"),
        (["--mode", "old"], f"--mode: expected {', '.join(MODES)} or a file PROFILE.toml, got 'old'"),
        (["--quirk", "Q29"], "--quirk: expected a quirk such as Q29=off or Q29=on, got 'Q29'"),
        (
            ["--quirk", "Q18=off"],
            f"--quirk: expected a quirk that has a switch ({IDS[0]}..{IDS[-1]}), got 'Q18'",
        ),
        (["--phi-mode", "old"], "--phi-mode: expected c-parity or spec, got 'old'"),
        (
            ["--vectors", "odet,rdet"],
            "--vectors: expected reference, as-given or a list of odet,sdet,fdet,beam, got 'odet,rdet'",
        ),
    ],
)
def test_what_is_refused(flags: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse([*BASE, *flags])
    assert str(caught.value) == message


def test_a_shorter_cell_leaves_the_rest_of_the_one_before_it() -> None:
    """Measured on the reference: six variables, of which -cell sets as many as it has numbers."""
    found = parse([*BASE, "-cell", "35", "45", "-N", "3"])
    assert found.crystal.cell == Cell(35.0, 45.0, 70.0, *map(radians, (80.0, 95.0, 105.0)))
    assert found.warnings == ("-cell: what it lacks is as in the -cell before it",)
    assert parse([*BASE, "-cell", "35", "45", "0", "0"]).crystal.cell == Cell(
        35.0, 45.0, 35.0, *map(radians, (90.0, 95.0, 105.0))
    )


def test_what_must_be_there() -> None:
    with pytest.raises(FlagError, match="expected -hkl FILE or -default_F VALUE, got neither"):
        parse(["-cell", "50"])
    with pytest.raises(FlagError, match="expected -mat FILE or -cell A B C ALPHA BETA GAMMA, got neither"):
        parse(["-default_F", "1"])
    with pytest.raises(InputError, match=r"^-mat none.mat: expected a file, found none in "):
        parse(["-mat", "none.mat", "-default_F", "1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n4 5 6\n7 8\n", ":3: expected 9 numbers, got 8"),
        ("", ":1: expected 9 numbers, got 0"),
        ("1 2 3\n4 five 6\n7 8 9\n", ":2: expected a number (5 of 9), got 'five'"),
        ("1 2 3\n4 inf 6\n7 8 9\n", ":2: expected a number (5 of 9), got 'inf'"),
        ("1 2 3\n4 1_0 6\n7 8 9\n", ":2: expected a number (5 of 9), got '1_0'"),
        ("1 2 3\n4 5 6\n7 8 \u0669\n", r":3: expected a number (9 of 9), got '\xd9\xa9'"),
        ("1 2 3\n4 5 6\n7 8 1e999\n", ":3: expected a number (9 of 9), got '1e999'"),
    ],
)
def test_a_torn_matrix(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "A.mat"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        parse(["-mat", "A.mat", "-default_F", "1"], [tmp_path])
    assert str(caught.value) == f"{path}{message}"


def test_what_follows_the_matrix_is_ignored() -> None:
    path = INPUTS / "A.mat"
    assert len(path.read_text().split()) == 9
    config = parse(["-mat", "A.mat", "-default_F", "1"], [INPUTS])
    assert config.crystal.matrix is not None
    assert all(math.isfinite(float(x)) for x in config.crystal.matrix)


def test_reading_flags_does_not_import_torch() -> None:
    code = "import sys, nanobragg_torch.flags.parse; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(__file__).parents[3] / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("torn", ["1_0", "5mm", "1.2.3", "7\u00b2", "1d2"])
def test_a_header_with_a_torn_number(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "torn.img"
    text = f"{{\nHEADER_BYTES=512;\nSIZE1=4;\nSIZE2=4;\nWAVELENGTH={torn};\n}}\f"
    path.write_bytes(text.encode("latin-1").ljust(512))
    with pytest.raises(InputError) as caught:
        parse([*BASE, "-img", "torn.img"], [tmp_path])
    assert str(caught.value) == f"{path}: expected WAVELENGTH as a number, got {torn!a}"


def test_the_record_is_the_table() -> None:
    """A flag is one row: its field is of its kind's type, unset as the row says, and a name that is none fails."""
    given = Given(Quirks())
    assert (given.Na, given.pixel, given.wavelength, given.shape, given.hkl) == (1, 1e-4, 1e-10, "SQUARE", None)
    given.distance = 0.2
    assert given.distance == 0.2 and Given.distance in given and Given.pixel not in given
    assert Given.distance.flag == "-distance"
    for name in ("distanze", "hkl_file"):
        with pytest.raises(AttributeError, match=name):
            getattr(Given, name)
    own = [flag.fields[0] for flag in TABLE if flag.fields]
    named = {field for field in vars(Given).values() if isinstance(field, Field)}
    assert set(own) <= named
    assert named == {*own, *(field for flag in TABLE for field in (*flag.fields, *(flag.sets or ())))}
    assert {"-hkl", "-mat", "-matrix", "-mask", "-img", "-sourcefile", "-stol", "-Q", "--fdump"} <= set(INPUT_FLAGS)
    assert not {"-floatfile", "-dump", "-N"} & set(INPUT_FLAGS)
