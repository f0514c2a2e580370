"""Known ways to get a quantity wrong: each a change of the graph whose results are set beside what was traced.

The one table of variants. A variant names a cause when, from the faulty side's own traced inputs, it
reproduces every defective number of that cause within the noise floor.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nanobragg_torch import quirks
from nanobragg_torch.errors import NanoBraggError
from nanobragg_torch.io.load import with_quirks
from nanobragg_torch.physics import corrections, detector, structure_factor, vectors
from nanobragg_torch.products.trace import render, trace_pixel
from nanobragg_torch.units import RTD
from tools.scaling.base.errors import BadInput
from tools.scaling.explain.defects import Group, Measured, length
from tools.scaling.explain.graph import Graph, Values, evaluate, rule_of
from tools.scaling.explain.guesses.forms import form
from tools.scaling.explain.pixel import PRECISION, PreparedPixel, prepared_pixel, same
from tools.scaling.explain.rules.table import build
from tools.scaling.explain.sides import PY, C, Sides, lay, lay_over
from tools.scaling.traces.read import parse_trace

Change = Callable[[Graph, PreparedPixel], Graph]


@dataclass(frozen=True)
class Variant:
    """`text` completes "QUANTITY is ..."; quantities: of which groups it may be the cause. several: it is several
    variants at once, for where nothing shows them one by one."""

    text: str
    quantities: tuple[str, ...]
    change: Change
    several: bool = False


def _rule(name: str, rule: Callable[..., Tensor], inputs: str | None = None, whole: bool = False) -> Change:
    def change(graph: Graph, _: PreparedPixel) -> Graph:
        changed = dict(graph.quantities)
        if name not in changed:
            return graph
        old = changed[name]
        names = old.inputs if inputs is None else tuple(inputs.split())
        changed[name] = replace(old, rule=rule, inputs=names, each=False, whole=whole)
        return replace(graph, quantities=changed)

    return change


def _root(name: str, value: Callable[[Tensor], Tensor]) -> Change:
    def change(graph: Graph, _: PreparedPixel) -> Graph:
        if name not in graph.roots:
            return graph
        return replace(graph, roots=graph.roots | {name: value(graph.roots[name])})

    return change


def _plus(by: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x + by


def _times(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x * factor


def _angles(factor: float) -> Change:
    """Multiply all detector angles by a factor: the defective one shows the variant, the others may hold."""

    def change(graph: Graph, _: PreparedPixel) -> Graph:
        flags = ("-twotheta", "-detector_rotx", "-detector_roty", "-detector_rotz")
        return replace(graph, roots=graph.roots | {flag: graph.roots[flag] * factor for flag in flags})

    return change


def _as_given(axis: str) -> Change:
    """Take the flag's vector as it was typed; an axis is traced in SAMPLE pivot only, under the name initial_*."""

    def change(graph: Graph, pixel: PreparedPixel) -> Graph:
        name = f"initial_{axis}" if pixel.run.exp.config.detector.pivot == "SAMPLE" else axis
        return _rule(name, same, f"-{axis}_vector")(graph, pixel)

    return change


def _beam_as_given(graph: Graph, pixel: PreparedPixel) -> Graph:
    """Take the beam vector as it was typed: the sources are made of it in another way then."""
    run = pixel.run
    settings = run.exp.config
    kept = replace(settings, quirks=replace(settings.quirks, as_given=frozenset({"beam"})))
    other = build(replace(pixel, run=replace(run, exp=replace(run.exp, config=kept))))
    changed = {name: other.quantities[name] for name in ("beam", "incident_list")}
    return replace(graph, quantities=graph.quantities | changed)


def _all_as_given(graph: Graph, pixel: PreparedPixel) -> Graph:
    for axis in ("odet", "fdet", "sdet"):
        graph = _as_given(axis)(graph, pixel)
    return _beam_as_given(graph, pixel)


def _scan(start: Callable[[Tensor, Tensor, int], Tensor], step: Callable[[Tensor, int], Tensor]) -> Change:
    def change(graph: Graph, _: PreparedPixel) -> Graph:
        first, width, count = graph.roots["-phi"], graph.roots["-osc"], graph.sizes["p"]
        moved = {"-phi": start(first, width, count), "-osc": step(width, count)}
        return replace(graph, roots=graph.roots | moved)

    return change


