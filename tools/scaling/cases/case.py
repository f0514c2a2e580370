"""Cases: a folder with case.json (the reference's flags, the traced pixels) and the files they name."""

import atexit
import json
import shlex
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from operator import index
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from nanobragg_torch.io.inputs import kind_at
from nanobragg_torch.quirks import VARIANTS
from tools.scaling.base.errors import BadInput, of_port, why
from tools.scaling.base.reading import read_file
from tools.scaling.base.repo import ROOT

if TYPE_CHECKING:
    from nanobragg_torch.config import Config

LARGEST = 1 << 24  # bytes of a case.json

# A bare name is looked for in these folders, in this order.
SHIPPED = (Path(__file__).parent, ROOT / "tests" / "golden")

Window = tuple[int, int, int, int]  # slow_min, slow_max, fast_min, fast_max, inclusive


class Extent(StrEnum):
    """How much of a case's detector is meant."""

    window = "window"
    whole = "whole"


@dataclass(frozen=True)
class Case:
    """One command line of the reference, and what the reference has said to it.

    flags: the reference's own command line, split. pixels: the traced (slow, fast) pairs. c_trace: the reference's log
    that the case names, or None. expected: mode -> the known relative delta of I_before_scaling and its tolerance.
    images: names of the integer, PGM and noise images in the folder. covers: in words, what the case is for. window:
    (slow_min, slow_max, fast_min, fast_max), inclusive: the part of the detector to look at where the flags have no
    -roi, or None. c_image: the reference's float image of the window, of -roi or of the whole detector, or None.
    variant: the program that has said it, where it is not golden. before: the flags of a run that was made first in the
    same folder, for the dump of its structure factors. last: whether nothing may stand behind the flags.
    """

    name: str
    folder: Path
    flags: tuple[str, ...]
    pixels: tuple[tuple[int, int], ...]
    c_trace: Path | None
    expected: dict[str, dict[str, float]]
    images: tuple[str, ...] = ()
    covers: str = ""
    window: Window | None = None
    c_image: Path | None = None
    variant: str = ""
    before: tuple[str, ...] = ()
    last: bool = False

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders in which the files that the flags name are searched, in this order."""
        inputs = self.folder.parent / "inputs"
        return (self.folder, inputs, self.folder.parent.parent / "inputs") if self.variant else (self.folder, inputs)

    @property
    def mode(self) -> tuple[str, ...]:
        """The port's own flags that make it follow the program of the case."""
        return ("--mode", self.variant) if self.variant else ()

    def reference(self, pixel: tuple[int, int]) -> Path | None:
        """Return the reference's trace of `pixel` (slow, fast), or None.

        It is the one that the case names, if `pixel` is the first, else trace_SLOW_FAST.log in the folder.
        """
        if self.c_trace is not None and pixel == self.pixels[0]:
            return self.c_trace
        beside = self.folder / f"trace_{pixel[0]}_{pixel[1]}.log"
        return beside if beside.is_file() else None

    def pixel(self, asked: tuple[int, int] | None = None) -> tuple[int, int]:
        """The (slow, fast) pixel to trace: `asked`, or the case's first. Raises BadInput where there is neither."""
        if asked is None and not self.pixels:
            raise BadInput(f"{self.name}: names no traced pixel; expected --pixel SLOW FAST")
        return asked or self.pixels[0]

    @property
    def dump(self) -> Path | None:
        """The dump of structure factors that the run `before` leaves; it is there until this process ends."""
        return _dumped(self.before, self.mode, self.folders) if self.before else None

    def with_hkl(self, hkl: Path | None) -> "Case":
        """This case with another reflection list; with its own where `hkl` is None."""
        if hkl is None:
            return self
        flags = self.flags
        at = max((i for i, word in enumerate(flags[:-1]) if word == "-hkl"), default=len(flags))
        return replace(self, flags=(*flags[:at], "-hkl", str(hkl.absolute()), *flags[at + 2 :]))

    def config(self, *more: str) -> "Config":
        """What the flags mean, with `more` of them behind. Raises BadInput where the port refuses them."""
        from nanobragg_torch.errors import NanoBraggError
        from nanobragg_torch.flags.parse import parse

        try:
            dump = self.dump
            folders = self.folders if dump is None else (dump.parent, *self.folders)
            fdump = None if dump is None else dump.with_name("Fdump.bin")
            return parse([*self.flags, *self.mode, *more], folders=folders, dump=fdump)
        except NanoBraggError as error:
            raise of_port(error) from error


