"""verify: every damage to a bundle is named, and nothing ends the verdict on the others."""

import json
import os
import shutil
import subprocess
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from tests.scaling.bundle.chains import NOON, at, git, make, manifest_anew, said
from tools.scaling.base.errors import BadInput
from tools.scaling.bundle.bundle import create
from tools.scaling.bundle.history import history
from tools.scaling.bundle.layout import SEAL
from tools.scaling.bundle.seal import DEEPEST
from tools.scaling.bundle.text import chain_lines
from tools.scaling.bundle.verify import Standing, verify_all, verify_bundle


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda b: b.path("a.log").write_text("first lime\n0\n"), "a.log: changed"),
        (lambda b: b.path("a.log").write_text("first"), "a.log: truncated, 5 of 13 bytes"),
        (lambda b: b.path("a.log").unlink(), "a.log: missing"),
        (lambda b: b.path("a.log").rename(b.path("spec/z.log")), "a.log: renamed to spec/z.log"),
        (lambda b: b.path("new").write_text(""), "new: added, not in sha256.txt"),
        (lambda b: b.path(SEAL).unlink(), "seal.json: missing"),
        (lambda b: b.path(SEAL).write_text("{"), "seal.json: truncated or changed at its end"),
        (lambda b: b.path("sha256.txt").unlink(), "sha256.txt: missing, the seal is not whole"),
        (
            lambda b: b.path("sha256.txt").write_text(b.path("sha256.txt").read_text()[:-1]),
            "sha256.txt: truncated, its last line has no end",
        ),
    ],
)
def test_each_kind_of_damage_has_its_name(root, damage, line):
    bundle = at(root, 0)
    assert verify_bundle(bundle.folder).ok
    damage(bundle)
    verdict = verify_bundle(bundle.folder)
    assert line in [str(problem) for problem in verdict.problems]
    assert not verdict.ok
    assert verdict.to_dict()["ok"] is False


def in_place(bundle, name, make):
    """Something that is no plain file, where one was."""
    bundle.path(name).unlink()
    make(bundle.path(name))


@pytest.mark.parametrize("name", ["a.log", SEAL, "sha256.txt"])
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (os.mkfifo, "something else"),
        (lambda path: path.symlink_to("/dev/zero"), "a link"),
        (Path.mkdir, "a folder"),
    ],
)
def test_what_is_no_plain_file_is_named_and_never_waited_for(root, name, make, what):
    in_place(at(root, 3), name, make)
    lines = said(verify_all(root))
    expected = f"changed: expected a plain file, got {what}"
    if what == "a folder" and name != "sha256.txt":  # a folder without files, where a file was
        expected = "missing"
    assert f"20261123T120300Z/{name}: {expected}" in lines
    assert all(line.startswith("20261123T120300Z/") for line in lines)


def test_an_empty_folder_is_named_and_none_is_sealed(root):
    (at(root, 2).folder / "deep" / "er").mkdir(parents=True)
    assert [str(p) for p in verify_bundle(at(root, 2).folder).problems] == [
        "deep/er: added, an empty folder",
        "deep: added, an empty folder",
    ]
    fresh = create(root, now=NOON + timedelta(hours=1))
    fresh.path("left").mkdir()
    fresh.path("a.log").write_text("a\n")
    fresh.seal()
    assert verify_bundle(fresh.folder).ok
    assert not fresh.path("left").exists()


def test_a_manifest_with_other_line_ends_is_one_line(root):
    path = at(root, 3).path("sha256.txt")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert [str(p) for p in verify_bundle(at(root, 3).folder).problems] == [
        "sha256.txt: expected lines that end in LF, got CR LF"
    ]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("[1]", "seal.json: expected the bundle's seal, got TypeError"),
        ("[" * 100_000, "seal.json: expected the bundle's seal, got RecursionError"),
        ({"number": float("inf")}, "seal.json: expected the bundle's seal, got OverflowError"),
        ({"format": "1"}, "seal.json: written by a newer version (expected format 1 or less, got '1')"),
        ({"previous": {"bundle": [1], "sha256": "x"}}, "seal.json: expected the bundle's seal, got TypeError"),
        ({"previous": {"bundle": "../x", "sha256": "0" * 64}}, "seal.json: expected the bundle's seal, got ValueError"),
        ({"number": 99}, "seal.json: changed: number 99, expected 4"),
        ({"sizes": {}}, "a.log: added, not in seal.json"),
        ({"sizes": {"a.log": 5, "spec/b.log": 4, "provenance.json": 0}}, "a.log: changed: 13 bytes, seal.json has 5"),
    ],
)
def test_a_seal_that_was_edited_is_named_though_the_manifest_was_made_anew(root, value, line):
    bundle = at(root, 3)
    data = json.loads(bundle.path(SEAL).read_text())
    bundle.path(SEAL).write_text(value if isinstance(value, str) else json.dumps(data | value) + "\n")
    manifest_anew(bundle)
    lines = said(verify_all(root))
    assert any(each.startswith(f"20261123T120300Z/{line}") for each in lines), lines
    assert all(each.startswith("20261123T120300Z/") for each in lines)


