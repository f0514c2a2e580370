"""The helps: what a newcomer reads of the subcommands, whole sentences by what they are for."""

import re
import tomllib

import pytest
import typer

from tools.scaling import cli
from tools.scaling.base.repo import REPORTS_ROOT, ROOT
from tools.scaling.cli.options import PANELS, app
from tools.scaling.procedure.settings import Settings
from tools.scaling.procedure.steps import STEPS

MENU = typer.main.get_command(app)


def said(capsys, *arguments):
    assert cli.main([*arguments]) == 0
    return capsys.readouterr().out


def test_the_menu_is_grouped_and_the_whole_procedure_comes_first(capsys):
    text = said(capsys, "--help")
    titles = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert titles == ["Options", *PANELS]
    names = re.findall(r"^  ([a-z][a-z0-9-]*)  ", text, re.MULTILINE)
    assert names[0] == "phase-m1"
    assert set(names) == {name for name, command in MENU.commands.items() if not command.hidden}


@pytest.mark.parametrize("menu", [(), ("study",)], ids=["tools", "studies"])
def test_no_sentence_of_a_menu_is_cut_off(capsys, menu):
    text = " ".join(said(capsys, *menu, "--help").split())
    assert "..." not in text.replace("[ARGS]...", "")
    for command in (MENU.commands[menu[0]] if menu else MENU).commands.values():
        sentence = " ".join((command.help or "").split()).partition(". ")[0].removesuffix(".")
        assert command.hidden or sentence in text, command.name


def test_a_step_names_the_choices_there_are(capsys):
    text = " ".join(said(capsys, "step", "--help").split())
    assert f"One of {', '.join(step.name for step in STEPS)}." in text


def test_defaults_are_those_of_the_settings(capsys):
    text = " ".join(said(capsys, "phase-m1", "--help").split())
    known = Settings()
    for value in (known.case, known.device, known.dtype, known.tolerance):
        assert f"[default: ({value}; step: as its bundle has it)" in text
    path = re.search(r"Where bundles lie\. \[default: \((.*?)\)\]", text)
    assert path is not None and path[1].replace(" ", "") == REPORTS_ROOT


def test_the_version_is_that_of_the_project(capsys):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert said(capsys, "--version") == f"tools.scaling of nanobragg-torch {version}\n"


def test_an_interrupt_within_a_subcommand_is_exit_5(capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.scaling.traces.files.inspect_file", interrupted)
    assert cli.main(["inspect", "x.log"]) == 5
    assert capsys.readouterr().err == "error: interrupted by SIGINT\n"
