"""Subcommands that the steps of the procedure run."""

from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.base.errors import BadInput, GateFailed
from tools.scaling.cli.options import (
    DEFAULT_ROOT,
    PARTS,
    CaseName,
    Device,
    ReportsRoot,
    RunDir,
    app,
    say,
)


@app.command(rich_help_panel=PARTS)
def env(
    out: Annotated[Path | None, typer.Option(help="Where to write it; without it, into the bundle.")] = None,
    run_dir: RunDir = None,
    reports_root: ReportsRoot = DEFAULT_ROOT,
) -> None:
    """Write env.json: what makes numbers differ from one machine to the next."""
    from tools.scaling.base.files import write_json
    from tools.scaling.bundle.bundle import open_bundle
    from tools.scaling.bundle.environment import environment_record
    from tools.scaling.bundle.layout import ENVIRONMENT

    path = out or open_bundle(reports_root, run_dir).path(ENVIRONMENT)
    write_json(path, environment_record())
    say(f"wrote {path}")


@app.command(rich_help_panel=PARTS)
def check(
    run_dir: RunDir = None,
    case: CaseName = None,
    reports_root: ReportsRoot = DEFAULT_ROOT,
) -> None:
    """Gate the three comparisons of a bundle: c-parity must agree, the controls must diverge as known."""
    from tools.scaling.bundle.bundle import Bundle, open_bundle
    from tools.scaling.procedure.check import check_bundle

    bundle = Bundle(run_dir.absolute()) if run_dir is not None else open_bundle(reports_root)
    checks = check_bundle(bundle.folder, bundle.provenance(), case)
    for each in checks:
        say(f"{'ok  ' if each.ok else 'FAIL'} {each.line}")
    failed = [each.line for each in checks if not each.ok]
    if failed:
        raise GateFailed(f"check: {'; '.join(failed)}")


@app.command(rich_help_panel=PARTS)
def collect(
    files: Annotated[list[str] | None, typer.Argument(help="Test files; default the mapped ones.")] = None,
) -> None:
    """pytest --collect-only of the mapped test files, one by one."""
    from tools.scaling.base.repo import MAPPED_TESTS
    from tools.scaling.procedure.mapped import pytest_files

    for name in files or MAPPED_TESTS:
        pytest_files([name], "--collect-only")


@app.command(rich_help_panel=PARTS)
def pytest(
    device: Device = "cpu",
    optional: Annotated[bool, typer.Option("--optional", help="Without the device, say why and pass.")] = False,
) -> None:
    """Run the mapped tests on a device; never the full suite."""
    from tools.scaling.procedure.mapped import mapped_tests

    reason = mapped_tests(device, optional)
    if reason:
        say(f"SKIP {reason}")


@app.command(rich_help_panel=PARTS)
def page(run_dir: Annotated[Path, typer.Argument(help="An open bundle.")]) -> None:
    """Write report.html into a bundle that is not sealed yet."""
    from tools.scaling.bundle.bundle import open_bundle
    from tools.scaling.bundle.layout import COMMANDS
    from tools.scaling.page.report import write_report

    bundle = open_bundle(DEFAULT_ROOT, run_dir)
    if not bundle.path(COMMANDS).is_file():
        raise BadInput(f"{run_dir}: expected the folder of a run, got one without {COMMANDS}")
    say(f"wrote {write_report(bundle)}")


@app.command(rich_help_panel=PARTS)
def inspect(trace: Annotated[Path, typer.Argument(help="A trace.", readable=False)]) -> None:
    """Say whether a trace has the nine factors and both polar values, once each."""
    from tools.scaling.traces.files import inspect_file

    problems = inspect_file(trace)
    for line in problems:
        say(line)
    if problems:
        raise GateFailed(f"{trace}: {len(problems)} header lines are not as expected")
    say(f"{trace}: the nine factors and both polar values are there, once each")
