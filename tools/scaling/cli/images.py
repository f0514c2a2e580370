"""Subcommands on images: compare two, plan and simulate a part of the detector or all of it."""

import json
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.scaling.base.errors import BadInput, GateFailed, of_port
from tools.scaling.base.files import write_text
from tools.scaling.cases.case import Extent, find_case
from tools.scaling.cli.options import (
    IMAGES,
    AsJson,
    Candidate,
    CandidateCommand,
    CaseName,
    Device,
    Dtype,
    Hkl,
    Junit,
    MemoryLimit,
    Mode,
    Pixel,
    ReferenceCommand,
    ReferenceName,
    Tolerance,
    app,
    say,
)
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE

if TYPE_CHECKING:
    from tools.scaling.images.open import Image
    from tools.scaling.implementations.diagnosis import Diagnosis
    from tools.scaling.implementations.make import Computing

AnyExtent = Annotated[Extent, typer.Option("--extent", help="The case's window, or the whole detector.")]
AnyDtype = Annotated[Dtype, typer.Option(help="Floating-point type.")]

ReferenceImage = Annotated[
    Path | None, typer.Option("--c", help="The reference's image: raw float32 or float64, .npy or SMV.")
]
Rows = Annotated[
    tuple[int, int, int, int] | None, typer.Option(metavar="S0 S1 F0 F1", help="Rows and columns, inclusive.")
]
CaseOfBoth = Annotated[
    str | None, typer.Option(help="The case that both are of: where two files differ, a cause is looked for.")
]


@app.command(rich_help_panel=IMAGES)
def images(
    c: ReferenceImage = None,
    py: Annotated[Path | None, typer.Option("--py", help="The port's image.")] = None,
    candidate: Candidate = None,
    candidate_command: CandidateCommand = None,
    reference: ReferenceName = None,
    reference_command: ReferenceCommand = None,
    case: CaseOfBoth = None,
    pixel: Pixel = None,
    hkl: Hkl = None,
    mode: Mode = None,
    extent: AnyExtent = Extent.window,
    dtype: Annotated[Dtype, typer.Option(help="Floating-point type of our port.")] = Dtype.float64,
    shape: Annotated[tuple[int, int] | None, typer.Option(metavar="SLOW FAST", help="Size; raw files need it.")] = None,
    roi: Rows = None,
    origin: Annotated[
        tuple[int, int], typer.Option(metavar="SLOW FAST", help="Where on the detector the images begin.")
    ] = (0, 0),
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 unless the images agree.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for images.md, images.json and the pictures.")] = None,
    device: Device = "cpu",
    as_json: AsJson = False,
    junit: Junit = None,
) -> None:
    """Compare two float images in one pass: statistics, peaks, worst pixels, pictures."""
    from tools.scaling.cli.junit import errors_to_junit, images_junit
    from tools.scaling.images.compare import compare_image_files
    from tools.scaling.images.text import images_lines, progress_bar
    from tools.scaling.implementations.make import Computing

    programs = (reference, reference_command), (candidate, candidate_command)
    if any(map(any, programs)) or (case and not (c or py)):
        if py or shape or roi or (c and any(programs[0])):
            raise BadInput("images: expected two files (--c, --py) or two implementations of a case, got some of both")
        computing = Computing(device, dtype.value, ("--mode", mode) if mode else ())
        _programs_images(*programs, case, pixel, hkl, extent, c, computing, tolerance, out, gate, as_json, junit)
        return
    if c is None or py is None:
        raise BadInput("images: expected --c and --py, or --reference and --candidate, got neither")
    command = f"python -m tools.scaling images --c {shlex.quote(str(c))} --py {shlex.quote(str(py))}"
    for name, numbers in (("--shape", shape), ("--roi", roi), ("--origin", origin)):
        command += "".join(f" {item}" for item in (name, *numbers)) if numbers and any(numbers) else ""
    command += f" --device {shlex.quote(device)}" if device != "cpu" else ""
    with errors_to_junit(junit, "images"), progress_bar(sys.stderr) as progress:
        of_case = partial(_diagnosed, *_words(case, (), mode), origin=origin) if case else None
        report = compare_image_files(
            c, py, shape=shape, origin=origin, roi=roi, out=out, command=command, device=device, progress=progress,
            tolerance=tolerance, diagnosed=of_case,
        )  # fmt: skip
    if junit:
        write_text(junit, images_junit(report))
    for line in [json.dumps(report.to_dict())] if as_json else images_lines(report):
        say(line)
    if gate and not report.passed:
        raise GateFailed(f"{py}: the images do not agree")


