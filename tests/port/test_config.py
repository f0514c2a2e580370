"""Every number of a Config changes the image, or its documentation says why it does not."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nanobragg_torch.config import Config, Sensor
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.scan.simulate import simulate

BASE = "-cell 50 60 70 80 95 105 -default_F 100 -lambda 1.1 -detpixels 6 -pixel 9 -oversample 1 -flux 1e30 -beamsize 1"
THICK = "-detector_thick 300 -detector_abs 200 -thicksteps 3 -misset 1 2 3 -polar 0.5 -detector_rotx 3 -detector_roty 4"
MANY = "-hdivrange 5 -hdivsteps 3 -vdivrange 5 -vdivsteps 3 -dispersion 4 -dispsteps 3 -phi 1 -osc 2 -phisteps 2"
VECTORS = "-beam_vector 1 0 .01 -fdet_vector 0 0 1 -sdet_vector 0 -1 0 -odet_vector 1 0 0 -spindle_axis 0 0.1 1"
CONTEXTS = {
    "MOSFLM": f"{BASE} {THICK} {MANY} -Na 2 -Nb 3 -Nc 4 -distance 100 -Xbeam 20 -Ybeam 20 -mosaic 2 -mosaic_dom 2",
    "near": f"{BASE} -N 3 -round_xtal -fudge 1.2 -adxv -close_distance 100 -water 1 -detector_rotz 4 -twotheta 3",
    "XDS": f"{BASE} -xds -N 3 -ORGX 3 -ORGY 2 -distance 100",
    "CUSTOM": f"{BASE} {VECTORS} -N 3 -distance 90 -twotheta_axis 0 .1 1 -twotheta 5 -polar_vector 0 .2 1 -polar 0.7",
    "pivot": f"{BASE} -N 3 -distance 90 -Xclose 20 -Yclose 19 -pivot sample -spindle_axis 0 0 1 -phi 3",
    "origin": f"{BASE} -N 3 -distance 90 -pix0_vector 0.1 -0.02 0.02 --mode spec",
    "size": f"{BASE} -distance 90 -xtalsize 0.00001 -dmin 2.3",
    "matrix": f"{BASE} -N 3 -distance 90 -mat {Path(__file__).parents[1] / 'golden/inputs/A.mat'}",
    "centre": f"{BASE.partition(' -flux')[0]} -N 3 -denzo -distance 90",
}
# name: which words of the class's documentation say so
INERT = {
    "detector.odet_vector": "Q03",
    "scan.osc_rad": "header",
    "output.scale": "scale",
    "output.pgm_scale": "scale",
    "output.adc": "adc",
}


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(value):
        inner = getattr(value, field.name)
        if is_dataclass(inner):
            yield from numbers(inner, f"{name}{field.name}.")
        elif any(kind in str(field.type) for kind in ("Number", "Vector", "float")):
            yield name + field.name, inner


def changed(value: Any, name: str) -> Any:
    first, _, rest = name.partition(".")
    inner = getattr(value, first)
    if rest:
        return replace(value, **{first: changed(inner, rest)})
    moved = tuple(1.01 * x + 1e-9 * (i + 1) for i, x in enumerate(inner)) if isinstance(inner, tuple) else 1.2 * inner
    return replace(value, **{first: moved})


def image(config: Config) -> torch.Tensor:
    return simulate(config, device="cpu", dtype=torch.float64)


def test_every_number_of_a_config_changes_the_image() -> None:
    configs = {name: parse(flags.split()) for name, flags in CONTEXTS.items()}
    usual = {name: image(config) for name, config in configs.items()}
    names = [name for name, _ in numbers(configs["MOSFLM"])]
    names += [f"crystal.cell.{field}" for field in ("a_angstrom", "b_angstrom", "c_angstrom", "alpha_rad")]
    lost = {}
    for name in sorted(set(names) - set(INERT)):
        tried = []
        for context, config in configs.items():
            given = dict(numbers(config)).get(name)
            if given is None or (not isinstance(given, tuple | torch.Tensor) and given == 0):
                continue
            tried.append(context)
            if not torch.equal(image(changed(config, name)), usual[context]):
                break
        else:
            lost[name] = tried
    assert lost == {}


def test_inert_numbers_are_documented() -> None:
    config = parse(CONTEXTS["MOSFLM"].split())
    for name, word in INERT.items():
        owner = getattr(config, name.partition(".")[0])
        assert word in type(owner).__doc__, name


def test_the_thickness_of_a_sensor_has_a_gradient() -> None:
    thickness = torch.tensor(3e-4, dtype=torch.float64, requires_grad=True)
    config = parse(CONTEXTS["XDS"].split())
    for layers in (1, 4):
        sensor = Sensor(thickness_m=thickness, layers=layers, mu_per_m=5000.0)
        made = replace(config, detector=replace(config.detector, sensor=sensor))
        (slope,) = torch.autograd.grad(image(made).sum(), thickness)
        assert float(slope) != 0.0
    with pytest.raises(TypeError):
        Sensor(step_m=1e-4, layers=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="layers: expected at least 1, got 0"):
        Sensor(layers=0)
