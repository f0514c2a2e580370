"""What the header of an SMV image says, and which pixels of a mask are rendered (semantics 2.6)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nanobragg_torch.quirks import Quirks
from tools.scaling.oracle.reading.variables import RTD, Variables, real
from tools.scaling.oracle.uncovered import Uncovered


def read_header(path: Path, quirks: Quirks, into: Variables, *, mask: bool) -> None:
    """Put what the header of an image or a mask says into the program's variables.

    Raises Uncovered for a file that is no SMV image, which the program ignores and the port refuses.
    """
    text = _header(path)

    def value(keyword: str) -> float | None:
        return _value(text, keyword, quirks)

    fast, slow = value("SIZE1"), value("SIZE2")
    if fast == 0.0:
        fast = slow = value("DETECTOR_DIMENSIONS")
    if not fast or not slow:
        raise Uncovered(f"{path.name}: a header without SIZE1 and SIZE2, which the program takes for -2^31")
    into.fpixels, into.spixels = int(fast), int(slow)
    for keyword, name, divisor in (
        ("PIXEL_SIZE", "pixel", 1000.0),
        ("DISTANCE", "distance", 1000.0),
        ("CLOSE_DISTANCE", "close_distance", 1000.0),
        ("WAVELENGTH", "lambda0", 1.0e10),
        ("BEAM_CENTER_X", "Xbeam", 1000.0),
        ("ORGX", "ORGX", 1.0),
        ("ORGY", "ORGY", 1.0),
        ("PHI", "phi", RTD),
        ("OSC_RANGE", "osc", RTD),
    ):
        if (found := value(keyword)) is not None:
            setattr(into, name, found / divisor)
    into.detsize_f, into.detsize_s = into.pixel * into.fpixels, into.pixel * into.spixels
    if (y := value("BEAM_CENTER_Y")) is not None:
        into.Ybeam = into.detsize_s - y / 1000.0 if mask and quirks.on("Q47") else y / 1000.0
    if not quirks.on("Q46") and (twotheta := value("TWOTHETA")):
        into.twotheta, into.pivot = twotheta / RTD, "SAMPLE"  # as -twotheta does


def read_mask(path: Path, slow: int, fast: int) -> np.ndarray:
    """Return which pixels of a mask are not 0, of shape (slow, fast)."""
    text = _header(path)
    if "unsigned_short" not in text and "TYPE" in text:
        raise Uncovered(f"{path.name}: a mask that is not of 16-bit words")
    words = np.frombuffer(path.read_bytes(), "<u2", slow * fast, _bytes(text))
    return words.reshape(slow, fast) != 0


def _header(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(512)
        if not start.startswith(b"{\nHEADER_BYT"):
            raise Uncovered(f"{path.name}: no SMV image")
        text = start.decode("latin-1")
        return text + file.read(_bytes(text) - 512).decode("latin-1") if _bytes(text) > 512 else text


def _bytes(text: str) -> int:
    return int(real(text.partition("=")[2]))


def _value(text: str, keyword: str, quirks: Quirks) -> float | None:
    """Q48: what is behind the next = after the last place where the keyword is found; else that of its own line."""
    if quirks.on("Q48"):
        at = text.rfind(keyword)
        return None if at < 0 or "=" not in text[at:] else real(text[at:].partition("=")[2])
    lines = [line.partition("=")[::2] for line in text.split("\n") if "=" in line]
    of_name = {name.strip(): value for name, value in lines}  # the last of each name
    found = of_name.get(keyword, of_name.get(f"XDS_{keyword}") if keyword.startswith("ORG") else None)
    return None if found is None else real(found)
