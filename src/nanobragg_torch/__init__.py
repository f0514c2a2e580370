"""nanoBragg, the reference simulator of X-ray diffraction from nanocrystals, in PyTorch.

A name is imported when it is first used, so that the import of the package alone does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanobragg_torch.config import (
        Beam,
        Cell,
        Config,
        Crystal,
        Detector,
        Output,
        Reflections,
        Roi,
        Sampling,
        Scan,
        Sensor,
        Spread,
        StructureFactors,
    )
    from nanobragg_torch.errors import DoesNotFit, FlagError, InputError, NanoBraggError, NoDevice
    from nanobragg_torch.flags.parse import parse
    from nanobragg_torch.io.hkl import read_hkl
    from nanobragg_torch.io.load import loaded
    from nanobragg_torch.library import simulate, simulate_pixels, trace_pixel
    from nanobragg_torch.model import Model
    from nanobragg_torch.products.trace import TraceLine
    from nanobragg_torch.quirks import Quirks

    __version__: str

_HOMES = {
    "config": "Beam Cell Config Crystal Detector Output Reflections Roi Sampling Scan Sensor Spread StructureFactors",
    "errors": "DoesNotFit FlagError InputError NanoBraggError NoDevice",
    "flags.parse": "parse",
    "io.hkl": "read_hkl",
    "io.load": "loaded",
    "library": "simulate simulate_pixels trace_pixel",
    "model": "Model",
    "products.trace": "TraceLine",
    "quirks": "Quirks",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Beam",
    "Cell",
    "Config",
    "Crystal",
    "Detector",
    "DoesNotFit",
    "FlagError",
    "InputError",
    "Model",
    "NanoBraggError",
    "NoDevice",
    "Output",
    "Quirks",
    "Reflections",
    "Roi",
    "Sampling",
    "Scan",
    "Sensor",
    "Spread",
    "StructureFactors",
    "TraceLine",
    "__version__",
    "loaded",
    "parse",
    "read_hkl",
    "simulate",
    "simulate_pixels",
    "trace_pixel",
]


def __getattr__(name: str) -> Any:
    """The public name, from the module that is its home; kept, so that this is asked once."""
    if name == "__version__":
        value: Any = import_module("nanobragg_torch.flags.usage").installed("nanobragg-torch")
    elif name in _HOME:
        value = getattr(import_module(f"nanobragg_torch.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'nanobragg_torch' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names and the modules that are imported already."""
    return sorted({*globals(), *__all__})
