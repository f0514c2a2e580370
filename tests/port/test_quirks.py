"""Every switch of the quirk table: what the reference does with it, what is right without it.

One check per quirk, by its number; a quirk of the table without a check fails.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import quirks_of_input  # noqa: F401 -- registers its checks
import quirks_of_physics  # noqa: F401
import quirks_of_variants  # noqa: F401
from quirk_checks import BASE, CHECKS, config

from nanobragg_torch.errors import FlagError, InputError
from nanobragg_torch.quirks import IDS, MODES, TABLE, VARIANTS, Quirks, of_mode


@pytest.mark.parametrize("identifier", IDS)
def test_quirk(identifier: str, tmp_path: Path) -> None:
    assert identifier in CHECKS, f"{identifier} has a switch and no test"
    CHECKS[identifier](tmp_path)


def test_the_table() -> None:
    assert list(IDS) == sorted(set(IDS))
    assert set(CHECKS) == set(IDS)
    for entry in TABLE:
        assert all((entry.name, entry.reference, entry.right)), entry.id
        assert entry.where.startswith(("nanoBragg.c ~L", "semantics ", "variants ")), f"{entry.id}: {entry.where}"
    assert of_mode("c-parity") == of_mode("golden") == of_mode("hoidn-main") == Quirks()
    assert of_mode("spec").off == set(IDS)
    assert Quirks().off == {entry.id for entry in TABLE if not entry.golden}
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

    absent = {"Q53", "Q61", "Q62", "Q63", "Q65", "Q66"}
    assert off("") == off("--mode golden") == absent
    assert off("--mode spec") == set(IDS)
    assert off("--quirk Q29=off --quirk=Q14=off") == absent | {"Q29", "Q14"}
    assert off("--quirk Q29=on --mode spec") == set(IDS) - {"Q29"}
    assert off("--phi-mode spec") == absent | {"Q29"}
    assert off("--mode spec --phi-mode c-parity") == set(IDS) - {"Q29"}
    assert off("--phi-mode spec --quirk Q29=on") == absent


def test_the_variants_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "variants.md").read_text(encoding="ascii")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    head = next(row for row in rows if row[0] == "quirk")
    names = [name if name in VARIANTS else f"bl831-{name}" for name in head[1:]]
    assert set(names) == set(VARIANTS) == set(MODES) - {"c-parity", "spec"}
    table = {row[0][:3]: row[1:] for row in rows if len(row) == len(head) and row[0][:3] in IDS}
    assert set(table) == {"Q24", "Q27", "Q29", "Q36", "Q53", "Q61", "Q62", "Q63", "Q65", "Q66", "Q67"}
    for quirk, states in table.items():
        for name, state in zip(names, states, strict=True):
            assert of_mode(name).on(quirk) is (state.split()[0] in ("on", "yes")), (quirk, name)
    unlike = {quirk for switches in VARIANTS.values() for quirk in switches}
    assert unlike == set(table)


def test_the_page_of_modes_is_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "bugs" / "modes.md").read_text(encoding="ascii")
    head, _, *rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert head == ["mode", *sorted({quirk for switches in VARIANTS.values() for quirk in switches})]
    assert [row[0] for row in rows] == list(VARIANTS)
    for name, *states in rows:
        assert states == ["on" if of_mode(name).on(quirk) else "-" for quirk in head[1:]]


def test_a_profile_is_a_mode(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"

    def read(text: str) -> frozenset[str]:
        profile.write_text(text)
        return config(BASE, f"--mode {profile}").quirks.off

    usual = Quirks().off
    assert read("[quirks]") == usual
    assert read('name = "mine"\n[quirks]\nQ29 = "off"\nQ53 = "on"\nQ61 = "off"\n') == usual - {"Q53"} | {"Q29"}
    assert config(BASE, f"--mode {profile}").quirks.chosen == set(IDS)
    for text, line in (
        ("", "expected a table [quirks], got none"),
        ("quirks = 3", "expected a table [quirks], got none"),
        ('[quirks]\nQ99 = "on"', f"[quirks]: expected a quirk that has a switch ({IDS[0]}..{IDS[-1]}), got 'Q99'"),
        ("[quirks]\nQ29 = 1", '[quirks] Q29: expected "on" or "off", got 1'),
        ("[quirks", "expected a profile in TOML: Expected ']' at the end of a table declaration (at end of document)"),
    ):
        with pytest.raises(InputError) as caught:
            read(text)
        assert str(caught.value) == f"{profile}: {line}"
    with pytest.raises(InputError, match="none.toml: cannot be read: No such file or directory"):
        config(BASE, f"--mode {tmp_path}/none.toml")
    with pytest.raises(ValueError, match="mode: expected one of c-parity, spec, golden, .* or a file PROFILE.toml"):
        of_mode("bl831")
    with pytest.raises(FlagError, match="--mode: expected c-parity, .*, cctbx-standalone or a file PROFILE.toml, got"):
        config(BASE, "--mode bl831")
