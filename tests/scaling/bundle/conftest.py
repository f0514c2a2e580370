"""A chain of four bundles."""

import pytest

from tests.scaling.bundle.chains import make


@pytest.fixture
def root(tmp_path):
    """A chain of four bundles."""
    for number in range(4):
        make(tmp_path / "runs", number)
    return tmp_path / "runs"
