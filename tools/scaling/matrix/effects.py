"""The quirk table with the measured effect of each switch on a case: switched alone, beside the program of the case."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tools.scaling.base.errors import BadInput
from tools.scaling.cases.case import Case

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config


@dataclass(frozen=True)
class QuirkEffect:
    """One quirk of the port's table, on one case.

    image: largest change of a pixel, relative to the brightest one. pixels, numbers: pixels, and numbers of the
    traced pixel, that change. refused: why the case cannot be run with the switch off, else empty.
    """

    id: str
    name: str
    reference: str
    right: str
    image: float = 0.0
    pixels: int = 0
    numbers: int = 0
    refused: str = ""

    @property
    def silent(self) -> bool:
        """Whether the case does not show the quirk."""
        return not (self.pixels or self.numbers or self.refused)


def quirk_effects(case: Case, pixel: tuple[int, int] | None = None, device: str = "cpu") -> list[QuirkEffect]:
    """Every quirk, switched alone: its effect on the image of `case` and on the trace of `pixel`.

    pixel: (slow, fast), by default the case's first. Raises BadInput where the case cannot be run.
    """
    from nanobragg_torch.errors import NanoBraggError
    from nanobragg_torch.quirks import TABLE, of_mode

    traced, mode = case.pixel(pixel), case.variant or "golden"
    quirks = of_mode(mode)

    def measured(*switch: str) -> "tuple[Tensor, list[object]]":
        return _run(case.config("--mode", mode, *switch), traced, device)

    try:
        usual = measured()
    except (BadInput, NanoBraggError) as error:
        raise BadInput(f"{case.name}: {error}") from error
    effects = []
    for quirk in TABLE:
        row = QuirkEffect(quirk.id, quirk.name, quirk.reference, quirk.right)
        switched = "off" if quirks.on(quirk.id) else "on"
        try:
            effects.append(_compared(row, usual, measured("--quirk", f"{quirk.id}={switched}")))
        except (BadInput, NanoBraggError) as error:
            effects.append(replace(row, refused=str(error)))
    return effects


def _run(config: "Config", pixel: tuple[int, int], device: str) -> "tuple[Tensor, list[object]]":
    """The image, and every value of the trace."""
    import torch

    from nanobragg_torch.products.trace import trace_pixel
    from nanobragg_torch.scan.simulate import simulate

    with torch.no_grad():
        lines = trace_pixel(config, *pixel, device=torch.device(device), dtype=torch.float64)
        image = simulate(config, device=torch.device(device), dtype=torch.float64)
    return image, [value for line in lines for value in line.values]


def _compared(
    row: QuirkEffect, usual: "tuple[Tensor, list[object]]", other: "tuple[Tensor, list[object]]"
) -> QuirkEffect:
    from tools.scaling.engine.bitwise import worst_share

    (image, numbers), (changed, others) = usual, other
    # a trace of other lines (another convention, say) differs by those lines, too
    unlike = sum(a != b for a, b in zip(numbers, others)) + abs(len(numbers) - len(others))
    return replace(row, image=worst_share(image, changed), pixels=int((changed != image).sum()), numbers=unlike)
