"""The noxfile: which Python it wants, what it says before pip starts, and the lowest versions."""

import platform
import runpy
import tomllib

import pytest

from tools.scaling.base.repo import ROOT

MENU = str(ROOT / "noxfile.py")


def test_a_python_that_is_too_old_gets_one_line_and_not_the_resolver_of_pip(monkeypatch, capsys):
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.13")
    with pytest.raises(SystemExit) as ending:
        runpy.run_path(MENU)
    error = capsys.readouterr().err
    assert ending.value.code == 2
    assert error.count("\n") == 1
    assert error.startswith("error: expected a nox that runs in Python >=3.11, got 3.10.13 (")


@pytest.mark.parametrize("version", ["3.11.7", "3.12.1", "3.13.0"])
def test_the_pythons_that_are_claimed_are_taken(monkeypatch, version):
    monkeypatch.setattr(platform, "python_version", lambda: version)
    project = runpy.run_path(MENU)["PROJECT"]["project"]
    assert f"Programming Language :: Python :: {version.rpartition('.')[0]}" in project["classifiers"]


def test_every_dependency_has_its_lower_bound_among_the_lowest():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = known["dependency-groups"].values()
    declared = [*known["project"]["dependencies"], *(need for group in groups for need in group)]
    assert sorted(runpy.run_path(MENU)["lowest_versions"]()) == sorted(need.replace(">=", "==") for need in declared)
    assert "typer==0.26" in runpy.run_path(MENU)["lowest_versions"]()
