"""Writing files: whole or not at all."""

import os
import secrets
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
                    target = path.resolve()
                    # known before there is such a file, so that an interrupt finds it
                    waiting[path] = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
                    _write(waiting[path], pieces)
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


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("xb") as stream:
        stream.writelines(pieces)
        stream.flush()
        os.fsync(stream.fileno())
