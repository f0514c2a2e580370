"""Plain forms that a wrong number can have against what its rule makes: a factor, a sign, an order, another unit."""

import math
from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor

from nanobragg_torch.physics import vectors
from nanobragg_torch.units import RTD
from tools.scaling.explain.defects import SIBLINGS, Group, Measured, length
from tools.scaling.explain.graph import evaluate, wide
from tools.scaling.explain.sides import PY, C, Sides, lay_over
from tools.scaling.traces.conditioning import MAX_CELLS

KEPT = "what its rule makes of its own inputs, and the reference's is not"
_ORDERS = ((1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0), (2, 0, 1))
_SCALES = {"polar": "the polarization factor", "omega_pixel": "the solid angle", "capture_fraction": "absorption",
           "r_e_sqr": "r_e_sqr", "fluence_photons_per_m2": "the fluence", "steps": "the division by steps"}  # fmt: skip


def form(sides: Sides, measured: Measured, group: Group) -> str | None:
    """Return in words that follow "is" how the quantity that names the group is wrong; None for no plain form."""
    what = _form(sides, measured, group, group.name)
    if group.side == C:
        return KEPT + (f" ({what})" if what else "")
    more = aside(sides, group)
    return f"{what or 'not what its rule makes'}, and with it {more}" if more else what


# In words, of which the trace shows only some.
_HIDDEN = {"incident_all": "directions", "wavelength_all": "wavelengths", "hkl_all": "Miller indices",
           "nearest_all": "nearest indices", "lattice_all": "lattice factors", "structure_all": "structure factors",
           "axes_all": "rotated axes", "factors_all": "lattice factors", "q_all": "scattering vectors",
           "polar_all": "polarization factors", "capture_all": "absorption", "omega_all": "solid angles"}  # fmt: skip


def aside(sides: Sides, group: Group) -> str | None:
    """Return what hangs with the group's first member that is not made of it: both are of the same untraced numbers."""
    made = sides.graph.descendants(group.name)
    others = [name for name in group.members if name != group.name and name not in made]
    hidden = next((_HIDDEN[family] for family, _ in SIBLINGS.get(group.name, ())), None)
    if group.name.startswith("SOURCE2.F_"):  # the angle, which is looked at before, is right
        hidden = "scattering vectors"
    if not others or not hidden or group.offsets:
        return None
    return f"what else is made of the same untraced {hidden} is off"


def fewer_terms(sides: Sides, name: str) -> tuple[str, Tensor] | None:
    """(words, offset) of the sum over the sub-pixels that the port shows, where there are more; else None."""
    shown = sides.present["pixel_pos_meters"][PY]
    if not bool(shown.any()) or bool(shown.all()):
        return None
    alive = sides.values["alive"] * shown.to(sides.values["alive"]).unsqueeze(-1)
    fix = lay_over(sides.traced, sides.present, {"alive": alive})
    _, results = evaluate(sides.graph, 2, fix, sides.roots(), sides.offsets)
    words = f"the sum over {int(shown.sum())} of {len(shown)} sub-pixels, those that it shows"
    return words, results[name][PY] - sides.results[name][PY]


def changes(sides: Sides, measured: Measured, group: Group) -> dict[str, str]:
    """member -> what changed in it, in words."""
    return {name: _form(sides, measured, group, name) or _moved(sides, group, name) for name in group.members}


def _made(sides: Sides, group: Group, name: str) -> tuple[Tensor, Tensor]:
    """(what the faulty side shows, what its rule makes) of a member: the defect is the difference of the two."""
    shown = sides.traced[name][group.side]
    return shown, shown - group.net[name] if group.offsets else sides.results[name][group.side]


def _form(sides: Sides, measured: Measured, group: Group, name: str) -> str | None:
    shown, rule = _made(sides, group, name)
    mask = group.members[name]
    floor = measured.own_floor[name]
    inside = wide(mask, rule).expand_as(rule)
    if not bool(shown[inside].isfinite().all()):
        return "not finite, although its inputs are"

    def close(guess: Tensor, width: float = 1.0) -> bool:
        return bool((length(shown - guess, mask) <= width * floor)[mask].all())

    for text, guess, width in _guesses(sides, group, name, rule):
        # where the floor is wide, a number near 0 would be near any other small one
        if close(guess, width) and bool((length(shown - guess, mask) <= 1e-3 * length(guess, mask))[mask].all()):
            return text
    both = inside & (rule != 0)
    if not bool(both.any()):
        return None
    weight = rule[both] / rule[both].abs().max()  # the square of a small number is none
    ratio = (shown[both] * weight).sum() / (rule[both] * weight).sum()
    narrow = (shown - shown.float().to(shown)).abs() <= 1e-15 * shown.abs()
    small = (shown - rule).abs() <= 2.0**-21 * rule.abs()
    if bool((narrow & small)[inside].all()) and set(sides.precision) == {"float64"}:
        return "rounded to float32"
    if not bool(ratio.isfinite()) or not close(ratio * rule, max(1.0, abs(float(ratio)))):
        return None
    unitised = rule.dim() > mask.dim() and bool(((rule.norm(dim=-1) - 1.0).abs() < 1e-12).all())
    if unitised and float(ratio) > 0:
        return f"of length {factor(ratio)}, not 1"
    return unit(float(ratio)) or f"multiplied by {factor(ratio)}"


