"""What CI reads: JUnit XML, and JSON that keeps to its published schema."""

import json
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime

import pytest

from tools.scaling.evidence.bundle import create
from tools.scaling.evidence.environment import Change
from tools.scaling.evidence.history import history
from tools.scaling.evidence.verify import verify_all, verify_bundle
from tools.scaling.parity.compare import compare
from tools.scaling.parity.traces import parse_trace, read_trace
from tools.scaling.render.junit import Case, Outcome, chain_junit, comparison_junit, junit, verdict_junit
from tools.scaling.replaying import Difference, Replay
from tools.scaling.repo import CANONICAL_TRACE, ROOT

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
    text = junit("x", {"s": [Case('<script>"&\x00\u00e9', Outcome.FAILED, "]]> \x1b[31m")]})
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
            Replay("b", "c", False, False, (), first, (Change("torch", "1", None),)).to_dict(),
        ],
        "history": [history(root).to_dict()],
    }


def test_json_keeps_to_its_published_schema(root, trace):
    found = records(root, trace)
    schemas = {path.name.removesuffix(".schema.json"): path for path in (ROOT / "docs/schemas").glob("*.schema.json")}
    assert found.keys() <= schemas.keys()
    for name, values in found.items():
        schema = json.loads(schemas[name].read_text(encoding="ascii"))
        for value in values:
            value = json.loads(json.dumps(value, allow_nan=False))
            assert value.keys() == schema["properties"].keys() == set(schema["required"]), name
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
