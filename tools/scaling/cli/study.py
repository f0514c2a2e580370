"""`study NAME`: what measures the product itself. A study prints its results, and with --out it writes its page."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tools.scaling.base.errors import BadInput, GateFailed, Unavailable
from tools.scaling.base.files import json_bytes, make_folder, write_all, write_text
from tools.scaling.base.repo import ROOT
from tools.scaling.base.text import marked, write_marked
from tools.scaling.cli.options import STUDIES, MemoryLimit, Menu, app, say

study = typer.Typer(
    cls=Menu,
    help="Measure these tools and the port themselves; some take minutes or hours.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(study, name="study", rich_help_panel=STUDIES)
Seed = Annotated[int, typer.Option(help="Of the random draw.")]
Parts = Annotated[
    list[str] | None, typer.Option("--part", metavar="PART", help="A part alone; repeatable.", show_default="all")
]
Page = Annotated[Path | None, typer.Option(metavar="FILE", help="Markdown page to write, too; without it none is.")]


@study.command()
def mutations(
    count: Annotated[int, typer.Option(help="How many mutations.", min=1)] = 10_000,
    seed: Seed = 0,
) -> None:
    """Mutate a chain of bundles at random and count what verify --all names; exit 1 unless it names every one."""
    from tools.scaling.base.scratch import scratch
    from tools.scaling.studies.mutations import run, tally_lines

    with scratch("mutations") as folder:
        tally = run(count, seed, folder)
    for line in tally_lines(tally):
        say(line)
    if not tally.ok:
        raise GateFailed("mutations: not all were named")


@study.command()
def inputs(
    count: Annotated[int, typer.Option(help="How many inputs.", min=1)] = 400,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(help="How many at a time.", min=1)] = 2,
    out: Page = None,
) -> None:
    """Give the port and the tools bad inputs, generated; exit 1 unless each is answered or refused in one line."""
    from tools.scaling.studies.inputs.run import run_study
    from tools.scaling.studies.inputs.text import study_lines, study_markdown

    endings = run_study(count, seed, jobs)
    for line in study_lines(endings):
        say(line)
    if out is not None:
        write_text(out, study_markdown(endings, seed))
    if any(ending.fault for ending in endings):
        raise GateFailed("inputs: not every bad input ended as it should")


@study.command()
def mutants(
    singles: Annotated[int, typer.Option(help="Broken rules, one in each trace.", min=1)] = 150,
    pairs: Annotated[int, typer.Option(help="Traces with two broken rules.", min=0)] = 50,
    rounding: Annotated[int, typer.Option(help="Runs that differ by rounding only.", min=0)] = 1000,
    seed: Seed = 1,
    out: Page = None,
) -> None:
    """Break the port's rules on purpose and count how often explain names the right one; exit 1 if too seldom."""
    from tools.scaling.studies.mutants.run import study
    from tools.scaling.studies.mutants.text import study_lines, study_markdown

    measured = study(singles, pairs, rounding, seed)
    for line in study_lines(measured):
        say(line)
    if out is not None:
        write_text(out, study_markdown(measured))
    if not measured.ok:
        raise GateFailed("mutants: expected 97 % named first, 99 % among three, both of all pairs, no false alarm")


@study.command()
def kills(
    count: Annotated[int, typer.Option(help="How many kills.", min=1)] = 200,
    seed: Seed = 1,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Page whose marked part gets the table.")] = None,
) -> None:
    """Kill runs at random moments and judge what each of them leaves and says; exit 1 if any is not right."""
    from tools.scaling.studies.kills.run import Measure, study
    from tools.scaling.studies.kills.text import PART, ending_line, kills_table, measure_line, write_part

    def begun(measure: Measure, oom: bool) -> None:
        say(measure_line(measure))
        if not oom:
            say("no memory cgroup can be made here: no oom kills")

    if out is not None:
        marked(out, PART)
    measure, endings = study(count, seed, begun, lambda ending: say(ending_line(ending)))
    say(kills_table(endings))
    if out is not None:
        write_part(out, count, seed, measure, endings)
    wrong = sum(bool(ending.wrong) for ending in endings)
    if wrong:
        raise GateFailed(f"kills: {wrong} of {count} runs were not answered rightly")


@study.command()
def campaign(
    count: Annotated[int, typer.Option(help="How many mistakes, from the first of the table on.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Of the first case.", min=0)] = 0,
    only: Annotated[str, typer.Option(metavar="NAME", help="Mistakes whose name has this in it.")] = "",
    out: Page = None,
) -> None:
    """Plant mistakes in the port, one at a time; exit 1 unless a campaign finds all, and shrinks and names nine of ten.

    Takes some minutes.
    """
    from tools.scaling.studies.campaign.defects import DEFECTS
    from tools.scaling.studies.campaign.run import study as hunt
    from tools.scaling.studies.campaign.text import hunt_lines, hunt_markdown, hunted_line

    if only and out is not None:
        raise BadInput("--out: expected a page of mistakes in their order, got --only")
    chosen = [defect for defect in DEFECTS if only in defect.name][:count]
    if not chosen:
        raise BadInput(f"--only {only}: expected a part of a name of the table, got none")
    measured = hunt(seed, chosen, lambda each: say(hunted_line(each)))
    for line in hunt_lines(measured):
        say(line)
    if out is not None:
        write_text(out, hunt_markdown(measured))
    if not measured.ok:
        raise GateFailed("campaign: expected every mistake found, and 90 % of them shrunk and named")


