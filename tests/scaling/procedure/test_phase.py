"""phase-m1 end to end in a clone: once green, and blocked at each step."""

import hashlib
import json
import os
import re
import subprocess
import sys

import pytest

from tools.scaling.procedure.steps import STEPS

# Runs phase_m1 with every step before STEP replaced by a cheap stand-in that leaves what later steps read.
DRIVER = """
import dataclasses, json, sys
from pathlib import Path
from tools.scaling.procedure import phase
from tools.scaling.base import repo
from tools.scaling.procedure import steps
from tools.scaling.bundle.layout import MODES
from tools.scaling.bundle import ledger
from tools.scaling.cli import main

blocked = sys.argv.pop(1)
repo.PATIENCE = 0.3

def stand_in(step):
    def work(run):
        bundle = run.made
        if step.name == "provenance":
            run.bundle.write_provenance({
                "git_sha": "0" * 40, "settings": run.settings.with_changes(pixel=run.pixel).as_json(),
                "reference": "c.log", "protected": steps.protected_state()})
        if step.name == "comparison":
            factor = {"rel_delta": 0.0, "c_value": 1.0, "py_value": 1.0}
            for folder in (mode.place for mode in MODES.values()):
                bundle.path(folder).mkdir(exist_ok=True)
                metrics = {"first_divergence": None, "num_divergent": 0, "factors": {"I_before_scaling": factor}}
                (bundle.path(folder) / "metrics.json").write_text(json.dumps(metrics))
        if step.name == "ledger":
            ledger.write(steps.entry_of(run))
        if step.name == "checksums":
            bundle.seal()
        run.here("stand-in for " + step.name, lambda: "") if not bundle.sealed else None
    return dataclasses.replace(step, work=work)

names = [s.name for s in steps.STEPS]
phase.STEPS = tuple(stand_in(s) if i < names.index(blocked) else s for i, s in enumerate(steps.STEPS))
sys.exit(main(sys.argv[1:]))
"""


def block(checkout, step, *arguments):
    return checkout.python("-c", DRIVER, step, "phase-m1", *arguments)


def manifest_holds(bundle):
    lines = (bundle / "sha256.txt").read_text().splitlines()
    listed = {line[66:]: line[:64] for line in lines}
    present = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()} - {"sha256.txt"}
    assert set(listed) == present
    assert all(hashlib.sha256((bundle / n).read_bytes()).hexdigest() == d for n, d in listed.items())
    return True


@pytest.fixture(scope="module")
def green(pristine, tmp_path_factory):
    """One full run of the canonical case, in a clone of its own."""
    checkout = pristine.copy_to(tmp_path_factory.mktemp("green") / "repo")
    return checkout, checkout.tool("phase-m1")


@pytest.mark.slow
def test_the_whole_list_passes_and_leaves_a_sealed_bundle(green):
    checkout, done = green
    assert (done.code, done.err) == (0, "")
    (bundle,) = checkout.bundles()
    assert done.last == f"PASS: {bundle.relative_to(checkout.root).as_posix()}/report.html"
    assert manifest_holds(bundle)
    files = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()}
    three = ("scaling_validation_summary.md", "metrics.json", "run_metadata.json", "explain.md", "explain.json")
    assert files == {
        "commands.txt", "report.html", "env.json", "provenance.json", "seal.json", "sha256.txt",
        "trace_py_scaling.log", "trace_py_scaling_spec.log", "trace_py_scaling_legacy.log",
        "trace_py_scaling_per_phi.log", "trace_py_scaling_per_phi.json",
        *three, *(f"{mode}/{name}" for mode in ("spec", "legacy") for name in three),
    }  # fmt: skip
    assert all((bundle / name).read_bytes().isascii() for name in files)
    assert all(str(checkout.root).encode() not in (bundle / name).read_bytes() for name in files)


@pytest.mark.slow
def test_the_metrics_are_the_known_figures(green):
    bundle = green[0].bundles()[0]
    parity, spec, legacy = (json.loads((bundle / m / "metrics.json").read_text()) for m in (".", "spec", "legacy"))
    assert (parity["first_divergence"], parity["num_divergent"]) == (None, 0)
    assert abs(parity["factors"]["I_before_scaling"]["rel_delta"]) < 1e-11
    assert spec["first_divergence"] == legacy["first_divergence"] == "I_before_scaling"
    assert spec["factors"]["I_before_scaling"]["rel_delta"] == pytest.approx(-1.446133e-01, abs=1e-7)
    assert legacy["factors"]["I_before_scaling"]["rel_delta"] == pytest.approx(-2.086116e-03, abs=1e-9)


