# ruff: noqa: E741 -- l is a Miller index
"""Structure factors: a default, a list of any kind, a dump of an earlier run."""

import struct

from tools.scaling.campaign.draws.case import MOST_TRICUBIC, Draft
from tools.scaling.campaign.draws.dice import Dice

Index = tuple[int, int, int]

_LISTS = ("p1.hkl", "refl.hkl", "f.txt")
_MOST = 2000  # reflections of a list


def draw_structure(draft: Draft) -> None:
    """What the reflections' amplitudes are; where interpolation may be on, the case gets fewer terms."""
    dice = draft.dice
    kind = dice.whole(0, 19)
    default = dice.of("1", "100", "100", dice.number(1, 500), dice.number(1, 500))
    if dice.chance(0.03):
        default = dice.of("-5", "1e12", "1e-15", "0.001")
    if kind < 7:
        draft.add("-default_F", default)
    else:
        if kind < 18:
            draft.add("-hkl", draft.file(_LISTS, _reflections(draft)))
            if dice.chance(0.02):  # not read beside a list
                draft.add("--fdump", draft.file(("Fdump.bin",), _grid(draft)))
        else:
            _dump(draft)
        draft.listed = True
        if dice.chance(0.65):
            draft.add("-default_F", default)
    _interpolation(draft)


def _interpolation(draft: Draft) -> None:
    dice = draft.dice
    if dice.chance(0.12):
        draft.tricubic = True
        draft.add("-interpolate")
    elif dice.chance(0.1 if not draft.tricubic else 0.4):
        draft.tricubic = False
        draft.add("-nointerpolate")
    elif not draft.on("Q51"):
        draft.tricubic = True
    if draft.tricubic and draft.listed:
        draft.left = min(draft.left, MOST_TRICUBIC)


def _amplitude(dice: Dice) -> str:
    kind = dice.whole(0, 9)
    if kind < 8:
        return f"{dice.real(0, 300):.2f}"
    return dice.power(-2, 4) if kind == 8 else dice.of("0", "7", "123.456789", ".5", "12.")


def _box(draft: Draft, most: int) -> list[Index]:
    """All indices between two corners: mostly those that the detector sees, now and then a box beside them."""
    dice, edge = draft.dice, sorted(draft.edges_a)[1]
    half = [1 + min(int(draft.reach * length / edge * dice.real(0.7, 1.8)), 15) for length in draft.edges_a]
    while (2 * half[0] + 1) * (2 * half[1] + 1) * (2 * half[2] + 1) > most:
        half[half.index(max(half))] -= 1
    middle = [0, 0, 0] if dice.chance(0.9) else [dice.whole(-4, 4) for _ in range(3)]
    ranges = [range(m - n, m + n + 1) for m, n in zip(middle, half)]
    return [(h, k, l) for h in ranges[0] for k in ranges[1] for l in ranges[2]]


def _sparse(dice: Dice) -> list[Index]:
    size = dice.of(4, 8, 20)
    count = dice.whole(3, 120)
    return [(dice.whole(-size, size), dice.whole(-size, size), dice.whole(-size, size)) for _ in range(count)]


def _indices(draft: Draft) -> list[Index]:
    dice = draft.dice
    kind = dice.whole(0, 39)
    if kind < 27:
        return _box(draft, dice.of(300, 300, 300, 1000, _MOST))
    if kind < 33:
        return dice.some(_box(draft, 500), dice.real(0.3, 0.95)) or [(0, 0, 1)]
    if kind < 36:
        return _sparse(dice)
    if kind < 37:
        return [(dice.whole(-2, 2), dice.whole(-2, 2), dice.whole(-2, 2))]
    if kind < 38:
        return [(-abs(h), -abs(k) - 1, -abs(l)) for h, k, l in _box(draft, 200)]
    return [(0, k, l) for _, k, l in _box(draft, 200)]


def _reflections(draft: Draft) -> bytes:
    """Lines of h k l F; odd ones only where the switches say how they are read."""
    dice = draft.dice
    blank, end = dice.of(" ", " ", "\t", "   "), dice.of("\n", "\n", "\n", "\r\n", "\n\n")
    indices = _indices(draft)
    if dice.chance(0.2):
        indices = dice.order(indices)
    rows = [[str(h), str(k), str(l), _amplitude(dice)] for h, k, l in indices]
    if dice.chance(0.1):  # the last one counts
        rows += [[*dice.of(*rows)[:3], _amplitude(dice)] for _ in range(3)]
    if dice.chance(0.05):
        rows = [[f"+{word}" if not word.startswith("-") else word for word in row[:3]] + row[3:] for row in rows]
    lines = [blank.join(row) for row in rows]
    if not draft.quirks.strict("Q10", "Q11") and dice.chance(0.5):
        lines = _odd(draft, rows, lines, blank)
    if draft.on("Q10") and not draft.quirks.strict("Q10", "Q11") and dice.chance(0.1):
        return blank.join(lines).encode("ascii")  # line ends do not count
    return (end.join(lines) + (end if dice.chance(0.9) else "")).encode("ascii")


def _odd(draft: Draft, rows: list[list[str]], lines: list[str], blank: str) -> list[str]:
    """A comment, a further column, a decimal index: what is lost by them depends on Q10 and Q11."""
    dice = draft.dice
    at = dice.whole(1, len(lines))
    kind = dice.whole(0, 2)
    if kind == 0:
        return [*lines[:at], "# h k l F", *lines[at:]]
    if kind == 1 and not draft.on("Q10"):
        return [f"{line}{blank}1.5" for line in lines]
    if kind == 1 and draft.on("Q11"):  # amplitudes become indices: small ones, as their box is a grid
        small = [[*row[:3], f"{dice.real(0, 6):.1f}", "1"] for row in rows]
        return [blank.join(row) for row in small]
    decimal = [f"{word}.0" for word in rows[at - 1][:3]]
    return [*lines[: at - 1], blank.join([*decimal, rows[at - 1][3]]), *lines[at:]]


def _dump(draft: Draft) -> None:
    """A grid of an earlier run: named by a flag of the port, or by -dump where the program has that."""
    if draft.on("Q61") and draft.dice.chance(0.5):
        draft.add("-dump", draft.file(("cache.bin", "F.dump"), _grid(draft)))
    else:
        draft.add("--fdump", draft.file(("Fdump.bin",), _grid(draft)))


def _grid(draft: Draft) -> bytes:
    dice = draft.dice
    half = [dice.whole(1, 5) for _ in range(3)]
    middle = [dice.of(0, 0, dice.whole(-3, 3)) for _ in range(3)]
    bounds = [bound for m, n in zip(middle, half) for bound in (m - n, m + n)]
    counts = [2 * n + 1 for n in half]
    values: list[float] = []
    for h in range(counts[0] + 1):
        for k in range(counts[1] + 1):
            for l in range(counts[2] + 1):
                inside = h < counts[0] and k < counts[1] and l < counts[2]
                values.append(round(dice.real(0, 200), 2) if inside else 0.0)
    grid = bytearray(struct.pack(f"<{len(values)}d", *values))
    if dice.chance(0.1):  # the first byte looks like white space (Q22)
        grid[0] = dice.of(0x20, 0x0A, 0x0D)
        draft.quiet = True
    elif bytes(grid[:1]) in b"\t\n\v\f\r ":
        grid[0] = 0x80
    return " ".join(map(str, bounds)).encode("ascii") + b"\n\f" + bytes(grid)
