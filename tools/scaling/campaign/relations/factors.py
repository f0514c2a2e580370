"""Factors of the intensity: each is what its formula says, and where there is one of everything it matters not when it
is applied."""

import math
import random
from typing import TYPE_CHECKING, Any

from tools.scaling.campaign.relations.pair import DoesNotHold, Images, changed, image_of, part_of, relation, within
from tools.scaling.campaign.relations.sums import solid_angle
from tools.scaling.campaign.scene import Scene

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config, Roi
    from nanobragg_torch.scan.experiment import Experiment

R_E_SQR = 7.94079248018965e-30  # m^2 (semantics 5.4)
ROUNDING = 1e-13  # of a factor by its formula
FINEST = 8  # sub-pixels along an edge that an image is made of once more


@relation(32)
def written_oversample(scene: Scene, dice: random.Random) -> Images:
    """-oversample written out is the automatic one."""
    config = changed(scene.config, detector={"roi": part_of(scene, dice, edge=2)}, sampling={"oversample": 0})
    if scene.exp.recommended > FINEST:  # a small crystal needs fewer
        config = changed(config, crystal={"cells": (1.0, 3.0, 1.0), "size_m": (0.0, 0.0, 0.0)})
    automatic = scene.prepared(config)
    if (wanted := automatic.oversample) > FINEST:
        raise DoesNotHold(f"more than {FINEST} x {FINEST} sub-pixels are too many")
    written = changed(config, sampling={"oversample": wanted})
    names = "the image of automatic sub-pixels", f"that of {wanted} x {wanted}"
    return Images(names, scene.render(automatic), image_of(scene, written), config.detector.rendered)


def single(scene: Scene, roi: "Roi") -> "Config":
    """The case with one of everything: source, phi step, domain and sub-pixel; without a sensor and without dmin."""
    from nanobragg_torch.config import Sensor, Spread

    config = scene.config
    rows = config.beam.sources
    return changed(
        config,
        detector={"roi": roi, "sensor": Sensor(), "mask": None, "mask_file": None},
        beam={
            **{name: Spread() for name in ("horizontal", "vertical", "dispersion")},
            "sources": rows and rows[-1:],
        },
        scan={"phi_steps": 1},
        crystal={"mosaic_domains": 1},
        sampling={"oversample": 1, "thick": False, "polar": False, "omega": False},
        dmin_m=0.0,
    )


def _layer(scene: Scene, dice: random.Random) -> dict[str, Any]:
    """A sensor of one layer: that of the case, or one of its own."""
    from nanobragg_torch.config import Sensor

    sensor = scene.config.detector.sensor
    mu = float(sensor.mu_per_m) if math.isfinite(float(sensor.mu_per_m)) else 0.0
    return {"sensor": Sensor(dice.choice((1e-4, 4e-4)), 1, mu or dice.uniform(1e3, 1e4))}


@relation(24)
def flags_of_one_sub_pixel(scene: Scene, dice: random.Random) -> Images:
    """-oversample_thick, _polar and _omega change nothing where there is one of everything that they multiply."""
    roi = part_of(scene, dice)
    # no water: a background is scaled before the first term (Q66), and its term is one more
    config = changed(single(scene, roi), detector=_layer(scene, dice), water_m=0.0)
    asked = {"thick": dice.random() < 0.6, "polar": dice.random() < 0.6 and config.beam.polarized}
    flagged = changed(config, sampling={**asked, "omega": dice.random() < 0.6})
    known, ours = image_of(scene, config), image_of(scene, flagged)
    names = "the image", "that of factors for each sub-pixel, of which there is one"
    return Images(names, known, ours, roi, 2.0**-49 * known.abs())


