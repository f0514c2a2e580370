"""Stand-ins of ours behave like other people's ports: image and trace come out right, and nothing is left running."""

import re

import numpy
import pytest

from tests.scaling.implementations.standins import IMAGE, PIXEL, stand_in, still_running
from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.cases.case import Case
from tools.scaling.implementations.describe import find_implementation
from tools.scaling.implementations.make import BY_DEFAULT, MadeImage, maker
from tools.scaling.implementations.run import ran, read_image, read_trace, record_of

SIZE = IMAGE.shape


def products(path, flags=(), folders=()):
    """The image, and the traced numbers by name, of one run."""
    program = find_implementation(str(path))
    with ran(program, flags, folders, PIXEL) as run:
        image = read_image(program, run, SIZE)
        trace = read_trace(program, run, PIXEL) if program.trace else None
    assert still_running(path.parent) == []
    return image, {} if trace is None else {record.name: record.values for record in trace.records}


FORMS = [
    ("", IMAGE.astype("<f4")),
    ('dtype = "float64"\n', IMAGE.astype("<f8")),
    ('byte_order = "big"\n', IMAGE.astype(">f4")),
    ('dtype = "float64"\nbyte_order = "big"\n', IMAGE.astype(">f8")),
    ('axes = "fast slow"\n', IMAGE.T.astype("<f4")),
    ("scale = 0.25\n", (4 * IMAGE).astype("<f4")),
    ('axes = "fast slow"\nbyte_order = "big"\nscale = -2\n', (IMAGE.T / -2).astype(">f4")),
]


@pytest.mark.parametrize(("form", "stored"), FORMS, ids=[form.replace("\n", " ") or "as ours" for form, _ in FORMS])
def test_an_image_of_another_form_is_read_as_ours(tmp_path, form, stored):
    image, _ = products(stand_in(tmp_path / "port", body=f"[image]\n{form}", image=stored.tobytes(order="C")))
    assert image.dtype.is_floating_point and numpy.array_equal(image.numpy(), IMAGE)


def test_a_trace_is_read_between_noise(tmp_path):
    image, names = products(stand_in(tmp_path / "port", "noise"))
    assert numpy.array_equal(image.numpy(), IMAGE)
    assert names == {"steps": (4.0,), "I_pixel_final": (6.5,)}


def test_labels_of_its_own_with_other_units_and_order(tmp_path):
    labels = """
    [trace]
    prefix = "DUMP"
    [trace.labels]
    wavelength_nm = { name = "lambda_angstroms", factor = 10 }
    a_xzy = { name = "rot_a_angstroms", factor = 1e10, order = [0, 2, 1] }
    """
    lines = ["DUMP: wavelength_nm 0.1", "DUMP: a_xzy 1e-9 3e-9 2e-9", "DUMPED 5", "DUMP: steps 4"]
    _, names = products(stand_in(tmp_path / "port", body=labels, trace=lines))
    assert names["lambda_angstroms"] == (1.0,) and names["steps"] == (4.0,)
    assert numpy.allclose(names["rot_a_angstroms"], (10.0, 20.0, 30.0), rtol=1e-15)
    for prefix in ("DUMP", "DUMP:"):  # neither needs a colon of its own
        body, lines = f'[trace]\nprefix = "{prefix}"\n', [f"{prefix} steps 4", f"{prefix} I_pixel_final 6.5"]
        _, names = products(stand_in(tmp_path / "port", body=body, trace=lines))
        assert names == {"steps": (4.0,), "I_pixel_final": (6.5,)}


def test_flags_that_it_lacks_or_spells_otherwise(tmp_path):
    body = '[flags]\nlacks = ["-flux"]\nspelled = { "-lambda" = "--wavelength", "-nopolar" = ["--polar", "off"] }\n'
    program = find_implementation(str(stand_in(tmp_path / "port", body=body)))
    assert program.lacking(("-lambda", "1", "-flux", "1e12")) == "stand-in lacks -flux"
    assert program.lacking(("-lambda", "1")) == ""
    words = program.words(("-lambda", "1", "-nopolar"))
    assert words[4:] == ["--wavelength", "1", "--polar", "off"]


FAILURES = {
    "crash": "stand-in: crashed with SIGABRT, expected a run to its end",
    "fail": "stand-in: exit code 1, expected a run to its end: no beam today",
    "ask": "stand-in: exit code 1, expected a run to its end: EOFError: EOF when reading a line",
    "nothing": "stand-in: expected a float image float.bin of 3 x 4 float32, 48 bytes, got none",
    "short": "stand-in: expected a float image float.bin of 3 x 4 float32, 48 bytes, got 44 bytes",
    "two": "stand-in: expected one float image, got two: float.bin and second.bin",
    "work behind": "stand-in: expected a float image float.bin of 3 x 4 float32, 48 bytes, got none; "
    "it left 1 process behind, now ended",
}


@pytest.mark.parametrize(("habit", "message"), FAILURES.items(), ids=FAILURES)
def test_a_run_that_fails_is_told_in_one_line(tmp_path, habit, message):
    with pytest.raises(BadInput) as error:
        products(stand_in(tmp_path / "port", habit))
    assert str(error.value) == message and error.value.exit_code == 2
    assert still_running(tmp_path) == []


def test_a_run_that_hangs_is_ended(tmp_path):
    with pytest.raises(BadInput, match="^stand-in: on pixel 1 2: still running after 0.5 s; stopped$"):
        products(stand_in(tmp_path / "port", "hang", timeout_s=0.5))
    assert still_running(tmp_path) == []


def test_a_run_that_prints_without_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.scaling.implementations.run.MOST_PRINTED", 1 << 20)
    with pytest.raises(BadInput, match="^stand-in: on pixel 1 2: printed more than 1 MiB, expected a trace; stopped$"):
        products(stand_in(tmp_path / "port", "shout"))
    assert still_running(tmp_path) == []


