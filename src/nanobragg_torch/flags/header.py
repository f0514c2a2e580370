"""What the headers of -mask and -img say, as if it were given by flags (semantics 2.6)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanobragg_torch.io.smv import Smv, read_smv
from nanobragg_torch.quirks import Quirks
from nanobragg_torch.units import radians

Given = dict[str, Any]

# keyword, key of the flag table, unit of the header -> unit of the Config
_KEYWORDS = (
    ("PIXEL_SIZE", "pixel", 1000.0),
    ("DISTANCE", "distance", 1000.0),
    ("CLOSE_DISTANCE", "close_distance", 1000.0),
    ("WAVELENGTH", "wavelength", 1.0e10),
    ("BEAM_CENTER_X", "x_beam", 1000.0),
    ("BEAM_CENTER_Y", "y_beam", 1000.0),
    ("ORGX", "orgx", 1.0),
    ("ORGY", "orgy", 1.0),
    ("PHI", "phi", None),
    ("OSC_RANGE", "osc", None),
    ("TWOTHETA", "twotheta", None),
)
# without which a run goes on with a default: keyword, keys that make up for it, how to give it, the default
_NEEDED = (
    ("PIXEL_SIZE", ("pixel",), "-pixel", "0.1 mm"),
    ("DISTANCE", ("distance", "close_distance"), "-distance", "100 mm"),
    ("WAVELENGTH", ("wavelength",), "-lambda or -energy", "1 A"),
    ("BEAM_CENTER_X", ("x_beam", "x_close", "orgx", "pix0"), "-Xbeam", "the middle"),
    ("BEAM_CENTER_Y", ("y_beam", "y_close", "orgy", "pix0"), "-Ybeam", "the middle"),
)


@dataclass(frozen=True)
class Read:
    """What one header gave. used: the words of its lines by key; unused: lines for a person about the others."""

    path: Path
    used: dict[str, str]
    unused: tuple[str, ...]


def read_headers(mask: Path | None, image: Path | None, quirks: Quirks) -> Given:
    """Values of the mask's header, then of the image's.

    `from_header` names them, `headers` tells where they come from. Raises InputError.
    """
    found: Given = {}
    reads = []
    if mask is not None:
        found["mask_file"] = mask
        header, read = _values(read_smv(mask, whole=not quirks.on("Q48")), found, quirks)
        if "y_beam" in header and quirks.on("Q47"):
            header["y_beam"] = header["detsize_s"] - header["y_beam"]
            read.used["y_beam"] += " (measured from the other end, Q47)"
        found.update(header)
        reads.append(read)
    if image is not None:
        header, read = _values(read_smv(image, whole=not quirks.on("Q48")), found, quirks)
        found.update(header)
        reads.append(read)
    return {**found, "from_header": frozenset(found), "headers": tuple(reads)}


def _values(header: Smv, before: Given, quirks: Quirks) -> tuple[Given, Read]:
    """`before`: what an earlier header gave."""
    fast, slow = header.size
    found: Given = {"detpixels_f": fast, "detpixels_s": slow}
    used, unused = {"detpixels_f": "SIZE1", "detpixels_s": "SIZE2"}, []
    for keyword, key, per_unit in _KEYWORDS:
        value = header.number(keyword)
        if value is None and key in ("orgx", "orgy"):
            # our own headers have the near point under this name, which a search by substring finds as well
            keyword = f"XDS_{keyword}"
            value = header.number(keyword)
        if value is None or not math.isfinite(value):
            continue
        if key == "twotheta":
            if value == 0.0:
                continue
            if quirks.on("Q46"):
                unused.append(f"{keyword} {value:g} has no effect (Q46)")
                continue
            found["pivot"] = "SAMPLE"  # as the flag does
        found[key] = radians(value) if per_unit is None else value / per_unit
        whole = _whole_keyword(header, keyword)
        used[key] = keyword if whole == keyword else f"{keyword} (of {whole}, Q48)"
    pixel = found["pixel"] if "pixel" in found else before.get("pixel", 1.0e-4)
    return {**found, "detsize_f": pixel * fast, "detsize_s": pixel * slow}, Read(header.path, used, tuple(unused))


def _whole_keyword(header: Smv, keyword: str) -> str:
    """The whole keyword of the line in which `keyword` was found."""
    if header.whole:
        return keyword
    at = header.text.rfind(keyword)
    start = max(header.text.rfind(end, 0, at) for end in "\n;{") + 1
    return header.text[start : header.text.find("=", at)].strip()


def settle(given: Given) -> None:
    """A near point of a header gives way to a centre that is typed, without Q05: it would win as ORGX does."""
    if given["quirks"].on("Q05"):
        return
    for axis in "xy":
        typed = {f"{axis}_beam", f"{axis}_close"} & given["typed"].keys()
        if typed and f"org{axis}" in given["from_header"] - given["typed"].keys():
            del given[f"org{axis}"]


def header_lines(given: Given) -> Iterator[str]:
    """One line a header: which of its keys count, and which are missing and given by no flag either."""
    reads: tuple[Read, ...] = given["headers"]
    for number, read in enumerate(reads):
        overruled = set(given["typed"]).union(*(later.used for later in reads[number + 1 :]))
        if "detpixels" in overruled:
            overruled.update(("detpixels_f", "detpixels_s"))
        if "close_distance" in given:
            overruled.add("distance")
        used = [text for key, text in read.used.items() if key in given and key not in overruled]
        parts = [f"{read.path}: taken from its header: {', '.join(used) or 'nothing'}", *read.unused]
        missing = [
            f"{keyword} ({flag}; {default} is used)"
            for keyword, keys, flag, default in _NEEDED
            if number == len(reads) - 1 and not any(key in given for key in keys)
        ]
        yield "; ".join([*parts, *([f"missing: {', '.join(missing)}"] if missing else [])])
