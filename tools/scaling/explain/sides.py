"""Two traces laid over the causal graph: what each side traced, where it fits in the graph's tensors."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tools.scaling.base.errors import BadInput
from tools.scaling.engine.tolerances import UNIT_ROUNDOFF
from tools.scaling.explain.graph import Fix, Graph, Values, evaluate, wide
from tools.scaling.traces.printing import Printing, printing_of, reals_of
from tools.scaling.traces.read import Trace
from tools.scaling.traces.schema import PRE_POLAR

C, PY = 0, 1

# Printed before the scattering vector of their sub-pixel; everything else that varies comes after it.
_BEFORE = frozenset((
    "pix0_vector_meters", "fdet_vec", "sdet_vec", "pixel_pos_meters", "R_distance_meters", "omega_pixel_sr",
    "close_distance_meters", "obliquity_factor", "diffracted_vec", "incident_vec", "lambda_meters",
    "lambda_angstroms", "scattering_vec_A_inv",
))  # fmt: skip


# The same for every sub-pixel.
_CONSTANT = frozenset((
    "pix0_vector_meters", "fdet_vec", "sdet_vec", "close_distance_meters", "incident_vec", "lambda_meters",
    "lambda_angstroms", "PHI.phi_deg", "rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms", "rot_a_star_A_inv",
    "rot_b_star_A_inv", "rot_c_star_A_inv",
))  # fmt: skip


@dataclass(frozen=True)
class Sides:
    """Both traces on one graph; the first dimension of every tensor is (reference, port).

    traced, present: values (2, *dims, *event) and where there are any (2, *dims). precision: "float64" or
    "float32" of each side. printing: how many digits each prints. values: what each quantity's descendants see.
    results: what each rule makes of the same side's own traced inputs. phi_rows: the phi steps that each side traced, 0
    for none. offsets: what causes that are settled already add to rules and roots, (2, *dims, *event) by name.
    """

    graph: Graph
    traced: Values
    present: Values
    precision: tuple[str, str]
    printing: tuple[Printing, Printing]
    values: Values
    results: Values
    phi_rows: tuple[int, int]
    offsets: Values = field(default_factory=dict)

    @property
    def roundoff(self) -> Tensor:
        like = self.values[next(iter(self.values))]
        return torch.tensor([UNIT_ROUNDOFF[p] for p in self.precision], device=like.device, dtype=like.dtype)

    def half_unit(self, value: Tensor) -> Tensor:
        """Half a unit of the last digit that each side prints; value: (2, ...)."""
        return torch.stack([printed_half_unit(x, printing) for x, printing in zip(value, self.printing)])

    def fix(self, changes: Values | None = None) -> Fix:
        return lay_over(self.traced, self.present, changes or {})

    def roots(self) -> Values:
        """Return the roots that the offsets move, in both worlds."""
        names = self.offsets.keys() & self.graph.roots.keys()
        return {name: self.graph.worlds(name, 2) + self.offsets[name] for name in names}

    def shown_by_both(self, name: str) -> Tensor:
        """(*dims): where both sides traced `name`."""
        return self.present[name].all(0)

    def own(self, side: int, name: str) -> Tensor:
        """(*dims, *event): how far the side's value is from what its rule makes of its own inputs."""
        return self.values[name][side] - self.results[name][side]

    def changed(self, offsets: Values, side: int = PY, hidden: frozenset[str] = frozenset()) -> "Sides":
        """Return the sides with more offsets on one side, where what it traced of `hidden` is no longer believed."""
        added = dict(self.offsets)
        for name, offset in offsets.items():
            rows = torch.zeros_like(torch.stack((offset, offset)))
            rows[side] = offset
            added[name] = added[name] + rows if name in added else rows
        present = dict(self.present)
        for name in hidden:
            present[name] = present[name].clone()
            present[name][side] = False
        new = replace(self, present=present, offsets=added)
        touched = {*offsets, *hidden, *self.graph.descendants(*offsets, *hidden)}
        with torch.no_grad():
            known = self.values, self.results
            values, results = evaluate(self.graph, 2, new.fix(), new.roots(), added, known, touched)
        return replace(new, values=values, results=results)


