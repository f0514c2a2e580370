"""The subcommands that trace, compare and check, with the figures that are known."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.scaling.cli.calls import GOLDEN, one_line, run
from tools.scaling.base.repo import CANONICAL_TRACE, ROOT


def test_the_harness_reproduces_the_known_figures(capsys, tmp_path):
    out = tmp_path / "py.log"
    code, said, _ = run(
        capsys, "harness", "--config", "supervisor", "--pixel", 685, 1039, "--out", out, "--dump-per-phi"
    )
    assert (code, said.count("wrote")) == (0, 3)
    rows = json.loads((tmp_path / "py_per_phi.json").read_text())["per_phi"]
    golden = [line for line in GOLDEN.read_text().splitlines() if line.startswith("TRACE_C_PHI")]
    assert len(rows) == len(golden) == 10
    for row, line in zip(rows, golden):
        expected = dict(item.split("=") for item in line.split()[1:])
        assert row["phi_tic"] == int(expected["phi_tic"])
        assert row["F_latt"] == pytest.approx(float(expected["F_latt"]), rel=1e-12)
    assert (tmp_path / "py_per_phi.log").read_text().count("TRACE_PY_PHI ") == 10


@pytest.mark.parametrize(
    ("vectors", "delta"),
    [  # measured one at a time with the reference (docs/architecture/attribution.md)
        ("odet", -2.156660e-03),
        ("sdet", 8.087804e-05),
        ("fdet", -4.825212e-06),
        ("beam", -5.207923e-06),
        ("as-given", -2.086116e-03),
    ],
)
def test_each_vector_as_given_shifts_the_intensity_as_known(capsys, tmp_path, vectors, delta):
    py, out = tmp_path / "py.log", tmp_path / "out.md"
    assert run(capsys, "harness", "--vectors", vectors, "--out", py)[0] == 0
    code, said, _ = run(capsys, "compare", "--c", ROOT / CANONICAL_TRACE, "--py", py, "--out", out, "--json")
    metrics = json.loads(said)
    assert (code, metrics) == (0, json.loads((tmp_path / "metrics.json").read_text()))
    assert metrics["factors"]["I_before_scaling"]["rel_delta"] == pytest.approx(delta, abs=1e-9)


def test_a_divergence_is_no_failure_unless_gated(capsys, tmp_path):
    py, out = tmp_path / "py.log", tmp_path / "out.md"
    run(capsys, "harness", "--phi-mode", "spec", "--out", py)
    arguments = ["compare", "--c", GOLDEN, "--py", py, "--out", out]
    assert run(capsys, *arguments)[0] == 0
    code, said, error = run(capsys, *arguments, "--gate")
    assert code == 1
    assert "first_divergence: I_before_scaling (num_divergent 2)" in said
    assert one_line(error) == "error: 2 factors diverge, first I_before_scaling\n"
    metadata = json.loads((tmp_path / "run_metadata.json").read_text())
    assert set(metadata) >= {"timestamp", "git_sha", "torch_version", "command", "c_trace", "py_trace", "tolerance_rel"}


def test_an_output_never_takes_the_place_of_a_trace_or_of_another_output(capsys, tmp_path):
    py = tmp_path / "metrics.json"
    py.write_bytes(GOLDEN.read_bytes())
    for out, message in [
        (py, "metrics.json: expected another name for the summary, metrics.json is written beside it"),
        (tmp_path / "out.md", "metrics.json: expected outputs beside the traces, got one that would overwrite this"),
    ]:
        code, said, error = run(capsys, "compare", "--c", GOLDEN, "--py", py, "--out", out)
        assert (code, said) == (2, "")
        assert message in one_line(error)
    mine = py.rename(tmp_path / "py.log")
    code, said, error = run(capsys, "compare", "--c", GOLDEN, "--py", mine, "--out", tmp_path / "." / "py.log")
    assert (code, said, "overwrite this trace" in one_line(error)) == (2, "", True)
    assert (mine.read_bytes(), list(tmp_path.iterdir())) == (GOLDEN.read_bytes(), [mine])


def test_the_recorded_command_of_a_comparison_repeats_it(capsys, tmp_path):
    out = tmp_path / "out.md"
    run(capsys, "compare", "--c", GOLDEN, "--py", GOLDEN, "--out", out, "--dtype", "float32")
    metadata, metrics = ((tmp_path / f"{name}.json").read_text() for name in ("run_metadata", "metrics"))
    words = shlex.split(json.loads(metadata)["command"])
    assert words[:4] == ["python", "-m", "tools.scaling", "compare"]
    assert run(capsys, *words[3:])[0] == 0
    assert (tmp_path / "metrics.json").read_text() == metrics
    assert json.loads(metrics)["precision"] == "float32"


def bundle_with(folder, deltas, **known):
    """An open bundle with the metrics of three comparisons."""
    folder.mkdir()
    settings = {"case": "supervisor", "pixel": [685, 1039], "dtype": "float64"} | known.pop("settings", {})
    provenance = {"settings": settings, "reference": CANONICAL_TRACE} | known
    (folder / "provenance.json").write_text(json.dumps(provenance))
    for mode, delta in zip((".", "spec", "legacy"), deltas):
        first = "I_before_scaling" if delta else None
        factors = {"I_before_scaling": {"rel_delta": delta}}
        metrics = {"first_divergence": first, "num_divergent": 2 * bool(delta), "factors": factors}
        (folder / mode).mkdir(exist_ok=True)
        (folder / mode / "metrics.json").write_text(json.dumps(metrics))
    return folder


KNOWN, OTHER = (0.0, -1.446133e-01, -2.086116e-03), (0.0, -1.3e-01, -2.1e-03)


@pytest.mark.parametrize(
    ("deltas", "known", "code", "judged"),
    [
        (KNOWN, {}, 0, 3),
        (OTHER, {}, 1, 3),
        (OTHER, {"reference": "C.log"}, 0, 1),  # another reference trace: the figures are not of it
        (OTHER, {"settings": {"dtype": "float32"}}, 0, 1),
        ((1e-3, *OTHER[1:]), {"reference": "C.log"}, 1, 1),
    ],
)
def test_the_known_figures_are_judged_where_they_hold(capsys, tmp_path, deltas, known, code, judged):
    bundle = bundle_with(tmp_path / "b", deltas, **known)
    found, said, _ = run(capsys, "check", "--run-dir", bundle)
    assert (found, 3 - said.count("no known figure: reported, not judged")) == (code, judged)


def test_a_loosened_tolerance_is_in_the_first_lines(capsys, tmp_path):
    out = tmp_path / "out.md"
    code, said, _ = run(capsys, "compare", "--c", GOLDEN, "--py", GOLDEN, "--out", out, "--tolerance", "0.5")
    assert code == 0
    assert said.startswith("TOLERANCE LOOSENED to 0.5")
    assert "LOOSENED" in "".join(out.read_text().splitlines(keepends=True)[:4])


def test_the_old_entry_points_take_their_old_flags(tmp_path):
    env = os.environ | {"KMP_DUPLICATE_LIB_OK": "TRUE", "PYTHONPATH": "src"}
    old = ROOT / "reports/2025-10-cli-flags/phase_l/scaling_audit/trace_harness.py"
    flags = ["--config", "supervisor", "--phi-mode", "c-parity", "--pixel", "685", "1039", "--device", "cpu"]
    py, out = tmp_path / "PY.log", tmp_path / "SUMMARY.md"
    traced = subprocess.run([sys.executable, old, *flags, "--dtype", "float64", "--out", py], cwd=ROOT, env=env)
    compare = [sys.executable, "scripts/validation/compare_scaling_traces.py", "--c", GOLDEN, "--py", py, "--out", out]
    compared = subprocess.run(compare, cwd=ROOT, env=env, capture_output=True, text=True)
    assert (traced.returncode, compared.returncode, compared.stderr) == (0, 0, "")
    assert {p.name for p in tmp_path.iterdir()} == {"PY.log", "SUMMARY.md", "metrics.json", "run_metadata.json"}
