"""Every switch of the quirk table: what the reference does with it, what is right without it.

One check per quirk, by its number; a quirk of the table without a check fails.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import quirks_of_input  # noqa: F401 -- registers its checks
import quirks_of_physics  # noqa: F401
from quirk_checks import BASE, CHECKS, config

from nanobragg_torch.quirks import IDS, TABLE, Quirks, of_mode


@pytest.mark.parametrize("identifier", IDS)
def test_quirk(identifier: str, tmp_path: Path) -> None:
    assert identifier in CHECKS, f"{identifier} has a switch and no test"
    CHECKS[identifier](tmp_path)


def test_the_table() -> None:
    assert list(IDS) == sorted(set(IDS))
    assert set(CHECKS) == set(IDS)
    for entry in TABLE:
        assert all((entry.name, entry.reference, entry.right)), entry.id
        assert entry.where.startswith(("nanoBragg.c ~L", "semantics ")), entry.id
    assert of_mode("c-parity") == Quirks()
    assert of_mode("spec").off == set(IDS)
    asked: list[Callable[[], object]] = [
        lambda: Quirks().on("Q99"),
        lambda: Quirks().strict("Q10", "Q99"),
        lambda: Quirks().switched("Q99", True),
        lambda: Quirks().switched("Q99", False),
        lambda: Quirks(off=frozenset({"Q99"})),
        lambda: Quirks(chosen=frozenset({"Q99"})),
    ]
    for ask in asked:
        with pytest.raises(ValueError) as caught:
            ask()
        assert str(caught.value) == f"quirk: expected one of {', '.join(IDS)}, got 'Q99'"
    with pytest.raises(ValueError, match="as_given: expected some of odet, sdet, fdet, beam, got odett"):
        Quirks(as_given=frozenset({"odett"}))


def test_the_page_is_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "bugs" / "quirks.md").read_text(encoding="ascii")
    switches, _, rest = text.partition("## Without a switch")
    listed = [line for line in switches.splitlines() if line.startswith("| Q")]
    assert listed == [f"| {q.id} | {q.name} | {q.reference} | {q.right} | {q.where} |" for q in TABLE]
    others = re.findall(r"^\| (Q\d\d) \| .+ \| .+ \|$", rest, re.MULTILINE)
    numbers = sorted([*IDS, *others])
    assert len(set(numbers)) == len(numbers)
    assert {f"Q{n:02d}" for n in range(1, 59)} <= set(numbers)


def test_switches_of_the_command_line() -> None:
    def off(flags: str) -> frozenset[str]:
        return config(BASE, flags).quirks.off

    assert off("") == frozenset()
    assert off("--mode spec") == set(IDS)
    assert off("--quirk Q29=off --quirk=Q14=off") == {"Q29", "Q14"}
    assert off("--quirk Q29=on --mode spec") == set(IDS) - {"Q29"}
    assert off("--phi-mode spec") == {"Q29"}
    assert off("--mode spec --phi-mode c-parity") == set(IDS) - {"Q29"}
    assert off("--phi-mode spec --quirk Q29=on") == frozenset()
