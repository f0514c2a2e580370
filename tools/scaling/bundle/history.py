"""The trend over all bundles: one row each, a series per quantity, and where something got worse.

Only the head of each metrics.json is read, up to its long tables: 10,000 bundles take a second or two.
"""

import math
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput, why
from tools.scaling.base.repo import relative
from tools.scaling.bundle.layout import (
    AUDIT,
    EXPLAINED,
    FORMAT,
    IMAGE_FOLDER,
    IMAGES,
    MANIFEST,
    METRICS,
    PROVENANCE,
    STAMP,
    STAMPED,
    parse_record,
    read_record,
)

UPSTREAM = "upstream"  # the status of a regression that the nine factors do not show
_LEVELS = (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4)
Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class BundleRow:
    """One bundle. verdict: PASS, DIVERGENT, BLOCKED, OPEN (not sealed) or BROKEN (why: `problem`).

    worst: the largest |relative delta| among the nine factors. cause: the quantity in which explain found the
    largest cause, with its variant. deltas, statuses: of each factor, in chain order.
    """

    stamp: str
    commit: str | None = None
    case: str | None = None
    pixel: tuple[int, int] | None = None
    device: str | None = None
    dtype: str | None = None
    verdict: str = "BROKEN"
    first_divergence: str | None = None
    first_upstream_divergence: str | None = None
    worst: float | None = None
    cause: str | None = None
    deltas: Mapping[str, float | None] | None = None
    statuses: Mapping[str, str] | None = None
    problem: str | None = None

    @property
    def time(self) -> str:
        """The stamp as ISO 8601."""
        s = self.stamp
        return f"{s[:4]}-{s[4:6]}-{s[6:8]}T{s[9:11]}:{s[11:13]}:{s[13:15]}Z"

    @property
    def key(self) -> Key:
        """What must be the same for two bundles to be compared: case, pixel, device, type."""
        return (str(self.case), str(self.pixel), str(self.device), str(self.dtype))

    def to_dict(self) -> dict[str, Any]:
        """Return what is printed as JSON."""
        return {"time": self.time, **{name: getattr(self, name) for name in self.__dataclass_fields__}}


@dataclass(frozen=True, slots=True)
class Regression:
    """A quantity that passed in one bundle and not in the next of the same case, pixel, device and type."""

    quantity: str
    status: str
    good: str
    good_commit: str | None
    bad: str
    bad_commit: str | None


@dataclass(frozen=True, slots=True)
class QuantitySeries:
    """One quantity over the bundles of one key, oldest first. levels: as `level` says, 0 to 7."""

    case: str
    pixel: str
    device: str
    dtype: str
    quantity: str
    stamps: tuple[str, ...]
    deltas: tuple[float | None, ...]
    levels: tuple[int | None, ...]


