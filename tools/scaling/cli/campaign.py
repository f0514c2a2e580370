"""`campaign`: any number of drawn cases, each held against everything, on the cores of this machine or of many."""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.scaling.base.errors import BadInput, GateFailed
from tools.scaling.base.repo import ROOT, relative
from tools.scaling.base.text import counted
from tools.scaling.cli.options import MANY_CASES, Device, Dtype, MemoryLimit, Menu, app, say, tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from tools.scaling.campaign.engine.run import Standing, Watcher
    from tools.scaling.campaign.failures.groups import FailureGroup, ShrunkCase
    from tools.scaling.campaign.tally import CheckTally, Failure

campaign = typer.Typer(cls=Menu, rich_markup_mode=None, invoke_without_command=True)
app.add_typer(campaign, name="campaign", rich_help_panel=MANY_CASES)
STORE = ROOT / "reports" / "campaign"
MINUTE = 60.0
SHOWN = 20  # groups of failures
Seeds = Annotated[
    str | None,
    typer.Option(metavar="FIRST:END,...", help="Cases, END not among them; a set, in any order; a seed alone, too."),
]
Against = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A program that is run on each case: a shipped name or a TOML file."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Of a dask scheduler, whose workers compute; without it this machine does."),
]
Store = Annotated[Path, typer.Option(metavar="DIR", help="Where results are kept.", show_default="reports/campaign")]
Workers = Annotated[
    int | None, typer.Option(help="Processes of this machine.", min=1, show_default="its cores; 1 for a GPU")
]
ShardSize = Annotated[int, typer.Option(help="Cases that are handed out, and kept, together.", min=1)]
Precision = Annotated[Dtype, typer.Option(help="In which the port computes once more.")]


