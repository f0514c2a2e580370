"""Cases that cost nothing, for the tests of the engine."""

from tools.scaling.campaign.engine.key import Asked
from tools.scaling.campaign.record import Result, Status, Verdict

WORK = "tests.scaling.campaign.cheap:work"


def work(seed: int, asked: Asked) -> Result:
    """Seed 13 raises; the others pass."""
    if seed == 13:
        raise ValueError("thirteen")
    return Result(seed, ("-cell",), (Verdict("oracle", Status.ok),), 0.001)
