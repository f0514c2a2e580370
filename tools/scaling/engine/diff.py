"""The one diff engine: two tensors in, their distances and the worst place out.

Everything is float64: inputs are widened before they are subtracted. Files, names and tolerances
are the callers' business; so is a tensor of any shape, a scalar or a whole image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tools.scaling.base.errors import BadInput, Unavailable

ULP_MAX = torch.iinfo(torch.int64).max  # also the distance of a NaN from anything


@dataclass(frozen=True)
class Diff:
    """Elementwise distances, each of the inputs' common shape, and figures over all elements.

    delta      candidate - reference, float64; 0 between equal infinities
    abs        |delta|; NaN where either is NaN
    rel        abs/|reference|; 0 where both are equal, inf where only the reference is 0
    rel_norm   abs/norm by the same rules; rel itself where no norm was given
    ulp        int64, the count of float64 steps between the two, at most ULP_MAX; -0 is 0
    nonfinite  bool, either one is NaN or infinite
    worst      index of the largest rel_norm, NaN above all; None where there are no elements
    """

    delta: Tensor
    abs: Tensor
    rel: Tensor
    rel_norm: Tensor
    ulp: Tensor
    nonfinite: Tensor
    worst: tuple[int, ...] | None
    max_abs: float
    max_rel: float
    max_ulp: int
    unequal: int
    count_nonfinite: int


def open_device(name: str) -> torch.device:
    """The device `name`, tried with a float64.

    Raises BadInput for a name that torch does not know, Unavailable for a device that is not there
    or has no float64.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"--device {name}: expected a device that torch knows, such as cpu or cuda") from error
    try:
        torch.ones(1, dtype=torch.float64, device=device).tolist()
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0]
        raise Unavailable(f"--device {name}: not usable for float64 on this machine: {reason}") from error
    return device


def diff(reference: Tensor, candidate: Tensor, *, norm: Tensor | None = None) -> Diff:
    """Distances of `candidate` from `reference`, two real tensors of one shape on one device.

    `norm`, of a shape that broadcasts to theirs, replaces |reference| in rel_norm: the length of
    the vector that an element belongs to. Raises BadInput where shape or device differ, Unavailable
    where the device has no float64.
    """
    if reference.shape != candidate.shape or reference.device != candidate.device:
        raise BadInput(
            f"expected a tensor of shape {tuple(reference.shape)} on {reference.device}, "
            f"got {tuple(candidate.shape)} on {candidate.device}"
        )
    ref, new = _widen(reference), _widen(candidate)
    equal = ref == new
    nonfinite = ~(torch.isfinite(ref) & torch.isfinite(new))
    delta = (new - ref).masked_fill_(equal, 0.0)
    distance = delta.abs()
    rel = _relative(distance, ref.abs(), equal)
    rel_norm = rel if norm is None else _relative(distance, _widen(norm).abs(), equal)
    ulp = ulp_distance(ref, new)
    empty = ref.numel() == 0
    return Diff(
        delta=delta,
        abs=distance,
        rel=rel,
        rel_norm=rel_norm,
        ulp=ulp,
        nonfinite=nonfinite,
        worst=None if empty else _worst(rel_norm),
        max_abs=0.0 if empty else distance.max().item(),
        max_rel=0.0 if empty else rel_norm.max().item(),
        max_ulp=0 if empty else int(ulp.max().item()),
        unequal=ref.numel() - int(equal.sum().item()),
        count_nonfinite=int(nonfinite.sum().item()),
    )


def _widen(x: Tensor) -> Tensor:
    try:
        return x.detach().to(torch.float64)
    except (TypeError, RuntimeError) as error:
        raise Unavailable(f"device {x.device}: the comparison needs float64, which it lacks") from error


def _relative(distance: Tensor, norm: Tensor, equal: Tensor) -> Tensor:
    """distance/norm; x/0 is inf by IEEE rules and 0/0 of equal elements is mended to 0."""
    return (distance / norm).masked_fill_(equal, 0.0)


def ulp_distance(reference: Tensor, candidate: Tensor) -> Tensor:
    """Steps between two tensors of one type, float32, float64 or integers, in that type: int64, at most ULP_MAX.

    -0 is 0, and a NaN is ULP_MAX from anything. Bits ordered as integers are monotone once negatives are mirrored.
    A step of integers (below 2^62) is 1.
    """
    if not reference.is_floating_point():
        return (candidate.long() - reference.long()).abs_()
    a, b = _ordered(reference), _ordered(candidate)
    distance = (a - b).abs_()
    # Opposite signs can be 1.8e19 float64 steps apart, twice what int64 holds: the sum of magnitudes then wraps.
    apart = (a < 0) != (b < 0)
    distance = torch.where(apart, a.abs_() + b.abs_(), distance)
    return distance.masked_fill_((distance < 0) | reference.isnan() | candidate.isnan(), ULP_MAX)


def _ordered(x: Tensor) -> Tensor:
    whole = torch.int32 if x.dtype == torch.float32 else torch.int64
    bits = x.contiguous().view(whole).to(torch.int64)
    return torch.where(bits < 0, torch.iinfo(whole).min - bits, bits)


def _worst(rel: Tensor) -> tuple[int, ...]:
    flat = int(torch.argmax(rel.nan_to_num(nan=torch.inf, posinf=torch.finfo(rel.dtype).max)).item())
    index: list[int] = []
    for size in reversed(rel.shape):
        flat, place = divmod(flat, size)
        index.append(place)
    return tuple(reversed(index))