def _programs_images(
    reference: tuple[str | None, str | None], candidate: tuple[str | None, str | None], case: str | None,
    pixel: tuple[int, int] | None, hkl: Path | None, extent: Extent, recorded: Path | None, computing: "Computing",
    tolerance: float, out: Path | None, gate: bool, as_json: bool, junit: Path | None,
) -> None:  # fmt: skip
    """Compare the images that two implementations make of a case's window, or of all of its detector."""
    from tools.scaling.cli.junit import errors_to_junit, images_junit
    from tools.scaling.images.text import images_lines, progress_bar
    from tools.scaling.images.versus import compare_programs, windowed
    from tools.scaling.implementations.describe import PORT, RECORDED, choose, named

    with errors_to_junit(junit, "images"), progress_bar(sys.stderr) as progress:
        pair = choose("reference", *reference, RECORDED), choose("candidate", *candidate, PORT)
        chosen = windowed(find_case(case or "supervisor").with_hkl(hkl), pixel, pair, extent, recorded)
        words = [*named("reference", *reference), *named("candidate", *candidate), "--case", case or "supervisor"]
        words += ["--extent", "whole"] if extent is Extent.whole else []
        words += ["--c", str(recorded)] if recorded else []
        report = compare_programs(
            chosen, *pair, computing, traced=False, out=out, tolerance=tolerance, progress=progress,
            command=f"python -m tools.scaling images {shlex.join(words)}",
        ).images  # fmt: skip
    if junit:
        write_text(junit, images_junit(report))
    for line in [json.dumps(report.to_dict())] if as_json else images_lines(report):
        say(line)
    if gate and not report.passed:
        raise GateFailed(f"{pair[1].name}: its image does not agree with that of {pair[0].name}")


