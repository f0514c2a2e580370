"""Files of implementations that are wrong: one line that names the file, what was expected and what was got."""

import re

import pytest

from tests.scaling.implementations.standins import PIXEL, stand_in
from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.cases.case import find_case
from tools.scaling.implementations.describe import find_implementation, of_command, refuse_same_name
from tools.scaling.implementations.probe import probe_program
from tools.scaling.implementations.run import ran
from tools.scaling.matrix.run import run_matrix

GOOD = 'name = "mine"\n[run]\ncommand = ["program", "{flags}"]\n'
FILES = {
    "no TOML": ("name = ", "expected the TOML file of an implementation, got: "),
    "binary": ("\x00\x01", "expected the TOML file of an implementation, got: "),
    "empty": ("", "got no name and no command"),
    "no command": ('name = "x"\n[run]\n', "got no command"),
    "unknown key": (f'colour = "red"\n{GOOD}', "expected one of name, variant, run, image, trace, flags, got 'colour'"),
    "unknown key of a table": (f"{GOOD}shell = true\n", "[run]: expected one of command, environment, threads,"),
    "a list of the wrong kind": (GOOD.replace('"{flags}"', "3"), "run.command: expected words, got 3"),
    "an empty word": (GOOD.replace('"program"', '""'), "run.command: expected words, got ''"),
    "a command line": ('name = "x"\n[run]\ncommand = "p {flags}"\n', "command: expected a list, got 'p {flags}'"),
    "a word for a number": (f'{GOOD}threads = "two"\n', "threads: expected an integer, got 'two'"),
    "true for a number": (f"{GOOD}threads = true\n", "threads: expected an integer, got True"),
    "a number for true": (f"{GOOD}[flags]\nflux_as_fluence = 1\n", "flux_as_fluence: expected true or false, got 1"),
    "a value for a table": (f'image = "float"\n{GOOD}', "image: expected a table, got 'float'"),
    "an unknown type": (f'{GOOD}[image]\ndtype = "int16"\n', "[image]: expected one of float32, float64, got 'int16'"),
    "an unknown byte order": (f'{GOOD}[image]\nbyte_order = "pdp"\n', "expected one of little, big, got 'pdp'"),
    "unknown axes": (f'{GOOD}[image]\naxes = "xy"\n', "expected one of slow fast, fast slow, got 'xy'"),
    "a place that is never filled": (GOOD.replace('"program"', '"{program}"'), "got {program}, which is never filled"),
    "no {flags}": (GOOD.replace(', "{flags}"', ""), "expected the word {flags} once in the command, got 0"),
    "{flags} twice": (GOOD.replace('"program"', '"p", "{flags}"'), "{flags} once in the command, got 2"),
    "a name of words": (GOOD.replace("mine", "my port"), "letters, digits and _ . + -, got 'my port'"),
    "a variant that is none": (f'variant = "mine"\n{GOOD}', "expected a variant among golden, hoidn-main,"),
    "no thread": (f"{GOOD}threads = 0\n", "[run]: threads above 0, got 0"),
    "no time": (f"{GOOD}timeout_s = -1\n", "[run]: a timeout_s above 0, got -1.0"),
    "a file elsewhere": (f'{GOOD}[image]\nfile = "../float.bin"\n', "a file's bare name, got '../float.bin'"),
    "no scale": (f"{GOOD}[image]\nscale = nan\n", "a finite scale that is not 0, got nan"),
    "a spelling that is no word": (f'{GOOD}[flags.spelled]\n"-N" = 3\n', "flags.spelled.-N: expected words, got 3"),
    "a label that is no table": (f"{GOOD}[trace.labels]\nhkl = 3\n", '[hkl]: expected name = "OUR_NAME"'),
    "a label with an unknown key": (
        f'{GOOD}[trace.labels]\nhkl = {{ name = "hkl_frac", times = 3 }}\n', "got times = 3"
    ),
    "a label with an order of words": (
        f'{GOOD}[trace.labels]\nhkl = {{ name = "hkl_frac", order = ["h"] }}\n', "got order = ['h']"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), FILES.values(), ids=FILES)
def test_a_wrong_file_is_one_line(tmp_path, text, told):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=re.escape(told)) as error:
        find_implementation(str(path))
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value) and error.value.exit_code == 2


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match=r"mine.toml: expected the TOML file of an implementation, got: "):
        find_implementation(str(tmp_path / "mine.toml"))
    with pytest.raises(BadInput, match="^nonesuch: expected a TOML file or one of .*hoidn, nanobragg"):
        find_implementation("nonesuch")


def test_a_program_that_is_not_there_is_missing(tmp_path):
    path = stand_in(tmp_path / "port")
    path.write_text(GOOD.replace('"program"', '"./no_such_program"'))
    with pytest.raises(Unavailable) as error, ran(find_implementation(str(path)), (), (), PIXEL):
        pass
    assert str(error.value) == "mine: expected a program that can be run, got none at ./no_such_program"
    assert error.value.exit_code == 3
    program = find_implementation(str(path))
    for begun in (
        lambda: run_matrix([find_case("cubic_mosflm")], candidates=(program,)),
        lambda: probe_program(program),
    ):
        with pytest.raises(Unavailable, match="^mine: expected a program that can be run, got none at"):
            begun()


def test_two_of_one_name_cannot_be_told_apart(tmp_path):
    two = [find_implementation(str(stand_in(tmp_path / folder))) for folder in ("a", "b")]
    with pytest.raises(BadInput, match=r"^stand-in: expected implementations of different names, got two: .*a.*b"):
        refuse_same_name(*two)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("p '{flags}", "No closing quotation"),
        ("p {out}", "{flags} once in the command, got 0"),
        ("", "expected a command line, got an empty one"),
    ],
)
def test_a_wrong_command_line_is_one_line(line, told):
    with pytest.raises(BadInput, match=re.escape(told)) as error:
        of_command(line, "candidate")
    assert "\n" not in str(error.value)
