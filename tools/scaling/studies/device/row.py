"""One line of the evidence, and its way from the process that measures to the one that keeps it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tools.scaling.base.jsonable import jsonable

PASS, FAIL, MEASURED, NOT_RUN = "PASS", "FAIL", "MEASURED", "NOT RUN"


@dataclass(frozen=True)
class EvidenceRow:
    """What one measurement of a part found. figures: its numbers, by the heads of their columns."""

    part: str
    name: str
    verdict: str
    said: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = jsonable(asdict(self))
        return found


@dataclass(frozen=True)
class Begun:
    """A part has begun."""

    part: str


def written(message: EvidenceRow | Begun) -> str:
    """Return the line that tells of it."""
    told = {"begun": message.part} if isinstance(message, Begun) else message.to_dict()
    return json.dumps(told) + "\n"


def read(line: str) -> EvidenceRow | Begun:
    """Return what a whole line tells. Raises ValueError, TypeError where it is none of `written`."""
    told = json.loads(line)
    return Begun(told["begun"]) if "begun" in told else EvidenceRow(**told)
