"""The TOML file of an implementation: what is shipped, what the page says of it, variables, places, the fluence."""

import re

import pytest

from tools.scaling.base.errors import Unavailable
from tools.scaling.base.repo import ROOT
from tools.scaling.implementations.describe import (
    _KEYS,
    PLACES,
    find_implementation,
    shipped_names,
    with_fluence,
    with_variables,
)
from tools.scaling.traces.labels import read_labels

PAGE = (ROOT / "docs" / "development" / "implementations.md").read_text()


def rows_of(head):
    """The names in the first column of the page's table whose head begins with `head`."""
    body = PAGE.split(f"| {head} | ", 1)[1].split("\n\n", 1)[0]
    return [name for line in body.splitlines()[2:] for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])]


def test_the_page_has_every_key_once():
    tables = [table for table in _KEYS if table]
    keys = [key for key in _KEYS[""] if key not in tables] + [
        f"{table}.{key}" for table in tables for key in _KEYS[table]
    ]
    assert rows_of("key") == keys


def test_the_page_has_every_place_once():
    assert rows_of("place") == [f"{{{place}}}" for place in PLACES]


def test_the_page_names_what_is_shipped():
    listed = re.findall(r"^- `([\w-]+)`:", PAGE.split("## What is shipped")[1], re.MULTILINE)
    assert sorted(listed) == shipped_names()


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_file_is_read_and_has_its_name(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HOIDN_CHECKOUT", str(tmp_path))
    monkeypatch.setenv("NB_C_BIN", "/opt/my nanoBragg")
    program = find_implementation(name)
    assert program.name == name and len(program.digest) == 64
    words = program.words(("-N", "5"), out="float.bin")
    assert "-N" in words and "float.bin" in words and not any("$" in word or "{" in word for word in words)


def test_the_checkout_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("HOIDN_CHECKOUT", str(tmp_path))
    monkeypatch.setenv("HOIDN_PYTHON", "/opt/python")
    program = find_implementation("hoidn")
    assert program.command[0] == "/opt/python" and program.checkout == tmp_path
    assert program.environment["PYTHONPATH"] == f"{tmp_path}/src"
    monkeypatch.delenv("HOIDN_CHECKOUT")
    with pytest.raises(Unavailable, match="expected the environment variable HOIDN_CHECKOUT, got none$") as error:
        find_implementation("hoidn")
    assert error.value.exit_code == 3


def test_variables_have_defaults(monkeypatch):
    monkeypatch.setenv("A_NAME", "x")
    monkeypatch.delenv("NO_NAME", raising=False)
    assert with_variables("${A_NAME}-${NO_NAME:-{python}}-${NO_NAME:-}", "f.toml") == "x-{python}-"


def test_flux_exposure_and_beamsize_become_one_fluence():
    flags = ("-N", "5", "-flux", "1e12", "-exposure", "2", "-beamsize", "0.5", "-fluence", "7")
    assert with_fluence(flags) == ("-N", "5", "-fluence", "7", "-fluence", "8e+18")
    assert with_fluence(("-exposure", "2", "-N", "5")) == ("-N", "5")  # no flux: the fluence is what it was


def test_an_implementation_is_a_table_of_labels(monkeypatch, tmp_path):
    monkeypatch.setenv("HOIDN_CHECKOUT", str(tmp_path))
    source = find_implementation("hoidn").source
    assert read_labels(source)["hkl_frac"].factor == 1e10 and read_labels(source)["F_latt"].print_only
