"""Runs the commands of a step: guarded, recorded, halting at the first that fails."""

import json
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nanobragg_torch.memory import Limit
from tools.scaling.base.errors import BadInput, Killed, ScalingError
from tools.scaling.base.repo import EXPORTED, GIT_EXPORTS, ROOT, environment
from tools.scaling.base.scratch import scratch
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.layout import CommandRecord
from tools.scaling.cases.case import Case, find_case
from tools.scaling.guard.child import Guarded, run
from tools.scaling.guard.limit import current_limit
from tools.scaling.guard.outcome import GuardOutcome, GuardVerdict
from tools.scaling.procedure.pair import ProgramPair, pair_of
from tools.scaling.procedure.settings import Settings


class StepFailed(ScalingError):
    """A command of a step failed; carries what the blocked evidence needs."""

    def __init__(self, record: CommandRecord, exit_code: int, why: str) -> None:
        super().__init__(why)
        self.record, self.exit_code = record, exit_code


@contextmanager
def held_back(number: int) -> Iterator[None]:
    """Block a signal; who is started meanwhile gets it when it lets it in."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class ProcedureRun:
    """One run of one or more steps. bundle: where commands are recorded, or None (nothing is).

    say: prints one line for whoever is watching. sign: the private key that signs the seal, or None.
    """

    settings: Settings
    say: Callable[[str], None]
    bundle: Bundle | None = None
    step: str = ""
    sign: Path | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _worker: Guarded | None = None
    _limit: Limit | None = None
    _last_warning: str = ""

    def __enter__(self) -> "ProcedureRun":
        self._scratch = self._stack.enter_context(scratch("run"))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_worker()
        self._stack.close()

    @property
    def case(self) -> Case:
        return find_case(self.settings.case)

    @property
    def pixel(self) -> tuple[int, int]:
        """The traced (slow, fast) pixel: the one asked for, or the case's first."""
        return self.settings.pixel or self.case.pixel()

    @property
    def pair(self) -> ProgramPair | None:
        """The two implementations, where they are not our port and the golden data."""
        return pair_of(self.settings, self.case, self.pixel)

    @property
    def made(self) -> Bundle:
        """The bundle, in a step that cannot do without one."""
        if self.bundle is None:
            raise BadInput(f"step {self.step}: expected a bundle, got none")
        return self.bundle

    def external(self, argv: Sequence[str], *, may_fail: bool = False, shown: str = "") -> CommandRecord:
        """Run a program of the machine as a guarded child."""
        command, started, clock = shown or shlex.join(argv), datetime.now(UTC), time.perf_counter()
        try:
            outcome = run(argv, cwd=ROOT, env=environment() | GIT_EXPORTS, limit=self.fixed_limit())
        except Killed as error:
            record = CommandRecord(self.step, command, started, 5, time.perf_counter() - clock, None, note=str(error))
            return self._keep(record, None, may_fail=False)
        return self._keep(self._of_outcome(outcome, command), outcome, may_fail)

    def scaling(self, *argv: str) -> CommandRecord:
        """Run a subcommand of this tool in the worker, with the exports that torch needs."""
        command = f"{EXPORTED} python -m tools.scaling {shlex.join(argv)}"
        started, clock = datetime.now(UTC), time.perf_counter()
        files = {name: self._scratch / name for name in ("stdout", "stderr")}
        for path in files.values():
            path.write_bytes(b"")
        outcome, note, peak = None, "", None
        try:
            worker = self._started_worker()
            worker.take_peak()
            code = self._ask(worker, {"argv": argv, **{name: str(path) for name, path in files.items()}})
            if code is None:
                outcome = worker.wait()
                code, note = _exit_code(outcome), _told(outcome)
                self.stop_worker()  # its pipes, too: what it has not read must not be found when they are forgotten
            peak = worker.take_peak()
            note = note or self._warned(worker.warning)
        except Killed as error:  # we are interrupted, and the worker with us
            code, note = error.exit_code, str(error)
            self.stop_worker()
        record = CommandRecord(
            step=self.step,
            command=command,
            started=started,
            exit_code=code,
            seconds=time.perf_counter() - clock,
            peak_bytes=peak,
            stdout=files["stdout"].read_text(errors="replace"),
            stderr=files["stderr"].read_text(errors="replace"),
            note=note,
        )
        return self._keep(record, outcome, may_fail=False)

    def here(self, command: str, work: Callable[[], str]) -> CommandRecord:
        """Do light work in this process; `work` returns what it would print."""
        started, clock = datetime.now(UTC), time.perf_counter()
        code, out, err = 0, "", ""
        try:
            out = work()
        except ScalingError as error:
            code, err = error.exit_code, f"error: {error}"
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        seconds = time.perf_counter() - clock
        record = CommandRecord(self.step, command, started, code, seconds, peak, out, err)
        return self._keep(record, None, may_fail=False)

    def fixed_limit(self) -> Limit:
        """Return what the run may use of the machine's memory, as it was found first."""
        if self._limit is None:
            self._limit = current_limit(self.settings.memory_limit)
        return self._limit

    def _started_worker(self) -> Guarded:
        if self._worker is None:
            with held_back(signal.SIGINT):  # which Python, starting, would answer with exit code 1
                self._worker = Guarded(
                    [sys.executable, "-m", "tools.scaling", "worker"],
                    cwd=ROOT,
                    env=environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    limit=self.fixed_limit(),
                )
        return self._worker

    def stop_worker(self) -> None:
        """End the torch child, whatever it is doing."""
        if self._worker is not None:
            with self._worker:  # stops it and closes its pipes
                self._worker = None

    def _ask(self, worker: Guarded, request: Mapping[str, Any]) -> int | None:
        """Return the exit code that the worker answers, or None when it died before it gave one."""
        assert worker.stdin is not None and worker.stdout is not None
        try:
            worker.stdin.write((json.dumps(request) + "\n").encode())
            worker.stdin.flush()
            line = worker.stdout.readline()
        except (BrokenPipeError, ConnectionError):
            return None
        return int(json.loads(line)["exit"]) if line.endswith(b"\n") else None

    def _of_outcome(self, outcome: GuardOutcome, command: str) -> CommandRecord:
        return CommandRecord(
            step=self.step,
            command=command,
            started=outcome.started,
            exit_code=_exit_code(outcome),
            seconds=outcome.seconds,
            peak_bytes=outcome.peak_bytes,
            stdout=outcome.stdout.decode(errors="replace"),
            stderr=outcome.stderr.decode(errors="replace"),
            note=self._warned(outcome.warning) if outcome.error is None else _told(outcome),
        )

    def _warned(self, warning: str) -> str:
        """Return the note on a command that came near the limit, said aloud once."""
        note = f"memory warning: {warning}" if warning else ""
        if note and note != self._last_warning:
            self.say(f"    {note}")
            self._last_warning = note
        return note

    def _keep(self, record: CommandRecord, outcome: GuardOutcome | None, may_fail: bool) -> CommandRecord:
        if self.bundle is not None and not self.bundle.sealed:
            self.bundle.record(record)
        died = outcome is not None and outcome.verdict not in (GuardVerdict.OK, GuardVerdict.FAILED)
        if died or (record.exit_code and not may_fail):
            lines = (record.stderr.strip() or record.stdout.strip()).splitlines()
            told = record.note if died or record.exit_code == Killed.exit_code else ""
            why = told or (lines[-1].removeprefix("error: ") if lines else f"exit {record.exit_code}")
            raise StepFailed(record, record.exit_code if record.exit_code in range(1, 6) else 1, why)
        return record


def _exit_code(outcome: GuardOutcome | None) -> int:
    """Return what the command's death or exit means among the exit codes of this tool."""
    if outcome is None or outcome.verdict is GuardVerdict.OK:
        return 0
    error = outcome.error
    return error.exit_code if error is not None else (outcome.exit_code or 1)


def _told(outcome: GuardOutcome) -> str:
    """Return the outcome's message, with the interpreter as a reader of the bundle would call it."""
    return outcome.message.replace(sys.executable, "python")
