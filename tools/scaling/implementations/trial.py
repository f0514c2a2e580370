"""Known causes on trial: our port simulates them on chosen pixels of a candidate's image."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.errors import BadInput, of_port
from tools.scaling.engine.tolerances import LEAST_NORMAL
from tools.scaling.implementations.causes import KnownCause

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config
    from nanobragg_torch.scan.experiment import Experiment

LOOKED_AT = 1 << 23  # terms that an image may cost; of a dearer one fewer pixels are looked at
DEAREST = 1 << 20  # terms that a cause may cost where it makes many more of them than there are
CONSTANT = 1e-6  # relative: so near must a factor be to one that is known
SMALL = 1000  # pixels that are no work for several threads
LIKER = 0.05  # of a correlation: by so much another order of the pixels must be liker


class Trial:
    """The command line as our port has it, the candidate's image, and the pixels that are looked at.

    origin: (slow, fast) of the image's first pixel, where it is a part of the detector; None where it is all of it.
    places: (n, 2) on the detector. own: our values there. drawn: the names of causes, as keys, of which each run draws
    another orientation from the clock; the empty name is the command line itself.
    """

    def __init__(
        self, flags: tuple[str, ...], folders: Sequence[Path], image: "Tensor", origin: tuple[int, int] | None
    ) -> None:
        from nanobragg_torch import NanoBraggError, loaded, parse

        self.flags, self.folders, self.image, self.origin = flags, folders, image, origin
        self.drawn: dict[str, None] = {}
        try:
            self.config = loaded(parse([*flags], folders=folders))
            self._refuse_misfit()
            if draws_from_clock(self.config):
                self.drawn[""] = None
            self.places = self._looked_at()
            self.own = self._values(self._prepared, self.places)
        except NanoBraggError as error:
            raise of_port(error) from error

    @property
    def size(self) -> tuple[int, int]:
        return self.config.detector.pixels_slow, self.config.detector.pixels_fast

    def _refuse_misfit(self) -> None:
        """Raise BadInput for an image that is not of the detector's size, or not a part of it."""
        got, (slow, fast) = tuple(self.image.shape), self.size
        if self.origin is None:
            fits = self.image.numel() == slow * fast
        else:
            fits = self.origin[0] + got[0] <= slow and self.origin[1] + got[1] <= fast
        if not fits:
            part = "" if self.origin is None else f", of which a part begins at {self.origin[0]} {self.origin[1]}"
            raise BadInput(f"image: expected {slow} x {fast} pixels{part}, got {' x '.join(map(str, got))}")

    def _looked_at(self) -> "Tensor":
        """(n, 2) places in the image: all, or of a dear one some, evenly strewn."""
        import torch

        width = self.image.shape[1] if self.origin is not None else self.size[1]
        stride = max(1, self.image.numel() * self.terms // LOOKED_AT)
        while stride > 1 and math.gcd(stride, width) > 1:  # not the same columns in every row
            stride += 1
        flat = torch.arange(0, self.image.numel(), stride)
        return torch.stack([flat // width, flat % width], dim=1) + torch.tensor(self.origin or (0, 0))

    @cached_property
    def _prepared(self) -> "Experiment":
        return _prepared(self.config)

    @cached_property
    def terms(self) -> int:
        """Terms of a pixel."""
        return _terms(self._prepared)

    def orders(self) -> "list[tuple[str, Tensor]]":
        """(text, values at the places) of the candidate as it is, and as another order of its pixels would have it.

        The other one is the likest to ours, where it is liker than the image as it is.
        """
        import torch

        image, at = self.image, (self.places - torch.tensor(self.origin or (0, 0))).unbind(1)
        if self.origin is None:
            image = image.reshape(self.size)
        views = [(text, view[at]) for text, view in _views(image, self.origin is None)]
        lost = image[at].isnan()  # reading does not keep the bytes of what is no number
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
            if draws_from_clock(config):
                self.drawn[cause.name] = None
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
            exp = None if config is None else _prepared(config)
            if exp is None or _terms(exp) * len(places) > max(DEAREST, 4 * self.terms * len(places)):
                return None
            return self._values(exp, places, cause)
        except NanoBraggError:
            return None

    def _values(self, exp: "Experiment", places: "Tensor", cause: KnownCause | None = None) -> "Tensor":
        """The values (n,) at `places`: 0 where the settings do not render a pixel."""
        import torch

        from nanobragg_torch.scan.chosen import choose
        from nanobragg_torch.scan.simulate import render_image, render_pixels, start

        slow, fast = places.unbind(1)
        threads = None if len(places) > SMALL else 1
        if len(places) == self.size[0] * self.size[1]:
            made = render_image(start(exp), threads).flatten()
        else:
            roi, mask = exp.config.detector.rendered, exp.config.detector.mask
            inside = (slow >= roi.slow_min) & (slow <= roi.slow_max) & (fast >= roi.fast_min) & (fast <= roi.fast_max)
            if mask is not None:
                inside &= torch.from_numpy(mask)[slow, fast]
            made = torch.zeros(len(places), dtype=torch.float64)
            if inside.any():
                some, order = choose(start(exp), slow[inside], fast[inside])
                made[inside] = render_pixels(some, threads)[order]
        if cause is None or cause.factor is None:
            return made
        factor = cause.factor(exp, fast, slow)
        return torch.where(made == 0, 0.0, made / factor)


def draws_from_clock(config: "Config") -> bool:
    """Whether the settings have a random orientation whose seed is the clock: no two runs of them are alike."""
    return config.crystal.misset_seed is not None and any("the clock is the seed" in each for each in config.warnings)


def _prepared(config: "Config") -> "Experiment":
    import torch

    from nanobragg_torch.scan.experiment import prepare

    return prepare(config, device="cpu", dtype=torch.float64)


def _terms(exp: "Experiment") -> int:
    """Terms of a pixel."""
    return exp.n_subpixels * exp.n_sources * exp.n_orientations


def _views(image: "Tensor", whole: bool) -> "Iterator[tuple[str, Tensor]]":
    """(text, image) of the ways in which a program may have written its pixels; of a part its bytes alone."""
    import numpy
    import torch

    yield "", image
    if whole:
        slow, fast = image.shape
        for text, view in (("", image), ("its axes exchanged", image.reshape(-1).view(fast, slow).T)):
            also = f"{text} and " if text else ""
            if text:
                yield text, view
            yield f"{also}its rows in reverse order", view.flip(0)
            yield f"{also}its columns in reverse order", view.flip(1)
            yield f"{also}its rows and columns in reverse order", view.flip(0, 1)
    for dtype, name in ((torch.float32, "float32"), (torch.float64, "float64")):
        with numpy.errstate(invalid="ignore"):
            swapped = image.to(dtype).numpy().byteswap().astype("f8")
        yield f"the bytes of each {name} in reverse order", torch.from_numpy(swapped)


def _likeness(ours: "Tensor", candidate: "Tensor") -> float:
    """The correlation of two images' square roots; -1 where there is none, as of bytes that make no normal number."""
    import torch

    if not bool(candidate.isfinite().all()) or float(candidate.max()) < LEAST_NORMAL["float64"]:
        return -1.0
    pair = torch.stack([ours.clamp_min(0.0).sqrt(), candidate.clamp_min(0.0).sqrt()])
    return float(torch.corrcoef(pair)[0, 1].nan_to_num(-1.0))
