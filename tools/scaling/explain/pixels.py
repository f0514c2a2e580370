"""Several pixels of one pair of runs: a variant that another pixel tells apart is no longer an alternative."""

from dataclasses import replace

from tools.scaling.explain.records import Cause, Explanation


def agreed(found: tuple[Explanation, ...]) -> tuple[Explanation, ...]:
    """The explanations, each cause with the words that hold on every pixel that shows it."""
    if len(found) < 2:
        return found
    words: dict[str, list[set[str]]] = {}
    for each in found:
        for cause in each.causes:
            if cause.variant is not None:
                words.setdefault(cause.quantity, []).append({cause.variant, *cause.alternatives})
    common = {name: set.intersection(*sets) for name, sets in words.items()}
    return tuple(_told(each, common) for each in found)


def _told(each: Explanation, common: dict[str, set[str]]) -> Explanation:
    return each.with_causes(tuple(_narrowed(cause, common.get(cause.quantity, set())) for cause in each.causes))


def _narrowed(cause: Cause, common: set[str]) -> Cause:
    """The first of the variants that hold everywhere; as it was where none does."""
    able = [text for text in (cause.variant, *cause.alternatives) if text in common]
    return replace(cause, variant=able[0], alternatives=tuple(able[1:])) if able else cause
