"""The parity matrix: all golden cases pass, and every kind of difference fails and is named."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.base.repo import ROOT
from tools.scaling.cases.case import find_case
from tools.scaling.engine.bitwise import compare_bits
from tools.scaling.implementations.run import read_float32
from tools.scaling.matrix import run as matrix
from tools.scaling.matrix.changes import write_matrix
from tools.scaling.matrix.judge import CaseResult, Edge, Matrix, MatrixOutcome, TraceResult, judge_image
from tools.scaling.matrix.run import GOLDEN, matrix_cases, run_case, run_matrix
from tools.scaling.matrix.text import case_lines, matrix_lines, progress_bar, terminal_table, verdict_line

NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/case.json"))


@pytest.fixture(scope="module")
def golden() -> Matrix:
    """The whole matrix, in seconds."""
    return run_matrix(matrix_cases(), command="python -m tools.scaling matrix")[0]


def run(folder: Path) -> CaseResult:
    return run_case(find_case(str(folder)))[0]


def edit(path: Path, pattern: str, replacement: str | Callable[[re.Match[str]], str], nth: int = 0) -> None:
    """Replace the nth match of the pattern, which must be there."""
    text = path.read_bytes().decode()
    match = list(re.finditer(pattern, text, re.MULTILINE))[nth]
    new = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
    path.write_bytes((text[: match.start()] + new + text[match.end() :]).encode())


def scaled(factor: float) -> Callable[[re.Match[str]], str]:
    """Keep group 1, multiply the number that is group 2."""
    return lambda match: f"{match[1]}{float(match[2]) * factor:.15g}"


def numbers_in(log: str) -> int:
    """Numbers of a golden log, counted without the tool's reader; phi_tic is an index."""
    count = 0
    for line in log.splitlines():
        if line.startswith("TRACE_C_PHI "):
            count += line.count("=") - 1
        elif line.startswith("TRACE_C") and not re.match(r"TRACE_C(ONFIG|:detector_conv|:convention_map)", line):
            values = re.split(r"[= ]", re.sub(r"^TRACE_C(_SOURCE2)?: ?", "", line), maxsplit=1)[1]
            count += len(re.findall(r"(?:(?<=[\s:\[])|^)[+-]?(?:\d|inf|nan)[^\s\];]*", values))
    return count


def test_every_golden_case_passes(golden: Matrix) -> None:
    assert [case.name for case in golden.cases] == NAMES
    assert {case.name: case.problems for case in golden.cases if case.outcome is not MatrixOutcome.PASS} == {}
    assert golden.failed == ()
    assert max(case.worst[0] for case in golden.cases) <= 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_every_number_and_pixel_of_a_case_is_compared(golden: Matrix, name: str) -> None:
    case = next(case for case in golden.cases if case.name == name)
    logs = [path.read_bytes().decode() for path in (GOLDEN / name).glob("trace_*.log")]
    assert case.numbers == sum(numbers_in(log) for log in logs) > 0
    assert case.image is not None
    assert case.image.pixels == (GOLDEN / name / "float.bin").stat().st_size // 4
    assert case.bounded <= 0.01 * case.numbers
    assert sorted(file.name for file in case.files) == sorted(
        path.name for path in (GOLDEN / name).glob("*.[ip][mg][gm]")
    )


def test_every_image_file_is_equal(golden: Matrix) -> None:
    assert [file.outcome for case in golden.cases for file in case.files] == [MatrixOutcome.PASS] * 9


def test_the_torn_records_are_said(golden: Matrix) -> None:
    notes = {(case.name, trace.pixel): trace.notes for case in golden.cases for trace in case.traces if trace.notes}
    torn = ("one pix0_vector_meters is torn in the reference's log and not compared (semantics 8)",)
    assert notes == {("tricubic_falls_out", pixel): torn for pixel in ((0, 39), (2, 3), (30, 30))}


