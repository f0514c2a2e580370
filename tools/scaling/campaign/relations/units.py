"""What follows from the units alone: lengths, photons and structure factors in other units, by powers of two."""

import random
from typing import TYPE_CHECKING, Any

from tools.scaling.campaign.relations.pair import DoesNotHold, Images, changed, part_of, relation, within
from tools.scaling.campaign.scene import Scene

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config

FACTORS = (0.25, 0.5, 2.0, 4.0)
LENGTHS = ("pixel_m", "size_fast_m", "size_slow_m", "distance_m", "close_distance_m")
CENTRES = ("x_beam_m", "y_beam_m", "x_close_m", "y_close_m")
FAR_FROM_THE_END = 1e-280, 1e280  # numbers lose digits below the first and their finiteness above the second


def _times(factor: float, record: object, *names: str) -> dict[str, Any]:
    """The fields `names` of a record, those that are given, times `factor`."""
    values = {name: getattr(record, name) for name in names}
    return {name: None if value is None else value * factor for name, value in values.items()}


def _scaled(scene: Scene, config: "Config", factor: float, what: str, *, kernel: bool, base: "Tensor") -> Images:
    """`base` times `factor` against the image of `config`."""
    low, high = FAR_FROM_THE_END
    ours = scene.render(scene.prepared(config), kernel=kernel)
    known = base * factor
    lost = (known != 0) & ~((known.abs() > low) & (known.abs() < high)) & ~known.isnan()
    lost |= (known == 0) & (ours.abs() < low)
    return Images(("the image", f"that with {what}"), known, ours, config.detector.rendered, skipped=lost)


def _part(scene: Scene, dice: random.Random) -> "tuple[Config, Tensor, bool]":
    """The case on a part of its detector, its image there, and whether that is by the kernel.

    The part begins where the image does, so that it is in the same state.
    """
    from nanobragg_torch.config import Roi

    part = part_of(scene, dice, edge=9)
    roi = Roi(scene.roi.fast_min, scene.roi.fast_max, scene.roi.slow_min, part.slow_max)
    kernel = dice.random() < 0.5
    config = changed(scene.config, detector={"roi": roi})
    return config, within(scene, scene.compiled if kernel else scene.definition, roi), kernel


@relation(20)
def length_of_crystal(scene: Scene, dice: random.Random) -> Images:
    """Cell, crystal and wavelength in another unit of length: the same angles, the same image."""
    factor = dice.choice(FACTORS)
    config, base, kernel = _part(scene, dice)
    crystal, beam = config.crystal, config.beam
    cell = None if crystal.cell is None else _times(factor, crystal.cell, "a_angstrom", "b_angstrom", "c_angstrom")
    fudge = crystal.fudge
    if crystal.shape in ("GAUSS", "TOPHAT") and config.quirks.on("Q24"):
        fudge = fudge * factor * factor  # their radius is in 1/A^2
    rows = beam.sources and tuple((*row[:4], None if row[4] is None else row[4] * factor) for row in beam.sources)
    size = tuple(width * factor for width in crystal.size_m)
    config = changed(
        config,
        crystal={"cell": cell, "size_m": size, "fudge": fudge},
        beam={"wavelength_m": beam.wavelength_m * factor, "sources": rows},
        dmin_m=config.dmin_m * factor,
    )
    return _scaled(scene, config, 1.0, f"cell and wavelength times {factor:g}", kernel=kernel, base=base)


@relation(20)
def length_of_detector(scene: Scene, dice: random.Random) -> Images:
    """Pixel, distance and centre in another unit of length: the same directions, the same image."""
    factor = dice.choice(FACTORS)
    config, base, kernel = _part(scene, dice)
    detector = config.detector
    pix0 = detector.pix0_vector_m and tuple(x * factor for x in detector.pix0_vector_m)
    sensor = {**_times(factor, detector.sensor, "thickness_m"), **_times(1 / factor, detector.sensor, "mu_per_m")}
    config = changed(
        config, detector={**_times(factor, detector, *LENGTHS, *CENTRES), "pix0_vector_m": pix0, "sensor": sensor}
    )
    pure = detector.point_pixel and config.quirks.on("Q16")  # a solid angle in 1/m^2
    if pure and config.sampling.omega:
        raise DoesNotHold("a solid angle in 1/m^2 has many powers in a running sum")
    area = 1.0 / factor**2 if pure else 1.0
    return _scaled(scene, config, area, f"detector and distance times {factor:g}", kernel=kernel, base=base)


@relation(20)
def photons(scene: Scene, dice: random.Random) -> Images:
    """Twice the fluence makes twice the image."""
    factor = dice.choice((*FACTORS, 2.0**40))
    config, base, kernel = _part(scene, dice)
    if config.water_m and config.quirks.on("Q26"):  # water is scaled twice
        config = changed(config, water_m=0.0)
        base = scene.render(scene.prepared(config), kernel=kernel)
    config = changed(config, beam=_times(factor, config.beam, "fluence_per_m2"))
    return _scaled(scene, config, factor, f"fluence times {factor:g}", kernel=kernel, base=base)


@relation(20)
def structure_factors(scene: Scene, dice: random.Random) -> Images:
    """Twice the structure factors make four times the image."""
    factor = dice.choice((*FACTORS, -1.0))
    config, base, kernel = _part(scene, dice)
    if config.water_m:
        config = changed(config, water_m=0.0)
        base = scene.render(scene.prepared(config), kernel=kernel)
    listed = config.structure.reflections
    if listed is not None:
        listed = changed(listed, F=listed.F * factor)
    F = {"default_F": config.structure.default_F * factor, "reflections": listed}
    config = changed(config, structure=F)
    return _scaled(scene, config, factor**2, f"F times {factor:g}", kernel=kernel, base=base)


@relation(24)
def larger_crystal(scene: Scene, dice: random.Random) -> Images:
    """A spot that is not that of a parallelepiped grows narrower with the number of cells as with -fudge."""
    config, *_ = _part(scene, dice)
    exp, shape = scene.exp, config.crystal.shape
    cells = tuple(float(count) for count in exp.cells)
    config = changed(
        config,
        crystal={
            **{"cells": cells, "size_m": (0.0, 0.0, 0.0)},
            "shape": dice.choice(("ROUND", "GAUSS", "TOPHAT")) if shape == "SQUARE" else shape,
        },
        structure={"interpolate": exp.interpolate},
        sampling={"oversample": exp.oversample},
        water_m=0.0,
    )
    by_volume = config.crystal.shape != "ROUND" and config.quirks.on("Q24")
    narrower = {
        "cells": tuple(2.0 * count for count in cells),
        "fudge": config.crystal.fudge / (64 if by_volume else 4),
    }
    base, larger = scene.render(scene.prepared(config)), changed(config, crystal=narrower)
    # the kernel does not serve the largest crystals, and so perhaps only one of the two
    return _scaled(scene, larger, 64.0, "8 times the cells and less -fudge", kernel=False, base=base)
