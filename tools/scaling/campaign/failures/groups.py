"""What the failures of a campaign have in common: signatures, groups, and what was shrunk of each group."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput, why
from tools.scaling.base.reading import read_file
from tools.scaling.campaign.record import Status, Verdict

SHOWN = 20  # seeds of a group that are kept
SHRUNK = "shrunk"  # the folder of a store in which the shrunk cases are
RECORD = "shrunk.json"
QUIRK_FLAGS = ("--mode", "--quirk", "--phi-mode", "--vectors")
_LARGEST = 1 << 20  # bytes of a RECORD


@dataclass(frozen=True, order=True)
class Signature:
    """What makes two failures one kind.

    check: that failed. label: the first quantity upstream that differs, the field, the file or the exception; may be
    empty. quirks: the flags by which the case leaves the program that is followed by default; of what was shrunk those
    that matter, with their values. decade: of the largest relative deviation, as in 1e-03, else inf or nan; empty
    where nothing was measured.
    """

    check: str
    label: str
    quirks: tuple[str, ...] = ()
    decade: str = ""

    @property
    def kind(self) -> tuple[str, str, tuple[str, ...]]:
        """The signature without the decade, which is the case's and not the defect's."""
        return self.check, self.label, self.quirks

    @property
    def name(self) -> str:
        """Of a folder: the check, the label and the quirks."""
        words = (self.check, self.label, *(flag.strip("-") for flag in self.quirks))
        return "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", word)[:60] for word in words if word)


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one signature. seeds: the first SHOWN of `count`, ascending. shrunk: what was shrunk of its kind."""

    signature: Signature
    count: int
    seeds: tuple[int, ...]
    shrunk: "ShrunkCase | None" = None

    @property
    def cause(self) -> str:
        """What explain has named; the label where it was not asked."""
        return self.shrunk.cause if self.shrunk else self.signature.label


@dataclass(frozen=True)
class ShrunkCase:
    """The smallest case that still shows a signature, as its `shrunk.json` has it.

    signature: of the seed that it was shrunk from. flags: its words. command: the same, to be typed in its folder.
    sentence: what differs, for a person. cause: the quantity that explain names, else the label. folder: the name of
    the golden case that it is, where the record lies. trials: cases that were judged on the way. given, kept: how many
    flags the seed has, and the shrunk case.
    """

    signature: Signature
    seed: int
    flags: tuple[str, ...]
    command: str
    sentence: str
    cause: str
    folder: str
    trials: int = 0
    given: int = 0
    kept: int = 0

    @property
    def quirks(self) -> tuple[str, ...]:
        """The flags that switch quirks, with their values: without them the case does not fail."""
        words = zip(self.flags, (*self.flags[1:], ""))
        switches = ((word.partition("=")[0], word, value) for word, value in words)
        return tuple(
            word if "=" in word else f"{word} {value}" for flag, word, value in switches if flag in QUIRK_FLAGS
        )

    def to_dict(self) -> dict[str, Any]:
        """The record for JSON."""
        return {**vars(self), "signature": dict(vars(self.signature))}


def signature(verdict: Verdict, flags: Sequence[str]) -> Signature:
    """The signature of a failing verdict; flags: those of the case, with their values or without."""
    quirks = tuple(flag for flag in QUIRK_FLAGS if any(word.partition("=")[0] == flag for word in flags))
    decade = "" if verdict.status is Status.error else _decade(verdict.worst)
    return Signature(verdict.check, verdict.label, quirks, decade)


def _decade(worst: float) -> str:
    if not worst or not math.isfinite(worst):
        return f"{worst}" if worst else ""
    return f"1e{math.floor(math.log10(abs(worst))):+03d}"


@dataclass
class _Counted:
    count: int = 0
    seeds: list[int] = field(default_factory=list)
    case: ShrunkCase | None = None

    def add(self, seed: int, case: ShrunkCase | None) -> None:
        self.count += 1
        self.seeds.append(seed)
        if len(self.seeds) >= 2 * SHOWN:
            self.seeds = sorted(self.seeds)[:SHOWN]
        if case is not None and (self.case is None or case.kept < self.case.kept):
            self.case = case


def groups(
    failures: Iterable[tuple[int, Verdict, Sequence[str]]], shrunk: Iterable[ShrunkCase] = ()
) -> tuple[FailureGroup, ...]:
    """The failures (seed, verdict, flags) by signature, each with the smallest case that was shrunk of it.

    Groups that are one without the quirks that did not matter are one. Groups of one cause stand together, the cause
    with the most failures first, and so within a cause.
    """
    of_kind = {each.signature.kind: each for each in shrunk}
    counted: dict[Signature, _Counted] = {}
    for seed, verdict, flags in failures:
        sign = signature(verdict, flags)
        case = of_kind.get(sign.kind)
        counted.setdefault(replace(sign, quirks=case.quirks) if case else sign, _Counted()).add(seed, case)
    found = [
        FailureGroup(sign, what.count, tuple(sorted(what.seeds)[:SHOWN]), what.case) for sign, what in counted.items()
    ]
    of_cause: dict[str, int] = {}
    for group in found:
        of_cause[group.cause] = of_cause.get(group.cause, 0) + group.count
    return tuple(sorted(found, key=lambda x: (-of_cause[x.cause], x.cause, -x.count, x.signature)))


def read_shrunk(folder: Path) -> tuple[ShrunkCase, ...]:
    """What was shrunk into the folders of `folder`, by name; nothing where there is no such folder. Raises BadInput."""
    return tuple(read_record(path) for path in sorted(folder.glob(f"*/{RECORD}")))


def read_record(path: Path) -> ShrunkCase:
    """The record of a shrunk case. Raises BadInput."""
    try:
        data = json.loads(read_file(path, _LARGEST))
        known = Signature(**data["signature"] | {"quirks": tuple(data["signature"]["quirks"])})
        return ShrunkCase(**data | {"signature": known, "flags": tuple(data["flags"])})
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: expected the record of a shrunk case, got: {why(error)}") from error
