"""An image is a mean over sources, mosaic domains, phi steps and sub-pixels: all against all but one, and the last.

What the reference does to the sum as a whole is left out of the settings first: polarization, which is that of the
first source (Q30), factors on the running sum (Q27), water (Q26), and the end of tricubic interpolation (Q25).
"""

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from tools.scaling.campaign.relations.pair import DoesNotHold, Images, changed, image_of, part_of, relation
from tools.scaling.campaign.scene import Scene

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config, Number, Roi
    from nanobragg_torch.scan.experiment import Experiment

ROUNDING = 2.0**-51  # of a sum, for each of its terms
PLAIN = {"thick": False, "polar": False, "omega": False}


def additive(scene: Scene, roi: "Roi") -> "Config":
    """The settings of the case on a part of the detector, without what is done to the sum as a whole."""
    config = scene.config
    return changed(
        config,
        detector={"roi": roi, "mask": None, "mask_file": None},
        beam={"polarized": False},
        sampling={**PLAIN, "oversample": scene.exp.oversample},
        water_m=0.0,
        dmin_m=0.0 if scene.exp.first_differs else config.dmin_m,
        quirks=config.quirks.switched("Q25", False),
    )


def _mean(what: str, roi: "Roi", whole: "Tensor", wanted: "Tensor", terms: int) -> Images:
    """The relation of the image of all to the mean of its parts, which is a sum of `terms` terms."""
    import torch

    first = torch.zeros(whole.shape, dtype=torch.bool)
    first[:1, :1] = True  # its first evaluation is unlike the others (Q29)
    names = f"the mean of all {what} but one and of the last", f"the image of all {what}"
    return Images(names, wanted, whole, roi, (terms + 8) * ROUNDING * wanted.abs(), first)


def _shared(some: "Tensor", last: "Tensor", n: float, share: float = 1.0) -> "Tensor":
    """The mean of two images, of which the first counts as n and the other as `share`."""
    return (n * some + share * last) / (n + share)


def _terms(exp: "Experiment") -> int:
    return exp.n_orientations * exp.n_sources * exp.n_subpixels


@relation(12)
def sum_of_directions(scene: Scene, dice: random.Random) -> Images:
    """The image of all directions of the beam is the mean of those of each."""
    beam = scene.config.beam
    axes = [name for name in ("horizontal", "vertical") if getattr(beam, name).count > 1]
    if beam.sources is not None or not axes:
        raise DoesNotHold("there is one direction")
    axis, roi = dice.choice(axes), part_of(scene, dice)
    # which directions an ellipse leaves out depends on whether they are even in number
    whole = changed(additive(scene, roi), beam={"round_divergence": False})
    spread = getattr(beam, axis)
    n = spread.count
    angle = spread.step * (n - 1) - spread.width / 2.0
    some = changed(whole, beam={axis: {"count": n - 1}})
    last = changed(whole, beam={axis: {"count": 1, "step": 0.0, "width": -2.0 * angle}})
    exp = scene.prepared(whole)
    wanted = _shared(image_of(scene, some), image_of(scene, last), n - 1)
    return _mean("directions", roi, scene.render(exp), wanted, _terms(exp))


@relation(10)
def sum_of_wavelengths(scene: Scene, dice: random.Random) -> Images:
    """The image of all wavelengths is the mean of those of each."""
    from nanobragg_torch.config import Spread

    beam = scene.config.beam
    spread, n = beam.dispersion, beam.dispersion.count
    if beam.sources is not None or n < 2:
        raise DoesNotHold("there is one wavelength")
    if "beam" in scene.config.quirks.as_given:
        raise DoesNotHold("a source of a file has another direction than a beam that is taken as it was typed")
    roi = part_of(scene, dice)
    whole = changed(additive(scene, roi), beam={"horizontal": Spread(), "vertical": Spread()})
    wavelength = beam.wavelength_m * (1.0 + spread.step * (n - 1) - spread.width / 2.0)
    some = changed(whole, beam={"dispersion": {"count": n - 1}})
    # not as the wavelength of the beam, which a matrix is scaled by
    last = changed(whole, beam={"sources": ((None, None, None, 1.0, wavelength),)})
    exp = scene.prepared(whole)
    wanted = _shared(image_of(scene, some), image_of(scene, last), n - 1)
    return _mean("wavelengths", roi, scene.render(exp), wanted, _terms(exp))


@relation(4)
def sum_of_sources(scene: Scene, dice: random.Random) -> Images:
    """The image of all sources of a file is the mean of those of each: with their weights where these count (Q13)."""
    rows = scene.config.beam.sources
    if rows is None or len(rows) < 2:
        raise DoesNotHold("there is no list of sources, or only one is in it")
    weights = [1.0 if scene.config.quirks.on("Q13") or row[3] is None else float(row[3]) for row in rows]
    if min(weights) <= 0.0:
        raise DoesNotHold("a source without weight is no image of its own")
    roi = part_of(scene, dice)
    whole = additive(scene, roi)
    exp = scene.prepared(whole)
    some, last = (image_of(scene, changed(whole, beam={"sources": part})) for part in (rows[:-1], rows[-1:]))
    wanted = _shared(some, last, sum(weights[:-1]), weights[-1])
    return _mean("sources", roi, scene.render(exp), wanted, _terms(exp))


