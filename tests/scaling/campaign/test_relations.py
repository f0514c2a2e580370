"""Relations that need no reference: the port fulfils each, and each finds a defect that is planted for it."""
# ruff: noqa: E741 -- l is a Miller index

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nanobragg_torch.flags import assemble
from nanobragg_torch.physics import beam, crystal, detector, structure_factor
from nanobragg_torch.products import outputs
from nanobragg_torch.scan import chosen, evaluate, experiment, summation
from tools.scaling.campaign.record import Drawn, Status, Verdict
from tools.scaling.campaign.relations import RELATIONS
from tools.scaling.campaign.scene import How, Scene, scene_of

ROOT = Path(__file__).parents[3]
Patch = pytest.MonkeyPatch

BASE = (
    "-cell 40 50 60 80 95 105 -hkl a.hkl -default_F 10 -lambda 1.1 -distance 100 -pixel 0.5 -detpixels_f 9"
    " -detpixels_s 8 -N 9 -Na 5 -Nb 3 -Nc 4 -misset 10 20 30 -detector_rotx 5 -seed 1 -nointerpolate"
)
SUMS = (
    f"{BASE} -phi 0 -osc 1 -phisteps 3 -mosaic 0.5 -mosaic_dom 2 -hdivrange 1 -hdivsteps 2 -dispersion 1 -dispsteps 2"
    " -polar 0.9 -oversample 1"
)
SUB_PIXELS = f"{BASE} -oversample 2 -sourcefile b.src -nopolar -detector_thick 300 -xds -twotheta 3"
CASES = {"sums": SUMS, "sub-pixels": SUB_PIXELS}
FILES = {
    "a.hkl": b"".join(b"%d %d %d %d\n" % (h, k, l, 20 + h * h + 3 * k + 7 * l)
                      for h in range(-3, 4) for k in range(-4, 3) for l in range(-2, 6)),
    "b.src": b"0 0 -10 1 1.1e-10\n0 0.1 -10 2 1.2e-10\n",
}  # fmt: skip


EVERY_SEED_OR_NOT = Scene.asked


@pytest.fixture(autouse=True)
def every_seed(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Scene, "asked", lambda *_: True)


def asked(relation: str, flags: str, seed: int = 2) -> Verdict:
    words = tuple(flags.split())
    files = {name: content for name, content in FILES.items() if name in words}
    with scene_of(Drawn(seed, words, files), How()) as scene:
        return RELATIONS[relation](scene)


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_port_fulfils_it(relation: str) -> None:
    verdicts = [asked(relation, flags) for flags in CASES.values()]
    assert {verdict.check for verdict in verdicts} == {relation}
    assert Status.ok in {verdict.status for verdict in verdicts}
    assert [verdict.says for verdict in verdicts if verdict.status in (Status.differs, Status.error)] == []
    assert all(verdict.worst < 1e-9 for verdict in verdicts)


Change = Callable[..., Any]


def _shifted(there: Change, self: Any, start: int, stop: int) -> tuple[Any, Any]:
    fast, slow = there(self, start, stop)
    return fast + (1 if self.config.detector.roi is not None else 0), slow


def _shorter(there: Change, run: Any, evaluations: int, pixels: int) -> Any:
    blocks = list(there(run, evaluations, pixels))
    return blocks[:-1] or blocks


def _turned_less(there: Change, v: Any, axis: Any, angle: Any) -> Any:
    return there(v, axis, angle) * torch.tensor([1.0, 1.0, 1.001], dtype=torch.float64)


def _clamped(there: Change, grid: Any, *indices: Any) -> Any:
    return there(grid, *(x.clamp(min=low + 4) for x, low in zip(indices, grid.lowest)))


