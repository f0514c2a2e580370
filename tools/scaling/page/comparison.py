"""metrics.json and explain.json of one comparison -> what its section of the page shows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tools.scaling.bundle.layout import EXPLAINED, METRICS, MODES, SUMMARY, Mode
from tools.scaling.page.reading import LONG, Reader, finite, number, short
from tools.scaling.page.view import Attribution, CauseRow, Comparison, Differing, Factor, Pair, PhiSeries, PhiStep

EXPECTED = {
    "c-parity": "The port as it is. It must agree with the reference.",
    "spec": "A control: phi = 0 is rotated afresh, which the reference does not do (Q29).",
    "legacy": "A control: the detector and beam vectors are used as given, which the reference does not do (Q03).",
}
# How many of each are shown; POINTS is of phi steps.
FACTORS, DIFFERING, SERIES, POINTS, CAUSES, REMARKS, ORPHANS = 12, 40, 4, 150, 12, 12, 20


def comparisons_of(reader: Reader, pair: Mapping[str, Any] | None = None) -> tuple[Comparison, ...]:
    """Return those of the three comparisons that are there and can be read, c-parity first.

    pair: the two implementations, where they are not our port and the golden data.
    """
    made = (_comparison(reader, mode, pair) for mode in MODES.values())
    return tuple(each for each in made if each is not None)


def _comparison(reader: Reader, mode: Mode, pair: Mapping[str, Any] | None) -> Comparison | None:
    metrics, explained = reader.json(mode.path(METRICS)), reader.json(mode.path(EXPLAINED))
    if metrics is None:
        return None
    attribution = None
    if explained is not None:
        attribution = reader.made(mode.path(EXPLAINED), lambda: _attribution(explained))
    made: Comparison | None = reader.made(
        mode.path(METRICS),
        lambda: _compared(mode.name, _expected(pair, mode), mode.path(SUMMARY), metrics, attribution),
    )
    return made


def _expected(pair: Mapping[str, Any] | None, mode: Mode) -> str:
    """Return what the comparison of a mode should show, with the names of two programs where there are two."""
    if mode.name != "c-parity" or pair is None:
        return EXPECTED[mode.name]
    reference, candidate = (short(str(pair[role]["name"])) for role in ("reference", "candidate"))
    return f"{candidate} (PY) as it is. It must agree with {reference} (C)."


def _compared(
    name: str, expected: str, summary: str, metrics: dict[str, Any], attribution: Attribution | None
) -> Comparison:
    factors = tuple(_factor(key, row) for key, row in list(metrics["factors"].items())[:FACTORS])
    first, count = metrics["first_divergence"], int(metrics["num_divergent"])
    rows = metrics.get("quantities", [])
    orphans = metrics.get("orphans", [])
    differing = [row for row in rows if row["status"] != "PASS"]
    agrees = first is None and count == 0
    words = ("PASS", "DIVERGENT") if name == "c-parity" else ("AGREES", "DIVERGES")
    return Comparison(
        name=name,
        expected=expected,
        verdict=words[0] if agrees else words[1],
        headline=_headline(metrics, factors, agrees),
        summary=summary,
        factors=factors,
        differing=tuple(_differing(row) for row in differing[:DIFFERING]),
        differing_count=len(differing),
        traced_count=len(rows),
        series=_series(metrics.get("per_phi", [])),
        orphans=tuple(_orphan(row) for row in orphans[:ORPHANS]),
        orphans_count=len(orphans),
        attribution=attribution,
        remarks=tuple(short(line, LONG) for line in _strings(metrics, "warnings", "hypotheses"))[:REMARKS],
    )


def _headline(metrics: dict[str, Any], factors: Sequence[Factor], agrees: bool) -> str:
    tolerance = f"tolerance {number(metrics['tolerance_rel']):.3g} relative"
    loosened = ", LOOSENED" if metrics.get("tolerance_loosened") else ""
    if agrees:
        return f"All {len(factors)} factors agree with the reference ({tolerance}{loosened})."
    first = str(metrics["first_divergence"])
    rel = next((row.rel for row in factors if row.name == first), None)
    size = "" if rel is None else f", {rel:+.6e} relative"
    upstream = metrics.get("first_upstream_divergence")
    origin = f" The earliest traced difference is {short(str(upstream))}." if upstream else ""
    return f"First divergence: {short(first)}{size} ({tolerance}{loosened}).{origin}"


def _factor(name: str, row: dict[str, Any]) -> Factor:
    c, py, size, rel = (number(row[key]) for key in ("c_value", "py_value", "abs_delta", "rel_delta"))
    return Factor(short(name), short(str(row["description"])), c, py, size, rel, short(str(row["status"])))


def _differing(row: dict[str, Any]) -> Differing:
    part = "" if row["component"] is None else f"[{row['component']}]"
    nth = f" #{row['occurrence'] + 1}" if row["occurrence"] else ""
    c, py, rel = (number(row[key]) for key in ("c", "py", "rel"))
    return Differing(
        short(f"{row['name']}{part}{nth}"), short(str(row["stage"])), c, py, rel, short(str(row["status"]))
    )


def _orphan(row: dict[str, Any]) -> Pair:
    note = f"; {row['note']}" if row["note"] else ""
    return Pair(short(str(row["name"])), short(f"{row['c_count']} times in C, {row['py_count']} in PY{note}"))


def _series(rows: Sequence[dict[str, Any]]) -> tuple[PhiSeries, ...]:
    """Return each quantity of the first sweep over its phi steps, against phi where it was traced."""
    by_name: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        if row["occurrence"] == 0:
            by_name.setdefault(str(row["name"]).removeprefix("PHI."), {})[int(row["phi_tic"])] = row
    sweeps = 1 + max((int(row["occurrence"]) for row in rows), default=0)
    angles = {tic: number(row["c"]) for tic, row in by_name.pop("phi_deg", {}).items()}
    tics = {tic for steps in by_name.values() for tic in steps}
    traced = all(finite(angles.get(tic)) is not None for tic in tics)
    axis = "phi (deg)" if traced else "phi step"
    made = []
    for name, by_tic in list(by_name.items())[:SERIES]:
        steps = [_step(angles[tic] if traced else tic, row) for tic, row in sorted(by_tic.items())]
        kept = thinned(steps)
        sizes = [abs(rel) for rel in (number(row["rel"]) for row in by_tic.values()) if rel is not None]
        worst = math.nan if any(map(math.isnan, sizes)) else max(sizes, default=None)
        made.append(PhiSeries(short(name), axis, kept, sweeps, worst, len(steps) - len(kept)))
    return tuple(made)


def _step(x: Any, row: dict[str, Any]) -> PhiStep:
    c, py = finite(number(row["c"])), finite(number(row["py"]))
    difference = None if c is None or py is None else finite(py - c)
    return PhiStep(float(x), c, py, difference, short(str(row["status"])))


def thinned(steps: Sequence[PhiStep]) -> tuple[PhiStep, ...]:
    """Return at most POINTS steps: of every stretch the lowest, the highest and the one that differs most."""
    if len(steps) <= POINTS:
        return tuple(steps)
    stretches = POINTS // 3
    kept: set[int] = set()
    for nth in range(stretches):
        at = range(nth * len(steps) // stretches, (nth + 1) * len(steps) // stretches)
        heights = {i: steps[i].py or steps[i].c or 0.0 for i in at}
        kept |= {min(at, key=heights.__getitem__), max(at, key=heights.__getitem__)}
        kept.add(max(at, key=lambda i: abs(steps[i].difference or 0.0)))
    return tuple(steps[i] for i in sorted(kept))


def _attribution(data: dict[str, Any]) -> Attribution:
    causes = [
        CauseRow(
            short(str(each["quantity"])),
            short(str(each.get("variant") or "no known variant"), LONG),
            *(number(each[key]) for key in ("defect_rel", "effect_rel", "share", "amplification")),
        )
        for each in data["causes"]
    ]
    return Attribution(
        sentence=short(str(data.get("sentence") or ""), 4 * LONG),
        target=short(str(data["target"])),
        delta_rel=number(data["delta_rel"]),
        explained_rel=number(data["explained_rel"]),
        causes=tuple(causes[:CAUSES]),
        left_out=max(len(causes) - CAUSES, 0),
    )


def _strings(metrics: Mapping[str, Any], *keys: str) -> Iterable[str]:
    return (str(line) for key in keys for line in metrics.get(key) or ())
