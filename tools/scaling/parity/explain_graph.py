"""A causal graph that can be evaluated: quantities, the rule of each, and how far rounding can move them.

The graph knows no physics and no trace. A quantity has an event shape (a vector's three components) and
varies over some of the dimensions of `DIMS`; values have the shape (worlds, *sizes of its dimensions,
*event). A world is one consistent set of values: a side of a comparison, or a what-if.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

DIMS = "skpd"  # sub-pixel, source, phi step, mosaic domain: the loop order of the reference
Values = dict[str, Tensor]

# Roundings that a rule may make on each of its inputs' way to its result, and on the result itself.
ROUNDINGS = 4.0


@dataclass(frozen=True)
class Quantity:
    """One quantity of the graph.

    rule: tensors (elements, *dimensions that only the input has, *event) -> (elements, *event): it sees the
    elements of all worlds at once. each: the rule takes one element at a time instead. whole: the rule
    takes and returns complete tensors and only picks, copies or scales numbers by positive factors, so that
    bounds go through it like values. jump: an extra bound from (inputs, their bounds), where the rule is
    discontinuous. roundoff: unit roundoff of the result where it is stored in less than the run's precision.
    """

    name: str
    dims: str
    inputs: tuple[str, ...]
    rule: Callable[..., Tensor]
    traced: bool = False
    each: bool = False
    whole: bool = False
    exact: bool = False
    jump: Callable[..., Tensor] | None = None
    roundoff: float = 0.0


@dataclass
class Graph:
    """Quantities in causal order, and the roots they start from (constants, or values of flags)."""

    sizes: dict[str, int]
    quantities: dict[str, Quantity] = field(default_factory=dict)
    roots: Values = field(default_factory=dict)
    root_dims: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)

    def root(self, name: str, value: Tensor, flag: str = "", dims: str = "") -> None:
        self.roots[name] = value
        self.root_dims[name] = dims
        self.flags[name] = flag

    def add(self, name: str, inputs: str, rule: Callable[..., Tensor], dims: str = "", **kind: object) -> None:
        """A quantity whose `inputs` (names, blank separated) are in the graph already."""
        names = tuple(inputs.split())
        missing = [each for each in names if each not in self.roots and each not in self.quantities]
        if missing or name in self.quantities or name in self.roots:
            raise ValueError(f"{name}: expected a new name and known inputs, got {missing or 'a name in use'}")
        self.quantities[name] = Quantity(name, dims, names, rule, **kind)  # type: ignore[arg-type]

    def dims_of(self, name: str) -> str:
        return self.root_dims[name] if name in self.roots else self.quantities[name].dims

    def worlds(self, name: str, count: int) -> Tensor:
        """The root's value in `count` worlds."""
        value = self.roots[name]
        return value.unsqueeze(0).expand(count, *value.shape)

    @property
    def traced(self) -> list[str]:
        return [name for name, quantity in self.quantities.items() if quantity.traced]

    def hidden_ancestors(self, name: str) -> set[str]:
        """What is not traced on the way up from `name` to the nearest traced quantities and the roots."""
        found: set[str] = set()
        todo = list(self.quantities[name].inputs)
        while todo:
            each = todo.pop()
            if each in found or (each in self.quantities and self.quantities[each].traced):
                continue
            found.add(each)
            if each in self.quantities:
                todo += self.quantities[each].inputs
        return found

    def traced_parents(self, name: str) -> set[str]:
        """The nearest traced quantities upstream of `name`."""
        hidden = self.hidden_ancestors(name) & self.quantities.keys()
        inputs = {each for node in (name, *hidden) for each in self.quantities[node].inputs}
        return {each for each in inputs if each in self.quantities and self.quantities[each].traced}

    def descendants(self, name: str) -> set[str]:
        found = {name}
        for each, quantity in self.quantities.items():
            if found & set(quantity.inputs):
                found.add(each)
        return found - {name}


Fix = Callable[[str, Tensor], Tensor]


def evaluate(graph: Graph, count: int, fix: Fix, roots: Mapping[str, Tensor] | None = None) -> tuple[Values, Values]:
    """(values, what the rules gave) in `count` worlds.

    `fix(name, result)` turns what the rule of a quantity gave into the value that its descendants see:
    the traced one, or the result plus a defect.
    """
    values = {name: graph.worlds(name, count) for name in graph.roots}
    values.update(roots or {})
    results: Values = {}
    for name, quantity in graph.quantities.items():
        results[name] = _apply(graph, quantity, [values[each] for each in quantity.inputs])
        values[name] = fix(name, results[name])
    return values, results


def _apply(graph: Graph, quantity: Quantity, inputs: list[Tensor]) -> Tensor:
    if quantity.whole:
        return quantity.rule(*inputs)
    elements = _elements(graph, quantity, inputs)
    return _shaped(graph, quantity, inputs[0].shape[0], _call(quantity, elements))


