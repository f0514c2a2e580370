"""The laboratory has no preferred direction: what is turned, reversed or renamed as a whole gives the same image."""

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tools.scaling.campaign.relations.pair import DoesNotHold, Images, changed, image_of, part_of, relation, within
from tools.scaling.campaign.scene import Scene
from tools.scaling.oracle.geometry import FRAMES

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from nanobragg_torch.config import Config
    from nanobragg_torch.scan.experiment import Experiment

ROUNDINGS = 16  # of a number of a turned crystal, in those of one that is not
TERMS = 1000  # of a pixel that the oracle is asked about


def _vectors(config: "Config") -> dict[str, Any]:
    """The vectors that a run of `config` begins with, as they would be typed (semantics 4.1)."""
    detector, quirks = config.detector, config.quirks
    names = ("beam_vector", "fdet_vector", "sdet_vector", "odet_vector", "twotheta_axis", "polar_vector")
    frame = dict(zip((*names, "spindle_axis"), FRAMES[detector.convention]))
    typed = detector.convention == "CUSTOM" or not quirks.on("Q54")
    found: dict[str, Any] = {}
    for name, default in frame.items():
        given = getattr(detector, name) if typed else None
        found[name] = tuple(map(float, default)) if given is None else given
        if name == "odet_vector" and given is None and not quirks.on("Q03"):
            found[name] = None  # it follows from the others
    return found


def _centre(config: "Config") -> "tuple[Any, Any]":
    """Where the point that the pivot needs lies along fast and slow, in metres (semantics 4.1)."""
    d = config.detector

    def first(*values: Any) -> Any:
        return next(value for value in values if value is not None)

    def near(origin: Any, size: Any) -> Any:
        return size / 2.0 if origin is None else (origin - 0.5) * d.pixel_m

    near_fast, near_slow = near(d.orgx_pixels, d.size_fast_m), near(d.orgy_pixels, d.size_slow_m)
    if d.convention == "CUSTOM":
        return first(d.x_beam_m, d.x_close_m, near_fast), first(d.y_beam_m, d.y_close_m, near_slow)
    if d.pivot == "SAMPLE":
        if d.convention in ("XDS", "DIALS") and not config.quirks.on("Q05"):
            raise DoesNotHold("without Q05 the centre comes from many places")
        return near_fast, near_slow
    if d.convention == "ADXV":
        x, y = (
            first(d.x_beam_m, (d.size_fast_m + d.pixel_m) / 2.0),
            first(d.y_beam_m, (d.size_slow_m - d.pixel_m) / 2.0),
        )
        return x, d.size_slow_m - y
    if d.convention in ("MOSFLM", "DENZO"):
        x, y = (
            first(d.x_beam_m, (d.size_slow_m + d.pixel_m) / 2.0),
            first(d.y_beam_m, (d.size_fast_m + d.pixel_m) / 2.0),
        )
        half = 0.5 * d.pixel_m if d.convention == "MOSFLM" else 0.0
        return y + half, x + half
    return first(d.x_beam_m, d.x_close_m, near_fast), first(d.y_beam_m, d.y_close_m, near_slow)


def _custom(scene: Scene, config: "Config") -> "Config":
    """The same simulation with every vector written out."""
    fast, slow = _centre(config)
    written = {"convention": "CUSTOM", "x_beam_m": fast, "y_beam_m": slow, **_vectors(config)}
    return changed(config, detector=written, sampling={"oversample": scene.exp.oversample})


def _top(scene: Scene, dice: random.Random) -> "Config":
    """The case on the first rows of its region of interest: in the state of the whole image."""
    from nanobragg_torch.config import Roi

    roi = scene.roi
    part = Roi(roi.fast_min, roi.fast_max, roi.slow_min, part_of(scene, dice, edge=9).slow_max)
    return changed(scene.config, detector={"roi": part})


def _against_image(scene: Scene, config: "Config", what: str) -> Images:
    """The image of `config`, a part of the detector, against the same part of the case."""
    roi = config.detector.rendered
    return Images(("the image", what), within(scene, scene.definition, roi), image_of(scene, config), roi)


