"""How far one image of a case is from another, as a verdict."""

from enum import StrEnum
from typing import TYPE_CHECKING

from tools.scaling.campaign.record import Status, Verdict
from tools.scaling.campaign.scene import Scene

if TYPE_CHECKING:
    from torch import Tensor

RELATIVE = 1e-12  # of a pixel: what the port promises
SINGLE = 2.0**-23  # of a pixel: one step of float32
TINY = 2.0**-1022  # numbers below it count as 0 in the compiled kernel
SHARE = 1e-14  # of the brightest pixel: what is left where the terms of a pixel cancel
LOOKED_AT = 20  # pixels beyond both that the oracle is asked about, the farthest first


def unasked(check: str, why: str) -> Verdict:
    """The check says nothing of this case, because of `why`."""
    return Verdict(check, Status.unasked, why)


class Within(StrEnum):
    """How near two images have to be.

    bits: the same to the bit. rounding: each pixel within RELATIVE, or SHARE of the brightest, or what rounding can
    leave of it (the oracle's bound). single: the same where the reference is known to float32 only.
    """

    bits = "bits"
    rounding = "rounding"
    single = "single"


def compared(
    check: str,
    scene: Scene,
    reference: "Tensor",
    candidate: "Tensor",
    names: tuple[str, str],
    within: Within = Within.rounding,
) -> Verdict:
    """The verdict on two images (slow, fast) of the region of interest of `scene`. NaN equals NaN.

    names: what the images are, in words, reference first.
    """
    from tools.scaling.engine.diff import diff

    ours, known = candidate.double().cpu(), reference.double().cpu()
    if ours.shape != known.shape:
        says = f"{names[1]} has {tuple(ours.shape)} pixels, {names[0]} {tuple(known.shape)}"
        return Verdict(check, Status.differs, says)
    if known.numel() == 0:
        return Verdict(check, Status.ok)
    both = known.isnan() & ours.isnan()
    ours, known = ours.masked_fill(both, 0.0), known.masked_fill(both, 0.0)
    ours = ours.float().double() if within is Within.single else ours
    measured = diff(known, ours)
    off = measured.ulp > 0
    if within is not Within.bits:
        finite = known[known.isfinite()].abs()
        brightest = float(finite.max()) if finite.numel() else 0.0
        step = SINGLE if within is Within.single else RELATIVE
        off = off & ~(measured.abs <= (step * known.abs()).clamp(min=max(SHARE * brightest, TINY)))
        off = _beyond_rounding(scene, off, measured.rel, measured.abs)
    if not bool(off.any()):
        return Verdict(check, Status.ok, worst=measured.max_rel, ulps=measured.max_ulp)
    order = measured.rel.masked_fill(~off, -1.0).nan_to_num(nan=float("inf")).flatten()
    at = divmod(int(order.argmax()), known.shape[1])
    slow, fast = pixel = scene.on_detector(at)
    says = (
        f"{int(off.sum())} of {known.numel()} pixels differ, the most at {slow} {fast}: "
        f"{names[0]} {float(known[at]):.17g}, {names[1]} {float(ours[at]):.17g}"
    )
    return Verdict(check, Status.differs, says, pixel, worst=float(measured.rel[at]), ulps=int(measured.ulp[at]))


def _beyond_rounding(scene: Scene, off: "Tensor", rel: "Tensor", distance: "Tensor") -> "Tensor":
    """`off` without the pixels in which the oracle says that rounding can move the value as far.

    Where it says so of the LOOKED_AT farthest ones, it counts for the nearer ones, too.
    """
    from tools.scaling.oracle.uncovered import Uncovered

    kept = off.clone()
    order = rel.masked_fill(~off, -1.0).flatten().argsort(descending=True)
    for index in order[: min(LOOKED_AT, int(off.sum()))].tolist():
        at = divmod(index, off.shape[1])
        try:
            bound = scene.oracle.one(*scene.on_detector(at)).bound
        except Uncovered:
            break
        kept[at] = not float(distance[at]) <= bound
    else:
        asked = off.flatten()[order[:LOOKED_AT]].sum()
        return kept & False if int(kept.sum()) == int(off.sum() - asked) else kept
    return kept
