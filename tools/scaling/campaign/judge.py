"""A drawn case -> the verdicts of all checks on it."""

import time
from collections.abc import Callable, Sequence

from tools.scaling.base.files import one_line
from tools.scaling.campaign.checks import CHECKS
from tools.scaling.campaign.generator import grouped
from tools.scaling.campaign.record import Drawn, Result, Status, Verdict
from tools.scaling.campaign.relations import RELATIONS
from tools.scaling.campaign.scene import How, Scene, scene_of

Check = Callable[[Scene], Verdict]

ALL: dict[str, Check] = {**CHECKS, **RELATIONS}


def judge(drawn: Drawn, how: How = How(), checks: Sequence[str] = ()) -> Result:  # noqa: B008 -- it is frozen
    """Hold `drawn` against everything that `how` names; only against `checks`, where there are any.

    An exception within a check is its verdict, an error, and ends nothing else.
    """
    from tools.scaling.campaign.coverage import flags_of

    began = time.perf_counter()
    with scene_of(drawn, how) as scene:
        verdicts = tuple(_verdict(name, check, scene) for name, check in ALL.items() if not checks or name in checks)
    return Result(drawn.seed, flags_of(drawn), verdicts, time.perf_counter() - began)


def _verdict(name: str, check: Check, scene: Scene) -> Verdict:
    try:
        return check(scene)
    except Exception as error:  # whatever it is, it is what this case has shown
        text = str(error).replace(f"{scene.folder}/", "")  # its name is by chance
        says = one_line(f"{type(error).__name__}: {text}")
        return Verdict(name, Status.error, says, label=_refused(scene.drawn, text) or type(error).__name__)


def _refused(drawn: Drawn, text: str) -> str:
    """The flag that a message begins with, or whose file it begins with; empty where it begins otherwise."""
    first = text.partition(":")[0].partition(" ")[0]
    return next((group[0] for group in grouped(drawn.flags) if first in group), "")
