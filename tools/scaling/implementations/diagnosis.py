"""A first diagnosis from images alone: which known cause makes our image the candidate's.

Every known cause is simulated on the most telling pixels, ranked by what it leaves over, and the best are confirmed on
the image as far as it is looked at.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanobragg_torch.scan.threads import one_thread_per_operation
from tools.scaling.implementations.causes import PROGRAMS, KnownCause, beside, known_causes
from tools.scaling.implementations.trial import LOOKED_AT, Trial

if TYPE_CHECKING:
    from torch import Tensor

TELLING = 400  # pixels on which each cause is tried
FEW = 64  # pixels on which it is tried beside another one
TERMS = 40_000  # terms that a cause may cost, with no fewer than FEW pixels
CONFIRMED = 6  # causes that are simulated on all pixels that are looked at; more where that is cheap
FIRSTS = 2  # best single causes beside which each other one is tried
SAME = 2.0**-22  # relative: two roundings to float32 and one of a factor
STORED = 2.0**-24  # relative: what rounding to float32 alone leaves
ROUNDING = 1e-3  # relative: more than float32 arithmetic leaves on seven pixels of ten
SPREAD = 30.0  # nearly the largest rounding of an image, over what seven pixels of ten have at most
SPARED = 0.005  # share of the pixels whose own rounding may be larger yet
ALIKE = 1.02  # what a cause may leave, over what the best one leaves, to look the same
TINY = 1e-300
SMALLEST = 2.0**-149  # the least step of float32, to which the smallest values are rounded


@dataclass(frozen=True)
class TriedCause:
    """A cause and what it leaves.

    name: in words; empty for the command line as it is. words: its command line. scale: the candidate's image is this
    many times the cause's; constant: what that number is, in words. left: pixels that it does not explain, of `of`.
    rest: from 0, where each pixel is the candidate's, to 1, where each is another.
    """

    name: str
    words: tuple[str, ...]
    scale: float
    left: int
    of: int
    rest: float
    constant: str = ""

    @property
    def text(self) -> str:
        """The cause with its constant, in words."""
        return ", ".join(filter(None, (self.name, self.constant))) or "no change"

    @property
    def short(self) -> str:
        """The same without what the switch does."""
        return self.text.partition(" (")[0]


@dataclass(frozen=True)
class Diagnosis:
    """What a candidate's image comes from.

    differing: pixels that are not as our port makes them, of `looked_at`; pixels: of the image. order: in words, how
    the candidate's pixels lie otherwise than ours; empty where they do not. tolerance: relative; beyond SAME where the
    candidate has a rounding of its own. tried: known causes that were. causes: the best of them, the best first.
    unconfirmed: more causes that look as good on the telling pixels, beyond those that were simulated whole. drawn:
    causes that were not tried, as each run of them draws another orientation from the clock; the empty name stands for
    the command line itself. turned: an order of the pixels in which the image would be ours, where a cause makes it as
    it is. mode: the program that our port follows, where it is not golden. side: whose image it is. lead: a sentence
    before.
    """

    differing: int
    looked_at: int
    pixels: int
    order: str = ""
    tolerance: float = SAME
    tried: int = 0
    causes: tuple[TriedCause, ...] = ()
    unconfirmed: int = 0
    drawn: tuple[str, ...] = ()
    turned: str = ""
    mode: str = ""
    side: str = "candidate"
    lead: str = ""

    @property
    def explained(self) -> tuple[TriedCause, ...]:
        """The causes that leave no pixel; of an image with a rounding of its own, hardly any."""
        spared = 0.0 if self.tolerance == SAME else SPARED
        return tuple(cause for cause in self.causes if cause.left <= spared * cause.of)

    @property
    def as_port(self) -> bool:
        """Whether the image is our port's, as the flags have it."""
        if self.order or self.drawn[:1] == ("",):
            return False
        return not self.causes or (self.causes[0] in self.explained and self.causes[0].text == "no change")

    @property
    def sentence(self) -> str:
        """The diagnosis, for a person."""
        if "" in self.drawn:
            return (
                f"{self.lead}Not to be told: -misset random without a seed draws from the clock, so that each run has"
                " another orientation. The same flags with -misset_seed (Q63: -seed) can be diagnosed."
            )
        turned = f"with {self.order} " if self.order else ""
        mode = f" (--mode {self.mode})" if self.mode else ""
        subject = f"{self.lead}The {self.side} {turned}is"
        rounding = "" if self.tolerance == SAME else f", within {self.tolerance:.1g} for its own rounding"
        if not self.causes:
            return f"{subject} as our port{mode}: 0 of {self.looked_at} pixels left."
        best = self.causes[0]
        left = f"{best.left} of {best.of} pixels left{rounding}"
        if best not in self.explained:
            return (
                f"{self.lead}None of {self.tried} known causes makes the {self.side}'s image, {self.differing} of"
                f" {self.looked_at} pixels of which differ from our port's{mode}; nearest: {turned}{best.text}: {left}."
                f"{self._untried}"
            )
        if best.text == "no change":
            return f"{subject} as our port{mode}: {left}."
        same = _shortened([cause.short for cause in self.explained[1:]])
        others = ", ".join([*same, *([f"our image with {self.turned}"] if self.turned else [])])
        others += f", and {self.unconfirmed} more that look so on fewer pixels" if self.unconfirmed else ""
        also = f" (would look the same here: {others})" if others else ""
        return f"{subject} as ours{mode} with {best.text}: {left}{also}."

    @property
    def _untried(self) -> str:
        """A sentence that names the causes that were not tried, or nothing."""
        names = ", ".join(_shortened([name.partition(" (")[0] for name in self.drawn]))
        return f" Not tried, as each run of them draws another orientation from the clock: {names}." if names else ""

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis for JSON."""
        return {
            "sentence": self.sentence,
            "side": self.side,
            "mode": self.mode or "golden",
            "explained": "" not in self.drawn and (not self.differing or bool(self.explained)),
            "differing": self.differing,
            "looked_at": self.looked_at,
            "pixels": self.pixels,
            "order": self.order,
            "tolerance": self.tolerance,
            "tried": self.tried,
            "unconfirmed": self.unconfirmed,
            "drawn": list(self.drawn),
            "turned": self.turned,
            "causes": [{**vars(cause), "words": list(cause.words)} for cause in self.causes],
        }


def diagnose(
    flags: Sequence[str], folders: Sequence[Path], image: "Tensor", origin: tuple[int, int] | None = None
) -> Diagnosis:
    """Which known cause makes the image of a candidate.

    flags: the command line, with --mode and --quirk where the candidate should be as another program. folders: where
    the files that it names are. image: the candidate's, (slow, fast) photons. origin: (slow, fast) of its first pixel,
    where it is a part of the detector. A cause that our port refuses is not tried, nor one whose orientation the clock
    seeds: no two runs of it are alike. Raises BadInput where the port refuses the flags, or the image has another size.
    """
    import torch

    with torch.no_grad(), one_thread_per_operation():
        trial = Trial(tuple(flags), folders, image.double(), origin)
        if trial.drawn:
            return Diagnosis(0, 0, image.numel(), drawn=("",), mode=_mode(flags))
        orders = trial.orders()
        results: list[Diagnosis] = []
        for order, candidate in orders:
            if differing(trial.own, candidate):
                results.append(_diagnosed(trial, order, candidate))
            else:
                results.append(Diagnosis(0, len(trial.places), image.numel(), order, mode=_mode(flags)))
            if not results[-1].causes or results[-1].explained:
                break
        else:
            return min(results, key=lambda each: each.causes[0].rest)
    turned = "".join(order for order, other in orders[len(results) :] if not differing(trial.own, other))
    return replace(results[-1], turned=turned)


@dataclass(frozen=True)
class _Made:
    """A cause, its values at the telling pixels, times the constant where one is fitted, and what it leaves."""

    cause: KnownCause
    values: "Tensor"
    tried: TriedCause

    @property
    def rank(self) -> tuple[float, bool]:
        return self.tried.rest, self.tried.scale != 1.0


class _Sample:
    """The telling pixels: places (n, 2), the candidate's values there."""

    def __init__(self, trial: Trial, places: "Tensor", wanted: "Tensor") -> None:
        self.trial, self.places, self.wanted = trial, places, wanted

    def ranked(self, causes: Sequence[KnownCause]) -> list[_Made]:
        """Those of the causes that our port does not refuse, the one that leaves the least first."""
        judged = (self._judged(cause, self.trial.tried(cause, self.places)) for cause in causes)
        return sorted((made for made in judged if made is not None), key=lambda made: made.rank)

    def _judged(self, cause: KnownCause, values: "Tensor | None") -> _Made | None:
        """What a cause leaves, as it is or, where that is far better, times a constant."""
        if values is None:
            return None
        made = _Made(cause, values, _judged(cause, values, self.wanted))
        scale = _scale(values, self.wanted) if made.tried.left else None
        if scale is not None:
            scaled = _judged(cause, values * scale, self.wanted, scale)
            if scaled.rest < 0.8 * made.tried.rest:
                return _Made(cause, values * scale, scaled)
        return made

    def fewer(self) -> "_Sample":
        """One pixel in so many."""
        step = -(-len(self.places) // FEW)
        return _Sample(self.trial, self.places[::step], self.wanted[::step])

    def rounding(self, made: Sequence[_Made]) -> float:
        """The limit within which the candidate is what it should be, told from the cause that is nearest to it."""
        floor = min(float(_distance(each.values, self.wanted, True).quantile(0.7)) for each in made[:CONFIRMED])
        return max(SAME, SPREAD * floor) if STORED < floor < ROUNDING else SAME


def _diagnosed(trial: Trial, order: str, candidate: "Tensor") -> Diagnosis:
    chosen = _telling(trial.own, candidate, min(TELLING, max(FEW, TERMS // trial.terms)))
    sample = _Sample(trial, trial.places[chosen], candidate[chosen])
    causes = [KnownCause("", trial.flags), *known_causes(trial.flags, trial.config.quirks)]
    trial.drawn.clear()
    made = sample.ranked(causes)
    drawn = tuple(trial.drawn)
    limit = SAME if not made[0].tried.left else sample.rounding(made)
    if made[0].tried.left and limit == SAME:
        made = sorted([*made, *_pairs(sample, made)], key=lambda each: each.rank)
        limit = SAME if not made[0].tried.left else sample.rounding(made)
    tried = len(causes) - 1 - len(drawn)
    begun = Diagnosis(differing(trial.own, candidate), len(trial.places), trial.image.numel(), order, limit, tried)
    begun = replace(begun, drawn=drawn, mode=_mode(trial.flags))
    return _confirmed(trial, candidate, begun, made)


def _pairs(sample: _Sample, made: Sequence[_Made]) -> list[_Made]:
    """The best causes with each other one beside them: the best of these pairs."""
    few, best = sample.fewer(), []
    as_is = next(each.tried.rest for each in made if not each.cause.name)
    for first in [each.cause for each in made if each.tried.rest < as_is and each.cause.name][:FIRSTS]:
        config = sample.trial.of(first)
        assert config is not None
        second = known_causes(first.words, config.quirks)
        best += few.ranked([beside(first, other) for other in second])[:2]
    return sample.ranked([each.cause for each in best])


def _confirmed(trial: Trial, candidate: "Tensor", begun: Diagnosis, made: Sequence[_Made]) -> Diagnosis:
    """The diagnosis with the best of the causes, simulated wherever the image is looked at."""
    best = made[0].tried
    alike = [each for each in made if each.tried.rest <= ALIKE * best.rest] if best.rest < 0.5 else [made[0]]
    if begun.tolerance > SAME:  # a change that leaves nearly what no change leaves is none
        as_is = next(each for each in made if not each.cause.name)
        alike = [as_is] if 0.8 * as_is.tried.rest < best.rest else alike
    most = max(CONFIRMED, LOOKED_AT // (trial.terms * len(trial.places)))
    confirmed = []
    for each in alike[:most]:
        values, scale, judged = trial.tried(each.cause, trial.places), each.tried.scale, each.tried
        if values is not None:  # else it is too dear, and what the telling pixels say must do
            judged = _judged(each.cause, values * scale, candidate, scale, begun.tolerance)
        confirmed.append(replace(judged, constant="" if scale == 1.0 else trial.constant(scale)))
    confirmed.sort(key=lambda each: (each.left, each.scale != 1.0))
    return replace(begun, causes=tuple(confirmed), unconfirmed=max(0, len(alike) - most))


def _judged(cause: KnownCause, made: "Tensor", wanted: "Tensor", scale: float = 1.0, limit: float = SAME) -> TriedCause:
    distance = _distance(made, wanted)
    # from two roundings of a float32 to the whole value, by orders of magnitude
    orders = (distance.clamp(2.0**-24, 1.0).log2() + 24.0) / 24.0
    rest = float(orders.where(distance > SAME, 0.0).mean())
    left = int((_distance(made, wanted, limit > SAME) > limit).sum())
    return TriedCause(cause.name, cause.words, scale, left, len(wanted), rest)


def _mode(flags: Sequence[str]) -> str:
    """The program that the last --mode names; empty for golden."""
    mode = next((value for flag, value in zip(flags[-2::-1], flags[:0:-1]) if flag == "--mode"), "")
    return "" if mode in ("golden", "c-parity") else mode


def _shortened(names: Sequence[str]) -> list[str]:
    """The names of causes, of programs all in one."""
    others = [name for name in names if not name.startswith(PROGRAMS)]
    programs = [name.removeprefix(PROGRAMS) for name in names if name.startswith(PROGRAMS)]
    return [*others, PROGRAMS + ", ".join(programs)] if programs else others


def differing(own: "Tensor", candidate: "Tensor") -> int:
    """How many values are not the same within two roundings to float32 and one of a factor."""
    return int((_distance(own, candidate) > SAME).sum())


def _distance(made: "Tensor", wanted: "Tensor", rounded: bool = False) -> "Tensor":
    """|wanted - made| over the larger of both; 0 where both are the same kind of no number.

    rounded: over the larger and the usual pixel, as a sum that was rounded at each step has a relative error without
    bound where its terms cancel.
    """
    larger = made.abs().maximum(wanted.abs()).clamp_min(TINY)
    if rounded and bool((made != 0).any()):
        larger = larger + made.abs()[made != 0].nan_to_num(0.0, posinf=0.0).median()
    alike = ((wanted - made).abs() <= SMALLEST) | (made == wanted) | (made.isnan() & wanted.isnan())
    return ((wanted - made).abs() / larger).nan_to_num(1.0, posinf=1.0).where(~alike, 0.0)


def _scale(made: "Tensor", wanted: "Tensor") -> float | None:
    """The constant between two images; None where there is none, or 1."""
    both = (made > TINY) & (wanted > TINY) & made.isfinite() & wanted.isfinite()
    if int(both.sum()) < 3:
        return None
    scale = float((wanted[both] / made[both]).log().median().exp())
    return scale if math.isfinite(scale) and scale > 0 and abs(scale - 1.0) > SAME else None


def _telling(own: "Tensor", candidate: "Tensor", count: int) -> "Tensor":
    """At most `count` indices: pixels that differ, the most, by much and by all degrees, and some others."""
    import torch

    if len(own) <= count:
        return torch.arange(len(own))
    distance = _distance(own, candidate)
    by_share = distance.argsort(stable=True)
    alike = len(own) - differing(own, candidate)
    same, other = by_share[:alike], by_share[alike:]
    by_size = (candidate - own).abs().nan_to_num(math.inf, posinf=math.inf).argsort(stable=True)
    quarter = count // 4
    parts = [by_size[-quarter:], other[-quarter:], other[:: -(-len(other) // quarter)]]
    parts += [same[:: -(-len(same) // quarter)]] if len(same) else []
    return torch.cat(parts).unique()
