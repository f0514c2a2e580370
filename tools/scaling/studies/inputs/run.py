"""`study inputs`: bad inputs, each run in a clean folder under the memory guard, and a judgement of how each ended."""

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tools.scaling.base.repo import ROOT
from tools.scaling.guard.child import Guarded
from tools.scaling.guard.limit import current_limit
from tools.scaling.guard.outcome import GuardOutcome, GuardVerdict
from tools.scaling.studies.inputs import command_lines, input_files, tool_files
from tools.scaling.studies.inputs.attempt import Attempt, Kind

KINDS: dict[str, Kind] = command_lines.KINDS | input_files.KINDS | tool_files.KINDS
PATIENCE = 10.0  # seconds for one attempt
MEMORY = 3 * 2**30  # bytes for one attempt
EXIT_CODES = range(6)  # of the table; above 0 means refused
READ = 2**20  # bytes of what an attempt says that are looked at
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_WARNING = re.compile(r"^\S+: warning: |^WARNING")


@dataclass(frozen=True, slots=True)
class InputEnding:
    """How one attempt ended.

    exit_code: None if a signal ended it. said: its last line. fault: what is wrong with its end, empty if nothing is.
    """

    number: int
    kind: str
    command: str
    exit_code: int | None
    said: str
    fault: str


def attempts(count: int, seed: int) -> Iterator[tuple[int, str, Random]]:
    """Yield number, kind and random stream of each attempt; the kinds come in turn, for about equal shares."""
    names = list(KINDS)
    for number in range(count):
        yield number, names[number % len(names)], Random(f"{seed} {number}")


def run_study(count: int, seed: int, jobs: int) -> tuple[InputEnding, ...]:
    """Run `count` attempts, `jobs` at a time, and return how they ended. The same seed gives the same attempts."""
    with ThreadPoolExecutor(jobs) as pool:
        return tuple(pool.map(lambda work: run_attempt(*work), attempts(count, seed)))


def run_attempt(number: int, kind: str, rng: Random) -> InputEnding:
    """Run one attempt in a scratch folder, for PATIENCE seconds and MEMORY bytes at most; return how it ended."""
    with tempfile.TemporaryDirectory(prefix="bad-input-") as scratch:
        folder = Path(scratch)
        attempt = KINDS[kind](rng, folder)
        before = _listing(folder)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            outcome, late = _guarded(attempt, folder, out, err)
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read(READ).decode(errors="replace"))
        left = _listing(folder) - before
    fault = fault_of(attempt, outcome, late, texts[0], texts[1], left)
    command = shlex.join(["python", "-m", attempt.module, *attempt.words])
    return InputEnding(number, kind, command, outcome.exit_code, _last_line(texts[1] or texts[0]), fault)


def _guarded(attempt: Attempt, folder: Path, out: object, err: object) -> tuple[GuardOutcome, bool]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    argv = [sys.executable, "-m", attempt.module, *attempt.words]
    limit = current_limit(MEMORY)
    with Guarded(argv, cwd=folder, env=environment, stdout=out, stderr=err, limit=limit) as child:  # type: ignore[arg-type]
        try:
            return child.wait(PATIENCE), False
        except TimeoutError:
            return child.stop(0.0), True


def fault_of(attempt: Attempt, outcome: GuardOutcome, late: bool, out: str, err: str, left: set[str]) -> str:
    """Return what is wrong with how an attempt ended; empty if it was answered, or refused in one line with no trace.

    late: whether it was stopped after PATIENCE seconds. out, err: what it said. left: files that it left behind.
    """
    both = out + err
    lines = [line for line in err.splitlines() if line.strip() and not _WARNING.match(line)]
    refused = outcome.exit_code is not None and outcome.exit_code > 0
    checks = (
        (late, f"still running after {PATIENCE:g} s"),
        ("Traceback (most recent call last)" in both, "a traceback"),
        (outcome.verdict not in (GuardVerdict.OK, GuardVerdict.FAILED) and not late, outcome.message),
        (outcome.signal is not None and not late, f"crashed with {outcome.signal}"),
        (outcome.exit_code not in EXIT_CODES and not late, f"exit code {outcome.exit_code} is not in the table"),
        (attempt.refused and not refused and not late, "accepted"),
        (refused and not both.strip(), "refused without a word"),
        (outcome.exit_code == 2 and len(lines) > 1, f"refused in {len(lines)} lines"),
        (refused and bool(left) and outcome.exit_code != 1, "left behind: " + ", ".join(sorted(left)[:3])),
        (_CONTROL.search(both) is not None, "control characters of the input on the terminal"),
    )
    return next((text for wrong, text in checks if wrong), "")


def _listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("*")}


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
