"""The subcommand that compares whole images."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.base.errors import GateFailed
from tools.scaling.base.files import write_text
from tools.scaling.cli.options import IMAGES, AsJson, Device, Junit, app, say


@app.command(rich_help_panel=IMAGES)
def images(
    c: Annotated[Path, typer.Option("--c", help="The reference's image: raw float32 or float64, .npy or SMV.")],
    py: Annotated[Path, typer.Option("--py", help="The port's image.")],
    shape: Annotated[tuple[int, int] | None, typer.Option(metavar="SLOW FAST", help="Size; raw files need it.")] = None,
    roi: Annotated[
        tuple[int, int, int, int] | None, typer.Option(metavar="S0 S1 F0 F1", help="Rows and columns, inclusive.")
    ] = None,
    origin: Annotated[
        tuple[int, int], typer.Option(metavar="SLOW FAST", help="Where on the detector the images begin.")
    ] = (0, 0),
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

    command = f"python -m tools.scaling images --c {shlex.quote(str(c))} --py {shlex.quote(str(py))}"
    for name, numbers in (("--shape", shape), ("--roi", roi), ("--origin", origin)):
        command += "".join(f" {item}" for item in (name, *numbers)) if numbers and any(numbers) else ""
    command += f" --device {shlex.quote(device)}" if device != "cpu" else ""
    with errors_to_junit(junit, "images"), progress_bar(sys.stderr) as progress:
        report = compare_image_files(
            c, py, shape=shape, origin=origin, roi=roi, out=out, command=command, device=device, progress=progress
        )
    if junit:
        write_text(junit, images_junit(report))
    for line in [json.dumps(report.to_dict())] if as_json else images_lines(report):
        say(line)
    if gate and not report.passed:
        raise GateFailed(f"{py}: the images do not agree")