@dataclass(frozen=True)
class History:
    """All rows, oldest first, with what they show together."""

    root: str
    since: str | None
    rows: tuple[BundleRow, ...]
    series: tuple[QuantitySeries, ...]
    regressions: tuple[Regression, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what is printed as JSON."""
        return {
            "root": self.root,
            "since": self.since,
            "rows": [row.to_dict() for row in self.rows],
            "series": [asdict(each) for each in self.series],
            "regressions": [asdict(each) for each in self.regressions],
        }


def history(root: Path, since: str | None = None) -> History:
    """Read every bundle under `root` from `since` on. A broken one is a row that says why; the others are shown.

    since: a day (2026-11-23), a time in ISO 8601, or a bundle's stamp; UTC. Raises BadInput for another text, and
    where `root` is no folder.
    """
    start = _stamp_of(since) if since else ""
    try:
        names = sorted(name for name in os.listdir(root) if name >= start and STAMPED.fullmatch(name))  # noqa: PTH208
    except OSError as error:
        raise BadInput(f"{relative(root)}: expected a folder of bundles, got {error.strerror}") from error
    rows = tuple(_row(f"{root}/{name}", name) for name in names)
    groups: dict[Key, list[BundleRow]] = defaultdict(list)
    for row in rows:
        if row.statuses is not None and row.verdict != "OPEN":
            groups[row.key].append(row)
    return History(
        relative(root),
        since,
        rows,
        tuple(series for key, group in groups.items() for series in _series(key, group)),
        tuple(sorted(_regressions(groups.values()), key=lambda each: each.bad)),
    )


def _stamp_of(since: str) -> str:
    """Return the stamp from which on bundles are wanted."""
    if STAMPED.fullmatch(since):
        return since
    try:
        moment = datetime.fromisoformat(since)
    except ValueError as error:
        raise BadInput(f"--since {since}: expected a day (2026-11-23), an ISO time or a bundle's stamp") from error
    return (moment.astimezone(UTC) if moment.tzinfo else moment).strftime(STAMP)


def _row(folder: str, stamp: str) -> BundleRow:
    """Return the row of one bundle; BROKEN, and why, if what it must have is not there or cannot be read."""
    try:
        names = frozenset(os.listdir(folder))  # noqa: PTH208 - this and str paths are four times as fast as Path
        known = _json(folder, PROVENANCE, whole=True)
        if known.get("format", FORMAT) > FORMAT:
            raise ValueError(f"{PROVENANCE}: written by a newer version")
        settings = known["settings"]
        pixel = settings.get("pixel")
        common: dict[str, Any] = {
            "stamp": stamp,
            "commit": _text(known["git_sha"]),
            "case": _text(settings["case"]),
            "pixel": (int(pixel[0]), int(pixel[1])) if pixel else None,
            "device": _text(settings["device"]),
            "dtype": _text(settings["dtype"]),
        }
        halted = AUDIT in names
        state = "OPEN" if MANIFEST not in names else "BLOCKED" if halted else None
        if METRICS not in names:
            if state is None and not _mapping(known.get("implementations")):
                raise ValueError(f"{METRICS}: missing")
            return BundleRow(**common, verdict=state or _image_verdict(folder))
        return BundleRow(**common, **_measured(folder, state), cause=_cause(folder) if EXPLAINED in names else None)
    except OSError as error:
        return BundleRow(stamp, problem=f"{Path(error.filename or folder).name}: {error.strerror}")
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        detail = str(error) if type(error) is ValueError else f"expected a bundle's record, got {error!r}"
        return BundleRow(stamp, problem=detail)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _image_verdict(folder: str) -> str:
    """Return what the images of two implementations say of which one prints no trace."""
    return "PASS" if _json(folder, f"{IMAGE_FOLDER}/{IMAGES}", whole=True)["passed"] is True else "DIVERGENT"


def _measured(folder: str, state: str | None) -> dict[str, Any]:
    metrics = _json(folder, METRICS)
    factors = metrics["factors"]
    deltas = {name: _finite(row["rel_delta"]) for name, row in factors.items()}
    sound = metrics["first_divergence"] is None and metrics["num_divergent"] == 0
    return {
        "verdict": state or ("PASS" if sound else "DIVERGENT"),
        "first_divergence": _text(metrics["first_divergence"]),
        "first_upstream_divergence": _text(metrics.get("first_upstream_divergence")),
        "worst": max((abs(value) for value in deltas.values() if value is not None), default=None),
        "deltas": deltas,
        "statuses": {name: str(row["status"]) for name, row in factors.items()},
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _finite(value: float | None) -> float | None:
    """Return None for what JSON has no number for, as the tools write it."""
    return value if value is not None and math.isfinite(value) else None


def _cause(folder: str) -> str | None:
    """Return the largest cause that explain named."""
    causes = _json(folder, EXPLAINED)["causes"]
    if not causes:
        return None
    variant = causes[0].get("variant")
    return f"{causes[0]['quantity']} ({variant})" if variant else str(causes[0]["quantity"])


def _json(folder: str, name: str, whole: bool = False) -> dict[str, Any]:
    """Return a JSON object of the bundle, without the long tables at its end unless `whole`."""
    try:
        return parse_record(read_record(f"{folder}/{name}", head_only=not whole))
    except ValueError as error:
        raise ValueError(f"{name}: expected JSON, got {why(error)}") from error


def _series(key: Key, rows: list[BundleRow]) -> list[QuantitySeries]:
    names = dict.fromkeys(name for row in rows for name in row.deltas or ())
    series = []
    for name in names:
        deltas = tuple((row.deltas or {}).get(name) for row in rows)
        levels = tuple(map(level, deltas))
        series.append(QuantitySeries(*key, name, tuple(row.stamp for row in rows), deltas, levels))
    return series


def level(delta: float | None) -> int | None:
    """Return how large a relative delta is, for a sparkline: 0 is none, then two decades a step."""
    if delta is None:
        return None
    return bisect_left(_LEVELS, abs(delta))


def _regressions(groups: Iterable[list[BundleRow]]) -> list[Regression]:
    """Return what passed in a bundle and does not in the next one of its group."""
    regressions = []
    for rows in groups:
        for good, bad in pairwise(rows):
            before, after = good.statuses or {}, bad.statuses or {}
            worse = [(n, after.get(n, "MISSING")) for n, s in before.items() if s == "PASS" and after.get(n) != "PASS"]
            upstream = bad.first_upstream_divergence
            if upstream and not good.first_upstream_divergence and upstream not in dict(worse):
                worse.append((upstream, UPSTREAM))
            regressions += [
                Regression(name, status, good.stamp, good.commit, bad.stamp, bad.commit) for name, status in worse
            ]
    return regressions
