"""Everything about a simulation that no pixel changes, as tensors on one device and in one dtype."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.errors import InputError
from nanobragg_torch.io.load import unread
from nanobragg_torch.physics.beam import (
    Sources,
    build_sources,
    classical_radius_squared,
    water_background,
    water_term,
)
from nanobragg_torch.physics.crystal import (
    CrystalAxes,
    Orientations,
    build_axes,
    build_orientations,
    cell_counts,
    recommended_oversample,
)
from nanobragg_torch.physics.detector import Geometry, build_geometry
from nanobragg_torch.physics.structure_factor import Grid, build_grid
from nanobragg_torch.physics.vectors import to_tensor


class Application(Enum):
    """When a factor of the intensity is applied: to the final sum, to the running sum, or to each term."""

    FINAL = "final"
    RUNNING = "running"
    TERM = "term"


@dataclass(frozen=True)
class Factors:
    """How capture fraction, polarization and solid angle enter (semantics 6.7, 6.9; Q15, Q27, Q30)."""

    capture: Application = Application.FINAL
    polar: Application = Application.FINAL
    omega: Application = Application.FINAL


@dataclass(frozen=True)
class Experiment:
    """A Config made concrete.

    cells: Na, Nb, Nc (3,). repeats: which of them exceed 1. oversample: sub-pixels per edge.
    n_steps, steps: terms per pixel and layer, as a number (as the reference counts, Q44) and as a 0-d
    tensor, in which sources count by their weights. background: I_bg, with which a sum starts; term: what
    every term has besides reflections, None where nothing. interpolate: tricubic. rendered: indices in the
    region of interest of the pixels that a mask keeps, None for all.
    """

    config: Config
    geometry: Geometry
    axes: CrystalAxes
    sources: Sources
    orientations: Orientations
    grid: Grid
    cells: Tensor
    repeats: tuple[bool, bool, bool]
    fudge: Tensor
    oversample: int
    n_steps: int
    steps: Tensor
    r_e_sqr: Tensor
    fluence: Tensor
    kahn: Tensor
    background: Tensor
    term: Tensor | None
    layer_step: Tensor
    mu: Tensor
    factors: Factors
    interpolate: bool
    rendered: Tensor | None

    @property
    def dry(self) -> bool:
        """Whether the reference skips terms without a lattice factor: not where there is water (semantics 6.3)."""
        water = self.config.water_m
        return isinstance(water, float | int) and water == 0

    @cached_property
    def unbounded(self) -> bool:
        """Whether F^2 of some reflection is no finite number, and terms without a lattice factor count nothing."""
        largest = self.grid.default.detach().abs()
        if self.grid.values is not None:
            largest = torch.maximum(largest, self.grid.values.detach().abs().max())
        # cubic interpolation overshoots, by less than this
        return (self.dry or self.term is not None) and not bool((1e3 * largest * largest).isfinite())

    @property
    def recommended(self) -> int:
        """Sub-pixels per edge that the spots need."""
        return _recommended(self.config, self.geometry, self.axes, self.cells)

    @property
    def n_subpixels(self) -> int:
        """Sub-pixels of a pixel, over all layers."""
        return self.config.detector.sensor.layers * self.oversample * self.oversample

    @property
    def n_sources(self) -> int:
        return self.sources.count

    @property
    def n_orientations(self) -> int:
        return self.orientations.count

    @property
    def n_pixels(self) -> int:
        """Rendered pixels."""
        if self.rendered is not None:
            return self.rendered.shape[0]
        roi = self.config.detector.rendered
        return max(roi.fast_max - roi.fast_min + 1, 0) * max(roi.slow_max - roi.slow_min + 1, 0)

    @property
    def first_differs(self) -> bool:
        """Whether the run's first evaluation sees other orientations than the later ones (Q29)."""
        turned = self.orientations
        return not all(torch.equal(first, usual) for first, usual in zip(turned.first, turned.usual))

    def pixel_indices(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """(fast, slow) of the rendered pixels start .. stop-1 in scan order."""
        roi = self.config.detector.rendered
        width = roi.fast_max - roi.fast_min + 1
        if self.rendered is not None:
            order = self.rendered[start:stop]
            slow = torch.div(order, width, rounding_mode="floor")
            return roi.fast_min + order - slow * width, roi.slow_min + slow
        first, end = start // width, -(-stop // width)
        fast = torch.arange(roi.fast_min, roi.fast_max + 1, device=self.cells.device)
        slow = torch.arange(roi.slow_min + first, roi.slow_min + end, device=self.cells.device)
        inside = slice(start - first * width, stop - first * width)
        fast, slow = fast.expand(end - first, width), slow.unsqueeze(-1).expand(end - first, width)
        return fast.reshape(-1)[inside], slow.reshape(-1)[inside]

    def pixel_order(self, slow: int, fast: int) -> int:
        """Place of a pixel in scan order. Raises InputError for one that is not rendered."""
        roi = self.config.detector.rendered
        if not (roi.slow_min <= slow <= roi.slow_max and roi.fast_min <= fast <= roi.fast_max):
            raise InputError(
                f"pixel slow {slow}, fast {fast}: expected one that is rendered, "
                f"slow {roi.slow_min}..{roi.slow_max}, fast {roi.fast_min}..{roi.fast_max}"
            )
        order = (slow - roi.slow_min) * (roi.fast_max - roi.fast_min + 1) + fast - roi.fast_min
        if self.rendered is None:
            return order
        places = (self.rendered == order).nonzero().flatten().tolist()
        if not places:
            raise InputError(f"pixel slow {slow}, fast {fast}: expected one that is rendered, this one is masked")
        return int(places[0])


def prepare(config: Config, *, device: torch.device | str, dtype: torch.dtype) -> Experiment:
    """Compute what all pixels share. `config` holds the contents of its files already: nothing is read here.

    Raises ValueError where they are missing, FlagError for a geometry or a beam that cannot be.
    """
    if missing := unread(config):
        raise ValueError(f"{missing[0]}: expected a Config with its contents, which io.load.loaded(config) reads")
    like = torch.empty(0, device=device, dtype=dtype)
    geometry = build_geometry(config, like)
    axes = build_axes(config, like)
    cells = cell_counts(config, axes)
    sources = build_sources(config, geometry.initial, like)
    oversample = config.sampling.oversample
    if oversample < 1:
        oversample = _recommended(config, geometry, axes, cells)
    orientations = build_orientations(config, axes, geometry.initial.spindle)
    n_sources = sources.wavelength.shape[0]
    n_terms = n_sources * orientations.count * oversample * oversample
    # a 32-bit int, which wraps
    n_steps = (n_terms + 2**31) % 2**32 - 2**31 if config.quirks.on("Q44") else n_terms
    weight = 1.0 if sources.weight is None else sources.weight.sum() / n_sources
    factors = factors_of(config)
    fluence = to_tensor(config.beam.fluence_per_m2, like)
    background, term = _background(config, factors, fluence, n_terms * weight)
    interpolate = config.structure.interpolate
    if interpolate is None:
        interpolate = bool((cells <= 2).any())
    na, nb, nc = (bool(count > 1) for count in cells)
    return Experiment(
        config=config,
        geometry=geometry,
        axes=axes,
        sources=sources,
        orientations=orientations,
        grid=build_grid(config.structure, like),
        cells=cells,
        repeats=(na, nb, nc),
        fudge=to_tensor(config.crystal.fudge, like),
        oversample=oversample,
        n_steps=n_steps,
        steps=to_tensor(float(n_steps), like) * weight,
        r_e_sqr=classical_radius_squared(like),
        fluence=fluence,
        kahn=to_tensor(config.beam.kahn, like),
        background=background,
        term=term,
        layer_step=to_tensor(config.detector.sensor.step_m, like),
        mu=to_tensor(config.detector.sensor.mu_per_m, like),
        factors=factors,
        interpolate=interpolate,
        rendered=_unmasked(config, like),
    )


def _background(
    config: Config, factors: Factors, fluence: Tensor, steps: float | Tensor
) -> tuple[Tensor, Tensor | None]:
    """What water adds: I_bg, with which the sum starts, and what each term has besides reflections, if anything.

    The I_bg of a run whose terms have factors of their own is shared out among the `steps` terms; not with Q66, where a
    switch -oversample_ asks for such factors.
    """
    water, nothing = to_tensor(config.water_m, fluence), torch.zeros_like(fluence)
    if bool(water == 0):
        return nothing, None
    if not config.quirks.on("Q26"):
        return nothing, water_term(water)
    background = water_background(fluence, water)
    sampling = config.sampling
    asked = (sampling.thick or sampling.polar or sampling.omega) and not config.quirks.on("Q27")
    escapes = asked and config.quirks.on("Q66")
    if escapes or Application.TERM not in (factors.capture, factors.polar, factors.omega):
        return background, None
    layers = config.detector.sensor.layers if factors.capture is not Application.TERM else 1
    return nothing, background / steps / layers


def _recommended(config: Config, geometry: Geometry, axes: CrystalAxes, cells: Tensor) -> int:
    distance = geometry.distance if config.quirks.on("Q08") else geometry.distance.abs()
    wavelength = to_tensor(config.beam.wavelength_m, cells)
    return recommended_oversample(axes, cells, wavelength, distance, geometry.pixel)


def factors_of(config: Config) -> Factors:
    """When each factor is applied; a factor that is 1 for good stays with the final sum."""
    quirks, sampling = config.quirks, config.sampling

    def of(asked: bool, own: bool) -> Application:
        if asked:
            return Application.RUNNING if quirks.on("Q27") else Application.TERM
        return Application.TERM if own else Application.FINAL

    each = not quirks.on("Q30")
    return Factors(
        capture=of(sampling.thick, not quirks.on("Q15") and config.detector.sensor.present),
        polar=of(sampling.polar, each and config.beam.polarized),
        omega=of(sampling.omega, each),
    )


def _unmasked(config: Config, like: Tensor) -> Tensor | None:
    """Scan order, in the region of interest, of the pixels that the mask keeps; None without a mask."""
    mask, roi = config.detector.mask, config.detector.rendered
    if mask is None:
        return None
    window = mask[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1]
    return torch.from_numpy(window.ravel().nonzero()[0]).to(like.device)
