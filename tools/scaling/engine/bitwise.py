"""Two images of one type: which pixels differ in their bits, by how many steps, and by what share of the brightest."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tools.scaling.base.errors import BadInput
from tools.scaling.engine.diff import ULP_MAX, ulp_distance

KEPT = 1000  # differing pixels that are kept one by one, the farthest first


@dataclass(frozen=True, slots=True)
class PixelDiff:
    """One pixel whose bits differ. `ulp` counts float32 steps and is None beside a NaN."""

    slow: int
    fast: int
    reference: float
    candidate: float
    ulp: int | None


@dataclass(frozen=True)
class BitDiff:
    """`unequal` of `pixels` differ in their bits; `worst_ulp` is None where one of them is a NaN.

    worst_share: the largest finite difference, as a share of the reference's largest magnitude.
    """

    pixels: int
    unequal: int
    worst_ulp: int | None
    worst_share: float
    differing: tuple[PixelDiff, ...]


def compare_bits(reference: Tensor, candidate: Tensor, origin: tuple[int, int] = (0, 0)) -> BitDiff:
    """Compare two float32 images (slow, fast), bit by bit; a NaN equals a NaN, whatever its bits.

    origin: (slow, fast) of the first pixel on the detector. Raises BadInput where the shapes or types differ.
    """
    if reference.shape != candidate.shape or {reference.dtype, candidate.dtype} != {torch.float32}:
        raise BadInput(
            f"expected a float32 image of {tuple(reference.shape)} pixels (slow, fast), "
            f"got {str(candidate.dtype).removeprefix('torch.')} {tuple(candidate.shape)}"
        )
    same = reference.contiguous().view(torch.int32) == candidate.contiguous().view(torch.int32)
    differ = ~(same | (reference.isnan() & candidate.isnan()))
    steps = ulp_distance(reference, candidate)[differ]
    order = torch.argsort(steps, descending=True, stable=True)[:KEPT]
    places = differ.nonzero()[order]
    columns = (places[:, 0] + origin[0], places[:, 1] + origin[1], reference[differ][order], candidate[differ][order])
    pixels = zip(*(column.tolist() for column in columns), (_counted(step) for step in steps[order].tolist()))
    return BitDiff(
        pixels=reference.numel(),
        unequal=int(differ.sum()),
        worst_ulp=_counted(int(steps.max())) if steps.numel() else 0,
        worst_share=worst_share(reference, candidate),
        differing=tuple(PixelDiff(*values) for values in pixels),
    )


def worst_share(reference: Tensor, candidate: Tensor) -> float:
    """The largest finite |candidate - reference| by the reference's largest magnitude; where that is 0 by itself."""
    a, b = reference.double(), candidate.double()
    worst, brightest = (x[x.isfinite()].amax().item() if x.isfinite().any() else 0.0 for x in ((b - a).abs(), a.abs()))
    return worst / brightest if brightest else worst


def _counted(steps: int) -> int | None:
    return None if steps == ULP_MAX else steps
