"""`study diagnosis`: how often the diagnosis from images alone names the one switch in which an image differs.

Each row is a random small command line and a random quirk or program whose switches change its image beyond the
rounding of float32. What differs by less is no difference, and what the clock seeds is never the same twice: both are
passed over, and counted.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanobragg_torch.quirks import MODES, TABLE, Quirks, of_mode

if TYPE_CHECKING:
    from torch import Tensor

    from tools.scaling.implementations.diagnosis import Diagnosis

ENOUGH = 0.9  # share of the switches that must be named
FIRST, BESIDE, NOT = "first", "beside others", "no"
TRIES = 30  # command lines that are drawn for a switch before another one is

_SOMETIMES = (
    "-misset 12 -7 31", "-misset random -misset_seed 7 -nopolar", "-misset 3 4 5 -misset_seed 9 -nonoise",
    "-phi 0 -osc 1 -phisteps 3", "-phi -1 -osc 2 -phisteps 4", "-osc 1 -phistep 0.5", "-phisteps 3",
    "-osc -1 -phisteps 2",
    "-mosaic 0.5 -mosaic_dom 3", "-gauss_xtal", "-gauss_xtal -fudge 0.02", "-tophat_spots -fudge 0.3", "-round_xtal",
    "-oversample 2", "-oversample 2 -oversample_omega", "-oversample 2 -oversample_polar -polar 0.8",
    "-nopolar -oversample_polar", "-detector_thick 300 -oversample_thick -thicksteps 3 -detector_abs 200",
    "-detector_thick 300", "-detector_thick 400 -detector_abs 250 -thicksteps 2", "-oversample_thick", "-water 20",
    "-water 10 -oversample_omega", "-point_pixel", "-xds -curved_det 1", "-twotheta 20", "-twotheta_axis 3 0 0",
    "-twotheta 15 -twotheta_axis 0 0 2", "-odet_vector 1 0 0.001", "-fdet_vector 0 0 2", "-spindle_axis 0 0 1",
    "-pix0_vector_mm 100 5 -5", "-xds -Xclose 3 -Yclose 4", "-dials -Xbeam 10 -Ybeam 12", "-pivot sample -twotheta 20",
    "-adxv -pivot sample -detector_rotx 5", "-denzo", "-hdivrange 4 -hdivsteps 3 -vdivrange 2 -vdivsteps 2",
    "-hdivsteps 3", "-dispersion 3 -dispsteps 3", "-dispersion 2 -dispsteps 1", "-dispsteps 3", "-interpolate",
    "-xtalsize 0.2", "-xtalsize 0.0002", "-hdiv 3", "-detsize_x 20", "-detpixels_x 20", "-mosaic 1 -mosaic_seed -5",
    "-dmin 3", "-polar 0.7", "-detector_rotx 10 -detector_roty 4",
)  # fmt: skip


@dataclass(frozen=True)
class SwitchRow:
    """One switch: the command line, what was switched, how the diagnosis names it, and what it says.

    named: first; beside others, where these make the same image; or no.
    """

    flags: str
    switched: str
    named: str
    sentence: str


@dataclass(frozen=True)
class SwitchStudy:
    """The rows, and how many switched images were passed over, by why."""

    seed: int
    rows: list[SwitchRow]
    passed_over: Counter[str]

    def count(self, named: str) -> int:
        return sum(row.named == named for row in self.rows)

    @property
    def enough(self) -> bool:
        return self.count(FIRST) + self.count(BESIDE) >= ENOUGH * len(self.rows)


def study(count: int, seed: int) -> SwitchStudy:
    """Diagnose `count` images, each of which differs from ours by one switch."""
    passed: Counter[str] = Counter()
    rows = [diagnosed(*each) for _, each in zip(range(count), switches(random.Random(seed), passed))]
    return SwitchStudy(seed, rows, passed)


def switches(rng: random.Random, passed: Counter[str]) -> "Iterator[tuple[tuple[str, ...], str, Tensor]]":
    """(command line, quirk or mode, the image that it makes), without end: switches that change the image.

    passed: counts those that are passed over, by why.
    """
    modes = [mode for mode in MODES if of_mode(mode) != of_mode(MODES[0])]
    names = [quirk.id for quirk in TABLE] + [mode for mode in modes if mode != "spec"]
    while True:
        name = rng.choice(names)
        for flags in (_flags(rng) for _ in range(TRIES)):
            usual, image = _image(flags), _image((*flags, *_switch(name)))
            if usual is None or image is None or usual.shape != image.shape or bool((usual == image).all()):
                continue
            why = _no_case((*flags, *_switch(name)), usual, image)
            if not why:
                yield flags, name, image
                break
            passed[why] += 1


def _no_case(switched: tuple[str, ...], usual: "Tensor", image: "Tensor") -> str:
    """Why another image shows no switch; empty where it does."""
    from nanobragg_torch import parse
    from tools.scaling.implementations.diagnosis import differing
    from tools.scaling.implementations.trial import draws_from_clock

    if draws_from_clock(parse([*switched], folders=())):
        return "drawn from the clock"
    return "" if differing(usual.double(), image.double()) else "the same within the rounding of float32"


def diagnosed(flags: tuple[str, ...], name: str, image: "Tensor") -> SwitchRow:
    """What the diagnosis says of `image`, which the switch `name` has made."""
    from tools.scaling.implementations.diagnosis import diagnose

    diagnosis = diagnose(flags, (), image)
    return SwitchRow(" ".join(flags), name, names_switch(diagnosis, name), diagnosis.sentence)


def names_switch(diagnosis: "Diagnosis", name: str) -> str:
    """Whether the switch is the first cause, or is named beside it as one that makes the same image.

    A program shows by its own quirks: it is first where one of them is, and the program is named as the same.
    """
    named = [_is_it(cause.name, name) for cause in diagnosis.explained]
    if not any(named):
        return NOT
    return FIRST if named[0] or diagnosis.explained[0].name.startswith(_own(name)) else BESIDE


def _is_it(cause: str, name: str) -> bool:
    from tools.scaling.implementations.causes import PROGRAMS

    if name not in MODES:
        return cause.startswith(f"{name} ")
    return cause.startswith(PROGRAMS) and name in cause.removeprefix(PROGRAMS).split(", ")


def _own(mode: str) -> tuple[str, ...]:
    """How the causes begin that are a program's own switches, one by one; of a quirk there is none."""
    if mode not in MODES:
        return ()
    states = {quirk.id: of_mode(mode).on(quirk.id) for quirk in TABLE}
    return tuple(f"{quirk} {'on' if on else 'off'} " for quirk, on in states.items() if on != Quirks().on(quirk))


