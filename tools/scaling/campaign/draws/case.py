"""A command line while it is drawn: its words and files, and what the later draws must know of the earlier ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from nanobragg_torch.quirks import Quirks
from tools.scaling.campaign.draws.dice import Dice

MOST_TERMS = 60_000  # terms of a case at the most: pixels x sub-pixels x sources x phi steps x domains x layers
MOST_TRICUBIC = 6_000  # of one with tricubic interpolation, which takes thirty times as long


@dataclass
class Draft:
    """A command line in the making.

    groups: flags with their values, each group in the order that it needs. files: name -> content. quirks: the
    switches that its --mode and --quirk flags come to. left: how many times as many terms it may still get.
    edges_a: lengths of the cell's axes (A), about. cells: the largest of its numbers of cells. listed: whether it
    has a list of structure factors. tricubic: whether interpolation may be on. quiet: whether its pixels may be NaN,
    infinite or below 0, of which no integer image can be made: the reference's conversions are undefined there.
    reach: indices of a cell of middle size between the centre of the detector and its edge, about.
    tilted: whether the detector may be turned, or its distance not what was typed. fast, slow: its pixels.
    roi: as typed. header: whether one is read, of -img or -mask; masked: of -mask; swept: whether it gives a range of
    phi. fixed: whether the number of sub-pixels is given.
    """

    dice: Dice
    quirks: Quirks = field(default_factory=Quirks)
    groups: list[tuple[str, ...]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    left: int = MOST_TERMS
    edges_a: tuple[float, float, float] = (50.0, 50.0, 50.0)
    cells: int = 1
    listed: bool = False
    tricubic: bool = False
    quiet: bool = False
    reach: float = 3.0
    tilted: bool = False
    wavelength_a: float = 1.0
    distance_mm: float = 100.0
    pixel_mm: float = 0.1
    fast: int = 1
    slow: int = 1
    roi: tuple[int, int, int, int] | None = None
    fixed: bool = False
    header: bool = False
    masked: bool = False
    swept: bool = False

    def add(self, *words: str) -> None:
        """Flags with their values, in one text or in words, that stay side by side."""
        group = tuple(" ".join(words).split())
        if group:
            self.groups.append(group)

    def maybe(self, share: float, text: str) -> None:
        """`text` in `share` of the cases."""
        if self.dice.chance(share):
            self.add(text)

    def on(self, quirk: str) -> bool:
        return self.quirks.on(quirk)

    def count(self, wanted: int) -> int:
        """As many steps of something as are wanted and can be afforded."""
        count = max(1, min(wanted, self.left))
        self.left //= count
        return count

    def spell(self, *aliases: str) -> str:
        """A flag by the first of its names mostly, else by any other."""
        return aliases[0] if self.dice.chance(0.6) else self.dice.of(*aliases)

    def file(self, names: Sequence[str], content: bytes) -> str:
        """Keep a file under one of `names`; its name."""
        name = self.dice.of(*names)
        self.files[name] = content
        return name
