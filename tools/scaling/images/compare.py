"""Joins image files, the comparison of images and their rendering. Prints nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import json_bytes, make_folder, refuse_foreign, text_bytes, write_all
from tools.scaling.bundle.layout import IMAGES, TRIPTYCH
from tools.scaling.cases.case import Window

if TYPE_CHECKING:
    import torch

    from tools.scaling.images.open import Image
    from tools.scaling.images.report import ImageReport, Limits
    from tools.scaling.implementations.diagnosis import Diagnosis


def compare_image_files(
    c: Path,
    py: Path,
    *,
    shape: tuple[int, int] | None = None,
    origin: tuple[int, int] = (0, 0),
    roi: Window | None = None,
    kept: int = 10,
    tolerance: float | None = None,
    out: Path | None = None,
    command: str = "",
    device: str = "cpu",
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    diagnosed: "Callable[[Image], Diagnosis] | None" = None,
) -> "ImageReport":
    """Compare the image file `py` with `c`, the reference: raw float32 or float64, .npy or SMV.

    shape: (slow, fast); raw files need it. origin, roi: as in `compare_opened`. device: where the engine computes.
    out: a folder for images.md, images.json and the pictures. progress is called with (parts done, parts). diagnosed:
    called with the candidate where the two differ, says which known cause makes it.
    Raises BadInput (one line) for files that cannot be compared, Unavailable without the device.
    """
    from tools.scaling.engine.diff import open_device
    from tools.scaling.images.open import open_image
    from tools.scaling.images.report import Limits

    if kept < 1:
        raise BadInput(f"expected at least 1 peak and pixel to list, got {kept}")
    limits = Limits() if tolerance is None else Limits(tolerance=tolerance)
    if out is not None:
        refuse_foreign(images_marks(out))
    place = open_device(device)
    reference, candidate = open_image(c, shape), open_image(py, shape)
    report = compare_opened(
        reference, candidate, origin=origin, roi=roi, kept=kept, limits=limits, device=place, threads=threads,
        progress=progress,
    )  # fmt: skip
    if diagnosed is not None and (report.unequal or report.nonfinite):
        report = replace(report, diagnosis=diagnosed(candidate))
    if out is not None:
        make_folder(out)
        write_all(images_contents(report, reference, candidate, out, place, command))
    return report


def compare_opened(
    reference: "Image",
    candidate: "Image",
    *,
    origin: tuple[int, int] = (0, 0),
    roi: Window | None = None,
    kept: int = 10,
    limits: "Limits | None" = None,
    device: "torch.device | None" = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    names: tuple[str, str] | None = None,
) -> "ImageReport":
    """`measure`, and where the images differ, what kind of difference it is.

    origin: (slow, fast) on the detector of the images' first pixel. roi: (slow_min, slow_max, fast_min, fast_max) on
    the detector, inclusive. device: where the engine computes, by default on the CPU. names: of the two sides, where
    two programs made the images.
    """
    from tools.scaling.images.measure import CPU, measure

    device = device or CPU

    if roi is not None:
        roi = (roi[0] - origin[0], roi[1] - origin[0], roi[2] - origin[1], roi[3] - origin[1])
    report = measure(
        reference, candidate, roi=roi, kept=kept, limits=limits, device=device, threads=threads, progress=progress
    )
    report = replace(report.placed_at(origin), names=names or report.names)
    if report.unequal or report.nonfinite:
        from tools.scaling.images.kinds import kinds_of

        kinds = kinds_of(reference, candidate, report, device)
        report = replace(report, kinds=tuple(replace(kind, text=report.told(kind.text)) for kind in kinds))
    return report


def images_marks(out: Path) -> dict[Path, bytes]:
    """What tells our images.md and images.json in the folder `out` from others'."""
    return {out / "images.md": b"# Image comparison", out / IMAGES: b'"passed"'}


def images_contents(
    report: "ImageReport", reference: "Image", candidate: "Image", out: Path, device: "torch.device", command: str = ""
) -> dict[Path, bytes]:
    """images.md, images.json and three pictures of the compared images, as they will lie in the folder `out`."""
    from tools.scaling.images import pictures
    from tools.scaling.images.overview import overview
    from tools.scaling.images.text import images_markdown

    view = overview(reference, candidate, report, device)
    return {
        out / "images.md": text_bytes(images_markdown(report, command)),
        out / IMAGES: json_bytes(report.to_dict()),
        out / TRIPTYCH: pictures.triptych(report, view),
        out / "scatter.png": pictures.scatter(report, view),
        out / "ulp.png": pictures.ulp_histogram(report),
    }
