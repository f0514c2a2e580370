"""What two images add up to, block by block: sums that can be joined in any grouping without losing digits."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(slots=True)
class Moments:
    """Count, means and centred second moments of pairs (x, y)."""

    n: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    sxx: float = 0.0
    syy: float = 0.0
    sxy: float = 0.0

    def join(self, other: "Moments") -> None:
        """Chan, Golub and LeVeque's update: no large squares are subtracted, whatever the means."""
        n = self.n + other.n
        if not other.n:
            return
        dx, dy, share = other.mean_x - self.mean_x, other.mean_y - self.mean_y, other.n / n
        self.sxx += other.sxx + dx * dx * self.n * share
        self.syy += other.syy + dy * dy * self.n * share
        self.sxy += other.sxy + dx * dy * self.n * share
        self.mean_x += dx * share
        self.mean_y += dy * share
        self.n = n

    @property
    def correlation(self) -> float | None:
        """Pearson's; None where one side does not vary, or its squares leave float64."""
        spread = math.sqrt(self.sxx) * math.sqrt(self.syy)
        value = self.sxy / spread if spread and math.isfinite(spread) else math.nan
        return max(-1.0, min(1.0, value)) if math.isfinite(value) else None


@dataclass(slots=True)
class Sums:
    """Of finite pairs; x is the reference, y the candidate, d = y - x.

    lengths: how many pairs are steps apart whose count has so many bits.
    """

    moments: Moments = field(default_factory=Moments)
    sum_x: float = 0.0
    sum_y: float = 0.0
    sum_abs_x: float = 0.0
    sum_abs_d: float = 0.0
    sum_dd: float = 0.0
    low_x: float = math.inf
    high_x: float = -math.inf
    low_y: float = math.inf
    high_y: float = -math.inf
    unequal: int = 0
    outliers: int = 0
    nonfinite_x: int = 0
    nonfinite_y: int = 0
    lengths: Tensor = field(default_factory=lambda: torch.zeros(65, dtype=torch.int64))

    @property
    def rmse(self) -> float | None:
        """The root of the mean of d^2; None without a pair."""
        return math.sqrt(self.sum_dd / self.moments.n) if self.moments.n else None

    @property
    def sum_ratio(self) -> float | None:
        """sum y / sum x; None where it does not exist."""
        return _ratio(self.sum_y, self.sum_x)

    @property
    def r(self) -> float | None:
        """sum |d| / sum |x|; None where it does not exist."""
        return _ratio(self.sum_abs_d, self.sum_abs_x)

    @property
    def high_ratio(self) -> float | None:
        """The largest y by the largest x; None where it does not exist."""
        return _ratio(self.high_y, self.high_x)

    @property
    def steps(self) -> list[tuple[int, int, int]]:
        """(lowest, highest, pairs) of 0, 1, 2-3, 4-7, ... steps, up to the last that holds a pair."""
        counts = self.lengths.tolist()
        last = max((at for at, count in enumerate(counts) if count), default=0)
        return [(2**at >> 1, max(2**at - 1, 0), counts[at]) for at in range(last + 1)]

    def span(self, low_x: float, high_x: float, low_y: float, high_y: float) -> None:
        self.low_x, self.high_x = min(self.low_x, low_x), max(self.high_x, high_x)
        self.low_y, self.high_y = min(self.low_y, low_y), max(self.high_y, high_y)

    def join(self, other: "Sums") -> None:
        self.moments.join(other.moments)
        self.span(other.low_x, other.high_x, other.low_y, other.high_y)
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def _ratio(a: float, b: float) -> float | None:
    return a / b if b and math.isfinite(a) and math.isfinite(b) else None


_ADDED = (
    "sum_x", "sum_y", "sum_abs_x", "sum_abs_d", "sum_dd",
    "unequal", "outliers", "nonfinite_x", "nonfinite_y", "lengths",
)  # fmt: skip
