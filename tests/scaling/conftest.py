"""A clone of this tree that tests may spoil, a way to run the tool in it, and golden traces with lines exchanged."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.scaling.base.repo import ROOT
from tools.scaling.bundle.ledger import ATTEMPTS, FIX_PLAN
from tools.scaling.traces.read import Trace, parse_trace

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]


@dataclass(frozen=True)
class Done:
    """How a command ended. `last` is the last line on the terminal."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        return (self.out + self.err).strip().splitlines()[-1]


@dataclass(frozen=True)
class Checkout:
    """A repository of its own with this tree's files, all committed."""

    root: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run([*GIT, *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def python(self, *arguments: str, **environment: str) -> Done:
        """Run Python in the checkout, with its own tools and port."""
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NOX_CURRENT_SESSION")}
        env |= {"PYTHONPATH": str(self.root / "src"), "OMP_NUM_THREADS": "1"} | environment
        done = subprocess.run([sys.executable, *arguments], cwd=self.root, capture_output=True, text=True, env=env)
        return Done(done.returncode, done.stdout, done.stderr)

    def tool(self, *arguments: str, **environment: str) -> Done:
        return self.python("-m", "tools.scaling", *arguments, **environment)

    def copy_to(self, target: Path) -> "Checkout":
        shutil.copytree(self.root, target, symlinks=True)
        return Checkout(target)

    def bundles(self) -> list[Path]:
        found = (self.root / "reports").glob("2025-10-cli-flags/phase_l/scaling_validation/2*")
        return sorted(found)


def _copy(target: Path) -> Checkout:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and "scaling_validation/" not in name:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for kept in (path for top in ("src", "tools") for path in (ROOT / top).glob("**/__pycache__/*.*[cbi]")):
        (target / kept.relative_to(ROOT)).parent.mkdir(exist_ok=True)  # what Python and numba have compiled here
        shutil.copy2(kept, target / kept.relative_to(ROOT))
    fix_plan = target / FIX_PLAN  # without the attempts of whoever runs the tests
    fix_plan.write_text(fix_plan.read_text().split(ATTEMPTS)[0] + ATTEMPTS + "\n")
    checkout = Checkout(target)
    checkout.git("init", "-q", "-b", "main")
    checkout.git("add", "-A")
    checkout.git("commit", "-q", "-m", "as it is")
    return checkout


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """One clone for the whole session; do not spoil it."""
    return _copy(tmp_path_factory.mktemp("pristine") / "repo")


@pytest.fixture
def checkout(pristine: Checkout, tmp_path: Path) -> Checkout:
    """A clone of its own for one test."""
    return pristine.copy_to(tmp_path / "repo")


@pytest.fixture
def case_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a user's case folder: the canonical case with some of its files or flags changed."""

    def make(**texts: str) -> Path:
        folder = tmp_path / "mine"
        shutil.copytree(ROOT / "tools" / "scaling" / "cases" / "supervisor", folder)
        for name, text in texts.items():
            (folder / name.replace("__", ".")).write_text(text)
        return folder

    return make


@pytest.fixture(scope="session")
def sessions() -> Callable[..., list[list[str]]]:
    """What a session of the noxfile runs, with arguments of its own; nothing is started."""
    menu = runpy.run_path(str(ROOT / "noxfile.py"))

    def commands(name: str, *posargs: str) -> list[list[str]]:
        ran: list[list[str]] = []
        fake = SimpleNamespace(venv_backend="none", posargs=posargs, run=lambda *argv, **_: ran.append([*argv]))
        menu[name].func(fake)
        return ran

    return commands


GOLDEN = ROOT / "tests" / "golden"
SUPERVISOR = GOLDEN / "supervisor_one_reflection" / "trace_685_1039.log"


@pytest.fixture(scope="session")
def golden_logs() -> list[Path]:
    return sorted(GOLDEN.glob("*/trace_*.log"))


@pytest.fixture(scope="session")
def supervisor_bytes() -> bytes:
    return SUPERVISOR.read_bytes()


@pytest.fixture(scope="session")
def supervisor(supervisor_bytes: bytes) -> Trace:
    return parse_trace(supervisor_bytes, "c.log")


@pytest.fixture
def port(supervisor_bytes: bytes) -> Callable[..., Trace]:
    """The supervisor trace as the port would print it, with the values of the given names exchanged.

    `port(polar="0.9")`; a value of None drops the line. Names of PHI rows: `k_frac_0="..."`.
    """

    def make(**values: str | None) -> Trace:
        text = supervisor_bytes.decode("ascii")
        for name, value in values.items():
            phi = re.fullmatch(r"(k_frac|F_latt_b|F_latt)_(\d+)", name)
            if phi:
                pattern = rf"(?m)^(TRACE_C_PHI phi_tic={phi[2]} .*\b{phi[1]}=)(\S+)(.*)$"
            else:
                pattern = rf"(?m)^(TRACE_C(?::|: )(?:{name})(?:=| ))()(.*)$"
            assert len(re.findall(pattern, text)) >= 1, name
            swap = "" if value is None else rf"\g<1>{value}" + (r"\g<3>" if phi else "")
            text = re.sub(pattern, swap, text)
        return parse_trace(text.replace("TRACE_C:", "TRACE_PY:").replace("TRACE_C_", "TRACE_PY_").encode(), "py.log")

    return make


@pytest.fixture
def legacy(port: Callable[..., Trace]) -> Trace:
    """As the old port's trace: the four vectors as given, with the known figure (docs/architecture/attribution.md)."""
    return port(
        initial_fdet="0.999982 -0.005998 -0.000118",
        initial_sdet="-0.005998 -0.99997 -0.004913",
        initial_odet="-8.8e-05 0.004914 -0.999988",
        I_before_scaling="941686.2359774",
        I_pixel_final="2.8753845021596e-07",
    )


@pytest.fixture
def spec(port: Callable[..., Trace]) -> Trace:
    """As with phi = 0 rotated afresh: k of phi_tic 0 no longer repeats that of phi_tic 9."""
    return port(
        rot_b_angstroms="-11.4986968432508 0.717626863764598 -29.1131913602417",
        k_frac_0="-0.589167434",
        F_latt_b_0="-0.861431276",
        F_latt_0="1.43",
        I_before_scaling="807189.7686762",
        I_pixel_final="2.46470432e-07",
    )
