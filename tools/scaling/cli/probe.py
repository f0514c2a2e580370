"""Subcommand that asks a program which of the reference's quirks it has."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.base.errors import BadInput, GateFailed
from tools.scaling.base.files import write_text
from tools.scaling.cli.options import MANY_CASES, AsJson, app, say, tell


@app.command(rich_help_panel=MANY_CASES)
def probe(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help="The implementation that is asked.")],
    out: Annotated[Path | None, typer.Option(metavar="PROFILE.toml", help="Write the profile, for --mode.")] = None,
    tolerance: Annotated[
        float, typer.Option(help="Relative; two roundings of float32. Up to 1e-3 is allowed and told anyway.", min=0)
    ] = 2.0**-22,
    limit: Annotated[float, typer.Option(help="Seconds of one run.", min=1)] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Ask a program which quirks it has, so which nanoBragg it is; exit 1 if its description says another."""
    from tools.scaling.images.text import progress_bar
    from tools.scaling.implementations.describe import find_implementation
    from tools.scaling.implementations.probe import probe_program
    from tools.scaling.implementations.probe_text import against_line, probe_lines, profile_text

    if out is not None and not out.absolute().parent.is_dir():
        raise BadInput(f"{out}: expected an existing folder, got none at {out.parent}")
    with progress_bar(sys.stderr, what="probes") as done:
        report = probe_program(find_implementation(name), tolerance=tolerance, limit_s=limit, done=done)
    for line in [json.dumps(asdict(report))] if as_json else probe_lines(report):
        say(line)
    if out is not None:
        write_text(out, profile_text(report))
        tell(f"wrote {out}")
    if report.against:
        raise GateFailed(f"{report.name}: {against_line(report)}")
