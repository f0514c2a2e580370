"""Two images -> an ImageReport: one pass over both, in bounded memory.

The blocks and the order in which their sums are joined are fixed: the threads change the time and nothing else.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import torch

from nanobragg_torch.scan.cores import available_cores
from nanobragg_torch.scan.threads import keep_freed_memory
from tools.scaling.base.errors import BadInput
from tools.scaling.cases.case import Window
from tools.scaling.engine.blocks import BLOCK, BlockSweep, PixelBlock
from tools.scaling.engine.diff import ULP_MAX, diff, ulp_distance
from tools.scaling.engine.extremes import Extremes
from tools.scaling.engine.sums import Sums
from tools.scaling.engine.tolerances import FREE_STEPS
from tools.scaling.images.open import Image
from tools.scaling.images.peaks import find_again, offer_peaks
from tools.scaling.images.report import Bin, ImageReport, Limits, PixelPair, Side

BAND = 4  # blocks that a thread takes at a time
KEPT = 10  # peaks, worst and outlying pixels
CPU = torch.device("cpu")


def measure(
    reference: Image,
    candidate: Image,
    *,
    roi: Window | None = None,
    kept: int = KEPT,
    limits: Limits | None = None,
    device: torch.device = CPU,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImageReport:
    """Compare two images of one shape and type.

    roi: (slow_min, slow_max, fast_min, fast_max), inclusive. kept: how many peaks and worst pixels are listed.
    device: where the engine computes. threads: by default one per core that this process may use; another device than
    the CPU is driven by one. progress is called with (bands done, bands).
    Raises BadInput where shapes or types differ or the region is not on the image.
    """
    limits, region = limits or Limits(), _region(reference, candidate, roi)
    peaks = partial(offer_peaks, reference, region)
    sweep = BlockSweep(reference.dtype, tolerance=limits.tolerance, kept=kept, device=device, offer_peaks=peaks)
    bands, sums = list(_bands(region)), Sums()
    work = partial(_swept, sweep, (reference, candidate))
    keep_freed_memory()
    with ExitStack() as stack:
        if device.type == "cpu":
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            pool = ThreadPoolExecutor(threads or available_cores(), initializer=torch.set_num_threads, initargs=(1,))
            stack.callback(pool.shutdown, cancel_futures=True)
            parts = pool.map(work, bands)
        else:
            parts = map(work, bands)
        for done, part in enumerate(parts, start=1):
            sums.join(part)
            progress(done, len(bands))
    return _report(sweep, sums, (reference, candidate), region, limits)


def _swept(sweep: BlockSweep, images: tuple[Image, Image], band: list[PixelBlock]) -> Sums:
    """The sums of a band; then its pages are let go."""
    reference, candidate = images
    sums = sweep.band((block, reference.flat(block), candidate.flat(block)) for block in band)
    for image in images:
        width = image.shape[1]
        image.release(band[0].slow * width + band[0].fast, (band[-1].slow_end - 1) * width + band[-1].fast_end)
    return sums


def _region(reference: Image, candidate: Image, roi: Window | None) -> Window:
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


def _bands(region: Window) -> Iterator[list[PixelBlock]]:
    """The region in blocks of at most BLOCK pixels, BAND of them at a time."""
    slow_min, slow_max, fast_min, fast_max = region
    rows = max(1, BLOCK // (fast_max - fast_min + 1))
    band: list[PixelBlock] = []
    for slow in range(slow_min, slow_max + 1, rows):
        for fast in range(fast_min, fast_max + 1, BLOCK):
            band.append(PixelBlock(slow, min(slow + rows, slow_max + 1), fast, min(fast + BLOCK, fast_max + 1)))
            if len(band) == BAND:
                yield band
                band = []
    if band:
        yield band


def _report(sweep: BlockSweep, sums: Sums, images: tuple[Image, Image], region: Window, limits: Limits) -> ImageReport:
    reference, candidate = images
    farthest, relative, broken = (
        _pairs(each, images, sweep.device) for each in (sweep.farthest, sweep.relative, sweep.broken)
    )
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
        worst=(*broken, *farthest)[: sweep.farthest.size],
        outlying=tuple(pair for pair in relative if pair.rel > limits.tolerance and (pair.ulp or 0) > free),
        outliers=sums.outliers,
        histogram=tuple(Bin(*row) for row in sums.steps),
        rmse=sums.rmse,
        correlation=sums.moments.correlation,
        sum_ratio=sums.sum_ratio,
        r=sums.r,
        peak_ratio=sums.high_ratio,
        peaks=tuple(find_again(sweep.peaks.places, reference, candidate, region, limits.tolerance)),
        limits=limits,
    )


def _ends(low: float, high: float) -> tuple[float, float]:
    return (low, high) if low <= high else (math.nan, math.nan)


def _pairs(extremes: Extremes, images: tuple[Image, Image], device: torch.device) -> list[PixelPair]:
    """The pixels of a list, measured by the engine."""
    places = extremes.places
    if not places:
        return []
    x, y = (torch.cat([image.read(s, s + 1, f, f + 1)[0] for s, f in places]).to(device) for image in images)
    measured = diff(x, y)
    columns = (column.tolist() for column in (x.double(), y.double(), measured.abs, measured.rel, ulp_distance(x, y)))
    return [
        PixelPair(slow, fast, a, b, far, rel, None if steps == ULP_MAX else steps)
        for (slow, fast), a, b, far, rel, steps in zip(places, *columns)
    ]
