"""What no experiment has is refused in one line, in either mode; what the beam meets, it meets in front."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from quirk_checks import BASE, geometry, image, write_smv

from nanobragg_torch.cli.main import main
from nanobragg_torch.flags.parse import parse

PLAIN = "-default_F 100 -lambda 1.1 -N 5 -detpixels 8 -pixel 2 -oversample 1 -nonoise -nopgm"


def outcome(flags: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit code, and the lines on standard error that are no warnings."""
    code = main(flags.split())
    lines = capsys.readouterr().err.splitlines()
    return code, [line for line in lines if not line.startswith("nanobragg_torch: warning: ")]


NO_VOLUME = (
    "expected angles below 180 degrees, each below the sum of the other two, all three together below 360, got a cell "
    "without volume"
)


@pytest.mark.parametrize("mode", ["c-parity", "spec"])
@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("-cell 10 10 10 60 60 120", f"-cell 10 10 10 60 60 120: {NO_VOLUME}"),
        ("-cell 10 10 10 30 30 120", f"-cell 10 10 10 30 30 120: {NO_VOLUME}"),
        ("-cell 10 10 10 90 90 200", f"-cell 10 10 10 90 90 200: {NO_VOLUME}"),
        ("-cell 10 10 10 120 120 120", f"-cell 10 10 10 120 120 120: {NO_VOLUME}"),
        ("-cell 10 10 10 150 150 150", f"-cell 10 10 10 150 150 150: {NO_VOLUME}"),
        ("-cell 10 10 10 90 90 180", f"-cell 10 10 10 90 90 180: {NO_VOLUME}"),
        ("-cell 10 10 10 1e-7 90 90", f"-cell 10 10 10 1e-07 90 90: {NO_VOLUME}"),
        ("-cell 1e200 10 10", "-cell 1e+200 10 10: expected edges of 0.001 to 1e9 Angstrom, got 1e+200"),
        ("-cell 10 1e-200 10", "-cell 10 1e-200 10: expected edges of 0.001 to 1e9 Angstrom, got 1e-200"),
        ("-cell 10 -distance 0", "-distance: expected a distance other than 0 mm, got 0"),
        ("-cell 10 -close_distance 0", "-close_distance: expected a distance other than 0 mm, got 0"),
        ("-cell 10 -img zero.img",
         "a header's DISTANCE: expected a distance other than 0 mm, got 0; -distance overrides it"),
        ("-cell 10 -mask zero.img",
         "a header's DISTANCE: expected a distance other than 0 mm, got 0; -distance overrides it"),
        ("-cell 10 -beam_vector 0 0 0", "-beam_vector: expected a direction, got 0 0 0"),
        ("-cell 10 -fdet_vector 0 0 0", "-fdet_vector: expected a direction, got 0 0 0"),
        ("-cell 10 -sdet_vector 0 -0 0", "-sdet_vector: expected a direction, got 0 -0 0"),
        ("-cell 10 -odet_vector 0 0 0", "-odet_vector: expected a direction, got 0 0 0"),
        ("-cell 10 -polar_vector 0 0 0", "-polar_vector: expected a direction, got 0 0 0"),
        ("-cell 10 -spindle_axis 0 0 0", "-spindle_axis: expected a direction, got 0 0 0"),
        ("-cell 10 -twotheta_axis 0 0 0", "-twotheta_axis: expected a direction, got 0 0 0"),
        ("-cell 10 -fdet_vector 1e200 1e200 0", "-fdet_vector: expected a direction, got 1e+200 1e+200 0"),
        ("-cell 10 -dispersion 200 -dispsteps 2",
         "-dispersion: expected less than 200 %, got 200: wavelengths of 0 and below"),
        ("-cell 10 -fluence -1", "-fluence: expected at least 0, got a number below 0"),
        ("-cell 10 -flux -1e12", "-flux: expected at least 0, got a number below 0"),
        ("-cell 10 -water -5", "-water: expected at least 0, got a number below 0"),
        ("-cell 10 -round_xtal -fudge -1", "-fudge: expected at least 0, got -1"),
        ("-cell 10 -N 2.7", "-N: expected an integer, got '2.7'"),
        ("-cell 10 -floatfile .", "-floatfile .: expected a file, got a folder"),
        ("-cell 10 -fdet_vector 1 0 0 -sdet_vector -2 0 0",
         "-fdet_vector and -sdet_vector: expected two directions, got parallel ones"),
    ],
)  # fmt: skip
def test_what_no_experiment_has(
    flags: str,
    line: str,
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_smv(Path("zero.img"), {"PIXEL_SIZE": 2, "DISTANCE": "000.00"})
    assert outcome(f"{PLAIN} {flags} --mode {mode}", capsys) == (2, [f"nanobragg_torch: {line}"])
    assert [path.name for path in Path().iterdir()] == ["zero.img"]


def test_a_flag_overrides_the_zero_of_a_header(tmp_path: Path) -> None:
    write_smv(tmp_path / "zero.img", {"PIXEL_SIZE": 2, "DISTANCE": "000.00"})
    found = parse(f"{PLAIN} -cell 10 -img zero.img -distance 120".split(), [tmp_path])
    assert found.detector.distance_m == 0.12


@pytest.mark.parametrize("cell", ["10 10 10 60 60 119", "10 10 10 119 119 119", "10 20 30 179 90 90", "0.5 0.5 0.5"])
def test_cells_that_are_only_odd(cell: str) -> None:
    values = image(BASE.replace("30 40 50 80 95 105", cell))
    assert np.isfinite(values).all()
    assert values.max() > 0


LEFT = "-beam_vector 0 0 -1 -fdet_vector 1 0 0 -sdet_vector 0 1 0"


@pytest.mark.parametrize(
    ("flags", "beam"),
    [
        (LEFT, (0.0, 0.0, -1.0)),
        ("-beam_vector 0 0 1 -fdet_vector 1 0 0 -sdet_vector 0 1 0", (0.0, 0.0, 1.0)),
        ("-beam_vector -1 0 0", (-1.0, 0.0, 0.0)),
        (f"-xds {LEFT}", (0.0, 0.0, -1.0)),
        ("-adxv -fdet_vector -1 0 0", (0.0, 0.0, 1.0)),
    ],
)
def test_a_derived_normal_is_on_the_side_to_which_the_beam_goes(flags: str, beam: tuple[float, ...]) -> None:
    found = geometry(f"{flags} --mode spec")
    assert float(found.distance) == pytest.approx(0.1, rel=1e-14)
    assert float(found.close_distance) == pytest.approx(0.1, rel=1e-14)
    assert found.odet.tolist() == pytest.approx(beam, abs=1e-15)
    centre = found.pix0 + found.centre.fast_beam * found.fdet + found.centre.slow_beam * found.sdet
    if found.pix0_stages:
        centre = found.pix0 + found.centre.fast_close * found.fdet + found.centre.slow_close * found.sdet
    assert centre.tolist() == pytest.approx([0.1 * x for x in beam], abs=1e-15)


def test_the_image_of_a_left_handed_pair() -> None:
    """Against the sums of the semantics, in numpy: the detector is at -z, 100 mm downstream."""
    found = image("-cell 50 60 70 -default_F 100 -lambda 1.1 -distance 100 -detpixels 16 -pixel 2 -N 5 -oversample 1",
                  f"{LEFT} --mode spec")  # fmt: skip
    slow, fast = np.mgrid[0:16, 0:16]
    middle = (32.0 + 2.0) / 2 + 1.0  # MOSFLM's default centre and its half pixel, mm
    position = np.stack((2 * fast + 1 - middle, 2 * slow + 1 - middle, np.full((16, 16), -100.0)), -1)
    distance = np.linalg.norm(position, axis=-1)
    direction = position / distance[..., None]
    q = (direction - np.array([0.0, 0.0, -1.0])) / 1.1
    amplitude = np.ones((16, 16))
    for edge, component in zip((50.0, 60.0, 70.0), np.moveaxis(q, -1, 0)):
        h = edge * component
        near = np.isclose(h, np.round(h), atol=1e-12)
        with np.errstate(divide="ignore", invalid="ignore"):
            amplitude *= np.where(near, 5.0, np.sin(5 * math.pi * h) / np.sin(math.pi * h))
    polar = 0.5 * (1 + direction[..., 2] ** 2)
    omega = 4.0 * 100.0 / distance**3
    expected = 7.94079248018965e-30 * 125932015286227086360700780544.0 * (100 * amplitude) ** 2 * polar * omega
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * expected.max())
    assert np.unravel_index(found.argmax(), found.shape) == np.unravel_index(expected.argmax(), expected.shape)


