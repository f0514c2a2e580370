"""Names of files: an output is neither an input nor another output, by whatever name."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from nanobragg_torch.errors import FlagError
from nanobragg_torch.io.inputs import kind_of

Named = tuple[str, Path]


def check_outputs(outputs: Sequence[Named], inputs: Sequence[Named]) -> None:
    """Raise FlagError for an output that is also an input or another output, or that cannot be written.

    outputs, inputs: (flag, file) pairs. A link counts as the file that it leads to. Any number of outputs may go to a
    device such as /dev/null.
    """
    written: list[Named] = []
    for flag, path in outputs:
        kind = _place(flag, path)
        if kind == "a device":
            continue
        for other, file in inputs:
            if _is_same(path, file):
                raise FlagError(f"{flag} {path}: expected a file of its own, got that which {other} reads")
        for other, file in written:
            if _is_same(path, file):
                raise FlagError(f"{flag} {path}: expected a file of its own, got that of {other}")
        written.append((flag, path))


def _place(flag: str, path: Path) -> str:
    """Return what lies at `path`, as `kind_of` does. Raises FlagError if it cannot be written, before the long work."""
    try:
        kind = kind_of(path.stat().st_mode) if path.exists() else ""
        folder = path.resolve().parent
        open_to_us = bool(kind) or (stat.S_ISDIR(folder.stat().st_mode) and os.access(folder, os.W_OK | os.X_OK))
    except (OSError, ValueError, RuntimeError) as error:  # a byte 0 in the name; links in a circle
        raise FlagError(f"{flag} {path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
    if kind == "a folder":
        raise FlagError(f"{flag} {path}: expected a file, got a folder")
    if not open_to_us:
        raise FlagError(f"{flag} {path}: cannot be written: {folder} is no folder that lets us")
    return kind


def _is_same(one: Path, other: Path) -> bool:
    try:
        if one.samefile(other):
            return True
    except OSError:
        pass
    return os.path.realpath(one) == os.path.realpath(other)
