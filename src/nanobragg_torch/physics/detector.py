"""The detector: conventions, pivots, and where a pixel is (semantics 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nanobragg_torch import config as cfg
from nanobragg_torch.config import Config
from nanobragg_torch.errors import FlagError
from nanobragg_torch.physics.vectors import (
    components,
    cos_sin,
    cross,
    dot,
    norm,
    rotate_axis,
    rotate_xyz,
    to_tensor,
    unit,
)


@dataclass(frozen=True)
class Frame:
    """The initial vectors of a convention (semantics 4.1)."""

    beam: tuple[float, float, float]
    fdet: tuple[float, float, float]
    sdet: tuple[float, float, float]
    odet: tuple[float, float, float]
    twotheta_axis: tuple[float, float, float]
    polar: tuple[float, float, float]
    spindle: tuple[float, float, float]


_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_MINUS_X, _MINUS_Y, _MINUS_Z = (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)

FRAMES = {
    "ADXV": Frame(_Z, _X, _MINUS_Y, _Z, _MINUS_X, _X, _X),
    "MOSFLM": Frame(_X, _Z, _MINUS_Y, _X, _MINUS_Z, _Z, _Z),
    "DENZO": Frame(_X, _Z, _MINUS_Y, _X, _MINUS_Z, _Z, _Z),
    "XDS": Frame(_Z, _X, _Y, _Z, _X, _X, _X),
    "DIALS": Frame(_Z, _X, _Y, _Z, _Y, _Y, _Y),
    "CUSTOM": Frame(_X, _Z, _MINUS_Y, _X, _Y, _Z, _Z),  # Q54: twotheta about +y, unlike MOSFLM
}

_EDGE_ON = 1e-9  # cosine of beam and normal below which the beam runs along the detector


@dataclass(frozen=True)
class Axes:
    """The seven vectors that the geometry starts from, each (3,)."""

    beam: Tensor
    fdet: Tensor
    sdet: Tensor
    odet: Tensor
    twotheta_axis: Tensor
    polar: Tensor
    spindle: Tensor


@dataclass(frozen=True)
class Centre:
    """Beam centre and near point, metres: X, Y as the convention names them; fast, slow on the axes."""

    x_beam: Tensor
    y_beam: Tensor
    x_close: Tensor
    y_close: Tensor
    fast_beam: Tensor
    slow_beam: Tensor
    fast_close: Tensor
    slow_close: Tensor


@dataclass(frozen=True)
class Geometry:
    """Everything that the flags fix about the detector; scalars 0-d, vectors (3,), metres and radians.

    initial: vectors before any rotation. ratio, close_distance_in, distance_in: before the pivot.
    tilted: (fdet, sdet, odet) after detector_rotx/y/z; fdet, sdet, odet: after twotheta, final.
    terms: the three vectors whose sum is pix0 (SAMPLE pivot: before the rotations).
    pix0_stages: pix0 before the rotations, after rotx/y/z, after twotheta (SAMPLE pivot only).
    close_distance, distance: as the final vectors give them. ratio_final: beam and normal, for `distance`.
    """

    initial: Axes
    centre: Centre
    rotx: Tensor
    roty: Tensor
    rotz: Tensor
    twotheta: Tensor
    pixel: Tensor
    ratio: Tensor
    close_distance_in: Tensor
    distance_in: Tensor
    tilted: tuple[Tensor, Tensor, Tensor]
    fdet: Tensor
    sdet: Tensor
    odet: Tensor
    terms: tuple[Tensor, Tensor, Tensor]
    pix0_stages: tuple[Tensor, ...]
    pix0: Tensor
    close_distance: Tensor
    distance: Tensor
    ratio_final: Tensor


@dataclass(frozen=True)
class FinalCentre:
    """Near point and beam centre as the final vectors give them: metres, ORGX and ORGY in pixels."""

    fast_close: Tensor
    slow_close: Tensor
    fast_beam: Tensor
    slow_beam: Tensor
    orgx: Tensor
    orgy: Tensor


def normal(odet: Tensor, fdet: Tensor, sdet: Tensor) -> Tensor:
    """odet where its length is exactly 1, else unit(fdet x sdet) of the unitised axes (Q03)."""
    keep = norm(odet) == 1.0
    return torch.where(keep, odet, unit(cross(fdet, sdet)))


def initial_axes(config: Config, like: Tensor) -> Axes:
    """The convention's vectors, or in CUSTOM the given ones, unitised (semantics 4.1, 4.2).

    The twotheta axis is never normalised (Q04). Vectors in `quirks.as_given` are used as typed. Raises
    FlagError where fdet and sdet are parallel, and where Q03 is off and odet is not the normal of the two.
    """
    detector, quirks = config.detector, config.quirks
    frame = FRAMES[detector.convention]
    custom = detector.convention == "CUSTOM" or not quirks.on("Q54")

    def chosen(given: cfg.Vector | None, default: tuple[float, float, float]) -> Tensor:
        return to_tensor(default if given is None or not custom else given, like)

    raw = {
        "beam": chosen(detector.beam_vector, frame.beam),
        "fdet": chosen(detector.fdet_vector, frame.fdet),
        "sdet": chosen(detector.sdet_vector, frame.sdet),
        "odet": chosen(detector.odet_vector, frame.odet),
    }
    clean = {name: unit(raw[name]) for name in ("beam", "fdet", "sdet")}
    given = custom and not (detector.fdet_vector is None and detector.sdet_vector is None)
    if given and not float(norm(cross(clean["fdet"], clean["sdet"])).detach()) > _EDGE_ON:
        raise FlagError("-fdet_vector and -sdet_vector: expected two directions, got parallel ones")
    if quirks.on("Q03"):
        clean["odet"] = normal(raw["odet"], clean["fdet"], clean["sdet"])
    else:
        clean["odet"] = _checked_normal(detector, clean["beam"], raw["odet"], clean["fdet"], clean["sdet"])
    used = {name: (raw if name in quirks.as_given else clean)[name] for name in raw}
    twotheta_axis = chosen(detector.twotheta_axis, frame.twotheta_axis)
    return Axes(
        **used,
        twotheta_axis=twotheta_axis if quirks.on("Q04") else unit(twotheta_axis),
        polar=unit(chosen(detector.polar_vector, frame.polar)),
        spindle=unit(chosen(detector.spindle_axis, frame.spindle)),
    )


def _checked_normal(detector: cfg.Detector, beam: Tensor, odet: Tensor, fdet: Tensor, sdet: Tensor) -> Tensor:
    """The given odet unitised; where it is not given the normal of the others, on the side to which the beam goes."""
    if detector.odet_vector is None:
        if detector.fdet_vector is None and detector.sdet_vector is None and detector.beam_vector is None:
            return unit(odet)
        across = unit(cross(fdet, sdet))
        along = dot(across, beam)
        side = torch.where(along.abs() < _EDGE_ON, dot(across, odet), along)
        return torch.where(side < 0, -across, across)
    normal_given = unit(odet)
    skew = float(torch.stack((dot(normal_given, fdet).abs(), dot(normal_given, sdet).abs())).max().detach())
    if not skew < 1e-3:
        raise FlagError(f"-odet_vector: expected the normal of fdet and sdet, got a cosine of {skew:.3g} with one")
    return normal_given


def near_point_of_origin(origin_pixels: Tensor, pixel: Tensor) -> Tensor:
    """(ORG - 0.5) * pixel: XDS counts pixel centres from 1."""
    return (origin_pixels - 0.5) * pixel


def centre_points(detector: cfg.Detector, like: Tensor, *, placed: bool = False) -> Centre:
    """Beam centre and near point on the detector's axes, by convention (semantics 4.1).

    placed: in XDS and DIALS a given Xclose or Xbeam places the detector where no ORGX does (Q05).
    """
    pixel = to_tensor(detector.pixel_m, like)
    size_fast, size_slow = to_tensor(detector.size_fast_m, like), to_tensor(detector.size_slow_m, like)

    def given(value: cfg.Number | None, default: Tensor) -> Tensor:
        return default if value is None else to_tensor(value, like)

    def near(origin: cfg.Number | None, size: Tensor) -> Tensor:
        return size / 2.0 if origin is None else near_point_of_origin(to_tensor(origin, like), pixel)

    fast_close = near(detector.orgx_pixels, size_fast)
    slow_close = near(detector.orgy_pixels, size_slow)
    x_close, y_close = given(detector.x_close_m, fast_close), given(detector.y_close_m, slow_close)
    convention = detector.convention
    if convention == "ADXV":
        x = given(detector.x_beam_m, (size_fast + pixel) / 2.0)
        y = given(detector.y_beam_m, (size_slow - pixel) / 2.0)
        fast, slow = x, size_slow - y
    elif convention in ("MOSFLM", "DENZO"):
        x = given(detector.x_beam_m, (size_slow + pixel) / 2.0)
        y = given(detector.y_beam_m, (size_fast + pixel) / 2.0)
        fast, slow = (y, x) if convention == "DENZO" else (y + 0.5 * pixel, x + 0.5 * pixel)
    else:
        x, y = given(detector.x_beam_m, x_close), given(detector.y_beam_m, y_close)
        fast, slow = x, y
    if convention == "CUSTOM":
        fast_close, slow_close = x, y
    elif convention in ("XDS", "DIALS") and placed:
        fast_close = fast_close if detector.orgx_pixels is not None else _first(detector.x_close_m, x, like)
        slow_close = slow_close if detector.orgy_pixels is not None else _first(detector.y_close_m, y, like)
    return Centre(x, y, x_close, y_close, fast, slow, fast_close, slow_close)


def _first(value: cfg.Number | None, default: Tensor, like: Tensor) -> Tensor:
    return default if value is None else to_tensor(value, like)


def beam_ratio(beam: Tensor, odet: Tensor, rotx: Tensor, roty: Tensor, rotz: Tensor) -> Tensor:
    """Cosine between the beam and the tilted normal, twotheta left out (Q08); never exactly 0."""
    return _never_zero(dot(beam, rotate_xyz(odet, rotx, roty, rotz)))


def _ratio_of(beam: Tensor, odet: Tensor) -> Tensor:
    """Cosine of beam and final normal, for the distance along the beam; 1 where the beam runs along the detector,
    so that the close distance stands for a distance that is none."""
    ratio = dot(beam, odet)
    return torch.where(ratio.abs() < _EDGE_ON, torch.ones_like(ratio), ratio)


def _check_face(detector: cfg.Detector, close: Tensor, distance: Tensor) -> None:
    """Raises FlagError where the crystal does not see the sensitive side, as after a swing of 90 degrees or more."""
    near, along = float(close.detach()), float(distance.detach())
    if not near > _EDGE_ON * abs(along):
        hint = "-pivot sample swings it about the crystal" if detector.pivot == "BEAM" else "-close_distance sets it"
        raise FlagError(
            f"expected a detector that faces the crystal, got a close distance of {1000 * near:.6g} mm with the pivot "
            f"{detector.pivot}; {hint}"
        )
    if along < 0.0 and detector.pivot == "BEAM" and detector.close_distance_m is None:
        raise FlagError(
            "expected a detector that the beam meets from the front, got a normal against the beam"
            " with the pivot BEAM: turn -odet_vector round, or tilt by less than 90 degrees"
        )


def _never_zero(ratio: Tensor) -> Tensor:
    return torch.where(ratio == 0.0, torch.full_like(ratio, torch.finfo(ratio.dtype).tiny), ratio)


def tilt_matrices(rotx: Tensor, roty: Tensor, rotz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices (3, 3) of the three steps of ROT_XYZ, acting on columns."""
    one, zero = torch.ones_like(rotx), torch.zeros_like(rotx)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries).reshape(3, 3)

    (cx, sx), (cy, sy), (cz, sz) = cos_sin(rotx), cos_sin(roty), cos_sin(rotz)
    return (
        matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx),
        matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy),
        matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one),
    )


