"""The files that a Config names, read once: the only step of a simulation that opens any."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nanobragg_torch.config import Config, Detector, Reflections, SourceRow
from nanobragg_torch.errors import InputError
from nanobragg_torch.io.fdump import GRID_CELL, read_fdump
from nanobragg_torch.io.hkl import read_hkl
from nanobragg_torch.io.room import require_room
from nanobragg_torch.io.smv import read_pixels, read_smv
from nanobragg_torch.io.sources import read_sources
from nanobragg_torch.quirks import Quirks

if TYPE_CHECKING:
    import numpy as np


def loaded(config: Config, *, room: bool = True) -> Config:
    """Read the files that a Config names, so that it can be simulated any number of times without opening one.

    Args:
        config: a Config; what is in it already is not read again.
        room: refuse a list whose grid does not fit into memory; not where a plan does that.

    Returns:
        The Config with the contents of its reflection list or dump, source file and mask, and with warnings about them.

    Raises:
        InputError: for a file that is not what it should be.
        DoesNotFit: for what is too large.
    """
    if not unread(config):
        return config
    structure, beam, detector = config.structure, config.beam, config.detector
    reflections, warnings = reflections_of(config), list(config.warnings)
    if structure.reflections is None and reflections is not None:
        warnings += [reflections.warning] if reflections.warning else []
        if room:
            shown = " x ".join(map(str, reflections.shape))
            named = structure.hkl_file or structure.dump_file
            require_room(GRID_CELL * math.prod(reflections.shape), f"{named}: a grid of {shown} structure factors")
    sources, said = sources_of(config)
    warnings += said
    mask = detector.mask
    if detector.mask_file is not None and mask is None:
        mask, said = _read_mask(detector, detector.mask_file, config.quirks)
        warnings += said
    return replace(
        config,
        structure=replace(structure, reflections=reflections),
        beam=replace(beam, sources=sources),
        detector=replace(detector, mask=mask),
        warnings=tuple(warnings),
    )


def unread(config: Config) -> tuple[Path, ...]:
    """Files that `config` names and whose contents it does not hold yet."""
    structure, beam, detector = config.structure, config.beam, config.detector
    named = (
        (structure.hkl_file or structure.dump_file, structure.reflections),
        (beam.source_file, beam.sources),
        (detector.mask_file, detector.mask),
    )
    return tuple(path for path, contents in named if path is not None and contents is None)


def with_quirks(config: Config, quirks: Quirks) -> Config:
    """`config` with these switches, without the contents of its files, as switches decide how these are read."""
    structure, beam, detector = config.structure, config.beam, config.detector
    return replace(
        config,
        quirks=quirks,
        structure=replace(structure, reflections=None) if structure.hkl_file or structure.dump_file else structure,
        beam=replace(beam, sources=None) if beam.source_file else beam,
        detector=replace(detector, mask=None) if detector.mask_file else detector,
    )


def reflections_of(config: Config) -> Reflections | None:
    """Return the reflections of `config`, read from its file unless they are in it; None where it names none."""
    structure, quirks = config.structure, config.quirks
    if structure.reflections is None and structure.hkl_file is not None:
        return read_hkl(structure.hkl_file, quirks)
    if structure.reflections is None and structure.dump_file is not None:
        return read_fdump(structure.dump_file, skip_white_space=quirks.on("Q22"))
    return structure.reflections


def sources_of(config: Config) -> tuple[tuple[SourceRow, ...] | None, tuple[str, ...]]:
    """Return the sources of `config`, read from its file unless they are in it, or None; and warnings about them."""
    if config.beam.sources is not None or config.beam.source_file is None:
        return config.beam.sources, ()
    listed = read_sources(config.beam.source_file, config.quirks)
    return tuple(listed.rows), listed.warnings


def _read_mask(detector: Detector, path: Path, quirks: Quirks) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return where the mask in `path` is not 0, (slow, fast) as on the whole detector; and warnings about it."""
    header = read_smv(path, whole=not quirks.on("Q48"))
    fast, slow = header.size
    if (slow, fast) != (detector.pixels_slow, detector.pixels_fast):
        raise InputError(
            f"{path}: expected {detector.pixels_fast} x {detector.pixels_slow} pixels as on the detector, "
            f"got {fast} x {slow}"
        )
    pixels, roi = read_pixels(header), detector.rendered
    window = pixels[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1]
    if (window != window).any():
        raise InputError(f"{path}: expected 0 or a number in every pixel of a mask, got NaN")
    kind = f"{path}: pixels are {header.kind}, as TYPE says; the reference reads any mask as 16-bit words"
    return pixels != 0, () if pixels.dtype.itemsize == 2 else (kind,)
