"""Files that a kill leaves old or new, never half-written."""

import json
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from tools.scaling.errors import BadInput
from tools.scaling.repo import refuse_protected


def to_ascii(text: str) -> str:
    """`text` with every non-ASCII character written as a backslash escape."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def one_line(text: str) -> str:
    """`to_ascii` with line ends and other control characters escaped, too: others chose these names."""
    return "".join(c if " " <= c != "\x7f" else f"\\x{ord(c):02x}" for c in to_ascii(text))


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to a temporary name beside `path`, then rename it over `path`.

    What is no regular file (/dev/null, a pipe) is opened as it is; a symbolic link is followed,
    so that the link stays a link. Raises BadInput when the folder or the disk refuses, or when `path`
    is a protected file (design: no tool of ours writes those).
    """
    path = Path(path)
    refuse_protected(path)
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                stream.write(data)
            return
        _replace(path.resolve(), data)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror or error}") from error


def _replace(path: Path, data: bytes) -> None:
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
            name = name or _named(stream.fileno(), path)
        Path(name).replace(path)
    except BaseException:
        if name:
            with suppress(OSError):
                Path(name).unlink()
        raise


def _nameless(folder: Path) -> int | None:
    """A file in `folder` that has no name yet: a kill leaves nothing of it. None where there is no such thing."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except (AttributeError, OSError):
        return None


def _named(handle: int, path: Path) -> str:
    """Give a nameless file a temporary name beside `path`."""
    name = str(path.parent / f".{path.name}.{secrets.token_hex(4)}")
    # an explicit folder, or os.link would link the link in /proc
    os.link(f"/proc/self/fd/{handle}", name, src_dir_fd=handle, follow_symlinks=True)
    return name


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of ASCII text; anything else in it is escaped."""
    write_bytes(path, to_ascii(text).encode("ascii"))


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON with a final newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=True) + "\n")
