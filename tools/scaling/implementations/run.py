"""Runs an implementation on a command line: in a clean folder, under the memory guard, with a time limit."""

import hashlib
import importlib
import os
import re
import runpy
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nanobragg_torch.flags.table import INPUT_FLAGS
from tools.scaling.base.errors import BadInput, ScalingError, Unavailable
from tools.scaling.base.files import one_line, to_ascii
from tools.scaling.base.reading import read_file
from tools.scaling.base.repo import digest
from tools.scaling.base.scratch import scratch
from tools.scaling.base.text import counted
from tools.scaling.guard.child import Guarded
from tools.scaling.guard.outcome import GuardOutcome, GuardVerdict
from tools.scaling.implementations.describe import ORDERS, Implementation, fill

if TYPE_CHECKING:
    from torch import Tensor

    from tools.scaling.traces.read import Trace

Pixel = tuple[int, int]  # slow, fast
MOST_PRINTED = 256 * 2**20  # bytes; a trace of a thousand sub-pixels has 2 MiB
KILLED = (124, 137, 143)  # exit codes: timeout's, and a shell's for SIGKILL and SIGTERM
LOOK = 0.05  # seconds between two looks at how much was printed


@dataclass(frozen=True)
class Ran:
    """What one run left: its folder (until the `with` ends), the names of its inputs, what it printed, its end."""

    folder: Path
    inputs: frozenset[str]
    out: str
    err: str
    outcome: GuardOutcome


class Crashed(BadInput):
    """A program ended with an error of its own.

    signal: the name of the one that ended it, else empty. killed: whether its exit code is that of a shell, or of
    timeout(1), whose program was killed.
    """

    def __init__(self, message: str, signal: str, killed: bool = False) -> None:
        super().__init__(message)
        self.signal, self.killed = signal, killed


@contextmanager
def ran(
    program: Implementation,
    flags: Sequence[str],
    folders: Sequence[Path],
    pixel: Pixel | None,
    *,
    beside: Sequence[Path] = (),
) -> Iterator[Ran]:
    """One run of `program`; with `pixel`, asked for its trace.

    flags: of the reference's command line; the files that they name are copied from `folders` into the clean folder,
    and so are the files `beside`, which no flag names. Raises Crashed, a BadInput, where the program ends in an error;
    BadInput where it is not there, prints without end or does not end in its time; MemoryStopped and Killed as the
    guard says.
    """
    with scratch("program") as folder:
        words = gather_inputs(flags, folders, folder)
        for path in beside:
            shutil.copyfile(path, folder / path.name)
        inputs = frozenset(path.name for path in folder.iterdir())
        places: dict[str, object] = {"out": _image_name(program)}
        if pixel is not None:
            places |= {"slow": pixel[0], "fast": pixel[1]}
        argv = program.words(tuple(words), **places)
        if pixel is not None and program.trace is not None:
            argv += [fill(word, {name: str(value) for name, value in places.items()}) for word in program.trace.flags]
        argv[0] = _program(program, argv[0])
        # The reference's own taps (TRACE_C_TAP5) would add lines that no golden log has.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACE_C")}
        environment |= {"OMP_NUM_THREADS": str(program.threads)} | dict(program.environment)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with Guarded(argv, cwd=folder, env=environment, stdout=out, stderr=err) as child:
                outcome = _ended(child, (out, err), program, pixel)
            printed = [_text(stream) for stream in (out, err)]
        _refuse_failure(program, outcome, printed)
        yield Ran(folder, inputs, printed[0], printed[1], outcome)


def gather_inputs(flags: Sequence[str], folders: Sequence[Path], into: Path) -> list[str]:
    """Copy the files that `flags` name into `into`. Returns the flags with bare file names.

    Raises BadInput for a file that is in none of `folders`, and for two of one name.
    """
    words: list[str] = []
    for before, word in zip(["", *flags], flags):
        if before not in INPUT_FLAGS:
            words.append(word)
            continue
        source = next((folder / word for folder in folders if (folder / word).is_file()), None)
        if source is None:
            raise BadInput(f"{before} {word}: expected a file, found none in {', '.join(map(str, folders))}")
        target = into / source.name
        if target.exists() and digest(target) != digest(source):
            raise BadInput(f"{before} {word}: expected input files of different names, got two {source.name}")
        if not target.exists():
            shutil.copyfile(source, target)
        words.append(source.name)
    return words


