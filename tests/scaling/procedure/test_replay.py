"""replay: a bundle's steps run again from its commit and its patch, and the first thing that differs named."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest

from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import CANONICAL_TRACE, ROOT, head
from tools.scaling.bundle import patch
from tools.scaling.bundle.bundle import Bundle, create
from tools.scaling.bundle.checkout import outcomes, replayable
from tools.scaling.bundle.environment import SAME_NUMBERS, changes, environment_record, same_numbers
from tools.scaling.procedure import replay as replaying
from tools.scaling.procedure.text import replay_lines

REPLAY = """
import json, sys
from pathlib import Path
from tools.scaling.base.errors import ScalingError
from tools.scaling.procedure.replay import replay
try:
    tell = lambda line: print(line, file=sys.stderr)
    print(json.dumps(replay(Path(sys.argv[1]), tell, trust=sys.argv[2:] == ["--trust"]).to_dict()))
except ScalingError as error:
    print(f"{type(error).__name__}: {error}")
"""
BLOB = bytes(range(256))


@pytest.fixture(scope="module")
def dirty(pristine, tmp_path_factory):
    """A run in a dirty tree: its own case, which no commit has, tells another story than the reference."""
    checkout = pristine.copy_to(tmp_path_factory.mktemp("dirty") / "repo")
    shutil.copytree(checkout.root / "tools/scaling/cases/supervisor", checkout.root / "mine")
    matrix = checkout.root / "mine/A.mat"
    matrix.write_text(matrix.read_text().replace("0.0", "0.00", 1))
    list_ = checkout.root / "mine/one.hkl"
    list_.write_text(list_.read_text().replace("190.27", "190.28"))
    (checkout.root / "mine/blob.bin").write_bytes(BLOB)
    (checkout.root / "README.md").write_text("changed, with an \u00c5ngstr\u00f6m\n")
    (checkout.root / "reports/loose.txt").write_text("not in the patch\n")
    with (checkout.root / "large.bin").open("wb") as stream:
        stream.truncate(patch.LARGEST + 1)
    subprocess.run(["git", "init", "-q", checkout.root / "nested"], check=True)  # git cannot add it
    arguments = ["--case", "mine/", "--c", CANONICAL_TRACE, "--pixel", "685", "1039", "--no-stage"]
    arguments.append("--include-untracked")
    return checkout, checkout.tool("phase-m1", *arguments)


@pytest.mark.slow
def test_a_dirty_tree_is_in_the_bundle_as_a_patch(dirty, tmp_path):
    checkout, done = dirty
    assert done.last.startswith("BLOCKED comparison"), done
    (bundle,) = checkout.bundles()
    text = (bundle / "dirty.patch").read_bytes()
    assert text.isascii()
    known = json.loads((bundle / "provenance.json").read_text())
    assert (known["patch"], known["patch_left_out"]) == ("dirty.patch", ["large.bin", "nested/"])
    assert {"mine/case.json", "mine/A.mat", "mine/one.hkl", CANONICAL_TRACE} <= known["inputs"].keys()
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", checkout.root, clone], check=True)
    patch.apply(bundle / "dirty.patch", clone)
    assert (clone / "mine/blob.bin").read_bytes() == BLOB
    assert (clone / "README.md").read_text() == (checkout.root / "README.md").read_text()
    assert not (clone / "reports/loose.txt").exists()
    assert not (clone / "docs/fix_plan.md").read_text().count("### Attempt")


@pytest.mark.slow
def test_a_replay_with_another_thread_count_is_equal_bit_for_bit(dirty):
    checkout, _ = dirty
    (bundle,) = checkout.bundles()
    before = checkout.git("status", "--porcelain")
    done = checkout.python("-c", REPLAY, str(bundle), "--trust", OMP_NUM_THREADS="2")
    result = json.loads(done.out)
    assert (result["ok"], result["bitwise"], result["patched"], result["first"]) == (True, True, True, None)
    assert {"trace_py_scaling.log", "trace_py_scaling_legacy.log", "metrics.json"} <= set(result["compared"])
    named = {change["name"]: (change["then"], change["now"]) for change in result["environment"]}
    assert named["variables.OMP_NUM_THREADS"] == ("1", "2")
    assert not any("path" in name or "cwd" in name for name in named)
    assert "BLOCKED comparison" in done.err
    assert checkout.git("status", "--porcelain") == before
    assert checkout.git("worktree", "list").count("\n") == 1


@pytest.mark.slow
def test_a_worktree_that_cannot_be_made_is_one_line_and_leaves_nothing(dirty, tmp_path):
    checkout, _ = dirty
    (bundle,) = checkout.bundles()
    (checkout.root / ".git/worktrees").write_text("in the way")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = checkout.python("-c", REPLAY, str(bundle), "--trust", TMPDIR=str(temporary))
    (checkout.root / ".git/worktrees").unlink()
    assert done.out.startswith("BadInput: ") and "expected to make a worktree of" in done.out, done
    assert list(temporary.iterdir()) == []


@pytest.fixture
def pair(dirty, tmp_path):
    """The bundle and a copy of it, which stands for what the replay made."""
    (bundle,) = dirty[0].bundles()
    made = [shutil.copytree(bundle, tmp_path / side / bundle.name) for side in ("then", "now")]
    return tuple(map(Bundle, made))


def compared(pair):
    return replaying._compared(*pair, pair[0].provenance(), patched=True)


def change_value(bundle, log, name, factor):
    """Multiply the first number that `name` has in a trace."""
    path = bundle.path(log)
    lines = path.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith(f"TRACE_PY: {name} "))
    value = float(lines[at].split()[2])
    lines[at] = f"TRACE_PY: {name} {value * factor!r}\n"
    path.write_text("".join(lines))


def change_environment(bundle, **entries):
    value = json.loads(bundle.path("env.json").read_text()) | entries
    bundle.path("env.json").write_text(json.dumps(value))


@pytest.mark.slow
def test_the_first_number_that_moved_is_named(pair):
    assert compared(pair).ok
    change_value(pair[1], "trace_py_scaling_legacy.log", "I_pixel_final", 1 + 1e-9)
    change_value(pair[1], "trace_py_scaling_spec.log", "polar", 1 + 1e-15)
    change_value(pair[1], "trace_py_scaling_spec.log", "I_pixel_final", 1 + 1e-9)
    first = compared(pair).first
    assert (first.step, first.file, first.quantity) == ("harness_traces", "trace_py_scaling_spec.log", "polar")
    assert abs(first.rel) < 3e-15
    lines = list(replay_lines(compared(pair)))
    assert (
        "not equal bit for bit; first difference in step harness_traces, trace_py_scaling_spec.log, polar" in lines[-1]
    )


@pytest.mark.slow
def test_on_another_machine_the_noise_floor_decides(pair):
    change_environment(pair[1], torch="9.9.9", torch_cpu_capability="NO")
    change_value(pair[1], "trace_py_scaling.log", "polar", 1 + 1e-15)
    result = compared(pair)
    assert (result.ok, result.bitwise) == (True, False)
    assert {"torch", "torch_cpu_capability"} <= {change.name for change in result.environment}
    change_value(pair[1], "trace_py_scaling.log", "polar", 1 + 1e-9)
    first = compared(pair).first
    assert (first.quantity, first.floor) == ("polar", 1e-12)
    assert first.rel == pytest.approx(1e-9, rel=1e-5)
    assert "env: torch: was " in "\n".join(replay_lines(compared(pair)))


@pytest.mark.slow
def test_a_step_that_ends_otherwise_is_named_before_what_follows(pair):
    path = pair[1].path("commands.txt")
    text = path.read_text()
    steps = [step for step, _ in outcomes(pair[0])]
    at = steps.index("env_snapshot")
    heads = [line for line in text.splitlines() if line.startswith("[")]
    path.write_text(text.replace(heads[at], heads[at].replace("exit 0", "exit 3")))
    metrics = json.loads(pair[1].path("metrics.json").read_text()) | {"num_divergent": 99}
    pair[1].path("metrics.json").write_text(json.dumps(metrics))
    first = compared(pair).first
    assert (first.step, first.then, first.now) == ("env_snapshot", "env_snapshot exit 0", "env_snapshot exit 3")
    path.write_text(text)
    first = compared(pair).first
    assert (first.step, first.file, first.quantity, first.now) == ("comparison", "metrics.json", "num_divergent", "99")


@pytest.mark.slow
@pytest.mark.parametrize("side", [0, 1])
def test_metrics_without_content_are_no_equal_metrics(pair, side):
    pair[side].path("metrics.json").write_text("{}")
    assert compared(pair).first.file == "metrics.json"
    pair[side].path("metrics.json").write_text("[]")
    with pytest.raises(BadInput, match=r"metrics\.json: expected what the run wrote, got: list in place of an object"):
        compared(pair)
    pair[side].path("metrics.json").unlink()
    first = compared(pair).first
    assert (first.step, first.file, first.quantity) == ("comparison", "metrics.json", None)
    assert (first.then, first.now) == (("missing", "there"), ("there", "missing"))[side]


@pytest.mark.slow
def test_an_input_from_outside_that_changed_is_named(pair, tmp_path):
    (tmp_path / "list.hkl").write_text("x")
    known = pair[0].provenance() | {"inputs": {str(tmp_path / "list.hkl"): "0" * 64}}
    result = replaying._compared(*pair, known, patched=False)
    assert [change.name for change in result.environment] == [f"input {tmp_path}/list.hkl"]
    assert replaying._compared(*pair, known | {"inputs": ["x"]}, patched=False).environment == ()


def sealed(tmp_path, **known):
    bundle = create(tmp_path / "runs")
    bundle.write_provenance({"git_sha": head(), "settings": {}} | known)
    bundle.seal()
    return bundle


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"git_sha": None}, r"provenance\.json: expected the commit to replay, got None"),
        ({"git_sha": "0" * 40}, "expected a commit of this repository, got one that it does not have"),
        ({"format": 2}, r"provenance\.json: written by a newer version \(expected format 1 or less, got 2\)"),
        ({"settings": None}, "expected the run's settings, got None"),
    ],
)
def test_a_bundle_that_cannot_be_replayed_is_one_line(tmp_path, known, message):
    assert replayable(sealed(tmp_path).folder, trust=True)
    with pytest.raises(BadInput, match=message) as error:
        replayable(sealed(tmp_path, **known).folder, trust=True)
    assert "\n" not in str(error.value)


def test_a_bundle_that_is_cut_short_is_one_line(tmp_path):
    bundle = sealed(tmp_path)
    bundle.path("provenance.json").write_text("{")
    with pytest.raises(BadInput, match=r"provenance\.json: expected a bundle that verify holds good, got: truncated"):
        replayable(bundle.folder)
    with pytest.raises(BadInput, match="none: expected a bundle's folder, got none"):
        replayable(tmp_path / "none")
    with pytest.raises(BadInput, match="the bundle was never sealed"):
        replayable(create(tmp_path / "runs").folder)


def test_a_patch_that_does_not_fit_is_one_line(tmp_path):
    bad = tmp_path / "bad.patch"
    bad.write_text("--- a/nowhere\n+++ b/nowhere\n@@ -1 +1 @@\n-a\n+b\n")
    subprocess.run(["git", "init", "-q", tmp_path / "tree"], check=True)
    with pytest.raises(BadInput, match=r"bad\.patch: expected a patch of the bundle's commit") as error:
        patch.apply(bad, tmp_path / "tree")
    assert "\n" not in str(error.value)


def test_versions_and_capability_decide_whether_bits_must_agree():
    then = dict.fromkeys(SAME_NUMBERS, "x") | {"torch_threads": 1, "packages": {"nox": "1"}, "command": "a"}
    assert same_numbers(then, then | {"torch_threads": 2})
    assert not same_numbers(then, then | {"numpy": "y"})
    found = changes(then, then | {"torch_threads": 2, "packages": {"nox": "2"}, "command": "b"})
    assert [str(change) for change in found] == ["torch_threads: was 1, is 2", "packages.nox: was 1, is 2"]


def test_the_order_in_which_libraries_were_loaded_is_no_difference(monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pools = [
        {"user_api": kind, "filepath": f"/lib/{kind}.so", "internal_api": kind, "num_threads": 1}
        for kind in ("openmp", "blas")
    ]
    found = []
    for order in (pools, pools[::-1]):
        monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda order=order: order)
        found.append(environment_record())
    assert changes(*found) == []


def test_two_openmp_runtimes_are_flagged(monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pool = {"user_api": "openmp", "internal_api": "openmp", "version": None, "num_threads": 1}
    for paths, flag in ((["/x/libgomp.so"], False), (["/x/libgomp.so", "/y/libiomp5.so"], True)):
        pools = [pool | {"filepath": path} for path in paths]
        monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda pools=pools: pools)
        record = environment_record()
        assert (record["openmp_runtimes"], record["openmp_duplicated"]) == (paths, flag)
    assert record["cwd"] == "." or record["cwd"].startswith("/")
    assert record["command"].startswith("python ")


def test_the_recorded_command_is_the_program_with_its_options_without_what_ran_it(tmp_path):
    ours = ["-X", "utf8", "-m", "tools.scaling", "env", "--out", str(tmp_path / "env.json")]
    subprocess.run(["nice", "-n", "1", sys.executable, *ours], cwd=ROOT, check=True)
    assert json.loads((tmp_path / "env.json").read_text())["command"] == shlex.join(["python", *ours])


def test_a_line_of_metrics_without_white_space_takes_no_quadratic_time(tmp_path):
    """Where the bundle lay is dropped from a path, whatever letters the path has. The text takes minutes if squared."""
    bundle = create(tmp_path / "runs")
    bundle.path("metrics.json").write_text(json.dumps({"a": f"/s/r/{bundle.stamp}/x.log", "b": "x" * 1_000_000}))
    assert replaying._metrics(bundle, "metrics.json") == {"a": "x.log", "b": "x" * 1_000_000}
