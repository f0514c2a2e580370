"""Files are old or new, never half-written; protected ones are refused under any name."""

import os

import pytest

from tools.scaling.base import files
from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import PROTECTED, ROOT, refuse_protected


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = tmp_path / "a.md"
    target.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match=r"a.md: cannot be written: No space left on device"):
        files.write_text(target, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.md"]
    assert target.read_text() == "old"


def test_of_several_files_all_are_new_or_all_are_old(tmp_path, monkeypatch):
    names = ("a.md", "b.json", "c.json")
    for name in names[:2]:
        (tmp_path / name).write_text("old")
    calls, real = [], os.fsync

    def full_at_the_last(handle):
        calls.append(handle)
        if len(calls) == len(names):
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full_at_the_last)
    contents = {tmp_path / name: b"new" for name in names}
    with pytest.raises(BadInput, match=r"c.json: cannot be written: No space left on device"):
        files.write_all(contents)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.md": "old", "b.json": "old"}
    monkeypatch.undo()
    files.write_all(contents)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == dict.fromkeys(names, "new")


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="b.md: cannot be written: No such file"):
        files.write_text(tmp_path / "none" / "b.md", "x")


def test_what_is_no_regular_file_is_opened_as_it_is():
    files.write_text(os.devnull, "x")
    assert not os.path.isfile(os.devnull)  # noqa: PTH113


def test_text_is_ascii_and_mode_and_link_are_kept(tmp_path):
    (tmp_path / "real").write_text("")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    files.write_text(tmp_path / "link", "\u2192 1e-6 \u00c5")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"\\u2192 1e-6 \\xc5"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", PROTECTED)
def test_protected_files_are_refused(name):
    before = (ROOT / name).read_bytes() if (ROOT / name).exists() else None
    with pytest.raises(BadInput, match=f"refused, {name} is protected"):
        files.write_text(ROOT / "docs" / ".." / name, "x")
    assert ((ROOT / name).read_bytes() if (ROOT / name).exists() else None) == before


def test_a_link_to_a_protected_file_is_refused(tmp_path):
    (tmp_path / "alias").symlink_to(ROOT / "docs" / "index.md")
    with pytest.raises(BadInput, match="docs/index.md is protected"):
        refuse_protected(tmp_path / "alias")
