"""The sentence of an explanation, from its records alone."""

import math
from collections.abc import Sequence

from tools.scaling.explain.defects import Finding
from tools.scaling.explain.records import Cause, ExplainedRow
from tools.scaling.traces.schema import quantity

MULTIPLY = 2.0  # beyond this share, causes are in causal order
_MATTERS = 0.01  # the share from which on more is said of a cause than its name
_WHO = {"port": "candidate", "reference": "reference"}
_SUM, _PIXEL = "I_before_scaling", "I_pixel_final"
Whole = tuple[str, float | None, float]  # target, its relative difference, what the causes make of it


def sentence(wholes: Sequence[Whole], causes: Sequence[Cause], rows: Sequence[ExplainedRow]) -> str:
    """Return what caused the difference in the first of `wholes`; `causes` are ranked by their share of it."""
    made = [cause for cause in causes if not cause.in_print_only]
    printed = [cause for cause in causes if cause.in_print_only]
    parts = [_misprinted_sum(cause) for cause in printed if cause.quantity == _SUM]
    target, delta, explained = wholes[0]
    if made and delta and abs(explained) < 0.5 * abs(delta):
        parts.append(f"What makes most of the {delta:+.6e} in {target} is unknown.")
    if made:
        parts.append(_made(wholes[0], made))
    elif not printed:
        return " ".join([_nothing(rows), *_unseen(rows)])
    others = [cause for cause in printed if cause.quantity != _SUM]
    parts += [
        f"{cause.quantity} is {cause.variant}: in print only, it moves nothing." for cause in others if _kept(cause)
    ]
    if misprints := [cause for cause in others if not _kept(cause)]:
        parts.append(_in_print(misprints))
    parts += [_second(whole, made) for whole in wholes[1:] if made]
    parts += _unknown(made, rows)
    if not made:
        parts.append("Nothing else differs by more than rounding.")
    return " ".join(parts)


def _unknown(causes: Sequence[Cause], rows: Sequence[ExplainedRow]) -> list[str]:
    """What cannot be known of the causes that matter, because the side they are of does not trace it."""
    lines = []
    for cause in [each for each in causes if each is causes[0] or abs(each.share) >= _MATTERS]:
        who = _WHO[cause.side]
        if cause.silent:
            verb = "tells" if len(cause.members) == 1 else "tell"
            lines.append(f"{cause.quantity} is not traced by the {who}: {_listed(cause.members)} {verb} of it.")
        if cause.in_doubt:
            verb = "is" if len(cause.in_doubt) == 1 else "are"
            which = cause.in_doubt[0] if len(cause.in_doubt) == 1 else "one of them"
            lines.append(
                f"{_listed(cause.in_doubt[::-1])} {verb} not traced by the {who}, so it is unknown whether "
                f"{cause.quantity} itself is wrong or {which}."
            )
    if not _both(rows, _PIXEL):
        side = "reference" if any(row.name == _PIXEL and row.c is None for row in rows) else "candidate"
        lines.append(f"{_PIXEL} is not traced by the {side}, so it is unknown by how much it differs.")
    return lines


def _both(rows: Sequence[ExplainedRow], name: str) -> bool:
    return any(row.name == name and row.c is not None and row.py is not None for row in rows)


def _listed(names: Sequence[str], most: int = 3) -> str:
    more = len(names) - most
    shown = [*names[:most], f"{more} more"] if more > 1 else [*names]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


def _unseen(rows: Sequence[ExplainedRow]) -> list[str]:
    """What is unknown where nothing is found, because the candidate does not trace it."""
    names = [row.name for row in rows if row.c is not None and row.py is None]
    if not names:
        return []
    verb = "is" if len(names) == 1 else "are"
    them = "it agrees" if len(names) == 1 else "they agree"
    seen = ""
    for row in rows:
        if row.name == _PIXEL and _both(rows, _PIXEL):
            seen = f"; {_PIXEL}, which is made of all, differs by {row.rel or 0.0:.2g}, no more than rounding makes"
    return [f"{_listed(names)} {verb} not traced by the candidate, so it is unknown whether {them}{seen}."]