def test_a_file_that_was_added_to_the_manifest_too_is_named(root):
    at(root, 3).path("new.log").write_text("x")
    manifest_anew(at(root, 3))
    assert said(verify_all(root)) == ["20261123T120300Z/new.log: added, not in seal.json"]


def test_names_chosen_by_others_stay_on_their_line(root):
    for name in ("a\nb: changed", "\x1b[31mred", os.fsdecode(b"\xff")):
        at(root, 3).path(name).write_text("x")
    folder = at(root, 3).folder
    lines = list(chain_lines(verify_all(root)))
    assert lines[:-1] == [
        f"{folder}: \\x1b[31mred: added, not in sha256.txt",
        f"{folder}: a\\x0ab: changed: added, not in sha256.txt",
        f"{folder}: \\udcff: added, not in sha256.txt",
    ]


def test_a_link_is_no_evidence_whatever_it_points_to(root, tmp_path):
    bundle = at(root, 0)
    shutil.copy(bundle.path("a.log"), tmp_path / "copy")
    bundle.path("a.log").unlink()
    bundle.path("a.log").symlink_to(tmp_path / "copy")
    assert [str(p) for p in verify_bundle(bundle.folder).problems] == [
        "a.log: changed: expected a plain file, got a link"
    ]
    fresh = create(root, now=NOON + timedelta(hours=1))
    fresh.path("link").symlink_to(tmp_path / "copy")
    with pytest.raises(BadInput, match="link: expected a plain file in a bundle, got a link"):
        fresh.seal()
    assert not fresh.sealed


def test_a_file_dropped_together_with_its_line_is_named(root):
    bundle = at(root, 3)
    bundle.path("a.log").unlink()
    lines = bundle.path("sha256.txt").read_text().splitlines(keepends=True)
    bundle.path("sha256.txt").write_text("".join(line for line in lines if "a.log" not in line))
    assert [str(p) for p in verify_bundle(bundle.folder).problems] == ["a.log: missing, from sha256.txt too"]


def in_a_repository(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path / "repo"], check=True)
    root = tmp_path / "repo/runs"
    for number in range(2):
        make(root, number)
    git(root, "add", ".")
    assert verify_all(root).standing is Standing.STAGED
    return root


