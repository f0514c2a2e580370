"""A causal graph that can be evaluated: quantities, the rule of each, and how far rounding can move them.

The graph knows no physics and no trace. A quantity has an event shape (a vector's three components) and
varies over some of the dimensions of `DIMS`; values have the shape (worlds, *sizes of its dimensions,
*event). A world is one consistent set of values: a side of a comparison, or a what-if.
"""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import torch
from torch import Tensor

DIMS = "skpd"  # sub-pixel, source, phi step, mosaic domain: the loop order of the reference
Values = dict[str, Tensor]

# Roundings that a rule may make on each of its inputs' way to its result, and on the result itself.
ROUNDINGS = 4.0


@dataclass(frozen=True)
class Node:
    """One quantity of the graph.

    rule: tensors (elements, *dimensions that only the input has, *event) -> (elements, *event): it sees the
    elements of all worlds at once. each: the rule takes one element at a time instead. whole: the rule
    takes and returns complete tensors and only picks, copies or scales numbers by positive factors, so that
    bounds go through it like values. sums: it adds up every element of its inputs. jump: an extra bound from
    (inputs, their bounds), where the rule is discontinuous. roundoff: unit roundoff of the result where it is
    stored in less than the run's precision.
    """

    name: str
    dims: str
    inputs: tuple[str, ...]
    rule: Callable[..., Tensor]
    traced: bool = False
    each: bool = False
    whole: bool = False
    exact: bool = False
    sums: bool = False
    jump: Callable[..., Tensor] | None = None
    roundoff: float = 0.0


@dataclass
class Graph:
    """Quantities in causal order, and the roots they start from (constants, or values of flags)."""

    sizes: dict[str, int]
    quantities: dict[str, Node] = field(default_factory=dict)
    roots: Values = field(default_factory=dict)
    root_dims: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    _seen: dict[tuple[str, ...], frozenset[str]] = field(default_factory=dict, init=False, repr=False)
    _parents: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False)

    def root(self, name: str, value: Tensor, flag: str = "", dims: str = "") -> None:
        self.roots[name] = value
        self.root_dims[name] = dims
        self.flags[name] = flag

    def add(self, name: str, inputs: str, rule: Callable[..., Tensor], dims: str = "", **kind: object) -> None:
        """Add a quantity whose `inputs` (names, blank separated) are in the graph already."""
        names = tuple(inputs.split())
        missing = [each for each in names if each not in self.roots and each not in self.quantities]
        if missing or name in self.quantities or name in self.roots:
            raise ValueError(f"{name}: expected a new name and known inputs, got {missing or 'a name in use'}")
        self.quantities[name] = Node(name, dims, names, rule, **kind)  # type: ignore[arg-type]

    def dims_of(self, name: str) -> str:
        return self.root_dims[name] if name in self.roots else self.quantities[name].dims

    def worlds(self, name: str, count: int) -> Tensor:
        """Return the root's value in `count` worlds."""
        value = self.roots[name]
        return value.unsqueeze(0).expand(count, *value.shape)

    @property
    def traced(self) -> list[str]:
        return [name for name, quantity in self.quantities.items() if quantity.traced]

    def hidden_ancestors(self, name: str) -> set[str]:
        """Return what is not traced on the way up from `name` to the nearest traced quantities and the roots."""
        return self.ancestors(name, frozenset(self.traced))

    def traced_parents(self, name: str) -> frozenset[str]:
        """Return the nearest traced quantities upstream of `name`, of a graph to which nothing is added any more."""
        if name not in self._parents:
            hidden = self.hidden_ancestors(name) & self.quantities.keys()
            inputs = {each for node in (name, *hidden) for each in self.quantities[node].inputs}
            nearest = (each for each in inputs if each in self.quantities and self.quantities[each].traced)
            self._parents[name] = frozenset(nearest)
        return self._parents[name]

    def descendants(self, *names: str) -> frozenset[str]:
        """Return what is made of `names`, directly or not, of a graph to which nothing is added any more."""
        if names not in self._seen:
            made = set(names)
            for each, quantity in self.quantities.items():
                if not made.isdisjoint(quantity.inputs):
                    made.add(each)
            self._seen[names] = frozenset(made.difference(names))
        return self._seen[names]

    def ancestors(self, name: str, until: Set[str] = frozenset()) -> set[str]:
        """Everything upstream of `name`, not going beyond the quantities of `until`, which are left out."""
        above: set[str] = set()
        todo = list(self.quantities[name].inputs)
        while todo:
            each = todo.pop()
            if each not in above and each not in until:
                above.add(each)
                todo += self.quantities[each].inputs if each in self.quantities else ()
        return above


