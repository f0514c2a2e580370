"""Scratch folders, and what killed runs have left of them: whoever makes one removes the dead ones first.

Each is locked by the process that made it for as long as it lives; what can be locked is nobody's. That holds across
containers, where process ids do not.
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
    """A temporary folder for `what`, one word. It is gone afterwards, and a worktree in it with it."""
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
    """Remove the folders and registered worktrees that killed runs of this user have left."""
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
    """The worktrees in such folders that git has in its books, also where they are gone."""
    with suppress(BadInput):
        lines = git("worktree", "list", "--porcelain").splitlines()
        paths = (Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree "))
        return [path for path in paths if path.name == TREE and _NAME.fullmatch(path.parent.name)]
    return []


def _unregister(tree: Path) -> None:
    with suppress(BadInput):  # not of this repository
        git("worktree", "remove", "--force", "--force", str(tree))  # twice: one killed in the making is locked
