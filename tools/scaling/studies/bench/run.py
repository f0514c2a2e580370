"""`study bench`: ratios of speed, measured in one run: docs/results/performance.md and docs/results/performance.json.

Of the simulation here, of each feature in table.py, of the cost as it grows in growth.py, of the comparison of images
in images.py. The simulation's yardstick is the sine floor:
the time that torch.sin needs for as many float64 sines as the simulation's formula has (six per pixel and phi step),
in blocks that stay in a core's cache, on as many threads. Simulation and floor take turns, so that a machine that
other work slows down slows both.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput, GateFailed
from tools.scaling.base.repo import ROOT, digest
from tools.scaling.studies.bench import growth, table
from tools.scaling.studies.bench import images as comparison
from tools.scaling.studies.bench.canonical import canonical
from tools.scaling.studies.bench.works import CANONICAL

SINES = 2**14  # of a block of the floor: 128 kB in, 128 kB out
SINES_PER_STEP = 6
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"  # no longer than it is wanted
LIMITS = {"ratio": 0.4, "speed_up": 1.8, "peak_mib": 700.0, "rendering": 20.0}


@dataclass(frozen=True)
class Turn:
    """One simulation and the floor beside it, seconds of the clock and of the processor."""

    threads: int
    loaded: bool
    simulation_s: float
    floor_s: float
    simulation_cpu_s: float
    floor_cpu_s: float

    @property
    def ratio(self) -> float:
        return self.simulation_s / self.floor_s

    @property
    def cpu_ratio(self) -> float:
        return self.simulation_cpu_s / self.floor_cpu_s


def study(
    repeats: int,
    binary: Path | None = None,
    parts: Sequence[str] = (),
    said: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """The figures of `parts`, by default of all PARTS, each measured in a process of its own.

    binary: the reference program, or None. said: is told what is measured next. Raises BadInput for a part that is
    none, GateFailed where something cannot be measured.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise BadInput(f"--part {unknown[0]}: expected one of {', '.join(PARTS)}")
    measured: dict[str, Any] = {"machine": machine(), "limits": LIMITS | comparison.LIMITS}
    for part, measure in PARTS.items():
        if not parts or part in parts:
            said(part)
            measured |= measure(repeats, binary)
    return measured


def _simulation(repeats: int, _: Path | None) -> dict[str, Any]:
    return {"turns": _child("turns", repeats), **_child("peak")}


def _features(repeats: int, binary: Path | None) -> dict[str, Any]:
    turns = min(repeats, table.TURNS)
    named = f"{binary.name}, sha256 {digest(binary)[:12]}" if binary else None
    rows = table.measure(_child, turns, str(binary.absolute()) if binary else "")
    return {"reference": named, "table_turns": turns, **rows}


def _growth(repeats: int, _: Path | None) -> dict[str, Any]:
    return {"growth": growth.measure(_child, min(repeats, growth.TURNS))}


def child() -> None:
    """What a child process does: the measurement that its argument asks for, as JSON on standard output."""
    request = json.loads(sys.argv[1])
    json.dump(_WORK[request.pop("kind")](**request), sys.stdout)


def _images(kind: str, repeats: int, images: str, candidate: str = "wrong", shape: Sequence[int] = (0, 0)) -> object:
    folder, size = Path(images), (shape[0], shape[1])
    if kind == "make":
        return comparison.make(folder)
    if kind == "beside":
        return comparison.turns(folder, size, repeats)
    return comparison.memory(kind, folder, candidate, size)


