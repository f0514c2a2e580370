"""What the headers of -mask and -img say, as if it were given by flags (semantics 2.6)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from nanobragg_torch.io.smv import Smv, read_smv
from nanobragg_torch.quirks import Quirks
from nanobragg_torch.sampling import radians

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
)


def read_headers(mask: Path | None, image: Path | None, quirks: Quirks) -> Given:
    """Values of the mask's header, then of the image's; `from_header` names them. Raises InputError."""
    found: Given = {}
    if mask is not None:
        found["mask_file"] = mask
        header = _values(read_smv(mask, whole=not quirks.on("Q48")), found)
        if "y_beam" in header and quirks.on("Q47"):
            header["y_beam"] = header["detsize_s"] - header["y_beam"]
        found.update(header)
    if image is not None:
        found.update(_values(read_smv(image, whole=not quirks.on("Q48")), found))
    return {**found, "from_header": frozenset(found)}


def _values(header: Smv, before: Given) -> Given:
    """`before`: what an earlier header gave."""
    fast, slow = header.size
    found: Given = {"detpixels_f": fast, "detpixels_s": slow}
    for keyword, key, per_unit in _KEYWORDS:
        value = header.number(keyword)
        if value is not None and math.isfinite(value):
            found[key] = radians(value) if per_unit is None else value / per_unit
    pixel = found["pixel"] if "pixel" in found else before.get("pixel", 1.0e-4)
    return {**found, "detsize_f": pixel * fast, "detsize_s": pixel * slow}
