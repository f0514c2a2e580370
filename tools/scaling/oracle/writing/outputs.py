"""What the reference writes and prints of a float image, computed once more in plain Python (semantics 6.10, 7)."""

import math
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nanobragg_torch.config import Config
from tools.scaling.oracle.arithmetic import fl32
from tools.scaling.oracle.deviates import Random
from tools.scaling.oracle.image import Oracle
from tools.scaling.oracle.uncovered import Uncovered
from tools.scaling.oracle.writing.noise import Poisson
from tools.scaling.oracle.writing.smv import smv_header
from tools.scaling.oracle.writing.unlike import unlike

__all__ = ["Numbers", "expected_files", "expected_lines", "unlike"]

_LARGEST = 65535.0

Rows = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Numbers:
    """What is printed of an image: its maximum, the (slow, fast) pixel where it is, mean and deviations."""

    largest: float
    at: tuple[int, int] | None
    mean: float
    rms: float
    rmsd: float


def expected_files(config: Config, image: Rows, oracle: Oracle | None = None) -> dict[str, bytes]:
    """Return the files of a run, by the names that the Config has for them.

    image: the float image of the whole detector, rows (slow) of pixels (fast), float64 or float32. oracle: that of
    `config`, where there is one already.

    Raises Uncovered for an image with a pixel that float32 cannot hold as a finite number.
    """
    oracle = oracle or Oracle(config)
    pixels = [[fl32(value) for value in row] for row in image]
    if not all(math.isfinite(value) for row in pixels for value in row):
        raise Uncovered("files of an image with a pixel that is infinite or no number")
    output, numbers, files = config.output, _numbers(config, pixels), {}
    if not all(map(math.isfinite, (output.scale, output.pgm_scale, output.adc))):
        raise Uncovered("a scale or an offset that is infinite or no number")
    head = smv_header(oracle)
    scale = output.scale if output.scale > 0 else 55000.0 / numbers.largest if numbers.largest > 0 else 1.0
    files[str(output.float_file)] = b"".join(struct.pack(f"<{len(row)}f", *row) for row in pixels)
    files[str(output.int_file)] = head + _integers(config, pixels, scale)
    if output.pgm_file is not None:
        files[str(output.pgm_file)] = _pgm(config, pixels, numbers, scale)
    if output.noise_file is not None:
        files[str(output.noise_file)] = head + _noise(config, pixels)
    if config.structure.hkl_file is not None:
        files[str(output.dump_file)] = _dump(config)
    return files


def expected_lines(config: Config, image: Rows, oracle: Oracle | None = None) -> list[str]:
    """Return the lines about maximum, mean and deviations of `image`, as they are printed. Raises as expected_files."""
    oracle = oracle or Oracle(config)
    pixels = [[fl32(value) for value in row] for row in image]
    if not all(math.isfinite(value) for row in pixels for value in row):
        raise Uncovered("statistics of an image with a pixel that is infinite or no number")
    numbers = _numbers(config, pixels)
    slow, fast = (0.0, 0.0) if numbers.at is None else (_last(oracle, index) for index in numbers.at)
    return [
        f"max_I = {numbers.largest:g}  at {fast:g} {slow:g}",
        f"mean= {numbers.mean:g} rms= {numbers.rms:g} rmsd= {numbers.rmsd:g}",
    ]


def _last(oracle: Oracle, index: int) -> float:
    """Fdet or Sdet of a pixel's last sub-pixel (semantics 4.5)."""
    setup = oracle.setup
    return setup.sub * (index * setup.over + setup.over - 1) + setup.sub / 2.0


def _scan(config: Config, pixels: Rows) -> Iterator[tuple[int, int, float]]:
    """(slow, fast, value) of the region of interest, in scan order."""
    detector, height, width = config.detector, len(pixels), len(pixels[0])
    roi = detector.roi
    slows, fasts = range(height), range(width)
    if roi is not None:
        slows = range(max(roi.slow_min, 0), min(roi.slow_max + 1, height))
        fasts = range(max(roi.fast_min, 0), min(roi.fast_max + 1, width))
    for slow in slows:
        for fast in fasts:
            yield slow, fast, pixels[slow][fast]


