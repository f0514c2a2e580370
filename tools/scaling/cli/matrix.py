"""Subcommands over many cases: the parity matrix and the live reference."""

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.scaling.base.errors import BadInput, GateFailed
from tools.scaling.base.files import write_text
from tools.scaling.cli.options import (
    MANY_CASES,
    AsJson,
    Candidate,
    CandidateCommand,
    Device,
    Dtype,
    Junit,
    Mode,
    Pixel,
    ReferenceCommand,
    ReferenceName,
    Tolerance,
    app,
    say,
    tell,
)
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE

if TYPE_CHECKING:
    from tools.scaling.matrix.judge import Matrix

Binary = Annotated[Path | None, typer.Option(help="Your own compiled nanoBragg; without it NB_C_BIN.")]


@app.command(rich_help_panel=MANY_CASES)
def matrix(
    cases: Annotated[list[str] | None, typer.Argument(help="Case names or folders; default all golden cases.")] = None,
    device: Device = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Floating-point type; only float64 is judged.")] = Dtype.float64,
    mode: Mode = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="What is judged; repeatable, a column each.", show_default="port"),
    ] = None,
    candidate_command: CandidateCommand = None,
    reference: ReferenceName = None,
    reference_command: ReferenceCommand = None,
    out: Annotated[Path | None, typer.Option(help="Folder for matrix.md and matrix.json.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Run your own nanoBragg now instead of the records.")] = False,
    binary: Binary = None,
    as_json: AsJson = False,
    junit: Junit = None,
) -> None:
    """Compare every traced number and every pixel of many cases with the reference."""
    from tools.scaling.cli.junit import errors_to_junit, matrix_junit
    from tools.scaling.implementations.describe import PORT, RECORDED, choose
    from tools.scaling.matrix import changes, text
    from tools.scaling.matrix import reference as recorder
    from tools.scaling.matrix import run as work

    if live and (reference or reference_command):
        raise BadInput("matrix: expected --live or --reference, got both")
    told = {"--mode": mode, "--candidate-command": candidate_command, "--reference": reference}
    told |= {"--reference-command": reference_command}
    options = ["--device", device, "--dtype", dtype.value, *(["--live"] if live else [])]
    options += [word for name in candidate or () for word in ("--candidate", name)]
    options += [word for flag, value in told.items() if value for word in (flag, value)]
    command = f"python -m tools.scaling matrix {shlex.join([*(cases or ()), *options])}"
    watched = sys.stdout.isatty() and not as_json
    with errors_to_junit(junit, "matrix"), ExitStack() as stack:
        program = recorder.find_binary(binary) if live else None
        chosen = work.matrix_cases(cases or ())
        candidates = [choose("candidate", name, None, PORT) for name in candidate or ()]
        if candidate_command or not candidates:
            candidates.append(choose("candidate", None, candidate_command, PORT))
        done = text.progress_bar(len(chosen) * len(candidates), sys.stderr) if watched else nullcontext(lambda _: None)
        result = work.run_matrix(
            chosen, device=device, dtype=dtype.value, mode=mode, binary=program, candidates=candidates,
            reference=choose("reference", reference, reference_command, RECORDED), command=command,
            done=stack.enter_context(done),
        )  # fmt: skip
    if junit:
        write_text(junit, matrix_junit(result))
    if watched:
        from rich.console import Console

        for line in text.terminal_rows(result, Console().print):
            say(line)
    else:
        for line in [json.dumps(changes.matrix_dict(result), indent=2)] if as_json else text.matrix_lines(result):
            say(line)
    for path in changes.write_matrix(result, out) if out is not None else ():
        tell(f"wrote {path}")
    _gate(result)


def _gate(matrices: "Sequence[Matrix]") -> None:
    """Raise GateFailed where a case fails, or where a candidate was given none."""
    problems = []
    for matrix in matrices:
        name = f"{matrix.candidate}: " if len(matrices) > 1 else ""
        if matrix.failed:
            problems.append(f"{name}{len(matrix.failed)} of {len(matrix.cases)} cases fail: {', '.join(matrix.failed)}")
        elif all(case.skipped for case in matrix.cases):
            problems.append(f"{name}every case was skipped, nothing was compared")
    if problems:
        raise GateFailed(f"matrix: {'; '.join(problems)}")


@app.command(rich_help_panel=MANY_CASES)
def versus(
    flags: Annotated[list[str], typer.Argument(metavar="-- FLAGS", help="nanoBragg's own flags, behind --.")],
    candidate: Candidate = None,
    candidate_command: CandidateCommand = None,
    reference: ReferenceName = None,
    reference_command: ReferenceCommand = None,
    pixel: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="SLOW FAST", help="Traced pixel.", show_default="the reference's brightest"),
    ] = None,
    mode: Mode = None,
    device: Device = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Floating-point type of our port.")] = Dtype.float64,
    out: Annotated[Path | None, typer.Option(help="Folder for images.md, images.json and the pictures.")] = None,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 unless they agree.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two programs on bare flags: their images, the kind of difference, their traces."""
    from tools.scaling.images import versus as work
    from tools.scaling.images.text import progress_bar
    from tools.scaling.implementations.describe import PORT, choose, named
    from tools.scaling.implementations.make import Computing

    if not (reference or reference_command):
        raise BadInput("versus: expected --reference NAME or --reference-command LINE, got neither")
    right = choose("reference", reference, reference_command, PORT)
    judged = choose("candidate", candidate, candidate_command, PORT)
    computing = Computing(device, dtype.value, ("--mode", mode) if mode else ())
    words = named("reference", reference, reference_command) + named("candidate", candidate, candidate_command)
    words += ["--mode", mode] if mode else []
    with progress_bar(sys.stderr) as progress:
        found = work.compare_programs(
            work.flags_case(flags), right, judged, computing, pixel=pixel, out=out, progress=progress,
            command=f"python -m tools.scaling versus {shlex.join([*words, '--', *flags])}", tolerance=tolerance,
        )  # fmt: skip
    for line in [json.dumps(work.versus_dict(found))] if as_json else work.versus_lines(found):
        say(line)
    if gate and not found.passed:
        raise GateFailed(f"versus: {found.candidate.name} does not agree with {found.reference.name}")


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
