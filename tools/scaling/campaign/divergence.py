"""Where a difference begins: the oracle's trace of a pixel beside the port's own, as far as both go."""

from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING

from tools.scaling.traces.read import parse_trace

if TYPE_CHECKING:
    from nanobragg_torch.config import Config
    from tools.scaling.traces.read import Trace

Pixel = tuple[int, int]  # slow, fast on the detector


def first_divergence(config: "Config", pixel: Pixel) -> str:
    """The first quantity in causal order in which the port's trace differs from the oracle's; empty where none does.

    config: with its files read. pixel: (slow, fast) on the detector. Empty, too, where the oracle does not compute the
    case, and where one of the two cannot trace the pixel.
    """
    from nanobragg_torch.errors import NanoBraggError
    from tools.scaling.oracle.uncovered import Uncovered
    from tools.scaling.traces.compare import compare

    try:
        report = compare(oracle_trace(config, pixel), port_trace(config, pixel))
    except (Uncovered, NanoBraggError):
        return ""
    unlike = tuple(row for row in report.quantities if row.c != row.py and not (isnan(row.c) and isnan(row.py)))
    first = replace(report, quantities=unlike).first_upstream_divergence
    if first is not None:
        return first
    alone = [orphan.name for orphan in report.orphans if orphan.c_count]
    return alone[0] if alone else ""


def oracle_text(config: "Config", pixel: Pixel) -> str:
    """The oracle's trace of `pixel` as a log of the reference's, in ASCII. Raises Uncovered."""
    from tools.scaling.oracle.image import Oracle

    return "".join(f"{line}\n" for line in Oracle(config).trace(*pixel))


def oracle_trace(config: "Config", pixel: Pixel) -> "Trace":
    """The oracle's trace of `pixel`. Raises Uncovered."""
    return parse_trace(oracle_text(config, pixel).encode("ascii"), source="the oracle")


def port_text(config: "Config", pixel: Pixel) -> str:
    """The port's own trace of `pixel`, in float64 on the CPU, as a log. Raises what the port refuses it with."""
    import torch

    from nanobragg_torch.products.trace import render, trace_pixel

    return render(trace_pixel(config, *pixel, device=torch.device("cpu"), dtype=torch.float64))


def port_trace(config: "Config", pixel: Pixel) -> "Trace":
    """The same, read. Raises as port_text does."""
    return parse_trace(port_text(config, pixel).encode("ascii"), source="the port")
