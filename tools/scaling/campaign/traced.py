"""The port's trace of a pixel against the oracle's, line by line."""

import math
import re
from itertools import zip_longest
from typing import TYPE_CHECKING

from tools.scaling.campaign.measure import unasked
from tools.scaling.campaign.record import Status, Verdict
from tools.scaling.campaign.scene import Scene
from tools.scaling.traces.schema import PORT_ONLY

if TYPE_CHECKING:
    from tools.scaling.traces.read import Trace

TERMS = 500  # of a pixel that is traced twice
PRINTED = 1e-12  # of a number or a vector's length: some units of the last digit that is printed, and rounding
STEEP = 1e-4  # of what follows from a lattice factor, which multiplies rounding: how far, the check `oracle` knows
_STEEP = re.compile(r"(\w+\.)?(F_latt|F_cell|I_|k_frac|floatimage)")

Quantity = tuple[str, tuple[float, ...], str | None]  # name, numbers, text


def trace(scene: Scene) -> Verdict:
    """The quantities of the port's trace of a pixel, in their order, against the oracle's."""
    from tools.scaling.campaign.divergence import oracle_trace, port_trace
    from tools.scaling.oracle.uncovered import Uncovered

    exp = scene.exp
    if not scene.asked("trace", 6):
        return unasked("trace", "asked of one seed in 6")
    if exp.n_pixels == 0 or exp.n_subpixels * exp.n_sources * exp.n_orientations > TERMS:
        return unasked("trace", f"no pixel, or more than {TERMS} terms in one")
    rank = scene.dice("trace").randrange(exp.n_pixels)
    fast, slow = exp.pixel_indices(rank, rank + 1)
    pixel = int(slow), int(fast)
    try:
        expected = _quantities(oracle_trace(scene.config, pixel))
    except Uncovered as error:
        return unasked("trace", str(error))
    for theirs, ours in zip_longest(expected, _quantities(port_trace(scene.config, pixel))):
        name = (theirs or ours or ("",))[0]
        apart = _apart(theirs, ours)
        if not apart <= (STEEP if _STEEP.match(name) else PRINTED):
            says = f"pixel {pixel[0]} {pixel[1]}: the oracle's trace has {_shown(theirs)}, the port's {_shown(ours)}"
            return Verdict("trace", Status.differs, says, pixel, name, apart)
    return Verdict("trace", Status.ok)


def _quantities(trace: "Trace") -> list[Quantity]:
    """In the order of their lines; without those that the reference does not have."""
    found = [(each.line, each.name, each.values, each.text) for each in trace.records]
    for row in trace.phi_rows:
        found += [(row.line, f"PHI.{name}", (value,), str(row.phi_tic)) for name, value in row.values.items()]
    found.sort(key=lambda each: each[0])
    return [(name, values, text) for _, name, values, text in found if name not in PORT_ONLY]


def _apart(theirs: Quantity | None, ours: Quantity | None) -> float:
    """The distance of the numbers over their length; infinite where one is missing or another quantity."""
    if theirs == ours:
        return 0.0
    if theirs is None or ours is None or theirs[::2] != ours[::2] or len(theirs[1]) != len(ours[1]):
        return math.inf
    apart = [x - y for x, y in zip(theirs[1], ours[1]) if not (x == y or (math.isnan(x) and math.isnan(y)))]
    length = math.hypot(*theirs[1])
    return (math.hypot(*apart) / length if length else math.inf) if apart else 0.0


def _shown(quantity: Quantity | None) -> str:
    return "no more" if quantity is None else " ".join([quantity[0], *(f"{number:.15g}" for number in quantity[1])])
