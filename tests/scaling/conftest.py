"""A clone of this working tree that tests may spoil, and a way to run the tool in it."""

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.scaling.evidence.ledger import ATTEMPTS, FIX_PLAN
from tools.scaling.repo import ROOT

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
