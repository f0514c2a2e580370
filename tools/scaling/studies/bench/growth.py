"""How the cost of an image grows with pixels, phi steps, mosaic domains, sources and sub-pixels, from 1 to 1000."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

CRYSTAL = "-cell 70 80 90 90 90 90 -misset 10 20 30 -default_F 100 -lambda 1 -distance 150 -N 20 -nonoise -nopgm"
SMALL = f"{CRYSTAL} -detpixels 64 -pixel 1.6"
COUNTS = (1, 3, 10, 32, 100, 316, 1000)
EDGES = (1, 2, 3, 6, 10, 18, 32)  # of a square of about as many
TURNS = 3
# What grows: the flags of each count.
AXES: dict[str, Callable[[int], str]] = {
    "pixels along an edge": lambda n: f"{CRYSTAL} -oversample 1 -detpixels {n} -pixel {102.4 / n}",
    "phi steps": lambda n: f"{SMALL} -oversample 1 -osc 1 -phisteps {n}",
    "mosaic domains": lambda n: f"{SMALL} -oversample 1 -mosaic 0.5 -mosaic_dom {n}",
    "sources": lambda n: f"{SMALL} -oversample 1 -dispersion 1 -dispsteps {n}",
    "sub-pixels": lambda n: f"{SMALL} -oversample {math.isqrt(n)}",
}
STEEP = 0.05  # how far from 1 a slope may be that is called in proportion


def counts(axis: str) -> tuple[int, ...]:
    """Return how many of `axis` there are, in order."""
    return tuple(edge * edge for edge in EDGES) if axis == "sub-pixels" else COUNTS


def curve(axis: str, turns: int) -> list[dict[str, Any]]:
    """Processor seconds of simulate with one thread, all that it prepares included, for each count of an axis."""
    import torch

    from nanobragg_torch.flags.parse import parse
    from nanobragg_torch.scan.simulate import simulate
    from tools.scaling.studies.bench.table import timed

    found = []
    for count in counts(axis):
        config = parse(AXES[axis](count).split())

        def work(config: Any = config) -> None:
            simulate(config, device="cpu", dtype=torch.float64, threads=1)

        work()
        found.append({"count": count, "seconds": [timed(work)[1] for _ in range(turns)]})
    return found


def measure(child: Callable[..., Any], turns: int) -> dict[str, Any]:
    """Every curve, each in a process of its own."""
    return {axis: child("curve", turns, axis=axis) for axis in AXES}


def slope(points: Sequence[Mapping[str, Any]]) -> float:
    """Slope of log(seconds) over log(count), by least squares over the last three points."""
    x = [math.log(point["count"]) for point in points[-3:]]
    y = [math.log(median(point["seconds"])) for point in points[-3:]]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def in_words(axis: str, steepness: float) -> str:
    """Return a slope as a sentence; an image has as many pixels as the square of its edge."""
    power = 2 if axis.startswith("pixels") else 1
    with_what = "their square" if power == 2 else "their number"
    if abs(steepness / power - 1.0) <= STEEP:
        return f"in proportion to {with_what}"
    return f"more {'slowly' if steepness < power else 'steeply'} than {with_what}"


def section(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Lines of docs/results/performance.md."""
    lines = [
        "## Growth",
        "",
        "Processor seconds of simulate with one thread, the preparation included, of a 64 x 64 image with one of each",
        "but for what grows. Slope: of the logarithms, over the last three counts. A curve that falls is one where the",
        "compiled kernel takes over from the torch path, which it does from about 0.15 s of the latter on.",
        "",
        "![Cost over count, both logarithmic](performance.png)",
        "",
        "| what grows | from | s | to | s | slope | in words |",
        "|---|---|---|---|---|---|---|",
    ]
    for axis, points in curves.items():
        first, last, steepness = points[0], points[-1], slope(points)
        cells = [axis, first["count"], f"{median(first['seconds']):.4f}", last["count"]]
        cells += [f"{median(last['seconds']):.3f}", f"{steepness:.2f}", in_words(axis, steepness)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def picture(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """Return the curves as a PNG, both axes logarithmic."""
    import matplotlib  # type: ignore[import-not-found, unused-ignore]

    matplotlib.use("Agg")
    from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

    figure, axes = pyplot.subplots(figsize=(7.0, 4.5), dpi=110)
    for (axis, points), mark in zip(curves.items(), "os^Dv"):
        seconds = [median(point["seconds"]) for point in points]
        axes.loglog([point["count"] for point in points], seconds, marker=mark, markersize=4, linewidth=1.2, label=axis)
    axes.set_xlabel("how many")
    axes.set_ylabel("processor seconds")
    axes.grid(True, which="major", linewidth=0.4)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    pyplot.close(figure)
    return drawn.getvalue()
