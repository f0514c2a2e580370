"""The automation's menu: `nox -l` lists it. Each session calls a subcommand of tools.scaling.

All sessions share one environment, so that torch is installed once. nox makes an empty
environment per session (no pip, a few kB); the shared one lies beside them. With --no-venv
nothing is installed and everything runs with the Python that runs nox.
"""

import functools
import hashlib
import os
import platform
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

import nox
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["phase_m1"]

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = PROJECT["project"]["requires-python"]
if platform.python_version() not in SpecifierSet(PYTHONS):
    sys.stderr.write(
        f"error: expected a nox that runs in Python {PYTHONS}, got {platform.python_version()} ({sys.executable}): "
        "install nox with another Python, as in python3.11 -m venv ~/nox && ~/nox/bin/pip install nox\n"
    )
    sys.exit(2)
QUIET = [] if sys.stdout.isatty() else ["--quiet"]
# One more than there are cores, as many tests wait for what they have started; each imports torch.
SIDE_BY_SIDE = ["-n", str(min(4, (os.cpu_count() or 1) + 1)), "--dist", "loadfile"]
BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}  # hundreds of processes import the same modules
QUICK = [  # what each dependency is used for
    "tests/scaling/engine/test_diff.py", "tests/port/test_quirks.py", "tests/port/scan/test_gradients.py",
    "tests/scaling/guard/test_child.py", "tests/scaling/bundle/test_verify.py", "tests/scaling/page/test_html.py",
    "tests/scaling/cli/test_menu.py", "tests/scaling/cli/test_cli.py", "tests/scaling/procedure/test_runner.py",
    "tests/scaling/test_site.py", "tests/scaling/campaign/test_engine.py",
]  # fmt: skip
IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
PATIENCE = 30.0  # seconds a run has, once interrupted, to write its blocked evidence
# A session's own environment is never used: leave it empty, which takes no time.
everyday = functools.partial(nox.session, venv_params=["--without-pip"])
on_request = functools.partial(everyday, default=False)


def shared_python(session: nox.Session) -> str:
    """The Python of the shared environment, made or refreshed when what it is made from changes."""
    if session.venv_backend == "none":
        return sys.executable
    folder = Path(session.virtualenv.location).parent / "shared"
    python, stamp = folder / "bin" / "python", folder / "made-from"
    sources = [ROOT / "pyproject.toml", ROOT / "constraints.txt"]
    wanted = hashlib.sha256(sys.version.encode() + b"".join(p.read_bytes() for p in sources)).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        groups = nox.project.dependency_groups(PROJECT, *PROJECT["dependency-groups"])
        # Who watches sees pip at work; a log holds the one line.
        pip = [str(python), "-m", "pip", "install", *QUIET, "-c", "constraints.txt"]
        # nox -R installs nothing into an environment that is there, and skips run_install.
        install = session.run_install if stamp.exists() else session.run
        session.log(f"installing what the tools need into {folder}, torch among it: this takes a minute or more, once")
        install(sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(folder), external=True)
        if install(*pip, "-e", ".", *groups, external=True) is not None:
            stamp.write_text(wanted)
    return str(python)


def scaling(session: nox.Session, *arguments: str) -> None:
    """Run a subcommand of tools.scaling with the session's own arguments behind it."""
    python = shared_python(session)
    session.run(
        python, "-m", "tools.scaling", *arguments, *session.posargs,
        external=True, interrupt_timeout=PATIENCE, terminate_timeout=PATIENCE,
    )  # fmt: skip


@everyday()
def phase_m1(session: nox.Session) -> None:
    """The whole list: one command, one bundle."""
    scaling(session, "phase-m1")


def step_session(row: Any) -> None:
    """Make the session of one step, as the table of the steps describes it."""

    def session(session: nox.Session) -> None:
        scaling(session, "step", row.name)

    session.__doc__ = row.sentence
    on_request(session, name=row.name)


for _row in runpy.run_path(str(ROOT / "tools/scaling/procedure/table.py"))["TABLE"]:
    step_session(_row)


@on_request()
def parity_matrix(session: nox.Session) -> None:
    """Every traced number and every pixel of the golden cases against the reference."""
    scaling(session, "matrix")


@on_request()
def campaign(session: nox.Session) -> None:
    """Drawn cases held against everything that is known: -- --seeds 0:1000; the same call goes on where it ended."""
    scaling(session, "campaign")