@app.command(rich_help_panel=IMAGES)
def diagnose(
    image: Annotated[Path, typer.Option(help="The candidate's image: raw float32 or float64, .npy or SMV.")],
    flags: Annotated[list[str] | None, typer.Argument(metavar="-- FLAGS", help="The command line, behind --.")] = None,
    case: Annotated[str | None, typer.Option(help="The case that it is of, in the place of FLAGS.")] = None,
    mode: Annotated[str | None, typer.Option(help="The program that the candidate should be as.")] = None,
    origin: Annotated[
        tuple[int, int] | None, typer.Option(metavar="SLOW FAST", help="Where a part of the detector begins.")
    ] = None,
    shape: Annotated[tuple[int, int] | None, typer.Option(metavar="SLOW FAST", help="Size of a raw part.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say which known quirk, program or mistake makes an image, from the image alone."""
    if bool(case) == bool(flags):
        raise BadInput(f"diagnose: expected --case CASE or -- FLAGS, got {'both' if case else 'neither'}")
    from tools.scaling.images.open import open_image

    words, folders = _words(case, flags or (), mode)
    size = _size(words, folders)
    opened = open_image(image, shape or (size if image.suffix != ".npy" else None))
    diagnosis = _diagnosed(words, folders, opened, origin=origin)
    say(json.dumps(diagnosis.to_dict()) if as_json else diagnosis.sentence)


def _words(case: str | None, flags: Sequence[str], mode: str | None) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """The command line of a case, or `flags`, with the program that is followed; and the folders of its files."""
    followed = ("--mode", mode) if mode else ()
    if case is None:
        return (*flags, *followed), (Path(),)
    read = find_case(case)
    return (*read.flags, *read.mode, *followed), read.folders


def _size(flags: Sequence[str], folders: Sequence[Path]) -> tuple[int, int]:
    """(slow, fast) pixels of the detector that the flags mean."""
    from nanobragg_torch import NanoBraggError, parse

    try:
        detector = parse([*flags], folders=folders).detector
    except NanoBraggError as error:
        raise of_port(error) from error
    return detector.pixels_slow, detector.pixels_fast


def _diagnosed(
    flags: Sequence[str], folders: Sequence[Path], image: "Image", *, origin: tuple[int, int] | None
) -> "Diagnosis":
    """Diagnose an image, which is the whole detector or begins at `origin`."""
    from tools.scaling.implementations.diagnosis import diagnose

    size = _size(flags, folders)
    return diagnose(flags, folders, image.values(image.pixels), None if image.shape in (size, size[::-1]) else origin)


@app.command(rich_help_panel=IMAGES)
def plan(
    case: CaseName = "supervisor",
    extent: AnyExtent = Extent.window,
    pixel: Pixel = None,
    hkl: Hkl = None,
    mode: Mode = None,
    device: Device = "cpu",
    dtype: AnyDtype = Dtype.float64,
    memory_limit: MemoryLimit = None,
) -> None:
    """Say what memory a simulation will need, what there is, and how it is cut to fit; exit 4 if it cannot be."""
    from tools.scaling.images.region import find_region, plan_region

    region = find_region(case or "supervisor", extent, pixel=pixel, hkl=hkl, mode=mode)
    bound = memory_limit * 2**20 if memory_limit else None
    say(plan_region(region, device=device, dtype=dtype.value, memory_limit=bound).line)


@app.command(rich_help_panel=IMAGES)
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for image.bin, image.json and the comparison.")],
    case: CaseName = "supervisor",
    extent: AnyExtent = Extent.window,
    c: Annotated[Path | None, typer.Option("--c", help="The reference's image; else the case's own.")] = None,
    pixel: Pixel = None,
    hkl: Hkl = None,
    mode: Mode = None,
    device: Device = "cpu",
    dtype: AnyDtype = Dtype.float64,
    block: Annotated[int | None, typer.Option(min=1, help="Most terms x pixels a thread holds at a time.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; the cores there are unless told.")] = None,
    kernel: Annotated[bool, typer.Option(help="The compiled kernel, where it is sooner done than torch.")] = True,
) -> None:
    """Simulate a case's window or detector, and compare it with the reference's image; exit 1 if it differs."""
    from tools.scaling.images.region import find_region, plan_region, shown, simulate_region
    from tools.scaling.images.text import images_lines, progress_bar

    region = find_region(case or "supervisor", extent, pixel=pixel, hkl=hkl, mode=mode)
    if block is None:  # else whoever chose it has planned
        fits = plan_region(region, device=device, dtype=dtype.value, workers=threads)
        if fits.gpu is None:
            block, threads, kernel = fits.block, fits.workers, kernel and fits.kernel
    options = ["--case", case or "supervisor", "--extent", extent.value]
    options += [word for flag, value in (("--c", c), ("--mode", mode)) if value for word in (flag, str(value))]
    command = f"python -m tools.scaling simulate {shlex.join([*options, '--out', str(out)])}"
    with progress_bar(sys.stderr) as progress:
        report, written = simulate_region(
            region, out, c=c, device=device, dtype=dtype.value, block=block, threads=threads, kernel=kernel,
            command=command, progress=progress,
        )  # fmt: skip
    say(f"simulated {region.case.name}, {shown(region.window)}, {device} {dtype.value}")
    say(f"wrote {', '.join(map(str, written))}")
    for line in (
        images_lines(report)
        if report
        else ["not compared: no reference image was given, and the case holds none of this region"]
    ):
        say(line)
    if report is not None and not report.passed:
        raise GateFailed(f"{out}: the port's image does not agree with the reference's, see images.md there")
