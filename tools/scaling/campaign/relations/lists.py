"""Structure factors that are the same whatever list they are written in."""

import random
from typing import TYPE_CHECKING, Any

from tools.scaling.campaign.relations.pair import DoesNotHold, Images, changed, image_of, part_of, relation
from tools.scaling.campaign.scene import Scene

if TYPE_CHECKING:
    import numpy as np

    from nanobragg_torch.config import Config, Reflections, Roi

ROUNDING = 1e-12  # of the square of what a cubic makes of 64 equal numbers
LARGEST = 100_000  # cells of a box that is made larger


def _nearest(scene: Scene, roi: "Roi") -> "Config":
    """The case on a part of the detector, without interpolation."""
    return changed(
        scene.config,
        detector={"roi": roi},
        structure={"interpolate": False},
        sampling={"oversample": scene.exp.oversample},
    )


def _boxed(values: "np.ndarray", lowest: tuple[int, ...]) -> "Reflections":
    """The box of `values` (h, k, l) as a dump holds it: with one plane behind each axis, which is never read (Q56)."""
    import numpy as np

    from nanobragg_torch.config import Reflections

    h, k, l = values.shape  # noqa: E741 -- a Miller index
    padded = np.full((h + 1, k + 1, l + 1), np.nan)
    padded[:h, :k, :l] = values
    return Reflections(None, padded, (lowest[0], lowest[1], lowest[2]), (h, k, l))


def _listed(scene: Scene) -> "np.ndarray":
    """F of every index of the list's box (h, k, l). Raises DoesNotHold where there is no list."""
    grid = scene.exp.grid
    if grid.values is None:
        raise DoesNotHold("there is no list of reflections")
    h, k, l = grid.counts  # noqa: E741 -- a Miller index
    values: np.ndarray = grid.values.reshape(grid.shape).numpy()[:h, :k, :l]
    return values


def _against(scene: Scene, known: "Config", structure: dict[str, Any], what: str, slack: float = 0.0) -> Images:
    """The image of `known` against the one with another `structure`."""
    base, ours = image_of(scene, known), image_of(scene, changed(known, structure=structure))
    return Images(("the image", what), base, ours, known.detector.rendered, slack * base.abs())


@relation(24)
def constant_list(scene: Scene, dice: random.Random) -> Images:
    """A list of one F everywhere is -default_F: the nearest of equal numbers, and the cubic through them."""
    import numpy as np

    roi, F = part_of(scene, dice), dice.choice((1.0, 37.0, float(scene.config.structure.default_F) or 100.0))
    grid = scene.exp.grid
    lowest, counts = (grid.lowest, grid.counts) if grid.values is not None else ((-9, -8, -7), (19, 17, 15))
    cubic = dice.random() < 0.5 and min(counts) >= 4
    known = changed(
        _nearest(scene, roi), structure={"default_F": F, "reflections": None, "hkl_file": None, "dump_file": None}
    )
    if cubic:
        known = changed(known, quirks=known.quirks.switched("Q25", False))
    listed = {"reflections": _boxed(np.full(counts, F), lowest), "interpolate": cubic}
    return _against(scene, known, listed, "that of a list of one F", ROUNDING if cubic else 0.0)


@relation(16)
def larger_list(scene: Scene, dice: random.Random) -> Images:
    """A list with -default_F around it is the same list."""
    import numpy as np

    values, default = _listed(scene), float(scene.exp.grid.default)
    margins = [(dice.randint(0, 3), dice.randint(0, 3)) for _ in range(3)]
    if values.size > LARGEST:
        raise DoesNotHold("the list is long")
    larger = np.pad(values, margins, constant_values=default)
    lowest = tuple(low - margin for low, (margin, _) in zip(scene.exp.grid.lowest, margins))
    listed = {"reflections": _boxed(larger, lowest)}
    return _against(scene, _nearest(scene, part_of(scene, dice)), listed, "that of a list with default_F around it")


@relation(20)
def shuffled_list(scene: Scene, dice: random.Random) -> Images:
    """The order of a list counts nothing but for an index that comes twice, of which the last one counts."""
    import numpy as np

    config, listed = scene.config, scene.config.structure.reflections
    if listed is None or listed.hkl is None:
        raise DoesNotHold("there is no list of reflections")
    rows = np.random.default_rng(dice.getrandbits(32)).permutation(len(listed.F))
    # the last of each index goes behind all others
    _, last = np.unique(listed.hkl[::-1], axis=0, return_index=True)
    rows = np.concatenate((rows, len(listed.F) - 1 - last))
    config = changed(config, detector={"roi": part_of(scene, dice)}, sampling={"oversample": scene.exp.oversample})
    mixed = {"reflections": changed(listed, hkl=listed.hkl[rows], F=np.asarray(listed.F)[rows])}
    return _against(scene, config, mixed, "that of the list in another order")


@relation(24)
def inverted_crystal(scene: Scene, dice: random.Random) -> Images:
    """A crystal turned inside out with F of (-h, -k, -l) is the same crystal."""
    roi, crystal, config = part_of(scene, dice), scene.config.crystal, scene.config
    if crystal.matrix is None:
        axes, per = scene.exp.axes, float(config.beam.wavelength_m) / 1e-10
        matrix: Any = [per * float(star[row]) for row in range(3) for star in (axes.a_star, axes.b_star, axes.c_star)]
        config = changed(config, crystal={"misset_rad": None, "misset_seed": None})
    else:
        matrix = crystal.matrix
    known = changed(_nearest(scene, roi), crystal={**_orientation(config), "cell": None, "matrix": tuple(matrix)})
    other = changed(known, crystal={"matrix": tuple(-x for x in matrix)})
    if scene.exp.grid.values is not None:
        values, grid = _listed(scene), scene.exp.grid
        lowest = tuple(1 - low - count for low, count in zip(grid.lowest, grid.counts))
        other = changed(other, structure={"reflections": _boxed(values[::-1, ::-1, ::-1], lowest)})
    names = "the image of a crystal", "that of the crystal turned inside out"
    return Images(names, image_of(scene, known), image_of(scene, other), roi)


def _orientation(config: "Config") -> dict[str, Any]:
    return {"misset_rad": config.crystal.misset_rad, "misset_seed": config.crystal.misset_seed}
