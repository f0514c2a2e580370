"""Known ways to get a quantity wrong: each a change of the graph whose results are set beside what was traced.

The one table of variants. A variant names a cause when, from the faulty side's own traced inputs, it
reproduces every defective number of that cause within the noise floor.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nanobragg_torch import quirks, structure_factor, vectors
from nanobragg_torch.config import Config
from nanobragg_torch.errors import NanoBraggError
from nanobragg_torch.sampling import RTD
from nanobragg_torch.trace import render, trace_pixel
from tools.scaling.errors import BadInput
from tools.scaling.parity.explain_defects import Group, Measured, length
from tools.scaling.parity.explain_graph import Graph, evaluate
from tools.scaling.parity.explain_pixel import PRECISION, Pixel, prepared_pixel, same
from tools.scaling.parity.explain_rules import build
from tools.scaling.parity.explain_sides import PY, C, Sides, lay
from tools.scaling.parity.traces import parse_trace

Change = Callable[[Graph, Pixel], Graph]


@dataclass(frozen=True)
class Variant:
    """`text` completes "QUANTITY is ..."; quantities: of which groups it may be the cause."""

    text: str
    quantities: tuple[str, ...]
    change: Change


def _rule(name: str, rule: Callable[..., Tensor], inputs: str | None = None, whole: bool = False) -> Change:
    def change(graph: Graph, _: Pixel) -> Graph:
        changed = dict(graph.quantities)
        if name not in changed:
            return graph
        old = changed[name]
        names = old.inputs if inputs is None else tuple(inputs.split())
        changed[name] = replace(old, rule=rule, inputs=names, each=False, whole=whole)
        return replace(graph, quantities=changed)

    return change


def _root(name: str, value: Callable[[Tensor], Tensor]) -> Change:
    def change(graph: Graph, _: Pixel) -> Graph:
        if name not in graph.roots:
            return graph
        return replace(graph, roots=graph.roots | {name: value(graph.roots[name])})

    return change


def _plus(by: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x + by


def _times(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x * factor


def _angles(factor: float) -> Change:
    """All detector angles times a factor: the defective one shows the variant, the others may hold."""

    def change(graph: Graph, _: Pixel) -> Graph:
        flags = ("-twotheta", "-detector_rotx", "-detector_roty", "-detector_rotz")
        return replace(graph, roots=graph.roots | {flag: graph.roots[flag] * factor for flag in flags})

    return change


def _config(value: Callable[[Config], Config]) -> Change:
    def change(graph: Graph, pixel: Pixel) -> Graph:
        settings = value(pixel.run.exp.config)
        return build(prepared_pixel(settings, pixel.slow, pixel.fast))

    return change


def _as_given(axis: str) -> Change:
    return _config(lambda c: replace(c, quirks=replace(c.quirks, as_given=frozenset({axis}))))


def _scan(start: Callable[[float, float, int], float], step: Callable[[float, int], float]) -> Change:
    def value(c: Config) -> Config:
        first, width, count = float(c.scan.phi_start_rad), float(c.scan.phi_step_rad), c.scan.phi_steps
        return replace(
            c, scan=replace(c.scan, phi_start_rad=start(first, width, count), phi_step_rad=step(width, count))
        )

    return _config(value)


def _no_carry_over(settings: Config) -> Config:
    return replace(settings, quirks=settings.quirks.switched("Q29", False))


def _corner(graph: Graph, pixel: Pixel) -> Graph:
    edge = pixel.run.exp.oversample

    def rule(index: Tensor, sub: Tensor, size: Tensor) -> Tensor:
        return (index * edge + sub) * (size / edge)

    both = {name: replace(graph.quantities[name], rule=rule) for name in ("Fdet", "Sdet")}
    return replace(graph, quantities=graph.quantities | both)


def _exchanged(first: str, second: str) -> Change:
    def change(graph: Graph, _: Pixel) -> Graph:
        roots = dict(graph.roots)
        roots[first], roots[second] = roots[second], roots[first]
        return replace(graph, roots=roots)

    return change


def _without(name: str, factor: str, divided: bool = False) -> Change:
    """The product or quotient `name` without one of its factors."""

    def change(graph: Graph, _: Pixel) -> Graph:
        old = graph.quantities[name]
        if factor not in old.inputs:
            return graph
        at = old.inputs.index(factor)

        def rule(*inputs: Tensor) -> Tensor:
            return old.rule(*(torch.ones_like(x) if i == at else x for i, x in enumerate(inputs)))

        return replace(graph, quantities=graph.quantities | {name: replace(old, rule=rule)})

    return change


def _cells(axis: int, by: float) -> Change:
    def value(cells: Tensor) -> Tensor:
        changed = cells.clone()
        changed[axis] += by
        return changed

    return _root("-N", value)


def _neighbour(axis: int, by: int) -> Change:
    def change(graph: Graph, pixel: Pixel) -> Graph:
        grid = pixel.run.exp.grid

        def rule(hkl: Tensor, nearest: Tensor, *_: Tensor) -> Tensor:
            moved = nearest.clone()
            moved[..., axis] += by
            return structure_factor.nearest(grid, *(x.contiguous() for x in moved.unbind(-1)))

        old = graph.quantities["structure_all"]
        return replace(graph, quantities=graph.quantities | {"structure_all": replace(old, rule=rule)})

    return change


def _cubic(graph: Graph, pixel: Pixel) -> Graph:
    grid = pixel.run.exp.grid
    old = graph.quantities["structure_all"]
    if bool(graph.roots["interpolated"].any()):
        return replace(graph, roots=graph.roots | {"interpolated": torch.zeros_like(graph.roots["interpolated"])})

    def rule(hkl: Tensor, *_: Tensor) -> Tensor:
        return structure_factor.tricubic(grid, *hkl.unbind(-1))

    return replace(graph, quantities=graph.quantities | {"structure_all": replace(old, rule=rule)})


_PHI = ("rot_a_angstroms", "PHI.phi_deg")
_ROT = ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms", "PHI.k_frac")
_OMEGA = ("omega_pixel_sr", "omega_pixel")
_ANGLES = tuple(f"angles_rad.{x}" for x in ("rotx", "roty", "rotz", "twotheta"))
_WAVE = ("lambda_meters",)
_POSITION = ("pixel_pos_meters",)

VARIANTS: tuple[Variant, ...] = (
    Variant("taken as given, not regenerated as unit(fdet x sdet) (Q03)", ("odet",), _as_given("odet")),
    *(
        Variant("taken as given, not unitised", (axis, f"{axis}_after_rotz"), _as_given(axis))
        for axis in ("fdet", "sdet", "odet")
    ),
    Variant("taken as given, not unitised", ("beam", "incident_vec"), _as_given("beam")),
    Variant("made with the beam vector as given, not unitised", ("ratio", "term_beam"), _rule("beam", same)),
    Variant("unitised, not regenerated as unit(fdet x sdet) (Q03)", ("odet",),
            _rule("initial_odet", vectors.unit, "-odet_vector")),
    Variant("unit(sdet x fdet): the cross product the other way round", ("odet",),
            _rule("initial_odet", lambda f, s: vectors.unit(vectors.cross(s, f)), "initial_fdet initial_sdet")),
    Variant("rotated afresh at phi = 0 (Q29 off): the reference keeps the orientation of the step before", _PHI,
            _config(_no_carry_over)),
    Variant("at the mid-points of the phi steps, not at their left edges", _PHI,
            _scan(lambda a, d, n: a + d / 2, lambda d, n: d)),
    Variant("at the right edges of the phi steps, not at their left ones", _PHI,
            _scan(lambda a, d, n: a + d, lambda d, n: d)),
    Variant("at phi steps that reach the end of the oscillation", _PHI,
            _scan(lambda a, d, n: a, lambda d, n: d * n / max(n - 1, 1))),
    Variant("turned the other way round", _ROT, _root("-spindle_axis", lambda x: -x)),
    Variant("not turned by phi at all", _ROT, _rule("turned", lambda rows, *_: rows)),
    Variant("in degrees where radians are meant", _ANGLES, _angles(RTD)),
    Variant("converted from degrees by multiplication", _ANGLES, _angles(RTD * (torch.pi / 180.0))),
    Variant("the pixel's corner, not its centre", _POSITION, _corner),
    Variant("of the pixel with fast and slow index exchanged", _POSITION, _exchanged("fast_index", "slow_index")),
    *(
        Variant(f"of the next pixel along the {axis} axis ({sign})", _POSITION,
                _root(f"{axis}_index", _plus(by)))
        for axis in ("fast", "slow") for sign, by in (("+1", 1.0), ("-1", -1.0))
    ),
    *(
        Variant(f"in another unit, {factor:g} times too large", _WAVE, _root("-lambda", _times(factor)))
        for factor in (1e10, 1e-10, 10.0, 0.1, 1e3, 1e-3)
    ),
    *(
        Variant(f"of one cell {word} along {name}", (f"F_latt_{name}",), _cells(i, by))
        for i, name in enumerate("abc") for word, by in (("more", 1.0), ("fewer", -1.0))
    ),
    Variant("sin(pi N h)/(pi h): sinc, not the grating function", ("F_latt_a", "F_latt_b", "F_latt_c"),
            _rule("factors_all", lambda h, n: n * torch.sinc(h * n))),
    *(
        Variant(f"that of the reflection {word} along {name}", ("F_cell",), _neighbour(i, by))
        for i, name in enumerate("hkl") for word, by in (("after", 1), ("before", -1))
    ),
    Variant("by the other of nearest and tricubic", ("F_cell",), _cubic),
    Variant("rounded down, not to the nearest", ("hkl_rounded",), _rule("nearest_all", torch.floor)),
    Variant("unpolarized (Kahn factor 0)", ("polar",), _root("-polar", torch.zeros_like)),
    Variant("with a Kahn factor of 1", ("polar",), _root("-polar", torch.ones_like)),
    Variant("1: polarization left out", ("polar",), _rule("polar", lambda x: torch.ones_like(x.flatten(1)[:, 0]),
                                                          whole=True)),
    Variant("without the obliquity close_distance/R", _OMEGA,
            _rule("omega_all", lambda r, c, p: p * p / r / r)),
    Variant("1/R^2: without the area of the pixel (Q16)", _OMEGA, _rule("omega_all", lambda r, *_: 1.0 / r / r)),
    Variant("with R to the fourth power", _OMEGA, _rule("omega_all", lambda r, c, p: p * p * c / r**4)),
    Variant("1: no absorption", ("capture_fraction",),
            _rule("capture_all", lambda *x: torch.ones_like(x[0]))),
    *(
        Variant(f"without {factor}", ("I_pixel_final",), _without("I_pixel_final", factor))
        for factor in ("r_e_sqr", "fluence_photons_per_m2", "steps", "capture_fraction", "polar", "omega_pixel")
    ),
    *(
        Variant(f"{by:+d}: one step {'more' if by > 0 else 'fewer'}", ("steps",),
                _root("steps_of_the_flags", _plus(by)))
        for by in (1, -1)
    ),
    Variant("not divided by the wavelength", ("scattering_vec_A_inv",),
            _rule("q_all", lambda d, i, w: d - i)),
    Variant("incident + diffracted, not their difference", ("scattering_vec_A_inv",),
            _rule("q_all", lambda d, i, w: (d + i) / w.unsqueeze(-1))),
)  # fmt: skip


def name_variant(sides: Sides, found: Measured, group: Group, pixel: Pixel) -> str | None:
    """The text of the first variant that reproduces `group`, else a general form of its defect."""
    for variant in VARIANTS:
        if not {group.label, group.name} & set(variant.quantities):
            continue
        if _reproduces(sides, found, group, variant, pixel):
            return variant.text
    return _quirk_off(sides, found, group, pixel) or next(_general(sides, found, group), None)


# Which switches of nanobragg_torch.quirks can be at the bottom of a defect in these quantities.
QUIRKS: dict[str, tuple[str, ...]] = {
    "angles_rad.twotheta": ("Q01",),
    "odet": ("Q03",),
    "odet_after_rotz": ("Q03",),
    "twotheta_axis": ("Q04",),
    "Fclose_m": ("Q05",),
    "Sclose_m": ("Q05",),
    "pix0_after_twotheta": ("Q02",),
    "pix0_vector": ("Q02",),
    "pix0_vector_meters": ("Q02",),
    "initial_fdet": ("Q37",),
    "rot_a_star_A_inv": ("Q09", "Q19", "Q58"),
    "steps": ("Q13", "Q44"),
    "pixel_pos_meters": ("Q14", "Q17"),
    "incident_vec": ("Q12",),
    "lambda_meters": ("Q12",),
    "omega_pixel_sr": ("Q16", "Q17", "Q30"),
    "omega_pixel": ("Q30",),
    "capture_fraction": ("Q14", "Q15", "Q28"),
    "polar": ("Q23", "Q30"),
    "scattering_vec_A_inv": ("Q38",),
    "F_latt_a": ("Q34",),
    "F_latt_b": ("Q34",),
    "F_latt_c": ("Q34",),
    "F_cell": ("Q25",),
    "I_before_scaling": ("Q13", "Q15", "Q24", "Q26", "Q27", "Q30"),
    "I_pixel_final": ("Q15", "Q26", "Q27", "Q30"),
}


def _quirk_off(sides: Sides, found: Measured, group: Group, pixel: Pixel) -> str | None:
    """The switch without which the port's own trace has the same defect."""
    settings = pixel.run.exp.config
    for quirk in quirks.TABLE:
        if quirk.id not in QUIRKS.get(group.label, QUIRKS.get(group.name, ())):
            continue
        switched = replace(settings, quirks=settings.quirks.switched(quirk.id, False))
        try:
            lines = trace_pixel(switched, pixel.slow, pixel.fast, device="cpu", dtype=PRECISION)
            trace = parse_trace(render(lines).encode("ascii"), quirk.id)
            other = lay(sides.graph, trace, trace)
        except (NanoBraggError, BadInput, ValueError, RuntimeError):
            continue
        if all(_same_defect(found, name, _own(other, name), mask) for name, mask in group.members.items()):
            return f"as with {quirk.id} off: {quirk.right} (the reference: {quirk.reference})"
    return None


