"""What -printout prints: of each pixel its last term, its factors and its value, in the reference's words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from nanobragg_torch.physics.vectors import norm, to_tensor
from nanobragg_torch.products.trace import c_int
from nanobragg_torch.scan import evaluate, simulate, summation
from nanobragg_torch.scan.summation import Pixels, Run

_TOGETHER = 2**12  # pixels: their text is a few MB


def printed(run: Run, pixel: tuple[int, int] | None = None) -> Iterator[str]:
    """Text of all rendered pixels in scan order, a block at a time, or of `pixel` (slow, fast) alone.

    Positions in metres, sin(theta)/lambda in 1/m and 1/A, axes in Angstrom. The last term is that of the last
    sub-pixel, source, phi step and domain, also where dmin or a lattice factor of 0 has the reference keep numbers of
    an earlier one. Raises InputError for a pixel that is not rendered.
    """
    blocks = simulate.pixel_blocks(replace(run, block=min(run.block, _TOGETHER)))
    if pixel is not None:
        order = run.exp.pixel_order(*pixel)
        first = run.first[1] if run.first is not None and run.first[0] == order else None
        blocks = iter([Pixels(order, order + 1, first)])
    for pixels in blocks:
        yield "".join(_printed(run, pixels))


def _printed(run: Run, pixels: Pixels) -> Iterator[str]:
    exp = run.exp
    fast, slow = exp.pixel_indices(pixels.start, pixels.stop)
    sums = summation.pixel_sums(run, pixels)
    evaluation, orientation = exp.n_subpixels * exp.n_sources - 1, exp.n_orientations - 1
    position = evaluate.cast_rays(exp, fast, slow, exp.n_subpixels - 1, exp.n_subpixels).position[0]
    q = torch.zeros_like(position) if sums.latest is None else sums.latest.q[-1, -1]
    axes = summation.orientation_block(run, pixels, 0, evaluation, evaluation + 1, orientation, orientation + 1)
    terms = evaluate.lattice_terms(exp, q.expand(1, 1, *q.shape), axes)
    inside = summation.interpolated(run, pixels, evaluation, orientation, terms.F_latt)
    x, y, z = position.unbind(-1)
    half_angle = torch.atan2(torch.hypot(y, z), x) / 2
    columns = (
        (fast, slow, 0.5 * norm(q)),
        (torch.sin(half_angle) / (to_tensor(exp.config.beam.wavelength_m, q) * 1e10), x, y, z),
        (*terms.hkl, *terms.nearest, evaluate.structure_terms(exp, terms, inside), terms.F_latt),
        (sums.intensity, sums.intensity / exp.steps, sums.polar, evaluate.final_solid_angle(exp, fast, slow)),
        (evaluate.final_capture(exp, fast, slow), (0.0 + summation.scaled(exp, sums, fast, slow)).float()),
    )
    cell = _cell(axes)
    for row in zip(*(column.flatten().tolist() for part in columns for column in part)):
        yield _pixel(row) + cell


def _pixel(row: tuple[float, ...]) -> str:
    fast, slow, stol, other_stol, x, y, z, h, k, l, h0, k0, l0, f_cell, f_latt, total, *factors = row  # noqa: E741
    names = ("I/steps", "polar  ", "omega  ", "capfrac", "pixel  ")
    return (
        f"{fast:4d} {slow:4d} : stol = {stol:g} or {other_stol:g}\n"
        f"at {x:g} {y:g} {z:g}\n"
        f"hkl= {h:f} {k:f} {l:f}  hkl0= {c_int(h0)} {c_int(k0)} {c_int(l0)}\n"
        f" F_cell={f_cell:g}  F_latt={f_latt:g}   I = {total:g}\n"
    ) + "".join(f"{name} {value:15.10g}\n" for name, value in zip(names, factors))


def _cell(axes: tuple[Tensor, Tensor, Tensor]) -> str:
    """The direct axes of the last orientation, which all pixels of a block share."""
    a, b, c = ((1e10 * axis[-1, -1, -1]).tolist() for axis in axes)
    head = "real-space cell vectors (Angstrom):\n" + f"     {'a':<10}  {'b':<10}  {'c':<10}\n"
    return head + "".join(f"{name}: {x:11.8f} {y:11.8f} {z:11.8f}\n" for name, x, y, z in zip("XYZ", a, b, c))
