"""`study device`: the evidence of a device, measured part by part in a guarded process, kept row by row in a bundle.

A part that breaks off takes its process with it, as an error of a GPU spoils all that follows; the next part gets a
new one.
"""

import queue
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from nanobragg_torch.memory import Limit
from tools.scaling.base.errors import PACKAGES, BadInput, GateFailed, ScalingError, Unavailable, lacking, missing
from tools.scaling.base.files import write_json, write_text
from tools.scaling.base.interruption import go_deaf, interruptible
from tools.scaling.base.repo import EXPORTED, EXPORTS, ROOT, environment, head
from tools.scaling.base.text import counted
from tools.scaling.bundle.bundle import Bundle, create
from tools.scaling.bundle.layout import ENVIRONMENT, REPORT, CommandRecord
from tools.scaling.guard.child import Guarded
from tools.scaling.guard.limit import current_limit
from tools.scaling.guard.outcome import GuardOutcome, GuardVerdict
from tools.scaling.page.device import DEVICE, device_report, summary_lines
from tools.scaling.studies.device.parts import PARTS
from tools.scaling.studies.device.row import FAIL, NOT_RUN, Begun, EvidenceRow, read

TOOL = (sys.executable, "-m", "tools.scaling")
TAIL = 2000  # characters of what a process said that are kept


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    parts: those that are named, all where none is; the first of all is measured anyway. seconds: for all together; with
    more, each part may take longer. tool: the words that start a process of these tools.
    """

    device: str = "cuda"
    quick: bool = False
    parts: tuple[str, ...] = ()
    seconds: float = 330.0
    memory_limit: int | None = None
    tool: Sequence[str] = TOOL

    @property
    def chosen(self) -> list[str]:
        """The parts in their order. Raises BadInput for a name that is none."""
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown:
            raise BadInput(f"--part {unknown[0]}: expected one of {', '.join(PARTS)}")
        first = next(iter(PARTS))
        return [part for part in PARTS if not self.parts or part in (first, *self.parts)]


@dataclass
class Evidence:
    """What has been measured so far, kept in the bundle after every row."""

    wanted: Wanted
    root: Path
    say: Callable[[str], None]
    rows: list[EvidenceRow] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    bundle: Bundle | None = None

    @property
    def made(self) -> Bundle:
        """The bundle, which the first row makes, so that a machine without the device is left as it was."""
        if self.bundle is None:
            self.bundle = create(self.root)
            self.say(f"RUN_DIR {self.bundle.shown()}")
            self.bundle.write_provenance(self._provenance(self.bundle.stamp))
        return self.bundle

    def _provenance(self, stamp: str) -> dict[str, Any]:
        wanted = self.wanted
        try:
            commit, why = head(), None
        except BadInput as error:  # a copy of the files, without their history
            commit, why = None, str(error)
        chosen = {"device": wanted.device, "quick": wanted.quick, "parts": wanted.chosen}
        told = {"timestamp": stamp, "git_sha": commit, "exports": EXPORTS, "settings": chosen}
        return told | ({"no_commit": why} if why else {})

    def add(self, row: EvidenceRow) -> None:
        record = row.figures.get("environment")
        if record is not None:
            write_json(self.made.path(ENVIRONMENT), record)
            row = EvidenceRow(row.part, row.name, row.verdict, row.said)
        self.rows.append(row)
        self._write()
        self.say(f"    {row.verdict:8} {row.name}{': ' if row.said else ''}{row.said}")

    def _write(self) -> None:
        wanted = self.wanted
        write_json(self.made.path(DEVICE), {
            "device": wanted.device,
            "quick": wanted.quick,
            "seconds": {part: round(took, 1) for part, took in self.seconds.items()},
            "rows": [row.to_dict() for row in self.rows],
        })  # fmt: skip

    def close(self, why: str) -> None:
        """Name the parts that did not come to their end, make the page, seal the bundle."""
        if self.bundle is None:
            return
        for part in self.wanted.chosen:
            if part not in self.seconds:
                self.add(EvidenceRow(part, part, NOT_RUN, why))
        self._write()
        write_text(self.made.path(REPORT), device_report(self.made))
        self.made.seal()


def device_evidence(wanted: Wanted, root: Path, say: Callable[[str], None]) -> Bundle:
    """Measure every part that is wanted, and leave a sealed bundle under `root`.

    Raises Unavailable without the device or a package, before anything is written; BadInput for a part that is none;
    GateFailed where a part fails or is not reached in time; Killed if interrupted. In the last two cases, too, the
    bundle is whole and sealed.
    """
    packages = missing((*PACKAGES, "pytest"))
    if packages:
        raise Unavailable(lacking(packages))
    evidence = Evidence(wanted, root, say)
    with interruptible():
        why = f"no time was left of {wanted.seconds:g} s"
        try:
            measure(evidence)
        except Exception as error:
            why = str(error)
            raise
        finally:
            go_deaf()
            evidence.close(why)
    for line in summary_lines([row.to_dict() for row in evidence.rows]):
        say(line)
    wrong = [f"{row.part}: {row.name}" for row in evidence.rows if row.verdict in (FAIL, NOT_RUN)]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        told = f"{len(wrong)} of {counted(len(evidence.rows), 'row')} fail or did not run: {', '.join(wrong[:5])}{more}"
        raise GateFailed(f"device: {told}; evidence: {evidence.made.shown()}")
    return evidence.made


def measure(evidence: Evidence) -> None:
    """Start a process for the parts, and another for the rest as often as one ends before its time."""
    left = evidence.wanted.chosen
    ends = time.monotonic() + evidence.wanted.seconds
    limit = current_limit(evidence.wanted.memory_limit)
    while left and time.monotonic() < ends:
        with _Process(evidence, left, limit) as process:
            process.follow(left, ends)


class _Process:
    """One guarded process that measures parts. It says a line a row; what else it says is kept for commands.txt."""

    def __init__(self, evidence: Evidence, parts: Sequence[str], limit: Limit) -> None:
        wanted = evidence.wanted
        words = ["study", "device-parts", "--device", wanted.device, *(["--quick"] if wanted.quick else []), *parts]
        self.shown = f"{EXPORTED} python -m tools.scaling {shlex.join(words)}"
        self.evidence, self.started, self.clock = evidence, datetime.now(UTC), time.perf_counter()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self.child = Guarded(
            [*wanted.tool, *words], cwd=ROOT, env=environment(), stdout=-1, stderr=self.errors, limit=limit
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        assert self.child.stdout is not None
        threading.Thread(target=_pass_on, args=(self.child.stdout, self.lines), daemon=True).start()
        self.part, self.begun = "", time.monotonic()

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        with self.child:
            self.child.stop()
        self.errors.close()

    def follow(self, left: list[str], ends: float) -> None:
        """Keep the rows of the process until it ends; what it has done, and what it broke off at, leaves `left`."""
        late = ""
        while True:
            longer = max(1.0, self.evidence.wanted.seconds / Wanted.seconds)
            allowed = min(self.begun + longer * PARTS[self.part or left[0]][1], ends)
            try:
                line = self.lines.get(timeout=max(0.0, allowed - time.monotonic()))
            except queue.Empty:
                late = f"stopped after {time.monotonic() - self.begun:.0f} s"
                break
            if line is None:
                break
            self._take(read(line), left)
        outcome = self.child.stop() if late else self.child.wait()
        self._finish(outcome, late, left)

    def _take(self, message: EvidenceRow | Begun, left: list[str]) -> None:
        if isinstance(message, EvidenceRow):
            self.evidence.add(message)
            return
        self._over(left)
        self.part, self.begun = message.part, time.monotonic()
        if self.evidence.bundle is not None:  # until then one line may be all that there is to say
            self.evidence.say(message.part)

    def _over(self, left: list[str]) -> None:
        if self.part:
            left.remove(self.part)
            self.evidence.seconds[self.part] = time.monotonic() - self.begun

    def _finish(self, outcome: GuardOutcome, late: str, left: list[str]) -> None:
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip()
        part = self.part or left[0]
        last = (said.splitlines() or [""])[-1].removeprefix("error: ")
        ok = outcome.verdict is GuardVerdict.OK and self.part and not late
        if not ok and self.evidence.bundle is None:
            raise self._refusal(outcome, late or last)
        if not ok:
            own = outcome.verdict in (GuardVerdict.OK, GuardVerdict.FAILED)  # its end, not that of the guard
            told = late or (last if own else outcome.message.replace(sys.executable, "python"))
            self.evidence.add(EvidenceRow(part, part, FAIL, told or outcome.message))
        self._over(left)
        if not self.part:
            left.remove(part)
        self._record(outcome, late, said)

    def _refusal(self, outcome: GuardOutcome, told: str) -> ScalingError:
        if outcome.error is not None:
            return outcome.error
        kind = (
            Unavailable if outcome.exit_code == Unavailable.exit_code else BadInput if outcome.exit_code == 2 else None
        )
        return (kind or ScalingError)(told or outcome.message)

    def _record(self, outcome: GuardOutcome, late: str, said: str) -> None:
        code = 0 if outcome.verdict is GuardVerdict.OK else outcome.exit_code or 1
        self.evidence.made.record(CommandRecord(
            step="device",
            command=self.shown,
            started=self.started,
            exit_code=code,
            seconds=outcome.seconds,
            peak_bytes=outcome.peak_bytes,
            stderr=said[-TAIL:],
            note=late,
        ))  # fmt: skip


def _pass_on(stream: IO[bytes], lines: "queue.Queue[str | None]") -> None:
    with suppress(ValueError, OSError):  # closed meanwhile
        for line in stream:
            if line.endswith(b"\n"):  # else it was killed while it wrote
                lines.put(line.decode(errors="replace"))
    lines.put(None)