@pytest.mark.parametrize(
    ("case", "log", "pattern", "nth", "label"),
    [
        ("cubic_mosflm", "trace_32_32.log", r"(C: polar )(\S+)", 0, "polar"),
        ("cubic_mosflm", "trace_32_32.log", r"(C: omega_pixel )(\S+)", 0, "omega_pixel"),
        ("cubic_mosflm", "trace_0_0.log", r"(C: r_e_sqr )(\S+)", 0, "r_e_sqr"),
        ("cubic_mosflm", "trace_0_0.log", r"(C: I_pixel_final )(\S+)", 0, "I_pixel_final"),
        ("tilted_twotheta", "trace_5_60.log", r"(C:R_total=\[\S+ \S+ )([^\s;]+)", 0, "R_total[2]"),
        ("tilted_twotheta", "trace_5_60.log", r"(C:angles_rad=rotx:\S+ roty:)(\S+)", 0, "angles_rad.roty"),
        ("xds_convention", "trace_32_32.log", r"(C: hkl_frac \S+ )(\S+)", 8, "hkl_frac[1] #9"),
        ("thick_detector", "trace_24_24.log", r"(C: F_cell )(\S+)", 2, "F_cell #3"),
        ("phi_crosses_zero", "trace_20_21.log", r"(phi_tic=1 phi_deg=\S+ k_frac=)(\S+)", 0, "PHI.k_frac @1"),
        ("source_file", "trace_33_12.log", r"(SOURCE2: F_latt )(\S+)", 0, "SOURCE2.F_latt"),
    ],
)
def test_a_perturbed_number_fails_and_is_named(copied, case, log, pattern, nth, label) -> None:
    folder = copied(case)
    edit(folder / log, pattern, scaled(1 + 1e-9), nth)
    result = run(folder)
    assert result.outcome is MatrixOutcome.FAIL
    assert len(result.problems) == 1
    pixel = log.removesuffix(".log").replace("_", " ")
    assert result.problems[0].startswith(f"{pixel}: {label}: expected ")
    assert ", allowed 1e-1" in result.problems[0]
    assert result.worst[1] == f"{label} of {pixel.removeprefix('trace ')}"


def test_a_deviation_within_the_tolerance_passes_and_is_reported(copied) -> None:
    folder = copied("cubic_mosflm")
    edit(folder / "trace_0_0.log", r"(C: fluence_photons_per_m2 )(\S+)", scaled(1 + 5e-13))
    result = run(folder)
    assert result.outcome is MatrixOutcome.PASS
    assert result.worst == (pytest.approx(5e-13, rel=0.01), "fluence_photons_per_m2 of 0 0")
    assert result.bounded == 0


# The bound of F_latt_b in phi step 3 of the canonical pixel is 7.4e-12, that of the sum 2.0e-12.
@pytest.mark.parametrize(
    ("pattern", "off", "bounded", "problem"),
    [
        (r"(phi_tic=3 .* F_latt_b=)(\S+)", 5e-12, 1, None),
        (r"(phi_tic=3 .* F_latt_b=)(\S+)", 1e-11, 0, "PHI.F_latt_b @3: expected"),
        (r"(C: I_before_scaling )(\S+)", 1.5e-12, 1, None),
        (r"(C: I_before_scaling )(\S+)", 3e-12, 0, "I_before_scaling: expected"),
        (r"(C: omega_pixel )(\S+)", 1.5e-12, 0, "omega_pixel: expected"),
        (r"(C: polar )(\S+)", 1.5e-12, 0, "polar: expected"),
        (r"(C: cos_2theta )(\S+)", 1.5e-12, 0, "cos_2theta: expected"),
        (r"(C: fluence_photons_per_m2 )(\S+)", 1.5e-12, 0, "fluence_photons_per_m2: expected"),
    ],
)
def test_the_conditioning_bound_is_for_the_lattice_factor_alone(copied, pattern, off, bounded, problem) -> None:
    folder = copied("supervisor_one_reflection")
    edit(folder / "trace_685_1039.log", pattern, scaled(1 + off))
    result = run(folder)
    assert result.bounded == bounded
    if problem is None:
        assert result.outcome is MatrixOutcome.PASS
    else:
        assert result.problems[0].startswith(f"trace 685 1039: {problem}")


