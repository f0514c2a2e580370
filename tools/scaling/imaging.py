"""Joins image files, the comparison of images and their rendering. Prints nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.errors import BadInput
from tools.scaling.files import json_bytes, make_folder, text_bytes, write_all

if TYPE_CHECKING:
    from tools.scaling.parity.image_report import ImageReport

Region = tuple[int, int, int, int]


def compare_image_files(
    c: Path,
    py: Path,
    *,
    shape: tuple[int, int] | None = None,
    roi: Region | None = None,
    kept: int = 10,
    tolerance: float | None = None,
    out: Path | None = None,
    command: str = "",
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> "ImageReport":
    """Compare the image file `py` with `c`, the reference: raw float32 or float64, .npy or SMV.

    shape: (slow, fast); raw files need it. roi: (slow_min, slow_max, fast_min, fast_max), inclusive.
    out: a folder for images.md, images.json and the pictures. progress is called with (parts done, parts).
    Raises BadInput (one line) for files that cannot be compared.
    """
    from tools.scaling.parity.image_files import open_image
    from tools.scaling.parity.image_report import Limits
    from tools.scaling.parity.image_stats import measure

    if tolerance is not None and not 0.0 <= tolerance < 1.0:
        raise BadInput(f"expected a tolerance of at least 0 and below 1, got {tolerance}")
    if kept < 1:
        raise BadInput(f"expected at least 1 peak and pixel to list, got {kept}")
    limits = Limits() if tolerance is None else Limits(tolerance=tolerance)
    reference, candidate = open_image(c, shape), open_image(py, shape)
    report = measure(reference, candidate, roi=roi, kept=kept, limits=limits, threads=threads, progress=progress)
    if out is not None:
        write_images(report, c, py, out, command)
    return report


def write_images(report: "ImageReport", c: Path, py: Path, out: Path, command: str = "") -> list[Path]:
    """images.md, images.json and three pictures of the compared files in `out`. Returns their paths."""
    from tools.scaling.parity.image_files import open_image
    from tools.scaling.parity.image_views import overview
    from tools.scaling.render import pictures
    from tools.scaling.render.images import images_markdown

    make_folder(out)
    view = overview(open_image(c, report.shape), open_image(py, report.shape), report)
    contents = {
        out / "images.md": text_bytes(images_markdown(report, command)),
        out / "images.json": json_bytes(report.to_dict()),
        out / "triptych.png": pictures.triptych(report, view),
        out / "scatter.png": pictures.scatter(report, view),
        out / "ulp.png": pictures.ulp_histogram(report),
    }
    write_all(contents)
    return list(contents)
