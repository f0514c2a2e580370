"""A part of the detector, or all of it: planned, simulated, compared with the reference's image. Prints nothing.

`find_region` and `plan_region` need no torch, so that a run can be refused before anything starts.
"""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nanobragg_torch.memory import Limit
from nanobragg_torch.scan.plan import MemoryPlan, gpu_free, plan, sizes
from tools.scaling.base.errors import BadInput, of_port
from tools.scaling.base.files import json_bytes, make_folder, refuse_foreign, write_all
from tools.scaling.base.repo import relative
from tools.scaling.bundle.layout import IMAGE, IMAGE_RECORD, IMAGES, PROVENANCE
from tools.scaling.cases.case import Case, Extent, Window, find_case
from tools.scaling.guard.limit import current_limit

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config, Roi
    from tools.scaling.images.report import ImageReport

AROUND = 50  # pixels on either side of the traced one, where a case names no window
KEPT = 2**20  # bytes; of a larger image a bundle keeps the digest alone


@dataclass(frozen=True)
class Region:
    """What is simulated: `config` renders `window` of the detector.

    reference: the image of this window that the case holds, or None.
    """

    case: Case
    extent: Extent
    config: "Config"
    window: Window
    reference: Path | None

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        slow_min, slow_max, fast_min, fast_max = self.window
        return slow_max - slow_min + 1, fast_max - fast_min + 1


def find_region(
    case_name: str,
    extent: Extent,
    *,
    pixel: tuple[int, int] | None = None,
    hkl: Path | None = None,
    mode: str | None = None,
) -> Region:
    """The region that `extent` means for a case. Raises BadInput.

    window: the case's own, that of its -roi, or what lies around the traced pixel (slow, fast). whole: the
    detector, whatever the case's window is. mode: the program that our port follows, where it is not the case's.
    """
    from nanobragg_torch.config import Roi

    case = find_case(case_name).with_hkl(hkl)
    config = case.config(*(("--mode", mode) if mode else ()))
    detector = config.detector
    own = case.window or _window(detector.rendered)
    if extent is Extent.whole:
        detector = replace(detector, roi=None)
    elif detector.roi is None:
        slow_min, slow_max, fast_min, fast_max = case.window or _around(case, pixel)
        detector = replace(detector, roi=Roi(fast_min, fast_max, slow_min, slow_max))
    window = _window(detector.rendered)
    if window[0] > window[1] or window[2] > window[3]:
        raise BadInput(f"{case_name}: expected a window on the detector, got {shown(window)}")
    reference = case.c_image if hkl is None and window == own else None
    return Region(case, extent, replace(config, detector=detector), window, reference)


def _window(roi: "Roi") -> Window:
    return roi.slow_min, roi.slow_max, roi.fast_min, roi.fast_max


def _around(case: Case, pixel: tuple[int, int] | None) -> Window:
    if pixel is None and not case.pixels:
        raise BadInput(f"{case.name}: names neither a window nor a traced pixel; expected --pixel SLOW FAST")
    slow, fast = pixel or case.pixels[0]
    return slow - AROUND, slow + AROUND - 1, fast - AROUND, fast + AROUND - 1


def shown(window: Window) -> str:
    """A window in words."""
    return "slow {}-{} fast {}-{}".format(*window)


def plan_region(
    region: Region,
    *,
    device: str,
    dtype: str,
    workers: int | None = None,
    there: Limit | None = None,
    memory_limit: int | None = None,
) -> MemoryPlan:
    """How the region is cut to fit `there`, or what there is now within `memory_limit` bytes.

    Raises MemoryStopped, with the numbers, if one row does not fit.
    """
    from nanobragg_torch.errors import NanoBraggError
    from nanobragg_torch.scan.cores import available_cores

    try:
        wanted = sizes(region.config, itemsize=8 if dtype == "float64" else 4)
        return plan(
            wanted,
            workers=workers or available_cores(),
            there=current_limit(memory_limit) if there is None else there,
            gpu=gpu_free(device),
        )
    except NanoBraggError as error:
        raise of_port(error) from error


def simulate_region(
    region: Region,
    out: Path,
    *,
    c: Path | None = None,
    device: str,
    dtype: str,
    block: int | None = None,
    threads: int | None = None,
    kernel: bool = True,
    command: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple["ImageReport | None", list[Path]]:
    """Simulate the region, compare it with `c` or the case's own image where there is one, write both into `out`.

    Writes, all of it or nothing: image.bin (float32, slow-major), image.json with its digest, and what the
    comparison writes. Where `out` lies in a bundle, which is committed, image.bin is left out if larger than KEPT.
    block, threads: as in `nanobragg_torch.scan.simulate`. kernel: False for the torch path alone.
    Returns the comparison and the files. Raises BadInput: nothing is simulated where the reference is no image of the
    region, or `out` holds the comparison of another image.
    """
    from tools.scaling.engine.diff import open_device
    from tools.scaling.images.compare import compare_opened, images_contents, images_marks
    from tools.scaling.images.open import in_memory, open_image

    place = open_device(device)
    image_c = c or region.reference
    reference = open_image(image_c, region.shape) if image_c else None
    if reference is None and (out / IMAGES).exists():
        raise BadInput(f"{out / IMAGES}: compares another image; expected a reference (--c) or another folder (--out)")
    refuse_foreign(images_marks(out) | {out / IMAGE_RECORD: b'"window_slow_fast"'})
    path = out / IMAGE
    if path.exists() and not (out / IMAGE_RECORD).exists():
        raise BadInput(f"{path}: not written by this tool, and would be overwritten; expected another --out")
    make_folder(out)
    values = _simulated(region, device, dtype, block, threads, kernel)
    kept = len(values) <= KEPT or not (out.parent / PROVENANCE).is_file()
    record = {
        "case": region.case.name,
        "extent": region.extent.value,
        "window_slow_fast": region.window,
        "shape_slow_fast": region.shape,
        "device": device,
        "dtype": dtype,
        "format": "float32, little-endian, slow-major",
        "sha256": hashlib.sha256(values).hexdigest(),
        "kept": kept,
        "reference": relative(image_c) if image_c else None,
    }
    contents = {path: values} if kept else {}
    contents[out / IMAGE_RECORD] = json_bytes(record)
    report = None
    if reference is not None:
        image = in_memory(_pixels(values, region.shape), str(path))
        origin = (region.window[0], region.window[2])
        report = compare_opened(reference, image, origin=origin, device=place, threads=threads, progress=progress)
        contents |= images_contents(report, reference, image, out, place, command)
    write_all(contents)
    return report, list(contents)


def _pixels(values: bytes, shape: tuple[int, int]) -> "Tensor":
    """The image that the bytes hold, (slow, fast), float32."""
    import torch

    with warnings.catch_warnings():  # torch warns that it could write to what is only read here
        warnings.simplefilter("ignore")
        return torch.frombuffer(values, dtype=torch.float32).view(shape)


def _simulated(region: Region, device: str, dtype: str, block: int | None, threads: int | None, kernel: bool) -> bytes:
    import torch

    from nanobragg_torch.errors import NanoBraggError
    from nanobragg_torch.scan.simulate import simulate

    try:
        with torch.no_grad():
            image = simulate(
                region.config,
                device=torch.device(device),
                dtype=getattr(torch, dtype),
                block=block,
                threads=threads,
                whole=False,
                kernel=None if kernel else False,
            )
    except NanoBraggError as error:
        raise of_port(error) from error
    return image.cpu().numpy().astype("<f4").tobytes()
