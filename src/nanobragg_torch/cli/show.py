"""The Config that a run uses, as lines with units: every default and every derived number filled in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from nanobragg_torch.config import Cell, Config, Sensor
from nanobragg_torch.physics.detector import final_centre
from nanobragg_torch.quirks import IDS, Quirks
from nanobragg_torch.scan.experiment import Experiment
from nanobragg_torch.units import RTD, radians

# endings of field names: what they measure, the longer ones first; angles are shown in degrees
_UNITS = {"_per_m2": "photons/m^2", "_per_m": "1/m", "_angstrom": "A", "_pixels": "pixels", "_rad": "deg", "_m": "m"}
# a Spread is of angles or of wavelengths
_SPREADS = {
    **{f"beam.{axis}.{name}": "rad" for axis in ("horizontal", "vertical") for name in ("width", "step")},
    **{f"beam.dispersion.{name}": "of the wavelength" for name in ("width", "step")},
}


# told in other lines, or the contents of a file that is named
_ELSEWHERE = ("quirks", "warnings", "inputs", "reflections", "sources", "mask")


def config_lines(exp: Experiment) -> list[str]:
    """A line a field of the Config in use: name, value, unit, in columns."""
    rows = [("mode", _mode(exp.config), ""), *_rows("", in_use(exp))]
    rows += [(f"input {flag}", str(path), "") for flag, path in exp.config.inputs]
    width = max(len(name) for name, _, _ in rows)
    return ["simulation in use:", *(f"  {name:<{width}}  {value} {unit}".rstrip() for name, value, unit in rows)]


def in_use(exp: Experiment) -> Config:
    """The Config of `exp` with what the geometry, the crystal and the sampling came to."""
    config, geometry = exp.config, exp.geometry
    centre, final, initial = geometry.centre, final_centre(geometry), geometry.initial
    edges, angles = exp.axes.cell[:3], exp.axes.cell[3:]
    detector = replace(
        config.detector,
        distance_m=geometry.distance,
        close_distance_m=geometry.close_distance,
        x_beam_m=centre.x_beam,
        y_beam_m=centre.y_beam,
        x_close_m=centre.x_close,
        y_close_m=centre.y_close,
        orgx_pixels=final.orgx,
        orgy_pixels=final.orgy,
        beam_vector=initial.beam,
        fdet_vector=geometry.fdet,
        sdet_vector=geometry.sdet,
        odet_vector=geometry.odet,
        polar_vector=initial.polar,
        spindle_axis=initial.spindle,
        twotheta_axis=initial.twotheta_axis,
        pix0_vector_m=geometry.pix0,
        twotheta_rad=geometry.twotheta,
        sensor=config.detector.sensor if config.detector.sensor.present else Sensor(),
        roi=config.detector.rendered,
    )
    return replace(
        config,
        crystal=replace(config.crystal, cell=Cell(*edges, *map(radians, angles)), cells=exp.cells),
        detector=detector,
        sampling=replace(config.sampling, oversample=exp.oversample),
        structure=replace(config.structure, interpolate=exp.interpolate),
    )


def _mode(config: Config) -> str:
    unlike = {quirk for quirk in IDS if config.quirks.on(quirk) is not Quirks().on(quirk)}
    if not unlike:
        return "c-parity: all quirks as in the reference"
    sides = {"on": sorted(unlike - config.quirks.off), "off": sorted(unlike & config.quirks.off)}
    return "; ".join(f"quirks {state}: {' '.join(quirks)}" for state, quirks in sides.items() if quirks)


def _rows(prefix: str, record: Any) -> Iterator[tuple[str, str, str]]:
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name in _ELSEWHERE:
            continue
        if is_dataclass(value):
            yield from _rows(f"{prefix}{field.name}.", value)
            continue
        ending = next((each for each in _UNITS if field.name.endswith(each)), "")
        shown = _shown(value, RTD if ending == "_rad" else 1.0)
        unit = _UNITS.get(ending) or _SPREADS.get(prefix + field.name, "")
        yield prefix + field.name.removesuffix(ending), shown, unit if value is not None else ""


def _shown(value: Any, scale: float) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, Tensor):
        value = value.detach().tolist()
    numbers = value if isinstance(value, tuple | list) else (value,)
    return " ".join(str(x) if isinstance(x, int) else f"{scale * float(x):.10g}" for x in numbers)
