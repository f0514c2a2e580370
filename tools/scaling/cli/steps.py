"""Subcommands that run the steps of the procedure, one or all."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.scaling.base.repo import ROOT, from_root
from tools.scaling.cases.case import Extent
from tools.scaling.cli.options import (
    DEFAULT_ROOT,
    PROCEDURE,
    Candidate,
    CandidateCommand,
    CaseOrKept,
    DeviceOrKept,
    Dtype,
    DtypeOrKept,
    Hkl,
    MemoryLimit,
    Mode,
    Pixel,
    Reference,
    ReferenceCommand,
    ReferenceName,
    ReportsRoot,
    RunDir,
    ToleranceOrKept,
    app,
    say,
)
from tools.scaling.procedure.table import TABLE

Image = Annotated[
    Extent | None,
    typer.Option(help="Simulate this too, and compare it with the reference's image.", show_default="no image"),
]
IncludeUntracked = Annotated[
    bool | None, typer.Option("--include-untracked", help="Keep files that git does not track, too, in dirty.patch.")
]
ImageC = Annotated[Path | None, typer.Option(metavar="FILE", help="The reference's image; else the case's own.")]


@app.command(name="phase-m1", rich_help_panel=PROCEDURE)
def phase_m1(
    case: CaseOrKept = None,
    c: Reference = None,
    pixel: Pixel = None,
    hkl: Hkl = None,
    device: DeviceOrKept = None,
    dtype: DtypeOrKept = None,
    tolerance: ToleranceOrKept = None,
    memory_limit: MemoryLimit = None,
    image: Image = None,
    image_c: ImageC = None,
    candidate: Candidate = None,
    candidate_command: CandidateCommand = None,
    reference: ReferenceName = None,
    reference_command: ReferenceCommand = None,
    mode: Mode = None,
    include_untracked: IncludeUntracked = None,
    reports_root: ReportsRoot = DEFAULT_ROOT,
    no_stage: Annotated[bool, typer.Option("--no-stage", help="Leave git's index alone.")] = False,
    sign: Annotated[Path | None, typer.Option(metavar="KEY", help="Sign the seal with this private key (PEM).")] = None,
    on_blocked: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Run once if the run is blocked, with RUN_DIR if it came to one."),
    ] = None,
) -> None:
    """Every step in order, one bundle; halts at the first failure and keeps the evidence."""
    from tools.scaling.bundle.layout import REPORT
    from tools.scaling.procedure.phase import Blocked
    from tools.scaling.procedure.phase import phase_m1 as run_all
    from tools.scaling.procedure.settings import Settings

    changes = _changes(case, c, pixel, hkl, device, dtype, tolerance, memory_limit, image, image_c)
    changes |= _programs(candidate, candidate_command, reference, reference_command, mode)
    changes["include_untracked"] = include_untracked
    settings = Settings().with_changes(**changes)
    try:
        bundle = run_all(settings, reports_root, say, staged=not no_stage, sign=sign, on_blocked=on_blocked)
    except Blocked as error:
        say(str(error))
        raise typer.Exit(error.exit_code) from error
    say(f"PASS: {bundle.shown(REPORT)}")


@app.command(rich_help_panel=PROCEDURE)
def step(
    name: Annotated[str, typer.Argument(metavar="STEP", help=f"One of {', '.join(row.name for row in TABLE)}.")],
    run_dir: RunDir = None,
    case: CaseOrKept = None,
    c: Reference = None,
    pixel: Pixel = None,
    hkl: Hkl = None,
    device: DeviceOrKept = None,
    dtype: DtypeOrKept = None,
    tolerance: ToleranceOrKept = None,
    memory_limit: MemoryLimit = None,
    image: Image = None,
    image_c: ImageC = None,
    candidate: Candidate = None,
    candidate_command: CandidateCommand = None,
    reference: ReferenceName = None,
    reference_command: ReferenceCommand = None,
    mode: Mode = None,
    reports_root: ReportsRoot = DEFAULT_ROOT,
) -> None:
    """Run one step alone, on the open bundle."""
    from tools.scaling.procedure.phase import step_alone
    from tools.scaling.procedure.steps import find_step

    changes = _changes(case, c, pixel, hkl, device, dtype, tolerance, memory_limit, image, image_c)
    changes |= _programs(candidate, candidate_command, reference, reference_command, mode)
    step_alone(find_step(name), changes, reports_root, run_dir, say)


def _changes(
    case: str | None, c: Path | None, pixel: tuple[int, int] | None, hkl: Path | None,
    device: str | None, dtype: Dtype | None, tolerance: float | None, memory_limit: int | None,
    image: Extent | None, image_c: Path | None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "case": from_root(case) if case and "/" in case else case,
        "c": from_root(c) if c else None,
        "pixel": pixel,
        "hkl": from_root(hkl) if hkl else None,
        "device": device,
        "dtype": dtype.value if dtype else None,
        "tolerance": tolerance,
        "memory_limit": memory_limit * 2**20 if memory_limit else None,
        "image": image.value if image else None,
        "image_c": from_root(image_c) if image_c else None,
    }


def _programs(
    candidate: str | None,
    candidate_command: str | None,
    reference: str | None,
    reference_command: str | None,
    mode: str | None,
) -> dict[str, str | None]:
    """The two implementations as settings; files are named as the children find them, which run in the root."""
    from tools.scaling.implementations.describe import command_words

    def placed(name: str | None) -> str | None:
        if name is None or not ("/" in name or name.endswith(".toml")):
            return name
        return from_root(name) if "/" in name else f"./{name}" if Path.cwd() == ROOT else str(Path(name).absolute())

    def whole(role: str, line: str | None) -> str | None:
        return None if line is None else shlex.join(command_words(line, role))

    return {
        "candidate": placed(candidate),
        "candidate_command": whole("candidate", candidate_command),
        "reference": placed(reference),
        "reference_command": whole("reference", reference_command),
        "mode": placed(mode),
    }


def _named_step(name: str) -> Callable[..., None]:
    def alone(run_dir: RunDir = None, reports_root: ReportsRoot = DEFAULT_ROOT) -> None:
        step(name, run_dir=run_dir, reports_root=reports_root)

    return alone


for _row in TABLE:
    if _row.name in ("provenance", "ledger", "handoff", "checksums", "stage"):  # the others have parts of their own
        app.command(name=_row.name, help=_row.sentence, rich_help_panel=PROCEDURE)(_named_step(_row.name))


@app.command(hidden=True)
def worker() -> None:
    """Serve subcommands to the runner, over standard input and output."""
    from tools.scaling.cli import main
    from tools.scaling.procedure.worker import serve

    serve(main)
