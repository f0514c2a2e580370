"""What the headers of -mask and -img say, as if it were given by flags (semantics 2.6)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanobragg_torch.flags.record import Field, HeaderRead
from nanobragg_torch.flags.table import Given
from nanobragg_torch.io.smv import Smv, read_smv
from nanobragg_torch.units import radians

# keyword, what it gives, unit of the header -> unit of the Config
_KEYWORDS: tuple[tuple[str, Field[Any], float | None], ...] = (
    ("PIXEL_SIZE", Given.pixel, 1000.0),
    ("DISTANCE", Given.distance, 1000.0),
    ("CLOSE_DISTANCE", Given.close_distance, 1000.0),
    ("WAVELENGTH", Given.wavelength, 1.0e10),
    ("BEAM_CENTER_X", Given.x_beam, 1000.0),
    ("BEAM_CENTER_Y", Given.y_beam, 1000.0),
    ("ORGX", Given.orgx, 1.0),
    ("ORGY", Given.orgy, 1.0),
    ("PHI", Given.phi, None),
    ("OSC_RANGE", Given.osc, None),
    ("TWOTHETA", Given.twotheta, None),
)
# without which a run goes on with a default: keyword, fields that make up for it, how to give it, the default
_NEEDED: tuple[tuple[str, tuple[Field[Any], ...], str, str], ...] = (
    ("PIXEL_SIZE", (Given.pixel,), "-pixel", "0.1 mm"),
    ("DISTANCE", (Given.distance, Given.close_distance), "-distance", "100 mm"),
    ("WAVELENGTH", (Given.wavelength,), "-lambda or -energy", "1 A"),
    ("BEAM_CENTER_X", (Given.x_beam, Given.x_close, Given.orgx, Given.pix0), "-Xbeam", "the middle"),
    ("BEAM_CENTER_Y", (Given.y_beam, Given.y_close, Given.orgy, Given.pix0), "-Ybeam", "the middle"),
)


def read_headers(given: Given, mask: Path | None, image: Path | None) -> None:
    """Put into `given` what the mask's header says, then the image's. Raises InputError."""
    reads = []
    if mask is not None:
        read = _read(read_smv(mask, whole=not given.on("Q48")), given)
        if given.y_beam is not None and given.on("Q47"):
            given.y_beam = given.detsize_s - given.y_beam
            read.used[Given.y_beam] += " (measured from the other end, Q47)"
        reads.append(read)
    if image is not None:
        reads.append(_read(read_smv(image, whole=not given.on("Q48")), given))
    given.headers, given.from_header = tuple(reads), frozenset(given.values)


def _read(header: Smv, given: Given) -> HeaderRead:
    given.detpixels_f, given.detpixels_s = fast, slow = header.size
    used: dict[Field[Any], str] = {Given.detpixels_f: "SIZE1", Given.detpixels_s: "SIZE2"}
    unused = []
    for keyword, field, per_unit in _KEYWORDS:
        value = header.number(keyword)
        if value is None and field in (Given.orgx, Given.orgy):
            # our own headers have the near point under this name, which a search by substring finds as well
            keyword = f"XDS_{keyword}"
            value = header.number(keyword)
        if value is None or not math.isfinite(value):
            continue
        if field is Given.twotheta:
            if value == 0.0:
                continue
            if given.on("Q46"):
                unused.append(f"{keyword} {value:g} has no effect (Q46)")
                continue
            given.pivot = "SAMPLE"  # as the flag does
        given.values[field] = radians(value) if per_unit is None else value / per_unit
        whole = _whole_keyword(header, keyword)
        used[field] = keyword if whole == keyword else f"{keyword} (of {whole}, Q48)"
    given.detsize_f, given.detsize_s = given.pixel * fast, given.pixel * slow
    return HeaderRead(header.path, used, tuple(unused))


def _whole_keyword(header: Smv, keyword: str) -> str:
    """The whole keyword of the line in which `keyword` was found."""
    if header.whole:
        return keyword
    at = header.text.rfind(keyword)
    start = max(header.text.rfind(end, 0, at) for end in "\n;{") + 1
    return header.text[start : header.text.find("=", at)].strip()


def settle(given: Given) -> None:
    """A near point of a header gives way to a centre that is typed, without Q05: it would win as ORGX does."""
    if given.on("Q05"):
        return
    for origin, beam, close in (
        (Given.orgx, Given.x_beam, Given.x_close),
        (Given.orgy, Given.y_beam, Given.y_close),
    ):
        if given.typed(beam, close) and origin in given.from_header and origin not in given.words:
            del given.values[origin]


def header_lines(given: Given) -> Iterator[str]:
    """One line a header: which of its keywords count, and which are missing and given by no flag either."""
    reads = given.headers
    for number, read in enumerate(reads):
        overruled = set(given.words).union(*(later.used for later in reads[number + 1 :]))
        if Given.detpixels in overruled:
            overruled.update((Given.detpixels_f, Given.detpixels_s))
        if Given.close_distance in given:
            overruled.add(Given.distance)
        used = [text for field, text in read.used.items() if field in given and field not in overruled]
        parts = [f"{read.path}: taken from its header: {', '.join(used) or 'nothing'}", *read.unused]
        missing = [
            f"{keyword} ({flag}; {default} is used)"
            for keyword, fields, flag, default in _NEEDED
            if number == len(reads) - 1 and not any(field in given for field in fields)
        ]
        yield "; ".join([*parts, *([f"missing: {', '.join(missing)}"] if missing else [])])
