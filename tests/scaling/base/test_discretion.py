"""What evidence does not tell: home, user, passwords; names that cannot forge a line."""

import json
from pathlib import Path

import pytest

from tools.scaling.base.discretion import discreet, located, without_words
from tools.scaling.base.files import json_bytes, one_line, text_bytes
from tools.scaling.base.repo import ROOT
from tools.scaling.base.text import code, plain
from tools.scaling.bundle.layout import CommandRecord
from tools.scaling.bundle.ledger import ATTEMPTS, LedgerEntry, with_attempt, with_plan_row

# A folder of the system, in which this checkout may lie, tells nothing of anybody and stays as it is.
BESIDE = str(ROOT.parent) if str(ROOT.parent) in ("/usr", "/usr/local", "/tmp", "/var/tmp") else ".."


@pytest.fixture(autouse=True)
def alice(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("LOGNAME", "alice")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/alice/cases/my case/A.mat", "~/cases/my case/A.mat"),
        ("--c=/home/alice", "--c=~"),
        ("-I/home/alice/include", "-I~/include"),
        ("/home/alice.old and /home/alice2", "/home/alice.old and /home/alice2"),
        ("/data/alice/c.bin, /data/alices/c.bin", "/data/<user>/c.bin, /data/alices/c.bin"),
        (f"{ROOT}/tests/golden {ROOT} {ROOT}2", f"tests/golden . {BESIDE}/{ROOT.name}2"),
        (f"{ROOT.parent}/shared/A.mat", f"{BESIDE}/shared/A.mat"),
        ("fatal: unable to access 'https://alice:hunter2@host/x.git'", "fatal: unable to access 'https://host/x.git'"),
        ("https://ghp_token@host/x", "https://host/x"),
        ("/usr/lib/libm.so /tmp/x", "/usr/lib/libm.so /tmp/x"),
    ],
)
def test_paths_are_the_repositorys_or_stand_behind_a_token(text, told):
    assert discreet(text) == told
    assert discreet(told) == told
    assert text_bytes(text) == told.encode()
    assert json.loads(json_bytes({text: [text]})) == {told: [told]}


def test_a_path_that_was_written_is_found_again():
    for path in ("/home/alice/mine/", "/data/alice/c.bin", "tests/golden", "supervisor", "/elsewhere"):
        assert located(discreet(path)) == path


def test_a_home_that_escapes_change_is_not_told_either(monkeypatch):
    monkeypatch.setenv("HOME", '/home/\u00e1lice "x"')
    assert json.loads(json_bytes(['/home/\u00e1lice "x"/A.mat'])) == ["~/A.mat"]


def test_the_words_of_a_users_command_are_not_recorded():
    argv = ["-m", "tools.scaling", "--on-blocked", "curl -H T", "--on-blocked=curl", "--no-stage"]
    assert without_words(argv) == ["-m", "tools.scaling", "--on-blocked", "...", "--on-blocked=...", "--no-stage"]


FORGED = "x)\n\n### Attempt 999 - 20260101T000000Z: PASS (`<b>|\x1b[31m\u202e"
ENTRY = LedgerEntry("20261123T120000Z", "reports/x/20261123T120000Z", f"PASS ({FORGED})", {"Case": plain(FORGED)})


def test_a_name_cannot_forge_an_entry_of_a_ledger():
    text = with_attempt(f"# Fix plan\n\n{ATTEMPTS}\n", ENTRY)
    assert [line[:14] for line in text.splitlines() if line.startswith("#")] == ["# Fix plan", "### Attempt 1 "]
    shown = "x) ### Attempt 999 - 20260101T000000Z: PASS (\\`&lt;b&gt;\\|\\\\x1b\\[31m\\\\u202e"
    assert f"- Case: {shown}\n" in text
    assert text.isascii() and text.replace("\n", "").isprintable()
    row = with_plan_row("| M1 | prove it | - | - | - |\n", ENTRY)
    assert row == f"| M1 | prove it | PASS ({shown}) | 20261123T120000Z | `reports/x/20261123T120000Z` |\n"


@pytest.mark.parametrize("name", ["a\nb", "a\r\x1b]0;t\x07", "\x9b31m", "\u2028", "\x7f", "\u202egpj"])
def test_every_name_is_one_line_of_safe_characters(name):
    for text in (one_line(name), plain(name), code(name)):
        assert text.isascii() and text.isprintable()


def test_what_a_foreign_program_prints_speaks_to_no_terminal():
    from datetime import UTC, datetime

    said = "red \x1b[31m\x1b]52;c;ZXZpbA==\x07\n\n[002] 2026-11-23T00:00:00Z  step ledger  exit 0  1 s  peak -\n\tx"
    record = CommandRecord("provenance", "ls a\n[003] b", datetime.now(UTC), 0, 1.0, None, said, said, "no\nte")
    lines = record.as_text(1).splitlines()
    assert [line for line in lines if line.startswith("[")] == [lines[0]]
    assert record.as_text(1).replace("\n", "").isprintable()
    assert "    stdout| red \\x1b[31m\\x1b]52;c;ZXZpbA==\\x07" in lines


def test_markup_in_a_file_name_does_not_enter_a_page_of_images(tmp_path):
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("matplotlib")
    from tools.scaling.images.compare import compare_image_files

    names = [tmp_path / "a](javascript:x)\n# <img src=x>\x1b[31m|.bin", tmp_path / "b.bin"]
    for path in names:
        numpy.ones((8, 8), dtype=numpy.float32).tofile(path)
    compare_image_files(*names, shape=(8, 8), out=tmp_path / "out", command=f"images --c {names[0]}")
    text = Path(tmp_path / "out/images.md").read_text()
    (command,) = [line for line in text.splitlines() if line.startswith("    images --c ")]  # shown as code
    assert command.isprintable() and "\x1b" not in text
    assert "<img" not in text.replace(command, "") and "\n# <" not in text
    assert "a\\](javascript:x) # &lt;img src=x&gt;\\\\x1b\\[31m\\|.bin" in text