def _phi_zero(stale: bool) -> Change:
    """Let a phi of 0 keep the orientation of the step before, or not, where the rules say otherwise (Q29)."""

    def change(graph: Graph, pixel: PreparedPixel) -> Graph:
        settings = pixel.run.exp.config
        if settings.quirks.on("Q29") == stale:
            return graph
        switched = replace(settings, quirks=settings.quirks.switched("Q29", stale))
        other = build(prepared_pixel(switched, pixel.slow, pixel.fast, device=str(pixel.run.exp.cells.device)))
        return replace(graph, quantities=graph.quantities | {"phi_in_force": other.quantities["phi_in_force"]})

    return change


def _corner(graph: Graph, pixel: PreparedPixel) -> Graph:
    edge = pixel.run.exp.oversample

    def rule(index: Tensor, sub: Tensor, size: Tensor) -> Tensor:
        return (index * edge + sub) * (size / edge)

    both = {name: replace(graph.quantities[name], rule=rule) for name in ("Fdet", "Sdet")}
    return replace(graph, quantities=graph.quantities | both)


def _own_axis(name: str, unitised: bool = True) -> Change:
    """Take as the axis of a flag the convention's own one, or what was typed, not unitised."""

    def change(graph: Graph, pixel: PreparedPixel) -> Graph:
        given, like = pixel.run.exp.config.detector, graph.roots["-spindle_axis"]
        typed = given.spindle_axis if name == "spindle" else given.polar_vector
        own = getattr(detector.FRAMES[given.convention], name) if unitised else typed
        root = {"spindle": "-spindle_axis", "polar": "-polar_vector"}[name]
        return graph if own is None else _root(root, lambda _: vectors.to_tensor(own, like))(graph, pixel)

    return change


def _exchanged(first: str, second: str) -> Change:
    def change(graph: Graph, _: PreparedPixel) -> Graph:
        roots = dict(graph.roots)
        roots[first], roots[second] = roots[second], roots[first]
        return replace(graph, roots=roots)

    return change


def _without(name: str, factor: str, divided: bool = False) -> Change:
    """Leave one factor out of the product or quotient `name`."""

    def change(graph: Graph, _: PreparedPixel) -> Graph:
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
    def change(graph: Graph, pixel: PreparedPixel) -> Graph:
        grid = pixel.run.exp.grid

        def rule(hkl: Tensor, nearest: Tensor, *_: Tensor) -> Tensor:
            moved = nearest.clone()
            moved[..., axis] += by
            return structure_factor.nearest(grid, *(x.contiguous() for x in moved.unbind(-1)))

        old = graph.quantities["structure_all"]
        return replace(graph, quantities=graph.quantities | {"structure_all": replace(old, rule=rule)})

    return change


def _no_reflection(_: Tensor, nearest: Tensor, cubic: Tensor, default: Tensor) -> Tensor:
    return default.reshape(-1, *(1,) * (cubic.dim() - 1)).expand_as(cubic)


def _cubic(graph: Graph, pixel: PreparedPixel) -> Graph:
    grid = pixel.run.exp.grid
    old = graph.quantities["structure_all"]
    if bool(graph.roots["interpolated"].any()):
        return replace(graph, roots=graph.roots | {"interpolated": torch.zeros_like(graph.roots["interpolated"])})

    def rule(hkl: Tensor, *_: Tensor) -> Tensor:
        return structure_factor.tricubic(grid, *hkl.unbind(-1))

    return replace(graph, quantities=graph.quantities | {"structure_all": replace(old, rule=rule)})


_PHI = ("rot_a_angstroms", "PHI.phi_deg")
_TURNED = (*_PHI, "PHI.k_frac")
_ROT = ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms", "PHI.k_frac")
_STARS = ("rot_a_star_A_inv", "rot_b_star_A_inv", "rot_c_star_A_inv")
_OMEGA = ("omega_pixel_sr", "omega_pixel")
_ANGLES = tuple(f"angles_rad.{x}" for x in ("rotx", "roty", "rotz", "twotheta"))
_WAVE = ("lambda_meters",)
_POSITION = ("pixel_pos_meters",)

