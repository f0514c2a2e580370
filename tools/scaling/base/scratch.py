"""Scratch folders, and the removal of those that killed runs have left: making one removes the dead ones first.

The process that made a folder locks it for as long as it lives; so a folder that can be locked is nobody's. Locks hold
across containers, where process ids mean nothing.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tools.scaling.base.errors import BadInput
from tools.scaling.base.repo import git

PREFIX = "nanobragg-scratch-"
TREE = "tree"  # where a replay's worktree lies in its folder
_NAME = re.compile(rf"{PREFIX}[a-z]+-\w{{8}}")


@contextmanager
def scratch(what: str) -> Iterator[Path]:
    """Make a temporary folder for `what`, one word, and yield it; it is removed afterwards, with a worktree in it."""
    remove_dead()
    folder, lock = _made(what)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _made(what: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{what}-"))
        with suppress(FileNotFoundError):  # another run took it for a dead one before it was locked
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # where locks do not work
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def remove_dead() -> None:
    """Remove the scratch folders that killed runs of this user have left, and git's records of worktrees in them."""
    trees = _registered()
    for folder in {*Path(tempfile.gettempdir()).glob(f"{PREFIX}*"), *(tree.parent for tree in trees)}:
        if _NAME.fullmatch(folder.name) and not folder.is_symlink():
            _remove_if_dead(folder)
    for tree in trees:
        if not tree.parent.exists():
            _unregister(tree)


def _remove_if_dead(folder: Path) -> None:
    with suppress(OSError):  # gone meanwhile, another user's, or locked by one who lives
        lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.name.startswith(f"{PREFIX}replay-"):
        _unregister(folder / TREE)


def _registered() -> list[Path]:
    """Return the worktrees in scratch folders that git has registered, also those that are gone."""
    with suppress(BadInput):
        lines = git("worktree", "list", "--porcelain").splitlines()
        paths = (Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree "))
        return [path for path in paths if path.name == TREE and _NAME.fullmatch(path.parent.name)]
    return []


def _unregister(tree: Path) -> None:
    with suppress(BadInput):  # not of this repository
        git("worktree", "remove", "--force", "--force", str(tree))  # twice: one killed in the making is locked
