"""One drawn case, prepared once: its files in a folder, its settings, and the images that the checks share."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tools.scaling.campaign.record import Drawn
from tools.scaling.cases.case import Case

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config, Roi
    from nanobragg_torch.scan.experiment import Experiment
    from tools.scaling.implementations.describe import Implementation
    from tools.scaling.oracle.image import Oracle


EDGE_ON = 1e-4  # sine of an angle


@dataclass(frozen=True)
class How:
    """What a campaign holds its cases against.

    device, dtype: where and in which type the port computes once more. against: the implementation of the reference
    that is started for each case, or None.
    """

    device: str = "cpu"
    dtype: str = "float32"
    against: "Implementation | None" = None


class Scene:
    """What the checks of one case share; each part is made when it is first asked for.

    Images are float64 of the region of interest, (slow, fast), on the CPU, but for what `render` is asked for.
    """

    def __init__(self, drawn: Drawn, how: How, folder: Path) -> None:
        self.drawn, self.how, self.folder = drawn, how, folder

    def asked(self, check: str, one_in: int) -> bool:
        """Whether `check` is asked of this seed, of one in `one_in` at random: what is dear is not asked of all."""
        return self.dice(check).randrange(one_in) == 0

    def dice(self, check: str) -> random.Random:
        """Draws of a check's own, the same for the same seed."""
        return random.Random(f"{self.drawn.seed} {check}")

    def parsed(self, *more: str) -> "Config":
        """What the flags mean to the port, with `more` of them behind, its files read."""
        from nanobragg_torch.flags.parse import parse
        from nanobragg_torch.io.load import loaded

        return loaded(parse([*self.drawn.flags, *more], folders=[self.folder], dump=self._dump))

    @property
    def _dump(self) -> Path | None:
        path = self.folder / "Fdump.bin"
        return path if path.name in self.drawn.files else None

    @property
    def beside(self) -> list[Path]:
        """Files that a program reads though no flag names them."""
        return [] if self._dump is None else [self._dump]

    @cached_property
    def case(self) -> Case:
        """The case as the other rooms know it; it traces no pixel."""
        return Case(f"seed {self.drawn.seed}", self.folder, self.drawn.flags, (), None, {})

    @cached_property
    def config(self) -> "Config":
        return self.parsed()

    @cached_property
    def exp(self) -> "Experiment":
        return self.prepared(self.config)

    @property
    def roi(self) -> "Roi":
        """The rendered pixels of the detector."""
        return self.config.detector.rendered

    @property
    def edge_on(self) -> bool:
        """Whether the detector is so nearly parallel to the beam, or to the ray to its corner, that its place and the
        solid angles are made of rounding."""
        geometry = self.exp.geometry
        return bool(geometry.close_distance.abs() <= EDGE_ON * geometry.pix0.norm().maximum(geometry.distance.abs()))

    @cached_property
    def definition(self) -> "Tensor":
        """The image by the torch path, which is the port's definition."""
        return self.render(self.exp)

    @cached_property
    def compiled(self) -> "Tensor":
        """The image by the compiled kernel, or by the torch path where it cannot serve."""
        return self.render(self.exp, kernel=True)

    @cached_property
    def oracle(self) -> "Oracle":
        from tools.scaling.oracle.image import Oracle

        return Oracle(self.config)

    def prepared(self, config: "Config", device: str = "cpu", dtype: str = "float64") -> "Experiment":
        """The experiment of `config`, whose files are read."""
        import torch

        from nanobragg_torch.scan.experiment import prepare

        return prepare(config, device=torch.device(device), dtype=getattr(torch, dtype))

    def render(
        self, exp: "Experiment", *, kernel: bool = False, block: int | None = None, threads: int = 1
    ) -> "Tensor":
        """The region of interest of the image of `exp`: by the kernel or the torch path, in blocks, on threads."""
        import torch

        from nanobragg_torch.scan.simulate import render_window, start

        with torch.no_grad():
            return render_window(start(exp, block, kernel=kernel), threads)

    def on_detector(self, place: tuple[int, int]) -> tuple[int, int]:
        """(slow, fast) on the detector of a place in the region of interest."""
        return place[0] + self.roi.slow_min, place[1] + self.roi.fast_min


@contextmanager
def scene_of(drawn: Drawn, how: How) -> Iterator[Scene]:
    """The scene of a case, in a folder of its own that is removed afterwards."""
    with TemporaryDirectory(prefix="campaign-") as name:
        folder = Path(name)
        for file, content in drawn.files.items():
            (folder / file).write_bytes(content)
        yield Scene(drawn, how, folder)
