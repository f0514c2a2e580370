"""How near a pixel lies to a discontinuity of the reference: a Miller index that rounds, a TOPHAT radius.

There one ulp decides on which side a term falls, so that two correct programs can differ (semantics 10.1).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tools.scaling.engine.tolerances import EDGE_ROUNDINGS, UNIT_ROUNDOFF
from tools.scaling.matrix.judge import Edge

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config
    from nanobragg_torch.scan.evaluate import Terms
    from nanobragg_torch.scan.experiment import Experiment
    from nanobragg_torch.scan.summation import Run

TOPHAT_EDGE = 0.3969  # semantics 6.3


def edge_finder(config: "Config") -> Callable[[int, int], Edge | None]:
    """A function (slow, fast) -> the edge nearest to any term of that pixel, measured in its rounding error.

    None where the pixel has no edge: the shape is SQUARE and every reflection has the same F. The margin of a
    rounding edge is that of the index from a half integer, of a TOPHAT edge that of the radius from its limit.
    """
    from nanobragg_torch.io.load import loaded
    from nanobragg_torch.scan import simulate
    from nanobragg_torch.scan.experiment import prepare

    run: Run | None = None

    def nearest_edge(slow: int, fast: int) -> Edge | None:
        nonlocal run
        if config.crystal.shape == "SQUARE" and config.structure.hkl_file is None:
            return None
        import torch

        with torch.no_grad():
            if run is None:
                run = simulate.start(prepare(loaded(config), device="cpu", dtype=torch.float64))
            return min(_edges(run, slow, fast), key=lambda edge: edge.margin / edge.reach, default=None)

    return nearest_edge


def _edges(run: "Run", slow: int, fast: int) -> list[Edge]:
    """The nearest edges of each block of terms of a pixel."""
    import torch

    from nanobragg_torch.scan import evaluate, summation

    exp, roi = run.exp, run.exp.config.detector.rendered
    order = (slow - roi.slow_min) * (roi.fast_max - roi.fast_min + 1) + fast - roi.fast_min
    first = run.first[1] if run.first is not None and run.first[0] == order else None
    pixel = summation.Pixels(order, order + 1, first)
    edges: list[Edge] = []
    indices = exp.pixel_indices(order, order + 1)
    for first_of, _, scattered in summation.scattered_blocks(run, summation.empty_sums(exp, 1), *indices):
        q = scattered.q.flatten(0, 1)
        wavelength = scattered.sources.wavelength.repeat(q.shape[0] // scattered.sources.count)
        length = torch.linalg.vector_norm(q, dim=-1) * wavelength.unsqueeze(-1)
        spread = UNIT_ROUNDOFF["float64"] * (1.0 / length).clamp(min=1.0)
        for low, high, begin, end in summation.term_blocks(run, q.shape[0], 1):
            axes = summation.orientation_block(run, pixel, first_of, low, high, begin, end)
            terms = evaluate.lattice_terms(exp, q[low:high].unsqueeze(1), axes)
            edges += _edges_of_terms(exp, terms, spread[low:high].unsqueeze(1))
    return edges


def _edges_of_terms(exp: "Experiment", terms: "Terms", spread: "Tensor") -> list[Edge]:
    """Rounding and TOPHAT edges; spread (evaluations, 1, pixels): relative error of one rounding in q."""
    import torch

    from nanobragg_torch.physics import lattice_factor

    hkl = torch.stack(terms.hkl, dim=-1)
    reach = (EDGE_ROUNDINGS * spread * torch.linalg.vector_norm(hkl, dim=-1)).expand(hkl.shape[:-1])
    fractions = hkl - torch.stack(terms.nearest, dim=-1)
    edges = [_nearest("rounding", (0.5 - fractions.abs()).abs().amin(dim=-1), reach)]
    if exp.config.crystal.shape == "TOPHAT":
        stars = (exp.axes.a_star, exp.axes.b_star, exp.axes.c_star)
        radius = lattice_factor.spot_radius_squared(fractions, exp.cells, *stars) * exp.fudge
        # radius = fudge (Na Nb Nc |D|)^2 and |dD| <= reach (|a*| + |b*| + |c*|)
        widest = sum(torch.linalg.vector_norm(star) for star in stars)
        slope = 2.0 * torch.sqrt(radius * exp.fudge) * exp.cells.prod() * widest
        edges.append(_nearest("TOPHAT", (radius - TOPHAT_EDGE).abs(), slope * reach))
    return edges


def _nearest(kind: str, margin: "Tensor", reach: "Tensor") -> Edge:
    tiny = 1e-300  # at index 0 nothing rounds, and its edge is 0.5 away
    at = (margin / (reach + tiny)).flatten().argmin()
    return Edge(kind, float(margin.flatten()[at]), float(reach.flatten()[at]) + tiny)
