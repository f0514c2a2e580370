"""Trace files: the formats of semantics 8, and every way in which a log can be damaged."""

import math
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scaling.conftest import GOLDEN, SUPERVISOR
from tools.scaling.base import reading
from tools.scaling.base.errors import BadInput
from tools.scaling.traces import read as traces
from tools.scaling.traces.read import inspect_trace, number, parse_trace, read_trace

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
SAMPLES = [
    (GOLDEN / name).read_bytes()
    for name in (
        "supervisor_one_reflection/trace_685_1039.log",
        "tricubic_falls_out/trace_2_3.log",
        "source_file/trace_33_12.log",
        "phi_crosses_zero/trace_20_21.log",
    )
]


def values(text: str, name: str, source: str = "x.log"):
    return [record.values for record in parse_trace(text.encode(), source).occurrences(name)]


def test_every_golden_trace_reads_without_a_skip(golden_logs):
    assert len(golden_logs) == 84
    for path in golden_logs:
        trace = read_trace(path)
        slow, fast = map(int, path.stem.split("_")[1:])
        assert trace.pixel == (slow, fast)
        assert trace.prefix == "TRACE_C"
        assert (trace.skipped, trace.ignored) == ((), 0), path
        lines = path.read_bytes().count(b"\n")
        assert len({record.line for record in trace.records} | {row.line for row in trace.phi_rows}) == lines - 1


def test_every_golden_trace_passes_the_inspection(golden_logs):
    assert [path for path in golden_logs if not inspect_trace(read_trace(path)).ok] == []


def test_the_supervisor_trace_number_by_number(supervisor):
    (hkl,) = supervisor.occurrences("hkl_frac")
    assert hkl.values == (-6.8795206024501, -0.607255839576692, -13.766298525469)
    assert (hkl.occurrence, hkl.line, hkl.text) == (0, 45, None)
    assert supervisor.occurrences("beam_center_m.Xclose")[0].values == (0.000211818,)
    assert supervisor.occurrences("angles_rad.twotheta")[0].values == (0.0,)
    assert supervisor.occurrences("detector_convention")[0].text == "CUSTOM"
    assert [row.phi_tic for row in supervisor.phi_rows] == list(range(10))
    assert supervisor.phi_rows[3].values == {
        "phi_deg": 0.03,
        "k_frac": -0.595197691574922,
        "F_latt_b": -0.0844254727339029,
        "F_latt": 0.155482072719562,
    }


def test_beam_pivot_repeats_its_axes_and_has_matrices_and_text():
    trace = read_trace(GOLDEN / "phi_crosses_zero" / "trace_20_21.log")
    assert [record.occurrence for record in trace.occurrences("fdet_after_rotz")] == [0, 1]
    assert trace.occurrences("Rx")[0].values == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert math.copysign(1.0, trace.occurrences("Rx")[0].values[5]) == -1.0
    assert trace.occurrences("convention_mapping")[0].text.startswith("Fbeam\\xe2\\x86\\x90Ybeam_mm")


def test_groups_have_names_of_their_own():
    text = (
        "TRACE_C: polar 0.5\nTRACE_C_SOURCE2: polar 0.25\nTRACE_C_TAP5: pixel 3 4\n"
        "TRACE_C_TAP5_HKL: subpixel=0 1 hkl_frac= 1.5 -2.5 3.5 h0=1 k0=-3 l0=3 F_cell=7.5 out_of_bounds=0\n"
        "DETECTOR_FAST_AXIS 0 0 1\n"
    )
    trace = parse_trace(text.encode(), "x.log")
    assert {record.name: record.values for record in trace.records} == {
        "polar": (0.5,),
        "SOURCE2.polar": (0.25,),
        "TAP5.pixel": (3, 4),
        "TAP5_HKL.subpixel": (0, 1),
        "TAP5_HKL.hkl_frac": (1.5, -2.5, 3.5),
        "TAP5_HKL.h0": (1,),
        "TAP5_HKL.k0": (-3,),
        "TAP5_HKL.l0": (3,),
        "TAP5_HKL.F_cell": (7.5,),
        "TAP5_HKL.out_of_bounds": (0,),
        "DETECTOR_FAST_AXIS": (0, 0, 1),
    }
    assert trace.skipped == ()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_line_ends_do_not_matter(end, supervisor_bytes, supervisor):
    trace = parse_trace(supervisor_bytes.replace(b"\n", end.encode()), "c.log")
    assert (trace.records, trace.phi_rows) == (supervisor.records, supervisor.phi_rows)