@relation(24)
def named_convention(scene: Scene, dice: random.Random) -> Images:
    """A convention is a set of vectors and a rule for the centre: written out they give the same image."""
    return _against_image(scene, _custom(scene, _top(scene, dice)), "that of its vectors, written out")


@relation(24)
def reversed_axes(scene: Scene, dice: random.Random) -> Images:
    """A spindle or twotheta axis turned round, with its angle of the other sign, turns the same way; the
    polarization has no sign."""
    config = _custom(scene, _top(scene, dice))
    detector, scan, beam = config.detector, config.scan, config.beam
    turned = {"twotheta_axis": _times(detector.twotheta_axis, -1.0), "twotheta_rad": -detector.twotheta_rad}
    turned["spindle_axis"] = _times(detector.spindle_axis, -1.0)
    if beam.sources is not None or (beam.horizontal.count, beam.vertical.count) == (1, 1):  # divergence is about it
        turned["polar_vector"] = _times(detector.polar_vector, -1.0)
    angles = {"phi_start_rad": -scan.phi_start_rad, "phi_step_rad": -scan.phi_step_rad}
    return _against_image(scene, changed(config, detector=turned, scan=angles), "that of reversed axes")


def _times(vector: Any, *signs: float) -> Any:
    if vector is None:
        return None
    return tuple(sign * x for sign, x in zip(signs * 3 if len(signs) == 1 else signs, vector))


@relation(32)
def half_turn(scene: Scene, dice: random.Random) -> Images:
    """Everything turned by half a turn about a lab axis: each step only changes signs, so that no bit changes."""
    config = _oriented(scene, _custom(scene, _top(scene, dice)))
    if config.detector.curved:  # else pixels on the sphere lie along lab y and z
        config = changed(config, quirks=config.quirks.switched("Q17", False))
    signs = dice.choice(((1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)))
    detector, crystal, rows = config.detector, config.crystal, config.beam.sources
    vectors = {name: _times(getattr(detector, name), *signs) for name in (*_vectors(config), "pix0_vector_m")}
    tilts = {name: sign * getattr(detector, name) for name, sign in zip(("rotx_rad", "roty_rad", "rotz_rad"), signs)}
    assert crystal.matrix is not None
    matrix = tuple(x * sign for x, sign in zip(crystal.matrix, (sign for sign in signs for _ in range(3))))
    turned = changed(
        config,
        detector={**vectors, **tilts},
        crystal={"matrix": matrix, "misset_rad": _times(crystal.misset_rad, *signs)},
        beam={"sources": rows and tuple((*_signed(row, signs), *row[3:]) for row in rows)},
    )
    exp = scene.prepared(turned)
    like = exp.cells.new_tensor(signs)
    ours = scene.render(_domains_turned(exp, lambda u: like.unsqueeze(-1) * u * like))
    known = image_of(scene, config)
    return Images(("the image", "that of everything turned by half a turn"), known, ours, config.detector.rendered)


def _signed(row: tuple[Any, ...], signs: tuple[float, ...]) -> tuple[Any, ...]:
    return tuple(None if x is None else sign * x for x, sign in zip(row, signs))


def _domains_turned(exp: "Experiment", turn: Any) -> "Experiment":
    """The mosaic domains, which are drawn in the lab frame, turned with it: no setting can ask for that."""
    domains = exp.orientations.domains
    if domains is None:
        return exp
    return replace(exp, orientations=replace(exp.orientations, domains=turn(domains)))


