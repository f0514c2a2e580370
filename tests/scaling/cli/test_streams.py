"""Standard streams that are closed or full, and interrupts: the exit code of `python -m` is true all the same."""

import os
import subprocess
import sys

import pytest

from tools.scaling.base.repo import ROOT

TRACE = "tests/golden/supervisor_one_reflection/trace_685_1039.log"
SIMULATE = "-cell 50 60 70 80 95 105 -default_F 100 -N 5 -nonoise -nopgm -lambda 1.1 -distance 100 -detpixels 32"
SIMULATE += " -pixel 2 -oversample 1"
CLOSED = ["2>&-", ">&-", "<&- >&- 2>&-", ">&- 2>/dev/full"]


def shell(program, arguments, streams, folder, **more):
    """A program whose streams a shell has closed, run in `folder`."""
    line = f'exec "{sys.executable}" -m {program} {arguments} {streams}'
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "src")))
    env = os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": ""}
    return subprocess.run(["sh", "-c", line], cwd=folder, env=env, capture_output=True, text=True, **more)


@pytest.mark.parametrize(
    ("program", "arguments", "code"),
    [
        ("tools.scaling", f"inspect {TRACE}", 0),
        ("tools.scaling", "inspect absent.log", 2),
        ("tools.scaling", "no-such-thing", 2),
        ("tools.scaling", "--help", 0),
        ("tools.scaling", f"compare --c {TRACE} --py {TRACE} --out OUT/summary.md", 0),
        ("nanobragg_torch", f"{SIMULATE} -floatfile OUT/image.bin -intfile OUT/image.img", 0),
        ("nanobragg_torch", "-bogus", 2),
    ],
)
def test_a_closed_stream_changes_no_exit_code_and_gets_into_no_file(program, arguments, code, tmp_path):
    def ending(streams):
        out = tmp_path / str(len([*tmp_path.iterdir()]))
        out.mkdir()
        done = shell(program, arguments.replace("OUT", str(out)), streams, ROOT)
        files = {p.name: p.stat().st_size for p in out.iterdir() if p.name not in ("run_metadata.json", "summary.md")}
        return done.returncode, files, done.stdout.replace(str(out), "OUT"), "Traceback" in done.stderr

    code_found, files, said, _ = ending("")
    assert code_found == code
    for streams in CLOSED if not files else CLOSED[-2:]:  # a file is what takes the place of a closed stream
        assert ending(streams) == (code, files, "" if ">&-" in streams.split() else said, False), streams


@pytest.mark.parametrize(
    ("module", "work", "code", "line"),
    [
        ("nanobragg_torch.cli.main", "_run", 130, "nanobragg_torch: interrupted\n"),
        ("tools.scaling.cli", "app", 5, "error: interrupted by SIGINT\n"),
    ],
)
def test_an_interrupt_inside_a_librarys_exec_has_the_same_exit_code(module, work, code, line, tmp_path):
    """Python remembers that an exec was interrupted, and would end a `python -m` by the signal itself."""
    text = f"""
import os, signal
import {module} as cli
def interrupted(*_, **__):
    exec("os.kill(os.getpid(), signal.SIGINT)\\nwhile True: pass", globals())
cli.{work} = interrupted
raise SystemExit(cli.main(["matrix"]))
"""
    (tmp_path / "interrupted.py").write_text(text)
    env = os.environ | {"PYTHONPATH": os.pathsep.join((".", str(ROOT / "src"), str(ROOT)))}
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (code, line)