@study.command()
def campaign_kills(count: Annotated[int, typer.Option(help="How many kills.", min=1)] = 200, seed: Seed = 1) -> None:
    """Kill workers, schedulers and callers of campaigns; exit 1 unless each case has one result at the end."""
    from tools.scaling.studies.campaign_kills import kills_table
    from tools.scaling.studies.campaign_kills import study as work

    made = work(count, seed, say)
    say(kills_table(made))
    for line in made.wrong:
        say(line)
    say(f"{made.cases:,} cases, {made.blamed} of them blamed for the deaths of their workers")
    if made.wrong:
        raise GateFailed(f"campaign-kills: {len(made.wrong)} things are not right after {count} kills")


@study.command()
def diagnosis(
    count: Annotated[int, typer.Option(help="How many switches of each seed.", min=1)] = 100,
    seed: Annotated[list[int], typer.Option(help="Of the random draw; may be given several times.")] = [1],  # noqa: B006
    out: Page = None,
) -> None:
    """Switch a quirk or a program at random and count how often the image alone names it; exit 1 if too seldom."""
    from tools.scaling.studies import diagnosis as work

    results = []
    for each in seed:
        results.append(work.study(count, each))
        for line in work.study_lines(results[-1]):
            say(line)
    if out is not None:
        write_text(out, work.study_markdown(results))
    if not all(result.enough for result in results):
        raise GateFailed("diagnosis: expected 90 % of the switches named")


@study.command()
def traps(out: Page = None) -> None:
    """Judge pairs whose right verdict is known, by these tools and by others; exit 1 where these are wrong."""
    from tools.scaling.studies.traps.others import find_tools
    from tools.scaling.studies.traps.run import run_traps
    from tools.scaling.studies.traps.text import lost_columns, traps_lines, traps_markdown

    tools = find_tools()
    lost = lost_columns(tools, out.read_text("ascii", "replace")) if out is not None and out.exists() else []
    if lost:
        raise Unavailable(f"{out}: would lose what it says of {', '.join(lost)}: not installed here")
    result = run_traps(tools)
    for line in traps_lines(result):
        say(line)
    if out is not None:
        write_text(out, traps_markdown(result))
    if result.wrong:
        raise GateFailed(f"traps: {len(result.wrong)} of {len(result.rows)} are not judged rightly")


@study.command()
def bench(
    repeats: Annotated[int, typer.Option(help="Turns of each kind.", min=1)] = 7,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write performance.md, .json and .png, too."),
    ] = None,
    part: Parts = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Page whose marked part gets the table of ratios.")
    ] = None,
    binary: Annotated[
        Path | None, typer.Option(help="Your own compiled nanoBragg; without it NB_C_BIN, and without that none.")
    ] = None,
) -> None:
    """Measure ratios of speed, beside your own nanoBragg if there is one, and peaks of memory, in one run."""
    from tools.scaling.bundle.environment import BINARY_VARIABLE
    from tools.scaling.matrix.reference import find_binary
    from tools.scaling.studies.bench import growth, table
    from tools.scaling.studies.bench import run as work

    if page is not None:
        marked(page, "bench")
    program = find_binary(binary) if binary or os.environ.get(BINARY_VARIABLE) else None
    measured = work.study(repeats, program, part or (), say)
    text = work.page(measured)
    for line in text.splitlines():
        say(line)
    if out is not None:
        make_folder(out)
        write_all({
            out / "performance.json": json_bytes(measured),
            out / "performance.md": text.encode("ascii"),
            **({out / "performance.png": growth.picture(measured["growth"])} if "growth" in measured else {}),
        })  # fmt: skip
    if page is not None:
        write_marked(page, "bench", table.readme_table(measured))


Quick = Annotated[bool, typer.Option("--quick", help="Fewer cases and smaller images.")]


@study.command()
def device(
    device: Annotated[str, typer.Option(help="Torch device: cuda, cuda:1, ...")] = "cuda",
    quick: Quick = False,
    part: Parts = None,
    seconds: Annotated[float, typer.Option(help="For all parts together.", min=1.0)] = 330.0,
    memory_limit: MemoryLimit = None,
    reports_root: Annotated[Path, typer.Option(help="Where bundles lie.", show_default="reports/device")] = (
        ROOT / "reports" / "device"
    ),
    bundle: Annotated[
        Path | None, typer.Option(metavar="RUN_DIR", help="Measure nothing: print a bundle that is there.")
    ] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Page whose marked part gets the tables.")] = None,
) -> None:
    """Prove the port on a device: tests, matrix, images, gradients, memory, speed; leave a sealed bundle."""
    from tools.scaling.bundle.bundle import Bundle
    from tools.scaling.page.device import device_markdown
    from tools.scaling.studies.device.run import Wanted, device_evidence

    if page is not None:
        marked(page, "device")
    limit = memory_limit * 2**20 if memory_limit else None
    wanted = Wanted(device, quick, tuple(part or ()), seconds, limit)
    made = Bundle(bundle.absolute()) if bundle else device_evidence(wanted, reports_root, say)
    if page is not None:
        write_marked(page, "device", device_markdown(made))
    say(device_markdown(made) if bundle else f"PASS: {made.shown('report.html')}")


@study.command(hidden=True)
def device_parts(
    parts: Annotated[list[str], typer.Argument(metavar="PART...")],
    device: Annotated[str, typer.Option(help="Torch device.")] = "cuda",
    quick: Quick = False,
) -> None:
    """Measure parts of the evidence of a device: what `device` starts."""
    from tools.scaling.studies.device.parts import Place, serve

    serve(Place(device, quick), parts)


@study.command()
def footprint() -> None:
    """Measure what the simulator holds: the constants by which the memory planner counts."""
    from tools.scaling.studies.footprint import figure_lines, measure

    for line in figure_lines(measure(say)):
        say(line)