def _nothing(rows: Sequence[ExplainedRow]) -> str:
    shared = [row for row in rows if row.c is not None and row.py is not None]
    doubts = [row.name for row in shared if row.verdict is Finding.UNKNOWN and row.rel != 0.0]
    if doubts:
        first = min(doubts, key=lambda name: quantity(name).order)
        more = f" (of {len(doubts)})" if len(doubts) > 1 else ""
        return (
            f"No defect can be told apart: the first number that differs{more} is {first}, "
            "and not all that it is made of is traced."
        )
    return f"Nothing to explain: what differs, differs by rounding, of {len(shared)} quantities that both traces hold."


def _what(cause: Cause) -> str:
    if cause.variant and cause.alternatives:
        more = len(cause.alternatives) - 2
        others = [*cause.alternatives[:2], *([f"{more} more that explain knows"] if more > 0 else [])]
        return f"{cause.variant} (would look the same on this pixel: {'; '.join(others)})"
    return cause.variant or f"not what its rule ({cause.rule}) makes of its own inputs"


def _misprinted_sum(cause: Cause) -> str:
    if _kept(cause):
        return f"The printed {_SUM} is {cause.variant}: its {_PIXEL} was not made of it."
    how = f": it is {cause.variant}" if cause.variant else ""
    return f"The printed {_SUM} is not what {_PIXEL} was made of{how}."


def _kept(cause: Cause) -> bool:
    return cause.side == "reference"


def _in_print(causes: Sequence[Cause]) -> str:
    named = []
    for cause in causes:
        how = f" ({cause.variant})" if cause.variant else ""
        named.append(", ".join((cause.quantity, *cause.members[1:])) + how)
    return f"In print only, nothing is made of it: {'; '.join(named)}."


def _made(whole: Whole, causes: Sequence[Cause]) -> str:
    target, delta, explained = whole
    first = causes[0]
    head = f"{first.quantity} is {_what(first)}"
    if not math.isfinite(first.defect_rel):
        return f"{head}: all that is computed from it is lost." + _others(causes, target)
    if not delta or not first.effects[target]:
        more = f" and {len(first.moves) - 5} more" if len(first.moves) > 5 else ""
        touched = ", ".join(first.moves[:5]) + more or "nothing else"
        return f"{head}: an error of {first.defect_rel:.3g}, which moves {touched}." + _others(causes, target)
    cancel = ""
    if len(causes) > 1 and max(abs(each.share) for each in causes) > MULTIPLY:
        cancel = " (the causes multiply or cancel, so that their shares say little; this is the first of them)"
    elif len(causes) > 1 and first.share > 1.0005:
        cancel = " (the others cancel what is beyond 100 %)"
    times = f" amplified {first.amplification:.4g} times" if first.amplification else ""
    return (
        f"{head}: this makes {100.0 * first.share:.4g} % of the {delta:+.6e} in {target}{cancel}, "
        f"its relative error of {first.defect_rel:.3g}{times}."
        + _others(causes, target)
        + f" Explained: {100.0 * explained / delta:.6g} %."
    )


def _second(whole: Whole, causes: Sequence[Cause]) -> str:
    target, delta, explained = whole
    moving = sorted((each for each in causes if each.effects[target]), key=lambda each: -abs(each.effects[target]))
    if delta == 0.0:
        return f"{target} does not differ."
    named = ", ".join(f"{each.quantity} {each.effects[target]:+.4e}" for each in moving[:4])
    shown = "-" if delta is None else f"{delta:+.6e}"
    return f"{target} differs by {shown}, explained {explained:+.6e}{': ' + named if named else ''}."


def _others(causes: Sequence[Cause], target: str) -> str:
    rest = [f"{each.quantity} {each.effects[target]:+.3e}" for each in causes[1:5]]
    more = len(causes) - 5
    return f" Also: {', '.join(rest)}{f' and {more} more' if more > 0 else ''}." if rest else ""
