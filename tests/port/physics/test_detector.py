"""Conventions, pivots and pixel positions."""

from dataclasses import replace

import pytest
import torch
from golden_cases import DEVICES, load
from torch.autograd import gradcheck

from nanobragg_torch.config import Config
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.physics import detector

FLAGS = "-cell 50 60 70 -default_F 1 -distance 100 -detpixels_x 40 -detpixels_y 30 -pixel 0.2"
BASE = FLAGS.split()


def tensor(values: object, dtype: torch.dtype = torch.float64, device: str = "cpu") -> torch.Tensor:
    return torch.as_tensor(values, dtype=dtype, device=device)


def geometry(*flags: str) -> detector.Geometry:
    return detector.build_geometry(parse([*BASE, *flags]), tensor(()))


@pytest.mark.parametrize(
    ("flag", "pix0"),
    [
        # Fbeam = Ybeam + pixel/2, Sbeam = Xbeam + pixel/2, of the defaults (size + pixel)/2
        ("-mosflm", (0.1, 0.0032, -0.0042)),
        ("-denzo", (0.1, 0.0031, -0.0041)),
        ("-adxv", (-0.0041, 0.0031, 0.1)),  # Fbeam = (8 + 0.2)/2, Sbeam = 6 - (6 - 0.2)/2
        ("-xds", (-0.004, -0.003, 0.1)),
        ("-dials", (-0.004, -0.003, 0.1)),
    ],
)
def test_default_beam_centre_of_the_conventions(flag: str, pix0: tuple[float, ...]) -> None:
    assert geometry(flag).pix0.tolist() == pytest.approx(pix0, rel=1e-12)


def test_xds_origin_is_the_near_point() -> None:
    found = geometry("-xds", "-ORGX", "10.5", "-ORGY", "5.5").pix0
    assert found.tolist() == pytest.approx([-0.002, -0.001, 0.1], rel=1e-12)


def test_odet_is_regenerated_unless_its_length_is_exactly_one() -> None:
    """Q03."""
    assert geometry("-odet_vector", "0.6", "0.8", "0").odet.tolist() == [0.6, 0.8, 0.0]
    assert geometry("-odet_vector", "0.6", "0.8", "0.001").odet.tolist() == [1.0, 0.0, 0.0]


def test_the_twotheta_axis_is_not_normalised() -> None:
    """Q04."""
    found = geometry("-twotheta_axis", "0", "0", "2", "-twotheta", "20").fdet
    assert float(found.norm()) == pytest.approx(1.18, abs=0.01)


def test_twotheta_axis_sets_twotheta_too() -> None:
    """Q01."""
    config = parse([*BASE, "-twotheta", "20", "-twotheta_axis", "3", "0", "0"])
    assert config.detector.twotheta_rad == pytest.approx(0.05236, abs=1e-5)
    assert config.detector.pivot == "SAMPLE"
    assert config.warnings[0] == "-twotheta_axis also sets twotheta to 3 degrees and the pivot to SAMPLE (Q01)"


def test_reported_distance_omits_twotheta_for_the_beam_pivot() -> None:
    """Q08."""
    assert float(geometry("-twotheta", "20").distance) == pytest.approx(0.0939693, abs=1e-7)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-15), (torch.float32, 1e-6)])
def test_subpixels_lie_at_their_centres(dtype: torch.dtype, tolerance: float, device: str) -> None:
    pixel = tensor(0.3, dtype, device)
    index, sub = tensor([0, 7], torch.int64, device), tensor([[0], [2]], torch.int64, device)
    found = detector.detector_coordinate(index, sub, pixel, 3)
    assert found.cpu().double().flatten().tolist() == pytest.approx([0.05, 2.15, 0.25, 2.35], rel=tolerance)
    assert found.dtype is dtype


def test_gradients_reach_distance_beam_centre_and_tilts() -> None:
    flags = "-distance 100 -Xbeam 3 -Ybeam 4 -detector_rotx 1 -twotheta 2 -spindle_axis 0 0 1"
    config = parse([*BASE, *flags.split()])

    def position(distance: torch.Tensor, x: torch.Tensor, rotx: torch.Tensor, rotz: torch.Tensor) -> torch.Tensor:
        made: Config = replace(
            config,
            detector=replace(config.detector, distance_m=distance, x_beam_m=x, rotx_rad=rotx, rotz_rad=rotz),
        )
        g = detector.build_geometry(made, distance)
        fast, slow, depth = tensor([0.001, 0.002]), tensor([0.003, 0.001]), tensor(0.0)
        place = detector.pixel_position(fast, slow, depth, g.fdet, g.sdet, g.odet, g.pix0)
        return detector.diffracted_direction(place, detector.pixel_distance(place))

    inputs = [tensor(x).requires_grad_() for x in (0.1, 0.003, 0.02, 0.0)]
    assert gradcheck(position, inputs)


@pytest.mark.parametrize("name", ["custom_sample_pivot_front", "custom_beam_pivot_front"])
def test_both_pivots_leave_the_close_distance_on_the_normal(name: str) -> None:
    g = detector.build_geometry(load(name).config(), tensor(()))
    assert float((g.pix0 * g.odet).sum()) == pytest.approx(float(g.close_distance), rel=1e-14)
    assert float(g.fdet.norm()) == pytest.approx(1.0, rel=1e-14)
