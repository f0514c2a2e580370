"""The parity matrix: the port beside the reference, for many cases. Prints nothing.

One case runs after the other in this process, so that torch is imported once and memory is that of one case.
"""

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.errors import BadInput, ScalingError
from tools.scaling.base.reading import read_file
from tools.scaling.base.repo import ROOT
from tools.scaling.base.scratch import scratch
from tools.scaling.cases.case import Case, find_case
from tools.scaling.engine.tolerances import SAME_ORDER_ROUNDINGS
from tools.scaling.implementations.describe import PORT, RECORDED, Implementation, refuse_same_name
from tools.scaling.implementations.difference import diagnose_difference
from tools.scaling.implementations.make import BY_DEFAULT, Computing, Maker, maker, unable
from tools.scaling.implementations.run import gather_inputs, require
from tools.scaling.matrix.judge import (
    CaseResult,
    FileResult,
    ImageResult,
    Matrix,
    MatrixOutcome,
    TraceResult,
    judge_foreign_image,
    judge_image,
    judge_trace,
)
from tools.scaling.matrix.reference import IMAGE_FLAGS, record_reference

if TYPE_CHECKING:
    from nanobragg_torch.config import Config

GOLDEN = ROOT / "tests" / "golden"
_LARGEST = 1 << 31  # bytes of an image
_MACHINE = ("platform", "machine", "cpu_count", "python", "torch", "torch_cpu_capability", "numpy", "cuda", "gpus")


def matrix_cases(names: Sequence[str] = ()) -> list[Case]:
    """The cases of these names or paths, by default every golden case.

    A folder of cases stands for all of them. Raises BadInput for a name that is none.
    """
    cases: list[Case] = []
    for name in names or [str(GOLDEN)]:
        inside = sorted(path.parent for path in Path(name).glob("*/case.json"))
        if inside and not (Path(name) / "case.json").is_file():
            cases += [find_case(str(folder.absolute())) for folder in inside]
        else:
            cases.append(find_case(name))
    return cases


def run_matrix(
    cases: Sequence[Case],
    *,
    device: str = "cpu",
    dtype: str = "float64",
    mode: str | None = None,
    binary: Path | None = None,
    candidates: Sequence[Implementation] = (PORT,),
    reference: Implementation = RECORDED,
    command: str = "",
    done: Callable[[CaseResult], None] = lambda _: None,
) -> tuple[Matrix, ...]:
    """Compare the candidates with the reference on every case; returns a matrix a candidate.

    binary: the user's own nanoBragg, which is then run for every case instead of reading what is recorded.
    device, dtype, mode: of our port. command: what a person would type to have this run again. done: called after each
    case of each candidate. A case that cannot be compared fails, the others go on. Raises Unavailable without the
    device or one of the programs, BadInput without a case, or where two implementations have one name.
    """
    from tools.scaling.bundle.environment import environment_record
    from tools.scaling.engine.diff import open_device

    if not cases:
        raise BadInput("matrix: expected at least one case, got none")
    refuse_same_name(reference, *candidates)
    require(reference, *candidates)
    open_device(device)
    computing = Computing(device, dtype, ("--mode", mode) if mode else (), kernel=True)
    rows: list[list[CaseResult]] = [[] for _ in candidates]
    for case in cases:
        for row, result in zip(rows, run_case(case, candidates, reference, computing, binary)):
            row.append(result)
            done(result)
    environment = environment_record()
    return tuple(
        Matrix(
            command=command,
            device=device,
            dtype=dtype,
            seconds=sum(case.seconds for case in results),
            machine={name: environment[name] for name in _MACHINE},
            cases=tuple(results),
            candidate=candidate.name,
            reference=binary.name if binary else reference.name,
        )
        for candidate, results in zip(candidates, rows)
    )


