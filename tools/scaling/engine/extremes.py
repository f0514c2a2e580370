"""The largest of many values, with their places, kept while blocks of an image go by."""

import threading

from torch import Tensor

from tools.scaling.engine.tolerances import LEAST_NORMAL


class Extremes:
    """The `size` largest (value, slow, fast) offered, the first of equals in reading order; for several threads.

    Values below `bar` cannot enter, so that a block whose maximum is lower needs no search. What is kept does not
    depend on the order of the offers.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.bar = LEAST_NORMAL["float64"]  # 0 never enters, nor what is too small to compare quickly
        self._kept: list[tuple[float, int, int]] = []
        self._lock = threading.Lock()

    def offer(self, values: Tensor, slow: Tensor, fast: Tensor) -> None:
        """Keep what is larger than what has been kept; the three are of one length, on any device."""
        high = [item for item in zip(values.tolist(), slow.tolist(), fast.tolist()) if item[0] >= self.bar]
        with self._lock:
            merged = sorted({*self._kept, *high}, key=lambda item: (-item[0], *item[1:]))
            self._kept = merged[: self.size]
            if len(merged) >= self.size > 0:
                self.bar = self._kept[-1][0]

    def admits(self, value: float) -> bool:
        """Whether a value could enter."""
        return value >= self.bar and self.size > 0

    @property
    def places(self) -> list[tuple[int, int]]:
        """(slow, fast) of what is kept, the largest first."""
        return [(slow, fast) for _, slow, fast in self._kept]
