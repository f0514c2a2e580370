"""The margins of a pixel from the reference's discontinuities, and the ties that they excuse."""

import json
import re

import numpy as np
import pytest
import torch

from tools.scaling.cases.case import find_case
from tools.scaling.engine.tolerances import EDGE_ROUNDINGS
from tools.scaling.matrix.edges import TOPHAT_EDGE, edge_finder
from tools.scaling.matrix.run import GOLDEN, run_case


def traced(name: str, slow: int, fast: int, quantity: str) -> np.ndarray:
    """The numbers of a golden trace, read without the tool."""
    text = (GOLDEN / name / f"trace_{slow}_{fast}.log").read_text()
    return np.array(re.findall(rf"C: {quantity} (.*)", text)[0].split(), float)


def tophat_radius(slow: int, fast: int) -> tuple[float, float, np.ndarray]:
    """Of a traced pixel of tophat_crystal (-N 5, fudge 1): (Na Nb Nc |D|)^2, its slope, and h - h0."""
    hkl = traced("tophat_crystal", slow, fast, "hkl_frac")
    off = hkl - np.ceil(hkl - 0.5)
    stars = [traced("tophat_crystal", slow, fast, f"rot_{axis}_star_A_inv") for axis in "abc"]
    length = float(np.linalg.norm(sum(d * star for d, star in zip(off, stars))))
    return (125 * length) ** 2, 2 * 125 * 125 * length * sum(float(np.linalg.norm(s)) for s in stars), off


@pytest.mark.parametrize("pixel", find_case("tophat_crystal").pixels)
def test_margins_are_those_of_the_reference_s_own_trace(pixel: tuple[int, int]) -> None:
    from nanobragg_torch.flags.parse import parse

    case = find_case("tophat_crystal")
    edge = edge_finder(parse(case.flags, folders=case.folders))(*pixel)
    radius, slope, off = tophat_radius(*pixel)
    hkl, q = (traced(case.name, *pixel, name) for name in ("hkl_frac", "scattering_vec_A_inv"))
    reach = EDGE_ROUNDINGS * 2.0**-53 * np.linalg.norm(hkl) * max(1, 1e10 / np.linalg.norm(q))  # -lambda 1.0
    margins = {"rounding": np.abs(0.5 - np.abs(off)).min(), "TOPHAT": abs(radius - TOPHAT_EDGE)}
    reaches = {"rounding": reach, "TOPHAT": slope * reach}
    assert edge is not None
    assert edge.kind == min(margins, key=lambda kind: margins[kind] / reaches[kind])
    assert edge.margin == pytest.approx(margins[edge.kind], rel=1e-9)
    assert edge.reach == pytest.approx(reaches[edge.kind], rel=1e-9)
    assert not edge.explains


def test_a_square_crystal_of_equal_reflections_has_no_edge() -> None:
    from nanobragg_torch.flags.parse import parse

    assert edge_finder(parse(find_case("cubic_mosflm").flags))(32, 32) is None


def test_a_pixel_on_the_tophat_edge_is_a_tie_and_its_neighbour_is_none(copied) -> None:
    from nanobragg_torch.flags.parse import parse
    from nanobragg_torch.scan.simulate import simulate

    folder = copied("tophat_crystal")
    case = find_case("tophat_crystal")
    slow, fast = case.pixels[0]
    # the radius grows with fudge: put the limit onto the traced pixel
    flags = [*case.flags, "-fudge", repr(TOPHAT_EDGE / tophat_radius(slow, fast)[0])]
    record = json.loads((folder / "case.json").read_text())
    record.update(flags=" ".join(flags), traced_pixels_slow_fast=[])
    (folder / "case.json").write_text(json.dumps(record))
    image = simulate(parse(flags, folders=case.folders), device="cpu", dtype=torch.float64).float().numpy()
    image[slow, fast] = image[slow, fast] + 1e6
    image.tofile(folder / "float.bin")
    result = run_case(find_case(str(folder)))[0]
    assert result.problems == ()
    assert result.image is not None
    assert [(tie.slow, tie.fast, tie.edge.kind) for tie in result.image.ties] == [(slow, fast, "TOPHAT")]
    image[slow + 1, fast] += 1e6
    image.tofile(folder / "float.bin")
    problems = run_case(find_case(str(folder)))[0].problems
    assert len(problems) == 1
    assert f"pixel {slow + 1} {fast}: " in problems[0]
    assert "and no tie: " in problems[0]
