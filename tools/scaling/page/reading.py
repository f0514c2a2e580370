"""A bundle's files, damaged or not, as values and bounded texts."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tools.scaling.base.errors import BadInput, why
from tools.scaling.bundle.bundle import Bundle
from tools.scaling.bundle.layout import PROVENANCE, STAMP, parse_record, read_record
from tools.scaling.page.view import Number

SHORT, LONG = 120, 300  # how long a text on a page may be


@dataclass
class Reader:
    """Reads a bundle's JSON; `notes` collects one line for each file that is not what it should be."""

    bundle: Bundle
    notes: list[str] = field(default_factory=list)

    def json(self, name: str) -> dict[str, Any] | None:
        """Return the object in `name`; None where there is no such file, or it is damaged (then a note says so)."""
        try:
            return parse_record(read_record(self.bundle.path(name)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.notes.append(f"{name}: expected JSON, got {short(why(error))}")
            return None

    def text(self, name: str) -> str:
        """Return the text of `name`, or nothing."""
        try:
            return read_record(self.bundle.path(name)).decode(errors="replace")
        except OSError:
            return ""

    def provenance(self) -> dict[str, Any]:
        if not self.bundle.path(PROVENANCE).exists():
            return {}
        try:
            return self.bundle.provenance()
        except BadInput as error:
            self.notes.append(str(error).removeprefix(f"{self.bundle.shown()}/"))
            return {}

    def made(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what `make` makes of file `name`; None, and a note, where the file has another form."""
        try:
            return make()
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            self.notes.append(f"{name}: expected what this version writes, got {short(repr(error))}")
            return None


def value_text(item: Any) -> str:
    """Return a JSON value as a page shows it."""
    if isinstance(item, bool) or item is None:
        return {None: "none", True: "yes", False: "no"}[item]
    if isinstance(item, float):
        return f"{item:.15g}"
    return short(", ".join(map(str, item)) if isinstance(item, list) else str(item), LONG) or "none"


def number(value: Any) -> Number:
    """Return a JSON number, or one of the strings nan, inf and -inf. Raises TypeError, ValueError."""
    if isinstance(value, bool):
        raise TypeError("expected a number, got a truth value")
    return None if value is None else float(value)


def finite(value: Number) -> Number:
    return value if value is not None and math.isfinite(value) else None


def short(text: str, limit: int = SHORT) -> str:
    """Return `text` cut to `limit` characters; control characters but line ends become spaces."""
    text = re.sub(r"[^\S\n]|[\x00-\x08\x0b-\x1f\x7f]", " ", text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def when(stamp: str) -> str:
    """Return the time in a bundle's name, for people; nothing where the name is no stamp."""
    try:
        return f"{datetime.strptime(stamp, STAMP).replace(tzinfo=UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return ""