def _switch(name: str) -> tuple[str, str]:
    if name in MODES:
        return "--mode", name
    return "--quirk", f"{name}={'off' if Quirks().on(name) else 'on'}"


def _flags(rng: random.Random) -> tuple[str, ...]:
    cell = " ".join(f"{rng.uniform(25, 45):.1f}" for _ in range(3))
    angles = " ".join(f"{rng.uniform(75, 110):.1f}" for _ in range(3))
    words = (
        f"-cell {cell} {angles} -default_F 100 -lambda 1.1 -N {rng.randint(2, 6)} -distance 100 -detpixels 24 -pixel 2"
    )
    some = rng.sample(_SOMETIMES, rng.randint(1, 4))
    sampled = [] if any("-oversample 2" in each for each in some) else ["-oversample 1"]
    return tuple(" ".join([words, *sampled, *some, *(["-curved_det"] if rng.random() < 0.1 else [])]).split())


def _image(flags: tuple[str, ...]) -> "Tensor | None":
    """The float32 image; None where the port refuses the flags."""
    from nanobragg_torch import NanoBraggError, parse, simulate

    try:
        return simulate(parse([*flags], folders=()), threads=1).float()
    except NanoBraggError:
        return None


def study_lines(result: SwitchStudy) -> list[str]:
    """Return the rows that were not named, and the counts."""
    wrong = [f"{row.switched}: {row.sentence}\n    {row.flags}" for row in result.rows if row.named == NOT]
    return [*wrong, _counts(result), *_passed(result)]


def _counts(result: SwitchStudy) -> str:
    named = f"{result.count(FIRST)} of {len(result.rows)} switches named first"
    return f"{named}, {result.count(BESIDE)} beside others that make the same image, {result.count(NOT)} not"


def _passed(result: SwitchStudy) -> list[str]:
    return [f"passed over: {count} images {why}" for why, count in sorted(result.passed_over.items())]


def study_markdown(results: Sequence[SwitchStudy]) -> str:
    """Return the page: the figures, and what was switched of each seed."""
    count, seeds = len(results[0].rows), " ".join(f"--seed {result.seed}" for result in results)
    parts = [
        "# The diagnosis from images alone, measured",
        f"`python -m tools.scaling study diagnosis --count {count} {seeds}` wrote this page.",
        "A random small command line, and a quirk or a program's switches, drawn at random, that change its image"
        " beyond the rounding of float32; the diagnosis has the image and the command line alone. A program is named"
        " first where the first cause is one of its own quirks and the program is named as what makes the same image."
        " A switch is named beside others where these make the same image: no image tells them apart. An image that"
        " the switch changes in its rounding alone is no case, nor is one whose orientation the clock seeds; they are"
        " passed over.",
        *("  \n".join([f"Seed {result.seed}: **{_counts(result)}**.", *_passed(result)]) for result in results),
        "| seed | switched | named | the diagnosis |\n|---|---|---|---|",
    ]
    rows = [
        f"| {result.seed} | {row.switched} | {row.named} | {row.sentence.replace('|', '/')} |"
        for result in results
        for row in result.rows
    ]
    return "\n\n".join(parts) + "\n" + "\n".join(rows) + "\n"
