"""The gate over the three comparisons of a bundle: what each mode must show, and whether it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.scaling.base.discretion import located
from tools.scaling.base.repo import relative
from tools.scaling.bundle.layout import IMAGE_FOLDER, IMAGES, MODES, Mode, read_metrics, read_object
from tools.scaling.cases.case import find_case
from tools.scaling.procedure.pair import modes_in
from tools.scaling.traces.report import Status


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


def check_bundle(folder: Path, known: Mapping[str, Any], case: str | None = None) -> list[ModeCheck]:
    """Hold a bundle with this provenance against what `case`, by default its own, must show.

    Of another pair of implementations than our port and the golden data: the traces that both have, and their images.
    """
    settings = known["settings"]
    name, pixel = case or str(settings["case"]), tuple(settings["pixel"])
    how: dict[str, Any] = {"reference": known["reference"], "dtype": settings["dtype"]}
    if "implementations" not in known:
        return check_metrics(folder, name, pixel, **how)
    modes = modes_in(known)
    checks = check_metrics(folder, name, pixel, **how, modes=modes, untraced=True) if modes else []
    return checks + _image_checks(folder, expected=not modes)


def _image_checks(folder: Path, *, expected: bool) -> list[ModeCheck]:
    path = folder / IMAGE_FOLDER / IMAGES
    if not expected and not path.is_file():
        return []
    compared = read_object(path, "a comparison of images")
    shown = f"{compared['unequal']} of {compared['pixels']} pixels not bitwise equal, {compared['outliers']} beyond"
    diagnosis = compared.get("diagnosis")
    shown = "; ".join([shown, *map(str, [diagnosis["sentence"]] if diagnosis else compared["problems"][:1])])
    return [ModeCheck("images", "agreement within the limits", shown, bool(compared["passed"]))]


def check_metrics(
    folder: Path,
    case_name: str,
    pixel: tuple[int, int],
    *,
    reference: str,
    dtype: str = "float64",
    modes: Sequence[Mode] = tuple(MODES.values()),
    untraced: bool = False,
) -> list[ModeCheck]:
    """Hold the three metrics.json of a bundle against what the case must show.

    c-parity must not diverge. Where the case has known figures the two controls must diverge first in
    I_before_scaling, by those figures; elsewhere they are not judged. The figures are of the case's first traced
    pixel, against the `reference` trace that the case names, in float64. modes: those that were traced. untraced:
    factors that a trace does not have are unknown, and said; else they diverge.
    """
    case = find_case(case_name)
    own = case.c_trace is not None and relative(case.c_trace) == located(reference)
    expected = case.expected if own and dtype == "float64" and pixel in case.pixels[:1] else {}
    checks = []
    for mode in modes:
        metrics = read_metrics(folder, mode)
        first, count = metrics["first_divergence"], metrics["num_divergent"]
        missing = [name for name, row in metrics["factors"].items() if row.get("status") == Status.MISSING]
        unknown = ""
        if untraced and missing and len(missing) < len(metrics["factors"]):
            statuses = {name: row["status"] for name, row in metrics["factors"].items() if name not in missing}
            differing = [name for name, status in statuses.items() if status != Status.PASS]
            first, count = differing[0] if differing else None, len(differing)
            unknown = f"; unknown, not traced by both: {', '.join(missing)}"
        if mode.name == "c-parity":
            size = metrics["factors"].get(first, {}).get("rel_delta") if first else None
            by = "" if size is None else f" by {signed(size)}"
            shown = f"first_divergence {first or 'null'}{by}, num_divergent {count}{unknown}"
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
