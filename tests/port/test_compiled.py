"""Functions that numba compiles: where it can, where it cannot, and what is said about it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent / "package"))
from nanobragg_torch import compiled
import nanobragg_torch.kernel as kernel
compiled.listen(print)
found = compiled.compiled(kernel.total, kernel.square)
print((found or kernel.total)(10.0), "compiled" if found else "as it is")
compiled.compiled(kernel.total, kernel.square)
"""
KERNEL = """
def square(x):
    return x * x


def total(x):
    return square(x) / 3.0
"""


def package(folder: Path) -> None:
    """Make a package in `folder` with a function to compile, and a script that does so."""
    inside = folder / "package" / "nanobragg_torch"
    inside.mkdir(parents=True, exist_ok=True)
    (inside / "__init__.py").touch()
    source = Path(__file__).parents[2] / "src" / "nanobragg_torch" / "compiled.py"
    (inside / "compiled.py").write_text(source.read_text(encoding="ascii"))
    (inside / "kernel.py").write_text(KERNEL)
    (folder / "probe.py").write_text(PROBE)


def probe(folder: Path, **variables: str) -> list[str]:
    """What the script in `folder` prints where `variables` hold."""
    if not (folder / "probe.py").exists():
        package(folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")} | variables
    done = subprocess.run(
        [sys.executable, folder / "probe.py"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


COMPILES = "functions are compiled, once on this machine: this takes some seconds"
THIRD = f"{100 / 3} compiled"


def test_a_function_is_compiled_once_a_machine_and_announced(tmp_path: Path) -> None:
    assert probe(tmp_path) == [COMPILES, THIRD]
    # what was compiled for another kind of CPU is not taken, and stays
    assert probe(tmp_path, NUMBA_CPU_NAME="nocona", NUMBA_CPU_FEATURES="") == [COMPILES, THIRD]
    assert probe(tmp_path) == [THIRD]
    for index in tmp_path.rglob("*.nbi"):  # as a crash can leave it
        index.write_bytes(b"")
    assert probe(tmp_path) == [COMPILES, THIRD]


@pytest.mark.parametrize("why", ["off", "no place", "no numba"])
def test_where_nothing_can_be_compiled_one_line_says_why(tmp_path: Path, why: str) -> None:
    folder, variables = tmp_path / "package" / "nanobragg_torch", {}
    if why == "off":
        variables["NUMBA_DISABLE_JIT"], reason = "1", "numba is switched off by NUMBA_DISABLE_JIT"
    elif why == "no place":  # files where numba would make its folders: the superuser may write in all that are there
        reason = "numba can write no folder for its cache (NUMBA_CACHE_DIR names another one)"
        folder.mkdir(parents=True)
        (folder / "__pycache__").touch()
        (tmp_path / "home").touch()
        variables = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")}
    else:
        reason = "numba cannot be imported (numba is broken)"
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "numba.py").write_text('raise ImportError("numba is broken")')
    assert probe(tmp_path, **variables) == [
        f"nothing is compiled, so this takes longer: {reason}",
        f"{100 / 3} as it is",
    ]


def test_a_cache_that_cannot_be_filled_does_no_harm(tmp_path: Path) -> None:
    package(tmp_path)
    full = tmp_path / "package" / "nanobragg_torch" / "__init__.py"
    full.write_text(
        "import tempfile, numba.core.caching as c\n"
        "def full(*_): raise OSError(28, 'No space left on device')\n"
        "c.IndexDataCacheFile._dump = full\n"
    )
    assert probe(tmp_path) == [COMPILES, THIRD]
