"""Subcommands over many cases: the parity matrix and the live reference."""

import json
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.base.errors import GateFailed
from tools.scaling.base.files import write_text
from tools.scaling.cli.options import MANY_CASES, AsJson, Device, Dtype, Junit, Pixel, app, say, tell

Binary = Annotated[Path | None, typer.Option(help="Your own compiled nanoBragg; without it NB_C_BIN.")]


@app.command(rich_help_panel=MANY_CASES)
def matrix(
    cases: Annotated[list[str] | None, typer.Argument(help="Case names or folders; default all golden cases.")] = None,
    device: Device = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Floating-point type; only float64 is judged.")] = Dtype.float64,
    out: Annotated[Path | None, typer.Option(help="Folder for matrix.md and matrix.json.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Run your own nanoBragg now instead of the records.")] = False,
    binary: Binary = None,
    as_json: AsJson = False,
    junit: Junit = None,
) -> None:
    """Compare every traced number and every pixel of many cases with the reference."""
    from tools.scaling.cli.junit import errors_to_junit, matrix_junit
    from tools.scaling.matrix import reference as reference
    from tools.scaling.matrix import run as work
    from tools.scaling.matrix import text as render

    options = ["--device", device, "--dtype", dtype.value, *(["--live"] if live else [])]
    command = f"python -m tools.scaling matrix {shlex.join([*(cases or ()), *options])}"
    watched = sys.stdout.isatty() and not as_json
    with errors_to_junit(junit, "matrix"), ExitStack() as stack:
        program = reference.find_binary(binary) if live else None
        chosen = work.matrix_cases(cases or ())
        done = stack.enter_context(render.progress_bar(len(chosen), sys.stderr)) if watched else lambda _: None
        result = work.run_matrix(chosen, device=device, dtype=dtype.value, binary=program, command=command, done=done)
    if junit:
        write_text(junit, matrix_junit(result))
    if watched:
        from rich.console import Console

        Console().print(render.terminal_table(result))
        for case in result.cases:
            for line in render.case_lines(case)[1:]:
                say(f"{case.name}: {line.strip()}")
        say(render.verdict_line(result))
    else:
        for line in [json.dumps(result.to_dict(), indent=2)] if as_json else render.matrix_lines(result):
            say(line)
    for path in work.write_matrix(result, out) if out is not None else ():
        tell(f"wrote {path}")
    if result.failed:
        raise GateFailed(f"matrix: {len(result.failed)} of {len(result.cases)} cases fail: {', '.join(result.failed)}")


@app.command(context_settings={"ignore_unknown_options": True}, rich_help_panel=MANY_CASES)
def reference(
    words: Annotated[list[str], typer.Argument(metavar="CASE_OR_FLAGS", help="A case, or nanoBragg's own flags.")],
    out: Annotated[Path, typer.Option(help="The new golden case's folder.")],
    pixel: Pixel = None,
    binary: Binary = None,
) -> None:
    """Run your own nanoBragg and record what it says as a golden case."""
    from tools.scaling.matrix import reference as live

    program = live.find_binary(binary)
    say(f"wrote {live.record_reference(live.case_of(words, [pixel] if pixel else ()), out, program)}")


@app.command(rich_help_panel=MANY_CASES)
def quirks(
    case: Annotated[str, typer.Argument(help="The case to measure on.")] = "phi_zero_carryover_mosaic",
    pixel: Pixel = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """List the switches of the reference's defects, with the effect of each on a case's image."""
    from dataclasses import asdict

    from tools.scaling.cases.case import find_case
    from tools.scaling.matrix.effects import quirk_effects
    from tools.scaling.matrix.text import quirk_lines

    effects = quirk_effects(find_case(case), pixel, device)
    for line in [json.dumps([asdict(row) for row in effects])] if as_json else quirk_lines(case, effects):
        say(line)
