# ruff: noqa: E741 -- l is a Miller index
"""The reflection grid and its reader."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import DEVICES, INPUTS

from nanobragg_torch.config import StructureFactors
from nanobragg_torch.errors import InputError
from nanobragg_torch.io.hkl import read_hkl
from nanobragg_torch.physics import structure_factor as sf


def listed(folder: Path, text: str) -> Path:
    path = folder / "list.hkl"
    path.write_text(text)
    return path


def tensor(values: object, dtype: torch.dtype = torch.float64, device: str = "cpu") -> torch.Tensor:
    return torch.as_tensor(values, dtype=dtype, device=device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_box_default_and_duplicates(tmp_path: Path, dtype: torch.dtype, device: str) -> None:
    path = listed(tmp_path, "0 0 0 5\n\n 2 -1 3  7.5\n0 0 0 6\n")
    grid = sf.build_grid(StructureFactors(default_F=1.5, reflections=read_hkl(path)), tensor((), dtype, device))
    assert (grid.lowest, grid.counts, grid.shape) == ((0, -1, 0), (3, 2, 4), (4, 3, 5))
    assert grid.values is not None
    # padding planes stay 0 even with a default (Q56)
    assert float(grid.values.reshape(grid.shape)[3, 0, 0]) == 0.0
    h = tensor([0, 2, 1, 3, 9], dtype, device)
    k = tensor([0, -1, 0, 0, 0], dtype, device)
    l = tensor([0, 3, 0, 0, 0], dtype, device)
    assert sf.nearest(grid, h, k, l).tolist() == [6.0, 7.5, 1.5, 1.5, 1.5]


def test_without_a_list_the_default_is_everywhere() -> None:
    grid = sf.build_grid(StructureFactors(default_F=3.0), tensor(()))
    zero = tensor([0.0, 5.0])
    assert sf.nearest(grid, zero, zero, zero).tolist() == [3.0, 3.0]


def test_sixty_five_thousand_reflections() -> None:
    found = read_hkl(INPUTS / "synthetic.hkl")
    expected = np.loadtxt(INPUTS / "synthetic.hkl")
    assert np.array_equal(found.hkl, expected[:, :3])
    assert np.array_equal(found.F, expected[:, 3])
    assert len(found.F) > 60_000


def test_tricubic_reproduces_a_cubic(tmp_path: Path) -> None:
    def cubic(h: float, k: float, l: float) -> float:
        return 100 + h**3 - 2 * k**3 + l * l * h + 3 * k

    lines = [f"{h} {k} {l} {cubic(h, k, l)!r}" for h in range(6) for k in range(6) for l in range(6)]
    grid = sf.build_grid(StructureFactors(reflections=read_hkl(listed(tmp_path, "\n".join(lines)))), tensor(()))
    h, k, l = tensor([2.3, 2.5]), tensor([3.1, 2.9]), tensor([2.7, 2.0])
    expected = [cubic(*map(float, point)) for point in zip(h, k, l)]
    assert sf.tricubic(grid, h, k, l).tolist() == pytest.approx(expected, rel=1e-13)
    edge = tensor([1.9, 2.0, 3.0, 3.1])
    inside = tensor([2.5, 2.5, 2.5, 2.5])
    assert sf.outside_window(grid, edge, inside, inside).tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("text", "line", "got"),
    [
        ("h k l F\n1 2 3 4\n", 1, "'h k l F'"),
        ("1 2 3 4\n1 2 three 4\n", 2, "'1 2 three 4'"),
        ("1 2 3 4\n1 2 3\n", 2, "'1 2 3'"),
        ("1 2 3 4\n1.5 2 3 4\n", 2, "'1.5 2 3 4'"),
        ("1 2 3 nan\n", 1, "'1 2 3 nan'"),
        ("1 2 3 4\n\n99999999999999999999 2 3 4\n", 3, "'99999999999999999999 2 3 4'"),
        ("1 2 3 \xe9\n", 1, "'1 2 3 \\xc3\\xa9'"),
    ],
)
def test_a_bad_line_is_named_without_the_quirks(tmp_path: Path, text: str, line: int, got: str) -> None:
    path = tmp_path / "bad.hkl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_hkl(path)
    assert str(caught.value) == f"{path}:{line}: expected h k l F (three integers and a number), got {got}"


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_list(tmp_path: Path, text: str) -> None:
    path = listed(tmp_path, text)
    with pytest.raises(InputError, match=r"expected reflections \(h k l F\), got none$"):
        read_hkl(path)


def test_indices_that_no_crystal_has(tmp_path: Path) -> None:
    path = listed(tmp_path, "0 0 0 1\n99999 99999 99999 1\n")
    with pytest.raises(InputError, match="expected indices of one crystal, got a box of"):
        read_hkl(path)


def test_a_missing_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none.hkl: expected a regular file, got: No such file or directory$"):
        read_hkl(tmp_path / "none.hkl")
