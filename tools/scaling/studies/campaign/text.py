"""What the study of planted mistakes measured -> lines for a terminal, and its page."""

from tools.scaling.base.files import to_ascii
from tools.scaling.base.text import counted, table
from tools.scaling.studies.campaign.run import CASES, FEW, Hunt, Hunted

_INTRODUCTION = """\
# Planted mistakes

Each row is a mistake that a porter makes, put into a copy of the port by changing one place of its text
(`tools/scaling/studies/campaign/defects.py` has the texts). With the defective port, cases of the generator are judged
one after the other until a check fails that does not fail without the mistake; the case is shrunk and named as
`campaign shrink SEED` does.

- cases: how many were judged until then. The checks that are likely to find the mistake are asked first, and all where
  they do not; a campaign asks all of each case, and so needs no more cases.
- left: the flags of the shrunk case beyond -cell, -distance and -lambda.
- named, right: the quantity, setting or file that is said to differ, and whether it tells where the mistake is."""


def hunted_line(each: Hunted) -> str:
    """Return one line about one mistake."""
    if not each.found:
        return f"NOT FOUND in {each.cases} cases: {each.defect.name} {each.says}".rstrip()
    left = "not shrunk" if each.left is None else f"{counted(len(each.left), 'flag')} left"
    named = f"{'named' if each.right else 'NAMED WRONGLY'} {each.cause}"
    return (
        f"{each.defect.name}: {each.check}, {each.cases} cases, {left}, {named} ({each.seconds:.0f} s): {each.command}"
    )


def hunt_lines(measured: Hunt) -> list[str]:
    """Return the sums."""
    outcomes = measured.outcomes
    found = [each.cases for each in outcomes if each.found]
    most, middle = max(found, default=0), sorted(found)[len(found) // 2] if found else 0
    within = f"half of them within {middle}, all within {most}"
    return [
        f"- found within {CASES} cases: {len(found)} of {len(outcomes)}; {within}",
        f"- shrunk to {FEW} flags or fewer: {sum(each.few for each in outcomes)} of {len(outcomes)}",
        f"- named rightly: {sum(each.right for each in outcomes)} of {len(outcomes)}",
    ]


def hunt_markdown(measured: Hunt) -> str:
    """Return the page: the sums, and a row for each mistake."""
    head = ("mistake", "file", "check", "cases", "left", "named", "right", "shrunk case")
    count, first = len(measured.outcomes), measured.first
    made = f"`python -m tools.scaling study campaign --count {count} --seed {first}` made this page, as measured."
    parts = [_INTRODUCTION, made, "\n".join(hunt_lines(measured)), table(head, map(_row, measured.outcomes), cell=str)]
    return to_ascii("\n\n".join(parts) + "\n")


def _row(each: Hunted) -> tuple[object, ...]:
    left = "-" if each.left is None else len(each.left)
    right = "yes" if each.right else "**no**"
    check = each.check or "**not found**"
    shown = f"`{each.command}`" if each.command else "-"
    return each.defect.name, each.defect.file, check, each.cases, left, each.cause or "-", right, shown
