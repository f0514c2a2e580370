"""Effects of quirks -> text. No arithmetic."""

from collections.abc import Sequence

from tools.scaling.matrix.effects import QuirkEffect


def quirk_lines(case: str, effects: Sequence[QuirkEffect]) -> list[str]:
    """A line a quirk: number, largest change of a pixel, pixels and traced numbers changed, name."""
    lines = [f"{case}: each quirk switched off alone", f"{'id':<5}{'image':>10}{'pixels':>8}{'numbers':>9}  name"]
    for row in effects:
        if row.refused:
            lines.append(f"{row.id:<5}{'refused':>10}{'':>17}  {row.name}: {row.refused}")
        elif row.silent:
            lines.append(f"{row.id:<5}{'-':>10}{'-':>8}{'-':>9}  {row.name}")
        else:
            lines.append(f"{row.id:<5}{row.image:>10.2e}{row.pixels:>8}{row.numbers:>9}  {row.name}")
    return lines
