"""Names of files: an output is neither an input nor another output, by whatever name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from nanobragg_torch.errors import FlagError

Named = tuple[str, Path]


def check_outputs(outputs: Sequence[Named], inputs: Sequence[Named]) -> None:
    """Raises FlagError for an output of `outputs` (flag, file) that is a file of `inputs`, or another output.

    Links count as what they lead to. A device such as /dev/null may have any number of outputs.
    """
    written: list[Named] = []
    for flag, path in outputs:
        if path.is_char_device():
            continue
        for other, file in inputs:
            if _is_same(path, file):
                raise FlagError(f"{flag} {path}: expected a file of its own, got that which {other} reads")
        for other, file in written:
            if _is_same(path, file):
                raise FlagError(f"{flag} {path}: expected a file of its own, got that of {other}")
        written.append((flag, path))


def _is_same(one: Path, other: Path) -> bool:
    try:
        if one.samefile(other):
            return True
    except OSError:
        pass
    return os.path.realpath(one) == os.path.realpath(other)
