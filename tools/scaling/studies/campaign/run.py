"""The mistakes planted one at a time in a copy of the port, and what a campaign makes of each."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.scaling.base.repo import ROOT
from tools.scaling.base.scratch import scratch
from tools.scaling.campaign.generator import grouped
from tools.scaling.campaign.judge import judge
from tools.scaling.campaign.record import Drawn
from tools.scaling.studies.campaign.defects import PACKAGE, PlantedDefect
from tools.scaling.studies.campaign.hunt import HOW, unpacked

CASES = 2000  # until which a mistake has to be found
FEW = 6  # flags of a shrunk case, beyond BASE
BASE = ("-cell", "-distance", "-lambda")
# The checks that are likely to find the mistakes of a room, and are asked alone first, which is quick; the oracle is of
# the other rooms.
_READING = dict.fromkeys(("units", "flags", "config", "quirks", "io"), ("flags",))
LIKELY = {**_READING, "kernel": ("compiled",), "products": ("outputs", "trace")}
SHRUNK, NAMED = 0.9, 0.9  # of all mistakes, at least


@dataclass(frozen=True)
class Hunted:
    """What came of one mistake.

    check: that failed, empty where none did. cases: how many were judged. left: the flags of the shrunk case beyond
    BASE, None where it was not shrunk. command: the shrunk case. cause: what is named. says: what differs in the words
    of the check.
    """

    defect: PlantedDefect
    check: str
    cases: int
    left: tuple[str, ...] | None = None
    command: str = ""
    cause: str = ""
    says: str = ""
    seconds: float = 0.0

    @property
    def found(self) -> bool:
        return bool(self.check)

    @property
    def few(self) -> bool:
        return self.left is not None and len(self.left) <= FEW

    @property
    def right(self) -> bool:
        return self.defect.named_by(self.cause)


@dataclass(frozen=True)
class Hunt:
    """What came of all mistakes. first: the seed of the first case."""

    first: int
    outcomes: tuple[Hunted, ...]

    @property
    def ok(self) -> bool:
        """Whether the campaign is as good as it must be."""
        found, few, right = (sum(getattr(each, name) for each in self.outcomes) for name in ("found", "few", "right"))
        count = len(self.outcomes)
        return found == count and few >= SHRUNK * count and right >= NAMED * count


def study(first: int, defects: Sequence[PlantedDefect], told: Callable[[Hunted], None]) -> Hunt:
    """Plant each of `defects` and search it from seed `first` on, in at most CASES cases. told: of each."""
    outcomes = []
    with scratch("campaign") as folder:
        shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("*.pyc"))
        for defect in defects:
            began = time.monotonic()
            path, text = defect.path(folder), defect.path(ROOT)
            path.write_text(defect.planted(text.read_text("utf-8")), "utf-8")
            try:
                outcomes.append(_hunted(defect, folder, first, began))
            finally:
                # with its old time: numba keeps what it has compiled of a file that is the same
                shutil.copy2(text, path)
                for stale in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
                    stale.unlink()
            told(outcomes[-1])
    return Hunt(first, tuple(outcomes))


def _hunted(defect: PlantedDefect, folder: Path, first: int, began: float) -> Hunted:
    """What the search gives: by the checks that are likely to find it, else by all."""
    for checks in (LIKELY.get(defect.room, ("oracle",)), ()):
        outcome = _searched(defect, folder, first, checks)
        if outcome.found:
            break
    return replace(outcome, seconds=time.monotonic() - began)


def _searched(defect: PlantedDefect, folder: Path, first: int, checks: Sequence[str]) -> Hunted:
    """The search in a process that has the defective port."""
    paths = [str(folder / PACKAGE.partition("/")[0]), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "tools.scaling.studies.campaign.hunt", str(first), str(CASES), *checks]
    with (folder / "stderr").open("w+", encoding="utf-8") as stderr, subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
    ) as process:  # fmt: skip
        try:
            outcome = _led(defect, process, first)
        finally:
            process.kill()
        stderr.seek(0)
        return outcome if outcome.cases else replace(outcome, says="".join(stderr.readlines()[-1:]).strip())


def _led(defect: PlantedDefect, process: "subprocess.Popen[str]", first: int) -> Hunted:
    """Tell the process to go on until a case fails that the port without the mistake does not fail."""
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        if told is None:
            return Hunted(defect, "", CASES)
        drawn = unpacked(told["case"])
        failures = _new(drawn, told["failures"])
        answer = f"shrink {failures[0]['check']}" if failures else "next"
        process.stdin.write(f"{answer}\n")
        process.stdin.flush()
        if failures:
            shrunk = json.loads(next(process.stdout, "null"))
            return _outcome(defect, failures[0], shrunk, drawn.seed - first + 1)
    return Hunted(defect, "", 0)


def _new(drawn: Drawn, failures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The failures that the port without the mistake does not have."""
    known = {verdict.check for verdict in judge(drawn, HOW, [each["check"] for each in failures]).failures}
    return [failure for failure in failures if failure["check"] not in known]


def _outcome(defect: PlantedDefect, failure: dict[str, Any], shrunk: dict[str, Any] | None, count: int) -> Hunted:
    if shrunk is None:
        named = failure["label"] or failure["check"]
        return Hunted(defect, failure["check"], count, cause=named, says=failure["says"])
    drawn = unpacked(shrunk["case"])
    left = tuple(group[0] for group in grouped(drawn.flags) if group[0] not in BASE)
    return Hunted(defect, failure["check"], count, left, " ".join(drawn.flags), shrunk["cause"], shrunk["says"])
