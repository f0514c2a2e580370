"""The tools that people use today, as their documentation says, with their default tolerances.

Each gets what a plain reader makes of the files: a trace as arrays by name, an image as one array. A tool that is not
installed is left out, with its reason.
"""

import contextlib
import importlib
import importlib.metadata
import io
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy
from numpy.typing import NDArray

from tools.scaling.studies.traps.record import Trap, TrapVerdict

Array = NDArray[numpy.generic]
Fields = dict[str, Array | str]
Judge = Callable[[Fields, Fields, Path], bool]  # reference, candidate, a folder to write to


@dataclass(frozen=True, slots=True)
class Tool:
    """A comparison tool. judge: what calls it, None where it is not installed; `version` then says what is missing."""

    name: str
    version: str
    judge: Judge | None


def find_tools() -> list[Tool]:
    """Return all tools that are known here, installed or not."""
    return [
        _module("numpy.allclose", ("numpy",), _allclose),
        _module("torch.testing", ("torch",), _assert_close),
        _module("Polygraphy", ("polygraphy",), _polygraphy),
        _module("fieldcompare", ("fieldcompare",), _fieldcompare),
        _h5diff_tool(),
    ]


def verdict_of(tool: Tool, trap: Trap, folder: Path) -> TrapVerdict:
    """Return the tool's verdict; whatever it raises but AssertionError is an ERROR. It may write to `folder`."""
    assert tool.judge is not None
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            sides = [read(trap, data) for data in (trap.reference, trap.candidate)]
            return TrapVerdict.PASS if tool.judge(sides[0], sides[1], folder) else TrapVerdict.FAIL
        except AssertionError:
            return TrapVerdict.FAIL
        except (Exception, SystemExit):
            return TrapVerdict.ERROR


def read(trap: Trap, data: bytes) -> Fields:
    """Return one file of the trap as a plain reader sees it: arrays, or texts, by name."""
    return _trace(data) if trap.is_trace else {"image": _image(trap, data)}


_LINE = re.compile(r"(TRACE_\w+):? ?(\w+)[ \t=](.*)")


def _trace(data: bytes) -> Fields:
    """Return name -> float64 array, or the text where it is no number; a second line of a name is name.2."""
    fields: Fields = {}
    for line in data.decode("latin-1").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        pairs = [(match[2], match[3])]
        if match[1].endswith("_PHI"):
            row = dict(field.split("=") for field in line.split()[1:])
            pairs = [(f"phi_{row.get('phi_tic')}_{name}", value) for name, value in row.items()]
        for name, text in pairs:
            count = 1 + sum(key.partition(".")[0] == name for key in fields)
            try:
                value: Array | str = numpy.array([float(token) for token in text.split()])
            except ValueError:
                value = text
            fields[name if count == 1 else f"{name}.{count}"] = value
    return fields


def _image(trap: Trap, data: bytes) -> Array:
    if trap.suffix == ".npy":
        loaded: Array = numpy.load(io.BytesIO(data))
        return loaded
    shape = trap.shape
    dtype: numpy.dtype[numpy.generic] = numpy.dtype("<f4")
    if trap.suffix == ".img":
        head = {key: value for key, _, value in (line.partition("=") for line in data[:512].decode().splitlines())}
        shape = (int(head["SIZE2"].rstrip(";")), int(head["SIZE1"].rstrip(";")))
        dtype, data = numpy.dtype(">u2" if "big" in head["BYTE_ORDER"] else "<u2"), data[512:]
    flat = numpy.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype).astype(dtype.newbyteorder("="))
    return flat.reshape(shape) if shape and flat.size == shape[0] * shape[1] else flat


def _numbers(fields: Fields) -> dict[str, Array]:
    return {name: value for name, value in fields.items() if not isinstance(value, str)}


def _allclose(reference: Fields, candidate: Fields, _: Path) -> bool:
    """Compare all numbers of a trace as one array, in the order of the file."""
    sides = [list(_numbers(side).values()) for side in (candidate, reference)]
    a, b = (values[0] if len(values) == 1 else numpy.concatenate([*values, numpy.zeros(0)]) for values in sides)
    return bool(numpy.allclose(a, b))


