"""The evidence of a device, as its bundle has it -> the view of its page, and the sentences that sum it up."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from tools.scaling.base.text import bullets, counted, plain, table
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.environment import flattened
from tools.scaling.bundle.layout import ENVIRONMENT, read_object
from tools.scaling.page.html import device_html
from tools.scaling.page.reading import LONG, Reader, short, value_text, when
from tools.scaling.page.view import DevicePage, DevicePart, DeviceRow, Pair

DEVICE = "device.json"
PAIRS = 80  # of the environment that are shown
Rows = Sequence[Mapping[str, Any]]


def device_report(bundle: Bundle) -> str:
    """Return the page of a bundle of the evidence of a device: the same bundle gives the same text."""
    reader = Reader(bundle)
    found = reader.json(DEVICE) or {}
    rows, known, machine = found.get("rows", []), reader.provenance(), reader.json(ENVIRONMENT) or {}
    environment = next((row["said"] for row in rows if row["part"] == "environment"), "")
    facts = {
        "Device": found.get("device"),
        "Measured": "a part (--quick)" if found.get("quick") else "everything",
        "Commit": known.get("git_sha") or known.get("no_commit"),
        "Python": machine.get("python"),
        "torch": machine.get("torch"),
        "CUDA": machine.get("cuda"),
        "Driver": machine.get("gpu_driver"),
        "CPU beside it": machine.get("cpu"),
    }
    page = DevicePage(
        stamp=bundle.stamp,
        when=when(bundle.stamp),
        title=short(f"Evidence of {environment.partition(';')[0] or 'a device'}"),
        verdict=verdict_of(rows),
        headline=tuple(summary_lines(rows)),
        facts=tuple(Pair(name, short(str(value), LONG)) for name, value in facts.items() if value),
        parts=tuple(
            _part(name, list(group), found.get("seconds", {}).get(name))
            for name, group in groupby(rows, key=lambda row: str(row["part"]))
        ),
        environment=tuple(Pair(short(name), value_text(value)) for name, value in flattened(machine))[:PAIRS],
        notes=tuple(reader.notes),
    )
    return device_html(page)


def device_markdown(bundle: Bundle) -> str:
    """Return the tables of a bundle of the evidence of a device as Markdown, for docs/results/device.md.

    Raises BadInput where the bundle is none of them.
    """
    found = read_object(bundle.path(DEVICE), "what study device measured")
    rows = found["rows"]
    command = f"python -m tools.scaling study device --device {found['device']}{' --quick' if found['quick'] else ''}"
    said = [row["said"] for row in rows if row["part"] == "environment"]
    lines = [f"`{command}`, {when(bundle.stamp)}: {plain('; '.join(said))}.", "", f"{verdict_of(rows)}.", ""]
    lines += [bullets(map(plain, summary_lines(rows)))]
    for name, group in groupby(rows, key=lambda row: str(row["part"])):
        part = _part(name, list(group), None)
        if part.heads:
            told = any(row.said for row in part.rows)
            head = [name, *part.heads, "verdict", *(["remark"] if told else [])]
            cells = [[row.name, *row.cells, row.verdict, *([row.said] if told else [])] for row in part.rows]
            lines += ["", f"## {name[0].upper()}{name[1:]}", "", table(head, cells)]
    return "\n".join(lines)


def _part(name: str, rows: Rows, seconds: float | None) -> DevicePart:
    heads = list(dict.fromkeys(head for row in rows for head in row["figures"]))
    shown = [
        DeviceRow(
            short(row["name"]),
            row["verdict"],
            short(row["said"], LONG),
            tuple(_cell(row["figures"].get(h)) for h in heads),
        )
        for row in rows
    ]
    return DevicePart(name, seconds, tuple(heads), tuple(shown))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else short(str(value))


def verdict_of(rows: Rows) -> str:
    """Return FAIL where a row does, OPEN where a part did not run, else PASS."""
    verdicts = {row["verdict"] for row in rows}
    return "FAIL" if "FAIL" in verdicts else "OPEN" if "NOT RUN" in verdicts or not verdicts else "PASS"


def summary_lines(rows: Rows) -> list[str]:
    """Return what agrees, to which distance, how fast, in which memory: a sentence for each part with figures."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["figures"]:
            parts.setdefault(row["part"], []).append(row)
    failed = [f"{row['part']}: {row['name']}" for row in rows if row["verdict"] == "FAIL"]
    missing = [row["part"] for row in rows if row["verdict"] == "NOT RUN"]
    lines = [f"{counted(len(failed), 'row fails', 'rows fail')}: {', '.join(failed[:5])}."] if failed else []
    lines += [f"Not run: {', '.join(missing)}."] if missing else []
    if "tests" in parts:
        lines.append(f"{sum(row['figures']['tests'] for row in parts['tests'])} mapped tests pass on the device.")
    for name, beside in (
        ("matrix float64", "the reference"),
        ("matrix float32", "the reference"),
        ("images", "the CPU"),
    ):
        if name in parts:
            lines.append(_pixels(name, parts[name], beside))
    if "gradients" in parts:
        worst = _worst(parts["gradients"], "distance from the CPU")
        lines.append(f"Gradients: within {worst:.1e} of the CPU's, of the largest; gradcheck of each.")
    if "bench" in parts:
        each = [f"{row['name']} {row['figures']['times as fast']:.3g}" for row in parts["bench"]]
        lines.append(f"Times as fast as all cores of the CPU beside it, float64: {', '.join(each)}.")
    if "memory" in parts:
        lines.append(_memory(parts["memory"]))
    return lines


def _pixels(name: str, rows: Rows, beside: str) -> str:
    pixels, unequal = (sum(row["figures"][head] or 0 for row in rows) for head in ("pixels", "pixels that differ"))
    head = "float64, share of the brightest" if name == "images" else "share of the brightest"
    far = f"the farthest by {_worst(rows, 'ulp'):.0f} ulp; in all {_worst(rows, head):.1e} of the brightest at most"
    title = name[0].upper() + name[1:]
    judged = [row["verdict"] == "PASS" for row in rows if row["verdict"] != "MEASURED"]
    agree = f"{sum(judged)} of {len(judged)} agree with {beside}" if judged else f"measured beside {beside}, not judged"
    return f"{title}: {agree}; {unequal:,} of {pixels:,} float32 pixels differ, {far}."


def _memory(rows: Rows) -> str:
    told = []
    for side in ("device", "host"):
        figures = [row["figures"] for row in rows if row["figures"].get(f"{side} peak MiB") is not None]
        if figures:
            most = max(figures, key=lambda each: float(each[f"{side} peak MiB"]))
            told.append(f"{most[f'{side} peak MiB']:,} MiB on the {side}, {most[f'{side} planned MiB'] or 0:,} planned")
    return f"Memory: at most {'; '.join(told) or 'nothing that was counted'}."


def _worst(rows: Rows, head: str) -> float:
    """Return the largest of a figure, which JSON may hold as a word (nan, inf)."""
    return max((float(row["figures"][head]) for row in rows if row["figures"].get(head) is not None), default=0.0)
