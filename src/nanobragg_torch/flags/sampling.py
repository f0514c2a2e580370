"""How many steps, and how far apart: the reference's rules for half-given options (semantics 1.4).

Plain arithmetic on what the command line gave; "not given" has the reference's own values (below 0,
or 0 for steps), because its rules test exactly those.
"""

import math

from nanobragg_torch.config import Scan, Sensor, Spread
from nanobragg_torch.units import RTD

_UNSAID = 0.5e-6  # metres: the thickness of a sensor of which the number of layers alone is said (semantics D8)


def phi_scan(start: float, osc: float, step: float, steps: int) -> Scan:
    """The spindle's steps from what was given (semantics D5; Q32)."""
    if steps < 0:
        if osc < 0:
            osc, step, steps = (step, step, 2) if step > 0 else (0.0, 0.0, 1)
        elif step <= 0:
            steps, step = 2, osc / 2
        else:
            steps = math.ceil(osc / step)
    else:
        steps = max(steps, 1)
        if osc < 0:
            if step > 0:
                osc, steps = step, 2
            else:
                osc = 1.0 / RTD
                step = osc / steps
        elif step < 0:
            step = osc / steps
    return Scan(start, step, steps, osc)


def spread(steps: int, width: float, step: float) -> Spread:
    """One axis of divergence, dispersion or thickness, before the sanity pass (semantics D6)."""
    if steps <= 0:
        if width < 0:
            width, step, steps = (step, step, 2) if step > 0 else (0.0, 0.0, 1)
        elif step <= 0:
            step, steps = width, 2
        else:
            steps = math.ceil(width / step)
    elif width < 0:
        if step > 0:
            width, steps = step, 2
        else:
            width = 1.0
            step = width / steps
    elif step <= 0:
        steps = max(steps, 2)
        step = width / (steps - 1)
    return _sane(Spread(width, step, steps))


def sensor(thickness: float, mu: float, layers: int, *, within: bool = False, opaque: bool = True) -> Sensor:
    """Layers of a thick sensor (semantics D8, D9; Q14: n layers of thickness/(n-1) exceed it).

    within: n layers of thickness/n, a single one as well. opaque: a mu below 0 is one over the thickness (D9).
    """
    parts = layers
    if thickness < 0 and layers > 0:
        thickness = _UNSAID
    elif layers <= 0:
        layers = parts = 2
    elif not within:
        layers = max(layers, 2)
        parts = layers - 1
    if opaque and thickness > 0 and mu < 0:
        mu = 1 / thickness
    if thickness <= 0 or thickness / parts <= 0:  # semantics D11
        return Sensor(mu_per_m=mu)
    return Sensor(thickness, layers, mu, parts)


def mosaic(domains: int, spread_rad: float) -> tuple[int, float]:
    """Number of domains and their spread (semantics D10)."""
    if domains < 0:
        return (10, spread_rad) if spread_rad > 0 else (1, max(spread_rad, 0.0))
    if spread_rad < 0:
        return 1, 0.0
    return (1 if spread_rad == 0 else domains), spread_rad


def _sane(axis: Spread) -> Spread:
    """Semantics D11."""
    return Spread() if axis.width <= 0 or axis.step <= 0 or axis.count <= 0 else axis
