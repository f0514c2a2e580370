"""The strongest peaks of one image, and where they lie in another."""

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from tools.scaling.images.open import Image
from tools.scaling.images.report import Peak

RADIUS = 3  # a peak is the brightest of (2 RADIUS + 1)^2 pixels
_PIECE = 1024  # candidates looked at together

Region = tuple[int, int, int, int]  # slow_min, slow_max, fast_min, fast_max, inclusive

_STEPS = torch.arange(-RADIUS, RADIUS + 1)


class Top:
    """The `size` largest (value, slow, fast) offered, the first of equals in reading order; for several threads.

    Values below `bar` cannot enter, so that a block whose maximum is lower needs no search. What is kept does not
    depend on the order of the offers.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.bar = 2.0**-1022  # 0 never enters, nor what is too small to compare quickly
        self._kept: list[tuple[float, int, int]] = []
        self._lock = threading.Lock()

    def offer(self, values: Tensor, slow: Tensor, fast: Tensor) -> None:
        found = [item for item in zip(values.tolist(), slow.tolist(), fast.tolist()) if item[0] >= self.bar]
        with self._lock:
            merged = sorted({*self._kept, *found}, key=lambda item: (-item[0], *item[1:]))
            self._kept = merged[: self.size]
            if len(merged) >= self.size > 0:
                self.bar = self._kept[-1][0]

    def admits(self, value: float) -> bool:
        return value >= self.bar and self.size > 0

    @property
    def places(self) -> list[tuple[int, int]]:
        return [(slow, fast) for _, slow, fast in self._kept]


def offer_peaks(top: Top, image: Image, region: Region, values: Tensor, slow: Tensor, fast: Tensor) -> None:
    """Offer the peaks among pixels of `image`, given by their values and places; of equal neighbours the first."""
    width, pixels = image.shape[1], image.pixels.view(-1)
    for piece in torch.argsort(values, descending=True).split(_PIECE):
        if not piece.numel() or not top.admits(float(values[piece[0]])):  # the brighter ones have raised the bar
            return
        s, f = slow[piece, None], fast[piece, None]
        rows = (s + _STEPS).clamp_(region[0], region[1]) * width  # at an edge some neighbours come twice
        columns = (f + _STEPS).clamp_(region[2], region[3])
        near = (rows[:, :, None] + columns[:, None, :]).flatten(start_dim=1)
        brightest = image.values(pixels[near]).argmax(dim=1, keepdim=True)  # the first of equals
        peak = piece[(near.gather(1, brightest) == s * width + f)[:, 0]]
        top.offer(values[peak], slow[peak], fast[peak])


def find_again(places: Sequence[tuple[int, int]], reference: Image, candidate: Image, region: Region) -> list[Peak]:
    """Each peak with the candidate's brightest pixel within RADIUS of it."""
    peaks = []
    for slow, fast in places:
        top, left = max(slow - RADIUS, region[0]), max(fast - RADIUS, region[2])
        bottom, right = min(slow + RADIUS, region[1]) + 1, min(fast + RADIUS, region[3]) + 1
        window = candidate.read(top, bottom, left, right).double().nan_to_num(nan=0.0)
        at = int(window.argmax())
        found = float(window.flatten()[at])
        there = (top + at // (right - left) - slow, left + at % (right - left) - fast)
        value = float(reference.read(slow, slow + 1, fast, fast + 1))
        lost = found <= 0.0
        peaks.append(Peak(slow, fast, value, None if lost else found, None if lost else there))
    return peaks
