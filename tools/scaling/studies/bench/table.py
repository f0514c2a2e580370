"""The table of ratios: each kind of work by the port's command line, beside the reference's or beside its sines.

Processor seconds. The reference is a whole process with one thread. The port's command line runs in one process that
has run it before, so that neither imports nor compilation count, but all else that the command does.
"""

import contextlib
import io
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tools.scaling.base.errors import GateFailed
from tools.scaling.base.text import counted
from tools.scaling.implementations.run import gather_inputs
from tools.scaling.studies.bench.canonical import INPUTS
from tools.scaling.studies.bench.works import CANONICAL, NOISES, works

TURNS = 3
WANTED = {"canonical": 15.0, "features": 5.0, "noise": 1.0}  # times as fast as the reference, at least
MOST_SINES = 2**25  # that are timed; of more their share is taken
Times = tuple[float, float]  # seconds of the clock, of the processor


def row(flags: Sequence[str], turns: int, binary: str, sine_floor: Callable[[int, int], None]) -> dict[str, Any]:
    """Seconds of each turn: of the reference (clock, processor) if there is one, of the port with one and two threads.

    And of as many sines as the formula has, six a term, on one thread (processor).
    """
    with _at_work(flags) as words:
        terms = _terms(words)
        found: dict[str, Any] = {"terms": terms, "reference": [], "one": [], "two": [], "sines": []}
        for threads in (1, 2):
            port(words, threads)
        for _ in range(turns):
            if binary:
                found["reference"].append(process([binary, *words]))
            found["one"].append(port(words, 1))
            found["two"].append(port(words, 2))
            count = min(6 * terms, MOST_SINES)
            _, seconds = timed(partial(sine_floor, count, 1))
            found["sines"].append(seconds * 6 * terms / count)
        return found


def noise(flags: Sequence[str], turns: int, binary: str) -> dict[str, Any]:
    """Processor seconds a million pixels that the noise image takes: of a run with it less those of one without it."""
    with _at_work(flags) as words:
        pixels = _pixels(words)
        sides: dict[str, Callable[[list[str]], Times]] = {"port": lambda argv: port(argv, 1)}
        if binary:
            sides["reference"] = lambda argv: process([binary, *argv])
        found: dict[str, Any] = {"mean": 0.0, "reference": [], "port": []}
        for work in sides.values():
            work(words)  # not counted; it leaves the float image, whose mean is that of the counts
        found["mean"] = _mean_of_floats(Path("floatimage.bin"))
        for _ in range(turns):
            for side, work in sides.items():
                without, with_noise = work([*words, "-nonoise"])[1], work(words)[1]
                found[side].append((with_noise - without) / pixels * 1e6)
        return found


@contextlib.contextmanager
def _at_work(flags: Sequence[str]) -> Iterator[list[str]]:
    """Enter a folder with the files that the flags name; yield the flags."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.chdir(name):
        yield gather_inputs(flags, [INPUTS], Path(name))


def port(flags: Sequence[str], threads: int) -> Times:
    """Run the port's command line in this process. Raises GateFailed with its last line where it refuses."""
    said, before = io.StringIO(), sys.argv
    sys.argv = ["nanobragg_torch", *flags, "--threads", str(threads)]

    def work() -> None:
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
            try:
                with contextlib.redirect_stderr(said):
                    runpy.run_module("nanobragg_torch", run_name="__main__", alter_sys=True)
            except SystemExit as ending:
                if ending.code:
                    last = (said.getvalue().strip().splitlines() or ["no message"])[-1]
                    raise GateFailed(f"bench: the port refuses its flags: {last}") from ending
                raise

    try:
        return timed(work)
    finally:
        sys.argv = before


