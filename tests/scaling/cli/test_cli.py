"""The command line: what it prints, its exit codes, and one clear line for each wrong input."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests.scaling.cli.calls import GOLDEN, one_line, run
from tools.scaling import cli
from tools.scaling.base import repo
from tools.scaling.base.errors import BadInput, GateFailed
from tools.scaling.base.repo import CANONICAL_TRACE, ROOT, from_root
from tools.scaling.cases.case import find_case
from tools.scaling.cli.options import app
from tools.scaling.cli.steps import _changes
from tools.scaling.procedure import steps
from tools.scaling.procedure.mapped import mapped_tests
from tools.scaling.procedure.steps import STEPS
from tools.scaling.procedure.table import TABLE

BUFFERED = os.environ | {"PYTHONUNBUFFERED": ""}  # a Python as users have it


@pytest.fixture
def case(case_folder):
    """A user's case whose files a test may change."""
    return case_folder


def harness(capsys, folder, out, *more):
    return run(capsys, "harness", "--case", folder, "--out", out, *more)


def trace_with(tmp_path, content):
    path = tmp_path / "bad.log"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: t / "none.log", r"none\.log: .*(no such|No such|expected)"),
        (lambda t: t, "expected"),
        (lambda t: trace_with(t, b""), r"bad\.log: .*empty|expected"),
        (lambda t: trace_with(t, b"hello\nworld\n"), r"bad\.log: expected lines that begin with TRACE_C or TRACE_PY"),
    ],
)
def test_a_trace_that_is_none_is_one_line_and_leaves_nothing(capsys, tmp_path, make, message):
    out = tmp_path / "out" / "summary.md"
    out.parent.mkdir()
    code, said, error = run(capsys, "compare", "--c", GOLDEN, "--py", make(tmp_path), "--out", out)
    assert (code, said) == (2, "")
    assert re.search(message, one_line(error))
    assert list(out.parent.iterdir()) == []


HKL = "  -7   -1  -14  190.27\n"


@pytest.mark.parametrize(
    ("files", "flags", "message"),
    [
        ({"A__mat": "1 2 3\n4 5 6\n7 8\n"}, (), r"A\.mat.*expected (nine|9) numbers, got 8"),
        ({"one__hkl": "h k l F\n" + HKL}, (), r"one\.hkl:1: expected .* got"),
        ({"one__hkl": HKL + "-7 -1 -13 abc\n"}, (), r"one\.hkl:2: expected .* got"),
        ({"one__hkl": "-7 -1 -14 190.27 3.5\n"}, (), r"one\.hkl:1: expected .* got"),
        ({}, ("--pixel", "2527", "0"), r"2527.*0"),
        ({}, ("--hkl", "/nowhere.hkl"), r"/nowhere\.hkl"),
        ({"case__json": "{"}, (), r"case\.json: expected readable JSON"),
    ],
)
def test_wrong_input_of_the_harness_is_one_line_and_leaves_nothing(capsys, tmp_path, case, files, flags, message):
    out = tmp_path / "out.log"
    code, said, error = harness(capsys, case(**files), out, *flags)
    assert (code, said) == (2, "")
    assert re.search(message, one_line(error)), error
    assert not out.exists()