def _oriented(scene: Scene, config: "Config") -> "Config":
    """The same crystal with its reciprocal axes written out as a matrix, misset by angles that are not random.

    A cell alone is given a wavelength of 1 A first, at which the matrix is not rounded.
    """
    from nanobragg_torch.physics.crystal import cell_volume, reciprocal_from_cell

    crystal, like = config.crystal, scene.exp.cells
    if crystal.misset_seed is not None:
        config = changed(config, crystal={"misset_seed": None, "misset_rad": (0.3, -0.2, 1.9)})
    if crystal.matrix is not None or crystal.cell is None:
        return config
    cell = crystal.cell
    lengths = like.new_tensor((cell.a_angstrom, cell.b_angstrom, cell.c_angstrom))
    angles = like.new_tensor((cell.alpha_rad, cell.beta_rad, cell.gamma_rad))
    exact = not config.quirks.on("Q58")
    stars = reciprocal_from_cell(lengths, angles, cell_volume(lengths, angles), exact=exact)
    matrix = tuple(float(star[row]) for row in range(3) for star in stars)
    return changed(config, crystal={"matrix": matrix}, beam={"wavelength_m": 1e-10})


@relation(32)
def written_matrix(scene: Scene, dice: random.Random) -> Images:
    """A cell and the matrix of its own reciprocal axes are the same crystal."""
    config = changed(_top(scene, dice), beam={"wavelength_m": 1e-10}, sampling={"oversample": scene.exp.oversample})
    if config.crystal.cell is None or config.crystal.matrix is not None:
        raise DoesNotHold("there is a matrix, or no cell")
    if config.crystal.misset_seed is not None:
        raise DoesNotHold("the orientation is random")
    names, roi = ("the image of the cell", "that of the matrix that the cell makes"), config.detector.rendered
    return Images(names, image_of(scene, config), image_of(scene, _oriented(scene, config)), roi)


@relation(12)
def transposed(scene: Scene, dice: random.Random) -> Images:
    """The detector's fast and slow axis exchanged: the image transposed."""
    from nanobragg_torch.config import Roi

    config = _custom(scene, _top(scene, dice))
    detector, exp, quirks, roi = config.detector, scene.exp, config.quirks, config.detector.rendered
    if detector.curved:
        raise DoesNotHold("the two turns that curve a detector are not exchanged")
    if exp.oversample > 1 and (config.sampling.thick or config.sampling.polar or config.sampling.omega):
        raise DoesNotHold("factors on the running sum depend on the order of sub-pixels (Q27)")
    if exp.oversample > 1 and config.dmin_m > 0 and config.beam.polarized:
        raise DoesNotHold("the polarization is that of the first sub-pixel that dmin leaves (Q30)")
    if (exp.first_differs and (detector.mask is not None or config.dmin_m > 0)) or (
        exp.interpolate and quirks.on("Q25")
    ):
        raise DoesNotHold("what a pixel finds depends on the pixels before it (Q25, Q29)")
    swapped = {name: getattr(detector, _other(name)) for name in _EXCHANGED}
    swapped["roi"] = Roi(roi.slow_min, roi.slow_max, roi.fast_min, roi.fast_max)
    swapped["mask"] = None if detector.mask is None else detector.mask.T.copy()
    swapped["odet_vector"] = tuple(float(x) for x in exp.geometry.initial.odet)  # kept as it is
    turned = changed(config, detector=swapped, quirks=replace(quirks, as_given=_exchanged(quirks.as_given) | {"odet"}))
    known, ours = within(scene, scene.definition, roi), image_of(scene, turned).T
    terms = exp.n_orientations * exp.n_sources * exp.n_subpixels
    slack = 2.0**-52 * (terms + 8) * known.abs() if exp.oversample > 1 else 0.0  # they are added in another order
    return Images(("the image", "that of exchanged axes"), known, ours, roi, slack)


_EXCHANGED = (
    *("fdet_vector", "sdet_vector", "pixels_fast", "pixels_slow", "size_fast_m", "size_slow_m", "x_beam_m", "y_beam_m"),
    *("x_close_m", "y_close_m", "orgx_pixels", "orgy_pixels"),
)


def _other(name: str) -> str:
    pairs = (("fdet", "sdet"), ("fast", "slow"), ("x_", "y_"), ("orgx", "orgy"))
    for first, second in pairs:
        for one, two in ((first, second), (second, first)):
            if one in name and not (one == "x_" and not name.startswith("x_")):
                return name.replace(one, two, 1)
    return name