@pytest.mark.parametrize(("bounded", "outcome"), [(6, MatrixOutcome.PASS), (7, MatrixOutcome.FAIL)])
def test_nobody_hides_in_the_bound(bounded: int, outcome: MatrixOutcome) -> None:
    trace = TraceResult((1, 2), numbers=650, bounded=bounded, worst=2e-12, where="F_latt")
    result = CaseResult("a", "float64", (trace,), None, (), 0.0)
    assert result.outcome is outcome
    if outcome is MatrixOutcome.FAIL:
        assert result.problems == ("7 of 650 numbers need the conditioning bound, at most 1% may",)


@pytest.mark.parametrize(
    ("case", "pattern", "replacement", "problem"),
    [
        ("cubic_mosflm", r"^TRACE_C: hkl_frac .*\n", "", "hkl_frac: 0 in the reference, 1 in the port"),
        ("cubic_mosflm", r"^TRACE_C: pix0_vector_m.*\n", "", "pix0_vector_meters: 0 in the reference, 1 in the port"),
        ("cubic_mosflm", r"^(TRACE_C: F_cell .*\n)", r"\1\1", "F_cell: 2 in the reference, 1 in the port"),
        ("cubic_mosflm", r"C: polar ", "C: polarity ", "polarity: 1 in the reference, 0 in the port"),
        ("cubic_mosflm", r"C: steps 1$", "C: steps NOT_EXTRACTED", "steps: 0 in the reference, 1 in the port"),
        ("cubic_mosflm", r"^TRACE_C_PHI phi_tic=0 .*\n", "", "PHI.phi_deg: 0 in the reference, 1 in the port"),
        ("cubic_mosflm", r"(C: hkl_frac \S+ \S+) \S+", r"\1", "hkl_frac: 1 in the reference, 1 in the port (occ"),
        ("cubic_mosflm", r"^(TRACE_C: fdet_vec .*\n)(TRACE_C: sdet_vec .*\n)", r"\2\1", "the trace: expected sdet_v"),
        ("cubic_mosflm", r"detector_convention=MOSFLM", "detector_convention=ADXV", "expected the text 'ADXV', got 'M"),
        ("cubic_mosflm", r"^TRACE_C:detector_convention=.*\n", "", "expected angles_rad.rotx, got detector_convention"),
        ("cubic_mosflm", r"^TRACE_CONFIG: .*\n", "", "expected the reference's TRACE_CONFIG line to name this pixel"),
        ("cubic_mosflm", r"spixel=32", "spixel=31", "expected traces of one pixel, got"),
        ("cubic_mosflm", r"(?s).*", "", "expected lines that begin with TRACE_C or TRACE_PY, got an empty file"),
        ("tricubic_interpolation", r"^TRACE_C: diffracted_vec .*\n", "", "diffracted_vec: 0 in the reference, 1 in th"),
        ("tricubic_interpolation", r"^TRACE_C: pix0_vector_m.*\nTRACE_C: fdet_vec .*\n", "", "fdet_vec: 0 in the re"),
    ],
)  # fmt: skip
def test_a_missing_an_extra_and_a_renamed_line_fail(copied, case, pattern, replacement, problem) -> None:
    folder = copied(case)
    edit(sorted(folder.glob("trace_*.log"))[-1], pattern, replacement)
    result = run(folder)
    assert result.outcome is MatrixOutcome.FAIL
    assert any(problem in line for line in result.problems), result.problems