VARIANTS: tuple[Variant, ...] = (
    Variant("taken as given, not regenerated as unit(fdet x sdet) (Q03)", ("odet", "odet_after_rotz"),
            _as_given("odet")),
    *(
        Variant("taken as given, not unitised", (axis, f"{axis}_after_rotz"), _as_given(axis))
        for axis in ("fdet", "sdet")
    ),
    Variant("taken as given, not unitised", ("beam", "incident_vec"), _beam_as_given),
    Variant("-distance itself, not times the cosine between beam and detector normal", ("close_distance_m",),
            _rule("close_distance_m", same, "-distance")),
    Variant("taken as given, not regenerated as unit(fdet x sdet) (Q03), and so are sdet, fdet and beam", ("odet",),
            _all_as_given, several=True),
    Variant("made with the beam vector as given, not unitised", ("ratio", "term_beam"), _rule("beam", same)),
    Variant("unitised, not regenerated as unit(fdet x sdet) (Q03)", ("odet",),
            _rule("initial_odet", vectors.unit, "-odet_vector")),
    Variant("unit(sdet x fdet): the cross product the other way round", ("odet",),
            _rule("initial_odet", lambda f, s: vectors.unit(vectors.cross(s, f)), "initial_fdet initial_sdet")),
    Variant("rotated afresh at phi = 0 (Q29 off): the reference keeps the orientation of the step before", _TURNED,
            _phi_zero(stale=False)),
    Variant("of the step before at phi = 0 (Q29 on): the reference rotates every step afresh", _TURNED,
            _phi_zero(stale=True)),
    Variant("at the mid-points of the phi steps, not at their left edges", _PHI,
            _scan(lambda a, d, n: a + d / 2, lambda d, n: d)),
    Variant("at the right edges of the phi steps, not at their left ones", _PHI,
            _scan(lambda a, d, n: a + d, lambda d, n: d)),
    Variant("at phi steps that reach the end of the oscillation", _PHI,
            _scan(lambda a, d, n: a, lambda d, n: d * n / max(n - 1, 1))),
    Variant("of the -misset angles in degrees where radians are meant", _STARS, _root("-misset", _times(RTD))),
    Variant("of the -cell angles in degrees where radians are meant", _STARS,
            _root("-cell", lambda cell: torch.cat((cell[:3], cell[3:] * RTD)))),
    Variant("turned the other way round", _ROT, _root("-spindle_axis", lambda x: -x)),
    Variant("turned about the convention's own axis, not -spindle_axis", _ROT, _own_axis("spindle")),
    Variant("turned about -spindle_axis as given, not unitised", _ROT, _own_axis("spindle", unitised=False)),
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
    Variant("0, as if every term were left out (by -dmin, for one)", ("I_before_scaling",),
            _rule("alive", lambda q: torch.zeros_like(q[..., 0]))),
    Variant("the default, as of a reflection that is not in the list", ("F_cell",),
            _rule("structure_all", _no_reflection)),
    *(
        Variant(f"that of the reflection {word} along {name}", ("F_cell",), _neighbour(i, by))
        for i, name in enumerate("hkl") for word, by in (("after", 1), ("before", -1))
    ),
    Variant("by the other of nearest and tricubic", ("F_cell",), _cubic),
    Variant("rounded down, not to the nearest", ("hkl_rounded",), _rule("nearest_all", torch.floor)),
    Variant("unpolarized (Kahn factor 0)", ("polar",), _root("-polar", torch.zeros_like)),
    Variant("of the convention's own polarization axis, not -polar_vector", ("polar",), _own_axis("polar")),
    Variant("with a Kahn factor of 1", ("polar",), _root("-polar", torch.ones_like)),
    Variant("1: polarization left out", ("polar",), _rule("polar", lambda x: torch.ones_like(x.flatten(1)[:, 0]),
                                                          whole=True)),
    Variant("of both directions as they are, not unitised once more", ("cos_2theta",),
            _rule("cos_2theta", lambda i, d: corrections.cos_two_theta(i[:, -1, -1], d[:, -1]))),
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


def offsets_of(change: Change, sides: Sides, pixel: PreparedPixel) -> Values | None:
    """Return what the change of the graph adds to each rule and root, on the port's numbers; None where it cannot be.

    A variant that does not apply to this kind of run (no such root, another number of inputs) has none.
    """
    graph = sides.graph
    port = slice(PY, PY + 1)
    added = {name: offset[port] for name, offset in sides.offsets.items()}
    fix = lay_over({k: v[port] for k, v in sides.traced.items()}, {k: v[port] for k, v in sides.present.items()}, {})
    try:
        changed = change(graph, pixel)
        rules = [name for name, rule in graph.quantities.items() if rule is not changed.quantities[name]]
        roots = [name for name, root in graph.roots.items() if root is not changed.roots[name]]
        base = {k: v[port] for k, v in sides.values.items()}, {k: v[port] for k, v in sides.results.items()}
        moved = {
            name: changed.worlds(name, 1) + added.get(name, 0.0)
            for name in {*roots, *(added.keys() & graph.roots.keys())}
        }
        touched = {*rules, *graph.descendants(*rules, *roots)}
        with torch.no_grad():
            values, results = evaluate(changed, 1, fix, moved, added, base, touched)
            offsets = {name: results[name] - rule_of(graph, name, values) - added.get(name, 0.0) for name in rules}
        offsets |= {name: (changed.roots[name] - graph.roots[name]).unsqueeze(0) for name in roots}
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError):
        return None
    return {name: torch.nan_to_num(x[0]) for name, x in offsets.items() if bool((x != 0).any())}