@pytest.mark.parametrize("angle", [90, -90, 270, 180, 120])
def test_a_swing_about_the_beam_that_turns_the_face_away(angle: int, capsys: pytest.CaptureFixture[str]) -> None:
    """c-parity computes what the reference does: 1-fold oversampling, as its conversion to int gives."""
    base = f"-cell 50 60 70 {PLAIN.replace('-oversample 1', '')} -distance 100 -twotheta {angle}"
    code, lines = outcome(f"{base} --mode spec", capsys)
    assert (code, len(lines)) == (2, 1)
    near = 100 * math.cos(math.radians(angle))
    shown = f"nanobragg_torch: expected a detector that faces the crystal, got a close distance of {near:.6g} mm"
    assert lines[0].startswith(shown[:80])
    assert lines[0].endswith("with the pivot BEAM; -pivot sample swings it about the crystal")
    quiet = "-floatfile /dev/null -intfile /dev/null"
    assert main(f"{base} {quiet}".split()) == 0
    said = capsys.readouterr()
    assert "auto-selected 1-fold oversampling" in said.out
    assert "the crystal does not see the detector's face" in said.err
    for convention in ("-xds", "-dials", "-mosflm -pivot sample"):
        assert main(f"{base} {convention} {quiet} --mode spec".split()) == 0
        assert "nan" not in capsys.readouterr().out.lower()


