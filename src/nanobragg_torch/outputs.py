"""The files of a run: float, integer, PGM and noise image, and the dump of the grid (semantics 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nanobragg_torch import mosaic
from nanobragg_torch.config import Config
from nanobragg_torch.detector import final_centre
from nanobragg_torch.experiment import Experiment
from nanobragg_torch.io.fdump import fdump_bytes
from nanobragg_torch.io.float_image import float_bytes
from nanobragg_torch.io.pgm import pgm_bytes
from nanobragg_torch.io.smv import smv_bytes
from nanobragg_torch.noise import poisson
from nanobragg_torch.sampling import RTD
from nanobragg_torch.simulate import Run
from nanobragg_torch.statistics import Statistics

_LARGEST = 65535


@dataclass(frozen=True)
class Outputs:
    """files: contents by name. int_scale, pgm_scale, photons, overloads: None where there is no such image."""

    files: dict[Path, bytes] = field(default_factory=dict)
    int_scale: float | None = None
    pgm_scale: float | None = None
    photons: float | None = None
    overloads: int | None = None


def make_outputs(run: Run, image: np.ndarray, measured: Statistics, dump: Path | None = None) -> Outputs:
    """Every file that the Config of `run` asks for, of its float `image` (slow, fast).

    dump: where the grid of a reflection list goes, None for nowhere.
    """
    exp, output = run.exp, run.exp.config.output
    image = image.astype(np.float32)
    header = header_fields(exp)
    scale = output.scale if output.scale > 0 else (55000.0 / measured.max_I if measured.max_I > 0 else 1.0)
    files = {
        output.float_file: float_bytes(image),
        output.int_file: smv_bytes(header, integer_image(exp.config, image, scale)),
    }
    pgm_scale = photons = overloads = None
    if output.pgm_file is not None:
        pgm_scale = output.pgm_scale if output.pgm_scale > 0 else scale
        if output.pgm_scale <= 0 and measured.rmsd > 0:
            pgm_scale = 250.0 / (5.0 * measured.rmsd)
        files[output.pgm_file] = pgm_bytes(pgm_image(exp.config, image, pgm_scale), pgm_scale)
    if output.noise_file is not None:
        counted, photons, overloads = noise_image(exp.config, image)
        files[output.noise_file] = smv_bytes(header, counted)
    if dump is not None and exp.listed is not None and exp.config.structure.hkl_file is not None:
        files[dump] = fdump_bytes(exp.listed.values, exp.listed.lowest, exp.listed.counts)
    return Outputs(files, scale, pgm_scale, photons, overloads)


def _window(config: Config) -> tuple[slice, slice]:
    roi = config.detector.rendered
    return slice(roi.slow_min, roi.slow_max + 1), slice(roi.fast_min, roi.fast_max + 1)


def _canvas(config: Config, image: np.ndarray, offset: int) -> np.ndarray:
    """What pixels outside the region of interest are: 0, or without Q43 the offset."""
    return np.full(image.shape, 0 if config.quirks.on("Q43") else offset, np.uint16)


def integer_image(config: Config, image: np.ndarray, scale: float) -> np.ndarray:
    """floor(v scale + adc + 0.5), the sum rounded to float32 once, between 0 and 65535 (semantics 7.2)."""
    adc = config.output.adc

    def digits(values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            level = np.clip(np.nan_to_num(values.astype(np.float64) * scale + adc, nan=0.0), 0.0, _LARGEST)
        return np.floor((level + 0.5).astype(np.float32)).astype(np.int64).astype(np.uint16)

    window = _window(config)
    found = _canvas(config, image, int(digits(np.zeros(1, np.float32))[0]))
    found[window] = digits(image[window])
    return found


def pgm_image(config: Config, image: np.ndarray, scale: float) -> np.ndarray:
    """trunc(min(v scale, 255)) (semantics 7.3); what is below 0 wraps."""
    found, window = np.zeros(image.shape, np.uint8), _window(config)
    with np.errstate(invalid="ignore", over="ignore"):
        level = np.minimum(np.nan_to_num(image[window].astype(np.float64) * scale, nan=0.0), 255.0)
        found[window] = np.trunc(np.maximum(level, -(2.0**31))).astype(np.int64) & 0xFF
    return found


def noise_image(config: Config, image: np.ndarray) -> tuple[np.ndarray, float, int]:
    """(counts plus adc, all photons, overloads): Poisson deviates in scan order (semantics 7.4)."""
    output, window = config.output, _window(config)
    counts = poisson(image[window].ravel(), mosaic.draws(config.crystal).generator, output.seed)
    level = counts + output.adc
    over = ~(level <= _LARGEST)
    level = np.where(over, float(_LARGEST), level)
    found = _canvas(config, image, int(output.adc) & 0xFFFF)
    digits = np.trunc(np.maximum(level, -(2.0**31))).astype(np.int64) & 0xFFFF
    found[window] = digits.astype(np.uint16).reshape(found[window].shape)
    return found, float(counts.sum()), int(over.sum())


def header_fields(exp: Experiment) -> list[tuple[str, str]]:
    """The SMV header of integer and noise image, after HEADER_BYTES (semantics 7.2)."""
    config, geometry, final = exp.config, exp.geometry, final_centre(exp.geometry)
    detector, centre = config.detector, exp.geometry.centre
    x, y, z = (1000.0 * float(v) for v in geometry.pix0)
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
        ("DIALS_ORIGIN", f"{z:g},{y:g},{-x:g}"),
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
