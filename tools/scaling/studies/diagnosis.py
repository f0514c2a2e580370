"""`study diagnosis`: how often the diagnosis from images alone names the one switch in which an image differs.

Each row is a random small command line and a random quirk or program whose switches change its image.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanobragg_torch.quirks import MODES, TABLE, Quirks, of_mode

if TYPE_CHECKING:
    from torch import Tensor

    from tools.scaling.implementations.diagnosis import Diagnosis

ENOUGH = 0.9  # share of the switches that must be named first
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
    """One switch: the command line, what was switched, whether the diagnosis names it first, and what it says."""

    flags: str
    switched: str
    right: bool
    sentence: str


def study(count: int, seed: int) -> list[SwitchRow]:
    """Diagnose `count` images, each of which differs from ours by one switch."""
    return [diagnosed(*each) for _, each in zip(range(count), switches(random.Random(seed)))]


def switches(rng: random.Random) -> "Iterator[tuple[tuple[str, ...], str, Tensor]]":
    """(command line, quirk or mode, the image that it makes), without end: switches that change the image."""
    modes = [mode for mode in MODES if of_mode(mode) != of_mode(MODES[0])]
    names = [quirk.id for quirk in TABLE] + [mode for mode in modes if mode != "spec"]
    while True:
        name = rng.choice(names)
        for flags in (_flags(rng) for _ in range(TRIES)):
            usual, image = _image(flags), _image((*flags, *_switch(name)))
            if usual is not None and image is not None and usual.shape == image.shape and bool((usual != image).any()):
                yield flags, name, image
                break


def diagnosed(flags: tuple[str, ...], name: str, image: "Tensor") -> SwitchRow:
    """What the diagnosis says of `image`, which the switch `name` has made."""
    from tools.scaling.implementations.diagnosis import diagnose

    diagnosis = diagnose(flags, (), image)
    return SwitchRow(" ".join(flags), name, names_switch(diagnosis, name), diagnosis.sentence)


def names_switch(diagnosis: "Diagnosis", name: str) -> bool:
    """Whether the switch is the first cause, or is named beside it as one that would look the same."""
    is_it: Callable[[str], bool] = (
        (lambda text: text.startswith(f"{name} "))
        if name not in MODES
        else (lambda text: text.startswith("the switches of") and name in text.replace(",", "").split())
    )
    return any(is_it(cause.name) for cause in diagnosis.explained)


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


def study_lines(rows: list[SwitchRow]) -> list[str]:
    """Return the rows that were not named, and the count."""
    wrong = [f"{row.switched}: {row.sentence}\n    {row.flags}" for row in rows if not row.right]
    right = len(rows) - len(wrong)
    return [*wrong, f"{right} of {len(rows)} switches named first"]


def study_markdown(rows: list[SwitchRow], seed: int) -> str:
    """Return the page: the figure, what was not named, and what was switched."""
    right = sum(row.right for row in rows)
    count = f"python -m tools.scaling study diagnosis --count {len(rows)} --seed {seed}"
    lines = [
        "# The diagnosis from images alone, measured",
        f"`{count}` wrote this page.",
        "A random small command line, a quirk or a program's switches that change its image, drawn at random; the"
        " diagnosis has the image and the command line alone.",
        f"**{right} of {len(rows)} switches are named first**, or beside others that make the same image.",
        "| switched | named | the diagnosis |\n|---|---|---|",
    ]
    table = [f"| {row.switched} | {'yes' if row.right else 'no'} | {row.sentence.replace('|', '/')} |" for row in rows]
    return "\n\n".join(lines) + "\n" + "\n".join(table) + "\n"
