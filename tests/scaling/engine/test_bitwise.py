"""Images compared bit by bit, on every device."""

import math

import numpy as np
import pytest
import torch

from tools.scaling.base.errors import BadInput
from tools.scaling.engine.bitwise import compare_bits


def image(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float32)


def test_images_are_compared_bit_by_bit() -> None:
    one = float(np.nextafter(np.float32(1), np.float32(2)))
    diff = compare_bits(image(1, 0, -2, 5, math.nan, 7), image(one, -0.0, -2, 5, math.nan, math.nan), origin=(3, 10))
    assert (diff.pixels, diff.unequal, diff.worst_ulp) == (6, 3, None)
    assert [(pixel.slow, pixel.fast, pixel.ulp) for pixel in diff.differing] == [(3, 15, None), (3, 10, 1), (3, 11, 0)]
    assert diff.worst_share == pytest.approx((one - 1) / 7)
    with pytest.raises(BadInput, match=r"expected a float32 image of \(1, 2\) pixels .* got float32 \(1, 1\)"):
        compare_bits(image(1, 2), image(1))


@pytest.mark.parametrize("steps", [1, 2, 100])
@pytest.mark.parametrize("start", [1.0, -1.0, 0.0, 1e-40, -3.4e38])
def test_ulp_of_pixels_counts_numpys_float32_steps(start: float, steps: int) -> None:
    x = np.float32(start)
    for _ in range(steps):
        x = np.nextafter(x, np.float32(np.inf))
    assert compare_bits(image(start), image(float(x))).worst_ulp == steps
