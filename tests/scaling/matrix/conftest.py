"""A golden case that a test may spoil."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.scaling.matrix.run import GOLDEN


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], Path]:
    """A golden case that a test may spoil, with its inputs beside it."""

    def copy(name: str) -> Path:
        shutil.copytree(GOLDEN / name, tmp_path / name)
        (tmp_path / "inputs").symlink_to(GOLDEN / "inputs")
        return tmp_path / name

    return copy