def _guesses(sides: Sides, group: Group, name: str, rule: Tensor) -> Iterator[tuple[str, Tensor, float]]:
    """(words, what the number would be, how many floors off it may be)."""
    yield "of the opposite sign", -rule, 1.0
    if rule.dim() > group.members[name].dim() and rule.shape[-1] == 3:
        for order in _ORDERS:
            yield f"with its components in the order {' '.join('xyz'[i] for i in order)}", rule[..., list(order)], 1.0
        if name.endswith("_star_A_inv"):
            phi = sides.values["phi_in_force"][group.side][:, 0, 0]
            axis = sides.values["-spindle_axis"][group.side]
            yield "turned by phi", vectors.rotate_spindle(rule, axis, phi.unsqueeze(-1)), 4.0
    if name == "PHI.phi_deg" and rule.shape[-1] > 1:
        yield from _other_scan(sides, group)
    if name == "I_before_scaling":
        yield from _scaled(sides, group, rule)
    if name.startswith("F_latt_") and float(sides.graph.roots["-N"]["abc".index(name[-1])]) > 1.0:
        yield from _other_cells(sides, group, name)


def _scaled(sides: Sides, group: Group, rule: Tensor) -> Iterator[tuple[str, Tensor, float]]:
    """Yield the sum as it is after some of the factors that scale it later."""
    for count in range(1, len(_SCALES) + 1):
        for names in combinations(_SCALES, count):
            values = [float(sides.values[name][group.side]) for name in names]
            product = math.prod(1.0 / x if name == "steps" and x else x for name, x in zip(names, values))
            if product != 1.0 and 1.0 not in values:
                words = " and ".join(_SCALES[name] for name in names)
                how = "printed" if group.printed else "taken"
                yield f"{how} after {words} (times {product:.6g})", product * rule, 1.0


def _other_scan(sides: Sides, group: Group) -> Iterator[tuple[str, Tensor, float]]:
    """Yield another start of the scan, or other steps, told by the first and the last angle."""
    scans = []
    for angles in (sides.traced["PHI.phi_deg"][group.side], sides.results["PHI.phi_deg"][group.side]):
        first, count = angles[0, 0], angles.shape[-1]
        scans.append((first, (angles[0, -1] - first) / (count - 1), torch.arange(count).to(angles)))
    (start, step, index), (given, each, _) = scans
    words = f"of a scan from {start:.8g} in steps of {step:.8g}, not from {given:.8g} in steps of {each:.8g} degrees"
    yield words, (start + step * index).expand_as(sides.traced["PHI.phi_deg"][group.side]), 4.0


def _other_cells(sides: Sides, group: Group, name: str) -> Iterator[tuple[str, Tensor, float]]:
    """Yield the factor of another number of cells: the one that makes the first factor, if it makes all."""
    at = "abc".index(name[-1])
    h = sides.values["hkl_frac"][group.side][..., at]
    shown = sides.traced[name][group.side]
    n = torch.arange(1, MAX_CELLS + 1, dtype=h.dtype, device=h.device)
    first = int(group.members[name].nonzero()[0, 0])
    made = torch.sin(torch.pi * h[first] * n) / torch.sin(torch.pi * h[first])
    best = float(n[torch.argmin((made - shown[first]).abs())])
    cells = float(sides.graph.roots["-N"][at])
    if best != cells:
        guess = torch.sin(torch.pi * h * best) / torch.sin(torch.pi * h)
        yield f"of {best:g} cells along {name[-1]}, not {cells:g}", guess, max(1.0, best / cells) * 2.0


def unit(value: float) -> str | None:
    """Return the factor in words where it is one between units."""
    power = round(math.log10(abs(value))) if value else 0
    if power and abs(value / 10.0**power - 1.0) < 1e-9:
        return f"in another unit, 10^{power} times what it should be"
    for words, size in (("in degrees, not radians", RTD), ("in radians, not degrees", 1.0 / RTD)):
        if abs(value / size - 1.0) < 1e-9:
            return words
    return None


def factor(value: Tensor) -> str:
    """Return a factor in 9 digits; what it has beyond 1 in 3 where those would not show it."""
    excess = float(value) - 1.0
    return f"(1 {'-' if excess < 0 else '+'} {abs(excess):.3g})" if abs(excess) < 1e-4 else f"{float(value):.9g}"


def _moved(sides: Sides, group: Group, name: str) -> str:
    """Return by how much the element that is farthest off is so, component by component."""
    shown, rule = _made(sides, group, name)
    mask = group.members[name]
    off = (shown - rule).reshape(*mask.shape, -1)
    size = torch.where(mask, off.norm(dim=-1), torch.full_like(off[..., 0], -1.0))
    flat = int(size.flatten().argmax())
    parts = off.reshape(-1, off.shape[-1])[flat].tolist()
    return f"off by {' '.join(f'{x:+.3e}' for x in parts)}"
