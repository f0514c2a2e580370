"""Subcommands on one pixel: trace, compare and explain."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.base.errors import GateFailed
from tools.scaling.base.files import write_text
from tools.scaling.base.repo import refuse_protected
from tools.scaling.cli.options import (
    ONE_PIXEL,
    AsJson,
    CaseName,
    Device,
    Dtype,
    Hkl,
    Junit,
    PhiMode,
    Pixel,
    Tolerance,
    app,
    say,
)
from tools.scaling.engine.tolerances import DEFAULT_TOLERANCE


@app.command(rich_help_panel=ONE_PIXEL)
def harness(
    out: Annotated[Path, typer.Option(help="The trace to write.")],
    case: CaseName = "supervisor",
    phi_mode: Annotated[PhiMode, typer.Option(help="What phi == 0 does (Q29).")] = PhiMode.c_parity,
    vectors: Annotated[
        str, typer.Option(help="reference, as-given (the legacy defect), or which of odet,sdet,fdet,beam as given.")
    ] = "reference",
    pixel: Pixel = None,
    device: Device = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Floating-point type.")] = Dtype.float64,
    hkl: Hkl = None,
    dump_per_phi: Annotated[bool, typer.Option("--dump-per-phi", help="Write OUT_per_phi.log and .json.")] = False,
) -> None:
    """Trace one pixel of a case through the port."""
    from tools.scaling.traces.harness import harness as trace

    refuse_protected(out)
    written = trace(
        case or "supervisor", out=out, pixel=pixel, phi_mode=phi_mode.value, vectors=vectors,
        device=device, dtype=dtype.value, hkl=hkl, dump_per_phi=dump_per_phi,
    )  # fmt: skip
    for path in written:
        say(f"wrote {path}")


@app.command(rich_help_panel=ONE_PIXEL)
def compare(
    c: Annotated[Path, typer.Option("--c", help="The reference's trace.", readable=False)],
    py: Annotated[Path, typer.Option("--py", help="The port's trace.", readable=False)],
    out: Annotated[Path, typer.Option(help="Markdown summary; metrics.json and run_metadata.json go beside it.")],
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

    options = ["--c", str(c), "--py", str(py), "--out", str(out), "--tolerance", repr(tolerance)]
    options += ["--device", device, "--dtype", dtype.value]
    command = f"python -m tools.scaling compare {shlex.join(options)}"
    with errors_to_junit(junit, "compare"):
        report = compare_files(c, py, out, tolerance=tolerance, device=device, dtype=dtype.value, command=command)
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
    labels: Annotated[Path | None, typer.Option(help="TOML table of another port's labels.", readable=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown to write, with the JSON beside it.")] = None,
    summary: Annotated[list[Path] | None, typer.Option(help="Markdown to end with the causes; repeatable.")] = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Say which upstream defect caused which share of a divergence."""
    from tools.scaling.explain.files import explain_command

    lines = explain_command(
        c, py, case=case, out=out, as_json=as_json, device=device, summaries=summary or (), pixel=pixel, labels=labels
    )
    for line in lines:
        say(line)
