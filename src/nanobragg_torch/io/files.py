"""Writing files: whole or not at all."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from nanobragg_torch.errors import InputError


def write_files(contents: Mapping[Path, Iterable[bytes]]) -> None:
    """Write every file, or none: each goes to a temporary name first, and all are renamed at the end.

    contents: of each file in pieces, which are made one after the other while it is written. What is no regular
    file (/dev/null, a pipe) is opened as it is. Raises InputError when the file system refuses; then the old
    files are as they were.
    """
    waiting: dict[Path, Path] = {}
    try:
        for path, pieces in contents.items():
            try:
                if path.exists() and not path.is_file():
                    with path.open("wb") as stream:
                        stream.writelines(pieces)
                else:
                    waiting[path] = _temporary(path.resolve(), pieces)
            except OSError as error:
                raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
        for path, name in waiting.items():
            try:
                name.replace(path.resolve())
            except OSError as error:
                raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        for name in waiting.values():
            with suppress(OSError):
                name.unlink()


def _temporary(path: Path, pieces: Iterable[bytes]) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    return Path(name)
