"""Where marked pixels lie in an image, in words: told from how many there are in each row and each column."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_MOST = 0.99  # share of the pixels that a place must hold; strays do not hide it
_LISTED = 6  # rows or columns that are named one by one
_HEAVY = 4.0  # times the mean of all rows: a row that stands out
_CHANCE = 14.0  # -log of the probability that pixels thrown at random lie within a place of this size: one in a million
_NAMES = ("slow", "fast")


@dataclass(frozen=True)
class Place:
    """name: what it is (row, column, block, panel edge ...), empty where the pixels are scattered. share: of them."""

    name: str
    text: str
    share: float = 1.0


def place_of(rows: Tensor, columns: Tensor, origin: tuple[int, int] = (0, 0)) -> Place:
    """The place of pixels of which there are `rows[s]` in row s and `columns[f]` in column f.

    origin: (slow, fast) of the first row and column, from which the text counts.
    """
    axes, n = (rows, columns), int(rows.sum())
    if n == 1:
        return Place("pixel", f"slow {int(rows.argmax()) + origin[0]}, fast {int(columns.argmax()) + origin[1]}")
    for axis, name in ((0, "row"), (1, "column")):
        at, other = int(axes[axis].argmax()), 1 - axis
        share = int(axes[axis][at]) / n
        if share >= _MOST and n > 2:
            low, high = (end + origin[other] for end in _ends(axes[other]))
            return Place(name, f"{_NAMES[axis]} {at + origin[axis]}, {_NAMES[other]} {low}-{high}", share)
    return _lines(axes, n, origin) or _area(axes, n, origin)


def _lines(axes: tuple[Tensor, Tensor], n: int, origin: tuple[int, int]) -> Place | None:
    """Some rows, some columns, or a grid of both, that hold nearly all of the pixels."""
    heavy = [(axis > _HEAVY * axis.double().mean()).nonzero()[:, 0] for axis in axes]
    inside = [int(axis[at].sum()) for axis, at in zip(axes, heavy)]
    stand_out = [2 < len(at) * 3 <= held and not _adjoining(at) for at, held in zip(heavy, inside)]
    for which, name in ((0, "rows"), (1, "columns")):
        at = heavy[which]
        if stand_out[which] and inside[which] >= _MOST * n and len(at) > 1:
            name = "panel edge" if _period(at) else name
            return Place(name, _listed(at, which, origin), inside[which] / n)
    # in a grid each line goes on beyond those that it crosses, which a block's rows do not
    crossings = len(heavy[0]) * len(heavy[1])
    wide = all(int((axis > 0).sum()) >= 2 * len(at) for axis, at in zip(axes, heavy))
    full = all(3 * len(at) <= held for at, held in zip(heavy, inside))
    if crossings and wide and full and sum(inside) - crossings <= n <= sum(inside) / _MOST:
        return Place("panel edge", " and ".join(_listed(at, axis, origin) for axis, at in enumerate(heavy)))
    return None


def _area(axes: tuple[Tensor, Tensor], n: int, origin: tuple[int, int]) -> Place:
    """A block, or all on one side of a line through the whole image."""
    spans = [_ends(axis) for axis in axes]
    sizes = [last - first + 1 for first, last in spans]
    area, whole = sizes[0] * sizes[1], len(axes[0]) * len(axes[1])
    texts = [f"{name} {first + start}-{last + start}" for name, (first, last), start in zip(_NAMES, spans, origin)]
    if n * math.log(whole / area) < _CHANCE:
        return Place("", ", ".join(texts))
    # the fewer the pixels, the farther from an edge the last of them
    slack = [5 * len(axis) // n for axis in axes]
    begins = [first <= room for (first, _), room in zip(spans, slack)]
    ends = [last >= len(axis) - 1 - room for (_, last), axis, room in zip(spans, axes, slack)]
    for axis in (0, 1):
        if begins[1 - axis] and ends[1 - axis] and begins[axis] != ends[axis]:
            return Place("panel edge", f"all on one side of an edge through the whole image, {', '.join(texts)}")
    return Place("block", f"{', '.join(texts)}, {area} pixels in all")


def _adjoining(at: Tensor) -> bool:
    """Lines that touch are a block."""
    return len(at) > 1 and int(at[-1] - at[0]) == len(at) - 1


def _period(at: Tensor) -> str:
    """Lines at equal distances are what the edges of panels make."""
    steps = torch.diff(at).unique()
    return f", every {int(steps[0])}" if len(at) > 2 and len(steps) == 1 else ""


def _listed(at: Tensor, axis: int, origin: tuple[int, int]) -> str:
    where = (at + origin[axis]).tolist()
    more = f" and {len(where) - _LISTED} more" if len(where) > _LISTED else ""
    return f"{_NAMES[axis]} {', '.join(map(str, where[:_LISTED]))}{more}{_period(at)}"


def _ends(counts: Tensor) -> tuple[int, int]:
    """The first and the last that hold a pixel; strays left aside where the rest is clearly narrower."""
    n, before = int(counts.sum()), counts.cumsum(0)
    ends = [(_first(before > spare), _first(before >= n - spare)) for spare in (0, int((1.0 - _MOST) / 2 * n))]
    (first, last), (low, high) = ends
    while low > first and counts[low - 1]:  # what adjoins the rest is no stray
        low -= 1
    while high < last and counts[high + 1]:
        high += 1
    return (low, high) if high - low + 1 < 0.9 * (last - first + 1) else (first, last)


def _first(mask: Tensor) -> int:
    return int(mask.int().argmax())