def lay_over(traced: Values, present: Values, changes: Values) -> Fix:
    """Return the fix that takes the traced values where there are any; `changes` replace a hidden quantity's result."""

    def fix(name: str, result: Tensor) -> Tensor:
        if name in changes:
            return changes[name].expand_as(result)
        if name not in traced:
            return result
        return torch.where(wide(present[name], result), traced[name], result)

    return fix


def printed_half_unit(value: Tensor, printing: Printing) -> Tensor:
    """Half a unit of the last digit that is printed."""
    if printing.decimals is not None:
        return torch.full_like(value, 0.5 * 10.0**-printing.decimals)
    size = value.abs()
    safe = torch.where((size > 0) & size.isfinite(), size, torch.ones_like(size))
    unit = torch.pow(10.0, torch.floor(torch.log10(safe)) - (printing.digits - 1))
    return torch.where(size > 0, 0.5 * unit, torch.zeros_like(size))


def lay(graph: Graph, c: Trace, py: Trace) -> Sides:
    """Lay both traces over `graph`: what does not fit into it is left out."""
    with torch.no_grad():
        shapes, _ = evaluate(graph, 1, lambda _, result: result)
        traced, present = {}, {}
        pair = [_placed(graph, trace, shapes) for trace in (c, py)]
        for name in graph.traced:
            traced[name] = torch.stack([side[name][0] for side in pair])
            present[name] = torch.stack([side[name][1] for side in pair])
        values, results = evaluate(graph, 2, lay_over(traced, present, {}))
    precision = (precision_of(c), precision_of(py))
    printing = (printing_of(c), printing_of(py))
    return Sides(graph, traced, present, precision, printing, values, results, (phi_steps(c), phi_steps(py)))


# Summed over the sub-pixels, or taken at the last of them.
_FOLLOWS = frozenset((
    "steps", "capture_fraction", "polar", "omega_pixel", "cos_2theta", "I_before_scaling", "I_before_scaling_pre_polar",
    "I_before_scaling_post_polar", "I_pixel_final", "floatimage_accumulated",
))  # fmt: skip


def count_apart(sides: Sides, c: Trace, py: Trace) -> tuple[Sides, str | None]:
    """Return the sides without what follows from another number of sub-pixels, and what to say of that number."""
    c_count, py_count = subpixels(c), subpixels(py)
    if c_count == py_count or not c_count or not py_count:
        return sides, None
    numbers = f"{py_count} sub-pixels in {py.source}, {c_count} in {c.source}"
    counts = [record.values[0] for trace in (c, py) for record in trace.numbers("steps")[:1]]
    if len(counts) < 2 or counts[0] == counts[1]:
        return sides, f"{numbers}: those that lie together are compared"
    note = (
        f"{numbers} (the number follows from wavelength, distance, "
        "pixel, cell and crystal size, or from -oversample): what is summed over them is not compared"
    )
    return sides.changed({}, PY, _FOLLOWS & sides.graph.quantities.keys()), note


def subpixels(trace: Trace) -> int:
    """Return how many sub-pixels the trace shows, 0 where it does not tell."""
    return len(trace.numbers("scattering_vec_A_inv")) or len(trace.numbers("pixel_pos_meters"))


def phi_steps(trace: Trace) -> int:
    """Return the number of phi steps that the trace shows, 0 where it shows none."""
    return max((row.phi_tic for row in trace.phi_rows), default=-1) + 1


def precision_of(trace: Trace) -> str:
    """float32 where (nearly) every real number of the trace is one that float32 can hold."""
    reals = reals_of(trace)
    if len(reals) < 10:
        return "float64"
    column = torch.tensor(reals, dtype=torch.float64)
    narrow = (column - column.float().double()).abs() <= printed_half_unit(column, printing_of(trace)) * 1.01
    return "float32" if float(narrow.double().mean()) > 0.9 else "float64"


def _placed(graph: Graph, trace: Trace, shapes: Values) -> dict[str, tuple[Tensor, Tensor]]:
    """name -> (values, present) of one side."""
    where = _subpixels(trace)
    seats = _seats(graph, trace, shapes)
    placed = {}
    for name in graph.traced:
        shape = shapes[name].shape[1:]
        dims = len(graph.dims_of(name))
        values = shapes[name].new_full(shape, math.nan)
        present = torch.zeros(shape[:dims], dtype=torch.bool, device=values.device)
        for place, numbers in _numbers(graph, trace, name, where):
            event = shape[dims:]
            if seats is not None and "s" in graph.dims_of(name) and name not in _CONSTANT:
                if place[0] not in seats:
                    continue
                place = (seats[place[0]], *place[1:])
            if any(i >= size for i, size in zip(place, shape)):
                continue
            if len(numbers) != math.prod(event):
                continue
            values[place] = torch.tensor(numbers, dtype=values.dtype, device=values.device).reshape(event)
            present[place] = True
        placed[name] = (values, present)
    return placed


