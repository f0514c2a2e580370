"""Two implementations on one command line: their images, the kind of difference, their traces. Prints nothing."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.base.files import json_bytes, make_folder, refuse_foreign, text_bytes, write_all, write_text
from tools.scaling.bundle.layout import IMAGE_RECORD
from tools.scaling.cases.case import Case, Extent
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE
from tools.scaling.implementations.describe import RECORDED, Implementation, refuse_same_name
from tools.scaling.implementations.difference import diagnose_difference
from tools.scaling.implementations.make import Computing, MadeImage, Maker, maker
from tools.scaling.implementations.run import Pixel

if TYPE_CHECKING:
    from tools.scaling.images.open import Image
    from tools.scaling.images.report import ImageReport
    from tools.scaling.traces.report import Report


@dataclass(frozen=True)
class Versus:
    """What a comparison of two implementations found. traces: where both print one, that of `pixel` (slow, fast).

    notes: what else is to be said of the runs.
    """

    reference: Implementation
    candidate: Implementation
    images: "ImageReport"
    pixel: Pixel | None
    traces: "Report | None"
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the images agree, and no traced factor differs or is lost."""
        return self.images.passed and (self.traces is None or not (self.traces.num_divergent or self.traces.lost))


def flags_case(words: Sequence[str]) -> Case:
    """The case that bare flags of the reference's command line are; their files are looked for in this folder."""
    flags = shlex.split(words[0]) if len(words) == 1 else list(words)
    if not flags or not flags[0].startswith("-"):
        raise BadInput(f"versus: expected flags of nanoBragg behind --, got {shlex.join(flags) or 'nothing'}")
    return Case("versus", Path.cwd(), tuple(flags), (), None, {})


def windowed(
    case: Case,
    pixel: Pixel | None,
    programs: Sequence[Implementation],
    extent: Extent = Extent.window,
    recorded: Path | None = None,
) -> Case:
    """The case, rendered in its window alone where its flags name no -roi and every program has that flag.

    extent: whole for all of the detector, without the -roi that the flags name. recorded: the reference's image of that
    region, instead of the case's own. Raises Unavailable where a record is wanted and there is none of that region.
    """
    from tools.scaling.images.region import find_region

    if case.pixels or case.window or pixel or extent is Extent.whole:
        region, flags = find_region(str(case.folder.absolute()), extent, pixel=pixel), case.flags
        if extent is Extent.whole:
            flags = _without_roi(flags)
        elif "-roi" not in flags and not any(program.lacking(("-roi",)) for program in programs):
            slow_min, slow_max, fast_min, fast_max = region.window
            flags = (*flags, "-roi", *map(str, (fast_min, fast_max, slow_min, slow_max)))
        if flags != case.flags or extent is Extent.whole:
            own = case.flags == region.case.flags  # else another list of reflections
            case = replace(case, flags=flags, c_image=region.reference if own else None)
    if recorded is not None:
        case = replace(case, c_image=recorded)
    if RECORDED in programs and case.c_image is None:
        raise Unavailable(f"{case.name}: expected the reference's image of this region, got none")
    return case


def _without_roi(flags: tuple[str, ...]) -> tuple[str, ...]:
    while "-roi" in flags:
        at = flags.index("-roi")
        flags = flags[:at] + flags[at + 5 :]
    return flags


def write_trace(
    case: Case, program: Implementation, pixel: Pixel, out: Path, prefix: str, computing: Computing
) -> None:
    """Trace `pixel` by a program and write it to `out` under our names, each line with `prefix`.

    Raises Unavailable where the program has no trace or lacks a flag of the case, and what a run of it raises.
    """
    from tools.scaling.traces.text import trace_text

    if program.trace is None:
        raise Unavailable(f"{program.name}: expected an implementation that prints a trace, got none")
    trace = maker(program, windowed(case, pixel, [program]), computing).trace(pixel)
    write_text(out, trace_text(trace, prefix, pixel))


def as_one_type(
    reference: MadeImage, candidate: MadeImage, names: tuple[str, str] = ("reference", "candidate")
) -> "tuple[Image, Image]":
    """The two images in the wider type that both can be held in: float64 where both are, else float32."""
    import torch

    from tools.scaling.images.open import in_memory

    wide = all(side.pixels.dtype == torch.float64 for side in (reference, candidate))
    made = [side.pixels if wide else side.pixels.float() for side in (reference, candidate)]
    return in_memory(made[0], names[0]), in_memory(made[1], names[1])


