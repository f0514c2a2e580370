"""Another value of a flag, or of a hidden vector that several traced quantities are made of."""

from collections.abc import Iterator

from torch import Tensor

from nanobragg_torch import vectors
from tools.scaling.parity.explain_defects import Measured
from tools.scaling.parity.explain_graph import Values
from tools.scaling.parity.explain_sides import PY, Sides


def other_values(
    sides: Sides, found: Measured, over: dict[str, Tensor]
) -> Iterator[tuple[str, str, str | None, Values]]:
    """(label of the cause, the quantity that shows it, words, offsets) for each value that a number suggests."""
    for hidden, label, child, estimate in _estimates(sides):
        if child in over and bool(estimate.isfinite().all()):
            offset = {hidden: estimate - sides.values[hidden][PY]}
            # what the child's rule loses of the value (a unit vector's length) is the child's own
            rest = sides.changed(offset).own(PY, child)
            yield label, child, None, offset | {child: rest}


def _estimates(sides: Sides) -> list[tuple[str, str, str, Tensor]]:
    """(hidden quantity, label, traced child, what the port's child says of it), upstream first."""
    tilts = [-sides.values[f"angles_rad.{name}"][PY] for name in ("rotx", "roty", "rotz")]
    found: list[tuple[str, str, str, Tensor]] = []
    for axis in ("fdet", "sdet", "odet"):
        if axis in sides.graph.quantities:  # in BEAM pivot the initial axes are not traced
            child = f"{axis}_after_rotz"
            v = vectors.rotate_z(sides.values[child][PY], tilts[2])
            found.append((axis, axis, child, vectors.rotate_x(vectors.rotate_y(v, tilts[1]), tilts[0])))
    if sides.graph.sizes["k"] == 1:
        found.append(("beam", "beam", "incident_vec", sides.values["incident_vec"][PY, 0]))
        found.append(("-lambda", "lambda_meters", "lambda_meters", sides.values["lambda_meters"][PY, 0]))
    return found
