"""What CI reads: JUnit XML, and JSON that keeps to its published schema."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch

from tools.scaling import cli
from tools.scaling.base.repo import CANONICAL_TRACE, ROOT
from tools.scaling.bundle.bundle import create
from tools.scaling.bundle.environment import EnvironmentChange
from tools.scaling.bundle.history import history
from tools.scaling.bundle.verify import verify_all, verify_bundle
from tools.scaling.cli.junit import (
    JunitCase,
    JunitOutcome,
    chain_junit,
    comparison_junit,
    images_junit,
    junit,
    matrix_junit,
    verdict_junit,
)
from tools.scaling.images.measure import measure
from tools.scaling.images.open import in_memory
from tools.scaling.matrix.judge import (
    CaseResult,
    Edge,
    FileResult,
    ImageResult,
    Matrix,
    MatrixOutcome,
    Tie,
    TraceResult,
)
from tools.scaling.procedure.replay import Difference, Replay
from tools.scaling.traces.compare import compare
from tools.scaling.traces.read import parse_trace, read_trace

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def trace():
    return (ROOT / CANONICAL_TRACE).read_bytes()


def report(reference, candidate):
    return compare(parse_trace(reference, "c.log"), parse_trace(candidate.replace(b"TRACE_C", b"TRACE_PY"), "py.log"))


def cases(text):
    """Name -> (what, message) of every case, the suites' counts checked on the way."""
    found = {}
    root = ElementTree.fromstring(text)
    for suite in root:
        elements = [(case.get("name"), case[0] if len(case) else None) for case in suite]
        assert suite.get("tests") == str(len(elements))
        for what, count in (("failure", "failures"), ("skipped", "skipped")):
            assert suite.get(count) == str(sum(e is not None and e.tag == what for _, e in elements))
        found |= {name: (e.tag, e.get("message")) if e is not None else None for name, e in elements}
    assert root.get("tests") == str(sum(int(suite.get("tests")) for suite in root))
    return found


def test_equal_traces_are_all_passed(trace):
    found = cases(comparison_junit(report(trace, trace)))
    assert {"I_before_scaling", "I_pixel_final", "hkl_frac", "PHI.k_frac"} <= found.keys()
    assert set(found.values()) == {None}


def test_a_missing_quantity_fails_and_an_extra_one_is_skipped_with_its_reason(trace):
    lines = trace.splitlines(keepends=True)
    less = b"".join(line for line in lines if b" polar " not in line and b" F_latt_a " not in line)
    found = cases(comparison_junit(report(trace, less + b"TRACE_C: I_before_scaling_post_polar 1\n")))
    assert found["polar"][0] == "failure" and found["polar"][1].startswith("missing: ")
    assert found["F_latt_a"] == ("failure", "missing: the reference has it 1 times, the port 0 times")
    assert found["I_before_scaling_post_polar"] == ("skipped", "printed by the port alone")


def test_a_divergence_fails_with_its_numbers(trace):
    line = next(line for line in trace.splitlines() if b": F_latt_a " in line)
    value = float(line.split()[-1])
    moved = trace.replace(line, f"TRACE_C: F_latt_a {value * 1.5!r}".encode())
    message = cases(comparison_junit(report(trace, moved)))["F_latt_a"]
    assert message[0] == "failure"
    assert f"CRITICAL: reference {value!r}, port {value * 1.5!r}, relative delta -5.000e-01" in message[1]


def test_hostile_text_is_text():
    text = junit("x", {"s": [JunitCase('<script>"&\x00\u00e9', JunitOutcome.FAILED, "]]> \x1b[31m")]})
    assert text.isascii()
    assert cases(text) == {'<script>"&\\x00\\xe9': ("failure", "]]> \\x1b[31m")}


@pytest.fixture
def root(tmp_path):
    for number in range(2):
        bundle = create(tmp_path / "runs", now=NOON)
        bundle.write_provenance({"git_sha": "1" * 40})
        bundle.path("a.log").write_text(f"{number}\n")
        bundle.seal()
    return tmp_path / "runs"


def test_verify_as_junit(root):
    good, bad = sorted(root.iterdir())
    (bad / "a.log").write_text("9\n")
    create(root, now=NOON)
    found = cases(chain_junit(verify_all(root)))
    assert found[str(good)] is None
    assert found[str(bad)] == ("failure", "a.log: changed")
    assert found[str(root / "20261123T120002Z")] == ("skipped", "open: not sealed yet")
    assert cases(verdict_junit(verify_bundle(good))) == {str(good): None}


