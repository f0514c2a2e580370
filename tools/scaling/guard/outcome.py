"""How a guarded command ended: a record, its verdict, and one line that a user can act on."""

import shlex
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from signal import Signals

from nanobragg_torch.memory import Limit, mebibytes
from tools.scaling.base.errors import Killed, MemoryStopped, ScalingError

# The program's own fault, whoever delivers them.
CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS", "SIGPIPE"}


class GuardVerdict(Enum):
    """How a guarded command ended."""

    OK = "ok"
    FAILED = "failed"  # a non-zero exit, or a crash of its own
    STOPPED_BY_GUARD = "stopped by the memory guard"
    OOM_KILLED = "killed by the kernel, out of memory"  # a counter of the kernel says so
    KILLED = "killed from outside"

    def __bool__(self) -> bool:
        raise TypeError(f"a verdict is no truth value, compare it: {self} is GuardVerdict.OK")


@dataclass(frozen=True)
class GuardOutcome:
    """One guarded command that has ended.

    exit_code, signal: exactly one of them is set, signal by its name; neither, if the leash itself was killed.
    peak_bytes: the most anonymous and shared memory that the process tree was seen to hold. grown: in words, the growth
    for which the guard stopped it. oom: in words, the kernel's counter of OOM kills that rose meanwhile. warning: in
    words, the growth past the warning threshold. asked: whether its owner ended it. left: how many processes it left
    behind its own end, which were then ended. Empty words: it was not so.
    """

    argv: tuple[str, ...]
    started: datetime
    seconds: float
    exit_code: int | None
    signal: str | None
    peak_bytes: int
    limit: Limit
    grown: str = ""
    oom: str = ""
    warning: str = ""
    asked: bool = False
    left: int = 0
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def verdict(self) -> GuardVerdict:
        if self.grown:
            return GuardVerdict.STOPPED_BY_GUARD
        if self.exit_code is not None:
            return GuardVerdict.FAILED if self.exit_code else GuardVerdict.OK
        if self.signal == "SIGKILL" and self.oom and not self.asked:
            return GuardVerdict.OOM_KILLED
        return GuardVerdict.FAILED if self.signal in CRASHES else GuardVerdict.KILLED

    @property
    def message(self) -> str:
        """One ASCII line that says the command, how it ended, and why."""
        command = shlex.join(self.argv)
        command = command if len(command) <= 80 else command[:77] + "..."
        line = f"{command}: {self._end()}; {self.seconds:.1f} s, peak memory {mebibytes(self.peak_bytes)}"
        return line.encode("ascii", "backslashreplace").decode().replace("\n", " ")

    def _end(self) -> str:
        match self.verdict:
            case GuardVerdict.STOPPED_BY_GUARD:
                return f"stopped by the memory guard: {self.grown}"
            case GuardVerdict.OOM_KILLED:
                return f"killed by the kernel for want of memory: {self.oom}"
            case GuardVerdict.OK:
                return "exit code 0" + self._victim()
            case GuardVerdict.FAILED:
                last = self.stderr.decode(errors="replace").strip().splitlines()[-1:]
                how = f"exit code {self.exit_code}" if self.signal is None else f"crashed with {self.signal}"
                return how + "".join(f": {line.strip()}" for line in last) + self._victim()
            case _ if self.asked:
                return f"ended on request, by {self.signal}"
            case _ if self.signal is None:
                return "its leash was killed from outside"
            case _:
                no_oom = "" if self.oom or self.signal != "SIGKILL" else " (no OOM counter of the kernel rose)"
                return f"killed from outside by {self.signal}{no_oom}{self._victim()}"

    def _victim(self) -> str:
        return f" (the kernel killed one of its processes for want of memory: {self.oom})" if self.oom else ""

    @property
    def error(self) -> ScalingError | None:
        """MemoryStopped (exit 4) or Killed (exit 5); None where the command's own exit code speaks."""
        match self.verdict:
            case GuardVerdict.OK | GuardVerdict.FAILED:
                return None
            case GuardVerdict.STOPPED_BY_GUARD:
                return MemoryStopped(self.message)
            case _:
                return Killed(self.message)


def signal_name(number: int) -> str:
    """Return "SIGKILL" for 9, and "signal 40" for one without a name (real-time signals)."""
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"
