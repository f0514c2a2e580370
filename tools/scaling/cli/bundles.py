"""Subcommands on bundles: check one or all, repeat one, look at many."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.base.errors import BadInput, GateFailed
from tools.scaling.base.files import write_text
from tools.scaling.cli.options import (
    BUNDLES,
    DEFAULT_ROOT,
    AsJson,
    Junit,
    ReportsRoot,
    app,
    say,
    tell,
)

PublicKey = Annotated[Path | None, typer.Option(metavar="KEY", help="Check the signature against this key (PEM).")]


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


@app.command(rich_help_panel=BUNDLES)
def index(reports_root: ReportsRoot = DEFAULT_ROOT) -> None:
    """Write reports/index.html: all bundles, filterable, with their trends."""
    from tools.scaling.page.index import write_index

    say(f"wrote {write_index(reports_root)}")
