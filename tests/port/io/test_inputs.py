"""SMV headers and masks, Fdump.bin, amorphous files, environment taps: as files on disk, through the CLI."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import GOLDEN, INPUTS

from nanobragg_torch.cli.main import main
from nanobragg_torch.errors import InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.fdump import read_fdump
from nanobragg_torch.io.load import loaded
from nanobragg_torch.io.smv import read_pixels, read_smv, smv_header
from nanobragg_torch.products.trace import trace_pixel
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.simulate import simulate

CELL = "-cell 50 60 70 80 90 100 -N 4 -oversample 1 -nonoise -nopgm"
SMALL = f"{CELL} -default_F 10 -lambda 1 -distance 100 -detpixels_x 6 -detpixels_y 5 -pixel 2"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(flags: str) -> None:
    assert main(flags.split()) == 0


def float_image(slow: int = 5, fast: int = 6) -> np.ndarray:
    return np.fromfile("floatimage.bin", "<f4").reshape(slow, fast)


def smv(name: str, fields: dict[str, object], pixels: np.ndarray | None = None) -> None:
    pixels = np.ones((5, 6), np.uint16) if pixels is None else pixels
    header = smv_header([(k, str(v)) for k, v in fields.items()])
    Path(name).write_bytes(header + pixels.astype(np.uint16).tobytes())


def test_the_golden_header_is_read_back() -> None:
    path = GOLDEN / "images_overload_roi" / "int.img"
    header = read_smv(path)
    assert header.size == (44, 40)
    assert [header.number(k) for k in ("PIXEL_SIZE", "WAVELENGTH", "BEAM_CENTER_Y", "XDS_ORGX")] == [0.6, 1, 13.5, 23.5]
    assert read_pixels(header).shape == (40, 44)
    assert read_pixels(header)[0, 0] == 0
    detector = parse(["-cell", "50", "-default_F", "1", "-img", str(path)]).detector
    assert (detector.pixels_fast, detector.pixels_slow, detector.pixel_m) == (44, 40, 0.6 / 1000)
    assert (detector.x_beam_m, detector.y_beam_m) == (12.3 / 1000, 13.5 / 1000)
    assert (detector.distance_m, detector.close_distance_m) == (0.12, 0.12)


def test_a_run_repeats_itself_from_its_own_header() -> None:
    run(f"{SMALL} -Xbeam 5 -Ybeam 3 -phi 2 -osc 1 -phisteps 2 -intfile own.img")
    first = float_image()
    run(f"{CELL} -default_F 10 -img own.img -intfile again.img")
    assert np.array_equal(float_image(), first)
    assert Path("again.img").read_bytes() == Path("own.img").read_bytes()
    run(f"{CELL} -default_F 10 -img own.img -pixel 1 -detpixels_x 3")  # flags win
    assert float_image(5, 3).shape == (5, 3)


def test_flags_override_headers_and_the_image_overrides_the_mask() -> None:
    smv("mask.img", {"SIZE1": 6, "SIZE2": 5, "PIXEL_SIZE": 2, "BEAM_CENTER_X": 1, "WAVELENGTH": 1.5, "PHI": 9})
    smv("image.img", {"SIZE1": 6, "SIZE2": 5, "PIXEL_SIZE": 2, "BEAM_CENTER_X": 2, "OSC_RANGE": 0})
    config = parse(f"{CELL} -default_F 1 -lambda 0.9 -img image.img -mask mask.img".split())
    assert config.detector.x_beam_m == 2 / 1000
    assert config.beam.wavelength_m == 0.9 / 1e10
    assert config.scan.phi_start_rad == pytest.approx(np.radians(9))
    assert config.scan.phi_steps == 2  # an oscillation of 0 is given, not missing
    smv("d.img", {"SIZE1": 0, "DETECTOR_DIMENSIONS": 5, "PIXEL_SIZE": 2}, np.ones((5, 5), np.uint16))
    detector = parse(f"{CELL} -default_F 1 -img d.img".split()).detector
    assert (detector.pixels_fast, detector.pixels_slow) == (5, 5)


def test_masked_pixels_are_not_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    keep = np.ones((5, 6), np.uint16)
    keep[0, :] = keep[2, 3] = keep[4, 5] = 0
    smv("mask.img", {"SIZE1": 6, "SIZE2": 5}, keep)
    flags = f"{SMALL} -phi 0 -osc 1 -phisteps 2"
    run(flags)
    whole = float_image()
    run(f"{flags} -mask mask.img -adc 7")
    masked = float_image()
    assert (masked[keep == 0] == 0).all()
    # the first pixel that is rendered is the run's first evaluation: nothing is carried over there yet
    unequal = np.argwhere((masked != whole) & (keep != 0)).tolist()
    assert unequal == [[1, 0]]
    assert set(read_pixels(read_smv(Path("intimage.img")))[keep == 0].tolist()) == {7}
    capsys.readouterr()
    assert main([*flags.split(), "-mask", "mask.img", "-trace_pixel", "2", "3"]) == 2
    expected = "nanobragg_torch: pixel slow 2, fast 3: expected one that is rendered, this one is masked\n"
    assert capsys.readouterr().err.endswith(expected)
    lines = trace_pixel(parse(f"{flags} -mask mask.img".split()), 2, 4, device="cpu", dtype=torch.float64)
    value = next(line.values[0] for line in lines if line.name == "floatimage_accumulated")
    assert value == pytest.approx(float(masked[2, 4]), rel=1e-15)


def test_statistics_over_a_mask(capsys: pytest.CaptureFixture[str]) -> None:
    keep = np.zeros((5, 6), np.uint16)
    keep[1, 1] = keep[3, 4] = 1
    smv("mask.img", {"SIZE1": 6, "SIZE2": 5}, keep)
    run(f"{SMALL} -mask mask.img")
    v = float_image()[keep == 1].astype(float)
    text = capsys.readouterr().out
    found = re.search(r"mean= (\S+) rms= (\S+) rmsd= (\S+)", text)
    assert found is not None
    mean = v.sum() / 2
    rmsd = np.sqrt(((float_image() - mean) ** 2).sum() / 29)  # masked pixels count here
    expected = [mean, np.sqrt((v**2).sum() / 1), rmsd]
    assert [float(x) for x in found.groups()] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"some text\n", "expected an SMV image ({ and HEADER_BYTES), got b'some text\\n'"),
        (b"", "expected an SMV image ({ and HEADER_BYTES), got b''"),
        (b"{\nHEADER_BYTES=512;\nSIZE1=6;\n}", "expected a header of 512 bytes, got 30"),
        (b"{\nHEADER_BYTES=zero;\n}".ljust(512), "expected HEADER_BYTES as a number, got 'zero'"),
        (
            b"{\nHEADER_BYTES=512;\nSIZE1=6;\n}".ljust(512),
            "expected SIZE1 and SIZE2 above 0 in the header, got 6 and 0",
        ),
    ],
)
@pytest.mark.parametrize("flag", ["-img", "-mask"])
def test_what_is_no_smv_is_refused(content: bytes, message: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Q49: the reference goes on with sizes that nobody set."""
    Path("x.img").write_bytes(content)
    assert main([*CELL.split(), "-default_F", "1", flag, "x.img"]) == 2
    assert capsys.readouterr() == ("", f"nanobragg_torch: x.img: {message}\n")
    assert [path.name for path in Path().iterdir()] == ["x.img"]


