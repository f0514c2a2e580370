"""SMV images: a text header of KEY=value; lines, then 16-bit pixels (semantics 2.6, 7.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nanobragg_torch.errors import InputError

HEADER_BYTES = 512

_MAGIC = b"{\nHEADER_BYT"
_DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Smv:
    """The header of one file. whole: a keyword counts at the start of a line only, else anywhere (Q48)."""

    path: Path
    text: str
    whole: bool = False

    def number(self, keyword: str) -> float | None:
        """The number after the last `keyword` and the next '='; 0 where that is none, None without keyword."""
        if self.whole:
            places = [match.end() for match in re.finditer(rf"^[ \t]*{keyword}[ \t]*(?==)", self.text, re.MULTILINE)]
            at = places[-1] if places else -1
        else:
            at = self.text.rfind(keyword)
        equals = self.text.find("=", at) if at >= 0 else -1
        if equals < 0:
            return None
        match = _DECIMAL.match(self.text, equals + 1)
        return float(match.group()) if match else 0.0

    @property
    def size(self) -> tuple[int, int]:
        """(fast, slow) pixels; a single DETECTOR_DIMENSIONS stands for both where SIZE1 is 0."""
        fast, slow = (int(self.number(key) or 0) for key in ("SIZE1", "SIZE2"))
        if fast == 0:
            fast = slow = int(self.number("DETECTOR_DIMENSIONS") or 0)
        if fast < 1 or slow < 1:
            raise InputError(f"{self.path}: expected SIZE1 and SIZE2 above 0 in the header, got {fast} and {slow}")
        return fast, slow


def read_smv(path: Path, *, whole: bool = False) -> Smv:
    """The header of `path`. Raises InputError for what is no SMV file, or ends inside its header (Q49)."""
    try:
        with path.open("rb") as stream:
            start = stream.read(HEADER_BYTES)
            if not start.startswith(_MAGIC):
                raise InputError(f"{path}: expected an SMV image ({{ and HEADER_BYTES), got {start[:12]!r}")
            length = _header_bytes(path, start)
            text = (start + stream.read(max(length - len(start), 0)))[:length]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(text) < length:
        raise InputError(f"{path}: expected a header of {length} bytes, got {len(text)}")
    return Smv(path, text.decode("latin-1"), whole)


def _header_bytes(path: Path, start: bytes) -> int:
    found = Smv(path, start.decode("latin-1")).number("HEADER_BYTES")
    if found is None or not 0 < found < 2**20:
        raise InputError(f"{path}: expected HEADER_BYTES above 0 in the header, got {found}")
    return int(found)


def read_pixels(path: Path) -> np.ndarray:
    """The pixels (slow, fast) of `path` as uint16, native byte order whatever the header says.

    Raises InputError when they are fewer than SIZE1 times SIZE2.
    """
    header = read_smv(path)
    fast, slow = header.size
    data = path.read_bytes()[len(header.text) :]
    if len(data) < 2 * fast * slow:
        raise InputError(f"{path}: expected {fast} x {slow} pixels of 2 bytes, got {len(data)} bytes")
    return np.frombuffer(data, np.uint16, fast * slow).reshape(slow, fast)


def smv_header(fields: list[tuple[str, str]]) -> bytes:
    """What stands before the pixels, uint16: KEY=value; lines padded to 512 bytes where they are shorter.

    The DIALS_ORIGIN line has no semicolon (Q46).
    """
    lines = [f"{key}={value}" + ("" if key == "DIALS_ORIGIN" else ";") + "\n" for key, value in fields]
    text = f"{{\nHEADER_BYTES={HEADER_BYTES};\n" + "".join(lines) + "}\f"
    return text.encode("ascii").ljust(HEADER_BYTES)
