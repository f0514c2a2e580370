"""Image file -> its pixels, memory-mapped: raw floats, .npy, SMV. One pixel is read when it is asked for."""

import ast
import mmap
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tools.scaling.errors import BadInput

_NPY = b"\x93NUMPY"
_SMV = b"{\nHEADER_BYTES="
_SMV_HEADER = 512
_TOO_DEEP = (RecursionError, MemoryError)  # what a parser says of ten thousand brackets or signs
_AROUND = 1 << 21  # bytes; the kernel may map so much (a huge page) where one byte is read
# torch computes little with uint16: its bits are held as int16.
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "uint16": torch.int16}
_NPY_DTYPES = {"<f4": "float32", "<f8": "float64", "<u2": "uint16"}


@dataclass(frozen=True)
class Image:
    """Pixels (slow, fast) of one image. dtype: float32, float64 or uint16, of which `pixels` holds the bits as int16.

    swapped: uint16 in the other byte order.
    memory and offset: the mapping behind the pixels and where in it they begin; None where they lie in memory.
    """

    name: str
    dtype: str
    pixels: Tensor
    swapped: bool = False
    memory: mmap.mmap | None = None
    offset: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        slow, fast = self.pixels.shape
        return slow, fast

    def values(self, part: Tensor) -> Tensor:
        """`part` of `pixels`, in a type that torch computes with: uint16 becomes int32."""
        if self.dtype != "uint16":
            return part
        wide = part.to(torch.int32) & 0xFFFF
        return ((wide & 0xFF) << 8) | (wide >> 8) if self.swapped else wide

    def read(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """A copy of the values of some rows and columns, ends exclusive; the file's pages are let go."""
        found = self.values(self.pixels[top:bottom, left:right]).clone()
        width = self.shape[1]
        self.release(top * width + left, (bottom - 1) * width + right)
        return found

    def release(self, first: int, last: int) -> None:
        """Drop the pages of pixels first..last (flat) from this process; the file stays in the page cache."""
        if self.memory is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        size = self.pixels.element_size()
        start = max(0, self.offset + first * size - _AROUND) // mmap.PAGESIZE * mmap.PAGESIZE
        end = min(self.offset + last * size + _AROUND, len(self.memory))
        self.memory.madvise(mmap.MADV_DONTNEED, start, end - start)


def in_memory(pixels: Tensor, name: str = "image") -> Image:
    """A tensor (slow, fast) of float32 or float64 as an Image. Raises BadInput for any other."""
    dtype = str(pixels.dtype).removeprefix("torch.")
    if dtype not in ("float32", "float64") or pixels.dim() != 2 or not pixels.numel():
        raise BadInput(f"{name}: expected float32 or float64 pixels (slow, fast), got {dtype} {tuple(pixels.shape)}")
    return Image(name, dtype, pixels)


def open_image(path: Path, shape: tuple[int, int] | None = None) -> Image:
    """The image in `path`: .npy and SMV by their first bytes, else raw little-endian floats, slow-major.

    shape: (slow, fast); a raw file needs it, and float32 or float64 follows from the file's size; of the others it
    is checked. Raises BadInput (one line) for a file that is unreadable, empty, truncated, too long or of another
    type or shape.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(_SMV_HEADER)
            size = stream.seek(0, 2)
            if not size:
                raise BadInput(f"{path}: expected an image, got an empty file")
            memory = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise BadInput(f"{path}: expected an image, got: {error.strerror or error}") from error
    if start.startswith(_NPY):
        dtype, found, offset, swapped = *_npy(path, memory), False
    elif start.startswith(_SMV):
        dtype, found, offset, swapped = _smv(path, memory, start)
    else:
        dtype, found, offset, swapped = *_raw(path, size, shape), 0, False
    if shape is not None and tuple(shape) != found:
        raise BadInput(f"{path}: expected {_times(shape)} pixels (slow x fast), got {_times(found)}")
    count = found[0] * found[1]
    if not count:
        raise BadInput(f"{path}: expected at least one pixel, got {_times(found)} (slow x fast)")
    wanted = offset + count * _DTYPES[dtype].itemsize
    if size != wanted:
        raise BadInput(f"{path}: expected {wanted} bytes, {_times(found)} {dtype}, got {size} bytes")
    with warnings.catch_warnings():  # torch warns that it could write to what is only read here
        warnings.simplefilter("ignore")
        flat = torch.frombuffer(memory, dtype=_DTYPES[dtype], count=count, offset=offset)
    return Image(str(path), dtype, flat.view(found), swapped, memory, offset)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _raw(path: Path, size: int, shape: tuple[int, int] | None) -> tuple[str, tuple[int, int]]:
    if shape is None:
        raise BadInput(f"{path}: expected the shape of a file without a header (--shape SLOW FAST), got none")
    if min(shape) < 1:
        raise BadInput(f"{path}: expected a shape of at least 1 x 1 pixels, got {_times(shape)}")
    count = shape[0] * shape[1]
    for dtype in ("float32", "float64"):
        if size == count * _DTYPES[dtype].itemsize:
            return dtype, (shape[0], shape[1])
    raise BadInput(
        f"{path}: expected {4 * count} bytes (float32) or {8 * count} (float64) for {_times(shape)} pixels, "
        f"got {size} bytes"
    )


def _npy(path: Path, memory: mmap.mmap) -> tuple[str, tuple[int, int], int]:
    """(dtype, shape, offset) of numpy's format, versions 1 to 3; little-endian, C order, two axes."""
    try:
        width, at = ("<H", 10) if memory[6] == 1 else ("<I", 12)
        offset = at + struct.unpack_from(width, memory, 8)[0]
        header = ast.literal_eval(memory[at:offset].decode("latin-1").strip())
        kind, fortran, shape = str(header["descr"]), header["fortran_order"], tuple(header["shape"])
    except (struct.error, ValueError, SyntaxError, KeyError, TypeError, IndexError, *_TOO_DEEP) as error:
        raise BadInput(f"{path}: expected a .npy header, got one that is damaged or truncated") from error
    if kind not in _NPY_DTYPES or fortran or len(shape) != 2 or not all(isinstance(n, int) and n >= 0 for n in shape):
        got = f"{kind} {shape} in {'Fortran' if fortran else 'C'} order"
        raise BadInput(f"{path}: expected one of {', '.join(_NPY_DTYPES)} (slow, fast) in C order, got {got}")
    return _NPY_DTYPES[kind], (shape[0], shape[1]), offset


def _smv(path: Path, memory: mmap.mmap, start: bytes) -> tuple[str, tuple[int, int], int, bool]:
    """(dtype, shape, offset, swapped) from KEY=value; lines: SIZE1 is fast, SIZE2 slow."""
    fields = _smv_fields(start)
    try:
        offset = int(fields["HEADER_BYTES"])
        fields = _smv_fields(memory[:offset])
        fast, slow = int(fields["SIZE1"]), int(fields["SIZE2"])
    except (KeyError, ValueError) as error:
        raise BadInput(f"{path}: expected an SMV header with HEADER_BYTES, SIZE1 and SIZE2, got: {error}") from error
    if min(offset, fast, slow) < 1:
        raise BadInput(f"{path}: expected HEADER_BYTES, SIZE1 and SIZE2 above 0, got {offset}, {fast} and {slow}")
    if fields.get("TYPE", "unsigned_short") != "unsigned_short":
        raise BadInput(f"{path}: expected TYPE=unsigned_short, got {fields['TYPE']}")
    order = fields.get("BYTE_ORDER", "little_endian")
    if order not in ("little_endian", "big_endian"):
        raise BadInput(f"{path}: expected BYTE_ORDER=little_endian or big_endian, got {order}")
    return "uint16", (slow, fast), offset, order == "big_endian"


def _smv_fields(header: bytes) -> dict[str, str]:
    found = re.findall(r"(?m)^([A-Z0-9_]+)=([^;\n]*);", header.decode("latin-1"))
    return {key: value.strip(" \t") for key, value in found}
