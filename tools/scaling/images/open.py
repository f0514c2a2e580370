"""Image file -> its pixels, memory-mapped: raw floats, .npy, SMV. One pixel is read when it is asked for."""

import io
import mmap
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from numpy.lib import format as npy
from torch import Tensor

from nanobragg_torch.errors import NanoBraggError
from nanobragg_torch.io.inputs import open_file, size_of
from nanobragg_torch.io.smv import MAGIC, read_smv
from tools.scaling.base.errors import BadInput
from tools.scaling.engine.blocks import PixelBlock

_NPY_HEADER = 1 << 16  # bytes at most
# by version; the third differs from the second in the encoding of records' names alone
_NPY_READERS = {
    (1, 0): npy.read_array_header_1_0,
    **dict.fromkeys(((2, 0), (3, 0)), npy.read_array_header_2_0),
}
_AROUND = 1 << 21  # bytes; the kernel may map so much (a huge page) where one byte is read
_LONGEST = 2**31  # pixels of a side
# numpy's code without its byte order -> name, type of the bits in memory (torch computes little with unsigned
# integers), and of the values that are computed with
_TYPES = {
    "f4": ("float32", torch.float32, torch.float32),
    "f8": ("float64", torch.float64, torch.float64),
    "i1": ("int8", torch.int8, torch.int32),
    "u1": ("uint8", torch.uint8, torch.int32),
    "i2": ("int16", torch.int16, torch.int32),
    "u2": ("uint16", torch.int16, torch.int32),
    "i4": ("int32", torch.int32, torch.int64),
    "u4": ("uint32", torch.int32, torch.int64),
}
_VALUES = {name: values for name, _, values in _TYPES.values()}
_UNSIGNED = {"uint16": 0xFFFF, "uint32": 0xFFFFFFFF}


@dataclass(frozen=True)
class Image:
    """Pixels (slow, fast) of one image. dtype: float32, float64, or uint16 and other integers of at most 32 bits.

    pixels: their bits as in the file, of unsigned ones as of signed ones. swapped: in the other byte order.
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
        """`part` of `pixels` as values, in a type that torch computes with: integers become int32 or int64."""
        if self.swapped:
            part = part.unsqueeze(-1).contiguous().view(torch.uint8).flip(-1).view(part.dtype).squeeze(-1)
        wide = part.to(_VALUES[self.dtype])
        return wide & _UNSIGNED[self.dtype] if self.dtype in _UNSIGNED else wide

    def flat(self, block: PixelBlock) -> Tensor:
        """The values of a block, one row after the other; of a whole block of floats a view of the file."""
        return self.values(self.pixels[block.slow : block.slow_end, block.fast : block.fast_end].reshape(-1))

    def read(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """A copy of the values of some rows and columns, ends exclusive; the file's pages are let go."""
        values = self.values(self.pixels[top:bottom, left:right]).clone()
        width = self.shape[1]
        self.release(top * width + left, (bottom - 1) * width + right)
        return values

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
        with open_file(path) as stream:
            start, size = stream.read(len(MAGIC)), size_of(stream)
            if not size:
                raise BadInput(f"{path}: expected an image, got an empty file")
            memory = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
        if start.startswith(npy.MAGIC_PREFIX):
            code, own, offset = _npy(path, memory)
        elif start.startswith(MAGIC):
            header = read_smv(path, whole=True)
            code, own, offset = header.dtype.str, header.size[::-1], header.offset
        else:
            code, own, offset = *_raw(path, size, shape), 0
    except OSError as error:
        raise BadInput(f"{path}: expected an image, got: {error.strerror or error}") from error
    except NanoBraggError as error:
        raise BadInput(str(error)) from error
    if shape is not None and tuple(shape) != own:
        raise BadInput(f"{path}: expected {_times(shape)} pixels (slow x fast), got {_times(own)}")
    name, bits, _ = _TYPES[code[1:]]
    count = own[0] * own[1]
    if not count:
        raise BadInput(f"{path}: expected at least one pixel, got {_times(own)} (slow x fast)")
    wanted = offset + count * bits.itemsize
    if size != wanted:
        raise BadInput(f"{path}: expected {wanted} bytes, {_times(own)} {name}, got {size} bytes")
    with warnings.catch_warnings():  # torch warns that it could write to what is only read here
        warnings.simplefilter("ignore")
        flat = torch.frombuffer(memory, dtype=bits, count=count, offset=offset)
    return Image(str(path), name, flat.view(own), code[0] == ">", memory, offset)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _raw(path: Path, size: int, shape: tuple[int, int] | None) -> tuple[str, tuple[int, int]]:
    """(numpy's code, shape) of a file without a header."""
    if shape is None:
        raise BadInput(f"{path}: expected the shape of a file without a header (--shape SLOW FAST), got none")
    if not all(1 <= n < _LONGEST for n in shape):
        raise BadInput(f"{path}: expected a shape of at least 1 x 1 pixels, below 2^31, got {_times(shape)}")
    count = shape[0] * shape[1]
    for code, itemsize in (("<f4", 4), ("<f8", 8)):
        if size == count * itemsize:
            return code, (shape[0], shape[1])
    raise BadInput(
        f"{path}: expected {4 * count} bytes (float32) or {8 * count} (float64) for {_times(shape)} pixels, "
        f"got {size} bytes"
    )


def _npy(path: Path, memory: mmap.mmap) -> tuple[str, tuple[int, int], int]:
    """(numpy's code, shape, offset) of numpy's format, versions 1 to 3: numbers in C order on two axes."""
    header = io.BytesIO(memory[:_NPY_HEADER])
    try:
        with warnings.catch_warnings():  # numpy warns of headers that Python 2 has written
            warnings.simplefilter("ignore")
            shape, fortran, dtype = _NPY_READERS[npy.read_magic(header)](header)
    except Exception as error:  # whatever numpy's parsers say of ten thousand brackets, among others
        raise BadInput(f"{path}: expected a .npy header, got one that is damaged or truncated") from error
    code = dtype.str if dtype.names is None else dtype.descr
    if not isinstance(code, str) or code[1:] not in _TYPES or fortran or len(shape) != 2:
        got = f"{_shown(code)} {_shown(shape)} in {'Fortran' if fortran else 'C'} order"
        raise BadInput(f"{path}: expected one of {', '.join(_TYPES)} (slow, fast) in C order, got {got}")
    # True is an int to Python
    if not all(type(n) is int and 0 <= n < _LONGEST for n in shape):
        raise BadInput(f"{path}: expected a shape (slow, fast) of whole numbers below 2^31, got {_shown(shape)}")
    return code, (shape[0], shape[1]), header.tell()


def _shown(value: object) -> str:
    text = ascii(value) if not isinstance(value, str) else ascii(value)[1:-1]
    return text if len(text) <= 60 else text[:60] + "..."
