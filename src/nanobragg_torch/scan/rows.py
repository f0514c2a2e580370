"""An image taken a few rows at a time: what is made of it needs no second image."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from nanobragg_torch.config import Roi

TOGETHER = 2**16  # pixels; in float64 they stay in a core's cache


def row_blocks(slow: int, fast: int) -> Iterator[slice]:
    """The rows 0 .. slow-1 of `fast` pixels each, in order: blocks of at most TOGETHER pixels, or one row."""
    rows = max(1, TOGETHER // max(fast, 1))
    return (slice(start, min(start + rows, slow)) for start in range(0, slow, rows))


def in_window(image: "np.ndarray", roi: "Roi") -> "np.ndarray":
    """The region of interest of an image (slow, fast) of the whole detector, or of that region already."""
    if image.shape == (roi.slow_max - roi.slow_min + 1, roi.fast_max - roi.fast_min + 1):
        return image
    return image[roi.slow_min : max(roi.slow_max + 1, roi.slow_min), roi.fast_min : max(roi.fast_max + 1, roi.fast_min)]