def _exchanged(names: frozenset[str]) -> frozenset[str]:
    return frozenset(_other(name) for name in names)


@relation(32)
def any_turn(scene: Scene, dice: random.Random) -> Images:
    """Everything turned about any axis: the image within what rounding of the Miller indices can move."""
    import torch

    from tools.scaling.oracle.image import Oracle
    from tools.scaling.oracle.uncovered import Uncovered

    if scene.edge_on:
        raise DoesNotHold("the detector is seen edge on")
    roi = part_of(scene, dice, edge=1)
    config = _oriented(scene, _custom(scene, changed(scene.config, detector={"roi": roi})))
    if config.detector.curved and config.quirks.on("Q17"):
        raise DoesNotHold("pixels on the sphere lie along lab y and z (Q17)")
    try:
        oracle = Oracle(config)
        if oracle.terms > TERMS:
            raise DoesNotHold("the oracle would add up too many terms")
        bound = oracle.one(roi.slow_min, roi.fast_min, eps=ROUNDINGS * 2.0**-52).bound
    except Uncovered as error:
        raise DoesNotHold(str(error)) from error
    exp, turn = scene.prepared(config), torch.from_numpy(_rotation(dice))
    turned = _domains_turned(scene.prepared(_turned(exp, turn)), lambda u: turn @ u @ turn.T)
    known, ours = scene.render(exp), scene.render(turned)
    slack = bound + 1e-12 * known.abs()
    return Images(("the image", "that of everything turned"), known, ours, roi, slack)


def _rotation(dice: random.Random) -> "np.ndarray":
    """A rotation matrix (3, 3), uniform: of a random unit quaternion."""
    import numpy as np

    w, x, y, z = (q := np.array([dice.gauss(0, 1) for _ in range(4)])) / math.sqrt(float(q @ q))
    return np.array(
        (
            (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        )
    )


def _turned(exp: "Experiment", turn: "Tensor") -> "Config":
    """The settings of `exp`, whose matrix is written out, with everything turned: the tilts of the detector and of the
    crystal are in the turned vectors."""
    import torch

    from nanobragg_torch.physics.vectors import rotate_xyz

    config, geometry = exp.config, exp.geometry
    rows, crystal = config.beam.sources, config.crystal
    fdet, sdet, odet = geometry.tilted
    axes = geometry.initial
    vectors = {"beam_vector": axes.beam, "fdet_vector": fdet, "sdet_vector": sdet, "odet_vector": odet}
    vectors |= {"polar_vector": axes.polar, "spindle_axis": axes.spindle, "twotheta_axis": axes.twotheta_axis}
    if config.detector.pix0_vector_m is not None:
        vectors["pix0_vector_m"] = exp.cells.new_tensor(config.detector.pix0_vector_m)
    stars = list(exp.cells.new_tensor(crystal.matrix).reshape(3, 3).unbind(1))
    if crystal.misset_rad is not None:
        stars = [rotate_xyz(star, *exp.cells.new_tensor(crystal.misset_rad)) for star in stars]
    matrix = torch.stack(stars, dim=1)
    return changed(
        config,
        detector={
            **{name: _triple(turn @ vector) for name, vector in vectors.items()},
            **{"rotx_rad": 0.0, "roty_rad": 0.0, "rotz_rad": 0.0},
        },
        crystal={"matrix": tuple((turn @ matrix).flatten().tolist()), "misset_rad": None},
        beam={"sources": rows and tuple(_turned_row(row, axes.beam, turn) for row in rows)},
        quirks=replace(config.quirks, as_given=config.quirks.as_given | {"odet"}),
    )


def _triple(vector: "Tensor") -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z


def _turned_row(row: tuple[Any, ...], beam: "Tensor", turn: "Tensor") -> tuple[Any, ...]:
    position = beam.new_tensor([-10.0 * float(b) if x is None else float(x) for x, b in zip(row, beam)])
    return (*_triple(turn @ position), *row[3:])