def _assert_close(reference: Fields, candidate: Fields, _: Path) -> bool:
    import torch

    expected, actual = (
        {name: torch.from_numpy(numpy.array(value)) for name, value in _numbers(side).items()}
        for side in (reference, candidate)
    )
    torch.testing.assert_close(actual, expected)
    return True


def _polygraphy(reference: Fields, candidate: Fields, _: Path) -> bool:
    comparator, struct, logger = (
        importlib.import_module(f"polygraphy.{name}") for name in ("comparator", "comparator.struct", "logger")
    )
    with logger.G_LOGGER.verbosity(logger.G_LOGGER.CRITICAL):
        results = comparator.RunResults()
        for name, side in (("candidate", candidate), ("reference", reference)):
            results.append((name, [struct.IterationResult(_numbers(side), runner_name=name)]))
        return bool(comparator.Comparator.compare_accuracy(results))


def _fieldcompare(reference: Fields, candidate: Fields, folder: Path) -> bool:
    """Call its command line: on a trace as CSV with a column for each number, on an image as VTK image data."""
    write, suffix = (_write_vti, "vti") if "image" in reference else (_write_csv, "csv")
    paths = [folder / f"{side}.{suffix}" for side in ("candidate", "reference")]
    for path, fields in zip(paths, (candidate, reference)):
        write(path, fields)
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="fieldcompare")
    return entry.load()(["file", *map(str, paths)]) == 0


def _write_csv(path: Path, fields: Fields) -> None:
    columns: dict[str, object] = {}
    for name, value in fields.items():
        items = [value] if isinstance(value, str) else value.tolist()
        columns |= {f"{name}_{at}": item for at, item in enumerate(items)}
    path.write_text(
        ",".join(columns) + "\n" + ",".join(str(item).replace(",", ";") for item in columns.values()) + "\n"
    )


def _write_vti(path: Path, fields: Fields) -> None:
    image = numpy.atleast_2d(numpy.asarray(fields["image"]))
    kind = {"f4": "Float32", "f8": "Float64", "u2": "UInt16"}[image.dtype.str[1:]]
    extent = f"0 {image.shape[1]} 0 {image.shape[0]} 0 0"
    text = " ".join(map(repr, image.ravel().tolist()))
    path.write_text(
        f'<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian"><ImageData WholeExtent="{extent}" '
        f'Origin="0 0 0" Spacing="1 1 1"><Piece Extent="{extent}"><CellData><DataArray type="{kind}" Name="image" '
        f'format="ascii">{text}</DataArray></CellData></Piece></ImageData></VTKFile>'
    )


def _h5diff(reference: Fields, candidate: Fields, folder: Path) -> bool:
    h5py = importlib.import_module("h5py")
    paths = [folder / f"{side}.h5" for side in ("reference", "candidate")]
    for path, fields in zip(paths, (reference, candidate)):
        with h5py.File(path, "w") as file:
            for name, value in fields.items():
                file[name] = value
    done = subprocess.run(["h5diff", *map(str, paths)], capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise ChildProcessError(done.returncode)
    return done.returncode == 0


def _h5diff_tool() -> Tool:
    program = shutil.which("h5diff")
    if program is None:
        return Tool("h5diff", "h5diff is not installed (Debian: hdf5-tools)", None)
    said = subprocess.run([program, "--version"], capture_output=True, check=False, text=True).stdout.split()
    return _module("h5diff", ("h5py",), _h5diff, said[-1] if said else "")


def _module(name: str, modules: tuple[str, ...], judge: Judge, version: str = "") -> Tool:
    try:
        versions = [importlib.metadata.version(module) for module in modules]
    except importlib.metadata.PackageNotFoundError as error:
        return Tool(name, f"{error.name} is not installed", None)
    return Tool(name, version or versions[0], judge)
