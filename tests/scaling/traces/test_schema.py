"""The causal graph covers what is traced and runs one way."""

import re

from tools.scaling.traces.read import read_trace
from tools.scaling.traces.schema import FACTORS, PORT_ONLY, PRE_POLAR, QUANTITIES, quantity

NAMES = [row.name for row in QUANTITIES]


def test_every_golden_name_is_in_the_table(golden_logs):
    texts = {"detector_convention", "convention_mapping"}
    seen = set()
    for path in golden_logs:
        trace = read_trace(path)
        seen |= {*trace.names, *(f"PHI.{field}" for row in trace.phi_rows for field in row.values)}
    assert seen - set(NAMES) == texts
    assert set(PORT_ONLY) <= set(NAMES)
    assert PORT_ONLY.isdisjoint(seen)


def test_names_are_unique_and_inputs_come_first():
    assert len(set(NAMES)) == len(NAMES)
    for row in QUANTITIES:
        assert row.description
        for source in row.inputs:
            assert source.startswith("-") or NAMES.index(source) < row.order, (row.name, source)


def test_stages_do_not_go_back():
    stages = [(int(re.sub(r"\D", "", row.stage)), row.stage) for row in QUANTITIES]
    assert stages == sorted(stages)


def test_the_second_axes_of_the_beam_pivot_are_the_final_ones():
    assert quantity("fdet_after_rotz").stage == "7"
    assert quantity("fdet_after_rotz", 1).name == "fdet_after_twotheta"
    assert quantity("made_up").order == len(QUANTITIES)


def test_the_factors_are_the_nine_in_chain_order():
    assert list(FACTORS) == [
        "I_before_scaling",
        "r_e_sqr",
        "fluence_photons_per_m2",
        "steps",
        "capture_fraction",
        "polar",
        "omega_pixel",
        "cos_2theta",
        "I_pixel_final",
    ]
    assert {*FACTORS, PRE_POLAR} <= set(NAMES)
