"""`study NAME`: what measures the product itself. Most write a page of docs, all print what they found."""

from typing import Annotated

import typer

from tools.scaling.cli.options import app, say
from tools.scaling.errors import GateFailed

study = typer.Typer(
    help="Measure these tools and the port themselves; most of it takes minutes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(study, name="study")
Count = Annotated[int, typer.Option(help="How many.", min=1)]
Seed = Annotated[int, typer.Option(help="Of the random draw.")]


@study.command()
def mutations(count: Count = 10_000, seed: Seed = 0) -> None:
    """Mutate a chain of bundles at random and count what verify --all names; exit 1 unless it names every one."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from tools.scaling.evidence.mutations import run
    from tools.scaling.render.verification import tally_lines

    with TemporaryDirectory(prefix="mutations-") as folder:
        tally = run(count, seed, Path(folder))
    for line in tally_lines(tally):
        say(line)
    if not tally.ok:
        raise GateFailed("mutations: not all were named")


@study.command()
def inputs(
    count: Count = 400,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(help="How many at a time.", min=1)] = 2,
    page: Annotated[bool, typer.Option("--page", help="Write docs/bugs/bad_inputs.md.")] = False,
) -> None:
    """Give the port and the tools bad inputs, generated; exit 1 unless each is answered or refused in one line."""
    from tools.scaling.files import write_text
    from tools.scaling.repo import ROOT
    from tools.scaling.studies.inputs.run import run_study
    from tools.scaling.studies.inputs.text import study_lines, study_markdown

    endings = run_study(count, seed, jobs)
    if page:
        write_text(ROOT / "docs" / "bugs" / "bad_inputs.md", study_markdown(endings, seed))
    for line in study_lines(endings):
        say(line)
    if any(ending.fault for ending in endings):
        raise GateFailed("inputs: not every bad input ended as it should")
