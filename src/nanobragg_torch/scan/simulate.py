"""The image: blocks of pixels, shared out to threads, and what the order of evaluations decides of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.io.load import loaded
from nanobragg_torch.physics import structure_factor
from nanobragg_torch.scan import evaluate, fused
from nanobragg_torch.scan.cores import available_cores
from nanobragg_torch.scan.experiment import Experiment, prepare
from nanobragg_torch.scan.recompute import needs_gradient, rendered_again
from nanobragg_torch.scan.summation import (
    Pixels,
    Run,
    counted,
    empty_sums,
    orientation_block,
    pixel_ranges,
    pixel_values,
    scan_order,
    scattered_blocks,
    term_blocks,
)
from nanobragg_torch.scan.threads import in_parallel

BLOCK = 2**17  # terms x pixels held at a time: so few operations that threads seldom wait for Python's lock
FEWEST = 2**12  # pixels of a block, whatever the sources: fewer cost more operations, not less work
BYTES_PER_TERM = 1024  # on a GPU, generously


def simulate(
    config: Config,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    block: int | None = None,
    threads: int | None = None,
    whole: bool = True,
    kernel: bool | None = None,
) -> Tensor:
    """The float image of `config`: (slow, fast) of the whole detector, 0 outside the region of interest.

    whole: False for the image of the region of interest alone, in memory of its size.
    block: most terms x pixels that a thread evaluates at a time; it bounds the memory. threads: on the CPU, as
    many as there are cores where None. Neither changes a bit of the result. kernel: as in `Run`.
    Raises InputError from the readers. Source: semantics 6.
    """
    if min(1 if block is None else block, 1 if threads is None else threads) < 1:
        raise ValueError(f"expected block and threads of at least 1, got {block} and {threads}")
    run = start(prepare(loaded(config), device=device, dtype=dtype), block, kernel=kernel)
    return render_image(run, threads) if whole else render_window(run, threads)


def render_image(run: Run, threads: int | None = None, rendered: Callable[[int], None] = lambda pixels: None) -> Tensor:
    """The float image of a run: (slow, fast) of the whole detector. The rest as in `render_window`."""
    window, detector = render_window(run, threads, rendered), run.exp.config.detector
    shape, roi = (detector.pixels_slow, detector.pixels_fast), detector.rendered
    if window.shape == shape:
        return window
    image = window.new_zeros(shape)
    if window.numel():
        image[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1] = window
    return image


def render_window(
    run: Run,
    threads: int | None = None,
    rendered: Callable[[int], None] = lambda pixels: None,
    angles: list[float] | None = None,
) -> Tensor:
    """The region of interest (slow, fast) of the float image, 0 where a mask is. The rest as in `render_pixels`."""
    exp, roi = run.exp, run.exp.config.detector.rendered
    shape = max(roi.slow_max - roi.slow_min + 1, 0), max(roi.fast_max - roi.fast_min + 1, 0)
    values = render_pixels(run, threads, rendered, angles)
    if exp.rendered is not None:
        values = values.new_zeros(shape[0] * shape[1]).index_put((exp.rendered,), values)
    return values.view(shape)


def render_pixels(
    run: Run,
    threads: int | None = None,
    rendered: Callable[[int], None] = lambda pixels: None,
    angles: list[float] | None = None,
) -> Tensor:
    """I_pixel_final of the rendered pixels (pixels,), in scan order. threads: as in `simulate`.

    rendered: called from any thread with the number of pixels that have just been rendered. angles: where given, the
    sum of the solid angles of all their evaluations (sr) is put there, each time.
    """
    exp, like = run.exp, run.exp.cells
    workers = (threads or available_cores()) if like.device.type == "cpu" else 0
    if torch.is_grad_enabled() and needs_gradient(run):
        return rendered_again(run, workers, lambda still: render_pixels(still, threads, rendered))
    values = like.new_empty(exp.n_pixels)
    if exp.n_pixels == 0:
        return values
    kernel = fused.kernel(run)

    def work(pixels: Pixels) -> None:
        if kernel is None or pixels.first is not None:
            values[pixels.start : pixels.stop] = pixel_values(run, pixels)
            if angles is not None:
                angles.append(evaluate.total_solid_angle(exp, pixels.start, pixels.stop))
        else:
            angle = kernel(pixels, values[pixels.start : pixels.stop])
            if angles is not None:
                angles.append(angle)
        rendered(pixels.stop - pixels.start)

    blocks = pixel_blocks(run) if kernel is None else pixel_ranges(run, fused.block_size(exp))
    in_parallel(blocks, lambda: work, workers)
    return values.add_(0.0)  # a pixel starts at 0, to which -0 adds nothing


def default_block(device: torch.device) -> int:
    """What threads work at well, or on a GPU what its memory holds."""
    if device.type != "cuda":
        return BLOCK
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for later
    return max((free + kept) // BYTES_PER_TERM, BLOCK)


@torch.no_grad()
def start(exp: Experiment, block: int | None = None, *, kernel: bool | None = None) -> Run:
    """Find out what depends on the order of evaluations over the whole image. kernel: as in `Run`."""
    block = default_block(exp.cells.device) if block is None else block
    first = _first_evaluation(exp, block) if exp.first_differs else None
    run = Run(exp, block, first, exp.interpolate, kernel=kernel)
    if not run.tricubic or not exp.config.quirks.on("Q25"):
        return run
    return replace(run, tricubic_end=_tricubic_end(run))


def pixel_blocks(run: Run) -> Iterator[Pixels]:
    """All rendered pixels in scan order; the one with the run's first evaluation comes alone."""
    return pixel_ranges(run, max(run.block // run.exp.n_sources, min(run.block, FEWEST), 1))


def _first_evaluation(exp: Experiment, block: int) -> tuple[int, int] | None:
    """(pixel, evaluation) of the first evaluation that dmin leaves (semantics 3.5)."""
    if exp.n_pixels == 0:
        return None
    if exp.config.dmin_m <= 0:
        return 0, 0
    run = Run(exp, block, None, False)
    for pixels in pixel_blocks(run):
        fast, slow = exp.pixel_indices(pixels.start, pixels.stop)
        earliest: tuple[int, int] | None = None
        for first, _, scattered in scattered_blocks(run, empty_sums(exp, fast.shape[0]), fast, slow):
            if scattered.alive is None or not bool(scattered.alive.any()):
                continue
            alive = scattered.alive.flatten(0, 1)
            pixel = int(alive.any(0).int().argmax())
            if earliest is None or pixel < earliest[0]:  # an earlier sub-pixel wins at the same pixel
                earliest = (pixel, first + int(alive[:, pixel].int().argmax()))
        if earliest is not None:
            return pixels.start + earliest[0], earliest[1]
    return None


def _tricubic_end(run: Run) -> int | None:
    """Scan order of the first term that lacks neighbours: from it on, F is that of the nearest (Q25)."""
    exp, search = run.exp, fused.search(run)
    for pixels in pixel_blocks(run) if search is None else pixel_ranges(run, fused.block_size(exp)):
        if search is not None and pixels.first is None:
            found = search(pixels)
            if found is not None:
                return found
            continue
        fast, slow = exp.pixel_indices(pixels.start, pixels.stop)
        ends = []
        for first, _, scattered in scattered_blocks(run, empty_sums(exp, fast.shape[0]), fast, slow):
            q = scattered.q.flatten(0, 1)
            alive = None if scattered.alive is None else scattered.alive.flatten(0, 1)
            for low, high, begin, end in term_blocks(run, q.shape[0], q.shape[1]):
                axes = orientation_block(run, pixels, first, low, high, begin, end)
                terms = evaluate.lattice_terms(exp, q[low:high].unsqueeze(1), axes)
                lacking = structure_factor.outside_window(exp.grid, *terms.hkl) & counted(
                    exp, terms.F_latt, None if alive is None else alive[low:high]
                )
                if bool(lacking.any()):
                    order = scan_order(run, pixels, first + low, begin, terms.F_latt)
                    ends.append(int(order[lacking].min()))
        if ends:
            return min(ends)
    return None
