"""Two images -> an ImageReport: one pass over both, in bounded memory.

The blocks and the order in which their sums are joined are fixed: the threads change the time and nothing else.
"""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from nanobragg_torch.scan.threads import keep_freed_memory
from tools.scaling.base.errors import BadInput
from tools.scaling.engine.diff import ULP_MAX, diff, ulp_distance
from tools.scaling.engine.tolerances import FREE_STEPS
from tools.scaling.images.open import Image
from tools.scaling.images.peaks import Region, Top, find_again
from tools.scaling.images.report import Bin, ImageReport, Limits, PixelPair, Side
from tools.scaling.images.sums import Sums
from tools.scaling.images.sweep import BLOCK, Block, Pass

BAND = 4  # blocks that a thread takes at a time
KEPT = 10  # peaks, worst and outlying pixels


def measure(
    reference: Image,
    candidate: Image,
    *,
    roi: Region | None = None,
    kept: int = KEPT,
    limits: Limits | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImageReport:
    """Compare two images of one shape and type.

    roi: (slow_min, slow_max, fast_min, fast_max), inclusive. kept: how many peaks and worst pixels are listed.
    threads: by default one per core that this process may use. progress is called with (bands done, bands).
    Raises BadInput where shapes or types differ or the region is not on the image.
    """
    limits = limits or Limits()
    work = Pass(reference, candidate, _region(reference, candidate, roi), limits, kept)
    bands, sums, before = list(_bands(work.region)), Sums(), torch.get_num_threads()
    keep_freed_memory()
    pool = ThreadPoolExecutor(threads or _cores(), initializer=torch.set_num_threads, initargs=(1,))
    try:
        for done, part in enumerate(pool.map(work.band, bands), start=1):
            sums.join(part)
            progress(done, len(bands))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
    return _report(work, sums, limits)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _region(reference: Image, candidate: Image, roi: Region | None) -> Region:
    for name in ("shape", "dtype"):
        a, b = getattr(reference, name), getattr(candidate, name)
        if a != b:
            turned = ": slow and fast are exchanged" if name == "shape" and a == b[::-1] else ""
            raise BadInput(f"{candidate.name}: expected the {name} of {reference.name}, {a}, got {b}{turned}")
    slow, fast = reference.shape
    region = roi or (0, slow - 1, 0, fast - 1)
    if not (0 <= region[0] <= region[1] < slow and 0 <= region[2] <= region[3] < fast):
        raise BadInput(f"expected a region (slow min max, fast min max) on {slow} x {fast} pixels, got {region}")
    return region


def _bands(region: Region) -> Iterator[list[Block]]:
    """The region in blocks of at most BLOCK pixels, BAND of them at a time."""
    slow_min, slow_max, fast_min, fast_max = region
    rows = max(1, BLOCK // (fast_max - fast_min + 1))
    band: list[Block] = []
    for slow in range(slow_min, slow_max + 1, rows):
        for fast in range(fast_min, fast_max + 1, BLOCK):
            band.append(Block(slow, min(slow + rows, slow_max + 1), fast, min(fast + BLOCK, fast_max + 1)))
            if len(band) == BAND:
                yield band
                band = []
    if band:
        yield band


def _report(work: Pass, sums: Sums, limits: Limits) -> ImageReport:
    reference, candidate, region, n = work.reference, work.candidate, work.region, sums.moments.n
    farthest, relative, broken = (_pairs(top, work) for top in (work.farthest, work.relative, work.broken))
    free = FREE_STEPS.get(reference.dtype, 0)
    return ImageReport(
        reference=Side(reference.name, reference.dtype, *_ends(sums.low_x, sums.high_x), sums.sum_x, sums.nonfinite_x),
        candidate=Side(candidate.name, candidate.dtype, *_ends(sums.low_y, sums.high_y), sums.sum_y, sums.nonfinite_y),
        shape=reference.shape,
        roi=region,
        pixels=(region[1] - region[0] + 1) * (region[3] - region[2] + 1),
        unequal=sums.unequal,
        max_abs=farthest[0] if farthest else None,
        max_rel=relative[0] if relative else None,
        worst=(*broken, *farthest)[: work.farthest.size],
        outlying=tuple(pair for pair in relative if pair.rel > limits.tolerance and (pair.ulp or 0) > free),
        outliers=sums.outliers,
        histogram=_bins(sums.lengths),
        rmse=math.sqrt(sums.sum_dd / n) if n else None,
        correlation=sums.moments.correlation,
        sum_ratio=_ratio(sums.sum_y, sums.sum_x),
        r=_ratio(sums.sum_abs_d, sums.sum_abs_x),
        peak_ratio=_ratio(sums.high_y, sums.high_x),
        peaks=tuple(find_again(work.peaks.places, reference, candidate, region)),
        limits=limits,
    )


def _ends(low: float, high: float) -> tuple[float, float]:
    return (low, high) if low <= high else (math.nan, math.nan)


def _pairs(top: Top, work: Pass) -> list[PixelPair]:
    """The pixels of a list, measured by the engine."""
    if not top.places:
        return []
    slow, fast = torch.tensor(top.places).unbind(dim=1)
    x, y = (
        torch.cat([image.read(s, s + 1, f, f + 1)[0] for s, f in top.places])
        for image in (work.reference, work.candidate)
    )
    found = diff(x, y)
    columns = [c.tolist() for c in (slow, fast, x.double(), y.double(), found.abs, found.rel, ulp_distance(x, y))]
    return [PixelPair(s, f, a, b, far, rel, None if k == ULP_MAX else k) for s, f, a, b, far, rel, k in zip(*columns)]


def _bins(lengths: Tensor) -> tuple[Bin, ...]:
    """0, 1, 2-3, 4-7, ... up to the last that holds a pixel."""
    counts = lengths.tolist()
    last = max((at for at, count in enumerate(counts) if count), default=0)
    return tuple(Bin(2**at >> 1, max(2**at - 1, 0), counts[at]) for at in range(last + 1))


def _ratio(a: float, b: float) -> float | None:
    return a / b if b and math.isfinite(a) and math.isfinite(b) else None
