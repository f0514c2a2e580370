"""Files are read in one step: afterwards a simulation opens none, and what was read is the Config's."""

import builtins
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nanobragg_torch.config import Config
from nanobragg_torch.errors import InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.io.fdump import fdump_pieces
from nanobragg_torch.io.load import loaded, unread, with_quirks
from nanobragg_torch.io.smv import smv_header
from nanobragg_torch.products.trace import render, trace_pixel
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.scan.simulate import simulate

BASE = "-cell 30 40 50 80 95 105 -default_F 10 -lambda 1.1 -distance 100 -detpixels 6 -pixel 4 -N 3 -oversample 1"
NAMED = f"{BASE} -hkl list.hkl -sourcefile sources -mask mask.img -mat A.mat -nointerpolate"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("list.hkl").write_text("0 0 1 7\n1 0 0 4\n-1 2 0 3\n1 0 0 5\n")
    Path("sources").write_text("-10 0 0 1 1e-10\n-10 0 0.1 2 1.1e-10\n")
    Path("A.mat").write_text("0.02 0 0\n0 0.025 0\n0 0 0.03\n")
    pixels = np.ones((6, 6), "<u2")
    pixels[2, 3] = 0
    Path("mask.img").write_bytes(smv_header([("SIZE1", "6"), ("SIZE2", "6")]) + pixels.tobytes())
    return tmp_path


def image(config: Config) -> torch.Tensor:
    return simulate(config, device="cpu", dtype=torch.float64, threads=1)


def test_what_is_read_once_is_not_opened_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse(NAMED.split())
    assert [path.name for path in unread(config)] == ["list.hkl", "sources", "mask.img"]
    first = image(config)
    read = loaded(config)
    for path in folder.iterdir():
        path.unlink()

    def refuse(*arguments: object, **_: object) -> object:
        raise AssertionError(f"opened {arguments[0]!r}")

    for module in (builtins, io, os):
        monkeypatch.setattr(module, "open", refuse)
    for _ in range(100):
        prepare(read, device="cpu", dtype=torch.float64)
    again, lines = image(read), render(trace_pixel(read, 1, 1, device="cpu", dtype=torch.float64))
    monkeypatch.undo()
    assert torch.equal(first, again)
    assert float(first[2, 3]) == 0.0 < float(first.max())
    assert "TRACE_PY: F_cell" in lines
    assert unread(read) == () and loaded(read) is read


def test_files_that_are_not_read_yet_are_named() -> None:
    with pytest.raises(ValueError, match="^list.hkl: expected a Config with its contents, which .*loaded.* reads$"):
        prepare(parse(NAMED.split()), device="cpu", dtype=torch.float64)


def test_other_switches_read_the_files_again() -> None:
    Path("list.hkl").write_text("# h k l F\n0 0 1 7\n")
    right = loaded(parse([*NAMED.split(), "--quirk", "Q10=off"]))
    assert right.structure.reflections is not None
    assert right.structure.reflections.count == 1
    with pytest.raises(InputError, match="list.hkl:1: expected h k l F"):
        loaded(with_quirks(right, replace(right.quirks, off=frozenset(), chosen=frozenset())))


def test_the_contents_can_be_given_without_any_file() -> None:
    """Of a list, and of a dump of the same grid; the latter has the default in the box already."""
    listed = loaded(parse(f"{BASE} -hkl list.hkl -nointerpolate".split()))
    grid = prepare(listed, device="cpu", dtype=torch.float64).grid
    assert grid.values is not None
    assert sorted(set(grid.values.tolist())) == [0.0, 3.0, 5.0, 7.0, 10.0]  # the later 1 0 0 counts
    values = grid.values.reshape(grid.shape).numpy()
    Path("dump").write_bytes(b"".join(fdump_pieces(values, grid.lowest, grid.counts)))
    dumped = loaded(parse(f"{BASE} --fdump dump -nointerpolate".split()))
    made = replace(listed, structure=replace(listed.structure, hkl_file=None))
    assert torch.equal(image(dumped), image(listed))
    assert torch.equal(image(made), image(listed))


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask: expected 6 x 6 pixels, got \(2, 3\)"):
        replace(parse(BASE.split()).detector, mask=np.ones((2, 3), bool))
