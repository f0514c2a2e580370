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
    """The header of one file. whole: a keyword counts at the start of a line only, else anywhere (Q48)."""

    path: Path
    text: str
    whole: bool = False

    def number(self, keyword: str) -> float | None:
        """The number after the last `keyword` and the next '='; None without keyword.

        Where that is a line of this keyword, raises InputError for what is no number, of which the reference would
        read a part or 0, as it does where `keyword` is only part of something else (Q48).
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
        """What stands between the '=' of the last line `keyword` and its ';', in small letters; empty without."""
        found = re.findall(rf"(?m)^[ \t]*{keyword}[ \t]*=([^;\n]*)", self.text)
        return found[-1].strip().lower() if found else ""

    def count(self, keyword: str, most: int = 2**31 - 1) -> int:
        """A whole number of 0 to `most`; 0 without keyword. Raises InputError."""
        value = self.number(keyword) or 0.0
        if not (value.is_integer() and 0.0 <= value <= most):
            raise InputError(f"{self.path}: expected {keyword} as a whole number of 1 to {most}, got {value:g}")
        return int(value)

    @property
    def offset(self) -> int:
        """Where the pixels begin, in bytes."""
        return len(self.text)

    @property
    def size(self) -> tuple[int, int]:
        """(fast, slow) pixels; a single DETECTOR_DIMENSIONS stands for both where SIZE1 is 0."""
        fast, slow = self.count("SIZE1"), self.count("SIZE2")
        if fast == 0:
            fast = slow = self.count("DETECTOR_DIMENSIONS")
        if fast < 1 or slow < 1:
            raise InputError(f"{self.path}: expected SIZE1 and SIZE2 above 0 in the header, got {fast} and {slow}")
        return fast, slow

    @property
    def kind(self) -> str:
        """What a pixel is, in the header's word: its TYPE, or d*TREK's Data_type; unsigned_short unless it says."""
        word = self.word("TYPE")
        return (self.word("Data_type") if word in ("", "mad") else word).replace(" ", "_") or "unsigned_short"

    @property
    def dtype(self) -> np.dtype:
        """What a pixel is, in its byte order. Raises InputError for what has no name here."""
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
    """The header of `path`. Raises InputError for what is no SMV file, or ends inside its header (Q49)."""
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
    """The pixels (slow, fast) behind `header`, of the type and in the byte order that it names.

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
    """What stands before the pixels, uint16: KEY=value; lines padded to 512 bytes where they are shorter.

    The DIALS_ORIGIN line has no semicolon (Q46).
    """
    lines = [f"{key}={value}" + ("" if key == "DIALS_ORIGIN" else ";") + "\n" for key, value in fields]
    text = f"{{\nHEADER_BYTES={HEADER_BYTES};\n" + "".join(lines) + "}\f"
    return text.encode("ascii").ljust(HEADER_BYTES)
