"""How a whole image, or a sample of its pixels, is related to another: beyond rounding, moved, made by a factor."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tools.scaling.engine.diff import ulp_distance
from tools.scaling.engine.tolerances import LARGEST_STEP, LEAST_NORMAL

_TINY = LEAST_NORMAL["float64"]


@dataclass(frozen=True)
class Fit:
    """y = factor x + offset, in its median or its least squares. name: scale, offset, or scale and offset."""

    name: str
    factor: float
    offset: float

    def share(self, x: Tensor, y: Tensor, tolerance: float, counts: bool) -> float:
        """The share of the pixels that it accounts for within a relative tolerance; `counts` are rounded besides."""
        room = tolerance * (x.abs() * abs(self.factor)).clamp_min(abs(self.offset)) + (1.0 if counts else 0.0)
        return float(((y - (self.factor * x + self.offset)).abs() <= room + _TINY).double().mean())


def beyond(x: Tensor, y: Tensor, tolerance: float, free_steps: int) -> Tensor:
    """Where y is not x within the limits, as bools; what is not finite is so where it is not the same."""
    a, b = x.double(), y.double()
    size = a.abs()
    far = (b - a).abs() > tolerance * size.clamp_min(_TINY)
    name = str(x.dtype).removeprefix("torch.")
    # Of a normal number, what is relatively so far is more steps off: a step is at most twice LARGEST_STEP of it.
    wide = free_steps == 0 or tolerance >= 2.0 * (free_steps + 1) * LARGEST_STEP[name]
    if not wide or (free_steps and (far & (size < LEAST_NORMAL[name])).any()):
        far &= ulp_distance(x, y) > free_steps
    far |= ~(a.isfinite() & b.isfinite())
    return far & ~((a == b) | (a.isnan() & b.isnan()))


def line_sums(part: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of each row and of each column, on the CPU: float64 of finite values, int64 of bools."""
    if part.dtype != torch.bool:
        part = part.double().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    return part.sum(dim=1).cpu(), part.sum(dim=0).cpu()


def lag(x: Tensor, y: Tensor) -> int:
    """How far the series y has moved against x: where their correlation is largest."""
    n = 2 * len(x)
    spectrum = torch.fft.rfft(y - y.mean(), n) * torch.fft.rfft(x - x.mean(), n).conj()
    at = int(torch.fft.irfft(spectrum, n).argmax())
    return at - n if at >= len(x) else at


def fits(x: Tensor, y: Tensor) -> Iterator[Fit]:
    """What y may be made of x by, the simplest first; both float64, of at least two values."""
    lit = x != 0.0
    if lit.any():
        yield Fit("scale", float((y[lit] / x[lit]).median()), 0.0)
    yield Fit("offset", 1.0, float((y - x).median()))
    spread = x - x.mean()
    if float(spread.abs().max()) > 0.0:
        factor = float((spread * (y - y.mean())).sum() / (spread * spread).sum())
        yield Fit("scale and offset", factor, float((y - factor * x).median()))
