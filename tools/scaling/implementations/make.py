"""The image and the traces of a case, by any implementation: in this process, from its record, or by runs of it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from tools.scaling.base.errors import BadInput, ScalingError, Unavailable, of_port
from tools.scaling.base.repo import relative
from tools.scaling.base.text import counted
from tools.scaling.cases.case import Case
from tools.scaling.implementations.describe import PORT, RECORDED, Implementation
from tools.scaling.implementations.run import Pixel, Ran, ran, read_float32, read_image, read_trace

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config
    from tools.scaling.traces.read import Trace


@dataclass(frozen=True)
class Computing:
    """How our port computes: where, in which type, with which flags of its own (--mode, --phi-mode, --vectors).

    kernel: as in the port's `Run`: True for the compiled kernel, however small the image.
    """

    device: str = "cpu"
    dtype: str = "float64"
    options: tuple[str, ...] = ()
    kernel: bool | None = None


BY_DEFAULT = Computing()


@dataclass(frozen=True)
class MadeImage:
    """A float image (slow, fast) of what the flags ask for (-roi).

    outside: pixels elsewhere that are not 0. left: processes that the program left running, which were then ended.
    """

    pixels: "Tensor"
    outside: int = 0
    left: int = 0

    def note(self, name: str) -> str:
        """What is to be said of the run of the program `name`; empty where nothing is."""
        processes = counted(self.left, "process", "processes")
        return f"{name} left {processes} running behind its end, now ended" if self.left else ""


class Maker(Protocol):
    """What makes the image and the traces of one case. Both raise BadInput and what a run of a program raises."""

    def trace(self, pixel: Pixel) -> "Trace": ...

    def image(self) -> MadeImage: ...


def maker(program: Implementation, case: Case, computing: Computing) -> Maker:
    """What makes the image and the traces of `case` as `program` does."""
    if program is PORT:
        return _InProcess(case, computing)
    return _Recorded(case, computing) if program is RECORDED else _Started(program, case)


def unable(program: Implementation, case: Case) -> str:
    """Why `program` cannot be given `case`, in a sentence; empty where it can."""
    if case.last and program.command and program.command[-1] != "{flags}":
        return f"{program.name}: the flags of this case must end the command line, {{flags}} is not the last word of it"
    return program.lacking(case.flags)


@contextmanager
def _refused() -> "Iterator[None]":
    from nanobragg_torch.errors import NanoBraggError

    try:
        yield
    except NanoBraggError as error:
        raise of_port(error) from error


@dataclass
class _InProcess:
    """Our port, in this process."""

    case: Case
    computing: Computing

    @cached_property
    def config(self) -> "Config":
        return self.case.config(*self.computing.options)

    def trace(self, pixel: Pixel) -> "Trace":
        from tools.scaling.traces.read import parse_trace

        return parse_trace(self.trace_text(pixel).encode(), source=f"the port's trace of {pixel[0]} {pixel[1]}")

    def trace_text(self, pixel: Pixel) -> str:
        """The lines of the trace, as the port prints them."""
        import torch

        from nanobragg_torch.products.trace import render, trace_pixel

        how = self.computing
        with torch.no_grad(), _refused():
            lines = trace_pixel(self.config, *pixel, device=torch.device(how.device), dtype=getattr(torch, how.dtype))
        return render(lines, prefix="TRACE_PY")

    def image(self) -> MadeImage:
        import torch

        from nanobragg_torch.scan.simulate import simulate

        how = self.computing
        with torch.no_grad(), _refused():
            place, dtype = torch.device(how.device), getattr(torch, how.dtype)
            full = simulate(self.config, device=place, dtype=dtype, kernel=how.kernel).float()
        return _cropped(full, self.config)


@dataclass
class _Recorded:
    """What a golden run has left in the case's folder."""

    case: Case
    computing: Computing

    def trace(self, pixel: Pixel) -> "Trace":
        from tools.scaling.traces.read import read_trace

        path = self.case.reference(pixel)
        if path is None:
            raise BadInput(f"trace_{pixel[0]}_{pixel[1]}.log: expected the reference's trace, got none")
        return read_trace(path, source=relative(path))

    def image(self) -> MadeImage:
        path = self.case.c_image or self.case.folder / "float.bin"
        roi = self.case.config().detector.rendered
        size = max(roi.slow_max - roi.slow_min + 1, 0), max(roi.fast_max - roi.fast_min + 1, 0)
        return MadeImage(read_float32(path, *size).to(self.computing.device))


@dataclass
class _Started:
    """A program that is started: once, or once a traced pixel; every run makes the image, too.

    What a run of it raised is raised again by whatever is asked next: a program that hangs is waited for once.
    """

    program: Implementation
    case: Case
    _image: MadeImage | None = field(default=None, init=False)
    _traces: "dict[Pixel, Trace]" = field(default_factory=dict, init=False)
    _failed: ScalingError | None = field(default=None, init=False)

    def trace(self, pixel: Pixel) -> "Trace":
        if pixel not in self._traces:
            self._run(pixel)
        return self._traces[pixel]

    def image(self) -> MadeImage:
        if self._image is None:
            self._run(None)
        assert self._image is not None
        return self._image

    def _ran(self, pixel: Pixel | None) -> AbstractContextManager[Ran]:
        dumps = [self.case.dump] if self.case.dump else []
        return ran(self.program, self.case.flags, self.case.folders, pixel, beside=dumps)

    @property
    def _in_float32(self) -> bool:
        """Whether float32 holds what the program writes, to the bit."""
        form = self.program.image
        return form is not None and form.dtype == "float32" and form.scale == 1.0

    def _run(self, pixel: Pixel | None) -> None:
        if self._failed is not None:
            raise self._failed
        with ExitStack() as stack:
            try:
                if missing := unable(self.program, self.case):
                    raise Unavailable(missing)
                run = stack.enter_context(self._ran(pixel))
                if self._image is None:
                    config = self.case.config()
                    size = config.detector.pixels_slow, config.detector.pixels_fast
                    full = read_image(self.program, run, size)
                    image = _cropped(full.float() if self._in_float32 else full, config)
                    self._image = replace(image, left=run.outcome.left)
            except ScalingError as error:
                self._failed = error
                raise
            if pixel is not None:
                self._traces[pixel] = read_trace(self.program, run, pixel)


def _cropped(full: "Tensor", config: "Config") -> MadeImage:
    import torch

    roi = config.detector.rendered
    rows, columns = slice(roi.slow_min, roi.slow_max + 1), slice(roi.fast_min, roi.fast_max + 1)
    window = full[rows, columns].clone()
    full[rows, columns] = 0.0
    return MadeImage(window, int(torch.count_nonzero(full)))
