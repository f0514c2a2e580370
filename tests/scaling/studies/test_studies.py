"""`study NAME`: each has a help that measures nothing and a session, and publishes only where it is told to."""

import pytest

from tools.scaling import cli
from tools.scaling.base.repo import ROOT
from tools.scaling.cli.study import study
from tools.scaling.studies.traps import others

SHOWN = [command for command in study.registered_commands if not command.hidden]
NAMES = [command.name or command.callback.__name__.replace("_", "-") for command in SHOWN]
SESSIONS = {"campaign": "planted", "device": "device_evidence"}  # by another name than the study
PAGES = [f"docs/results/{name}" for name in ("traps.md", "performance.md", "performance.json", "mutants.md")]


def test_all_of_them_are_there():
    assert {"kills", "mutants", "mutations", "traps", "bench", "campaign", "device"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_help_measures_nothing(name, capsys):
    before = [(ROOT / page).read_bytes() for page in PAGES]
    assert cli.main(["study", name, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: python -m tools.scaling study {name} [OPTIONS]")
    assert [(ROOT / page).read_bytes() for page in PAGES] == before


@pytest.mark.parametrize("name", NAMES)
def test_its_session_calls_it_with_what_stands_behind_the_dashes(name, sessions):
    (command,) = sessions(SESSIONS.get(name, name.replace("-", "_")), "--help")
    assert command[1:] == ["-m", "tools.scaling", "study", name, "--help"]


def test_a_page_keeps_the_verdicts_of_tools_that_are_not_installed(tmp_path, capsys, monkeypatch):
    page = tmp_path / "traps.md"
    before = (ROOT / "docs/results/traps.md").read_bytes()
    page.write_bytes(before)
    missing = [others.Tool("numpy.allclose", "2", lambda *_: True), others.Tool("Polygraphy", "not installed", None)]
    monkeypatch.setattr(others, "find_tools", lambda: missing)
    assert cli.main(["study", "traps", "--out", str(page)]) == 3
    error = capsys.readouterr().err
    assert error == f"error: {page}: would lose what it says of Polygraphy: not installed here\n"
    assert page.read_bytes() == before


def test_traps_print_their_score_and_write_a_page_where_they_are_told_to(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(others, "find_tools", lambda: [others.Tool("Polygraphy", "not installed", None)])
    before = (ROOT / "docs/results/traps.md").read_bytes()
    assert cli.main(["study", "traps"]) == 0
    assert "Polygraphy       not run: not installed\nPASS: 120 of 120 traps judged rightly\n" in capsys.readouterr().out
    assert (ROOT / "docs/results/traps.md").read_bytes() == before
    assert cli.main(["study", "traps", "--out", str(tmp_path / "new.md")]) == 0
    assert "- Polygraphy was not run: not installed" in (tmp_path / "new.md").read_text()
