"""One process with a mistake in its port: judges case after case until one fails, and shrinks it.

`python -m tools.scaling.studies.campaign.hunt FIRST COUNT CHECK...` prints an object of JSON a line: each case that
fails one of the checks, or any where none is named, with its failures, what tells most first. To `next` on its input it
goes on, to `shrink CHECK` it shrinks the case and prints what is left of it. It prints null where no case is left.
"""

import base64
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from tools.scaling.base.files import to_ascii
from tools.scaling.base.scratch import scratch
from tools.scaling.campaign.failures.golden import telling, write_shrunk
from tools.scaling.campaign.failures.shrink import shrink
from tools.scaling.campaign.generator import draw
from tools.scaling.campaign.judge import judge
from tools.scaling.campaign.record import Drawn, Verdict
from tools.scaling.campaign.scene import How

HOW = How()


def main(first: int, count: int, checks: Sequence[str] = ()) -> None:
    parent = os.getppid()
    for seed in range(first, first + count):
        if os.getppid() != parent:  # killed: nobody listens any more
            return
        drawn = draw(seed)
        failures = sorted(judge(drawn, HOW, checks).failures, key=telling)
        if not failures:
            continue
        _tell({"case": packed(drawn), "failures": [_plain(verdict) for verdict in failures]})
        answer = sys.stdin.readline().split()
        if answer[:1] == ["shrink"]:
            _tell(_shrunk(drawn, answer[1]))
            return
    _tell(None)


def _shrunk(drawn: Drawn, check: str) -> dict[str, Any] | None:
    """The shrunk case, and what the campaign says and names of it."""
    found = shrink(drawn, HOW, check)
    if found is None:
        return None
    with scratch("shrunk") as folder:
        record = write_shrunk(found, HOW, folder / "case")
    return {"case": packed(found.drawn), "cause": record.cause, "says": record.sentence}


def packed(drawn: Drawn) -> dict[str, Any]:
    """A case as JSON holds it."""
    files = {name: base64.b64encode(content).decode("ascii") for name, content in drawn.files.items()}
    return {"seed": drawn.seed, "flags": list(drawn.flags), "files": files}


def unpacked(case: dict[str, Any]) -> Drawn:
    """The case of `packed`."""
    files = {name: base64.b64decode(content) for name, content in case["files"].items()}
    return Drawn(case["seed"], tuple(case["flags"]), files)


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {"check": verdict.check, "says": to_ascii(verdict.says), "label": verdict.label}


def _tell(content: Any) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
