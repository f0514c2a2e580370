"""The strongest peaks of one image, and where they lie in another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tools.scaling.cases.case import Window
from tools.scaling.engine.extremes import Extremes
from tools.scaling.images.open import Image
from tools.scaling.images.report import Peak

RADIUS = 3  # a peak is the brightest of (2 RADIUS + 1)^2 pixels
_PIECE = 1024  # candidates looked at together

_STEPS = torch.arange(-RADIUS, RADIUS + 1)


def offer_peaks(image: Image, region: Window, peaks: Extremes, values: Tensor, slow: Tensor, fast: Tensor) -> None:
    """Offer the peaks among pixels of `image`, given by their values and places; of equal neighbours the first."""
    width, pixels = image.shape[1], image.pixels.view(-1)
    for piece in torch.argsort(values, descending=True).split(_PIECE):
        if not piece.numel() or not peaks.admits(float(values[piece[0]])):  # the brighter ones have raised the bar
            return
        s, f = slow[piece, None], fast[piece, None]
        rows = (s + _STEPS).clamp_(region[0], region[1]) * width  # at an edge some neighbours come twice
        columns = (f + _STEPS).clamp_(region[2], region[3])
        near = (rows[:, :, None] + columns[:, None, :]).flatten(start_dim=1)
        brightest = image.values(pixels[near]).argmax(dim=1, keepdim=True)  # the first of equals
        first = piece[(near.gather(1, brightest) == s * width + f)[:, 0]]
        peaks.offer(values[first], slow[first], fast[first])


def find_again(
    places: Sequence[tuple[int, int]], reference: Image, candidate: Image, region: Window, tolerance: float
) -> list[Peak]:
    """Each peak with the candidate's brightest pixel within RADIUS of it; the peak's own where that is as bright.

    tolerance: relative, within which two pixels are equally bright.
    """
    peaks = []
    for slow, fast in places:
        top, left = max(slow - RADIUS, region[0]), max(fast - RADIUS, region[2])
        bottom, right = min(slow + RADIUS, region[1]) + 1, min(fast + RADIUS, region[3]) + 1
        window = candidate.read(top, bottom, left, right).double().nan_to_num(nan=0.0)
        own, at = (slow - top) * (right - left) + fast - left, int(window.argmax())
        at = own if float(window.flatten()[own]) >= (1.0 - tolerance) * float(window.flatten()[at]) else at
        brightest = float(window.flatten()[at])
        there = (top + at // (right - left) - slow, left + at % (right - left) - fast)
        value = float(reference.read(slow, slow + 1, fast, fast + 1))
        lost = brightest <= 0.0
        peaks.append(Peak(slow, fast, value, None if lost else brightest, None if lost else there))
    return peaks
