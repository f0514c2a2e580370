"""What the tests of the pages share: what their bundles hold, and a page read back as tables and text."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.layout import CommandRecord
from tools.scaling.traces.read import Trace, parse_trace

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "supervisor_one_reflection" / "trace_685_1039.log"
HOSTILE = "<script>alert(1)</script>"
FOLDERS = {"c-parity": "", "spec": "spec", "legacy": "legacy"}
SWAPS = {
    "c-parity": {},
    "spec": {"I_before_scaling": "807189.7686762", "I_pixel_final": "2.46470432e-07", "F_latt_0": "1.43"},
    "legacy": {"I_before_scaling": "941686.2359774", "initial_odet": "-8.8e-05 0.004914 -0.999988", "F_latt_3": "0.15"},
}
EXPLAINED = {
    "target": "I_before_scaling",
    "delta_rel": -2.086116e-03,
    "explained_rel": -2.086115e-03,
    "sentence": "odet is taken as given: this makes 103.4 % of the -2.086116e-03 in I_before_scaling.",
    "causes": [
        {"quantity": "odet", "variant": "taken as given", "defect_rel": 6.56e-07, "effect_rel": -2.15666e-03,
         "share": 1.034, "amplification": 3289.0},
        {"quantity": "sdet", "variant": None, "defect_rel": 5.7e-08, "effect_rel": 8.0878e-05,
         "share": -0.0388, "amplification": 1413.0},
    ],
    "quantities": [],
}  # fmt: skip
RECORDS = (
    CommandRecord("provenance", "git rev-parse HEAD", datetime(2026, 11, 23, 20, 9, 21, tzinfo=UTC), 0, 0.086, 2**20),
    CommandRecord(
        "provenance", "python -m pip show x", datetime(2026, 11, 23, tzinfo=UTC), 1, 0.79, None, stderr="no x"
    ),
    CommandRecord(
        "comparison",
        "KMP_DUPLICATE_LIB_OK=TRUE PYTHONPATH=src python -m tools.scaling check --run-dir reports/a/{stamp} --case x",
        datetime(2026, 11, 23, tzinfo=UTC),
        0,
        12.5,
        152 * 2**20,
        stdout="ok   c-parity: as expected\nwrote reports/a/{stamp}/y.json",
    ),
)


def port_trace(reference: bytes, swaps: Mapping[str, str]) -> Trace:
    """The reference's trace as the port would print it, with values exchanged; NAME_TIC is a field of a phi row."""
    text = reference.decode("ascii").replace("TRACE_C:", "TRACE_PY:").replace("TRACE_C_", "TRACE_PY_")
    for name, value in swaps.items():
        field, _, tic = name.rpartition("_")
        if tic.isdecimal():
            text, count = re.subn(rf"(?m)^(TRACE_PY_PHI phi_tic={tic} .*\b{field}=)\S+", rf"\g<1>{value}", text)
        else:
            text, count = re.subn(rf"(?m)^(TRACE_PY(?::|: ){name}(?:=| )).*$", rf"\g<1>{value}", text)
        assert count == 1, name
    return parse_trace(text.encode(), "py.log")


def metrics(bundle: Bundle, mode: str = "c-parity") -> dict[str, Any]:
    return dict(json.loads((bundle.path(FOLDERS[mode]) / "metrics.json").read_text()))


def thousand(root: Path, source: Bundle) -> None:
    """A thousand bundles with the metrics of one, their deltas changed."""
    provenance, found = source.provenance(), json.loads(source.path("metrics.json").read_text())
    found: dict[str, Any] = {key: value for key, value in found.items() if key not in ("quantities", "per_phi")}
    for i in range(1000):
        folder = root / (datetime(2026, 1, 1) + timedelta(hours=7 * i)).strftime("%Y%m%dT%H%M%SZ")
        folder.mkdir(parents=True)
        bad = i % 9 == 8
        for nth, row in enumerate(found["factors"].values()):
            row |= {"rel_delta": (1e-3 if bad else 1e-13) * (i % 7 + nth), "status": "DIVERGENT" if bad else "PASS"}
        found |= {"first_divergence": "I_before_scaling" if bad else None, "num_divergent": 9 if bad else 0}
        settings = provenance["settings"] | {"dtype": "float32" if i % 4 == 3 else "float64"}
        (folder / "provenance.json").write_text(json.dumps(provenance | {"settings": settings}))
        (folder / "metrics.json").write_text(json.dumps(found))
        (folder / "sha256.txt").write_text("")


class Document(HTMLParser):
    """The tables of a page as texts, by their aria-label; every start tag; the text without tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._rows: list[list[str]] | None = None
        self._cell = False
        self._silent = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._silent = tag in ("style", "script")
        if tag == "table":
            self._rows = self.tables.setdefault(str(attributes.get("aria-label")), [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "th") and self._rows is not None:
            self._rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._silent = False
        if tag in ("td", "th"):
            self._cell = False
        elif tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        self.text += data
        if self._rows is not None and self._cell:
            self._rows[-1][-1] += data

    def attributes(self, name: str) -> list[str]:
        return [str(found[name]) for _, found in self.tags if name in found]
