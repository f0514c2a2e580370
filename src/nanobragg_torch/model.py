"""A torch.nn.Module around a Config: what is to be refined of it are the module's parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from nanobragg_torch.config import Config
from nanobragg_torch.io.load import loaded
from nanobragg_torch.library import Pixels, simulate
from nanobragg_torch.physics.vectors import to_tensor

MISSET = "crystal.misset_rad"


class Model(torch.nn.Module):
    """A simulation whose parameters are fields of a Config, under the names that they have there.

    `model.crystal.misset_rad` is the parameter of "crystal.misset_rad". It begins as float64 on the CPU, with the
    Config's number; a misset that is not given begins at 0. What the module is moved to (`to`, `float`) computes.

    Args:
        config: what is simulated; its files are read here, once.
        parameters: names of fields that hold numbers, such as "crystal.misset_rad", "crystal.cell.a_angstrom",
            "detector.distance_m" or "structure.reflections.F" (n,), in the units of the Config.

    Raises:
        InputError: for a file of the Config that cannot be read.
        ValueError: for a name that is no field, and for a field that is not given or holds no number.
    """

    def __init__(self, config: Config, parameters: Iterable[str]) -> None:
        super().__init__()
        if isinstance(parameters, str):
            raise TypeError(f"parameters: expected a list of names, got the string {parameters!r}")
        self._given = loaded(config)
        self._names = tuple(dict.fromkeys(parameters))
        if not self._names:
            raise ValueError("parameters: expected at least one name of a field, got none")
        like = torch.empty(0, dtype=torch.float64)
        for name in self._names:
            *records, last = name.split(".")
            module: torch.nn.Module = self
            for record in records:
                if record not in module._modules:
                    module.add_module(record, torch.nn.Module())
                module = module.get_submodule(record)
            start = to_tensor(_number(self._given, name), like).detach().clone()
            module.register_parameter(last, torch.nn.Parameter(start))

    def config(self) -> Config:
        """Make the Config that is simulated.

        Returns:
            The Config of the maker, with the parameters in the places of their fields.
        """
        made: Config = self._given
        for name in self._names:
            made = _replaced(made, name.split("."), self._value(name))
        return made

    def forward(self, pixels: Pixels | None = None) -> Tensor:
        """Simulate with the parameters as they are.

        Args:
            pixels: (n, 2) integers, the (slow, fast) of each pixel; None for the image.

        Returns:
            The intensities (n,) of the pixels, or the image (slow, fast), in photons a pixel.

        Raises:
            InputError: for pixels that the image does not render.
            FlagError: for a geometry that cannot be.
        """
        like = self._value(self._names[0])
        return simulate(self.config(), pixels=pixels, device=like.device, dtype=like.dtype)

    def _value(self, name: str) -> Tensor:
        """The parameter of that name, or what stands in its place (torch.func, torch.nn.utils.parametrize)."""
        value: Tensor = attrgetter(name)(self)
        return value


def _number(config: Config, name: str) -> Any:
    """What the field `name` of the Config holds; a misset that is not given is 0."""
    value: Any = config
    kind = ""
    for part in name.split("."):
        known = {field.name: str(field.type) for field in fields(value)} if is_dataclass(value) else {}
        if value is None:
            break
        if part not in known:
            inside = f"a field of {type(value).__name__} ({', '.join(known)})" if known else "the name of a number"
            raise ValueError(f"{name}: expected {inside}, got {part!r}")
        value, kind = getattr(value, part), known[part]
    if name == MISSET and config.crystal.misset_seed is not None:
        raise ValueError(f"{name}: expected a Config without misset_seed, which asks for a random orientation")
    if value is None and name == MISSET:
        return (0.0, 0.0, 0.0)
    if value is None:
        raise ValueError(f"{name}: expected a number to begin with, got None: the Config does not give it")
    if not any(word in kind for word in ("Number", "Vector", "Tensor")):
        raise ValueError(f"{name}: expected a field of real numbers, got one of {kind}")
    return value


def _replaced(record: Any, path: Sequence[str], value: Tensor) -> Any:
    """A copy of `record` with `value` at the end of `path`."""
    first, *rest = path
    return replace(record, **{first: _replaced(getattr(record, first), rest, value) if rest else value})
