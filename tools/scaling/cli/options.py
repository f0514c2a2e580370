"""What the subcommands share: the app, its menu, their options, and the one way to print a line."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tools.scaling.base.files import one_line
from tools.scaling.base.repo import REPORTS_ROOT, ROOT

PROCEDURE = "The procedure"
ONE_PIXEL = "One pixel (trace, compare, explain)"
IMAGES = "Images"
MANY_CASES = "Many cases, and your own nanoBragg"
BUNDLES = "Bundles (check, repeat, look at)"
PARTS = "What the steps run"
STUDIES = "Studies of the tools themselves"
PANELS = (PROCEDURE, ONE_PIXEL, IMAGES, MANY_CASES, BUNDLES, PARTS, STUDIES)
WHOLE = 1000  # more than any sentence of help has characters


class Menu(TyperGroup):
    """A help page that lists the subcommands by what they are for, each with its whole sentence, in plain text."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {name: [] for name in PANELS}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if not command.hidden:
                panel = command.rich_help_panel
                panels.setdefault(panel if isinstance(panel, str) else "Commands", []).append(
                    (name, command.get_short_help_str(WHOLE))
                )
        for title, rows in panels.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _version(wanted: bool) -> None:
    if wanted:
        import tomllib

        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        say(f"tools.scaling of {project['name']} {project['version']}")
        raise typer.Exit


app = typer.Typer(
    cls=Menu,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
)


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it and exit.")
    ] = False,
) -> None:
    """Prove that nanobragg_torch computes what nanoBragg.c computes, step by step, with evidence."""


class PhiMode(StrEnum):
    c_parity = "c-parity"
    spec = "spec"


class Dtype(StrEnum):
    float64 = "float64"
    float32 = "float32"


KEPT = "; step: as its bundle has it"  # the last part of a default
CaseName = Annotated[
    str | None, typer.Option("--case", "--config", help="Folder with case.json, or the name of a shipped case.")
]
CaseOrKept = Annotated[
    str | None,
    typer.Option(
        "--case",
        "--config",
        help="Folder with case.json, or the name of a shipped case.",
        show_default=f"supervisor{KEPT}",
    ),
]
Pixel = Annotated[
    tuple[int, int] | None,
    typer.Option(metavar="SLOW FAST", help="Traced pixel, slow index first.", show_default="the case's first"),
]
Reference = Annotated[
    Path | None, typer.Option("--c", help="The reference's trace (TRACE_C lines).", show_default="the case's own")
]
_PROGRAM = "port, golden, a shipped name or a TOML file"
Candidate = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"What is judged: {_PROGRAM}.", show_default="port")
]
CandidateCommand = Annotated[
    str | None, typer.Option(metavar="LINE", help="Its command line, as in 'PROGRAM {flags} -floatfile {out}'.")
]
ReferenceName = Annotated[
    str | None, typer.Option("--reference", metavar="NAME", help=f"What is right: {_PROGRAM}.", show_default="golden")
]
ReferenceCommand = Annotated[
    str | None, typer.Option(metavar="LINE", help="Its command line, as in 'PROGRAM {flags} -floatfile {out}'.")
]
Mode = Annotated[str | None, typer.Option(metavar="MODE", help="Of our port: c-parity, spec, ...")]
Hkl = Annotated[Path | None, typer.Option(help="Another reflection list than the case's own.")]
Device = Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1, ...")]
DeviceOrKept = Annotated[
    str | None, typer.Option(help="Torch device: cpu, cuda, cuda:1, ...", show_default=f"cpu{KEPT}")
]
DtypeOrKept = Annotated[
    Dtype | None, typer.Option(help="Floating-point type of the port.", show_default=f"float64{KEPT}")
]
Tolerance = Annotated[float, typer.Option(help="Relative tolerance of PASS.", min=0.0)]
ToleranceOrKept = Annotated[
    float | None, typer.Option(help="Relative tolerance of PASS.", min=0.0, show_default=f"1e-06{KEPT}")
]
RunDir = Annotated[Path | None, typer.Option(help="The bundle; without it the newest that is not sealed.")]
ReportsRoot = Annotated[Path, typer.Option(help="Where bundles lie.", show_default=REPORTS_ROOT)]
MemoryLimit = Annotated[
    int | None,
    typer.Option(
        metavar="MIB", min=1, help="Memory limit of the children, MiB.", show_default="what the machine has to give"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, alone on stdout.")]
Junit = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result as JUnit XML, too.")]
DEFAULT_ROOT = ROOT / REPORTS_ROOT


def say(line: str, end: str = "\n") -> None:
    """Print a line, or lines; control characters that others have put into them reach no terminal."""
    from nanobragg_torch.io import standard_output

    standard_output.say("\n".join(map(one_line, line.split("\n"))), end)


def tell(line: str) -> None:
    """Print one line on standard error."""
    from nanobragg_torch.io import standard_output

    standard_output.tell(one_line(line))
