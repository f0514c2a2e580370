"""Two float images -> which pixels differ, and by how many float32 steps."""

from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from torch import Tensor

from tools.scaling.base.errors import BadInput
from tools.scaling.base.reading import read_file
from tools.scaling.engine.diff import ULP_MAX, ulp_distance

KEPT = 1000  # differing pixels that are kept one by one, the farthest first


@dataclass(frozen=True, slots=True)
class Pixel:
    """One pixel whose bits differ. `ulp` counts float32 steps and is None beside a NaN."""

    slow: int
    fast: int
    reference: float
    candidate: float
    ulp: int | None


@dataclass(frozen=True)
class ImageDiff:
    """`unequal` of `pixels` differ in their bits; `worst_ulp` is None where one of them is a NaN.

    worst_share: the largest finite difference, as a share of the reference's largest magnitude.
    """

    pixels: int
    unequal: int
    worst_ulp: int | None
    worst_share: float
    differing: tuple[Pixel, ...]


def read_image(path: Path, slow: int, fast: int) -> Tensor:
    """The float image (slow, fast) in `path`: little-endian float32, slow-major. Raises BadInput."""
    wanted = 4 * slow * fast
    data = read_file(path, wanted, path.name)
    if len(data) != wanted:
        size = path.stat().st_size
        raise BadInput(f"{path.name}: expected {slow} x {fast} float32, {wanted} bytes, got {size} bytes")
    return torch.from_numpy(numpy.frombuffer(data, "<f4").astype(numpy.float32)).reshape(slow, fast)


def compare_images(reference: Tensor, candidate: Tensor, origin: tuple[int, int] = (0, 0)) -> ImageDiff:
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
    return ImageDiff(
        pixels=reference.numel(),
        unequal=int(differ.sum()),
        worst_ulp=_counted(int(steps.max())) if steps.numel() else 0,
        worst_share=_share(reference.double(), candidate.double()),
        differing=tuple(Pixel(*values) for values in pixels),
    )


def _share(reference: Tensor, candidate: Tensor) -> float:
    distance = (candidate - reference).abs()
    worst, brightest = (
        x[x.isfinite()].amax().item() if x.isfinite().any() else 0.0 for x in (distance, reference.abs())
    )
    return worst / brightest if brightest else worst


def _counted(steps: int) -> int | None:
    return None if steps == ULP_MAX else steps
