"""Traps for a comparison of images: copies of one small image, each with one thing changed."""

import io
from collections.abc import Callable

import numpy
from numpy.typing import NDArray

from tools.scaling.studies.traps.record import Trap, TrapVerdict

SHAPE = (64, 64)  # square, so that a transposed image is not betrayed by its size

Pixels = NDArray[numpy.float32]


def golden() -> Pixels:
    """Return an image (slow, fast) of spots on a dim background, the same in each run and on each machine."""
    slow, fast = numpy.mgrid[: SHAPE[0], : SHAPE[1]].astype(numpy.float64)
    image = 0.5 + 0.01 * slow + 0.003 * fast
    for at, (s, f) in enumerate([(12, 9), (20, 44), (33, 27), (41, 55), (50, 13), (58, 38)]):
        image += 40.0 * 3.0**at / (1.0 + (slow - s) ** 2 + (fast - f) ** 2) ** 3
    return image.astype(numpy.float32)


def raw(image: NDArray[numpy.generic]) -> bytes:
    return image.tobytes()


def npy(image: NDArray[numpy.generic]) -> bytes:
    stream = io.BytesIO()
    numpy.save(stream, image)
    return stream.getvalue()


def smv(image: Pixels, order: str = "<") -> bytes:
    """Return an SMV file of counts, 200 per unit of `image`, at most 65535, in the byte order "<" or ">"."""
    counts = numpy.minimum(image * 200.0, 65535.0).astype(f"{order}u2")
    byte_order = "little_endian" if order == "<" else "big_endian"
    slow, fast = image.shape
    fields = ("HEADER_BYTES=512", f"BYTE_ORDER={byte_order}", "TYPE=unsigned_short", f"SIZE1={fast}", f"SIZE2={slow}")
    head = "{\n" + "".join(f"{field};\n" for field in fields) + "}\f"
    return head.encode("ascii").ljust(512) + counts.tobytes()


def _changed(slow: int, fast: int, value: Callable[[float], float]) -> Pixels:
    image = golden()
    image[slow, fast] = value(float(image[slow, fast]))
    return image


def _with(value: float) -> Pixels:
    return _changed(30, 31, lambda _: value)


def _one_step_up() -> Pixels:
    return numpy.nextafter(golden(), numpy.float32(numpy.inf))


def _peaks_exchanged() -> Pixels:
    image = golden()
    first, second = image[9:16, 6:13].copy(), image[38:45, 52:59].copy()
    image[9:16, 6:13], image[38:45, 52:59] = second, first
    return image


def _peak_moved() -> Pixels:
    image = golden()
    image[55:62, 35:42] = numpy.roll(image[55:62, 35:42], 1, axis=1)
    return image


def _without_background() -> Pixels:
    image = golden()
    return numpy.where(image < 2.0, 0.0, image).astype(numpy.float32)


def _flat(value: float) -> Pixels:
    return numpy.full(SHAPE, value, numpy.float32)


def _scaled(factor: float) -> Pixels:
    return (golden().astype(numpy.float64) * factor).astype(numpy.float32)


def image_traps() -> list[Trap]:
    """Return all traps for images, the harmless ones first."""
    x = golden()
    harmless = [(name, TrapVerdict.PASS, *pair) for name, pair in _harmless(x).items()]
    wrong = [(name, TrapVerdict.FAIL, *pair) for name, pair in _wrong(x).items()]
    others = [Trap(name, right, raw(a), raw(b), ".bin", SHAPE) for name, right, a, b in harmless + wrong]
    return sorted([*others, *_files(x)], key=lambda trap: trap.right is not TrapVerdict.PASS)


def _harmless(x: Pixels) -> dict[str, tuple[Pixels, Pixels]]:
    dark = numpy.where(x < 0.7, 0.0, x).astype(numpy.float32)
    return {
        "identical": (x, x),
        "every pixel 1 ulp higher": (x, _one_step_up()),
        "-0 instead of 0": (dark, numpy.where(dark == 0.0, -0.0, dark).astype(numpy.float32)),
        "tiny magnitudes, 1e-30, 1 ulp apart": (_scaled(1e-30), numpy.nextafter(_scaled(1e-30), numpy.float32(1.0))),
        "a float32 denormal 1 step off": (_with(1e-44), _with(1.1e-44)),
    }


