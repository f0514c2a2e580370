"""Known causes on trial: our port simulates them on chosen pixels of a candidate's image, in the order that it has."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.errors import BadInput, of_port
from tools.scaling.implementations.causes import KnownCause

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config
    from nanobragg_torch.scan.experiment import Experiment

LOOKED_AT = 1 << 23  # terms that an image may cost; of a dearer one fewer pixels are looked at
CONSTANT = 1e-6  # relative: so near must a factor be to one that is known
LIKER = 0.05  # of a correlation: by so much another order of the pixels must be liker


class Trial:
    """The command line as our port has it, and the pixels that are looked at. own: its values there."""

    def __init__(self, flags: tuple[str, ...], folders: Sequence[Path]) -> None:
        from nanobragg_torch import NanoBraggError, loaded, parse

        self.flags, self.folders = flags, folders
        try:
            self.config = loaded(parse([*flags], folders=folders))
            self.places = self._looked_at()
            self.own = self.values(self.config, self.places)
        except NanoBraggError as error:
            raise of_port(error) from error

    @property
    def size(self) -> tuple[int, int]:
        return self.config.detector.pixels_slow, self.config.detector.pixels_fast

    def _looked_at(self) -> "Tensor":
        """(n, 2) places: all, or of a dear image one in so many."""
        import torch

        pixels = self.size[0] * self.size[1]
        stride = max(1, pixels * self.terms // LOOKED_AT)
        while math.gcd(stride, self.size[1]) > 1:  # not the same columns in every row
            stride += 1
        flat = torch.arange(0, pixels, stride if stride > 1 else 1)
        return torch.stack([flat // self.size[1], flat % self.size[1]], dim=1)

    @cached_property
    def _prepared(self) -> "Experiment":
        import torch

        from nanobragg_torch.scan.experiment import prepare

        return prepare(self.config, device="cpu", dtype=torch.float64)

    @property
    def terms(self) -> int:
        """Terms of a pixel."""
        return self._prepared.n_subpixels * self._prepared.n_sources * self._prepared.n_orientations

    def orders(self, image: "Tensor") -> "list[tuple[str, Tensor]]":
        """(text, values at the places) of the candidate as it is, and as another order of its pixels would have it.

        The other one is the likest to ours, where it is liker than the image as it is.
        """
        import torch

        if image.numel() != self.size[0] * self.size[1]:
            raise BadInput(f"image: expected {self.size[0]} x {self.size[1]} pixels, got {tuple(image.shape)}")
        at = self.places.unbind(1)
        views = [(text, view[at]) for text, view in _views(image, self.size)]
        lost = image.reshape(self.size)[at].isnan()  # reading does not keep the bytes of what is no number
        views[-2:] = [(text, torch.where(lost, self.own, values)) for text, values in views[-2:]]
        alike = [_likeness(self.own, values) for _, values in views]
        best = max(range(len(views)), key=lambda i: alike[i])
        return [views[0], views[best]] if alike[best] > alike[0] + LIKER else views[:1]

    def constant(self, scale: float) -> str:
        """What a constant factor is, in words."""
        exp = self._prepared
        r_e_sqr, fluence, steps = float(exp.r_e_sqr), float(exp.fluence), float(exp.steps)
        known = {
            "r_e^2 left out": r_e_sqr,
            "the fluence left out": fluence,
            "r_e^2 and the fluence left out": r_e_sqr * fluence,
            "divided by the number of terms twice": steps,
            "not divided by the number of terms": 1.0 / steps,
        }
        text = next((f" ({text})" for text, value in known.items() if abs(scale * value - 1.0) < CONSTANT), "")
        return f"times {scale:.7g}{text}"

    def of(self, cause: KnownCause) -> "Config | None":
        """The settings of a cause; None where our port refuses them or they have another detector."""
        from nanobragg_torch import NanoBraggError, loaded, parse

        try:
            config = parse([*cause.words], folders=self.folders)
            if (config.detector.pixels_slow, config.detector.pixels_fast) != self.size:
                return None
            own, mine = self.config.structure, config.structure
            reads = all(self.config.quirks.on(quirk) == config.quirks.on(quirk) for quirk in ("Q10", "Q11", "Q22"))
            if reads and (own.hkl_file, own.dump_file) == (mine.hkl_file, mine.dump_file):
                config = replace(config, structure=replace(mine, reflections=own.reflections))
            config = loaded(config)
        except NanoBraggError:
            return None
        return config if cause.settings is None else cause.settings(config)

    def tried(self, cause: KnownCause, places: "Tensor") -> "Tensor | None":
        """The values of a cause at `places`; None where our port refuses it."""
        from nanobragg_torch import NanoBraggError

        config = self.of(cause)
        try:
            return None if config is None else self.values(config, places, cause)
        except NanoBraggError:
            return None

    def values(self, config: "Config", places: "Tensor", cause: KnownCause | None = None) -> "Tensor":
        """The values (n,) at `places`: 0 where the settings do not render a pixel."""
        import torch

        from nanobragg_torch import simulate, simulate_pixels
        from nanobragg_torch.scan.experiment import prepare

        slow, fast = places.unbind(1)
        if len(places) == self.size[0] * self.size[1]:
            made = simulate(config).flatten()
        else:
            roi, mask = config.detector.rendered, config.detector.mask
            inside = (slow >= roi.slow_min) & (slow <= roi.slow_max) & (fast >= roi.fast_min) & (fast <= roi.fast_max)
            if mask is not None:
                inside &= torch.from_numpy(mask)[slow, fast]
            made = torch.zeros(len(places), dtype=torch.float64)
            if inside.any():
                made[inside] = simulate_pixels(config, places[inside])
        if cause is None or cause.factor is None:
            return made
        factor = cause.factor(prepare(config, device="cpu", dtype=torch.float64), fast, slow)
        return torch.where(made == 0, 0.0, made / factor)


def _views(image: "Tensor", size: tuple[int, int]) -> "Iterator[tuple[str, Tensor]]":
    """(text, image) of the ways in which a program may have written its pixels."""
    import numpy
    import torch

    as_is = image.reshape(size)
    turned = image.reshape(-1).view(size[1], size[0]).T
    for text, view in (("", as_is), ("its axes exchanged", turned)):
        also = f"{text} and " if text else ""
        yield text, view
        yield f"{also}its rows in reverse order", view.flip(0)
        yield f"{also}its columns in reverse order", view.flip(1)
        yield f"{also}its rows and columns in reverse order", view.flip(0, 1)
    for dtype, name in ((torch.float32, "float32"), (torch.float64, "float64")):
        with numpy.errstate(invalid="ignore"):
            swapped = as_is.to(dtype).numpy().byteswap().astype("f8")
        yield f"the bytes of each {name} in reverse order", torch.from_numpy(swapped)


def _likeness(ours: "Tensor", candidate: "Tensor") -> float:
    """The correlation of two images' square roots; -1 where there is none."""
    import torch

    if not bool(candidate.isfinite().all()):
        return -1.0
    pair = torch.stack([ours.clamp_min(0.0).sqrt(), candidate.clamp_min(0.0).sqrt()])
    return float(torch.corrcoef(pair)[0, 1].nan_to_num(-1.0))