def read_image(program: Implementation, run: Ran, size: tuple[int, int]) -> "Tensor":
    """The float image that a run has written: float64 (slow, fast) in our units.

    size: (slow, fast) pixels of the detector. Raises BadInput where none was written, one of another size, or two.
    """
    import numpy
    import torch

    form = program.image
    if form is None:
        raise Unavailable(f"{program.name}: expected an implementation that makes a float image, got none")
    kind = numpy.dtype(ORDERS[form.byte_order] + {"float32": "f4", "float64": "f8"}[form.dtype])
    wanted = kind.itemsize * size[0] * size[1]
    path = run.folder / _image_name(program)
    got = path.stat().st_size if path.is_file() else None
    if got != wanted:
        text = "none" if got is None else f"{got} bytes"
        if run.outcome.left:
            text += f"; it left {counted(run.outcome.left, 'process', 'processes')} behind, now ended"
        raise BadInput(
            f"{program.name}: expected a float image {path.name} of {size[0]} x {size[1]} {form.dtype}, "
            f"{wanted} bytes, got {text}"
        )
    written = sorted(other.name for other in run.folder.iterdir() if other.stat().st_size == wanted)
    others = [name for name in written if name not in {path.name, *run.inputs} and not _known(run.folder / name)]
    if others:
        raise BadInput(f"{program.name}: expected one float image, got two: {path.name} and {one_line(others[0])}")
    values = numpy.fromfile(path, dtype=kind).astype("f8")
    image = values.reshape(size) if form.axes == "slow fast" else values.reshape(size[::-1]).T
    return torch.from_numpy(numpy.ascontiguousarray(image * form.scale if form.scale != 1.0 else image))


def _known(path: Path) -> bool:
    """Whether a file is an image of integers or a dump of structure factors, which may be as long as a float image."""
    with path.open("rb") as stream:
        return re.match(rb"{\nHEADER_BYT|P5\n|(-?\d+ ){5}-?\d+\n\f", stream.read(99)) is not None


def read_float32(path: Path, slow: int, fast: int) -> "Tensor":
    """The float image (slow, fast) in `path`: little-endian float32, slow-major. Raises BadInput."""
    import numpy
    import torch

    wanted = 4 * slow * fast
    data = read_file(path, wanted, path.name)
    if len(data) != wanted:
        size = path.stat().st_size
        raise BadInput(f"{path.name}: expected {slow} x {fast} float32, {wanted} bytes, got {size} bytes")
    return torch.from_numpy(numpy.frombuffer(data, "<f4").astype(numpy.float32)).reshape(slow, fast)


def read_trace(program: Implementation, run: Ran, pixel: Pixel) -> "Trace":
    """The trace of `pixel` that a run has printed or written, under our names.

    Raises Unavailable where the program has no trace, BadInput where its lines cannot be read or are of another pixel.
    """
    from tools.scaling.traces.labels import computed, read_labels
    from tools.scaling.traces.read import parse_trace

    form = program.trace
    if form is None:
        raise Unavailable(f"{program.name}: expected an implementation that prints a trace, got none")
    text = run.out + run.err
    if form.file:
        path = run.folder / fill(form.file, {"slow": str(pixel[0]), "fast": str(pixel[1])})
        if not path.is_file():
            raise BadInput(f"{program.name}: expected a trace in {form.file}, got no file")
        text = path.read_text(encoding="utf-8", errors="backslashreplace")
    at = f"(the output for pixel {pixel[0]} {pixel[1]})"
    if not form.reader and form.prefix not in text:
        raise BadInput(f"{program.name}: expected lines that begin with {form.prefix}, got none {at}")
    text = _read_by(program, form.reader, text) if form.reader else _with_our_prefix(text, form.prefix)
    try:
        trace = parse_trace(to_ascii(text).encode("ascii"), source=program.name)
    except ScalingError as error:
        raise BadInput(f"{error} {at}") from error
    if trace.pixel not in (None, pixel):
        raise BadInput(
            f"{program.name}: expected the trace of pixel {pixel[0]} {pixel[1]}, got that of pixel "
            f"{trace.pixel[0]} {trace.pixel[1]}"
        )
    return computed(trace, read_labels() | form.labels)


def require(*programs: Implementation) -> None:
    """Raises Unavailable where one of the implementations that are run is not there, or its checkout."""
    for program in programs:
        if program.checkout is not None and not program.checkout.is_dir():
            raise Unavailable(f"{program.checkout}: expected the checkout of an implementation, got no folder")
        if program.command:
            _program(program, program.words(())[0])


