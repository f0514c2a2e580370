"""Counts of pairs -> a picture: one pixel a pair, darker for more, on a logarithmic scale; red where there is none."""

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

NEVER, ABSENT, FEW, MANY = (209, 36, 47), (139, 148, 158), (214, 232, 250), (8, 48, 107)
_SHADES = 60


def heat_map(pairs: np.ndarray, absent: Sequence[int] = ()) -> str:
    """The picture of counts (n, n) as base64 PNG. absent: rows and columns that cannot be counted, grey."""
    most = max(int(pairs.max(initial=0)), 2)
    shade = 2 + np.rint(np.log(np.maximum(pairs, 1)) / np.log(most) * (_SHADES - 1))
    shade = np.where(pairs > 0, shade, 0).astype(np.uint8)
    grey = list(absent)
    shade[grey, :] = shade[:, grey] = 1
    between = np.linspace(FEW, MANY, _SHADES).round().astype(np.uint8)
    palette = np.concatenate([np.array([NEVER, ABSENT], np.uint8), between])
    return base64.b64encode(_png(shade, palette)).decode("ascii")


def _png(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """Pixels (rows, columns) uint8 with colours (n, 3) uint8 as a PNG: ISO/IEC 15948."""
    height, width = indices.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, by palette, no interlace
    lines = b"".join(b"\0" + line.tobytes() for line in indices)  # no filter
    chunks = ((b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