def test_a_line_glued_to_other_text_is_found_inside_it(supervisor_bytes, supervisor):
    """The tricubic warning prints no line end (semantics 8): the next trace line follows on it."""
    glued = supervisor_bytes.replace(
        b"TRACE_C: pix0_vector_meters",
        b"WARNING: out of range for three point interpolationTRACE_C: pix0_vector_meters",
    )
    assert parse_trace(glued, "c.log").records == supervisor.records


def test_a_number_cut_by_the_next_trace_line_is_not_trusted():
    trace = parse_trace(b"TRACE_C: R_distance_meters 0.2534TRACE_C: polar 0.5\nTRACE_C: R_distance_meters 2\n", "x")
    assert [record.values for record in trace.occurrences("R_distance_meters")] == [(), (2.0,)]
    assert trace.occurrences("polar")[0].values == (0.5,)
    assert [skip.line for skip in trace.skipped] == [1]
    assert trace.skipped[0].reason.startswith(
        "another trace line begins inside it: 'TRACE_C: R_distance_meters 0.2534'"
    )


def test_the_golden_torn_lines_are_missing_and_nothing_else():
    whole, torn = (read_trace(GOLDEN / "tricubic_falls_out" / f"trace_{p}.log") for p in ("0_12", "2_3"))
    assert len(whole.occurrences("pix0_vector_meters")) == 1
    assert len(torn.occurrences("pix0_vector_meters")) == 0
    assert set(whole.names) - set(torn.names) <= {"pix0_vector_meters"}


def test_a_torn_last_line_is_skipped_and_said(supervisor_bytes):
    cut = supervisor_bytes[: supervisor_bytes.index(b"I_pixel_final 2.88139542684698e-07") + 20]
    trace = parse_trace(cut, "c.log")
    assert trace.occurrences("I_pixel_final") == ()
    assert [(skip.line, skip.reason) for skip in trace.skipped] == [
        (74, "the last line has no line end: its last value may be cut short")
    ]


def test_text_instead_of_a_number_keeps_its_occurrence_and_is_said():
    trace = parse_trace(b"TRACE_PY: polar NOT_EXTRACTED\nTRACE_PY: polar 0.5 \nTRACE_PY: steps 1 x\n", "x")
    assert [(r.values, r.text) for r in trace.occurrences("polar")] == [((), "NOT_EXTRACTED"), ((0.5,), None)]
    assert [skip.reason for skip in trace.skipped] == [
        "polar: expected numbers, got 'NOT_EXTRACTED'",
        "steps: expected numbers, got '1 x'",
    ]


@pytest.mark.parametrize(
    "token",
    [
        "1e5x",
        "0x10",
        "1_000",
        "nan(0x1)",
        "-nan(ind)",
        "1.2.3",
        "1e",
        "--1",
        "",
        "1,5",
        "1e999",
        "1e-999",
        "\u0661",
        "1d5",
    ],
)
def test_what_is_no_number_gives_none(token):
    assert number(token) is None
    trace = parse_trace(f"TRACE_C: steps 1\nTRACE_C: polar {token}\n".encode(), "x")
    assert all(not record.values for record in trace.occurrences("polar"))


@pytest.mark.parametrize(
    "token", ["1", "-0", "+.5", "1.", "1e5", "-2.5E-03", "0e-999", "nan", "-nan", "inf", "-Infinity"]
)
def test_what_is_a_number_is_what_c_would_read(token):
    expected = float(token)
    found = number(token)
    assert found is not None
    assert found == expected or (math.isnan(found) and math.isnan(expected))
    assert math.copysign(1.0, found) == math.copysign(1.0, expected)


@pytest.mark.parametrize(
    "text", ["[1 0 0; 0 1 0; 0 0", "[1 0; 0 1 0; 0 0 1]", "[1 0 0; 0 1 0]", "[1 0 0; 0 x 0; 0 0 1]", "[]"]
)
def test_a_torn_matrix_gives_no_numbers(text):
    trace = parse_trace(f"TRACE_C:Rx={text}\n".encode(), "x")
    assert trace.occurrences("Rx")[0].values == ()
    assert trace.skipped[0].reason == f"Rx: expected numbers, got {text!r}"


def test_a_control_byte_inside_a_number_does_not_split_it():
    assert values("TRACE_C: polar 0.91\x1c46\n", "polar") == [()]
    assert values("TRACE_C: polar 0.91\x0046\n", "polar") == [()]