def cli(capsys, *arguments):
    from tools.scaling.cli import main

    code = main([*map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("arguments", [["--all"], []])
def test_git_that_refuses_to_answer_is_no_git_that_has_nothing(tmp_path, monkeypatch, capsys, arguments):
    root = in_a_repository(tmp_path)
    which = [str(at(root, 1).folder)] if not arguments else [*arguments, "--reports-root", root]
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    code, out, err = cli(capsys, "verify", *which)
    assert code == 2
    assert "stands alone" not in out and "whether git has it is not known" in out
    assert err.startswith("error: git could not be asked: ") and "dubious ownership" in err
    at(root, 1).path("a.log").write_text("damaged")
    assert cli(capsys, "verify", *which)[0] == 1


def test_without_git_a_repositorys_bundle_is_not_called_alone(tmp_path, monkeypatch):
    root = in_a_repository(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert verify_all(root).unasked == "git could not be asked: git: expected the program on PATH, got none"
    make(tmp_path / "elsewhere", 0)
    assert (verify_all(tmp_path / "elsewhere").standing, verify_all(tmp_path / "elsewhere").unasked) == ("alone", "")


def test_a_bundle_and_all_are_both_verified(root, tmp_path, capsys):
    damaged = make(tmp_path / "other", 7)
    damaged.path("a.log").write_text("first lime\n7\n")
    code, out, _ = cli(capsys, "verify", damaged.folder, "--all", "--reports-root", root)
    assert (code, f"{damaged.folder}: a.log: changed\n" in out) == (1, True)
    inside = at(root, 2).folder
    code, out, _ = cli(capsys, "verify", inside, "--all", "--reports-root", root)
    assert (code, out.count("hold")) == (0, 1)
    code, _, err = cli(capsys, "verify", tmp_path / "none", "--all", "--reports-root", root)
    assert (code, err) == (2, f"error: {tmp_path}/none: expected a bundle's folder, got none\n")


def deep(folder, levels):
    """Folders in one another, made from within: their path is longer than any that a system takes."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)


def remove_deep(folder):
    subprocess.run(["rm", "-rf", folder], check=True)


def test_a_folder_that_is_too_deep_does_not_end_the_verdict_on_the_others(root, capsys):
    deep(at(root, 1).folder, 1500)
    at(root, 2).path("a.log").write_text("x")
    try:
        code, out, _ = cli(capsys, "verify", "--all", "--reports-root", root)
        assert code == 1
        assert (
            f"{at(root, 1).folder}: {'/'.join('d' * (DEEPEST + 1))}: cannot be read: expected at most 32 folders" in out
        )
        assert f"{at(root, 2).folder}: a.log: truncated" in out and "2 of 4 bundles do not hold" in out
        assert cli(capsys, "index", "--reports-root", root)[0] == 0
        assert cli(capsys, "history", "--reports-root", root)[0] == 0
        fresh = create(root, now=NOON + timedelta(hours=1))
        deep(fresh.folder, 40)
        with pytest.raises(BadInput, match="expected at most 32 folders in one another, got more"):
            fresh.seal()
    finally:
        remove_deep(root)


def test_one_bundle_that_cannot_be_read_does_not_end_the_verdict_on_the_others(root, monkeypatch, capsys):
    """As root no permission is denied, so the system's answer is put in its mouth."""
    closed = str(at(root, 1).folder)
    scandir, lstat, read = os.scandir, Path.stat, Path.read_bytes

    def denied(path, *arguments, real, **options):
        if str(path).startswith(closed) and (str(path) != closed or real is scandir):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "scandir", lambda path=".": denied(path, real=scandir))
    monkeypatch.setattr(Path, "stat", lambda path, **options: denied(path, real=lstat, **options))
    monkeypatch.setattr(Path, "read_bytes", lambda path: denied(path, real=read))
    at(root, 2).path("a.log").write_text("x")
    code, out, _ = cli(capsys, "verify", "--all", "--reports-root", root)
    assert code == 1
    line = "sha256.txt: changed: expected a plain file, got what cannot be looked at: Permission denied"
    assert f"{closed}: {line}" in out
    assert f"{at(root, 2).folder}: a.log: truncated" in out
    assert cli(capsys, "index", "--reports-root", root)[0] == 0
    make(root, 9)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.log", "a.log: changed: 1099511627776 bytes, more than any file that was sealed"),
        ("more.bin", "more.bin: added, not in sha256.txt"),
        ("provenance.json", "provenance.json: changed: 1099511627776 bytes, more than any file that was sealed"),
        (SEAL, "seal.json: changed: 1099511627776 bytes, more than any file that was sealed"),
        ("sha256.txt", "sha256.txt: changed: expected a plain file, got one of 1099511627776 bytes"),
    ],
)
def test_a_sparse_file_of_a_tebibyte_is_named_without_being_read(root, name, said):
    with at(root, 1).path(name).open("ab") as stream:
        stream.truncate(2**40)
    verdicts = verify_all(root).verdicts
    assert [str(problem) for problem in verdicts[1].problems] == [said]
    assert [verdict.ok for verdict in verdicts] == [True, False, True, True]
    assert make(root, 5).problems() == []  # and the next run is sealed
    broken = {row.stamp: row.problem for row in history(root).rows}[at(root, 1).stamp]
    assert (broken == "provenance.json: expected at most 256 MiB, got more") == (name == "provenance.json")
    with suppress(BadInput):
        at(root, 1).provenance()