def _comparison(repeats: int, _: Path | None) -> dict[str, Any]:
    """Turns and peak memory of the comparison, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        shape = _child("make", images=folder)
        sparse = [comparison.SPARSE] * 2
        compared = _child("beside", 3 * repeats, images=folder, shape=shape)
        subjects = [(name, "wrong", shape) for name in comparison.SUBJECTS]
        subjects += [(name, "sparse", sparse) for name in ("comparison", "pictures")]
        memory = [_child(name, images=folder, candidate=kind, shape=size) for name, kind, size in subjects]
    return {"comparison": compared, "comparison_memory": memory}


PARTS: dict[str, Callable[[int, Path | None], dict[str, Any]]] = {
    "simulation": _simulation,
    "features": _features,
    "growth": _growth,
    "images": _comparison,
}


def _child(kind: str, repeats: int = 1, **more: Any) -> Any:
    request = json.dumps({"kind": kind, "repeats": repeats, **more})
    command = [sys.executable, "-c", "from tools.scaling.studies.bench.run import child; child()", request]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise GateFailed(f"bench: {kind}: {last.rpartition('GateFailed: ')[2]}")
    return json.loads(done.stdout)


def turns(repeats: int) -> list[dict]:
    """Turns with one and two threads, then with two threads while other work keeps one core busy."""
    import torch

    from nanobragg_torch.scan import simulate
    from nanobragg_torch.scan.experiment import prepare

    exp = prepare(canonical(), device="cpu", dtype=torch.float64)
    run = simulate.start(exp)
    sines = SINES_PER_STEP * exp.n_pixels * exp.n_steps
    series = []
    for loaded in (False, True):
        busy = subprocess.Popen([sys.executable, "-c", BUSY]) if loaded else None
        try:
            for _ in range(repeats):
                for threads in (1, 2):
                    floor = table.timed(partial(sine_floor, sines, threads))
                    image = table.timed(partial(simulate.render_image, run, threads))
                    series.append(asdict(Turn(threads, loaded, image[0], floor[0], image[1], floor[1])))
        finally:
            if busy is not None:
                busy.kill()
                busy.wait()
    return series


def peak() -> dict:
    """Peak resident memory of this process after one simulation with two threads."""
    import torch

    from nanobragg_torch.scan.simulate import simulate

    before = _peak_mib()
    simulate(canonical(), device="cpu", dtype=torch.float64, threads=2)
    return {"peak_mib": _peak_mib(), "peak_of_imports_mib": before}


def _peak_mib() -> float:
    """High water mark since this program started (ru_maxrss would remember the parent's)."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def sine_floor(sines: int, threads: int) -> None:
    """`sines` float64 sines of arguments like the simulation's, block by block, each thread its own."""
    import torch

    from nanobragg_torch.scan.threads import in_parallel

    def worker() -> Callable[[int], None]:
        x = torch.linspace(-3000.0, 3000.0, SINES, dtype=torch.float64)
        y = torch.empty_like(x)

        def work(blocks: int) -> None:
            for _ in range(blocks):
                torch.sin(x, out=y)

        return work

    per_item = 64
    in_parallel([per_item] * (sines // SINES // per_item), worker, threads)


_WORK: dict[str, Callable[..., object]] = {
    "turns": turns,
    "peak": lambda repeats: peak(),
    "row": lambda repeats, flags, binary: table.row(flags, repeats, binary, sine_floor),
    "noise": lambda repeats, flags, binary: table.noise(flags, repeats, binary),
    "curve": lambda repeats, axis: growth.curve(axis, repeats),
    **{kind: partial(_images, kind) for kind in ("make", "beside", *comparison.SUBJECTS)},
}


def machine() -> dict:
    import torch

    cpu = Path("/proc/cpuinfo")
    names = [x.split(":")[1].strip() for x in cpu.read_text().splitlines() if "model name" in x] if cpu.exists() else []
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }


def page(measured: dict) -> str:
    """docs/results/performance.md: a section for each part that was measured."""
    here, limits = measured["machine"], measured["limits"]
    sections = [
        _simulation_section(measured) if "turns" in measured else [],
        table.section(measured) if "rows" in measured else [],
        growth.section(measured["growth"]) if "growth" in measured else [],
        comparison.section(measured["comparison"], measured["comparison_memory"], limits)
        if "comparison" in measured
        else [],
    ]
    lines = [
        "# Performance",
        "",
        "Made by `nox -s bench -- --out docs/results`; do not edit.",
        "",
        f"{here['processor']}, {here['cores']} cores, {here['system']}, Python {here['python']}, torch "
        f"{here['torch']}; load average before the run {here['load_before']:.1f}.",
    ]
    for section in filter(None, sections):
        lines += ["", *section]
    return "\n".join(lines) + "\n"


def _simulation_section(measured: dict) -> list[str]:
    all_turns, limits = [Turn(**turn) for turn in measured["turns"]], measured["limits"]
    lines = [
        "## Simulation",
        "",
        "Canonical command, whole detector (2463 x 2527 pixels, ten phi steps, 65,000 reflections), float64. The",
        "yardstick is the time that torch.sin needs for as many sines as the formula has, six per pixel and phi step,",
        "on as many threads, measured in turns with the simulation. Reading the reflection list is not counted.",
        "",
        "| threads | one core kept busy | simulation s | sines s | ratio | spread | ratio of processor time |",
        "|---|---|---|---|---|---|---|",
    ]
    for loaded in (False, True):
        for threads in (1, 2):
            lines.append(_row([x for x in all_turns if (x.threads, x.loaded) == (threads, loaded)]))
    alone = [x for x in all_turns if not x.loaded]
    one, two = ([x for x in alone if x.threads == n] for n in (1, 2))
    ratio = statistics.median(x.ratio for x in one)
    faster = statistics.median(a.simulation_s / b.simulation_s for a, b in zip(one, two))
    return [
        *lines,
        "",
        "Medians of all turns, the ratios' of those within a turn; spread: the least and the largest of these.",
        "",
        "| figure | measured | wanted |",
        "|---|---|---|",
        f"| one thread against the sines | {ratio:.2f} | at most {limits['ratio']} |",
        *_against_reference(measured, one),
        f"| two threads against one | {faster:.2f} times as fast | at least {limits['speed_up']} |",
        f"| peak memory of the process | {measured['peak_mib']:.0f} MiB | under {limits['peak_mib']:.0f} |",
        f"| of that, Python and torch | {measured['peak_of_imports_mib']:.0f} MiB | |",
    ]


def _against_reference(measured: dict, one: Sequence[Turn]) -> list[str]:
    """The line on the rendering alone, in processor seconds, beside the whole process of the reference, if any."""
    reference = measured.get("rows", {}).get(CANONICAL, {}).get("reference")
    if not reference:
        return []
    seconds = statistics.median(processor for _, processor in reference)
    faster = seconds / statistics.median(turn.simulation_cpu_s for turn in one)
    wanted = measured["limits"]["rendering"]
    return [f"| rendering, one thread, against the reference | {faster:.2f} times as fast | at least {wanted:.0f} |"]


def _row(group: list[Turn]) -> str:
    ratios = sorted(x.ratio for x in group)
    cells = [
        str(group[0].threads),
        "yes" if group[0].loaded else "no",
        f"{statistics.median(x.simulation_s for x in group):.2f}",
        f"{statistics.median(x.floor_s for x in group):.2f}",
        f"{statistics.median(ratios):.2f}",
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
        f"{statistics.median(x.cpu_ratio for x in group):.2f}",
    ]
    return "| " + " | ".join(cells) + " |"
