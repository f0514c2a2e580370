"""The command that the benchmarks simulate."""

import json
from typing import TYPE_CHECKING

from tools.scaling.base.repo import ROOT

if TYPE_CHECKING:
    from nanobragg_torch.config import Config

CASE = ROOT / "tests/golden/supervisor_synthetic/case.json"
INPUTS = ROOT / "tests/golden/inputs"


def canonical_flags() -> list[str]:
    """Return the canonical command on the whole detector: its case's flags without the region of interest."""
    flags: list[str] = json.loads(CASE.read_text())["flags"].split()
    at = flags.index("-roi")
    return flags[:at] + flags[at + 5 :]


def canonical() -> "Config":
    """The canonical command on the whole detector, its files read."""
    from nanobragg_torch.flags.parse import parse
    from nanobragg_torch.io.load import loaded

    return loaded(parse(canonical_flags(), [INPUTS]))
