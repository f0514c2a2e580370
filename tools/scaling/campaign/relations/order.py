"""Which pixels are computed, in which order and in how many pieces changes no bit of any pixel."""

import random
from typing import TYPE_CHECKING

from tools.scaling.campaign.relations.pair import DoesNotHold, Images, changed, part_of, relation, within
from tools.scaling.campaign.scene import Scene

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.scan.experiment import Experiment
    from nanobragg_torch.scan.summation import Run

PIECES = 7  # most pieces that an image is cut into


def _pixel_at(exp: "Experiment", rank: int) -> tuple[int, int]:
    """(slow, fast) of a rendered pixel, by its rank in scan order."""
    fast, slow = exp.pixel_indices(rank, rank + 1)
    return int(slow), int(fast)


def _marks(run: "Run") -> tuple[tuple[int, int] | None, tuple[tuple[int, int], int] | None]:
    """The pixel of the first evaluation where it is unlike the others (Q29), and the pixel in which tricubic
    interpolation ends for good with the term of it (Q25)."""
    exp = run.exp
    first = None if run.first is None else _pixel_at(exp, run.first[0])
    if run.tricubic_end is None:
        return first, None
    rank, term = divmod(run.tricubic_end, exp.n_orientations * exp.n_sources * exp.n_subpixels)
    return first, (_pixel_at(exp, rank), term) if rank < exp.n_pixels else None


def _in_other_state(whole: "Experiment", part: "Experiment", image: "Tensor") -> "Tensor | None":
    """Pixels of `image`, the region of `part`, that the scan reaches in another state than in `whole`.

    These are the pixel of the first evaluation of either, which finds an orientation that none has left (Q29), and what
    lies between the ends of the interpolation (Q25). None where there is no state.
    """
    import torch

    from nanobragg_torch.scan.simulate import start

    endless = not (whole.interpolate and whole.config.quirks.on("Q25"))
    if endless and not whole.first_differs:
        return None
    marks = [_marks(start(exp)) for exp in (whole, part)]
    roi = part.config.detector.rendered
    slow = torch.arange(image.shape[0]).unsqueeze(1) + roi.slow_min
    fast = torch.arange(image.shape[1]) + roi.fast_min
    other = torch.zeros(image.shape, dtype=torch.bool)
    for first, _ in marks:
        if first is not None:
            other |= (slow == first[0]) & (fast == first[1])
    ends = [end for _, end in marks]
    if ends[0] != ends[1]:
        known = [end[0] for end in ends if end is not None]
        order, columns = slow * 2**31 + fast, 2**31
        low = min(s * columns + f for s, f in known)
        high = max(s * columns + f for s, f in known) if len(known) == 2 else 2**62
        other |= (order >= low) & (order <= high)
    return other


@relation(12)
def cut_by_roi(scene: Scene, dice: random.Random) -> Images:
    """An image cut by -roi is the whole image cut."""
    roi = part_of(scene, dice, edge=dice.choice((1, 3, 9)))
    exp = scene.prepared(changed(scene.config, detector={"roi": roi}))
    kernel = dice.random() < 0.5
    whole, cut = (scene.compiled if kernel else scene.definition), scene.render(exp, kernel=kernel)
    skipped = _in_other_state(scene.exp, exp, cut)
    return Images(("the whole image", "that of -roi"), within(scene, whole, roi), cut, roi, skipped=skipped)


@relation(16)
def masked(scene: Scene, dice: random.Random) -> Images:
    """A mask leaves out pixels and changes no other; one of ones changes none."""
    import numpy as np
    import torch

    detector = scene.config.detector
    kept = np.random.default_rng(dice.getrandbits(32)).random((detector.pixels_slow, detector.pixels_fast))
    mask = kept >= dice.choice((0.0, 0.3))
    there = np.ones_like(mask) if detector.mask is None else detector.mask
    exp = scene.prepared(changed(scene.config, detector={"mask": mask & there}))
    image, roi = scene.render(exp), scene.roi
    window = torch.from_numpy(mask[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1])
    known = torch.where(window, scene.definition, 0.0)
    skipped = _in_other_state(scene.exp, exp, image)
    return Images(("the image", "that with a mask"), known, image, skipped=skipped)


@relation(16)
def blocks(scene: Scene, dice: random.Random) -> Images:
    """The size of the blocks and the number of threads of the torch path change no bit."""
    exp = scene.exp
    terms = exp.n_pixels * exp.n_orientations * exp.n_sources * exp.n_subpixels
    image = scene.render(exp, block=terms // dice.randint(2, PIECES) + 1, threads=dice.randint(1, 3))
    return Images(("the image in one block", "that in several"), scene.definition, image)


@relation(8)
def kernel_blocks(scene: Scene, dice: random.Random) -> Images:
    """The size of the blocks and the number of threads of the compiled kernel change no bit."""
    import torch

    from nanobragg_torch.scan import fused
    from nanobragg_torch.scan.simulate import start
    from nanobragg_torch.scan.summation import Pixels, pixel_ranges, pixel_values
    from nanobragg_torch.scan.threads import in_parallel

    exp = scene.exp
    if exp.rendered is not None or exp.n_pixels == 0:
        raise DoesNotHold("no pixel is rendered, or not all are")
    with torch.no_grad():
        run = start(exp, kernel=True)
        if (kernel := fused.kernel(run)) is None:
            raise DoesNotHold("the kernel does not serve this case")
        values = exp.cells.new_empty(exp.n_pixels)

        def work(pixels: Pixels) -> None:
            if pixels.first is None:
                kernel(pixels, values[pixels.start : pixels.stop])
            else:
                values[pixels.start : pixels.stop] = pixel_values(run, pixels)

        size = exp.n_pixels // dice.randint(2, PIECES) + 1
        in_parallel(pixel_ranges(run, size), lambda: work, dice.randint(1, 3))
    return Images(
        ("the kernel's image in one block", "that in several"), scene.compiled, values.view_as(scene.compiled)
    )


@relation(8)
def chosen_pixels(scene: Scene, dice: random.Random) -> Images:
    """Pixels asked for alone have every bit that they have in the image."""
    import torch

    from nanobragg_torch.scan.chosen import choose
    from nanobragg_torch.scan.simulate import render_pixels, start

    exp = scene.exp
    if exp.n_pixels == 0:
        raise DoesNotHold("no pixel is rendered")
    ranks = [dice.randrange(exp.n_pixels) for _ in range(5)]
    slow, fast = torch.tensor([_pixel_at(exp, rank) for rank in ranks]).unbind(1)
    with torch.no_grad():
        some, places = choose(start(exp, kernel=False), slow, fast)
        values = render_pixels(some, 1)[places]
    image = scene.definition.clone()
    image[slow - scene.roi.slow_min, fast - scene.roi.fast_min] = values
    return Images(("the image", "pixels asked for alone"), scene.definition, image)
