"""The bundle: never reused, every command recorded, a seal that tells what changed."""

import hashlib
import os
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from tools.scaling.base.errors import BadInput
from tools.scaling.bundle.bundle import Bundle, bundles, create, open_bundle
from tools.scaling.bundle.layout import CommandRecord

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def entry(**changes):
    values = {"step": "provenance", "command": "git status -sb", "started": NOON, "exit_code": 0, "seconds": 0.25}
    return CommandRecord(**values | {"peak_bytes": 3 * 2**20} | changes)


def test_a_second_run_in_the_same_second_takes_the_next_free_second(tmp_path):
    names = [create(tmp_path, now=NOON).stamp for _ in range(3)]
    assert names == ["20261123T120000Z", "20261123T120001Z", "20261123T120002Z"]
    assert [b.stamp for b in bundles(tmp_path)] == names


def test_a_run_dir_that_exists_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("keep")
    with pytest.raises(BadInput, match=r"mine: exists; a bundle is never reused"):
        create(tmp_path, tmp_path / "mine")
    assert (tmp_path / "mine" / "note").read_text() == "keep"


def test_reports_root_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "reports").write_text("")
    with pytest.raises(BadInput, match="reports: exists"):
        create(tmp_path / "reports")


def test_commands_are_numbered_in_order_with_all_that_was_asked(tmp_path):
    bundle = create(tmp_path, now=NOON)
    bundle.record(entry(stdout="## main\n[099] not a head\n"))
    bundle.record(entry(command="false", exit_code=1, stderr="boom", peak_bytes=None, note="why"))
    text = bundle.path("commands.txt").read_text()
    heads = [line for line in text.splitlines() if line.startswith("[")]
    assert heads == [
        "[001] 2026-11-23T12:00:00Z  step provenance  exit 0  0.250 s  peak 3.0 MiB",
        "[002] 2026-11-23T12:00:00Z  step provenance  exit 1  0.250 s  peak -",
    ]
    assert "$ git status -sb\n    stdout| ## main\n" in text
    assert "$ false\n    note: why\n    stderr| boom\n" in text


def test_what_a_command_printed_is_ascii_in_the_log(tmp_path):
    bundle = create(tmp_path, now=NOON)
    bundle.record(entry(stdout="5 \u00c5"))
    assert bundle.path("commands.txt").read_bytes().isascii()
    assert b"5 \\xc5" in bundle.path("commands.txt").read_bytes()


@pytest.fixture
def sealed(tmp_path):
    bundle = create(tmp_path, now=NOON)
    (bundle.folder / "spec").mkdir()
    bundle.path("a.log").write_text("1\n")
    bundle.path("spec/b.log").write_text("2\n")
    assert bundle.seal() == 3
    return bundle


def test_the_manifest_is_what_sha256sum_checks(sealed):
    expected = hashlib.sha256(b"1\n").hexdigest()
    assert sealed.path("sha256.txt").read_text().splitlines()[0] == f"{expected}  a.log"
    if shutil.which("sha256sum"):
        done = subprocess.run(["sha256sum", "-c", "sha256.txt"], cwd=sealed.folder, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "a.log: OK\nseal.json: OK\nspec/b.log: OK\n")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda b: b.path("a.log").write_text("3\n"), "a.log: changed"),
        (lambda b: b.path("spec/b.log").unlink(), "spec/b.log: missing"),
        (lambda b: b.path("new").write_text(""), "new: added, not in sha256.txt"),
        (
            lambda b: b.path("sha256.txt").write_text("x\n"),
            "sha256.txt:1: expected 'SHA256  PATH' once a file, got 'x'",
        ),
    ],
)
def test_every_damage_is_named(sealed, damage, line):
    assert sealed.problems() == []
    damage(sealed)
    assert line in [str(problem) for problem in sealed.problems()]


def test_a_sealed_bundle_takes_nothing_more(sealed):
    before = sealed.path("sha256.txt").read_bytes()
    for change in (lambda: sealed.record(entry()), sealed.seal, lambda: sealed.write_provenance({})):
        with pytest.raises(BadInput, match="sealed, nothing in it may change"):
            change()
    assert sealed.path("sha256.txt").read_bytes() == before


def test_the_newest_open_bundle_is_found(tmp_path, sealed):
    with pytest.raises(BadInput, match="no open bundle; make one first: nox -s provenance"):
        open_bundle(tmp_path)
    older = create(tmp_path, now=NOON)
    newer = create(tmp_path, now=NOON)
    assert open_bundle(tmp_path).folder == newer.folder
    newer.seal()
    assert open_bundle(tmp_path).folder == older.folder
    with pytest.raises(BadInput, match="nowhere: expected a bundle's folder, got none"):
        open_bundle(tmp_path, tmp_path / "nowhere")


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_dangling_link_cannot_be_sealed_silently(tmp_path):
    bundle = create(tmp_path, now=NOON)
    bundle.path("gone").symlink_to("nowhere")
    with pytest.raises(OSError, match="gone"):
        bundle.seal()
    assert not Bundle(bundle.folder).sealed