def test_the_lines_that_no_golden_log_has_are_compared_where_a_log_has_them(copied) -> None:
    folder = copied("cubic_mosflm")
    after = r"(TRACE_C:odet_after_twotheta=.*\n)"
    bare = "DETECTOR_FAST_AXIS 0 0 1\nDETECTOR_SLOW_AXIS 0 -1 0\nDETECTOR_NORMAL_AXIS 1 0 0\n"
    edit(folder / "trace_0_0.log", after, rf"\g<1>{bare}")
    assert any("DETECTOR_PIX0_VECTOR: 0 in the reference, 1 in the port" in line for line in run(folder).problems)
    edit(folder / "trace_0_0.log", r"^TRACE_CONFIG", "DETECTOR_PIX0_VECTOR 0.1 0.0132 -0.013\nTRACE_CONFIG")
    problems = run(folder).problems
    assert len(problems) == 1
    assert problems[0].startswith("trace 0 0: DETECTOR_PIX0_VECTOR[2]: expected -0.013, got -0.0")


def pixels_off(folder: Path, pixels: list[int], ulps: int) -> None:
    image = np.fromfile(folder / "float.bin", "<i4")
    image[pixels] += ulps
    image.tofile(folder / "float.bin")


def test_a_pixel_off_by_three_ulp_fails_and_is_named(copied) -> None:
    folder = copied("cubic_mosflm")
    pixels_off(folder, [64 * 7 + 11], 3)
    result = run(folder)
    assert result.outcome is MatrixOutcome.FAIL
    assert len(result.problems) == 1
    assert re.fullmatch(r"float image: pixel 7 11: expected \S+, got \S+: 3 ulp off", result.problems[0])
    assert result.image is not None
    assert (result.image.unequal, result.image.worst_ulp) == (1, 3)


def test_pixels_of_a_region_are_named_as_the_detector_counts_them(copied) -> None:
    folder = copied("images_overload_roi")  # -roi 5 35 4 30
    pixels_off(folder, [0], 3)
    assert any("float image: 1 of 837 pixels are not bitwise equal" in line for line in run(folder).problems)
    assert any("float image: pixel 4 5: expected" in line for line in run(folder).problems)


def test_two_ulp_pass_in_a_thousandth_of_the_pixels_and_no_more(copied) -> None:
    folder = copied("cubic_mosflm")
    pixels_off(folder, [10, 700, 1400, 2100], 2)
    result = run(folder)
    assert result.outcome is MatrixOutcome.PASS
    assert result.image is not None
    assert (result.image.unequal, result.image.worst_ulp) == (4, 2)
    pixels_off(folder, [4000], 1)
    assert run(folder).problems == ("float image: 5 of 4096 pixels are not bitwise equal, at most 0.1% may be",)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda folder: (folder / "float.bin").unlink(), "float.bin: expected a regular file, got: No such file"),
        (lambda folder: (folder / "float.bin").write_bytes(b"1234567"), "expected 64 x 64 float32, 16384 bytes, got 7"),
        (lambda folder: (folder / "trace_0_0.log").unlink(), "trace_0_0.log: expected the reference's trace, got none"),
        (
            lambda folder: edit(folder / "case.json", "-lambda 6.2", "-lambada 6.2"),
            "the port refuses the flags: -lamba",
        ),
        (
            lambda folder: edit(folder / "case.json", r"0,\n +0\n", "99, 0\n"),
            "trace_99_0.log: expected the reference's",
        ),
    ],
)
def test_what_cannot_be_compared_fails(copied, spoil, problem) -> None:
    folder = copied("cubic_mosflm")
    spoil(folder)
    result = run(folder)
    assert result.outcome is MatrixOutcome.FAIL
    assert any(problem in line for line in result.problems), result.problems


def test_a_defect_of_the_port_fails_its_case_and_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import nanobragg_torch.scan.simulate as port

    def broken(config, **_):
        if config.detector.curved:
            raise RuntimeError("shapes do not fit")
        return torch.zeros((config.detector.pixels_slow, config.detector.pixels_fast))

    monkeypatch.setattr(port, "simulate", broken)
    seen: list[str] = []
    cases = matrix_cases(["curved_detector", "polarization"])
    found = run_matrix(cases, done=lambda case: seen.append(case.name))[0]
    assert seen == ["curved_detector", "polarization"]
    assert found.cases[0].problems == ("the port broke off: RuntimeError: shapes do not fit",)
    wrong = "float image: 1858 of 2304 pixels are not bitwise equal, at most 0.1% may be"  # the others are 0 in truth
    assert wrong in found.cases[1].problems
    assert found.cases[1].problems[-1] == "float image: more than 1000 pixels are 3 ulp off or farther"


