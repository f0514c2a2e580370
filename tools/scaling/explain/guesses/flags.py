"""Another value of a flag, or of a hidden vector that several traced quantities are made of."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from nanobragg_torch.physics import vectors
from nanobragg_torch.units import RTD
from tools.scaling.explain.defects import Measured
from tools.scaling.explain.graph import Values, rule_of
from tools.scaling.explain.sides import PY, Sides

# What follows the size of a pixel where the detector is given in pixels, and where its centre follows too.
_SIZES = ("-detsize_f", "-detsize_s")
_CENTRES = ("-Xbeam", "-Ybeam", "-Xclose", "-Yclose")
# Roots of which several traced numbers are made, in words, with the factor to the unit in which they are told.
_NUMBERS = (*((flag, flag, 1e3, "mm") for flag in _CENTRES), ("-ORGX", "-ORGX", 1.0, "pixels"),
            ("-ORGY", "-ORGY", 1.0, "pixels"), ("layer_step", "sensor layers", 1e6, "um apart"))  # fmt: skip
_CELL = ("a", "b", "c", "alpha", "beta", "gamma")
_STEPS = 8  # of Newton's method: it doubles the digits with each


def other_values(
    sides: Sides, measured: Measured, over: dict[str, Tensor]
) -> Iterator[tuple[str, str, str | None, Values]]:
    """(label of the cause, the quantity that shows it, words, offsets) for each value that a number suggests."""
    for label, child, text, values in _estimates(sides, over):
        if child in over and all(bool(x.isfinite().all()) for x in values.values()):
            offset = {hidden: value - sides.values[hidden][PY] for hidden, value in values.items()}
            # what the child's rule loses of the value (a unit vector's length) is the child's own
            rest = sides.changed(offset).own(PY, child)
            yield label, child, text, offset | {child: rest}


def _estimates(sides: Sides, over: dict[str, Tensor]) -> Iterator[tuple[str, str, str | None, Values]]:
    """(label, traced child, words, what the port's child says of the hidden quantities), upstream first."""
    graph, values = sides.graph, sides.values
    tilts = [-values[f"angles_rad.{name}"][PY] for name in ("rotx", "roty", "rotz")]
    for axis in ("fdet", "sdet", "odet"):
        if axis in graph.quantities:  # in BEAM pivot the initial axes are not traced
            child = f"{axis}_after_rotz"
            v = vectors.rotate_z(values[child][PY], tilts[2])
            yield axis, child, None, {axis: vectors.rotate_x(vectors.rotate_y(v, tilts[1]), tilts[0])}
    if graph.sizes["k"] == 1:
        yield "beam", "incident_vec", None, {"beam": values["incident_vec"][PY, 0]}
    if "lambda_meters" in over:
        factor = values["lambda_meters"][PY, 0] / sides.results["lambda_meters"][PY, 0]
        yield "lambda_meters", "lambda_meters", None, {"-lambda": factor * values["-lambda"][PY]}
    elif "scattering_vec_A_inv" in over and not bool(sides.present["lambda_meters"][PY].any()):
        q = "scattering_vec_A_inv"
        factor = sides.results[q][PY, 0].norm() / values[q][PY, 0].norm()
        yield "lambda_meters", q, f"multiplied by {float(factor):.6g}", {"-lambda": factor * values["-lambda"][PY]}
    yield from _pixel(sides, over)
    yield from _cell(sides, over)
    yield from _numbers(sides, over)


def _pixel(sides: Sides, over: dict[str, Tensor]) -> Iterator[tuple[str, str, str | None, Values]]:
    """Yield another -pixel, of a detector whose size, or size and centre, is a number of pixels."""
    child = "beam_center_m.pixel_mm"
    if child not in over:
        return
    factor = sides.values[child][PY] / sides.results[child][PY]
    for names in (_SIZES, _CENTRES, _SIZES + _CENTRES):
        moved = [name for name in ("-pixel", *names) if name in sides.graph.roots]
        if len(moved) > 1:
            yield child, child, None, {name: factor * sides.values[name][PY] for name in moved}


def _numbers(sides: Sides, over: dict[str, Tensor]) -> Iterator[tuple[str, str, str | None, Values]]:
    """Yield another value of a flag that two defective numbers are made of, one of them in proportion to it."""
    graph = sides.graph
    for root, words, size, unit in _NUMBERS:
        if root not in graph.roots:
            continue
        children = [name for name in over if root in graph.hidden_ancestors(name)]
        if len(children) < 2:
            continue
        given = sides.values[root][PY]
        nudge = torch.where(given == 0, torch.ones_like(given), given)
        nudged = sides.changed({root: nudge})
        for child in reversed(children):
            slope = nudged.results[child][PY] - sides.results[child][PY]
            if bool((slope != 0).any()):
                value = given + nudge * (sides.own(PY, child) * slope).sum() / slope.square().sum()
                told, typed = (f"{size * float(x):.9g}" for x in (value, given))
                yield child, child, f"as of {words} {told}, not {typed} {unit}", {root: value}


def _cell(sides: Sides, over: dict[str, Tensor]) -> Iterator[tuple[str, str, str | None, Values]]:
    """Yield another -cell: the edges are the lengths of the rotated axes, the angles make the reciprocal ones."""
    graph, values = sides.graph, sides.values
    children = [f"rot_{axis}{kind}" for kind in ("_star_A_inv", "_angstroms") for axis in "abc"]
    given = values["-cell"][PY]
    if not bool(given.any()) or not any(name in over for name in children):
        return
    child = next(name for name in children if name in over)
    edges = torch.stack([values[f"rot_{axis}_angstroms"][PY].reshape(-1, 3)[0].norm() for axis in "abc"])
    typed = torch.cat((edges, given[3:]))
    shown = torch.stack([values[f"rot_{axis}_star_A_inv"][PY, 0] for axis in "abc"])

    def stars(cell: Tensor) -> Tensor:
        world = {name: values[name][PY : PY + 1] for name in graph.quantities["stars"].inputs}
        return rule_of(graph, "stars", world | {"-cell": cell.unsqueeze(0)})[0]

    for guess in (typed, _solved(stars, shown, typed)):
        guess = torch.where((guess - given).abs() <= 1e-11 * given.abs(), given, guess)
        what = [_told(name, x, y) for name, x, y in zip(_CELL, guess.tolist(), given.tolist()) if x != y]
        if what:
            yield child, child, f"of another -cell: {', '.join(what)}", {"-cell": guess}


def _solved(stars: Callable[[Tensor], Tensor], shown: Tensor, start: Tensor) -> Tensor:
    """Return the cell of which the reciprocal axes `shown` (3, 3) are made, by Newton's method from `start`."""
    cell = start.clone()
    for _ in range(_STEPS):
        with torch.enable_grad():
            slope = torch.autograd.functional.jacobian(stars, cell).reshape(9, 6)
        if not bool(slope.isfinite().all()):
            break
        scaled = slope * start  # the edges are Angstrom, the angles radians
        step = torch.linalg.lstsq(scaled, (shown - stars(cell)).reshape(9, 1), driver="gelsd").solution
        cell = cell + start * step[:, 0].clamp(-0.3, 0.3)
    return cell


def _told(name: str, value: float, given: float) -> str:
    unit, factor = ("A", 1.0) if len(name) == 1 else ("degrees", RTD)
    return f"{name} = {factor * value:.8g}, not {factor * given:.8g} {unit}"