def image_reports():
    """Images that agree, that differ in a pixel that is not finite, and that have no figures at all."""
    x = torch.rand(20, 30, generator=torch.Generator().manual_seed(1)) + 0.1
    broken, gone = x.clone(), torch.full_like(x, torch.inf)
    broken[3, 4] = torch.nan
    return [measure(in_memory(x), in_memory(y)) for y in (x, broken, gone, -x)]


def test_each_figure_of_an_image_comparison_is_a_case_and_one_that_is_missing_fails():
    same, broken, gone, _ = (cases(images_junit(found)) for found in image_reports())
    names = ["reference", "candidate", "correlation", "sum ratio", "peak maximum ratio", "peaks", "pixels"]
    assert list(same) == names and set(same.values()) == {None}
    assert broken["candidate"] == ("failure", "candidate: expected finite pixels, got 1 that are NaN or infinite")
    none = "expected a number, got none: it does not exist for these images"
    for name in ("correlation", "sum ratio", "peak maximum ratio"):
        assert gone[name] == ("failure", f"{name}: {none}")
    for report in image_reports():
        said = [result[1] for result in cases(images_junit(report)).values() if result]
        assert "; ".join(said) == "; ".join(report.problems)


def matrices():
    trace = TraceResult((3, 4), 50, 0, 1e-9, "polar")
    off = ImageResult(100, 1, None, 0.5, (Tie(1, 2, 0.5, 1.5, None, Edge("h edge", 1e-9, 1e-8)),), ("pixel 1 2: off",))
    files = (
        FileResult("int.img", MatrixOutcome.PASS, "9 bytes equal"),
        FileResult("image.pgm", MatrixOutcome.MEASURED, "2 of 9 bytes differ, the first at 1"),
        FileResult("noise.img", MatrixOutcome.FAIL, "1 of 9 bytes differ, the first at 3"),
    )
    found = [
        CaseResult("good", "float64", (trace,), ImageResult(100, 0, 0, 0.0), (), 0.1),
        CaseResult("bad", "float64", (replace(trace, problems=("polar: off", "omega: off")),), off, files, 0.1),
        CaseResult("bad", "float64", (), None, (), 0.1, ("float.bin: expected a float image, got: No such file",)),
        CaseResult("bound", "float64", (replace(trace, bounded=40),), ImageResult(100, 0, 0, 0.0), (), 0.1),
    ]
    single = CaseResult("good", "float32", (trace,), ImageResult(100, 9, 7, 1e-6), (), 0.1)
    return [
        Matrix("python -m tools.scaling matrix", "cpu", dtype, 1.5, {"cpu_count": 2}, tuple(cases))
        for dtype, cases in (("float64", found), ("float32", [single]))
    ]


def test_each_comparison_of_the_matrix_is_a_case_of_its_suite():
    found, measured = (ElementTree.fromstring(matrix_junit([matrix])) for matrix in matrices())
    suites = {suite.get("name"): cases(f"<s tests='{suite.get('tests')}'>{tostring(suite)}</s>") for suite in found}
    assert list(suites) == ["good", "bad", "bad #2", "bound"]
    assert set(suites["good"].values()) == {None} and list(suites["good"]) == ["comparison", "trace 3 4", "float image"]
    assert suites["bad"] == {
        "comparison": None,
        "trace 3 4": ("failure", "polar: off; omega: off"),
        "float image": ("failure", "pixel 1 2: off"),
        "int.img": None,
        "image.pgm": ("skipped", "2 of 9 bytes differ, the first at 1"),
        "noise.img": ("failure", "1 of 9 bytes differ, the first at 3"),
    }
    assert suites["bad #2"] == {
        "comparison": ("failure", "float.bin: expected a float image, got: No such file"),
        "float image": ("failure", "missing: it could not be compared"),
    }
    assert suites["bound"]["comparison"][1] == "40 of 50 numbers need the conditioning bound, at most 1% may"
    assert found.get("failures") == "6" and found.get("skipped") == "1"
    assert {case[0].get("message") for case in measured[0]} == {"measured, not judged: float32"}
    assert measured.get("skipped") == measured.get("tests") == "3"


def tostring(element):
    return ElementTree.tostring(element, encoding="unicode")


