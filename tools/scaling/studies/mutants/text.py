"""What the study of mutants measured -> lines for a terminal, and its page."""

from tools.scaling.base.text import table
from tools.scaling.studies.mutants.run import MutantOutcome, MutantStudy


def study_lines(measured: MutantStudy) -> list[str]:
    """Return the sums, and a line for each defect that was named where there is none."""
    return [*_sums(measured), *measured.alarms]


def study_markdown(measured: MutantStudy) -> str:
    """Return the page: the sums, a row for each single mutant, and one for each pair."""
    single, double = measured.single, measured.double
    singles = ("case", "area", "mutant", "counts as found", "relative size", "rank", "causes named")
    pairs = ("case", "mutant", "rank", "mutant", "rank", "causes named")
    lines = [
        "# Mutants",
        "",
        f"`python -m tools.scaling study mutants --singles {len(single)} --pairs {len(double)} "
        f"--rounding {measured.rounding} --seed {measured.seed}` made this page (`nox -s mutants`). "
        "What it means: [attribution.md](../architecture/attribution.md).",
        "",
        *_sums(measured),
        "",
        table(singles, map(_single, single), cell=str),
        "",
        "## Pairs",
        "",
        table(pairs, (_pair(*two) for two in double), cell=str),
    ]
    return "\n".join(lines) + "\n"


def _sums(measured: MutantStudy) -> list[str]:
    count, pairs = len(measured.single), len(measured.double)
    unlisted = sum(not each.mutant.listed for each in measured.single)
    seen = sum(bool(each.named) for each in measured.single)
    return [
        f"- single mutants: {count}, {unlisted} of them in no table of `explain`",
        f"- something found: {seen} of {count}",
        f"- right quantity first: {measured.first} of {count}; among the first three: {measured.three} of {count}",
        f"- pairs with both named: {measured.both} of {pairs}",
        f"- runs that differ by rounding only: {measured.rounding}, defects found in them: {len(measured.alarms)}",
    ]


def _single(each: MutantOutcome) -> tuple[object, ...]:
    mutant, rank = each.mutant, str(each.rank) if each.rank else "not named"
    right, named = ", ".join(mutant.expected[:3]), ", ".join(each.named[:4])
    return each.subject, mutant.area, mutant.text, right, f"{each.defect_rel:.1e}", rank, named


def _pair(one: MutantOutcome, two: MutantOutcome) -> tuple[object, ...]:
    named = ", ".join(one.named[:5])
    return one.subject, one.mutant.text, one.rank, two.mutant.text, two.rank, named
