"""The flags of the crystal: cell or matrix, orientation, size, shape, mosaic spread."""

from tools.scaling.campaign.draws.case import Draft
from tools.scaling.campaign.draws.dice import Dice

_MATRICES = ("A.mat", "orient.mat", "auto.mat")


def draw_crystal(draft: Draft) -> None:
    _lattice(draft)
    _cells(draft)
    _shape(draft)
    _misset(draft)
    draft.maybe(0.02, f"{draft.dice.of('-density', '-sample_density', '-MW', '-molecular_weight')} 1.2")


def _lattice(draft: Draft) -> None:
    dice = draft.dice
    if dice.chance(0.8):
        draft.add("-cell", _cell(draft))
        return
    matrix = _matrix(draft)
    draft.add(draft.spell("-mat", "-matrix"), draft.file(_MATRICES, matrix))
    if dice.chance(0.3):
        draft.add("-cell", _cell(draft))


def _edge(dice: Dice) -> str:
    return dice.of(dice.number(20, 120), dice.number(20, 120), dice.number(40, 80), dice.number(5, 20))


def _cell(draft: Draft) -> str:
    """Up to six values of -cell; what is missing or 0 becomes a or 90 degrees."""
    dice = draft.dice
    a, b, c = edges = [_edge(dice) for _ in range(3)]
    if dice.chance(0.03):
        text = dice.of("5 5 5 90 90 90", "1000 10 10 60 60 60", "50 50 50 60 60 119", "300 300 20 90 90 90",
                       "50 60 70 30 100 100", "50 60 70 100 110 140", "2.5 3 400 90 91 89")  # fmt: skip
        draft.edges_a = tuple(float(word) for word in text.split()[:3])  # type: ignore[assignment]
        return text
    if dice.chance(0.08):
        text = dice.of(a, f"{a} {b} {c}", f"{a} {b} {c} {dice.number(80, 100)}", f"{a} 0 0 90 0 90", f"{a} {b} 0")
        values = [float(word) for word in text.split()] + [0.0, 0.0]
        draft.edges_a = (values[0], values[1] or values[0], values[2] or values[0])
        return text
    text = dice.of(
        f"{a} {b} {c} 90 90 90",
        f"{a} {b} {c} 90 {dice.number(92, 120)} 90",
        f"{a} {a} {c} 90 90 120",
        " ".join([*edges, *(dice.number(70, 110) for _ in range(3))]),
        " ".join([*edges, *(dice.number(70, 110) for _ in range(3))]),
    )
    first, second, third = (float(word) for word in text.split()[:3])
    draft.edges_a = (first, second, third)
    return text


def _matrix(draft: Draft) -> bytes:
    """A matrix of MOSFLM's kind: rows x, y, z of a*, b*, c*, in units of the wavelength that is drawn later, about."""
    dice = draft.dice
    a, b, c = edges = tuple(dice.real(25, 100) for _ in range(3))
    draft.edges_a = edges  # type: ignore[assignment]
    skew = [dice.real(-0.25, 0.25) if dice.chance(0.5) else 0.0 for _ in range(3)]
    # columns a*, b*, c* before the rotation
    upright = [[1 / a, skew[0] / b, skew[1] / c], [0.0, 1 / b, skew[2] / c], [0.0, 0.0, 1 / c]]
    if dice.chance(0.1):
        upright[2][2] = -upright[2][2]  # left-handed
    turn = dice.rotation()
    rows = [[sum(turn[i][k] * upright[k][j] for k in range(3)) for j in range(3)] for i in range(3)]
    text = "\n".join(" ".join(f"{value:11.8f}" for value in row) for row in rows) + "\n"
    if dice.chance(0.1):
        text = " ".join(text.split())
    if dice.chance(0.3):  # what MOSFLM writes below is not read
        text += "       0.000       0.000       0.000\n" + " ".join(f"{edge:.4f}" for edge in edges) + " 90 90 90\n"
    return text.encode("ascii")


def _cells(draft: Draft) -> None:
    """Cells along each edge, by number or by the crystal's size."""
    dice = draft.dice
    if dice.chance(0.12):
        _size(draft)
        return
    kind = dice.whole(0, 19)
    counts = [dice.of(dice.whole(1, 12), dice.whole(3, 8)) for _ in range(3)]
    if kind < 8:
        draft.add("-N", str(counts[0]))
        counts = counts[:1]
    elif kind < 13:
        for name, count in zip(("-Na", "-Nb", "-Nc"), counts):
            draft.add(name, str(count))
    elif kind < 15:
        draft.add(f"-N {counts[0]} -{dice.of('Na', 'Nb', 'Nc')} {counts[1]}")
    elif kind < 17:
        draft.add(f"-Na {counts[0]}.0 -Nc {counts[2]}")
        counts[1] = 1
    else:
        text = dice.of("-N 1", "-N 2", "-Na 0 -Nb 33 -Nc -4", "-Na 100 -Nb 3 -Nc 1", "-N 37", "-Na 1 -Nb 1 -Nc 1000")
        draft.add(text)
        words = text.split()
        counts = [int(word) for word in words[1::2]]
        counts += [1] * (len(words) == 4)
    draft.cells = max(counts)
    draft.tricubic = min(counts) <= 2