def test_pixels_outside_the_region_of_interest_must_be_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    import nanobragg_torch.scan.simulate as port

    simulate = port.simulate

    def spilling(config, **options):
        return simulate(config, **options).index_fill(0, torch.tensor([0]), 1)

    monkeypatch.setattr(port, "simulate", spilling)
    problems = run_case(find_case("images_overload_roi"))[0].problems
    assert "float image: 44 pixels outside the region of interest are not 0" in problems


def test_image_files_are_compared_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = GOLDEN / "images_mid_counts"
    said = ""

    def writes(flags, folder):
        assert [flags[flags.index(flag) + 1] for flag in ("-intfile", "-pgmfile", "-noisefile")] == [
            "int.img", "image.pgm", "noise.img",
        ]  # fmt: skip
        if not said:
            (Path(folder) / "int.img").write_bytes((golden / "int.img").read_bytes())
            pgm = bytearray((golden / "image.pgm").read_bytes())
            pgm[700] ^= 1
            (Path(folder) / "image.pgm").write_bytes(pgm)
        return said

    monkeypatch.setattr(matrix, "_port_writes", writes)
    result = run_case(find_case("images_mid_counts"))[0]
    assert [(file.outcome, file.note) for file in result.files] == [
        (MatrixOutcome.PASS, "3712 bytes equal"),
        (MatrixOutcome.FAIL, "1 of 1634 bytes differ, the first at 700"),
        (MatrixOutcome.FAIL, "expected the port's file, got none"),
    ]
    assert "image.pgm: 1 of 1634 bytes differ, the first at 700" in result.problems
    said = "-hkl p1.hkl: unreadable"
    assert {file.outcome for file in run_case(find_case("images_mid_counts"))[0].files} == {MatrixOutcome.FAIL}


def test_a_tie_is_listed_with_its_margin_and_no_tie_fails() -> None:
    reference = torch.ones((50, 50), dtype=torch.float32)
    candidate = reference.clone()
    candidate[4, 7], candidate[5, 9] = 2.0, 3.0
    edges = {(4, 7): Edge("rounding", 1e-15, 4e-15), (5, 9): Edge("rounding", 1e-3, 4e-15)}
    result = judge_image(compare_bits(reference, candidate), lambda slow, fast: edges[slow, fast])
    assert [(tie.slow, tie.fast, tie.edge.margin) for tie in result.ties] == [(4, 7, 1e-15)]
    assert result.problems == (
        "pixel 5 9: expected 1, got 3: 12582912 ulp off, and no tie: 1.0e-03 from a rounding edge, "
        "rounding reaches 4.0e-15",
    )
    lines = case_lines(CaseResult("a", "float64", (), result, (), 0.0))
    said = (
        "tie at pixel 4 7: expected 1, got 2 (8388608 ulp off); 1.0e-15 from a rounding edge, rounding reaches 4.0e-15"
    )
    assert f"    {said}" in lines


def test_float32_is_measured_and_claims_nothing() -> None:
    found = run_matrix(matrix_cases(["cubic_mosflm", "gauss_crystal"]), dtype="float32")[0]
    assert {case.outcome for case in found.cases} == {MatrixOutcome.MEASURED}
    assert all(case.worst[0] > 1e-12 and case.image and case.image.unequal for case in found.cases)
    assert "36" not in verdict_line(found)
    assert verdict_line(found).startswith("2 cases: 2 MEASURED;")


def test_a_missing_device_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="--device cuda:9: not usable"):
        run_matrix(matrix_cases(["cubic_mosflm"]), device="cuda:9")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_every_golden_case_passes_on_cuda() -> None:
    assert run_matrix(matrix_cases(), device="cuda")[0].failed == ()