def run_case(
    case: Case,
    candidates: Sequence[Implementation] = (PORT,),
    reference: Implementation = RECORDED,
    computing: Computing = BY_DEFAULT,
    binary: Path | None = None,
) -> list[CaseResult]:
    """Everything of one case, for each candidate: each traced pixel, the float image, the other images that it has."""
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        try:
            if binary is not None:
                place = stack.enter_context(scratch("live"))
                recorded = record_reference(case, place / "case", binary, traced=False)
                case = replace(find_case(str(recorded)), name=case.name)
            _parsed(case)
        except ScalingError as error:
            took = time.perf_counter() - began
            return [CaseResult(case.name, computing.dtype, (), None, (), took, (str(error),)) for _ in candidates]
        known = maker(reference, case, computing)
        results = []
        for candidate in candidates:
            lacking = [unable(program, case) for program in (reference, candidate)]
            if any(lacking):
                skipped = "; ".join(filter(None, lacking))
                results.append(CaseResult(case.name, computing.dtype, (), None, (), 0.0, skipped=skipped))
                continue
            pair = _Pair(case, computing, reference, known, candidate, maker(candidate, case, computing))
            results.append(pair.compared(began))
            began = time.perf_counter()
        return results


@dataclass(frozen=True)
class _Pair:
    """A candidate beside the reference, on one case."""

    case: Case
    computing: Computing
    reference: Implementation
    known: Maker
    candidate: Implementation
    made: Maker

    @property
    def foreign(self) -> bool:
        """Whether one side is neither our port nor a reference whose trace is that of the golden program."""
        trace = self.reference.trace
        if self.case.variant:  # these print fewer lines
            return True
        instrumented = trace is None or (trace.prefix == "TRACE_C" and not trace.labels and not trace.reader)
        return self.candidate is not PORT or not instrumented

    @property
    def dtype(self) -> str:
        """The type that the claim depends on: that of our port, if it is one of the two."""
        return self.computing.dtype if PORT in (self.reference, self.candidate) else "float64"

    def compared(self, began: float) -> CaseResult:
        traces: list[TraceResult] = []
        files: list[FileResult] = []
        errors: list[str] = []
        image: ImageResult | None = None
        both = self.reference.trace is not None and self.candidate.trace is not None
        for pixel in self.case.pixels if both else ():
            with _told(errors, self.candidate):
                traces.append(self._trace(pixel))
        with _told(errors, self.candidate):
            image = replace(self._image(), notes=self._notes())
        if image is not None and image.problems and not traces:
            with _told(errors, self.candidate):
                image = replace(image, diagnosis=self._diagnosis())
        if self.reference is RECORDED and self.candidate is PORT:
            with _told(errors, self.candidate):
                files += _files(self.case, self.computing)
        seconds, told = time.perf_counter() - began, tuple(dict.fromkeys(errors))
        return CaseResult(self.case.name, self.dtype, tuple(traces), image, tuple(files), seconds, told)

    def _trace(self, pixel: tuple[int, int]) -> TraceResult:
        from tools.scaling.traces.compare import compare

        c, py = self.known.trace(pixel), self.made.trace(pixel)
        precision = self.dtype
        if self.foreign:
            report = compare(c, py, precision=precision)
        else:  # the claim is the reference's own operations
            report = compare(c, py, precision=precision, roundings=SAME_ORDER_ROUNDINGS)
        tricubic = self.case.config().structure.interpolate is not False
        claim = precision == "float64"
        return judge_trace(pixel, c, py, report, tricubic=tricubic, claim=claim, foreign=self.foreign)

    def _notes(self) -> tuple[str, ...]:
        made = (self.known.image().note(self.reference.name), self.made.image().note(self.candidate.name))
        return tuple(filter(None, made))

    def _diagnosis(self) -> str:
        """What the images alone say that one of them comes from."""
        images = self.known.image(), self.made.image()
        programs = self.reference, self.candidate
        diagnosis = diagnose_difference(self.case, programs, images, self.computing.options)
        return diagnosis.sentence if diagnosis else ""

    def _image(self) -> ImageResult:
        from tools.scaling.engine.bitwise import compare_bits
        from tools.scaling.images.measure import measure
        from tools.scaling.images.versus import as_one_type
        from tools.scaling.matrix.edges import edge_finder

        expected, got = self.known.image(), self.made.image()
        config = self.case.config()
        roi = config.detector.rendered
        bits = compare_bits(expected.pixels.float(), got.pixels.float(), origin=(roi.slow_min, roi.fast_min))
        if self.candidate is not PORT:
            problems = measure(*as_one_type(expected, got)).problems if bits.unequal else ()
            return judge_foreign_image(bits, problems, outside=got.outside)
        claim = self.computing.dtype == "float64"
        return judge_image(bits, edge_finder(config), outside=got.outside, claim=claim)