def test_lines_that_are_no_trace_are_counted():
    trace = parse_trace(b"Debug: hello\n\nTRACE: something\nsee TRACE_C lines\nTRACE_C: polar 0.5\n", "x")
    assert (trace.ignored, trace.skipped, len(trace.records)) == (3, (), 1)


def test_a_damaged_phi_row_is_skipped_whole():
    text = "TRACE_C: steps 1\nTRACE_C_PHI phi_tic=0 phi_deg=0 k_frac=0.5x\nTRACE_C_PHI phi_deg=1 k_frac=2\n"
    trace = parse_trace(text.encode(), "x")
    assert trace.phi_rows == ()
    assert [skip.line for skip in trace.skipped] == [2, 3]
    assert trace.skipped[0].reason.startswith("expected phi_tic=INTEGER and key=number fields, got 'phi_tic=0")


BAD = [
    (b"", "bad.log: expected lines that begin with TRACE_C or TRACE_PY, got an empty file"),
    (b" \n\n", "bad.log: expected lines that begin with TRACE_C or TRACE_PY, got an empty file"),
    (b"a\nb\n", "bad.log: expected lines that begin with TRACE_C or TRACE_PY, got none in 2 lines"),
    (b"a\nb\nc", "bad.log: expected lines that begin with TRACE_C or TRACE_PY, got none in 3 lines"),
    (b"\x7fELF\0\0\0\xff\n", "bad.log: expected lines that begin with TRACE_C or TRACE_PY, got binary data"),
    (b"TRACE_C: steps 1\nTRACE_PY: steps 1\n", "bad.log:2: expected TRACE_C lines only, got TRACE_PY"),
    (
        b"TRACE_C: steps 1\nTRACE_CONFIG: tracing pixel (spixel=1, fpixel=2)\n"
        b"TRACE_CONFIG: tracing pixel (spixel=3, fpixel=4)\n",
        "bad.log:3: expected one traced pixel, got slow, fast (1, 2) and (3, 4)",
    ),
]


@pytest.mark.parametrize(("data", "message"), BAD)
def test_a_file_that_is_no_trace_is_one_line(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.log").write_bytes(data)
    with pytest.raises(BadInput) as error:
        read_trace("bad.log")
    assert str(error.value) == message


def test_a_file_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"none.log: expected a trace file, got: No such file or directory$"):
        read_trace(tmp_path / "none.log")
    with pytest.raises(BadInput, match=r"expected a trace file, got a folder$"):
        read_trace(tmp_path)
    with pytest.raises(BadInput, match=r"^/dev/zero: expected a trace file, got a device$"):
        read_trace("/dev/zero")
    monkeypatch.setattr(traces, "MAX_BYTES", 1 << 20)
    (tmp_path / "large.log").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(BadInput, match=r"large.log: expected a trace of at most 1 MiB, got a larger file$"):
        read_trace(tmp_path / "large.log")


def test_a_pipe_is_read_to_its_end_and_one_that_nobody_writes_to_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(reading, "WAIT", 0.1)
    with pytest.raises(BadInput, match=r"pipe: expected a trace file, got a pipe to which nobody writes$"):
        read_trace(tmp_path / "pipe")
    # one who comes late, writes in two goes and more than the pipe holds
    monkeypatch.setattr(reading, "WAIT", 60.0)
    late = (
        "time.sleep(0.3); out = open(sys.argv[1], 'w'); out.write('TRACE_C: steps 1\\n'); out.flush(); time.sleep(0.3)"
    )
    code = f"import sys, time; {late}; out.write('TRACE_C: fluence 2\\n' * 9999)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "pipe")]):
        trace = read_trace(tmp_path / "pipe")
    assert [len(trace.numbers(name)) for name in ("steps", "fluence")] == [1, 9999]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_one_line(tmp_path):
    path = tmp_path / "secret.log"
    path.write_bytes(b"TRACE_C: steps 1\n")
    path.chmod(0)
    with pytest.raises(BadInput, match=r"secret.log: expected a trace file, got: Permission denied$"):
        read_trace(path)


