"""What the subcommands share: the app, their options, and the one way to print a line."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.repo import REPORTS_ROOT, ROOT

app = typer.Typer(
    help="Prove that nanobragg_torch computes what nanoBragg.c computes, step by step, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class PhiMode(StrEnum):
    c_parity = "c-parity"
    spec = "spec"


class Dtype(StrEnum):
    float64 = "float64"
    float32 = "float32"


CaseName = Annotated[
    str | None, typer.Option("--case", "--config", help="Folder with case.json, or the name of a shipped case.")
]
Pixel = Annotated[tuple[int, int] | None, typer.Option(metavar="SLOW FAST", help="Traced pixel, slow index first.")]
Reference = Annotated[Path | None, typer.Option("--c", help="The reference's trace (TRACE_C lines).")]
Hkl = Annotated[Path | None, typer.Option(help="Another reflection list than the case's own.")]
Device = Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1, ...")]
DeviceOrKept = Annotated[str | None, typer.Option(help="Torch device: cpu, cuda, cuda:1, ...")]
DtypeOrKept = Annotated[Dtype | None, typer.Option(help="Floating-point type of the port.")]
Tolerance = Annotated[float, typer.Option(help="Relative tolerance of PASS.", min=0.0)]
ToleranceOrKept = Annotated[float | None, typer.Option(help="Relative tolerance of PASS.", min=0.0)]
RunDir = Annotated[Path | None, typer.Option(help="The bundle; without it the newest that is not sealed.")]
ReportsRoot = Annotated[Path, typer.Option(help="Where bundles lie.")]
MemoryLimit = Annotated[int | None, typer.Option(metavar="MIB", min=1, help="Memory limit of the children, MiB.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, alone on stdout.")]
Junit = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result as JUnit XML, too.")]
DEFAULT_ROOT = ROOT / REPORTS_ROOT


def say(line: str, end: str = "\n") -> None:
    """One line for whoever is watching."""
    from nanobragg_torch.io import standard_output

    standard_output.say(line, end)
