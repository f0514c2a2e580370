"""The explanation of two traces as a frozen record: its sentence, its JSON, and what several of them agree on."""

from dataclasses import dataclass, replace
from typing import Any

from tools.scaling.base.jsonable import jsonable
from tools.scaling.explain.records import Cause, ExplainedRow
from tools.scaling.explain.words import Whole, sentence


@dataclass(frozen=True)
class Explanation:
    """Why two traces differ. causes: largest effect first. notes: what could not be known, and why."""

    c_source: str
    py_source: str
    pixel: tuple[int, int]
    target: str
    delta_rel: float | None
    explained_rel: float
    causes: tuple[Cause, ...]
    quantities: tuple[ExplainedRow, ...]
    notes: tuple[str, ...]
    wholes: tuple[Whole, ...]

    @property
    def sentence(self) -> str:
        """Return what caused the difference."""
        return sentence(self.wholes, self.causes, self.quantities)

    def noted(self, line: str | None) -> "Explanation":
        """Return the same with one more note, before the others, where there is one."""
        return self if line is None else replace(self, notes=(line, *self.notes))

    @property
    def unexplained_rel(self) -> float | None:
        return None if self.delta_rel is None else self.delta_rel - self.explained_rel

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready with allow_nan=False: what is not finite is the string "nan", "inf" or "-inf"."""
        rows = ("name", "verdict", "c", "py", "rel", "defect_rel", "noise_floor_rel")
        return {
            "target": self.target,
            "delta_rel": jsonable(self.delta_rel),
            "explained_rel": jsonable(self.explained_rel),
            "causes": [_cause(each) for each in self.causes],
            "quantities": [{key: jsonable(getattr(each, key)) for key in rows} for each in self.quantities],
        }


def _cause(cause: Cause) -> dict[str, Any]:
    numbers = ("quantity", "variant", "defect_rel", "effect_rel", "share", "amplification", "in_print_only", "side")
    return {key: jsonable(getattr(cause, key)) for key in numbers} | {
        "alternatives": list(cause.alternatives),
        "effects": {name: jsonable(x) for name, x in cause.effects.items()},
        "members": dict(cause.changes),
    }


def agreed(explanations: tuple[Explanation, ...]) -> tuple[Explanation, ...]:
    """Return the explanations, each cause with the words that hold on every pixel that shows it."""
    if len(explanations) < 2:
        return explanations
    words: dict[str, list[set[str]]] = {}
    for each in explanations:
        for cause in each.causes:
            if cause.variant is not None:
                words.setdefault(cause.quantity, []).append({cause.variant, *cause.alternatives})
    common = {name: set.intersection(*sets) for name, sets in words.items()}
    return tuple(_told(each, common) for each in explanations)


def _told(each: Explanation, common: dict[str, set[str]]) -> Explanation:
    return replace(each, causes=tuple(_narrowed(cause, common.get(cause.quantity, set())) for cause in each.causes))


def _narrowed(cause: Cause, common: set[str]) -> Cause:
    """Return the first of the variants that hold everywhere; as it was where none does."""
    able = [text for text in (cause.variant, *cause.alternatives) if text in common]
    return replace(cause, variant=able[0], alternatives=tuple(able[1:])) if able else cause