def test_what_it_leaves_behind_its_end_is_ended(tmp_path):
    image, _ = products(stand_in(tmp_path / "port", "fork"))
    assert numpy.array_equal(image.numpy(), IMAGE)
    flags = "-cell 1 1 1 90 90 90 -default_F 1 -lambda 1 -N 1 -distance 9 -detpixels_f 4 -detpixels_s 3"
    case = Case("small", tmp_path, tuple(flags.split()), (), None, {})
    program = find_implementation(str(tmp_path / "port" / "standin.toml"))
    assert maker(program, case, BY_DEFAULT).image().note("it") == "it left 1 process running behind its end, now ended"
    assert MadeImage(image).note("it") == ""


def test_its_other_products_may_be_as_long_as_the_float_image(tmp_path):
    image, _ = products(stand_in(tmp_path / "port", "products"))
    assert numpy.array_equal(image.numpy(), IMAGE)


def test_it_gets_a_clean_folder_with_copies_of_the_inputs(tmp_path):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "P1.hkl").write_bytes(IMAGE.astype("<f4").tobytes())  # as long as an image
    image, _ = products(stand_in(tmp_path / "port"), ("-hkl", "P1.hkl"), (tmp_path / "inputs",))
    assert numpy.array_equal(image.numpy(), IMAGE)
    assert [path.name for path in (tmp_path / "inputs").iterdir()] == ["P1.hkl"]


NO_TRACE = "stand-in: expected lines that begin with TRACE_C, got none (the output for pixel 1 2)"
TRACES = [
    (
        ["TRACE_CONFIG: tracing pixel (spixel=2, fpixel=1)", "TRACE_C: steps 4"],
        "stand-in: expected the trace of pixel 1 2, got that of pixel 2 1",
    ),
    ([], NO_TRACE),
    (["no trace in this build"], NO_TRACE),
    (
        ["TRACE_C: steps 4", "TRACE_PY: steps 4"],
        "stand-in:2: expected TRACE_C lines only, got TRACE_PY (the output for pixel 1 2)",
    ),
]


@pytest.mark.parametrize(("lines", "message"), TRACES, ids=["another pixel", "empty", "prose", "two prefixes"])
def test_a_trace_that_is_none_of_the_pixel(tmp_path, lines, message):
    with pytest.raises(BadInput) as error:
        products(stand_in(tmp_path / "port", trace=lines))
    assert str(error.value) == message


READER = """
def lines(text):
    return "".join("TRACE_PY: " + line.replace("|", " ") + "\\n" for line in text.splitlines())

def broken(text):
    return 1 / 0

def nothing(text):
    return None
"""


def test_a_reader_beside_the_file_makes_our_lines_of_any_format(tmp_path):
    path = stand_in(tmp_path / "port", body='[trace]\nreader = "reader.py:lines"\n', trace=["steps|4"])
    (path.parent / "reader.py").write_text(READER)
    assert products(path)[1] == {"steps": (4.0,)}


BROKEN = {
    "reader.py:broken": "stand-in: the trace's reader reader.py:broken: ZeroDivisionError: division by zero",
    "reader.py:nothing": "stand-in: the trace's reader reader.py:nothing: expected text, got NoneType",
    "reader.py:absent": "stand-in: the trace's reader reader.py:absent: KeyError: 'absent'",
    "no_such_module:lines": "stand-in: the trace's reader no_such_module:lines: ModuleNotFoundError: "
    "No module named 'no_such_module'",
}


@pytest.mark.parametrize(("reader", "message"), BROKEN.items(), ids=BROKEN)
def test_a_reader_that_cannot_be_used(tmp_path, reader, message):
    path = stand_in(tmp_path / "port", body=f'[trace]\nreader = "{reader}"\n', trace=["steps|4"])
    (path.parent / "reader.py").write_text(READER)
    with pytest.raises(BadInput) as error:
        products(path)
    assert str(error.value) == message


def test_rows_of_phi_have_labels_and_what_is_in_print_only_is_left_out(tmp_path):
    labels = """
    [trace]
    prefix = "TRACE_PY"
    [trace.labels]
    F_latt = { name = "F_latt", print_only = true }
    "PHI.k_frac" = { name = "PHI.k_frac", factor = 1e10 }
    "PHI.F_latt" = { name = "PHI.F_latt", print_only = true }
    """
    lines = ["TRACE_PY_PHI phi_tic=0 phi_deg=1 k_frac=2e-10 F_latt=7", "TRACE_PY: F_latt 5", "TRACE_PY: steps 4"]
    program = find_implementation(str(stand_in(tmp_path / "port", body=labels, trace=lines)))
    with ran(program, (), (), PIXEL) as run:
        trace = read_trace(program, run, PIXEL)
    assert trace.names == ("steps",) and [row.values for row in trace.phi_rows] == [{"phi_deg": 1.0, "k_frac": 2.0}]


def test_a_checkout_without_git_has_the_digest_of_its_files(tmp_path):
    path = stand_in(tmp_path / "port")
    path.write_text(path.read_text().replace("[run]", '[run]\ncheckout = "{here}/sources"'))
    with pytest.raises(Unavailable, match="sources: expected the checkout of an implementation, got no folder$"):
        record_of(find_implementation(str(path)))
    (tmp_path / "port" / "sources").mkdir()
    source = tmp_path / "port" / "sources" / "a.py"
    commits = []
    for text in ("1", "2"):
        source.write_text(text)
        commits.append(record_of(find_implementation(str(path)))["commit"])
    assert commits[0] != commits[1] and all(re.fullmatch("no git; .* [0-9a-f]{64}", commit) for commit in commits)