def _same_defect(found: Measured, name: str, other: Tensor, mask: Tensor) -> bool:
    """Whether the defect `other`, made of inputs that rounding may have moved, is the one that was found."""
    net = found.net[name]
    inherited = torch.minimum(2.0 * found.floor[name], 1e-3 * length(net, mask))
    allowed = torch.maximum(2.0 * found.own_floor[name], inherited)
    return bool((length(other - net, mask) <= allowed)[mask].all())


def _own(sides: Sides, name: str) -> Tensor:
    return sides.values[name][PY] - sides.results[name][PY]


def _reproduces(sides: Sides, found: Measured, group: Group, variant: Variant, pixel: Pixel) -> bool:
    """A variant that does not apply to this kind of run (no such root, another number of inputs) does not."""
    try:
        graph = variant.change(sides.graph, pixel)
        if graph is sides.graph or graph.sizes != sides.graph.sizes:
            return False
        with torch.no_grad():
            _, results = evaluate(graph, 2, sides.fix())
    except (KeyError, ValueError, TypeError, IndexError, NanoBraggError):
        return False
    return all(
        bool((length(sides.values[name][PY] - results[name][PY], mask) <= 2.0 * found.own_floor[name])[mask].all())
        for name, mask in group.members.items()
    )


def _general(sides: Sides, found: Measured, group: Group) -> Iterator[str]:
    """Forms that any rule can be wrong in."""
    name, mask = group.name, group.members[group.name]
    traced, rule = sides.values[name][PY], sides.results[name][PY]
    floor = found.own_floor[name]

    def close(guess: Tensor, width: float = 1.0) -> bool:
        return bool((length(traced - guess, mask) <= width * floor)[mask].all())

    if not bool(traced.isfinite().all()):
        yield "not finite, although its inputs are"
        return
    if close(rule):
        yield "what its rule makes of its own inputs, and the reference's is not"
        return
    if close(-rule):
        yield "of the opposite sign"
    if traced.dim() > mask.dim() and traced.shape[-1] == 3:
        for order in ((1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
            if close(rule[..., list(order)]):
                yield f"with its components in the order {' '.join('xyz'[i] for i in order)}"
    wide = mask.reshape((*mask.shape, *(1,) * (rule.dim() - mask.dim()))).expand_as(rule)
    both = wide & (rule != 0)
    if not bool(both.any()):
        return
    factor = (traced[both] * rule[both]).sum() / (rule[both] * rule[both]).sum()
    narrow = (traced - traced.float().to(traced)).abs() <= 1e-15 * traced.abs()
    small = (traced - rule).abs() <= 2.0**-21 * rule.abs()
    if bool((narrow & small)[wide].all()) and sides.precision[C] == sides.precision[PY] == "float64":
        yield "rounded to float32"
    if close(factor * rule):
        unitised = rule.dim() > mask.dim() and bool(((rule.norm(dim=-1) - 1.0).abs() < 1e-12).all())
        yield f"of length {_factor(factor)}, not 1" if unitised else f"multiplied by {_factor(factor)}"


def _factor(value: Tensor) -> str:
    """A factor in 9 digits; what it has beyond 1 in 3 where those would not show it."""
    excess = float(value) - 1.0
    return f"(1 {'-' if excess < 0 else '+'} {abs(excess):.3g})" if abs(excess) < 1e-4 else f"{float(value):.9g}"
