"""The oracle's reading of a command line against the port's, and whether a mistake of either is seen."""

import json
from collections.abc import Iterator
from pathlib import Path

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.load import loaded
from tools.scaling.base.repo import ROOT
from tools.scaling.oracle.command import read_command
from tools.scaling.oracle.fields import differing

GOLDEN, VARIANTS = ROOT / "tests/golden", ROOT / "tests/golden_variants"
BASE = "-cell 50 60 70 80 95 105 -default_F 5 -detpixels 8 -seed 1"


def differs(flags: str, folder: Path) -> list[str]:
    words = flags.split()
    ours = loaded(parse(words, [folder], dump=folder / "Fdump.bin"))
    return differing(ours, read_command(words, folder))


def recorded() -> Iterator[tuple[str, Path]]:
    for path in sorted(GOLDEN.glob("*/case.json")):
        if path.parent.name != "supervisor_synthetic":  # a list of 65,000 reflections
            yield json.loads(path.read_text())["flags"], GOLDEN / "inputs"
    for path in sorted(VARIANTS.glob("*/*/case.json")):
        case = json.loads(path.read_text())
        yield f"--mode {case['variant']} {case['flags']}", VARIANTS / "inputs"


def test_the_command_lines_of_the_golden_cases_are_read_alike() -> None:
    cases = list(recorded())
    assert len(cases) == 130
    assert [(flags, found) for flags, folder in cases if (found := differs(flags, folder))] == []