def near_distance(ratio: Tensor, distance: Tensor) -> Tensor:
    """Distance of the nearest point from that along the beam: |ratio * distance|."""
    return torch.abs(ratio * distance)


def beam_distance(close_distance: Tensor, ratio: Tensor) -> Tensor:
    """Distance along the beam from that of the nearest point."""
    return close_distance / ratio


def sample_pivot_terms(centre: Centre, axes: Axes, close_distance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """-Fclose fdet, -Sclose sdet, close_distance odet, of the vectors before rotation."""
    return -centre.fast_close * axes.fdet, -centre.slow_close * axes.sdet, close_distance * axes.odet


def beam_pivot_terms(
    centre: Centre, fdet: Tensor, sdet: Tensor, distance: Tensor, beam: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """-Fbeam fdet, -Sbeam sdet, distance beam, of the vectors after rotation."""
    return -centre.fast_beam * fdet, -centre.slow_beam * sdet, distance * beam


def sum_terms(terms: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The three terms of pix0, added left to right."""
    first, second, third = terms
    return first + second + third


def build_geometry(config: Config, like: Tensor) -> Geometry:
    """The detector of `config`, on the device and in the dtype of `like` (semantics 4.1-4.4)."""
    detector = config.detector
    axes = initial_axes(config, like)
    centre = centre_points(detector, like, placed=not config.quirks.on("Q05"))
    tilts = [to_tensor(x, like) for x in (detector.rotx_rad, detector.roty_rad, detector.rotz_rad)]
    twotheta = to_tensor(detector.twotheta_rad, like)
    ratio = beam_ratio(axes.beam, axes.odet, *tilts)
    tilted = (rotate_xyz(axes.fdet, *tilts), rotate_xyz(axes.sdet, *tilts), rotate_xyz(axes.odet, *tilts))
    fdet, sdet, odet = (rotate_axis(v, axes.twotheta_axis, twotheta) for v in tilted)
    ratio_final = ratio if config.quirks.on("Q08") else _ratio_of(axes.beam, odet)
    if detector.close_distance_m is None:
        close_in = near_distance(ratio, to_tensor(detector.distance_m, like))
        distance_in = beam_distance(close_in, ratio)
    else:
        close_in = to_tensor(detector.close_distance_m, like)
        distance_in = beam_distance(close_in, ratio_final)
    stages: tuple[Tensor, ...] = ()
    if detector.pivot == "SAMPLE":
        terms = sample_pivot_terms(centre, axes, close_in)
        before = sum_terms(terms)
        after = rotate_xyz(before, *tilts)
        pix0 = rotate_axis(after, axes.twotheta_axis, twotheta)
        stages = (before, after, pix0)
    else:
        terms = beam_pivot_terms(centre, fdet, sdet, distance_in, axes.beam)
        pix0 = sum_terms(terms)
    if detector.pix0_vector_m is not None and not config.quirks.on("Q02"):
        pix0 = to_tensor(detector.pix0_vector_m, like)
    close = dot(pix0, odet)
    if not config.quirks.on("Q08"):
        _check_face(detector, close, distance_in)
    rotx, roty, rotz = tilts
    return Geometry(
        initial=axes,
        centre=centre,
        rotx=rotx,
        roty=roty,
        rotz=rotz,
        twotheta=twotheta,
        pixel=to_tensor(detector.pixel_m, like),
        ratio=ratio,
        close_distance_in=close_in,
        distance_in=distance_in,
        tilted=tilted,
        fdet=fdet,
        sdet=sdet,
        odet=odet,
        terms=terms,
        pix0_stages=stages,
        pix0=pix0,
        close_distance=close,
        distance=beam_distance(close, ratio_final),
        ratio_final=ratio_final,
    )


def final_centre(geometry: Geometry) -> FinalCentre:
    """Near point and beam centre after the pivot (semantics 4.4), as headers and reports have them."""
    pix0, fdet, sdet = geometry.pix0, geometry.fdet, geometry.sdet
    fast_close, slow_close = -dot(pix0, fdet), -dot(pix0, sdet)
    beam = geometry.distance * geometry.initial.beam - pix0
    return FinalCentre(
        fast_close=fast_close,
        slow_close=slow_close,
        fast_beam=dot(fdet, beam),
        slow_beam=dot(sdet, beam),
        orgx=fast_close / geometry.pixel + 0.5,
        orgy=slow_close / geometry.pixel + 0.5,
    )


def detector_coordinate(index: Tensor, sub: Tensor, pixel: Tensor, oversample: int) -> Tensor:
    """Fdet or Sdet in metres: the centre of sub-pixel `sub` of pixel `index` along one axis."""
    subpixel = pixel / oversample
    return subpixel * (index.to(pixel.dtype) * oversample + sub) + subpixel / 2.0


def pixel_position(
    fast: Tensor, slow: Tensor, depth: Tensor, fdet: Tensor, sdet: Tensor, odet: Tensor, pix0: Tensor
) -> Tensor:
    """fast fdet + slow sdet + depth odet + pix0, left to right. Coordinates (...) -> (..., 3), metres."""
    dims = max(fast.dim(), slow.dim(), depth.dim(), fdet.dim() - 1)
    f, s, o, p = (components(v, dims) for v in (fdet, sdet, odet, pix0))
    return (fast * f + slow * s + depth * o + p).movedim(0, -1)


def curved_position(position: Tensor, beam: Tensor, fdet: Tensor, sdet: Tensor, distance: Tensor) -> Tensor:
    """On a sphere around the sample: y and z of the flat position serve as arc lengths (Q17)."""
    _, y, z = position.unbind(-1)
    start = (distance * beam).expand(position.shape)
    return rotate_axis(rotate_axis(start, sdet, y / distance), fdet, z / distance)


def wrapped_position(fast: Tensor, slow: Tensor, geometry: Geometry) -> Tensor:
    """On a sphere around the sample that touches the flat detector at its near point: Fdet - Fclose and
    Sdet - Sclose (...) are arcs of it, fast first, then slow -> (..., 3)."""
    centre, radius = final_centre(geometry), geometry.close_distance
    # a turn by +angle about sdet moves the near point along sdet x odet, which is fdet in a right-handed frame
    hand = torch.sign(dot(cross(geometry.fdet, geometry.sdet), geometry.odet))
    start = (radius * geometry.odet).expand(*torch.broadcast_shapes(fast.shape, slow.shape), 3)
    along = rotate_axis(start, geometry.sdet, hand * (fast - centre.fast_close) / radius)
    return rotate_axis(along, geometry.fdet, -hand * (slow - centre.slow_close) / radius)


def pixel_distance(position: Tensor) -> Tensor:
    """R = |position|."""
    return norm(position)


def diffracted_direction(position: Tensor, distance: Tensor) -> Tensor:
    """position / R: the unit vector from the sample to the pixel."""
    return position / distance.unsqueeze(-1)
