"""Writing files whole, or not at all."""

import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nanobragg_torch.errors import InputError

FEWEST_SKIPPED = 2**16  # bytes; fewer zeros are written


@dataclass(frozen=True)
class Zeros:
    """`count` bytes of 0 in a file; in a regular file they are skipped, so that they take no room on the disk."""

    count: int

    def __bytes__(self) -> bytes:
        return bytes(self.count)


Piece = bytes | Zeros


def write_files(contents: Mapping[Path, Iterable[Piece]]) -> None:
    """Write every file, or none: each goes to a temporary name first, and all are renamed at the end.

    contents: path -> the pieces of the file, which are made one after the other while it is written. What is no
    regular file (/dev/null, a pipe) is opened as it is. Raises InputError if the file system refuses; the old files
    are then as they were.
    """
    waiting: dict[Path, Path] = {}
    try:
        for path, pieces in contents.items():
            try:
                if path.exists() and not path.is_file():
                    with path.open("wb") as stream:
                        _write_pieces(stream, pieces, sparse=False)
                else:
                    target = path.resolve()
                    # known before there is such a file, so that an interrupt finds it
                    waiting[path] = target.with_name(f".nanobragg_torch.{secrets.token_hex(8)}")
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


def _write(path: Path, pieces: Iterable[Piece]) -> None:
    with path.open("xb") as stream:
        _write_pieces(stream, pieces, sparse=True)
        stream.truncate()  # to where it is: the last piece may have been skipped
        stream.flush()
        os.fsync(stream.fileno())


def _write_pieces(stream: BinaryIO, pieces: Iterable[Piece], *, sparse: bool) -> None:
    for piece in pieces:
        if isinstance(piece, bytes):
            stream.write(piece)
        elif sparse and piece.count >= FEWEST_SKIPPED:
            stream.seek(piece.count, os.SEEK_CUR)
        else:
            for start in range(0, piece.count, FEWEST_SKIPPED):
                stream.write(bytes(min(FEWEST_SKIPPED, piece.count - start)))
