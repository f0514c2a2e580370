"""Labels of other ports' traces: a table of aliases, and numbers in brackets or with a unit behind them."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput, why
from tools.scaling.traces.read import Trace, TraceRecord, number

BUILT_IN = Path(__file__).with_name("labels.toml")
_KEYS = {"name": str, "factor": (int, float), "order": list, "print_only": bool}
_SEPARATORS = re.compile(r"[\s,;()\[\]]+")


@dataclass(frozen=True)
class Label:
    """Our name of a label, and how its numbers become ours: `factor` times those at `order` (None: as they are)."""

    name: str
    factor: float = 1.0
    order: tuple[int, ...] | None = None
    print_only: bool = False


Labels = dict[str, Label]


def read_labels(path: Path | None = None) -> Labels:
    """The built-in table, and over it that at `path`: a table of labels alone, or an implementation's file.

    Raises BadInput for a file that is neither.
    """
    labels = _read(BUILT_IN)
    return labels if path is None else labels | _read(path)


def _read(path: Path) -> Labels:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: expected a TOML table of labels, got: {why(error)}") from error
    trace = data.get("trace")
    if isinstance(data.get("run"), dict) and "command" in data["run"]:  # an implementation
        data = trace.get("labels", {}) if isinstance(trace, dict) else {}
    return labels_of(path, data)


def labels_of(path: Path, table: Mapping[str, Any]) -> Labels:
    """The labels of a TOML table that was read from `path`. Raises BadInput for an entry that is no label."""
    return {label: _label(path, label, entry) for label, entry in table.items()}


def _label(path: Path, label: str, entry: Any) -> Label:
    asked = f'{path}: [{label}]: expected name = "OUR_NAME", and factor, order or print_only'
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise BadInput(f"{asked}, got {entry!r}")
    for key, value in entry.items():
        kind = _KEYS.get(key)
        if kind is None or not isinstance(value, kind) or (isinstance(value, bool) and key != "print_only"):  # type: ignore[arg-type]
            raise BadInput(f"{asked}, got {key} = {value!r}")
    order = entry.get("order")
    if order is not None and not all(isinstance(i, int) and i >= 0 for i in order):
        raise BadInput(f"{asked}, got order = {order!r}")
    factor = float(entry.get("factor", 1.0))
    return Label(entry["name"], factor, None if order is None else tuple(order), bool(entry.get("print_only", False)))


def relabelled(trace: Trace, labels: Labels) -> Trace:
    """The trace under our names. A label whose quantity the trace shows itself stays what it is."""
    records = [_with_numbers(record) for record in trace.records]
    shown = {record.name for record in records if record.values}
    seen: dict[str, int] = {}
    renamed = []
    for record in records:
        label = labels.get(record.name)
        if label is not None and (label.name == record.name or label.name not in shown):
            record = _as_ours(record, label)
        occurrence = seen.get(record.name, 0)
        seen[record.name] = occurrence + 1
        renamed.append(replace(record, occurrence=occurrence))
    rows = tuple(replace(row, values=dict(_phi_fields(row.values, labels))) for row in trace.phi_rows)
    return replace(trace, records=tuple(renamed), phi_rows=rows)


def computed(trace: Trace, labels: Labels) -> Trace:
    """The trace under our names, without what is known to be in print only; one that has them already as it is."""
    if trace.ours:
        return trace
    left_out = {key for key, label in labels.items() if label.print_only}
    rows = tuple(
        replace(row, values={key: value for key, value in row.values.items() if f"PHI.{key}" not in left_out})
        for row in trace.phi_rows
    )
    records = tuple(record for record in trace.records if record.name not in left_out)
    return relabelled(replace(trace, records=records, phi_rows=rows), labels)


def _phi_fields(values: Mapping[str, float], labels: Labels) -> Iterator[tuple[str, float]]:
    """The fields of a PREFIX_PHI row under our names; a label of one has PHI. in front, as its name has."""
    for key, value in values.items():
        label = labels.get(f"PHI.{key}")
        name = key if label is None else label.name.removeprefix("PHI.")
        if label is None or (name != key and name in values):
            yield key, value
        else:
            yield name, label.factor * value


def _as_ours(record: TraceRecord, label: Label) -> TraceRecord:
    values = record.values
    if label.order is not None and max(label.order) < len(values):
        values = tuple(values[i] for i in label.order)
    if label.factor != 1.0:
        values = tuple(label.factor * x for x in values)
    return replace(record, name=label.name, values=values)


def _with_numbers(record: TraceRecord) -> TraceRecord:
    """A record whose text is "[1, 2, 3]", "(1 2 3)" or "1.5 m": its numbers."""
    if record.values or not record.text:
        return record
    tokens = [token for token in _SEPARATORS.split(record.text) if token]
    values = [number(token) for token in tokens]
    if len(values) > 1 and values[-1] is None and (tokens[-1][:1].isalpha() or tokens[-1].startswith("1/")):
        values.pop()  # a unit
    if not values or None in values:
        return record
    return replace(record, values=tuple(x for x in values if x is not None), text=None)
