"""The beam: where its photons come from and what the scattering vector is (semantics 5, 6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nanobragg_torch.config import Config, SourceRow, Spread
from nanobragg_torch.errors import FlagError
from nanobragg_torch.physics.detector import Axes
from nanobragg_torch.physics.vectors import cross, norm, rotate_axis, to_tensor, unit

R_E_SQR = 7.94079248018965e-30  # classical electron radius squared, m^2
AVOGADRO = 6.02214179e23


@dataclass(frozen=True)
class Sources:
    """incident: (sources, 3) unit directions of flight; wavelength: (sources,) metres.

    weight: (sources,), None where all count the same (Q13).
    """

    incident: Tensor
    wavelength: Tensor
    weight: Tensor | None = None

    @property
    def count(self) -> int:
        return self.wavelength.shape[0]

    def some(self, low: int, high: int) -> Sources:
        """Sources low .. high-1."""
        weight = None if self.weight is None else self.weight[low:high]
        return Sources(self.incident[low:high], self.wavelength[low:high], weight)


def source_position(beam: Tensor, polar: Tensor, hdiv: Tensor, vdiv: Tensor) -> Tensor:
    """Ten metres upstream, turned about the polarization axis, then about the vertical."""
    vertical = unit(cross(beam, polar))
    return rotate_axis(rotate_axis(-10.0 * beam, polar, vdiv), vertical, hdiv)


def source_wavelength(wavelength: Tensor, step: Tensor, index: Tensor, dispersion: Tensor) -> Tensor:
    """lambda0 (1 + step k - dispersion / 2)."""
    return wavelength * (1.0 + step * index - dispersion / 2.0)


def incident_direction(position: Tensor) -> Tensor:
    """From the source to the sample: the unit vector -position / |position|."""
    return -unit(position)


def build_sources(config: Config, axes: Axes, like: Tensor) -> Sources:
    """Horizontal divergence outermost, vertical next, wavelength innermost (semantics 5.1)."""
    beam = config.beam
    wavelength = to_tensor(beam.wavelength_m, like)
    if beam.sources is not None:
        return _listed_sources(beam.sources, axes.beam, wavelength, weighted=not config.quirks.on("Q13"))
    hdiv, vdiv, kept = _directions(beam.horizontal, beam.vertical, beam.round_divergence, like)
    if not bool(kept.any()):
        raise FlagError(
            "-round_div: expected a source inside the ellipse of divergence, got none; -square_div cuts none"
        )
    position = source_position(axes.beam, axes.polar, hdiv, vdiv)[kept]
    index = torch.arange(beam.dispersion.count, device=like.device, dtype=like.dtype)
    lines = source_wavelength(
        wavelength, to_tensor(beam.dispersion.step, like), index, to_tensor(beam.dispersion.width, like)
    )
    # a beam taken as given keeps its length: position / 10 undoes the ten metres and nothing else
    as_given = "beam" in config.quirks.as_given
    incident = -(position / 10.0) if as_given else incident_direction(position)
    return Sources(incident.repeat_interleave(lines.shape[0], dim=0), lines.repeat(incident.shape[0]))


def _directions(horizontal: Spread, vertical: Spread, round_cut: bool, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """hdiv, vdiv (n,) and which of them lie inside the ellipse."""

    def samples(axis: Spread) -> Tensor:
        index = torch.arange(axis.count, device=like.device, dtype=like.dtype)
        return to_tensor(axis.step, like) * index - to_tensor(axis.width, like) / 2.0

    def test(angle: Tensor, axis: Spread) -> Tensor:
        step, width = to_tensor(axis.step, like), to_tensor(axis.width, like)
        even = 1.0 if axis.count % 2 == 0 else 0.0
        return (angle * angle - step * step / 4.0 * even) / width / width

    hdiv, vdiv = samples(horizontal), samples(vertical)
    hdiv, vdiv = (x.flatten() for x in torch.meshgrid(hdiv, vdiv, indexing="ij"))
    # a width of 0 makes the test NaN, the comparison false, and cuts nothing
    outside = (test(hdiv, horizontal) + test(vdiv, vertical)) * 4.0 > 1.1
    return hdiv, vdiv, ~outside if round_cut else torch.ones_like(outside)


def _listed_sources(rows: Sequence[SourceRow], beam: Tensor, wavelength: Tensor, *, weighted: bool) -> Sources:
    """Sources of a file; what a row lacks is taken from the beam, a missing weight is 1."""
    upstream = -10.0 * beam
    positions, lines = [], []
    for x, y, z, _, length in rows:
        given = (x, y, z)
        positions.append(torch.stack([upstream[i] if v is None else to_tensor(v, beam) for i, v in enumerate(given)]))
        lines.append(wavelength if length is None else to_tensor(length, beam))
    weights = to_tensor([1.0 if row[3] is None else row[3] for row in rows], beam) if weighted else None
    return Sources(incident_direction(torch.stack(positions)), torch.stack(lines), weights)


def scattering_vector(diffracted: Tensor, incident: Tensor, wavelength: Tensor) -> Tensor:
    """(diffracted - incident) / lambda, 1/m; wavelength broadcasts against the leading dimensions."""
    return (diffracted - incident) / wavelength.unsqueeze(-1)


def beyond_dmin(q: Tensor, dmin: float) -> Tensor:
    """Whether the resolution 0.5 / stol, stol = |q| / 2, is finer than dmin (m)."""
    stol = 0.5 * norm(q)
    return (stol > 0) & (dmin > 0.5 / stol)


def classical_radius_squared(like: Tensor) -> Tensor:
    """r_e^2 in m^2."""
    return to_tensor(R_E_SQR, like)


def water_term(water: Tensor) -> Tensor:
    """Square of the structure factor of a cube of water of edge `water` (m): 2.57^2 for each molecule."""
    return 2.57 * 2.57 * water * water * water * 1e6 * AVOGADRO / 18.0


def water_background(fluence: Tensor, water: Tensor) -> Tensor:
    """I_bg of semantics 6.8; it is scaled once more with the pixel (Q26)."""
    scale = 2.57 * 2.57 * classical_radius_squared(fluence) * fluence
    return scale * water * water * water * 1e6 * AVOGADRO / 18.0