@pytest.mark.parametrize("word", ["compare", "images", "matrix", "verify"])
def test_an_error_leaves_a_failure_and_not_the_file_of_the_run_before(capsys, tmp_path, word):
    path = tmp_path / "junit.xml"
    path.write_text(junit("old", {"old": [JunitCase("passed")]}))
    gone = str(tmp_path / "gone")
    arguments = ["--c", gone, "--py", gone] if word in ("compare", "images") else [gone]
    arguments += ["--out", str(tmp_path / "summary.md")] if word == "compare" else []
    assert cli.main([word, *arguments, "--junit", str(path)]) == 2
    error = capsys.readouterr().err.removeprefix("error: ").strip()
    assert error.startswith(f"{gone}: expected ")
    assert cases(path.read_text(encoding="ascii")) == {"comparison": ("failure", error)}


def test_images_writes_what_the_gate_says_to_the_junit_file(capsys, tmp_path):
    image = torch.rand(8, 9, generator=torch.Generator().manual_seed(2)).numpy()
    image.tofile(tmp_path / "c.bin")
    (image * 2).tofile(tmp_path / "py.bin")
    c, py, path = tmp_path / "c.bin", tmp_path / "py.bin", tmp_path / "junit.xml"
    code = cli.main([str(x) for x in ("images", "--c", c, "--py", py, "--shape", 8, 9, "--gate", "--junit", path)])
    assert (code, capsys.readouterr().err) == (1, f"error: {py}: the images do not agree\n")
    found = cases(path.read_text(encoding="ascii"))
    assert found["sum ratio"] == ("failure", "sum ratio: expected 1 within 1e-06, got 1 +1.000e+00")
    assert found["correlation"] is None


def test_the_matrix_of_a_golden_case_passes_in_junit_and_keeps_to_its_schema(capsys, tmp_path):
    path = tmp_path / "junit.xml"
    assert cli.main(["matrix", "cubic_mosflm", "--json", "--junit", str(path)]) == 0
    assert set(cases(path.read_text()).values()) == {None}
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads((ROOT / "docs/schemas/matrix.schema.json").read_text())
    jsonschema.validate(json.loads(capsys.readouterr().out), schema)


def records(root, trace):
    """Schema name -> what the tool prints with --json."""
    (sorted(root.iterdir())[0] / "a.log").unlink()
    first = Difference("harness_traces", "x.log", "polar", 1.0, 2.0, 1.0, 1e-12)
    moved = trace.replace(b"polar 0.9", b"polar nan 0.9")
    return {
        "compare": [report(trace, trace).metrics(), report(trace, moved).metrics()],
        "verify": [verify_bundle(folder).to_dict() for folder in sorted(root.iterdir())],
        "verify-all": [verify_all(root).to_dict()],
        "replay": [
            Replay("b", "c", False, True, ("x",), None, ()).to_dict(),
            Replay("b", "c", False, False, (), first, (EnvironmentChange("torch", "1", None),)).to_dict(),
        ],
        "history": [history(root).to_dict()],
        "images": [found.to_dict() for found in image_reports()],
        "matrix": [matrix.to_dict() for matrix in matrices()],
    }


def test_json_keeps_to_its_published_schema(root, trace):
    found = records(root, trace)
    schemas = {path.name.removesuffix(".schema.json"): path for path in (ROOT / "docs/schemas").glob("*.schema.json")}
    assert found.keys() <= schemas.keys()
    for name, values in found.items():
        schema = json.loads(schemas[name].read_text(encoding="ascii"))
        on_request = {"diagnosis"} if name == "images" else set()  # images --case
        for value in values:
            value = json.loads(json.dumps(value, allow_nan=False))
            assert value.keys() == schema["properties"].keys() - on_request == set(schema["required"]), name
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: only the keys were checked")
    for name, values in found.items():
        schema = json.loads(schemas[name].read_text(encoding="ascii"))
        jsonschema.Draft202012Validator.check_schema(schema)
        for value in values:
            jsonschema.validate(json.loads(json.dumps(value)), schema)


def test_a_bundle_metrics_of_a_golden_trace_keeps_to_the_schema():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads((ROOT / "docs/schemas/compare.schema.json").read_text())
    golden = read_trace(ROOT / CANONICAL_TRACE)
    jsonschema.validate(json.loads(json.dumps(compare(golden, golden).metrics())), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compare(golden, golden).metrics() | {"num_divergent": "none"}, schema)