def process(argv: Sequence[str]) -> Times:
    """Run a program to its end, with one thread. Raises GateFailed where it fails."""
    before, began = _children(), time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise GateFailed(f"bench: {argv[0]}: exit {done.returncode}")
    return time.perf_counter() - began, _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(work: Callable[[], object]) -> Times:
    """Seconds of the clock and of this process's processors."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def _terms(words: Sequence[str]) -> int:
    import torch

    from nanobragg_torch.flags.parse import parse
    from nanobragg_torch.io.load import loaded
    from nanobragg_torch.scan.experiment import prepare

    exp = prepare(loaded(parse(list(words))), device="cpu", dtype=torch.float64)
    return exp.n_pixels * exp.n_subpixels * exp.n_sources * exp.n_orientations


def _pixels(words: Sequence[str]) -> int:
    from nanobragg_torch.flags.parse import parse

    detector = parse(list(words)).detector
    return detector.pixels_slow * detector.pixels_fast


def _mean_of_floats(path: Path) -> float:
    import numpy

    return float(numpy.fromfile(path, "<f4").mean())


def measure(child: Callable[..., Any], turns: int, binary: str) -> dict[str, Any]:
    """Every row, each in a process of its own. child: starts one, as `_child` of run.py does."""
    rows = {name: child("row", turns, flags=flags, binary=binary) for name, flags in works().items()}
    noises = {name: child("noise", turns, flags=flags.split(), binary=binary) for name, flags in NOISES.items()}
    return {"rows": rows, "noises": noises}


def _processor(turns: Sequence[Times]) -> float:
    return median(processor for _, processor in turns)


def ratio(found: Mapping[str, Any]) -> float | None:
    """Times as fast as the reference with one thread, the median of turns; None where there was none."""
    pairs = list(zip(found["reference"], found["one"]))
    return median(c[1] / py[1] for c, py in pairs) if pairs else None


def noise_ratio(found: Mapping[str, Any]) -> float | None:
    if not found["reference"]:
        return None
    ours = median(found["port"])
    return median(found["reference"]) / ours if ours > 0 else None


def section(measured: Mapping[str, Any]) -> list[str]:
    """Lines of docs/results/performance.md."""
    reference, turns = measured["reference"], measured["table_turns"]
    lines = [
        "## Features",
        "",
        "Processor seconds. The reference is a whole process with one thread"
        + (f", {reference}." if reference else "; it was not at hand (NB_C_BIN)."),
        "The port is its command line, everything that it does, run again in one process by runpy: neither imports",
        "nor compilation count. Of its sines: the share of the time that torch.sin needs, on one thread, for as many",
        "as the formula has, six a term: a pixel's sub-pixel, layer, source, phi step and mosaic domain. Two threads:",
        f"times as fast as one, by the clock. {counted(turns, 'turn')}, medians; 512 x 512 pixels but in row one.",
        "",
        "| work | million terms | reference s | port s | times as fast | wanted | of its sines | two threads |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in measured["rows"].items():
        one, faster = _processor(found["one"]), ratio(found)
        two = median(a[0] / b[0] for a, b in zip(found["one"], found["two"]))
        lines.append(_cells(
            name, f"{found['terms'] / 1e6:.2f}", _shown(_processor(found["reference"]) if found["reference"] else None),
            _shown(one), _shown(faster), f"{WANTED['canonical' if name == CANONICAL else 'features']:.0f}",
            _shown(one / median(found["sines"])), _shown(two),
        ))  # fmt: skip
    lines += ["", "| noise image, processor seconds a million pixels | reference | port | times as fast | wanted |"]
    lines.append("|---|---|---|---|---|")
    for found in measured["noises"].values():
        beside = _shown(median(found["reference"]) if found["reference"] else None, 3)
        ours = _shown(median(found["port"]), 3)
        times = _shown(noise_ratio(found))
        lines.append(_cells(_counts(found), beside, ours, times, f"{WANTED['noise']:.0f}"))
    return lines


def readme_table(measured: Mapping[str, Any]) -> str:
    """Return the table of ratios alone, for README. Features that were not measured are said to be so."""
    if "rows" not in measured:
        return "Not measured."
    lines = ["| work | times as fast as the reference, one thread |", "|---|---|"]
    lines += [_cells(name, _shown(ratio(found))) for name, found in measured["rows"].items()]
    for found in measured["noises"].values():
        lines.append(_cells(f"noise image, {_counts(found)}", _shown(noise_ratio(found))))
    return "\n".join(lines)


def _counts(found: Mapping[str, Any]) -> str:
    return f"mean of {float(format(found['mean'], '.2g')):,g} counts"


def _cells(*texts: str) -> str:
    return f"| {' | '.join(texts)} |"


def _shown(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
