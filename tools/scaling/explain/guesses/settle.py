"""Causes that settle several defects at once: known variants, other values of flags, numbers wrong in print only.

Each is a guess: offsets that it adds to rules and roots, or printed numbers that it does not believe. A guess is
judged by what it leaves: it has to make defects vanish and must not make any. The best ones are taken, the rest
is measured anew, until no guess settles anything.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tools.scaling.explain.defects import TRIPLES, Group, Measured, label_of, length, other_steps
from tools.scaling.explain.graph import Graph, Values, evaluate
from tools.scaling.explain.guesses.flags import other_values
from tools.scaling.explain.guesses.forms import fewer_terms
from tools.scaling.explain.guesses.variants import VARIANTS, Variant, offsets_of
from tools.scaling.explain.pixel import PreparedPixel
from tools.scaling.explain.sides import PY, C, Sides, lay_over

_MOST = 12  # how many origins a chain of misprints is tried with
_SMALLER = 10.0  # by which a defect has to shrink to count as settled, and may not grow
_BY_CHANCE = 100.0  # by which one number has to shrink, so that it is no chance, where the defect does not vanish
_NEVER, _PARTS = 1000, 6  # the gain of a guess that is only a part of others; how many are put together
_FITS = 0.02  # of the noise floor: what fits as well as this fits
_WORLDS = 200_000  # terms that are evaluated at once


@dataclass
class Guess:
    """What one cause would change on one side.

    cost: how many independent causes it stands for. gain: the least by which the defects that it settles have to
    outnumber these. printed: the quantities whose printed values are not believed, `hidden` with what repeats them.
    aims: defects of which one has to be settled. settled: the defects that are. rests: what is left of each number
    that it touches, in noise floors. shrunk: by how many powers of ten numbers together became smaller.
    """

    label: str
    text: str | None
    offsets: Values = field(default_factory=dict)
    side: int = PY
    cost: int = 1
    gain: int = 0
    printed: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    variant: Variant | None = None
    parts: tuple["Guess", ...] = ()
    aims: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    rests: dict[str, float] = field(default_factory=dict)
    shrunk: float = 0.0

    def beats(self, other: "Guess") -> bool:
        """Return whether it settles the same, no dearer, ten times nearer to some number and to none less near."""
        if self.settled != other.settled or self.side != other.side or self.cost > other.cost:
            return False
        pairs = [(self.rests.get(x, 0.0), other.rests.get(x, 0.0)) for x in self.rests.keys() | other.rests.keys()]
        nearer = [10.0 * max(left, _FITS) < other_left for left, other_left in pairs]
        return any(nearer) and not any(10.0 * max(other_left, _FITS) < left for left, other_left in pairs)

    @property
    def score(self) -> int:
        return _units(self.settled) - self.cost

    @property
    def holds(self) -> bool:
        """Return whether it settles enough, and what it was made for."""
        aimed = not self.aims or not set(self.aims).isdisjoint(self.settled)
        return bool(self.settled) and self.score >= self.gain and aimed


@dataclass
class Settling:
    """What is settled so far: `over` are the defects that are left, `hidden` the printed values not believed, `known`
    the offsets of variants as they were last made."""

    sides: Sides
    measured: Measured
    over: dict[str, Tensor]
    groups: list[Group] = field(default_factory=list)
    hidden: frozenset[str] = frozenset()
    known: dict[int, Values] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()


def settle(
    sides: Sides,
    measured: Measured,
    pixel: PreparedPixel,
    unknown: Collection[str] = (),
) -> Settling:
    """Settle what known variants, other values of flags and misprints can.

    unknown: quantities whose rule is not known, which a guess can neither mend nor break.
    """
    over = {
        name: mask for name in sides.graph.traced if bool((mask := measured.over[name] | measured.broken[name]).any())
    }
    state = Settling(sides, measured, over, other_steps(sides, measured, over), unknown=frozenset(unknown))
    while state.over:
        guesses = [*_misprints(state), *_variants(state, pixel), *_values(state)]
        if not _take(state, guesses) and not _take(state, list(_together(state, guesses, pixel))):
            swallowed = [guess.hidden.intersection(state.over).difference(guess.printed) for guess in guesses]
            rough = [x for x, more in zip(guesses, swallowed) if x.side == PY and (x.printed or x.variant) and not more]
            if not _take(state, [*rough, *_fewer_terms(state)], partly=True):
                return state
    return state


def _take(state: Settling, guesses: list[Guess], partly: bool = False) -> bool:
    """Adopt the best guesses, as long as each still settles what it settles alone. Whether there was any.

    Whatever settles more than it costs goes first; then what has no defect upstream of it that is left. `partly`: as of
    `_settling`; what a guess only makes smaller is left for others.
    """
    able = sorted(_judged(state, guesses, partly), key=lambda guess: (-guess.score, -guess.shrunk))
    able = [guess for guess in able if not any(other.beats(guess) for other in able)]
    first = [guess for guess in able if guess.score > 0] or _upstream(state, able) or able[:1]
    taken: set[str] = set()
    for guess in first:
        if taken.isdisjoint(guess.settled) and (not taken or _judged(state, [guess], partly)):
            alike = [other for other in able if other is not guess and _alike(guess, other)]
            taken.update(guess.settled)
            smaller = {name: state.over[name] for name in guess.settled if guess.printed and name not in guess.hidden}
            smaller = smaller if partly else {}
            _adopt(state, guess, alike)
            state.over |= smaller
    return bool(taken)


def _upstream(state: Settling, guesses: list[Guess]) -> list[Guess]:
    """Return the guesses about defects that no other defect is upstream of, unless it can be settled as well."""
    able = {name for guess in guesses for name in guess.settled}
    below = state.sides.graph.descendants(*sorted(state.over.keys() - able))
    return [guess for guess in guesses if below.isdisjoint(guess.settled)]


def _judged(state: Settling, guesses: list[Guess], partly: bool = False) -> list[Guess]:
    """Return the guesses that make defects vanish, enough of them, and none appear; each notes what it settles."""
    able = []
    for side in (PY, C):
        of_side = [guess for guess in guesses if guess.side == side]
        many = max(1, _WORLDS // math.prod(state.sides.graph.sizes.values()))
        for first in range(0, len(of_side), many):
            able += _settling(state, of_side[first : first + many], side, partly)
    return able


def _settling(state: Settling, guesses: list[Guess], side: int, partly: bool) -> list[Guess]:
    """Judge, as _judged does, guesses about one side: each is one world of the graph.

    partly: a defect need not vanish: much smaller is enough, so that the printed digits may be fewer than those in use.
    """
    graph, sides, count = state.sides.graph, state.sides, len(guesses)
    values, results, believed = _worlds(sides, guesses, side)
    changed = [guess.hidden.union(guess.offsets) for guess in guesses]
    touched = [each | graph.descendants(*sorted(each)) for each in changed]
    settled: list[list[str]] = [[] for _ in guesses]
    sound = [True] * count
    sign = 1.0 if side == PY else -1.0
    for guess in guesses:
        guess.rests, guess.shrunk = {}, 0.0
    for name in graph.traced:
        if name in state.unknown or not any(name in each for each in touched):
            continue
        both = believed[name] & sides.present[name][1 - side]
        net = sign * (values[name] - results[name] - sides.own(1 - side, name))
        floors = torch.stack([_floor(state, name, guess.hidden) for guess in guesses])
        size = length(net, both)
        after = both & ~(size <= floors)
        before = state.over.get(name, torch.zeros_like(after[0]))
        was = length(sides.own(PY, name) - sides.own(C, name), before)
        components, smaller = net.numel() / both.numel(), _SMALLER
        if partly and name in state.over:
            was, smaller = _of_triple(state, name), max(_SMALLER, _BY_CHANCE ** (1.0 / components))
        after = (after & ~before if partly else after) | (both & before & ~(size <= was / smaller))
        rest = torch.nan_to_num(torch.where(both, size / floors, 0.0).reshape(count, -1).amax(1), nan=0.0).tolist()
        largest = torch.where(both & before, size, 0.0).reshape(count, -1).amax(1).clamp_min(1e-300)
        digits = components * torch.log10(was.max() / largest).clamp(0.0, 6.0)
        appear = (after & ~before).reshape(count, -1).any(1).tolist()
        grown = (after & before & (size > _SMALLER * was)).reshape(count, -1).any(1).tolist()
        if partly and graph.quantities[name].sums:  # made of what is left hidden, too
            grown = [False] * count
        vanish = (~after.reshape(count, -1).any(1)).tolist()
        for i in range(count):
            if name in touched[i]:
                sound[i] &= not appear[i] and not grown[i]
                guesses[i].rests[name] = rest[i]
                if vanish[i] and name in state.over:
                    settled[i].append(name)
                    guesses[i].shrunk += float(digits[i]) if name not in guesses[i].hidden else 0.0
    for i, (guess, names) in enumerate(zip(guesses, settled)):
        guess.settled = tuple(names)
        # 0 can be made in many ways: it tells none of them
        hidden = bool(guess.variant or guess.parts) and set(guess.aims).isdisjoint(names)
        sound[i] &= not hidden or any(bool((sides.traced[name][side] != 0).any()) for name in names)
    return [guess for i, guess in enumerate(guesses) if sound[i] and guess.holds]


def _of_triple(state: Settling, name: str) -> Tensor:
    """Return how large the largest defect is of the quantities that one rule makes with `name`."""
    sides, names = state.sides, next((names for names in TRIPLES if name in names), (name,))
    sizes = [length(sides.own(PY, x) - sides.own(C, x), state.over[x]) for x in names if x in state.over]
    return torch.stack([size.max() for size in sizes]).max()


def _worlds(sides: Sides, guesses: list[Guess], side: int) -> tuple[Values, Values, Values]:
    """(values, results, what is believed of the trace) of one side, one world for each guess."""
    graph, count = sides.graph, len(guesses)

    def wide(x: Tensor) -> Tensor:
        return x[side].expand(count, *x[side].shape)

    offsets = {name: wide(x) for name, x in sides.offsets.items()}
    for i, guess in enumerate(guesses):
        for name, part in guess.offsets.items():
            row = offsets[name].clone() if name in offsets else part.new_zeros(count, *part.shape)
            row[i] += part
            offsets[name] = row
    believed = {name: wide(x) for name, x in sides.present.items()}
    for name in frozenset().union(*(guess.hidden for guess in guesses)):
        believed[name] = believed[name].clone()
        for i, guess in enumerate(guesses):
            if name in guess.hidden:
                believed[name][i] = False
    traced = {name: wide(x) for name, x in sides.traced.items()}
    roots = {name: graph.worlds(name, count) + offsets[name] for name in offsets.keys() & graph.roots.keys()}
    changed = frozenset().union(*(guess.hidden.union(guess.offsets) for guess in guesses))
    touched = changed | graph.descendants(*sorted(changed))
    known = {k: wide(v) for k, v in sides.values.items()}, {k: wide(v) for k, v in sides.results.items()}
    with torch.no_grad():
        values, results = evaluate(graph, count, lay_over(traced, believed, {}), roots, offsets, known, touched)
    return values, results, believed


def _floor(state: Settling, name: str, hidden: frozenset[str]) -> Tensor:
    """(*dims): how far rounding can move the defect of `name`, more where its inputs are not believed."""
    floor = state.measured.own_floor[name]
    hidden = hidden | state.hidden
    if hidden and not hidden.isdisjoint(state.sides.graph.traced_parents(name)):
        floor = torch.maximum(floor, state.measured.floor[name])
    return floor


def _alike(guess: Guess, other: Guess) -> bool:
    """Two known variants that settle the same: this pixel does not tell them apart."""
    if guess.settled != other.settled or guess.variant is None or other.variant is None:
        return False
    return guess.text != other.text and guess.label == other.label


def _adopt(state: Settling, guess: Guess, alike: list[Guess]) -> None:
    before = state.sides
    members = {name: state.over.pop(name) for name in guess.settled}
    state.sides = before.changed(guess.offsets, guess.side, guess.hidden)
    state.hidden |= guess.hidden
    changed = {*guess.offsets, *guess.hidden}
    changed |= before.graph.descendants(*sorted(changed))
    quantities = before.graph.quantities
    for i, offsets in list(state.known.items()):
        if any(not changed.isdisjoint(quantities[name].inputs) for name in offsets.keys() & quantities.keys()):
            del state.known[i]
    if guess.printed:
        for name in guess.printed:
            mask = members.pop(name)
            printed = state.sides.traced[name][guess.side] - state.sides.results[name][guess.side]
            state.groups.append(
                Group(name, label_of(name), {name: mask}, None, {name: printed}, side=guess.side, printed=True)
            )
        _join_triples(state.groups)
        return
    nets = {name: before.own(PY, name) - before.own(C, name) for name in members}
    others = tuple(dict.fromkeys(other.text for other in alike if other.text))
    for part in guess.parts or (guess,):
        group = Group(_head(part, members), part.label, dict(members), part.text, nets, part.offsets, alike=others)
        state.groups.append(group)


def _head(guess: Guess, members: dict[str, Tensor]) -> str:
    """Return the defective quantity next to the cause."""
    quantities = guess.variant.quantities if guess.variant is not None else (guess.label,)
    if guess.variant is None and guess.aims:
        return guess.aims[0]
    return next((name for name in members if label_of(name) in quantities), next(iter(members)))


def _join_triples(groups: list[Group]) -> None:
    """Make one cause of a triple all of whose members are misprints."""
    printed = {each.name: each for each in groups if each.printed}
    for triple in TRIPLES:
        members = [printed[name] for name in triple if name in printed]
        for other in members[1:]:
            members[0].members.update(other.members)
            members[0].net.update(other.net)
            groups.remove(other)


def _variants(state: Settling, pixel: PreparedPixel) -> list[Guess]:
    """Known variants of what is defective, and of what lies hidden upstream of it."""
    lone = [name for name in state.over if _breaks(state, name, PY)]
    near = {each for name in lone for each in _near(state, name)}
    guesses = []
    for i, variant in enumerate(VARIANTS):
        if not near.isdisjoint(variant.quantities):
            if i not in state.known:
                state.known[i] = offsets_of(variant.change, state.sides, pixel) or {}
            if offsets := state.known[i]:
                own = tuple(name for name in lone if {name, label_of(name)} & set(variant.quantities))
                gain = _NEVER if variant.several else 0
                guesses.append(
                    Guess(_label(variant, lone), variant.text, offsets, gain=gain, variant=variant, aims=own)
                )
    return guesses


def _near(state: Settling, name: str) -> set[str]:
    """`name` and what the port does not show upstream of it, by any of their names."""
    graph = state.sides.graph
    shown = frozenset(each for each in graph.traced if bool(state.sides.present[each][PY].any()))
    names = {name} | graph.ancestors(name, shown)
    return names | {label_of(each) for each in names}


def _together(state: Settling, guesses: list[Guess], pixel: PreparedPixel) -> Iterator[Guess]:
    """Yield several variants at once, where none alone makes a number: the one that brings it nearest first."""
    able = [guess for guess in guesses if guess.variant]
    for name in state.over:
        parts: tuple[Guess, ...] = ()
        left = math.inf
        for _ in range(_PARTS):
            tries = [(*parts, guess) for guess in able if all(guess.label != part.label for part in parts)]
            trials = [Guess(name, None, _sum(each), cost=len(each), gain=1 - len(each), parts=each) for each in tries]
            sizes = _sizes(state, trials, name)
            if not sizes or not min(sizes) < 0.97 * left:
                break
            left = min(sizes)
            best = trials[sizes.index(left)]
            parts = best.parts
            if len(parts) > 1 or best.parts[0].gain == _NEVER:
                yield _composed(state, name, parts, pixel)


def _composed(state: Settling, name: str, parts: tuple[Guess, ...], pixel: PreparedPixel) -> Guess:
    """Put the variants one upon the other: what each adds to a rule is made with the others in force."""

    def change(graph: Graph, pixel: PreparedPixel) -> Graph:
        for part in parts:
            graph = part.variant.change(graph, pixel) if part.variant else graph
        return graph

    offsets = offsets_of(change, state.sides, pixel) or _sum(parts)
    shares = tuple(replace(part, offsets={k: x for k, x in offsets.items() if k in part.offsets}) for part in parts)
    return Guess(name, None, offsets, cost=len(parts), gain=1 - len(parts), parts=shares, aims=(name,))


def _sum(parts: tuple[Guess, ...]) -> Values:
    total: Values = {}
    for part in parts:
        for name, offset in part.offsets.items():
            total[name] = total[name] + offset if name in total else offset
    return total


def _sizes(state: Settling, guesses: list[Guess], name: str) -> list[float]:
    """Return how large the defect of `name` is with each guess."""
    if not guesses:
        return []
    values, results, _ = _worlds(state.sides, guesses, PY)
    net = values[name] - results[name] - state.sides.own(C, name)
    sizes = torch.where(state.over[name], length(net, net.new_zeros(len(guesses), *state.over[name].shape)), 0.0)
    return [float(x) for x in sizes.reshape(len(guesses), -1).norm(dim=1)]


def _label(variant: Variant, lone: list[str]) -> str:
    """Return the name of a cause: the defective quantity next to it; for a flag's own vector, its flag."""
    if variant.text.startswith("taken as given"):
        return variant.quantities[0]
    shown = (label_of(name) for name in lone if {name, label_of(name)} & set(variant.quantities))
    return next(shown, variant.quantities[0])