def wide(mask: Tensor, like: Tensor) -> Tensor:
    """Return the mask (*dims) with as many dimensions as `like` (*dims, *event) has."""
    return mask.reshape((*mask.shape, *(1,) * (like.dim() - mask.dim())))


Fix = Callable[[str, Tensor], Tensor]


def evaluate(
    graph: Graph,
    count: int,
    fix: Fix,
    roots: Mapping[str, Tensor] | None = None,
    offsets: Mapping[str, Tensor] | None = None,
    known: tuple[Values, Values] | None = None,
    only: Set[str] = frozenset(),
) -> tuple[Values, Values]:
    """(values, what the rules gave) in `count` worlds.

    `offsets` are added to what the rules gave. `fix(name, result)` turns that into the value that the
    descendants see, the traced one where there is one. With `known`, an earlier return, `only` these are made anew.
    """
    values, results = (dict(each) for each in known or ({}, {}))
    values.update({name: graph.worlds(name, count) for name in graph.roots})
    values.update(roots or {})
    for name, quantity in graph.quantities.items():
        if known is not None and name not in only:
            continue
        result = _apply(graph, quantity, [values[each] for each in quantity.inputs])
        results[name] = result + offsets[name] if offsets and name in offsets else result
        values[name] = fix(name, results[name])
    return values, results


def rule_of(graph: Graph, name: str, values: Values) -> Tensor:
    """Return what the rule of `name` makes of its inputs in `values`."""
    quantity = graph.quantities[name]
    return _apply(graph, quantity, [values[each] for each in quantity.inputs])


def _apply(graph: Graph, quantity: Node, inputs: list[Tensor]) -> Tensor:
    if quantity.whole:
        return quantity.rule(*inputs)
    elements = _elements(graph, quantity, inputs)
    return _shaped(graph, quantity, inputs[0].shape[0], _call(quantity, elements))


def _call(quantity: Node, elements: list[Tensor]) -> Tensor:
    if not quantity.each:
        return quantity.rule(*elements)
    first = quantity.rule(*(x[0] for x in elements))
    rows = [first]
    for i in range(1, elements[0].shape[0]):
        # most worlds differ elsewhere
        alike = not any(x.requires_grad for x in elements) and all(torch.equal(x[i], x[0]) for x in elements)
        rows.append(first if alike else quantity.rule(*(x[i] for x in elements)))
    return torch.stack(rows)


def _elements(graph: Graph, quantity: Node, inputs: list[Tensor]) -> list[Tensor]:
    """Return every input as (elements, dimensions of its own, event), elements counting worlds and `dims`."""
    worlds = inputs[0].shape[0]
    shape = [worlds, *(graph.sizes[d] for d in quantity.dims)]
    elements = []
    for name, value in zip(quantity.inputs, inputs):
        dims = graph.dims_of(name)
        own = [d for d in dims if d not in quantity.dims]
        shared = [1 + dims.index(d) for d in quantity.dims if d in dims]
        rest = [1 + dims.index(d) for d in own] + list(range(1 + len(dims), value.dim()))
        value = value.permute(0, *shared, *rest)
        for axis, d in enumerate(quantity.dims, start=1):
            if d not in dims:
                value = value.unsqueeze(axis)
        tail = value.shape[len(shape) :]
        elements.append(value.expand(*shape, *tail).reshape(-1, *tail))
    return elements


def _shaped(graph: Graph, quantity: Node, worlds: int, value: Tensor) -> Tensor:
    return value.reshape(worlds, *(graph.sizes[d] for d in quantity.dims), *value.shape[1:])


@dataclass(frozen=True)
class Bounds:
    """How far rounding can move every quantity, first order: shapes as the values.

    whole: from the roots down. rule: between the value and what the rule makes of its inputs as they are traced.
    """

    whole: Values
    rule: Values


