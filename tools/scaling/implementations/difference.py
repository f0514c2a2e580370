"""Two implementations whose images of a case differ: what the difference comes from, told by the images alone."""

from dataclasses import replace
from typing import TYPE_CHECKING

from tools.scaling.cases.case import Case
from tools.scaling.implementations.describe import PORT, RECORDED, Implementation
from tools.scaling.implementations.make import MadeImage

if TYPE_CHECKING:
    from tools.scaling.implementations.diagnosis import Diagnosis


def followed(reference: Implementation, options: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The flags that make our port as `reference` should be: `options`, where there are any, else its variant.

    None for a record, as its case names the program, and for our port itself.
    """
    return options if options or reference in (PORT, RECORDED) else ("--mode", reference.variant)


def diagnose_difference(
    case: Case,
    programs: tuple[Implementation, Implementation],
    images: tuple[MadeImage, MadeImage],
    options: tuple[str, ...] = (),
) -> "Diagnosis | None":
    """The diagnosis of the candidate's image, beside our port as the reference should be.

    Where our port is the candidate, or the candidate is as our port, it is that of the reference's image.
    programs, images: (reference, candidate). options: flags of our port. None for a case that reads the dump of a run
    before it, which no cause is tried with.
    """
    from tools.scaling.implementations.diagnosis import diagnose

    if case.before:
        return None
    detector = case.config().detector
    flags = (*case.flags, *case.mode, *followed(programs[0], options))
    roi, whole = detector.rendered, (detector.pixels_slow, detector.pixels_fast)

    def diagnosed(side: int) -> "Diagnosis":
        pixels = images[side].pixels.cpu()
        return diagnose(flags, case.folders, pixels, None if pixels.shape == whole else (roi.slow_min, roi.fast_min))

    lead = ""
    if programs[1] is not PORT:
        diagnosis = diagnosed(1)
        if not diagnosis.as_port:
            return diagnosis
        lead = f"{diagnosis.sentence} "
    other = replace(diagnosed(0), side="reference", lead=lead)
    return diagnosis if lead and other.as_port else other  # else a rounding of its own is all that differs
