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
