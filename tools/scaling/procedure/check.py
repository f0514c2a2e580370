"""The gate over the three comparisons of a bundle: what each mode must show, and whether it does."""

from dataclasses import dataclass
from pathlib import Path

from tools.scaling.base.discretion import located
from tools.scaling.base.repo import relative
from tools.scaling.bundle.layout import MODES, read_metrics
from tools.scaling.cases.case import find_case


@dataclass(frozen=True)
class ModeCheck:
    """What the comparison of one mode must show, what it shows, and whether that is right."""

    mode: str
    expected: str
    shown: str
    ok: bool

    @property
    def line(self) -> str:
        return f"{self.mode}: expected {self.expected}; found {self.shown}"


def check_metrics(
    folder: Path, case_name: str, pixel: tuple[int, int], *, reference: str, dtype: str = "float64"
) -> list[ModeCheck]:
    """Hold the three metrics.json of a bundle against what the case must show.

    c-parity must not diverge. Where the case has known figures the two controls must diverge first in
    I_before_scaling, by those figures; elsewhere they are not judged. The figures are of the case's first traced
    pixel, against the `reference` trace that the case names, in float64.
    """
    case = find_case(case_name)
    own = case.c_trace is not None and relative(case.c_trace) == located(reference)
    expected = case.expected if own and dtype == "float64" and pixel in case.pixels[:1] else {}
    checks = []
    for mode in MODES.values():
        metrics = read_metrics(folder, mode)
        first, count = metrics["first_divergence"], metrics["num_divergent"]
        if mode.name == "c-parity":
            size = metrics["factors"].get(first, {}).get("rel_delta") if first else None
            by = "" if size is None else f" by {signed(size)}"
            shown = f"first_divergence {first or 'null'}{by}, num_divergent {count}"
            agrees = first is None and count == 0
            checks.append(ModeCheck(mode.name, "first_divergence null, num_divergent 0", shown, agrees))
            continue
        delta = metrics["factors"]["I_before_scaling"]["rel_delta"]
        shown = f"first_divergence {first or 'null'}, I_before_scaling {signed(delta)}"
        figure = expected.get(mode.name)
        if figure is None:
            checks.append(ModeCheck(mode.name, "no known figure: reported, not judged", shown, True))
            continue
        wanted, width = figure["rel_delta"], figure["tolerance"]
        ok = first == "I_before_scaling" and delta is not None and abs(delta - wanted) <= width
        text = f"first_divergence I_before_scaling, {wanted:.6e} +- {width:.0e}"
        checks.append(ModeCheck(mode.name, text, shown, ok))
    return checks


def signed(value: float | None) -> str:
    """Return a relative delta with its sign; none where there is no number."""
    return "none" if value is None else f"{value:+.6e}"
