"""What the other versions of nanoBragg.c measured: every byte of theirs by the port in that mode."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import parse_log

from nanobragg_torch.cli.main import main
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from nanobragg_torch.quirks import VARIANTS

GOLDEN = Path(__file__).parents[1] / "golden_variants"
CASES = sorted(path.parent for path in GOLDEN.glob("*/*/case.json"))
NAMES = [f"{case.parent.name}/{case.name}" for case in CASES]


@cache
def record(case: Path) -> dict[str, object]:
    data: dict[str, object] = json.loads((case / "case.json").read_text())
    return data


def run(case: Path, flags: object, *output: str) -> int:
    """The port in the mode of the case, with the flags last, as the programs were run."""
    words = ["--mode", str(record(case)["variant"]), *output, "-nopgm", "-noprogress", "-intfile", "/dev/null"]
    return main([*words, "-floatfile", "float.bin", *str(flags).split()])


@pytest.fixture
def clean(tmp_path: Path) -> Iterator[Path]:
    shutil.copy(GOLDEN / "inputs" / "v.hkl", tmp_path)
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_file_has_the_bytes_of_the_program(case: Path, clean: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = record(case)
    assert data["variant"] == case.parent.name
    if "before" in data:
        assert run(case, data["before"], "-nonoise") == 0
    if "dump_sha256" in data:
        assert hashlib.sha256((clean / "grid.bin").read_bytes()).hexdigest() == data["dump_sha256"]
    noise = "images" in data
    assert run(case, data["flags"], *(("-noisefile", "noise.img") if noise else ("-nonoise",))) == 0
    made = np.fromfile(clean / "float.bin", np.uint32)
    recorded = np.fromfile(case / "float.bin", np.uint32)
    if "-roi" in str(data["flags"]):
        words = str(data["flags"]).split()
        at = words.index("-roi")
        left, right, low, high = map(int, words[at + 1 : at + 5])
        made = made.reshape(32, 32)[low : high + 1, left : right + 1].ravel()
    assert np.array_equal(made, recorded)
    if noise:
        assert (clean / "noise.img").read_bytes() == (case / "noise.img").read_bytes()


def test_the_cases_are_whole() -> None:
    assert len(CASES) == 95
    assert {case.parent.name for case in CASES} == set(VARIANTS) - {"golden", "hoidn-root"}
    for case in CASES:
        for line in (case / "sha256.txt").read_text().splitlines():
            digest, name = line.split()
            assert hashlib.sha256((case / name).read_bytes()).hexdigest() == digest, case / name


CRASHES = [case for case in CASES if "golden_exit" in str(record(case)["against_golden"])]


@pytest.mark.parametrize("case", CRASHES, ids=["/".join(case.parts[-2:]) for case in CRASHES])
def test_what_crashes_golden_is_an_error_there(case: Path, clean: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--mode", "golden", *str(record(case)["flags"]).split()]) == 2
    assert ": expected " in capfd.readouterr().err.splitlines()[-1]
    assert [path.name for path in clean.iterdir()] == ["v.hkl"]


TRACED = [path for case in CASES for path in sorted(case.glob("trace_*.log"))]


@pytest.mark.parametrize("log", TRACED, ids=["/".join(path.parts[-3:]) for path in TRACED])
def test_every_traced_number_is_that_of_the_program(log: Path) -> None:
    """These programs print fewer lines than golden, in the same order, with the same digits."""
    data = record(log.parent)
    slow, fast = map(int, log.stem.split("_")[1:])
    words = [*str(data["flags"]).split(), "--mode", str(data["variant"])]
    config = parse(words, [GOLDEN / "inputs"])
    lines = render(trace_pixel(config, slow, fast, device="cpu", dtype=torch.float64))
    ours = iter([(row.name, row.values) for row in parse_log(lines, "TRACE_PY")])
    wanted = [(row.name, row.values) for row in parse_log(log.read_text(), "TRACE_C")]
    assert len(wanted) > 3
    for row in wanted:
        assert row in ours, row
