"""What the reference derives from its flags before it computes anything (semantics 1.4, D1 to D12)."""

from __future__ import annotations

import math

from nanobragg_torch.config import Roi, Scan, Sensor, Spread
from nanobragg_torch.quirks import Quirks
from tools.scaling.oracle.reading.variables import RTD, Variables
from tools.scaling.oracle.uncovered import Uncovered


def pixels(of: Variables) -> tuple[int, int, float, float]:
    """D1: return the pixels along fast and slow, and the detector's size along them in metres."""
    fast = of.pixel * of.fpixels if of.fpixels else of.detsize_f
    slow = of.pixel * of.spixels if of.spixels else of.detsize_s
    return math.ceil(fast / of.pixel - 0.5), math.ceil(slow / of.pixel - 0.5), fast, slow


def fluence(of: Variables) -> float:
    """D2: photons a square metre."""
    if of.flux != 0.0 and of.exposure > 0.0 and of.beamsize >= 0.0:
        if of.beamsize == 0.0:
            raise Uncovered("a flux in a beam without area")
        return of.flux * of.exposure / of.beamsize / of.beamsize
    return of.fluence


def size(of: Variables, quirks: Quirks) -> tuple[float, float, float]:
    """D3: the sample's x, y, z in metres, of which the beam cuts y and z (without Q40: a beam that was given)."""
    if of.beamsize < 0.0 or not (quirks.on("Q40") or "beamsize" in of.typed):
        return of.sample_x, of.sample_y, of.sample_z
    return of.sample_x, min(of.sample_y, of.beamsize), min(of.sample_z, of.beamsize)


def scan(of: Variables, quirks: Quirks) -> Scan:
    """D5: the steps of the spindle; without Q59 numbers below 0 turn it the other way round."""
    osc = -1.0 if of.osc is None else of.osc
    step = -1.0 if of.phistep is None else of.phistep
    sense = 1.0
    if not quirks.on("Q59") and any(x is not None and x < 0.0 for x in (of.osc, of.phistep)):
        sense = -1.0
        osc, step = (-1.0 if x is None else -x for x in (of.osc, of.phistep))
    rule = _steps if quirks.on("Q32") or of.phisteps < 0 else _steps_as_asked
    steps, osc, step = rule(of.phisteps, osc, step)
    if steps < 1:
        raise Uncovered("a scan of no step")
    return Scan(of.phi, sense * step if step else step, steps, sense * osc if osc else osc)


def _steps(steps: int, osc: float, step: float) -> tuple[int, float, float]:
    """The table of D5: how many steps, over which range, of which size."""
    if steps < 0 and osc < 0.0:
        return (2, step, step) if step > 0.0 else (1, 0.0, 0.0)
    if steps < 0:
        return (math.ceil(osc / step), osc, step) if step > 0.0 else (2, osc, osc / 2.0)
    steps = max(steps, 1)
    if osc < 0.0:
        return (2, step, step) if step > 0.0 else (steps, 1.0 / RTD, 1.0 / RTD / steps)
    return steps, osc, osc / steps if step < 0.0 else step


def _steps_as_asked(steps: int, osc: float, step: float) -> tuple[int, float, float]:
    """Without Q32 as many steps as were asked for, of the size that was asked for."""
    steps = max(steps, 1)
    if osc >= 0.0:
        return steps, osc, osc / steps if step < 0.0 else step
    if step > 0.0:
        return steps, step * steps, step
    if steps > 1:
        raise Uncovered("-phisteps alone, without Q32")
    return 1, 0.0, 0.0


def spread(steps: int, width: float, step: float) -> Spread:
    """D6, D7 and D11: the samples of an interval."""
    if steps <= 0 and width < 0.0:
        steps, width = (2, step) if step > 0.0 else (1, 0.0)
    elif steps <= 0:
        steps, step = (math.ceil(width / step), step) if step > 0.0 else (2, width)
    elif width < 0.0:
        if step > 0.0:
            width, steps = step, 2
        else:
            width = 1.0
            step = width / steps
    elif step <= 0.0:
        steps = max(steps, 2)
        step = width / (steps - 1)
    return Spread(width, step, steps) if width > 0.0 and step > 0.0 and steps > 0 else Spread()


def divergence(steps: int, width: float, step: float, quirks: Quirks) -> Spread:
    """D6; without Q41 steps alone are no divergence."""
    if not quirks.on("Q41") and width < 0.0 and step <= 0.0:
        if steps > 1:
            raise Uncovered("steps of a divergence alone, without Q41")
        return Spread()
    return spread(steps, width, step)


def dispersion(of: Variables, quirks: Quirks) -> Spread:
    """D7; without Q42 as many wavelengths as were asked for, of which a single one is the mean."""
    if not quirks.on("Q42"):
        if of.dispsteps == 1:
            return Spread()
        if of.dispersion <= 0.0:
            return Spread(0.0, 0.0, max(of.dispsteps, 1))
    return spread(of.dispsteps, of.dispersion, -1.0)


def sensor(of: Variables, quirks: Quirks) -> Sensor:
    """D8, D9 and D11: the layers."""
    unset = 0.0 if quirks.on("Q62") else -1.0
    mu = unset if of.mu is None else of.mu
    thick, n = of.thick, of.thicksteps
    layers, parts = (max(n, 2), max(n, 2) - 1) if n > 0 and quirks.on("Q14") else (n, n) if n > 0 else (2, 2)
    if thick < 0.0 and n > 0:
        thick, layers, parts = 0.5e-6, n, n
    if thick <= 0.0:
        return Sensor(mu_per_m=mu)
    if mu < 0.0 and not quirks.on("Q62"):
        mu = 1.0 / thick
    return Sensor(thick, layers, mu, parts)


def mosaic(of: Variables) -> tuple[float, int]:
    """D10: the spread in radians and the number of domains."""
    if of.mosaic_spread <= 0.0:
        return 0.0, 1
    if of.mosaic_domains == 0:
        raise Uncovered("no mosaic domain at all")
    return of.mosaic_spread, 10 if of.mosaic_domains < 0 else of.mosaic_domains


def roi(of: Variables, fast: int, slow: int) -> Roi | None:
    """D12: the region of interest; a bound below 0 is that of the detector of fast times slow pixels."""
    if of.roi is None:
        return None
    low_fast, high_fast, low_slow, high_slow = of.roi
    return Roi(
        max(low_fast, 0), fast if high_fast < 0 else high_fast, max(low_slow, 0), slow if high_slow < 0 else high_slow
    )
