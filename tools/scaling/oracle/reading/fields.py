"""In which fields two Configs differ."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from nanobragg_torch.config import Config, Roi

# for a person or a terminal only
_LEFT_OUT = frozenset(("warnings", "inputs", "output.progress", "output.show_config", "structure.reflections.warning"))
_CLOCK = -1_500_000_000


def differing(ours: Config, theirs: Config) -> list[str]:
    """Return the fields that differ, as "beam.fluence_per_m2: 1e24 against 1e21".

    Numbers may differ by one unit in the last place, nan equals nan, arrays are compared by content, and a seed that
    both took from the clock is the same. What only a person sees, such as warnings, is left out.
    """
    return list(_differing("", ours, theirs))


def computed(config: Config) -> dict[str, Any]:
    """Return what the records of `config` compute of their own fields, by name, as it should be (semantics D8, D12)."""
    detector, sensor = config.detector, config.detector.sensor
    fast, slow, roi = detector.pixels_fast - 1, detector.pixels_slow - 1, detector.roi
    rendered = Roi(0, fast, 0, slow)
    if roi is not None:
        rendered = Roi(max(roi.fast_min, 0), min(roi.fast_max, fast), max(roi.slow_min, 0), min(roi.slow_max, slow))
    return {
        "detector.rendered": rendered,
        "detector.sensor.step_m": sensor.thickness_m / (sensor.parts or sensor.layers),
        "detector.sensor.present": sensor.thickness_m != 0.0 or sensor.layers > 1,
    }


def _differing(name: str, ours: Any, theirs: Any) -> list[str]:
    if name in _LEFT_OUT or ours is theirs:
        return []
    if is_dataclass(ours) and type(ours) is type(theirs):
        prefix = f"{name}." if name else ""
        each = (_differing(f"{prefix}{field.name}", getattr(ours, field.name), getattr(theirs, field.name))
                for field in fields(ours))  # fmt: skip
        return [said for found in each for said in found]
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
        return _of_arrays(name, ours, theirs)
    if isinstance(ours, (tuple, list)) and isinstance(theirs, (tuple, list)) and len(ours) == len(theirs):
        if len(ours) <= 9 and all(_same(name, x, y) for x, y in zip(ours, theirs)):
            return []
        for at, (x, y) in enumerate(zip(ours, theirs)):
            if found := _differing(f"{name}[{at}]", x, y):
                return found
        return []
    return [] if _same(name, ours, theirs) else [f"{name}: {_shown(ours)} against {_shown(theirs)}"]


def _same(name: str, ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, (float, int)):
        if math.isnan(ours) or math.isnan(theirs) or math.isinf(ours):
            return ours == theirs or (ours != ours and theirs != theirs)
        return abs(ours - theirs) <= math.ulp(ours)
    if name == "output.seed" and max(ours, theirs) < _CLOCK:
        return True
    return bool(ours == theirs)


def _of_arrays(name: str, ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    if ours.shape != theirs.shape:
        return [f"{name}: shape {ours.shape} against {theirs.shape}"]
    differs = (ours != theirs) & ~((ours != ours) & (theirs != theirs))
    if not differs.any():
        return []
    at = tuple(int(i) for i in np.argwhere(differs)[0])
    return [f"{name}[{', '.join(map(str, at))}]: {ours[at]} against {theirs[at]}"]


def _shown(value: Any) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value)