@on_request()
def inputs(session: nox.Session) -> None:
    """Give the port and the tools 400 bad inputs: none may end in a traceback, a hang or a kill."""
    scaling(session, "study", "inputs")


@on_request()
def mutations(session: nox.Session) -> None:
    """Mutate a chain of bundles 10,000 times; verify --all must name every one."""
    scaling(session, "study", "mutations")


@on_request()
def mutants(session: nox.Session) -> None:
    """Break the port's rules one at a time and count how often explain names the right one."""
    scaling(session, "study", "mutants")


@on_request()
def diagnosis(session: nox.Session) -> None:
    """Switch quirks and programs at random and count how often the image alone names them."""
    scaling(session, "study", "diagnosis")


@on_request()
def kills(session: nox.Session) -> None:
    """Kill 200 runs at random and judge what each of them leaves and says."""
    scaling(session, "study", "kills")


@on_request()
def planted(session: nox.Session) -> None:
    """Plant 50 mistakes in the port, one at a time: a campaign must find, shrink and name them."""
    scaling(session, "study", "campaign")


@on_request()
def campaign_kills(session: nox.Session) -> None:
    """Kill workers, schedulers and callers of campaigns 200 times and judge what their stores have."""
    scaling(session, "study", "campaign-kills")


@on_request()
def bench(session: nox.Session) -> None:
    """Ratios of speed, measured in one run; -- --out docs/results publishes them."""
    scaling(session, "study", "bench")


@on_request()
def device_evidence(session: nox.Session) -> None:
    """Prove the port on a GPU: tests, matrix, images, gradients, memory, speed; -- --device cuda:1 for another."""
    scaling(session, "study", "device")


@on_request()
def footprint(session: nox.Session) -> None:
    """What the simulator holds: the constants of the memory planner, measured anew."""
    scaling(session, "study", "footprint")


@on_request()
def traps(session: nox.Session) -> None:
    """Pairs of traces and images whose right verdict is known, judged by ours and by other tools."""
    scaling(session, "study", "traps")


@on_request()
def tests(session: nox.Session) -> None:
    """The full suite."""
    python = shared_python(session)
    session.run(python, "-m", "pytest", *SIDE_BY_SIDE, *session.posargs, external=True, env=BYTECODE)


@on_request()
def lowest(session: nox.Session) -> None:
    """What is declared must be true: the lowest versions of pyproject.toml do a run and a part of the suite."""
    folder = Path(session.virtualenv.location).parent / "lowest"
    python = str(folder / "bin" / "python")
    session.log(f"installing the lowest versions that pyproject.toml declares into {folder}")
    session.run(sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(folder), external=True)
    session.run(python, "-m", "pip", "install", *QUIET, *lowest_versions(), external=True)
    session.run(python, "-m", "pip", "install", *QUIET, "--no-deps", "-e", ".", external=True)
    with tempfile.TemporaryDirectory(prefix="lowest-") as clone:  # a run writes into the ledgers of its repository
        session.run("git", "clone", "-q", str(ROOT), clone, external=True)
        with session.chdir(clone):
            session.run(python, "-m", "tools.scaling", "phase-m1", "--no-stage", external=True)
    session.run(python, "-m", "pytest", *(session.posargs or QUICK), external=True)


def lowest_versions() -> list[str]:
    """Every dependency that is declared, of the program and of the groups, as NAME==ITS LOWER BOUND."""
    groups = nox.project.dependency_groups(PROJECT, *PROJECT["dependency-groups"])
    pins = []
    for need in map(Requirement, [*PROJECT["project"]["dependencies"], *groups]):
        (bound,) = [each.version for each in need.specifier if each.operator == ">="]
        extras = f"[{','.join(sorted(need.extras))}]" if need.extras else ""
        pins.append(f"{need.name}{extras}=={bound}")
    return pins


@on_request()
def docs(session: nox.Session) -> None:
    """The documentation site, into build/docs; a dead link or a public name without documentation fails."""
    told = {"NO_MKDOCS_2_WARNING": "1"}
    session.run(shared_python(session), "-m", "mkdocs", "build", "--strict", *session.posargs, external=True, env=told)


@on_request()
def lint(session: nox.Session) -> None:
    """ruff, mypy and the directions of the imports, over everything."""
    python = shared_python(session)
    session.run(python, "-m", "ruff", "check", external=True)
    session.run(python, "-m", "ruff", "format", "--check", external=True)
    session.run(python, "-m", "mypy", external=True)
    session.run(python, "-c", IMPORTS, external=True, env={"PYTHONPATH": "src:."})