def _numbers(config: Config, pixels: Rows) -> Numbers:
    """Sums run over what is rendered; that of the squared deviations over all of the region of interest."""
    mask = None if config.detector.mask is None else config.detector.mask.tolist()
    largest, at, count, total, squares = 0.0, None, 0, 0.0, 0.0
    for slow, fast, value in _scan(config, pixels):
        if mask is None or mask[slow][fast]:
            count, total, squares = count + 1, total + value, squares + fl32(value * value)
            if value > largest:
                largest, at = value, (slow, fast)
    mean = total / max(count, 1)
    shown, deviations = 0, 0.0
    for _, _, value in _scan(config, pixels):
        shown, deviations = shown + 1, deviations + (value - mean) * (value - mean)
    rms = math.sqrt(squares / (max(count, 2) - 1))
    return Numbers(largest, at, mean, rms, math.sqrt(deviations / (max(shown, 2) - 1)))


def _words(config: Config, pixels: Rows, digits: Callable[[float], int], outside: int) -> bytes:
    """Pixels of 16 bits: `digits` of what the region of interest has, elsewhere 0, or without Q43 `outside`."""
    words = array("H", [0 if config.quirks.on("Q43") else outside]) * (len(pixels) * len(pixels[0]))
    for slow, fast, value in _scan(config, pixels):
        words[slow * len(pixels[0]) + fast] = digits(value)
    return words.tobytes()


def _integers(config: Config, pixels: Rows, scale: float) -> bytes:
    adc = config.output.adc

    def digits(value: float) -> int:
        return math.floor(fl32(min(max(value * scale + adc, 0.0), _LARGEST) + 0.5))

    return _words(config, pixels, digits, digits(0.0))


def _noise(config: Config, pixels: Rows) -> bytes:
    adc, poisson = config.output.adc, _noise_of(config)

    def digits(count: float) -> int:
        return _truncated(min(count + adc, _LARGEST)) & 0xFFFF

    return _words(config, pixels, lambda mean: digits(poisson.draw(mean)), digits(0.0))


def _noise_of(config: Config) -> Poisson:
    """The generator after the rotations of the run, which leave their table and, with Q63, their seed."""
    random, crystal, seed = Random(), config.crystal, config.output.seed
    if crystal.misset_seed is not None:
        left = _third(random, crystal.misset_seed)
        seed = left if config.quirks.on("Q63") else seed
    left = crystal.mosaic_seed
    for _ in range(crystal.mosaic_domains):
        left = _third(random, left)
    return Poisson(random, seed)


def _third(random: Random, seed: int) -> int:
    """What `seed` is after the three deviates of a rotation."""
    for _ in range(3):
        _, seed = random.draw(seed)
    return seed


def _pgm(config: Config, pixels: Rows, numbers: Numbers, scale: float) -> bytes:
    if config.output.pgm_scale > 0:
        scale = config.output.pgm_scale
    elif numbers.rmsd > 0:
        scale = 250.0 / (5.0 * numbers.rmsd)
    grey = bytearray(len(pixels) * len(pixels[0]))
    for slow, fast, value in _scan(config, pixels):
        grey[slow * len(pixels[0]) + fast] = _truncated(min(value * scale, 255.0)) & 0xFF
    return f"P5\n{len(pixels[0])} {len(pixels)}\n# pixels scaled by {scale:g}\n255\n".encode("ascii") + grey


def _truncated(value: float) -> int:
    """As C makes an int of 32 bits of it; all that is below the least one becomes that."""
    return int(max(value, -(2.0**31)))


def _dump(config: Config) -> bytes:
    """The grid with a plane of padding behind each axis (semantics 2.3, 2.7)."""
    listed = config.structure.reflections
    if listed is None or listed.hkl is None:
        raise Uncovered("the dump of a list that was not read")
    (h, k, l), (h_n, k_n, l_n) = listed.lowest, listed.counts  # noqa: E741 -- a Miller index
    grid = array("d", [0.0]) * ((h_n + 1) * (k_n + 1) * (l_n + 1))
    row = array("d", [float(config.structure.default_F)]) * l_n

    def place(i: int, j: int, m: int) -> int:
        return ((i - h) * (k_n + 1) + j - k) * (l_n + 1) + m - l

    for i in range(h, h + h_n):
        for j in range(k, k + k_n):
            grid[place(i, j, l) : place(i, j, l) + l_n] = row
    for index, value in zip(listed.hkl.tolist(), listed.F.tolist()):
        grid[place(*index)] = value
    bounds = (h, h + h_n - 1, k, k + k_n - 1, l, l + l_n - 1)
    return " ".join(map(str, bounds)).encode("ascii") + b"\n\f" + grid.tobytes()
