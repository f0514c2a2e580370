"""SMV images: a text header of KEY=value; lines, then the pixels (semantics 2.6, 7.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nanobragg_torch.errors import InputError
from nanobragg_torch.io.inputs import open_file, size_of
from nanobragg_torch.io.room import require_room

HEADER_BYTES = 512

MAGIC = b"{\nHEADER_BYT"
# torn: what is glued to a number, as in 1_0 and 5mm
_DECIMAL = re.compile(
    r"\s*(?P<number>[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)(?P<torn>(?:,\d|[\w.\x80-\xff])*)", re.ASCII
)
_LONGEST = 2**20  # bytes of a header
# The words of ADSC's TYPE and of d*TREK's Data_type, which has blanks for underscores.
_TYPES = {
    "u1": "unsigned_char",
    "i1": "signed_char char",
    "u2": "unsigned_short unsigned_short_int",
    "i2": "signed_short short signed_short_int short_int",
    "u4": "unsigned_int unsigned_long unsigned_long_int",
    "i4": "signed_int int signed_long long signed_long_int long_int",
    "f4": "float float_ieee",
    "f8": "double",
}
_CODES = {name: code for code, names in _TYPES.items() for name in names.split()}
_ORDERS = {"little_endian": "<", "big_endian": ">"}
_MASKED = 16  # bytes a pixel, where a mask names the rendered ones


@dataclass(frozen=True)
class Smv:
    """The header of one SMV file.

    path: the file. text: the header, each byte a character. whole: whether a keyword counts at the start of a line
    only; else it counts anywhere, as in the reference (Q48).
    """

    path: Path
    text: str
    whole: bool = False

    def number(self, keyword: str) -> float | None:
        """Return the number behind the '=' that follows the last `keyword`; None if the header has no such keyword.

        Where `keyword` is only part of another word (Q48), it is what the reference reads: the number that the text
        begins with, or 0. Raises InputError if the line is this keyword's own and holds no number.
        """
        if self.whole:
            places = [match.end() for match in re.finditer(rf"^[ \t]*{keyword}[ \t]*(?==)", self.text, re.MULTILINE)]
            at = places[-1] if places else -1
        else:
            at = self.text.rfind(keyword)
        equals = self.text.find("=", at) if at >= 0 else -1
        if equals < 0:
            return None
        match = _DECIMAL.match(self.text, equals + 1)
        own = self.text[self.text.rfind("\n", 0, at) + 1 : equals].strip() == keyword
        if own and (match is None or match["torn"]):
            got = re.split(r"[;\n]", self.text[equals + 1 :], maxsplit=1)[0].strip()
            raise InputError(f"{self.path}: expected {keyword} as a number, got '{_shown(got)}'")
        return float(match["number"]) if match else 0.0

    def word(self, keyword: str) -> str:
        """Return the value on the last line of `keyword`, in small letters; empty if the header has no such line."""
        values = re.findall(rf"(?m)^[ \t]*{keyword}[ \t]*=([^;\n]*)", self.text)
        return values[-1].strip().lower() if values else ""

    def count(self, keyword: str, most: int = 2**31 - 1) -> int:
        """Return the whole number, 0 to `most`, of `keyword`; 0 without it. Raises InputError for any other number."""
        value = self.number(keyword) or 0.0
        if not (value.is_integer() and 0.0 <= value <= most):
            raise InputError(f"{self.path}: expected {keyword} as a whole number of 1 to {most}, got {value:g}")
        return int(value)

    @property
    def offset(self) -> int:
        """Where in the file the pixels begin, in bytes."""
        return len(self.text)

    @property
    def size(self) -> tuple[int, int]:
        """The image's size in pixels, (fast, slow). Where SIZE1 is 0, DETECTOR_DIMENSIONS counts for both."""
        fast, slow = self.count("SIZE1"), self.count("SIZE2")
        if fast == 0:
            fast = slow = self.count("DETECTOR_DIMENSIONS")
        if fast < 1 or slow < 1:
            raise InputError(f"{self.path}: expected SIZE1 and SIZE2 above 0 in the header, got {fast} and {slow}")
        return fast, slow

    @property
    def kind(self) -> str:
        """The header's word for the type of a pixel: its TYPE, or d*TREK's Data_type; without, unsigned_short."""
        word = self.word("TYPE")
        return (self.word("Data_type") if word in ("", "mad") else word).replace(" ", "_") or "unsigned_short"

    @property
    def dtype(self) -> np.dtype:
        """The numpy type of a pixel, in its byte order. Raises InputError for a type or an order that is not known."""
        order = self.word("BYTE_ORDER") or "little_endian"
        if self.kind not in _CODES:
            names = ", ".join(names.split()[0] for names in _TYPES.values())
            raise InputError(f"{self.path}: expected a TYPE of pixels ({names}), got {_shown(self.kind)}")
        if order not in _ORDERS:
            raise InputError(f"{self.path}: expected BYTE_ORDER=little_endian or big_endian, got {_shown(order)}")
        if self.word("COMPRESSION") not in ("", "none"):
            raise InputError(
                f"{self.path}: expected pixels without compression, got {_shown(self.word('COMPRESSION'))}"
            )
        return np.dtype(_ORDERS[order] + _CODES[self.kind])


def read_smv(path: Path, *, whole: bool = False) -> Smv:
    """Return the header of `path`. Raises InputError for what is no SMV file, or ends inside its header (Q49)."""
    with open_file(path) as stream:
        start = stream.read(HEADER_BYTES)
        if not start.startswith(MAGIC):
            raise InputError(f"{path}: expected an SMV image ({{ and HEADER_BYTES), got {start[:12]!r}")
        length = Smv(path, start.decode("latin-1"), whole).count("HEADER_BYTES", _LONGEST)
        text = (start + stream.read(max(length - len(start), 0)))[:length]
    if not length:
        raise InputError(f"{path}: expected HEADER_BYTES as a whole number of 1 to {_LONGEST}, got 0")
    if len(text) < length:
        raise InputError(f"{path}: expected a header of {length} bytes, got {len(text)}")
    return Smv(path, text.decode("latin-1"), whole)


def read_pixels(header: Smv) -> np.ndarray:
    """Return the pixels (slow, fast) behind `header`, of the type and in the byte order that it names.

    Raises InputError when they are fewer than SIZE1 times SIZE2, DoesNotFit when they are too many.
    """
    (fast, slow), dtype, path = header.size, header.dtype, header.path
    with open_file(path) as stream:
        there = max(0, size_of(stream) - header.offset)
        if there < dtype.itemsize * fast * slow:
            of = f"{dtype.itemsize} byte{'s' if dtype.itemsize > 1 else ''}"
            raise InputError(f"{path}: expected {fast} x {slow} pixels of {of}, got {there} bytes")
        require_room((dtype.itemsize + _MASKED) * fast * slow, f"{path}: {fast} x {slow} pixels")
        stream.seek(header.offset)
        return np.fromfile(stream, dtype, fast * slow).reshape(slow, fast)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:40] + "...")[1:-1]


def smv_header(fields: list[tuple[str, str]]) -> bytes:
    """Return the bytes of a header of `fields` (key, value), padded with blanks to 512 where they are fewer.

    Every line ends with a semicolon but that of DIALS_ORIGIN (Q46).
    """
    lines = [f"{key}={value}" + ("" if key == "DIALS_ORIGIN" else ";") + "\n" for key, value in fields]
    text = f"{{\nHEADER_BYTES={HEADER_BYTES};\n" + "".join(lines) + "}\f"
    return text.encode("ascii").ljust(HEADER_BYTES)
