"""Values that no experiment has: refused before anything is computed, in every mode."""

from __future__ import annotations

import math
from typing import Any

from nanobragg_torch.errors import FlagError
from nanobragg_torch.flags.record import Field
from nanobragg_torch.flags.table import Given

VECTORS = (Given.beam, Given.fdet, Given.sdet, Given.odet, Given.polar_vector, Given.spindle, Given.twotheta_axis)

_FLAT = 1e-12  # (V / 2abc)^2 of a cell without volume: 60 60 120 degrees come to 1e-17


def check(given: Given) -> None:
    """Raises FlagError for a cell without volume, a vector without direction, a detector that touches the crystal,
    amounts below 0 that make the image so, wavelengths that are not above 0."""
    _check_cell(given)
    _check_vectors(given)
    _check_distances(given)
    _check_beam(given)
    if given.fudge < 0.0 and given.shape != "SQUARE":
        raise FlagError(f"-fudge: expected at least 0, got {given.fudge:g}")


def _check_cell(given: Given) -> None:
    """Of -cell as it is used: semantics 2.2 replaces edges and angles that are not above 0."""
    values = given.cell
    if values[0] <= 0.0:
        return
    shown = f"-cell {' '.join(f'{x:g}' for x in values)}"
    edges = [x if x > 0.0 else values[0] for x in values[:3]]
    alpha, beta, gamma = ([math.radians(x) if x > 0.0 else math.pi / 2 for x in values[3:]] + 3 * [math.pi / 2])[:3]
    s = (alpha + beta + gamma) / 2
    if max(alpha, beta, gamma) >= math.pi or not math.prod(map(math.sin, (s, s - alpha, s - beta, s - gamma))) > _FLAT:
        raise FlagError(
            f"{shown}: expected angles below 180 degrees, each below the sum of the other two, all three together below"
            " 360, got a cell without volume"
        )
    odd = [f"{x:g}" for x in edges if not 1e-3 < x < 1e9]
    if odd:
        raise FlagError(f"{shown}: expected edges of 0.001 to 1e9 Angstrom, got {' '.join(odd)}")
    replaced = [name for name, x in zip(("a", "b", "c", "alpha", "beta", "gamma"), values) if x <= 0.0]
    if replaced:
        given.warnings.append(
            f"{shown}: {', '.join(replaced)} not above 0: an edge becomes a, an angle 90 degrees, as in the reference"
        )


def _check_vectors(given: Given) -> None:
    for field in VECTORS:
        vector = given.get(field)
        if vector is not None and not 1e-15 < math.hypot(*vector) < 1e15:
            raise FlagError(f"{field.flag}: expected a direction, got {' '.join(f'{x:g}' for x in vector)}")


def _check_distances(given: Given) -> None:
    """The one that counts is above 0: the near distance where it is given, else that along the beam."""
    if given.close_distance is not None:
        value, negative = given.close_distance, "the detector is behind the crystal"
    else:
        value, negative = given.distance, "its sign has no effect, as in the reference"
    name, hint = origin(given, Given.distance if given.close_distance is None else Given.close_distance)
    if value == 0.0:
        raise FlagError(f"{name}: expected a distance other than 0 mm, got 0{hint}")
    if value < 0.0:
        given.warnings.append(f"{name}: {1000 * value:g} mm: {negative}")


def origin(given: Given, field: Field[Any]) -> tuple[str, str]:
    """The flag that was typed for `field`, else the keyword of a header, and what to do about it; else nothing."""
    if field in given.words:
        return given.words[field], ""
    used = {name: text for read in given.headers for name, text in read.used.items()}
    return (
        (f"a header's {used[field].partition(' ')[0]}", f"; {field.flag} overrides it") if field in used else ("", "")
    )


def _check_beam(given: Given) -> None:
    for field, what, unit, per in ((Given.wavelength, "a wavelength", "A", 1e10), (Given.pixel, "a size", "mm", 1e3)):
        if given.get(field) <= 0.0:
            name, hint = origin(given, field)
            raise FlagError(f"{name}: expected {what} above 0 {unit}, got {per * given.get(field):g}{hint}")
    for field in (Given.fluence, Given.flux, Given.water):
        if given.get(field) < 0.0:
            raise FlagError(f"{field.flag}: expected at least 0, got a number below 0")
    width = given.dispersion
    if width >= 2.0 and given.sourcefile is None:
        raise FlagError(f"-dispersion: expected less than 200 %, got {100 * width:g}: wavelengths of 0 and below")