def record_of(program: Implementation) -> dict[str, Any]:
    """What the evidence says of an implementation: its name, variant, command, and the digests of its files.

    programs_sha256: of the program and of every file that its command names, so that a script counts, too.
    Raises Unavailable where the program is not there.
    """
    require(program)
    words = program.words(())
    files = [Path(_program(program, words[0])), *map(Path, words[1:])] if words else []
    return {
        "name": program.name,
        "variant": program.variant,
        "command": list(program.command),
        "file": str(program.source) if program.source else None,
        "file_sha256": program.digest or None,
        "programs_sha256": {str(path): digest(path) for path in files if path.is_file()},
        "commit": _commit(program.checkout),
    }


def _commit(checkout: Path | None) -> str | None:
    from tools.scaling.base.repo import git

    if checkout is None:
        return None
    if not any((folder / ".git").exists() for folder in (checkout.absolute(), *checkout.absolute().parents)):
        files = sorted(path for path in checkout.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        listing = "".join(f"{digest(path)}  {path.relative_to(checkout)}\n" for path in files)
        return f"no git; sha256 of its files {hashlib.sha256(os.fsencode(listing)).hexdigest()}"
    dirty = "-dirty" if git("status", "--porcelain", cwd=checkout).strip() else ""
    return git("rev-parse", "HEAD", cwd=checkout).strip() + dirty


def _image_name(program: Implementation) -> str:
    return program.image.file if program.image is not None else "float.bin"


def _program(program: Implementation, word: str) -> str:
    """The program of a command line, found before the folder changes."""
    path = Path(word).expanduser()
    if "/" in word and not path.is_absolute() and program.source is not None:
        path = program.source.parent / path
    where = shutil.which(str(path.absolute()) if "/" in word else word)
    if where is None:
        raise Unavailable(f"{program.name}: expected a program that can be run, got none at {word}")
    return where


def _ended(child: Guarded, printed: Sequence[IO[bytes]], program: Implementation, pixel: Pixel | None) -> GuardOutcome:
    """The outcome of a child that ends in its time and prints no more than MOST_PRINTED; else BadInput."""
    what = program.name + (f": on pixel {pixel[0]} {pixel[1]}" if pixel else "")
    end = time.monotonic() + program.timeout_s
    while True:
        with suppress(TimeoutError):
            return child.wait(LOOK)
        if sum(os.fstat(stream.fileno()).st_size for stream in printed) > MOST_PRINTED:
            child.stop()
            raise BadInput(f"{what}: printed more than {MOST_PRINTED >> 20} MiB, expected a trace; stopped")
        if time.monotonic() > end:
            child.stop()
            raise BadInput(f"{what}: still running after {program.timeout_s:g} s; stopped")


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    # The reference prints arrows in one text line; the port writes <- there.
    return stream.read().decode("utf-8", "backslashreplace").replace("\u2190", "<-")


def _refuse_failure(program: Implementation, outcome: GuardOutcome, printed: Sequence[str]) -> None:
    if outcome.verdict is GuardVerdict.OK:
        return
    if outcome.error is not None:
        raise outcome.error
    last = [line.strip() for text in printed for line in text.splitlines()[-3:] if line.strip()]
    how = f"crashed with {outcome.signal}" if outcome.signal else f"exit code {outcome.exit_code}"
    told = f": {last[-1][:120]}" if last else ""
    raise Crashed(
        one_line(f"{program.name}: {how}, expected a run to its end{told}"),
        outcome.signal or "",
        outcome.exit_code in KILLED,
    )


def _with_our_prefix(text: str, prefix: str) -> str:
    if prefix in ("TRACE_C", "TRACE_PY"):
        return text
    # a prefix may end in a colon, or have none behind it
    text = re.sub(rf"(?m)^{re.escape(prefix)}(?=[:_])", "TRACE_PY", text)
    return re.sub(rf"(?m)^{re.escape(prefix)}(?=[ \t])", "TRACE_PY:", text)


def _read_by(program: Implementation, name: str, text: str) -> str:
    """What the reader `name`, "module:function" or "FILE.py:function", makes of a run's output. Raises BadInput."""
    where, _, function = name.rpartition(":")
    try:
        if where.endswith(".py"):
            beside = program.source.parent if program.source else Path.cwd()
            reader = runpy.run_path(str(beside / where))[function]
        else:
            reader = getattr(importlib.import_module(where), function)
        lines = reader(text)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise BadInput(one_line(f"{program.name}: the trace's reader {name}: {told}")) from error
    if not isinstance(lines, str):
        raise BadInput(f"{program.name}: the trace's reader {name}: expected text, got {type(lines).__name__}")
    return lines