# relation: where a defect is, and what it gives there of what was there and its arguments
PLANTED: dict[str, tuple[object, str, Change]] = {
    "cut_by_roi": (experiment.Experiment, "pixel_indices", _shifted),
    "masked": (experiment, "_unmasked", lambda f, *args: None if f(*args) is None else f(*args)[:-1]),
    "blocks": (summation, "term_blocks", _shorter),
    "chosen_pixels": (chosen, "only", lambda f, run, ranks: f(run, (ranks - 1).clamp(min=0))),
    "sum_of_directions": (beam, "source_position", lambda f, b, p, h, v: f(b, p, h + h.sum(), v)),
    "sum_of_wavelengths": (beam, "source_wavelength", lambda f, w, s, i, d: f(w, s, i + 1, d)),
    "sum_of_phi_steps": (crystal, "phi_angles", lambda f, start, step, n: f(start, step, n) + 0.01 * n),
    "stale_phi": (crystal, "carried_phi", lambda f, phi, first: f(phi, True)),
    "sum_of_sub_pixels": (evaluate.detector, "detector_coordinate", lambda f, i, s, p, n: f(i, 0 * s, p, n)),
    "named_convention": (detector, "near_point_of_origin", lambda f, o, p: f(o + 1, p)),
    "half_turn": (crystal, "rotate_xyz", lambda f, v, x, y, z: f(v, x.abs(), y.abs(), z.abs())),
    "any_turn": (detector, "rotate_axis", _turned_less),
    "length_of_crystal": (evaluate, "beyond_dmin", lambda f, q, d: f(q, d + 3e-9)),
    "length_of_detector": (evaluate.corrections, "solid_angle", lambda f, r, c, p: f(r, c, p) * p),
    "photons": (summation.corrections, "scale_pixel", lambda f, i, r, n, *rest: f(i, r, n * n, *rest)),
    "structure_factors": (evaluate, "intensity_term", lambda f, c, latt: f(c.abs() ** 0.5, latt)),
    "final_factors": (evaluate, "polarization", lambda f, *args: f(*args) * (1 + 1e-9)),
    "one_cell": (summation.corrections, "scale_pixel", lambda f, i, r, *rest: f(i, r * 1.0001, *rest)),
    "larger_crystal": (experiment, "cell_counts", lambda f, *args: f(*args) + 1),
    "traced_pixel": (evaluate, "final_solid_angle", lambda f, *args: f(*args) * (1 + 1e-9)),
    "larger_list": (structure_factor, "nearest", _clamped),
    "inverted_crystal": (structure_factor, "nearest", lambda f, grid, h, k, l: f(grid, h, k.abs(), l)),
}  # fmt: skip


@pytest.mark.parametrize("relation", PLANTED)
def test_a_planted_defect_is_found(relation: str, monkeypatch: Patch) -> None:
    place, name, change = PLANTED[relation]
    there = getattr(place, name)
    monkeypatch.setattr(place, name, lambda *args, **kw: change(there, *args, **kw))
    flags = f"{CASES['sub-pixels' if relation in ('sum_of_sub_pixels', 'named_convention') else 'sums']} -dmin 3"
    found = asked(relation, f"{flags} -ORGX 3.5")
    assert found.status is Status.differs
    said = re.fullmatch(
        r"\d+ of \d+ pixels differ, the most at (\d+) (\d+): (.+) \S+, (that|the|its|pixels) .+ \S+", found.says
    )
    assert said and found.pixel == (int(said[1]), int(said[2]))


def test_a_command_line_that_is_read_otherwise_is_told(monkeypatch: Patch) -> None:
    monkeypatch.setattr(assemble, "_fluence", lambda given: given.flux or given.fluence)
    found = asked("flux_is_fluence", BASE)
    assert (found.status, found.label, found.pixel) == (Status.differs, "beam.fluence_per_m2", None)
    said = re.fullmatch(r"beam.fluence_per_m2: -flux (\S+) gives (\S+), -fluence (\S+) gives (\S+)", found.says)
    assert said
    assert (float(said[1]), said[3]) == (float(said[2]), said[4])


def test_a_header_that_says_another_place_is_told(monkeypatch: Patch) -> None:
    there = outputs.header_fields

    def exchanged(exp: experiment.Experiment) -> list[tuple[str, str]]:
        names = {"BEAM_CENTER_X": "BEAM_CENTER_Y", "BEAM_CENTER_Y": "BEAM_CENTER_X"}
        return [(names.get(name, name), value) for name, value in there(exp)]

    monkeypatch.setattr(outputs, "header_fields", exchanged)
    found = asked("header_read_again", BASE)
    assert found.says.startswith("pix0_y: the command line gives ")
    assert found.status is Status.differs


@pytest.mark.parametrize(
    ("relation", "flags", "why"),
    [
        ("stale_phi", BASE, "no phi of 0 is among others, or it rotates as they do"),
        ("sum_of_sources", SUMS, "there is no list of sources, or only one is in it"),
        ("any_turn", f"{BASE} -curved_det 1", "pixels on the sphere lie along lab y and z (Q17)"),
        ("cut_by_roi", f"{BASE} -roi 5 4 1 2", "no pixel is rendered"),
    ],
)
def test_where_a_relation_does_not_hold_it_says_why(relation: str, flags: str, why: str) -> None:
    assert asked(relation, flags) == Verdict(relation, Status.unasked, why)


def test_the_seed_decides_what_is_asked(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Scene, "asked", EVERY_SEED_OR_NOT)
    verdicts = [asked("sum_of_sources", BASE, seed) for seed in range(40)]
    assert verdicts == [asked("sum_of_sources", BASE, seed) for seed in range(40)]
    mute = [verdict.says for verdict in verdicts].count("asked of one seed in 4")
    assert 20 <= mute < 40


def test_the_page_says_what_each_relation_is() -> None:
    page = (ROOT / "docs/development/campaign.md").read_text()
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.+) \|$", page.partition("\n## Relations\n")[2].partition("\n## ")[0])
    assert rows == [(name, " ".join(str(check.__doc__).split()).rstrip(".")) for name, check in RELATIONS.items()]
