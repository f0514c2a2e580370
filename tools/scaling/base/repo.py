"""This repository: where it is, what git says of it, and what no tool may touch."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.scaling.base.errors import BadInput, Killed

ROOT = Path(__file__).resolve().parents[3]
CANONICAL_TRACE = "reports/2025-10-cli-flags/phase_l/scaling_audit/c_trace_scaling.log"
REPORTS_ROOT = "reports/2025-10-cli-flags/phase_l/scaling_validation"
PROTECTED = ("input.md", "docs/index.md", "loop.sh", "supervisor.sh", CANONICAL_TRACE)
MAPPED_TESTS = ("tests/test_cli_scaling_phi0.py", "tests/test_phi_carryover_mode.py")
# What every command that imports torch needs; set by the tool, not remembered by the user.
EXPORTS = {"KMP_DUPLICATE_LIB_OK": "TRUE", "PYTHONPATH": "src"}
EXPORTED = " ".join(f"{name}={value}" for name, value in EXPORTS.items())  # as a shell takes them
# git speaks English, and takes no lock of the index only to note that files are as they were.
GIT_EXPORTS = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
PATIENCE = 30.0  # seconds to wait for another git that holds the index


def port_on_path() -> None:
    """Let this process import the port that lies beside these tools."""
    port = str(ROOT / EXPORTS["PYTHONPATH"])
    if port not in sys.path:
        sys.path.insert(0, port)


def relative(path: Path) -> str:
    """Return `path` as the tools write it: relative to the repository's root where it lies inside, else absolute."""
    path = Path(path).absolute()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def inside(path: Path) -> bool:
    """Return whether `path` lies in the repository, by whatever links it is reached."""
    return path.resolve().is_relative_to(ROOT)


def from_root(path: str | Path) -> str:
    """Return the user's `path` as a child that runs in the repository's root finds it: absolute if typed elsewhere."""
    return str(path) if Path.cwd() == ROOT else str(Path(path).absolute())


def environment() -> dict[str, str]:
    """Return the environment of a child that imports torch: this process's with EXPORTS, src first on PYTHONPATH."""
    paths = [str(ROOT / EXPORTS["PYTHONPATH"]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | EXPORTS | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def git_bytes(
    *arguments: str, stdin: bytes | None = None, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> bytes:
    """Run a git command in `cwd`, with `env` beside this process's environment, and return its standard output.

    Raises BadInput, with git's own words, if it fails; Killed if a signal ended it.
    """
    environ = os.environ | GIT_EXPORTS | dict(env or {})
    argv = ["git", "-c", "core.fsmonitor=false", *arguments]  # a foreign repository's monitor would be run
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, input=stdin, env=environ, check=False)
    except FileNotFoundError as error:
        raise BadInput("git: expected the program on PATH, got none") from error
    if done.returncode < 0:
        raise Killed(f"git {' '.join(arguments[:2])}: killed from outside by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        why = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[0]
        raise BadInput(f"git {' '.join(arguments[:2])} in {cwd}: {why}")
    return done.stdout


def git(*arguments: str, stdin: bytes | None = None, cwd: Path = ROOT) -> str:
    """Run a git command as `git_bytes` does, and return its standard output as text."""
    return git_bytes(*arguments, stdin=stdin, cwd=cwd).decode(errors="replace")


def head() -> str:
    """Return the commit of HEAD. Raises BadInput where there is no repository or no commit."""
    top = git("rev-parse", "--show-toplevel").strip()
    if Path(top).resolve() != ROOT:
        raise BadInput(f"{ROOT}: expected a git repository with this root, got one rooted at {top}")
    commit = git("rev-parse", "--revs-only", "HEAD").strip()
    if not commit:
        raise BadInput(f"{ROOT}: expected a git repository with a commit, got one without")
    return commit


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def protected_state() -> dict[str, str]:
    """Return protected path -> its SHA-256, or 'absent'."""
    return {name: digest(ROOT / name) if (ROOT / name).is_file() else "absent" for name in PROTECTED}


def changed_protected(before: dict[str, str]) -> list[str]:
    """Return a line for each protected file whose state is no longer that of `before`."""
    after = protected_state()
    return [
        f"{name}: protected, was {before[name][:12]}, is {after[name][:12]}"
        for name in PROTECTED
        if name in before and before[name] != after[name]
    ]


def refuse_protected(path: Path) -> None:
    """Raise BadInput if `path` is a protected file, under whatever name or link."""
    for name in PROTECTED:
        target = ROOT / name
        same = target.exists() and path.exists() and target.samefile(path)
        if same or path.resolve() == target.resolve():
            raise BadInput(f"{path}: refused, {name} is protected and no tool writes it")


def with_index(work: Callable[[], object], say: Callable[[str], None]) -> None:
    """Do `work`, which changes git's index; wait up to PATIENCE for another process that holds it, and say so.

    `work` may be done several times. Raises BadInput where the index is still held then.
    """
    deadline = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            work()
            return
        except BadInput as error:
            if "index.lock" not in str(error):
                raise
            if time.monotonic() > deadline:
                what = f"still held after {PATIENCE:g} s; if no git is running here, remove that file"
                raise BadInput(f"{error} ({what})") from error
        if not told:
            say(f"    another process holds git's index: waiting for it, {PATIENCE:g} s at most")
            told = True
        time.sleep(0.1)