@relation(24)
def final_factors(scene: Scene, dice: random.Random) -> Images:
    """Polarization, solid angle and capture fraction are each a factor of the image: the one of its formula."""

    roi = part_of(scene, dice)
    kahn = scene.config.beam.kahn or dice.uniform(-1.0, 1.0)
    base = changed(single(scene, roi), beam={"polarized": False, "kahn": kahn}, water_m=0.0)
    name = dice.choice(("polar", "polar", "omega_pixel", "capture_fraction"))
    if base.detector.curved and name != "polar":
        raise DoesNotHold("the solid angle on a curved detector is another")
    if name == "polar":
        other = changed(base, beam={"polarized": True})
    elif name == "omega_pixel":
        other = changed(base, detector={"point_pixel": not base.detector.point_pixel})
    else:
        other = changed(base, detector=_layer(scene, dice))
    exp, made = scene.prepared(base), scene.prepared(other)
    bare, ours = scene.render(exp), scene.render(made)
    factor = {"polar": _polarization, "capture_fraction": _capture, "omega_pixel": solid_angle}[name](made)
    size: Tensor | float = 1.0 + abs(float(base.beam.kahn))  # of what a factor may cancel
    if name == "omega_pixel":
        if not bool((solid_angle(exp) != 0).all()):
            raise DoesNotHold("the detector is seen edge on")
        size = factor = factor / solid_angle(exp)
    elif name == "capture_fraction":  # exponentials multiply the rounding of their exponents
        size = 1.0 + factor.abs()
    known, slack = bare * factor, ROUNDING * (bare * size).abs()
    return Images((f"{name} times the image without it", "the image"), known, ours, roi, slack, label=name)


def _directions(exp: "Experiment") -> "Tensor":
    """Unit vectors (slow, fast, 3) to the pixels of a flat detector with one sub-pixel (semantics 4.5)."""
    import torch

    roi, geometry = exp.config.detector.rendered, exp.geometry
    slow = torch.arange(roi.slow_min, roi.slow_max + 1, dtype=torch.float64).view(-1, 1, 1) + 0.5
    fast = torch.arange(roi.fast_min, roi.fast_max + 1, dtype=torch.float64).view(-1, 1) + 0.5
    place = geometry.pixel * (fast * geometry.fdet + slow * geometry.sdet) + geometry.pix0
    if exp.config.detector.curved:
        raise DoesNotHold("a curved detector lies elsewhere")
    return place / place.square().sum(-1, keepdim=True).sqrt()


def _polarization(exp: "Experiment") -> "Tensor":
    """The factor of Kahn et al. (slow, fast) for the only source (semantics 5.3)."""
    import torch

    towards, incident, axis = _directions(exp), exp.sources.incident[0], exp.geometry.initial.polar
    incident = incident / incident.norm()
    across = torch.linalg.cross(axis, incident)
    if not float(across.norm()) > 1e-6:
        raise DoesNotHold("the polarization lies along the beam")
    across = across / across.norm()
    along = torch.linalg.cross(incident, across)
    cosine, sine = towards @ incident, torch.linalg.cross(towards, incident.expand_as(towards)).norm(dim=-1)
    psi = -torch.atan2(towards @ across, towards @ along)
    return 0.5 * (1.0 + cosine**2 - exp.kahn * torch.cos(2.0 * psi) * sine**2)


def _capture(exp: "Experiment") -> "Tensor":
    """The share of photons (slow, fast) that the only layer of the sensor keeps (semantics 4.7)."""
    import torch

    sensor = exp.config.detector.sensor
    return -torch.expm1(-sensor.thickness_m * sensor.mu_per_m / (_directions(exp) @ exp.geometry.odet))


@relation(24)
def one_cell(scene: Scene, dice: random.Random) -> Images:
    """A crystal of one cell scatters F^2 everywhere: r_e^2 times fluence times F^2 times the solid angle."""
    from nanobragg_torch.config import Sensor

    roi, F = part_of(scene, dice), dice.uniform(1.0, 300.0)
    config = scene.config
    if config.detector.curved:
        raise DoesNotHold("the solid angle on a curved detector is another")
    config = changed(
        config,
        detector={"roi": roi, "sensor": Sensor(), "mask": None, "mask_file": None},
        crystal={"cells": (1.0, 1.0, 1.0), "size_m": (0.0, 0.0, 0.0), "shape": "SQUARE"},
        structure={"default_F": F, "hkl_file": None, "dump_file": None, "reflections": None, "interpolate": False},
        beam={"polarized": False},
        sampling={"oversample": min(scene.exp.oversample, 3), "thick": False, "polar": False, "omega": False},
        quirks=config.quirks.switched("Q30", True),
        **{"water_m": 0.0, "dmin_m": 0.0},
    )
    exp = scene.prepared(config)
    known = R_E_SQR * float(config.beam.fluence_per_m2) * F * F * solid_angle(exp)
    if not bool(exp.sources.wavelength.abs().min() > 0):
        raise DoesNotHold("a wavelength is 0")
    terms = exp.n_orientations * exp.n_sources * exp.n_subpixels
    slack = (ROUNDING + terms * 2.0**-52) * known.abs()
    return Images(("r_e^2 fluence F^2 omega", "the image of one cell"), known, scene.render(exp), roi, slack)


