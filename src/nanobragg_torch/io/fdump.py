"""Fdump.bin: the structure-factor grid of an earlier run (semantics 2.7)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nanobragg_torch.config import Reflections
from nanobragg_torch.errors import InputError
from nanobragg_torch.io.inputs import open_file, size_of
from nanobragg_torch.io.room import require_room

NAME = "Fdump.bin"

_BOUNDS = re.compile(rb"\s*" + rb"\s+".join([rb"([+-]?\d{1,9})"] * 6))
_WHITE = b"\t\n\v\f\r "
_LARGEST = 2**31  # cells: more is no dump
_HEAD = 256  # bytes that hold six integers
GRID_CELL = 24  # bytes a cell, on the way from the file to the simulation


def fdump_pieces(values: np.ndarray, lowest: tuple[int, int, int], counts: tuple[int, int, int]) -> Iterator[bytes]:
    """Yield the bytes of a dump, a plane of h at a time.

    values: the grid, float64, of shape counts + 1: the last plane along each axis is padding. lowest, counts: the
    lowest indices h, k, l of the box, and how many it has along each axis.
    """
    bounds = [bound for low, count in zip(lowest, counts) for bound in (low, low + count - 1)]
    yield " ".join(map(str, bounds)).encode("ascii") + b"\n\f"
    for plane in values:
        yield np.ascontiguousarray(plane, "<f8").tobytes()


def fdump_cells(path: Path) -> int:
    """Return the number of cells of the grid in `path`, padding included. Raises InputError for what is no dump."""
    with open_file(path) as stream:
        _, _, shape = _header(path, stream)
    return math.prod(shape)


def read_fdump(path: Path, *, skip_white_space: bool) -> Reflections:
    """The grid in `path`: F of every index of its box, float64.

    skip_white_space: all bytes that look like white space after the header are skipped, also those of the first F
    (Q22), instead of the two separators; what is then missing at the end is 0. Raises InputError for what is no such
    file or has fewer numbers than its header says, DoesNotFit for too many.
    """
    with open_file(path) as stream:
        lowest, counts, shape = _header(path, stream)
        begin, cells = stream.tell(), math.prod(shape)
        there = max(0, size_of(stream) - begin - 2)
        if there < 8 * cells:
            raise InputError(f"{path}: expected {cells} numbers of 8 bytes after the header, got {there} bytes")
        require_room(GRID_CELL * cells, f"{path}: a grid of {' x '.join(map(str, shape))} structure factors")
        skipped = _white_space(stream) if skip_white_space else 2
        stream.seek(begin + skipped)
        values = np.zeros(shape, "<f8")
        stream.readinto(values.data.cast("B"))  # type: ignore[attr-defined]
    if skipped > 2:
        eaten = f"{path}: {skipped - 2} bytes of the first F look like white space and are skipped, so that every F is"
        eaten += " misread, as in the reference (Q22); --quirk Q22=off reads them right"
        return Reflections(None, values, lowest, counts, eaten)
    broken = int(np.count_nonzero(~np.isfinite(values)))
    if broken:
        raise InputError(f"{path}: expected finite structure factors, got {broken} that are not")
    return Reflections(None, values, lowest, counts)


def _header(path: Path, stream: BinaryIO) -> tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]:
    """Read the header of a dump; return the lowest h, k, l, their counts, and the grid's shape with padding.

    The stream then stands at the two separators before the numbers.
    """
    head = stream.read(_HEAD)
    match = _BOUNDS.match(head)
    if match is None:
        raise InputError(f"{path}: expected six integers (lowest and highest h, k, l), got {head[:30]!r}")
    stream.seek(match.end())
    h, h_top, k, k_top, l, l_top = map(int, match.groups())  # noqa: E741 -- a Miller index
    counts = (h_top - h + 1, k_top - k + 1, l_top - l + 1)
    shape = (counts[0] + 1, counts[1] + 1, counts[2] + 1)
    if min(counts) < 1 or math.prod(shape) > _LARGEST:
        raise InputError(f"{path}: expected indices of one crystal, got a box of {counts} indices")
    return (h, k, l), counts, shape


def _white_space(stream: BinaryIO) -> int:
    """Return how many bytes from here on look like white space, up to the first that does not."""
    count = 0
    while chunk := stream.read(_HEAD):
        rest = len(chunk.lstrip(_WHITE))
        count += len(chunk) - rest
        if rest:
            break
    return count