@campaign.callback()
def run(
    context: typer.Context,
    seeds: Seeds = None,
    against: Against = None,
    scheduler: Scheduler = None,
    store: Store = STORE,
    workers: Workers = None,
    shard: ShardSize = 100,
    device: Device = "cpu",
    dtype: Precision = Dtype.float32,
    memory_limit: MemoryLimit = None,
    work: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Hold drawn cases against everything that is known; what is in the store is not done again; exit 1 on failures.

    Call it once more to go on, whatever ended it.
    """
    if context.invoked_subcommand is not None:
        return
    from tools.scaling.campaign.engine import run as engine
    from tools.scaling.campaign.engine.key import JUDGE, Asked, absolute
    from tools.scaling.campaign.failures.golden import shrink_groups
    from tools.scaling.campaign.failures.groups import SHRUNK, groups
    from tools.scaling.campaign.tally import Tally

    if scheduler and workers:
        raise BadInput("campaign: expected --scheduler or --workers, got both: a scheduler has its own workers")
    wanted = _wanted(seeds)
    asked = Asked(device, dtype.value, absolute(against), work or JUDGE)
    crew = engine.Crew(scheduler or "", workers, memory_limit * 2**20 if memory_limit else None)
    with _watcher() as watcher:
        folder, standing = engine.run(asked, wanted, store, crew, shard, watcher)
    tally = Tally()
    failures = list(tally.failures(folder, wanted))
    made = groups(failures)
    if made and asked.work == JUDGE:
        made = groups(failures, shrink_groups(made, asked.how, folder / SHRUNK, tell=tell))
    for line in (*summary_lines(tally.checks), *group_lines(failures, made), *standing_lines(standing)):
        say(line)
    say(f"store: {relative(folder)}")
    _page(store, folder)
    cases = counted(tally.cases, "case")
    if failures:
        raise GateFailed(f"campaign: {tally.failed:,} of {cases} {'fails' if tally.failed == 1 else 'fail'}")
    say(f"campaign: {cases}, none fails")


def _wanted(seeds: str | None) -> list[range]:
    """The seeds, in order; a line tells where they were not."""
    from tools.scaling.campaign.engine.store import parse_seeds, seeds_text

    if seeds is None:
        raise BadInput("campaign: expected --seeds FIRST:END, got none")
    wanted = parse_seeds(seeds)
    named = [span for word in seeds.split(",") for span in parse_seeds(word)]
    if any(later.start < earlier.stop for earlier, later in pairwise(named)):
        tell(f"--seeds: taken as {seeds_text(wanted)}")
    return wanted


@campaign.command()
def shrink(
    seed: Annotated[int, typer.Argument(metavar="SEED", min=0)],
    check: Annotated[
        str | None, typer.Option(metavar="NAME", help="That fails.", show_default="the one that tells most")
    ] = None,
    against: Against = None,
    store: Store = STORE,
    device: Device = "cpu",
    dtype: Precision = Dtype.float32,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The case to write.", show_default="in the store")
    ] = None,
) -> None:
    """Make a failing case as small as it can be, and write it as a golden case, with its command line and its cause."""
    from tools.scaling.campaign.engine.key import Asked, absolute, key_of
    from tools.scaling.campaign.engine.store import open_key
    from tools.scaling.campaign.failures.golden import failing, shrink_seed
    from tools.scaling.campaign.failures.groups import RECORD, SHRUNK, read_record, signature
    from tools.scaling.campaign.generator import draw

    asked = Asked(device, dtype.value, absolute(against))
    failures = failing(seed, asked.how, check)
    if not failures:
        say(f"seed {seed} {f'does not fail {check}' if check else 'fails no check'}")
        return
    first, *others = failures
    name = f"{signature(first, draw(seed).flags).name}-{seed}"
    folder = out or open_key(store, key_of(asked)) / SHRUNK / name
    there = out is None and (folder / RECORD).is_file()
    made = read_record(folder / RECORD) if there else shrink_seed(seed, asked.how, first.check, folder)
    if made is None:
        raise BadInput(f"seed {seed}: expected the failure of {first.check} again, got none: it is not reproducible")
    for line in shrunk_lines(made):
        say(line)
    say(f"{counted(made.kept, 'flag')} of {made.given} left after {counted(made.trials, 'trial')}: {relative(folder)}")
    if others:
        say(f"also fails: {', '.join(verdict.check for verdict in others)}; --check NAME shrinks for one of them")


@campaign.command()
def page(
    store: Store = STORE,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page.", show_default="campaign.html in the store")
    ] = None,
) -> None:
    """Write campaign.html of the campaign that was done last: failures, coverage, deviations, what has changed."""
    _page(store, None, out)


def _page(store: Path, folder: Path | None, out: Path | None = None) -> None:
    from tools.scaling.campaign.page import write_campaign_page

    say(f"page: {relative(write_campaign_page(store, folder, out))}")


def summary_lines(checks: "Mapping[str, CheckTally]") -> Iterator[str]:
    """How each check ended, as a table."""
    from tools.scaling.campaign.record import Status

    width = max(map(len, [*checks, "check"]))
    yield "  ".join([f"{'check':<{width}}", *(f"{status.value:>9}" for status in Status)])
    for name, check in checks.items():
        yield "  ".join([f"{name:<{width}}", *(f"{check.status[status]:>9,}" for status in Status)])


def group_lines(failures: "Sequence[Failure]", made: "Sequence[FailureGroup]") -> Iterator[str]:
    """The failures by what they have in common, those of one cause together, with what was shrunk of them."""
    told: set[tuple[str, ...]] = set()
    said = {(seed, verdict.check): verdict.says for seed, verdict, _ in failures}
    for group in made[:SHOWN]:
        sign, first = group.signature, group.seeds[0]
        what = " ".join(filter(None, [sign.check, sign.label, *sign.quirks, sign.decade]))
        more = ", ..." if group.count > 3 else ""
        yield f"{counted(group.count, 'case')}: {what}: seed {', '.join(map(str, group.seeds[:3]))}{more}"
        yield f"    {said[first, sign.check]}"
        lines = tuple(shrunk_lines(group.shrunk)) if group.shrunk is not None else ()
        if lines not in told:
            yield from (f"    {line}" for line in lines)
        told.add(lines)
    if len(made) > SHOWN:
        yield f"and {counted(len(made) - SHOWN, 'more group')} of failures"


def shrunk_lines(made: "ShrunkCase") -> Iterator[str]:
    """The command line of a shrunk case, and what it shows."""
    yield made.command
    yield made.sentence


def standing_lines(standing: "Standing") -> Iterator[str]:
    """How fast it was; nothing where all was in the store."""
    if standing.cases:
        share = standing.seconds / (standing.elapsed * max(standing.crew, 1))
        yield (
            f"{counted(standing.cases, 'case')} in {standing.elapsed:.1f} s, {standing.rate:.1f} a second; "
            f"{counted(standing.crew, 'worker')}, {share:.0%} of the time in cases"
        )


@contextmanager
def _watcher() -> "Iterator[Watcher]":
    """Who tells a person, or a log, how it goes."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
            yield _Bar(progress)
        return
    log = _Log()
    try:
        yield log
    finally:
        log.over.set()


def _told(standing: "Standing") -> str:
    left = "?" if standing.left is None else str(timedelta(seconds=round(standing.left)))
    return (
        f"{standing.rate:.1f}/s, {counted(standing.failed, 'failure')}, {counted(standing.crew, 'worker')}, {left} left"
    )


class _Bar:
    """A progress bar."""

    def __init__(self, progress: "Progress") -> None:
        self.progress = progress
        self.task: TaskID | None = None

    def tell(self, line: str) -> None:
        self.progress.console.print(line, markup=False, highlight=False)

    def begun(self, standing: "Standing", dashboard: str) -> None:
        self.tell(f"dashboard: {dashboard}")
        self.task = self.progress.add_task("", total=standing.total)

    def advanced(self, standing: "Standing") -> None:
        if self.task is not None:
            self.progress.update(self.task, completed=standing.cases, description=_told(standing))


class _Log:
    """A line a minute, whether anything has happened or not."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def tell(self, line: str) -> None:
        tell(line)

    def begun(self, standing: "Standing", dashboard: str) -> None:
        tell(f"{counted(standing.total, 'case')} to do; dashboard: {dashboard}")
        threading.Thread(target=self._minutes, args=(standing,), daemon=True).start()

    def advanced(self, standing: "Standing") -> None:
        pass

    def _minutes(self, standing: "Standing") -> None:
        while not self.over.wait(MINUTE):
            tell(f"{standing.cases:,} of {counted(standing.total, 'case')}, {_told(standing)}")
