"""Bad files and words that the automation is given: traces, images, cases, bundles, options."""

import io
import os
import shutil
from pathlib import Path
from random import Random

import numpy as np

from tools.scaling.base.repo import ROOT
from tools.scaling.studies.inputs.attempt import Attempt, Kind, tools

TRACE = ROOT / "tests" / "golden" / "cubic_mosflm" / "trace_32_32.log"
ON_TRACES = ("compare", "explain", "inspect")


def _on_trace(rng: Random, name: str) -> Attempt:
    match rng.choice(ON_TRACES):
        case "inspect":
            return tools("inspect", name, refused=False)
        case "compare":
            return tools("compare", "--c", str(TRACE), "--py", name, "--out", "summary.md", refused=False)
        case _:
            return tools("explain", "--c", str(TRACE), "--py", name, refused=False)


def damaged_trace(rng: Random, folder: Path) -> Attempt:
    lines = TRACE.read_bytes().splitlines(keepends=True)
    place = rng.randrange(len(lines))
    match rng.randrange(7):
        case 0:
            lines[place] = lines[place][: len(lines[place]) // 2]
        case 1:
            lines[place] = rng.randbytes(200)
        case 2:
            del lines[place:]
        case 3:
            lines[place] = b"TRACE_C_" * 12500 + b"\n"
        case 4:
            lines[place] = b"TRACE_C: omega_pixel " + b"9" * 100000 + b"\n"
        case 5:
            lines[place] = b"TRACE_C: \x1b[31mname 1 2 3\n"
        case _:
            lines[place] = b"TRACE_C: steps nan inf 1e999 1_0\n"
    (folder / "trace.log").write_bytes(b"".join(lines))
    return _on_trace(rng, "trace.log")


def no_trace(rng: Random, folder: Path) -> Attempt:
    path = folder / "trace.log"
    match rng.choice(("absent", "folder", "fifo", "empty", "bytes", "zeros")):
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "empty":
            path.write_bytes(b"")
        case "bytes":
            path.write_bytes(rng.randbytes(100000))
        case "zeros":
            with path.open("wb") as file:
                file.truncate(10**8)
    return _on_trace(rng, "trace.log")


def image_file(rng: Random, folder: Path) -> Attempt:
    good = np.zeros((8, 8), dtype=np.float32)
    np.save(folder / "good.npy", good)
    stream = io.BytesIO()
    np.save(stream, good)
    bad = stream.getvalue()
    old, new = rng.choice(
        (
            (b"(8, 8)", b"(True,"), (b"(8, 8)", b"(-8, 8"), (b"(8, 8)", b"(9**9)"), (b"<f4", b"|O8"),
            (b"\x93NUMPY\x01", b"\x93NUMPY\x09"), (b"fortran_order", b"\x1b[31m_order1"), (b"(8, 8)", b"(8, 9)"),
        )
    )  # fmt: skip
    name = rng.choice(("bad.npy", "bad.bin", "bad.img"))
    path = folder / name
    match rng.choice(("npy", "fifo", "folder", "short", "empty")):
        case "npy":
            path.write_bytes(bad.replace(old, new))
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "short":
            path.write_bytes(b"\x00" * 7)
        case _:
            path.write_bytes(b"")
    shape = rng.choice(
        ((), ("--shape", "8", "8"), ("--shape", "0", "8"), ("--shape", "-1", "8"), ("--shape", "9999999", "9999999"))
    )
    return tools("images", "--c", "good.npy", "--py", name, *shape, refused=False)


def case_file(rng: Random, folder: Path) -> Attempt:
    text = rng.choice(
        (
            "", "{", "[]", "null", "[" * 10000, '{"a":' * 10000, '{"flags": 5}', '{"flags": "-cell"}',
            '{"flags": "-nonsense 1", "traced_pixels_slow_fast": [[1, 1]]}', '{"flags": "", "window": [1]}',
            '{"flags": "\'", "traced_pixels_slow_fast": [[1, 1]]}',
            '{"flags": "-detpixels 8", "traced_pixels_slow_fast": [["a", 1]]}',
            '{"flags": "-detpixels 8", "traced_pixels_slow_fast": [[1e999, 1]]}', "\ufeff{}", "\x00",
        )
    )  # fmt: skip
    (folder / "mine").mkdir()
    (folder / "mine" / "case.json").write_text(text, encoding="utf-8")
    command = rng.choice((("harness", "--out", "t.log"), ("simulate", "--out", "images"), ("plan",), ("quirks",)))
    name = ("./mine",) if command[0] == "quirks" else ("--case", "./mine")
    return tools(command[0], *name, *command[1:])


def option(rng: Random, folder: Path) -> Attempt:
    words = rng.choice(
        (
            ("harness", "--case", "", "--out", "t.log"), ("harness", "--case", "no_such", "--out", "t.log"),
            ("harness", "--out", ""), ("harness", "--pixel", "-1", "5", "--out", "t.log"),
            ("harness", "--pixel", "99999999", "5", "--out", "t.log"), ("harness", "--device", "mps", "--out", "t.log"),
            ("harness", "--device", "nonsense", "--out", "t.log"),
            ("harness", "--vectors", "sideways", "--out", "t.log"),
            ("compare", "--c", "a", "--py", "b", "--out", "c", "--tolerance", "nan"), ("matrix", "no_such_case"),
            ("matrix", ""), ("verify", "no/such/bundle"), ("verify", ""), ("replay", "no/such/bundle"),
            ("simulate", "--case", "supervisor", "--extent", "half"), ("quirks", "no_such_case"),
            ("step", "no_such_step"),
            ("explain", "--c", "", "--py", ""), ("no_such_command",), ("index", "--reports-root", "/dev/null"),
        )
    )  # fmt: skip
    return tools(*words)


def bundle(rng: Random, folder: Path) -> Attempt:
    path = folder / "bundle"
    path.mkdir()
    match rng.choice(("stray", "seal", "deep", "fifo", "bytes", "sparse")):
        case "seal":
            (path / "sha256.txt").write_text(rng.choice(("", "x\n", "0" * 64 + "  ../../etc/passwd\n", "\x1b[31m\n")))
        case "deep":
            deep = path
            for _ in range(200):
                deep = deep / "d"
            deep.mkdir(parents=True)
        case "fifo":
            os.mkfifo(path / "sha256.txt")
        case "bytes":
            (path / "sha256.txt").write_bytes(rng.randbytes(1000))
        case "sparse":
            with (path / rng.choice(("sha256.txt", "seal.json", "provenance.json"))).open("wb") as file:
                file.truncate(2**40)
        case _:
            shutil.copy(TRACE, path)
    command = rng.choice(("verify", "replay", "page"))
    return tools(command, "bundle", refused=command != "page")  # a run that halts early has a page, too


KINDS: dict[str, Kind] = {
    "a damaged trace": damaged_trace,
    "no trace": no_trace,
    "an image": image_file,
    "a case": case_file,
    "an option of the automation": option,
    "a bundle": bundle,
}