@pytest.mark.slow
def test_every_command_is_in_the_log_in_the_order_of_the_steps(green):
    bundle = green[0].bundles()[0]
    text = (bundle / "commands.txt").read_text()
    heads = re.findall(r"^\[(\d{3})\] \S+Z  step (\w+)  exit (\d+)  \d+\.\d{3} s  peak \d+\.\d MiB$", text, re.M)
    assert [int(number) for number, _, _ in heads] == list(range(1, text.count("\n$ ") + 1))
    order = [s.name for s in STEPS]
    steps = [name for _, name, _ in heads]
    assert steps == sorted(steps, key=order.index)
    assert set(steps) == set(order) - {"image", "checksums", "stage"}
    assert (bundle / "scaling_validation_summary.md").read_text().endswith("Explained: 100 %.\n")
    for command in ("git rev-parse HEAD", "harness", "inspect", "compare --help", "compare --c", "check", "collect"):
        assert f"{command}" in text
    assert "SKIP --device cuda" in text or "--device cuda --optional" in text


@pytest.mark.slow
def test_exactly_what_the_run_wrote_is_staged(green):
    checkout, _ = green
    bundle = checkout.bundles()[0]
    staged = set(checkout.git("diff", "--cached", "--name-only").split())
    wrote = {p.relative_to(checkout.root).as_posix() for p in bundle.rglob("*") if p.is_file()}
    assert staged == wrote | {"docs/fix_plan.md", "plans/active/cli-noise-pix0/plan.md"}
    assert checkout.git("status", "--porcelain").count("\n") == len(staged)
    assert f"### Attempt 1 - {bundle.name}: PASS (supervisor)\n" in checkout.git("show", ":docs/fix_plan.md")
    assert f"| {bundle.name} |" in checkout.git("show", ":plans/active/cli-noise-pix0/plan.md")


