"""The causal graph of one pixel (semantics 8.4): every traced quantity with the port's function that makes it.

The rules compute no physics of their own: each calls the function of nanobragg_torch that the port itself calls.
"""

import torch

from tools.scaling.explain.graph import Graph
from tools.scaling.explain.pixel import PreparedPixel
from tools.scaling.explain.rules.beam import (
    add_corrections,
    add_intensity,
    add_scattering_angle,
    add_sources,
    add_third_source,
)
from tools.scaling.explain.rules.crystal import add_crystal, add_lattice, add_orientations, add_structure
from tools.scaling.explain.rules.detector import (
    add_centre,
    add_constants,
    add_detector,
    add_initial_axes,
    add_rays,
)


def build(pixel: PreparedPixel) -> Graph:
    """Return the graph of `pixel`, in causal order."""
    exp = pixel.run.exp
    scan = exp.config.scan
    sizes = {
        "s": exp.n_subpixels,
        "k": exp.n_sources,
        "p": scan.phi_steps,
        "d": exp.n_orientations // scan.phi_steps,
    }
    graph = Graph(sizes)
    with torch.no_grad():
        add_constants(graph, exp)
        add_initial_axes(graph, exp)
        add_centre(graph, exp)
        add_detector(graph, exp)
        add_crystal(graph, exp)
        add_rays(graph, pixel)
        add_sources(graph, exp)
        add_corrections(graph, pixel)
        add_orientations(graph, pixel)
        add_lattice(graph, exp)
        add_structure(graph, pixel)
        add_third_source(graph, exp)
        add_scattering_angle(graph, pixel)
        add_intensity(graph, exp)
    return graph