def _wrong(x: Pixels) -> dict[str, tuple[Pixels, Pixels]]:
    nan, inf = _with(numpy.nan), _with(numpy.inf)
    return {
        "transposed": (x, numpy.ascontiguousarray(x.T)),
        "upside down": (x, numpy.ascontiguousarray(x[::-1])),
        "shifted by a pixel along fast": (x, numpy.roll(x, 1, axis=1)),
        "shifted by a pixel along slow": (x, numpy.roll(x, 1, axis=0)),
        "the first row lost, zeros at the end": (x, numpy.concatenate([x[1:], numpy.zeros_like(x[:1])])),
        "sign flipped": (x, -x),
        "scaled by 1.001": (x, _scaled(1.001)),
        "scaled by 1.003 (correlation 1)": (x, _scaled(1.003)),
        "scaled by 1.00001": (x, _scaled(1.00001)),
        "2 x + 3 (correlation 1)": (x, (2.0 * x + 3.0).astype(numpy.float32)),
        "a constant added": (x, (x + numpy.float32(0.01)).astype(numpy.float32)),
        "the brightest pixel wrong": (x, _changed(58, 38, lambda value: value * 1.01)),
        "one dim pixel 1 % wrong": (x, _changed(2, 60, lambda value: value * 1.01)),
        "one dim pixel 0": (x, _changed(2, 60, lambda value: 0.0)),
        "one pixel 1e-9 instead of 0": (_changed(2, 60, lambda value: 0.0), _changed(2, 60, lambda value: 1e-9)),
        "one dead row": (x, numpy.where(numpy.arange(64)[:, None] == 5, 0.0, x).astype(numpy.float32)),
        "one peak moved by a pixel": (x, _peak_moved()),
        "two peaks exchanged": (x, _peaks_exchanged()),
        "the background lost": (x, _without_background()),
        "1e-10 against 2e-10": (_scaled(1e-10), _scaled(2e-10)),
        "7.94e-30 against 9e-30": (_scaled(7.94e-30), _scaled(9e-30)),
        "NaN in the candidate": (x, nan),
        "NaN in the reference": (nan, x),
        "NaN on both sides": (nan, nan),
        "nothing but NaN on both sides": (_flat(numpy.nan), _flat(numpy.nan)),
        "infinity in the candidate": (x, inf),
        "infinity on both sides": (inf, inf),
        "infinities of opposite sign": (inf, _with(-numpy.inf)),
        "a zero image as candidate": (x, _flat(0.0)),
        "zero images on both sides": (_flat(0.0), _flat(0.0)),
        "a constant image as candidate": (x, _flat(2.0)),
        "the same constant on both sides": (_flat(2.0), _flat(2.0)),
        "bytes swapped": (x, x.byteswap()),
    }


def _files(x: Pixels) -> list[Trap]:
    """Return the traps that lie in the file, not in its pixels."""
    count, wide = SHAPE[0] * SHAPE[1], x.astype(numpy.float64)
    one_off = bytearray(smv(x))
    one_off[-1] ^= 1  # the high byte of the last pixel
    return [
        Trap("SMV, identical", TrapVerdict.PASS, smv(x), smv(x), ".img"),
        Trap("SMV in the other byte order", TrapVerdict.PASS, smv(x), smv(x, ">"), ".img"),
        Trap("float64, 1 ulp apart", TrapVerdict.PASS, npy(wide), npy(numpy.nextafter(wide, numpy.inf)), ".npy"),
        Trap("SMV, one pixel wrong", TrapVerdict.FAIL, smv(x), bytes(one_off), ".img"),
        Trap("SMV, truncated", TrapVerdict.FAIL, smv(x), smv(x)[:-2], ".img"),
        Trap("raw, truncated by a byte", TrapVerdict.FAIL, raw(x), raw(x)[:-1], ".bin", SHAPE),
        Trap("raw, truncated by a row", TrapVerdict.FAIL, raw(x), raw(x[:-1]), ".bin", SHAPE),
        Trap("raw, both truncated by a row", TrapVerdict.FAIL, raw(x[:-1]), raw(x[:-1]), ".bin", SHAPE),
        Trap("raw, four bytes too long", TrapVerdict.FAIL, raw(x), raw(x) + bytes(4), ".bin", SHAPE),
        Trap("an empty file", TrapVerdict.FAIL, raw(x), b"", ".bin", SHAPE),
        Trap("two empty files", TrapVerdict.FAIL, b"", b"", ".bin", SHAPE),
        Trap("text instead of pixels", TrapVerdict.FAIL, raw(x), b"0.5 0.503 0.506\n" * 9, ".bin", SHAPE),
        Trap("float64 against float32", TrapVerdict.FAIL, npy(x), npy(wide), ".npy"),
        Trap("another shape, the same pixels", TrapVerdict.FAIL, npy(x), npy(x.reshape(32, 128)), ".npy"),
        Trap("one axis, the same pixels", TrapVerdict.FAIL, npy(x), npy(x.reshape(count)), ".npy"),
        Trap("two images of no pixels", TrapVerdict.FAIL, npy(x[:0]), npy(x[:0]), ".npy"),
    ]