def _size(draft: Draft) -> None:
    """By size: along an edge as many cells as reach it. Interpolation is chosen before, as if there were one cell."""
    dice, cells = draft.dice, draft.dice.whole(1, 10)
    draft.cells, draft.tricubic = cells + 1, True
    sizes = [f"{1e-7 * edge * (cells - dice.real(0, 0.9)):.4g}" for edge in draft.edges_a]
    if dice.chance(0.5):
        smallest = min(sizes, key=float)
        draft.add(draft.spell("-xtalsize", "-samplesize", "-sample_size", "-xtal_size"), smallest)
    else:
        names = (
            draft.spell("-sample_x", "-sample_thick", "-xtal_thick", "-xtal_x"),
            draft.spell("-sample_y", "-sample_width", "-xtal_width", "-xtal_y", "-width"),
            draft.spell("-sample_z", "-sample_height", "-xtal_height", "-xtal_z", "-height", "-xtal_heigh"),
        )
        for name, size in zip(names, sizes):
            if dice.chance(0.85):
                draft.add(name, size)
    draft.maybe(0.1, dice.of("-xtalsize 0", "-sample_y 0", "-beamsize 0.0000005"))
    if dice.chance(0.2):
        draft.add("-N", str(dice.whole(1, 6)))


def _shape(draft: Draft) -> None:
    """Narrow shapes get a fudge that widens their spots, or few pixels would have any intensity."""
    dice = draft.dice
    shape = dice.of(*["-square_xtal"] * 6, "-round_xtal", "-round_xtal", "-gauss_xtal", "-gauss_xtal",
                    "-tophat_spots", "-binary_spots")  # fmt: skip
    if shape != "-square_xtal" or dice.chance(0.1):
        draft.add(shape)
    if shape in ("-gauss_xtal", "-tophat_spots", "-binary_spots"):
        fudge = dice.of("1e-3", "1e-4", "1e-5", dice.number(0.001, 0.02), dice.number(0.05, 1))
        draft.maybe(0.85, f"-fudge {fudge}")
    elif dice.chance(0.15):
        # far below 1 the numerator of a ROUND spot's sinc3 cancels, and nothing but rounding is left
        draft.add("-fudge", dice.of(dice.number(0.3, 2), dice.number(0.3, 2), "0", "50"))
    draft.maybe(0.05, dice.of("-square_xtal", "-round_xtal", "-gauss_xtal", "-binary_spots"))


def _misset(draft: Draft) -> None:
    dice = draft.dice
    if not dice.chance(0.45):
        return
    seed = f"-misset_seed {dice.of(str(dice.whole(1, 99999)), '0', '-7', '2147483646')}"
    if dice.chance(0.2):
        word = dice.of("random", "random", "rand")
        draft.add(*dice.order([f"-misset {word}", seed]))
        return
    angles = [dice.of(dice.number(-180, 180), dice.number(-30, 30), dice.number(-30, 30), "0") for _ in range(3)]
    draft.add("-misset", dice.of(" ".join(angles), " ".join(angles), "90 0 0", "0 0 -90", "0 180 0"))
    draft.maybe(0.05, seed)


def draw_mosaic(draft: Draft) -> None:
    """Spread and domains in every combination of given and not given."""
    dice = draft.dice
    if not dice.chance(0.3):
        return
    name = draft.spell("-mosaic", "-mosaicity", "-mosaic_spread", "-mosaici")
    domains = draft.spell("-mosaic_dom", "-mosaic_domains")
    spread = dice.of(dice.number(0.05, 2), dice.number(0.05, 2), "0.5", "30")
    kind = dice.whole(0, 9)
    if kind < 7:
        count = draft.count(dice.of(dice.whole(2, 5), dice.whole(2, 12), 70))
        draft.add(name, spread)
        draft.add(domains, str(count))
    elif kind < 8 and draft.left >= 10:
        draft.count(10)
        draft.add(name, spread)
    else:
        draft.add(dice.of(f"{domains} 4", f"{name} 0", f"{name} 0 {domains} 5", f"{name} -1 {domains} 3",
                          f"{name} 1 {domains} 1"))  # fmt: skip
    draft.maybe(0.4, f"-mosaic_seed {dice.of(str(dice.whole(1, 9999999)), '0', '-12')}")
