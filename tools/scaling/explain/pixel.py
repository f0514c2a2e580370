"""The pixel whose causal graph is built, and the helper for quantities that are traced in part.

A quantity that is traced only of phi step 0, source 0, domain 0 is a complete hidden quantity ("hkl_all"),
the traced part picked from it ("hkl_frac"), and the complete one again with the traced part laid over it
("hkl"), which is what its descendants see.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.io.load import loaded
from nanobragg_torch.scan import simulate
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.summation import Pixels, Run
from tools.scaling.explain.graph import Graph

PRECISION = torch.float64


@dataclass(frozen=True)
class PreparedPixel:
    """A pixel of a prepared run: `order` in the scan, the run's first evaluation if it is made here."""

    run: Run
    slow: int
    fast: int
    pixels: Pixels


def prepared_pixel(settings: Config, slow: int, fast: int, device: str = "cpu") -> PreparedPixel:
    """Return the pixel with what it inherits from the scan of the image before it. Raises InputError of the readers."""
    with torch.no_grad():
        run = simulate.start(prepare(loaded(settings), device=device, dtype=PRECISION))
    roi = settings.detector.rendered
    order = (slow - roi.slow_min) * (roi.fast_max - roi.fast_min + 1) + fast - roi.fast_min
    first = run.first[1] if run.first is not None and run.first[0] == order else None
    return PreparedPixel(run, slow, fast, Pixels(order, order + 1, first))


def same(x: Tensor) -> Tensor:
    return x


def window(
    g: Graph, every: str, shown: str, merged: str, at: tuple[Any, ...], scale: float = 1.0, exact: bool = False
) -> None:
    """Add the traced part `shown` of `every`, and `merged`: all of it with the traced part laid over.

    at: index into the dimensions after (world, sub-pixel). scale: traced = scale * value.
    """
    index = (slice(None), slice(None), *at)
    dims = "s" + "".join("p" for x in at if isinstance(x, slice) and x == slice(None))[:1]

    def lay(values: Tensor, part: Tensor) -> Tensor:
        merged_values = values.clone()
        merged_values[index] = part / scale
        return merged_values

    g.add(shown, every, lambda x: x[index] * scale, dims=dims, traced=True, whole=True, exact=exact)
    g.add(merged, f"{every} {shown}", lay, dims=g.dims_of(every), whole=True, exact=exact)
