"""A seed -> a random command line and the files that it names; a command line -> its flags, each with its values."""

from collections.abc import Sequence
from functools import cache

from nanobragg_torch.errors import FlagError, InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.flags.record import Flag
from nanobragg_torch.flags.table import TABLE
from nanobragg_torch.flags.values import MAYBE_NUMBER
from nanobragg_torch.io.fdump import NAME as FDUMP
from nanobragg_torch.io.numbers import number
from nanobragg_torch.quirks import of_mode
from tools.scaling.campaign.draws.beam import draw_beam, draw_scan
from tools.scaling.campaign.draws.case import Draft
from tools.scaling.campaign.draws.crystal import draw_crystal, draw_mosaic
from tools.scaling.campaign.draws.detector import (
    draw_detector,
    draw_distance,
    draw_oversampling,
    draw_scale,
    draw_sensor,
    draw_size,
)
from tools.scaling.campaign.draws.dice import Dice
from tools.scaling.campaign.draws.modes import draw_mode
from tools.scaling.campaign.draws.output import draw_more, draw_output, last_word
from tools.scaling.campaign.draws.structure import draw_structure
from tools.scaling.campaign.record import Drawn

GENERATOR = 1  # raised with every change of what a seed draws
NOT_DRAWN = {
    "-progress": "shows how far a run is, on a terminal only",
    "-noprogress": "shows how far a run is, on a terminal only",
    "-show_config": "prints the settings and changes none",
}

# Given a second time, earlier and with another value: what comes last counts.
_TWICE = {
    "-lambda": "1.7", "-distance": "333", "-pixel": "0.9", "-fudge": "3", "-polar": "-0.7", "-water": "3",
    "-dmin": "2.7", "-phi": "12", "-default_F": "9", "-oversample": "2", "-detector_rotx": "7", "-twotheta": "5",
    "-misset": "1 2 3", "-fluence": "1e28", "-mosaic": "0.3", "-N": "4", "-Xbeam": "1.5", "-seed": "77", "-scale": "2",
}  # fmt: skip


def draw(seed: int) -> Drawn:
    """Return case `seed` of this generator: the same on every machine."""
    draft = Draft(Dice(f"{GENERATOR} {seed}"))
    draw_mode(draft)
    ours = draft.groups
    draft.groups = []
    draw_crystal(draft)
    draw_scale(draft)
    draw_structure(draft)
    draw_size(draft)
    draw_distance(draft)
    draw_detector(draft)
    for part in draft.dice.order((draw_beam, draw_scan, draw_mosaic, draw_sensor)):
        part(draft)
    draw_oversampling(draft)
    draw_output(draft)
    draw_more(draft)
    groups = [*ours, *draft.groups]
    if draft.dice.chance(0.6):
        # the order of the port's own switches among each other counts, and stays
        groups = _mixed(draft.dice, ours, draft.groups)
    groups = _again(draft.dice, groups)
    words = [word for group in groups for word in group]
    return Drawn(seed, (*words, *last_word(draft)), draft.files)


def _mixed(dice: Dice, kept: Sequence[tuple[str, ...]], others: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    groups = dice.order(others)
    for group in reversed(kept):
        groups.insert(0 if len(kept) > 1 else dice.whole(0, len(groups)), group)
    return groups


def _again(dice: Dice, groups: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Now and then a flag stands twice."""
    places = [at for at, group in enumerate(groups) if group[0] in _TWICE]
    if not places or not dice.chance(0.06):
        return groups
    at = dice.of(*places)
    name = groups[at][0]
    return [*groups[:at], (name, *_TWICE[name].split()), *groups[at:]]


def grouped(flags: Sequence[str]) -> list[tuple[str, ...]]:
    """Cut a command line into its flags, each with the values that follow it, in their order."""
    groups, rest = [], list(flags)
    while rest:
        word = rest.pop(0)
        taken = 0 if "=" in word else _taken(flag_of(word), word, rest)
        groups.append((word, *rest[:taken]))
        del rest[:taken]
    return groups


def understood(flags: Sequence[str], variant: str = "golden") -> tuple[str, ...] | None:
    """Return the words of a command line that a program of VARIANTS is given: those without the port's own flags.

    None where the program would not do the same: the port's flags ask for other switches, name a dump that the program
    does not find by itself, or the end of the command line means something else with more words behind it.
    """
    groups, quirks = grouped(flags), of_mode(variant)
    ours = [group for group in groups if group[0].startswith("--")]
    switches = [word for group in ours if group[0] != "--fdump" for word in group]
    if switches:
        asked = parse(["-cell", "50", "-default_F", "1", *switches]).quirks
        if asked.off != quirks.off or asked.as_given:
            return None
    dump = next((group[1:] for group in ours if group[0] == "--fdump"), None)
    if dump is not None and (dump != (FDUMP,) or (quirks.on("Q61") and {"-dump", "-dump_pixel"} & set(flags))):
        return None
    words = tuple(word for group in groups if group not in ours for word in group)
    # behind -misset_seed three words are taken for angles (Q53)
    open_end = (groups and _lacks(groups[-1])) or (quirks.on("Q53") and "-misset_seed" in words[-3:])
    return None if open_end else words


def _lacks(group: tuple[str, ...]) -> bool:
    """Whether a flag would take words that stood behind it."""
    flag = flag_of(group[0])
    if flag is None or flag.kind is None:
        return False
    return _values(flag, group[0], group[1:]) is None or (flag.kind is MAYBE_NUMBER and len(group) == 1)


@cache
def _spelled(name: str) -> Flag | None:
    return next((flag for flag in TABLE if flag.matches(name)), None)


def flag_of(word: str) -> Flag | None:
    """Return the row of the table that a word of the command line spells; None for a value."""
    return _spelled(word.partition("=")[0] if word.startswith("--") else word) if word.startswith("-") else None


def _taken(flag: Flag | None, word: str, rest: Sequence[str]) -> int:
    taken = None if flag is None else _values(flag, word, rest)
    if taken is None:  # values that are missing or wrong: up to the next flag
        taken = next((at for at, each in enumerate(rest) if each.startswith("-") and number(each) is None), len(rest))
    return taken


def _values(flag: Flag, word: str, rest: Sequence[str]) -> int | None:
    """How many words a flag takes; None where they are not what it needs."""
    if flag.kind is None:
        return 0
    try:
        return flag.kind.take(word, rest)[1]
    except (FlagError, InputError):
        return None
