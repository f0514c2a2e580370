"""Writing files so that a kill leaves each of them old or new, never half-written."""

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tools.scaling.base.discretion import discreet, discreet_json
from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import refuse_protected

_MARKED = 4096  # bytes in which a file of ours shows what it is


def to_ascii(text: str) -> str:
    """Return `text` with every non-ASCII character written as a backslash escape."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def one_line(text: str) -> str:
    """Return `text` in ASCII with line ends and other control characters escaped, too.

    So a name that somebody else chose begins no line of its own, and gives the terminal no commands.
    """
    return "".join(c if " " <= c != "\x7f" else f"\\x{ord(c):02x}" for c in to_ascii(text))


def write_bytes(path: Path, data: bytes) -> None:
    """Write one file as `write_all` does."""
    write_all({Path(path): data})


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write every file beside its target, then rename each over it: a full disk leaves all of them as they were.

    What is no regular file (/dev/null, a pipe) is opened as it is; a symbolic link is followed, so that it stays a
    link. Raises BadInput if the folder or the disk refuses, or if a path is a protected file, which no tool writes.
    """
    for path in contents:
        refuse_protected(path)
    with ExitStack() as stack:
        for step in [_ready(path, data, stack) for path, data in contents.items()]:
            step()


def _ready(path: Path, data: bytes, stack: ExitStack) -> Callable[[], object]:
    """Bring `data` to the disk, and return a step that puts it in place; `stack` removes what is left over."""
    with _refusals(path):
        if path.exists() and not path.is_file():
            return lambda: _pour(path, data)
        put = stack.enter_context(_beside(path.resolve(), data))

    def step() -> None:
        with _refusals(path):
            put()

    return step


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror or error}") from error


def _pour(path: Path, data: bytes) -> None:
    with _refusals(path), path.open("wb") as stream:
        stream.write(data)


@contextmanager
def _beside(path: Path, data: bytes) -> Iterator[Callable[[], None]]:
    """Bring `data` to the disk in the folder of `path`, and yield a step that renames it to `path`."""
    mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
    handle, name = _nameless(path.parent), ""
    if handle is None:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), mode)

            def put() -> None:
                nonlocal name
                name = name or _named(stream.fileno(), path)
                Path(name).replace(path)

            yield put
    finally:
        if name:
            with suppress(OSError):  # renamed, as it should be
                Path(name).unlink()


def _nameless(folder: Path) -> int | None:
    """Open a file in `folder` without a name, so that nothing is left of it if this process is killed.

    Returns its descriptor, open for writing; None where the system or the file system has no files without a name.
    """
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except (AttributeError, OSError):
        return None


def _named(handle: int, path: Path) -> str:
    """Give the open file `handle`, which has no name, a temporary one beside `path`, and return that."""
    name = str(path.parent / f".{path.name}.{secrets.token_hex(4)}")
    # an explicit folder, or os.link would link the link in /proc
    os.link(f"/proc/self/fd/{handle}", name, src_dir_fd=handle, follow_symlinks=True)
    return name


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def refuse_foreign(marks: Mapping[Path, bytes]) -> None:
    """Raise BadInput if one of these files, which the user has not named, is somebody else's.

    marks: each file that is to be written -> words near the beginning of every such file that the tools write. A
    regular file without them is another's; what is not there is nobody's.
    """
    for path, mark in marks.items():
        try:
            with path.open("rb") as stream:
                start = stream.read(_MARKED) if path.is_file() else mark
        except OSError:
            continue  # not there, or the writing will say why not
        if mark not in start:
            raise BadInput(f"{path}: not written by this tool, and would be overwritten; expected another --out")


def make_folder(path: Path) -> None:
    """Make the folder `path` and those above it, where they are missing.

    Raises BadInput if that fails, or if one of them would take the place of a protected file.
    """
    for folder in (path, *path.parents):
        refuse_protected(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{path}: expected a folder to write to, got: {error.strerror}") from error


def text_bytes(text: str) -> bytes:
    """Return `text` as it is written: discreet (discretion.py), in ASCII, other characters escaped."""
    return to_ascii(discreet(text)).encode("ascii")


def json_bytes(value: Any) -> bytes:
    """Return `value` as indented JSON with a final newline, its strings discreet."""
    return (json.dumps(discreet_json(value), indent=2, ensure_ascii=True) + "\n").encode("ascii")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time work within, for `folder`; where locks do not work, it keeps nobody out."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write `text`, discreet and in ASCII, as `write_all` does."""
    write_bytes(path, text_bytes(text))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, its strings discreet, as `write_all` does."""
    write_bytes(path, json_bytes(value))
