"""The files of a run: float, integer, PGM and noise image, and the dump of the grid (semantics 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from nanobragg_torch.config import Config, StructureFactors
from nanobragg_torch.io.fdump import fdump_pieces
from nanobragg_torch.io.files import Piece, Zeros
from nanobragg_torch.io.pgm import pgm_header
from nanobragg_torch.io.smv import smv_header
from nanobragg_torch.physics import mosaic
from nanobragg_torch.physics.detector import final_centre
from nanobragg_torch.physics.structure_factor import build_grid
from nanobragg_torch.products.noise import Noise
from nanobragg_torch.products.statistics import Statistics
from nanobragg_torch.scan.experiment import Experiment
from nanobragg_torch.scan.rows import TOGETHER, in_window, row_blocks
from nanobragg_torch.scan.summation import Run
from nanobragg_torch.units import RTD

_LARGEST = 65535


def output_files(config: Config) -> list[tuple[str, Path]]:
    """(flag, file) of everything that a run of `config` writes."""
    output = config.output
    files = [("-floatfile", output.float_file), ("-intfile", output.int_file)]
    if output.pgm_file is not None:
        files.append(("-pgmfile", output.pgm_file))
    if output.noise_file is not None:
        files.append(("-noisefile", output.noise_file))
    if config.structure.hkl_file is not None:
        files.append(("-dump", output.dump_file))
    return files


@dataclass(frozen=True)
class Outputs:
    """files: contents by name, in pieces that are made as they are asked for, once.

    pgm_scale, noise: None where there is no such image. What was counted of noise so far is that of the rows that
    were made so far.
    """

    files: dict[Path, Iterable[Piece]]
    int_scale: float
    pgm_scale: float | None = None
    noise: Noise | None = None


def make_outputs(run: Run, image: np.ndarray, measured: Statistics, dump: Path | None = None) -> Outputs:
    """Every file that the Config of `run` asks for, of its float `image` (slow, fast).

    image: of the whole detector or of the region of interest alone; the files are of the whole
    detector. dump: where the grid of a reflection list goes, None for nowhere.
    """
    exp, config, output = run.exp, run.exp.config, run.exp.config.output
    header = smv_header(header_fields(exp))
    scale = output.scale if output.scale > 0 else (55000.0 / measured.max_I if measured.max_I > 0 else 1.0)
    files: dict[Path, Iterable[Piece]] = {
        output.float_file: _pieces(config, image, np.dtype("<f4"), 0, lambda values: values),
        output.int_file: chain((header,), integer_pieces(config, image, scale)),
    }
    pgm_scale = noise = None
    if output.pgm_file is not None:
        shape = (config.detector.pixels_slow, config.detector.pixels_fast)
        pgm_scale = output.pgm_scale if output.pgm_scale > 0 else scale
        if output.pgm_scale <= 0 and measured.rmsd > 0:
            pgm_scale = 250.0 / (5.0 * measured.rmsd)
        files[output.pgm_file] = chain((pgm_header(shape, pgm_scale),), pgm_pieces(config, image, pgm_scale))
    if output.noise_file is not None:
        noise = noise_of(config, in_window(image, config.detector.rendered).size)
        files[output.noise_file] = chain((header,), noise_pieces(config, image, noise))
    if dump is not None and config.structure.hkl_file is not None:
        files[dump] = dump_pieces(config.structure)
    return Outputs(files, scale, pgm_scale, noise)


def dump_pieces(structure: StructureFactors) -> Iterator[bytes]:
    """The grid in float64, whatever the run was computed in."""
    grid = build_grid(structure, torch.empty(0, dtype=torch.float64))
    if grid.values is not None:
        yield from fdump_pieces(grid.values.reshape(grid.shape).numpy(), grid.lowest, grid.counts)


def _pieces(
    config: Config, image: np.ndarray, dtype: np.dtype, outside: int, digits: Callable[[np.ndarray], np.ndarray]
) -> Iterator[Piece]:
    """All pixels in scan order: in the region of interest `digits` of the float32 values, `outside` elsewhere."""
    detector, roi = config.detector, config.detector.rendered
    window, width = in_window(image, roi), detector.pixels_fast
    left, right, waiting = roi.fast_min, width - 1 - roi.fast_max, 0
    if window.size:
        waiting = roi.slow_min * width
        for rows in row_blocks(*window.shape):
            made = digits(window[rows].astype(np.float32)).astype(dtype)
            for values in made if left or right else (made,):
                yield from _equal(waiting + left, outside, dtype)
                yield values.tobytes()
                waiting = right
    written = (roi.slow_max + 1) * width if window.size else 0
    yield from _equal(waiting + detector.pixels_slow * width - written, outside, dtype)


def _equal(count: int, value: int, dtype: np.dtype) -> Iterator[Piece]:
    """`count` pixels of one value."""
    if value == 0:
        yield Zeros(count * dtype.itemsize)
        return
    for start in range(0, count, TOGETHER):
        yield np.full(min(TOGETHER, count - start), value, dtype).tobytes()


def _offset(config: Config, offset: int) -> int:
    """What pixels outside the region of interest are: 0, or without Q43 the offset."""
    return 0 if config.quirks.on("Q43") else offset


def integer_pieces(config: Config, image: np.ndarray, scale: float) -> Iterator[Piece]:
    """floor(v scale + adc + 0.5), the sum rounded to float32 once, between 0 and 65535 (semantics 7.2).

    Of the whole detector, uint16.
    """
    adc = config.output.adc

    def digits(values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            level = values.astype(np.float64) * scale + adc
        level = np.clip(np.fmax(level, 0.0), 0.0, _LARGEST)  # fmax takes 0 of 0 and no number
        return (level + 0.5).astype(np.float32).astype(np.uint16)

    outside = _offset(config, int(digits(np.zeros(1, np.float32))[0]))
    return _pieces(config, image, np.dtype("<u2"), outside, digits)


def pgm_pieces(config: Config, image: np.ndarray, scale: float) -> Iterator[Piece]:
    """trunc(min(v scale, 255)) (semantics 7.3); what is below 0 wraps. uint8."""

    def digits(values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            level = np.nan_to_num(values.astype(np.float64) * scale, copy=False, nan=0.0)
        return _whole(np.minimum(level, 255.0)) & 0xFF

    return _pieces(config, image, np.dtype(np.uint8), 0, digits)


def noise_of(config: Config, pixels: int) -> Noise:
    """Draws go on with the generator that the rotations have used, from the seed of the noise (semantics 7.4)."""
    drawn, seed = mosaic.draws(config.crystal), config.output.seed
    if config.quirks.on("Q63") and drawn.misset.size:
        seed = drawn.seed
    drawn.generator.start(seed)
    return Noise(drawn.generator, config.output.adc, pixels)


def noise_pieces(config: Config, image: np.ndarray, noise: Noise) -> Iterator[Piece]:
    """Counts plus adc, of the whole detector, uint16."""

    def digits(values: np.ndarray) -> np.ndarray:
        return noise.digits(values.ravel()).reshape(values.shape)

    of_none = int(_whole(np.minimum(config.output.adc, _LARGEST))) & 0xFFFF
    return _pieces(config, image, np.dtype("<u2"), _offset(config, of_none), digits)


def _whole(level: np.ndarray | np.float64) -> np.ndarray:
    """Truncated to an integer of 32 bits, and what is below the least one to that."""
    return np.maximum(level, -(2.0**31)).astype(np.int32)


def header_fields(exp: Experiment) -> list[tuple[str, str]]:
    """The SMV header of integer and noise image, after HEADER_BYTES (semantics 7.2)."""
    config, geometry, final = exp.config, exp.geometry, final_centre(exp.geometry)
    detector, centre = config.detector, exp.geometry.centre
    x, y, z = (float(v) for v in geometry.pix0)
    # dot products with z, y and -x of the laboratory: the sums make 0 of a -0
    dials = (x * 0.0 + y * 0.0 + z, x * 0.0 + y + z * 0.0, -x + y * 0.0 + z * 0.0)
    half = 0.5 * float(geometry.pixel)
    fast_beam, slow_beam = float(final.fast_beam), float(final.slow_beam)
    phi = f"{float(config.scan.phi_start_rad) * RTD:g}"

    def mm(metres: object) -> str:
        return f"{float(metres) * 1000.0:g}"  # type: ignore[arg-type]

    return [
        ("DIM", "2"),
        ("BYTE_ORDER", "little_endian"),
        ("TYPE", "unsigned_short"),
        ("SIZE1", str(detector.pixels_fast)),
        ("SIZE2", str(detector.pixels_slow)),
        ("PIXEL_SIZE", mm(geometry.pixel)),
        ("DISTANCE", mm(geometry.distance)),
        ("WAVELENGTH", f"{float(config.beam.wavelength_m) * 1e10:g}"),
        ("BEAM_CENTER_X", mm(centre.x_beam)),
        ("BEAM_CENTER_Y", mm(centre.y_beam)),
        ("ADXV_CENTER_X", mm(fast_beam)),
        ("ADXV_CENTER_Y", mm(float(detector.size_slow_m) - slow_beam)),
        ("MOSFLM_CENTER_X", mm(slow_beam - half)),
        ("MOSFLM_CENTER_Y", mm(fast_beam - half)),
        ("DENZO_X_BEAM", mm(slow_beam)),
        ("DENZO_Y_BEAM", mm(fast_beam)),
        ("DIALS_ORIGIN", ",".join(f"{1000.0 * value:g}" for value in dials)),
        ("XDS_ORGX", f"{float(final.orgx):g}"),
        ("XDS_ORGY", f"{float(final.orgy):g}"),
        ("CLOSE_DISTANCE", mm(geometry.close_distance)),
        ("PHI", phi),
        ("OSC_START", phi),
        ("OSC_RANGE", f"{config.scan.osc_rad * RTD:g}"),
        ("TWOTHETA", f"{float(geometry.twotheta) * RTD:g}"),
        ("DETECTOR_SN", "000"),
        ("BEAMLINE", "fake"),
    ]
