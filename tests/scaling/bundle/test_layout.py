"""What lies where in a bundle: the entries of commands.txt read back as written, and records that are none named."""

import os
from datetime import UTC, datetime

import pytest

from tools.scaling.base.errors import BadInput
from tools.scaling.bundle.layout import (
    MODES,
    CommandRecord,
    command_blocks,
    command_entries,
    read_metrics,
    read_object,
    read_record,
)

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
RECORDS = (
    CommandRecord("provenance", "git status -sb", NOON, 0, 0.086, None, stdout="## main\n\n M a.py\n"),
    CommandRecord("comparison", "python -m x 'a b'", NOON, -9, 12.5, 152 * 2**20, stderr="no\tx", note="80 % of 2 MiB"),
)


def test_what_was_recorded_is_read_back():
    first, second = command_entries("".join(each.as_text(n) for n, each in enumerate(RECORDS, 1)))
    assert (first.number, first.started, first.step, first.exit_code) == (
        "001",
        "2026-11-23T12:00:00Z",
        "provenance",
        0,
    )
    assert (first.command, first.seconds, first.peak, first.note) == ("git status -sb", "0.086", "-", "")
    assert first.out == ("## main", "", " M a.py")
    assert (second.number, second.exit_code, second.seconds, second.peak) == ("002", -9, "12.500", "152.0 MiB")
    assert (second.command, second.note, second.out) == ("python -m x 'a b'", "80 % of 2 MiB", ("no      x",))


def test_a_block_of_another_form_is_no_entry_and_ends_none():
    text = RECORDS[0].as_text(1) + "[002] torn\n$ x\n\n" + RECORDS[1].as_text(3)
    assert len(command_blocks(text)) == 3
    assert [entry.number for entry in command_entries(text)] == ["001", "003"]


def test_each_mode_has_its_own_trace_and_its_own_place():
    assert [mode.path("metrics.json") for mode in MODES.values()] == [
        "metrics.json", "spec/metrics.json", "legacy/metrics.json",
    ]  # fmt: skip
    assert len({mode.log for mode in MODES.values()}) == len({mode.options for mode in MODES.values()}) == 3


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "Expecting value"),
        ("[]", "list in place of an object"),
        ("[" * 100_000, "too many levels, one in another"),
        ("{}", "no 'first_divergence'"),
        ('{"first_divergence": null, "num_divergent": 0, "factors": {}}', "no 'I_before_scaling'"),
    ],
)
def test_metrics_that_are_none_are_one_line(tmp_path, content, why):
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec/metrics.json").write_text(content)
    with pytest.raises(BadInput) as refused:
        read_metrics(tmp_path, MODES["spec"])
    assert str(refused.value).startswith(
        f"{tmp_path}/spec/metrics.json: expected the metrics of a comparison, got: {why}"
    )


def test_a_record_that_is_no_plain_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "env.json")
    with pytest.raises(BadInput, match=r"env\.json: expected what the run wrote, got: expected a plain file"):
        read_object(tmp_path / "env.json")
    with pytest.raises(OSError, match="expected a plain file"):
        read_record(tmp_path)


def test_the_head_of_a_record_is_an_object_of_its_own(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"a": 1, "quantities": [' + "0, " * 5000 + "0]}\n")
    assert read_record(path, head_only=True) == b'{"a": 1}'
    assert len(read_record(path)) == path.stat().st_size
    path.write_text('{"a": 1, "quantities": [' + "0, " * 5000)  # torn: no head is believed
    assert read_record(path, head_only=True) == path.read_bytes()
