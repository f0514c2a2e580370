"""Scratch folders: gone afterwards, and those of killed runs gone with the next run."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tools.scaling.base import scratch as module
from tools.scaling.base.repo import ROOT
from tools.scaling.base.scratch import TREE, scratch

HOLD = """
import sys, time
from tools.scaling.bundle.checkout import worktree
from tools.scaling.base.repo import head
with worktree(head()) as tree:
    print(tree, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_folder_is_gone_afterwards_also_on_failure(temporary):
    with pytest.raises(RuntimeError), scratch("run") as folder:
        (folder / "file").write_text("x")
        raise RuntimeError
    assert list(temporary.iterdir()) == []


def test_the_living_are_left_alone_and_so_is_what_is_not_ours(temporary):
    (temporary / "nanobragg-scratch-notes").mkdir()
    (temporary / "elsewhere").mkdir()
    (temporary / "nanobragg-scratch-run-abcdefgh").symlink_to(temporary / "elsewhere")
    with scratch("run") as first, scratch("patch") as second:
        assert first.is_dir() and second.is_dir()
    assert {path.name for path in temporary.iterdir()} == {
        "nanobragg-scratch-notes", "elsewhere", "nanobragg-scratch-run-abcdefgh"
    }  # fmt: skip


def test_a_folder_that_was_taken_for_a_dead_one_before_its_lock_is_made_again(temporary, monkeypatch):
    made = []
    real = os.open

    def late(path, *arguments, **options):
        handle = real(path, *arguments, **options)
        if not made and "nanobragg-scratch" in str(path):
            made.append(path)
            Path(path).rmdir()  # what another run does
        return handle

    monkeypatch.setattr(module.os, "open", late)
    with scratch("run") as folder:
        assert folder.is_dir() and folder != made[0]


@pytest.mark.slow
def test_the_next_run_removes_what_a_killed_replay_has_left(temporary):
    child = subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    tree = child.stdout.readline().strip()

    def listed():
        return subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True).stdout

    with scratch("run"):
        assert tree in listed() and os.path.isdir(tree)  # noqa: PTH112
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert tree.endswith(f"/{TREE}") and os.path.isdir(tree)  # noqa: PTH112
    with scratch("run") as folder:
        assert [path.name for path in temporary.iterdir()] == [folder.name]
        assert tree not in listed()


@pytest.mark.slow
def test_a_worktree_whose_folder_is_gone_or_that_was_killed_in_the_making_leaves_the_books(temporary):
    folder = temporary / "nanobragg-scratch-replay-abcdefgh"
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", "--lock", folder / TREE], cwd=ROOT, check=True)
    subprocess.run(["rm", "-rf", folder], check=True)
    with scratch("run"):
        pass
    said = subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True).stdout
    assert str(folder) not in said