def test_a_mask_must_fit_the_detector() -> None:
    smv("mask.img", {"SIZE1": 6, "SIZE2": 5})
    Path("torn.img").write_bytes(Path("mask.img").read_bytes()[:-3])
    for flags, message in (
        ("-mask mask.img -detpixels_x 7", "mask.img: expected 7 x 5 pixels as on the detector, got 6 x 5"),
        ("-mask torn.img", "torn.img: expected 6 x 5 pixels of 2 bytes, got 57 bytes"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            simulate(parse(f"{CELL} -default_F 1 {flags}".split()), device="cpu", dtype=torch.float64)


def test_the_dump_of_a_run_serves_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    flags = f"{SMALL.replace('-default_F 10 ', '')} -nointerpolate"
    run(f"{flags} -hkl {INPUTS}/p1.hkl")
    first = float_image()
    dump = read_fdump(Path("Fdump.bin"), skip_white_space=False)
    lowest, counts = dump.lowest, dump.counts
    assert dump.F.shape == tuple(count + 1 for count in counts)
    header = Path("Fdump.bin").read_bytes()[:40]
    bounds = [(low, low + n - 1) for low, n in zip(lowest, counts)]
    assert header.startswith(" ".join(f"{low} {high}" for low, high in bounds).encode() + b"\n\f")
    capsys.readouterr()
    run(flags)  # neither -hkl nor -default_F
    stale = "nanobragg_torch: warning: Fdump.bin: structure factors are read from it, there is no -hkl (Q57)"
    out = "; remove it, or give --quirk Q57=off\n"
    assert stale + out in capsys.readouterr().err
    assert np.array_equal(float_image(), first)
    run(f"{flags} -default_F 5")
    assert (
        capsys.readouterr().err.splitlines()[0] + "\n"
        == f"{stale}: in the box of its indices they replace -default_F 5{out}"
    )
    run(f"{flags} -default_F 5 --quirk Q57=off")  # the stray file is left alone
    assert not np.array_equal(float_image(), first)
    Path("kept").write_bytes(Path("Fdump.bin").read_bytes())
    Path("Fdump.bin").unlink()
    assert main(flags.split()) == 2
    assert capsys.readouterr().err.endswith("expected -hkl FILE or -default_F VALUE, got neither\n")
    run(f"{flags} --fdump kept --mode spec --quirk Q30=on --quirk Q58=on --quirk Q34=on --quirk Q54=on")
    assert np.array_equal(float_image(), first)
    Path("Fdump.bin").write_bytes(b"1 2 3 no dump")
    assert main(flags.split()) == 2
    assert (
        "Fdump.bin: expected six integers (lowest and highest h, k, l), got b'1 2 3 no dump'" in capsys.readouterr().err
    )


def test_the_default_of_a_later_run_does_not_refill_the_grid() -> None:
    Path("one.hkl").write_text("0 0 0 5\n1 1 1 7\n")
    run(f"{SMALL.replace('-default_F 10 ', '')} -nointerpolate -hkl one.hkl")
    exp = prepare(
        loaded(parse(f"{SMALL} -nointerpolate".split(), dump=Path("Fdump.bin"))), device="cpu", dtype=torch.float64
    )
    assert exp.grid.values is not None
    assert sorted(exp.grid.values[exp.grid.values != 0].tolist()) == [5.0, 7.0]
    assert float(exp.grid.default) == 10.0


def test_amorphous_files_are_read_and_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    run(SMALL)
    plain = float_image()
    Path("s.stol").write_text("0.0 1\n0.1 2\n")
    for flag in ("-stol", "-4stol", "-Q"):
        run(f"{SMALL} {flag} s.stol -stolout t -coherent -progress")
        err = [line for line in capsys.readouterr().err.splitlines() if "-oversample" not in line]
        assert err[0] == (
            f"nanobragg_torch: warning: {flag}: amorphous scattering is not computed, as in the reference (Q18)"
        )
        assert err[1:] == [
            "nanobragg_torch: warning: -stolout: has no effect, as in the reference",
            "nanobragg_torch: warning: -coherent: has no effect, as in the reference",
        ]
        assert np.array_equal(float_image(), plain)
    Path("empty").write_text("\n\n")
    assert main([*SMALL.split(), "-stol", "empty"]) == 2
    assert capsys.readouterr().err.endswith("empty:1: expected amorphous scattering (stol F), got none\n")


def test_taps_of_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    flags = f"{SMALL} -oversample 2 -trace_pixel 1 2"
    run(flags)
    plain = capsys.readouterr().out
    assert "TAP5" not in plain
    monkeypatch.setenv("TRACE_C_TAP5", "1")
    monkeypatch.setenv("TRACE_C_TAP5_HKL", "1")
    run(flags)
    tapped = capsys.readouterr().out
    taps = [line for line in tapped.splitlines() if "TAP5" in line]
    assert [line for line in tapped.splitlines() if "TAP5" not in line] == plain.splitlines()
    hkl = [line for line in taps if line.startswith("TRACE_PY_TAP5_HKL: ")]
    assert [line.split()[1:3] for line in hkl] == [["subpixel=0", "0"], ["subpixel=0", "1"], ["subpixel=1", "0"],
                                                   ["subpixel=1", "1"]]  # fmt: skip
    number = r"-?[0-9.e+-]+"
    form = rf"hkl_frac={number} {number} {number} h0=-?\d+ k0=-?\d+ l0=-?\d+ F_cell=10 out_of_bounds=1"
    assert all(re.search(form + "$", line) for line in hkl)
    rest = [line for line in taps if line not in hkl]
    assert rest[0] == "TRACE_PY_TAP5: pixel 1 2"
    for line, name in zip(rest[1:], ("I_before_scaling", "steps", "omega_pixel", "capture_fraction", "polar",
                                     "I_pixel_final")):  # fmt: skip
        assert line.removeprefix("TRACE_PY_TAP5: ") == re.search(rf"^TRACE_PY: ({name} .*)$", plain, re.M)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("files", "flags", "line"),
    [
        ({}, "-mat no.mat", "-mat no.mat: expected a file, found none in ."),  # Q21
        ({}, "-resolution 2", "-resolution: unknown flag, perhaps -dmin is meant"),  # Q35
        ({}, "-detector_abs", "-detector_abs: expected a depth in um or 'inf', got nothing"),  # Q36
        ({}, "-thicksteps", "-thicksteps: expected an integer, got nothing"),
        ({}, "-osc 0 -phistep 0.1",
         "-osc 0 with -phistep: expected -phisteps or a range above 0, got no step at all"),
        ({}, "-divergence 0.5 -hdivstep 0.5 -vdivstep 1",
         "-round_div: expected a source inside the ellipse of divergence, got none; -square_div cuts none"),
        ({}, "-mosaic 1 -mosaic_dom 0", "-mosaic_dom: expected at least 1 domain for the mosaic spread, got 0"),
        ({"h": "# h k l F\n1 2 3 4\n"}, "-hkl h",
         "h:1: expected h k l F (three integers and a number), got '# h k l F'; --quirk Q10=off skips # comments and"
         " further columns; --mode c-parity reads as the reference does"),
        ({"h": ""}, "-hkl h", "h:1: expected reflections (h k l F), got none"),
        ({"s": "\n"}, "-sourcefile s", "s:1: expected sources (X Y Z weight wavelength), got none"),
        ({"h": "1 2 3 4\nx 2 3 4\n"}, "-hkl h --mode spec",
         "h:2: expected h k l F (three integers and a number), got 'x 2 3 4'"),
        ({"s": "-10 0 oops\n"}, "-sourcefile s --mode spec",
         "s:1: expected sources (X Y Z weight wavelength), got 'oops'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_no_file(
    files: dict[str, str], flags: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in files.items():
        Path(name).write_text(text)
    assert main([*SMALL.split(), *flags.split()]) == 2
    assert capsys.readouterr() == ("", f"nanobragg_torch: {line}\n")
    assert {path.name for path in Path().iterdir()} == set(files)


def test_a_source_of_wavelength_0(capsys: pytest.CaptureFixture[str]) -> None:
    """A last line without newline reads so (Q12): NaN as in the reference, indices as its casts give them."""
    Path("s").write_text("-10 0 0.1")
    run(f"{SMALL} -sourcefile s -trace_pixel 1 2 --mode c-parity")
    said = capsys.readouterr()
    assert said.err.startswith(
        "nanobragg_torch: warning: s: 1 of 1 sources have the wavelength 0: pixels are NaN (Q12)\n"
    )
    lines = said.out.splitlines()
    assert "TRACE_PY: hkl_rounded -2147483648 -2147483648 -2147483648" in lines
    assert "TRACE_PY: F_latt nan" in lines
    assert np.isnan(float_image()).all()


def test_dmin_removes_a_source_of_wavelength_0() -> None:
    Path("one").write_text("-10 0 0 1 1e-10\n")
    Path("two").write_text("-10 0 0 1 1e-10\n-10 0.013 0.1")
    flags = f"{SMALL} -dmin 0.1 --mode c-parity -sourcefile"
    run(f"{flags} one")
    alone = float_image()
    run(f"{flags} two")
    assert alone.max() > 0
    assert np.array_equal(float_image(), alone / 2)


def test_a_beam_of_no_size_matters_with_a_dose_only() -> None:
    run(SMALL)
    plain = float_image()
    run(f"{SMALL} -flux 1e12 -exposure 0 -beamsize 0")
    assert np.array_equal(float_image(), plain)


def test_a_matrix_that_gives_no_volume_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flat.mat").write_text("1 0 0  0 1 0  0 0 0\n")
    assert main([*SMALL.replace("-cell 50 60 70 80 90 100", "").split(), "-mat", "flat.mat"]) == 2
    expected = "nanobragg_torch: flat.mat: expected three independent axes, got a cell without volume\n"
    assert capsys.readouterr().err == expected


def test_many_phi_steps() -> None:
    """More than 16 bits of them."""
    flags = f"{SMALL} -phi 1 -osc 1 -phisteps 40000 -roi 2 3 2 2 -nopolar"
    image = simulate(parse(flags.split()), device="cpu", dtype=torch.float64)
    coarse = simulate(parse(flags.replace("40000", "400").split()), device="cpu", dtype=torch.float64)
    assert image[2, 2:4].tolist() == pytest.approx(coarse[2, 2:4].tolist(), rel=0.02)
