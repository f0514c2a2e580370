"""The parity matrix: the port beside the reference, for many cases. Prints nothing.

One case runs after the other in this process, so that torch is imported once and memory is that of one case.
"""

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.base.files import make_folder, refuse_foreign, write_json, write_text
from tools.scaling.base.reading import read_file
from tools.scaling.base.repo import ROOT, relative
from tools.scaling.base.scratch import scratch
from tools.scaling.cases.case import Case, find_case
from tools.scaling.engine.tolerances import SAME_ORDER_ROUNDINGS
from tools.scaling.implementations.run import gather_inputs
from tools.scaling.matrix.judge import (
    CaseResult,
    FileResult,
    ImageResult,
    Matrix,
    MatrixOutcome,
    TraceResult,
    judge_image,
    judge_trace,
)
from tools.scaling.matrix.reference import IMAGE_FLAGS, record_reference

if TYPE_CHECKING:
    from torch import Tensor

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
    binary: Path | None = None,
    command: str = "",
    done: Callable[[CaseResult], None] = lambda _: None,
) -> Matrix:
    """Compare the port with the reference on every case; `done` is called after each.

    binary: the user's own nanoBragg, which is then run for every case instead of reading what is recorded.
    command: what a person would type to have this run again. A case that cannot be compared fails, the others
    go on. Raises Unavailable without the device, BadInput without a case.
    """
    from tools.scaling.bundle.environment import environment_record
    from tools.scaling.engine.diff import open_device

    if not cases:
        raise BadInput("matrix: expected at least one case, got none")
    open_device(device)
    began, results = time.perf_counter(), []
    for case in cases:
        results.append(run_case(case, device=device, dtype=dtype, binary=binary))
        done(results[-1])
    environment = environment_record()
    return Matrix(
        command=command,
        device=device,
        dtype=dtype,
        seconds=time.perf_counter() - began,
        machine={name: environment[name] for name in _MACHINE},
        cases=tuple(results),
    )


def run_case(case: Case, *, device: str = "cpu", dtype: str = "float64", binary: Path | None = None) -> CaseResult:
    """Everything of one case: each traced pixel, the float image, the other images that it has."""
    began = time.perf_counter()
    traces: list[TraceResult] = []
    files: list[FileResult] = []
    errors: list[str] = []
    image: ImageResult | None = None
    with contextlib.ExitStack() as stack:
        try:
            if binary is not None:
                place = stack.enter_context(scratch("live"))
                case = find_case(str(record_reference(case, place / "case", binary)))
            config = _parsed(case)
            for pixel in case.pixels:
                with _told(errors):
                    traces.append(_trace(case, config, pixel, device, dtype))
            with _told(errors):
                image = _image(case, config, device, dtype)
            with _told(errors):
                files += _files(case, device, dtype)
        except (BadInput, Unavailable) as error:
            errors.append(str(error))
    return CaseResult(
        name=case.name,
        dtype=dtype,
        traces=tuple(traces),
        image=image,
        files=tuple(files),
        seconds=time.perf_counter() - began,
        errors=tuple(errors),
    )


@contextlib.contextmanager
def _told(errors: list[str]) -> Iterator[None]:
    """What goes wrong within becomes one line of the case; the other comparisons of the matrix go on."""
    from nanobragg_torch.errors import NanoBraggError

    try:
        yield
    except (BadInput, Unavailable, NanoBraggError) as error:
        errors.append(str(error))
    except Exception as error:  # a defect of the port fails its case, not the run
        errors.append(f"the port broke off: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _parsed(case: Case) -> "Config":
    try:
        return case.config()
    except BadInput as error:
        raise BadInput(f"the port refuses the flags: {error}") from error


def _trace(case: Case, config: "Config", pixel: tuple[int, int], device: str, dtype: str) -> TraceResult:
    import torch

    from nanobragg_torch.products.trace import render, trace_pixel
    from tools.scaling.traces.compare import compare
    from tools.scaling.traces.read import parse_trace, read_trace

    path = case.reference(pixel)
    if path is None:
        raise BadInput(f"trace_{pixel[0]}_{pixel[1]}.log: expected the reference's trace, got none")
    c = read_trace(path, source=relative(path))
    with torch.no_grad():
        lines = trace_pixel(config, *pixel, device=torch.device(device), dtype=getattr(torch, dtype))
    py = parse_trace(render(lines).encode(), source=f"the port's trace of {pixel[0]} {pixel[1]}")
    report = compare(
        c, py, precision=dtype, roundings=SAME_ORDER_ROUNDINGS
    )  # the claim is the reference's own operations
    return judge_trace(
        pixel, c, py, report, tricubic=config.structure.interpolate is not False, claim=dtype == "float64"
    )


def _image(case: Case, config: "Config", device: str, dtype: str) -> ImageResult:
    import torch

    from nanobragg_torch.scan.simulate import simulate
    from tools.scaling.engine.bitwise import compare_bits
    from tools.scaling.matrix.edges import edge_finder

    roi = config.detector.rendered
    rows, columns = slice(roi.slow_min, roi.slow_max + 1), slice(roi.fast_min, roi.fast_max + 1)
    size = max(roi.slow_max - roi.slow_min + 1, 0), max(roi.fast_max - roi.fast_min + 1, 0)
    reference = read_image(case.folder / "float.bin", *size).to(device)
    with torch.no_grad():
        full = simulate(config, device=torch.device(device), dtype=getattr(torch, dtype)).float()
    candidate = full[rows, columns].clone()
    full[rows, columns] = 0.0
    return judge_image(
        compare_bits(reference, candidate, origin=(roi.slow_min, roi.fast_min)),
        edge_finder(config),
        outside=int(torch.count_nonzero(full)),
        claim=dtype == "float64",
    )


def read_image(path: Path, slow: int, fast: int) -> "Tensor":
    """The float image (slow, fast) in `path`: little-endian float32, slow-major. Raises BadInput."""
    import numpy
    import torch

    wanted = 4 * slow * fast
    data = read_file(path, wanted, path.name)
    if len(data) != wanted:
        size = path.stat().st_size
        raise BadInput(f"{path.name}: expected {slow} x {fast} float32, {wanted} bytes, got {size} bytes")
    return torch.from_numpy(numpy.frombuffer(data, "<f4").astype(numpy.float32)).reshape(slow, fast)


def _files(case: Case, device: str, dtype: str) -> list[FileResult]:
    """The images that the port's own command line writes, beside those of the reference."""
    if not case.images:
        return []
    with scratch("images") as folder:
        flags = gather_inputs(case.flags, case.folders, folder)
        for name in case.images:
            flags += [IMAGE_FLAGS[name], name] if name in IMAGE_FLAGS else []
        refused = _port_writes([*flags, "-floatfile", "float.bin", "--device", device, "--dtype", dtype], str(folder))
        return [_file(case, name, folder, refused, dtype) for name in case.images]


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


def write_matrix(matrix: Matrix, folder: Path) -> list[Path]:
    """matrix.md and matrix.json in `folder`, which is made if need be. Returns their paths."""
    from tools.scaling.matrix.text import matrix_markdown

    paths: list[Path] = [folder / "matrix.md", folder / "matrix.json"]
    refuse_foreign(dict(zip(paths, (b"# Parity matrix", b'"cases"'))))
    make_folder(folder)
    write_text(paths[0], matrix_markdown(matrix))
    data: dict[str, Any] = matrix.to_dict()
    write_json(paths[1], data)
    return paths