@pytest.mark.slow
def test_a_users_own_case_runs_through_the_same_list_without_a_terminal(green, case_folder):
    """All standard streams are closed, of the run and so of all that it starts."""
    checkout, _ = green
    mine = case_folder()
    golden = "tests/golden/supervisor_one_reflection/trace_729_1079.log"
    line = f'exec "{sys.executable}" -m tools.scaling phase-m1 --case {mine} --c {golden} --pixel 729 1079 --no-stage'
    env = {k: v for k, v in os.environ.items() if k != "NOX_CURRENT_SESSION"}
    env |= {"PYTHONPATH": str(checkout.root / "src"), "OMP_NUM_THREADS": "1"}
    closed = ["sh", "-c", f"{line} <&- >&- 2>&-"]
    done = subprocess.run(closed, cwd=checkout.root, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    bundle = checkout.bundles()[-1]
    assert manifest_holds(bundle)
    metrics = json.loads((bundle / "metrics.json").read_text())
    assert (metrics["first_divergence"], metrics["num_divergent"]) == (None, 0)
    attempt = (checkout.root / "docs/fix_plan.md").read_text().rsplit("### Attempt ", 1)[1]
    assert f"{bundle.name}: PASS (supervisor)\n" in attempt
    assert "pixel slow 729 fast 1079" in attempt
    assert golden in attempt
    assert bundle.name not in checkout.git("diff", "--cached", "--name-only")


def spoil_git(checkout, mine):
    (checkout.root / ".git").rename(checkout.root / "not-git")
    return ()


def spoil_matrix(checkout, mine):
    return (
        "--case",
        str(mine(A__mat="1 2 3\n4 5\n")),
        "--c",
        "reports/2025-10-cli-flags/phase_l/scaling_audit/c_trace_scaling.log",
    )


def spoil_env(checkout, mine):
    path = checkout.root / "tools/scaling/bundle/environment.py"
    path.write_text(path.read_text().replace("def environment_record", "def renamed_record"))
    return ()


def spoil_comparison(checkout, mine):
    return ()  # the stand-ins before it wrote no trace


def spoil_image(checkout, mine):
    (checkout.root / "zero.bin").write_bytes(bytes(80 * 80 * 4))
    return ("--image", "window", "--image-c", "zero.bin")


def spoil_collect(checkout, mine):
    (checkout.root / "tests/test_cli_scaling_phi0.py").unlink()
    return ()


def spoil_tests(checkout, mine):
    (checkout.root / "tests/test_cli_scaling_phi0.py").write_text("def test_wrong():\n    assert 1 == 2\n")
    return ()


def spoil_ledger(checkout, mine):
    (checkout.root / "docs/fix_plan.md").write_text("# nothing here\n")
    return ()


def spoil_checksums(checkout, mine):
    path = checkout.root / "tools/scaling/procedure/steps.py"
    path.write_text(
        path.read_text().replace(
            "run.made.seal(run.sign)", "run.made.path('dangling').symlink_to('x') or run.made.seal(run.sign)"
        )
    )
    return ()


def spoil_handoff(checkout, mine):
    path = checkout.root / "tools/scaling/procedure/steps.py"
    line = '    run.external(["git", "status", "-sb"])\n\n    def check'
    assert line in path.read_text()
    path.write_text(path.read_text().replace(line, '    (ROOT / "input.md").write_text("x")\n' + line))
    return ()


def spoil_stage(checkout, mine):
    (checkout.root / ".git/index.lock").write_text("")
    return ()


BLOCKS = {
    "provenance": (spoil_git, 2, "not a git repository"),
    "harness_traces": (spoil_matrix, 2, r"A\.mat:?.*expected"),
    "env_snapshot": (spoil_env, 1, "environment_record"),
    "comparison": (spoil_comparison, 2, r"trace_py_scaling\.log"),
    "image": (spoil_image, 1, "the port's image does not agree with the reference's"),
    "collect_only": (spoil_collect, 2, "tests/test_cli_scaling_phi0.py: expected a test file, got none"),
    "parity_tests": (spoil_tests, 1, r"pytest .*: exit 1 \(TESTS_FAILED\)"),
    "ledger": (spoil_ledger, 2, "fix_plan.md: expected the line"),
    "handoff": (spoil_handoff, 1, "input.md: protected, was absent"),
    "checksums": (spoil_checksums, 2, "dangling: No such file"),
    "stage": (
        spoil_stage,
        2,
        r"git add --.*index\.lock.*held after 0\.3 s; if no git is running here",
    ),
}


def test_every_step_has_a_blocked_run():
    assert list(BLOCKS) == [step.name for step in STEPS]


@pytest.mark.slow
@pytest.mark.parametrize("step", BLOCKS)
def test_a_step_that_fails_halts_the_run_and_keeps_the_evidence(checkout, case_folder, step):
    spoil, code, why = BLOCKS[step]
    done = block(checkout, step, *spoil(checkout, case_folder))
    assert done.last.startswith(f"BLOCKED {step}: "), done
    assert re.search(why, done.last), done.last
    assert done.code == code
    assert "Traceback" not in done.out + done.err
    if step == "provenance":
        assert checkout.bundles() == []
        return
    (bundle,) = checkout.bundles()
    if step == "checksums":  # what kept the seal from being made keeps it from being made again
        assert not (bundle / "sha256.txt").exists()
        return
    assert manifest_holds(bundle)
    if step == "stage":
        return
    audit = (bundle / "instrumentation_audit.md").read_text()
    assert audit.startswith(f"# Blocked: {step}\n\nThe run halted at step {step} with exit code {code}.\n")
    assert re.search(why, audit)
    assert "- `commands.txt`" in audit
    later = [s.name for s in STEPS][list(BLOCKS).index(step) + 1 :]
    assert not any(f"step {name} " in (bundle / "commands.txt").read_text() for name in later)


@pytest.mark.slow
def test_a_run_that_diverges_says_which_factor_by_how_much_and_why(pristine, tmp_path):
    checkout = pristine.copy_to(tmp_path / "repo")
    golden = checkout.root / "tests/golden/supervisor_one_reflection/trace_685_1039.log"
    damaged = golden.read_text().replace("polar 0.91463969894451", "polar 0.92")
    (tmp_path / "c.log").write_text(damaged)
    done = checkout.tool("phase-m1", "--no-stage", "--c", str(tmp_path / "c.log"))
    assert done.code == 1
    found = "c-parity: expected first_divergence null, num_divergent 0; found first_divergence polar by -5.82"
    assert f"    FAIL {found}" in done.out
    assert done.last.startswith(f"BLOCKED comparison: check: {found}"), done.last
    (sentence,) = [line for line in done.out.splitlines() if line.startswith("    trace_py_scaling.log: ")]
    assert "polar" in sentence
    page = (checkout.bundles()[0] / "report.html").read_text()
    assert "First divergence: polar, -5.826" in page.partition("<nav")[0]