def invented(trace, data: bytes) -> list[object]:
    """Numbers of the trace that are no token of the line that they are said to come from."""
    lines = data.decode("latin-1").split("\n")
    wrong = []
    rows = [(r.line, r.values) for r in trace.records]
    rows += [(r.line, (r.phi_tic, *r.values.values())) for r in trace.phi_rows]
    for line, numbers in rows:
        tokens = [token for token in re.split(r"[ \t=:;\[\]\r]", lines[line - 1]) if NUMBER.fullmatch(token)]
        found = [float(token) for token in tokens]
        wrong += [(line, x) for x in numbers if not any(x == y or (x != x and y != y) for y in found)]
    return wrong


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_trace_or_bad_input(data):
    for head in (b"", b"TRACE_C: ", b"TRACE_PY_PHI phi_tic=0 k_frac=", b"TRACE_C:Rx=["):
        try:
            trace = parse_trace(head + data, "fuzz")
        except BadInput as error:
            assert "\n" not in str(error) and str(error).isascii()
        else:
            assert invented(trace, head + data) == []


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_golden_logs_never_give_a_number_they_do_not_have(data):
    log = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(log) - 1))
        length = data.draw(st.integers(0, 30))
        log[at : at + length] = data.draw(
            st.binary(max_size=8)
            | st.sampled_from([b"TRACE_C: ", b"TRACE_CONFIG:", b" ", b"\n", b"\r", b"e5", b"_", b"]"])
        )
        log = log or bytearray(b"x")
    log = log[: data.draw(st.integers(len(log) // 2, len(log)))]
    try:
        trace = parse_trace(bytes(log), "fuzz")
    except BadInput as error:
        assert "\n" not in str(error) and str(error).isascii()
    else:
        assert invented(trace, bytes(log)) == []
        inspect_trace(trace)


def test_the_inspection_says_what_is_wrong(port, supervisor):
    assert inspect_trace(supervisor).counts["steps"] == 1
    found = inspect_trace(port(polar=None, steps="nan"))
    assert not found.ok
    assert found.problems == (
        "py.log:66: expected one finite steps, got nan",
        "py.log: expected polar once, got it 0 times",
        "py.log: expected I_before_scaling_pre_polar once, got it 0 times",
        "py.log: expected I_before_scaling_post_polar once, got it 0 times",
    )


def test_the_inspection_of_a_port_trace_wants_both_polar_values(supervisor_bytes):
    text = supervisor_bytes.replace(b"TRACE_C", b"TRACE_PY").replace(b"TRACE_PYONFIG", b"TRACE_CONFIG")
    both = b"TRACE_PY: I_before_scaling_pre_polar 1\nTRACE_PY: I_before_scaling_post_polar 2\n"
    assert inspect_trace(parse_trace(text + both, "py.log")).ok
    twice = inspect_trace(parse_trace(text + both + both, "py.log"))
    assert twice.problems == (
        "py.log: expected I_before_scaling_pre_polar once, got it 2 times",
        "py.log: expected I_before_scaling_post_polar once, got it 2 times",
    )


def test_reading_and_inspecting_import_neither_torch_nor_numpy():
    code = (
        "import sys; from tools.scaling.traces.read import *; import tools.scaling.traces.compare; "
        "import tools.scaling.traces.markdown; "
        f"assert inspect_trace(read_trace({str(SUPERVISOR)!r})).ok; "
        "sys.exit(len({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=GOLDEN.parents[1]).returncode == 0


# Where reading were quadratic in the length of a line, each of these would take from minutes to hours.
LONG = 200_000


@pytest.mark.parametrize(
    "line",
    [
        "TRACE_C_" * LONG,
        "TRACE_C_A" * LONG,
        "TRACE_C:" * LONG,
        "TRACE_CONFIG:" * LONG,
        "TRACE_C: v" + " " * LONG + "x",
        "TRACE_C:" + "a" * LONG + "(",
        "TRACE_C: v [" + "1 2;" * LONG + "]",
        "TRACE_CONFIG: " + "spixel=1, " * LONG,
        "DETECTOR_FAST_AXIS" + " " * LONG + "TRACE_C",
        "\r" * LONG,
    ],
    ids=lambda line: f"{line[:12]!r}...",
)
def test_a_line_without_an_end_is_read_once(line):
    assert values(f"TRACE_C: a 1\n{line}\nTRACE_C: b 2\n", "b") == [(2.0,)]


def test_a_field_with_many_values_is_read_once():
    trace = parse_trace(f"TRACE_C_SOURCE2: a={'1 ' * LONG}b=2\n".encode(), "x.log")
    assert [len(record.values) for record in trace.records] == [LONG, 1]
    assert trace.names == ("SOURCE2.a", "SOURCE2.b")
