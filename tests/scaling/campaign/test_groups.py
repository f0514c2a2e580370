"""Failures by what they have in common, and the records of what was shrunk of them."""

import json
from dataclasses import replace

import pytest

from tools.scaling.base.errors import BadInput
from tools.scaling.campaign import divergence as begins
from tools.scaling.campaign.failures.groups import RECORD, SHOWN, ShrunkCase, Signature, groups, read_shrunk, signature
from tools.scaling.campaign.record import Status, Verdict
from tools.scaling.traces.read import Trace, parse_trace

OMEGA = Verdict("oracle", Status.differs, "", (1, 2), "omega_pixel_sr", 3e-4)
POLAR = replace(OMEGA, label="polar")
SHRUNK = ShrunkCase(
    Signature("oracle", "polar", (), "1e-04"), 7, ("-cell", "9"), "python -m nanobragg_torch -cell 9", "It is.",
    "omega_pixel_sr", "oracle-polar", 40, 20, 1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("worst", "decade"), [(3e-4, "1e-04"), (1.0, "1e+00"), (12.0, "1e+01"), (0.0, ""), (float("inf"), "inf")]
)
def test_the_decade_of_a_signature_is_that_of_the_worst_deviation(worst: float, decade: str) -> None:
    assert signature(replace(OMEGA, worst=worst), ()).decade == decade


def test_a_signature_has_the_flags_that_switch_quirks_with_values_or_without() -> None:
    assert signature(OMEGA, ["-N", "--quirk=Q29=off", "--mode", "spec"]).quirks == ("--mode", "--quirk")
    assert signature(OMEGA, ["-N", "--quirk"]).quirks == ("--quirk",)
    assert signature(replace(OMEGA, label="a b/c"), ["--mode"]).name == "oracle-a_b_c-mode"


@pytest.mark.parametrize(
    ("port", "label"),
    [("F_latt nan", "I_pixel_final"), ("F_latt 2", "F_latt"), ("polar 1\nTRACE_C: F_latt nan", "polar")],
)
def test_a_difference_begins_where_the_port_first_leaves_the_oracle(port: str, label: str, monkeypatch) -> None:
    def traced(text: str) -> Trace:
        return parse_trace(f"TRACE_C: {text}\n".encode(), "log")

    oracle = traced("polar 2\nTRACE_C: F_latt nan\nTRACE_C: I_pixel_final 1")
    ours = traced(f"{port}\nTRACE_C: I_pixel_final 2")
    monkeypatch.setattr(begins, "oracle_trace", lambda config, pixel: oracle)
    monkeypatch.setattr(begins, "port_trace", lambda config, pixel: ours)
    assert begins.first_divergence(None, (0, 0)) == label
    monkeypatch.setattr(begins, "port_trace", lambda config, pixel: oracle)
    assert begins.first_divergence(None, (0, 0)) == ""


def test_groups_are_counted_and_the_largest_is_first() -> None:
    failures = [(seed, OMEGA if seed % 3 else POLAR, ("-N",)) for seed in reversed(range(300))]
    first, second = groups(failures)
    assert (first.signature.label, first.count, first.seeds) == ("omega_pixel_sr", 200, (1, 2, 4, 5, 7, 8, 10, 11, 13,
            14, 16, 17, 19, 20, 22, 23, 25, 26, 28, 29))  # fmt: skip
    assert (second.signature.label, second.count, len(second.seeds)) == ("polar", 100, SHOWN)
    assert groups([]) == ()


def test_groups_of_one_cause_stand_together() -> None:
    noise = replace(OMEGA, label="F_cell")
    failures = [(0, POLAR, ()), *((seed, noise, ()) for seed in range(5)), *((seed, OMEGA, ()) for seed in range(9))]
    assert [group.signature.label for group in groups(failures)] == ["omega_pixel_sr", "F_cell", "polar"]
    found = groups(failures, [SHRUNK])
    assert [group.signature.label for group in found] == ["omega_pixel_sr", "polar", "F_cell"]
    assert [group.cause for group in found] == ["omega_pixel_sr", "omega_pixel_sr", "F_cell"]
    assert found[1].shrunk == SHRUNK


def test_quirks_that_did_not_matter_part_no_groups() -> None:
    with_mode = replace(SHRUNK, signature=replace(SHRUNK.signature, quirks=("--mode",)), kept=3)
    failures = [(0, POLAR, ()), (1, POLAR, ("-N", "--mode"))]
    assert len(groups(failures)) == 2
    (group,) = groups(failures, [with_mode, SHRUNK])
    assert (group.count, group.seeds, group.signature.quirks, group.shrunk) == (2, (0, 1), (), SHRUNK)
    needed = replace(with_mode, flags=("--mode", "spec", "--quirk=Q29=off", "-cell", "9"))
    assert needed.quirks == ("--mode spec", "--quirk=Q29=off")
    assert [each.signature.quirks for each in groups(failures, [needed, SHRUNK])] == [(), needed.quirks]


def test_a_shrunk_case_stands_for_every_decade_of_its_kind() -> None:
    found = groups([(0, POLAR, ()), (1, replace(POLAR, worst=1e-9), ()), (2, POLAR, ("--mode",))], [SHRUNK])
    assert {group.signature.decade: group.shrunk for group in found if not group.signature.quirks} == {
        "1e-04": SHRUNK,
        "1e-09": SHRUNK,
    }
    assert [group.shrunk for group in found if group.signature.quirks] == [None]


def test_records_are_read_as_they_were_written_and_a_broken_one_is_named(tmp_path) -> None:
    assert read_shrunk(tmp_path) == ()
    path = tmp_path / "oracle-polar" / RECORD
    path.parent.mkdir()
    path.write_text(json.dumps(SHRUNK.to_dict()))
    assert read_shrunk(tmp_path) == (SHRUNK,)
    path.write_text('{"signature": {}}')
    with pytest.raises(
        BadInput, match=r"oracle-polar/shrunk\.json: expected the record of a shrunk case, got: 'quirks'"
    ):
        read_shrunk(tmp_path)
