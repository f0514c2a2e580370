"""What lies where in a bundle: the names of its files, its three modes, the form of commands.txt, its readers."""

import errno
import json
import os
import re
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput, why
from tools.scaling.base.files import one_line
from tools.scaling.base.repo import relative

FORMAT = 1  # of seal.json and provenance.json; a higher one was written by a newer version
STAMP = "%Y%m%dT%H%M%SZ"  # a bundle's name: the UTC time at which its run began
STAMPED = re.compile(r"\d{8}T\d{6}Z")
PROVENANCE, COMMANDS, ENVIRONMENT, PATCH = "provenance.json", "commands.txt", "env.json", "dirty.patch"
# Each comparison has these five in its folder.
SUMMARY, METRICS, METADATA = "scaling_validation_summary.md", "metrics.json", "run_metadata.json"
EXPLAIN_PAGE, EXPLAINED = "explain.md", "explain.json"
PER_PHI = ("trace_py_scaling_per_phi.log", "trace_py_scaling_per_phi.json")
IMAGE_FOLDER = "image"  # with IMAGE, IMAGE_RECORD and what the comparison of images writes
IMAGE, IMAGE_RECORD, IMAGES, TRIPTYCH = "image.bin", "image.json", "images.json", "triptych.png"
REPORT, AUDIT = "report.html", "instrumentation_audit.md"
MANIFEST, SEAL, ATTESTATION = "sha256.txt", "seal.json", "attestation.json"

LONGEST = 2**28  # bytes of a record, which is read whole; a run makes less than 1 MiB of it
_HEAD_BYTES = 8192  # what comes before the long tables of metrics.json and explain.json fits in here
_TABLES = re.compile(rb',\s*"quantities": \[')
_ENTRY = re.compile(r"^(?=\[\d{3,}\] )", re.MULTILINE)
_HEAD = re.compile(r"\[(\d{3,})\] (\S+)  step (\S+)  exit (-?\d+)  ([\d.]+) s  peak (.+)")


@dataclass(frozen=True)
class Mode:
    """One trace of a run: its file, the options of `harness` that make it, and where its comparison lies."""

    name: str
    place: str
    log: str
    options: tuple[str, ...]

    def path(self, name: str) -> str:
        """Return the path, in the bundle, of file `name` of this mode's comparison."""
        return self.place + name


MODES = {
    mode.name: mode
    for mode in (
        Mode("c-parity", "", "trace_py_scaling.log", ("--phi-mode", "c-parity")),
        Mode("spec", "spec/", "trace_py_scaling_spec.log", ("--phi-mode", "spec")),
        Mode("legacy", "legacy/", "trace_py_scaling_legacy.log", ("--phi-mode", "c-parity", "--vectors", "as-given")),
    )
}


@dataclass(frozen=True)
class CommandRecord:
    """One command that a step ran. seconds: wall clock. peak_bytes: None where nothing was measured."""

    step: str
    command: str
    started: datetime
    exit_code: int
    seconds: float
    peak_bytes: int | None
    stdout: str = ""
    stderr: str = ""
    note: str = ""

    def as_text(self, number: int) -> str:
        """Return the entry in commands.txt: a head line, the command, and what it printed, indented."""
        # what lasts a few milliseconds may hold less than the first decimal, or end between two readings
        peak = "-" if self.peak_bytes is None else f"{max(self.peak_bytes / 2**20, 0.1):.1f} MiB"
        head = (
            f"[{number:03d}] {self.started:%Y-%m-%dT%H:%M:%SZ}  step {self.step}  "
            f"exit {self.exit_code}  {self.seconds:.3f} s  peak {peak}"
        )
        lines = [head, f"$ {one_line(self.command)}"]
        lines += [f"    note: {one_line(self.note)}"] if self.note else []
        for label, text in (("stdout", self.stdout), ("stderr", self.stderr)):
            lines += [f"    {label}| {one_line(line.expandtabs())}".rstrip() for line in text.splitlines()]
        return "\n".join(lines) + "\n\n"


@dataclass(frozen=True)
class CommandEntry:
    """One command as commands.txt has it. out: the lines of stdout, then those of stderr."""

    number: str
    started: str
    step: str
    exit_code: int
    seconds: str
    peak: str
    command: str
    note: str
    out: tuple[str, ...]


def command_blocks(text: str) -> list[str]:
    """Return the text of commands.txt cut into one block a command."""
    return _ENTRY.split(text)[1:]


def command_entry(block: str) -> CommandEntry | None:
    """Return the entry that a block of commands.txt is; None where its head line has another form."""
    head, _, rest = block.partition("\n")
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    number, started, step, code, seconds, peak = match.groups()
    command, note, out = [], "", []
    for line in rest.splitlines():
        label, bar, printed = line.strip().partition("|")
        if line.startswith("    note: "):
            note = line[10:]
        elif line.startswith("    ") and bar and label in ("stdout", "stderr"):
            out.append(printed.removeprefix(" "))
        elif line.strip():
            command.append(line.removeprefix("$ "))
    return CommandEntry(number, started, step, int(code), seconds, peak, " ".join(command), note, tuple(out))


def command_entries(text: str) -> list[CommandEntry]:
    """Return every entry of commands.txt, in the order in which the commands ran."""
    return [entry for block in command_blocks(text) if (entry := command_entry(block)) is not None]


def read_record(path: str | Path, head_only: bool = False) -> bytes:
    """Return a file of a bundle, whole; with `head_only` maybe just its first bytes.

    Raises OSError, also for what is no plain file, which may never end, and for one longer than any record.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would keep us waiting
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "expected a plain file, got something else", str(path))
        size = about.st_size
        if size > LONGEST:
            raise OSError(errno.EFBIG, f"expected at most {LONGEST >> 20} MiB, got more", str(path))
        data = os.read(handle, _HEAD_BYTES)
        if head_only and size > len(data):
            head = _TABLES.split(data, maxsplit=1)[0]
            if len(head) < len(data) and os.pread(handle, 2, size - 2).strip().endswith(b"}"):
                return head + b"}"
        while len(data) < size and (more := os.read(handle, size)):
            data += more
        return data
    finally:
        os.close(handle)


def parse_record(data: bytes) -> dict[str, Any]:
    """Return the JSON object that a record holds. Raises ValueError, whose text is what it holds instead."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError(why(error)) from error
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} in place of an object")
    return value


def read_object(path: Path, what: str = "what the run wrote") -> dict[str, Any]:
    """Return the JSON object that a run wrote to `path`. Raises BadInput, which says `what` was expected."""
    try:
        return parse_record(read_record(path))
    except (OSError, ValueError) as error:
        raise BadInput(f"{relative(path)}: expected {what}, got: {why(error)}") from error


def read_metrics(folder: Path, mode: Mode = MODES["c-parity"]) -> dict[str, Any]:
    """Return metrics.json of one comparison of the bundle in `folder`, with the keys that verdicts are made of.

    Raises BadInput: missing, unreadable, or without them.
    """
    path = folder / mode.path(METRICS)
    metrics = read_object(path, "the metrics of a comparison")
    try:
        metrics["first_divergence"], metrics["num_divergent"], metrics["factors"]["I_before_scaling"]["rel_delta"]
    except (KeyError, TypeError) as error:
        raise BadInput(f"{relative(path)}: expected the metrics of a comparison, got: no {error}") from error
    return metrics
