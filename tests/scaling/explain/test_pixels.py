"""Several pixels of one pair of runs tell apart what is equal on one; and what changed in every member of a cause."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling.cases.case import Case, find_case
from tools.scaling.explain.answer import explain
from tools.scaling.explain.files import explain_logs
from tools.scaling.traces.read import parse_trace

FLAGS = """-cell 70 80 90 75 85 95 -misset 12.5 -33.25 71.125 -default_F 100 -lambda 1.0 -N 5 -distance 50
    -detpixels 64 -pixel 0.4 -Xbeam 12.8 -Ybeam 12.8 -oversample 1 -flux 1e18 -exposure 1 -beamsize 1 -polar 0.5"""
# The column of the beam centre, where psi is 90 degrees: (1 + cos^2 + sin^2)/2 is 1 there, and nowhere else.
BESIDE, OFF = (50, 32), (40, 50)
KAHN, LEFT_OUT = "with a Kahn factor of 1", "1: polarization left out"


def text_of(config, pixel):
    return render(trace_pixel(config, *pixel, device="cpu", dtype=torch.float64))


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """What `explain` says of the pixels given, of a port with another beam than the reference's."""
    case = Case("kahn", Path(), tuple(FLAGS.split()), (BESIDE, OFF), None, {})
    config = parse(case.flags, folders=case.folders)
    folder = tmp_path_factory.mktemp("logs")

    def told(pixels, **beam):
        sides = {"c": config, "py": replace(config, beam=replace(config.beam, **beam))}
        logs = {side: [folder / f"{side}_{slow}.log" for slow, _ in pixels] for side in sides}
        for side, given in sides.items():
            for path, pixel in zip(logs[side], pixels):
                path.write_text(text_of(given, pixel))
        return explain_logs(logs["c"], logs["py"], case=case)

    return told


@pytest.mark.parametrize(("beam", "deed"), [({"kahn": 1.0}, KAHN), ({"polarized": False}, LEFT_OUT)])
def test_what_one_pixel_cannot_tell_apart_two_can(explained, beam, deed):
    ((alone,),) = (found.causes for found in explained([BESIDE], **beam))
    assert {alone.variant, *alone.alternatives} == {KAHN, LEFT_OUT}
    for found in explained([BESIDE, OFF], **beam):
        (cause,) = found.causes
        assert (cause.quantity, cause.variant, cause.alternatives) == ("polar", deed, ())
        assert "would look the same" not in found.sentence
    (one,) = explained([BESIDE], **beam)
    assert f"would look the same on this pixel: {(alone.alternatives)[0]}" in one.sentence
    assert one.causes[0].effects["I_pixel_final"] == pytest.approx(5.104613e-03, rel=1e-6)


@pytest.fixture(scope="module")
def canonical():
    case = find_case("supervisor")
    config = parse(case.flags, folders=case.folders)
    return config, parse_trace(case.c_trace.read_bytes(), "c.log")


def of_port(canonical, text):
    config, reference = canonical
    return explain(reference, parse_trace(text.encode(), "py.log"), config)


def test_cells_off_by_one_and_by_two_are_told_of_each_factor(canonical):
    config, _ = canonical
    wrong = replace(config, crystal=replace(config.crystal, cells=(36, 49, 28)))
    found = of_port(canonical, text_of(wrong, (685, 1039)))
    members = {each["quantity"]: each["members"] for each in found.to_dict()["causes"]}
    assert members["F_latt_c"]["F_latt_c"] == "of 28 cells along c, not 29"
    assert members["F_latt_b"] == {"F_latt_b": "of 49 cells along b, not 47", "PHI.F_latt_b": "off by -1.980e+00"}


def test_members_of_a_triple_that_changed_in_different_ways_are_all_told(canonical):
    config, _ = canonical
    text = text_of(config, (685, 1039))
    for axis, factor in zip("abc", (10.0, -1.0, 1.001)):

        def by(match, factor=factor):
            return match[1] + " ".join(f"{float(x) * factor:.15g}" for x in match[2].split())

        text, count = re.subn(rf"(TRACE_PY: rot_{axis}_star_A_inv )(.*)", by, text)
        assert count == 1
    found = of_port(canonical, text)
    (cause,) = found.to_dict()["causes"]
    assert cause["members"] == {
        "rot_a_star_A_inv": "in another unit, 10^1 times what it should be",
        "rot_b_star_A_inv": "of the opposite sign",
        "rot_c_star_A_inv": "multiplied by 1.001",
    }
    assert "rot_b_star_A_inv of the opposite sign; rot_c_star_A_inv multiplied by 1.001" in found.sentence


def test_a_vector_with_its_components_exchanged_is_told_as_such(canonical):
    config, _ = canonical
    text = text_of(config, (685, 1039))
    text = re.sub(r"(TRACE_PY: scattering_vec_A_inv )(\S+) (\S+) (\S+)", r"\1\4 \2 \3", text)
    found = of_port(canonical, text)
    (cause,) = found.to_dict()["causes"]
    assert cause["members"] == {"scattering_vec_A_inv": "with its components in the order z x y"}
    assert "with its components in the order z x y" in found.sentence