def name_variant(sides: Sides, measured: Measured, group: Group, pixel: PreparedPixel) -> str | None:
    """Return the text of the first variant that reproduces `group`, else a plain form of its defect."""
    if group.printed or group.side == C:
        return form(sides, measured, group)
    for variant in VARIANTS:
        if not {group.label, group.name} & set(variant.quantities):
            continue
        if _reproduces(sides, measured, group, variant, pixel):
            return variant.text
    texts = _switches(sides, measured, group, pixel)
    group.alike = tuple(texts[1:])
    return texts[0] if texts else form(sides, measured, group)


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


def _switches(sides: Sides, measured: Measured, group: Group, pixel: PreparedPixel) -> list[str]:
    """Return the switches that, set the other way, give the port's own trace the same defect.

    A number that is 0 tells none.
    """
    settings = pixel.run.exp.config
    able = QUIRKS.get(group.label, QUIRKS.get(group.name, ()))
    if not any(bool((sides.values[name][PY] != 0).any()) for name in group.members):
        return []
    texts = []
    for quirk in quirks.TABLE:
        if quirk.id not in able:
            continue
        on = not settings.quirks.on(quirk.id)
        switched = with_quirks(settings, settings.quirks.switched(quirk.id, on))
        try:
            lines = trace_pixel(switched, pixel.slow, pixel.fast, device="cpu", dtype=PRECISION)
            trace = parse_trace(render(lines).encode("ascii"), quirk.id)
            other = lay(sides.graph, trace, trace)
        except (NanoBraggError, BadInput, ValueError, RuntimeError):
            continue
        if all(_same_defect(measured, name, other.own(PY, name), mask) for name, mask in group.members.items()):
            does, rules = (quirk.reference, quirk.right) if on else (quirk.right, quirk.reference)
            texts.append(f"as with {quirk.id} {'on' if on else 'off'}: {does} (the reference: {rules})")
    return texts


def _same_defect(measured: Measured, name: str, other: Tensor, mask: Tensor) -> bool:
    """Return whether the defect `other`, made of inputs that rounding may have moved, is the one that was found."""
    net = measured.net[name]
    inherited = torch.minimum(2.0 * measured.floor[name], 1e-3 * length(net, mask))
    allowed = torch.maximum(2.0 * measured.own_floor[name], inherited)
    return bool((length(other - net, mask) <= allowed)[mask].all())


def _reproduces(sides: Sides, measured: Measured, group: Group, variant: Variant, pixel: PreparedPixel) -> bool:
    """Return whether it makes the members' numbers, those that agree included.

    A variant that does not apply to this kind of run (no such root, another number of inputs) does not.
    """
    try:
        graph = variant.change(sides.graph, pixel)
        if graph is sides.graph or graph.sizes != sides.graph.sizes:
            return False
        with torch.no_grad():
            _, results = evaluate(graph, 2, sides.fix())
    except (KeyError, ValueError, TypeError, IndexError, NanoBraggError):
        return False
    shown = {name: sides.shown_by_both(name) for name in group.members}
    return all(
        bool((length(sides.values[name][PY] - results[name][PY], mask) <= 2.0 * measured.own_floor[name])[mask].all())
        for name, mask in shown.items()
    )