@relation(10)
def sum_of_domains(scene: Scene, dice: random.Random) -> Images:
    """The image of all mosaic domains is the mean of those of each; one more domain leaves the others as they are."""
    n = scene.config.crystal.mosaic_domains
    if n < 2 or scene.exp.orientations.domains is None:
        raise DoesNotHold("there is one mosaic domain")
    roi = part_of(scene, dice)
    whole = additive(scene, roi)
    exp, some = scene.prepared(whole), changed(whole, crystal={"mosaic_domains": n - 1})
    turned = exp.orientations
    assert turned.domains is not None
    alone = replace(turned, domains=turned.domains[-1:])  # which no setting can ask for
    last = replace(exp, orientations=alone, n_steps=exp.n_steps // n, steps=exp.steps / n)
    wanted = _shared(image_of(scene, some), scene.render(last), n - 1)
    return _mean("domains", roi, scene.render(exp), wanted, _terms(exp))


@relation(20)
def sum_of_phi_steps(scene: Scene, dice: random.Random) -> Images:
    """The image of all phi steps is the mean of those of each, each of them a still."""
    scan = scene.config.scan
    n = scan.phi_steps
    if n < 2:
        raise DoesNotHold("there is one phi step")
    roi = part_of(scene, dice)
    # a phi of 0 among others keeps what the step before it left (Q29): stale_phi is of that
    whole = changed(additive(scene, roi), quirks=scene.config.quirks.switched("Q25", False).switched("Q29", False))
    some = changed(whole, scan={"phi_steps": n - 1})
    last = changed(whole, scan=_still(scan.phi_start_rad + scan.phi_step_rad * (n - 1)))
    exp = scene.prepared(whole)
    wanted = _shared(image_of(scene, some), image_of(scene, last), n - 1)
    return _mean("phi steps", roi, scene.render(exp), wanted, _terms(exp))


def _still(phi: "Number") -> dict[str, object]:
    return {"phi_start_rad": phi, "phi_step_rad": 0.0, "phi_steps": 1}


@relation(12)
def stale_phi(scene: Scene, dice: random.Random) -> Images:
    """A phi of exactly 0 counts as the step before it, or as the last one where it is the first (Q29)."""
    scan, quirks = scene.config.scan, scene.config.quirks
    angles = [scan.phi_start_rad + scan.phi_step_rad * step for step in range(scan.phi_steps)]
    if not quirks.on("Q29") or angles.count(0.0) != 1 or len(angles) < 2:
        raise DoesNotHold("no phi of 0 is among others, or it rotates as they do")
    roi = part_of(scene, dice)
    stale = additive(scene, roi)
    fresh = changed(stale, quirks=stale.quirks.switched("Q29", False))
    exp, n = scene.prepared(stale), len(angles)
    kept = angles[angles.index(0.0) - 1]  # the last one before the first
    zero, before = (image_of(scene, changed(stale, scan=_still(phi))) for phi in (0.0, kept))
    known, ours = n * image_of(scene, fresh) + before, n * scene.render(exp) + zero
    pair = _mean("phi steps", roi, ours, known, _terms(exp))
    return replace(pair, names=("steps of which each rotates, the one at 0 as the one before it", "the image"))


@relation(20)
def sum_of_sub_pixels(scene: Scene, dice: random.Random) -> Images:
    """A pixel is the mean of the pixels of a finer detector that lie in it, each over its solid angle."""
    from nanobragg_torch.config import Roi, Sensor

    detector = scene.config.detector
    if detector.curved or not math.isfinite(float(scene.exp.geometry.close_distance)):
        raise DoesNotHold("the solid angle on a curved detector is another")
    n, roi = max(scene.exp.oversample, 2), part_of(scene, dice, edge=3)
    if n > 6:
        raise DoesNotHold(f"{n} x {n} sub-pixels are too many")
    whole = additive(scene, roi)
    quirks = whole.quirks.switched("Q30", True)  # one solid angle a pixel
    whole = changed(whole, detector={"sensor": Sensor()}, sampling={"oversample": n}, quirks=quirks)
    coarse = scene.prepared(whole)
    part = Roi(roi.fast_min * n, roi.fast_max * n + n - 1, roi.slow_min * n, roi.slow_max * n + n - 1)
    counts = {"pixels_fast": detector.pixels_fast * n, "pixels_slow": detector.pixels_slow * n}
    fine = replace(
        coarse,
        config=changed(whole, detector={**counts, "roi": part}),
        geometry=replace(coarse.geometry, pixel=coarse.geometry.pixel / n),
        oversample=1,
        n_steps=coarse.n_steps // n**2,
        steps=coarse.steps / n**2,
    )
    angle = solid_angle(fine)
    if not bool((angle != 0).all()):
        raise DoesNotHold("the detector is seen edge on")
    image, sub = scene.render(coarse), scene.render(fine) / angle
    tall, wide = image.shape
    wanted = sub.view(tall, n, wide, n).mean((1, 3)) * solid_angle(coarse)
    pair = _mean("sub-pixels", roi, image, wanted, _terms(coarse))
    return replace(pair, names=("the mean of a finer detector's pixels", "the image of sub-pixels"))


def solid_angle(exp: "Experiment") -> "Tensor":
    """Solid angle (slow, fast) of the first sub-pixel of each pixel of a flat detector (semantics 4.6)."""
    import torch

    roi, geometry, detector = exp.config.detector.rendered, exp.geometry, exp.config.detector
    step = geometry.pixel / exp.oversample
    slow = torch.arange(roi.slow_min, roi.slow_max + 1, dtype=step.dtype).view(-1, 1, 1)
    fast = torch.arange(roi.fast_min, roi.fast_max + 1, dtype=step.dtype).view(-1, 1)
    fast, slow = (step * (x * exp.oversample) + step / 2.0 for x in (fast, slow))
    distance = (fast * geometry.fdet + slow * geometry.sdet + geometry.pix0).square().sum(-1).sqrt()
    if not detector.point_pixel:
        return geometry.pixel**2 * geometry.close_distance / distance**3
    return (1.0 if exp.config.quirks.on("Q16") else geometry.pixel**2) / distance**2