def _seats(graph: Graph, trace: Trace, shapes: Values) -> dict[int, int] | None:
    """Sub-pixel of the trace -> the graph's that lies where it does; None where their numbers are the same.

    One that lies nowhere near any has none.
    """
    count = subpixels(trace)
    if count in (0, graph.sizes["s"]):
        return None
    places = shapes["pixel_pos_meters"][0]
    near = 0.25 * float(shapes["pixel"].abs().max()) / math.sqrt(len(places))
    seats = {}
    for record in trace.numbers("pixel_pos_meters"):
        if len(record.values) == 3:
            away = torch.linalg.vector_norm(places - places.new_tensor(record.values), dim=-1)
            if float(away.min()) <= near:
                seats[record.occurrence] = int(away.argmin())
    return seats


def _subpixels(trace: Trace) -> Callable[[str, int, int], int]:
    """(name, occurrence, line) -> index of the sub-pixel, told by the scattering vectors above the line."""
    lines = [record.line for record in trace.numbers("scattering_vec_A_inv")]

    def index(name: str, occurrence: int, line: int) -> int:
        if not lines or line < 0:
            return occurrence
        above = bisect_left(lines, line)
        return above if name in _BEFORE else above - 1

    return index


Place = tuple[int, ...]


def _numbers(
    graph: Graph, trace: Trace, name: str, where: Callable[[str, int, int], int]
) -> Iterator[tuple[Place, tuple[float, ...]]]:
    dims = graph.dims_of(name)
    if dims == "sp":
        field = name.removeprefix("PHI.")
        for row in trace.phi_rows:
            if field in row.values:
                yield (max(where(name, row.occurrence, row.line), 0), row.phi_tic), (row.values[field],)
        return
    base, _, again = name.partition("#")
    records = trace.numbers(base)
    if not records and name == "I_before_scaling":
        records = trace.numbers(PRE_POLAR)
    if dims == "":
        nth = int(again or 1) - 1
        for record in records:
            if record.occurrence == nth:
                yield (), record.values
        return
    for record in records:
        yield (max(where(name, record.occurrence, record.line), 0),), record.values


def check_same_run(c: Trace, py: Trace) -> list[str]:
    """Raise BadInput for traces of different pixels or pivots; return what else differs, as notes."""
    if c.pixel and py.pixel and c.pixel != py.pixel:
        raise BadInput(
            f"expected traces of one pixel, got (slow, fast) {c.pixel} in {c.source} and {py.pixel} in {py.source}"
        )
    notes = []
    for what, find in (("pivot", _pivot), ("convention", _convention), ("crystal shape", _shape)):
        reference, candidate = find(c), find(py)
        if reference is None or candidate is None or reference == candidate:
            continue
        if what == "pivot":
            raise BadInput(
                f"expected two traces of one case, got another {what}: "
                f"{reference} in {c.source}, {candidate} in {py.source}"
            )
        notes.append(f"another {what} by its labels: {reference} in {c.source}, {candidate} in {py.source}")
    return notes


def _pivot(trace: Trace) -> str | None:
    if trace.numbers("pix0_before_rotation") or trace.numbers("term_close_before_rot"):
        return "SAMPLE"
    return "BEAM" if trace.numbers("term_beam") or trace.numbers("Fbeam_m") else None


def _shape(trace: Trace) -> str | None:
    """Only the SQUARE shape shows its lattice factor, in five kinds of lines."""
    if trace.phi_rows or any(trace.numbers(f"F_latt{axis}") for axis in ("", "_a", "_b", "_c")):
        return "SQUARE"
    return "not SQUARE" if trace.numbers("hkl_frac") and trace.numbers("F_cell") else None


def _convention(trace: Trace) -> str | None:
    texts = [record.text for record in trace.occurrences("detector_convention")]
    return texts[0].upper() if texts and texts[0] else None
