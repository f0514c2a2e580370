"""The image comparison's speed and memory: beside one read pass over both files, and beside numpy.

The images are the canonical command's, float32; two candidates: one that rounding has touched, as a port's is, and
one that is wrong in every pixel. Files lie in the page cache. Each subject opens them itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROUNDED, WRONG = 1e-9, 1e-4  # relative errors before the pixels become float32
SPARSE = 20_000  # pixels a side of the sparse files: 400 million
LIMITS = {"comparison_ms": 60.0, "read_passes": 8.0, "comparison_mib": 64.0}
SUBJECTS = ("read", "numpy", "comparison", "pictures")
NAMES = {
    "read": "numpy.sum of both files, memory-mapped",
    "numpy": "numpy.fromfile of both, numpy.allclose and numpy.corrcoef",
    "comparison": "`images`, all statistics",
    "pictures": "`images --out`, with matplotlib and the three pictures",
}
Shape = tuple[int, int]


def make(folder: Path) -> Shape:
    """c.bin, rounded.bin and wrong.bin of the canonical command, and sparse files; returns the shape of the former."""
    import torch

    from nanobragg_torch.scan.simulate import simulate
    from tools.scaling.studies.bench.canonical import canonical

    image = simulate(canonical(), device="cpu", dtype=torch.float64)
    image.float().numpy().tofile(folder / "c.bin")
    noise = torch.randn(image.shape, dtype=image.dtype, generator=torch.Generator().manual_seed(1))
    for name, error in (("rounded", ROUNDED), ("wrong", WRONG)):
        (image * (1.0 + error * noise)).float().numpy().tofile(folder / f"{name}.bin")
    for name, value in (("sparse_c", 7.0), ("sparse", 8.0)):
        with (folder / f"{name}.bin").open("wb") as stream:
            stream.truncate(4 * SPARSE**2)
            stream.seek(4 * (SPARSE**2 // 2 + SPARSE // 2))
            stream.write(torch.tensor(value).numpy().tobytes())
    slow, fast = image.shape
    return slow, fast


def subject(name: str, c: Path, py: Path, shape: Shape) -> Callable[[], object]:
    """What is measured of two raw float32 files; what it needs is imported before it is called."""
    import numpy

    from tools.scaling.images import kinds  # noqa: F401 - and with it torch and the engine
    from tools.scaling.images.compare import compare_image_files

    def in_numpy() -> object:
        x, y = (numpy.fromfile(path, "<f4") for path in (c, py))
        return numpy.allclose(y, x), numpy.corrcoef(x, y)

    return {
        "read": lambda: [numpy.memmap(path, "<f4", "r").sum() for path in (c, py)],
        "numpy": in_numpy,
        "comparison": lambda: compare_image_files(c, py, shape=shape),
        "pictures": lambda: compare_image_files(c, py, shape=shape, out=c.parent / "out"),
    }[name]


def turns(folder: Path, shape: Shape, repeats: int) -> list[dict]:
    """Milliseconds of the three subjects in turn, for both candidates, after one turn that is not counted."""
    rounds = []
    for candidate in ("rounded", "wrong"):
        works = {name: subject(name, folder / "c.bin", folder / f"{candidate}.bin", shape) for name in SUBJECTS[:3]}
        for turn in range(repeats + 1):
            times = {}
            for name, work in works.items():
                began = time.perf_counter()
                work()
                times[name] = 1e3 * (time.perf_counter() - began)
            if turn:
                rounds.append({"candidate": candidate} | times)
    return rounds


def memory(name: str, folder: Path, candidate: str, shape: Shape) -> dict:
    """Peak resident memory of this process (MiB) that `name` takes beyond Python, torch, numpy and the program."""
    work = subject(
        name, folder / ("sparse_c.bin" if candidate == "sparse" else "c.bin"), folder / f"{candidate}.bin", shape
    )
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high water mark begins anew (proc(5))
    work()
    return {"subject": name, "pixels": shape[0] * shape[1], "mib": _status("VmHWM") - before}


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def section(turns: list[dict], memory: list[dict], limits: dict) -> list[str]:
    """Lines of docs/results/performance.md."""
    lines = [
        "## Comparison of images",
        "",
        "`images` on two files of the canonical command's size, 2463 x 2527 float32, with as many threads as there are",
        "cores, in a process that has compared before. Reading the files (out of the page cache) is counted, imports",
        "are not. Measured in turns; medians, the ratios' of those within a turn.",
        f"Rounded: relative errors of {ROUNDED:.0e} before the pixels became float32. Wrong: of {WRONG:.0e}.",
        "",
        "| candidate | `images` ms | read pass ms | numpy ms | times a read pass | times numpy |",
        "|---|---|---|---|---|---|",
    ]
    for candidate in ("rounded", "wrong"):
        lines.append(_turn_row(candidate, [turn for turn in turns if turn["candidate"] == candidate]))
    slowest = max(median(t["comparison"] for t in turns if t["candidate"] == c) for c in ("rounded", "wrong"))
    read = median(turn["read"] for turn in turns)
    lines += [
        "",
        *(f"- {name}: {NAMES[key]}" for name, key in (("read pass", "read"), ("numpy", "numpy"))),
        "",
        f"Wanted: all statistics within {limits['comparison_ms']:.0f} ms or {limits['read_passes']:.0f} read passes, "
        f"whichever is more: {max(limits['comparison_ms'], limits['read_passes'] * read):.0f} ms; measured "
        f"{slowest:.0f} ms.",
        "",
        "Peak resident memory beyond Python, torch, numpy and the program, pages of mapped files included; the 400",
        f"million pixels are those of sparse files. Wanted: under {limits['comparison_mib']:.0f} MiB for `images`.",
        "",
        "| what | million pixels | MiB |",
        "|---|---|---|",
    ]
    return lines + [f"| {NAMES[x['subject']]} | {x['pixels'] / 1e6:.1f} | {x['mib']:.0f} |" for x in memory]


def _turn_row(candidate: str, group: list[dict]) -> str:
    times = [f"{median(turn[name] for turn in group):.1f}" for name in ("comparison", "read", "numpy")]
    ratios = [f"{median(t['comparison'] / t[name] for t in group):.2f}" for name in ("read", "numpy")]
    return "| " + " | ".join([candidate, *times, *ratios]) + " |"