def _call(quantity: Quantity, elements: list[Tensor]) -> Tensor:
    if not quantity.each:
        return quantity.rule(*elements)
    return torch.stack([quantity.rule(*(x[i] for x in elements)) for i in range(elements[0].shape[0])])


def _elements(graph: Graph, quantity: Quantity, inputs: list[Tensor]) -> list[Tensor]:
    """Every input as (elements, dimensions of its own, event), elements counting worlds and `dims`."""
    worlds = inputs[0].shape[0]
    shape = [worlds, *(graph.sizes[d] for d in quantity.dims)]
    found = []
    for name, value in zip(quantity.inputs, inputs):
        mine = graph.dims_of(name)
        own = [d for d in mine if d not in quantity.dims]
        shared = [1 + mine.index(d) for d in quantity.dims if d in mine]
        rest = [1 + mine.index(d) for d in own] + list(range(1 + len(mine), value.dim()))
        value = value.permute(0, *shared, *rest)
        for axis, d in enumerate(quantity.dims, start=1):
            if d not in mine:
                value = value.unsqueeze(axis)
        tail = value.shape[len(shape) :]
        found.append(value.expand(*shape, *tail).reshape(-1, *tail))
    return found


def _shaped(graph: Graph, quantity: Quantity, worlds: int, value: Tensor) -> Tensor:
    return value.reshape(worlds, *(graph.sizes[d] for d in quantity.dims), *value.shape[1:])


def bounds(
    graph: Graph, values: Values, roundoff: Tensor, printed: Callable[[Tensor], Tensor], read_off: Mapping[str, float]
) -> Values:
    """How far rounding can move every quantity, first order: shapes as `values`.

    roundoff: unit roundoff of the arithmetic of each world (worlds,). printed: half a unit of the last
    printed digit of a number, which a traced value adds, and a root in `read_off`: one that was itself read
    off a trace, with a relative error beyond that of its digits. Every input counts with its own bound and with
    ROUNDINGS roundings, times the absolute Jacobian of the rule.
    """
    found = {}
    for name in graph.roots:
        value = values[name]
        found[name] = ROUNDINGS * _like(roundoff, value) * value.abs()
        if name in read_off:
            found[name] = found[name] + printed(value) + read_off[name] * value.abs().max()
    for name, quantity in graph.quantities.items():
        inputs, errors = [values[x] for x in quantity.inputs], [found[x] for x in quantity.inputs]
        value, exact = values[name], values[name].abs() if not quantity.exact else torch.zeros_like(values[name])
        if quantity.whole:
            error = quantity.rule(*errors)
        elif quantity.exact:
            error = torch.zeros_like(value)
        else:
            total = [e + ROUNDINGS * _like(roundoff, x) * x.abs() for e, x in zip(errors, inputs)]
            error = _propagated(graph, quantity, inputs, total)
            error = error + ROUNDINGS * _like(roundoff, value) * exact
        if quantity.jump is not None:
            near = quantity.jump(*_elements(graph, quantity, inputs), *_elements(graph, quantity, errors))
            error = error + _shaped(graph, quantity, value.shape[0], near)
        if quantity.traced and not quantity.exact:
            error = error + printed(value) + quantity.roundoff * value.abs()
        found[name] = torch.where(value.isfinite(), error, torch.zeros_like(error))
    return found


def _like(roundoff: Tensor, value: Tensor) -> Tensor:
    return roundoff.reshape(-1, *(1,) * (value.dim() - 1))


def _propagated(graph: Graph, quantity: Quantity, inputs: list[Tensor], errors: list[Tensor]) -> Tensor:
    """Sum over inputs of |Jacobian| error. Elements are independent: one backward pass per component."""
    elements = [x.detach().requires_grad_() for x in _elements(graph, quantity, inputs)]
    widths = _elements(graph, quantity, errors)
    with torch.enable_grad():
        result = _call(quantity, elements)
        columns = result.reshape(result.shape[0], -1)
        parts = []
        for i in range(columns.shape[1]):
            if not columns.requires_grad:
                parts.append(torch.zeros_like(columns[:, i]))
                continue
            gradients = torch.autograd.grad(columns[:, i].sum(), elements, retain_graph=True, allow_unused=True)
            part = torch.zeros_like(columns[:, i])
            for gradient, width in zip(gradients, widths):
                if gradient is not None:
                    term = gradient.abs() * width
                    part = part + torch.where(width > 0, term, torch.zeros_like(term)).reshape(part.shape[0], -1).sum(1)
            parts.append(part.detach())
    return _shaped(graph, quantity, inputs[0].shape[0], torch.stack(parts, 1).reshape(result.shape).detach())
