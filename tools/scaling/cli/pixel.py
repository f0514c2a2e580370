"""Subcommands on one pixel: trace, compare and explain."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.base.errors import BadInput, GateFailed, Unavailable
from tools.scaling.base.files import write_text
from tools.scaling.base.repo import refuse_protected
from tools.scaling.cli.options import (
    ONE_PIXEL,
    AsJson,
    Candidate,
    CandidateCommand,
    CaseName,
    Device,
    Dtype,
    Hkl,
    Junit,
    Mode,
    PhiMode,
    Pixel,
    ReferenceCommand,
    ReferenceName,
    Tolerance,
    app,
    say,
)
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE

Labels = Annotated[
    Path | None, typer.Option(help="TOML table of another port's labels, or its implementation's file.", readable=False)
]


@app.command(rich_help_panel=ONE_PIXEL)
def harness(
    out: Annotated[Path, typer.Option(help="The trace to write.")],
    case: CaseName = "supervisor",
    phi_mode: Annotated[
        PhiMode | None,
        typer.Option(help="What phi == 0 does (Q29).", show_default="as the program of the mode, c-parity"),
    ] = None,
    mode: Mode = None,
    vectors: Annotated[
        str, typer.Option(help="reference, as-given (the legacy defect), or which of odet,sdet,fdet,beam as given.")
    ] = "reference",
    pixel: Pixel = None,
    device: Device = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Floating-point type.")] = Dtype.float64,
    hkl: Hkl = None,
    dump_per_phi: Annotated[bool, typer.Option("--dump-per-phi", help="Write OUT_per_phi.log and .json.")] = False,
    candidate: Candidate = None,
    candidate_command: CandidateCommand = None,
    reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="Trace it, too, into OUT_reference.log.", show_default="no other")
    ] = None,
    reference_command: ReferenceCommand = None,
) -> None:
    """Trace one pixel of a case through the port, or through another implementation."""
    from tools.scaling.cases.case import find_case
    from tools.scaling.images.versus import write_trace
    from tools.scaling.implementations.describe import PORT, RECORDED, choose, refuse_same_name
    from tools.scaling.implementations.make import Computing
    from tools.scaling.traces.harness import harness as trace

    refuse_protected(out)
    judged = choose("candidate", candidate, candidate_command, PORT)
    other = choose("reference", reference, reference_command, RECORDED)
    refuse_same_name(other, judged)
    chosen = find_case(case or "supervisor").with_hkl(hkl)
    computing = Computing(device, dtype.value, ("--mode", mode) if mode else ())
    if other is not RECORDED:
        beside = out.with_name(f"{out.stem}_reference.log")
        write_trace(chosen, other, chosen.pixel(pixel), beside, "TRACE_C", computing)
        say(f"wrote {beside}")
    if judged is not PORT:
        write_trace(chosen, judged, chosen.pixel(pixel), out, "TRACE_PY", computing)
        say(f"wrote {out}")
        return
    written = trace(
        case or "supervisor", out=out, pixel=pixel, phi_mode=phi_mode and phi_mode.value, mode=mode, vectors=vectors,
        device=device, dtype=dtype.value, hkl=hkl, dump_per_phi=dump_per_phi,
    )  # fmt: skip
    for path in written:
        say(f"wrote {path}")


@app.command(rich_help_panel=ONE_PIXEL)
def compare(
    out: Annotated[Path, typer.Option(help="Markdown summary; metrics.json and run_metadata.json go beside it.")],
    c: Annotated[Path | None, typer.Option("--c", help="The reference's trace.", readable=False)] = None,
    py: Annotated[Path | None, typer.Option("--py", help="The port's trace.", readable=False)] = None,
    candidate: Candidate = None,
    candidate_command: CandidateCommand = None,
    reference: ReferenceName = None,
    reference_command: ReferenceCommand = None,
    case: CaseName = None,
    pixel: Pixel = None,
    labels: Labels = None,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    device: Device = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="What the port computed in.")] = Dtype.float64,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 if any factor diverges or is lost.")] = False,
    junit: Junit = None,
    as_json: AsJson = False,
) -> None:
    """Compare two traces: the nine factors, and every traced quantity upstream of them."""
    from tools.scaling.cli.junit import comparison_junit, errors_to_junit
    from tools.scaling.traces.files import compare_files

    c, py = _traces(
        (c, py), (reference, reference_command), (candidate, candidate_command), case, pixel, out, device, dtype.value
    )
    options = ["--c", str(c), "--py", str(py), "--out", str(out), "--tolerance", repr(tolerance)]
    options += ["--device", device, "--dtype", dtype.value, *(["--labels", str(labels)] if labels else [])]
    command = f"python -m tools.scaling compare {shlex.join(options)}"
    with errors_to_junit(junit, "compare"):
        report = compare_files(
            c, py, out, tolerance=tolerance, device=device, dtype=dtype.value, command=command, labels=labels
        )
    if junit:
        write_text(junit, comparison_junit(report))
    if as_json:
        say(json.dumps(report.metrics(), indent=2, allow_nan=False))
    else:
        from tools.scaling.traces.text import comparison_lines

        for line in comparison_lines(report):
            say(line)
    if gate and report.num_divergent:
        what = "traced numbers" if report.no_factor else "factors"
        raise GateFailed(f"{report.num_divergent} {what} diverge, first {report.first_divergence}")
    if gate and report.lost:
        raise GateFailed(f"lost: {report.lost[0]}")


def _traces(
    given: tuple[Path | None, Path | None], reference: tuple[str | None, str | None],
    candidate: tuple[str | None, str | None], case: str | None, pixel: tuple[int, int] | None, out: Path,
    device: str, dtype: str,
) -> tuple[Path, Path]:  # fmt: skip
    """The two traces that are compared: those that --c and --py name, else made now, beside `out`."""
    from tools.scaling.cases.case import find_case
    from tools.scaling.images.versus import write_trace
    from tools.scaling.implementations.describe import PORT, RECORDED, choose, refuse_same_name
    from tools.scaling.implementations.make import Computing

    c, py = given
    if not (any(reference) or any(candidate) or case):
        missing = [flag for flag, path in (("--c", c), ("--py", py)) if path is None]
        if c is None or py is None:
            raise BadInput(f"compare: expected {' and '.join(missing)}, or --reference and --candidate, got neither")
        return c, py
    if (c and any(reference)) or (py and any(candidate)):
        raise BadInput("compare: expected a trace's file or an implementation that makes it, got both")
    pair = choose("reference", *reference, RECORDED), choose("candidate", *candidate, PORT)
    refuse_same_name(*pair)
    chosen = find_case(case or "supervisor")
    traced, computing = chosen.pixel(pixel), Computing(device, dtype)
    if c is None and pair[0] is RECORDED:
        c = chosen.reference(traced)
        if c is None:
            raise Unavailable(f"{chosen.name}: no reference trace of pixel {traced[0]} {traced[1]}; give one with --c")
    elif c is None:
        c = out.with_name("trace_reference.log")
        write_trace(chosen, pair[0], traced, c, "TRACE_C", computing)
    if py is None:
        py = out.with_name("trace_candidate.log")
        write_trace(chosen, pair[1], traced, py, "TRACE_PY", computing)
    return c, py


@app.command(rich_help_panel=ONE_PIXEL)
def explain(
    c: Annotated[
        list[Path], typer.Option("--c", help="The reference's trace; repeatable: parts, or pixels.", readable=False)
    ],
    py: Annotated[
        list[Path], typer.Option("--py", help="The port's trace; repeatable: parts, or pixels.", readable=False)
    ],
    case: Annotated[str | None, typer.Option(help="The case that both ran; its flags are then the roots.")] = None,
    pixel: Annotated[
        tuple[int, int] | None, typer.Option(metavar="SLOW FAST", help="The pixel, where no log names it.")
    ] = None,
    labels: Labels = None,
    mode: Annotated[str | None, typer.Option(help="The program whose rules count, where it is not the case's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown to write, with the JSON beside it.")] = None,
    summary: Annotated[list[Path] | None, typer.Option(help="Markdown to end with the causes; repeatable.")] = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Say which upstream defect caused which share of a divergence."""
    from tools.scaling.explain.files import explain_command

    lines = explain_command(
        c, py, case=case, out=out, as_json=as_json, device=device, summaries=summary or (), pixel=pixel, labels=labels,
        mode=mode,
    )  # fmt: skip
    for line in lines:
        say(line)
