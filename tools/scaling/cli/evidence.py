"""Subcommands that record, check and test."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.base.errors import BadInput, GateFailed
from tools.scaling.cli.options import (
    BUNDLES,
    DEFAULT_ROOT,
    PARTS,
    AsJson,
    CaseName,
    Device,
    Junit,
    ReportsRoot,
    RunDir,
    app,
    say,
    tell,
)

PublicKey = Annotated[Path | None, typer.Option(metavar="KEY", help="Check the signature against this key (PEM).")]


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
    from tools.scaling.procedure.check import check_metrics

    bundle = Bundle(run_dir.absolute()) if run_dir is not None else open_bundle(reports_root)
    known = bundle.provenance()
    settings = known["settings"]
    checks = check_metrics(
        bundle.folder, case or str(settings["case"]), tuple(settings["pixel"]),
        reference=known["reference"], dtype=settings["dtype"],
    )  # fmt: skip
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


@app.command(rich_help_panel=BUNDLES)
def verify(
    run_dir: Annotated[Path | None, typer.Argument(help="A sealed bundle.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every bundle, and the chain that they are.")] = False,
    public_key: PublicKey = None,
    junit: Junit = None,
    as_json: AsJson = False,
    reports_root: ReportsRoot = DEFAULT_ROOT,
) -> None:
    """Hash a bundle again, or all of them, and name everything that is not as it was sealed."""
    from tools.scaling.base.files import write_text
    from tools.scaling.bundle import text as render
    from tools.scaling.bundle.verify import verify_all, verify_bundle
    from tools.scaling.cli.junit import chain_junit, errors_to_junit, verdict_junit

    with errors_to_junit(junit, "verify"):
        if every:
            chain = verify_all(reports_root, public_key, also=run_dir)
            ok, data, text, lines = chain.ok, chain.to_dict(), chain_junit(chain), render.chain_lines(chain)
        elif run_dir is not None:
            one = verify_bundle(run_dir, public_key)
            ok, data, text, lines = one.ok, one.to_dict(), verdict_junit(one), render.verdict_lines(one)
        else:
            raise BadInput("verify: expected RUN_DIR or --all, got neither")
    if junit:
        write_text(junit, text)
    for line in [json.dumps(data)] if as_json else lines:
        say(line)
    if not ok:
        raise GateFailed(f"{reports_root if every else run_dir}: does not hold")
    if data["unasked"]:
        raise BadInput(data["unasked"])


@app.command(rich_help_panel=BUNDLES)
def replay(
    run_dir: Annotated[Path, typer.Argument(help="A sealed bundle.")],
    trust: Annotated[bool, typer.Option("--trust", help="Run what it carries though nobody vouches for it.")] = False,
    public_key: PublicKey = None,
    as_json: AsJson = False,
) -> None:
    """Run a bundle's steps again from its commit and name the first thing that differs."""
    from tools.scaling.procedure.replay import replay as run_again
    from tools.scaling.procedure.text import replay_lines

    result = run_again(run_dir, tell, public_key=public_key, trust=trust)
    for line in [json.dumps(result.to_dict())] if as_json else replay_lines(result):
        say(line)
    if not result.ok:
        raise GateFailed(f"{run_dir}: the replay differs")


@app.command(rich_help_panel=BUNDLES)
def history(
    since: Annotated[str | None, typer.Option(help="Bundles from this time on, e.g. 2026-11-23.")] = None,
    as_json: AsJson = False,
    reports_root: ReportsRoot = DEFAULT_ROOT,
) -> None:
    """One row a bundle, a sparkline a quantity, and the commits between which one got worse."""
    from tools.scaling.bundle.history import history as read
    from tools.scaling.bundle.text import history_lines

    record = read(reports_root, since)
    for line in [json.dumps(record.to_dict())] if as_json else history_lines(record):
        say(line)


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


@app.command(rich_help_panel=BUNDLES)
def index(reports_root: ReportsRoot = DEFAULT_ROOT) -> None:
    """Write reports/index.html: all bundles, filterable, with their trends."""
    from tools.scaling.page.index import write_index

    say(f"wrote {write_index(reports_root)}")