@cache
def _dumped(flags: tuple[str, ...], mode: tuple[str, ...], folders: tuple[Path, ...]) -> Path:
    """The dump that a run of these flags leaves, alone in a folder that is removed when the process ends."""
    from nanobragg_torch.flags.parse import parse
    from nanobragg_torch.io.load import loaded
    from nanobragg_torch.products.outputs import dump_pieces

    config, folder = loaded(parse([*flags, *mode], folders=folders)), Path(mkdtemp(prefix="before-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    path = folder / config.output.dump_file
    with path.open("wb") as file:
        file.writelines(dump_pieces(config.structure))
    return path


def find_case(name: str) -> Case:
    """Return the case at path `name`, or the shipped one of that name. Raises BadInput."""
    looked = [Path(name)] if "/" in name else [folder / name for folder in SHIPPED] + [Path(name)]
    for folder in looked:
        if kind_at(folder / "case.json") == "":
            return _read(folder)
    if "/" in name:
        raise BadInput(f"{name}: expected a folder with case.json, got none")
    shipped = sorted(p.parent.name for folder in SHIPPED for p in folder.glob("*/case.json"))
    raise BadInput(f"{name}: expected a folder with case.json or one of {', '.join(shipped)}; got neither")


def _read(folder: Path) -> Case:
    path = folder / "case.json"
    text = read_file(path, LARGEST)
    if len(text) > LARGEST:
        raise BadInput(f"{path}: expected a case of at most {LARGEST >> 20} MiB, got a larger file")
    try:
        data: Any = json.loads(text.decode("utf-8"))
    except RecursionError as error:
        raise BadInput(f"{path}: expected readable JSON, got brackets too deep in one another") from error
    except ValueError as error:
        raise BadInput(f"{path}: expected readable JSON, got: {why(error)}") from error
    try:
        pixels = tuple((index(slow), index(fast)) for slow, fast in data.get("traced_pixels_slow_fast", ()))
        flags = data["flags"]
        return Case(
            name=str(data.get("name", folder.name)),
            folder=folder,
            flags=tuple(shlex.split(flags) if isinstance(flags, str) else map(str, flags)),
            pixels=pixels,
            c_trace=ROOT / data["c_trace"] if data.get("c_trace") else None,
            expected=dict(data.get("expected_I_before_scaling", {})),
            images=tuple(map(str, data.get("images", ()))),
            covers=str(data.get("covers", "")),
            variant=_variant(data.get("variant", "")),
            before=tuple(shlex.split(data.get("before", ""))),
            last=bool(data.get("flags_must_end_the_command_line", False)),
            window=_window(data["window"]) if data.get("window") else None,
            c_image=ROOT / data["c_image"] if data.get("c_image") else _beside(folder / "float.bin"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f'{path}: expected {{"flags": "...", "traced_pixels_slow_fast": [[S, F], ...]}}, got {error!r}'
        ) from error


def _variant(name: str) -> str:
    if name and name not in VARIANTS:
        raise ValueError(f"variant: expected one of {', '.join(VARIANTS)}, got {name!r}")
    return name


def _window(bounds: list[int]) -> Window:
    slow_min, slow_max, fast_min, fast_max = map(index, bounds)
    return slow_min, slow_max, fast_min, fast_max


def _beside(path: Path) -> Path | None:
    return path if kind_at(path) == "" else None
