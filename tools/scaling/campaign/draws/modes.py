"""Which program is followed: the reference of the golden cases mostly, another one or single switches in a fifth."""

import dataclasses

from nanobragg_torch.quirks import IDS, VARIANTS, VECTORS, Quirks, of_mode
from tools.scaling.campaign.draws.case import Draft

OTHER = 0.2  # of the cases are not of the golden program
_SAME = ("c-parity", "golden", "hoidn-main")  # modes that are the golden program
_ABSENT = Quirks().off


def draw_mode(draft: Draft) -> None:
    """The flags of the port that say which defects it has. They come first, for all other draws depend on them."""
    dice = draft.dice
    if not dice.chance(OTHER):
        _golden(draft)
        return
    kind = dice.whole(0, 9)
    if kind < 4:
        _mode(draft, dice.of(*VARIANTS, "spec", "spec", "bl831-main", "bl831-all-fixes", "cctbx-standalone"))
    elif kind < 8:
        for _ in range(dice.of(1, 1, 2, 4)):
            name = dice.of(*IDS)
            _switch(draft, name, on=name in _ABSENT)
    elif kind < 9:
        draft.add("--phi-mode", "spec")
        draft.quirks = draft.quirks.switched("Q29", False)
    else:
        names = dice.some(VECTORS, 0.5)
        draft.add("--vectors", ",".join(names) if names and dice.chance(0.7) else "as-given")
    if dice.chance(0.1):
        name = dice.of(*IDS)
        _switch(draft, name, on=dice.chance(0.5))


def _golden(draft: Draft) -> None:
    """Nothing at all in most; else words that change nothing, but for files that are read with all their oddities."""
    dice = draft.dice
    if dice.chance(0.14):
        _mode(draft, dice.of(*_SAME))
    elif dice.chance(0.04):
        name = dice.of(*(name for name in IDS if name not in _ABSENT))
        _switch(draft, name, on=True)
    elif dice.chance(0.02):
        _switch(draft, dice.of(*sorted(_ABSENT)), on=False)
    draft.maybe(0.02, "--phi-mode c-parity")
    draft.maybe(0.02, "--vectors reference")


def _mode(draft: Draft, mode: str) -> None:
    draft.add("--mode", mode)
    draft.quirks = dataclasses.replace(of_mode(mode), chosen=frozenset(IDS))


def _switch(draft: Draft, name: str, *, on: bool) -> None:
    state = f"{name}={'on' if on else 'off'}"
    draft.groups.append((f"--quirk={state}",) if draft.dice.chance(0.1) else ("--quirk", state))
    quirks = draft.quirks.switched(name, on)
    draft.quirks = dataclasses.replace(quirks, chosen=quirks.chosen | {name})