@pytest.mark.parametrize("flags", ["-detector_roty 91", "-odet_vector -1 0 0", "-detector_rotz 180"])
def test_a_normal_against_the_beam_puts_no_detector_behind_the_crystal(
    flags: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = outcome(f"-cell 50 60 70 {PLAIN} -distance 100 {flags} --mode spec", capsys)
    said = "nanobragg_torch: expected a detector that the beam meets from the front, got a normal against the beam"
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(said)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("WAVELENGTH", 0, "a header's WAVELENGTH: expected a wavelength above 0 A, got 0; -lambda overrides it"),
        ("PIXEL_SIZE", -2, "a header's PIXEL_SIZE: expected a size above 0 mm, got -2; -pixel overrides it"),
        ("BEAM_CENTER_X", "nan", "x.img: expected BEAM_CENTER_X as a number, got 'nan'"),
        ("BEAM_CENTER_Y", "1,5", "x.img: expected BEAM_CENTER_Y as a number, got '1,5'"),
        ("DISTANCE", "\x1b[2J", "x.img: expected DISTANCE as a number, got '\\x1b[2J'"),
    ],
)
def test_what_a_header_cannot_say(
    key: str,
    value: object,
    line: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_smv(tmp_path / "x.img", {"PIXEL_SIZE": 2, "DISTANCE": 100, key: value})  # type: ignore[dict-item]
    flags = "-cell 10 -default_F 1 -N 2 -nonoise -nopgm -oversample 1 -img x.img"
    assert outcome(flags, capsys) == (2, [f"nanobragg_torch: {line}"])
    assert [path.name for path in tmp_path.iterdir()] == ["x.img"]


def test_a_keyword_within_another_line_may_be_no_number(tmp_path: Path) -> None:
    """Q48: "PHI" is found in what an AXIS line says, and the next '=' is of another line."""
    write_smv(tmp_path / "x.img", {"PIXEL_SIZE": 2, "DISTANCE": 100, "AXIS": "PHI", "DATE": "Mon"})
    config = parse(f"-cell 10 {PLAIN} -img {tmp_path / 'x.img'}".split())
    assert float(config.scan.phi_start_rad) == 0.0


def test_a_swing_of_90_degrees_about_the_crystal() -> None:
    """The detector is beside the crystal, 100 mm away, and the beam runs along it."""
    found = geometry("-xds -twotheta 90 --mode spec")
    assert float(found.close_distance) == pytest.approx(0.1, rel=1e-14)
    assert float(found.distance) == pytest.approx(0.1, rel=1e-14)  # there is none along the beam
    assert found.odet.tolist() == pytest.approx([0.0, -1.0, 0.0], abs=1e-15)
    assert bool(torch.isfinite(found.pix0).all())