@contextlib.contextmanager
def _told(errors: list[str], candidate: Implementation) -> Iterator[None]:
    """What goes wrong within becomes one line of the case; the other comparisons of the matrix go on."""
    from nanobragg_torch.errors import NanoBraggError

    try:
        yield
    except (ScalingError, NanoBraggError) as error:
        errors.append(str(error))
    except Exception as error:  # a defect of the port fails its case, not the run
        name = "the port" if candidate is PORT else candidate.name
        errors.append(f"{name} broke off: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _parsed(case: Case) -> "Config":
    try:
        return case.config()
    except BadInput as error:
        raise BadInput(f"the port refuses the flags: {error}") from error


def _files(case: Case, computing: Computing) -> list[FileResult]:
    """The images that the port's own command line writes, beside those of the reference."""
    if not case.images:
        return []
    with scratch("images") as folder:
        flags = gather_inputs(case.flags, case.folders, folder)
        for name in case.images:
            flags += [IMAGE_FLAGS[name], name] if name in IMAGE_FLAGS else []
        flags += ["-floatfile", "float.bin", "--device", computing.device, "--dtype", computing.dtype]
        refused = _port_writes([*flags, *case.mode, *computing.options], str(folder))
        return [_file(case, name, folder, refused, computing.dtype) for name in case.images]


def _port_writes(flags: Sequence[str], folder: str) -> str:
    """Run the port's command line in `folder`. Returns its error's last line; empty when all went well."""
    from nanobragg_torch.cli.main import main

    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(flags)
    lines = said.getvalue().strip().splitlines() or ["no message"]
    return lines[-1].removeprefix("nanobragg_torch: ") if code else ""


def _file(case: Case, name: str, folder: Path, refused: str, dtype: str) -> FileResult:
    if refused:
        return FileResult(name, MatrixOutcome.FAIL, refused)
    if name not in IMAGE_FLAGS:
        return FileResult(name, MatrixOutcome.FAIL, f"expected one of {', '.join(IMAGE_FLAGS)} in case.json")
    sides = []
    for side, path in (("reference", case.folder / name), ("port", folder / name)):
        try:
            sides.append(read_file(path, _LARGEST))
        except BadInput:
            return FileResult(name, MatrixOutcome.FAIL, f"expected the {side}'s file, got none")
    reference, candidate = sides
    if reference == candidate:
        return FileResult(name, MatrixOutcome.PASS, f"{len(candidate)} bytes equal")
    outcome = MatrixOutcome.FAIL if dtype == "float64" else MatrixOutcome.MEASURED
    return FileResult(name, outcome, _first_difference(reference, candidate))


def _first_difference(reference: bytes, candidate: bytes) -> str:
    """Where two files differ, in words."""
    if len(reference) != len(candidate):
        return f"expected {len(reference)} bytes, got {len(candidate)}"
    differ = [at for at, (a, b) in enumerate(zip(reference, candidate)) if a != b]
    return f"{len(differ)} of {len(candidate)} bytes differ, the first at {differ[0]}"