@relation(32)
def resolution_limit(scene: Scene, dice: random.Random) -> Images:
    """A dmin finer than the resolution of every pixel leaves nothing out, one that is coarser leaves everything out."""
    import torch

    config, roi = scene.config, part_of(scene, dice)
    black = dice.random() < 0.5 and config.water_m == 0.0
    config = changed(config, detector={"roi": roi}, sampling={"oversample": scene.exp.oversample}, dmin_m=0.0)
    exp = scene.prepared(config)
    finest, coarsest = _resolutions(exp)
    if not (finest > 0.0 and coarsest < math.inf):
        raise DoesNotHold("a pixel is straight ahead, or a wavelength is 0")
    limited = image_of(scene, changed(config, dmin_m=1.001 * coarsest if black else 0.999 * finest))
    image = scene.render(exp)
    if black:
        return Images(
            ("an image of nothing", "that with a dmin beyond all pixels"), torch.zeros_like(image), limited, roi
        )
    return Images(("the image", "that with a dmin that no pixel reaches"), image, limited, roi)


def _resolutions(exp: "Experiment") -> tuple[float, float]:
    """The finest and the coarsest resolution (m) of all sub-pixels: wavelength over |diffracted - incident|."""
    from nanobragg_torch.scan.evaluate import cast_rays

    sources = exp.sources
    if exp.n_pixels == 0:
        return 0.0, 0.0
    towards = cast_rays(exp, *exp.pixel_indices(0, exp.n_pixels), 0, exp.n_subpixels).diffracted.unsqueeze(2)
    found = sources.wavelength / (towards - sources.incident).norm(dim=-1)
    return float(found.min()), float(found.max())


@relation(40)
def traced_pixel(scene: Scene, dice: random.Random) -> Images:
    """The trace's I_pixel_final is the image's pixel, and it is the product of the factors that the trace has."""
    import torch

    from nanobragg_torch.products.trace import trace_pixel
    from nanobragg_torch.scan.experiment import Application

    roi, exp = part_of(scene, dice, edge=1), scene.exp
    if exp.rendered is not None and not bool((within(scene, _rendered(scene), roi)).all()):
        raise DoesNotHold("the pixel is masked")
    lines = trace_pixel(scene.config, roi.slow_min, roi.fast_min, device="cpu", dtype=exp.cells.dtype)
    traced = {line.name: line.values[0] for line in lines if line.kind == "pixel"}
    known, ours = (
        within(scene, scene.definition, roi),
        torch.full((1, 1), float(traced["I_pixel_final"]), dtype=torch.float64),
    )
    if not torch.equal(known, ours) and not bool(known.isnan().all()):
        return Images(("the image", "I_pixel_final of the trace"), known, ours, roi, label="I_pixel_final")
    value = float(traced["r_e_sqr"]) * float(traced["fluence_photons_per_m2"]) * float(traced["I_before_scaling"])
    value /= float(exp.steps)
    for name, applied in (
        ("capture_fraction", exp.factors.capture),
        ("polar", exp.factors.polar),
        ("omega_pixel", exp.factors.omega),
    ):
        value *= float(traced[name]) if applied is Application.FINAL else 1.0
    product = torch.full_like(known, value)
    names = "the product of the trace's factors", "its I_pixel_final"
    return Images(names, product, ours, roi, 2.0**-49 * product.abs(), label="I_pixel_final")


def _rendered(scene: Scene) -> "Tensor":
    """Which pixels (slow, fast) of the region of interest the mask keeps."""
    import torch

    mask, roi = scene.config.detector.mask, scene.roi
    assert mask is not None
    return torch.from_numpy(mask[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1])