def bounds(
    graph: Graph,
    values: Values,
    present: Values,
    roundoff: Tensor,
    printed: Callable[[Tensor], Tensor],
    read_off: Mapping[str, float],
) -> Bounds:
    """What rounding can do to `values`, of which `present` (worlds, *dims) are traced.

    roundoff: unit roundoff of the arithmetic of each world (worlds,). printed: half a unit of the last
    printed digit of a number, which a traced value adds, and a root in `read_off`: one that was itself read
    off a trace, with a relative error beyond that of its digits. Every input counts with its own bound and with
    ROUNDINGS roundings, times the absolute Jacobian of the rule; for the rule's own bound a traced input is
    off by its last digit and by nothing else.
    """
    roots = {}
    for name in graph.roots:
        value = values[name]
        roots[name] = ROUNDINGS * _like(roundoff, value) * value.abs()
        if name in read_off:
            roots[name] = roots[name] + printed(value) + read_off[name] * value.abs().max()
    limits, seen = Bounds(dict(roots), dict(roots)), dict(roots)
    for name, quantity in graph.quantities.items():
        inputs, value = [values[x] for x in quantity.inputs], values[name]
        errors = [[of[x] for x in quantity.inputs] for of in (limits.whole, seen)]
        own = printed(value) + quantity.roundoff * value.abs() if quantity.traced and not quantity.exact else None
        for into, error in zip((limits.whole, limits.rule), _errors(graph, quantity, inputs, value, errors, roundoff)):
            error = error if own is None else error + own
            into[name] = torch.where(value.isfinite(), error, torch.zeros_like(error))
        seen[name] = limits.rule[name]
        if own is not None:
            seen[name] = torch.where(wide(present[name], value) & value.isfinite(), printed(value), seen[name])
    return limits


def _errors(
    graph: Graph, quantity: Node, inputs: list[Tensor], value: Tensor, errors: list[list[Tensor]], roundoff: Tensor
) -> list[Tensor]:
    """The bound of a rule's result for each of several sets of bounds of its inputs."""
    if quantity.whole:
        widest = [quantity.rule(*widths) for widths in errors]
    elif quantity.exact:
        widest = [torch.zeros_like(value) for _ in errors]
    else:
        rounded = [ROUNDINGS * _like(roundoff, x) * x.abs() for x in inputs]
        own = (ROUNDINGS + _additions(graph, quantity)) * _like(roundoff, value) * value.abs()
        totals = [[e + r for e, r in zip(widths, rounded)] for widths in errors]
        widest = [error + own for error in _propagated(graph, quantity, inputs, totals)]
    if quantity.jump is None:
        return widest
    elements = _elements(graph, quantity, inputs)
    jumps = [quantity.jump(*elements, *_elements(graph, quantity, widths)) for widths in errors]
    return [error + _shaped(graph, quantity, value.shape[0], jump) for error, jump in zip(widest, jumps)]


def _additions(graph: Graph, quantity: Node) -> float:
    """How many additions, in whatever order, a sum over all terms takes."""
    if not quantity.sums:
        return 0.0
    return max(math.prod(graph.sizes[d] for d in graph.dims_of(each)) for each in quantity.inputs) - 1.0


def _like(roundoff: Tensor, value: Tensor) -> Tensor:
    return roundoff.reshape(-1, *(1,) * (value.dim() - 1))


def _propagated(graph: Graph, quantity: Node, inputs: list[Tensor], errors: list[list[Tensor]]) -> list[Tensor]:
    """Sum over inputs of |Jacobian| error, for each set of errors. Elements are independent: one backward
    pass per component."""
    elements = [x.detach().requires_grad_() for x in _elements(graph, quantity, inputs)]
    sets = [_elements(graph, quantity, each) for each in errors]
    with torch.enable_grad():
        result = _call(quantity, elements)
        columns = result.reshape(result.shape[0], -1)
        parts: list[list[Tensor]] = [[] for _ in sets]
        for i in range(columns.shape[1]):
            gradients: Sequence[Tensor | None] = [None] * len(elements)
            if columns.requires_grad:
                gradients = torch.autograd.grad(columns[:, i].sum(), elements, retain_graph=True, allow_unused=True)
            for part, widths in zip(parts, sets):
                part.append(_moved(gradients, widths, columns[:, i].detach()))
    return [
        _shaped(graph, quantity, inputs[0].shape[0], torch.stack(part, 1).reshape(result.shape)).detach()
        for part in parts
    ]


def _moved(gradients: Sequence[Tensor | None], widths: list[Tensor], like: Tensor) -> Tensor:
    """How far one component (elements,) moves when every input does by its width."""
    total = torch.zeros_like(like)
    for gradient, width in zip(gradients, widths):
        if gradient is not None:
            term = torch.where(width > 0, gradient.abs() * width, torch.zeros_like(width))
            total = total + term.reshape(total.shape[0], -1).sum(1)
    return total.detach()