def _values(state: Settling) -> Iterator[Guess]:
    """Yield another value of a flag or of a hidden vector, where it settles more than the number it is read off."""
    for label, child, text, offsets in other_values(state.sides, state.measured, state.over):
        yield Guess(label, text, offsets, gain=1, aims=(child,))


def _fewer_terms(state: Settling) -> list[Guess]:
    name = "I_before_scaling"
    found = fewer_terms(state.sides, name) if name in state.over else None
    return [Guess(name, found[0], {name: found[1]}, aims=(name,))] if found else []


def _breaks(state: Settling, name: str, side: int) -> bool:
    """Return whether this side breaks the rule of `name`."""
    mask = state.over[name]
    own = length(state.sides.own(side, name), mask)
    return bool((~(own <= state.measured.own_floor[name]))[mask].any())


def _misprints(state: Settling) -> Iterator[Guess]:
    """Printed numbers from which a defective descendant was not made."""
    graph = state.sides.graph
    order = graph.traced
    for side in (PY, C):
        origins = [name for name in order if name in state.over and _breaks(state, name, side)]
        tried: set[frozenset[str]] = set()
        for child in state.over:
            above = graph.ancestors(child)
            upstream = [name for name in origins if name in above][-_MOST:]
            chains = [tuple(upstream[i:]) for i in range(len(upstream) - 1, -1, -1)]
            for chain in dict.fromkeys((*chains, *((name,) for name in upstream))):
                between = graph.descendants(*chain) & above & set(order)
                hidden = _with_copies(state.sides, frozenset((*chain, *between)), child)
                if hidden not in tried:
                    tried.add(hidden)
                    yield Guess(
                        chain[0],
                        None,
                        side=side,
                        cost=_units(chain),
                        gain=1,
                        printed=chain,
                        hidden=hidden,
                        aims=(child,),
                    )


def _units(names: tuple[str, ...]) -> int:
    """Return how many things are wrong with `names`: one rule makes a triple."""
    triple = {name: str(i) for i, of in enumerate(TRIPLES) for name in of}
    return len({triple.get(name, name) for name in names})


def _with_copies(sides: Sides, hidden: frozenset[str], child: str) -> frozenset[str]:
    """Return `hidden` with the quantities that only repeat the hidden ones, from which nothing else is made."""
    graph = sides.graph
    copies = [
        name
        for name in graph.traced
        if name != child
        and name not in hidden
        and not graph.descendants(name)
        and graph.traced_parents(name) <= hidden
        and bool(sides.present[name].any())
    ]
    return hidden.union(copies)