def test_cases_by_name_by_path_and_by_folder(copied, tmp_path: Path) -> None:
    folder = copied("cubic_mosflm")
    assert [case.name for case in matrix_cases()] == NAMES
    assert [case.folder for case in matrix_cases(["polarization", str(folder)])] == [GOLDEN / "polarization", folder]
    assert [case.folder for case in matrix_cases([str(tmp_path)])] == [folder]
    with pytest.raises(BadInput, match="nope: expected a folder with case.json"):
        matrix_cases(["nope"])
    with pytest.raises(BadInput, match="expected at least one case, got none"):
        run_matrix([])


def test_the_files_say_what_the_run_found(golden: Matrix, tmp_path: Path) -> None:
    paths = write_matrix([golden], tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["matrix.md", "matrix.json"]
    page = paths[0].read_bytes().decode("ascii")
    assert page.count("\n| ") == len(NAMES) + 1 + 1
    assert "| cubic_mosflm | PASS | 549 | " in page
    assert "- command: `python -m tools.scaling matrix`\n" in page
    assert f"torch {torch.__version__}" in page
    data = json.loads(paths[1].read_bytes().decode("ascii"))
    row = next(row for row in data["cases"] if row["name"] == "cubic_mosflm")
    assert (row["outcome"], row["numbers"], row["image"]["pixels"]) == ("PASS", 549, 4096)
    assert data["failed"] == []
    assert matrix_lines([golden])[-1] == verdict_line(golden)


def test_a_failure_is_told_in_the_page_the_json_and_the_lines(copied, tmp_path: Path) -> None:
    folder = copied("cubic_mosflm")
    edit(folder / "trace_0_0.log", r"(C: polar )(\S+)", r"\1nan")
    found = run_matrix([find_case(str(folder))])[0]
    assert found.failed == ("cubic_mosflm",)
    problem = "trace 0 0: polar: expected nan, got "
    paths = write_matrix([found], tmp_path / "out")
    assert f"- cubic_mosflm: FAIL: {problem}" in paths[0].read_text()
    data = json.loads(paths[1].read_text(), parse_constant=pytest.fail)
    assert data["cases"][0]["worst_rel"] == "inf"
    assert data["cases"][0]["problems"][0].startswith(problem)
    assert any(line.startswith(f"    FAIL: {problem}") for line in matrix_lines([found]))


def test_a_terminal_gets_a_table_and_a_bar(golden: Matrix) -> None:
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=240, force_terminal=True).print(terminal_table(golden))
    assert "tricubic_falls_out" in stream.getvalue()
    assert "\x1b[32mPASS" in stream.getvalue()
    narrow = io.StringIO()
    Console(file=narrow, width=80).print(terminal_table(golden))
    for name in NAMES:
        assert re.search(rf"^{name} +PASS +\d+ +0 +0 +0 +0 +\S+", narrow.getvalue(), re.MULTILINE), name
    with progress_bar(1, stream) as advance:
        advance(golden.cases[0])


def test_the_package_needs_rich_only_to_draw_on_a_terminal() -> None:
    import subprocess
    import sys

    code = (
        "import sys, tools.scaling.matrix.run, tools.scaling.matrix.text; print({'rich', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_page_of_the_docs_has_every_golden_case() -> None:
    page = (ROOT / "docs" / "results" / "parity_matrix.md").read_bytes().decode("ascii")
    for name in NAMES:
        assert re.search(rf"^\| {name} \| PASS \|", page, re.MULTILINE), name
        assert re.search(rf"^\| {name} \| MEASURED \|", page, re.MULTILINE), name


def test_an_outcome_is_no_bool() -> None:
    with pytest.raises(TypeError, match="a MatrixOutcome is no bool"):
        bool(MatrixOutcome.FAIL)


def test_a_float_image_is_little_endian_and_slow_major(tmp_path: Path) -> None:
    path = tmp_path / "float.bin"
    path.write_bytes(np.arange(6, dtype="<f4").tobytes())
    assert read_float32(path, 2, 3).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(BadInput, match=r"float\.bin: expected 2 x 2 float32, 16 bytes, got 24 bytes"):
        read_float32(path, 2, 2)
