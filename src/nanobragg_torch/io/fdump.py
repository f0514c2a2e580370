"""Fdump.bin: the structure-factor grid of an earlier run (semantics 2.7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nanobragg_torch.errors import InputError

NAME = "Fdump.bin"

_BOUNDS = re.compile(rb"\s*" + rb"\s+".join([rb"([+-]?\d{1,9})"] * 6))
_LARGEST = 2**31


def fdump_pieces(values: np.ndarray, lowest: tuple[int, int, int], counts: tuple[int, int, int]) -> Iterator[bytes]:
    """The file of `values`, padding planes included: shape counts + 1, float64. A plane of h at a time."""
    bounds = [bound for low, count in zip(lowest, counts) for bound in (low, low + count - 1)]
    yield " ".join(map(str, bounds)).encode("ascii") + b"\n\f"
    for plane in values:
        yield np.ascontiguousarray(plane, "<f8").tobytes()


def read_fdump(path: Path, *, skip_white_space: bool) -> tuple[np.ndarray, tuple[int, int, int], tuple[int, int, int]]:
    """(values, lowest, counts) of `path`; what the file lacks at its end is 0.

    skip_white_space: all bytes that look like white space after the header are skipped, also those of the
    first F (Q22), instead of the two separators. Raises InputError for what is no such file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    match = _BOUNDS.match(data)
    if match is None:
        raise InputError(f"{path}: expected six integers (lowest and highest h, k, l), got {data[:30]!r}")
    bounds = [int(word) for word in match.groups()]
    lowest = (bounds[0], bounds[2], bounds[4])
    counts = (bounds[1] - bounds[0] + 1, bounds[3] - bounds[2] + 1, bounds[5] - bounds[4] + 1)
    if min(counts) < 1 or np.prod([float(count + 1) for count in counts]) > _LARGEST:
        raise InputError(f"{path}: expected indices of one crystal, got a box of {counts} indices")
    body = data[match.end() :]
    body = body.lstrip(b"\t\n\v\f\r ") if skip_white_space else body[2:]
    shape = [count + 1 for count in counts]
    size = int(np.prod(shape))
    if not skip_white_space and len(body) < 8 * size:
        raise InputError(f"{path}: expected {size} numbers of 8 bytes after the header, got {len(body)} bytes")
    values = np.frombuffer(body[: 8 * size].ljust(8 * size, b"\0"), "<f8")
    return values.reshape(shape).copy(), lowest, counts