def compare_programs(
    case: Case,
    reference: Implementation,
    candidate: Implementation,
    computing: Computing,
    *,
    pixel: Pixel | None = None,
    traced: bool = True,
    out: Path | None = None,
    command: str = "",
    tolerance: float = DEFAULT_TOLERANCE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Versus:
    """Run both on the case's flags and compare: the images, and the traces where both print one.

    pixel: traced (slow, fast), by default the case's first, else the reference's brightest. computing: our port's way.
    tolerance: relative, of traces and images.
    out: a folder for images.md, images.json, image.json and the pictures; summary.md where traces were compared.
    Raises BadInput, Unavailable and what a run of a program raises; nothing is written then.
    """
    from tools.scaling.images.compare import compare_opened, images_marks
    from tools.scaling.images.report import Limits

    refuse_same_name(reference, candidate)
    for program in (reference, candidate):
        if missing := program.lacking(case.flags):
            raise Unavailable(f"not compared: {missing}")
    if out is not None:
        refuse_foreign(images_marks(out) | {out / IMAGE_RECORD: b'"window_slow_fast"'})
    sides = maker(reference, case, computing), maker(candidate, case, computing)
    traces: Report | None = None
    both = traced and reference.trace is not None and candidate.trace is not None
    if both and (pixel is not None or case.pixels):  # a run that traces makes the image, too
        traces = _compared_traces(sides, pixel or case.pixels[0], computing, tolerance)
    made = sides[0].image(), sides[1].image()
    roi = case.config().detector.rendered
    names = reference.name, candidate.name
    images = as_one_type(*made, names=names)
    begins, limits = (roi.slow_min, roi.fast_min), Limits(tolerance=tolerance)
    report = compare_opened(*images, origin=begins, limits=limits, progress=progress, names=names)
    if both and traces is None:
        place = int(made[0].pixels.argmax())
        width = made[0].pixels.shape[1]
        pixel = (roi.slow_min + place // width, roi.fast_min + place % width)
        traces = _compared_traces(sides, pixel, computing, tolerance)
    if traces is None and not report.passed:
        diagnosis = diagnose_difference(case, (reference, candidate), made, computing.options)
        report = replace(report, diagnosis=diagnosis)
    if out is not None:
        _write(out, case, images, report, traces, command)
    notes = filter(None, (image.note(name) for image, name in zip(made, names)))
    return Versus(reference, candidate, report, pixel or (case.pixels or (None,))[0], traces, tuple(notes))


def _write(
    out: Path, case: Case, images: "tuple[Image, Image]", report: "ImageReport", traces: "Report | None", command: str
) -> None:
    from tools.scaling.images.compare import images_contents
    from tools.scaling.images.measure import CPU

    contents = images_contents(report, *images, out, CPU, command)
    contents[out / IMAGE_RECORD] = json_bytes(_record(case, images, report))
    if traces is not None:
        from tools.scaling.traces.markdown import comparison_markdown

        contents[out / "summary.md"] = text_bytes(comparison_markdown(traces))
    make_folder(out)
    write_all(contents)


def _compared_traces(sides: tuple[Maker, Maker], pixel: Pixel, computing: Computing, tolerance: float) -> "Report":
    from tools.scaling.traces.compare import compare

    return compare(sides[0].trace(pixel), sides[1].trace(pixel), tolerance=tolerance, precision=computing.dtype)


def _record(case: Case, images: "tuple[Image, Image]", report: "ImageReport") -> dict[str, object]:
    """What image.json says: which region, which programs, and the digests of their pixels."""
    import hashlib

    digests = [hashlib.sha256(image.pixels.contiguous().numpy().tobytes()).hexdigest() for image in images]
    return {
        "case": case.name,
        "window_slow_fast": report.roi,
        "shape_slow_fast": report.shape,
        "format": f"{images[1].dtype}, little-endian, slow-major",
        "candidate": images[1].name,
        "sha256": digests[1],
        "reference": images[0].name,
        "reference_sha256": digests[0],
    }


def versus_lines(found: Versus) -> list[str]:
    """The comparison as plain lines, the verdict last."""
    from tools.scaling.images.text import images_lines
    from tools.scaling.traces.text import comparison_lines

    lines = [f"reference {found.reference.title}, candidate {found.candidate.title}", *images_lines(found.images)]
    lines[1:1] = [f"note: {note}" for note in found.notes]
    if found.traces is None:
        return [*lines[:-1], "traces: not compared, a program of the two prints none", lines[-1]]
    slow, fast = found.pixel or (0, 0)
    return [lines[0], f"trace of pixel slow {slow} fast {fast}:", *comparison_lines(found.traces), *lines[1:]]


def versus_dict(found: Versus) -> dict[str, object]:
    """The comparison, JSON-ready."""
    names = {
        "reference": found.reference.name,
        "candidate": found.candidate.name,
        "pixel": found.pixel,
        "passed": found.passed,
    }
    return names | {
        "notes": list(found.notes),
        "images": found.images.to_dict(),
        "traces": found.traces.metrics() if found.traces else None,
    }