def test_a_device_that_is_not_there_is_exit_3(capsys, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    for arguments in (["harness", "--out", tmp_path / "x.log"], ["pytest"], ["step", "parity_tests"]):
        code, _, error = run(capsys, *arguments, "--device", "cuda")
        assert code == 3
        assert "--device cuda: not usable for float64 on this machine" in error
    assert not (tmp_path / "x.log").exists()


def test_the_mapped_tests_run_on_the_device_that_was_asked_for():
    """One process, as the worker is, collects the modules of the mapped tests several times."""
    devices = ["cpu", "cpu:0"]
    code = "import sys; from tools.scaling import cli; cli.main(['collect'])\n"
    code += "".join(f"assert cli.main(['pytest', '--device', {device!r}]) == 0\n" for device in devices)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    ends = re.findall(r"^(\d+) passed in ", done.stdout, re.M)
    assert len(ends) == len(devices) and len(set(ends)) == 1 and int(ends[0]) > 20


def test_mapped_tests_of_which_none_ran_are_no_pass(tmp_path, capfd):
    (tmp_path / "test_none.py").write_text("import pytest\n\ndef test_it():\n    pytest.skip('no reason')\n")
    with pytest.raises(GateFailed, match=r"test_none\.py: expected tests that run on cpu, got none that passed$"):
        mapped_tests("cpu", files=[str(tmp_path / "test_none.py")])


def test_a_protected_output_is_refused_before_any_work(capsys):
    before = (ROOT / CANONICAL_TRACE).read_bytes()
    code, _, error = run(capsys, "harness", "--out", ROOT / CANONICAL_TRACE)
    assert (code, (ROOT / CANONICAL_TRACE).read_bytes()) == (2, before)
    assert "c_trace_scaling.log is protected" in one_line(error)


def test_a_step_without_a_bundle_says_how_to_make_one(capsys, tmp_path):
    for step in STEPS:
        if step.row.needs_bundle and step.name not in ("provenance", "stage"):
            code, _, error = run(capsys, "step", step.name, "--reports-root", tmp_path)
            assert (code, "no open bundle; make one first: nox -s provenance" in one_line(error)) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_step_lists_the_steps(capsys):
    code, _, error = run(capsys, "step", "nope")
    assert code == 2
    assert all(step.name in one_line(error) for step in STEPS)


def test_a_run_dir_that_exists_is_refused(capsys, tmp_path):
    code, _, error = run(capsys, "provenance", "--run-dir", tmp_path)
    assert code == 2
    assert one_line(error).endswith("exists; a bundle is never reused or overwritten\n")


def test_a_provenance_that_fails_at_once_leaves_no_empty_bundle(capsys, tmp_path, monkeypatch):
    def unreadable():
        raise PermissionError(13, "Permission denied", "docs/index.md")

    monkeypatch.setattr(steps, "protected_state", unreadable)
    code, said, error = run(capsys, "provenance", "--reports-root", tmp_path)
    assert (code, one_line(error)) == (2, "error: docs/index.md: Permission denied\n")
    assert said.startswith(f"RUN_DIR {tmp_path}/2")
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_without_its_files_is_one_line_in_words(capsys, tmp_path):
    (tmp_path / "b").mkdir()
    code, _, error = run(capsys, "step", "ledger", "--run-dir", tmp_path / "b")
    assert (code, one_line(error).count("b/provenance.json"), "[Errno" in error) == (2, 1, False)
    assert error.endswith("expected what provenance wrote, got: No such file or directory\n")


def test_a_repository_without_a_commit_says_so(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(repo, "ROOT", tmp_path)
    monkeypatch.setattr(repo.git_bytes, "__kwdefaults__", repo.git_bytes.__kwdefaults__ | {"cwd": tmp_path})
    monkeypatch.setattr(repo.git, "__kwdefaults__", repo.git.__kwdefaults__ | {"cwd": tmp_path})
    with pytest.raises(BadInput, match="expected a git repository with a commit, got one without$"):
        repo.head()


def test_wrong_usage_is_exit_2(capsys, tmp_path):
    code, _, error = run(capsys, "compare", "--c", GOLDEN)
    assert (code, "--out" in error) == (2, True)
    code, _, error = run(capsys, "compare", "--c", GOLDEN, "--out", tmp_path / "summary.md")
    assert (code, error) == (2, "error: compare: expected --py, or --reference and --candidate, got neither\n")


def test_a_missing_reference_is_exit_3(capsys, tmp_path, case):
    code, said, _ = run(
        capsys, "phase-m1", "--case", case(), "--c", tmp_path / "none.log", "--reports-root", tmp_path / "r"
    )
    assert code == 3
    assert re.fullmatch(r"BLOCKED provenance: .*none\.log: no such reference trace \(exit 3\)", said.strip())
    assert not (tmp_path / "r").exists()


def test_the_page_goes_out_when_a_run_halts_before_it_has_a_bundle(capsys, tmp_path, case):
    said = tmp_path / "paged"
    page = f"{sys.executable} -c 'import sys; open(sys.argv[1], chr(119)).write(repr(sys.argv[2:]))' {said}"
    none = ["--c", tmp_path / "none.log", "--reports-root", tmp_path / "r"]
    assert run(capsys, "phase-m1", "--case", case(), *none, "--on-blocked", page)[0] == 3
    assert said.read_text() == "[]"


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 KiB; needs the right to mount."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_one_line_and_nothing_half_written(capsys, tiny_disk):
    (tiny_disk / "fill").write_bytes(bytes(60 * 1024))
    out = tiny_disk / "py.log"
    code, said, error = run(capsys, "harness", "--out", out)
    assert (code, said) == (2, "")
    assert one_line(error).endswith("py.log: cannot be written: No space left on device\n")
    assert [p.name for p in tiny_disk.iterdir()] == ["fill"]


@pytest.mark.slow
def test_a_disk_that_fills_during_a_run_blocks_it(checkout, tiny_disk):
    done = checkout.tool("phase-m1", "--no-stage", "--reports-root", str(tiny_disk))
    assert done.code == 2
    assert re.match(r"BLOCKED \w+: .*No space left on device \(exit 2\)", done.last)
    assert "Traceback" not in done.out + done.err
    half = [p for p in tiny_disk.rglob("*") if p.name.startswith(".") and p.is_file()]
    assert half == []


def test_a_read_only_reports_folder_is_one_line(capsys, tiny_disk):
    if subprocess.run(["mount", "-o", "remount,ro", tiny_disk], capture_output=True).returncode:
        pytest.skip("cannot remount read-only")
    code, said, _ = run(capsys, "phase-m1", "--reports-root", tiny_disk / "reports")
    assert code == 2
    assert re.fullmatch(
        r"BLOCKED provenance: .*tiny/reports: cannot be made: Read-only file system \(exit 2\)", said.strip()
    )


def test_the_menu_needs_neither_torch_nor_rich():
    code = "import sys; from tools.scaling.cli import main; main(['--help']); print(HEAVY & set(sys.modules))"
    code = code.replace("HEAVY", "{'torch', 'rich', 'numpy'}")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip().endswith("set()")


def test_the_documentation_names_every_step_and_subcommand():
    page = (ROOT / "docs/architecture/steps.md").read_text()
    listed = re.findall(r"^\| (\S.*?) \| (\w+) \| (.*?) \|$", page, re.MULTILINE)
    assert listed[1:] == [(row.numbers, row.name, row.what) for row in TABLE]
    readme = (ROOT / "README.md").read_text()
    for command in re.findall(r"python -m tools\.scaling ([a-z][a-z0-9-]*)", readme + page):
        assert cli.main([command, "--help"]) == 0


def test_ci_runs_what_the_readme_says():
    assert "\nnox -s tests\n" in Path(ROOT / ".ci/run").read_text()
    assert "\n    nox -s tests\n" in (ROOT / "README.md").read_text()


def test_a_path_without_a_case_is_named_alone(capsys, tmp_path):
    code, _, error = harness(capsys, tmp_path, tmp_path / "py.log")
    assert (code, error) == (2, f"error: {tmp_path}: expected a folder with case.json, got none\n")


def test_paths_typed_in_a_subfolder_are_found_from_the_root(monkeypatch):
    monkeypatch.chdir(ROOT / "tests" / "golden")
    assert find_case(from_root("./supervisor_one_reflection")).reference((685, 1039)) == GOLDEN
    assert from_root(GOLDEN) == str(GOLDEN)
    monkeypatch.chdir(ROOT)
    assert from_root("tests/golden/supervisor_one_reflection") == "tests/golden/supervisor_one_reflection"
    changes = _changes("supervisor", GOLDEN, *[None] * 8)
    assert (changes["case"], changes["c"]) == ("supervisor", str(GOLDEN))


def test_work_goes_on_when_nobody_reads_its_lines():
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-m", "tools.scaling", "inspect", str(GOLDEN)]
    done = subprocess.run(argv, cwd=ROOT, env=BUFFERED, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_before_the_work_is_one_line_or_none(capsys, monkeypatch):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    assert run(capsys, "history") == (5, "", "error: interrupted by SIGINT\n")
    code = "import os, runpy, signal, sys; sys.meta_path.insert(0, type('I', (), {'find_spec': lambda *a: "
    code += "a[1] == 'tools.scaling.cli' and os.kill(os.getpid(), signal.SIGINT) or None})()); "
    code += "runpy.run_module('tools.scaling', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_page_that_is_no_command_line_is_refused_before_the_run(capsys, tmp_path):
    root = tmp_path / "bundles"
    code, _, error = run(capsys, "phase-m1", "--on-blocked", "page 'me", "--reports-root", root)
    assert (code, root.exists()) == (2, False)
    assert error == "error: --on-blocked: expected a command line, got: No closing quotation\n"


def test_the_page_goes_out_when_the_terminal_is_a_full_disk(case, tmp_path):
    said, root = tmp_path / "paged", tmp_path / "bundles"
    page = f"{sys.executable} -c 'import sys; open(sys.argv[1], chr(119)).write(sys.argv[2])' {said}"
    argv = [sys.executable, "-m", "tools.scaling", "phase-m1", "--case", str(case(A__mat="1 2 3")), "--no-stage"]
    argv += ["--c", str(GOLDEN), "--reports-root", str(root), "--on-blocked", page]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(argv, cwd=ROOT, env=BUFFERED, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: file system: No space left on device\n")
    (bundle,) = root.iterdir()
    assert said.read_text() == str(bundle)
    assert (bundle / "sha256.txt").is_file()


def test_a_python_without_the_environment_is_told_where_it_is():
    """-S: without what is installed."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "tools.scaling", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    packages = "numpy, torch, psutil, typer, rich, jinja2"
    said = f"error: {sys.executable} has no {packages}; the environment that nox makes has it: "
    said += "source .nox/shared/bin/activate"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", said + "\n")


def _options():
    """Every option that takes a value, of every subcommand."""
    group = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.is_flag and parameter.nargs == 1:
                yield from ((name, option) for option in parameter.opts if option.startswith("--"))


def test_an_empty_text_is_no_value_of_any_option(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    pairs = list(_options())
    assert len(pairs) > 60 and ("harness", "--case") in pairs and ("phase-m1", "--reports-root") in pairs
    for name, option in pairs:
        for given in ([option, ""], [f"{option}="]):
            code, said, error = run(capsys, name, *given)
            assert (code, said, error) == (2, "", f"error: {option}: expected a value, got an empty text\n"), name
    assert run(capsys, "quirks", "")[2] == "error: quirks: expected a value, got an empty text\n"
    assert list(tmp_path.iterdir()) == []


def test_what_lies_beside_an_output_and_is_not_ours_stays(capsys, tmp_path):
    py = tmp_path / "py.log"
    py.write_bytes(GOLDEN.read_bytes())
    shutil.copy(ROOT / "tests/golden/cubic_mosflm/float.bin", tmp_path / "c.bin")
    image = ("images", "--c", tmp_path / "c.bin", "--py", tmp_path / "c.bin", "--shape", "64", "64")
    traces = ("--c", GOLDEN, "--py", py)
    for names, arguments in (
        (("metrics.json", "run_metadata.json"), ("compare", *traces, "--out", tmp_path / "out.md")),
        (("out.json",), ("explain", *traces, "--case", "supervisor", "--out", tmp_path / "out.md")),
        (("new_per_phi.json", "new_per_phi.log"), ("harness", "--out", tmp_path / "new.log", "--dump-per-phi")),
        (("images.md", "images.json"), (*image, "--out", tmp_path)),
        (("image.json", "image.bin"), ("simulate", "--case", "cubic_mosflm", "--out", tmp_path)),
        (("matrix.json",), ("matrix", "cubic_mosflm", "--out", tmp_path)),
    ):
        for name in names:
            mine = tmp_path / name
            mine.write_text('{"loss": 0.5}\n')
            before = {path: path.read_bytes() for path in tmp_path.iterdir()}
            code, _, error = run(capsys, *arguments)
            assert (code, one_line(error)) == (
                2, f"error: {mine}: not written by this tool, and would be overwritten; expected another --out\n"
            ), name  # fmt: skip
            assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
            mine.unlink()
        for _ in range(2):  # what is ours is written again
            assert run(capsys, *arguments)[0] == 0, names
        for path in tmp_path.iterdir():
            if path.name not in ("py.log", "c.bin"):
                path.unlink()


def test_a_page_is_written_into_the_folder_of_a_run_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine\n")
    code, out, err = run(capsys, "page", tmp_path)
    assert (code, out) == (2, "")
    assert one_line(err).endswith("expected the folder of a run, got one without commands.txt\n")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
